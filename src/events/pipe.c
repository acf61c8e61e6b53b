/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "events/pipe.h"
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>
#include "rt/rt.h"

#define POLL_MS    100 /* until it is looked whether to stop */
#define READ_BYTES (16 * KIB)

struct pipe {
    int fd;
    char host[256];
    SSL *ssl; /* NULL: plain */
    uint64_t timeout_ns;
    const bool *stop;
};

uint64_t pipe_deadline(const struct pipe *p)
{
    return rt_now() + p->timeout_ns;
}

static bool is_over(const struct pipe *p, uint64_t deadline_ns)
{
    return rt_now() >= deadline_ns || __atomic_load_n(p->stop, __ATOMIC_RELAXED);
}

/* Until the socket can do that. */
static int wait_for(const struct pipe *p, short what, uint64_t deadline_ns)
{
    struct pollfd fd = {.fd = p->fd, .events = what};
    for (;;) {
        if (is_over(p, deadline_ns))
            return -ERR_UNAVAILABLE;
        int n = poll(&fd, 1, POLL_MS);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -ERR_UNAVAILABLE;
    }
}

/* ---- connecting ----------------------------------------------------------------------------- */

static int connect_socket(struct pipe *p, const char *ip, uint16_t port)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *a = NULL;
    char service[8];
    int failed = 0;
    socklen_t len = sizeof(failed);
    snprintf(service, sizeof(service), "%u", port);
    if (getaddrinfo(ip, service, &hints, &a) != 0)
        return -ERR_UNAVAILABLE;
    p->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r = p->fd < 0 || (connect(p->fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS);
    freeaddrinfo(a);
    if (r || wait_for(p, POLLOUT, pipe_deadline(p)) < 0 ||
        getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &failed, &len) < 0 || failed)
        return -ERR_UNAVAILABLE;
    return 0;
}

int BLOCKING pipe_open(struct pipe **ret, const struct sender_config *c, char why[EVENT_WHY_MAX])
{
    char ip[EVENT_IP_MAX];
    uint16_t port;
    struct pipe *p = malloc(sizeof(*p));
    if (!p)
        return sender_say(why, -ENOMEM, "out of memory");
    *p = (struct pipe){
        .fd = -1, .timeout_ns = event_number_of(c->spec, "timeout-ms") * RT_MS, .stop = c->stop};
    int r = event_address_resolve(event_option_of(c->spec, "address"), c->allow_local, ip, p->host,
                                  &port);
    if (r < 0)
        r = sender_say_address(why, r);
    else if (connect_socket(p, ip, port) < 0)
        r = sender_say(why, -ERR_UNAVAILABLE, "the address takes no connection");
    if (r < 0)
        pipe_close(p);
    else
        *ret = p;
    return r;
}

void BLOCKING pipe_close(struct pipe *p)
{
    if (!p)
        return;
    SSL_free(p->ssl);
    if (p->fd >= 0)
        close(p->fd);
    free(p);
}

/* ---- TLS ------------------------------------------------------------------------------------ */

/* What the last call of OpenSSL waits for, until it is there. -ERR_UNAVAILABLE: it failed. */
static int wait_ssl(struct pipe *p, int result, uint64_t deadline_ns)
{
    int error = SSL_get_error(p->ssl, result);
    ERR_clear_error();
    if (error == SSL_ERROR_WANT_READ)
        return wait_for(p, POLLIN, deadline_ns);
    return error == SSL_ERROR_WANT_WRITE ? wait_for(p, POLLOUT, deadline_ns) : -ERR_UNAVAILABLE;
}

static bool expect_host(SSL *ssl, const char *host)
{
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host))
        return true;
    ERR_clear_error();
    return SSL_set1_host(ssl, host) && SSL_set_tlsext_host_name(ssl, host);
}

static SSL_CTX *make_context(const char *ca)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) &&
        (*ca ? SSL_CTX_load_verify_file(ctx, ca) : SSL_CTX_set_default_verify_paths(ctx))) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
        return ctx;
    }
    SSL_CTX_free(ctx);
    ERR_clear_error();
    return NULL;
}

static int shake_hands(struct pipe *p)
{
    uint64_t deadline_ns = pipe_deadline(p);
    int done, r = 0;
    while (r == 0 && (done = SSL_connect(p->ssl)) != 1)
        r = wait_ssl(p, done, deadline_ns);
    return r;
}

int BLOCKING pipe_start_tls(struct pipe *p, const struct sender_config *c, char why[EVENT_WHY_MAX])
{
    char ca[EVENT_VALUE_MAX + 1];
    SSL_CTX *ctx = make_context(sender_text(c, "ca", ca, sizeof(ca)));
    if (!ctx)
        return sender_say(why, -ERR_UNAVAILABLE, "the certificates to trust cannot be read");
    p->ssl = SSL_new(ctx);
    SSL_CTX_free(ctx); /* the session holds it */
    if (!p->ssl || !SSL_set_fd(p->ssl, p->fd) || !expect_host(p->ssl, p->host))
        return sender_say(why, -ENOMEM, "out of memory");
    if (shake_hands(p) == 0)
        return 0;
    long verdict = SSL_get_verify_result(p->ssl);
    return sender_say(why, -ERR_UNAVAILABLE, "TLS: %s",
                      verdict == X509_V_OK ? "no handshake"
                                           : X509_verify_cert_error_string(verdict));
}

/* ---- bytes ---------------------------------------------------------------------------------- */

/* Up to `len` bytes, at least one: how many. */
static ssize_t write_some(struct pipe *p, const char *bytes, size_t len, uint64_t deadline_ns)
{
    for (;;) {
        int r;
        if (p->ssl) {
            int n = SSL_write(p->ssl, bytes, (int)MIN(len, (size_t)READ_BYTES));
            if (n > 0)
                return n;
            r = wait_ssl(p, n, deadline_ns);
        } else {
            ssize_t n = send(p->fd, bytes, len, MSG_NOSIGNAL);
            if (n > 0)
                return n;
            r = n < 0 && errno == EAGAIN ? wait_for(p, POLLOUT, deadline_ns) : -ERR_UNAVAILABLE;
        }
        if (r < 0)
            return r;
    }
}

int BLOCKING pipe_write(struct pipe *p, struct str bytes)
{
    uint64_t deadline_ns = pipe_deadline(p);
    while (bytes.len) {
        ssize_t n = write_some(p, bytes.ptr, bytes.len, deadline_ns);
        if (n < 0)
            return (int)n;
        bytes = str_from_offset(bytes, (size_t)n);
    }
    return 0;
}

int BLOCKING pipe_read(struct pipe *p, struct buf *b, uint64_t deadline_ns)
{
    if (is_over(p, deadline_ns)) /* of who never stops talking no wait would tell */
        return -ERR_UNAVAILABLE;
    char *into = buf_reserve(b, READ_BYTES);
    if (!into)
        return -ENOMEM;
    for (;;) {
        ssize_t n = p->ssl ? SSL_read(p->ssl, into, READ_BYTES) : recv(p->fd, into, READ_BYTES, 0);
        if (n > 0) {
            b->len += (size_t)n;
            into[n] = 0;
            return 0;
        }
        int r = p->ssl                     ? wait_ssl(p, (int)n, deadline_ns)
                : n < 0 && errno == EAGAIN ? wait_for(p, POLLIN, deadline_ns)
                                           : -ERR_UNAVAILABLE;
        if (r < 0)
            return r;
    }
}
