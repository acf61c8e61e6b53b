/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * lifecycle_scan DIR [KEYS]: what a pass of the lifecycle job costs over KEYS objects (a million if
 * not given) of which nothing is due, over RocksDB in DIR, on one loop thread: with one rule, with
 * a thousand rules of prefixes of their own, and with a rule that asks every object's tags.
 *
 * Each line: rows for each second of the process's CPU, and the CPU for each row. The job's own
 * pace is lifted.
 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include "jobs/jobs.h"

#define FIBERS 64
#define DAY_MS 1000 /* of the job: it begins a pass at once */

struct bench {
    const char *dir;
    unsigned keys;
    struct kv_rocks_shared *shared;
    struct meta *meta;
    struct disk *disk;
    struct nodes nodes;
    struct blob *blob;
    struct store *store;
    struct bucket_id bucket;
    uint64_t session;
    unsigned next; /* key to put */
};

static uint64_t cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* ---- objects -------------------------------------------------------------------------------- */

static int FIBER put_one(struct bench *b, unsigned n)
{
    char text[64];
    struct store_writer *w;
    struct store_written written;
    struct store_etag etag = {.md5 = {1}};
    struct store_checksum sum = {.present = true, .kind = STORE_CRC64NVME, .len = 8};
    struct store_pair tag = {STR("class"), STR("internal")};
    struct store_attrs attrs = {.content_type = STR("application/octet-stream"),
                                .owner = STR("0123456789abcdef0123456789abcdef"),
                                .tags = &tag,
                                .tag_count = 1};
    int len = snprintf(text, sizeof(text), "p%03u/%08x.object", n % 1000, n * 2654435761u);
    int r = store_put_begin(b->store, b->bucket, str_make(text, (size_t)len), 100, &w);
    if (r < 0)
        return r;
    store_write(w,
                "0123456789012345678901234567890123456789012345678901234567890123456789"
                "012345678901234567890123456789",
                100);
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

static int FIBER put_all(struct bench *b)
{
    struct rt_fiber *fibers[FIBERS];
    int r = 0;
    for (unsigned i = 0; i < FIBERS; i++)
        CHECK(rt_spawn(&fibers[i], "put", put_fiber, b) == 0);
    for (unsigned i = 0; i < FIBERS; i++)
        r = MIN(r, rt_join(fibers[i]));
    return r;
}

/* ---- a pass --------------------------------------------------------------------------------- */

static uint64_t passes(struct jobs *j)
{
    static const char name[] = "\ncairn_lifecycle_passes_total ";
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    jobs_lifecycle_metrics(&b, j);
    const char *at = strstr(b.data, name);
    CHECK(at);
    return strtoull(at + strlen(name), NULL, 10);
}

static int FIBER one_pass(struct bench *b, const char *what, const struct buf *rules)
{
    struct jobs *jobs;
    struct jobs_config config = {.store = b->store,
                                 .nodes = &b->nodes,
                                 .meta = b->meta,
                                 .blob = b->blob,
                                 .session = b->session,
                                 .sweep_delay_ms = 3600 * 1000,
                                 .scrub_first_ms = 3600 * 1000,
                                 .lifecycle_day_ms = DAY_MS};
    int r = store_setting_put(b->store, b->bucket, STORE_SETTING_LIFECYCLE, buf_str(rules));
    if (r == 0)
        r = jobs_start(&jobs, &config);
    if (r < 0)
        return r;
    job_set_pace(schedule_find(jobs_schedule(jobs), STR("lifecycle")), 0, 0);
    uint64_t from = cpu_us();
    jobs_set_audit(jobs, NULL);
    while (passes(jobs) == 0)
        rt_sleep_until(rt_now() + 5 * RT_MS);
    double us = (double)(cpu_us() - from);
    printf("%-12s %10.0f rows for each second of CPU  %6.2f us each\n", what, b->keys / us * 1e6,
           us / b->keys);
    fflush(stdout);
    jobs_stop(jobs);
    return 0;
}

static void put_rule(struct buf *rules, const char *filter, unsigned n)
{
    buf_printf(rules, "<Rule><ID>%u</ID><Status>Enabled</Status><Filter>", n);
    buf_printf(rules, filter, n);
    buf_put_cstr(rules, "</Filter><Expiration><Days>3650</Days></Expiration></Rule>");
}

static int FIBER pass_with(struct bench *b, const char *what, const char *filter, unsigned count)
{
    _cleanup_buf_ struct buf rules;
    buf_init(&rules, 0);
    buf_put_cstr(&rules, "<LifecycleConfiguration>");
    for (unsigned i = 0; i < count; i++)
        put_rule(&rules, filter, i);
    buf_put_cstr(&rules, "</LifecycleConfiguration>");
    return one_pass(b, what, &rules);
}

static int FIBER work(struct bench *b)
{
    struct store_bucket bucket;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    int r = store_bucket_create(b->store, &a, STR("bench"), STR("owner"), STR_NULL, &bucket);
    if (r < 0)
        return r;
    b->bucket = bucket.id;
    r = put_all(b);
    if (r == 0)
        r = pass_with(b, "one rule", "<Prefix></Prefix>", 1);
    if (r == 0)
        r = pass_with(b, "1000 rules", "<Prefix>p%03u/</Prefix>", 1000);
    if (r == 0)
        r = pass_with(b, "tags", "<Tag><Key>class</Key><Value>secret</Value></Tag>", 1);
    return r;
}

/* ---- set up --------------------------------------------------------------------------------- */

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
    struct disk_config disk = {.path = b->dir};
    int r = rt_mkdir(b->dir);
    CHECK(r == 0 && kv_rocks_shared_new(&b->shared, &(struct kv_rocks_config){0}) == 0);
    CHECK(open_kv(b, "meta", true, &kv) == 0);
    CHECK(meta_local_open(&b->meta, kv, 0) == 0);
    CHECK(store_new_session(b->meta, &b->session) == 0);
    CHECK(open_kv(b, "index", false, &disk.index) == 0);
    CHECK(disk_open(&b->disk, &disk) == 0);
    CHECK(nodes_wrap(&b->nodes, 0, b->dir, b->disk) == 0);
    CHECK(blob_open(&b->blob, &(struct blob_config){&b->nodes, b->session}) == 0);
    struct store_config config = {.meta = b->meta, .blob = b->blob};
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
        fprintf(stderr, "usage: %s DIR [KEYS]\n", argv[0]);
        return 2;
    }
    struct bench b = {.dir = argv[1], .keys = argc > 2 ? (unsigned)atoi(argv[2]) : 1000000};
    struct rt_config config = {.threads = 1};
    int r = rt_run(&config, run, &b);
    if (r < 0)
        fprintf(stderr, "%s\n", err_text(r));
    return r < 0;
}
