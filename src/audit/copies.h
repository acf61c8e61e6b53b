/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The directories that hold the log: up to AUDIT_COPIES_MAX, all with the same files.
 *
 * A copy is `in` while it has all lines that are durable. What is written goes to every copy that
 * is in, and is durable when each of them has synced it or is out from then on. One that is out is
 * brought up to the others a piece at a time, beside the writing, and is in when it has the last
 * byte.
 *
 *     new ---> out --the last byte--> in
 *               ^                      |
 *               '--a write failed, or was far behind the others', or its disk is gone
 *
 * A directory with lines that are not those of the chain, or are damaged, is put aside under
 * another name, never removed, and made anew.
 *
 * Invariants
 *  1. Copies that are in have the same files, up to byte `off` of file `number`.
 *  2. One is in at least: where a write fails in all of them they all stay, and the same bytes are
 *     tried again at the same place.
 *  3. While a write to a copy is under way nothing else looks at the copy's files.
 *  4. One comes in only while the writer waits for it: nothing is written meanwhile.
 *
 * All of it is the log's writer's own.
 */

#include "audit/audit.h"
#include "audit/files.h"
#include "audit/line.h"

#define AUDIT_DIR_MAX  (PATH_MAX - 64)
#define AUDIT_STEP_MAX (4 * MIB) /* of a copy that is brought up, at once */

/* Bytes that are written to several copies; who is late keeps them. */
struct audit_lines {
    unsigned refs;
    struct buf buf;
};
/* Takes over what is in the buffer. NULL: no memory. */
struct audit_lines *audit_lines_new(struct buf *b);
void audit_lines_unref(struct audit_lines *l);

enum audit_copy_change { AUDIT_COPY_IN, AUDIT_COPY_OUT, AUDIT_COPY_ASIDE };

struct audit_copy {
    struct audit_copies *of;
    char dir[AUDIT_DIR_MAX];
    bool there, in, examined;
    int err; /* why it is out; 0: it is new */
    uint32_t number;
    uint64_t off;         /* out and examined: how far it goes */
    uint64_t copied;      /* bytes, since it was out */
    uint64_t retry_ns;    /* nothing is tried before */
    struct rt_file *file; /* file_number's; NULL: to be opened */
    uint32_t file_number;
    bool late;    /* the writer did not wait for the end of the last step */
    bool removed; /* the file of the last removal was there */
    /* of the write, removal or step under way, or done and not collected yet */
    struct rt_fiber *fiber;
    struct audit_lines *lines; /* NULL: no write */
    uint32_t to_number;
    uint64_t to_off;
    int result;
    bool busy, done;
};

struct audit_kept {
    uint32_t number;
    uint64_t bytes, last_ms; /* of its last record, as far as it is known */
};

struct audit_copies {
    struct audit_copy *at[AUDIT_COPIES_MAX];
    unsigned count;
    uint32_t number;
    uint64_t off;            /* where the next line goes */
    struct audit_kept *kept; /* files before `number`, oldest first */
    size_t kept_count;
    bool sound; /* the chain was, when it was opened */
    struct rt_lock lock;
    struct rt_waitq wait; /* for writes that are done */
    void (*tell)(void *arg, enum audit_copy_change what, const struct audit_copy *k);
    void *tell_arg;
};

/* What the chain came to, and what a crash left behind its last line. */
struct audit_found {
    bool any, sound; /* of the last record */
    char hash[AUDIT_HASH_LEN];
    uint64_t seq; /* of the last one that is sound */
    uint64_t torn_bytes;
};

/* The copy that goes furthest leads, and of two of those one that is whole: it is in, and the
 * others follow by copies_bring_up(). An error when none can be used. */
int FIBER copies_open(struct audit_copies *c, const struct audit_place *places, unsigned count,
                      struct audit_found *ret);
/* Waits for writes under way. */
void FIBER copies_close(struct audit_copies *c);

/* Behind what is there; into the next file when this one has `file_bytes`. */
int FIBER copies_write(struct audit_copies *c, struct audit_lines *lines, uint64_t file_bytes);
/* The oldest file in all copies that are in: 1 removed, 0 somebody had done it, or it stays. */
int FIBER copies_remove_oldest(struct audit_copies *c);
/* A piece for each copy that is out. True: there is more to do at once. A disk that hangs holds
 * this up for COPY_STEP_NS, and then no more until it answers. */
bool FIBER copies_bring_up(struct audit_copies *c);
/* Other directories from now on, as far as one that is in remains. */
void FIBER copies_set_places(struct audit_copies *c, const struct audit_place *places,
                             unsigned count);

/* ---- examine.c: what a directory holds ------------------------------------------------------ */

struct audit_end {
    struct audit_files files; /* to be freed */
    bool whole;               /* the files follow one another, and so do their records */
    bool any, sound;          /* a record; the last one is */
    struct audit_link last;
    uint64_t seq;         /* of the last one that is sound */
    uint64_t bytes, torn; /* whole lines of the last file, and what is behind them */
};
int FIBER audit_examine(const char *dir, struct audit_end *ret);
/* Whether both begin with the same `len` bytes: 1 or 0. */
int FIBER audit_same_bytes(const char *a, const char *b, uint64_t len);
