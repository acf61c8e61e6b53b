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
 *   repair   makes chunks whole whose shards are nowhere, damaged, or on disks that were replaced
 *   rebalance  after the disks have changed: moves shards to where they belong now
 *   spares   has the others take over what a disk held that stays gone
 *   events   keeps the delivery of events to their targets going
 *   lifecycle  once a day: removes, or moves to another storage class, what the buckets' lifecycle
 *            rules say is due
 *   purge    removes what belongs to somebody, when asked (purge.h)
 *   batch    deletes or tags what manifests name, when asked (batch.h)
 *   retention  once a day: removes what its class of data lets stay no longer
 *   restore  makes archived objects readable that were asked for, and ends that again
 *   inventory  once a day: the lists of what buckets hold that their configurations ask for
 *   scrub    reads every byte and every record in so many days, lists what is damaged
 *
 * A job never holds up a request: it works in small batches, at a pace. One that fails logs once,
 * waits, and tries again; the wait doubles up to a minute.
 */

#include "audit/audit.h"
#include "events/events.h"
#include "jobs/damage.h"
#include "jobs/schedule.h"
#include "store/store.h"

struct audit;
struct jobs;

struct jobs_config {
    struct store *store; /* borrowed, as are the others; they outlive the jobs */
    struct nodes *nodes;
    struct meta *meta;            /* where jobs keep their places; NULL: nowhere */
    uint64_t session;             /* of this start: older ones are swept */
    unsigned gc_batch_chunks;     /* a round; 0: 1,024 */
    unsigned compact_interval_ms; /* between looks for work; 0: 1 s, and 10 s between checkpoints */
    uint64_t compact_bytes_per_s; /* freed space a disk; 0: 64 MiB */
    unsigned sweep_delay_ms;      /* after the start; 0: 5 s */
    unsigned scrub_days;          /* every byte is read within; 0: only when asked */
    unsigned scrub_first_ms;      /* after the start; 0: 10 s */
    uint64_t scrub_bytes_per_s;   /* at most, all disks together; 0: 256 MiB */
    struct events *events;        /* what is delivered; NULL: nothing is told */
    uint64_t lifecycle_day_ms;    /* what the lifecycle takes for a day; 0: a day */
    size_t inventory_file_bytes;  /* of a list's data file, about; 0: 8 MiB */
    struct blob *blob;            /* for moves and the scrub's second look; may be NULL */
    uint64_t move_bytes_per_s;    /* of shards to other disks; 0: 128 MiB */
    /* A draining disk is empty: from now on it is none of the store's. On thread 0; may be NULL. */
    int (*disk_emptied)(void *arg, uint32_t number);
    /* All shards are where the ring wants them: makes its next step, if there is one. May be NULL.
     */
    int (*ring_step)(void *arg);
    /* A disk has been gone for `spare_after_ms` (0: that is never looked for) over all starts
     * together, or is back after it was given up. 1 when that changed something. On thread 0; may
     * be NULL. */
    int (*disk_away)(void *arg, uint32_t number, bool away);
    uint64_t spare_after_ms;
    /* Every few seconds: what else has to be done for the disks, whatever changed. Likewise. */
    void (*disks_look)(void *arg);
    void *disks_arg;
};

/* On a loop thread. */
int FIBER jobs_start(struct jobs **ret, const struct jobs_config *config);
/* Cancels and joins them. Accepts NULL. Same thread as the start. */
void FIBER jobs_stop(struct jobs *j);
/* Where it is recorded what jobs remove at somebody's word; NULL: nowhere. They wait for this call.
 * On the thread of the start; `audit` outlives the jobs. */
void jobs_set_audit(struct jobs *j, struct audit *audit);
/* A disk was replaced, added or retired: every record is looked at anew. Any thread. */
void jobs_disks_changed(struct jobs *j);
/* For the administrator: states, pauses, metrics. */
struct schedule *jobs_schedule(struct jobs *j);

struct jobs_stats {
    uint64_t gc_rounds, gc_chunks, gc_errors;
    uint64_t compact_runs, compact_freed_bytes, compact_errors;
    uint64_t sweep_needles, sweep_orphans, sweep_bytes, sweep_errors;
    bool sweep_done;
    uint64_t repaired_chunks, repaired_bytes, repair_errors;
    bool repair_pending;  /* the last pass found rows, or the disks have changed since */
    uint64_t repair_left; /* chunks that want repair and wait for a disk, at the last pass */
    uint64_t repair_lost; /* of those, chunks that cannot be read at present */
};
void jobs_stats(const struct jobs *j, struct jobs_stats *ret);

/* ---- one object: any thread ----------------------------------------------------------------- */

/* A chunk, and what reading each of its shards whole came to. */
struct heal_chunk {
    const struct blob_chunk *chunk;
    int errors[BLOB_SHARDS_MAX];
    bool sound;
};
/*
 * Tells of each chunk of the current object, none when its bytes are in the metadata; with
 * `repair`, has those made whole that are not sound, after they were told of. -ERR_NO_SUCH_KEY,
 * -ERR_BUSY while the sweep runs.
 */
int FIBER jobs_heal(struct jobs *j, struct bucket_id b, struct str key, bool repair,
                    int (*fn)(const struct heal_chunk *c, void *arg), void *arg);

/* ---- scrub: any thread ---------------------------------------------------------------------- */

struct scrub_status {
    struct job_status job;
    const char *phase; /* "idle", "needles" (progress in bytes), "records" */
    uint64_t pass, started_ms, faults, skipped; /* of the pass under way */
    uint64_t last_started_ms, last_ended_ms, last_bytes, last_faults, last_skipped;
    unsigned days;
    bool overdue;
    uint64_t damages[DAMAGE_STATES], unlisted;
};
void jobs_scrub_status(struct jobs *j, struct scrub_status *ret);
/* Begins a pass now, or has the one under way go on as fast as it may. */
int FIBER jobs_scrub_start(struct jobs *j);
/* Where it stands, until it is started again; over restarts, too. */
int FIBER jobs_scrub_stop(struct jobs *j);
/* What is damaged, as damages_each. */
int FIBER jobs_damages_each(struct jobs *j, int (*fn)(const struct damage *d, void *arg),
                            void *arg);
void jobs_scrub_metrics(struct buf *out, struct jobs *j);
void jobs_lifecycle_metrics(struct buf *out, struct jobs *j);
void jobs_retention_metrics(struct buf *out, struct jobs *j);
void jobs_restore_metrics(struct buf *out, struct jobs *j);
void jobs_inventory_metrics(struct buf *out, struct jobs *j);
