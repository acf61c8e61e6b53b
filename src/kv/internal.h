/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Inside the room: what a store gives so that kv.h works over it. A store implements `kv_ops` and
 * plain walks over its own keys; batches (batch.c) and the view of a batch above a store
 * (iter.c) are the same for all.
 */

#include "kv/kv.h"
#include "kv/vmap.h"

struct kv_walk;

/* The keys an iterator is over: prefix <= key < end. */
struct kv_range {
    struct str prefix;
    struct str end; /* the first key after those with the prefix; empty: there is none */
};

/* Prototypes promise what kv.h says of the functions of the same name. */
struct kv_ops {
    void (*close)(struct kv *kv);
    int (*get)(struct kv *kv, const struct kv_snapshot *snap, struct str key, unsigned flags,
               struct buf *ret);
    int (*snapshot_new)(struct kv *kv, struct kv_snapshot **ret);
    void (*snapshot_free)(struct kv *kv, struct kv_snapshot *s);
    int (*write)(struct kv *kv, struct kv_batch *b, bool sync);
    int (*flush)(struct kv *kv);
    int (*room)(struct kv *kv);
    int (*compact)(struct kv *kv, uint64_t *ret_freed_bytes); /* may be NULL */
    int (*erase)(struct kv *kv);                              /* may be NULL */
    int (*broken)(struct kv *kv);
    int (*recoverable)(struct kv *kv);
    int (*recover)(struct kv *kv);
    /* The range outlives the walk. Seeks go to keys up to range.end, which may be sought itself. */
    int (*walk_new)(struct kv *kv, const struct kv_snapshot *snap, const struct kv_range *range,
                    unsigned flags, struct kv_walk **ret);
    int (*stats)(struct kv *kv, struct kv_stats *ret);
};

/* The first member of every store's handle. */
struct kv {
    const struct kv_ops *ops;
};

struct kv_walk_ops {
    void (*free)(struct kv_walk *w);
    void (*seek)(struct kv_walk *w, struct str key);
    void (*seek_for_prev)(struct kv_walk *w, struct str key);
    void (*next)(struct kv_walk *w);
    void (*prev)(struct kv_walk *w);
    bool (*valid)(const struct kv_walk *w);
    struct str (*key)(const struct kv_walk *w);
    struct str (*value)(const struct kv_walk *w);
    int (*error)(const struct kv_walk *w);
};

/* The first member of every store's walk: an iterator that knows of no batch. */
struct kv_walk {
    const struct kv_walk_ops *ops;
};

/*
 * What the store said of a key, until the batch is cleared: every transaction of a batch may ask
 * for the same few rows of its bucket as a whole, whose keys are short.
 */
#define KV_MEMO_SLOTS     8
#define KV_MEMO_KEY_MAX   16
#define KV_MEMO_VALUE_MAX 128
struct kv_memo {
    uint8_t key_len, value_len; /* key_len 0: free */
    char key[KV_MEMO_KEY_MAX], value[KV_MEMO_VALUE_MAX];
};

/* The numbers of `changes` are savepoints: one more is drawn at each kv_batch_savepoint. */
struct kv_batch {
    struct kv *kv;
    struct vmap changes;
    uint64_t number;
    uint64_t savepoints[KV_SAVEPOINTS_MAX]; /* the number in force before each */
    size_t depth;
    struct kv_memo memos[KV_MEMO_SLOTS];
};
