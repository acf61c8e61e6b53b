/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A table from nothing.
 *
 * Systematic sampling: lay the disks end to end, in the order of zones and nodes, each as long as
 * its number of slots; cut the line into `slots` pieces of RING_PARTITIONS each and lay the pieces
 * under one another. The partitions are the columns of that picture. A disk is no longer than a
 * piece, so it is met once at most; a zone or node of n + x pieces is met n or n + 1 times, which
 * is as even as can be. Partition p takes its pieces starting with another one than p - 1, so each
 * slot has its even part of every disk, and in steps of a zone, so that neighbours in a row are of
 * different ones.
 *
 * What this lacks is chance: a disk shares partitions with few others, which alone would rebuild
 * it. So pairs of partitions exchange disks in the same slot, a few times each, wherever that
 * breaks no rule and spreads no worse. No exchange changes how often a disk stands in a slot.
 */

#include <math.h>
#include "ring/internal.h"

#define EXCHANGES 8 /* tried per slot of the table */

/* Pieces per zone, or per node where there is one zone: that far apart, two pieces are not of the
 * same one. */
static unsigned find_stride(const struct shares *s)
{
    unsigned kind = s->tier_count[TIER_ZONE] > 1 ? TIER_ZONE : TIER_NODE;
    double most = 0;
    for (unsigned i = 0; i < s->tier_count[kind]; i++)
        most = MAX(most, s->tiers[kind][i].share);
    return (unsigned)MIN(ceil(most - 1e-9), (double)s->slots);
}

/* The order in which a partition takes its pieces: 0, stride, 2 * stride, ... and round again from
 * the next that was left out. */
static void order_pieces(const struct shares *s, unsigned *ret_place)
{
    unsigned stride = find_stride(s), place = 0;
    for (unsigned first = 0; first < stride; first++)
        for (unsigned piece = first; piece < s->slots; piece += stride)
            ret_place[piece] = place++;
    CHECK(place == s->slots);
}

static void lay_out(struct ring *r, const struct shares *s)
{
    unsigned slots = r->config.slots, place[RING_SLOTS_MAX];
    double end = 0;
    size_t at = 0;
    order_pieces(s, place);
    for (unsigned i = 0; i < s->disk_count; i++) {
        end += s->of[s->order[i]] * RING_PARTITIONS;
        for (; at < (size_t)llround(end); at++) {
            unsigned p = (unsigned)(at % RING_PARTITIONS), piece = (unsigned)(at / RING_PARTITIONS);
            ring_row(r, p)[(place[piece] + p) % slots] = s->order[i];
        }
    }
    CHECK(at == (size_t)slots * RING_PARTITIONS);
}

static void exchange(struct ring *r, const struct shares *s, struct dice *dice)
{
    unsigned slots = r->config.slots, slot = dice_below(dice, slots);
    uint16_t *a = ring_row(r, dice_below(dice, RING_PARTITIONS));
    uint16_t *b = ring_row(r, dice_below(dice, RING_PARTITIONS));
    uint16_t of_a = a[slot], of_b = b[slot];
    if (row_has(a, slots, of_b) || row_has(b, slots, of_a))
        return;
    if (shares_spread_delta(s, a, slot, of_b) + shares_spread_delta(s, b, slot, of_a) > 0)
        return;
    a[slot] = of_b;
    b[slot] = of_a;
}

void table_make(struct ring *r, const struct shares *s)
{
    struct dice dice = {r->config.seed};
    lay_out(r, s);
    for (size_t i = 0; i < (size_t)EXCHANGES * RING_PARTITIONS * r->config.slots; i++)
        exchange(r, s, &dice);
}
