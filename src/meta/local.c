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
 * Failing. A batch that the store refuses for want of space or descriptors changes nothing, and
 * neither does what comes after it (`refusing` says why) until the commit fiber has brought the
 * store to work again (kv_recover), trying from time to time. Nobody may read for that moment: who
 * comes then waits for it. After any other failure, a sync's above all, it is not known what the
 * log holds: nothing is written any more before the process restarts. docs/adr/005 says why.
 *
 * Invariants
 *  1. `committing` is true exactly while a commit fiber exists; it ends only with an empty queue.
 *  2. The store changes only in write_batch(), with `commits` odd.
 *  3. While `refusing` is set no batch is written.
 *  4. A request lies on its caller's stack: it is not touched after `done` is set.
 *  5. A mirror is closed or opened anew only while `reading` is not that mirror and nobody is in
 * it: no reader's `in` and no `cold` read.
 *
 * Lock order: `lock` alone. It is never held while a function, the store or a hook runs.
 */

#include "meta/internal.h"

#define QUEUE_MAX           16384
#define BATCH_MAX_DEFAULT   1024
#define GATHER_WORTH_NS     (400 * RT_US) /* a write faster than that is not waited for */
#define GATHER_FAILURES_MAX 6
#define BATCH_BYTES_ENOUGH  (8 * MIB)    /* a batch of more takes in no further transaction */
#define RECOVER_FIRST_NS    (20 * RT_MS) /* pauses between attempts, each twice the last */
#define RECOVER_LAST_NS     (2 * RT_S)
#define READABLE_WAIT_NS    (5 * RT_S) /* a read waits so long for a store that is being opened */

struct request {
    struct list link;
    struct bucket_id bucket;
    meta_fn *fn;
    void *arg;
    int result;
    bool done;
    struct rt_waitq wait;
};

/* A store that holds the metadata, and who is in it beside the readers of the loop threads. */
struct mirror {
    struct kv *kv;
    unsigned cold; /* under the lock */
};

/* What a loop thread reads with: a read does not suspend, so one a thread is enough. */
struct reader {
    struct meta_tx tx;
    struct mirror *in; /* atomic: what it reads at the moment */
    bool busy;
    uint64_t reads, reads_cold;
} __attribute__((aligned(64)));

struct meta {
    struct mirror mirror;
    struct mirror *reading; /* atomic, changed under the lock; NULL: nobody may read now */
    unsigned batch_max;
    struct reader *readers; /* one a loop thread */
    unsigned reader_count;

    uint64_t commits; /* see struct meta_tx */

    struct rt_lock lock;
    struct list queue;
    unsigned queued;
    bool committing;
    struct rt_waitq idle; /* for `committing` to turn false */
    int refusing;         /* what writes are answered, or 0 */
    bool closing;
    struct rt_waitq closed;   /* for `closing` */
    struct rt_waitq readable; /* for `reading` */
    struct rt_waitq quiet;    /* for a mirror's `cold` to be 0 */
    unsigned gather_to;       /* who makes `queued` so much wakes the committer; 0: nobody */
    struct rt_waitq gathered;
    uint64_t writes, write_batches, write_errors, recoveries;

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
    m->mirror.kv = kv;
    m->reading = &m->mirror;
    m->batch_max = commit_batch_max ? commit_batch_max : BATCH_MAX_DEFAULT;
    rt_lock_init(&m->lock);
    list_init(&m->queue);
    rt_waitq_init(&m->idle);
    rt_waitq_init(&m->closed);
    rt_waitq_init(&m->readable);
    rt_waitq_init(&m->quiet);
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
    m->closing = true;
    rt_wake_all(&m->closed);
    while (m->committing)
        rt_wait_uncancelled(&m->idle, &m->lock, RT_NEVER);
    rt_unlock(&m->lock);
    rt_offload(close_store, m->mirror.kv);
    meta_free(m);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* One writer, many readers. */
static void count(uint64_t *counter)
{
    __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/*
 * Keeps what is read open (invariant 5): whoever changes `reading` looks at `in` afterwards, and
 * here it is the other way round, so that one of the two sees the other. NULL: nobody may read.
 */
static struct mirror *enter(struct meta *m, struct reader *reader)
{
    struct mirror *from;
    do {
        from = __atomic_load_n(&m->reading, __ATOMIC_SEQ_CST);
        __atomic_store_n(&reader->in, from, __ATOMIC_SEQ_CST);
    } while (from != __atomic_load_n(&m->reading, __ATOMIC_SEQ_CST));
    return from;
}

static void leave(struct reader *reader)
{
    __atomic_store_n(&reader->in, NULL, __ATOMIC_RELEASE);
}

/* The same for a thread that may wait for the disk; the lock is held. */
static void leave_cold(struct meta *m, struct mirror *from)
{
    if (--from->cold == 0)
        rt_wake_all(&m->quiet);
}

static int FIBER enter_cold(struct meta *m, struct mirror **ret)
{
    uint64_t deadline = rt_now() + READABLE_WAIT_NS;
    int r = 0;
    rt_lock(&m->lock);
    while (r == 0 && !m->reading)
        r = rt_wait(&m->readable, &m->lock, deadline);
    if (r == 0) {
        *ret = m->reading;
        m->reading->cold++;
    }
    rt_unlock(&m->lock);
    return r == -ETIMEDOUT ? -ERR_UNAVAILABLE : r;
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
    struct mirror *from;
    struct bucket_id bucket;
    meta_fn *fn;
    void *arg;
};

static int BLOCKING read_from_disk(void *arg)
{
    struct cold_read *c = arg;
    struct meta_tx tx;
    meta_tx_init(&tx, c->from->kv);
    tx.commits = &c->meta->commits;
    int r = run_read(&tx, c->bucket, c->fn, c->arg, true);
    meta_tx_release(&tx);
    return r;
}

static int FIBER read_cold(struct cold_read *c)
{
    int r = enter_cold(c->meta, &c->from);
    if (r < 0)
        return r;
    r = rt_offload(read_from_disk, c);
    rt_lock(&c->meta->lock);
    leave_cold(c->meta, c->from);
    rt_unlock(&c->meta->lock);
    return r;
}

/* -EAGAIN: the disk is needed. */
static int read_in_place(struct meta *m, struct reader *reader, struct cold_read *c)
{
    struct mirror *from = enter(m, reader);
    int r = -EAGAIN;
    if (from) {
        reader->tx.kv = from->kv;
        r = run_read(&reader->tx, c->bucket, c->fn, c->arg, false);
        if (reader->tx.raced)
            r = run_read(&reader->tx, c->bucket, c->fn, c->arg, true);
    }
    leave(reader);
    return r;
}

int FIBER meta_read(struct meta *m, struct bucket_id b, meta_fn *fn, void *arg)
{
    CHECK(rt_thread_index() < m->reader_count);
    struct reader *reader = &m->readers[rt_thread_index()];
    struct cold_read c = {.meta = m, .bucket = b, .fn = fn, .arg = arg};
    CHECK(!reader->busy);
    reader->busy = true;
    count(&reader->reads);
    int r = read_in_place(m, reader, &c);
    reader->busy = false;
    if (r != -EAGAIN)
        return r;
    count(&reader->reads_cold);
    return read_cold(&c);
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
    if (m->refusing)
        return m->refusing;
    uint64_t start = rt_now();
    __atomic_fetch_add(&m->commits, 1, __ATOMIC_SEQ_CST);
    int r = kv_write(m->mirror.kv, m->batch, true);
    __atomic_fetch_add(&m->commits, 1, __ATOMIC_SEQ_CST);
    m->write_ns = rt_now() - start;
    return r;
}

/* Moves transactions from `taken` to `ran` until the batch is full, and commits it. */
static int commit_batch(struct meta *m, struct list *taken, struct list *ran)
{
    struct request *q;
    bool disk_low = kv_room(m->mirror.kv) < 0;
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

/* The code with which a store that lacks something refuses, or 0. */
static bool out_of_means(int err)
{
    return err == -ENOSPC || err == -EDQUOT || err == -EMFILE || err == -ENFILE;
}

/*
 * After a failed write: a store that was only short of something may have refused and be as it
 * was, or need to be recovered. In any other case what its log holds is not known.
 */
static int refuse_after(struct meta *m, int written)
{
    if (written == 0 || m->refusing)
        return m->refusing;
    if (!out_of_means(written))
        return -ERR_READ_ONLY;
    return kv_broken(m->mirror.kv) ? written : 0;
}

/* Hands out the results. The lock is held. */
static void answer(struct meta *m, struct list *ran, int written)
{
    m->refusing = refuse_after(m, written);
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

/* Until the queue is empty. 1: the store must be recovered, and `committing` stays. */
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
    m->committing = out_of_means(m->refusing) && !m->closing;
    int recover = m->committing;
    if (!recover)
        rt_wake_all(&m->idle);
    rt_unlock(&m->lock);
    return recover;
}

/* ---- recovering ----------------------------------------------------------------------------- */

/* Waits until nobody is in the mirror, which is not `reading` any more. */
static void FIBER wait_quiet(struct meta *m, struct mirror *mirror)
{
    rt_lock(&m->lock);
    while (mirror->cold > 0)
        rt_wait_uncancelled(&m->quiet, &m->lock, RT_NEVER);
    rt_unlock(&m->lock);
    for (unsigned i = 0; i < m->reader_count; i++)
        while (__atomic_load_n(&m->readers[i].in, __ATOMIC_SEQ_CST) == mirror)
            rt_yield();
}

static void set_reading(struct meta *m, struct mirror *mirror)
{
    rt_lock(&m->lock);
    __atomic_store_n(&m->reading, mirror, __ATOMIC_SEQ_CST);
    if (mirror)
        rt_wake_all(&m->readable);
    rt_unlock(&m->lock);
}

static int BLOCKING look_at_store(void *arg)
{
    return kv_recoverable(arg);
}

static int BLOCKING recover_store(void *arg)
{
    return kv_recover(arg);
}

static int FIBER try_to_recover(struct meta *m, struct mirror *mirror)
{
    int r = rt_offload(look_at_store, mirror->kv);
    if (r < 0)
        return r;
    set_reading(m, NULL);
    wait_quiet(m, mirror);
    r = rt_offload(recover_store, mirror->kv);
    set_reading(m, mirror);
    return r;
}

/* Waits a while; false: the metadata is being closed. */
static bool FIBER pause_recovery(struct meta *m, uint64_t ns)
{
    uint64_t deadline = rt_now() + ns;
    rt_lock(&m->lock);
    while (!m->closing && rt_wait_uncancelled(&m->closed, &m->lock, deadline) == 0)
        ;
    bool goes_on = !m->closing;
    rt_unlock(&m->lock);
    return goes_on;
}

/* Until the store works again, is beyond help, or is closed. */
static void FIBER recover(struct meta *m)
{
    uint64_t pause = RECOVER_FIRST_NS;
    int r = try_to_recover(m, &m->mirror);
    while (out_of_means(r) && pause_recovery(m, pause)) {
        pause = MIN(2 * pause, RECOVER_LAST_NS);
        r = try_to_recover(m, &m->mirror);
    }
    rt_lock(&m->lock);
    m->recoveries += r == 0;
    if (!out_of_means(r))
        m->refusing = r < 0 ? -ERR_READ_ONLY : 0;
    rt_unlock(&m->lock);
}

static void FIBER commit_fiber(void *arg)
{
    while (rt_offload(commit_queue, arg) > 0)
        recover(arg);
}

/* ---- writing -------------------------------------------------------------------------------- */

/* Queues the request and sees to it that somebody commits. The lock is held. */
static int enqueue(struct meta *m, struct request *q)
{
    if (m->refusing)
        return m->refusing;
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

/* ---- upkeep --------------------------------------------------------------------------------- */

struct compaction {
    struct kv *kv;
    uint64_t freed_bytes;
};

static int BLOCKING compact_store(void *arg)
{
    struct compaction *c = arg;
    return kv_compact(c->kv, &c->freed_bytes);
}

int FIBER meta_compact(struct meta *m, uint64_t *ret_freed_bytes)
{
    struct mirror *mirror;
    int r = enter_cold(m, &mirror);
    if (r < 0)
        return r;
    struct compaction c = {.kv = mirror->kv};
    r = rt_offload(compact_store, &c);
    rt_lock(&m->lock);
    leave_cold(m, mirror);
    rt_unlock(&m->lock);
    if (r == 0)
        *ret_freed_bytes = c.freed_bytes;
    return r;
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
    ret->recoveries = m->recoveries;
    ret->refusing = m->refusing;
    struct mirror *from = m->reading;
    if (from)
        from->cold++;
    rt_unlock(&m->lock);
    if (!from)
        return;
    kv_stats(from->kv, &ret->kv);
    rt_lock(&m->lock);
    leave_cold(m, from);
    rt_unlock(&m->lock);
}
