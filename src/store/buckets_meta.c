/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Buckets in the metadata. A transaction touches one key space, but a bucket lives in two: its name
 * in the system space, its rows in its own. So making and deleting go through a drop row
 * ("this id is to be emptied"), which stands while they are half done:
 *
 *   make:    [drop row] -> [B in the bucket] -> [name, no drop row]
 *   delete:  [drop row] -> [is it empty? no B] -> [no name] ... emptied ... [no drop row]
 *
 * A bucket without B takes no write. At the start each drop row is judged by what is there: a name
 * that leads to a bucket with B is alive (the deletion had not got far); otherwise the name goes,
 * if it is this bucket's, and the bucket is emptied.
 */

#include "store/internal.h"
#include "base/encode.h"

#define LOAD_PAGE 1000

/* ---- loading -------------------------------------------------------------------------------- */

struct load {
    struct store *store;
    struct arena arena; /* of the page */
    char after[META_KEY_MAX];
    size_t after_len;
    struct store_bucket *page;
    size_t count;
    bool drops; /* reading the drop rows: name and id only */
};

/* The first row behind the page before, or the first of all. */
static int load_seek(struct meta_cursor *c, const struct load *l, struct str kind)
{
    if (l->after_len == 0)
        return meta_cursor_seek(c, kind);
    int r = meta_cursor_seek(c, str_make(l->after, l->after_len));
    if (r == 0 && meta_cursor_valid(c) &&
        str_eq(meta_cursor_key(c), str_make(l->after, l->after_len)))
        r = meta_cursor_next(c);
    return r;
}

static int load_row(struct load *l, struct str key, struct str value, struct store_bucket *ret)
{
    *ret = (struct store_bucket){0};
    if (l->drops) {
        int r = key_parse_number(key, KEY_DROPS, &ret->id.n);
        return r < 0 ? r : drop_row_decode(value, &l->arena, &ret->name);
    }
    struct name_row row;
    int r = name_row_decode(value, &l->arena, &row);
    if (r < 0)
        return r;
    *ret = (struct store_bucket){
        .id = {row.id},
        .name = arena_dup(&l->arena, str_from_offset(key, KEY_NAMES.len)),
        .owner = row.owner,
        .created_ms = row.created_ms,
        .region = row.region,
    };
    return ret->name.ptr ? 0 : -ENOMEM;
}

static int load_page_tx(struct meta_tx *tx, void *arg)
{
    struct load *l = arg;
    struct str kind = l->drops ? KEY_DROPS : KEY_NAMES;
    struct meta_cursor *c;
    l->count = 0;
    arena_reset(&l->arena);
    l->page = arena_array(&l->arena, struct store_bucket, LOAD_PAGE);
    if (!l->page)
        return -ENOMEM;
    int r = meta_cursor_open(tx, kind, &c);
    if (r < 0)
        return r;
    r = load_seek(c, l, kind);
    while (r == 0 && meta_cursor_valid(c) && l->count < LOAD_PAGE) {
        r = load_row(l, meta_cursor_key(c), meta_cursor_value(c), &l->page[l->count]);
        if (r == 0) {
            l->count++;
            r = meta_cursor_next(c);
        }
    }
    meta_cursor_close(c);
    return r;
}

static int load_add(struct store *s, const struct store_bucket *b, bool dropped)
{
    struct bucket_entry *e = bucket_entry_new(b);
    if (!e)
        return -ENOMEM;
    e->dropped = dropped;
    int r = buckets_add(&s->buckets, e);
    if (r < 0)
        bucket_entry_free(e);
    return r;
}

static int load_settle(struct store *s, const struct store_bucket *drop);

/* Runs over all rows of one kind, page by page. */
static int FIBER load_kind(struct store *s, bool drops)
{
    struct load *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    *l = (struct load){.store = s, .drops = drops};
    arena_init(&l->arena, 0);
    int r;
    do {
        r = meta_read(s->meta, BUCKET_SYSTEM, load_page_tx, l);
        for (size_t i = 0; r == 0 && i < l->count; i++)
            r = drops ? load_settle(s, &l->page[i]) : load_add(s, &l->page[i], false);
        if (r == 0 && l->count) {
            const struct store_bucket *last = &l->page[l->count - 1];
            struct key_buf k;
            struct str key =
                drops ? key_number(&k, KEY_DROPS, last->id.n) : key_raw(&k, KEY_NAMES, last->name);
            memcpy(l->after, key.ptr, key.len);
            l->after_len = key.len;
        }
    } while (r == 0 && l->count == LOAD_PAGE);
    arena_release(&l->arena);
    free(l);
    return r;
}

int FIBER buckets_load(struct store *s)
{
    int r = load_kind(s, false);
    return r < 0 ? r : load_kind(s, true);
}

/* ---- transactions on one bucket's name and rows --------------------------------------------- */

struct admin {
    struct store *store;
    struct store_bucket bucket;
    const struct store_bucket_spec *spec; /* of a bucket to be made */
    struct bucket_entry *entry;           /* to be added when the name commits */
    int add_result;
};

static int alive_tx(struct meta_tx *tx, void *arg)
{
    return config_row_test(tx);
}

static void on_unnamed(void *arg)
{
    struct admin *m = arg;
    buckets_unname(&m->store->buckets, m->bucket.id);
}

static int unname_tx(struct meta_tx *tx, void *arg)
{
    struct admin *m = arg;
    struct key_buf k;
    meta_use_reserve(tx);
    int r = meta_del(tx, key_raw(&k, KEY_NAMES, m->bucket.name));
    return r < 0 ? r : meta_on_commit(tx, on_unnamed, m);
}

static int undrop_tx(struct meta_tx *tx, void *arg)
{
    struct admin *m = arg;
    return drop_row_del(tx, m->bucket.id.n);
}

/* What the start makes of a drop row. */
static int FIBER load_settle(struct store *s, const struct store_bucket *drop)
{
    struct store_bucket named;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    struct admin m = {.store = s, .bucket = *drop};
    int r = buckets_find(&s->buckets, &a, drop->name, &named);
    if (r < 0 && r != -ERR_NO_SUCH_BUCKET)
        return r;
    if (r < 0 || named.id.n != drop->id.n)
        return load_add(s, drop, true);
    r = meta_read(s->meta, drop->id, alive_tx, NULL);
    if (r == 0)
        return meta_write(s->meta, BUCKET_SYSTEM, undrop_tx, &m);
    return r == -ERR_NO_SUCH_BUCKET ? meta_write(s->meta, BUCKET_SYSTEM, unname_tx, &m) : r;
}

/* ---- making --------------------------------------------------------------------------------- */

/* Takes the next id and says in the same transaction that it is in the making. */
static int take_id_tx(struct meta_tx *tx, void *arg)
{
    struct admin *m = arg;
    struct str value;
    uint64_t last = 0;
    int r = meta_get(tx, KEY_IDS, &value);
    if (r == 0 && value.len != 8)
        return -ERR_CORRUPT;
    if (r == 0)
        last = get_be64(value.ptr);
    else if (r != -ERR_NOT_FOUND)
        return r;
    uint8_t next[8];
    put_be64(next, last + 1);
    m->bucket.id.n = last + 1;
    r = meta_put(tx, KEY_IDS, str_make(next, sizeof(next)));
    return r < 0 ? r : drop_row_put(tx, m->bucket.id.n, m->bucket.name);
}

static int config_tx(struct meta_tx *tx, void *arg)
{
    struct admin *m = arg;
    const struct store_bucket_spec *spec = m->spec;
    struct config_row row = {.name = m->bucket.name, .object_lock = spec->object_lock};
    if (spec->object_lock)
        row.versioning = STORE_VERSIONING_ENABLED;
    int r = config_row_put(tx, &row);
    return r < 0 ? r
                 : settings_begin(tx, spec->settings, spec->setting_count, m->bucket.created_ms);
}

static void on_named(void *arg)
{
    struct admin *m = arg;
    m->add_result = buckets_add(&m->store->buckets, m->entry);
}

static int name_tx(struct meta_tx *tx, void *arg)
{
    struct admin *m = arg;
    struct name_row row = {m->bucket.id.n, m->bucket.owner, m->bucket.region, m->bucket.created_ms};
    int r = name_row_put(tx, m->bucket.name, &row);
    if (r == 0)
        r = drop_row_del(tx, m->bucket.id.n);
    return r < 0 ? r : meta_on_commit(tx, on_named, m);
}

static int FIBER create(struct admin *m)
{
    struct meta *meta = m->store->meta;
    int r = meta_write(meta, BUCKET_SYSTEM, take_id_tx, m);
    if (r == 0)
        r = meta_write(meta, m->bucket.id, config_tx, m);
    if (r < 0)
        return r;
    m->entry = bucket_entry_new(&m->bucket);
    if (!m->entry)
        return -ENOMEM;
    r = meta_write(meta, BUCKET_SYSTEM, name_tx, m);
    if (r == 0)
        r = m->add_result;
    if (r < 0)
        bucket_entry_free(m->entry);
    return r;
}

/* Under the admin's turn. */
static int FIBER create_checked(struct admin *m, struct arena *a, struct store_bucket *ret)
{
    struct buckets *b = &m->store->buckets;
    int r = buckets_find(b, a, m->bucket.name, ret);
    if (r == 0)
        return str_eq(ret->owner, m->bucket.owner) ? -ERR_BUCKET_OWNED : -ERR_BUCKET_EXISTS;
    if (r != -ERR_NO_SUCH_BUCKET)
        return r;
    if (buckets_of_owner(b, m->bucket.owner) >= STORE_BUCKETS_MAX)
        return -ERR_TOO_MANY_BUCKETS;
    r = create(m);
    return r < 0 ? r : buckets_find(b, a, m->bucket.name, ret);
}

static int spec_test(const struct store_bucket_spec *spec)
{
    if (spec->owner.len > RECORD_OWNER_MAX || spec->region.len > RECORD_CLASS_MAX)
        return -EINVAL;
    for (size_t i = 0; i < spec->setting_count; i++) {
        CHECK(spec->settings[i].kind < STORE_SETTING_KINDS);
        if (spec->settings[i].text.len > STORE_SETTING_MAX)
            return -ERR_TOO_LARGE;
    }
    return bucket_name_test(spec->name);
}

int FIBER store_bucket_make(struct store *s, struct arena *a, const struct store_bucket_spec *spec,
                            struct store_bucket *ret)
{
    int r = spec_test(spec);
    if (r == 0)
        r = buckets_admin_enter(&s->buckets);
    if (r < 0)
        return r;
    struct admin m = {.store = s,
                      .spec = spec,
                      .bucket = {.name = spec->name,
                                 .owner = spec->owner,
                                 .region = spec->region,
                                 .created_ms = rt_wall_ms()}};
    r = create_checked(&m, a, ret);
    buckets_admin_leave(&s->buckets);
    return r;
}

int FIBER store_bucket_create(struct store *s, struct arena *a, struct str name, struct str owner,
                              struct str region, struct store_bucket *ret)
{
    struct store_bucket_spec spec = {.name = name, .owner = owner, .region = region};
    return store_bucket_make(s, a, &spec, ret);
}

/* ---- deleting ------------------------------------------------------------------------------- */

static int drop_tx(struct meta_tx *tx, void *arg)
{
    struct admin *m = arg;
    meta_use_reserve(tx);
    return drop_row_put(tx, m->bucket.id.n, m->bucket.name);
}

static int retire_tx(struct meta_tx *tx, void *arg)
{
    bool objects = false, versions = false;
    meta_use_reserve(tx);
    int r = rows_any(tx, KEY_OBJECTS, &objects);
    if (r == 0)
        r = rows_any(tx, KEY_VERSIONS, &versions);
    if (r < 0)
        return r;
    return objects || versions ? -ERR_BUCKET_NOT_EMPTY : meta_del(tx, KEY_CONFIG);
}

static int FIBER delete_checked(struct admin *m, struct arena *a, struct str name)
{
    struct meta *meta = m->store->meta;
    int r = buckets_find(&m->store->buckets, a, name, &m->bucket);
    if (r < 0)
        return r;
    r = meta_write(meta, BUCKET_SYSTEM, drop_tx, m);
    if (r < 0)
        return r;
    r = meta_write(meta, m->bucket.id, retire_tx, m);
    if (r == 0)
        return meta_write(meta, BUCKET_SYSTEM, unname_tx, m);
    /* Still alive: a drop row that cannot be taken back now is judged again at the next start. */
    meta_write(meta, BUCKET_SYSTEM, undrop_tx, m);
    return r;
}

int FIBER store_bucket_delete(struct store *s, struct str name)
{
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    int r = buckets_admin_enter(&s->buckets);
    if (r < 0)
        return r;
    struct admin m = {.store = s};
    r = delete_checked(&m, &a, name);
    buckets_admin_leave(&s->buckets);
    return r;
}

/* ---- listing -------------------------------------------------------------------------------- */

struct list_names {
    struct arena *a;
    struct arena scratch; /* of one row: others' buckets are passed over */
    struct str owner, prefix, after;
    size_t max;
    struct store_bucket_page page;
};

static int names_keep(struct list_names *l, struct str name, const struct name_row *row)
{
    struct store_bucket b = {{row->id},
                             arena_dup(l->a, name),
                             arena_dup(l->a, row->owner),
                             row->created_ms,
                             arena_dup(l->a, row->region)};
    if (!b.name.ptr || !b.owner.ptr || !b.region.ptr)
        return -ENOMEM;
    l->page.buckets[l->page.count++] = b;
    return 0;
}

/* 1: the page is full and there is more. */
static int names_row(struct list_names *l, struct str name, struct str value)
{
    struct name_row row;
    arena_reset(&l->scratch);
    int r = name_row_decode(value, &l->scratch, &row);
    if (r < 0 || (l->owner.len && !str_eq(row.owner, l->owner)))
        return r;
    if (l->page.count < l->max)
        return names_keep(l, name, &row);
    l->page.next = l->max ? l->page.buckets[l->max - 1].name : l->after;
    return 1;
}

static int names_tx(struct meta_tx *tx, void *arg)
{
    struct list_names *l = arg;
    struct key_buf prefix, from;
    struct meta_cursor *c;
    l->page.count = 0;
    l->page.next = STR_NULL;
    int r = meta_cursor_open(tx, key_raw(&prefix, KEY_NAMES, l->prefix), &c);
    if (r < 0)
        return r;
    struct str first = str_cmp(l->after, l->prefix) > 0 ? l->after : l->prefix;
    r = meta_cursor_seek(c, key_raw(&from, KEY_NAMES, first));
    while (r == 0 && meta_cursor_valid(c)) {
        struct str name = str_from_offset(meta_cursor_key(c), KEY_NAMES.len);
        if (!l->after.len || !str_eq(name, l->after))
            r = names_row(l, name, meta_cursor_value(c));
        if (r == 0)
            r = meta_cursor_next(c);
    }
    meta_cursor_close(c);
    return MIN(r, 0);
}

int FIBER store_bucket_list(struct store *s, struct arena *a, struct str owner, struct str prefix,
                            struct str after, size_t max, struct store_bucket_page *ret)
{
    if (prefix.len > META_KEY_MAX - 1 || after.len > META_KEY_MAX - 1)
        return -EINVAL;
    struct list_names l = {.a = a, .owner = owner, .prefix = prefix, .after = after};
    l.max = MIN(max, (size_t)STORE_BUCKETS_MAX);
    arena_init(&l.scratch, 0);
    l.page.buckets = arena_array(a, struct store_bucket, MAX(l.max, (size_t)1));
    if (!l.page.buckets)
        return -ENOMEM;
    int r = meta_read(s->meta, BUCKET_SYSTEM, names_tx, &l);
    arena_release(&l.scratch);
    if (r == 0)
        *ret = l.page;
    return r;
}
