/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * CompleteMultipartUpload.
 */

#include "base/encode.h"
#include "base/reserve.h"
#include "s3/attrs.h"
#include "s3/bodies.h"
#include "s3/body.h"
#include "s3/lifecycle.h"
#include "s3/notice.h"
#include "s3/sse.h"
#include "s3/version.h"

struct completion {
    struct str upload_id;
    struct store_upload upload;
    bool gone; /* `upload` is not there any more: what it said of checksums is not known */
    struct s3_completion list;
    struct store_checksum whole; /* the client's, of the object */
    uint64_t size;               /* x-amz-mp-object-size; UINT64_MAX: not given */
};

/* ---- what the headers say of the object ----------------------------------------------------- */

static int read_type(struct s3_request *q, const struct completion *c)
{
    struct str type = http_header(q->x, STR("x-amz-checksum-type"));
    const char *own = c->upload.composite ? "COMPOSITE" : "FULL_OBJECT";
    if (!type.ptr || str_eq(type, str_from(own)))
        return 0;
    return s3_error(q, -ERR_INVALID_REQUEST,
                    "The upload was created using the %s checksum mode. The complete request must "
                    "use the same checksum mode.",
                    own);
}

static int read_whole(struct s3_request *q, struct completion *c)
{
    for (unsigned kind = 0; kind < STORE_CHECKSUM_KINDS; kind++) {
        const char *name = s3_checksum_header(kind);
        struct str text = http_header(q->x, str_from(name));
        uint32_t parts;
        if (!text.ptr)
            continue;
        if (kind != c->upload.kind)
            return s3_checksum_mismatch(q, c->upload.kind, s3_checksum_name(kind));
        if (s3_checksum_parse(kind, text, &c->whole, &parts))
            return s3_error(q, -ERR_BAD_DIGEST, "Value for %s header is invalid.", name);
        if (parts && parts != c->list.count)
            return -ERR_BAD_DIGEST;
        c->whole.composite = c->upload.composite;
    }
    return 0;
}

/* What is made of the parts' digests is vouched for only by somebody who names them all. */
static int check_parts(struct s3_request *q, const struct completion *c)
{
    struct str name = arena_lower(q->arena, str_from(s3_checksum_name(c->upload.kind)));
    for (size_t i = 0; c->upload.composite && i < c->list.count; i++)
        if (!c->list.parts[i].checksum.present)
            return s3_error(q, -ERR_INVALID_REQUEST,
                            "The upload was created using a %.*s checksum. The complete request "
                            "must include the checksum for each part. It was missing for part %u "
                            "in the request.",
                            STR_FMT(name), c->list.parts[i].number);
    return 0;
}

static int read_size(struct s3_request *q, struct completion *c)
{
    struct str text = http_header(q->x, STR("x-amz-mp-object-size"));
    c->size = UINT64_MAX;
    if (!text.ptr || str_to_u64(text, &c->size) == 0)
        return 0;
    return s3_error(q, -ERR_INVALID_REQUEST, "Value for x-amz-mp-object-size header is %s: '%.*s'",
                    str_starts(text, STR("-")) ? "less than zero" : "invalid", STR_FMT(text));
}

static int FIBER read_completion(struct s3_request *q, struct completion *c)
{
    struct str body;
    *c = (struct completion){.upload_id = s3_param(q, "uploadId")};
    int r =
        store_upload_get(q->s3->store, q->arena, q->bucket.id, q->key, c->upload_id, &c->upload);
    if (r == -ERR_NO_SUCH_UPLOAD) { /* perhaps completed before: the store knows */
        c->upload = (struct store_upload){.kind = STORE_CRC64NVME};
        c->gone = true;
        r = 0;
    }
    if (!r && !c->gone)
        r = s3_sse_check_upload(q, c->upload.attrs.seal,
                                c->upload.composite || c->upload.kind != STORE_CRC64NVME);
    if (!r)
        r = s3_body_all(q, S3_BODY_FOREIGN_CHECKSUM, &body, NULL);
    if (!r)
        r = s3_body_completion(q->arena, body, c->gone ? NULL : &c->upload.kind, &c->list);
    if (r && c->gone)
        return -ERR_NO_SUCH_UPLOAD;
    if (!r && !c->gone)
        r = read_type(q, c);
    if (!r && !c->gone)
        r = read_whole(q, c);
    if (!r && !c->gone)
        r = check_parts(q, c);
    return r ? r : read_size(q, c);
}

/* ---- the answer ----------------------------------------------------------------------------- */

static void put_location(struct s3_request *q, struct buf *b)
{
    xml_open(b, "Location");
    xml_text(b, http_is_tls(q->x) ? STR("https://") : STR("http://"));
    xml_text(b, q->head->host);
    xml_text(b, STR("/"));
    if (s3_bucket_path(q).len == 0) {
        uri_encode(b, q->bucket_name, false);
        xml_text(b, STR("/"));
    }
    uri_encode(b, q->key, true);
    xml_close(b, "Location");
}

/* What is done must not be told as refused for want of memory for the words. */
static void put_result(struct s3_request *q, struct buf *b, const struct store_object *o)
{
    RESERVE_SCOPE;
    xml_begin(b);
    xml_open_ns(b, "CompleteMultipartUploadResult", S3_XMLNS);
    put_location(q, b);
    xml_element(b, "Bucket", q->bucket_name);
    xml_element(b, "Key", q->key);
    s3_xml_etag(b, &o->etag);
    s3_xml_checksum(b, &o->checksum, o->etag.parts, true);
    xml_close(b, "CompleteMultipartUploadResult");
}

static int FIBER respond(struct s3_request *q, const struct store_object *o)
{
    struct store_written written = {.seq = o->seq, .null_version = o->null_version};
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    put_result(q, &b, o);
    s3_set_written(q, &written);
    return s3_respond_xml(q, &b);
}

static int explain_part(struct s3_request *q, int err, const struct store_part_fault *fault)
{
    const struct store_complete_part *p = fault->part;
    if (!p || (err != -ERR_INVALID_PART && err != -ERR_ENTITY_TOO_SMALL))
        return err;
    char etag[2 * sizeof(p->md5)];
    hex_encode(p->md5, sizeof(p->md5), etag);
    s3_error_detail(q, "PartNumber", arena_printf(q->arena, "%u", p->number));
    s3_error_detail(q, "ETag", arena_dup(q->arena, str_make(etag, sizeof(etag))));
    if (err == -ERR_INVALID_PART)
        return err;
    s3_error_detail(q, "ProposedSize",
                    arena_printf(q->arena, "%llu", (unsigned long long)fault->len_bytes));
    s3_error_detail(q, "MinSizeAllowed", arena_printf(q->arena, "%u", (unsigned)STORE_PART_MIN));
    return err;
}

int FIBER s3_complete_multipart_upload(struct s3_request *q)
{
    struct completion c;
    struct store_part_fault fault;
    struct store_conditions conditions;
    struct store_object object;
    int r = read_completion(q, &c);
    if (r)
        return r;
    r = s3_conditions_write(q, &conditions);
    if (!r)
        r = s3_notice(q, EVENT_NAMES(EVENT_CREATED_COMPLETE), &conditions.notice);
    if (r)
        return r;
    r = store_upload_complete(q->s3->store, q->arena, q->bucket.id, q->key, c.upload_id,
                              c.list.parts, c.list.count, &c.whole, c.size, &conditions, &fault,
                              &object);
    if (r)
        return s3_explain_condition(q, explain_part(q, r, &fault), &conditions);
    s3_sse_headers(q, c.upload.attrs.seal);
    if (!c.gone) {
        struct store_object made = object;
        made.attrs = c.upload.attrs;
        s3_set_expiration(q, &made);
    }
    return respond(q, &object);
}
