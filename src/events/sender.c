/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "events/sender.h"
#include "base/library.h"
#include <stdio.h>
#include <stdlib.h>

struct sender {
    const struct sender_type *type;
    void *self;
};

static const struct sender_type *const types[] = {
    [EVENT_WEBHOOK] = &sender_webhook,   [EVENT_REDIS] = &sender_redis,
    [EVENT_POSTGRES] = &sender_postgres, [EVENT_KAFKA] = &sender_kafka,
    [EVENT_AMQP] = &sender_amqp,         [EVENT_NATS] = &sender_nats,
};

int BLOCKING sender_open(struct sender **ret, const struct sender_config *config,
                         char why[EVENT_WHY_MAX])
{
    struct sender *s = calloc(1, sizeof(*s));
    if (!s)
        return sender_say(why, -ENOMEM, "out of memory");
    s->type = types[config->spec->type];
    int r = s->type->library ? library_load(s->type->library) : 0;
    if (r < 0)
        r = sender_say(why, r, "%s is not installed", s->type->library->soname);
    else
        r = s->type->open(&s->self, config, why);
    if (r < 0)
        free(s);
    else
        *ret = s;
    return r;
}

int BLOCKING sender_send(struct sender *s, const struct event_message *m, char why[EVENT_WHY_MAX])
{
    return s->type->send(s->self, m, why);
}

void BLOCKING sender_close(struct sender *s)
{
    if (s)
        s->type->close(s->self);
    free(s);
}

int sender_say(char why[EVENT_WHY_MAX], int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, EVENT_WHY_MAX, fmt, ap);
    va_end(ap);
    for (char *c = why; *c; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
    return err;
}

int sender_say_address(char why[EVENT_WHY_MAX], int err)
{
    if (err == -ERR_ACCESS_DENIED)
        return sender_say(why, err, "the address is loopback or link-local, which is not allowed");
    if (err == -ERR_UNAVAILABLE)
        return sender_say(why, err, "the name of the address cannot be resolved");
    return sender_say(why, err, "no address");
}

const char *sender_text(const struct sender_config *c, const char *name, char *ret, size_t cap)
{
    struct str value = event_option_of(c->spec, name);
    size_t len = MIN(value.len, cap - 1);
    if (len)
        memcpy(ret, value.ptr, len);
    ret[len] = 0;
    return ret;
}
