/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Inside kv/rocks: the parts RocksDB stores share, and the reserve of disk space each keeps.
 */

#include <rocksdb/c.h>
#include "kv/internal.h"

struct kv_rocks_shared {
    rocksdb_env_t *env;
    rocksdb_cache_t *block_cache;
    size_t write_buffer_bytes;
};

/* The options of a store; free with rocksdb_options_destroy. */
rocksdb_options_t *rocks_options_new(const struct kv_rocks_shared *shared, bool with_log);

/* No log file of RocksDB's own (rocks_logger.cc says why). */
void rocks_options_set_silent(rocksdb_options_t *options);

/* Does nothing: who calls it has RocksDB use our CRC-32C (rocks_crc.cc). */
void rocks_crc_link(void);

/* The code for RocksDB's error text (NULL: 0). Frees the text. */
int rocks_error(char *text);

/*
 * Disk space kept for deletions and for RocksDB's own work. Ordinary writes are refused when less
 * than a margin is free. Of the margin a part is a file beside the store, given up when the disk
 * has no more than its size left, so that others cannot take that. Thread-safe.
 */
struct rocks_reserve {
    char *store, *path;
    uint64_t reserve_bytes; /* of the file; 0: the store keeps none */
    uint64_t margin_bytes;
    bool held, low; /* atomic: the file is there; less than the margin is free */
};
/* `store` is the path of the store's directory, which exists. -ENOMEM. */
int BLOCKING rocks_reserve_init(struct rocks_reserve *r, const char *store);
void rocks_reserve_release(struct rocks_reserve *r);
/* Looks at the disk, gives the file up or takes it again. 0, or -ENOSPC for ordinary writes. */
int BLOCKING rocks_reserve_check(struct rocks_reserve *r);
/* 0, or -ENOSPC when a write of so many bytes might meet the end of the disk, reserve or not. */
int BLOCKING rocks_reserve_floor(const struct rocks_reserve *r, uint64_t bytes);
/* Removes the file of a store that is being destroyed. */
int BLOCKING rocks_reserve_remove(const char *store);

/*
 * Reads the logs a store was left with. *ret_torn: the newest ends in a torn batch, which was never
 * acknowledged. -ERR_CORRUPT when anything else is wrong with them.
 */
int BLOCKING rocks_log_check(const char *store, bool *ret_torn);
/*
 * Takes back what a failed write left in the newest log: cuts it off behind the change of that
 * number, the last one that was written well, and syncs it. Once it answers 0 the rest will never
 * be seen; otherwise it may be. -ERR_CORRUPT when that change is not to be found. -EMFILE and
 * -ENFILE are possible, the store may be open.
 */
int BLOCKING rocks_log_cut(const char *store, uint64_t sequence);
