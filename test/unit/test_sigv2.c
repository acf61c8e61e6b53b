/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Signature Version 2: AWS's own examples, and what must not pass. */

#include <stdio.h>
#include "unit.h"

#include "base/encode.h"
#include "base/error.h"
#include "wire/date.h"
#include "wire/sigv2.h"

#define KEY    "AKIAIOSFODNN7EXAMPLE"
#define SECRET STR("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")

/* The examples of the API reference, "Authentication examples". */
static const struct {
    const char *head, *bucket_path, *date;
    const char *to_sign; /* its resource, for messages */
} examples[] = {
    {"GET /photos/puppy.jpg HTTP/1.1\r\nHost: awsexamplebucket1.us-west-1.s3.amazonaws.com\r\n"
     "Date: Tue, 27 Mar 2007 19:36:42 +0000\r\n"
     "Authorization: AWS " KEY ":qgk2+6Sv9/oM7G3qLEjTH1a1l1g=\r\n\r\n",
     "/awsexamplebucket1", "Tue, 27 Mar 2007 19:36:42 GMT",
     "GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/awsexamplebucket1/photos/puppy.jpg"},
    {"PUT /photos/puppy.jpg HTTP/1.1\r\nContent-Type: image/jpeg\r\nContent-Length: 94328\r\n"
     "Host: awsexamplebucket1.s3.us-west-1.amazonaws.com\r\n"
     "Date: Tue, 27 Mar 2007 21:15:45 +0000\r\n"
     "Authorization: AWS " KEY ":iqRzw+ileNPu1fhspnRs8nOjjIA=\r\n\r\n",
     "/awsexamplebucket1", "Tue, 27 Mar 2007 21:15:45 GMT",
     "PUT\n\nimage/jpeg\nTue, 27 Mar 2007 21:15:45 +0000\n/awsexamplebucket1/photos/puppy.jpg"},
    {"GET /?acl HTTP/1.1\r\nHost: awsexamplebucket1.s3.us-west-1.amazonaws.com\r\n"
     "Date: Tue, 27 Mar 2007 19:44:46 +0000\r\n"
     "Authorization: AWS " KEY ":2aDh57NmhWhTZTgVw9RPQxQ57Wc=\r\n\r\n",
     "/awsexamplebucket1", "Tue, 27 Mar 2007 19:44:46 GMT",
     "GET\n\n\nTue, 27 Mar 2007 19:44:46 +0000\n/awsexamplebucket1/?acl"},
};

static int verify(struct arena *a, const char *head, const char *bucket_path, struct str secret,
                  uint64_t now_ms, struct str *ret_text)
{
    struct http1_request r;
    struct sigv2_auth auth;
    assert_true(http1_parse_request(str_from(head), HTTP1_HEADERS_MAX, &r) > 0);
    int rc = sigv2_parse(a, &r, &auth);
    if (rc)
        return rc;
    assert_true(auth.form != SIGV2_NONE);
    assert_true(str_eq(auth.access_key, STR(KEY)));
    return sigv2_verify(a, &r, &auth, str_from(bucket_path), secret, now_ms, ret_text);
}

static uint64_t ms_of(const char *date)
{
    uint64_t ms;
    assert_int_equal(date_parse_http(str_from(date), 0, &ms), 0);
    return ms;
}

static void what_is_signed_is_as_documented(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(examples); i++) {
        struct arena a;
        struct str text;
        arena_init(&a, 0);
        (void)verify(&a, examples[i].head, examples[i].bucket_path, SECRET, ms_of(examples[i].date),
                     &text);
        if (!str_eq(text, str_from(examples[i].to_sign)))
            fail_msg("%.*s", STR_FMT(text));
        arena_release(&a);
    }
}

#define OWN(rest)                                                       \
    "PUT /b/k?versionId=a%20b&prefix=x&uploads HTTP/1.1\r\nHost: h\r\n" \
    "X-Amz-Meta-B: 2\r\nx-amz-meta-a:  1 \r\nX-AMZ-Meta-b: 3\r\nContent-Type: t\r\n" rest
#define OWN_DATE "Date: Tue, 27 Mar 2007 19:36:42 GMT\r\n"
#define OWN_TEXT                                                                  \
    "PUT\n\nt\nTue, 27 Mar 2007 19:36:42 GMT\nx-amz-meta-a:1\nx-amz-meta-b:2,3\n" \
    "/b/k?uploads&versionId=a b"

static void headers_are_joined_and_parameters_sorted(void **state)
{
    struct arena a;
    struct str text;
    arena_init(&a, 0);
    assert_int_equal(
        verify(&a, OWN(OWN_DATE "Authorization: AWS " KEY ":AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"),
               "", SECRET, ms_of("Tue, 27 Mar 2007 19:36:42 GMT"), &text),
        -ERR_SIGNATURE_MISMATCH);
    if (!str_eq(text, STR(OWN_TEXT)))
        fail_msg("%.*s", STR_FMT(text));
    arena_release(&a);
}

static void signature_secret_and_time_must_fit(void **state)
{
    const uint64_t at = ms_of("Tue, 27 Mar 2007 19:36:42 GMT");
    uint8_t mac[HASH_SHA1_LEN];
    char base64[32] = {0}, head[1024];
    struct arena a;
    struct str text;
    arena_init(&a, 0);
    hmac_sha1(SECRET, STR(OWN_TEXT), mac);
    base64_encode(mac, sizeof(mac), base64);
    snprintf(head, sizeof(head), "%s%s\r\n\r\n", OWN(OWN_DATE "Authorization: AWS " KEY ":"),
             base64);
    assert_int_equal(verify(&a, head, "", SECRET, at, &text), 0);
    assert_int_equal(verify(&a, head, "", SECRET, at + 14 * 60000, &text), 0);
    assert_int_equal(verify(&a, head, "", SECRET, at + 16 * 60000, &text), -ERR_TIME_SKEWED);
    assert_int_equal(verify(&a, head, "", SECRET, at - 16 * 60000, &text), -ERR_TIME_SKEWED);
    assert_int_equal(verify(&a, head, "", STR("other"), at, &text), -ERR_SIGNATURE_MISMATCH);
    assert_int_equal(verify(&a, head, "/b", SECRET, at, &text), -ERR_SIGNATURE_MISMATCH);
    assert_int_equal(sigv2_verify_text(STR(OWN_TEXT), str_from(base64), SECRET), 0);
    assert_int_equal(sigv2_verify_text(STR("other"), str_from(base64), SECRET),
                     -ERR_SIGNATURE_MISMATCH);
    snprintf(head, sizeof(head), "%s%s\r\n\r\n", OWN("Authorization: AWS " KEY ":"), base64);
    assert_int_equal(verify(&a, head, "", SECRET, at, &text), -ERR_ACCESS_DENIED);
    arena_release(&a);
}

#define QUERY(rest) "GET /b/k?" rest " HTTP/1.1\r\nHost: h\r\n\r\n"
#define GOOD_QUERY  "AWSAccessKeyId=" KEY "&Expires=1000&Signature="

static void queries_expire(void **state)
{
    uint8_t mac[HASH_SHA1_LEN];
    char base64[32] = {0}, head[512];
    struct arena a;
    struct str text;
    arena_init(&a, 0);
    hmac_sha1(SECRET, STR("GET\n\n\n1000\n/b/k"), mac);
    base64_encode(mac, sizeof(mac), base64);
    char escaped[96];
    size_t len = 0;
    for (size_t i = 0; base64[i]; i++)
        len += (size_t)snprintf(escaped + len, sizeof(escaped) - len, "%%%02X",
                                (unsigned char)base64[i]);
    snprintf(head, sizeof(head), QUERY(GOOD_QUERY "%s"), escaped);
    assert_int_equal(verify(&a, head, "", SECRET, 1000999, &text), 0);
    assert_int_equal(verify(&a, head, "", SECRET, 1001000, &text), -ERR_EXPIRED);
    snprintf(head, sizeof(head), QUERY(GOOD_QUERY "%s&acl"), escaped);
    assert_int_equal(verify(&a, head, "", SECRET, 0, &text), -ERR_SIGNATURE_MISMATCH);
    arena_release(&a);
}

static void malformed_ones_are_refused(void **state)
{
    static const struct {
        const char *head;
        int want;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: AWS x\r\n\r\n", -ERR_AUTH_HEADER_MALFORMED},
        {"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: AWS :x\r\n\r\n", -ERR_AUTH_HEADER_MALFORMED},
        {"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: AWS k:x\r\n\r\n", -ERR_SIGNATURE_MISMATCH},
        {QUERY("AWSAccessKeyId=k"), -ERR_AUTH_QUERY_MALFORMED},
        {QUERY("AWSAccessKeyId=k&Signature=x&Expires=-1"), -ERR_AUTH_QUERY_MALFORMED},
        {QUERY("AWSAccessKeyId=k&Signature=x&Expires=1&Expires=2"), -ERR_AUTH_QUERY_MALFORMED},
        {"GET /?AWSAccessKeyId=k&Signature=x&Expires=1 HTTP/1.1\r\nHost: h\r\n"
         "Authorization: AWS k:x\r\n\r\n",
         -ERR_INVALID_ARGUMENT},
        {"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: AWS k:x\r\nAuthorization: AWS k:y\r\n\r\n",
         -ERR_INVALID_ARGUMENT},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct http1_request r;
        struct sigv2_auth auth;
        struct arena a;
        arena_init(&a, 0);
        assert_true(http1_parse_request(str_from(cases[i].head), HTTP1_HEADERS_MAX, &r) > 0);
        if (sigv2_parse(&a, &r, &auth) != cases[i].want)
            fail_msg("%s", cases[i].head);
        arena_release(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_signed_is_as_documented),
        cmocka_unit_test(headers_are_joined_and_parameters_sorted),
        cmocka_unit_test(signature_secret_and_time_must_fit),
        cmocka_unit_test(queries_expire),
        cmocka_unit_test(malformed_ones_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
