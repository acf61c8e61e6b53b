/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * CopyObject. A copy onto itself changes attributes only and touches no byte; every other copy
 * reads, hashes and writes the bytes anew.
 */

#include "s3/attrs.h"
#include "s3/checksum.h"
#include "s3/upload.h"

#define SELF_COPY_TRIES 8

struct copy_request {
    bool replace;           /* x-amz-metadata-directive: REPLACE */
    bool has_storage_class; /* the client names one */
    bool has_kind;          /* x-amz-checksum-algorithm */
    enum store_checksum_kind kind;
    struct store_attrs attrs; /* of the request */
    struct store_conditions conditions;
};

static int read_directive(struct s3_request *q, struct copy_request *c)
{
    struct str text = http_header(q->x, STR("x-amz-metadata-directive"));
    c->replace = str_eq_nocase(text, STR("REPLACE"));
    if (!text.ptr || c->replace || str_eq_nocase(text, STR("COPY")))
        return 0;
    return s3_error_argument(q, "x-amz-metadata-directive", text, "Unknown metadata directive.");
}

static int read_request(struct s3_request *q, struct copy_request *c)
{
    struct str algorithm = http_header(q->x, STR("x-amz-checksum-algorithm"));
    *c = (struct copy_request){0};
    int r = read_directive(q, c);
    if (!r)
        r = s3_attrs_read(q, &c->attrs);
    if (r)
        return r;
    c->has_storage_class = http_header(q->x, STR("x-amz-storage-class")).ptr != NULL;
    c->has_kind = algorithm.ptr != NULL;
    if (c->has_kind && !s3_checksum_kind_parse(algorithm, &c->kind))
        return s3_error_argument(q, "x-amz-checksum-algorithm", algorithm,
                                 "Checksum algorithm provided is unsupported.");
    s3_conditions_write(q, &c->conditions);
    return 0;
}

/* The new object's: the source's, or with REPLACE the request's. The class is always the
 * request's (S3 User Guide, "Copying objects"). */
static struct store_attrs merged_attrs(const struct copy_request *c,
                                       const struct store_object *source)
{
    struct store_attrs a = c->replace ? c->attrs : source->attrs;
    a.storage_class = c->attrs.storage_class;
    a.owner = c->attrs.owner;
    return a;
}

/* ---- another object ------------------------------------------------------------------------- */

static int FIBER copy_bytes(struct s3_request *q, const struct copy_request *c,
                            struct s3_source *source)
{
    const struct store_object *o = source->object;
    struct store_attrs attrs = merged_attrs(c, o);
    enum store_checksum_kind kind = c->has_kind           ? c->kind
                                    : o->checksum.present ? o->checksum.kind
                                                          : STORE_CRC64NVME;
    struct store_writer *w;
    struct s3_copied copied;
    struct store_written written;
    if (o->len_bytes > STORE_OBJECT_MAX)
        return s3_error(q, -ERR_INVALID_REQUEST,
                        "The specified copy source is larger than the maximum allowable size for a "
                        "copy source: %llu",
                        STORE_OBJECT_MAX);
    int r = store_put_begin(q->s3->store, q->bucket.id, q->key, o->len_bytes, &w);
    if (!r)
        r = s3_source_copy(source, 0, o->len_bytes, kind, &w, &copied);
    if (r)
        return r;
    struct store_etag etag = {.parts = 0};
    memcpy(etag.md5, copied.md5, sizeof(etag.md5));
    r = store_put_commit(w, &attrs, &etag, &copied.checksum, &c->conditions, &written);
    if (r)
        return s3_explain_condition(q, r, &c->conditions);
    return s3_respond_copied(q, "CopyObjectResult", &etag, &copied.checksum, written.mtime_ms);
}

/* ---- itself --------------------------------------------------------------------------------- */

/* The request's conditions are about the destination, which here is the source. */
static int FIBER set_own_attrs(struct s3_request *q, const struct copy_request *c)
{
    struct store_reader *reader = NULL;
    struct store_written written;
    int r = store_get(q->s3->store, q->bucket.id, q->key, &c->conditions, &reader);
    if (r == -ERR_NOT_MODIFIED)
        r = -ERR_PRECONDITION_FAILED;
    if (!r) {
        const struct store_object *o = store_reader_object(reader);
        struct store_attrs attrs = merged_attrs(c, o);
        r = store_set_attrs(q->s3->store, q->bucket.id, q->key, o->seq, &attrs, &written);
        if (!r)
            r = s3_respond_copied(q, "CopyObjectResult", &o->etag, &o->checksum, written.mtime_ms);
    }
    if (reader)
        store_reader_close(reader);
    return s3_explain_condition(q, r, &c->conditions);
}

static int FIBER copy_onto_itself(struct s3_request *q, const struct copy_request *c)
{
    int r = -ERR_CONFLICT;
    if (!c->replace && !c->has_storage_class)
        return s3_error(q, -ERR_INVALID_REQUEST,
                        "This copy request is illegal because it is trying to copy an object to "
                        "itself without changing the object's metadata, storage class, website "
                        "redirect location or encryption attributes.");
    for (unsigned i = 0; r == -ERR_CONFLICT && i < SELF_COPY_TRIES; i++)
        r = set_own_attrs(q, c);
    return r;
}

int FIBER s3_copy_object(struct s3_request *q)
{
    struct copy_request c;
    struct s3_source source;
    int r = read_request(q, &c);
    if (!r)
        r = s3_source_open(q, &source);
    if (r)
        return r;
    bool same = source.bucket.id.n == q->bucket.id.n && str_eq(source.key, q->key);
    bool keeps_checksum =
        !c.has_kind || (source.object->checksum.present && source.object->checksum.kind == c.kind);
    if (same && !(c.has_kind && !keeps_checksum))
        r = copy_onto_itself(q, &c);
    else
        r = copy_bytes(q, &c, &source);
    s3_source_close(&source);
    return r;
}
