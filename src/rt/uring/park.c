/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * Parked sockets: one poll operation and one timer, no stack.
 *
 *     (idle) --park--> POLLING --readable--------------> STARTING --> a fiber runs fn(arg, status)
 *                         |                                 ^
 *                         +--deadline, unpark: cancel-------+
 *
 * The fiber for `fn` may be refused (limit, memory). Nothing is lost then: the socket stays parked
 * and the start is tried again a little later.
 *
 * Invariant: the timer of a parked socket is armed, or was a moment ago in the same call, so arming
 * it again finds its place in the heap and cannot fail.
 */

#include <poll.h>
#include "rt/uring/uring.h"

#define RETRY_NS (5 * RT_MS)

static struct uring_socket *socket_of(struct rt_socket *s)
{
    return container_of(s, struct uring_socket, base);
}

static void unparked_main(void *arg)
{
    struct uring_socket *s = arg;
    s->likely_readable = s->park_status == 0;
    s->park_fn(s->park_arg, s->park_status);
}

static void start_again(struct rt_timer *t);

static void start(struct uring_socket *s)
{
    struct rt_loop *l = rt_this_loop;
    int r = rt_loop_spawn_detached(l, "unparked", unparked_main, s);
    if (r < 0) {
        CHECK(rt_timer_arm(l, &s->park_timer, rt_now() + RETRY_NS, start_again) == 0);
        return;
    }
    rt_timer_disarm(l, &s->park_timer);
    s->parked = false;
    __atomic_fetch_sub(&l->parked, 1, __ATOMIC_RELAXED);
    rt_alive_drop();
}

static void start_again(struct rt_timer *t)
{
    start(container_of(t, struct uring_socket, park_timer));
}

static void complete_poll(struct uring_op *op)
{
    struct uring_socket *s = container_of(op, struct uring_socket, poll);
    s->poll_pending = false;
    if (op->res != -ECANCELED)
        s->park_status = 0; /* an error too is for recv to report */
    start(s);
}

static void park_timed_out(struct rt_timer *t);

static void end_parking(struct uring_socket *s, int why)
{
    if (!s->poll_pending || s->park_status < 0)
        return;
    s->park_status = why;
    CHECK(rt_timer_arm(rt_this_loop, &s->park_timer, RT_NEVER, park_timed_out) == 0);
    uring_cancel(&s->poll);
}

static void park_timed_out(struct rt_timer *t)
{
    end_parking(container_of(t, struct uring_socket, park_timer), -ETIMEDOUT);
}

int uring_park(struct rt_socket *socket, uint64_t deadline_ns, void (*fn)(void *arg, int status),
               void *arg)
{
    struct uring_socket *s = socket_of(socket);
    CHECK(!s->parked);
    int r = rt_timer_arm(rt_this_loop, &s->park_timer, deadline_ns, park_timed_out);
    if (r < 0)
        return r;
    s->parked = s->poll_pending = true;
    s->park_status = 0;
    s->park_fn = fn;
    s->park_arg = arg;
    s->poll = (struct uring_op){.complete = complete_poll};
    struct io_uring_sqe *sqe = uring_sqe();
    io_uring_prep_poll_add(sqe, s->fd, POLLIN | POLLRDHUP);
    uring_attach(sqe, &s->poll);
    __atomic_fetch_add(&rt_this_loop->parked, 1, __ATOMIC_RELAXED);
    rt_alive_hold();
    return 0;
}

void uring_unpark(struct rt_socket *socket)
{
    end_parking(socket_of(socket), -ECANCELED);
}
