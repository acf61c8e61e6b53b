/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Another name for an object: what it holds goes along, and nothing else is touched. */

#include "store_help.h"

static const size_t sizes[] = {0, 1, 512, 513, 8192, 8193, 200000};

static int rename_if(struct store_home *h, struct str from, struct str to,
                     const struct store_conditions *conditions)
{
    struct store_reader *r;
    struct store_written written;
    int err = store_get(h->store, h->bucket, from, STORE_CURRENT, NULL, &r);
    if (err < 0)
        return err;
    const struct store_object *o = store_reader_object(r);
    struct store_renaming what = {.from = from,
                                  .to = to,
                                  .seq = o->seq,
                                  .old_seal = o->attrs.seal,
                                  .seal = o->attrs.seal,
                                  .conditions = conditions};
    uint64_t mtime_ms = o->mtime_ms;
    err = store_rename(h->store, h->bucket, &what, &written);
    if (err == 0)
        assert_int_equal(written.mtime_ms, mtime_ms);
    store_reader_close(r);
    return err;
}

static void rename_to(struct store_home *h, struct str from, struct str to)
{
    assert_int_equal(rename_if(h, from, to, NULL), 0);
}

static int any_fault(const struct store_check_event *e, void *arg)
{
    if (e->err < 0)
        print_message("%s: %.*s\n", e->text, STR_FMT(e->key));
    *(int *)arg += e->err < 0;
    return 0;
}

static void expect_sound(struct store_home *h)
{
    int faults = 0;
    assert_int_equal(store_check(h->store, true, any_fault, &faults), 0);
    assert_int_equal(faults, 0);
}

CASE(objects_of_every_size_get_another_name)
{
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct str data = bytes_of(h, sizes[i], 3);
        put(h, STR("from"), data);
        size_t chunks = home_chunks(h);
        rename_to(h, STR("from"), STR("to"));
        expect_absent(h, STR("from"));
        expect(h, STR("to"), data);
        assert_int_equal(usage(h).objects, 1);
        assert_int_equal(usage(h).bytes, data.len);
        assert_int_equal(collect_all(h), 0);
        assert_int_equal(home_chunks(h), chunks);
        home_close(h);
        home_open(h);
        expect(h, STR("to"), data);
        expect_sound(h);
        assert_int_equal(rename_if(h, STR("from"), STR("to"), NULL), -ERR_NO_SUCH_KEY);
        bool existed;
        assert_int_equal(store_delete(h->store, h->bucket, STR("to"), NULL, &existed), 0);
        collect_all(h);
        assert_int_equal(home_chunks(h), 0);
    }
}

CASE(what_had_the_new_name_goes)
{
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (size_t j = 0; j < ARRAY_LEN(sizes); j++) {
            struct str data = bytes_of(h, sizes[i], 3);
            put(h, STR("from"), data);
            size_t chunks = home_chunks(h);
            put(h, STR("to"), bytes_of(h, sizes[j], 4));
            rename_to(h, STR("from"), STR("to"));
            expect(h, STR("to"), data);
            assert_int_equal(usage(h).objects, 1);
            assert_int_equal(usage(h).bytes, data.len);
            collect_all(h);
            assert_int_equal(home_chunks(h), chunks);
            expect_sound(h);
            bool existed;
            assert_int_equal(store_delete(h->store, h->bucket, STR("to"), NULL, &existed), 0);
            collect_all(h);
        }
}

CASE(conditions_are_about_the_new_name)
{
    struct store_conditions none = {.if_none_match = STR("*")}, some = {.if_match = STR("*")};
    put(h, STR("a"), bytes_of(h, 100, 1));
    put(h, STR("b"), bytes_of(h, 100, 2));
    assert_int_equal(rename_if(h, STR("a"), STR("b"), &none), -ERR_PRECONDITION_FAILED);
    assert_int_equal(rename_if(h, STR("a"), STR("c"), &some), -ERR_NO_SUCH_KEY);
    expect(h, STR("a"), bytes_of(h, 100, 1));
    expect(h, STR("b"), bytes_of(h, 100, 2));
    assert_int_equal(rename_if(h, STR("a"), STR("c"), &none), 0);
    assert_int_equal(rename_if(h, STR("c"), STR("b"), &some), 0);
    expect(h, STR("b"), bytes_of(h, 100, 1));
    assert_int_equal(rename_if(h, STR("b"), STR("b"), NULL), -EINVAL);
}

CASE(nothing_grows_so_no_quota_is_asked)
{
    struct store_conditions full = {.quota = {.bytes = 50, .objects = 1}};
    put(h, STR("a"), bytes_of(h, 100, 1));
    put(h, STR("b"), bytes_of(h, 100, 2));
    assert_int_equal(rename_if(h, STR("a"), STR("c"), &full), 0);
}

CASE(another_object_than_was_looked_at_stays)
{
    struct store_written written;
    struct store_renaming what = {.from = STR("a"), .to = STR("b"), .seq = 1};
    put(h, STR("a"), bytes_of(h, 100, 1));
    assert_int_equal(store_rename(h->store, h->bucket, &what, &written), -ERR_CONFLICT);
    expect(h, STR("a"), bytes_of(h, 100, 1));
    expect_absent(h, STR("b"));
}

CASE(where_versions_are_kept_nothing_is_renamed)
{
    put(h, STR("a"), bytes_of(h, 100, 1));
    assert_int_equal(store_bucket_set_versioning(h->store, h->bucket, STORE_VERSIONING_ENABLED), 0);
    assert_int_equal(rename_if(h, STR("a"), STR("b"), NULL), -ERR_BUCKET_STATE);
    assert_int_equal(store_bucket_set_versioning(h->store, h->bucket, STORE_VERSIONING_SUSPENDED),
                     0);
    assert_int_equal(rename_if(h, STR("a"), STR("b"), NULL), -ERR_BUCKET_STATE);
    expect(h, STR("a"), bytes_of(h, 100, 1));
}

struct told {
    unsigned count;
    bool created, removed; /* in this order */
};

static int keep_event(struct store_event *e, void *arg)
{
    struct told *t = arg;
    if (t->count++ == 0)
        t->created = e->what == STORE_CREATED && str_eq(e->key, STR("b")) && e->len_bytes == 100;
    else
        t->removed = e->what == STORE_REMOVED && str_eq(e->key, STR("a"));
    return 0;
}

CASE(a_new_name_is_told_of_and_then_the_old)
{
    struct told t = {0};
    struct store_notice notice = {.wants = keep_event, .arg = &t, .arena = &h->arena};
    struct store_conditions c = {.notice = &notice};
    put(h, STR("a"), bytes_of(h, 100, 1));
    assert_int_equal(rename_if(h, STR("a"), STR("b"), &c), 0);
    assert_int_equal(t.count, 2);
    assert_true(t.created && t.removed);
}

/* ---- several disks -------------------------------------------------------------------------- */

static void more_disks(struct store_home *h)
{
    home_close(h);
    while (h->more_count < 5)
        home_more_disk(h);
    home_open(h);
}

CASE(what_wants_repair_is_found_under_the_new_name)
{
    more_disks(h);
    node_set_gone(nodes_get(&h->nodes, 2), -ENODEV);
    node_set_gone(nodes_get(&h->nodes, 4), -ENODEV);
    struct store_repair_result r;
    struct str data = bytes_of(h, 3000000, 2);
    put(h, STR("old"), data);
    rename_to(h, STR("old"), STR("new"));
    home_close(h);
    home_open(h);
    assert_int_equal(store_repair(h->store, NULL, NULL, &r), 0);
    assert_int_equal(r.rows, 1);
    assert_int_equal(r.repaired, 1);
    expect(h, STR("new"), data);
    collect_all(h);
    assert_int_equal(home_chunks(h), 6);
    expect_sound(h);
}

static int keep_chunk(const struct store_place *p, const struct blob_chunk *c, void *arg)
{
    struct blob_chunk *ret = arg;
    struct blob_shard *shards = malloc(c->shard_count * sizeof(*shards));
    assert_non_null(shards);
    memcpy(shards, c->shards, c->shard_count * sizeof(*shards));
    *ret = *c;
    ret->shards = shards;
    return 0;
}

/* A shard that moved away and, under the new name, came back: the row of its first move, which
 * names the old key, must not take it along. */
CASE(a_shard_that_came_back_under_the_new_name_stays)
{
    more_disks(h);
    struct blob_chunk old, new;
    struct store_place place = {.bucket = h->bucket, .key = STR("old")};
    struct str data = bytes_of(h, 200000, 1);
    put(h, STR("old"), data);
    size_t needles = home_chunks(h);
    assert_int_equal(store_object_chunks(h->store, h->bucket, STR("old"), keep_chunk, &old), 0);
    struct blob_shard shards[BLOB_SHARDS_MAX];
    memcpy(shards, old.shards, old.shard_count * sizeof(*shards));
    new = old;
    new.shards = shards;
    for (shards[0].disk = 0;; shards[0].disk++) { /* one that has none of it */
        bool taken = false;
        for (unsigned i = 0; i < old.shard_count; i++)
            taken = taken || old.shards[i].disk == shards[0].disk;
        if (!taken)
            break;
    }
    assert_int_equal(store_relayout(h->store, &place, &old, &new), 0);
    rename_to(h, STR("old"), STR("new"));
    place.key = STR("new");
    rt_sleep_until(rt_now() + 20 * RT_MS); /* rows of one chunk, due at one time, are one row */
    assert_int_equal(store_relayout(h->store, &place, &new, &old), 0);
    collect_all(h);
    assert_int_equal(home_chunks(h), needles);
    expect(h, STR("new"), data);
    expect_sound(h);
    free((void *)old.shards);
}

/* ---- a sweep meanwhile ---------------------------------------------------------------------- */

struct ahead {
    struct store_home *h;
    unsigned steps, at;
    bool done;
};

/* From ahead of the walk to behind it. */
static int FIBER rename_backwards(void *arg)
{
    struct ahead *a = arg;
    if (a->steps++ == a->at) {
        rename_to(a->h, STR("z"), STR("a"));
        a->done = true;
    }
    return 0;
}

CASE(a_sweep_that_meets_neither_name_takes_nothing)
{
    char key[16];
    struct str data = bytes_of(h, 50000, 1);
    for (unsigned i = 0; i < 600; i++) {
        snprintf(key, sizeof(key), "m-%u", i);
        put(h, str_from(key), bytes_of(h, 10, i));
    }
    struct ahead a = {.h = h, .done = true};
    for (a.at = 0; a.done; a.at++) {
        struct store_sweep_result result;
        put(h, STR("z"), data);
        home_close(h);
        home_open(h);
        a.done = false;
        a.steps = 0;
        assert_int_equal(store_sweep(h->store, h->session, rename_backwards, &a, &result), 0);
        assert_int_equal(result.orphans_deleted, 0);
        expect(h, a.done ? STR("a") : STR("z"), data);
        collect_all(h);
    }
    assert_true(a.at > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_of_every_size_get_another_name),
        cmocka_unit_test(what_had_the_new_name_goes),
        cmocka_unit_test(conditions_are_about_the_new_name),
        cmocka_unit_test(nothing_grows_so_no_quota_is_asked),
        cmocka_unit_test(another_object_than_was_looked_at_stays),
        cmocka_unit_test(where_versions_are_kept_nothing_is_renamed),
        cmocka_unit_test(a_new_name_is_told_of_and_then_the_old),
        cmocka_unit_test(what_wants_repair_is_found_under_the_new_name),
        cmocka_unit_test(a_shard_that_came_back_under_the_new_name_stays),
        cmocka_unit_test(a_sweep_that_meets_neither_name_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
