/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Disks that stay gone. After a while the others take over what such a disk held, without anyone
 * being asked: it is away then, which is for the owner of the table of disks to write down and for
 * repair and rebalance to follow. Should it come back, it is a disk like the others again: what a
 * record still says to be there is read from there, what others have taken over is swept.
 *
 * How long it has been gone is counted from when that was noticed by this process.
 */

#include "jobs/internal.h"

#define FIRST_MS    1000
#define INTERVAL_MS 1000
#define LOOK_ROUNDS 5

/* 1: away, 0: back, -1: as it is. */
static int wanted(const struct jobs *j, const struct node *n)
{
    bool gone = node_state(n) == NODE_GONE;
    switch (node_role(n)) {
    case NODE_ACTIVE:
    case NODE_DRAINING:
        return gone && j->config.spare_after_ms &&
                       rt_now() - node_gone_ns(n) >= j->config.spare_after_ms * RT_MS
                   ? 1
                   : -1;
    case NODE_AWAY:
        return gone ? -1 : 0;
    case NODE_RETIRED:
        return -1;
    }
    return -1;
}

static int FIBER spares_round(struct job *job, void *arg)
{
    struct jobs *j = arg;
    int r = 0;
    if (j->spares_rounds++ % LOOK_ROUNDS == 0 && j->config.disks_look)
        j->config.disks_look(j->config.disks_arg);
    for (uint32_t i = 0; r >= 0 && i < nodes_count(j->config.nodes); i++) {
        const struct node *n = nodes_get(j->config.nodes, i);
        int away = n ? wanted(j, n) : -1;
        if (away < 0)
            continue;
        r = j->config.disk_away(j->config.disks_arg, i, away == 1);
        if (r > 0 && away == 0)
            sweep_again(j);
    }
    return r < 0 ? r : JOB_IDLE;
}

int spares_add(struct jobs *j)
{
    struct job_def def = {
        .name = "spares",
        .round = spares_round,
        .arg = j,
        .first_ms = FIRST_MS,
        .interval_ms = INTERVAL_MS,
    };
    struct job *job;
    if (!j->config.disk_away)
        return 0;
    return schedule_add(j->schedule, &def, &job);
}
