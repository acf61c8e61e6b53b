/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Policies by the DN of a user or group of the directory, in memory exactly as the rows say. */

#include "iam/ldap.h"

#include "base/error.h"
#include "iam/internal.h"
#include "iam/user.pb-c.h"

#define LDAP_ROW "Ildap "

static struct iam_ldap_entry *find_entry(const struct iam *iam, struct str dn)
{
    struct table_node *n = table_get(&iam->ldap_map, dn);
    return n ? container_of(n, struct iam_ldap_entry, node) : NULL;
}

bool iam_has_ldap(const struct iam *iam)
{
    return iam->ldap != NULL;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static struct iam_ldap_entry *entry_new(const struct iam_ldap_mapping *m)
{
    struct pack p = {0};
    pack_str(&p, m->dn);
    pack_names(&p, m->policies, m->policy_count);
    struct iam_ldap_entry *e = calloc(1, sizeof(*e) + p.bytes + sizeof(max_align_t));
    if (!e)
        return NULL;
    p = (struct pack){.at = (char *)e->bytes};
    e->info = (struct iam_ldap_mapping){.policy_count = m->policy_count};
    e->info.dn = pack_str(&p, m->dn);
    e->info.policies = pack_names(&p, m->policies, m->policy_count);
    return e;
}

static int encode(const struct iam_ldap_mapping *m, struct buf *out)
{
    _cleanup_(arena_release) struct arena a;
    char *policies[IAM_USER_POLICIES_MAX];
    Iam__LdapMapping pb = IAM__LDAP_MAPPING__INIT;
    arena_init(&a, 0);
    pb.dn = arena_cstr(&a, m->dn);
    pb.policies = policies;
    pb.n_policies = m->policy_count;
    for (size_t i = 0; i < m->policy_count; i++)
        if (!(policies[i] = arena_cstr(&a, m->policies[i])))
            return -ENOMEM;
    char *into = pb.dn ? buf_reserve(out, iam__ldap_mapping__get_packed_size(&pb)) : NULL;
    if (!into)
        return -ENOMEM;
    out->len += iam__ldap_mapping__pack(&pb, (uint8_t *)into);
    return 0;
}

static int swap(struct iam *iam, struct str dn, struct iam_ldap_entry *e)
{
    int r = 0;
    rt_lock(&iam->lock);
    struct table_node *old = table_del(&iam->ldap_map, dn);
    if (e)
        r = table_put(&iam->ldap_map, &e->node, e->info.dn);
    iam->policy_turn++; /* sessions look again */
    rt_unlock(&iam->lock);
    if (old)
        free(container_of(old, struct iam_ldap_entry, node));
    return r;
}

/* By the only writer. Without policies there is no mapping. */
static int FIBER store(struct iam *iam, const struct iam_ldap_mapping *m)
{
    _cleanup_buf_ struct buf value;
    buf_init(&value, 0);
    if (!m->policy_count) {
        int r = iam_row_write(iam, LDAP_ROW, m->dn, STR_NULL);
        return r ? r : swap(iam, m->dn, NULL);
    }
    struct iam_ldap_entry *e = entry_new(m);
    int r = e ? encode(m, &value) : -ENOMEM;
    if (!r)
        r = iam_row_write(iam, LDAP_ROW, m->dn, buf_str(&value));
    if (!r)
        r = swap(iam, e->info.dn, e);
    if (r)
        free(e);
    return r;
}

static int load(struct iam *iam, struct str value)
{
    struct str policies[IAM_USER_POLICIES_MAX];
    Iam__LdapMapping *pb = iam__ldap_mapping__unpack(NULL, value.len, (const uint8_t *)value.ptr);
    int r = pb && pb->dn[0] && pb->n_policies <= ARRAY_LEN(policies) ? 0 : -ERR_CORRUPT;
    for (size_t i = 0; !r && i < pb->n_policies; i++)
        policies[i] = str_from(pb->policies[i]);
    struct iam_ldap_entry *e = NULL;
    if (!r) {
        e = entry_new(&(struct iam_ldap_mapping){str_from(pb->dn), policies, pb->n_policies});
        r = e ? table_put(&iam->ldap_map, &e->node, e->info.dn) : -ENOMEM;
    }
    if (r)
        free(e);
    iam__ldap_mapping__free_unpacked(pb, NULL);
    return r;
}

int FIBER iam_ldap_load(struct iam *iam)
{
    return iam_rows_load(iam, LDAP_ROW, load);
}

static int free_entry(struct table_node *n, void *arg)
{
    free(container_of(n, struct iam_ldap_entry, node));
    return 0;
}

void iam_ldap_release(struct iam *iam)
{
    table_each(&iam->ldap_map, free_entry, NULL);
    table_release(&iam->ldap_map);
}

/* ---- changing ------------------------------------------------------------------------------- */

static int FIBER change(struct iam *iam, struct str dn, struct str policy, bool attach)
{
    struct str names[IAM_USER_POLICIES_MAX];
    struct iam_ldap_mapping m = {.dn = dn, .policies = names};
    rt_lock(&iam->lock);
    const struct iam_ldap_entry *old = find_entry(iam, dn);
    bool known = iam_find_policy(iam, policy), full = iam->ldap_map.count >= IAM_LDAP_MAPPINGS_MAX;
    rt_unlock(&iam->lock);
    if (!known || (!old && !attach))
        return -ERR_NOT_FOUND;
    size_t count = old ? old->info.policy_count : 0;
    if (old && iam_has_name(old->info.policies, count, policy) == attach)
        return 1;
    if (attach && (count == ARRAY_LEN(names) || (!old && full)))
        return -ERR_LIMIT;
    for (size_t i = 0; i < count; i++)
        if (!str_eq(old->info.policies[i], policy))
            names[m.policy_count++] = old->info.policies[i];
    if (attach)
        names[m.policy_count++] = policy;
    return store(iam, &m);
}

int FIBER iam_ldap_attach(struct iam *iam, struct arena *a, struct str dn, struct str policy,
                          bool attach)
{
    struct str normal = ldap_dn_normal(a, dn);
    if (!normal.ptr)
        return -EINVAL;
    if (iam_is_inline(policy))
        return -ERR_NOT_FOUND;
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = change(iam, normal, policy, attach);
    iam_writer_leave(iam);
    return r;
}

/* ---- reading -------------------------------------------------------------------------------- */

static int dup_mapping(struct arena *a, const struct iam_ldap_mapping *from,
                       struct iam_ldap_mapping *ret)
{
    *ret =
        (struct iam_ldap_mapping){.dn = arena_dup(a, from->dn),
                                  .policies = iam_names_dup(a, from->policies, from->policy_count),
                                  .policy_count = from->policy_count};
    return ret->dn.ptr && ret->policies ? 0 : -ENOMEM;
}

int iam_ldap_get(struct iam *iam, struct arena *a, struct str dn, struct iam_ldap_mapping *ret)
{
    struct str normal = ldap_dn_normal(a, dn);
    if (!normal.ptr)
        return -EINVAL;
    rt_lock(&iam->lock);
    const struct iam_ldap_entry *e = find_entry(iam, normal);
    int r = e ? dup_mapping(a, &e->info, ret) : -ERR_NOT_FOUND;
    rt_unlock(&iam->lock);
    return r;
}

struct list {
    struct arena *a;
    struct iam_ldap_mapping *items;
    size_t count;
};

static int list_mapping(struct table_node *n, void *arg)
{
    struct list *l = arg;
    return dup_mapping(l->a, &container_of(n, struct iam_ldap_entry, node)->info,
                       &l->items[l->count++]);
}

static int by_dn(const void *a, const void *b)
{
    return str_cmp(((const struct iam_ldap_mapping *)a)->dn,
                   ((const struct iam_ldap_mapping *)b)->dn);
}

int iam_ldap_list(struct iam *iam, struct arena *a, struct iam_ldap_mapping **ret,
                  size_t *ret_count)
{
    struct list l = {.a = a};
    rt_lock(&iam->lock);
    l.items = arena_array(a, struct iam_ldap_mapping, iam->ldap_map.count + 1);
    int r = l.items ? table_each(&iam->ldap_map, list_mapping, &l) : -ENOMEM;
    rt_unlock(&iam->lock);
    if (r)
        return r;
    qsort(l.items, l.count, sizeof(*l.items), by_dn);
    *ret = l.items;
    *ret_count = l.count;
    return 0;
}

/* ---- a session ------------------------------------------------------------------------------ */

static size_t add_policies(const struct iam *iam, struct str dn, struct str *names)
{
    const struct iam_ldap_entry *e = find_entry(iam, dn);
    for (size_t i = 0; e && i < e->info.policy_count; i++)
        names[i] = e->info.policies[i];
    return e ? e->info.policy_count : 0;
}

size_t iam_ldap_policies(const struct iam *iam, struct str dn, char *const *groups, size_t count,
                         struct str names[IAM_LDAP_POLICIES_MAX])
{
    size_t n = add_policies(iam, dn, names);
    for (size_t i = 0; i < MIN(count, (size_t)IAM_LDAP_GROUPS_MAX); i++)
        n += add_policies(iam, str_from(groups[i]), names + n);
    return n;
}

/* Groups to which nothing is attached give nothing. */
static int keep_mapped(struct iam *iam, struct arena *a, struct ldap_user *user)
{
    struct str *kept = arena_array(a, struct str, IAM_LDAP_GROUPS_MAX);
    size_t count = 0;
    if (!kept)
        return -ENOMEM;
    rt_lock(&iam->lock);
    bool any = find_entry(iam, user->dn);
    for (size_t i = 0; i < user->group_count && count < IAM_LDAP_GROUPS_MAX; i++)
        if (find_entry(iam, user->groups[i]))
            kept[count++] = user->groups[i];
    rt_unlock(&iam->lock);
    user->groups = kept;
    user->group_count = count;
    return any || count ? 0 : -ERR_NOT_FOUND;
}

int FIBER iam_ldap_login(struct iam *iam, struct arena *a, struct str name, struct str password,
                         struct str address, struct ldap_user *ret)
{
    struct ldap_user user;
    /* A directory tells names apart without the case of their letters. */
    struct str small = arena_lower(a, name);
    if (!iam->ldap)
        return -ERR_NOT_FOUND;
    if (!small.ptr)
        return -ENOMEM;
    if (!tries_take(&iam->ldap_tries, small, address, rt_now()))
        return -ERR_SLOW_DOWN;
    int r = ldap_login(iam->ldap, a, name, password, &user);
    if (r != -ERR_ACCESS_DENIED) /* the password was not wrong */
        tries_give_back(&iam->ldap_tries, small, address);
    if (!r)
        r = keep_mapped(iam, a, &user);
    if (!r)
        *ret = user;
    return r;
}
