/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Gives back the space of deleted bulky values.
 *
 * They lie in value files. RocksDB counts a file's garbage as merges of the tables drop the places
 * that led into it, and removes a file that is nothing but garbage; of others it can copy what
 * lives, as part of a merge, if that is switched on, into a new file. So garbage is first hidden (a
 * deletion has not yet met what it deletes), then known, then gone. Which of the two steps is due
 * is told from RocksDB's numbers:
 *
 *   hidden   deletions in the tables and buffers, times the mean size of a value. A merge of all
 * tables, which are small beside the values, makes it known. known    a merge that copies what
 * lives in the oldest files, as many as the free space bears.
 *
 * Steps are taken while garbage of both kinds is more than a quarter of all, or, when the disk is
 * low, a sixteenth.
 */

#include <stdio.h>
#include "kv/rocks_internal.h"
#include "kv/wal.h"

#define GARBAGE_SHARE     4
#define GARBAGE_SHARE_LOW 16
#define GARBAGE_MIN_BYTES (4 * MIB) /* less is not worth a merge */
/* A step collects a share of the files, the oldest: of a small store a larger one. */
#define OLDEST_SHARE_SMALL 4
#define OLDEST_SHARE       16
#define OLDEST_BYTES       (256 * MIB)

struct bulk {
    uint64_t bytes, garbage_bytes, hidden_bytes;
    uint64_t files;
};

/* A number in RocksDB's text of its tables' properties: "; # deletions=17; ". */
static uint64_t number_in(const char *text, const char *name)
{
    const char *at = text ? strstr(text, name) : NULL;
    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* Keys and deletions in the tables and the buffers. */
static void count_entries(const struct rocks_kv *h, uint64_t *ret_entries, uint64_t *ret_deletions)
{
    rocksdb_column_family_handle_t *bulk = h->families[ROCKS_BULK];
    char *text = rocksdb_property_value_cf(h->db, bulk, "rocksdb.aggregated-table-properties");
    *ret_entries = number_in(text, "# entries=") +
                   rocks_property(h, bulk, "rocksdb.num-entries-active-mem-table") +
                   rocks_property(h, bulk, "rocksdb.num-entries-imm-mem-tables");
    *ret_deletions = number_in(text, "# deletions=") +
                     rocks_property(h, bulk, "rocksdb.num-deletes-active-mem-table") +
                     rocks_property(h, bulk, "rocksdb.num-deletes-imm-mem-tables");
    rocksdb_free(text);
}

static struct bulk measure(const struct rocks_kv *h)
{
    rocksdb_column_family_handle_t *bulk = h->families[ROCKS_BULK];
    struct bulk b = {
        .bytes = rocks_property(h, bulk, "rocksdb.live-blob-file-size"),
        .garbage_bytes = rocks_property(h, bulk, "rocksdb.live-blob-file-garbage-size"),
        .files = rocks_property(h, bulk, "rocksdb.num-blob-files"),
    };
    uint64_t entries, deletions, alive = b.bytes - MIN(b.bytes, b.garbage_bytes);
    count_entries(h, &entries, &deletions);
    uint64_t values = entries > deletions ? entries - deletions : 0;
    b.hidden_bytes = values > deletions ? alive / values * deletions : alive;
    if (deletions == 0)
        b.hidden_bytes = 0;
    return b;
}

static int set_collecting(struct rocks_kv *h, bool on, double oldest)
{
    char cutoff[32];
    snprintf(cutoff, sizeof(cutoff), "%.4f", oldest);
    const char *keys[] = {"enable_blob_garbage_collection", "blob_garbage_collection_age_cutoff"};
    const char *values[] = {on ? "true" : "false", cutoff};
    char *error = NULL;
    rocksdb_set_options_cf(h->db, h->families[ROCKS_BULK], ARRAY_LEN(keys), keys, values, &error);
    return rocks_error(error);
}

/* Merges all tables; also those of the last level where nothing lies above them when `whole`. */
static void merge_family(struct rocks_kv *h, unsigned family, bool whole)
{
    rocksdb_compactoptions_t *o = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_exclusive_manual_compaction(o, 0);
    rocksdb_compactoptions_set_bottommost_level_compaction(o, whole ? 2 : 1);
    rocksdb_compact_range_cf_opt(h->db, h->families[family], o, NULL, 0, NULL, 0);
    rocksdb_compactoptions_destroy(o);
}

static void merge_tables(struct rocks_kv *h, bool whole)
{
    merge_family(h, ROCKS_BULK, whole);
}

/*
 * The share of the files, the oldest, whose living values may be copied now: what they take must
 * fit beside them until they are removed. 0: none.
 */
static double oldest_share(struct rocks_kv *h, const struct bulk *b)
{
    uint64_t room = rocks_reserve_room(&h->reserve) / 2;
    uint64_t step = MIN(b->bytes / OLDEST_SHARE_SMALL, (uint64_t)OLDEST_BYTES);
    uint64_t bytes = MIN(room, MAX(step, b->bytes / OLDEST_SHARE));
    double share = (double)bytes / (double)b->bytes;
    double one = 1.0 / (double)MAX(b->files, 1u);
    /* RocksDB rounds down. */
    return share >= one ? share + one / 16 : room > b->bytes ? 1.0 : 0;
}

static int collect(struct rocks_kv *h, const struct bulk *b)
{
    double oldest = oldest_share(h, b);
    if (oldest == 0)
        return 0;
    int r = set_collecting(h, true, oldest);
    if (r < 0)
        return r;
    merge_tables(h, true);
    return set_collecting(h, false, oldest);
}

/* What is switched on for a collection must not be switched off by another. */
static bool merging_begin(struct rocks_kv *h)
{
    return !__atomic_exchange_n(&h->merging, true, __ATOMIC_ACQUIRE);
}

static void merging_end(struct rocks_kv *h)
{
    __atomic_store_n(&h->merging, false, __ATOMIC_RELEASE);
}

static int compact(struct rocks_kv *h, uint64_t *ret_freed_bytes)
{
    bool low = rocks_reserve_check(&h->reserve) < 0;
    uint64_t sequence = rocksdb_get_latest_sequence_number(h->db);
    if (h->settled && h->settled_sequence == sequence && !low)
        return 0;
    struct bulk b = measure(h);
    uint64_t share = low ? GARBAGE_SHARE_LOW : GARBAGE_SHARE;
    uint64_t limit = MAX(b.bytes / share, (uint64_t)GARBAGE_MIN_BYTES);
    h->settled = b.garbage_bytes + b.hidden_bytes <= limit;
    h->settled_sequence = sequence;
    if (h->settled)
        return 0;
    uint64_t before = b.bytes;
    if (b.garbage_bytes <= limit) {
        merge_tables(h, false);
        b = measure(h);
    }
    int r = b.garbage_bytes > limit ? collect(h, &b) : 0;
    uint64_t after = rocks_property(h, h->families[ROCKS_BULK], "rocksdb.live-blob-file-size");
    *ret_freed_bytes = before - MIN(before, after);
    return r;
}

int rocks_compact(struct kv *kv, uint64_t *ret_freed_bytes)
{
    RESERVE_SCOPE;
    struct rocks_kv *h = rocks_of(kv);
    if (h->family_count <= ROCKS_BULK || rocks_is_broken(h) || rocks_memory(h) < 0 ||
        !merging_begin(h))
        return 0;
    int r = compact(h, ret_freed_bytes);
    merging_end(h);
    return r;
}

/* ---- erasing -------------------------------------------------------------------------------- */

static uint64_t bytes_of(const struct rocks_kv *h)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < h->family_count; i++)
        sum += rocks_property(h, h->families[i], "rocksdb.live-sst-files-size") +
               rocks_property(h, h->families[i], "rocksdb.live-blob-file-size");
    return sum;
}

/* A family and its value files beside it. */
static int erase_family(struct rocks_kv *h, unsigned family)
{
    int r = family == ROCKS_BULK ? set_collecting(h, true, 1.0) : 0;
    if (r < 0)
        return r;
    merge_family(h, family, true);
    return family == ROCKS_BULK ? set_collecting(h, false, 1.0) : 0;
}

/* RocksDB's C interface does not say whether a merge succeeded; its count of failures does. */
static uint64_t failures_of(const struct rocks_kv *h)
{
    return rocks_property(h, h->families[0], "rocksdb.background-errors");
}

static int erase(struct rocks_kv *h)
{
    uint64_t failures = failures_of(h);
    if (rocks_reserve_room(&h->reserve) < bytes_of(h))
        return -ENOSPC;
    int r = rocks_flush_tables(h, true);
    for (unsigned i = 0; r == 0 && i < h->family_count; i++)
        r = erase_family(h, i);
    if (r == 0 && failures_of(h) != failures)
        r = -EIO;
    if (r == 0 && h->with_log)
        wal_drop_spares(h->path);
    return r;
}

int rocks_erase(struct kv *kv)
{
    RESERVE_SCOPE;
    struct rocks_kv *h = rocks_of(kv);
    if (rocks_is_broken(h))
        return rocks_is_broken(h);
    if (!merging_begin(h))
        return -ERR_BUSY;
    int r = erase(h);
    merging_end(h);
    return r;
}
