/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Inside kv/rocks: the parts RocksDB stores share, and the reserve of disk space each keeps.
 */

#include <rocksdb/c.h>
#include "base/reserve.h"
#include "kv/internal.h"

struct kv_rocks_shared {
    rocksdb_env_t *env;
    rocksdb_cache_t *block_cache;
    size_t block_cache_bytes;
    size_t write_buffer_bytes;
    bool starved; /* atomic: the cache was given up, for memory was out (rocks_memory.c) */
};

/*
 * A store with a log keeps bulky values (KV_BULK) in a family of their own: the same log and the
 * same batches, but other tables.
 */
enum { ROCKS_BASE, ROCKS_BULK, ROCKS_FAMILIES };

/*
 * Disk space kept for deletions and for RocksDB's own work. Ordinary writes are refused when less
 * than a margin is free. Of the margin a part is a file beside the store, given up when the disk
 * has no more than its size left, so that others cannot take that. Another file is given up when
 * the store is opened over a full disk, and never else, as much of it as that takes: whatever
 * others did to the disk meanwhile, there is room to open it, and to delete. Thread-safe.
 */
struct rocks_reserve {
    char *store, *path, *start_path;
    uint64_t reserve_bytes; /* of the file; 0: the store keeps none */
    uint64_t start_bytes;   /* of the other one */
    uint64_t margin_bytes;
    bool held, low; /* atomic: the file is there; less than the margin is free */
    bool ready;     /* atomic: the other one is there, whole */
};

struct rocks_kv {
    struct kv kv;
    struct kv_rocks_shared *shared;
    char *path;
    rocksdb_t *db;
    rocksdb_options_t *options_of[ROCKS_FAMILIES];
    rocksdb_column_family_handle_t *families[ROCKS_FAMILIES];
    unsigned family_count;
    rocksdb_writeoptions_t *plain, *synced;
    rocksdb_writebatch_t *spare; /* atomic: see take_writebatch() */
    rocksdb_readoptions_t *latest;
    struct rocks_reserve reserve;
    uint64_t squeezed_ns; /* atomic: see squeeze() */
    uint64_t emptied_ns;  /* atomic: see empty_buffers() */
    bool with_log;
    uint64_t log_bytes, log_bytes_max; /* of files, since the tables were last flushed for them */
    bool merging; /* atomic: bulky values are being collected, or all is erased */
    bool settled; /* under `merging`: when the store was at this, no value was worth that */
    uint64_t settled_sequence;
    int broken;        /* atomic: see the top of rocks.c */
    uint64_t sequence; /* of the last change that was written well, when it broke */
};

struct kv_snapshot {
    const rocksdb_snapshot_t *snapshot;
    rocksdb_readoptions_t *read;
};

static inline struct rocks_kv *rocks_of(struct kv *kv)
{
    return container_of(kv, struct rocks_kv, kv);
}

static inline int rocks_is_broken(const struct rocks_kv *h)
{
    return __atomic_load_n(&h->broken, __ATOMIC_RELAXED);
}

/* Where a key lies. */
static inline rocksdb_column_family_handle_t *rocks_family(const struct rocks_kv *h, struct str key)
{
    return h->families[h->family_count > ROCKS_BULK && kv_is_bulk(key) ? ROCKS_BULK : ROCKS_BASE];
}

/* 0 also for a property that RocksDB does not know. */
static inline uint64_t rocks_property(const struct rocks_kv *h,
                                      rocksdb_column_family_handle_t *family, const char *name)
{
    uint64_t v = 0;
    return rocksdb_property_int_cf(h->db, family, name, &v) == 0 ? v : 0;
}

rocksdb_readoptions_t *rocks_read_options_new(const rocksdb_snapshot_t *snapshot);

/* rocks_files.cc: how RocksDB reads its files. */
rocksdb_env_t *rocks_env_new(void);
/* Whether this thread's reads fail, with -EAGAIN, where they would have to wait for the disk. */
void rocks_set_nowait(bool nowait);
/* For tests: such reads find nothing in the page cache. */
void rocks_set_cold(bool cold);

/*
 * 0, or -ENOMEM while nothing is to be begun (rocks_memory.c). What calls RocksDB does so in a
 * RESERVE_SCOPE: where malloc fails inside it the process ends.
 */
int rocks_memory(struct rocks_kv *h);

/* rocks_walk.c */
int rocks_walk_new(struct kv *kv, const struct kv_snapshot *snap, const struct kv_range *range,
                   unsigned flags, struct kv_walk **ret);
/* rocks_bulk.c */
int BLOCKING rocks_compact(struct kv *kv, uint64_t *ret_freed_bytes);
int BLOCKING rocks_erase(struct kv *kv);
/* rocks.c: the buffers into tables; not waited for, that only begins. */
int BLOCKING rocks_flush_tables(struct rocks_kv *h, bool wait);

/* The options of a store; free with rocksdb_options_destroy. */
rocksdb_options_t *rocks_options_new(const struct kv_rocks_shared *shared, bool with_log);
/* Those of its family of bulky values. */
rocksdb_options_t *rocks_options_new_bulk(const struct kv_rocks_shared *shared);

/* No log file of RocksDB's own (rocks_logger.cc says why). */
void rocks_options_set_silent(rocksdb_options_t *options);

/* Does nothing: who calls it has RocksDB use our CRC-32C (rocks_crc.cc). */
void rocks_crc_link(void);

/* The code for RocksDB's error text (NULL: 0). Frees the text. */
int rocks_error(char *text);

/* `store` is the path of the store's directory, which exists. -ENOMEM. */
int BLOCKING rocks_reserve_init(struct rocks_reserve *r, const char *store);
void rocks_reserve_release(struct rocks_reserve *r);
/* Before the store is opened, which takes so much: makes room for that where there is little. */
void BLOCKING rocks_reserve_start(struct rocks_reserve *r, uint64_t bytes);
/* Looks at the disk, gives the file up or takes it again. 0, or -ENOSPC for ordinary writes. */
int BLOCKING rocks_reserve_check(struct rocks_reserve *r);
/* 0, or -ENOSPC when a write of so many bytes might meet the end of the disk, reserve or not. */
int BLOCKING rocks_reserve_floor(const struct rocks_reserve *r, uint64_t bytes);
/* Bytes free above that floor. */
uint64_t BLOCKING rocks_reserve_room(const struct rocks_reserve *r);
/* Removes the file of a store that is being destroyed. */
int BLOCKING rocks_reserve_remove(const char *store);

/*
 * Reads the logs a store was left with. *ret_torn: the newest ends in a torn batch, which was never
 * acknowledged. -ERR_CORRUPT when anything else is wrong with them, or one is missing; then
 * `ret_why`, of ROCKS_WHY bytes unless it is NULL, has a half sentence about it.
 */
#define ROCKS_WHY 256
int BLOCKING rocks_log_check(const char *store, bool *ret_torn, char *ret_why);
/* What their files have together: their batches become tables at the next start. */
uint64_t BLOCKING rocks_log_bytes(const char *store);
/* As the check of the logs, of RocksDB's list of tables, whose end RocksDB itself does not miss. */
int BLOCKING rocks_manifest_check(const char *store, char *ret_why);
/*
 * Takes back what a failed write left in the newest log: cuts it off behind the change of that
 * number, the last one that was written well, and syncs it. Once it answers 0 the rest will never
 * be seen; otherwise it may be. -ERR_CORRUPT when that change is not to be found. -EMFILE and
 * -ENFILE are possible, the store may be open.
 */
int BLOCKING rocks_log_cut(const char *store, uint64_t sequence);
