/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Expressions, by precedence climbing. It recurses, on a fiber's stack, no deeper than
 * PARSE_DEPTH_MAX; operators of one rank in a row become one node.
 */

#include "select/parse.h"

#define PARSE_DEPTH_MAX 64
#define ARGS_FIRST      2

enum rank {
    RANK_OR = 1,
    RANK_AND,
    RANK_NOT,
    RANK_COMPARE,
    RANK_CONCAT,
    RANK_ADD,
    RANK_MULTIPLY,
};

static int parse_binary(struct parser *p, enum rank least, struct select_node **ret);

/* ---- nodes ---------------------------------------------------------------------------------- */

static struct select_node *new_node(struct parser *p, enum select_kind kind)
{
    if (p->nodes++ == SELECT_NODES_MAX)
        return NULL;
    struct select_node *n = arena_new(p->arena, struct select_node);
    if (!n)
        return NULL;
    n->kind = kind;
    n->depth = 1;
    n->line = p->lexer.token.line;
    n->column_at = p->lexer.token.column;
    n->column = SELECT_NO_COLUMN;
    return n;
}

static int no_node(struct parser *p)
{
    return p->nodes > SELECT_NODES_MAX ? parse_fail(p, -ERR_SELECT_TOO_LONG) : -ENOMEM;
}

static int grow_args(struct parser *p, struct select_node *n)
{
    unsigned cap = n->cap ? n->cap * 2 : ARGS_FIRST;
    struct select_node **args = arena_array(p->arena, struct select_node *, cap);
    char *ops = arena_zalloc(p->arena, cap);
    if (!args || !ops)
        return -ENOMEM;
    if (n->count) {
        memcpy(args, n->args, n->count * sizeof(*args));
        memcpy(ops, n->ops, n->count);
    }
    n->args = args;
    n->ops = ops;
    n->cap = cap;
    return 0;
}

static int add_arg(struct parser *p, struct select_node *n, struct select_node *arg, char op)
{
    int r = n->count == n->cap ? grow_args(p, n) : 0;
    if (r)
        return r;
    n->ops[n->count] = op;
    n->args[n->count++] = arg;
    n->depth = MAX(n->depth, (uint16_t)(arg->depth + 1));
    return n->depth > SELECT_DEPTH_MAX ? parse_fail(p, -ERR_SELECT_SYNTAX) : 0;
}

/* The next expression becomes an argument. */
static int parse_arg(struct parser *p, struct select_node *n)
{
    struct select_node *arg;
    int r = parse_expression(p, &arg);
    return r ? r : add_arg(p, n, arg, 0);
}

/* ---- calls ---------------------------------------------------------------------------------- */

static int close_call(struct parser *p)
{
    return skip_sign(p, ')', ERR_SELECT_CALL_CLOSE);
}

static int parse_args_until_close(struct parser *p, struct select_node *n)
{
    int r = 0;
    if (at_sign(p, ')'))
        return parse_next(p);
    while (!(r = parse_arg(p, n)) && at_sign(p, ','))
        if ((r = parse_next(p)))
            return r;
    return r ? r : close_call(p);
}

/* SUBSTRING(s, from [, length]) or SUBSTRING(s FROM from [FOR length]) */
static int parse_substring(struct parser *p, struct select_node *n)
{
    static const char *const words[] = {"from", "for"};
    int r = parse_arg(p, n);
    for (unsigned i = 0; !r && i < 2; i++) {
        if (!at_sign(p, ',') && !at_word(p, words[i]))
            break;
        r = parse_next(p);
        if (!r)
            r = parse_arg(p, n);
    }
    return r ? r : close_call(p);
}

/* TRIM([[LEADING|TRAILING|BOTH] [characters] FROM] s) */
static int parse_trim(struct parser *p, struct select_node *n)
{
    static const char *const sides[] = {"both", "leading", "trailing"};
    struct select_node *first = NULL;
    int r = 0;
    bool side = false;
    for (unsigned i = 0; !side && i < ARRAY_LEN(sides); i++)
        if (at_word(p, sides[i])) {
            n->side = (enum select_side)i;
            side = true;
            r = parse_next(p);
        }
    if (!r && !(side && at_word(p, "from")))
        r = parse_expression(p, &first);
    if (r)
        return r;
    if (at_word(p, "from")) {
        r = parse_next(p);
        if (!r)
            r = parse_arg(p, n);
    } else if (side)
        return parse_fail(p, -ERR_SELECT_KEYWORD);
    if (!r && first)
        r = add_arg(p, n, first, 0);
    return r ? r : close_call(p);
}

static int parse_part(struct parser *p, struct select_node *n)
{
    if (p->lexer.token.type != TOKEN_NAME || select_part_parse(p->lexer.token.text, &n->part))
        return parse_fail(p, -ERR_SELECT_DATE_PART);
    return parse_next(p);
}

/* EXTRACT(part FROM time) */
static int parse_extract(struct parser *p, struct select_node *n)
{
    int r = parse_part(p, n);
    if (!r)
        r = skip_word(p, "from");
    if (!r)
        r = parse_arg(p, n);
    return r ? r : close_call(p);
}

/* DATE_ADD(part, ...), DATE_DIFF(part, ...) */
static int parse_date(struct parser *p, struct select_node *n)
{
    int r = parse_part(p, n);
    if (!r && n->part > SELECT_SECOND)
        return parse_fail(p, -ERR_SELECT_DATE_PART);
    if (!r)
        r = skip_sign(p, ',', ERR_SELECT_TOKEN_TYPE);
    return r ? r : parse_args_until_close(p, n);
}

static const struct function {
    const char *name;
    enum select_function function;
    uint8_t least, most; /* arguments */
    int (*parse)(struct parser *p, struct select_node *n);
} functions[] = {
    {"char_length", FN_CHAR_LENGTH, 1, 1, parse_args_until_close},
    {"character_length", FN_CHAR_LENGTH, 1, 1, parse_args_until_close},
    {"lower", FN_LOWER, 1, 1, parse_args_until_close},
    {"upper", FN_UPPER, 1, 1, parse_args_until_close},
    {"substring", FN_SUBSTRING, 2, 3, parse_substring},
    {"trim", FN_TRIM, 1, 2, parse_trim},
    {"coalesce", FN_COALESCE, 1, 255, parse_args_until_close},
    {"nullif", FN_NULLIF, 2, 2, parse_args_until_close},
    {"to_timestamp", FN_TO_TIMESTAMP, 1, 1, parse_args_until_close},
    {"to_string", FN_TO_STRING, 2, 2, parse_args_until_close},
    {"utcnow", FN_UTCNOW, 0, 0, parse_args_until_close},
    {"date_add", FN_DATE_ADD, 2, 2, parse_date},
    {"date_diff", FN_DATE_DIFF, 2, 2, parse_date},
    {"extract", FN_EXTRACT, 1, 1, parse_extract},
};

static int parse_function(struct parser *p, const struct function *f, struct select_node **ret)
{
    struct select_node *n = new_node(p, NODE_CALL);
    if (!n)
        return no_node(p);
    n->function = f->function;
    int r = parse_next(p);
    if (!r)
        r = skip_sign(p, '(', ERR_SELECT_CALL_OPEN);
    if (!r)
        r = f->parse(p, n);
    if (!r && (n->count < f->least || n->count > f->most))
        return select_fail(p->fault, -ERR_SELECT_ARGUMENT_COUNT, "%s: %s", f->name,
                           err_text(-ERR_SELECT_ARGUMENT_COUNT));
    *ret = n;
    return r;
}

/* ---- aggregates ----------------------------------------------------------------------------- */

static const char *const aggregate_names[] = {"count", "sum", "avg", "min", "max"};

static int parse_aggregate_arg(struct parser *p, struct select_node *n)
{
    if (at_sign(p, '*')) {
        if (n->aggregate != AGGREGATE_COUNT)
            return parse_fail(p, -ERR_SELECT_CALL_STAR);
        n->whole = true;
        return parse_next(p);
    }
    if (at_sign(p, ')'))
        return parse_fail(p, -ERR_SELECT_AGGREGATE_ARITY);
    int r = parse_arg(p, n);
    return !r && at_sign(p, ',') ? parse_fail(p, -ERR_SELECT_AGGREGATE_ARITY) : r;
}

static int parse_aggregate(struct parser *p, enum select_aggregate kind, struct select_node **ret)
{
    struct select_node *n = new_node(p, NODE_AGGREGATE);
    if (!n)
        return no_node(p);
    if (p->in_where || p->in_aggregate)
        return parse_fail(p, -ERR_SELECT_OPERATION);
    n->aggregate = kind;
    int r = parse_next(p);
    if (!r)
        r = skip_sign(p, '(', ERR_SELECT_CALL_OPEN);
    p->in_aggregate = true;
    if (!r)
        r = parse_aggregate_arg(p, n);
    p->in_aggregate = false;
    if (!r)
        r = close_call(p);
    n->column = p->query->aggregate_count++;
    n->next = p->query->aggregates;
    p->query->aggregates = n;
    *ret = n;
    return r;
}

static bool is_call(const struct parser *p)
{
    struct select_lexer ahead = p->lexer;
    return select_lex_next(&ahead) == 0 && ahead.token.sign == '(';
}

static int parse_call(struct parser *p, struct select_node **ret)
{
    struct str name = p->lexer.token.text;
    for (unsigned i = 0; i < ARRAY_LEN(aggregate_names); i++)
        if (str_eq_nocase(name, str_from(aggregate_names[i])))
            return parse_aggregate(p, (enum select_aggregate)i, ret);
    for (size_t i = 0; i < ARRAY_LEN(functions); i++)
        if (str_eq_nocase(name, str_from(functions[i].name)))
            return parse_function(p, &functions[i], ret);
    return parse_fail(p, -ERR_SELECT_FUNCTION);
}

/* ---- CAST and CASE -------------------------------------------------------------------------- */

/* (n) or (n, m): read, and without effect. */
static int parse_type_params(struct parser *p)
{
    uint64_t v;
    int r = 0;
    if (!at_sign(p, '('))
        return 0;
    do {
        r = parse_next(p);
        if (r)
            return r;
        if (p->lexer.token.type != TOKEN_NUMBER || str_to_u64(p->lexer.token.text, &v))
            return parse_fail(p, -ERR_SELECT_TYPE_PARAM);
        r = parse_next(p);
    } while (!r && at_sign(p, ','));
    return r ? r : skip_sign(p, ')', ERR_SELECT_TYPE_PARAM);
}

static int parse_type(struct parser *p, enum select_type *ret)
{
    static const struct {
        const char *name;
        enum select_type type;
        bool params;
    } types[] = {
        {"bool", SELECT_BOOL, false},      {"boolean", SELECT_BOOL, false},
        {"int", SELECT_INT, false},        {"integer", SELECT_INT, false},
        {"string", SELECT_STRING, false},  {"float", SELECT_REAL, true},
        {"decimal", SELECT_REAL, true},    {"numeric", SELECT_REAL, true},
        {"timestamp", SELECT_TIME, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (!at_word(p, types[i].name))
            continue;
        *ret = types[i].type;
        int r = parse_next(p);
        return r || !types[i].params ? r : parse_type_params(p);
    }
    return parse_fail(p, -ERR_SELECT_TYPE_NAME);
}

static int parse_cast(struct parser *p, struct select_node **ret)
{
    struct select_node *n = *ret = new_node(p, NODE_CAST);
    if (!n)
        return no_node(p);
    int r = parse_next(p);
    if (!r)
        r = skip_sign(p, '(', ERR_SELECT_CAST_PAREN);
    if (!r)
        r = parse_arg(p, n);
    if (!r && at_sign(p, ','))
        return parse_fail(p, -ERR_SELECT_CAST_ARITY);
    if (!r)
        r = skip_word(p, "as");
    if (!r)
        r = parse_type(p, &n->cast);
    return r ? r : close_call(p);
}

static int parse_when(struct parser *p, struct select_node *n)
{
    int r = parse_next(p);
    if (!r)
        r = parse_arg(p, n);
    if (!r)
        r = skip_word(p, "then");
    return r ? r : parse_arg(p, n);
}

static int parse_case(struct parser *p, struct select_node **ret)
{
    struct select_node *n = *ret = new_node(p, NODE_CASE);
    if (!n)
        return no_node(p);
    int r = parse_next(p);
    n->whole = at_word(p, "when");
    if (!r && !n->whole)
        r = parse_arg(p, n);
    if (!r && !at_word(p, "when"))
        return parse_fail(p, -ERR_SELECT_WHEN);
    while (!r && at_word(p, "when"))
        r = parse_when(p, n);
    if (!r && at_word(p, "else")) {
        r = parse_next(p);
        if (!r)
            r = parse_arg(p, n);
    }
    return r ? r : skip_word(p, "end");
}

/* ---- what stands alone ---------------------------------------------------------------------- */

static int parse_name(struct parser *p, struct select_node **ret)
{
    struct select_node *n = *ret = new_node(p, NODE_PATH);
    if (!n)
        return no_node(p);
    p->loose |= !p->in_where && !p->in_aggregate;
    n->next = p->query->paths;
    p->query->paths = n;
    return parse_path(p, &n->path);
}

static int parse_const(struct parser *p, struct select_value v, struct select_node **ret)
{
    struct select_node *n = *ret = new_node(p, NODE_CONST);
    if (!n)
        return no_node(p);
    n->constant = v;
    return parse_next(p);
}

static int parse_literal(struct parser *p, struct select_node **ret)
{
    struct select_value v = {.type = SELECT_TIME};
    const struct select_token *t = &p->lexer.token;
    if (t->type == TOKEN_STRING)
        return parse_const(p, select_of_text(t->text), ret);
    if (t->type == TOKEN_NUMBER)
        return select_number_parse(t->text, &v) ? parse_fail(p, -ERR_SELECT_LEX_LITERAL)
                                                : parse_const(p, v, ret);
    return select_time_parse(t->text, &v.time) ? parse_fail(p, -ERR_SELECT_LEX_ION)
                                               : parse_const(p, v, ret);
}

static int parse_group(struct parser *p, struct select_node **ret)
{
    int r = parse_next(p);
    if (!r)
        r = parse_expression(p, ret);
    if (r)
        return r;
    (*ret)->line = 0; /* it has ended: nothing that follows joins it */
    return skip_sign(p, ')', ERR_SELECT_TOKEN_TYPE);
}

static int parse_word(struct parser *p, struct select_node **ret)
{
    if (at_word(p, "null"))
        return parse_const(p, (struct select_value){.type = SELECT_NULL}, ret);
    if (at_word(p, "missing"))
        return parse_const(p, (struct select_value){.type = SELECT_MISSING}, ret);
    if (at_word(p, "true") || at_word(p, "false"))
        return parse_const(p, select_of_bool(at_word(p, "true")), ret);
    if (at_word(p, "cast"))
        return parse_cast(p, ret);
    if (at_word(p, "case"))
        return parse_case(p, ret);
    if (is_reserved(p->lexer.token.text))
        return parse_fail(p, -ERR_SELECT_UNEXPECTED_KEYWORD);
    return is_call(p) ? parse_call(p, ret) : parse_name(p, ret);
}

static int parse_prefix(struct parser *p, enum select_kind kind, enum rank operand,
                        struct select_node **ret)
{
    struct select_node *arg, *n = *ret = new_node(p, kind);
    if (!n)
        return no_node(p);
    int r = parse_next(p);
    if (!r)
        r = parse_binary(p, operand, &arg);
    return r ? r : add_arg(p, n, arg, 0);
}

static int parse_operand(struct parser *p, struct select_node **ret)
{
    const struct select_token *t = &p->lexer.token;
    if (at_word(p, "not"))
        return parse_prefix(p, NODE_NOT, RANK_NOT, ret);
    if (at_sign(p, '-'))
        return parse_prefix(p, NODE_NEGATE, RANK_MULTIPLY + 1, ret);
    if (at_sign(p, '+')) {
        int r = parse_next(p);
        return r ? r : parse_binary(p, RANK_MULTIPLY + 1, ret);
    }
    if (at_sign(p, '('))
        return parse_group(p, ret);
    switch (t->type) {
    case TOKEN_NAME:
        return parse_word(p, ret);
    case TOKEN_QUOTED:
        return parse_name(p, ret);
    case TOKEN_STRING:
    case TOKEN_NUMBER:
    case TOKEN_ION:
        return parse_literal(p, ret);
    default:
        return parse_fail(p, -ERR_SELECT_EXPRESSION);
    }
}

/* ---- operators ------------------------------------------------------------------------------ */

/* The rank of the operator at hand, or 0. */
static unsigned rank_at(const struct parser *p)
{
    static const char *const words[] = {"like", "in", "between", "is", "not"};
    if (at_word(p, "or"))
        return RANK_OR;
    if (at_word(p, "and"))
        return RANK_AND;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (at_word(p, words[i]))
            return RANK_COMPARE;
    if (p->lexer.token.type != TOKEN_SIGN)
        return 0;
    switch (p->lexer.token.sign) {
    case '=':
    case '<':
    case '>':
    case SIGN_NOT_EQUAL:
    case SIGN_AT_MOST:
    case SIGN_AT_LEAST:
        return RANK_COMPARE;
    case SIGN_CONCAT:
        return RANK_CONCAT;
    case '+':
    case '-':
        return RANK_ADD;
    case '*':
    case '/':
    case '%':
        return RANK_MULTIPLY;
    default:
        return 0;
    }
}

static int parse_like(struct parser *p, struct select_node *n)
{
    struct select_node *arg;
    n->kind = NODE_LIKE;
    int r = parse_binary(p, RANK_CONCAT, &arg);
    if (!r)
        r = add_arg(p, n, arg, 0);
    if (r || !at_word(p, "escape"))
        return r;
    r = parse_next(p);
    if (!r)
        r = parse_binary(p, RANK_CONCAT, &arg);
    return r ? r : add_arg(p, n, arg, 0);
}

static int parse_in(struct parser *p, struct select_node *n)
{
    n->kind = NODE_IN;
    int r = skip_sign(p, '(', ERR_SELECT_LIST_OPEN);
    if (!r && at_sign(p, ')'))
        return parse_fail(p, -ERR_SELECT_EXPRESSION);
    while (!r && !(r = parse_arg(p, n)) && at_sign(p, ','))
        r = parse_next(p);
    return r ? r : skip_sign(p, ')', ERR_SELECT_TOKEN_TYPE);
}

static int parse_between(struct parser *p, struct select_node *n)
{
    struct select_node *arg;
    n->kind = NODE_BETWEEN;
    int r = parse_binary(p, RANK_CONCAT, &arg);
    if (!r)
        r = add_arg(p, n, arg, 0);
    if (!r)
        r = skip_word(p, "and");
    if (!r)
        r = parse_binary(p, RANK_CONCAT, &arg);
    return r ? r : add_arg(p, n, arg, 0);
}

static int parse_is(struct parser *p, struct select_node *n)
{
    static const char *const words[] = {"null", "missing", "true", "false"};
    n->kind = NODE_IS;
    n->negated = at_word(p, "not");
    int r = n->negated ? parse_next(p) : 0;
    for (unsigned i = 0; !r && i < ARRAY_LEN(words); i++)
        if (at_word(p, words[i])) {
            n->is = (enum select_is)i;
            return parse_next(p);
        }
    return r ? r : parse_fail(p, -ERR_SELECT_KEYWORD);
}

/* LIKE, IN, BETWEEN, IS and a NOT before the first three. */
static int parse_predicate(struct parser *p, struct select_node *left, struct select_node **ret)
{
    static const struct {
        const char *word;
        int (*parse)(struct parser *p, struct select_node *n);
    } rest[] = {{"like", parse_like}, {"in", parse_in}, {"between", parse_between}};
    struct select_node *n = *ret = new_node(p, NODE_LIKE);
    if (!n)
        return no_node(p);
    int r = add_arg(p, n, left, 0);
    if (!r && at_word(p, "is")) {
        r = parse_next(p);
        return r ? r : parse_is(p, n);
    }
    n->negated = at_word(p, "not");
    if (!r && n->negated)
        r = parse_next(p);
    for (size_t i = 0; !r && i < ARRAY_LEN(rest); i++)
        if (at_word(p, rest[i].word)) {
            r = parse_next(p);
            return r ? r : rest[i].parse(p, n);
        }
    return r ? r : parse_fail(p, -ERR_SELECT_KEYWORD);
}

static enum select_kind kind_of(unsigned rank)
{
    switch (rank) {
    case RANK_OR:
        return NODE_OR;
    case RANK_AND:
        return NODE_AND;
    case RANK_COMPARE:
        return NODE_COMPARE;
    case RANK_CONCAT:
        return NODE_CONCAT;
    default:
        return NODE_ARITHMETIC;
    }
}

/* Whether the operator goes on with what stands to its left. */
static bool joins(const struct select_node *left, enum select_kind kind, enum rank rank)
{
    if (left->kind != kind || kind == NODE_COMPARE || left->line == 0)
        return false;
    char op = left->ops[left->count - 1];
    bool multiplies = op == '*' || op == '/' || op == '%';
    return kind != NODE_ARITHMETIC || multiplies == (rank == RANK_MULTIPLY);
}

static int parse_operator(struct parser *p, enum rank rank, struct select_node *left,
                          struct select_node **ret)
{
    enum select_kind kind = kind_of(rank);
    char op = p->lexer.token.sign;
    struct select_node *right, *n = left;
    int r = 0;
    if (!joins(left, kind, rank)) {
        n = new_node(p, kind);
        r = n ? add_arg(p, n, left, 0) : no_node(p);
    }
    if (!r)
        r = parse_next(p);
    if (!r)
        r = parse_binary(p, rank + 1, &right);
    if (!r)
        r = add_arg(p, n, right, op);
    *ret = n;
    return r;
}

static int parse_binary(struct parser *p, enum rank least, struct select_node **ret)
{
    struct select_node *left = NULL;
    if (p->depth++ == PARSE_DEPTH_MAX)
        return parse_fail(p, -ERR_SELECT_SYNTAX);
    int r = parse_operand(p, &left);
    for (unsigned rank; !r && (rank = rank_at(p)) && rank >= least;) {
        if (p->lexer.token.type == TOKEN_NAME && rank == RANK_COMPARE)
            r = parse_predicate(p, left, &left);
        else
            r = parse_operator(p, rank, left, &left);
    }
    p->depth--;
    *ret = left;
    return r;
}

int parse_expression(struct parser *p, struct select_node **ret)
{
    return parse_binary(p, RANK_OR, ret);
}
