/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* The server over the wire: messages, framing, keep-alive, pipelining, bodies. */

#include "http_help.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"

static int FIBER keep_alive_reuses_the_connection(struct env *e)
{
    struct raw *r = raw_open(e);
    for (int i = 0; i < 3; i++) {
        raw_send(r, GET("/hello"));
        raw_expect(r, "HTTP/1.1 200 OK\r\nDate: ");
        raw_expect(r, "\r\nServer: Cairn\r\nx-amz-id-2: host-1\r\nx-amz-request-id: ");
        raw_expect(r, "\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
    }
    raw_close(r);
    struct http_server_stats s;
    http_server_stats(e->server, &s);
    CHECK(s.connections_total == 1 && s.requests_total == 3 && e->done == 3);
    return 0;
}

#define THREADS 4u

static int FIBER every_thread_gets_as_many_connections(struct env *e)
{
    struct raw *conns[8 * THREADS];
    for (unsigned i = 0; i < ARRAY_LEN(conns); i++) {
        conns[i] = raw_open(e);
        raw_send(conns[i], GET("/hello"));
        raw_expect(conns[i], "hello");
    }
    for (unsigned n = 0; n < THREADS; n++) {
        unsigned count = 0;
        for (unsigned i = 0; i < ARRAY_LEN(conns); i++) {
            char text[32];
            snprintf(text, sizeof(text), "thread %u.", n);
            raw_send(conns[i], GET("/thread"));
            raw_expect(conns[i], "thread ");
            count += conns[i]->data[0] == text[7];
            raw_expect(conns[i], ".");
        }
        CHECK(count == ARRAY_LEN(conns) / THREADS);
    }
    for (unsigned i = 0; i < ARRAY_LEN(conns); i++)
        raw_close(conns[i]);
    return 0;
}

/* Some are on their way from the thread that accepted them to another. */
static int FIBER stop_waits_for_connections_just_accepted(struct env *e)
{
    struct raw *conns[16 * THREADS];
    for (unsigned i = 0; i < ARRAY_LEN(conns); i++)
        conns[i] = raw_open(e);
    e->keep_server = true;
    http_server_stop(e->server, SOON);
    for (unsigned i = 0; i < ARRAY_LEN(conns); i++)
        raw_close(conns[i]);
    return 0;
}

static int FIBER pipelined_requests_are_answered_in_order(struct env *e)
{
    struct raw *r = raw_open(e);
    raw_send(r, GET("/hello") "PUT /all HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody" GET(
                    "/thirty") "PUT /all HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
                               "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" GET("/empty"));
    raw_expect(r, "\r\n\r\nhello");
    raw_expect(r, "\r\n\r\nbody");
    raw_expect(r, "\r\n\r\nabcdefghijabcdefghijabcdefghij");
    raw_expect(r, "\r\n\r\nabc");
    raw_expect(r, "HTTP/1.1 204 No Content\r\n");
    raw_close(r);
    return 0;
}

static int FIBER requests_cut_anywhere_are_put_together(struct env *e)
{
    static const char text[] =
        "\r\nPUT /all HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n" GET("/hello");
    struct raw *r = raw_open(e);
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        CHECK(raw_try_send(r, str_make(text + i, 1)) == 0);
        rt_yield();
    }
    raw_expect(r, "\r\n\r\nabcde");
    raw_expect(r, "\r\n\r\nhello");
    raw_close(r);
    return 0;
}

static int FIBER http_1_0_closes_unless_asked_not_to(struct env *e)
{
    struct raw *r = raw_open(e);
    raw_send(r, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    raw_expect(r, "Connection: keep-alive\r\n");
    raw_expect(r, "hello");
    struct str answer = raw_once(r, "GET /chunked HTTP/1.0\r\n\r\n");
    CHECK(has(answer, "Connection: close\r\n") && !has(answer, "Transfer-Encoding"));
    CHECK(str_ends(answer, STR("\r\n\r\nabcdefghijabcdefghijabcdefghij")));
    raw_close(r);
    return 0;
}

static int FIBER head_declares_the_length_and_sends_no_body(struct env *e)
{
    struct raw *r = raw_open(e);
    raw_send(r, "HEAD /hello HTTP/1.1\r\nHost: h\r\n\r\n");
    raw_expect(r, "Content-Length: 5\r\n\r\n");
    CHECK(raw_silent(r, 30 * RT_MS));
    raw_send(r, "HEAD /thirty HTTP/1.1\r\nHost: h\r\n\r\n");
    raw_expect(r, "Content-Length: 30\r\n\r\n");
    CHECK(raw_silent(r, 30 * RT_MS));
    struct str answer =
        raw_once(r, "HEAD /chunked HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    CHECK(str_ends(answer, STR("\r\n\r\n")) && has(answer, "Transfer-Encoding: chunked\r\n"));
    raw_close(r);
    return 0;
}

static int FIBER bodyless_statuses_have_no_body(struct env *e)
{
    struct raw *r = raw_open(e);
    raw_send(r, GET("/empty"));
    raw_expect(r, "HTTP/1.1 204 No Content\r\n");
    raw_expect(r, "\r\n\r\n");
    raw_send(r, GET("/not-modified"));
    raw_expect(r, "HTTP/1.1 304 Not Modified\r\n");
    raw_expect(r, "\r\n\r\n");
    CHECK(raw_silent(r, 30 * RT_MS));
    struct str answer = raw_once(r, "GET /empty HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    CHECK(!has(answer, "Content-Length"));
    raw_close(r);
    return 0;
}

static int FIBER a_streamed_answer_of_unknown_length_is_chunked(struct env *e)
{
    struct raw *r = raw_open(e);
    raw_send(r, GET("/chunked"));
    raw_expect(r, "Transfer-Encoding: chunked\r\n\r\na\r\nabcdefghij\r\na\r\nabcdefghij\r\n"
                  "a\r\nabcdefghij\r\n0\r\n\r\n");
    raw_send(r, GET("/hello"));
    raw_expect(r, "hello");
    raw_close(r);
    return 0;
}

static int FIBER a_short_answer_ends_the_connection(struct env *e)
{
    struct raw *r = raw_open(e);
    struct str answer = raw_once(r, GET("/short"));
    CHECK(has(answer, "Content-Length: 31\r\n"));
    CHECK(str_ends(answer, STR("\r\n\r\nabcdefghijabcdefghijabcdefghij")));
    raw_close(r);
    return 0;
}

static int FIBER an_answer_begun_and_left_ends_the_connection(struct env *e)
{
    struct raw *r = raw_open(e);
    struct str answer = raw_once(r, GET("/left"));
    CHECK(str_ends(answer, STR("\r\n\r\n5\r\nstart\r\n"))); /* no last chunk */
    raw_close(r);
    return 0;
}

static int FIBER no_answer_of_the_handler_is_an_internal_error(struct env *e)
{
    struct raw *r = raw_open(e);
    raw_send(r, GET("/nothing"));
    raw_expect(r, "HTTP/1.1 500 Internal Server Error\r\n");
    raw_expect(r, "Content-Type: text/x-error\r\n");
    raw_expect(r, "<InternalError>");
    raw_close(r);
    return 0;
}

static int FIBER headers_cannot_be_injected(struct env *e)
{
    struct raw *r = raw_open(e);
    raw_send(r, GET("/inject"));
    raw_expect(r, "X-C: c\r\nContent-Length: 4\r\n\r\nsafe");
    CHECK(r->len == 0);
    raw_close(r);
    return 0;
}

static int FIBER a_given_back_piece_comes_again(struct env *e)
{
    struct raw *r = raw_open(e);
    raw_send(r, "PUT /peek HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde");
    raw_expect(r, "\r\n\r\nbcde");
    raw_close(r);
    return 0;
}

static int FIBER a_body_over_the_handlers_limit_is_told(struct env *e)
{
    static char chunk[70000];
    struct raw *r = raw_open(e);
    memset(chunk, 'x', sizeof(chunk));
    raw_send(r, "PUT /all HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\n");
    raw_expect(r, "too large");
    CHECK(raw_try_send(r, str_make(chunk, sizeof(chunk))) == 0); /* is drained */
    raw_send(r, "PUT /all HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n");
    CHECK(raw_try_send(r, str_make(chunk, sizeof(chunk))) == 0);
    raw_send(r, "\r\n0\r\n\r\n");
    raw_expect(r, "too large");
    raw_send(r, GET("/hello"));
    raw_expect(r, "hello");
    raw_close(r);
    return 0;
}

/* Each is answered with 400 (or what stands beside it) and the connection closes: what follows the
 * head must not be taken for a request. */
static int FIBER smuggling_forms_are_refused(struct env *e)
{
    static const struct {
        const char *text, *status;
    } cases[] = {
        {"POST /all HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\n\r\nGET /hello HTTP/1.1\r\nHost: h\r\n\r\n",
         "400"},
        {"POST /all HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
         "400"},
        {"POST /all HTTP/1.1\r\nHost: h\r\nContent-Length: +4\r\n\r\nabcd", "400"},
        {"POST /all HTTP/1.1\r\nHost: h\r\nContent-Length : 4\r\n\r\nabcd", "400"},
        {"POST /all HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n", "[45]0"},
        {"POST /all HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "501"},
        {"POST /all HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0b"
         "chunked\r\n\r\n",
         "[45]0"},
        {"GET /hello HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", "400"},
        {"GET /hello HTTP/1.1\r\nHost: h\r\nX: a\nY: b\r\n\r\n", "400"},
        {"GET /hello HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", "400"},
        {"GET /hello HTTP/1.1\r\n\r\n", "400"},
        {"GET  /hello HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
        {"GET /hello HTTP/2.0\r\nHost: h\r\n\r\n", "400"},
        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raw *r = raw_open(e);
        struct str answer = raw_once(r, cases[i].text);
        bool any = cases[i].status[0] == '[';
        if (!str_starts(answer, STR("HTTP/1.1 ")) || !has(answer, "\r\nConnection: close\r\n") ||
            !has(answer, "x-amz-request-id: ") || has(answer, "200 OK") ||
            (!any && memcmp(answer.ptr + 9, cases[i].status, 3) != 0)) {
            fprintf(stderr, "case %zu: %.*s\n", i, STR_FMT(answer));
            CHECK(!"refused");
        }
        raw_close(r);
    }
    return 0;
}

static int FIBER broken_chunks_are_refused(struct env *e)
{
    static const char *const cases[] = {"x\r\n",      "-1\r\n", "3\r\nabcd\r\n",
                                        "3\nabc\r\n", "\r\n",   "fffffffffffffffff\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raw *r = raw_open(e);
        raw_send(r, "POST /hash HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        struct str answer = raw_once(r, cases[i]);
        CHECK(has(answer, "HTTP/1.1 400 ") && has(answer, "Connection: close\r\n"));
        raw_close(r);
    }
    return 0;
}

static int FIBER a_body_that_ends_early_is_incomplete(struct env *e)
{
    struct raw *r = raw_open(e);
    char expected[32];
    snprintf(expected, sizeof(expected), "%d 3 ", -ERR_INCOMPLETE_BODY);
    raw_send(r, "PUT /hash HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
    rt_socket_shutdown(r->socket);
    struct str answer = raw_rest(r);
    CHECK(has(answer, expected) && has(answer, "Connection: close\r\n"));
    raw_close(r);
    return 0;
}

/* ---- Expect --------------------------------------------------------------------------------- */

static int FIBER continue_is_sent_when_the_handler_reads(struct env *e)
{
    struct raw *r = raw_open(e);
    for (int i = 0; i < 2; i++) {
        raw_send(r, "PUT /all HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"
                    "Expect: 100-continue\r\n\r\n");
        raw_expect(r, "HTTP/1.1 100 Continue\r\n\r\n");
        raw_send(r, "body");
        raw_expect(r, "\r\n\r\nbody");
    }
    raw_close(r);
    return 0;
}

static int FIBER a_refused_expectation_closes_without_continue(struct env *e)
{
    struct raw *r = raw_open(e);
    struct str answer = raw_once(r, "PUT /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"
                                    "Expect: 100-continue\r\n\r\n");
    CHECK(str_starts(answer, STR("HTTP/1.1 403 ")) && has(answer, "Connection: close\r\n"));
    CHECK(!has(answer, "100 Continue"));
    raw_close(r);
    return 0;
}

static int FIBER other_expectations_are_passed_over(struct env *e)
{
    struct raw *r = raw_open(e);
    raw_send(r, "GET /hello HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\n\r\n");
    raw_expect(r, "HTTP/1.1 200 ");
    raw_expect(r, "hello");
    raw_close(r);
    return 0;
}

/* ---- bodies nobody reads -------------------------------------------------------------------- */

static int FIBER a_small_unread_body_is_drained(struct env *e)
{
    struct raw *r = raw_open(e);
    raw_send(r, "PUT /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n");
    raw_expect(r, "\r\n\r\nno");
    for (int i = 0; i < 100; i++)
        raw_send(r, "GET /hello");
    raw_send(r, "PUT /refuse HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                "4\r\nGET \r\n0\r\n\r\n" GET("/hello"));
    raw_expect(r, "\r\n\r\nno");
    raw_expect(r, "\r\n\r\nhello");
    CHECK(r->len == 0);
    raw_close(r);
    return 0;
}

static int FIBER a_large_unread_body_closes_and_the_answer_arrives(struct env *e)
{
    static char block[64 * 1024];
    struct raw *r = raw_open(e);
    raw_send(r, "PUT /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 16777216\r\n\r\n");
    for (int i = 0; i < 256; i++) /* all of it: a client that reads only afterwards */
        CHECK(raw_try_send(r, str_make(block, sizeof(block))) == 0);
    struct str answer = raw_rest(r);
    CHECK(str_starts(answer, STR("HTTP/1.1 403 ")) && has(answer, "Connection: close\r\n"));
    CHECK(str_ends(answer, STR("\r\n\r\nno")));
    raw_close(r);
    return 0;
}

/* ---- large bodies --------------------------------------------------------------------------- */

struct pump {
    struct raw *raw;
    uint64_t len;
    bool chunked;
};

/* Sends `len` bytes of a pattern in pieces of odd sizes. */
static int FIBER pump_main(void *arg)
{
    struct pump *p = arg;
    static char block[100003];
    char line[32];
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i * 7 + i / 251);
    for (uint64_t left = p->len; left;) {
        size_t n = MIN(left, (uint64_t)sizeof(block) - left % 5000);
        if (p->chunked) {
            snprintf(line, sizeof(line), "%zx\r\n", n);
            raw_send(p->raw, line);
        }
        CHECK(raw_try_send(p->raw, str_make(block, n)) == 0);
        if (p->chunked)
            raw_send(p->raw, "\r\n");
        left -= n;
    }
    if (p->chunked)
        raw_send(p->raw, "0\r\n\r\n");
    return 0;
}

static uint32_t pump_crc(uint64_t len)
{
    static char block[100003];
    uint32_t crc = 0;
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = (char)(i * 7 + i / 251);
    for (uint64_t left = len; left;) {
        size_t n = MIN(left, (uint64_t)sizeof(block) - left % 5000);
        crc = hash_crc32c(crc, block, n);
        left -= n;
    }
    return crc;
}

#define LARGE (20 * MIB + 12345)

static int FIBER large_bodies_arrive_whole(struct env *e)
{
    char expected[64];
    snprintf(expected, sizeof(expected), "\r\n\r\n0 %llu %08x", (unsigned long long)LARGE,
             pump_crc(LARGE));
    for (int chunked = 0; chunked < 2; chunked++) {
        struct raw *r = raw_open(e);
        struct pump p = {r, LARGE, chunked};
        char head[128];
        snprintf(head, sizeof(head),
                 chunked ? "PUT /hash HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                         : "PUT /hash HTTP/1.1\r\nHost: h\r\nContent-Length: %llu\r\n\r\n",
                 (unsigned long long)LARGE);
        raw_send(r, head);
        pump_main(&p);
        raw_send(r, GET("/hello"));
        raw_expect(r, expected);
        raw_expect(r, "hello");
        raw_close(r);
    }
    return 0;
}

static int FIBER a_large_body_is_echoed_while_it_comes(struct env *e)
{
    struct raw *r = raw_open(e);
    struct pump p = {r, LARGE, false};
    struct rt_fiber *f;
    char head[128];
    uint32_t crc = 0;
    snprintf(head, sizeof(head), "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %llu\r\n\r\n",
             (unsigned long long)LARGE);
    raw_send(r, head);
    CHECK(rt_spawn(&f, "pump", pump_main, &p) == 0);
    raw_expect(r, "\r\n\r\n");
    uint64_t got = r->len;
    crc = hash_crc32c(crc, r->data, r->len);
    while (got < LARGE) {
        size_t len = 0;
        CHECK(rt_recv(r->socket, r->data, sizeof(r->data), SOON, &len) == 0 && len > 0);
        crc = hash_crc32c(crc, r->data, len);
        got += len;
    }
    CHECK(got == LARGE && crc == pump_crc(LARGE));
    CHECK(rt_join(f) == 0);
    raw_close(r);
    return 0;
}

/* ---- the list ------------------------------------------------------------------------------- */

#define CASES(X)                                         \
    X(keep_alive_reuses_the_connection)                  \
    X(pipelined_requests_are_answered_in_order)          \
    X(requests_cut_anywhere_are_put_together)            \
    X(http_1_0_closes_unless_asked_not_to)               \
    X(head_declares_the_length_and_sends_no_body)        \
    X(bodyless_statuses_have_no_body)                    \
    X(a_streamed_answer_of_unknown_length_is_chunked)    \
    X(a_short_answer_ends_the_connection)                \
    X(an_answer_begun_and_left_ends_the_connection)      \
    X(no_answer_of_the_handler_is_an_internal_error)     \
    X(headers_cannot_be_injected)                        \
    X(a_given_back_piece_comes_again)                    \
    X(a_body_over_the_handlers_limit_is_told)            \
    X(smuggling_forms_are_refused)                       \
    X(broken_chunks_are_refused)                         \
    X(a_body_that_ends_early_is_incomplete)              \
    X(continue_is_sent_when_the_handler_reads)           \
    X(a_refused_expectation_closes_without_continue)     \
    X(other_expectations_are_passed_over)                \
    X(a_small_unread_body_is_drained)                    \
    X(a_large_unread_body_closes_and_the_answer_arrives) \
    X(large_bodies_arrive_whole)                         \
    X(a_large_body_is_echoed_while_it_comes)

#define X(name)                                                                   \
    static void run_##name(void **state)                                          \
    {                                                                             \
        struct env e = {.config = {.server_name = "Cairn", .host_id = "host-1"}}; \
        help_run(&e, name);                                                       \
    }
CASES(X)
#undef X

#define THREADED(X)                          \
    X(every_thread_gets_as_many_connections) \
    X(stop_waits_for_connections_just_accepted)

#define X(name)                              \
    static void run_##name(void **state)     \
    {                                        \
        struct env e = {.threads = THREADS}; \
        help_run(&e, name);                  \
    }
THREADED(X)
#undef X

int main(void)
{
#define X(name) cmocka_unit_test(run_##name),
    const struct CMUnitTest tests[] = {CASES(X) THREADED(X)};
#undef X
    return cmocka_run_group_tests(tests, NULL, NULL);
}
