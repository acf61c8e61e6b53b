/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * When memory is out (docs/adr/023).
 *
 * RocksDB cannot be told that there is none, so whatever it allocates inside our calls, and in its
 * own threads, comes from the reserve then (base/reserve.h). When that is low, nothing is begun
 * that somebody may ask for again, and what RocksDB keeps for speed is given up: the block cache,
 * and by kv_room, which writers ask first, the write buffers.
 *
 * Stores without a log are not refused: who writes to a needle index has the needle on the disk
 * already, and there is one such writer a disk.
 */

#include "kv/rocks_internal.h"

#define FED_SHARE 8 /* of the reserve is in use at most when the cache may fill again */

static void starve(struct kv_rocks_shared *s)
{
    if (__atomic_load_n(&s->starved, __ATOMIC_RELAXED) ||
        __atomic_exchange_n(&s->starved, true, __ATOMIC_ACQ_REL))
        return;
    RESERVE_SCOPE;
    rocksdb_cache_set_capacity(s->block_cache, 0);
}

static void feed(struct kv_rocks_shared *s)
{
    struct reserve_stats stats;
    reserve_stats(&stats);
    if (stats.used_bytes > stats.size_bytes / FED_SHARE ||
        !__atomic_exchange_n(&s->starved, false, __ATOMIC_ACQ_REL))
        return;
    RESERVE_SCOPE;
    rocksdb_cache_set_capacity(s->block_cache, s->block_cache_bytes);
}

int rocks_memory(struct rocks_kv *h)
{
    if (unlikely(reserve_low())) {
        starve(h->shared);
        return h->with_log ? -ENOMEM : 0;
    }
    if (unlikely(__atomic_load_n(&h->shared->starved, __ATOMIC_RELAXED)))
        feed(h->shared);
    return 0;
}
