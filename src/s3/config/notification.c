/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * PutBucketNotificationConfiguration and GetBucketNotificationConfiguration, and the notice that
 * goes along with a write.
 */

#include "base/encode.h"
#include "events/message.h"
#include "s3/body.h"
#include "s3/notice.h"

/* ---- along with a write --------------------------------------------------------------------- */

static struct event_origin origin_of(const struct s3_request *q)
{
    return (struct event_origin){.arena = q->arena,
                                 .bucket = &q->bucket,
                                 .requester = q->signed_in ? q->who.user_id : STR("anonymous"),
                                 .source = http_client_ip(q->x),
                                 .request_id = str_from(http_request_id(q->x))};
}

int s3_notice(struct s3_request *q, struct event_names names, struct store_notice **ret)
{
    struct event_origin origin;
    *ret = NULL;
    if (!q->s3->events)
        return 0;
    origin = origin_of(q);
    return event_notice_make(q->s3->events, &origin, names, ret);
}

/* ---- the configuration ---------------------------------------------------------------------- */

static int explain(struct s3_request *q, int err, const struct event_fault *fault)
{
    if (err == -ERR_NOT_IMPLEMENTED)
        return s3_error(q, err, "EventBridge is not served: name a target of this server");
    if (err != -ERR_INVALID_ARGUMENT || !fault->why.ptr)
        return err;
    if (fault->name)
        s3_error_detail(q, "ArgumentName", str_from(fault->name));
    if (fault->name && fault->value.ptr)
        s3_error_detail(q, "ArgumentValue", fault->value);
    q->message = fault->why;
    return err;
}

static int check_destination(struct s3_request *q, const struct event_rule *rule)
{
    enum event_type type;
    bool known =
        q->s3->events && events_target_known(q->s3->events, rule->target, q->bucket.owner, &type);
    if (known && (!rule->typed || rule->type == type))
        return 0;
    return s3_error_argument(q, "Destination", rule->arn,
                             "Unable to validate the following destination configurations");
}

/* S3 makes up an id where none is given. */
static int name_rule(struct s3_request *q, struct event_rule *rule)
{
    uint8_t bytes[18];
    char text[BASE64_LEN(sizeof(bytes))];
    if (rule->id.len)
        return 0;
    rt_random(bytes, sizeof(bytes));
    size_t len = base64_encode(bytes, sizeof(bytes), text);
    for (size_t i = 0; i < len; i++)
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    rule->id = arena_dup(q->arena, str_make(text, len));
    return rule->id.ptr ? 0 : -ENOMEM;
}

static int read_rules(struct s3_request *q, struct str body, struct event_rules *ret)
{
    struct event_fault fault;
    int r = event_rules_parse(q->arena, body, ret, &fault);
    if (r)
        return explain(q, r, &fault);
    for (size_t i = 0; !r && i < ret->count; i++) {
        r = check_destination(q, &ret->rules[i]);
        if (!r)
            r = name_rule(q, &ret->rules[i]);
    }
    return r;
}

/* A test event to each destination, by the way that all events go. */
struct test_notice {
    struct store_notice notice;
    struct events *events;
    const struct event_rule *rule;
};

static int wants_test(struct store_event *e, void *arg)
{
    const struct test_notice *t = arg;
    e->name = EVENT_TEST;
    e->target = t->rule->target;
    e->config = t->rule->id;
    return 1;
}

static void committed_test(struct bucket_id b, const struct store_event *events, size_t count,
                           void *arg)
{
    const struct test_notice *t = arg;
    events_committed(t->events, &t->notice, b, events, count);
}

static int FIBER send_test(struct s3_request *q, const struct event_rule *rule)
{
    struct event_origin o = origin_of(q);
    struct test_notice t = {.events = q->s3->events, .rule = rule};
    struct store_event e = {.what = STORE_CHANGED};
    t.notice = (struct store_notice){.wants = wants_test,
                                     .committed = committed_test,
                                     .arg = &t,
                                     .arena = q->arena,
                                     .bucket_name = q->bucket.name,
                                     .owner = q->bucket.owner,
                                     .requester = o.requester,
                                     .source = o.source,
                                     .request_id = o.request_id};
    return store_outbox_put(q->s3->store, q->bucket.id, &t.notice, &e);
}

static bool named_before(const struct event_rules *rules, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (str_eq(rules->rules[i].target, rules->rules[at].target))
            return true;
    return false;
}

static int FIBER keep_rules(struct s3_request *q, const struct event_rules *rules)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, STORE_SETTING_MAX);
    if (rules->count == 0)
        return store_setting_delete(q->s3->store, q->bucket.id, STORE_SETTING_NOTIFICATION);
    event_rules_xml(&b, rules);
    return buf_error(&b) ? -ERR_TOO_LARGE
                         : store_setting_put(q->s3->store, q->bucket.id, STORE_SETTING_NOTIFICATION,
                                             buf_str(&b));
}

int FIBER s3_put_bucket_notification(struct s3_request *q)
{
    struct str body;
    struct event_rules rules;
    int r = s3_body_all(q, 0, &body, NULL);
    if (!r)
        r = read_rules(q, body, &rules);
    if (!r)
        r = keep_rules(q, &rules);
    for (size_t i = 0; !r && i < rules.count; i++)
        if (!named_before(&rules, i))
            r = send_test(q, &rules.rules[i]);
    return r ? r : s3_respond_empty(q, 200);
}

int FIBER s3_get_bucket_notification(struct s3_request *q)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    const struct store_setting *s =
        store_setting_of(q->bucket.settings, STORE_SETTING_NOTIFICATION);
    if (s) {
        (void)http_set_header(q->x, "Content-Type", STR("application/xml"));
        return http_respond(q->x, 200, s->text);
    }
    event_rules_xml(&b, &(struct event_rules){.count = 0});
    return s3_respond_xml(q, &b);
}
