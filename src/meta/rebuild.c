/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Making a mirror like the others while transactions go on.
 *
 * A cursor goes through the keys. Below it the mirror is like the one that is read (the source),
 * above it nothing is known. A piece reads both from the cursor on and writes what differs, so an
 * old mirror costs little but reading. Each batch of transactions that was written to those who
 * take part goes to the backlog, and of it the keys below the cursor are written.
 *
 * Why the end is right. A batch is put into the backlog after the source shows it. A key changed
 * after its piece was read is below the cursor when its batch comes up, and is written then. A
 * piece may be newer than batches that still wait; those take its keys back in time, but only
 * until the batches that made it so new come up too, in order. When the cursor is at the end and
 * the backlog is empty between two batches of the commit fiber, both are the same.
 *
 * Every write is synced, for a log with several unsynced batches at its end could not be told from
 * a damaged one. From its first step to the last the mirror is marked, so that a start never takes
 * it for a whole one.
 */

#include "meta/mirrors.h"

#define PIECE_BYTES       (512 * KIB)
#define PIECE_KEYS        4096
#define BACKLOG_BYTES_MAX (64 * MIB)
#define APPLY_BYTES       (1 * MIB) /* of the backlog, at once */
#define SOURCE_PAUSE_NS   (1 * RT_S)
#define SWITCH_PAUSE_NS   (10 * RT_MS)

struct waiting_batch {
    struct list link;
    struct shared_batch *batch;
};

/* The lock is held. */
static struct waiting_batch *first_waiting(struct mirror *m)
{
    struct list *link = list_pop_front(&m->backlog);
    if (!link)
        return NULL;
    struct waiting_batch *w = container_of(link, struct waiting_batch, link);
    m->backlog_bytes -= kv_batch_bytes(w->batch->batch);
    return w;
}

static void waiting_free(struct waiting_batch *w)
{
    shared_batch_unref(w->batch);
    free(w);
}

void rebuild_release(struct mirror *m)
{
    struct waiting_batch *w;
    while ((w = first_waiting(m)))
        waiting_free(w);
    buf_release(&m->rebuild.cursor);
}

/* ---- beginning ------------------------------------------------------------------------------ */

/* It keeps in mind which generation it is copied from, so that nobody older is believed later. */
static int mark(struct mirror *m, struct kv_batch *b)
{
    rt_lock(&m->set->lock);
    struct mirror_row row = m->set->noted;
    rt_unlock(&m->set->lock);
    row.whole = false;
    int r = mirror_put_row(m, row, b);
    return r == 0 ? kv_write(m->kv, b, true) : r;
}

int BLOCKING mirror_mark(void *arg)
{
    struct mirror *m = arg;
    struct kv_batch *b;
    int r = kv_batch_new(m->kv, &b);
    if (r < 0)
        return r;
    r = mark(m, b);
    kv_batch_free(b);
    return r;
}

/* ---- the backlog ---------------------------------------------------------------------------- */

/* The next of the backlog, to be written at once: so it is always emptied faster than filled. */
struct applying {
    struct mirror *mirror;
    struct list waiting;
    struct kv_batch *to;
};

/* The lock is held. */
static void take_waiting(struct mirror *m, struct applying *ret)
{
    struct waiting_batch *w;
    uint64_t bytes = 0;
    ret->mirror = m;
    list_init(&ret->waiting);
    while (bytes < APPLY_BYTES && (w = first_waiting(m))) {
        bytes += kv_batch_bytes(w->batch->batch);
        list_push_back(&ret->waiting, &w->link);
    }
}

static int apply_key(void *arg, struct str key, struct str value)
{
    struct applying *a = arg;
    const struct rebuild *b = &a->mirror->rebuild;
    if (key.len < BUCKET_BYTES || (!b->copied && str_cmp(key, buf_str(&b->cursor)) >= 0))
        return 0;
    return value.ptr ? kv_batch_put(a->to, key, value) : kv_batch_del(a->to, key);
}

static int gather(struct applying *a)
{
    struct waiting_batch *w;
    int r = 0;
    LIST_FOR (w, &a->waiting, link)
        if (r == 0)
            r = kv_batch_each(w->batch->batch, apply_key, a);
    return r;
}

static int BLOCKING apply(void *arg)
{
    struct applying *a = arg;
    int r = kv_batch_new(a->mirror->kv, &a->to);
    if (r < 0)
        return r;
    r = gather(a);
    if (r == 0 && kv_batch_count(a->to) > 0)
        r = kv_write(a->mirror->kv, a->to, true);
    kv_batch_free(a->to);
    return r;
}

static void waiting_release(struct applying *a)
{
    struct list *link;
    while ((link = list_pop_front(&a->waiting)))
        waiting_free(container_of(link, struct waiting_batch, link));
}

static int FIBER apply_waiting(struct mirror *m, struct applying *a)
{
    int r = rt_offload(apply, a);
    waiting_release(a);
    rt_lock(&m->set->lock);
    m->rebuild.applied++;
    rt_wake_all(&m->set->done); /* whoever waits for room in the backlog, or for its end */
    rt_unlock(&m->set->lock);
    return r;
}

/* False when the backlog is full. The lock is held. */
static bool feed(struct mirror *m, struct waiting_batch *w)
{
    size_t bytes = kv_batch_bytes(w->batch->batch);
    if (m->backlog_bytes > 0 && m->backlog_bytes + bytes > BACKLOG_BYTES_MAX)
        return false;
    m->backlog_bytes += bytes;
    m->ready = false;
    list_push_back(&m->backlog, &w->link);
    rt_wake_all(&m->wake);
    return true;
}

int FIBER rebuild_wait(struct mirror *m, uint64_t *seen)
{
    int r = rt_wait_uncancelled(&m->set->done, &m->set->lock, rt_now() + m->set->deadline_ns);
    bool moves = *seen != m->rebuild.applied;
    *seen = m->rebuild.applied;
    return moves ? 0 : r;
}

/* Leaves it out when there is no room and its backlog does not move. */
static void FIBER feed_one(struct mirror *m, struct shared_batch *batch)
{
    struct mirrors *set = m->set;
    uint64_t seen = 0;
    struct waiting_batch *w = malloc(sizeof(*w));
    int r = w ? 0 : -ENOMEM;
    if (w)
        w->batch = shared_batch_ref(batch);
    rt_lock(&set->lock);
    while (r == 0 && m->state == META_MIRROR_REBUILDING && !feed(m, w))
        r = rebuild_wait(m, &seen);
    bool fed = r == 0 && m->state == META_MIRROR_REBUILDING;
    if (r < 0 && m->state == META_MIRROR_REBUILDING)
        mirror_set_state(m, META_MIRROR_LOST, -ETIMEDOUT);
    rt_wake_all(&m->wake);
    rt_unlock(&set->lock);
    if (w && !fed)
        waiting_free(w);
}

void FIBER mirrors_feed(struct mirrors *set, struct shared_batch *batch)
{
    struct mirror *to[META_MIRRORS_MAX];
    unsigned n = 0;
    rt_lock(&set->lock);
    for (unsigned i = 0; i < set->count; i++)
        if (set->all[i]->state == META_MIRROR_REBUILDING)
            to[n++] = set->all[i];
    rt_unlock(&set->lock);
    for (unsigned i = 0; i < n; i++)
        feed_one(to[i], batch);
}

/* ---- copying -------------------------------------------------------------------------------- */

/* A piece: what differs from `mirror`'s cursor on. */
struct piece {
    struct mirror *mirror;
    struct kv *source;
    struct kv_iter *theirs, *ours;
    struct kv_batch *changes;
    struct buf next; /* the cursor behind the piece */
    uint64_t keys, bytes;
    bool last;
    int source_err;
};

static bool more(const struct kv_iter *it)
{
    return kv_iter_valid(it);
}

/* Which comes first: below 0 theirs, above 0 ours. One of them is valid. */
static int compare(const struct piece *p)
{
    if (!more(p->theirs) || !more(p->ours))
        return more(p->theirs) ? -1 : 1;
    return str_cmp(kv_iter_key(p->theirs), kv_iter_key(p->ours));
}

static int take_theirs(struct piece *p, bool is_new)
{
    struct str key = kv_iter_key(p->theirs), value = kv_iter_value(p->theirs);
    bool differs = is_new || !str_eq(value, kv_iter_value(p->ours));
    p->keys++;
    p->bytes += key.len + value.len;
    return differs && key.len >= BUCKET_BYTES ? kv_batch_put(p->changes, key, value) : 0;
}

static int drop_ours(struct piece *p)
{
    struct str key = kv_iter_key(p->ours);
    p->bytes += key.len;
    return key.len >= BUCKET_BYTES ? kv_batch_del(p->changes, key) : 0;
}

/* One key of either or both. */
static int compare_step(struct piece *p)
{
    int order = compare(p);
    struct str key = kv_iter_key(order > 0 ? p->ours : p->theirs);
    buf_reset(&p->next);
    buf_put_str(&p->next, key);
    buf_put_char(&p->next, 0);
    int r = order > 0 ? drop_ours(p) : take_theirs(p, order < 0);
    if (order <= 0)
        kv_iter_next(p->theirs);
    if (order >= 0)
        kv_iter_next(p->ours);
    return r < 0 ? r : buf_error(&p->next);
}

static int compare_piece(struct piece *p)
{
    struct str cursor = buf_str(&p->mirror->rebuild.cursor);
    unsigned steps = 0;
    int r = 0;
    kv_iter_seek(p->theirs, cursor);
    kv_iter_seek(p->ours, cursor);
    while (r == 0 && (more(p->theirs) || more(p->ours)) && p->bytes < PIECE_BYTES &&
           steps++ < PIECE_KEYS) {
        if ((!more(p->theirs) && kv_iter_error(p->theirs) < 0) ||
            (!more(p->ours) && kv_iter_error(p->ours) < 0))
            break; /* an end that is none */
        r = compare_step(p);
    }
    p->last = !more(p->theirs) && !more(p->ours);
    p->source_err = kv_iter_error(p->theirs);
    return r < 0 ? r : kv_iter_error(p->ours);
}

static int BLOCKING read_piece(void *arg)
{
    struct piece *p = arg;
    int r = kv_iter_new(p->mirror->kv, NULL, NULL, 0, &p->ours);
    if (r == 0)
        p->source_err = kv_iter_new(p->source, NULL, NULL, 0, &p->theirs);
    if (r == 0 && p->source_err == 0)
        r = compare_piece(p);
    kv_iter_free(p->theirs);
    kv_iter_free(p->ours);
    return r;
}

static int BLOCKING write_piece(void *arg)
{
    struct piece *p = arg;
    return kv_batch_count(p->changes) > 0 ? kv_write(p->mirror->kv, p->changes, true) : 0;
}

/* The next piece waits until this one's rate is kept. */
static void advance(struct mirror *m, struct piece *p)
{
    struct rebuild *b = &m->rebuild;
    rt_lock(&m->set->lock);
    if (m->state == META_MIRROR_REBUILDING) {
        buf_release(&b->cursor);
        b->cursor = p->next;
        buf_init(&p->next, 0);
        b->copied = p->last;
        b->keys += p->keys;
        b->bytes += p->bytes;
        m->not_before_ns = rt_now() + p->bytes * RT_S / m->set->rebuild_bytes_per_s;
    }
    rt_unlock(&m->set->lock);
}

/* The source failed: another one may be read by then. */
static void FIBER wait_for_source(struct mirror *m, struct mirror *source, int err)
{
    bool other = (err == -EIO || err == -ERR_CORRUPT) && mirrors_suspect(m->set, source, err);
    rt_lock(&m->set->lock);
    m->not_before_ns = rt_now() + (other ? SWITCH_PAUSE_NS : SOURCE_PAUSE_NS);
    rt_unlock(&m->set->lock);
    if (other)
        m->set->kick(m->set->kick_arg);
}

static void estimate(struct mirror *m, struct kv *source)
{
    struct kv_stats stats;
    if (m->rebuild.keys_estimate == 0 && kv_stats(source, &stats) == 0)
        m->rebuild.keys_estimate = stats.keys_estimate;
}

/* The source is let go before the mirror is written: that may hang, and must hold up nobody. */
static int FIBER copy_with(struct mirror *m, struct piece *p)
{
    struct mirror *source;
    int r = mirrors_enter_cold(m->set, &source);
    if (r < 0) {
        wait_for_source(m, NULL, r);
        return 0;
    }
    p->source = source->kv;
    estimate(m, p->source);
    r = rt_offload(read_piece, p);
    mirrors_leave_cold(m->set, source);
    if (r == 0 && p->source_err < 0) {
        wait_for_source(m, source, p->source_err);
        return 0;
    }
    if (r == 0)
        r = rt_offload(write_piece, p);
    if (r == 0)
        advance(m, p);
    return r;
}

static int FIBER copy_piece(struct mirror *m)
{
    struct piece p = {.mirror = m};
    int r = kv_batch_new(m->kv, &p.changes);
    if (r < 0)
        return r;
    buf_init(&p.next, 0);
    r = copy_with(m, &p);
    buf_release(&p.next);
    kv_batch_free(p.changes);
    return r;
}

int FIBER rebuild_step(struct mirror *m)
{
    struct rebuild *b = &m->rebuild;
    int r = b->begun ? 0 : rt_offload(mirror_mark, m);
    if (r < 0)
        return r;
    b->begun = true;
    struct applying a;
    rt_lock(&m->set->lock);
    take_waiting(m, &a);
    bool any = !list_empty(&a.waiting), pausing = rt_now() < m->not_before_ns;
    m->ready = b->copied && !any;
    if (m->ready)
        rt_wake_all(&m->set->done);
    rt_unlock(&m->set->lock);
    if (any)
        r = apply_waiting(m, &a);
    /* A piece each time, or steady writing would keep it from ever being copied. */
    return r < 0 || b->copied || pausing ? r : copy_piece(m);
}
