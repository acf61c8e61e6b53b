/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* multipart/form-data: fields, the file behind them, and what is none. */

#include "unit.h"

#include "base/buf.h"
#include "base/error.h"
#include "wire/form.h"

#define B "BOUND"
#define FIELD(name, value) \
    "--" B "\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define FILE_HEAD                                                                               \
    "--" B "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"C:\\dir\\a.txt\"\r\n" \
    "Content-Type: text/plain\r\n\r\n"

static void boundaries_are_read(void **state)
{
    static const struct {
        const char *type, *want;
    } cases[] = {
        {"multipart/form-data; boundary=abc", "abc"},
        {"Multipart/Form-Data;charset=utf-8; BOUNDARY=\"a b:c\"", "a b:c"},
        {"multipart/form-data", NULL},
        {"multipart/form-data; boundary=", NULL},
        {"multipart/form-data; boundary=\"\"", NULL},
        {"multipart/form-data; boundary=a; boundary=b", NULL},
        {"multipart/form-data; boundary=\"a", NULL},
        {"multipart/form-data; boundary=\"a\xff\"", NULL},
        {"multipart/form-data; boundary=\"a \"", NULL},
        {"multipart/mixed; boundary=a", NULL},
        {"multipart/form-data; boundary="
         "12345678901234567890123456789012345678901234567890123456789012345678901",
         NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str b = STR_NULL;
        assert_int_equal(form_boundary(str_from(cases[i].type), &b),
                         cases[i].want ? 0 : -ERR_PARSE);
        assert_true(str_eq(b, str_from(cases[i].want)));
    }
}

static int parse(struct arena *a, struct str in, struct form_head *ret)
{
    return form_head_parse(a, STR(B), in, ret);
}

static void fields_come_before_the_file(void **state)
{
    struct arena a;
    struct form_head h;
    struct str in =
        STR(FIELD("key", "a\r\nb") FIELD("empty", "") FILE_HEAD "data\r\n--" B "--\r\n");
    arena_init(&a, 0);
    assert_int_equal(parse(&a, in, &h), 0);
    assert_int_equal(h.count, 2);
    assert_true(str_eq(h.fields[0].name, STR("key")) && str_eq(h.fields[0].value, STR("a\r\nb")));
    assert_true(str_eq(h.fields[1].value, STR("")));
    assert_true(str_eq(h.filename, STR("C:\\dir\\a.txt")));
    assert_true(str_starts(str_from_offset(in, h.data_off), STR("data\r\n")));
    for (size_t n = 0; n < h.data_off; n++) {
        struct form_head cut;
        assert_int_equal(parse(&a, str_prefix(in, n), &cut), -EAGAIN);
    }
    arena_release(&a);
}

#define PART(disposition) \
    "--" B "\r\nContent-Disposition: " disposition "\r\n\r\nx\r\n--" B "--\r\n"

static void what_is_no_form_is_refused(void **state)
{
    static const struct {
        const char *in;
        int want;
    } cases[] = {
        {FIELD("key", "a") "--" B "--\r\n", -ERR_NOT_FOUND},
        {"preamble\r\n" FILE_HEAD, -ERR_PARSE},
        {"--" B "x\r\n", -ERR_PARSE},
        {PART("form-data"), -ERR_PARSE},
        {PART("form-data; name=\"\""), -ERR_PARSE},
        {PART("form-data; name=\"a\"; name=\"b\""), -ERR_PARSE},
        {PART("attachment; name=\"a\""), -ERR_PARSE},
        {PART("form-data; name=\"a"), -ERR_PARSE},
        {PART("form-data; name=\"a\"; filename*=latin1'x'y"), -ERR_PARSE},
        {PART("form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\""), -ERR_PARSE},
        {PART("form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64"), -ERR_PARSE},
        {PART("form-data; name=\"a\"\r\n folded"), -ERR_PARSE},
        {"--" B "\r\nContent-Type: text/plain\r\n\r\nx\r\n--" B "--\r\n", -ERR_PARSE},
    };
    struct arena a;
    struct form_head h;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (parse(&a, str_from(cases[i].in), &h) != cases[i].want)
            fail_msg("%s", cases[i].in);
    arena_release(&a);
}

static void fields_have_a_limit(void **state)
{
    struct arena a;
    struct buf b;
    struct form_head h;
    arena_init(&a, 0);
    buf_init(&b, 0);
    for (unsigned i = 0; i <= FORM_FIELDS_MAX; i++) {
        struct buf whole;
        buf_init(&whole, 0);
        buf_put_str(&whole, buf_str(&b));
        buf_put_cstr(&whole, FILE_HEAD);
        assert_int_equal(parse(&a, buf_str(&whole), &h), 0);
        assert_int_equal(h.count, i);
        buf_release(&whole);
        buf_put_cstr(&b, FIELD("f", "v"));
    }
    buf_put_cstr(&b, FILE_HEAD);
    assert_int_equal(parse(&a, buf_str(&b), &h), -ERR_TOO_LARGE);
    buf_release(&b);
    arena_release(&a);
}

static void encoded_filenames_are_read(void **state)
{
    struct arena a;
    struct form_head h;
    arena_init(&a, 0);
    assert_int_equal(parse(&a,
                           STR("--" B "\r\nContent-Disposition: form-data; name=FILE; "
                               "filename*=UTF-8''%C3%A9%20x\r\n\r\n"),
                           &h),
                     0);
    assert_true(str_eq(h.filename, STR("é x")));
    arena_release(&a);
}

/* ---- the file ------------------------------------------------------------------------------- */

static int append(const void *data, size_t len, void *arg)
{
    buf_put(arg, data, len);
    return 0;
}

static bool file_is(const char *in, size_t step, struct str want)
{
    struct form_data d;
    struct buf b;
    struct str rest = str_from(in);
    buf_init(&b, 0);
    form_data_init(&d, STR(B));
    for (; rest.len; rest = str_from_offset(rest, MIN(step, rest.len)))
        assert_int_equal(form_data_feed(&d, str_prefix(rest, step), append, &b), 0);
    bool same = d.ended == (want.ptr != NULL) && (!want.ptr || str_eq(buf_str(&b), want));
    buf_release(&b);
    return same;
}

static void the_boundary_ends_the_file_however_it_is_cut(void **state)
{
    static const struct {
        const char *in;
        struct str want; /* ptr NULL: it does not end */
    } cases[] = {
        {"data\r\n--" B "--\r\n", STR("data")},
        {"\r\n--" B "--", STR("")},
        {"a\r\r\n-\r\n--BOUN\r\n--" B "\r\nmore fields", STR("a\r\r\n-\r\n--BOUN")},
        {"\r\n\r\n--" B, STR("\r\n")},
        {"\r\n--\r\n--" B "--", STR("\r\n--")},
        {"data\r\n--BOUN", STR_NULL},
        {"data", STR_NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t step = 1; step < 40; step++)
            if (!file_is(cases[i].in, step, cases[i].want))
                fail_msg("case %zu, step %zu", i, step);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boundaries_are_read),
        cmocka_unit_test(fields_come_before_the_file),
        cmocka_unit_test(what_is_no_form_is_refused),
        cmocka_unit_test(fields_have_a_limit),
        cmocka_unit_test(encoded_filenames_are_read),
        cmocka_unit_test(the_boundary_ends_the_file_however_it_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
