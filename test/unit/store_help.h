/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/* A store over kv/mem and a disk of its own under /tmp; both outlive each opening. */

#include <ftw.h>
#include <stdio.h>
#include <unistd.h>
#include "unit.h"
#include "base/md5.h"
#include "kv/mem.h"
#include "store/internal.h"

struct store_home {
    char path[64];
    struct kv_mem *content, *index;
    struct meta *meta;
    struct disk *disk;
    struct nodes nodes;
    /* disks beyond the first, each in a directory of its own; made by home_more_disk */
    struct home_disk {
        char path[80];
        struct kv_mem *index;
        struct disk *disk;
    } more[8];
    unsigned more_count;
    struct blob *blob;
    struct store *store;
    struct store_config config;
    uint64_t volume_bytes_max; /* 0: the usual */
    uint64_t session;
    struct arena arena; /* for what a case asks */
    struct bucket_id bucket;
};

static inline int home_remove_one(const char *path, const struct stat *st, int kind,
                                  struct FTW *ftw)
{
    return remove(path);
}

static inline void home_init(struct store_home *h)
{
    *h = (struct store_home){.path = "/tmp/cairn-store-XXXXXX"};
    arena_init(&h->arena, 256 * MIB);
    assert_non_null(mkdtemp(h->path));
    assert_int_equal(kv_mem_new(&h->content, true), 0);
    assert_int_equal(kv_mem_new(&h->index, false), 0);
}

static inline void home_more_disk(struct store_home *h)
{
    struct home_disk *d = &h->more[h->more_count++];
    char name[16];
    snprintf(name, sizeof(name), "/more-%u", h->more_count);
    memcpy(d->path, h->path, strlen(h->path) + 1);
    strncat(d->path, name, sizeof(d->path) - strlen(d->path) - 1);
    assert_int_equal(kv_mem_new(&d->index, false), 0);
}

/* As a node, under the next number. */
static inline void home_open_more(struct store_home *h, unsigned i)
{
    struct home_disk *d = &h->more[i];
    struct disk_config disk = {
        .path = d->path, .reserve_bytes = 1, .volume_bytes_max = h->volume_bytes_max};
    assert_int_equal(kv_mem_open(&disk.index, d->index), 0);
    assert_int_equal(disk_open(&d->disk, &disk), 0);
    assert_int_equal(nodes_wrap(&h->nodes, i + 1, d->path, d->disk), 0);
}

static inline void home_release(struct store_home *h)
{
    for (unsigned i = 0; i < h->more_count; i++)
        kv_mem_free(h->more[i].index);
    kv_mem_free(h->content);
    kv_mem_free(h->index);
    arena_release(&h->arena);
    nftw(h->path, home_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void home_open(struct store_home *h)
{
    struct kv *kv;
    struct disk_config disk = {
        .path = h->path, .reserve_bytes = 1, .volume_bytes_max = h->volume_bytes_max};
    assert_int_equal(kv_mem_open(&disk.index, h->index), 0);
    assert_int_equal(disk_open(&h->disk, &disk), 0);
    assert_int_equal(kv_mem_open(&kv, h->content), 0);
    assert_int_equal(meta_local_open(&h->meta, kv, 0), 0);
    assert_int_equal(store_new_session(h->meta, &h->session), 0);
    assert_int_equal(nodes_wrap(&h->nodes, 0, h->path, h->disk), 0);
    for (unsigned i = 0; i < h->more_count; i++)
        home_open_more(h, i);
    struct blob_config blob = {.nodes = &h->nodes, .session = h->session};
    assert_int_equal(blob_open(&h->blob, &blob), 0);
    h->config.meta = h->meta;
    h->config.blob = h->blob;
    assert_int_equal(store_open(&h->store, &h->config), 0);
}

static inline void home_close(struct store_home *h)
{
    store_close(h->store);
    meta_close(h->meta);
    blob_close(h->blob);
    nodes_release(&h->nodes);
    for (unsigned i = 0; i < h->more_count; i++)
        disk_close(TAKE_PTR(h->more[i].disk));
    disk_close(h->disk);
}

static inline int home_count_chunk(unsigned disk, const struct needle_entry *e, void *arg)
{
    *(size_t *)arg += 1;
    return 0;
}

/* How many chunks there are. */
static inline size_t home_chunks(struct store_home *h)
{
    size_t n = 0;
    assert_int_equal(blob_each(h->blob, home_count_chunk, &n), 0);
    return n;
}

static inline void home_bucket(struct store_home *h, const char *name)
{
    struct store_bucket b;
    assert_int_equal(
        store_bucket_create(h->store, &h->arena, str_from(name), STR("owner"), STR_NULL, &b), 0);
    h->bucket = b.id;
}

/* Bytes that tell their seed. */
static inline struct str bytes_of(struct store_home *h, size_t len, unsigned seed)
{
    char *p = arena_alloc(&h->arena, len + 1);
    assert_non_null(p);
    for (size_t i = 0; i < len; i++)
        p[i] = (char)(i * 7 + seed * 131 + (i >> 8));
    return str_make(p, len);
}

static inline struct store_etag etag_of(struct str data)
{
    struct store_etag e = {.parts = 0};
    md5_of(data, e.md5);
    return e;
}

static inline int put_if(struct store_home *h, struct str key, struct str data,
                         const struct store_conditions *conditions)
{
    struct store_writer *w;
    struct store_attrs attrs = {.content_type = STR("text/plain"), .owner = STR("owner")};
    struct store_etag etag = etag_of(data);
    struct store_written written;
    int r = store_put_begin(h->store, h->bucket, key, data.len, &w);
    if (r < 0)
        return r;
    assert_int_equal(store_write(w, data.ptr, data.len / 2), 0);
    assert_int_equal(store_write(w, data.ptr + data.len / 2, data.len - data.len / 2), 0);
    return store_put_commit(w, &attrs, &etag, NULL, conditions, &written);
}

static inline void put(struct store_home *h, struct str key, struct str data)
{
    assert_int_equal(put_if(h, key, data, NULL), 0);
}

static inline int append_sink(const void *data, size_t len, void *arg)
{
    buf_put(arg, data, len);
    return 0;
}

/* What is read of the whole object. */
static inline int get(struct store_home *h, struct str key, struct buf *ret)
{
    struct store_reader *r;
    buf_reset(ret);
    int err = store_get(h->store, h->bucket, key, STORE_CURRENT, NULL, &r);
    if (err < 0) {
        store_reader_close(r);
        return err;
    }
    err = store_read(r, 0, store_reader_object(r)->len_bytes, append_sink, ret);
    store_reader_close(r);
    return err;
}

static inline void expect(struct store_home *h, struct str key, struct str data)
{
    _cleanup_buf_ struct buf got;
    buf_init(&got, 0);
    assert_int_equal(get(h, key, &got), 0);
    assert_int_equal(got.len, data.len);
    assert_true(data.len == 0 || memcmp(got.data, data.ptr, data.len) == 0);
}

static inline void expect_absent(struct store_home *h, struct str key)
{
    struct store_reader *r;
    assert_int_equal(store_get(h->store, h->bucket, key, STORE_CURRENT, NULL, &r),
                     -ERR_NO_SUCH_KEY);
    assert_null(r);
}

/* Rounds until nothing can be collected; how many chunks went. */
static inline uint64_t collect_all(struct store_home *h)
{
    uint64_t sum = 0, chunks = 1;
    while (chunks) {
        assert_int_equal(store_gc(h->store, 100, &chunks), 0);
        sum += chunks;
    }
    return sum;
}

static inline struct store_usage usage(struct store_home *h)
{
    struct store_usage u;
    assert_int_equal(store_usage(h->store, h->bucket, &u), 0);
    return u;
}

/* Each case is a fiber with a fresh home, opened and with a bucket. */
static inline void run_case_on(unsigned threads, int (*fn)(void *))
{
    struct store_home h;
    home_init(&h);
    struct rt_config c = {.threads = threads};
    assert_int_equal(rt_run(&c, fn, &h), 0);
    home_release(&h);
}
#define CASE_ON(threads, name)                 \
    static void name##_(struct store_home *h); \
    static int name##_fiber(void *arg)         \
    {                                          \
        struct store_home *h = arg;            \
        home_open(h);                          \
        home_bucket(h, "bucket");              \
        name##_(h);                            \
        home_close(h);                         \
        return 0;                              \
    }                                          \
    static void name(void **state)             \
    {                                          \
        run_case_on(threads, name##_fiber);    \
    }                                          \
    static void name##_(struct store_home *h)
#define CASE(name) CASE_ON(1, name)
