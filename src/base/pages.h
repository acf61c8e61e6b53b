/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Long blocks of memory that lie on huge pages where the kernel has them. A MiB in pages of 4 KiB
 * is 256 of them to be looked up by whoever reads it, and to be found and held one by one by a
 * direct write; on a huge page of 2 MiB it is one.
 *
 * Blocks are cut from slabs of PAGES_SLAB bytes. A slab that holds no block goes back to the
 * kernel; a block that is given back keeps its memory while another one of its slab is in use. Who
 * takes and gives often keeps blocks himself.
 *
 * Not thread-safe. Nothing suspends; the first touch of a page may wait for the kernel to clear it.
 */

#include "base/list.h"

#define PAGES_UNIT (64 * KIB) /* a block takes whole units, and is aligned to one */
#define PAGES_SLAB (8 * MIB)

struct pages {
    struct list slabs;   /* the one that was taken from last is the first */
    size_t mapped_bytes; /* of them; atomic, for who looks from elsewhere */
    size_t taken_bytes;  /* of the blocks in them */
};

void pages_init(struct pages *p);
/* Everything was given back. */
void pages_release(struct pages *p);
/* NULL: no memory, or more than PAGES_SLAB. What it holds is whatever it held before. */
void *pages_take(struct pages *p, size_t size);
/* `size` as it was asked for. False: the block is not from here. */
bool pages_give(struct pages *p, void *block, size_t size);
