/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The purge of what belongs to somebody, as the administrator asks for it: one at a time, over
 * restarts, its last report kept until the next begins.
 *
 *   none/done/stopped --jobs_purge_start--> removing --> proving --> collecting --> done
 *                                              ^            |             |           ^
 *                                              `------------'             `--erasing--'
 *                                       it found more, up to twice      when asked for
 *
 *   removing    the walk of store/upkeep/purge.h, which removes
 *   proving     the same walk, which only looks: what it meets that is not kept was missed
 *   collecting  until the garbage collector has deleted every needle that was let go before
 *   erasing     every volume with dead bytes, and the metadata, is rewritten without them. Its
 * place is not kept: a restart begins it anew
 *
 * Each removal is two audit records: that it begins, durable before anything of its page goes, and
 * that it was done. So a crash may leave a page's removals out of the counts, never out of the log.
 */

#include "jobs/text.h"
#include "store/upkeep/purge.h"

#define PURGE_NAME_MAX 128 /* of who asked */

struct jobs;

enum purge_phase {
    PURGE_NONE,
    PURGE_REMOVING,
    PURGE_PROVING,
    PURGE_COLLECTING,
    PURGE_DONE,
    PURGE_STOPPED,
    PURGE_ERASING,
    PURGE_PHASES
};
/* "none", "removing", "proving", "collecting", "done", "stopped", "erasing" */
const char *purge_phase_text(enum purge_phase phase);
static inline bool purge_is_under_way(enum purge_phase phase)
{
    return phase == PURGE_REMOVING || phase == PURGE_PROVING || phase == PURGE_COLLECTING ||
           phase == PURGE_ERASING;
}

struct purge_counts {
    uint64_t gone[STORE_PURGE_KINDS];
    uint64_t parts, bytes; /* of what went: parts of uploads, bytes of all */
    /* By the last look: */
    uint64_t held, retained, hides;
    uint64_t left; /* neither kept nor gone: came, or changed, meanwhile */
};

struct purge_state {
    uint64_t id; /* when it was asked for, ms: unique */
    enum purge_phase phase;
    bool tagged, erase;
    struct job_text bucket, prefix, tag_name, tag_value;
    struct job_text user, access_key, source, request_id;
    struct store_purge_place place;
    uint64_t rounds; /* of removing */
    struct purge_counts counts;
    uint64_t removed_ms, ended_ms, due_ms;
    uint64_t refused; /* of what was let go, rows whose needles the collector would not delete */
    /* Of the erasing: volumes that could not be rewritten, disks that are gone, mirrors of the
     * metadata that do not take part. */
    uint64_t stuck;
};
/* What the state describes; the strings are its own. */
struct store_purge_what purge_what(const struct purge_state *s);
/* Nothing that may go was left, and every needle has been deleted. */
bool purge_is_proved(const struct purge_state *s);
/* No file that the store can write holds a byte of it any more. */
bool purge_is_erased(const struct purge_state *s);

/* The cursor. -ERR_CORRUPT; an empty one is a state of zeros. */
int purge_unpack(struct str cursor, struct purge_state *ret);
/* The caller frees it. -ENOMEM. */
int purge_pack(const struct purge_state *s, struct str *ret);

/* ---- any thread ----------------------------------------------------------------------------- */

struct purge_request {
    struct store_purge_what what;
    bool erase;
    struct str user, access_key, source, request_id; /* who asks, for the audit log */
};
/* Durable when it returns. -ERR_BUSY: one is under way; -ERR_UNAVAILABLE: the job is paused. */
int FIBER jobs_purge_start(struct jobs *j, const struct purge_request *request);
/* At its next page; what went stays gone. */
int FIBER jobs_purge_stop(struct jobs *j);
/* The one under way, or the last. */
void jobs_purge_status(struct jobs *j, struct purge_state *ret);
