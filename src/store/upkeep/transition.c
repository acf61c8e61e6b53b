/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Transitions. A chunk that is not of the class yet is read under a pin, written anew, read back
 * and held against what was read, and put into the record by store_relayout(), which lets the old
 * one go. What fails in between leaves the record as it was, and deletes what was written; a crash
 * leaves chunks that nothing names, for the sweep.
 *
 * The record is looked up for each chunk: repair or a move may have changed the others meanwhile.
 */

#include "store/upkeep/tiers.h"
#include "base/hash.h"
#include "base/plant.h"
#include "store/internal.h"

struct transition {
    struct store *store;
    struct bucket_id bucket;
    const struct store_transition *what;
    struct blob_class class;
    int (*pace)(uint64_t bytes, void *arg);
    void *arg;
    struct record *record; /* as looked up last */
};

/* ---- what is there -------------------------------------------------------------------------- */

static int look_tx(struct meta_tx *tx, void *arg)
{
    struct transition *t = arg;
    struct version_row row;
    record_unref(TAKE_PTR(t->record));
    int r = version_find(tx, t->what->key, t->what->version, &row);
    if (r < 0)
        return r;
    if (row.head.object.seq != t->what->seq || row.head.object.delete_marker ||
        (t->what->superseded && row.current))
        return -ERR_PRECONDITION_FAILED;
    return record_decode(t->bucket, t->what->key, row.value, &t->record);
}

static const struct blob_chunk *first_other(const struct transition *t)
{
    const struct blob_layout *l = &t->record->layout;
    for (size_t i = 0; i < l->count; i++)
        if (l->chunks[i].class.n != t->class.n)
            return &l->chunks[i];
    return NULL;
}

/* ---- one chunk ------------------------------------------------------------------------------ */

/* Bytes on their way, or read back: `to` NULL. */
struct flow {
    struct blob_writer *to;
    struct hash_stream *sum;
};

static int FIBER flow_piece(const void *data, size_t len, void *arg)
{
    struct flow *f = arg;
    hash_stream_update(f->sum, data, len);
    return f->to ? blob_write(f->to, data, len) : 0;
}

static int FIBER flow_run(struct store *s, const struct blob_layout *from, struct blob_writer *to,
                          uint8_t ret_sum[HASH_SHA256_LEN])
{
    struct flow f = {.to = to};
    int r = hash_stream_new(&f.sum, HASH_SHA256);
    if (r == 0)
        r = blob_read(s->blob, from, 0, from->len_bytes, flow_piece, &f, NULL);
    if (r == 0)
        hash_stream_finish(TAKE_PTR(f.sum), ret_sum);
    hash_stream_free(f.sum);
    return r;
}

static int FIBER write_anew(struct transition *t, const struct blob_layout *old, struct arena *a,
                            struct blob_layout *ret, uint8_t ret_sum[HASH_SHA256_LEN])
{
    struct blob_writer *w;
    int r = blob_begin(t->store->blob, t->class, old->len_bytes, &w);
    if (r < 0)
        return r;
    r = flow_run(t->store, old, w, ret_sum);
    if (r < 0) {
        blob_abort(w);
        return r;
    }
    r = blob_finish(w, a, ret);
    CHECK(r < 0 || ret->count == 1);
    return r;
}

static int FIBER verify(struct transition *t, const struct blob_layout *new,
                        const uint8_t sum[HASH_SHA256_LEN])
{
    uint8_t now[HASH_SHA256_LEN];
    int r = flow_run(t->store, new, NULL, now);
    return r == 0 && memcmp(now, sum, sizeof(now)) != 0 ? -ERR_CORRUPT : r;
}

static int FIBER recode(struct transition *t, const struct blob_chunk *chunk, struct arena *a)
{
    struct store_place place = {.bucket = t->bucket, .key = t->what->key, .seq = t->what->seq};
    struct blob_chunk copy = *chunk;
    struct blob_layout old = {&copy, 1, chunk->len_bytes}, new;
    uint8_t sum[HASH_SHA256_LEN];
    int r = write_anew(t, &old, a, &new, sum);
    if (r == -ERR_CORRUPT || r == -ERR_NOT_FOUND) {
        store_repair_queue(t->store, &place, chunk->id, true);
        return -ERR_CORRUPT;
    }
    if (r < 0)
        return r;
    r = verify(t, &new, sum);
    bool named = r == 0;
    if (named)
        r = store_relayout(t->store, &place, chunk, &new.chunks[0]);
    if (named ? meta_is_refusal(r) : r < 0)
        blob_delete_layout(t->store->blob, &new);
    return r;
}

/* *ret_bytes 0: there was none left. A chunk that changed meanwhile is looked at again. */
static int FIBER recode_next(struct transition *t, uint64_t *ret_bytes)
{
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    struct pin pin = pins_enter(&t->store->pins);
    *ret_bytes = 0;
    int r = meta_read(t->store->meta, t->bucket, look_tx, t);
    const struct blob_chunk *c = r == 0 ? first_other(t) : NULL;
    if (c) {
        *ret_bytes = c->len_bytes;
        r = recode(t, c, &a);
    }
    pins_leave(&t->store->pins, &pin);
    return r == -ERR_CONFLICT ? 0 : r;
}

/* ---- the whole ------------------------------------------------------------------------------ */

/* What was restored of it was of the class before. */
static int set_class(const struct store_object *o, struct store_attrs *attrs, void *arg)
{
    const struct transition *t = arg;
    attrs->storage_class = t->what->class;
    attrs->restore = (struct store_restore){.until_ms = 0};
    return 0;
}

static int FIBER say_class(struct transition *t)
{
    struct store_written written;
    struct store_conditions conditions = {.has_seq = true,
                                          .seq = t->what->seq,
                                          .superseded = t->what->superseded,
                                          .notice = t->what->notice};
    return store_change_attrs(t->store, t->bucket, t->what->key, t->what->version, &conditions,
                              false, set_class, t, &written);
}

int FIBER store_transition(struct store *s, struct bucket_id b, const struct store_transition *what,
                           int (*pace)(uint64_t bytes, void *arg), void *arg)
{
    struct transition t = {.store = s, .bucket = b, .what = what, .pace = pace, .arg = arg};
    uint64_t bytes = 1;
    int r = store_class_find(s, what->class, &t.class);
    while (r == 0 && bytes) {
        r = recode_next(&t, &bytes);
        if (r == 0 && bytes && pace)
            r = pace(bytes, arg);
    }
    record_unref(t.record);
    return r ? r : say_class(&t);
}
