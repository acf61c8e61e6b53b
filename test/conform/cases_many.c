/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* What many fibers on several threads see of one another. */

#include <stdio.h>
#include "test/conform/conform.h"

/* ---- a crowd of fibers ---------------------------------------------------------------------- */

#define CROWD 48

struct crowd {
    struct conform *c;
    void (*fn)(struct conform *c, unsigned n, void *arg);
    void *arg;
    struct rt_lock lock;
    struct rt_waitq done;
    unsigned next, left;
};

static void crowd_member(void *arg)
{
    struct crowd *w = arg;
    rt_lock(&w->lock);
    unsigned n = w->next++;
    rt_unlock(&w->lock);
    w->fn(w->c, n, w->arg);
    rt_lock(&w->lock);
    if (--w->left == 0)
        rt_wake_all(&w->done);
    rt_unlock(&w->lock);
}

/* Runs `fn` on CROWD fibers over all threads, numbered from 0, and waits for them. */
static void FIBER crowd_run(struct conform *c, void (*fn)(struct conform *c, unsigned n, void *arg),
                            void *arg)
{
    struct crowd w = {.c = c, .fn = fn, .arg = arg, .left = CROWD};
    rt_lock_init(&w.lock);
    rt_waitq_init(&w.done);
    for (unsigned i = 0; i < CROWD; i++)
        CHECK(rt_spawn_on(i % rt_thread_count(), "crowd", crowd_member, &w) == 0);
    rt_lock(&w.lock);
    while (w.left > 0)
        CHECK(rt_wait(&w.done, &w.lock, RT_NEVER) == 0);
    rt_unlock(&w.lock);
}

/* ---- cases ---------------------------------------------------------------------------------- */

static void put_and_look(struct conform *c, unsigned n, void *arg)
{
    for (unsigned i = 0; i < 20; i++) {
        char key[16], value[16];
        snprintf(key, sizeof(key), "%02u", n);
        snprintf(value, sizeof(value), "%u", i);
        CHECK(conform_put(c, BUCKET, str_from(key), str_from(value)) == 0);
        EXPECT_STR(conform_get(c, BUCKET, str_from(key)), value);
    }
}

int FIBER case_acknowledged_is_seen_and_survives(struct conform *c)
{
    crowd_run(c, put_and_look, NULL);
    conform_reopen(c);
    for (unsigned n = 0; n < CROWD; n++) {
        char key[16];
        snprintf(key, sizeof(key), "%02u", n);
        EXPECT_STR(conform_get(c, BUCKET, str_from(key)), "19");
    }
    return 0;
}

static int increment(struct meta_tx *tx, void *arg)
{
    struct str value;
    uint64_t n = 0;
    int64_t one = 1;
    char text[24];
    int r = meta_get(tx, STR("n"), &value);
    if (r == 0)
        CHECK(str_to_u64(value, &n) == 0);
    else if (r != -ERR_NOT_FOUND)
        return r;
    if (arg)
        *(uint64_t *)arg = n;
    CHECK(meta_add(tx, STR("count"), &one, 1) == 0);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)n + 1);
    return meta_put(tx, STR("n"), str_from(text));
}

static void increment_often(struct conform *c, unsigned n, void *arg)
{
    for (unsigned i = 0; i < 20; i++)
        CHECK(meta_write(c->meta, BUCKET, increment, NULL) == 0);
}

static int read_count(struct meta_tx *tx, void *arg)
{
    return meta_get_counters(tx, STR("count"), arg);
}

int FIBER case_concurrent_increments_add_up(struct conform *c)
{
    int64_t count[META_COUNTERS_MAX];
    char want[16];
    crowd_run(c, increment_often, NULL);
    snprintf(want, sizeof(want), "%u", CROWD * 20);
    EXPECT_STR(conform_get(c, BUCKET, STR("n")), want);
    CHECK(meta_read(c->meta, BUCKET, read_count, count) == 0);
    CHECK(count[0] == CROWD * 20);
    return 0;
}

/* What a hook notes: the numbers the transactions saw, in the order of the hooks. */
struct hook_log {
    uint64_t seen[CROWD * 20];
    unsigned count; /* hooks run one at a time */
};
struct hooked {
    struct hook_log *log;
    uint64_t saw;
    bool ran;
};

static void note(void *arg)
{
    struct hooked *h = arg;
    h->log->seen[h->log->count++] = h->saw;
    h->ran = true;
}

static int increment_hooked(struct meta_tx *tx, void *arg)
{
    struct hooked *h = arg;
    int r = increment(tx, &h->saw);
    return r < 0 ? r : meta_on_commit(tx, note, h);
}

static void increment_hooked_often(struct conform *c, unsigned n, void *arg)
{
    for (unsigned i = 0; i < 20; i++) {
        struct hooked h = {.log = arg};
        CHECK(meta_write(c->meta, BUCKET, increment_hooked, &h) == 0);
        CHECK(h.ran);
    }
}

int FIBER case_hooks_run_in_the_order_of_commits(struct conform *c)
{
    struct hook_log log = {.count = 0};
    crowd_run(c, increment_hooked_often, &log);
    CHECK(log.count == CROWD * 20);
    for (unsigned i = 0; i < log.count; i++)
        CHECK(log.seen[i] == i);
    return 0;
}

/* Writers keep two rows equal; a reader that looks at them one after the other sees them so. */
static int write_pair(struct meta_tx *tx, void *arg)
{
    struct str value = str_from(arg);
    int r = meta_put(tx, STR("left"), value);
    return r < 0 ? r : meta_put(tx, STR("right"), value);
}

static int read_pair(struct meta_tx *tx, void *arg)
{
    struct str left, right;
    struct buf listed;
    int r = meta_get(tx, STR("left"), &left);
    if (r == 0)
        r = meta_get(tx, STR("right"), &right);
    if (r < 0)
        return r;
    CHECK(str_eq(left, right));
    buf_init(&listed, 0);
    r = conform_list_in(tx, STR("right"), false, &listed);
    CHECK(r < 0 || str_eq(str_from_offset(str_prefix(buf_str(&listed), listed.len - 1), 6), left));
    buf_release(&listed);
    return r;
}

static void write_or_read_pairs(struct conform *c, unsigned n, void *arg)
{
    char value[16];
    for (unsigned i = 0; i < 40; i++) {
        snprintf(value, sizeof(value), "%u.%u", n, i);
        if (n % 4 == 0)
            CHECK(meta_write(c->meta, BUCKET, write_pair, value) == 0);
        else
            CHECK(meta_read(c->meta, BUCKET, read_pair, NULL) == 0);
        rt_yield();
    }
}

int FIBER case_reader_sees_one_state(struct conform *c)
{
    CHECK(meta_write(c->meta, BUCKET, write_pair, "first") == 0);
    crowd_run(c, write_or_read_pairs, NULL);
    return 0;
}

/* A commit made to fall between two looks of a reader. */
struct overtaking {
    struct conform *c;
    bool looked, committed, done; /* atomic */
    unsigned runs;
};

static void FIBER wait_for(bool *flag)
{
    while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE))
        CHECK(rt_sleep_until(rt_now() + RT_MS) == 0);
}

static void overtake(void *arg)
{
    struct overtaking *o = arg;
    wait_for(&o->looked);
    CHECK(meta_write(o->c->meta, BUCKET, write_pair, "new") == 0);
    __atomic_store_n(&o->committed, true, __ATOMIC_RELEASE);
    __atomic_store_n(&o->done, true, __ATOMIC_RELEASE);
}

static int read_overtaken(struct meta_tx *tx, void *arg)
{
    struct overtaking *o = arg;
    struct str left, right;
    int r = meta_get(tx, STR("left"), &left);
    if (r < 0)
        return r;
    o->runs++;
    __atomic_store_n(&o->looked, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&o->committed, __ATOMIC_ACQUIRE))
        ; /* on the other thread */
    r = meta_get(tx, STR("right"), &right);
    CHECK(r < 0 || str_eq(left, right));
    return r;
}

int FIBER case_reader_overtaken_by_a_commit_sees_one_state(struct conform *c)
{
    struct overtaking o = {.c = c};
    unsigned other = (rt_thread_index() + 1) % rt_thread_count();
    CHECK(rt_thread_count() > 1);
    if (c->mirrored)
        return 0; /* its function keeps the loop thread to itself, which mirrors need as well */
    CHECK(meta_write(c->meta, BUCKET, write_pair, "old") == 0);
    EXPECT_STR(conform_get(c, BUCKET, STR("left")), "old");
    CHECK(rt_spawn_on(other, "overtake", overtake, &o) == 0);
    CHECK(meta_read(c->meta, BUCKET, read_overtaken, &o) == 0);
    CHECK(o.runs <= 2);
    wait_for(&o.done);
    return 0;
}

static int put_and_maybe_fail(struct meta_tx *tx, void *arg)
{
    unsigned *n = arg;
    char key[16];
    snprintf(key, sizeof(key), "%03u", *n);
    int r = meta_put(tx, str_from(key), STR("v"));
    return r < 0 || *n % 2 == 0 ? r : -ERR_CONFLICT;
}

static void put_and_fail_in_turn(struct conform *c, unsigned n, void *arg)
{
    int r = meta_write(c->meta, BUCKET, put_and_maybe_fail, &n);
    CHECK(r == (n % 2 == 0 ? 0 : -ERR_CONFLICT));
}

int FIBER case_failure_does_not_touch_its_neighbours(struct conform *c)
{
    crowd_run(c, put_and_fail_in_turn, NULL);
    for (unsigned n = 0; n < CROWD; n++) {
        char key[16];
        snprintf(key, sizeof(key), "%03u", n);
        EXPECT_STR(conform_get(c, BUCKET, str_from(key)), n % 2 == 0 ? "v" : "(none)");
    }
    return 0;
}

int FIBER case_cold_reads_give_the_same(struct conform *c)
{
    struct meta_stats stats;
    CHECK(meta_write(c->meta, BUCKET, write_pair, "1") == 0);
    conform_reopen(c);
    c->set_cold(c, true);
    EXPECT_STR(conform_list(c, BUCKET, STR_NULL), "left=1 right=1 ");
    CHECK(meta_read(c->meta, BUCKET, read_pair, NULL) == 0);
    EXPECT_STR(conform_get(c, BUCKET, STR("left")), "1");
    EXPECT_STR(conform_get(c, BUCKET, STR("absent")), "(none)");
    meta_stats(c->meta, &stats);
    CHECK(stats.reads_cold > 0 && stats.reads_cold <= stats.reads);
    c->set_cold(c, false);
    EXPECT_STR(conform_list(c, BUCKET, STR_NULL), "left=1 right=1 ");
    return 0;
}

static int write_and_be_cancelled(void *arg)
{
    struct conform *c = arg;
    return conform_put(c, BUCKET, STR("k"), STR("v"));
}

int FIBER case_cancelled_writer_still_gets_its_answer(struct conform *c)
{
    struct rt_fiber *f;
    CHECK(rt_spawn(&f, "writer", write_and_be_cancelled, c) == 0);
    rt_yield();
    rt_cancel(f);
    CHECK(rt_join(f) == 0);
    EXPECT_STR(conform_get(c, BUCKET, STR("k")), "v");
    return 0;
}
