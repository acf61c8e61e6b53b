/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "s3/version.h"

#include "base/encode.h"
#include "s3/attrs.h"

struct str s3_version_id_format(const struct store_object *o, char ret[S3_VERSION_ID_MAX])
{
    uint8_t be[8];
    if (o->null_version)
        return STR("null");
    put_be64(be, o->seq);
    hex_encode(be, sizeof(be), ret);
    return str_make(ret, S3_VERSION_ID_MAX);
}

/* The hex digits are those that hex_encode() writes: one version has one id. */
int s3_version_id_parse(struct str text, struct store_version_ref *ret)
{
    uint8_t be[8];
    char again[S3_VERSION_ID_MAX];
    if (str_eq(text, STR("null"))) {
        *ret = (struct store_version_ref){.kind = STORE_VERSION_NULL};
        return 0;
    }
    if (text.len != S3_VERSION_ID_MAX || hex_decode(text, be, sizeof(be)))
        return -EINVAL;
    struct store_object o = {.seq = get_be64(be)};
    if (o.seq == 0 || !str_eq(s3_version_id_format(&o, again), text))
        return -EINVAL;
    *ret = (struct store_version_ref){.kind = STORE_VERSION_SEQ, .seq = o.seq};
    return 0;
}

static void set_version_id(struct s3_request *q, const struct store_object *o)
{
    char text[S3_VERSION_ID_MAX];
    (void)http_set_header(q->x, "x-amz-version-id", s3_version_id_format(o, text));
}

void s3_set_version(struct s3_request *q, const struct store_object *o)
{
    if (!o->null_version || q->bucket.versioning != STORE_VERSIONING_NEVER)
        set_version_id(q, o);
}

void s3_set_written(struct s3_request *q, const struct store_written *w)
{
    struct store_object o = {.seq = w->seq, .null_version = w->null_version};
    if (!w->null_version)
        set_version_id(q, &o);
}

int FIBER s3_explain_marker(struct s3_request *q, const struct store_reader *reader, int err)
{
    const struct store_object *o = reader ? store_reader_object(reader) : NULL;
    if (!o || !o->delete_marker)
        return err;
    int r = s3_hide_absence(q, &q->bucket, q->key, err);
    if (r != err)
        return r;
    (void)http_set_header(q->x, "x-amz-delete-marker", STR("true"));
    set_version_id(q, o);
    if (err == -ERR_METHOD_NOT_ALLOWED) {
        s3_error_detail(q, "Method", q->head->method);
        s3_error_detail(q, "ResourceType", STR("DeleteMarker"));
        (void)http_set_header(q->x, "Allow", STR("DELETE"));
        s3_set_modified(q, o);
    }
    return err;
}

int FIBER s3_refuse_marker(struct s3_request *q, const struct store_reader *reader, int err)
{
    const struct store_object *o = reader ? store_reader_object(reader) : NULL;
    if (o && o->delete_marker && err == -ERR_NO_SUCH_KEY) {
        int r = s3_hide_absence(q, &q->bucket, q->key, err);
        if (r != err)
            return r;
        err = -ERR_METHOD_NOT_ALLOWED;
    }
    return s3_explain_marker(q, reader, err);
}

int FIBER s3_explain_change(struct s3_request *q, int err)
{
    struct store_reader *reader = NULL;
    if (err != -ERR_NO_SUCH_KEY && err != -ERR_METHOD_NOT_ALLOWED)
        return err;
    (void)store_get(q->s3->store, q->bucket.id, q->key, q->version, NULL, &reader);
    int r = s3_refuse_marker(q, reader, err);
    store_reader_close(reader);
    return r;
}
