/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What share of the slots each disk should have, and how the slots of one partition should be
 * spread over zones and nodes.
 *
 * Shares are found by filling: every disk gets `level` times its weight, but no more than one slot
 * of a partition, every node no more than its limit, every zone no more than its own; the level is
 * raised until all slots are given out. Once so without limits of zones and nodes ("fair"), once
 * with ("safe"); the shares are as far from the first to the second as `overload` allows. Both obey
 * the sums, so whatever lies between does.
 */

#include <math.h>
#include "ring/internal.h"

#define LEVEL_MAX \
    0x1p64           /* gives every disk with a weight its most: weights are at most 2^60 apart */
#define HALVINGS 130 /* of the levels below it: to the last bit of a double */
#define ALMOST   1e-9
/* The first slots, where small chunks' copies lie, are spread strictly; between them and the whole
 * a zone or node may be one ahead, or who joins late could only be given late slots. */
#define COPIES 3

/* ---- the order and the tiers ---------------------------------------------------------------- */

static int by_tier(const void *a, const void *b, void *disks)
{
    const struct ring_disk *x = (const struct ring_disk *)disks + *(const uint16_t *)a;
    const struct ring_disk *y = (const struct ring_disk *)disks + *(const uint16_t *)b;
    if (x->zone != y->zone)
        return x->zone < y->zone ? -1 : 1;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static bool same_tier(const struct tier *t, const struct ring_disk *d, unsigned kind)
{
    return t->zone == d->zone && (kind == TIER_ZONE || t->node == d->node);
}

/* Number the tiers of a kind in the order of the disks. */
static void find_tiers(struct shares *s, const struct ring *r, unsigned kind)
{
    unsigned count = 0;
    struct tier *tiers = s->tiers[kind];
    for (unsigned i = 0; i < s->disk_count; i++) {
        const struct ring_disk *d = &r->disks[s->order[i]];
        if (count == 0 || !same_tier(&tiers[count - 1], d, kind))
            tiers[count++] = (struct tier){.zone = d->zone, .node = d->node};
        s->tier_of[kind][s->order[i]] = (uint16_t)(count - 1);
    }
    s->tier_count[kind] = count;
}

static int allocate(struct shares *s, const struct ring *r)
{
    *s = (struct shares){.slots = r->config.slots, .disk_count = r->disk_count};
    s->of = calloc(r->disk_count, sizeof(*s->of));
    s->order = calloc(r->disk_count, sizeof(*s->order));
    for (unsigned kind = 0; kind < TIER_KINDS; kind++) {
        s->tier_of[kind] = calloc(r->disk_count, sizeof(*s->tier_of[kind]));
        s->tiers[kind] = calloc(r->disk_count, sizeof(*s->tiers[kind]));
        if (!s->tier_of[kind] || !s->tiers[kind])
            return -ENOMEM;
    }
    if (!s->of || !s->order)
        return -ENOMEM;
    for (unsigned i = 0; i < r->disk_count; i++)
        s->order[i] = (uint16_t)i;
    qsort_r(s->order, r->disk_count, sizeof(*s->order), by_tier, r->disks);
    return 0;
}

void shares_release(struct shares *s)
{
    free(s->of);
    free(s->order);
    for (unsigned kind = 0; kind < TIER_KINDS; kind++) {
        free(s->tier_of[kind]);
        free(s->tiers[kind]);
    }
}

/* ---- filling -------------------------------------------------------------------------------- */

/* What is nested in what. */
enum depth { ALL, ZONE, NODE, DISK, DEPTHS };

struct fill {
    const struct shares *s;
    const struct ring_disk *disks;
    double limit[DEPTHS]; /* in slots of a partition */
    double heaviest;      /* levels are per that much weight */
    double *of;           /* [disk]: what was given */
};

/* Of s->order. */
struct range {
    unsigned begin, end;
};

/* The zone, node or disk that begins at `begin`. */
static struct range range_at(const struct fill *f, enum depth depth, unsigned begin)
{
    unsigned end = begin + 1;
    if (depth == DISK)
        return (struct range){begin, end};
    const uint16_t *tier_of = f->s->tier_of[depth == ZONE ? TIER_ZONE : TIER_NODE];
    const uint16_t *order = f->s->order;
    while (end < f->s->disk_count && tier_of[order[end]] == tier_of[order[begin]])
        end++;
    return (struct range){begin, end};
}

static double weight_of(const struct fill *f, unsigned i)
{
    const struct ring_disk *d = &f->disks[f->s->order[i]];
    return d->state == RING_ACTIVE ? (double)d->weight / f->heaviest : 0;
}

static double taken(const struct fill *f, struct range r, enum depth depth, double level);

static double taken_by_parts(const struct fill *f, struct range r, enum depth depth, double level)
{
    double sum = 0;
    for (struct range part = {0, r.begin}; part.end < r.end;) {
        part = range_at(f, depth + 1, part.end);
        sum += taken(f, part, depth + 1, level);
    }
    return sum;
}

static double taken(const struct fill *f, struct range r, enum depth depth, double level)
{
    double most =
        depth == DISK ? level * weight_of(f, r.begin) : taken_by_parts(f, r, depth, level);
    return MIN(most, f->limit[depth]);
}

/* The lowest level at which the parts take `amount` together. */
static double level_for(const struct fill *f, struct range r, enum depth depth, double amount)
{
    double low = 0, high = LEVEL_MAX;
    for (unsigned i = 0; i < HALVINGS; i++) {
        double middle = (low + high) / 2;
        if (taken_by_parts(f, r, depth, middle) < amount)
            low = middle;
        else
            high = middle;
    }
    return high;
}

/* Shares out `amount` among the disks of a range. */
static void give(const struct fill *f, struct range r, enum depth depth, double amount)
{
    if (depth == DISK) {
        f->of[f->s->order[r.begin]] = amount;
        return;
    }
    double level = level_for(f, r, depth, amount);
    for (struct range part = {0, r.begin}; part.end < r.end;) {
        part = range_at(f, depth + 1, part.end);
        give(f, part, depth + 1, taken(f, part, depth + 1, level));
    }
}

/* ---- shares --------------------------------------------------------------------------------- */

static struct range everything(const struct fill *f)
{
    return (struct range){0, f->s->disk_count};
}

static bool holds_all(const struct fill *f)
{
    return taken_by_parts(f, everything(f), ALL, LEVEL_MAX) > f->s->slots - ALMOST;
}

/* The least limit of nodes, then of zones, from the parity on with which all slots find a place. */
static void find_limits(struct fill *f, unsigned parity)
{
    for (enum depth depth = NODE; depth >= ZONE; depth--) {
        f->limit[depth] = MAX(parity, 1U);
        while (f->limit[depth] < f->s->slots && !holds_all(f))
            f->limit[depth]++;
    }
}

/* From `fair` towards what is in s->of, as far as no disk gets more than 1 + overload of its fair
 * share. */
static void temper(struct shares *s, const double *fair, double overload)
{
    double part = 1;
    for (unsigned i = 0; i < s->disk_count; i++) {
        double more = s->of[i] - fair[i], most = overload * fair[i];
        if (more > ALMOST && more * part > most)
            part = most / more;
    }
    for (unsigned i = 0; i < s->disk_count; i++)
        s->of[i] = fair[i] + part * (s->of[i] - fair[i]);
}

static void fill_tiers(struct shares *s, const struct fill *f)
{
    for (unsigned kind = 0; kind < TIER_KINDS; kind++) {
        for (unsigned i = 0; i < s->disk_count; i++)
            s->tiers[kind][s->tier_of[kind][i]].share += s->of[i];
        for (unsigned i = 0; i < s->tier_count[kind]; i++) {
            struct tier *t = &s->tiers[kind][i];
            unsigned even = (unsigned)ceil(t->share - ALMOST);
            t->limit = MAX((unsigned)f->limit[kind == TIER_ZONE ? ZONE : NODE], even);
            for (unsigned n = 0; n <= s->slots; n++)
                t->allowed[n] = (uint8_t)(ceil(n * t->share / s->slots - ALMOST) +
                                          (n > COPIES && n < s->slots));
        }
    }
}

static double heaviest_of(const struct ring *r)
{
    uint64_t most = 1;
    for (unsigned i = 0; i < r->disk_count; i++)
        most = MAX(most, r->disks[i].weight);
    return (double)most;
}

int shares_init(struct shares *s, const struct ring *r)
{
    int err = allocate(s, r);
    _cleanup_free_ double *fair = calloc(r->disk_count, sizeof(*fair));
    if (err < 0 || !fair)
        return -ENOMEM;
    for (unsigned kind = 0; kind < TIER_KINDS; kind++)
        find_tiers(s, r, kind);
    struct fill f = {.s = s,
                     .disks = r->disks,
                     .limit = {s->slots, s->slots, s->slots, 1},
                     .heaviest = heaviest_of(r),
                     .of = fair};
    if (!holds_all(&f))
        return -ERR_FULL;
    give(&f, everything(&f), ALL, s->slots);
    find_limits(&f, r->config.parity);
    f.of = s->of;
    give(&f, everything(&f), ALL, s->slots);
    temper(s, fair, r->config.overload_permille / 1000.0);
    fill_tiers(s, &f);
    return 0;
}

/* ---- spread --------------------------------------------------------------------------------- */

unsigned shares_spread_of(const struct shares *s, const uint16_t *row, unsigned kind, unsigned tier)
{
    const struct tier *t = &s->tiers[kind][tier];
    const uint16_t *tier_of = s->tier_of[kind];
    unsigned count = 0, cost = 0;
    for (unsigned i = 0; i < s->slots; i++) {
        count += row[i] != NO_DISK && tier_of[row[i]] == tier;
        if (count > t->allowed[i + 1])
            cost += count - t->allowed[i + 1];
    }
    return count > t->limit ? cost + SPREAD_LIMIT * (count - t->limit) : cost;
}

/* The cost of the tiers of both disks; NO_DISK has none. */
static int cost_of_two(const struct shares *s, const uint16_t *row, unsigned kind, uint16_t a,
                       uint16_t b)
{
    int cost = (int)shares_spread_of(s, row, kind, s->tier_of[kind][b]);
    return a == NO_DISK ? cost : cost + (int)shares_spread_of(s, row, kind, s->tier_of[kind][a]);
}

int shares_spread_delta(const struct shares *s, uint16_t *row, unsigned slot, uint16_t to)
{
    uint16_t from = row[slot];
    int delta = 0;
    for (unsigned kind = 0; kind < TIER_KINDS; kind++) {
        if (from != NO_DISK && s->tier_of[kind][from] == s->tier_of[kind][to])
            continue;
        int before = cost_of_two(s, row, kind, from, to);
        row[slot] = to;
        delta += cost_of_two(s, row, kind, from, to) - before;
        row[slot] = from;
    }
    return delta;
}

/* ---- room ----------------------------------------------------------------------------------- */

static int largest_first(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x < *y) - (*x > *y);
}

uint64_t ring_slot_bytes(uint64_t *sizes, unsigned count, unsigned slots)
{
    uint64_t sum = 0;
    CHECK(slots > 0 && count >= slots);
    qsort(sizes, count, sizeof(*sizes), largest_first);
    for (unsigned i = 0; i < count; i++)
        sum += sizes[i];
    for (unsigned i = 0; slots > 1 && sizes[i] > sum / slots; i++, slots--)
        sum -= sizes[i]; /* one slot of each is all it can have */
    return sum / slots;
}
