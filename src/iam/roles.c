/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Roles, in memory exactly as their rows say. */

#include "iam/internal.h"

#include "base/error.h"
#include "iam/user.pb-c.h"

#define ROLE_ROW        "Irole "
#define DESCRIPTION_MAX 1000
#define ROOT_ACCOUNT    STR("root")

/* ---- table ---------------------------------------------------------------------------------- */

struct iam_role_entry *iam_find_role(struct iam *iam, struct str name)
{
    struct table_node *n = table_get(&iam->roles, name);
    return n ? container_of(n, struct iam_role_entry, node) : NULL;
}

/* Roles of the store's own account are named without one, as users of the store are. */
static void pack_role(struct pack *p, const struct iam_role *from, struct iam_role *ret)
{
    struct str local = iam_local_name(from->account, from->name);
    struct str account = str_eq(from->account, ROOT_ACCOUNT) ? STR("") : from->account;
    *ret = *from;
    ret->name = pack_str(p, from->name);
    ret->id = pack_str(p, from->id);
    ret->path = pack_str(p, from->path);
    ret->account = pack_str(p, from->account);
    ret->description = pack_str(p, from->description);
    ret->trust = pack_str(p, from->trust);
    ret->boundary = pack_str(p, from->boundary);
    ret->arn = pack_printf(p, "arn:aws:iam::%.*s:role%.*s%.*s", STR_FMT(account),
                           STR_FMT(from->path), STR_FMT(local));
    ret->policies = pack_names(p, from->policies, from->policy_count);
    ret->tags.texts = pack_names(p, from->tags.texts, from->tags.count);
}

static void entry_free(struct iam_role_entry *e)
{
    if (!e)
        return;
    policy_unref(e->trust);
    iam_grants_unref(e->grants.grants);
    free(e);
}

/* Takes the reference of `trust`. */
static struct iam_role_entry *entry_new(const struct iam_role *role, const struct policy *trust)
{
    struct iam_role reckoned;
    struct pack p = {0};
    pack_role(&p, role, &reckoned);
    struct iam_role_entry *e = calloc(1, sizeof(*e) + p.bytes);
    if (!e) {
        policy_unref(trust);
        return NULL;
    }
    p = (struct pack){.at = (char *)e->bytes};
    pack_role(&p, role, &e->info);
    e->trust = trust;
    return e;
}

static int table_swap(struct iam *iam, struct iam_role_entry *e)
{
    rt_lock(&iam->lock);
    struct table_node *old = table_del(&iam->roles, e->info.name);
    int r = table_put(&iam->roles, &e->node, e->info.name);
    rt_unlock(&iam->lock);
    entry_free(old ? container_of(old, struct iam_role_entry, node) : NULL);
    return r;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static int encode(const struct iam_role *r, struct buf *out)
{
    _cleanup_(arena_release) struct arena a;
    char *policies[IAM_USER_POLICIES_MAX];
    Iam__Role pb = IAM__ROLE__INIT;
    arena_init(&a, 0);
    pb.name = arena_cstr(&a, r->name);
    pb.id = arena_cstr(&a, r->id);
    pb.path = arena_cstr(&a, r->path);
    pb.account = arena_cstr(&a, r->account);
    pb.description = arena_cstr(&a, r->description);
    pb.boundary = arena_cstr(&a, r->boundary);
    pb.trust = (ProtobufCBinaryData){r->trust.len, (uint8_t *)r->trust.ptr};
    pb.created_ms = r->created_ms;
    pb.max_session_s = r->max_session_s;
    for (size_t i = 0; i < r->policy_count; i++)
        if (!(policies[i] = arena_cstr(&a, r->policies[i])))
            return -ENOMEM;
    pb.policies = policies;
    pb.n_policies = r->policy_count;
    pb.tags = iam_c_names(&a, r->tags.texts, r->tags.count);
    pb.n_tags = r->tags.count;
    if (!pb.tags || !pb.name || !pb.id || !pb.path || !pb.account || !pb.description ||
        !pb.boundary)
        return -ENOMEM;
    char *into = buf_reserve(out, iam__role__get_packed_size(&pb));
    if (!into)
        return -ENOMEM;
    out->len += iam__role__pack(&pb, (uint8_t *)into);
    return 0;
}

/* Takes the reference of `trust`. */
static int FIBER store_role(struct iam *iam, const struct iam_role *role,
                            const struct policy *trust)
{
    _cleanup_buf_ struct buf value;
    buf_init(&value, 0);
    struct iam_role_entry *e = entry_new(role, trust);
    int r = e ? encode(&e->info, &value) : -ENOMEM;
    if (!r)
        r = iam_row_write(iam, ROLE_ROW, e->info.name, buf_str(&value));
    if (!r)
        r = table_swap(iam, e);
    if (r)
        entry_free(e);
    return r;
}

int FIBER iam_role_change(struct iam *iam, struct iam_role_entry *old,
                          const struct iam_role *changed)
{
    return store_role(iam, changed, policy_ref(old->trust));
}

static int validate(const struct iam_role *r)
{
    if (!iam_name_is_valid(r->name) || !iam_path_is_valid(r->path) || !r->account.len ||
        !iam_is_text(r->account, 128) || !iam_is_text(r->id, 64) ||
        !iam_is_text(r->description, DESCRIPTION_MAX))
        return -EINVAL;
    if (r->max_session_s < IAM_ROLE_SESSION_S || r->max_session_s > IAM_ROLE_SESSION_MAX_S)
        return -EINVAL;
    for (size_t i = 0; i < r->policy_count; i++)
        if (!iam_policy_name_is_valid(r->policies[i]))
            return -EINVAL;
    if (!iam_tags_are_valid(&r->tags))
        return -EINVAL;
    return r->boundary.len && !iam_name_is_valid(r->boundary) ? -EINVAL : 0;
}

/* A trust that cannot be read lets nobody in. */
static int add_loaded(struct iam *iam, const struct iam_role *role)
{
    struct policy_fault why;
    struct policy *trust;
    int r = policy_compile(POLICY_TRUST, STR(""), role->trust, &trust, &why);
    if (r == -ERR_MALFORMED_POLICY) {
        trust = policy_ref(iam->deny_all);
        r = 0;
    }
    if (r)
        return r;
    struct iam_role_entry *e = entry_new(role, trust);
    r = e ? table_swap(iam, e) : -ENOMEM;
    if (r)
        entry_free(e);
    return r;
}

static int load_role(struct iam *iam, struct str value)
{
    Iam__Role *pb = iam__role__unpack(NULL, value.len, (const uint8_t *)value.ptr);
    struct str policies[IAM_USER_POLICIES_MAX], tags[2 * IAM_TAGS_MAX];
    if (!pb)
        return -ERR_CORRUPT;
    struct iam_role role = {
        .name = str_from(pb->name),
        .id = str_from(pb->id),
        .path = str_from(pb->path),
        .account = str_from(pb->account),
        .description = str_from(pb->description),
        .trust = {(const char *)pb->trust.data, pb->trust.len},
        .boundary = str_from(pb->boundary),
        .policies = policies,
        .policy_count = pb->n_policies,
        .created_ms = pb->created_ms,
        .max_session_s = pb->max_session_s,
        .tags = {tags, pb->n_tags},
    };
    int r = iam_read_names(pb->policies, pb->n_policies, policies, ARRAY_LEN(policies));
    if (!r)
        r = iam_read_names(pb->tags, pb->n_tags, tags, ARRAY_LEN(tags));
    if (!r && validate(&role))
        r = -ERR_CORRUPT;
    if (!r)
        r = add_loaded(iam, &role);
    iam__role__free_unpacked(pb, NULL);
    return r;
}

int FIBER iam_roles_load(struct iam *iam)
{
    return iam_rows_load(iam, ROLE_ROW, load_role);
}

static int free_role(struct table_node *n, void *arg)
{
    entry_free(container_of(n, struct iam_role_entry, node));
    return 0;
}

void iam_roles_release(struct iam *iam)
{
    table_each(&iam->roles, free_role, NULL);
    table_release(&iam->roles);
}

/* ---- reading -------------------------------------------------------------------------------- */

static int role_dup(struct arena *a, const struct iam_role *from, struct iam_role *ret)
{
    *ret = *from;
    ret->name = arena_dup(a, from->name);
    ret->id = arena_dup(a, from->id);
    ret->path = arena_dup(a, from->path);
    ret->account = arena_dup(a, from->account);
    ret->description = arena_dup(a, from->description);
    ret->trust = arena_dup(a, from->trust);
    ret->boundary = arena_dup(a, from->boundary);
    ret->arn = arena_dup(a, from->arn);
    ret->policies = iam_names_dup(a, from->policies, from->policy_count);
    ret->tags.texts = iam_names_dup(a, from->tags.texts, from->tags.count);
    return ret->name.ptr && ret->id.ptr && ret->path.ptr && ret->account.ptr &&
                   ret->description.ptr && ret->trust.ptr && ret->boundary.ptr && ret->arn.ptr &&
                   ret->policies && ret->tags.texts
               ? 0
               : -ENOMEM;
}

int iam_role_find(struct iam *iam, struct arena *a, struct str account, struct str name,
                  struct iam_role *ret)
{
    rt_lock(&iam->lock);
    struct table_node *n = iam_find_local(&iam->roles, account, name);
    int r =
        n ? role_dup(a, &container_of(n, struct iam_role_entry, node)->info, ret) : -ERR_NOT_FOUND;
    rt_unlock(&iam->lock);
    return r;
}

/* "ACCOUNT" and "/path/name" of a role's ARN. */
static bool split_arn(struct str arn, struct str *ret_account, struct str *ret_path)
{
    struct str prefix = STR("arn:aws:iam::"), mid = STR(":role/");
    if (!str_starts(arn, prefix))
        return false;
    arn = str_from_offset(arn, prefix.len);
    ptrdiff_t at = str_find(arn, mid, 0);
    if (at < 0)
        return false;
    *ret_account = at ? str_prefix(arn, (size_t)at) : ROOT_ACCOUNT;
    *ret_path = str_from_offset(arn, (size_t)at + mid.len - 1);
    return true;
}

int iam_role_by_arn(struct iam *iam, struct arena *a, struct str arn, struct iam_role *ret)
{
    struct str account, path, name = STR_NULL;
    if (!split_arn(arn, &account, &path))
        return -ERR_NOT_FOUND;
    struct str rest = path, part;
    while (str_cut(&rest, '/', &part))
        name = part;
    struct iam_role role;
    int r = iam_role_find(iam, a, account, name, &role);
    if (r)
        return r;
    struct str local = iam_local_name(role.account, role.name);
    struct str whole = arena_printf(a, "%.*s%.*s", STR_FMT(role.path), STR_FMT(local));
    if (!whole.ptr)
        return -ENOMEM;
    if (!str_eq(whole, path))
        return -ERR_NOT_FOUND;
    *ret = role;
    return 0;
}

struct list {
    struct arena *a;
    struct str account;
    struct iam_role *items;
    size_t count;
};

static int list_role(struct table_node *n, void *arg)
{
    struct list *l = arg;
    const struct iam_role *role = &container_of(n, struct iam_role_entry, node)->info;
    if (l->account.ptr && !str_eq(l->account, role->account))
        return 0;
    return role_dup(l->a, role, &l->items[l->count++]);
}

static int by_role_name(const void *a, const void *b)
{
    return str_cmp(((const struct iam_role *)a)->name, ((const struct iam_role *)b)->name);
}

int iam_role_list(struct iam *iam, struct arena *a, struct str account, struct iam_role **ret,
                  size_t *ret_count)
{
    struct list l = {.a = a, .account = account};
    rt_lock(&iam->lock);
    l.items = arena_array(a, struct iam_role, iam->roles.count + 1);
    int r = l.items ? table_each(&iam->roles, list_role, &l) : -ENOMEM;
    rt_unlock(&iam->lock);
    if (r)
        return r;
    qsort(l.items, l.count, sizeof(*l.items), by_role_name);
    *ret = l.items;
    *ret_count = l.count;
    return 0;
}

/* ---- changing ------------------------------------------------------------------------------- */

static int FIBER add_role(struct iam *iam, const struct iam_role *role, const struct policy *trust)
{
    rt_lock(&iam->lock);
    bool taken =
        iam_find_local(&iam->roles, role->account, iam_local_name(role->account, role->name));
    bool full =
        iam->roles.count >= IAM_ROLES_MAX || iam_share_is_used(iam, role->account, IAM_SHARE_ROLES);
    bool bounded = !role->boundary.len || iam_find_policy(iam, role->boundary);
    rt_unlock(&iam->lock);
    if (!taken && !full && bounded)
        return store_role(iam, role, trust);
    policy_unref(trust);
    return taken ? -ERR_EXISTS : full ? -ERR_LIMIT : -ERR_NOT_FOUND;
}

int FIBER iam_role_add(struct iam *iam, struct arena *a, const struct iam_role *spec,
                       struct iam_role *ret, struct policy_fault *ret_fault)
{
    struct iam_role role = *spec;
    struct policy *trust;
    role.name = iam_qualify(a, spec->account, spec->name);
    role.id = iam_make_id(a, "AROA");
    role.path = spec->path.len ? spec->path : STR("/");
    role.max_session_s = spec->max_session_s ? spec->max_session_s : IAM_ROLE_SESSION_S;
    role.created_ms = rt_wall_ms();
    if (!role.name.ptr || !role.id.ptr)
        return -ENOMEM;
    if (!iam_name_is_valid(spec->name) || validate(&role))
        return -EINVAL;
    int r = policy_compile(POLICY_TRUST, STR(""), role.trust, &trust, ret_fault);
    if (r)
        return r;
    r = iam_writer_enter(iam);
    if (r) {
        policy_unref(trust);
        return r;
    }
    r = add_role(iam, &role, trust);
    iam_writer_leave(iam);
    return r ? r : iam_role_find(iam, a, spec->account, spec->name, ret);
}

/* What is not named in `what` stays as it is now: another may have changed it meanwhile. */
static int FIBER update_role(struct iam *iam, const struct iam_role *role, unsigned what,
                             const struct policy *trust)
{
    bool bounds = (what & IAM_ROLE_BOUNDARY) && role->boundary.len;
    rt_lock(&iam->lock);
    struct iam_role_entry *old = iam_find_role(iam, role->name);
    bool bounded = !bounds || iam_find_policy(iam, role->boundary);
    rt_unlock(&iam->lock);
    if (!old || !bounded) {
        policy_unref(trust);
        return -ERR_NOT_FOUND;
    }
    struct iam_role changed = old->info;
    if (what & IAM_ROLE_DESCRIPTION)
        changed.description = role->description;
    if (what & IAM_ROLE_TRUST)
        changed.trust = role->trust;
    if (what & IAM_ROLE_BOUNDARY)
        changed.boundary = role->boundary;
    if (what & IAM_ROLE_MAX_SESSION)
        changed.max_session_s = role->max_session_s;
    return store_role(iam, &changed, trust ? trust : policy_ref(old->trust));
}

int FIBER iam_role_update(struct iam *iam, const struct iam_role *role, unsigned what,
                          struct policy_fault *ret_fault)
{
    struct policy *trust = NULL;
    int r = validate(role);
    if (!r && (what & IAM_ROLE_TRUST))
        r = policy_compile(POLICY_TRUST, STR(""), role->trust, &trust, ret_fault);
    if (r)
        return r;
    r = iam_writer_enter(iam);
    if (r) {
        policy_unref(trust);
        return r;
    }
    r = update_role(iam, role, what, trust);
    iam_writer_leave(iam);
    return r;
}

static int FIBER remove_role(struct iam *iam, struct str name)
{
    rt_lock(&iam->lock);
    struct iam_role_entry *e = iam_find_role(iam, name);
    rt_unlock(&iam->lock);
    if (!e)
        return -ERR_NOT_FOUND;
    int r = iam_row_write(iam, ROLE_ROW, name, STR_NULL);
    if (r)
        return r;
    rt_lock(&iam->lock);
    table_del(&iam->roles, e->info.name);
    rt_unlock(&iam->lock);
    iam_inline_drop(iam, e->info.policies, e->info.policy_count);
    entry_free(e);
    return 0;
}

int FIBER iam_role_remove(struct iam *iam, struct str name)
{
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = remove_role(iam, name);
    iam_writer_leave(iam);
    return r;
}
