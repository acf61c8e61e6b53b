/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Access control lists in requests: what they add to a judgement, and what a write asks for in its
 * headers. Ownership controls rule both: in a bucket whose owner is enforced there are no lists,
 * and every object is the bucket owner's.
 *
 * Who writes an object owns it, unless the bucket's controls say otherwise; what the anonymous and
 * the server's root write is the bucket owner's.
 *
 * Source: S3 User Guide, "Controlling ownership of objects and disabling ACLs", "How Amazon S3
 * authorizes a request".
 */

#include "s3/acl_request.h"
#include "s3/version.h"

#define ENFORCED  "BucketOwnerEnforced"
#define PREFERRED "BucketOwnerPreferred"
#define WRITER    "ObjectWriter"

/* ---- ownership ------------------------------------------------------------------------------ */

/* Controls that cannot be read keep lists out. */
enum s3_ownership s3_ownership_of(const struct store_bucket *bucket)
{
    const struct store_setting *s =
        store_setting_of(bucket->settings, STORE_SETTING_OWNERSHIP_CONTROLS);
    if (!s || str_find(s->text, STR(">" WRITER "<"), 0) >= 0)
        return S3_OBJECT_WRITER;
    return str_find(s->text, STR(">" PREFERRED "<"), 0) >= 0 ? S3_OWNER_PREFERRED
                                                             : S3_OWNER_ENFORCED;
}

struct str s3_owner_of(const struct store_bucket *bucket, const struct store_object *o)
{
    return s3_ownership_of(bucket) == S3_OWNER_ENFORCED ? bucket->owner : o->attrs.owner;
}

struct str s3_writer_of(const struct s3_request *q)
{
    return q->signed_in && !q->who.root ? q->who.account : q->bucket.owner;
}

/* ---- judging -------------------------------------------------------------------------------- */

/* The object's owner and list, remembered; of none: no owner. */
static int FIBER find_object(struct s3_context *c, struct s3_owned *ret)
{
    struct store_reader *reader = NULL;
    *ret = (struct s3_owned){0};
    int r = store_get(c->q->s3->store, c->bucket->id, c->key, c->version, NULL, &reader);
    if (r == 0) {
        const struct store_attrs *attrs = &store_reader_object(reader)->attrs;
        ret->owner = arena_dup(c->q->arena, attrs->owner);
        ret->acl = arena_dup(c->q->arena, attrs->acl);
        if (!ret->owner.ptr || !ret->acl.ptr)
            r = -ENOMEM;
    }
    if (reader)
        store_reader_close(reader);
    c->q->judged = true;
    c->q->judged_object = *ret;
    bool none = r == -ERR_NO_SUCH_KEY || r == -ERR_NO_SUCH_VERSION || r == -ERR_METHOD_NOT_ALLOWED;
    return none ? 0 : r;
}

static void use_list(const struct s3_request *q, struct str bytes, struct str owner,
                     unsigned permission, struct iam_access *a)
{
    struct s3_acl acl;
    if (s3_acl_decode(bytes, owner, &acl) == 0) /* else it grants nothing */
        a->acl = s3_acl_grants(&acl, q->signed_in ? q->who.account : STR(""), owner, permission);
}

static int FIBER use_object(struct s3_context *c, unsigned permission, struct iam_access *a)
{
    struct s3_owned found;
    const struct s3_owned *o = c->object ? c->object : &found;
    int r = c->object ? 0 : find_object(c, &found);
    if (r || o->owner.len == 0)
        return r;
    a->object_owner = o->owner;
    use_list(c->q, o->acl, o->owner, permission, a);
    return 0;
}

struct str s3_initiator_of(const struct store_upload *u)
{
    return u->attrs.initiator.len ? u->attrs.initiator : u->attrs.owner;
}

/* As a grant would: what a Deny takes away stays away, and users need a policy of their own. */
static int FIBER use_initiator(struct s3_context *c, struct iam_access *a)
{
    struct store_upload u;
    if (!c->q->signed_in)
        return 0;
    int r = store_upload_get(c->q->s3->store, c->q->arena, c->bucket->id, c->key,
                             s3_param(c->q, "uploadId"), &u);
    if (r == -ERR_NO_SUCH_UPLOAD)
        return 0;
    if (r == 0 && str_eq(s3_initiator_of(&u), c->q->who.account))
        a->acl = IAM_ACL_GRANTED;
    return r;
}

int FIBER s3_acl_judge(struct s3_context *c, struct iam_access *a)
{
    unsigned permission;
    enum s3_acl_scope scope = s3_acl_scope_of(iam_action_find(a->action), &permission);
    if (scope == S3_ACL_NO_LIST || (c->q->signed_in && c->q->who.root))
        return 0;
    if (scope == S3_ACL_OF_INITIATOR)
        return use_initiator(c, a);
    if (s3_ownership_of(c->bucket) == S3_OWNER_ENFORCED)
        return 0;
    if (scope == S3_ACL_OF_OBJECT)
        return c->key.len ? use_object(c, permission, a) : 0;
    const struct store_setting *s = store_setting_of(c->bucket->settings, STORE_SETTING_ACL);
    if (s)
        use_list(c->q, s->text, c->bucket->owner, permission, a);
    return 0;
}

int FIBER s3_still_allowed(struct s3_request *q, const char *action,
                           const struct store_bucket *bucket, struct str key, struct str version_id,
                           const struct store_object *o)
{
    struct s3_owned object = {o->attrs.owner, o->attrs.acl};
    if (!q->judged || o->delete_marker || /* of which nothing is given */
        (str_eq(object.owner, q->judged_object.owner) && str_eq(object.acl, q->judged_object.acl)))
        return 0;
    struct s3_context c = {.q = q,
                           .bucket = bucket,
                           .key = key,
                           .version = s3_version_of(o),
                           .version_id = version_id,
                           .object = &object};
    return s3_authorise_in(&c, action);
}

/* ---- reading -------------------------------------------------------------------------------- */

int s3_acl_explain(struct s3_request *q, int err, const struct s3_acl_fault *fault)
{
    if (err == -ERR_INVALID_ARGUMENT && fault->text)
        return s3_error_argument(q, fault->argument ? fault->argument : "x-amz-grant", fault->value,
                                 fault->text);
    return err;
}

static int resolve_email(struct s3_request *q, struct s3_grant *g)
{
    int r = iam_account_of_email(q->s3->iam, q->arena, g->id, &g->id);
    g->kind = S3_GRANTEE_ACCOUNT;
    if (r == 0 || r == -ENOMEM)
        return r;
    s3_error_detail(q, "EmailAddress", g->id);
    return r == -ERR_EXISTS ? -ERR_AMBIGUOUS_EMAIL : -ERR_UNRESOLVABLE_EMAIL;
}

int s3_acl_resolve(struct s3_request *q, struct s3_acl *acl)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < acl->count; i++) {
        struct s3_grant *g = &acl->grants[i];
        if (g->kind == S3_GRANTEE_EMAIL)
            r = resolve_email(q, g);
        else if (g->kind == S3_GRANTEE_ACCOUNT && !iam_account_exists(q->s3->iam, g->id))
            r = s3_error_argument(q, "CanonicalUser/ID", g->id, "Invalid id");
    }
    return r;
}

static bool has_grants(struct s3_request *q)
{
    for (unsigned i = 0; i < S3_GRANT_HEADERS; i++)
        if (s3_header(q, str_from(s3_grant_headers[i].name)).ptr)
            return true;
    return false;
}

static int read_grants(struct s3_request *q, struct s3_acl *acl)
{
    for (unsigned i = 0; i < S3_GRANT_HEADERS; i++) {
        const struct s3_grant_header *h = &s3_grant_headers[i];
        struct str text = s3_header(q, str_from(h->name));
        struct s3_acl_fault fault = {0};
        if (!text.ptr)
            continue;
        int r = s3_acl_parse_header(text, h->permission, acl, &fault);
        if (r) {
            fault.argument = fault.argument ? fault.argument : h->name;
            return s3_acl_explain(q, r, &fault);
        }
    }
    return 0;
}

int s3_acl_read(struct s3_request *q, struct str owner, struct str bucket_owner, struct s3_acl *ret,
                bool *ret_given)
{
    struct str canned = s3_header(q, STR("x-amz-acl"));
    bool grants = has_grants(q);
    ret->count = 0;
    *ret_given = grants || canned.ptr;
    if (grants && canned.ptr)
        return s3_error(q, -ERR_INVALID_REQUEST,
                        "Specifying both Canned ACLs and Header Grants is not allowed");
    if (grants) {
        int r = read_grants(q, ret);
        return r ? r : s3_acl_resolve(q, ret);
    }
    if (!s3_acl_canned(canned.ptr ? canned : STR("private"), owner, bucket_owner, ret))
        return s3_error_argument(q, "x-amz-acl", canned, "Invalid Argument");
    return 0;
}

/* ---- with a write --------------------------------------------------------------------------- */

static bool gives_owner_all(struct s3_request *q, const struct s3_acl *acl)
{
    struct str canned = s3_header(q, STR("x-amz-acl"));
    return canned.ptr ? str_eq(canned, STR("bucket-owner-full-control"))
                      : s3_acl_is_owners(acl, q->bucket.owner);
}

/* The right to say who may: over what will be the writer's own, and the anonymous' own is anybody's
 * as far as a list may be public. */
static int FIBER authorise_list(struct s3_request *q)
{
    struct s3_acl anybody = {{{S3_GRANTEE_ALL, S3_PERMISSION_FULL, STR("")}}, 1};
    struct s3_owned object = {.owner = s3_writer_of(q), .acl = STR("")};
    int r = q->signed_in ? 0 : s3_acl_encode(q->arena, &anybody, STR(""), &object.acl);
    struct s3_context c = {.q = q, .bucket = &q->bucket, .key = q->key, .object = &object};
    return r ? r : s3_authorise_in(&c, "s3:PutObjectAcl");
}

static int FIBER check_given(struct s3_request *q, const struct s3_acl *acl, bool enforced)
{
    if (enforced && !gives_owner_all(q, acl))
        return -ERR_ACL_NOT_SUPPORTED;
    int r = enforced ? 0 : authorise_list(q);
    if (!r && s3_acl_is_public(acl) && s3_blocks_public_acls(&q->bucket))
        r = -ERR_ACCESS_DENIED;
    return r;
}

int FIBER s3_acl_of_write(struct s3_request *q, struct store_attrs *attrs)
{
    enum s3_ownership ownership = s3_ownership_of(&q->bucket);
    struct s3_acl acl;
    bool given;
    attrs->owner = ownership == S3_OWNER_ENFORCED ? q->bucket.owner : s3_writer_of(q);
    attrs->acl = STR("");
    int r = s3_acl_read(q, attrs->owner, q->bucket.owner, &acl, &given);
    if (!r && given)
        r = check_given(q, &acl, ownership == S3_OWNER_ENFORCED);
    if (r || !given || ownership == S3_OWNER_ENFORCED)
        return r;
    if (ownership == S3_OWNER_PREFERRED && gives_owner_all(q, &acl)) {
        attrs->owner = q->bucket.owner;
        return 0;
    }
    return s3_acl_encode(q->arena, &acl, attrs->owner, &attrs->acl);
}
