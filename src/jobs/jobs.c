/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "jobs/internal.h"

static int (*const adds[])(struct jobs *j) = {
    gc_add,      compact_add, sweep_add,       repair_add,    values_add, scrub_add,
    move_add,    spares_add,  events_add,      lifecycle_add, purge_add,  retention_add,
    restore_add, batch_add,   dead_events_add, inventory_add,
};

void FIBER jobs_stop(struct jobs *j)
{
    if (!j)
        return;
    if (j->config.events)
        events_set_wake(j->config.events, NULL, NULL);
    schedule_stop(j->schedule);
    scrub_free(j->scrub);
    move_free(j->mover);
    lifecycle_free(j->lifecycle);
    purge_free(j->purge);
    retention_free(j->retention);
    restore_free(j->restore);
    batch_free(j->batch);
    inventory_free(j->inventory);
    spares_free(j->spares);
    free(j);
}

int FIBER jobs_start(struct jobs **ret, const struct jobs_config *config)
{
    struct jobs *j = calloc(1, sizeof(*j));
    if (!j)
        return -ENOMEM;
    j->config = *config;
    jobs_door_init(&j->door);
    int r = schedule_new(&j->schedule, config->meta);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(adds); i++)
        r = adds[i](j);
    if (r == 0)
        r = schedule_start(j->schedule);
    if (r < 0)
        jobs_stop(j);
    else
        *ret = j;
    return r;
}

void jobs_set_audit(struct jobs *j, struct audit *audit)
{
    j->audit = audit;
    j->audit_known = true;
}

struct schedule *jobs_schedule(struct jobs *j)
{
    return j->schedule;
}

void jobs_stats(const struct jobs *j, struct jobs_stats *ret)
{
    struct job_status gc, compact, sweep, repair;
    job_status(j->gc, &gc);
    job_status(j->compact, &compact);
    job_status(j->sweep, &sweep);
    job_status(j->repair, &repair);
#define LOAD(field) __atomic_load_n(&j->field, __ATOMIC_RELAXED)
    *ret = (struct jobs_stats){
        .gc_rounds = LOAD(gc_rounds),
        .gc_chunks = gc.items,
        .gc_errors = gc.errors,
        .compact_runs = LOAD(compact_runs),
        .compact_freed_bytes = compact.bytes,
        .compact_errors = compact.errors,
        .sweep_needles = LOAD(sweep_needles),
        .sweep_orphans = LOAD(sweep_orphans),
        .sweep_bytes = LOAD(sweep_bytes),
        .sweep_errors = sweep.errors,
        .sweep_done = LOAD(sweep_done),
        .repaired_chunks = LOAD(repaired_chunks),
        .repaired_bytes = LOAD(repaired_bytes),
        .repair_pending =
            LOAD(repair_rows) > 0 || LOAD(repair_scans_wanted) != LOAD(repair_scans_done),
        .repair_left = LOAD(repair_left),
        .repair_lost = LOAD(repair_lost),
        .repair_errors = repair.errors,
    };
#undef LOAD
}
