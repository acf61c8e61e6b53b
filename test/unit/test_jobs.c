/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* The background jobs find their work by themselves, and stop when told. */

#include "store_help.h"
#include "jobs/jobs.h"

static struct jobs *start(struct store_home *h)
{
    struct jobs *j;
    struct jobs_config config = {
        .store = h->store,
        .nodes = &h->nodes,
        .session = h->session,
        .compact_interval_ms = 20,
        .compact_bytes_per_s = 1 * GIB,
        .sweep_delay_ms = 1,
    };
    assert_int_equal(jobs_start(&j, &config), 0);
    return j;
}

static struct jobs_stats stats_of(struct jobs *j)
{
    struct jobs_stats s;
    jobs_stats(j, &s);
    return s;
}

/* Up to a minute. */
#define WAIT_FOR(cond)                                    \
    do {                                                  \
        for (unsigned i_ = 0; i_ < 6000 && !(cond); i_++) \
            rt_sleep_until(rt_now() + 10 * RT_MS);        \
        assert_true(cond);                                \
    } while (0)

CASE(garbage_goes_by_itself_and_readers_are_waited_for)
{
    struct jobs *j = start(h);
    struct store_reader *r;
    _cleanup_buf_ struct buf got;
    buf_init(&got, 0);
    put(h, STR("k"), bytes_of(h, 90000, 1));
    assert_int_equal(store_get(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL, &r), 0);
    put(h, STR("k"), bytes_of(h, 90000, 2));
    rt_sleep_until(rt_now() + 300 * RT_MS);
    assert_int_equal(home_chunks(h), 2);
    assert_int_equal(store_read(r, 0, 90000, append_sink, &got), 0);
    store_reader_close(r);
    WAIT_FOR(home_chunks(h) == 1);
    expect(h, STR("k"), bytes_of(h, 90000, 2));
    assert_int_equal(stats_of(j).gc_chunks, 1);
    assert_int_equal(stats_of(j).gc_errors, 0);
    jobs_stop(j);
}

CASE(the_sweep_runs_once_after_the_start)
{
    struct blob_writer *w;
    struct blob_layout layout;
    put(h, STR("k"), bytes_of(h, 90000, 1));
    assert_int_equal(blob_begin(h->blob, BLOB_STANDARD, 3, &w), 0);
    assert_int_equal(blob_write(w, "abc", 3), 0);
    assert_int_equal(blob_finish(w, &h->arena, &layout), 0);
    home_close(h);
    home_open(h);
    struct jobs *j = start(h);
    WAIT_FOR(stats_of(j).sweep_done);
    assert_int_equal(stats_of(j).sweep_orphans, 1);
    assert_int_equal(stats_of(j).sweep_needles, 2);
    assert_int_equal(home_chunks(h), 1);
    expect(h, STR("k"), bytes_of(h, 90000, 1));
    jobs_stop(j);
}

CASE(dead_volumes_are_compacted_while_objects_stay_readable)
{
    char key[16];
    home_close(h);
    h->volume_bytes_max = 4 * MIB;
    home_open(h);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "k-%u", i);
        put(h, str_from(key), bytes_of(h, 500000, i));
    }
    struct disk_stats before, after;
    struct jobs *j = start(h);
    disk_stats(h->disk, &before);
    for (unsigned i = 0; i < 40; i++) {
        bool existed;
        snprintf(key, sizeof(key), "k-%u", i);
        if (i % 8)
            assert_int_equal(store_delete(h->store, h->bucket, str_from(key), NULL, &existed), 0);
    }
    WAIT_FOR(stats_of(j).compact_freed_bytes > 5 * MIB);
    disk_stats(h->disk, &after);
    assert_true(after.volumes < before.volumes);
    for (unsigned i = 0; i < 40; i += 8) {
        snprintf(key, sizeof(key), "k-%u", i);
        expect(h, str_from(key), bytes_of(h, 500000, i));
    }
    jobs_stop(j);
    home_close(h);
    home_open(h);
    expect(h, STR("k-8"), bytes_of(h, 500000, 8));
}

CASE(they_stop_at_any_moment)
{
    for (unsigned i = 0; i < 20; i++) {
        struct jobs *j = start(h);
        put(h, STR("k"), bytes_of(h, 50000, i));
        rt_sleep_until(rt_now() + i * RT_MS);
        jobs_stop(j);
    }
    jobs_stop(NULL);
    collect_all(h);
    assert_int_equal(home_chunks(h), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage_goes_by_itself_and_readers_are_waited_for),
        cmocka_unit_test(the_sweep_runs_once_after_the_start),
        cmocka_unit_test(dead_volumes_are_compacted_while_objects_stay_readable),
        cmocka_unit_test(they_stop_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
