/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/* A store over several simulated disks, with its jobs: virtual days pass in seconds. */

#include "disks_help.h"
#include "base/md5.h"
#include "jobs/internal.h"
#include "store/internal.h"

struct farm {
    struct disks d;
    struct kv_mem *content;
    struct meta *meta;
    struct store *store;
    struct jobs *jobs;
    struct jobs_config config; /* of the jobs: store, nodes and the like are filled in */
    struct bucket_id bucket;
    bool had_bucket;
    const struct store_class *class; /* one that is configured; NULL: none */
};

static inline void farm_open(struct farm *f)
{
    struct kv *kv;
    disks_open(&f->d);
    assert_int_equal(kv_mem_open(&kv, f->content), 0);
    assert_int_equal(meta_local_open(&f->meta, kv, 0), 0);
    struct store_config c = {.meta = f->meta,
                             .blob = f->d.blob,
                             .beside_max_bytes = 2048,
                             .classes = f->class,
                             .class_count = f->class ? 1 : 0};
    assert_int_equal(store_open(&f->store, &c), 0);
    if (f->had_bucket)
        return;
    struct store_bucket b;
    assert_int_equal(
        store_bucket_create(f->store, &f->d.arena, STR("bucket"), STR("owner"), STR_NULL, &b), 0);
    f->bucket = b.id;
    f->had_bucket = true;
}

static inline void farm_start_jobs(struct farm *f)
{
    f->config.store = f->store;
    f->config.nodes = &f->d.nodes;
    f->config.meta = f->meta;
    f->config.blob = f->d.blob;
    f->config.session = f->d.session;
    f->config.sweep_delay_ms = 3600 * 1000;
    assert_int_equal(jobs_start(&f->jobs, &f->config), 0);
    jobs_set_audit(f->jobs, NULL);
}

static inline void farm_close(struct farm *f)
{
    jobs_stop(TAKE_PTR(f->jobs));
    store_close(f->store);
    meta_close(f->meta);
    disks_close(&f->d);
    f->d.nodes = (struct nodes){0};
}

static inline void farm_restart(struct farm *f)
{
    bool jobs = f->jobs;
    farm_close(f);
    farm_open(f);
    if (jobs)
        farm_start_jobs(f);
}

static inline void with_farm(unsigned disks, int (*fn)(void *))
{
    struct farm *f = calloc(1, sizeof(*f));
    struct sim_config config = {.seed = disks};
    assert_int_equal(sim_new(&f->d.sim, &config), 0);
    assert_int_equal(kv_mem_new(&f->content, true), 0);
    arena_init(&f->d.arena, 0);
    while (f->d.count < disks)
        disks_add(&f->d);
    assert_int_equal(sim_rt_run(f->d.sim, fn, f), 0);
    arena_release(&f->d.arena);
    for (unsigned i = 0; i < f->d.count; i++)
        kv_mem_free(f->d.at[i].index);
    kv_mem_free(f->content);
    sim_free(f->d.sim);
    free(f);
}

/* A case is a fiber with the store open, no jobs running; what it leaves open is closed. */
#define FARM_CASE(name, disks)           \
    static void name##_(struct farm *f); \
    static int name##_fiber(void *arg)   \
    {                                    \
        struct farm *f = arg;            \
        farm_open(f);                    \
        name##_(f);                      \
        farm_close(f);                   \
        return 0;                        \
    }                                    \
    static void name(void **state)       \
    {                                    \
        with_farm(disks, name##_fiber);  \
    }                                    \
    static void name##_(struct farm *f)

static inline int farm_try_put(struct farm *f, const char *key, uint64_t len, uint64_t seed)
{
    struct store_writer *w;
    int r = store_put_begin(f->store, f->bucket, str_from(key), len, &w);
    if (r < 0)
        return r;
    struct store_etag etag = {.parts = 0};
    struct store_attrs attrs = {.owner = STR("owner")};
    struct store_written written;
    uint8_t *data = malloc(len + 1);
    for (uint64_t i = 0; i < len; i++)
        data[i] = byte_at(seed, i);
    md5_of(str_make(data, len), etag.md5);
    r = store_write(w, data, len);
    free(data);
    if (r < 0) {
        store_write_abort(w);
        return r;
    }
    return store_put_commit(w, &attrs, &etag, NULL, NULL, &written);
}

static inline void farm_put(struct farm *f, const char *key, uint64_t len, uint64_t seed)
{
    assert_int_equal(farm_try_put(f, key, len, seed), 0);
}

static inline int farm_get(struct farm *f, const char *key, uint64_t seed)
{
    struct store_reader *r;
    int err = store_get(f->store, f->bucket, str_from(key), STORE_CURRENT, NULL, &r);
    if (err)
        return err;
    struct got g = {.seed = seed};
    uint64_t len = store_reader_object(r)->len_bytes;
    err = store_read(r, 0, len, got_sink, &g);
    if (err == 0)
        assert_int_equal(g.count, len);
    store_reader_close(r);
    return err;
}

static inline void farm_delete(struct farm *f, const char *key)
{
    bool existed;
    assert_int_equal(store_delete(f->store, f->bucket, str_from(key), NULL, &existed), 0);
    assert_true(existed);
}

/* The object's layout, in the disks' arena. */
struct farm_layout {
    struct farm *farm;
    struct str key;
    struct blob_layout layout;
};
static inline int farm_layout_tx(struct meta_tx *tx, void *arg)
{
    struct farm_layout *l = arg;
    struct key_buf k;
    struct str value;
    struct record *record = NULL;
    int r = meta_get(tx, key_raw(&k, KEY_OBJECTS, l->key), &value);
    if (r == 0)
        r = record_decode(l->farm->bucket, l->key, value, &record);
    if (r < 0)
        return r;
    struct arena *a = &l->farm->d.arena;
    l->layout = record->layout;
    l->layout.chunks = arena_array(a, struct blob_chunk, l->layout.count);
    for (size_t i = 0; i < l->layout.count; i++) {
        struct blob_chunk *c = &l->layout.chunks[i];
        *c = record->layout.chunks[i];
        c->shards = arena_array(a, struct blob_shard, c->shard_count);
        memcpy(c->shards, record->layout.chunks[i].shards, c->shard_count * sizeof(*c->shards));
    }
    record_unref(record);
    return 0;
}
static inline struct blob_layout farm_layout(struct farm *f, const char *key)
{
    struct farm_layout l = {.farm = f, .key = str_from(key)};
    assert_int_equal(meta_read(f->meta, f->bucket, farm_layout_tx, &l), 0);
    return l.layout;
}

/* A bit of the shard's needle turns over where it lies, at `off` from its header. */
static inline void farm_flip(struct farm *f, const struct blob_shard *s, uint64_t off)
{
    char path[64];
    struct rt_file *file;
    uint8_t byte;
    size_t got;
    snprintf(path, sizeof(path), "%s/volumes/%08u.vol", f->d.at[s->disk].path, s->where.volume);
    assert_int_equal(rt_file_open(&file, path, RT_OPEN_WRITE), 0);
    assert_int_equal(rt_file_read(file, &byte, 1, s->where.offset + off, &got), 0);
    assert_int_equal(got, 1);
    byte ^= 0x10;
    struct iovec iov = {&byte, 1};
    assert_int_equal(rt_file_write(file, &iov, 1, s->where.offset + off), 0);
    assert_int_equal(rt_file_sync(file), 0);
    rt_file_close(file);
}

static inline void pass_time(uint64_t ns)
{
    rt_sleep_until(rt_now() + ns);
}

/* Until the condition holds, for up to `limit_ns` of virtual time. */
#define WAIT_UNTIL(cond, limit_ns)               \
    do {                                         \
        uint64_t until_ = rt_now() + (limit_ns); \
        while (!(cond) && rt_now() < until_)     \
            pass_time(10 * RT_MS);               \
        assert_true(cond);                       \
    } while (0)
