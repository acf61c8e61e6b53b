/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/* A disk in a directory of its own under /tmp, with a kv/mem index that outlives each opening. */

#include <ftw.h>
#include <stdio.h>
#include <unistd.h>
#include "unit.h"
#include "kv/mem.h"
#include "volume/internal.h"

struct disk_home {
    char path[64];
    struct kv_mem *index;
    struct disk_config config; /* the index is filled in by home_open */
    struct disk *disk;
};

static inline int home_remove_one(const char *path, const struct stat *st, int kind,
                                  struct FTW *ftw)
{
    return remove(path);
}

static inline void home_init(struct disk_home *h)
{
    *h = (struct disk_home){.path = "/tmp/cairn-volume-XXXXXX"};
    assert_non_null(mkdtemp(h->path));
    assert_int_equal(kv_mem_new(&h->index, false), 0);
    h->config = (struct disk_config){.path = h->path, .reserve_bytes = 1};
}

static inline void home_release(struct disk_home *h)
{
    kv_mem_free(h->index);
    nftw(h->path, home_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline int home_try_open(struct disk_home *h)
{
    int err = kv_mem_open(&h->config.index, h->index);
    return err ? err : disk_open(&h->disk, &h->config);
}

static inline void home_open(struct disk_home *h)
{
    assert_int_equal(home_try_open(h), 0);
}

static inline void home_close(struct disk_home *h)
{
    disk_close(TAKE_PTR(h->disk));
}

/* The index is gone: the next opening rebuilds it. */
static inline void home_lose_index(struct disk_home *h)
{
    kv_mem_free(h->index);
    assert_int_equal(kv_mem_new(&h->index, false), 0);
}

static inline void home_volume_path(const struct disk_home *h, unsigned number, char ret[128])
{
    snprintf(ret, 128, "%s/volumes/%08u.vol", h->path, number);
}

static inline struct needle_key key_of(uint64_t n)
{
    return (struct needle_key){.chunk = {.session = 7, .counter = n}, .shard = (uint16_t)(n % 3)};
}

/* Bytes that tell their needle and their place. */
static inline void fill(uint8_t *p, size_t len, uint64_t n)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)((n * 131 + i) ^ (i >> 8) * 7);
}

struct put {
    struct needle_hint hint;
    struct hash128 digest;
};

static inline int put_try(struct disk *d, uint64_t n, size_t len, struct put *ret)
{
    uint8_t *data = malloc(len + 1);
    fill(data, len, n);
    struct needle_info info = {.len_bytes = len, .encode_id = n + 1, .code_k = 1};
    struct iovec iov = {data, len};
    int err = disk_append(d, key_of(n), &info, &iov, 1, &ret->hint, &ret->digest);
    free(data);
    return err;
}

static inline struct put put(struct disk *d, uint64_t n, size_t len)
{
    struct put p = {};
    assert_int_equal(put_try(d, n, len, &p), 0);
    return p;
}

/* Reads all of needle `n` and compares; the error otherwise. */
static inline int check_try(struct disk *d, uint64_t n, size_t len, const struct needle_hint *hint)
{
    struct needle_reader *r;
    int err = needle_open(d, key_of(n), hint, &r);
    if (err)
        return err;
    uint8_t *want = malloc(len + 1), *got = malloc(len + 1);
    fill(want, len, n);
    assert_int_equal(needle_reader_info(r)->len_bytes, len);
    assert_int_equal(needle_reader_info(r)->encode_id, n + 1);
    err = needle_read(r, 0, got, len);
    if (err == 0)
        assert_memory_equal(want, got, len);
    free(want);
    free(got);
    needle_reader_close(r);
    return err;
}

static inline void check(struct disk *d, uint64_t n, size_t len)
{
    assert_int_equal(check_try(d, n, len, NULL), 0);
}

/* All rows of the index as text, to compare two of them. */
static inline void index_dump(struct disk *d, struct buf *ret)
{
    struct kv_iter *it;
    assert_int_equal(kv_iter_new(d->kv, NULL, NULL, 0, &it), 0);
    for (kv_iter_seek(it, STR("")); kv_iter_valid(it); kv_iter_next(it)) {
        struct str parts[] = {kv_iter_key(it), kv_iter_value(it)};
        for (unsigned i = 0; i < 2; i++) {
            for (size_t c = 0; c < parts[i].len; c++)
                buf_printf(ret, "%02x", (uint8_t)parts[i].ptr[c]);
            buf_put_char(ret, i ? '\n' : '=');
        }
    }
    assert_int_equal(kv_iter_error(it), 0);
    kv_iter_free(it);
}

/* Runs `fn` as the first fiber of a world. */
static inline void on_fiber(unsigned threads, int (*fn)(void *), void *arg)
{
    struct rt_config c = {.threads = threads};
    assert_int_equal(rt_run(&c, fn, arg), 0);
}
