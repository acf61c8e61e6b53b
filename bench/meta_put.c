/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * meta_put DIR [SECONDS] [FIBERS] [KEYS] [VALUE_BYTES]: meta/local over RocksDB in a fresh store.
 *
 * put   FIBERS fibers each replace random rows of KEYS, every one with a read of the old row and an
 *       addition to a row of counters, acknowledged when durable
 * fill  the rows that are missing, so that the following have all KEYS
 * open  closing, and opening again
 * cold  the first read of each of some rows
 * get   random reads of rows in memory on one loop thread
 * scan  all rows
 *
 * Each line: operations a second, CPU of the whole process for each, and for writes the bytes given
 * to the disk for each byte of key and value. An absolute figure says nothing without one beside
 * it.
 */

#include <stdio.h>
#include <sys/resource.h>
#include "meta/meta.h"
#include "rt/rt.h"

#define KEY_BYTES 32

struct bench {
    const char *dir;
    unsigned seconds, fibers, keys, value_bytes;
    struct kv_rocks_shared *shared;
    struct meta *meta;
    uint64_t until;
    uint64_t ops;
    uint64_t longest_ns;
    struct rt_lock lock;
    struct rt_waitq done;
    unsigned left;
};

static char filler[META_VALUE_MAX];

/* ---- figures -------------------------------------------------------------------------------- */

struct mark {
    uint64_t at, cpu_ns, written;
};

static uint64_t bytes_written(void)
{
    FILE *f = fopen("/proc/self/io", "r");
    char line[128];
    unsigned long long n = 0;
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "write_bytes: %llu", &n) == 1)
            break;
    if (f)
        fclose(f);
    return n;
}

static struct mark mark_now(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    uint64_t cpu_us = (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
                      (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
    return (struct mark){rt_now(), cpu_us * 1000, bytes_written()};
}

static void report(const char *what, struct mark from, uint64_t ops, uint64_t user_bytes)
{
    struct mark to = mark_now();
    double seconds = (double)(to.at - from.at) / 1e9;
    printf("%-5s %9.0f/s  %6.2f us CPU each", what, (double)ops / seconds,
           (double)(to.cpu_ns - from.cpu_ns) / 1e3 / (double)ops);
    if (user_bytes)
        printf("  %5.2f bytes written a byte",
               (double)(to.written - from.written) / (double)user_bytes);
    printf("\n");
    fflush(stdout);
}

/* ---- work ----------------------------------------------------------------------------------- */

struct row {
    struct bench *b;
    uint64_t n;
    char key[KEY_BYTES + 1];
};

static uint64_t draw(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return *seed >> 33;
}

static struct str row_key(struct row *row)
{
    /* Spread, as names in a bucket that is filled in no order. */
    uint64_t h = row->n * 0x9e3779b97f4a7c15ULL;
    snprintf(row->key, sizeof(row->key), "Odata/%016llx.object.js", (unsigned long long)h);
    return str_from(row->key);
}

static int put_row(struct meta_tx *tx, void *arg)
{
    struct row *row = arg;
    struct str old, key = row_key(row);
    int64_t deltas[2] = {1, 300};
    int r = meta_get(tx, key, &old);
    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    r = meta_put(tx, key, str_make(filler + row->n % 1000, row->b->value_bytes));
    return r < 0 ? r : meta_add(tx, STR("C"), deltas, 2);
}

static int get_row(struct meta_tx *tx, void *arg)
{
    struct str value;
    return meta_get(tx, row_key(arg), &value);
}

static int scan_rows(struct meta_tx *tx, void *arg)
{
    uint64_t *count = arg;
    struct meta_cursor *c;
    *count = 0;
    int r = meta_cursor_open(tx, STR("O"), &c);
    for (r = r < 0 ? r : meta_cursor_seek(c, STR_NULL); r == 0 && meta_cursor_valid(c);
         r = meta_cursor_next(c))
        *count += meta_cursor_key(c).len > 0 && meta_cursor_value(c).len > 0;
    return r;
}

static void put_fiber(void *arg)
{
    struct bench *b = arg;
    rt_lock(&b->lock);
    uint64_t seed = 77 + b->left--, ops = 0, longest = 0;
    rt_unlock(&b->lock);
    struct row row = {.b = b};
    for (uint64_t now = rt_now(), before; now < b->until; ops++) {
        row.n = draw(&seed) % b->keys;
        before = now;
        CHECK(meta_write(b->meta, BUCKET_SYSTEM, put_row, &row) == 0);
        now = rt_now();
        longest = MAX(longest, now - before);
    }
    rt_lock(&b->lock);
    b->ops += ops;
    b->longest_ns = MAX(b->longest_ns, longest);
    if (++b->left == b->fibers)
        rt_wake_all(&b->done);
    rt_unlock(&b->lock);
}

static void FIBER bench_put(struct bench *b)
{
    struct mark from = mark_now();
    struct meta_stats stats;
    b->until = rt_now() + b->seconds * RT_S;
    b->left = b->fibers;
    for (unsigned i = 0; i < b->fibers; i++)
        CHECK(rt_spawn_on(i % rt_thread_count(), "put", put_fiber, b) == 0);
    rt_lock(&b->lock);
    rt_wait(&b->done, &b->lock, RT_NEVER);
    rt_unlock(&b->lock);
    report("put", from, b->ops, b->ops * (KEY_BYTES + b->value_bytes));
    meta_stats(b->meta, &stats);
    printf("      %.1f a batch, longest %.1f ms\n",
           (double)stats.writes / (double)stats.write_batches, (double)b->longest_ns / 1e6);
}

/* Many rows a transaction: quick. */
static int fill_rows(struct meta_tx *tx, void *arg)
{
    struct row *row = arg;
    struct str old;
    int r = 0;
    for (uint64_t n = row->n; r == 0 && n < row->n + 1000 && n < row->b->keys; n++) {
        struct row one = {.b = row->b, .n = n};
        r = meta_get(tx, row_key(&one), &old);
        if (r == -ERR_NOT_FOUND)
            r = meta_put(tx, row_key(&one), str_make(filler + n % 1000, row->b->value_bytes));
    }
    return r;
}

static void FIBER bench_fill(struct bench *b)
{
    struct mark from = mark_now();
    for (struct row row = {.b = b}; row.n < b->keys; row.n += 1000)
        CHECK(meta_write(b->meta, BUCKET_SYSTEM, fill_rows, &row) == 0);
    report("fill", from, b->keys, 0);
}

static void FIBER bench_get(struct bench *b, const char *what, uint64_t rows, uint64_t ops)
{
    struct mark from = mark_now();
    struct row row = {.b = b};
    uint64_t seed = 5;
    for (uint64_t i = 0; i < ops; i++) {
        row.n = draw(&seed) % rows;
        CHECK(meta_read(b->meta, BUCKET_SYSTEM, get_row, &row) == 0);
    }
    report(what, from, ops, 0);
}

static void FIBER bench_scan(struct bench *b, const char *what)
{
    uint64_t count;
    struct mark from = mark_now();
    CHECK(meta_read(b->meta, BUCKET_SYSTEM, scan_rows, &count) == 0);
    CHECK(count == b->keys);
    report(what, from, count, 0);
}

/* ---- the run -------------------------------------------------------------------------------- */

static struct kv *opened;

static int open_store(void *arg)
{
    struct bench *b = arg;
    return kv_rocks_open(&opened, b->shared, b->dir, true);
}

static void FIBER bench_open(struct bench *b)
{
    uint64_t start = rt_now();
    meta_close(b->meta);
    uint64_t closed = rt_now();
    CHECK(rt_offload(open_store, b) == 0);
    CHECK(meta_local_open(&b->meta, opened, 0) == 0);
    printf("open  %9.1f ms   (close %.1f ms)\n", (double)(rt_now() - closed) / 1e6,
           (double)(closed - start) / 1e6);
}

static int run(void *arg)
{
    struct bench *b = arg;
    CHECK(rt_offload(open_store, b) == 0);
    CHECK(meta_local_open(&b->meta, opened, 0) == 0);
    bench_put(b);
    bench_fill(b);
    bench_open(b);
    uint64_t warm = MIN(b->keys, 3000u); /* whose blocks all fit the cache */
    bench_get(b, "cold", warm, warm);
    bench_get(b, "warm", warm, 4 * warm);
    bench_get(b, "get", warm, 1000000);
    bench_scan(b, "scan1");
    bench_scan(b, "scan");
    meta_close(b->meta);
    return 0;
}

int main(int argc, char **argv)
{
    struct bench b = {.seconds = 5, .fibers = 64, .keys = 1000000, .value_bytes = 300};
    struct kv_rocks_config config = {0};
    if (argc < 2) {
        fprintf(stderr, "usage: meta_put DIR [SECONDS] [FIBERS] [KEYS] [VALUE_BYTES]\n");
        return 2;
    }
    b.dir = argv[1];
    unsigned *options[] = {&b.seconds, &b.fibers, &b.keys, &b.value_bytes};
    for (int i = 0; i < (int)ARRAY_LEN(options) && i + 2 < argc; i++)
        *options[i] = (unsigned)strtoul(argv[i + 2], NULL, 10);
    for (size_t i = 0; i < sizeof(filler); i++)
        filler[i] = (char)(i * 2654435761u >> 13);
    CHECK(kv_rocks_shared_new(&b.shared, &config) == 0);
    rt_lock_init(&b.lock);
    rt_waitq_init(&b.done);
    int r = rt_run(&(struct rt_config){.threads = 1}, run, &b);
    kv_rocks_shared_free(b.shared);
    return r < 0;
}
