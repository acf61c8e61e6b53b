/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * The answer. Its head is collected in one buffer that keeps its memory from request to request:
 * the handler's headers are appended behind RESPONSE_RESERVE free bytes, and when the status is
 * known the first lines are written right before them. So head and body leave in one send of two
 * vectors.
 *
 * The head of a streamed answer waits for the first bytes of the body and leaves with them.
 *
 * A send that failed leaves the stream in an unknown state: `cut` is set and nothing more is sent.
 */
#include "http/internal.h"
#include <stdio.h>

static struct str status_text(int status)
{
    switch (status) {
#define X(code, text) \
    case code:        \
        return STR(#code " " text);
        X(200, "OK")
        X(201, "Created")
        X(202, "Accepted")
        X(204, "No Content")
        X(206, "Partial Content")
        X(301, "Moved Permanently")
        X(302, "Found")
        X(303, "See Other")
        X(304, "Not Modified")
        X(307, "Temporary Redirect")
        X(400, "Bad Request")
        X(401, "Unauthorized")
        X(403, "Forbidden")
        X(404, "Not Found")
        X(405, "Method Not Allowed")
        X(408, "Request Timeout")
        X(409, "Conflict")
        X(411, "Length Required")
        X(412, "Precondition Failed")
        X(413, "Content Too Large")
        X(414, "URI Too Long")
        X(416, "Range Not Satisfiable")
        X(417, "Expectation Failed")
        X(429, "Too Many Requests")
        X(431, "Request Header Fields Too Large")
        X(500, "Internal Server Error")
        X(501, "Not Implemented")
        X(503, "Service Unavailable")
        X(507, "Insufficient Storage")
#undef X
    default:
        return STR_NULL;
    }
}

void response_reset(struct http_exchange *x)
{
    struct buf head = x->response.head;
    x->response = (struct response){.head = head};
    buf_reset(&x->response.head);
    if (buf_reserve(&x->response.head, RESPONSE_RESERVE))
        x->response.head.len = RESPONSE_RESERVE;
}

/* ---- headers -------------------------------------------------------------------------------- */

static bool is_token(struct str s)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && (c == '\0' || !strchr(others, c)))
            return false;
    }
    return s.len > 0;
}

static bool breaks_line(struct str s)
{
    return s.len &&
           (memchr(s.ptr, '\r', s.len) || memchr(s.ptr, '\n', s.len) || memchr(s.ptr, '\0', s.len));
}

/* How the message is framed is this file's to say. */
static bool frames_message(struct str name)
{
    return str_eq_nocase(name, STR("content-length")) ||
           str_eq_nocase(name, STR("transfer-encoding")) || str_eq_nocase(name, STR("connection"));
}

static void put_header(struct buf *b, struct str name, struct str value)
{
    char *to = buf_reserve(b, name.len + value.len + 4);
    if (!to)
        return;
    memcpy(to, name.ptr, name.len);
    to += name.len;
    *to++ = ':';
    *to++ = ' ';
    if (value.len)
        memcpy(to, value.ptr, value.len);
    to += value.len;
    *to++ = '\r';
    *to++ = '\n';
    *to = '\0';
    b->len = (size_t)(to - b->data);
}

int http_set_header(struct http_exchange *x, const char *name, struct str value)
{
    struct str n = str_from(name);
    if (x->response.state != RESPONSE_NONE || !is_token(n) || frames_message(n) ||
        breaks_line(value))
        return -EINVAL;
    put_header(&x->response.head, n, value);
    return buf_error(&x->response.head);
}

/* ---- the head ------------------------------------------------------------------------------- */

struct start {
    char bytes[RESPONSE_RESERVE];
    size_t len;
};

static void start_put(struct start *s, struct str text)
{
    CHECK(text.len <= sizeof(s->bytes) - s->len); /* every part is bounded: see server.c */
    if (text.len)
        memcpy(s->bytes + s->len, text.ptr, text.len);
    s->len += text.len;
}

static void put_connection(struct http_exchange *x, struct start *s)
{
    if (x->response.close)
        start_put(s, STR("Connection: close\r\n"));
    else if (x->request.minor == 0)
        start_put(s, STR("Connection: keep-alive\r\n"));
}

/* Status line and the lines every answer has, written right before the handler's headers. */
static void put_start(struct http_exchange *x)
{
    struct response *r = &x->response;
    struct start s = {.len = 0};
    struct str text = status_text(r->status);
    char other[8];
    start_put(&s, STR("HTTP/1.1 "));
    if (text.len) {
        start_put(&s, text);
    } else {
        snprintf(other, sizeof(other), "%d ", r->status);
        start_put(&s, str_from(other));
    }
    start_put(&s, STR("\r\n"));
    start_put(&s, thread_date(x->conn->thread));
    start_put(&s, x->conn->thread->server->fixed);
    start_put(&s, STR("x-amz-request-id: "));
    start_put(&s, str_make(x->id, 16));
    start_put(&s, STR("\r\n"));
    put_connection(x, &s);
    r->head_at = RESPONSE_RESERVE - s.len;
    memcpy(r->head.data + r->head_at, s.bytes, s.len);
}

static void decide_close(struct http_exchange *x)
{
    if (!x->request.keep_alive || x->conn->thread->stopping || request_body_blocks_reuse(x))
        x->response.close = true;
}

/* Finishes the head, which waits to be sent. `length` is declared unless UINT64_MAX. */
static int build_head(struct http_exchange *x, int status, uint64_t length)
{
    struct response *r = &x->response;
    CHECK(status >= 200 && status <= 999);
    if (r->state != RESPONSE_NONE)
        return -EINVAL;
    r->status = status;
    r->bodyless = status == 204 || status == 304 || str_eq(x->request.method, STR("HEAD"));
    r->chunked = length == UINT64_MAX && x->request.minor >= 1;
    if (length == UINT64_MAX && !r->chunked && !r->bodyless)
        r->close = true; /* HTTP/1.0: the end of the connection is the end of the body */
    decide_close(x);
    if (r->chunked && status != 204 && status != 304) {
        buf_put_str(&r->head, STR("Transfer-Encoding: chunked\r\n"));
    } else if (length != UINT64_MAX && status != 204 && !(status == 304 && length == 0)) {
        buf_put_str(&r->head, STR("Content-Length: "));
        buf_put_u64(&r->head, length);
        buf_put_str(&r->head, STR("\r\n"));
    }
    buf_put_str(&r->head, STR("\r\n"));
    if (buf_error(&r->head) < 0) {
        r->close = r->cut = true;
        r->state = RESPONSE_ENDED;
        return -ENOMEM;
    }
    put_start(x);
    r->state = RESPONSE_OPEN;
    r->head_waiting = true;
    return 0;
}

/* ---- sending -------------------------------------------------------------------------------- */

static int FIBER send_vectors(struct http_exchange *x, struct iovec *iov, unsigned count)
{
    struct response *r = &x->response;
    size_t len = 0;
    for (unsigned i = 0; i < count; i++)
        len += iov[i].iov_len;
    uint64_t now = rt_now();
    if (!r->first_byte_ns && r->status)
        r->first_byte_ns = now;
    int rc = link_send(&x->conn->link, iov, count, now + conn_limits(x->conn)->send_timeout_ns);
    if (rc < 0)
        r->close = r->cut = true;
    else
        STAT_ADD(x->conn->thread, bytes_out, len);
    return rc;
}

int response_continue(struct http_exchange *x)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct iovec iov = {(void *)text, sizeof(text) - 1};
    return send_vectors(x, &iov, 1);
}

static struct iovec take_head(struct http_exchange *x)
{
    struct response *r = &x->response;
    if (!r->head_waiting)
        return (struct iovec){NULL, 0};
    r->head_waiting = false;
    return (struct iovec){r->head.data + r->head_at, r->head.len - r->head_at};
}

/*
 * Sends the head, if not empty, and `data` in slices: the deadline of a send is for one slice, so
 * it limits how long the client takes in nothing, not how long the body may be.
 */
static int FIBER send_body(struct http_exchange *x, struct iovec head, struct str data)
{
    do {
        struct str slice = str_prefix(data, HTTP_PIECE_BYTES);
        struct iovec iov[2] = {head, {(void *)slice.ptr, slice.len}};
        unsigned skip = head.iov_len == 0;
        int rc = send_vectors(x, iov + skip, (slice.len ? 2 : 1) - skip);
        if (rc < 0)
            return rc;
        x->response.bytes += slice.len;
        head.iov_len = 0;
        data = str_from_offset(data, slice.len);
    } while (data.len);
    return 0;
}

int http_respond(struct http_exchange *x, int status, struct str body)
{
    struct response *r = &x->response;
    int rc = build_head(x, status, body.len);
    if (rc < 0)
        return rc;
    rc = send_body(x, take_head(x), r->bodyless ? STR_NULL : body);
    r->state = RESPONSE_ENDED;
    return rc;
}

int http_begin(struct http_exchange *x, int status, uint64_t len)
{
    int rc = build_head(x, status, len);
    if (rc == 0)
        x->response.left = len;
    return rc;
}

static int FIBER write_chunk(struct http_exchange *x, struct iovec head, struct str data)
{
    char size[24];
    struct str slice = str_prefix(data, HTTP_PIECE_BYTES);
    int n = snprintf(size, sizeof(size), "%zx\r\n", slice.len);
    struct iovec iov[4] = {
        head, {size, (size_t)n}, {(void *)slice.ptr, slice.len}, {(void *)"\r\n", 2}};
    unsigned skip = head.iov_len == 0;
    int rc = send_vectors(x, iov + skip, 4 - skip);
    if (rc == 0)
        x->response.bytes += slice.len;
    return rc;
}

int http_write(struct http_exchange *x, const void *data, size_t len)
{
    struct response *r = &x->response;
    if (r->state != RESPONSE_OPEN || r->cut)
        return r->cut ? -ECANCELED : -EINVAL;
    if (r->left != UINT64_MAX) {
        if (len > r->left) {
            r->close = r->cut = true;
            return -EINVAL;
        }
        r->left -= len;
    }
    struct str rest = str_make(data, len);
    if (r->bodyless || len == 0)
        return 0;
    if (!r->chunked)
        return send_body(x, take_head(x), rest);
    int rc = 0;
    for (; rest.len && rc == 0; rest = str_from_offset(rest, HTTP_PIECE_BYTES))
        rc = write_chunk(x, take_head(x), rest);
    return rc;
}

int http_end(struct http_exchange *x)
{
    struct response *r = &x->response;
    if (r->state != RESPONSE_OPEN)
        return -EINVAL;
    r->state = RESPONSE_ENDED;
    if (r->cut)
        return -ECANCELED;
    if (!r->bodyless && r->left != UINT64_MAX && r->left > 0) {
        r->close = r->cut = true;
        return -EINVAL;
    }
    struct iovec iov[2] = {take_head(x), {(void *)"0\r\n\r\n", 5}};
    unsigned from = iov[0].iov_len == 0, to = r->chunked && !r->bodyless ? 2 : 1;
    return from < to ? send_vectors(x, iov + from, to - from) : 0;
}

bool http_responding(const struct http_exchange *x)
{
    return x->response.state != RESPONSE_NONE;
}

void http_close_after(struct http_exchange *x, bool cut)
{
    x->response.close = true;
    x->response.cut |= cut;
}

int http_status(const struct http_exchange *x)
{
    return x->response.status;
}

uint64_t http_bytes_out(const struct http_exchange *x)
{
    return x->response.bytes;
}
