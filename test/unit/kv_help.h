/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/* What the tests of stores have in common. */

#include "test/unit/unit.h"
#include <stdio.h>
#include <unistd.h>
#include "kv/kv.h"
#include "kv/mem.h"
#include "kv/rocks_internal.h"

/* A store under test: opened by `setup`, closed and removed by `teardown`. */
struct store {
    bool rocks;
    struct kv_rocks_shared *shared;
    struct kv_mem *mem;
    char dir[64], path[80];
    struct kv *kv;
};

static inline void store_open(struct store *s, bool with_log)
{
    if (s->rocks)
        assert_int_equal(kv_rocks_open(&s->kv, s->shared, s->path, with_log), 0);
    else
        assert_int_equal(kv_mem_open(&s->kv, s->mem), 0);
}

static inline int setup(void **state, bool rocks)
{
    struct store *s = calloc(1, sizeof(*s));
    s->rocks = rocks;
    if (rocks) {
        snprintf(s->dir, sizeof(s->dir), "%s/cairn-kv-XXXXXX",
                 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
        assert_non_null(mkdtemp(s->dir));
        snprintf(s->path, sizeof(s->path), "%s/store", s->dir);
        struct kv_rocks_config config = {.block_cache_bytes = 8 * MIB,
                                         .write_buffer_bytes = 8 * MIB};
        assert_int_equal(kv_rocks_shared_new(&s->shared, &config), 0);
    } else {
        assert_int_equal(kv_mem_new(&s->mem, true), 0);
    }
    store_open(s, true);
    *state = s;
    return 0;
}

static inline int setup_rocks(void **state)
{
    return setup(state, true);
}

static inline int setup_mem(void **state)
{
    return setup(state, false);
}

static inline int teardown(void **state)
{
    struct store *s = *state;
    kv_close(s->kv);
    kv_mem_free(s->mem);
    if (s->rocks) {
        kv_rocks_shared_free(s->shared);
        assert_int_equal(kv_rocks_destroy(s->path), 0);
        assert_int_equal(rmdir(s->dir), 0);
    }
    free(s);
    return 0;
}

static inline void reopen(struct store *s)
{
    kv_close(s->kv);
    store_open(s, true);
}

static inline void put(struct kv *kv, const char *key, const char *value)
{
    struct kv_batch *b;
    assert_int_equal(kv_batch_new(kv, &b), 0);
    assert_int_equal(kv_batch_put(b, str_from(key), str_from(value)), 0);
    assert_int_equal(kv_write(kv, b, true), 0);
    kv_batch_free(b);
}

static inline void expect_get(struct kv *kv, const struct kv_snapshot *snap, const char *key,
                              const char *value)
{
    struct buf buf;
    buf_init(&buf, 0);
    int r = kv_get(kv, snap, str_from(key), 0, &buf);
    assert_int_equal(r, value ? 0 : -ERR_NOT_FOUND);
    if (value)
        assert_true(str_eq(buf_str(&buf), str_from(value)));
    buf_release(&buf);
}

/* "k1=v1 k2=v2 " from the iterator's position on. */
static inline void expect_rest(struct kv_iter *it, bool backward, const char *expected)
{
    struct buf buf;
    buf_init(&buf, 0);
    for (; kv_iter_valid(it); backward ? kv_iter_prev(it) : kv_iter_next(it)) {
        struct str k = kv_iter_key(it), v = kv_iter_value(it);
        buf_printf(&buf, "%.*s=%.*s ", STR_FMT(k), STR_FMT(v));
    }
    assert_int_equal(kv_iter_error(it), 0);
    buf_put_char(&buf, 0);
    assert_string_equal(buf.data, expected);
    buf_release(&buf);
}
