/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * One shard on its way to its disk: a needle written piece by piece, each piece on a fiber, and
 * synced beside the stream on another. A lane that failed takes no more and drops what it is given;
 * whoever has several decides whether the others are enough.
 *
 * A disk that hangs must not hold up the others. So what a fiber does is an errand with all it
 * needs: a copy of the lane, the needle begun, and the memory that it writes from. The lane waits
 * for it, and may stop waiting; then the errand lives until the disk answers, and nobody asks what
 * came of it. A shard that becomes durable so late is an orphan for the sweep, unless a repair has
 * put the same one there meanwhile. blob_close waits for the errands, in the end.
 *
 * All of one lane happens on one thread, and nothing here suspends but where it waits.
 */

#include "blob/internal.h"

#define PATIENCE_NS    (3 * RT_S) /* once others have done it; longer where those took long, too */
#define PATIENCE_TIMES 4
#define LINGER_MAX     256 /* errands nobody waits for; beyond, the disk is waited for */

/* A needle that was begun, while anybody writes to it. */
struct stream {
    unsigned refs;
    struct node_writer *writer; /* NULL: not begun yet, or committed */
};

/* Where somebody waits for errands. */
struct gate {
    struct rt_lock lock;
    struct rt_waitq waiting;
};

struct errand {
    unsigned refs; /* its fiber's, and the lane's that waits */
    int (*run)(struct lane *work);
    struct lane work; /* the lane as it was, and as the fiber leaves it */
    struct area *area;
    struct gate *gate; /* NULL: nobody waits at present */
    bool done, dropped;
};

/* ---- memory --------------------------------------------------------------------------------- */

struct area *area_new(struct pool *p, size_t size)
{
    struct area *a = malloc(sizeof(*a));
    uint8_t *bytes = pool_take(p, size);
    if (!a || !bytes) {
        free(a);
        pool_put(p, bytes, size);
        return NULL;
    }
    *a = (struct area){.refs = 1, .pool = p, .size = size, .bytes = bytes};
    return a;
}

void area_unref(struct area *a)
{
    if (!a || --a->refs > 0)
        return;
    pool_put(a->pool, a->bytes, a->size);
    free(a);
}

static void FIBER stream_unref(struct stream *s)
{
    if (!s || --s->refs > 0)
        return;
    node_abort(s->writer);
    free(s);
}

static void FIBER errand_unref(struct errand *e)
{
    if (--e->refs > 0)
        return;
    stream_unref(e->work.stream);
    area_unref(e->area);
    free(e);
}

/* ---- lanes ---------------------------------------------------------------------------------- */

void lane_init(struct lane *l, struct blob *b, uint64_t epoch, const struct blob_chunk *c,
               uint16_t shard, uint32_t disk)
{
    *l = (struct lane){
        .b = b,
        .epoch = epoch,
        .shard = {.disk = disk},
        .node = nodes_get(b->nodes, disk),
        .key = blob_key(c->id, shard),
        .info = chunk_needle_info(c),
    };
}

static void note(struct lane *l, int err)
{
    l->err = l->err ? l->err : err;
}

void FIBER lane_abort(struct lane *l)
{
    CHECK(!l->write && !l->sync);
    stream_unref(TAKE_PTR(l->stream));
}

/*
 * The ring has changed since the shard was placed. A disk that takes new shards still gets it all
 * the same: the next walk of the rebalance finds it, if it belongs elsewhere. Else the shard is
 * lost.
 */
static bool renew(struct lane *l, int err)
{
    if (err != -ERR_STALE_EPOCH || node_role(l->node) != NODE_ACTIVE)
        return false;
    l->epoch = blob_epoch(l->b);
    return true;
}

/* ---- what errands do ------------------------------------------------------------------------ */

static int FIBER begin_needle(struct lane *l)
{
    struct node_writer **to = &l->stream->writer;
    int err = node_begin(l->node, l->epoch, l->key, &l->info, to);
    return renew(l, err) ? node_begin(l->node, l->epoch, l->key, &l->info, to) : err;
}

static int FIBER run_write(struct lane *l)
{
    size_t kept = l->last ? 0 : NEEDLE_HEADROOM; /* goes with the next piece */
    int err = l->first ? begin_needle(l) : 0;
    if (err)
        return err;
    if (l->first)
        return node_write_first(l->stream->writer, l->base + NEEDLE_HEADROOM, l->len - kept);
    struct iovec iov = {l->base, NEEDLE_HEADROOM + l->len - kept};
    return node_write(l->stream->writer, &iov, 1);
}

static int FIBER run_flush(struct lane *l)
{
    return node_flush(l->stream->writer);
}

static int FIBER run_commit(struct lane *l)
{
    int err = node_commit(TAKE_PTR(l->stream->writer), &l->shard.where, &l->shard.digest);
    l->durable = err == 0;
    return err;
}

static int FIBER run_append(struct lane *l)
{
    struct iovec iov = {l->base, l->info.len_bytes};
    struct needle_hint *where = &l->shard.where;
    struct hash128 *digest = &l->shard.digest;
    int err = node_append(l->node, l->epoch, l->key, &l->info, &iov, 1, where, digest);
    if (renew(l, err))
        err = node_append(l->node, l->epoch, l->key, &l->info, &iov, 1, where, digest);
    l->durable = err == 0;
    return err;
}

/* As run_append, for a shard with room around it. */
static int FIBER run_append_placed(struct lane *l)
{
    struct needle_hint *where = &l->shard.where;
    struct hash128 *digest = &l->shard.digest;
    int err = node_append_placed(l->node, l->epoch, l->key, &l->info, l->base, where, digest);
    if (renew(l, err))
        err = node_append_placed(l->node, l->epoch, l->key, &l->info, l->base, where, digest);
    l->durable = err == 0;
    return err;
}

/* ---- errands -------------------------------------------------------------------------------- */

static void FIBER errand_fiber(void *arg)
{
    struct errand *e = arg;
    struct blob *b = e->work.b;
    note(&e->work, e->run(&e->work));
    e->done = true;
    if (e->dropped)
        __atomic_fetch_sub(&b->stats.lingering, 1, __ATOMIC_RELAXED);
    if (e->gate) {
        rt_lock(&e->gate->lock);
        rt_wake_all(&e->gate->waiting);
        rt_unlock(&e->gate->lock);
    }
    errand_unref(e);
    __atomic_fetch_sub(&b->fetching, 1, __ATOMIC_RELEASE);
}

static struct errand *FIBER errand_start(struct lane *l, struct area *area, const char *name,
                                         int (*run)(struct lane *work))
{
    struct errand *e = malloc(sizeof(*e));
    if (!e) {
        note(l, -ENOMEM);
        return NULL;
    }
    *e = (struct errand){.refs = 2, .run = run, .work = *l, .area = area};
    e->work.write = e->work.sync = NULL;
    if (area)
        area->refs++;
    if (l->stream)
        l->stream->refs++;
    __atomic_fetch_add(&l->b->fetching, 1, __ATOMIC_RELAXED);
    if (rt_spawn_detached(name, errand_fiber, e) != 0)
        errand_fiber(e); /* no fiber to be had: then in line */
    return e;
}

/* What came of it; or, where it is not done, that nobody waits any more. */
static void FIBER errand_end(struct lane *l, struct errand **place)
{
    struct errand *e = TAKE_PTR(*place);
    if (e->done) {
        note(l, e->work.err);
        if (e->work.durable) {
            l->shard = e->work.shard;
            l->durable = l->err == 0;
        }
    } else {
        e->dropped = true;
        __atomic_fetch_add(&l->b->stats.lingering, 1, __ATOMIC_RELAXED);
        node_note_slow(l->node);
        note(l, -ERR_DISK_GONE);
    }
    errand_unref(e);
}

/* ---- waiting -------------------------------------------------------------------------------- */

static struct errand **errand_of(struct lane *l, enum lane_errand kind)
{
    return kind == LANE_WRITE ? &l->write : &l->sync;
}

/* Those that are on their way still; their wakeups come to `gate`. */
static unsigned pending_of(struct lane *lanes, unsigned count, enum lane_errand kind,
                           struct gate *gate)
{
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++) {
        struct errand *e = *errand_of(&lanes[i], kind);
        if (!e || e->done)
            continue;
        e->gate = gate;
        n++;
    }
    return n;
}

static void FIBER end_all(struct lane *lanes, unsigned count, enum lane_errand kind)
{
    for (unsigned i = 0; i < count; i++) {
        struct errand **e = errand_of(&lanes[i], kind);
        if (!*e)
            continue;
        (*e)->gate = NULL;
        errand_end(&lanes[i], e);
    }
}

/* Lanes that are done and have not failed. */
static unsigned good_of(struct lane *lanes, unsigned count, enum lane_errand kind)
{
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct errand *e = *errand_of(&lanes[i], kind);
        n += lanes[i].err == 0 && (!e || (e->done && e->work.err == 0));
    }
    return n;
}

static bool may_linger(const struct lane *l)
{
    return __atomic_load_n(&l->b->stats.lingering, __ATOMIC_RELAXED) < LINGER_MAX;
}

void FIBER lanes_wait(struct lane *lanes, unsigned count, enum lane_errand kind, unsigned enough)
{
    struct gate gate;
    uint64_t begun = rt_now(), until = RT_NEVER;
    rt_lock_init(&gate.lock);
    rt_waitq_init(&gate.waiting);
    rt_lock(&gate.lock);
    while (pending_of(lanes, count, kind, &gate) > 0 && rt_now() < until) {
        if (until == RT_NEVER && enough && good_of(lanes, count, kind) >= enough &&
            may_linger(lanes))
            until = rt_now() + MAX(PATIENCE_NS, PATIENCE_TIMES * (rt_now() - begun));
        rt_wait_uncancelled(&gate.waiting, &gate.lock, until);
    }
    rt_unlock(&gate.lock);
    end_all(lanes, count, kind);
}

/* ---- pieces --------------------------------------------------------------------------------- */

void FIBER lane_write(struct lane *l, struct area *area, uint8_t *base, size_t len, bool last)
{
    CHECK(!l->write && (last || len % RT_DIRECT_ALIGN == 0));
    l->first = !l->base;
    l->base = base;
    l->len = len;
    l->last = last;
    if (l->err == 0 && !l->stream) {
        l->stream = calloc(1, sizeof(*l->stream));
        if (l->stream)
            l->stream->refs = 1;
        else
            note(l, -ENOMEM);
    }
    if (l->err == 0)
        l->write = errand_start(l, area, "blob-write", run_write);
}

void lane_carry(const struct lane *l, uint8_t *next_base)
{
    memcpy(next_base, l->base + l->len, NEEDLE_HEADROOM);
}

bool lane_syncing(const struct lane *l)
{
    return l->sync && !l->sync->done;
}

void FIBER lane_sync(struct lane *l, bool commit)
{
    lanes_wait(l, 1, LANE_SYNC, 0);
    if (l->err || !l->stream)
        return;
    l->sync = errand_start(l, NULL, "blob-sync", commit ? run_commit : run_flush);
}

void FIBER lane_append(struct lane *l, struct area *area, bool at_once)
{
    l->base = area->bytes;
    if (!at_once) {
        l->write = errand_start(l, area, "blob-append", run_append);
        return;
    }
    note(l, run_append(l));
}

void FIBER lane_append_placed(struct lane *l, struct area *area, uint8_t *base)
{
    l->base = base;
    l->write = errand_start(l, area, "blob-append", run_append_placed);
}

/* ---- several -------------------------------------------------------------------------------- */

static bool is_full(int err)
{
    return err == -ENOSPC || err == -EDQUOT || err == -ERR_FULL;
}

/* That the disks are full says more than that one of them failed. */
int lanes_error(const struct lane *lanes, unsigned count)
{
    int first = 0;
    for (unsigned i = 0; i < count; i++) {
        if (is_full(lanes[i].err))
            return lanes[i].err;
        first = first ? first : lanes[i].err;
    }
    return first;
}

unsigned lanes_alive(const struct lane *lanes, unsigned count)
{
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++)
        n += lanes[i].err == 0;
    return n;
}

unsigned lanes_durable(const struct lane *lanes, unsigned count)
{
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++)
        n += lanes[i].durable;
    return n;
}
