/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include <assert.h>
#include "blob/pool.h"
#include <sanitizer/asan_interface.h> /* empty words where the sanitizer is not built in */

#define SIZES (64 * KIB) /* a block's size is a multiple, so that few sizes occur */
static_assert(SIZES % RT_DIRECT_ALIGN == 0, "aligned_alloc wants it so");

void pool_init(struct pool *p)
{
    *p = (struct pool){0};
    rt_lock_init(&p->lock);
    pages_init(&p->pages);
}

/* NULL: no memory. The lock is held. */
static void *block_new(struct pool *p, size_t size)
{
    void *bytes = size >= POOL_LONG ? pages_take(&p->pages, size) : NULL;
    return bytes ? bytes : aligned_alloc(RT_DIRECT_ALIGN, size);
}

/* The lock is held. */
static void block_free(struct pool *p, struct pool_block b)
{
    ASAN_UNPOISON_MEMORY_REGION(b.bytes, b.size);
    if (!pages_give(&p->pages, b.bytes, b.size))
        free(b.bytes);
}

void pool_release(struct pool *p)
{
    for (unsigned i = 0; i < p->count; i++)
        block_free(p, p->blocks[i]);
    p->count = 0;
    p->kept_bytes = 0;
    pages_release(&p->pages);
}

/* Removes the block at `i`; the lock is held. */
static struct pool_block cut(struct pool *p, unsigned i)
{
    struct pool_block b = p->blocks[i];
    p->count--;
    __atomic_fetch_sub(&p->kept_bytes, b.size, __ATOMIC_RELAXED);
    memmove(p->blocks + i, p->blocks + i + 1, (p->count - i) * sizeof(p->blocks[0]));
    return b;
}

static unsigned this_thread(void)
{
    return rt_on_loop() ? rt_thread_index() : ~0u;
}

/* The newest of this size, of this thread if it has one; -1: none. The lock is held. */
static int find(const struct pool *p, size_t size)
{
    unsigned thread = this_thread();
    int other = -1;
    for (int i = (int)p->count - 1; i >= 0; i--) {
        if (p->blocks[i].size != size)
            continue;
        if (p->blocks[i].thread == thread)
            return i;
        other = other < 0 ? i : other;
    }
    return other;
}

void *pool_take(struct pool *p, size_t size)
{
    if (size < POOL_LEAST)
        return malloc(size);
    struct pool_block b = {.size = align_up(size, SIZES)};
    rt_lock(&p->lock);
    int at = find(p, b.size);
    if (at >= 0)
        b = cut(p, (unsigned)at);
    else
        b.bytes = block_new(p, b.size);
    rt_unlock(&p->lock);
    if (b.bytes)
        ASAN_UNPOISON_MEMORY_REGION(b.bytes, b.size);
    return b.bytes;
}

/*
 * A kept block keeps what is free beside it, up to a slab: after a rush those that are kept would
 * lie in many. While blocks are in use it is normal that some is free between them.
 */
static bool lies_in_too_many(const struct pool *p)
{
    size_t taken = p->pages.taken_bytes, in_use = taken - MIN(taken, p->kept_bytes);
    return p->pages.mapped_bytes - taken > POOL_BYTES + in_use;
}

/* Whether there is no room for one of `size`; the lock is held. */
static bool one_too_many(const struct pool *p, size_t size)
{
    return p->count > 0 &&
           (p->count == POOL_BLOCKS || p->kept_bytes + size > POOL_BYTES || lies_in_too_many(p));
}

void pool_put(struct pool *p, void *bytes, size_t size)
{
    if (!bytes || size < POOL_LEAST || size > POOL_BYTES) {
        free(bytes);
        return;
    }
    struct pool_block b = {bytes, align_up(size, SIZES), this_thread()};
    ASAN_POISON_MEMORY_REGION(b.bytes, b.size);
    rt_lock(&p->lock);
    while (one_too_many(p, b.size))
        block_free(p, cut(p, 0));
    p->blocks[p->count++] = b;
    __atomic_fetch_add(&p->kept_bytes, b.size, __ATOMIC_RELAXED);
    rt_unlock(&p->lock);
}

size_t pool_kept_bytes(const struct pool *p)
{
    return __atomic_load_n(&p->kept_bytes, __ATOMIC_RELAXED);
}

size_t pool_slab_bytes(const struct pool *p)
{
    return __atomic_load_n(&p->pages.mapped_bytes, __ATOMIC_RELAXED);
}
