/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Kafka over librdkafka: each event is produced, keyed by bucket and key so that a key's events
 * stay in one partition, and waited for until the brokers in sync have it (acks=all, idempotent).
 * Every broker's address is judged when it is connected to, those that the cluster names itself
 * included.
 */

#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include "base/library.h"
#include "events/sender.h"
#include "base/sonames.h"
#include "http/outgoing.h"

/* clang-format off */
#define FUNCTIONS(X)                \
    X(rd_kafka_conf_destroy)        \
    X(rd_kafka_conf_new)            \
    X(rd_kafka_conf_set)            \
    X(rd_kafka_conf_set_connect_cb) \
    X(rd_kafka_conf_set_dr_msg_cb)  \
    X(rd_kafka_conf_set_log_cb)     \
    X(rd_kafka_conf_set_opaque)     \
    X(rd_kafka_destroy)             \
    X(rd_kafka_err2str)             \
    X(rd_kafka_new)                 \
    X(rd_kafka_poll)                \
    X(rd_kafka_producev)            \
    X(rd_kafka_purge)
/* clang-format on */
LIBRARY(lib, SONAME_RDKAFKA, FUNCTIONS)

struct kafka {
    rd_kafka_t *producer;
    const bool *stop;
    bool allow_local, denied; /* denied: atomic, set by librdkafka's threads */
    char topic[256];
    uint64_t timeout_ms;
    /* of the message under way */
    bool delivered;
    rd_kafka_resp_err_t err;
};

static int connect_cb(int fd, const struct sockaddr *sa, int len, const char *id, void *opaque)
{
    struct kafka *s = opaque;
    if (http_outgoing_test(sa, s->allow_local) < 0) {
        __atomic_store_n(&s->denied, true, __ATOMIC_RELAXED);
        return EACCES;
    }
    if (connect(fd, sa, (socklen_t)len) < 0 && errno != EINPROGRESS)
        return errno;
    return 0;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct kafka *s = opaque;
    s->delivered = true;
    s->err = m->err;
}

/* Its own lines would go to standard error, past our log. */
static void no_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
}

static bool set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[256];
    return lib.rd_kafka_conf_set(conf, name, value, why, sizeof(why)) == RD_KAFKA_CONF_OK;
}

static bool set_credentials(rd_kafka_conf_t *conf, const struct sender_config *c)
{
    char user[EVENT_VALUE_MAX + 1], password[EVENT_VALUE_MAX + 1], ca[EVENT_VALUE_MAX + 1];
    bool tls = event_flag_of(c->spec, "tls"), sasl = event_option_of(c->spec, "user").len;
    bool ok = set(conf, "security.protocol",
                  tls ? (sasl ? "sasl_ssl" : "ssl") : (sasl ? "sasl_plaintext" : "plaintext"));
    if (sasl)
        ok = ok && set(conf, "sasl.mechanism", "PLAIN") &&
             set(conf, "sasl.username", sender_text(c, "user", user, sizeof(user))) &&
             set(conf, "sasl.password", sender_text(c, "password", password, sizeof(password)));
    if (tls && *sender_text(c, "ca", ca, sizeof(ca)))
        ok = ok && set(conf, "ssl.ca.location", ca);
    if (tls) /* older libraries take a trusted certificate of any host */
        ok = ok && set(conf, "ssl.endpoint.identification.algorithm", "https");
    explicit_bzero(password, sizeof(password));
    return ok;
}

static bool set_up(rd_kafka_conf_t *conf, struct kafka *s, const struct sender_config *c)
{
    char brokers[EVENT_VALUE_MAX + 1], timeout[16];
    snprintf(timeout, sizeof(timeout), "%llu", (unsigned long long)s->timeout_ms);
    lib.rd_kafka_conf_set_opaque(conf, s);
    lib.rd_kafka_conf_set_connect_cb(conf, connect_cb);
    lib.rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    lib.rd_kafka_conf_set_log_cb(conf, no_log);
    return set(conf, "bootstrap.servers", sender_text(c, "brokers", brokers, sizeof(brokers))) &&
           set(conf, "enable.idempotence", "true") && set(conf, "linger.ms", "0") &&
           set(conf, "client.id", "cairn") && set(conf, "message.timeout.ms", timeout) &&
           set_credentials(conf, c);
}

static void close_kafka(void *self)
{
    struct kafka *s = self;
    if (s->producer) {
        lib.rd_kafka_purge(s->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        lib.rd_kafka_poll(s->producer, 0);
        lib.rd_kafka_destroy(s->producer);
    }
    free(s);
}

static int open_kafka(void **ret, const struct sender_config *c, char why[EVENT_WHY_MAX])
{
    char text[256];
    struct kafka *s = calloc(1, sizeof(*s));
    rd_kafka_conf_t *conf = lib.rd_kafka_conf_new();
    if (s) {
        s->stop = c->stop;
        s->allow_local = c->allow_local;
        s->timeout_ms = event_number_of(c->spec, "timeout-ms");
        sender_text(c, "topic", s->topic, sizeof(s->topic));
        if (set_up(conf, s, c))
            s->producer = lib.rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    }
    if (!s || !s->producer) {
        lib.rd_kafka_conf_destroy(conf);
        free(s);
        return sender_say(why, -ERR_UNAVAILABLE, "no producer can be made of these options");
    }
    *ret = s; /* which has taken `conf` over */
    return 0;
}

/* 0 once the message's fate is known. */
static int wait_delivered(struct kafka *s)
{
    /* message.timeout.ms ends it; a little more, for it to be told of. */
    for (uint64_t waited = 0; waited < s->timeout_ms + 5000; waited += 100) {
        lib.rd_kafka_poll(s->producer, 100);
        if (s->delivered)
            return 0;
        if (__atomic_load_n(s->stop, __ATOMIC_RELAXED))
            break;
    }
    return -ERR_UNAVAILABLE;
}

static int send_kafka(void *self, const struct event_message *m, char why[EVENT_WHY_MAX])
{
    struct kafka *s = self;
    s->delivered = false;
    rd_kafka_resp_err_t err = lib.rd_kafka_producev(
        s->producer, RD_KAFKA_V_TOPIC(s->topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY(m->key.ptr, m->key.len),
        RD_KAFKA_V_VALUE((void *)(uintptr_t)m->body.ptr, m->body.len), RD_KAFKA_V_END);
    if (!err && wait_delivered(s) < 0)
        return sender_say(why, -ERR_UNAVAILABLE, "Kafka has not answered in time");
    if (!err)
        err = s->err;
    if (!err)
        return 0;
    if (__atomic_load_n(&s->denied, __ATOMIC_RELAXED))
        return sender_say_address(why, -ERR_ACCESS_DENIED);
    bool refused = err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE ||
                   err == RD_KAFKA_RESP_ERR_INVALID_MSG || err == RD_KAFKA_RESP_ERR_INVALID_RECORD;
    return sender_say(why, refused ? -ERR_INVALID_REQUEST : -ERR_UNAVAILABLE, "Kafka: %s",
                      lib.rd_kafka_err2str(err));
}

const struct sender_type sender_kafka = {&lib.library, open_kafka, send_kafka, close_kafka};
