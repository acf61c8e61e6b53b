/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Restores of archived objects: the rows that are due (tiers.h), those that were asked for as
 * expedited first. An object is read whole before it is said to be there, since nobody reads an
 * archive otherwise; one that cannot be read stays as it is and is tried again. Days end at
 * midnight UTC, as those of the lifecycle do.
 */

#include "base/log.h"
#include "events/notice.h"
#include "jobs/internal.h"
#include "lifecycle/lifecycle.h"
#include "store/upkeep/tiers.h"

#define FIRST_MS    1000
#define INTERVAL_MS 1000
#define LOOKS_A_DAY 20 /* at least: days of tests are short */
#define BYTES_PER_S (256 * MIB)
#define ROWS_MAX    64
#define RETRY_MS    600000 /* before an object that could not be read is read again */
#define REQUESTER   STR("lifecycle")

struct restore_job {
    struct jobs *jobs;
    struct job *job;
    uint64_t day_ms;
    struct arena arena, scratch;
    uint64_t done, ended, failed; /* atomic */
};

static int FIBER spend(uint64_t bytes, void *arg)
{
    struct restore_job *j = arg;
    return job_pace(j->job, bytes, 0);
}

/* Whom it is told to; the bucket is released by the caller. -ERR_NO_SUCH_BUCKET. */
static int FIBER open_bucket(struct restore_job *j, const struct store_restore_row *row,
                             struct store_bucket *b, enum event_kind kind,
                             struct store_notice **ret)
{
    struct event_names names = EVENT_NAMES(EVENT_CREATED_PUT);
    arena_reset(&j->scratch);
    struct str name = store_restore_bucket(j->jobs->config.store, &j->scratch, row);
    int r = name.ptr ? store_bucket_get(j->jobs->config.store, &j->scratch, name, b)
                     : -ERR_NO_SUCH_BUCKET;
    if (r == 0 && b->id.n != row->bucket.n)
        r = -ERR_NO_SUCH_BUCKET;
    if (r < 0)
        return r;
    names.changed = kind;
    struct event_origin origin = {.arena = &j->scratch, .bucket = b, .requester = REQUESTER};
    return event_notice_make(j->jobs->config.events, &origin, names, ret);
}

static int FIBER put_off(struct restore_job *j, const struct store_restore_row *row, int err)
{
    struct log_line line;
    jobs_count(&j->failed, 1);
    log_begin(&line, LOG_ERROR, "an archived object cannot be restored: it is tried again");
    log_str(&line, "key", row->key);
    log_err(&line, err);
    log_end(&line);
    return store_restore_later(j->jobs->config.store, row, rt_wall_ms() + RETRY_MS);
}

/* A row whose object cannot be read, because it is damaged or its disks are away, holds up no other
 * one. */
static bool is_of_one(int err)
{
    return err < 0 && err != -ECANCELED && err != -ENOMEM && err != -ERR_BUSY;
}

static int FIBER begin(struct restore_job *j, const struct store_restore_row *row,
                       struct store_bucket *b)
{
    struct store *s = j->jobs->config.store;
    struct store_notice *notice = NULL;
    int r = open_bucket(j, row, b, EVENT_RESTORE_COMPLETED, &notice);
    if (r == 0)
        r = store_restore_read(s, row, spend, j);
    if (r == -ERR_NO_SUCH_BUCKET || r == -ERR_NOT_FOUND)
        return store_restore_drop(s, row);
    if (is_of_one(r))
        return put_off(j, row, r);
    if (r == 0)
        r = store_restore_done(s, row, lifecycle_due_ms(rt_wall_ms(), row->days, j->day_ms),
                               notice);
    if (r == 0) {
        jobs_count(&j->done, 1);
        jobs_trace(j->jobs, "S3.RESTORE.OBJECT", b->name, row->key, &row->version, STR_NULL);
    }
    return r;
}

static int FIBER end(struct restore_job *j, const struct store_restore_row *row,
                     struct store_bucket *b)
{
    struct store *s = j->jobs->config.store;
    struct store_notice *notice = NULL;
    bool ended = false;
    int r = open_bucket(j, row, b, EVENT_RESTORE_DELETE, &notice);
    if (r == -ERR_NO_SUCH_BUCKET)
        return store_restore_drop(s, row);
    if (r == 0)
        r = store_restore_end(s, row, rt_wall_ms(), notice, &ended);
    if (is_of_one(r))
        return put_off(j, row, r);
    if (ended) {
        jobs_count(&j->ended, 1);
        jobs_trace(j->jobs, "S3.EXPIRE.RESTORE", b->name, row->key, &row->version, STR_NULL);
    }
    return r;
}

/* -ERR_BUSY: the row is looked at again. */
static int FIBER one_row(struct restore_job *j, const struct store_restore_row *row)
{
    struct store_bucket b = {0};
    int r = row->rank == STORE_EXPIRIES ? end(j, row, &b) : begin(j, row, &b);
    store_bucket_release(&b);
    if (r == -ERR_BUSY)
        return 0;
    return r < 0 ? r : job_spend(j->job, 0, 1);
}

static int FIBER restore_round(struct job *job, void *arg)
{
    struct restore_job *j = arg;
    struct store_restore_row *rows = NULL;
    size_t count = 0;
    if (!j->jobs->audit_known)
        return JOB_IDLE;
    int r =
        store_restores_due(j->jobs->config.store, &j->arena, rt_wall_ms(), ROWS_MAX, &rows, &count);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = one_row(j, &rows[i]);
    if (r < 0)
        return r;
    return count == ROWS_MAX ? JOB_AGAIN : JOB_IDLE;
}

int restore_add(struct jobs *j)
{
    if (!j->config.meta)
        return 0;
    struct restore_job *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    j->restore = r;
    r->jobs = j;
    r->day_ms = j->config.lifecycle_day_ms ? j->config.lifecycle_day_ms : LIFECYCLE_DAY_MS;
    arena_init(&r->arena, 0);
    arena_init(&r->scratch, 0);
    struct job_def def = {
        .name = "restore",
        .round = restore_round,
        .arg = r,
        .bytes_per_s = BYTES_PER_S,
        .first_ms = (unsigned)MIN((uint64_t)FIRST_MS, r->day_ms / LOOKS_A_DAY),
        .interval_ms = (unsigned)MIN((uint64_t)INTERVAL_MS, r->day_ms / LOOKS_A_DAY),
    };
    return schedule_add(j->schedule, &def, &r->job);
}

void restore_free(struct restore_job *r)
{
    if (!r)
        return;
    arena_release(&r->arena);
    arena_release(&r->scratch);
    free(r);
}

void jobs_restore_metrics(struct buf *out, struct jobs *j)
{
    struct restore_job *r = j->restore;
    if (!r)
        return;
#define LOAD(field) __atomic_load_n(&r->field, __ATOMIC_RELAXED)
    metrics_single(out, "cairn_restores_done_total", "counter",
                   "Archived objects that were made readable.", LOAD(done));
    metrics_single(out, "cairn_restores_ended_total", "counter",
                   "Restored objects whose days were over.", LOAD(ended));
    metrics_single(out, "cairn_restores_failed_total", "counter",
                   "Reads of archived objects that failed: each is tried again.", LOAD(failed));
#undef LOAD
}
