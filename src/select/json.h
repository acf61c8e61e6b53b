/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * JSON, both ways that a query needs it.
 *
 * The reader takes any number of values behind one another (lines, or one document) in pieces, cut
 * anywhere, and tells the values that FROM's path leads to: each is a record. What is not on the
 * path is checked and forgotten, so a document of any length takes the memory of one record. It
 * does not recurse.
 *
 * The functions on a text look into a record, which the reader has found valid. They do not recurse
 * either.
 *
 * Source: RFC 8259.
 */

#include "select/query.h"

#define SELECT_RECORD_MAX     (1 * MIB)
#define SELECT_JSON_DEPTH_MAX 128

/* `record`: ptr NULL when the path leads to nothing. Non-zero ends the reading and is handed on. */
typedef int FIBER select_json_sink(struct str record, void *arg);

struct select_json;
/* `from` is borrowed; a first [*] stands for the values of the input. -ENOMEM. */
int select_json_new(struct select_json **ret, const struct select_path *from,
                    select_json_sink *sink, void *arg);
/* Accepts NULL. */
void select_json_free(struct select_json *j);
/* -ERR_SELECT_JSON, -ERR_SELECT_RECORD_SIZE, -ENOMEM, or what the sink returns. Values of the input
 * that begin `most` bytes or more behind the start of all are not read: 1. */
int FIBER select_json_feed(struct select_json *j, struct str in, uint64_t most);
int FIBER select_json_end(struct select_json *j);

/* ---- valid texts ---------------------------------------------------------------------------- */

/* Where the path leads; ptr NULL: nowhere. */
struct str select_json_find(struct str text, const struct select_path *path);
/* What it stands for: a string in `a`, a number, ... -ENOMEM, -ERR_SELECT_JSON (a number that
 * cannot be kept). */
int select_json_value(struct arena *a, struct str text, struct select_value *ret);
/* The characters of a string, quotes included in `text`. ptr NULL: no memory. */
struct str select_json_string(struct arena *a, struct str text);
/* Without the blanks. */
void select_json_put(struct buf *b, struct str text);
/* The next member of an object, whose text `*rest` is at first; false: there is none. */
bool select_json_member(struct str *rest, struct str *ret_key, struct str *ret_value);
