/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The aws-chunked body framing: `size;chunk-signature=...\r\n data \r\n`, ended by a chunk of size
 * 0 and, where declared, trailer lines. Sans I/O and bounded: framing lines up to 1 KiB, trailers
 * up to 16 of 1 KiB each.
 *
 * Source: S3 API Reference, "Signature calculations: transferring payload in multiple chunks" and
 * "including trailing headers". Signatures are chained and every chunk is checked before the
 * caller is told that it ended; the caller must not make data visible before 1 was returned, and
 * must refuse bytes after that.
 *
 * Trailers are exactly those declared. Their lines may end in LF alone, an empty line may stand
 * before x-amz-trailer-signature, and another one behind that which ends unsigned trailers: all are
 * sent in the wild.
 */

#include "wire/sigv4.h"

#define AWS_CHUNK_MAX      (64 * MIB) /* of one signed chunk; an unsigned one may be the object */
#define AWS_CHUNK_MIN      8192       /* of every chunk but the last, signed or not */
#define AWS_CHUNK_LINE_MAX 1024
#define AWS_CHUNK_TRAILERS 16

struct aws_chunked_config {
    enum sigv4_payload payload;    /* one of the three streaming modes */
    const struct sigv4_key *key;   /* borrowed; NULL in the unsigned mode */
    const struct sigv4_auth *auth; /* likewise */
    uint64_t decoded_length;       /* declared: more is -ERR_INCOMPLETE_BODY, and so is less */
    struct str trailer_names;      /* x-amz-trailer, comma separated; empty: none declared */
};

struct aws_chunked; /* opaque, in the arena */
/* -ERR_MALFORMED_TRAILER: trailers declared that the mode cannot carry, or too many. -ENOMEM. */
int aws_chunked_new(struct aws_chunked **ret, struct arena *a,
                    const struct aws_chunked_config *config);
/* Frees what is not in the arena (digest streams). Accepts NULL. */
void aws_chunked_free(struct aws_chunked *c);

/*
 * Takes bytes from `in`: *ret_used consumed, *ret_data a run of payload inside them (maybe empty).
 * 0: go on (after all of `in`, or after a run of data); 1: the stream has ended and was verified;
 * for good: -ERR_SIGNATURE_MISMATCH, -ERR_INVALID_CHUNK_SIZE, -ERR_INCOMPLETE_BODY,
 * -ERR_MALFORMED_TRAILER, -ERR_PARSE, -ENOMEM.
 */
int aws_chunked_next(struct aws_chunked *c, struct str in, size_t *ret_used, struct str *ret_data);
/* What lies behind the end: 0, or -ERR_INCOMPLETE_BODY for anything but that empty line. */
int aws_chunked_behind(struct aws_chunked *c, struct str in);
/* The input ended before 1 was returned: always a negative code. */
int aws_chunked_eof(const struct aws_chunked *c);
/* A trailer's value after the end (name in lower case); ptr NULL when absent. */
struct str aws_chunked_trailer(const struct aws_chunked *c, struct str lower_name);
