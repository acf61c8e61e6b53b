/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Locks and wait queues between fibers, loop threads and offload threads. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "rt/rt.h"

static void run(unsigned threads, int (*fn)(void *), void *arg)
{
    struct rt_config c = {.threads = threads};
    assert_int_equal(rt_run(&c, fn, arg), 0);
}

/* A counter that is waited for. */
struct gate {
    struct rt_lock lock;
    struct rt_waitq queue;
    uint64_t value;
};

static void gate_add(struct gate *g, uint64_t n)
{
    rt_lock(&g->lock);
    g->value += n;
    rt_wake_all(&g->queue);
    rt_unlock(&g->lock);
}

static int gate_wait(struct gate *g, uint64_t value, uint64_t deadline)
{
    int r = 0;
    rt_lock(&g->lock);
    while (r == 0 && g->value < value)
        r = rt_wait(&g->queue, &g->lock, deadline);
    rt_unlock(&g->lock);
    return r;
}

static int gate_wait_for_1(void *arg)
{
    return gate_wait(arg, 1, RT_NEVER);
}

/* ---- locks ----------------------------------------------------------------------------------- */

enum { ROUNDS = 50000 };

struct contest {
    struct rt_lock lock;
    uint64_t count; /* not atomic: the lock is what keeps it right */
    struct gate done;
};

static void add_under_lock(void *arg)
{
    struct contest *c = arg;
    for (int i = 0; i < ROUNDS; i++) {
        rt_lock(&c->lock);
        c->count++;
        rt_unlock(&c->lock);
    }
    gate_add(&c->done, 1);
}

static int contend(void *arg)
{
    struct contest c = {0};
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(rt_spawn_on(i, "adder", add_under_lock, &c), 0);
    assert_int_equal(gate_wait(&c.done, 4, RT_NEVER), 0);
    assert_int_equal(c.count, 4 * ROUNDS);
    return 0;
}

static void a_lock_excludes_other_threads(void **state)
{
    run(4, contend, NULL);
}

static int yield_with_lock(void *arg)
{
    struct rt_lock l = {0};
    rt_lock(&l);
    rt_yield();
    return 0;
}

/* Runs fn in a child process: true when it was stopped by a failed CHECK. */
static bool check_fails(int (*fn)(void *))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct rt_config c = {.threads = 1};
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        rt_run(&c, fn, NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void suspending_with_a_lock_held_is_caught(void **state)
{
    assert_true(check_fails(yield_with_lock));
}

/* ---- wait queues ----------------------------------------------------------------------------- */

struct ball {
    struct gate to[2];
};

static void play(void *arg)
{
    struct ball *b = arg;
    for (uint64_t i = 1; i <= 2000; i++) {
        assert_int_equal(gate_wait(&b->to[1], i, RT_NEVER), 0);
        gate_add(&b->to[0], 1);
    }
}

static int play_against(void *arg)
{
    struct ball b = {0};
    assert_int_equal(rt_spawn_on(*(unsigned *)arg, "player", play, &b), 0);
    for (uint64_t i = 1; i <= 2000; i++) {
        gate_add(&b.to[1], 1);
        assert_int_equal(gate_wait(&b.to[0], i, rt_now() + 60 * RT_S), 0);
    }
    return 0;
}

static void wakes_pass_between_fibers_of_one_and_of_two_threads(void **state)
{
    unsigned here = 0, there = 1;
    run(1, play_against, &here);
    run(2, play_against, &there);
}

static int wait_each_way(void *arg)
{
    struct gate g = {0};
    struct rt_fiber *f;
    assert_int_equal(gate_wait(&g, 1, rt_now() + 5 * RT_MS), -ETIMEDOUT);
    assert_null(g.queue.head);
    assert_int_equal(rt_spawn(&f, "waiter", gate_wait_for_1, &g), 0);
    rt_yield();
    assert_non_null(g.queue.head);
    rt_cancel(f);
    assert_int_equal(rt_join(f), -ECANCELED);
    assert_null(g.queue.head);
    assert_int_equal(rt_spawn(&f, "waiter", gate_wait_for_1, &g), 0);
    rt_yield();
    gate_add(&g, 1);
    assert_int_equal(rt_join(f), 0);
    return 0;
}

static void a_wait_ends_by_wake_deadline_or_cancel(void **state)
{
    run(1, wait_each_way, NULL);
}

static int wait_uncancelled_for(struct gate *g, uint64_t ns)
{
    int r;
    rt_lock(&g->lock);
    r = rt_wait_uncancelled(&g->queue, &g->lock, rt_now() + ns);
    rt_unlock(&g->lock);
    assert_true(rt_cancelled());
    return r;
}

static int wait_20ms(void *arg)
{
    return wait_uncancelled_for(arg, 20 * RT_MS);
}

static int wait_60s(void *arg)
{
    return wait_uncancelled_for(arg, 60 * RT_S);
}

static int cancel_uncancelled(void *arg)
{
    struct gate g = {0};
    struct rt_fiber *f;
    assert_int_equal(rt_spawn(&f, "waiter", wait_20ms, &g), 0);
    rt_yield();
    rt_cancel(f);
    assert_int_equal(rt_join(f), -ETIMEDOUT);
    assert_int_equal(rt_spawn(&f, "waiter", wait_60s, &g), 0);
    rt_cancel(f);
    rt_yield();
    rt_yield();
    gate_add(&g, 1);
    assert_int_equal(rt_join(f), 0);
    return 0;
}

static void an_uncancelled_wait_ends_only_by_wake_or_deadline(void **state)
{
    run(1, cancel_uncancelled, NULL);
}

struct timed_gate {
    struct gate gate;
    uint64_t deadline;
};

static int wait_timed(void *arg)
{
    struct timed_gate *t = arg;
    return gate_wait(&t->gate, 1, t->deadline);
}

/* Once more when the machine was so slow that the deadline came before the wake. */
static int wake_then_be_slow(void *arg)
{
    struct timed_gate t;
    bool woken_before;
    int r;
    do {
        struct rt_fiber *f;
        t = (struct timed_gate){.deadline = rt_now() + 20 * RT_MS};
        assert_int_equal(rt_spawn(&f, "waiter", wait_timed, &t), 0);
        rt_yield();
        gate_add(&t.gate, 1);
        woken_before = rt_now() < t.deadline;
        while (rt_now() <= t.deadline)
            usleep(1000);
        rt_cancel(f);
        r = rt_join(f);
    } while (!woken_before);
    return r;
}

static void a_deadline_that_passes_after_the_wake_changes_nothing(void **state)
{
    run(1, wake_then_be_slow, NULL);
}

struct turn {
    struct gate *gate;
    int id, *order, *next;
};

static int wait_turn(void *arg)
{
    struct turn *t = arg;
    rt_lock(&t->gate->lock);
    assert_int_equal(rt_wait(&t->gate->queue, &t->gate->lock, RT_NEVER), 0);
    t->order[(*t->next)++] = t->id;
    rt_unlock(&t->gate->lock);
    return 0;
}

static int wake_in_turn(void *arg)
{
    enum { N = 10 };
    struct gate g = {0};
    struct rt_fiber *f[N];
    struct turn t[N];
    int order[N], next = 0;
    for (int i = 0; i < N; i++) {
        t[i] = (struct turn){&g, i, order, &next};
        assert_int_equal(rt_spawn(&f[i], "turn", wait_turn, &t[i]), 0);
    }
    rt_yield();
    for (int i = 0; i < N; i++) {
        rt_lock(&g.lock);
        rt_wake_one(&g.queue);
        rt_unlock(&g.lock);
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(rt_join(f[i]), 0);
    for (int i = 0; i < N; i++)
        assert_int_equal(order[i], i);
    return 0;
}

static void wakes_come_in_order_of_arrival(void **state)
{
    run(1, wake_in_turn, NULL);
}

static int wait_on_thread(void *arg)
{
    struct gate *g = arg;
    assert_int_equal(gate_wait(g, 1, rt_now() + 60 * RT_S), 0);
    assert_int_equal(gate_wait(g, 2, rt_now() + 5 * RT_MS), -ETIMEDOUT);
    gate_add(g, 10);
    return 0;
}

static int offload_wait(void *arg)
{
    return rt_offload(wait_on_thread, arg);
}

static int wake_a_thread(void *arg)
{
    struct gate g = {0};
    struct rt_fiber *f;
    assert_int_equal(rt_spawn(&f, "offloader", offload_wait, &g), 0);
    assert_int_equal(rt_sleep_until(rt_now() + 5 * RT_MS), 0);
    gate_add(&g, 1);
    assert_int_equal(gate_wait(&g, 11, rt_now() + 60 * RT_S), 0);
    return rt_join(f);
}

static void an_offload_thread_waits_and_wakes_like_a_fiber(void **state)
{
    run(1, wake_a_thread, NULL);
}

static int open_gate(void *arg)
{
    gate_add(arg, 1);
    return 0;
}

static int offload_opening(void *arg)
{
    return rt_offload(open_gate, arg);
}

static int wait_for_gate(void *arg)
{
    return gate_wait(arg, 1, rt_now() + 60 * RT_S);
}

static int offload_waiting(void *arg)
{
    return rt_offload(wait_for_gate, arg);
}

/* The only thread there may be waits for what another job does. */
static int wait_for_another_job(void *arg)
{
    struct gate g = {0};
    struct rt_fiber *waits, *opens;
    assert_int_equal(rt_spawn(&waits, "waits", offload_waiting, &g), 0);
    assert_int_equal(rt_spawn(&opens, "opens", offload_opening, &g), 0);
    assert_int_equal(rt_join(waits), 0);
    return rt_join(opens);
}

static void a_waiting_offload_thread_leaves_its_place_to_another(void **state)
{
    struct rt_config c = {.threads = 1, .offload_threads = 1};
    assert_int_equal(rt_run(&c, wait_for_another_job, NULL), 0);
}

/* Deadlines and wakes that race: every wake that was counted must be somebody's. */
struct race {
    struct rt_lock lock;
    struct rt_waitq queue;
    uint64_t tokens, taken;
    struct gate done;
};

static void take_tokens(void *arg)
{
    struct race *r = arg;
    rt_lock(&r->lock);
    while (r->taken < 3000) {
        if (r->tokens > 0) {
            r->tokens--;
            r->taken++;
        } else {
            rt_wait(&r->queue, &r->lock, rt_now() + 20 * RT_US);
        }
    }
    rt_unlock(&r->lock);
    gate_add(&r->done, 1);
}

static int race_wakes(void *arg)
{
    struct race r = {0};
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(rt_spawn_on(i % 2, "taker", take_tokens, &r), 0);
    for (int i = 0; i < 3000; i++) {
        rt_lock(&r.lock);
        r.tokens++;
        rt_wake_one(&r.queue);
        rt_unlock(&r.lock);
        rt_yield();
    }
    assert_int_equal(gate_wait(&r.done, 16, rt_now() + 60 * RT_S), 0);
    assert_int_equal(r.taken, 3000);
    assert_null(r.queue.head);
    return 0;
}

static void wakes_that_race_with_deadlines_are_not_lost(void **state)
{
    run(2, race_wakes, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lock_excludes_other_threads),
        cmocka_unit_test(suspending_with_a_lock_held_is_caught),
        cmocka_unit_test(wakes_pass_between_fibers_of_one_and_of_two_threads),
        cmocka_unit_test(a_wait_ends_by_wake_deadline_or_cancel),
        cmocka_unit_test(an_uncancelled_wait_ends_only_by_wake_or_deadline),
        cmocka_unit_test(a_deadline_that_passes_after_the_wake_changes_nothing),
        cmocka_unit_test(wakes_come_in_order_of_arrival),
        cmocka_unit_test(an_offload_thread_waits_and_wakes_like_a_fiber),
        cmocka_unit_test(a_waiting_offload_thread_leaves_its_place_to_another),
        cmocka_unit_test(wakes_that_race_with_deadlines_are_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
