/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "select/lex.h"

#include "base/error.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Bytes from 0x80 are of letters beyond ASCII. */
static bool starts_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (uint8_t)c >= 0x80;
}

static bool in_name(char c)
{
    return starts_name(c) || is_digit(c) || c == '$';
}

static char peek(const struct select_lexer *l, size_t ahead)
{
    return (size_t)(l->end - l->at) > ahead ? l->at[ahead] : 0;
}

static void skip_line_ends(struct select_lexer *l, const char *from)
{
    for (; from < l->at; from++)
        if (*from == '\n') {
            l->line++;
            l->line_start = from + 1;
        }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

/* Blanks, and comments from -- to the end of the line. */
static void skip_blanks(struct select_lexer *l)
{
    const char *from = l->at;
    while (l->at < l->end) {
        if (is_blank(*l->at))
            l->at++;
        else if (peek(l, 0) == '-' && peek(l, 1) == '-')
            while (l->at < l->end && *l->at != '\n')
                l->at++;
        else
            break;
    }
    skip_line_ends(l, from);
}

static int take(struct select_lexer *l, enum select_token_type type, const char *from)
{
    l->token.type = type;
    l->token.text = str_make(from, (size_t)(l->at - from));
    return 0;
}

static int lex_name(struct select_lexer *l)
{
    const char *from = l->at;
    while (l->at < l->end && in_name(*l->at))
        l->at++;
    return take(l, TOKEN_NAME, from);
}

static void skip_digits(struct select_lexer *l)
{
    while (l->at < l->end && is_digit(*l->at))
        l->at++;
}

static int lex_number(struct select_lexer *l)
{
    const char *from = l->at;
    skip_digits(l);
    if (peek(l, 0) == '.') {
        l->at++;
        skip_digits(l);
    }
    if (peek(l, 0) == 'e' || peek(l, 0) == 'E') {
        l->at += peek(l, 1) == '+' || peek(l, 1) == '-' ? 2 : 1;
        if (!is_digit(peek(l, 0)))
            return -ERR_SELECT_LEX_LITERAL;
        skip_digits(l);
    }
    take(l, TOKEN_NUMBER, from);
    return starts_name(peek(l, 0)) ? -ERR_SELECT_LEX_LITERAL : 0;
}

/* Two quotes in a row are one. */
static struct str undouble(struct arena *a, struct str s, char quote)
{
    struct str copy = arena_dup(a, s);
    char *to = (char *)copy.ptr;
    if (!to)
        return STR_NULL;
    for (size_t i = 0; i < s.len; i++) {
        *to++ = s.ptr[i];
        i += s.ptr[i] == quote;
    }
    return str_make(copy.ptr, (size_t)(to - copy.ptr));
}

static int lex_quoted(struct select_lexer *l, char quote, enum select_token_type type)
{
    const char *from = ++l->at;
    bool doubled = false;
    for (; l->at < l->end; l->at++) {
        if (*l->at != quote)
            continue;
        if (peek(l, 1) != quote)
            break;
        doubled = true;
        l->at++;
    }
    if (l->at == l->end)
        return -ERR_SELECT_LEX_LITERAL;
    take(l, type, from);
    skip_line_ends(l, from);
    l->at++;
    if (doubled)
        l->token.text = undouble(l->arena, l->token.text, quote);
    return l->token.text.ptr ? 0 : -ENOMEM;
}

static int take_sign(struct select_lexer *l, char sign, size_t len)
{
    const char *from = l->at;
    l->token.sign = sign;
    l->at += len;
    return take(l, TOKEN_SIGN, from);
}

static int lex_sign(struct select_lexer *l)
{
    static const struct {
        char text[3];
        char sign;
    } twos[] = {{"<>", SIGN_NOT_EQUAL}, {"!=", SIGN_NOT_EQUAL}, {"<=", SIGN_AT_MOST},
                {">=", SIGN_AT_LEAST},  {"||", SIGN_CONCAT},    {"==", '='}};
    char c = peek(l, 0);
    for (size_t i = 0; i < ARRAY_LEN(twos); i++)
        if (c == twos[i].text[0] && peek(l, 1) == twos[i].text[1])
            return take_sign(l, twos[i].sign, 2);
    if (c == '!' || c == '|')
        return -ERR_SELECT_LEX_OPERATOR;
    return c && strchr("()[],.*+-/%=<>;", c) ? take_sign(l, c, 1) : -ERR_SELECT_LEX_CHAR;
}

int select_lex_next(struct select_lexer *l)
{
    skip_blanks(l);
    char c = peek(l, 0);
    l->token.line = l->line;
    l->token.column = (unsigned)(l->at - l->line_start) + 1;
    l->token.sign = 0;
    if (l->at == l->end)
        return take(l, TOKEN_END, l->at);
    if (starts_name(c))
        return lex_name(l);
    if (is_digit(c) || (c == '.' && is_digit(peek(l, 1))))
        return lex_number(l);
    switch (c) {
    case '\'':
        return lex_quoted(l, c, TOKEN_STRING);
    case '"':
        return lex_quoted(l, c, TOKEN_QUOTED);
    case '`':
        return lex_quoted(l, c, TOKEN_ION);
    default:
        return lex_sign(l);
    }
}

int select_lex_begin(struct select_lexer *l, struct arena *a, struct str expression)
{
    *l = (struct select_lexer){.arena = a, .line = 1};
    expression = expression.ptr ? expression : STR("");
    l->at = l->line_start = expression.ptr;
    l->end = expression.ptr + expression.len;
    return select_lex_next(l);
}
