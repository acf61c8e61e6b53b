/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Gives back the space of small objects that were deleted: their bytes lie in the metadata's store,
 * which frees it in larger pieces. It looks often, for what is overwritten steadily piles up fast,
 * and a look costs little.
 */

#include "jobs/internal.h"

#define INTERVAL_MS 1000
#define BYTES_PER_S (256 * MIB) /* freed */

static int FIBER values_round(struct job *job, void *arg)
{
    struct jobs *j = arg;
    uint64_t freed = 0;
    int r = store_compact(j->config.store, &freed);
    if (r < 0 || freed == 0)
        return r < 0 ? r : JOB_IDLE;
    r = job_spend(job, freed, 1);
    return r < 0 ? r : JOB_AGAIN;
}

int values_add(struct jobs *j)
{
    struct job_def def = {
        .name = "values",
        .round = values_round,
        .arg = j,
        .bytes_per_s = BYTES_PER_S,
        .first_ms = INTERVAL_MS,
        .interval_ms = INTERVAL_MS,
    };
    struct job *job;
    return schedule_add(j->schedule, &def, &job);
}
