/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Every change of a key's versions. Invariants, which hold before and after each (check.c tests
 * them):
 *
 *  1. O is there exactly when the newest version is live, and is that version.
 *  2. Sequences of a key's V rows are all less than that of its O.
 *  3. Z tells the null version among the V rows, if it is one of them, and the newest version, if
 *     that is a marker; it is not there when it would tell neither.
 *  4. At most one version is the null version.
 *  5. Nothing that is locked is removed: every removal goes through remove_version().
 *
 * A bucket whose versioning was never on has no V and no Z, and asks for none.
 */

#include "store/internal.h"

/* A write over a current object need not ask for Z: with versioning on, that object goes to V; if
 * it is the null version there was none in V, and no Z, else Z stays as it is. */
static bool needs_tops(const struct swap *w)
{
    return w->of_version || w->versioning == STORE_VERSIONING_SUSPENDED ||
           (w->versioning == STORE_VERSIONING_ENABLED && !w->existed);
}

static int read_current(struct meta_tx *tx, struct swap *w)
{
    struct key_buf k;
    int r = meta_get(tx, key_raw(&k, KEY_OBJECTS, w->key), &w->old_value);
    if (r == 0)
        r = head_decode(w->old_value, &w->old);
    w->existed = r == 0;
    return r == -ERR_NOT_FOUND ? 0 : r;
}

int swap_begin(struct meta_tx *tx, struct swap *w)
{
    struct config_row config;
    w->existed = w->soils = false;
    w->tops = w->tops_before = (struct tops_row){0, 0};
    memset(w->deltas, 0, sizeof(w->deltas));
    int r = config_row_get(tx, &config);
    if (r == 0)
        r = read_current(tx, w);
    if (r < 0)
        return r;
    w->versioning = config.versioning;
    if (needs_tops(w) && (r = tops_row_get(tx, w->key, &w->tops)) < 0)
        return r;
    w->tops_before = w->tops;
    w->newest_seq = w->existed ? w->old.object.seq : w->tops.marker_seq;
    if (w->of_version)
        return 0;
    return conditions_test_write(w->conditions, w->existed ? &w->old.object : NULL);
}

int swap_let_go(struct meta_tx *tx, struct swap *w, struct str key, uint64_t seq,
                const struct blob_layout *layout)
{
    if (layout->count == 0)
        return 0;
    w->soils = true;
    return garbage_row_put(tx, store_gc_due_ms(w->store), key, seq, layout);
}

/* ---- one version ---------------------------------------------------------------------------- */

static int let_chunks_go(struct meta_tx *tx, struct swap *w, struct str value)
{
    _cleanup_record_ struct record *old = NULL;
    int r = record_decode(w->bucket, w->key, value, &old);
    return r < 0 ? r : swap_let_go(tx, w, w->key, old->object.seq, &old->layout);
}

/* What a version holds goes, and what lies beside it; its row is the caller's. */
static int remove_version(struct meta_tx *tx, struct swap *w, const struct head *head,
                          struct str value, bool current)
{
    struct key_buf k;
    int r = lock_test(&head->object.attrs.lock, w->bypass);
    if (r == 0 && head->chunked && !w->moves)
        r = let_chunks_go(tx, w, value);
    if (r == 0 && head->beside)
        r = meta_del(tx, key_beside(&k, w->key, head->beside));
    w->deltas[current ? COUNT_OBJECTS : COUNT_VERSIONS]--;
    w->deltas[COUNT_BYTES] -= (int64_t)head->object.len_bytes;
    return r;
}

/* The null version, where it is not the current object. */
static int remove_null(struct meta_tx *tx, struct swap *w)
{
    static const struct store_version_ref null = {.kind = STORE_VERSION_NULL};
    struct version_row row;
    if (!w->tops.null_seq)
        return 0;
    int r = version_find(tx, w->key, null, &row);
    if (r == 0)
        r = remove_version(tx, w, &row.head, row.value, false);
    if (r == 0)
        r = meta_del(tx, str_make(row.key.bytes, row.key.len));
    w->tops.null_seq = 0;
    return r;
}

/* ---- what is written over ------------------------------------------------------------------- */

static int current_becomes_version(struct meta_tx *tx, struct swap *w)
{
    struct key_buf k;
    const struct store_object *o = &w->old.object;
    w->deltas[COUNT_OBJECTS]--;
    w->deltas[COUNT_VERSIONS]++;
    if (o->null_version)
        w->tops.null_seq = o->seq;
    return meta_put(tx, key_version(&k, w->key, o->seq), w->old_value);
}

/* Makes the place of the newest version free, and that of the null version if such a one comes. The
 * O row itself is left to the caller. */
static int make_place(struct meta_tx *tx, struct swap *w)
{
    int r = 0;
    bool replaced = w->existed && swap_is_null(w) && w->old.object.null_version;
    if (replaced)
        r = remove_version(tx, w, &w->old, w->old_value, true);
    else if (swap_is_null(w))
        r = remove_null(tx, w);
    if (r == 0 && w->existed && !replaced)
        r = current_becomes_version(tx, w);
    w->tops.marker_seq = 0;
    return r;
}

int swap_tell(struct meta_tx *tx, const struct swap *w, enum store_happening what,
              const struct store_object *o)
{
    struct store_notice *n = w->conditions ? w->conditions->notice : NULL;
    if (!n)
        return 0;
    struct store_event e = {.what = what, .key = w->key};
    if (o) {
        e.version = o->null_version ? 0 : o->seq;
        e.len_bytes = o->len_bytes;
        e.etag = o->etag;
    }
    int r = w->of_many ? 0 : outbox_begin(tx, w->store, w->bucket, n);
    return r < 0 ? r : outbox_tell(tx, n, &e);
}

/* Z and the counters, where they changed. */
static int finish(struct meta_tx *tx, struct swap *w)
{
    bool counts = false;
    int r = 0;
    if (w->tops.null_seq != w->tops_before.null_seq ||
        w->tops.marker_seq != w->tops_before.marker_seq)
        r = tops_row_put(tx, w->key, &w->tops);
    for (unsigned i = 0; i < COUNTERS; i++)
        counts = counts || w->deltas[i];
    return r == 0 && counts ? meta_add(tx, KEY_COUNTERS, w->deltas, COUNTERS) : r;
}

int swap_put(struct meta_tx *tx, struct swap *w, struct str row, const struct store_object *o)
{
    struct key_buf k;
    CHECK(o->seq > w->newest_seq && o->null_version == swap_is_null(w));
    int r = make_place(tx, w);
    if (r == 0)
        r = meta_put(tx, key_raw(&k, KEY_OBJECTS, w->key), row);
    w->deltas[COUNT_OBJECTS]++;
    w->deltas[COUNT_BYTES] += (int64_t)o->len_bytes;
    if (r == 0)
        r = quota_test(tx, w->conditions ? &w->conditions->quota : NULL, w->deltas);
    return r < 0 ? r : finish(tx, w);
}

/* ---- deleting ------------------------------------------------------------------------------- */

static int put_marker(struct meta_tx *tx, struct swap *w, const struct store_deletion *d)
{
    struct key_buf k;
    struct store_object o = {
        .seq = d->seq,
        .mtime_ms = rt_wall_ms(),
        .delete_marker = true,
        .null_version = d->null_version,
        .attrs.owner = d->owner,
    };
    struct draft_parts from = {.attrs = &o.attrs};
    struct draft draft = {0};
    int r = draft_init(&draft, &from);
    if (r == 0)
        r = meta_put(tx, key_version(&k, w->key, o.seq), draft_seal(&draft, &o, false));
    draft_release(&draft);
    w->deltas[COUNT_VERSIONS]++;
    w->tops.marker_seq = o.seq;
    if (o.null_version)
        w->tops.null_seq = o.seq;
    return r;
}

static int delete_current(struct meta_tx *tx, struct swap *w, struct store_deletion *d)
{
    struct key_buf k;
    bool versioned = w->versioning != STORE_VERSIONING_NEVER;
    d->existed = w->existed;
    d->marker = versioned;
    d->null_version = swap_is_null(w);
    d->seq = versioned ? store_next_seq(w->store, w->newest_seq) : 0;
    int r = needs_tops(w) || !versioned ? 0 : tops_row_get(tx, w->key, &w->tops);
    w->tops_before = w->tops;
    if (r == 0)
        r = make_place(tx, w);
    if (r == 0 && w->existed)
        r = meta_del(tx, key_raw(&k, KEY_OBJECTS, w->key));
    return r == 0 && versioned ? put_marker(tx, w, d) : r;
}

/* The version behind the newest. */
struct next {
    bool found;
    struct head head;
    struct str value; /* of a live one, in the transaction's arena */
};

static int read_next(struct meta_tx *tx, struct swap *w, struct str value, struct next *ret)
{
    int r = head_decode(value, &ret->head);
    if (r < 0 || ret->head.object.delete_marker)
        return r;
    ret->value = arena_dup(meta_arena(tx), value);
    if (!ret->value.ptr || !ret->head.chunked)
        return ret->value.ptr ? 0 : -ENOMEM;
    _cleanup_record_ struct record *record = NULL;
    r = record_decode(w->bucket, w->key, ret->value, &record);
    if (r == 0)
        sweep_note(w->store, &record->layout);
    return r;
}

/* Behind `seq`, which is the newest. Rows of newer ones are gone: the search begins behind them. */
static int find_next(struct meta_tx *tx, struct swap *w, uint64_t seq, struct next *ret)
{
    struct key_buf all, one;
    struct meta_cursor *c;
    ret->found = false;
    int r = meta_cursor_open(tx, key_versions(&all, w->key), &c);
    if (r < 0)
        return r;
    struct str at = key_version(&one, w->key, seq);
    r = meta_cursor_seek(c, at);
    if (r == 0 && meta_cursor_valid(c) && str_eq(meta_cursor_key(c), at))
        r = meta_cursor_next(c);
    ret->found = r == 0 && meta_cursor_valid(c);
    if (ret->found)
        r = read_next(tx, w, meta_cursor_value(c), ret);
    meta_cursor_close(c);
    return r;
}

/* It is the newest version now. */
static int become_newest(struct meta_tx *tx, struct swap *w, const struct next *n)
{
    struct key_buf k;
    const struct store_object *o = &n->head.object;
    if (o->delete_marker) {
        w->tops.marker_seq = o->seq;
        return 0;
    }
    w->deltas[COUNT_OBJECTS]++;
    w->deltas[COUNT_VERSIONS]--;
    if (o->null_version)
        w->tops.null_seq = 0;
    int r = meta_put(tx, key_raw(&k, KEY_OBJECTS, w->key), n->value);
    return r < 0 ? r : meta_del(tx, key_version(&k, w->key, o->seq));
}

/* What can fail for this key alone (a row that cannot be read, a lock) fails before anything is
 * changed. */
static int delete_found(struct meta_tx *tx, struct swap *w, struct store_deletion *d,
                        const struct version_row *row)
{
    const struct store_object *o = &row->head.object;
    bool newest = row->current || o->seq == w->tops.marker_seq;
    struct next next = {.found = false};
    int r = newest ? find_next(tx, w, o->seq, &next) : 0;
    if (r == 0)
        r = remove_version(tx, w, &row->head, row->value, row->current);
    if (r == 0)
        r = meta_del(tx, str_make(row->key.bytes, row->key.len));
    if (r < 0)
        return r;
    d->existed = true;
    d->marker = o->delete_marker;
    d->null_version = o->null_version;
    d->seq = o->seq;
    if (o->seq == w->tops.null_seq)
        w->tops.null_seq = 0;
    if (o->seq == w->tops.marker_seq)
        w->tops.marker_seq = 0;
    return next.found ? become_newest(tx, w, &next) : 0;
}

/* Whether `least` superseded versions are there before it; no more of them are looked at. */
static int test_newer(struct meta_tx *tx, const struct swap *w, uint64_t seq, uint64_t least)
{
    struct key_buf all, one;
    struct meta_cursor *c;
    uint64_t count = 0;
    struct str from = key_versions(&all, w->key), at = key_version(&one, w->key, seq);
    int r = meta_cursor_open(tx, from, &c);
    if (r < 0)
        return r;
    r = meta_cursor_seek(c, from);
    while (r == 0 && count < least && meta_cursor_valid(c) && str_cmp(meta_cursor_key(c), at) < 0) {
        struct key_buf newest;
        struct str marker = key_version(&newest, w->key, w->tops.marker_seq);
        count += !w->tops.marker_seq || !str_eq(meta_cursor_key(c), marker);
        r = meta_cursor_next(c);
    }
    meta_cursor_close(c);
    return r == 0 && count < least ? -ERR_PRECONDITION_FAILED : r;
}

/* One that is not there is deleted already. */
static int delete_version(struct meta_tx *tx, struct swap *w, struct store_deletion *d)
{
    struct version_row row;
    int r = version_find(tx, w->key, d->version, &row);
    if (r < 0 && r != -ERR_NO_SUCH_VERSION)
        return r;
    int held = conditions_test_write(w->conditions, r == 0 ? &row.head.object : NULL);
    if (held < 0 || r < 0)
        return held;
    bool newest = row.current || row.head.object.seq == w->tops.marker_seq;
    if (w->conditions && w->conditions->superseded && newest)
        return -ERR_PRECONDITION_FAILED;
    if (w->conditions && w->conditions->newer)
        r = test_newer(tx, w, row.head.object.seq, w->conditions->newer);
    return r < 0 ? r : delete_found(tx, w, d, &row);
}

int swap_delete(struct meta_tx *tx, struct swap *w, struct store_deletion *d)
{
    d->existed = d->marker = d->null_version = false;
    d->seq = 0;
    int r = d->version.kind == STORE_VERSION_CURRENT ? delete_current(tx, w, d)
                                                     : delete_version(tx, w, d);
    return r < 0 ? r : finish(tx, w);
}

void swap_committed(void *arg)
{
    struct swap *w = arg;
    cache_drop(&w->store->cache, w->bucket, w->key);
    if (w->soils)
        buckets_soil(&w->store->buckets, w->bucket);
}
