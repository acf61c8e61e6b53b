/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What the files of the batch jobs share: the table that everybody sees, and the job at hand.
 *
 * Lock: `lock` guards the table. An entry's state is what is durable; the job works on a copy,
 * which it drops when something could not be kept, and begins again from there.
 */

#include "jobs/batch/source.h"
#include "jobs/internal.h"

struct batch_entry {
    struct batch_state state;
    bool cancel; /* asked for, and not done yet */
};

struct batch_job {
    struct jobs *jobs;
    struct job *job;
    struct rt_lock lock;
    struct batch_entry
        *table[2 * BATCH_LISTED_MAX]; /* by id; more than may be, while one is begun */
    size_t count;
    uint64_t last_id, beginning; /* given out last; jobs being begun */
    /* The job's own: */
    struct batch_state *at; /* NULL: none is at hand */
    struct batch_source *source;
    bool stepped; /* a step was done in this process: there is none to be asked for again */
    struct arena arenas[2], *arena; /* of this step, and of the one before: `held` is there */
    struct batch_item items[BATCH_STEP];
    struct manifest_line held; /* read, and for the next step; no bucket: there is none */
    struct batch_place held_place;
    uint64_t lines_done, lines_failed, ended; /* atomic, since the start */
};

/* ---- rows.c: what is durable ---------------------------------------------------------------- */

/* What goes together with a job's state into one transaction. */
struct batch_keep {
    struct str text; /* a row more of the report; ptr NULL: none */
    bool drop_log;   /* its rows from this one on to the state's first go: they are an object,
                        or never will be */
    uint64_t log_from;
    const uint8_t *md5; /* of that object, `state.files`; NULL: none */
    bool drop_files;    /* nobody asks for those any more */
};
int FIBER batch_rows_keep(struct meta *m, const struct batch_state *s, const struct batch_keep *k);
int FIBER batch_rows_delete(struct meta *m, uint64_t id);
/* Each state there is, in order; one that cannot be read is told of in the log and passed over.
 * `fn` may not suspend. */
int FIBER batch_rows_load(struct meta *m, int (*fn)(const struct batch_state *s, void *arg),
                          void *arg);
/* The rows of the report that are no object yet. */
int FIBER batch_rows_log(struct meta *m, const struct batch_state *s, struct buf *ret);
int FIBER batch_rows_md5(struct meta *m, uint64_t id, uint64_t number, uint8_t ret[16]);

/* ---- report.c ------------------------------------------------------------------------------- */

/* A line of the report. */
void batch_report_line(struct buf *b, const struct batch_state *s, struct str bucket,
                       const struct batch_item *item);
/* Writes the rows as an object, and drops them. */
int FIBER batch_report_flush(struct batch_job *b);
/* The manifest of all objects. */
int FIBER batch_report_end(struct batch_job *b);
/* Of either: another try does not mend it. */
bool batch_report_is_lost(int err);

/* ---- batch.c -------------------------------------------------------------------------------- */

/* Makes the state of the job at hand durable, and shows it. */
int FIBER batch_keep(struct batch_job *b, const struct batch_keep *k);
