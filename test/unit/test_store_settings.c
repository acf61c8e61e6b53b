/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Settings of buckets: kept, given out as one state, gone with their bucket. */

#include "store_help.h"

static int get_bucket(struct store_home *h, const char *name, struct store_bucket *ret)
{
    return store_bucket_get(h->store, &h->arena, str_from(name), ret);
}

/* What the bucket's CORS setting says; "" when it has none. */
static struct str cors_of(struct store_home *h, const char *name)
{
    struct store_bucket b;
    assert_int_equal(get_bucket(h, name, &b), 0);
    const struct store_setting *s = store_setting_of(b.settings, STORE_SETTING_CORS);
    struct str text = s ? arena_dup(&h->arena, s->text) : STR("");
    store_bucket_release(&b);
    assert_null(b.settings);
    return text;
}

static int put_cors(struct store_home *h, const char *text)
{
    return store_setting_put(h->store, h->bucket, STORE_SETTING_CORS, str_from(text));
}

CASE(a_setting_is_kept_replaced_and_removed)
{
    assert_true(str_eq(cors_of(h, "bucket"), STR("")));
    assert_int_equal(put_cors(h, "one"), 0);
    assert_true(str_eq(cors_of(h, "bucket"), STR("one")));
    assert_int_equal(put_cors(h, "two"), 0);
    assert_true(str_eq(cors_of(h, "bucket"), STR("two")));
    home_close(h);
    home_open(h);
    assert_true(str_eq(cors_of(h, "bucket"), STR("two")));
    assert_int_equal(store_setting_delete(h->store, h->bucket, STORE_SETTING_CORS), 0);
    assert_int_equal(store_setting_delete(h->store, h->bucket, STORE_SETTING_CORS), 0);
    assert_true(str_eq(cors_of(h, "bucket"), STR("")));
}

CASE(a_bucket_is_made_with_its_settings)
{
    const struct store_bucket_setting settings[] = {{STORE_SETTING_ACL, STR("grants")},
                                                    {STORE_SETTING_OWNERSHIP_CONTROLS, STR("who")}};
    struct store_bucket_spec spec = {
        .name = STR("made"), .owner = STR("me"), .settings = settings, .setting_count = 2};
    struct store_bucket b;
    assert_int_equal(store_bucket_make(h->store, &h->arena, &spec, &b), 0);
    for (unsigned again = 0; again < 2; again++) {
        assert_int_equal(get_bucket(h, "made", &b), 0);
        assert_true(str_eq(store_setting_of(b.settings, STORE_SETTING_ACL)->text, STR("grants")));
        assert_true(str_eq(store_setting_of(b.settings, STORE_SETTING_OWNERSHIP_CONTROLS)->text,
                           STR("who")));
        store_bucket_release(&b);
        home_close(h);
        home_open(h);
    }
}

CASE(a_bucket_that_is_there_keeps_its_settings)
{
    const struct store_bucket_setting settings[] = {{STORE_SETTING_CORS, STR("new")}};
    struct store_bucket_spec spec = {
        .name = STR("bucket"), .owner = STR("owner"), .settings = settings, .setting_count = 1};
    struct store_bucket b;
    assert_int_equal(put_cors(h, "old"), 0);
    assert_true(store_bucket_make(h->store, &h->arena, &spec, &b) < 0);
    assert_true(str_eq(cors_of(h, "bucket"), STR("old")));
}

CASE(kinds_do_not_touch_each_other)
{
    struct store_bucket b;
    for (unsigned kind = 0; kind < STORE_SETTING_KINDS; kind++) {
        struct str text = arena_printf(&h->arena, "text %u", kind);
        assert_int_equal(store_setting_put(h->store, h->bucket, kind, text), 0);
    }
    assert_int_equal(store_setting_delete(h->store, h->bucket, STORE_SETTING_TAGGING), 0);
    assert_int_equal(get_bucket(h, "bucket", &b), 0);
    for (unsigned kind = 0; kind < STORE_SETTING_KINDS; kind++) {
        const struct store_setting *s = store_setting_of(b.settings, kind);
        if (kind == STORE_SETTING_TAGGING)
            assert_null(s);
        else
            assert_true(str_eq(s->text, arena_printf(&h->arena, "text %u", kind)));
    }
    store_bucket_release(&b);
}

CASE(who_holds_a_state_keeps_it)
{
    struct store_bucket before, after;
    assert_int_equal(put_cors(h, "old"), 0);
    assert_int_equal(get_bucket(h, "bucket", &before), 0);
    assert_int_equal(put_cors(h, "new"), 0);
    assert_int_equal(get_bucket(h, "bucket", &after), 0);
    assert_true(str_eq(store_setting_of(before.settings, STORE_SETTING_CORS)->text, STR("old")));
    assert_true(str_eq(store_setting_of(after.settings, STORE_SETTING_CORS)->text, STR("new")));
    store_bucket_release(&before);
    store_bucket_release(&after);
}

static unsigned released;

static void release_count(void *made)
{
    released++;
    free(made);
}

CASE(what_was_made_of_a_setting_is_made_once)
{
    struct store_bucket one, two;
    released = 0;
    assert_int_equal(put_cors(h, "x"), 0);
    assert_int_equal(get_bucket(h, "bucket", &one), 0);
    assert_int_equal(get_bucket(h, "bucket", &two), 0);
    assert_null(store_setting_parsed(one.settings, STORE_SETTING_CORS));
    void *first = malloc(8), *second = malloc(8);
    assert_ptr_equal(store_setting_keep(one.settings, STORE_SETTING_CORS, first, release_count),
                     first);
    assert_ptr_equal(store_setting_keep(two.settings, STORE_SETTING_CORS, second, release_count),
                     first);
    assert_int_equal(released, 1);
    assert_ptr_equal(store_setting_parsed(two.settings, STORE_SETTING_CORS), first);
    assert_int_equal(put_cors(h, "y"), 0);
    store_bucket_release(&one);
    assert_int_equal(released, 1);
    store_bucket_release(&two);
    assert_int_equal(released, 2);
}

CASE(what_was_read_before_a_change_is_not_kept)
{
    struct buckets *b = &h->store->buckets;
    struct store_bucket found;
    struct settings_place place;
    assert_int_equal(put_cors(h, "x"), 0);
    assert_int_equal(buckets_find_settled(b, &h->arena, STR("bucket"), &found, &place), 0);
    assert_false(place.known);
    assert_int_equal(store_setting_delete(h->store, h->bucket, STORE_SETTING_CORS), 0);
    buckets_settle(b, h->bucket, &place, NULL);
    assert_int_equal(buckets_find_settled(b, &h->arena, STR("bucket"), &found, &place), 0);
    assert_false(place.known);
    buckets_settle(b, h->bucket, &place, NULL);
    assert_int_equal(buckets_find_settled(b, &h->arena, STR("bucket"), &found, &place), 0);
    assert_true(place.known);
}

CASE(memory_is_bounded_and_nothing_is_lost)
{
    struct store_stats stats;
    struct store_bucket b;
    struct str big = bytes_of(h, STORE_SETTING_MAX, 1);
    unsigned count = (unsigned)(SETTINGS_CACHE_MAX / STORE_SETTING_MAX) + 4;
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < count; i++) {
            struct str name = arena_printf(&h->arena, "big-%u", i);
            if (round == 0) {
                home_bucket(h, name.ptr);
                assert_int_equal(store_setting_put(h->store, h->bucket, STORE_SETTING_WEBSITE, big),
                                 0);
            }
            assert_int_equal(get_bucket(h, name.ptr, &b), 0);
            assert_true(str_eq(store_setting_of(b.settings, STORE_SETTING_WEBSITE)->text, big));
            store_bucket_release(&b);
            store_stats(h->store, &stats);
            assert_true(stats.settings_bytes <= SETTINGS_CACHE_MAX);
        }
}

CASE(limits_and_absent_buckets_are_told)
{
    struct bucket_id other = {h->bucket.n + 100};
    struct str big = bytes_of(h, STORE_SETTING_MAX + 1, 1);
    assert_int_equal(store_setting_put(h->store, h->bucket, STORE_SETTING_CORS, big),
                     -ERR_TOO_LARGE);
    assert_int_equal(store_setting_put(h->store, other, STORE_SETTING_CORS, STR("x")),
                     -ERR_NO_SUCH_BUCKET);
    assert_int_equal(store_setting_delete(h->store, other, STORE_SETTING_CORS),
                     -ERR_NO_SUCH_BUCKET);
}

static int any_row_tx(struct meta_tx *tx, void *arg)
{
    return rows_any(tx, KEY_CONFIG, arg);
}

CASE(settings_go_with_their_bucket)
{
    struct bucket_id old = h->bucket;
    bool any;
    assert_int_equal(put_cors(h, "x"), 0);
    assert_int_equal(store_bucket_delete(h->store, STR("bucket")), 0);
    home_bucket(h, "bucket");
    assert_true(str_eq(cors_of(h, "bucket"), STR("")));
    for (unsigned i = 0; i < 20; i++)
        collect_all(h);
    assert_int_equal(meta_read(h->meta, old, any_row_tx, &any), 0);
    assert_false(any);
}

static int unknown_tx(struct meta_tx *tx, void *arg)
{
    return meta_put(tx, STR("Bof a later release"), STR(""));
}

static int damaged_tx(struct meta_tx *tx, void *arg)
{
    return meta_put(tx, STR("Bcors"), STR("\xff\xff"));
}

CASE(a_setting_that_cannot_be_read_lets_nobody_in)
{
    meta_fn *const fns[] = {unknown_tx, damaged_tx};
    struct store_bucket b;
    for (unsigned i = 0; i < ARRAY_LEN(fns); i++) {
        struct str name = arena_printf(&h->arena, "damaged-%u", i);
        home_bucket(h, name.ptr);
        assert_int_equal(meta_write(h->meta, h->bucket, fns[i], NULL), 0);
        assert_int_equal(get_bucket(h, name.ptr, &b), -ERR_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_setting_is_kept_replaced_and_removed),
        cmocka_unit_test(a_bucket_is_made_with_its_settings),
        cmocka_unit_test(a_bucket_that_is_there_keeps_its_settings),
        cmocka_unit_test(kinds_do_not_touch_each_other),
        cmocka_unit_test(who_holds_a_state_keeps_it),
        cmocka_unit_test(what_was_made_of_a_setting_is_made_once),
        cmocka_unit_test(what_was_read_before_a_change_is_not_kept),
        cmocka_unit_test(memory_is_bounded_and_nothing_is_lost),
        cmocka_unit_test(limits_and_absent_buckets_are_told),
        cmocka_unit_test(settings_go_with_their_bucket),
        cmocka_unit_test(a_setting_that_cannot_be_read_lets_nobody_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
