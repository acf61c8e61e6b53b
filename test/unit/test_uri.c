/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "test/unit/unit.h"
#include "base/error.h"
#include "wire/uri.h"

static int setup(void **state)
{
    static struct arena a;
    arena_init(&a, 0);
    *state = &a;
    return 0;
}

static int teardown(void **state)
{
    arena_release(*state);
    return 0;
}

static void decoding_gives_any_byte_and_keeps_plus(void **state)
{
    struct str out;
    assert_int_equal(uri_decode(*state, STR("a%2Fb%00%ff%C3%a9+c%25"), &out), 0);
    assert_true(str_eq(out, STR("a/b\0\xff\xc3\xa9+c%")));
    assert_int_equal(uri_decode(*state, STR("plain"), &out), 0);
    assert_true(str_eq(out, STR("plain")));
    assert_int_equal(uri_decode(*state, STR_NULL, &out), 0);
    assert_non_null(out.ptr);
    assert_int_equal(uri_decode_form(*state, STR("a+b%2B"), &out), 0);
    assert_true(str_eq(out, STR("a b+")));
}

static void bad_escapes_are_refused(void **state)
{
    const struct str bad[] = {STR("%"),   STR("a%2"), STR("%zz"),
                              STR("%2g"), STR("%-1"), STR("%%20")};
    struct str out = STR("untouched");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(uri_decode(*state, bad[i], &out), -ERR_INVALID_URI);
    assert_true(str_eq(out, STR("untouched")));
}

static void encoding_keeps_only_unreserved(void **state)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    uri_encode(&b, STR("azAZ09-._~/ +*%'()\xc3\xa9\x01"), true);
    assert_string_equal(b.data, "azAZ09-._~/%20%2B%2A%25%27%28%29%C3%A9%01");
    buf_reset(&b);
    uri_encode(&b, STR("a/b"), false);
    assert_string_equal(b.data, "a%2Fb");
}

static void encoding_then_decoding_is_identity(void **state)
{
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    uri_encode(&b, str_make(all, 256), false);
    struct str out;
    assert_int_equal(uri_decode(*state, buf_str(&b), &out), 0);
    assert_true(str_eq(out, str_make(all, 256)));
}

static void query_keeps_order_and_tells_empty_from_absent(void **state)
{
    struct uri_query q;
    assert_int_equal(uri_parse_query(*state, STR("&b=2&a&c=&&b=3&p=x+y%2B%3D=&=v"), &q), 0);
    assert_int_equal(q.count, 6);
    assert_true(str_eq(uri_query_get(&q, STR("b")), STR("2")));
    assert_true(uri_query_has(&q, STR("a")));
    assert_false(q.params[1].has_value);
    assert_non_null(uri_query_get(&q, STR("a")).ptr);
    assert_true(q.params[2].has_value);
    assert_true(str_eq(uri_query_get(&q, STR("p")), STR("x y+==")));
    assert_true(str_eq(uri_query_get(&q, STR("")), STR("v")));
    assert_true(q.params[5].has_value);
    assert_null(uri_query_get(&q, STR("B")).ptr);
    assert_int_equal(uri_parse_query(*state, STR_NULL, &q), 0);
    assert_int_equal(q.count, 0);
}

static void query_refuses_bad_escapes_and_too_many(void **state)
{
    struct uri_query q;
    assert_int_equal(uri_parse_query(*state, STR("a=%4"), &q), -ERR_INVALID_URI);
    assert_int_equal(uri_parse_query(*state, STR("%4=a"), &q), -ERR_INVALID_URI);
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    for (int i = 0; i < URI_PARAMS_MAX; i++)
        buf_put_cstr(&b, "&&a");
    assert_int_equal(uri_parse_query(*state, buf_str(&b), &q), 0);
    assert_int_equal(q.count, URI_PARAMS_MAX);
    buf_put_cstr(&b, "&b");
    assert_int_equal(uri_parse_query(*state, buf_str(&b), &q), -ERR_TOO_LARGE);
}

static void target_splits_at_the_first_question_mark(void **state)
{
    struct str path, query;
    uri_split(STR("/a?b?c"), &path, &query);
    assert_true(str_eq(path, STR("/a")) && str_eq(query, STR("b?c")));
    uri_split(STR("/a?"), &path, &query);
    assert_true(query.ptr && query.len == 0);
    uri_split(STR("/a"), &path, &query);
    assert_null(query.ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(decoding_gives_any_byte_and_keeps_plus, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_escapes_are_refused, setup, teardown),
        cmocka_unit_test(encoding_keeps_only_unreserved),
        cmocka_unit_test_setup_teardown(encoding_then_decoding_is_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(query_keeps_order_and_tells_empty_from_absent, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(query_refuses_bad_escapes_and_too_many, setup, teardown),
        cmocka_unit_test(target_splits_at_the_first_question_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
