/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Blocks of memory that reads and writes pass through, kept for the next ones. The allocator gives
 * long blocks back to the kernel, and having their pages again, zeroed and mapped one by one, costs
 * more than a disk's cache needs to fill them. So up to POOL_BYTES of them stay here, and the one
 * that this thread let go last, whose bytes its processor still has, is the first to be taken. Long
 * ones lie on huge pages (base/pages.h), several to a slab; what is free in slabs beside kept ones
 * is POOL_BYTES at most, and as much as is in use.
 *
 * Any thread may use it. What a block holds is whatever it held before.
 */

#include "base/pages.h"
#include "rt/rt.h"

#define POOL_BYTES  (64 * MIB) /* kept while nobody uses them */
#define POOL_BLOCKS 256
#define POOL_LEAST  (64 * KIB)  /* shorter blocks are the allocator's alone */
#define POOL_LONG   (512 * KIB) /* from here on they lie on huge pages */

struct pool {
    struct rt_lock lock;
    struct pages pages;
    unsigned count;
    size_t kept_bytes; /* read without the lock, too */
    struct pool_block {
        void *bytes;
        size_t size;
        unsigned thread;   /* that let it go */
    } blocks[POOL_BLOCKS]; /* the oldest first */
};

void pool_init(struct pool *p);
/* Everything that was taken has been put back. */
void pool_release(struct pool *p);
/* `size` bytes or more, aligned to RT_DIRECT_ALIGN from POOL_LEAST on. NULL: no memory. */
void *pool_take(struct pool *p, size_t size);
/* `size` as it was asked for. Accepts NULL. */
void pool_put(struct pool *p, void *bytes, size_t size);
size_t pool_kept_bytes(const struct pool *p);
/* Of the slabs that long blocks lie in, in use or kept. */
size_t pool_slab_bytes(const struct pool *p);
