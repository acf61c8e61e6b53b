/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* TLS and the client: server and client against one another, plain and encrypted. */

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>
#include "http_help.h"
#include "rt/sanitize.h"

/* ---- certificates --------------------------------------------------------------------------- */

static char dir[] = "/tmp/cairn-http-tls-XXXXXX";
static char cert_path[64], key_path[64], other_path[64];

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(ext);
    X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
}

/* A self-signed certificate for localhost and 127.0.0.1. */
static void make_certificate(const char *cert_file, const char *key_file, long serial)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)"cairn test", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    add_extension(cert, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    FILE *f = fopen(cert_file, "we");
    assert_true(f && PEM_write_X509(f, cert));
    fclose(f);
    f = fopen(key_file, "we");
    assert_true(f && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
    fclose(f);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static int set_up(void **state)
{
    char other_key[64];
    assert_non_null(mkdtemp(dir));
    snprintf(cert_path, sizeof(cert_path), "%s/cert", dir);
    snprintf(key_path, sizeof(key_path), "%s/key", dir);
    snprintf(other_path, sizeof(other_path), "%s/other", dir);
    snprintf(other_key, sizeof(other_key), "%s/other-key", dir);
    make_certificate(cert_path, key_path, 1);
    make_certificate(other_path, other_key, 2);
    unlink(other_key);
    return 0;
}

static int tear_down(void **state)
{
    unlink(cert_path);
    unlink(key_path);
    unlink(other_path);
    return rmdir(dir);
}

/* ---- requests ------------------------------------------------------------------------------- */

static int FIBER open_client(struct env *e, struct http_client **ret)
{
    struct http_client_config config = {
        .address = e->address,
        .tls_host = e->config.tls ? "localhost" : NULL,
        .ca_path = e->config.tls ? cert_path : NULL,
        .timeout_ns = 60 * RT_S,
    };
    return http_client_open(ret, &config);
}

/* The status; the body's text in `ret` when short enough, its length and CRC always. */
struct got {
    char text[256];
    size_t len;
    uint32_t crc;
};

static int FIBER ask(struct http_client *c, struct str method, const char *target, struct str body,
                     struct got *ret)
{
    struct http_reply reply;
    struct str piece;
    *ret = (struct got){.len = 0};
    int rc = http_client_request(c, method, str_from(target), NULL, 0, body, &reply);
    while (rc == 0 && (rc = http_client_body(c, &piece)) == 0 && piece.len) {
        if (ret->len < sizeof(ret->text))
            memcpy(ret->text + ret->len, piece.ptr, MIN(piece.len, sizeof(ret->text) - ret->len));
        ret->len += piece.len;
        ret->crc = hash_crc32c(ret->crc, piece.ptr, piece.len);
    }
    return rc < 0 ? rc : reply.status;
}

static bool got_text(const struct got *g, const char *text)
{
    return str_eq(str_make(g->text, g->len), str_from(text));
}

static int FIBER requests_and_replies_of_every_frame(struct env *e)
{
    struct http_client *c;
    struct got g;
    CHECK(open_client(e, &c) == 0);
    for (int i = 0; i < 2; i++) {
        CHECK(ask(c, STR("GET"), "/hello", STR_NULL, &g) == 200 && got_text(&g, "hello"));
        CHECK(ask(c, STR("HEAD"), "/hello", STR_NULL, &g) == 200 && g.len == 0);
        CHECK(ask(c, STR("GET"), "/chunked", STR_NULL, &g) == 200);
        CHECK(got_text(&g, "abcdefghijabcdefghijabcdefghij"));
        CHECK(ask(c, STR("GET"), "/empty", STR_NULL, &g) == 204 && g.len == 0);
        CHECK(ask(c, STR("PUT"), "/all", STR("body"), &g) == 200 && got_text(&g, "body"));
        CHECK(ask(c, STR("PUT"), "/all", STR_NULL, &g) == 200 && g.len == 0);
        CHECK(ask(c, STR("GET"), "/nothing", STR_NULL, &g) == 500);
    }
    struct http_server_stats s;
    http_server_stats(e->server, &s);
    CHECK(s.connections_total == 1 && s.requests_total == 14);
    CHECK(s.tls_handshakes == (e->config.tls ? 1 : 0));
    struct rt_stats rt;
    rt_stats(&rt);
    CHECK(rt.stack_used_max_bytes < 48 * KIB || RT_ASAN); /* handshakes included */
    CHECK(ask(c, STR("GET"), "/short", STR_NULL, &g) < 0);
    CHECK(ask(c, STR("GET"), "/hello", STR_NULL, &g) == 200 && got_text(&g, "hello"));
    http_client_close(c);
    return 0;
}

static int FIBER large_bodies_come_and_go(struct env *e)
{
    struct http_client *c;
    struct got g;
    char expected[64];
    size_t len = 9 * MIB + 4321;
    char *body = malloc(len);
    for (size_t i = 0; i < len; i++)
        body[i] = (char)(i * 31 + i / 977);
    uint32_t crc = hash_crc32c(0, body, len);
    CHECK(open_client(e, &c) == 0);
    snprintf(expected, sizeof(expected), "0 %zu %08x", len, crc);
    CHECK(ask(c, STR("PUT"), "/hash", str_make(body, len), &g) == 200);
    CHECK(got_text(&g, expected));
    CHECK(ask(c, STR("PUT"), "/echo", str_make(body, 40000), &g) == 200);
    CHECK(g.len == 40000 && g.crc == hash_crc32c(0, body, 40000));
    http_client_close(c);
    free(body);
    return 0;
}

static int FIBER a_large_refused_body_gets_its_answer(struct env *e)
{
    struct http_client *c;
    struct got g;
    char *body = calloc(1, 4 * MIB);
    CHECK(open_client(e, &c) == 0);
    CHECK(ask(c, STR("PUT"), "/refuse", str_make(body, 4 * MIB), &g) == 403 && got_text(&g, "no"));
    CHECK(ask(c, STR("GET"), "/hello", STR_NULL, &g) == 200);
    http_client_close(c);
    free(body);
    return 0;
}

static int FIBER a_parked_connection_wakes(struct env *e)
{
    struct http_client *c;
    struct rt_stats stats;
    struct got g;
    CHECK(open_client(e, &c) == 0);
    CHECK(ask(c, STR("GET"), "/hello", STR_NULL, &g) == 200);
    do {
        rt_sleep_until(rt_now() + 100 * RT_MS);
        rt_stats(&stats);
    } while (stats.parked == 0);
    CHECK(ask(c, STR("GET"), "/hello", STR_NULL, &g) == 200);
    http_client_close(c);
    return 0;
}

/* Until the server has closed every connection. */
static void FIBER wait_closed(struct env *e)
{
    struct http_server_stats s;
    uint64_t until = SOON;
    do {
        rt_sleep_until(rt_now() + 50 * RT_MS);
        http_server_stats(e->server, &s);
    } while (s.connections > 0 && rt_now() < until);
    CHECK(s.connections == 0);
}

static int FIBER a_connection_closed_while_idle_is_opened_again(struct env *e)
{
    struct http_client *c;
    struct got g;
    CHECK(open_client(e, &c) == 0);
    CHECK(ask(c, STR("GET"), "/hello", STR_NULL, &g) == 200);
    wait_closed(e);
    CHECK(ask(c, STR("GET"), "/hello", STR_NULL, &g) == 200);
    wait_closed(e);
    CHECK(ask(c, STR("POST"), "/all", STR("x"), &g) < 0); /* might have been done */
    CHECK(ask(c, STR("POST"), "/all", STR("x"), &g) == 200);
    http_client_close(c);
    return 0;
}

static int FIBER headers_and_targets_are_checked(struct env *e)
{
    struct http_client *c;
    struct http_reply reply;
    struct http1_header bad = {STR("X"), STR("a\r\nY: b")};
    CHECK(open_client(e, &c) == 0);
    CHECK(http_client_request(c, STR("GET"), STR("/hello"), &bad, 1, STR_NULL, &reply) == -EINVAL);
    CHECK(http_client_request(c, STR("GET"), STR("/a b"), NULL, 0, STR_NULL, &reply) == -EINVAL);
    CHECK(http_client_request(c, STR("GET"), STR("/a\r\n"), NULL, 0, STR_NULL, &reply) == -EINVAL);
    http_client_close(c);
    return 0;
}

/* ---- what only TLS has ---------------------------------------------------------------------- */

static int FIBER try_open(struct env *e, const char *host, const char *ca, bool insecure)
{
    struct http_client_config config = {
        .address = e->address,
        .tls_host = host,
        .ca_path = ca,
        .insecure = insecure,
        .timeout_ns = 60 * RT_S,
    };
    struct http_client *c = NULL;
    int rc = http_client_open(&c, &config);
    http_client_close(c);
    return rc;
}

static int FIBER certificates_are_verified(struct env *e)
{
    CHECK(try_open(e, "localhost", cert_path, false) == 0);
    CHECK(try_open(e, "127.0.0.1", cert_path, false) == 0);
    CHECK(try_open(e, "example.com", cert_path, false) == -EKEYREJECTED);
    CHECK(try_open(e, "127.0.0.2", cert_path, false) == -EKEYREJECTED);
    CHECK(try_open(e, "localhost", other_path, false) == -EKEYREJECTED);
    CHECK(try_open(e, "localhost", NULL, false) == -EKEYREJECTED);
    CHECK(try_open(e, "example.com", NULL, true) == 0);
    CHECK(try_open(e, "localhost", "/nonexistent", false) < 0);
    return 0;
}

static int FIBER plain_bytes_on_a_tls_port_are_refused(struct env *e)
{
    struct raw *r = raw_open(e);
    raw_send(r, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(!has(raw_rest(r), "hello"));
    raw_close(r);
    struct http_server_stats s;
    http_server_stats(e->server, &s);
    CHECK(s.tls_failures == 1 && s.requests_total == 0);
    return 0;
}

static int FIBER a_stalled_handshake_is_given_up(struct env *e)
{
    struct raw *r = raw_open(e);
    uint64_t from = rt_now();
    CHECK(raw_rest(r).len == 0);
    CHECK(rt_now() - from < PROMPT);
    raw_close(r);
    return 0;
}

/* Writes a fresh pair beside the files in use; `ret` is what they are to become. */
static void FIBER make_successor(char bytes[2][8192], struct str ret[2])
{
    char paths[2][80];
    for (int i = 0; i < 2; i++)
        snprintf(paths[i], sizeof(paths[i]), "%s.next", i ? key_path : cert_path);
    make_certificate(paths[0], paths[1], 3);
    for (int i = 0; i < 2; i++) {
        size_t len = 0;
        CHECK(rt_read_file(paths[i], bytes[i], 8192, &len) == 0);
        ret[i] = str_make(bytes[i], len);
        unlink(paths[i]);
    }
}

/* Nothing is said about when the server looks, only that it does. */
static void FIBER wait_refused(struct env *e, const char *ca)
{
    uint64_t until = SOON;
    int rc;
    while ((rc = try_open(e, "localhost", ca, false)) == 0 && rt_now() < until)
        rt_sleep_until(rt_now() + 50 * RT_MS);
    CHECK(rc == -EKEYREJECTED);
}

static int FIBER a_new_certificate_is_taken_up(struct env *e)
{
    char old_path[80];
    static char old[8192], bytes[2][8192];
    struct str pair[2];
    size_t len = 0;
    CHECK(rt_read_file(cert_path, old, sizeof(old), &len) == 0);
    snprintf(old_path, sizeof(old_path), "%s.old", cert_path);
    CHECK(rt_write_file(old_path, str_make(old, len)) == 0);
    make_successor(bytes, pair);
    /* First one file alone, which does not fit the other: the server goes on with the old pair. */
    CHECK(rt_write_file(cert_path, pair[0]) == 0);
    rt_sleep_until(rt_now() + 600 * RT_MS);
    CHECK(try_open(e, "localhost", old_path, false) == 0);
    CHECK(rt_write_file(key_path, pair[1]) == 0);
    wait_refused(e, old_path);
    CHECK(try_open(e, "localhost", cert_path, false) == 0);
    unlink(old_path);
    return 0;
}

static int FIBER a_key_that_does_not_fit_is_told_at_start(struct env *e)
{
    struct http_tls_config tls = {.cert_path = other_path, .key_path = key_path};
    struct http_server_config config = e->config;
    struct http_server *s;
    config.tls = &tls;
    CHECK(http_server_start(&s, &config) == -EINVAL);
    tls.cert_path = "/nonexistent";
    CHECK(http_server_start(&s, &config) == -ENOENT);
    return 0;
}

/* ---- the list ------------------------------------------------------------------------------- */

static const struct http_tls_config tls_config = {
    .cert_path = cert_path, .key_path = key_path, .reload_ns = 200 * RT_MS};

#define BOTH(X)                                                                       \
    X(requests_and_replies_of_every_frame, 0)                                         \
    X(large_bodies_come_and_go, 0)                                                    \
    X(a_large_refused_body_gets_its_answer, 0)                                        \
    X(a_parked_connection_wakes, 0)                                                   \
    X(a_connection_closed_while_idle_is_opened_again, .idle_timeout_ns = 500 * RT_MS) \
    X(headers_and_targets_are_checked, 0)
#define TLS_ONLY(X)                                                    \
    X(certificates_are_verified, 0)                                    \
    X(plain_bytes_on_a_tls_port_are_refused, 0)                        \
    X(a_stalled_handshake_is_given_up, .head_timeout_ns = 300 * RT_MS) \
    X(a_key_that_does_not_fit_is_told_at_start, 0)                     \
    X(a_new_certificate_is_taken_up, 0)

#define X(name, ...)                                          \
    static void run_##name(void **state)                      \
    {                                                         \
        struct env e = {.config = {.limits = {__VA_ARGS__}}}; \
        help_run(&e, name);                                   \
    }
BOTH(X)
#undef X
#define X(name, ...)                                                              \
    static void run_tls_##name(void **state)                                      \
    {                                                                             \
        struct env e = {.config = {.tls = &tls_config, .limits = {__VA_ARGS__}}}; \
        help_run(&e, name);                                                       \
    }
BOTH(X)
TLS_ONLY(X)
#undef X

int main(void)
{
    const struct CMUnitTest tests[] = {
#define X(name, ...) cmocka_unit_test(run_##name),
        BOTH(X)
#undef X
#define X(name, ...) cmocka_unit_test(run_tls_##name),
            BOTH(X) TLS_ONLY(X)
#undef X
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
