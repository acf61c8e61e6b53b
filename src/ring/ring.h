/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Which disks a chunk belongs on. A chunk's id falls into one of RING_PARTITIONS partitions; a
 * ring names for each of them `slots` disks in order, and shard i of the chunk lies on the i-th. A
 * narrower code takes the first of them, so every column of the table is balanced, not just the
 * whole: exactly when it is made, as far as few moves allow later.
 *
 * A ring is an epoch: made whole from the one before and a list of disks, never changed, numbered,
 * stored whole. Pure: bytes and numbers in, a table out. The same input gives the same table.
 *
 * Shares. A disk's share of the slots goes by its weight, but
 *   - a disk holds at most one slot of a partition;
 *   - a zone, and a node, at most `parity` slots of a partition, so that losing it loses no data,
 *     wherever there are enough zones, or nodes, for that; else as few more as it takes;
 *   - what such a limit takes from one disk goes to the others, up to `overload` above what their
 *     weight says; where that does not suffice, the limit gives way, not the balance.
 *
 * Steps. ring_next moves what a change of the disks asks for and little else:
 *   - slots on a disk that is gone, or not in the list any more, are given to others at once:
 *     nothing is left there that a move could endanger;
 *   - of the others at most one slot of a partition moves in a step, and none within `min_hours` of
 *     the partition's last move, so that repair has the time to follow. What had to wait is counted
 *     in the report: call again later, until nothing is left.
 *
 * Invariants
 *  1. Every slot names an active or draining disk of the list, no disk twice in a partition.
 *  2. A slot names a draining disk only if it did so in the epoch before.
 *  3. Zones and nodes above their limit are counted in the report, never hidden.
 *
 * Where this comes from: Swift's ring (partitions, min_part_hours, overload, one replica at a
 * time), Garage's layout (optimal shares first, then the least movement towards them). New rings
 * are made by systematic sampling in the order of zones and nodes, which is exact in every zone,
 * node, disk and column at once, and then shuffled by exchanges that keep it so, so that a lost
 * disk's partitions are shared with all the others.
 */

#include "base/buf.h"
#include "base/ids.h"

#define RING_PARTITION_BITS 12
#define RING_PARTITIONS     (1u << RING_PARTITION_BITS)
#define RING_SLOTS_MAX      16
#define RING_DISKS_MAX      1024
#define RING_OVERLOAD_MAX   1000      /* permille */
#define RING_BYTES_MAX      (1 * MIB) /* of a ring in packed form */

enum ring_state {
    RING_ACTIVE,
    RING_DRAINING, /* holds what it has until it has moved; gets nothing new */
    RING_GONE,
};

struct ring_disk {
    uint32_t number;     /* permanent, one disk's only */
    uint32_t zone, node; /* a node is one of its zone: nodes of two zones are never the same */
    enum ring_state state;
    uint64_t weight; /* usually bytes; 0: no share. At most 2^60 */
};

struct ring_config {
    unsigned slots;     /* 1 to RING_SLOTS_MAX: the widest code's k + m */
    unsigned parity;    /* that code's m, below `slots`: what a zone may hold of a partition */
    unsigned min_hours; /* between moves of a partition */
    unsigned overload_permille; /* 0 to RING_OVERLOAD_MAX */
    uint64_t seed;
};

struct ring;

struct ring_report {
    uint32_t moved;   /* slots that had a disk of the list and have another now */
    uint32_t filled;  /* slots that had none, or one that is gone */
    uint32_t waiting; /* slots that should move still: on draining disks, or above a share */
    uint32_t crowded; /* partitions' slots above the limit of a zone (the fullest), or of a node */
    double worst;     /* the largest deviation of a disk from its share, as a fraction of it */
};

/*
 * The first epoch, number 1. -EINVAL: the configuration or a disk breaks a rule above, or numbers
 * repeat; -ERR_FULL: fewer active disks with weight than slots; -ENOMEM.
 */
int ring_new(struct ring **ret, const struct ring_config *config, const struct ring_disk *disks,
             unsigned count);
/*
 * The epoch after `prev`, which stays as it is. The configuration may differ, also in `slots`: new
 * columns are filled, surplus ones dropped. `now_h` is the time in hours since 1970; `ret_report`
 * may be NULL. As ring_new; on failure nothing is set. A step that reports nothing moved and
 * nothing filled changed nothing: its epoch need not be stored, and when no partition has to rest
 * nothing ever will, whatever is waiting still (a few slots, where zones leave no way).
 */
int ring_next(struct ring **ret, const struct ring *prev, const struct ring_config *config,
              const struct ring_disk *disks, unsigned count, uint32_t now_h,
              struct ring_report *ret_report);
/* Accepts NULL and returns NULL. */
struct ring *ring_free(struct ring *r);
static inline void ring_freep(struct ring **r)
{
    ring_free(*r);
}
#define _cleanup_ring_ _cleanup_(ring_freep)

/* ---- looking up ----------------------------------------------------------------------------- */

/*
 * The partition of a chunk: the highest 12 bits of the low half of the XXH3-128 of session and
 * counter, each 8 bytes little-endian. A format: never to change.
 */
unsigned ring_partition(struct chunk_id chunk);

/* The number of the disk of a slot. */
uint32_t ring_disk_at(const struct ring *r, unsigned partition, unsigned slot);
/* All of them, `slots` numbers. */
void ring_place(const struct ring *r, unsigned partition, uint32_t *ret);

uint64_t ring_epoch(const struct ring *r);
const struct ring_config *ring_config(const struct ring *r);
/* By rising number; lives as long as the ring. */
const struct ring_disk *ring_disks(const struct ring *r, unsigned *ret_count);
/* How many slots a disk has. */
uint32_t ring_disk_slots(const struct ring *r, uint32_t number);
/* How many it should have by its share, RING_PARTITIONS at most. 0, -ENOMEM, or -ERR_FULL. */
int ring_disk_share(const struct ring *r, uint32_t number, double *ret);
/* What ring_next would have reported of this table: `moved` and `filled` are 0. Errors as above. */
int ring_inspect(const struct ring *r, struct ring_report *ret);

/* ---- room ----------------------------------------------------------------------------------- */

/*
 * What a slot of all partitions may come to where each lies on another of `count` disks (`slots` at
 * least) of so many bytes, whose order is lost: a disk that is larger than that is not filled.
 */
uint64_t ring_slot_bytes(uint64_t *sizes, unsigned count, unsigned slots);

/* ---- stored form ---------------------------------------------------------------------------- */

/* Appends the protobuf message of ring.proto, at most RING_BYTES_MAX. 0 or -ENOMEM. */
int ring_pack(const struct ring *r, struct buf *out);
/* -ERR_CORRUPT for anything that does not keep the invariants above; -ENOMEM. */
int ring_unpack(struct str bytes, struct ring **ret);
