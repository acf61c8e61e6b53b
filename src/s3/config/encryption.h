/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A bucket's default encryption: the document. Pure.
 * Source: S3 API Reference, "PutBucketEncryption", ServerSideEncryptionConfiguration.
 */

#include "base/arena.h"
#include "base/buf.h"
#include "crypt/seal.h"

struct s3_encryption {
    enum seal_kind kind;   /* SEAL_S3 or SEAL_KMS; SEAL_NONE: the document names none */
    struct str name;       /* of the key; empty: the default one */
    bool bucket_key;       /* SEAL_KMS: middle keys are the bucket's */
    bool blocks_customers; /* SSE-C is refused */
};

/*
 * -ERR_MALFORMED_XML, -ERR_INVALID_ARGUMENT with a text in *ret_why (lives in `a`; ptr NULL: none),
 * -ERR_NOT_IMPLEMENTED (dual-layer encryption), -ENOMEM. Strings live in `a`.
 */
int s3_encryption_parse(struct arena *a, struct str body, struct s3_encryption *ret,
                        struct str *ret_why);
/* The whole document, in one form. */
void s3_encryption_xml(struct buf *b, const struct s3_encryption *e);
