/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A courier: one shard of one target. The fiber picks a bucket with rows, reads a batch in order,
 * has the thread send it message by message up to the first that fails, settles what was sent, and
 * judges the failure.
 */

#include "events/internal.h"
#include "base/hash.h"
#include "base/log.h"
#include "events/message.h"

#define THREAD_STACK    (512 * KIB)
#define BATCH_ARENA     (8 * MIB)
#define RETRY_MIN_NS    (1 * RT_S)
#define RETRY_MAX_NS    (60 * RT_S)
#define LOOK_NS         (1 * RT_S) /* whether the keeper still allows it */
#define COURIER_BUCKETS 1000000

int courier_init(struct courier *l, struct event_target *t, unsigned shard)
{
    *l = (struct courier){.target = t, .shard = shard};
    rt_lock_init(&l->lock);
    rt_waitq_init(&l->wake);
    rt_waitq_init(&l->to_thread);
    rt_waitq_init(&l->to_fiber);
    list_init(&l->waiting);
    table_init(&l->buckets, COURIER_BUCKETS);
    return 0;
}

static int free_bucket(struct table_node *n, void *arg)
{
    free(container_of(n, struct courier_bucket, node));
    return 0;
}

void courier_release(struct courier *l)
{
    table_each(&l->buckets, free_bucket, NULL);
    table_release(&l->buckets);
}

/* ---- what waits ----------------------------------------------------------------------------- */

static struct courier_bucket *find_bucket(struct courier *l, struct bucket_id id)
{
    struct table_node *n = table_get(&l->buckets, str_make(&id.n, sizeof(id.n)));
    return n ? container_of(n, struct courier_bucket, node) : NULL;
}

static struct courier_bucket *make_bucket(struct courier *l, struct bucket_id id)
{
    struct courier_bucket *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->id = id.n;
    b->from = UINT64_MAX;
    list_init(&b->link);
    if (table_put(&l->buckets, &b->node, str_make(&b->id, sizeof(b->id))) < 0) {
        free(b);
        return NULL;
    }
    return b;
}

void courier_add(struct courier *l, struct bucket_id id, uint64_t rows, uint64_t from)
{
    rt_lock(&l->lock);
    struct courier_bucket *b = find_bucket(l, id);
    if (!b)
        b = make_bucket(l, id);
    if (b) { /* without memory for it the rows wait for the next start */
        b->rows += rows;
        b->from = MIN(b->from, from);
        l->rows += rows;
        if (list_empty(&b->link))
            list_push_back(&l->waiting, &b->link);
    }
    rt_wake_all(&l->wake);
    rt_unlock(&l->lock);
}

/* `rows` less; a bucket that has none left goes. */
static void take_off(struct courier *l, struct bucket_id id, uint64_t rows)
{
    rt_lock(&l->lock);
    struct courier_bucket *b = find_bucket(l, id);
    if (b) {
        rows = MIN(rows, b->rows);
        b->rows -= rows;
        l->rows -= rows;
    }
    if (b && b->rows == 0) {
        list_remove(&b->link);
        table_del(&l->buckets, str_make(&b->id, sizeof(b->id)));
        free(b);
    }
    rt_unlock(&l->lock);
}

/* What is left begins with `from`, or before it: with what came meanwhile. */
static void go_on_from(struct courier *l, struct bucket_id id, uint64_t from)
{
    rt_lock(&l->lock);
    struct courier_bucket *b = find_bucket(l, id);
    if (b)
        b->from = MIN(b->from, from);
    rt_unlock(&l->lock);
}

static bool stopping(const struct courier *l)
{
    return __atomic_load_n(&l->stop, __ATOMIC_RELAXED) || rt_cancelled();
}

static bool allowed(const struct courier *l)
{
    return rt_now() < events_load_u64(&l->target->events->allowed_until_ns);
}

/* The next bucket as it is now, which goes to the end of the line. False: the courier ends. Rows
 * that were given up may come back before those that are read: where it goes on is put together
 * from what came meanwhile and from how far this came. */
static bool FIBER next_bucket(struct courier *l, struct courier_bucket *ret)
{
    bool found = false;
    rt_lock(&l->lock);
    while (!found && !stopping(l)) {
        struct list *first = allowed(l) ? list_pop_front(&l->waiting) : NULL;
        if (first) {
            struct courier_bucket *b = container_of(first, struct courier_bucket, link);
            *ret = *b;
            b->from = UINT64_MAX; /* of what comes meanwhile: go_on_from() */
            list_push_back(&l->waiting, first);
            found = true;
        } else {
            rt_wait(&l->wake, &l->lock, rt_now() + LOOK_NS);
        }
    }
    rt_unlock(&l->lock);
    return found;
}

/* Sleeps until the deadline or the courier's end. */
static void FIBER rest(struct courier *l, uint64_t deadline_ns)
{
    rt_lock(&l->lock);
    while (!stopping(l) && rt_now() < deadline_ns)
        rt_wait(&l->wake, &l->lock, MIN(deadline_ns, rt_now() + LOOK_NS));
    rt_unlock(&l->lock);
}

/* ---- the thread ----------------------------------------------------------------------------- */

static int send_row(struct courier *l, struct sender **s, const struct outbox_row *row)
{
    const struct event_target *t = l->target;
    struct sender_config config = {&t->spec, t->events->allow_local, &l->stop};
    _cleanup_buf_ struct buf body, id, key;
    buf_init(&body, 0);
    buf_init(&id, 0);
    buf_init(&key, 0);
    event_message_put(&body, row, str_from(t->events->region));
    event_message_id(&id, row);
    buf_printf(&key, "%.*s/%.*s", STR_FMT(row->bucket_name), STR_FMT(row->event.key));
    if (buf_error(&body) || buf_error(&id) || buf_error(&key))
        return sender_say(l->why, -ENOMEM, "out of memory");
    struct event_message m = {buf_str(&id), buf_str(&key), buf_str(&body), row->event.time_ms};
    int r = *s ? 0 : sender_open(s, &config, l->why);
    if (r == 0)
        r = sender_send(*s, &m, l->why);
    /* What failed otherwise than by a refusal may be in any state. */
    if (r < 0 && r != -ERR_INVALID_REQUEST) {
        sender_close(*s);
        *s = NULL;
    }
    return r;
}

static void send_batch(struct courier *l, struct sender **s)
{
    int r = 0;
    l->batch_sent = 0;
    while (r == 0 && l->batch_sent < l->batch_count &&
           !__atomic_load_n(&l->stop, __ATOMIC_RELAXED)) {
        r = send_row(l, s, &l->batch[l->batch_sent]);
        l->batch_sent += r == 0;
    }
    l->batch_err = r;
}

static void *thread_main(void *arg)
{
    struct courier *l = arg;
    struct sender *s = NULL;
    rt_lock(&l->lock);
    for (;;) {
        /* RT_NEVER: courier_join() wakes it. */
        while (!l->sending && !l->stop)
            rt_wait(&l->to_thread, &l->lock, RT_NEVER);
        if (!l->sending)
            break;
        rt_unlock(&l->lock);
        send_batch(l, &s);
        rt_lock(&l->lock);
        l->sending = false;
        rt_wake_all(&l->to_fiber);
    }
    rt_unlock(&l->lock);
    sender_close(s);
    return NULL;
}

static int start_thread(struct courier *l)
{
    pthread_attr_t attr;
    if (l->threaded)
        return 0;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK);
    l->threaded = pthread_create(&l->thread, &attr, thread_main, l) == 0;
    pthread_attr_destroy(&attr);
    return l->threaded ? 0 : -ENOMEM;
}

/* Has the thread send the batch: how far it came is in the courier. */
static int FIBER hand_over(struct courier *l, struct outbox_row *rows, size_t count)
{
    int r = start_thread(l);
    if (r < 0)
        return r;
    rt_lock(&l->lock);
    l->batch = rows;
    l->batch_count = count;
    l->sending = true;
    rt_wake_all(&l->to_thread);
    while (l->sending) /* the batch is this frame's: a cancelled fiber waits, too */
        rt_wait_uncancelled(&l->to_fiber, &l->lock, RT_NEVER);
    rt_unlock(&l->lock);
    return 0;
}

/* ---- the fiber ------------------------------------------------------------------------------ */

static void tell_failure(struct event_target *t, const char *event, const char *why)
{
    struct log_line line;
    log_begin(&line, LOG_WARN, event);
    log_str(&line, "target", t->spec.name);
    log_str(&line, "why", str_from(why));
    log_end(&line);
}

static void note_failure(struct courier *l)
{
    struct event_target *t = l->target;
    events_count(&t->failed, 1);
    rt_lock(&t->couriers[0].lock);
    bool first = t->failing_since_ms == 0;
    if (first)
        __atomic_store_n(&t->failing_since_ms, rt_wall_ms(), __ATOMIC_RELAXED);
    memcpy(t->fault, l->why, sizeof(t->fault));
    rt_unlock(&t->couriers[0].lock);
    if (first)
        tell_failure(t, "a target of events fails, will be tried again", l->why);
}

static void note_success(struct event_target *t, uint64_t sent)
{
    events_count(&t->delivered, sent);
    __atomic_store_n(&t->failing_since_ms, 0, __ATOMIC_RELAXED);
}

/* Whether the message has been tried for as long as it may. */
static bool is_over(const struct courier *l, uint64_t tries, const struct outbox_row *row)
{
    const struct event_spec *spec = &l->target->spec;
    uint64_t age_ms = event_number_of(spec, "max-age") * 1000, now_ms = rt_wall_ms();
    if (l->batch_err == -ERR_INVALID_REQUEST)
        return tries >= event_number_of(spec, "attempts");
    /* One that is sent again after it was given up gets its time anew. */
    return now_ms > MAX(row->event.time_ms, row->resent_ms) + age_ms;
}

static int FIBER give_up(struct courier *l, const struct outbox_place *place,
                         struct outbox_row *row, uint64_t tries)
{
    struct event_target *t = l->target;
    row->died_ms = rt_wall_ms();
    row->attempts = tries;
    row->why = str_from(l->why);
    bool first;
    int r = dead_keep(t, place, row, &first);
    if (r < 0)
        return r;
    take_off(l, place->bucket, 1);
    if (first)
        tell_failure(t, "an event was given up", l->why);
    return 0;
}

/* Counts one more try of the row, which its bucket remembers: others' rows are tried in between. */
static uint64_t count_try(struct courier *l, struct bucket_id id, uint64_t seq)
{
    uint64_t tries = 1;
    rt_lock(&l->lock);
    struct courier_bucket *b = find_bucket(l, id);
    if (b && b->trial.seq == seq)
        tries = b->trial.tries + 1;
    if (b)
        b->trial = (struct courier_trial){seq, tries};
    rt_unlock(&l->lock);
    return tries;
}

/* *from moves behind the row when it is given up. */
static int FIBER judge(struct courier *l, const struct outbox_place *place, struct outbox_row *row,
                       uint64_t *from)
{
    note_failure(l);
    uint64_t tries = count_try(l, place->bucket, row->event.seq);
    if (is_over(l, tries, row)) {
        int r = give_up(l, place, row, tries);
        if (r == 0)
            *from = row->event.seq + 1;
        return r;
    }
    unsigned doublings = (unsigned)MIN(tries - 1, (uint64_t)6);
    rest(l, rt_now() + MIN(RETRY_MIN_NS << doublings, RETRY_MAX_NS));
    return 0;
}

static int FIBER settle_sent(struct courier *l, const struct outbox_place *place,
                             const struct outbox_row *rows, uint64_t *from)
{
    struct event_target *t = l->target;
    int r = store_outbox_settle(t->events->store, place, rows, l->batch_sent);
    if (r < 0)
        return r;
    take_off(l, place->bucket, l->batch_sent);
    note_success(t, l->batch_sent);
    *from = rows[l->batch_sent - 1].event.seq + 1;
    return 0;
}

/* Rows of the bucket from *from on, which is moved behind those that are done with. */
static int FIBER deliver(struct courier *l, struct arena *a, const struct courier_bucket *b,
                         uint64_t *from)
{
    struct event_target *t = l->target;
    struct outbox_place place = {{b->id}, t->spec.name, l->shard, false};
    struct outbox_row *rows;
    size_t count;
    int r = store_outbox_read(t->events->store, a, &place, *from, COURIER_BATCH, &rows, &count);
    if (r < 0)
        return r;
    if (count == 0) { /* somebody else took them: a target that is removed */
        take_off(l, place.bucket, b->rows);
        return 0;
    }
    r = hand_over(l, rows, count);
    if (r == 0 && l->batch_sent)
        r = settle_sent(l, &place, rows, from);
    if (r == 0 && l->batch_err < 0 && !stopping(l))
        r = judge(l, &place, &rows[l->batch_sent], from);
    return r;
}

static int FIBER courier_main(void *arg)
{
    struct courier *l = arg;
    struct arena a;
    struct courier_bucket bucket;
    bool told = false;
    arena_init(&a, BATCH_ARENA);
    while (next_bucket(l, &bucket)) {
        arena_reset(&a);
        uint64_t from = bucket.from;
        int r = deliver(l, &a, &bucket, &from);
        go_on_from(l, (struct bucket_id){bucket.id}, from);
        if (r < 0 && !told)
            log_event(LOG_ERROR, "the outbox cannot be worked on, will be tried again", "%s",
                      err_text(r));
        told = r < 0;
        if (r < 0)
            rest(l, rt_now() + RETRY_MIN_NS);
    }
    arena_release(&a);
    return 0;
}

/* ---- life ----------------------------------------------------------------------------------- */

int FIBER courier_start(struct courier *l)
{
    return l->fiber ? 0 : rt_spawn(&l->fiber, "event-courier", courier_main, l);
}

void courier_stop(struct courier *l)
{
    rt_lock(&l->lock);
    __atomic_store_n(&l->stop, true, __ATOMIC_RELAXED);
    rt_wake_all(&l->wake);
    rt_wake_all(&l->to_thread);
    rt_unlock(&l->lock);
}

static int BLOCKING join_thread(void *arg)
{
    struct courier *l = arg;
    return pthread_join(l->thread, NULL);
}

void FIBER courier_join(struct courier *l)
{
    if (l->fiber)
        rt_join(TAKE_PTR(l->fiber));
    if (l->threaded)
        (void)rt_offload(join_thread, l);
    l->threaded = false;
}
