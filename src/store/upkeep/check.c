/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The check of the whole store, while it serves or while nothing does. Each bucket is walked row by
 * row. Rows change under a walk that takes its time, so what looks wrong is at first a suspicion;
 * a bucket that aroused any is walked once more, and only what is found again is a fault: no honest
 * change shows the same wrong twice.
 *
 * Tested (DESIGN.md's invariants): every row decodes; a current object is live, and newer than its
 * versions; the null version and the newest marker are those that the key's row tells of; bytes in
 * a row of their own have their record, and are as it says; parts have their upload; every chunk
 * that a row names is on its disk as the row says (when deep, every byte of it); no chunk is named
 * twice, and none that is named is garbage; counters equal what was counted.
 */

#include "store/upkeep/walk.h"
#include <stdio.h>

#define IDS_HELD      (8 * 1000 * 1000) /* of one bucket's chunks; 32 bytes each at most */
#define SUSPECTS_HELD 1000
#define PROGRESS_ROWS 256

/* A suspicion: which test failed on which row and chunk. */
struct suspect {
    const char *text;
    uint64_t key_hash;
    struct chunk_id id;
};

struct check {
    struct store *store;
    bool deep;
    int (*fn)(const struct store_check_event *e, void *arg);
    void *arg;
    uint64_t done, total, rows, references, needles;

    /* of the bucket at hand */
    struct bucket_ref bucket;
    struct str name;
    bool confirming; /* the second walk */
    struct suspect suspects[SUSPECTS_HELD];
    size_t suspect_count;
    struct id_set chunks, uploads, beside;
    bool too_many; /* chunks, to be held */
    struct store_usage counted;
    uint64_t bucket_references;
    char newest[STORE_KEY_MAX]; /* key of the version row before */
    size_t newest_len;
    bool any_version;
    struct tops_row tops; /* of that key */
};

/* ---- telling -------------------------------------------------------------------------------- */

static int FIBER tell(struct check *c, int err, const char *text, struct str key)
{
    struct store_check_event e = {err, text, c->name, key, MIN(c->done, c->total), c->total};
    return c->fn(&e, c->arg);
}

static bool is_suspect(const struct check *c, const struct suspect *s)
{
    for (size_t i = 0; i < c->suspect_count; i++)
        if (c->suspects[i].text == s->text && c->suspects[i].key_hash == s->key_hash &&
            chunk_id_eq(c->suspects[i].id, s->id))
            return true;
    return false;
}

static int FIBER fault(struct check *c, int err, const char *text, struct str key,
                       struct chunk_id id)
{
    struct suspect s = {text, hash_xxh3(key.ptr, key.len), id};
    if (c->confirming)
        return is_suspect(c, &s) ? tell(c, err, text, key) : 0;
    if (c->suspect_count < SUSPECTS_HELD)
        c->suspects[c->suspect_count++] = s;
    return 0;
}

static int FIBER row_fault(struct check *c, int err, const char *text, struct str key)
{
    return fault(c, err, text, key, (struct chunk_id){0, 0});
}

/* Decoding said `r`: damage is a fault of the row, anything else ends the check. */
static int FIBER decoded(struct check *c, int r, const char *text, struct str key)
{
    return r == -ERR_CORRUPT ? row_fault(c, r, text, key) : r;
}

static int FIBER count_row(struct check *c, uint64_t bytes)
{
    if (!c->confirming)
        c->done += c->deep ? bytes : 1;
    return ++c->rows % PROGRESS_ROWS == 0 ? tell(c, 0, NULL, STR_NULL) : 0;
}

/* ---- chunks --------------------------------------------------------------------------------- */

/* The second walk reads only the chunks that were found wrong in the first. */
static bool worth_reading(const struct check *c, struct chunk_id id)
{
    for (size_t i = 0; c->confirming && i < c->suspect_count; i++)
        if (chunk_id_eq(c->suspects[i].id, id))
            return true;
    return !c->confirming;
}

static bool share_a_disk(const struct blob_chunk *chunk)
{
    for (unsigned i = 0; i < chunk->shard_count; i++)
        for (unsigned j = 0; j < i; j++)
            if (chunk->shards[i].disk == chunk->shards[j].disk)
                return true;
    return false;
}

/* Readable, but not whole: why, by the worst of its shards. */
static const char *degraded_text(const struct blob_chunk *chunk, const int *errors)
{
    bool wrong = false, missing = false;
    for (unsigned i = 0; i < chunk->shard_count; i++) {
        wrong = wrong || errors[i] == -ERR_CORRUPT || errors[i] == -EIO;
        missing =
            missing || (errors[i] == -ERR_NOT_FOUND && chunk->shards[i].disk != BLOB_DISK_NONE);
    }
    if (wrong)
        return "a chunk has a damaged shard; the others suffice";
    return missing ? "a chunk lacks a shard on its disk; the others suffice"
                   : "a chunk is degraded: a disk is gone, or its repair is due";
}

static int FIBER verify_chunk(struct check *c, struct str key, const struct blob_chunk *chunk)
{
    if (!worth_reading(c, chunk->id))
        return 0;
    int errors[BLOB_SHARDS_MAX] = {0};
    int r = blob_verify(c->store->blob, chunk, c->deep, errors);
    unsigned good = 0;
    for (unsigned i = 0; i < MIN(chunk->shard_count, (unsigned)BLOB_SHARDS_MAX); i++)
        good += errors[i] == 0;
    if (r == 0 && share_a_disk(chunk))
        return fault(c, -ERR_CORRUPT, "two shards of a chunk lie on one disk", key, chunk->id);
    if (r == 0 || r == -ENOMEM || r == -ECANCELED)
        return r;
    if (r == -ERR_NOT_FOUND && chunk->shard_count == 1)
        return fault(c, r, "a chunk is missing from its disk", key, chunk->id);
    if (r == -ERR_CORRUPT && chunk->shard_count == 1)
        return fault(c, r, "a chunk on the disk is not as its record says", key, chunk->id);
    if (good >= chunk->code_k && chunk->shard_count > 1)
        return fault(c, r, degraded_text(chunk, errors), key, chunk->id);
    return fault(c, r, "a chunk cannot be read", key, chunk->id);
}

static int hold_chunk(struct check *c, struct chunk_id id, bool *ret_twice)
{
    int r = id_set_add(&c->chunks, id);
    *ret_twice = r == -EEXIST;
    c->too_many = c->too_many || r == -ERR_LIMIT;
    return r == -EEXIST || r == -ERR_LIMIT ? 0 : r;
}

/* Shards whose needles the walk over the disks will meet. */
static unsigned shards_there(const struct blob_chunk *chunk)
{
    unsigned n = 0;
    for (unsigned i = 0; i < chunk->shard_count; i++)
        n += chunk->shards[i].disk != BLOB_DISK_NONE;
    return n;
}

static int FIBER check_layout(struct check *c, struct str key, const struct blob_layout *layout)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < layout->count; i++) {
        bool twice;
        struct chunk_id id = layout->chunks[i].id;
        c->bucket_references += shards_there(&layout->chunks[i]);
        r = hold_chunk(c, id, &twice);
        if (r == 0 && twice)
            r = fault(c, -ERR_CORRUPT, "a chunk is named by two records", key, id);
        if (r == 0)
            r = verify_chunk(c, key, &layout->chunks[i]);
    }
    return r;
}

/* ---- bytes in rows of their own ------------------------------------------------------------- */

/* Such rows are held by a digest of their number and key. */
static struct chunk_id beside_digest(struct str key, uint64_t beside)
{
    struct hash128 h = hash_xxh128(key.ptr, key.len);
    return (struct chunk_id){(h.lo ^ beside) | 1, h.hi + beside};
}

struct beside {
    struct str key, value; /* of the record */
    const struct record *record;
    int found; /* what is wrong with the bytes */
};

static int beside_tx(struct meta_tx *tx, void *arg)
{
    struct beside *b = arg;
    struct key_buf k;
    struct str bytes;
    _cleanup_record_ struct record *whole = NULL;
    b->found = meta_get(tx, key_beside(&k, b->key, b->record->beside), &bytes);
    if (b->found == 0)
        b->found = record_decode_beside(b->record->bucket, b->key, b->value, bytes, &whole);
    return b->found == -ERR_CORRUPT || b->found == -ERR_NOT_FOUND ? 0 : b->found;
}

/* The bytes are read in any case: that they are there costs no less. */
static int FIBER check_beside(struct check *c, struct str key, struct str value,
                              const struct record *record)
{
    struct beside b = {.key = key, .value = value, .record = record};
    struct chunk_id id = beside_digest(key, record->beside);
    int r = id_set_add(&c->beside, id);
    c->too_many = c->too_many || r == -ERR_LIMIT;
    if (r < 0 && r != -ERR_LIMIT && r != -EEXIST)
        return r;
    r = meta_read(c->store->meta, c->bucket.id, beside_tx, &b);
    if (r == -ERR_CORRUPT)
        return fault(c, r, "an object's bytes cannot be read", key, id);
    if (r < 0)
        return r;
    if (b.found == -ERR_NOT_FOUND)
        return fault(c, b.found, "an object's bytes are missing from the metadata", key, id);
    if (b.found < 0)
        return fault(c, b.found, "an object's bytes are not as its record says", key, id);
    return 0;
}

static int FIBER check_beside_row(struct str row, struct str value, void *arg)
{
    struct check *c = arg;
    struct str key = STR_NULL;
    uint64_t beside = 0;
    int r = key_parse_beside(row, &key, &beside);
    if (r < 0)
        return decoded(c, r, "a row of an object's bytes has no such key", key);
    struct chunk_id id = beside_digest(key, beside);
    if (!c->too_many && !id_set_has(&c->beside, id))
        r = fault(c, -ERR_CORRUPT, "a row of an object's bytes belongs to no record", key, id);
    return r < 0 ? r : count_row(c, 0);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static int FIBER check_object(struct str row, struct str value, void *arg)
{
    struct check *c = arg;
    struct str key = str_from_offset(row, KEY_OBJECTS.len);
    _cleanup_record_ struct record *record = NULL;
    int r = record_decode(c->bucket.id, key, value, &record);
    if (r < 0)
        return decoded(c, r, "an object's record cannot be read", key);
    c->counted.objects++;
    c->counted.bytes += (int64_t)record->object.len_bytes;
    if (store_key_test(key) < 0)
        r = row_fault(c, -ERR_CORRUPT, "an object's key is out of its limits", key);
    if (r == 0 && record->object.delete_marker)
        r = row_fault(c, -ERR_CORRUPT, "a delete marker stands as a current object", key);
    if (r == 0)
        r = check_layout(c, key, &record->layout);
    if (r == 0 && record->beside)
        r = check_beside(c, key, value, record);
    return r < 0 ? r : count_row(c, record->object.len_bytes);
}

struct newest {
    struct str key;
    struct head head;
    struct tops_row tops;
};

static int newest_tx(struct meta_tx *tx, void *arg)
{
    struct newest *n = arg;
    struct key_buf k;
    struct str value;
    int r = tops_row_get(tx, n->key, &n->tops);
    if (r == 0)
        r = meta_get(tx, key_raw(&k, KEY_OBJECTS, n->key), &value);
    return r < 0 ? r : head_decode(value, &n->head);
}

/* The newest version row of a key against the current object's. */
static int FIBER check_newest(struct check *c, struct str key, const struct record *version)
{
    struct newest n = {.key = key};
    int r = meta_read(c->store->meta, c->bucket.id, newest_tx, &n);
    c->tops = n.tops;
    if (r == -ERR_NOT_FOUND && !version->object.delete_marker)
        return row_fault(c, -ERR_CORRUPT, "a live version is newest but not current", key);
    if (r == -ERR_NOT_FOUND)
        return n.tops.marker_seq == version->object.seq
                   ? 0
                   : row_fault(c, -ERR_CORRUPT, "a newest delete marker is not told of", key);
    if (r < 0)
        return decoded(c, r, "an object's record cannot be read", key);
    if (n.tops.marker_seq)
        r = row_fault(c, -ERR_CORRUPT, "a delete marker is told of under a current object", key);
    if (r == 0 && n.head.object.null_version && n.tops.null_seq)
        r = row_fault(c, -ERR_CORRUPT, "a key has two null versions", key);
    if (r == 0 && n.head.object.seq <= version->object.seq)
        r = row_fault(c, -ERR_CORRUPT, "a version is newer than the current object", key);
    return r;
}

static int FIBER check_version(struct str row, struct str value, void *arg)
{
    struct check *c = arg;
    char bytes[STORE_KEY_MAX];
    size_t len = 0;
    uint64_t seq = 0;
    _cleanup_record_ struct record *record = NULL;
    int r = key_parse_version(row, bytes, &len, &seq);
    struct str key = str_make(bytes, len);
    if (r == 0)
        r = record_decode(c->bucket.id, key, value, &record);
    if (r == 0 && record->object.seq != seq)
        r = -ERR_CORRUPT;
    if (r < 0)
        return decoded(c, r, "a version's record cannot be read", key);
    c->counted.versions++;
    c->counted.bytes += (int64_t)record->object.len_bytes;
    bool first = !c->any_version || !str_eq(key, str_make(c->newest, c->newest_len));
    memcpy(c->newest, bytes, len);
    c->newest_len = len;
    c->any_version = true;
    if (first)
        r = check_newest(c, key, record);
    if (r == 0 && record->object.null_version != (c->tops.null_seq == seq))
        r = row_fault(c, -ERR_CORRUPT, "a null version is not the one that is told of", key);
    if (r == 0)
        r = check_layout(c, key, &record->layout);
    if (r == 0 && record->beside)
        r = check_beside(c, key, value, record);
    return r < 0 ? r : count_row(c, record->object.len_bytes);
}

struct told {
    struct str key;
    struct tops_row tops;
    bool holds;
};

/* Both rows that a Z row names are there. */
static int told_tx(struct meta_tx *tx, void *arg)
{
    struct told *t = arg;
    struct key_buf k;
    struct str value;
    const uint64_t seqs[] = {t->tops.null_seq, t->tops.marker_seq};
    t->holds = true;
    for (size_t i = 0; i < ARRAY_LEN(seqs); i++) {
        int r = seqs[i] ? meta_get(tx, key_version(&k, t->key, seqs[i]), &value) : 0;
        t->holds = t->holds && r == 0;
        if (r < 0 && r != -ERR_NOT_FOUND)
            return r;
    }
    return 0;
}

static int FIBER check_tops(struct str row, struct str value, void *arg)
{
    struct check *c = arg;
    struct told t = {.key = str_from_offset(row, KEY_TOPS.len)};
    int r = tops_row_decode(value, &t.tops);
    if (r < 0)
        return decoded(c, r, "what is told of a key's versions cannot be read", t.key);
    r = meta_read(c->store->meta, c->bucket.id, told_tx, &t);
    if (r == 0 && !t.holds)
        r = row_fault(c, -ERR_CORRUPT, "a version that is told of is not there", t.key);
    return r < 0 ? r : count_row(c, 0);
}

/* Uploads are held by a digest of their id. */
static struct chunk_id upload_digest(struct str upload)
{
    struct hash128 h = hash_xxh128(upload.ptr, upload.len);
    return (struct chunk_id){h.lo | 1, h.hi};
}

static int FIBER check_upload(struct str row, struct str value, void *arg)
{
    struct check *c = arg;
    char bytes[STORE_KEY_MAX];
    size_t len = 0;
    struct str upload = STR_NULL;
    struct upload_row decoded_row;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    int r = key_parse_upload(row, bytes, &len, &upload);
    struct str key = str_make(bytes, len);
    if (r == 0)
        r = upload_row_decode(value, &a, &decoded_row);
    if (r < 0)
        return decoded(c, r, "an upload's record cannot be read", key);
    c->counted.uploads++;
    r = id_set_add(&c->uploads, upload_digest(upload));
    if (r == -ERR_LIMIT)
        c->too_many = true;
    return r < 0 && r != -ERR_LIMIT ? r : count_row(c, 0);
}

static int FIBER check_part(struct str row, struct str value, void *arg)
{
    struct check *c = arg;
    struct str upload = STR_NULL;
    uint32_t number = 0;
    uint64_t attempt;
    struct part_row part;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    int r = key_parse_part(row, &upload, &number, &attempt);
    if (r == 0)
        r = part_row_decode(value, &a, &part);
    if (r < 0)
        return decoded(c, r, "a part's record cannot be read", upload);
    if (!c->too_many && !id_set_has(&c->uploads, upload_digest(upload)))
        r = fault(c, -ERR_CORRUPT, "a part belongs to no upload", upload,
                  (struct chunk_id){0, number});
    if (r == 0)
        r = check_layout(c, upload, &part.layout);
    c->counted.part_bytes += (int64_t)part.len_bytes;
    return r < 0 ? r : count_row(c, part.len_bytes);
}

static int FIBER check_repair(struct str row, struct str value, void *arg)
{
    struct check *c = arg;
    struct repair_row repair;
    struct chunk_id id;
    uint8_t priority;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    int r = key_parse_repair(row, &priority, &id);
    if (r == 0)
        r = repair_row_decode(value, &a, &repair);
    return r < 0 ? decoded(c, r, "a repair row cannot be read", STR_NULL) : count_row(c, 0);
}

static int FIBER check_garbage(struct str row, struct str value, void *arg)
{
    struct check *c = arg;
    struct garbage_row garbage;
    uint64_t due_ms;
    struct chunk_id first;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    int r = key_parse_garbage(row, &due_ms, &first);
    if (r == 0)
        r = garbage_row_decode(value, &a, &garbage);
    if (r < 0)
        return decoded(c, r, "a garbage row cannot be read", STR_NULL);
    c->bucket_references += garbage.needle_count;
    for (size_t i = 0; r == 0 && i < garbage.count && !garbage.moved; i++) {
        bool twice;
        r = hold_chunk(c, garbage.chunks[i], &twice);
        if (r == 0 && twice)
            r = fault(c, -ERR_CORRUPT, "a chunk is both garbage and named by a record", garbage.key,
                      garbage.chunks[i]);
    }
    return r < 0 ? r : count_row(c, 0);
}

/* ---- buckets -------------------------------------------------------------------------------- */

static int FIBER walk_kinds(struct check *c)
{
    static const struct {
        struct str kind;
        walk_fn *fn;
    } kinds[] = {{STR("O"), check_object},     {STR("V"), check_version}, {STR("Z"), check_tops},
                 {STR("I"), check_beside_row}, {STR("M"), check_upload},  {STR("P"), check_part},
                 {STR("R"), check_repair},     {STR("G"), check_garbage}};
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(kinds); i++)
        r = walk_rows(c->store, c->bucket.id, kinds[i].kind, kinds[i].fn, c);
    return r;
}

static bool same_usage(const struct store_usage *a, const struct store_usage *b)
{
    return a->objects == b->objects && a->bytes == b->bytes && a->versions == b->versions &&
           a->uploads == b->uploads;
}

/* Uploads from before their bytes were counted have parts that no counter knows; more than there is
 * would be nobody's and take room for ever. */
static bool parts_fit(const struct store_usage *kept, const struct store_usage *counted)
{
    return kept->part_bytes <= counted->part_bytes;
}

/* Counters that stood still during the walk must equal what it counted. */
static int FIBER check_counters(struct check *c, const struct store_usage *before)
{
    struct store_usage after;
    int r = store_usage(c->store, c->bucket.id, &after);
    if (r < 0)
        return decoded(c, r, "the usage counters cannot be read", STR_NULL);
    if (!same_usage(before, &after) || before->part_bytes != after.part_bytes ||
        (same_usage(&after, &c->counted) && parts_fit(&after, &c->counted)))
        return 0;
    return row_fault(c, -ERR_CORRUPT, "the usage counters differ from what is stored", STR_NULL);
}

static int config_tx(struct meta_tx *tx, void *arg)
{
    return config_row_test(tx);
}

static int FIBER check_config(struct check *c)
{
    int r = meta_read(c->store->meta, c->bucket.id, config_tx, NULL);
    return r == -ERR_NO_SUCH_BUCKET
               ? row_fault(c, -ERR_CORRUPT, "a bucket has a name but no configuration", STR_NULL)
               : r;
}

static int FIBER walk_bucket(struct check *c)
{
    struct store_usage before = {0};
    c->counted = (struct store_usage){0};
    c->any_version = c->too_many = false;
    c->bucket_references = 0;
    int r = id_set_init(&c->chunks, IDS_HELD);
    if (r == 0)
        r = id_set_init(&c->uploads, IDS_HELD);
    if (r == 0)
        r = id_set_init(&c->beside, IDS_HELD);
    if (r == 0)
        r = store_usage(c->store, c->bucket.id, &before);
    r = decoded(c, r, "the usage counters cannot be read", STR_NULL);
    if (r == 0 && !c->bucket.dropped)
        r = check_config(c);
    if (r == 0)
        r = walk_kinds(c);
    if (r == 0 && !c->bucket.dropped)
        r = check_counters(c, &before);
    id_set_release(&c->chunks);
    id_set_release(&c->uploads);
    id_set_release(&c->beside);
    return r;
}

static int FIBER check_bucket(struct check *c)
{
    struct arena a;
    arena_init(&a, 0);
    c->name = buckets_name(&c->store->buckets, &a, c->bucket.id);
    c->suspect_count = 0;
    c->confirming = false;
    int r = walk_bucket(c);
    if (r == 0 && c->suspect_count) {
        c->confirming = true;
        r = walk_bucket(c);
    }
    if (r == 0 && c->too_many)
        r = tell(c, 0, "too many chunks to look for those named twice", STR_NULL);
    c->references += c->bucket_references;
    c->name = STR_NULL;
    arena_release(&a);
    return r;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int FIBER count_needle(unsigned disk, const struct needle_entry *e, void *arg)
{
    struct check *c = arg;
    c->needles++;
    return 0;
}

/* Not a fault: what writes under way hold, or a crash left for the sweep. */
static int FIBER tell_unreferenced(struct check *c)
{
    int r = blob_each(c->store->blob, count_needle, c);
    if (r < 0 || c->needles <= c->references)
        return r;
    char text[128];
    snprintf(text, sizeof(text), "%llu needles are named by nothing (the next sweep removes them)",
             (unsigned long long)(c->needles - c->references));
    return tell(c, 0, text, STR_NULL);
}

static int FIBER sum_total(struct check *c, const struct bucket_ref *buckets, size_t count)
{
    struct store_usage u;
    for (size_t i = 0; i < count; i++) {
        int r = store_usage(c->store, buckets[i].id, &u);
        if (r == -ERR_CORRUPT)
            continue; /* told when the bucket is walked */
        if (r < 0)
            return r;
        c->total += c->deep ? (uint64_t)u.bytes : (uint64_t)(u.objects + u.versions + u.uploads);
    }
    return 0;
}

static int FIBER check_all(struct check *c)
{
    struct bucket_ref *buckets;
    size_t count;
    int r = buckets_all(&c->store->buckets, &buckets, &count);
    if (r < 0)
        return r;
    r = sum_total(c, buckets, count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        c->bucket = buckets[i];
        r = check_bucket(c);
    }
    free(buckets);
    if (r == 0)
        r = tell_unreferenced(c);
    c->done = c->total;
    return r == 0 ? tell(c, 0, NULL, STR_NULL) : r;
}

int FIBER store_check(struct store *s, bool deep,
                      int (*fn)(const struct store_check_event *e, void *arg), void *arg)
{
    struct check *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->store = s;
    c->deep = deep;
    c->fn = fn;
    c->arg = arg;
    int r = check_all(c);
    free(c);
    return r;
}
