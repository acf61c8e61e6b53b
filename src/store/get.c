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
    bool unsealed; /* `data_key` is there */
    uint8_t data_key[CRYPT_KEY_LEN];
    char *plain; /* of what lies in or beside a sealed record, once unsealed */
};

struct lookup {
    struct bucket_id bucket;
    struct str key;
    struct store_version_ref version;
    struct record *record;
    bool current; /* it is the current object's */
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
    struct version_row row;
    record_unref(TAKE_PTR(l->record));
    int r = version_find(tx, l->key, l->version, &row);
    if (r < 0)
        return r;
    l->current = row.current;
    if (row.head.beside)
        return look_beside(tx, l, row.value, row.head.beside);
    return record_decode(l->bucket, l->key, row.value, &l->record);
}

/* The version's record; the current object's from the cache or into it. */
static int FIBER find_record(struct store *s, struct lookup *l)
{
    struct cache_place place;
    l->record = cache_get(&s->cache, l->bucket, l->key, &place);
    if (l->record && version_is(&l->record->object, l->version))
        return 0;
    bool missed = !l->record;
    record_unref(TAKE_PTR(l->record));
    int r = meta_read(s->meta, l->bucket, lookup_tx, l);
    if (r < 0)
        record_unref(TAKE_PTR(l->record));
    else if (missed && l->current)
        cache_fill(&s->cache, l->record, &place);
    return r;
}

/* What reading the version comes to. */
static int judge(const struct lookup *l, const struct store_conditions *conditions)
{
    if (!l->record->object.delete_marker)
        return conditions_test_read(conditions, &l->record->object);
    return l->version.kind == STORE_VERSION_CURRENT ? -ERR_NO_SUCH_KEY : -ERR_METHOD_NOT_ALLOWED;
}

int FIBER store_get(struct store *s, struct bucket_id b, struct str key,
                    struct store_version_ref version, const struct store_conditions *conditions,
                    struct store_reader **ret)
{
    *ret = NULL;
    int err = store_key_test(key);
    if (err < 0)
        return err;
    struct store_reader *r = malloc(sizeof(*r));
    if (!r)
        return -ENOMEM;
    struct lookup l = {.bucket = b, .key = key, .version = version};
    *r = (struct store_reader){.store = s, .pin = pins_enter(&s->pins)};
    err = find_record(s, &l);
    if (err < 0 || !l.record->chunked)
        pins_leave(&s->pins, &r->pin);
    if (err < 0) {
        free(r);
        return err;
    }
    r->record = l.record;
    *ret = r;
    return judge(&l, conditions);
}

const struct store_object *store_reader_object(const struct store_reader *r)
{
    return &r->record->object;
}

struct str store_reader_inline(const struct store_reader *r)
{
    if (r->record->chunked)
        return STR_NULL;
    if (r->record->object.attrs.seal.len)
        return str_make(r->plain, r->plain ? r->record->object.len_bytes : 0);
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

/* ---- sealed objects ------------------------------------------------------------------------- */

/* What of a run's plaintext is wanted, and where it goes. */
struct open_run {
    struct frame_opener opener;
    uint64_t skip, len; /* of the plaintext still to come: not wanted, then wanted */
    int (*sink)(const void *data, size_t len, void *arg);
    void *arg;
};

static int FIBER open_piece(const void *data, size_t len, void *arg)
{
    struct open_run *run = arg;
    struct str in = str_make(data, len), plain;
    int r = 0;
    while (r == 0 && in.len) {
        r = frame_open(&run->opener, &in, &plain);
        if (r < 0 || !plain.ptr)
            continue;
        plain = str_prefix(str_from_offset(plain, MIN(run->skip, plain.len)), run->len);
        run->skip = 0; /* less than a block, and that is the first */
        run->len -= plain.len;
        if (plain.len)
            r = run->sink(plain.ptr, plain.len, run->arg);
    }
    return r;
}

/* The run of one part (0: of the whole object), whose sealed bytes begin at `start`. */
static int FIBER read_run(struct store_reader *r, size_t index, uint64_t start, uint64_t total,
                          uint64_t off, struct open_run *run, const struct blob_damage *damage)
{
    const struct record *rec = r->record;
    struct frame_id id = {.part = rec->object.part_count ? rec->object.parts[index].number : 0};
    struct frame_span at;
    memcpy(id.salt, rec->salts.ptr + index * FRAME_SALT_LEN, FRAME_SALT_LEN);
    frame_span(total, off, run->len, &at);
    run->skip = at.skip;
    int err = frame_open_begin(&run->opener, r->data_key, &id, total, &at);
    if (err == 0)
        err = blob_read(r->store->blob, &rec->layout, start + at.off, at.len, open_piece, run,
                        damage);
    frame_open_end(&run->opener);
    return err;
}

static int FIBER read_sealed(struct store_reader *r, uint64_t off, uint64_t len,
                             const struct blob_damage *damage,
                             int (*sink)(const void *data, size_t len, void *arg), void *arg)
{
    const struct store_object *o = &r->record->object;
    size_t count = o->part_count ? o->part_count : 1;
    uint64_t start = 0;
    int err = 0;
    for (size_t i = 0; err == 0 && i < count && len; i++) {
        uint64_t total = o->part_count ? o->parts[i].len_bytes : o->len_bytes;
        uint64_t n = off < total ? MIN(len, total - off) : 0;
        struct open_run run = {.len = n, .sink = sink, .arg = arg};
        if (n)
            err = read_run(r, i, start, total, off, &run, damage);
        start += frame_sealed_len(total);
        off -= n ? off : MIN(off, total);
        len -= n;
    }
    return err;
}

/* What lies in or beside the record is opened at once, so that the end of an empty object is
 * verified, too. */
static int open_data(struct store_reader *r)
{
    const struct record *rec = r->record;
    struct frame_opener opener;
    struct frame_id id = {.part = 0};
    struct frame_span all;
    struct str in = rec->data, plain = STR_NULL;
    size_t done = 0;
    int err = 0;
    r->plain = malloc(rec->object.len_bytes + 1);
    if (!r->plain)
        return -ENOMEM;
    memcpy(id.salt, rec->salts.ptr, FRAME_SALT_LEN);
    frame_span(rec->object.len_bytes, 0, rec->object.len_bytes, &all);
    err = frame_open_begin(&opener, r->data_key, &id, rec->object.len_bytes, &all);
    while (err == 0 && in.len) {
        err = frame_open(&opener, &in, &plain);
        if (err == 0 && plain.ptr) {
            memcpy(r->plain + done, plain.ptr, plain.len);
            done += plain.len;
        }
    }
    frame_open_end(&opener);
    return err == 0 && done != rec->object.len_bytes ? -ERR_CORRUPT : err;
}

int store_reader_unseal(struct store_reader *r, const uint8_t data_key[CRYPT_KEY_LEN])
{
    CHECK(!r->unsealed && r->record->object.attrs.seal.len);
    memcpy(r->data_key, data_key, sizeof(r->data_key));
    int err = r->record->chunked ? 0 : open_data(r);
    r->unsealed = err == 0;
    return err;
}

/* ---- reading -------------------------------------------------------------------------------- */

int FIBER store_read(struct store_reader *r, uint64_t off, uint64_t len,
                     int (*sink)(const void *data, size_t len, void *arg), void *arg)
{
    const struct record *rec = r->record;
    if (off > rec->object.len_bytes || len > rec->object.len_bytes - off)
        return -EINVAL;
    if (len == 0)
        return 0;
    if (rec->object.attrs.seal.len && !r->unsealed)
        return -ERR_WRONG_KEY;
    if (!rec->chunked)
        return sink(store_reader_inline(r).ptr + off, len, arg);
    struct blob_damage damage = {note_damage, r};
    int err = rec->object.attrs.seal.len
                  ? read_sealed(r, off, len, &damage, sink, arg)
                  : blob_read(r->store->blob, &rec->layout, off, len, sink, arg, &damage);
    queue_damaged(r);
    /* A chunk that is gone is damage: the object itself is there. */
    return err == -ERR_NOT_FOUND ? -ERR_CORRUPT : err;
}

int FIBER store_read_raw(struct store_reader *r,
                         int (*sink)(const void *data, size_t len, void *arg), void *arg)
{
    const struct record *rec = r->record;
    struct blob_damage damage = {note_damage, r};
    if (!rec->chunked || rec->layout.len_bytes == 0)
        return 0; /* looked at when the record was */
    int err = blob_read(r->store->blob, &rec->layout, 0, rec->layout.len_bytes, sink, arg, &damage);
    queue_damaged(r);
    return err == -ERR_NOT_FOUND ? -ERR_CORRUPT : err;
}

void FIBER store_reader_close(struct store_reader *r)
{
    if (!r)
        return;
    pins_leave(&r->store->pins, &r->pin);
    explicit_bzero(r->data_key, sizeof(r->data_key));
    if (r->plain)
        wipe(r->plain, r->record->object.len_bytes);
    free(r->plain);
    record_unref(r->record);
    free(r);
}
