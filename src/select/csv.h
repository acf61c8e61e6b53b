/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * CSV: a reader that cuts what comes in pieces into records, and a function that cuts a record into
 * fields, as many as are wanted. Memory: a record that lies across pieces.
 *
 * Records that are empty, or begin with the comment character, are passed over. Where the record
 * delimiter is the default, a carriage return before it belongs to it.
 *
 * Sources: RFC 4180; S3 API Reference, "CSVInput".
 */

#include "select/value.h"

#define SELECT_COLUMNS_MAX 8192

struct select_csv_options {
    struct str field;    /* delimiter, a character of UTF-8; outlives the reader */
    char record[2];      /* delimiter */
    unsigned record_len; /* 1 or 2 */
    bool crlf;           /* a carriage return before the delimiter belongs to it */
    bool has_quote, has_comment;
    char quote, escape, comment;
    bool quoted_records; /* quotes may hold record delimiters */
};

/* A non-zero value ends the reading and is handed on. */
typedef int FIBER select_csv_sink(struct str record, void *arg);

struct select_csv;
/* `drop_first`: what comes before the first record delimiter is the rest of a record. -ENOMEM. */
int select_csv_new(struct select_csv **ret, const struct select_csv_options *options,
                   bool drop_first, select_csv_sink *sink, void *arg);
/* Accepts NULL. */
void select_csv_free(struct select_csv *c);
/* -ERR_SELECT_RECORD_SIZE, -ENOMEM, or what the sink returns. Records that begin `most` bytes or
 * more behind the start of all are not read: 1. */
int FIBER select_csv_feed(struct select_csv *c, struct str in, uint64_t most);
/* The last record needs no delimiter. */
int FIBER select_csv_end(struct select_csv *c);

/*
 * Up to `most` fields of a record into `fields`; what has to be unescaped, in `a`. -ERR_SELECT_CSV:
 * a quote is not closed, or something stands behind one.
 */
int select_csv_split(const struct select_csv_options *o, struct arena *a, struct str record,
                     struct str *fields, unsigned most, unsigned *ret_count);
