/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Reading a blob. A small chunk with one copy comes whole by one read. Any other is read cell by
 * cell, each on a fiber, the cells of a piece (a stripe, or 512 KiB of a copy) at once, and the
 * next piece's while the sink has the last. A shard that is one cell comes with its needle's header
 * and footer by one read, where all of it is wanted.
 *
 * What is in memory needs none of that: it is read a little at a time and given at once, so that it
 * stays near the processor from the first look to the last, and nothing is read ahead. The first
 * bytes that are not at hand end this for the chunk.
 *
 * A cell that is missing or damaged, or slower than 95 of a hundred reads of its disk twice over,
 * is replaced: by the same cell of another copy, or by as many others of its stripe as it takes to
 * decode it. So a piece is done when its cells are there, or any k of its stripe are.
 *
 * A fetch belongs to its fiber and to whoever waits for it; the one that lets go last frees it. So
 * a read that is given up for slow keeps its own buffer and its shard's reader, and nobody waits
 * for it; blob_close does, in the end.
 *
 * All of one chunk's reading happens on one thread, and nothing here suspends but where it waits.
 */

#include "blob/internal.h"

#define HEDGE_MIN_NS     (10 * RT_MS)
#define HEDGE_MAX_NS     (1 * RT_S)
#define HEDGE_UNKNOWN_NS (200 * RT_MS) /* of a disk that has not been read from much */
#define LINGER_LOOK_NS   (2 * RT_MS)   /* between looks whether what was given up has come */

/* What is in memory is taken by so many bytes at a time, each time whole cells of the volume. */
#define HAND_BYTES STRIPE_CELL
#define HAND_ALIGN (64 * KIB)
#define HAND_ROOM  DISK_READ_ROOM(STRIPE_CELL)

/* One shard, as long as anybody reads from it. */
struct source {
    unsigned refs;
    struct blob *b;
    struct node *node; /* NULL: it is nowhere */
    struct needle_key key;
    struct needle_hint where;
    struct needle_info info; /* what it must be */
    struct hash128 digest;
    struct node_reader *reader; /* once opened */
    int err;                    /* it is of no use */
    bool busy;                  /* a fetch is on its way */
    bool slow;                  /* one was given up: asked again when there is nobody else */
};

/* A range of one shard on its way. */
struct fetch {
    unsigned refs;
    struct source *source;
    struct gate *gate; /* whom to wake; NULL: nobody waits any more */
    uint64_t off;
    size_t len;
    uint8_t *buf;
    size_t buf_size;
    const uint8_t *bytes; /* in buf; what was asked for, once it is done */
    bool done, late;
    int err;
};

/* Where the reader waits for any of its fetches. */
struct gate {
    struct rt_lock lock;
    struct rt_waitq waiting;
};

/* One piece: what is wanted of it and what is on its way. */
struct piece {
    struct stripe stripe;
    uint32_t lo, hi; /* of each cell */
    ec_set want;
    struct fetch *fetches[BLOB_SHARDS_MAX]; /* of the shard; NULL: not asked */
    uint8_t *decoded[BLOB_SHARDS_MAX];      /* made of the others */
    bool begun;
};

struct chunk_reader {
    struct blob *b;
    struct blob_chunk c;
    const struct blob_damage *damage;
    struct source *sources[BLOB_SHARDS_MAX];
    struct gate gate;
    struct piece pieces[2];
    unsigned at;   /* of the piece last given */
    bool at_hand;  /* all that was asked for so far was in memory */
    uint8_t *hand; /* HAND_ROOM bytes for it; NULL: not wanted yet */
};

/* ---- sources and fetches -------------------------------------------------------------------- */

static void FIBER source_unref(struct source *s)
{
    if (!s || --s->refs > 0)
        return;
    node_reader_close(s->reader);
    free(s);
}

static struct source *source_new(struct blob *b, const struct blob_chunk *c, uint16_t shard)
{
    const struct blob_shard *at = &c->shards[shard];
    struct source *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    *s = (struct source){
        .refs = 1,
        .b = b,
        .node = nodes_get(b->nodes, at->disk),
        .key = blob_key(c->id, shard),
        .where = at->where,
        .info = chunk_needle_info(c),
        .digest = at->digest,
    };
    s->err = s->node ? 0 : -ERR_NOT_FOUND;
    return s;
}

static bool is_the_shard(const struct source *s, const struct needle_info *info,
                         struct hash128 digest)
{
    return info->len_bytes == s->info.len_bytes &&
           (PLANTED(ENCODE_IDS) || (info->encode_id == s->info.encode_id &&
                                    digest.lo == s->digest.lo && digest.hi == s->digest.hi));
}

static int FIBER source_open(struct source *s, bool now)
{
    int err = now ? node_reader_open_now(s->node, s->key, &s->where, &s->reader)
                  : node_reader_open(s->node, s->key, &s->where, &s->reader);
    if (err)
        return err;
    if (is_the_shard(s, node_reader_info(s->reader), node_reader_digest(s->reader)))
        return 0;
    node_reader_close(TAKE_PTR(s->reader));
    return -ERR_CORRUPT;
}

static void FIBER fetch_unref(struct fetch *f)
{
    if (!f || --f->refs > 0)
        return;
    pool_put(&f->source->b->pool, f->buf, f->buf_size);
    source_unref(f->source);
    free(f);
}

/* A short shard, and all of it is wanted: then its needle comes by one read. */
static bool fetch_is_whole(const struct fetch *f)
{
    return f->len == f->source->info.len_bytes && f->len <= STRIPE_CELL;
}

static int FIBER source_read_whole(struct source *s, bool now, void *buf, size_t size,
                                   const uint8_t **ret)
{
    struct needle_info info;
    struct hash128 digest;
    const void *payload;
    int err = now ? node_read_now(s->node, s->key, &s->where, buf, size, &payload, &info, &digest)
                  : node_read(s->node, s->key, &s->where, buf, size, &payload, &info, &digest);
    if (err)
        return err == -ERR_TOO_LARGE ? -ERR_CORRUPT : err; /* not the needle that was written */
    *ret = payload;
    return is_the_shard(s, &info, digest) ? 0 : -ERR_CORRUPT;
}

static int FIBER fetch_whole(struct fetch *f)
{
    return source_read_whole(f->source, false, f->buf, f->buf_size, &f->bytes);
}

/* A range in memory, of a shard that may have to be opened by what is there, too. */
static int FIBER source_read_now(struct source *s, uint64_t off, void *buf, size_t len)
{
    int err = s->reader ? 0 : source_open(s, true);
    return err ? err : node_reader_read_now(s->reader, off, buf, len);
}

/* Without a fiber, if it can be had without waiting. */
static bool FIBER fetch_now(struct fetch *f)
{
    struct source *s = f->source;
    f->bytes = f->buf;
    int err = fetch_is_whole(f) ? source_read_whole(s, true, f->buf, f->buf_size, &f->bytes)
                                : source_read_now(s, f->off, f->buf, f->len);
    f->done = err == 0;
    return f->done;
}

static int FIBER fetch_range(struct fetch *f)
{
    struct source *s = f->source;
    int err = s->reader ? 0 : source_open(s, false);
    f->bytes = f->buf;
    return err ? err : node_reader_read(s->reader, f->off, f->buf, f->len);
}

static void FIBER fetch_run(struct fetch *f)
{
    struct source *s = f->source;
    f->err = fetch_is_whole(f) ? fetch_whole(f) : fetch_range(f);
    f->done = true;
    s->busy = false;
    if (!f->gate)
        return;
    rt_lock(&f->gate->lock);
    rt_wake_all(&f->gate->waiting);
    rt_unlock(&f->gate->lock);
}

static void FIBER fetch_fiber(void *arg)
{
    struct fetch *f = arg;
    struct blob *b = f->source->b;
    fetch_run(f);
    if (!f->gate)
        __atomic_fetch_sub(&b->stats.lingering, 1, __ATOMIC_RELAXED);
    fetch_unref(f);
    __atomic_fetch_sub(&b->fetching, 1, __ATOMIC_RELEASE);
}

/* Lets go of it whether it has come or not. */
static void FIBER fetch_drop(struct fetch *f)
{
    if (!f)
        return;
    if (!f->done) {
        f->source->slow = true;
        __atomic_fetch_add(&f->source->b->stats.lingering, 1, __ATOMIC_RELAXED);
        f->gate = NULL;
    }
    fetch_unref(f);
}

static int FIBER fetch_start(struct chunk_reader *r, struct piece *p, unsigned shard)
{
    struct fetch *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    *f = (struct fetch){.refs = 2, .source = r->sources[shard], .gate = &r->gate};
    f->off = p->stripe.cell_off + p->lo;
    f->len = p->hi - p->lo;
    f->buf_size = fetch_is_whole(f) ? DISK_READ_ROOM(f->len) : f->len;
    f->buf = pool_take(&r->b->pool, f->buf_size);
    if (!f->buf) {
        free(f);
        return -ENOMEM;
    }
    f->source->refs++;
    p->fetches[shard] = f;
    r->at_hand = r->at_hand && fetch_now(f);
    if (f->done) {
        f->refs = 1;
        return 0;
    }
    f->source->busy = true;
    __atomic_fetch_add(&r->b->fetching, 1, __ATOMIC_RELAXED);
    if (rt_spawn_detached("blob-read", fetch_fiber, f) != 0)
        fetch_fiber(f);
    return 0;
}

/* ---- which shards --------------------------------------------------------------------------- */

static bool source_there(const struct source *s)
{
    return s->err == 0 && node_state(s->node) != NODE_GONE;
}

static bool source_good(const struct source *s)
{
    return source_there(s) && !s->slow && !s->busy;
}

/* The best shard that was not asked yet: online before suspect, data before parity, and last of all
 * one that was given up for slow, once that has come; -1: none. */
static int pick(const struct chunk_reader *r, const struct piece *p)
{
    int suspect = -1, slow = -1;
    for (unsigned i = 0; i < r->c.shard_count; i++) {
        const struct source *s = r->sources[i];
        if (p->fetches[i] || s->busy || !source_there(s))
            continue;
        if (s->slow)
            slow = slow < 0 ? (int)i : slow;
        else if (node_state(s->node) == NODE_ONLINE)
            return (int)i;
        else
            suspect = suspect < 0 ? (int)i : suspect;
    }
    return suspect < 0 ? slow : suspect;
}

/* One that was given up is still on its way: its shard may be asked again afterwards. */
static bool any_lingering(const struct chunk_reader *r, const struct piece *p)
{
    for (unsigned i = 0; i < r->c.shard_count; i++)
        if (!p->fetches[i] && r->sources[i]->busy && source_there(r->sources[i]))
            return true;
    return false;
}

static ec_set piece_have(const struct chunk_reader *r, const struct piece *p)
{
    ec_set have = 0;
    for (unsigned i = 0; i < r->c.shard_count; i++)
        if (p->fetches[i] && p->fetches[i]->done)
            have |= EC_SHARD(i);
    return have;
}

/* On their way and not late. */
static ec_set piece_expected(const struct chunk_reader *r, const struct piece *p)
{
    ec_set expected = 0;
    for (unsigned i = 0; i < r->c.shard_count; i++)
        if (p->fetches[i] && !p->fetches[i]->done && !p->fetches[i]->late)
            expected |= EC_SHARD(i);
    return expected;
}

/* Whether these shards' cells give the wanted ones. */
static bool enough(const struct chunk_reader *r, const struct piece *p, ec_set shards)
{
    return (p->want & ~shards) == 0 || (unsigned)__builtin_popcount(shards) >= r->c.code_k;
}

/* ---- a piece -------------------------------------------------------------------------------- */

static void FIBER piece_release(struct chunk_reader *r, struct piece *p)
{
    for (unsigned i = 0; i < BLOB_SHARDS_MAX; i++) {
        fetch_drop(TAKE_PTR(p->fetches[i]));
        pool_put(&r->b->pool, TAKE_PTR(p->decoded[i]), p->hi - p->lo);
    }
    p->begun = false;
}

/* Asks others until what is there or expected is enough. */
static int FIBER ask_more(struct chunk_reader *r, struct piece *p)
{
    for (;;) {
        ec_set coming = piece_have(r, p) | piece_expected(r, p);
        if (enough(r, p, coming))
            return 0;
        int next = pick(r, p);
        if (next < 0)
            return -ERR_NOT_FOUND;
        int err = fetch_start(r, p, (unsigned)next);
        if (err)
            return err;
    }
}

/* The cells themselves where they can be had; what else it takes follows while waiting. */
static int FIBER piece_start(struct chunk_reader *r, struct piece *p, uint32_t number, uint32_t lo,
                             uint32_t hi, ec_set want)
{
    int err = 0;
    p->stripe = chunk_piece(&r->c, number);
    p->lo = lo;
    p->hi = hi;
    p->want = want;
    p->begun = true;
    bool any_copy = !chunk_striped(&r->c); /* then each will do, and pick knows the best */
    for (unsigned i = 0; err == 0 && !any_copy && i < r->c.shard_count; i++)
        if (want & EC_SHARD(i) && source_good(r->sources[i]) &&
            node_state(r->sources[i]->node) == NODE_ONLINE)
            err = fetch_start(r, p, i);
    if (err == 0)
        err = ask_more(r, p);
    return err == -ERR_NOT_FOUND ? 0 : err; /* whoever waits finds out */
}

/* A disk that is there gave no shard, or a wrong one. */
static void note_damage(struct chunk_reader *r, unsigned shard, int why)
{
    if (why == -ERR_DISK_GONE || why == -ENOMEM || why == -EMFILE || why == -ENFILE)
        return;
    blob_count(&r->b->stats.damaged_shards, 1);
    if (r->damage)
        r->damage->fn(r->damage->arg, &r->c, shard, why);
}

/* Fetches that failed make room for others. */
static void FIBER collect_failed(struct chunk_reader *r, struct piece *p)
{
    for (unsigned i = 0; i < r->c.shard_count; i++) {
        struct fetch *f = p->fetches[i];
        if (!f || !f->done || f->err == 0)
            continue;
        if (r->sources[i]->err == 0)
            note_damage(r, i, f->err);
        r->sources[i]->err = f->err;
        blob_count(&r->b->stats.degraded_reads, 1);
        fetch_drop(TAKE_PTR(p->fetches[i]));
    }
}

/* That disks are gone says more than what the others lack: they may come back. */
static int first_error(const struct chunk_reader *r)
{
    int err = 0;
    for (unsigned i = 0; i < r->c.shard_count; i++) {
        const struct source *s = r->sources[i];
        if (s->node && node_state(s->node) == NODE_GONE)
            return -ERR_DISK_GONE;
        if (err == 0 || err == -ERR_NOT_FOUND)
            err = s->err ? s->err : err;
    }
    return err ? err : -ERR_DISK_GONE;
}

static uint64_t patience_ns(const struct chunk_reader *r, const struct piece *p)
{
    uint64_t most = 0;
    for (unsigned i = 0; i < r->c.shard_count; i++)
        if (p->fetches[i] && !p->fetches[i]->done) {
            uint64_t p95 = node_read_p95_ns(r->sources[i]->node);
            most = MAX(most, p95 ? 2 * p95 : HEDGE_UNKNOWN_NS);
        }
    return MIN(MAX(most, HEDGE_MIN_NS), HEDGE_MAX_NS);
}

static void set_late(struct chunk_reader *r, struct piece *p, bool late)
{
    for (unsigned i = 0; i < r->c.shard_count; i++)
        if (p->fetches[i] && !p->fetches[i]->done)
            p->fetches[i]->late = late;
}

static bool any_running(const struct chunk_reader *r, const struct piece *p)
{
    for (unsigned i = 0; i < r->c.shard_count; i++)
        if (p->fetches[i] && !p->fetches[i]->done)
            return true;
    return false;
}

/* Until more is done than `have`, or `deadline`. */
static void FIBER gate_wait(struct chunk_reader *r, struct piece *p, ec_set have,
                            uint64_t deadline_ns)
{
    rt_lock(&r->gate.lock);
    while (piece_have(r, p) == have)
        if (rt_wait_uncancelled(&r->gate.waiting, &r->gate.lock, deadline_ns) == -ETIMEDOUT)
            break;
    rt_unlock(&r->gate.lock);
}

/*
 * Waits until the piece's cells, or enough to decode them, are there. When patience ends, those on
 * their way count as late and others are asked; with no others left there is nothing but to wait
 * (RT_NEVER: a disk that hangs is found by the nodes' watch, and holds up only this reader), and
 * where those are not enough, until what an earlier piece gave up has come and can be asked again.
 */
static int FIBER piece_wait(struct chunk_reader *r, struct piece *p)
{
    bool hedged = false;
    uint64_t deadline_ns = rt_now() + patience_ns(r, p);
    for (;;) {
        collect_failed(r, p);
        ec_set have = piece_have(r, p);
        if (enough(r, p, have))
            return 0;
        int err = ask_more(r, p); /* what gets no fiber is done at once */
        uint64_t until_ns = hedged ? RT_NEVER : deadline_ns;
        if (err == -ERR_NOT_FOUND) {
            set_late(r, p, false); /* they are needed after all */
            hedged = true;
            until_ns = RT_NEVER;
            if (!enough(r, p, piece_have(r, p) | piece_expected(r, p))) {
                if (!any_lingering(r, p))
                    return first_error(r);
                until_ns = rt_now() + LINGER_LOOK_NS;
            }
        } else if (err) {
            return err;
        }
        gate_wait(r, p, have, until_ns);
        if (!hedged && rt_now() >= deadline_ns) {
            set_late(r, p, true);
            blob_count(&r->b->stats.hedged_reads, any_running(r, p));
            hedged = true;
        }
    }
}

/* ---- decoding ------------------------------------------------------------------------------- */

static int piece_decode(struct chunk_reader *r, struct piece *p, ec_set have, ec_set missing)
{
    void *cells[BLOB_SHARDS_MAX] = {NULL};
    struct ec *ec = blob_ec(r->b, r->c.code_k, r->c.code_m);
    if (!ec)
        return -ENOMEM;
    for (unsigned i = 0; i < r->c.shard_count; i++) {
        if (have & EC_SHARD(i))
            cells[i] = (void *)p->fetches[i]->bytes;
        if (!(missing & EC_SHARD(i)))
            continue;
        p->decoded[i] = pool_take(&r->b->pool, p->hi - p->lo);
        if (!p->decoded[i])
            return -ENOMEM;
        cells[i] = p->decoded[i];
    }
    return ec_decode(ec, cells, have, missing, p->hi - p->lo);
}

/* A late one may have failed since piece_wait() found enough: its buffer holds nothing. */
static ec_set piece_good(const struct chunk_reader *r, const struct piece *p)
{
    ec_set good = 0;
    for (unsigned i = 0; i < r->c.shard_count; i++)
        if (p->fetches[i] && p->fetches[i]->done && p->fetches[i]->err == 0)
            good |= EC_SHARD(i);
    return good;
}

/* Where each wanted cell lies. */
static int piece_cells(struct chunk_reader *r, struct piece *p, const uint8_t **ret_cells)
{
    ec_set have = piece_good(r, p), missing = p->want & ~have;
    if (missing && chunk_striped(&r->c)) {
        int err = piece_decode(r, p, have, missing);
        if (err)
            return err;
    }
    const uint8_t *copy = p->fetches[__builtin_ctz(have)]->bytes;
    for (unsigned i = 0; i < r->c.shard_count; i++) {
        if (!(p->want & EC_SHARD(i)))
            continue;
        if (!chunk_striped(&r->c))
            ret_cells[i] = copy;
        else
            ret_cells[i] = missing & EC_SHARD(i) ? p->decoded[i] : p->fetches[i]->bytes;
    }
    return 0;
}

/* ---- the chunk's reader --------------------------------------------------------------------- */

int FIBER chunk_reader_new(struct blob *b, const struct blob_chunk *c,
                           const struct blob_damage *damage, struct chunk_reader **ret)
{
    if (!chunk_is_sane(c))
        return -ERR_CORRUPT;
    struct chunk_reader *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->b = b;
    r->c = *c;
    r->damage = damage;
    rt_lock_init(&r->gate.lock);
    rt_waitq_init(&r->gate.waiting);
    for (uint16_t i = 0; i < c->shard_count; i++) {
        r->sources[i] = source_new(b, c, i);
        if (!r->sources[i]) {
            chunk_reader_free(r);
            return -ENOMEM;
        }
    }
    *ret = r;
    return 0;
}

void FIBER chunk_reader_free(struct chunk_reader *r)
{
    for (unsigned i = 0; i < ARRAY_LEN(r->pieces); i++)
        piece_release(r, &r->pieces[i]);
    pool_put(&r->b->pool, r->hand, HAND_ROOM);
    for (unsigned i = 0; i < r->c.shard_count; i++)
        source_unref(r->sources[i]);
    free(r);
}

void chunk_reader_exclude(struct chunk_reader *r, ec_set shards)
{
    for (unsigned i = 0; i < r->c.shard_count; i++)
        if (shards & EC_SHARD(i))
            r->sources[i]->err = -ERR_NOT_FOUND;
}

int FIBER chunk_reader_cells(struct chunk_reader *r, uint32_t piece, uint32_t lo, uint32_t hi,
                             ec_set want, const uint8_t *ret_cells[BLOB_SHARDS_MAX])
{
    struct piece *p = &r->pieces[0];
    piece_release(r, p);
    int err = piece_start(r, p, piece, lo, hi, want);
    if (err == 0)
        err = piece_wait(r, p);
    return err ? err : piece_cells(r, p, ret_cells);
}

/* ---- a range of a chunk --------------------------------------------------------------------- */

/* The part of a chunk that is wanted, and to whom it goes. */
struct wanted {
    struct blob *b;
    const struct blob_chunk *chunk;
    uint64_t off, len;
    int (*sink)(const void *data, size_t len, void *arg);
    void *arg;
    const struct blob_damage *damage;
};

/* What of the piece is wanted: the range of the chunk's bytes within it. */
static void piece_range(const struct wanted *w, const struct stripe *s, uint32_t *ret_from,
                        uint32_t *ret_to)
{
    *ret_from = (uint32_t)(MAX(w->off, s->off) - s->off);
    *ret_to = (uint32_t)(MIN(w->off + w->len, s->off + s->data_len) - s->off);
}

static int FIBER range_start(struct chunk_reader *r, const struct wanted *w, struct piece *p,
                             uint32_t number)
{
    struct stripe s = chunk_piece(&r->c, number);
    uint32_t from, to;
    piece_range(w, &s, &from, &to);
    unsigned first = from / s.cell_len, last = (to - 1) / s.cell_len;
    ec_set want = (EC_SHARD(last) - EC_SHARD(first)) | EC_SHARD(last);
    if (first == last)
        return piece_start(r, p, number, from % s.cell_len, (to - 1) % s.cell_len + 1, want);
    return piece_start(r, p, number, 0, s.cell_len, want);
}

static int FIBER range_give(struct chunk_reader *r, const struct wanted *w, struct piece *p)
{
    const uint8_t *cells[BLOB_SHARDS_MAX];
    uint32_t from, to, len = p->stripe.cell_len;
    int err = piece_cells(r, p, cells);
    piece_range(w, &p->stripe, &from, &to);
    for (uint32_t at = from; err == 0 && at < to;) {
        uint32_t n = MIN(to - at, len - at % len);
        err = w->sink(cells[at / len] + at % len - p->lo, n, w->arg);
        at += n;
    }
    return err;
}

static void wanted_advance(struct wanted *w, uint64_t n)
{
    w->off += n;
    w->len -= n;
}

/* The piece at the range's begin, by fetches; meanwhile those of the next are on their way, unless
 * all is at hand. */
static int FIBER give_piece(struct chunk_reader *r, struct wanted *w)
{
    struct piece *now = &r->pieces[r->at], *next = &r->pieces[!r->at];
    uint32_t number = chunk_piece_of(&r->c, w->off), from, to;
    uint32_t last = chunk_piece_of(&r->c, w->off + w->len - 1);
    int err = now->begun ? 0 : range_start(r, w, now, number);
    if (err == 0)
        err = piece_wait(r, now);
    if (err == 0 && number < last && !r->at_hand)
        err = range_start(r, w, next, number + 1);
    if (err == 0)
        err = range_give(r, w, now);
    piece_range(w, &now->stripe, &from, &to);
    wanted_advance(w, to - from);
    piece_release(r, now);
    r->at = !r->at;
    return err;
}

/* ---- what is at hand ------------------------------------------------------------------------ */

/* Where the range begins: in which shard and where, and how much of it follows there. */
static struct stripe_place range_place(const struct chunk_reader *r, const struct wanted *w)
{
    if (chunk_striped(&r->c))
        return stripe_place(r->c.code_k, r->c.len_bytes, w->off);
    int copy = pick(r, &r->pieces[r->at]);
    return (struct stripe_place){.shard = copy < 0 ? 0 : (unsigned)copy,
                                 .shard_off = w->off,
                                 .len = (uint32_t)(r->c.len_bytes - w->off)};
}

/* A short shard comes with its ends, once; of a longer one a little. -EAGAIN: not in memory. */
static int FIBER hand_read(struct chunk_reader *r, struct source *s, const struct stripe_place *at,
                           size_t *len, const uint8_t **ret)
{
    uint64_t shard_len = s->info.len_bytes;
    if (!s->reader && at->shard_off == 0 && *len == at->len && shard_len <= STRIPE_CELL)
        return source_read_whole(s, true, r->hand, HAND_ROOM, ret);
    *len = MIN(*len, (size_t)HAND_BYTES);
    *ret = r->hand;
    uint64_t cells = MIN(align_up(*len, HAND_ALIGN), shard_len - at->shard_off);
    return source_read_now(s, at->shard_off, r->hand, cells);
}

/* Some of the range; *ret_given 0: it is to be fetched. */
static int FIBER give_some(struct chunk_reader *r, struct wanted *w, size_t *ret_given)
{
    struct stripe_place at = range_place(r, w);
    struct source *s = r->sources[at.shard];
    size_t len = MIN(w->len, (uint64_t)at.len);
    const uint8_t *bytes;
    *ret_given = 0;
    if (!source_good(s) || node_state(s->node) != NODE_ONLINE || at.shard_off % HAND_ALIGN != 0)
        return 0;
    if (hand_read(r, s, &at, &len, &bytes) != 0) {
        r->at_hand = false;
        return 0;
    }
    *ret_given = len;
    return w->sink(bytes, len, w->arg);
}

/* As much of the range as is in memory. */
static int FIBER give_at_hand(struct chunk_reader *r, struct wanted *w)
{
    size_t given = 1;
    int err = 0;
    if (!r->hand)
        r->hand = pool_take(&r->b->pool, HAND_ROOM);
    if (!r->hand)
        return -ENOMEM;
    while (err == 0 && given > 0 && w->len > 0) {
        err = give_some(r, w, &given);
        wanted_advance(w, given);
    }
    if (!r->at_hand)
        pool_put(&r->b->pool, TAKE_PTR(r->hand), HAND_ROOM);
    return err;
}

static int FIBER read_pieces(struct chunk_reader *r, struct wanted *w)
{
    int err = 0;
    r->at_hand = true;
    while (err == 0 && w->len > 0) {
        if (r->at_hand)
            err = give_at_hand(r, w);
        if (err == 0 && w->len > 0)
            err = give_piece(r, w);
    }
    return err;
}

static int FIBER read_chunk(struct wanted *w)
{
    struct chunk_reader *r;
    int err = chunk_reader_new(w->b, w->chunk, w->damage, &r);
    if (err)
        return err;
    err = read_pieces(r, w);
    chunk_reader_free(r);
    return err;
}

/* ---- one small copy ------------------------------------------------------------------------- */

static int FIBER read_small(const struct wanted *w)
{
    const struct blob_shard *s = &w->chunk->shards[0];
    struct node *n = nodes_get(w->b->nodes, s->disk);
    if (!n)
        return -ERR_DISK_GONE;
    size_t cap = DISK_READ_ROOM(w->chunk->len_bytes);
    _cleanup_free_ uint8_t *buf = malloc(cap);
    if (!buf)
        return -ENOMEM;
    const uint8_t *payload;
    struct needle_info info;
    struct hash128 digest;
    int err = node_read(n, blob_key(w->chunk->id, 0), &s->where, buf, cap, (const void **)&payload,
                        &info, &digest);
    if (err)
        return err == -ERR_TOO_LARGE ? -ERR_CORRUPT : err; /* not the needle that was written */
    if (!blob_shard_is(w->chunk, s, &info, digest))
        return -ERR_CORRUPT;
    return w->sink(payload + w->off, w->len, w->arg);
}

static bool is_small_single(const struct blob_chunk *c)
{
    return c->code_k == 1 && c->code_m == 0 && c->shard_count == 1 &&
           c->len_bytes <= BLOB_SMALL_MAX && c->shards[0].disk != BLOB_DISK_NONE;
}

/* ---- the blob ------------------------------------------------------------------------------- */

int FIBER blob_read(struct blob *b, const struct blob_layout *layout, uint64_t off, uint64_t len,
                    int (*sink)(const void *data, size_t len, void *arg), void *arg,
                    const struct blob_damage *damage)
{
    CHECK(off <= layout->len_bytes && len <= layout->len_bytes - off);
    uint64_t start = 0;
    for (size_t i = 0; len > 0 && i < layout->count; i++) {
        const struct blob_chunk *c = &layout->chunks[i];
        uint64_t skip = off - start;
        if (skip < c->len_bytes) {
            struct wanted w = {.b = b,
                               .chunk = c,
                               .off = skip,
                               .len = MIN(len, c->len_bytes - skip),
                               .sink = sink,
                               .arg = arg,
                               .damage = damage};
            uint64_t n = w.len;
            int err = is_small_single(c) ? read_small(&w) : read_chunk(&w);
            if (err)
                return err;
            off += n;
            len -= n;
        }
        start += c->len_bytes;
    }
    return len > 0 ? -ERR_CORRUPT : 0; /* the chunks are shorter than the layout says */
}
