/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Deletes the chunks of replaced and removed objects, as soon as they are due. */

#include "jobs/internal.h"

#define BATCH_CHUNKS 1024
#define PAUSE_NS     (200 * RT_MS) /* lets garbage gather, so that one sync serves more */
#define WAIT_NS      (10 * RT_S)

static int FIBER gc_round(struct job *job, void *arg)
{
    struct jobs *j = arg;
    unsigned batch = j->config.gc_batch_chunks ? j->config.gc_batch_chunks : BATCH_CHUNKS;
    int r = store_gc_wait(j->config.store, rt_now() + WAIT_NS);
    if (r == -ETIMEDOUT)
        return JOB_AGAIN;
    uint64_t chunks = 0;
    if (r == 0)
        r = store_gc(j->config.store, batch, &chunks);
    if (r < 0)
        return r;
    jobs_count(&j->gc_rounds, 1);
    r = job_spend(job, 0, chunks);
    if (r == 0 && chunks < batch)
        r = job_rest(job, rt_now() + PAUSE_NS);
    return r;
}

int gc_add(struct jobs *j)
{
    struct job_def def = {.name = "gc", .round = gc_round, .arg = j};
    return schedule_add(j->schedule, &def, &j->gc);
}
