/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What an SQL expression evaluates to. Texts are borrowed: from the record, the query, or the
 * memory of the record at hand, so a value lives no longer than that.
 *
 * Integers have 64 bits; what else is a number is a double.
 */

#include "base/arena.h"
#include "select/time.h"

enum select_type {
    SELECT_MISSING, /* no such column or member */
    SELECT_NULL,
    SELECT_BOOL,
    SELECT_INT,
    SELECT_REAL,
    SELECT_STRING,
    SELECT_TIME,
    SELECT_JSON, /* the valid text of an object or array; of anything where it is only written */
};

struct select_value {
    enum select_type type;
    union {
        bool truth;
        int64_t integer;
        double real;
        struct str text; /* SELECT_STRING, SELECT_JSON */
        struct select_time time;
    };
};

static inline bool select_is_unknown(const struct select_value *v)
{
    return v->type <= SELECT_NULL;
}
static inline bool select_is_number(const struct select_value *v)
{
    return v->type == SELECT_INT || v->type == SELECT_REAL;
}
static inline struct select_value select_of_int(int64_t i)
{
    return (struct select_value){.type = SELECT_INT, .integer = i};
}
static inline struct select_value select_of_real(double d)
{
    return (struct select_value){.type = SELECT_REAL, .real = d};
}
static inline struct select_value select_of_bool(bool b)
{
    return (struct select_value){.type = SELECT_BOOL, .truth = b};
}
static inline struct select_value select_of_text(struct str s)
{
    return (struct select_value){.type = SELECT_STRING, .text = s};
}
static inline double select_to_real(const struct select_value *number)
{
    return number->type == SELECT_INT ? (double)number->integer : number->real;
}

/* A decimal number, blanks around it: SELECT_INT when it is whole, written without point and
 * exponent, and fits, else SELECT_REAL. -EINVAL. */
int select_number_parse(struct str text, struct select_value *ret);
/* The shortest form that reads as the same number. */
void select_real_put(struct buf *b, double d);

/*
 * < 0, 0, > 0 in *ret, or false: the two cannot be compared, one being unknown or of another kind.
 * A text that reads as a number is one beside a number, as fields of CSV are.
 */
bool select_compare(const struct select_value *a, const struct select_value *b, int *ret);
