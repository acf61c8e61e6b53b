/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The scrub's walk over the records: buckets in the order of their ids, kinds of rows in the order
 * in which references move (walk.h), so that what moves meanwhile is met later, or next time.
 */

#include "base/md5.h"
#include "store/upkeep/walk.h"

static const struct str kinds[] = {KEY_UPLOADS, KEY_PARTS, KEY_OBJECTS, KEY_VERSIONS};
enum { KIND_UPLOADS, KIND_PARTS, KIND_OBJECTS, KIND_VERSIONS };

struct scrub {
    struct store *store;
    const struct store_scrub_hooks *hooks;
    struct bucket_id bucket;
    struct str bucket_name;
    uint32_t kind;
    struct str row, value; /* at hand */
    uint64_t chunks;       /* that the row named */
};

/* ---- telling -------------------------------------------------------------------------------- */

struct same {
    struct str row, value;
    bool is;
};

static int same_tx(struct meta_tx *tx, void *arg)
{
    struct same *s = arg;
    struct str now;
    int r = meta_get(tx, s->row, &now);
    s->is = r == 0 && str_eq(now, s->value);
    return r == -ERR_NOT_FOUND ? 0 : r;
}

/* Tells of it if the row is still what it was: else it was changed, not damaged. */
static int FIBER tell(struct scrub *w, struct store_scrub_fault *f)
{
    struct same s = {.row = w->row, .value = w->value};
    int r = meta_read(w->store->meta, w->bucket, same_tx, &s);
    if (r < 0 || !s.is)
        return r;
    f->bucket = w->bucket;
    f->bucket_name = w->bucket_name;
    return w->hooks->fault(f, w->hooks->arg);
}

static int FIBER tell_row(struct scrub *w, const char *text, struct str key, uint64_t seq,
                          struct str upload)
{
    struct store_scrub_fault f = {.text = text, .key = key, .seq = seq, .upload = upload};
    return tell(w, &f);
}

/* ---- chunks --------------------------------------------------------------------------------- */

static bool any_suspect(const struct scrub *w, const struct blob_chunk *chunk)
{
    for (unsigned i = 0; i < chunk->shard_count; i++)
        if (w->hooks->suspect(w->hooks->arg, chunk->id, i))
            return true;
    return false;
}

static const char *text_of(const struct blob_chunk *chunk, const int *errors)
{
    for (unsigned i = 0; i < chunk->shard_count; i++) {
        if (chunk->shards[i].disk == BLOB_DISK_NONE)
            continue; /* known to be nowhere, and to be repaired */
        if (errors[i] == -ERR_NOT_FOUND)
            return "a shard is missing from its disk";
        if (errors[i] == -ERR_CORRUPT)
            return "a shard is not as its record says";
        if (errors[i] == -EIO)
            return "a shard cannot be read";
    }
    return NULL;
}

static int FIBER scrub_chunk(struct scrub *w, const struct blob_chunk *chunk,
                             const struct store_scrub_fault *like)
{
    struct store_scrub_fault f = *like;
    blob_verify(w->store->blob, chunk, any_suspect(w, chunk), f.errors);
    w->chunks++;
    f.chunk = chunk;
    f.text = text_of(chunk, f.errors);
    return f.text ? tell(w, &f) : 0;
}

static int FIBER scrub_layout(struct scrub *w, const struct blob_layout *layout,
                              const struct store_scrub_fault *like)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < layout->count; i++)
        r = scrub_chunk(w, &layout->chunks[i], like);
    return r;
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* The bytes that a single PUT left in the record: its ETag is their MD5; sealed ones have a digest.
 */
static bool data_holds(const struct record *record)
{
    uint8_t md5[HASH_MD5_LEN];
    if (record->chunked || record->object.etag.parts || record->object.delete_marker)
        return true;
    if (record->object.attrs.seal.len) {
        struct hash128 h = hash_xxh128(record->data.ptr, record->data.len);
        return h.lo == record->digest.lo && h.hi == record->digest.hi;
    }
    md5_of(record->data, md5);
    return memcmp(md5, record->object.etag.md5, sizeof(md5)) == 0;
}

/* In or beside the record: 0, -ERR_CORRUPT or -ERR_NOT_FOUND in *ret_found. */
static int bytes_hold(struct meta_tx *tx, const struct record *record, struct str value,
                      int *ret_found)
{
    struct key_buf k;
    struct str bytes;
    _cleanup_record_ struct record *whole = NULL;
    *ret_found = 0;
    if (!record->beside) {
        *ret_found = data_holds(record) ? 0 : -ERR_CORRUPT;
        return 0;
    }
    int r = meta_get(tx, key_beside(&k, record->object.key, record->beside), &bytes);
    if (r == 0)
        r = record_decode_beside(record->bucket, record->object.key, value, bytes, &whole);
    *ret_found = r;
    return r == -ERR_CORRUPT || r == -ERR_NOT_FOUND ? 0 : r;
}

struct bytes {
    const struct record *record;
    struct str value;
    int found;
};

static int bytes_tx(struct meta_tx *tx, void *arg)
{
    struct bytes *b = arg;
    return bytes_hold(tx, b->record, b->value, &b->found);
}

static int FIBER scrub_bytes(struct scrub *w, const struct record *record, struct str key)
{
    struct bytes b = {.record = record, .value = w->value};
    int r = meta_read(w->store->meta, w->bucket, bytes_tx, &b);
    if (r < 0 || b.found == 0)
        return r;
    return tell_row(w,
                    b.found == -ERR_CORRUPT ? "bytes in the metadata do not match their digest"
                                            : "bytes are missing from the metadata",
                    key, record->object.seq, STR_NULL);
}

static int FIBER scrub_record(struct scrub *w, struct str key, uint64_t seq)
{
    _cleanup_record_ struct record *record = NULL;
    int r = record_decode(w->bucket, key, w->value, &record);
    if (r == -ERR_CORRUPT)
        return tell_row(w, "a record cannot be read", key, seq, STR_NULL);
    if (r < 0)
        return r;
    if (!record->chunked)
        return scrub_bytes(w, record, key);
    struct store_scrub_fault like = {.key = key, .seq = record->object.seq};
    return scrub_layout(w, &record->layout, &like);
}

static int FIBER scrub_version(struct scrub *w)
{
    char key[STORE_KEY_MAX];
    size_t len = 0;
    uint64_t seq = 0;
    int r = key_parse_version(w->row, key, &len, &seq);
    return r < 0 ? tell_row(w, "a record cannot be read", STR_NULL, 0, STR_NULL)
                 : scrub_record(w, str_make(key, len), seq);
}

static int FIBER scrub_upload(struct scrub *w)
{
    char key[STORE_KEY_MAX];
    size_t len = 0;
    struct str upload = STR_NULL;
    struct upload_row row;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    int r = key_parse_upload(w->row, key, &len, &upload);
    if (r == 0)
        r = upload_row_decode(w->value, &a, &row);
    return r == -ERR_CORRUPT
               ? tell_row(w, "an upload's record cannot be read", str_make(key, len), 0, upload)
               : r;
}

static int FIBER scrub_part(struct scrub *w)
{
    struct str upload = STR_NULL;
    uint32_t number;
    uint64_t attempt;
    struct part_row row;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    int r = key_parse_part(w->row, &upload, &number, &attempt);
    if (r == 0)
        r = part_row_decode(w->value, &a, &row);
    if (r == -ERR_CORRUPT)
        return tell_row(w, "a part's record cannot be read", w->row, 0, upload);
    struct store_scrub_fault like = {.key = w->row, .upload = upload, .part = number};
    return r < 0 ? r : scrub_layout(w, &row.layout, &like);
}

static int FIBER scrub_row(struct str row, struct str value, void *arg)
{
    struct scrub *w = arg;
    w->row = row;
    w->value = value;
    w->chunks = 0;
    int r;
    if (w->kind == KIND_UPLOADS)
        r = scrub_upload(w);
    else if (w->kind == KIND_PARTS)
        r = scrub_part(w);
    else if (w->kind == KIND_OBJECTS)
        r = scrub_record(w, str_from_offset(row, KEY_OBJECTS.len), 0);
    else
        r = scrub_version(w);
    return r ? r : w->hooks->pace(w->hooks->arg, w->chunks);
}

/* ---- the whole ------------------------------------------------------------------------------ */

int FIBER store_scrub(struct store *s, struct store_walk_place *place,
                      const struct store_scrub_hooks *hooks)
{
    struct walk_place at = {.end = false};
    int r = walk_resume(s, place, ARRAY_LEN(kinds), &at);
    if (r < 0 || place->end)
        return r;
    CHECK(place->kind < ARRAY_LEN(kinds));
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    struct scrub w = {.store = s, .hooks = hooks, .bucket = {place->bucket}, .kind = place->kind};
    w.bucket_name = buckets_name(&s->buckets, &a, w.bucket);
    r = walk_some(s, w.bucket, kinds[w.kind], &at, scrub_row, &w);
    if (r == 0)
        walk_keep(place, &at, ARRAY_LEN(kinds));
    return r;
}

int FIBER store_count_rows(struct store *s, uint64_t *ret)
{
    struct bucket_ref *all;
    size_t count;
    uint64_t rows = 0;
    int r = buckets_all(&s->buckets, &all, &count);
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct store_usage u = {0};
        r = all[i].dropped ? 0 : store_usage(s, all[i].id, &u);
        r = r == -ERR_CORRUPT ? 0 : r; /* only a number for people */
        rows += (uint64_t)(u.objects + u.versions + u.uploads);
    }
    free(all);
    if (r == 0)
        *ret = rows;
    return r;
}

/* ---- asking again --------------------------------------------------------------------------- */

struct names {
    struct bucket_id bucket;
    struct str key, upload;
    uint64_t seq;
    struct chunk_id chunk;
    bool is;
};

static bool layout_names(const struct blob_layout *layout, struct chunk_id id)
{
    for (size_t i = 0; i < layout->count; i++)
        if (chunk_id_eq(layout->chunks[i].id, id))
            return true;
    return false;
}

static int names_part(struct meta_tx *tx, struct names *n)
{
    struct str value;
    struct part_row row;
    int r = meta_get(tx, n->key, &value);
    if (r == 0)
        r = part_row_decode(value, meta_arena(tx), &row);
    n->is = r == -ERR_CORRUPT || (r == 0 && layout_names(&row.layout, n->chunk));
    return r == -ERR_NOT_FOUND || r == -ERR_CORRUPT ? 0 : r;
}

static int names_object(struct meta_tx *tx, struct names *n, struct str row, bool *ret_found)
{
    struct str value;
    int found = 0, r = meta_get(tx, row, &value);
    *ret_found = r == 0;
    if (r < 0)
        return r == -ERR_NOT_FOUND ? 0 : r;
    _cleanup_record_ struct record *record = NULL;
    r = record_decode(n->bucket, n->key, value, &record);
    if (r == -ERR_CORRUPT)
        n->is = true; /* what cannot be read is as it was */
    else if (r == 0 && n->chunk.session == 0 && record->object.seq == n->seq)
        r = bytes_hold(tx, record, value, &found);
    else if (r == 0)
        n->is = layout_names(&record->layout, n->chunk);
    n->is = n->is || found < 0;
    return r == -ERR_CORRUPT ? 0 : r;
}

static int names_tx(struct meta_tx *tx, void *arg)
{
    struct names *n = arg;
    struct key_buf k;
    bool found;
    n->is = false;
    if (n->upload.len)
        return names_part(tx, n);
    int r = names_object(tx, n, key_raw(&k, KEY_OBJECTS, n->key), &found);
    if (r == 0 && !n->is && n->seq)
        r = names_object(tx, n, key_version(&k, n->key, n->seq), &found);
    return r;
}

int FIBER store_names_chunk(struct store *s, struct bucket_id b, struct str key, uint64_t seq,
                            struct str upload, struct chunk_id chunk)
{
    struct names n = {.bucket = b, .key = key, .upload = upload, .seq = seq, .chunk = chunk};
    int r = meta_read(s->meta, b, names_tx, &n);
    return r < 0 ? r : n.is;
}
