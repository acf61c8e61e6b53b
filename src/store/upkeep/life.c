/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The lifecycle's walk over the rows. Rows are judged where they lie, inside the snapshot, since
 * nearly all of them stay; whoever judges copies what it needs of the few that do not.
 *
 * A key's versions come newest first, each superseded by the one before it; the first by the
 * current object. That is remembered from page to page while a key has more versions than a page.
 */

#include "store/upkeep/walk.h"

#define PAGE_ROWS 1024

static const struct str kinds[] = {KEY_OBJECTS, KEY_VERSIONS, KEY_UPLOADS};
static_assert(ARRAY_LEN(kinds) == STORE_LIFE_KINDS, "a prefix a kind");

struct page {
    const struct store_life_hooks *hooks;
    struct bucket_id bucket;
    enum store_life_kind kind;
    struct walk_place at;
    struct walk_place from;       /* where the page begins */
    struct store_life_walk *walk; /* as it was before the page */
    struct store_life_walk after; /* as it is after it */
    bool full;
    struct head head;
    struct store_life_row row;
};

static int show(struct page *p, const struct store_object *o)
{
    p->row.kind = p->kind;
    p->row.bucket = p->bucket;
    p->row.object = o;
    int r = p->hooks->row(p->hooks->arg, &p->row);
    p->full = r > 0;
    return MIN(r, 0);
}

/* ---- objects -------------------------------------------------------------------------------- */

static int object_step(struct page *p, struct meta_cursor *c)
{
    p->row = (struct store_life_row){.value = meta_cursor_value(c)};
    int r = head_decode(p->row.value, &p->head);
    if (r == -ERR_CORRUPT)
        return meta_cursor_next(c);
    p->head.object.key = str_from_offset(meta_cursor_key(c), KEY_OBJECTS.len);
    if (r == 0)
        r = show(p, &p->head.object);
    return r < 0 ? r : meta_cursor_next(c);
}

/* ---- versions ------------------------------------------------------------------------------- */

/* The key's first version: superseded by the current object, if there is one. */
static int begin_key(struct page *p, struct meta_tx *tx, struct str key)
{
    struct key_buf k;
    struct str value;
    memcpy(p->after.key, key.ptr, key.len);
    p->after.key_len = key.len;
    p->after.newer = p->after.since_ms = 0;
    int r = meta_get(tx, key_raw(&k, KEY_OBJECTS, key), &value);
    if (r == 0)
        r = head_decode(value, &p->head);
    if (r == 0)
        p->after.since_ms = p->head.object.mtime_ms;
    if (r == -ERR_CORRUPT)
        p->after.since_ms = UINT64_MAX; /* nobody knows */
    return r == -ERR_NOT_FOUND || r == -ERR_CORRUPT ? 0 : r;
}

/* The cursor is behind it: whether there is no other version of the key. */
static bool is_last(struct meta_cursor *c, struct str key)
{
    struct key_buf k;
    return !meta_cursor_valid(c) || !str_starts(meta_cursor_key(c), key_versions(&k, key));
}

/* The newest one, a marker: what it is depends on what lies behind it. */
static int marker_step(struct page *p, struct meta_cursor *c, struct str key)
{
    p->row.value = STR_NULL;
    int r = meta_cursor_next(c);
    p->row.alone = r == 0 && is_last(c, key);
    return r < 0 ? r : show(p, &p->head.object);
}

static int version_show(struct page *p, struct meta_cursor *c, struct str key)
{
    p->row = (struct store_life_row){
        .value = meta_cursor_value(c), .since_ms = p->after.since_ms, .newer = p->after.newer};
    int r = head_decode(p->row.value, &p->head);
    if (r < 0) {
        p->after.since_ms = UINT64_MAX;
        return r == -ERR_CORRUPT ? meta_cursor_next(c) : r;
    }
    p->head.object.key = key;
    p->after.since_ms = p->head.object.mtime_ms;
    p->after.newer += p->row.since_ms != 0;
    if (p->row.since_ms == 0)
        return p->head.object.delete_marker ? marker_step(p, c, key) : meta_cursor_next(c);
    r = show(p, &p->head.object);
    return r < 0 ? r : meta_cursor_next(c);
}

static int version_step(struct page *p, struct meta_tx *tx, struct meta_cursor *c)
{
    char text[STORE_KEY_MAX];
    size_t len;
    uint64_t seq;
    int r = key_parse_version(meta_cursor_key(c), text, &len, &seq);
    if (r < 0)
        return r == -ERR_CORRUPT ? meta_cursor_next(c) : r;
    struct str key = str_make(text, len);
    if (!str_eq(key, str_make(p->after.key, p->after.key_len)))
        r = begin_key(p, tx, key);
    return r < 0 ? r : version_show(p, c, key);
}

/* ---- uploads -------------------------------------------------------------------------------- */

static int upload_step(struct page *p, struct meta_tx *tx, struct meta_cursor *c)
{
    char text[STORE_KEY_MAX];
    size_t len;
    struct upload_row row;
    p->row = (struct store_life_row){0};
    int r = key_parse_upload(meta_cursor_key(c), text, &len, &p->row.upload);
    if (r == 0)
        r = upload_row_decode(meta_cursor_value(c), meta_arena(tx), &row);
    if (r == -ERR_CORRUPT)
        return meta_cursor_next(c);
    if (r < 0)
        return r;
    struct store_object o = {.key = str_make(text, len), .mtime_ms = row.created_ms};
    r = show(p, &o);
    return r < 0 ? r : meta_cursor_next(c);
}

/* ---- a page --------------------------------------------------------------------------------- */

static int step(struct page *p, struct meta_tx *tx, struct meta_cursor *c)
{
    key_raw(&p->at.after, STR(""), meta_cursor_key(c));
    p->at.rows++;
    switch (p->kind) {
    case STORE_LIFE_OBJECT:
        return object_step(p, c);
    case STORE_LIFE_VERSION:
        return version_step(p, tx, c);
    default:
        return upload_step(p, tx, c);
    }
}

/* In the midst of a key's versions, and it is not known what was before: back to the first. */
static int rewind_key(struct page *p, struct str after, struct key_buf *k, struct str *ret)
{
    char text[STORE_KEY_MAX];
    size_t len;
    uint64_t seq;
    *ret = after;
    if (p->kind != STORE_LIFE_VERSION || !after.len)
        return 0;
    int r = key_parse_version(after, text, &len, &seq);
    if (r < 0)
        return r == -ERR_CORRUPT ? 0 : r;
    struct str key = str_make(text, len);
    if (!str_eq(key, str_make(p->walk->key, p->walk->key_len)))
        *ret = key_versions(k, key);
    return 0;
}

static int seek(struct page *p, struct meta_cursor *c)
{
    struct key_buf k;
    struct str after = str_make(p->from.after.bytes, p->from.after.len), from;
    int r = rewind_key(p, after, &k, &from);
    if (r == 0)
        r = meta_cursor_seek(c, from.len ? from : kinds[p->kind]);
    if (r == 0 && from.len && meta_cursor_valid(c) && str_eq(meta_cursor_key(c), from))
        r = meta_cursor_next(c);
    return r;
}

static int page_tx(struct meta_tx *tx, void *arg)
{
    struct page *p = arg;
    struct meta_cursor *c;
    p->at = p->from;
    p->at.rows = 0;
    p->after = *p->walk;
    p->full = false;
    int r = meta_cursor_open(tx, kinds[p->kind], &c);
    if (r < 0)
        return r;
    r = seek(p, c);
    while (r == 0 && meta_cursor_valid(c) && p->at.rows < PAGE_ROWS && !p->full)
        r = step(p, tx, c);
    p->at.end = r == 0 && !meta_cursor_valid(c);
    meta_cursor_close(c);
    return r;
}

static int FIBER run_page(struct store *s, struct page *p)
{
    int r = meta_read(s->meta, p->bucket, page_tx, p);
    if (r == 0)
        r = p->hooks->done(p->hooks->arg, p->at.rows);
    if (r < 0)
        return r;
    struct store_life_walk *w = p->walk;
    memcpy(w->key, p->after.key, p->after.key_len);
    w->key_len = p->after.key_len;
    w->since_ms = p->after.since_ms;
    w->newer = p->after.newer;
    walk_keep(&w->place, &p->at, STORE_LIFE_KINDS);
    if (p->at.end)
        w->key_len = 0;
    return 0;
}

/* Nothing of this kind is wanted, or of the whole bucket. */
static void pass_over(struct store_life_walk *w, bool bucket)
{
    static const struct walk_place end = {.end = true};
    if (bucket)
        w->place.kind = STORE_LIFE_KINDS - 1;
    walk_keep(&w->place, &end, STORE_LIFE_KINDS);
    w->key_len = 0;
}

static int FIBER wanted_page(struct store *s, struct store_life_walk *w,
                             const struct store_life_hooks *hooks, const struct walk_place *at,
                             int wanted)
{
    if (!(wanted & (1 << w->place.kind))) {
        pass_over(w, !wanted);
        return 0;
    }
    struct page *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->hooks = hooks;
    p->bucket = (struct bucket_id){w->place.bucket};
    p->kind = w->place.kind;
    p->from = *at;
    p->walk = w;
    int r = run_page(s, p);
    free(p);
    return r;
}

int FIBER store_life_page(struct store *s, struct store_life_walk *w,
                          const struct store_life_hooks *hooks)
{
    struct walk_place at;
    struct store_bucket b = {0};
    uint64_t bucket = w->place.bucket;
    int r = walk_resume(s, &w->place, STORE_LIFE_KINDS, &at);
    if (r < 0 || w->place.end)
        return r;
    if (w->place.bucket != bucket)
        w->key_len = 0;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    r = store_bucket_get(s, &a, buckets_name(&s->buckets, &a, (struct bucket_id){w->place.bucket}),
                         &b);
    if (r == -ERR_NO_SUCH_BUCKET || (r == 0 && b.id.n != w->place.bucket))
        pass_over(w, true); /* it went just now */
    else if (r == 0 && (r = hooks->bucket(hooks->arg, &b)) >= 0)
        r = wanted_page(s, w, hooks, &at, r);
    store_bucket_release(&b);
    return r == -ERR_NO_SUCH_BUCKET ? 0 : r;
}

int store_life_tags(const struct store_life_row *row, struct arena *a,
                    const struct store_pair **ret, size_t *ret_count)
{
    _cleanup_record_ struct record *record = NULL;
    *ret = NULL;
    *ret_count = 0;
    if (row->object->delete_marker || row->kind == STORE_LIFE_UPLOAD)
        return 0;
    int r = record_decode(row->bucket, row->object->key, row->value, &record);
    size_t count = r ? 0 : record->object.attrs.tag_count;
    if (r < 0 || count == 0)
        return r;
    struct store_pair *tags = arena_array(a, struct store_pair, count);
    for (size_t i = 0; tags && i < count; i++) {
        tags[i].name = arena_dup(a, record->object.attrs.tags[i].name);
        tags[i].value = arena_dup(a, record->object.attrs.tags[i].value);
        if (!tags[i].name.ptr || !tags[i].value.ptr)
            return -ENOMEM;
    }
    *ret = tags;
    *ret_count = tags ? count : 0;
    return tags ? 0 : -ENOMEM;
}
