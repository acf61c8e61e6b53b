/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What the files of events/ share.
 *
 * Locks: `events.lock` guards the table of targets and is taken before a courier's; a follower's is
 * taken inside neither. A target is referenced by the table and by whoever works with it (refs), so
 * that it may be removed meanwhile.
 */

#include <pthread.h>
#include "base/list.h"
#include "base/table.h"
#include "events/events.h"
#include "events/sender.h"
#include "rt/rt.h"

#define COURIER_BATCH 64

/* How often a row was tried. */
struct courier_trial {
    uint64_t seq, tries;
};

/* A bucket with rows for a courier. */
struct courier_bucket {
    struct table_node node;
    struct list link; /* in courier.waiting, or on its own */
    uint64_t id;      /* of the bucket: the node's key */
    uint64_t rows;    /* that wait */
    uint64_t from;    /* none of them has a lesser sequence: what was settled is not passed again */
    struct courier_trial trial; /* of its first row */
};

/*
 * One shard of a target: a fiber on thread 0 that reads and settles rows, and a thread that sends.
 *
 *   idle --a batch--> sending --done--> idle       (the fiber waits meanwhile)
 */
struct courier {
    struct event_target *target;
    unsigned shard;
    struct rt_lock lock; /* guards: */
    struct table buckets;
    struct list waiting; /* courier_buckets with rows, the next first */
    uint64_t rows;       /* of all; also read without the lock */
    struct rt_waitq wake;
    bool stop; /* also read without the lock */

    struct rt_fiber *fiber; /* NULL: not started */
    bool threaded;
    pthread_t thread;
    /* The batch, and what came of it; under the lock but while `sending`, when they are the
     * thread's. */
    bool sending;
    struct rt_waitq to_thread, to_fiber;
    struct outbox_row *batch;
    size_t batch_count, batch_sent;
    int batch_err; /* of the message after those sent */
    char why[EVENT_WHY_MAX];
};

struct event_target {
    struct events *events;
    struct list link; /* in events.targets, or on its own */
    uint32_t refs;    /* atomic */
    struct arena arena;
    struct event_spec spec; /* in the arena */
    struct courier couriers[OUTBOX_SHARDS];
    bool started, removed; /* removed: atomic */
    /* atomic: */
    uint64_t dead, delivered, failed, dropped, refused, lost;
    uint64_t failing_since_ms;
    uint64_t dead_walk_ms; /* what was given up is looked through for what is too old */
    bool told_full, told_lost;
    char fault[EVENT_WHY_MAX]; /* under couriers[0].lock */
};

#define FOLLOWERS_MAX 16

struct events {
    struct meta *meta;
    struct store *store;
    bool allow_local;
    char region[64];
    struct rt_lock lock; /* guards: */
    struct list targets;
    unsigned target_count;
    void (*wake)(void *arg);
    void *wake_arg;
    struct rt_lock follow_lock; /* guards: */
    struct list followers;
    uint32_t follower_count;   /* also read without the lock: atomic */
    uint64_t allowed_until_ns; /* atomic */
};

/* targets.c */
struct event_target *target_find(struct events *e, struct str name); /* target_unref() */
void target_unref(struct event_target *t);
int FIBER targets_load(struct events *e);

/* courier.c */
int courier_init(struct courier *l, struct event_target *t, unsigned shard);
void courier_release(struct courier *l);
int FIBER courier_start(struct courier *l);
/* Asks it to end; courier_join() waits for it. */
void courier_stop(struct courier *l);
void FIBER courier_join(struct courier *l);
/* Rows of a bucket have come, the first with that sequence; any thread. */
void courier_add(struct courier *l, struct bucket_id b, uint64_t rows, uint64_t from);

/* dead.c */
/* Rows that were found at the start. */
void dead_count(struct event_target *t, uint64_t count);
/* The row (with died_ms, attempts, why) leaves the outbox: *ret_first: none was kept before. */
int FIBER dead_keep(struct event_target *t, const struct outbox_place *place,
                    const struct outbox_row *row, bool *ret_first);

/* follow.c */
void followers_tell(struct events *e, const struct outbox_row *row);

static inline uint64_t events_load_u64(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}
static inline void events_count(uint64_t *p, uint64_t n)
{
    __atomic_fetch_add(p, n, __ATOMIC_RELAXED);
}
