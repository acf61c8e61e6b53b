/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What the files of http/ share.
 *
 *   server.c      the server: one acceptor a loop thread, connection and request limits, stop
 *   conn.c        the life of a connection: wait, read a head, serve, finish, park
 *   exchange.c    one request and its answer as the handler sees them; errors the server finds
 *   body.c        the request body as a stream
 *   response.c    the answer: head, whole bodies, streams
 *   link.c        a socket with or without TLS; tls.c is the TLS
 *   client.c      the client
 *
 * Everything below a thread (struct http_thread) is touched by that loop thread alone, so nothing
 * is locked; what threads share (the two counters, start and stop) is in struct http_server.
 *
 * A connection is in one of three states:
 *
 *   ACTIVE   a fiber serves a request; an exchange (buffers, arena) belongs to it
 *   WAITING  the fiber waits a moment for the next request; may be cancelled by stop
 *   PARKED   no fiber, no exchange: only struct http_conn, the socket and the TLS session are left
 *
 *   accept -> ACTIVE <-> WAITING -> PARKED -> ACTIVE ; any -> closed
 */

#include "base/list.h"
#include "http/http.h"

#define HTTP_PIECE_BYTES     (256 * KIB)   /* largest piece of a body; one send's slice */
#define HTTP_IN_BYTES        (16 * KIB)    /* the input buffer of an exchange, to begin with */
#define HTTP_LINGER_NS       (1 * RT_S)    /* a fiber waits this long for the next request */
#define HTTP_LINGER_SHORT_NS (250 * RT_MS) /* ... when many fibers do */
#define HTTP_WAITING_MANY    512           /* of a thread */
#define HTTP_WAITING_MAX     4096          /* beyond, a connection parks at once */
#define HTTP_DRAIN_NS        (5 * RT_S)    /* for a body the handler left, and a closing client */
#define HTTP_DISCARD_NS      (10 * RT_S)   /* of a closing client, in all */

/* Bytes received and not yet used: data[pos, end). */
struct window {
    char *data;
    size_t pos, end, cap;
};
static inline struct str window_str(const struct window *w)
{
    return str_make(w->data + w->pos, w->end - w->pos);
}
static inline bool window_empty(const struct window *w)
{
    return w->pos == w->end;
}

/* ---- link.c: a byte stream, plain or TLS ---------------------------------------------------- */

struct tls_session;

struct http_link {
    struct rt_socket *socket;
    struct tls_session *tls; /* NULL: plain */
};
/* As rt_recv and rt_send. -EPROTO when the peer breaks TLS. */
int FIBER link_recv(struct http_link *l, void *buf, size_t len, uint64_t deadline_ns,
                    size_t *ret_len);
int FIBER link_send(struct http_link *l, struct iovec *iov, unsigned count, uint64_t deadline_ns);
/* No more bytes to the peer: close_notify, FIN. */
void FIBER link_finish(struct http_link *l);
/*
 * After link_finish: reads and forgets what the peer still sends, until it closes, is quiet for
 * HTTP_DRAIN_NS or HTTP_DISCARD_NS are over. Without this, closing with unread bytes resets the
 * connection and the peer may lose the answer (RFC 9112, 9.6).
 */
void FIBER link_discard(struct http_link *l);
/* Frees what an idle link does not need. */
void link_idle(struct http_link *l);
void FIBER link_close(struct http_link *l);

/* ---- tls.c ---------------------------------------------------------------------------------- */

struct tls_context; /* certificates and rules; shared by threads */

int FIBER tls_server_open(struct tls_context **ret, const struct http_tls_config *config);
/* Takes the files again when they have changed: 0, also when not. The old ones stay on failure. */
int FIBER tls_server_reload(struct tls_context *t);
int tls_client_open(struct tls_context **ret, const char *ca_path, bool insecure);
void tls_context_close(struct tls_context *t); /* accepts NULL; its sessions are gone */

/* `host` (client only): SNI and the name to verify. */
int tls_session_new(struct tls_session **ret, struct tls_context *t, const char *host);
void tls_session_free(struct tls_session *s);
int FIBER tls_handshake(struct tls_session *s, struct rt_socket *socket, uint64_t deadline_ns);
int FIBER tls_recv(struct tls_session *s, struct rt_socket *socket, void *buf, size_t len,
                   uint64_t deadline_ns, size_t *ret_len);
int FIBER tls_send(struct tls_session *s, struct rt_socket *socket, struct iovec *iov,
                   unsigned count, uint64_t deadline_ns);
void FIBER tls_finish(struct tls_session *s, struct rt_socket *socket);
void tls_idle(struct tls_session *s);
struct str tls_version(const struct tls_session *s); /* "1.2", "1.3" */

/* ---- bodies, both ways ---------------------------------------------------------------------- */

/* How much of a message body is still to come. Pure: the caller receives. */
struct body {
    enum http1_body kind;
    uint64_t left; /* of HTTP1_BODY_LENGTH */
    struct http1_chunked chunked;
    bool ended;
};
void body_init(struct body *b, enum http1_body kind, uint64_t length);
/*
 * Takes the next run of body bytes out of the window: *ret_piece, empty when the window has none.
 * 0 or -ERR_PARSE.
 */
int body_take(struct body *b, struct window *w, struct str *ret_piece);

/* ---- the server ----------------------------------------------------------------------------- */

struct http_conn {
    struct list node; /* in the thread's active or parked list */
    struct http_thread *thread;
    struct http_link link;
    struct http_exchange *x; /* NULL while parked */
    struct rt_fiber *fiber;  /* NULL while parked */
    enum { CONN_ACTIVE, CONN_WAITING, CONN_PARKED } state;
    unsigned served;        /* requests answered on it */
    uint64_t idle_until_ns; /* for the next request to begin; 0: one is under way */
    bool woken;             /* from parking: bytes are there */
    bool handshake;         /* still to be done */
    bool refused;           /* over the limit: told so and closed */
    char peer[64];
};

struct request_body {
    struct body body;
    struct window large;   /* from the thread's pool, when the body outgrows `in` */
    struct str given_back; /* by http_body_unread */
    struct str last;       /* the piece handed out last */
    uint64_t bytes;        /* decoded */
    uint64_t waited_ns, waited_bytes;
    uint64_t deadline_ns; /* of all of it: RT_NEVER but while it is drained */
    unsigned fills;
    int error;     /* sticky */
    bool expected; /* the client waits for 100 Continue */
};

struct response {
    struct buf head; /* RESPONSE_RESERVE bytes for the start, then the handler's headers */
    int status;
    enum { RESPONSE_NONE, RESPONSE_OPEN, RESPONSE_ENDED } state;
    bool head_waiting; /* complete, to be sent with the first bytes of the body */
    bool bodyless;     /* HEAD, 204, 304 */
    bool chunked;
    bool close;     /* the connection ends after it */
    bool cut;       /* ... without a proper end */
    size_t head_at; /* where the head starts in the buffer */
    uint64_t left;  /* of a declared body */
    uint64_t bytes; /* of the body */
    uint64_t first_byte_ns;
};
#define RESPONSE_RESERVE 768

/*
 * The working set of a connection while it is not parked; from a pool of the thread.
 * Invariant: `request` borrows from in.data[.., head_end), which stays put until the next head.
 */
struct http_exchange {
    struct list node; /* in the thread's pool */
    struct http_conn *conn;
    struct window in;
    size_t head_end;
    struct http1_request request;
    struct request_body body;
    struct response response;
    struct arena arena;
    uint64_t started_ns;
    void *note;
    char id[17];
};

struct http_thread {
    struct http_server *server;
    unsigned index;
    struct rt_socket *listener;
    struct rt_fiber *acceptor, *reloader;
    bool listening; /* atomic */
    bool reloading, stopping;
    struct list active, parked; /* struct http_conn */
    unsigned conn_count, waiting, refusing;
    unsigned load;       /* atomic: connections, and what is on its way to it */
    struct rt_lock lock; /* for the waitq, and `handing` */
    struct rt_waitq quiet;
    unsigned handing;      /* accepted here and on their way to other threads */
    struct list exchanges; /* pool */
    unsigned exchange_count;
    char *large[16]; /* pool of HTTP_PIECE_BYTES */
    unsigned large_count;
    uint64_t next_id;
    uint64_t date_s;
    char date[40]; /* "Date: ...\r\n" of date_s */
    unsigned date_len;
    struct http_server_stats stats; /* written by this thread, read by any */
} __attribute__((aligned(64)));

struct http_server {
    struct http_server_config config; /* limits filled in */
    struct rt_address address;
    struct tls_context *tls;
    uint64_t reload_ns;
    struct str fixed; /* header lines that never change */
    uint64_t id_seed;
    unsigned connections, requests; /* atomic */
    struct rt_lock lock;
    struct rt_waitq changed;
    unsigned up, down, stopped; /* threads that listen, that could not, that have stopped */
    int start_error;
    unsigned first; /* the thread that started it */
    uint64_t stop_deadline_ns;
    unsigned thread_count;
    struct http_thread *threads;
};

/* Statistics: one writer, so a relaxed store is enough. */
#define STAT_ADD(t, field, n) \
    __atomic_store_n(&(t)->stats.field, (t)->stats.field + (n), __ATOMIC_RELAXED)

static inline const struct http_limits *conn_limits(const struct http_conn *c)
{
    return &c->thread->server->config.limits;
}

/* conn.c. The connection belongs to a fiber made here; counted by the caller. */
int conn_start(struct http_thread *t, struct rt_socket *socket, const struct rt_address *peer,
               bool refuse);

/* server.c */
void thread_conn_ended(struct http_thread *t, bool refused);
struct http_exchange *thread_take_exchange(struct http_thread *t); /* NULL: out of memory */
void thread_give_exchange(struct http_thread *t, struct http_exchange *x);
char *thread_take_large(struct http_thread *t); /* HTTP_PIECE_BYTES, or NULL */
void thread_give_large(struct http_thread *t, char *large);
struct str thread_date(struct http_thread *t);

/* exchange.c */
/* A new request: head of `head_len` bytes at in.pos, or none (0) when the server answers alone. */
void exchange_begin(struct http_exchange *x, size_t head_len);
/* Answers with an error of the server's own finding. */
void FIBER exchange_fail(struct http_exchange *x, int err);
/* After the handler: completes the answer, calls `done`, drains. True: the connection goes on. */
bool FIBER exchange_finish(struct http_exchange *x);

/* body.c */
void request_body_begin(struct http_exchange *x);
/* Bytes beyond the body go back to `in`; the large buffer to its pool. */
void request_body_end(struct http_exchange *x);
/* The rest is read and forgotten if it is small; false: the connection must close. */
bool FIBER request_body_drain(struct http_exchange *x);
/* Whether the connection cannot be used after an answer given now. */
bool request_body_blocks_reuse(const struct http_exchange *x);

/* response.c */
void response_reset(struct http_exchange *x);
int FIBER response_continue(struct http_exchange *x);
