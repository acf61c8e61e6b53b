/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Server-side encryption in requests: what one asks for, the keys that come of it, and what answers
 * tell. Sources: S3 User Guide, "Protecting data with server-side encryption"; API Reference,
 * PutObject, GetObject, CopyObject, CreateMultipartUpload.
 *
 * What a write is encrypted with: what its headers say, else the bucket's default, else SSE-S3
 * where the server encrypts everything, else nothing.
 */

#include "crypt/seal.h"
#include "s3/internal.h"

/* What a write asks for. Wiped by s3_sse_release, always. */
struct s3_sse {
    enum seal_kind kind;
    bool asked;      /* by the request's own headers */
    bool bucket_key; /* SEAL_KMS */
    bool share_said; /* that was, by a header */
    struct str name; /* SEAL_KMS: of the key, as it was given */
    struct str context;
    uint8_t customer_key[CRYPT_KEY_LEN]; /* SEAL_C */
};

/* What bytes are sealed with on their way; wiped by s3_data_key_release, always. */
struct s3_data_key {
    bool present; /* else they are not sealed */
    uint8_t bytes[CRYPT_KEY_LEN];
};
static inline const uint8_t *s3_data_key_or_null(const struct s3_data_key *k)
{
    return k->present ? k->bytes : NULL;
}
void s3_sse_release(struct s3_sse *sse);
void s3_data_key_release(struct s3_data_key *k);
#define _cleanup_sse_      _cleanup_(s3_sse_release)
#define _cleanup_data_key_ _cleanup_(s3_data_key_release)

/* -ERR_INVALID_ARGUMENT, -ERR_INVALID_REQUEST, -ERR_ENCRYPTION_ALGORITHM, -ERR_NOT_IMPLEMENTED,
 * -ERR_ACCESS_DENIED (the bucket takes no SSE-C). */
int s3_sse_read(struct s3_request *q, struct s3_sse *ret);
/* A data key for the request's object, and the seal to keep in its attributes (ptr NULL: none), in
 * the request's arena. What kms_new_key returns. */
int FIBER s3_sse_make(struct s3_request *q, const struct s3_sse *sse, struct s3_data_key *ret,
                      struct str *ret_seal);
/* Both of them, for a new object or upload. */
int FIBER s3_sse_begin(struct s3_request *q, struct s3_data_key *ret, struct str *ret_seal);
/* The same of an object that no request writes: `q` has the door, an arena, bucket and key alone.
 * `kind` SEAL_NONE: what the bucket and the server say counts; `name` of SEAL_KMS. */
int FIBER s3_sse_begin_unasked(struct s3_request *q, enum seal_kind kind, struct str name,
                               struct s3_data_key *ret, struct str *ret_seal);
/* Whether it is by a customer's key. */
bool s3_sse_is_customers(struct str seal);
/* Whether bytes with this seal are encrypted just as `sse` asks: they need not be written anew. */
bool s3_sse_is_already(const struct s3_sse *sse, struct str seal);

/* The data key of an upload, for a part of it. -ERR_INVALID_REQUEST: the headers do not fit. */
int FIBER s3_sse_upload_key(struct s3_request *q, struct str seal, struct s3_data_key *ret);
/* Completing an upload by a customer's key: the key, if it is given, is the right one, and given it
 * must be where the client named a checksum (`named`), as in S3. */
int FIBER s3_sse_check_upload(struct s3_request *q, struct str seal, bool named);
/*
 * Has the reader of an object in `bucket` decrypt, with the customer's key from the headers where
 * it is that: `source`, the x-amz-copy-source-... ones. Of one that is not encrypted: that no key
 * is given. -ERR_INVALID_REQUEST with a message, -ERR_KEY_LOST, -ERR_KMS_UNAVAILABLE.
 */
int FIBER s3_sse_unseal(struct s3_request *q, struct bucket_id bucket, struct store_reader *reader,
                        bool source);
/* Likewise of the request's bucket, where no request reads. -ERR_INVALID_REQUEST: it takes a
 * customer's key. */
int FIBER s3_sse_unseal_unasked(struct s3_request *q, struct store_reader *reader);
/* The same where only what is known of the object is told: no key but the customer's is asked for.
 */
int FIBER s3_sse_check(struct s3_request *q, const struct store_object *o);

/* The seal of an object of the request's bucket, for the same bytes under the request's key: *ret
 * in the request's arena, ptr NULL when `packed` is empty. The middle key is a new one, so whoever
 * wraps keys anew meanwhile need not meet it. As s3_sse_unseal, and what kms_new_key returns. */
int FIBER s3_sse_rename(struct s3_request *q, struct str key, struct str packed, struct str *ret);

/* The same for the object's own name under SSE-KMS by that key, `packed` being SSE-S3 or SSE-KMS:
 * the data key stays, its wrapping is new. -ERR_INVALID_REQUEST: it is neither. */
int FIBER s3_sse_rekey(struct s3_request *q, struct str key, struct str packed, struct str name,
                       bool bucket_key, struct str *ret);

/* x-amz-server-side-encryption and its fellows, for an object, upload or copy with this seal. */
void s3_sse_headers(struct s3_request *q, struct str seal);
/* Where the bytes are sealed by a named key or the customer's, not their MD5, but what `key` makes
 * of that: the same for the same bytes in one upload, so that a part may be sent again. */
struct store_etag s3_sse_etag(struct str seal, const struct s3_data_key *key,
                              const uint8_t md5[16]);
