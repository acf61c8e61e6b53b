/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The room put together: start and end, the keeper, what doors ask.
 */

#include "events/internal.h"
#include "base/log.h"
#include "events/message.h"
#include <stdio.h>

#define PURGE_ROWS 256 /* a transaction */

/* ---- rows of a target ----------------------------------------------------------------------- */

/* Deletes the rows of a place, all of them. */
static int FIBER purge_place(struct events *e, const struct outbox_place *place,
                             uint64_t *ret_count)
{
    struct arena a;
    size_t count = 1;
    int r = 0;
    arena_init(&a, 8 * MIB);
    while (r == 0 && count) {
        struct outbox_row *rows;
        arena_reset(&a);
        r = store_outbox_read(e->store, &a, place, 0, PURGE_ROWS, &rows, &count);
        if (r == 0 && count)
            r = store_outbox_settle(e->store, place, rows, count);
        if (r == 0)
            *ret_count += count;
    }
    arena_release(&a);
    return r;
}

struct purge {
    struct events *events;
    struct str target;
    uint64_t count;
};

static int FIBER purge_one(const struct outbox_place *place, uint64_t count, void *arg)
{
    struct purge *p = arg;
    return str_eq(place->target, p->target) ? purge_place(p->events, place, &p->count) : 0;
}

/* ---- start and end -------------------------------------------------------------------------- */

static int FIBER count_place(const struct outbox_place *place, uint64_t count, void *arg)
{
    struct events *e = arg;
    struct event_target *t = target_find(e, place->target);
    uint64_t purged = 0;
    if (!t || place->shard >= OUTBOX_SHARDS) {
        target_unref(t);
        return purge_place(e, place, &purged);
    }
    if (place->dead)
        dead_count(t, count);
    else
        courier_add(&t->couriers[place->shard], place->bucket, count, 0);
    target_unref(t);
    return 0;
}

int FIBER events_open(struct events **ret, const struct events_config *config)
{
    struct events *e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    struct str region = config->region.len ? config->region : STR("us-east-1");
    e->meta = config->meta;
    e->store = config->store;
    e->allow_local = config->allow_local;
    snprintf(e->region, sizeof(e->region), "%.*s", STR_FMT(region));
    rt_lock_init(&e->lock);
    rt_lock_init(&e->follow_lock);
    list_init(&e->targets);
    list_init(&e->followers);
    int r = targets_load(e);
    if (r == 0)
        r = store_outbox_load(e->store, count_place, e);
    if (r < 0)
        events_close(e);
    else
        *ret = e;
    return r;
}

static void FIBER end_target(struct event_target *t)
{
    for (unsigned i = 0; i < OUTBOX_SHARDS; i++)
        courier_stop(&t->couriers[i]);
    for (unsigned i = 0; i < OUTBOX_SHARDS; i++)
        courier_join(&t->couriers[i]);
}

void FIBER events_close(struct events *e)
{
    struct event_target *t, *next;
    if (!e)
        return;
    CHECK(list_empty(&e->followers));
    LIST_FOR_SAFE (t, next, &e->targets, link)
        for (unsigned i = 0; i < OUTBOX_SHARDS; i++)
            courier_stop(&t->couriers[i]);
    LIST_FOR_SAFE (t, next, &e->targets, link) {
        end_target(t);
        list_remove(&t->link);
        target_unref(t);
    }
    free(e);
}

void events_set_wake(struct events *e, void (*fn)(void *arg), void *arg)
{
    rt_lock(&e->lock);
    e->wake = fn;
    e->wake_arg = arg;
    rt_unlock(&e->lock);
}

/* ---- the keeper ----------------------------------------------------------------------------- */

/* A target that was not started, or was removed; its reference. */
static struct event_target *find_work(struct events *e)
{
    struct event_target *t, *found = NULL;
    rt_lock(&e->lock);
    LIST_FOR (t, &e->targets, link)
        if (t->removed || !t->started) {
            found = t;
            __atomic_add_fetch(&t->refs, 1, __ATOMIC_RELAXED);
            break;
        }
    rt_unlock(&e->lock);
    return found;
}

static int FIBER start_target(struct event_target *t)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < OUTBOX_SHARDS; i++)
        r = courier_start(&t->couriers[i]);
    t->started = r == 0;
    return r;
}

/* Out of the table only when nothing of it is left: its name is free then. */
static int FIBER finish_target(struct events *e, struct event_target *t)
{
    struct purge p = {.events = e, .target = t->spec.name};
    end_target(t);
    int r = store_outbox_load(e->store, purge_one, &p);
    if (r < 0)
        return r;
    rt_lock(&e->lock);
    list_remove(&t->link);
    e->target_count--;
    rt_unlock(&e->lock);
    target_unref(t);
    return 0;
}

int FIBER events_keep(struct events *e)
{
    struct event_target *t;
    int r = 0;
    __atomic_store_n(&e->allowed_until_ns, rt_now() + EVENTS_LEASE_NS, __ATOMIC_RELAXED);
    while (r == 0 && (t = find_work(e))) {
        r = t->removed ? finish_target(e, t) : start_target(t);
        target_unref(t);
    }
    return r;
}

/* ---- the doors ------------------------------------------------------------------------------ */

static void tell_full(struct event_target *t)
{
    if (__atomic_exchange_n(&t->told_full, true, __ATOMIC_RELAXED))
        return;
    struct log_line line;
    log_begin(&line, LOG_ERROR, "the queue of a target of events is full");
    log_str(&line, "target", t->spec.name);
    log_str(&line, "when-full", event_option_of(&t->spec, "when-full"));
    log_end(&line);
}

static enum events_room admit(struct event_target *t)
{
    uint64_t waiting = 0;
    for (unsigned i = 0; i < OUTBOX_SHARDS; i++)
        waiting += events_load_u64(&t->couriers[i].rows);
    if (waiting < event_number_of(&t->spec, "queue-limit")) {
        __atomic_store_n(&t->told_full, false, __ATOMIC_RELAXED);
        return EVENTS_TAKEN;
    }
    bool refuse = str_eq(event_option_of(&t->spec, "when-full"), STR("refuse"));
    events_count(refuse ? &t->refused : &t->dropped, 1);
    tell_full(t);
    return refuse ? EVENTS_REFUSED : EVENTS_DROPPED;
}

enum events_room events_admit(struct events *e, struct str target, struct str account)
{
    struct event_target *t = target_find(e, target);
    bool serves = t && event_spec_serves(&t->spec, account);
    enum events_room room = serves ? admit(t) : EVENTS_DROPPED;
    target_unref(t);
    return room;
}

static void queue_one(struct events *e, struct bucket_id b, const struct store_event *event)
{
    struct event_target *t = target_find(e, event->target);
    if (t)
        courier_add(&t->couriers[outbox_shard(event->key)], b, 1, event->seq);
    target_unref(t);
}

void events_committed(struct events *e, const struct store_notice *n, struct bucket_id b,
                      const struct store_event *events, size_t count)
{
    bool followed = events_followed(e);
    for (size_t i = 0; i < count; i++) {
        if (events[i].target.len)
            queue_one(e, b, &events[i]);
        if (followed)
            followers_tell(e, &(struct outbox_row){.event = events[i],
                                                   .bucket_name = n->bucket_name,
                                                   .owner = n->owner,
                                                   .requester = n->requester,
                                                   .source = n->source,
                                                   .request_id = n->request_id});
    }
}

/* ---- a test --------------------------------------------------------------------------------- */

/* A thread for one message, waited for by a fiber. */
struct trial {
    struct event_target *target;
    struct rt_lock lock;
    struct rt_waitq done_wait;
    bool done, stop;
    int err;
    char *why;
};

static int try_target(struct trial *t)
{
    struct sender *s = NULL;
    struct events *e = t->target->events;
    struct sender_config config = {&t->target->spec, e->allow_local, &t->stop};
    struct outbox_row row = {.event = {.name = EVENT_TEST, .time_ms = rt_wall_ms()}};
    _cleanup_buf_ struct buf body, id;
    buf_init(&body, 0);
    buf_init(&id, 0);
    event_message_put(&body, &row, str_from(e->region));
    buf_printf(&id, "test/%016llX", (unsigned long long)rt_wall_ms());
    struct event_message m = {buf_str(&id), STR("test"), buf_str(&body), row.event.time_ms};
    int r = buf_error(&body) || buf_error(&id) ? -ENOMEM : sender_open(&s, &config, t->why);
    if (r == 0)
        r = sender_send(s, &m, t->why);
    sender_close(s);
    return r;
}

static void *trial_main(void *arg)
{
    struct trial *t = arg;
    int r = try_target(t);
    rt_lock(&t->lock);
    t->err = r;
    t->done = true;
    rt_wake_all(&t->done_wait);
    rt_unlock(&t->lock);
    return NULL;
}

static int FIBER run_trial(struct trial *t)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, trial_main, t) != 0)
        return -ENOMEM;
    rt_lock(&t->lock);
    while (!t->done) /* the thread works on this frame */
        rt_wait_uncancelled(&t->done_wait, &t->lock, RT_NEVER);
    rt_unlock(&t->lock);
    pthread_join(thread, NULL); /* it has nothing left to do */
    return t->err;
}

int FIBER events_target_test(struct events *e, struct str name, char why[EVENT_WHY_MAX])
{
    struct trial t = {.target = target_find(e, name), .why = why};
    if (!t.target)
        return -ERR_NOT_FOUND;
    rt_lock_init(&t.lock);
    rt_waitq_init(&t.done_wait);
    why[0] = 0;
    int r = run_trial(&t);
    target_unref(t.target);
    return r;
}
