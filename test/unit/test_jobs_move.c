/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Rebalance: disks added and drained while objects come and go, with restarts at every step. */

#include "farm_help.h"

#define OBJECTS 60

static uint64_t len_of(unsigned i)
{
    return i % 3 == 0 ? 700000 + 1000 * i : 20000 + i;
}

static void put_all(struct farm *f)
{
    char key[16];
    for (unsigned i = 0; i < OBJECTS; i++) {
        snprintf(key, sizeof(key), "k-%u", i);
        farm_put(f, key, len_of(i), i);
    }
}

static void read_all(struct farm *f)
{
    char key[16];
    for (unsigned i = 0; i < OBJECTS; i++) {
        snprintf(key, sizeof(key), "k-%u", i);
        assert_int_equal(farm_get(f, key, i), 0);
    }
}

static void set_role(struct farm *f, unsigned i, enum node_role role)
{
    node_set_role(nodes_get(&f->d.nodes, i), role);
}

static int FIBER retire(void *arg, uint32_t number)
{
    set_role(arg, number, NODE_RETIRED);
    return 0;
}

static uint64_t needles_of(struct farm *f, unsigned i)
{
    struct node_stats s;
    assert_int_equal(node_checkpoint(nodes_get(&f->d.nodes, i)), 0);
    node_stats(nodes_get(&f->d.nodes, i), &s);
    return s.disk.needles;
}

static enum node_role role_of(struct farm *f, unsigned i)
{
    return node_role(nodes_get(&f->d.nodes, i));
}

static struct job_status status_of(struct farm *f)
{
    struct job_status s;
    job_status(schedule_find(jobs_schedule(f->jobs), STR("rebalance")), &s);
    return s;
}

static void start(struct farm *f)
{
    f->config.disk_emptied = retire;
    f->config.disks_arg = f;
    farm_start_jobs(f);
}

static int check_event(const struct store_check_event *e, void *arg)
{
    if (e->err)
        print_error("check: %s %.*s\n", e->text, STR_FMT(e->key));
    assert_int_equal(e->err, 0);
    return 0;
}

static void check(struct farm *f)
{
    assert_int_equal(store_check(f->store, true, check_event, NULL), 0);
}

/* No chunk has a shard elsewhere than it should be. */
static int note_misplaced(const struct store_place *p, const struct blob_chunk *c, void *arg)
{
    struct farm *f = arg;
    assert_false(blob_misplaced(f->d.blob, c));
    return 0;
}

static void expect_placed(struct farm *f)
{
    struct store_walk_place place = {.bucket = 0};
    while (!place.end)
        assert_int_equal(store_chunks(f->store, &place, note_misplaced, f), 0);
}

FARM_CASE(a_new_disk_gets_its_share, 6)
{
    put_all(f);
    start(f);
    pass_time(60 * RT_S);
    assert_int_equal(status_of(f).bytes, 0);
    disks_add(&f->d);
    disks_open_node(&f->d, 6);
    WAIT_UNTIL(status_of(f).bytes > 0, 60 * RT_S);
    pass_time(60 * RT_S);
    expect_placed(f);
    read_all(f);
    check(f);
    assert_true(needles_of(f, 6) > 10);
    uint64_t moved = status_of(f).bytes;
    pass_time(600 * RT_S);
    assert_int_equal(status_of(f).bytes, moved); /* and then there is peace */
}

FARM_CASE(a_drained_disk_is_gone_once_it_is_empty, 7)
{
    put_all(f);
    start(f);
    pass_time(20 * RT_S);
    assert_true(needles_of(f, 3) > 0);
    set_role(f, 3, NODE_DRAINING);
    WAIT_UNTIL(role_of(f, 3) == NODE_RETIRED, 300 * RT_S);
    assert_int_equal(needles_of(f, 3), 0);
    read_all(f);
    check(f);
}

FARM_CASE(a_write_under_way_keeps_a_drained_disk, 3)
{
    static uint8_t data[8 * MIB];
    struct blob_writer *w;
    struct blob_layout layout;
    struct arena a;
    arena_init(&a, 0);
    start(f);
    pass_time(20 * RT_S);
    assert_int_equal(blob_begin(f->d.blob, BLOB_STANDARD, 2 * sizeof(data), &w), 0);
    assert_int_equal(blob_write(w, data, sizeof(data)), 0);
    set_role(f, 2, NODE_DRAINING);
    pass_time(300 * RT_S);
    assert_int_equal(role_of(f, 2), NODE_DRAINING);
    assert_int_equal(blob_write(w, data, sizeof(data)), 0);
    assert_int_equal(blob_finish(w, &a, &layout), 0);
    pass_time(300 * RT_S);
    assert_int_equal(role_of(f, 2), NODE_DRAINING);
    blob_delete_layout(f->d.blob, &layout);
    WAIT_UNTIL(role_of(f, 2) == NODE_RETIRED, 300 * RT_S);
    arena_release(&a);
}

FARM_CASE(drained_one_after_the_other_down_to_one, 4)
{
    put_all(f);
    start(f);
    for (unsigned i = 0; i < 3; i++) {
        set_role(f, i, NODE_DRAINING);
        WAIT_UNTIL(role_of(f, i) == NODE_RETIRED, 600 * RT_S);
        read_all(f);
    }
    check(f);
}

FARM_CASE(writes_and_deletes_go_on_meanwhile, 7)
{
    char key[16];
    put_all(f);
    f->config.move_bytes_per_s = 2 * MIB;
    start(f);
    pass_time(20 * RT_S);
    set_role(f, 1, NODE_DRAINING);
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = round % 5; i < OBJECTS; i += 5) {
            snprintf(key, sizeof(key), "k-%u", i);
            if (round % 4 == 0)
                farm_delete(f, key);
            farm_put(f, key, len_of(i), i);
        }
        pass_time(300 * RT_MS);
    }
    read_all(f);
    WAIT_UNTIL(role_of(f, 1) == NODE_RETIRED, 600 * RT_S);
    read_all(f);
    check(f);
}

FARM_CASE(it_goes_on_after_restarts, 7)
{
    put_all(f);
    f->config.move_bytes_per_s = 300 * KIB;
    start(f);
    pass_time(20 * RT_S);
    uint64_t moved = 0, ideal = needles_of(f, 2);
    for (unsigned i = 0; i < 8; i++) {
        set_role(f, 2, NODE_DRAINING);
        pass_time(7 * RT_S);
        moved += status_of(f).items;
        farm_restart(f);
    }
    assert_true(moved > 0);
    set_role(f, 2, NODE_DRAINING);
    WAIT_UNTIL(role_of(f, 2) == NODE_RETIRED, 600 * RT_S);
    assert_in_range(moved + status_of(f).items, ideal, 3 * ideal);
    read_all(f);
    check(f);
}

FARM_CASE(it_stops_and_resumes, 7)
{
    put_all(f);
    f->config.move_bytes_per_s = 300 * KIB;
    start(f);
    struct job *job = schedule_find(jobs_schedule(f->jobs), STR("rebalance"));
    pass_time(20 * RT_S);
    set_role(f, 2, NODE_DRAINING);
    WAIT_UNTIL(status_of(f).bytes > 0, 60 * RT_S);
    assert_int_equal(job_pause(job, true), 0);
    pass_time(30 * RT_S);
    uint64_t bytes = status_of(f).bytes;
    pass_time(600 * RT_S);
    assert_int_equal(status_of(f).bytes, bytes);
    read_all(f);
    assert_int_equal(job_pause(job, false), 0);
    WAIT_UNTIL(role_of(f, 2) == NODE_RETIRED, 600 * RT_S);
    read_all(f);
}

FARM_CASE(a_drain_that_is_taken_back, 7)
{
    put_all(f);
    f->config.move_bytes_per_s = 1 * MIB;
    start(f);
    pass_time(20 * RT_S);
    set_role(f, 2, NODE_DRAINING);
    pass_time(15 * RT_S);
    set_role(f, 2, NODE_ACTIVE);
    pass_time(300 * RT_S);
    expect_placed(f);
    assert_true(needles_of(f, 2) > 0);
    assert_int_equal(role_of(f, 2), NODE_ACTIVE);
    read_all(f);
    check(f);
}

FARM_CASE(a_disk_that_dies_while_it_is_filled, 6)
{
    put_all(f);
    f->config.move_bytes_per_s = 1 * MIB;
    start(f);
    pass_time(20 * RT_S);
    disks_add(&f->d);
    disks_open_node(&f->d, 6);
    WAIT_UNTIL(status_of(f).bytes > 0, 60 * RT_S);
    disk_goes(&f->d, 6);
    pass_time(60 * RT_S);
    read_all(f);
}

/* ---- disks that stay gone -------------------------------------------------------------------- */

#define GONE 2

static int FIBER give_up(void *arg, uint32_t number, bool away)
{
    enum node_role role = away ? NODE_AWAY : NODE_ACTIVE;
    bool changed = role_of(arg, number) != role;
    set_role(arg, number, role);
    return changed;
}

/* A start without the disk: it ends after so long. */
static void run_without_it(struct farm *f, uint64_t ns)
{
    farm_restart(f);
    disk_goes(&f->d, GONE);
    pass_time(ns);
}

static void start_with_spares(struct farm *f)
{
    f->config.disk_away = give_up;
    f->config.spare_after_ms = 600 * 1000;
    start(f);
}

FARM_CASE(a_disk_that_stays_gone_over_restarts_is_given_up, 5)
{
    start_with_spares(f);
    for (unsigned i = 0; i < 5; i++) {
        run_without_it(f, 115 * RT_S);
        assert_int_equal(role_of(f, GONE), NODE_ACTIVE);
    }
    run_without_it(f, 115 * RT_S); /* the row lags a little behind each end */
    assert_int_equal(role_of(f, GONE), NODE_AWAY);
}

FARM_CASE(a_disk_that_was_back_starts_anew, 5)
{
    start_with_spares(f);
    run_without_it(f, 500 * RT_S);
    farm_restart(f);
    pass_time(5 * RT_S);
    run_without_it(f, 500 * RT_S);
    assert_int_equal(role_of(f, GONE), NODE_ACTIVE);
    pass_time(150 * RT_S);
    assert_int_equal(role_of(f, GONE), NODE_AWAY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_disk_gets_its_share),
        cmocka_unit_test(a_drained_disk_is_gone_once_it_is_empty),
        cmocka_unit_test(a_write_under_way_keeps_a_drained_disk),
        cmocka_unit_test(drained_one_after_the_other_down_to_one),
        cmocka_unit_test(writes_and_deletes_go_on_meanwhile),
        cmocka_unit_test(it_goes_on_after_restarts),
        cmocka_unit_test(it_stops_and_resumes),
        cmocka_unit_test(a_drain_that_is_taken_back),
        cmocka_unit_test(a_disk_that_dies_while_it_is_filled),
        cmocka_unit_test(a_disk_that_stays_gone_over_restarts_is_given_up),
        cmocka_unit_test(a_disk_that_was_back_starts_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
