/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* The jobs' schedule on a virtual clock: pace, giving way, failures, pauses and places kept. */

#include "unit.h"
#include "jobs/ease.h"
#include "jobs/schedule.h"
#include "kv/mem.h"
#include "rt/sim/sim.h"

/* A world with metadata that outlive a schedule. */
struct world {
    struct kv_mem *content;
    struct meta *meta;
    struct schedule *schedule;
    struct job *job;
    /* what the job does */
    int results[64]; /* of its rounds, in turn: JOB_IDLE if nothing else */
    uint64_t spend;  /* bytes a round */
    uint64_t times[64];
    unsigned rounds;
    struct job_load load;
    uint64_t request_ns; /* what one takes, of 100 a second; 0: there are none */
};

static int FIBER a_round(struct job *j, void *arg)
{
    struct world *w = arg;
    unsigned n = w->rounds++;
    if (n < ARRAY_LEN(w->times))
        w->times[n] = rt_now();
    int r = job_spend(j, w->spend, 1);
    return r < 0 ? r : n < ARRAY_LEN(w->results) ? w->results[n] : JOB_IDLE;
}

static void start_as(struct world *w, struct job_def def)
{
    def.name = "test";
    def.round = a_round;
    def.arg = w;
    w->rounds = 0;
    assert_int_equal(schedule_new(&w->schedule, w->meta), 0);
    assert_int_equal(schedule_add(w->schedule, &def, &w->job), 0);
    assert_int_equal(schedule_start(w->schedule), 0);
}

static struct job_status status_of(struct world *w)
{
    struct job_status s;
    job_status(w->job, &s);
    return s;
}

static void pass(uint64_t ns)
{
    rt_sleep_until(rt_now() + ns);
}

static const struct sim_config exact = {.seed = 1, .steady_clock = true};

#define CASE(name)                                             \
    static void name##_(struct world *w);                      \
    static int name##_fiber(void *arg)                         \
    {                                                          \
        struct world *w = arg;                                 \
        struct kv *kv;                                         \
        assert_int_equal(kv_mem_open(&kv, w->content), 0);     \
        assert_int_equal(meta_local_open(&w->meta, kv, 0), 0); \
        name##_(w);                                            \
        meta_close(w->meta);                                   \
        return 0;                                              \
    }                                                          \
    static void name(void **state)                             \
    {                                                          \
        struct world w = {.spend = 0};                         \
        for (unsigned i = 0; i < ARRAY_LEN(w.results); i++)    \
            w.results[i] = JOB_IDLE;                           \
        struct sim *s;                                         \
        assert_int_equal(sim_new(&s, &exact), 0);              \
        assert_int_equal(kv_mem_new(&w.content, true), 0);     \
        assert_int_equal(sim_rt_run(s, name##_fiber, &w), 0);  \
        kv_mem_free(w.content);                                \
        sim_free(s);                                           \
    }                                                          \
    static void name##_(struct world *w)

CASE(a_job_keeps_to_its_pace)
{
    w->spend = 1 * MIB;
    uint64_t start = rt_now();
    start_as(w, (struct job_def){.bytes_per_s = 1 * MIB});
    pass(30 * RT_S + RT_MS);
    /* Idle rounds follow at once: only the pace holds them apart. */
    assert_in_range(w->rounds, 30, 31);
    assert_in_range(w->times[10] - start, 10 * RT_S - 20 * RT_MS, 10 * RT_S + 20 * RT_MS);
    struct job_status s = status_of(w);
    assert_in_range(s.bytes_per_s, 1000000, 1100000);
    job_set_pace(w->job, 4 * MIB, 0);
    unsigned before = w->rounds;
    pass(10 * RT_S);
    assert_in_range(w->rounds - before, 36, 42);
    schedule_stop(w->schedule);
}

CASE(progress_tells_the_time_left)
{
    start_as(w, (struct job_def){.interval_ms = 1000});
    assert_true(status_of(w).left_s == UINT64_MAX);
    for (unsigned i = 0; i <= 40; i++) {
        job_set_progress(w->job, i * 10, 1000);
        pass(RT_S);
    }
    assert_in_range(status_of(w).left_s, 55, 65);
    pass(120 * RT_S); /* a rate that old is none */
    assert_true(status_of(w).left_s == UINT64_MAX);
    schedule_stop(w->schedule);
}

CASE(failures_are_retried_more_and_more_seldom)
{
    for (unsigned i = 0; i < 9; i++)
        w->results[i] = -EIO;
    w->results[10] = -EIO;
    start_as(w, (struct job_def){.interval_ms = 5000});
    pass(400 * RT_S);
    static const uint64_t waits[] = {1, 2, 4, 8, 16, 32, 60, 60, 60, 5, 1};
    for (unsigned i = 0; i < ARRAY_LEN(waits); i++)
        assert_int_equal((w->times[i + 1] - w->times[i] + RT_S / 2) / RT_S, waits[i]);
    assert_int_equal(status_of(w).errors, 10);
    assert_int_equal(status_of(w).error, 0);
    schedule_stop(w->schedule);
}

CASE(an_ended_job_is_not_run_again)
{
    w->results[2] = JOB_ENDED;
    start_as(w, (struct job_def){.first_ms = 100});
    pass(100 * RT_S);
    assert_int_equal(w->rounds, 3);
    assert_int_equal(status_of(w).state, JOB_OVER);
    schedule_stop(w->schedule);
}

CASE(a_pause_survives_the_restart)
{
    start_as(w, (struct job_def){.interval_ms = 1000});
    pass(3500 * RT_MS);
    assert_int_equal(job_pause(w->job, true), 0);
    unsigned before = w->rounds;
    pass(60 * RT_S);
    assert_int_equal(w->rounds, before);
    assert_int_equal(status_of(w).state, JOB_PAUSED);
    schedule_stop(w->schedule);
    start_as(w, (struct job_def){.interval_ms = 1000});
    pass(60 * RT_S);
    assert_int_equal(w->rounds, 0);
    assert_int_equal(job_pause(w->job, false), 0);
    pass(100 * RT_MS);
    assert_int_equal(w->rounds, 1);
    schedule_stop(w->schedule);
    start_as(w, (struct job_def){.interval_ms = 1000});
    pass(100 * RT_MS);
    assert_int_equal(w->rounds, 1);
    schedule_stop(w->schedule);
}

CASE(a_pause_takes_hold_within_a_round)
{
    w->spend = 100 * MIB;
    start_as(w, (struct job_def){.bytes_per_s = 1 * MIB});
    pass(50 * RT_S);
    assert_int_equal(job_pause(w->job, true), 0);
    pass(1000 * RT_S);
    assert_int_equal(w->rounds, 1);
    assert_int_equal(job_pause(w->job, false), 0);
    pass(40 * RT_S);
    assert_int_equal(w->rounds, 1); /* the time of the pause paid for nothing */
    pass(15 * RT_S);
    assert_int_equal(w->rounds, 2);
    schedule_stop(w->schedule);
}

CASE(a_cursor_survives_the_restart)
{
    start_as(w, (struct job_def){.interval_ms = 1000});
    assert_int_equal(job_cursor(w->job).len, 0);
    assert_int_equal(job_keep(w->job, STR("here")), 0);
    assert_int_equal(job_keep(w->job, STR("there\0too")), 0);
    assert_int_equal(job_pause(w->job, true), 0);
    schedule_stop(w->schedule);
    start_as(w, (struct job_def){.interval_ms = 1000});
    assert_true(str_eq(job_cursor(w->job), STR("there\0too")));
    pass(10 * RT_S);
    assert_int_equal(w->rounds, 0);
    schedule_stop(w->schedule);
    kv_mem_fail_syncs(w->content, 1, -EIO);
    start_as(w, (struct job_def){.interval_ms = 1000});
    assert_true(job_keep(w->job, STR("nowhere")) < 0);
    assert_true(str_eq(job_cursor(w->job), STR("there\0too")));
    schedule_stop(w->schedule);
}

CASE(some_jobs_wait_to_be_started)
{
    start_as(w, (struct job_def){.interval_ms = 1000, .starts_paused = true});
    pass(10 * RT_S);
    assert_int_equal(job_keep(w->job, STR("x")), 0);
    schedule_stop(w->schedule);
    start_as(w, (struct job_def){.interval_ms = 1000, .starts_paused = true});
    pass(10 * RT_S);
    assert_int_equal(w->rounds, 0);
    schedule_stop(w->schedule);
}

CASE(a_wake_ends_the_rest)
{
    start_as(w, (struct job_def){.interval_ms = 1000000});
    pass(RT_S);
    assert_int_equal(w->rounds, 1);
    job_wake(w->job);
    pass(RT_MS);
    assert_int_equal(w->rounds, 2);
    pass(RT_S);
    assert_int_equal(w->rounds, 2);
    schedule_stop(w->schedule);
}

static void report_load(struct job_load *ret, void *arg)
{
    struct world *w = arg;
    if (w->request_ns) {
        w->load.requests += 100;
        w->load.took_ns += 100 * w->request_ns;
    }
    *ret = w->load;
}

static unsigned rounds_in(struct world *w, uint64_t ns)
{
    unsigned before = w->rounds;
    pass(ns);
    return w->rounds - before;
}

CASE(a_job_gives_way_while_requests_are_slow)
{
    w->spend = 1 * MIB;
    start_as(w, (struct job_def){.bytes_per_s = 16 * MIB, .gives_way = true});
    schedule_watch_load(w->schedule, report_load, w);
    w->request_ns = 2 * RT_MS;
    pass(20 * RT_S);
    assert_in_range(rounds_in(w, 10 * RT_S), 155, 165); /* the usual: all of the pace */
    w->request_ns = 20 * RT_MS;
    pass(5 * RT_S);
    assert_in_range(rounds_in(w, 10 * RT_S), 9, 12); /* a sixteenth */
    job_set_gives_way(w->job, false);
    assert_in_range(rounds_in(w, 10 * RT_S), 155, 165);
    job_set_gives_way(w->job, true);
    w->request_ns = 0;
    pass(5 * RT_S);
    assert_in_range(rounds_in(w, 10 * RT_S), 155, 165);
    schedule_stop(w->schedule);
}

CASE(it_stops_at_any_moment)
{
    w->spend = 100 * MIB;
    for (unsigned i = 0; i < 40; i++) {
        uint64_t start = rt_now();
        start_as(w, (struct job_def){.bytes_per_s = 1 * MIB});
        pass(i * 10 * RT_MS);
        schedule_stop(w->schedule);
        assert_true(rt_now() - start <= i * 10 * RT_MS + RT_MS);
    }
    schedule_stop(NULL);
}

static void what_is_usual_is_learnt(void **state)
{
    struct ease e = EASE_INIT;
    for (unsigned i = 0; i < 20; i++)
        ease_step(&e, 10, 10 * 5000000ULL);
    assert_int_equal(e.share, EASE_ALL);
    ease_step(&e, 10, 10 * 50000000ULL); /* ten times that: half */
    assert_int_equal(e.share, EASE_ALL / 2);
    for (unsigned i = 0; i < 10; i++)
        ease_step(&e, 10, 10 * 50000000ULL);
    assert_int_equal(e.share, EASE_LEAST);
    for (unsigned i = 0; i < 600; i++) /* other requests, which take longer: soon usual */
        ease_step(&e, 10, 10 * 50000000ULL);
    assert_int_equal(e.share, EASE_ALL);
    ease_step(&e, 1, 100000); /* less than a millisecond more is noise */
    ease_step(&e, 1, 900000);
    assert_int_equal(e.share, EASE_ALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_keeps_to_its_pace),
        cmocka_unit_test(progress_tells_the_time_left),
        cmocka_unit_test(failures_are_retried_more_and_more_seldom),
        cmocka_unit_test(an_ended_job_is_not_run_again),
        cmocka_unit_test(a_pause_survives_the_restart),
        cmocka_unit_test(a_pause_takes_hold_within_a_round),
        cmocka_unit_test(a_cursor_survives_the_restart),
        cmocka_unit_test(some_jobs_wait_to_be_started),
        cmocka_unit_test(a_wake_ends_the_rest),
        cmocka_unit_test(a_job_gives_way_while_requests_are_slow),
        cmocka_unit_test(it_stops_at_any_moment),
        cmocka_unit_test(what_is_usual_is_learnt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
