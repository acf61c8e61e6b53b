/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Reading a blob. A small chunk comes whole by one read. A longer one comes in pieces through two
 * buffers: a fiber reads the next piece while the sink has the last. Pieces end on multiples of
 * their size in the chunk, hence on cells, so that no byte is read or verified twice.
 */

#include "blob/internal.h"

static_assert(BLOB_SMALL_MAX <= DISK_READ_MAX, "one read takes it");

/* The part of a chunk that is wanted, and to whom it goes. */
struct wanted {
    struct blob *b;
    const struct blob_chunk *chunk;
    const struct blob_shard *shard;
    uint64_t off, len;
    int (*sink)(const void *data, size_t len, void *arg);
    void *arg;
};

/* ---- small chunks --------------------------------------------------------------------------- */

static int FIBER read_small(const struct wanted *w)
{
    size_t cap = DISK_READ_ROOM(w->chunk->len_bytes);
    _cleanup_free_ uint8_t *buf = malloc(cap);
    if (!buf)
        return -ENOMEM;
    const uint8_t *payload;
    struct needle_info info;
    struct hash128 digest;
    int err = node_read(nodes_get(w->b->nodes, w->shard->disk), blob_key(w->chunk->id, 0),
                        &w->shard->where, buf, cap, (const void **)&payload, &info, &digest);
    if (err)
        return err == -ERR_TOO_LARGE ? -ERR_CORRUPT : err; /* not the needle that was written */
    if (!blob_shard_is(w->chunk, w->shard, &info, digest))
        return -ERR_CORRUPT;
    return w->sink(payload + w->off, w->len, w->arg);
}

/* ---- long chunks ---------------------------------------------------------------------------- */

/* One buffer and what is read into it. */
struct piece {
    struct node_reader *r;
    uint64_t off;
    size_t len;
    uint8_t *buf;
    struct rt_fiber *fiber; /* reading it; NULL: it has been read */
    int err;
};

static int FIBER piece_fiber(void *arg)
{
    struct piece *p = arg;
    p->err = node_reader_read(p->r, p->off, p->buf, p->len);
    return 0;
}

/* Begins to read the piece at `off`, up to `end` at most. */
static void FIBER piece_start(struct piece *p, uint64_t off, uint64_t end)
{
    uint64_t stop = (off / BLOB_PIECE_BYTES + 1) * BLOB_PIECE_BYTES;
    p->off = off;
    p->len = MIN(stop, end) - off;
    if (rt_spawn(&p->fiber, "blob-read", piece_fiber, p) != 0)
        piece_fiber(p);
}

static int FIBER piece_wait(struct piece *p)
{
    if (p->fiber)
        rt_join(TAKE_PTR(p->fiber));
    return p->err;
}

/* `pieces[1]` has a buffer if there is more than one piece. */
static int FIBER read_pieces(const struct wanted *w, struct piece pieces[2])
{
    uint64_t end = w->off + w->len;
    unsigned at = 0;
    piece_start(&pieces[0], w->off, end);
    for (;;) {
        struct piece *now = &pieces[at], *next = &pieces[!at];
        int err = piece_wait(now);
        if (err)
            return err;
        uint64_t next_off = now->off + now->len;
        bool more = next_off < end;
        if (more)
            piece_start(next, next_off, end);
        err = w->sink(now->buf, now->len, w->arg);
        if (err && more)
            piece_wait(next);
        if (err || !more)
            return err;
        at = !at;
    }
}

static int FIBER read_reader(const struct wanted *w, struct node_reader *r)
{
    if (!blob_shard_is(w->chunk, w->shard, node_reader_info(r), node_reader_digest(r)))
        return -ERR_CORRUPT;
    _cleanup_free_ uint8_t *first = malloc(MIN(w->len, BLOB_PIECE_BYTES));
    _cleanup_free_ uint8_t *second = malloc(MIN(w->len, BLOB_PIECE_BYTES));
    if (!first || !second)
        return -ENOMEM;
    struct piece pieces[2] = {{.r = r, .buf = first}, {.r = r, .buf = second}};
    return read_pieces(w, pieces);
}

static int FIBER read_long(const struct wanted *w)
{
    struct node_reader *r;
    int err = node_reader_open(nodes_get(w->b->nodes, w->shard->disk), blob_key(w->chunk->id, 0),
                               &w->shard->where, &r);
    if (err)
        return err;
    err = read_reader(w, r);
    node_reader_close(r);
    return err;
}

/* ---- the blob ------------------------------------------------------------------------------- */

/* A layout comes from a record on disk: what it claims is checked before it is used. */
static int FIBER read_chunk(const struct wanted *w)
{
    const struct blob_chunk *c = w->chunk;
    if (c->shard_count != 1 || c->len_bytes > BLOB_CHUNK_MAX ||
        w->shard->disk >= nodes_count(w->b->nodes))
        return -ERR_CORRUPT;
    return c->len_bytes <= BLOB_SMALL_MAX ? read_small(w) : read_long(w);
}

int FIBER blob_read(struct blob *b, const struct blob_layout *layout, uint64_t off, uint64_t len,
                    int (*sink)(const void *data, size_t len, void *arg), void *arg)
{
    CHECK(off <= layout->len_bytes && len <= layout->len_bytes - off);
    uint64_t start = 0;
    for (size_t i = 0; len > 0 && i < layout->count; i++) {
        const struct blob_chunk *c = &layout->chunks[i];
        uint64_t skip = off - start;
        if (skip < c->len_bytes) {
            struct wanted w = {.b = b,
                               .chunk = c,
                               .shard = c->shards,
                               .off = skip,
                               .len = MIN(len, c->len_bytes - skip),
                               .sink = sink,
                               .arg = arg};
            int err = read_chunk(&w);
            if (err)
                return err;
            off += w.len;
            len -= w.len;
        }
        start += c->len_bytes;
    }
    return len > 0 ? -ERR_CORRUPT : 0; /* the chunks are shorter than the layout says */
}
