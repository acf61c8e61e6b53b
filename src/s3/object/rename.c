/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * RenameObject: another name in the same bucket, at once and without moving a byte.
 *
 * It takes what a copy and a deletion together would: s3:PutObject on the new name, s3:GetObject
 * and s3:DeleteObject on the old; of an object with tags s3:GetObjectTagging there and
 * s3:PutObjectTagging here. The source is looked at first (its conditions, whether the caller
 * may have it, the seal that has to be made anew) and the transaction then takes that very object
 * or none; when it was changed meanwhile, all is done again.
 *
 * S3 has it for directory buckets, which keep no versions: a bucket that keeps them, or did, is
 * refused.
 */

#include "s3/acl_request.h"
#include "s3/attrs.h"
#include "s3/audit.h"
#include "s3/context.h"
#include "s3/notice.h"
#include "s3/sse.h"

#define ATTEMPTS 5

struct rename_request {
    struct str from;
    struct store_conditions source, conditions;
};

static int bad_source(struct s3_request *q, struct str header, const char *message)
{
    return s3_error_argument(q, "x-amz-rename-source", header, message);
}

/* A key, percent-encoded, or "/bucket/" of this bucket and a key. */
static int read_source(struct s3_request *q, struct str *ret)
{
    struct str header = s3_header(q, STR("x-amz-rename-source")), text = header;
    struct str with_bucket = arena_printf(q->arena, "/%.*s/", STR_FMT(q->bucket_name));
    if (!header.len)
        return bad_source(q, header, "The name of the object to rename is missing");
    if (!with_bucket.ptr)
        return -ENOMEM;
    if (str_starts(text, with_bucket))
        text = str_from_offset(text, with_bucket.len);
    if (uri_decode(q->arena, text, ret) || ret->len == 0 || ret->len > STORE_KEY_MAX ||
        !str_is_utf8(*ret))
        return bad_source(q, header, "Not the name of an object");
    return str_eq(*ret, q->key)
               ? s3_error(q, -ERR_INVALID_REQUEST, "The object has this name already")
               : 0;
}

static int no_versions(struct s3_request *q)
{
    return s3_error(q, -ERR_BUCKET_STATE,
                    "RenameObject is not supported in a bucket whose versioning is, or was, "
                    "enabled");
}

static int FIBER authorise_source(struct s3_request *q, struct str key)
{
    struct s3_context c = {
        .q = q, .bucket = &q->bucket, .key = key, .version = STORE_CURRENT, .version_id = STR("")};
    int r = s3_authorise_in(&c, "s3:DeleteObject");
    return r ? r : s3_authorise_in(&c, "s3:GetObject"); /* the last: see s3_still_allowed */
}

static int FIBER explain_source(struct s3_request *q, const struct rename_request *n, int err)
{
    int r = s3_hide_absence(q, &q->bucket, n->from, err);
    if (r == -ERR_NO_SUCH_KEY)
        s3_error_detail(q, "Key", n->from);
    return s3_explain_source_condition(q, r, &n->source, "x-amz-rename-source-");
}

static int FIBER tags_along(struct s3_request *q, struct str from, const struct store_object *o)
{
    struct s3_context c = {
        .q = q, .bucket = &q->bucket, .key = from, .version = STORE_CURRENT, .version_id = STR("")};
    return s3_tags_along(&c, o);
}

/* The object as it is now, in the request's arena: what the rename asks of it. */
static int FIBER look_at(struct s3_request *q, const struct rename_request *n,
                         struct store_renaming *ret)
{
    struct store_reader *reader = NULL;
    int r = store_get(q->s3->store, q->bucket.id, n->from, STORE_CURRENT, &n->source, &reader);
    const struct store_object *o = reader ? store_reader_object(reader) : NULL;
    int allowed = o ? s3_still_allowed(q, "s3:GetObject", &q->bucket, n->from, STR(""), o) : 0;
    if (allowed)
        r = allowed;
    else if (r)
        r = explain_source(q, n, r);
    else
        r = tags_along(q, n->from, o);
    if (!r) {
        ret->seq = o->seq;
        ret->old_seal = arena_dup(q->arena, o->attrs.seal);
        r = ret->old_seal.ptr ? s3_sse_rename(q, n->from, ret->old_seal, &ret->seal) : -ENOMEM;
    }
    if (reader)
        store_reader_close(reader);
    return r;
}

static int FIBER rename_once(struct s3_request *q, const struct rename_request *n)
{
    struct store_written written;
    struct store_renaming what = {.from = n->from, .to = q->key, .conditions = &n->conditions};
    int r = look_at(q, n, &what);
    if (r)
        return r;
    r = store_rename(q->s3->store, q->bucket.id, &what, &written);
    return s3_explain_condition(q, r, &n->conditions);
}

static int FIBER rename_some(struct s3_request *q, const struct rename_request *n)
{
    int r = -ERR_CONFLICT;
    for (unsigned i = 0; r == -ERR_CONFLICT && i < ATTEMPTS; i++) {
        r = i ? authorise_source(q, n->from) : 0;
        if (!r)
            r = rename_once(q, n);
    }
    return r;
}

int FIBER s3_rename_object(struct s3_request *q)
{
    struct rename_request n;
    int r = read_source(q, &n.from);
    if (!r)
        r = authorise_source(q, n.from);
    if (!r && q->bucket.versioning != STORE_VERSIONING_NEVER)
        r = no_versions(q);
    if (r)
        return r;
    s3_conditions_rename(q, &n.source, &n.conditions);
    r = s3_notice(q, EVENT_NAMES(EVENT_CREATED_COPY), &n.conditions.notice);
    if (!r)
        r = rename_some(q, &n);
    if (r == 0) {
        s3_audit_key(q, n.from, STR_NULL, 0); /* the request's own record has the new name */
        return s3_respond_empty(q, 200);
    }
    return r == -ERR_BUCKET_STATE ? no_versions(q) : r;
}
