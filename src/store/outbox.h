/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The outbox: what is to be told to others of a write, a row each, put by the very transaction that
 * makes the write visible. So whatever was acknowledged is told, and nothing else is, also when the
 * process dies between the two. Whoever delivers reads rows, delivers, and only then settles them:
 * at least once, and in the order in which the writes of a key were committed.
 *
 * The store knows neither what an event is called nor who wants it: a door gives a notice along
 * with the write (store_conditions.notice), and its `wants` is asked inside the transaction about
 * each key. Without a notice nothing is done.
 *
 * Rows (docs/FORMATS.md): Q target shard seq: to be told; X target shard seq: given up. A key's
 * events are all in one shard; shards are independent of one another.
 *
 * Invariant: `seq` of a later event of a key is greater, over restarts too (store_outbox_load).
 */

#include "store/store.h"

#define OUTBOX_SHARDS      4
#define OUTBOX_TARGET_MAX  64  /* bytes of a target's name */
#define OUTBOX_CONTEXT_MAX 512 /* bytes of each text of a notice */
#define OUTBOX_WHY_MAX     256

enum store_happening {
    STORE_CREATED, /* an object, by a put, a copy or an upload that was completed */
    STORE_REMOVED, /* an object or a version, for good */
    STORE_MARKED,  /* a delete marker was put */
    STORE_CHANGED, /* attributes of an object */
};

struct store_event {
    enum store_happening what;
    struct str key;
    uint64_t seq;     /* the event's own */
    uint64_t version; /* of the object or marker; 0: the null version */
    uint64_t time_ms;
    uint64_t len_bytes; /* this and the ETag are an object's, 0 of what was removed */
    struct store_etag etag;
    struct str name, target, config; /* set by `wants`; live as long as the notice */
};

struct store_notice {
    /* Inside the transaction, perhaps more than once: sets name, target (empty: nobody) and config.
     * It must not suspend. 0: the event is nobody's concern; less: the write fails with it. */
    int (*wants)(struct store_event *e, void *arg);
    /* A commit hook: those that were wanted. May be NULL. */
    void (*committed)(struct bucket_id b, const struct store_event *events, size_t count,
                      void *arg);
    void *arg;
    struct arena *arena;                      /* for more than one event */
    struct str bucket_name, owner;            /* the bucket's */
    struct str requester, source, request_id; /* who, from which address, by which request */

    /* The store's own, of the last run. */
    struct store *store;
    struct bucket_id bucket;
    struct store_event one, *events;
    size_t count, cap;
};

/* ---- inside a transaction ------------------------------------------------------------------- */

/* At its beginning; `n` may be NULL in both. */
int outbox_begin(struct meta_tx *tx, struct store *s, struct bucket_id b, struct store_notice *n);
/* Once a change is made: `e` says what, but for seq and time. */
int outbox_tell(struct meta_tx *tx, struct store_notice *n, const struct store_event *e);

/* Which of the OUTBOX_SHARDS a key's events are in. */
unsigned outbox_shard(struct str key);

/* ---- on its own ----------------------------------------------------------------------------- */

/* A row that no change of an object goes with: a test event. -ERR_NO_SUCH_BUCKET. */
int FIBER store_outbox_put(struct store *s, struct bucket_id b, struct store_notice *n,
                           const struct store_event *e);

struct outbox_row {
    struct store_event event;
    struct str bucket_name, owner, requester, source, request_id;
    uint64_t died_ms; /* of those given up: when, after how many attempts, and why */
    uint64_t attempts;
    struct str why;
    uint64_t resent_ms; /* it was given up, and is to be sent again since then; 0: it was not */
};
struct outbox_place {
    struct bucket_id bucket;
    struct str target;
    unsigned shard;
    bool dead; /* those given up */
};
/* The first `max` rows from `seq` on, in order; strings in `a`. */
int FIBER store_outbox_read(struct store *s, struct arena *a, const struct outbox_place *place,
                            uint64_t seq, size_t max, struct outbox_row **ret, size_t *ret_count);
/* They are delivered, or not wanted any more: the rows go. */
int FIBER store_outbox_settle(struct store *s, const struct outbox_place *place,
                              const struct outbox_row *rows, size_t count);
/* To where those given up are (with died_ms, attempts, why), or from there back (resent_ms). */
int FIBER store_outbox_move(struct store *s, const struct outbox_place *place,
                            const struct outbox_row *row);

/*
 * At the start, before any write: calls `fn` for each run of rows there is, with their count, and
 * has later sequences be greater than all of them. Non-zero ends it.
 */
int FIBER store_outbox_load(struct store *s,
                            int (*fn)(const struct outbox_place *place, uint64_t count, void *arg),
                            void *arg);
