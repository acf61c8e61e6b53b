/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * PutBucketLogging, GetBucketLogging. The target must be the same account's, and open to the
 * service that writes logs, from the start. TargetGrants are of the objects that will be written.
 */

#include "s3/acl_request.h"
#include "s3/body.h"
#include "s3/log_delivery.h"
#include "s3/log_record.h"

static int invalid_target(struct s3_request *q, struct str target, const char *why)
{
    s3_error_detail(q, "TargetBucket", target);
    return s3_error(q, -ERR_INVALID_LOG_TARGET, "%s", why);
}

static int FIBER judge_target(struct s3_request *q, const struct s3_logging *l,
                              const struct store_bucket *target)
{
    if (!str_eq(target->owner, q->bucket.owner))
        return invalid_target(q, l->bucket,
                              "The owner for the bucket to be logged and the target bucket must be "
                              "the same.");
    int r = s3_logs_authorise(q->s3, target, l->prefix.len ? l->prefix : STR("-"), q->bucket.name,
                              q->bucket.owner);
    if (r != -ERR_ACCESS_DENIED)
        return r;
    return invalid_target(q, l->bucket,
                          "You must give the log-delivery group WRITE permission to the target "
                          "bucket, or its policy must let logging.s3.amazonaws.com put objects.");
}

/* What a write with these grants would be told. */
static int FIBER judge_grants(struct s3_request *q, struct s3_acl *grants,
                              const struct store_bucket *target)
{
    if (s3_ownership_of(target) == S3_OWNER_ENFORCED)
        return -ERR_ACL_NOT_SUPPORTED;
    if (s3_acl_is_public(grants) && s3_blocks_public_acls(target))
        return -ERR_ACCESS_DENIED;
    return s3_acl_resolve(q, grants);
}

static int FIBER check_target(struct s3_request *q, const struct s3_logging *l)
{
    struct store_bucket target;
    int r = store_bucket_get(q->s3->store, q->arena, l->bucket, &target);
    if (r == -ERR_NO_SUCH_BUCKET)
        return invalid_target(q, l->bucket, "The target bucket for logging does not exist");
    if (r)
        return r;
    r = judge_target(q, l, &target);
    if (!r && l->grants)
        r = judge_grants(q, l->grants, &target);
    store_bucket_release(&target);
    return r;
}

int FIBER s3_put_bucket_logging(struct s3_request *q)
{
    _cleanup_buf_ struct buf b;
    struct s3_logging l;
    struct str body;
    bool on;
    buf_init(&b, STORE_SETTING_MAX);
    int r = s3_body_all(q, 0, &body, NULL); /* no digest is asked for */
    if (!r)
        r = s3_logging_parse(q->arena, body, &l, &on);
    if (!r && on)
        r = check_target(q, &l);
    if (r)
        return r;
    s3_logging_xml(&b, on ? &l : NULL);
    r = buf_error(&b);
    if (!r)
        r = on ? store_setting_put(q->s3->store, q->bucket.id, STORE_SETTING_LOGGING, buf_str(&b))
               : store_setting_delete(q->s3->store, q->bucket.id, STORE_SETTING_LOGGING);
    return r ? r : s3_respond_empty(q, 200);
}

int FIBER s3_get_bucket_logging(struct s3_request *q)
{
    _cleanup_buf_ struct buf b;
    const struct store_setting *s = store_setting_of(q->bucket.settings, STORE_SETTING_LOGGING);
    buf_init(&b, 0);
    if (s)
        buf_put_str(&b, s->text);
    else
        s3_logging_xml(&b, NULL);
    return s3_respond_xml(q, &b);
}
