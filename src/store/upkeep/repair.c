/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Repair: rows that say what lacks shards, the pass that works through them, the scan that finds
 * more, and the one way in which a record's shards change while the object stays.
 *
 * A repair reads the record, has the chunk made whole (blob_repair) under a pin, so that nothing of
 * it is collected meanwhile, and then changes the record in one transaction, if that has still
 * exactly the shards that were read: the new shards in, the old ones into a garbage row, the repair
 * row away. If it has not, the object was replaced or removed: what was written is deleted again.
 *
 * References move from P to O, so a part's row is looked for first; between O and V they move
 * within one transaction, so both are looked at in one.
 */

#include "base/plant.h"
#include "ring/ring.h"
#include "store/upkeep/walk.h"

#define PRIORITY_WIDEN 200 /* whole, but in a narrower code than the disks allow */
#define FOUND_ARENA    (64 * MIB)

#define VERSIONS_LOOKED_AT 1000 /* of a key whose row says none */

/* ---- rows ----------------------------------------------------------------------------------- */

/* Shards beyond those needed to read, as far as is known: one that was found wrong is none, nor is
 * one on a disk that is gone. */
static uint8_t priority_of(const struct store *s, const struct blob_chunk *c, bool deep)
{
    unsigned there = blob_shards_there(s->blob, c);
    if (there == c->shard_count && !deep)
        return PRIORITY_WIDEN;
    there -= deep && there > 0;
    return (uint8_t)(there > c->code_k ? there - c->code_k : 0);
}

int repairs_put(struct meta_tx *tx, struct store *s, const struct repair_row *place,
                const struct blob_layout *layout)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < layout->count; i++) {
        const struct blob_chunk *c = &layout->chunks[i];
        if (likely(!blob_wants_repair(s->blob, c)))
            continue;
        r = repair_row_put(tx, priority_of(s, c, false), c->id, place);
        __atomic_fetch_add(&s->repairs_queued, 1, __ATOMIC_RELAXED);
    }
    return r;
}

/* A row that is there already, under whatever priority, says as before what is to be done. */
static int rename_row(struct meta_tx *tx, uint8_t priority, struct chunk_id chunk,
                      const struct repair_row *to)
{
    struct key_buf k;
    struct str value;
    struct repair_row row;
    int r = meta_get(tx, key_repair(&k, priority, (uint16_t)ring_partition(chunk), chunk), &value);
    if (r == 0)
        r = repair_row_decode(value, meta_arena(tx), &row);
    if (r < 0)
        return r == -ERR_NOT_FOUND ? 0 : r;
    bool deep = row.deep;
    row = *to;
    row.deep = deep;
    return repair_row_put(tx, priority, chunk, &row);
}

int repairs_rename(struct meta_tx *tx, struct store *s, const struct repair_row *to,
                   const struct blob_layout *layout)
{
    bool any;
    int r = rows_any(tx, KEY_REPAIRS, &any);
    for (size_t i = 0; r == 0 && any && i < layout->count; i++) {
        const struct blob_chunk *c = &layout->chunks[i];
        r = rename_row(tx, PRIORITY_WIDEN, c->id, to);
        for (unsigned p = 0; r == 0 && p <= c->shard_count; p++)
            r = rename_row(tx, (uint8_t)p, c->id, to);
    }
    return r;
}

/* ---- the record of a chunk ------------------------------------------------------------------ */

/* The row that has a chunk: an object's, or a part's. */
struct holder {
    bool is_part;
    struct record *record;
    struct part_row part;
    struct key_buf row_key;
    struct blob_layout *layout; /* of either */
    size_t at;                  /* the chunk's place in it */
};

static void holder_release(struct holder *h)
{
    record_unref(TAKE_PTR(h->record));
}

static bool layout_find(const struct blob_layout *l, struct chunk_id id, size_t *ret_at)
{
    for (size_t i = 0; i < l->count; i++)
        if (chunk_id_eq(l->chunks[i].id, id)) {
            *ret_at = i;
            return true;
        }
    return false;
}

/* -ERR_NOT_FOUND: the part is not there, or has other chunks. */
static int find_in_part(struct meta_tx *tx, const struct store_place *p, struct chunk_id id,
                        struct holder *ret)
{
    struct key_buf k;
    struct meta_cursor *c;
    struct str prefix = key_part_prefix(&k, p->upload, p->part);
    int r = meta_cursor_open(tx, prefix, &c);
    if (r < 0)
        return r;
    r = meta_cursor_seek(c, prefix);
    bool found = r == 0 && meta_cursor_valid(c);
    if (found) {
        key_raw(&ret->row_key, STR(""), meta_cursor_key(c));
        r = part_row_decode(meta_cursor_value(c), meta_arena(tx), &ret->part);
    }
    meta_cursor_close(c);
    if (r < 0)
        return r;
    if (!found || !layout_find(&ret->part.layout, id, &ret->at))
        return -ERR_NOT_FOUND;
    ret->is_part = true;
    ret->layout = &ret->part.layout;
    return 0;
}

/* In the row whose key is in `ret`. */
static int find_in_value(const struct store_place *p, struct chunk_id id, struct str value,
                         struct holder *ret)
{
    holder_release(ret);
    int r = record_decode(p->bucket, p->key, value, &ret->record);
    if (r < 0)
        return r;
    ret->is_part = false;
    ret->layout = &ret->record->layout;
    return layout_find(ret->layout, id, &ret->at) ? 0 : -ERR_NOT_FOUND;
}

static int find_in_row(struct meta_tx *tx, const struct store_place *p, struct chunk_id id,
                       struct holder *ret)
{
    struct str value;
    int r = meta_get(tx, str_make(ret->row_key.bytes, ret->row_key.len), &value);
    return r < 0 ? r : find_in_value(p, id, value, ret);
}

/* An object that was given new attributes has another sequence than when the row was queued: then
 * its versions are gone through, the newest of them. */
static int find_in_versions(struct meta_tx *tx, const struct store_place *p, struct chunk_id id,
                            struct holder *ret)
{
    struct meta_cursor *c;
    struct key_buf k;
    struct head head;
    struct str prefix = key_versions(&k, p->key);
    int r = meta_cursor_open(tx, prefix, &c);
    if (r < 0)
        return r;
    r = meta_cursor_seek(c, prefix);
    int found = -ERR_NOT_FOUND;
    for (unsigned i = 0;
         r == 0 && found == -ERR_NOT_FOUND && i < VERSIONS_LOOKED_AT && meta_cursor_valid(c); i++) {
        key_raw(&ret->row_key, STR(""), meta_cursor_key(c));
        if (head_decode(meta_cursor_value(c), &head) == 0 && head.chunked)
            found = find_in_value(p, id, meta_cursor_value(c), ret);
        r = meta_cursor_next(c);
    }
    meta_cursor_close(c);
    return r < 0 ? r : found;
}

static int find_in_object(struct meta_tx *tx, const struct store_place *p, struct chunk_id id,
                          struct holder *ret)
{
    key_raw(&ret->row_key, KEY_OBJECTS, p->key);
    int r = find_in_row(tx, p, id, ret);
    if (r == -ERR_NOT_FOUND && p->seq) {
        key_version(&ret->row_key, p->key, p->seq);
        r = find_in_row(tx, p, id, ret);
    }
    return r == -ERR_NOT_FOUND ? find_in_versions(tx, p, id, ret) : r;
}

/* -ERR_NOT_FOUND: nothing names the chunk any more. */
static int holder_find(struct meta_tx *tx, const struct store_place *p, struct chunk_id id,
                       struct holder *ret)
{
    int r = p->upload.len ? find_in_part(tx, p, id, ret) : -ERR_NOT_FOUND;
    return r == -ERR_NOT_FOUND ? find_in_object(tx, p, id, ret) : r;
}

int place_chunk(struct meta_tx *tx, const struct store_place *p, struct chunk_id id,
                struct blob_chunk *ret)
{
    _cleanup_(holder_release) struct holder h = {0};
    int r = holder_find(tx, p, id, &h);
    if (r < 0)
        return r;
    const struct blob_chunk *c = &h.layout->chunks[h.at];
    struct blob_shard *shards = arena_array(meta_arena(tx), struct blob_shard, c->shard_count + 1);
    if (!shards)
        return -ENOMEM;
    memcpy(shards, c->shards, c->shard_count * sizeof(*shards));
    *ret = *c;
    ret->shards = shards;
    return 0;
}

/* ---- changing it ---------------------------------------------------------------------------- */

struct relayout {
    struct store *store;
    const struct store_place *place;
    const struct blob_chunk *old, *new;
    struct str drop; /* a repair row's key, to go with it; ptr NULL: none */
    bool soils;
};

static bool same_shards(const struct blob_chunk *a, const struct blob_chunk *b)
{
    if (!chunk_id_eq(a->id, b->id) || a->encode_id != b->encode_id ||
        a->shard_count != b->shard_count)
        return false;
    for (unsigned i = 0; i < a->shard_count; i++) {
        const struct blob_shard *x = &a->shards[i], *y = &b->shards[i];
        if (x->disk != y->disk || x->where.volume != y->where.volume ||
            x->where.offset != y->where.offset)
            return false;
    }
    return true;
}

/* The same row with one chunk changed; nothing is counted anew. */
static int put_object(struct meta_tx *tx, struct relayout *l, struct holder *h,
                      const struct blob_layout *layout)
{
    const struct record *old = h->record;
    struct draft_parts from = {
        .attrs = &old->object.attrs,
        .layout = layout,
        .parts = old->object.parts,
        .part_count = old->object.part_count,
        .upload = old->upload,
        .salts = old->salts,
    };
    struct draft draft = {0};
    int r = draft_init(&draft, &from);
    if (r == 0)
        r = meta_put(tx, str_make(h->row_key.bytes, h->row_key.len),
                     draft_seal(&draft, &old->object, true));
    draft_release(&draft);
    return r;
}

static int put_changed(struct meta_tx *tx, struct relayout *l, struct holder *h)
{
    struct blob_layout layout = *h->layout;
    layout.chunks = arena_array(meta_arena(tx), struct blob_chunk, layout.count);
    if (!layout.chunks)
        return -ENOMEM;
    memcpy(layout.chunks, h->layout->chunks, layout.count * sizeof(*layout.chunks));
    layout.chunks[h->at] = *l->new;
    if (!h->is_part)
        return put_object(tx, l, h, &layout);
    struct part_row row = h->part;
    row.layout = layout;
    return part_row_put(tx, str_make(h->row_key.bytes, h->row_key.len), &row);
}

/* What the old chunk had and the new one has not. */
static int let_old_go(struct meta_tx *tx, struct relayout *l)
{
    uint64_t due_ms = store_gc_due_ms(l->store);
    struct str key = l->place->key;
    struct blob_chunk gone = *l->old;
    l->soils = true;
    if (!chunk_id_eq(l->old->id, l->new->id)) {
        struct blob_layout one = {&gone, 1, gone.len_bytes};
        return garbage_row_put(tx, due_ms, key, l->place->seq, &one);
    }
    bool any = false;
    gone.shards = arena_array(meta_arena(tx), struct blob_shard, gone.shard_count);
    if (!gone.shards)
        return -ENOMEM;
    for (unsigned i = 0; i < gone.shard_count; i++) {
        gone.shards[i] = l->old->shards[i];
        if (gone.shards[i].disk == l->new->shards[i].disk)
            gone.shards[i].disk = BLOB_DISK_NONE;
        any = any || gone.shards[i].disk != BLOB_DISK_NONE;
    }
    return any ? garbage_row_put_moved(tx, due_ms, l->place, &gone) : 0;
}

static void relayout_committed(void *arg)
{
    struct relayout *l = arg;
    cache_drop(&l->store->cache, l->place->bucket, l->place->key);
    if (l->soils)
        buckets_soil(&l->store->buckets, l->place->bucket);
}

/* A chunk under a new id takes its wants along. */
static int queue_new(struct meta_tx *tx, struct relayout *l)
{
    const struct store_place *p = l->place;
    struct repair_row row = {p->key, p->upload, p->part, p->seq, false};
    struct blob_layout one = {(struct blob_chunk *)l->new, 1, l->new->len_bytes};
    return repairs_put(tx, l->store, &row, &one);
}

static int relayout_tx(struct meta_tx *tx, void *arg)
{
    struct relayout *l = arg;
    _cleanup_(holder_release) struct holder h = {0};
    l->soils = false;
    meta_use_reserve(tx);
    int r = config_row_test(tx);
    if (r == 0)
        r = holder_find(tx, l->place, l->old->id, &h);
    if (r == -ERR_NOT_FOUND || r == -ERR_NO_SUCH_BUCKET ||
        (r == 0 && !same_shards(&h.layout->chunks[h.at], l->old)))
        return -ERR_CONFLICT;
    if (r == 0)
        r = put_changed(tx, l, &h);
    if (r == 0)
        r = let_old_go(tx, l);
    if (r == 0 && l->drop.ptr)
        r = meta_del(tx, l->drop);
    if (r == 0 && !chunk_id_eq(l->old->id, l->new->id))
        r = queue_new(tx, l);
    return r < 0 ? r : meta_on_commit(tx, relayout_committed, l);
}

int FIBER store_relayout(struct store *s, const struct store_place *place,
                         const struct blob_chunk *old, const struct blob_chunk *new)
{
    struct relayout l = {.store = s, .place = place, .old = old, .new = new};
    return meta_write(s->meta, place->bucket, relayout_tx, &l);
}

void FIBER store_relayout_undo(struct store *s, const struct blob_chunk *old,
                               const struct blob_chunk *new, int err)
{
    struct blob_needle needles[BLOB_SHARDS_MAX];
    size_t n = 0;
    bool other = !chunk_id_eq(new->id, old->id);
    if (!meta_is_refusal(err) || err == -ERR_READ_ONLY)
        return;
    for (uint16_t i = 0; i < new->shard_count; i++)
        if (new->shards[i].disk != BLOB_DISK_NONE &&
            (other || new->shards[i].disk != old->shards[i].disk))
            needles[n++] = (struct blob_needle){{new->id, i}, new->shards[i].disk};
    if (n > 0)
        blob_delete(s->blob, needles, n);
}

/* ---- one row -------------------------------------------------------------------------------- */

struct pass {
    struct store *store;
    struct bucket_id bucket;
    int (*pace)(uint64_t bytes, void *arg);
    void *arg;
    struct store_repair_result *result; /* the caller's, as it goes */
};

/* A row at hand. */
struct task {
    struct store *store;
    struct store_place place;
    struct str row_key;
    struct chunk_id id;
    bool deep;
    struct arena arena;
    struct blob_chunk chunk; /* as the record has it, in the arena */
};

static int copy_chunk(struct task *t, const struct blob_chunk *from)
{
    t->chunk = *from;
    t->chunk.shards = arena_array(&t->arena, struct blob_shard, from->shard_count + 1);
    if (!t->chunk.shards)
        return -ENOMEM;
    memcpy(t->chunk.shards, from->shards, from->shard_count * sizeof(*from->shards));
    return 0;
}

static int find_tx(struct meta_tx *tx, void *arg)
{
    struct task *t = arg;
    _cleanup_(holder_release) struct holder h = {0};
    arena_reset(&t->arena);
    int r = holder_find(tx, &t->place, t->id, &h);
    return r < 0 ? r : copy_chunk(t, &h.layout->chunks[h.at]);
}

static int drop_tx(struct meta_tx *tx, void *arg)
{
    const struct str *row_key = arg;
    meta_use_reserve(tx);
    return meta_del(tx, *row_key);
}

static int FIBER drop_row(struct task *t)
{
    if (!t->row_key.ptr)
        return 0; /* asked for without one */
    return meta_write(t->store->meta, t->place.bucket, drop_tx, &t->row_key);
}

static int FIBER record_repaired(struct task *t, const struct blob_repaired *r)
{
    struct relayout l = {.store = t->store, .place = &t->place, .old = &t->chunk, .new = &r->chunk};
    if (r->left == 0 || !chunk_id_eq(r->chunk.id, t->chunk.id))
        l.drop = t->row_key;
    int err = meta_write(t->store->meta, t->place.bucket, relayout_tx, &l);
    store_relayout_undo(t->store, &t->chunk, &r->chunk, err);
    return err;
}

/* The chunk that the row names, made whole as far as the disks allow. */
static int FIBER repair_chunk(struct pass *p, struct task *t)
{
    struct blob_repaired r;
    int err = blob_repair(t->store->blob, &t->chunk, t->deep, &t->arena, &r);
    if (err == -ENOMEM || err == -ECANCELED)
        return err;
    if (err) {
        p->result->left++;
        p->result->lost++;
        return 0;
    }
    p->result->bytes += r.written_bytes;
    if (r.changed)
        err = record_repaired(t, &r);
    else if (r.left == 0 && !blob_wants_repair(t->store->blob, &t->chunk))
        return drop_row(t);
    if (err == -ERR_CONFLICT)
        return 0; /* the next pass finds out whether anything names it still */
    p->result->repaired += err == 0 && r.changed;
    p->result->left += r.left > 0 || !r.changed;
    return err ? err : p->pace ? p->pace(r.written_bytes, p->arg) : 0;
}

static int FIBER repair_found(struct pass *p, struct task *t)
{
    struct store *s = p->store;
    struct pin pin = pins_enter(&s->pins);
    int r = meta_read(s->meta, p->bucket, find_tx, t);
    if (r == -ERR_NOT_FOUND)
        r = drop_row(t);
    else if (r == -ERR_CORRUPT)
        p->result->left++, r = 0;
    else if (r == 0)
        r = repair_chunk(p, t);
    pins_leave(&s->pins, &pin);
    return r;
}

static struct chunk_id *find_move(struct store *s, struct chunk_id id)
{
    for (unsigned i = 0; i < STORE_MOVES_MAX; i++)
        if (chunk_id_eq(s->moves[i], id))
            return &s->moves[i];
    return NULL;
}

bool store_moves(struct store *s, struct chunk_id id)
{
    return find_move(s, id) != NULL;
}

static int enter_moves(struct store *s, struct chunk_id id)
{
    rt_lock(&s->moves_lock);
    struct chunk_id *free_place = find_move(s, (struct chunk_id){0, 0});
    bool taken = !free_place || find_move(s, id) || gc_has_moved(&s->batch, id);
    int r = taken ? -ERR_CONFLICT : 0;
    if (r == 0)
        *free_place = id;
    rt_unlock(&s->moves_lock);
    return r;
}

int store_moving_begin(struct store *s, struct chunk_id id)
{
    int r = enter_moves(s, id);
    if (r < 0)
        return r;
    __atomic_fetch_add(&s->moving, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&s->sweeping, __ATOMIC_SEQ_CST) || PLANTED(SWEEP_BESIDE_MOVES))
        return 0;
    store_moving_end(s, id);
    return -ERR_BUSY;
}

void store_moving_end(struct store *s, struct chunk_id id)
{
    __atomic_fetch_sub(&s->moving, 1, __ATOMIC_SEQ_CST);
    rt_lock(&s->moves_lock);
    *find_move(s, id) = (struct chunk_id){0, 0};
    rt_unlock(&s->moves_lock);
}

/* A chunk that somebody else moves is for the next pass. */
static int FIBER repair_task(struct pass *p, struct task *t)
{
    int r = store_moving_begin(p->store, t->id);
    if (r == -ERR_CONFLICT) {
        p->result->left++;
        return 0;
    }
    if (r < 0)
        return r;
    arena_init(&t->arena, FOUND_ARENA);
    r = repair_found(p, t);
    arena_release(&t->arena);
    store_moving_end(p->store, t->id);
    return r;
}

static int FIBER repair_row(struct str key, struct str value, void *arg)
{
    struct pass *p = arg;
    struct task t = {.store = p->store, .row_key = key};
    struct repair_row row;
    uint8_t priority;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    int r = key_parse_repair(key, &priority, &t.id);
    if (r == 0)
        r = repair_row_decode(value, &a, &row);
    p->result->rows++;
    if (r < 0)
        return r == -ERR_CORRUPT ? 0 : r; /* the check tells of it */
    t.place = (struct store_place){p->bucket, row.key, row.upload, row.part, row.seq};
    t.deep = row.deep;
    return repair_task(p, &t);
}

/* ---- the pass: the most endangered of all buckets first -------------------------------------- */

#define PRIORITIES 256

/* A bucket, and the priority of the first row that is left to look at; PRIORITIES: none is. */
struct endangered {
    struct bucket_id bucket;
    unsigned from; /* where to look, for endangered_tx, which may run more than once */
    unsigned priority;
};

static int endangered_tx(struct meta_tx *tx, void *arg)
{
    struct endangered *e = arg;
    char from[2] = {KEY_REPAIRS.ptr[0], (char)e->from};
    struct meta_cursor *c;
    int r = meta_cursor_open(tx, KEY_REPAIRS, &c);
    if (r < 0)
        return r;
    r = meta_cursor_seek(c, str_make(from, sizeof(from)));
    if (r == 0 && meta_cursor_valid(c) && meta_cursor_key(c).len > 1)
        e->priority = (uint8_t)meta_cursor_key(c).ptr[1];
    else
        e->priority = PRIORITIES;
    meta_cursor_close(c);
    return r;
}

static int FIBER find_endangered(struct store *s, struct endangered *e, unsigned from)
{
    e->from = from;
    e->priority = PRIORITIES;
    return from < PRIORITIES ? meta_read(s->meta, e->bucket, endangered_tx, e) : 0;
}

static int FIBER count_row(struct str key, struct str value, void *arg)
{
    struct pass *p = arg;
    p->result->total++;
    return 0;
}

/* The buckets that have rows, and how many rows there are. */
static int FIBER list_endangered(struct pass *p, struct endangered **ret, size_t *ret_count)
{
    struct bucket_ref *buckets;
    size_t count, n = 0;
    int r = buckets_all(&p->store->buckets, &buckets, &count);
    if (r < 0)
        return r;
    struct endangered *list = calloc(count + 1, sizeof(*list));
    r = list ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (buckets[i].dropped)
            continue;
        list[n] = (struct endangered){.bucket = buckets[i].id};
        r = find_endangered(p->store, &list[n], 0);
        if (r == 0 && list[n].priority < PRIORITIES)
            r = walk_rows(p->store, list[n++].bucket, KEY_REPAIRS, count_row, p);
    }
    free(buckets);
    if (r < 0) {
        free(list);
        return r;
    }
    *ret = list;
    *ret_count = n;
    return 0;
}

static int FIBER repair_priority(struct pass *p, struct endangered *e)
{
    char kind[2] = {KEY_REPAIRS.ptr[0], (char)e->priority};
    p->bucket = e->bucket;
    int r = walk_rows(p->store, e->bucket, str_make(kind, sizeof(kind)), repair_row, p);
    return r ? r : find_endangered(p->store, e, e->priority + 1);
}

int FIBER store_repair(struct store *s, int (*pace)(uint64_t bytes, void *arg), void *arg,
                       struct store_repair_result *ret)
{
    struct pass p = {.store = s, .pace = pace, .arg = arg, .result = ret};
    struct endangered *list;
    size_t count;
    *ret = (struct store_repair_result){.rows = 0};
    int r = list_endangered(&p, &list, &count);
    if (r < 0)
        return r;
    for (unsigned next = 0; r == 0 && next < PRIORITIES;) {
        unsigned now = next;
        next = PRIORITIES;
        for (size_t i = 0; r == 0 && i < count; i++) {
            if (list[i].priority == now)
                r = repair_priority(&p, &list[i]);
            next = MIN(next, list[i].priority);
        }
    }
    free(list);
    return r;
}

int FIBER store_repair_one(struct store *s, const struct store_place *place, struct chunk_id id,
                           struct store_repair_result *ret)
{
    struct pass p = {.store = s, .bucket = place->bucket, .result = ret};
    struct task t = {.store = s, .place = *place, .id = id, .deep = true};
    *ret = (struct store_repair_result){.rows = 1, .total = 1};
    return repair_task(&p, &t);
}

/* ---- queueing ------------------------------------------------------------------------------- */

struct queue {
    struct store *store;
    const struct store_place *place;
    struct chunk_id only; /* session 0: every chunk that wants repair */
    bool deep;
    uint64_t queued;
};

static int queue_tx(struct meta_tx *tx, void *arg)
{
    struct queue *q = arg;
    const struct store_place *p = q->place;
    _cleanup_(holder_release) struct holder h = {0};
    struct repair_row row = {p->key, p->upload, p->part, p->seq, q->deep};
    q->queued = 0;
    int r = config_row_test(tx);
    if (r == 0)
        r = holder_find(tx, p, q->only, &h);
    if (r < 0)
        return r == -ERR_NOT_FOUND || r == -ERR_NO_SUCH_BUCKET ? 0 : r;
    q->queued = 1;
    return repair_row_put(tx, priority_of(q->store, &h.layout->chunks[h.at], q->deep), q->only,
                          &row);
}

int FIBER store_repair_queue(struct store *s, const struct store_place *place,
                             struct chunk_id chunk, bool deep)
{
    struct queue q = {.store = s, .place = place, .only = chunk, .deep = deep};
    int r = meta_write(s->meta, place->bucket, queue_tx, &q);
    if (r == 0)
        __atomic_fetch_add(&s->repairs_queued, q.queued, __ATOMIC_RELAXED);
    return r;
}

/* ---- the scan ------------------------------------------------------------------------------- */

struct scan {
    struct store *store;
    struct bucket_id bucket;
    int (*pace)(uint64_t rows, void *arg);
    void *arg;
    uint64_t chunks;
};

/* The row was copied from a snapshot; store_repair_queue looks whether it is so still. */
static int FIBER scan_layout(struct scan *c, const struct store_place *place,
                             const struct blob_layout *layout)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < layout->count; i++) {
        if (!blob_wants_repair(c->store->blob, &layout->chunks[i]))
            continue;
        c->chunks++;
        r = store_repair_queue(c->store, place, layout->chunks[i].id, false);
    }
    return r == 0 && c->pace ? c->pace(1, c->arg) : r;
}

static int FIBER scan_record(struct scan *c, struct str key, struct str value)
{
    struct head head;
    struct store_place place = {.bucket = c->bucket, .key = key};
    int r = head_decode(value, &head);
    if (r < 0 || !head.chunked)
        return r == -ERR_CORRUPT ? 0 : r; /* the check tells of it */
    _cleanup_record_ struct record *record = NULL;
    r = record_decode(c->bucket, place.key, value, &record);
    if (r < 0)
        return r == -ERR_CORRUPT ? 0 : r;
    place.seq = record->object.seq;
    return scan_layout(c, &place, &record->layout);
}

static int FIBER scan_object(struct str row, struct str value, void *arg)
{
    return scan_record(arg, str_from_offset(row, KEY_OBJECTS.len), value);
}

static int FIBER scan_version(struct str row, struct str value, void *arg)
{
    char key[STORE_KEY_MAX];
    size_t len;
    uint64_t seq;
    int r = key_parse_version(row, key, &len, &seq);
    return r < 0 ? 0 : scan_record(arg, str_make(key, len), value);
}

static int FIBER scan_upload_parts(struct scan *c, struct str key, struct str upload);

static int FIBER scan_upload(struct str row, struct str value, void *arg)
{
    char key[STORE_KEY_MAX];
    size_t len;
    struct str upload;
    int r = key_parse_upload(row, key, &len, &upload);
    return r < 0 ? 0 : scan_upload_parts(arg, str_make(key, len), upload);
}

struct scan_part {
    struct scan *scan;
    struct str key;
};

static int FIBER scan_one_part(struct str row, struct str value, void *arg)
{
    struct scan_part *p = arg;
    struct store_place place = {.bucket = p->scan->bucket, .key = p->key};
    struct part_row part;
    uint64_t attempt;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    int r = key_parse_part(row, &place.upload, &place.part, &attempt);
    if (r == 0)
        r = part_row_decode(value, &a, &part);
    if (r < 0)
        return r == -ERR_CORRUPT ? 0 : r;
    return scan_layout(p->scan, &place, &part.layout);
}

static int FIBER scan_upload_parts(struct scan *c, struct str key, struct str upload)
{
    struct scan_part p = {c, key};
    struct key_buf k;
    return walk_rows(c->store, c->bucket, key_parts(&k, upload), scan_one_part, &p);
}

int FIBER store_repair_scan(struct store *s, int (*pace)(uint64_t rows, void *arg), void *arg,
                            uint64_t *ret_chunks)
{
    struct scan c = {.store = s, .pace = pace, .arg = arg};
    struct bucket_ref *buckets;
    size_t count;
    int r = buckets_all(&s->buckets, &buckets, &count);
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < count; i++) {
        c.bucket = buckets[i].id;
        if (buckets[i].dropped)
            continue;
        r = walk_rows(s, c.bucket, KEY_UPLOADS, scan_upload, &c);
        if (r == 0)
            r = walk_rows(s, c.bucket, KEY_OBJECTS, scan_object, &c);
        if (r == 0)
            r = walk_rows(s, c.bucket, KEY_VERSIONS, scan_version, &c);
    }
    free(buckets);
    *ret_chunks = c.chunks;
    return r;
}
