/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What goes on in the background, on fibers of thread 0, each job an entry of one schedule
 * (schedule.h):
 *
 *   gc       deletes the chunks of replaced and removed objects, as soon as they are due
 *   compact  rewrites volumes that are mostly dead, while that frees space, and has the needle
 *            index written out, so that the next start replays little
 *   values   gives back the space of deleted small objects, which lie in the metadata
 *   sweep    once after the start: removes what an earlier crash left behind
 *
 * A job never holds up a request: it works in small batches, at a pace. One that fails logs once,
 * waits, and tries again; the wait doubles up to a minute.
 */

#include "jobs/schedule.h"
#include "store/store.h"

struct jobs;

struct jobs_config {
    struct store *store; /* borrowed, as are the others; they outlive the jobs */
    struct nodes *nodes;
    struct meta *meta;            /* where jobs keep their places; NULL: nowhere */
    uint64_t session;             /* of this start: older ones are swept */
    unsigned gc_batch_chunks;     /* a round; 0: 1,024 */
    unsigned compact_interval_ms; /* between looks for work; 0: 10 s */
    uint64_t compact_bytes_per_s; /* freed space a disk; 0: 64 MiB */
    unsigned sweep_delay_ms;      /* after the start; 0: 5 s */
};

/* On a loop thread. */
int FIBER jobs_start(struct jobs **ret, const struct jobs_config *config);
/* Cancels and joins them. Accepts NULL. Same thread as the start. */
void FIBER jobs_stop(struct jobs *j);
/* For the administrator: states, pauses, metrics. */
struct schedule *jobs_schedule(struct jobs *j);

struct jobs_stats {
    uint64_t gc_rounds, gc_chunks, gc_errors;
    uint64_t compact_runs, compact_freed_bytes, compact_errors;
    uint64_t sweep_needles, sweep_orphans, sweep_bytes, sweep_errors;
    bool sweep_done;
};
void jobs_stats(const struct jobs *j, struct jobs_stats *ret);
