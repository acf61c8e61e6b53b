/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Writing a blob. A small one is gathered and appended at the end by one shared write and sync. A
 * longer one passes through two buffers: while the caller fills one, a fiber writes the other, so
 * that the stream runs at the pace of the slower of the two and not of their sum. Syncs overlap as
 * well: another fiber now and then makes stable what a chunk has so far, and commits a finished
 * chunk while the next one is being filled; at the end little is left to wait for.
 *
 * States of a long one: `current` is the chunk being filled (NULL between two); `write` and `sync`
 * are the fibers under way, each owned by the caller's fiber, which starts and joins them. A buffer
 * never crosses the end of a chunk; in a chunk's first one the needle's header has room before the
 * bytes, so that all lie in memory as they will in the volume and need not be copied on the way.
 */

#include "blob/internal.h"

static_assert(BLOB_PIECE_BYTES % RT_DIRECT_ALIGN == 0, "a buffer ends where a block does");
static_assert(BLOB_SMALL_MAX <= BLOB_PIECE_BYTES, "a small one is one buffer");
static_assert(BLOB_CHUNK_MAX <= NEEDLE_LEN_MAX, "a chunk is a needle");

/* A chunk of the blob with the one shard that it has for now. */
struct chunk {
    struct blob_chunk c;
    struct blob_shard shard;
    bool durable;
};

struct blob_writer {
    struct blob *b;
    uint64_t len_bytes, taken_bytes;
    struct chunk *chunks;
    size_t chunk_count, begun;

    uint8_t *buf[2]; /* a small blob has one, of its own length */
    unsigned filling;
    size_t fill; /* bytes of the blob in it */

    /* of a long one */
    struct node_writer *current;
    uint64_t current_left_bytes; /* to be handed to it */
    uint64_t unflushed_bytes;
    int err; /* the first that a fiber met */
    struct rt_fiber *write, *sync;
    size_t write_len; /* of the buffer on its way */
    bool write_first; /* it begins a chunk */
    struct node_writer *syncing;
    struct chunk *committing; /* of `syncing`; NULL: only an early sync */
    bool synced;              /* that fiber has ended */
};

static bool is_small(const struct blob_writer *w)
{
    return w->len_bytes <= BLOB_SMALL_MAX;
}

/* ---- begin ---------------------------------------------------------------------------------- */

static void writer_free(struct blob_writer *w)
{
    free(w->buf[0]);
    free(w->buf[1]);
    free(w->chunks);
    free(w);
}

static int writer_new(struct blob *b, uint64_t len_bytes, struct blob_writer **ret)
{
    struct blob_writer *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->b = b;
    w->len_bytes = len_bytes;
    w->chunk_count = (len_bytes + BLOB_CHUNK_MAX - 1) / BLOB_CHUNK_MAX;
    w->chunks = calloc(w->chunk_count + 1, sizeof(*w->chunks));
    bool ok = w->chunks != NULL;
    for (unsigned i = 0; ok && i < (is_small(w) ? 1 : 2); i++) {
        w->buf[i] = is_small(w) ? malloc(MAX(len_bytes, UINT64_C(1)))
                                : aligned_alloc(RT_DIRECT_ALIGN, BLOB_PIECE_BYTES);
        ok = w->buf[i] != NULL;
    }
    if (!ok) {
        writer_free(w);
        return -ENOMEM;
    }
    *ret = w;
    return 0;
}

/* A single disk is asked at once; of several, each has its share of the chunks. */
static int FIBER room_check(struct blob *b, uint64_t len_bytes)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < nodes_count(b->nodes); i++)
        err = node_room(nodes_get(b->nodes, i), len_bytes / nodes_count(b->nodes));
    return err;
}

int FIBER blob_begin(struct blob *b, uint64_t len_bytes, struct blob_writer **ret)
{
    int err = len_bytes > BLOB_SMALL_MAX ? room_check(b, len_bytes) : 0;
    return err ? err : writer_new(b, len_bytes, ret);
}

/* The next chunk gets its id and its place. */
static struct chunk *chunk_next(struct blob_writer *w)
{
    CHECK(w->begun < w->chunk_count);
    struct chunk *k = &w->chunks[w->begun];
    uint64_t done = w->begun * BLOB_CHUNK_MAX;
    k->c = (struct blob_chunk){
        .id.session = w->b->session,
        .id.counter = __atomic_add_fetch(&w->b->counter, 1, __ATOMIC_RELAXED),
        .len_bytes = MIN(BLOB_CHUNK_MAX, w->len_bytes - done),
        .code_k = 1,
        .shard_count = 1,
    };
    rt_random(&k->c.encode_id, sizeof(k->c.encode_id));
    k->shard.disk = blob_place(w->b, k->c.id);
    w->begun++;
    return k;
}

static struct needle_info chunk_info(const struct chunk *k)
{
    return (struct needle_info){
        .len_bytes = k->c.len_bytes,
        .encode_id = k->c.encode_id,
        .code_k = k->c.code_k,
        .code_m = k->c.code_m,
    };
}

/* ---- the fibers of a long blob -------------------------------------------------------------- */

static int FIBER write_fiber(void *arg)
{
    struct blob_writer *w = arg;
    uint8_t *buf = w->buf[!w->filling];
    struct iovec iov = {buf, w->write_len};
    int err = w->write_first ? node_write_first(w->current, buf + NEEDLE_HEADROOM, w->write_len)
                             : node_write(w->current, &iov, 1);
    w->err = w->err ? w->err : err;
    return 0;
}

static int FIBER sync_fiber(void *arg)
{
    struct blob_writer *w = arg;
    struct chunk *k = w->committing;
    int err =
        k ? node_commit(w->syncing, &k->shard.where, &k->shard.digest) : node_flush(w->syncing);
    if (k)
        k->durable = err == 0;
    w->err = w->err ? w->err : err;
    w->synced = true;
    return 0;
}

static void FIBER join(struct rt_fiber **f)
{
    if (*f)
        rt_join(TAKE_PTR(*f));
}

/* Syncs (`k` NULL) or commits the current needle beside the stream. */
static void FIBER sync_start(struct blob_writer *w, struct chunk *k)
{
    join(&w->sync);
    w->syncing = w->current;
    w->committing = k;
    w->synced = false;
    if (rt_spawn(&w->sync, "blob-sync", sync_fiber, w) != 0)
        sync_fiber(w); /* no fiber to be had: then in line */
    w->unflushed_bytes = 0;
    if (k)
        w->current = NULL;
}

/* What the last write allows or asks for: a commit at the end of a chunk, now and then a sync. */
static void FIBER chunk_advance(struct blob_writer *w)
{
    if (!w->current)
        return;
    if (w->err == 0 && w->current_left_bytes == 0) {
        sync_start(w, &w->chunks[w->begun - 1]);
        return;
    }
    bool idle = !w->sync || w->synced;
    if (w->err == 0 && idle && w->unflushed_bytes >= BLOB_FLUSH_BYTES)
        sync_start(w, NULL);
}

static int FIBER chunk_begin(struct blob_writer *w)
{
    struct chunk *k = chunk_next(w);
    struct needle_info info = chunk_info(k);
    w->current_left_bytes = k->c.len_bytes;
    return node_begin(nodes_get(w->b->nodes, k->shard.disk), blob_key(k->c.id, 0), &info,
                      &w->current);
}

/* Where in its chunk the buffer that is being filled begins. */
static uint64_t fill_offset(const struct blob_writer *w)
{
    return (w->taken_bytes - w->fill) % BLOB_CHUNK_MAX;
}

/* Sends the filled buffer on its way, once the one before has arrived. */
static int FIBER push(struct blob_writer *w)
{
    join(&w->write);
    chunk_advance(w);
    if (w->err == 0 && !w->current)
        w->err = chunk_begin(w);
    if (w->err)
        return w->err;
    w->write_len = w->fill;
    w->write_first = fill_offset(w) == 0;
    w->current_left_bytes -= w->fill;
    w->unflushed_bytes += w->fill;
    w->filling = !w->filling;
    w->fill = 0;
    if (rt_spawn(&w->write, "blob-write", write_fiber, w) != 0)
        write_fiber(w);
    return w->err;
}

/* ---- write ---------------------------------------------------------------------------------- */

/* Where the blob's bytes begin in the buffer that is being filled. */
static size_t fill_start(const struct blob_writer *w)
{
    return !is_small(w) && fill_offset(w) == 0 ? NEEDLE_HEADROOM : 0;
}

/* How many bytes of the blob it takes in all: to its own end, the chunk's or the blob's. */
static size_t fill_max(const struct blob_writer *w)
{
    if (is_small(w))
        return w->len_bytes;
    uint64_t chunk_left =
        MIN(BLOB_CHUNK_MAX - fill_offset(w), w->len_bytes - w->taken_bytes + w->fill);
    return MIN(BLOB_PIECE_BYTES - fill_start(w), chunk_left);
}

int FIBER blob_write(struct blob_writer *w, const void *data, size_t len)
{
    CHECK(len <= w->len_bytes - w->taken_bytes);
    const uint8_t *p = data;
    while (len > 0 && w->err == 0) {
        size_t n = MIN(len, fill_max(w) - w->fill);
        memcpy(w->buf[w->filling] + fill_start(w) + w->fill, p, n);
        w->fill += n;
        w->taken_bytes += n;
        p += n;
        len -= n;
        if (!is_small(w) && w->fill == fill_max(w))
            push(w);
    }
    return w->err;
}

/* ---- finish --------------------------------------------------------------------------------- */

static int FIBER finish_small(struct blob_writer *w)
{
    if (w->len_bytes == 0)
        return 0;
    struct chunk *k = chunk_next(w);
    struct needle_info info = chunk_info(k);
    struct iovec iov = {w->buf[0], w->fill};
    int err = node_append(nodes_get(w->b->nodes, k->shard.disk), blob_key(k->c.id, 0), &info, &iov,
                          1, &k->shard.where, &k->shard.digest);
    k->durable = err == 0;
    return err;
}

/* Waits for all that is under way; afterwards no fiber of ours is left. */
static void FIBER settle(struct blob_writer *w)
{
    join(&w->write);
    join(&w->sync);
}

static int FIBER finish_long(struct blob_writer *w)
{
    if (w->fill > 0)
        push(w);
    join(&w->write);
    chunk_advance(w);
    settle(w);
    return w->err;
}

static int layout_make(const struct blob_writer *w, struct arena *a, struct blob_layout *ret)
{
    size_t n = w->chunk_count;
    struct blob_chunk *chunks = arena_array(a, struct blob_chunk, n + 1);
    struct blob_shard *shards = arena_array(a, struct blob_shard, n + 1);
    if (!chunks || !shards)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        CHECK(w->chunks[i].durable);
        shards[i] = w->chunks[i].shard;
        chunks[i] = w->chunks[i].c;
        chunks[i].shards = &shards[i];
    }
    *ret = (struct blob_layout){.chunks = chunks, .count = n, .len_bytes = w->len_bytes};
    return 0;
}

int FIBER blob_finish(struct blob_writer *w, struct arena *a, struct blob_layout *ret)
{
    CHECK(w->taken_bytes == w->len_bytes || w->err != 0);
    int err = w->err;
    if (err == 0)
        err = is_small(w) ? finish_small(w) : finish_long(w);
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
    node_abort(w->current);
    for (size_t i = 0; i < w->begun; i++)
        if (w->chunks[i].durable)
            blob_delete(w->b, &w->chunks[i].c.id, 1);
    writer_free(w);
}
