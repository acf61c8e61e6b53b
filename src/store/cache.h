/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Decoded records of current objects, exact: what it holds is what the newest acknowledged commit
 * says. Commits drop a key's record from their hook, before the writer is answered, and turn the
 * generation of the key's slot; a reader that missed takes the generation before it asks the
 * metadata and its record is kept only if no commit has turned it since.
 *
 * Bounded by bytes. Which records go is decided by a hand that passes over those read since it last
 * came (second chance). Thread-safe; no call suspends.
 */

#include "rt/rt.h"
#include "store/rows/record.h"

#define CACHE_SHARDS 64

struct cache_shard {
    struct rt_lock lock;
    struct record **slots;
    uint32_t *turns; /* generations, one a slot */
    struct list ages;
    uint64_t hits, misses, records;
} __attribute__((aligned(64)));

struct cache {
    size_t slot_count; /* a shard; a power of two */
    uint64_t limit_bytes;
    uint64_t bytes; /* of all records held; atomic */
    uint32_t hand;  /* the shard to evict from next; atomic */
    struct cache_shard shards[CACHE_SHARDS];
};

/* -ENOMEM. */
int cache_init(struct cache *c, size_t limit_bytes);
void cache_release(struct cache *c);

/* Where a key belongs, and the slot's generation when a get missed. */
struct cache_place {
    uint64_t hash;
    uint32_t turn;
};
/* A reference to the record, or NULL; then *ret is for cache_fill. */
struct record *cache_get(struct cache *c, struct bucket_id b, struct str key,
                         struct cache_place *ret);
/* Keeps a reference of its own, or does not, as it sees fit. */
void cache_fill(struct cache *c, struct record *r, const struct cache_place *place);
/* For commit hooks. */
void cache_drop(struct cache *c, struct bucket_id b, struct str key);
