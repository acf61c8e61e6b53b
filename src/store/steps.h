/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Steps of a longer work, each of which is done once however often it is asked for: whoever goes
 * through a list and keeps its place elsewhere may die between the step and the place. The step's
 * transaction leaves a row in its bucket (W work) that says which step it was and what came of it;
 * asked for again, a step gives that and changes nothing.
 *
 * Of a work there is one row a bucket, its last step's there. So a work that comes to another
 * bucket, or to its end, first makes its place durable and then has the row forgotten.
 *
 * Invariants: a step's number is greater than those of all before it in its work. Nothing else is
 * done by the work while a step is under way.
 */

#include "store/store.h"

#define STORE_STEP_MAX 1000 /* items */

struct store_step_item {
    struct str key;
    struct store_version_ref version;
    bool bypass; /* of a deletion: governance holds nothing */
    int refused; /* less than 0: nothing is done, and this is what comes of it */
    /* what came of it */
    int result;
    bool marker, null_version; /* as of a store_deletion */
    uint64_t seq;
};

struct store_step {
    uint64_t work, number;
    struct store_step_item *items;
    size_t count;           /* 1 to STORE_STEP_MAX */
    store_attrs_fn *change; /* as of store_change_attrs(); NULL: the items are deleted */
    void *arg;
    struct str owner;            /* of delete markers */
    struct store_notice *notice; /* NULL: nobody is told */
    bool again;                  /* set: it had been done, this is what came of it then */
};

/*
 * In one transaction. What concerns an item alone is its `result`. -ERR_CORRUPT: another number of
 * items was done as this step, or a later one was; what store_delete_many() and
 * store_change_attrs() return, and then nothing was done.
 */
int FIBER store_step_run(struct store *s, struct bucket_id b, struct store_step *step);
/* 0 also when there is no such row, or bucket. */
int FIBER store_step_forget(struct store *s, struct bucket_id b, uint64_t work);
