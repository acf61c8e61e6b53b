/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Every user in memory, exactly as stored.
 *
 * Invariants
 *  1. The tables hold the root entry and every row "U name" of the system space, and nothing else.
 *  2. An entry is in all three tables or in none.
 *  3. Only the holder of `writing` changes rows or tables, so what a writer tested still holds when
 *     its row is durable; a table changes only after its row did.
 *
 * Lock: `lock` guards the tables and `writing`; held for a lookup and a copy, never over a wait.
 */

#include "iam/internal.h"

#include "base/encode.h"
#include "base/error.h"
#include "rt/rt.h"

#define ROOT_ID      STR("root")
#define USER_ROW     "U"
#define WRITE_WAIT_S 30

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

static struct iam_entry *find_by_name(struct iam *iam, struct str name)
{
    struct table_node *n = table_get(&iam->by_name, name);
    return n ? container_of(n, struct iam_entry, by_name) : NULL;
}

static struct iam_entry *find_by_id(struct iam *iam, struct str user_id)
{
    struct table_node *n = table_get(&iam->by_id, user_id);
    return n ? container_of(n, struct iam_entry, by_id) : NULL;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

struct load {
    struct iam *iam;
    struct iam_entry **entries;
    size_t count, cap;
};

static void load_release(struct load *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->entries[i]);
    free(l->entries);
    l->entries = NULL;
    l->count = l->cap = 0;
}

static int load_add(struct load *l, struct str value)
{
    if (l->count == IAM_USERS_MAX)
        return -ERR_LIMIT;
    if (l->count == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct iam_entry **grown = realloc(l->entries, cap * sizeof(struct iam_entry *));
        if (!grown)
            return -ENOMEM;
        l->entries = grown;
        l->cap = cap;
    }
    int r = iam_record_decode(value, &l->entries[l->count]);
    if (!r)
        l->count++;
    return r;
}

static int load_rows(struct meta_tx *tx, void *arg)
{
    struct load *l = arg;
    load_release(l); /* a rerun starts afresh */
    struct meta_cursor *c;
    int r = meta_cursor_open(tx, STR(USER_ROW), &c);
    if (r)
        return r;
    r = meta_cursor_seek(c, STR(USER_ROW));
    while (!r && meta_cursor_valid(c)) {
        r = load_add(l, meta_cursor_value(c));
        if (!r)
            r = meta_cursor_next(c);
    }
    meta_cursor_close(c);
    return r;
}

/* A row that cannot be read refuses the start: it must not silently free a name or an id. */
static int FIBER load_users(struct iam *iam)
{
    struct load l = {.iam = iam};
    int r = meta_read(iam->meta, BUCKET_SYSTEM, load_rows, &l);
    for (size_t i = 0; !r && i < l.count; i++) {
        /* The administrator may have taken a user's key for root: root wins, the user sleeps. */
        r = tables_put(iam, l.entries[i]);
        if (r == -EEXIST && find_by_key(iam, l.entries[i]->user.access_key) == iam->root)
            r = 0;
        else if (r == -EEXIST)
            r = -ERR_CORRUPT;
        else if (!r)
            l.entries[i] = NULL;
    }
    load_release(&l);
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
    iam->key_caches = iam_key_caches_new(rt_thread_count());
    int r = iam->key_caches ? add_root(iam, config) : -ENOMEM;
    if (!r)
        r = load_users(iam);
    if (r) {
        iam_close(iam);
        return r;
    }
    *ret = iam;
    return 0;
}

static int free_entry(struct table_node *n, void *arg)
{
    free(container_of(n, struct iam_entry, by_name));
    return 0;
}

void FIBER iam_close(struct iam *iam)
{
    if (!iam)
        return;
    CHECK(!iam->writing);
    bool root_in_tables = iam->root && find_by_name(iam, ROOT_ID) == iam->root;
    table_release(&iam->by_key);
    table_release(&iam->by_id);
    table_each(&iam->by_name, free_entry, NULL);
    table_release(&iam->by_name);
    if (!root_in_tables)
        free(iam->root);
    iam_key_caches_free(iam->key_caches, rt_thread_count());
    free(iam);
}

/* ---- lookups -------------------------------------------------------------------------------- */

int iam_lookup(struct iam *iam, struct arena *a, struct str access_key,
               struct iam_identity *ret_identity, struct str *ret_secret)
{
    int r = -ERR_INVALID_ACCESS_KEY;
    rt_lock(&iam->lock);
    struct iam_entry *e = find_by_key(iam, access_key);
    if (e) {
        struct iam_identity who = {
            .user_id = arena_dup(a, e->user.user_id),
            .display_name = arena_dup(a, e->user.display_name),
            .access_key = arena_dup(a, e->user.access_key),
            .root = e == iam->root,
        };
        struct str secret = arena_dup(a, e->secret);
        r = -ENOMEM;
        if (who.user_id.ptr && who.display_name.ptr && who.access_key.ptr && secret.ptr) {
            *ret_identity = who;
            *ret_secret = secret;
            r = 0;
        }
    }
    rt_unlock(&iam->lock);
    return r;
}

struct str iam_display_name(struct iam *iam, struct arena *a, struct str user_id)
{
    rt_lock(&iam->lock);
    struct iam_entry *e = find_by_id(iam, user_id);
    struct str name = e ? arena_dup(a, e->user.display_name) : user_id;
    rt_unlock(&iam->lock);
    return name.ptr ? name : user_id;
}

/* ---- the decision --------------------------------------------------------------------------- */

/* What any user may do where no bucket is concerned yet. */
static bool is_own_affair(struct str action)
{
    return str_eq(action, STR("s3:ListAllMyBuckets")) || str_eq(action, STR("s3:CreateBucket"));
}

int iam_authorise(struct iam *iam, const struct iam_access *r)
{
    if (!r->who)
        return -ERR_ACCESS_DENIED;
    if (r->who->root)
        return 0;
    if (is_own_affair(r->action))
        return 0;
    if (r->bucket_owner.len > 0 && str_eq(r->bucket_owner, r->who->user_id))
        return 0;
    return -ERR_ACCESS_DENIED;
}

/* ---- users ---------------------------------------------------------------------------------- */

static int FIBER writer_enter(struct iam *iam)
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

static void writer_leave(struct iam *iam)
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

static struct str row_key(struct buf *b, struct str name)
{
    buf_put_cstr(b, USER_ROW);
    buf_put_str(b, name);
    return buf_str(b);
}

static int FIBER store_entry(struct iam *iam, const struct iam_entry *e)
{
    _cleanup_buf_ struct buf key, value;
    buf_init(&key, 0);
    buf_init(&value, 0);
    int r = iam_record_encode(e, &value);
    struct row row = {.key = row_key(&key, e->user.name), .value = buf_str(&value)};
    if (r || buf_error(&key))
        return -ENOMEM;
    return meta_write(iam->meta, BUCKET_SYSTEM, write_row, &row);
}

static int FIBER remove_row(struct iam *iam, struct str name)
{
    _cleanup_buf_ struct buf key;
    buf_init(&key, 0);
    struct row row = {.key = row_key(&key, name)};
    if (buf_error(&key))
        return -ENOMEM;
    return meta_write(iam->meta, BUCKET_SYSTEM, write_row, &row);
}

/* The caller is the only writer: what is free here is free until the row is durable. */
static int FIBER add_entry(struct iam *iam, struct iam_entry *e)
{
    rt_lock(&iam->lock);
    bool taken = find_by_key(iam, e->user.access_key) || find_by_name(iam, e->user.name) ||
                 find_by_id(iam, e->user.user_id);
    bool full = iam->by_name.count > IAM_USERS_MAX;
    rt_unlock(&iam->lock);
    if (taken)
        return -ERR_EXISTS;
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

static struct iam_user user_dup(struct arena *a, const struct iam_user *u)
{
    return (struct iam_user){
        .name = arena_dup(a, u->name),
        .user_id = arena_dup(a, u->user_id),
        .access_key = arena_dup(a, u->access_key),
        .email = arena_dup(a, u->email),
        .display_name = arena_dup(a, u->display_name),
        .created_ms = u->created_ms,
    };
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
    int r = writer_enter(iam);
    if (!r) {
        r = add_entry(iam, e);
        writer_leave(iam);
    }
    if (r)
        free(e);
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

/* The row goes first: a user whose removal is not durable can still sign. */
static int FIBER remove_entry(struct iam *iam, struct str name)
{
    rt_lock(&iam->lock);
    struct iam_entry *e = find_by_name(iam, name);
    rt_unlock(&iam->lock);
    if (!e || e == iam->root)
        return -ERR_NOT_FOUND;
    int r = remove_row(iam, name);
    if (r)
        return r;
    rt_lock(&iam->lock);
    tables_del(iam, e);
    rt_unlock(&iam->lock);
    free(e);
    return 0;
}

int FIBER iam_user_remove(struct iam *iam, struct str name)
{
    int r = writer_enter(iam);
    if (r)
        return r;
    r = remove_entry(iam, name);
    writer_leave(iam);
    return r;
}
