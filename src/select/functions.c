/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The functions of SQL expressions, CAST and LIKE. Characters are those of UTF-8; a position counts
 * from 1. Source: S3 User Guide, "SQL functions".
 */

#include "select/eval.h"

#include <locale.h>
#include <pthread.h>
#include <wctype.h>
#include "base/error.h"
#include "select/json.h"

static const struct select_value null = {.type = SELECT_NULL};

/* ---- texts ---------------------------------------------------------------------------------- */

int select_text(struct select_eval *e, const struct select_value *v, struct str *ret)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    if (v->type == SELECT_STRING || v->type == SELECT_JSON) {
        *ret = v->text;
        return 0;
    }
    if (v->type == SELECT_INT)
        buf_printf(&b, "%lld", (long long)v->integer);
    else if (v->type == SELECT_REAL)
        select_real_put(&b, v->real);
    else if (v->type == SELECT_TIME)
        select_time_put(&b, &v->time);
    else if (v->type == SELECT_BOOL)
        buf_put_cstr(&b, v->truth ? "true" : "false");
    *ret = arena_dup(e->scratch, buf_str(&b));
    return ret->ptr && !b.failed ? 0 : -ENOMEM;
}

/* The length of the character at `at`, at least 1. */
static size_t char_len(const char *at, const char *end)
{
    uint8_t c = (uint8_t)*at;
    size_t n = c < 0xC0 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    return MIN(n, (size_t)(end - at));
}

static int64_t count_chars(struct str s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((uint8_t)s.ptr[i] & 0xC0) != 0x80;
    return n;
}

static struct str skip_chars(struct str s, int64_t n)
{
    const char *at = s.ptr, *end = s.ptr + s.len;
    for (; n > 0 && at < end; n--)
        at += char_len(at, end);
    return str_make(at, (size_t)(end - at));
}

/* A position before the first counts, as in SQL: SUBSTRING('abc', 0, 2) is 'a'. */
static int substring(const struct select_value *v, unsigned count, struct select_value *ret)
{
    struct str s = v[0].text;
    int64_t from = v[1].integer, n = count > 2 ? v[2].integer : INT64_MAX;
    if (n < 0)
        return -ERR_SELECT_ARGUMENTS;
    int64_t to = from > 0 && n > INT64_MAX - from ? INT64_MAX : from + n;
    from = MAX(from, (int64_t)1);
    s = skip_chars(s, from - 1);
    if (to < from)
        to = from;
    *ret = select_of_text(str_make(s.ptr, s.len - skip_chars(s, to - from).len));
    return 0;
}

static bool has_char(struct str set, struct str one)
{
    return str_find(set, one, 0) >= 0;
}

static struct str trim_front(struct str s, struct str set)
{
    while (s.len) {
        size_t n = char_len(s.ptr, s.ptr + s.len);
        if (!has_char(set, str_prefix(s, n)))
            break;
        s = str_from_offset(s, n);
    }
    return s;
}

static struct str trim_back(struct str s, struct str set)
{
    while (s.len) {
        size_t n = 1;
        while (n < s.len && n < 4 && ((uint8_t)s.ptr[s.len - n] & 0xC0) == 0x80)
            n++;
        if (!has_char(set, str_from_offset(s, s.len - n)))
            break;
        s.len -= n;
    }
    return s;
}

/* However long the set is, it is searched for each character. */
static int FIBER trim(struct select_eval *e, enum select_side side, const struct select_value *v,
                      unsigned count, struct select_value *ret)
{
    struct str s = v[0].text, set = count > 1 ? v[1].text : STR(" ");
    if (set.len > 256)
        return -ERR_SELECT_ARGUMENTS;
    if (side != SIDE_TRAILING)
        s = trim_front(s, set);
    if (side != SIDE_LEADING)
        s = trim_back(s, set);
    *ret = select_of_text(s);
    return select_work(e, v[0].text.len);
}

/* ---- the case of letters -------------------------------------------------------------------- */

static locale_t unicode;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void open_locale(void)
{
    unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

static unsigned decode(const char *at, size_t n)
{
    unsigned c = n == 1 ? (uint8_t)*at : (uint8_t)*at & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++)
        c = c << 6 | ((uint8_t)at[i] & 0x3F);
    return c;
}

static size_t encode(unsigned c, char *to)
{
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i > 1; i--, c >>= 6)
        to[i - 1] = (char)(0x80 | (c & 0x3F));
    to[0] = (char)(n == 1 ? c : (0xF00u >> n & 0xFF) | c);
    return n;
}

static unsigned other_case(unsigned c, bool upper)
{
    if (c < 0x80)
        return upper ? (c >= 'a' && c <= 'z' ? c - 32 : c) : (c >= 'A' && c <= 'Z' ? c + 32 : c);
    return upper ? towupper_l((wint_t)c, unicode) : towlower_l((wint_t)c, unicode);
}

/* A letter's other case may be longer by a byte, or half as long again. */
static int FIBER change_case(struct select_eval *e, struct str s, bool upper,
                             struct select_value *ret)
{
    const char *at = s.ptr, *end = s.ptr + s.len;
    char *from = arena_alloc(e->scratch, s.len * 2 + 1), *to = from;
    pthread_once(&once, open_locale);
    if (!from)
        return -ENOMEM;
    while (at < end) {
        size_t n = char_len(at, end);
        if (n > 1 && !unicode)
            return -ERR_SELECT_FUNCTION;
        to += encode(other_case(decode(at, n), upper), to);
        at += n;
    }
    *ret = select_of_text(str_make(from, (size_t)(to - from)));
    return select_work(e, s.len);
}

/* ---- LIKE ----------------------------------------------------------------------------------- */

struct like {
    const char *at, *end; /* of the pattern */
    int escape;
};

enum like_token { LIKE_END, LIKE_ANY, LIKE_ONE, LIKE_BYTE, LIKE_BAD };

static enum like_token like_next(struct like *l, char *ret)
{
    if (l->at == l->end)
        return LIKE_END;
    char c = *l->at++;
    if ((uint8_t)c == l->escape) {
        if (l->at == l->end || (*l->at != '%' && *l->at != '_' && (uint8_t)*l->at != l->escape))
            return LIKE_BAD;
        *ret = *l->at++;
        return LIKE_BYTE;
    }
    *ret = c;
    return c == '%' ? LIKE_ANY : c == '_' ? LIKE_ONE : LIKE_BYTE;
}

static int check_pattern(struct like l)
{
    enum like_token t;
    char c;
    while ((t = like_next(&l, &c)) != LIKE_END)
        if (t == LIKE_BAD)
            return -ERR_SELECT_ESCAPE;
    return 0;
}

/* Only the last % is ever gone back to: what was before it fits as early as it can. */
int FIBER select_like(struct select_eval *e, struct str text, struct str pattern, int escape,
                      bool *ret)
{
    struct like l = {pattern.ptr, pattern.ptr + pattern.len, escape}, retry = {0};
    const char *at = text.ptr, *end = text.ptr + text.len, *retry_at = NULL;
    int r = check_pattern(l);
    while (!r) {
        char c;
        enum like_token t = like_next(&l, &c);
        r = select_work(e, 1);
        if (t == LIKE_ANY) {
            retry = l;
            retry_at = at;
        } else if (t == LIKE_END && at == end) {
            *ret = true;
            return r;
        } else if (t == LIKE_ONE && at < end)
            at += char_len(at, end);
        else if (t == LIKE_BYTE && at < end && *at == c)
            at++;
        else if (retry_at && retry_at < end) {
            retry_at += char_len(retry_at, end);
            at = retry_at;
            l = retry;
        } else {
            *ret = false;
            return r;
        }
    }
    return r;
}

/* ---- CAST ----------------------------------------------------------------------------------- */

static int cast_to_bool(const struct select_value *v, struct select_value *ret)
{
    struct str s = v->type == SELECT_STRING ? str_trim(v->text) : STR_NULL;
    if (select_is_number(v))
        *ret = select_of_bool(select_to_real(v) != 0);
    else if (str_eq_nocase(s, STR("true")) || str_eq(s, STR("1")))
        *ret = select_of_bool(true);
    else if (str_eq_nocase(s, STR("false")) || str_eq(s, STR("0")))
        *ret = select_of_bool(false);
    else
        return -ERR_SELECT_CAST;
    return 0;
}

static int cast_to_number(const struct select_value *v, struct select_value *ret)
{
    *ret = *v;
    if (v->type == SELECT_BOOL)
        *ret = select_of_int(v->truth);
    else if (v->type == SELECT_STRING && select_number_parse(v->text, ret))
        return -ERR_SELECT_CAST;
    return select_is_number(ret) ? 0 : -ERR_SELECT_CAST;
}

/* What stands behind the point goes. */
static int cast_to_int(const struct select_value *v, struct select_value *ret)
{
    struct select_value number;
    int r = cast_to_number(v, &number);
    if (r < 0)
        return r;
    if (number.type == SELECT_REAL &&
        !(number.real > -9.2233720368547748e18 && number.real < 9.2233720368547748e18))
        return -ERR_SELECT_CAST;
    *ret = number.type == SELECT_INT ? number : select_of_int((int64_t)number.real);
    return 0;
}

static int cast_to_real(const struct select_value *v, struct select_value *ret)
{
    struct select_value number;
    int r = cast_to_number(v, &number);
    if (r < 0)
        return r;
    *ret = select_of_real(select_to_real(&number));
    return 0;
}

static int cast_to_time(const struct select_value *v, struct select_value *ret)
{
    struct select_value t = {.type = SELECT_TIME};
    if (v->type != SELECT_STRING || select_time_parse(str_trim(v->text), &t.time))
        return -ERR_SELECT_CAST;
    *ret = t;
    return 0;
}

int select_cast(struct select_eval *e, const struct select_value *v, enum select_type to,
                struct select_value *ret)
{
    struct str s;
    int r = 0;
    if (select_is_unknown(v) || v->type == to) {
        *ret = *v;
        return 0;
    }
    switch (to) {
    case SELECT_BOOL:
        return cast_to_bool(v, ret);
    case SELECT_INT:
        return cast_to_int(v, ret);
    case SELECT_REAL:
        return cast_to_real(v, ret);
    case SELECT_TIME:
        return cast_to_time(v, ret);
    default:
        r = select_text(e, v, &s);
        if (!r)
            *ret = select_of_text(s);
        return r;
    }
}

/* ---- dates ---------------------------------------------------------------------------------- */

static int to_string(struct select_eval *e, const struct select_value *v, struct select_value *ret)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, SELECT_RECORD_MAX);
    int r = select_time_format(&b, &v[0].time, v[1].text);
    if (!r)
        r = buf_error(&b);
    struct str s = r ? STR_NULL : arena_dup(e->scratch, b.len ? buf_str(&b) : STR(""));
    *ret = select_of_text(s);
    return r || s.ptr ? r : -ENOMEM;
}

static struct select_value now(const struct select_eval *e)
{
    struct select_value v = {.type = SELECT_TIME};
    v.time = (struct select_time){.s = (int64_t)(e->now_ms / 1000),
                                  .ns = (int32_t)(e->now_ms % 1000) * 1000000,
                                  .precision = SELECT_SECOND};
    return v;
}

static int date_add(enum select_part part, const struct select_value *v, struct select_value *ret)
{
    *ret = v[1];
    return select_time_add(&ret->time, part, v[0].integer) ? -ERR_SELECT_ARGUMENTS : 0;
}

/* ---- calls ---------------------------------------------------------------------------------- */

static int FIBER coalesce(struct select_eval *e, const struct select_node *n,
                          struct select_value *ret)
{
    *ret = null;
    for (unsigned i = 0; i < n->count && select_is_unknown(ret); i++) {
        int r = select_evaluate(e, n->args[i], ret);
        if (r)
            return r;
    }
    if (select_is_unknown(ret))
        *ret = null;
    return 0;
}

/* The types that arguments have: s text, i whole number, t time, . any. */
static const char *const signatures[] = {
    [FN_CHAR_LENGTH] = "s",  [FN_LOWER] = "s",      [FN_UPPER] = "s",     [FN_SUBSTRING] = "sii",
    [FN_TRIM] = "ss",        [FN_COALESCE] = "",    [FN_NULLIF] = "..",   [FN_UTCNOW] = "",
    [FN_TO_TIMESTAMP] = "s", [FN_TO_STRING] = "ts", [FN_DATE_ADD] = "it", [FN_DATE_DIFF] = "tt",
    [FN_EXTRACT] = "t",
};

/* What is written as another type is taken, as fields of CSV are. */
static int convert(struct select_eval *e, char type, struct select_value *v)
{
    int r = 0;
    if (type == 's')
        r = select_cast(e, v, SELECT_STRING, v);
    else if (type == 'i')
        r = select_cast(e, v, SELECT_INT, v);
    else if (type == 't')
        r = select_cast(e, v, SELECT_TIME, v);
    return r == -ERR_SELECT_CAST ? -ERR_SELECT_ARGUMENTS : r;
}

static int nullif(const struct select_value *v, struct select_value *ret)
{
    int order;
    *ret = select_compare(&v[0], &v[1], &order) && order == 0 ? null : v[0];
    return 0;
}

static int FIBER call(struct select_eval *e, const struct select_node *n, struct select_value *v,
                      struct select_value *ret)
{
    switch (n->function) {
    case FN_CHAR_LENGTH:
        *ret = select_of_int(count_chars(v[0].text));
        return select_work(e, v[0].text.len);
    case FN_LOWER:
    case FN_UPPER:
        return change_case(e, v[0].text, n->function == FN_UPPER, ret);
    case FN_SUBSTRING:
        return substring(v, n->count, ret);
    case FN_TRIM:
        return trim(e, n->side, v, n->count, ret);
    case FN_NULLIF:
        return nullif(v, ret);
    case FN_TO_TIMESTAMP:
        return cast_to_time(&v[0], ret) ? -ERR_SELECT_TIME : 0;
    case FN_TO_STRING:
        return to_string(e, v, ret);
    case FN_DATE_ADD:
        return date_add(n->part, v, ret);
    case FN_DATE_DIFF:
        *ret = select_of_int(select_time_diff(&v[0].time, &v[1].time, n->part));
        return 0;
    case FN_EXTRACT:
        *ret = select_of_int(select_time_extract(&v[0].time, n->part));
        return 0;
    default:
        *ret = now(e);
        return 0;
    }
}

int FIBER select_call(struct select_eval *e, const struct select_node *n, struct select_value *ret)
{
    struct select_value v[3];
    if (n->function == FN_COALESCE)
        return coalesce(e, n, ret);
    for (unsigned i = 0; i < n->count; i++) {
        int r = select_evaluate(e, n->args[i], &v[i]);
        if (!r)
            r = convert(e, signatures[n->function][i], &v[i]);
        if (r)
            return r;
        if (select_is_unknown(&v[i]) && n->function != FN_NULLIF) {
            *ret = null;
            return 0;
        }
    }
    return call(e, n, v, ret);
}
