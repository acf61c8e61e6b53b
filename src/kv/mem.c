/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * One versioned map (vmap.h) whose numbers are the batches written. A snapshot is a number; a crash
 * goes back to one.
 *
 * Invariants
 *  1. synced <= last; what has a number up to `synced` survives a crash.
 *  2. No snapshot of a live handle has a number below `forgotten`, nor has `synced`.
 *  3. A handle whose `life` is not the content's reads and writes nothing: each call answers
 *     -ERR_CLOSED.
 */

#include <unistd.h>
#include "kv/internal.h"
#include "kv/mem.h"
#include "rt/rt.h"

struct kv_mem {
    struct rt_lock lock;
    struct vmap map;
    struct list snapshots; /* oldest first */
    uint64_t last;         /* number of the newest batch */
    uint64_t synced;
    uint64_t life; /* crashes so far */
    uint64_t handles;
    uint64_t fail_syncs, refuse_writes;
    int fail_err, refuse_err;
    int broken;          /* what kv_broken says; set by the first write while `recoveries` > 0 */
    int break_err;       /* what it will say */
    unsigned recoveries; /* that it takes to make it work */
    bool with_log, cold, full;
    int read_err;
    bool hang; /* atomic */
};

struct mem_kv {
    struct kv kv;
    struct kv_mem *mem;
    uint64_t life;
};

struct kv_snapshot {
    struct list link;
    uint64_t number;
};

/* A walk keeps its moment with a snapshot, its own or the one it was given. */
struct mem_walk {
    struct kv_walk walk;
    struct mem_kv *kv;
    const struct kv_range *range;
    struct kv_snapshot own;
    uint64_t number;
    struct vmap_node *node;
    const struct vmap_version *version;
    unsigned flags;
    int error;
};

static struct mem_kv *mem_of(struct kv *kv)
{
    return container_of(kv, struct mem_kv, kv);
}

static struct mem_walk *walk_of(const struct kv_walk *w)
{
    return container_of((struct kv_walk *)w, struct mem_walk, walk);
}

/* Takes the content's lock; under it says whether the handle may still use the content. */
static int enter(struct mem_kv *h, unsigned flags)
{
    rt_lock(&h->mem->lock);
    if (h->life != h->mem->life)
        return -ERR_CLOSED;
    return flags & KV_CACHED && h->mem->cold ? -EAGAIN : 0;
}

static int enter_to_read(struct mem_kv *h, unsigned flags)
{
    int r = enter(h, flags);
    return r == 0 ? h->mem->read_err : r;
}

static int leave(struct mem_kv *h, int r)
{
    rt_unlock(&h->mem->lock);
    return r;
}

static void forget(struct kv_mem *m)
{
    uint64_t floor = m->synced;
    if (!list_empty(&m->snapshots)) {
        struct kv_snapshot *oldest = container_of(m->snapshots.next, struct kv_snapshot, link);
        floor = MIN(floor, oldest->number);
    }
    vmap_forget(&m->map, floor);
}

/* ---- reading -------------------------------------------------------------------------------- */

static int mem_get(struct kv *kv, const struct kv_snapshot *snap, struct str key, unsigned flags,
                   struct buf *ret)
{
    struct mem_kv *h = mem_of(kv);
    int r = enter_to_read(h, flags);
    if (r < 0)
        return leave(h, r);
    const struct vmap_version *v = vmap_find(&h->mem->map, key, snap ? snap->number : VMAP_NEWEST);
    if (!v || v->deleted)
        return leave(h, -ERR_NOT_FOUND);
    buf_put_str(ret, vmap_value(v));
    return leave(h, buf_error(ret));
}

static int mem_snapshot_new(struct kv *kv, struct kv_snapshot **ret)
{
    struct mem_kv *h = mem_of(kv);
    struct kv_snapshot *s = malloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    int r = enter(h, 0);
    s->number = h->mem->last;
    if (r < 0)
        list_init(&s->link);
    else
        list_push_back(&h->mem->snapshots, &s->link);
    *ret = s;
    return leave(h, 0);
}

static void mem_snapshot_free(struct kv *kv, struct kv_snapshot *s)
{
    struct mem_kv *h = mem_of(kv);
    rt_lock(&h->mem->lock);
    list_remove(&s->link);
    leave(h, 0);
    free(s);
}

/* ---- walking -------------------------------------------------------------------------------- */

/* Moves from `n` on, forward or back, to the nearest key that is there at the walk's moment. */
static void walk_settle(struct mem_walk *w, struct vmap_node *n, bool backward)
{
    const struct vmap *map = &w->kv->mem->map;
    for (; n; n = backward ? vmap_last_before(map, vmap_key(n)) : vmap_next(n)) {
        w->version = vmap_at(n, w->number);
        if (w->version && !w->version->deleted)
            break;
    }
    if (n && !str_starts(vmap_key(n), w->range->prefix))
        n = NULL;
    w->node = n;
}

static void mem_walk_seek(struct kv_walk *walk, struct str key)
{
    struct mem_walk *w = walk_of(walk);
    w->node = NULL;
    w->error = enter_to_read(w->kv, w->flags);
    if (w->error == 0)
        walk_settle(w, vmap_first_at_or_after(&w->kv->mem->map, key), false);
    leave(w->kv, 0);
}

/* The range's end is not part of it. */
static struct vmap_node *last_in_range(const struct mem_walk *w, struct str key)
{
    const struct vmap *map = &w->kv->mem->map;
    bool at_end = w->range->end.len > 0 && str_eq(key, w->range->end);
    return at_end ? vmap_last_before(map, key) : vmap_last_at_or_before(map, key);
}

static void mem_walk_seek_for_prev(struct kv_walk *walk, struct str key)
{
    struct mem_walk *w = walk_of(walk);
    w->node = NULL;
    w->error = enter_to_read(w->kv, w->flags);
    if (w->error == 0)
        walk_settle(w, last_in_range(w, key), true);
    leave(w->kv, 0);
}

static void step(struct mem_walk *w, bool backward)
{
    CHECK(w->node);
    struct vmap_node *n = TAKE_PTR(w->node);
    w->error = enter_to_read(w->kv, w->flags);
    if (w->error == 0)
        walk_settle(w, backward ? vmap_last_before(&w->kv->mem->map, vmap_key(n)) : vmap_next(n),
                    backward);
    leave(w->kv, 0);
}

static void mem_walk_next(struct kv_walk *walk)
{
    step(walk_of(walk), false);
}

static void mem_walk_prev(struct kv_walk *walk)
{
    step(walk_of(walk), true);
}

static bool mem_walk_valid(const struct kv_walk *walk)
{
    return walk_of(walk)->node != NULL;
}

static struct str mem_walk_key(const struct kv_walk *walk)
{
    return vmap_key(walk_of(walk)->node);
}

static struct str mem_walk_value(const struct kv_walk *walk)
{
    return vmap_value(walk_of(walk)->version);
}

static int mem_walk_error(const struct kv_walk *walk)
{
    return walk_of(walk)->error;
}

static void mem_walk_free(struct kv_walk *walk)
{
    struct mem_walk *w = walk_of(walk);
    rt_lock(&w->kv->mem->lock);
    list_remove(&w->own.link);
    leave(w->kv, 0);
    free(w);
}

static const struct kv_walk_ops mem_walk_ops = {
    .free = mem_walk_free,
    .seek = mem_walk_seek,
    .seek_for_prev = mem_walk_seek_for_prev,
    .next = mem_walk_next,
    .prev = mem_walk_prev,
    .valid = mem_walk_valid,
    .key = mem_walk_key,
    .value = mem_walk_value,
    .error = mem_walk_error,
};

static int mem_walk_new(struct kv *kv, const struct kv_snapshot *snap, const struct kv_range *range,
                        unsigned flags, struct kv_walk **ret)
{
    struct mem_kv *h = mem_of(kv);
    struct mem_walk *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->walk.ops = &mem_walk_ops;
    w->kv = h;
    w->range = range;
    w->flags = flags;
    list_init(&w->own.link);
    int r = enter(h, 0);
    w->own.number = h->mem->last;
    w->number = snap ? snap->number : h->mem->last;
    if (r == 0 && !snap)
        list_push_back(&h->mem->snapshots, &w->own.link);
    *ret = &w->walk;
    return leave(h, 0);
}

/* ---- writing -------------------------------------------------------------------------------- */

static int fail_sync(struct kv_mem *m)
{
    if (m->recoveries > 0)
        return m->broken = m->break_err;
    if (m->fail_syncs == 0)
        return 0;
    m->fail_syncs--;
    return m->fail_err;
}

/* Applies the batch's newest changes under one number, or none of them. */
static int apply(struct kv_mem *m, const struct vmap *changes)
{
    for (const struct vmap_node *n = changes->head[0]; n; n = vmap_next(n)) {
        const struct vmap_version *v = n->newest;
        int r = v->deleted ? vmap_del(&m->map, vmap_key(n), m->last + 1)
                           : vmap_put(&m->map, vmap_key(n), vmap_value(v), m->last + 1);
        if (r < 0) {
            vmap_rollback(&m->map, m->last);
            return r;
        }
    }
    m->last++;
    return 0;
}

static int mem_write(struct kv *kv, struct kv_batch *b, bool sync)
{
    struct mem_kv *h = mem_of(kv);
    struct kv_mem *m = h->mem;
    while (__atomic_load_n(&m->hang, __ATOMIC_ACQUIRE))
        usleep(1000);
    int r = enter(h, 0);
    sync = sync && m->with_log;
    if (r == 0 && m->refuse_writes > 0) {
        m->refuse_writes--;
        r = m->refuse_err;
    }
    if (r == 0 && sync)
        r = fail_sync(m);
    if (r == 0)
        r = apply(m, &b->changes);
    if (r == 0 && sync)
        m->synced = m->last;
    if (r == 0)
        forget(m);
    return leave(h, r);
}

static int mem_flush(struct kv *kv)
{
    struct mem_kv *h = mem_of(kv);
    int r = enter(h, 0);
    if (r == 0)
        r = fail_sync(h->mem);
    if (r == 0)
        h->mem->synced = h->mem->last;
    return leave(h, r);
}

static int mem_room(struct kv *kv)
{
    struct mem_kv *h = mem_of(kv);
    int r = enter(h, 0);
    return leave(h, r == 0 && h->mem->full ? -ENOSPC : r);
}

static int mem_broken(struct kv *kv)
{
    struct mem_kv *h = mem_of(kv);
    int r = enter(h, 0);
    return leave(h, r < 0 ? r : h->mem->broken);
}

static int mem_recover(struct kv *kv)
{
    struct mem_kv *h = mem_of(kv);
    struct kv_mem *m = h->mem;
    int r = enter(h, 0);
    if (r == 0 && m->broken) {
        CHECK(list_empty(&m->snapshots));
        m->broken = --m->recoveries > 0 ? m->broken : 0;
        r = m->broken;
    }
    return leave(h, r);
}

static int mem_recoverable(struct kv *kv)
{
    struct mem_kv *h = mem_of(kv);
    int r = enter(h, 0);
    return leave(h, r == 0 && h->mem->full ? -ENOSPC : r);
}

static int mem_stats(struct kv *kv, struct kv_stats *ret)
{
    struct mem_kv *h = mem_of(kv);
    int r = enter(h, 0);
    if (r == 0)
        *ret = (struct kv_stats){.keys_estimate = h->mem->map.nodes,
                                 .memory_bytes = h->mem->map.bytes};
    return leave(h, r);
}

static void mem_close(struct kv *kv)
{
    struct mem_kv *h = mem_of(kv);
    rt_lock(&h->mem->lock);
    h->mem->handles--;
    leave(h, 0);
    free(h);
}

static const struct kv_ops mem_ops = {
    .close = mem_close,
    .get = mem_get,
    .snapshot_new = mem_snapshot_new,
    .snapshot_free = mem_snapshot_free,
    .write = mem_write,
    .flush = mem_flush,
    .room = mem_room,
    .broken = mem_broken,
    .recoverable = mem_recoverable,
    .recover = mem_recover,
    .walk_new = mem_walk_new,
    .stats = mem_stats,
};

int kv_mem_open(struct kv **ret, struct kv_mem *m)
{
    struct mem_kv *h = malloc(sizeof(*h));
    if (!h)
        return -ENOMEM;
    rt_lock(&m->lock);
    *h = (struct mem_kv){.kv.ops = &mem_ops, .mem = m, .life = m->life};
    m->handles++;
    *ret = &h->kv;
    return leave(h, 0);
}

/* ---- the content ---------------------------------------------------------------------------- */

int kv_mem_new(struct kv_mem **ret, bool with_log)
{
    struct kv_mem *m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    rt_lock_init(&m->lock);
    vmap_init(&m->map);
    list_init(&m->snapshots);
    m->with_log = with_log;
    *ret = m;
    return 0;
}

void kv_mem_free(struct kv_mem *m)
{
    if (!m)
        return;
    CHECK(m->handles == 0);
    vmap_release(&m->map);
    free(m);
}

void kv_mem_crash(struct kv_mem *m, uint64_t keep_unsynced)
{
    rt_lock(&m->lock);
    while (list_pop_front(&m->snapshots))
        ;
    m->last = MIN(m->last, m->synced + keep_unsynced);
    vmap_rollback(&m->map, m->last);
    m->synced = m->last;
    m->life++;
    m->fail_syncs = 0;
    m->broken = 0;
    m->recoveries = 0;
    rt_unlock(&m->lock);
}

uint64_t kv_mem_unsynced(const struct kv_mem *m)
{
    return m->last - m->synced;
}

void kv_mem_fail_syncs(struct kv_mem *m, uint64_t count, int err)
{
    rt_lock(&m->lock);
    m->fail_syncs = count;
    m->fail_err = err;
    rt_unlock(&m->lock);
}

void kv_mem_refuse_writes(struct kv_mem *m, uint64_t count, int err)
{
    rt_lock(&m->lock);
    m->refuse_writes = count;
    m->refuse_err = err;
    rt_unlock(&m->lock);
}

void kv_mem_break_log(struct kv_mem *m, int err, unsigned recoveries)
{
    rt_lock(&m->lock);
    m->break_err = err;
    m->recoveries = recoveries;
    rt_unlock(&m->lock);
}

void kv_mem_fail_reads(struct kv_mem *m, int err)
{
    rt_lock(&m->lock);
    m->read_err = err;
    rt_unlock(&m->lock);
}

void kv_mem_hang(struct kv_mem *m, bool hang)
{
    __atomic_store_n(&m->hang, hang, __ATOMIC_RELEASE);
}

void kv_mem_set_cold(struct kv_mem *m, bool cold)
{
    rt_lock(&m->lock);
    m->cold = cold;
    rt_unlock(&m->lock);
}

void kv_mem_set_full(struct kv_mem *m, bool full)
{
    rt_lock(&m->lock);
    m->full = full;
    rt_unlock(&m->lock);
}
