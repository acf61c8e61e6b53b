/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * How a message gets to a target of one type. All of it is BLOCKING and runs on a courier's own
 * thread (courier.c); a sender belongs to one thread. What it fails with says what is to be done:
 *
 *   -ERR_INVALID_REQUEST  the target has understood and refuses: it will not take this one
 *   anything else         it is not there, or busy: the same message may be taken later
 *
 * A sentence for people goes to `why`; it never holds a secret.
 */

#include "base/error.h"
#include "events/address.h"
#include "events/target.h"

struct event_message {
    struct str id;   /* the same at each try: BUCKET/SEQUENCER */
    struct str key;  /* BUCKET/KEY, for targets that partition */
    struct str body; /* JSON */
    uint64_t time_ms;
};

struct sender_config {
    const struct event_spec *spec; /* borrowed; outlives the sender */
    bool allow_local;
    const bool *stop; /* atomic: give up at once */
};

struct sender;
struct library;
struct sender_type {
    struct library *library; /* loaded before anything else is called; NULL: none */
    int (*open)(void **ret, const struct sender_config *config, char why[EVENT_WHY_MAX]);
    int (*send)(void *sender, const struct event_message *m, char why[EVENT_WHY_MAX]);
    void (*close)(void *sender);
};
extern const struct sender_type sender_webhook, sender_redis, sender_postgres, sender_kafka,
    sender_amqp, sender_nats;

/* Connects. -ERR_ACCESS_DENIED when the address is none that may be. */
int BLOCKING sender_open(struct sender **ret, const struct sender_config *config,
                         char why[EVENT_WHY_MAX]);
int BLOCKING sender_send(struct sender *s, const struct event_message *m, char why[EVENT_WHY_MAX]);
void BLOCKING sender_close(struct sender *s); /* accepts NULL */

/* For the makers: a sentence, and `err` back. */
int sender_say(char why[EVENT_WHY_MAX], int err, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Of an address that could not be resolved. */
int sender_say_address(char why[EVENT_WHY_MAX], int err);
/* The option as a C string in `cap` bytes; "" when there is none. */
const char *sender_text(const struct sender_config *c, const char *name, char *ret, size_t cap);
