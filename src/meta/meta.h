/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The metadata: one ordered key space of bytes with serialisable transactions. Every transaction
 * touches one bucket (the system space is bucket 0). Keys are given without the bucket; the key
 * space of each bucket is its own.
 *
 * A transaction is a function. meta_read() runs it over a snapshot, meta_write() over the newest
 * state with its own changes visible; both may run it more than once (a cold key met on a loop
 * thread, a conflict), so it must start afresh each time and have no effect outside its `arg`.
 * It must not suspend. A negative return from a write undoes its changes and is handed back.
 *
 * Promises
 *  - meta_write() returns what the function returned only when its changes, and all it has read,
 * are durable. Transactions are serial, in the order in which their commit hooks run.
 *  - A reader sees one state, in which every transaction acknowledged before it began has run.
 *  - A transaction that was refused is never seen: not after any error but -EIO. One that ended in
 * -EIO because the disk failed is not seen before the process restarts; after that it is there
 * wholly or not at all.
 *
 * Two makers: meta_local_open (over kv, group commit) and, later, meta_pg.
 */

#include "base/ids.h"
#include "kv/kv.h"

struct meta;
struct meta_tx;
struct meta_cursor;

#define META_BUCKET_MAX (UINT64_MAX >> 8) /* the greatest bucket id */
#define META_KEY_MAX    2048              /* bytes of a key without the bucket */
#define META_VALUE_MAX  (48 * MIB)        /* bytes of one value */

/*
 * Keys that begin with this byte are for bulky values, objects' bytes: rows as any others, but kept
 * apart from them (KV_BULK), so that a cursor over the others does not pass them. A cursor shows
 * them only when its prefix begins with the byte.
 */
#define META_BULK 'I'

typedef int meta_fn(struct meta_tx *tx, void *arg);

/*
 * Takes over `kv`: closed by meta_close, also on failure. `commit_batch_max` limits the
 * transactions one sync carries (0: 1,024).
 */
int FIBER meta_local_open(struct meta **ret, struct kv *kv, unsigned commit_batch_max);
/*
 * Accepts NULL. Waits for the transactions under way, not for a mirror that hangs: its store is
 * closed when it wakes up.
 */
void FIBER meta_close(struct meta *m);

/* ---- mirrors -------------------------------------------------------------------------------- */

/*
 * The same metadata in up to META_MIRRORS_MAX stores on as many disks. A transaction is answered
 * when all that take part have it on disk. One that fails, or is not done `deadline_ms` after the
 * first, is left out: the others note a new generation of the set without it, durably, before
 * anything more is acknowledged, and go on. Reads go to one of them, and to another when it fails.
 *
 * Whoever was left out is rebuilt online once it can be: what differs is copied piece by piece
 * while transactions go on, and then it takes part in a new generation. A mirror that was short of
 * space or descriptors, or hung, comes back by itself; one whose disk failed is closed and LOST,
 * and meta_mirror_add brings another in.
 *
 * With one mirror nothing is done for the others, and nothing is written for them.
 */
#define META_MIRRORS_MAX     3
#define META_MIRROR_ID_BYTES 16

struct meta_mirror {
    uint8_t id[META_MIRROR_ID_BYTES]; /* names it for good, not all zeros: its disk's uuid */
    struct kv *kv;                    /* with a log, newly opened */
};

/*
 * The newest generation that a store says it took part in; 0: none, or it was being rebuilt. For
 * who has more stores than META_MIRRORS_MAX, some of them left behind, to choose from.
 */
int BLOCKING meta_mirror_peek(struct kv *kv, uint64_t *ret_generation);
/* The id that it was made for. -ERR_NOT_FOUND: it was never one of several. */
int BLOCKING meta_mirror_whose(struct kv *kv, uint8_t ret_id[META_MIRROR_ID_BYTES]);

enum meta_mirror_state {
    META_MIRROR_IN,         /* holds everything that was acknowledged */
    META_MIRROR_REBUILDING, /* on its way there */
    META_MIRROR_LOST,       /* `err` says why */
};

struct meta_mirrors_config {
    const struct meta_mirror *mirrors; /* those that could be opened, in any order */
    unsigned count;                    /* 1 to META_MIRRORS_MAX */
    unsigned commit_batch_max;         /* as for meta_local_open */
    uint64_t deadline_ms;              /* 0: 10,000 */
    uint64_t rebuild_bytes_per_s;      /* read from the source; 0: 64 MiB */
    uint64_t pause_ms; /* until one that was lost is tried again, doubled while that does not last;
                          0: a second */
    bool force;        /* start though others may know more: see meta_mirrors_open */
    /* Told of every change of a mirror's state; may be NULL. It must neither suspend nor call
     * anything here. For the log: meta_mirror_stats has the same. */
    void (*changed)(void *arg, const uint8_t *id, enum meta_mirror_state state, int err);
    void *arg;
};

/*
 * Finds the mirror that knows most and starts with it: the highest generation, then the highest
 * batch number. Others of its generation are brought up to it at once, the rest (blank ones too)
 * are rebuilt while it runs. A single store without mirrors' rows and any number of blank ones make
 * a new set, which holds what the store does.
 *
 * Takes over every kv, also on failure. -ERR_CONFLICT, with a sentence in `ret_why` (which may be
 * NULL), when it cannot be told what is right:
 *  - fewer than a majority of that generation's mirrors were given: the others may have gone on
 *    without these. `force` starts all the same; what only the others knew is lost then, and they
 *    are rebuilt when they come back.
 *  - two mirrors went on without each other (after a forced start);
 *  - two stores have nothing to do with each other.
 * `force` does not help against the latter two: leave one of them out.
 */
#define META_WHY_BYTES 256
int FIBER meta_mirrors_open(struct meta **ret, const struct meta_mirrors_config *config,
                            char ret_why[META_WHY_BYTES]);
/*
 * Brings a mirror in, blank or old: it is rebuilt in the background. Takes over its kv, also on
 * failure. -ERR_EXISTS: that id takes part, is being rebuilt, or was lost and its store is not
 * closed yet; -ERR_LIMIT: there are META_MIRRORS_MAX; -ERR_CONFLICT: it is a whole mirror of other
 * metadata. Only for metadata opened with meta_mirrors_open.
 */
int FIBER meta_mirror_add(struct meta *m, const struct meta_mirror *mirror);
/*
 * Leaves a mirror out for good and closes it; when it returns the others have noted it.
 * -ERR_NOT_FOUND; -ERR_BUSY: it is the last that takes part.
 */
int FIBER meta_mirror_remove(struct meta *m, const uint8_t id[META_MIRROR_ID_BYTES]);

struct meta_mirror_stats {
    uint8_t id[META_MIRROR_ID_BYTES];
    enum meta_mirror_state state;
    int err;        /* why it is LOST, or why it was before it was rebuilt */
    bool reading;   /* reads go to it */
    uint64_t batch; /* number of the last batch of the set */
    uint64_t generation;
    /* of the last rebuild */
    uint64_t rebuilt_keys, rebuilt_bytes; /* looked at, and theirs */
    uint64_t rebuild_keys;                /* an estimate of all */
    uint64_t rebuild_ms;                  /* since it began */
    uint64_t backlog_bytes;               /* batches that wait to be applied */
};
/* Returns how many there are. */
unsigned meta_mirror_stats(struct meta *m, struct meta_mirror_stats ret[META_MIRRORS_MAX]);

/* -ERR_UNAVAILABLE: the store cannot be read at the moment (it lacks descriptors to be opened). */
int FIBER meta_read(struct meta *m, struct bucket_id b, meta_fn *fn, void *arg);
/*
 * -ENOSPC: the disk is nearly full and the transaction did not ask for the reserve
 * (meta_use_reserve), or quite full. -EMFILE, -ENFILE: the store lacks descriptors. Writes work
 * again without a restart once there is what was lacking. -EIO: the sync failed; every later write
 * answers -ERR_READ_ONLY until the process restarts. -ERR_LIMIT: too many transactions wait
 * already.
 */
int FIBER meta_write(struct meta *m, struct bucket_id b, meta_fn *fn, void *arg);
/* Of an error it answered with: nothing of the transaction will ever be seen. Else it may be, after
 * the next start: what it names must stay. */
static inline bool meta_is_refusal(int err)
{
    return err < 0 && err != -EIO;
}

/* ---- inside a transaction ------------------------------------------------------------------- */

/*
 * An error other than -ERR_NOT_FOUND and -ERR_TOO_LARGE from any of these ends the transaction,
 * whatever the function makes of it: return it.
 */

/* The value lives until the transaction function returns. -ERR_NOT_FOUND. */
int meta_get(struct meta_tx *tx, struct str key, struct str *ret_value);
/* -ERR_TOO_LARGE over META_KEY_MAX or META_VALUE_MAX. */
int meta_put(struct meta_tx *tx, struct str key, struct str value);
/* 0 also when the key is not there. */
int meta_del(struct meta_tx *tx, struct str key);
/*
 * Adds to a row of counters (up to 8 signed 64-bit numbers); additions of one batch are summed and
 * written once. Read it with meta_get_counters in any later transaction. Not visible inside this
 * one.
 */
#define META_COUNTERS_MAX 8
int meta_add(struct meta_tx *tx, struct str key, const int64_t *deltas, unsigned count);
/* A row that nothing was ever added to is all zeros. -ERR_CORRUPT when it is not a row of counters.
 */
int meta_get_counters(struct meta_tx *tx, struct str key, int64_t ret[META_COUNTERS_MAX]);
/*
 * Runs after this transaction is durable and before meta_write returns or a later transaction's
 * hook runs: in commit order, on the committing thread, where it must not block. For exact caches.
 */
int meta_on_commit(struct meta_tx *tx, void (*fn)(void *arg), void *arg);
/*
 * Says that this transaction leads to space (a deletion, garbage collection, an abort): it goes on
 * when the disk is nearly full and others are refused.
 */
void meta_use_reserve(struct meta_tx *tx);
/* True in meta_write. */
bool meta_is_write(const struct meta_tx *tx);
/* Emptied when the function returns. Holds at most META_TX_MEMORY_MAX, values read included. */
#define META_TX_MEMORY_MAX (512 * MIB)
struct arena *meta_arena(struct meta_tx *tx);

/*
 * A cursor over the keys that start with `prefix`. Keys and values are borrowed until it moves.
 * meta_cursor_seek goes to the first key >= `key`, _seek_before to the last key < `key`; outside
 * the prefix the cursor is not valid. All give 0 with *valid in the cursor, or an error.
 */
int meta_cursor_open(struct meta_tx *tx, struct str prefix, struct meta_cursor **ret);
/* Accepts NULL. What the function leaves open is closed when it returns. */
void meta_cursor_close(struct meta_cursor *c);
int meta_cursor_seek(struct meta_cursor *c, struct str key);
int meta_cursor_seek_before(struct meta_cursor *c, struct str key);
int meta_cursor_next(struct meta_cursor *c);
int meta_cursor_prev(struct meta_cursor *c);
bool meta_cursor_valid(const struct meta_cursor *c);
struct str meta_cursor_key(const struct meta_cursor *c);
struct str meta_cursor_value(const struct meta_cursor *c);

/* ---- upkeep --------------------------------------------------------------------------------- */

/* As kv_compact. One caller at a time. */
int FIBER meta_compact(struct meta *m, uint64_t *ret_freed_bytes);
/* As kv_erase, of every mirror. -ERR_BUSY: meta_compact() is at it. */
int FIBER meta_erase(struct meta *m);

/* ---- watching ------------------------------------------------------------------------------- */

struct meta_stats {
    uint64_t reads, reads_cold; /* cold: rerun on an offload thread */
    uint64_t writes, write_batches, write_errors;
    uint64_t recoveries; /* times the store was opened anew after it had refused a write */
    int refusing;        /* what every write is answered at present, or 0 */
    uint64_t mirrors_in, mirrors_rebuilding, mirrors_lost;
    struct kv_stats kv;
};
void meta_stats(struct meta *m, struct meta_stats *ret);
