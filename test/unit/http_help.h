/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What the tests of http/ share: a server on a loopback port with a handler of many small answers,
 * and a raw client that sends bytes as they are and reads what comes back.
 *
 * Everything runs on fibers, where a failed assertion cannot jump out: expectations are CHECKs,
 * which stop the test with the line and the expression.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include "base/hash.h"
#include "base/list.h"
#include "http/http.h"

/* Not every test uses every one. */
#define HELP   __attribute__((unused)) static
#define SOON   (rt_now() + 60 * RT_S)
#define PROMPT (8 * RT_S) /* not what a default deadline takes; much, for busy machines */

struct env {
    struct http_server_config config;
    struct http_server *server;
    struct rt_address address;
    int (*test)(struct env *e);
    unsigned done;    /* calls of the hook */
    unsigned threads; /* 0: 1 */
    bool release;     /* ends the requests for /hold */
    bool keep_server; /* the test stops it by itself */
};

/* ---- the handler ---------------------------------------------------------------------------- */

static void FIBER answer_echo(struct http_exchange *x)
{
    struct str piece;
    int rc = http_begin(x, 200, http_body_length(x));
    while (rc == 0 && (rc = http_body_next(x, &piece)) == 0 && piece.len)
        rc = http_write(x, piece.ptr, piece.len);
    if (rc < 0)
        http_close_after(x, true);
    else
        http_end(x);
}

static void FIBER answer_hash(struct http_exchange *x)
{
    struct str piece;
    uint32_t crc = 0;
    int rc;
    while ((rc = http_body_next(x, &piece)) == 0 && piece.len)
        crc = hash_crc32c(crc, piece.ptr, piece.len);
    struct str text =
        arena_printf(http_arena(x), "%d %llu %08x", rc, (unsigned long long)http_bytes_in(x), crc);
    http_respond(x, rc == 0 ? 200 : 400, text);
}

static void FIBER answer_stream(struct http_exchange *x, uint64_t declared)
{
    http_begin(x, 200, declared);
    for (int i = 0; i < 3; i++)
        http_write(x, "abcdefghij", 10);
    http_end(x);
}

static void FIBER help_handler(struct http_exchange *x, void *arg)
{
    struct env *e = arg;
    struct str target = http_request(x)->target, all;
    if (str_eq(target, STR("/hello"))) {
        http_set_header(x, "Content-Type", STR("text/plain"));
        http_respond(x, 200, STR("hello"));
    } else if (str_eq(target, STR("/echo"))) {
        answer_echo(x);
    } else if (str_eq(target, STR("/hash"))) {
        answer_hash(x);
    } else if (str_eq(target, STR("/all"))) {
        int rc = http_body_all(x, 64 * KIB, &all);
        http_respond(x, rc == 0 ? 200 : 400, rc == 0 ? all : STR("too large"));
    } else if (str_eq(target, STR("/chunked"))) {
        answer_stream(x, UINT64_MAX);
    } else if (str_eq(target, STR("/thirty"))) {
        answer_stream(x, 30);
    } else if (str_eq(target, STR("/short"))) {
        answer_stream(x, 31);
    } else if (str_eq(target, STR("/left"))) {
        http_begin(x, 200, UINT64_MAX);
        http_write(x, "start", 5);
    } else if (str_eq(target, STR("/empty"))) {
        http_respond(x, 204, STR_NULL);
    } else if (str_eq(target, STR("/not-modified"))) {
        http_respond(x, 304, STR_NULL);
    } else if (str_eq(target, STR("/thread"))) {
        http_respond(x, 200, arena_printf(http_arena(x), "thread %u.", rt_thread_index()));
    } else if (str_eq(target, STR("/refuse"))) {
        http_respond(x, 403, STR("no"));
    } else if (str_eq(target, STR("/peek"))) {
        int rc = http_body_next(x, &all);
        if (rc == 0 && all.len)
            http_body_unread(x, all.len - 1);
        http_body_next(x, &all);
        http_respond(x, 200, all);
    } else if (str_eq(target, STR("/slow"))) {
        rt_sleep_until(rt_now() + 300 * RT_MS);
        http_respond(x, 200, STR("slow"));
    } else if (str_eq(target, STR("/hold"))) {
        while (!e->release && rt_sleep_until(rt_now() + 5 * RT_MS) == 0)
            ;
        http_respond(x, 200, STR("held"));
    } else if (str_eq(target, STR("/inject"))) {
        CHECK(http_set_header(x, "X-A", STR("a\r\nX-B: b")) == -EINVAL);
        CHECK(http_set_header(x, "X-A", STR("a\nb")) == -EINVAL);
        CHECK(http_set_header(x, "X-A", STR("a\0b")) == -EINVAL);
        CHECK(http_set_header(x, "X A", STR("a")) == -EINVAL);
        CHECK(http_set_header(x, "Content-Length", STR("7")) == -EINVAL);
        CHECK(http_set_header(x, "X-C", STR("c")) == 0);
        http_respond(x, 200, STR("safe"));
    }
    /* anything else: no answer at all */
}

static void help_error_body(struct http_exchange *x, int err, struct buf *ret_body,
                            struct str *ret_type)
{
    buf_printf(ret_body, "<%s>", err_info(err)->s3_code);
    *ret_type = STR("text/x-error");
}

static void help_done(struct http_exchange *x, void *arg)
{
    struct env *e = arg;
    CHECK(http_started_ns(x) > 0);
    __atomic_fetch_add(&e->done, 1, __ATOMIC_RELAXED);
}

/* ---- running -------------------------------------------------------------------------------- */

static void FIBER help_check_quiet(struct env *e)
{
    struct http_server_stats stats = {0};
    for (int i = 0; i < 200; i++) {
        http_server_stats(e->server, &stats);
        if (!stats.connections && !stats.requests_active)
            return;
        rt_sleep_until(rt_now() + 20 * RT_MS);
    }
    CHECK(stats.connections == 0 && stats.requests_active == 0);
}

/* Until `n` requests are being served. */
HELP void FIBER help_wait_active(struct env *e, uint64_t n)
{
    struct http_server_stats stats;
    uint64_t until = SOON;
    do {
        rt_sleep_until(rt_now() + 5 * RT_MS);
        http_server_stats(e->server, &stats);
    } while (stats.requests_active != n && rt_now() < until);
    CHECK(stats.requests_active == n);
}

HELP int FIBER help_main(void *arg)
{
    struct env *e = arg;
    if (!e->config.address.len)
        CHECK(rt_address_parse(&e->config.address, "127.0.0.1:0") == 0);
    if (!e->config.handler)
        e->config.handler = help_handler;
    e->config.error_body = help_error_body;
    e->config.done = help_done;
    e->config.arg = e;
    CHECK(http_server_start(&e->server, &e->config) == 0);
    http_server_address(e->server, &e->address);
    int rc = e->test(e);
    if (e->keep_server)
        return rc;
    help_check_quiet(e);
    http_server_stop(e->server, SOON);
    return rc;
}

HELP void help_run(struct env *e, int (*test)(struct env *))
{
    struct rt_config c = {.threads = e->threads ? e->threads : 1};
    e->test = test;
    assert_int_equal(rt_run(&c, help_main, e), 0);
}

/* ---- a raw client --------------------------------------------------------------------------- */

struct raw {
    struct rt_socket *socket;
    char data[64 * 1024];
    size_t len;
};

HELP struct raw *FIBER raw_open(struct env *e)
{
    struct raw *r = calloc(1, sizeof(*r));
    CHECK(r && rt_connect(&r->socket, &e->address, SOON) == 0);
    return r;
}

HELP void FIBER raw_close(struct raw *r)
{
    rt_socket_close(r->socket);
    free(r);
}

HELP int FIBER raw_try_send(struct raw *r, struct str bytes)
{
    struct iovec iov = {(void *)bytes.ptr, bytes.len};
    return rt_send(r->socket, &iov, 1, SOON);
}

HELP void FIBER raw_send(struct raw *r, const char *text)
{
    CHECK(raw_try_send(r, str_from(text)) == 0);
}

/* Waits for `text` and drops everything up to its end. */
HELP void FIBER raw_expect(struct raw *r, const char *text)
{
    for (;;) {
        ptrdiff_t at = str_find(str_make(r->data, r->len), str_from(text), 0);
        if (at >= 0) {
            size_t end = (size_t)at + strlen(text);
            memmove(r->data, r->data + end, r->len - end);
            r->len -= end;
            return;
        }
        size_t len = 0;
        int rc = rt_recv(r->socket, r->data + r->len, sizeof(r->data) - r->len, SOON, &len);
        if (rc < 0 || len == 0) {
            fprintf(stderr, "waiting for '%s', got %d and: %.*s\n", text, rc, (int)r->len, r->data);
            CHECK(!"the text did not come");
        }
        r->len += len;
    }
}

/* Everything until the server closes. */
HELP struct str FIBER raw_rest(struct raw *r)
{
    size_t len;
    int rc;
    while ((rc = rt_recv(r->socket, r->data + r->len, sizeof(r->data) - r->len, SOON, &len)) == 0 &&
           len)
        r->len += len;
    CHECK(rc != -ETIMEDOUT);
    return str_make(r->data, r->len);
}

/* Whether nothing comes for a while. */
HELP bool FIBER raw_silent(struct raw *r, uint64_t ns)
{
    size_t len = 0;
    return r->len == 0 &&
           rt_recv(r->socket, r->data, sizeof(r->data), rt_now() + ns, &len) == -ETIMEDOUT;
}

HELP bool has(struct str s, const char *text)
{
    return str_find(s, str_from(text), 0) >= 0;
}

/* One request on its own connection: the whole answer, until the server closes. In `r`. */
HELP struct str FIBER raw_once(struct raw *r, const char *text)
{
    raw_send(r, text);
    return raw_rest(r);
}
