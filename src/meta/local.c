/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * meta/local: transactions over a kv of this process.
 *
 * Writing. Callers queue what they want run and wait. While there is a queue one fiber has the
 * committer on an offload thread; it takes what is queued, runs each function over one batch, a
 * savepoint before each, and writes the batch with one sync. Then every caller of the batch gets
 * its answer: also one whose function failed, for it may have failed over changes that are only now
 * durable.
 *
 * Reading. On a loop thread the function reads what is in memory; where that does not do it is run
 * again on an offload thread that may wait for the disk.
 *
 * Invariants
 *  1. `committing` is true exactly while a commit fiber exists; it ends only with an empty queue.
 *  2. The store changes only in write_batch(), with `commits` odd.
 *  3. Once `broken` is set no batch is written.
 *  4. A request lies on its caller's stack: it is not touched after `done` is set.
 *
 * Lock order: `lock` alone. It is never held while a function, the store or a hook runs.
 */

#include "meta/internal.h"

#define QUEUE_MAX           16384
#define BATCH_MAX_DEFAULT   1024
#define GATHER_WORTH_NS     (400 * RT_US) /* a write faster than that is not waited for */
#define GATHER_FAILURES_MAX 6
#define BATCH_BYTES_ENOUGH  (8 * MIB) /* a batch of more takes in no further transaction */

struct request {
    struct list link;
    struct bucket_id bucket;
    meta_fn *fn;
    void *arg;
    int result;
    bool done;
    struct rt_waitq wait;
};

/* What a loop thread reads with: a read does not suspend, so one a thread is enough. */
struct reader {
    struct meta_tx tx;
    bool busy;
    uint64_t reads, reads_cold;
} __attribute__((aligned(64)));

struct meta {
    struct kv *kv;
    unsigned batch_max;
    struct reader *readers; /* one a loop thread */
    unsigned reader_count;

    uint64_t commits; /* see struct meta_tx */

    struct rt_lock lock;
    struct list queue;
    unsigned queued;
    bool committing;
    struct rt_waitq idle; /* for `committing` to turn false */
    bool broken;          /* a sync has failed */
    unsigned gather_to;   /* who makes `queued` so much wakes the committer; 0: nobody */
    struct rt_waitq gathered;
    uint64_t writes, write_batches, write_errors;

    /* The committer's own. */
    uint64_t write_ns;    /* how long the last batch took to write */
    uint64_t answered_ns; /* when its callers were answered, and how many */
    unsigned answered;
    unsigned gather_skip, gather_failures;
    struct kv_batch *batch;
    struct meta_tx tx;
    struct meta_hooks hooks;
};

/* ---- life cycle ----------------------------------------------------------------------------- */

static int close_store(void *arg)
{
    kv_close(arg);
    return 0;
}

static void meta_free(struct meta *m)
{
    for (unsigned i = 0; i < m->reader_count; i++)
        meta_tx_release(&m->readers[i].tx);
    free(m->readers);
    meta_tx_release(&m->tx);
    kv_batch_free(m->batch);
    free(m->hooks.items);
    free(m);
}

static struct meta *meta_new(struct kv *kv, unsigned commit_batch_max)
{
    struct meta *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->kv = kv;
    m->batch_max = commit_batch_max ? commit_batch_max : BATCH_MAX_DEFAULT;
    rt_lock_init(&m->lock);
    list_init(&m->queue);
    rt_waitq_init(&m->idle);
    rt_waitq_init(&m->gathered);
    meta_tx_init(&m->tx, kv);
    unsigned threads = rt_thread_count();
    m->readers = aligned_alloc(_Alignof(struct reader), threads * sizeof(*m->readers));
    if (!m->readers || kv_batch_new(kv, &m->batch) < 0) {
        meta_free(m);
        return NULL;
    }
    memset(m->readers, 0, threads * sizeof(*m->readers));
    m->reader_count = threads;
    for (unsigned i = 0; i < threads; i++) {
        meta_tx_init(&m->readers[i].tx, kv);
        m->readers[i].tx.flags = KV_CACHED;
        m->readers[i].tx.commits = &m->commits;
    }
    m->tx.batch = m->batch;
    m->tx.hooks = &m->hooks;
    return m;
}

int FIBER meta_local_open(struct meta **ret, struct kv *kv, unsigned commit_batch_max)
{
    struct meta *m = meta_new(kv, commit_batch_max);
    if (!m) {
        rt_offload(close_store, kv);
        return -ENOMEM;
    }
    *ret = m;
    return 0;
}

void FIBER meta_close(struct meta *m)
{
    if (!m)
        return;
    rt_lock(&m->lock);
    while (m->committing)
        rt_wait_uncancelled(&m->idle, &m->lock, RT_NEVER);
    rt_unlock(&m->lock);
    rt_offload(close_store, m->kv);
    meta_free(m);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* One writer, many readers. */
static void count(uint64_t *counter)
{
    __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

static int run_read(struct meta_tx *tx, struct bucket_id b, meta_fn *fn, void *arg, bool snapshot)
{
    meta_tx_begin(tx, b);
    int r = snapshot ? meta_tx_take_snapshot(tx) : 0;
    if (r == 0)
        r = fn(tx, arg);
    meta_tx_end(tx);
    return tx->error < 0 ? tx->error : r;
}

struct cold_read {
    struct meta *meta;
    struct bucket_id bucket;
    meta_fn *fn;
    void *arg;
};

static int BLOCKING read_from_disk(void *arg)
{
    struct cold_read *c = arg;
    struct meta_tx tx;
    meta_tx_init(&tx, c->meta->kv);
    tx.commits = &c->meta->commits;
    int r = run_read(&tx, c->bucket, c->fn, c->arg, true);
    meta_tx_release(&tx);
    return r;
}

int FIBER meta_read(struct meta *m, struct bucket_id b, meta_fn *fn, void *arg)
{
    CHECK(rt_thread_index() < m->reader_count);
    struct reader *reader = &m->readers[rt_thread_index()];
    CHECK(!reader->busy);
    reader->busy = true;
    count(&reader->reads);
    int r = run_read(&reader->tx, b, fn, arg, false);
    if (reader->tx.raced)
        r = run_read(&reader->tx, b, fn, arg, true);
    reader->busy = false;
    if (reader->tx.error != -EAGAIN)
        return r;
    count(&reader->reads_cold);
    struct cold_read c = {m, b, fn, arg};
    return rt_offload(read_from_disk, &c);
}

/* ---- committing ----------------------------------------------------------------------------- */

/* Runs one function over the batch; its changes stay only if it succeeds. */
static int run_write(struct meta *m, struct request *q, bool disk_low)
{
    struct meta_tx *tx = &m->tx;
    size_t hooks = m->hooks.count;
    meta_tx_begin(tx, q->bucket);
    kv_batch_savepoint(m->batch);
    uint64_t before = kv_batch_version(m->batch);
    int r = q->fn(tx, q->arg);
    if (r >= 0)
        (void)meta_tx_apply_adds(tx);
    if (tx->error < 0)
        r = tx->error;
    if (r >= 0 && disk_low && !tx->use_reserve && kv_batch_version(m->batch) != before)
        r = -ENOSPC;
    meta_tx_end(tx);
    if (r < 0) {
        kv_batch_rollback(m->batch);
        m->hooks.count = hooks;
    } else {
        kv_batch_keep(m->batch);
    }
    return r;
}

/* One durable write of the batch. */
static int write_batch(struct meta *m)
{
    if (kv_batch_count(m->batch) == 0)
        return 0;
    if (m->broken)
        return -ERR_READ_ONLY;
    uint64_t start = rt_now();
    __atomic_fetch_add(&m->commits, 1, __ATOMIC_SEQ_CST);
    int r = kv_write(m->kv, m->batch, true);
    __atomic_fetch_add(&m->commits, 1, __ATOMIC_SEQ_CST);
    m->write_ns = rt_now() - start;
    return r;
}

/* Moves transactions from `taken` to `ran` until the batch is full, and commits it. */
static int commit_batch(struct meta *m, struct list *taken, struct list *ran)
{
    struct request *q;
    bool disk_low = kv_room(m->kv) < 0;
    while (!list_empty(taken) && kv_batch_bytes(m->batch) < BATCH_BYTES_ENOUGH) {
        q = container_of(list_pop_front(taken), struct request, link);
        q->result = run_write(m, q, disk_low);
        list_push_back(ran, &q->link);
    }
    int r = write_batch(m);
    if (r < 0) {
        LIST_FOR (q, ran, link)
            q->result = r;
    } else {
        for (size_t i = 0; i < m->hooks.count; i++)
            m->hooks.items[i].fn(m->hooks.items[i].arg);
    }
    m->hooks.count = 0;
    kv_batch_clear(m->batch);
    return r;
}

/*
 * Waits a little for those who were answered last to come again. Without it callers who write one
 * after another fall into two halves, each waiting for the other's sync, and a slow disk syncs half
 * batches for ever. Where they do not come back it is tried less and less often. The lock is held.
 */
static void gather(struct meta *m)
{
    unsigned target = MIN(m->queued + m->answered, m->batch_max);
    uint64_t deadline = m->answered_ns + m->write_ns / 4;
    if (m->write_ns < GATHER_WORTH_NS || target <= m->queued || rt_now() >= deadline)
        return;
    if (m->gather_skip > 0) {
        m->gather_skip--;
        return;
    }
    m->gather_to = target;
    while (m->queued < target && rt_wait(&m->gathered, &m->lock, deadline) == 0)
        ;
    m->gather_to = 0;
    if (m->queued + m->answered / 4 >= target)
        m->gather_failures = 0;
    else if (m->gather_failures < GATHER_FAILURES_MAX)
        m->gather_failures++;
    m->gather_skip = (1u << m->gather_failures) - 1;
}

/* Takes up to a batch of requests off the queue. The lock is held. */
static void take(struct meta *m, struct list *taken)
{
    for (unsigned n = 0; n < m->batch_max && m->queued > 0; n++, m->queued--)
        list_push_back(taken, list_pop_front(&m->queue));
}

/*
 * Hands out the results. After any failure but a full disk, of which the log holds nothing, what
 * the log holds is not known: the store takes no more. The lock is held.
 */
static void answer(struct meta *m, struct list *ran, int written)
{
    if (written < 0 && written != -ENOSPC && written != -EDQUOT)
        m->broken = true;
    m->write_batches++;
    m->answered = 0;
    m->answered_ns = rt_now();
    while (!list_empty(ran)) {
        struct request *q = container_of(list_pop_front(ran), struct request, link);
        m->writes++;
        m->answered++;
        m->write_errors += q->result < 0;
        q->done = true;
        rt_wake_one(&q->wait);
    }
}

static int BLOCKING commit_queue(void *arg)
{
    struct meta *m = arg;
    struct list taken, ran;
    list_init(&taken);
    list_init(&ran);
    rt_lock(&m->lock);
    while (m->queued > 0 || !list_empty(&taken)) {
        if (list_empty(&taken)) {
            gather(m);
            take(m, &taken);
        }
        rt_unlock(&m->lock);
        int written = commit_batch(m, &taken, &ran);
        rt_lock(&m->lock);
        answer(m, &ran, written);
    }
    m->committing = false;
    rt_wake_all(&m->idle);
    rt_unlock(&m->lock);
    return 0;
}

static void FIBER commit_fiber(void *arg)
{
    rt_offload(commit_queue, arg);
}

/* Queues the request and sees to it that somebody commits. The lock is held. */
static int enqueue(struct meta *m, struct request *q)
{
    if (m->broken)
        return -ERR_READ_ONLY;
    if (m->queued >= QUEUE_MAX)
        return -ERR_LIMIT;
    if (!m->committing) {
        int r = rt_spawn_detached("meta commit", commit_fiber, m);
        if (r < 0)
            return r;
        m->committing = true;
    }
    list_push_back(&m->queue, &q->link);
    if (++m->queued == m->gather_to)
        rt_wake_one(&m->gathered);
    return 0;
}

int FIBER meta_write(struct meta *m, struct bucket_id b, meta_fn *fn, void *arg)
{
    struct request q = {.bucket = b, .fn = fn, .arg = arg};
    rt_waitq_init(&q.wait);
    rt_lock(&m->lock);
    int r = enqueue(m, &q);
    while (r == 0 && !q.done) /* no deadline: the committer has this frame */
        rt_wait_uncancelled(&q.wait, &m->lock, RT_NEVER);
    rt_unlock(&m->lock);
    return r < 0 ? r : q.result;
}

/* ---- watching ------------------------------------------------------------------------------- */

void meta_stats(struct meta *m, struct meta_stats *ret)
{
    *ret = (struct meta_stats){0};
    for (unsigned i = 0; i < m->reader_count; i++) {
        ret->reads += __atomic_load_n(&m->readers[i].reads, __ATOMIC_RELAXED);
        ret->reads_cold += __atomic_load_n(&m->readers[i].reads_cold, __ATOMIC_RELAXED);
    }
    rt_lock(&m->lock);
    ret->writes = m->writes;
    ret->write_batches = m->write_batches;
    ret->write_errors = m->write_errors;
    rt_unlock(&m->lock);
    kv_stats(m->kv, &ret->kv);
}
