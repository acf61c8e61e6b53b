/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Groups of users. Who is in one stands in the users' rows; a group with another name is therefore
 * a change of all of them, in one commit.
 */

#include "iam/internal.h"

#include "base/error.h"
#include "iam/user.pb-c.h"

#define GROUP_ROW   "Igroup "
#define USER_ROW    "U"
#define RENAMED_MAX 1000 /* members of a group that gets another name */

/* ---- table and rows ------------------------------------------------------------------------- */

static struct iam_group_entry *find_group(struct iam *iam, struct str name)
{
    struct table_node *n = table_get(&iam->groups, name);
    return n ? container_of(n, struct iam_group_entry, node) : NULL;
}

static void pack_group(struct pack *p, const struct iam_group_info *from,
                       struct iam_group_info *ret)
{
    *ret = *from;
    ret->name = pack_str(p, from->name);
    ret->id = pack_str(p, from->id);
    ret->path = pack_str(p, from->path);
    ret->policies = pack_names(p, from->policies, from->policy_count);
    ret->members = NULL;
    ret->member_count = 0;
}

static struct iam_group_entry *group_entry_new(const struct iam_group_info *info)
{
    struct iam_group_info reckoned;
    struct pack p = {0};
    pack_group(&p, info, &reckoned);
    struct iam_group_entry *e = calloc(1, sizeof(*e) + p.bytes);
    if (!e)
        return NULL;
    p = (struct pack){.at = (char *)e->bytes};
    pack_group(&p, info, &e->info);
    return e;
}

/* In place of what has that name, which is freed. */
static int group_table_put(struct iam *iam, struct iam_group_entry *e)
{
    rt_lock(&iam->lock);
    struct table_node *old = table_del(&iam->groups, e->info.name);
    int r = table_put(&iam->groups, &e->node, e->info.name);
    iam->policy_turn++;
    rt_unlock(&iam->lock);
    free(old ? container_of(old, struct iam_group_entry, node) : NULL);
    return r;
}

static int encode(const struct iam_group_info *g, struct buf *out)
{
    _cleanup_(arena_release) struct arena a;
    char *policies[IAM_USER_POLICIES_MAX];
    Iam__Group pb = IAM__GROUP__INIT;
    arena_init(&a, 0);
    pb.name = arena_cstr(&a, g->name);
    pb.id = arena_cstr(&a, g->id);
    pb.path = arena_cstr(&a, g->path);
    pb.created_ms = g->created_ms;
    for (size_t i = 0; i < g->policy_count; i++)
        if (!(policies[i] = arena_cstr(&a, g->policies[i])))
            return -ENOMEM;
    pb.policies = policies;
    pb.n_policies = g->policy_count;
    char *into =
        pb.name && pb.id && pb.path ? buf_reserve(out, iam__group__get_packed_size(&pb)) : NULL;
    if (!into)
        return -ENOMEM;
    out->len += iam__group__pack(&pb, (uint8_t *)into);
    return 0;
}

static int FIBER store_group(struct iam *iam, const struct iam_group_info *info)
{
    _cleanup_buf_ struct buf value;
    buf_init(&value, 0);
    struct iam_group_entry *e = group_entry_new(info);
    int r = e ? encode(&e->info, &value) : -ENOMEM;
    if (!r)
        r = iam_row_write(iam, GROUP_ROW, info->name, buf_str(&value));
    if (!r)
        r = group_table_put(iam, e);
    if (r)
        free(e);
    return r;
}

static int load_group(struct iam *iam, struct str value)
{
    Iam__Group *pb = iam__group__unpack(NULL, value.len, (const uint8_t *)value.ptr);
    struct str policies[IAM_USER_POLICIES_MAX];
    if (!pb)
        return -ERR_CORRUPT;
    struct iam_group_info info = {
        .name = str_from(pb->name),
        .id = pb->id[0] ? str_from(pb->id) : str_from(pb->name),
        .path = pb->path[0] ? str_from(pb->path) : STR("/"),
        .created_ms = pb->created_ms,
        .policies = policies,
        .policy_count = pb->n_policies,
    };
    int r =
        iam_name_is_valid(info.name) && pb->n_policies <= ARRAY_LEN(policies) ? 0 : -ERR_CORRUPT;
    for (size_t i = 0; !r && i < pb->n_policies; i++)
        policies[i] = str_from(pb->policies[i]);
    if (!r) {
        struct iam_group_entry *e = group_entry_new(&info);
        r = e ? group_table_put(iam, e) : -ENOMEM;
        if (r)
            free(e);
    }
    iam__group__free_unpacked(pb, NULL);
    return r;
}

int FIBER iam_groups_load(struct iam *iam)
{
    return iam_rows_load(iam, GROUP_ROW, load_group);
}

static int free_group(struct table_node *n, void *arg)
{
    free(container_of(n, struct iam_group_entry, node));
    return 0;
}

void iam_groups_release(struct iam *iam)
{
    table_each(&iam->groups, free_group, NULL);
    table_release(&iam->groups);
}

int FIBER iam_group_change(struct iam *iam, const struct iam_group_info *changed)
{
    return store_group(iam, changed);
}

/* ---- adding --------------------------------------------------------------------------------- */

static int FIBER add_group(struct iam *iam, struct arena *a, struct str account,
                           const struct iam_group_info *spec)
{
    struct iam_group_info info = *spec;
    rt_lock(&iam->lock);
    bool taken = iam_find_local(&iam->groups, account, iam_local_name(account, info.name)),
         full = iam->groups.count >= IAM_GROUPS_MAX ||
                iam_share_is_used(iam, account, IAM_SHARE_GROUPS);
    rt_unlock(&iam->lock);
    if (taken || full)
        return taken ? -ERR_EXISTS : -ERR_LIMIT;
    info.id = iam_make_id(a, "AGPA");
    info.created_ms = rt_wall_ms();
    return info.id.ptr ? store_group(iam, &info) : -ENOMEM;
}

/* Inside an account a slash would make it another account's. */
static bool is_local_name(struct str account, struct str name)
{
    return iam_name_is_valid(name) &&
           (str_eq(account, STR("root")) || str_find_char(name, '/', 0) < 0);
}

int FIBER iam_group_create(struct iam *iam, struct arena *a, struct str account, struct str name,
                           struct str path, struct iam_group_info *ret)
{
    struct iam_group_info spec = {.name = iam_qualify(a, account, name),
                                  .path = path.len ? path : STR("/")};
    if (!iam_name_is_valid(spec.name) || !is_local_name(account, name) ||
        !iam_path_is_valid(spec.path))
        return -EINVAL;
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = add_group(iam, a, account, &spec);
    iam_writer_leave(iam);
    return r ? r : iam_group_find(iam, a, account, name, ret);
}

int FIBER iam_group_add(struct iam *iam, struct str name)
{
    _cleanup_(arena_release) struct arena a;
    struct iam_group_info added;
    arena_init(&a, 0);
    return iam_group_create(iam, &a, STR("root"), name, STR(""), &added);
}

/* ---- removing ------------------------------------------------------------------------------- */

static int user_in_group(struct table_node *n, void *arg)
{
    const struct iam_user *u = &container_of(n, struct iam_entry, by_name)->user;
    return iam_has_name(u->groups, u->group_count, *(const struct str *)arg);
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
    table_del(&iam->groups, e->info.name);
    rt_unlock(&iam->lock);
    iam_inline_drop(iam, e->info.policies, e->info.policy_count);
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

/* ---- another name --------------------------------------------------------------------------- */

struct renaming {
    struct iam *iam;
    struct arena *a;
    struct str from;
    struct iam_group_info to;
    struct iam_entry *members[RENAMED_MAX], *changed[RENAMED_MAX];
    size_t count;
    struct iam_row rows[RENAMED_MAX + 2];
};

static int gather_member(struct table_node *n, void *arg)
{
    struct renaming *m = arg;
    struct iam_entry *e = container_of(n, struct iam_entry, by_name);
    if (!iam_has_name(e->user.groups, e->user.group_count, m->from))
        return 0;
    if (m->count == RENAMED_MAX)
        return -ERR_LIMIT;
    m->members[m->count++] = e;
    return 0;
}

static int make_member(struct renaming *m, size_t i)
{
    struct iam_user user = m->members[i]->user;
    struct str groups[IAM_USER_GROUPS_MAX];
    struct iam_key_data keys[IAM_USER_KEYS_MAX];
    struct buf value;
    for (size_t k = 0; k < user.group_count; k++)
        groups[k] = str_eq(user.groups[k], m->from) ? m->to.name : user.groups[k];
    for (size_t k = 0; k < m->members[i]->key_count; k++)
        keys[k] = m->members[i]->keys[k].data;
    user.groups = groups;
    m->changed[i] = iam_entry_new(&user, keys, m->members[i]->key_count);
    if (!m->changed[i])
        return -ENOMEM;
    buf_init(&value, 0);
    int r = iam_record_encode(m->changed[i], &value);
    m->rows[i].key = arena_printf(m->a, USER_ROW "%.*s", STR_FMT(user.name));
    m->rows[i].value = r ? STR_NULL : arena_dup(m->a, buf_str(&value));
    buf_release(&value);
    return r ? r : m->rows[i].key.ptr && m->rows[i].value.ptr ? 0 : -ENOMEM;
}

static int make_rows(struct renaming *m)
{
    struct buf value;
    int r = 0;
    for (size_t i = 0; !r && i < m->count; i++)
        r = make_member(m, i);
    if (r)
        return r;
    buf_init(&value, 0);
    r = encode(&m->to, &value);
    struct iam_row *last = &m->rows[m->count];
    last[0].key = arena_printf(m->a, GROUP_ROW "%.*s", STR_FMT(m->from));
    last[0].value = STR_NULL;
    last[1].key = arena_printf(m->a, GROUP_ROW "%.*s", STR_FMT(m->to.name));
    last[1].value = r ? STR_NULL : arena_dup(m->a, buf_str(&value));
    buf_release(&value);
    return r ? r : last[0].key.ptr && last[1].key.ptr && last[1].value.ptr ? 0 : -ENOMEM;
}

/* All is durable: the tables follow. */
static void apply(struct renaming *m, struct iam_group_entry *old, struct iam_group_entry *new)
{
    struct iam *iam = m->iam;
    rt_lock(&iam->lock);
    table_del(&iam->groups, old->info.name);
    CHECK(table_put(&iam->groups, &new->node, new->info.name) == 0);
    for (size_t i = 0; i < m->count; i++)
        iam_entry_swap(iam, m->members[i], m->changed[i]);
    iam->policy_turn++;
    rt_unlock(&iam->lock);
    for (size_t i = 0; i < m->count; i++)
        iam_entry_free(m->members[i]);
    free(old);
}

static int FIBER rename_all(struct renaming *m, struct iam_group_entry *old)
{
    rt_lock(&m->iam->lock);
    int r = table_each(&m->iam->by_name, gather_member, m);
    rt_unlock(&m->iam->lock);
    struct iam_group_entry *new = r ? NULL : group_entry_new(&m->to);
    if (!r)
        r = new ? make_rows(m) : -ENOMEM;
    if (!r)
        r = iam_rows_write(m->iam, m->rows, m->count + 2);
    if (!r) {
        apply(m, old, new);
        return 0;
    }
    for (size_t i = 0; i < m->count; i++)
        iam_entry_free(m->changed[i]);
    free(new);
    return r;
}

static int FIBER rename_group(struct iam *iam, struct arena *a, struct str account, struct str name,
                              struct str new_name, struct str new_path)
{
    rt_lock(&iam->lock);
    struct table_node *n = iam_find_local(&iam->groups, account, name),
                      *same = new_name.len ? iam_find_local(&iam->groups, account, new_name) : NULL;
    rt_unlock(&iam->lock);
    if (!n || (same && same != n))
        return n ? -ERR_EXISTS : -ERR_NOT_FOUND;
    struct iam_group_entry *old = container_of(n, struct iam_group_entry, node);
    struct iam_group_info to = old->info;
    if (new_name.len)
        to.name = iam_qualify(a, account, new_name);
    if (new_path.len)
        to.path = new_path;
    if (!iam_name_is_valid(to.name) || !iam_path_is_valid(to.path) ||
        (new_name.len && !is_local_name(account, new_name)))
        return -EINVAL;
    if (str_eq(to.name, old->info.name))
        return store_group(iam, &to);
    struct renaming *m = arena_new(a, struct renaming);
    if (!m)
        return -ENOMEM;
    m->iam = iam;
    m->a = a;
    m->from = arena_dup(a, old->info.name);
    m->to = to;
    return m->from.ptr ? rename_all(m, old) : -ENOMEM;
}

int FIBER iam_group_rename(struct iam *iam, struct arena *a, struct str account, struct str name,
                           struct str new_name, struct str new_path)
{
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = rename_group(iam, a, account, name, new_name, new_path);
    iam_writer_leave(iam);
    return r;
}

/* ---- lists ---------------------------------------------------------------------------------- */

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
    if (!iam_has_name(u->groups, u->group_count, m->group))
        return 0;
    if (m->names)
        m->names[m->count] = arena_dup(m->a, u->name);
    m->count++;
    return 0;
}

/* Under the lock, two walks over all users. */
static int set_members(struct iam *iam, struct arena *a, const struct iam_group_entry *e,
                       struct iam_group_info *ret)
{
    struct members m = {.a = a, .group = e->info.name};
    table_each(&iam->by_name, list_member, &m);
    m.names = arena_array(a, struct str, m.count + 1);
    if (!m.names)
        return -ENOMEM;
    m.count = 0;
    table_each(&iam->by_name, list_member, &m);
    ret->members = m.names;
    ret->member_count = m.count;
    return 0;
}

/* Under the lock. */
static int info_of(struct iam *iam, struct arena *a, const struct iam_group_entry *e, bool members,
                   struct iam_group_info *ret)
{
    *ret = e->info;
    ret->name = arena_dup(a, e->info.name);
    ret->id = arena_dup(a, e->info.id);
    ret->path = arena_dup(a, e->info.path);
    ret->policies = iam_names_dup(a, e->info.policies, e->info.policy_count);
    if (!ret->name.ptr || !ret->id.ptr || !ret->path.ptr || !ret->policies)
        return -ENOMEM;
    return members ? set_members(iam, a, e, ret) : 0;
}

int iam_group_find(struct iam *iam, struct arena *a, struct str account, struct str name,
                   struct iam_group_info *ret)
{
    rt_lock(&iam->lock);
    struct table_node *n = iam_find_local(&iam->groups, account, name);
    int r = n ? info_of(iam, a, container_of(n, struct iam_group_entry, node), true, ret)
              : -ERR_NOT_FOUND;
    rt_unlock(&iam->lock);
    return r;
}

struct list {
    struct arena *a;
    struct iam *iam;
    struct iam_group_info *items;
    size_t count;
    bool members;
};

static int list_group(struct table_node *n, void *arg)
{
    struct list *l = arg;
    return info_of(l->iam, l->a, container_of(n, struct iam_group_entry, node), l->members,
                   &l->items[l->count++]);
}

static int by_group_name(const void *a, const void *b)
{
    return str_cmp(((const struct iam_group_info *)a)->name,
                   ((const struct iam_group_info *)b)->name);
}

int iam_group_list(struct iam *iam, struct arena *a, bool members, struct iam_group_info **ret,
                   size_t *ret_count)
{
    struct list l = {.a = a, .iam = iam, .members = members};
    rt_lock(&iam->lock);
    l.items = arena_array(a, struct iam_group_info, iam->groups.count + 1);
    int r = l.items ? table_each(&iam->groups, list_group, &l) : -ENOMEM;
    rt_unlock(&iam->lock);
    if (r)
        return r;
    qsort(l.items, l.count, sizeof(*l.items), by_group_name);
    *ret = l.items;
    *ret_count = l.count;
    return 0;
}
