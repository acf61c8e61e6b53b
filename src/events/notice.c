/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "events/notice.h"
#include "store/settings.h"

/* ---- the configuration, parsed once --------------------------------------------------------- */

static int parse(struct arena *a, struct str text, void *made)
{
    struct event_fault fault;
    return event_rules_parse(a, text, made, &fault);
}

static int rules_of(const struct store_bucket *b, const struct event_rules **ret)
{
    const void *made;
    int r =
        store_setting_made(b->settings, STORE_SETTING_NOTIFICATION, sizeof(**ret), parse, &made);
    *ret = r ? NULL : made;
    return r;
}

/* ---- the notice ----------------------------------------------------------------------------- */

static enum event_kind kind_of(const struct event_notice *n, enum store_happening what)
{
    switch (what) {
    case STORE_CREATED:
        return n->names.created;
    case STORE_REMOVED:
        return n->names.removed;
    case STORE_MARKED:
        return n->names.marked;
    case STORE_CHANGED:
        return n->names.changed;
    }
    CHECK(!"a happening without a name");
    return EVENT_KIND_COUNT;
}

static int wants(struct store_event *e, void *arg)
{
    const struct event_notice *n = arg;
    enum event_kind kind = kind_of(n, e->what);
    const struct event_rule *rule = n->rules ? event_rules_match(n->rules, kind, e->key) : NULL;
    e->name = event_kind_text(kind);
    if (rule) {
        enum events_room room = events_admit(n->events, rule->target, n->notice.owner);
        if (room == EVENTS_REFUSED)
            return -ERR_SLOW_DOWN;
        if (room == EVENTS_TAKEN) {
            e->target = rule->target;
            e->config = rule->id;
        }
    }
    return e->target.len || events_followed(n->events);
}

static void committed(struct bucket_id b, const struct store_event *events, size_t count, void *arg)
{
    const struct event_notice *n = arg;
    events_committed(n->events, &n->notice, b, events, count);
}

int event_notice_make(struct events *e, const struct event_origin *origin, struct event_names names,
                      struct store_notice **ret)
{
    const struct event_rules *rules = NULL;
    *ret = NULL;
    if (!e)
        return 0;
    int r = rules_of(origin->bucket, &rules);
    if (r < 0 || (!rules && !events_followed(e)))
        return r;
    struct event_notice *n = arena_new(origin->arena, struct event_notice);
    if (!n)
        return -ENOMEM;
    *n = (struct event_notice){.events = e, .rules = rules, .names = names};
    n->notice = (struct store_notice){.wants = wants,
                                      .committed = committed,
                                      .arg = n,
                                      .arena = origin->arena,
                                      .bucket_name = origin->bucket->name,
                                      .owner = origin->bucket->owner,
                                      .requester = origin->requester,
                                      .source = origin->source,
                                      .request_id = origin->request_id};
    *ret = &n->notice;
    return 0;
}
