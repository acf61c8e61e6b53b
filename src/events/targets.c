/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The table of targets, in memory and in the metadata (Tevent NAME, in the system space). A target
 * that is removed leaves the table at once; its couriers are joined and its rows deleted by the
 * keeper. Rows of a target that is in no row of the table (a crash came between) are deleted at the
 * start.
 */

#include "events/internal.h"
#include "base/log.h"

#define PREFIX STR("Tevent ")

/* ---- memory --------------------------------------------------------------------------------- */

static struct str dup_in(struct arena *a, struct str s, bool *ok)
{
    struct str copy = arena_dup(a, s);
    *ok = *ok && copy.ptr;
    return copy;
}

static struct event_target *target_new(struct events *e, const struct event_spec *spec)
{
    struct event_target *t = calloc(1, sizeof(*t));
    bool ok = true;
    if (!t)
        return NULL;
    t->events = e;
    t->dead_walk_ms = UINT64_MAX;
    t->refs = 1;
    list_init(&t->link);
    arena_init(&t->arena, 256 * KIB);
    t->spec = *spec;
    t->spec.name = dup_in(&t->arena, spec->name, &ok);
    for (size_t i = 0; i < spec->option_count; i++) {
        t->spec.options[i].name = dup_in(&t->arena, spec->options[i].name, &ok);
        t->spec.options[i].value = dup_in(&t->arena, spec->options[i].value, &ok);
    }
    for (unsigned i = 0; i < OUTBOX_SHARDS; i++)
        courier_init(&t->couriers[i], t, i);
    if (ok)
        return t;
    target_unref(t);
    return NULL;
}

static void forget_secrets(struct event_target *t)
{
    for (size_t i = 0; i < t->spec.option_count; i++) {
        struct event_option *o = &t->spec.options[i];
        if (o->value.len && event_option_is_secret(t->spec.type, o->name))
            wipe((char *)(uintptr_t)o->value.ptr, o->value.len);
    }
}

void target_unref(struct event_target *t)
{
    if (!t || __atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (unsigned i = 0; i < OUTBOX_SHARDS; i++)
        courier_release(&t->couriers[i]);
    forget_secrets(t);
    arena_release(&t->arena);
    free(t);
}

/* Under the lock. */
static struct event_target *find_locked(struct events *e, struct str name)
{
    struct event_target *t;
    LIST_FOR (t, &e->targets, link)
        if (!t->removed && str_eq(t->spec.name, name))
            return t;
    return NULL;
}

struct event_target *target_find(struct events *e, struct str name)
{
    rt_lock(&e->lock);
    struct event_target *t = find_locked(e, name);
    if (t)
        __atomic_add_fetch(&t->refs, 1, __ATOMIC_RELAXED);
    rt_unlock(&e->lock);
    return t;
}

bool events_target_known(struct events *e, struct str name, struct str account,
                         enum event_type *ret_type)
{
    rt_lock(&e->lock);
    const struct event_target *t = find_locked(e, name);
    bool serves = t && event_spec_serves(&t->spec, account);
    if (serves)
        *ret_type = t->spec.type;
    rt_unlock(&e->lock);
    return serves;
}

/* One that was removed has its name until its rows are gone: by that name they are deleted. */
static bool name_taken(struct events *e, struct str name)
{
    struct event_target *t;
    LIST_FOR (t, &e->targets, link)
        if (str_eq(t->spec.name, name))
            return true;
    return false;
}

/* Takes the table's reference over; in order of the names. */
static int insert(struct events *e, struct event_target *t)
{
    struct event_target *at;
    int r = 0;
    rt_lock(&e->lock);
    if (name_taken(e, t->spec.name))
        r = -ERR_EXISTS;
    else if (e->target_count == EVENT_TARGETS_MAX)
        r = -ERR_LIMIT;
    if (r == 0) {
        LIST_FOR (at, &e->targets, link)
            if (str_cmp(at->spec.name, t->spec.name) > 0)
                break;
        list_insert_before_(&at->link, &t->link);
        e->target_count++;
    }
    rt_unlock(&e->lock);
    return r;
}

static void wake_keeper(struct events *e)
{
    rt_lock(&e->lock);
    void (*fn)(void *arg) = e->wake;
    void *arg = e->wake_arg;
    rt_unlock(&e->lock);
    if (fn)
        fn(arg);
}

/* ---- the metadata --------------------------------------------------------------------------- */

struct change {
    struct str name, value; /* value ptr NULL: removed */
};

static int change_tx(struct meta_tx *tx, void *arg)
{
    const struct change *c = arg;
    struct str key = arena_printf(meta_arena(tx), "%.*s%.*s", STR_FMT(PREFIX), STR_FMT(c->name));
    if (!key.ptr)
        return -ENOMEM;
    if (!c->value.ptr)
        meta_use_reserve(tx);
    return c->value.ptr ? meta_put(tx, key, c->value) : meta_del(tx, key);
}

struct load {
    struct events *events;
    struct arena arena;
};

static int load_row(struct load *l, struct str value)
{
    struct event_spec spec;
    struct str copy = arena_dup(&l->arena, value);
    int r = copy.ptr ? event_spec_decode(&l->arena, copy, &spec) : -ENOMEM;
    if (r < 0)
        return r;
    struct event_target *t = target_new(l->events, &spec);
    if (!t)
        return -ENOMEM;
    r = insert(l->events, t);
    if (r < 0)
        target_unref(t);
    return r == -ERR_EXISTS ? 0 : r; /* the transaction ran again */
}

static int load_tx(struct meta_tx *tx, void *arg)
{
    struct load *l = arg;
    struct meta_cursor *c;
    int r = meta_cursor_open(tx, PREFIX, &c);
    if (r < 0)
        return r;
    r = meta_cursor_seek(c, PREFIX);
    while (r == 0 && meta_cursor_valid(c)) {
        r = load_row(l, meta_cursor_value(c));
        if (r == 0)
            r = meta_cursor_next(c);
    }
    meta_cursor_close(c);
    return r;
}

int FIBER targets_load(struct events *e)
{
    struct load l = {.events = e};
    arena_init(&l.arena, 0);
    int r = meta_read(e->meta, BUCKET_SYSTEM, load_tx, &l);
    arena_release(&l.arena);
    return r;
}

/* ---- changes -------------------------------------------------------------------------------- */

int FIBER events_target_add(struct events *e, const struct event_spec *spec,
                            char why[EVENT_WHY_MAX])
{
    _cleanup_buf_ struct buf row;
    buf_init(&row, 256 * KIB);
    struct event_spec made = *spec;
    made.created_ms = rt_wall_ms();
    int r = event_spec_validate(&made, why);
    if (r < 0)
        return r;
    r = event_spec_encode(&made, &row);
    struct event_target *t = r == 0 ? target_new(e, &made) : NULL;
    if (!t)
        return r < 0 ? r : -ENOMEM;
    struct change c = {made.name, buf_str(&row)};
    /* The table first: it says whether the name is free. Nothing is sent before the keeper comes.
     */
    r = insert(e, t);
    if (r < 0) {
        target_unref(t);
        return r;
    }
    r = meta_write(e->meta, BUCKET_SYSTEM, change_tx, &c);
    wipe(row.data, row.len);
    if (r < 0)
        __atomic_store_n(&t->removed, true, __ATOMIC_RELAXED); /* the keeper takes it out */
    wake_keeper(e);
    return r;
}

static uint64_t pending_of(const struct event_target *t)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < OUTBOX_SHARDS; i++)
        n += events_load_u64(&t->couriers[i].rows);
    return n;
}

int FIBER events_target_remove(struct events *e, struct str name, bool force)
{
    struct event_target *t = target_find(e, name);
    if (!t)
        return -ERR_NOT_FOUND;
    int r = 0;
    if (!force && (pending_of(t) || events_load_u64(&t->dead)))
        r = -ERR_BUSY;
    struct change c = {.name = t->spec.name};
    if (r == 0)
        r = meta_write(e->meta, BUCKET_SYSTEM, change_tx, &c);
    if (r == 0) {
        rt_lock(&e->lock);
        t->removed = true;
        rt_unlock(&e->lock);
        wake_keeper(e);
    }
    target_unref(t);
    return r;
}

static int copy_info(struct event_target *t, struct arena *a, struct event_target_info *ret)
{
    bool ok = true;
    *ret = (struct event_target_info){
        .spec = t->spec,
        .pending = pending_of(t),
        .dead = events_load_u64(&t->dead),
        .delivered = events_load_u64(&t->delivered),
        .failed = events_load_u64(&t->failed),
        .dropped = events_load_u64(&t->dropped),
        .refused = events_load_u64(&t->refused),
        .lost = events_load_u64(&t->lost),
        .failing_since_ms = events_load_u64(&t->failing_since_ms),
    };
    ret->spec.name = dup_in(a, t->spec.name, &ok);
    for (size_t i = 0; i < t->spec.option_count; i++) {
        ret->spec.options[i].name = dup_in(a, t->spec.options[i].name, &ok);
        ret->spec.options[i].value = dup_in(a, t->spec.options[i].value, &ok);
    }
    rt_lock(&t->couriers[0].lock);
    ret->fault = dup_in(a, str_from(t->fault), &ok);
    rt_unlock(&t->couriers[0].lock);
    return ok ? 0 : -ENOMEM;
}

/* References to all of them; how many. */
static unsigned take_all(struct events *e, struct event_target *ret[EVENT_TARGETS_MAX])
{
    struct event_target *t;
    unsigned n = 0;
    rt_lock(&e->lock);
    LIST_FOR (t, &e->targets, link) {
        if (t->removed)
            continue;
        __atomic_add_fetch(&t->refs, 1, __ATOMIC_RELAXED);
        ret[n++] = t;
    }
    rt_unlock(&e->lock);
    return n;
}

int events_target_list(struct events *e, struct arena *a, struct event_target_info **ret,
                       size_t *ret_count)
{
    struct event_target *all[EVENT_TARGETS_MAX];
    unsigned count = take_all(e, all);
    struct event_target_info *list = arena_array(a, struct event_target_info, MAX(count, 1U));
    int r = list ? 0 : -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        if (r == 0)
            r = copy_info(all[i], a, &list[i]);
        target_unref(all[i]);
    }
    if (r < 0)
        return r;
    *ret = list;
    *ret_count = count;
    return 0;
}

/* ---- metrics -------------------------------------------------------------------------------- */

static const struct family {
    const char *name, *type, *help;
    size_t offset;
    uint64_t divisor; /* 0: none */
} families[] = {
    {"cairn_events_pending", "gauge", "Events that wait to be delivered to the target.",
     offsetof(struct event_target_info, pending)},
    {"cairn_events_dead", "gauge", "Events that were given up and are kept.",
     offsetof(struct event_target_info, dead)},
    {"cairn_events_dead_lost_total", "counter",
     "Events that were given up and are kept no longer: too many, or too old.",
     offsetof(struct event_target_info, lost)},
    {"cairn_events_delivered_total", "counter", "Events delivered to the target.",
     offsetof(struct event_target_info, delivered)},
    {"cairn_events_failed_total", "counter", "Attempts to deliver that failed.",
     offsetof(struct event_target_info, failed)},
    {"cairn_events_dropped_total", "counter", "Events lost because the target's queue was full.",
     offsetof(struct event_target_info, dropped)},
    {"cairn_events_refused_total", "counter", "Writes refused because the queue was full.",
     offsetof(struct event_target_info, refused)},
    {"cairn_events_failing_since_seconds", "gauge",
     "When the target began to fail, seconds since 1970; 0: it does not.",
     offsetof(struct event_target_info, failing_since_ms), 1000},
};

void events_metrics(struct buf *out, void *arg)
{
    struct event_target_info *list;
    size_t count;
    struct arena a;
    arena_init(&a, 0);
    if (events_target_list(arg, &a, &list, &count) < 0)
        count = 0;
    for (size_t f = 0; f < ARRAY_LEN(families); f++) {
        metrics_family(out, families[f].name, families[f].type, families[f].help);
        for (size_t i = 0; i < count; i++) {
            struct metrics_label labels[] = {{"target", list[i].spec.name}, {NULL, STR_NULL}};
            uint64_t value;
            memcpy(&value, (const char *)&list[i] + families[f].offset, sizeof(value));
            metrics_sample_u64(out, families[f].name, labels, value / MAX(families[f].divisor, 1U));
        }
    }
    arena_release(&a);
}
