/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Lifecycle rules: what is a document, which rules fit, and when they are due. */

#include "unit.h"

#include "base/error.h"
#include "lifecycle/lifecycle.h"

#define DAY      LIFECYCLE_DAY_MS
#define MIDNIGHT (19000 * DAY)

#define CONFIG(rules)     "<LifecycleConfiguration>" rules "</LifecycleConfiguration>"
#define RULE(id, content) "<Rule><ID>" id "</ID><Status>Enabled</Status>" content "</Rule>"
#define DAYS(n)           "<Expiration><Days>" #n "</Days></Expiration>"
#define ABORT                                                                      \
    "<AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation>" \
    "</AbortIncompleteMultipartUpload>"
#define NONCURRENT(n, newer)                                               \
    "<NoncurrentVersionExpiration><NoncurrentDays>" #n "</NoncurrentDays>" \
    "<NewerNoncurrentVersions>" #newer "</NewerNoncurrentVersions></NoncurrentVersionExpiration>"
#define MOVE(n, class) \
    "<Transition><Days>" #n "</Days><StorageClass>" class "</StorageClass></Transition>"
#define MOVE_OLD(n, class)                             \
    "<NoncurrentVersionTransition><NoncurrentDays>" #n \
    "</NoncurrentDays><StorageClass>" class "</StorageClass></NoncurrentVersionTransition>"
#define TAG(k, v) "<Tag><Key>" k "</Key><Value>" v "</Value></Tag>"
#define ALL       "<Filter/>"

static struct arena arena;

static int setup(void **state)
{
    arena_init(&arena, 64 * MIB);
    return 0;
}

static int teardown(void **state)
{
    arena_release(&arena);
    return 0;
}

static struct lifecycle parsed(const char *text)
{
    struct lifecycle l;
    struct str why;
    int r = lifecycle_parse(&arena, str_from(text), &l, &why);
    if (r)
        fail_msg("%d %.*s: %s", r, STR_FMT(why), text);
    return l;
}

/* ---- the document --------------------------------------------------------------------------- */

static void documents_are_judged(void **state)
{
    static const struct {
        const char *text;
        int err;
    } cases[] = {
        {CONFIG(RULE("a", ALL DAYS(1))), 0},
        {CONFIG(RULE("a", "<Prefix>x</Prefix>" DAYS(1))), 0},
        {CONFIG(RULE("a", ALL ABORT)), 0},
        {CONFIG(RULE("a", ALL NONCURRENT(1, 100))), 0},
        {CONFIG(RULE("a", "<Filter>" TAG("k", "v") "</Filter>" DAYS(1))), 0},
        {CONFIG(RULE("a", ALL DAYS(1)) RULE("b", ALL DAYS(1))), 0},
        {CONFIG(""), -ERR_MALFORMED_XML},
        {"<Lifecycle/>", -ERR_MALFORMED_XML},
        {CONFIG(RULE("a", DAYS(1))), -ERR_MALFORMED_XML}, /* neither Filter nor Prefix */
        {CONFIG(RULE("a", ALL "<Prefix/>" DAYS(1))), -ERR_MALFORMED_XML},
        {CONFIG(RULE("a", ALL DAYS(1) DAYS(1))), -ERR_MALFORMED_XML},
        {CONFIG(RULE("a", ALL DAYS(1) "<Else/>")), -ERR_MALFORMED_XML},
        {CONFIG("<Rule><Status>enabled</Status>" ALL DAYS(1) "</Rule>"), -ERR_MALFORMED_XML},
        {CONFIG("<Rule>" ALL DAYS(1) "</Rule>"), -ERR_MALFORMED_XML},
        {CONFIG(RULE("a", "<Filter><Prefix>a</Prefix>" TAG("k", "v") "</Filter>" DAYS(1))),
         -ERR_MALFORMED_XML}, /* without And */
        {CONFIG(RULE("a", ALL "<Expiration/>")), -ERR_MALFORMED_XML},
        {CONFIG(RULE("a", ALL "<Expiration><Days>1</Days><Date>2030-01-01</Date></Expiration>")),
         -ERR_MALFORMED_XML},
        {CONFIG(RULE("a", ALL DAYS(x))), -ERR_MALFORMED_XML},
        {CONFIG(RULE("a", ALL DAYS(2147483648))), -ERR_MALFORMED_XML},
        {CONFIG(RULE("a", ALL DAYS(0))), -ERR_INVALID_ARGUMENT},
        {CONFIG(RULE("a", ALL DAYS(-1))), -ERR_INVALID_ARGUMENT},
        {CONFIG(RULE("a", ALL NONCURRENT(0, 1))), -ERR_INVALID_ARGUMENT},
        {CONFIG(RULE("a", ALL NONCURRENT(1, 101))), -ERR_INVALID_ARGUMENT},
        {CONFIG(RULE("a", ALL "<Expiration><Date>2030-01-01T00:00:01Z</Date></Expiration>")),
         -ERR_INVALID_ARGUMENT},
        {CONFIG(RULE("a", ALL DAYS(1)) RULE("a", ALL DAYS(2))), -ERR_INVALID_ARGUMENT},
        {CONFIG(RULE("a", ALL)), -ERR_INVALID_REQUEST},
        {CONFIG(RULE("a", "<Filter>" TAG("k", "v") "</Filter>" ABORT)), -ERR_INVALID_REQUEST},
        {CONFIG(RULE(
             "a",
             "<Filter>" TAG("k", "v") "</Filter><Expiration>"
                                      "<ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker>"
                                      "</Expiration>")),
         -ERR_INVALID_REQUEST},
        {CONFIG(RULE("a", "<Filter><And>" TAG("k", "v") TAG("k", "w") "</And></Filter>" DAYS(1))),
         -ERR_INVALID_REQUEST},
        {CONFIG(RULE("a", "<Filter><And><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan>"
                          "<ObjectSizeLessThan>5</ObjectSizeLessThan></And></Filter>" DAYS(1))),
         -ERR_INVALID_REQUEST},
        {CONFIG(RULE("a", ALL MOVE(0, "GLACIER"))), 0},
        {CONFIG(RULE("a", ALL MOVE(30, "STANDARD_IA") MOVE(60, "GLACIER") DAYS(61))), 0},
        {CONFIG(RULE("a", ALL MOVE(2, "WARM") MOVE(1, "COLD") MOVE(1, "GLACIER"))), 0},
        {CONFIG(RULE("a", ALL MOVE_OLD(1, "COLD") NONCURRENT(2, 1))), 0},
        {CONFIG(RULE("a", ALL "<Transition><Days>1</Days></Transition>")), -ERR_MALFORMED_XML},
        {CONFIG(RULE("a", ALL "<NoncurrentVersionTransition/>")), -ERR_MALFORMED_XML},
        {CONFIG(RULE("a", ALL MOVE(1, "STANDARD"))), -ERR_MALFORMED_XML},
        {CONFIG(RULE("a", ALL MOVE(1, ""))), -ERR_MALFORMED_XML},
        {CONFIG(RULE("a", ALL MOVE(x, "COLD"))), -ERR_MALFORMED_XML},
        {CONFIG(RULE("a", ALL MOVE(-1, "COLD"))), -ERR_INVALID_ARGUMENT},
        {CONFIG(RULE("a", ALL MOVE(29, "ONEZONE_IA"))), -ERR_INVALID_ARGUMENT},
        {CONFIG(RULE("a", ALL MOVE(30, "STANDARD_IA") MOVE(59, "GLACIER"))), -ERR_INVALID_ARGUMENT},
        {CONFIG(RULE("a", ALL MOVE(9, "DEEP_ARCHIVE") MOVE(9, "GLACIER"))), -ERR_INVALID_ARGUMENT},
        {CONFIG(RULE("a", ALL MOVE(1, "COLD") MOVE(2, "COLD"))), -ERR_INVALID_REQUEST},
        {CONFIG(RULE("a", ALL MOVE(5, "COLD") DAYS(5))), -ERR_INVALID_ARGUMENT},
        {CONFIG(RULE("a", ALL MOVE_OLD(2, "COLD") NONCURRENT(2, 1))), -ERR_INVALID_ARGUMENT},
        {CONFIG(RULE("a", ALL "<Transition><Date>2030-01-01</Date><StorageClass>COLD</StorageClass>"
                              "</Transition>" DAYS(5))),
         -ERR_INVALID_REQUEST},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct lifecycle l;
        struct str why;
        int r = lifecycle_parse(&arena, str_from(cases[i].text), &l, &why);
        if (r != cases[i].err)
            fail_msg("%d, not %d: %s", r, cases[i].err, cases[i].text);
    }
}

static int parse_many(size_t count, size_t id_len)
{
    struct buf b;
    struct lifecycle l;
    struct str why;
    buf_init(&b, 0);
    buf_put_cstr(&b, "<LifecycleConfiguration>");
    for (size_t i = 0; i < count; i++)
        buf_printf(
            &b,
            "<Rule><ID>%0*zu</ID><Prefix>p%zu/</Prefix><Status>Enabled</Status>" DAYS(1) "</Rule>",
            (int)id_len, i, i);
    buf_put_cstr(&b, "</LifecycleConfiguration>");
    int r = lifecycle_parse(&arena, buf_str(&b), &l, &why);
    buf_release(&b);
    return r;
}

static void rules_and_ids_have_limits(void **state)
{
    assert_int_equal(parse_many(1000, 4), 0);
    assert_int_equal(parse_many(1001, 4), -ERR_MALFORMED_XML);
    assert_int_equal(parse_many(1, 255), 0);
    assert_int_equal(parse_many(1, 256), -ERR_INVALID_ARGUMENT);
}

static void what_is_read_is_written(void **state)
{
    struct lifecycle l = parsed(
        CONFIG("<Rule><Prefix>logs/</Prefix><Status>Disabled</Status>" DAYS(3) "</Rule>" RULE(
            "b",
            "<Filter><And><Prefix>x</Prefix>" TAG("k", "v") "</And></Filter><Expiration>"
                                                            "<Date>2030-01-01</Date></Expiration>")
                   RULE("c", ALL MOVE(0, "COLD") MOVE(7, "COLDER") MOVE_OLD(3, "COLD"))));
    struct buf one, two;
    buf_init(&one, 0);
    buf_init(&two, 0);
    l.minimum = LIFECYCLE_MINIMUM_VARIES;
    lifecycle_xml(&one, &l);
    l = parsed(one.data);
    assert_int_equal(l.minimum, LIFECYCLE_MINIMUM_VARIES);
    lifecycle_xml(&two, &l);
    assert_string_equal(one.data, two.data);
    assert_non_null(strstr(one.data, "<Date>2030-01-01T00:00:00.000Z</Date>"));
    assert_non_null(strstr(one.data, "<ID>rule-1-"));
    assert_false(l.rules[0].enabled);
    buf_release(&one);
    buf_release(&two);
}

/* ---- when ----------------------------------------------------------------------------------- */

static void days_end_at_midnight(void **state)
{
    assert_int_equal(lifecycle_due_ms(MIDNIGHT, 1, DAY), MIDNIGHT + DAY);
    assert_int_equal(lifecycle_due_ms(MIDNIGHT + 1, 1, DAY), MIDNIGHT + 2 * DAY);
    assert_int_equal(lifecycle_due_ms(MIDNIGHT + DAY - 1, 3, DAY), MIDNIGHT + 4 * DAY);
    assert_int_equal(lifecycle_due_ms(10500, 2, 1000), 13000); /* a day of a second */
    assert_true(lifecycle_due_ms(UINT64_MAX - 5, 1, DAY) == LIFECYCLE_NEVER);
}

static uint64_t expiry(const struct lifecycle *l, const char *key, uint64_t len, const char *tag,
                       const char **ret_id)
{
    struct store_pair pair = {STR("k"), str_from(tag)};
    struct lifecycle_subject s = {.key = str_from(key),
                                  .sized = true,
                                  .len_bytes = len,
                                  .tags = &pair,
                                  .tag_count = tag ? 1 : 0};
    struct lifecycle_due due;
    assert_int_equal(lifecycle_expiry(l, &s, MIDNIGHT, DAY, &due), 0);
    *ret_id = due.rule ? arena_cstr(&arena, due.rule->id) : "";
    return due.rule ? (due.due_ms - MIDNIGHT) / DAY : 0;
}

static void the_earliest_rule_that_fits_counts(void **state)
{
    struct lifecycle l = parsed(CONFIG(
        RULE("all", ALL DAYS(30)) RULE("a", "<Filter><Prefix>a</Prefix></Filter>" DAYS(9))
            RULE("abc", "<Filter><Prefix>abc</Prefix></Filter>" DAYS(40))
                RULE("ab", "<Filter><Prefix>ab</Prefix></Filter>" DAYS(5))
                    RULE("tag", "<Filter>" TAG("k", "v") "</Filter>" DAYS(3)) RULE(
                        "big",
                        "<Filter><ObjectSizeGreaterThan>100</ObjectSizeGreaterThan></Filter>" DAYS(
                            2)) "<Rule><Status>Disabled</Status>" ALL DAYS(1) "</Rule>"));
    const struct {
        const char *key;
        uint64_t len;
        const char *tag, *id;
        uint64_t days;
    } cases[] = {
        {"z", 0, NULL, "all", 30}, {"a", 0, NULL, "a", 9},     {"aa", 0, NULL, "a", 9},
        {"ab", 0, NULL, "ab", 5},  {"abcd", 0, NULL, "ab", 5}, {"abd", 0, NULL, "ab", 5},
        {"ac", 0, NULL, "a", 9},   {"abcd", 0, "v", "tag", 3}, {"abcd", 0, "w", "ab", 5},
        {"z", 100, "v", "tag", 3}, {"z", 101, "v", "big", 2},  {"b", 100, NULL, "all", 30},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *id;
        uint64_t days = expiry(&l, cases[i].key, cases[i].len, cases[i].tag, &id);
        if (days != cases[i].days || strcmp(id, cases[i].id) != 0)
            fail_msg("%s: %d by %s", cases[i].key, (int)days, id);
    }
}

/* Every rule by every key, against the plain reading. */
static void chains_find_what_a_walk_over_all_finds(void **state)
{
    struct buf b;
    uint64_t x = 7;
    buf_init(&b, 0);
    buf_put_cstr(&b, "<LifecycleConfiguration>");
    for (int i = 0; i < 300; i++) {
        buf_printf(&b, "<Rule><Prefix>");
        x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        for (uint64_t bits = x >> 33, n = (x >> 60) % 7; n; n--, bits >>= 1)
            buf_put_char(&b, bits & 1 ? 'b' : 'a');
        buf_printf(&b,
                   "</Prefix><Status>Enabled</Status><Expiration><Days>%d</Days></Expiration>"
                   "</Rule>",
                   (int)((x >> 20) % 500) + 1);
    }
    buf_put_cstr(&b, "</LifecycleConfiguration>");
    struct lifecycle l = parsed(b.data);
    for (unsigned k = 0; k < 256; k++) {
        char key[9] = {0};
        uint64_t least = UINT64_MAX;
        for (int i = 0; i < 8; i++)
            key[i] = k >> i & 1 ? 'b' : 'a';
        const char *id;
        for (size_t i = 0; i < l.count; i++)
            if (str_starts(str_from(key), l.rules[i].prefix))
                least = MIN(least, l.rules[i].days);
        assert_int_equal(expiry(&l, key, 1, NULL, &id), least == UINT64_MAX ? 0 : least);
    }
    buf_release(&b);
}

static int loads;
static int load(struct lifecycle_subject *s)
{
    loads++;
    return s->arg ? -EIO : 0;
}

static void tags_are_loaded_only_when_asked_for(void **state)
{
    struct lifecycle l = parsed(CONFIG(RULE("a", "<Filter><And><Prefix>t/</Prefix>" TAG("k", "v")
                                                     TAG("l", "w") "</And></Filter>" DAYS(1))));
    struct lifecycle_due due;
    struct lifecycle_subject s = {.key = STR("x"), .sized = true, .load = load};
    loads = 0;
    assert_int_equal(lifecycle_expiry(&l, &s, MIDNIGHT, DAY, &due), 0);
    assert_int_equal(loads, 0);
    s.key = STR("t/1");
    assert_int_equal(lifecycle_expiry(&l, &s, MIDNIGHT, DAY, &due), 0);
    assert_int_equal(loads, 1);
    assert_null(due.rule);
    s = (struct lifecycle_subject){.key = STR("t/1"), .load = load, .arg = &l};
    assert_int_equal(lifecycle_expiry(&l, &s, MIDNIGHT, DAY, &due), -EIO);
}

static uint64_t noncurrent(const struct lifecycle *l, uint64_t newer)
{
    struct lifecycle_subject s = {.key = STR("k"), .sized = true};
    struct lifecycle_due due;
    assert_int_equal(lifecycle_noncurrent(l, &s, MIDNIGHT, newer, DAY, &due), 0);
    return due.due_ms;
}

static void newer_versions_are_kept(void **state)
{
    struct lifecycle l = parsed(CONFIG(RULE("a", ALL NONCURRENT(4, 3))));
    assert_true(noncurrent(&l, 0) == LIFECYCLE_NEVER);
    assert_true(noncurrent(&l, 2) == LIFECYCLE_NEVER);
    assert_true(noncurrent(&l, 3) == MIDNIGHT + 4 * DAY);
}

static const char *class_at(const struct lifecycle *l, const char *key, unsigned days)
{
    struct lifecycle_subject s = {.key = str_from(key), .sized = true};
    struct str class;
    assert_int_equal(lifecycle_class(l, &s, MIDNIGHT - DAY / 2, MIDNIGHT + days * DAY, DAY, &class),
                     0);
    return class.ptr ? arena_cstr(&arena, class) : "";
}

static bool moves_at(const struct lifecycle *l, const char *key, uint64_t len_bytes)
{
    struct lifecycle_subject s = {.key = str_from(key), .sized = true, .len_bytes = len_bytes};
    struct str class, noncurrent;
    uint64_t now_ms = MIDNIGHT + 100 * DAY;
    assert_int_equal(lifecycle_class(l, &s, MIDNIGHT, now_ms, DAY, &class), 0);
    assert_int_equal(lifecycle_noncurrent_class(l, &s, MIDNIGHT, 0, now_ms, DAY, &noncurrent), 0);
    assert_null(noncurrent.ptr);
    return class.ptr;
}

/* A rule with a size is not held back, and S3's archives take anything where it varies. */
static void what_is_small_stays_where_a_minimum_says_so(void **state)
{
    struct lifecycle l = parsed(
        CONFIG(RULE("a", "<Prefix>a</Prefix>" MOVE(1, "WARM"))
                   RULE("b", "<Prefix>b</Prefix>" MOVE(1, "GLACIER"))
                       RULE("c", "<Filter><And><Prefix>c</Prefix><ObjectSizeGreaterThan>1"
                                 "</ObjectSizeGreaterThan></And></Filter>" MOVE(1, "WARM"))));
    assert_int_equal(l.minimum, LIFECYCLE_MINIMUM_NONE);
    assert_true(moves_at(&l, "a", 0) && moves_at(&l, "b", 0) && moves_at(&l, "c", 2));
    l.minimum = LIFECYCLE_MINIMUM_ALL;
    assert_false(moves_at(&l, "a", 131071) || moves_at(&l, "b", 131071));
    assert_true(moves_at(&l, "a", 131072) && moves_at(&l, "b", 131072) && moves_at(&l, "c", 2));
    l.minimum = LIFECYCLE_MINIMUM_VARIES;
    assert_false(moves_at(&l, "a", 131071));
    assert_true(moves_at(&l, "b", 0) && moves_at(&l, "c", 2));
}

static void the_coldest_class_that_is_due_counts(void **state)
{
    struct lifecycle l =
        parsed(CONFIG(RULE("a", ALL MOVE(40, "STANDARD_IA") MOVE(70, "DEEP_ARCHIVE"))
                          RULE("b", "<Prefix>x</Prefix>" MOVE(30, "GLACIER"))
                              RULE("c", "<Prefix>own</Prefix>" MOVE(1, "WARM") MOVE(5, "WARMER"))));
    assert_true(l.moves && !l.moves_noncurrent && !l.expires);
    const struct {
        const char *key;
        unsigned days;
        const char *class;
    } cases[] = {
        {"k", 39, ""},
        {"k", 40, "STANDARD_IA"},
        {"k", 69, "STANDARD_IA"},
        {"k", 70, "DEEP_ARCHIVE"},
        {"x", 29, ""},
        {"x", 30, "GLACIER"},
        {"x", 50, "GLACIER"},
        {"x", 70, "DEEP_ARCHIVE"},
        {"own", 0, ""},
        {"own", 1, "WARM"},
        {"own", 5, "WARMER"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (strcmp(class_at(&l, cases[i].key, cases[i].days), cases[i].class) != 0)
            fail_msg("%s at %u: %s", cases[i].key, cases[i].days,
                     class_at(&l, cases[i].key, cases[i].days));
}

static void newer_versions_stay_where_they_are(void **state)
{
    struct lifecycle l = parsed(CONFIG(RULE(
        "a", ALL "<NoncurrentVersionTransition><NoncurrentDays>2</NoncurrentDays><StorageClass>COLD"
                 "</StorageClass><NewerNoncurrentVersions>3</NewerNoncurrentVersions>"
                 "</NoncurrentVersionTransition>")));
    struct lifecycle_subject s = {.key = STR("k"), .sized = true};
    struct str class;
    uint64_t now = MIDNIGHT + 2 * DAY;
    assert_int_equal(lifecycle_noncurrent_class(&l, &s, MIDNIGHT, 2, now, DAY, &class), 0);
    assert_null(class.ptr);
    assert_int_equal(lifecycle_noncurrent_class(&l, &s, MIDNIGHT, 3, now, DAY, &class), 0);
    assert_true(str_eq(class, STR("COLD")));
    assert_int_equal(lifecycle_noncurrent_class(&l, &s, MIDNIGHT, 3, now - 1, DAY, &class), 0);
    assert_null(class.ptr);
}

static uint64_t marker(const char *text, const char *key)
{
    struct lifecycle l = parsed(text);
    struct lifecycle_due due;
    assert_int_equal(lifecycle_marker(&l, str_from(key), MIDNIGHT, DAY, &due), 0);
    return due.due_ms;
}

static void markers_go_at_once_or_with_the_days(void **state)
{
#define MARKER(word) \
    "<Expiration><ExpiredObjectDeleteMarker>" word "</ExpiredObjectDeleteMarker></Expiration>"
    assert_true(marker(CONFIG(RULE("a", ALL MARKER("true"))), "k") == MIDNIGHT);
    assert_true(marker(CONFIG(RULE("a", ALL MARKER("false"))), "k") == LIFECYCLE_NEVER);
    assert_true(marker(CONFIG(RULE("a", ALL DAYS(6))), "k") == MIDNIGHT + 6 * DAY);
    assert_true(marker(CONFIG(RULE("a", "<Prefix>x</Prefix>" DAYS(6))), "k") == LIFECYCLE_NEVER);
    assert_true(marker(CONFIG(RULE("a", ALL NONCURRENT(1, 1))), "k") == LIFECYCLE_NEVER);
}

static void uploads_are_not_found_by_size(void **state)
{
    struct lifecycle l =
        parsed(CONFIG(RULE("a", "<Filter><ObjectSizeLessThan>9</ObjectSizeLessThan></Filter>" ABORT)
                          RULE("b", "<Prefix>u/</Prefix>" ABORT)));
    struct lifecycle_due due;
    assert_int_equal(lifecycle_abort(&l, STR("k"), MIDNIGHT, DAY, &due), 0);
    assert_null(due.rule);
    assert_int_equal(lifecycle_abort(&l, STR("u/k"), MIDNIGHT + 5, DAY, &due), 0);
    assert_true(due.due_ms == MIDNIGHT + 3 * DAY);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(documents_are_judged),
        T(rules_and_ids_have_limits),
        T(what_is_read_is_written),
        T(days_end_at_midnight),
        T(the_earliest_rule_that_fits_counts),
        T(chains_find_what_a_walk_over_all_finds),
        T(tags_are_loaded_only_when_asked_for),
        T(newer_versions_are_kept),
        T(what_is_small_stays_where_a_minimum_says_so),
        T(the_coldest_class_that_is_due_counts),
        T(newer_versions_stay_where_they_are),
        T(markers_go_at_once_or_with_the_days),
        T(uploads_are_not_found_by_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
