/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Requests that nobody stands behind: no signature was right, or there was none. Whoever can reach
 * the port can make as many as he likes, so they must cost the log a bounded amount: of each
 * interval the first are recorded as they are, the others counted by where they came from, whom
 * they named and what was wrong; what finds no row any more is counted in one. At the interval's
 * end each count is a record. That is some 4 MB a day, however many came. Pure.
 */

#include "audit/audit.h"

#define REFUSED_INTERVAL_NS (300 * RT_S)
#define REFUSED_WHOLE       16 /* recorded as they are, of an interval */
#define REFUSED_ROWS        16

struct refused_row {
    char source[48], access_key[64], error[48]; /* cut to what fits */
    uint64_t count;
};
struct refusals {
    uint64_t since_ns, since_ms; /* of the interval; 0: none is under way */
    unsigned whole, row_count;
    struct refused_row rows[REFUSED_ROWS];
    uint64_t others, total;
};

/* True: to be recorded as it is. False: it was counted. */
bool refused_take(struct refusals *f, const struct audit_record *r, uint64_t now_ns,
                  uint64_t now_ms);
/* Whether an interval has ended, or is to end at once; then what it counted is handed over in
 * `ret`, and the next may begin. */
bool refused_end(struct refusals *f, uint64_t now_ns, bool at_once, struct refusals *ret);
/* The record of a row, or with `row` NULL of the others; its texts lie in the row and in `text`. */
struct audit_record refused_record(const struct refusals *f, const struct refused_row *row,
                                   char text[96]);
