/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What S3 calls public (S3 User Guide, "Blocking public access to your Amazon S3 storage", "The
 * meaning of public"). Every policy is until each of its Allows is shown not to be.
 */

#include "iam/policy_internal.h"

/* Networks broader than these are as good as everywhere. */
#define BROAD_V4_BITS 8
#define BROAD_V6_BITS 32

/* Keys that say who or where from; a fixed value of one keeps the public out. */
static bool is_trusted_key(enum iam_key key)
{
    switch (key) {
    case IAM_KEY_PRINCIPAL_ORG_ID:
    case IAM_KEY_PRINCIPAL_ORG_PATHS:
    case IAM_KEY_PRINCIPAL_ACCOUNT:
    case IAM_KEY_PRINCIPAL_ARN:
    case IAM_KEY_SOURCE_IP:
    case IAM_KEY_SOURCE_ARN:
    case IAM_KEY_SOURCE_VPC:
    case IAM_KEY_SOURCE_VPCE:
    case IAM_KEY_SOURCE_OWNER:
    case IAM_KEY_SOURCE_ACCOUNT:
    case IAM_KEY_S3_SSE_KEY:
    case IAM_KEY_USERID:
    case IAM_KEY_S3_POINT_ARN:
    case IAM_KEY_S3_POINT_ACCOUNT:
        return true;
    default:
        return false;
    }
}

static bool is_fixed(const struct pattern *p)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->segments[i].kind != SEGMENT_TEXT)
            return false;
    return true;
}

static bool is_fixed_arn(const struct arn_pattern *arn)
{
    for (unsigned i = 0; arn && i < ARN_PARTS; i++)
        if (!is_fixed(&arn->parts[i]))
            return false;
    return arn != NULL;
}

static bool is_fixed_value(const struct condition *c, const union condition_value *v)
{
    switch (operator_type(c->op.id)) {
    case VALUE_TEXT:
        return c->key != IAM_KEY_SOURCE_IP && is_fixed(&v->text);
    case VALUE_ARN:
        return is_fixed_arn(v->arn);
    case VALUE_IP:
        return v->network.bits >= (v->network.v4 ? BROAD_V4_BITS : BROAD_V6_BITS);
    default:
        return false;
    }
}

/* The condition lets through only what it names; an absent key must not pass it. */
static bool keeps_public_out(const struct condition *c)
{
    if (!is_trusted_key(c->key) || operator_negated(c->op.id) || c->op.if_exists ||
        c->op.set == SET_ALL)
        return false;
    for (unsigned i = 0; i < c->count; i++)
        if (!is_fixed_value(c, &c->values[i]))
            return false;
    return true;
}

static bool has_fixed_principals(const struct principals *p)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->items[i].kind == PRINCIPAL_ANYBODY)
            return false;
    return !p->negated;
}

bool policy_find_public(const struct policy *p)
{
    for (unsigned i = p->deny_count; p->kind == POLICY_BUCKET && i < p->count; i++) {
        const struct statement *s = &p->statements[i];
        bool out = has_fixed_principals(&s->principals);
        for (unsigned k = 0; !out && k < s->condition_count; k++)
            out = keeps_public_out(&s->conditions[k]);
        if (!out)
            return true;
    }
    return false;
}
