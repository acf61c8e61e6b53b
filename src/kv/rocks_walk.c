/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Walks over a RocksDB store. Its keys lie in two families, the bulky ones behind all others, so a
 * walk over both goes through one and then through the other; mostly the prefix says that one will
 * do.
 *
 * Invariants
 *  1. `at` is the family the walk stands in; the other one's position means nothing.
 *  2. first <= at <= last.
 */

#include "kv/rocks_internal.h"

struct rocks_walk {
    struct kv_walk walk;
    rocksdb_readoptions_t *options;
    rocksdb_iterator_t *its[ROCKS_FAMILIES];
    int first, last, at;
    bool cached, valid;
    int error;
};

static struct rocks_walk *walk_of(const struct kv_walk *w)
{
    return container_of((struct kv_walk *)w, struct rocks_walk, walk);
}

static rocksdb_iterator_t *here(const struct rocks_walk *w)
{
    return w->its[w->at];
}

/* True where the walk stands on a key. */
static bool moved(struct rocks_walk *w)
{
    w->valid = rocksdb_iter_valid(here(w));
    if (likely(w->valid))
        return true;
    char *error = NULL;
    rocksdb_iter_get_error(here(w), &error);
    w->error = rocks_error(error);
    return false;
}

/* Goes on in the next family when this one has ended. */
static void moved_forward(struct rocks_walk *w)
{
    while (!moved(w) && w->error == 0 && w->at < w->last) {
        w->at++;
        rocksdb_iter_seek_to_first(here(w));
    }
}

static void moved_backward(struct rocks_walk *w)
{
    while (!moved(w) && w->error == 0 && w->at > w->first) {
        w->at--;
        rocksdb_iter_seek_to_last(here(w));
    }
}

/* To the family where the key would lie. */
static void turn_to(struct rocks_walk *w, struct str key)
{
    int family = kv_is_bulk(key) ? ROCKS_BULK : ROCKS_BASE;
    w->at = MAX(w->first, MIN(family, w->last));
    w->error = 0;
}

static void rocks_walk_seek(struct kv_walk *walk, struct str key)
{
    RESERVE_SCOPE;
    struct rocks_walk *w = walk_of(walk);
    turn_to(w, key);
    rocks_set_nowait(w->cached);
    rocksdb_iter_seek(here(w), key.ptr, key.len);
    moved_forward(w);
    rocks_set_nowait(false);
}

static void rocks_walk_seek_for_prev(struct kv_walk *walk, struct str key)
{
    RESERVE_SCOPE;
    struct rocks_walk *w = walk_of(walk);
    turn_to(w, key);
    rocks_set_nowait(w->cached);
    rocksdb_iter_seek_for_prev(here(w), key.ptr, key.len);
    moved_backward(w);
    rocks_set_nowait(false);
}

static void rocks_walk_next(struct kv_walk *walk)
{
    RESERVE_SCOPE;
    struct rocks_walk *w = walk_of(walk);
    CHECK(w->valid);
    rocks_set_nowait(w->cached);
    rocksdb_iter_next(here(w));
    moved_forward(w);
    rocks_set_nowait(false);
}

static void rocks_walk_prev(struct kv_walk *walk)
{
    RESERVE_SCOPE;
    struct rocks_walk *w = walk_of(walk);
    CHECK(w->valid);
    rocks_set_nowait(w->cached);
    rocksdb_iter_prev(here(w));
    moved_backward(w);
    rocks_set_nowait(false);
}

static bool rocks_walk_valid(const struct kv_walk *walk)
{
    return walk_of(walk)->valid;
}

static struct str rocks_walk_key(const struct kv_walk *walk)
{
    struct str key;
    key.ptr = rocksdb_iter_key(here(walk_of(walk)), &key.len);
    return key;
}

static struct str rocks_walk_value(const struct kv_walk *walk)
{
    struct str value;
    value.ptr = rocksdb_iter_value(here(walk_of(walk)), &value.len);
    return value;
}

static int rocks_walk_error(const struct kv_walk *walk)
{
    return walk_of(walk)->error;
}

static void rocks_walk_free(struct kv_walk *walk)
{
    RESERVE_SCOPE;
    struct rocks_walk *w = walk_of(walk);
    for (int i = w->first; i <= w->last; i++)
        rocksdb_iter_destroy(w->its[i]);
    rocksdb_readoptions_destroy(w->options);
    free(w);
}

static const struct kv_walk_ops rocks_walk_ops = {
    .free = rocks_walk_free,
    .seek = rocks_walk_seek,
    .seek_for_prev = rocks_walk_seek_for_prev,
    .next = rocks_walk_next,
    .prev = rocks_walk_prev,
    .valid = rocks_walk_valid,
    .key = rocks_walk_key,
    .value = rocks_walk_value,
    .error = rocks_walk_error,
};

static rocksdb_readoptions_t *walk_options(const struct kv_snapshot *snap,
                                           const struct kv_range *range)
{
    rocksdb_readoptions_t *o = rocks_read_options_new(snap ? snap->snapshot : NULL);
    if (range->prefix.len > 0)
        rocksdb_readoptions_set_iterate_lower_bound(o, range->prefix.ptr, range->prefix.len);
    if (range->end.len > 0)
        rocksdb_readoptions_set_iterate_upper_bound(o, range->end.ptr, range->end.len);
    return o;
}

int rocks_walk_new(struct kv *kv, const struct kv_snapshot *snap, const struct kv_range *range,
                   unsigned flags, struct kv_walk **ret)
{
    struct rocks_kv *h = rocks_of(kv);
    if (!h->db)
        return -ERR_UNAVAILABLE;
    int r = rocks_memory(h);
    if (r < 0)
        return r;
    RESERVE_SCOPE;
    struct rocks_walk *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->walk.ops = &rocks_walk_ops;
    w->options = walk_options(snap, range);
    w->cached = flags & KV_CACHED;
    w->last = (int)h->family_count - 1;
    if (range->prefix.len > 0)
        w->first = w->last = w->at =
            MIN(kv_is_bulk(range->prefix) ? ROCKS_BULK : ROCKS_BASE, w->last);
    rocks_set_nowait(w->cached);
    for (int i = w->first; i <= w->last; i++)
        w->its[i] = rocksdb_create_iterator_cf(h->db, w->options, h->families[i]);
    rocks_set_nowait(false);
    *ret = &w->walk;
    return 0;
}
