/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Where all background jobs are driven: each is an entry of one table with a round function, and
 * what every job needs is done here once: its fiber, its pace, its retries, its row in the metadata
 * (pause and cursor, which survive a restart), its numbers.
 *
 *              first_ms            round             interval_ms
 *   start --> waiting --> (paused) --> running --JOB_IDLE--> waiting
 *                                        |  ^---JOB_AGAIN
 *                                        |---error--> waiting, 1 s and then twice as long, to 60 s
 *                                        `---JOB_ENDED--> ended
 *
 * A round does a bounded piece of work and says what it cost by job_spend(), which waits as long as
 * the pace demands. A job that gives way takes only a share of its pace while clients' requests
 * take longer than usual (ease.h). A pause takes hold at the next job_spend() or between rounds.
 *
 * All of it runs on the thread of schedule_start(). job_status, job_pause, job_wake and
 * schedule_metrics may be called on any thread. The first failure of a row of failures is logged.
 *
 * Invariants
 *  1. A job's round is never run by two fibers.
 *  2. What job_keep() was given is durable when it returns; the next start hands out exactly that.
 *  3. A paused job spends nothing.
 */

#include "base/metrics.h"
#include "meta/meta.h"

#define JOBS_MAX       24
#define JOB_NAME_MAX   24
#define JOB_CURSOR_MAX (256 * KIB)

struct schedule;
struct job;

/* What a round returns, besides a negative error. */
enum { JOB_AGAIN = 0, JOB_IDLE = 1, JOB_ENDED = 2 };

struct job_def {
    const char *name; /* a literal: label of metrics, key of its row */
    int (*round)(struct job *j, void *arg);
    void *arg;
    uint64_t bytes_per_s, items_per_s; /* 0: no limit */
    unsigned first_ms;                 /* from the start to the first round */
    unsigned interval_ms;              /* after a round that found nothing to do */
    bool gives_way;
    bool starts_paused; /* until its row says otherwise */
};

/* `meta` is borrowed; NULL: nothing is kept. */
int schedule_new(struct schedule **ret, struct meta *meta);
/* Before the start. `def` is copied, its name borrowed. */
int schedule_add(struct schedule *s, const struct job_def *def, struct job **ret);
/* Reads the jobs' rows and spawns their fibers. On failure schedule_stop() is still to be called.
 */
int FIBER schedule_start(struct schedule *s);
/* Cancels, joins and frees. Accepts NULL. */
void FIBER schedule_stop(struct schedule *s);

/* Requests that have ended since some start, and what they took together. */
struct job_load {
    uint64_t requests, took_ns;
};
/* `fn` is asked once a second from then on; any thread. */
void schedule_watch_load(struct schedule *s, void (*fn)(struct job_load *ret, void *arg),
                         void *arg);

/* NULL: there is none of that name. */
struct job *schedule_find(struct schedule *s, struct str name);
unsigned schedule_count(const struct schedule *s);
struct job *schedule_get(struct schedule *s, unsigned i);

/* ---- for rounds ----------------------------------------------------------------------------- */

/* Counts what was done and waits for the pace. -ECANCELED when the schedule stops. */
int FIBER job_spend(struct job *j, uint64_t bytes, uint64_t items);
/* The same without heeding a pause: for the midst of a round that holds something others wait for.
 */
int FIBER job_pace(struct job *j, uint64_t bytes, uint64_t items);
/* The same, ended early once `over` says true: who comes next pays the rest. */
int FIBER job_pace_unless(struct job *j, uint64_t bytes, bool (*over)(const void *arg),
                          const void *arg);
/* How far it is on its way, in what it counts (bytes, rows); total 0: not known. */
void job_set_progress(struct job *j, uint64_t done, uint64_t total);
/* Another pace from now on. */
void job_set_pace(struct job *j, uint64_t bytes_per_s, uint64_t items_per_s);
/* Whether it takes only a share of its pace while clients wait. */
void job_set_gives_way(struct job *j, bool gives_way);
/* Makes the cursor durable (up to JOB_CURSOR_MAX bytes). */
int FIBER job_keep(struct job *j, struct str cursor);
/* As kept last, by this start or an earlier one; empty: never. Borrowed until job_keep(). */
struct str job_cursor(const struct job *j);
/* Sleeps, but job_wake() ends it: 0 or -ECANCELED. */
int FIBER job_rest(struct job *j, uint64_t deadline_ns);

/* ---- from outside --------------------------------------------------------------------------- */

/* Durable. A job that is running stops at its next step. */
int FIBER job_pause(struct job *j, bool paused);
/* Ends its present rest: there may be work. */
void job_wake(struct job *j);

enum job_state { JOB_WAITING, JOB_RUNNING, JOB_PAUSED, JOB_FAILING, JOB_OVER };
/* "waiting", "running", "paused", "failing", "ended" */
const char *job_state_text(enum job_state state);

struct job_status {
    const char *name;
    enum job_state state;
    uint64_t rounds, errors, bytes, items; /* since the start */
    uint64_t done, total;
    uint64_t bytes_per_s, items_per_s; /* of late */
    uint64_t left_s;                   /* UINT64_MAX: not known */
    uint64_t share_percent;            /* of its pace */
    int error;                         /* of the last round, 0: none */
};
void job_status(const struct job *j, struct job_status *ret);
/* A metrics_source; `schedule` is the argument. */
void schedule_metrics(struct buf *out, void *schedule);
