/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The HTTP/1.1 server and client over rt, with TLS. One acceptor a loop thread; a connection is
 * served by a fiber while a request is under way and parked (no stack, no buffer) while idle.
 *
 * Source of the rules: RFC 9110 (semantics), RFC 9112 (HTTP/1.1).
 *
 * Promises: a handler sees one well-formed request, its body as a stream of decoded bytes, and
 * sends one response; what it leaves unread of the body is drained up to a limit or the connection
 * is closed; every size and every wait is limited by struct http_limits.
 */

#include "base/arena.h"
#include "base/buf.h"
#include "rt/rt.h"
#include "wire/http1.h"

struct http_limits {          /* 0: the default in brackets */
    size_t head_bytes;        /* request line and headers [64 KiB] */
    unsigned header_count;    /* [128] */
    unsigned connections;     /* the whole server [16,384] */
    uint64_t head_timeout_ns; /* first byte to last of a head [10 s] */
    uint64_t body_timeout_ns; /* between two pieces of a body [30 s] */
    uint64_t body_min_rate;   /* bytes a second, averaged over body_timeout_ns [1 KiB/s] */
    uint64_t send_timeout_ns; /* for one send to make progress [30 s] */
    uint64_t idle_timeout_ns; /* keep-alive [120 s] */
    uint64_t drain_bytes;     /* of a body the handler did not read [256 KiB] */
    unsigned requests;        /* served at once; beyond: 503 [4,096] */
};

struct http_tls_config {
    const char *cert_path, *key_path; /* PEM; taken up again when they change */
    uint64_t reload_ns;               /* how often to look [5 s] */
};

/* Networks, as "10.0.0.0/8, 192.0.2.1, 2001:db8::/32". */
#define HTTP_NETWORKS_MAX 32
struct http_network {
    uint8_t ip[16]; /* IPv4 mapped */
    unsigned bits;
};
struct http_networks {
    struct http_network at[HTTP_NETWORKS_MAX];
    unsigned count;
};
/* -EINVAL: no list of networks, or too many. NULL and "" are none. */
int http_networks_parse(struct http_networks *ret, const char *list);

struct http_exchange;
/* Called on a fiber for each request. Must send a response (http_respond or http_begin); if it does
 * not, 500. */
typedef void http_handler(struct http_exchange *x, void *arg);

struct http_server_config {
    struct rt_address address;
    const struct http_tls_config *tls; /* NULL: plain */
    struct http_limits limits;
    http_handler *handler;
    void *arg;
    const char *server_name; /* Server: header; at most 64 bytes; NULL: none */
    const char *host_id;     /* x-amz-id-2: likewise */
    /* Whose X-Forwarded-For is believed; borrowed; NULL: nobody's. */
    const struct http_networks *trusted_proxies;
    /*
     * Makes the body of an error the server finds by itself (malformed head, limits, timeouts), so
     * that the door's error format is used. NULL: an empty body.
     */
    void (*error_body)(struct http_exchange *x, int err, struct buf *ret_body,
                       struct str *ret_type);
    /* Called once per exchange at its end, for the access log and metrics. May be NULL. */
    void (*done)(struct http_exchange *x, void *arg);
};

struct http_server;
/* Listening when it returns. Port 0 picks one: http_server_address. */
int FIBER http_server_start(struct http_server **ret, const struct http_server_config *config);
void http_server_address(const struct http_server *s, struct rt_address *ret);
/* Stops accepting, lets requests under way finish until the deadline, then cuts them. Frees. */
void FIBER http_server_stop(struct http_server *s, uint64_t deadline_ns);
struct http_server_stats {
    uint64_t connections, connections_total, requests_active, requests_total;
    uint64_t bytes_in, bytes_out, refused, tls_handshakes, tls_failures;
};
void http_server_stats(const struct http_server *s, struct http_server_stats *ret);

/* ---- the request ---------------------------------------------------------------------------- */

/* Parsed head: method, target, headers. Borrowed until the exchange ends. */
const struct http1_request *http_request(const struct http_exchange *x);
/* First value of a header, trimmed; ptr NULL when absent. Name in lower case. */
struct str http_header(const struct http_exchange *x, struct str lower_name);
/* The exchange's arena: freed at its end. */
struct arena *http_arena(struct http_exchange *x);
const char *http_peer(const struct http_exchange *x); /* "192.0.2.1:4711" */
/* The address the request came from, without a port: the peer's, or what proxies that are trusted
 * say. Borrowed until the exchange ends. */
struct str http_client_ip(const struct http_exchange *x);
bool http_is_tls(const struct http_exchange *x);
/* "1.2" or "1.3"; ptr NULL without TLS. */
struct str http_tls_version(const struct http_exchange *x);
const char *http_request_id(const struct http_exchange *x); /* 16 hex digits, unique */
uint64_t http_started_ns(const struct http_exchange *x);    /* its head was complete */
/* When the first byte of the answer was sent; 0: not yet. */
uint64_t http_first_byte_ns(const struct http_exchange *x);
/* A word the handler leaves for `done` (the door's own log record). */
void http_set_note(struct http_exchange *x, void *note);
void *http_note(const struct http_exchange *x);

/* Content-Length, or UINT64_MAX when chunked. 0 when there is no body. */
uint64_t http_body_length(const struct http_exchange *x);
/*
 * Borrows the next piece of the decoded body (at most 256 KiB), valid until the next call; an empty
 * piece is the end. The first call answers `Expect: 100-continue`. -ERR_REQUEST_TIMEOUT,
 * -ERR_INCOMPLETE_BODY (closed early), -ERR_PARSE (bad chunking).
 */
int FIBER http_body_next(struct http_exchange *x, struct str *ret_piece);
/* Gives back the tail of the last piece, to be returned by the next call. */
void http_body_unread(struct http_exchange *x, size_t len);
/* The whole body in the arena; -ERR_TOO_LARGE beyond `max`. */
int FIBER http_body_all(struct http_exchange *x, size_t max, struct str *ret);

/* ---- the response --------------------------------------------------------------------------- */

/* Adds a header. CR, LF and NUL in a value are refused with -EINVAL (nothing is added). */
int http_set_header(struct http_exchange *x, const char *name, struct str value);
/*
 * Head and whole body in one send. For HEAD requests and 204/304 the body is not sent but its
 * length is declared (not for 204). `x-amz-request-id`, Date and Server are added.
 */
int FIBER http_respond(struct http_exchange *x, int status, struct str body);
/* A streamed response: the head with Content-Length `len` (UINT64_MAX: chunked), then writes. */
int FIBER http_begin(struct http_exchange *x, int status, uint64_t len);
int FIBER http_write(struct http_exchange *x, const void *data, size_t len);
/* All declared bytes must have been written; else the connection is closed. */
int FIBER http_end(struct http_exchange *x);
bool http_responding(const struct http_exchange *x); /* the head has been sent */
/* Ends the connection after this exchange; with `cut`, without a proper end of the body. */
void http_close_after(struct http_exchange *x, bool cut);

int http_status(const struct http_exchange *x);        /* 0: none yet */
uint64_t http_bytes_in(const struct http_exchange *x); /* of the body */
uint64_t http_bytes_out(const struct http_exchange *x);

/* ---- the client ----------------------------------------------------------------------------- */

struct http_client;
struct http_client_config {
    struct rt_address address;
    const char *tls_host; /* NULL: plain; else SNI and the name verified */
    const char *ca_path;  /* NULL: the system's; */
    bool insecure;        /* no verification: only when the user asked */
    uint64_t timeout_ns;  /* for each wait */
    uint64_t until_ns;    /* when all of it is over, however short the waits; 0: never */
};
int FIBER http_client_open(struct http_client **ret, const struct http_client_config *config);
void FIBER http_client_close(struct http_client *c);
struct http_reply {
    int status;
    struct http1_response head; /* borrowed until the next request on this client */
};
/* Sends a request with a whole body and reads the reply's head; then http_client_body. */
int FIBER http_client_request(struct http_client *c, struct str method, struct str target,
                              const struct http1_header *headers, size_t count, struct str body,
                              struct http_reply *ret);
/* Next piece of the reply's body; empty at the end. */
int FIBER http_client_body(struct http_client *c, struct str *ret_piece);
