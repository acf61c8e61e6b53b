/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation.
 */

#include "s3/bodies.h"
#include "s3/body.h"
#include "s3/object/lock.h"

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

static int read_location(struct s3_request *q, struct str *ret)
{
    struct str body;
    int r = s3_body_all(q, 0, &body, NULL);
    if (!r)
        r = s3_body_location(q->arena, body, ret);
    return r ? r : check_location(q, *ret);
}

/* Owner and rights are there from the bucket's first moment. */
static int FIBER make_bucket(struct s3_request *q, struct str location, struct str ownership,
                             struct str acl, bool object_lock)
{
    _cleanup_buf_ struct buf controls;
    struct store_bucket_setting settings[2];
    struct store_bucket bucket;
    struct store_bucket_spec spec = {.name = q->bucket_name,
                                     .owner = q->who.account,
                                     .region = location,
                                     .settings = settings,
                                     .object_lock = object_lock};
    buf_init(&controls, 0);
    if (ownership.ptr) {
        s3_ownership_xml(&controls, ownership);
        settings[spec.setting_count++] =
            (struct store_bucket_setting){STORE_SETTING_OWNERSHIP_CONTROLS, buf_str(&controls)};
    }
    if (acl.len)
        settings[spec.setting_count++] = (struct store_bucket_setting){STORE_SETTING_ACL, acl};
    return buf_error(&controls) ? buf_error(&controls)
                                : store_bucket_make(q->s3->store, q->arena, &spec, &bucket);
}

int FIBER s3_create_bucket(struct s3_request *q)
{
    struct str location, ownership, acl;
    bool object_lock = false;
    if (q->tenant.ptr) /* a bucket is of its maker's */
        return -ERR_INVALID_BUCKET_NAME;
    int r = s3_ownership_read(q, &ownership);
    if (!r)
        r = s3_acl_of_new_bucket(q, ownership, &acl);
    if (!r)
        r = s3_lock_of_new_bucket(q, &object_lock);
    if (!r)
        r = read_location(q, &location);
    if (!r)
        r = make_bucket(q, location, ownership, acl, object_lock);
    /* In us-east-1, and only there, creating one's own bucket again is no error. */
    if (r == -ERR_BUCKET_OWNED && str_eq(q->s3->region, REGION_FIRST))
        r = s3_acl_reset(q, acl);
    if (r)
        return r;
    struct str path = arena_printf(q->arena, "/%.*s", STR_FMT(q->bucket_name));
    (void)http_set_header(q->x, "Location", path);
    return s3_respond_empty(q, 200);
}

/* ---- the others ----------------------------------------------------------------------------- */

int FIBER s3_head_bucket(struct s3_request *q)
{
    (void)http_set_header(q->x, "x-amz-bucket-region", q->s3->region);
    return s3_respond_empty(q, 200);
}

int FIBER s3_delete_bucket(struct s3_request *q)
{
    int r = store_bucket_delete(q->s3->store, q->bucket_name);
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
