/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Settings in the metadata, and the sets of them in memory (settings.h). A set is one block: its
 * references, a place a kind, the texts behind. The table of buckets (buckets.c) holds one
 * reference a bucket, up to SETTINGS_CACHE_MAX bytes of them; requests hold the others.
 */

#include "store/internal.h"

struct place {
    bool present;
    struct store_setting setting;
    void *parsed; /* atomic: NULL until it is kept */
    void (*release)(void *parsed);
};

struct store_settings {
    uint32_t refs; /* atomic */
    size_t size_bytes;
    enum store_versioning versioning; /* of the bucket's own row */
    bool object_lock;
    struct place places[STORE_SETTING_KINDS];
};

static const struct str setting_names[] = {
#define X(name, row) {row, sizeof(row) - 1},
    STORE_SETTINGS(X)
#undef X
};

static bool find_kind(struct str name, enum store_setting_kind *ret)
{
    for (unsigned i = 0; i < ARRAY_LEN(setting_names); i++)
        if (str_eq(name, setting_names[i])) {
            *ret = i;
            return true;
        }
    return false;
}

/* ---- a set ---------------------------------------------------------------------------------- */

struct store_settings *settings_ref(struct store_settings *set)
{
    if (set)
        __atomic_add_fetch(&set->refs, 1, __ATOMIC_RELAXED);
    return set;
}

void settings_unref(struct store_settings *set)
{
    if (!set || __atomic_sub_fetch(&set->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (unsigned i = 0; i < STORE_SETTING_KINDS; i++)
        if (set->places[i].parsed)
            set->places[i].release(set->places[i].parsed);
    free(set);
}

size_t settings_size(const struct store_settings *set)
{
    return set ? set->size_bytes : 0;
}

void store_bucket_release(struct store_bucket *b)
{
    settings_unref(TAKE_PTR(b->settings));
}

const struct store_setting *store_setting_of(const struct store_settings *set,
                                             enum store_setting_kind kind)
{
    CHECK(kind < STORE_SETTING_KINDS);
    return set && set->places[kind].present ? &set->places[kind].setting : NULL;
}

void *store_setting_parsed(const struct store_settings *set, enum store_setting_kind kind)
{
    CHECK(kind < STORE_SETTING_KINDS);
    return set ? __atomic_load_n(&set->places[kind].parsed, __ATOMIC_ACQUIRE) : NULL;
}

void *store_setting_keep(struct store_settings *set, enum store_setting_kind kind, void *made,
                         void (*release)(void *made))
{
    CHECK(kind < STORE_SETTING_KINDS && set->places[kind].present && made);
    struct place *p = &set->places[kind];
    void *expected = NULL;
    /* The same for all who make this kind: a race writes what is there. */
    __atomic_store_n(&p->release, release, __ATOMIC_RELEASE);
    if (__atomic_compare_exchange_n(&p->parsed, &expected, made, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return made;
    release(made);
    return expected;
}

/* What a parser made, with what it points to. */
struct made {
    struct arena arena;
    max_align_t bytes[];
};

static void free_made(void *made)
{
    struct made *m = made;
    arena_release(&m->arena);
    free(m);
}

static int make(struct str text, size_t size, store_setting_parser *parse, struct made **ret)
{
    struct made *m = calloc(1, sizeof(*m) + size);
    if (!m)
        return -ENOMEM;
    arena_init(&m->arena, 0);
    int r = parse(&m->arena, text, m->bytes);
    if (r == 0) {
        *ret = m;
        return 0;
    }
    free_made(m);
    return r == -ENOMEM ? r : -ERR_CORRUPT;
}

int store_setting_made(struct store_settings *set, enum store_setting_kind kind, size_t size,
                       store_setting_parser *parse, const void **ret)
{
    const struct store_setting *s = store_setting_of(set, kind);
    struct made *m = s ? store_setting_parsed(set, kind) : NULL;
    *ret = NULL;
    if (!s)
        return 0;
    if (!m) {
        int r = make(s->text, size, parse, &m);
        if (r < 0)
            return r;
        m = store_setting_keep(set, kind, m, free_made);
    }
    *ret = m->bytes;
    return 0;
}

/* ---- reading -------------------------------------------------------------------------------- */

struct gathered {
    struct arena *arena;
    struct config_row config;
    struct setting_row rows[STORE_SETTING_KINDS];
    bool present[STORE_SETTING_KINDS];
};

static int gather_row(struct gathered *g, struct str key, struct str value)
{
    enum store_setting_kind kind;
    if (key.len == KEY_CONFIG.len)
        return config_row_decode(value, g->arena, &g->config);
    if (!find_kind(str_from_offset(key, KEY_CONFIG.len), &kind))
        return -ERR_CORRUPT; /* of a later release: it might forbid */
    g->present[kind] = true;
    return setting_row_decode(value, g->arena, &g->rows[kind]);
}

static int gather_tx(struct meta_tx *tx, void *arg)
{
    struct gathered *g = arg;
    struct meta_cursor *c;
    memset(g->present, 0, sizeof(g->present));
    g->config = (struct config_row){.versioning = STORE_VERSIONING_NEVER};
    arena_reset(g->arena);
    int r = meta_cursor_open(tx, KEY_CONFIG, &c);
    if (r < 0)
        return r;
    r = meta_cursor_seek(c, KEY_CONFIG);
    while (r == 0 && meta_cursor_valid(c)) {
        r = gather_row(g, meta_cursor_key(c), meta_cursor_value(c));
        if (r == 0)
            r = meta_cursor_next(c);
    }
    meta_cursor_close(c);
    return r;
}

/* One block of what was gathered; *ret NULL when that is nothing. */
static int make_set(const struct gathered *g, struct store_settings **ret)
{
    size_t size = sizeof(struct store_settings), count = 0;
    *ret = NULL;
    for (unsigned i = 0; i < STORE_SETTING_KINDS; i++)
        if (g->present[i]) {
            size += g->rows[i].text.len;
            count++;
        }
    if (count == 0 && g->config.versioning == STORE_VERSIONING_NEVER && !g->config.object_lock)
        return 0;
    struct store_settings *set = calloc(1, size);
    if (!set)
        return -ENOMEM;
    char *at = (char *)(set + 1);
    set->refs = 1;
    set->size_bytes = size;
    set->versioning = g->config.versioning;
    set->object_lock = g->config.object_lock;
    for (unsigned i = 0; i < STORE_SETTING_KINDS; i++) {
        if (!g->present[i])
            continue;
        struct str text = g->rows[i].text;
        if (text.len)
            memcpy(at, text.ptr, text.len);
        set->places[i].present = true;
        set->places[i].setting =
            (struct store_setting){str_make(at, text.len), g->rows[i].changed_ms};
        at += text.len;
    }
    *ret = set;
    return 0;
}

static int FIBER settings_read(struct store *s, struct bucket_id b, struct store_settings **ret)
{
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, STORE_SETTING_KINDS * 2 * STORE_SETTING_MAX);
    struct gathered g = {.arena = &a};
    int r = meta_read(s->meta, b, gather_tx, &g);
    return r < 0 ? r : make_set(&g, ret);
}

int FIBER store_bucket_get(struct store *s, struct arena *a, struct str name,
                           struct store_bucket *ret)
{
    struct settings_place place;
    int r = buckets_find_settled(&s->buckets, a, name, ret, &place);
    if (r == 0 && !place.known) {
        r = settings_read(s, ret->id, &ret->settings);
        if (r == 0)
            buckets_settle(&s->buckets, ret->id, &place, ret->settings);
    }
    if (r == 0 && ret->settings) {
        ret->versioning = ret->settings->versioning;
        ret->object_lock = ret->settings->object_lock;
    }
    return r;
}

/* ---- changing ------------------------------------------------------------------------------- */

struct change {
    struct store *store;
    struct bucket_id bucket;
    enum store_setting_kind kind;
    const struct setting_row *row; /* NULL: remove it */
};

static void on_changed(void *arg)
{
    struct change *c = arg;
    buckets_unsettle(&c->store->buckets, c->bucket);
}

static int change_tx(struct meta_tx *tx, void *arg)
{
    struct change *c = arg;
    struct key_buf k;
    int r = config_row_test(tx);
    if (r < 0)
        return r;
    struct str key = key_raw(&k, KEY_CONFIG, setting_names[c->kind]);
    r = c->row ? setting_row_put(tx, key, c->row) : meta_del(tx, key);
    return r < 0 ? r : meta_on_commit(tx, on_changed, c);
}

int settings_begin(struct meta_tx *tx, const struct store_bucket_setting *settings, size_t count,
                   uint64_t now_ms)
{
    struct key_buf k;
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct setting_row row = {.text = settings[i].text, .changed_ms = now_ms};
        r = setting_row_put(tx, key_raw(&k, KEY_CONFIG, setting_names[settings[i].kind]), &row);
    }
    return r;
}

/* ---- the bucket's own row ------------------------------------------------------------------- */

struct own {
    struct change change; /* store and bucket */
    enum store_versioning versioning;
    bool lock; /* switch object lock on, instead */
};

static int own_tx(struct meta_tx *tx, void *arg)
{
    struct own *o = arg;
    struct config_row row;
    int r = config_row_get(tx, &row);
    if (r < 0)
        return r;
    if (o->lock) {
        if (row.versioning != STORE_VERSIONING_ENABLED)
            return -ERR_BUCKET_STATE;
        row.object_lock = true;
    } else {
        if (row.object_lock && o->versioning != STORE_VERSIONING_ENABLED)
            return -ERR_BUCKET_STATE;
        row.versioning = o->versioning;
    }
    r = config_row_put(tx, &row);
    return r < 0 ? r : meta_on_commit(tx, on_changed, &o->change);
}

int FIBER store_bucket_set_versioning(struct store *s, struct bucket_id b,
                                      enum store_versioning versioning)
{
    CHECK(versioning == STORE_VERSIONING_ENABLED || versioning == STORE_VERSIONING_SUSPENDED);
    struct own o = {.change = {.store = s, .bucket = b}, .versioning = versioning};
    return meta_write(s->meta, b, own_tx, &o);
}

int FIBER store_bucket_set_object_lock(struct store *s, struct bucket_id b)
{
    struct own o = {.change = {.store = s, .bucket = b}, .lock = true};
    return meta_write(s->meta, b, own_tx, &o);
}

int FIBER store_setting_put(struct store *s, struct bucket_id b, enum store_setting_kind kind,
                            struct str text)
{
    CHECK(kind < STORE_SETTING_KINDS);
    if (text.len > STORE_SETTING_MAX)
        return -ERR_TOO_LARGE;
    struct setting_row row = {.text = text, .changed_ms = rt_wall_ms()};
    struct change c = {s, b, kind, &row};
    return meta_write(s->meta, b, change_tx, &c);
}

int FIBER store_setting_delete(struct store *s, struct bucket_id b, enum store_setting_kind kind)
{
    CHECK(kind < STORE_SETTING_KINDS);
    struct change c = {s, b, kind, NULL};
    return meta_write(s->meta, b, change_tx, &c);
}

struct remaking {
    struct change change;
    store_setting_fn *fn;
    void *arg;
};

static int remake_tx(struct meta_tx *tx, void *arg)
{
    struct remaking *m = arg;
    struct arena *a = meta_arena(tx);
    struct setting_row row = {.text = STR_NULL};
    struct key_buf k;
    struct str value, made = STR_NULL;
    int r = meta_get(tx, key_raw(&k, KEY_CONFIG, setting_names[m->change.kind]), &value);
    if (r == 0)
        r = setting_row_decode(value, a, &row);
    else if (r == -ERR_NOT_FOUND)
        r = 0;
    if (r == 0)
        r = m->fn(a, row.text, &made, m->arg);
    if (r < 0)
        return r;
    if (made.len > STORE_SETTING_MAX)
        return -ERR_TOO_LARGE;
    row = (struct setting_row){.text = made, .changed_ms = rt_wall_ms()};
    m->change.row = made.ptr ? &row : NULL;
    return change_tx(tx, &m->change);
}

int FIBER store_setting_change(struct store *s, struct bucket_id b, enum store_setting_kind kind,
                               store_setting_fn *fn, void *arg)
{
    CHECK(kind < STORE_SETTING_KINDS);
    struct remaking m = {{s, b, kind, NULL}, fn, arg};
    return meta_write(s->meta, b, remake_tx, &m);
}
