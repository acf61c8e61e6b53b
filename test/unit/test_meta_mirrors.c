/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Metadata on several mirrors: losing one under load, coming back, coming in, and which one is
 * believed at the start. Over memory, where faults can be set, and some of it over RocksDB.
 */

#include "test/unit/unit.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>
#include "kv/mem.h"
#include "meta/meta.h"
#include "rt/rt.h"

#define DISKS   3
#define WRITERS 6
#define TRIES   48000 /* of 5 ms: who waits for minutes waits for what does not come */

/* The functions under `run` are on a fiber, where a failed assert of cmocka could not jump from. */

/* Three disks that outlive what is opened on them. */
struct disks {
    bool rocks;
    struct kv_mem *mem[DISKS];
    struct kv_rocks_shared *shared;
    char dir[64];
    struct meta *m;
    struct meta_mirrors_config config; /* but for the mirrors */
    char why[META_WHY_BYTES];
};

struct opening {
    struct disks *d;
    unsigned disk;
    struct kv *kv;
};

static void store_path(const struct disks *d, unsigned disk, char ret[80])
{
    snprintf(ret, 80, "%s/%u", d->dir, disk);
}

static int open_disk(void *arg)
{
    struct opening *o = arg;
    char path[80];
    if (!o->d->rocks)
        return kv_mem_open(&o->kv, o->d->mem[o->disk]);
    store_path(o->d, o->disk, path);
    return kv_rocks_open(&o->kv, o->d->shared, path, true);
}

static struct meta_mirror FIBER mirror(struct disks *d, unsigned disk)
{
    struct opening o = {d, disk, NULL};
    CHECK(rt_offload(open_disk, &o) == 0);
    struct meta_mirror m = {.kv = o.kv};
    m.id[0] = (uint8_t)(disk + 1);
    return m;
}

/* `which`: a bit for each disk. */
static int FIBER open_some(struct disks *d, unsigned which)
{
    struct meta_mirror mirrors[DISKS];
    struct meta_mirrors_config config = d->config;
    for (unsigned i = 0; i < DISKS; i++)
        if (which & 1u << i)
            mirrors[config.count++] = mirror(d, i);
    config.mirrors = mirrors;
    return meta_mirrors_open(&d->m, &config, d->why);
}

static void FIBER must_open(struct disks *d, unsigned which)
{
    CHECK(open_some(d, which) == 0);
}

static void FIBER close_it(struct disks *d)
{
    meta_close(TAKE_PTR(d->m));
}

static struct meta_mirror_stats stats_of(struct disks *d, unsigned disk)
{
    struct meta_mirror_stats all[META_MIRRORS_MAX];
    unsigned n = meta_mirror_stats(d->m, all);
    for (unsigned i = 0; i < n; i++)
        if (all[i].id[0] == disk + 1)
            return all[i];
    return (struct meta_mirror_stats){.state = META_MIRROR_LOST, .err = -ERR_NOT_FOUND};
}

static void FIBER wait_a_little(unsigned *tries)
{
    CHECK(++*tries < TRIES);
    rt_sleep_until(rt_now() + 5 * RT_MS);
}

static void FIBER wait_state(struct disks *d, unsigned disk, enum meta_mirror_state state)
{
    struct meta_mirror_stats s;
    unsigned tries = 0;
    while ((s = stats_of(d, disk)).state != state) {
        if (tries + 1 == TRIES)
            fprintf(stderr, "disk %u: not %d but %d, error %d, %" PRIu64 " keys, %" PRIu64 " ms\n",
                    disk, (int)state, (int)s.state, s.err, s.rebuilt_keys, s.rebuild_ms);
        wait_a_little(&tries);
    }
}

/* A bit for each disk that takes part. */
static unsigned taking_part(struct disks *d)
{
    unsigned which = 0;
    for (unsigned i = 0; i < DISKS; i++)
        if (stats_of(d, i).state == META_MIRROR_IN)
            which |= 1u << i;
    return which;
}

/* ---- transactions --------------------------------------------------------------------------- */

struct change {
    const char *key, *value; /* value NULL: delete */
};

static int change(struct meta_tx *tx, void *arg)
{
    struct change *c = arg;
    return c->value ? meta_put(tx, str_from(c->key), str_from(c->value))
                    : meta_del(tx, str_from(c->key));
}

static int FIBER put(struct disks *d, const char *key, const char *value)
{
    struct change c = {key, value};
    return meta_write(d->m, BUCKET_SYSTEM, change, &c);
}

static int read_key(struct meta_tx *tx, void *arg)
{
    struct change *c = arg;
    struct str value;
    int r = meta_get(tx, str_from(c->key), &value);
    if (r == 0 && c->value)
        CHECK(str_eq(value, str_from(c->value)));
    return r;
}

/* `value` NULL: the key must not be there. */
static void FIBER expect(struct disks *d, const char *key, const char *value)
{
    struct change c = {key, value};
    CHECK(meta_read(d->m, BUCKET_SYSTEM, read_key, &c) == (value ? 0 : -ERR_NOT_FOUND));
}

/* Writers, each with its own keys; every acknowledged row is remembered. */
#define LOAD_KEYS 2000 /* of each writer */

struct load {
    struct disks *d;
    bool stop;
    unsigned failures, allowed_failures;
    unsigned acked[WRITERS];
    struct rt_fiber *fibers[WRITERS];
    unsigned started;
};

struct writer {
    struct load *load;
    unsigned n;
};

/* The keys come round again: what is to be rebuilt must not grow as fast as a machine can write. */
static void load_key(char ret[32], unsigned writer, unsigned i)
{
    snprintf(ret, 32, "load%u/%05u", writer, i % LOAD_KEYS);
}

static int write_on(void *arg)
{
    struct load *l = arg;
    unsigned n = l->started++;
    char key[32], value[400];
    while (!l->stop) {
        load_key(key, n, l->acked[n]);
        memset(value, 'a' + (int)(l->acked[n] % 26), sizeof(value));
        value[sizeof(value) - 1] = 0;
        int r = put(l->d, key, value);
        if (r == 0)
            l->acked[n]++;
        else
            CHECK(++l->failures <= l->allowed_failures);
        rt_sleep_until(rt_now() + 100 * RT_US);
    }
    return 0;
}

static void FIBER load_start(struct load *l, struct disks *d)
{
    *l = (struct load){.d = d};
    for (unsigned i = 0; i < WRITERS; i++)
        CHECK(rt_spawn(&l->fibers[i], "writer", write_on, l) == 0);
}

static unsigned load_sum(const struct load *l)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < WRITERS; i++)
        sum += l->acked[i];
    return sum;
}

/* Until so many more were acknowledged. */
static void FIBER load_more(const struct load *l, unsigned more)
{
    unsigned until = load_sum(l) + more, tries = 0;
    while (load_sum(l) < until)
        wait_a_little(&tries);
}

static void FIBER load_stop(struct load *l)
{
    l->stop = true;
    for (unsigned i = 0; i < WRITERS; i++)
        CHECK(rt_join(l->fibers[i]) == 0);
}

static void FIBER load_expect(const struct load *l)
{
    char key[32];
    for (unsigned w = 0; w < WRITERS; w++) {
        for (unsigned i = 0; i < MIN(l->acked[w], (unsigned)LOAD_KEYS); i++) {
            struct change c = {.key = key};
            load_key(key, w, i);
            CHECK(meta_read(l->d->m, BUCKET_SYSTEM, read_key, &c) == 0);
        }
    }
}

/* ---- what lies on the disks ----------------------------------------------------------------- */

static int next_row(struct kv_iter *it)
{
    while (kv_iter_valid(it) && kv_iter_key(it).len < 8)
        kv_iter_next(it);
    CHECK(kv_iter_error(it) == 0);
    return kv_iter_valid(it);
}

static int compare(void *arg)
{
    struct kv **kv = arg;
    struct kv_iter *a, *b;
    CHECK(kv_iter_new(kv[0], NULL, NULL, 0, &a) == 0 && kv_iter_new(kv[1], NULL, NULL, 0, &b) == 0);
    kv_iter_seek(a, STR_NULL);
    kv_iter_seek(b, STR_NULL);
    unsigned rows = 0;
    while (next_row(a) & next_row(b)) {
        CHECK(str_eq(kv_iter_key(a), kv_iter_key(b)));
        CHECK(str_eq(kv_iter_value(a), kv_iter_value(b)));
        kv_iter_next(a);
        kv_iter_next(b);
        rows++;
    }
    CHECK(!next_row(a) && !next_row(b));
    kv_iter_free(a);
    kv_iter_free(b);
    return (int)rows;
}

static int close_kv(void *arg)
{
    kv_close(arg);
    return 0;
}

/* Nothing is open. */
static void FIBER expect_same(struct disks *d, unsigned a, unsigned b)
{
    struct kv *kv[2] = {mirror(d, a).kv, mirror(d, b).kv};
    CHECK(rt_offload(compare, kv) >= 0);
    rt_offload(close_kv, kv[0]);
    rt_offload(close_kv, kv[1]);
}

/* ---- setting up ----------------------------------------------------------------------------- */

struct test_run {
    int (*fn)(struct disks *d);
    struct disks *d;
};

static int run_fn(void *arg)
{
    struct test_run *t = arg;
    return t->fn(t->d);
}

static void run_on(struct disks *d, int (*fn)(struct disks *d))
{
    struct test_run t = {fn, d};
    d->config.deadline_ms = 60000; /* a loaded machine may take its time */
    assert_int_equal(rt_run(&(struct rt_config){.threads = 2}, run_fn, &t), 0);
}

static void over_memory(int (*fn)(struct disks *d))
{
    struct disks d = {0};
    for (unsigned i = 0; i < DISKS; i++)
        assert_int_equal(kv_mem_new(&d.mem[i], true), 0);
    run_on(&d, fn);
    for (unsigned i = 0; i < DISKS; i++)
        kv_mem_free(d.mem[i]);
}

static void over_rocks(int (*fn)(struct disks *d))
{
    struct disks d = {.rocks = true};
    char path[80];
    const char *tmp = getenv("TMPDIR");
    struct kv_rocks_config config = {.block_cache_bytes = 8 * MIB, .write_buffer_bytes = 8 * MIB};
    snprintf(d.dir, sizeof(d.dir), "%s/cairn-mirrors-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(d.dir));
    assert_int_equal(kv_rocks_shared_new(&d.shared, &config), 0);
    run_on(&d, fn);
    kv_rocks_shared_free(d.shared);
    for (unsigned i = 0; i < DISKS; i++) {
        store_path(&d, i, path);
        (void)kv_rocks_destroy(path);
    }
    assert_int_equal(rmdir(d.dir), 0);
}

#define BOTH(name)                      \
    static void name(void **state)      \
    {                                   \
        over_memory(run_##name);        \
    }                                   \
    static void rocks_##name(void **st) \
    {                                   \
        over_rocks(run_##name);         \
    }
#define MEMORY(name)               \
    static void name(void **state) \
    {                              \
        over_memory(run_##name);   \
    }

/* ---- going on without one ------------------------------------------------------------------- */

static int FIBER run_what_is_written_lies_on_all(struct disks *d)
{
    struct load l;
    must_open(d, 7);
    CHECK(taking_part(d) == 7);
    load_start(&l, d);
    load_more(&l, 500);
    load_stop(&l);
    load_expect(&l);
    close_it(d);
    expect_same(d, 0, 1);
    expect_same(d, 0, 2);
    must_open(d, 7);
    CHECK(taking_part(d) == 7);
    load_expect(&l);
    close_it(d);
    return 0;
}
BOTH(what_is_written_lies_on_all)

static int FIBER run_one_that_cannot_sync_is_left_out(struct disks *d)
{
    struct load l;
    must_open(d, 7);
    load_start(&l, d);
    load_more(&l, 100);
    kv_mem_fail_syncs(d->mem[0], UINT64_MAX, -EIO); /* the one that is read */
    load_more(&l, 100);
    CHECK(taking_part(d) == 6);
    CHECK(stats_of(d, 0).err == -EIO);
    kv_mem_fail_syncs(d->mem[1], UINT64_MAX, -EIO);
    load_more(&l, 100);
    CHECK(taking_part(d) == 4);
    load_stop(&l);
    load_expect(&l);
    close_it(d);
    must_open(d, 4);
    load_expect(&l);
    close_it(d);
    return 0;
}
MEMORY(one_that_cannot_sync_is_left_out)

static int FIBER run_after_the_last_one_failed_nothing_is_written(struct disks *d)
{
    must_open(d, 3);
    CHECK(put(d, "a", "1") == 0);
    kv_mem_fail_syncs(d->mem[0], UINT64_MAX, -EIO);
    kv_mem_fail_syncs(d->mem[1], UINT64_MAX, -EIO);
    CHECK(put(d, "a", "2") == -EIO);
    CHECK(put(d, "a", "3") == -ERR_READ_ONLY);
    expect(d, "a", "1");
    uint8_t id[META_MIRROR_ID_BYTES] = {1};
    CHECK(meta_mirror_remove(d->m, id) == -ERR_BUSY); /* nothing can be noted */
    close_it(d);
    return 0;
}
MEMORY(after_the_last_one_failed_nothing_is_written)

/*
 * With a deadline this short a machine that stops for a second leaves out whoever was not done
 * then. Where that was the one that does not hang, it is tried again: the last one is waited for.
 */
static void FIBER hang_until_left_out(struct disks *d, unsigned disk)
{
    unsigned tries = 0;
    kv_mem_hang(d->mem[disk], true);
    while (stats_of(d, disk).state != META_MIRROR_LOST) {
        if (stats_of(d, !disk).state != META_MIRROR_IN) {
            kv_mem_hang(d->mem[disk], false);
            wait_state(d, !disk, META_MIRROR_IN);
            wait_state(d, disk, META_MIRROR_IN);
            kv_mem_hang(d->mem[disk], true);
        }
        wait_a_little(&tries);
    }
}

static int FIBER run_one_that_hangs_is_left_out_and_comes_back(struct disks *d)
{
    struct load l;
    d->config.deadline_ms = 1000;
    must_open(d, 3);
    load_start(&l, d);
    load_more(&l, 100);
    for (unsigned round = 0; round < 4; round++) {
        unsigned slow = round % 2;
        wait_state(d, !slow, META_MIRROR_IN);
        wait_state(d, slow, META_MIRROR_IN);
        hang_until_left_out(d, slow);
        load_more(&l, 100);
        CHECK(stats_of(d, slow).state == META_MIRROR_LOST);
        CHECK(stats_of(d, slow).err == -ETIMEDOUT);
        CHECK(stats_of(d, !slow).reading);
        kv_mem_hang(d->mem[slow], false);
        wait_state(d, slow, META_MIRROR_IN);
        load_more(&l, 100);
    }
    load_stop(&l);
    load_expect(&l);
    wait_state(d, 0, META_MIRROR_IN);
    wait_state(d, 1, META_MIRROR_IN);
    close_it(d);
    expect_same(d, 0, 1);
    return 0;
}
MEMORY(one_that_hangs_is_left_out_and_comes_back)

static int FIBER run_closing_does_not_wait_for_one_that_hangs(struct disks *d)
{
    d->config.deadline_ms = 1000;
    must_open(d, 3);
    CHECK(put(d, "a", "1") == 0);
    wait_state(d, 0, META_MIRROR_IN); /* see hang_until_left_out */
    wait_state(d, 1, META_MIRROR_IN);
    kv_mem_hang(d->mem[1], true);
    CHECK(put(d, "a", "2") == 0);
    CHECK(taking_part(d) == 1);
    close_it(d);
    kv_mem_hang(d->mem[1], false); /* its worker ends by itself */
    return 0;
}
MEMORY(closing_does_not_wait_for_one_that_hangs)

static int FIBER run_one_short_of_space_comes_back(struct disks *d)
{
    struct load l;
    must_open(d, 7);
    load_start(&l, d);
    load_more(&l, 50);
    kv_mem_break_log(d->mem[1], -ENOSPC, 2);
    load_more(&l, 50);
    wait_state(d, 1, META_MIRROR_IN);
    CHECK(taking_part(d) == 7);
    load_stop(&l);
    load_expect(&l);
    close_it(d);
    expect_same(d, 0, 1);
    expect_same(d, 0, 2);
    return 0;
}
MEMORY(one_short_of_space_comes_back)

/* It would be rebuilt at once, which fills its disk, and be left out, over and over. */
static int FIBER run_one_that_is_short_of_space_again_stays_out_for_longer(struct disks *d)
{
    d->config.pause_ms = 20;
    must_open(d, 7);
    for (unsigned i = 0; i < 5; i++) {
        uint64_t begin = rt_now();
        kv_mem_set_full(d->mem[1], true);
        CHECK(put(d, "a", "1") == 0);
        wait_state(d, 1, META_MIRROR_LOST);
        kv_mem_set_full(d->mem[1], false);
        wait_state(d, 1, META_MIRROR_IN);
        CHECK(rt_now() - begin >= (20 * RT_MS << i));
    }
    close_it(d);
    expect_same(d, 0, 1);
    return 0;
}
MEMORY(one_that_is_short_of_space_again_stays_out_for_longer)

static int FIBER run_when_all_lack_space_nobody_is_left_out(struct disks *d)
{
    must_open(d, 7);
    CHECK(put(d, "a", "1") == 0);
    for (unsigned i = 0; i < DISKS; i++)
        kv_mem_break_log(d->mem[i], -ENOSPC, 2);
    CHECK(put(d, "a", "2") == -ENOSPC);
    CHECK(put(d, "a", "3") == -ENOSPC);
    expect(d, "a", "1");
    unsigned tries = 0;
    int r;
    while ((r = put(d, "b", "1")) == -ENOSPC)
        wait_a_little(&tries);
    CHECK(r == 0);
    expect(d, "a", "1");
    CHECK(taking_part(d) == 7);
    close_it(d);
    expect_same(d, 0, 1);
    expect_same(d, 0, 2);
    return 0;
}
MEMORY(when_all_lack_space_nobody_is_left_out)

static int FIBER run_one_that_is_nearly_full_holds_up_nobody(struct disks *d)
{
    must_open(d, 7);
    for (unsigned i = 0; i < 2; i++) {
        kv_mem_set_full(d->mem[i], true);
        CHECK(put(d, "a", i ? "2" : "1") == 0);
        wait_state(d, i, META_MIRROR_LOST);
        CHECK(put(d, "b", i ? "2" : "1") == 0);
    }
    kv_mem_set_full(d->mem[2], true);
    CHECK(put(d, "c", "1") == -ENOSPC); /* the last one is not left out */
    CHECK(taking_part(d) == 4);
    for (unsigned i = 0; i < DISKS; i++)
        kv_mem_set_full(d->mem[i], false);
    wait_state(d, 0, META_MIRROR_IN);
    wait_state(d, 1, META_MIRROR_IN);
    CHECK(put(d, "c", "2") == 0);
    close_it(d);
    for (unsigned i = 0; i < DISKS; i++)
        expect_same(d, i, 2);
    return 0;
}
MEMORY(one_that_is_nearly_full_holds_up_nobody)

/* A batch that one refused, and of which it is not known whether the other has it. */
static int FIBER run_one_refuses_and_the_other_fails(struct disks *d)
{
    must_open(d, 3);
    CHECK(put(d, "a", "1") == 0);
    kv_mem_break_log(d->mem[0], -ENOSPC, 2);
    kv_mem_fail_syncs(d->mem[1], UINT64_MAX, -EIO);
    CHECK(put(d, "a", "2") == -EIO);
    unsigned tries = 0;
    int r;
    while ((r = put(d, "b", "1")) == -ENOSPC)
        wait_a_little(&tries);
    CHECK(r == 0);
    expect(d, "a", "1");
    CHECK(taking_part(d) == 1);
    close_it(d);
    CHECK(open_some(d, 2) == -ERR_CONFLICT);
    must_open(d, 3);
    expect(d, "b", "1");
    close_it(d);
    return 0;
}
MEMORY(one_refuses_and_the_other_fails)

static int count_up(struct meta_tx *tx, void *arg)
{
    struct str value;
    unsigned *n = arg;
    int r = meta_get(tx, STR("n"), &value);
    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    char next[8] = {(char)(r < 0 ? 1 : value.ptr[0] + 1)};
    *n = (unsigned)next[0];
    return meta_put(tx, STR("n"), str_make(next, 1));
}

/* A lost one's store is closed in the background; until then its id is taken. */
static void FIBER add_again(struct disks *d, unsigned disk)
{
    unsigned tries = 0;
    struct meta_mirror again = mirror(d, disk);
    int r;
    while ((r = meta_mirror_add(d->m, &again)) == -ERR_EXISTS) {
        wait_a_little(&tries);
        again = mirror(d, disk);
    }
    CHECK(r == 0);
    wait_state(d, disk, META_MIRROR_IN);
}

static int FIBER run_reads_go_to_another_when_one_fails(struct disks *d)
{
    static const int errors[] = {-EIO, -ERR_CORRUPT};
    unsigned n = 0;
    for (unsigned cold = 0; cold < 2; cold++) {
        must_open(d, 7);
        CHECK(put(d, "a", "1") == 0);
        for (unsigned i = 0; i < DISKS; i++)
            kv_mem_set_cold(d->mem[i], cold);
        kv_mem_fail_reads(d->mem[0], errors[cold]);
        expect(d, "a", "1");
        expect(d, "b", NULL);
        wait_state(d, 0, META_MIRROR_LOST);
        CHECK(stats_of(d, 0).err == errors[cold]);
        kv_mem_fail_reads(d->mem[1], errors[cold]);
        for (unsigned i = 0; i < 3; i++) /* the committer meets it */
            CHECK(meta_write(d->m, BUCKET_SYSTEM, count_up, &n) == 0);
        CHECK(n == 3 * (cold + 1));
        wait_state(d, 1, META_MIRROR_LOST);
        kv_mem_fail_reads(d->mem[2], errors[cold]); /* there is no other */
        struct change c = {.key = "a"};
        CHECK(meta_read(d->m, BUCKET_SYSTEM, read_key, &c) == errors[cold]);
        CHECK(taking_part(d) == 4);
        for (unsigned i = 0; i < DISKS; i++)
            kv_mem_fail_reads(d->mem[i], 0);
        expect(d, "a", "1");
        for (unsigned i = 0; i < 2; i++)
            add_again(d, i);
        close_it(d);
        expect_same(d, 0, 2);
        expect_same(d, 1, 2);
    }
    return 0;
}
MEMORY(reads_go_to_another_when_one_fails)

/* ---- coming and going ----------------------------------------------------------------------- */

static int FIBER run_mirrors_come_and_go_under_load(struct disks *d)
{
    struct load l;
    uint8_t first[META_MIRROR_ID_BYTES] = {1}, none[META_MIRROR_ID_BYTES] = {9};
    must_open(d, 1);
    load_start(&l, d);
    load_more(&l, 300);
    struct meta_mirror second = mirror(d, 1);
    CHECK(meta_mirror_add(d->m, &second) == 0);
    CHECK(meta_mirror_remove(d->m, none) == -ERR_NOT_FOUND);
    wait_state(d, 1, META_MIRROR_IN);
    struct meta_mirror third = mirror(d, 2);
    CHECK(meta_mirror_add(d->m, &third) == 0);
    load_more(&l, 300);
    wait_state(d, 2, META_MIRROR_IN);
    load_more(&l, 100);
    CHECK(meta_mirror_remove(d->m, first) == 0);
    CHECK(taking_part(d) == 6);
    load_more(&l, 100);
    load_stop(&l);
    load_expect(&l);
    close_it(d);
    expect_same(d, 1, 2);
    CHECK(open_some(d, 1) == -ERR_CONFLICT); /* the others went on without it */
    return 0;
}
MEMORY(mirrors_come_and_go_under_load)

static int FIBER run_come_and_go(struct disks *d)
{
    struct load l;
    uint8_t first[META_MIRROR_ID_BYTES] = {1};
    must_open(d, 1);
    load_start(&l, d);
    load_more(&l, 300);
    struct meta_mirror second = mirror(d, 1), again;
    CHECK(meta_mirror_add(d->m, &second) == 0);
    wait_state(d, 1, META_MIRROR_IN);
    CHECK(meta_mirror_remove(d->m, first) == 0);
    CHECK(stats_of(d, 1).state == META_MIRROR_IN && stats_of(d, 1).reading);
    load_more(&l, 300);
    for (unsigned tries = 0; stats_of(d, 0).err != -ERR_NOT_FOUND;)
        wait_a_little(&tries); /* it is closed in the background */
    CHECK(meta_mirror_remove(d->m, (uint8_t[META_MIRROR_ID_BYTES]){2}) == -ERR_BUSY);
    again = mirror(d, 0);
    CHECK(meta_mirror_add(d->m, &again) == 0);
    wait_state(d, 0, META_MIRROR_IN);
    load_more(&l, 100);
    load_stop(&l);
    load_expect(&l);
    close_it(d);
    expect_same(d, 0, 1);
    return 0;
}
BOTH(come_and_go)

/* Nothing is written that would wake whoever rebuilds it, and its pauses are as short as can be. */
static int FIBER run_a_rebuild_ends_by_itself(struct disks *d)
{
    for (unsigned round = 0; round < 100; round++) {
        kv_mem_free(d->mem[1]);
        CHECK(kv_mem_new(&d->mem[1], true) == 0);
        must_open(d, 1);
        CHECK(put(d, "a", "1") == 0);
        struct meta_mirror second = mirror(d, 1);
        CHECK(meta_mirror_add(d->m, &second) == 0);
        wait_state(d, 1, META_MIRROR_IN);
        CHECK(meta_mirror_remove(d->m, second.id) == 0);
        close_it(d);
    }
    return 0;
}
MEMORY(a_rebuild_ends_by_itself)

/* ---- at the start --------------------------------------------------------------------------- */

/* Deletions that an old one missed must not come back with it. */
static int FIBER run_an_old_mirror_is_made_like_the_others(struct disks *d)
{
    char key[16];
    must_open(d, 7);
    for (unsigned i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "k%03u", i);
        CHECK(put(d, key, "old") == 0);
    }
    close_it(d);
    must_open(d, 3);
    for (unsigned i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "k%03u", i);
        CHECK(put(d, key, i % 3 == 0 ? NULL : i % 3 == 1 ? "new" : "old") == 0);
    }
    CHECK(put(d, "more", "1") == 0);
    close_it(d);
    CHECK(open_some(d, 4) == -ERR_CONFLICT);
    CHECK(strstr(d->why, "--force-metadata"));
    must_open(d, 7);
    expect(d, "k000", NULL);
    expect(d, "k001", "new");
    wait_state(d, 2, META_MIRROR_IN);
    close_it(d);
    expect_same(d, 0, 2);
    return 0;
}
BOTH(an_old_mirror_is_made_like_the_others)

/*
 * One has a batch that the others lack: the power went when it was written. The disk hangs while
 * the batch is written elsewhere, and then all of them crash.
 */
static void FIBER crash_in_a_batch(struct disks *d, unsigned without)
{
    struct load l;
    load_start(&l, d);
    load_more(&l, 30);
    for (unsigned i = 0; i < DISKS; i++)
        if (without & 1u << i)
            kv_mem_hang(d->mem[i], true);
    rt_sleep_until(rt_now() + 50 * RT_MS); /* one batch, and it waits */
    for (unsigned i = 0; i < DISKS; i++)
        kv_mem_crash(d->mem[i], 0);
    for (unsigned i = 0; i < DISKS; i++)
        kv_mem_hang(d->mem[i], false);
    l.allowed_failures = UINT_MAX;
    l.stop = true;
    load_stop(&l);
    close_it(d);
}

static int FIBER run_one_that_lacks_the_last_batch_gets_it_at_the_start(struct disks *d)
{
    for (unsigned without = 1; without < 7; without++) {
        must_open(d, 7);
        crash_in_a_batch(d, without);
        must_open(d, 7);
        CHECK(taking_part(d) == 7); /* without being rebuilt */
        close_it(d);
        expect_same(d, 0, 1);
        expect_same(d, 0, 2);
    }
    return 0;
}
MEMORY(one_that_lacks_the_last_batch_gets_it_at_the_start)

/* What the store on each disk is from: `last` is the row that tells. */
static void FIBER make_history(struct disks *d)
{
    must_open(d, 7); /* generation 1: all */
    CHECK(put(d, "last", "1") == 0);
    close_it(d);
    must_open(d, 6); /* generation 2: the second and third */
    CHECK(put(d, "last", "2") == 0);
    close_it(d);
    d->config.force = true;
    must_open(d, 4); /* generation 3: the third alone */
    d->config.force = false;
    CHECK(put(d, "last", "3") == 0);
    close_it(d);
}

static int FIBER run_the_one_that_knows_most_is_believed(struct disks *d)
{
    /* For each set of disks: what is read, or NULL where it is refused. */
    static const char *const expected[8] = {NULL, NULL, NULL, NULL, "3", "3", "3", "3"};
    for (unsigned which = 1; which < 8; which++) {
        for (unsigned i = 0; i < DISKS; i++) { /* new disks */
            kv_mem_free(d->mem[i]);
            CHECK(kv_mem_new(&d->mem[i], true) == 0);
        }
        make_history(d);
        int r = open_some(d, which);
        CHECK(r == (expected[which] ? 0 : -ERR_CONFLICT));
        if (r < 0)
            continue;
        expect(d, "last", expected[which]);
        for (unsigned i = 0; i < DISKS; i++)
            if (which & 1u << i)
                wait_state(d, i, META_MIRROR_IN);
        close_it(d);
        for (unsigned i = 0; i < DISKS; i++)
            if (which & 1u << i)
                expect_same(d, i, 2);
    }
    return 0;
}
MEMORY(the_one_that_knows_most_is_believed)

static int FIBER run_two_that_went_on_without_each_other_are_refused(struct disks *d)
{
    must_open(d, 3);
    CHECK(put(d, "a", "1") == 0);
    close_it(d);
    d->config.force = true;
    for (unsigned i = 0; i < 2; i++) {
        must_open(d, 1u << i);
        CHECK(put(d, "a", i ? "left" : "right") == 0);
        close_it(d);
    }
    CHECK(open_some(d, 3) == -ERR_CONFLICT); /* forced or not */
    CHECK(strstr(d->why, "without each other"));
    must_open(d, 2);
    expect(d, "a", "left");
    close_it(d);
    return 0;
}
MEMORY(two_that_went_on_without_each_other_are_refused)

static int FIBER run_stores_that_have_nothing_to_do_with_each_other_are_refused(struct disks *d)
{
    for (unsigned i = 0; i < 2; i++) {
        must_open(d, 1u << i);
        CHECK(put(d, "a", i ? "1" : "2") == 0);
        close_it(d);
    }
    CHECK(open_some(d, 3) == -ERR_CONFLICT);
    CHECK(strstr(d->why, "of their own"));
    must_open(d, 1);
    struct meta_mirror other = mirror(d, 1);
    CHECK(meta_mirror_add(d->m, &other) == -ERR_CONFLICT);
    other = mirror(d, 2);
    CHECK(meta_mirror_add(d->m, &other) == 0);
    wait_state(d, 2, META_MIRROR_IN);
    close_it(d);
    CHECK(open_some(d, 7) == -ERR_CONFLICT); /* the second is no mirror of the others */
    CHECK(open_some(d, 6) == -ERR_CONFLICT);
    must_open(d, 5);
    expect(d, "a", "2");
    close_it(d);
    return 0;
}
MEMORY(stores_that_have_nothing_to_do_with_each_other_are_refused)

static int FIBER run_a_plain_store_becomes_a_mirror(struct disks *d)
{
    struct meta_mirror only = mirror(d, 0);
    CHECK(meta_local_open(&d->m, only.kv, 0) == 0);
    CHECK(put(d, "a", "1") == 0);
    close_it(d);
    must_open(d, 3);
    expect(d, "a", "1");
    wait_state(d, 1, META_MIRROR_IN);
    close_it(d);
    expect_same(d, 0, 1);
    only = mirror(d, 0); /* not as if there were no other */
    CHECK(meta_local_open(&d->m, only.kv, 0) == -ERR_CONFLICT);
    return 0;
}
BOTH(a_plain_store_becomes_a_mirror)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_lies_on_all),
        cmocka_unit_test(rocks_what_is_written_lies_on_all),
        cmocka_unit_test(one_that_cannot_sync_is_left_out),
        cmocka_unit_test(after_the_last_one_failed_nothing_is_written),
        cmocka_unit_test(one_that_hangs_is_left_out_and_comes_back),
        cmocka_unit_test(closing_does_not_wait_for_one_that_hangs),
        cmocka_unit_test(one_short_of_space_comes_back),
        cmocka_unit_test(one_that_is_short_of_space_again_stays_out_for_longer),
        cmocka_unit_test(when_all_lack_space_nobody_is_left_out),
        cmocka_unit_test(one_that_is_nearly_full_holds_up_nobody),
        cmocka_unit_test(one_refuses_and_the_other_fails),
        cmocka_unit_test(reads_go_to_another_when_one_fails),
        cmocka_unit_test(mirrors_come_and_go_under_load),
        cmocka_unit_test(come_and_go),
        cmocka_unit_test(rocks_come_and_go),
        cmocka_unit_test(a_rebuild_ends_by_itself),
        cmocka_unit_test(an_old_mirror_is_made_like_the_others),
        cmocka_unit_test(rocks_an_old_mirror_is_made_like_the_others),
        cmocka_unit_test(one_that_lacks_the_last_batch_gets_it_at_the_start),
        cmocka_unit_test(the_one_that_knows_most_is_believed),
        cmocka_unit_test(two_that_went_on_without_each_other_are_refused),
        cmocka_unit_test(stores_that_have_nothing_to_do_with_each_other_are_refused),
        cmocka_unit_test(a_plain_store_becomes_a_mirror),
        cmocka_unit_test(rocks_a_plain_store_becomes_a_mirror),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
