/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Policies, groups, and what they come to for one user.
 *
 * A user's grants are one immutable block with counted references: a request holds one to its end,
 * so it sees one state. They are made anew when they are asked for after any policy or group
 * changed (policy_turn), or after the user's own entry was replaced.
 *
 * Invariant: what an entry names is there, because neither a policy that is attached nor a group
 * with members is removed. Should a row name what is not there after all, the user is refused.
 */

#include "iam/grants.h"
#include "iam/internal.h"

#include "base/error.h"
#include "iam/user.pb-c.h"

#define POLICY_ROW "Ipolicy "
#define GROUP_ROW  "Igroup "
#define NAMES_MAX  IAM_USER_POLICIES_MAX /* of the lists a user has, the longest */
#define GRANTS_MAX (IAM_USER_POLICIES_MAX * (1 + IAM_USER_GROUPS_MAX))

static const struct builtin {
    const char *name, *document;
} builtins[] = {
    {"readonly",
     "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
     "[\"s3:GetBucketLocation\",\"s3:GetObject\"],\"Resource\":[\"arn:aws:s3:::*\"]}]}"},
    {"writeonly", "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
                  "[\"s3:PutObject\"],\"Resource\":[\"arn:aws:s3:::*\"]}]}"},
    {"readwrite", "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
                  "[\"s3:*\"],\"Resource\":[\"arn:aws:s3:::*\"]}]}"},
    {"diagnostics", "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
                    "[\"admin:Prometheus\",\"admin:Profiling\",\"admin:ServerTrace\","
                    "\"admin:ConsoleLog\",\"admin:ServerInfo\",\"admin:TopLocksInfo\","
                    "\"admin:OBDInfo\",\"admin:BandwidthMonitor\"],\"Resource\":"
                    "[\"arn:aws:s3:::*\"]}]}"},
    {"consoleAdmin", "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":"
                     "[\"admin:*\"]},{\"Effect\":\"Allow\",\"Action\":[\"kms:*\"]},{\"Effect\":"
                     "\"Allow\",\"Action\":[\"s3:*\"],\"Resource\":[\"arn:aws:s3:::*\"]}]}"},
};
#define DENY_ALL "{\"Statement\":[{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"*\"}]}"

/* ---- tables --------------------------------------------------------------------------------- */

static struct iam_policy_entry *find_policy(struct iam *iam, struct str name)
{
    struct table_node *n = table_get(&iam->policies, name);
    return n ? container_of(n, struct iam_policy_entry, node) : NULL;
}

static struct iam_group_entry *find_group(struct iam *iam, struct str name)
{
    struct table_node *n = table_get(&iam->groups, name);
    return n ? container_of(n, struct iam_group_entry, node) : NULL;
}

static void policy_entry_free(struct iam_policy_entry *e)
{
    if (e)
        policy_unref(e->policy);
    free(e);
}

/* Takes the reference of `policy`. */
static struct iam_policy_entry *policy_entry_new(struct str name, struct str document,
                                                 const struct policy *policy, uint64_t changed_ms)
{
    struct iam_policy_entry *e = calloc(1, sizeof(*e) + name.len + document.len);
    if (!e) {
        policy_unref(policy);
        return NULL;
    }
    memcpy(e->bytes, name.ptr, name.len);
    memcpy(e->bytes + name.len, document.ptr, document.len);
    e->name = str_make(e->bytes, name.len);
    e->document = str_make(e->bytes + name.len, document.len);
    e->policy = policy;
    e->changed_ms = changed_ms;
    return e;
}

static struct iam_group_entry *group_entry_new(struct str name, uint64_t created_ms,
                                               const struct str *policies, size_t count)
{
    size_t size = name.len;
    for (size_t i = 0; i < count; i++)
        size += policies[i].len;
    struct iam_group_entry *e = calloc(1, sizeof(*e) + size);
    if (!e)
        return NULL;
    char *at = e->bytes;
    memcpy(at, name.ptr, name.len);
    e->name = str_make(at, name.len);
    at += name.len;
    for (size_t i = 0; i < count; i++) {
        memcpy(at, policies[i].ptr, policies[i].len);
        e->policies[i] = str_make(at, policies[i].len);
        at += policies[i].len;
    }
    e->policy_count = count;
    e->created_ms = created_ms;
    return e;
}

/* In place of what has that name, which is freed. */
static int policy_table_put(struct iam *iam, struct iam_policy_entry *e)
{
    rt_lock(&iam->lock);
    struct table_node *old = table_del(&iam->policies, e->name);
    int r = table_put(&iam->policies, &e->node, e->name);
    iam->policy_turn++;
    rt_unlock(&iam->lock);
    policy_entry_free(old ? container_of(old, struct iam_policy_entry, node) : NULL);
    return r;
}

static int group_table_put(struct iam *iam, struct iam_group_entry *e)
{
    rt_lock(&iam->lock);
    struct table_node *old = table_del(&iam->groups, e->name);
    int r = table_put(&iam->groups, &e->node, e->name);
    iam->policy_turn++;
    rt_unlock(&iam->lock);
    free(old ? container_of(old, struct iam_group_entry, node) : NULL);
    return r;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static int FIBER policy_row_put(struct iam *iam, const struct iam_policy_entry *e)
{
    _cleanup_buf_ struct buf value;
    _cleanup_free_ char *name = strndup(e->name.ptr, e->name.len);
    buf_init(&value, 0);
    if (!name)
        return -ENOMEM;
    Iam__Policy pb = IAM__POLICY__INIT;
    pb.name = name;
    pb.document = (ProtobufCBinaryData){e->document.len, (uint8_t *)e->document.ptr};
    pb.changed_ms = e->changed_ms;
    char *into = buf_reserve(&value, iam__policy__get_packed_size(&pb));
    if (!into)
        return -ENOMEM;
    value.len += iam__policy__pack(&pb, (uint8_t *)into);
    return iam_row_write(iam, POLICY_ROW, e->name, buf_str(&value));
}

static int FIBER group_row_put(struct iam *iam, const struct iam_group_entry *e)
{
    _cleanup_buf_ struct buf value;
    _cleanup_(arena_release) struct arena a;
    char *policies[IAM_USER_POLICIES_MAX];
    arena_init(&a, 0);
    buf_init(&value, 0);
    Iam__Group pb = IAM__GROUP__INIT;
    pb.name = arena_cstr(&a, e->name);
    for (size_t i = 0; i < e->policy_count; i++)
        if (!(policies[i] = arena_cstr(&a, e->policies[i])))
            return -ENOMEM;
    pb.policies = policies;
    pb.n_policies = e->policy_count;
    pb.created_ms = e->created_ms;
    char *into = pb.name ? buf_reserve(&value, iam__group__get_packed_size(&pb)) : NULL;
    if (!into)
        return -ENOMEM;
    value.len += iam__group__pack(&pb, (uint8_t *)into);
    return iam_row_write(iam, GROUP_ROW, e->name, buf_str(&value));
}

/* A document that does not compile any more denies everything to whoever has it. */
static int load_policy(struct iam *iam, struct str value)
{
    Iam__Policy *pb = iam__policy__unpack(NULL, value.len, (const uint8_t *)value.ptr);
    struct policy_fault why;
    struct policy *policy = NULL;
    if (!pb)
        return -ERR_CORRUPT;
    struct str name = str_from(pb->name),
               document = {(const char *)pb->document.data, pb->document.len};
    int r = iam_name_is_valid(name) ? 0 : -ERR_CORRUPT;
    if (!r)
        r = policy_compile(POLICY_IDENTITY, STR(""), document, &policy, &why);
    if (r == -ERR_MALFORMED_POLICY) {
        policy = policy_ref(iam->deny_all);
        r = 0;
    }
    if (!r) {
        struct iam_policy_entry *e = policy_entry_new(name, document, policy, pb->changed_ms);
        r = e ? policy_table_put(iam, e) : -ENOMEM;
        if (r)
            policy_entry_free(e);
    }
    iam__policy__free_unpacked(pb, NULL);
    return r;
}

static int load_group(struct iam *iam, struct str value)
{
    Iam__Group *pb = iam__group__unpack(NULL, value.len, (const uint8_t *)value.ptr);
    struct str policies[IAM_USER_POLICIES_MAX];
    if (!pb)
        return -ERR_CORRUPT;
    struct str name = str_from(pb->name);
    int r = iam_name_is_valid(name) && pb->n_policies <= ARRAY_LEN(policies) ? 0 : -ERR_CORRUPT;
    for (size_t i = 0; !r && i < pb->n_policies; i++)
        policies[i] = str_from(pb->policies[i]);
    if (!r) {
        struct iam_group_entry *e = group_entry_new(name, pb->created_ms, policies, pb->n_policies);
        r = e ? group_table_put(iam, e) : -ENOMEM;
        if (r)
            free(e);
    }
    iam__group__free_unpacked(pb, NULL);
    return r;
}

static int add_builtin(struct iam *iam, const struct builtin *b)
{
    struct policy *policy;
    struct policy_fault why;
    struct str document = str_from(b->document);
    int r = policy_compile(POLICY_IDENTITY, STR(""), document, &policy, &why);
    if (r)
        return r;
    struct iam_policy_entry *e = policy_entry_new(str_from(b->name), document, policy, 0);
    if (!e)
        return -ENOMEM;
    e->builtin = true;
    return policy_table_put(iam, e);
}

int FIBER iam_grants_load(struct iam *iam)
{
    struct policy *deny_all;
    struct policy_fault why;
    int r = policy_compile(POLICY_IDENTITY, STR(""), STR(DENY_ALL), &deny_all, &why);
    if (r)
        return r;
    iam->deny_all = deny_all;
    for (unsigned i = 0; !r && i < ARRAY_LEN(builtins); i++)
        r = add_builtin(iam, &builtins[i]);
    if (!r)
        r = iam_rows_load(iam, POLICY_ROW, load_policy);
    return r ? r : iam_rows_load(iam, GROUP_ROW, load_group);
}

static int free_policy(struct table_node *n, void *arg)
{
    policy_entry_free(container_of(n, struct iam_policy_entry, node));
    return 0;
}

static int free_group(struct table_node *n, void *arg)
{
    free(container_of(n, struct iam_group_entry, node));
    return 0;
}

void iam_grants_release(struct iam *iam)
{
    table_each(&iam->policies, free_policy, NULL);
    table_release(&iam->policies);
    table_each(&iam->groups, free_group, NULL);
    table_release(&iam->groups);
    policy_unref(iam->deny_all);
}

/* ---- what a user has ------------------------------------------------------------------------ */

struct iam_grants {
    unsigned refs; /* atomic */
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
        const struct iam_policy_entry *e = find_policy(g->iam, names[i]);
        if (!e)
            return -ERR_CORRUPT;
        g->found[g->count++] = e;
        g->bytes += e->name.len;
    }
    return 0;
}

static struct iam_grants *grants_new(const struct gather *g)
{
    struct iam_grants *grants =
        malloc(sizeof(*grants) + g->count * sizeof(grants->items[0]) + g->bytes);
    if (!grants)
        return NULL;
    char *at = (char *)&grants->items[g->count];
    grants->refs = 1;
    grants->count = g->count;
    for (size_t i = 0; i < g->count; i++) {
        const struct iam_policy_entry *e = g->found[i];
        memcpy(at, e->name.ptr, e->name.len);
        grants->items[i] = (struct iam_named_policy){{at, e->name.len}, policy_ref(e->policy)};
        at += e->name.len;
    }
    return grants;
}

static int make_grants(struct iam *iam, const struct iam_user *u, struct iam_grants **ret)
{
    struct gather g = {.iam = iam};
    int r = gather_names(&g, u->policies, u->policy_count);
    for (size_t i = 0; !r && i < u->group_count; i++) {
        const struct iam_group_entry *group = find_group(iam, u->groups[i]);
        r = group ? gather_names(&g, group->policies, group->policy_count) : -ERR_CORRUPT;
    }
    if (r)
        return r;
    *ret = g.count ? grants_new(&g) : NULL;
    return g.count && !*ret ? -ENOMEM : 0;
}

int iam_grants_of(struct iam *iam, struct iam_entry *e, const struct iam_grants **ret)
{
    if (e->user.policy_count == 0 && e->user.group_count == 0) {
        *ret = NULL;
        return 0;
    }
    if (e->grants_turn != iam->policy_turn + 1) {
        struct iam_grants *fresh;
        int r = make_grants(iam, &e->user, &fresh);
        if (r)
            return r;
        iam_grants_unref(e->grants);
        e->grants = fresh;
        e->grants_turn = iam->policy_turn + 1;
    }
    if (e->grants)
        __atomic_add_fetch(&e->grants->refs, 1, __ATOMIC_RELAXED);
    *ret = e->grants;
    return 0;
}

void iam_grants_unref(const struct iam_grants *held)
{
    struct iam_grants *g = (struct iam_grants *)held;
    if (!g || __atomic_sub_fetch(&g->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < g->count; i++)
        policy_unref(g->items[i].policy);
    free(g);
}

struct iam_policy_set iam_grants_set(const struct iam_grants *g)
{
    return g ? (struct iam_policy_set){g->items, g->count} : (struct iam_policy_set){0};
}

/* ---- policies ------------------------------------------------------------------------------- */

static bool is_builtin(struct str name)
{
    for (unsigned i = 0; i < ARRAY_LEN(builtins); i++)
        if (str_eq(name, str_from(builtins[i].name)))
            return true;
    return false;
}

static int FIBER put_entry(struct iam *iam, struct iam_policy_entry *e)
{
    rt_lock(&iam->lock);
    bool full = !find_policy(iam, e->name) && iam->policies.count >= IAM_POLICIES_MAX;
    rt_unlock(&iam->lock);
    int r = full ? -ERR_LIMIT : policy_row_put(iam, e);
    return r ? r : policy_table_put(iam, e);
}

int FIBER iam_policy_put(struct iam *iam, struct str name, struct str document,
                         struct policy_fault *ret_fault)
{
    struct policy *policy;
    if (!iam_name_is_valid(name))
        return -EINVAL;
    if (is_builtin(name))
        return -ERR_CONFLICT;
    int r = policy_compile(POLICY_IDENTITY, STR(""), document, &policy, ret_fault);
    if (r)
        return r;
    struct iam_policy_entry *e = policy_entry_new(name, document, policy, rt_wall_ms());
    if (!e)
        return -ENOMEM;
    r = iam_writer_enter(iam);
    if (!r) {
        r = put_entry(iam, e);
        iam_writer_leave(iam);
    }
    if (r)
        policy_entry_free(e);
    return r;
}

static bool has_name(const struct str *names, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(names[i], name))
            return true;
    return false;
}

static int user_has_policy(struct table_node *n, void *arg)
{
    const struct iam_user *u = &container_of(n, struct iam_entry, by_name)->user;
    return has_name(u->policies, u->policy_count, *(const struct str *)arg);
}

static int group_has_policy(struct table_node *n, void *arg)
{
    const struct iam_group_entry *g = container_of(n, struct iam_group_entry, node);
    return has_name(g->policies, g->policy_count, *(const struct str *)arg);
}

/* Under the writer's turn, so that nobody attaches it meanwhile. */
static int FIBER remove_policy(struct iam *iam, struct str name)
{
    rt_lock(&iam->lock);
    struct iam_policy_entry *e = find_policy(iam, name);
    bool used = table_each(&iam->by_name, user_has_policy, &name) ||
                table_each(&iam->groups, group_has_policy, &name);
    rt_unlock(&iam->lock);
    if (!e)
        return -ERR_NOT_FOUND;
    if (e->builtin || used)
        return -ERR_CONFLICT;
    int r = iam_row_write(iam, POLICY_ROW, name, STR_NULL);
    if (r)
        return r;
    rt_lock(&iam->lock);
    table_del(&iam->policies, e->name);
    rt_unlock(&iam->lock);
    policy_entry_free(e);
    return 0;
}

int FIBER iam_policy_remove(struct iam *iam, struct str name)
{
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = remove_policy(iam, name);
    iam_writer_leave(iam);
    return r;
}

static int info_of(struct arena *a, const struct iam_policy_entry *e, struct iam_policy_info *ret)
{
    *ret = (struct iam_policy_info){
        .name = arena_dup(a, e->name),
        .document = arena_dup(a, e->document),
        .changed_ms = e->changed_ms,
        .builtin = e->builtin,
    };
    return ret->name.ptr && ret->document.ptr ? 0 : -ENOMEM;
}

int iam_policy_get(struct iam *iam, struct arena *a, struct str name, struct iam_policy_info *ret)
{
    rt_lock(&iam->lock);
    const struct iam_policy_entry *e = find_policy(iam, name);
    int r = e ? info_of(a, e, ret) : -ERR_NOT_FOUND;
    rt_unlock(&iam->lock);
    return r;
}

struct list {
    struct arena *a;
    struct iam *iam;
    void *items;
    size_t count;
};

static int list_policy(struct table_node *n, void *arg)
{
    struct list *l = arg;
    struct iam_policy_info *items = l->items;
    return info_of(l->a, container_of(n, struct iam_policy_entry, node), &items[l->count++]);
}

static int by_policy_name(const void *a, const void *b)
{
    return str_cmp(((const struct iam_policy_info *)a)->name,
                   ((const struct iam_policy_info *)b)->name);
}

int iam_policy_list(struct iam *iam, struct arena *a, struct iam_policy_info **ret,
                    size_t *ret_count)
{
    struct list l = {.a = a};
    rt_lock(&iam->lock);
    struct iam_policy_info *items = arena_array(a, struct iam_policy_info, iam->policies.count + 1);
    l.items = items;
    int r = items ? table_each(&iam->policies, list_policy, &l) : -ENOMEM;
    rt_unlock(&iam->lock);
    if (r)
        return r;
    qsort(items, l.count, sizeof(*items), by_policy_name);
    *ret = items;
    *ret_count = l.count;
    return 0;
}

/* ---- groups --------------------------------------------------------------------------------- */

static int FIBER put_group(struct iam *iam, struct str name, uint64_t created_ms,
                           const struct str *policies, size_t count)
{
    struct iam_group_entry *e = group_entry_new(name, created_ms, policies, count);
    int r = e ? group_row_put(iam, e) : -ENOMEM;
    if (!r)
        r = group_table_put(iam, e);
    if (r)
        free(e);
    return r;
}

static int FIBER add_group(struct iam *iam, struct str name)
{
    rt_lock(&iam->lock);
    bool taken = find_group(iam, name), full = iam->groups.count >= IAM_GROUPS_MAX;
    rt_unlock(&iam->lock);
    if (taken || full)
        return taken ? -ERR_EXISTS : -ERR_LIMIT;
    return put_group(iam, name, rt_wall_ms(), NULL, 0);
}

int FIBER iam_group_add(struct iam *iam, struct str name)
{
    int r = iam_name_is_valid(name) ? iam_writer_enter(iam) : -EINVAL;
    if (r)
        return r;
    r = add_group(iam, name);
    iam_writer_leave(iam);
    return r;
}

static int user_in_group(struct table_node *n, void *arg)
{
    const struct iam_user *u = &container_of(n, struct iam_entry, by_name)->user;
    return has_name(u->groups, u->group_count, *(const struct str *)arg);
}

static int FIBER remove_group(struct iam *iam, struct str name)
{
    rt_lock(&iam->lock);
    struct iam_group_entry *e = find_group(iam, name);
    bool used = table_each(&iam->by_name, user_in_group, &name);
    rt_unlock(&iam->lock);
    if (!e || used)
        return e ? -ERR_CONFLICT : -ERR_NOT_FOUND;
    int r = iam_row_write(iam, GROUP_ROW, name, STR_NULL);
    if (r)
        return r;
    rt_lock(&iam->lock);
    table_del(&iam->groups, e->name);
    rt_unlock(&iam->lock);
    free(e);
    return 0;
}

int FIBER iam_group_remove(struct iam *iam, struct str name)
{
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = remove_group(iam, name);
    iam_writer_leave(iam);
    return r;
}

struct members {
    struct arena *a;
    struct str group;
    struct str *names; /* NULL: only counted */
    size_t count;
};

static int list_member(struct table_node *n, void *arg)
{
    struct members *m = arg;
    const struct iam_user *u = &container_of(n, struct iam_entry, by_name)->user;
    if (!has_name(u->groups, u->group_count, m->group))
        return 0;
    if (m->names)
        m->names[m->count] = arena_dup(m->a, u->name);
    m->count++;
    return 0;
}

static int list_group(struct table_node *n, void *arg)
{
    struct list *l = arg;
    const struct iam_group_entry *e = container_of(n, struct iam_group_entry, node);
    struct iam_group_info *info = &((struct iam_group_info *)l->items)[l->count++];
    struct members m = {.a = l->a, .group = e->name};
    table_each(&l->iam->by_name, list_member, &m);
    m.names = arena_array(l->a, struct str, m.count + 1);
    struct str *policies = arena_array(l->a, struct str, e->policy_count + 1);
    if (!m.names || !policies)
        return -ENOMEM;
    m.count = 0;
    table_each(&l->iam->by_name, list_member, &m);
    for (size_t i = 0; i < e->policy_count; i++)
        policies[i] = arena_dup(l->a, e->policies[i]);
    *info = (struct iam_group_info){
        .name = arena_dup(l->a, e->name),
        .created_ms = e->created_ms,
        .policies = policies,
        .policy_count = e->policy_count,
        .members = m.names,
        .member_count = m.count,
    };
    return info->name.ptr ? 0 : -ENOMEM;
}

static int by_group_name(const void *a, const void *b)
{
    return str_cmp(((const struct iam_group_info *)a)->name,
                   ((const struct iam_group_info *)b)->name);
}

int iam_group_list(struct iam *iam, struct arena *a, struct iam_group_info **ret, size_t *ret_count)
{
    struct list l = {.a = a, .iam = iam};
    rt_lock(&iam->lock);
    struct iam_group_info *items = arena_array(a, struct iam_group_info, iam->groups.count + 1);
    l.items = items;
    int r = items ? table_each(&iam->groups, list_group, &l) : -ENOMEM;
    rt_unlock(&iam->lock);
    if (r)
        return r;
    qsort(items, l.count, sizeof(*items), by_group_name);
    *ret = items;
    *ret_count = l.count;
    return 0;
}

/* ---- what belongs to whom ------------------------------------------------------------------- */

/* `names` with or without `name`; `ret` has room for one more. 0, 1 when it is so already,
 * -ERR_LIMIT. */
static int change_names(const struct str *names, size_t count, struct str name, bool in, size_t max,
                        struct str *ret, size_t *ret_count)
{
    size_t kept = 0;
    if (has_name(names, count, name) == in)
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

enum list_of { LIST_POLICIES, LIST_GROUPS };

/* Under the writer's turn: the entry stays what it is. */
static int FIBER change_user(struct iam *iam, struct str user, enum list_of list, struct str name,
                             bool in)
{
    struct str names[NAMES_MAX];
    static_assert(IAM_USER_GROUPS_MAX <= NAMES_MAX, "room for either list");
    size_t count;
    rt_lock(&iam->lock);
    struct iam_entry *e = iam_find_by_name(iam, user);
    bool known = list == LIST_POLICIES ? (bool)find_policy(iam, name) : (bool)find_group(iam, name);
    rt_unlock(&iam->lock);
    if (!e || e == iam->root || !known)
        return -ERR_NOT_FOUND;
    struct iam_user changed = e->user;
    int r = list == LIST_POLICIES ? change_names(changed.policies, changed.policy_count, name, in,
                                                 IAM_USER_POLICIES_MAX, names, &count)
                                  : change_names(changed.groups, changed.group_count, name, in,
                                                 IAM_USER_GROUPS_MAX, names, &count);
    if (r)
        return r > 0 ? 0 : r;
    *(list == LIST_POLICIES ? &changed.policies : &changed.groups) = names;
    *(list == LIST_POLICIES ? &changed.policy_count : &changed.group_count) = count;
    return iam_entry_change(iam, e, &changed);
}

static int FIBER change_group(struct iam *iam, struct str group, struct str policy, bool in)
{
    struct str names[IAM_USER_POLICIES_MAX];
    size_t count;
    rt_lock(&iam->lock);
    struct iam_group_entry *e = find_group(iam, group);
    bool known = find_policy(iam, policy);
    rt_unlock(&iam->lock);
    if (!e || !known)
        return -ERR_NOT_FOUND;
    int r = change_names(e->policies, e->policy_count, policy, in, IAM_USER_POLICIES_MAX, names,
                         &count);
    if (r)
        return r > 0 ? 0 : r;
    return put_group(iam, e->name, e->created_ms, names, count);
}

int FIBER iam_group_member(struct iam *iam, struct str group, struct str user, bool in)
{
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = change_user(iam, user, LIST_GROUPS, group, in);
    iam_writer_leave(iam);
    return r;
}

int FIBER iam_attach_to_user(struct iam *iam, struct str user, struct str policy, bool attach)
{
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = change_user(iam, user, LIST_POLICIES, policy, attach);
    iam_writer_leave(iam);
    return r;
}

int FIBER iam_attach_to_group(struct iam *iam, struct str group, struct str policy, bool attach)
{
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = change_group(iam, group, policy, attach);
    iam_writer_leave(iam);
    return r;
}
