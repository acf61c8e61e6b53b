/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A SELECT as a tree: AWS's subset of SQL, read once into bounded memory.
 *
 *     SELECT * | item [AS name], ...
 *     FROM S3Object[*].path [AS alias] [WHERE condition] [LIMIT n]
 *
 * Invariants: no node is deeper than SELECT_DEPTH_MAX (so evaluating, which recurses, is bounded:
 * what stands in a row under one operator is one node with many arguments); aggregates stand in the
 * list alone, none inside another, and then no path outside them.
 *
 * Source: S3 User Guide, "SQL reference for Amazon S3 Select".
 */

#include "select/value.h"

#define SELECT_EXPRESSION_MAX (256 * KIB)
#define SELECT_DEPTH_MAX      40
#define SELECT_NODES_MAX      32768
#define SELECT_PATH_MAX       64 /* steps of a path */

enum select_kind {
    NODE_CONST,
    NODE_PATH, /* a column or member; without steps: the record */
    NODE_NEGATE,
    NODE_ARITHMETIC, /* ops[i] before args[i], from the left */
    NODE_CONCAT,
    NODE_COMPARE, /* ops[1] between the two */
    NODE_AND,
    NODE_OR,
    NODE_NOT,
    NODE_LIKE, /* text, pattern, perhaps escape */
    NODE_IN,   /* the first in the others */
    NODE_BETWEEN,
    NODE_IS, /* `is` */
    NODE_CAST,
    NODE_CALL,
    NODE_CASE, /* [operand,] when, then, ..., [else] */
    NODE_AGGREGATE,
};

enum select_is { IS_NULL, IS_MISSING, IS_TRUE, IS_FALSE };

enum select_function {
    FN_CHAR_LENGTH,
    FN_LOWER,
    FN_UPPER,
    FN_SUBSTRING,
    FN_TRIM, /* `side`: text, perhaps characters */
    FN_COALESCE,
    FN_NULLIF,
    FN_TO_TIMESTAMP,
    FN_TO_STRING,
    FN_UTCNOW,
    FN_DATE_ADD, /* `part` */
    FN_DATE_DIFF,
    FN_EXTRACT,
};

enum select_aggregate {
    AGGREGATE_COUNT,
    AGGREGATE_SUM,
    AGGREGATE_AVG,
    AGGREGATE_MIN,
    AGGREGATE_MAX
};

enum select_side { SIDE_BOTH, SIDE_LEADING, SIDE_TRAILING };

enum select_step_kind { STEP_NAME, STEP_INDEX, STEP_ALL };
struct select_step {
    enum select_step_kind kind;
    bool quoted; /* the case of letters counts */
    uint32_t index;
    struct str name;
};
struct select_path {
    struct select_step *steps;
    unsigned count;
};

#define SELECT_NO_COLUMN UINT32_MAX

struct select_node {
    enum select_kind kind;
    union {
        enum select_is is;
        enum select_function function;
        enum select_aggregate aggregate;
        enum select_type cast; /* SELECT_BOOL to SELECT_TIME */
    };
    bool negated, whole; /* NOT LIKE ...; NODE_CASE: without operand; an aggregate's asterisk */
    enum select_part part;
    enum select_side side;
    uint16_t depth;
    struct select_node **args;
    char *ops; /* as many */
    unsigned count, cap;
    struct select_value constant;
    struct select_path path;
    unsigned line, column_at; /* of its first word */
    uint32_t column;          /* of CSV, once the header is known; NODE_AGGREGATE: which one */
    struct select_node *next; /* NODE_PATH: query->paths; NODE_AGGREGATE: query->aggregates */
};

struct select_item {
    struct select_node *node;
    struct str name; /* its own, its column's, or _N */
};

struct select_query {
    bool star;
    struct select_item *items;
    unsigned item_count;
    struct select_path from;
    struct str alias;
    bool alias_quoted;
    struct select_node *where; /* NULL: every record */
    uint64_t limit;            /* UINT64_MAX: none */
    struct select_node *paths, *aggregates;
    unsigned aggregate_count;
};

/* What is wrong, and where. */
#define SELECT_MESSAGE_MAX 256
struct select_fault {
    char message[SELECT_MESSAGE_MAX]; /* "" : the error table's text */
};
/* Gives `err` back. */
int select_fail(struct select_fault *f, int err, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Everything lives in `a` or in `expression`. -ERR_SELECT_..., -ENOMEM. */
int select_parse(struct arena *a, struct str expression, struct select_query *ret,
                 struct select_fault *fault);
