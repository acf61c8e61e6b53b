/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* A document that parses allows nothing beyond what it names. */

#include "base/error.h"
#include "s3/post_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct form_field fields[] = {
        {STR("key"), STR("foo")},
        {STR("x-amz-meta-that-no-policy-names"), STR("")},
    };
    struct s3_post_policy policy;
    struct arena a;
    struct str why;
    arena_init(&a, 0);
    int r = s3_post_policy_parse(&a, str_make(data, size), &policy, &why);
    CHECK(r == 0 || r == -ERR_INVALID_POLICY_DOCUMENT || r == -ENOMEM);
    if (r == 0) {
        CHECK(policy.count <= S3_POST_CONDITIONS_MAX);
        (void)s3_post_policy_test(&a, &policy, fields, 1, 0, &why);
        bool named = false;
        for (size_t i = 0; i < policy.count; i++)
            named |= str_eq_nocase(policy.conditions[i].field, fields[1].name);
        CHECK(named || s3_post_policy_test(&a, &policy, fields, 2, 0, &why) == -ERR_ACCESS_DENIED);
    }
    arena_release(&a);
    return 0;
}
