/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What PutObject, UploadPart and the copies share: bytes on their way into a store writer.
 */

#include "s3/body.h"

/* Pumps the body into *w; on failure the writer is aborted and *w is NULL. */
int FIBER s3_upload_body(struct s3_body *b, struct store_writer **w);

/* An object being copied from, opened with the caller's right to read it. */
struct s3_source {
    struct s3 *s3;
    struct store_bucket bucket;
    struct str key;
    struct store_version_ref version;
    struct str version_id; /* as it was named; ptr NULL: none was */
    struct store_reader *reader;
    const struct store_object *object;
};
/*
 * Reads x-amz-copy-source, authorises, tests the copy-source conditions and opens.
 * -ERR_NO_SUCH_KEY, -ERR_NO_SUCH_BUCKET, -ERR_ACCESS_DENIED, -ERR_INVALID_ARGUMENT,
 * -ERR_PRECONDITION_FAILED, -ERR_NO_SUCH_VERSION, -ERR_INVALID_REQUEST (a delete marker).
 */
int FIBER s3_source_open(struct s3_request *q, struct s3_source *ret);
void FIBER s3_source_close(struct s3_source *s);
/* x-amz-copy-source-version-id */
void s3_source_tell(struct s3_request *q, const struct s3_source *s);

/* What came of a copy's bytes. */
struct s3_copied {
    uint8_t md5[HASH_MD5_LEN];
    struct store_checksum checksum;
};
/* `len` bytes from `off` into *w, hashed on the way; on failure the writer is aborted, *w NULL. */
int FIBER s3_source_copy(struct s3_source *s, uint64_t off, uint64_t len,
                         enum store_checksum_kind kind, struct store_writer **w,
                         struct s3_copied *ret);
/* <CopyObjectResult> or <CopyPartResult>, sent. */
int FIBER s3_respond_copied(struct s3_request *q, const char *element,
                            const struct store_etag *etag, const struct store_checksum *checksum,
                            uint64_t mtime_ms);
