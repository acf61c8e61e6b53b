/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/* What the two halves of the parser share: parse.c has the statement, parse_expr.c what is in it.
 */

#include "base/error.h"
#include "select/lex.h"
#include "select/query.h"

struct parser {
    struct arena *arena;
    struct select_query *query;
    struct select_fault *fault;
    struct select_lexer lexer;
    struct select_token star_of; /* `alias` of `alias.*` */
    unsigned depth, nodes;
    bool in_where, in_aggregate;
    bool loose; /* a path in the list, outside of aggregates */
};

/* Notes where; gives `err` back. */
int parse_fail(struct parser *p, int err);
int parse_next(struct parser *p);
bool at_sign(const struct parser *p, char sign);
bool at_word(const struct parser *p, const char *word);
/* `otherwise`: an enum err, positive. */
int skip_sign(struct parser *p, char sign, int otherwise);
int skip_word(struct parser *p, const char *word);
bool is_reserved(struct str word);
/* name.name[0]..., its first word included; or what follows it, `wild` with [*]. */
int parse_path(struct parser *p, struct select_path *path);
int parse_steps(struct parser *p, struct select_path *path, bool wild);

int parse_expression(struct parser *p, struct select_node **ret);
