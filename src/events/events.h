/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Telling others what happened to objects: targets, and the delivery of the outbox to them.
 *
 * Promises
 *  - An event that the outbox holds (store/outbox.h) is delivered at least once, or given up after
 *    the target's limits and kept where it can be listed and sent again: as many as `dead-limit`
 *    allows, for `dead-age` seconds. What is kept no longer is counted and logged.
 *  - The events of a key are delivered in the order of its writes: the next is not sent before the
 *    one before it is delivered or given up.
 *  - What waits for a target has a limit. A write beyond it loses its event (counted, logged), or
 * is refused: as the target's `when-full` says.
 *  - Nothing here blocks a loop thread: senders run on threads of their own, OUTBOX_SHARDS a
 *    target.
 *  - Secrets leave only to the target.
 *
 * A message that the target refuses is tried `attempts` times, one second and then twice as long
 * apart, and given up. One that it cannot take now (unreachable, busy) is tried until it is
 * `max-age` seconds old, at most a minute apart, and holds up what comes behind it in its shard:
 * the target could not take that either.
 */

#include "base/metrics.h"
#include "events/target.h"
#include "store/outbox.h"

#define EVENT_TARGETS_MAX 64

struct events;

struct events_config {
    struct meta *meta; /* borrowed, as is the store */
    struct store *store;
    struct str region; /* copied; empty: us-east-1 */
    bool allow_local;  /* targets may be loopback and link-local */
};
/* Reads the targets and counts what waits; before any write. On thread 0. */
int FIBER events_open(struct events **ret, const struct events_config *config);
/* Ends the delivery, within the time that a message under way takes. Accepts NULL. Same thread. */
void FIBER events_close(struct events *e);
/*
 * The keeper, to be called every second or so on thread 0: starts the delivery to new targets, ends
 * that to removed ones. Delivery goes on for EVENTS_LEASE_NS after the last call.
 */
#define EVENTS_LEASE_NS (3 * RT_S)
int FIBER events_keep(struct events *e);
/* Called when the keeper should come at once; any thread. */
void events_set_wake(struct events *e, void (*fn)(void *arg), void *arg);

/* ---- targets: any thread -------------------------------------------------------------------- */

/* -ERR_EXISTS, -ERR_INVALID_ARGUMENT (with a sentence), -ERR_LIMIT. */
int FIBER events_target_add(struct events *e, const struct event_spec *spec,
                            char why[EVENT_WHY_MAX]);
/* -ERR_NOT_FOUND; -ERR_BUSY while events wait for it, unless `force`: then those go, too. */
int FIBER events_target_remove(struct events *e, struct str name, bool force);
struct event_target_info {
    struct event_spec spec; /* secrets included: whoever shows it leaves them out */
    uint64_t pending, dead, delivered, failed, dropped, refused;
    uint64_t lost;             /* given up, and kept no longer */
    uint64_t failing_since_ms; /* 0: the last message was taken */
    struct str fault;          /* why the last one was not */
};
/* In order of their names; strings in `a`. */
int events_target_list(struct events *e, struct arena *a, struct event_target_info **ret,
                       size_t *ret_count);
/* Whether there is such a target, which takes events of that account's buckets. */
bool events_target_known(struct events *e, struct str name, struct str account,
                         enum event_type *ret_type);
/* Sends a test message at once, by a connection of its own: 0, or why not. */
int FIBER events_target_test(struct events *e, struct str name, char why[EVENT_WHY_MAX]);

/* ---- the door's side: any thread ------------------------------------------------------------ */

enum events_room { EVENTS_TAKEN, EVENTS_DROPPED, EVENTS_REFUSED };
/* Whether the target has room for an event of that account's bucket. One that is not there any
 * more, or not for that account, drops it. */
enum events_room events_admit(struct events *e, struct str target, struct str account);
/* For commit hooks: they are in the outbox now, and are shown to whoever follows. */
void events_committed(struct events *e, const struct store_notice *n, struct bucket_id b,
                      const struct store_event *events, size_t count);

/* ---- what was given up: any thread ---------------------------------------------------------- */

/* All of a target's (at most `max`), `fn` may suspend. */
int FIBER events_dead_each(struct events *e, struct str target, size_t max,
                           int (*fn)(const struct outbox_row *row, void *arg), void *arg);
/* Sends them again, behind nothing, or forgets them. -ERR_NOT_FOUND: no such target. */
int FIBER events_dead_resend(struct events *e, struct str target, uint64_t *ret_count);
int FIBER events_dead_discard(struct events *e, struct str target, uint64_t *ret_count);

/* Forgets what is too old of one target: the rounds of a job. *ret_more: there may be another. */
int FIBER events_dead_forget(struct events *e, bool *ret_more);

/* ---- following: any thread ------------------------------------------------------------------ */

struct events_follower;
/* Whether anybody follows: then events are wanted that no rule asks for. Costs one load. */
bool events_followed(const struct events *e);
/* -ERR_LIMIT: too many follow already. */
int events_follow(struct events *e, struct events_follower **ret);
/* The next lines (JSON, each with its end), appended: 0, -ETIMEDOUT, -ECANCELED. *ret_lost: how
 * many were not kept since the last call. */
int FIBER events_follow_next(struct events_follower *f, uint64_t deadline_ns, struct buf *out,
                             uint64_t *ret_lost);
void events_unfollow(struct events_follower *f);

void events_metrics(struct buf *out, void *events);
