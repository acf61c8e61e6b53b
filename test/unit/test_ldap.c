/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Filters and names of a directory: what a user gives must not become part of their form. */

#include "unit.h"

#include "iam/ldap.h"
#include "iam/tries.h"
#include <stdio.h>

static struct arena arena;

static struct str normal(const char *dn)
{
    return ldap_dn_normal(&arena, str_from(dn));
}

static void expect_filter(const char *form, struct str name, const char *dn, const char *expected)
{
    struct str made = ldap_filter(&arena, form, name, str_from(dn));
    assert_string_equal(made.ptr, expected);
}

static void what_is_no_letter_or_digit_is_escaped_in_a_filter(void **state)
{
    expect_filter("(uid=%s)", STR("dan7"), "", "(uid=dan7)");
    expect_filter("(uid=%s)", STR("*"), "", "(uid=\\2a)");
    expect_filter("(uid=%s)", STR("a)(|(uid=*"), "", "(uid=a\\29\\28\\7c\\28uid\\3d\\2a)");
    expect_filter("(uid=%s)", STR("a\\2a"), "", "(uid=a\\5c2a)");
    expect_filter("(uid=%s)", STR("a\0b"), "", "(uid=a\\00b)");
    expect_filter("(uid=%s)", STR("%d%s"), "cn=x", "(uid=\\25d\\25s)");
    expect_filter("(uid=%s)", STR("\xc3\xa9"), "", "(uid=\\c3\\a9)");
    expect_filter("(|(m=%d)(u=%s))100%", STR("u"), "cn=(x)", "(|(m=cn\\3d\\28x\\29)(u=u))100%");
}

/* Every byte, alone: nothing but letters, digits and escapes comes out. */
static void every_byte_keeps_a_filters_form(void **state)
{
    for (unsigned c = 0; c < 256; c++) {
        char byte = (char)c;
        struct str out = ldap_escape(&arena, str_make(&byte, 1));
        assert_true(out.len == 1 || (out.len == 3 && out.ptr[0] == '\\'));
        for (size_t i = 0; i < out.len; i++)
            assert_null(memchr("()*&|=!<>~\0 ", out.ptr[i], 12));
    }
}

static void equal_names_are_equal_bytes(void **state)
{
    static const char *const same[][2] = {
        {"uid=dan,dc=example", "UID = Dan , DC=Example"},
        {"uid=dan,dc=example", " uid=dan,dc=example "},
        {"cn=a b,dc=x", "CN=A B,dc=x"},
        {"cn=a\\,b,dc=x", "cn=a\\2Cb,dc=x"},
        {"cn=a+sn=b,dc=x", "cn=a + sn=b,dc=x"},
        {"cn=a\\=b,dc=x", "cn=a=b,dc=x"},
        {"cn=\\61,dc=x", "cn=a,dc=x"},
    };
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        struct str a = normal(same[i][0]), b = normal(same[i][1]);
        assert_non_null(a.ptr);
        assert_true(str_eq(a, b));
        assert_true(str_eq(a, ldap_dn_normal(&arena, a))); /* and stay so */
    }
}

static void different_names_stay_different(void **state)
{
    static const char *const names[] = {
        "uid=dan,dc=example",       "uid=dan\\,dc=example,dc=x", "uid=dan\\2cdc=example",
        "uid=dan,dc=example2",      "uid=da n,dc=example",       "uid=\\ dan,dc=example",
        "uid=dan\\ ,dc=example",    "uid=dan+dc=example",        "uid=dan\\+dc=example",
        "uid=dan,dc\\=example=",    "uid=\\00dan,dc=example",    "uid=#64616e,dc=example",
        "uid=\\#64616e,dc=example",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        for (size_t k = 0; k < i; k++) {
            struct str a = normal(names[i]), b = normal(names[k]);
            assert_true(!a.ptr || !b.ptr || !str_eq(a, b));
        }
}

static void what_is_no_name_is_refused(void **state)
{
    static const char *const bad[] = {"",          " ",
                                      "dan",       "uid=dan,",
                                      ",uid=dan",  "uid=a,,b=c",
                                      "uid=a\\",   "uid=a\\g",
                                      "uid=\"a\"", "a=b;c=d",
                                      "uid=\xff",  "uid=",
                                      "uid=a,b",   "uid=#0403666f6f",
                                      "uid= #04",  "a=b+uid=#0403666f6f,dc=x"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (normal(bad[i]).ptr)
            fail_msg("%s was taken", bad[i]);
    char longer[IAM_LDAP_DN_MAX + 8];
    memset(longer, 'a', sizeof(longer));
    memcpy(longer, "uid=", 4);
    assert_null(ldap_dn_normal(&arena, str_make(longer, sizeof(longer))).ptr);
    assert_null(ldap_dn_normal(&arena, STR("uid=a\0b")).ptr);
}

static unsigned taken(struct tries *t, const char *name, const char *address, unsigned wanted,
                      uint64_t now_ns)
{
    unsigned n = 0;
    while (n < wanted && tries_take(t, str_from(name), str_from(address), now_ns))
        n++;
    return n;
}

/* CVE-2026-33419 */
static void passwords_are_not_guessed_at_will(void **state)
{
    static struct tries t;
    uint64_t now = 1000 * RT_S;
    tries_init(&t);
    t.salt = 1; /* so that the slots are the same each time */
    assert_int_equal(taken(&t, "dan", "192.0.2.1", 1000, now), TRIES_OF_NAME);
    assert_true(taken(&t, "dan", "198.51.100.7", 1, now)); /* the user, from elsewhere */
    assert_false(taken(&t, "dan", "192.0.2.1", 1, now + 29 * RT_S));
    assert_int_equal(taken(&t, "dan", "192.0.2.1", 1000, now + 30 * RT_S), 1);
    assert_int_equal(taken(&t, "dan", "192.0.2.1", 1000, now + 3600 * RT_S), TRIES_OF_NAME);
}

static void what_was_well_done_does_not_count(void **state)
{
    static struct tries t;
    tries_init(&t);
    t.salt = 1; /* so that the slots are the same each time */
    for (unsigned i = 0; i < 10000; i++) {
        assert_true(tries_take(&t, STR("dan"), STR("192.0.2.1"), RT_S));
        tries_give_back(&t, STR("dan"), STR("192.0.2.1"));
    }
    assert_int_equal(taken(&t, "dan", "192.0.2.1", 1000, RT_S), TRIES_OF_NAME);
}

static unsigned names_from(struct tries *t, const char *form, uint64_t now_ns)
{
    char name[32], address[64];
    unsigned n = 0;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "user%u", i);
        snprintf(address, sizeof(address), form, i);
        n += taken(t, name, address, 1, now_ns);
    }
    return n;
}

/* Slots may be shared, so a few of the names may be refused for another's sake. */
static void many_names_from_one_network_have_a_limit_too(void **state)
{
    static struct tries t;
    tries_init(&t);
    t.salt = 1; /* so that the slots are the same each time */
    assert_true(names_from(&t, "192.0.2.1", RT_S) <= TRIES_OF_ADDRESS);
    assert_true(names_from(&t, "2001:db8:0:1::%x", RT_S) <= TRIES_OF_ADDRESS);
    assert_true(names_from(&t, "2001:db8:0:%x::1", RT_S) > 2 * TRIES_OF_ADDRESS);
}

static void a_configuration_that_would_give_passwords_away_is_refused(void **state)
{
    struct iam_ldap_config good = {.url = "ldaps://ldap.example.org",
                                   .bind_dn = "cn=lookup",
                                   .password = "secret",
                                   .user_base = "dc=example",
                                   .user_filter = "(uid=%s)"};
    struct iam_ldap_config c = good;
    assert_null(iam_ldap_config_fault(&c));
    c.url = "ldap://ldap.example.org";
    assert_non_null(iam_ldap_config_fault(&c));
    c.start_tls = true;
    assert_null(iam_ldap_config_fault(&c));
    c.url = good.url;
    assert_non_null(iam_ldap_config_fault(&c));
    c = good, c.password = "";
    assert_non_null(iam_ldap_config_fault(&c));
    c = good, c.bind_dn = "";
    assert_non_null(iam_ldap_config_fault(&c));
    c = good, c.user_filter = "(uid=dan)";
    assert_non_null(iam_ldap_config_fault(&c));
    c = good, c.user_filter = "uid=%s";
    assert_non_null(iam_ldap_config_fault(&c));
    c = good, c.group_base = "dc=example", c.group_filter = "(member=me)";
    assert_non_null(iam_ldap_config_fault(&c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_letter_or_digit_is_escaped_in_a_filter),
        cmocka_unit_test(every_byte_keeps_a_filters_form),
        cmocka_unit_test(equal_names_are_equal_bytes),
        cmocka_unit_test(different_names_stay_different),
        cmocka_unit_test(what_is_no_name_is_refused),
        cmocka_unit_test(passwords_are_not_guessed_at_will),
        cmocka_unit_test(what_was_well_done_does_not_count),
        cmocka_unit_test(many_names_from_one_network_have_a_limit_too),
        cmocka_unit_test(a_configuration_that_would_give_passwords_away_is_refused),
    };
    arena_init(&arena, 0);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    arena_release(&arena);
    return r;
}
