/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What a target of events is: a name, a type, and options as the type wants them. Which options a
 * type has, which it needs and which are secret is said once, in a table (target.c); a target whose
 * options were not all understood does not exist.
 */

#include "base/arena.h"
#include "base/buf.h"

#define EVENT_NAME_MAX    64 /* OUTBOX_TARGET_MAX */
#define EVENT_OPTIONS_MAX 16
#define EVENT_VALUE_MAX   2048

/* X(NAME, text) */
#define EVENT_TYPES(X)      \
    X(WEBHOOK, "webhook")   \
    X(REDIS, "redis")       \
    X(POSTGRES, "postgres") \
    X(KAFKA, "kafka")       \
    X(AMQP, "amqp")         \
    X(NATS, "nats")

enum event_type {
#define X(name, text) EVENT_##name,
    EVENT_TYPES(X)
#undef X
        EVENT_TYPE_COUNT
};
const char *event_type_text(enum event_type type);
bool event_type_parse(struct str text, enum event_type *ret);

struct event_option {
    struct str name, value;
};

struct event_spec {
    struct str name;
    enum event_type type;
    struct event_option options[EVENT_OPTIONS_MAX];
    size_t option_count;
    uint64_t created_ms;
};

/* Letters, digits, '-' and '_', up to EVENT_NAME_MAX. */
bool event_name_valid(struct str name);
/* 0, or -ERR_INVALID_ARGUMENT with a sentence in `why`, which names no value. */
#define EVENT_WHY_MAX 256
int event_spec_validate(const struct event_spec *spec, char why[EVENT_WHY_MAX]);
/* The option's value, or the default of its type; ptr NULL: neither. */
struct str event_option_of(const struct event_spec *spec, const char *name);
uint64_t event_number_of(const struct event_spec *spec, const char *name);
bool event_flag_of(const struct event_spec *spec, const char *name);
/* Whether the account's buckets may send to it: those that `accounts` names, or all. */
bool event_spec_serves(const struct event_spec *spec, struct str account);
bool event_option_is_secret(enum event_type type, struct str name);

/* The row's value, and back (strings in `a`): -ERR_CORRUPT. */
int event_spec_encode(const struct event_spec *spec, struct buf *out);
int event_spec_decode(struct arena *a, struct str value, struct event_spec *ret);
