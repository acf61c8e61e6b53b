/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "iam/bucket_policy.h"

#include "base/error.h"

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
