/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * One query over one object, whose bytes are fed as they come and whose rows are handed on as they
 * are made. No clock, no I/O: `emit` sends, `pause` lets others run.
 *
 * Memory: the query (SELECT_EXPRESSION_MAX and what is made of it), one record of SELECT_RECORD_MAX
 * and what its evaluation needs, SELECT_EMIT bytes of rows and a row.
 *
 * Life: select_new, perhaps select_header, select_feed until it returns 1 or the input ends,
 * select_end, select_free always.
 */

#include "select/csv.h"
#include "select/output.h"
#include "select/query.h"

#define SELECT_EMIT (64 * KIB) /* rows gather to that many bytes */

enum select_header_info { SELECT_HEADER_NONE, SELECT_HEADER_USE, SELECT_HEADER_IGNORE };

struct select_config {
    struct str expression; /* borrowed, as all strings here */
    bool json;             /* the input; else CSV */
    struct select_csv_options csv;
    enum select_header_info header;
    struct select_output_options output;
    uint64_t now_ms; /* UTCNOW */
    /* Where it is not all of the object that is fed: what comes before the first record delimiter
     * is the rest of a record; records are read that begin less than `most` bytes from the start.
     */
    bool drop_first;
    uint64_t most; /* UINT64_MAX: all */
    int FIBER (*emit)(struct str rows, void *arg);
    int FIBER (*pause)(void *arg); /* may be NULL */
    void *arg;
};

struct select;
/* -ERR_SELECT_... with what is wrong in *fault; -ENOMEM. */
int FIBER select_new(struct select **ret, const struct select_config *config,
                     struct select_fault *fault);
/* Accepts NULL. */
void select_free(struct select *s);
/* Where feeding begins behind it: the start of the object, for the names of its columns. 1: it has
 * them. */
int FIBER select_header(struct select *s, struct str in);
/* Whether select_header is to be called. */
bool select_wants_header(const struct select *s);
/* 1: there is nothing more to come of it. -ERR_SELECT_..., -ENOMEM, what `emit` and `pause` return.
 */
int FIBER select_feed(struct select *s, struct str in);
/* The input ended, or select_feed returned 1: the last rows. */
int FIBER select_end(struct select *s);
/* Of the last error: a sentence, or "". */
const char *select_why(const struct select *s);
