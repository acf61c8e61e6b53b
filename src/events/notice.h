/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What goes along with a write so that its events are told: made for one request on one bucket.
 */

#include "events/events.h"
#include "events/rules.h"

/* What the store's happenings are called in this request. */
struct event_names {
    enum event_kind created, removed, marked, changed;
};
#define EVENT_NAMES(created) \
    ((struct event_names){created, EVENT_REMOVED_DELETE, EVENT_REMOVED_MARKER, EVENT_TAGGING_PUT})

struct event_notice {
    struct store_notice notice;
    struct events *events;
    const struct event_rules *rules; /* NULL: none; somebody follows */
    struct event_names names;
};

struct event_origin {
    struct arena *arena;
    const struct store_bucket *bucket; /* as store_bucket_get() gave it; outlives the notice */
    struct str requester, source, request_id;
};

/*
 * *ret is NULL when nobody wants to know anything of the bucket, and then nothing was done. `e` may
 * be NULL. -ERR_CORRUPT when the bucket's configuration cannot be read.
 * A write of which a target without room is to be told may then fail with -ERR_SLOW_DOWN.
 */
int event_notice_make(struct events *e, const struct event_origin *origin, struct event_names names,
                      struct store_notice **ret);
