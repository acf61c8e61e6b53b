/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "store/internal.h"

int swap_begin(struct meta_tx *tx, struct swap *w)
{
    struct key_buf k;
    w->existed = w->soils = false;
    int r = config_row_test(tx);
    if (r < 0)
        return r;
    r = meta_get(tx, key_raw(&k, KEY_OBJECTS, w->key), &w->old_value);
    if (r == 0)
        r = head_decode(w->old_value, &w->old);
    else if (r == -ERR_NOT_FOUND)
        return conditions_test_write(w->conditions, NULL);
    if (r < 0)
        return r;
    w->existed = true;
    return conditions_test_write(w->conditions, &w->old.object);
}

int swap_let_go(struct meta_tx *tx, struct swap *w, struct str key, uint64_t seq,
                const struct blob_layout *layout)
{
    if (layout->count == 0)
        return 0;
    w->soils = true;
    return garbage_row_put(tx, store_gc_due_ms(w->store), key, seq, layout);
}

static int let_old_go(struct meta_tx *tx, struct swap *w)
{
    _cleanup_record_ struct record *old = NULL;
    int r = record_decode(w->bucket, w->key, w->old_value, &old);
    return r < 0 ? r : swap_let_go(tx, w, w->key, old->object.seq, &old->layout);
}

/* What lies beside the old row goes with it. */
static int delete_beside(struct meta_tx *tx, struct swap *w)
{
    struct key_buf k;
    return meta_del(tx, key_beside(&k, w->key, w->old.beside));
}

int swap_finish(struct meta_tx *tx, struct swap *w, struct str row, uint64_t new_len_bytes)
{
    struct key_buf k;
    struct str key = key_raw(&k, KEY_OBJECTS, w->key);
    int64_t deltas[COUNTERS] = {
        [COUNT_OBJECTS] = (row.ptr ? 1 : 0) - (w->existed ? 1 : 0),
        [COUNT_BYTES] =
            (int64_t)new_len_bytes - (w->existed ? (int64_t)w->old.object.len_bytes : 0),
    };
    int r = quota_test(tx, w->conditions, deltas);
    if (r == 0 && w->existed && w->old.chunked)
        r = let_old_go(tx, w);
    if (r == 0 && w->existed && w->old.beside)
        r = delete_beside(tx, w);
    if (r == 0)
        r = row.ptr ? meta_put(tx, key, row) : meta_del(tx, key);
    if (r == 0 && (deltas[COUNT_OBJECTS] || deltas[COUNT_BYTES]))
        r = meta_add(tx, KEY_COUNTERS, deltas, COUNTERS);
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
    int r = outbox_begin(tx, w->store, w->bucket, n);
    return r < 0 ? r : outbox_tell(tx, n, &e);
}

void swap_committed(void *arg)
{
    struct swap *w = arg;
    cache_drop(&w->store->cache, w->bucket, w->key);
    if (w->soils)
        buckets_soil(&w->store->buckets, w->bucket);
}
