/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What every maker of `struct meta` must do alike. A case is a function on a fiber over a fresh,
 * empty store; it CHECKs what it expects. The program (conform_meta.c) runs all of them over the
 * store named on its command line.
 */

#include "meta/meta.h"
#include "rt/rt.h"

struct conform {
    struct meta *meta;
    void *store;
    struct kv *(*open)(void *store);
    /* Makes the next reads cold, as far as the store has such a thing. */
    void (*set_cold)(struct conform *c, bool cold);
    bool mirrored; /* over that store and another one */
};

/* Closes the store and opens it again: what was acknowledged is there. */
void FIBER conform_reopen(struct conform *c);

/* X(name): int FIBER case_NAME(struct conform *c), in cases_*.c */
#define CONFORM_CASES(X)                           \
    /* cases_keys.c: what one function sees */     \
    X(keys_are_ordered_bytewise)                   \
    X(prefix_is_walked_both_ways)                  \
    X(seeks_meet_the_edges)                        \
    X(overlong_keys_are_refused_and_sought)        \
    X(buckets_are_apart)                           \
    X(bulky_rows_are_apart)                        \
    X(values_up_to_the_limit_come_back)            \
    X(own_writes_are_read)                         \
    X(cursors_see_changes_made_under_them)         \
    X(failing_function_leaves_nothing)             \
    X(ignored_error_still_fails)                   \
    X(counters_add_up)                             \
    X(random_transactions_agree_with_a_model)      \
    /* cases_many.c: what many see */              \
    X(acknowledged_is_seen_and_survives)           \
    X(concurrent_increments_add_up)                \
    X(hooks_run_in_the_order_of_commits)           \
    X(reader_sees_one_state)                       \
    X(reader_overtaken_by_a_commit_sees_one_state) \
    X(failure_does_not_touch_its_neighbours)       \
    X(cold_reads_give_the_same)                    \
    X(cancelled_writer_still_gets_its_answer)

#define X(name) int FIBER case_##name(struct conform *c);
CONFORM_CASES(X)
#undef X

/* ---- short forms ---------------------------------------------------------------------------- */

#define BUCKET ((struct bucket_id){7})

int FIBER conform_put(struct conform *c, struct bucket_id b, struct str key, struct str value);
int FIBER conform_del(struct conform *c, struct bucket_id b, struct str key);
/* The value, or "(none)"; valid until the next call on this thread. */
const char *FIBER conform_get(struct conform *c, struct bucket_id b, struct str key);
/* "k1=v1 k2=v2 " of the keys with the prefix; valid until the next call on this thread. */
const char *FIBER conform_list(struct conform *c, struct bucket_id b, struct str prefix);

/* The same from inside a transaction, appended to `ret`. */
int conform_list_in(struct meta_tx *tx, struct str prefix, bool backward, struct buf *ret);

#define EXPECT_STR(got, want) CHECK(strcmp((got), (want)) == 0)
