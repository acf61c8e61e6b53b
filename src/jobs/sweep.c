/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Once after the start: removes what an earlier crash left behind. And once more when a disk is
 * back that the others have done without: what they took over lies on it still. */

#include "base/log.h"
#include "jobs/internal.h"

#define DELAY_MS 5000    /* requests first */
#define IDLE_MS  3600000 /* until it is woken */
#define PAUSE_NS (2 * RT_MS)

static int FIBER sweep_pause(void *arg)
{
    return job_rest(arg, rt_now() + PAUSE_NS);
}

static void sweep_tell(const struct store_sweep_result *found)
{
    struct log_line line;
    log_begin(&line, LOG_INFO, "what earlier starts left behind was removed");
    log_u64(&line, "chunks", found->orphans_deleted);
    log_u64(&line, "bytes", found->bytes_freed);
    log_end(&line);
}

static int FIBER sweep_round(struct job *job, void *arg)
{
    struct jobs *j = arg;
    struct store_sweep_result found;
    uint64_t wanted = __atomic_load_n(&j->sweeps_wanted, __ATOMIC_ACQUIRE);
    if (j->sweeps_done == wanted)
        return JOB_IDLE;
    int r = store_sweep(j->config.store, j->config.session, sweep_pause, job, &found);
    if (r < 0)
        return r;
    jobs_count(&j->sweep_needles, found.needles_seen);
    jobs_count(&j->sweep_orphans, found.orphans_deleted);
    jobs_count(&j->sweep_bytes, found.bytes_freed);
    __atomic_store_n(&j->sweep_done, true, __ATOMIC_RELAXED);
    if (found.orphans_deleted)
        sweep_tell(&found);
    j->sweeps_done = wanted;
    return JOB_IDLE;
}

void sweep_again(struct jobs *j)
{
    __atomic_fetch_add(&j->sweeps_wanted, 1, __ATOMIC_RELEASE);
    job_wake(j->sweep);
}

int sweep_add(struct jobs *j)
{
    struct job_def def = {
        .name = "sweep",
        .round = sweep_round,
        .arg = j,
        .first_ms = j->config.sweep_delay_ms ? j->config.sweep_delay_ms : DELAY_MS,
        .interval_ms = IDLE_MS,
    };
    j->sweeps_wanted = 1;
    return schedule_add(j->schedule, &def, &j->sweep);
}
