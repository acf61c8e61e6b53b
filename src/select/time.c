/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "select/time.h"

#include <stdio.h>
#include "base/error.h"

#define DAY_S 86400

struct civil {
    int64_t year;
    int month, day, hour, minute, second;
};

/* ---- the calendar --------------------------------------------------------------------------- */

static bool is_leap(int64_t y)
{
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static int days_in(int64_t year, int month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Years are counted from March, so that the leap day is a year's last. */
static int64_t days_of(int64_t year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t era = y / 400, in_era = y % 400; /* years from 1: never negative but for 0 */
    int64_t in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

static void civil_of_days(int64_t days, struct civil *ret)
{
    int64_t z = days + 719468, era = z / 146097, in_era = z % 146097;
    int64_t y = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * y + y / 4 - y / 100);
    int64_t month = (5 * in_year + 2) / 153;
    ret->day = (int)(in_year - (153 * month + 2) / 5 + 1);
    ret->month = (int)(month < 10 ? month + 3 : month - 9);
    ret->year = y + era * 400 + (ret->month <= 2);
}

static void civil_of(const struct select_time *t, struct civil *ret)
{
    int64_t local = t->s + t->offset_min * 60;
    int64_t days = local / DAY_S, rest = local % DAY_S;
    if (rest < 0) {
        rest += DAY_S;
        days--;
    }
    civil_of_days(days, ret);
    ret->hour = (int)(rest / 3600);
    ret->minute = (int)(rest / 60 % 60);
    ret->second = (int)(rest % 60);
}

static int set_civil(struct select_time *t, const struct civil *c)
{
    if (c->year < 1 || c->year > 9999)
        return -EINVAL;
    t->s = days_of(c->year, c->month, c->day) * DAY_S + c->hour * 3600 + c->minute * 60 +
           c->second - t->offset_min * 60;
    return 0;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Exactly `digits` of them off the front. */
static bool cut_number(struct str *s, unsigned digits, int *ret)
{
    int v = 0;
    if (s->len < digits)
        return false;
    for (unsigned i = 0; i < digits; i++) {
        if (s->ptr[i] < '0' || s->ptr[i] > '9')
            return false;
        v = v * 10 + (s->ptr[i] - '0');
    }
    *ret = v;
    *s = str_from_offset(*s, digits);
    return true;
}

static bool cut_char(struct str *s, char c)
{
    if (s->len == 0 || s->ptr[0] != c)
        return false;
    *s = str_from_offset(*s, 1);
    return true;
}

static bool cut_fraction(struct str *s, int32_t *ret_ns)
{
    int32_t ns = 0, unit = 100000000;
    size_t n = 0;
    for (; n < s->len && s->ptr[n] >= '0' && s->ptr[n] <= '9'; n++, unit /= 10)
        ns += unit * (s->ptr[n] - '0');
    *s = str_from_offset(*s, n);
    *ret_ns = ns;
    return n >= 1 && n <= 9;
}

static bool cut_offset(struct str *s, int16_t *ret)
{
    int h, m;
    if (cut_char(s, 'Z') || cut_char(s, 'z'))
        return true;
    bool minus = s->len && s->ptr[0] == '-';
    if (!minus && (s->len == 0 || s->ptr[0] != '+'))
        return false;
    *s = str_from_offset(*s, 1);
    if (!cut_number(s, 2, &h) || !cut_char(s, ':') || !cut_number(s, 2, &m) || h > 23 || m > 59)
        return false;
    *ret = (int16_t)(minus ? -(h * 60 + m) : h * 60 + m);
    return true;
}

/* Behind the T. */
static bool cut_clock(struct str *s, struct select_time *t, struct civil *c)
{
    if (!cut_number(s, 2, &c->hour) || !cut_char(s, ':') || !cut_number(s, 2, &c->minute))
        return false;
    t->precision = SELECT_MINUTE;
    if (cut_char(s, ':')) {
        t->precision = SELECT_SECOND;
        if (!cut_number(s, 2, &c->second) || (cut_char(s, '.') && !cut_fraction(s, &t->ns)))
            return false;
    }
    return c->hour < 24 && c->minute < 60 && c->second < 60 && cut_offset(s, &t->offset_min);
}

static bool cut_month_day(struct str *s, struct select_time *t, struct civil *c)
{
    if (!cut_char(s, '-'))
        return true;
    t->precision = SELECT_MONTH;
    if (!cut_number(s, 2, &c->month) || c->month < 1 || c->month > 12)
        return false;
    if (!cut_char(s, '-'))
        return true;
    t->precision = SELECT_DAY;
    return cut_number(s, 2, &c->day) && c->day >= 1 && c->day <= days_in(c->year, c->month);
}

int select_time_parse(struct str text, struct select_time *ret)
{
    struct select_time t = {.precision = SELECT_YEAR};
    struct civil c = {.month = 1, .day = 1};
    int year;
    if (!cut_number(&text, 4, &year))
        return -EINVAL;
    c.year = year;
    if (!cut_month_day(&text, &t, &c))
        return -EINVAL;
    bool has_t = cut_char(&text, 'T') || cut_char(&text, 't');
    if (!has_t && (t.precision != SELECT_DAY || text.len)) /* a day alone may go without */
        return -EINVAL;
    if (text.len && (t.precision != SELECT_DAY || !cut_clock(&text, &t, &c) || text.len))
        return -EINVAL;
    int r = set_civil(&t, &c);
    if (!r)
        *ret = t;
    return r;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void put_offset(struct buf *b, int minutes, const char *separator)
{
    int m = abs(minutes);
    buf_printf(b, "%c%02d%s%02d", minutes < 0 ? '-' : '+', m / 60, separator, m % 60);
}

static void put_fraction(struct buf *b, int32_t ns, unsigned digits)
{
    char text[16];
    snprintf(text, sizeof(text), "%09d", ns);
    buf_put(b, text, digits);
}

static void put_seconds(struct buf *b, const struct select_time *t, int second)
{
    unsigned digits = 9;
    int32_t ns = t->ns;
    buf_printf(b, ":%02d", second);
    if (ns == 0)
        return;
    for (; ns % 10 == 0; ns /= 10)
        digits--;
    buf_put_char(b, '.');
    put_fraction(b, t->ns, digits);
}

void select_time_put(struct buf *b, const struct select_time *t)
{
    struct civil c;
    civil_of(t, &c);
    buf_printf(b, "%04d", (int)c.year);
    if (t->precision >= SELECT_MONTH)
        buf_printf(b, "-%02d", c.month);
    if (t->precision >= SELECT_DAY)
        buf_printf(b, "-%02d", c.day);
    buf_put_char(b, 'T');
    if (t->precision < SELECT_MINUTE)
        return;
    buf_printf(b, "%02d:%02d", c.hour, c.minute);
    if (t->precision == SELECT_SECOND)
        put_seconds(b, t, c.second);
    if (t->offset_min)
        put_offset(b, t->offset_min, ":");
    else
        buf_put_char(b, 'Z');
}

int select_time_cmp(const struct select_time *a, const struct select_time *b)
{
    if (a->s != b->s)
        return a->s < b->s ? -1 : 1;
    return (a->ns > b->ns) - (a->ns < b->ns);
}

/* ---- parts ---------------------------------------------------------------------------------- */

int select_part_parse(struct str word, enum select_part *ret)
{
    static const char *const words[] = {"year",   "month",  "day",           "hour",
                                        "minute", "second", "timezone_hour", "timezone_minute"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq_nocase(word, str_from(words[i]))) {
            *ret = (enum select_part)i;
            return 0;
        }
    return -EINVAL;
}

int64_t select_time_extract(const struct select_time *t, enum select_part part)
{
    struct civil c;
    civil_of(t, &c);
    switch (part) {
    case SELECT_YEAR:
        return c.year;
    case SELECT_MONTH:
        return c.month;
    case SELECT_DAY:
        return c.day;
    case SELECT_HOUR:
        return c.hour;
    case SELECT_MINUTE:
        return c.minute;
    case SELECT_SECOND:
        return c.second;
    case SELECT_TIMEZONE_HOUR:
        return t->offset_min / 60;
    case SELECT_TIMEZONE_MINUTE:
        return t->offset_min % 60;
    }
    return 0;
}

static int add_months(struct select_time *t, int64_t n)
{
    struct civil c;
    if (n < -120000 || n > 120000)
        return -EINVAL;
    civil_of(t, &c);
    int64_t months = c.year * 12 + c.month - 1 + n;
    if (months < 12)
        return -EINVAL;
    c.year = months / 12;
    c.month = (int)(months % 12) + 1;
    c.day = MIN(c.day, days_in(c.year, c.month));
    return set_civil(t, &c);
}

static int64_t unit_s(enum select_part part)
{
    switch (part) {
    case SELECT_DAY:
        return DAY_S;
    case SELECT_HOUR:
        return 3600;
    case SELECT_MINUTE:
        return 60;
    default:
        return 1;
    }
}

static int add_seconds(struct select_time *t, int64_t unit, int64_t n)
{
    struct civil c;
    int64_t most = 400000000000 / unit; /* more than there are */
    if (n < -most || n > most)
        return -EINVAL;
    t->s += n * unit;
    if (t->s + t->offset_min * 60 < days_of(1, 1, 1) * DAY_S)
        return -EINVAL;
    civil_of(t, &c);
    return c.year > 9999 ? -EINVAL : 0;
}

int select_time_add(struct select_time *t, enum select_part part, int64_t n)
{
    uint8_t precision = part == SELECT_HOUR ? SELECT_MINUTE : (uint8_t)part;
    t->precision = MAX(t->precision, precision);
    if (part == SELECT_YEAR)
        return n < -9999 || n > 9999 ? -EINVAL : add_months(t, n * 12);
    return part == SELECT_MONTH ? add_months(t, n) : add_seconds(t, unit_s(part), n);
}

/* Whole months between a and a later b, told in UTC. */
static int64_t months_between(const struct select_time *a, const struct select_time *b)
{
    struct civil x, y;
    struct select_time from = *a, to = *b;
    from.offset_min = to.offset_min = 0;
    civil_of(&from, &x);
    civil_of(&to, &y);
    int64_t n = (y.year - x.year) * 12 + y.month - x.month;
    int64_t at_x = x.day * DAY_S + x.hour * 3600 + x.minute * 60 + x.second;
    int64_t at_y = y.day * DAY_S + y.hour * 3600 + y.minute * 60 + y.second;
    return n - (at_y < at_x || (at_y == at_x && to.ns < from.ns));
}

int64_t select_time_diff(const struct select_time *a, const struct select_time *b,
                         enum select_part part)
{
    if (select_time_cmp(a, b) > 0)
        return -select_time_diff(b, a, part);
    if (part <= SELECT_MONTH)
        return months_between(a, b) / (part == SELECT_YEAR ? 12 : 1);
    return (b->s - a->s - (b->ns < a->ns)) / unit_s(part);
}

/* ---- TO_STRING ------------------------------------------------------------------------------ */

static const char *const month_names[] = {"January",   "February", "March",    "April",
                                          "May",       "June",     "July",     "August",
                                          "September", "October",  "November", "December"};

static void put_padded(struct buf *b, int64_t v, unsigned width)
{
    buf_printf(b, "%0*lld", (int)width, (long long)v);
}

static int put_year(struct buf *b, int64_t year, unsigned n)
{
    if (n == 3 || n > 4)
        return -ERR_SELECT_PATTERN;
    put_padded(b, n == 2 ? year % 100 : year, n);
    return 0;
}

static int put_month(struct buf *b, int month, unsigned n)
{
    const char *name = month_names[month - 1];
    if (n > 5)
        return -ERR_SELECT_PATTERN;
    if (n <= 2)
        put_padded(b, month, n);
    else
        buf_put(b, name, n == 3 ? 3 : n == 5 ? 1 : strlen(name));
    return 0;
}

/* X: Z when there is none; x: never. One letter: hours; two: hours and minutes; three: a colon. */
static int put_zone(struct buf *b, int offset, char letter, unsigned n)
{
    if (n > 5)
        return -ERR_SELECT_PATTERN;
    if (letter == 'X' && offset == 0)
        buf_put_char(b, 'Z');
    else if (n == 1 && offset % 60 == 0)
        buf_printf(b, "%c%02d", offset < 0 ? '-' : '+', abs(offset) / 60);
    else
        put_offset(b, offset, n == 3 || n == 5 ? ":" : "");
    return 0;
}

static int put_two(struct buf *b, int v, unsigned n)
{
    if (n > 2)
        return -ERR_SELECT_PATTERN;
    put_padded(b, v, n);
    return 0;
}

static int put_parts_of_second(struct buf *b, const struct select_time *t, char letter, unsigned n)
{
    if (letter == 'n' ? n > 1 : n > 9)
        return -ERR_SELECT_PATTERN;
    if (letter == 'n')
        buf_printf(b, "%d", t->ns);
    else
        put_fraction(b, t->ns, n);
    return 0;
}

static int put_symbol(struct buf *b, const struct select_time *t, const struct civil *c,
                      char letter, unsigned n)
{
    switch (letter) {
    case 'y':
        return put_year(b, c->year, n);
    case 'M':
        return put_month(b, c->month, n);
    case 'd':
        return put_two(b, c->day, n);
    case 'a':
        buf_put_cstr(b, c->hour < 12 ? "AM" : "PM");
        return n > 1 ? -ERR_SELECT_PATTERN : 0;
    case 'h':
        return put_two(b, c->hour % 12 ? c->hour % 12 : 12, n);
    case 'H':
        return put_two(b, c->hour, n);
    case 'm':
        return put_two(b, c->minute, n);
    case 's':
        return put_two(b, c->second, n);
    case 'S':
    case 'n':
        return put_parts_of_second(b, t, letter, n);
    case 'X':
    case 'x':
        return put_zone(b, t->offset_min, letter, n);
    default:
        return -ERR_SELECT_PATTERN;
    }
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* 'text', in which '' is a quote. */
static int put_quoted(struct buf *b, struct str *pattern)
{
    ptrdiff_t end = str_find_char(*pattern, '\'', 1);
    if (end < 0)
        return -ERR_SELECT_PATTERN_OPEN;
    if (end == 1)
        buf_put_char(b, '\'');
    buf_put(b, pattern->ptr + 1, (size_t)end - 1);
    *pattern = str_from_offset(*pattern, (size_t)end + 1);
    return 0;
}

int select_time_format(struct buf *b, const struct select_time *t, struct str pattern)
{
    struct civil c;
    int r = 0;
    civil_of(t, &c);
    while (!r && pattern.len) {
        char letter = pattern.ptr[0];
        size_t n = 1;
        if (letter == '\'') {
            r = put_quoted(b, &pattern);
            continue;
        }
        while (is_letter(letter) && n < pattern.len && pattern.ptr[n] == letter)
            n++;
        if (is_letter(letter))
            r = put_symbol(b, t, &c, letter, (unsigned)MIN(n, (size_t)10));
        else
            buf_put_char(b, letter);
        pattern = str_from_offset(pattern, n);
    }
    return r;
}
