/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "http/internal.h"

int link_recv(struct http_link *l, void *buf, size_t len, uint64_t deadline_ns, size_t *ret_len)
{
    if (l->tls)
        return tls_recv(l->tls, l->socket, buf, len, deadline_ns, ret_len);
    return rt_recv(l->socket, buf, len, deadline_ns, ret_len);
}

int link_send(struct http_link *l, struct iovec *iov, unsigned count, uint64_t deadline_ns)
{
    if (l->tls)
        return tls_send(l->tls, l->socket, iov, count, deadline_ns);
    return rt_send(l->socket, iov, count, deadline_ns);
}

void link_finish(struct http_link *l)
{
    if (l->tls)
        tls_finish(l->tls, l->socket);
    rt_socket_shutdown(l->socket);
}

void link_discard(struct http_link *l)
{
    char *sink = malloc(64 * KIB);
    uint64_t until = rt_now() + HTTP_DISCARD_NS, quiet;
    size_t len = 1;
    do {
        quiet = MIN(rt_now() + HTTP_DRAIN_NS, until);
    } while (sink && rt_recv(l->socket, sink, 64 * KIB, quiet, &len) == 0 && len > 0);
    free(sink);
}

void link_idle(struct http_link *l)
{
    if (l->tls)
        tls_idle(l->tls);
}

void link_close(struct http_link *l)
{
    if (l->tls)
        tls_session_free(l->tls);
    l->tls = NULL;
    rt_socket_close(TAKE_PTR(l->socket));
}
