/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation.
 */

#include "s3/bodies.h"
#include "s3/body.h"
#include "s3/object/lock.h"
#include "s3/object/tagging.h"
#include "s3/tags.h"

#define REGION_FIRST STR("us-east-1") /* the region that has no location constraint */

/* ---- creating ------------------------------------------------------------------------------- */

/* One region is served: a constraint must name it. */
static int check_location(struct s3_request *q, struct str location)
{
    if (location.len == 0 || str_eq(location, q->s3->region))
        return 0;
    if (str_eq(location, STR("EU")) && str_eq(q->s3->region, STR("eu-west-1")))
        return 0;
    s3_error_detail(q, "LocationConstraint", location);
    if (str_eq(q->s3->region, REGION_FIRST))
        return -ERR_INVALID_LOCATION;
    return s3_error(q, -ERR_ILLEGAL_LOCATION,
                    "The %.*s location constraint is incompatible for the region specific endpoint "
                    "this request was sent to.",
                    STR_FMT(location));
}

/* What a bucket has from its first moment; empty: it has none of it. */
struct creation {
    struct str location, ownership, acl, tags;
    bool object_lock;
};

static int FIBER read_tags(struct s3_request *q, const struct xml_node *set, struct str *ret)
{
    struct store_bucket future = {.name = q->bucket_name, .owner = q->who.account};
    _cleanup_buf_ struct buf b;
    struct s3_tags tags;
    struct s3_tags_fault fault;
    buf_init(&b, STORE_SETTING_MAX);
    int r = s3_tags_parse_set(q->arena, set, S3_BUCKET_TAGS_MAX, &tags, &fault);
    if (r)
        return s3_explain_tags(q, r, &fault);
    s3_tags_xml(&b, tags.pairs, tags.count);
    *ret = arena_dup(q->arena, buf_str(&b));
    if (buf_error(&b) || !ret->ptr)
        return buf_error(&b) ? buf_error(&b) : -ENOMEM;
    return s3_authorise(q, "s3:PutBucketTagging", &future, STR_NULL);
}

static int FIBER read_body(struct s3_request *q, struct creation *c)
{
    struct s3_new_bucket n;
    struct str body;
    int r = s3_body_all(q, 0, &body, NULL);
    if (!r)
        r = s3_body_new_bucket(q->arena, body, &n);
    if (r)
        return r;
    c->location = n.location;
    r = check_location(q, n.location);
    return r || !n.tags ? r : read_tags(q, n.tags, &c->tags);
}

static void add_setting(struct store_bucket_setting *all, struct store_bucket_spec *spec,
                        enum store_setting_kind kind, struct str text)
{
    if (text.len)
        all[spec->setting_count++] = (struct store_bucket_setting){kind, text};
}

static int FIBER make_bucket(struct s3_request *q, const struct creation *c)
{
    _cleanup_buf_ struct buf controls;
    struct store_bucket_setting settings[3];
    struct store_bucket bucket;
    struct store_bucket_spec spec = {.name = q->bucket_name,
                                     .owner = q->who.account,
                                     .region = c->location,
                                     .settings = settings,
                                     .object_lock = c->object_lock};
    buf_init(&controls, 0);
    if (c->ownership.ptr)
        s3_ownership_xml(&controls, c->ownership);
    add_setting(settings, &spec, STORE_SETTING_OWNERSHIP_CONTROLS, buf_str(&controls));
    add_setting(settings, &spec, STORE_SETTING_ACL, c->acl);
    add_setting(settings, &spec, STORE_SETTING_TAGGING, c->tags);
    return buf_error(&controls) ? buf_error(&controls)
                                : store_bucket_make(q->s3->store, q->arena, &spec, &bucket);
}

static void set_arn(struct s3_request *q)
{
    (void)http_set_header(q->x, "x-amz-bucket-arn",
                          arena_printf(q->arena, "arn:aws:s3:::%.*s", STR_FMT(q->bucket_name)));
}

int FIBER s3_create_bucket(struct s3_request *q)
{
    struct creation c = {0};
    if (q->tenant.ptr) /* a bucket is of its maker's */
        return -ERR_INVALID_BUCKET_NAME;
    int r = s3_ownership_read(q, &c.ownership);
    if (!r)
        r = s3_acl_of_new_bucket(q, c.ownership, &c.acl);
    if (!r)
        r = s3_lock_of_new_bucket(q, &c.object_lock);
    if (!r)
        r = read_body(q, &c);
    if (!r)
        r = make_bucket(q, &c);
    /* In us-east-1, and only there, creating one's own bucket again, without tags, is no error. */
    if (r == -ERR_BUCKET_OWNED && str_eq(q->s3->region, REGION_FIRST) && !c.tags.len)
        r = s3_acl_reset(q, c.acl);
    if (r)
        return r;
    struct str path = arena_printf(q->arena, "/%.*s", STR_FMT(q->bucket_name));
    (void)http_set_header(q->x, "Location", path);
    set_arn(q);
    return s3_respond_empty(q, 200);
}

/* ---- the others ----------------------------------------------------------------------------- */

int FIBER s3_head_bucket(struct s3_request *q)
{
    (void)http_set_header(q->x, "x-amz-bucket-region", q->s3->region);
    (void)http_set_header(q->x, "x-amz-access-point-alias", STR("false"));
    (void)http_set_header(q->x, "Content-Type", STR("application/xml"));
    set_arn(q);
    return s3_respond_empty(q, 200);
}

int FIBER s3_delete_bucket(struct s3_request *q)
{
    int r = store_bucket_delete(q->s3->store, q->bucket_name);
    if (r == -ERR_BUCKET_NOT_EMPTY && q->bucket.versioning != STORE_VERSIONING_NEVER)
        return s3_error(q, r,
                        "The bucket you tried to delete is not empty. You must delete all "
                        "versions in the bucket.");
    return r ? r : s3_respond_empty(q, 204);
}

int FIBER s3_get_bucket_location(struct s3_request *q)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    xml_begin(&b);
    xml_open_ns(&b, "LocationConstraint", S3_XMLNS);
    if (!str_eq(q->s3->region, REGION_FIRST))
        xml_text(&b, q->s3->region);
    xml_close(&b, "LocationConstraint");
    return s3_respond_xml(q, &b);
}
