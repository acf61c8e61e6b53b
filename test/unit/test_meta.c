/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * meta/local when its store fails: over kv/mem with faults, and over RocksDB on a file system of
 * fixed size that is filled up. What holds without faults is in test/conform.
 */

#include "test/unit/unit.h"
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "kv/mem.h"
#include "kv/wal.h"
#include "meta/meta.h"
#include "rt/rt.h"

/* The functions under `run` are on a fiber, where a failed assert of cmocka could not jump from. */

struct change {
    const char *key;
    struct str value; /* ptr NULL: delete */
    bool use_reserve;
};

static int change(struct meta_tx *tx, void *arg)
{
    struct change *c = arg;
    if (c->use_reserve)
        meta_use_reserve(tx);
    return c->value.ptr ? meta_put(tx, str_from(c->key), c->value) : meta_del(tx, str_from(c->key));
}

static int FIBER put(struct meta *m, const char *key, const char *value)
{
    struct change c = {.key = key, .value = str_from(value)};
    return meta_write(m, BUCKET_SYSTEM, change, &c);
}

static int read_key(struct meta_tx *tx, void *arg)
{
    struct change *c = arg;
    struct str value;
    int r = meta_get(tx, str_from(c->key), &value);
    if (r == 0 && c->value.ptr)
        CHECK(str_eq(value, c->value));
    return r;
}

/* `value` NULL: the key must not be there. */
static void FIBER expect(struct meta *m, const char *key, const char *value)
{
    struct change c = {.key = key, .value = str_from(value)};
    CHECK(meta_read(m, BUCKET_SYSTEM, read_key, &c) == (value ? 0 : -ERR_NOT_FOUND));
}

static void run(int (*fn)(void *arg), void *arg)
{
    assert_int_equal(rt_run(&(struct rt_config){.threads = 1}, fn, arg), 0);
}

/* ---- memory --------------------------------------------------------------------------------- */

static struct meta *FIBER open_mem(struct kv_mem *mem)
{
    struct kv *kv;
    struct meta *m;
    CHECK(kv_mem_open(&kv, mem) == 0);
    CHECK(meta_local_open(&m, kv, 0) == 0);
    return m;
}

static int fail_a_sync(void *arg)
{
    struct meta *m = open_mem(arg);
    CHECK(put(m, "a", "1") == 0);
    kv_mem_fail_syncs(arg, 1, -EIO);
    CHECK(put(m, "a", "2") == -EIO);
    expect(m, "a", "1");
    CHECK(put(m, "a", "3") == -ERR_READ_ONLY);
    expect(m, "a", "1");
    meta_close(m);
    m = open_mem(arg); /* as after a restart */
    CHECK(put(m, "a", "4") == 0);
    expect(m, "a", "4");
    meta_close(m);
    return 0;
}

static void after_a_failed_sync_nothing_is_written(void **state)
{
    struct kv_mem *mem;
    assert_int_equal(kv_mem_new(&mem, true), 0);
    run(fail_a_sync, mem);
    kv_mem_free(mem);
}

struct writer {
    struct meta *m;
    char key[4];
};

static int write_one(void *arg)
{
    struct writer *w = arg;
    return put(w->m, w->key, "v");
}

/* All queue before the committer runs; the first batch fails, and with it all who were in it. */
static int fail_a_batch(void *arg)
{
    struct meta *m = open_mem(arg);
    struct writer w[10];
    struct rt_fiber *f[ARRAY_LEN(w)];
    unsigned failed = 0;
    kv_mem_fail_syncs(arg, 1, -EIO);
    for (unsigned i = 0; i < ARRAY_LEN(w); i++) {
        w[i].m = m;
        snprintf(w[i].key, sizeof(w[i].key), "%u", i);
        CHECK(rt_spawn(&f[i], "writer", write_one, &w[i]) == 0);
    }
    for (unsigned i = 0; i < ARRAY_LEN(w); i++) {
        int r = rt_join(f[i]);
        CHECK(r == -EIO || r == -ERR_READ_ONLY);
        failed += r == -EIO;
        expect(m, w[i].key, NULL);
    }
    CHECK(failed > 0);
    meta_close(m);
    return 0;
}

static void a_failed_sync_fails_every_waiter_of_its_batch(void **state)
{
    struct kv_mem *mem;
    assert_int_equal(kv_mem_new(&mem, true), 0);
    run(fail_a_batch, mem);
    kv_mem_free(mem);
}

static int look_only(struct meta_tx *tx, void *arg)
{
    struct str value;
    return meta_get(tx, STR("a"), &value);
}

static int fill_up(void *arg)
{
    struct meta *m = open_mem(arg);
    struct change del = {.key = "a"}, del_reserved = {.key = "a", .use_reserve = true};
    CHECK(put(m, "a", "1") == 0);
    kv_mem_set_full(arg, true);
    CHECK(put(m, "a", "2") == -ENOSPC);
    expect(m, "a", "1");
    CHECK(meta_write(m, BUCKET_SYSTEM, look_only, NULL) == 0);
    CHECK(meta_write(m, BUCKET_SYSTEM, change, &del) == -ENOSPC);
    CHECK(meta_write(m, BUCKET_SYSTEM, change, &del_reserved) == 0);
    expect(m, "a", NULL);
    kv_mem_set_full(arg, false);
    CHECK(put(m, "a", "3") == 0);
    kv_mem_fail_syncs(arg, 1, -ENOSPC);
    CHECK(put(m, "a", "4") == -ENOSPC);
    CHECK(put(m, "a", "5") == 0);
    expect(m, "a", "5");
    meta_close(m);
    return 0;
}

static void a_full_disk_refuses_all_but_what_leads_to_space(void **state)
{
    struct kv_mem *mem;
    assert_int_equal(kv_mem_new(&mem, true), 0);
    run(fill_up, mem);
    kv_mem_free(mem);
}

/* Waits while what was lacking is said to lack: the store is recovered in the background. */
static void FIBER put_once_recovered(struct meta *m, const char *key, int lacking)
{
    int r = lacking;
    for (unsigned tries = 0; r == lacking && tries < 600; tries++) {
        r = put(m, key, "v");
        if (r < 0)
            rt_sleep_until(rt_now() + 50 * RT_MS);
    }
    CHECK(r == 0);
}

static uint64_t recoveries(struct meta *m)
{
    struct meta_stats stats;
    meta_stats(m, &stats);
    CHECK(stats.refusing == 0);
    return stats.recoveries;
}

static int break_a_log(void *arg)
{
    struct meta *m = open_mem(arg);
    CHECK(put(m, "a", "1") == 0);
    kv_mem_break_log(arg, -EMFILE, 4);
    CHECK(put(m, "a", "2") == -EMFILE);
    expect(m, "a", "1");
    CHECK(put(m, "a", "3") == -EMFILE);
    expect(m, "a", "1");
    put_once_recovered(m, "b", -EMFILE);
    expect(m, "a", "1");
    expect(m, "b", "v");
    CHECK(recoveries(m) == 1);
    kv_mem_break_log(arg, -ENOSPC, 1000); /* it is closed while it recovers */
    CHECK(put(m, "a", "4") == -ENOSPC);
    meta_close(m);
    return 0;
}

static void a_store_short_of_something_recovers(void **state)
{
    struct kv_mem *mem;
    assert_int_equal(kv_mem_new(&mem, true), 0);
    run(break_a_log, mem);
    kv_mem_free(mem);
}

/* Reads without an end, each of one moment, until told to stop. */
struct steady_reader {
    struct meta *m;
    bool stop;
    uint64_t reads;
};

static int read_two(struct meta_tx *tx, void *arg)
{
    struct str a, b;
    int r = meta_get(tx, STR("a"), &a);
    if (r == 0)
        r = meta_get(tx, STR("b"), &b);
    if (r == 0)
        CHECK(str_eq(a, STR("1")) && str_eq(b, STR("1")));
    return r;
}

static int read_steadily(void *arg)
{
    struct steady_reader *s = arg;
    for (; !s->stop; s->reads++) {
        CHECK(meta_read(s->m, BUCKET_SYSTEM, read_two, NULL) == 0);
        rt_yield();
    }
    return 0;
}

static int recover_under_readers(void *arg)
{
    struct meta *m = open_mem(arg);
    struct steady_reader s = {.m = m};
    struct rt_fiber *f[4];
    CHECK(put(m, "a", "1") == 0 && put(m, "b", "1") == 0);
    for (unsigned i = 0; i < ARRAY_LEN(f); i++)
        CHECK(rt_spawn(&f[i], "reader", read_steadily, &s) == 0);
    for (unsigned i = 0; i < 20; i++) { /* recovering checks that nobody is in the store */
        kv_mem_set_cold(arg, i % 2);
        kv_mem_break_log(arg, -ENOSPC, 1 + i % 2);
        CHECK(put(m, "c", "1") == -ENOSPC);
        put_once_recovered(m, "c", -ENOSPC);
    }
    s.stop = true;
    for (unsigned i = 0; i < ARRAY_LEN(f); i++)
        CHECK(rt_join(f[i]) == 0);
    CHECK(s.reads > 0 && recoveries(m) == 20);
    meta_close(m);
    return 0;
}

static void readers_go_on_while_a_store_recovers(void **state)
{
    struct kv_mem *mem;
    assert_int_equal(kv_mem_new(&mem, true), 0);
    run(recover_under_readers, mem);
    kv_mem_free(mem);
}

/* ---- RocksDB on a small file system --------------------------------------------------------- */

struct small_disk {
    char dir[64], store[80], filler[80];
    unsigned rows;
    struct kv_rocks_shared *shared;
    struct kv *kv;
};

static int open_rocks(void *arg)
{
    struct small_disk *d = arg;
    return kv_rocks_open(&d->kv, d->shared, d->store, true);
}

static struct meta *FIBER open_on(struct small_disk *d)
{
    struct meta *m;
    CHECK(rt_offload(open_rocks, d) == 0);
    CHECK(meta_local_open(&m, d->kv, 0) == 0);
    return m;
}

static uint64_t free_bytes(const struct small_disk *d)
{
    struct statvfs s;
    CHECK(statvfs(d->dir, &s) == 0);
    return (uint64_t)s.f_bavail * s.f_frsize;
}

/* Takes space by a file that is not ours until no more than `left` is free. */
static void fill_disk_but(struct small_disk *d, uint64_t left)
{
    static const char zeros[4 * KIB];
    int fd = open(d->filler, O_CREAT | O_WRONLY | O_APPEND, 0600);
    CHECK(fd >= 0);
    while (free_bytes(d) > left && write(fd, zeros, sizeof(zeros)) > 0)
        ;
    close(fd);
}

static void fill_disk(struct small_disk *d)
{
    fill_disk_but(d, 0);
}

static struct str large_value(void)
{
    static char bytes[256 * KIB];
    for (size_t i = 0; i < sizeof(bytes) && !bytes[0]; i++)
        bytes[i] = (char)(1 + i * 31 % 255);
    return str_make(bytes, sizeof(bytes));
}

/* Writes numbered large rows until one is refused; returns how many went in. */
static unsigned FIBER write_until_refused(struct meta *m, unsigned from)
{
    unsigned n = from;
    for (;; n++) {
        char key[16];
        snprintf(key, sizeof(key), "large%05u", n);
        struct change c = {.key = key, .value = large_value()};
        int r = meta_write(m, BUCKET_SYSTEM, change, &c);
        if (r == -ENOSPC)
            return n;
        CHECK(r == 0 && n < 100000);
    }
}

static void FIBER expect_row(struct meta *m, unsigned n)
{
    char key[16];
    snprintf(key, sizeof(key), "large%05u", n);
    struct change c = {.key = key, .value = large_value()};
    CHECK(meta_read(m, BUCKET_SYSTEM, read_key, &c) == 0);
}

static void FIBER expect_rows(struct meta *m, unsigned count)
{
    for (unsigned n = 0; n < count; n++)
        expect_row(m, n);
}

/* Waits while there is no space: RocksDB may be using all of it for a moment, to merge. */
static void FIBER change_soon(struct meta *m, struct change c)
{
    int r = -ENOSPC;
    for (unsigned tries = 0; r == -ENOSPC && tries < 300; tries++) {
        r = meta_write(m, BUCKET_SYSTEM, change, &c);
        if (r == -ENOSPC)
            rt_sleep_until(rt_now() + 100 * RT_MS);
    }
    CHECK(r == 0);
}

static void FIBER put_soon(struct meta *m, const char *key)
{
    change_soon(m, (struct change){.key = key, .value = STR("v")});
}

/* With a call to the reserve; -ENOSPC when even that is used up. */
static int FIBER delete_row(struct meta *m, unsigned n)
{
    char key[16];
    snprintf(key, sizeof(key), "large%05u", n);
    struct change c = {.key = key, .use_reserve = true};
    return meta_write(m, BUCKET_SYSTEM, change, &c);
}

static void FIBER delete_row_soon(struct meta *m, unsigned n)
{
    char key[16];
    snprintf(key, sizeof(key), "large%05u", n);
    change_soon(m, (struct change){.key = key, .use_reserve = true});
}

static void FIBER write_rows(struct meta *m, unsigned count)
{
    for (unsigned n = 0; n < count; n++) {
        char key[16];
        snprintf(key, sizeof(key), "large%05u", n);
        change_soon(m, (struct change){.key = key, .value = large_value()});
    }
}

static int others_fill_the_disk(void *arg)
{
    struct small_disk *d = arg;
    struct meta *m = open_on(d);
    write_rows(m, 100);
    fill_disk(d);
    CHECK(put(m, "small", "v") == -ENOSPC);
    expect(m, "small", NULL);
    for (unsigned n = 0; n < 50; n++)
        delete_row_soon(m, n);
    meta_close(m);
    fill_disk_but(d, 10 * MIB);
    m = open_on(d);             /* it opens like that as well */
    fill_disk_but(d, 10 * MIB); /* RocksDB may have merged what was deleted */
    CHECK(put(m, "small", "v") == -ENOSPC);
    for (unsigned n = 50; n < 100; n++) {
        expect_row(m, n);
        delete_row_soon(m, n);
    }
    CHECK(unlink(d->filler) == 0);
    put_soon(m, "small");
    expect(m, "large00000", NULL);
    meta_close(m);
    return 0;
}

static int the_store_fills_the_disk(void *arg)
{
    struct small_disk *d = arg;
    struct meta *m = open_on(d);
    unsigned count = write_until_refused(m, 0);
    CHECK(count > 100);
    expect_rows(m, count);
    for (unsigned n = 0; n < count; n++)
        delete_row_soon(m, n);
    put_soon(m, "small");
    write_rows(m, 50);
    expect_rows(m, 50);
    meta_close(m);
    return 0;
}

/* Deletions of rows that are not there, until RocksDB itself has met the full disk. */
static void FIBER use_up_the_reserve(struct small_disk *d, struct meta *m)
{
    int r = 0;
    for (unsigned n = 0; n < 5000 && r == 0; n++) {
        fill_disk(d); /* what was the reserve is taken by others */
        r = delete_row(m, 90000 + n);
    }
    CHECK(r == -ENOSPC);
}

/* With space again deletions go on without a restart. */
static void FIBER delete_again(struct meta *m, unsigned count)
{
    for (unsigned n = 0; n < count; n++)
        delete_row_soon(m, n);
}

static int nothing_at_all_is_left(void *arg)
{
    struct small_disk *d = arg;
    struct meta *m = open_on(d);
    unsigned count = write_until_refused(m, 0);
    use_up_the_reserve(d, m);
    expect_rows(m, count);
    CHECK(unlink(d->filler) == 0);
    delete_again(m, 10);
    use_up_the_reserve(d, m);
    meta_close(m);
    m = open_on(d); /* nor is space to start */
    expect(m, "large00000", NULL);
    expect_row(m, count - 1);
    CHECK(unlink(d->filler) == 0);
    for (unsigned n = 10; n < count - 1; n++)
        delete_row_soon(m, n);
    put_soon(m, "small");
    expect_row(m, count - 1);
    meta_close(m);
    return 0;
}

/* A place for mounts of our own; once, for RocksDB's threads stay and must see them all. */
static bool may_mount(void)
{
    static int may = -1;
    if (may < 0)
        may =
            unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0;
    return may;
}

/* A tmpfs of 96 MiB where this process may mount one. */
static bool small_disk_make(struct small_disk *d)
{
    *d = (struct small_disk){0};
    snprintf(d->dir, sizeof(d->dir), "/tmp/cairn-small-XXXXXX");
    assert_non_null(mkdtemp(d->dir));
    snprintf(d->store, sizeof(d->store), "%s/store", d->dir);
    snprintf(d->filler, sizeof(d->filler), "%s/filler", d->dir);
    if (!may_mount() || mount("tmpfs", d->dir, "tmpfs", 0, "size=96m") < 0) {
        rmdir(d->dir);
        return false;
    }
    struct kv_rocks_config config = {.block_cache_bytes = 4 * MIB, .write_buffer_bytes = 8 * MIB};
    assert_int_equal(kv_rocks_shared_new(&d->shared, &config), 0);
    return true;
}

static void small_disk_remove(struct small_disk *d)
{
    kv_rocks_shared_free(d->shared);
    assert_int_equal(umount(d->dir), 0);
    assert_int_equal(rmdir(d->dir), 0);
}

static void small_disk_run(int (*fn)(void *arg))
{
    struct small_disk d;
    if (!small_disk_make(&d))
        skip();
    run(fn, &d);
    small_disk_remove(&d);
}

static void a_disk_others_fill_still_serves_reads_and_deletes(void **state)
{
    small_disk_run(others_fill_the_disk);
}

static void deleting_gives_a_disk_the_store_filled_its_space_back(void **state)
{
    small_disk_run(the_store_fills_the_disk);
}

static void without_a_free_byte_nothing_is_lost(void **state)
{
    small_disk_run(nothing_at_all_is_left);
}

/* ---- means that run out --------------------------------------------------------------------- */

static void limit(int what, rlim_t to)
{
    struct rlimit l;
    CHECK(getrlimit(what, &l) == 0);
    l.rlim_cur = MIN(to, l.rlim_max);
    CHECK(setrlimit(what, &l) == 0);
}

/* Where a log's frames end; behind that it is written ahead. */
static rlim_t frames_end(const char *path)
{
    struct wal_head h;
    struct wal_frame f;
    rlim_t at = WAL_BLOCK;
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && pread(fd, &h, sizeof(h), 0) == sizeof(h) && wal_head_valid(&h));
    while (pread(fd, &f, sizeof(f), (off_t)at) == sizeof(f) && wal_frame_valid(&f, &h.id))
        at += wal_frame_bytes(f.len_bytes);
    close(fd);
    return at;
}

/* Where the store's newest log ends. */
static rlim_t log_bytes(const struct small_disk *d)
{
    struct dirent *e;
    char newest[300] = "";
    DIR *dir = opendir(d->store);
    CHECK(dir);
    while ((e = readdir(dir)))
        if (str_ends(str_from(e->d_name), STR(".log")) && strcmp(e->d_name, newest) > 0)
            snprintf(newest, sizeof(newest), "%s", e->d_name);
    closedir(dir);
    char path[400];
    snprintf(path, sizeof(path), "%s/%s", d->store, newest);
    return frames_end(path);
}

static int FIBER put_row(struct meta *m, unsigned n)
{
    char key[16];
    snprintf(key, sizeof(key), "large%05u", n);
    struct change c = {.key = key, .value = large_value()};
    return meta_write(m, BUCKET_SYSTEM, change, &c);
}

static void FIBER expect_no_row(struct meta *m, unsigned n)
{
    char key[16];
    snprintf(key, sizeof(key), "large%05u", n);
    expect(m, key, NULL);
}

/*
 * The log may not grow: a row goes in by a part, or, with some bytes more, all but its end. What
 * was refused is never there, neither at once nor after recovering or a restart.
 */
static struct meta *FIBER log_meets_a_limit(struct small_disk *d, struct meta *m, rlim_t more)
{
    char key[32];
    uint64_t before = recoveries(m);
    CHECK(put(m, "before", "v") == 0);
    limit(RLIMIT_FSIZE, log_bytes(d) + more);
    CHECK(put_row(m, 1000) == -EDQUOT);
    /* It may recover before the limit goes: a new log begins short. */
    snprintf(key, sizeof(key), "small-%llu", (unsigned long long)more);
    int small = put(m, key, "v");
    CHECK(small == 0 || small == -EDQUOT);
    expect_no_row(m, 1000);
    rt_sleep_until(rt_now() + 100 * RT_MS);
    expect(m, "before", "v");
    expect_rows(m, 10);
    limit(RLIMIT_FSIZE, RLIM_INFINITY);
    put_once_recovered(m, "after", -EDQUOT);
    CHECK(recoveries(m) > before);
    for (unsigned life = 0; life < 2; life++) {
        expect(m, "before", "v");
        expect(m, "after", "v");
        expect(m, key, small == 0 ? "v" : NULL);
        expect_no_row(m, 1000);
        expect_rows(m, 10);
        meta_close(m);
        m = open_on(d);
    }
    return m;
}

static int run_into_a_file_limit(void *arg)
{
    static const rlim_t more[] = {0, 1, 100, 40000, 200000, 256 * KIB};
    struct small_disk *d = arg;
    struct meta *m = open_on(d);
    write_rows(m, 10);
    for (unsigned i = 0; i < ARRAY_LEN(more); i++)
        m = log_meets_a_limit(d, m, more[i]);
    meta_close(m);
    return 0;
}

static void a_log_that_cannot_grow_recovers_without_a_restart(void **state)
{
    signal(SIGXFSZ, SIG_IGN);
    small_disk_run(run_into_a_file_limit);
}

static unsigned open_files(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    CHECK(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 3; /* the two dots and itself */
}

/* Small rows, until a write buffer is full and a new log cannot be begun. */
static int run_out_of_descriptors(void *arg)
{
    struct small_disk *d = arg;
    struct meta *m = open_on(d);
    write_rows(m, 5);
    limit(RLIMIT_NOFILE, open_files());
    unsigned n = 5;
    int r;
    while ((r = put_row(m, n)) == 0 && n < 1000)
        n++;
    CHECK(r == -EMFILE);
    CHECK(put(m, "small", "v") == -EMFILE);
    expect_no_row(m, n);
    rt_sleep_until(rt_now() + 300 * RT_MS);
    expect_rows(m, n);
    CHECK(put(m, "small", "v") == -EMFILE);
    limit(RLIMIT_NOFILE, RLIM_INFINITY);
    put_once_recovered(m, "small", -EMFILE);
    CHECK(recoveries(m) == 1);
    expect_rows(m, n);
    expect_no_row(m, n);
    meta_close(m);
    m = open_on(d);
    expect_rows(m, n);
    expect_no_row(m, n);
    meta_close(m);
    return 0;
}

static void a_store_out_of_descriptors_recovers_without_a_restart(void **state)
{
    small_disk_run(run_out_of_descriptors);
}

/* The log goes behind the store's back: it is seen that what was acknowledged is not there. */
static int lose_the_log(void *arg)
{
    struct small_disk *d = arg;
    struct meta *m = open_on(d);
    char command[200];
    CHECK(put(m, "a", "1") == 0);
    limit(RLIMIT_FSIZE, log_bytes(d) + 100);
    CHECK(put_row(m, 0) == -EDQUOT);
    snprintf(command, sizeof(command), "rm %s/*.log", d->store);
    CHECK(system(command) == 0);
    limit(RLIMIT_FSIZE, RLIM_INFINITY);
    int r = -EDQUOT;
    for (unsigned tries = 0; r == -EDQUOT && tries < 600; tries++) {
        rt_sleep_until(rt_now() + 20 * RT_MS);
        r = put(m, "b", "1");
    }
    CHECK(r == -ERR_READ_ONLY);
    meta_close(m);
    return 0;
}

static void a_log_without_what_was_acknowledged_is_not_taken_up(void **state)
{
    signal(SIGXFSZ, SIG_IGN);
    small_disk_run(lose_the_log);
}

/* ---- a disk that cannot sync ---------------------------------------------------------------- */

/*
 * ext4 in a file that has no room to be written: a write goes to memory, and the sync that is to
 * put it on the disk fails, with the very ENOSPC that a full disk gives.
 */
static bool failing_disk_make(struct small_disk *below, struct small_disk *ret)
{
    char command[400];
    if (!small_disk_make(below))
        return false;
    *ret = *below;
    snprintf(ret->dir, sizeof(ret->dir), "/tmp/cairn-failing-XXXXXX");
    assert_non_null(mkdtemp(ret->dir));
    snprintf(ret->store, sizeof(ret->store), "%s/store", ret->dir);
    snprintf(command, sizeof(command),
             "truncate -s 400M %s/image && mkfs.ext4 -q -F %s/image && mount -o loop %s/image %s",
             below->dir, below->dir, below->dir, ret->dir);
    if (system(command) == 0)
        return true;
    rmdir(ret->dir);
    small_disk_remove(below);
    return false;
}

static int fail_a_sync_of_the_disk(void *arg)
{
    struct small_disk *d = arg;
    struct meta *m = open_on(d);
    write_rows(m, 10);
    fill_disk(d); /* the one below */
    unsigned n = 10;
    int r;
    while ((r = put_row(m, n)) == 0 && n < 300)
        n++;
    CHECK(r == -EIO);
    CHECK(put(m, "small", "v") == -ERR_READ_ONLY);
    CHECK(unlink(d->filler) == 0);
    rt_sleep_until(rt_now() + 300 * RT_MS);
    CHECK(put(m, "small", "v") == -ERR_READ_ONLY);
    expect_rows(m, n);
    expect_no_row(m, n);
    expect(m, "small", NULL);
    meta_close(m);
    return (int)n;
}

static int look_after_the_failure(void *arg)
{
    struct small_disk *d = arg;
    struct meta *m = open_on(d);
    put_soon(m, "small");
    for (unsigned n = 0; n < d->rows; n++)
        expect_row(m, n);
    expect(m, "small", "v");
    meta_close(m);
    return 0;
}

static void after_a_failed_sync_of_the_disk_nothing_is_written_before_a_restart(void **state)
{
    struct small_disk below, d;
    char command[200];
    if (!failing_disk_make(&below, &d))
        skip();
    int n = rt_run(&(struct rt_config){.threads = 1}, fail_a_sync_of_the_disk, &d);
    assert_true(n >= 10);
    d.rows = (unsigned)n;
    assert_int_equal(umount(d.dir), 0); /* what is in memory goes, as at a power cut */
    snprintf(command, sizeof(command), "mount -o loop %s/image %s", below.dir, d.dir);
    assert_int_equal(system(command), 0);
    run(look_after_the_failure, &d);
    assert_int_equal(umount(d.dir), 0);
    assert_int_equal(rmdir(d.dir), 0);
    small_disk_remove(&below);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_failed_sync_nothing_is_written),
        cmocka_unit_test(a_failed_sync_fails_every_waiter_of_its_batch),
        cmocka_unit_test(a_full_disk_refuses_all_but_what_leads_to_space),
        cmocka_unit_test(a_store_short_of_something_recovers),
        cmocka_unit_test(readers_go_on_while_a_store_recovers),
        cmocka_unit_test(a_disk_others_fill_still_serves_reads_and_deletes),
        cmocka_unit_test(deleting_gives_a_disk_the_store_filled_its_space_back),
        cmocka_unit_test(without_a_free_byte_nothing_is_lost),
        cmocka_unit_test(a_log_that_cannot_grow_recovers_without_a_restart),
        cmocka_unit_test(a_store_out_of_descriptors_recovers_without_a_restart),
        cmocka_unit_test(a_log_without_what_was_acknowledged_is_not_taken_up),
        cmocka_unit_test(after_a_failed_sync_of_the_disk_nothing_is_written_before_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
