/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * The server: one acceptor a loop thread, what the connections of a thread share, start and stop.
 *
 * Stop, on each thread: the acceptor ends; parked and waiting connections end; those that serve a
 * request end after it (their answers say `Connection: close`), or are cancelled at the deadline.
 * The server is freed when the last thread has said it is quiet.
 *
 * Lock order: server.lock and thread.lock are never held together.
 */
#include "base/hash.h"
#include "base/log.h"
#include "http/internal.h"
#include <stdio.h>
#include <time.h>

#define EXCHANGES_POOLED 32           /* a thread */
#define REFUSING_MAX     64           /* connections over the limit that are told so, in all */
#define BACKOFF_MIN_NS   (10 * RT_MS) /* out of file descriptors or memory */
#define BACKOFF_MAX_NS   (500 * RT_MS)
#define RELOAD_NS        (5 * RT_S)
#define NAME_MAX_BYTES   64 /* keeps the fixed lines inside RESPONSE_RESERVE */
#define SLACK_PART       8  /* of a thread's connections: another may have so many more */

/* ---- what the connections of a thread share ------------------------------------------------- */

static void exchange_free(struct http_exchange *x)
{
    if (!x)
        return;
    free(x->in.data);
    buf_release(&x->response.head);
    arena_release(&x->arena);
    free(x);
}

static struct http_exchange *exchange_new(void)
{
    struct http_exchange *x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    arena_init(&x->arena, 0);
    buf_init(&x->response.head, 64 * KIB);
    x->in.data = malloc(HTTP_IN_BYTES);
    x->in.cap = HTTP_IN_BYTES;
    /* Kept from here on: even the answer "out of memory" needs them. */
    if (!x->in.data || !buf_reserve(&x->response.head, 2 * KIB)) {
        exchange_free(x);
        return NULL;
    }
    return x;
}

struct http_exchange *thread_take_exchange(struct http_thread *t)
{
    struct list *n = list_pop_front(&t->exchanges);
    if (!n)
        return exchange_new();
    t->exchange_count--;
    return container_of(n, struct http_exchange, node);
}

void thread_give_exchange(struct http_thread *t, struct http_exchange *x)
{
    bool usual = x->in.cap == HTTP_IN_BYTES && x->response.head.cap <= 8 * KIB;
    if (!usual || t->exchange_count >= EXCHANGES_POOLED) {
        exchange_free(x);
        return;
    }
    x->conn = NULL;
    x->in.pos = x->in.end = 0;
    list_push_front(&t->exchanges, &x->node);
    t->exchange_count++;
}

char *thread_take_large(struct http_thread *t)
{
    return t->large_count ? t->large[--t->large_count] : malloc(HTTP_PIECE_BYTES);
}

void thread_give_large(struct http_thread *t, char *large)
{
    if (t->large_count < ARRAY_LEN(t->large))
        t->large[t->large_count++] = large;
    else
        free(large);
}

/* RFC 9110, 5.6.7; strftime is not used, for it follows the locale. */
static void format_date(struct http_thread *t, uint64_t now_s)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)now_s;
    struct tm u;
    gmtime_r(&seconds, &u);
    int len = snprintf(t->date, sizeof(t->date), "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n",
                       days[u.tm_wday], u.tm_mday, months[u.tm_mon], u.tm_year + 1900, u.tm_hour,
                       u.tm_min, u.tm_sec);
    CHECK(len > 0 && (size_t)len < sizeof(t->date));
    t->date_len = (unsigned)len;
    t->date_s = now_s;
}

struct str thread_date(struct http_thread *t)
{
    uint64_t now_s = rt_wall_ms() / 1000;
    if (now_s != t->date_s)
        format_date(t, now_s);
    return str_make(t->date, t->date_len);
}

/* Something that stop waits for has ended. */
static void thread_wake(struct http_thread *t)
{
    if (!t->stopping)
        return;
    rt_lock(&t->lock);
    rt_wake_all(&t->quiet);
    rt_unlock(&t->lock);
}

void thread_conn_ended(struct http_thread *t, bool refused)
{
    struct http_server *s = t->server;
    if (refused)
        t->refusing--;
    else
        __atomic_fetch_sub(&s->connections, 1, __ATOMIC_RELAXED);
    STAT_ADD(t, connections, -1);
    __atomic_fetch_sub(&t->load, 1, __ATOMIC_RELAXED);
    t->conn_count--;
    thread_wake(t);
}

static void thread_init(struct http_server *s, unsigned index)
{
    struct http_thread *t = &s->threads[index];
    t->server = s;
    t->index = index;
    t->next_id = index;
    list_init(&t->active);
    list_init(&t->parked);
    list_init(&t->exchanges);
    rt_lock_init(&t->lock);
    rt_waitq_init(&t->quiet);
}

static void thread_release(struct http_thread *t)
{
    struct list *n;
    CHECK(list_empty(&t->active) && list_empty(&t->parked));
    while ((n = list_pop_front(&t->exchanges)))
        exchange_free(container_of(n, struct http_exchange, node));
    while (t->large_count)
        free(t->large[--t->large_count]);
}

/* ---- accepting ------------------------------------------------------------------------------ */

/* Over the limit a connection is told so, if only a few are; a TLS one is not worth a handshake. */
static bool may_admit(struct http_thread *t, bool *ret_refuse)
{
    struct http_server *s = t->server;
    *ret_refuse = false;
    if (__atomic_fetch_add(&s->connections, 1, __ATOMIC_RELAXED) < s->config.limits.connections)
        return true;
    __atomic_fetch_sub(&s->connections, 1, __ATOMIC_RELAXED);
    STAT_ADD(t, refused, 1);
    if (s->tls || t->refusing >= MAX(1U, REFUSING_MAX / rt_thread_count()))
        return false;
    *ret_refuse = true;
    return true;
}

static void FIBER admit(struct http_thread *t, struct rt_socket *socket,
                        const struct rt_address *peer)
{
    bool refuse;
    STAT_ADD(t, connections_total, 1);
    if (!may_admit(t, &refuse)) {
        __atomic_fetch_sub(&t->load, 1, __ATOMIC_RELAXED);
        rt_socket_close(socket);
        return;
    }
    t->conn_count++;
    t->refusing += refuse;
    STAT_ADD(t, connections, 1);
    if (conn_start(t, socket, peer, refuse) < 0) {
        STAT_ADD(t, refused, 1);
        rt_socket_close(socket);
        thread_conn_ended(t, refuse);
    }
}

/*
 * The kernel gives each thread's listener connections by chance. Where there are few and busy ones,
 * one thread would have most of the work and another a processor to spare; so the thread that has
 * fewest gets what it lacks from those that accepted it.
 */
static struct http_thread *thread_for(struct http_thread *t)
{
    struct http_server *s = t->server;
    struct http_thread *best = t;
    unsigned own = __atomic_load_n(&t->load, __ATOMIC_RELAXED), least = own;
    for (unsigned i = 0; i < s->thread_count; i++) {
        struct http_thread *other = &s->threads[i];
        unsigned load = __atomic_load_n(&other->load, __ATOMIC_RELAXED);
        if (load < least && __atomic_load_n(&other->listening, __ATOMIC_ACQUIRE)) {
            best = other;
            least = load;
        }
    }
    return own > least + least / SLACK_PART ? best : t;
}

/* A connection on its way from the thread that accepted it to the one that is to serve it. */
struct handed {
    struct http_thread *from, *to;
    struct rt_socket *socket;
    struct rt_address peer;
};

static void FIBER handed_main(void *arg)
{
    struct handed h = *(struct handed *)arg;
    free(arg);
    if (h.to->stopping) {
        __atomic_fetch_sub(&h.to->load, 1, __ATOMIC_RELAXED);
        rt_socket_close(h.socket);
    } else {
        admit(h.to, h.socket, &h.peer);
    }
    rt_lock(&h.from->lock);
    h.from->handing--;
    rt_wake_all(&h.from->quiet);
    rt_unlock(&h.from->lock);
}

static void handing_add(struct http_thread *t, int n)
{
    rt_lock(&t->lock);
    t->handing += (unsigned)n;
    rt_unlock(&t->lock);
}

/* False: it stays. */
static bool hand_over(struct http_thread *from, struct http_thread *to, struct rt_socket *socket,
                      const struct rt_address *peer)
{
    struct handed *h = malloc(sizeof(*h));
    if (!h)
        return false;
    *h = (struct handed){.from = from, .to = to, .socket = socket, .peer = *peer};
    handing_add(from, 1);
    __atomic_fetch_add(&to->load, 1, __ATOMIC_RELAXED);
    if (rt_spawn_on(to->index, "http-handed", handed_main, h) == 0)
        return true;
    __atomic_fetch_sub(&to->load, 1, __ATOMIC_RELAXED);
    handing_add(from, -1);
    free(h);
    return false;
}

static void FIBER accepted(struct http_thread *t, struct rt_socket *socket,
                           const struct rt_address *peer)
{
    struct http_thread *to = thread_for(t);
    if (to != t && hand_over(t, to, socket, peer))
        return;
    __atomic_fetch_add(&t->load, 1, __ATOMIC_RELAXED);
    admit(t, socket, peer);
}

/* Accepts until it is cancelled. Out of descriptors or memory it pauses: others may give some up.
 */
static void FIBER accept_all(struct http_thread *t)
{
    uint64_t backoff = BACKOFF_MIN_NS;
    for (;;) {
        struct rt_socket *socket;
        struct rt_address peer;
        /* RT_NEVER: a server without clients waits for them. */
        int rc = rt_accept(t->listener, RT_NEVER, &socket, &peer);
        if (rc == 0) {
            backoff = BACKOFF_MIN_NS;
            accepted(t, socket, &peer);
        } else if (rc == -ECANCELED || rt_sleep_until(rt_now() + backoff) < 0) {
            return;
        } else {
            backoff = MIN(2 * backoff, BACKOFF_MAX_NS);
        }
    }
}

/* ---- the fibers of a thread that live as long as the server --------------------------------- */

static void report(struct http_server *s, unsigned *counter, int error)
{
    rt_lock(&s->lock);
    ++*counter;
    if (error)
        s->start_error = error;
    rt_wake_all(&s->changed);
    rt_unlock(&s->lock);
}

static void FIBER reloader_main(void *arg)
{
    struct http_thread *t = arg;
    uint64_t pause = t->server->reload_ns;
    int last = 0;
    t->reloader = rt_self();
    while (!t->stopping && rt_sleep_until(rt_now() + pause) == 0) {
        int rc = tls_server_reload(t->server->tls);
        if (rc < 0 && rc != last && rc != -ECANCELED)
            log_event(LOG_WARN, "certificate not reloaded", "%s", err_text(rc));
        last = rc;
    }
    t->reloader = NULL;
    t->reloading = false;
    thread_wake(t);
}

/* Binds; the first thread also finds out the port and looks after the certificates. */
static int FIBER thread_listen(struct http_thread *t)
{
    struct http_server *s = t->server;
    int rc = rt_listen(&t->listener, &s->address, t->index == s->first);
    if (rc == 0 && t->index == s->first)
        rc = rt_socket_local(t->listener, &s->address);
    if (rc == 0 && t->index == s->first && s->tls) {
        rc = rt_spawn_detached("http-tls-reload", reloader_main, t);
        t->reloading = rc == 0;
    }
    if (rc < 0)
        rt_socket_close(TAKE_PTR(t->listener));
    return rc;
}

static void FIBER acceptor_main(void *arg)
{
    struct http_thread *t = arg;
    int rc = thread_listen(t);
    t->acceptor = rc == 0 ? rt_self() : NULL;
    __atomic_store_n(&t->listening, rc == 0, __ATOMIC_RELEASE);
    report(t->server, rc == 0 ? &t->server->up : &t->server->down, rc);
    if (rc < 0)
        return;
    accept_all(t);
    rt_socket_close(TAKE_PTR(t->listener));
    rt_lock(&t->lock);
    while (t->handing > 0) /* the other threads take what they were given */
        rt_wait_uncancelled(&t->quiet, &t->lock, RT_NEVER);
    rt_unlock(&t->lock);
    t->acceptor = NULL;
    thread_wake(t);
}

/* ---- start ---------------------------------------------------------------------------------- */

static void fill_limits(struct http_limits *l)
{
#define DEFAULT(field, value) \
    do {                      \
        if (!l->field)        \
            l->field = value; \
    } while (0)
    DEFAULT(head_bytes, 64 * KIB);
    DEFAULT(header_count, HTTP1_HEADERS_MAX);
    DEFAULT(connections, 16384);
    DEFAULT(head_timeout_ns, 10 * RT_S);
    DEFAULT(body_timeout_ns, 30 * RT_S);
    DEFAULT(body_min_rate, KIB);
    DEFAULT(send_timeout_ns, 30 * RT_S);
    DEFAULT(idle_timeout_ns, 120 * RT_S);
    DEFAULT(drain_bytes, 256 * KIB);
    DEFAULT(requests, 4096);
#undef DEFAULT
}

/* The lines that are the same in every answer. */
static int make_fixed(struct http_server *s)
{
    const char *name = s->config.server_name, *host_id = s->config.host_id;
    struct buf b;
    if ((name && strlen(name) > NAME_MAX_BYTES) || (host_id && strlen(host_id) > NAME_MAX_BYTES))
        return -EINVAL;
    buf_init(&b, KIB);
    if (name)
        buf_printf(&b, "Server: %s\r\n", name);
    if (host_id)
        buf_printf(&b, "x-amz-id-2: %s\r\n", host_id);
    s->fixed = buf_str(&b); /* freed with the server */
    return buf_error(&b);
}

static void server_free(struct http_server *s)
{
    for (unsigned i = 0; i < s->thread_count; i++)
        thread_release(&s->threads[i]);
    tls_context_close(s->tls);
    free((char *)s->fixed.ptr);
    free(s->threads);
    free(s);
}

static int FIBER server_new(struct http_server **ret, const struct http_server_config *config)
{
    struct http_server *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->config = *config;
    s->address = config->address;
    fill_limits(&s->config.limits);
    rt_random(&s->id_seed, sizeof(s->id_seed));
    rt_lock_init(&s->lock);
    rt_waitq_init(&s->changed);
    s->first = rt_thread_index();
    s->threads = aligned_alloc(64, rt_thread_count() * sizeof(*s->threads));
    s->thread_count = s->threads ? rt_thread_count() : 0;
    if (s->threads)
        memset(s->threads, 0, s->thread_count * sizeof(*s->threads));
    for (unsigned i = 0; i < s->thread_count; i++)
        thread_init(s, i);
    int rc = s->threads ? make_fixed(s) : -ENOMEM;
    if (rc == 0 && config->tls) {
        s->reload_ns = config->tls->reload_ns ? config->tls->reload_ns : RELOAD_NS;
        rc = tls_server_open(&s->tls, config->tls);
    }
    if (rc < 0)
        server_free(s);
    else
        *ret = s;
    return rc;
}

/* Waits until `count` threads have come up or failed. */
static int FIBER wait_started(struct http_server *s, unsigned count)
{
    rt_lock(&s->lock);
    /* RT_NEVER: each of the fibers reports once, without waiting for anything outside. */
    while (s->up + s->down < count)
        rt_wait_uncancelled(&s->changed, &s->lock, RT_NEVER);
    int rc = s->start_error;
    rt_unlock(&s->lock);
    return rc;
}

int http_server_start(struct http_server **ret, const struct http_server_config *config)
{
    struct http_server *s;
    int rc = server_new(&s, config);
    if (rc < 0)
        return rc;
    unsigned spawned = 0;
    for (unsigned i = 0; i < s->thread_count && rc == 0; i++) {
        unsigned thread = (s->first + i) % s->thread_count;
        rc = rt_spawn_on(thread, "http-accept", acceptor_main, &s->threads[thread]);
        spawned += rc == 0;
        if (rc == 0 && i == 0)
            rc = wait_started(s, 1); /* the others need its port */
    }
    int started = wait_started(s, spawned);
    rc = rc < 0 ? rc : started;
    if (rc < 0)
        http_server_stop(s, 0);
    else
        *ret = s;
    return rc;
}

/* ---- stop ----------------------------------------------------------------------------------- */

static void FIBER wait_quiet(struct http_thread *t, uint64_t deadline_ns)
{
    int rc = 0;
    rt_lock(&t->lock);
    while (rc != -ETIMEDOUT && (t->acceptor || t->reloading || t->conn_count))
        rc = rt_wait_uncancelled(&t->quiet, &t->lock, deadline_ns);
    rt_unlock(&t->lock);
}

static void FIBER thread_stop(void *arg)
{
    struct http_thread *t = arg;
    struct http_conn *c;
    t->stopping = true;
    if (t->acceptor)
        rt_cancel(t->acceptor);
    if (t->reloader)
        rt_cancel(t->reloader);
    LIST_FOR (c, &t->parked, node)
        rt_unpark(c->link.socket);
    LIST_FOR (c, &t->active, node)
        if (c->state == CONN_WAITING)
            rt_cancel(c->fiber);
    wait_quiet(t, t->server->stop_deadline_ns);
    LIST_FOR (c, &t->active, node)
        if (c->fiber)
            rt_cancel(c->fiber);
    wait_quiet(t, RT_NEVER); /* cancelled, their waits end by themselves */
    report(t->server, &t->server->stopped, 0);
}

void http_server_stop(struct http_server *s, uint64_t deadline_ns)
{
    s->stop_deadline_ns = deadline_ns;
    for (unsigned i = 0; i < s->thread_count; i++) {
        if (!s->threads[i].listening)
            continue;
        while (rt_spawn_on(i, "http-stop", thread_stop, &s->threads[i]) < 0)
            rt_yield(); /* out of fibers: those that serve will end and leave room */
    }
    rt_lock(&s->lock);
    while (s->up > 0 && s->stopped < s->up)
        rt_wait_uncancelled(&s->changed, &s->lock, RT_NEVER);
    rt_unlock(&s->lock);
    server_free(s);
}

/* ---- what may be asked ---------------------------------------------------------------------- */

void http_server_address(const struct http_server *s, struct rt_address *ret)
{
    *ret = s->address;
}

void http_server_stats(const struct http_server *s, struct http_server_stats *ret)
{
    *ret = (struct http_server_stats){0};
    for (unsigned i = 0; i < s->thread_count; i++) {
        const struct http_server_stats *t = &s->threads[i].stats;
#define ADD(field) ret->field += __atomic_load_n(&t->field, __ATOMIC_RELAXED)
        ADD(connections);
        ADD(connections_total);
        ADD(requests_active);
        ADD(requests_total);
        ADD(bytes_in);
        ADD(bytes_out);
        ADD(refused);
        ADD(tls_handshakes);
        ADD(tls_failures);
#undef ADD
    }
}
