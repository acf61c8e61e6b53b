/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * PutBucketPolicy, GetBucketPolicy, DeleteBucketPolicy, GetBucketPolicyStatus. The document is
 * checked when it is put and kept byte for byte.
 */

#include "iam/bucket_policy.h"
#include "s3/body.h"

/* The policy of a bucket is its account's: a right to it in the policy itself opens it to nobody
 * else (API reference, PutBucketPolicy, GetBucketPolicy, DeleteBucketPolicy). */
static int check_account(const struct s3_request *q)
{
    bool own = q->signed_in && (q->who.root || str_eq(q->who.account, q->bucket.owner));
    return own ? 0 : -ERR_METHOD_NOT_ALLOWED;
}

/* Says what is wrong with it, and where. */
static int check(struct s3_request *q, struct str document)
{
    struct policy *policy;
    struct policy_fault fault;
    int r = policy_compile(POLICY_BUCKET, q->bucket.name, document, &policy, &fault);
    if (r == -ERR_MALFORMED_POLICY)
        return s3_error(q, r, "%s", fault.text);
    if (r)
        return r;
    bool blocked = policy_is_public(policy) && s3_blocks_public_policy(&q->bucket);
    policy_unref(policy);
    return blocked ? -ERR_ACCESS_DENIED : 0;
}

int FIBER s3_put_bucket_policy(struct s3_request *q)
{
    struct str document;
    int r = check_account(q);
    if (!r)
        r = s3_body_all(q, 0, &document, NULL);
    if (!r)
        r = check(q, document);
    if (!r)
        r = store_setting_put(q->s3->store, q->bucket.id, STORE_SETTING_POLICY, document);
    return r ? r : s3_respond_empty(q, 204);
}

int FIBER s3_get_bucket_policy(struct s3_request *q)
{
    const struct store_setting *s = store_setting_of(q->bucket.settings, STORE_SETTING_POLICY);
    int r = check_account(q);
    if (r || !s)
        return r ? r : -ERR_NO_SUCH_BUCKET_POLICY;
    (void)http_set_header(q->x, "Content-Type", STR("application/json"));
    return http_respond(q->x, 200, s->text);
}

int FIBER s3_delete_bucket_policy(struct s3_request *q)
{
    int r = check_account(q);
    if (!r)
        r = store_setting_delete(q->s3->store, q->bucket.id, STORE_SETTING_POLICY);
    return r ? r : s3_respond_empty(q, 204);
}

int FIBER s3_get_bucket_policy_status(struct s3_request *q)
{
    _cleanup_buf_ struct buf b;
    const struct policy *policy;
    buf_init(&b, 0);
    int r = iam_bucket_policy(&q->bucket, &policy);
    if (r || !policy)
        return r ? r : -ERR_NO_SUCH_BUCKET_POLICY;
    xml_begin(&b);
    xml_open_ns(&b, "PolicyStatus", S3_XMLNS);
    xml_element(&b, "IsPublic", policy_is_public(policy) ? STR("true") : STR("false"));
    xml_close(&b, "PolicyStatus");
    return s3_respond_xml(q, &b);
}
