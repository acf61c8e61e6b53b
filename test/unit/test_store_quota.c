/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Quotas of buckets: held in the transaction that commits, so never passed. */

#include "store_help.h"

#define FIBERS 8
#define ROUNDS 20
#define LIMIT  37

static struct store_conditions with_quota(uint64_t bytes, uint64_t objects)
{
    return (struct store_conditions){.quota = {bytes, objects}};
}

static struct store_usage usage_of(struct store_home *h)
{
    struct store_usage u;
    assert_int_equal(store_usage(h->store, h->bucket, &u), 0);
    return u;
}

CASE(a_quota_is_kept_told_and_taken_away)
{
    struct store_bucket b;
    struct store_quota q = {1000, 5};
    assert_int_equal(store_quota_put(h->store, h->bucket, &q), 0);
    home_close(h);
    home_open(h);
    assert_int_equal(store_bucket_get(h->store, &h->arena, STR("bucket"), &b), 0);
    assert_true(store_quota_of(b.settings, &q));
    assert_int_equal(q.bytes, 1000);
    assert_int_equal(q.objects, 5);
    store_bucket_release(&b);
    q = (struct store_quota){0};
    assert_int_equal(store_quota_put(h->store, h->bucket, &q), 0);
    assert_int_equal(store_bucket_get(h->store, &h->arena, STR("bucket"), &b), 0);
    assert_false(store_quota_of(b.settings, &q));
    store_bucket_release(&b);
}

CASE(a_quota_that_cannot_be_read_lets_nothing_grow)
{
    struct store_bucket b;
    struct store_conditions c = {0};
    assert_int_equal(store_setting_put(h->store, h->bucket, STORE_SETTING_QUOTA, STR("lots")), 0);
    assert_int_equal(store_bucket_get(h->store, &h->arena, STR("bucket"), &b), 0);
    assert_true(store_quota_of(b.settings, &c.quota));
    store_bucket_release(&b);
    assert_int_equal(put_if(h, STR("k"), STR("two"), &c), -ERR_QUOTA_EXCEEDED);
}

CASE(bytes_and_objects_are_held_each)
{
    struct store_conditions c = with_quota(10, 0);
    bool existed;
    assert_int_equal(put_if(h, STR("a"), STR("123456"), &c), 0);
    assert_int_equal(put_if(h, STR("b"), STR("1234"), &c), 0);
    assert_int_equal(put_if(h, STR("c"), STR("1"), &c), -ERR_QUOTA_EXCEEDED);
    assert_int_equal(put_if(h, STR("c"), STR(""), &c), 0); /* weighs nothing */
    assert_int_equal(put_if(h, STR("a"), STR("1234567"), &c), -ERR_QUOTA_EXCEEDED);
    assert_int_equal(put_if(h, STR("a"), STR("12345"), &c), 0);
    assert_int_equal(put_if(h, STR("a"), STR("123456"), &c), 0);
    c = with_quota(0, 3);
    assert_int_equal(put_if(h, STR("d"), STR("x"), &c), -ERR_QUOTA_EXCEEDED);
    assert_int_equal(put_if(h, STR("c"), STR("longer than before"), &c), 0);
    assert_int_equal(store_delete(h->store, h->bucket, STR("c"), NULL, &existed), 0);
    assert_int_equal(put_if(h, STR("d"), STR("x"), &c), 0);
    struct store_usage u = usage_of(h);
    assert_int_equal(u.objects, 3);
    assert_int_equal(u.bytes, 11);
}

/* Beyond a quota that was lowered, or set late, what is there may shrink and go. */
CASE(a_bucket_beyond_its_quota_can_become_less)
{
    struct store_conditions c = with_quota(4, 1);
    bool existed;
    put(h, STR("a"), STR("123456789"));
    put(h, STR("b"), STR("123456789"));
    assert_int_equal(put_if(h, STR("a"), STR("12345678"), &c), 0);
    assert_int_equal(put_if(h, STR("a"), STR("123456789"), &c), -ERR_QUOTA_EXCEEDED);
    assert_int_equal(store_delete(h->store, h->bucket, STR("a"), &c, &existed), 0);
}

CASE(what_is_refused_leaves_nothing)
{
    struct store_conditions c = with_quota(100000, 0);
    struct str large = bytes_of(h, 60000, 1), beside = bytes_of(h, 4000, 2);
    assert_int_equal(put_if(h, STR("a"), large, &c), 0);
    size_t chunks = home_chunks(h);
    assert_int_equal(put_if(h, STR("b"), large, &c), -ERR_QUOTA_EXCEEDED);
    assert_int_equal(home_chunks(h), chunks);
    c = with_quota(60001, 0);
    assert_int_equal(put_if(h, STR("b"), beside, &c), -ERR_QUOTA_EXCEEDED);
    struct store_usage u = usage_of(h);
    assert_int_equal(u.objects, 1);
    assert_int_equal(u.bytes, 60000);
}

/* ---- many at once --------------------------------------------------------------------------- */

struct crowd {
    struct store_home *h;
    unsigned number;
    uint32_t *accepted; /* atomic */
};

static int FIBER push(void *arg)
{
    struct crowd *c = arg;
    struct store_conditions conditions = with_quota(0, LIMIT);
    for (unsigned i = 0; i < ROUNDS; i++) {
        char room[32];
        int len = snprintf(room, sizeof(room), "k-%u-%u", c->number, i);
        struct store_writer *w;
        struct store_attrs attrs = {.owner = STR("me")};
        struct store_etag etag = {.parts = 0};
        struct store_written written;
        CHECK(store_put_begin(c->h->store, c->h->bucket, str_make(room, (size_t)len), 1, &w) == 0);
        CHECK(store_write(w, "x", 1) == 0);
        int r = store_put_commit(w, &attrs, &etag, NULL, &conditions, &written);
        CHECK(r == 0 || r == -ERR_QUOTA_EXCEEDED);
        if (r == 0)
            __atomic_fetch_add(c->accepted, 1, __ATOMIC_RELAXED);
    }
    return 0;
}

CASE(a_crowd_fills_it_to_the_last_object_and_not_beyond)
{
    struct crowd crowds[FIBERS];
    struct rt_fiber *fibers[FIBERS];
    uint32_t accepted = 0;
    for (unsigned i = 0; i < FIBERS; i++) {
        crowds[i] = (struct crowd){h, i, &accepted};
        assert_int_equal(rt_spawn(&fibers[i], "push", push, &crowds[i]), 0);
    }
    for (unsigned i = 0; i < FIBERS; i++)
        rt_join(fibers[i]);
    assert_int_equal(accepted, LIMIT);
    assert_int_equal(usage_of(h).objects, LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quota_is_kept_told_and_taken_away),
        cmocka_unit_test(a_quota_that_cannot_be_read_lets_nothing_grow),
        cmocka_unit_test(bytes_and_objects_are_held_each),
        cmocka_unit_test(a_bucket_beyond_its_quota_can_become_less),
        cmocka_unit_test(what_is_refused_leaves_nothing),
        cmocka_unit_test(a_crowd_fills_it_to_the_last_object_and_not_beyond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
