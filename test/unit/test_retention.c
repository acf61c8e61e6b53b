/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Retention by class of data: the document, which rule fits, and what it makes of a lock. */

#include "unit.h"

#include "base/error.h"
#include "lifecycle/retention.h"

#define NOW 1700000000000ULL

static int parse(const char *text, struct retention *ret)
{
    return retention_parse(NULL, str_from(text), ret);
}

static void what_is_no_document_is_refused(void **state)
{
    static const char *const bad[] = {
        "restricted COMPLIANCE 30 365",
        "secret NONE 0 4\n",
        "public NONE 0 0\n",
        "public NONE 3 4\n",
        "public GOVERNANCE 0 4\n",
        "public GOVERNANCE 5 4\n",
        "public NONE 0 36501\n",
        "public NONE 0 04\n",
        "public NONE 0 4 \n",
        "public NONE 0\n",
        "\n",
        "public  NONE 0 4\n",
        "public NONE 0 4\npublic NONE 0 4\n",
        "internal NONE 0 4\npublic NONE 0 4\n",
    };
    struct retention r;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(parse(bad[i], &r), -ERR_CORRUPT);
    assert_int_equal(parse("", &r), 0);
    assert_int_equal(parse("public NONE 0 1\nrestricted COMPLIANCE 30 0\n", &r), 0);
    assert_int_equal(r.rules[DATA_CLASS_RESTRICTED].min_days, 30);
    assert_true(retention_rule_is_empty(&r.rules[DATA_CLASS_INTERNAL]));
}

static void a_rule_is_found_by_the_tag(void **state)
{
    struct retention r;
    struct store_pair tags[] = {{STR("a"), STR("restricted")}, {RETENTION_TAG, STR("restricted")}};
    assert_int_equal(parse("restricted COMPLIANCE 30 0\n", &r), 0);
    assert_ptr_equal(retention_find(&r, tags, 2), &r.rules[DATA_CLASS_RESTRICTED]);
    assert_null(retention_find(&r, tags, 1));
    assert_null(retention_find(NULL, tags, 2));
    tags[1].value = STR("public");
    assert_null(retention_find(&r, tags, 2));
}

static void a_lock_is_strengthened_and_never_weakened(void **state)
{
    const struct retention_rule rule = {STORE_RETENTION_GOVERNANCE, 10, 0};
    const struct retention_rule none = {STORE_RETENTION_NONE, 0, 10};
    uint64_t until = NOW + 10 * RETENTION_DAY_MS;
    struct store_lock lock = {STORE_RETENTION_NONE, 0, STORE_HOLD_OFF};
    retention_lock(&none, NOW, &lock);
    assert_int_equal(lock.retention, STORE_RETENTION_NONE);
    retention_lock(&rule, NOW, &lock);
    assert_int_equal(lock.retention, STORE_RETENTION_GOVERNANCE);
    assert_true(lock.until_ms == until);
    lock = (struct store_lock){STORE_RETENTION_COMPLIANCE, NOW + 1, STORE_HOLD_ON};
    retention_lock(&rule, NOW, &lock);
    assert_int_equal(lock.retention, STORE_RETENTION_COMPLIANCE);
    assert_true(lock.until_ms == until && lock.hold == STORE_HOLD_ON);
    lock = (struct store_lock){STORE_RETENTION_GOVERNANCE, until + 1, STORE_HOLD_OFF};
    retention_lock(&rule, NOW, &lock);
    assert_true(lock.until_ms == until + 1);
}

static void what_is_older_than_the_most_is_cut_off(void **state)
{
    const struct retention_rule rule = {STORE_RETENTION_NONE, 0, 2}, none = {0};
    assert_true(retention_cutoff_ms(&rule, NOW, 1000) == NOW - 2000);
    assert_true(retention_cutoff_ms(&rule, 1999, 1000) == 0);
    assert_true(retention_cutoff_ms(&none, NOW, 1000) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_document_is_refused),
        cmocka_unit_test(a_rule_is_found_by_the_tag),
        cmocka_unit_test(a_lock_is_strengthened_and_never_weakened),
        cmocka_unit_test(what_is_older_than_the_most_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
