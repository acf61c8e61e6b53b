/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Where copies come from: x-amz-copy-source, and the bytes of it.
 */

#include "base/reserve.h"
#include "s3/acl_request.h"
#include "s3/attrs.h"
#include "s3/context.h"
#include "s3/sse.h"
#include "s3/object/upload.h"
#include "s3/version.h"
#include "store/upkeep/tiers.h"

static int bad_source(struct s3_request *q, struct str header)
{
    return s3_error_argument(q, "x-amz-copy-source", header,
                             "Copy Source must mention the source bucket and key: "
                             "sourcebucket/sourcekey");
}

/*
 * "bucket/key", a slash before it allowed, percent-encoded once, "?versionId=ID" after it. A `+` is
 * a space, as in AWS: who copies from a key with a plus writes %2B.
 */
static int parse_source(struct s3_request *q, struct str *ret_bucket, struct s3_source *ret)
{
    struct str header = http_header(q->x, STR("x-amz-copy-source")), path = header;
    struct str *ret_key = &ret->key;
    ptrdiff_t mark = str_find(path, STR("?versionId="), 0);
    if (mark >= 0) {
        ret->version_id = str_from_offset(path, (size_t)mark + strlen("?versionId="));
        path = str_prefix(path, (size_t)mark);
        if (s3_version_id_parse(ret->version_id, &ret->version))
            return s3_error_argument(q, "x-amz-copy-source", header,
                                     "Invalid version id specified");
    }
    if (str_starts(path, STR("/")))
        path = str_from_offset(path, 1);
    ptrdiff_t slash = str_find_char(path, '/', 0);
    if (slash < 0) { /* some clients encode the slash too */
        if (uri_decode_form(q->arena, path, &path))
            return bad_source(q, header);
        if (str_starts(path, STR("/")))
            path = str_from_offset(path, 1);
        slash = str_find_char(path, '/', 0);
        if (slash < 0)
            return bad_source(q, header);
        *ret_bucket = str_prefix(path, (size_t)slash);
        *ret_key = str_from_offset(path, (size_t)slash + 1);
    } else if (uri_decode_form(q->arena, str_prefix(path, (size_t)slash), ret_bucket) ||
               uri_decode_form(q->arena, str_from_offset(path, (size_t)slash + 1), ret_key)) {
        return bad_source(q, header);
    }
    if (ret_bucket->len == 0 || ret_key->len == 0 || ret_key->len > STORE_KEY_MAX ||
        !str_is_utf8(*ret_key))
        return bad_source(q, header);
    return 0;
}

/* "" where none was named: then the request's own is not it either. */
static struct str version_id_of(const struct s3_source *s)
{
    return s->version_id.ptr ? s->version_id : STR("");
}

/* It may be another object than the one that was judged. */
static int FIBER still_allowed(struct s3_request *q, const struct s3_source *s)
{
    return s3_still_allowed(q, s3_action("s3:GetObject", s->version_id.ptr != NULL), &s->bucket,
                            s->key, version_id_of(s), store_reader_object(s->reader));
}

/* The source is judged as what it is: an object of its own bucket, or one version of it. */
static int FIBER open_bucket(struct s3_request *q, struct str name, struct s3_source *s)
{
    int r = store_bucket_get(q->s3->store, q->arena, name, &s->bucket);
    if (r)
        return r;
    struct s3_context c = {.q = q,
                           .bucket = &s->bucket,
                           .key = s->key,
                           .version = s->version,
                           .version_id = version_id_of(s)};
    r = s3_authorise_in(&c, s3_action("s3:GetObject", s->version_id.ptr != NULL));
    return r ? r : s3_check_payer(q, &s->bucket);
}

/* Why it could not be read. */
static int FIBER explain_source(struct s3_request *q, struct s3_source *s, int err,
                                const struct store_conditions *conditions)
{
    if (err == -ERR_METHOD_NOT_ALLOWED)
        return s3_error(q, -ERR_INVALID_REQUEST,
                        "The source of a copy request may not specifically refer to a delete "
                        "marker by version id.");
    int r = s3_hide_absence(q, &s->bucket, s->key, err);
    if (r == -ERR_NO_SUCH_KEY)
        s3_error_detail(q, "Key", s->key);
    return s3_explain_source_condition(q, r, conditions, "x-amz-copy-source-");
}

void s3_source_tell(struct s3_request *q, const struct s3_source *s)
{
    char text[S3_VERSION_ID_MAX];
    if (!s->object->null_version || s->version_id.ptr)
        (void)http_set_header(q->x, "x-amz-copy-source-version-id",
                              s3_version_id_format(s->object, text));
}

int FIBER s3_source_open(struct s3_request *q, struct s3_source *ret)
{
    struct store_conditions conditions;
    struct str name;
    *ret = (struct s3_source){.s3 = q->s3};
    int r = parse_source(q, &name, ret);
    if (!r)
        r = open_bucket(q, name, ret);
    if (!r)
        r = s3_check_owner(q, STR("x-amz-source-expected-bucket-owner"), &ret->bucket);
    if (r) {
        if (r == -ERR_NO_SUCH_BUCKET)
            s3_error_detail(q, "BucketName", name);
        store_bucket_release(&ret->bucket);
        return r;
    }
    s3_conditions_read(q, true, &conditions);
    r = store_get(q->s3->store, ret->bucket.id, ret->key, ret->version, &conditions, &ret->reader);
    int allowed = ret->reader ? still_allowed(q, ret) : 0;
    if (allowed)
        r = allowed;
    if (r == 0) {
        ret->object = store_reader_object(ret->reader);
        r = store_is_readable(q->s3->store, ret->object)
                ? s3_sse_unseal(q, ret->bucket.id, ret->reader, true)
                : -ERR_SOURCE_ARCHIVED;
        if (r)
            s3_source_close(ret);
        return r;
    }
    r = explain_source(q, ret, r, &conditions);
    s3_source_close(ret);
    return r;
}

void FIBER s3_source_close(struct s3_source *s)
{
    if (s->reader)
        store_reader_close(s->reader);
    s->reader = NULL;
    s->object = NULL;
    store_bucket_release(&s->bucket);
}

/* ---- bytes ---------------------------------------------------------------------------------- */

struct copy {
    struct s3 *s3;
    struct store_writer *writer;
    struct md5 md5;
    struct s3_checksum sum;
};

static int FIBER copy_piece(const void *data, size_t len, void *arg)
{
    struct copy *c = arg;
    s3_digests_update(c->s3, &c->md5, NULL, str_make(data, len));
    s3_checksum_update(&c->sum, data, len);
    return store_write(c->writer, data, len);
}

int FIBER s3_source_copy(struct s3_source *s, uint64_t off, uint64_t len,
                         enum store_checksum_kind kind, struct store_writer **w,
                         struct s3_copied *ret)
{
    struct copy c = {.s3 = s->s3, .writer = *w};
    md5_init(&c.md5);
    int r = s3_checksum_init(&c.sum, kind);
    if (!r)
        r = store_read(s->reader, off, len, copy_piece, &c);
    if (r) {
        s3_checksum_release(&c.sum);
        store_write_abort(*w);
        *w = NULL;
        return r;
    }
    md5_finish(&c.md5, ret->md5);
    ret->checksum = s3_checksum_finish(&c.sum);
    return 0;
}

/* What is done must not be told as refused for want of memory for the words. */
static void put_copied(struct buf *b, const char *element, const struct store_etag *etag,
                       const struct store_checksum *checksum, uint64_t mtime_ms)
{
    RESERVE_SCOPE;
    xml_begin(b);
    xml_open_ns(b, element, S3_XMLNS);
    s3_xml_time(b, "LastModified", mtime_ms);
    s3_xml_etag(b, etag);
    s3_xml_checksum(b, checksum, etag->parts, strcmp(element, "CopyPartResult") != 0);
    xml_close(b, element);
}

int FIBER s3_respond_copied(struct s3_request *q, const char *element,
                            const struct store_etag *etag, const struct store_checksum *checksum,
                            uint64_t mtime_ms)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    put_copied(&b, element, etag, checksum, mtime_ms);
    return s3_respond_xml(q, &b);
}
