/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * Sockets. A send is tried at once, for the buffer of a socket usually has room. A recv is tried at
 * once only when there is reason to hope (the last one left bytes behind, or the socket was parked
 * until readable): after a response the next request is not there yet, and a try would be wasted.
 * The descriptors are in blocking mode, for the ring does not wait on those that are not; the tries
 * say MSG_DONTWAIT.
 */

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include "rt/uring/uring.h"

#define BACKLOG 4096

static struct uring_socket *socket_of(struct rt_socket *s)
{
    return container_of(s, struct uring_socket, base);
}

/* ---- making and ending ----------------------------------------------------------------------- */

/* Takes `fd` over, also on failure. */
static int socket_wrap(struct rt_socket **ret, int fd)
{
    struct uring_socket *s = calloc(1, sizeof(*s));
    if (!s) {
        close(fd);
        return -ENOMEM;
    }
    s->base.magic = RT_SOCKET_MAGIC;
    s->fd = fd;
    *ret = &s->base;
    return 0;
}

static void set_option(int fd, int level, int option)
{
    int one = 1;
    setsockopt(fd, level, option, &one, sizeof(one));
}

static int socket_for(const struct rt_address *a)
{
    struct sockaddr_storage ss;
    memcpy(&ss, a->bytes, sizeof(ss));
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

/*
 * The first one takes the address without SO_REUSEPORT, which succeeds only when nobody listens
 * there, and shares it from then on: of two processes that start at once one is refused.
 */
static int listen_fd(int fd, const struct rt_address *a, bool first)
{
    set_option(fd, SOL_SOCKET, SO_REUSEADDR);
    if (!first)
        set_option(fd, SOL_SOCKET, SO_REUSEPORT);
    if (bind(fd, (const struct sockaddr *)a->bytes, a->len) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    if (first)
        set_option(fd, SOL_SOCKET, SO_REUSEPORT);
    return 0;
}

int uring_listen(struct rt_socket **ret, const struct rt_address *a, bool first)
{
    int fd = socket_for(a);
    if (fd < 0)
        return fd;
    int r = listen_fd(fd, a, first);
    if (r < 0) {
        close(fd);
        return r;
    }
    return socket_wrap(ret, fd);
}

int uring_socket_local(struct rt_socket *s, struct rt_address *ret)
{
    struct rt_address a = {.len = sizeof(a.bytes)};
    if (getsockname(socket_of(s)->fd, (struct sockaddr *)a.bytes, &a.len) < 0)
        return -errno;
    *ret = a;
    return 0;
}

static int FIBER accept_once(int fd, uint64_t deadline_ns, struct rt_address *ret_peer)
{
    struct uring_op op = uring_op_here();
    struct io_uring_sqe *sqe = uring_sqe();
    ret_peer->len = sizeof(ret_peer->bytes);
    io_uring_prep_accept(sqe, fd, (struct sockaddr *)ret_peer->bytes, &ret_peer->len, SOCK_CLOEXEC);
    uring_attach(sqe, &op);
    int r = uring_await(&op, deadline_ns);
    if (r >= 0)
        rt_mark_defined(ret_peer, sizeof(*ret_peer));
    return r;
}

int FIBER uring_accept(struct rt_socket *listener, uint64_t deadline_ns, struct rt_socket **ret,
                       struct rt_address *ret_peer)
{
    struct rt_address peer = {0};
    int r;
    do {
        r = accept_once(socket_of(listener)->fd, deadline_ns, &peer);
    } while (r == -ECONNABORTED || r == -EINTR || r == -EPROTO);
    if (r < 0)
        return r;
    set_option(r, IPPROTO_TCP, TCP_NODELAY);
    r = socket_wrap(ret, r);
    if (r == 0 && ret_peer)
        *ret_peer = peer;
    return r;
}

static int FIBER connect_fd(int fd, const struct rt_address *a, uint64_t deadline_ns)
{
    struct uring_op op = uring_op_here();
    struct io_uring_sqe *sqe = uring_sqe();
    io_uring_prep_connect(sqe, fd, (const struct sockaddr *)a->bytes, a->len);
    uring_attach(sqe, &op);
    return uring_await(&op, deadline_ns);
}

int FIBER uring_connect(struct rt_socket **ret, const struct rt_address *a, uint64_t deadline_ns)
{
    int fd = socket_for(a);
    if (fd < 0)
        return fd;
    int r = connect_fd(fd, a, deadline_ns);
    if (r < 0) {
        close(fd);
        return r;
    }
    set_option(fd, IPPROTO_TCP, TCP_NODELAY);
    return socket_wrap(ret, fd);
}

void uring_socket_shutdown(struct rt_socket *s)
{
    shutdown(socket_of(s)->fd, SHUT_WR);
}

void FIBER uring_socket_close(struct rt_socket *socket)
{
    struct uring_socket *s = socket_of(socket);
    CHECK(!s->parked);
    close(s->fd);
    s->base.magic = 0;
    free(s);
}

/* ---- receiving ------------------------------------------------------------------------------- */

static int FIBER recv_through_ring(struct uring_socket *s, void *buf, size_t len,
                                   uint64_t deadline_ns)
{
    struct uring_op op = uring_op_here();
    struct io_uring_sqe *sqe = uring_sqe();
    io_uring_prep_recv(sqe, s->fd, buf, len, 0);
    sqe->ioprio = (uint16_t)uring_poll_first(); /* nothing is there, most likely */
    uring_attach(sqe, &op);
    int r = uring_await(&op, deadline_ns);
    if (r > 0)
        rt_mark_defined(buf, (size_t)r);
    return r;
}

int FIBER uring_recv(struct rt_socket *socket, void *buf, size_t len, uint64_t deadline_ns,
                     size_t *ret_len)
{
    struct uring_socket *s = socket_of(socket);
    CHECK(!s->parked && len > 0);
    len = MIN(len, 1 * GIB);
    int r = -EAGAIN;
    if (s->likely_readable) {
        uring_be_fair();
        ssize_t n = recv(s->fd, buf, len, MSG_DONTWAIT);
        r = n < 0 ? -errno : (int)n;
    }
    while (r == -EAGAIN || r == -EINTR)
        r = recv_through_ring(s, buf, len, deadline_ns);
    if (r < 0)
        return r;
    s->likely_readable = (size_t)r == len;
    *ret_len = (size_t)r;
    return 0;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Drops `n` bytes from the front of the vectors. */
static void iov_consume(struct iovec **iov, unsigned *count, size_t n)
{
    while (*count > 0 && n >= (*iov)->iov_len) {
        n -= (*iov)->iov_len;
        (*iov)++;
        (*count)--;
    }
    if (*count > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + n;
        (*iov)->iov_len -= n;
    }
}

static int FIBER send_through_ring(int fd, const struct msghdr *m, uint64_t deadline_ns)
{
    struct uring_op op = uring_op_here();
    struct io_uring_sqe *sqe = uring_sqe();
    io_uring_prep_sendmsg(sqe, fd, m, MSG_NOSIGNAL | MSG_WAITALL);
    uring_attach(sqe, &op);
    return uring_await(&op, deadline_ns);
}

int FIBER uring_send(struct rt_socket *socket, struct iovec *iov, unsigned count,
                     uint64_t deadline_ns)
{
    int fd = socket_of(socket)->fd;
    bool inline_try = true;
    iov_consume(&iov, &count, 0);
    while (count > 0) {
        struct msghdr m = {.msg_iov = iov, .msg_iovlen = MIN(count, 1024U)};
        ssize_t n;
        if (inline_try) {
            uring_be_fair();
            n = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
            n = n < 0 ? -errno : n;
        } else {
            n = send_through_ring(fd, &m, deadline_ns);
        }
        inline_try = false;
        if (n == -EAGAIN || n == -EINTR)
            continue;
        if (n < 0)
            return (int)n;
        iov_consume(&iov, &count, (size_t)n);
    }
    return 0;
}
