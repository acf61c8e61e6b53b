/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "test/unit/unit.h"
#include <time.h>
#include "base/error.h"
#include "wire/date.h"

#define NOV_6_1994 784111777000ULL /* RFC 9110's example */
#define JAN_2_2026 1767323045000ULL

static uint64_t http(const char *text)
{
    uint64_t ms = 1;
    return date_parse_http(str_from(text), JAN_2_2026, &ms) == 0 ? ms : UINT64_MAX;
}

static uint64_t iso(const char *text)
{
    uint64_t ms = 1;
    return date_parse_iso(str_from(text), &ms) == 0 ? ms : UINT64_MAX;
}

static void three_http_forms_read_alike(void **state)
{
    assert_true(http("Sun, 06 Nov 1994 08:49:37 GMT") == NOV_6_1994);
    assert_true(http("Sun, 06 Nov 1994 08:49:37 -0000") == NOV_6_1994);
    assert_true(http("Sun, 06 Nov 1994 08:49:37 +0000") == NOV_6_1994);
    assert_true(http("Sunday, 06-Nov-94 08:49:37 GMT") == NOV_6_1994);
    assert_true(http("Sun Nov  6 08:49:37 1994") == NOV_6_1994);
    assert_true(http("Wed Nov 16 08:49:37 1994") == NOV_6_1994 + 10 * 86400000ULL);
}

static void two_digit_years_are_at_most_fifty_ahead(void **state)
{
    assert_true(http("Friday, 02-Jan-76 00:00:00 GMT") == iso("2076-01-02T00:00:00Z"));
    assert_true(http("Sunday, 02-Jan-77 00:00:00 GMT") == iso("1977-01-02T00:00:00Z"));
}

static void dates_before_1970_read_as_zero(void **state)
{
    assert_true(http("Mon, 01 Jan 1900 00:00:00 GMT") == 0);
    assert_true(http("Mon, 01 Jan 0000 00:00:00 GMT") == 0);
    assert_true(http("Wed, 31 Dec 1969 23:59:59 GMT") == 0);
    assert_true(http("Thu, 01 Jan 1970 00:00:00 GMT") == 0);
    assert_true(http("Thu, 01 Jan 1970 00:00:01 GMT") == 1000);
}

static void malformed_http_dates_are_refused(void **state)
{
    const char *const bad[] = {
        "",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 2100 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 08:49:-7 GMT",
        "Sun, 06 Nov 1994 08:49:37 0000",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "1994-11-06T08:49:37Z",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (http(bad[i]) != UINT64_MAX)
            fail_msg("accepted: %s", bad[i]);
    assert_true(http("Sun, 29 Feb 2000 08:49:37 GMT") != UINT64_MAX);
}

static void a_leap_second_reads_as_the_one_before(void **state)
{
    assert_true(http("Sat, 31 Dec 2016 23:59:60 GMT") == iso("2016-12-31T23:59:59Z"));
}

static void iso_dates_read_with_fraction_and_zone(void **state)
{
    assert_true(iso("2026-01-02T03:04:05.000Z") == JAN_2_2026);
    assert_true(iso("2026-01-02T03:04:05Z") == JAN_2_2026);
    assert_true(iso("2026-01-02T03:04:05.1Z") == JAN_2_2026 + 100);
    assert_true(iso("2026-01-02T03:04:05.123456789Z") == JAN_2_2026 + 123);
    assert_true(iso("2026-01-02T05:34:05+02:30") == JAN_2_2026);
    assert_true(iso("2026-01-01T22:04:05-05:00") == JAN_2_2026);
    assert_true(iso("2026-01-03T03:03:05+23:59") == JAN_2_2026);
    const char *const bad[] = {"2026-01-02",
                               "2026-01-02T03:04:05",
                               "2026-01-02 03:04:05Z",
                               "2026-13-02T03:04:05Z",
                               "2026-01-02T03:04:05.Z",
                               "2026-01-02T03:04:05.1234567890Z",
                               "2026-01-02T03:04:05+0230",
                               "1969-01-02T03:04:05Z",
                               "2026-01-02T03:04:05ZZ"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_true(iso(bad[i]) == UINT64_MAX);
}

static void amz_dates_read_exactly(void **state)
{
    uint64_t ms = 7;
    assert_int_equal(date_parse_amz(STR("20260102T030405Z"), &ms), 0);
    assert_true(ms == JAN_2_2026);
    const struct str bad[] = {STR("20260102T030405"),  STR("20260102t030405Z"),  STR("20260102"),
                              STR("20260132T030405Z"), STR("20260102T030405Z "), STR("")};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(date_parse_amz(bad[i], &ms), -EINVAL);
    assert_true(ms == JAN_2_2026);
}

static void every_form_prints(void **state)
{
    char text[DATE_HTTP_LEN];
    date_format_http(NOV_6_1994, text);
    assert_memory_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT", DATE_HTTP_LEN);
    date_format_iso(JAN_2_2026 + 7, text);
    assert_memory_equal(text, "2026-01-02T03:04:05.007Z", DATE_ISO_LEN);
    date_format_amz(JAN_2_2026, text);
    assert_memory_equal(text, "20260102T030405Z", DATE_AMZ_LEN);
    date_format_iso(UINT64_MAX, text);
    assert_memory_equal(text, "9999-12-31T23:59:59.999Z", DATE_ISO_LEN);
}

/* Steps of a prime number of seconds meet every kind of day; libc is the oracle. */
static void printing_agrees_with_libc_and_reads_back(void **state)
{
    for (uint64_t s = 0; s < DATE_MS_MAX / 1000; s += 86028121) {
        char want[64], got[DATE_HTTP_LEN];
        time_t t = (time_t)s;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        date_format_http(s * 1000, got);
        assert_memory_equal(got, want, DATE_HTTP_LEN);
        uint64_t back;
        assert_int_equal(date_parse_http(str_make(got, DATE_HTTP_LEN), 0, &back), 0);
        assert_true(back == s * 1000);
        date_format_iso(s * 1000 + s % 1000, got);
        assert_int_equal(date_parse_iso(str_make(got, DATE_ISO_LEN), &back), 0);
        assert_true(back == s * 1000 + s % 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_http_forms_read_alike),
        cmocka_unit_test(two_digit_years_are_at_most_fifty_ahead),
        cmocka_unit_test(dates_before_1970_read_as_zero),
        cmocka_unit_test(malformed_http_dates_are_refused),
        cmocka_unit_test(a_leap_second_reads_as_the_one_before),
        cmocka_unit_test(iso_dates_read_with_fraction_and_zone),
        cmocka_unit_test(amz_dates_read_exactly),
        cmocka_unit_test(every_form_prints),
        cmocka_unit_test(printing_agrees_with_libc_and_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
