/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* The store in memory: what its crash keeps. */

#include "test/unit/kv_help.h"

static void put_unsynced(struct kv *kv, const char *key, const char *value)
{
    struct kv_batch *b;
    assert_int_equal(kv_batch_new(kv, &b), 0);
    assert_int_equal(kv_batch_put(b, str_from(key), str_from(value)), 0);
    assert_int_equal(kv_write(kv, b, false), 0);
    kv_batch_free(b);
}

static void a_crash_keeps_the_synced_and_as_many_more_as_asked(void **state)
{
    for (uint64_t keep = 0; keep < 4; keep++) {
        struct store *s = *state;
        put(s->kv, "a", "1");
        put(s->kv, "b", "1");
        put_unsynced(s->kv, "a", "2");
        put_unsynced(s->kv, "b", "2");
        assert_int_equal(kv_mem_unsynced(s->mem), 2);
        kv_mem_crash(s->mem, keep);
        kv_close(s->kv);
        store_open(s, true);
        expect_get(s->kv, NULL, "a", keep >= 1 ? "2" : "1");
        expect_get(s->kv, NULL, "b", keep >= 2 ? "2" : "1");
    }
}

static void a_handle_from_before_the_crash_does_nothing(void **state)
{
    struct store *s = *state;
    struct kv *old = s->kv;
    struct kv_snapshot *snap;
    struct kv_iter *it;
    struct kv_batch *b;
    struct buf buf;
    buf_init(&buf, 0);
    put(old, "a", "1");
    put_unsynced(old, "b", "1");
    assert_int_equal(kv_snapshot_new(old, &snap), 0);
    assert_int_equal(kv_iter_new(old, NULL, NULL, 0, &it), 0);
    kv_iter_seek(it, STR("b"));
    kv_mem_crash(s->mem, 0);
    store_open(s, true);
    assert_int_equal(kv_get(old, snap, STR("a"), 0, &buf), -ERR_CLOSED);
    kv_iter_prev(it);
    assert_false(kv_iter_valid(it));
    assert_int_equal(kv_iter_error(it), -ERR_CLOSED);
    assert_int_equal(kv_batch_new(old, &b), 0);
    kv_batch_put(b, STR("a"), STR("2"));
    assert_int_equal(kv_write(old, b, true), -ERR_CLOSED);
    kv_batch_free(b);
    kv_iter_free(it);
    kv_snapshot_free(old, snap);
    kv_close(old);
    expect_get(s->kv, NULL, "a", "1");
    expect_get(s->kv, NULL, "b", NULL);
    buf_release(&buf);
}

static void a_failing_sync_keeps_nothing(void **state)
{
    struct store *s = *state;
    struct kv_batch *b;
    put(s->kv, "a", "1");
    assert_int_equal(kv_batch_new(s->kv, &b), 0);
    kv_batch_put(b, STR("a"), STR("2"));
    kv_mem_fail_syncs(s->mem, 1, -EIO);
    assert_int_equal(kv_write(s->kv, b, true), -EIO);
    expect_get(s->kv, NULL, "a", "1");
    assert_int_equal(kv_write(s->kv, b, true), 0);
    expect_get(s->kv, NULL, "a", "2");
    kv_batch_free(b);
}

static void a_store_without_a_log_keeps_up_to_its_last_flush(void **state)
{
    struct kv_mem *m;
    struct kv *kv;
    assert_int_equal(kv_mem_new(&m, false), 0);
    assert_int_equal(kv_mem_open(&kv, m), 0);
    put(kv, "a", "1");
    assert_int_equal(kv_flush(kv), 0);
    put(kv, "b", "1");
    kv_mem_crash(m, 0);
    kv_close(kv);
    assert_int_equal(kv_mem_open(&kv, m), 0);
    expect_get(kv, NULL, "a", "1");
    expect_get(kv, NULL, "b", NULL);
    kv_close(kv);
    kv_mem_free(m);
}

#define WITH_STORE(f) cmocka_unit_test_setup_teardown(f, setup_mem, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(a_crash_keeps_the_synced_and_as_many_more_as_asked),
        WITH_STORE(a_handle_from_before_the_crash_does_nothing),
        WITH_STORE(a_failing_sync_keeps_nothing),
        cmocka_unit_test(a_store_without_a_log_keeps_up_to_its_last_flush),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
