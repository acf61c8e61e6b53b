/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Timestamps of SQL expressions: a point in time, the offset it is told in, and how much of it is
 * known (`2010T` is a year). Years 1 to 9999, proleptic Gregorian, no leap seconds.
 *
 * Source: S3 User Guide, "Date functions"; Amazon Ion specification, "Timestamps".
 */

#include "base/buf.h"

enum select_part {
    SELECT_YEAR,
    SELECT_MONTH,
    SELECT_DAY,
    SELECT_HOUR,
    SELECT_MINUTE,
    SELECT_SECOND,
    SELECT_TIMEZONE_HOUR,
    SELECT_TIMEZONE_MINUTE,
};

struct select_time {
    int64_t s; /* since 1970, UTC */
    int32_t ns;
    int16_t offset_min;
    uint8_t precision; /* SELECT_YEAR to SELECT_SECOND, never SELECT_HOUR */
};

/* A year's, month's, day's or minute's form, or with seconds and up to 9 digits of a fraction,
 * which need an offset or `Z`. -EINVAL. */
int select_time_parse(struct str text, struct select_time *ret);
/* The same form, with no fraction that is zero. */
void select_time_put(struct buf *b, const struct select_time *t);
int select_time_cmp(const struct select_time *a, const struct select_time *b);

/* year, month, ..., timezone_minute; -EINVAL. */
int select_part_parse(struct str word, enum select_part *ret);
int64_t select_time_extract(const struct select_time *t, enum select_part part);
/* SELECT_YEAR to SELECT_SECOND; a day that a month has not becomes its last. -EINVAL: beyond the
 * years there are. */
int select_time_add(struct select_time *t, enum select_part part, int64_t n);
/* Whole parts from a to b, negative when b is earlier. */
int64_t select_time_diff(const struct select_time *a, const struct select_time *b,
                         enum select_part part);
/* TO_STRING's patterns. -ERR_SELECT_PATTERN, -ERR_SELECT_PATTERN_OPEN. */
int select_time_format(struct buf *b, const struct select_time *t, struct str pattern);
