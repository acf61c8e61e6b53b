/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* What reads as a date prints, and the print reads as the same moment; so does any number. */

#include "fuzz.h"
#include "wire/date.h"

#define NOW_MS 1767323045000ULL

static void check_prints(uint64_t ms)
{
    char text[DATE_HTTP_LEN];
    uint64_t back, second = ms - ms % 1000;
    date_format_http(ms, text);
    CHECK(date_parse_http(str_make(text, DATE_HTTP_LEN), NOW_MS, &back) == 0 && back == second);
    date_format_iso(ms, text);
    CHECK(date_parse_iso(str_make(text, DATE_ISO_LEN), &back) == 0 && back == ms);
    date_format_amz(ms, text);
    CHECK(date_parse_amz(str_make(text, DATE_AMZ_LEN), &back) == 0 && back == second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct str in = str_make(data, len);
    uint64_t ms = 0;
    memcpy(&ms, data, MIN(len, sizeof(ms)));
    check_prints(ms % (DATE_MS_MAX + 1));
    if (date_parse_http(in, NOW_MS, &ms) == 0)
        check_prints(ms);
    if (date_parse_iso(in, &ms) == 0)
        check_prints(ms);
    if (date_parse_amz(in, &ms) == 0)
        check_prints(ms);
    return 0;
}
