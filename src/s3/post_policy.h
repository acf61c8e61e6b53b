/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The policy of an upload form: what its signer allows the browser to send. Pure.
 * Source: S3 API Reference, "POST policy".
 */

#include "base/arena.h"
#include "wire/form.h"

#define S3_POST_POLICY_MAX     (20 * KIB) /* of the document */
#define S3_POST_CONDITIONS_MAX 200

enum s3_post_match { S3_POST_EQ, S3_POST_STARTS_WITH };

struct s3_post_condition {
    enum s3_post_match match;
    struct str field; /* without the dollar sign; compares without case */
    struct str value;
};

struct s3_post_policy {
    uint64_t expires_ms;
    struct s3_post_condition *conditions;
    size_t count;
    uint64_t min_bytes, max_bytes; /* content-length-range; 0 and UINT64_MAX without one */
};

/* `text` is the decoded document. -ERR_INVALID_POLICY_DOCUMENT with a text in *ret_why; -ENOMEM.
 * Strings live in `a`. */
int s3_post_policy_parse(struct arena *a, struct str text, struct s3_post_policy *ret,
                         struct str *ret_why);

/*
 * Whether the fields are what the policy allows: each condition holds, and each field has one, but
 * for those that carry the signature and the policy, checksums, and those named "x-ignore-…".
 * `fields` must name each field once; the caller adds "bucket". 0 or -ERR_ACCESS_DENIED with
 * *ret_why.
 */
int s3_post_policy_test(struct arena *a, const struct s3_post_policy *policy,
                        const struct form_field *fields, size_t count, uint64_t now_ms,
                        struct str *ret_why);
