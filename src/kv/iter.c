/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The view of a batch above a store: a walk over the store's keys and a place among the batch's,
 * merged. A key that the batch changed hides the store's.
 *
 * Going forward (backward alike, mirrored):
 *  1. `walk` stands on the store's first key at or after the current one, or is past the end.
 *  2. `change` is the batch's first key at or after the current one. The batch may have changed
 *     since, so it is looked up anew when the batch's version says so.
 *  3. The current key is the lower of the two; when they are equal it is the batch's.
 */

#include "kv/internal.h"

enum side { SIDE_NONE, SIDE_STORE, SIDE_BATCH };

struct kv_iter {
    struct kv_walk *walk;
    const struct vmap *changes; /* NULL without a batch: then `walk` is all there is */
    struct vmap_node *change;
    const struct vmap_version *version; /* the current one when side is SIDE_BATCH */
    uint64_t versions;                  /* of `changes` when `change` was looked up */
    enum side side;
    bool backward;
    struct kv_range range;
    char range_bytes[]; /* the prefix, then the end */
};

/* The end is the prefix with its last byte that is not 0xff raised and the rest cut off. */
static void set_range(struct kv_iter *it, struct str prefix)
{
    if (prefix.len == 0)
        return;
    char *end = it->range_bytes + prefix.len;
    memcpy(it->range_bytes, prefix.ptr, prefix.len);
    memcpy(end, prefix.ptr, prefix.len);
    size_t len = prefix.len;
    while (len > 0 && (unsigned char)end[len - 1] == 0xff)
        len--;
    if (len > 0)
        end[len - 1]++;
    it->range = (struct kv_range){str_make(it->range_bytes, prefix.len), str_make(end, len)};
}

int kv_iter_new_prefix(struct kv *kv, const struct kv_snapshot *snap,
                       struct kv_batch *batch_or_null, struct str prefix, unsigned flags,
                       struct kv_iter **ret)
{
    struct kv_iter *it = calloc(1, sizeof(*it) + 2 * prefix.len);
    if (!it)
        return -ENOMEM;
    set_range(it, prefix);
    int r = kv->ops->walk_new(kv, snap, &it->range, flags, &it->walk);
    if (r < 0) {
        free(it);
        return r;
    }
    if (batch_or_null)
        it->changes = &batch_or_null->changes;
    *ret = it;
    return 0;
}

int kv_iter_new(struct kv *kv, const struct kv_snapshot *snap, struct kv_batch *batch_or_null,
                unsigned flags, struct kv_iter **ret)
{
    return kv_iter_new_prefix(kv, snap, batch_or_null, STR_NULL, flags, ret);
}

void kv_iter_free(struct kv_iter *it)
{
    if (!it)
        return;
    it->walk->ops->free(it->walk);
    free(it);
}

/* ---- merging -------------------------------------------------------------------------------- */

static int walk_error(const struct kv_iter *it)
{
    return it->walk->ops->error(it->walk);
}

static bool walk_valid(const struct kv_iter *it)
{
    return it->walk->ops->valid(it->walk);
}

static struct str walk_key(const struct kv_iter *it)
{
    return it->walk->ops->key(it->walk);
}

static void walk_step(struct kv_iter *it)
{
    if (it->backward)
        it->walk->ops->prev(it->walk);
    else
        it->walk->ops->next(it->walk);
}

static void keep_in_range(struct kv_iter *it)
{
    if (it->change && !str_starts(vmap_key(it->change), it->range.prefix))
        it->change = NULL;
}

/* The batch's neighbour of `key` in the direction of travel, which may be `key` when `or_equal`. */
static void find_change(struct kv_iter *it, struct str key, bool or_equal)
{
    const struct vmap *m = it->changes;
    if (it->backward)
        it->change = or_equal ? vmap_last_at_or_before(m, key) : vmap_last_before(m, key);
    else
        it->change = or_equal ? vmap_first_at_or_after(m, key) : vmap_first_after(m, key);
    it->versions = m->versions;
    keep_in_range(it);
}

static void step_change(struct kv_iter *it)
{
    if (it->backward)
        it->change = vmap_last_before(it->changes, vmap_key(it->change));
    else
        it->change = vmap_next(it->change);
    keep_in_range(it);
}

/* Where the batch's key lies from the store's in the direction of travel: below 0 comes first. */
static int compare_sides(const struct kv_iter *it)
{
    if (!walk_valid(it))
        return -1;
    int c = str_cmp(vmap_key(it->change), walk_key(it));
    return it->backward ? -c : c;
}

/* Picks the current key from where the two sides stand, passing over what the batch deleted. */
static void settle(struct kv_iter *it)
{
    it->side = SIDE_NONE;
    while (it->change && walk_error(it) == 0) {
        int c = compare_sides(it);
        if (c > 0)
            break;
        const struct vmap_version *v = vmap_at(it->change, VMAP_NEWEST);
        if (!v->deleted) {
            it->side = SIDE_BATCH;
            it->version = v;
            return;
        }
        if (c == 0)
            walk_step(it);
        step_change(it);
    }
    if (walk_valid(it))
        it->side = SIDE_STORE;
}

static void seek_walk(struct kv_iter *it, struct str key)
{
    if (it->backward)
        it->walk->ops->seek_for_prev(it->walk, key);
    else
        it->walk->ops->seek(it->walk, key);
}

static void seek(struct kv_iter *it, struct str key, bool backward)
{
    bool past_end = it->range.end.len > 0 && str_cmp(key, it->range.end) >= 0;
    if (past_end)
        key = it->range.end;
    else if (!backward && str_cmp(key, it->range.prefix) < 0)
        key = it->range.prefix;
    it->backward = backward;
    seek_walk(it, key);
    if (!it->changes)
        return;
    find_change(it, key, !past_end);
    settle(it);
}

/* Leaves the current key. Borrowed from one of the sides, it lives until that side has moved. */
static void step(struct kv_iter *it, bool backward)
{
    CHECK(it->side != SIDE_NONE);
    bool turned = it->backward != backward;
    bool from_batch = it->side == SIDE_BATCH;
    struct str key = from_batch ? vmap_key(it->version->node) : walk_key(it);
    it->backward = backward;
    if (turned || it->versions != it->changes->versions)
        find_change(it, key, false);
    else if (from_batch)
        step_change(it);
    if (from_batch && turned)
        seek_walk(it, key);
    if (!from_batch || (walk_valid(it) && str_eq(walk_key(it), key)))
        walk_step(it);
    settle(it);
}

/* ---- kv.h ----------------------------------------------------------------------------------- */

void kv_iter_seek(struct kv_iter *it, struct str key)
{
    seek(it, key, false);
}

void kv_iter_seek_for_prev(struct kv_iter *it, struct str key)
{
    seek(it, key, true);
}

void kv_iter_next(struct kv_iter *it)
{
    if (it->changes)
        step(it, false);
    else
        it->walk->ops->next(it->walk);
}

void kv_iter_prev(struct kv_iter *it)
{
    if (it->changes)
        step(it, true);
    else
        it->walk->ops->prev(it->walk);
}

bool kv_iter_valid(const struct kv_iter *it)
{
    return it->changes ? it->side != SIDE_NONE : walk_valid(it);
}

struct str kv_iter_key(const struct kv_iter *it)
{
    return it->side == SIDE_BATCH ? vmap_key(it->version->node) : walk_key(it);
}

struct str kv_iter_value(const struct kv_iter *it)
{
    return it->side == SIDE_BATCH ? vmap_value(it->version) : it->walk->ops->value(it->walk);
}

int kv_iter_error(const struct kv_iter *it)
{
    return walk_error(it);
}
