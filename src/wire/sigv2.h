/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * AWS Signature Version 2 of the S3 REST API, pure. It covers neither the body nor the greater part
 * of the query, so doors take it only where their owner switched it on.
 * Source: S3 API Reference, "Signing and authenticating REST requests (AWS signature version 2)".
 */

#include "base/arena.h"
#include "base/hash.h"
#include "wire/http1.h"

enum sigv2_form_kind { SIGV2_NONE, SIGV2_HEADER, SIGV2_QUERY };

struct sigv2_auth {
    enum sigv2_form_kind form;
    struct str access_key;
    uint8_t signature[HASH_SHA1_LEN];
    struct str signature_text;
    uint64_t expires_s; /* query form: seconds since 1970 */
};

/*
 * form NONE: none was sent. -ERR_INVALID_ARGUMENT (header and query at once, or a header twice),
 * -ERR_AUTH_HEADER_MALFORMED, -ERR_AUTH_QUERY_MALFORMED, -ERR_SIGNATURE_MISMATCH (what cannot be a
 * signature), -ERR_INVALID_URI, -ERR_TOO_LARGE, -ENOMEM.
 */
int sigv2_parse(struct arena *a, const struct http1_request *r, struct sigv2_auth *ret);
/*
 * Holds the signature against the request. `bucket_path` is "/bucket" when the host names the
 * bucket, else empty. -ERR_SIGNATURE_MISMATCH, -ERR_ACCESS_DENIED (no date that can be read),
 * -ERR_TIME_SKEWED, -ERR_EXPIRED, -ENOMEM. The text that is signed comes back, also on failure
 * (else ptr NULL), for messages.
 */
int sigv2_verify(struct arena *a, const struct http1_request *r, const struct sigv2_auth *auth,
                 struct str bucket_path, struct str secret, uint64_t now_ms,
                 struct str *ret_to_sign);
/* Whether the signature covers a query parameter of that name. */
bool sigv2_signs_param(struct str name);
/* Of an upload form: what is signed is its policy, as it was sent. */
int sigv2_verify_text(struct str text, struct str signature, struct str secret);
