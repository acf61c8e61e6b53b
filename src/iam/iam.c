/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Every user in memory, exactly as stored.
 *
 * Invariants
 *  1. The user tables hold the root entry and every row "U name" of the system space, and nothing
 *     else; those of policies and groups likewise (grants.c).
 *  2. An entry is in all three tables or in none.
 *  3. Only the holder of `writing` changes rows or tables, so what a writer tested still holds when
 *     its row is durable; a table changes only after its row did.
 *
 * Lock: `lock` guards the tables and `writing`; held for a lookup and a copy, never over a wait.
 */

#include "iam/internal.h"
#include "iam/grants.h"

#include "base/encode.h"
#include "base/error.h"
#include "rt/rt.h"

#define ROOT_ID        STR("root")
#define USER_ROW       "U"
#define WRITE_WAIT_S   30
#define ROWS_BYTES_MAX (512 * MIB) /* of all rows of one kind */

/* ---- tables --------------------------------------------------------------------------------- */

static void tables_del(struct iam *iam, struct iam_entry *e)
{
    if (table_get(&iam->by_key, e->user.access_key) == &e->by_key)
        table_del(&iam->by_key, e->user.access_key);
    if (table_get(&iam->by_name, e->user.name) == &e->by_name)
        table_del(&iam->by_name, e->user.name);
    if (table_get(&iam->by_id, e->user.user_id) == &e->by_id)
        table_del(&iam->by_id, e->user.user_id);
}

/* All three or none: 0, -EEXIST, -ERR_LIMIT or -ENOMEM. */
static int tables_put(struct iam *iam, struct iam_entry *e)
{
    int r = table_put(&iam->by_key, &e->by_key, e->user.access_key);
    if (!r)
        r = table_put(&iam->by_name, &e->by_name, e->user.name);
    if (!r)
        r = table_put(&iam->by_id, &e->by_id, e->user.user_id);
    if (r)
        tables_del(iam, e);
    return r;
}

static struct iam_entry *find_by_key(struct iam *iam, struct str access_key)
{
    struct table_node *n = table_get(&iam->by_key, access_key);
    return n ? container_of(n, struct iam_entry, by_key) : NULL;
}

struct iam_entry *iam_find_by_name(struct iam *iam, struct str name)
{
    struct table_node *n = table_get(&iam->by_name, name);
    return n ? container_of(n, struct iam_entry, by_name) : NULL;
}

struct iam_entry *iam_find_by_id(struct iam *iam, struct str user_id)
{
    struct table_node *n = table_get(&iam->by_id, user_id);
    return n ? container_of(n, struct iam_entry, by_id) : NULL;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

struct load {
    const char *kind;
    struct arena arena; /* the rows' values */
    struct str *values;
    size_t count, cap;
};

static int load_add(struct load *l, struct str value)
{
    if (l->count == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct str *grown = realloc(l->values, cap * sizeof(struct str));
        if (!grown)
            return -ENOMEM;
        l->values = grown;
        l->cap = cap;
    }
    l->values[l->count] = arena_dup(&l->arena, value);
    return l->values[l->count++].ptr ? 0 : -ERR_LIMIT;
}

static int load_rows(struct meta_tx *tx, void *arg)
{
    struct load *l = arg;
    struct meta_cursor *c;
    l->count = 0; /* a rerun starts afresh */
    arena_reset(&l->arena);
    int r = meta_cursor_open(tx, str_from(l->kind), &c);
    if (r)
        return r;
    r = meta_cursor_seek(c, str_from(l->kind));
    while (!r && meta_cursor_valid(c)) {
        r = load_add(l, meta_cursor_value(c));
        if (!r)
            r = meta_cursor_next(c);
    }
    meta_cursor_close(c);
    return r;
}

int FIBER iam_rows_load(struct iam *iam, const char *kind, int (*fn)(struct iam *iam, struct str v))
{
    struct load l = {.kind = kind};
    arena_init(&l.arena, ROWS_BYTES_MAX);
    int r = meta_read(iam->meta, BUCKET_SYSTEM, load_rows, &l);
    for (size_t i = 0; !r && i < l.count; i++)
        r = fn(iam, l.values[i]);
    free(l.values);
    arena_release(&l.arena);
    return r;
}

/* A row that cannot be read refuses the start: it must not silently free a name or an id. */
static int load_user(struct iam *iam, struct str value)
{
    struct iam_entry *e;
    int r = iam_record_decode(value, &e);
    if (r)
        return r;
    r = tables_put(iam, e);
    if (!r)
        return 0;
    /* The administrator may have taken a user's key for root: root wins, the user sleeps. */
    if (r == -EEXIST)
        r = find_by_key(iam, e->user.access_key) == iam->root ? 0 : -ERR_CORRUPT;
    iam_entry_free(e);
    return r;
}

static int add_root(struct iam *iam, const struct iam_config *config)
{
    struct iam_user root = {
        .name = ROOT_ID,
        .user_id = ROOT_ID,
        .access_key = config->root_access_key,
        .display_name = ROOT_ID,
    };
    if (iam_user_validate(&root, config->root_secret_key))
        return -EINVAL;
    iam->root = iam_entry_new(&root, config->root_secret_key);
    if (!iam->root)
        return -ENOMEM;
    return tables_put(iam, iam->root);
}

int FIBER iam_open(struct iam **ret, const struct iam_config *config)
{
    struct iam *iam = calloc(1, sizeof(*iam));
    if (!iam)
        return -ENOMEM;
    iam->meta = config->meta;
    rt_lock_init(&iam->lock);
    rt_waitq_init(&iam->writers);
    table_init(&iam->by_key, IAM_USERS_MAX + 1);
    table_init(&iam->by_name, IAM_USERS_MAX + 1);
    table_init(&iam->by_id, IAM_USERS_MAX + 1);
    table_init(&iam->policies, IAM_POLICIES_MAX);
    table_init(&iam->groups, IAM_GROUPS_MAX);
    iam->key_caches = iam_key_caches_new(rt_thread_count());
    int r = iam->key_caches ? add_root(iam, config) : -ENOMEM;
    if (!r)
        r = iam_grants_load(iam);
    if (!r)
        r = iam_rows_load(iam, USER_ROW, load_user);
    if (r) {
        iam_close(iam);
        return r;
    }
    *ret = iam;
    return 0;
}

static int free_entry(struct table_node *n, void *arg)
{
    iam_entry_free(container_of(n, struct iam_entry, by_name));
    return 0;
}

void FIBER iam_close(struct iam *iam)
{
    if (!iam)
        return;
    CHECK(!iam->writing);
    bool root_in_tables = iam->root && iam_find_by_name(iam, ROOT_ID) == iam->root;
    table_release(&iam->by_key);
    table_release(&iam->by_id);
    table_each(&iam->by_name, free_entry, NULL);
    table_release(&iam->by_name);
    if (!root_in_tables)
        iam_entry_free(iam->root);
    iam_grants_release(iam);
    iam_key_caches_free(iam->key_caches, rt_thread_count());
    free(iam);
}

/* ---- lookups -------------------------------------------------------------------------------- */

/* Under the lock: a copy of what a request needs to know of who makes it. */
static int identify(struct iam *iam, struct arena *a, struct iam_entry *e, struct iam_identity *ret)
{
    struct iam_identity who = {
        .user_id = arena_dup(a, e->user.user_id),
        .display_name = arena_dup(a, e->user.display_name),
        .access_key = arena_dup(a, e->user.access_key),
        .name = arena_dup(a, e->user.name),
        .account = arena_dup(a, e->user.account),
        .arn = arena_dup(a, e->arn),
        .alias_arn = arena_dup(a, e->alias_arn),
        .root = e == iam->root,
    };
    if (!who.user_id.ptr || !who.display_name.ptr || !who.access_key.ptr || !who.name.ptr ||
        !who.account.ptr || !who.arn.ptr || !who.alias_arn.ptr)
        return -ENOMEM;
    int r = iam_grants_of(iam, e, &who.grants);
    if (!r)
        *ret = who;
    return r;
}

int iam_lookup(struct iam *iam, struct arena *a, struct str access_key,
               struct iam_identity *ret_identity, struct str *ret_secret)
{
    int r = -ERR_INVALID_ACCESS_KEY;
    rt_lock(&iam->lock);
    struct iam_entry *e = find_by_key(iam, access_key);
    if (e) {
        struct str secret = arena_dup(a, e->secret);
        r = secret.ptr ? identify(iam, a, e, ret_identity) : -ENOMEM;
        if (!r)
            *ret_secret = secret;
    }
    rt_unlock(&iam->lock);
    return r;
}

int iam_user_identity(struct iam *iam, struct arena *a, struct str name, struct iam_identity *ret)
{
    rt_lock(&iam->lock);
    struct iam_entry *e = iam_find_by_name(iam, name);
    int r = e ? identify(iam, a, e, ret) : -ERR_NOT_FOUND;
    rt_unlock(&iam->lock);
    return r;
}

void iam_identity_release(struct iam_identity *who)
{
    iam_grants_unref(who->grants);
    who->grants = NULL;
}

struct str iam_display_name(struct iam *iam, struct arena *a, struct str user_id)
{
    rt_lock(&iam->lock);
    struct iam_entry *e = iam_find_by_id(iam, user_id);
    struct str name = e ? arena_dup(a, e->user.display_name) : user_id;
    rt_unlock(&iam->lock);
    return name.ptr ? name : user_id;
}

/* ---- accounts that ACLs grant to ------------------------------------------------------------ */

/* An account is a user's that is no member itself. Under the lock. */
static bool account_exists(struct iam *iam, struct str account)
{
    struct iam_entry *e = iam_find_by_id(iam, account);
    return e && str_eq(e->user.account, account);
}

bool iam_account_exists(struct iam *iam, struct str account)
{
    rt_lock(&iam->lock);
    bool found = account_exists(iam, account);
    rt_unlock(&iam->lock);
    return found;
}

struct by_email {
    struct str email;
    struct str account; /* points into the entry */
};

static int match_email(struct table_node *n, void *arg)
{
    struct by_email *m = arg;
    const struct iam_user *u = &container_of(n, struct iam_entry, by_name)->user;
    if (!u->email.len || !str_eq_nocase(u->email, m->email) || !str_eq(u->account, u->user_id))
        return 0;
    if (m->account.len)
        return -ERR_EXISTS;
    m->account = u->account;
    return 0;
}

int iam_account_of_email(struct iam *iam, struct arena *a, struct str email, struct str *ret)
{
    struct by_email m = {.email = email};
    struct str account = STR_NULL;
    rt_lock(&iam->lock);
    int r = table_each(&iam->by_name, match_email, &m);
    if (!r && m.account.len)
        account = arena_dup(a, m.account);
    rt_unlock(&iam->lock);
    if (r)
        return r;
    if (!m.account.len)
        return -ERR_NOT_FOUND;
    *ret = account;
    return account.ptr ? 0 : -ENOMEM;
}

/* ---- users ---------------------------------------------------------------------------------- */

int FIBER iam_writer_enter(struct iam *iam)
{
    uint64_t deadline = rt_now() + WRITE_WAIT_S * RT_S;
    int r = 0;
    rt_lock(&iam->lock);
    while (!r && iam->writing)
        r = rt_wait(&iam->writers, &iam->lock, deadline);
    if (!r)
        iam->writing = true;
    rt_unlock(&iam->lock);
    return r == -ETIMEDOUT ? -ERR_BUSY : r;
}

void iam_writer_leave(struct iam *iam)
{
    rt_lock(&iam->lock);
    iam->writing = false;
    rt_wake_one(&iam->writers);
    rt_unlock(&iam->lock);
}

struct row {
    struct str key, value; /* value.ptr NULL: delete */
};

static int write_row(struct meta_tx *tx, void *arg)
{
    const struct row *row = arg;
    return row->value.ptr ? meta_put(tx, row->key, row->value) : meta_del(tx, row->key);
}

int FIBER iam_row_write(struct iam *iam, const char *kind, struct str name, struct str value)
{
    _cleanup_buf_ struct buf key;
    buf_init(&key, 0);
    buf_put_cstr(&key, kind);
    buf_put_str(&key, name);
    struct row row = {.key = buf_str(&key), .value = value};
    if (buf_error(&key))
        return -ENOMEM;
    return meta_write(iam->meta, BUCKET_SYSTEM, write_row, &row);
}

static int FIBER store_entry(struct iam *iam, const struct iam_entry *e)
{
    _cleanup_buf_ struct buf value;
    buf_init(&value, 0);
    int r = iam_record_encode(e, &value);
    return r ? r : iam_row_write(iam, USER_ROW, e->user.name, buf_str(&value));
}

static int FIBER remove_row(struct iam *iam, struct str name)
{
    return iam_row_write(iam, USER_ROW, name, STR_NULL);
}

/* The caller is the only writer: what is free here is free until the row is durable. */
static int FIBER add_entry(struct iam *iam, struct iam_entry *e)
{
    rt_lock(&iam->lock);
    bool taken = find_by_key(iam, e->user.access_key) || iam_find_by_name(iam, e->user.name) ||
                 iam_find_by_id(iam, e->user.user_id);
    bool full = iam->by_name.count > IAM_USERS_MAX;
    bool homeless =
        !str_eq(e->user.account, e->user.user_id) && !account_exists(iam, e->user.account);
    rt_unlock(&iam->lock);
    if (taken)
        return -ERR_EXISTS;
    if (homeless)
        return -ERR_NOT_FOUND;
    if (full)
        return -ERR_LIMIT;
    int r = store_entry(iam, e);
    if (r)
        return r;
    rt_lock(&iam->lock);
    r = tables_put(iam, e);
    rt_unlock(&iam->lock);
    if (r)
        (void)remove_row(iam, e->user.name);
    return r;
}

static struct str made_up_id(struct arena *a)
{
    uint8_t raw[32];
    char hex[2 * sizeof(raw)];
    rt_random(raw, sizeof(raw));
    hex_encode(raw, sizeof(raw), hex);
    return arena_dup(a, str_make(hex, sizeof(hex)));
}

static struct str *names_dup(struct arena *a, const struct str *names, size_t count)
{
    struct str *copy = arena_array(a, struct str, count + 1);
    for (size_t i = 0; copy && i < count; i++)
        copy[i] = arena_dup(a, names[i]);
    return copy;
}

/* Out of memory shows in the name. */
static struct iam_user user_dup(struct arena *a, const struct iam_user *u)
{
    struct iam_user copy = {
        .user_id = arena_dup(a, u->user_id),
        .access_key = arena_dup(a, u->access_key),
        .email = arena_dup(a, u->email),
        .display_name = arena_dup(a, u->display_name),
        .account = arena_dup(a, u->account),
        .created_ms = u->created_ms,
        .policies = names_dup(a, u->policies, u->policy_count),
        .groups = names_dup(a, u->groups, u->group_count),
    };
    if (!copy.policies || !copy.groups)
        return copy;
    copy.policy_count = u->policy_count;
    copy.group_count = u->group_count;
    copy.name = arena_dup(a, u->name);
    return copy;
}

int FIBER iam_user_add(struct iam *iam, struct arena *a, const struct iam_user_spec *spec,
                       struct iam_user *ret)
{
    struct iam_user user = {
        .name = spec->name,
        .user_id = spec->user_id.len ? spec->user_id : made_up_id(a),
        .access_key = spec->access_key,
        .email = spec->email,
        .display_name = spec->display_name.len ? spec->display_name : spec->name,
        .account = spec->account,
        .created_ms = rt_wall_ms(),
    };
    if (!user.user_id.ptr)
        return -ENOMEM;
    if (iam_user_validate(&user, spec->secret_key))
        return -EINVAL;
    struct iam_entry *e = iam_entry_new(&user, spec->secret_key);
    if (!e)
        return -ENOMEM;
    struct iam_user told = user_dup(a, &e->user);
    int r = iam_writer_enter(iam);
    if (!r) {
        r = add_entry(iam, e);
        iam_writer_leave(iam);
    }
    if (r)
        iam_entry_free(e);
    else
        *ret = told;
    return r;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct iam_user *)a)->name, ((const struct iam_user *)b)->name);
}

struct gather {
    struct iam *iam;
    struct arena *a;
    struct iam_user *users;
    size_t count;
};

static int gather_user(struct table_node *n, void *arg)
{
    struct gather *g = arg;
    struct iam_entry *e = container_of(n, struct iam_entry, by_name);
    if (e == g->iam->root)
        return 0;
    g->users[g->count] = user_dup(g->a, &e->user);
    return g->users[g->count++].name.ptr ? 0 : -ENOMEM;
}

int iam_user_list(struct iam *iam, struct arena *a, struct iam_user **ret, size_t *ret_count)
{
    struct gather g = {.iam = iam, .a = a};
    rt_lock(&iam->lock);
    g.users = arena_array(a, struct iam_user, iam->by_name.count + 1);
    int r = g.users ? table_each(&iam->by_name, gather_user, &g) : -ENOMEM;
    rt_unlock(&iam->lock);
    if (r)
        return r;
    qsort(g.users, g.count, sizeof(*g.users), by_name);
    *ret = g.users;
    *ret_count = g.count;
    return 0;
}

int iam_user_get(struct iam *iam, struct arena *a, struct str name, struct iam_user *ret)
{
    rt_lock(&iam->lock);
    struct iam_entry *e = iam_find_by_name(iam, name);
    bool found = e && e != iam->root;
    if (found)
        *ret = user_dup(a, &e->user);
    rt_unlock(&iam->lock);
    if (!found)
        return -ERR_NOT_FOUND;
    return ret->name.ptr ? 0 : -ENOMEM;
}

int FIBER iam_entry_change(struct iam *iam, struct iam_entry *old, const struct iam_user *changed)
{
    struct iam_entry *e = iam_entry_new(changed, old->secret);
    int r = e ? store_entry(iam, e) : -ENOMEM;
    if (r) {
        iam_entry_free(e);
        return r;
    }
    rt_lock(&iam->lock);
    tables_del(iam, old);
    r = tables_put(iam, e);
    CHECK(r == 0); /* the slots of the old one are free */
    rt_unlock(&iam->lock);
    iam_entry_free(old);
    return 0;
}

struct member_test {
    struct str account;
    const struct iam_entry *but;
};

static int is_member(struct table_node *n, void *arg)
{
    const struct member_test *m = arg;
    const struct iam_entry *e = container_of(n, struct iam_entry, by_name);
    return e != m->but && str_eq(e->user.account, m->account);
}

/* The row goes first: a user whose removal is not durable can still sign. */
static int FIBER remove_entry(struct iam *iam, struct str name)
{
    rt_lock(&iam->lock);
    struct iam_entry *e = iam_find_by_name(iam, name);
    struct member_test m = {e ? e->user.user_id : STR_NULL, e};
    bool has_members = e && table_each(&iam->by_name, is_member, &m);
    rt_unlock(&iam->lock);
    if (!e || e == iam->root)
        return -ERR_NOT_FOUND;
    if (has_members)
        return -ERR_CONFLICT;
    int r = remove_row(iam, name);
    if (r)
        return r;
    rt_lock(&iam->lock);
    tables_del(iam, e);
    rt_unlock(&iam->lock);
    iam_entry_free(e);
    return 0;
}

int FIBER iam_user_remove(struct iam *iam, struct str name)
{
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = remove_entry(iam, name);
    iam_writer_leave(iam);
    return r;
}
