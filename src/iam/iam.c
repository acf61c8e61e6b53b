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

#include "base/encode.h"
#include "base/error.h"
#include "iam/oidc.h"
#include "rt/rt.h"

#define ROOT_ID        STR("root")
#define USER_ROW       "U"
#define WRITE_WAIT_S   30
#define ROWS_BYTES_MAX (512 * MIB) /* of all rows of one kind */
#define IAM_KEYS_MAX   (4 * IAM_USERS_MAX)

/* ---- tables --------------------------------------------------------------------------------- */

static void tables_del(struct iam *iam, struct iam_entry *e)
{
    for (size_t i = 0; i < e->key_count; i++)
        if (table_get(&iam->by_key, e->keys[i].data.info.id) == &e->keys[i].node)
            table_del(&iam->by_key, e->keys[i].data.info.id);
    if (table_get(&iam->by_name, e->user.name) == &e->by_name)
        table_del(&iam->by_name, e->user.name);
    if (table_get(&iam->by_id, e->user.user_id) == &e->by_id)
        table_del(&iam->by_id, e->user.user_id);
}

/* All or none: 0, -EEXIST, -ERR_LIMIT or -ENOMEM. */
static int tables_put(struct iam *iam, struct iam_entry *e)
{
    int r = table_put(&iam->by_name, &e->by_name, e->user.name);
    if (!r)
        r = table_put(&iam->by_id, &e->by_id, e->user.user_id);
    for (size_t i = 0; !r && i < e->key_count; i++)
        r = table_put(&iam->by_key, &e->keys[i].node, e->keys[i].data.info.id);
    if (r)
        tables_del(iam, e);
    return r;
}

struct iam_key_entry *iam_find_key(struct iam *iam, struct str access_key)
{
    struct table_node *n = table_get(&iam->by_key, access_key);
    return n ? container_of(n, struct iam_key_entry, node) : NULL;
}

struct iam_entry *iam_find_by_name(struct iam *iam, struct str name)
{
    struct table_node *n = table_get(&iam->by_name, name);
    return n ? container_of(n, struct iam_entry, by_name) : NULL;
}

struct iam_entry *iam_find_other(struct iam *iam, struct str name)
{
    rt_lock(&iam->lock);
    struct iam_entry *e = iam_find_by_name(iam, name);
    rt_unlock(&iam->lock);
    return e == iam->root ? NULL : e;
}

struct iam_entry *iam_find_by_id(struct iam *iam, struct str user_id)
{
    struct table_node *n = table_get(&iam->by_id, user_id);
    return n ? container_of(n, struct iam_entry, by_id) : NULL;
}

/* ---- names inside an account ---------------------------------------------------------------- */

struct str iam_qualify(struct arena *a, struct str account, struct str name)
{
    if (str_eq(account, ROOT_ID))
        return name;
    return arena_printf(a, "%.*s/%.*s", STR_FMT(account), STR_FMT(name));
}

struct str iam_local_name(struct str account, struct str name)
{
    bool inside = str_starts(name, account) && name.len > account.len + 1 &&
                  name.ptr[account.len] == '/' && !str_eq(account, ROOT_ID);
    return inside ? str_from_offset(name, account.len + 1) : name;
}

struct local_test {
    struct str account, name;
    struct table_node *found;
};

static int is_local(struct table_node *n, void *arg)
{
    struct local_test *t = arg;
    struct str local = iam_local_name(t->account, n->key);
    bool root = str_eq(t->account, ROOT_ID);
    bool inside = root || (local.len != n->key.len && str_find_char(local, '/', 0) < 0);
    if (inside && str_eq_nocase(local, t->name) && local.len == t->name.len)
        t->found = n;
    return t->found != NULL;
}

/* The exact name first; who writes it in other letters pays for a walk. */
struct table_node *iam_find_local(const struct table *t, struct str account, struct str name)
{
    char text[512];
    struct local_test test = {account, name, NULL};
    bool root = str_eq(account, ROOT_ID);
    size_t len = root ? name.len : account.len + 1 + name.len;
    /* With a slash it would be a name of another account: "a/b" of x is "b" of x/a. */
    if (len > sizeof(text) || name.len == 0 || (!root && str_find_char(name, '/', 0) >= 0))
        return NULL;
    char *at = text;
    if (!root) {
        memcpy(at, account.ptr, account.len);
        at += account.len;
        *at++ = '/';
    }
    memcpy(at, name.ptr, name.len);
    test.found = table_get(t, str_make(text, len));
    if (!test.found)
        (void)table_each((struct table *)t, is_local, &test);
    return test.found;
}

struct iam_entry *iam_find_in_account(struct iam *iam, struct str account, struct str name)
{
    struct table_node *n = iam_find_local(&iam->by_name, account, name);
    struct iam_entry *e = n ? container_of(n, struct iam_entry, by_name) : NULL;
    if (!e) /* an administrator of the store may have made it a member under a name of the store */
        e = iam_find_by_name(iam, name);
    if (!e || e == iam->root)
        return NULL;
    return str_eq(e->user.account, account) || str_eq(account, ROOT_ID) ? e : NULL;
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

static bool has_key_of_root(struct iam *iam, const struct iam_entry *e)
{
    for (size_t i = 0; i < e->key_count; i++)
        if (str_eq(e->keys[i].data.info.id, iam->root->keys[0].data.info.id))
            return true;
    return false;
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
        r = has_key_of_root(iam, e) ? 0 : -ERR_CORRUPT;
    iam_entry_free(e);
    return r;
}

static int add_root(struct iam *iam, const struct iam_config *config)
{
    struct iam_user root = {
        .name = ROOT_ID,
        .user_id = ROOT_ID,
        .display_name = ROOT_ID,
    };
    struct iam_key_data key = {.info = {.id = config->root_access_key},
                               .secret = config->root_secret_key};
    if (iam_user_validate(&root) || iam_key_validate(&key))
        return -EINVAL;
    iam->root = iam_entry_new(&root, &key, 1);
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
    iam->oidc = config->oidc;
    if (!iam->oidc.algorithms)
        iam->oidc.algorithms = JWT_DEFAULT;
    rt_lock_init(&iam->lock);
    rt_waitq_init(&iam->writers);
    table_init(&iam->by_key, IAM_KEYS_MAX);
    table_init(&iam->by_name, IAM_USERS_MAX + 1);
    table_init(&iam->by_id, IAM_USERS_MAX + 1);
    table_init(&iam->policies, IAM_POLICIES_MAX);
    table_init(&iam->groups, IAM_GROUPS_MAX);
    table_init(&iam->roles, IAM_ROLES_MAX);
    table_init(&iam->providers, IAM_PROVIDERS_MAX);
    table_init(&iam->ldap_map, IAM_LDAP_MAPPINGS_MAX);
    tries_init(&iam->ldap_tries);
    rt_waitq_init(&iam->fetchers);
    iam->key_caches = iam_key_caches_new(rt_thread_count());
    int r = iam->key_caches ? add_root(iam, config) : -ENOMEM;
    if (!r && config->ldap && !(iam->ldap = ldap_new(config->ldap)))
        r = -ENOMEM;
    if (!r)
        r = iam_grants_load(iam);
    if (!r)
        r = iam_rows_load(iam, USER_ROW, load_user);
    if (!r)
        r = iam_roles_load(iam);
    if (!r)
        r = iam_providers_load(iam);
    if (!r)
        r = iam_ldap_load(iam);
    if (!r)
        r = iam_sessions_load(iam);
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
    ldap_free(iam->ldap);
    bool root_in_tables = iam->root && iam_find_by_name(iam, ROOT_ID) == iam->root;
    table_release(&iam->by_key);
    table_release(&iam->by_id);
    table_each(&iam->by_name, free_entry, NULL);
    table_release(&iam->by_name);
    if (!root_in_tables)
        iam_entry_free(iam->root);
    iam_sessions_release(iam);
    iam_ldap_release(iam);
    iam_providers_release(iam);
    iam_roles_release(iam);
    iam_grants_release(iam);
    iam_key_caches_free(iam->key_caches, rt_thread_count());
    free(iam);
}

/* ---- lookups -------------------------------------------------------------------------------- */

/* A copy of what a request needs to know of who makes it. */
int iam_identify(struct iam *iam, struct arena *a, struct iam_entry *e, struct iam_identity *ret)
{
    const struct iam_user *u = &e->user;
    struct iam_identity who = {
        .user_id = arena_dup(a, u->user_id),
        .display_name = arena_dup(a, u->display_name),
        .access_key = arena_dup(a, u->access_key),
        .name = arena_dup(a, iam_local_name(u->account, u->name)),
        .account = arena_dup(a, u->account),
        .arn = arena_dup(a, u->arn),
        .alias_arn = arena_dup(a, e->alias_arn),
        .root = e == iam->root,
        .request_rate = u->limits.request_rate,
    };
    struct iam_held held = {u->policies, u->groups, u->policy_count, u->group_count, u->boundary};
    if (!who.user_id.ptr || !who.display_name.ptr || !who.access_key.ptr || !who.name.ptr ||
        !who.account.ptr || !who.arn.ptr || !who.alias_arn.ptr)
        return -ENOMEM;
    int r = u->tags.count ? iam_tag_attributes(a, &u->tags, &who) : 0;
    if (!r)
        r = iam_grants_of(iam, &e->grants, &held, &who.grants);
    if (!r)
        *ret = who;
    return r;
}

bool iam_key_opens(const struct iam_key_entry *k)
{
    const struct iam_access_key *info = &k->data.info;
    return !info->inactive && (!info->expires_ms || rt_wall_ms() < info->expires_ms) &&
           !info->policy.len == !k->policy;
}

/* Under the lock. */
static int identify_key(struct iam *iam, struct arena *a, const struct iam_key_entry *k,
                        struct iam_identity *ret)
{
    struct iam_named_policy *item = arena_new(a, struct iam_named_policy);
    struct iam_identity who;
    int r = item ? iam_identify(iam, a, k->owner, &who) : -ENOMEM;
    if (r)
        return r;
    who.access_key = arena_dup(a, k->data.info.id);
    who.credential = k->data.info.service ? IAM_SERVICE_KEY : IAM_OWN_KEY;
    who.expires_ms = k->data.info.expires_ms;
    if (k->policy) {
        item->policy = policy_ref(k->policy);
        who.session = (struct iam_policy_set){item, 1};
        who.narrowed = true;
    }
    *ret = who;
    if (who.access_key.ptr)
        return 0;
    iam_identity_release(ret);
    return -ENOMEM;
}

int iam_lookup(struct iam *iam, struct arena *a, struct str access_key,
               struct iam_identity *ret_identity, struct str *ret_secret)
{
    int r = -ERR_INVALID_ACCESS_KEY;
    rt_lock(&iam->lock);
    const struct iam_key_entry *k = iam_find_key(iam, access_key);
    if (k && iam_key_opens(k)) {
        struct str secret = arena_dup(a, k->data.secret);
        r = secret.ptr ? identify_key(iam, a, k, ret_identity) : -ENOMEM;
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
    int r = e ? iam_identify(iam, a, e, ret) : -ERR_NOT_FOUND;
    rt_unlock(&iam->lock);
    return r;
}

void iam_identity_release(struct iam_identity *who)
{
    iam_grants_unref(who->grants);
    who->grants = NULL;
    for (size_t i = 0; i < who->session.count; i++)
        policy_unref(who->session.items[i].policy);
    who->session.count = 0;
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

struct row_batch {
    struct iam_row *rows;
    size_t count;
};

static int write_rows(struct meta_tx *tx, void *arg)
{
    const struct row_batch *b = arg;
    int r = 0;
    for (size_t i = 0; !r && i < b->count; i++)
        r = b->rows[i].value.ptr ? meta_put(tx, b->rows[i].key, b->rows[i].value)
                                 : meta_del(tx, b->rows[i].key);
    return r;
}

int FIBER iam_rows_write(struct iam *iam, struct iam_row *rows, size_t count)
{
    struct row_batch b = {rows, count};
    return meta_write(iam->meta, BUCKET_SYSTEM, write_rows, &b);
}

int FIBER iam_row_write(struct iam *iam, const char *kind, struct str name, struct str value)
{
    _cleanup_buf_ struct buf key;
    buf_init(&key, 0);
    buf_put_cstr(&key, kind);
    buf_put_str(&key, name);
    struct iam_row row = {.key = buf_str(&key), .value = value};
    if (buf_error(&key))
        return -ENOMEM;
    return iam_rows_write(iam, &row, 1);
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

/* Under the lock: a key that somebody but `but` has. */
static bool are_keys_taken(struct iam *iam, const struct iam_entry *e, const struct iam_entry *but)
{
    for (size_t i = 0; i < e->key_count; i++) {
        const struct iam_key_entry *k = iam_find_key(iam, e->keys[i].data.info.id);
        if (k && k->owner != but)
            return true;
    }
    return false;
}

/* Under the lock: inside its account somebody but `but` is called so. */
static bool is_name_taken(struct iam *iam, const struct iam_user *u, const struct iam_entry *but)
{
    if (str_eq(u->account, u->user_id) || str_eq(u->account, ROOT_ID))
        return false;
    struct iam_entry *e = iam_find_in_account(iam, u->account, iam_local_name(u->account, u->name));
    return e && e != but;
}

/* The caller is the only writer: what is free here is free until the row is durable. */
static int FIBER add_entry(struct iam *iam, struct iam_entry *e)
{
    rt_lock(&iam->lock);
    bool taken = are_keys_taken(iam, e, NULL) || iam_find_by_name(iam, e->user.name) ||
                 iam_find_by_id(iam, e->user.user_id) || is_name_taken(iam, &e->user, NULL);
    bool full = iam->by_name.count > IAM_USERS_MAX ||
                iam_share_is_used(iam, e->user.account, IAM_SHARE_USERS);
    bool homeless =
        !str_eq(e->user.account, e->user.user_id) && !account_exists(iam, e->user.account);
    bool bounded = !e->user.boundary.len || iam_find_policy(iam, e->user.boundary);
    rt_unlock(&iam->lock);
    if (taken)
        return -ERR_EXISTS;
    if (homeless || !bounded)
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

struct str iam_make_id(struct arena *a, const char *prefix)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint8_t raw[17];
    char text[sizeof(raw)];
    rt_random(raw, sizeof(raw));
    for (size_t i = 0; i < sizeof(raw); i++)
        text[i] = digits[raw[i] % 32];
    return arena_printf(a, "%s%.*s", prefix, (int)sizeof(text), text);
}

struct str *iam_names_dup(struct arena *a, const struct str *names, size_t count)
{
    struct str *copy = arena_array(a, struct str, count + 1);
    for (size_t i = 0; copy && i < count; i++)
        if (!(copy[i] = arena_dup(a, names[i])).ptr)
            return NULL;
    return copy;
}

/* Out of memory shows in the name. */
struct iam_user iam_user_dup(struct arena *a, const struct iam_user *u)
{
    struct iam_user copy = {
        .user_id = arena_dup(a, u->user_id),
        .access_key = arena_dup(a, u->access_key),
        .email = arena_dup(a, u->email),
        .display_name = arena_dup(a, u->display_name),
        .account = arena_dup(a, u->account),
        .path = arena_dup(a, u->path),
        .arn = arena_dup(a, u->arn),
        .boundary = arena_dup(a, u->boundary),
        .created_ms = u->created_ms,
        .limits = u->limits,
        .policies = iam_names_dup(a, u->policies, u->policy_count),
        .groups = iam_names_dup(a, u->groups, u->group_count),
        .tags = {iam_names_dup(a, u->tags.texts, u->tags.count), u->tags.count},
    };
    if (!copy.policies || !copy.groups || !copy.tags.texts || !copy.user_id.ptr ||
        !copy.account.ptr || !copy.path.ptr || !copy.arn.ptr || !copy.boundary.ptr)
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
        .email = spec->email,
        .display_name = spec->display_name.len ? spec->display_name : spec->name,
        .account = spec->account,
        .path = spec->path,
        .boundary = spec->boundary,
        .tags = spec->tags,
        .created_ms = rt_wall_ms(),
    };
    struct iam_key_data key = {
        .info = {.id = spec->access_key, .created_ms = user.created_ms},
        .secret = spec->secret_key,
    };
    size_t keys = spec->access_key.len || spec->secret_key.len;
    if (!user.user_id.ptr)
        return -ENOMEM;
    if (iam_user_validate(&user) || (keys && iam_key_validate(&key)))
        return -EINVAL;
    struct iam_entry *e = iam_entry_new(&user, &key, keys);
    if (!e)
        return -ENOMEM;
    struct iam_user told = iam_user_dup(a, &e->user);
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
    g->users[g->count] = iam_user_dup(g->a, &e->user);
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
        *ret = iam_user_dup(a, &e->user);
    rt_unlock(&iam->lock);
    if (!found)
        return -ERR_NOT_FOUND;
    return ret->name.ptr ? 0 : -ENOMEM;
}

int iam_user_find(struct iam *iam, struct arena *a, struct str account, struct str name,
                  struct iam_user *ret)
{
    rt_lock(&iam->lock);
    const struct iam_entry *e = iam_find_in_account(iam, account, name);
    if (e)
        *ret = iam_user_dup(a, &e->user);
    rt_unlock(&iam->lock);
    if (!e)
        return -ERR_NOT_FOUND;
    return ret->name.ptr ? 0 : -ENOMEM;
}

/* ---- changes -------------------------------------------------------------------------------- */

/* One row, or, when the name is another, two. */
static int FIBER store_change(struct iam *iam, const struct iam_entry *old,
                              const struct iam_entry *e)
{
    _cleanup_buf_ struct buf value, from, to;
    buf_init(&value, 0);
    buf_init(&from, 0);
    buf_init(&to, 0);
    int r = iam_record_encode(e, &value);
    if (r)
        return r;
    buf_printf(&from, USER_ROW "%.*s", STR_FMT(old->user.name));
    buf_printf(&to, USER_ROW "%.*s", STR_FMT(e->user.name));
    struct iam_row rows[] = {{buf_str(&to), buf_str(&value)}, {buf_str(&from), STR_NULL}};
    if (buf_error(&from) || buf_error(&to))
        return -ENOMEM;
    return iam_rows_write(iam, rows, str_eq(old->user.name, e->user.name) ? 1 : 2);
}

void iam_entry_swap(struct iam *iam, struct iam_entry *old, struct iam_entry *new)
{
    tables_del(iam, old);
    int r = tables_put(iam, new);
    CHECK(r == 0); /* names and keys were tested, and the slots of the old one are free */
}

int FIBER iam_entry_change_keys(struct iam *iam, struct iam_entry *old,
                                const struct iam_user *changed, const struct iam_key_data *keys,
                                size_t count)
{
    struct iam_entry *e = iam_entry_new(changed, keys, count);
    if (!e)
        return -ENOMEM;
    rt_lock(&iam->lock);
    bool taken = are_keys_taken(iam, e, old);
    bool full = iam->by_key.count + count > iam->by_key.limit;
    rt_unlock(&iam->lock);
    int r = taken ? -ERR_EXISTS : full ? -ERR_LIMIT : store_change(iam, old, e);
    if (r) {
        iam_entry_free(e);
        return r;
    }
    rt_lock(&iam->lock);
    iam_entry_swap(iam, old, e);
    rt_unlock(&iam->lock);
    iam_entry_free(old);
    return 0;
}

int FIBER iam_entry_change(struct iam *iam, struct iam_entry *old, const struct iam_user *changed)
{
    struct iam_key_data keys[IAM_USER_KEYS_MAX];
    for (size_t i = 0; i < old->key_count; i++)
        keys[i] = old->keys[i].data;
    return iam_entry_change_keys(iam, old, changed, keys, old->key_count);
}

static int FIBER rename_user(struct iam *iam, struct arena *a, struct str name,
                             struct str new_local, struct str new_path)
{
    struct iam_entry *e = iam_find_other(iam, name);
    if (!e)
        return -ERR_NOT_FOUND;
    struct iam_user changed = e->user;
    bool qualified = iam_local_name(e->user.account, name).len != name.len;
    if (str_eq(e->user.account, e->user.user_id))
        return -ERR_CONFLICT;
    if (new_local.len)
        changed.name = qualified ? iam_qualify(a, e->user.account, new_local) : new_local;
    if (new_path.len)
        changed.path = new_path;
    if (!changed.name.ptr)
        return -ENOMEM;
    if (iam_user_validate(&changed))
        return -EINVAL;
    rt_lock(&iam->lock);
    struct iam_entry *same = iam_find_by_name(iam, changed.name);
    bool taken = (same && same != e) || is_name_taken(iam, &changed, e);
    rt_unlock(&iam->lock);
    return taken ? -ERR_EXISTS : iam_entry_change(iam, e, &changed);
}

int FIBER iam_user_rename(struct iam *iam, struct arena *a, struct str name, struct str new_local,
                          struct str new_path)
{
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = rename_user(iam, a, name, new_local, new_path);
    iam_writer_leave(iam);
    return r;
}

static int FIBER set_boundary(struct iam *iam, struct str name, struct str policy)
{
    rt_lock(&iam->lock);
    struct iam_entry *e = iam_find_by_name(iam, name);
    bool known = !policy.len || iam_find_policy(iam, policy);
    rt_unlock(&iam->lock);
    if (!e || e == iam->root || !known)
        return -ERR_NOT_FOUND;
    struct iam_user changed = e->user;
    changed.boundary = policy;
    return iam_entry_change(iam, e, &changed);
}

int FIBER iam_user_set_boundary(struct iam *iam, struct str name, struct str policy)
{
    int r = iam_writer_enter(iam);
    if (r)
        return r;
    r = set_boundary(iam, name, policy);
    iam_writer_leave(iam);
    return r;
}

/* ---- removal -------------------------------------------------------------------------------- */

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

static int is_role_of(struct table_node *n, void *arg)
{
    const struct member_test *m = arg;
    return str_eq(container_of(n, struct iam_role_entry, node)->info.account, m->account);
}

/* The row goes first: a user whose removal is not durable can still sign. */
static int FIBER remove_entry(struct iam *iam, struct str name)
{
    rt_lock(&iam->lock);
    struct iam_entry *e = iam_find_by_name(iam, name);
    struct member_test m = {e ? e->user.user_id : STR_NULL, e};
    bool has_members =
        e && (table_each(&iam->by_name, is_member, &m) || table_each(&iam->roles, is_role_of, &m));
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
    iam_inline_drop(iam, e->user.policies, e->user.policy_count);
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
