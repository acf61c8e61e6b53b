/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A request's body: from the wire, through aws-chunked framing where it has any, past its digests,
 * into a sink. What the client promised of it (length, Content-MD5, x-amz-content-sha256, a
 * checksum in a header or a trailer, chunk signatures) is held against what came before
 * s3_body_pump() returns 0, so whoever commits after that commits what was sent.
 *
 * Life: s3_body_open, perhaps s3_body_also, s3_body_pump, then the results; s3_body_release always.
 */

#include "base/md5.h"
#include "s3/checksum.h"
#include "s3/internal.h"
#include "wire/aws_chunked.h"

/* Compute the MD5, for an ETag. */
#define S3_BODY_MD5 1u
/* Compute a checksum: the client's, or CRC64NVME when it gave none. */
#define S3_BODY_CHECKSUM 2u
/* x-amz-checksum-* headers are not about this body (CompleteMultipartUpload). */
#define S3_BODY_FOREIGN_CHECKSUM 4u
/* A missing Content-Length means an empty body (XML bodies). */
#define S3_BODY_OPTIONAL 8u

struct s3_body {
    struct s3_request *q;
    unsigned flags;
    uint64_t length; /* of the decoded body, known from the start */
    uint64_t seen;   /* of it so far */
    bool has_content_md5;
    uint8_t content_md5[HASH_MD5_LEN];
    bool has_checksum; /* the client gives one, here or in a trailer */
    bool in_trailer;
    enum store_checksum_kind kind;  /* of the client's checksum */
    struct store_checksum promised; /* when in a header */
    bool with_md5;
    struct md5 md5;
    struct s3_checksum
        sums[2]; /* the first is the client's or the default, the second s3_body_also */
    struct hash_stream *sha256;
    struct aws_chunked *chunked;
    /* results */
    uint8_t md5_value[HASH_MD5_LEN]; /* with S3_BODY_MD5 */
    struct store_checksum checksum;  /* with S3_BODY_CHECKSUM */
    struct store_checksum also;      /* after s3_body_also */
};

/*
 * Reads what the headers promise; the body is not touched. -ERR_MISSING_LENGTH,
 * -ERR_INVALID_DIGEST, -ERR_INVALID_REQUEST (two checksums, unknown trailer), -ERR_ENTITY_TOO_LARGE
 * (beyond STORE_OBJECT_MAX). Release it also on failure.
 */
int s3_body_open(struct s3_body *b, struct s3_request *q, unsigned flags);
/* -ERR_INVALID_REQUEST, for an x-amz-checksum-algorithm that is none of S3's. */
int s3_checksum_unknown(struct s3_request *q);
/* -ERR_INVALID_REQUEST, for a checksum of another kind than the upload's, or NULL: for none. */
int s3_checksum_mismatch(struct s3_request *q, enum store_checksum_kind expected,
                         const char *actual);
/* Compute a checksum of `kind` too; the result is `also`. */
int s3_body_also(struct s3_body *b, enum store_checksum_kind kind);
/*
 * All of the body to `sink`, then the checks: -ERR_BAD_DIGEST, -ERR_SHA256_MISMATCH,
 * -ERR_INCOMPLETE_BODY, -ERR_MALFORMED_TRAILER, -ERR_SIGNATURE_MISMATCH, the sink's error.
 */
int FIBER s3_body_pump(struct s3_body *b, int (*sink)(const void *data, size_t len, void *arg),
                       void *arg);
/*
 * Of an upload form: its fields promise, its bytes (up to `most`) are fed as they are told from the
 * form, and held against the promises at the end.
 */
int s3_body_open_form(struct s3_body *b, struct s3_request *q, uint64_t most);
int FIBER s3_body_feed(struct s3_body *b, struct str data,
                       int (*sink)(const void *data, size_t len, void *arg), void *arg);
int s3_body_finish(struct s3_body *b);
void s3_body_release(struct s3_body *b);
#define _cleanup_body_ _cleanup_(s3_body_release)

/* A whole body in the request's arena: up to the operation's body_max bytes, verified.
 * -ERR_MAX_MESSAGE_LENGTH. *ret_digest (may be NULL) says whether the client vouched for it with a
 * Content-MD5 or a checksum. */
int FIBER s3_body_all(struct s3_request *q, unsigned flags, struct str *ret, bool *ret_digest);
/* The same of a document, for which S3 wants the client's digest: -ERR_INVALID_REQUEST. */
int FIBER s3_body_config(struct s3_request *q, struct str *ret);
