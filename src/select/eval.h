/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What an expression is worth in a record. Unknown values go through SQL's three-valued logic: a
 * comparison with one is unknown, and so is one of things that cannot be compared.
 *
 * Long work is counted, and after each SELECT_WORK of it `pause` is called, which may let others
 * run: no record, pattern or expression keeps a thread for long.
 */

#include "select/query.h"

#define SELECT_WORK (128 * KIB) /* steps, of which a byte is one */

struct select_sum {
    uint64_t count;
    struct select_value value; /* what SUM, MIN or MAX is so far; SELECT_NULL: nothing came */
};

struct select_eval {
    struct arena *scratch; /* of the record */
    bool json;
    struct str record;        /* JSON; ptr NULL: missing */
    const struct str *fields; /* CSV */
    unsigned field_count;
    struct select_sum *sums; /* by NODE_AGGREGATE's column */
    uint64_t now_ms;
    uint64_t work;
    int FIBER (*pause)(void *arg); /* NULL: none; not 0: stop */
    void *pause_arg;
    struct select_fault *fault;
};

/* Counts, and pauses when it is time to: 0, or what `pause` returns. */
int FIBER select_work(struct select_eval *e, uint64_t steps);
/* -ERR_SELECT_..., -ENOMEM. */
int FIBER select_evaluate(struct select_eval *e, const struct select_node *n,
                          struct select_value *ret);
/* 1, 0, or -1 for unknown, in *ret. -ERR_SELECT_ARGUMENTS: it is nothing of that. */
int FIBER select_truth(struct select_eval *e, const struct select_node *n, int *ret);
/* As text of JSON or CSV it may be written as it stands: a path's, unread. */
int FIBER select_project(struct select_eval *e, const struct select_node *n,
                         struct select_value *ret);
/* Adds the record to an aggregate. */
int FIBER select_add(struct select_eval *e, const struct select_node *aggregate);

/* functions.c: NODE_CALL, its arguments evaluated but for COALESCE. */
int FIBER select_call(struct select_eval *e, const struct select_node *n, struct select_value *ret);
int FIBER select_like(struct select_eval *e, struct str text, struct str pattern, int escape,
                      bool *ret);
/* CAST. -ERR_SELECT_CAST. */
int select_cast(struct select_eval *e, const struct select_value *v, enum select_type to,
                struct select_value *ret);
/* The text of a value, in the record's memory; -ENOMEM. */
int select_text(struct select_eval *e, const struct select_value *v, struct str *ret);
