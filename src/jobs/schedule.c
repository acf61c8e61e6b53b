/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The table, its fibers, the pace.
 *
 * What a job owes its pace is counted as time at the full pace: spending adds to it, and time that
 * passes takes from it, as much as the share allows. So a share that changes takes hold of what is
 * owed already.
 *
 * `job.lock` guards the waiting; nothing else is taken under it. Numbers that other threads read
 * are atomic and written by the job's own thread alone.
 */

#include "base/arena.h"
#include "base/log.h"
#include "jobs/ease.h"
#include "jobs/job.pb-c.h"
#include "jobs/schedule.h"
#include "rt/rt.h"

#define RETRY_MIN_NS  (1 * RT_S)
#define RETRY_MAX_NS  (60 * RT_S)
#define GRAIN_NS      (1 * RT_MS)   /* less is owed on: not worth a sleep */
#define SLICE_NS      (200 * RT_MS) /* the longest sleep that looks at neither share nor pause */
#define METER_NS      (2 * RT_S)
#define METER_DEAD_NS (60 * RT_S) /* a rate that old is none */
#define LOAD_EVERY_NS (1 * RT_S)
#define ROW_KEY_MAX   (sizeof("Jjob ") + JOB_NAME_MAX)

/* How fast a counter grows, smoothed. */
struct meter {
    uint64_t value, at_ns;
    uint64_t rate, told_ns; /* atomic */
};

struct job {
    struct schedule *schedule;
    struct job_def def;
    struct rt_fiber *fiber;
    uint64_t retry_ns; /* after the next failure; 0: the last round went well */
    double owed_ns;
    uint64_t paid_ns; /* rt_now() up to which time has been taken off */
    struct str cursor;
    struct meter bytes_meter, items_meter, done_meter;

    struct rt_lock lock;
    struct rt_waitq wake;
    bool woken;

    /* atomic */
    bool paused, gives_way;
    uint32_t state;
    int error;
    uint64_t bytes_per_s, items_per_s;
    uint64_t rounds, errors, bytes, items, done, total;
};

struct schedule {
    struct meta *meta;
    struct job *jobs[JOBS_MAX];
    unsigned count;
    struct rt_fiber *watch;
    bool stopping; /* atomic */
    /* of the clients' load */
    struct rt_lock lock;
    void (*load)(struct job_load *ret, void *arg);
    void *load_arg;
    struct ease ease;
    struct job_load before;
    uint32_t share; /* atomic: ease's */
};

#define LOAD(field)         __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)
#define ADD(field, value)   __atomic_fetch_add(&(field), (value), __ATOMIC_RELAXED)

/* ---- the table ------------------------------------------------------------------------------ */

int schedule_new(struct schedule **ret, struct meta *meta)
{
    struct schedule *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->meta = meta;
    s->ease = EASE_INIT;
    s->share = s->ease.share;
    rt_lock_init(&s->lock);
    *ret = s;
    return 0;
}

int schedule_add(struct schedule *s, const struct job_def *def, struct job **ret)
{
    CHECK(s->count < JOBS_MAX && strlen(def->name) <= JOB_NAME_MAX);
    struct job *j = calloc(1, sizeof(*j));
    if (!j)
        return -ENOMEM;
    *j = (struct job){.schedule = s, .def = *def};
    j->paused = def->starts_paused;
    j->gives_way = def->gives_way;
    j->bytes_per_s = def->bytes_per_s;
    j->items_per_s = def->items_per_s;
    rt_lock_init(&j->lock);
    rt_waitq_init(&j->wake);
    s->jobs[s->count++] = j;
    if (ret)
        *ret = j;
    return 0;
}

struct job *schedule_find(struct schedule *s, struct str name)
{
    for (unsigned i = 0; i < s->count; i++)
        if (str_eq(str_from(s->jobs[i]->def.name), name))
            return s->jobs[i];
    return NULL;
}

unsigned schedule_count(const struct schedule *s)
{
    return s->count;
}

struct job *schedule_get(struct schedule *s, unsigned i)
{
    CHECK(i < s->count);
    return s->jobs[i];
}

/* ---- a job's row ---------------------------------------------------------------------------- */

static struct str row_key(const struct job *j, char ret[ROW_KEY_MAX])
{
    size_t len = sizeof("Jjob ") - 1, name = strlen(j->def.name);
    memcpy(ret, "Jjob ", len);
    memcpy(ret + len, j->def.name, name);
    return str_make(ret, len + name);
}

static int set_cursor(struct job *j, struct str cursor)
{
    char *copy = malloc(cursor.len + 1);
    if (!copy)
        return -ENOMEM;
    if (cursor.len)
        memcpy(copy, cursor.ptr, cursor.len);
    free((char *)(uintptr_t)j->cursor.ptr);
    j->cursor = str_make(copy, cursor.len);
    return 0;
}

static int row_decode(struct job *j, struct str value)
{
    Jobs__Job *pb = jobs__job__unpack(NULL, value.len, (const uint8_t *)value.ptr);
    if (!pb)
        return -ERR_CORRUPT;
    int r = pb->cursor.len > JOB_CURSOR_MAX
                ? -ERR_CORRUPT
                : set_cursor(j, str_make(pb->cursor.data, pb->cursor.len));
    if (r == 0)
        STORE(j->paused, (bool)pb->paused);
    jobs__job__free_unpacked(pb, NULL);
    return r;
}

static int row_read_tx(struct meta_tx *tx, void *arg)
{
    struct job *j = arg;
    char key[ROW_KEY_MAX];
    struct str value;
    int r = meta_get(tx, row_key(j, key), &value);
    if (r == -ERR_NOT_FOUND)
        return 0;
    return r < 0 ? r : row_decode(j, value);
}

/* What becomes of the row: either may be left as it is stored. */
struct row_change {
    const struct job *job;
    const struct str *cursor;
    const bool *paused;
};

static int row_pack(struct meta_tx *tx, struct str key, const Jobs__Job *pb)
{
    size_t len = jobs__job__get_packed_size(pb);
    uint8_t *packed = arena_alloc(meta_arena(tx), len + 1);
    if (!packed)
        return -ENOMEM;
    jobs__job__pack(pb, packed);
    return meta_put(tx, key, str_make(packed, len));
}

static int row_write_tx(struct meta_tx *tx, void *arg)
{
    const struct row_change *change = arg;
    char key[ROW_KEY_MAX];
    struct str value = STR_NULL;
    meta_use_reserve(tx); /* a full disk is no reason to lose a place */
    int r = meta_get(tx, row_key(change->job, key), &value);
    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    Jobs__Job *stored = jobs__job__unpack(NULL, value.len, (const uint8_t *)value.ptr);
    if (!stored)
        return -ENOMEM;
    Jobs__Job pb = *stored;
    if (r == -ERR_NOT_FOUND)
        pb.paused = change->job->def.starts_paused;
    if (change->cursor)
        pb.cursor = (ProtobufCBinaryData){change->cursor->len, (uint8_t *)change->cursor->ptr};
    if (change->paused)
        pb.paused = *change->paused;
    r = row_pack(tx, row_key(change->job, key), &pb);
    jobs__job__free_unpacked(stored, NULL);
    return r;
}

static int FIBER row_write(const struct row_change *change)
{
    struct meta *meta = change->job->schedule->meta;
    return meta ? meta_write(meta, BUCKET_SYSTEM, row_write_tx, (void *)(uintptr_t)change) : 0;
}

int FIBER job_keep(struct job *j, struct str cursor)
{
    CHECK(cursor.len <= JOB_CURSOR_MAX);
    int r = row_write(&(struct row_change){.job = j, .cursor = &cursor});
    return r < 0 ? r : set_cursor(j, cursor);
}

struct str job_cursor(const struct job *j)
{
    return j->cursor;
}

/* ---- waiting -------------------------------------------------------------------------------- */

static bool stopping(const struct job *j)
{
    return LOAD(j->schedule->stopping) || rt_cancelled();
}

/* Until the deadline, or any wake. */
static int FIBER nap(struct job *j, uint64_t deadline_ns)
{
    if (stopping(j))
        return -ECANCELED;
    rt_lock(&j->lock);
    if (!j->woken)
        rt_wait(&j->wake, &j->lock, deadline_ns);
    j->woken = false;
    rt_unlock(&j->lock);
    return stopping(j) ? -ECANCELED : 0;
}

int FIBER job_rest(struct job *j, uint64_t deadline_ns)
{
    return nap(j, deadline_ns);
}

void job_wake(struct job *j)
{
    rt_lock(&j->lock);
    j->woken = true;
    rt_wake_all(&j->wake);
    rt_unlock(&j->lock);
}

int FIBER job_pause(struct job *j, bool paused)
{
    int r = row_write(&(struct row_change){.job = j, .paused = &paused});
    if (r < 0)
        return r;
    STORE(j->paused, paused);
    job_wake(j);
    return 0;
}

static int FIBER hold_while_paused(struct job *j)
{
    int r = stopping(j) ? -ECANCELED : 0;
    while (r == 0 && LOAD(j->paused)) {
        r = nap(j, RT_NEVER); /* a resume or the stop wakes it */
        j->paid_ns = rt_now();
    }
    return r;
}

/* ---- the pace ------------------------------------------------------------------------------- */

static void meter_step(struct meter *m, uint64_t value, uint64_t now)
{
    if (m->at_ns == 0 || value < m->value) {
        *m = (struct meter){.value = value, .at_ns = now};
        return;
    }
    uint64_t passed_ns = now - m->at_ns;
    if (passed_ns < METER_NS)
        return;
    double rate = (double)(value - m->value) * (double)RT_S / (double)passed_ns;
    uint64_t before = LOAD(m->told_ns) ? LOAD(m->rate) : (uint64_t)rate;
    /* A quarter of what is new: some ten seconds are seen. */
    STORE(m->rate, (uint64_t)(rate / 4 + (double)before * 3 / 4));
    STORE(m->told_ns, now);
    m->value = value;
    m->at_ns = now;
}

static uint64_t meter_rate(const struct meter *m, uint64_t now)
{
    uint64_t told_ns = LOAD(m->told_ns);
    return told_ns && now < told_ns + METER_DEAD_NS ? LOAD(m->rate) : 0;
}

static double cost_ns(uint64_t amount, uint64_t per_s)
{
    return per_s ? (double)amount * (double)RT_S / (double)per_s : 0;
}

static void charge(struct job *j, uint64_t bytes, uint64_t items)
{
    uint64_t now = rt_now();
    j->owed_ns += MAX(cost_ns(bytes, LOAD(j->bytes_per_s)), cost_ns(items, LOAD(j->items_per_s)));
    ADD(j->bytes, bytes);
    ADD(j->items, items);
    meter_step(&j->bytes_meter, LOAD(j->bytes), now);
    meter_step(&j->items_meter, LOAD(j->items), now);
}

static double share_of(const struct job *j)
{
    return LOAD(j->gives_way) ? (double)LOAD(j->schedule->share) / EASE_ALL : 1;
}

/* Takes off what has passed since the last time. */
static void pay(struct job *j)
{
    uint64_t now = rt_now();
    j->owed_ns -= (double)(now - j->paid_ns) * share_of(j);
    j->owed_ns = MAX(j->owed_ns, 0.0);
    j->paid_ns = now;
}

static bool owes(const struct job *j)
{
    return j->owed_ns > (double)GRAIN_NS;
}

/* Part of what is owed, at the present share. */
static int FIBER wait_slice(struct job *j)
{
    double wait_ns = MIN(j->owed_ns / share_of(j), (double)SLICE_NS);
    int r = nap(j, rt_now() + (uint64_t)wait_ns);
    pay(j);
    return r;
}

static int FIBER spend(struct job *j, uint64_t bytes, uint64_t items, bool heed)
{
    pay(j);
    charge(j, bytes, items);
    int r = stopping(j) ? -ECANCELED : heed ? hold_while_paused(j) : 0;
    while (r == 0 && owes(j)) {
        r = wait_slice(j);
        if (r == 0 && heed)
            r = hold_while_paused(j);
    }
    return r;
}

int FIBER job_spend(struct job *j, uint64_t bytes, uint64_t items)
{
    return spend(j, bytes, items, true);
}

int FIBER job_pace(struct job *j, uint64_t bytes, uint64_t items)
{
    return spend(j, bytes, items, false);
}

int FIBER job_pace_unless(struct job *j, uint64_t bytes, bool (*over)(const void *arg),
                          const void *arg)
{
    pay(j);
    charge(j, bytes, 0);
    int r = stopping(j) ? -ECANCELED : 0;
    while (r == 0 && owes(j) && !over(arg))
        r = wait_slice(j);
    return r;
}

void job_set_progress(struct job *j, uint64_t done, uint64_t total)
{
    STORE(j->done, done);
    STORE(j->total, total);
    meter_step(&j->done_meter, done, rt_now());
}

void job_set_pace(struct job *j, uint64_t bytes_per_s, uint64_t items_per_s)
{
    STORE(j->bytes_per_s, bytes_per_s);
    STORE(j->items_per_s, items_per_s);
}

void job_set_gives_way(struct job *j, bool gives_way)
{
    STORE(j->gives_way, gives_way);
}

/* ---- the clients' load ---------------------------------------------------------------------- */

void schedule_watch_load(struct schedule *s, void (*fn)(struct job_load *ret, void *arg), void *arg)
{
    rt_lock(&s->lock);
    s->load = fn;
    s->load_arg = arg;
    rt_unlock(&s->lock);
}

static void look_at_load(struct schedule *s)
{
    struct job_load now = {0};
    rt_lock(&s->lock);
    if (s->load)
        s->load(&now, s->load_arg);
    rt_unlock(&s->lock);
    uint64_t requests = now.requests - MIN(s->before.requests, now.requests);
    uint64_t took_ns = now.took_ns - MIN(s->before.took_ns, now.took_ns);
    s->before = now;
    ease_step(&s->ease, requests, took_ns);
    STORE(s->share, s->ease.share);
}

static int FIBER watch_main(void *arg)
{
    struct schedule *s = arg;
    while (rt_sleep_until(rt_now() + LOAD_EVERY_NS) == 0)
        look_at_load(s);
    return 0;
}

/* ---- a job's life --------------------------------------------------------------------------- */

static void tell_failure(const struct job *j, int err)
{
    struct log_line line;
    log_begin(&line, LOG_ERROR, "job failed, will be tried again");
    log_str(&line, "job", str_from(j->def.name));
    log_err(&line, err);
    log_end(&line);
}

/* Tells of the first failure in a row, and waits longer after each. */
static int FIBER bear(struct job *j, int err)
{
    ADD(j->errors, 1);
    STORE(j->error, err);
    STORE(j->state, JOB_FAILING);
    if (j->retry_ns == 0)
        tell_failure(j, err);
    j->retry_ns = MIN(MAX(2 * j->retry_ns, RETRY_MIN_NS), RETRY_MAX_NS);
    return job_rest(j, rt_now() + j->retry_ns);
}

/* 0: go on with the next round. */
static int FIBER settle(struct job *j, int result)
{
    ADD(j->rounds, 1);
    if (stopping(j))
        return -ECANCELED;
    if (result < 0)
        return bear(j, result);
    j->retry_ns = 0;
    STORE(j->error, 0);
    if (result == JOB_ENDED) {
        STORE(j->state, JOB_OVER);
        return -ECANCELED;
    }
    if (result == JOB_AGAIN)
        return 0;
    STORE(j->state, JOB_WAITING);
    return job_rest(j, rt_now() + j->def.interval_ms * RT_MS);
}

static int FIBER job_main(void *arg)
{
    struct job *j = arg;
    int r = job_rest(j, rt_now() + j->def.first_ms * RT_MS);
    j->paid_ns = rt_now();
    while (r == 0) {
        r = hold_while_paused(j);
        if (r < 0)
            break;
        STORE(j->state, JOB_RUNNING);
        r = settle(j, j->def.round(j, j->def.arg));
    }
    return 0;
}

int FIBER schedule_start(struct schedule *s)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && s->meta && i < s->count; i++)
        r = meta_read(s->meta, BUCKET_SYSTEM, row_read_tx, s->jobs[i]);
    if (r == 0)
        r = rt_spawn(&s->watch, "job-load", watch_main, s);
    for (unsigned i = 0; r == 0 && i < s->count; i++)
        r = rt_spawn(&s->jobs[i]->fiber, s->jobs[i]->def.name, job_main, s->jobs[i]);
    return r;
}

static void stop_fiber(struct rt_fiber *f)
{
    if (f)
        rt_cancel(f);
}

static void FIBER join_fiber(struct rt_fiber *f)
{
    if (f)
        rt_join(f);
}

void FIBER schedule_stop(struct schedule *s)
{
    if (!s)
        return;
    STORE(s->stopping, true);
    stop_fiber(s->watch);
    for (unsigned i = 0; i < s->count; i++) {
        stop_fiber(s->jobs[i]->fiber);
        job_wake(s->jobs[i]);
    }
    join_fiber(s->watch);
    for (unsigned i = 0; i < s->count; i++) {
        join_fiber(s->jobs[i]->fiber);
        free((char *)(uintptr_t)s->jobs[i]->cursor.ptr);
        free(s->jobs[i]);
    }
    free(s);
}

/* ---- telling -------------------------------------------------------------------------------- */

const char *job_state_text(enum job_state state)
{
    static const char *const texts[] = {"waiting", "running", "paused", "failing", "ended"};
    return texts[state];
}

void job_status(const struct job *j, struct job_status *ret)
{
    uint64_t now = rt_now(), rate = meter_rate(&j->done_meter, now);
    *ret = (struct job_status){
        .name = j->def.name,
        .state = LOAD(j->state),
        .rounds = LOAD(j->rounds),
        .errors = LOAD(j->errors),
        .bytes = LOAD(j->bytes),
        .items = LOAD(j->items),
        .done = LOAD(j->done),
        .total = LOAD(j->total),
        .bytes_per_s = meter_rate(&j->bytes_meter, now),
        .items_per_s = meter_rate(&j->items_meter, now),
        .left_s = UINT64_MAX,
        .share_percent = (uint64_t)(share_of(j) * 100),
        .error = LOAD(j->error),
    };
    if (ret->state != JOB_OVER && LOAD(j->paused))
        ret->state = JOB_PAUSED;
    if (ret->total > ret->done && rate)
        ret->left_s = (ret->total - ret->done) / rate;
}

static const struct family {
    const char *name, *type, *help;
    size_t offset;
} families[] = {
    {"cairn_job_rounds_total", "counter", "Rounds of the job.",
     offsetof(struct job_status, rounds)},
    {"cairn_job_errors_total", "counter", "Rounds that failed.",
     offsetof(struct job_status, errors)},
    {"cairn_job_bytes_total", "counter", "Bytes that the job went over.",
     offsetof(struct job_status, bytes)},
    {"cairn_job_items_total", "counter", "Items (rows, needles, chunks) that the job went over.",
     offsetof(struct job_status, items)},
    {"cairn_job_done", "gauge", "How far the job is, of cairn_job_goal.",
     offsetof(struct job_status, done)},
    {"cairn_job_goal", "gauge", "What the job has to go over; 0: not known.",
     offsetof(struct job_status, total)},
    {"cairn_job_share_percent", "gauge", "Share of its pace that clients leave to the job.",
     offsetof(struct job_status, share_percent)},
};

static uint64_t paused_of(const struct job_status *s)
{
    return s->state == JOB_PAUSED;
}

static void job_sample(struct buf *out, const char *name, const struct job *j, uint64_t value)
{
    struct metrics_label labels[] = {{"job", str_from(j->def.name)}, {NULL, STR_NULL}};
    metrics_sample_u64(out, name, labels, value);
}

void schedule_metrics(struct buf *out, void *arg)
{
    struct schedule *s = arg;
    struct job_status status[JOBS_MAX];
    for (unsigned i = 0; i < s->count; i++)
        job_status(s->jobs[i], &status[i]);
    for (size_t f = 0; f < ARRAY_LEN(families); f++) {
        metrics_family(out, families[f].name, families[f].type, families[f].help);
        for (unsigned i = 0; i < s->count; i++) {
            uint64_t value;
            memcpy(&value, (const char *)&status[i] + families[f].offset, sizeof(value));
            job_sample(out, families[f].name, s->jobs[i], value);
        }
    }
    metrics_family(out, "cairn_job_paused", "gauge", "1 while the job is paused.");
    for (unsigned i = 0; i < s->count; i++)
        job_sample(out, "cairn_job_paused", s->jobs[i], paused_of(&status[i]));
}
