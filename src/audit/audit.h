/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The audit log: who changed, or tried to change, what, from where, and what came of it. Lines of
 * JSON in append-only files, each line with the SHA-256 of the one before, so that nothing can be
 * taken out, put in or altered without it being seen (docs/adr/015).
 *
 * The log lies in up to AUDIT_COPIES_MAX directories, on as many disks, with the same files
 * (docs/adr/030): losing all of them but one loses nothing that was written.
 *
 * Promises
 *  - A record that audit_put() takes is on disk within AUDIT_FLUSH_NS, in the order of the calls.
 *    What a crash takes is at most what came in that time. Nothing here holds up a request.
 *  - Once audit_begin() has returned 0 (with `required`), its record is durable, in each directory
 *    that is not known to be behind: no operation that changes something runs without a trace.
 *  - A record that cannot be taken is counted, and the count is a record as soon as there is room.
 *  - Files are removed only by age and total size, oldest first, and each removal is a record.
 */

#include "base/buf.h"
#include "base/metrics.h"
#include "rt/rt.h"

#define AUDIT_FLUSH_NS  (1 * RT_S)
#define AUDIT_TEXT_MAX  2048      /* of before and after; longer ones are left out */
#define AUDIT_QUEUE_MAX (8 * MIB) /* lines that wait to be written */
#define AUDIT_LINE_MAX  (48 * KIB)

#define AUDIT_COPIES_MAX 3
#define AUDIT_PATH_MAX   4096

struct audit;

/* A directory that may have a copy, made when it is not there. */
struct audit_place {
    const char *dir;
    bool there; /* its disk is: otherwise nothing is looked for, nor made */
};

struct audit_config {
    const struct audit_place *places; /* best first; copied */
    unsigned place_count;
    bool required;       /* operations wait for their first record, and fail without it */
    uint64_t file_bytes; /* before the next file is begun; 0: 64 MiB */
    uint64_t keep_bytes; /* of all files; 0: 1 GiB */
    unsigned keep_days;  /* 0: 90 */
};
/* Goes on behind the last whole line. */
int FIBER audit_open(struct audit **ret, const struct audit_config *config);
/* Writes what waits. Accepts NULL. On the thread of the opening. */
void FIBER audit_close(struct audit *a);

enum audit_outcome { AUDIT_BEGUN, AUDIT_DONE, AUDIT_FAILED };
struct audit_record {
    struct str operation;
    enum audit_outcome outcome;
    int status;                           /* HTTP's; 0: none yet */
    struct str error;                     /* a code of S3; empty: none */
    struct str user, user_id, access_key; /* empty: anonymous */
    struct str source, agent, request_id; /* an address without its port */
    struct str bucket, key, version;
    uint64_t bytes;           /* received */
    struct str before, after; /* texts; ptr NULL: not known, or no text */
};

/* Takes it, or counts it as lost. `a` may be NULL. Any thread; never suspends. */
void audit_put(struct audit *a, const struct audit_record *r);
/* Of a request that nobody stands behind; the log's bound on them is that of refused.h. Otherwise
 * as audit_put(). */
void audit_put_refused(struct audit *a, const struct audit_record *r);
/*
 * Unless the log is required, nothing. Else the record, durable; -ERR_UNAVAILABLE: it could not be
 * written, and the operation must not begin. `a` may be NULL.
 */
int FIBER audit_begin(struct audit *a, const struct audit_record *r);
bool audit_is_required(const struct audit *a); /* `a` may be NULL */
/* Whatever was put before is in the files. */
int FIBER audit_flush(struct audit *a);
/* The disks are others now, or some have gone or are back. A copy whose place is none any more is
 * left alone, and another one made, as there are places. Any thread. */
void audit_set_places(struct audit *a, const struct audit_place *places, unsigned count);
struct audit_copy_status {
    char dir[AUDIT_PATH_MAX];
    bool in; /* it has all that is durable; else it is behind */
    int err; /* why it is behind; 0: it is new */
};
unsigned audit_copies(struct audit *a, struct audit_copy_status ret[AUDIT_COPIES_MAX]);
/* One that has all. */
void audit_dir(struct audit *a, char ret[AUDIT_PATH_MAX]);
void audit_metrics(struct buf *out, void *audit);

/* ---- reading: of a directory, whether or not a server writes there -------------------------- */

struct audit_filter {
    uint64_t from_ms, to_ms;                             /* to_ms 0: no end */
    struct str user, bucket, prefix, operation, outcome; /* ptr NULL: any */
    uint64_t max;
};
/* Each line (without its end) that fits, in order; `fn` may suspend, non-zero ends it. Lines that
 * are no records are passed over: audit_verify() tells of them. */
int FIBER audit_query(const char *dir, const struct audit_filter *filter,
                      int (*fn)(struct str line, void *arg), void *arg);

struct audit_verdict {
    uint64_t files, records;
    uint64_t first_seq, last_seq;
    char last_hash[65];
    bool sound;
    char fault[160]; /* what is wrong first, and where */
};
/* Recomputes the whole chain. */
int FIBER audit_verify(const char *dir, struct audit_verdict *ret);
