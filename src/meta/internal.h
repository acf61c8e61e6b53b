/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Inside the room: a transaction over a kv. local.c runs transactions, tx.c is what their functions
 * call. upkeep.c is what is done beside them.
 */

#include "base/arena.h"
#include "base/list.h"
#include "meta/mirrors.h"
#include "rt/rt.h"

struct meta_add {
    struct meta_add *next;
    struct str key; /* with the bucket */
    int64_t deltas[META_COUNTERS_MAX];
};

struct meta_hook {
    void (*fn)(void *arg);
    void *arg;
};
struct meta_hooks {
    struct meta_hook *items;
    size_t count, cap;
};

/*
 * `error` is the first failure of the store inside the function; the transaction ends with it
 * whatever the function returns. For a read -EAGAIN there asks for another run.
 */
struct meta_tx {
    struct kv *kv;
    char bucket[BUCKET_BYTES];
    unsigned flags; /* of reads: KV_CACHED on a loop thread */
    int error;      /* 0 or the first failure */
    bool use_reserve;
    int store_failed; /* the store gave -EIO or -ERR_CORRUPT: another mirror may do better */
    struct arena arena;
    struct buf value; /* where kv_get puts it */
    struct list cursors;

    /* meta_write only */
    struct kv_batch *batch;
    struct meta_add *adds;
    struct meta_hooks *hooks; /* of the whole batch of transactions */

    /*
     * meta_read only. `commits` is odd while a batch becomes visible. A single read needs no
     * snapshot; the second takes one, which shows the first one's state only if no batch came in
     * between: `began` was even and is so still. Otherwise the run is repeated with a snapshot
     * from its start.
     */
    const uint64_t *commits;
    uint64_t began;
    bool has_read;
    bool raced; /* a batch did come in between */
    struct kv_snapshot *snapshot;
};

void meta_tx_init(struct meta_tx *tx, struct kv *kv);
void meta_tx_release(struct meta_tx *tx);
/* Before and after each run of a function. */
void meta_tx_begin(struct meta_tx *tx, struct bucket_id b);
void meta_tx_end(struct meta_tx *tx);
/* Applies the additions to counters to the batch. */
int meta_tx_apply_adds(struct meta_tx *tx);
/* Takes the snapshot of a read before its first look. */
int meta_tx_take_snapshot(struct meta_tx *tx);

/* local.c, for upkeep.c: the stores, and that somebody has a task for who commits. */
struct mirrors *local_mirrors(struct meta *m);
void FIBER local_kick(struct meta *m);
