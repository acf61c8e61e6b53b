/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* The outbox: its rows go with the writes they tell of, in their order, and stay until settled. */

#include "store_help.h"
#include "store/outbox.h"

#define TARGET STR("hook")

/* Wants everything whose key does not begin with '-'. */
struct listener {
    struct store_notice notice;
    struct arena arena;
    size_t committed;
};

static int wants(struct store_event *e, void *arg)
{
    if (str_starts(e->key, STR("-")))
        return 0;
    if (str_starts(e->key, STR("!")))
        return -ERR_SLOW_DOWN;
    e->name = e->what == STORE_CREATED   ? STR("created")
              : e->what == STORE_REMOVED ? STR("removed")
                                         : STR("changed");
    e->config = STR("rule");
    e->target = TARGET;
    return 1;
}

static void committed(struct bucket_id b, const struct store_event *events, size_t count, void *arg)
{
    ((struct listener *)arg)->committed += count;
}

static struct store_conditions listen(struct listener *l)
{
    *l = (struct listener){0};
    arena_init(&l->arena, 0);
    l->notice = (struct store_notice){.wants = wants,
                                      .committed = committed,
                                      .arg = l,
                                      .arena = &l->arena,
                                      .bucket_name = STR("bucket"),
                                      .owner = STR("owner"),
                                      .requester = STR("alice"),
                                      .source = STR("192.0.2.1"),
                                      .request_id = STR("0123")};
    return (struct store_conditions){.notice = &l->notice};
}

/* All rows of the target, shard after shard. */
static size_t rows_of(struct store_home *h, bool dead, struct outbox_row *ret, size_t cap)
{
    size_t n = 0;
    for (unsigned shard = 0; shard < OUTBOX_SHARDS; shard++) {
        struct outbox_place place = {h->bucket, TARGET, shard, dead};
        struct outbox_row *rows;
        size_t count;
        assert_int_equal(store_outbox_read(h->store, &h->arena, &place, 0, cap, &rows, &count), 0);
        for (size_t i = 0; i < count && n < cap; i++)
            ret[n++] = rows[i];
    }
    return n;
}

static struct outbox_place place_of(struct store_home *h, const struct outbox_row *row, bool dead)
{
    struct outbox_place place = {h->bucket, TARGET, 0, dead};
    place.shard = (unsigned)(hash_xxh3(row->event.key.ptr, row->event.key.len) % OUTBOX_SHARDS);
    return place;
}

CASE(a_write_puts_its_row_and_one_that_is_refused_does_not)
{
    struct listener l;
    struct outbox_row rows[8];
    struct store_conditions c = listen(&l);
    assert_int_equal(put_if(h, STR("k"), bytes_of(h, 100, 1), &c), 0);
    c.if_none_match = STR("*");
    assert_int_equal(put_if(h, STR("k"), bytes_of(h, 100, 2), &c), -ERR_PRECONDITION_FAILED);
    c.if_none_match = STR_NULL;
    assert_int_equal(put_if(h, STR("-quiet"), bytes_of(h, 100, 2), &c), 0);
    assert_int_equal(put_if(h, STR("!full"), bytes_of(h, 100, 2), &c), -ERR_SLOW_DOWN);
    expect_absent(h, STR("!full"));
    assert_int_equal(l.committed, 1);
    assert_int_equal(rows_of(h, false, rows, 8), 1);
    const struct store_event *e = &rows[0].event;
    struct store_etag etag = etag_of(bytes_of(h, 100, 1));
    assert_true(str_eq(e->name, STR("created")) && str_eq(e->key, STR("k")));
    assert_true(str_eq(e->config, STR("rule")) && str_eq(rows[0].requester, STR("alice")));
    assert_true(str_eq(rows[0].source, STR("192.0.2.1")));
    assert_true(str_eq(rows[0].bucket_name, STR("bucket")));
    assert_int_equal(e->len_bytes, 100);
    assert_memory_equal(e->etag.md5, etag.md5, sizeof(etag.md5));
    arena_release(&l.arena);
}

CASE(a_keys_rows_are_in_the_order_of_its_writes)
{
    struct listener l;
    struct outbox_row rows[64];
    struct store_conditions c = listen(&l);
    bool existed;
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(put_if(h, STR("k"), bytes_of(h, 100 + i, 1), &c), 0);
        assert_int_equal(store_delete(h->store, h->bucket, STR("k"), &c, &existed), 0);
    }
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), &c, &existed), 0);
    assert_int_equal(rows_of(h, false, rows, 64), 20);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(rows[i].event.what, i % 2 ? STORE_REMOVED : STORE_CREATED);
        assert_int_equal(rows[i].event.len_bytes, i % 2 ? 0 : 100 + i / 2);
        assert_true(i == 0 || rows[i].event.seq > rows[i - 1].event.seq);
    }
    arena_release(&l.arena);
}

CASE(many_deletions_put_a_row_each_for_what_was_there)
{
    struct listener l;
    struct outbox_row rows[64];
    struct store_deletion list[20];
    (void)listen(&l);
    for (unsigned i = 0; i < 20; i++) {
        list[i] = (struct store_deletion){.key = arena_printf(&h->arena, "k%u", i)};
        if (i % 2)
            put(h, list[i].key, bytes_of(h, 10, i));
    }
    assert_int_equal(store_delete_many(h->store, h->bucket, list, 20, &l.notice), 0);
    assert_int_equal(rows_of(h, false, rows, 64), 10);
    assert_int_equal(l.committed, 10);
    arena_release(&l.arena);
}

CASE(rows_go_when_settled_and_come_back_from_where_they_were_given_up)
{
    struct listener l;
    struct outbox_row rows[8];
    struct store_conditions c = listen(&l);
    assert_int_equal(put_if(h, STR("a"), bytes_of(h, 10, 1), &c), 0);
    assert_int_equal(put_if(h, STR("b"), bytes_of(h, 10, 1), &c), 0);
    assert_int_equal(rows_of(h, false, rows, 8), 2);
    struct outbox_place first = place_of(h, &rows[0], false), second = place_of(h, &rows[1], false);
    assert_int_equal(store_outbox_settle(h->store, &first, &rows[0], 1), 0);
    rows[1].died_ms = 77;
    rows[1].attempts = 5;
    rows[1].why = STR("refused");
    struct str key = rows[1].event.key;
    assert_int_equal(store_outbox_move(h->store, &second, &rows[1]), 0);
    assert_int_equal(rows_of(h, false, rows, 8), 0);
    assert_int_equal(rows_of(h, true, rows, 8), 1);
    assert_true(str_eq(rows[0].event.key, key) && str_eq(rows[0].why, STR("refused")));
    assert_int_equal(rows[0].attempts, 5);
    second.dead = true;
    assert_int_equal(store_outbox_move(h->store, &second, &rows[0]), 0);
    assert_int_equal(rows_of(h, true, rows, 8), 0);
    assert_int_equal(rows_of(h, false, rows, 8), 1);
    assert_int_equal(rows[0].attempts, 0);
    arena_release(&l.arena);
}

static int sum(const struct outbox_place *place, uint64_t count, void *arg)
{
    uint64_t *n = arg;
    assert_true(str_eq(place->target, TARGET));
    n[place->dead] += count;
    return 0;
}

CASE(a_restart_counts_what_is_left_and_goes_on_behind_it)
{
    struct listener l;
    struct outbox_row rows[8];
    uint64_t counts[2] = {0};
    struct store_conditions c = listen(&l);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(put_if(h, STR("k"), bytes_of(h, 10, i), &c), 0);
    /* As if the clock had been years ahead. */
    h->store->last_seq += 1ULL << 60;
    assert_int_equal(put_if(h, STR("k"), bytes_of(h, 10, 6), &c), 0);
    home_close(h);
    home_open(h);
    assert_int_equal(store_outbox_load(h->store, sum, counts), 0);
    assert_int_equal(counts[0], 6);
    assert_int_equal(counts[1], 0);
    bool existed;
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), &c, &existed), 0);
    assert_int_equal(rows_of(h, false, rows, 8), 7);
    assert_int_equal(rows[6].event.what, STORE_REMOVED);
    arena_release(&l.arena);
}

CASE(a_bucket_that_was_deleted_stays_until_its_events_are_told)
{
    struct listener l;
    struct outbox_row rows[8];
    bool existed;
    struct store_conditions c = listen(&l);
    assert_int_equal(put_if(h, STR("k"), bytes_of(h, 10, 1), &c), 0);
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), &c, &existed), 0);
    assert_int_equal(store_bucket_delete(h->store, STR("bucket")), 0);
    for (unsigned i = 0; i < 5; i++)
        collect_all(h);
    assert_int_equal(rows_of(h, false, rows, 8), 2);
    struct outbox_place place = place_of(h, &rows[0], false);
    assert_int_equal(store_outbox_settle(h->store, &place, rows, 2), 0);
    bool done = false;
    assert_int_equal(bucket_drain(h->store, h->bucket, &done), 0);
    assert_true(done);
    arena_release(&l.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_puts_its_row_and_one_that_is_refused_does_not),
        cmocka_unit_test(a_keys_rows_are_in_the_order_of_its_writes),
        cmocka_unit_test(many_deletions_put_a_row_each_for_what_was_there),
        cmocka_unit_test(rows_go_when_settled_and_come_back_from_where_they_were_given_up),
        cmocka_unit_test(a_restart_counts_what_is_left_and_goes_on_behind_it),
        cmocka_unit_test(a_bucket_that_was_deleted_stays_until_its_events_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
