/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Sockets: echo, deadlines, cancelling in flight, parking, running out of descriptors. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <fcntl.h>
#include <cmocka.h>
#include "rt/rt.h"
#include "rt/sanitize.h"

#define IN_TIME soon(60000) /* for what must happen: long, for machines that are busy */

static void run(unsigned threads, int (*fn)(void *), void *arg)
{
    struct rt_config c = {.threads = threads};
    assert_int_equal(rt_run(&c, fn, arg), 0);
}

static uint64_t soon(uint64_t ms)
{
    return rt_now() + ms * RT_MS;
}

/* Two connected ends and the listener between them. */
struct link {
    struct rt_socket *listener, *client, *server;
    struct rt_address at;
};

static void listen_on_loopback(struct link *l)
{
    assert_int_equal(rt_address_parse(&l->at, "127.0.0.1:0"), 0);
    assert_int_equal(rt_listen(&l->listener, &l->at, true), 0);
    assert_int_equal(rt_socket_local(l->listener, &l->at), 0);
}

static void link_open(struct link *l)
{
    struct rt_address peer;
    char text[64];
    listen_on_loopback(l);
    assert_int_equal(rt_connect(&l->client, &l->at, IN_TIME), 0);
    assert_int_equal(rt_accept(l->listener, IN_TIME, &l->server, &peer), 0);
    rt_address_format(&peer, text);
    assert_memory_equal(text, "127.0.0.1:", 10);
}

static void link_close(struct link *l)
{
    rt_socket_close(l->client);
    rt_socket_close(l->server);
    rt_socket_close(l->listener);
}

static int send_bytes(struct rt_socket *s, const void *bytes, size_t len, uint64_t deadline)
{
    struct iovec iov = {(void *)bytes, len};
    return rt_send(s, &iov, 1, deadline);
}

static void expect_bytes(struct rt_socket *s, const char *text)
{
    char got[256];
    size_t done = 0, n, want = strlen(text);
    while (done < want) {
        assert_int_equal(rt_recv(s, got + done, want - done, IN_TIME, &n), 0);
        assert_true(n > 0);
        done += n;
    }
    assert_memory_equal(got, text, want);
}

/* ---- passing bytes --------------------------------------------------------------------------- */

static int pass_bytes(void *arg)
{
    struct link l;
    char c;
    size_t n;
    link_open(&l);
    assert_int_equal(send_bytes(l.client, "hello", 5, IN_TIME), 0);
    expect_bytes(l.server, "he");
    expect_bytes(l.server, "llo");
    struct iovec iov[] = {{"", 0}, {"wo", 2}, {"", 0}, {"rld", 3}, {"", 0}};
    assert_int_equal(rt_send(l.server, iov, 5, IN_TIME), 0);
    expect_bytes(l.client, "world");
    rt_socket_shutdown(l.client);
    assert_int_equal(rt_recv(l.server, &c, 1, IN_TIME, &n), 0);
    assert_int_equal(n, 0);
    link_close(&l);
    return 0;
}

static void bytes_pass_and_a_shutdown_ends_the_stream(void **state)
{
    run(1, pass_bytes, NULL);
}

#define MUCH (8 * MIB)

static int send_much(void *arg)
{
    _cleanup_free_ char *bytes = malloc(MUCH);
    for (size_t i = 0; i < MUCH; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    struct iovec iov[] = {{bytes, 1000}, {bytes + 1000, MUCH / 2}, {bytes + 1000 + MUCH / 2, 0}};
    iov[2].iov_len = MUCH - 1000 - MUCH / 2;
    assert_int_equal(rt_send(arg, iov, 3, IN_TIME), 0);
    rt_socket_shutdown(arg);
    return 0;
}

static int receive_much(void *arg)
{
    struct link l;
    struct rt_fiber *sender;
    char part[70000];
    size_t n, at = 0;
    link_open(&l);
    assert_int_equal(rt_spawn(&sender, "sender", send_much, l.client), 0);
    do {
        assert_int_equal(rt_recv(l.server, part, sizeof(part), IN_TIME, &n), 0);
        for (size_t i = 0; i < n; i++, at++)
            assert_int_equal(part[i], (char)(at * 7 + at / 251));
    } while (n > 0);
    assert_int_equal(at, MUCH);
    assert_int_equal(rt_join(sender), 0);
    link_close(&l);
    return 0;
}

static void a_send_larger_than_every_buffer_arrives_whole(void **state)
{
    run(1, receive_much, NULL);
}

/* A port that is bound and not listened on: a free one might be somebody's by then. */
static int fail_to_connect(void *arg)
{
    struct rt_address at;
    struct rt_socket *s;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(rt_address_parse(&at, "127.0.0.1:0"), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)at.bytes, at.len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at.bytes, &at.len), 0);
    assert_int_equal(rt_connect(&s, &at, IN_TIME), -ECONNREFUSED);
    close(fd);
    return 0;
}

static void connecting_to_nobody_is_refused(void **state)
{
    run(1, fail_to_connect, NULL);
}

/* ---- deadlines and cancelling ---------------------------------------------------------------- */

static int wait_in_vain(void *arg)
{
    struct link l;
    struct rt_socket *s;
    struct rt_address peer;
    char c;
    size_t n;
    link_open(&l);
    uint64_t start = rt_now();
    assert_int_equal(rt_recv(l.server, &c, 1, soon(10), &n), -ETIMEDOUT);
    assert_int_equal(rt_accept(l.listener, soon(10), &s, &peer), -ETIMEDOUT);
    _cleanup_free_ char *bytes = calloc(1, 64 * MIB);
    assert_int_equal(send_bytes(l.client, bytes, 64 * MIB, soon(10)), -ETIMEDOUT);
    assert_in_range(rt_now() - start, 30 * RT_MS, 30 * RT_S);
    link_close(&l);
    return 0;
}

static void socket_waits_end_at_their_deadline(void **state)
{
    run(1, wait_in_vain, NULL);
}

static int receive_one(void *arg)
{
    char c;
    size_t n;
    int r = rt_recv(arg, &c, 1, RT_NEVER, &n);
    if (r == -ECANCELED)
        assert_int_equal(rt_recv(arg, &c, 1, RT_NEVER, &n), -ECANCELED);
    return r;
}

static int accept_one(void *arg)
{
    struct rt_socket *s;
    struct rt_address peer;
    return rt_accept(arg, RT_NEVER, &s, &peer);
}

static int cancel_waits(void *arg)
{
    struct link l;
    struct rt_fiber *receiver, *acceptor;
    link_open(&l);
    assert_int_equal(rt_spawn(&receiver, "receiver", receive_one, l.server), 0);
    assert_int_equal(rt_spawn(&acceptor, "acceptor", accept_one, l.listener), 0);
    assert_int_equal(rt_sleep_until(soon(5)), 0);
    rt_cancel(receiver);
    rt_cancel(acceptor);
    assert_int_equal(rt_join(receiver), -ECANCELED);
    assert_int_equal(rt_join(acceptor), -ECANCELED);
    /* the byte sent after the cancelled wait is for the next one: no operation is left behind */
    assert_int_equal(send_bytes(l.client, "x", 1, IN_TIME), 0);
    expect_bytes(l.server, "x");
    link_close(&l);
    return 0;
}

static void a_cancelled_wait_leaves_no_operation_behind(void **state)
{
    run(1, cancel_waits, NULL);
}

/* ---- parking --------------------------------------------------------------------------------- */

struct parking {
    struct rt_socket *socket;
    int status; /* 1: none yet */
    struct rt_lock lock;
    struct rt_waitq done;
};

static void parking_over(void *arg, int status)
{
    struct parking *p = arg;
    rt_lock(&p->lock);
    p->status = status;
    rt_wake_all(&p->done);
    rt_unlock(&p->lock);
}

static void park(struct parking *p, struct rt_socket *s, uint64_t deadline)
{
    *p = (struct parking){.socket = s, .status = 1};
    assert_int_equal(rt_park(s, deadline, parking_over, p), 0);
}

static int parking_result(struct parking *p)
{
    rt_lock(&p->lock);
    while (p->status == 1)
        assert_int_equal(rt_wait(&p->done, &p->lock, IN_TIME), 0);
    int status = p->status;
    rt_unlock(&p->lock);
    return status;
}

static int park_each_way(void *arg)
{
    struct link l;
    struct parking p;
    struct rt_stats stats;
    char c;
    size_t n;
    link_open(&l);

    park(&p, l.server, RT_NEVER);
    rt_stats(&stats);
    assert_int_equal(stats.parked, 1);
    assert_int_equal(send_bytes(l.client, "x", 1, IN_TIME), 0);
    assert_int_equal(parking_result(&p), 0);
    expect_bytes(l.server, "x");

    park(&p, l.server, soon(10));
    assert_int_equal(parking_result(&p), -ETIMEDOUT);

    park(&p, l.server, RT_NEVER);
    rt_unpark(l.server);
    rt_unpark(l.server);
    assert_int_equal(parking_result(&p), -ECANCELED);
    rt_unpark(l.server);

    park(&p, l.server, IN_TIME);
    rt_socket_close(TAKE_PTR(l.client));
    assert_int_equal(parking_result(&p), 0);
    assert_int_equal(rt_recv(l.server, &c, 1, IN_TIME, &n), 0);
    assert_int_equal(n, 0);
    rt_stats(&stats);
    assert_int_equal(stats.parked, 0);
    link_close(&l);
    return 0;
}

static void a_parked_socket_wakes_when_readable_at_its_deadline_or_unparked(void **state)
{
    run(1, park_each_way, NULL);
}

static void end_idle(void *arg, int status)
{
    assert_int_equal(status, -ECANCELED);
    rt_socket_close(arg);
}

static int park_thousands(void *arg)
{
    enum { N = 3000 };
    static struct rt_socket *client[N], *server[N];
    struct link l;
    struct rt_address peer;
    struct rt_stats stats;
    listen_on_loopback(&l);
    for (int i = 0; i < N; i++) {
        assert_int_equal(rt_connect(&client[i], &l.at, IN_TIME), 0);
        assert_int_equal(rt_accept(l.listener, IN_TIME, &server[i], &peer), 0);
        assert_int_equal(rt_park(server[i], IN_TIME, end_idle, server[i]), 0);
    }
    rt_stats(&stats);
    assert_int_equal(stats.parked, N);
    assert_int_equal(stats.fibers, 1);
    assert_true(stats.stacks <= 2);
    for (int i = 0; i < N; i++)
        rt_unpark(server[i]);
    do {
        assert_int_equal(rt_sleep_until(soon(1)), 0);
        rt_stats(&stats);
    } while (stats.parked > 0);
    for (int i = 0; i < N; i++)
        rt_socket_close(client[i]);
    rt_socket_close(l.listener);
    return 0;
}

static void thousands_are_parked_without_a_stack(void **state)
{
    run(1, park_thousands, NULL);
}

static int park_at_the_fiber_limit(void *arg)
{
    struct link l;
    struct parking p;
    struct rt_fiber *other;
    link_open(&l);
    park(&p, l.server, RT_NEVER);
    assert_int_equal(rt_spawn(&other, "other", accept_one, l.listener), 0);
    assert_int_equal(send_bytes(l.client, "x", 1, IN_TIME), 0);
    assert_int_equal(rt_sleep_until(soon(30)), 0);
    assert_int_equal(p.status, 1);
    rt_cancel(other);
    assert_int_equal(rt_join(other), -ECANCELED);
    assert_int_equal(parking_result(&p), 0);
    link_close(&l);
    return 0;
}

static void an_unparking_refused_a_fiber_comes_later(void **state)
{
    struct rt_config c = {.threads = 1, .max_fibers = 2};
    assert_int_equal(rt_run(&c, park_at_the_fiber_limit, NULL), 0);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static int run_out_of_descriptors(void *arg)
{
    struct rlimit old, low;
    struct link l;
    struct rt_socket *s, *extra;
    struct rt_address peer;
    listen_on_loopback(&l);
    assert_int_equal(rt_connect(&l.client, &l.at, IN_TIME), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int next = dup(0);
    close(next);
    low = (struct rlimit){(rlim_t)next, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_int_equal(rt_accept(l.listener, IN_TIME, &s, &peer), -EMFILE);
    assert_int_equal(rt_connect(&extra, &l.at, IN_TIME), -EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(rt_accept(l.listener, IN_TIME, &l.server, &peer), 0);
    assert_int_equal(send_bytes(l.client, "x", 1, IN_TIME), 0);
    expect_bytes(l.server, "x");
    link_close(&l);
    return 0;
}

static void without_descriptors_accept_fails_and_the_loop_lives(void **state)
{
    if (RT_ON_VALGRIND)
        skip(); /* it keeps descriptors of its own and the limit from the kernel */
    run(1, run_out_of_descriptors, NULL);
}

/* ---- listening ------------------------------------------------------------------------------- */

static int take_and_share(void *arg)
{
    struct link l;
    struct rt_socket *other = NULL;
    listen_on_loopback(&l);
    assert_int_equal(rt_listen(&other, &l.at, true), -EADDRINUSE);
    assert_null(other);
    assert_int_equal(rt_listen(&other, &l.at, false), 0);
    rt_socket_close(l.listener);
    /* Those that share it hold it too. */
    assert_int_equal(rt_listen(&l.listener, &l.at, true), -EADDRINUSE);
    rt_socket_close(other);
    return 0;
}

static void an_address_is_taken_once_and_shared_by_the_threads_of_who_has_it(void **state)
{
    run(1, take_and_share, NULL);
}

/* ---- addresses ------------------------------------------------------------------------------- */

static int parse_addresses(void *arg)
{
    static const struct {
        const char *text, *shown;
    } good[] = {
        {"127.0.0.1:9000", "127.0.0.1:9000"},
        {":80", "0.0.0.0:80"},
        {"[::1]:65535", "[::1]:65535"},
    };
    static const char *bad[] = {"",       "9000",    "1.2.3.4", "1.2.3.4:",  "1.2.3.4:65536",
                                "::1:80", "[::1:80", "[x]:1",   "1.2.3.4:-1"};
    struct rt_address a;
    char text[64];
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(rt_address_parse(&a, good[i].text), 0);
        rt_address_format(&a, text);
        assert_string_equal(text, good[i].shown);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(rt_address_parse(&a, bad[i]), -EINVAL);
    assert_int_equal(rt_address_parse(&a, "localhost:70"), 0);
    return 0;
}

static void addresses_are_read_strictly(void **state)
{
    run(1, parse_addresses, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_pass_and_a_shutdown_ends_the_stream),
        cmocka_unit_test(a_send_larger_than_every_buffer_arrives_whole),
        cmocka_unit_test(connecting_to_nobody_is_refused),
        cmocka_unit_test(socket_waits_end_at_their_deadline),
        cmocka_unit_test(a_cancelled_wait_leaves_no_operation_behind),
        cmocka_unit_test(a_parked_socket_wakes_when_readable_at_its_deadline_or_unparked),
        cmocka_unit_test(thousands_are_parked_without_a_stack),
        cmocka_unit_test(an_unparking_refused_a_fiber_comes_later),
        cmocka_unit_test(without_descriptors_accept_fails_and_the_loop_lives),
        cmocka_unit_test(an_address_is_taken_once_and_shared_by_the_threads_of_who_has_it),
        cmocka_unit_test(addresses_are_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
