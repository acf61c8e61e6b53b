/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * GetBucketAcl, PutBucketAcl, GetObjectAcl, PutObjectAcl, and the list of a bucket in the making.
 */

#include "s3/acl_request.h"
#include "s3/version.h"
#include "s3/body.h"
#include "s3/notice.h"

/* ---- telling -------------------------------------------------------------------------------- */

static struct str name_of(void *arg, struct str id)
{
    return s3_display_name(arg, id);
}

static int FIBER respond_list(struct s3_request *q, struct str bytes, struct str owner)
{
    _cleanup_buf_ struct buf b;
    struct s3_acl acl;
    buf_init(&b, 0);
    int r = s3_acl_decode(bytes, owner, &acl);
    if (r)
        return r;
    s3_acl_xml(&b, &acl, owner, name_of, q);
    return s3_respond_xml(q, &b);
}

int FIBER s3_get_bucket_acl(struct s3_request *q)
{
    const struct store_setting *s = store_setting_of(q->bucket.settings, STORE_SETTING_ACL);
    bool enforced = s3_ownership_of(&q->bucket) == S3_OWNER_ENFORCED;
    return respond_list(q, s && !enforced ? s->text : STR(""), q->bucket.owner);
}

/* What could not be read; it may be a delete marker, which has no list that could be changed. */
static int FIBER close_failed(struct s3_request *q, struct store_reader *reader, int err)
{
    bool reads = q->op->method == S3_GET;
    int r = reads ? s3_explain_marker(q, reader, err) : s3_refuse_marker(q, reader, err);
    store_reader_close(reader);
    return r;
}

int FIBER s3_get_object_acl(struct s3_request *q)
{
    struct store_reader *reader = NULL;
    int r = store_get(q->s3->store, q->bucket.id, q->key, q->version, NULL, &reader);
    if (r)
        return close_failed(q, reader, r);
    const struct store_object *o = store_reader_object(reader);
    bool enforced = s3_ownership_of(&q->bucket) == S3_OWNER_ENFORCED;
    r = s3_still_allowed(q, s3_action(q->op->action, s3_param(q, "versionId").ptr != NULL),
                         &q->bucket, q->key, STR_NULL, o);
    if (!r) {
        s3_set_version(q, o);
        r = respond_list(q, enforced ? STR("") : o->attrs.acl, s3_owner_of(&q->bucket, o));
    }
    store_reader_close(reader);
    return r;
}

/* ---- setting -------------------------------------------------------------------------------- */

static int read_body(struct s3_request *q, struct str body, struct str owner, struct s3_acl *ret)
{
    struct s3_acl_fault fault;
    struct str named;
    int r = s3_acl_parse_xml(q->arena, body, ret, &named, &fault);
    if (r)
        return s3_acl_explain(q, r, &fault);
    if (!str_eq(named, owner)) /* nobody gives an object away */
        return -ERR_ACCESS_DENIED;
    return s3_acl_resolve(q, ret);
}

/* The list that the request puts, in headers or in its body, as it is kept. */
static int FIBER read_put(struct s3_request *q, struct str owner, struct str bucket_owner,
                          struct str *ret)
{
    struct s3_acl acl;
    struct str body;
    bool given = false;
    int r = s3_body_all(q, 0, &body, NULL); /* s3cmd sends no digest with it */
    if (r)
        return r;
    r = s3_acl_read(q, owner, bucket_owner, &acl, &given);
    if (body.len && given) { /* whatever else is wrong with the headers */
        q->message = STR_NULL;
        q->detail_count = 0;
        return -ERR_UNEXPECTED_CONTENT;
    }
    if (r)
        return r;
    if (!body.len && !given) {
        s3_error_detail(q, "MissingHeaderName", STR("x-amz-acl"));
        return -ERR_MISSING_SECURITY_HEADER;
    }
    if (body.len)
        r = read_body(q, body, owner, &acl);
    if (!r && s3_acl_is_public(&acl) && s3_blocks_public_acls(&q->bucket))
        r = -ERR_ACCESS_DENIED;
    return r ? r : s3_acl_encode(q->arena, &acl, owner, ret);
}

/* The owner's own list is none at all. */
static int FIBER put_bucket_list(struct s3_request *q, struct bucket_id id, struct str bytes)
{
    return bytes.len ? store_setting_put(q->s3->store, id, STORE_SETTING_ACL, bytes)
                     : store_setting_delete(q->s3->store, id, STORE_SETTING_ACL);
}

int FIBER s3_put_bucket_acl(struct s3_request *q)
{
    struct str bytes;
    if (s3_ownership_of(&q->bucket) == S3_OWNER_ENFORCED)
        return -ERR_ACL_NOT_SUPPORTED;
    int r = read_put(q, q->bucket.owner, STR(""), &bytes);
    if (!r)
        r = put_bucket_list(q, q->bucket.id, bytes);
    return r ? r : s3_respond_empty(q, 200);
}

struct new_list {
    struct str owner, bytes;
};

/* Its grants were read as this owner's. */
static int replace_list(const struct store_object *o, struct store_attrs *attrs, void *arg)
{
    const struct new_list *n = arg;
    if (!str_eq(o->attrs.owner, n->owner))
        return -ERR_CONFLICT;
    attrs->acl = n->bytes;
    return 0;
}

static int FIBER find_owner(struct s3_request *q, struct str *ret)
{
    struct store_reader *reader = NULL;
    int r = store_get(q->s3->store, q->bucket.id, q->key, q->version, NULL, &reader);
    if (r)
        return close_failed(q, reader, r);
    const struct store_object *o = store_reader_object(reader);
    r = s3_still_allowed(q, s3_action(q->op->action, s3_param(q, "versionId").ptr != NULL),
                         &q->bucket, q->key, STR_NULL, o);
    *ret = arena_dup(q->arena, o->attrs.owner);
    store_reader_close(reader);
    return r || ret->ptr ? r : -ENOMEM;
}

int FIBER s3_put_object_acl(struct s3_request *q)
{
    struct new_list n;
    struct store_written written;
    struct store_conditions conditions = {.notice = NULL};
    struct event_names names = EVENT_NAMES(EVENT_CREATED_PUT);
    names.changed = EVENT_ACL_PUT;
    if (s3_ownership_of(&q->bucket) == S3_OWNER_ENFORCED)
        return -ERR_ACL_NOT_SUPPORTED;
    int r = find_owner(q, &n.owner);
    if (!r)
        r = read_put(q, n.owner, q->bucket.owner, &n.bytes);
    if (!r)
        r = s3_notice(q, names, &conditions.notice);
    if (!r)
        r = store_change_attrs(q->s3->store, q->bucket.id, q->key, q->version, &conditions, false,
                               replace_list, &n, &written);
    return r ? r : s3_respond_empty(q, 200);
}

/* ---- a bucket in the making ----------------------------------------------------------------- */

int FIBER s3_acl_of_new_bucket(struct s3_request *q, struct str ownership, struct str *ret)
{
    struct store_bucket future = {.name = q->bucket_name, .owner = q->who.account};
    struct s3_acl acl;
    bool given;
    int r = s3_acl_read(q, future.owner, STR(""), &acl, &given);
    if (!r)
        r = s3_acl_encode(q->arena, &acl, future.owner, ret);
    if (!r && ret->len && str_eq(ownership, STR("BucketOwnerEnforced")))
        r = -ERR_BUCKET_ACL_WITH_OWNERSHIP;
    if (!r && ret->len)
        r = s3_authorise(q, "s3:PutBucketAcl", &future, STR_NULL);
    return r;
}

int FIBER s3_acl_reset(struct s3_request *q, struct str bytes)
{
    struct store_bucket b;
    int r = store_bucket_get(q->s3->store, q->arena, q->bucket_name, &b);
    if (r)
        return r;
    bool enforced = s3_ownership_of(&b) == S3_OWNER_ENFORCED;
    if (enforced && bytes.len)
        r = -ERR_BUCKET_ACL_WITH_OWNERSHIP;
    else if (!enforced && (bytes.len || store_setting_of(b.settings, STORE_SETTING_ACL)))
        r = s3_authorise(q, "s3:PutBucketAcl", &b, STR_NULL);
    if (!r && !enforced)
        r = put_bucket_list(q, b.id, bytes);
    store_bucket_release(&b);
    return r;
}

bool s3_acl_is_only_owners(const struct store_bucket *bucket)
{
    return !store_setting_of(bucket->settings, STORE_SETTING_ACL);
}
