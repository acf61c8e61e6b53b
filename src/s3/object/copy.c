/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * CopyObject. A copy onto itself changes attributes only and touches no byte; every other copy
 * reads, hashes and writes the bytes anew.
 */

#include "s3/attrs.h"
#include "s3/body.h"
#include "s3/context.h"
#include "s3/lifecycle.h"
#include "s3/notice.h"
#include "s3/object/lock.h"
#include "s3/sse.h"
#include "s3/tags.h"
#include "s3/object/upload.h"
#include "s3/version.h"

struct copy_request {
    bool replace;           /* x-amz-metadata-directive: REPLACE */
    bool replace_tags;      /* x-amz-tagging-directive: REPLACE */
    bool has_storage_class; /* the client names one */
    bool has_kind;          /* x-amz-checksum-algorithm */
    enum store_checksum_kind kind;
    struct store_attrs attrs; /* of the request */
    struct s3_sse sse;        /* of the copy */
    struct store_conditions conditions;
};

static void release_request(struct copy_request *c)
{
    s3_sse_release(&c->sse);
}

static int read_directive(struct s3_request *q, const char *header, const char *message,
                          bool *ret_replace)
{
    struct str text = http_header(q->x, str_from(header));
    *ret_replace = str_eq_nocase(text, STR("REPLACE"));
    if (!text.ptr || *ret_replace || str_eq_nocase(text, STR("COPY")))
        return 0;
    return s3_error_argument(q, header, text, message);
}

static int read_directives(struct s3_request *q, struct copy_request *c)
{
    int r =
        read_directive(q, "x-amz-metadata-directive", "Unknown metadata directive.", &c->replace);
    return r ? r
             : read_directive(q, "x-amz-tagging-directive", "Unknown tagging directive.",
                              &c->replace_tags);
}

static int read_request(struct s3_request *q, struct copy_request *c)
{
    struct str algorithm = http_header(q->x, STR("x-amz-checksum-algorithm"));
    *c = (struct copy_request){0};
    int r = read_directives(q, c);
    if (!r)
        r = s3_attrs_read(q, &c->attrs);
    if (!r && c->replace_tags)
        r = s3_tags_read(q, &c->attrs);
    if (r)
        return r;
    c->has_storage_class = http_header(q->x, STR("x-amz-storage-class")).ptr != NULL;
    c->has_kind = algorithm.ptr != NULL;
    if (c->has_kind && !s3_checksum_kind_parse(algorithm, &c->kind))
        return s3_checksum_unknown(q);
    r = s3_conditions_write(q, &c->conditions);
    if (!r)
        r = s3_notice(q, EVENT_NAMES(EVENT_CREATED_COPY), &c->conditions.notice);
    return r ? r : s3_sse_read(q, &c->sse);
}

/* The new object's: the source's, or with REPLACE the request's. Class and redirect are always the
 * request's (S3 User Guide, "Copying objects"). */
static int merge_attrs(struct s3_request *q, const struct copy_request *c,
                       const struct store_object *source, struct store_attrs *ret)
{
    struct store_attrs a = c->replace ? c->attrs : source->attrs;
    const struct store_attrs *tags = c->replace_tags ? &c->attrs : &source->attrs;
    a.storage_class = c->attrs.storage_class;
    a.owner = c->attrs.owner;
    a.acl = c->attrs.acl;
    a.seal = STR_NULL;      /* its own, or none */
    a.lock = c->attrs.lock; /* no lock is copied */
    a.restore = c->attrs.restore;
    a.tags = tags->tags;
    a.tag_count = tags->tag_count;
    *ret = a;
    int r = s3_lock_by_class(q, ret, 0);
    return r ? r : s3_redirect_replace(q->arena, ret, s3_redirect_of(&c->attrs));
}

/* ---- another object ------------------------------------------------------------------------- */

static int FIBER copy_bytes(struct s3_request *q, struct copy_request *c, struct s3_source *source)
{
    const struct store_object *o = source->object;
    struct store_attrs attrs;
    enum store_checksum_kind kind = c->has_kind           ? c->kind
                                    : o->checksum.present ? o->checksum.kind
                                                          : STORE_CRC64NVME;
    _cleanup_data_key_ struct s3_data_key key = {0};
    struct store_writer *w;
    struct s3_copied copied;
    struct store_written written;
    if (o->len_bytes > STORE_OBJECT_MAX)
        return s3_error(q, -ERR_INVALID_REQUEST,
                        "The specified copy source is larger than the maximum allowable size for a "
                        "copy source: %llu",
                        STORE_OBJECT_MAX);
    int r = merge_attrs(q, c, o, &attrs);
    if (!r)
        r = s3_sse_make(q, &c->sse, &key, &attrs.seal);
    if (!r)
        r = store_put_begin_sealed(q->s3->store, q->bucket.id, q->key, o->len_bytes, o->len_bytes,
                                   s3_data_key_or_null(&key), &w);
    if (!r)
        r = s3_writer_class(q, &w, attrs.storage_class);
    if (!r)
        r = s3_source_copy(source, 0, o->len_bytes, kind, &w, &copied);
    if (r)
        return r;
    r = s3_quota_renew(q, &c->conditions);
    if (r) {
        store_write_abort(w);
        return r;
    }
    struct store_etag etag = s3_sse_etag(attrs.seal, &key, copied.md5);
    r = store_put_commit(w, &attrs, &etag, &copied.checksum, &c->conditions, &written);
    if (r)
        return s3_explain_condition(q, r, &c->conditions);
    s3_sse_headers(q, attrs.seal);
    s3_source_tell(q, source);
    /* Unlike a PUT, a copy tells of a null version, too. */
    s3_set_version(
        q, &(struct store_object){.seq = written.seq, .null_version = written.null_version});
    s3_set_expiration(q, &(struct store_object){.mtime_ms = written.mtime_ms,
                                                .len_bytes = o->len_bytes,
                                                .attrs = attrs});
    return s3_respond_copied(q, "CopyObjectResult", &etag, &copied.checksum, written.mtime_ms);
}

/* ---- itself --------------------------------------------------------------------------------- */

/* What a change of the object's own attributes is made of, and what came of it. */
struct own {
    struct s3_request *q;
    const struct copy_request *c;
    uint64_t seq; /* of the source: its conditions, encryption and class were tested */
    struct store_etag etag;
    struct store_checksum checksum;
    struct store_attrs attrs;
    uint64_t len_bytes;
};

static int set_own_attrs(const struct store_object *o, struct store_attrs *attrs, void *arg)
{
    struct own *own = arg;
    if (o->seq != own->seq)
        return -ERR_BUCKET_STATE;
    own->etag = o->etag;
    own->checksum = o->checksum;
    struct str seal = o->attrs.seal; /* the bytes stay as they are */
    int r = merge_attrs(own->q, own->c, o, attrs);
    attrs->seal = seal;
    own->attrs = *attrs;
    own->len_bytes = o->len_bytes;
    return r;
}

/* A copy of the current object onto itself has to change something: what a customer's key sealed
 * and the request names none for is sealed otherwise from now on. In AWS a bucket's default
 * encryption counts as a change, whatever the object's is. */
static int check_own(struct s3_request *q, const struct copy_request *c,
                     const struct s3_source *source)
{
    if (c->replace || c->replace_tags || c->has_storage_class || s3_redirect_of(&c->attrs).ptr ||
        c->sse.asked || s3_sse_is_customers(source->object->attrs.seal) ||
        store_setting_of(q->bucket.settings, STORE_SETTING_ENCRYPTION))
        return 0;
    return s3_error(q, -ERR_INVALID_REQUEST,
                    "This copy request is illegal because it is trying to copy an object to "
                    "itself without changing the object's metadata, storage class, website "
                    "redirect location or encryption attributes.");
}

/* -ERR_BUCKET_STATE: versions are kept, or the object is no longer the source, so the bytes must be
 * copied after all. */
static int FIBER copy_onto_itself(struct s3_request *q, const struct copy_request *c,
                                  const struct s3_source *source)
{
    struct own own = {.q = q, .c = c, .seq = source->object->seq};
    struct store_written written;
    int r = store_change_attrs(q->s3->store, q->bucket.id, q->key, STORE_CURRENT, &c->conditions,
                               true, set_own_attrs, &own, &written);
    if (r)
        return s3_explain_condition(q, r, &c->conditions);
    s3_sse_headers(q, source->object->attrs.seal);
    s3_set_expiration(q, &(struct store_object){.mtime_ms = written.mtime_ms,
                                                .len_bytes = own.len_bytes,
                                                .attrs = own.attrs});
    return s3_respond_copied(q, "CopyObjectResult", &own.etag, &own.checksum, written.mtime_ms);
}

static int FIBER authorise_tags(struct s3_request *q, const struct copy_request *c,
                                const struct s3_source *source)
{
    struct s3_context from = {.q = q,
                              .bucket = &source->bucket,
                              .key = source->key,
                              .version = source->version,
                              .version_id = source->version_id.ptr ? source->version_id : STR("")};
    return c->replace_tags ? 0 : s3_tags_along(&from, source->object);
}

/* Bytes of another code have to be written anew. */
static bool changes_code(struct s3_request *q, const struct copy_request *c,
                         const struct s3_source *source)
{
    struct blob_class was, will;
    return store_class_find(q->s3->store, source->object->attrs.storage_class, &was) != 0 ||
           store_class_find(q->s3->store, c->attrs.storage_class, &will) != 0 || was.n != will.n;
}

int FIBER s3_copy_object(struct s3_request *q)
{
    _cleanup_(release_request) struct copy_request c;
    struct s3_source source;
    int r = read_request(q, &c);
    if (!r)
        r = s3_source_open(q, &source);
    if (r)
        return r;
    bool same = source.bucket.id.n == q->bucket.id.n && str_eq(source.key, q->key) &&
                source.version.kind == STORE_VERSION_CURRENT;
    bool keeps_checksum =
        !c.has_kind || (source.object->checksum.present && source.object->checksum.kind == c.kind);
    bool in_place = same && keeps_checksum && q->bucket.versioning == STORE_VERSIONING_NEVER &&
                    s3_sse_is_already(&c.sse, source.object->attrs.seal) &&
                    !changes_code(q, &c, &source);
    r = authorise_tags(q, &c, &source);
    if (!r && same && keeps_checksum)
        r = check_own(q, &c, &source);
    if (!r)
        r = in_place ? copy_onto_itself(q, &c, &source) : copy_bytes(q, &c, &source);
    if (r == -ERR_BUCKET_STATE) /* the bucket or the object changed meanwhile */
        r = copy_bytes(q, &c, &source);
    s3_source_close(&source);
    return r;
}
