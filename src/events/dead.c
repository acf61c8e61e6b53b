/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What was given up: kept where it can be listed and sent again, up to the target's `dead-limit`
 * events (a row has 4 KiB at most, so that bounds the bytes as well) and for `dead-age` seconds.
 *
 * One more than the limit pushes out the oldest of its bucket and shard, or is not kept itself when
 * there is none: what one bucket cannot deliver never costs another's. Each target's couriers come
 * here side by side, so a limit is passed by their number at most.
 *
 * What is too old goes by a walk, which knows when the next one can come of anything. It also
 * counts: rows of a bucket that is deleted go with it, unseen.
 */

#include "events/internal.h"
#include "base/log.h"

#define DEAD_PAGE  64
#define RECOUNT_MS 60000 /* between walks for no more than a count */

static void tell_lost(struct event_target *t, uint64_t count, const char *why)
{
    struct log_line line;
    log_begin(&line, LOG_WARN, "events that were given up are kept no longer");
    log_str(&line, "target", t->spec.name);
    log_u64(&line, "count", count);
    log_str(&line, "why", str_from(why));
    log_end(&line);
}

static uint64_t age_ms(const struct event_target *t)
{
    return event_number_of(&t->spec, "dead-age") * 1000;
}

static void take_from(uint64_t *counter, uint64_t n)
{
    uint64_t was = events_load_u64(counter);
    while (!__atomic_compare_exchange_n(counter, &was, was - MIN(was, n), true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
        ;
}

/* No walk is needed before then. */
static void walk_by(struct event_target *t, uint64_t at_ms)
{
    uint64_t was = events_load_u64(&t->dead_walk_ms);
    while (at_ms < was && !__atomic_compare_exchange_n(&t->dead_walk_ms, &was, at_ms, true,
                                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

void dead_count(struct event_target *t, uint64_t count)
{
    events_count(&t->dead, count);
    walk_by(t, 0);
}

/* One page of rows from *from on, which is moved behind them. */
typedef int dead_page_fn(void *arg, const struct outbox_place *place, struct arena *a,
                         uint64_t *from, size_t *ret_count);

/* The pages of a place, unless it is another target's, until one is empty. */
static int FIBER each_page(const struct outbox_place *place, struct str target, dead_page_fn *page,
                           void *arg)
{
    struct arena a;
    uint64_t from = 0;
    size_t met = 1;
    int r = 0;
    if (!place->dead || !str_eq(place->target, target))
        return 0;
    arena_init(&a, 8 * MIB);
    while (r == 0 && met) {
        arena_reset(&a);
        r = page(arg, place, &a, &from, &met);
    }
    arena_release(&a);
    return r;
}

/* ---- one more ------------------------------------------------------------------------------- */

static int FIBER push_out(struct event_target *t, const struct outbox_place *place, bool *ret_room)
{
    struct outbox_row *rows;
    struct arena a;
    size_t count;
    arena_init(&a, 64 * KIB);
    int r = store_outbox_read(t->events->store, &a, place, 0, 1, &rows, &count);
    if (r == 0 && count)
        r = store_outbox_settle(t->events->store, place, rows, count);
    arena_release(&a);
    if (r < 0)
        return r;
    take_from(&t->dead, count);
    *ret_room = count > 0;
    return 0;
}

static int FIBER make_room(struct event_target *t, const struct outbox_place *from, bool *ret_room)
{
    struct outbox_place place = *from;
    uint64_t limit = event_number_of(&t->spec, "dead-limit");
    place.dead = true;
    *ret_room = events_load_u64(&t->dead) < limit;
    if (*ret_room) {
        __atomic_store_n(&t->told_lost, false, __ATOMIC_RELAXED);
        return 0;
    }
    walk_by(t, rt_wall_ms() + RECOUNT_MS); /* whether there are so many */
    int r = limit ? push_out(t, &place, ret_room) : 0;
    if (r < 0)
        return r;
    events_count(&t->lost, 1);
    if (!__atomic_exchange_n(&t->told_lost, true, __ATOMIC_RELAXED))
        tell_lost(t, 1, "there are as many as dead-limit allows");
    return 0;
}

int FIBER dead_keep(struct event_target *t, const struct outbox_place *place,
                    const struct outbox_row *row, bool *ret_first)
{
    bool room;
    *ret_first = false;
    int r = make_room(t, place, &room);
    if (r == 0)
        r = room ? store_outbox_move(t->events->store, place, row)
                 : store_outbox_settle(t->events->store, place, row, 1);
    if (r < 0 || !room)
        return r;
    *ret_first = __atomic_fetch_add(&t->dead, 1, __ATOMIC_RELAXED) == 0;
    walk_by(t, row->died_ms + age_ms(t));
    return 0;
}

/* ---- what is too old ------------------------------------------------------------------------ */

struct forgetting {
    struct event_target *target;
    uint64_t now_ms, age_ms;
    uint64_t kept, gone;
    uint64_t next_ms; /* when the first of those kept is too old */
};

static int FIBER forget_page(void *arg, const struct outbox_place *place, struct arena *a,
                             uint64_t *from, size_t *ret_count)
{
    struct forgetting *f = arg;
    struct store *store = f->target->events->store;
    struct outbox_row *rows;
    size_t old = 0;
    int r = store_outbox_read(store, a, place, *from, DEAD_PAGE, &rows, ret_count);
    for (size_t i = 0; r == 0 && i < *ret_count; i++) {
        uint64_t until_ms = rows[i].died_ms + f->age_ms;
        *from = rows[i].event.seq + 1;
        if (until_ms <= f->now_ms)
            rows[old++] = rows[i];
        else
            f->next_ms = MIN(f->next_ms, until_ms);
    }
    if (r == 0 && old)
        r = store_outbox_settle(store, place, rows, old);
    if (r == 0) {
        f->gone += old;
        f->kept += *ret_count - old;
    }
    return r;
}

static int FIBER forget_place(const struct outbox_place *place, uint64_t count, void *arg)
{
    struct forgetting *f = arg;
    return each_page(place, f->target->spec.name, forget_page, f);
}

static int FIBER forget(struct event_target *t)
{
    struct forgetting f = {
        .target = t, .now_ms = rt_wall_ms(), .age_ms = age_ms(t), .next_ms = UINT64_MAX};
    uint64_t before = events_load_u64(&t->dead);
    __atomic_store_n(&t->dead_walk_ms, UINT64_MAX, __ATOMIC_RELAXED);
    int r = store_outbox_load(t->events->store, forget_place, &f);
    walk_by(t, r < 0 ? 0 : f.next_ms);
    events_count(&t->lost, f.gone);
    if (f.gone)
        tell_lost(t, f.gone, "they are older than dead-age");
    take_from(&t->dead, f.gone);
    before -= MIN(before, f.gone);
    if (r == 0) /* unless others counted meanwhile */
        (void)__atomic_compare_exchange_n(&t->dead, &before, f.kept, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED);
    return r;
}

/* One that is due; its reference. */
static struct event_target *find_due(struct events *e)
{
    struct event_target *t, *found = NULL;
    uint64_t now_ms = rt_wall_ms();
    rt_lock(&e->lock);
    LIST_FOR (t, &e->targets, link)
        if (!found && !t->removed && events_load_u64(&t->dead_walk_ms) <= now_ms) {
            found = t;
            __atomic_add_fetch(&t->refs, 1, __ATOMIC_RELAXED);
        }
    rt_unlock(&e->lock);
    return found;
}

int FIBER events_dead_forget(struct events *e, bool *ret_more)
{
    struct event_target *t = find_due(e);
    int r = t ? forget(t) : 0;
    *ret_more = t != NULL;
    target_unref(t);
    return r;
}

/* ---- what was given up ---------------------------------------------------------------------- */

struct dead_walk {
    struct events *events;
    struct str target;
    uint64_t left, count;
    int (*fn)(struct dead_walk *w, const struct outbox_place *place, const struct outbox_row *row);
    int (*told)(const struct outbox_row *row, void *arg);
    void *arg;
};

static int FIBER dead_page(void *arg, const struct outbox_place *place, struct arena *a,
                           uint64_t *from, size_t *ret_count)
{
    struct dead_walk *w = arg;
    struct outbox_row *rows;
    size_t max = (size_t)MIN(w->left, (uint64_t)DEAD_PAGE);
    int r = store_outbox_read(w->events->store, a, place, *from, max, &rows, ret_count);
    for (size_t i = 0; r == 0 && i < *ret_count; i++) {
        r = w->fn(w, place, &rows[i]);
        w->left--;
        *from = rows[i].event.seq + 1;
    }
    return r;
}

static int FIBER dead_place(const struct outbox_place *place, uint64_t count, void *arg)
{
    struct dead_walk *w = arg;
    return each_page(place, w->target, dead_page, w);
}

static int FIBER walk_dead(struct dead_walk *w)
{
    struct event_target *t = target_find(w->events, w->target);
    if (!t)
        return -ERR_NOT_FOUND;
    int r = store_outbox_load(w->events->store, dead_place, w);
    target_unref(t);
    return r;
}

static int FIBER tell_dead(struct dead_walk *w, const struct outbox_place *place,
                           const struct outbox_row *row)
{
    return w->told(row, w->arg);
}

int FIBER events_dead_each(struct events *e, struct str target, size_t max,
                           int (*fn)(const struct outbox_row *row, void *arg), void *arg)
{
    struct dead_walk w = {e, target, max, 0, tell_dead, fn, arg};
    return walk_dead(&w);
}

static void uncount_dead(struct dead_walk *w)
{
    struct event_target *t = target_find(w->events, w->target);
    if (t)
        take_from(&t->dead, 1);
    target_unref(t);
    w->count++;
}

static int FIBER resend_dead(struct dead_walk *w, const struct outbox_place *place,
                             const struct outbox_row *row)
{
    struct outbox_row again = *row;
    again.resent_ms = rt_wall_ms();
    int r = store_outbox_move(w->events->store, place, &again);
    if (r < 0)
        return r == -ERR_NOT_FOUND ? 0 : r; /* somebody else was faster */
    struct event_target *t = target_find(w->events, w->target);
    if (t && place->shard < OUTBOX_SHARDS)
        courier_add(&t->couriers[place->shard], place->bucket, 1, row->event.seq);
    target_unref(t);
    uncount_dead(w);
    return 0;
}

int FIBER events_dead_resend(struct events *e, struct str target, uint64_t *ret_count)
{
    struct dead_walk w = {.events = e, .target = target, .left = UINT64_MAX, .fn = resend_dead};
    int r = walk_dead(&w);
    *ret_count = w.count;
    return r;
}

static int FIBER discard_dead(struct dead_walk *w, const struct outbox_place *place,
                              const struct outbox_row *row)
{
    int r = store_outbox_settle(w->events->store, place, row, 1);
    if (r == 0)
        uncount_dead(w);
    return r;
}

int FIBER events_dead_discard(struct events *e, struct str target, uint64_t *ret_count)
{
    struct dead_walk w = {.events = e, .target = target, .left = UINT64_MAX, .fn = discard_dead};
    int r = walk_dead(&w);
    *ret_count = w.count;
    return r;
}
