/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "test/unit/unit.h"
#include "base/error.h"
#include "ring/internal.h"
#include <math.h>
#include <stdio.h>
#include <time.h>

#define DISKS_MAX 200
#define TB        1000000000000ULL

/* ---- topologies ---------------------------------------------------------------------------------
 */

struct topology {
    struct ring_disk disks[DISKS_MAX];
    unsigned count;
};

static void add_disk(struct topology *t, uint32_t number, uint32_t zone, uint32_t node,
                     uint64_t weight)
{
    t->disks[t->count++] =
        (struct ring_disk){.number = number, .zone = zone, .node = node, .weight = weight};
}

/* Every node a zone of its own, or all in one. */
static void add_nodes(struct topology *t, unsigned first, unsigned nodes, unsigned disks)
{
    for (unsigned n = first; n < first + nodes; n++)
        for (unsigned d = 0; d < disks; d++)
            add_disk(t, n * 100 + d, 0, n, 10 * TB);
}

/* The reference: 12 nodes of 4 disks, RS(6,3). */
static const struct ring_config reference = {
    .slots = 9, .parity = 3, .min_hours = 1, .overload_permille = 100, .seed = 42};

static void make_reference(struct topology *t)
{
    t->count = 0;
    add_nodes(t, 0, 12, 4);
}

static struct ring_disk *find_disk(struct topology *t, uint32_t number)
{
    for (unsigned i = 0; i < t->count; i++)
        if (t->disks[i].number == number)
            return &t->disks[i];
    return NULL;
}

static void remove_node(struct topology *t, uint32_t node)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < t->count; i++)
        if (t->disks[i].node != node)
            t->disks[kept++] = t->disks[i];
    t->count = kept;
}

/* ---- looking at a ring --------------------------------------------------------------------------
 */

static struct ring *new_ring(const struct topology *t, const struct ring_config *c)
{
    struct ring *r = NULL;
    assert_int_equal(ring_new(&r, c, t->disks, t->count), 0);
    return r;
}

static double worst_of(const struct ring *r)
{
    struct ring_report report;
    assert_int_equal(ring_inspect(r, &report), 0);
    return report.worst;
}

/* The largest deviation of a disk in a column from a `slots`-th of its share, in slots. */
static double worst_column(const struct ring *r)
{
    double worst = 0;
    unsigned slots = r->config.slots;
    for (unsigned d = 0; d < r->disk_count; d++) {
        double share;
        assert_int_equal(ring_disk_share(r, r->disks[d].number, &share), 0);
        for (unsigned s = 0; s < slots; s++) {
            unsigned count = 0;
            for (unsigned p = 0; p < RING_PARTITIONS; p++)
                count += ring_row(r, p)[s] == d;
            worst = MAX(worst, fabs(count - share / slots));
        }
    }
    return worst;
}

/* The most slots that a node, or zone, has of one partition's first `width`. */
static unsigned most_together(const struct ring *r, unsigned width, bool zones)
{
    unsigned most = 0;
    for (unsigned p = 0; p < RING_PARTITIONS; p++) {
        const uint16_t *row = ring_row(r, p);
        for (unsigned i = 0; i < width; i++) {
            unsigned count = 0;
            for (unsigned j = 0; j < width; j++) {
                const struct ring_disk *a = &r->disks[row[i]], *b = &r->disks[row[j]];
                count += a->zone == b->zone && (zones || a->node == b->node);
            }
            most = MAX(most, count);
        }
    }
    return most;
}

/* Slots whose disk is another; and the most of one partition. */
static unsigned difference(const struct ring *a, const struct ring *b, unsigned *ret_most)
{
    unsigned sum = 0, width = MIN(a->config.slots, b->config.slots);
    *ret_most = 0;
    for (unsigned p = 0; p < RING_PARTITIONS; p++) {
        unsigned moved = 0;
        for (unsigned s = 0; s < width; s++)
            moved += ring_disk_at(a, p, s) != ring_disk_at(b, p, s);
        sum += moved;
        *ret_most = MAX(*ret_most, moved);
    }
    return sum;
}

/* What every ring must keep, seen from outside. */
static void expect_sound(const struct ring *r)
{
    for (unsigned p = 0; p < RING_PARTITIONS; p++) {
        uint32_t numbers[RING_SLOTS_MAX];
        ring_place(r, p, numbers);
        for (unsigned i = 0; i < r->config.slots; i++) {
            uint16_t disk = ring_index_of(r, numbers[i]);
            assert_true(disk != NO_DISK && r->disks[disk].state != RING_GONE);
            for (unsigned j = 0; j < i; j++)
                assert_int_not_equal(numbers[i], numbers[j]);
        }
    }
}

/* ---- movement -----------------------------------------------------------------------------------
 */

struct trip {
    unsigned steps, moved, filled, ideal;
    struct ring_report last;
};

/* What must move at the least: what comes to each disk above what it has. */
static unsigned ideal_of(const struct ring *from, const struct topology *t,
                         const struct ring_config *c)
{
    struct ring *fresh = new_ring(t, c);
    double sum = 0;
    for (unsigned i = 0; i < t->count; i++) {
        double share;
        assert_int_equal(ring_disk_share(fresh, t->disks[i].number, &share), 0);
        sum += MAX(0.0, share - ring_disk_slots(from, t->disks[i].number));
    }
    ring_free(fresh);
    return (unsigned)sum;
}

/* Steps from *r until nothing moves, one min_hours apart; *r is the last epoch then. */
static struct trip settle(struct ring **r, const struct topology *t, const struct ring_config *c)
{
    struct trip trip = {.ideal = ideal_of(*r, t, c)};
    static uint32_t hour = 1000;
    for (;; hour += c->min_hours) {
        struct ring *next = NULL;
        struct ring_report report;
        unsigned most;
        assert_int_equal(ring_next(&next, *r, c, t->disks, t->count, hour, &report), 0);
        assert_int_equal(ring_epoch(next), ring_epoch(*r) + 1);
        expect_sound(next);
        unsigned changed = difference(*r, next, &most);
        if ((*r)->config.slots == c->slots)
            assert_int_equal(changed, report.moved + report.filled);
        if (report.filled == 0)
            assert_true(most <= 1);
        trip.moved += report.moved;
        trip.filled += report.filled;
        trip.last = report;
        ring_free(*r);
        *r = next;
        if (report.moved + report.filled == 0)
            return trip;
        assert_true(++trip.steps < 100);
    }
}

static void print_trip(const char *what, const struct trip *trip, const struct ring *r)
{
    print_message(
        "%s: %u steps, %u moved, %u filled, ideal %u (%.4f), worst disk %.4f, column %.1f, "
        "waiting %u, crowded %u\n",
        what, trip->steps, trip->moved, trip->filled, trip->ideal,
        trip->ideal ? (trip->moved + trip->filled) / (double)trip->ideal : 0, trip->last.worst,
        worst_column(r), trip->last.waiting, trip->last.crowded);
}

static void expect_good_trip(const char *what, const struct trip *trip, const struct ring *r)
{
    print_trip(what, trip, r);
    assert_true(trip->moved + trip->filled <= 1.05 * trip->ideal + 2);
    assert_true(trip->last.worst <= 0.01);
    assert_int_equal(trip->last.waiting, 0);
    assert_int_equal(trip->last.crowded, 0);
}

/* ---- the reference case -------------------------------------------------------------------------
 */

static double cpu_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void the_reference_is_balanced(void **state)
{
    struct topology t;
    make_reference(&t);
    double began = cpu_s();
    struct ring *r = new_ring(&t, &reference);
    print_message("made in %.0f ms of CPU; worst disk %.4f, worst column %.1f of %.1f slots\n",
                  (cpu_s() - began) * 1000, worst_of(r), worst_column(r), RING_PARTITIONS / 48.0);
    assert_true(worst_of(r) <= 0.01);
    assert_true(worst_column(r) <= 2);
    assert_int_equal(most_together(r, 9, false), 1);
    expect_sound(r);
    ring_free(r);
}

/* A lost disk's partitions are shared with all disks but those of its node, nearly evenly. */
static void partners_are_many(void **state)
{
    struct topology t;
    unsigned together[48][48] = {0}, least = UINT32_MAX, most = 0;
    make_reference(&t);
    struct ring *r = new_ring(&t, &reference);
    for (unsigned p = 0; p < RING_PARTITIONS; p++)
        for (unsigned i = 0; i < 9; i++)
            for (unsigned j = 0; j < 9; j++)
                together[ring_row(r, p)[i]][ring_row(r, p)[j]]++;
    for (unsigned a = 0; a < 48; a++)
        for (unsigned b = 0; b < 48; b++)
            if (a / 4 != b / 4) {
                least = MIN(least, together[a][b]);
                most = MAX(most, together[a][b]);
            }
    print_message("partitions shared by two disks: %u to %u, even would be %.0f\n", least, most,
                  768.0 * 8 / 44);
    assert_true(least > 80 && most < 220);
    ring_free(r);
}

static void a_disk_joins(void **state)
{
    struct topology t;
    make_reference(&t);
    struct ring *r = new_ring(&t, &reference);
    add_disk(&t, 4, 0, 0, 10 * TB);
    struct trip trip = settle(&r, &t, &reference);
    expect_good_trip("a disk joins", &trip, r);
    ring_free(r);
}

static void a_disk_leaves(void **state)
{
    struct topology t;
    make_reference(&t);
    struct ring *r = new_ring(&t, &reference);
    find_disk(&t, 302)->state = RING_GONE;
    struct trip trip = settle(&r, &t, &reference);
    expect_good_trip("a disk is gone", &trip, r);
    ring_free(r);
}

static void a_disk_drains(void **state)
{
    struct topology t;
    make_reference(&t);
    struct ring *r = new_ring(&t, &reference);
    find_disk(&t, 302)->state = RING_DRAINING;
    struct trip trip = settle(&r, &t, &reference);
    expect_good_trip("a disk drains", &trip, r);
    assert_int_equal(ring_disk_slots(r, 302), 0);
    assert_int_equal(trip.filled, 0);
    ring_free(r);
}

/* A node has one slot of a partition, or of a handful two: the rule is that it has three at most.
 */
static void expect_even(const struct ring *r)
{
    unsigned uneven = 0;
    for (unsigned p = 0; p < RING_PARTITIONS; p++) {
        unsigned pairs = 0;
        const uint16_t *row = ring_row(r, p);
        for (unsigned i = 0; i < 9; i++)
            for (unsigned j = 0; j < i; j++)
                pairs += r->disks[row[i]].node == r->disks[row[j]].node;
        assert_true(pairs <= 1);
        uneven += pairs;
    }
    assert_true(uneven < 20);
}

static void a_node_joins(void **state)
{
    struct topology t;
    make_reference(&t);
    struct ring *r = new_ring(&t, &reference);
    add_nodes(&t, 12, 1, 4);
    struct trip trip = settle(&r, &t, &reference);
    expect_good_trip("a node joins", &trip, r);
    expect_even(r);
    ring_free(r);
}

static void a_node_leaves(void **state)
{
    struct topology t;
    make_reference(&t);
    struct ring *r = new_ring(&t, &reference);
    remove_node(&t, 7);
    struct trip trip = settle(&r, &t, &reference);
    expect_good_trip("a node is gone", &trip, r);
    expect_even(r);
    ring_free(r);
}

static void a_node_drains(void **state)
{
    struct topology t;
    make_reference(&t);
    struct ring *r = new_ring(&t, &reference);
    for (unsigned i = 0; i < 4; i++)
        find_disk(&t, 500 + i)->state = RING_DRAINING;
    struct trip trip = settle(&r, &t, &reference);
    expect_good_trip("a node drains", &trip, r);
    expect_even(r);
    ring_free(r);
}

static void a_disk_grows(void **state)
{
    struct topology t;
    make_reference(&t);
    struct ring *r = new_ring(&t, &reference);
    find_disk(&t, 302)->weight *= 2;
    struct trip trip = settle(&r, &t, &reference);
    expect_good_trip("a disk is twice as large", &trip, r);
    ring_free(r);
}

/* ---- any topology
 * -------------------------------------------------------------------------------- */

struct history {
    struct topology t;
    struct ring_config c;
    struct dice dice;
    uint32_t next_number;
};

static unsigned active_count(const struct topology *t)
{
    unsigned count = 0;
    for (unsigned i = 0; i < t->count; i++)
        count += t->disks[i].state == RING_ACTIVE;
    return count;
}

static void add_random_disk(struct history *h, unsigned zones, unsigned nodes)
{
    uint32_t node = dice_below(&h->dice, nodes);
    static const uint64_t sizes[] = {4 * TB, 8 * TB, 8 * TB, 10 * TB, 16 * TB};
    add_disk(&h->t, h->next_number, node % zones, node, sizes[dice_below(&h->dice, 5)]);
    h->next_number += 1 + dice_below(&h->dice, 3);
}

/* The code of DESIGN.md section 4 for so many disks. */
static void choose_code(struct ring_config *c, unsigned disks)
{
    static const struct {
        unsigned disks, slots, parity;
    } codes[] = {{12, 12, 4}, {9, 9, 3}, {6, 6, 2}, {4, 4, 2}, {3, 3, 1}, {2, 2, 1}, {1, 1, 0}};
    for (unsigned i = 0; i < ARRAY_LEN(codes); i++) {
        if (disks < codes[i].disks)
            continue;
        c->slots = codes[i].slots;
        c->parity = codes[i].parity;
        return;
    }
}

/* Something happens to the disks. */
static const char *change(struct history *h, unsigned zones, unsigned nodes)
{
    struct ring_disk *d = &h->t.disks[dice_below(&h->dice, h->t.count)];
    unsigned what = dice_below(&h->dice, 5);
    bool can_lose = active_count(&h->t) > 1 && d->state == RING_ACTIVE;
    if (what == 0 && can_lose) {
        d->state = RING_GONE;
        return "gone";
    }
    if (what == 1 && can_lose) {
        d->state = RING_DRAINING;
        return "draining";
    }
    if (what == 2 && can_lose) {
        *d = h->t.disks[--h->t.count];
        return "taken out";
    }
    if (what == 3 && d->state == RING_ACTIVE) {
        d->weight = d->weight * (50 + dice_below(&h->dice, 150)) / 100;
        return "reweighed";
    }
    add_random_disk(h, zones, nodes);
    return "added";
}

/* What moved over what had to, in changes that left the code as it was. */
static unsigned all_moved, all_ideal;

static void live_through(uint64_t seed)
{
    struct history h = {.dice = {seed},
                        .c = {.min_hours = 1, .overload_permille = 100, .seed = seed}};
    unsigned nodes = 1 + dice_below(&h.dice, 8), zones = 1 + dice_below(&h.dice, nodes);
    unsigned disks = 1 + dice_below(&h.dice, 40);
    while (h.t.count < disks)
        add_random_disk(&h, zones, nodes);
    choose_code(&h.c, active_count(&h.t));
    struct ring *r = new_ring(&h.t, &h.c);
    for (int i = 0; i < 8; i++) {
        char what[100];
        const char *event = change(&h, zones, nodes);
        unsigned before = h.c.slots;
        choose_code(&h.c, active_count(&h.t));
        snprintf(what, sizeof(what), "seed %u, %u disks (%u nodes, %u zones), %s, %u to %u slots",
                 (unsigned)seed, active_count(&h.t), nodes, zones, event, before, h.c.slots);
        struct trip trip = settle(&r, &h.t, &h.c);
        print_trip(what, &trip, r);
        assert_true(trip.last.worst <= 0.02);
        assert_true(trip.last.waiting < 10);
        assert_int_equal(trip.last.crowded, 0);
        for (unsigned d = 0; d < h.t.count; d++)
            if (h.t.disks[d].state == RING_DRAINING)
                assert_int_equal(ring_disk_slots(r, h.t.disks[d].number), 0);
        all_moved += before == h.c.slots ? trip.moved + trip.filled : 0;
        all_ideal += before == h.c.slots ? trip.ideal : 0;
    }
    ring_free(r);
}

static void any_history_keeps_the_rules(void **state)
{
    for (uint64_t seed = 1; seed <= 8; seed++)
        live_through(seed);
    print_message("moved in all: %.4f of the ideal\n", all_moved / (double)all_ideal);
    assert_true(all_moved <= 1.1 * all_ideal);
}

/* ---- rules --------------------------------------------------------------------------------------
 */

static void no_partition_moves_before_its_time(void **state)
{
    struct topology t;
    struct ring_config c = reference;
    struct ring *next = NULL, *again = NULL;
    struct ring_report report;
    make_reference(&t);
    c.min_hours = 24;
    struct ring *r = new_ring(&t, &c);
    find_disk(&t, 100)->weight *= 3;
    assert_int_equal(ring_next(&next, r, &c, t.disks, t.count, 1000, &report), 0);
    assert_true(report.moved > 1000);
    find_disk(&t, 100)->weight /= 3;
    assert_int_equal(ring_next(&again, next, &c, t.disks, t.count, 1023, &report), 0);
    for (unsigned p = 0; p < RING_PARTITIONS; p++) {
        bool moved = memcmp(ring_row(r, p), ring_row(next, p), 9 * sizeof(uint16_t)) != 0;
        if (moved)
            assert_memory_equal(ring_row(again, p), ring_row(next, p), 9 * sizeof(uint16_t));
    }
    again = ring_free(again);
    assert_int_equal(ring_next(&again, next, &c, t.disks, t.count, 1024, &report), 0);
    assert_true(report.moved > 1000);
    again = ring_free(again);
    /* A clock that was far ahead once does not hold moves up for years. */
    assert_int_equal(ring_next(&again, next, &c, t.disks, t.count, 10, &report), 0);
    assert_true(report.moved > 1000);
    ring_free(r);
    ring_free(next);
    ring_free(again);
}

/* Two disks die within the hours of rest: their slots do not wait, and nothing else moves. */
static void lost_slots_do_not_wait(void **state)
{
    struct topology t;
    struct ring_config c = reference;
    struct ring *first = NULL, *second = NULL;
    struct ring_report report;
    make_reference(&t);
    c.min_hours = 1000;
    struct ring *r = new_ring(&t, &c);
    find_disk(&t, 0)->state = RING_GONE;
    assert_int_equal(ring_next(&first, r, &c, t.disks, t.count, 5000, &report), 0);
    assert_int_equal(report.filled, 768);
    find_disk(&t, 100)->state = RING_GONE;
    assert_int_equal(ring_next(&second, first, &c, t.disks, t.count, 5001, &report), 0);
    assert_int_equal(report.filled, ring_disk_slots(first, 100));
    assert_int_equal(ring_disk_slots(second, 0) + ring_disk_slots(second, 100), 0);
    ring_free(r);
    ring_free(first);
    ring_free(second);
}

/* Also when nothing has to rest: a partition moves one slot, and none when it has lost one. */
static void a_partition_moves_one_slot_in_a_step(void **state)
{
    struct topology t;
    struct ring_config c = reference;
    struct ring *next = NULL;
    struct ring_report report;
    unsigned most;
    make_reference(&t);
    c.min_hours = 0;
    struct ring *r = new_ring(&t, &c);
    for (unsigned n = 0; n < 4; n++)
        find_disk(&t, n * 100)->state = RING_DRAINING;
    assert_int_equal(ring_next(&next, r, &c, t.disks, t.count, 5000, &report), 0);
    assert_true(report.moved > 2000 && report.waiting > 100);
    difference(r, next, &most);
    assert_int_equal(most, 1);
    next = ring_free(next);
    find_disk(&t, 1001)->state = RING_GONE;
    assert_int_equal(ring_next(&next, r, &c, t.disks, t.count, 5000, &report), 0);
    assert_true(report.moved > 1000 && report.filled == 768);
    difference(r, next, &most);
    assert_int_equal(most, 1);
    ring_free(r);
    ring_free(next);
}

static void the_same_input_gives_the_same_ring(void **state)
{
    struct topology t;
    struct ring_config c = reference;
    struct ring *a2 = NULL, *b2 = NULL;
    unsigned most;
    make_reference(&t);
    struct ring *a = new_ring(&t, &c), *b = new_ring(&t, &c);
    assert_int_equal(difference(a, b, &most), 0);
    add_disk(&t, 4, 0, 30, 7 * TB); /* the order of the list does not count */
    struct ring_disk last = t.disks[t.count - 1];
    assert_int_equal(ring_next(&a2, a, &c, t.disks, t.count, 1, NULL), 0);
    t.disks[t.count - 1] = t.disks[0];
    t.disks[0] = last;
    assert_int_equal(ring_next(&b2, b, &c, t.disks, t.count, 1, NULL), 0);
    assert_int_equal(difference(a2, b2, &most), 0);
    b = ring_free(b);
    c.seed++;
    b = new_ring(&t, &c);
    assert_true(difference(a, b, &most) > 30000);
    ring_free(a);
    ring_free(b);
    ring_free(a2);
    ring_free(b2);
}

static void zones_hold_no_more_than_the_parity(void **state)
{
    struct ring_config c = {.slots = 6, .parity = 2, .overload_permille = 200};
    struct topology t = {0};
    /* Zones of 9, 9 and 8 disks: two slots each need 4 % more on those of the third. */
    for (uint32_t i = 0; i < 26; i++)
        add_disk(&t, i, i / 9, i, 8 * TB);
    struct ring *r = new_ring(&t, &c);
    assert_int_equal(most_together(r, 6, true), 2);
    assert_int_equal(most_together(r, 3, true), 1);
    r = ring_free(r);
    c.overload_permille = 10; /* not enough: balance goes first, and a few partitions have three */
    r = new_ring(&t, &c);
    assert_int_equal(most_together(r, 6, true), 3);
    assert_true(worst_of(r) < 0.01);
    ring_free(r);
}

/* Two zones hold three slots each; with a third two do, and it takes two steps to get there. */
static void crowded_zones_are_told_of_and_set_right(void **state)
{
    struct ring_config c = {.slots = 6, .parity = 2, .min_hours = 1};
    struct topology t = {0};
    struct ring *next = NULL;
    struct ring_report report;
    for (uint32_t i = 0; i < 12; i++)
        add_disk(&t, i, i % 2, i, 8 * TB);
    struct ring *r = new_ring(&t, &c);
    for (uint32_t i = 12; i < 18; i++)
        add_disk(&t, i, 2, i, 8 * TB);
    assert_int_equal(ring_next(&next, r, &c, t.disks, t.count, 1, &report), 0);
    assert_int_equal(most_together(next, 6, true), 3);
    assert_int_equal(report.crowded, RING_PARTITIONS);
    assert_in_range(report.waiting, RING_PARTITIONS - 20, RING_PARTITIONS);
    struct trip trip = settle(&r, &t, &c);
    expect_good_trip("a zone joins", &trip, r);
    assert_int_equal(most_together(r, 6, true), 2);
    ring_free(r);
    ring_free(next);
}

/* Parity 1 cannot be kept by four nodes; two slots in a node can. */
static void a_limit_gives_way_by_as_little_as_it_can(void **state)
{
    struct ring_config c = {.slots = 6, .parity = 1, .overload_permille = 500};
    struct topology t = {0};
    for (uint32_t i = 0; i < 18; i++)
        add_disk(&t, i, 0, i < 9 ? 0 : 1 + (i - 9) / 3, 8 * TB);
    struct ring *r = new_ring(&t, &c);
    assert_int_equal(most_together(r, 6, false), 2);
    ring_free(r);
}

static void what_cannot_be_spread_is_placed_all_the_same(void **state)
{
    struct ring_config c = {.slots = 6, .parity = 2};
    struct topology t = {0};
    for (uint32_t i = 0; i < 8; i++)
        add_disk(&t, i, 0, i % 2, 8 * TB);
    struct ring *r = new_ring(&t, &c);
    assert_int_equal(most_together(r, 6, false), 3); /* two nodes: three each is the least */
    expect_sound(r);
    ring_free(r);
}

static void copies_are_spread_over_nodes(void **state)
{
    struct ring_config c = {.slots = 12, .parity = 4, .seed = 9};
    struct topology t = {0};
    add_nodes(&t, 0, 4, 6);
    struct ring *r = new_ring(&t, &c);
    assert_int_equal(most_together(r, 12, false), 3);
    assert_int_equal(most_together(r, 3, false), 1);
    assert_true(worst_column(r) <= 2);
    ring_free(r);
}

/* A disk ten times the others cannot have more than a slot of each partition. */
static void a_large_disk_has_one_slot_of_each(void **state)
{
    struct ring_config c = {.slots = 4, .parity = 2};
    struct topology t = {0};
    for (uint32_t i = 0; i < 6; i++)
        add_disk(&t, i, 0, i, i ? TB : 10 * TB);
    struct ring *r = new_ring(&t, &c);
    assert_int_equal(ring_disk_slots(r, 0), RING_PARTITIONS);
    assert_true(worst_of(r) < 0.001);
    ring_free(r);
}

/* From one disk to twelve, one at a time, with the code of each number. */
static void a_store_grows_a_disk_at_a_time(void **state)
{
    struct ring_config c = {.slots = 1, .overload_permille = 100};
    struct topology t = {0};
    add_disk(&t, 0, 0, 0, 8 * TB);
    struct ring *r = new_ring(&t, &c);
    for (uint32_t n = 1; n < 14; n++) {
        add_disk(&t, n, 0, 0, 8 * TB);
        choose_code(&c, n + 1);
        struct trip trip = settle(&r, &t, &c);
        print_trip("a disk more", &trip, r);
        assert_true(trip.last.worst <= 0.005);
        assert_true(worst_column(r) <= 0.4 * RING_PARTITIONS / (n + 1));
    }
    ring_free(r);
}

static void many_disks_take_seconds_at_most(void **state)
{
    static struct ring_disk disks[RING_DISKS_MAX];
    struct ring_config c = {.slots = 14, .parity = 4, .overload_permille = 100};
    struct ring *r = NULL, *next = NULL;
    struct ring_report report;
    for (uint32_t i = 0; i < RING_DISKS_MAX; i++)
        disks[i] = (struct ring_disk){
            .number = i, .zone = i % 5, .node = i % 40, .weight = (1 + i % 3) * 4 * TB};
    double began = cpu_s();
    assert_int_equal(ring_new(&r, &c, disks, RING_DISKS_MAX - 1), 0);
    double made = cpu_s();
    assert_int_equal(ring_next(&next, r, &c, disks, RING_DISKS_MAX, 1, &report), 0);
    print_message("1,023 disks: made in %.2f s of CPU, one joined in %.2f s: %u moved\n",
                  made - began, cpu_s() - made, report.moved);
    assert_true(report.moved < 100);
    ring_free(r);
    ring_free(next);
}

/* ---- forms --------------------------------------------------------------------------------------
 */

static void partitions_of_chunks_are_known(void **state)
{
    unsigned count[RING_PARTITIONS] = {0}, least = UINT32_MAX, most = 0;
    assert_int_equal(ring_partition((struct chunk_id){1, 1}), 0x827);
    assert_int_equal(ring_partition((struct chunk_id){7, 1000000}), 0x239);
    for (uint64_t i = 0; i < RING_PARTITIONS * 100ULL; i++)
        count[ring_partition((struct chunk_id){3, i})]++;
    for (unsigned p = 0; p < RING_PARTITIONS; p++) {
        least = MIN(least, count[p]);
        most = MAX(most, count[p]);
    }
    assert_true(least > 50 && most < 160);
}

static void an_epoch_is_packed_and_unpacked_whole(void **state)
{
    struct topology t;
    struct ring *next = NULL, *back = NULL;
    _cleanup_buf_ struct buf packed, again;
    unsigned most, count;
    buf_init(&packed, 0);
    buf_init(&again, 0);
    make_reference(&t);
    find_disk(&t, 3)->state = RING_GONE;
    struct ring *r = new_ring(&t, &reference);
    find_disk(&t, 302)->state = RING_DRAINING;
    assert_int_equal(ring_next(&next, r, &reference, t.disks, t.count, 77, NULL), 0);
    assert_int_equal(ring_pack(next, &packed), 0);
    print_message("48 disks, 9 slots: %zu bytes\n", packed.len);
    assert_int_equal(ring_unpack(buf_str(&packed), &back), 0);
    assert_int_equal(ring_epoch(back), 2);
    assert_int_equal(difference(next, back, &most), 0);
    assert_memory_equal(ring_config(back), &reference, sizeof(reference));
    assert_memory_equal(ring_disks(back, &count), next->disks, sizeof(*next->disks) * 48);
    assert_int_equal(count, 48);
    assert_int_equal(ring_pack(back, &again), 0);
    assert_true(str_eq(buf_str(&packed), buf_str(&again)));
    ring_free(r);
    ring_free(next);
    ring_free(back);
}

/* Everything a reader must refuse; each a change of one place of a good epoch. */
static void a_spoilt_epoch_is_refused(void **state)
{
    struct topology t;
    make_reference(&t);
    struct ring *r = new_ring(&t, &reference), *back = NULL;
    uint16_t *row = ring_row(r, 1234), kept = row[5];
    for (unsigned what = 0; what < 8; what++) {
        _cleanup_buf_ struct buf packed;
        buf_init(&packed, 0);
        struct ring saved = *r;
        row[5] = what == 0 ? row[4] : what == 1 ? 48 : what == 2 ? NO_DISK : kept;
        r->disks[7].state = what == 3 ? RING_GONE : what == 4 ? (enum ring_state)3 : RING_ACTIVE;
        r->config.parity = what == 5 ? 9 : 3;
        r->epoch = what == 6 ? 0 : 1;
        r->disks[9].weight = what == 7 ? UINT64_MAX : TB;
        assert_int_equal(ring_pack(r, &packed), 0);
        assert_int_equal(ring_unpack(buf_str(&packed), &back), -ERR_CORRUPT);
        assert_int_equal(ring_unpack(str_prefix(buf_str(&packed), packed.len / 2), &back),
                         -ERR_CORRUPT);
        assert_null(back);
        *r = saved;
    }
    assert_int_equal(ring_unpack(STR(""), &back), -ERR_CORRUPT);
    ring_free(r);
}

static void misuse_is_refused(void **state)
{
    struct topology t;
    struct ring *r = NULL;
    make_reference(&t);
    const struct ring_config bad[] = {{.slots = 0},
                                      {.slots = 17, .parity = 2},
                                      {.slots = 4, .parity = 4},
                                      {.slots = 4, .overload_permille = 1001}};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(ring_new(&r, &bad[i], t.disks, t.count), -EINVAL);
    assert_int_equal(ring_new(&r, &reference, t.disks, 0), -EINVAL);
    assert_int_equal(ring_new(&r, &reference, t.disks, RING_DISKS_MAX + 1), -EINVAL);
    assert_int_equal(ring_new(&r, &reference, t.disks, 8), -ERR_FULL);
    t.disks[3].weight = 0;
    assert_int_equal(ring_new(&r, &reference, t.disks, 9), -ERR_FULL);
    t.disks[3].number = t.disks[4].number;
    assert_int_equal(ring_new(&r, &reference, t.disks, t.count), -EINVAL);
    assert_null(r);
    assert_null(ring_free(NULL));
}

static void a_disk_beyond_the_others_is_not_filled(void **state)
{
    uint64_t equal[] = {300, 300, 300, 300}, one_large[] = {300, 300, 2000, 300, 300};
    uint64_t two_large[] = {4000, 100, 100, 4000, 100}, three[] = {8, 16, 16};
    assert_int_equal(ring_slot_bytes(equal, 4, 4), 300);
    assert_int_equal(ring_slot_bytes(one_large, 5, 4), 400);
    assert_int_equal(ring_slot_bytes(two_large, 5, 4), 150);
    assert_int_equal(ring_slot_bytes(three, 3, 3), 8);
    assert_int_equal(ring_slot_bytes(three, 3, 1), 40);
    assert_int_equal(ring_slot_bytes(three, 3, 2), 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_is_balanced),
        cmocka_unit_test(partners_are_many),
        cmocka_unit_test(a_disk_joins),
        cmocka_unit_test(a_disk_leaves),
        cmocka_unit_test(a_disk_drains),
        cmocka_unit_test(a_node_joins),
        cmocka_unit_test(a_node_leaves),
        cmocka_unit_test(a_node_drains),
        cmocka_unit_test(a_disk_grows),
        cmocka_unit_test(any_history_keeps_the_rules),
        cmocka_unit_test(no_partition_moves_before_its_time),
        cmocka_unit_test(lost_slots_do_not_wait),
        cmocka_unit_test(a_partition_moves_one_slot_in_a_step),
        cmocka_unit_test(the_same_input_gives_the_same_ring),
        cmocka_unit_test(zones_hold_no_more_than_the_parity),
        cmocka_unit_test(crowded_zones_are_told_of_and_set_right),
        cmocka_unit_test(a_limit_gives_way_by_as_little_as_it_can),
        cmocka_unit_test(what_cannot_be_spread_is_placed_all_the_same),
        cmocka_unit_test(copies_are_spread_over_nodes),
        cmocka_unit_test(a_large_disk_has_one_slot_of_each),
        cmocka_unit_test(a_store_grows_a_disk_at_a_time),
        cmocka_unit_test(many_disks_take_seconds_at_most),
        cmocka_unit_test(partitions_of_chunks_are_known),
        cmocka_unit_test(an_epoch_is_packed_and_unpacked_whole),
        cmocka_unit_test(a_spoilt_epoch_is_refused),
        cmocka_unit_test(misuse_is_refused),
        cmocka_unit_test(a_disk_beyond_the_others_is_not_filled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
