/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * PutObject, and the sink that all uploads share.
 */

#include "s3/attrs.h"
#include "s3/body.h"
#include "s3/object/extract.h"
#include "s3/lifecycle.h"
#include "s3/notice.h"
#include "s3/sse.h"
#include "s3/object/upload.h"
#include "s3/version.h"

static int FIBER write_piece(const void *data, size_t len, void *arg)
{
    return store_write(arg, data, len);
}

int FIBER s3_upload_body(struct s3_body *b, struct store_writer **w)
{
    int r = s3_body_pump(b, write_piece, *w);
    if (r) {
        store_write_abort(*w);
        *w = NULL;
    }
    return r;
}

/* A part number without an upload would overwrite the object by a part. */
static int check_query(struct s3_request *q)
{
    struct str number = s3_param(q, "partNumber");
    if (!number.ptr)
        return 0;
    return s3_error_argument(q, "partNumber", number,
                             "This operation does not accept partNumber without uploadId");
}

static int FIBER put_body(struct s3_request *q, struct s3_body *b, const struct store_attrs *attrs,
                          const struct s3_data_key *key, struct store_conditions *conditions)
{
    struct store_writer *w;
    struct store_written written;
    int r = store_put_begin_sealed(q->s3->store, q->bucket.id, q->key, b->length, b->length,
                                   s3_data_key_or_null(key), &w);
    if (!r)
        r = s3_writer_class(q, &w, attrs->storage_class);
    if (!r)
        r = s3_upload_body(b, &w);
    if (r)
        return r;
    r = s3_quota_renew(q, conditions);
    if (r) {
        store_write_abort(w);
        return r;
    }
    struct store_etag etag = s3_sse_etag(attrs->seal, key, b->md5_value);
    r = store_put_commit(w, attrs, &etag, &b->checksum, conditions, &written);
    if (r)
        return s3_explain_condition(q, r, conditions);
    s3_set_etag(q, &etag);
    s3_set_written(q, &written);
    s3_set_checksum(q, &b->checksum, 0);
    s3_sse_headers(q, attrs->seal);
    s3_set_expiration(q, &(struct store_object){.mtime_ms = written.mtime_ms,
                                                .len_bytes = b->length,
                                                .attrs = *attrs});
    return s3_respond_empty(q, 200);
}

int FIBER s3_put_object(struct s3_request *q)
{
    _cleanup_body_ struct s3_body b = {0};
    _cleanup_data_key_ struct s3_data_key key = {0};
    struct store_attrs attrs;
    struct store_conditions conditions;
    int r = check_query(q);
    if (!r && s3_is_extract(q))
        return s3_put_extract(q);
    if (!r)
        r = s3_attrs_read(q, &attrs);
    if (!r)
        r = s3_tags_read(q, &attrs);
    if (!r)
        r = s3_body_open(&b, q, S3_BODY_MD5 | S3_BODY_CHECKSUM);
    if (!r)
        r = s3_sse_begin(q, &key, &attrs.seal);
    if (r)
        return r;
    r = s3_conditions_write(q, &conditions);
    if (!r)
        r = s3_notice(q, EVENT_NAMES(EVENT_CREATED_PUT), &conditions.notice);
    return r ? r : put_body(q, &b, &attrs, &key, &conditions);
}
