/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Batch jobs: what a manifest names is deleted, tagged, or freed of its tags, line by line, as the
 * user whom the job was begun for might do it by single requests. Several wait in a queue, one runs
 * at a time, each goes on over restarts, and what became of every line is reported.
 *
 *   waiting --> checking --> running --> reporting --> done
 *      |           |            |            |
 *      |           |            `------------+-------> cancelled, failed
 *      `-----------+---------------------------------> cancelled, failed
 *
 *   checking   the whole manifest is read and its lines counted, before anything is changed
 *   running    steps of up to BATCH_STEP lines of one bucket (store/steps.h)
 *   reporting  what is left of the report is written, then its manifest
 *
 * Each line is done once. A step leaves in its own transaction that it was done, and what came of
 * it; then the place and the step's lines of the report become durable in one other. A crash
 * between the two has the step asked for again, which changes nothing and tells the same.
 *
 * A job is a row of the system space, "Jbatch " id; its report gathers in rows "Jbatchlog " until
 * there is enough for an object (docs/FORMATS.md). The manifest must stay the object that it was.
 */

#include "jobs/text.h"

#define BATCH_STEP      200  /* lines */
#define BATCH_QUEUE_MAX 100  /* jobs that wait or are under way */
#define BATCH_KEPT_MAX  100  /* that are over, the newest */
#define BATCH_TAGS_MAX  4096 /* bytes of the tags' text */
#define BATCH_WHY_MAX   256
#define BATCH_NAME_MAX  128    /* of who asked */
#define BATCH_RATE      5000   /* lines a second, unless asked for otherwise */
#define BATCH_RATE_MAX  100000 /* lines a second */

struct jobs;

enum batch_phase {
    BATCH_WAITING,
    BATCH_CHECKING,
    BATCH_RUNNING,
    BATCH_REPORTING,
    BATCH_DONE,
    BATCH_FAILED,
    BATCH_CANCELLED,
    BATCH_PHASES
};
/* "waiting", "checking", "running", "reporting", "done", "failed", "cancelled" */
const char *batch_phase_text(enum batch_phase phase);
static inline bool batch_is_over(enum batch_phase phase)
{
    return phase >= BATCH_DONE;
}

enum batch_action { BATCH_DELETE, BATCH_TAG, BATCH_UNTAG, BATCH_ACTIONS };
/* "delete", "tag", "untag" */
const char *batch_action_text(enum batch_action action);
/* -EINVAL */
int batch_action_parse(struct str text, enum batch_action *ret);

/* Behind the last line that was read. */
struct batch_place {
    uint64_t file; /* of an inventory; else 0 */
    uint64_t off;  /* bytes of its text */
    uint64_t line; /* of all files together */
};

struct batch_state {
    uint64_t id; /* when it was begun, ms: unique */
    enum batch_phase phase;
    enum batch_phase outcome; /* what comes after the report */
    enum batch_action action;
    bool bypass;    /* governance retentions, as far as the user may */
    bool inventory; /* the manifest names files */
    struct job_text manifest_bucket, manifest_key, report_bucket, report_prefix;
    uint64_t manifest_seq, manifest_bytes; /* which object it must be */
    struct job_text manifest_etag;         /* for people */
    struct job_text user;                  /* whose rights count */
    struct job_text access_key, source, request_id;
    size_t tags_len;
    char tags[BATCH_TAGS_MAX]; /* "k=v&k2=v2" */
    uint64_t rate;             /* lines a second */
    struct batch_place place;
    uint64_t fields;       /* of a line, once it is known */
    uint64_t total;        /* lines, once they were counted */
    uint64_t done, failed; /* of them */
    uint64_t begun_ms, ended_ms;
    struct job_text marked;                  /* the bucket where a step's row may be; empty: none */
    uint64_t log_first, log_next, log_bytes; /* rows of the report that are no object yet */
    uint64_t files;                          /* objects of the report */
    size_t why_len;
    char why[BATCH_WHY_MAX]; /* it failed */
};

/* A line on its way through a step. */
struct batch_item {
    struct str key, version; /* empty: the current one */
    int err;                 /* what came of it */
};
struct batch_step {
    struct str bucket;
    uint64_t number; /* greater than those before */
    struct batch_item *items;
    size_t count; /* up to BATCH_STEP */
};

/* -ERR_CORRUPT */
int batch_unpack(struct str row, struct batch_state *ret);
/* *ret is malloc'd memory. */
int batch_pack(const struct batch_state *s, struct str *ret);
void batch_set_why(struct batch_state *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The key of an object of the report: 0: its manifest, else the results' number. */
int batch_report_key(const struct batch_state *s, uint64_t number, struct buf *ret);

/* ---- for the administrator: any thread ------------------------------------------------------ */

struct batch_request {
    enum batch_action action;
    bool bypass;
    struct str manifest_bucket, manifest_key, report_bucket, report_prefix; /* no report: empty */
    struct str user, tags;
    struct str access_key, source, request_id;
    uint64_t rate; /* 0: BATCH_RATE */
};
/*
 * Durable when it returns. With a reason in ret_why: -ERR_INVALID_ARGUMENT, -ERR_NOT_FOUND (no such
 * user), -ERR_ACCESS_DENIED (to the manifest or the report), what reading the manifest gives,
 * -ERR_LIMIT (BATCH_QUEUE_MAX wait already), -ERR_UNAVAILABLE.
 */
int FIBER jobs_batch_start(struct jobs *j, const struct batch_request *q, uint64_t *ret_id,
                           char ret_why[BATCH_WHY_MAX]);
/* It is over when this returns: what was done stays done, and is reported. -ERR_NOT_FOUND,
 * -ERR_CONFLICT (it was over before), -ERR_UNAVAILABLE (the job is paused, or does not answer). */
int FIBER jobs_batch_cancel(struct jobs *j, uint64_t id);
/* -ERR_NOT_FOUND */
int jobs_batch_get(struct jobs *j, uint64_t id, struct batch_state *ret);
/* Their ids, the oldest first. */
#define BATCH_LISTED_MAX (BATCH_QUEUE_MAX + BATCH_KEPT_MAX)
size_t jobs_batch_list(struct jobs *j, uint64_t ret[BATCH_LISTED_MAX]);
void jobs_batch_metrics(struct buf *out, struct jobs *j);
