/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What a NATS server says to its client, read from bytes (the NATS client protocol, as its
 * documentation gives it): lines that end in CR LF, those of messages followed by so many bytes.
 * No I/O.
 */

#include "base/str.h"

#define NATS_LINE_MAX    (64 * KIB) /* an INFO is one line */
#define NATS_MESSAGE_MAX (64 * KIB) /* of a message to us: answers of JetStream */

enum nats_verb { NATS_INFO, NATS_OK, NATS_ERR, NATS_PING, NATS_PONG, NATS_MSG };

struct nats_said {
    enum nats_verb verb;
    struct str text;    /* of INFO the JSON; of -ERR what is between the quotes */
    struct str subject; /* of a message: */
    struct str headers; /* from "NATS/1.0" on; empty: none */
    struct str body;
};

/*
 * The first thing in `in`, which the strings point into; *ret_used is how long it is, 0: more bytes
 * are needed. -ERR_CORRUPT: no such protocol, or too long.
 */
int nats_next(struct str in, struct nats_said *ret, size_t *ret_used);
/* The status of a message without a body ("NATS/1.0 503 ..."); 0: it has none. */
unsigned nats_status(const struct nats_said *m);
/* Whether messages can be sent to it: tokens separated by dots, none empty, no wildcard, no space.
 */
bool nats_subject_valid(struct str subject);
