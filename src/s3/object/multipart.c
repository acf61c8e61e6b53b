/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * CreateMultipartUpload, UploadPart, UploadPartCopy, AbortMultipartUpload.
 *
 * Every upload has a checksum: the one named at its creation, or CRC64NVME of the whole object, as
 * in S3. Each part is stored with that kind; what the client sends beside it is verified and
 * echoed.
 */

#include "s3/acl_request.h"
#include "s3/attrs.h"
#include "s3/lifecycle.h"
#include "s3/range.h"
#include "s3/sse.h"
#include "s3/object/upload.h"
#include "wire/date.h"

/* ---- creating ------------------------------------------------------------------------------- */

struct upload_checksum {
    bool named; /* by the client */
    enum store_checksum_kind kind;
    bool composite;
};

static int unfit_type(struct s3_request *q, struct str type, enum store_checksum_kind kind)
{
    struct str name = arena_lower(q->arena, str_from(s3_checksum_name(kind)));
    return s3_error(q, -ERR_INVALID_REQUEST,
                    "The %.*s checksum type cannot be used with the %.*s checksum algorithm.",
                    STR_FMT(type), STR_FMT(name));
}

/* S3 User Guide, "Checking object integrity": digests are composite, CRC64NVME whole, CRC32 either.
 */
static int read_checksum(struct s3_request *q, struct upload_checksum *ret)
{
    struct str algorithm = s3_header(q, STR("x-amz-checksum-algorithm"));
    struct str type = s3_header(q, STR("x-amz-checksum-type"));
    *ret = (struct upload_checksum){.kind = STORE_CRC64NVME};
    if (!algorithm.ptr) {
        if (!type.ptr)
            return 0;
        return s3_error(q, -ERR_INVALID_REQUEST,
                        "The x-amz-checksum-type header can only be used with the "
                        "x-amz-checksum-algorithm header.");
    }
    if (!s3_checksum_kind_parse(algorithm, &ret->kind))
        return s3_checksum_unknown(q);
    ret->named = true;
    ret->composite = ret->kind != STORE_CRC64NVME;
    if (!type.ptr)
        return 0;
    if (!str_eq_nocase(type, STR("COMPOSITE")) && !str_eq_nocase(type, STR("FULL_OBJECT")))
        return s3_error(q, -ERR_INVALID_REQUEST,
                        "Value for x-amz-checksum-type header is invalid.");
    ret->composite = str_eq_nocase(type, STR("COMPOSITE"));
    if (ret->composite ? ret->kind == STORE_CRC64NVME : !store_checksum_is_crc(ret->kind))
        return unfit_type(q, type, ret->kind);
    return 0;
}

static void set_checksum_headers(struct s3_request *q, const struct upload_checksum *c)
{
    if (!c->named)
        return;
    (void)http_set_header(q->x, "x-amz-checksum-algorithm", str_from(s3_checksum_name(c->kind)));
    (void)http_set_header(q->x, "x-amz-checksum-type",
                          c->composite ? STR("COMPOSITE") : STR("FULL_OBJECT"));
}

int FIBER s3_create_multipart_upload(struct s3_request *q)
{
    _cleanup_buf_ struct buf b;
    _cleanup_data_key_ struct s3_data_key key = {0}; /* the parts get it from the seal */
    struct upload_checksum c;
    struct store_attrs attrs;
    struct str upload;
    buf_init(&b, 0);
    int r = s3_attrs_read(q, &attrs);
    if (!r)
        r = s3_tags_read(q, &attrs);
    if (!r)
        r = read_checksum(q, &c);
    if (!r && !str_eq(attrs.owner, s3_writer_of(q)))
        attrs.initiator = s3_writer_of(q);
    if (!r)
        r = s3_sse_begin(q, &key, &attrs.seal);
    if (!r)
        r = store_upload_create(q->s3->store, q->arena, q->bucket.id, q->key, &attrs, c.kind, true,
                                c.composite, &upload);
    if (r)
        return r;
    set_checksum_headers(q, &c);
    s3_sse_headers(q, attrs.seal);
    s3_set_abort(q, rt_wall_ms());
    xml_begin(&b);
    xml_open_ns(&b, "InitiateMultipartUploadResult", S3_XMLNS);
    xml_element(&b, "Bucket", q->bucket_name);
    xml_element(&b, "Key", q->key);
    xml_element(&b, "UploadId", upload);
    xml_close(&b, "InitiateMultipartUploadResult");
    return s3_respond_xml(q, &b);
}

/* Asked for of directory buckets in AWS. When an upload began never changes, so there is no race.
 */
static int FIBER check_initiated(struct s3_request *q)
{
    static const char *const name = "x-amz-if-match-initiated-time";
    struct str text = s3_header(q, str_from(name));
    struct store_upload u;
    uint64_t time_ms;
    if (!text.ptr)
        return 0;
    if (date_parse_http(text, rt_wall_ms(), &time_ms))
        return s3_error_argument(q, name, text, "The value is not a date");
    int r =
        store_upload_get(q->s3->store, q->arena, q->bucket.id, q->key, s3_param(q, "uploadId"), &u);
    if (r || time_ms / 1000 == u.created_ms / 1000)
        return r;
    s3_error_detail(q, "Condition", str_from(name));
    return -ERR_PRECONDITION_FAILED;
}

int FIBER s3_abort_multipart_upload(struct s3_request *q)
{
    int r = check_initiated(q);
    if (!r)
        r = store_upload_abort(q->s3->store, q->bucket.id, q->key, s3_param(q, "uploadId"));
    return r ? r : s3_respond_empty(q, 204);
}

/* ---- parts ---------------------------------------------------------------------------------- */

struct part {
    struct str upload_id;
    uint32_t number;
    struct store_upload upload;
    struct s3_data_key key; /* wiped by release_part */
};

static void release_part(struct part *p)
{
    s3_data_key_release(&p->key);
}

static int FIBER find_upload(struct s3_request *q, struct part *p)
{
    struct str number = s3_param(q, "partNumber");
    uint64_t n;
    p->upload_id = s3_param(q, "uploadId");
    if (str_to_u64(number, &n) || n < 1 || n > STORE_PARTS_MAX)
        return s3_error_argument(q, "partNumber", number,
                                 "Part number must be an integer between 1 and 10000, inclusive");
    p->number = (uint32_t)n;
    int r =
        store_upload_get(q->s3->store, q->arena, q->bucket.id, q->key, p->upload_id, &p->upload);
    return r ? r : s3_sse_upload_key(q, p->upload.attrs.seal, &p->key);
}

static int FIBER begin_part(struct s3_request *q, const struct part *p, uint64_t len,
                            struct store_writer **ret)
{
    return store_part_begin_sealed(q->s3->store, q->bucket.id, q->key, p->upload_id, p->number, len,
                                   s3_data_key_or_null(&p->key), ret);
}

/* The kind kept with the part is the upload's. An upload without a named one takes any; where the
 * object's is made of the parts', each part brings its own. */
static int fit_checksum(struct s3_request *q, struct s3_body *b, const struct store_upload *u)
{
    if (!u->has_checksum || (b->has_checksum && b->kind == u->kind))
        return 0;
    if (!b->has_checksum && u->composite)
        return s3_checksum_mismatch(q, u->kind, NULL);
    if (b->has_checksum && u->kind != STORE_CRC64NVME)
        return s3_checksum_mismatch(q, u->kind, s3_checksum_name(b->kind));
    return s3_body_also(b, u->kind);
}

/* Parts count against quotas as what they may become. */
static int FIBER commit_part(struct s3_request *q, struct store_writer *w, const uint8_t md5[16],
                             const struct store_checksum *checksum, uint64_t *ret_mtime_ms)
{
    struct store_conditions c = {0};
    int r = s3_quota_renew(q, &c);
    if (r) {
        store_write_abort(w);
        return r;
    }
    return store_part_commit(w, md5, checksum, &c.quota, ret_mtime_ms);
}

static int FIBER put_part(struct s3_request *q, struct s3_body *b, const struct part *p)
{
    struct store_writer *w;
    uint64_t mtime_ms;
    int r = begin_part(q, p, b->length, &w);
    if (!r)
        r = s3_writer_class(q, &w, p->upload.attrs.storage_class);
    if (!r)
        r = s3_upload_body(b, &w);
    if (r)
        return r;
    const struct store_checksum *kept = b->also.present ? &b->also : &b->checksum;
    struct store_etag etag = s3_sse_etag(p->upload.attrs.seal, &p->key, b->md5_value);
    r = commit_part(q, w, etag.md5, kept, &mtime_ms);
    if (r)
        return r;
    s3_set_etag(q, &etag);
    s3_sse_headers(q, p->upload.attrs.seal);
    if (b->has_checksum || kept->present)
        s3_set_checksum_value(q, b->has_checksum ? &b->checksum : kept, 0);
    return s3_respond_empty(q, 200);
}

int FIBER s3_upload_part(struct s3_request *q)
{
    _cleanup_body_ struct s3_body b = {0};
    _cleanup_(release_part) struct part p = {0};
    int r = find_upload(q, &p);
    if (!r)
        r = s3_body_open(&b, q, S3_BODY_MD5);
    if (!r)
        r = fit_checksum(q, &b, &p.upload);
    return r ? r : put_part(q, &b, &p);
}

/* ---- parts copied --------------------------------------------------------------------------- */

static int read_copy_range(struct s3_request *q, uint64_t size, struct byte_range *ret)
{
    struct str text = http_header(q->x, STR("x-amz-copy-source-range"));
    *ret = (struct byte_range){0, size};
    if (!text.ptr)
        return 0;
    int r = range_parse_copy(text, size, ret);
    if (r == -ERANGE)
        return s3_error(q, -ERR_INVALID_RANGE,
                        "Range specified is not valid for source object of size: %llu",
                        (unsigned long long)size);
    if (r)
        return s3_error_argument(q, "x-amz-copy-source-range", text,
                                 "The x-amz-copy-source-range value must be of the form "
                                 "bytes=first-last where first and last are the zero-based "
                                 "offsets of the first and last bytes to copy");
    return 0;
}

static int FIBER copy_part(struct s3_request *q, const struct part *p, struct s3_source *source)
{
    struct byte_range range;
    struct store_writer *w;
    struct s3_copied copied;
    uint64_t mtime_ms;
    int r = read_copy_range(q, source->object->len_bytes, &range);
    if (r)
        return r;
    if (range.len > STORE_OBJECT_MAX)
        return -ERR_ENTITY_TOO_LARGE;
    r = begin_part(q, p, range.len, &w);
    if (!r)
        r = s3_writer_class(q, &w, p->upload.attrs.storage_class);
    if (!r)
        r = s3_source_copy(source, range.off, range.len, p->upload.kind, &w, &copied);
    if (r)
        return r;
    struct store_etag etag = s3_sse_etag(p->upload.attrs.seal, &p->key, copied.md5);
    r = commit_part(q, w, etag.md5, &copied.checksum, &mtime_ms);
    if (r)
        return r;
    s3_sse_headers(q, p->upload.attrs.seal);
    s3_source_tell(q, source);
    return s3_respond_copied(q, "CopyPartResult", &etag, &copied.checksum, mtime_ms);
}

int FIBER s3_upload_part_copy(struct s3_request *q)
{
    _cleanup_(release_part) struct part p = {0};
    struct s3_source source;
    int r = find_upload(q, &p);
    if (!r)
        r = s3_source_open(q, &source);
    if (r)
        return r;
    r = copy_part(q, &p, &source);
    s3_source_close(&source);
    return r;
}
