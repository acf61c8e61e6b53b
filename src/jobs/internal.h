/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What the jobs share: one file each, whose `_add` puts it on the schedule.
 */

#include "jobs/batch/batch.h"
#include "jobs/jobs.h"
#include "jobs/objects.h"
#include "jobs/purge.h"
#include "jobs/scrub.h"

/* The door that lends itself (objects.h). */
struct jobs_door {
    struct rt_lock lock;
    struct rt_waitq left; /* nobody is inside any more */
    unsigned users;       /* inside */
    bool open;            /* others may enter */
    struct jobs_objects objects;
};
void jobs_door_init(struct jobs_door *d);

struct jobs {
    struct jobs_config config;
    struct jobs_door door;
    struct schedule *schedule;
    struct job *gc, *compact, *sweep, *repair, *events;
    struct scrub *scrub;              /* NULL without metadata of its own */
    struct mover *mover;              /* likewise */
    struct lifecycle_job *lifecycle;  /* likewise */
    struct purge_job *purge;          /* likewise */
    struct retention_job *retention;  /* likewise */
    struct audit *audit;              /* NULL: off */
    bool audit_known;                 /* until then nothing is done that it would have to tell */
    struct restore_job *restore;      /* likewise */
    struct batch_job *batch;          /* likewise */
    struct inventory_job *inventory;  /* likewise */
    struct spares *spares;            /* NULL: nobody is to be told */
    uint64_t checkpoint_ns;           /* when the next are due */
    uint64_t checkpointed[NODES_MAX]; /* appends of each disk at its last checkpoint */
    /* atomic: read from every thread */
    uint64_t gc_rounds, compact_runs;
    uint64_t sweep_needles, sweep_orphans, sweep_bytes;
    bool sweep_done;
    uint64_t sweeps_wanted, sweeps_done; /* the second is the job's own */
    uint64_t repaired_chunks, repaired_bytes, repair_left, repair_lost, repair_rows;
    uint64_t repair_scans_wanted, repair_scans_done; /* the second is the job's own */
};

/* The place of the rebalance, as its cursor has it. */
struct move_state {
    uint64_t goal, reached;
    bool walking;
    struct store_walk_place place;
    uint64_t total_rows, left, chunks, bytes;
};
/* -ERR_CORRUPT; an empty cursor is a state of zeros. */
int move_unpack(struct str cursor, struct move_state *ret);

int gc_add(struct jobs *j);
int compact_add(struct jobs *j);
int sweep_add(struct jobs *j);
int repair_add(struct jobs *j);
int values_add(struct jobs *j);
int scrub_add(struct jobs *j);
void scrub_free(struct scrub *s);
int move_add(struct jobs *j);
int spares_add(struct jobs *j);
void spares_free(struct spares *s);
/* Orphans are looked for once more. */
void sweep_again(struct jobs *j);
int events_add(struct jobs *j);
int dead_events_add(struct jobs *j);
int lifecycle_add(struct jobs *j);
void lifecycle_free(struct lifecycle_job *l);
int purge_add(struct jobs *j);
void purge_free(struct purge_job *p);
int retention_add(struct jobs *j);
void retention_free(struct retention_job *j);
int batch_add(struct jobs *j);
void batch_free(struct batch_job *b);
int restore_add(struct jobs *j);
void restore_free(struct restore_job *r);
int inventory_add(struct jobs *j);
void inventory_free(struct inventory_job *j);
void move_free(struct mover *m);
void move_wake(struct mover *m);

/* trace.c: a version that a job changed by itself; `after` may be NULL. */
void jobs_trace(struct jobs *j, const char *operation, struct str bucket, struct str key,
                const struct store_version_ref *version, struct str after);

static inline void jobs_count(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}
