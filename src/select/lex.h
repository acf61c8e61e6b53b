/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The words of an SQL expression. A lexer is a small struct: a copy of it looks ahead.
 */

#include "base/arena.h"

enum select_token_type {
    TOKEN_END,
    TOKEN_NAME,   /* not quoted: a keyword, perhaps */
    TOKEN_QUOTED, /* "name" */
    TOKEN_STRING, /* 'text' */
    TOKEN_NUMBER, /* as it is written */
    TOKEN_ION,    /* what is between two backticks */
    TOKEN_SIGN,
};

/* Signs of one character are that character. */
enum { SIGN_NOT_EQUAL = 'n', SIGN_AT_MOST = 'm', SIGN_AT_LEAST = 'l', SIGN_CONCAT = 'c' };

struct select_token {
    enum select_token_type type;
    char sign;
    struct str text; /* in the expression, or in the arena where quotes were doubled */
    unsigned line, column;
};

struct select_lexer {
    struct arena *arena;
    const char *at, *end, *line_start;
    unsigned line;
    struct select_token token; /* the one at hand */
};

/* -ERR_SELECT_LEX_..., -ENOMEM; the token at hand tells where. */
int select_lex_begin(struct select_lexer *l, struct arena *a, struct str expression);
int select_lex_next(struct select_lexer *l);
