/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "iam/bucket_policy.h"

#include "base/error.h"
#include "iam/policy_decide.h"

#define DENY_ALL                                                                             \
    "{\"Statement\":{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"*\",\"Resource\":" \
    "[\"arn:aws:s3:::*\",\"arn:aws:s3:::*/*\"]}}"

static void release(void *made)
{
    policy_unref(made);
}

int iam_bucket_policy(const struct store_bucket *bucket, const struct policy **ret)
{
    const struct store_setting *s = store_setting_of(bucket->settings, STORE_SETTING_POLICY);
    struct policy *made;
    struct policy_fault why;
    *ret = NULL;
    if (!s)
        return 0;
    *ret = store_setting_parsed(bucket->settings, STORE_SETTING_POLICY);
    if (*ret)
        return 0;
    int r = policy_compile(POLICY_BUCKET, bucket->name, s->text, &made, &why);
    if (r == -ERR_MALFORMED_POLICY)
        r = policy_compile(POLICY_BUCKET, bucket->name, STR(DENY_ALL), &made, &why);
    if (r)
        return r;
    *ret = store_setting_keep(bucket->settings, STORE_SETTING_POLICY, made, release);
    return 0;
}

/* On unless the document says that it is off: one that cannot be read keeps everybody out. */
bool iam_bucket_blocks(const struct store_bucket *bucket, const char *name)
{
    const struct store_setting *s =
        store_setting_of(bucket->settings, STORE_SETTING_PUBLIC_ACCESS_BLOCK);
    if (!s)
        return false;
    ptrdiff_t at = str_find(s->text, str_from(name), 0);
    struct str rest = str_from_offset(s->text, at < 0 ? s->text.len : (size_t)at + strlen(name));
    return !str_starts(rest, STR(">false<"));
}

unsigned iam_bucket_block(const struct store_bucket *bucket)
{
    unsigned block = 0;
    if (iam_bucket_blocks(bucket, "IgnorePublicAcls"))
        block |= IAM_IGNORE_PUBLIC_ACLS;
    if (iam_bucket_blocks(bucket, "RestrictPublicBuckets"))
        block |= IAM_RESTRICT_PUBLIC_BUCKETS;
    return block;
}
