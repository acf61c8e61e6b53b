/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * How fast one disk takes and gives needles: FIBERS writers append needles of LEN bytes for
 * SECONDS, each waiting for its own to be durable; then the same fibers read them back by hint.
 *
 *   bench_volume_append DIR [LEN [FIBERS [SECONDS [THREADS]]]]
 */

#include <stdio.h>
#include <time.h>
#include <sys/resource.h>
#include "kv/kv.h"
#include "volume/volume.h"

#define HINTS 65536

struct bench {
    const char *dir;
    size_t len;
    unsigned fibers, seconds, threads;
    struct kv_rocks_shared *shared;
    struct disk *d;
    uint64_t deadline_ns, counter, done, read;
    unsigned running;
    int err;
    struct rt_lock lock;
    struct rt_waitq ended;
    struct needle_key keys[HINTS];
    struct needle_hint hints[HINTS];
};

static void finished(struct bench *b)
{
    rt_lock(&b->lock);
    if (--b->running == 0)
        rt_wake_all(&b->ended);
    rt_unlock(&b->lock);
}

static void append_fiber(void *arg)
{
    struct bench *b = arg;
    uint8_t *data = malloc(b->len);
    memset(data, 'x', b->len);
    struct needle_info info = {.len_bytes = b->len, .code_k = 1};
    struct iovec iov = {data, b->len};
    while (rt_now() < b->deadline_ns && !b->err) {
        uint64_t n = __atomic_add_fetch(&b->counter, 1, __ATOMIC_RELAXED);
        struct needle_key key = {.chunk = {.session = 1, .counter = n}};
        struct needle_hint hint;
        struct hash128 digest;
        int err = disk_append(b->d, key, &info, &iov, 1, &hint, &digest);
        if (err)
            b->err = err;
        b->keys[n % HINTS] = key;
        b->hints[n % HINTS] = hint;
        __atomic_add_fetch(&b->done, 1, __ATOMIC_RELAXED);
    }
    free(data);
    finished(b);
}

static void read_fiber(void *arg)
{
    struct bench *b = arg;
    size_t cap = DISK_READ_ROOM(b->len);
    void *buf = malloc(cap);
    uint64_t known = MIN(b->done, (uint64_t)HINTS - 1);
    while (rt_now() < b->deadline_ns && !b->err) {
        uint64_t n = 1 + __atomic_add_fetch(&b->counter, 1, __ATOMIC_RELAXED) * 7919 % known;
        const void *payload;
        struct needle_info info;
        struct hash128 digest;
        int err = disk_read(b->d, b->keys[n], &b->hints[n], buf, cap, &payload, &info, &digest);
        if (err)
            b->err = err;
        __atomic_add_fetch(&b->read, 1, __ATOMIC_RELAXED);
    }
    free(buf);
    finished(b);
}

static double cpu_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int FIBER phase(struct bench *b, const char *name, void (*fn)(void *), uint64_t *count)
{
    uint64_t start = rt_now();
    double cpu = cpu_s();
    b->deadline_ns = start + b->seconds * RT_S;
    b->running = b->fibers;
    for (unsigned i = 0; i < b->fibers; i++) {
        int err = rt_spawn_on(i % b->threads, name, fn, b);
        if (err)
            return err;
    }
    rt_lock(&b->lock);
    while (b->running > 0)
        rt_wait_uncancelled(&b->ended, &b->lock, RT_NEVER);
    rt_unlock(&b->lock);
    double s = (double)(rt_now() - start) / 1e9;
    printf("%-7s %7zu bytes x %3u: %9.0f /s %7.1f MiB/s  %5.2f us of CPU each\n", name, b->len,
           b->fibers, (double)*count / s, (double)*count * (double)b->len / s / (double)MIB,
           (cpu_s() - cpu) * 1e6 / (double)*count);
    return b->err;
}

struct open_kv {
    struct bench *b;
    char path[512];
    struct kv *kv;
};

static int BLOCKING open_kv(void *arg)
{
    struct open_kv *o = arg;
    struct kv_rocks_config c = {};
    snprintf(o->path, sizeof(o->path), "%s/index", o->b->dir);
    int err = kv_rocks_shared_new(&o->b->shared, &c);
    return err ? err : kv_rocks_open(&o->kv, o->b->shared, o->path, false);
}

static int FIBER bench_run(void *arg)
{
    struct bench *b = arg;
    struct open_kv o = {.b = b};
    rt_lock_init(&b->lock);
    rt_waitq_init(&b->ended);
    int err = rt_mkdir(b->dir);
    if (err == 0)
        err = rt_offload(open_kv, &o);
    struct disk_config c = {.path = b->dir, .index = o.kv};
    if (err == 0)
        err = disk_open(&b->d, &c);
    if (err)
        return err;
    err = phase(b, "append", append_fiber, &b->done);
    struct disk_stats s;
    disk_stats(b->d, &s);
    printf("        %.1f needles a sync\n", (double)s.appends / (double)MAX(s.syncs, UINT64_C(1)));
    b->counter = 0;
    if (err == 0 && b->len <= DISK_READ_MAX)
        err = phase(b, "read", read_fiber, &b->read);
    disk_close(b->d);
    return err;
}

int main(int argc, char **argv)
{
    static struct bench b;
    if (argc < 2) {
        fprintf(stderr, "usage: %s DIR [LEN [FIBERS [SECONDS [THREADS]]]]\n", argv[0]);
        return 2;
    }
    b.dir = argv[1];
    b.len = argc > 2 ? strtoul(argv[2], NULL, 10) : 4096;
    b.fibers = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 64;
    b.seconds = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 2;
    b.threads = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 1;
    struct rt_config c = {.threads = b.threads};
    int err = rt_run(&c, bench_run, &b);
    kv_rocks_shared_free(b.shared);
    if (err)
        fprintf(stderr, "%s\n", err_text(err));
    return err ? 1 : 0;
}
