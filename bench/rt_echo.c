/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * What the runtime itself costs: a yield, and a request of 100 bytes answered with 4 KiB.
 *
 * rt_echo [connections [seconds]]. Thread 0 serves, thread 1 asks. What counts is the processor
 * time of the serving thread for one request, which does not depend on how busy the machine is.
 */

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include "rt/rt.h"

#define REQUEST_BYTES  100
#define RESPONSE_BYTES (4096 + 200)

static struct {
    unsigned connections, seconds;
    struct rt_address at;
    uint64_t deadline;
    uint64_t requests;
    uint64_t server_cpu_ns, client_cpu_ns;
    unsigned clients;
} bench;

static uint64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * RT_S + (uint64_t)ts.tv_nsec;
}

static int recv_all(struct rt_socket *s, char *buf, size_t len)
{
    for (size_t done = 0, n; done < len; done += n) {
        int r = rt_recv(s, buf + done, len - done, rt_now() + 10 * RT_S, &n);
        if (r < 0 || n == 0)
            return r < 0 ? r : -ERR_CLOSED;
    }
    return 0;
}

static void serve_connection(void *arg)
{
    struct rt_socket *s = arg;
    char request[4096], header[200] = {0};
    static char body[4096];
    size_t n;
    while (rt_recv(s, request, sizeof(request), rt_now() + 10 * RT_S, &n) == 0 && n > 0) {
        struct iovec iov[] = {{header, sizeof(header)}, {body, sizeof(body)}};
        if (rt_send(s, iov, 2, rt_now() + 10 * RT_S) < 0)
            break;
        bench.requests++;
    }
    rt_socket_close(s);
}

static void client(void *arg)
{
    struct rt_socket *s;
    char request[REQUEST_BYTES] = {0}, response[RESPONSE_BYTES];
    CHECK(rt_connect(&s, &bench.at, RT_NEVER) == 0);
    while (rt_now() < bench.deadline) {
        struct iovec iov = {request, sizeof(request)};
        CHECK(rt_send(s, &iov, 1, RT_NEVER) == 0);
        CHECK(recv_all(s, response, sizeof(response)) == 0);
    }
    rt_socket_close(s);
    if (--bench.clients == 0)
        bench.client_cpu_ns = cpu_ns();
}

static void start_clients(void *arg)
{
    bench.clients = bench.connections;
    for (unsigned i = 0; i < bench.connections; i++)
        CHECK(rt_spawn_detached("client", client, NULL) == 0);
}

enum { YIELDERS = 64, YIELDS = 100000 };

static int yielder(void *arg)
{
    for (int i = 0; i < YIELDS; i++)
        rt_yield();
    return 0;
}

static void measure_yield(void)
{
    struct rt_fiber *f[YIELDERS];
    uint64_t start = cpu_ns();
    for (int i = 0; i < YIELDERS; i++)
        CHECK(rt_spawn(&f[i], "yielder", yielder, NULL) == 0);
    for (int i = 0; i < YIELDERS; i++)
        rt_join(f[i]);
    printf("yield (two switches and the ready queue): %.1f ns\n",
           (double)(cpu_ns() - start) / (YIELDERS * YIELDS));
}

static int serve(void *arg)
{
    struct rt_socket *listener, *s;
    struct rt_address peer;
    measure_yield();
    CHECK(rt_address_parse(&bench.at, "127.0.0.1:0") == 0);
    CHECK(rt_listen(&listener, &bench.at, true) == 0);
    CHECK(rt_socket_local(listener, &bench.at) == 0);
    bench.deadline = rt_now() + bench.seconds * RT_S;
    CHECK(rt_spawn_on(1, "clients", start_clients, NULL) == 0);
    uint64_t start = rt_now(), start_cpu = cpu_ns();
    while (rt_accept(listener, bench.deadline, &s, &peer) == 0)
        CHECK(rt_spawn_detached("connection", serve_connection, s) == 0);
    bench.server_cpu_ns = cpu_ns() - start_cpu;
    double elapsed_s = (double)(rt_now() - start) / RT_S;
    printf("%u connections: %.0f requests/s; server %.2f us of CPU each: %.0f k/s a core\n",
           bench.connections, (double)bench.requests / elapsed_s,
           (double)bench.server_cpu_ns / 1e3 / (double)bench.requests,
           1e6 * (double)bench.requests / (double)bench.server_cpu_ns);
    rt_socket_close(listener);
    return 0;
}

int main(int argc, char **argv)
{
    struct rt_config c = {.threads = 2};
    bench.connections = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 64;
    bench.seconds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 3;
    int r = rt_run(&c, serve, NULL);
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    printf("peak memory %ld KiB\n", u.ru_maxrss);
    return r < 0;
}
