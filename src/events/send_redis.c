/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Redis over hiredis: RPUSH onto a list, or PUBLISH to a channel. */

#include <hiredis/hiredis.h>
#include "base/library.h"
#include "events/sender.h"
#include "base/sonames.h"

/* clang-format off */
#define FUNCTIONS(X)           \
    X(freeReplyObject)         \
    X(redisCommandArgv)        \
    X(redisConnectWithTimeout) \
    X(redisFree)               \
    X(redisSetTimeout)
/* clang-format on */
LIBRARY(lib, SONAME_HIREDIS, FUNCTIONS)

struct redis {
    redisContext *context;
    const struct event_spec *spec;
    bool publish;
};

static void close_redis(void *self)
{
    struct redis *s = self;
    if (s->context)
        lib.redisFree(s->context);
    free(s);
}

/* The reply is an error: what kind. What it says may quote the command: only its first word is
 * told. */
static int judge_error(const char *text, char why[EVENT_WHY_MAX])
{
    static const char *const later[] = {"LOADING",  "BUSY",      "MASTERDOWN", "CLUSTERDOWN",
                                        "TRYAGAIN", "READONLY",  "OOM",        "MISCONF",
                                        "NOAUTH",   "WRONGPASS", "NOREPLICAS"};
    size_t len = strcspn(text, " ");
    int err = -ERR_INVALID_REQUEST;
    for (size_t i = 0; i < ARRAY_LEN(later); i++)
        if (str_eq(str_make(text, len), str_from(later[i])))
            err = -ERR_UNAVAILABLE;
    return sender_say(why, err, "Redis refuses: %.*s", (int)MIN(len, (size_t)32), text);
}

static int command(struct redis *s, int argc, const char **argv, const size_t *lens,
                   char why[EVENT_WHY_MAX])
{
    redisReply *reply = lib.redisCommandArgv(s->context, argc, argv, lens);
    if (!reply)
        return sender_say(why, -ERR_UNAVAILABLE, "Redis: %s", s->context->errstr);
    int r = reply->type == REDIS_REPLY_ERROR ? judge_error(reply->str, why) : 0;
    lib.freeReplyObject(reply);
    return r;
}

static int authenticate(struct redis *s, char why[EVENT_WHY_MAX])
{
    struct str user = event_option_of(s->spec, "user"),
               password = event_option_of(s->spec, "password");
    const char *argv[3] = {"AUTH"};
    size_t lens[3] = {4};
    int argc = 1;
    if (!password.len)
        return 0;
    if (user.len) {
        argv[argc] = user.ptr;
        lens[argc++] = user.len;
    }
    argv[argc] = password.ptr;
    lens[argc++] = password.len;
    return command(s, argc, argv, lens, why);
}

static int connect_to(struct redis *s, const struct sender_config *c, char why[EVENT_WHY_MAX])
{
    char ip[EVENT_IP_MAX], host[256];
    uint16_t port;
    uint64_t ms = event_number_of(c->spec, "timeout-ms");
    struct timeval limit = {.tv_sec = (time_t)(ms / 1000),
                            .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    int r =
        event_address_resolve(event_option_of(c->spec, "address"), c->allow_local, ip, host, &port);
    if (r < 0)
        return sender_say_address(why, r);
    s->context = lib.redisConnectWithTimeout(ip, port, limit);
    if (!s->context || s->context->err)
        return sender_say(why, -ERR_UNAVAILABLE, "Redis: %s",
                          s->context ? s->context->errstr : "out of memory");
    if (lib.redisSetTimeout(s->context, limit) != REDIS_OK)
        return sender_say(why, -ERR_UNAVAILABLE, "Redis: no timeout can be set");
    return authenticate(s, why);
}

static int open_redis(void **ret, const struct sender_config *c, char why[EVENT_WHY_MAX])
{
    struct redis *s = calloc(1, sizeof(*s));
    if (!s)
        return sender_say(why, -ENOMEM, "out of memory");
    s->spec = c->spec;
    s->publish = str_eq(event_option_of(c->spec, "format"), STR("publish"));
    int r = connect_to(s, c, why);
    if (r < 0)
        close_redis(s);
    else
        *ret = s;
    return r;
}

static int send_redis(void *self, const struct event_message *m, char why[EVENT_WHY_MAX])
{
    struct redis *s = self;
    struct str key = event_option_of(s->spec, "key");
    const char *argv[] = {s->publish ? "PUBLISH" : "RPUSH", key.ptr, m->body.ptr};
    const size_t lens[] = {strlen(argv[0]), key.len, m->body.len};
    return command(s, 3, argv, lens, why);
}

const struct sender_type sender_redis = {&lib.library, open_redis, send_redis, close_redis};
