/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "select/value.h"

#include <math.h>
#include <stdio.h>
#include "base/error.h"

#define NUMBER_MAX 400 /* characters of a number that is read as a double */

/* ---- numbers -------------------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* As long as it surely fits. */
static bool parse_short(struct str s, int64_t *ret)
{
    bool minus = s.ptr[0] == '-';
    size_t i = minus || s.ptr[0] == '+';
    int64_t v = 0;
    if (i == s.len || s.len - i > 18)
        return false;
    for (; i < s.len; i++) {
        if (!is_digit(s.ptr[i]))
            return false;
        v = v * 10 + (s.ptr[i] - '0');
    }
    *ret = minus ? -v : v;
    return true;
}

/* What strtod would take beyond that: hex, inf, nan. */
static bool is_decimal(struct str s, bool *ret_whole)
{
    size_t i = s.ptr[0] == '-' || s.ptr[0] == '+', digits = 0;
    *ret_whole = true;
    for (; i < s.len && is_digit(s.ptr[i]); i++)
        digits++;
    if (i < s.len && s.ptr[i] == '.') {
        *ret_whole = false;
        for (i++; i < s.len && is_digit(s.ptr[i]); i++)
            digits++;
    }
    if (digits == 0)
        return false;
    if (i < s.len && (s.ptr[i] == 'e' || s.ptr[i] == 'E')) {
        *ret_whole = false;
        i++;
        i += i < s.len && (s.ptr[i] == '-' || s.ptr[i] == '+');
        if (i == s.len)
            return false;
        while (i < s.len && is_digit(s.ptr[i]))
            i++;
    }
    return i == s.len;
}

static int parse_long(struct str s, struct select_value *ret)
{
    char text[NUMBER_MAX + 1], *end;
    bool whole;
    if (s.len > NUMBER_MAX || !is_decimal(s, &whole))
        return -EINVAL;
    memcpy(text, s.ptr, s.len);
    text[s.len] = 0;
    errno = 0;
    long long i = whole ? strtoll(text, &end, 10) : 0;
    if (whole && errno == 0) {
        *ret = select_of_int(i);
        return 0;
    }
    double d = strtod(text, &end);
    if (!isfinite(d))
        return -EINVAL;
    *ret = select_of_real(d);
    return 0;
}

int select_number_parse(struct str text, struct select_value *ret)
{
    int64_t i;
    text = str_trim(text);
    if (text.len == 0)
        return -EINVAL;
    if (!parse_short(text, &i))
        return parse_long(text, ret);
    *ret = select_of_int(i);
    return 0;
}

void select_real_put(struct buf *b, double d)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            break;
    }
    buf_put_cstr(b, text);
}

/* ---- order ---------------------------------------------------------------------------------- */

static int compare_numbers(const struct select_value *a, const struct select_value *b)
{
    if (a->type == SELECT_INT && b->type == SELECT_INT)
        return (a->integer > b->integer) - (a->integer < b->integer);
    double x = select_to_real(a), y = select_to_real(b);
    return (x > y) - (x < y);
}

static bool number_beside(const struct select_value *v, struct select_value *ret)
{
    if (select_is_number(v)) {
        *ret = *v;
        return true;
    }
    return v->type == SELECT_STRING && select_number_parse(v->text, ret) == 0;
}

bool select_compare(const struct select_value *a, const struct select_value *b, int *ret)
{
    struct select_value x, y;
    if (a->type == SELECT_STRING && b->type == SELECT_STRING)
        *ret = str_cmp(a->text, b->text);
    else if (select_is_number(a) || select_is_number(b)) {
        if (!number_beside(a, &x) || !number_beside(b, &y))
            return false;
        *ret = compare_numbers(&x, &y);
    } else if (a->type == SELECT_BOOL && b->type == SELECT_BOOL)
        *ret = a->truth - b->truth;
    else if (a->type == SELECT_TIME && b->type == SELECT_TIME)
        *ret = select_time_cmp(&a->time, &b->time);
    else if (a->type == SELECT_JSON && b->type == SELECT_JSON)
        *ret = str_cmp(a->text, b->text);
    else
        return false;
    return true;
}
