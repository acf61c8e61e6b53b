/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Garbage collection. A round
 *
 *   gathers   due garbage rows of one bucket, from a snapshot: they are committed
 *   turns     the pins' phase: whoever pins from here on finds none of the records that held them
 *   waits     (perhaps over several rounds) until every earlier pin is gone
 *   re-checks that the object each row names does not hold those chunks after all
 *   deletes   the chunks, durably, and only then
 *   drops     the rows; a crash before leaves them, and deleting again does no harm
 *
 * A row that fails the re-check goes without its chunks and is counted: something is wrong, and
 * keeping bytes is the safe side (what is orphaned so is left to the sweep). Only of shards that
 * were moved it says no more than that they came back, or that their object has another name now.
 * Buckets that were deleted are emptied here as well, step by step (drain.c).
 */

#include "base/plant.h"
#include "store/internal.h"

#define BUCKETS_A_ROUND   64
#define DELETE_SLICE      1024         /* needles a blob_delete */
#define READERS_RETRY_NS  (50 * RT_MS) /* before a phase is looked at again */
#define IDLE_RETRY_NS     (1 * RT_S)   /* before buckets without due rows are */
#define GARBAGE_KEY_BYTES 25

struct gc_item {
    char row_key[GARBAGE_KEY_BYTES];
    struct garbage_row row;
    bool refused;
    bool later; /* its chunk is on the move: the row stays */
};

/* ---- gathering ------------------------------------------------------------------------------ */

struct gather {
    struct gc_batch *batch;
    size_t max_chunks;
    uint64_t now_ms, delay_ms;
    size_t chunks, cap;
    uint64_t next_due_ms; /* of the rows not due yet; UINT64_MAX: none */
    uint64_t damaged;
};

/* Due, or dated further ahead than any row can be: then the clock was wrong when it was written. */
static bool is_due(const struct gather *g, uint64_t due_ms)
{
    return due_ms <= g->now_ms || due_ms > g->now_ms + g->delay_ms;
}

static struct gc_item *new_item(struct gather *g)
{
    struct gc_batch *b = g->batch;
    if (b->count == g->cap) {
        size_t cap = MAX(2 * g->cap, (size_t)64);
        struct gc_item *items = arena_array(&b->arena, struct gc_item, cap);
        if (!items)
            return NULL;
        if (b->count)
            memcpy(items, b->items, b->count * sizeof(*items));
        b->items = items;
        g->cap = cap;
    }
    return &b->items[b->count];
}

static int gather_row(struct gather *g, struct str key, struct str value)
{
    uint64_t due_ms;
    struct chunk_id first;
    struct gc_item *item = new_item(g);
    if (!item)
        return -ENOMEM;
    int r = key_parse_garbage(key, &due_ms, &first);
    if (r == 0 && !is_due(g, due_ms)) {
        g->next_due_ms = MIN(g->next_due_ms, due_ms);
        return 0;
    }
    struct str copy = arena_dup(&g->batch->arena, value);
    if (!copy.ptr)
        return -ENOMEM;
    if (r == 0)
        r = garbage_row_decode(copy, &g->batch->arena, &item->row);
    if (r == -ERR_CORRUPT) {
        g->damaged++;
        return 0;
    }
    if (r < 0)
        return r;
    memcpy(item->row_key, key.ptr, sizeof(item->row_key));
    item->refused = item->later = false;
    g->batch->count++;
    g->chunks += item->row.count;
    return 0;
}

static int gather_tx(struct meta_tx *tx, void *arg)
{
    struct gather *g = arg;
    struct meta_cursor *c;
    arena_reset(&g->batch->arena);
    g->batch->items = NULL;
    g->batch->count = g->chunks = g->cap = g->damaged = 0;
    g->next_due_ms = UINT64_MAX;
    int r = meta_cursor_open(tx, KEY_GARBAGE, &c);
    if (r < 0)
        return r;
    r = meta_cursor_seek(c, KEY_GARBAGE);
    while (r == 0 && meta_cursor_valid(c) && g->chunks < g->max_chunks) {
        r = gather_row(g, meta_cursor_key(c), meta_cursor_value(c));
        if (r == 0)
            r = meta_cursor_next(c);
    }
    meta_cursor_close(c);
    return r;
}

/* What is left to do in a bucket without due rows: nothing, or another step of emptying it. */
static int FIBER settle_bucket(struct store *s, const struct bucket_ref *b, uint64_t turn,
                               const struct gather *g)
{
    if (g->next_due_ms != UINT64_MAX)
        return 0;
    if (!b->dropped) {
        __atomic_fetch_add(&s->gc_refused, g->damaged, __ATOMIC_RELAXED);
        buckets_clean(&s->buckets, b->id, turn);
        return 0;
    }
    bool done = false;
    int r = bucket_drain(s, b->id, &done);
    if (r < 0)
        return r;
    if (done)
        buckets_forget(&s->buckets, b->id);
    return 0;
}

/* Fills the batch from the first dirty bucket that has due rows. */
static int FIBER gather(struct store *s, size_t max_chunks)
{
    struct gather g = {.batch = &s->batch, .max_chunks = max_chunks, .delay_ms = s->gc_delay_ms};
    g.now_ms = rt_wall_ms();
    uint64_t next_due_ms = UINT64_MAX;
    struct bucket_ref b, first = {0};
    uint64_t turn;
    bool all = false;
    for (unsigned i = 0; i < BUCKETS_A_ROUND && !all; i++) {
        all = !buckets_next_dirty(&s->buckets, &b, &turn) || b.id.n == first.id.n;
        if (all)
            break;
        if (first.id.n == 0)
            first = b;
        int r = meta_read(s->meta, b.id, gather_tx, &g);
        if (r < 0)
            return r;
        if (s->batch.count) {
            s->batch.bucket = b.id;
            return 0;
        }
        next_due_ms = MIN(next_due_ms, g.next_due_ms);
        r = settle_bucket(s, &b, turn, &g);
        if (r < 0)
            return r;
    }
    if (all) {
        uint64_t wait_ns =
            next_due_ms == UINT64_MAX ? IDLE_RETRY_NS : (next_due_ms - g.now_ms) * RT_MS;
        buckets_set_not_before(&s->buckets, rt_now() + wait_ns);
    }
    return 0;
}

/* ---- re-checking ---------------------------------------------------------------------------- */

static int by_id(const void *x, const void *y)
{
    const struct chunk_id *a = x, *b = y;
    if (a->session != b->session)
        return a->session < b->session ? -1 : 1;
    return a->counter < b->counter ? -1 : a->counter > b->counter;
}

/* Whether the chunk has one of the row's shards where the row says: it came back. */
static bool chunk_has_any(const struct blob_chunk *c, const struct garbage_row *row)
{
    for (size_t i = 0; i < row->needle_count; i++) {
        const struct blob_needle *n = &row->needles[i];
        if (n->key.shard < c->shard_count && c->shards[n->key.shard].disk == n->disk)
            return true;
    }
    return false;
}

/* An object that was renamed may have them under its new name, which the row does not tell. */
static int recheck_lost(struct meta_tx *tx, struct gc_item *item)
{
    struct config_row config;
    int r = config_row_get(tx, &config);
    item->refused = r == 0 && config.renamed;
    return r == -ERR_NO_SUCH_BUCKET ? 0 : r;
}

/* Its record, an object's or still a part's, may have been changed again. */
static int recheck_moved(struct meta_tx *tx, struct bucket_id b, struct gc_item *item)
{
    const struct garbage_row *row = &item->row;
    struct store_place place = {b, row->key, row->upload, row->part, row->seq};
    struct blob_chunk chunk;
    int r = place_chunk(tx, &place, row->chunks[0], &chunk);
    if (r == 0)
        item->refused = chunk_has_any(&chunk, row);
    else if (r == -ERR_NOT_FOUND)
        return recheck_lost(tx, item);
    else if (r == -ERR_CORRUPT)
        item->refused = true; /* what cannot be read may hold them */
    return r == -ERR_CORRUPT ? 0 : r;
}

/* Sorts the row's chunks: the order in which they are deleted is free. */
static bool holds_any(const struct record *r, struct garbage_row *row)
{
    qsort(row->chunks, row->count, sizeof(*row->chunks), by_id);
    for (size_t i = 0; i < r->layout.count; i++)
        if (bsearch(&r->layout.chunks[i].id, row->chunks, row->count, sizeof(*row->chunks), by_id))
            return true;
    return false;
}

static int recheck_row(struct meta_tx *tx, struct bucket_id b, struct gc_item *item, struct str row)
{
    struct str value;
    struct head head;
    int r = meta_get(tx, row, &value);
    if (r == -ERR_NOT_FOUND)
        return 0;
    if (r == 0)
        r = head_decode(value, &head);
    if (r == 0 && !head.chunked)
        return 0;
    _cleanup_record_ struct record *record = NULL;
    if (r == 0)
        r = record_decode(b, item->row.key, value, &record);
    if (r == 0)
        item->refused = item->refused || holds_any(record, &item->row);
    else if (r == -ERR_CORRUPT)
        item->refused = true; /* what cannot be read may hold them */
    return r == -ERR_CORRUPT ? 0 : r;
}

/* The current object, and the version that held them. */
static int recheck(struct meta_tx *tx, struct bucket_id b, struct gc_item *item)
{
    struct key_buf k;
    int r = recheck_row(tx, b, item, key_raw(&k, KEY_OBJECTS, item->row.key));
    if (r == 0 && item->row.seq)
        r = recheck_row(tx, b, item, key_version(&k, item->row.key, item->row.seq));
    return r;
}

static int recheck_tx(struct meta_tx *tx, void *arg)
{
    struct gc_batch *b = arg;
    int r = 0;
    for (size_t i = 0; r == 0 && i < b->count; i++) {
        struct gc_item *item = &b->items[i];
        item->refused = false;
        if (!item->later)
            r = item->row.moved ? recheck_moved(tx, b->bucket, item) : recheck(tx, b->bucket, item);
    }
    return r;
}

/* ---- chunks on the move --------------------------------------------------------------------- */

/*
 * A shard may come back to the disk that it left, under the name that the row has. So between the
 * second look and the deletion none of these chunks begins to move, and one that is on the move has
 * its row wait for another round.
 */
static void batch_claim(struct store *s)
{
    struct gc_batch *b = &s->batch;
    rt_lock(&s->moves_lock);
    for (size_t i = 0; i < b->count; i++)
        b->items[i].later = b->items[i].row.moved && store_moves(s, b->items[i].row.chunks[0]);
    b->claimed = true;
    rt_unlock(&s->moves_lock);
}

static void batch_unclaim(struct store *s)
{
    rt_lock(&s->moves_lock);
    s->batch.claimed = false;
    rt_unlock(&s->moves_lock);
}

bool gc_has_moved(const struct gc_batch *b, struct chunk_id id)
{
    for (size_t i = 0; b->claimed && i < b->count; i++)
        if (b->items[i].row.moved && chunk_id_eq(b->items[i].row.chunks[0], id))
            return true;
    return false;
}

/* ---- deleting ------------------------------------------------------------------------------- */

static int FIBER delete_chunks(struct store *s, const struct gc_batch *b, uint64_t *ret_chunks)
{
    _cleanup_free_ struct blob_needle *needles = malloc(DELETE_SLICE * sizeof(*needles));
    if (!needles)
        return -ENOMEM;
    size_t n = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < b->count; i++) {
        const struct gc_item *item = &b->items[i];
        if (item->refused || item->later)
            continue;
        *ret_chunks += item->row.count;
        for (size_t j = 0; r == 0 && j < item->row.needle_count; j++) {
            needles[n++] = item->row.needles[j];
            if (n == DELETE_SLICE) {
                r = blob_delete(s->blob, needles, n);
                n = 0;
            }
        }
    }
    return r == 0 && n ? blob_delete(s->blob, needles, n) : r;
}

static int drop_rows_tx(struct meta_tx *tx, void *arg)
{
    const struct gc_batch *b = arg;
    int r = 0;
    meta_use_reserve(tx);
    for (size_t i = 0; r == 0 && i < b->count; i++)
        if (!b->items[i].later)
            r = meta_del(tx, str_make(b->items[i].row_key, GARBAGE_KEY_BYTES));
    return r;
}

static void count_batch(struct store *s, const struct gc_batch *b, uint64_t chunks)
{
    uint64_t bytes = 0, refused = 0;
    for (size_t i = 0; i < b->count; i++) {
        if (b->items[i].refused)
            refused += !b->items[i].row.moved;
        else if (!b->items[i].later)
            bytes += b->items[i].row.len_bytes;
    }
    __atomic_fetch_add(&s->gc_chunks, chunks, __ATOMIC_RELAXED);
    __atomic_fetch_add(&s->gc_bytes, bytes, __ATOMIC_RELAXED);
    __atomic_fetch_add(&s->gc_refused, refused, __ATOMIC_RELAXED);
}

static int FIBER collect(struct store *s, uint64_t *ret_chunks)
{
    struct gc_batch *b = &s->batch;
    uint64_t chunks = 0;
    batch_claim(s);
    int r = PLANTED(GC_RECHECK) ? 0 : meta_read(s->meta, b->bucket, recheck_tx, b);
    if (r == 0)
        r = delete_chunks(s, b, &chunks);
    batch_unclaim(s);
    if (r == 0)
        r = meta_write(s->meta, b->bucket, drop_rows_tx, b);
    if (r < 0)
        return r;
    count_batch(s, b, chunks);
    b->count = 0;
    b->items = NULL;
    arena_reset(&b->arena);
    *ret_chunks = chunks;
    return 0;
}

static int FIBER gc_round(struct store *s, size_t max_chunks, uint64_t *ret_chunks)
{
    if (s->batch.count == 0) {
        buckets_set_not_before(&s->buckets, 0);
        int r = gather(s, max_chunks);
        if (r < 0)
            s->batch.count = 0;
        if (s->batch.count == 0)
            return r;
        s->batch.phase = PLANTED(GC_READERS) ? 0 : pins_turn(&s->pins);
    }
    if (pins_open(&s->pins, s->batch.phase) == 0 || PLANTED(GC_READERS))
        return collect(s, ret_chunks);
    buckets_set_not_before(&s->buckets, rt_now() + READERS_RETRY_NS);
    return 0;
}

int FIBER store_gc(struct store *s, size_t max_chunks, uint64_t *ret_chunks)
{
    uint32_t idle = 0;
    if (!__atomic_compare_exchange_n(&s->gc_busy, &idle, 1, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return -ERR_BUSY;
    uint64_t chunks = 0;
    int r = gc_round(s, MAX(max_chunks, (size_t)1), &chunks);
    __atomic_store_n(&s->gc_busy, 0, __ATOMIC_RELEASE);
    if (r == 0)
        *ret_chunks = chunks;
    return r;
}

int FIBER store_gc_wait(struct store *s, uint64_t deadline_ns)
{
    return buckets_wait_dirty(&s->buckets, deadline_ns);
}
