/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Writing a blob. A small one is gathered and appended at the end, each copy by one shared write
 * and sync. A longer one passes through two areas, each with room for one piece of every shard of a
 * chunk (a stripe with its parity, or 512 KiB of each copy): while the caller fills one, fibers
 * write the other to the disks, so that the stream runs at the pace of the slower of the two and
 * not of their sum. Syncs overlap as well: further fibers now and then make stable what a chunk has
 * so far, and commit a finished chunk while the next one is being filled; at the end little is left
 * to wait for. A striped blob whose shards are short is in between: it is gathered and encoded
 * stripe by stripe, and its shards are appended whole, each by one of its disk's shared writes, so
 * that many small files' worth of writes and syncs do not cost what they would one by one.
 *
 * States of a long one: `filling` is the chunk whose bytes are being taken (NULL between two);
 * `writing` the one whose piece is on its way to the disks; `syncing` the one that is being
 * committed. Their fibers belong to the caller's fiber, which starts and joins them. A piece never
 * crosses the end of a chunk.
 *
 * Faults: a shard whose disk fails is dropped and the others go on as long as they could be read. A
 * chunk that ends below its quorum, but can be read, is read back and written anew onto disks that
 * did not fail it; a small blob is tried again likewise.
 */

#include "blob/internal.h"

#define TRIES 3

/* A chunk of the blob and its shards on their way. */
struct chunk {
    struct blob_chunk c; /* its shards are set once it is settled */
    struct lane *lanes;
    bool ended;   /* all its pieces were handed to the lanes */
    bool settled; /* c.shards are what the layout gets */
};

struct blob_writer {
    struct blob *b;
    struct blob_class class;
    uint64_t len_bytes, taken_bytes;
    struct chunk *chunks;
    size_t chunk_count, begun;
    unsigned disks;        /* at the start: a chunk gets no wider code than they allow */
    struct disk_set avoid; /* that failed this blob */
    unsigned depth;        /* of blobs written anew */
    int err;               /* the first that ends it */

    struct area *area[2]; /* one that is gathered has the first only */
    unsigned at;          /* the one being filled */

    /* of a long one */
    struct chunk *filling, *writing, *syncing;
    struct stripe piece; /* of `filling` */
    uint32_t piece_number;
    size_t fill; /* bytes of the blob in it */
    uint64_t unflushed_bytes;
};

static bool is_small(const struct blob_writer *w)
{
    return w->len_bytes < BLOB_SMALL_MAX || (w->disks == 1 && w->len_bytes == BLOB_SMALL_MAX);
}

static unsigned shards_of(const struct blob_chunk *c)
{
    return c->code_k + c->code_m;
}

/* ---- areas ---------------------------------------------------------------------------------- */

/* Its shards are gathered and appended, each by one write. */
static bool is_whole(const struct blob_writer *w, const struct blob_chunk *c)
{
    return w->chunk_count == 1 && chunk_striped(c) && chunk_shard_len(c) <= WHOLE_MAX;
}

/* The room of one shard's piece: what came before it, and the piece. */
static size_t slot_bytes(struct blob_code code)
{
    size_t piece = code.k > 1 ? STRIPE_CELL : BLOB_PIECE_BYTES;
    return align_up(NEEDLE_HEADROOM + piece, RT_DIRECT_ALIGN);
}

/* Enough for a chunk's code with these disks or fewer. */
static size_t area_bytes(struct blob_class class, unsigned disks, uint64_t len)
{
    size_t most = 0;
    for (unsigned n = 1; n <= MIN(disks, (unsigned)BLOB_SHARDS_MAX); n++) {
        struct blob_code code = blob_code_for(class, n, len);
        most = MAX(most, (size_t)(code.k + code.m) * slot_bytes(code));
    }
    return most;
}

static uint8_t *slot(const struct blob_writer *w, unsigned area, const struct blob_chunk *c,
                     unsigned shard)
{
    size_t room = is_whole(w, c) ? DISK_PLACED_ROOM(chunk_shard_len(c))
                                 : slot_bytes((struct blob_code){c->code_k, c->code_m});
    return w->area[area]->bytes + shard * room;
}

/* Where the filled piece's cell of a shard lies. */
static uint8_t *cell(const struct blob_writer *w, unsigned shard)
{
    const struct blob_chunk *c = &w->filling->c;
    uint8_t *first = slot(w, w->at, c, shard) + NEEDLE_HEADROOM;
    return is_whole(w, c) ? first + w->piece.cell_off : first;
}

/* ---- begin ---------------------------------------------------------------------------------- */

/* A lane that failed while the others went on has its needle begun still. */
static void FIBER lanes_release(struct chunk *k)
{
    for (unsigned i = 0; k->lanes && i < shards_of(&k->c); i++)
        lane_abort(&k->lanes[i]);
    free(TAKE_PTR(k->lanes));
}

static void FIBER writer_free(struct blob_writer *w)
{
    for (size_t i = 0; i < w->begun; i++)
        lanes_release(&w->chunks[i]);
    area_unref(w->area[0]);
    area_unref(w->area[1]);
    free(w->chunks);
    free(w);
}

static bool small_area_new(struct blob_writer *w)
{
    w->area[0] = area_new(&w->b->pool, MAX(w->len_bytes, UINT64_C(1)));
    return w->area[0] != NULL;
}

/* For all chunks of a blob that is not small, once its first has its code. */
static int areas_new(struct blob_writer *w, const struct blob_chunk *c)
{
    bool whole = is_whole(w, c);
    size_t size = whole ? c->shard_count * DISK_PLACED_ROOM(chunk_shard_len(c))
                        : area_bytes(w->class, w->disks, w->len_bytes);
    w->area[0] = area_new(&w->b->pool, size);
    w->area[1] = whole ? NULL : area_new(&w->b->pool, size);
    return w->area[0] && (whole || w->area[1]) ? 0 : -ENOMEM;
}

/* One that a hanging write still uses is left to it. */
static int area_renew(struct blob_writer *w, unsigned area)
{
    if (w->area[area]->refs == 1)
        return 0;
    struct area *fresh = area_new(&w->b->pool, area_bytes(w->class, w->disks, w->len_bytes));
    if (!fresh)
        return -ENOMEM;
    area_unref(w->area[area]);
    w->area[area] = fresh;
    return 0;
}

static int FIBER writer_new(struct blob *b, struct blob_class class, uint64_t len_bytes,
                            const struct disk_set *avoid, struct blob_writer **ret)
{
    struct blob_writer *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->b = b;
    w->class = class;
    w->len_bytes = len_bytes;
    w->avoid = *avoid;
    w->disks = blob_place_count(b, avoid);
    w->chunk_count = (len_bytes + BLOB_CHUNK_MAX - 1) / BLOB_CHUNK_MAX;
    w->chunks = calloc(w->chunk_count + 1, sizeof(*w->chunks));
    int err = w->disks == 0 ? -ERR_DISK_GONE : 0;
    if (err == 0 && (!w->chunks || (is_small(w) && !small_area_new(w))))
        err = -ENOMEM;
    if (err)
        writer_free(w);
    else
        *ret = w;
    return err;
}

/* What each disk can expect to get of the blob; those without room for it are avoided. */
static int FIBER room_check(struct blob *b, struct blob_class class, uint64_t len_bytes,
                            struct disk_set *avoid)
{
    unsigned disks = blob_place_count(b, avoid);
    struct blob_code code = blob_code_for(class, disks, len_bytes);
    uint64_t share = len_bytes / code.k * (code.k + code.m) / MAX(disks, 1u);
    int err = 0;
    for (uint32_t i = 0; i < nodes_count(b->nodes); i++) {
        struct node *n = nodes_get(b->nodes, i);
        int r = n && node_role(n) == NODE_ACTIVE && node_state(n) != NODE_GONE ? node_room(n, share)
                                                                               : 0;
        if (r == -ENOSPC || r == -ERR_FULL) {
            disk_set_add(avoid, i);
            err = r;
        }
    }
    return err && blob_place_count(b, avoid) == 0 ? err : 0;
}

static int FIBER begin(struct blob *b, struct blob_class class, uint64_t len_bytes,
                       struct disk_set *avoid, struct blob_writer **ret)
{
    int err = len_bytes > BLOB_SMALL_MAX ? room_check(b, class, len_bytes, avoid) : 0;
    return err ? err : writer_new(b, class, len_bytes, avoid, ret);
}

int FIBER blob_begin(struct blob *b, struct blob_class class, uint64_t len_bytes,
                     struct blob_writer **ret)
{
    struct disk_set avoid = {0};
    CHECK(blob_class_is_valid(class));
    return begin(b, class, len_bytes, &avoid, ret);
}

/* ---- chunks --------------------------------------------------------------------------------- */

/* Gives the chunk an id, a code and its places. */
static int FIBER chunk_place(struct blob_writer *w, struct chunk *k, uint64_t len_bytes)
{
    uint32_t disks[BLOB_SHARDS_MAX];
    lanes_release(k); /* of a try before */
    uint64_t epoch = blob_epoch(w->b);
    unsigned count = MIN(blob_place_count(w->b, &w->avoid), w->disks);
    struct blob_code code = blob_code_for(w->class, count, len_bytes);
    k->c = (struct blob_chunk){
        .id.session = w->b->session,
        .id.counter = __atomic_add_fetch(&w->b->counter, 1, __ATOMIC_RELAXED),
        .len_bytes = len_bytes,
        .code_k = code.k,
        .code_m = code.m,
        .shard_count = code.k + code.m,
        .class = w->class,
    };
    rt_random(&k->c.encode_id, sizeof(k->c.encode_id));
    struct blob_around around = {.avoid = w->avoid};
    /* A disk may have gone since they were counted. */
    if (count == 0 || blob_place(w->b, k->c.id, &around, code, disks) < (unsigned)code.k + code.m)
        return -ERR_DISK_GONE;
    k->lanes = calloc(k->c.shard_count, sizeof(*k->lanes));
    if (!k->lanes)
        return -ENOMEM;
    for (uint16_t i = 0; i < k->c.shard_count; i++)
        lane_init(&k->lanes[i], w->b, epoch, &k->c, i, disks[i]);
    return 0;
}

static int FIBER chunk_next(struct blob_writer *w, struct chunk **ret)
{
    CHECK(w->begun < w->chunk_count);
    uint64_t done = w->begun * BLOB_CHUNK_MAX;
    struct chunk *k = &w->chunks[w->begun++];
    *ret = k;
    int err = chunk_place(w, k, MIN(BLOB_CHUNK_MAX, w->len_bytes - done));
    return err || w->area[0] ? err : areas_new(w, &k->c);
}

/* Later chunks go elsewhere. */
static void avoid_failed(struct blob_writer *w, const struct chunk *k)
{
    for (unsigned i = 0; i < shards_of(&k->c); i++)
        if (k->lanes[i].err)
            disk_set_add(&w->avoid, k->lanes[i].shard.disk);
}

static void count_lost(struct blob_writer *w, const struct chunk *k)
{
    unsigned count = shards_of(&k->c);
    blob_count(&w->b->stats.lost_writes, count - lanes_durable(k->lanes, count));
}

static bool has_quorum(const struct chunk *k)
{
    struct blob_code code = {k->c.code_k, k->c.code_m};
    if (PLANTED(QUORUM))
        return lanes_durable(k->lanes, shards_of(&k->c)) >= code.k;
    return lanes_durable(k->lanes, shards_of(&k->c)) >= blob_quorum(code);
}

/* The shards of the layout: what is not durable is nowhere. */
static int chunk_settle(struct chunk *k, struct arena *a)
{
    k->c.shards = arena_array(a, struct blob_shard, k->c.shard_count);
    if (!k->c.shards)
        return -ENOMEM;
    for (unsigned i = 0; i < k->c.shard_count; i++)
        k->c.shards[i] =
            k->lanes[i].durable ? k->lanes[i].shard : (struct blob_shard){.disk = BLOB_DISK_NONE};
    k->settled = true;
    return 0;
}

/* When this fails, the sweep after the next start finds them. */
static void FIBER chunk_delete(struct blob_writer *w, const struct chunk *k)
{
    struct blob_needle needles[BLOB_SHARDS_MAX];
    size_t n = 0;
    for (unsigned i = 0; k->lanes && i < shards_of(&k->c); i++)
        if (k->lanes[i].durable)
            needles[n++] = (struct blob_needle){k->lanes[i].key, k->lanes[i].shard.disk};
    if (n > 0)
        blob_delete(w->b, needles, n);
}

/* ---- pieces of a long blob ------------------------------------------------------------------ */

static void FIBER chunk_wait_syncs(struct chunk *k)
{
    if (k && k->lanes)
        lanes_wait(k->lanes, shards_of(&k->c), LANE_SYNC, k->c.code_k);
}

/* Waits for the piece on its way; what it allows or asks for: a commit at the end of a chunk, now
 * and then a sync. */
static void FIBER writing_settle(struct blob_writer *w)
{
    struct chunk *k = TAKE_PTR(w->writing);
    if (!k)
        return;
    unsigned count = shards_of(&k->c);
    bool idle = true;
    lanes_wait(k->lanes, count, LANE_WRITE, k->c.code_k);
    for (unsigned i = 0; i < count; i++)
        idle = idle && !lane_syncing(&k->lanes[i]);
    if (lanes_alive(k->lanes, count) < k->c.code_k) {
        w->err = w->err ? w->err : lanes_error(k->lanes, count);
        return;
    }
    if (is_whole(w, &k->c))
        return;
    if (k->ended) {
        chunk_wait_syncs(w->syncing);
        chunk_wait_syncs(k);
        w->syncing = k;
    } else if (!idle || w->unflushed_bytes < BLOB_FLUSH_BYTES) {
        return;
    }
    avoid_failed(w, k);
    for (unsigned i = 0; i < count; i++)
        lane_sync(&k->lanes[i], k->ended);
    w->unflushed_bytes = 0;
}

/* The other shards' cells of the filled piece. */
static int piece_encode(struct blob_writer *w)
{
    const struct blob_chunk *c = &w->filling->c;
    const struct stripe *p = &w->piece;
    void *cells[BLOB_SHARDS_MAX];
    for (unsigned i = 0; i < c->shard_count; i++)
        cells[i] = cell(w, i);
    if (!chunk_striped(c)) {
        for (unsigned i = 1; i < c->shard_count; i++)
            memcpy(cells[i], cells[0], p->cell_len);
        return 0;
    }
    for (unsigned i = 0; i < c->code_k; i++) {
        uint32_t used = stripe_cell_data(p, i);
        memset((uint8_t *)cells[i] + used, 0, p->cell_len - used);
    }
    const struct ec *ec = blob_ec(w->b, c->code_k, c->code_m);
    return ec ? ec_encode(ec, (const void *const *)cells, cells + c->code_k, p->cell_len) : -ENOMEM;
}

/* The filled piece's shards, once the piece before has arrived. */
static void FIBER push_pieces(struct blob_writer *w, struct chunk *k, bool last)
{
    for (unsigned i = 0; i < k->c.shard_count; i++) {
        struct lane *l = &k->lanes[i];
        lane_write(l, w->area[w->at], slot(w, w->at, &k->c, i), w->piece.cell_len, last);
        if (!last)
            lane_carry(l, slot(w, !w->at, &k->c, i));
    }
    w->writing = k;
    w->unflushed_bytes += w->fill;
    w->at = !w->at;
}

/* With the last piece all are there. */
static void FIBER push_whole(struct blob_writer *w, struct chunk *k, bool last)
{
    if (!last)
        return;
    for (unsigned i = 0; i < k->c.shard_count; i++)
        lane_append_placed(&k->lanes[i], w->area[0], slot(w, 0, &k->c, i));
    w->writing = k;
}

/* Sends the filled piece on its way. */
static int FIBER push(struct blob_writer *w)
{
    struct chunk *k = w->filling;
    bool whole = is_whole(w, &k->c);
    writing_settle(w);
    if (w->err == 0 && !whole)
        w->err = area_renew(w, !w->at);
    if (w->err == 0)
        w->err = piece_encode(w);
    if (w->err)
        return w->err;
    bool last = w->piece_number + 1 == chunk_piece_count(&k->c);
    if (whole)
        push_whole(w, k, last);
    else
        push_pieces(w, k, last);
    w->fill = 0;
    k->ended = last;
    w->filling = last ? NULL : k;
    w->piece_number++;
    if (!last)
        w->piece = chunk_piece(&k->c, w->piece_number);
    return 0;
}

/* ---- write ---------------------------------------------------------------------------------- */

static size_t take_small(struct blob_writer *w, const void *data, size_t len)
{
    memcpy(w->area[0]->bytes + w->fill, data, len);
    w->fill += len;
    return len;
}

/* What fits into the cell at hand; sends a full piece on its way. */
static size_t FIBER take(struct blob_writer *w, const void *data, size_t len)
{
    if (!w->filling) {
        w->err = chunk_next(w, &w->filling);
        if (w->err)
            return 0;
        w->piece_number = 0;
        w->piece = chunk_piece(&w->filling->c, 0);
    }
    size_t shard = w->fill / w->piece.cell_len, off = w->fill % w->piece.cell_len;
    size_t n = MIN(MIN(len, w->piece.cell_len - off), w->piece.data_len - w->fill);
    memcpy(cell(w, (unsigned)shard) + off, data, n);
    w->fill += n;
    if (w->fill == w->piece.data_len)
        push(w);
    return n;
}

int FIBER blob_write(struct blob_writer *w, const void *data, size_t len)
{
    CHECK(len <= w->len_bytes - w->taken_bytes);
    const uint8_t *p = data;
    while (len > 0 && w->err == 0) {
        size_t n = is_small(w) ? take_small(w, p, len) : take(w, p, len);
        w->taken_bytes += n;
        p += n;
        len -= n;
    }
    return w->err;
}

/* ---- finish --------------------------------------------------------------------------------- */

static void FIBER append_copies(struct blob_writer *w, struct chunk *k)
{
    unsigned count = k->c.shard_count;
    for (unsigned i = 0; i < count; i++)
        lane_append(&k->lanes[i], w->area[0], count == 1);
    lanes_wait(k->lanes, count, LANE_WRITE, k->c.code_k);
}

static int FIBER finish_small(struct blob_writer *w, struct arena *a)
{
    if (w->len_bytes == 0)
        return 0;
    struct chunk *k = &w->chunks[0];
    int failed = 0;
    w->begun = 1;
    for (unsigned i = 0; i < TRIES; i++) {
        int err = chunk_place(w, k, w->len_bytes);
        if (err)
            return failed ? failed : err;
        append_copies(w, k);
        avoid_failed(w, k);
        count_lost(w, k);
        if (has_quorum(k))
            return chunk_settle(k, a);
        failed = lanes_error(k->lanes, k->c.shard_count);
        chunk_delete(w, k);
        for (unsigned j = 0; j < k->c.shard_count; j++)
            k->lanes[j].durable = false;
    }
    return failed;
}

/* Waits for all that is under way, but for what hangs. */
static void FIBER settle(struct blob_writer *w)
{
    for (size_t i = 0; i < w->begun; i++) {
        struct chunk *k = &w->chunks[i];
        if (k->lanes)
            lanes_wait(k->lanes, shards_of(&k->c), LANE_WRITE, k->c.code_k);
        chunk_wait_syncs(k);
    }
}

static int FIBER write_sink(const void *data, size_t len, void *arg)
{
    return blob_write(arg, data, len);
}

/* Too few of its shards became durable, but enough to read it: it is written anew elsewhere. */
static int FIBER chunk_rewrite(struct blob_writer *w, struct chunk *k, struct arena *a)
{
    struct blob_layout old = {&k->c, 1, k->c.len_bytes}, new;
    struct blob_writer *again;
    int err = w->depth + 1 < TRIES ? begin(w->b, w->class, k->c.len_bytes, &w->avoid, &again)
                                   : lanes_error(k->lanes, k->c.shard_count);
    if (err)
        return err;
    again->depth = w->depth + 1;
    err = blob_read(w->b, &old, 0, old.len_bytes, write_sink, again, NULL);
    if (err) {
        blob_abort(again);
        return err;
    }
    err = blob_finish(again, a, &new);
    if (err)
        return err;
    chunk_delete(w, k);
    lanes_release(k);
    k->c = new.chunks[0];
    blob_count(&w->b->stats.reencoded, 1);
    return 0;
}

static int FIBER chunk_finish(struct blob_writer *w, struct chunk *k, struct arena *a)
{
    unsigned count = k->c.shard_count;
    avoid_failed(w, k);
    count_lost(w, k);
    int err = chunk_settle(k, a);
    if (err || has_quorum(k))
        return err;
    if (lanes_durable(k->lanes, count) < k->c.code_k)
        return lanes_error(k->lanes, count);
    return chunk_rewrite(w, k, a);
}

static int FIBER finish_long(struct blob_writer *w, struct arena *a)
{
    writing_settle(w);
    settle(w);
    int err = w->err;
    for (size_t i = 0; err == 0 && i < w->begun; i++)
        err = chunk_finish(w, &w->chunks[i], a);
    return err;
}

static int layout_make(const struct blob_writer *w, struct arena *a, struct blob_layout *ret)
{
    size_t n = w->chunk_count;
    struct blob_chunk *chunks = arena_array(a, struct blob_chunk, n + 1);
    if (!chunks)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        CHECK(w->chunks[i].settled);
        chunks[i] = w->chunks[i].c;
    }
    *ret = (struct blob_layout){.chunks = chunks, .count = n, .len_bytes = w->len_bytes};
    return 0;
}

int FIBER blob_finish(struct blob_writer *w, struct arena *a, struct blob_layout *ret)
{
    CHECK(w->taken_bytes == w->len_bytes || w->err != 0);
    int err = w->err;
    if (err == 0)
        err = is_small(w) ? finish_small(w, a) : finish_long(w, a);
    if (err == 0)
        err = layout_make(w, a, ret);
    if (err) {
        blob_abort(w);
        return err;
    }
    writer_free(w);
    return 0;
}

/* Chunks that were durable already are deleted at once; if that fails the sweep will find them. */
void FIBER blob_abort(struct blob_writer *w)
{
    if (!w)
        return;
    settle(w);
    for (size_t i = 0; i < w->begun; i++) {
        struct chunk *k = &w->chunks[i];
        chunk_delete(w, k);
        if (!k->lanes && k->settled) /* written anew */
            blob_delete_layout(w->b, &(struct blob_layout){&k->c, 1, k->c.len_bytes});
    }
    writer_free(w);
}
