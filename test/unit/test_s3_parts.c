/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* The pure parts of the S3 door: ranges, checksums, tokens. */

#include "unit.h"

#include "base/error.h"
#include "s3/checksum.h"
#include "s3/config/cors.h"
#include "s3/post_policy.h"
#include "s3/range.h"
#include "s3/tags.h"
#include "s3/token.h"
#include "s3/config/website.h"

#include <stdio.h>

/* ---- ranges --------------------------------------------------------------------------------- */

static void range_cases(void **state)
{
    static const struct {
        const char *text;
        uint64_t size;
        enum range_result result;
        uint64_t off, len;
    } cases[] = {
        {"bytes=0-0", 10, RANGE_PART, 0, 1},
        {"bytes=2-5", 10, RANGE_PART, 2, 4},
        {"bytes=5-", 10, RANGE_PART, 5, 5},
        {"bytes=5-99", 10, RANGE_PART, 5, 5},
        {"bytes=-3", 10, RANGE_PART, 7, 3},
        {"bytes=-99", 10, RANGE_PART, 0, 10},
        {"BYTES=1-1", 10, RANGE_PART, 1, 1},
        {"bytes=0-18446744073709551615", 10, RANGE_PART, 0, 10},
        {"bytes=10-", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=10-20", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-0", 10, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=0-", 0, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-5", 0, RANGE_WHOLE, 0, 0},
        {"bytes=-0", 0, RANGE_UNSATISFIABLE, 0, 0},
        {"bytes= -5", 10, RANGE_WHOLE, 0, 0},
        {"", 10, RANGE_WHOLE, 0, 0},
        {"bytes=", 10, RANGE_WHOLE, 0, 0},
        {"bytes=-", 10, RANGE_WHOLE, 0, 0},
        {"bytes=5-2", 10, RANGE_WHOLE, 0, 0},
        {"bytes=0-1,3-4", 10, RANGE_WHOLE, 0, 0},
        {"bytes=a-b", 10, RANGE_WHOLE, 0, 0},
        {"bytes=18446744073709551616-", 10, RANGE_WHOLE, 0, 0},
        {"lines=0-1", 10, RANGE_WHOLE, 0, 0},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct byte_range r = {0, 0};
        enum range_result got = range_parse(str_from(cases[i].text), cases[i].size, &r);
        if (got != cases[i].result || r.off != cases[i].off || r.len != cases[i].len)
            fail_msg("%s of %d: %d %d+%d", cases[i].text, (int)cases[i].size, got, (int)r.off,
                     (int)r.len);
    }
}

static void copy_range_is_strict(void **state)
{
    static const char *const bad[] = {"0-2",         "bytes=0",      "bytes=hello-world",
                                      "bytes=0-bar", "bytes=hello-", "bytes=0-2,3-5",
                                      "bytes=-5",    "bytes=3-2",    ""};
    struct byte_range r;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(range_parse_copy(str_from(bad[i]), 10, &r), -EINVAL);
    assert_int_equal(range_parse_copy(STR("bytes=0-10"), 10, &r), -ERANGE);
    assert_int_equal(range_parse_copy(STR("bytes=2-9"), 10, &r), 0);
    assert_int_equal(r.off, 2);
    assert_int_equal(r.len, 8);
}

/* ---- checksums ------------------------------------------------------------------------------ */

/* Of "hello": values any S3 client computes. */
static void checksums_match_known_values(void **state)
{
    static const char sha512[] = "m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcj"
                                 "I8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw==";
    static const char *const known[STORE_CHECKSUM_KINDS] = {
        [STORE_CRC32] = "NhCmhg==",
        [STORE_CRC32C] = "mnG7TA==",
        [STORE_CRC64NVME] = "M3eFcAZSQlc=",
        [STORE_SHA1] = "qvTGHdzF6KLavt4PO0gs2a6pQ00=",
        [STORE_SHA256] = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
        [STORE_SHA512] = sha512,
        [STORE_MD5] = "XUFAKrxLKna5cZ2REBfFkg==",
        [STORE_XXHASH64] = "JseCfYifbaM=",
        [STORE_XXHASH3] = "lVXoVVxi3P0=",
        [STORE_XXHASH128] = "tenBrQcbPn/Hec+qXlI4GA==",
    };
    for (unsigned kind = 0; kind < STORE_CHECKSUM_KINDS; kind++) {
        struct s3_checksum c;
        char text[CHECKSUM_TEXT_MAX];
        assert_int_equal(s3_checksum_init(&c, kind), 0);
        s3_checksum_update(&c, "he", 2);
        s3_checksum_update(&c, "llo", 3);
        struct store_checksum value = s3_checksum_finish(&c);
        struct str got = s3_checksum_format(&value, 0, text);
        if (!str_eq(got, str_from(known[kind])))
            fail_msg("%s: %.*s", s3_checksum_name(kind), STR_FMT(got));
    }
}

static void checksum_text_round_trips(void **state)
{
    struct store_checksum c;
    char text[CHECKSUM_TEXT_MAX];
    uint32_t parts = 99;
    assert_int_equal(s3_checksum_parse(STORE_CRC32, STR("NhCmhg=="), &c, &parts), 0);
    assert_int_equal(parts, 0);
    assert_false(c.composite);
    assert_int_equal(s3_checksum_parse(STORE_CRC32, STR("NhCmhg==-12"), &c, &parts), 0);
    assert_int_equal(parts, 12);
    assert_true(c.composite);
    assert_true(str_eq(s3_checksum_format(&c, 12, text), STR("NhCmhg==-12")));
}

static void malformed_checksums_are_refused(void **state)
{
    static const char *const bad[] = {"",       "NhCmhg",      "NhCmhg==-",  "NhCmhg==-0",
                                      "AAAAA=", "NhCmhg==-x1", "NhCmhgAA==", "NhCmhg==-10001"};
    struct store_checksum c;
    uint32_t parts;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(s3_checksum_parse(STORE_CRC32, str_from(bad[i]), &c, &parts), -EINVAL);
}

static void kinds_compare_without_case(void **state)
{
    enum store_checksum_kind kind;
    assert_true(s3_checksum_kind_parse(STR("crc64NVME"), &kind));
    assert_int_equal(kind, STORE_CRC64NVME);
    assert_true(s3_checksum_kind_parse(STR("XXHash3"), &kind));
    assert_int_equal(kind, STORE_XXHASH3);
    assert_false(s3_checksum_kind_parse(STR("XXHASH"), &kind));
    assert_false(s3_checksum_kind_parse(STR("CRC"), &kind));
}

/* ---- tags ----------------------------------------------------------------------------------- */

static void tags_come_back_in_order(void **state)
{
    struct arena a;
    struct buf b;
    struct s3_tags t, again;
    struct s3_tags_fault fault;
    arena_init(&a, 0);
    buf_init(&b, 0);
    assert_int_equal(s3_tags_parse_header(&a, STR("foo=bar&bar&a%26=%3D+"), &t, &fault),
                     -ERR_INVALID_TAG);
    assert_true(fault.text.ptr && str_eq(fault.key, STR("a&")));
    assert_int_equal(s3_tags_parse_header(&a, STR("foo=bar&bar&a%2B=%3D+"), &t, &fault), 0);
    assert_int_equal(t.count, 3);
    assert_true(str_eq(t.pairs[0].name, STR("a+")) && str_eq(t.pairs[0].value, STR("= ")));
    assert_true(str_eq(t.pairs[1].name, STR("bar")) && t.pairs[1].value.len == 0);
    s3_tags_xml(&b, t.pairs, t.count);
    assert_int_equal(s3_tags_parse_xml(&a, buf_str(&b), 3, &again, &fault), 0);
    assert_int_equal(again.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(str_eq(again.pairs[i].name, t.pairs[i].name) &&
                    str_eq(again.pairs[i].value, t.pairs[i].value));
    assert_int_equal(s3_tags_parse_xml(&a, buf_str(&b), 2, &again, &fault), -ERR_INVALID_TAG);
    buf_release(&b);
    arena_release(&a);
}

static void tags_count_characters_not_bytes(void **state)
{
    struct arena a;
    struct s3_tags t;
    struct s3_tags_fault fault;
    arena_init(&a, 0);
    char text[2 * S3_TAG_KEY_MAX + 4];
    for (unsigned n = S3_TAG_KEY_MAX; n <= S3_TAG_KEY_MAX + 1; n++) {
        for (unsigned i = 0; i < n; i++)
            memcpy(text + 2 * i, "é", 2);
        assert_int_equal(s3_tags_parse_header(&a, str_make(text, 2 * (size_t)n), &t, &fault),
                         n == S3_TAG_KEY_MAX ? 0 : -ERR_INVALID_TAG);
    }
    arena_release(&a);
}

/* ---- CORS ----------------------------------------------------------------------------------- */

#define CORS_RULE(origin, method, more)                                         \
    "<CORSRule><AllowedOrigin>" origin "</AllowedOrigin><AllowedMethod>" method \
    "</AllowedMethod>" more "</CORSRule>"

static const struct s3_cors_rule *cors_asked(const struct s3_cors *c, const char *origin,
                                             const char *method, const char *headers, bool *any)
{
    return s3_cors_match(c, str_from(origin), str_from(method), str_from(headers), any);
}

static void cors_takes_the_first_rule_that_fits(void **state)
{
    struct arena a;
    struct s3_cors c;
    struct str why;
    bool any;
    arena_init(&a, 0);
    assert_int_equal(s3_cors_parse(&a,
                                   STR("<CORSConfiguration>" CORS_RULE(
                                       "http://a*z", "PUT", "<AllowedHeader>x-*</AllowedHeader>")
                                           CORS_RULE("*", "GET", "") CORS_RULE(
                                               "http://az", "GET", "") "</CORSConfiguration>"),
                                   &c, &why),
                     0);
    assert_ptr_equal(cors_asked(&c, "http://az", "PUT", "X-One, x-two", &any), &c.rules[0]);
    assert_false(any);
    assert_ptr_equal(cors_asked(&c, "http://az", "GET", NULL, &any), &c.rules[1]);
    assert_true(any);
    assert_null(cors_asked(&c, "http://z", "PUT", NULL, &any));
    assert_null(cors_asked(&c, "http://az", "PUT", "x-one, accept", &any));
    assert_null(cors_asked(&c, "http://AZ", "PUT", NULL, &any));
    assert_null(cors_asked(&c, "http://az", "put", NULL, &any));
    arena_release(&a);
}

static void cors_refuses_with_a_reason(void **state)
{
    struct arena a;
    struct s3_cors c;
    struct str why;
    arena_init(&a, 0);
    assert_int_equal(
        s3_cors_parse(&a,
                      STR("<CORSConfiguration>" CORS_RULE("*", "PATCH", "") "</CORSConfiguration>"),
                      &c, &why),
        -ERR_INVALID_REQUEST);
    assert_true(str_find(why, STR("PATCH"), 0) > 0);
    assert_int_equal(s3_cors_parse(&a, STR("<CORSConfiguration/>"), &c, &why), -ERR_MALFORMED_XML);
    assert_null(why.ptr);
    arena_release(&a);
}

/* ---- the policy of an upload form ----------------------------------------------------------- */

#define POST_POLICY(conditions) \
    "{\"expiration\":\"2030-01-01T00:00:00.000Z\",\"conditions\":[" conditions "]}"

static int post_test(const char *policy, uint64_t now_ms, const struct form_field *fields,
                     size_t count)
{
    struct s3_post_policy p;
    struct arena a;
    struct str why;
    arena_init(&a, 0);
    int r = s3_post_policy_parse(&a, str_from(policy), &p, &why);
    if (r == 0)
        r = s3_post_policy_test(&a, &p, fields, count, now_ms, &why);
    arena_release(&a);
    return r;
}

static void a_condition_that_failed_is_told_whole(void **state)
{
    struct form_field fields[] = {{STR("bucket"), STR("b")}, {STR("key"), STR("k")}};
    struct s3_post_policy p;
    struct arena a;
    struct str why;
    arena_init(&a, 0);
    const char *policy = POST_POLICY("{\"bucket\":\"b\"},[\"starts-with\",\"$key\",\"a\\\"b\"]");
    assert_int_equal(s3_post_policy_parse(&a, str_from(policy), &p, &why), 0);
    assert_int_equal(s3_post_policy_test(&a, &p, fields, 2, 0, &why), -ERR_ACCESS_DENIED);
    assert_true(str_ends(why, STR("failed: [\"starts-with\", \"$key\", \"a\\\"b\"]")));
    arena_release(&a);
}

static void post_policies_bind_every_field(void **state)
{
    const struct form_field fields[] = {{STR("bucket"), STR("b")},
                                        {STR("Key"), STR("user/x$")},
                                        {STR("x-ignore-me"), STR("1")},
                                        {STR("policy"), STR("...")}};
    static const struct {
        const char *policy;
        int want;
    } cases[] = {
        {POST_POLICY("{\"bucket\":\"b\"},[\"starts-with\",\"$key\",\"user/\"]"), 0},
        {POST_POLICY("{\"bucket\":\"b\",\"KEY\":\"user/x\\$\"}"), 0},
        {POST_POLICY("{\"bucket\":\"b\"},[\"EQ\",\"$key\",\"user/x$\"]"), 0},
        {POST_POLICY("{\"bucket\":\"b\"}"), -ERR_ACCESS_DENIED},
        {POST_POLICY("[\"starts-with\",\"$key\",\"\"]"), -ERR_ACCESS_DENIED},
        {POST_POLICY("{\"bucket\":\"B\"},[\"starts-with\",\"$key\",\"\"]"), -ERR_ACCESS_DENIED},
        {POST_POLICY("{\"bucket\":\"b\"},[\"eq\",\"$key\",\"user/\"]"), -ERR_ACCESS_DENIED},
        {POST_POLICY("{\"bucket\":\"b\"},[\"starts-with\",\"$key\",\"\"],{\"acl\":\"private\"}"),
         -ERR_ACCESS_DENIED},
        {POST_POLICY(""), -ERR_INVALID_POLICY_DOCUMENT},
        {POST_POLICY("[[[[[[[[[[[[]]]]]]]]]]]]"), -ERR_INVALID_POLICY_DOCUMENT},
        {POST_POLICY("[\"content-length-range\",1.5,2]"), -ERR_INVALID_POLICY_DOCUMENT},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (post_test(cases[i].policy, 1000, fields, ARRAY_LEN(fields)) != cases[i].want)
            fail_msg("%s", cases[i].policy);
    assert_int_equal(post_test(cases[0].policy, 1893456000000 - 1, fields, ARRAY_LEN(fields)), 0);
    assert_int_equal(post_test(cases[0].policy, 1893456000000, fields, ARRAY_LEN(fields)),
                     -ERR_ACCESS_DENIED);
}

/* ---- websites ------------------------------------------------------------------------------- */

#define SITE(rules)                                                 \
    STR("<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></" \
        "IndexDocument><RoutingRules>" rules "</RoutingRules></WebsiteConfiguration>")
#define SITE_RULE(condition, redirect) \
    "<RoutingRule>" condition "<Redirect>" redirect "</Redirect></RoutingRule>"
#define SITE_PREFIX(p) "<Condition><KeyPrefixEquals>" p "</KeyPrefixEquals></Condition>"

static bool leads_to(const struct s3_website_rule *r, const char *key, const char *want)
{
    struct buf b;
    buf_init(&b, 0);
    s3_website_location(&b, &r->to, r->prefix, str_from(key), STR("http"), STR("h:80"));
    bool same = str_eq(buf_str(&b), str_from(want));
    if (!same)
        fprintf(stderr, "%s\n", b.data);
    buf_release(&b);
    return same;
}

/* What was kept before fewer codes were taken is read as it is. */
static void website_codes_are_checked_when_they_are_new(void **state)
{
    struct arena a;
    struct s3_website s;
    struct str why;
    arena_init(&a, 0);
    assert_int_equal(s3_website_parse(&a,
                                      SITE(SITE_RULE("<Condition><HttpErrorCodeReturnedEquals>451</"
                                                     "HttpErrorCodeReturnedEquals></Condition>",
                                                     "<HttpRedirectCode>302</HttpRedirectCode>")),
                                      &s, &why),
                     0);
    assert_int_equal(s.rules[0].error, 451);
    assert_int_equal(s3_website_check(&a, &s, &why), -ERR_INVALID_REQUEST);
    assert_non_null(why.ptr);
    s.rules[0].error = 404;
    assert_int_equal(s3_website_check(&a, &s, &why), 0);
    s.rules[0].to.code = 306;
    assert_int_equal(s3_website_check(&a, &s, &why), -ERR_INVALID_REQUEST);
    arena_release(&a);
}

static void website_rules_replace_what_they_match(void **state)
{
    struct arena a;
    struct s3_website s;
    struct str why;
    arena_init(&a, 0);
    assert_int_equal(
        s3_website_parse(
            &a,
            SITE(SITE_RULE(SITE_PREFIX("a/"), "<ReplaceKeyPrefixWith>b c/</ReplaceKeyPrefixWith>")
                     SITE_RULE(SITE_PREFIX("k"), "<ReplaceKeyWith></ReplaceKeyWith>") SITE_RULE(
                         "<Condition><HttpErrorCodeReturnedEquals>404</"
                         "HttpErrorCodeReturnedEquals></Condition>",
                         "<HostName>x</HostName><HttpRedirectCode>307</HttpRedirectCode>")),
            &s, &why),
        0);
    assert_int_equal(s.rule_count, 3);
    assert_ptr_equal(s3_website_match(&s, STR("a/x"), 0), &s.rules[0]);
    assert_ptr_equal(s3_website_match(&s, STR("a/x"), 404), &s.rules[2]);
    assert_null(s3_website_match(&s, STR("a"), 0));
    assert_null(s3_website_match(&s, STR("a/x"), 403));
    assert_int_equal(s.rules[2].to.code, 307);
    assert_true(leads_to(&s.rules[0], "a/x y", "http://h:80/b%20c/x%20y"));
    assert_true(leads_to(&s.rules[1], "k/x", "http://h:80/"));
    assert_true(leads_to(&s.rules[2], "a\r\nb", "http://x/a%0D%0Ab"));
    arena_release(&a);
}

/* ---- tokens --------------------------------------------------------------------------------- */

static void token_resumes_exactly(void **state)
{
    static const char bytes[] = "\0\1\xff/+ é";
    struct bucket_id bucket = {7};
    for (size_t len = 0; len < sizeof(bytes); len++) {
        struct arena a;
        struct str after;
        arena_init(&a, 0);
        struct str token = s3_token_make(&a, bucket, str_make(bytes, len));
        assert_non_null(token.ptr);
        assert_true(str_find_char(token, '/', 0) < 0 && str_find_char(token, '+', 0) < 0 &&
                    str_find_char(token, '=', 0) < 0);
        assert_int_equal(s3_token_parse(&a, bucket, token, &after), 0);
        assert_true(str_eq(after, str_make(bytes, len)));
        arena_release(&a);
    }
}

static void mangled_or_foreign_token_is_refused(void **state)
{
    struct bucket_id bucket = {7}, other = {8};
    struct arena a;
    struct str after;
    arena_init(&a, 0);
    struct str token = s3_token_make(&a, bucket, STR("some/key"));
    assert_int_equal(s3_token_parse(&a, other, token, &after), -EINVAL);
    for (size_t i = 0; i < token.len; i++) {
        struct str mangled = arena_dup(&a, token);
        ((char *)mangled.ptr)[i] ^= 1;
        assert_int_equal(s3_token_parse(&a, bucket, mangled, &after), -EINVAL);
        assert_int_equal(s3_token_parse(&a, bucket, str_prefix(token, i), &after), -EINVAL);
    }
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(range_cases),
        cmocka_unit_test(copy_range_is_strict),
        cmocka_unit_test(checksums_match_known_values),
        cmocka_unit_test(checksum_text_round_trips),
        cmocka_unit_test(malformed_checksums_are_refused),
        cmocka_unit_test(kinds_compare_without_case),
        cmocka_unit_test(tags_come_back_in_order),
        cmocka_unit_test(tags_count_characters_not_bytes),
        cmocka_unit_test(website_codes_are_checked_when_they_are_new),
        cmocka_unit_test(website_rules_replace_what_they_match),
        cmocka_unit_test(post_policies_bind_every_field),
        cmocka_unit_test(a_condition_that_failed_is_told_whole),
        cmocka_unit_test(cors_takes_the_first_rule_that_fits),
        cmocka_unit_test(cors_refuses_with_a_reason),
        cmocka_unit_test(token_resumes_exactly),
        cmocka_unit_test(mangled_or_foreign_token_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
