/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What policies come to for one holder, and what a holder holds.
 *
 * A holder's grants are one immutable block with counted references: a request holds one to its
 * end, so it sees one state. They are made anew when they are asked for after any policy or group
 * changed (policy_turn), or after the holder's own entry was replaced.
 *
 * Invariant: what an entry names is there, because neither a policy that is attached nor a group
 * with members is removed, and an inline policy is named after it was put. Should a row name what
 * is not there after all, the holder is refused.
 */

#include "iam/grants.h"
#include "iam/internal.h"

#include "base/error.h"

#define GRANTS_MAX (IAM_USER_POLICIES_MAX * (1 + IAM_USER_GROUPS_MAX))

int FIBER iam_grants_load(struct iam *iam)
{
    int r = iam_policies_load(iam);
    return r ? r : iam_groups_load(iam);
}

void iam_grants_release(struct iam *iam)
{
    iam_groups_release(iam);
    iam_policies_release(iam);
}

/* ---- what a holder has ---------------------------------------------------------------------- */

struct iam_grants {
    unsigned refs; /* atomic */
    const struct policy *boundary;
    size_t count;
    struct iam_named_policy items[]; /* names in the bytes behind them */
};

struct gather {
    struct iam *iam;
    const struct iam_policy_entry *found[GRANTS_MAX];
    size_t count, bytes;
};

static int gather_names(struct gather *g, const struct str *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct iam_policy_entry *e = iam_find_policy(g->iam, names[i]);
        if (!e)
            return -ERR_CORRUPT;
        g->found[g->count++] = e;
        g->bytes += e->info.name.len;
    }
    return 0;
}

static struct iam_grants *grants_new(const struct gather *g, const struct iam_policy_entry *bound)
{
    struct iam_grants *grants =
        malloc(sizeof(*grants) + g->count * sizeof(grants->items[0]) + g->bytes);
    if (!grants)
        return NULL;
    char *at = (char *)&grants->items[g->count];
    grants->refs = 1;
    grants->count = g->count;
    grants->boundary = bound ? policy_ref(bound->policy) : NULL;
    for (size_t i = 0; i < g->count; i++) {
        const struct iam_policy_entry *e = g->found[i];
        struct str name = iam_inline_name(e->info.name);
        memcpy(at, name.ptr, name.len);
        grants->items[i] = (struct iam_named_policy){{at, name.len}, policy_ref(e->policy)};
        at += name.len;
    }
    return grants;
}

static int make_grants(struct iam *iam, const struct iam_held *held, struct iam_grants **ret)
{
    struct gather g = {.iam = iam};
    const struct iam_policy_entry *bound = NULL;
    int r = gather_names(&g, held->policies, held->policy_count);
    for (size_t i = 0; !r && i < held->group_count; i++) {
        struct table_node *n = table_get(&iam->groups, held->groups[i]);
        const struct iam_group_entry *group =
            n ? container_of(n, struct iam_group_entry, node) : NULL;
        r = group ? gather_names(&g, group->info.policies, group->info.policy_count) : -ERR_CORRUPT;
    }
    if (!r && held->boundary.len && !(bound = iam_find_policy(iam, held->boundary)))
        r = -ERR_CORRUPT;
    if (r)
        return r;
    *ret = g.count || bound ? grants_new(&g, bound) : NULL;
    return (g.count || bound) && !*ret ? -ENOMEM : 0;
}

int iam_grants_of(struct iam *iam, struct iam_grants_slot *slot, const struct iam_held *held,
                  const struct iam_grants **ret)
{
    if (held->policy_count == 0 && held->group_count == 0 && !held->boundary.len) {
        *ret = NULL;
        return 0;
    }
    if (slot->turn != iam->policy_turn + 1) {
        struct iam_grants *fresh;
        int r = make_grants(iam, held, &fresh);
        if (r)
            return r;
        iam_grants_unref(slot->grants);
        slot->grants = fresh;
        slot->turn = iam->policy_turn + 1;
    }
    if (slot->grants)
        __atomic_add_fetch(&slot->grants->refs, 1, __ATOMIC_RELAXED);
    *ret = slot->grants;
    return 0;
}

void iam_grants_unref(const struct iam_grants *held)
{
    struct iam_grants *g = (struct iam_grants *)held;
    if (!g || __atomic_sub_fetch(&g->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < g->count; i++)
        policy_unref(g->items[i].policy);
    policy_unref(g->boundary);
    free(g);
}

struct iam_policy_set iam_grants_set(const struct iam_grants *g)
{
    return g ? (struct iam_policy_set){g->items, g->count} : (struct iam_policy_set){0};
}

const struct policy *iam_grants_boundary(const struct iam_grants *g)
{
    return g ? g->boundary : NULL;
}

/* ---- holders -------------------------------------------------------------------------------- */

bool iam_has_name(const struct str *names, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(names[i], name))
            return true;
    return false;
}

/* A holder of policies, as its table has it. */
struct holder {
    enum iam_holder kind;
    union {
        struct iam_entry *user;
        struct iam_group_entry *group;
        struct iam_role_entry *role;
    };
    struct str id;
    const struct str *policies;
    size_t count;
};

static bool holder_of_user(struct iam *iam, struct str name, struct holder *h)
{
    h->user = iam_find_by_name(iam, name);
    if (!h->user || h->user == iam->root)
        return false;
    h->id = h->user->user.user_id;
    h->policies = h->user->user.policies;
    h->count = h->user->user.policy_count;
    return true;
}

static bool holder_of_group(struct iam *iam, struct str name, struct holder *h)
{
    struct table_node *n = table_get(&iam->groups, name);
    if (!n)
        return false;
    h->group = container_of(n, struct iam_group_entry, node);
    h->id = h->group->info.id;
    h->policies = h->group->info.policies;
    h->count = h->group->info.policy_count;
    return true;
}

static bool holder_of_role(struct iam *iam, struct str name, struct holder *h)
{
    h->role = iam_find_role(iam, name);
    if (!h->role)
        return false;
    h->id = h->role->info.id;
    h->policies = h->role->info.policies;
    h->count = h->role->info.policy_count;
    return true;
}

/* Under the lock, or by the only writer. */
static bool find_holder(struct iam *iam, enum iam_holder kind, struct str name, struct holder *h)
{
    *h = (struct holder){.kind = kind};
    switch (kind) {
    case IAM_HOLDER_USER:
        return holder_of_user(iam, name, h);
    case IAM_HOLDER_GROUP:
        return holder_of_group(iam, name, h);
    case IAM_HOLDER_ROLE:
        return holder_of_role(iam, name, h);
    }
    return false;
}

static int FIBER change_holder(struct iam *iam, const struct holder *h, const struct str *policies,
                               size_t count)
{
    if (h->kind == IAM_HOLDER_USER) {
        struct iam_user changed = h->user->user;
        changed.policies = policies;
        changed.policy_count = count;
        return iam_entry_change(iam, h->user, &changed);
    }
    if (h->kind == IAM_HOLDER_GROUP) {
        struct iam_group_info changed = h->group->info;
        changed.policies = policies;
        changed.policy_count = count;
        return iam_group_change(iam, &changed);
    }
    struct iam_role changed = h->role->info;
    changed.policies = policies;
    changed.policy_count = count;
    return iam_role_change(iam, h->role, &changed);
}

/* `names` with or without `name`; `ret` has room for one more. 0, 1 when it is so already,
 * -ERR_LIMIT. */
static int change_names(const struct str *names, size_t count, struct str name, bool in, size_t max,
                        struct str *ret, size_t *ret_count)
{
    size_t kept = 0;
    if (iam_has_name(names, count, name) == in)
        return 1;
    if (in && count == max)
        return -ERR_LIMIT;
    for (size_t i = 0; i < count; i++)
        if (!str_eq(names[i], name))
            ret[kept++] = names[i];
    if (in)
        ret[kept++] = name;
    *ret_count = kept;
    return 0;
}

static int FIBER attach(struct iam *iam, enum iam_holder kind, struct str holder, struct str policy,
                        bool in)
{
    struct str names[IAM_USER_POLICIES_MAX];
    struct holder h;
    size_t count;
    rt_lock(&iam->lock);
    bool known = find_holder(iam, kind, holder, &h) && iam_find_policy(iam, policy);
    rt_unlock(&iam->lock);
    if (!known)
        return -ERR_NOT_FOUND;
    int r = change_names(h.policies, h.count, policy, in, IAM_USER_POLICIES_MAX, names, &count);
    return r ? r : change_holder(iam, &h, names, count);
}

int FIBER iam_attach(struct iam *iam, enum iam_holder kind, struct str holder, struct str policy,
                     bool in)
{
    if (iam_is_inline(policy))
        return -ERR_NOT_FOUND;
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = attach(iam, kind, holder, policy, in);
    iam_writer_leave(iam);
    return r;
}

static int FIBER change_member(struct iam *iam, struct str group, struct str user, bool in)
{
    struct str names[IAM_USER_GROUPS_MAX];
    size_t count;
    rt_lock(&iam->lock);
    struct iam_entry *e = iam_find_by_name(iam, user);
    bool known = table_get(&iam->groups, group);
    rt_unlock(&iam->lock);
    if (!e || e == iam->root || !known)
        return -ERR_NOT_FOUND;
    struct iam_user changed = e->user;
    int r = change_names(changed.groups, changed.group_count, group, in, IAM_USER_GROUPS_MAX, names,
                         &count);
    if (r)
        return r > 0 ? 0 : r;
    changed.groups = names;
    changed.group_count = count;
    return iam_entry_change(iam, e, &changed);
}

int FIBER iam_group_member(struct iam *iam, struct str group, struct str user, bool in)
{
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = change_member(iam, group, user, in);
    iam_writer_leave(iam);
    return r;
}

/* ---- inline policies ------------------------------------------------------------------------ */

/* Ids of users, groups and roles may meet: users' are given, old groups' are their names. */
static struct str inline_key(struct arena *a, const struct holder *h, struct str name)
{
    static const char kinds[] = {
        [IAM_HOLDER_USER] = 'u', [IAM_HOLDER_GROUP] = 'g', [IAM_HOLDER_ROLE] = 'r'};
    return arena_printf(a, "%c%c%.*s%c%.*s", IAM_INLINE_MARK, kinds[h->kind], STR_FMT(h->id),
                        IAM_INLINE_MARK, STR_FMT(name));
}

/* A group's account stands in its name. */
static struct str account_of(const struct holder *h)
{
    if (h->kind != IAM_HOLDER_GROUP)
        return h->kind == IAM_HOLDER_USER ? h->user->user.account : h->role->info.account;
    ptrdiff_t slash = str_find_char(h->group->info.name, '/', 0);
    return slash < 0 ? STR("root") : str_prefix(h->group->info.name, (size_t)slash);
}

/* The policy first: until the holder names it, it is of no effect. */
static int FIBER put_inline(struct iam *iam, struct arena *a, enum iam_holder kind,
                            struct str holder, struct str name, struct str document,
                            const struct policy *policy)
{
    struct holder h;
    rt_lock(&iam->lock);
    bool known = find_holder(iam, kind, holder, &h);
    bool full = known && (h.count == IAM_USER_POLICIES_MAX ||
                          iam_share_is_used(iam, account_of(&h), IAM_SHARE_INLINE));
    rt_unlock(&iam->lock);
    struct str key = known ? inline_key(a, &h, name) : STR_NULL;
    int r = !known                                   ? -ERR_NOT_FOUND
            : !key.ptr                               ? -ENOMEM
            : iam_has_name(h.policies, h.count, key) ? 0
            : full                                   ? -ERR_LIMIT
                                                     : 0;
    if (r) {
        policy_unref(policy);
        return r;
    }
    r = iam_inline_store(iam, key, document, policy);
    if (!r)
        r = attach(iam, kind, holder, key, true);
    return r > 0 ? 0 : r;
}

int FIBER iam_inline_put(struct iam *iam, enum iam_holder kind, struct str holder, struct str name,
                         struct str document, struct policy_fault *ret_fault)
{
    _cleanup_(arena_release) struct arena a;
    struct policy *policy;
    arena_init(&a, 0);
    if (!iam_name_is_valid(name))
        return -EINVAL;
    int r = policy_compile(POLICY_IDENTITY, STR(""), document, &policy, ret_fault);
    if (r)
        return r;
    r = iam_writer_enter(iam);
    if (r) {
        policy_unref(policy);
        return r;
    }
    r = put_inline(iam, &a, kind, holder, name, document, policy);
    iam_writer_leave(iam);
    return r;
}

/* Under the lock: NULL when the holder has none of that name. */
static const struct iam_policy_entry *find_inline(struct iam *iam, struct arena *a,
                                                  enum iam_holder kind, struct str holder,
                                                  struct str name)
{
    struct holder h;
    if (!find_holder(iam, kind, holder, &h))
        return NULL;
    struct str key = inline_key(a, &h, name);
    return key.ptr && iam_has_name(h.policies, h.count, key) ? iam_find_policy(iam, key) : NULL;
}

int iam_inline_get(struct iam *iam, struct arena *a, enum iam_holder kind, struct str holder,
                   struct str name, struct str *ret_document)
{
    rt_lock(&iam->lock);
    const struct iam_policy_entry *e = find_inline(iam, a, kind, holder, name);
    struct str document = e ? arena_dup(a, e->info.document) : STR_NULL;
    rt_unlock(&iam->lock);
    if (!e)
        return -ERR_NOT_FOUND;
    *ret_document = document;
    return document.ptr ? 0 : -ENOMEM;
}

static int FIBER remove_inline(struct iam *iam, struct arena *a, enum iam_holder kind,
                               struct str holder, struct str name)
{
    rt_lock(&iam->lock);
    const struct iam_policy_entry *e = find_inline(iam, a, kind, holder, name);
    struct str key = e ? arena_dup(a, e->info.name) : STR_NULL;
    rt_unlock(&iam->lock);
    if (!e || !key.ptr)
        return e ? -ENOMEM : -ERR_NOT_FOUND;
    int r = attach(iam, kind, holder, key, false);
    if (r)
        return r;
    iam_inline_drop(iam, &key, 1);
    return 0;
}

int FIBER iam_inline_remove(struct iam *iam, enum iam_holder kind, struct str holder,
                            struct str name)
{
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = remove_inline(iam, &a, kind, holder, name);
    iam_writer_leave(iam);
    return r;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Under the lock. */
static int list_policies(struct arena *a, const struct holder *h, bool inlined, struct str **ret,
                         size_t *ret_count)
{
    struct str *names = arena_array(a, struct str, h->count + 1);
    size_t count = 0;
    for (size_t i = 0; names && i < h->count; i++) {
        if (iam_is_inline(h->policies[i]) != inlined)
            continue;
        names[count] = arena_dup(a, iam_inline_name(h->policies[i]));
        if (!names[count++].ptr)
            return -ENOMEM;
    }
    if (!names)
        return -ENOMEM;
    qsort(names, count, sizeof(*names), by_name);
    *ret = names;
    *ret_count = count;
    return 0;
}

int iam_holder_policies(struct iam *iam, struct arena *a, enum iam_holder kind, struct str holder,
                        bool inlined, struct str **ret, size_t *ret_count)
{
    struct holder h;
    rt_lock(&iam->lock);
    int r = find_holder(iam, kind, holder, &h) ? list_policies(a, &h, inlined, ret, ret_count)
                                               : -ERR_NOT_FOUND;
    rt_unlock(&iam->lock);
    return r;
}
