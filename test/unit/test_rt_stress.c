/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * Everything at once, for a second: connections of two threads that echo, park, run into deadlines,
 * are cancelled in flight and closed at random. Whatever happens, the bytes of a connection arrive
 * in order and nothing is left behind.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include "rt/rt.h"

#define SECONDS     1
#define CLIENTS     40
#define MESSAGE_MAX (200 * KIB)
#define PATIENCE    (rt_now() + 60 * RT_S) /* with what must happen, on a busy machine */

static struct {
    struct rt_address at[2];
    uint64_t deadline;
    uint64_t connections, echoed_bytes, parkings, cut_short; /* atomic */
    struct rt_lock lock;
    struct rt_waitq changed;
    unsigned listening, clients;
} all;

static void count(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static uint64_t below(uint64_t limit)
{
    uint64_t n;
    rt_random(&n, sizeof(n));
    return n % limit;
}

/* ---- the server: echoes, and parks the connection between two messages ----------------------- */

static void serve_parked(void *arg, int status);

static void echo_until_quiet(struct rt_socket *s)
{
    char buf[16 * KIB];
    size_t n = 0;
    int r;
    while ((r = rt_recv(s, buf, 1 + below(sizeof(buf)), rt_now() + 200 * RT_US, &n)) == 0 &&
           n > 0) {
        struct iovec iov[] = {{buf, n / 2}, {buf + n / 2, n - n / 2}};
        if (rt_send(s, iov, 2, PATIENCE) < 0)
            break;
    }
    if (r == -ETIMEDOUT && rt_park(s, rt_now() + below(20) * RT_MS, serve_parked, s) == 0)
        count(&all.parkings, 1);
    else
        rt_socket_close(s);
}

static void serve_parked(void *arg, int status)
{
    assert_true(status == 0 || status == -ETIMEDOUT);
    echo_until_quiet(arg);
}

static void serve_fresh(void *arg)
{
    echo_until_quiet(arg);
}

static bool clients_left(void)
{
    rt_lock(&all.lock);
    bool left = all.clients > 0;
    rt_unlock(&all.lock);
    return left;
}

static void listen_and_serve(void *arg)
{
    struct rt_socket *listener, *s;
    struct rt_address at, peer;
    assert_int_equal(rt_address_parse(&at, "127.0.0.1:0"), 0);
    assert_int_equal(rt_listen(&listener, &at, false), 0);
    assert_int_equal(rt_socket_local(listener, &at), 0);
    rt_lock(&all.lock);
    all.at[rt_thread_index()] = at;
    all.listening++;
    rt_wake_all(&all.changed);
    rt_unlock(&all.lock);
    while (clients_left()) {
        int r = rt_accept(listener, rt_now() + 50 * RT_MS, &s, &peer);
        assert_true(r == 0 || r == -ETIMEDOUT);
        if (r == 0)
            assert_int_equal(rt_spawn_detached("serve", serve_fresh, s), 0);
    }
    rt_socket_close(listener);
}

/* ---- a client: a sender and a receiver, either of which may be cancelled ----------------------
 */

struct exchange {
    struct rt_socket *socket;
    size_t bytes;
};

static char pattern(size_t i)
{
    return (char)(i * 13 + i / 509);
}

static int send_message(void *arg)
{
    struct exchange *x = arg;
    _cleanup_free_ char *bytes = malloc(x->bytes);
    for (size_t i = 0; i < x->bytes; i++)
        bytes[i] = pattern(i);
    struct iovec iov = {bytes, x->bytes};
    return rt_send(x->socket, &iov, 1, PATIENCE);
}

static int receive_message(void *arg)
{
    struct exchange *x = arg;
    char buf[8192];
    size_t at = 0, n;
    while (at < x->bytes) {
        int r = rt_recv(x->socket, buf, MIN(sizeof(buf), x->bytes - at), PATIENCE, &n);
        if (r < 0)
            return r;
        assert_true(n > 0);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(buf[i], pattern(at + i));
        at += n;
        count(&all.echoed_bytes, n);
    }
    return 0;
}

/* 0, or -ECANCELED when it was cut short half way. */
static int exchange(struct rt_socket *s)
{
    struct exchange x = {s, 1 + below(below(10) ? 5000 : MESSAGE_MAX)};
    struct rt_fiber *sender, *receiver;
    assert_int_equal(rt_spawn(&sender, "sender", send_message, &x), 0);
    assert_int_equal(rt_spawn(&receiver, "receiver", receive_message, &x), 0);
    bool cut = below(8) == 0;
    if (cut) {
        rt_sleep_until(rt_now() + below(300) * RT_US);
        rt_cancel(sender);
        rt_cancel(receiver);
    }
    int sent = rt_join(sender), received = rt_join(receiver);
    assert_true(sent == 0 || (cut && sent == -ECANCELED));
    assert_true(received == 0 || (cut && received == -ECANCELED));
    return received;
}

static void connect_once(void)
{
    struct rt_socket *s;
    assert_int_equal(rt_connect(&s, &all.at[below(2)], PATIENCE), 0);
    count(&all.connections, 1);
    int r = 0;
    for (uint64_t left = 1 + below(20); r == 0 && left > 0; left--) {
        r = exchange(s);
        if (below(4) == 0)
            rt_sleep_until(rt_now() + below(1000) * RT_US);
    }
    if (r < 0)
        count(&all.cut_short, 1);
    rt_socket_close(s);
}

static void client(void *arg)
{
    do
        connect_once();
    while (rt_now() < all.deadline);
    rt_lock(&all.lock);
    all.clients--;
    rt_wake_all(&all.changed);
    rt_unlock(&all.lock);
}

static void expect_quiet(void)
{
    struct rt_stats stats;
    uint64_t until = PATIENCE;
    do {
        rt_sleep_until(rt_now() + 20 * RT_MS);
        rt_stats(&stats);
    } while ((stats.parked > 0 || stats.fibers > 1) && rt_now() < until);
    assert_int_equal(stats.parked, 0);
    assert_int_equal(stats.fibers, 1);
}

static int run_all(void *arg)
{
    all.deadline = rt_now() + SECONDS * RT_S;
    all.clients = CLIENTS;
    assert_int_equal(rt_spawn_on(0, "listen", listen_and_serve, NULL), 0);
    assert_int_equal(rt_spawn_on(1, "listen", listen_and_serve, NULL), 0);
    rt_lock(&all.lock);
    while (all.listening < 2)
        assert_int_equal(rt_wait(&all.changed, &all.lock, PATIENCE), 0);
    rt_unlock(&all.lock);
    for (unsigned i = 0; i < CLIENTS; i++)
        assert_int_equal(rt_spawn_on(i % 2, "client", client, NULL), 0);
    rt_lock(&all.lock);
    while (all.clients > 0)
        assert_int_equal(rt_wait(&all.changed, &all.lock, PATIENCE), 0);
    rt_unlock(&all.lock);
    expect_quiet();
    return 0;
}

static void connections_of_two_threads_survive_everything_at_once(void **state)
{
    struct rt_config c = {.threads = 2};
    assert_int_equal(rt_run(&c, run_all, NULL), 0);
    print_message("%llu connections, %llu bytes, %llu parkings, %llu cut short\n",
                  (unsigned long long)all.connections, (unsigned long long)all.echoed_bytes,
                  (unsigned long long)all.parkings, (unsigned long long)all.cut_short);
    assert_true(all.connections > 0 && all.echoed_bytes > 0);
    assert_true(all.parkings > 0 && all.cut_short > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_of_two_threads_survive_everything_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
