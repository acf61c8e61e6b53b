/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Tokens signed here with keys made here: what is taken, and what must not be. */

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include "unit.h"

#include "base/encode.h"
#include "base/error.h"
#include "http/outgoing.h"
#include "iam/jwt.h"

#define TEXT_MAX 4096

static struct arena arena;

static struct str b64url(const void *data, size_t len)
{
    char *text = arena_alloc(&arena, BASE64_LEN(len) + 1);
    size_t n = base64_encode(data, len, text);
    while (n > 0 && text[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n; i++)
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    return str_make(text, n);
}

static struct str number_of(EVP_PKEY *key, const char *param, size_t pad)
{
    BIGNUM *n = NULL;
    uint8_t bytes[600];
    assert_int_equal(EVP_PKEY_get_bn_param(key, param, &n), 1);
    size_t len = pad ? pad : (size_t)BN_num_bytes(n);
    assert_int_equal(BN_bn2binpad(n, bytes, (int)len), (int)len);
    BN_free(n);
    return b64url(bytes, len);
}

static struct str jwk_rsa(EVP_PKEY *key, const char *more)
{
    return arena_printf(&arena, "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"%.*s\",\"e\":\"%.*s\"%s}]}",
                        STR_FMT(number_of(key, OSSL_PKEY_PARAM_RSA_N, 0)),
                        STR_FMT(number_of(key, OSSL_PKEY_PARAM_RSA_E, 0)), more);
}

static struct str jwk_ec(EVP_PKEY *key, const char *curve, size_t n)
{
    return arena_printf(
        &arena, "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%.*s\",\"y\":\"%.*s\"}]}", curve,
        STR_FMT(number_of(key, OSSL_PKEY_PARAM_EC_PUB_X, n)),
        STR_FMT(number_of(key, OSSL_PKEY_PARAM_EC_PUB_Y, n)));
}

static struct str to_sign(const char *header, const char *claims)
{
    return arena_printf(&arena, "%.*s.%.*s", STR_FMT(b64url(header, strlen(header))),
                        STR_FMT(b64url(claims, strlen(claims))));
}

/* `n`: of EC, bytes of a coordinate. */
static struct str sign(EVP_PKEY *key, const char *digest, struct str text, size_t n, bool pss)
{
    uint8_t der[1024], raw[200];
    size_t len = sizeof(der);
    EVP_PKEY_CTX *c;
    EVP_MD_CTX *m = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit_ex(m, &c, digest, NULL, NULL, key, NULL), 1);
    if (pss)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING), 1);
    if (pss)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST), 1);
    assert_int_equal(EVP_DigestSign(m, der, &len, (const uint8_t *)text.ptr, text.len), 1);
    EVP_MD_CTX_free(m);
    struct str signature = b64url(der, len);
    if (n) {
        const uint8_t *at = der;
        ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
        BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, (int)n);
        BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + n, (int)n);
        ECDSA_SIG_free(sig);
        signature = b64url(raw, 2 * n);
    }
    return arena_printf(&arena, "%.*s.%.*s", STR_FMT(text), STR_FMT(signature));
}

#define CLAIMS "{\"iss\":\"https://i\",\"sub\":\"s\",\"aud\":[\"a\",\"b\"],\"exp\":2000000000}"
#define ALL    ((1u << JWT_ALGORITHM_COUNT) - 1)

static int verify(struct str token, struct str jwks, unsigned algorithms)
{
    struct jwt t;
    int r = jwt_parse(&arena, token, &t);
    return r ? r : jwt_verify(&t, jwks, algorithms);
}

static void each_algorithm_takes_its_own_key(void **state)
{
    static const struct {
        const char *header, *curve, *group, *digest;
        size_t n;
        bool pss;
    } cases[] = {
        {"{\"alg\":\"RS256\"}", NULL, NULL, "SHA256", 0, false},
        {"{\"alg\":\"RS384\"}", NULL, NULL, "SHA384", 0, false},
        {"{\"alg\":\"RS512\"}", NULL, NULL, "SHA512", 0, false},
        {"{\"alg\":\"PS256\"}", NULL, NULL, "SHA256", 0, true},
        {"{\"alg\":\"ES256\"}", "P-256", "P-256", "SHA256", 32, false},
        {"{\"alg\":\"ES384\"}", "P-384", "P-384", "SHA384", 48, false},
        {"{\"alg\":\"ES512\"}", "P-521", "P-521", "SHA512", 66, false},
    };
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        EVP_PKEY *key = cases[i].n ? EVP_EC_gen(cases[i].group) : rsa;
        struct str jwks = cases[i].n ? jwk_ec(key, cases[i].curve, cases[i].n) : jwk_rsa(key, "");
        struct str token =
            sign(key, cases[i].digest, to_sign(cases[i].header, CLAIMS), cases[i].n, cases[i].pss);
        assert_int_equal(verify(token, jwks, ALL), 0);
        assert_int_equal(verify(token, jwks, ALL & ~(1u << i)), -ERR_ACCESS_DENIED);
        if (cases[i].n) {
            assert_int_equal(verify(token, jwk_rsa(rsa, ""), ALL), -ERR_NOT_FOUND);
            EVP_PKEY_free(key);
        }
        char *spoiled = arena_cstr(&arena, token);
        spoiled[token.len - 20] ^= 1;
        assert_int_not_equal(verify(str_from(spoiled), jwks, ALL), 0);
    }
    EVP_PKEY_free(rsa);
}

static void algorithms_that_do_not_exist_here(void **state)
{
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    struct str jwks = jwk_rsa(rsa, ""), text = to_sign("{\"alg\":\"none\"}", CLAIMS);
    struct str none = arena_printf(&arena, "%.*s.", STR_FMT(text));
    assert_int_equal(verify(none, jwks, ALL), -ERR_ACCESS_DENIED);
    /* A public key is no shared secret (CVE-2026-33322, CVE-2024-48916). */
    uint8_t mac[32];
    unsigned len;
    text = to_sign("{\"alg\":\"HS256\"}", CLAIMS);
    HMAC(EVP_sha256(), jwks.ptr, (int)jwks.len, (const uint8_t *)text.ptr, text.len, mac, &len);
    struct str forged =
        arena_printf(&arena, "%.*s.%.*s", STR_FMT(text), STR_FMT(b64url(mac, sizeof(mac))));
    assert_int_equal(verify(forged, jwks, ALL), -ERR_ACCESS_DENIED);
    /* Nor is an octet key one at all. */
    assert_int_equal(verify(forged, STR("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}"), ALL),
                     -ERR_ACCESS_DENIED);
    EVP_PKEY_free(rsa);
}

static void keys_for_other_ends_are_not_used(void **state)
{
    EVP_PKEY *rsa = EVP_RSA_gen(2048), *small = EVP_RSA_gen(1024);
    struct str token =
        sign(rsa, "SHA256", to_sign("{\"alg\":\"RS256\",\"kid\":\"1\"}", CLAIMS), 0, false);
    assert_int_equal(verify(token, jwk_rsa(rsa, ",\"kid\":\"1\",\"use\":\"sig\""), ALL), 0);
    assert_int_equal(verify(token, jwk_rsa(rsa, ",\"kid\":\"2\""), ALL), -ERR_NOT_FOUND);
    assert_int_equal(verify(token, jwk_rsa(rsa, ",\"use\":\"enc\""), ALL), -ERR_NOT_FOUND);
    assert_int_equal(verify(token, jwk_rsa(rsa, ",\"alg\":\"RS512\""), ALL), -ERR_NOT_FOUND);
    token = sign(small, "SHA256", to_sign("{\"alg\":\"RS256\"}", CLAIMS), 0, false);
    assert_int_equal(verify(token, jwk_rsa(small, ""), ALL), -ERR_NOT_FOUND);
    assert_int_equal(verify(token, STR("{\"keys\":{}}"), ALL), -ERR_PARSE);
    assert_int_equal(verify(token, STR("[[[[[[[[[["), ALL), -ERR_PARSE);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(small);
}

static void what_is_no_token(void **state)
{
    struct jwt t;
    static const char *const bad[][2] = {
        {"{\"alg\":\"RS256\"}", "{\"sub\":\"s\",\"exp\":1}"},
        {"{\"alg\":\"RS256\"}", "{\"iss\":\"i\",\"exp\":1}"},
        {"{\"alg\":\"RS256\"}", "[]"},
        {"{\"alg\":1}", CLAIMS},
        {"{}", CLAIMS},
        {"{\"alg\":\"RS256\",\"crit\":[\"x\"]}", CLAIMS},
        {"{\"alg\":\"RS256\",\"alg\":\"ES256\"}", CLAIMS},
        {"{\"alg\":\"RS256\"}", "{\"iss\":\"i\",\"sub\":\"s\",\"aud\":{\"a\":1}}"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct str text = to_sign(bad[i][0], bad[i][1]);
        assert_int_equal(jwt_parse(&arena, arena_printf(&arena, "%.*s.AAAA", STR_FMT(text)), &t),
                         -ERR_PARSE);
    }
    struct str good = to_sign("{\"alg\":\"RS256\"}", CLAIMS);
    assert_int_equal(jwt_parse(&arena, good, &t), -ERR_PARSE);
    assert_int_equal(jwt_parse(&arena, arena_printf(&arena, "%.*s.A.A", STR_FMT(good)), &t),
                     -ERR_PARSE);
    assert_int_equal(jwt_parse(&arena, arena_printf(&arena, "%.*s.AA==", STR_FMT(good)), &t),
                     -ERR_PARSE);
    assert_int_equal(jwt_parse(&arena, arena_printf(&arena, "%.*s.AAAA", STR_FMT(good)), &t), 0);
    assert_int_equal(t.audience.count, 2);
    assert_int_equal(t.expires_s, 2000000000);
}

/* ---- where tokens' keys may come from ------------------------------------------------------- */

static int resolve(void *arg)
{
    static const struct {
        const char *address;
        int open, local;
    } cases[] = {
        {"192.0.2.1:443", 0, 0},
        {"10.1.2.3:443", 0, 0},
        {"127.0.0.1:443", -ERR_ACCESS_DENIED, 0},
        {"127.9.9.9:443", -ERR_ACCESS_DENIED, 0},
        {"169.254.169.254:80", -ERR_ACCESS_DENIED, 0},
        {"0.0.0.0:80", -ERR_ACCESS_DENIED, -ERR_ACCESS_DENIED},
        {"224.0.0.1:80", -ERR_ACCESS_DENIED, -ERR_ACCESS_DENIED},
        {"255.255.255.255:80", -ERR_ACCESS_DENIED, -ERR_ACCESS_DENIED},
        {"[2001:db8::1]:443", 0, 0},
        {"[::1]:443", -ERR_ACCESS_DENIED, 0},
        {"[::]:443", -ERR_ACCESS_DENIED, -ERR_ACCESS_DENIED},
        {"[fe80::1]:443", -ERR_ACCESS_DENIED, 0},
        {"[ff02::1]:443", -ERR_ACCESS_DENIED, -ERR_ACCESS_DENIED},
        {"[::ffff:127.0.0.1]:443", -ERR_ACCESS_DENIED, 0},
        {"[::ffff:169.254.169.254]:443", -ERR_ACCESS_DENIED, 0},
        {"[64:ff9b::7f00:1]:443", -ERR_ACCESS_DENIED, 0},
        {"[2002:7f00:1::]:443", -ERR_ACCESS_DENIED, 0},
        {"[fd00:ec2::254]:80", -ERR_ACCESS_DENIED, 0},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct rt_address a;
        CHECK(rt_address_parse(&a, cases[i].address) == 0);
        struct sockaddr_storage ss;
        memcpy(&ss, a.bytes, sizeof(ss));
        const struct sockaddr *sa = (const struct sockaddr *)&ss;
        CHECK(http_outgoing_test(sa, false) == cases[i].open);
        CHECK(http_outgoing_test(sa, true) == cases[i].local);
    }
    return 0;
}

static void addresses_that_lead_inside_are_refused(void **state)
{
    struct rt_config config = {.threads = 1};
    assert_int_equal(rt_run(&config, resolve, NULL), 0);
}

/* A server that sends a byte at a time, each well within a wait, and ends well in the end. */
static void *drip(void *arg)
{
    int listener = *(int *)arg, c = accept(listener, NULL, NULL);
    static const char head[] = "HTTP/1.1 200 OK\r\nX-Pad: ",
                      tail[] = "\r\nContent-Length: 2\r\n\r\n{}";
    send(c, head, strlen(head), MSG_NOSIGNAL);
    for (unsigned i = 0; i < 100 && send(c, "x", 1, MSG_NOSIGNAL) == 1; i++)
        usleep(10000);
    send(c, tail, strlen(tail), MSG_NOSIGNAL);
    close(c);
    return NULL;
}

static int get_slowly(void *arg)
{
    struct str body, url = arena_printf(&arena, "http://127.0.0.1:%d/", *(int *)arg);
    struct http_outgoing how = {.allow_local = true, .timeout_ns = 300 * RT_MS, .max_bytes = 1000};
    CHECK(http_outgoing_get(&arena, url, &how, &body) == -ETIMEDOUT);
    return 0;
}

static void a_server_that_drips_is_not_waited_for(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    struct rt_config config = {.threads = 1};
    pthread_t thread;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    int port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&thread, NULL, drip, &listener), 0);
    assert_int_equal(rt_run(&config, get_slowly, &port), 0);
    pthread_join(thread, NULL);
    close(listener);
}

static int set_up(void **state)
{
    arena_init(&arena, 0);
    return 0;
}

static int tear_down(void **state)
{
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_algorithm_takes_its_own_key),
        cmocka_unit_test(algorithms_that_do_not_exist_here),
        cmocka_unit_test(keys_for_other_ends_are_not_used),
        cmocka_unit_test(what_is_no_token),
        cmocka_unit_test(addresses_that_lead_inside_are_refused),
        cmocka_unit_test(a_server_that_drips_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
