/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Counted anew each time by a walk over what there is: only what is about to be made pays for it.
 */

#include "iam/share.h"
#include "iam/internal.h"
#include "iam/oidc.h"

static const size_t shares[] = {
#define SHARE_(name, most) [IAM_SHARE_##name] = (most),
    IAM_SHARES(SHARE_)};
/* Of the store as a whole; keys and inline policies have none that is told. */
static const size_t store_limits[IAM_SHARE_COUNT] = {
    [IAM_SHARE_USERS] = IAM_USERS_MAX,         [IAM_SHARE_GROUPS] = IAM_GROUPS_MAX,
    [IAM_SHARE_ROLES] = IAM_ROLES_MAX,         [IAM_SHARE_POLICIES] = IAM_POLICIES_MAX,
    [IAM_SHARE_INLINE] = IAM_POLICIES_MAX,     [IAM_SHARE_KEYS] = SIZE_MAX,
    [IAM_SHARE_PROVIDERS] = IAM_PROVIDERS_MAX,
};

size_t iam_share_of(struct str account, enum iam_share what)
{
    return str_eq(account, STR("root")) ? store_limits[what] : shares[what];
}

struct counting {
    struct str account;
    size_t counts[IAM_SHARE_COUNT];
};

static void count_inline(struct counting *c, const struct str *policies, size_t count)
{
    for (size_t i = 0; i < count; i++)
        c->counts[IAM_SHARE_INLINE] += iam_is_inline(policies[i]);
}

static int count_user(struct table_node *n, void *arg)
{
    const struct iam_entry *e = container_of(n, struct iam_entry, by_name);
    struct counting *c = arg;
    if (!str_eq(e->user.account, c->account))
        return 0;
    c->counts[IAM_SHARE_USERS]++;
    c->counts[IAM_SHARE_KEYS] += e->key_count;
    count_inline(c, e->user.policies, e->user.policy_count);
    return 0;
}

static bool is_inside(const struct counting *c, struct str name)
{
    return iam_local_name(c->account, name).len != name.len;
}

static int count_group(struct table_node *n, void *arg)
{
    const struct iam_group_info *g = &container_of(n, struct iam_group_entry, node)->info;
    struct counting *c = arg;
    if (!is_inside(c, g->name))
        return 0;
    c->counts[IAM_SHARE_GROUPS]++;
    count_inline(c, g->policies, g->policy_count);
    return 0;
}

static int count_role(struct table_node *n, void *arg)
{
    const struct iam_role *r = &container_of(n, struct iam_role_entry, node)->info;
    struct counting *c = arg;
    if (!str_eq(r->account, c->account))
        return 0;
    c->counts[IAM_SHARE_ROLES]++;
    count_inline(c, r->policies, r->policy_count);
    return 0;
}

static int count_policy(struct table_node *n, void *arg)
{
    struct counting *c = arg;
    c->counts[IAM_SHARE_POLICIES] += !iam_is_inline(n->key) && is_inside(c, n->key);
    return 0;
}

static int count_provider(struct table_node *n, void *arg)
{
    struct counting *c = arg;
    c->counts[IAM_SHARE_PROVIDERS] += iam_provider_is_of(n, c->account);
    return 0;
}

bool iam_share_is_used(struct iam *iam, struct str account, enum iam_share what)
{
    struct counting c = {.account = account};
    if (str_eq(account, STR("root")))
        return false;
    if (what == IAM_SHARE_USERS || what == IAM_SHARE_KEYS || what == IAM_SHARE_INLINE)
        table_each(&iam->by_name, count_user, &c);
    if (what == IAM_SHARE_GROUPS || what == IAM_SHARE_INLINE)
        table_each(&iam->groups, count_group, &c);
    if (what == IAM_SHARE_ROLES || what == IAM_SHARE_INLINE)
        table_each(&iam->roles, count_role, &c);
    if (what == IAM_SHARE_POLICIES)
        table_each(&iam->policies, count_policy, &c);
    if (what == IAM_SHARE_PROVIDERS)
        table_each(&iam->providers, count_provider, &c);
    return c.counts[what] >= shares[what];
}
