/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * NATS, whose protocol is lines of text; Debian has no C client of it. Each event goes to one
 * subject. Without `jetstream` it counts as sent when the server has taken it in (a PING behind it
 * is answered); with it, when a stream has stored it, which also drops what it has seen before by
 * the message's id.
 */

#include <stdio.h>
#include "base/encode.h"
#include "events/nats.h"
#include "events/pipe.h"
#include "rt/rt.h"
#include "wire/json.h"

#define IDLE_NS     (60 * RT_S) /* a server drops who does not answer its PING for some minutes */
#define INBOX_BYTES 16
#define IN_MAX      (NATS_LINE_MAX + NATS_MESSAGE_MAX + 64 * KIB)

struct nats {
    struct sender_config config;
    struct pipe *pipe;
    struct buf in, out;
    size_t used; /* of `in`, by what was read last */
    uint64_t last_ns, max_payload;
    bool jetstream, offers_tls;
    char inbox[8 + 2 * INBOX_BYTES];
};

/* ---- what the server says ------------------------------------------------------------------- */

/* Only the sentence's begin, which is the protocol's; what follows may quote. */
static int judge_error(struct str text, char why[EVENT_WHY_MAX])
{
    static const char *const refusals[] = {"Permissions Violation", "Maximum Payload Violation",
                                           "Invalid Subject"};
    int err = -ERR_UNAVAILABLE;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
        if (str_starts_nocase(text, str_from(refusals[i]))) {
            text = str_from(refusals[i]);
            err = -ERR_INVALID_REQUEST;
        }
    text = str_prefix(text, 64);
    text = str_is_utf8(text) ? text : STR("an error");
    return sender_say(why, err, "NATS refuses: %.*s", STR_FMT(text));
}

/* What an INFO tells that matters here. */
static int take_info(struct nats *s, struct str text)
{
    json_t *info = json_read(text);
    json_int_t max = json_integer_value(json_object_get(info, "max_payload"));
    if (!json_is_object(info)) {
        json_decref(info);
        return -ERR_CORRUPT;
    }
    s->max_payload = max > 0 ? (uint64_t)max : UINT64_MAX;
    s->offers_tls = json_is_true(json_object_get(info, "tls_required")) ||
                    json_is_true(json_object_get(info, "tls_available"));
    json_decref(info);
    return 0;
}

/* The next thing it says, which lies in s->in until the one after; INFOs and PINGs in between are
 * seen to. */
static int read_next(struct nats *s, uint64_t deadline_ns, struct nats_said *ret,
                     char why[EVENT_WHY_MAX])
{
    for (;;) {
        buf_consume(&s->in, s->used);
        int r = nats_next(buf_str(&s->in), ret, &s->used);
        if (r == 0 && s->used == 0)
            r = pipe_read(s->pipe, &s->in, deadline_ns);
        else if (r == 0 && ret->verb == NATS_INFO)
            r = take_info(s, ret->text);
        else if (r == 0 && ret->verb == NATS_PING)
            r = pipe_write(s->pipe, STR("PONG\r\n"));
        else if (r == 0 && ret->verb == NATS_ERR)
            return judge_error(ret->text, why);
        else if (r == 0)
            return 0;
        if (r == -ERR_CORRUPT)
            return sender_say(why, -ERR_UNAVAILABLE, "this is no NATS server");
        if (r < 0)
            return sender_say(why, r, "NATS does not answer");
    }
}

/* Until everything before has been taken in. */
static int wait_pong(struct nats *s, char why[EVENT_WHY_MAX])
{
    uint64_t deadline_ns = pipe_deadline(s->pipe);
    struct nats_said said = {.verb = NATS_OK};
    int r = 0;
    while (r == 0 && said.verb != NATS_PONG)
        r = read_next(s, deadline_ns, &said, why);
    return r;
}

static int flush(struct nats *s, char why[EVENT_WHY_MAX])
{
    if (buf_error(&s->out))
        return sender_say(why, -ENOMEM, "out of memory");
    int r = pipe_write(s->pipe, buf_str(&s->out));
    buf_reset(&s->out);
    return r < 0 ? sender_say(why, r, "NATS does not take what is sent") : 0;
}

/* ---- connecting ----------------------------------------------------------------------------- */

static void put_secret(struct nats *s, const char *option, const char *member)
{
    struct str value = event_option_of(s->config.spec, option);
    if (!value.len)
        return;
    buf_put_char(&s->out, ',');
    json_put_member(&s->out, member, value);
}

static int greet(struct nats *s, bool tls, char why[EVENT_WHY_MAX])
{
    buf_printf(&s->out,
               "CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1,\"headers\":true,"
               "\"no_responders\":true,\"echo\":true,\"lang\":\"c\",\"name\":\"cairn\","
               "\"version\":\"" CAIRN_VERSION "\",\"tls_required\":%s",
               tls ? "true" : "false");
    put_secret(s, "user", "user");
    put_secret(s, "password", "pass");
    put_secret(s, "token", "auth_token");
    buf_put_cstr(&s->out, "}\r\n");
    if (s->jetstream)
        buf_printf(&s->out, "SUB %.*s 1\r\n", (int)sizeof(s->inbox), s->inbox);
    buf_put_cstr(&s->out, "PING\r\n");
    int r = flush(s, why);
    return r < 0 ? r : wait_pong(s, why);
}

/* The server speaks first, in plain text, whatever follows. */
static int read_info(struct nats *s, char why[EVENT_WHY_MAX])
{
    uint64_t deadline_ns = pipe_deadline(s->pipe);
    struct nats_said said;
    size_t used = 0;
    int r = 0;
    while (r == 0 && used == 0) {
        r = nats_next(buf_str(&s->in), &said, &used);
        if (r == 0 && used == 0)
            r = pipe_read(s->pipe, &s->in, deadline_ns);
    }
    if (r == 0 && (said.verb != NATS_INFO || take_info(s, said.text) < 0))
        r = -ERR_CORRUPT;
    if (r < 0)
        return sender_say(why, r == -ENOMEM ? r : -ERR_UNAVAILABLE, "this is no NATS server");
    buf_consume(&s->in, used);
    return 0;
}

static int connect_to(struct nats *s, char why[EVENT_WHY_MAX])
{
    bool tls = event_flag_of(s->config.spec, "tls");
    pipe_close(TAKE_PTR(s->pipe));
    buf_reset(&s->in);
    buf_reset(&s->out);
    s->used = 0;
    int r = pipe_open(&s->pipe, &s->config, why);
    if (r == 0)
        r = read_info(s, why);
    if (r == 0 && tls && !s->offers_tls)
        r = sender_say(why, -ERR_UNAVAILABLE, "NATS does not offer TLS");
    /* What came in plain text behind the INFO is nobody's word (CVE-2021-23222's kind). */
    if (r == 0 && tls && s->in.len)
        r = sender_say(why, -ERR_UNAVAILABLE, "NATS speaks before TLS");
    if (r == 0 && tls)
        r = pipe_start_tls(s->pipe, &s->config, why);
    if (r == 0)
        r = greet(s, tls, why);
    if (r < 0)
        pipe_close(TAKE_PTR(s->pipe));
    s->last_ns = rt_now();
    return r;
}

static void close_nats(void *self)
{
    struct nats *s = self;
    pipe_close(s->pipe);
    buf_release(&s->in);
    if (s->out.data)
        wipe(s->out.data, s->out.cap); /* it had the password */
    buf_release(&s->out);
    free(s);
}

static int open_nats(void **ret, const struct sender_config *c, char why[EVENT_WHY_MAX])
{
    uint8_t random[INBOX_BYTES];
    struct nats *s = malloc(sizeof(*s));
    if (!s)
        return sender_say(why, -ENOMEM, "out of memory");
    *s = (struct nats){.config = *c, .jetstream = event_flag_of(c->spec, "jetstream")};
    buf_init(&s->in, IN_MAX);
    buf_init(&s->out, 0);
    rt_random(random, sizeof(random));
    memcpy(s->inbox, "_INBOX.e", 8);
    hex_encode(random, sizeof(random), s->inbox + 8);
    int r = connect_to(s, why);
    if (r < 0)
        close_nats(s);
    else
        *ret = s;
    return r;
}

/* ---- sending -------------------------------------------------------------------------------- */

/* What a stream answers to who stored in it: its number, or an error with a code like HTTP's. */
static int judge_answer(const struct nats_said *m, char why[EVENT_WHY_MAX])
{
    if (nats_status(m) != 0)
        return sender_say(why, -ERR_UNAVAILABLE, "NATS: no stream takes the subject");
    json_t *answer = json_read(m->body), *error = json_object_get(answer, "error");
    json_int_t code = json_integer_value(json_object_get(error, "code"));
    bool stored = !error && json_is_string(json_object_get(answer, "stream"));
    json_decref(answer);
    if (stored)
        return 0;
    return sender_say(why, code >= 400 && code < 500 ? -ERR_INVALID_REQUEST : -ERR_UNAVAILABLE,
                      "NATS: the stream refuses it with code %d", (int)code);
}

static int wait_stored(struct nats *s, char why[EVENT_WHY_MAX])
{
    uint64_t deadline_ns = pipe_deadline(s->pipe);
    struct nats_said said = {.verb = NATS_OK};
    int r = 0;
    while (r == 0 &&
           (said.verb != NATS_MSG || !str_eq(said.subject, str_make(s->inbox, sizeof(s->inbox)))))
        r = read_next(s, deadline_ns, &said, why);
    return r < 0 ? r : judge_answer(&said, why);
}

/* The id has neither CR nor LF: a bucket's name and digits. */
static void put_message(struct nats *s, struct str subject, const struct event_message *m)
{
    static const char format[] = "NATS/1.0\r\nNats-Msg-Id: %.*s\r\n\r\n";
    size_t head = (size_t)snprintf(NULL, 0, format, STR_FMT(m->id));
    if (s->jetstream) {
        buf_printf(&s->out, "HPUB %.*s %.*s %zu %zu\r\n", STR_FMT(subject), (int)sizeof(s->inbox),
                   s->inbox, head, head + m->body.len);
        buf_printf(&s->out, format, STR_FMT(m->id));
    } else {
        buf_printf(&s->out, "PUB %.*s %zu\r\n", STR_FMT(subject), m->body.len);
    }
    buf_put_str(&s->out, m->body);
    buf_put_cstr(&s->out, s->jetstream ? "\r\n" : "\r\nPING\r\n");
}

/* After a refusal the connection goes: the PONG that is still to come would be taken for the next
 * message's. */
static int exchange(struct nats *s, const struct event_message *m, char why[EVENT_WHY_MAX])
{
    put_message(s, event_option_of(s->config.spec, "subject"), m);
    int r = flush(s, why);
    if (r == 0)
        r = s->jetstream ? wait_stored(s, why) : wait_pong(s, why);
    s->last_ns = rt_now();
    if (r < 0)
        pipe_close(TAKE_PTR(s->pipe));
    return r;
}

static int send_nats(void *self, const struct event_message *m, char why[EVENT_WHY_MAX])
{
    struct nats *s = self;
    int r = !s->pipe || rt_now() - s->last_ns > IDLE_NS ? connect_to(s, why) : 0;
    if (r == 0 && m->body.len + m->id.len + 64 > s->max_payload)
        r = sender_say(why, -ERR_INVALID_REQUEST, "longer than the NATS server takes");
    return r ? r : exchange(s, m, why);
}

const struct sender_type sender_nats = {NULL, open_nats, send_nats, close_nats};
