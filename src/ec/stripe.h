/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Where a chunk's bytes lie in its shards. Pure arithmetic.
 *
 * A chunk of `len` bytes is cut into stripes of k cells of STRIPE_CELL bytes; cell j of a stripe
 * goes to shard j, and its m parity cells to shards k to k + m - 1. Every shard is the row of its
 * cells, end to end:
 *
 *     chunk    | s0c0 | s0c1 | s0c2 | s0c3 | s1c0 | s1c1 | ...        k = 4
 *     shard 0  | s0c0 | s1c0 | ...
 *     shard 4  | s0p0 | s1p0 | ...                                    the first parity
 *
 * The last stripe has what is left, 1 to k * STRIPE_CELL bytes, in k equal cells: as short as they
 * can be in whole STRIPE_ALIGN bytes, filled up with zeros. The zeros are stored, and counted in
 * the parity. So
 *
 *  1. all shards of a chunk have one length, and so have all cells of a stripe;
 *  2. a chunk's shards take at most k * STRIPE_ALIGN - 1 bytes more than len * (k + m) / k;
 *  3. a small range lies in one shard, or a few.
 *
 * (Were the last stripe's cells filled one after the other, a chunk of 256 KiB in RS(8,4) would be
 * one cell of data and four of parity: five times its bytes, where it is now one and a half.)
 */

#include "base/defs.h"

#define STRIPE_CELL  (256 * KIB)
#define STRIPE_ALIGN 64

/* One stripe of a chunk. */
struct stripe {
    uint64_t off;      /* of its first byte in the chunk */
    uint32_t data_len; /* bytes of the chunk in it: 0 beyond the chunk's end */
    uint32_t cell_len; /* of each of its k + m cells */
    uint64_t cell_off; /* of its cell in each shard */
};

/* The number of stripes in a chunk of `len` bytes, 0 for none. */
uint32_t stripe_count(unsigned k, uint64_t len);
/* The n-th of them. */
struct stripe stripe_at(unsigned k, uint64_t len, uint32_t n);
/* The one that holds byte `off` < len. */
struct stripe stripe_of(unsigned k, uint64_t len, uint64_t off);

/* The length of every shard. */
uint64_t stripe_shard_len(unsigned k, uint64_t len);

/* The bytes of the chunk in cell `j` < k, 0 to cell_len; the rest of the cell is zeros. */
uint32_t stripe_cell_data(const struct stripe *s, unsigned j);

/* Where one byte of the chunk lies, and how much follows it there. */
struct stripe_place {
    unsigned shard;
    uint64_t shard_off;
    uint32_t len; /* to the end of the chunk's bytes in this cell */
};
struct stripe_place stripe_place(unsigned k, uint64_t len, uint64_t off);
