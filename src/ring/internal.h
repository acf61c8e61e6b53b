/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

#include <assert.h>
#include "base/error.h"
#include "ring/ring.h"

#define NO_DISK UINT16_MAX /* in a table that is being made */

struct ring {
    uint64_t epoch;
    struct ring_config config;
    unsigned disk_count;
    struct ring_disk *disks; /* by rising number */
    uint16_t *table;         /* [partition * slots + slot]: an index into disks */
    uint32_t *moved_h;       /* [partition] */
};

/* A ring with memory for its parts: disks copied and sorted, the table all NO_DISK. -EINVAL. */
int ring_alloc(struct ring **ret, const struct ring_config *config, const struct ring_disk *disks,
               unsigned count);
/* The index of a disk in r->disks, or NO_DISK. */
uint16_t ring_index_of(const struct ring *r, uint32_t number);

/* ---- shares --------------------------------------------------------------------------------- */

enum { TIER_ZONE, TIER_NODE, TIER_KINDS };

/* A zone or a node. */
struct tier {
    uint32_t zone, node;
    double share;                        /* in slots of a partition: the sum of its disks' */
    unsigned limit;                      /* of slots in a partition */
    uint8_t allowed[RING_SLOTS_MAX + 1]; /* in the first n of them, when they are spread evenly */
};

struct shares {
    unsigned slots, disk_count;
    double *of;                    /* [disk]: slots of a partition, 0 to 1; the sum is `slots` */
    uint16_t *order;               /* the disks by zone, node and number */
    uint16_t *tier_of[TIER_KINDS]; /* [disk]: an index into tiers[kind] */
    struct tier *tiers[TIER_KINDS];
    unsigned tier_count[TIER_KINDS];
};

/* -ERR_FULL: fewer disks that may have a share than slots. -ENOMEM. */
int shares_init(struct shares *s, const struct ring *r);
/* Also after a failed shares_init. */
void shares_release(struct shares *s);

/*
 * What is wrong with the spread of one partition's disks over the tiers of `kind` number `tier`:
 * the slots above what is even, in every prefix of the row, and SPREAD_LIMIT for each above the
 * limit, which is more than all the rest can be.
 */
#define SPREAD_LIMIT 10000
unsigned shares_spread_of(const struct shares *s, const uint16_t *row, unsigned kind,
                          unsigned tier);
/* What putting disk `to` at `slot` would add to it: negative when it spreads better. */
int shares_spread_delta(const struct shares *s, uint16_t *row, unsigned slot, uint16_t to);
static inline bool spread_breaks_limit(int delta)
{
    return delta > SPREAD_LIMIT / 2;
}
static inline bool spread_mends_limit(int delta)
{
    return delta < -SPREAD_LIMIT / 2;
}

/* ---- making tables -------------------------------------------------------------------------- */

/* splitmix64 (Steele et al., 2014). */
struct dice {
    uint64_t state;
};
static inline uint64_t dice_roll(struct dice *d)
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}
static inline unsigned dice_below(struct dice *d, unsigned n)
{
    return (unsigned)((dice_roll(d) >> 32) * n >> 32);
}

static inline uint16_t *ring_row(const struct ring *r, unsigned partition)
{
    return &r->table[(size_t)partition * r->config.slots];
}
static inline bool row_has(const uint16_t *row, unsigned slots, uint16_t disk)
{
    for (unsigned i = 0; i < slots; i++)
        if (row[i] == disk)
            return true;
    return false;
}

/* Fills an empty table. */
void table_make(struct ring *r, const struct shares *s);
/* Takes over prev's table and steps towards the shares. -ENOMEM. */
int table_step(struct ring *r, const struct ring *prev, const struct shares *s, uint32_t now_h,
               struct ring_report *report);
/* Fills in `waiting`, `crowded` and `worst`. */
void table_inspect(const struct ring *r, const struct shares *s, struct ring_report *report);
