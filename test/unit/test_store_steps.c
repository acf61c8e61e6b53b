/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Steps of a longer work: each is done once, and what came of it is told again. */

#include "store_help.h"
#include "store/steps.h"

static int set_tag(const struct store_object *o, struct store_attrs *attrs, void *arg)
{
    attrs->tags = arg;
    attrs->tag_count = 1;
    return 0;
}

static struct store_step deletion_step(uint64_t number, struct store_step_item *items, size_t count)
{
    return (struct store_step){
        .work = 7, .number = number, .items = items, .count = count, .owner = STR("owner")};
}

static size_t count_versions(struct store_home *h)
{
    struct store_versions_page page;
    const struct store_versions_query q = {.max = 1000};
    assert_int_equal(store_list_versions(h->store, &h->arena, h->bucket, &q, &page), 0);
    size_t count = page.count;
    arena_reset(&h->arena);
    return count;
}

static void versioned(struct store_home *h)
{
    assert_int_equal(store_bucket_set_versioning(h->store, h->bucket, STORE_VERSIONING_ENABLED), 0);
}

static bool has_tag(struct store_home *h, struct str key, struct str value)
{
    struct store_reader *r;
    assert_int_equal(store_get(h->store, h->bucket, key, STORE_CURRENT, NULL, &r), 0);
    const struct store_attrs *attrs = &store_reader_object(r)->attrs;
    bool has = attrs->tag_count == 1 && str_eq(attrs->tags[0].value, value);
    store_reader_close(r);
    return has;
}

/* Under a delete marker, perhaps. */
static void expect_deleted(struct store_home *h, struct str key)
{
    _cleanup_buf_ struct buf got;
    buf_init(&got, 0);
    assert_int_equal(get(h, key, &got), -ERR_NO_SUCH_KEY);
}

CASE(a_step_that_is_asked_for_again_writes_no_second_marker)
{
    struct store_step_item items[2] = {{.key = STR("a")}, {.key = STR("gone")}}, again[2];
    struct store_step step = deletion_step(1, items, 2);
    versioned(h);
    put(h, STR("a"), STR("x"));
    memcpy(again, items, sizeof(again));
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    assert_false(step.again);
    assert_true(items[0].marker && items[1].marker && items[0].seq && items[0].result == 0);
    assert_int_equal(count_versions(h), 3);
    /* Somebody writes the key anew: that is not the step's to delete. */
    put(h, STR("a"), STR("new"));
    home_close(h);
    home_open(h);
    step = deletion_step(1, again, 2);
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    assert_true(step.again && again[0].marker && again[0].seq == items[0].seq);
    assert_int_equal(count_versions(h), 4);
    expect(h, STR("a"), STR("new"));
    step = deletion_step(2, again, 2);
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    assert_false(step.again);
    expect_deleted(h, STR("a"));
}

CASE(what_was_refused_stays_and_is_told_as_it_was)
{
    struct store_step_item items[3] = {{.key = STR("a"), .refused = -ERR_ACCESS_DENIED},
                                       {.key = STR("b")},
                                       {.key = STR("c"), .refused = -ERR_NO_SUCH_VERSION}};
    struct store_step step = deletion_step(1, items, 3);
    put(h, STR("a"), STR("x"));
    put(h, STR("b"), STR("x"));
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    expect(h, STR("a"), STR("x"));
    expect_absent(h, STR("b"));
    /* The right was given meanwhile: what is done is done. */
    struct store_step_item again[3] = {{.key = STR("a")}, {.key = STR("b")}, {.key = STR("c")}};
    step = deletion_step(1, again, 3);
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    assert_true(step.again);
    assert_int_equal(again[0].result, -ERR_ACCESS_DENIED);
    assert_int_equal(again[1].result, 0);
    assert_int_equal(again[2].result, -ERR_NO_SUCH_VERSION);
    expect(h, STR("a"), STR("x"));
}

CASE(all_refused_is_a_step_too)
{
    struct store_step_item item = {.key = STR("a"), .refused = -ERR_ACCESS_DENIED};
    struct store_step step = deletion_step(1, &item, 1);
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    assert_int_equal(item.result, -ERR_ACCESS_DENIED);
    item.refused = 0;
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    assert_true(step.again);
    assert_int_equal(item.result, -ERR_ACCESS_DENIED);
}

CASE(changes_of_many_are_one_step)
{
    struct store_pair first = {STR("k"), STR("1")}, second = {STR("k"), STR("2")};
    struct store_step_item items[4] = {
        {.key = STR("a")},
        {.key = STR("absent")},
        {.key = STR("b"), .version = {.kind = STORE_VERSION_SEQ, .seq = 5}},
        {.key = STR("c")}};
    struct store_step step = {
        .work = 7, .number = 1, .items = items, .count = 4, .change = set_tag, .arg = &first};
    put(h, STR("a"), STR("x"));
    put(h, STR("b"), STR("x"));
    put(h, STR("c"), STR("x"));
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    assert_int_equal(items[0].result, 0);
    assert_int_equal(items[1].result, -ERR_NO_SUCH_KEY);
    assert_int_equal(items[2].result, -ERR_NO_SUCH_VERSION);
    assert_int_equal(items[3].result, 0);
    assert_true(has_tag(h, STR("a"), STR("1")) && has_tag(h, STR("c"), STR("1")));
    step.arg = &second;
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    assert_true(step.again && items[1].result == -ERR_NO_SUCH_KEY);
    assert_true(has_tag(h, STR("a"), STR("1")));
    step.number = 2;
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    assert_true(has_tag(h, STR("a"), STR("2")));
    expect(h, STR("c"), STR("x"));
}

CASE(locks_hold_and_each_item_fails_alone)
{
    struct store_attrs attrs = {.owner = STR("owner"), .lock = {.hold = STORE_HOLD_ON}};
    struct store_etag etag = etag_of(STR("x"));
    struct store_written written;
    struct store_writer *w;
    versioned(h);
    assert_int_equal(store_put_begin(h->store, h->bucket, STR("held"), 1, &w), 0);
    assert_int_equal(store_write(w, "x", 1), 0);
    assert_int_equal(store_put_commit(w, &attrs, &etag, NULL, NULL, &written), 0);
    put(h, STR("free"), STR("x"));
    struct store_step_item items[2] = {{.key = STR("held"),
                                        .version = {.kind = STORE_VERSION_SEQ, .seq = written.seq},
                                        .bypass = true},
                                       {.key = STR("free")}};
    struct store_step step = deletion_step(1, items, 2);
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    assert_int_equal(items[0].result, -ERR_OBJECT_LOCKED);
    assert_int_equal(items[1].result, 0);
    expect(h, STR("held"), STR("x"));
    expect_deleted(h, STR("free"));
}

CASE(a_step_of_the_past_is_refused)
{
    struct store_step_item items[2] = {{.key = STR("a")}, {.key = STR("b")}};
    struct store_step step = deletion_step(5, items, 2);
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    step.number = 4;
    assert_int_equal(store_step_run(h->store, h->bucket, &step), -ERR_CORRUPT);
    step.number = 5;
    step.count = 1;
    assert_int_equal(store_step_run(h->store, h->bucket, &step), -ERR_CORRUPT);
    step.work = 8;
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    assert_false(step.again);
}

CASE(what_is_forgotten_is_done_anew)
{
    struct store_step_item item = {.key = STR("a")};
    struct store_step step = deletion_step(1, &item, 1);
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    assert_int_equal(store_step_forget(h->store, h->bucket, 7), 0);
    assert_int_equal(store_step_forget(h->store, h->bucket, 7), 0);
    put(h, STR("a"), STR("x"));
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    assert_false(step.again);
    expect_absent(h, STR("a"));
}

static int any_step(struct meta_tx *tx, void *arg)
{
    return rows_any(tx, KEY_STEPS, arg);
}

CASE(a_bucket_that_goes_takes_its_steps_along)
{
    struct store_step_item item = {.key = STR("a")};
    struct store_step step = deletion_step(1, &item, 1);
    bool any = false, done = false;
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    assert_int_equal(meta_read(h->meta, h->bucket, any_step, &any), 0);
    assert_true(any);
    assert_int_equal(store_bucket_delete(h->store, STR("bucket")), 0);
    assert_int_equal(store_step_run(h->store, h->bucket, &step), -ERR_NO_SUCH_BUCKET);
    for (unsigned i = 0; i < 100 && !done; i++)
        assert_int_equal(bucket_drain(h->store, h->bucket, &done), 0);
    assert_int_equal(meta_read(h->meta, h->bucket, any_step, &any), 0);
    assert_false(any);
}

/* ---- events --------------------------------------------------------------------------------- */

struct told {
    struct store_notice notice;
    unsigned commits, events;
};

static int wants(struct store_event *e, void *arg)
{
    e->name = STR("event");
    return 1;
}

static void committed(struct bucket_id b, const struct store_event *events, size_t count, void *arg)
{
    struct told *t = arg;
    t->commits++;
    t->events += (unsigned)count;
}

CASE(a_step_is_told_of_once)
{
    struct store_pair tag = {STR("k"), STR("1")};
    struct told told = {
        .notice = {.wants = wants, .committed = committed, .arg = &told, .arena = &h->arena}};
    struct store_step_item items[2] = {{.key = STR("a")}, {.key = STR("b")}};
    struct store_step step = deletion_step(1, items, 2);
    step.notice = &told.notice;
    step.change = set_tag;
    step.arg = &tag;
    put(h, STR("a"), STR("x"));
    put(h, STR("b"), STR("x"));
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    assert_int_equal(told.commits, 1);
    assert_int_equal(told.events, 2);
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    assert_int_equal(told.events, 2);
    step.number = 2;
    step.change = NULL;
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    assert_int_equal(told.events, 4);
    assert_int_equal(store_step_run(h->store, h->bucket, &step), 0);
    assert_int_equal(told.events, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_that_is_asked_for_again_writes_no_second_marker),
        cmocka_unit_test(what_was_refused_stays_and_is_told_as_it_was),
        cmocka_unit_test(all_refused_is_a_step_too),
        cmocka_unit_test(changes_of_many_are_one_step),
        cmocka_unit_test(locks_hold_and_each_item_fails_alone),
        cmocka_unit_test(a_step_of_the_past_is_refused),
        cmocka_unit_test(what_is_forgotten_is_done_anew),
        cmocka_unit_test(a_bucket_that_goes_takes_its_steps_along),
        cmocka_unit_test(a_step_is_told_of_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
