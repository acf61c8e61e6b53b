/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * store_paths DIR [KEYS] [BYTES] [INLINE] [BESIDE]: the store alone, over RocksDB and a disk in
 * DIR, on one loop thread, without HTTP, signatures or digests: what those have to share a core
 * with.
 *
 * put    64 fibers put KEYS objects of BYTES, each acknowledged when durable
 * over   the same keys again: each replaces an object
 * hit    the same few objects read again and again: opened from the cache, closed
 * miss   objects read once each
 * list   the whole bucket, a thousand entries a page
 * delim  the bucket by delimiter (a hundred keys behind each prefix): pages of prefixes
 *
 * Each line: operations (entries for listings) a second, CPU of the process for each, and what was
 * given to the disk for each. INLINE: objects up to this lie in their record; BESIDE: longer
 * ones up to this in a row beside it.
 */

#include <stdio.h>
#include <sys/resource.h>
#include "rt/rt.h"
#include "store/store.h"

#define FIBERS 64

struct bench {
    const char *dir;
    unsigned keys;
    size_t bytes, inline_max, beside_max;
    struct kv_rocks_shared *shared;
    struct meta *meta;
    struct disk *disk;
    struct nodes nodes;
    struct blob *blob;
    struct store *store;
    struct bucket_id bucket;
    unsigned next; /* key to put */
};

static char filler[1 << 20];

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

static void report(const char *what, struct mark from, uint64_t ops)
{
    struct mark to = mark_now();
    printf("%-6s %10.0f/s  %6.2f us CPU each  %8.0f bytes written each\n", what,
           (double)ops * 1e9 / (double)(to.at - from.at),
           (double)(to.cpu_ns - from.cpu_ns) / 1e3 / (double)ops,
           (double)(to.written - from.written) / (double)ops);
    fflush(stdout);
}

static struct str key_text(unsigned n, char ret[64])
{
    uint32_t h = n * 2654435761u;
    int len = snprintf(ret, 64, "data/%05x/%08x.object", (n / 100) * 2654435761u >> 12, h);
    return str_make(ret, (size_t)len);
}

/* ---- work ----------------------------------------------------------------------------------- */

static int FIBER put_one(struct bench *b, unsigned n)
{
    char text[64];
    struct store_writer *w;
    struct store_written written;
    struct store_etag etag = {.md5 = {1}};
    struct store_checksum sum = {.present = true, .kind = STORE_CRC64NVME, .len = 8};
    struct store_attrs attrs = {.content_type = STR("application/octet-stream"),
                                .owner = STR("0123456789abcdef0123456789abcdef")};
    int r = store_put_begin(b->store, b->bucket, key_text(n, text), b->bytes, &w);
    if (r < 0)
        return r;
    store_write(w, filler, b->bytes);
    return store_put_commit(w, &attrs, &etag, &sum, NULL, &written);
}

static int FIBER put_fiber(void *arg)
{
    struct bench *b = arg;
    int r = 0;
    while (r == 0 && b->next < b->keys)
        r = put_one(b, b->next++);
    return r;
}

static int FIBER put_all(struct bench *b, const char *what)
{
    struct rt_fiber *fibers[FIBERS];
    struct mark from = mark_now();
    int r = 0;
    b->next = 0;
    for (unsigned i = 0; i < FIBERS; i++)
        CHECK(rt_spawn(&fibers[i], "put", put_fiber, b) == 0);
    for (unsigned i = 0; i < FIBERS; i++)
        r = MIN(r, rt_join(fibers[i]));
    report(what, from, b->keys);
    return r;
}

static int FIBER get_all(struct bench *b, const char *what, unsigned count, unsigned among)
{
    struct mark from = mark_now();
    char text[64];
    for (unsigned i = 0; i < count; i++) {
        struct store_reader *reader;
        int r =
            store_get(b->store, b->bucket, key_text(i % among, text), STORE_CURRENT, NULL, &reader);
        if (r < 0)
            return r;
        store_reader_close(reader);
    }
    report(what, from, count);
    return 0;
}

static int FIBER list_all(struct bench *b, const char *what, struct str prefix,
                          struct str delimiter)
{
    struct mark from = mark_now();
    uint64_t entries = 0;
    char after[STORE_KEY_MAX];
    struct store_list_query q = {.prefix = prefix, .delimiter = delimiter, .max = STORE_LIST_MAX};
    struct store_list_page page;
    do {
        struct arena a;
        arena_init(&a, 0);
        int r = store_list(b->store, &a, b->bucket, &q, &page);
        if (r < 0)
            return r;
        entries += page.count;
        if (page.truncated)
            q.after = str_make(memcpy(after, page.next.ptr, page.next.len), page.next.len);
        arena_release(&a);
    } while (page.truncated);
    report(what, from, entries);
    return 0;
}

static int FIBER work(struct bench *b)
{
    struct arena a;
    struct store_bucket bucket;
    arena_init(&a, 0);
    int r = store_bucket_create(b->store, &a, STR("bench"), STR("me"), STR_NULL, &bucket);
    b->bucket = bucket.id;
    arena_release(&a);
    if (r == 0)
        r = put_all(b, "put");
    if (r == 0)
        r = put_all(b, "over");
    if (r == 0)
        r = get_all(b, "miss", b->keys, b->keys);
    if (r == 0)
        r = get_all(b, "hit", 2000000, 1000);
    if (r == 0)
        r = list_all(b, "list", STR(""), STR(""));
    if (r == 0)
        r = list_all(b, "delim", STR("data/"), STR("/"));
    return r;
}

/* ---- the engine ----------------------------------------------------------------------------- */

static int open_kv(struct bench *b, const char *name, bool with_log, struct kv **ret)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", b->dir, name);
    return kv_rocks_open(ret, b->shared, path, with_log);
}

static int FIBER run(void *arg)
{
    struct bench *b = arg;
    struct kv *kv;
    uint64_t session;
    struct disk_config disk = {.path = b->dir};
    int r = rt_mkdir(b->dir);
    CHECK(r == 0 && kv_rocks_shared_new(&b->shared, &(struct kv_rocks_config){0}) == 0);
    CHECK(open_kv(b, "meta", true, &kv) == 0);
    CHECK(meta_local_open(&b->meta, kv, 0) == 0);
    CHECK(store_new_session(b->meta, &session) == 0);
    CHECK(open_kv(b, "index", false, &disk.index) == 0);
    CHECK(disk_open(&b->disk, &disk) == 0);
    CHECK(nodes_wrap(&b->nodes, 0, b->dir, b->disk) == 0);
    CHECK(blob_open(&b->blob, &(struct blob_config){&b->nodes, session}) == 0);
    struct store_config config = {.meta = b->meta,
                                  .blob = b->blob,
                                  .inline_max_bytes = b->inline_max,
                                  .beside_max_bytes = b->beside_max};
    CHECK(store_open(&b->store, &config) == 0);
    r = work(b);
    store_close(b->store);
    blob_close(b->blob);
    nodes_release(&b->nodes);
    disk_close(b->disk);
    meta_close(b->meta);
    kv_rocks_shared_free(b->shared);
    return r;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s DIR [KEYS] [BYTES] [INLINE] [BESIDE]\n", argv[0]);
        return 2;
    }
    struct bench b = {.dir = argv[1], .keys = 100000, .bytes = 1024};
    if (argc > 2)
        b.keys = (unsigned)atoi(argv[2]);
    if (argc > 3)
        b.bytes = MIN((size_t)atoi(argv[3]), sizeof(filler));
    if (argc > 4)
        b.inline_max = (size_t)atoi(argv[4]);
    if (argc > 5)
        b.beside_max = (size_t)atoi(argv[5]);
    struct rt_config config = {.threads = 1};
    int r = rt_run(&config, run, &b);
    if (r < 0)
        fprintf(stderr, "%s\n", err_text(r));
    return r < 0;
}
