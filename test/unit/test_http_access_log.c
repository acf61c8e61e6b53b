/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* The access log: what a line holds, that it cannot be forged, that it is cheap. */

#include <unistd.h>
#include "base/log.h"
#include "http/access_log.h"
#include "http_help.h"

static struct access_log *lines;
static char logged[256 * 1024];

static void FIBER log_handler(struct http_exchange *x, void *arg)
{
    http_respond(x, 404, STR("gone"));
}

static void log_done(struct http_exchange *x, void *arg)
{
    struct access_entry e = {
        .user = STR("alice"),
        .operation = STR("GetObject"),
        .bucket = STR("photos"),
        .key = STR("a b\r\nid=forged"),
        .error = STR("NoSuchKey"),
    };
    access_log_put(lines, x, &e);
}

/* Standard error goes to a file meanwhile; what came is in `logged`. */
static void capture(int (*fn)(void *), unsigned threads)
{
    struct rt_config c = {.threads = threads};
    FILE *f = tmpfile();
    int kept = dup(STDERR_FILENO);
    assert_true(f && kept >= 0 && dup2(fileno(f), STDERR_FILENO) >= 0);
    int rc = rt_run(&c, fn, NULL);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
    fseek(f, 0, SEEK_END);
    long size = ftell(f),
         room = (long)sizeof(logged) - 1; /* the last bytes, if there are too many */
    fseek(f, size > room ? size - room : 0, SEEK_SET);
    logged[fread(logged, 1, sizeof(logged) - 1, f)] = '\0';
    fclose(f);
    assert_int_equal(rc, 0);
}

static int FIBER serve_two(void *arg)
{
    struct env e = {.config = {.handler = log_handler, .done = log_done}};
    CHECK(access_log_open(&lines) == 0);
    CHECK(rt_address_parse(&e.config.address, "127.0.0.1:0") == 0);
    CHECK(http_server_start(&e.server, &e.config) == 0);
    http_server_address(e.server, &e.address);
    struct raw *r = raw_open(&e);
    raw_send(r, "PUT /x?X-Amz-Signature=secret HTTP/1.1\r\nHost: h\r\nUser-Agent: test/1 \"q\"\r\n"
                "Content-Length: 3\r\n\r\nabc");
    raw_expect(r, "gone");
    raw_send(r, "GET /y HTTP/1.1\r\nHost: h\r\n\r\n");
    raw_expect(r, "gone");
    raw_close(r);
    http_server_stop(e.server, SOON);
    access_log_close(lines);
    return 0;
}

static unsigned line_count(void)
{
    unsigned n = 0;
    for (const char *p = logged; *p; p++)
        n += *p == '\n';
    return n;
}

static void a_line_holds_the_request_and_cannot_be_forged(void **state)
{
    log_setup(LOG_INFO, LOG_TEXT);
    capture(serve_two, 1);
    assert_int_equal(line_count(), 2);
    assert_non_null(strstr(logged, " info  request id="));
    assert_non_null(strstr(logged, " peer=127.0.0.1:"));
    assert_non_null(strstr(logged, " user=alice op=GetObject bucket=photos "
                                   "key=\"a b\\u000d\\u000aid=forged\" method=PUT status=404 "
                                   "error=NoSuchKey in=0 out=4 ttfb_us="));
    assert_non_null(strstr(logged, " agent=\"test/1 \\\"q\\\"\""));
    assert_null(strstr(logged, "secret"));
}

static void json_lines_are_whole(void **state)
{
    log_setup(LOG_INFO, LOG_JSON);
    capture(serve_two, 2);
    log_setup(LOG_INFO, LOG_TEXT);
    assert_int_equal(line_count(), 2);
    assert_int_equal(logged[0], '{');
    assert_non_null(strstr(logged, "\"}\n{\"time\":\""));
    assert_non_null(strstr(logged, ",\"status\":404,"));
    assert_non_null(strstr(logged, ",\"key\":\"a b\\u000d\\u000aid=forged\","));
}

/* ---- many lines ----------------------------------------------------------------------------- */

#define MANY 100000

static void cost_handler_done(struct http_exchange *x, void *arg)
{
    uint64_t from = rt_now();
    for (int i = 0; i < MANY; i++)
        log_done(x, NULL);
    *(uint64_t *)arg = rt_now() - from;
}

static int FIBER serve_many(void *arg)
{
    static uint64_t cost_ns;
    struct env e = {.config = {.handler = log_handler, .done = cost_handler_done, .arg = &cost_ns}};
    CHECK(access_log_open(&lines) == 0);
    CHECK(rt_address_parse(&e.config.address, "127.0.0.1:0") == 0);
    CHECK(http_server_start(&e.server, &e.config) == 0);
    http_server_address(e.server, &e.address);
    struct raw *r = raw_open(&e);
    raw_send(r, "GET /y HTTP/1.1\r\nHost: h\r\n\r\n");
    raw_expect(r, "gone");
    raw_close(r);
    http_server_stop(e.server, SOON);
    access_log_close(lines);
    printf("%.0f ns a line\n", (double)cost_ns / MANY);
    return 0;
}

static void lines_beyond_the_limit_are_dropped_and_counted(void **state)
{
    capture(serve_many, 1);
    assert_true(line_count() > 500);
    assert_non_null(strstr(logged, " warn  access log lines dropped count="));
}

/* ---- a reader that stalls ------------------------------------------------------------------- */

static void a_stalled_reader_holds_up_nobody(void **state)
{
    static const bool yes = true;
    char *text = malloc(MANY);
    for (unsigned i = 0; i < MANY; i++)
        text[i] = i % 100 == 99 ? '\n' : 'x';
    int ends[2], kept = dup(STDERR_FILENO);
    assert_true(kept >= 0 && pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    log_write(str_make(text, MANY), NULL); /* more than a pipe holds */
    log_write(str_make(text, MANY), &yes);
    log_event(LOG_ERROR, "an event", "is lost as well");
    ssize_t len = read(ends[0], logged, sizeof(logged) - 1);
    log_write(STR("it reads again\n"), NULL);
    ssize_t more = read(ends[0], logged + len, sizeof(logged) - 1 - (size_t)len);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
    close(ends[0]);
    free(text);
    assert_true(len > 0 && len < MANY && more > 0);
    logged[len + more] = '\0';
    assert_int_equal(len % 100, 0); /* of whole lines */
    assert_string_equal(logged + len, "it reads again\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_holds_the_request_and_cannot_be_forged),
        cmocka_unit_test(json_lines_are_whole),
        cmocka_unit_test(lines_beyond_the_limit_are_dropped_and_counted),
        cmocka_unit_test(a_stalled_reader_holds_up_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
