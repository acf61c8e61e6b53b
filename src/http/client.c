/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * The client: one connection, opened when needed, kept while the server keeps it.
 *
 * A kept connection may have been closed by the server just as the request was sent. Then nothing
 * of a reply arrives, and a request that may be repeated (RFC 9110, 9.2.2) is sent once more on a
 * new connection.
 *
 * Invariant: the head of the last reply lies in in.data[0, head_end) until the next request; bodies
 * are read behind it.
 */
#include <stdio.h>
#include "http/internal.h"

#define CLIENT_IN_BYTES   (128 * KIB)
#define CLIENT_HEAD_BYTES (64 * KIB) /* leaves as much room for the body */

struct http_client {
    struct http_client_config config;
    struct tls_context *tls;
    char *tls_host;
    struct http_link link; /* socket NULL: not connected */
    bool used;             /* the connection has carried a request */
    bool keep;             /* it may carry another, once the body has ended */
    struct window in;
    size_t head_end;
    struct body body;
    struct buf head; /* of the request */
};

static uint64_t deadline(const struct http_client *c)
{
    uint64_t wait_ns = rt_now() + c->config.timeout_ns;
    return c->config.until_ns ? MIN(wait_ns, c->config.until_ns) : wait_ns;
}

static void FIBER disconnect(struct http_client *c)
{
    if (!c->link.socket)
        return;
    link_finish(&c->link);
    link_close(&c->link);
}

static int FIBER connect_now(struct http_client *c)
{
    c->used = c->keep = false;
    c->in.pos = c->in.end = c->head_end = 0;
    int rc = rt_connect(&c->link.socket, &c->config.address, deadline(c));
    if (rc < 0 || !c->tls)
        return rc;
    rc = tls_session_new(&c->link.tls, c->tls, c->tls_host);
    if (rc == 0)
        rc = tls_handshake(c->link.tls, c->link.socket, deadline(c));
    if (rc < 0)
        link_close(&c->link);
    return rc;
}

int http_client_open(struct http_client **ret, const struct http_client_config *config)
{
    struct http_client *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->config = *config;
    if (!c->config.timeout_ns)
        c->config.timeout_ns = 30 * RT_S;
    buf_init(&c->head, CLIENT_HEAD_BYTES);
    c->in.data = malloc(CLIENT_IN_BYTES);
    c->in.cap = CLIENT_IN_BYTES;
    c->tls_host = config->tls_host ? strdup(config->tls_host) : NULL;
    int rc = c->in.data && !config->tls_host == !c->tls_host ? 0 : -ENOMEM;
    if (rc == 0 && c->tls_host)
        rc = tls_client_open(&c->tls, config->ca_path, config->insecure);
    if (rc == 0)
        rc = connect_now(c);
    if (rc < 0)
        http_client_close(c);
    else
        *ret = c;
    return rc;
}

void http_client_close(struct http_client *c)
{
    if (!c)
        return;
    disconnect(c);
    tls_context_close(c->tls);
    free(c->tls_host);
    free(c->in.data);
    buf_release(&c->head);
    free(c);
}

/* ---- the request ---------------------------------------------------------------------------- */

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < ' ' && s.ptr[i] != '\t')
            return true;
    return false;
}

static void put_host(struct http_client *c)
{
    char text[64];
    rt_address_format(&c->config.address, text);
    const char *port = strrchr(text, ':');
    if (c->tls_host)
        buf_printf(&c->head, "Host: %s%s\r\n", c->tls_host, port ? port : "");
    else
        buf_printf(&c->head, "Host: %s\r\n", text);
}

/* Host and Content-Length are added unless given. */
static int build_request(struct http_client *c, struct str method, struct str target,
                         const struct http1_header *headers, size_t count, struct str body)
{
    if (has_control(method) || has_control(target) || !method.len || !target.len ||
        str_find_char(method, ' ', 0) >= 0 || str_find_char(target, ' ', 0) >= 0)
        return -EINVAL;
    buf_reset(&c->head);
    buf_put_str(&c->head, method);
    buf_put_char(&c->head, ' ');
    buf_put_str(&c->head, target);
    buf_put_cstr(&c->head, " HTTP/1.1\r\n");
    bool host = false, length = false;
    for (size_t i = 0; i < count; i++) {
        struct str name = headers[i].name, value = headers[i].value;
        if (has_control(name) || has_control(value) || !name.len ||
            str_find_char(name, ':', 0) >= 0)
            return -EINVAL;
        host |= str_eq_nocase(name, STR("host"));
        length |= str_eq_nocase(name, STR("content-length"));
        buf_printf(&c->head, "%.*s: %.*s\r\n", STR_FMT(name), STR_FMT(value));
    }
    if (!host)
        put_host(c);
    if (!length && (body.len || str_eq(method, STR("PUT")) || str_eq(method, STR("POST"))))
        buf_printf(&c->head, "Content-Length: %zu\r\n", body.len);
    buf_put_cstr(&c->head, "\r\n");
    return buf_error(&c->head);
}

static int FIBER send_request(struct http_client *c, struct str body)
{
    struct iovec head = {c->head.data, c->head.len};
    do {
        struct str slice = str_prefix(body, HTTP_PIECE_BYTES);
        struct iovec iov[2] = {head, {(void *)slice.ptr, slice.len}};
        unsigned skip = head.iov_len == 0;
        int rc = link_send(&c->link, iov + skip, (slice.len ? 2 : 1) - skip, deadline(c));
        if (rc < 0)
            return rc;
        head.iov_len = 0;
        body = str_from_offset(body, slice.len);
    } while (body.len);
    return 0;
}

/* ---- the reply ------------------------------------------------------------------------------ */

/* A server that sends a byte before each wait is over would be waited for as long as it likes. */
static bool is_over(const struct http_client *c)
{
    return c->config.until_ns && rt_now() >= c->config.until_ns;
}

/* *ret_len 0: the server closed. */
static int FIBER fill(struct http_client *c, size_t *ret_len)
{
    if (is_over(c))
        return -ETIMEDOUT;
    int rc =
        link_recv(&c->link, c->in.data + c->in.end, c->in.cap - c->in.end, deadline(c), ret_len);
    if (rc == 0)
        c->in.end += *ret_len;
    return rc;
}

/* Reads one head, interim ones (1xx) included. */
static int FIBER read_head(struct http_client *c, bool head_request, struct http1_response *ret)
{
    for (;;) {
        struct str in = str_prefix(window_str(&c->in), CLIENT_HEAD_BYTES);
        ptrdiff_t n = in.len ? http1_parse_response(in, head_request, ret) : 0;
        if (n < 0)
            return (int)n;
        if (n > 0) {
            c->in.pos += (size_t)n;
            return 0;
        }
        if (in.len == CLIENT_HEAD_BYTES)
            return -ERR_HEADERS_TOO_LARGE;
        size_t len = 0;
        int rc = fill(c, &len);
        if (rc < 0 || len == 0)
            return rc < 0 ? rc : -ECONNRESET;
    }
}

static int FIBER read_reply(struct http_client *c, bool head_request, struct http_reply *ret)
{
    do {
        memmove(c->in.data, c->in.data + c->in.pos, c->in.end - c->in.pos);
        c->in.end -= c->in.pos;
        c->in.pos = 0;
        int rc = read_head(c, head_request, &ret->head);
        if (rc < 0)
            return rc;
    } while (ret->head.status < 200);
    ret->status = ret->head.status;
    c->head_end = c->in.pos;
    c->keep = ret->head.keep_alive && ret->head.body != HTTP1_BODY_TO_END;
    body_init(&c->body, ret->head.body, ret->head.content_length);
    return 0;
}

static bool repeatable(struct str method)
{
    return !str_eq(method, STR("POST")) && !str_eq(method, STR("PATCH"));
}

static int FIBER exchange_once(struct http_client *c, struct str method, struct str body,
                               struct http_reply *ret)
{
    c->used = true;
    int sent = send_request(c, body);
    if (sent < 0 && sent != -EPIPE && sent != -ECONNRESET)
        return sent;
    /* A server that refuses a large body answers and closes before it has read all of it. */
    int rc = read_reply(c, str_eq(method, STR("HEAD")), ret);
    if (rc == 0 && sent < 0)
        c->keep = false;
    return rc;
}

int http_client_request(struct http_client *c, struct str method, struct str target,
                        const struct http1_header *headers, size_t count, struct str body,
                        struct http_reply *ret)
{
    int rc = build_request(c, method, target, headers, count, body);
    if (rc < 0)
        return rc;
    if (c->link.socket && c->used && !(c->keep && c->body.ended))
        disconnect(c);
    rc = c->link.socket ? 0 : connect_now(c);
    if (rc < 0)
        return rc;
    bool kept = c->used;
    rc = exchange_once(c, method, body, ret);
    bool lost = rc == -ECONNRESET || rc == -EPIPE;
    if (lost && kept && c->in.end == 0 && repeatable(method)) {
        disconnect(c);
        rc = connect_now(c);
        if (rc == 0)
            rc = exchange_once(c, method, body, ret);
    }
    if (rc < 0)
        disconnect(c);
    return rc;
}

int http_client_body(struct http_client *c, struct str *ret_piece)
{
    struct str piece = STR_NULL;
    while (!c->body.ended && !piece.len) {
        size_t len = 1;
        int rc = 0;
        if (window_empty(&c->in)) {
            if (!c->link.socket)
                return -ENOTCONN;
            c->in.pos = c->in.end = c->head_end;
            rc = fill(c, &len);
        }
        if (rc == 0 && len == 0) {
            if (c->body.kind != HTTP1_BODY_TO_END)
                rc = -ERR_INCOMPLETE_BODY;
            c->body.ended = rc == 0;
        } else if (rc == 0) {
            rc = body_take(&c->body, &c->in, &piece);
        }
        if (rc < 0) {
            disconnect(c);
            return rc;
        }
    }
    *ret_piece = piece;
    return 0;
}
