/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * From one table to the next, with little movement.
 *
 * A disk's debt is how far it is below its share (negative: above), counted in all slots and in
 * each slot by itself. Every choice below takes from who has the most too much and gives to who
 * has the most too little, and keeps the slots of a partition spread.
 *
 *   1. Slots that lost their disk are filled; also such as were above the old width, last, when
 *      the others are settled.
 *   2. Partitions in random order: the one move of this partition that helps most, if any helps by
 *      more than rounding. First only moves that spread no worse, then such as break no limit of a
 *      zone or node; last, off draining disks, any.
 *   3. Where nothing can be moved from who has too much to who has too little directly, a chain: a
 *      gives to b in one partition, b to c in another. The shortest are found by a search over the
 *      disks; they are rare, and each costs a move more than it gains.
 */

#include <math.h>
#include "ring/internal.h"

#define DEBT_LEAST    0.5 /* less is rounding */
#define MOVE_FROM     2.0 /* the least difference of two disks' debts that is worth a move */
#define CHAIN_FROM    1.0 /* the least surplus and the least debt at the ends of a chain */
#define CHAINS_MAX    64  /* in one step */
#define ROUNDS_MAX    8   /* over all partitions */
#define SPREAD_WEIGHT 4.0 /* a slot spread unevenly is as bad as so many slots of debt */
#define DRAIN_GAIN    1e6 /* what is in a draining disk's way goes first */

struct step {
    struct ring *r;
    const struct shares *s;
    unsigned slots;
    unsigned width; /* the slots looked at so far: fewer while the old columns are settled */
    unsigned old;   /* those from here on are new: free to change */
    uint32_t now_h;
    double *debt;     /* [disk]: within `width` */
    double *debt_in;  /* [slot * disks + disk] */
    uint16_t *holes;  /* [partition]: a bit a slot that had no living disk: free to change */
    bool *moved;      /* [partition]: in this step */
    uint32_t changes; /* so far */
    struct ring_report *report;
};

static bool is_draining(const struct step *t, uint16_t disk)
{
    return t->r->disks[disk].state == RING_DRAINING;
}

/* ---- debts ---------------------------------------------------------------------------------- */

static double *debt_in(const struct step *t, unsigned slot, uint16_t disk)
{
    return &t->debt_in[(size_t)slot * t->r->disk_count + disk];
}

/* Of the first `width` slots. */
static void count_debts(struct step *t, unsigned width)
{
    t->width = width;
    for (unsigned d = 0; d < t->r->disk_count; d++) {
        double in_slot = t->s->of[d] * RING_PARTITIONS / t->slots;
        t->debt[d] = in_slot * width;
        for (unsigned slot = 0; slot < t->slots; slot++)
            *debt_in(t, slot, (uint16_t)d) = in_slot;
    }
    for (unsigned p = 0; p < RING_PARTITIONS; p++) {
        for (unsigned slot = 0; slot < width; slot++) {
            uint16_t d = ring_row(t->r, p)[slot];
            if (d == NO_DISK)
                continue;
            t->debt[d]--;
            (*debt_in(t, slot, d))--;
        }
    }
}

static void put(struct step *t, unsigned p, unsigned slot, uint16_t disk)
{
    uint16_t *at = &ring_row(t->r, p)[slot];
    if (*at != NO_DISK) {
        t->debt[*at]++;
        (*debt_in(t, slot, *at))++;
    }
    t->debt[disk]--;
    (*debt_in(t, slot, disk))--;
    *at = disk;
}

/* ---- what may change ------------------------------------------------------------------------ */

static bool is_free(const struct step *t, unsigned p, unsigned slot)
{
    return slot >= t->old || t->holes[p] & 1 << slot;
}

/* A stamp from the future is that of a clock that was wrong, unless it may be a little off. A wider
 * code is no time to wait: the chunks of the old one are not moved but made anew. */
static bool has_rested(const struct step *t, unsigned p)
{
    uint32_t moved = t->r->moved_h[p], wait = t->r->config.min_hours;
    if (moved == 0 || t->old < t->slots || moved > (uint64_t)t->now_h + wait)
        return true;
    return (uint64_t)moved + wait <= t->now_h;
}

static bool may_move(const struct step *t, unsigned p, unsigned slot)
{
    return is_free(t, p, slot) || (!t->moved[p] && t->holes[p] == 0 && has_rested(t, p));
}

static void move(struct step *t, unsigned p, unsigned slot, uint16_t to)
{
    CHECK(may_move(t, p, slot));
    if (!is_free(t, p, slot)) {
        t->moved[p] = true;
        t->r->moved_h[p] = t->now_h;
        t->report->moved++;
    }
    put(t, p, slot, to);
    t->changes++;
}

/* ---- filling -------------------------------------------------------------------------------- */

/* Among those with a debt, and without breaking a limit, if any can be found. */
static uint16_t best_for_hole(const struct step *t, uint16_t *row, unsigned slot, bool only_good)
{
    uint16_t best = NO_DISK;
    double best_score = -INFINITY;
    for (unsigned d = 0; d < t->r->disk_count; d++) {
        uint16_t disk = (uint16_t)d;
        double score = t->debt[d] + *debt_in(t, slot, disk);
        if (t->s->of[d] <= 0 || (only_good && t->debt[d] < DEBT_LEAST))
            continue;
        if (row_has(row, t->slots, disk))
            continue;
        int spread = shares_spread_delta(t->s, row, slot, disk);
        score -= SPREAD_WEIGHT * spread;
        if (score > best_score && !(only_good && spread_breaks_limit(spread))) {
            best_score = score;
            best = disk;
        }
    }
    return best;
}

static void fill(struct step *t, unsigned p, unsigned slot)
{
    uint16_t *row = ring_row(t->r, p), best = best_for_hole(t, row, slot, true);
    if (best == NO_DISK)
        best = best_for_hole(t, row, slot, false);
    CHECK(best != NO_DISK); /* there are as many disks with a share as slots */
    put(t, p, slot, best);
    t->report->filled++;
}

static void fill_columns(struct step *t, const uint16_t *order, unsigned begin, unsigned end)
{
    for (unsigned slot = begin; slot < end; slot++)
        for (unsigned i = 0; i < RING_PARTITIONS; i++)
            if (ring_row(t->r, order[i])[slot] == NO_DISK)
                fill(t, order[i], slot);
}

/* ---- one move a partition ------------------------------------------------------------------- */

enum mood { SPREADS_NO_WORSE, BREAKS_NO_LIMIT, ANYTHING_TO_DRAIN };

struct candidate {
    unsigned slot;
    uint16_t to;
    double gain;
};

/* What a move of `from` to `to` gains in debts; negative when it is not worth it. */
static double gain_of(const struct step *t, unsigned slot, uint16_t from, uint16_t to)
{
    double all = t->debt[to] - t->debt[from];
    double in_slot = *debt_in(t, slot, to) - *debt_in(t, slot, from);
    return all + in_slot - 2 + (is_draining(t, from) ? DRAIN_GAIN : 0);
}

static bool is_worth_it(const struct step *t, uint16_t from, uint16_t to, int spread,
                        enum mood mood)
{
    double difference = t->debt[to] - t->debt[from];
    if (mood == ANYTHING_TO_DRAIN)
        return is_draining(t, from);
    if (spread_mends_limit(spread)) /* sets right a crowded zone or node */
        return difference > -MOVE_FROM;
    if (t->debt[from] > -DEBT_LEAST || t->debt[to] < DEBT_LEAST)
        return false;
    return (is_draining(t, from) || difference >= MOVE_FROM) &&
           (mood == SPREADS_NO_WORSE ? spread <= 0 : !spread_breaks_limit(spread));
}

static bool is_crowded(const struct step *t, const uint16_t *row)
{
    for (unsigned kind = 0; kind < TIER_KINDS; kind++)
        for (unsigned slot = 0; slot < t->width; slot++)
            if (shares_spread_of(t->s, row, kind, t->s->tier_of[kind][row[slot]]) >= SPREAD_LIMIT)
                return true;
    return false;
}

static void consider(const struct step *t, uint16_t *row, unsigned slot, enum mood mood,
                     struct candidate *best)
{
    uint16_t from = row[slot];
    for (unsigned d = 0; d < t->r->disk_count; d++) {
        uint16_t to = (uint16_t)d;
        if (t->s->of[d] <= 0 || row_has(row, t->slots, to))
            continue;
        int spread = shares_spread_delta(t->s, row, slot, to);
        double gain = gain_of(t, slot, from, to) - SPREAD_WEIGHT * spread;
        if (gain > best->gain && is_worth_it(t, from, to, spread, mood))
            *best = (struct candidate){slot, to, gain};
    }
}

static bool move_one(struct step *t, unsigned p, enum mood mood)
{
    uint16_t *row = ring_row(t->r, p);
    struct candidate best = {.gain = 0};
    bool crowded = is_crowded(t, row);
    for (unsigned slot = 0; slot < t->width; slot++)
        if ((crowded || t->debt[row[slot]] < -DEBT_LEAST) && may_move(t, p, slot))
            consider(t, row, slot, mood, &best);
    if (best.gain <= 0)
        return false;
    move(t, p, best.slot, best.to);
    return true;
}

/* What is free may move more than once: so again, while it helps, but not for ever. */
static void move_each(struct step *t, const uint16_t *order, enum mood mood)
{
    bool any = true;
    for (unsigned round = 0; any && round < ROUNDS_MAX; round++) {
        any = false;
        for (unsigned i = 0; i < RING_PARTITIONS; i++)
            any |= move_one(t, order[i], mood);
    }
}

/* ---- chains --------------------------------------------------------------------------------- */

/* A search over disks, from those with too much, in steps that a partition allows. */
struct search {
    uint16_t *queue;
    uint32_t *via; /* [disk]: the partition and slot it is reached by, plus one; 0: not reached */
    uint16_t *before; /* [disk]: NO_DISK for a beginning */
    unsigned head, tail;
    unsigned first; /* the partition to begin with: another one each time */
};

static void reach(struct search *q, uint16_t disk, uint16_t before, uint32_t via)
{
    q->before[disk] = before;
    q->via[disk] = via + 1;
    q->queue[q->tail++] = disk;
}

/* All that disk `from` could give this slot to. True when one of them has a debt: it is the last.
 */
static bool reach_from_slot(const struct step *t, struct search *q, unsigned p, unsigned slot)
{
    uint16_t *row = ring_row(t->r, p);
    for (unsigned d = 0; d < t->r->disk_count; d++) {
        uint16_t to = (uint16_t)d;
        if (q->via[d] || t->s->of[d] <= 0 || row_has(row, t->slots, to))
            continue;
        if (spread_breaks_limit(shares_spread_delta(t->s, row, slot, to)))
            continue;
        reach(q, to, row[slot], p * t->slots + slot);
        if (t->debt[d] >= CHAIN_FROM)
            return true;
    }
    return false;
}

static bool reach_from(const struct step *t, struct search *q, uint16_t from)
{
    for (unsigned i = 0; i < RING_PARTITIONS; i++) {
        unsigned p = (q->first + i) % RING_PARTITIONS;
        const uint16_t *row = ring_row(t->r, p);
        for (unsigned slot = 0; slot < t->width; slot++)
            if (row[slot] == from && may_move(t, p, slot) && reach_from_slot(t, q, p, slot))
                return true;
    }
    return false;
}

/* The disk with a debt at the end of a shortest chain, or NO_DISK. */
static uint16_t find_chain(const struct step *t, struct search *q)
{
    q->head = q->tail = 0;
    memset(q->via, 0, t->r->disk_count * sizeof(*q->via));
    for (unsigned d = 0; d < t->r->disk_count; d++)
        if (t->debt[d] <= -CHAIN_FROM)
            reach(q, (uint16_t)d, NO_DISK, 0);
    while (q->head < q->tail)
        if (reach_from(t, q, q->queue[q->head++]))
            return q->queue[q->tail - 1];
    return NO_DISK;
}

/* From its end, as far as it goes: it may meet a partition twice, which then is not free any more.
 */
static void follow_chain(struct step *t, const struct search *q, uint16_t to)
{
    for (; q->before[to] != NO_DISK; to = q->before[to]) {
        unsigned p = (q->via[to] - 1) / t->slots, slot = (q->via[to] - 1) % t->slots;
        uint16_t *row = ring_row(t->r, p);
        if (!may_move(t, p, slot) || row[slot] != q->before[to] || row_has(row, t->slots, to))
            return;
        move(t, p, slot, to);
    }
}

static int move_chains(struct step *t, struct dice *dice)
{
    unsigned count = t->r->disk_count;
    _cleanup_free_ uint16_t *queue = calloc(count, sizeof(*queue));
    _cleanup_free_ uint32_t *via = calloc(count, sizeof(*via));
    _cleanup_free_ uint16_t *before = calloc(count, sizeof(*before));
    if (!queue || !via || !before)
        return -ENOMEM;
    struct search q = {.queue = queue, .via = via, .before = before};
    for (unsigned i = 0; i < CHAINS_MAX; i++) {
        q.first = dice_below(dice, RING_PARTITIONS);
        uint16_t end = find_chain(t, &q);
        if (end == NO_DISK)
            break;
        follow_chain(t, &q, end);
    }
    return 0;
}

/* ---- the step ------------------------------------------------------------------------------- */

/* The same disks at their new indexes; what is gone or no longer there leaves a hole. */
static void take_over(struct step *t, const struct ring *prev)
{
    unsigned old = prev->config.slots;
    uint16_t index_of[RING_DISKS_MAX];
    for (unsigned d = 0; d < prev->disk_count; d++) {
        uint16_t now = ring_index_of(t->r, prev->disks[d].number);
        index_of[d] = now != NO_DISK && t->r->disks[now].state == RING_GONE ? NO_DISK : now;
    }
    for (unsigned p = 0; p < RING_PARTITIONS; p++) {
        const uint16_t *from = ring_row(prev, p);
        uint16_t *to = ring_row(t->r, p);
        t->r->moved_h[p] = prev->moved_h[p];
        for (unsigned slot = 0; slot < t->old; slot++) {
            to[slot] = index_of[from[slot]];
            if (to[slot] == NO_DISK)
                t->holes[p] |= (uint16_t)(1 << slot);
        }
        if (t->holes[p])
            t->r->moved_h[p] = t->now_h;
    }
    CHECK(t->old <= old);
}

static void shuffle(uint16_t *order, struct dice *dice)
{
    for (unsigned i = 0; i < RING_PARTITIONS; i++)
        order[i] = (uint16_t)i;
    for (unsigned i = RING_PARTITIONS; i > 1; i--) {
        unsigned j = dice_below(dice, i);
        uint16_t last = order[i - 1];
        order[i - 1] = order[j];
        order[j] = last;
    }
}

/* Until nothing helps any more: what a chain has set right may make room for another move. */
static int move_all(struct step *t, const uint16_t *order, struct dice *dice)
{
    uint32_t before = t->changes + 1;
    for (unsigned round = 0; t->changes != before && round < ROUNDS_MAX; round++) {
        before = t->changes;
        for (enum mood mood = SPREADS_NO_WORSE; mood <= ANYTHING_TO_DRAIN; mood++)
            move_each(t, order, mood);
        int err = move_chains(t, dice);
        if (err < 0)
            return err;
    }
    return 0;
}

/* Fills what is empty from column `begin` to `end`, and settles all before `end`. */
static int settle(struct step *t, const uint16_t *order, struct dice *dice, unsigned begin,
                  unsigned end)
{
    count_debts(t, end);
    fill_columns(t, order, begin, end);
    return move_all(t, order, dice);
}

int table_step(struct ring *r, const struct ring *prev, const struct shares *s, uint32_t now_h,
               struct ring_report *report)
{
    size_t disks = r->disk_count, slots = r->config.slots;
    _cleanup_free_ double *debt = calloc(disks, sizeof(*debt));
    _cleanup_free_ double *debts_in = calloc(disks * slots, sizeof(*debts_in));
    _cleanup_free_ uint16_t *holes = calloc(RING_PARTITIONS, sizeof(*holes));
    _cleanup_free_ bool *moved = calloc(RING_PARTITIONS, sizeof(*moved));
    _cleanup_free_ uint16_t *order = calloc(RING_PARTITIONS, sizeof(*order));
    if (!debt || !debts_in || !holes || !moved || !order)
        return -ENOMEM;
    struct step t = {.r = r,
                     .s = s,
                     .slots = (unsigned)slots,
                     .now_h = now_h,
                     .debt = debt,
                     .debt_in = debts_in,
                     .holes = holes,
                     .moved = moved,
                     .report = report};
    struct dice dice = {r->config.seed ^ r->epoch};
    t.old = MIN(prev->config.slots, r->config.slots);
    shuffle(order, &dice);
    take_over(&t, prev);
    int err = settle(&t, order, &dice, 0, t.old);
    if (err == 0 && t.old < t.slots)
        err = settle(&t, order, &dice, t.old, t.slots);
    return err;
}

/* ---- the report ----------------------------------------------------------------------------- */

static unsigned crowding(const struct shares *s, const uint16_t *row)
{
    unsigned crowded = 0;
    for (unsigned kind = 0; kind < TIER_KINDS; kind++) {
        unsigned most = 0;
        for (unsigned slot = 0; slot < s->slots; slot++) {
            unsigned tier = s->tier_of[kind][row[slot]], count = 0;
            for (unsigned i = 0; i < s->slots; i++)
                count += s->tier_of[kind][row[i]] == tier;
            unsigned limit = s->tiers[kind][tier].limit;
            most = MAX(most, count > limit ? count - limit : 0);
        }
        crowded += most;
    }
    return crowded;
}

void table_inspect(const struct ring *r, const struct shares *s, struct ring_report *report)
{
    uint32_t count[RING_DISKS_MAX] = {0};
    report->waiting = report->crowded = 0;
    report->worst = 0;
    for (unsigned p = 0; p < RING_PARTITIONS; p++) {
        const uint16_t *row = ring_row(r, p);
        report->crowded += crowding(s, row);
        for (unsigned slot = 0; slot < s->slots; slot++)
            count[row[slot]]++;
    }
    for (unsigned d = 0; d < r->disk_count; d++) {
        double share = s->of[d] * RING_PARTITIONS, over = count[d] - share;
        if (over >= MOVE_FROM || r->disks[d].state == RING_DRAINING)
            report->waiting += (uint32_t)over;
        if (share > 0)
            report->worst = MAX(report->worst, fabs(over) / share);
    }
}
