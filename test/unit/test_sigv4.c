/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "test/unit/unit.h"
#include <stdio.h>
#include "base/buf.h"
#include "base/encode.h"
#include "base/error.h"
#include "wire/date.h"
#include "wire/sigv4.h"
#include "test/unit/sigv4_vectors.h"

/* The credentials and the moment of the examples in the S3 API Reference. */
#define ACCESS_KEY "AKIAIOSFODNN7EXAMPLE"
#define SECRET     "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define MAY_24     1369353600000ULL
#define EMPTY      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define CREDENTIAL "Credential=" ACCESS_KEY "/20130524/us-east-1/s3/aws4_request"
#define SIGNATURE  "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
#define SIGNED     "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date"

static struct arena arena;
static struct http1_request req;
static struct sigv4_auth auth;

static int setup(void **state)
{
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    arena_release(&arena);
    return 0;
}

static int parse(const char *text)
{
    if (http1_parse_request(str_from(text), HTTP1_HEADERS_MAX, &req) != (ptrdiff_t)strlen(text))
        fail_msg("not a request: %s", text);
    return sigv4_parse(&arena, &req, &auth);
}

static int verify_at(const char *secret, uint64_t now_ms)
{
    struct sigv4_key key;
    sigv4_key_init(&key, str_from(secret), auth.date, auth.region, auth.service);
    return sigv4_verify(&arena, &req, &auth, &key, now_ms);
}

static int check(const char *text)
{
    int rc = parse(text);
    return rc ? rc : verify_at(SECRET, MAY_24);
}

/* ---- known answers: S3 API Reference, "Examples: Signature Calculations" ------------------------
 */

#define GET_HEAD                               \
    "GET /test.txt HTTP/1.1\r\n"               \
    "Host: examplebucket.s3.amazonaws.com\r\n" \
    "Range: bytes=0-9\r\n"

#define GET_REST                          \
    "x-amz-content-sha256: " EMPTY "\r\n" \
    "x-amz-date: 20130524T000000Z\r\n\r\n"

#define AUTHORIZATION \
    "Authorization: AWS4-HMAC-SHA256 " CREDENTIAL "," SIGNED ",Signature=" SIGNATURE "\r\n"

#define LIST_HEAD "GET /?max-keys=2&prefix=J HTTP/1.1\r\nHost: examplebucket.s3.amazonaws.com\r\n"

#define PRESIGNED_QUERY                                                           \
    "X-Amz-Algorithm=AWS4-HMAC-SHA256"                                            \
    "&X-Amz-Credential=" ACCESS_KEY "%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" \
    "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"   \
    "&X-Amz-Signature="
#define PRESIGNED_SIGNATURE "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
#define HOST_LINE           "Host: examplebucket.s3.amazonaws.com\r\n"
#define PRESIGNED \
    "GET /test.txt?" PRESIGNED_QUERY PRESIGNED_SIGNATURE " HTTP/1.1\r\n" HOST_LINE "\r\n"

static void published_get_with_range_verifies(void **state)
{
    assert_int_equal(check(GET_HEAD AUTHORIZATION GET_REST), 0);
    assert_int_equal(auth.form, SIGV4_HEADER);
    assert_int_equal(auth.payload, SIGV4_PAYLOAD_HASH);
    assert_true(str_eq(auth.access_key, STR(ACCESS_KEY)));
    assert_true(str_eq(auth.region, STR("us-east-1")) && str_eq(auth.service, STR("s3")));
    assert_true(auth.time_ms == MAY_24);
    assert_null(auth.security_token.ptr);
}

static void published_put_verifies(void **state)
{
    assert_int_equal(
        check("PUT /test$file.text HTTP/1.1\r\n" HOST_LINE "Date: Fri, 24 May 2013 00:00:00 GMT\r\n"
              "Authorization: AWS4-HMAC-SHA256 " CREDENTIAL ", SignedHeaders=date;host;"
              "x-amz-content-sha256;x-amz-date;x-amz-storage-class, Signature="
              "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd\r\n"
              "x-amz-date: 20130524T000000Z\r\nx-amz-storage-class: REDUCED_REDUNDANCY\r\n"
              "x-amz-content-sha256: "
              "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\r\n\r\n"),
        0);
}

static void published_get_lifecycle_verifies(void **state)
{
    assert_int_equal(
        check("GET /?lifecycle HTTP/1.1\r\n" HOST_LINE "Authorization: AWS4-HMAC-SHA256 " CREDENTIAL
              ",SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature="
              "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543\r\n" GET_REST),
        0);
}

static void published_list_verifies_in_any_order_of_parameters(void **state)
{
#define LIST_AUTH                                                              \
    HOST_LINE "Authorization: AWS4-HMAC-SHA256 " CREDENTIAL                    \
              ",SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=" \
              "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7\r\n" GET_REST
    assert_int_equal(check("GET /?max-keys=2&prefix=J HTTP/1.1\r\n" LIST_AUTH), 0);
    assert_int_equal(check("GET /?prefix=%4a&max-keys=2 HTTP/1.1\r\n" LIST_AUTH), 0);
    assert_int_equal(check("GET /?prefix=J HTTP/1.1\r\n" LIST_AUTH), -ERR_SIGNATURE_MISMATCH);
    assert_int_equal(check("GET /?max-keys=2&prefix=J&x HTTP/1.1\r\n" LIST_AUTH),
                     -ERR_SIGNATURE_MISMATCH);
}

static void published_presigned_url_verifies(void **state)
{
    assert_int_equal(check(PRESIGNED), 0);
    assert_int_equal(auth.form, SIGV4_QUERY);
    assert_int_equal(auth.payload, SIGV4_PAYLOAD_UNSIGNED);
    assert_true(auth.expires_s == 86400);
}

static void published_chunk_signatures_chain(void **state)
{
    struct sigv4_key key;
    uint8_t digest[32];
    char sig[64];
    static char chunk[65536];
    struct sigv4_auth seed = {.date = STR("20130524"),
                              .region = STR("us-east-1"),
                              .service = STR("s3"),
                              .amz_date = STR("20130524T000000Z")};
    sigv4_key_init(&key, STR(SECRET), seed.date, seed.region, seed.service);
    memset(chunk, 'a', sizeof(chunk));
    memcpy(sig, "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9", 64);
    hash_sha256(str_make(chunk, 65536), digest);
    sigv4_chunk_signature(&key, &seed, sig, digest, sig);
    assert_memory_equal(sig, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
                        64);
    hash_sha256(str_make(chunk, 1024), digest);
    sigv4_chunk_signature(&key, &seed, sig, digest, sig);
    assert_memory_equal(sig, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
                        64);
    hash_sha256(STR(""), digest);
    sigv4_chunk_signature(&key, &seed, sig, digest, sig);
    assert_memory_equal(sig, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
                        64);
}

static void published_trailer_signature_follows_the_chunks(void **state)
{
    struct sigv4_key key;
    uint8_t digest[32];
    char sig[64];
    struct sigv4_auth seed = {.date = STR("20130524"),
                              .region = STR("us-east-1"),
                              .service = STR("s3"),
                              .amz_date = STR("20130524T000000Z")};
    sigv4_key_init(&key, STR(SECRET), seed.date, seed.region, seed.service);
    memcpy(sig, "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992", 64);
    hash_sha256(STR("x-amz-checksum-crc32c:sOO8/Q==\n"), digest);
    sigv4_trailer_signature(&key, &seed, sig, digest, sig);
    assert_memory_equal(sig, "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
                        64);
}

/* ---- botocore as the oracle ---------------------------------------------------------------------
 */

static void odd_requests_signed_by_botocore_verify(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(sigv4_vectors); i++) {
        arena_reset(&arena);
        int rc = check(sigv4_vectors[i]);
        if (rc)
            fail_msg("%s: %s", err_text(rc), sigv4_vectors[i]);
        assert_int_equal(verify_at("another secret", MAY_24), -ERR_SIGNATURE_MISMATCH);
    }
}

/* Names of headers and digits of escapes have no case, and the minor version is not signed. */
static bool may_differ_at(const char *text, size_t at)
{
    size_t line = at;
    while (line > 0 && text[line - 1] != '\n')
        line--;
    if (line > 0)
        return at < line + strcspn(text + line, ":");
    return text[at + 1] == '\r' || text[at - 1] == '%' || text[at - 2] == '%';
}

static bool accepted(const char *text, size_t len)
{
    arena_reset(&arena);
    return http1_parse_request(str_make(text, len), 128, &req) == (ptrdiff_t)len &&
           sigv4_parse(&arena, &req, &auth) == 0 && auth.form != SIGV4_NONE &&
           str_eq(auth.access_key, STR(ACCESS_KEY)) && verify_at(SECRET, MAY_24) == 0;
}

static void no_bit_of_a_signed_request_can_flip(void **state)
{
    const char *const texts[] = {GET_HEAD AUTHORIZATION GET_REST, PRESIGNED};
    for (size_t t = 0; t < ARRAY_LEN(texts); t++) {
        size_t len = strlen(texts[t]);
        char *copy = strdup(texts[t]);
        assert_true(accepted(copy, len));
        for (size_t i = 0; i < 8 * len; i++) {
            copy[i / 8] ^= (char)(1 << i % 8);
            if (accepted(copy, len) && !may_differ_at(texts[t], i / 8))
                fail_msg("accepted with bit %zu of byte %zu flipped", i % 8, i / 8);
            copy[i / 8] ^= (char)(1 << i % 8);
        }
        free(copy);
    }
}

/* ---- reading
 * -------------------------------------------------------------------------------------- */

/* The text outlives the call because what was parsed points into it. */
static int parse_authorization(const char *value)
{
    static char text[2048];
    snprintf(text, sizeof(text), GET_HEAD "Authorization: %s\r\n" GET_REST, value);
    return parse(text);
}

static void authorization_may_come_in_any_order_and_spacing(void **state)
{
    assert_int_equal(
        parse_authorization("AWS4-HMAC-SHA256  Signature=" SIGNATURE " , " SIGNED ",\t" CREDENTIAL),
        0);
    assert_int_equal(verify_at(SECRET, MAY_24), 0);
    assert_int_equal(parse_authorization("AWS4-HMAC-SHA256 Credential=a/b+c=/20130524//s3/"
                                         "aws4_request," SIGNED ",Signature=" SIGNATURE),
                     0);
    assert_true(str_eq(auth.access_key, STR("a/b+c=")));
    assert_int_equal(auth.region.len, 0);
}

static void malformed_authorizations_are_refused(void **state)
{
    const char *const bad[] = {
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 " CREDENTIAL,
        "AWS4-HMAC-SHA256 " CREDENTIAL "," SIGNED,
        "AWS4-HMAC-SHA256 " CREDENTIAL "," SIGNED ",Signature=" SIGNATURE ",Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 " CREDENTIAL "," SIGNED ",Signature=" SIGNATURE ",",
        "AWS4-HMAC-SHA256 " CREDENTIAL "," SIGNED ",Signature",
        "AWS4-HMAC-SHA256 " CREDENTIAL "," SIGNED ",signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 " CREDENTIAL ",SignedHeaders=,Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 " CREDENTIAL ",SignedHeaders=host;,Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 " CREDENTIAL ",SignedHeaders=host;host,Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 " CREDENTIAL ",SignedHeaders=range;host,Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 " CREDENTIAL ",SignedHeaders=Host,Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=/20130524/r/s3/aws4_request," SIGNED ",Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=20130524/r/s3/aws4_request," SIGNED ",Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=a/2013052/r/s3/aws4_request," SIGNED ",Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=a/20130525/r/s3/aws4_request," SIGNED ",Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=a/2013-5-2/r/s3/aws4_request," SIGNED ",Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=a/20130524/r/s3/aws5_request," SIGNED ",Signature=" SIGNATURE,
        "AWS4-HMAC-SHA256 Credential=a/20130524/r r/s3/aws4_request," SIGNED
        ",Signature=" SIGNATURE,
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (parse_authorization(bad[i]) != -ERR_AUTH_HEADER_MALFORMED)
            fail_msg("accepted: %s", bad[i]);
}

static void parts_of_a_credential_are_bounded(void **state)
{
    char text[512];
    for (int extra = 0; extra <= 1; extra++) {
        int want = extra ? -ERR_AUTH_HEADER_MALFORMED : 0;
        const char *const form =
            "AWS4-HMAC-SHA256 Credential=%0*d/20130524/%0*d/s3/aws4_request," SIGNED
            ",Signature=" SIGNATURE;
        snprintf(text, sizeof(text), form, SIGV4_KEY_MAX + extra, 0, 1, 0);
        assert_int_equal(parse_authorization(text), want);
        snprintf(text, sizeof(text), form, 1, 0, SIGV4_SCOPE_MAX + extra, 0);
        assert_int_equal(parse_authorization(text), want);
    }
}

static void other_schemes_are_refused_clearly(void **state)
{
    assert_int_equal(parse_authorization("AWS " ACCESS_KEY ":frJIUN8DYpKDtOLCwo//yllqDzg="),
                     -ERR_SIGNATURE_VERSION);
    assert_int_equal(parse_authorization("AWS4-ECDSA-P256-SHA256 Credential=x"),
                     -ERR_SIGNATURE_VERSION);
    assert_int_equal(parse_authorization("AWS4-HMAC-SHA256X Credential=x"), -ERR_SIGNATURE_VERSION);
    assert_int_equal(parse_authorization("Basic dTpw"), -ERR_AUTHORIZATION_TYPE);
    assert_int_equal(parse_authorization(""), -ERR_AUTHORIZATION_TYPE);
    assert_int_equal(
        parse("GET /b/k?AWSAccessKeyId=a&Signature=b&Expires=1 HTTP/1.1\r\n" HOST_LINE "\r\n"),
        -ERR_SIGNATURE_VERSION);
}

static void signatures_of_another_shape_do_not_match(void **state)
{
    assert_int_equal(parse_authorization("AWS4-HMAC-SHA256 " CREDENTIAL "," SIGNED ",Signature=ab"),
                     -ERR_SIGNATURE_MISMATCH);
    assert_int_equal(
        parse_authorization("AWS4-HMAC-SHA256 " CREDENTIAL "," SIGNED ",Signature="
                            "F0E8BDB87C964420E857BD35B5D6ED310BD44F0170ABA48DD91039C6036BDB41"),
        -ERR_SIGNATURE_MISMATCH);
}

static void nothing_sent_is_form_none(void **state)
{
    assert_int_equal(parse("GET /b/k?x=y HTTP/1.1\r\n" HOST_LINE "x-amz-acl: private\r\n\r\n"), 0);
    assert_int_equal(auth.form, SIGV4_NONE);
}

static void two_signatures_or_doubled_headers_are_refused(void **state)
{
    assert_int_equal(parse("GET /test.txt?" PRESIGNED_QUERY PRESIGNED_SIGNATURE
                           " HTTP/1.1\r\n" HOST_LINE AUTHORIZATION GET_REST),
                     -ERR_INVALID_ARGUMENT);
    assert_int_equal(parse("GET /?AWSAccessKeyId=x HTTP/1.1\r\n" HOST_LINE AUTHORIZATION GET_REST),
                     -ERR_INVALID_ARGUMENT);
    assert_int_equal(parse(GET_HEAD AUTHORIZATION AUTHORIZATION GET_REST), -ERR_INVALID_ARGUMENT);
    assert_int_equal(parse(GET_HEAD AUTHORIZATION "X-Amz-Date: 20130524T000000Z\r\n" GET_REST),
                     -ERR_INVALID_ARGUMENT);
    assert_int_equal(parse(GET_HEAD AUTHORIZATION "X-Amz-Content-Sha256: " EMPTY "\r\n" GET_REST),
                     -ERR_INVALID_ARGUMENT);
    assert_int_equal(
        parse("GET /test.txt?X-Amz-Date=20130524T000000Z&" PRESIGNED_QUERY PRESIGNED_SIGNATURE
              " HTTP/1.1\r\n" HOST_LINE "\r\n"),
        -ERR_AUTH_QUERY_MALFORMED);
}

static void unsigned_host_or_amz_headers_are_refused(void **state)
{
    assert_int_equal(parse(GET_HEAD AUTHORIZATION "x-amz-copy-source: /b/k\r\n" GET_REST),
                     -ERR_UNSIGNED_HEADERS);
    assert_int_equal(parse(GET_HEAD AUTHORIZATION "X-AMZ-ACL: public-read\r\n" GET_REST),
                     -ERR_UNSIGNED_HEADERS);
    assert_int_equal(
        parse_authorization("AWS4-HMAC-SHA256 " CREDENTIAL
                            ",SignedHeaders=x-amz-content-sha256;x-amz-date,Signature=" SIGNATURE),
        -ERR_UNSIGNED_HEADERS);
    assert_int_equal(parse_authorization("AWS4-HMAC-SHA256 " CREDENTIAL
                                         ",SignedHeaders=host;x-amz-date,Signature=" SIGNATURE),
                     -ERR_UNSIGNED_HEADERS);
    assert_int_equal(parse("GET /test.txt?" PRESIGNED_QUERY PRESIGNED_SIGNATURE
                           " HTTP/1.1\r\n" HOST_LINE "x-amz-acl: public-read\r\n\r\n"),
                     -ERR_UNSIGNED_HEADERS);
}

static void a_presigned_payload_is_bound_though_its_header_is_unsigned(void **state)
{
#define PRESIGNED_WITH(payload)                                                    \
    "GET /test.txt?" PRESIGNED_QUERY PRESIGNED_SIGNATURE " HTTP/1.1\r\n" HOST_LINE \
    "x-amz-content-sha256: " payload "\r\n\r\n"
    assert_int_equal(check(PRESIGNED_WITH("UNSIGNED-PAYLOAD")), 0);
    assert_int_equal(check(PRESIGNED_WITH(EMPTY)), -ERR_SIGNATURE_MISMATCH);
    assert_int_equal(check(PRESIGNED_WITH("STREAMING-UNSIGNED-PAYLOAD-TRAILER")),
                     -ERR_SIGNATURE_MISMATCH);
}

static void a_signed_header_that_is_missing_does_not_match(void **state)
{
    assert_int_equal(check("GET /test.txt HTTP/1.1\r\n" HOST_LINE AUTHORIZATION GET_REST),
                     -ERR_SIGNATURE_MISMATCH);
}

static int parse_payload(const char *payload)
{
    static char text[2048];
    snprintf(
        text, sizeof(text), GET_HEAD AUTHORIZATION "x-amz-date: 20130524T000000Z\r\n%s%s%s\r\n",
        payload ? "x-amz-content-sha256: " : "", payload ? payload : "", payload ? "\r\n" : "");
    return parse(text);
}

static void payload_words_are_known_or_refused(void **state)
{
    const struct {
        const char *text;
        enum sigv4_payload payload;
    } good[] = {
        {EMPTY, SIGV4_PAYLOAD_HASH},
        {"UNSIGNED-PAYLOAD", SIGV4_PAYLOAD_UNSIGNED},
        {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", SIGV4_PAYLOAD_CHUNKED},
        {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", SIGV4_PAYLOAD_CHUNKED_TRAILER},
        {"STREAMING-UNSIGNED-PAYLOAD-TRAILER", SIGV4_PAYLOAD_UNSIGNED_TRAILER},
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(parse_payload(good[i].text), 0);
        assert_int_equal(auth.payload, good[i].payload);
    }
    const char *const bad[] = {"",
                               "x",
                               "STREAMING-UNSIGNED-PAYLOAD",
                               "unsigned-payload",
                               "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
                               "UNSIGNED-PAYLOAD,x",
                               "STREAMING-AWS4-HMAC-SHA256-EVENTS",
                               EMPTY "0"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(parse_payload(bad[i]), -ERR_INVALID_ARGUMENT);
    assert_int_equal(parse_payload(NULL), -ERR_MISSING_SECURITY_HEADER);
}

static int parse_dated(const char *date_lines)
{
    static char text[2048];
    snprintf(text, sizeof(text), GET_HEAD AUTHORIZATION "x-amz-content-sha256: " EMPTY "\r\n%s\r\n",
             date_lines);
    return parse(text);
}

static void date_header_stands_in_for_amz_date(void **state)
{
    assert_int_equal(parse_dated("Date: Fri, 24 May 2013 00:00:01 GMT\r\n"), 0);
    assert_true(str_eq(auth.amz_date, STR("20130524T000001Z")));
    assert_int_equal(parse_dated("Date: 20130524T000000Z\r\n"), 0);
    assert_int_equal(parse_dated(""), -ERR_ACCESS_DENIED);
    assert_int_equal(parse_dated("Date: yesterday\r\n"), -ERR_ACCESS_DENIED);
    assert_int_equal(parse_dated("x-amz-date: 2013-05-24\r\nDate: 20130524T000000Z\r\n"),
                     -ERR_ACCESS_DENIED);
    assert_int_equal(parse_dated("Date: Sat, 25 May 2013 00:00:00 GMT\r\n"),
                     -ERR_AUTH_HEADER_MALFORMED);
}

static void clock_skew_is_fifteen_minutes_either_way(void **state)
{
    assert_int_equal(parse(GET_HEAD AUTHORIZATION GET_REST), 0);
    assert_int_equal(verify_at(SECRET, MAY_24 + SIGV4_SKEW_MS), 0);
    assert_int_equal(verify_at(SECRET, MAY_24 - SIGV4_SKEW_MS), 0);
    assert_int_equal(verify_at(SECRET, MAY_24 + SIGV4_SKEW_MS + 1), -ERR_TIME_SKEWED);
    assert_int_equal(verify_at(SECRET, MAY_24 - SIGV4_SKEW_MS - 1), -ERR_TIME_SKEWED);
}

static void presigned_urls_expire(void **state)
{
    assert_int_equal(parse(PRESIGNED), 0);
    assert_int_equal(verify_at(SECRET, MAY_24 + 86400000), 0);
    assert_int_equal(verify_at(SECRET, MAY_24 + 86400001), -ERR_EXPIRED);
    assert_int_equal(verify_at(SECRET, MAY_24 - SIGV4_SKEW_MS), 0);
    assert_int_equal(verify_at(SECRET, MAY_24 - SIGV4_SKEW_MS - 1), -ERR_TIME_SKEWED);
}

static void malformed_presigned_queries_are_refused(void **state)
{
#define Q_ALG  "X-Amz-Algorithm=AWS4-HMAC-SHA256"
#define Q_CRED "X-Amz-Credential=a%2F20130524%2Fr%2Fs3%2Faws4_request"
#define Q_DAY  "X-Amz-Date=20130524T000000Z"
#define Q_EXP  "X-Amz-Expires=60"
#define Q_HEAD "X-Amz-SignedHeaders=host"
#define Q_SIG  "X-Amz-Signature=" PRESIGNED_SIGNATURE
    const char *const bad[] = {
        Q_CRED "&" Q_DAY "&" Q_EXP "&" Q_HEAD "&" Q_SIG,
        Q_ALG "&" Q_DAY "&" Q_EXP "&" Q_HEAD "&" Q_SIG,
        Q_ALG "&" Q_CRED "&" Q_EXP "&" Q_HEAD "&" Q_SIG,
        Q_ALG "&" Q_CRED "&" Q_DAY "&" Q_HEAD "&" Q_SIG,
        Q_ALG "&" Q_CRED "&" Q_DAY "&" Q_EXP "&" Q_SIG,
        Q_ALG "&" Q_CRED "&" Q_DAY "&" Q_EXP "&" Q_HEAD,
        Q_ALG "&X-Amz-Credential=a&" Q_DAY "&" Q_EXP "&" Q_HEAD "&" Q_SIG,
        Q_ALG "&" Q_CRED "&X-Amz-Date=20130525T000000Z&" Q_EXP "&" Q_HEAD "&" Q_SIG,
        Q_ALG "&" Q_CRED "&X-Amz-Date=x&" Q_EXP "&" Q_HEAD "&" Q_SIG,
        Q_ALG "&" Q_CRED "&" Q_DAY "&X-Amz-Expires=604801&" Q_HEAD "&" Q_SIG,
        Q_ALG "&" Q_CRED "&" Q_DAY "&X-Amz-Expires=-1&" Q_HEAD "&" Q_SIG,
        Q_ALG "&" Q_CRED "&" Q_DAY "&X-Amz-Expires=&" Q_HEAD "&" Q_SIG,
        Q_ALG "&" Q_CRED "&" Q_DAY "&" Q_EXP "&X-Amz-SignedHeaders=&" Q_SIG,
        "X-Amz-Signature",
        "X-Amz%2DSignature=x",
    };
    char text[2048];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof(text), "GET /b/k?%s HTTP/1.1\r\n" HOST_LINE "\r\n", bad[i]);
        if (parse(text) != -ERR_AUTH_QUERY_MALFORMED)
            fail_msg("accepted: %s", bad[i]);
    }
    snprintf(text, sizeof(text),
             "GET /b/k?X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&%s HTTP/1.1\r\n" HOST_LINE "\r\n",
             Q_CRED "&" Q_DAY "&" Q_EXP "&" Q_HEAD "&" Q_SIG);
    assert_int_equal(parse(text), -ERR_AUTH_QUERY_ALGORITHM);
}

/* ---- signing
 * -------------------------------------------------------------------------------------- */

static void canonical_texts_are_those_published(void **state)
{
    struct str canonical, to_sign;
    assert_int_equal(parse(GET_HEAD AUTHORIZATION GET_REST), 0);
    assert_int_equal(sigv4_canonical(&arena, &req, &auth, &canonical, &to_sign), 0);
    assert_true(str_eq(canonical, STR("GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\n"
                                      "range:bytes=0-9\nx-amz-content-sha256:" EMPTY "\n"
                                      "x-amz-date:20130524T000000Z\n\n"
                                      "host;range;x-amz-content-sha256;x-amz-date\n" EMPTY)));
    assert_true(
        str_eq(to_sign, STR("AWS4-HMAC-SHA256\n20130524T000000Z\n"
                            "20130524/us-east-1/s3/aws4_request\n"
                            "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972")));
}

/* Who builds queries as browsers do sends `+` for a space and signs `%20`. */
static void a_plus_is_a_space_in_the_query_and_a_plus_in_the_path(void **state)
{
    struct str canonical, to_sign;
    assert_int_equal(
        parse("GET /a+b?x+y=1+2%2B3&z=%20 HTTP/1.1\r\n" AUTHORIZATION HOST_LINE GET_REST), 0);
    auth.signed_headers = STR("host");
    assert_int_equal(sigv4_canonical(&arena, &req, &auth, &canonical, &to_sign), 0);
    assert_true(str_starts(canonical, STR("GET\n/a%2Bb\nx%20y=1%202%2B3&z=%20\n")));
}

static void signing_gives_the_published_signature(void **state)
{
    struct sigv4_key key;
    struct str made;
    const char *text = "GET /test.txt HTTP/1.1\r\n" HOST_LINE "RANGE: bytes=0-9\r\n" GET_REST;
    assert_true(http1_parse_request(str_from(text), 128, &req) > 0);
    sigv4_key_init(&key, STR(SECRET), STR("20130524"), STR("us-east-1"), STR("s3"));
    assert_int_equal(sigv4_sign(&arena, &req, STR(ACCESS_KEY), &key, STR("20130524"),
                                STR("us-east-1"), STR("s3"), &made),
                     0);
    assert_true(
        str_eq(made, STR("AWS4-HMAC-SHA256 " CREDENTIAL ", " SIGNED ", Signature=" SIGNATURE)));
    static char long_region[SIGV4_SCOPE_MAX + 1] = {'r'};
    assert_int_equal(sigv4_sign(&arena, &req, STR(ACCESS_KEY), &key, STR("20130524"),
                                str_make(long_region, sizeof(long_region)), STR("s3"), &made),
                     -EINVAL);
    req.header_count--;
    assert_int_equal(sigv4_sign(&arena, &req, STR(ACCESS_KEY), &key, STR("20130524"),
                                STR("us-east-1"), STR("s3"), &made),
                     -ERR_MISSING_SECURITY_HEADER);
}

static void memory_running_out_is_an_error(void **state)
{
    struct arena tiny;
    arena_init(&tiny, 64);
    assert_int_equal(parse(PRESIGNED), 0);
    struct sigv4_key key;
    sigv4_key_init(&key, STR(SECRET), auth.date, auth.region, auth.service);
    assert_int_equal(sigv4_verify(&tiny, &req, &auth, &key, MAY_24), -ENOMEM);
    assert_int_equal(sigv4_parse(&tiny, &req, &auth), -ENOMEM);
    arena_release(&tiny);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(published_get_with_range_verifies),
        T(published_put_verifies),
        T(published_get_lifecycle_verifies),
        T(published_list_verifies_in_any_order_of_parameters),
        T(published_presigned_url_verifies),
        T(published_chunk_signatures_chain),
        T(published_trailer_signature_follows_the_chunks),
        T(odd_requests_signed_by_botocore_verify),
        T(no_bit_of_a_signed_request_can_flip),
        T(authorization_may_come_in_any_order_and_spacing),
        T(malformed_authorizations_are_refused),
        T(parts_of_a_credential_are_bounded),
        T(other_schemes_are_refused_clearly),
        T(signatures_of_another_shape_do_not_match),
        T(nothing_sent_is_form_none),
        T(two_signatures_or_doubled_headers_are_refused),
        T(unsigned_host_or_amz_headers_are_refused),
        T(a_presigned_payload_is_bound_though_its_header_is_unsigned),
        T(a_signed_header_that_is_missing_does_not_match),
        T(payload_words_are_known_or_refused),
        T(date_header_stands_in_for_amz_date),
        T(clock_skew_is_fifteen_minutes_either_way),
        T(presigned_urls_expire),
        T(malformed_presigned_queries_are_refused),
        T(canonical_texts_are_those_published),
        T(a_plus_is_a_space_in_the_query_and_a_plus_in_the_path),
        T(signing_gives_the_published_signature),
        T(memory_running_out_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
