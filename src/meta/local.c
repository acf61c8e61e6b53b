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
 * Mirrors. While there is one store the committer writes the batch itself. With several
 * (mirrors.c) it has all of them write it at once, and waits; where one fails or takes long the
 * commit fiber goes on from there.
 *
 * Failing. A batch that the stores refuse for want of space or descriptors changes nothing, and
 * neither does what comes after it (`refusing` says why) until the commit fiber has brought them to
 * work again, trying from time to time. Nobody may read for that moment: who comes then waits for
 * it. After any other failure of all of them, a sync's above all, it is not known what the logs
 * hold: nothing is written any more before the process restarts. docs/adr/005 says why.
 *
 * Invariants
 *  1. `committing` is true exactly while a commit fiber exists; it ends only with an empty queue.
 *  2. The stores change only while `commits` is odd.
 *  3. While `refusing` is set no batch is written.
 *  4. A request lies on its caller's stack: it is not touched after `done` is set.
 *
 * Lock order: `lock` alone. It is never held while a function, a store or a hook runs.
 */

#include "meta/internal.h"

#define QUEUE_MAX           16384
#define BATCH_MAX_DEFAULT   1024
#define GATHER_WORTH_NS     (100 * RT_US) /* a write faster than that is not waited for */
#define GATHER_FAILURES_MAX 6
#define BATCH_BYTES_ENOUGH  (8 * MIB)    /* a batch of more takes in no further transaction */
#define RECOVER_FIRST_NS    (20 * RT_MS) /* pauses between attempts, each twice the last */
#define RECOVER_LAST_NS     (2 * RT_S)
#define RENEW_PAUSE_NS      (20 * RT_MS)
#define AWAIT_NS            (1 * RT_S) /* mirrors are waited for on the committer's thread */

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
    struct mirrors *mirrors;
    unsigned batch_max;
    struct reader *readers; /* one a loop thread */
    unsigned reader_count;

    uint64_t commits; /* see struct meta_tx */

    struct rt_lock lock;
    struct list queue;
    unsigned queued;
    bool committing;
    bool kicked;          /* somebody has a task for the commit fiber */
    struct rt_waitq idle; /* for `committing` to turn false */
    int refusing;         /* what writes are answered, or 0 */
    bool closing;
    struct rt_waitq closed; /* for `closing` */
    unsigned gather_to;     /* who makes `queued` so much wakes the committer; 0: nobody */
    struct rt_waitq gathered;
    uint64_t writes, write_batches, write_errors, recoveries;

    /* The committer's own. */
    uint64_t write_start_ns;
    uint64_t write_ns;    /* how long the last batch took to write */
    uint64_t answered_ns; /* when its callers were answered, and how many */
    unsigned answered;
    unsigned gather_skip, gather_failures;
    uint64_t pause_ns;     /* before the next attempt to recover */
    bool gathered_already; /* by the commit fiber */
    bool begun;            /* the mirrors were asked to write the batch; how that went */
    int begun_result;
    struct shared_batch *shared;
    struct kv_batch *batch; /* the same */
    struct list taken, ran; /* of the present batch: not run yet, run */
    struct meta_tx tx;
    struct meta_hooks hooks;
};

/* ---- life cycle ----------------------------------------------------------------------------- */

static void meta_free(struct meta *m)
{
    for (unsigned i = 0; i < m->reader_count; i++)
        meta_tx_release(&m->readers[i].tx);
    free(m->readers);
    meta_tx_release(&m->tx);
    shared_batch_unref(m->shared);
    free(m->hooks.items);
    free(m);
}

static void set_batch(struct meta *m, struct shared_batch *b)
{
    m->shared = b;
    m->batch = b->batch;
    m->tx.batch = b->batch;
}

static int readers_init(struct meta *m)
{
    unsigned threads = rt_thread_count();
    m->readers = aligned_alloc(_Alignof(struct reader), threads * sizeof(*m->readers));
    if (!m->readers)
        return -ENOMEM;
    memset(m->readers, 0, threads * sizeof(*m->readers));
    m->reader_count = threads;
    for (unsigned i = 0; i < threads; i++) {
        meta_tx_init(&m->readers[i].tx, NULL);
        m->readers[i].tx.flags = KV_CACHED;
        m->readers[i].tx.commits = &m->commits;
    }
    return 0;
}

static void meta_init(struct meta *m, unsigned commit_batch_max)
{
    m->batch_max = commit_batch_max ? commit_batch_max : BATCH_MAX_DEFAULT;
    rt_lock_init(&m->lock);
    list_init(&m->queue);
    list_init(&m->taken);
    list_init(&m->ran);
    rt_waitq_init(&m->idle);
    rt_waitq_init(&m->closed);
    rt_waitq_init(&m->gathered);
    meta_tx_init(&m->tx, NULL);
    m->tx.hooks = &m->hooks;
}

static int meta_new(struct meta **ret, unsigned commit_batch_max)
{
    struct meta *m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    meta_init(m, commit_batch_max);
    struct shared_batch *b;
    if (readers_init(m) < 0 || shared_batch_new(NULL, &b) < 0) {
        meta_free(m);
        return -ENOMEM;
    }
    set_batch(m, b);
    *ret = m;
    return 0;
}

static void FIBER kick(void *arg);

/* Takes over the stores in any case. */
static int FIBER make_mirrors(struct meta *m, const struct meta_mirrors_config *config)
{
    int r = config->count >= 1 && config->count <= META_MIRRORS_MAX ? 0 : -EINVAL;
    if (r == 0)
        r = mirrors_new(&m->mirrors, config);
    if (r == 0) {
        m->mirrors->kick = kick;
        m->mirrors->kick_arg = m;
    }
    for (unsigned i = 0; i < config->count; i++) {
        if (r == 0)
            r = mirrors_put(m->mirrors, config->mirrors[i].id, config->mirrors[i].kv);
        if (r < 0)
            rt_offload(mirror_close_store, config->mirrors[i].kv);
    }
    return r;
}

static int FIBER open_mirrors(struct meta **ret, const struct meta_mirrors_config *config,
                              bool plain, char why[META_WHY_BYTES])
{
    struct meta *m;
    int r = meta_new(&m, config->commit_batch_max);
    if (r < 0) {
        for (unsigned i = 0; i < config->count; i++)
            rt_offload(mirror_close_store, config->mirrors[i].kv);
        return r;
    }
    r = make_mirrors(m, config);
    if (r == 0)
        r = mirrors_choose(m->mirrors, config->force, plain, why);
    if (r < 0)
        meta_close(m);
    else
        *ret = m;
    return r;
}

int FIBER meta_mirrors_open(struct meta **ret, const struct meta_mirrors_config *config,
                            char ret_why[META_WHY_BYTES])
{
    char why[META_WHY_BYTES] = "";
    int r = open_mirrors(ret, config, false, why);
    if (r < 0 && ret_why)
        memcpy(ret_why, why, sizeof(why));
    return r;
}

int FIBER meta_local_open(struct meta **ret, struct kv *kv, unsigned commit_batch_max)
{
    struct meta_mirror only = {.kv = kv};
    struct meta_mirrors_config config = {
        .mirrors = &only, .count = 1, .commit_batch_max = commit_batch_max};
    char why[META_WHY_BYTES];
    return open_mirrors(ret, &config, true, why);
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
    if (m->mirrors)
        mirrors_close(m->mirrors);
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
    struct mirror *from;
    struct bucket_id bucket;
    meta_fn *fn;
    void *arg;
    int store_failed;
};

static int BLOCKING read_from_disk(void *arg)
{
    struct cold_read *c = arg;
    struct meta_tx tx;
    meta_tx_init(&tx, c->from->kv);
    tx.commits = &c->meta->commits;
    int r = run_read(&tx, c->bucket, c->fn, c->arg, true);
    c->store_failed = tx.store_failed;
    meta_tx_release(&tx);
    return r;
}

/* A mirror that fails is left out; true when there is another one to read from. */
static bool FIBER read_elsewhere(struct cold_read *c)
{
    if (!c->store_failed || !mirrors_suspect(c->meta->mirrors, c->from, c->store_failed))
        return false;
    kick(c->meta);
    mirrors_wait_other(c->meta->mirrors, c->from);
    return true;
}

static int FIBER read_cold(struct cold_read *c)
{
    int r;
    do {
        r = mirrors_enter_cold(c->meta->mirrors, &c->from);
        if (r < 0)
            return r;
        r = rt_offload(read_from_disk, c);
        mirrors_leave_cold(c->meta->mirrors, c->from);
    } while (r < 0 && read_elsewhere(c));
    return r;
}

/* -EAGAIN: the disk is needed, or another mirror. */
static int read_in_place(struct meta *m, struct reader *reader, struct cold_read *c)
{
    unsigned thread = rt_thread_index();
    c->from = mirrors_enter(m->mirrors, thread);
    int r = -EAGAIN;
    if (c->from) {
        reader->tx.kv = c->from->kv;
        r = run_read(&reader->tx, c->bucket, c->fn, c->arg, false);
        if (reader->tx.raced)
            r = run_read(&reader->tx, c->bucket, c->fn, c->arg, true);
        c->store_failed = r < 0 ? reader->tx.store_failed : 0;
    }
    mirrors_leave(m->mirrors, thread);
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
    if (r != -EAGAIN && !(c.store_failed && read_elsewhere(&c)))
        return r;
    count(&reader->reads_cold);
    return read_cold(&c);
}

/* ---- committing ----------------------------------------------------------------------------- */

/* Runs one function over the batch; its changes stay only if it succeeds. `room` is kv_room's. */
static int run_once(struct meta *m, struct request *q, int room)
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
    bool excused = tx->use_reserve && room != -ENOMEM;
    if (r >= 0 && room < 0 && !excused && kv_batch_version(m->batch) != before)
        r = room;
    meta_tx_end(tx);
    if (r < 0) {
        kv_batch_rollback(m->batch);
        m->hooks.count = hooks;
    } else {
        kv_batch_keep(m->batch);
    }
    return r;
}

static void read_from(struct meta *m, const struct mirror *from)
{
    m->tx.kv = from->kv;
    kv_batch_rebase(m->batch, from->kv);
}

/* Where a mirror fails to read it is run again over another one. */
static int run_write(struct meta *m, struct mirror **from, struct request *q, int room)
{
    int r;
    do {
        r = run_once(m, q, room);
        if (r >= 0 || !m->tx.store_failed ||
            !mirrors_suspect(m->mirrors, *from, m->tx.store_failed))
            return r;
        *from = __atomic_load_n(&m->mirrors->reading, __ATOMIC_SEQ_CST);
        read_from(m, *from);
    } while (true);
}

/*
 * Moves transactions from `taken` to `ran` until the batch is full. Only the commit fiber changes
 * what is read, and here it waits for us; there is always one.
 */
static void run_batch(struct meta *m)
{
    int room = mirrors_room(m->mirrors);
    struct mirror *from = __atomic_load_n(&m->mirrors->reading, __ATOMIC_SEQ_CST);
    read_from(m, from);
    while (!list_empty(&m->taken) && kv_batch_bytes(m->batch) < BATCH_BYTES_ENOUGH) {
        struct request *q = container_of(list_pop_front(&m->taken), struct request, link);
        q->result = run_write(m, &from, q, room);
        list_push_back(&m->ran, &q->link);
    }
}

/* One durable write of the batch to the only store there is. */
static int write_alone(struct meta *m)
{
    struct kv *kv = m->mirrors->reading->kv;
    __atomic_fetch_add(&m->commits, 1, __ATOMIC_SEQ_CST);
    int r = kv_write(kv, m->batch, true);
    __atomic_fetch_add(&m->commits, 1, __ATOMIC_SEQ_CST);
    if (r < 0 && !out_of_means(r))
        m->refusing = -ERR_READ_ONLY;
    else if (r < 0 && kv_broken(kv))
        m->refusing = r;
    return r;
}

/* The batch was written with that result, or there was nothing to write. */
static void end_batch(struct meta *m, int written, bool seen)
{
    struct request *q;
    if (written < 0)
        LIST_FOR (q, &m->ran, link)
            q->result = written;
    if (written == 0 || seen)
        for (size_t i = 0; i < m->hooks.count; i++)
            m->hooks.items[i].fn(m->hooks.items[i].arg);
    m->hooks.count = 0;
    kv_batch_clear(m->batch);
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
static void take(struct meta *m)
{
    for (unsigned n = 0; n < m->batch_max && m->queued > 0; n++, m->queued--)
        list_push_back(&m->taken, list_pop_front(&m->queue));
}

/* Hands out the results. */
static void answer(struct meta *m)
{
    rt_lock(&m->lock);
    m->write_batches++;
    m->answered = 0;
    m->answered_ns = rt_now();
    while (!list_empty(&m->ran)) {
        struct request *q = container_of(list_pop_front(&m->ran), struct request, link);
        m->writes++;
        m->answered++;
        m->write_errors += q->result < 0;
        q->done = true;
        rt_wake_one(&q->wait);
    }
    rt_unlock(&m->lock);
}

/* What the commit fiber has to do. */
enum commit_step { STEP_END, STEP_WRITE, STEP_FEED, STEP_TASKS, STEP_RECOVER };

/*
 * What comes next. STEP_WRITE: a batch is to be run. STEP_TASKS: there may be some. Ends
 * `committing` with the work.
 */
static enum commit_step next_step(struct meta *m)
{
    rt_lock(&m->lock);
    enum commit_step s = STEP_END;
    if (list_empty(&m->taken) && m->queued > 0) {
        if (!m->gathered_already)
            gather(m);
        m->gathered_already = false;
        take(m);
    }
    if (!list_empty(&m->taken))
        s = STEP_WRITE;
    else if (out_of_means(m->refusing) && !m->closing)
        s = STEP_RECOVER;
    else if (m->kicked)
        s = STEP_TASKS;
    m->kicked = false;
    m->committing = s != STEP_END;
    if (!m->committing)
        rt_wake_all(&m->idle);
    rt_unlock(&m->lock);
    return s;
}

static int begin_write(struct meta *m)
{
    __atomic_fetch_add(&m->commits, 1, __ATOMIC_SEQ_CST);
    return mirrors_begin(m->mirrors, m->shared);
}

static void end_write(struct meta *m)
{
    __atomic_fetch_add(&m->commits, 1, __ATOMIC_SEQ_CST);
}

/* False: the fiber has to begin, or to see what becomes of what was begun. */
static bool BLOCKING write_to_mirrors(struct meta *m)
{
    if (!mirrors_have_workers(m->mirrors))
        return false;
    m->begun = true;
    m->begun_result = begin_write(m);
    if (m->begun_result < 0 || !mirrors_await(m->mirrors, rt_now() + AWAIT_NS))
        return false;
    m->begun = false;
    end_write(m);
    return true;
}

/* Runs batches, writes and answers them. */
static int BLOCKING commit_queue(void *arg)
{
    struct meta *m = arg;
    enum commit_step s;
    while (true) {
        if (!m->refusing && mirrors_have_tasks(m->mirrors))
            return STEP_TASKS;
        s = next_step(m);
        if (s != STEP_WRITE)
            return s;
        run_batch(m);
        m->write_start_ns = rt_now();
        bool change = kv_batch_count(m->batch) > 0;
        int r = change ? m->refusing : 0;
        if (change && r == 0 && mirrors_single(m->mirrors))
            r = write_alone(m);
        else if (change && r == 0 && !write_to_mirrors(m))
            return STEP_WRITE;
        m->write_ns = rt_now() - m->write_start_ns;
        /* A mirror may have begun to be rebuilt, and have been read past, while it was written. */
        if (change && r == 0 && mirrors_rebuilding(m->mirrors))
            return STEP_FEED;
        end_batch(m, r, false);
        answer(m);
    }
}

/* ---- several mirrors ------------------------------------------------------------------------ */

/* Those that are slow, or being rebuilt, may keep the batch: then there is another one. */
static int renew_batch(struct meta *m)
{
    struct shared_batch *next;
    if (__atomic_load_n(&m->shared->refs, __ATOMIC_ACQUIRE) == 1)
        return 0;
    int r = shared_batch_new(NULL, &next);
    if (r < 0)
        return r;
    shared_batch_unref(m->shared);
    set_batch(m, next);
    return 0;
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

/* One attempt, after a pause that grows. */
static void FIBER recover(struct meta *m)
{
    if (!pause_recovery(m, m->pause_ns))
        return;
    int r = mirrors_recover(m->mirrors);
    m->pause_ns = MIN(MAX(2 * m->pause_ns, RECOVER_FIRST_NS), RECOVER_LAST_NS);
    if (out_of_means(r))
        return;
    m->pause_ns = 0;
    rt_lock(&m->lock);
    m->recoveries += r == 0;
    m->refusing = r < 0 ? -ERR_READ_ONLY : 0;
    rt_unlock(&m->lock);
}

static void FIBER set_refusing(struct meta *m, int code)
{
    rt_lock(&m->lock);
    m->refusing = code;
    rt_unlock(&m->lock);
}

/* As the committer does on its thread; where mirrors are waited for the fiber can wait as well. */
static void FIBER gather_on_fiber(struct meta *m)
{
    rt_lock(&m->lock);
    if (m->queued > 0)
        gather(m);
    m->gathered_already = true;
    rt_unlock(&m->lock);
}

/* A batch that was written with that result is handed to those being rebuilt, and answered. */
static void FIBER feed_and_answer(struct meta *m, int written, bool seen)
{
    if (seen)
        mirrors_feed(m->mirrors, m->shared);
    m->write_ns = rt_now() - m->write_start_ns;
    while (renew_batch(m) < 0) /* out of memory, with the answer known */
        rt_sleep_until(rt_now() + RENEW_PAUSE_NS);
    end_batch(m, written, seen);
    answer(m);
    gather_on_fiber(m);
}

static void FIBER write_to_all(struct meta *m)
{
    bool seen = false;
    int refusing = 0;
    int begun = m->begun ? m->begun_result : begin_write(m);
    int r = mirrors_end(m->mirrors, begun, &seen, &refusing);
    m->begun = false;
    end_write(m);
    set_refusing(m, refusing);
    feed_and_answer(m, r, seen);
}

static void FIBER do_tasks(struct meta *m)
{
    if (m->refusing == 0)
        set_refusing(m, mirrors_do_tasks(m->mirrors));
    if (m->refusing == -ERR_READ_ONLY)
        mirrors_nobody_leaves(m->mirrors);
}

static void FIBER commit_fiber(void *arg)
{
    struct meta *m = arg;
    enum commit_step s;
    while ((s = (enum commit_step)rt_offload(commit_queue, m)) != STEP_END) {
        if (s == STEP_WRITE)
            write_to_all(m);
        else if (s == STEP_FEED)
            feed_and_answer(m, 0, true);
        else if (s == STEP_TASKS)
            do_tasks(m);
        else
            recover(m);
    }
}

/* Sees to it that there is a commit fiber. The lock is held. */
static int start_committing(struct meta *m)
{
    int r = m->committing ? 0 : rt_spawn_detached("meta commit", commit_fiber, m);
    if (r == 0)
        m->committing = true;
    return r;
}

static void FIBER kick(void *arg)
{
    struct meta *m = arg;
    rt_lock(&m->lock);
    m->kicked = true;
    if (!m->closing)
        (void)start_committing(m); /* else the next transaction does */
    rt_unlock(&m->lock);
}

/* ---- writing -------------------------------------------------------------------------------- */

/* Queues the request and sees to it that somebody commits. The lock is held. */
static int enqueue(struct meta *m, struct request *q)
{
    if (m->refusing)
        return m->refusing;
    if (m->queued >= QUEUE_MAX)
        return -ERR_LIMIT;
    int r = start_committing(m);
    if (r < 0)
        return r;
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
    ret->recoveries = m->recoveries;
    ret->refusing = m->refusing;
    rt_unlock(&m->lock);
    mirrors_count(m->mirrors, ret);
    struct mirror *from = mirrors_try_cold(m->mirrors);
    if (!from)
        return;
    kv_stats(from->kv, &ret->kv);
    mirrors_leave_cold(m->mirrors, from);
}

/* ---- for upkeep.c --------------------------------------------------------------------------- */

struct mirrors *local_mirrors(struct meta *m)
{
    return m->mirrors;
}

void FIBER local_kick(struct meta *m)
{
    kick(m);
}
