/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* One suite over both stores, then what is particular to RocksDB. */

#include "test/unit/kv_help.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "frozen_help.h"
#include "kv/kv.h"
#include "kv/mem.h"
#include "kv/rocks_internal.h"
#include "kv/wal.h"

/* ---- both stores ---------------------------------------------------------------------------- */

static void a_written_batch_is_seen_and_survives_reopening(void **state)
{
    struct store *s = *state;
    put(s->kv, "a", "1");
    put(s->kv, "b", "2");
    expect_get(s->kv, NULL, "a", "1");
    expect_get(s->kv, NULL, "c", NULL);
    reopen(s);
    expect_get(s->kv, NULL, "a", "1");
    expect_get(s->kv, NULL, "b", "2");
}

static void a_batch_sees_its_own_changes_and_the_store_does_not(void **state)
{
    struct store *s = *state;
    put(s->kv, "a", "1");
    struct kv_batch *b;
    struct buf buf;
    buf_init(&buf, 0);
    assert_int_equal(kv_batch_new(s->kv, &b), 0);
    assert_int_equal(kv_batch_get(b, STR("a"), &buf), 0);
    assert_int_equal(kv_batch_del(b, STR("a")), 0);
    assert_int_equal(kv_batch_put(b, STR("b"), STR("2")), 0);
    assert_int_equal(kv_batch_get(b, STR("a"), &buf), -ERR_NOT_FOUND);
    assert_int_equal(kv_batch_get(b, STR("b"), &buf), 0);
    assert_true(str_eq(buf_str(&buf), STR("12")));
    assert_int_equal(kv_batch_count(b), 2);
    expect_get(s->kv, NULL, "a", "1");
    expect_get(s->kv, NULL, "b", NULL);
    assert_int_equal(kv_write(s->kv, b, true), 0);
    expect_get(s->kv, NULL, "a", NULL);
    expect_get(s->kv, NULL, "b", "2");
    buf_release(&buf);
    kv_batch_free(b);
}

static void savepoints_nest(void **state)
{
    struct store *s = *state;
    struct kv_batch *b;
    assert_int_equal(kv_batch_new(s->kv, &b), 0);
    kv_batch_put(b, STR("a"), STR("1"));
    kv_batch_savepoint(b);
    kv_batch_put(b, STR("a"), STR("2"));
    kv_batch_savepoint(b);
    kv_batch_del(b, STR("a"));
    kv_batch_put(b, STR("b"), STR("3"));
    assert_int_equal(kv_batch_rollback(b), 0);
    kv_batch_put(b, STR("c"), STR("4"));
    kv_batch_keep(b);
    kv_batch_savepoint(b);
    kv_batch_put(b, STR("d"), STR("5"));
    assert_int_equal(kv_batch_rollback(b), 0);
    assert_int_equal(kv_write(s->kv, b, true), 0);
    expect_get(s->kv, NULL, "a", "2");
    expect_get(s->kv, NULL, "b", NULL);
    expect_get(s->kv, NULL, "c", "4");
    expect_get(s->kv, NULL, "d", NULL);
    kv_batch_clear(b);
    assert_int_equal(kv_batch_count(b), 0);
    kv_batch_put(b, STR("d"), STR("6"));
    assert_int_equal(kv_write(s->kv, b, true), 0);
    expect_get(s->kv, NULL, "d", "6");
    kv_batch_free(b);
}

static void expect_in_batch(struct kv_batch *b, const char *key, const char *want)
{
    struct buf buf;
    buf_init(&buf, 0);
    for (unsigned again = 0; again < 2; again++) {
        buf_reset(&buf);
        assert_int_equal(kv_batch_get(b, str_from(key), &buf), want ? 0 : -ERR_NOT_FOUND);
        assert_true(!want || str_eq(buf_str(&buf), str_from(want)));
    }
    buf_release(&buf);
}

/* Short keys are remembered from one question to the next. */
static void a_batch_asked_again_shows_what_was_done_in_between(void **state)
{
    struct store *s = *state;
    struct kv_batch *b;
    put(s->kv, "a", "1");
    assert_int_equal(kv_batch_new(s->kv, &b), 0);
    expect_in_batch(b, "a", "1");
    kv_batch_savepoint(b);
    kv_batch_put(b, STR("a"), STR("2"));
    expect_in_batch(b, "a", "2");
    kv_batch_del(b, STR("a"));
    expect_in_batch(b, "a", NULL);
    assert_int_equal(kv_batch_rollback(b), 0);
    expect_in_batch(b, "a", "1");
    kv_batch_put(b, STR("a"), STR("3"));
    expect_in_batch(b, "a", "3");
    assert_int_equal(kv_write(s->kv, b, true), 0);
    kv_batch_clear(b);
    expect_in_batch(b, "a", "3");
    kv_batch_free(b);
}

static void a_snapshot_and_an_iterator_keep_their_moment(void **state)
{
    struct store *s = *state;
    struct kv_snapshot *snap;
    struct kv_iter *by_snap, *by_time;
    put(s->kv, "a", "1");
    put(s->kv, "b", "1");
    assert_int_equal(kv_snapshot_new(s->kv, &snap), 0);
    assert_int_equal(kv_iter_new(s->kv, NULL, NULL, 0, &by_time), 0);
    put(s->kv, "a", "2");
    put(s->kv, "c", "2");
    struct kv_batch *b;
    assert_int_equal(kv_batch_new(s->kv, &b), 0);
    kv_batch_del(b, STR("b"));
    assert_int_equal(kv_write(s->kv, b, true), 0);
    kv_batch_free(b);
    assert_int_equal(kv_iter_new(s->kv, snap, NULL, 0, &by_snap), 0);
    kv_iter_seek(by_snap, STR_NULL);
    expect_rest(by_snap, false, "a=1 b=1 ");
    kv_iter_seek_for_prev(by_time, STR("z"));
    expect_rest(by_time, true, "b=1 a=1 ");
    expect_get(s->kv, snap, "a", "1");
    expect_get(s->kv, snap, "c", NULL);
    kv_iter_free(by_snap);
    kv_iter_free(by_time);
    kv_snapshot_free(s->kv, snap);
    expect_get(s->kv, NULL, "a", "2");
}

static void a_prefix_bounds_both_directions(void **state)
{
    struct store *s = *state;
    struct kv_batch *b;
    struct kv_iter *it;
    put(s->kv, "aa", "0");
    put(s->kv, "p", "1");
    put(s->kv, "p1", "2");
    put(s->kv, "p3", "3");
    put(s->kv, "q", "4");
    assert_int_equal(kv_batch_new(s->kv, &b), 0);
    kv_batch_put(b, STR("p2"), STR("5"));
    kv_batch_put(b, STR("ab"), STR("6"));
    kv_batch_put(b, STR("q"), STR("7"));
    kv_batch_del(b, STR("p1"));
    for (int with_batch = 0; with_batch < 2; with_batch++) {
        const char *all = with_batch ? "p=1 p2=5 p3=3 " : "p=1 p1=2 p3=3 ";
        const char *reverse = with_batch ? "p3=3 p2=5 p=1 " : "p3=3 p1=2 p=1 ";
        assert_int_equal(kv_iter_new_prefix(s->kv, NULL, with_batch ? b : NULL, STR("p"), 0, &it),
                         0);
        kv_iter_seek(it, STR_NULL);
        expect_rest(it, false, all);
        kv_iter_seek(it, STR("p3\1"));
        assert_false(kv_iter_valid(it));
        kv_iter_seek(it, STR("z"));
        assert_false(kv_iter_valid(it));
        kv_iter_seek_for_prev(it, STR("z"));
        expect_rest(it, true, reverse);
        kv_iter_seek_for_prev(it, STR("q"));
        expect_rest(it, true, reverse);
        kv_iter_seek_for_prev(it, STR("ab"));
        assert_false(kv_iter_valid(it));
        kv_iter_free(it);
    }
    assert_int_equal(kv_iter_new_prefix(s->kv, NULL, b, STR("\xff\xff"), 0, &it), 0);
    kv_iter_seek_for_prev(it, STR("\xff\xff\xff"));
    assert_false(kv_iter_valid(it));
    kv_iter_free(it);
    kv_batch_free(b);
}

static void an_iterator_sees_changes_made_under_it(void **state)
{
    struct store *s = *state;
    struct kv_batch *b;
    struct kv_iter *it;
    for (const char *k = "aceg"; *k; k++)
        put(s->kv, (char[]){*k, 0}, "s");
    assert_int_equal(kv_batch_new(s->kv, &b), 0);
    assert_int_equal(kv_iter_new(s->kv, NULL, b, 0, &it), 0);
    kv_iter_seek(it, STR_NULL);
    kv_batch_del(b, STR("a")); /* the current key */
    kv_batch_put(b, STR("b"), STR("n"));
    kv_iter_next(it);
    assert_true(str_eq(kv_iter_key(it), STR("b")));
    kv_batch_del(b, STR("b"));
    kv_batch_del(b, STR("c"));
    kv_batch_put(b, STR("e"), STR("n"));
    kv_iter_next(it);
    assert_true(str_eq(kv_iter_value(it), STR("n")));
    kv_batch_put(b, STR("d"), STR("n"));
    kv_iter_prev(it);
    assert_true(str_eq(kv_iter_key(it), STR("d")));
    kv_iter_next(it);
    expect_rest(it, false, "e=n g=s ");
    kv_iter_free(it);
    kv_batch_free(b);
}

/* ---- a model -------------------------------------------------------------------------------- */

#define MODEL_KEYS 64

/* Keys are the numbers below MODEL_KEYS as two letters; a value of 0 is absent. */
struct model {
    unsigned value[MODEL_KEYS];
};

static struct str model_key(unsigned i, char buf[2])
{
    buf[0] = (char)('a' + i / 8);
    buf[1] = (char)('a' + i % 8);
    return str_make(buf, 2);
}

static void model_change(struct model *m, struct kv_batch *b)
{
    char key[2], value[16];
    unsigned i = (unsigned)rand() % MODEL_KEYS;
    m->value[i] = rand() % 3 ? 1 + (unsigned)rand() % 1000 : 0;
    snprintf(value, sizeof(value), "%u", m->value[i]);
    int r = m->value[i] ? kv_batch_put(b, model_key(i, key), str_from(value))
                        : kv_batch_del(b, model_key(i, key));
    assert_int_equal(r, 0);
}

/* Where the iterator stands must be `at`, or nowhere when that is out of range. */
static void model_expect(const struct model *m, struct kv_iter *it, int at)
{
    char key[2], value[16];
    assert_int_equal(kv_iter_valid(it), at >= 0 && at < MODEL_KEYS);
    assert_int_equal(kv_iter_error(it), 0);
    if (!kv_iter_valid(it))
        return;
    snprintf(value, sizeof(value), "%u", m->value[at]);
    assert_true(str_eq(kv_iter_key(it), model_key((unsigned)at, key)));
    assert_true(str_eq(kv_iter_value(it), str_from(value)));
}

static int model_move(const struct model *m, int at, int by)
{
    for (at += by; at >= 0 && at < MODEL_KEYS && m->value[at] == 0;)
        at += by;
    return at;
}

/* Random seeks and turns, with changes made in between when `b` is given. */
static void model_walk(struct model *m, struct kv *kv, struct kv_batch *b)
{
    struct kv_iter *it;
    char key[2];
    int at = -1;
    assert_int_equal(kv_iter_new(kv, NULL, b, 0, &it), 0);
    for (int i = 0; i < 60; i++) {
        int way = rand() % 6, to = rand() % MODEL_KEYS;
        if (b && rand() % 4 == 0) {
            model_change(m, b);
        }
        if (way == 0 || !kv_iter_valid(it)) {
            kv_iter_seek(it, model_key((unsigned)to, key));
            at = model_move(m, to - 1, 1);
        } else if (way == 1) {
            kv_iter_seek_for_prev(it, model_key((unsigned)to, key));
            at = model_move(m, to + 1, -1);
        } else if (way < 4) {
            kv_iter_next(it);
            at = model_move(m, at, 1);
        } else {
            kv_iter_prev(it);
            at = model_move(m, at, -1);
        }
        model_expect(m, it, at);
    }
    kv_iter_free(it);
}

static void random_batches_agree_with_a_model(void **state)
{
    struct store *s = *state;
    struct model m = {0}, before;
    struct kv_batch *b;
    srand(4);
    assert_int_equal(kv_batch_new(s->kv, &b), 0);
    for (int round = 0; round < 300; round++) {
        for (int i = rand() % 8; i > 0; i--)
            model_change(&m, b);
        before = m;
        kv_batch_savepoint(b);
        model_walk(&m, s->kv, b);
        if (rand() % 2) {
            assert_int_equal(kv_batch_rollback(b), 0);
            m = before;
        } else {
            kv_batch_keep(b);
        }
        assert_int_equal(kv_write(s->kv, b, rand() % 2), 0);
        kv_batch_clear(b);
        model_walk(&m, s->kv, NULL);
    }
    kv_batch_free(b);
    reopen(s);
    model_walk(&m, s->kv, NULL);
}

/* ---- RocksDB -------------------------------------------------------------------------------- */

static void a_cached_read_asks_for_the_disk_rather_than_guess(void **state)
{
    struct store *s = *state;
    struct buf buf;
    struct kv_iter *it;
    buf_init(&buf, 0);
    put(s->kv, "cold", "1");
    put(s->kv, "empty", "");
    assert_int_equal(kv_get(s->kv, NULL, STR("cold"), KV_CACHED, &buf), 0);
    put(s->kv, "\xffzulky", "1");
    reopen(s); /* closing puts it in a table, whose blocks nobody has read */
    rocks_set_cold(true);
    assert_int_equal(kv_get(s->kv, NULL, STR("\xffzulky"), KV_CACHED, &buf), -EAGAIN);
    assert_int_equal(kv_get(s->kv, NULL, STR("cold"), KV_CACHED, &buf), -EAGAIN);
    assert_int_equal(kv_iter_new(s->kv, NULL, NULL, KV_CACHED, &it), 0);
    kv_iter_seek(it, STR("cold"));
    assert_false(kv_iter_valid(it));
    assert_int_equal(kv_iter_error(it), -EAGAIN);
    kv_iter_free(it);
    expect_get(s->kv, NULL, "cold", "1");
    assert_int_equal(kv_get(s->kv, NULL, STR("cold"), KV_CACHED, &buf), 0);
    buf_reset(&buf);
    assert_int_equal(kv_get(s->kv, NULL, STR("empty"), KV_CACHED, &buf), 0);
    assert_int_equal(buf.len, 0);
    expect_get(s->kv, NULL, "\xffzulky", "1");
    /* The value is in no cache of RocksDB's, only in the kernel's. */
    assert_int_equal(kv_get(s->kv, NULL, STR("\xffzulky"), KV_CACHED, &buf), -EAGAIN);
    rocks_set_cold(false);
    assert_int_equal(kv_get(s->kv, NULL, STR("\xffzulky"), KV_CACHED, &buf), 0);
    buf_release(&buf);
}

static const char *bulk_key(unsigned n, char ret[32])
{
    snprintf(ret, 32, "\xff%08u", n);
    return ret;
}

#define BULK_VALUE (16 * KIB)

static void put_bulk(struct kv *kv, unsigned from, unsigned to)
{
    static char value[BULK_VALUE + 1];
    char key[32];
    struct kv_batch *b;
    memset(value, 'v', BULK_VALUE);
    assert_int_equal(kv_batch_new(kv, &b), 0);
    for (unsigned i = from; i < to; i++) {
        snprintf(value, 16, "%015u", i);
        value[15] = 'v';
        assert_int_equal(kv_batch_put(b, str_from(bulk_key(i, key)), str_from(value)), 0);
        if (i % 64 == 63) {
            assert_int_equal(kv_write(kv, b, true), 0);
            kv_batch_clear(b);
        }
    }
    assert_int_equal(kv_write(kv, b, true), 0);
    kv_batch_free(b);
}

static void del_bulk(struct kv *kv, unsigned from, unsigned to, unsigned step)
{
    char key[32];
    struct kv_batch *b;
    assert_int_equal(kv_batch_new(kv, &b), 0);
    for (unsigned i = from; i < to; i += step)
        assert_int_equal(kv_batch_del(b, str_from(bulk_key(i, key))), 0);
    assert_int_equal(kv_write(kv, b, true), 0);
    kv_batch_free(b);
}

static void expect_bulk(struct kv *kv, unsigned from, unsigned to, unsigned step)
{
    char key[32], start[17];
    struct buf buf;
    buf_init(&buf, 0);
    for (unsigned i = from; i < to; i += step) {
        buf_reset(&buf);
        snprintf(start, sizeof(start), "%015uv", i);
        assert_int_equal(kv_get(kv, NULL, str_from(bulk_key(i, key)), 0, &buf), 0);
        assert_int_equal(buf.len, BULK_VALUE);
        assert_memory_equal(buf.data, start, 16);
    }
    buf_release(&buf);
}

/* Bytes of the files that hold values, after all the compaction that is worth it. */
static uint64_t bulk_bytes(struct store *s)
{
    uint64_t freed = 0;
    do
        assert_int_equal(kv_compact(s->kv, &freed), 0);
    while (freed);
    struct rocks_kv *h = rocks_of(s->kv);
    return rocks_property(h, h->families[ROCKS_BULK], "rocksdb.live-blob-file-size");
}

static void space_of_deleted_bulky_values_comes_back(void **state)
{
    struct store *s = *state;
    const unsigned n = 2048;
    const uint64_t all = (uint64_t)n * BULK_VALUE;
    uint64_t freed;
    put_bulk(s->kv, 0, n);
    assert_int_equal(kv_compact(s->kv, &freed), 0);
    assert_int_equal(freed, 0); /* nothing was deleted */
    del_bulk(s->kv, 0, n, 8);
    bulk_bytes(s); /* an eighth is not worth it */
    expect_bulk(s->kv, 1, n, 8);
    for (unsigned i = 1; i < 6; i++)
        del_bulk(s->kv, i, n, 8);
    assert_true(bulk_bytes(s) < all / 4 * 3 / 2); /* a quarter lives */
    expect_bulk(s->kv, 6, n, 8);
    expect_bulk(s->kv, 7, n, 8);
    reopen(s);
    expect_bulk(s->kv, 7, n, 8);
    for (unsigned i = 6; i < 8; i++)
        del_bulk(s->kv, i, n, 8);
    assert_true(bulk_bytes(s) <= 4 * MIB);
}

static void steadily_overwritten_bulky_values_take_little_more_than_they_are(void **state)
{
    struct store *s = *state;
    const unsigned n = 1024;
    for (unsigned round = 0; round < 6; round++) {
        put_bulk(s->kv, round * n, (round + 1) * n);
        if (round)
            del_bulk(s->kv, (round - 1) * n, round * n, 1);
        assert_true(bulk_bytes(s) <= (uint64_t)n * BULK_VALUE * 3 / 2);
        expect_bulk(s->kv, round * n, (round + 1) * n, 16);
    }
}

/* What is in the cache is given up for it; later it fills again. */
static void nothing_is_begun_while_the_reserve_of_memory_is_low(void **state)
{
    struct store *s = *state;
    struct kv_iter *it;
    struct buf value;
    buf_init(&value, 0);
    put(s->kv, "a", "1");
    assert_int_equal(reserve_open(MIB), 0);
    void *most = reserve_take(MIB / 2 + KIB, 16);
    assert_int_equal(kv_get(s->kv, NULL, STR("a"), 0, &value), -ENOMEM);
    assert_int_equal(kv_get(s->kv, NULL, STR("a"), KV_CACHED, &value), -ENOMEM);
    assert_int_equal(kv_iter_new(s->kv, NULL, NULL, 0, &it), -ENOMEM);
    assert_int_equal(kv_room(s->kv), -ENOMEM);
    assert_int_equal(rocksdb_cache_get_capacity(s->shared->block_cache), 0);
    reserve_give(most);
    expect_get(s->kv, NULL, "a", "1");
    assert_int_equal(kv_room(s->kv), 0);
    assert_int_equal(rocksdb_cache_get_capacity(s->shared->block_cache), 8 * MIB);
    reserve_close();
    buf_release(&value);
}

static void a_second_opening_is_refused(void **state)
{
    struct store *s = *state;
    struct kv *second;
    assert_int_equal(kv_rocks_open(&second, s->shared, s->path, true), -ERR_BUSY);
}

static void a_damaged_store_is_refused(void **state)
{
    struct store *s = *state;
    char command[256];
    struct kv *kv;
    put(s->kv, "a", "1");
    kv_close(TAKE_PTR(s->kv));
    snprintf(command, sizeof(command), "truncate -s 10 %s/MANIFEST-*", s->path);
    assert_int_equal(system(command), 0);
    assert_int_equal(kv_rocks_open(&kv, s->shared, s->path, true), -ERR_CORRUPT);
}

/*
 * Another process (RocksDB's threads do not survive a fork): writes numbered rows, synced, and
 * tells each number on its standard output once it is durable, until it is killed.
 */
static int write_until_killed(const char *path)
{
    struct kv_rocks_shared *shared;
    struct kv_rocks_config config = {.write_buffer_bytes = 1 * MIB};
    struct kv *kv;
    struct kv_batch *b;
    char value[4000];
    memset(value, 'v', sizeof(value));
    if (kv_rocks_shared_new(&shared, &config) < 0 || kv_rocks_open(&kv, shared, path, true) < 0 ||
        kv_batch_new(kv, &b) < 0)
        return 1;
    for (uint32_t i = 1;; i++) {
        char key[16];
        kv_batch_clear(b);
        snprintf(key, sizeof(key), "%08u", i);
        if (kv_batch_put(b, str_from(key), str_make(value, (i * 37) % sizeof(value))) < 0 ||
            kv_write(kv, b, true) < 0 || write(STDOUT_FILENO, &i, sizeof(i)) != sizeof(i))
            return 1;
    }
}

/* Another process: a hundred small batches and one large, of several log blocks; ends at once. */
static int write_and_vanish(const char *path)
{
    struct kv_rocks_shared *shared;
    struct kv *kv;
    struct kv_batch *b;
    static const char value[3000] = {[0 ... 2999] = 'v'};
    if (kv_rocks_shared_new(&shared, &(struct kv_rocks_config){0}) < 0 ||
        kv_rocks_open(&kv, shared, path, true) < 0 || kv_batch_new(kv, &b) < 0)
        return 1;
    for (unsigned i = 0; i <= 100; i++) {
        kv_batch_clear(b);
        for (unsigned j = 0; j < (i < 100 ? 1 : 50); j++) {
            char key[24];
            snprintf(key, sizeof(key), "%03u.%02u", i, j);
            if (kv_batch_put(b, str_from(key), str_make(value, sizeof(value))) < 0)
                return 1;
        }
        if (kv_write(kv, b, true) < 0)
            return 1;
    }
    _exit(0);
}

static int write_rows(struct kv *kv, unsigned count)
{
    struct kv_batch *b;
    static const char value[4000] = {[0 ... 3999] = 'v'};
    int r = kv_batch_new(kv, &b);
    for (unsigned i = 0; r == 0 && i < count; i++) {
        char key[16];
        kv_batch_clear(b);
        snprintf(key, sizeof(key), "%08u", i);
        r = kv_batch_put(b, str_from(key), str_make(value, sizeof(value)));
        r = r ? r : kv_write(kv, b, false);
    }
    kv_batch_free(b);
    return r;
}

/* Another process, for the threads are its own: a buffer of one store is flushed to a disk that
 * hangs, then many of another's to one that does not. */
static int write_beside_a_frozen_disk(const char *dir)
{
    struct kv_rocks_config config = {.write_buffer_bytes = 1 * MIB, .several_disks = true};
    struct kv_rocks_shared *shared;
    struct kv *hangs, *works;
    struct frozen disk;
    char path[256];
    if (!frozen_make(&disk, dir))
        return 77;
    snprintf(path, sizeof(path), "%s/disk/store", dir);
    if (kv_rocks_shared_new(&shared, &config) < 0 || kv_rocks_open(&hangs, shared, path, false) < 0)
        return 1;
    snprintf(path, sizeof(path), "%s/store", dir);
    if (kv_rocks_open(&works, shared, path, false) < 0 || !frozen_freeze(&disk))
        return 2;
    int r = write_rows(hangs, 80); /* a buffer and some */
    r = r ? r : write_rows(works, 1000);
    bool in_time = frozen_thaw(&disk);
    kv_close(hangs);
    kv_close(works);
    kv_rocks_shared_free(shared);
    kv_rocks_destroy(path);
    return r == 0 && in_time && frozen_drop(&disk) ? 0 : 3;
}

static const char *program; /* argv[0] */

static pid_t start(const char *what, const char *path, int *ret_told)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        execl(program, program, what, path, NULL);
        _exit(127);
    }
    close(fds[1]);
    *ret_told = fds[0];
    return pid;
}

static void a_store_on_a_disk_that_hangs_holds_up_no_other(void **state)
{
    char dir[] = "/tmp/cairn-kv-XXXXXX";
    int told_fd, status;
    assert_non_null(mkdtemp(dir));
    waitpid(start("write-beside-a-frozen-disk", dir, &told_fd), &status, 0);
    close(told_fd);
    rmdir(dir);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

static void expect_numbered_rows(struct kv *kv, uint32_t last)
{
    struct buf buf;
    buf_init(&buf, 0);
    for (uint32_t i = 1; i <= last; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%08u", i);
        buf_reset(&buf);
        assert_int_equal(kv_get(kv, NULL, str_from(key), 0, &buf), 0);
        assert_int_equal(buf.len, (i * 37) % 4000);
    }
    buf_release(&buf);
}

static void killing_the_process_loses_nothing_synced(void **state)
{
    struct store *s = *state;
    for (uint32_t round = 0; round < 5; round++) {
        int told_fd;
        uint32_t told = 0, last = 0;
        kv_close(TAKE_PTR(s->kv));
        pid_t pid = start("write-until-killed", s->path, &told_fd);
        while (read(told_fd, &told, sizeof(told)) == sizeof(told)) {
            last = told;
            if (last == 100 + 150 * round)
                kill(pid, SIGKILL);
        }
        close(told_fd);
        waitpid(pid, NULL, 0);
        assert_true(last >= 100 + 150 * round);
        store_open(s, true);
        expect_numbered_rows(s->kv, last);
    }
}

/* What is done to the log, counted from its end, and what opening then finds. */
static const struct damage {
    off_t from_end;
    size_t zeros; /* 0: the log is cut off there */
    int open;     /* what kv_rocks_open answers */
    bool last;    /* whether the last batch is there */
} damages[] = {
    {0, 20000, 0, true},                      /* room that was never written */
    {-4097, 0, 0, false},                     /* torn: the end is missing */
    {-100000, 0, 0, false},                   /* torn: most is missing */
    {-4096, 4096, 0, false},                  /* torn: the last page is missing */
    {-60000, 4096, 0, false},                 /* torn: a page in its middle is */
    {-251000, 1, -ERR_CORRUPT, false},        /* a byte of an earlier batch */
    {-251000, 4096, -ERR_CORRUPT, false},     /* a page of some */
    {-251000, 64 * KIB, -ERR_CORRUPT, false}, /* more than a block */
};

/* What the log was written ahead goes, so that it ends with its last batch. */
static void cut_ahead(const char *path)
{
    struct wal_reader *r;
    char bytes[4096];
    uint64_t len = 0;
    assert_int_equal(wal_open(&r, path, wal_number(path)), 0);
    for (ssize_t got; (got = wal_read(r, bytes, sizeof(bytes))) > 0;)
        len += (uint64_t)got;
    wal_reader_free(r);
    assert_int_equal(wal_cut(path, wal_number(path), len), 0);
}

/* The log that holds the batches, made anew. */
static void make_log(struct store *s, char *ret_path, size_t cap)
{
    int fd;
    DIR *dir;
    struct dirent *e;
    assert_int_equal(kv_rocks_destroy(s->path), 0);
    pid_t pid = start("write-and-vanish", s->path, &fd);
    close(fd);
    waitpid(pid, NULL, 0);
    assert_non_null(dir = opendir(s->path));
    *ret_path = 0;
    while ((e = readdir(dir)))
        if (str_ends(str_from(e->d_name), STR(".log")))
            snprintf(ret_path, cap, "%s/%s", s->path, e->d_name);
    closedir(dir);
    assert_true(*ret_path);
    cut_ahead(ret_path);
}

static void damage_log(const char *path, const struct damage *d)
{
    static const char zeros[64 * KIB];
    int fd = open(path, O_WRONLY);
    off_t at = lseek(fd, d->from_end, SEEK_END);
    assert_true(at > 0);
    if (d->zeros)
        assert_int_equal(pwrite(fd, zeros, d->zeros, at), d->zeros);
    else
        assert_int_equal(ftruncate(fd, at), 0);
    close(fd);
    /* A power cut cuts no file off: the zeros that were written ahead would be behind the tear. */
    struct wal_known k = {
        .log = wal_number(path), .len_bytes = WAL_BLOCK, .retired = wal_number(path) - 1};
    assert_int_equal(wal_known_write(path, &k), 0);
}

static void a_torn_log_loses_its_last_batch_and_a_damaged_one_is_refused(void **state)
{
    struct store *s = *state;
    char log[200];
    kv_close(TAKE_PTR(s->kv));
    for (const struct damage *d = damages; d < damages + ARRAY_LEN(damages); d++) {
        make_log(s, log, sizeof(log));
        damage_log(log, d);
        assert_int_equal(kv_rocks_open(&s->kv, s->shared, s->path, true), d->open);
        if (d->open < 0)
            continue;
        struct buf buf;
        buf_init(&buf, 0);
        assert_int_equal(kv_get(s->kv, NULL, STR("099.00"), 0, &buf), 0);
        for (unsigned j = 0; j < 50; j += 49) {
            char key[24];
            snprintf(key, sizeof(key), "100.%02u", j);
            assert_int_equal(kv_get(s->kv, NULL, str_from(key), 0, &buf),
                             d->last ? 0 : -ERR_NOT_FOUND);
        }
        buf_release(&buf);
        kv_close(TAKE_PTR(s->kv));
    }
}

/* The manifest's path. */
static void find_manifest(const char *store, char *ret, size_t cap)
{
    DIR *dir = opendir(store);
    struct dirent *e;
    assert_non_null(dir);
    *ret = 0;
    while ((e = readdir(dir)))
        if (str_starts(str_from(e->d_name), STR("MANIFEST-")))
            snprintf(ret, cap, "%s/%s", store, e->d_name);
    closedir(dir);
    assert_true(*ret);
}

static void put_one(struct kv *kv, struct str key)
{
    struct kv_batch *b;
    assert_int_equal(kv_batch_new(kv, &b), 0);
    assert_int_equal(kv_batch_put(b, key, STR("value")), 0);
    assert_int_equal(kv_write(kv, b, true), 0);
    kv_batch_free(b);
}

/* What RocksDB takes for a list that was longer: the tables that it named would be thrown away. */
static void expect_missed(struct store *s, const char *manifest, const char *copy, bool zeros)
{
    char command[500], why[KV_ROCKS_WHY];
    for (off_t less = 1; less < 300; less += 23) {
        static const char nothing[300];
        int fd = open(manifest, O_RDWR);
        off_t len = lseek(fd, 0, SEEK_END);
        if (zeros)
            assert_int_equal(pwrite(fd, nothing, (size_t)less, len - less), less);
        else
            assert_int_equal(ftruncate(fd, len - less), 0);
        close(fd);
        assert_int_equal(kv_rocks_open(&s->kv, s->shared, s->path, true), -ERR_CORRUPT);
        assert_int_equal(kv_rocks_why(s->path, why), -ERR_CORRUPT);
        assert_non_null(strstr(why, "the end of MANIFEST-"));
        snprintf(command, sizeof(command), "cp %s %s", copy, manifest);
        assert_int_equal(system(command), 0);
    }
}

static void the_end_of_the_list_of_tables_is_missed(void **state)
{
    struct store *s = *state;
    char manifest[200], copy[200], command[500], why[KV_ROCKS_WHY];
    snprintf(copy, sizeof(copy), "%s/copy", s->dir);
    for (unsigned i = 0; i < 3; i++) {
        put_one(s->kv, STR("apple"));
        kv_close(TAKE_PTR(s->kv));
        assert_int_equal(kv_rocks_open(&s->kv, s->shared, s->path, true), 0);
    }
    put_one(s->kv, STR("pear"));
    kv_close(TAKE_PTR(s->kv));
    find_manifest(s->path, manifest, sizeof(manifest));
    snprintf(command, sizeof(command), "cp %s %s", manifest, copy);
    assert_int_equal(system(command), 0);
    expect_missed(s, manifest, copy, false);
    expect_missed(s, manifest, copy, true);
    assert_int_equal(unlink(copy), 0);
    assert_int_equal(kv_rocks_why(s->path, why), 0);
    assert_string_equal(why, "");
    assert_int_equal(kv_rocks_open(&s->kv, s->shared, s->path, true), 0);
    struct buf value;
    buf_init(&value, 0);
    assert_int_equal(kv_get(s->kv, NULL, STR("pear"), 0, &value), 0);
    buf_release(&value);
}

static uint64_t bytes_of_logs(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *e;
    struct stat st;
    uint64_t bytes = 0;
    assert_non_null(dir);
    while ((e = readdir(dir)))
        if (str_ends(str_from(e->d_name), STR(".log")) &&
            fstatat(dirfd(dir), e->d_name, &st, 0) == 0)
            bytes += (uint64_t)st.st_size;
    closedir(dir);
    return bytes;
}

/* One row of the other family, written first, keeps all that follows in the logs. */
static void small_batches_make_no_large_logs(void **state)
{
    struct store *s = *state;
    struct kv_rocks_config config = {.write_buffer_bytes = 1 * MIB};
    kv_close(TAKE_PTR(s->kv));
    kv_rocks_shared_free(s->shared);
    assert_int_equal(kv_rocks_shared_new(&s->shared, &config), 0);
    store_open(s, true);
    put(s->kv,
        "\xff"
        "bulky",
        "value");
    for (unsigned i = 0; i < 2500; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%04u", i);
        put(s->kv, key, "x");
    }
    /* Each took a block; tables are flushed and logs retired in the background. */
    for (unsigned i = 0; bytes_of_logs(s->path) > 8 * MIB && i < 3000; i++)
        usleep(10000);
    assert_true(bytes_of_logs(s->path) <= 8 * MIB);
    reopen(s);
    expect_get(s->kv, NULL,
               "\xff"
               "bulky",
               "value");
    expect_get(s->kv, NULL, "0000", "x");
    expect_get(s->kv, NULL, "2499", "x");
}

/* Where a log is cut, as the number of the last change that stays, and what that answers. The
 * changes 1 to 100 are a batch each, 101 to 150 are one. */
static const struct cut {
    uint64_t sequence;
    int answer;
    unsigned batches; /* that are there afterwards */
} cuts[] = {
    {150, 0, 101}, {100, 0, 100}, {99, 0, 99}, {1, 0, 1}, {120, -ERR_CORRUPT, 101}, {0, 0, 0},
};

static void a_log_is_cut_behind_the_last_acknowledged_change(void **state)
{
    struct store *s = *state;
    char log[200], key[24];
    struct buf buf;
    buf_init(&buf, 0);
    kv_close(TAKE_PTR(s->kv));
    for (const struct cut *c = cuts; c < cuts + ARRAY_LEN(cuts); c++) {
        make_log(s, log, sizeof(log));
        assert_int_equal(rocks_log_cut(s->path, c->sequence), c->answer);
        store_open(s, true);
        for (unsigned i = 0; i <= 100; i++) {
            snprintf(key, sizeof(key), "%03u.00", i);
            assert_int_equal(kv_get(s->kv, NULL, str_from(key), 0, &buf),
                             i < c->batches ? 0 : -ERR_NOT_FOUND);
        }
        kv_close(TAKE_PTR(s->kv));
    }
    buf_release(&buf);
}

static void a_damaged_log_is_not_cut(void **state)
{
    struct store *s = *state;
    char log[200];
    struct damage d = {-251000, 1, 0, false};
    kv_close(TAKE_PTR(s->kv));
    make_log(s, log, sizeof(log));
    damage_log(log, &d);
    assert_int_equal(rocks_log_cut(s->path, 100), -ERR_CORRUPT);
}

#define BOTH(f)                                      \
    {"mem: " #f, f, setup_mem, teardown, NULL},      \
    {                                                \
        "rocks: " #f, f, setup_rocks, teardown, NULL \
    }

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 3 && strcmp(argv[1], "write-until-killed") == 0)
        return write_until_killed(argv[2]);
    if (argc == 3 && strcmp(argv[1], "write-and-vanish") == 0)
        return write_and_vanish(argv[2]);
    if (argc == 3 && strcmp(argv[1], "write-beside-a-frozen-disk") == 0)
        return write_beside_a_frozen_disk(argv[2]);
    const struct CMUnitTest tests[] = {
        BOTH(a_written_batch_is_seen_and_survives_reopening),
        BOTH(a_batch_sees_its_own_changes_and_the_store_does_not),
        BOTH(savepoints_nest),
        BOTH(a_batch_asked_again_shows_what_was_done_in_between),
        BOTH(a_snapshot_and_an_iterator_keep_their_moment),
        BOTH(a_prefix_bounds_both_directions),
        BOTH(an_iterator_sees_changes_made_under_it),
        BOTH(random_batches_agree_with_a_model),
        cmocka_unit_test_setup_teardown(a_cached_read_asks_for_the_disk_rather_than_guess,
                                        setup_rocks, teardown),
        cmocka_unit_test(a_store_on_a_disk_that_hangs_holds_up_no_other),
        cmocka_unit_test_setup_teardown(space_of_deleted_bulky_values_comes_back, setup_rocks,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            steadily_overwritten_bulky_values_take_little_more_than_they_are, setup_rocks,
            teardown),
        cmocka_unit_test_setup_teardown(nothing_is_begun_while_the_reserve_of_memory_is_low,
                                        setup_rocks, teardown),
        cmocka_unit_test_setup_teardown(a_second_opening_is_refused, setup_rocks, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_store_is_refused, setup_rocks, teardown),
        cmocka_unit_test_setup_teardown(
            a_torn_log_loses_its_last_batch_and_a_damaged_one_is_refused, setup_rocks, teardown),
        cmocka_unit_test_setup_teardown(the_end_of_the_list_of_tables_is_missed, setup_rocks,
                                        teardown),
        cmocka_unit_test_setup_teardown(small_batches_make_no_large_logs, setup_rocks, teardown),
        cmocka_unit_test_setup_teardown(a_log_is_cut_behind_the_last_acknowledged_change,
                                        setup_rocks, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_log_is_not_cut, setup_rocks, teardown),
        cmocka_unit_test_setup_teardown(killing_the_process_loses_nothing_synced, setup_rocks,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
