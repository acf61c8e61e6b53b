/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Fibers: spawning, joining, cancelling, deadlines, limits, offloading. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "rt/internal.h"
#include "rt/sanitize.h"

static int run(unsigned threads, int (*fn)(void *), void *arg)
{
    struct rt_config c = {.threads = threads, .max_fibers = 1000};
    return rt_run(&c, fn, arg);
}

/* ---- spawn and join -------------------------------------------------------------------------- */

struct trail {
    char text[64];
    size_t len;
};

static void step(struct trail *t, char c)
{
    assert_true(t->len < sizeof(t->text) - 1);
    t->text[t->len++] = c;
}

static int first_child(void *arg)
{
    step(arg, 'a');
    rt_yield();
    step(arg, 'c');
    return 7;
}

static int second_child(void *arg)
{
    step(arg, 'b');
    rt_yield();
    step(arg, 'd');
    return 8;
}

static int spawn_two(void *arg)
{
    struct rt_fiber *one, *two;
    assert_int_equal(rt_spawn(&one, "one", first_child, arg), 0);
    assert_int_equal(rt_spawn(&two, "two", second_child, arg), 0);
    step(arg, '-');
    assert_int_equal(rt_join(two), 8);
    assert_int_equal(rt_join(one), 7);
    step(arg, '.');
    return 42;
}

static void fibers_take_turns_and_join_returns_their_value(void **state)
{
    struct trail t = {0};
    assert_int_equal(run(1, spawn_two, &t), 42);
    assert_string_equal(t.text, "-abcd.");
}

static void count_one(void *arg)
{
    __atomic_fetch_add((int *)arg, 1, __ATOMIC_SEQ_CST);
}

static void count_and_go_home(void *arg)
{
    assert_int_equal(rt_thread_index(), 1);
    assert_int_equal(rt_spawn_on(0, "home", count_one, arg), 0);
}

static int spawn_detached(void *arg)
{
    for (int i = 0; i < 100; i++) {
        assert_int_equal(rt_spawn_detached("here", count_one, arg), 0);
        assert_int_equal(rt_spawn_on(1, "there", count_and_go_home, arg), 0);
    }
    return 0;
}

static int draw_numbers(void *arg)
{
    enum { COUNT = 300 };
    uint64_t drawn[COUNT], many[100] = {0};
    for (unsigned i = 0; i < COUNT; i++) {
        rt_random(&drawn[i], sizeof(drawn[i]));
        for (unsigned j = 0; j < i; j++)
            assert_int_not_equal(drawn[i], drawn[j]);
    }
    rt_random(many, sizeof(many));
    for (unsigned i = 0; i < ARRAY_LEN(many); i++)
        assert_int_not_equal(many[i], 0);
    return 0;
}

static void random_numbers_do_not_repeat(void **state)
{
    assert_int_equal(run(1, draw_numbers, NULL), 0);
}

static void run_ends_after_the_last_fiber_of_every_thread(void **state)
{
    int count = 0;
    assert_int_equal(run(2, spawn_detached, &count), 0);
    assert_int_equal(count, 200);
}

/* ---- waiting --------------------------------------------------------------------------------- */

static int sleep_a_little(void *arg)
{
    uint64_t start = rt_now();
    assert_int_equal(rt_sleep_until(start + 20 * RT_MS), 0);
    assert_true(rt_now() >= start + 20 * RT_MS);
    assert_int_equal(rt_sleep_until(start), 0);
    return 0;
}

static void sleep_ends_at_its_deadline(void **state)
{
    assert_int_equal(run(1, sleep_a_little, NULL), 0);
}

#define SLEEPERS 200

struct sleepers {
    uint64_t start, last_asleep;
    int order[SLEEPERS], next;
};

struct sleeper {
    struct sleepers *all;
    int rank;
};

static int sleep_and_note(void *arg)
{
    struct sleeper *s = arg;
    struct sleepers *all = s->all;
    all->last_asleep = rt_now();
    assert_int_equal(rt_sleep_until(all->start + (uint64_t)s->rank * 50 * RT_US), 0);
    all->order[all->next++] = s->rank;
    return 0;
}

static void sleep_together(struct sleepers *all, uint64_t lead_ns)
{
    struct rt_fiber *f[SLEEPERS];
    struct sleeper s[SLEEPERS];
    *all = (struct sleepers){.start = rt_now() + lead_ns};
    for (int i = 0; i < SLEEPERS; i++) {
        s[i] = (struct sleeper){all, (i * 73) % SLEEPERS};
        assert_int_equal(rt_spawn(&f[i], "sleeper", sleep_and_note, &s[i]), 0);
    }
    for (int i = 0; i < SLEEPERS; i++)
        rt_join(f[i]);
}

/* It counts when all of them slept before the first was to wake. */
static int sleep_many(void *arg)
{
    struct sleepers all;
    uint64_t lead_ns = 5 * RT_MS;
    do {
        sleep_together(&all, lead_ns);
        lead_ns *= 2;
    } while (all.last_asleep >= all.start);
    for (int i = 0; i < SLEEPERS; i++)
        assert_int_equal(all.order[i], i);
    return 0;
}

static void timers_fire_in_order_of_time(void **state)
{
    assert_int_equal(run(1, sleep_many, NULL), 0);
}

static int sleep_for_ever(void *arg)
{
    int r = rt_sleep_until(RT_NEVER);
    assert_true(rt_cancelled());
    assert_int_equal(rt_sleep_until(RT_NEVER), -ECANCELED);
    return r;
}

static int cancel_asleep_and_before_start(void *arg)
{
    struct rt_fiber *asleep, *fresh;
    assert_int_equal(rt_spawn(&asleep, "asleep", sleep_for_ever, NULL), 0);
    rt_yield();
    assert_int_equal(rt_spawn(&fresh, "fresh", sleep_for_ever, NULL), 0);
    rt_cancel(asleep);
    rt_cancel(asleep);
    rt_cancel(fresh);
    assert_int_equal(rt_join(asleep), -ECANCELED);
    assert_int_equal(rt_join(fresh), -ECANCELED);
    return 0;
}

static void cancel_ends_present_and_later_waits(void **state)
{
    assert_int_equal(run(1, cancel_asleep_and_before_start, NULL), 0);
}

static int join_sleeper(void *arg)
{
    struct rt_fiber *child;
    assert_int_equal(rt_spawn(&child, "child", sleep_a_little, NULL), 0);
    return rt_join(child);
}

static int cancel_a_joiner(void *arg)
{
    struct rt_fiber *joiner;
    assert_int_equal(rt_spawn(&joiner, "joiner", join_sleeper, NULL), 0);
    rt_yield();
    rt_cancel(joiner);
    assert_int_equal(rt_join(joiner), 0);
    return 0;
}

static void join_is_not_cut_short_by_cancelling(void **state)
{
    assert_int_equal(run(1, cancel_a_joiner, NULL), 0);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static int spawn_to_the_limit(void *arg)
{
    struct rt_fiber *f[1000], *more;
    struct rt_stats stats;
    for (int i = 0; i < 999; i++)
        assert_int_equal(rt_spawn(&f[i], "one", sleep_for_ever, NULL), 0);
    assert_int_equal(rt_spawn(&more, "more", sleep_for_ever, NULL), -ERR_LIMIT);
    assert_int_equal(rt_spawn_on(0, "more", count_one, NULL), -ERR_LIMIT);
    rt_stats(&stats);
    assert_int_equal(stats.fibers, 1000);
    assert_int_equal(stats.fibers_peak, 1000);
    rt_yield();
    for (int i = 0; i < 999; i++) {
        rt_cancel(f[i]);
        assert_int_equal(rt_join(f[i]), -ECANCELED);
    }
    assert_int_equal(rt_spawn(&more, "more", sleep_a_little, NULL), 0);
    assert_int_equal(rt_join(more), 0);
    rt_stats(&stats);
    assert_int_equal(stats.fibers, 1);
    assert_true(stats.stacks <= 66);
    return 0;
}

static void spawn_over_the_limit_is_refused_and_the_loop_lives(void **state)
{
    assert_int_equal(run(1, spawn_to_the_limit, NULL), 0);
}

static int answer(void *arg)
{
    return 42;
}

/* What rt_run() of two threads gives in a process that may open `spare` more descriptors. */
static int run_with_descriptors(int spare)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        int next = dup(0);
        close(next);
        struct rlimit limit = {(rlim_t)(next + spare), (rlim_t)(next + spare)};
        int r = setrlimit(RLIMIT_NOFILE, &limit) == 0 ? run(2, answer, NULL) : 1;
        _exit(r < 0 ? -r : r);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void starting_fails_cleanly_whichever_descriptor_is_the_first_missing(void **state)
{
    if (RT_ON_VALGRIND)
        skip(); /* it keeps the limit from the kernel */
    /* a signal descriptor, two event descriptors, two rings */
    for (int spare = 0; spare < 5; spare++)
        assert_int_equal(run_with_descriptors(spare), EMFILE);
    assert_int_equal(run_with_descriptors(5), 42);
}

static int use_stack(void *arg)
{
    int frames = *(int *)arg - 1;
    volatile char room[4096];
    memset((char *)room, 1, sizeof(room));
    return frames > 0 ? use_stack(&frames) + room[1] : room[0];
}

static int measure_stack(void *arg)
{
    struct rt_fiber *f;
    struct rt_stats stats;
    int frames = 10;
    assert_int_equal(rt_spawn(&f, "deep", use_stack, &frames), 0);
    rt_join(f);
    rt_stats(&stats);
    *(uint64_t *)arg = stats.stack_used_max_bytes;
    return 0;
}

static void deepest_stack_use_is_recorded(void **state)
{
    uint64_t used = 0;
    assert_int_equal(run(1, measure_stack, &used), 0);
    assert_in_range(used, 40 * KIB, 128 * KIB);
}

/* An array that nobody fills lies between what is used and what is used below it. */
static int leave_a_hole(void *arg)
{
    volatile char room[60 * KIB];
    int frames = 2;
    room[sizeof(room) - 1] = 1;
    return use_stack(&frames) + room[sizeof(room) - 1];
}

static int measure_hole(void *arg)
{
    struct rt_fiber *f;
    struct rt_stats stats;
    assert_int_equal(rt_spawn(&f, "hole", leave_a_hole, NULL), 0);
    rt_join(f);
    rt_stats(&stats);
    *(uint64_t *)arg = stats.stack_used_max_bytes;
    return 0;
}

static void a_hole_hides_no_stack_use(void **state)
{
    uint64_t used = 0;
    assert_int_equal(run(1, measure_hole, &used), 0);
    assert_in_range(used, 68 * KIB, 128 * KIB);
}

static int use_stack_and_stay(void *arg)
{
    int frames = 10;
    (void)use_stack(&frames);
    return rt_sleep_until(RT_NEVER);
}

static int measure_stayer(void *arg)
{
    struct rt_fiber *f;
    struct rt_stats stats = {0};
    assert_int_equal(rt_spawn(&f, "stays", use_stack_and_stay, NULL), 0);
    for (unsigned i = 0; i < 6000 && stats.stack_used_max_bytes < 40 * KIB; i++) {
        rt_sleep_until(rt_now() + 10 * RT_MS);
        rt_this_loop->measure_ns = 0; /* rather than some seconds */
        rt_stats(&stats);
    }
    rt_cancel(f);
    rt_join(f);
    *(uint64_t *)arg = stats.stack_used_max_bytes;
    return 0;
}

static void who_stays_is_measured_as_well(void **state)
{
    uint64_t used = 0;
    assert_int_equal(run(1, measure_stayer, &used), 0);
    assert_in_range(used, 40 * KIB, 128 * KIB);
}

static int overflow(void *arg)
{
    int frames = 1000;
    return use_stack(&frames);
}

static void overflowing_a_stack_hits_its_guard_page(void **state)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGSEGV, SIG_DFL);
        _exit(run(1, overflow, NULL) == 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
}

/* ---- offload --------------------------------------------------------------------------------- */

static int block_a_thread(void *arg)
{
    assert_false(rt_on_loop());
    usleep(20000);
    return 5;
}

/* Ends when the loop has gone on meanwhile; -ETIMEDOUT when it does not. */
static int block_until_ticked(void *arg)
{
    unsigned *ticks = arg;
    for (unsigned ms = 0; ms < 60000; ms++) {
        if (__atomic_load_n(ticks, __ATOMIC_RELAXED) >= 3)
            return 5;
        usleep(1000);
    }
    return -ETIMEDOUT;
}

static int tick(void *arg)
{
    unsigned *ticks = arg;
    while (rt_sleep_until(rt_now() + RT_MS) == 0)
        __atomic_fetch_add(ticks, 1, __ATOMIC_RELAXED);
    return 0;
}

static int offload_while_ticking(void *arg)
{
    struct rt_fiber *ticker;
    unsigned ticks = 0;
    assert_int_equal(rt_spawn(&ticker, "ticker", tick, &ticks), 0);
    assert_int_equal(rt_offload(block_until_ticked, &ticks), 5);
    assert_true(rt_on_loop());
    rt_cancel(ticker);
    return rt_join(ticker);
}

static void offloaded_work_does_not_stop_the_loop(void **state)
{
    assert_int_equal(run(1, offload_while_ticking, NULL), 0);
}

static int offload_one(void *arg)
{
    return rt_offload(block_a_thread, NULL);
}

static int offload_many(void *arg)
{
    enum { N = 10 };
    struct rt_fiber *f[N];
    for (int i = 0; i < N; i++)
        assert_int_equal(rt_spawn(&f[i], "job", offload_one, NULL), 0);
    for (int i = 0; i < N; i++) {
        rt_cancel(f[i]); /* has no effect on offloaded work */
        assert_int_equal(rt_join(f[i]), 5);
    }
    return 0;
}

static void offload_queue_serves_more_jobs_than_threads(void **state)
{
    assert_int_equal(run(1, offload_many, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fibers_take_turns_and_join_returns_their_value),
        cmocka_unit_test(random_numbers_do_not_repeat),
        cmocka_unit_test(run_ends_after_the_last_fiber_of_every_thread),
        cmocka_unit_test(sleep_ends_at_its_deadline),
        cmocka_unit_test(timers_fire_in_order_of_time),
        cmocka_unit_test(cancel_ends_present_and_later_waits),
        cmocka_unit_test(join_is_not_cut_short_by_cancelling),
        cmocka_unit_test(spawn_over_the_limit_is_refused_and_the_loop_lives),
        cmocka_unit_test(starting_fails_cleanly_whichever_descriptor_is_the_first_missing),
        cmocka_unit_test(deepest_stack_use_is_recorded),
        cmocka_unit_test(a_hole_hides_no_stack_use),
        cmocka_unit_test(who_stays_is_measured_as_well),
        cmocka_unit_test(overflowing_a_stack_hits_its_guard_page),
        cmocka_unit_test(offloaded_work_does_not_stop_the_loop),
        cmocka_unit_test(offload_queue_serves_more_jobs_than_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
