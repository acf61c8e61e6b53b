/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * Message bodies. The first half decodes (length, chunked, to the end) and is shared with the
 * client; the second is the request body a handler reads.
 *
 * A small body is read into what is left of the input buffer, so that a request of a few KiB costs
 * one recv and no other buffer. A larger one goes straight into a buffer of HTTP_PIECE_BYTES whose
 * content is handed out in place: there is no copy between the socket and the handler.
 */
#include "http/internal.h"

/* Below this it is not worth filling up the input buffer first. */
#define TAIL_MIN_BYTES (4 * KIB)

/* ---- decoding ------------------------------------------------------------------------------- */

void body_init(struct body *b, enum http1_body kind, uint64_t length)
{
    *b = (struct body){.kind = kind};
    if (kind == HTTP1_BODY_LENGTH)
        b->left = length;
    else if (kind == HTTP1_BODY_CHUNKED)
        http1_chunked_init(&b->chunked);
    b->ended = kind == HTTP1_BODY_NONE || (kind == HTTP1_BODY_LENGTH && length == 0);
}

static int take_chunked(struct body *b, struct window *w, struct str *ret_piece)
{
    struct str data = STR_NULL;
    while (!b->ended && !data.len && !window_empty(w)) {
        size_t used = 0;
        int rc = http1_chunked_next(&b->chunked, window_str(w), &used, &data);
        if (rc < 0)
            return -ERR_PARSE;
        CHECK(used <= w->end - w->pos && (used > 0 || rc == 1));
        w->pos += used;
        b->ended = rc == 1;
    }
    *ret_piece = data;
    return 0;
}

int body_take(struct body *b, struct window *w, struct str *ret_piece)
{
    *ret_piece = STR_NULL;
    if (b->ended)
        return 0;
    if (b->kind == HTTP1_BODY_CHUNKED)
        return take_chunked(b, w, ret_piece);
    struct str piece = window_str(w);
    if (b->kind == HTTP1_BODY_LENGTH) {
        piece = str_prefix(piece, MIN((uint64_t)piece.len, b->left));
        b->left -= piece.len;
        b->ended = b->left == 0;
    }
    w->pos += piece.len;
    *ret_piece = piece;
    return 0;
}

/* ---- the request body ----------------------------------------------------------------------- */

void request_body_begin(struct http_exchange *x)
{
    struct request_body *rb = &x->body;
    const struct http1_request *r = &x->request;
    CHECK(!rb->large.data);
    *rb = (struct request_body){
        .expected = r->expect_continue && r->minor >= 1,
        .deadline_ns = RT_NEVER,
    };
    body_init(&rb->body, r->body, r->content_length);
}

/* Moves bytes that follow the body (of a pipelining client) to the input buffer. */
static void move_back(struct http_exchange *x)
{
    struct str rest = window_str(&x->body.large);
    CHECK(window_empty(&x->in)); /* it is used up before the large buffer is filled */
    if (x->in.cap < rest.len) {
        char *grown = realloc(x->in.data, rest.len);
        if (!grown) {
            x->response.close = true;
            return;
        }
        x->in.data = grown;
        x->in.cap = rest.len;
    }
    memcpy(x->in.data, rest.ptr, rest.len);
    x->in.pos = 0;
    x->in.end = rest.len;
}

void request_body_end(struct http_exchange *x)
{
    struct window *large = &x->body.large;
    if (!large->data)
        return;
    if (!window_empty(large))
        move_back(x);
    thread_give_large(x->conn->thread, large->data);
    *large = (struct window){0};
}

/* Where the next bytes go: the tail of the input buffer, or the large buffer. NULL: no memory. */
static struct window *choose_window(struct http_exchange *x)
{
    struct request_body *rb = &x->body;
    size_t tail = x->in.cap - x->head_end;
    bool fits = rb->body.kind == HTTP1_BODY_LENGTH ? rb->body.left <= tail
                                                   : rb->fills == 0 && tail >= TAIL_MIN_BYTES;
    if (fits && !rb->large.data) {
        x->in.pos = x->in.end = x->head_end;
        return &x->in;
    }
    if (!rb->large.data) {
        rb->large.data = thread_take_large(x->conn->thread);
        if (!rb->large.data)
            return NULL;
        rb->large.cap = HTTP_PIECE_BYTES;
    }
    rb->large.pos = rb->large.end = 0;
    return &rb->large;
}

/*
 * The least rate, averaged over spans of body_timeout_ns spent waiting: a slow handler is not the
 * client's fault.
 */
static bool too_slow(struct http_exchange *x, uint64_t waited_ns, size_t len)
{
    const struct http_limits *limits = conn_limits(x->conn);
    struct request_body *rb = &x->body;
    rb->waited_ns += waited_ns;
    rb->waited_bytes += len;
    if (rb->waited_ns < limits->body_timeout_ns)
        return false;
    bool slow = rb->waited_bytes < limits->body_min_rate * (rb->waited_ns / RT_MS) / 1000;
    rb->waited_ns = rb->waited_bytes = 0;
    return slow;
}

static int FIBER fill(struct http_exchange *x)
{
    struct request_body *rb = &x->body;
    struct window *w = choose_window(x);
    if (!w)
        return -ENOMEM;
    size_t room = w->cap - w->end, len = 0;
    if (w == &rb->large && rb->body.kind == HTTP1_BODY_LENGTH)
        room = MIN((uint64_t)room, rb->body.left); /* the next request belongs into `in` */
    uint64_t from = rt_now();
    uint64_t deadline = MIN(from + conn_limits(x->conn)->body_timeout_ns, rb->deadline_ns);
    int rc = link_recv(&x->conn->link, w->data + w->end, room, deadline, &len);
    if (rc == -ETIMEDOUT)
        return -ERR_REQUEST_TIMEOUT;
    if (rc == -ECANCELED || rc == -ENOMEM)
        return rc;
    if (rc < 0 || len == 0)
        return -ERR_INCOMPLETE_BODY;
    w->end += len;
    rb->fills++;
    STAT_ADD(x->conn->thread, bytes_in, len);
    return too_slow(x, rt_now() - from, len) ? -ERR_REQUEST_TIMEOUT : 0;
}

static int FIBER next_piece(struct http_exchange *x, struct str *ret_piece)
{
    struct request_body *rb = &x->body;
    struct str piece = STR_NULL;
    while (!rb->body.ended && !piece.len) {
        struct window *w = !window_empty(&x->in) || !rb->large.data ? &x->in : &rb->large;
        int rc = window_empty(w) ? fill(x) : body_take(&rb->body, w, &piece);
        if (rc < 0)
            return rc;
    }
    *ret_piece = piece;
    return 0;
}

int http_body_next(struct http_exchange *x, struct str *ret_piece)
{
    struct request_body *rb = &x->body;
    if (rb->error)
        return rb->error;
    if (rb->expected) { /* also for an empty body: some clients cannot go on without the 100 */
        rb->expected = false;
        if (window_empty(&x->in) && x->response.state == RESPONSE_NONE)
            rb->error = response_continue(x);
    }
    struct str piece = rb->given_back;
    rb->given_back = STR_NULL;
    if (!rb->error && !piece.len) {
        rb->error = next_piece(x, &piece);
        rb->bytes += rb->error ? 0 : piece.len;
    }
    if (rb->error)
        return rb->error;
    rb->last = piece;
    *ret_piece = piece;
    return 0;
}

void http_body_unread(struct http_exchange *x, size_t len)
{
    struct request_body *rb = &x->body;
    CHECK(len <= rb->last.len && !rb->given_back.len);
    rb->given_back = str_from_offset(rb->last, rb->last.len - len);
}

uint64_t http_body_length(const struct http_exchange *x)
{
    switch (x->request.body) {
    case HTTP1_BODY_LENGTH:
        return x->request.content_length;
    case HTTP1_BODY_CHUNKED:
        return UINT64_MAX;
    default:
        return 0;
    }
}

/* Appends to a run of bytes in the arena that doubles when it is full. */
static int append(struct arena *a, struct str *all, size_t *cap, struct str piece)
{
    if (*cap - all->len < piece.len) {
        size_t grown = MAX(2 * *cap, all->len + piece.len);
        char *data = arena_alloc(a, grown);
        if (!data)
            return -ENOMEM;
        if (all->len)
            memcpy(data, all->ptr, all->len);
        all->ptr = data;
        *cap = grown;
    }
    memcpy((char *)all->ptr + all->len, piece.ptr, piece.len);
    all->len += piece.len;
    return 0;
}

int http_body_all(struct http_exchange *x, size_t max, struct str *ret)
{
    uint64_t length = http_body_length(x);
    if (length != UINT64_MAX && length > max)
        return -ERR_TOO_LARGE;
    struct str all = STR(""), piece;
    size_t cap = 0;
    for (;;) {
        int rc = http_body_next(x, &piece);
        if (rc < 0)
            return rc;
        if (!piece.len)
            break;
        if (piece.len > max - all.len)
            return -ERR_TOO_LARGE;
        if (!cap && length != UINT64_MAX && length > piece.len) {
            all.ptr = arena_alloc(&x->arena, length); /* known: once, in full */
            cap = all.ptr ? length : 0;
        }
        rc = append(&x->arena, &all, &cap, piece);
        if (rc < 0)
            return rc;
    }
    *ret = all;
    return 0;
}

bool request_body_blocks_reuse(const struct http_exchange *x)
{
    const struct request_body *rb = &x->body;
    /* After a final answer in place of the 100 the client may send the body or not: there is no
     * telling (RFC 9110, 10.1.1). */
    if (rb->error || rb->expected)
        return true;
    if (rb->body.ended)
        return false;
    uint64_t here = x->in.end - x->in.pos;
    return rb->body.kind == HTTP1_BODY_LENGTH && rb->body.left > here &&
           rb->body.left - here > conn_limits(x->conn)->drain_bytes;
}

bool request_body_drain(struct http_exchange *x)
{
    struct request_body *rb = &x->body;
    uint64_t limit = conn_limits(x->conn)->drain_bytes, drained = 0;
    if (rb->body.ended)
        return rb->error == 0;
    rb->given_back = STR_NULL;
    rb->deadline_ns = rt_now() + HTTP_DRAIN_NS;
    while (!rb->body.ended) {
        struct str piece;
        if (rb->expected || drained > limit || http_body_next(x, &piece) < 0)
            return false;
        drained += piece.len;
    }
    return true;
}
