/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * The life of a connection: handshake, then request after request; between two of them a short
 * wait on the fiber, then parking. See the states in internal.h.
 *
 * A head is parsed when its end has been seen, and otherwise each time the bytes have doubled: so a
 * head sent byte by byte costs no more than twice the parsing, and nonsense is refused early.
 */
#include <limits.h>
#include "http/internal.h"

/* ---- the end -------------------------------------------------------------------------------- */

static void conn_drop_exchange(struct http_conn *c)
{
    if (c->x)
        thread_give_exchange(c->thread, c->x);
    c->x = NULL;
}

/* `discard`: the peer may still be sending what nobody will read. */
static void FIBER conn_end(struct http_conn *c, bool proper, bool discard)
{
    struct http_thread *t = c->thread;
    bool refused = c->refused;
    conn_drop_exchange(c);
    if (proper)
        link_finish(&c->link);
    if (proper && discard)
        link_discard(&c->link);
    link_close(&c->link);
    list_remove(&c->node);
    free(c);
    thread_conn_ended(t, refused);
}

/* ---- reading a head ------------------------------------------------------------------------- */

static void skip_empty_lines(struct window *w)
{
    while (w->end - w->pos >= 2 && memcmp(w->data + w->pos, "\r\n", 2) == 0)
        w->pos += 2;
    if (window_empty(w))
        w->pos = w->end = 0;
}

/* Room for more bytes: at the end, by moving to the front, or by growing up to the limit. */
static int make_room(struct window *w, size_t limit)
{
    if (w->end < w->cap)
        return 0;
    if (w->pos > 0) {
        memmove(w->data, w->data + w->pos, w->end - w->pos);
        w->end -= w->pos;
        w->pos = 0;
        return 0;
    }
    size_t cap = MIN(2 * w->cap, limit);
    char *grown = cap > w->cap ? realloc(w->data, cap) : NULL;
    if (!grown)
        return -ENOMEM;
    w->data = grown;
    w->cap = cap;
    return 0;
}

/* The limit is reached without an end of the head. */
static int head_too_large(struct str in)
{
    return str_find_char(in, '\n', 0) < 0 ? -ERR_URI_TOO_LONG : -ERR_HEADERS_TOO_LARGE;
}

/* Whether there is an empty line. By memchr, for a head has few lines: memmem looks at each byte.
 */
static bool has_empty_line(struct str in)
{
    const char *p = in.ptr, *end = in.ptr + in.len;
    while ((p = memchr(p, '\n', (size_t)(end - p)))) {
        p++;
        if (end - p >= 2 && p[0] == '\r' && p[1] == '\n')
            return true;
    }
    return false;
}

static ptrdiff_t parse_head(struct http_exchange *x, size_t *parse_at, size_t *seen)
{
    const struct http_limits *limits = conn_limits(x->conn);
    struct str in = str_prefix(window_str(&x->in), limits->head_bytes);
    size_t from = *seen > 3 ? *seen - 3 : 0;
    bool complete = in.len > from && has_empty_line(str_from_offset(in, from));
    ptrdiff_t n = 0;
    *seen = in.len;
    if (complete || in.len >= *parse_at) {
        *parse_at = 2 * in.len;
        n = http1_parse_request(in, limits->header_count, &x->request);
    }
    return n == 0 && in.len == limits->head_bytes ? head_too_large(in) : n;
}

static int FIBER recv_more(struct http_exchange *x, uint64_t deadline_ns)
{
    struct window *w = &x->in;
    size_t len = 0;
    int rc = make_room(w, conn_limits(x->conn)->head_bytes);
    if (rc < 0)
        return rc;
    rc = link_recv(&x->conn->link, w->data + w->end, w->cap - w->end, deadline_ns, &len);
    if (rc < 0)
        return rc;
    if (len == 0)
        return -ECONNRESET;
    w->end += len;
    STAT_ADD(x->conn->thread, bytes_in, len);
    return 0;
}

/* The length of the head (> 0), an -ERR to answer with, or an -errno that ends the connection. */
static ptrdiff_t FIBER read_head(struct http_exchange *x)
{
    uint64_t deadline = 0; /* looked up only when the first bytes are not enough */
    size_t parse_at = 1, seen = 0;
    for (;;) {
        if (!seen)
            skip_empty_lines(&x->in);
        ptrdiff_t n = window_empty(&x->in) ? 0 : parse_head(x, &parse_at, &seen);
        if (n != 0)
            return n;
        if (!deadline)
            deadline = rt_now() + conn_limits(x->conn)->head_timeout_ns;
        int rc = recv_more(x, deadline);
        if (rc == -ETIMEDOUT)
            return -ERR_REQUEST_TIMEOUT;
        if (rc < 0)
            return rc;
    }
}

/* ---- serving -------------------------------------------------------------------------------- */

/* An expectation other than 100-continue is passed over, as S3 does and RFC 9110 10.1.1 allows. */
static void FIBER answer(struct http_exchange *x)
{
    struct http_server *s = x->conn->thread->server;
    unsigned before = __atomic_fetch_add(&s->requests, 1, __ATOMIC_RELAXED);
    if (before >= s->config.limits.requests) {
        STAT_ADD(x->conn->thread, refused, 1);
        exchange_fail(x, -ERR_SLOW_DOWN);
    } else {
        s->config.handler(x, s->config.arg);
    }
    __atomic_fetch_sub(&s->requests, 1, __ATOMIC_RELAXED);
}

static void FIBER answer_broken_head(struct http_exchange *x, int err)
{
    exchange_begin(x, 0);
    x->response.close = true;
    exchange_fail(x, err);
    exchange_finish(x);
}

/* Serves the request whose first bytes are there. False: the connection has been ended. */
static bool FIBER conn_serve(struct http_conn *c)
{
    struct http_exchange *x = c->x;
    c->idle_until_ns = 0;
    ptrdiff_t head = read_head(x);
    if (head < 0) {
        bool tell = head < -ERR_FIRST_ || head == -ENOMEM;
        if (tell)
            answer_broken_head(x, (int)head);
        conn_end(c, tell && !x->response.cut, true);
        return false;
    }
    exchange_begin(x, (size_t)head);
    if (c->refused) {
        x->response.close = true;
        exchange_fail(x, -ERR_SLOW_DOWN);
    } else {
        answer(x);
    }
    c->served += c->served < UINT_MAX;
    if (exchange_finish(x))
        return true;
    conn_end(c, !x->response.cut, !x->body.body.ended || x->body.error);
    return false;
}

/* ---- waiting and parking -------------------------------------------------------------------- */

static void conn_main(void *arg);

static void FIBER conn_unparked(void *arg, int status)
{
    struct http_conn *c = arg;
    list_remove(&c->node);
    list_push_back(&c->thread->active, &c->node);
    c->state = CONN_ACTIVE;
    c->fiber = rt_self();
    c->woken = true;
    if (status < 0)
        conn_end(c, true, false);
    else
        conn_main(c);
}

/* Gives up fiber and buffers until the client speaks again. */
static void FIBER conn_park(struct http_conn *c)
{
    conn_drop_exchange(c);
    link_idle(&c->link);
    list_remove(&c->node);
    list_push_back(&c->thread->parked, &c->node);
    c->state = CONN_PARKED;
    c->fiber = NULL;
    if (rt_park(c->link.socket, c->idle_until_ns, conn_unparked, c) < 0) {
        c->fiber = rt_self();
        c->state = CONN_ACTIVE;
        conn_end(c, true, false);
    }
}

/*
 * How long the fiber waits for the next request. When many wait, only those that have come back
 * before are waited for, and not long: what is busy comes soon, what is idle should cost nothing.
 */
static uint64_t linger(const struct http_conn *c)
{
    unsigned waiting = c->thread->waiting;
    if (waiting < HTTP_WAITING_MANY || c->woken)
        return HTTP_LINGER_NS;
    return waiting < HTTP_WAITING_MAX && c->served > 1 ? HTTP_LINGER_SHORT_NS : 0;
}

/* 0: bytes are there; -ETIMEDOUT: park; other: the connection is over. */
static int FIBER conn_wait(struct http_conn *c)
{
    struct http_exchange *x = c->x;
    struct http_thread *t = c->thread;
    if (!window_empty(&x->in))
        return 0;
    if (t->stopping)
        return -ECANCELED;
    const struct http_limits *limits = conn_limits(c);
    uint64_t now = rt_now(), linger_ns = linger(c);
    if (!c->idle_until_ns) /* once a request: bytes that make none do not prolong it */
        c->idle_until_ns = now + (c->served ? limits->idle_timeout_ns : limits->head_timeout_ns);
    c->woken = false;
    if (!linger_ns)
        return -ETIMEDOUT;
    x->in.pos = x->in.end = 0;
    c->state = CONN_WAITING;
    t->waiting++;
    int rc = recv_more(x, now + linger_ns);
    t->waiting--;
    c->state = CONN_ACTIVE;
    return rc;
}

static int FIBER conn_handshake(struct http_conn *c)
{
    if (!c->handshake)
        return 0;
    c->handshake = false;
    int rc = tls_handshake(c->link.tls, c->link.socket, rt_now() + conn_limits(c)->head_timeout_ns);
    if (rc == 0)
        STAT_ADD(c->thread, tls_handshakes, 1);
    else
        STAT_ADD(c->thread, tls_failures, 1);
    return rc;
}

/* Out of memory before a request can even be read. */
static void FIBER conn_refuse_bare(struct http_conn *c)
{
    static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
                               "Content-Length: 0\r\nConnection: close\r\n\r\n";
    struct iovec iov = {(void *)text, sizeof(text) - 1};
    STAT_ADD(c->thread, refused, 1);
    int rc = link_send(&c->link, &iov, 1, rt_now() + RT_S);
    conn_end(c, rc == 0, true);
}

/* One stretch of a connection's life, from its first byte or its waking to parking or its end. */
static void FIBER conn_main(void *arg)
{
    struct http_conn *c = arg;
    c->fiber = rt_self();
    if (c->thread->stopping || conn_handshake(c) < 0) {
        conn_end(c, false, false);
        return;
    }
    c->x = thread_take_exchange(c->thread);
    if (!c->x) {
        conn_refuse_bare(c);
        return;
    }
    c->x->conn = c;
    int rc;
    do {
        rc = conn_wait(c);
        if (rc == -ETIMEDOUT) {
            conn_park(c);
            return;
        }
        if (rc < 0) {
            conn_end(c, true, false);
            return;
        }
    } while (conn_serve(c));
}

int conn_start(struct http_thread *t, struct rt_socket *socket, const struct rt_address *peer,
               bool refuse)
{
    struct http_conn *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->thread = t;
    c->link.socket = socket;
    c->refused = refuse;
    rt_address_format(peer, c->peer);
    int rc = t->server->tls ? tls_session_new(&c->link.tls, t->server->tls, NULL) : 0;
    if (rc == 0) {
        c->handshake = c->link.tls != NULL;
        list_push_back(&t->active, &c->node);
        rc = rt_spawn_detached("http", conn_main, c);
    }
    if (rc < 0) {
        if (c->link.tls)
            tls_session_free(c->link.tls);
        if (c->node.next)
            list_remove(&c->node);
        free(c);
    }
    return rc;
}
