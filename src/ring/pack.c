/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "ring/internal.h"
#include "ring/ring.pb-c.h"

/* ---- packing -------------------------------------------------------------------------------- */

static void describe_disk(Ring__Disk *ret, const struct ring_disk *d)
{
    ring__disk__init(ret);
    ret->number = d->number;
    ret->zone = d->zone;
    ret->node = d->node;
    ret->state = d->state;
    ret->weight = d->weight;
}

static int append(const Ring__Epoch *epoch, struct buf *out)
{
    size_t len = ring__epoch__get_packed_size(epoch);
    CHECK(len <= RING_BYTES_MAX);
    char *into = buf_reserve(out, len);
    if (!into)
        return -ENOMEM;
    out->len += ring__epoch__pack(epoch, (uint8_t *)into);
    return 0;
}

int ring_pack(const struct ring *r, struct buf *out)
{
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the table is packed as it lies");
    _cleanup_free_ Ring__Disk *disks = calloc(r->disk_count, sizeof(*disks));
    _cleanup_free_ Ring__Disk **pointers = calloc(r->disk_count, sizeof(*pointers));
    if (!disks || !pointers)
        return -ENOMEM;
    for (unsigned i = 0; i < r->disk_count; i++) {
        describe_disk(&disks[i], &r->disks[i]);
        pointers[i] = &disks[i];
    }
    Ring__Epoch epoch = RING__EPOCH__INIT;
    epoch.epoch = r->epoch;
    epoch.slots = r->config.slots;
    epoch.parity = r->config.parity;
    epoch.min_hours = r->config.min_hours;
    epoch.overload_permille = r->config.overload_permille;
    epoch.seed = r->config.seed;
    epoch.n_disks = r->disk_count;
    epoch.disks = pointers;
    epoch.table.len = (size_t)RING_PARTITIONS * r->config.slots * sizeof(*r->table);
    epoch.table.data = (uint8_t *)r->table;
    epoch.n_moved_h = RING_PARTITIONS;
    epoch.moved_h = r->moved_h;
    return append(&epoch, out);
}

/* ---- unpacking ------------------------------------------------------------------------------ */

static int take_disks(const Ring__Epoch *epoch, struct ring **ret)
{
    struct ring_config config = {.slots = epoch->slots,
                                 .parity = epoch->parity,
                                 .min_hours = epoch->min_hours,
                                 .overload_permille = epoch->overload_permille,
                                 .seed = epoch->seed};
    _cleanup_free_ struct ring_disk *disks = NULL;
    if (epoch->n_disks == 0 || epoch->n_disks > RING_DISKS_MAX)
        return -EINVAL;
    disks = calloc(epoch->n_disks, sizeof(*disks));
    if (!disks)
        return -ENOMEM;
    for (size_t i = 0; i < epoch->n_disks; i++) {
        const Ring__Disk *d = epoch->disks[i];
        if (d->state > RING_GONE || (i > 0 && d->number <= epoch->disks[i - 1]->number))
            return -EINVAL;
        disks[i] = (struct ring_disk){.number = d->number,
                                      .zone = d->zone,
                                      .node = d->node,
                                      .state = (enum ring_state)d->state,
                                      .weight = d->weight};
    }
    return ring_alloc(ret, &config, disks, (unsigned)epoch->n_disks);
}

static bool row_valid(const struct ring *r, const uint16_t *row)
{
    for (unsigned s = 0; s < r->config.slots; s++)
        if (row[s] >= r->disk_count || r->disks[row[s]].state == RING_GONE ||
            row_has(row, s, row[s]))
            return false;
    return true;
}

static int take_table(const Ring__Epoch *epoch, struct ring *r)
{
    size_t len = (size_t)RING_PARTITIONS * r->config.slots * sizeof(*r->table);
    if (epoch->epoch == 0 || epoch->table.len != len || epoch->n_moved_h != RING_PARTITIONS)
        return -EINVAL;
    r->epoch = epoch->epoch;
    memcpy(r->table, epoch->table.data, len);
    memcpy(r->moved_h, epoch->moved_h, RING_PARTITIONS * sizeof(*r->moved_h));
    for (unsigned p = 0; p < RING_PARTITIONS; p++)
        if (!row_valid(r, ring_row(r, p)))
            return -EINVAL;
    return 0;
}

int ring_unpack(struct str bytes, struct ring **ret)
{
    _cleanup_ring_ struct ring *r = NULL;
    if (bytes.len > RING_BYTES_MAX)
        return -ERR_CORRUPT;
    Ring__Epoch *epoch = ring__epoch__unpack(NULL, bytes.len, (const uint8_t *)bytes.ptr);
    if (!epoch)
        return -ERR_CORRUPT;
    int err = take_disks(epoch, &r);
    if (err == 0)
        err = take_table(epoch, r);
    ring__epoch__free_unpacked(epoch, NULL);
    if (err == 0)
        *ret = TAKE_PTR(r);
    return err == -EINVAL ? -ERR_CORRUPT : err;
}
