/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Makes chunks whole that lack shards: works through the store's repair rows, again and again as
 * long as that gets on. After a start with a disk that was replaced, and whenever the disks change,
 * every record is looked at first.
 */

#include "jobs/internal.h"

#define FIRST_MS    1000
#define INTERVAL_MS 3000
#define BYTES_PER_S (200 * MIB) /* written */
#define ROWS_PER_S  20000       /* looked at by the scan: as items */

struct repairing {
    struct job *job;
    struct store_repair_result found;
};

static int FIBER repair_pace(uint64_t bytes, void *arg)
{
    struct repairing *p = arg;
    job_set_progress(p->job, p->found.rows, MAX(p->found.total, p->found.rows));
    return job_spend(p->job, bytes, 1);
}

static int FIBER scan_pace(uint64_t rows, void *arg)
{
    return job_spend(arg, 0, rows);
}

static bool any_retired(const struct nodes *nodes)
{
    for (uint32_t i = 0; i < nodes_count(nodes); i++) {
        const struct node *n = nodes_get(nodes, i);
        if (n && node_role(n) != NODE_ACTIVE)
            return true;
    }
    return false;
}

/* A change that comes while the records are walked has them walked again. */
static int FIBER scan(struct jobs *j, struct job *job)
{
    uint64_t wanted = __atomic_load_n(&j->repair_scans_wanted, __ATOMIC_ACQUIRE), chunks = 0;
    if (j->repair_scans_done == wanted)
        return 0;
    int r = store_repair_scan(j->config.store, scan_pace, job, &chunks);
    if (r == 0)
        __atomic_store_n(&j->repair_scans_done, wanted, __ATOMIC_RELAXED);
    return r;
}

static int FIBER repair_round(struct job *job, void *arg)
{
    struct jobs *j = arg;
    struct repairing p = {.job = job};
    int r = scan(j, job);
    if (r == 0)
        r = store_repair(j->config.store, repair_pace, &p, &p.found);
    const struct store_repair_result found = p.found;
    job_set_progress(job, 0, 0);
    jobs_count(&j->repaired_chunks, found.repaired);
    jobs_count(&j->repaired_bytes, found.bytes);
    if (r == -ERR_BUSY) /* the sweep runs */
        return JOB_IDLE;
    if (r < 0)
        return r;
    __atomic_store_n(&j->repair_rows, found.rows, __ATOMIC_RELAXED);
    __atomic_store_n(&j->repair_left, found.left, __ATOMIC_RELAXED);
    __atomic_store_n(&j->repair_lost, found.lost, __ATOMIC_RELAXED);
    return found.repaired ? JOB_AGAIN : JOB_IDLE;
}

void jobs_disks_changed(struct jobs *j)
{
    __atomic_fetch_add(&j->repair_scans_wanted, 1, __ATOMIC_RELEASE);
    job_wake(j->repair);
    move_wake(j->mover);
}

int repair_add(struct jobs *j)
{
    struct job_def def = {
        .name = "repair",
        .round = repair_round,
        .arg = j,
        .bytes_per_s = BYTES_PER_S,
        .items_per_s = ROWS_PER_S,
        .first_ms = FIRST_MS,
        .interval_ms = INTERVAL_MS,
        .gives_way = true,
    };
    j->repair_scans_wanted = any_retired(j->config.nodes);
    return schedule_add(j->schedule, &def, &j->repair);
}
