/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The set of mirrors behind meta/local: who takes part, who may be read, one batch to all of them.
 * mirrors.c has the set, mirror_worker.c what goes on beside it, mirror_rows.c what is written down
 * of it and the choice at the start, rebuild.c how a mirror is made like the others.
 *
 * A mirror that is written beside others has a worker, a fiber that alone writes to its store. So a
 * disk that hangs holds up its worker and nobody else: the commit fiber stops waiting, and what the
 * worker still uses lives until it comes back, even if the metadata was closed meanwhile.
 *
 * Who calls. The commit fiber (one at a time; what it has offloaded counts as the fiber) is the
 * only one to write, to let in and to leave out; others ask for it (`suspect`, `leaving`, `ready`)
 * and see to it that it runs. Readers enter and leave.
 */

#include "base/list.h"
#include "meta/meta.h"
#include "rt/rt.h"

/* A key of the store: the bucket's id, then the key within the bucket. Before that of a bulky value
 * stands a byte more, KV_BULK, which no bucket's id begins with. Shorter keys are the mirrors' own.
 */
#define BUCKET_BYTES 8

struct mirrors;

/* A batch in the hands of several workers. */
struct shared_batch {
    struct kv_batch *batch;
    unsigned refs; /* atomic */
};
int shared_batch_new(struct kv *kv, struct shared_batch **ret);
struct shared_batch *shared_batch_ref(struct shared_batch *s);
void shared_batch_unref(struct shared_batch *s);

/* How far a mirror being rebuilt has come. The worker's own but for the counts. */
struct rebuild {
    bool begun;        /* the mirror is marked: it will not be taken for a whole one */
    bool copied;       /* every key was looked at */
    struct buf cursor; /* keys below it are like the source's, but for what is in the backlog */
    uint64_t keys, bytes, keys_estimate;
    uint64_t applied; /* pieces of the backlog */
    uint64_t started_ns;
};

/* What a mirror has written down of itself and the others. */
struct mirror_row {
    bool whole;
    unsigned count;
    uint8_t store[16]; /* zeros: not drawn yet */
    uint8_t self[META_MIRROR_ID_BYTES];
    uint64_t generation, lineage; /* 0: there were no mirrors yet */
    uint8_t members[META_MIRRORS_MAX][META_MIRROR_ID_BYTES];
};

struct mirror {
    struct mirrors *set;
    uint8_t id[META_MIRROR_ID_BYTES];
    struct kv *kv; /* NULL once it is closed */

    /* Under the set's lock. */
    enum meta_mirror_state state;
    int err;
    int suspect;             /* a read from it failed with that */
    bool leaving;            /* meta_mirror_remove waits for it to go */
    bool gone;               /* and the others have noted that it is */
    bool retired;            /* its worker closes it and ends */
    bool has_worker;         /* until it has ended */
    unsigned cold;           /* reads that may wait for the disk */
    struct rt_waitq wake;    /* the worker's */
    struct shared_batch *to; /* what the worker is to write, until it takes it */
    bool writing;            /* a write was asked for and is not done */
    int result;              /* of the last one */
    uint64_t not_before_ns;  /* the worker pauses */
    uint64_t in_since_ns;    /* when it last came to take part */
    unsigned falls;          /* how often it was lost again soon after that */
    bool ready;              /* rebuilt, and nothing of the backlog is left */
    struct list backlog;     /* batches to be applied while it is rebuilt */
    uint64_t backlog_bytes;
    struct rebuild rebuild;
};

/* What a write to several came to. */
struct outcome {
    struct mirror *to[META_MIRRORS_MAX];
    int results[META_MIRRORS_MAX];
    unsigned count, good, refused;
    int refusal; /* the code of one that refused */
};

/* The mirror that a loop thread is reading. */
struct reading_slot {
    struct mirror *in; /* atomic */
} __attribute__((aligned(64)));

struct mirrors {
    struct rt_lock lock;
    unsigned refs; /* under the lock: the metadata, and each worker */
    bool closed;
    struct mirror *all[META_MIRRORS_MAX];
    unsigned count;
    struct rt_waitq done;     /* a write is done or a worker has ended */
    struct rt_waitq readable; /* `reading` was set */
    struct rt_waitq quiet;    /* a mirror's `cold` came to 0 */
    struct rt_waitq left;     /* a mirror has left */
    struct mirror *reading;   /* atomic, changed under the lock; NULL: nobody may read now */
    struct reading_slot *slots;
    unsigned slot_count;

    uint64_t deadline_ns, rebuild_bytes_per_s, pause_ns;
    void (*changed)(void *arg, const uint8_t *id, enum meta_mirror_state state, int err);
    void *changed_arg;
    void (*kick)(void *arg); /* FIBER: sees to it that the commit fiber runs */
    void *kick_arg;

    struct mirror_row noted; /* the generation that is on all who take part; under the lock */

    /* The commit fiber's, and before there is one the opener's. */
    uint64_t generation;      /* the newest that was noted anywhere */
    uint64_t number;          /* of the last batch that was numbered */
    bool must_record;         /* a generation is to be noted before anything is acknowledged */
    struct outcome under_way; /* of the batch, from mirrors_begin to mirrors_end */
    struct buf row;
};

/* ---- mirrors.c ------------------------------------------------------------------------------ */

int mirrors_new(struct mirrors **ret, const struct meta_mirrors_config *config);
/* Takes over the kv, not on failure. -ERR_LIMIT, -ENOMEM. */
int mirrors_put(struct mirrors *set, const uint8_t *id, struct kv *kv);
/* Nobody uses it any more but workers. Closes the stores. */
void FIBER mirrors_close(struct mirrors *set);

/* True when no batch has to go anywhere but to the one that is read. */
bool mirrors_single(struct mirrors *set);
/* True when one is being made like the others, which needs each batch (mirrors_feed). */
bool mirrors_rebuilding(struct mirrors *set);
/* -ENOSPC when all that take part are nearly full; some of them only are to be left out. */
int BLOCKING mirrors_room(struct mirrors *set);

/*
 * Reading on loop thread `thread`, which must not suspend until it leaves. NULL: nobody may read
 * now. _cold: from anywhere, for as long as one likes; -ERR_UNAVAILABLE, -ECANCELED.
 */
struct mirror *mirrors_enter(struct mirrors *set, unsigned thread);
void mirrors_leave(struct mirrors *set, unsigned thread);
int FIBER mirrors_enter_cold(struct mirrors *set, struct mirror **ret);
/* NULL where _enter_cold would wait. */
struct mirror *mirrors_try_cold(struct mirrors *set);
/* The i-th mirror, if there is one and it takes part. */
struct mirror *mirrors_enter_nth(struct mirrors *set, unsigned i);
void mirrors_leave_cold(struct mirrors *set, struct mirror *from);
/*
 * A read from the mirror failed because of its store. True: reads go to another one now, try
 * again (and kick). False: there is no other.
 */
bool mirrors_suspect(struct mirrors *set, struct mirror *from, int err);

/* After that, on a fiber: for a while, until another one is read. */
void FIBER mirrors_wait_other(struct mirrors *set, const struct mirror *than);

/*
 * A batch goes to all that take part, numbered when they are several. It is begun on a fiber, or,
 * when all of them have workers, anywhere; 0, or a failure, of which mirrors_end is to be told.
 * Then, not on a fiber, mirrors_await may wait for a short time: true when it is durable on all of
 * them and seen by readers, and nothing more is to be done. Otherwise mirrors_end waits as long as
 * is right. 0: it is durable on all that take part from now on. *ret_seen: it is seen by readers
 * (also after some failures). *ret_refusing: 0, or what later writes are to be answered:
 * -ERR_READ_ONLY for good, any other until mirrors_recover gave 0.
 */
bool mirrors_have_workers(struct mirrors *set);
int mirrors_begin(struct mirrors *set, struct shared_batch *batch);
bool BLOCKING mirrors_await(struct mirrors *set, uint64_t deadline_ns);
int FIBER mirrors_end(struct mirrors *set, int begun, bool *ret_seen, int *ret_refusing);
/* After a write failed for want of something: 0 when writes may go on, what is lacking, or -EIO. */
int FIBER mirrors_recover(struct mirrors *set);
/* Whether someone is to be let in or left out, and doing that. 0, or as *ret_refusing. */
bool mirrors_have_tasks(struct mirrors *set);
int FIBER mirrors_do_tasks(struct mirrors *set);

/* Coming: -ERR_EXISTS, -ERR_LIMIT. Forgets mirrors that are lost and closed. */
int mirrors_make_room(struct mirrors *set, const uint8_t *id);
/* Of one that was put there since the start. */
int FIBER mirrors_begin_rebuild(struct mirrors *set, const uint8_t *id);
/* Going: 1 when it will (kick, and wait), 0 when it is gone, -ERR_NOT_FOUND, -ERR_BUSY. */
int mirrors_ask_to_leave(struct mirrors *set, const uint8_t *id);
/* Nothing can be noted any more. */
void mirrors_nobody_leaves(struct mirrors *set);
int FIBER mirrors_wait_left(struct mirrors *set, const uint8_t *id);
void mirrors_count(struct mirrors *set, struct meta_stats *ret);
unsigned mirrors_stats(struct mirrors *set, struct meta_mirror_stats ret[META_MIRRORS_MAX]);

/* The codes of a store that refuses for want of something, of which nothing will be seen. */
static inline bool out_of_means(int err)
{
    return err == -ENOSPC || err == -EDQUOT || err == -EMFILE || err == -ENFILE;
}

/* For the other files: */
/* Asks the worker to write; mirrors_wait waits for all that were asked, or takes too long. */
int FIBER mirror_post(struct mirror *m, struct shared_batch *batch);
/*
 * Notes a new generation on all that take part, then lets `joiner` (or NULL) in. Who fails is left
 * out. 0, or the error when nobody took it.
 */
int FIBER mirrors_record(struct mirrors *set, struct mirror *joiner);
/* Starts over with making the mirror like the others; the lock is held. */
void mirror_set_rebuilding(struct mirror *m);
/* Changes the state and tells of it; the lock is held. */
void mirror_set_state(struct mirror *m, enum meta_mirror_state state, int err);
/* Waits until nobody reads the mirror, which is not `reading`. */
void FIBER mirror_wait_quiet(struct mirror *m);

void mirror_free(struct mirror *m);
/* Forgets it; the lock is held. */
void mirrors_take_out(struct mirrors *set, const struct mirror *m);
/* The lock is held, and is not any more. */
void mirrors_unlock_and_unref(struct mirrors *set);
/* Closes, or recovers, a kv (the argument). For rt_offload. */
int BLOCKING mirror_close_store(void *kv);
int BLOCKING mirror_recover_store(void *kv);

/* ---- mirror_worker.c ------------------------------------------------------------------------ */

/*
 * After a failure, before it is tried again: the pause doubles each time, until it has taken part
 * for long. So one whose disk is nearly full does not have everybody make it like the others, only
 * to fill its disk by that and be left out again, over and over. The lock is held.
 */
void mirror_pause(struct mirror *m, bool took_part);
/* Nothing happens when it has one. */
int FIBER mirror_start_worker(struct mirror *m);
/* After a failure that is not its disk's. */
bool mirror_may_come_back(int err);

/* ---- mirror_rows.c -------------------------------------------------------------------------- */

/*
 * Looks at all mirrors, picks one to start from and decides on the others: see meta_mirrors_open.
 * `plain`: of meta_local_open, which takes a store that is nobody's mirror.
 */
int FIBER mirrors_choose(struct mirrors *set, bool force, bool plain, char why[META_WHY_BYTES]);
/* What a new generation is, with those who take part and `joiner` (or NULL). */
struct mirror_row mirrors_next_row(struct mirrors *set, const struct mirror *joiner);
/* Puts it, or any, into a batch as that mirror's own. */
int mirror_put_row(const struct mirror *m, struct mirror_row row, struct kv_batch *b);
/* Numbers a batch, and lists its keys for one that may lack it after a crash. */
int mirrors_put_number(struct mirrors *set, struct kv_batch *b);
/* The number alone, for one that has been rebuilt. */
int mirrors_put_last_number(struct mirrors *set, struct kv_batch *b);
/* True when the store holds a whole mirror of other metadata than the set's. */
int BLOCKING mirror_is_foreign(struct mirrors *set, struct kv *kv, bool *ret);

/* ---- rebuild.c ------------------------------------------------------------------------------ */

/* One step of a worker: applies the next of the backlog and copies a piece. 0, or the mirror's
 * failure. */
int FIBER rebuild_step(struct mirror *m);
/* Hands a batch that was written to those that are being rebuilt; may wait for one that is slow. */
void FIBER mirrors_feed(struct mirrors *set, struct shared_batch *batch);
void rebuild_release(struct mirror *m);
/* Waits for news of it, the lock held. -ETIMEDOUT when nothing of its backlog was applied for too
 * long; `seen` is the caller's memory. */
int FIBER rebuild_wait(struct mirror *m, uint64_t *seen);
/* Marks the mirror (the argument) as one that is being rebuilt. For rt_offload. */
int BLOCKING mirror_mark(void *mirror);
