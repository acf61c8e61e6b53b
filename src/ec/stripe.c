/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "ec/stripe.h"

uint32_t stripe_count(unsigned k, uint64_t len)
{
    uint64_t full = k * STRIPE_CELL;
    return (uint32_t)((len + full - 1) / full);
}

struct stripe stripe_at(unsigned k, uint64_t len, uint32_t n)
{
    uint64_t full = k * STRIPE_CELL, off = n * full;
    uint64_t data = off < len ? MIN(len - off, full) : 0;
    uint64_t cell = align_up((data + k - 1) / k, STRIPE_ALIGN);
    CHECK(cell <= STRIPE_CELL);
    return (struct stripe){.off = off,
                           .data_len = (uint32_t)data,
                           .cell_len = (uint32_t)cell,
                           .cell_off = n * STRIPE_CELL};
}

struct stripe stripe_of(unsigned k, uint64_t len, uint64_t off)
{
    CHECK(off < len);
    return stripe_at(k, len, (uint32_t)(off / (k * STRIPE_CELL)));
}

uint64_t stripe_shard_len(unsigned k, uint64_t len)
{
    if (len == 0)
        return 0;
    struct stripe last = stripe_at(k, len, stripe_count(k, len) - 1);
    return last.cell_off + last.cell_len;
}

uint32_t stripe_cell_data(const struct stripe *s, unsigned j)
{
    uint64_t begin = (uint64_t)j * s->cell_len;
    return begin < s->data_len ? (uint32_t)MIN(s->data_len - begin, s->cell_len) : 0;
}

struct stripe_place stripe_place(unsigned k, uint64_t len, uint64_t off)
{
    struct stripe s = stripe_of(k, len, off);
    unsigned shard = (unsigned)((off - s.off) / s.cell_len);
    uint32_t in_cell = (uint32_t)((off - s.off) % s.cell_len);
    return (struct stripe_place){.shard = shard,
                                 .shard_off = s.cell_off + in_cell,
                                 .len = stripe_cell_data(&s, shard) - in_cell};
}
