/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Storage classes over an object's life: moved to a colder one, archived there, and restored for
 * some days (docs/adr/019).
 *
 * A transition writes the chunks anew under the other class's code, one after another; each is read
 * back before the record takes it in the place of the old one, in one transaction that finds the
 * old one there still. Only then the version says the new class. So it may end anywhere, and goes
 * on where it ended; all that time the object can be read. Version, time, ETag, checksums, tags and
 * locks stay what they were.
 *
 * An object of an archived class lies there as any other does, but a door reads it only while it is
 * restored. A restore has a row in the system space from before anything says that it is under way
 * until it is over, so that none is forgotten; whoever works through the rows (jobs) reads the
 * object whole, which an archive is not otherwise, before it says that it is there. When the days
 * are over a row says so, too.
 */

#include "store/store.h"

/* ---- transitions ---------------------------------------------------------------------------- */

struct store_transition {
    struct str key;
    struct store_version_ref version;
    uint64_t seq;    /* it is exactly this one */
    bool superseded; /* and is not the newest */
    struct str class;
    struct store_notice *notice; /* told of a change once it is through; may be NULL */
};
/*
 * `pace` (may be NULL) is told of the bytes that were written, may suspend, and ends it by a
 * non-zero return, which is handed back. -ERR_INVALID_STORAGE_CLASS; -ERR_PRECONDITION_FAILED,
 * -ERR_NO_SUCH_KEY, -ERR_NO_SUCH_VERSION: it is not there any more; -ERR_CORRUPT: it cannot be
 * read, and is queued for repair.
 */
int FIBER store_transition(struct store *s, struct bucket_id b, const struct store_transition *t,
                           int (*pace)(uint64_t bytes, void *arg), void *arg);

/* ---- restores ------------------------------------------------------------------------------- */

/* In which order restores are worked through. */
enum store_rank { STORE_EXPEDITED, STORE_ORDINARY, STORE_BULK, STORE_EXPIRIES, STORE_RANKS };

/* Whether the object can be read: it is in no archived class, or restored. */
bool store_is_readable(const struct store *s, const struct store_object *o);

struct store_restoring {
    struct str key;
    struct store_version_ref version;
    uint32_t days;
    enum store_rank rank;
    uint64_t until_ms;           /* of an object that is restored already: from now until then */
    struct store_notice *notice; /* told of a change when it begins; may be NULL */
};
/* *ret_there: it was restored already, and the days are counted from now. -ERR_NOT_ARCHIVED,
 * -ERR_RESTORING (it is under way), -ERR_NO_SUCH_KEY, -ERR_NO_SUCH_VERSION,
 * -ERR_METHOD_NOT_ALLOWED (a delete marker). */
int FIBER store_restore(struct store *s, struct bucket_id b, const struct store_restoring *what,
                        bool *ret_there);

/* What is to be done about one version. */
struct store_restore_row {
    enum store_rank rank; /* STORE_EXPIRIES: its days are over */
    uint64_t due_ms, number;
    struct bucket_id bucket;
    struct str key;
    struct store_version_ref version;
    uint64_t seq;
    uint32_t days;
};
/* The first rows that are due, of the least rank first, up to `max`; strings in `a`. */
int FIBER store_restores_due(struct store *s, struct arena *a, uint64_t now_ms, size_t max,
                             struct store_restore_row **ret, size_t *ret_count);
/* The name of the bucket, in `a`; ptr NULL: it is gone. */
struct str store_restore_bucket(struct store *s, struct arena *a,
                                const struct store_restore_row *row);
/* Reads the object. -ERR_NOT_FOUND: it is gone, or does not wait for it. -ERR_BUSY, also of
 * store_restore_end(): somebody asks for one just now; look again. */
int FIBER store_restore_read(struct store *s, const struct store_restore_row *row,
                             int (*pace)(uint64_t bytes, void *arg), void *arg);
/* It can be read until then: tells `notice`, puts the row of the expiry, and drops this one. */
int FIBER store_restore_done(struct store *s, const struct store_restore_row *row,
                             uint64_t until_ms, struct store_notice *notice);
/* Its days are over, unless it was restored for longer: tells, and drops the row. *ret_ended:
 * it was not. */
int FIBER store_restore_end(struct store *s, const struct store_restore_row *row, uint64_t now_ms,
                            struct store_notice *notice, bool *ret_ended);
int FIBER store_restore_drop(struct store *s, const struct store_restore_row *row);
/* It could not be done: another time. */
int FIBER store_restore_later(struct store *s, const struct store_restore_row *row,
                              uint64_t due_ms);
