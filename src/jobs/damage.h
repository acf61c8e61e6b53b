/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The list of what was found damaged: a row in the system space for each shard (or record), so that
 * nothing is forgotten by a restart and nothing is hidden from people. A damage is
 *
 *   found       on a disk, by the needle; whose it is is not known yet
 *   repairable  of an object whose other shards are enough: queued for repair
 *   waiting     not readable while a disk is gone that has more shards
 *   lost        the other shards are not enough
 *
 * and goes when it was repaired, or when no record names the chunk any more. The list is limited;
 * what does not fit is counted.
 *
 * Invariant: the counts are those of the rows.
 */

#include "base/arena.h"
#include "meta/meta.h"
#include "volume/volume.h"

#define DAMAGES_MAX      10000
#define DAMAGE_DISK_NONE UINT32_MAX

enum damage_state { DAMAGE_FOUND, DAMAGE_REPAIRABLE, DAMAGE_WAITING, DAMAGE_LOST, DAMAGE_STATES };
/* "found", "repairable", "waiting", "lost" */
const char *damage_state_text(enum damage_state state);

struct damage {
    struct needle_key needle; /* of a record: session 0, and a digest of its name */
    enum damage_state state;
    uint64_t pass, found_ms;
    uint32_t disk; /* or DAMAGE_DISK_NONE */
    struct str text;
    struct bucket_id bucket; /* 0: not known */
    struct str bucket_name, key, upload;
    uint64_t seq;
};

struct damages {
    struct meta *meta;
    uint64_t counts[DAMAGE_STATES]; /* atomic */
    uint64_t unlisted;              /* atomic */
};

/* A row of the list; what it holds is copied into `a`. -ERR_CORRUPT. */
int damage_decode(struct str key, struct str value, struct arena *a, struct damage *ret);
/* Counts what is there. */
int FIBER damages_load(struct damages *t);
uint64_t damages_count(const struct damages *t, enum damage_state state);
/* Puts or replaces; found_ms stays that of the first time. When the list is full, only counted. */
int FIBER damages_put(struct damages *t, const struct damage *d);
/* 0 also when it is not there. */
int FIBER damages_remove(struct damages *t, struct needle_key needle);
/* Every one, in the order of chunks; `fn` may suspend, and remove. Non-zero ends it. */
int FIBER damages_each(struct damages *t, int (*fn)(const struct damage *d, void *arg), void *arg);
