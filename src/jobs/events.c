/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Keeps the delivery of events going: each target has couriers of its own (src/events), which work
 * while this job comes round. Paused, they stop within EVENTS_LEASE_NS and the events wait.
 */

#include "jobs/internal.h"
#include <assert.h>

#define INTERVAL_MS 1000
static_assert(INTERVAL_MS * RT_MS < EVENTS_LEASE_NS, "a round comes before the lease ends");

static int FIBER events_round(struct job *job, void *arg)
{
    struct jobs *j = arg;
    int r = events_keep(j->config.events);
    return r < 0 ? r : JOB_IDLE;
}

static void wake(void *arg)
{
    job_wake(arg);
}

/* Forgets what was given up and is too old. */
static int FIBER forget_round(struct job *job, void *arg)
{
    struct jobs *j = arg;
    bool more;
    int r = events_dead_forget(j->config.events, &more);
    if (r == 0)
        r = job_spend(job, 0, 1);
    return r < 0 ? r : more ? JOB_AGAIN : JOB_IDLE;
}

int dead_events_add(struct jobs *j)
{
    struct job_def def = {
        .name = "dead-events", .round = forget_round, .arg = j, .interval_ms = INTERVAL_MS};
    struct job *job;
    return j->config.events ? schedule_add(j->schedule, &def, &job) : 0;
}

int events_add(struct jobs *j)
{
    struct job_def def = {
        .name = "events", .round = events_round, .arg = j, .interval_ms = INTERVAL_MS};
    if (!j->config.events)
        return 0;
    int r = schedule_add(j->schedule, &def, &j->events);
    if (r == 0)
        events_set_wake(j->config.events, wake, j->events);
    return r;
}
