/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Conditions: the values of a key in the request against the values in the document.
 *
 * All conditions of a statement must hold; of one condition's values one is enough. The negated
 * operators are their positive ones turned round: none of the values may match. An absent key
 * matches nothing, so the negated ones hold (IAM User Guide, "Condition operators"; "Creating a
 * condition with multiple keys or values" for the two set forms).
 */

#include "iam/policy_internal.h"

#include <arpa/inet.h>
#include <math.h>
#include "base/encode.h"
#include "base/error.h"
#include "wire/date.h"

#define NUMBER_TEXT_MAX 40
#define BINARY_MAX      4096

/* ---- values as text ------------------------------------------------------------------------- */

/* Decimal, with an optional fraction and exponent; no hex, no names, no space. */
static bool parse_number(struct str s, double *ret)
{
    char text[NUMBER_TEXT_MAX], *end;
    if (s.len == 0 || s.len >= sizeof(text))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!s.ptr[i] || !strchr("0123456789+-.eE", s.ptr[i]))
            return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = 0;
    double v = strtod(text, &end);
    if (*end || !isfinite(v))
        return false;
    *ret = v;
    return true;
}

/* A day, a time, or the seconds since 1970. */
static bool parse_date(struct str s, int64_t *ret_ms)
{
    uint64_t ms;
    char text[32];
    double seconds;
    if (s.len == strlen("2026-01-02") && s.ptr[4] == '-') {
        memcpy(text, s.ptr, s.len);
        memcpy(text + s.len, "T00:00:00Z", 10);
        s = str_make(text, s.len + 10);
    }
    if (date_parse_iso(s, &ms) == 0) {
        *ret_ms = (int64_t)ms;
        return true;
    }
    if (!parse_number(s, &seconds) || fabs(seconds) > 1e12)
        return false;
    *ret_ms = (int64_t)(seconds * 1000);
    return true;
}

static bool parse_bool(struct str s, bool *ret)
{
    *ret = str_eq_nocase(s, STR("true"));
    return *ret || str_eq_nocase(s, STR("false"));
}

/* An address; one that is IPv4 inside IPv6 is IPv4. */
static bool parse_address(struct str s, struct network *ret)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char text[INET6_ADDRSTRLEN + 1];
    if (s.len == 0 || s.len >= sizeof(text))
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = 0;
    *ret = (struct network){.v4 = true, .bits = 32};
    if (inet_pton(AF_INET, text, ret->bytes) == 1)
        return true;
    *ret = (struct network){.bits = 128};
    if (inet_pton(AF_INET6, text, ret->bytes) != 1)
        return false;
    if (memcmp(ret->bytes, mapped, sizeof(mapped)) == 0) {
        memmove(ret->bytes, ret->bytes + 12, 4);
        ret->v4 = true;
        ret->bits = 32;
    }
    return true;
}

/* An address, or a network with its length. */
static bool parse_network(struct str s, struct network *ret)
{
    ptrdiff_t slash = str_find_char(s, '/', 0);
    struct str address = slash < 0 ? s : str_prefix(s, (size_t)slash);
    uint64_t bits;
    if (!parse_address(address, ret))
        return false;
    if (slash < 0)
        return true;
    if (str_to_u64(str_from_offset(s, (size_t)slash + 1), &bits))
        return false;
    if (ret->v4 && str_find_char(address, ':', 0) >= 0) { /* ::ffff:192.0.2.0/120 */
        if (bits < 96)
            return false;
        bits -= 96;
    }
    if (bits > ret->bits)
        return false;
    ret->bits = (uint8_t)bits;
    return true;
}

static bool network_has(const struct network *n, const struct network *address)
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;
    if (n->v4 != address->v4 || memcmp(n->bytes, address->bytes, whole) != 0)
        return false;
    if (rest == 0)
        return true;
    uint8_t mask = (uint8_t)(0xff << (8 - rest));
    return ((n->bytes[whole] ^ address->bytes[whole]) & mask) == 0;
}

/* ---- ARNs ----------------------------------------------------------------------------------- */

/* Cuts the part before the next colon off; a colon inside ${...} belongs to the variable. */
static bool cut_part(struct str *rest, bool variables, struct str *ret)
{
    size_t i = 0;
    for (; i < rest->len && rest->ptr[i] != ':'; i++) {
        struct str tail = str_from_offset(*rest, i);
        ptrdiff_t end = variables && str_starts(tail, STR("${")) ? str_find_char(tail, '}', 0) : -1;
        if (end > 0)
            i += (size_t)end;
    }
    if (i == rest->len)
        return false;
    *ret = str_prefix(*rest, i);
    *rest = str_from_offset(*rest, i + 1);
    return true;
}

static bool split_arn(struct str s, bool variables, struct str ret[ARN_PARTS])
{
    for (unsigned i = 0; i < ARN_PARTS - 1; i++)
        if (!cut_part(&s, variables, &ret[i]))
            return false;
    ret[ARN_PARTS - 1] = s;
    return true;
}

static int compile_arn(struct arena *a, struct str text, unsigned flags,
                       const struct arn_pattern **ret, const char **ret_why)
{
    struct str parts[ARN_PARTS], bad;
    *ret = NULL;
    if (str_eq(text, STR("*")))
        return 0;
    *ret_why = "an ARN, with wildcards inside its six parts";
    if (!split_arn(text, flags & PATTERN_VARIABLES, parts))
        return -ERR_MALFORMED_POLICY;
    struct arn_pattern *arn = arena_new(a, struct arn_pattern);
    int r = arn ? 0 : -ENOMEM;
    for (unsigned i = 0; !r && i < ARN_PARTS; i++)
        r = pattern_compile(a, parts[i], flags, &arn->parts[i], &bad);
    *ret = arn;
    return r;
}

static enum match match_arn(struct eval *e, const struct arn_pattern *p, struct str text)
{
    struct str parts[ARN_PARTS];
    enum match all = MATCH_YES;
    if (!p)
        return MATCH_YES;
    if (!split_arn(text, false, parts))
        return MATCH_NO;
    for (unsigned i = 0; i < ARN_PARTS; i++) {
        enum match m = pattern_match(e, &p->parts[i], parts[i], false);
        if (m == MATCH_NO)
            return MATCH_NO;
        if (m == MATCH_UNKNOWN)
            all = MATCH_UNKNOWN;
    }
    return all;
}

/* ---- compiling ------------------------------------------------------------------------------ */

static const enum compare compares[] = {
#define X(name, type, compare, negated) COMPARE_##compare,
    IAM_OPERATORS(X)
#undef X
};

static int compile_binary(struct arena *a, struct str text, struct str *ret)
{
    size_t len;
    if (text.len > BINARY_MAX)
        return -ERR_MALFORMED_POLICY;
    char *bytes = arena_alloc(a, text.len + 1);
    if (!bytes)
        return -ENOMEM;
    if (base64_decode(text, bytes, text.len + 1, &len))
        return -ERR_MALFORMED_POLICY;
    *ret = str_make(bytes, len);
    return 0;
}

int condition_value_compile(struct arena *a, const struct condition_op *op, struct str text,
                            bool variables, union condition_value *ret, const char **ret_why)
{
    unsigned flags =
        (variables ? PATTERN_VARIABLES : 0) | (compares[op->id] == COMPARE_LIKE ? PATTERN_WILD : 0);
    struct str bad;
    bool fits = false;
    *ret = (union condition_value){.number = 0};
    switch (operator_type(op->id)) {
    case VALUE_TEXT:
        *ret_why = "text in which every ${...} names a condition key";
        return pattern_compile(a, text, flags, &ret->text, &bad);
    case VALUE_ARN:
        return compile_arn(a, text, flags, &ret->arn, ret_why);
    case VALUE_BINARY:
        *ret_why = "Base64";
        return compile_binary(a, text, &ret->bytes);
    case VALUE_NUMBER:
        *ret_why = "a decimal number";
        fits = parse_number(text, &ret->number);
        break;
    case VALUE_DATE:
        *ret_why = "a date by ISO 8601, or seconds since 1970";
        fits = parse_date(text, &ret->date_ms);
        break;
    case VALUE_BOOL:
    case VALUE_NONE:
        *ret_why = "true or false";
        fits = parse_bool(text, &ret->flag);
        break;
    case VALUE_IP:
        *ret_why = "an IP address or a CIDR block";
        fits = parse_network(text, &ret->network);
        break;
    }
    return fits ? 0 : -ERR_MALFORMED_POLICY;
}

/* ---- holding -------------------------------------------------------------------------------- */

static bool ordered(enum compare how, int order)
{
    switch (how) {
    case COMPARE_LT:
        return order < 0;
    case COMPARE_LE:
        return order <= 0;
    case COMPARE_GT:
        return order > 0;
    case COMPARE_GE:
        return order >= 0;
    default:
        return order == 0;
    }
}

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

/* A value of the request, read once for all values of the document. */
struct subject {
    struct str text;
    bool readable;
    double number;
    int64_t date_ms;
    bool flag;
    struct network address;
};

static bool read_address(struct eval *e, struct str text, struct network *ret)
{
    struct address_read *last = &e->last_address;
    if (!last->text.ptr || last->text.ptr != text.ptr || last->text.len != text.len) {
        last->text = text;
        last->readable = parse_address(text, &last->address);
    }
    *ret = last->address;
    return last->readable;
}

static void read_subject(struct eval *e, const struct condition *c, struct str text,
                         struct subject *ret)
{
    *ret = (struct subject){.text = text, .readable = true};
    switch (operator_type(c->op.id)) {
    case VALUE_NUMBER:
        ret->readable = parse_number(text, &ret->number);
        break;
    case VALUE_DATE:
        if (c->key == IAM_KEY_CURRENT_TIME || c->key == IAM_KEY_EPOCH_TIME)
            ret->date_ms = (int64_t)e->r->now_ms;
        else
            ret->readable = parse_date(text, &ret->date_ms);
        break;
    case VALUE_BOOL:
        ret->readable = parse_bool(text, &ret->flag);
        break;
    case VALUE_IP:
        ret->readable = read_address(e, text, &ret->address);
        break;
    default:
        break;
    }
}

static enum match match_value(struct eval *e, const struct condition *c,
                              const union condition_value *v, const struct subject *s)
{
    enum compare how = compares[c->op.id];
    bool yes = false;
    switch (operator_type(c->op.id)) {
    case VALUE_TEXT:
        return pattern_match(e, &v->text, s->text, how == COMPARE_EQ_NOCASE);
    case VALUE_ARN:
        return match_arn(e, v->arn, s->text);
    case VALUE_NUMBER:
        yes = ordered(how, ORDER(s->number, v->number));
        break;
    case VALUE_DATE:
        yes = ordered(how, ORDER(s->date_ms, v->date_ms));
        break;
    case VALUE_BOOL:
        yes = s->flag == v->flag;
        break;
    case VALUE_BINARY:
        yes = str_eq(s->text, v->bytes);
        break;
    case VALUE_IP:
        yes = network_has(&v->network, &s->address);
        break;
    case VALUE_NONE:
        break;
    }
    return yes ? MATCH_YES : MATCH_NO;
}

/* Does one value of the request match one of the document's? */
static enum match match_any(struct eval *e, const struct condition *c, struct str text)
{
    struct subject s;
    enum match best = MATCH_NO;
    read_subject(e, c, text, &s);
    for (unsigned i = 0; s.readable && i < c->count; i++) {
        enum match m = match_value(e, c, &c->values[i], &s);
        if (m == MATCH_YES)
            return m;
        if (m == MATCH_UNKNOWN)
            best = m;
    }
    return best;
}

static enum match turned(enum match m)
{
    return m == MATCH_YES ? MATCH_NO : m == MATCH_NO ? MATCH_YES : m;
}

/* Null: "true" wants the key absent. Several values contradict or repeat one another. */
static enum match match_null(const struct condition *c, bool absent)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->values[i].flag == absent)
            return MATCH_YES;
    return MATCH_NO;
}

static enum match match_absent(const struct condition *c)
{
    if (c->op.if_exists || c->op.set == SET_ALL)
        return MATCH_YES;
    if (c->op.set == SET_ANY)
        return MATCH_NO;
    return operator_negated(c->op.id) ? MATCH_YES : MATCH_NO;
}

/*
 * ForAllValues: every value of the request satisfies the operator. Otherwise one does; but a
 * negated operator without a set form asks that none of them match.
 */
static enum match match_values(struct eval *e, const struct condition *c, struct iam_values v)
{
    bool negated = operator_negated(c->op.id);
    bool all = c->op.set == SET_ALL || (c->op.set == SET_NONE && negated);
    enum match end = all ? MATCH_NO : MATCH_YES, result = turned(end);
    for (size_t i = 0; i < v.count; i++) {
        enum match m = match_any(e, c, v.items[i]);
        if (negated)
            m = turned(m);
        if (m == end)
            return end;
        if (m == MATCH_UNKNOWN)
            result = m;
    }
    return result;
}

bool condition_holds(struct eval *e, const struct condition *c, bool deny)
{
    struct iam_values v = eval_values(e, c->key, c->name);
    enum match m;
    if (c->op.id == OPERATOR_Null)
        m = match_null(c, v.count == 0);
    else
        m = v.count ? match_values(e, c, v) : match_absent(c);
    return m == MATCH_UNKNOWN ? deny : m == MATCH_YES;
}
