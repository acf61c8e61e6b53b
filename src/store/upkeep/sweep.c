/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The orphan sweep: needles of sessions before this one that nothing names. Those sessions write no
 * more, so such a needle can never be named again; but it is deleted only after every reference has
 * been seen. The rows are walked in the order in which references move (walk.h), so that one that
 * moves meanwhile is met, perhaps twice, but never missed; a version that becomes current again,
 * which moves backwards, is noted by the transaction that does it. Any error ends the sweep before
 * it deletes.
 *
 * The set of references is bounded: with more needles than it holds, the ids are taken in several
 * passes, each over a share of them.
 */

#include "base/plant.h"
#include "store/upkeep/walk.h"

#define PASS_NEEDLES (4 * 1000 * 1000) /* references held at once: 16 to 32 bytes each */
#define ORPHANS_HELD 65536             /* found before any is deleted */
#define DELETE_SLICE 1024
#define MOVE_WAIT_NS (5 * RT_MS)

struct sweep {
    struct store *store;
    uint64_t session;
    int (*pause)(void *arg);
    void *pause_arg;
    struct bucket_id bucket; /* being walked */
    unsigned passes, pass;
    struct id_set references;
    struct id_set noted; /* under the store's lock while it is there */
    struct blob_needle *orphans;
    size_t orphan_count;
    uint64_t needles, rows;
    struct store_sweep_result result;
};

static int FIBER rest(struct sweep *w)
{
    return w->pause ? w->pause(w->pause_arg) : 0;
}

/* Of an older session, and of this pass's share. */
static bool concerns(const struct sweep *w, struct chunk_id id)
{
    return id.session < w->session && id_hash(id) / 64 % w->passes == w->pass;
}

/* ---- what moves backwards ------------------------------------------------------------------- */

#define NOTED_MAX (1000 * 1000) /* shards */

static int note_shards(struct id_set *noted, const struct blob_chunk *c)
{
    int r = 0;
    for (uint16_t i = 0; r == 0 && i < c->shard_count; i++) {
        if (c->shards[i].disk == BLOB_DISK_NONE)
            continue;
        r = id_set_add(noted, needle_digest((struct needle_key){c->id, i}, c->shards[i].disk));
        r = r == -EEXIST ? 0 : r;
    }
    return r;
}

void sweep_note(struct store *s, const struct blob_layout *layout)
{
    rt_lock(&s->noted_lock);
    for (size_t i = 0; s->noted && s->noted_error == 0 && i < layout->count; i++)
        s->noted_error = note_shards(s->noted, &layout->chunks[i]);
    rt_unlock(&s->noted_lock);
}

static int nothing_tx(struct meta_tx *tx, void *arg)
{
    meta_use_reserve(tx);
    return 0;
}

/* From here on what moves backwards is noted: transactions that ran before have committed. */
static int FIBER note_begin(struct sweep *w)
{
    struct store *s = w->store;
    int r = id_set_init(&w->noted, NOTED_MAX);
    if (r < 0)
        return r;
    rt_lock(&s->noted_lock);
    s->noted = &w->noted;
    s->noted_error = 0;
    rt_unlock(&s->noted_lock);
    return meta_write(s->meta, BUCKET_SYSTEM, nothing_tx, NULL);
}

static void note_end(struct sweep *w)
{
    rt_lock(&w->store->noted_lock);
    w->store->noted = NULL;
    rt_unlock(&w->store->noted_lock);
    id_set_release(&w->noted);
}

/* What the walk may have missed is as good as seen. */
static int add_noted(struct sweep *w)
{
    struct store *s = w->store;
    rt_lock(&s->noted_lock);
    int r = s->noted_error;
    for (size_t i = 0; r == 0 && i < w->noted.slot_count; i++) {
        if (w->noted.slots[i].session == 0)
            continue;
        r = id_set_add(&w->references, w->noted.slots[i]);
        r = r == -EEXIST ? 0 : r;
    }
    rt_unlock(&s->noted_lock);
    return r;
}

/* ---- references ----------------------------------------------------------------------------- */

static int add_reference(struct sweep *w, struct needle_key key, uint32_t disk)
{
    if (!concerns(w, key.chunk) || disk == BLOB_DISK_NONE)
        return 0;
    int r = id_set_add(&w->references, needle_digest(key, disk));
    return r == -EEXIST ? 0 : r;
}

static int add_layout(struct sweep *w, const struct blob_layout *layout)
{
    int r = 0;
    for (size_t i = 0; i < layout->count; i++) {
        const struct blob_chunk *c = &layout->chunks[i];
        for (uint16_t j = 0; r == 0 && j < c->shard_count; j++)
            r = add_reference(w, (struct needle_key){c->id, j}, c->shards[j].disk);
    }
    return r;
}

static int FIBER see_part(struct str key, struct str value, void *arg)
{
    struct sweep *w = arg;
    struct part_row row;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    int r = part_row_decode(value, &a, &row);
    if (r == 0)
        r = add_layout(w, &row.layout);
    return r == 0 && ++w->rows % 256 == 0 ? rest(w) : r;
}

static int FIBER see_object(struct str key, struct str value, void *arg)
{
    struct sweep *w = arg;
    struct head head;
    int r = head_decode(value, &head);
    if (r == 0 && head.chunked) {
        _cleanup_record_ struct record *record = NULL;
        r = record_decode(w->bucket, STR_NULL, value, &record);
        if (r == 0)
            r = add_layout(w, &record->layout);
    }
    return r == 0 && ++w->rows % 256 == 0 ? rest(w) : r;
}

static int FIBER see_garbage(struct str key, struct str value, void *arg)
{
    struct sweep *w = arg;
    struct garbage_row row;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    int r = garbage_row_decode(value, &a, &row);
    for (size_t i = 0; r == 0 && i < row.needle_count; i++)
        r = add_reference(w, row.needles[i].key, row.needles[i].disk);
    return r == 0 && ++w->rows % 256 == 0 ? rest(w) : r;
}

static int FIBER see_bucket(struct sweep *w)
{
    struct store *s = w->store;
    int r = walk_rows(s, w->bucket, KEY_PARTS, see_part, w);
    if (r == 0)
        r = walk_rows(s, w->bucket, KEY_OBJECTS, see_object, w);
    if (r == 0)
        r = walk_rows(s, w->bucket, KEY_VERSIONS, see_object, w);
    if (r == 0)
        r = walk_rows(s, w->bucket, KEY_GARBAGE, see_garbage, w);
    return r;
}

static int FIBER see_references(struct sweep *w)
{
    struct bucket_ref *buckets;
    size_t count;
    int r = buckets_all(&w->store->buckets, &buckets, &count);
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < count; i++) {
        w->bucket = buckets[i].id;
        r = see_bucket(w);
    }
    free(buckets);
    return r;
}

/* ---- needles -------------------------------------------------------------------------------- */

static int FIBER count_needle(unsigned disk, const struct needle_entry *e, void *arg)
{
    struct sweep *w = arg;
    w->needles++;
    return w->needles % 4096 == 0 ? rest(w) : 0;
}

static int FIBER judge_needle(unsigned disk, const struct needle_entry *e, void *arg)
{
    struct sweep *w = arg;
    if (concerns(w, e->key.chunk) && !id_set_has(&w->references, needle_digest(e->key, disk)) &&
        !id_set_has(&w->references, needle_digest(e->key, BLOB_DISK_ALL))) {
        w->orphans[w->orphan_count++] = (struct blob_needle){e->key, disk};
        w->result.bytes_freed += e->len_bytes;
    }
    return w->orphan_count == ORPHANS_HELD;
}

static int FIBER delete_orphans(struct sweep *w)
{
    int r = 0;
    for (size_t at = 0; r == 0 && at < w->orphan_count; at += DELETE_SLICE) {
        size_t n = MIN(w->orphan_count - at, (size_t)DELETE_SLICE);
        r = blob_delete(w->store->blob, w->orphans + at, n);
        if (r == 0) {
            w->result.orphans_deleted += n;
            r = rest(w);
        }
    }
    return r;
}

/* When more are found than are held, those are deleted and the needles looked at again. */
static int FIBER sweep_needles(struct sweep *w)
{
    int r;
    do {
        w->orphan_count = 0;
        r = blob_each(w->store->blob, judge_needle, w);
        if (r >= 0)
            r = delete_orphans(w);
    } while (r == 0 && w->orphan_count == ORPHANS_HELD);
    return r;
}

static int FIBER sweep_pass(struct sweep *w)
{
    /* More references than needles means that needles are missing: a fault, but not the sweep's. */
    int r = id_set_init(&w->references, 4 * PASS_NEEDLES);
    if (r == 0)
        r = see_references(w);
    if (r == 0)
        r = add_noted(w);
    if (r == 0)
        r = sweep_needles(w);
    id_set_release(&w->references);
    return r;
}

/* Shards on the move are named by no record yet: no repair runs beside the sweep. */
static int FIBER sweep_alone(struct sweep *w)
{
    struct store *s = w->store;
    int r = 0;
    __atomic_store_n(&s->sweeping, 1, __ATOMIC_SEQ_CST);
    while (r == 0 && __atomic_load_n(&s->moving, __ATOMIC_SEQ_CST) > 0 &&
           !PLANTED(SWEEP_BESIDE_MOVES))
        r = rt_sleep_until(rt_now() + MOVE_WAIT_NS);
    if (r == 0)
        r = note_begin(w);
    if (r == 0)
        r = blob_each(s->blob, count_needle, w);
    w->passes = (unsigned)(w->needles / PASS_NEEDLES + 1);
    for (; r == 0 && w->pass < w->passes; w->pass++)
        r = sweep_pass(w);
    note_end(w);
    __atomic_store_n(&s->sweeping, 0, __ATOMIC_SEQ_CST);
    return r;
}

int FIBER store_sweep(struct store *s, uint64_t session, int (*pause)(void *arg), void *arg,
                      struct store_sweep_result *ret)
{
    struct sweep w = {.store = s, .session = session, .pause = pause, .pause_arg = arg};
    w.orphans = malloc(ORPHANS_HELD * sizeof(*w.orphans));
    if (!w.orphans)
        return -ENOMEM;
    int r = sweep_alone(&w);
    free(w.orphans);
    if (r == 0) {
        w.result.needles_seen = w.needles;
        *ret = w.result;
    }
    return r;
}
