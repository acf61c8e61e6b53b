/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* The walk of a purge: what goes, what stays and why, and that nothing hidden comes to light. */

#include "store_help.h"
#include "store/upkeep/purge.h"

#define DAY_MS 86400000ULL

/* What a walk told: counts by fate and kind. */
struct told {
    uint64_t count[STORE_PURGE_FATES][STORE_PURGE_KINDS];
    uint64_t bytes, parts, intended, waiting;
    unsigned transactions, fail_at; /* of intend_item(): the transaction before which it all ends */
};

static int no_notice(void *arg, const struct store_bucket *b, struct store_notice **ret)
{
    *ret = NULL;
    return 0;
}

static int count_item(void *arg, const struct store_purge_item *item)
{
    struct told *t = arg;
    t->count[item->fate][item->kind]++;
    t->bytes += item->fate == STORE_PURGE_GOES ? item->bytes : 0;
    t->parts += item->parts;
    assert_true(item->key.len > 0 && item->bucket.len > 0);
    return 0;
}

/* The last of a transaction is told to be it, and none is looked for without it. */
static int intend_item(void *arg, const struct store_purge_item *item, bool last)
{
    struct told *t = arg;
    t->intended++;
    t->waiting = last ? 0 : t->waiting + 1;
    t->transactions += last;
    return t->fail_at && t->transactions == t->fail_at ? -EIO : 0;
}

static struct told walk(struct store_home *h, const struct store_purge_what *what, bool remove)
{
    struct told t = {.bytes = 0};
    struct store_purge_place place = {.end = false};
    const struct store_purge_hooks hooks = {no_notice, intend_item, count_item, &t};
    uint64_t rows;
    while (!place.end)
        assert_int_equal(store_purge_page(h->store, what, remove, &place, &hooks, &rows), 0);
    assert_int_equal(t.waiting, 0);
    return t;
}

static uint64_t told_of(const struct told *t, enum store_purge_fate fate)
{
    return t->count[fate][STORE_PURGE_VERSION] + t->count[fate][STORE_PURGE_MARKER] +
           t->count[fate][STORE_PURGE_UPLOAD];
}

static void put_bytes(struct store_home *h, struct str key, size_t len, const char *tag,
                      const struct store_lock *lock)
{
    struct store_writer *w;
    struct store_pair pair = {STR("person"), str_from(tag)};
    struct store_attrs attrs = {.owner = STR("owner"), .tags = &pair, .tag_count = tag ? 1 : 0};
    struct store_written written;
    struct str data = bytes_of(h, len, 1);
    struct store_etag etag = etag_of(data);
    if (lock)
        attrs.lock = *lock;
    assert_int_equal(store_put_begin(h->store, h->bucket, key, data.len, &w), 0);
    assert_int_equal(store_write(w, data.ptr, data.len), 0);
    assert_int_equal(store_put_commit(w, &attrs, &etag, NULL, NULL, &written), 0);
    arena_reset(&h->arena);
}

/* In a chunk of its own. */
static void put_as(struct store_home *h, struct str key, const char *tag,
                   const struct store_lock *lock)
{
    put_bytes(h, key, 70000, tag, lock);
}

static void mark(struct store_home *h, struct str key)
{
    struct store_deletion d = {.key = key, .owner = STR("owner")};
    assert_int_equal(store_delete_many(h->store, h->bucket, &d, 1, NULL), 0);
}

static void versioned(struct store_home *h)
{
    assert_int_equal(store_bucket_set_versioning(h->store, h->bucket, STORE_VERSIONING_ENABLED), 0);
}

static const struct store_lock held = {.hold = STORE_HOLD_ON};

static struct store_lock retained(void)
{
    return (struct store_lock){STORE_RETENTION_GOVERNANCE, rt_wall_ms() + DAY_MS, STORE_HOLD_NEVER};
}

static const struct store_purge_what of_ann = {.bucket = {"bucket", 6}, .prefix = {"ann/", 4}};
static const struct store_purge_what tagged_ann = {.tagged = true,
                                                   .tag = {{"person", 6}, {"ann", 3}}};

CASE(a_prefix_goes_whole_and_nothing_else)
{
    put_as(h, STR("ann/0"), NULL, NULL);
    versioned(h);
    put_as(h, STR("ann/0"), NULL, NULL);
    put_as(h, STR("ann/1"), NULL, NULL);
    mark(h, STR("ann/1"));
    put_as(h, STR("ann/1"), NULL, NULL);
    mark(h, STR("ann/1"));
    mark(h, STR("ann/2"));
    put_as(h, STR("anna"), NULL, NULL);
    struct told look = walk(h, &of_ann, false), went = walk(h, &of_ann, true);
    assert_int_equal(look.count[STORE_PURGE_GOES][STORE_PURGE_VERSION], 4);
    assert_int_equal(look.count[STORE_PURGE_GOES][STORE_PURGE_MARKER], 3);
    assert_memory_equal(look.count, went.count, sizeof(look.count));
    assert_int_equal(look.intended, 0);
    assert_int_equal(went.intended, 7);
    look = walk(h, &of_ann, false);
    assert_int_equal(told_of(&look, STORE_PURGE_GOES), 0);
    assert_int_equal(usage(h).objects, 1);
    assert_int_equal(usage(h).versions, 0);
    assert_int_equal(collect_all(h), 4);
    expect(h, STR("anna"), bytes_of(h, 70000, 1));
}

CASE(what_is_locked_stays_and_is_told_of)
{
    struct store_lock lock = retained();
    versioned(h);
    put_as(h, STR("ann/held"), NULL, &held);
    put_as(h, STR("ann/retained"), NULL, &lock);
    put_as(h, STR("ann/free"), NULL, NULL);
    struct told t = walk(h, &of_ann, true);
    assert_int_equal(told_of(&t, STORE_PURGE_GOES), 1);
    assert_int_equal(told_of(&t, STORE_PURGE_HELD), 1);
    assert_int_equal(told_of(&t, STORE_PURGE_RETAINED), 1);
    expect_absent(h, STR("ann/free"));
    expect(h, STR("ann/held"), bytes_of(h, 70000, 1));
    t = walk(h, &of_ann, true);
    assert_int_equal(told_of(&t, STORE_PURGE_GOES), 0);
}

/* A locked version under what goes must not become the current object. */
CASE(nothing_hidden_comes_to_light)
{
    struct store_reader *r;
    versioned(h);
    put_as(h, STR("ann/over"), NULL, &held);
    put_as(h, STR("ann/over"), NULL, NULL);
    put_as(h, STR("ann/under"), NULL, &held);
    mark(h, STR("ann/under"));
    mark(h, STR("ann/under"));
    struct told t = walk(h, &of_ann, true);
    assert_int_equal(t.count[STORE_PURGE_GOES][STORE_PURGE_VERSION], 1);
    assert_int_equal(t.count[STORE_PURGE_GOES][STORE_PURGE_MARKER], 1);
    assert_int_equal(told_of(&t, STORE_PURGE_HIDES), 1);
    t = walk(h, &of_ann, false);
    assert_int_equal(told_of(&t, STORE_PURGE_HELD), 2);
    assert_int_equal(told_of(&t, STORE_PURGE_HIDES), 2);
    assert_int_equal(told_of(&t, STORE_PURGE_GOES), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct str key = i ? STR("ann/over") : STR("ann/under");
        assert_int_equal(store_get(h->store, h->bucket, key, STORE_CURRENT, NULL, &r),
                         -ERR_NO_SUCH_KEY);
        store_reader_close(r);
    }
}

CASE(a_tag_takes_its_versions_in_all_buckets_and_the_markers_over_them)
{
    versioned(h);
    put_as(h, STR("a"), "ann", NULL);
    mark(h, STR("a"));
    put_as(h, STR("b"), "ann", NULL);
    put_as(h, STR("b"), "bob", NULL);
    put_as(h, STR("c"), "bob", NULL);
    mark(h, STR("c"));
    struct bucket_id first = h->bucket;
    home_bucket(h, "another");
    put_as(h, STR("d"), "ann", NULL);
    put_as(h, STR("e"), NULL, NULL);
    struct told t = walk(h, &tagged_ann, true);
    assert_int_equal(t.count[STORE_PURGE_GOES][STORE_PURGE_VERSION], 3);
    assert_int_equal(t.count[STORE_PURGE_GOES][STORE_PURGE_MARKER], 1);
    assert_int_equal(usage(h).objects, 1);
    h->bucket = first;
    assert_int_equal(usage(h).objects, 1);
    assert_int_equal(usage(h).versions, 2);
}

static bool is_absent(struct store_home *h, struct str key)
{
    struct store_reader *r = NULL;
    int e = store_get(h->store, h->bucket, key, STORE_CURRENT, NULL, &r);
    if (r)
        store_reader_close(r);
    return e == -ERR_NO_SUCH_KEY;
}

/* By age, while versioning is suspended: the marker takes the null version's place, unless that is
 * to stay. */
CASE(nothing_hidden_comes_to_light_where_versioning_is_suspended)
{
    struct store_purge_what old = tagged_ann;
    old.before_ms = rt_wall_ms() + DAY_MS;
    put_as(h, STR("c"), "bob", NULL);
    put_as(h, STR("d"), "ann", NULL);
    versioned(h);
    put_as(h, STR("a"), "bob", NULL);
    put_as(h, STR("b"), "bob", NULL);
    put_as(h, STR("b"), "ann", NULL);
    put_as(h, STR("c"), "ann", NULL);
    put_as(h, STR("d"), "bob", NULL);
    put_as(h, STR("d"), "ann", NULL);
    assert_int_equal(store_bucket_set_versioning(h->store, h->bucket, STORE_VERSIONING_SUSPENDED),
                     0);
    put_as(h, STR("a"), "ann", NULL); /* null, over a version */
    struct told look = walk(h, &old, false), t = walk(h, &old, true);
    assert_int_equal(t.count[STORE_PURGE_GOES][STORE_PURGE_VERSION], 5);
    assert_int_equal(told_of(&t, STORE_PURGE_CHANGED), 0);
    assert_memory_equal(look.count, t.count, sizeof(look.count));
    assert_true(is_absent(h, STR("a")) && is_absent(h, STR("b")) && is_absent(h, STR("d")));
    expect(h, STR("c"), bytes_of(h, 70000, 1)); /* a marker would have been its end */
    t = walk(h, &old, false);
    assert_int_equal(told_of(&t, STORE_PURGE_GOES), 0);
    assert_int_equal(usage(h).versions, 6); /* of a, b and d: what stays, and a marker */
}

/* Versions of one key on several pages, the newest of them a marker; with a tag, and a lock. */
static void long_key(struct store_home *h, const struct store_purge_what *what, bool locked)
{
    struct str key = STR("ann/long");
    put_bytes(h, key, 10, "ann", NULL);
    versioned(h);
    if (locked)
        put_bytes(h, key, 10, "ann", &held);
    for (unsigned i = 0; i < 600; i++) {
        struct store_lock none = {0};
        if (i % 2)
            mark(h, key);
        else
            put_bytes(h, key, 10, "ann", &none);
    }
    put_as(h, STR("ann/next"), "ann", NULL);
    struct told t = walk(h, what, true);
    assert_int_equal(t.count[STORE_PURGE_GOES][STORE_PURGE_VERSION], 302);
    assert_int_equal(told_of(&t, STORE_PURGE_HELD), locked);
    if (!locked)
        assert_int_equal(t.count[STORE_PURGE_GOES][STORE_PURGE_MARKER], 300);
    t = walk(h, what, false);
    assert_int_equal(told_of(&t, STORE_PURGE_GOES), 0);
    expect_absent(h, STR("ann/next"));
}

CASE(a_key_of_many_versions_goes_whole)
{
    long_key(h, &of_ann, false);
    assert_int_equal(usage(h).versions, 0);
    assert_int_equal(usage(h).objects, 0);
}

CASE(a_key_of_many_versions_goes_by_its_tag)
{
    long_key(h, &tagged_ann, false);
    assert_int_equal(usage(h).versions, 0);
}

CASE(a_key_of_many_versions_keeps_its_marker_over_what_is_kept)
{
    struct store_reader *r;
    long_key(h, &of_ann, true);
    assert_int_equal(usage(h).versions, 2);
    assert_int_equal(store_get(h->store, h->bucket, STR("ann/long"), STORE_CURRENT, NULL, &r),
                     -ERR_NO_SUCH_KEY);
    store_reader_close(r);
}

/* As if a crash came before the last of a long key's transactions, all markers and the newest of
 * them: what carries the tag must be among what is left, or nobody knows the markers any more. */
CASE(a_long_key_cut_short_is_known_by_its_tag)
{
    struct told t = {.fail_at = 3};
    struct store_purge_place place = {.end = false};
    const struct store_purge_hooks hooks = {no_notice, intend_item, count_item, &t};
    struct store_purge_what what = tagged_ann;
    uint64_t rows;
    what.bucket = STR("bucket");
    versioned(h);
    for (unsigned i = 0; i < 250; i++)
        mark(h, STR("k"));
    for (unsigned i = 0; i < 300; i++)
        put_bytes(h, STR("k"), 10, "ann", NULL);
    mark(h, STR("k"));
    assert_int_equal(store_purge_page(h->store, &what, true, &place, &hooks, &rows), -EIO);
    assert_in_range(usage(h).versions, 1, 50);
    walk(h, &what, true);
    assert_int_equal(usage(h).versions, 0);
}

static void upload(struct store_home *h, struct str key, const char *tag)
{
    struct store_pair pair = {STR("person"), str_from(tag)};
    struct store_attrs attrs = {.owner = STR("owner"), .tags = &pair, .tag_count = 1};
    struct str id, data = bytes_of(h, 70000, 2);
    struct store_writer *w;
    uint64_t mtime;
    assert_int_equal(store_upload_create(h->store, &h->arena, h->bucket, key, &attrs, STORE_CRC32,
                                         false, false, &id),
                     0);
    for (unsigned i = 1; i <= 2; i++) {
        struct store_etag etag = etag_of(data);
        assert_int_equal(store_part_begin(h->store, h->bucket, key, id, i, data.len, &w), 0);
        assert_int_equal(store_write(w, data.ptr, data.len), 0);
        assert_int_equal(store_part_commit(w, etag.md5, NULL, NULL, &mtime), 0);
    }
}

CASE(uploads_go_with_their_parts)
{
    upload(h, STR("ann/1"), "ann");
    upload(h, STR("ann/2"), "bob");
    upload(h, STR("bob/1"), "ann");
    struct told t = walk(h, &tagged_ann, true);
    assert_int_equal(told_of(&t, STORE_PURGE_GOES), 2);
    assert_int_equal(t.parts, 4);
    assert_int_equal(t.bytes, 4 * 70000);
    t = walk(h, &of_ann, true);
    assert_int_equal(told_of(&t, STORE_PURGE_GOES), 1);
    assert_int_equal(usage(h).uploads, 0);
}

CASE(what_was_let_go_is_pending_until_it_is_deleted)
{
    bool pending = false;
    put_as(h, STR("ann/1"), NULL, NULL);
    walk(h, &of_ann, true);
    uint64_t due = store_purge_due_ms(h->store);
    assert_int_equal(store_purge_pending(h->store, STR("bucket"), due, &pending), 0);
    assert_true(pending);
    assert_int_equal(collect_all(h), 1);
    assert_int_equal(store_purge_pending(h->store, STR("bucket"), due, &pending), 0);
    assert_false(pending);
    assert_int_equal(home_chunks(h), 0);
    assert_int_equal(store_purge_pending(h->store, STR("no-bucket"), due, &pending),
                     -ERR_NO_SUCH_BUCKET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefix_goes_whole_and_nothing_else),
        cmocka_unit_test(what_is_locked_stays_and_is_told_of),
        cmocka_unit_test(nothing_hidden_comes_to_light),
        cmocka_unit_test(nothing_hidden_comes_to_light_where_versioning_is_suspended),
        cmocka_unit_test(a_tag_takes_its_versions_in_all_buckets_and_the_markers_over_them),
        cmocka_unit_test(a_key_of_many_versions_goes_whole),
        cmocka_unit_test(a_key_of_many_versions_goes_by_its_tag),
        cmocka_unit_test(a_key_of_many_versions_keeps_its_marker_over_what_is_kept),
        cmocka_unit_test(a_long_key_cut_short_is_known_by_its_tag),
        cmocka_unit_test(uploads_go_with_their_parts),
        cmocka_unit_test(what_was_let_go_is_pending_until_it_is_deleted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
