/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The table of disks: which disks the store has, and what each is to it; and the ring that says
 * which of them chunks belong on. Stored whole as a row of the system space, `E epoch`; a change is
 * a new row under the next number, so that no row is ever rewritten, and the newest counts. The
 * newest STORE_EPOCHS_KEPT are kept, for people: a record says where its shards are, so no reader
 * needs an old ring.
 *
 * A number is given once: a disk that was replaced or has left stays in the table as gone.
 */

#include "meta/meta.h"
#include "ring/ring.h"

#define STORE_DISKS_MAX     256
#define STORE_DISK_PATH_MAX 1024
#define STORE_EPOCHS_KEPT   32

enum store_disk_state { STORE_DISK_ACTIVE, STORE_DISK_DRAINING, STORE_DISK_GONE };

struct store_disk {
    uint32_t number;
    uint8_t uuid[16];
    enum store_disk_state state;
    uint64_t weight; /* bytes */
    uint32_t zone;
    bool away; /* gone for long: its shards are rebuilt on others. It may come back */
    char path[STORE_DISK_PATH_MAX]; /* where it was last; "": nowhere that is still its place */
};

struct store_disks {
    uint64_t epoch; /* 0: never stored */
    uint8_t store[16];
    uint32_t count;
    struct store_disk *list; /* by rising number; room for STORE_DISKS_MAX */
    struct ring *ring;       /* NULL: none was made yet */
};

/* Empty, with memory. -ENOMEM. */
int store_disks_init(struct store_disks *t);
void store_disks_release(struct store_disks *t);
/* A new one at the end, with the next number; NULL: no room. */
struct store_disk *store_disks_add(struct store_disks *t);
/* NULL: there is none of that number. */
struct store_disk *store_disks_number(const struct store_disks *t, uint32_t number);
/* Disks of the table that are to get new shards. */
unsigned store_disks_active(const struct store_disks *t);
/*
 * The next epoch of the ring for the disks as the table has them now; `widest` is the number of
 * shards of the widest code that is asked for besides the standard one. *ret NULL: it would be as
 * the last. It moves one slot of a partition at most: *ret_report (may be NULL) tells how many wait
 * for another step. Takes up to a few tenths of a second. -ENOMEM.
 */
int store_disks_next_ring(const struct store_disks *t, unsigned widest, struct ring **ret,
                          struct ring_report *ret_report);

/* The newest row into an initialised table. -ERR_NOT_FOUND: none yet; -ERR_CORRUPT. */
int FIBER store_disks_load(struct meta *meta, struct store_disks *t);
/* As the next epoch, which the table then has. */
int FIBER store_disks_save(struct meta *meta, struct store_disks *t);
