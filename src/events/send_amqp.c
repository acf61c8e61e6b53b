/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * AMQP 0-9-1 over librabbitmq: a persistent, mandatory message an event, to an exchange under a
 * routing key, and the broker's confirmation waited for. One that no queue takes comes back and
 * counts as refused.
 */

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include "base/library.h"
#include "events/sender.h"
#include "base/sonames.h"

/* clang-format off */
#define FUNCTIONS(X)                  \
    X(amqp_basic_publish)             \
    X(amqp_channel_open)              \
    X(amqp_confirm_select)            \
    X(amqp_connection_close)          \
    X(amqp_cstring_bytes)             \
    X(amqp_destroy_connection)        \
    X(amqp_error_string2)             \
    X(amqp_get_rpc_reply)             \
    X(amqp_login)                     \
    X(amqp_maybe_release_buffers)     \
    X(amqp_new_connection)            \
    X(amqp_set_handshake_timeout)     \
    X(amqp_set_rpc_timeout)           \
    X(amqp_simple_wait_frame_noblock) \
    X(amqp_socket_open_noblock)       \
    X(amqp_tcp_socket_new)
/* clang-format on */
LIBRARY(lib, SONAME_RABBITMQ, FUNCTIONS)

#define CHANNEL 1

struct amqp {
    amqp_connection_state_t conn;
    const struct event_spec *spec;
    bool open;
    struct timeval limit;
};

static void close_amqp(void *self)
{
    struct amqp *s = self;
    if (s->conn) {
        if (s->open)
            lib.amqp_connection_close(s->conn, AMQP_REPLY_SUCCESS);
        lib.amqp_destroy_connection(s->conn);
    }
    free(s);
}

static amqp_bytes_t bytes_of(struct str s)
{
    return (amqp_bytes_t){.len = s.len, .bytes = (void *)(uintptr_t)s.ptr};
}

static int check(amqp_rpc_reply_t r, const char *what, char why[EVENT_WHY_MAX])
{
    if (r.reply_type == AMQP_RESPONSE_NORMAL)
        return 0;
    const char *detail = r.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION
                             ? lib.amqp_error_string2(r.library_error)
                             : "the broker refuses";
    return sender_say(why, -ERR_UNAVAILABLE, "AMQP, %s: %s", what, detail);
}

static int log_in(struct amqp *s, const struct sender_config *c, char why[EVENT_WHY_MAX])
{
    char vhost[256], user[256], password[EVENT_VALUE_MAX + 1];
    amqp_rpc_reply_t r =
        lib.amqp_login(s->conn, sender_text(c, "vhost", vhost, sizeof(vhost)), 0, 131072, 30,
                       AMQP_SASL_METHOD_PLAIN, sender_text(c, "user", user, sizeof(user)),
                       sender_text(c, "password", password, sizeof(password)));
    explicit_bzero(password, sizeof(password));
    int err = check(r, "login", why);
    if (err < 0)
        return err;
    s->open = true;
    lib.amqp_channel_open(s->conn, CHANNEL);
    err = check(lib.amqp_get_rpc_reply(s->conn), "channel", why);
    if (err < 0)
        return err;
    lib.amqp_confirm_select(s->conn, CHANNEL);
    return check(lib.amqp_get_rpc_reply(s->conn), "confirmations", why);
}

static int connect_to(struct amqp *s, const struct sender_config *c, char why[EVENT_WHY_MAX])
{
    char ip[EVENT_IP_MAX], host[256];
    uint16_t port;
    int r =
        event_address_resolve(event_option_of(c->spec, "address"), c->allow_local, ip, host, &port);
    if (r < 0)
        return sender_say_address(why, r);
    amqp_socket_t *socket = lib.amqp_tcp_socket_new(s->conn);
    if (!socket)
        return sender_say(why, -ENOMEM, "out of memory");
    lib.amqp_set_handshake_timeout(s->conn, &s->limit);
    lib.amqp_set_rpc_timeout(s->conn, &s->limit);
    if (lib.amqp_socket_open_noblock(socket, ip, port, &s->limit) != AMQP_STATUS_OK)
        return sender_say(why, -ERR_UNAVAILABLE, "the AMQP broker takes no connection");
    return log_in(s, c, why);
}

static int open_amqp(void **ret, const struct sender_config *c, char why[EVENT_WHY_MAX])
{
    struct amqp *s = calloc(1, sizeof(*s));
    uint64_t ms = event_number_of(c->spec, "timeout-ms");
    if (s)
        s->conn = lib.amqp_new_connection();
    if (!s || !s->conn) {
        free(s);
        return sender_say(why, -ENOMEM, "out of memory");
    }
    s->spec = c->spec;
    s->limit =
        (struct timeval){.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    int r = connect_to(s, c, why);
    if (r < 0)
        close_amqp(s);
    else
        *ret = s;
    return r;
}

/* Until the broker has the message: acknowledged, returned first, refused, or the channel closed.
 */
static int wait_confirmed(struct amqp *s, char why[EVENT_WHY_MAX])
{
    bool returned = false;
    for (;;) {
        amqp_frame_t frame;
        if (lib.amqp_simple_wait_frame_noblock(s->conn, &frame, &s->limit) != AMQP_STATUS_OK)
            return sender_say(why, -ERR_UNAVAILABLE, "AMQP: no confirmation in time");
        if (frame.frame_type != AMQP_FRAME_METHOD)
            continue;
        switch (frame.payload.method.id) {
        case AMQP_BASIC_ACK_METHOD:
            lib.amqp_maybe_release_buffers(s->conn);
            return returned ? sender_say(why, -ERR_INVALID_REQUEST, "AMQP: no queue takes it") : 0;
        case AMQP_BASIC_RETURN_METHOD:
            returned = true;
            break;
        case AMQP_BASIC_NACK_METHOD:
            return sender_say(why, -ERR_UNAVAILABLE, "AMQP: the broker could not take it");
        case AMQP_CHANNEL_CLOSE_METHOD:
        case AMQP_CONNECTION_CLOSE_METHOD:
            return sender_say(why, -ERR_UNAVAILABLE, "AMQP: the broker closed the channel");
        default:
            break;
        }
    }
}

static int send_amqp(void *self, const struct event_message *m, char why[EVENT_WHY_MAX])
{
    struct amqp *s = self;
    amqp_basic_properties_t p = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG |
                  AMQP_BASIC_MESSAGE_ID_FLAG,
        .content_type = lib.amqp_cstring_bytes("application/json"),
        .delivery_mode = AMQP_DELIVERY_PERSISTENT,
        .message_id = bytes_of(str_prefix(m->id, 255)),
    };
    int status = lib.amqp_basic_publish(
        s->conn, CHANNEL, bytes_of(event_option_of(s->spec, "exchange")),
        bytes_of(event_option_of(s->spec, "routing-key")), 1, 0, &p, bytes_of(m->body));
    if (status != AMQP_STATUS_OK)
        return sender_say(why, -ERR_UNAVAILABLE, "AMQP: %s", lib.amqp_error_string2(status));
    return wait_confirmed(s, why);
}

const struct sender_type sender_amqp = {&lib.library, open_amqp, send_amqp, close_amqp};
