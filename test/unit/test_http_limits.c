/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Limits, deadlines, idle connections, stop. */

#include <sys/resource.h>
#include "http_help.h"
#include "rt/sanitize.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"

/* ---- sizes ---------------------------------------------------------------------------------- */

static int FIBER long_heads_are_refused(struct env *e)
{
    static char line[70000];
    memset(line, 'a', sizeof(line) - 1);
    struct raw *r = raw_open(e);
    raw_send(r, "GET /");
    struct str answer = raw_once(r, line);
    CHECK(str_starts(answer, STR("HTTP/1.1 414 ")) && has(answer, "<RequestURITooLong>"));
    raw_close(r);
    r = raw_open(e);
    raw_send(r, "GET /hello HTTP/1.1\r\nHost: h\r\nX: ");
    answer = raw_once(r, line);
    CHECK(str_starts(answer, STR("HTTP/1.1 400 ")) &&
          has(answer, "<RequestHeaderSectionTooLarge>"));
    raw_close(r);
    return 0;
}

static int FIBER a_head_up_to_the_limit_is_served(struct env *e)
{
    static char line[60000];
    memset(line, 'a', sizeof(line) - 1);
    struct raw *r = raw_open(e);
    for (int i = 0; i < 2; i++) {
        raw_send(r, "GET /hello HTTP/1.1\r\nHost: h\r\nX: ");
        raw_send(r, line);
        raw_send(r, "\r\n\r\n");
        raw_expect(r, "\r\n\r\nhello");
    }
    raw_close(r);
    return 0;
}

static int FIBER too_many_headers_are_refused(struct env *e)
{
    struct raw *r = raw_open(e);
    raw_send(r, "GET /hello HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 200; i++)
        raw_try_send(r, STR("X-A: b\r\n"));
    struct str answer = raw_rest(r);
    CHECK(has(answer, "<RequestHeaderSectionTooLarge>"));
    raw_close(r);
    return 0;
}

/* ---- deadlines ------------------------------------------------------------------------------ */

/* Once more when we stood still before we sent anything: that one is closed without a word. */
static int FIBER a_slow_head_times_out(struct env *e)
{
    bool told = false;
    while (!told) {
        uint64_t from = rt_now();
        struct raw *r = raw_open(e);
        bool sent = raw_try_send(r, STR("GET /hello HT")) == 0;
        struct str answer = raw_rest(r);
        told = sent && answer.len > 0;
        if (told)
            CHECK(str_starts(answer, STR("HTTP/1.1 400 ")) && has(answer, "<RequestTimeout>"));
        CHECK(rt_now() - from < PROMPT && rt_now() - from > 200 * RT_MS);
        raw_close(r);
    }
    return 0;
}

static int FIBER a_head_byte_by_byte_times_out(struct env *e)
{
    struct raw *r = raw_open(e);
    raw_send(r, "GET /hello HTTP/1.1\r\nX: ");
    uint64_t from = rt_now();
    while (rt_now() - from < 600 * RT_MS && raw_try_send(r, STR("a")) == 0)
        rt_sleep_until(rt_now() + 20 * RT_MS);
    CHECK(has(raw_rest(r), "<RequestTimeout>"));
    raw_close(r);
    return 0;
}

static int FIBER a_stalled_body_times_out(struct env *e)
{
    struct raw *r = raw_open(e);
    char expected[32];
    snprintf(expected, sizeof(expected), "%d 3 ", -ERR_REQUEST_TIMEOUT);
    raw_send(r, "PUT /hash HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
    struct str answer = raw_rest(r);
    CHECK(has(answer, expected) && has(answer, "Connection: close\r\n"));
    raw_close(r);
    return 0;
}

static int FIBER a_trickling_body_times_out(struct env *e)
{
    struct raw *r = raw_open(e);
    raw_send(r, "PUT /hash HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    uint64_t from = rt_now();
    while (raw_silent(r, 20 * RT_MS) && rt_now() - from < 2 * PROMPT)
        CHECK(raw_try_send(r, STR("a")) == 0);
    CHECK(rt_now() - from < PROMPT); /* it did not wait for the client to stop */
    raw_close(r);
    return 0;
}

static int FIBER a_client_that_does_not_read_is_given_up(struct env *e)
{
    static char block[64 * 1024];
    struct raw *r = raw_open(e);
    int rc = 0;
    raw_send(r, "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1073741824\r\n\r\n");
    uint64_t from = rt_now();
    while (rc == 0 && rt_now() - from < 2 * PROMPT) /* until its buffers and ours are full */
        rc = raw_try_send(r, str_make(block, sizeof(block)));
    CHECK(rc == -EPIPE || rc == -ECONNRESET);
    raw_close(r);
    return 0;
}

static int FIBER a_silent_connection_is_closed(struct env *e)
{
    struct raw *r = raw_open(e);
    CHECK(raw_rest(r).len == 0);
    raw_close(r);
    return 0;
}

static int FIBER an_idle_connection_is_closed_in_time(struct env *e)
{
    struct raw *r = raw_open(e);
    uint64_t from = rt_now();
    raw_send(r, GET("/hello"));
    raw_expect(r, "hello");
    CHECK(raw_rest(r).len == 0);
    CHECK(rt_now() - from > RT_S && rt_now() - from < PROMPT);
    raw_close(r);
    return 0;
}

/* ---- counts --------------------------------------------------------------------------------- */

static int FIBER connections_over_the_limit_are_told(struct env *e)
{
    struct raw *kept[4];
    for (int i = 0; i < 4; i++) {
        kept[i] = raw_open(e);
        raw_send(kept[i], GET("/hello"));
        raw_expect(kept[i], "hello");
    }
    struct raw *r = raw_open(e);
    struct str answer = raw_once(r, GET("/hello"));
    CHECK(str_starts(answer, STR("HTTP/1.1 503 ")) && has(answer, "<SlowDown>"));
    CHECK(has(answer, "Retry-After: 1\r\n") && has(answer, "Connection: close\r\n"));
    raw_close(r);
    raw_close(kept[0]);
    struct http_server_stats stats;
    do {
        rt_sleep_until(rt_now() + 5 * RT_MS);
        http_server_stats(e->server, &stats);
    } while (stats.connections > 3);
    r = raw_open(e);
    raw_send(r, GET("/hello"));
    raw_expect(r, "hello");
    raw_close(r);
    for (int i = 1; i < 4; i++)
        raw_close(kept[i]);
    return 0;
}

static int FIBER requests_over_the_limit_are_told(struct env *e)
{
    struct raw *busy[3], *r = raw_open(e);
    for (int i = 0; i < 3; i++) {
        busy[i] = raw_open(e);
        raw_send(busy[i], GET("/hold"));
    }
    help_wait_active(e, 3);
    raw_send(r, GET("/hello"));
    raw_expect(r, "HTTP/1.1 503 ");
    raw_expect(r, "<SlowDown>");
    e->release = true;
    for (int i = 0; i < 3; i++) {
        raw_expect(busy[i], "\r\n\r\nheld");
        raw_close(busy[i]);
    }
    raw_send(r, GET("/hello")); /* the connection goes on */
    raw_expect(r, "\r\n\r\nhello");
    raw_close(r);
    return 0;
}

static int FIBER running_out_of_descriptors_is_survived(struct env *e)
{
    struct rlimit old, low = {.rlim_cur = 64, .rlim_max = 64};
    struct raw *r = raw_open(e), *more[64];
    unsigned count = 0;
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    low.rlim_max = old.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
    /* The client takes every descriptor, so connections wait in the backlog. */
    for (; count < ARRAY_LEN(more); count++) {
        more[count] = calloc(1, sizeof(*r));
        if (rt_connect(&more[count]->socket, &e->address, SOON) < 0)
            break;
    }
    CHECK(count > 10 && count < ARRAY_LEN(more));
    rt_sleep_until(rt_now() + 100 * RT_MS);
    raw_send(r, GET("/hello"));
    raw_expect(r, "hello");
    free(more[count]);
    raw_send(more[count - 1], GET("/hello"));
    for (unsigned i = 0; i < count - 1; i++)
        raw_close(more[i]);
    raw_expect(more[count - 1], "hello");
    raw_close(more[count - 1]);
    raw_close(r);
    CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
    return 0;
}

/* ---- idle connections ----------------------------------------------------------------------- */

#define IDLE 2000

static size_t resident_bytes(void)
{
    size_t pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    CHECK(f && fscanf(f, "%*u %zu", &pages) == 1);
    fclose(f);
    return pages * 4096;
}

static int FIBER idle_connections_are_cheap(struct env *e)
{
    static struct rt_socket *sockets[IDLE];
    static const char text[] = GET("/hello");
    char answer[1024];
    size_t len;
    struct rt_stats stats;
    size_t before = resident_bytes();
    for (int i = 0; i < IDLE; i++) {
        struct iovec iov = {(void *)text, sizeof(text) - 1};
        CHECK(rt_connect(&sockets[i], &e->address, SOON) == 0);
        CHECK(rt_send(sockets[i], &iov, 1, SOON) == 0);
        CHECK(rt_recv(sockets[i], answer, sizeof(answer), SOON, &len) == 0 && len > 100);
    }
    uint64_t until = SOON;
    do {
        rt_sleep_until(rt_now() + 50 * RT_MS);
        rt_stats(&stats);
    } while (stats.parked < IDLE && rt_now() < until);
    CHECK(stats.parked == IDLE && stats.fibers < 20);
    /* Both ends live in this process: two sockets, one connection, and what pools have kept. */
    size_t each = (resident_bytes() - before) / IDLE;
    printf("%zu bytes a connection with its client\n", each);
    /* A stack or an input buffer that an idle connection kept would be 16 KiB at the least. */
    CHECK(RT_ASAN || RT_ON_VALGRIND || each < 12 * KIB);
    for (int i = 0; i < IDLE; i += 100) { /* they wake */
        struct iovec iov = {(void *)text, sizeof(text) - 1};
        CHECK(rt_send(sockets[i], &iov, 1, SOON) == 0);
        CHECK(rt_recv(sockets[i], answer, sizeof(answer), SOON, &len) == 0 && len > 100);
    }
    for (int i = 0; i < IDLE; i++)
        rt_socket_close(sockets[i]);
    return 0;
}

/* ---- stop ----------------------------------------------------------------------------------- */

static int FIBER release_later(void *arg)
{
    struct env *e = arg;
    rt_sleep_until(rt_now() + 200 * RT_MS);
    e->release = true;
    return 0;
}

static int FIBER stop_lets_requests_finish(struct env *e)
{
    struct raw *parked = raw_open(e), *waiting = raw_open(e), *busy = raw_open(e);
    e->keep_server = true;
    raw_send(parked, GET("/hello"));
    raw_expect(parked, "hello");
    rt_sleep_until(rt_now() + 1300 * RT_MS);
    raw_send(waiting, GET("/hello"));
    raw_expect(waiting, "hello");
    raw_send(busy, GET("/hold"));
    help_wait_active(e, 1);
    uint64_t from = rt_now();
    struct rt_fiber *releaser;
    CHECK(rt_spawn(&releaser, "release", release_later, e) == 0);
    http_server_stop(e->server, SOON);
    rt_join(releaser);
    CHECK(rt_now() - from < PROMPT && e->done == 3);
    CHECK(raw_rest(parked).len == 0 && raw_rest(waiting).len == 0);
    struct str answer = raw_rest(busy);
    CHECK(has(answer, "Connection: close\r\n") && str_ends(answer, STR("\r\n\r\nheld")));
    raw_close(parked);
    raw_close(waiting);
    raw_close(busy);
    return 0;
}

static int FIBER stop_cuts_what_does_not_finish(struct env *e)
{
    struct raw *r = raw_open(e), *half = raw_open(e);
    e->keep_server = true;
    raw_send(r, "PUT /hash HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
    raw_send(half, "GET /he");
    help_wait_active(e, 1);
    uint64_t from = rt_now();
    http_server_stop(e->server, from + 200 * RT_MS);
    CHECK(rt_now() - from < PROMPT);
    raw_rest(r);
    raw_rest(half);
    raw_close(r);
    raw_close(half);
    return 0;
}

static int FIBER a_taken_port_is_told(struct env *e)
{
    struct http_server_config config = e->config;
    struct http_server *s = NULL;
    CHECK(rt_address_parse(&config.address, "192.0.2.1:9") == 0); /* nobody's: RFC 5737 */
    CHECK(http_server_start(&s, &config) < 0 && s == NULL);
    return 0;
}

#define SHARED 300

static int by_text(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

static int FIBER threads_share_port_and_limits(struct env *e)
{
    static char ids[SHARED][16];
    static struct raw *raws[SHARED];
    e->keep_server = true;
    for (int i = 0; i < SHARED; i++) {
        raws[i] = raw_open(e);
        raw_send(raws[i], GET("/slow"));
    }
    for (int i = 0; i < SHARED; i++) {
        raw_expect(raws[i], "x-amz-request-id: ");
        memcpy(ids[i], raws[i]->data, 16);
        raw_expect(raws[i], "slow");
    }
    qsort(ids, SHARED, 16, by_text);
    for (int i = 1; i < SHARED; i++)
        CHECK(memcmp(ids[i - 1], ids[i], 16) != 0);
    for (int i = 0; i < SHARED; i += 2)
        raw_close(raws[i]);
    raw_send(raws[1], GET("/slow"));
    help_wait_active(e, 1);
    http_server_stop(e->server, SOON);
    raw_expect(raws[1], "slow");
    for (int i = 1; i < SHARED; i += 2) {
        CHECK(raw_rest(raws[i]).len == 0);
        raw_close(raws[i]);
    }
    CHECK(e->done == SHARED + 1);
    return 0;
}

/* ---- the list ------------------------------------------------------------------------------- */

#define CASES(X)                                                               \
    X(long_heads_are_refused, 0)                                               \
    X(a_head_up_to_the_limit_is_served, 0)                                     \
    X(too_many_headers_are_refused, 0)                                         \
    X(a_slow_head_times_out, .head_timeout_ns = 300 * RT_MS)                   \
    X(a_head_byte_by_byte_times_out, .head_timeout_ns = 300 * RT_MS)           \
    X(a_stalled_body_times_out, .body_timeout_ns = 300 * RT_MS)                \
    X(a_trickling_body_times_out, .body_timeout_ns = 300 * RT_MS)              \
    X(a_client_that_does_not_read_is_given_up, .send_timeout_ns = 300 * RT_MS) \
    X(a_silent_connection_is_closed, .head_timeout_ns = 300 * RT_MS)           \
    X(an_idle_connection_is_closed_in_time, .idle_timeout_ns = 1500 * RT_MS)   \
    X(connections_over_the_limit_are_told, .connections = 4)                   \
    X(requests_over_the_limit_are_told, .requests = 3)                         \
    X(running_out_of_descriptors_is_survived, 0)                               \
    X(idle_connections_are_cheap, 0)                                           \
    X(stop_lets_requests_finish, 0)                                            \
    X(stop_cuts_what_does_not_finish, 0)                                       \
    X(a_taken_port_is_told, 0)

#define X(name, ...)                                                        \
    static void run_##name(void **state)                                    \
    {                                                                       \
        struct env e = {.threads = 1, .config = {.limits = {__VA_ARGS__}}}; \
        help_run(&e, name);                                                 \
    }
CASES(X)
#undef X

static void run_threads_share_port_and_limits(void **state)
{
    struct env e = {.threads = 3};
    help_run(&e, threads_share_port_and_limits);
}

int main(void)
{
#define X(name, ...) cmocka_unit_test(run_##name),
    const struct CMUnitTest tests[] = {CASES(X)
                                           cmocka_unit_test(run_threads_share_port_and_limits)};
#undef X
    return cmocka_run_group_tests(tests, NULL, NULL);
}
