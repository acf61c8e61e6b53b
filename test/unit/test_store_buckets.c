/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Buckets: their names, their owners, their end, and what a crash in between leaves. */

#include "store_help.h"

CASE(names_follow_the_rules)
{
    const char *good[] = {
        "abc",  "a1c",    "a-b.c-d",
        "0ab",  "1.2.3",  "1.2.3.4a",
        "x--y", "xn-abc", "a23456789012345678901234567890123456789012345678901234567890123"};
    const char *bad[] = {"",
                         "ab",
                         "Abc",
                         "a_b",
                         "-ab",
                         "ab-",
                         ".ab",
                         "ab.",
                         "a..b",
                         "1.2.3.4",
                         "192.168.5.4",
                         "xn--abc",
                         "a b",
                         "a-s3alias",
                         "b--ol-s3",
                         "sthree-x",
                         "b.mrap",
                         "a/b",
                         "x--x-s3",
                         "a234567890123456789012345678901234567890123456789012345678901234"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_int_equal(bucket_name_test(str_from(good[i])), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(bucket_name_test(str_from(bad[i])), -ERR_INVALID_BUCKET_NAME);
    assert_int_equal(bucket_name_test(STR("a\0b")), -ERR_INVALID_BUCKET_NAME);
}

static int create(struct store_home *h, const char *name, const char *owner,
                  struct store_bucket *ret)
{
    return store_bucket_create(h->store, &h->arena, str_from(name), str_from(owner), STR("eu"),
                               ret);
}

CASE(a_name_belongs_to_one)
{
    struct store_bucket b, again;
    assert_int_equal(create(h, "mine", "me", &b), 0);
    assert_true(str_eq(b.name, STR("mine")));
    assert_true(str_eq(b.owner, STR("me")));
    assert_true(str_eq(b.region, STR("eu")));
    assert_int_equal(create(h, "mine", "me", &again), -ERR_BUCKET_OWNED);
    assert_int_equal(again.id.n, b.id.n);
    assert_int_equal(create(h, "mine", "you", &again), -ERR_BUCKET_EXISTS);
    assert_int_equal(create(h, "No", "me", &again), -ERR_INVALID_BUCKET_NAME);
    home_close(h);
    home_open(h);
    assert_int_equal(store_bucket_get(h->store, &h->arena, STR("mine"), &again), 0);
    assert_int_equal(again.id.n, b.id.n);
    assert_int_equal(again.created_ms, b.created_ms);
    assert_int_equal(store_bucket_get(h->store, &h->arena, STR("other"), &again),
                     -ERR_NO_SUCH_BUCKET);
}

CASE(only_an_empty_bucket_goes_and_its_id_never_comes_back)
{
    struct store_bucket b;
    struct bucket_id old = h->bucket;
    put(h, STR("k"), STR("x"));
    assert_int_equal(store_bucket_delete(h->store, STR("bucket")), -ERR_BUCKET_NOT_EMPTY);
    put(h, STR("k"), STR("y")); /* it lives on */
    bool existed;
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), NULL, &existed), 0);
    assert_int_equal(store_bucket_delete(h->store, STR("bucket")), 0);
    assert_int_equal(store_bucket_delete(h->store, STR("bucket")), -ERR_NO_SUCH_BUCKET);
    assert_int_equal(put_if(h, STR("k"), STR("x"), NULL), -ERR_NO_SUCH_BUCKET);
    assert_int_equal(put_if(h, STR("k"), bytes_of(h, 50000, 1), NULL), -ERR_NO_SUCH_BUCKET);
    assert_int_equal(home_chunks(h), 0);
    assert_int_equal(create(h, "bucket", "you", &b), 0);
    assert_true(b.id.n > old.n);
    h->bucket = b.id;
    expect_absent(h, STR("k"));
}

CASE(uploads_and_garbage_of_a_deleted_bucket_are_collected)
{
    struct store_attrs attrs = {0};
    struct str upload;
    struct store_writer *w;
    uint64_t mtime;
    uint8_t md5[16] = {0};
    put(h, STR("k"), bytes_of(h, 50000, 1));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(store_upload_create(h->store, &h->arena, h->bucket, STR("u"), &attrs, 0,
                                             false, false, &upload),
                         0);
        for (uint32_t part = 1; part <= 2; part++) {
            assert_int_equal(
                store_part_begin(h->store, h->bucket, STR("u"), upload, part, 50000, &w), 0);
            assert_int_equal(store_write(w, bytes_of(h, 50000, part).ptr, 50000), 0);
            assert_int_equal(store_part_commit(w, md5, NULL, NULL, &mtime), 0);
        }
    }
    bool existed;
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), NULL, &existed), 0);
    assert_int_equal(home_chunks(h), 7);
    assert_int_equal(store_bucket_delete(h->store, STR("bucket")), 0);
    home_close(h); /* the drop row survives */
    home_open(h);
    uint64_t sum = 0;
    for (unsigned i = 0; i < 20; i++)
        sum += collect_all(h);
    assert_int_equal(sum, 7);
    assert_int_equal(home_chunks(h), 0);
    struct bucket_ref *all;
    size_t count;
    assert_int_equal(buckets_all(&h->store->buckets, &all, &count), 0);
    assert_int_equal(count, 0);
    free(all);
    home_close(h);
    home_open(h);
    assert_int_equal(buckets_all(&h->store->buckets, &all, &count), 0);
    assert_int_equal(count, 0); /* and the drop row is gone */
    free(all);
}

CASE(a_bucket_soiled_while_it_is_cleaned_stays_dirty)
{
    struct buckets *b = &h->store->buckets;
    struct bucket_ref ref;
    uint64_t turn;
    assert_true(buckets_next_dirty(b, &ref, &turn)); /* as it was made */
    buckets_soil(b, ref.id);                         /* a commit after the look at its rows */
    buckets_clean(b, ref.id, turn);
    assert_true(buckets_next_dirty(b, &ref, &turn));
    buckets_clean(b, ref.id, turn);
    assert_false(buckets_next_dirty(b, &ref, &turn));
}

CASE(listing_pages_filters_and_sorts)
{
    const char *names[] = {"bb-1", "aa-1", "aa-2", "cc-1", "aa-3"};
    struct store_bucket b;
    struct store_bucket_page page;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(create(h, names[i], i == 2 ? "you" : "me", &b), 0);
    assert_int_equal(store_bucket_list(h->store, &h->arena, STR("me"), STR(""), STR(""), 2, &page),
                     0);
    assert_int_equal(page.count, 2);
    assert_true(str_eq(page.buckets[0].name, STR("aa-1")));
    assert_true(str_eq(page.buckets[1].name, STR("aa-3")));
    assert_true(str_eq(page.next, STR("aa-3")));
    assert_int_equal(
        store_bucket_list(h->store, &h->arena, STR("me"), STR(""), page.next, 2, &page), 0);
    assert_int_equal(page.count, 2);
    assert_true(str_eq(page.buckets[0].name, STR("bb-1")));
    assert_int_equal(page.next.len, 0);
    assert_int_equal(store_bucket_list(h->store, &h->arena, STR(""), STR("aa"), STR(""), 10, &page),
                     0);
    assert_int_equal(page.count, 3);
    assert_int_equal(page.next.len, 0);
    assert_int_equal(
        store_bucket_list(h->store, &h->arena, STR("none"), STR(""), STR(""), 10, &page), 0);
    assert_int_equal(page.count, 0);
}

CASE(an_owner_has_a_limit)
{
    char name[32];
    struct store_bucket b;
    for (unsigned i = 0; i < STORE_BUCKETS_MAX; i++) {
        snprintf(name, sizeof(name), "many-%u", i);
        assert_int_equal(create(h, name, "me", &b), 0);
    }
    assert_int_equal(create(h, "one-more", "me", &b), -ERR_TOO_MANY_BUCKETS);
    assert_int_equal(create(h, "one-more", "you", &b), 0);
    assert_int_equal(store_bucket_delete(h->store, STR("many-7")), 0);
    assert_int_equal(create(h, "again", "me", &b), 0);
}

/* ---- a crash in between --------------------------------------------------------------------- */

/* A making that got as far as B, a deletion that got as far as its drop row, and one that got as
 * far as taking B away. */
static int half_made_tx(struct meta_tx *tx, void *arg)
{
    return drop_row_put(tx, 77, STR("half"));
}
static int half_config_tx(struct meta_tx *tx, void *arg)
{
    struct config_row row = {.name = STR("half")};
    return config_row_put(tx, &row);
}
static int drop_row_tx(struct meta_tx *tx, void *arg)
{
    const struct store_bucket *b = arg;
    return drop_row_put(tx, b->id.n, b->name);
}
static int no_config_tx(struct meta_tx *tx, void *arg)
{
    return meta_del(tx, KEY_CONFIG);
}

CASE(half_done_makings_and_deletions_are_settled_at_the_start)
{
    struct store_bucket alive, dead, b;
    assert_int_equal(create(h, "alive", "me", &alive), 0);
    assert_int_equal(create(h, "dead", "me", &dead), 0);
    assert_int_equal(meta_write(h->meta, BUCKET_SYSTEM, half_made_tx, NULL), 0);
    assert_int_equal(meta_write(h->meta, (struct bucket_id){77}, half_config_tx, NULL), 0);
    assert_int_equal(meta_write(h->meta, BUCKET_SYSTEM, drop_row_tx, &alive), 0);
    assert_int_equal(meta_write(h->meta, BUCKET_SYSTEM, drop_row_tx, &dead), 0);
    assert_int_equal(meta_write(h->meta, dead.id, no_config_tx, NULL), 0);
    home_close(h);
    home_open(h);
    assert_int_equal(store_bucket_get(h->store, &h->arena, STR("half"), &b), -ERR_NO_SUCH_BUCKET);
    assert_int_equal(store_bucket_get(h->store, &h->arena, STR("dead"), &b), -ERR_NO_SUCH_BUCKET);
    assert_int_equal(store_bucket_get(h->store, &h->arena, STR("alive"), &b), 0);
    h->bucket = b.id;
    put(h, STR("k"), STR("x"));
    assert_int_equal(create(h, "half", "me", &b), 0);
    for (unsigned i = 0; i < 5; i++)
        collect_all(h);
    struct bucket_ref *all;
    size_t count;
    assert_int_equal(buckets_all(&h->store->buckets, &all, &count), 0);
    assert_int_equal(count, 3); /* bucket, alive, half */
    free(all);
}

/* ---- races ---------------------------------------------------------------------------------- */

struct race {
    struct store_home *h;
    unsigned running, created, deleted;
};

static void race_create_delete(void *arg)
{
    struct race *r = arg;
    struct store_bucket b;
    for (unsigned i = 0; i < 20; i++) {
        int err = create(r->h, "contested", "me", &b);
        assert_true(err == 0 || err == -ERR_BUCKET_OWNED);
        r->created += err == 0;
        err = store_bucket_delete(r->h->store, STR("contested"));
        assert_true(err == 0 || err == -ERR_NO_SUCH_BUCKET);
        r->deleted += err == 0;
    }
    r->running--;
}

CASE(makers_and_deleters_take_turns)
{
    struct race r = {.h = h, .running = 6};
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(rt_spawn_detached("racer", race_create_delete, &r), 0);
    while (r.running)
        rt_sleep_until(rt_now() + RT_MS);
    assert_true(r.created > 0);
    assert_int_equal(r.created, r.deleted);
}

static void race_put(void *arg)
{
    struct race *r = arg;
    for (unsigned i = 0; i < 50; i++) {
        int err = put_if(r->h, STR("k"), STR("x"), NULL);
        assert_true(err == 0 || err == -ERR_NO_SUCH_BUCKET);
        r->created += err == 0;
    }
    r->running--;
}

CASE(a_bucket_goes_or_an_object_comes_but_not_both)
{
    struct race r = {.h = h, .running = 1};
    assert_int_equal(rt_spawn_detached("putter", race_put, &r), 0);
    int err = -ERR_BUCKET_NOT_EMPTY;
    for (unsigned i = 0; i < 20 && err == -ERR_BUCKET_NOT_EMPTY; i++) {
        bool existed;
        assert_int_equal(store_delete(h->store, h->bucket, STR("k"), NULL, &existed), 0);
        err = store_bucket_delete(h->store, STR("bucket"));
        rt_yield();
    }
    while (r.running)
        rt_sleep_until(rt_now() + RT_MS);
    if (err == 0)
        expect_absent(h, STR("k"));
    else
        expect(h, STR("k"), STR("x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_follow_the_rules),
        cmocka_unit_test(a_name_belongs_to_one),
        cmocka_unit_test(only_an_empty_bucket_goes_and_its_id_never_comes_back),
        cmocka_unit_test(uploads_and_garbage_of_a_deleted_bucket_are_collected),
        cmocka_unit_test(a_bucket_soiled_while_it_is_cleaned_stays_dirty),
        cmocka_unit_test(listing_pages_filters_and_sorts),
        cmocka_unit_test(an_owner_has_a_limit),
        cmocka_unit_test(half_done_makings_and_deletions_are_settled_at_the_start),
        cmocka_unit_test(makers_and_deleters_take_turns),
        cmocka_unit_test(a_bucket_goes_or_an_object_comes_but_not_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
