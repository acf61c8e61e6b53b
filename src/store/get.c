/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Reading. An object in the cache is opened without asking the metadata: a pin, a lookup, a
 * reference. The pin stays while the object's chunks may be read; an object that lies in its record
 * needs none, since the record itself is held.
 */

#include "store/internal.h"

#define DAMAGED_HELD 8

struct store_reader {
    struct store *store;
    struct record *record;
    struct pin pin;
    struct chunk_id damaged[DAMAGED_HELD]; /* met by a read, not queued yet */
    unsigned damaged_count;
};

struct lookup {
    struct bucket_id bucket;
    struct str key;
    struct record *record;
};

/* The bytes in a row of their own, which the record's transaction put there: of one state with it.
 */
static int look_beside(struct meta_tx *tx, struct lookup *l, struct str value, uint64_t beside)
{
    struct key_buf k;
    struct str bytes;
    int r = meta_get(tx, key_beside(&k, l->key, beside), &bytes);
    if (r < 0)
        return r == -ERR_NOT_FOUND ? -ERR_CORRUPT : r;
    return record_decode_beside(l->bucket, l->key, value, bytes, &l->record);
}

static int lookup_tx(struct meta_tx *tx, void *arg)
{
    struct lookup *l = arg;
    struct key_buf k;
    struct str value;
    record_unref(TAKE_PTR(l->record));
    int r = meta_get(tx, key_raw(&k, KEY_OBJECTS, l->key), &value);
    if (r < 0)
        return r == -ERR_NOT_FOUND ? -ERR_NO_SUCH_KEY : r;
    struct head head;
    r = head_decode(value, &head);
    if (r < 0)
        return r;
    if (head.beside)
        return look_beside(tx, l, value, head.beside);
    return record_decode(l->bucket, l->key, value, &l->record);
}

/* The current object's record, from the cache or into it. */
static int FIBER find_record(struct store *s, struct bucket_id b, struct str key,
                             struct record **ret)
{
    struct cache_place place;
    struct record *r = cache_get(&s->cache, b, key, &place);
    if (!r) {
        struct lookup l = {b, key, NULL};
        int err = meta_read(s->meta, b, lookup_tx, &l);
        if (err < 0) {
            record_unref(l.record);
            return err;
        }
        r = l.record;
        cache_fill(&s->cache, r, &place);
    }
    *ret = r;
    return 0;
}

int FIBER store_get(struct store *s, struct bucket_id b, struct str key,
                    const struct store_conditions *conditions, struct store_reader **ret)
{
    *ret = NULL;
    int err = store_key_test(key);
    if (err < 0)
        return err;
    struct store_reader *r = malloc(sizeof(*r));
    if (!r)
        return -ENOMEM;
    *r = (struct store_reader){.store = s, .pin = pins_enter(&s->pins)};
    err = find_record(s, b, key, &r->record);
    if (err < 0 || !r->record->chunked)
        pins_leave(&s->pins, &r->pin);
    if (err < 0) {
        free(r);
        return err;
    }
    *ret = r;
    return conditions_test_read(conditions, &r->record->object);
}

const struct store_object *store_reader_object(const struct store_reader *r)
{
    return &r->record->object;
}

struct str store_reader_inline(const struct store_reader *r)
{
    if (r->record->chunked)
        return STR_NULL;
    return r->record->data.len ? r->record->data : STR("");
}

static void note_damage(void *arg, const struct blob_chunk *chunk, unsigned shard, int why)
{
    struct store_reader *r = arg;
    for (unsigned i = 0; i < r->damaged_count; i++)
        if (chunk_id_eq(r->damaged[i], chunk->id))
            return;
    if (r->damaged_count < DAMAGED_HELD)
        r->damaged[r->damaged_count++] = chunk->id;
}

/* What was found damaged is to be repaired. When this fails, the scrub or another read finds it. */
static void FIBER queue_damaged(struct store_reader *r)
{
    const struct record *rec = r->record;
    struct store_place place = {
        .bucket = rec->bucket, .key = rec->object.key, .seq = rec->object.seq};
    while (r->damaged_count > 0)
        store_repair_queue(r->store, &place, r->damaged[--r->damaged_count], true);
}

int FIBER store_read(struct store_reader *r, uint64_t off, uint64_t len,
                     int (*sink)(const void *data, size_t len, void *arg), void *arg)
{
    const struct record *rec = r->record;
    if (off > rec->object.len_bytes || len > rec->object.len_bytes - off)
        return -EINVAL;
    if (len == 0)
        return 0;
    if (rec->chunked) {
        struct blob_damage damage = {note_damage, r};
        int err = blob_read(r->store->blob, &rec->layout, off, len, sink, arg, &damage);
        queue_damaged(r);
        /* A chunk that is gone is damage: the object itself is there. */
        return err == -ERR_NOT_FOUND ? -ERR_CORRUPT : err;
    }
    return sink(rec->data.ptr + off, len, arg);
}

void FIBER store_reader_close(struct store_reader *r)
{
    if (!r)
        return;
    pins_leave(&r->store->pins, &r->pin);
    record_unref(r->record);
    free(r);
}
