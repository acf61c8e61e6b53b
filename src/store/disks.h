/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The table of disks: which disks the store has, and what each is to it. Stored whole as a row of
 * the system space, `E epoch`; a change is a new row under the next number, so that no row is ever
 * rewritten, and the newest counts.
 *
 * A number is given once: a disk that was replaced or has left stays in the table as gone.
 */

#include "meta/meta.h"

#define STORE_DISKS_MAX     256
#define STORE_DISK_PATH_MAX 1024

enum store_disk_state { STORE_DISK_ACTIVE, STORE_DISK_DRAINING, STORE_DISK_GONE };
/* "active", "draining", "gone" */
const char *store_disk_state_text(enum store_disk_state state);

struct store_disk {
    uint32_t number;
    uint8_t uuid[16];
    enum store_disk_state state;
    uint64_t weight; /* bytes */
    uint32_t zone;
    char path[STORE_DISK_PATH_MAX]; /* where it was last */
};

struct store_disks {
    uint64_t epoch; /* 0: never stored */
    uint8_t store[16];
    uint32_t count;
    struct store_disk *list; /* by rising number; room for STORE_DISKS_MAX */
};

/* Empty, with memory. -ENOMEM. */
int store_disks_init(struct store_disks *t);
void store_disks_release(struct store_disks *t);
/* A new one at the end, with the next number; NULL: no room. */
struct store_disk *store_disks_add(struct store_disks *t);
/* NULL: there is none. */
struct store_disk *store_disks_find(const struct store_disks *t, const uint8_t uuid[16]);

/* The newest row into an initialised table. -ERR_NOT_FOUND: none yet; -ERR_CORRUPT. */
int FIBER store_disks_load(struct meta *meta, struct store_disks *t);
/* As the next epoch, which the table then has. */
int FIBER store_disks_save(struct meta *meta, struct store_disks *t);
