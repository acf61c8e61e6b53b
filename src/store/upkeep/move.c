/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Moving shards: a walk over the chunks that records name, and the move of one.
 *
 * The new shards are written and read back first, then the record changes in one transaction if it
 * has still exactly the old ones, which that transaction turns into garbage. If it has not, the
 * object was removed, replaced or moved by somebody else, and what was written is deleted. A crash
 * in between leaves shards that nothing names, for the sweep.
 */

#include "store/upkeep/walk.h"

/* ---- one chunk ------------------------------------------------------------------------------ */

static int FIBER move_pinned(struct store *s, const struct store_place *place,
                             const struct blob_chunk *chunk, struct arena *a,
                             struct store_moved *ret)
{
    struct blob_repaired r;
    int err = blob_move(s->blob, chunk, a, &r);
    if (err)
        return err;
    ret->left = r.left;
    if (!r.changed)
        return 0;
    err = store_relayout(s, place, chunk, &r.chunk);
    store_relayout_undo(s, chunk, &r.chunk, err);
    if (err)
        return err == -ERR_CONFLICT ? 0 : err;
    ret->moved = true;
    ret->bytes = r.written_bytes;
    return 0;
}

int FIBER store_move(struct store *s, const struct store_place *place,
                     const struct blob_chunk *chunk, struct arena *a, struct store_moved *ret)
{
    *ret = (struct store_moved){.bytes = 0};
    int r = store_moving_begin(s, chunk->id);
    if (r == -ERR_CONFLICT)
        ret->left = 1; /* somebody repairs it: another time */
    if (r < 0)
        return r == -ERR_CONFLICT ? 0 : r;
    struct pin pin = pins_enter(&s->pins);
    r = move_pinned(s, place, chunk, a, ret);
    pins_leave(&s->pins, &pin);
    store_moving_end(s, chunk->id);
    return r;
}

/* ---- the walk ------------------------------------------------------------------------------- */

/* In the order in which references move. */
static const struct str kinds[] = {KEY_UPLOADS, KEY_OBJECTS, KEY_VERSIONS};
enum { KIND_UPLOADS, KIND_OBJECTS, KIND_VERSIONS };

struct chunks {
    struct store *store;
    struct store_walk_place *place;
    struct bucket_id bucket;
    store_chunk_fn *fn;
    void *arg;
};

static int FIBER each_chunk(struct chunks *c, const struct store_place *p,
                            const struct blob_layout *layout)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < layout->count; i++)
        r = c->fn(p, &layout->chunks[i], c->arg);
    return r;
}

struct upload_chunks {
    struct chunks *chunks;
    struct str key;
};

static int FIBER part_chunks(struct str row, struct str value, void *arg)
{
    struct upload_chunks *u = arg;
    struct store_place p = {.bucket = u->chunks->bucket, .key = u->key};
    struct part_row part;
    uint64_t attempt;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    int r = key_parse_part(row, &p.upload, &p.part, &attempt);
    if (r == 0)
        r = part_row_decode(value, &a, &part);
    if (r < 0)
        return r == -ERR_CORRUPT ? 0 : r; /* the check and the scrub tell of it */
    return each_chunk(u->chunks, &p, &part.layout);
}

/* Garbage names the object's key, so the parts are met by their uploads. */
static int FIBER upload_chunks(struct chunks *c, struct str row)
{
    char key[STORE_KEY_MAX];
    size_t len = 0;
    struct str upload = STR_NULL;
    struct key_buf k;
    if (key_parse_upload(row, key, &len, &upload) < 0)
        return 0;
    struct upload_chunks u = {c, str_make(key, len)};
    return walk_rows(c->store, c->bucket, key_parts(&k, upload), part_chunks, &u);
}

static int FIBER object_chunks(struct chunks *c, struct str key, struct str value)
{
    struct store_place p = {.bucket = c->bucket, .key = key};
    struct head head;
    int r = head_decode(value, &head);
    if (r < 0 || !head.chunked)
        return r == -ERR_CORRUPT ? 0 : r;
    _cleanup_record_ struct record *record = NULL;
    r = record_decode(c->bucket, p.key, value, &record);
    if (r < 0)
        return r == -ERR_CORRUPT ? 0 : r;
    p.seq = record->object.seq;
    return each_chunk(c, &p, &record->layout);
}

static int FIBER version_chunks(struct chunks *c, struct str row, struct str value)
{
    char key[STORE_KEY_MAX];
    size_t len = 0;
    uint64_t seq;
    int r = key_parse_version(row, key, &len, &seq);
    return r < 0 ? 0 : object_chunks(c, str_make(key, len), value);
}

static int FIBER row_chunks(struct str row, struct str value, void *arg)
{
    struct chunks *c = arg;
    if (c->place->kind == KIND_UPLOADS)
        return upload_chunks(c, row);
    if (c->place->kind == KIND_VERSIONS)
        return version_chunks(c, row, value);
    return object_chunks(c, str_from_offset(row, KEY_OBJECTS.len), value);
}

int FIBER store_chunks(struct store *s, struct store_walk_place *place, store_chunk_fn *fn,
                       void *arg)
{
    struct chunks c = {.store = s, .place = place, .fn = fn, .arg = arg};
    struct walk_place at = {.end = false};
    int r = walk_resume(s, place, ARRAY_LEN(kinds), &at);
    if (r < 0 || place->end)
        return r;
    CHECK(place->kind < ARRAY_LEN(kinds));
    c.bucket.n = place->bucket;
    r = walk_some(s, c.bucket, kinds[place->kind], &at, row_chunks, &c);
    if (r == 0)
        walk_keep(place, &at, ARRAY_LEN(kinds));
    return r;
}

/* ---- what is at one key --------------------------------------------------------------------- */

struct object_chunks {
    struct bucket_id bucket;
    struct str key;
    struct record *record;
};

static int object_tx(struct meta_tx *tx, void *arg)
{
    struct object_chunks *o = arg;
    struct key_buf k;
    struct str value;
    record_unref(TAKE_PTR(o->record));
    int r = meta_get(tx, key_raw(&k, KEY_OBJECTS, o->key), &value);
    return r < 0 ? r : record_decode(o->bucket, o->key, value, &o->record);
}

int FIBER store_object_chunks(struct store *s, struct bucket_id b, struct str key,
                              store_chunk_fn *fn, void *arg)
{
    struct object_chunks o = {.bucket = b, .key = key};
    int r = meta_read(s->meta, b, object_tx, &o);
    if (r == 0) {
        struct chunks c = {.store = s, .bucket = b, .fn = fn, .arg = arg};
        struct store_place p = {.bucket = b, .key = key, .seq = o.record->object.seq};
        r = each_chunk(&c, &p, &o.record->layout);
    }
    record_unref(o.record);
    return r == -ERR_NOT_FOUND ? -ERR_NO_SUCH_KEY : r;
}
