/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * PostgreSQL over libpq: a row an event, in a table that is made if it is not there:
 *
 *   event_id text primary key, event_time timestamptz not null, event_data jsonb not null
 *
 * An event that is sent again finds its row there.
 */

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/buf.h"
#include "base/library.h"
#include "events/sender.h"
#include "base/sonames.h"
#include "rt/rt.h"
#include "wire/date.h"

/* clang-format off */
#define FUNCTIONS(X)        \
    X(PQclear)              \
    X(PQconnectdbParams)    \
    X(PQconsumeInput)       \
    X(PQescapeIdentifier)   \
    X(PQfinish)             \
    X(PQfreemem)            \
    X(PQgetResult)          \
    X(PQisBusy)             \
    X(PQresultErrorField)   \
    X(PQresultStatus)       \
    X(PQsendQueryParams)    \
    X(PQsetNoticeProcessor) \
    X(PQsocket)             \
    X(PQstatus)
/* clang-format on */
LIBRARY(lib, SONAME_PQ, FUNCTIONS)

#define POLL_MS 100 /* until it is looked whether to stop */

struct postgres {
    PGconn *conn;
    char *insert;
    uint64_t timeout_ms;
    const bool *stop;
};

static void close_postgres(void *self)
{
    struct postgres *s = self;
    lib.PQfinish(s->conn);
    free(s->insert);
    free(s);
}

/* 0 once there is a result, or the end of them. libpq itself would wait for ever for a server that
 * is there and silent. */
static int wait_result(struct postgres *s, uint64_t deadline_ns)
{
    while (lib.PQisBusy(s->conn)) {
        struct pollfd fd = {.fd = lib.PQsocket(s->conn), .events = POLLIN};
        bool over = rt_now() >= deadline_ns || __atomic_load_n(s->stop, __ATOMIC_RELAXED);
        if (over || (poll(&fd, 1, POLL_MS) < 0 && errno != EINTR) || !lib.PQconsumeInput(s->conn))
            return -ERR_UNAVAILABLE;
    }
    return 0;
}

/* The last result. NULL: there is none, and the connection is of no use any more. */
static PGresult *run(struct postgres *s, const char *text, unsigned count,
                     const char *const *values)
{
    uint64_t deadline_ns = rt_now() + s->timeout_ms * RT_MS;
    PGresult *last = NULL, *next;
    if (!lib.PQsendQueryParams(s->conn, text, (int)count, NULL, values, NULL, NULL, 0))
        return NULL;
    while (wait_result(s, deadline_ns) == 0) {
        next = lib.PQgetResult(s->conn);
        if (!next)
            return last;
        lib.PQclear(last);
        last = next;
    }
    lib.PQclear(last);
    return NULL;
}

/* Classes 22 and 23 are about the data: it will not be taken (PostgreSQL, appendix A). The text of
 * the server may quote values; its code is enough. */
static int judge(const struct postgres *s, PGresult *res, char why[EVENT_WHY_MAX])
{
    ExecStatusType status = lib.PQresultStatus(res);
    const char *state = lib.PQresultErrorField(res, PG_DIAG_SQLSTATE);
    int r = 0;
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        bool refused = state && (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0);
        r = sender_say(why, refused ? -ERR_INVALID_REQUEST : -ERR_UNAVAILABLE,
                       state ? "PostgreSQL refuses: SQLSTATE %s" : "PostgreSQL is not there%s",
                       state ? state : "");
    }
    lib.PQclear(res);
    return r;
}

static int make_table(struct postgres *s, const char *table, char why[EVENT_WHY_MAX])
{
    _cleanup_buf_ struct buf b;
    char *name = lib.PQescapeIdentifier(s->conn, table, strlen(table));
    buf_init(&b, 4096);
    if (!name)
        return sender_say(why, -ENOMEM, "no name for a table");
    buf_printf(&b,
               "INSERT INTO %s (event_id, event_time, event_data) VALUES ($1, $2, $3) ON CONFLICT "
               "DO NOTHING",
               name);
    s->insert = buf_error(&b) ? NULL : strdup(b.data);
    buf_reset(&b);
    buf_printf(&b,
               "CREATE TABLE IF NOT EXISTS %s (event_id text PRIMARY KEY, event_time timestamptz "
               "NOT NULL, event_data jsonb NOT NULL)",
               name);
    lib.PQfreemem(name);
    if (!s->insert || buf_error(&b))
        return sender_say(why, -ENOMEM, "out of memory");
    return judge(s, run(s, b.data, 0, NULL), why);
}

static int connect_to(struct postgres *s, const struct sender_config *c, char why[EVENT_WHY_MAX])
{
    char ip[EVENT_IP_MAX], host[256], port_text[8], seconds[24];
    char user[256], database[256], mode[16], ca[EVENT_VALUE_MAX + 1], password[EVENT_VALUE_MAX + 1];
    uint16_t port;
    int r =
        event_address_resolve(event_option_of(c->spec, "address"), c->allow_local, ip, host, &port);
    if (r < 0)
        return sender_say_address(why, r);
    uint64_t ms = event_number_of(c->spec, "timeout-ms");
    snprintf(port_text, sizeof(port_text), "%u", port);
    snprintf(seconds, sizeof(seconds), "%llu", (unsigned long long)MAX(ms / 1000, (uint64_t)2));
    char limits[64], ms_text[24];
    snprintf(ms_text, sizeof(ms_text), "%llu", (unsigned long long)ms);
    snprintf(limits, sizeof(limits), "-c statement_timeout=%llu", (unsigned long long)ms);
    const char *ca_file = sender_text(c, "ca", ca, sizeof(ca));
    const char *const names[] = {"host",
                                 "hostaddr",
                                 "port",
                                 "dbname",
                                 "user",
                                 "password",
                                 "connect_timeout",
                                 "options",
                                 "sslmode",
                                 "application_name",
                                 "tcp_user_timeout",
                                 *ca_file ? "sslrootcert" : NULL,
                                 NULL};
    /* hostaddr is what was judged; host is the name that a certificate must bear. */
    const char *const values[] = {host,
                                  ip,
                                  port_text,
                                  sender_text(c, "database", database, sizeof(database)),
                                  sender_text(c, "user", user, sizeof(user)),
                                  sender_text(c, "password", password, sizeof(password)),
                                  seconds,
                                  limits,
                                  sender_text(c, "sslmode", mode, sizeof(mode)),
                                  "cairn",
                                  ms_text,
                                  ca_file,
                                  NULL};
    s->conn = lib.PQconnectdbParams(names, values, 0);
    explicit_bzero(password, sizeof(password));
    if (lib.PQstatus(s->conn) != CONNECTION_OK)
        return sender_say(why, -ERR_UNAVAILABLE, "PostgreSQL takes no connection");
    char table[64];
    return make_table(s, sender_text(c, "table", table, sizeof(table)), why);
}

static void no_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message; /* "relation exists": the log is no place for it */
}

static int open_postgres(void **ret, const struct sender_config *c, char why[EVENT_WHY_MAX])
{
    struct postgres *s = calloc(1, sizeof(*s));
    if (!s)
        return sender_say(why, -ENOMEM, "out of memory");
    s->timeout_ms = event_number_of(c->spec, "timeout-ms");
    s->stop = c->stop;
    int r = connect_to(s, c, why);
    if (r < 0) {
        close_postgres(s);
        return r;
    }
    lib.PQsetNoticeProcessor(s->conn, no_notice, NULL);
    *ret = s;
    return 0;
}

static int send_postgres(void *self, const struct event_message *m, char why[EVENT_WHY_MAX])
{
    struct postgres *s = self;
    char time[DATE_ISO_LEN + 1] = {0}, id[512], *body = strndup(m->body.ptr, m->body.len);
    if (!body)
        return sender_say(why, -ENOMEM, "out of memory");
    snprintf(id, sizeof(id), "%.*s", STR_FMT(m->id));
    date_format_iso(m->time_ms, time);
    const char *const values[] = {id, time, body};
    int r = judge(s, run(s, s->insert, ARRAY_LEN(values), values), why);
    free(body);
    return r;
}

const struct sender_type sender_postgres = {&lib.library, open_postgres, send_postgres,
                                            close_postgres};
