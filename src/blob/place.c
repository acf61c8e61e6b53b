/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Which code, which disks, which bytes where.
 *
 * A chunk belongs on the disks that the newest epoch of the ring names for its partition, the first
 * of them for a narrow code. For one of them that takes no writes at present another steps in, as
 * it does for a blob that was told of no ring: one in a zone that may have another shard, if there
 * is any, and of those the next in the ring's row, or else found by weighted rendezvous hashing.
 * Each disk draws a number from the partition and its own number, and the highest draws win; so
 * taking a disk away moves nothing but what it held.
 */

#include <math.h>
#include "base/hash.h"
#include "blob/internal.h"
#include "ring/ring.h"

/* ---- codes ---------------------------------------------------------------------------------- */

static struct blob_code standard_code(unsigned disks, uint64_t len)
{
    static const struct {
        unsigned disks;
        struct blob_code code;
    } codes[] = {{12, {8, 4}}, {9, {6, 3}}, {6, {4, 2}}, {4, {2, 2}}, {3, {2, 1}}, {2, {1, 1}}};
    if (disks > 1 && len < BLOB_SMALL_MAX)
        return (struct blob_code){1, (uint8_t)(MIN(disks, (unsigned)BLOB_COPIES) - 1)};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (disks >= codes[i].disks)
            return codes[i].code;
    return (struct blob_code){1, 0};
}

struct blob_code blob_code_for(struct blob_class class, unsigned disks, uint64_t len)
{
    struct blob_code code = standard_code(disks, len);
    if (class.n == BLOB_REDUCED.n && code.m > 1)
        code.m--;
    if (class.n < BLOB_CLASS_OWN)
        return code;
    struct blob_code own = {(uint8_t)(class.n >> 8), (uint8_t) class.n};
    if (len < BLOB_SMALL_MAX) /* copies: as many losses are survived */
        return (struct blob_code){1, (uint8_t)(MIN(own.m + 1u, MAX(disks, 1u)) - 1)};
    return disks >= (unsigned)own.k + own.m ? own : code;
}

bool blob_class_is_valid(struct blob_class class)
{
    unsigned k = class.n >> 8, m = class.n & 0xff;
    if (class.n < BLOB_CLASS_OWN)
        return class.n <= BLOB_REDUCED.n;
    return k <= EC_K_MAX && m <= EC_M_MAX && k + m <= RING_SLOTS_MAX && (k == 1 || m > 0);
}

unsigned blob_quorum(struct blob_code code)
{
    unsigned n = code.k + code.m;
    return code.m == 0 ? n : MAX(n - 1, code.k + 1u);
}

/* ---- disks ---------------------------------------------------------------------------------- */

static bool takes_writes(const struct node *n)
{
    return n && node_role(n) == NODE_ACTIVE && node_writable(n);
}

void blob_disks(const struct blob *b, unsigned *ret_active, unsigned *ret_usable)
{
    *ret_active = *ret_usable = 0;
    for (uint32_t i = 0; i < nodes_count(b->nodes); i++) {
        const struct node *n = nodes_get(b->nodes, i);
        *ret_active += n && node_role(n) == NODE_ACTIVE;
        *ret_usable += takes_writes(n);
    }
}

/* Where every disk's writes fail, they are tried all the same: one disk must have its chance. */
static bool may_take(const struct blob *b, uint32_t i, const struct disk_set *avoid, bool any)
{
    const struct node *n = nodes_get(b->nodes, i);
    if (!n || node_role(n) != NODE_ACTIVE || (avoid && disk_set_has(avoid, i)))
        return false;
    return any ? node_state(n) != NODE_GONE : node_writable(n);
}

static unsigned count_of(const struct blob *b, const struct disk_set *avoid, bool any)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < nodes_count(b->nodes); i++)
        count += may_take(b, i, avoid, any);
    return count;
}

unsigned blob_place_count(const struct blob *b, const struct disk_set *avoid)
{
    unsigned count = count_of(b, avoid, false);
    return count ? count : count_of(b, avoid, true);
}

/* The draw of a disk for a partition: -weight / ln(u), u uniform in (0, 1). */
static double draw(uint64_t partition, const struct node *n)
{
    uint64_t in[2] = {partition, node_number(n)};
    double u = ((double)(hash_xxh3(in, sizeof(in)) >> 11) + 0.5) / 9007199254740992.0;
    return -(double)node_weight(n) / log(u);
}

/* Disks that could step in, best first, each with how many shards its zone has. */
struct choice {
    const struct blob *b;
    unsigned count;
    uint32_t disks[NODES_MAX];
    double draws[NODES_MAX];
    uint32_t zones[NODES_MAX];
    unsigned in_zone[NODES_MAX];
    bool taken[NODES_MAX];
};

static bool is_listed(const struct choice *c, unsigned count, uint32_t disk)
{
    for (unsigned i = 0; i < count; i++)
        if (c->disks[i] == disk)
            return true;
    return false;
}

static void list_at(struct choice *c, unsigned at, uint32_t disk, double mine)
{
    c->disks[at] = disk;
    c->draws[at] = mine;
    c->zones[at] = node_zone(nodes_get(c->b->nodes, disk));
}

/* Those of the ring's row that stand behind the chunk's own places, in its order. */
static void list_row(struct choice *c, const uint32_t *row, unsigned count,
                     const struct disk_set * not, bool any)
{
    for (unsigned i = 0; i < count; i++)
        if (may_take(c->b, row[i], not, any))
            list_at(c, c->count++, row[i], INFINITY);
}

/* All the others, by their draws. */
static void list_drawn(struct choice *c, unsigned partition, const struct disk_set * not, bool any)
{
    unsigned first = c->count;
    for (uint32_t i = 0; i < nodes_count(c->b->nodes); i++) {
        if (!may_take(c->b, i, not, any) || is_listed(c, first, i))
            continue;
        double mine = draw(partition, nodes_get(c->b->nodes, i));
        unsigned at = c->count++;
        for (; at > first && c->draws[at - 1] < mine; at--)
            list_at(c, at, c->disks[at - 1], c->draws[at - 1]);
        list_at(c, at, i, mine);
    }
}

/* The disk has a shard of the chunk. */
static void count_zone(struct choice *c, uint32_t disk)
{
    const struct node *n = nodes_get(c->b->nodes, disk);
    for (unsigned i = 0; n && i < c->count; i++)
        c->in_zone[i] += c->zones[i] == node_zone(n);
}

/* The best whose zone may have one more; where there is none, the best of those whose zones have
 * the fewest. BLOB_DISK_NONE: all are taken. */
static uint32_t choose(struct choice *c, unsigned zone_max)
{
    unsigned best = c->count;
    for (unsigned i = 0; i < c->count; i++) {
        if (c->taken[i])
            continue;
        if (best == c->count || c->in_zone[i] < c->in_zone[best])
            best = i;
        if (c->in_zone[best] < zone_max)
            break;
    }
    if (best == c->count)
        return BLOB_DISK_NONE;
    c->taken[best] = true;
    count_zone(c, c->disks[best]);
    return c->disks[best];
}

/* The disks of the chunk's own places, without those that take nothing now. */
static unsigned place_own(const struct blob *b, const uint32_t *row, unsigned count,
                          const struct disk_set *avoid, bool any, uint32_t *ret_disks)
{
    unsigned placed = 0;
    for (unsigned i = 0; i < count; i++)
        if (may_take(b, row[i], avoid, any))
            ret_disks[placed++] = row[i];
    return placed;
}

unsigned blob_place(const struct blob *b, struct chunk_id id, const struct blob_around *around,
                    struct blob_code code, uint32_t *ret_disks)
{
    static const struct blob_around nothing;
    const struct blob_around *with = around ? around : &nothing;
    bool any = count_of(b, &with->avoid, false) == 0;
    unsigned partition = ring_partition(id), max = code.k + code.m;
    uint32_t row[RING_SLOTS_MAX], disk;
    unsigned slots = epoch_row(b, partition, row), own = MIN(slots, max);
    unsigned count = place_own(b, row, own, &with->avoid, any, ret_disks);
    if (count == max)
        return count;
    struct choice c = {.b = b};
    struct disk_set not = with->avoid;
    for (unsigned i = 0; i < count; i++)
        disk_set_add(&not, ret_disks[i]);
    list_row(&c, row + own, slots - own, &not, any);
    list_drawn(&c, partition, &not, any);
    for (uint32_t i = 0; i < nodes_count(b->nodes); i++)
        if (disk_set_has(&with->shards, i))
            count_zone(&c, i);
    for (unsigned i = 0; i < count; i++)
        count_zone(&c, ret_disks[i]);
    while (count < max && (disk = choose(&c, MAX(code.m, 1))) != BLOB_DISK_NONE)
        ret_disks[count++] = disk;
    return count;
}

/* ---- geometry ------------------------------------------------------------------------------- */

struct stripe chunk_piece(const struct blob_chunk *c, uint32_t n)
{
    if (chunk_striped(c))
        return stripe_at(c->code_k, c->len_bytes, n);
    uint64_t off = MIN(n * BLOB_PIECE_BYTES, c->len_bytes);
    uint32_t len = (uint32_t)MIN(BLOB_PIECE_BYTES, c->len_bytes - off);
    return (struct stripe){.off = off, .data_len = len, .cell_len = len, .cell_off = off};
}

uint32_t chunk_piece_count(const struct blob_chunk *c)
{
    return chunk_striped(c) ? stripe_count(c->code_k, c->len_bytes)
                            : (uint32_t)((c->len_bytes + BLOB_PIECE_BYTES - 1) / BLOB_PIECE_BYTES);
}

uint32_t chunk_piece_of(const struct blob_chunk *c, uint64_t off)
{
    return (uint32_t)(off / (chunk_striped(c) ? c->code_k * STRIPE_CELL : BLOB_PIECE_BYTES));
}

bool chunk_is_sane(const struct blob_chunk *c)
{
    if (c->code_k < 1 || c->code_k > EC_K_MAX || c->code_m > EC_M_MAX ||
        c->shard_count != c->code_k + c->code_m || c->len_bytes < 1 ||
        c->len_bytes > BLOB_CHUNK_MAX || !blob_class_is_valid(c->class))
        return false;
    for (unsigned i = 0; i < c->shard_count; i++)
        if (c->shards[i].disk >= NODES_MAX && c->shards[i].disk != BLOB_DISK_NONE)
            return false;
    return true;
}

unsigned blob_spare_shards(const struct blob_chunk *c)
{
    unsigned there = 0;
    for (unsigned i = 0; i < c->shard_count; i++)
        there += c->shards[i].disk != BLOB_DISK_NONE;
    return there > c->code_k ? there - c->code_k : 0;
}

unsigned blob_shards_there(const struct blob *b, const struct blob_chunk *c)
{
    unsigned n = 0;
    for (unsigned i = 0; i < c->shard_count; i++) {
        uint32_t disk = c->shards[i].disk;
        const struct node *node = nodes_get(b->nodes, disk);
        n += node && node_role(node) != NODE_RETIRED && node_state(node) != NODE_GONE;
    }
    return n;
}

static bool narrower(struct blob_code a, struct blob_code b)
{
    return a.k + a.m < b.k + b.m;
}

/* An active disk without a shard of the chunk: where one could be rebuilt. */
static bool has_spare(const struct blob *b, const struct blob_chunk *c)
{
    for (uint32_t i = 0; i < nodes_count(b->nodes); i++) {
        const struct node *n = nodes_get(b->nodes, i);
        if (takes_writes(n) && !blob_uses_disk(c, i))
            return true;
    }
    return false;
}

bool blob_wants_repair(const struct blob *b, const struct blob_chunk *c)
{
    unsigned active, usable;
    for (unsigned i = 0; i < c->shard_count; i++) {
        if (c->shards[i].disk == BLOB_DISK_NONE)
            return true;
        const struct node *n = nodes_get(b->nodes, c->shards[i].disk);
        if (n && node_role(n) == NODE_RETIRED)
            return true;
        if (n && node_role(n) == NODE_AWAY && has_spare(b, c))
            return true;
    }
    blob_disks(b, &active, &usable);
    return narrower((struct blob_code){c->code_k, c->code_m},
                    blob_code_for(c->class, active, c->len_bytes));
}
