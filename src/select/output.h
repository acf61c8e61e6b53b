/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Rows as they are sent: CSV or JSON lines. A row is begun, given its values in order, and ended.
 *
 * Source: S3 API Reference, "CSVOutput" and "JSONOutput".
 */

#include "select/value.h"

struct select_output_options {
    bool json;
    bool always;       /* quote every field */
    struct str field;  /* delimiter */
    struct str record; /* delimiter, of both forms */
    char quote, escape;
};

struct select_output {
    const struct select_output_options *options;
    struct buf *to;
    bool first; /* nothing of the row is written yet */
};

void select_output_begin(struct select_output *o);
/* What is missing is left out of JSON and empty in CSV. */
void select_output_put(struct select_output *o, struct str name, const struct select_value *v);
void select_output_end(struct select_output *o);
