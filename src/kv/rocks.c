/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * kv/rocks: RocksDB behind kv.h.
 *
 * Batches are our own (batch.c), not RocksDB's indexed ones: those rebuild their index on every
 * rollback, and here each key is logged once however often the batch changed it.
 *
 * States of a store with a log
 *   working       `broken` is 0.
 *   out of means  `broken` says of what: a write was refused for want of space or descriptors, and
 *                 of it nothing is in the log. RocksDB must not write again (an assertion in
 *                 Debian's library ends the process where it writes to a file again that failed),
 *                 reads go on; rocks_recover closes and opens it.
 *   failed        `broken` is -EIO: a sync failed, or what a failed write left in the log could
 *                 not be taken back. No more is written before the process restarts.
 * `db` is NULL only after a rocks_recover that could not even open it for reading.
 */

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "kv/rocks_internal.h"
#include "kv/wal.h"
#include "rt/rt.h"

#define SQUEEZE_EVERY_NS   (2 * RT_S)
#define SPARE_BYTES_MAX    (2 * MIB)
#define REOPEN_BYTES       (8 * MIB) /* opening takes that at most, beside what the log holds */
#define REOPEN_DESCRIPTORS 16        /* it takes fewer */
#define FLUSH_DESCRIPTORS  8         /* a table of each family, its folder, the manifest */
#define LOGS_SHARE         4         /* of the write-buffer budget, so many times lie in logs */

/*
 * The one place where RocksDB's errors, which the C API hands out as text, become codes. The first
 * that fits counts: a sync that failed has lost what it was to keep, whatever the reason given.
 */
int rocks_error(char *text)
{
    static const struct {
        const char *part;
        int code;
    } known[] = {
        {"While fdatasync", -EIO},
        {"While fsync", -EIO},
        {"While sync_file_range", -EIO},
        {"Resource busy", -EAGAIN}, /* rocks_files.cc */
        {"Corruption", -ERR_CORRUPT},
        {"No such file", -ERR_CORRUPT}, /* one that its manifest names */
        {"No space left", -ENOSPC},
        {"Disk quota exceeded", -EDQUOT},
        {"File too large", -EDQUOT}, /* a limit set on the process */
        {"Too many open files in system", -ENFILE},
        {"Too many open files", -EMFILE},
        {"While lock file", -ERR_BUSY},
        {"lock hold by current process", -ERR_BUSY},
    };
    if (!text)
        return 0;
    int code = 0;
    for (size_t i = 0; i < ARRAY_LEN(known) && code == 0; i++)
        if (strstr(text, known[i].part))
            code = known[i].code;
    rocksdb_free(text);
    return code ? code : -EIO;
}

rocksdb_readoptions_t *rocks_read_options_new(const rocksdb_snapshot_t *snapshot)
{
    rocksdb_readoptions_t *o = rocksdb_readoptions_create();
    if (snapshot)
        rocksdb_readoptions_set_snapshot(o, snapshot);
    return o;
}

/* ---- reading -------------------------------------------------------------------------------- */

static int find(struct rocks_kv *h, const struct kv_snapshot *snap, struct str key, unsigned flags,
                rocksdb_pinnableslice_t **ret)
{
    RESERVE_SCOPE;
    char *error = NULL;
    rocks_set_nowait(flags & KV_CACHED);
    *ret = rocksdb_get_pinned_cf(h->db, snap ? snap->read : h->latest, rocks_family(h, key),
                                 key.ptr, key.len, &error);
    rocks_set_nowait(false);
    if (*ret)
        return 0;
    return error ? rocks_error(error) : -ERR_NOT_FOUND;
}

static int rocks_get(struct kv *kv, const struct kv_snapshot *snap, struct str key, unsigned flags,
                     struct buf *ret)
{
    struct rocks_kv *h = rocks_of(kv);
    rocksdb_pinnableslice_t *p;
    if (!h->db)
        return -ERR_UNAVAILABLE;
    int r = rocks_memory(h);
    if (r == 0)
        r = find(h, snap, key, flags, &p);
    if (r < 0)
        return r;
    struct str value;
    value.ptr = rocksdb_pinnableslice_value(p, &value.len);
    buf_put_str(ret, value);
    rocksdb_pinnableslice_destroy(p);
    return buf_error(ret);
}

static int rocks_snapshot_new(struct kv *kv, struct kv_snapshot **ret)
{
    if (!rocks_of(kv)->db)
        return -ERR_UNAVAILABLE;
    RESERVE_SCOPE;
    struct kv_snapshot *s = malloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->snapshot = rocksdb_create_snapshot(rocks_of(kv)->db);
    s->read = rocks_read_options_new(s->snapshot);
    *ret = s;
    return 0;
}

static void rocks_snapshot_free(struct kv *kv, struct kv_snapshot *s)
{
    RESERVE_SCOPE;
    rocksdb_readoptions_destroy(s->read);
    rocksdb_release_snapshot(rocks_of(kv)->db, s->snapshot);
    free(s);
}

/* ---- writing -------------------------------------------------------------------------------- */

/* A batch of RocksDB's is kept for the next write: growing a new one to its size costs as much as
 * filling it. Where two writes meet, the second makes one. */
static rocksdb_writebatch_t *take_writebatch(struct rocks_kv *h)
{
    rocksdb_writebatch_t *w = __atomic_exchange_n(&h->spare, NULL, __ATOMIC_ACQUIRE);
    return w ? w : rocksdb_writebatch_create();
}

static void give_writebatch(struct rocks_kv *h, rocksdb_writebatch_t *w, size_t bytes)
{
    rocksdb_writebatch_clear(w);
    if (bytes <= SPARE_BYTES_MAX)
        w = __atomic_exchange_n(&h->spare, w, __ATOMIC_RELEASE);
    if (w)
        rocksdb_writebatch_destroy(w);
}

static void add_last_changes(struct rocks_kv *h, rocksdb_writebatch_t *w,
                             const struct vmap *changes)
{
    for (const struct vmap_node *n = changes->head[0]; n; n = vmap_next(n)) {
        struct str key = vmap_key(n), value = vmap_value(n->newest);
        rocksdb_column_family_handle_t *family = rocks_family(h, key);
        if (n->newest->deleted)
            rocksdb_writebatch_delete_cf(w, family, key.ptr, key.len);
        else
            rocksdb_writebatch_put_cf(w, family, key.ptr, key.len, value.ptr, value.len);
    }
}

/*
 * What the writer is told. For want of descriptors RocksDB fails before it writes to the log;
 * for want of space it may have written a part, or all of it.
 */
static int write_failed(struct rocks_kv *h, uint64_t sequence, int r)
{
    bool refused = r == -EMFILE || r == -ENFILE;
    if (r == -ENOSPC || r == -EDQUOT)
        refused = rocks_log_cut(h->path, sequence) == 0;
    h->sequence = sequence;
    __atomic_store_n(&h->broken, refused ? r : -EIO, __ATOMIC_RELAXED);
    return refused ? r : -EIO;
}

/* 0, or why so many files cannot be opened now. */
static int descriptors_left(int want)
{
    int fds[REOPEN_DESCRIPTORS], count = 0, r = 0;
    CHECK(want <= REOPEN_DESCRIPTORS);
    while (count < want && r == 0) {
        fds[count] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fds[count] < 0)
            r = -errno;
        else
            count++;
    }
    while (count > 0)
        close(fds[--count]);
    return r;
}

/*
 * Empties the write buffers into tables. RocksDB that cannot open a table for want of descriptors
 * takes no more writes until it is opened anew, so whether there are any is looked at before.
 */
int rocks_flush_tables(struct rocks_kv *h, bool wait)
{
    if (rocks_is_broken(h))
        return rocks_is_broken(h);
    int r = descriptors_left(FLUSH_DESCRIPTORS);
    rocksdb_flushoptions_t *o = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(o, wait);
    for (unsigned i = 0; r == 0 && i < h->family_count; i++) {
        char *error = NULL;
        rocksdb_flush_cf(h->db, o, h->families[i], &error);
        r = rocks_error(error);
    }
    rocksdb_flushoptions_destroy(o);
    return r;
}

/*
 * A frame takes whole blocks, of which RocksDB knows nothing: it would let small batches make logs
 * of many times the size that it bounds. All of a log is read at the start after a kill.
 */
static void bound_logs(struct rocks_kv *h, uint64_t batch_bytes)
{
    h->log_bytes += wal_frame_bytes(batch_bytes);
    if (h->log_bytes < h->log_bytes_max)
        return;
    h->log_bytes = 0;
    (void)rocks_flush_tables(h, false);
}

/*
 * RocksDB's log should never meet the end of the disk, so the space is looked at before each write.
 * Should it fail all the same (somebody took the space in between), see the top.
 */
static int rocks_write(struct kv *kv, struct kv_batch *b, bool sync)
{
    RESERVE_SCOPE;
    struct rocks_kv *h = rocks_of(kv);
    if (rocks_is_broken(h))
        return rocks_is_broken(h);
    int r = rocks_reserve_floor(&h->reserve, kv_batch_bytes(b));
    if (r < 0)
        return r;
    rocksdb_writebatch_t *w = take_writebatch(h);
    add_last_changes(h, w, &b->changes);
    uint64_t sequence = rocksdb_get_latest_sequence_number(h->db);
    char *error = NULL;
    rocksdb_write(h->db, sync && h->with_log ? h->synced : h->plain, w, &error);
    give_writebatch(h, w, kv_batch_bytes(b));
    r = rocks_error(error);
    if (r == 0 && h->with_log)
        bound_logs(h, kv_batch_bytes(b));
    return r < 0 && h->with_log ? write_failed(h, sequence, r) : r;
}

static int rocks_flush(struct kv *kv)
{
    RESERVE_SCOPE;
    struct rocks_kv *h = rocks_of(kv);
    if (!h->with_log || rocks_is_broken(h))
        return rocks_flush_tables(h, true);
    char *error = NULL;
    rocksdb_flush_wal(h->db, 1, &error);
    return rocks_error(error);
}

/* True once in so long. */
static bool is_due(uint64_t *last_ns)
{
    uint64_t now = rt_now(), last = __atomic_load_n(last_ns, __ATOMIC_RELAXED);
    return now - last >= SQUEEZE_EVERY_NS &&
           __atomic_compare_exchange_n(last_ns, &last, now, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

/* Memory is out: what the write buffers hold goes into tables. */
static void empty_buffers(struct rocks_kv *h)
{
    if (is_due(&h->emptied_ns))
        (void)rocks_flush_tables(h, false);
}

/*
 * Deleting gives space back only once the deletions have met what they delete, in the last level:
 * starts them on their way there, from time to time while the disk is nearly full.
 */
static void squeeze(struct rocks_kv *h)
{
    if (!is_due(&h->squeezed_ns))
        return;
    wal_drop_spares(h->path);
    (void)rocks_flush_tables(h, false);
    for (unsigned i = 0; i < h->family_count; i++) {
        char *error = NULL;
        rocksdb_suggest_compact_range_cf(h->db, h->families[i], NULL, 0, NULL, 0, &error);
        (void)rocks_error(error);
    }
}

static int rocks_room(struct kv *kv)
{
    RESERVE_SCOPE;
    struct rocks_kv *h = rocks_of(kv);
    int r = rocks_memory(h);
    if (r < 0) {
        empty_buffers(h);
        return r;
    }
    r = rocks_reserve_check(&h->reserve);
    if (r < 0 && !rocks_is_broken(h))
        squeeze(h);
    return r;
}

/* Of all families together. */
static uint64_t property(struct rocks_kv *h, const char *name)
{
    uint64_t sum = 0;
    for (unsigned i = 0; h->db && i < h->family_count; i++)
        sum += rocks_property(h, h->families[i], name);
    return sum;
}

static int rocks_stats(struct kv *kv, struct kv_stats *ret)
{
    RESERVE_SCOPE;
    struct rocks_kv *h = rocks_of(kv);
    *ret = (struct kv_stats){
        .keys_estimate = property(h, "rocksdb.estimate-num-keys"),
        .disk_bytes = property(h, "rocksdb.total-sst-files-size") +
                      property(h, "rocksdb.total-blob-file-size"),
        .memory_bytes = property(h, "rocksdb.size-all-mem-tables") +
                        property(h, "rocksdb.estimate-table-readers-mem"),
    };
    return 0;
}

/* ---- opening and closing -------------------------------------------------------------------- */

static void close_db(struct rocks_kv *h)
{
    if (!h->db)
        return;
    rocksdb_cancel_all_background_work(h->db, 1);
    for (unsigned i = 0; i < h->family_count; i++)
        rocksdb_column_family_handle_destroy(TAKE_PTR(h->families[i]));
    rocksdb_close(TAKE_PTR(h->db));
}

static void rocks_free(struct rocks_kv *h)
{
    close_db(h);
    if (h->spare)
        rocksdb_writebatch_destroy(h->spare);
    for (unsigned i = 0; i < ROCKS_FAMILIES; i++)
        rocksdb_options_destroy(h->options_of[i]);
    rocksdb_writeoptions_destroy(h->plain);
    rocksdb_writeoptions_destroy(h->synced);
    rocksdb_readoptions_destroy(h->latest);
    rocks_reserve_release(&h->reserve);
    free(h->path);
    free(h);
}

/* The flush is for the next start, which then has no log to replay; failing, it will replay. */
static void rocks_close(struct kv *kv)
{
    RESERVE_SCOPE;
    struct rocks_kv *h = rocks_of(kv);
    (void)rocks_flush_tables(h, true);
    close_db(h);
    wal_drop_spares(h->path);
    rocks_free(h);
}

static const char *const family_names[ROCKS_FAMILIES] = {"default", "bulk"};

/* Opens the database over the logs as they are. */
static int open_db(struct rocks_kv *h)
{
    bool torn = false;
    int r = h->with_log ? rocks_log_check(h->path, &torn, NULL) : 0;
    if (r == 0)
        r = rocks_manifest_check(h->path, NULL);
    if (r < 0)
        return r;
    rocksdb_options_set_wal_recovery_mode(h->options_of[ROCKS_BASE],
                                          torn ? rocksdb_point_in_time_recovery
                                               : rocksdb_tolerate_corrupted_tail_records_recovery);
    char *error = NULL;
    h->db = rocksdb_open_column_families(
        h->options_of[ROCKS_BASE], h->path, (int)h->family_count, family_names,
        (const rocksdb_options_t *const *)h->options_of, h->families, &error);
    return rocks_error(error);
}

/* ---- recovering ----------------------------------------------------------------------------- */

static int rocks_recoverable(struct kv *kv)
{
    struct rocks_kv *h = rocks_of(kv);
    if (!rocks_is_broken(h) || rocks_is_broken(h) == -EIO)
        return rocks_is_broken(h);
    int r = rocks_reserve_floor(&h->reserve, REOPEN_BYTES);
    return r < 0 ? r : descriptors_left(REOPEN_DESCRIPTORS);
}

/* Everything that was acknowledged is there, and nothing else. */
static int reopen(struct rocks_kv *h)
{
    int r = rocks_log_cut(h->path, h->sequence);
    if (r == 0)
        r = open_db(h);
    if (r == 0 && rocksdb_get_latest_sequence_number(h->db) != h->sequence)
        r = -ERR_CORRUPT;
    return r;
}

/* Reading takes no space and no descriptors but those that closing has given back. */
static void reopen_for_reading(struct rocks_kv *h)
{
    char *error = NULL;
    close_db(h);
    h->db = rocksdb_open_for_read_only_column_families(
        h->options_of[ROCKS_BASE], h->path, (int)h->family_count, family_names,
        (const rocksdb_options_t *const *)h->options_of, h->families, 0, &error);
    (void)rocks_error(error);
}

static bool out_of_means(int r)
{
    return r == -ENOSPC || r == -EDQUOT || r == -EMFILE || r == -ENFILE;
}

static int rocks_recover(struct kv *kv)
{
    struct rocks_kv *h = rocks_of(kv);
    int r = rocks_recoverable(kv);
    if (r < 0 || !rocks_is_broken(h))
        return r;
    RESERVE_SCOPE;
    close_db(h);
    r = reopen(h);
    if (r < 0) {
        r = out_of_means(r) ? r : -EIO;
        reopen_for_reading(h);
    }
    __atomic_store_n(&h->broken, r, __ATOMIC_RELAXED);
    return r;
}

static int rocks_broken(struct kv *kv)
{
    return rocks_is_broken(rocks_of(kv));
}

static const struct kv_ops rocks_ops = {
    .close = rocks_close,
    .get = rocks_get,
    .snapshot_new = rocks_snapshot_new,
    .snapshot_free = rocks_snapshot_free,
    .write = rocks_write,
    .flush = rocks_flush,
    .room = rocks_room,
    .compact = rocks_compact,
    .erase = rocks_erase,
    .broken = rocks_broken,
    .recoverable = rocks_recoverable,
    .recover = rocks_recover,
    .walk_new = rocks_walk_new,
    .stats = rocks_stats,
};

static struct rocks_kv *rocks_new(struct kv_rocks_shared *shared, bool with_log)
{
    struct rocks_kv *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->kv.ops = &rocks_ops;
    h->shared = shared;
    h->with_log = with_log;
    h->log_bytes_max = LOGS_SHARE * shared->write_buffer_bytes;
    h->family_count = with_log ? ROCKS_FAMILIES : 1;
    h->options_of[ROCKS_BASE] = rocks_options_new(shared, with_log);
    h->options_of[ROCKS_BULK] = rocks_options_new_bulk(shared);
    h->plain = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(h->plain, !with_log);
    h->synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(h->synced, 1);
    h->latest = rocks_read_options_new(NULL);
    return h;
}

/* Its name is on the disk before anything beside it, which says that there is a store. */
static int make_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char parent[PATH_MAX];
    if (mkdir(path, 0700) < 0)
        return errno == EEXIST ? 0 : -errno;
    snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) + 1 : 0, path);
    return wal_sync_dir(parent);
}

/*
 * Opening over a full disk may need space itself (a new log and manifest, the old log's records as
 * a table), so the reserve is looked at first. A store that can be rebuilt keeps none.
 */
static int rocks_open(struct rocks_kv *h, const char *path)
{
    h->path = strdup(path);
    if (!h->path)
        return -ENOMEM;
    int r = make_folder(path);
    if (r == 0 && h->with_log)
        r = rocks_reserve_init(&h->reserve, path);
    if (r < 0)
        return r;
    if (h->with_log)
        rocks_reserve_start(&h->reserve, REOPEN_BYTES + rocks_log_bytes(path));
    return open_db(h);
}

int kv_rocks_open(struct kv **ret, struct kv_rocks_shared *shared, const char *path, bool with_log)
{
    RESERVE_SCOPE;
    struct rocks_kv *h = rocks_new(shared, with_log);
    if (!h)
        return -ENOMEM;
    int r = rocks_open(h, path);
    if (r < 0) {
        rocks_free(h);
        return r;
    }
    *ret = &h->kv;
    return 0;
}

int kv_rocks_why(const char *path, char ret[KV_ROCKS_WHY])
{
    static_assert(KV_ROCKS_WHY >= ROCKS_WHY, "it fits");
    bool torn;
    *ret = 0;
    int r = rocks_log_check(path, &torn, ret);
    return r == 0 ? rocks_manifest_check(path, ret) : r;
}

int kv_rocks_destroy(const char *path)
{
    RESERVE_SCOPE;
    rocksdb_options_t *o = rocksdb_options_create();
    char *error = NULL;
    char logs[PATH_MAX];
    snprintf(logs, sizeof(logs), "%s/", path);
    wal_drop_spares(path);
    int r = wal_forget(logs);
    rocksdb_destroy_db(o, path, &error);
    rocksdb_options_destroy(o);
    if (error)
        r = rocks_error(error);
    return r < 0 ? r : rocks_reserve_remove(path);
}
