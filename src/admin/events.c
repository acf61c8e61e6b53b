/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Targets of events, what was given up for them, and the stream of events as they are committed.
 * Secrets come in and never go out: a secret option is told of as "(set)".
 */

#include "admin/internal.h"
#include "wire/json.h"
#include <stdio.h>
#include "wire/uri.h"

#define DEAD_MAX      1000
#define FOLLOW_BEAT   (1 * RT_S) /* an empty line: is the other side there, does the server stop */
#define FOLLOW_BUFFER (2 * MIB)

static bool absent(struct admin *a, struct http_exchange *x)
{
    if (!a->config.events)
        admin_respond_error(x, -ERR_UNAVAILABLE, "events are not served");
    return !a->config.events;
}

static void no_target(struct http_exchange *x)
{
    admin_respond_error(x, -ERR_NOT_FOUND, "there is no such target");
}

/* ---- targets -------------------------------------------------------------------------------- */

static json_t *options_json(const struct event_spec *spec)
{
    json_t *o = json_object();
    for (size_t i = 0; i < spec->option_count; i++) {
        const struct event_option *at = &spec->options[i];
        bool secret = event_option_is_secret(spec->type, at->name);
        json_object_setn_new(o, at->name.ptr, at->name.len,
                             secret ? json_string("(set)") : admin_json_str(at->value));
    }
    return o;
}

static json_t *target_json(const struct event_target_info *t)
{
    json_t *o = json_pack("{s:o, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
                          admin_json_str(t->spec.name), "type", event_type_text(t->spec.type),
                          "options", options_json(&t->spec), "created_ms",
                          (json_int_t)t->spec.created_ms, "pending", (json_int_t)t->pending, "dead",
                          (json_int_t)t->dead, "delivered", (json_int_t)t->delivered, "failed",
                          (json_int_t)t->failed, "dropped", (json_int_t)t->dropped, "refused",
                          (json_int_t)t->refused, "lost", (json_int_t)t->lost);
    if (t->failing_since_ms) {
        json_object_set_new(o, "failing_since_ms", json_integer((json_int_t)t->failing_since_ms));
        json_object_set_new(o, "fault", admin_json_str(t->fault));
    }
    return o;
}

void FIBER admin_event_targets(struct admin *a, struct http_exchange *x, struct str body)
{
    struct event_target_info *list;
    size_t count;
    if (absent(a, x))
        return;
    int r = events_target_list(a->config.events, http_arena(x), &list, &count);
    if (r < 0) {
        admin_respond_error(x, r, NULL);
        return;
    }
    json_t *targets = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(targets, target_json(&list[i]));
    admin_respond_json(x, 200, json_pack("{s:o}", "targets", targets));
}

static struct str text_of(const json_t *o)
{
    return str_make(json_string_value(o), json_string_length(o));
}

static int read_options(json_t *options, struct event_spec *spec)
{
    const char *name;
    json_t *value;
    json_object_foreach(options, name, value)
    {
        if (!json_is_string(value) || spec->option_count == EVENT_OPTIONS_MAX)
            return -ERR_INVALID_ARGUMENT;
        spec->options[spec->option_count++] = (struct event_option){str_from(name), text_of(value)};
    }
    return 0;
}

/* What `in` says, which the spec points into. */
static int read_spec(const json_t *in, struct event_spec *spec, char why[EVENT_WHY_MAX])
{
    json_t *name = json_object_get(in, "name"), *type = json_object_get(in, "type"),
           *options = json_object_get(in, "options");
    *spec = (struct event_spec){0};
    snprintf(why, EVENT_WHY_MAX, "the body must have name, type and options");
    if (!json_is_string(name) || !json_is_string(type) || !json_is_object(options))
        return -ERR_INVALID_ARGUMENT;
    spec->name = text_of(name);
    if (!event_type_parse(text_of(type), &spec->type)) {
        snprintf(why, EVENT_WHY_MAX,
                 "a target's type is webhook, redis, postgres, kafka, amqp or nats");
        return -ERR_INVALID_ARGUMENT;
    }
    return read_options(options, spec);
}

void FIBER admin_event_target_add(struct admin *a, struct http_exchange *x, struct str body)
{
    struct event_spec spec;
    char why[EVENT_WHY_MAX] = "";
    if (absent(a, x))
        return;
    json_t *in = json_read(body);
    int r = read_spec(in, &spec, why);
    if (r == 0) {
        why[0] = 0;
        r = events_target_add(a->config.events, &spec, why);
    }
    if (r < 0)
        admin_respond_error(x, r, *why ? why : NULL);
    else
        admin_respond_json(x, 201,
                           json_pack("{s:o, s:s}", "name", admin_json_str(spec.name), "type",
                                     event_type_text(spec.type)));
    json_decref(in);
}

static bool query_says(struct http_exchange *x, struct str name)
{
    struct str path, raw;
    struct uri_query query;
    uri_split(http_request(x)->target, &path, &raw);
    return uri_parse_query(http_arena(x), raw, &query) == 0 &&
           str_eq(uri_query_get(&query, name), STR("true"));
}

void FIBER admin_event_target_remove(struct admin *a, struct http_exchange *x, struct str body)
{
    if (absent(a, x))
        return;
    int r = events_target_remove(a->config.events, admin_path_name(x), query_says(x, STR("force")));
    if (r == -ERR_NOT_FOUND)
        no_target(x);
    else if (r == -ERR_BUSY)
        admin_respond_error(x, -ERR_CONFLICT,
                            "events wait for this target, or were given up: remove it with force");
    else if (r < 0)
        admin_respond_error(x, r, NULL);
    else
        http_respond(x, 204, STR_NULL);
}

void FIBER admin_event_test(struct admin *a, struct http_exchange *x, struct str body)
{
    char why[EVENT_WHY_MAX] = "";
    if (absent(a, x))
        return;
    int r = events_target_test(a->config.events, admin_path_name(x), why);
    if (r == -ERR_NOT_FOUND && !*why)
        no_target(x);
    else
        admin_respond_json(x, 200,
                           json_pack("{s:b, s:s}", "delivered", r == 0, "why", r == 0 ? "" : why));
}

/* ---- what was given up ---------------------------------------------------------------------- */

static int add_dead(const struct outbox_row *row, void *arg)
{
    json_t *o =
        json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:o}", "bucket", admin_json_str(row->bucket_name),
                  "key", admin_json_str(row->event.key), "event", admin_json_str(row->event.name),
                  "time_ms", (json_int_t)row->event.time_ms, "died_ms", (json_int_t)row->died_ms,
                  "attempts", (json_int_t)row->attempts, "why", admin_json_str(row->why));
    return json_array_append_new(arg, o) < 0 ? -ENOMEM : 0;
}

void FIBER admin_event_dead(struct admin *a, struct http_exchange *x, struct str body)
{
    if (absent(a, x))
        return;
    json_t *list = json_array();
    int r = events_dead_each(a->config.events, admin_path_name(x), DEAD_MAX, add_dead, list);
    if (r == 0) {
        admin_respond_json(x, 200, json_pack("{s:o}", "dead", list));
        return;
    }
    json_decref(list);
    if (r == -ERR_NOT_FOUND)
        no_target(x);
    else
        admin_respond_error(x, r, NULL);
}

void FIBER admin_event_dead_change(struct admin *a, struct http_exchange *x, struct str body)
{
    uint64_t count = 0;
    if (absent(a, x))
        return;
    json_t *in = json_read(body);
    struct str action = text_of(json_object_get(in, "action"));
    int r = -ERR_INVALID_ARGUMENT;
    if (str_eq(action, STR("resend")))
        r = events_dead_resend(a->config.events, admin_path_name(x), &count);
    else if (str_eq(action, STR("discard")))
        r = events_dead_discard(a->config.events, admin_path_name(x), &count);
    json_decref(in);
    if (r == -ERR_NOT_FOUND)
        no_target(x);
    else if (r < 0)
        admin_respond_error(x, r,
                            r == -ERR_INVALID_ARGUMENT ? "the action is resend or discard" : NULL);
    else
        admin_respond_json(x, 200, json_pack("{s:I}", "count", (json_int_t)count));
}

/* ---- following ------------------------------------------------------------------------------ */

/* The next lines, or an empty one after a while without; what was lost is said first. */
static int FIBER send_lines(struct http_exchange *x, struct events_follower *f, struct buf *lines)
{
    uint64_t lost = 0;
    buf_reset(lines);
    int r = events_follow_next(f, rt_now() + FOLLOW_BEAT, lines, &lost);
    if (r < 0 && r != -ETIMEDOUT)
        return r;
    if (lost)
        buf_printf(lines, "{\"lost\":%llu}\n", (unsigned long long)lost);
    if (lines->len == 0)
        buf_put_char(lines, '\n');
    r = buf_error(lines);
    return r < 0 ? r : http_write(x, lines->data, lines->len);
}

void FIBER admin_event_follow(struct admin *a, struct http_exchange *x, struct str body)
{
    struct events_follower *f;
    _cleanup_buf_ struct buf lines;
    buf_init(&lines, FOLLOW_BUFFER);
    if (absent(a, x))
        return;
    int r = events_follow(a->config.events, &f);
    if (r < 0) {
        admin_respond_error(x, r, r == -ERR_LIMIT ? "too many follow already" : NULL);
        return;
    }
    http_set_header(x, "Content-Type", STR("application/x-ndjson"));
    r = http_begin(x, 200, UINT64_MAX);
    while (r == 0 && !atomic_load(&a->draining))
        r = send_lines(x, f, &lines);
    events_unfollow(f);
    if (r == 0)
        http_end(x);
}
