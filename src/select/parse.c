/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The statement: the list, FROM, WHERE, LIMIT; and what the parsers of expressions share. Names
 * keep their first word until FROM has told the alias; then `resolve` drops it.
 */

#include "select/parse.h"

#include <stdio.h>

int select_fail(struct select_fault *f, int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->message, sizeof(f->message), fmt, ap);
    va_end(ap);
    return err;
}

/* ---- what is shared ------------------------------------------------------------------------- */

int parse_fail(struct parser *p, int err)
{
    const struct select_token *t = &p->lexer.token;
    if (t->type == TOKEN_END)
        return select_fail(p->fault, err, "%s At line %u, column %u: the end.", err_text(err),
                           t->line, t->column);
    struct str text = str_prefix(t->text, 60);
    return select_fail(p->fault, err, "%s At line %u, column %u: %.*s", err_text(err), t->line,
                       t->column, STR_FMT(text));
}

int parse_next(struct parser *p)
{
    int r = select_lex_next(&p->lexer);
    if (r == -ENOMEM || r == 0)
        return r;
    return select_fail(p->fault, r, "%s At line %u, column %u.", err_text(r), p->lexer.token.line,
                       p->lexer.token.column);
}

bool at_sign(const struct parser *p, char sign)
{
    return p->lexer.token.type == TOKEN_SIGN && p->lexer.token.sign == sign;
}

bool at_word(const struct parser *p, const char *word)
{
    return p->lexer.token.type == TOKEN_NAME && str_eq_nocase(p->lexer.token.text, str_from(word));
}

int skip_sign(struct parser *p, char sign, int otherwise)
{
    return at_sign(p, sign) ? parse_next(p) : parse_fail(p, -otherwise);
}

int skip_word(struct parser *p, const char *word)
{
    return at_word(p, word) ? parse_next(p) : parse_fail(p, -ERR_SELECT_KEYWORD);
}

bool is_reserved(struct str word)
{
    static const char *const words[] = {
        "and", "as",     "between", "by",   "case",  "cast",    "distinct", "else",
        "end", "escape", "false",   "from", "group", "having",  "in",       "inner",
        "is",  "join",   "left",    "like", "limit", "missing", "not",      "null",
        "or",  "order",  "select",  "then", "true",  "union",   "when",     "where"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq_nocase(word, str_from(words[i])))
            return true;
    return false;
}

/* ---- paths ---------------------------------------------------------------------------------- */

static int add_step(struct parser *p, struct select_path *path, struct select_step step)
{
    if (path->count == SELECT_PATH_MAX)
        return parse_fail(p, -ERR_SELECT_PATH);
    if (path->count % 4 == 0) {
        struct select_step *more = arena_array(p->arena, struct select_step, path->count + 4);
        if (!more)
            return -ENOMEM;
        if (path->count)
            memcpy(more, path->steps, path->count * sizeof(*more));
        path->steps = more;
    }
    path->steps[path->count++] = step;
    return 0;
}

/* A name, of which a keyword is one behind a dot. */
static int parse_member(struct parser *p, struct select_path *path)
{
    const struct select_token *t = &p->lexer.token;
    struct select_step step = {.kind = STEP_NAME, .name = t->text};
    if (t->type != TOKEN_NAME && t->type != TOKEN_QUOTED)
        return parse_fail(p, at_sign(p, '*') ? -ERR_SELECT_WILDCARD : -ERR_SELECT_PATH);
    step.quoted = t->type == TOKEN_QUOTED;
    int r = add_step(p, path, step);
    return r ? r : parse_next(p);
}

/* [0], ['name'], and where it may stand [*] */
static int parse_subscript(struct parser *p, struct select_path *path, bool wild)
{
    const struct select_token *t = &p->lexer.token;
    struct select_step step = {.kind = STEP_INDEX};
    uint64_t index = 0;
    if (at_sign(p, '*')) {
        if (!wild)
            return parse_fail(p, -ERR_SELECT_WILDCARD);
        step.kind = STEP_ALL;
    } else if (t->type == TOKEN_STRING) {
        step = (struct select_step){.kind = STEP_NAME, .quoted = true, .name = t->text};
    } else if (t->type != TOKEN_NUMBER || str_to_u64(t->text, &index) || index > UINT32_MAX)
        return parse_fail(p, -ERR_SELECT_PATH);
    step.index = (uint32_t)index;
    int r = add_step(p, path, step);
    if (!r)
        r = parse_next(p);
    return r ? r : skip_sign(p, ']', ERR_SELECT_TOKEN_TYPE);
}

int parse_steps(struct parser *p, struct select_path *path, bool wild)
{
    int r = 0;
    while (!r && (at_sign(p, '.') || at_sign(p, '['))) {
        bool dot = at_sign(p, '.');
        r = parse_next(p);
        if (!r && dot && wild && at_sign(p, '*')) {
            r = add_step(p, path, (struct select_step){.kind = STEP_ALL});
            r = r ? r : parse_next(p);
        } else if (!r)
            r = dot ? parse_member(p, path) : parse_subscript(p, path, wild);
    }
    return r;
}

int parse_path(struct parser *p, struct select_path *path)
{
    int r = parse_member(p, path);
    return r ? r : parse_steps(p, path, false);
}

/* ---- the list ------------------------------------------------------------------------------- */

/* `*`, or `alias.*` */
static bool is_star(const struct parser *p)
{
    struct select_lexer ahead = p->lexer;
    if (at_sign(p, '*'))
        return true;
    bool name = ahead.token.type == TOKEN_NAME || ahead.token.type == TOKEN_QUOTED;
    return name && select_lex_next(&ahead) == 0 && ahead.token.sign == '.' &&
           select_lex_next(&ahead) == 0 && ahead.token.sign == '*';
}

static int parse_star(struct parser *p)
{
    struct select_query *q = p->query;
    int r = 0;
    q->star = true;
    if (!at_sign(p, '*')) {
        p->star_of = p->lexer.token;
        r = parse_next(p);
        r = r ? r : parse_next(p);
    }
    if (!r)
        r = parse_next(p);
    return !r && at_sign(p, ',') ? parse_fail(p, -ERR_SELECT_ASTERISK) : r;
}

static bool at_name(const struct parser *p)
{
    const struct select_token *t = &p->lexer.token;
    return t->type == TOKEN_QUOTED || (t->type == TOKEN_NAME && !is_reserved(t->text));
}

/* [AS] name */
static int parse_alias(struct parser *p, struct str *ret, bool *ret_quoted)
{
    bool as = at_word(p, "as");
    int r = as ? parse_next(p) : 0;
    if (r)
        return r;
    if (!at_name(p))
        return as ? parse_fail(p, -ERR_SELECT_ALIAS) : 0;
    *ret = p->lexer.token.text;
    *ret_quoted = p->lexer.token.type == TOKEN_QUOTED;
    return parse_next(p);
}

static struct str name_of(struct parser *p, const struct select_node *n, unsigned position)
{
    if (n->kind == NODE_PATH)
        for (unsigned i = n->path.count; i > 0; i--)
            if (n->path.steps[i - 1].kind == STEP_NAME)
                return n->path.steps[i - 1].name;
    return arena_printf(p->arena, "_%u", position);
}

static int add_item(struct parser *p, struct select_item item, unsigned *cap)
{
    struct select_query *q = p->query;
    if (q->item_count == *cap) {
        unsigned more = *cap ? *cap * 2 : 8;
        struct select_item *items = arena_array(p->arena, struct select_item, more);
        if (!items)
            return -ENOMEM;
        if (*cap)
            memcpy(items, q->items, *cap * sizeof(*items));
        q->items = items;
        *cap = more;
    }
    q->items[q->item_count++] = item;
    return 0;
}

static int parse_item(struct parser *p, unsigned *cap)
{
    struct select_item item = {.name = STR_NULL};
    bool quoted;
    if (is_star(p))
        return parse_fail(p, -ERR_SELECT_ASTERISK);
    int r = parse_expression(p, &item.node);
    if (!r)
        r = parse_alias(p, &item.name, &quoted);
    if (r)
        return r;
    if (!item.name.ptr)
        item.name = name_of(p, item.node, p->query->item_count + 1);
    return item.name.ptr ? add_item(p, item, cap) : -ENOMEM;
}

static int parse_list(struct parser *p)
{
    unsigned cap = 0;
    if (at_word(p, "from") || p->lexer.token.type == TOKEN_END)
        return parse_fail(p, -ERR_SELECT_EMPTY);
    if (is_star(p))
        return parse_star(p);
    int r = parse_item(p, &cap);
    while (!r && at_sign(p, ',')) {
        r = parse_next(p);
        if (!r)
            r = parse_item(p, &cap);
    }
    return r;
}

/* ---- FROM, WHERE, LIMIT --------------------------------------------------------------------- */

#define TABLE STR("s3object")

/* Without one of its own, a path has its last name for an alias. */
static void imply_alias(struct select_query *q)
{
    unsigned n = q->from.count;
    if (q->alias.ptr || n == 0 || q->from.steps[n - 1].kind != STEP_NAME)
        return;
    q->alias = q->from.steps[n - 1].name;
    q->alias_quoted = q->from.steps[n - 1].quoted;
}

static int parse_from(struct parser *p)
{
    struct select_query *q = p->query;
    if (!at_word(p, "from"))
        return parse_fail(p, p->lexer.token.type == TOKEN_END ? -ERR_SELECT_NO_FROM
                                                              : -ERR_SELECT_UNEXPECTED_TOKEN);
    int r = parse_next(p);
    if (r)
        return r;
    if (!at_name(p) || !str_eq_nocase(p->lexer.token.text, TABLE))
        return parse_fail(p, -ERR_SELECT_SOURCE);
    r = parse_next(p);
    if (!r)
        r = parse_steps(p, &q->from, true);
    if (!r)
        r = parse_alias(p, &q->alias, &q->alias_quoted);
    imply_alias(q);
    return r;
}

static int parse_where(struct parser *p)
{
    if (!at_word(p, "where"))
        return 0;
    int r = parse_next(p);
    p->in_where = true;
    return r ? r : parse_expression(p, &p->query->where);
}

static int parse_limit(struct parser *p)
{
    if (!at_word(p, "limit"))
        return 0;
    int r = parse_next(p);
    if (r)
        return r;
    if (at_sign(p, '-'))
        return parse_fail(p, -ERR_SELECT_NEGATIVE_LIMIT);
    if (p->lexer.token.type != TOKEN_NUMBER || str_to_u64(p->lexer.token.text, &p->query->limit))
        return parse_fail(p, -ERR_SELECT_NUMBER);
    return parse_next(p);
}

static int parse_end(struct parser *p)
{
    static const char *const forms[] = {"group", "order", "having", "join",
                                        "inner", "left",  "union",  "select"};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        if (at_word(p, forms[i]))
            return parse_fail(p, -ERR_SELECT_STRUCTURE);
    if (at_sign(p, ',')) /* two tables */
        return parse_fail(p, -ERR_SELECT_STRUCTURE);
    int r = at_sign(p, ';') ? parse_next(p) : 0;
    if (r || p->lexer.token.type == TOKEN_END)
        return r;
    switch (p->lexer.token.type) {
    case TOKEN_NAME:
        return parse_fail(p, is_reserved(p->lexer.token.text) ? -ERR_SELECT_UNEXPECTED_KEYWORD
                                                              : -ERR_SELECT_UNEXPECTED_TOKEN);
    case TOKEN_SIGN:
        return parse_fail(p, -ERR_SELECT_UNEXPECTED_OPERATOR);
    default:
        return parse_fail(p, -ERR_SELECT_UNEXPECTED_TERM);
    }
}

/* ---- names, once the alias is known --------------------------------------------------------- */

static bool is_alias(const struct select_query *q, struct str name, bool quoted)
{
    if (!q->alias.ptr)
        return str_eq_nocase(name, TABLE);
    return q->alias_quoted || quoted ? str_eq(name, q->alias) : str_eq_nocase(name, q->alias);
}

static int resolve(struct parser *p)
{
    struct select_query *q = p->query;
    for (struct select_node *n = q->paths; n; n = n->next)
        if (is_alias(q, n->path.steps[0].name, n->path.steps[0].quoted)) {
            n->path.steps++;
            n->path.count--;
        }
    const struct select_token *of = &p->star_of;
    if (of->text.ptr && !is_alias(q, of->text, of->type == TOKEN_QUOTED))
        return select_fail(p->fault, -ERR_SELECT_BINDING, "There is no alias %.*s.",
                           STR_FMT(str_prefix(of->text, 60)));
    if (q->aggregates && p->loose)
        return select_fail(p->fault, -ERR_SELECT_STRUCTURE,
                           "Columns outside of aggregate functions cannot stand beside them.");
    return 0;
}

static int parse_statement(struct parser *p)
{
    if (!at_word(p, "select"))
        return parse_fail(p, -ERR_SELECT_NO_SELECT);
    int r = parse_next(p);
    if (!r && at_word(p, "distinct"))
        return parse_fail(p, -ERR_SELECT_STRUCTURE);
    if (!r)
        r = parse_list(p);
    if (!r)
        r = parse_from(p);
    if (!r)
        r = parse_where(p);
    if (!r)
        r = parse_limit(p);
    if (!r)
        r = parse_end(p);
    return r ? r : resolve(p);
}

int select_parse(struct arena *a, struct str expression, struct select_query *ret,
                 struct select_fault *fault)
{
    *ret = (struct select_query){.limit = UINT64_MAX};
    struct parser p = {.arena = a, .query = ret, .fault = fault};
    fault->message[0] = 0;
    if (expression.len > SELECT_EXPRESSION_MAX)
        return -ERR_SELECT_TOO_LONG;
    if (!str_is_utf8(expression))
        return -ERR_SELECT_LEX_CHAR;
    int r = select_lex_begin(&p.lexer, a, expression);
    if (r)
        return r == -ENOMEM ? r : parse_fail(&p, r);
    return parse_statement(&p);
}
