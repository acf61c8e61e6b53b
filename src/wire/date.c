/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Readers take fields off the front of the text; each field returns whether it was there, so that
 * a format is one && chain.
 */

#include "wire/date.h"
#include "base/error.h"

#define MS_PER_DAY 86400000LL

static const char *const day_names[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char *const day_names_long[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                             "Thursday", "Friday", "Saturday"};
static const char *const month_names[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct civil {
    int year, month /* 1 to 12 */, day, hour, minute, second, ms;
};

/* ---- the calendar --------------------------------------------------------------------------- */

/*
 * Days since 1970-01-01 in the Gregorian calendar. Years are counted from March, so that the leap
 * day ends one and the months' lengths follow (153 m + 2) / 5.
 */
static int64_t days_from_civil(const struct civil *c)
{
    int64_t year = c->year - (c->month <= 2);
    int64_t month = (c->month + 9) % 12;
    int64_t day_of_year = (153 * month + 2) / 5 + c->day - 1;
    return year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719468;
}

/* The inverse; `days` is not negative. */
static void civil_from_days(int64_t days, struct civil *ret)
{
    int64_t shifted = days + 719468;
    int64_t era = shifted / 146097, in_era = shifted % 146097;
    int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t day_of_year = in_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    ret->day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
    ret->month = (int)(month < 10 ? month + 3 : month - 9);
    ret->year = (int)(year + era * 400 + (ret->month <= 2));
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* A second of 60 is a leap second, read as the one before it. */
static bool civil_is_valid(const struct civil *c)
{
    return c->month >= 1 && c->month <= 12 && c->day >= 1 &&
           c->day <= days_in_month(c->year, c->month) && c->hour <= 23 && c->minute <= 59 &&
           c->second <= 60;
}

static int civil_to_ms(const struct civil *c, int offset_minutes, uint64_t *ret)
{
    if (!civil_is_valid(c))
        return -EINVAL;
    int64_t second = MIN(c->second, 59);
    int64_t in_day = ((c->hour * 60LL + c->minute - offset_minutes) * 60 + second) * 1000 + c->ms;
    int64_t ms = days_from_civil(c) * MS_PER_DAY + in_day;
    *ret = ms < 0 ? 0 : MIN((uint64_t)ms, DATE_MS_MAX);
    return 0;
}

/* Returns the day of the week, Sunday 0. */
static int civil_from_ms(uint64_t time_ms, struct civil *ret)
{
    int64_t ms = (int64_t)MIN(time_ms, DATE_MS_MAX);
    int64_t days = ms / MS_PER_DAY, in_day = ms % MS_PER_DAY;
    civil_from_days(days, ret);
    ret->ms = (int)(in_day % 1000);
    ret->second = (int)(in_day / 1000 % 60);
    ret->minute = (int)(in_day / 60000 % 60);
    ret->hour = (int)(in_day / 3600000);
    return (int)((days + 4) % 7);
}

/* ---- writing -------------------------------------------------------------------------------- */

static char *put_number(char *to, int value, int width)
{
    for (int i = width; i-- > 0; value /= 10)
        to[i] = (char)('0' + value % 10);
    return to + width;
}

static char *put_text(char *to, const char *text)
{
    size_t len = strlen(text);
    memcpy(to, text, len);
    return to + len;
}

static char *put_clock(char *to, const struct civil *c, const char *sep)
{
    to = put_number(to, c->hour, 2);
    to = put_number(put_text(to, sep), c->minute, 2);
    return put_number(put_text(to, sep), c->second, 2);
}

void date_format_http(uint64_t time_ms, char ret[DATE_HTTP_LEN])
{
    struct civil c;
    char *to = put_text(ret, day_names[civil_from_ms(time_ms, &c)]);
    to = put_number(put_text(to, ", "), c.day, 2);
    to = put_text(put_text(to, " "), month_names[c.month - 1]);
    to = put_number(put_text(to, " "), c.year, 4);
    to = put_clock(put_text(to, " "), &c, ":");
    CHECK(put_text(to, " GMT") == ret + DATE_HTTP_LEN);
}

static char *put_day(char *to, const struct civil *c, const char *sep)
{
    to = put_number(to, c->year, 4);
    to = put_number(put_text(to, sep), c->month, 2);
    return put_number(put_text(to, sep), c->day, 2);
}

void date_format_iso(uint64_t time_ms, char ret[DATE_ISO_LEN])
{
    struct civil c;
    civil_from_ms(time_ms, &c);
    char *to = put_clock(put_text(put_day(ret, &c, "-"), "T"), &c, ":");
    to = put_number(put_text(to, "."), c.ms, 3);
    CHECK(put_text(to, "Z") == ret + DATE_ISO_LEN);
}

void date_format_amz(uint64_t time_ms, char ret[DATE_AMZ_LEN])
{
    struct civil c;
    civil_from_ms(time_ms, &c);
    char *to = put_clock(put_text(put_day(ret, &c, ""), "T"), &c, "");
    CHECK(put_text(to, "Z") == ret + DATE_AMZ_LEN);
}

/* ---- reading -------------------------------------------------------------------------------- */

static bool take_number(struct str *s, size_t width, int *ret)
{
    int value = 0;
    if (s->len < width)
        return false;
    for (size_t i = 0; i < width; i++) {
        unsigned digit = (uint8_t)s->ptr[i] - '0';
        if (digit > 9)
            return false;
        value = value * 10 + (int)digit;
    }
    *s = str_from_offset(*s, width);
    *ret = value;
    return true;
}

static bool take_text(struct str *s, struct str text)
{
    if (!str_starts(*s, text))
        return false;
    *s = str_from_offset(*s, text.len);
    return true;
}

/* Names are case-sensitive (RFC 9110 5.6.7). *ret is the index from 1. */
static bool take_name(struct str *s, const char *const *names, int count, int *ret)
{
    for (int i = 0; i < count; i++) {
        if (take_text(s, str_from(names[i]))) {
            *ret = i + 1;
            return true;
        }
    }
    return false;
}

static bool take_clock(struct str *s, struct str sep, struct civil *ret)
{
    return take_number(s, 2, &ret->hour) && take_text(s, sep) && take_number(s, 2, &ret->minute) &&
           take_text(s, sep) && take_number(s, 2, &ret->second);
}

static bool take_day(struct str *s, struct str sep, struct civil *ret)
{
    return take_number(s, 4, &ret->year) && take_text(s, sep) && take_number(s, 2, &ret->month) &&
           take_text(s, sep) && take_number(s, 2, &ret->day);
}

static bool take_month_name(struct str *s, struct civil *ret)
{
    return take_name(s, month_names, ARRAY_LEN(month_names), &ret->month);
}

/* GMT, or as a mail's date says the same (RFC 5322 3.3, 4.3): Python's formatdate does. */
static bool is_gmt(struct str s)
{
    return str_eq(s, STR(" GMT")) || str_eq(s, STR(" -0000")) || str_eq(s, STR(" +0000"));
}

static bool read_imf(struct str s, struct civil *c)
{
    int weekday;
    return take_name(&s, day_names, ARRAY_LEN(day_names), &weekday) && take_text(&s, STR(", ")) &&
           take_number(&s, 2, &c->day) && take_text(&s, STR(" ")) && take_month_name(&s, c) &&
           take_text(&s, STR(" ")) && take_number(&s, 4, &c->year) && take_text(&s, STR(" ")) &&
           take_clock(&s, STR(":"), c) && is_gmt(s);
}

static bool read_rfc850(struct str s, uint64_t now_ms, struct civil *c)
{
    int weekday;
    bool ok = take_name(&s, day_names_long, ARRAY_LEN(day_names_long), &weekday) &&
              take_text(&s, STR(", ")) && take_number(&s, 2, &c->day) && take_text(&s, STR("-")) &&
              take_month_name(&s, c) && take_text(&s, STR("-")) && take_number(&s, 2, &c->year) &&
              take_text(&s, STR(" ")) && take_clock(&s, STR(":"), c) && str_eq(s, STR(" GMT"));
    if (!ok)
        return false;
    struct civil now;
    civil_from_ms(now_ms, &now);
    c->year += now.year - now.year % 100;
    if (c->year > now.year + 50)
        c->year -= 100;
    return true;
}

static bool read_asctime(struct str s, struct civil *c)
{
    int weekday;
    return take_name(&s, day_names, ARRAY_LEN(day_names), &weekday) && take_text(&s, STR(" ")) &&
           take_month_name(&s, c) && take_text(&s, STR(" ")) &&
           take_number(&s, take_text(&s, STR(" ")) ? 1 : 2, &c->day) && take_text(&s, STR(" ")) &&
           take_clock(&s, STR(":"), c) && take_text(&s, STR(" ")) && take_number(&s, 4, &c->year) &&
           s.len == 0;
}

int date_parse_http(struct str s, uint64_t now_ms, uint64_t *ret_ms)
{
    struct civil c = {0};
    if (!read_imf(s, &c) && !read_rfc850(s, now_ms, &c) && !read_asctime(s, &c))
        return -EINVAL;
    return civil_to_ms(&c, 0, ret_ms);
}

/* An optional `.` and 1 to 9 digits, of which three count. */
static bool take_fraction(struct str *s, struct civil *c)
{
    if (!take_text(s, STR(".")))
        return true;
    int digit, count = 0, ms = 0;
    for (; take_number(s, 1, &digit); count++)
        if (count < 3)
            ms = ms * 10 + digit;
    for (int i = count; i < 3; i++)
        ms *= 10;
    c->ms = ms;
    return count >= 1 && count <= 9;
}

static bool take_zone(struct str *s, int *ret_minutes)
{
    *ret_minutes = 0;
    if (take_text(s, STR("Z")))
        return true;
    int sign = take_text(s, STR("+")) ? 1 : take_text(s, STR("-")) ? -1 : 0;
    int hours, minutes;
    if (!sign || !take_number(s, 2, &hours) || !take_text(s, STR(":")) ||
        !take_number(s, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *ret_minutes = sign * (hours * 60 + minutes);
    return true;
}

int date_parse_iso(struct str s, uint64_t *ret_ms)
{
    struct civil c = {0};
    int offset_minutes;
    bool ok = take_day(&s, STR("-"), &c) && take_text(&s, STR("T")) &&
              take_clock(&s, STR(":"), &c) && take_fraction(&s, &c) &&
              take_zone(&s, &offset_minutes) && s.len == 0 && c.year >= 1970;
    return ok ? civil_to_ms(&c, offset_minutes, ret_ms) : -EINVAL;
}

int date_parse_amz(struct str s, uint64_t *ret_ms)
{
    struct civil c = {0};
    bool ok = take_day(&s, STR(""), &c) && take_text(&s, STR("T")) && take_clock(&s, STR(""), &c) &&
              str_eq(s, STR("Z")) && c.year >= 1970;
    return ok ? civil_to_ms(&c, 0, ret_ms) : -EINVAL;
}
