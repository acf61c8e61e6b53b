/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "select/eval.h"

#include <math.h>
#include "base/error.h"
#include "select/json.h"
#include "select/lex.h"

static const struct select_value missing = {.type = SELECT_MISSING};
static const struct select_value null = {.type = SELECT_NULL};

int FIBER select_work(struct select_eval *e, uint64_t steps)
{
    e->work += steps;
    if (e->work < SELECT_WORK)
        return 0;
    e->work = 0;
    return e->pause ? e->pause(e->pause_arg) : 0;
}

static int fail(struct select_eval *e, int err, const struct select_node *n)
{
    return select_fail(e->fault, err, "%s At line %u, column %u.", err_text(err),
                       n->line ? n->line : 1, n->column_at);
}

/* ---- columns -------------------------------------------------------------------------------- */

/* What looks at a text looks at all of it, perhaps. */
static uint64_t weight_of(const struct select_value *v)
{
    return v->type == SELECT_STRING || v->type == SELECT_JSON ? v->text.len : 0;
}

static int FIBER path_of_csv(struct select_eval *e, const struct select_node *n,
                             struct select_value *ret)
{
    *ret = n->column < e->field_count ? select_of_text(e->fields[n->column]) : missing;
    return select_work(e, weight_of(ret));
}

static int FIBER text_of_json(struct select_eval *e, const struct select_node *n, struct str *ret)
{
    *ret = e->record.ptr ? select_json_find(e->record, &n->path) : STR_NULL;
    return select_work(e, e->record.len);
}

static int FIBER evaluate_path(struct select_eval *e, const struct select_node *n,
                               struct select_value *ret)
{
    struct str text;
    if (!e->json)
        return path_of_csv(e, n, ret);
    int r = text_of_json(e, n, &text);
    *ret = missing;
    if (r || !text.ptr)
        return r;
    r = select_json_value(e->scratch, text, ret);
    return r == -ERR_SELECT_JSON ? fail(e, -ERR_SELECT_CAST, n) : r;
}

int FIBER select_project(struct select_eval *e, const struct select_node *n,
                         struct select_value *ret)
{
    struct select_value v = {.type = SELECT_JSON};
    if (n->kind != NODE_PATH || !e->json)
        return select_evaluate(e, n, ret);
    int r = text_of_json(e, n, &v.text);
    *ret = v.text.ptr ? v : missing;
    return r;
}

/* ---- arithmetic ----------------------------------------------------------------------------- */

/* A number, also of a text that is one. 1: it is unknown. */
static int number_of(struct select_eval *e, const struct select_node *n,
                     const struct select_value *v, struct select_value *ret)
{
    if (select_is_unknown(v))
        return 1;
    *ret = *v;
    if (v->type == SELECT_STRING)
        return select_number_parse(v->text, ret) ? fail(e, -ERR_SELECT_CAST, n) : 0;
    return select_is_number(v) ? 0 : fail(e, -ERR_SELECT_ARGUMENTS, n);
}

static int whole_arithmetic(char op, int64_t a, int64_t b, int64_t *ret)
{
    switch (op) {
    case '+':
        return __builtin_add_overflow(a, b, ret) ? -ERR_SELECT_OVERFLOW : 0;
    case '-':
        return __builtin_sub_overflow(a, b, ret) ? -ERR_SELECT_OVERFLOW : 0;
    case '*':
        return __builtin_mul_overflow(a, b, ret) ? -ERR_SELECT_OVERFLOW : 0;
    default:
        break;
    }
    if (b == 0)
        return -ERR_SELECT_ARGUMENTS;
    if (a == INT64_MIN && b == -1)
        return -ERR_SELECT_OVERFLOW;
    *ret = op == '/' ? a / b : a % b;
    return 0;
}

static int real_arithmetic(char op, double a, double b, double *ret)
{
    if ((op == '/' || op == '%') && b == 0)
        return -ERR_SELECT_ARGUMENTS;
    *ret = op == '+'   ? a + b
           : op == '-' ? a - b
           : op == '*' ? a * b
           : op == '/' ? a / b
                       : fmod(a, b);
    return isfinite(*ret) ? 0 : -ERR_SELECT_OVERFLOW;
}

static int calculate(char op, struct select_value *a, const struct select_value *b)
{
    if (a->type == SELECT_INT && b->type == SELECT_INT)
        return whole_arithmetic(op, a->integer, b->integer, &a->integer);
    double d;
    int r = real_arithmetic(op, select_to_real(a), select_to_real(b), &d);
    if (!r)
        *a = select_of_real(d);
    return r;
}

static int FIBER evaluate_number(struct select_eval *e, const struct select_node *n,
                                 struct select_value *ret)
{
    struct select_value v;
    int r = select_evaluate(e, n, &v);
    return r ? r : number_of(e, n, &v, ret);
}

static int FIBER evaluate_arithmetic(struct select_eval *e, const struct select_node *n,
                                     struct select_value *ret)
{
    struct select_value sum, v;
    int r = evaluate_number(e, n->args[0], &sum);
    for (unsigned i = 1; r == 0 && i < n->count; i++) {
        r = evaluate_number(e, n->args[i], &v);
        if (r == 0 && (r = calculate(n->ops[i], &sum, &v)))
            r = fail(e, r, n);
    }
    *ret = r == 1 ? null : sum;
    return r == 1 ? 0 : r;
}

static int FIBER evaluate_negation(struct select_eval *e, const struct select_node *n,
                                   struct select_value *ret)
{
    struct select_value zero = select_of_int(0), v;
    int r = evaluate_number(e, n->args[0], &v);
    if (r == 0 && v.type == SELECT_REAL)
        zero = select_of_real(-v.real);
    else if (r == 0 && (r = calculate('-', &zero, &v)))
        r = fail(e, r, n);
    *ret = r == 1 ? null : zero;
    return r == 1 ? 0 : r;
}

static int FIBER evaluate_concat(struct select_eval *e, const struct select_node *n,
                                 struct select_value *ret)
{
    struct str joined = STR(""), s;
    struct select_value v;
    for (unsigned i = 0; i < n->count; i++) {
        int r = select_evaluate(e, n->args[i], &v);
        if (!r && select_is_unknown(&v)) {
            *ret = null;
            return 0;
        }
        if (!r)
            r = select_text(e, &v, &s);
        if (r)
            return r;
        if (joined.len + s.len > SELECT_RECORD_MAX)
            return fail(e, -ERR_SELECT_RECORD_SIZE, n);
        char *both = arena_alloc(e->scratch, joined.len + s.len + 1);
        if (!both)
            return -ENOMEM;
        memcpy(both, joined.ptr, joined.len);
        memcpy(both + joined.len, s.len ? s.ptr : "", s.len);
        joined = str_make(both, joined.len + s.len);
    }
    *ret = select_of_text(joined);
    return select_work(e, joined.len);
}

/* ---- logic ---------------------------------------------------------------------------------- */

static bool holds(char op, int order)
{
    switch (op) {
    case '=':
        return order == 0;
    case SIGN_NOT_EQUAL:
        return order != 0;
    case '<':
        return order < 0;
    case '>':
        return order > 0;
    case SIGN_AT_MOST:
        return order <= 0;
    default:
        return order >= 0;
    }
}

static int FIBER evaluate_comparison(struct select_eval *e, const struct select_node *n,
                                     struct select_value *ret)
{
    struct select_value a, b;
    int order;
    int r = select_evaluate(e, n->args[0], &a);
    if (!r)
        r = select_evaluate(e, n->args[1], &b);
    if (r)
        return r;
    *ret = select_compare(&a, &b, &order) ? select_of_bool(holds(n->ops[1], order)) : null;
    return 0;
}

int FIBER select_truth(struct select_eval *e, const struct select_node *n, int *ret)
{
    struct select_value v;
    int r = select_evaluate(e, n, &v);
    if (r)
        return r;
    if (v.type == SELECT_STRING &&
        (str_eq_nocase(v.text, STR("true")) || str_eq_nocase(v.text, STR("false"))))
        v = select_of_bool(v.text.len == 4);
    if (v.type != SELECT_BOOL && !select_is_unknown(&v))
        return fail(e, -ERR_SELECT_ARGUMENTS, n);
    *ret = v.type == SELECT_BOOL ? v.truth : -1;
    return 0;
}

static struct select_value of_truth(int truth)
{
    return truth < 0 ? null : select_of_bool(truth);
}

/* AND ends at the first that is false, OR at the first that is true. */
static int FIBER evaluate_junction(struct select_eval *e, const struct select_node *n,
                                   struct select_value *ret)
{
    int last = n->kind == NODE_OR, truth, all = !last;
    for (unsigned i = 0; i < n->count; i++) {
        int r = select_truth(e, n->args[i], &truth);
        if (r)
            return r;
        if (truth == last) {
            all = last;
            break;
        }
        if (truth < 0)
            all = -1;
    }
    *ret = of_truth(all);
    return 0;
}

static int FIBER evaluate_not(struct select_eval *e, const struct select_node *n,
                              struct select_value *ret)
{
    int truth;
    int r = select_truth(e, n->args[0], &truth);
    if (!r)
        *ret = of_truth(truth < 0 ? -1 : !truth);
    return r;
}

static int FIBER evaluate_in(struct select_eval *e, const struct select_node *n,
                             struct select_value *ret)
{
    struct select_value v, other;
    int order, r = select_evaluate(e, n->args[0], &v), truth = 0;
    for (unsigned i = 1; !r && i < n->count && truth != 1; i++) {
        r = select_evaluate(e, n->args[i], &other);
        if (!r)
            r = select_work(e, weight_of(&v));
        if (!r && select_compare(&v, &other, &order))
            truth = order == 0 ? 1 : truth;
        else if (!r && (select_is_unknown(&v) || select_is_unknown(&other)))
            truth = -1;
    }
    if (!r)
        *ret = of_truth(truth < 0 ? -1 : truth != n->negated);
    return r;
}

static int FIBER evaluate_between(struct select_eval *e, const struct select_node *n,
                                  struct select_value *ret)
{
    struct select_value v[3];
    int low, high, r = 0;
    for (unsigned i = 0; !r && i < 3; i++)
        r = select_evaluate(e, n->args[i], &v[i]);
    if (r)
        return r;
    if (!select_compare(&v[0], &v[1], &low) || !select_compare(&v[0], &v[2], &high))
        *ret = null;
    else
        *ret = select_of_bool((low >= 0 && high <= 0) != n->negated);
    return 0;
}

static int FIBER evaluate_is(struct select_eval *e, const struct select_node *n,
                             struct select_value *ret)
{
    struct select_value v;
    int r = select_evaluate(e, n->args[0], &v);
    bool is = false;
    if (r)
        return r;
    switch (n->is) {
    case IS_NULL:
        is = select_is_unknown(&v);
        break;
    case IS_MISSING:
        is = v.type == SELECT_MISSING;
        break;
    case IS_TRUE:
    case IS_FALSE:
        is = v.type == SELECT_BOOL && v.truth == (n->is == IS_TRUE);
        break;
    }
    *ret = select_of_bool(is != n->negated);
    return 0;
}

static int FIBER evaluate_like(struct select_eval *e, const struct select_node *n,
                               struct select_value *ret)
{
    struct select_value v[3];
    bool like = false;
    int escape = -1, r = 0;
    for (unsigned i = 0; !r && i < n->count; i++) {
        r = select_evaluate(e, n->args[i], &v[i]);
        if (!r && select_is_unknown(&v[i])) {
            *ret = null;
            return 0;
        }
        if (!r && v[i].type != SELECT_STRING)
            r = fail(e, -ERR_SELECT_LIKE, n);
    }
    if (!r && n->count == 3) {
        if (v[2].text.len != 1)
            return fail(e, -ERR_SELECT_ESCAPE, n);
        escape = (uint8_t)v[2].text.ptr[0];
    }
    if (!r && (r = select_like(e, v[0].text, v[1].text, escape, &like)) == -ERR_SELECT_ESCAPE)
        r = fail(e, r, n);
    *ret = select_of_bool(like != n->negated);
    return r;
}

/* ---- CASE ----------------------------------------------------------------------------------- */

static int FIBER when_fits(struct select_eval *e, const struct select_node *when,
                           const struct select_value *operand, bool *ret)
{
    struct select_value v;
    int order, truth, r;
    if (!operand) {
        r = select_truth(e, when, &truth);
        *ret = truth == 1;
        return r;
    }
    r = select_evaluate(e, when, &v);
    if (!r)
        r = select_work(e, weight_of(operand));
    *ret = !r && select_compare(operand, &v, &order) && order == 0;
    return r;
}

static int FIBER evaluate_case(struct select_eval *e, const struct select_node *n,
                               struct select_value *ret)
{
    struct select_value operand;
    unsigned i = n->whole ? 0 : 1;
    int r = i ? select_evaluate(e, n->args[0], &operand) : 0;
    for (; !r && i + 1 < n->count; i += 2) {
        bool fits = false;
        r = when_fits(e, n->args[i], n->whole ? NULL : &operand, &fits);
        if (!r && fits)
            return select_evaluate(e, n->args[i + 1], ret);
    }
    *ret = null;
    return r || i == n->count ? r : select_evaluate(e, n->args[i], ret);
}

/* ---- aggregates ----------------------------------------------------------------------------- */

static bool replaces(enum select_aggregate kind, const struct select_value *have,
                     const struct select_value *v)
{
    int order;
    if (have->type == SELECT_NULL)
        return true;
    return select_compare(v, have, &order) && (kind == AGGREGATE_MIN ? order < 0 : order > 0);
}

/* Sums of whole numbers that grow too long go on as doubles only for AVG. */
static int add_to(struct select_sum *s, enum select_aggregate kind, const struct select_value *v)
{
    if (s->value.type == SELECT_NULL) {
        s->value = kind == AGGREGATE_AVG ? select_of_real(select_to_real(v)) : *v;
        return 0;
    }
    return calculate('+', &s->value, v);
}

int FIBER select_add(struct select_eval *e, const struct select_node *n)
{
    struct select_sum *s = &e->sums[n->column];
    struct select_value v, number;
    int r = n->whole ? 0 : select_evaluate(e, n->args[0], &v);
    if (r || (!n->whole && select_is_unknown(&v)))
        return r;
    s->count++;
    if (n->aggregate == AGGREGATE_COUNT)
        return 0;
    if (n->aggregate >= AGGREGATE_MIN && v.type == SELECT_TIME)
        number = v;
    else if ((r = number_of(e, n, &v, &number)))
        return r;
    if (n->aggregate < AGGREGATE_MIN)
        return (r = add_to(s, n->aggregate, &number)) ? fail(e, r, n) : 0;
    if (replaces(n->aggregate, &s->value, &number))
        s->value = number;
    return 0;
}

static void evaluate_aggregate(const struct select_eval *e, const struct select_node *n,
                               struct select_value *ret)
{
    const struct select_sum *s = &e->sums[n->column];
    *ret = s->value;
    if (n->aggregate == AGGREGATE_COUNT)
        *ret = select_of_int((int64_t)s->count);
    else if (n->aggregate == AGGREGATE_AVG && s->count)
        *ret = select_of_real(s->value.real / (double)s->count);
}

/* ---- any ------------------------------------------------------------------------------------ */

static int FIBER evaluate_cast(struct select_eval *e, const struct select_node *n,
                               struct select_value *ret)
{
    struct select_value v;
    int r = select_evaluate(e, n->args[0], &v);
    if (!r)
        r = select_cast(e, &v, n->cast, ret);
    return r == -ERR_SELECT_CAST ? fail(e, r, n) : r;
}

static int FIBER evaluate_call(struct select_eval *e, const struct select_node *n,
                               struct select_value *ret)
{
    int r = select_call(e, n, ret);
    return r < 0 && !e->fault->message[0] && r != -ENOMEM && r != -ECANCELED ? fail(e, r, n) : r;
}

static int FIBER evaluate_operator(struct select_eval *e, const struct select_node *n,
                                   struct select_value *ret)
{
    switch (n->kind) {
    case NODE_NEGATE:
        return evaluate_negation(e, n, ret);
    case NODE_ARITHMETIC:
        return evaluate_arithmetic(e, n, ret);
    case NODE_CONCAT:
        return evaluate_concat(e, n, ret);
    case NODE_AND:
    case NODE_OR:
        return evaluate_junction(e, n, ret);
    case NODE_NOT:
        return evaluate_not(e, n, ret);
    case NODE_LIKE:
        return evaluate_like(e, n, ret);
    case NODE_IN:
        return evaluate_in(e, n, ret);
    case NODE_BETWEEN:
        return evaluate_between(e, n, ret);
    case NODE_IS:
        return evaluate_is(e, n, ret);
    case NODE_CAST:
        return evaluate_cast(e, n, ret);
    case NODE_CASE:
        return evaluate_case(e, n, ret);
    default:
        return evaluate_call(e, n, ret);
    }
}

int FIBER select_evaluate(struct select_eval *e, const struct select_node *n,
                          struct select_value *ret)
{
    int r = select_work(e, 8);
    if (r)
        return r;
    switch (n->kind) {
    case NODE_CONST:
        *ret = n->constant;
        return 0;
    case NODE_PATH:
        return evaluate_path(e, n, ret);
    case NODE_COMPARE:
        return evaluate_comparison(e, n, ret);
    case NODE_AGGREGATE:
        evaluate_aggregate(e, n, ret);
        return 0;
    default:
        return evaluate_operator(e, n, ret);
    }
}
