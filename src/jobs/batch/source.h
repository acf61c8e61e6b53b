/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The lines of a batch job's manifest, one after the other from any place on, whatever it is made
 * of: one CSV object, or the files that an inventory's manifest names; plain, or compressed.
 *
 * Every byte is of the object that the job was begun with, or of a file whose digest is what the
 * inventory says: each file is read whole and held against it before its first line is given.
 * Memory: a piece as it lies, a piece of text, and the list of an inventory's files.
 */

#include "jobs/batch/batch.h"
#include "jobs/batch/manifest.h"

struct batch_source;

struct job;

/* Reads nothing yet. `s` is borrowed until the free; long reads go at the job's pace. -ENOMEM. */
int batch_source_new(struct batch_source **ret, struct jobs *j, struct job *job,
                     const struct batch_state *s);
/* Accepts NULL. */
void batch_source_free(struct batch_source *src);
/*
 * The next line, its strings in `a`: 1, with the place behind it; 0: there is none. What reading
 * the objects gives; -ERR_PARSE and -ERR_TOO_LARGE: something is no manifest. Of a failure
 * that another try does not mend, batch_source_why() says in words what it was, else it is empty.
 */
int FIBER batch_source_next(struct batch_source *src, struct arena *a, struct manifest_line *ret,
                            struct batch_place *ret_place);
const char *batch_source_why(const struct batch_source *src);
/* Fields of a line; 0: none was read. */
unsigned batch_source_fields(const struct batch_source *src);
/* Bytes that were read of objects since the last call. */
uint64_t batch_source_spent(struct batch_source *src);
