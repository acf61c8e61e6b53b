/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * One request and its answer: what the handler asks about the request, how an exchange starts and
 * ends, and the answers the server gives by itself.
 */
#include "base/encode.h"
#include "http/internal.h"

/* A bijection that scatters: ids are unique as long as their counters are (Steele, SplitMix64). */
static uint64_t scatter(uint64_t v)
{
    v = (v ^ (v >> 30)) * 0xBF58476D1CE4E5B9u;
    v = (v ^ (v >> 27)) * 0x94D049BB133111EBu;
    return v ^ (v >> 31);
}

/* Thread i of n counts i, i + n, i + 2n, ... */
static void make_id(struct http_exchange *x)
{
    struct http_thread *t = x->conn->thread;
    uint8_t id[8];
    put_be64(id, scatter(t->server->id_seed + t->next_id));
    t->next_id += t->server->thread_count;
    hex_encode(id, sizeof(id), x->id);
    x->id[16] = '\0';
}

void exchange_begin(struct http_exchange *x, size_t head_len)
{
    if (!head_len)
        memset(&x->request, 0, sizeof(x->request));
    x->in.pos += head_len;
    x->head_end = x->in.pos;
    x->started_ns = rt_now();
    x->note = NULL;
    make_id(x);
    request_body_begin(x);
    response_reset(x);
    STAT_ADD(x->conn->thread, requests_total, 1);
    STAT_ADD(x->conn->thread, requests_active, 1);
}

void exchange_fail(struct http_exchange *x, int err)
{
    const struct http_server_config *config = &x->conn->thread->server->config;
    const struct err_info *info = err_info(err);
    struct buf body;
    struct str type = STR_NULL;
    buf_init(&body, 64 * KIB);
    if (config->error_body)
        config->error_body(x, err, &body, &type);
    if (type.len)
        http_set_header(x, "Content-Type", type);
    if (info->http_status == 503)
        http_set_header(x, "Retry-After", STR("1"));
    /* The status goes out also when there is no memory for the text. */
    http_respond(x, info->http_status, buf_error(&body) ? STR_NULL : buf_str(&body));
    buf_release(&body);
}

bool exchange_finish(struct http_exchange *x)
{
    const struct http_server_config *config = &x->conn->thread->server->config;
    struct response *r = &x->response;
    if (r->state == RESPONSE_NONE && !r->cut)
        exchange_fail(x, -ERR_INTERNAL);
    if (r->state != RESPONSE_ENDED)
        r->close = r->cut = true; /* begun and left: the client must not take it for whole */
    if (config->done)
        config->done(x, config->arg);
    STAT_ADD(x->conn->thread, requests_active, -1);
    bool go_on = !r->close && request_body_drain(x);
    request_body_end(x);
    arena_reset(&x->arena);
    return go_on && !r->close;
}

const struct http1_request *http_request(const struct http_exchange *x)
{
    return &x->request;
}

struct str http_header(const struct http_exchange *x, struct str lower_name)
{
    return http1_find(x->request.headers, x->request.header_count, lower_name);
}

struct arena *http_arena(struct http_exchange *x)
{
    return &x->arena;
}

const char *http_peer(const struct http_exchange *x)
{
    return x->conn->peer;
}

bool http_is_tls(const struct http_exchange *x)
{
    return x->conn->link.tls != NULL;
}

struct str http_tls_version(const struct http_exchange *x)
{
    return http_is_tls(x) ? tls_version(x->conn->link.tls) : STR_NULL;
}

const char *http_request_id(const struct http_exchange *x)
{
    return x->id;
}

uint64_t http_started_ns(const struct http_exchange *x)
{
    return x->started_ns;
}

uint64_t http_first_byte_ns(const struct http_exchange *x)
{
    return x->response.first_byte_ns;
}

void http_set_note(struct http_exchange *x, void *note)
{
    x->note = note;
}

void *http_note(const struct http_exchange *x)
{
    return x->note;
}

uint64_t http_bytes_in(const struct http_exchange *x)
{
    return x->body.bytes;
}
