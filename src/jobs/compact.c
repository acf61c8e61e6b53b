/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Rewrites volumes that are mostly dead, while that frees space, and has the needle index written
 * out, so that the next start replays little.
 */

#include "jobs/internal.h"

#define INTERVAL_MS 10000
#define BYTES_PER_S (64 * MIB) /* freed */

/* Volumes of one disk, as long as that frees space. */
static int FIBER compact_disk(struct jobs *j, struct node *n)
{
    uint64_t freed;
    int r;
    do {
        freed = 0;
        r = node_compact(n, &freed);
        if (r == 0 && freed) {
            jobs_count(&j->compact_runs, 1);
            r = job_spend(j->compact, freed, 1);
        }
    } while (r == 0 && freed);
    return r;
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

static int FIBER compact_round(struct job *job, void *arg)
{
    struct jobs *j = arg;
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
    return first ? first : JOB_IDLE;
}

int compact_add(struct jobs *j)
{
    const struct jobs_config *c = &j->config;
    unsigned interval_ms = c->compact_interval_ms ? c->compact_interval_ms : INTERVAL_MS;
    struct job_def def = {
        .name = "compact",
        .round = compact_round,
        .arg = j,
        .bytes_per_s = c->compact_bytes_per_s ? c->compact_bytes_per_s : BYTES_PER_S,
        .first_ms = interval_ms,
        .interval_ms = interval_ms,
    };
    return schedule_add(j->schedule, &def, &j->compact);
}
