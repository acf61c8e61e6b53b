/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "jobs/jobs.h"
#include "base/log.h"
#include "rt/rt.h"

#define GC_BATCH_CHUNKS     1024
#define GC_PAUSE_NS         (200 * RT_MS) /* lets garbage gather, so that one sync serves more */
#define GC_WAIT_NS          (10 * RT_S)
#define COMPACT_INTERVAL_MS 10000
#define COMPACT_BYTES_PER_S (64 * MIB)
#define SWEEP_DELAY_MS      5000 /* requests first */
#define SWEEP_PAUSE_NS      (2 * RT_MS)
#define RETRY_MIN_NS        (1 * RT_S)
#define RETRY_MAX_NS        (60 * RT_S)

/* One loop: its fiber and how it bears failures. */
struct loop {
    const char *name;
    struct rt_fiber *fiber;
    uint64_t retry_ns; /* after the next failure; 0: the last round went well */
};

struct jobs {
    struct jobs_config config;
    struct loop gc, compact, sweep;
    uint64_t *checkpointed;  /* appends of each disk at its last checkpoint */
    struct jobs_stats stats; /* atomic: read from every thread */
};

static void add(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* Tells of the first failure in a row, and waits longer after each. -ECANCELED ends the loop. */
static int FIBER bear(struct loop *l, int err)
{
    if (err == -ECANCELED || rt_cancelled())
        return -ECANCELED;
    if (l->retry_ns == 0) {
        struct log_line line;
        log_begin(&line, LOG_ERROR, "job failed, will be tried again");
        log_str(&line, "job", str_from(l->name));
        log_err(&line, err);
        log_end(&line);
    }
    l->retry_ns = MIN(MAX(2 * l->retry_ns, RETRY_MIN_NS), RETRY_MAX_NS);
    return rt_sleep_until(rt_now() + l->retry_ns);
}

/* ---- garbage -------------------------------------------------------------------------------- */

static int FIBER gc_round(struct jobs *j)
{
    int r = store_gc_wait(j->config.store, rt_now() + GC_WAIT_NS);
    if (r == -ETIMEDOUT)
        return 0;
    uint64_t chunks = 0;
    if (r == 0)
        r = store_gc(j->config.store, j->config.gc_batch_chunks, &chunks);
    if (r < 0)
        return r;
    add(&j->stats.gc_rounds, 1);
    add(&j->stats.gc_chunks, chunks);
    return chunks >= j->config.gc_batch_chunks ? 0 : rt_sleep_until(rt_now() + GC_PAUSE_NS);
}

static int FIBER gc_loop(void *arg)
{
    struct jobs *j = arg;
    while (!rt_cancelled()) {
        int r = gc_round(j);
        if (r == 0) {
            j->gc.retry_ns = 0;
            continue;
        }
        if (r != -ECANCELED)
            add(&j->stats.gc_errors, 1);
        if (bear(&j->gc, r) < 0)
            break;
    }
    return 0;
}

/* ---- compaction and checkpoints ------------------------------------------------------------- */

/* Volumes of one disk, as long as that frees space, at the given pace. */
static int FIBER compact_disk(struct jobs *j, struct node *n)
{
    uint64_t freed;
    do {
        freed = 0;
        int r = node_compact(n, &freed);
        if (r < 0)
            return r;
        if (freed == 0)
            break;
        add(&j->stats.compact_runs, 1);
        add(&j->stats.compact_freed_bytes, freed);
        r = rt_sleep_until(rt_now() + freed * RT_S / j->config.compact_bytes_per_s);
        if (r < 0)
            return r;
    } while (!rt_cancelled());
    return 0;
}

/* Bounds what the next start has to replay. */
static int FIBER checkpoint_disk(struct jobs *j, struct node *n)
{
    struct node_stats stats;
    uint64_t *done = &j->checkpointed[node_number(n)];
    node_stats(n, &stats);
    if (stats.disk.appends == *done)
        return 0;
    int r = node_checkpoint(n);
    if (r == 0)
        *done = stats.disk.appends;
    return r;
}

static int FIBER compact_round(struct jobs *j)
{
    int first = 0;
    for (uint32_t i = 0; i < nodes_count(j->config.nodes); i++) {
        struct node *n = nodes_get(j->config.nodes, i);
        if (!n || node_state(n) == NODE_GONE)
            continue;
        int r = compact_disk(j, n);
        if (r == 0)
            r = checkpoint_disk(j, n);
        if (r == -ECANCELED)
            return r;
        first = first ? first : r; /* one that fails does not hold up the others */
    }
    return first;
}

static int FIBER compact_loop(void *arg)
{
    struct jobs *j = arg;
    uint64_t interval_ns = j->config.compact_interval_ms * RT_MS;
    while (rt_sleep_until(rt_now() + interval_ns) == 0) {
        int r = compact_round(j);
        if (r == 0) {
            j->compact.retry_ns = 0;
            continue;
        }
        if (r != -ECANCELED)
            add(&j->stats.compact_errors, 1);
        if (bear(&j->compact, r) < 0)
            break;
    }
    return 0;
}

/* ---- the sweep ------------------------------------------------------------------------------ */

static int FIBER sweep_pause(void *arg)
{
    return rt_sleep_until(rt_now() + SWEEP_PAUSE_NS);
}

static void sweep_tell(const struct store_sweep_result *found)
{
    struct log_line line;
    log_begin(&line, LOG_INFO, "what earlier starts left behind was removed");
    log_u64(&line, "chunks", found->orphans_deleted);
    log_u64(&line, "bytes", found->bytes_freed);
    log_end(&line);
}

static int FIBER sweep_once(void *arg)
{
    struct jobs *j = arg;
    struct store_sweep_result found;
    int r = rt_sleep_until(rt_now() + j->config.sweep_delay_ms * RT_MS);
    while (r == 0) {
        r = store_sweep(j->config.store, j->config.session, sweep_pause, NULL, &found);
        if (r == 0)
            break;
        if (r != -ECANCELED)
            add(&j->stats.sweep_errors, 1);
        r = bear(&j->sweep, r);
    }
    if (r < 0)
        return 0;
    add(&j->stats.sweep_needles, found.needles_seen);
    add(&j->stats.sweep_orphans, found.orphans_deleted);
    add(&j->stats.sweep_bytes, found.bytes_freed);
    __atomic_store_n(&j->stats.sweep_done, true, __ATOMIC_RELAXED);
    if (found.orphans_deleted)
        sweep_tell(&found);
    return 0;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static void FIBER stop_loop(struct loop *l)
{
    if (!l->fiber)
        return;
    rt_cancel(l->fiber);
    rt_join(TAKE_PTR(l->fiber));
}

void FIBER jobs_stop(struct jobs *j)
{
    if (!j)
        return;
    stop_loop(&j->sweep);
    stop_loop(&j->compact);
    stop_loop(&j->gc);
    free(j->checkpointed);
    free(j);
}

static struct jobs *jobs_new(const struct jobs_config *config)
{
    struct jobs *j = calloc(1, sizeof(*j));
    uint64_t *checkpointed = calloc(NODES_MAX, sizeof(*checkpointed));
    if (!j || !checkpointed) {
        free(j);
        free(checkpointed);
        return NULL;
    }
    *j = (struct jobs){.config = *config, .checkpointed = checkpointed};
    j->gc.name = "gc";
    j->compact.name = "compact";
    j->sweep.name = "sweep";
    if (!j->config.gc_batch_chunks)
        j->config.gc_batch_chunks = GC_BATCH_CHUNKS;
    if (!j->config.compact_interval_ms)
        j->config.compact_interval_ms = COMPACT_INTERVAL_MS;
    if (!j->config.sweep_delay_ms)
        j->config.sweep_delay_ms = SWEEP_DELAY_MS;
    if (!j->config.compact_bytes_per_s)
        j->config.compact_bytes_per_s = COMPACT_BYTES_PER_S;
    return j;
}

int FIBER jobs_start(struct jobs **ret, const struct jobs_config *config)
{
    struct jobs *j = jobs_new(config);
    if (!j)
        return -ENOMEM;
    int r = rt_spawn(&j->gc.fiber, "job-gc", gc_loop, j);
    if (r == 0)
        r = rt_spawn(&j->compact.fiber, "job-compact", compact_loop, j);
    if (r == 0)
        r = rt_spawn(&j->sweep.fiber, "job-sweep", sweep_once, j);
    if (r < 0)
        jobs_stop(j);
    else
        *ret = j;
    return r;
}

void jobs_stats(const struct jobs *j, struct jobs_stats *ret)
{
    const struct jobs_stats *s = &j->stats;
#define COPY(field) ret->field = __atomic_load_n(&s->field, __ATOMIC_RELAXED)
    COPY(gc_rounds);
    COPY(gc_chunks);
    COPY(gc_errors);
    COPY(compact_runs);
    COPY(compact_freed_bytes);
    COPY(compact_errors);
    COPY(sweep_needles);
    COPY(sweep_orphans);
    COPY(sweep_bytes);
    COPY(sweep_errors);
    COPY(sweep_done);
#undef COPY
}
