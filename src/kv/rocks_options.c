/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * How RocksDB is set up, and why. Measurements: docs/BENCHMARKS.md and bench/.
 *
 * Memory. All stores share one block cache, which also holds their indexes and filters (in
 * partitions, so that a large store does not need a large file's index whole). The C API of 7.8
 * has no write buffer manager; each store gets a quarter of the write-buffer budget as its buffer
 * and twice that as the limit of all its buffers.
 *
 * The write-ahead log. kv_write(sync) waits for fdatasync. It lies in files of ours (wal.h). After
 * a crash rocks_log.c judges it first; a log of before there were frames is cut off only where it
 * finds a torn last batch (point-in-time recovery, which would silently drop more than that from a
 * damaged one). The log is bounded by a few write buffers, for it is replayed at the start after a
 * kill; rocks.c bounds what its files take.
 */

#include "kv/rocks_internal.h"

#define LEVELS          7
#define LOG_BUFFERS     4     /* so many write buffers a log may tell of */
#define BUFFER_FILTER   0.005 /* of a write buffer: 80 KiB, ten bits a record */
#define L0_TABLES       8 /* so many come together before they are merged; then writers slow, stop */
#define L0_TABLES_SLOW  28
#define L0_TABLES_STOP  44
#define BULK_FILE_BYTES (32 * MIB)
#define DISK_STORES     3 /* on one disk, at most */

static void set_tables(rocksdb_options_t *o, const struct kv_rocks_shared *shared)
{
    rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(t, shared->block_cache);
    rocksdb_block_based_options_set_block_size(t, 8 * KIB);
    rocksdb_block_based_options_set_format_version(t, 5);
    rocksdb_block_based_options_set_index_type(
        t, rocksdb_block_based_table_index_type_two_level_index_search);
    rocksdb_block_based_options_set_partition_filters(t, 1);
    rocksdb_block_based_options_set_filter_policy(t, rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_block_based_options_set_whole_key_filtering(t, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(t, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(t, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(t, 1);
    rocksdb_block_based_options_set_pin_top_level_index_and_filter(t, 1);
    rocksdb_options_set_block_based_table_factory(o, t);
    rocksdb_block_based_options_destroy(t);
}

/* The upper levels are rewritten often and small: compressing them only costs. */
static void set_levels(rocksdb_options_t *o, size_t buffer_bytes)
{
    int compression[LEVELS];
    for (int i = 0; i < LEVELS; i++)
        compression[i] = i < 3 ? rocksdb_no_compression : rocksdb_lz4_compression;
    rocksdb_options_set_num_levels(o, LEVELS);
    rocksdb_options_set_compression_per_level(o, compression, LEVELS);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(o, 1);
    rocksdb_options_set_level0_file_num_compaction_trigger(o, L0_TABLES);
    rocksdb_options_set_level0_slowdown_writes_trigger(o, L0_TABLES_SLOW);
    rocksdb_options_set_level0_stop_writes_trigger(o, L0_TABLES_STOP);
    rocksdb_options_set_max_bytes_for_level_base(o, 8 * buffer_bytes);
    rocksdb_options_set_target_file_size_base(o, 64 * MIB);
}

/* Most keys that are asked for are not among the newest: a filter spares the search. */
static void set_buffer_filter(rocksdb_options_t *o)
{
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(o, BUFFER_FILTER);
    rocksdb_options_set_memtable_whole_key_filtering(o, 1);
}

static void set_write_path(rocksdb_options_t *o, size_t buffer_bytes, bool with_log)
{
    rocksdb_options_set_write_buffer_size(o, buffer_bytes);
    rocksdb_options_set_max_write_buffer_number(o, 3);
    rocksdb_options_set_db_write_buffer_size(o, 2 * buffer_bytes);
    rocksdb_options_set_max_total_wal_size(o, with_log ? LOG_BUFFERS * buffer_bytes : 0);
    rocksdb_options_set_wal_recovery_mode(o, rocksdb_tolerate_corrupted_tail_records_recovery);
    /* There is one writer: nothing to be concurrent with. */
    rocksdb_options_set_allow_concurrent_memtable_write(o, 0);
    rocksdb_options_set_enable_write_thread_adaptive_yield(o, 0);
    rocksdb_options_set_bytes_per_sync(o, 1 * MIB);
    rocksdb_options_set_max_background_jobs(o, 2);
}

/*
 * Every table stays open: opening one would have a read wait that may not (rocks_files.cc).
 */
static void set_opening(rocksdb_options_t *o)
{
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_create_missing_column_families(o, 1);
    rocksdb_options_set_max_open_files(o, -1);
    rocksdb_options_set_max_file_opening_threads(o, 1);
    rocksdb_options_set_skip_checking_sst_file_sizes_on_db_open(o, 1);
    rocksdb_options_set_avoid_unnecessary_blocking_io(o, 1);
}

static void set_quiet(rocksdb_options_t *o)
{
    rocks_options_set_silent(o);
    rocksdb_options_set_stats_dump_period_sec(o, 0);
    rocksdb_options_set_stats_persist_period_sec(o, 0);
}

rocksdb_options_t *rocks_options_new(const struct kv_rocks_shared *shared, bool with_log)
{
    size_t buffer_bytes = shared->write_buffer_bytes / 4;
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_options_set_env(o, shared->env);
    set_tables(o, shared);
    set_levels(o, buffer_bytes);
    set_write_path(o, buffer_bytes, with_log);
    if (with_log)
        set_buffer_filter(o);
    set_opening(o);
    set_quiet(o);
    return o;
}

/*
 * Bulky values lie in files of their own (RocksDB calls it BlobDB): written once when a buffer is
 * flushed, not at each merge of the tables, which hold keys and places alone. So the tables are
 * small and tell of many values each; they are kept small, for a merge that collects garbage reads
 * what one tells of. When garbage is collected is up to rocks_bulk.c: RocksDB left to itself copies
 * the oldest quarter of the values at every merge, garbage there or none.
 */
rocksdb_options_t *rocks_options_new_bulk(const struct kv_rocks_shared *shared)
{
    rocksdb_options_t *o = rocks_options_new(shared, true);
    rocksdb_options_set_target_file_size_base(o, 4 * MIB);
    rocksdb_options_set_enable_blob_files(o, 1);
    rocksdb_options_set_min_blob_size(o, 0);
    rocksdb_options_set_blob_file_size(o, BULK_FILE_BYTES);
    rocksdb_options_set_blob_compression_type(o, rocksdb_no_compression);
    rocksdb_options_set_enable_blob_gc(o, 0);
    rocksdb_options_set_blob_gc_force_threshold(o, 1.0);
    /* Who asks for a value knows that it is there. */
    rocksdb_options_set_optimize_filters_for_hits(o, 1);
    return o;
}

/*
 * All stores share the threads that flush and merge, and what hangs on a disk keeps those that it
 * has: one for each store there (the metadata's two, the index) and kind of work. With one thread
 * of a kind, as RocksDB has it, nothing is flushed any more on any disk, and all writes end soon.
 */
static void set_threads(rocksdb_env_t *env)
{
    rocksdb_env_set_high_priority_background_threads(env, 1 + 2 * DISK_STORES);
    rocksdb_env_set_background_threads(env, 1 + DISK_STORES);
}

int kv_rocks_shared_new(struct kv_rocks_shared **ret, const struct kv_rocks_config *config)
{
    struct kv_rocks_shared *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    rocks_crc_link();
    size_t cache = config->block_cache_bytes ? config->block_cache_bytes : 64 * MIB;
    s->write_buffer_bytes = config->write_buffer_bytes ? config->write_buffer_bytes : 64 * MIB;
    s->env = rocks_env_new();
    if (config->several_disks)
        set_threads(s->env);
    s->block_cache_bytes = cache;
    s->block_cache = rocksdb_cache_create_lru(cache);
    *ret = s;
    return 0;
}

void kv_rocks_shared_free(struct kv_rocks_shared *s)
{
    if (!s)
        return;
    rocksdb_cache_destroy(s->block_cache);
    rocksdb_env_destroy(s->env);
    free(s);
}
