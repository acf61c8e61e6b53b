/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "base/hash.h"
#include "ring/internal.h"

#define WEIGHT_MAX (1ULL << 60)

/* ---- life ----------------------------------------------------------------------------------- */

static bool config_valid(const struct ring_config *c)
{
    return c->slots >= 1 && c->slots <= RING_SLOTS_MAX && c->parity < c->slots &&
           c->overload_permille <= RING_OVERLOAD_MAX;
}

static int by_number(const void *a, const void *b)
{
    const struct ring_disk *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static bool disks_valid(const struct ring_disk *disks, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (disks[i].weight > WEIGHT_MAX || (unsigned)disks[i].state > RING_GONE)
            return false;
        if (i > 0 && disks[i - 1].number >= disks[i].number)
            return false;
    }
    return true;
}

int ring_alloc(struct ring **ret, const struct ring_config *config, const struct ring_disk *disks,
               unsigned count)
{
    if (!config_valid(config) || count == 0 || count > RING_DISKS_MAX)
        return -EINVAL;
    _cleanup_ring_ struct ring *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    size_t entries = (size_t)RING_PARTITIONS * config->slots;
    r->config = *config;
    r->disk_count = count;
    r->disks = calloc(count, sizeof(*r->disks));
    r->table = malloc(entries * sizeof(*r->table));
    r->moved_h = calloc(RING_PARTITIONS, sizeof(*r->moved_h));
    if (!r->disks || !r->table || !r->moved_h)
        return -ENOMEM;
    memcpy(r->disks, disks, count * sizeof(*disks));
    qsort(r->disks, count, sizeof(*disks), by_number);
    if (!disks_valid(r->disks, count))
        return -EINVAL;
    for (size_t i = 0; i < entries; i++)
        r->table[i] = NO_DISK;
    *ret = TAKE_PTR(r);
    return 0;
}

struct ring *ring_free(struct ring *r)
{
    if (!r)
        return NULL;
    free(r->disks);
    free(r->table);
    free(r->moved_h);
    free(r);
    return NULL;
}

/* ---- making --------------------------------------------------------------------------------- */

/* Asserted on before a ring leaves this room; `draining_ok` but for the first epoch. */
static void check_table(const struct ring *r, bool draining_ok)
{
    unsigned slots = r->config.slots;
    for (unsigned p = 0; p < RING_PARTITIONS; p++) {
        const uint16_t *row = ring_row(r, p);
        for (unsigned s = 0; s < slots; s++) {
            CHECK(row[s] < r->disk_count);
            enum ring_state state = r->disks[row[s]].state;
            CHECK(state == RING_ACTIVE || (draining_ok && state == RING_DRAINING));
            CHECK(!row_has(row, s, row[s]));
        }
    }
}

int ring_new(struct ring **ret, const struct ring_config *config, const struct ring_disk *disks,
             unsigned count)
{
    _cleanup_ring_ struct ring *r = NULL;
    struct shares shares;
    int err = ring_alloc(&r, config, disks, count);
    if (err < 0)
        return err;
    r->epoch = 1;
    err = shares_init(&shares, r);
    if (err == 0)
        table_make(r, &shares);
    shares_release(&shares);
    if (err < 0)
        return err;
    check_table(r, false);
    *ret = TAKE_PTR(r);
    return 0;
}

int ring_next(struct ring **ret, const struct ring *prev, const struct ring_config *config,
              const struct ring_disk *disks, unsigned count, uint32_t now_h,
              struct ring_report *ret_report)
{
    _cleanup_ring_ struct ring *r = NULL;
    struct ring_report report = {0};
    struct shares shares;
    int err = ring_alloc(&r, config, disks, count);
    if (err < 0)
        return err;
    r->epoch = prev->epoch + 1;
    err = shares_init(&shares, r);
    if (err == 0)
        err = table_step(r, prev, &shares, now_h, &report);
    if (err == 0)
        table_inspect(r, &shares, &report);
    shares_release(&shares);
    if (err < 0)
        return err;
    check_table(r, true);
    if (ret_report)
        *ret_report = report;
    *ret = TAKE_PTR(r);
    return 0;
}

/* ---- looking up ----------------------------------------------------------------------------- */

unsigned ring_partition(struct chunk_id chunk)
{
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the id is hashed as it lies");
    uint64_t id[2] = {chunk.session, chunk.counter};
    return (unsigned)(hash_xxh128(id, sizeof(id)).lo >> (64 - RING_PARTITION_BITS));
}

uint32_t ring_disk_at(const struct ring *r, unsigned partition, unsigned slot)
{
    CHECK(partition < RING_PARTITIONS && slot < r->config.slots);
    return r->disks[ring_row(r, partition)[slot]].number;
}

void ring_place(const struct ring *r, unsigned partition, uint32_t *ret)
{
    for (unsigned s = 0; s < r->config.slots; s++)
        ret[s] = ring_disk_at(r, partition, s);
}

uint64_t ring_epoch(const struct ring *r)
{
    return r->epoch;
}

const struct ring_config *ring_config(const struct ring *r)
{
    return &r->config;
}

const struct ring_disk *ring_disks(const struct ring *r, unsigned *ret_count)
{
    *ret_count = r->disk_count;
    return r->disks;
}

uint16_t ring_index_of(const struct ring *r, uint32_t number)
{
    struct ring_disk key = {.number = number};
    const struct ring_disk *d = bsearch(&key, r->disks, r->disk_count, sizeof(key), by_number);
    return d ? (uint16_t)(d - r->disks) : NO_DISK;
}

uint32_t ring_disk_slots(const struct ring *r, uint32_t number)
{
    uint16_t disk = ring_index_of(r, number);
    uint32_t count = 0;
    for (size_t i = 0; i < (size_t)RING_PARTITIONS * r->config.slots; i++)
        count += r->table[i] == disk;
    return count;
}

int ring_disk_share(const struct ring *r, uint32_t number, double *ret)
{
    struct shares shares;
    uint16_t disk = ring_index_of(r, number);
    int err = shares_init(&shares, r);
    if (err == 0)
        *ret = disk == NO_DISK ? 0 : shares.of[disk] * RING_PARTITIONS;
    shares_release(&shares);
    return err;
}

int ring_inspect(const struct ring *r, struct ring_report *ret)
{
    struct ring_report report = {0};
    struct shares shares;
    int err = shares_init(&shares, r);
    if (err == 0)
        table_inspect(r, &shares, &report);
    shares_release(&shares);
    if (err == 0)
        *ret = report;
    return err;
}
