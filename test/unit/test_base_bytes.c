/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "test/unit/unit.h"
#include "base/encode.h"
#include "base/error.h"
#include "base/str.h"

static void compare_is_bytewise_and_shorter_first(void **state)
{
    assert_true(str_cmp(STR("a"), STR("a/")) < 0);
    assert_true(str_cmp(STR("a\xff"), STR("a~")) > 0);
    assert_true(str_cmp(STR(""), STR("")) == 0);
    assert_true(str_cmp(STR("a\0b"), STR("a\0c")) < 0);
}

static void case_folds_for_ascii_letters_only(void **state)
{
    assert_true(str_eq_nocase(STR("Content-LENGTH"), STR("content-length")));
    assert_false(str_eq_nocase(STR("a["), STR("a{")));
    assert_true(str_starts_nocase(STR("X-Amz-Meta-a"), STR("x-amz-meta-")));
}

/* Every pair of bytes, in a word of eight and in the rest after it. */
static void case_folds_alike_at_every_place(void **state)
{
    for (int x = 0; x < 256; x++) {
        for (int y = 0; y < 256; y++) {
            bool letters = (x | 32) == (y | 32) && (x | 32) >= 'a' && (x | 32) <= 'z';
            char a[9] = "aB-defgh", b[9] = "Ab-DEFGH";
            size_t at = (size_t)(x + y) % sizeof(a);
            a[at] = (char)x;
            b[at] = (char)y;
            assert_int_equal(str_eq_nocase(str_make(a, 9), str_make(b, 9)), x == y || letters);
        }
    }
}

static void cut_gives_every_field_once(void **state)
{
    struct str rest = STR("a,,b"), head;
    assert_true(str_cut(&rest, ',', &head) && str_eq(head, STR("a")));
    assert_true(str_cut(&rest, ',', &head) && str_eq(head, STR("")));
    assert_true(str_cut(&rest, ',', &head) && str_eq(head, STR("b")));
    assert_false(str_cut(&rest, ',', &head));
}

static void numbers_are_digits_without_overflow(void **state)
{
    uint64_t v = 7;
    assert_int_equal(str_to_u64(STR("18446744073709551615"), &v), 0);
    assert_true(v == UINT64_MAX);
    const struct str bad[] = {
        STR(""), STR("-1"), STR("+1"), STR("1 "), STR("18446744073709551616"), STR("0x1")};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(str_to_u64(bad[i], &v), -EINVAL);
    assert_true(v == UINT64_MAX);
}

static void find_stays_inside(void **state)
{
    assert_int_equal(str_find(STR("aXbX"), STR("X"), 2), 3);
    assert_int_equal(str_find(STR("abc"), STR("bcd"), 0), -1);
    assert_int_equal(str_find(STR("abc"), STR(""), 3), 3);
    assert_int_equal(str_find(STR_NULL, STR("x"), 0), -1); /* UBSan watches */
    assert_int_equal(str_find_char(STR("abc"), 'a', 1), -1);
}

static void utf8_follows_rfc_3629(void **state)
{
    assert_true(str_is_utf8(STR("caf\xc3\xa9 \xf0\x9f\xaa\xa8")));
    assert_false(str_is_utf8(STR("\xc0\xaf")));         /* overlong */
    assert_false(str_is_utf8(STR("\xed\xa0\x80")));     /* surrogate */
    assert_false(str_is_utf8(STR("\xf4\x90\x80\x80"))); /* beyond U+10FFFF */
    assert_false(str_is_utf8(STR("\xe2\x82")));         /* cut off */
}

/* Every byte at every place of a text of two blocks and a rest. */
static void hex_takes_digits_at_every_place_and_nothing_else(void **state)
{
    const struct str digits = STR("0123456789abcdefABCDEF");
    for (size_t at = 0; at < 34; at++) {
        for (int byte = 0; byte < 256; byte++) {
            char text[34], back[34];
            uint8_t value[17];
            memset(text, '7', sizeof(text));
            text[at] = (char)byte;
            bool digit = str_find_char(digits, (char)byte, 0) >= 0;
            int rc = hex_decode(str_make(text, sizeof(text)), value, sizeof(value));
            assert_int_equal(rc, digit ? 0 : -EINVAL);
            if (rc)
                continue;
            hex_encode(value, sizeof(value), back);
            assert_true(str_eq_nocase(str_make(text, sizeof(text)), str_make(back, sizeof(back))));
        }
    }
}

static void hex_and_base64_round_trip_and_refuse_the_rest(void **state)
{
    uint8_t bytes[40], back[40];
    char text[BASE64_LEN(40)];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 37);
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        size_t n = base64_encode(bytes, len, text), got = 99;
        assert_int_equal(n, BASE64_LEN(len));
        assert_int_equal(base64_decode(str_make(text, n), back, sizeof(back), &got), 0);
        assert_int_equal(got, len);
        assert_memory_equal(bytes, back, len);
    }
    size_t got;
    const struct str bad[] = {STR("a"),    STR("ab=c"), STR("===="),
                              STR("Zh=="), STR("Zm9="), STR("Zm9v ")};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(base64_decode(bad[i], back, sizeof(back), &got), -EINVAL);
    assert_int_equal(base64_decode(STR("Zm9v"), back, 2, &got), -EINVAL);
    assert_int_equal(hex_decode(STR("00fFa9"), back, 3), 0);
    assert_memory_equal(back, "\x00\xff\xa9", 3);
    assert_int_equal(hex_decode(STR("0g"), back, 1), -EINVAL);
    assert_int_equal(hex_decode(STR("000"), back, 1), -EINVAL);
}

static void big_endian_bytes_sort_as_numbers(void **state)
{
    uint8_t a[8], b[8];
    put_be64(a, 255);
    put_be64(b, 256);
    assert_true(memcmp(a, b, 8) < 0);
    assert_true(get_be64(b) == 256);
}

static void every_error_has_its_row(void **state)
{
    assert_string_equal(err_info(-ERR_NO_SUCH_KEY)->s3_code, "NoSuchKey");
    assert_int_equal(err_info(-ERR_INTERNAL)->http_status, 500);
    assert_int_equal(err_info(-ENOSPC)->http_status, 507);
    assert_string_equal(err_info(-EXDEV)->name, "INTERNAL");
    assert_int_equal(err_find("NO_SUCH_KEY"), ERR_NO_SUCH_KEY);
    assert_int_equal(err_find("ENOSPC"), ENOSPC);
    assert_int_equal(err_find("NO_SUCH"), 0);
    for (int code = ERR_FIRST_ + 1; code < ERR_LAST_; code++)
        assert_int_equal(err_info(-code)->code, code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compare_is_bytewise_and_shorter_first),
        cmocka_unit_test(case_folds_for_ascii_letters_only),
        cmocka_unit_test(case_folds_alike_at_every_place),
        cmocka_unit_test(cut_gives_every_field_once),
        cmocka_unit_test(numbers_are_digits_without_overflow),
        cmocka_unit_test(find_stays_inside),
        cmocka_unit_test(utf8_follows_rfc_3629),
        cmocka_unit_test(hex_takes_digits_at_every_place_and_nothing_else),
        cmocka_unit_test(hex_and_base64_round_trip_and_refuse_the_rest),
        cmocka_unit_test(big_endian_bytes_sort_as_numbers),
        cmocka_unit_test(every_error_has_its_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
