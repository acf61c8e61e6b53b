/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * kv/rocks: RocksDB behind kv.h.
 *
 * Batches are our own (batch.c), not RocksDB's indexed ones: those rebuild their index on every
 * rollback, and here each key is logged once however often the batch changed it.
 */

#include <sys/stat.h>
#include "kv/rocks_internal.h"
#include "rt/rt.h"

#define SQUEEZE_EVERY_NS (2 * RT_S)

/* Read options for a read that may go to the disk and one that may not. */
struct read_options {
    rocksdb_readoptions_t *any, *cached;
};

struct rocks_kv {
    struct kv kv;
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_writeoptions_t *plain, *synced;
    struct read_options latest;
    struct rocks_reserve reserve;
    uint64_t squeezed_ns; /* atomic: see squeeze() */
    bool with_log;
    bool log_failed; /* atomic: see rocks_write() */
};

struct kv_snapshot {
    const rocksdb_snapshot_t *snapshot;
    struct read_options read;
};

struct rocks_walk {
    struct kv_walk walk;
    rocksdb_readoptions_t *options;
    rocksdb_iterator_t *it;
    bool valid;
    int error;
};

static struct rocks_kv *rocks_of(struct kv *kv)
{
    return container_of(kv, struct rocks_kv, kv);
}

static struct rocks_walk *walk_of(const struct kv_walk *w)
{
    return container_of((struct kv_walk *)w, struct rocks_walk, walk);
}

/* The one place where RocksDB's errors, which the C API hands out as text, become codes. */
int rocks_error(char *text)
{
    static const struct {
        const char *part;
        int code;
    } known[] = {
        {"Result incomplete", -EAGAIN},
        {"Corruption", -ERR_CORRUPT},
        {"No such file", -ERR_CORRUPT}, /* one that its manifest names */
        {"No space left", -ENOSPC},
        {"Disk quota exceeded", -EDQUOT},
        {"Too many open files", -EMFILE},
        {"While lock file", -ERR_BUSY},
        {"lock hold by current process", -ERR_BUSY},
    };
    if (!text)
        return 0;
    int code = -EIO;
    for (size_t i = 0; i < ARRAY_LEN(known) && code == -EIO; i++)
        if (strstr(text, known[i].part))
            code = known[i].code;
    rocksdb_free(text);
    return code;
}

static rocksdb_readoptions_t *read_options_new(const rocksdb_snapshot_t *snapshot, bool cached)
{
    rocksdb_readoptions_t *o = rocksdb_readoptions_create();
    if (snapshot)
        rocksdb_readoptions_set_snapshot(o, snapshot);
    if (cached)
        rocksdb_readoptions_set_read_tier(o, 1 /* kBlockCacheTier */);
    return o;
}

static void read_options_init(struct read_options *r, const rocksdb_snapshot_t *snapshot)
{
    r->any = read_options_new(snapshot, false);
    r->cached = read_options_new(snapshot, true);
}

static void read_options_release(struct read_options *r)
{
    rocksdb_readoptions_destroy(r->any);
    rocksdb_readoptions_destroy(r->cached);
}

/* ---- reading -------------------------------------------------------------------------------- */

static int rocks_get(struct kv *kv, const struct kv_snapshot *snap, struct str key, unsigned flags,
                     struct buf *ret)
{
    struct rocks_kv *h = rocks_of(kv);
    const struct read_options *read = snap ? &snap->read : &h->latest;
    bool cached = flags & KV_CACHED;
    char *error = NULL;
    rocksdb_pinnableslice_t *p =
        rocksdb_get_pinned(h->db, cached ? read->cached : read->any, key.ptr, key.len, &error);
    if (!p)
        return error ? rocks_error(error) : -ERR_NOT_FOUND;
    struct str value;
    value.ptr = rocksdb_pinnableslice_value(p, &value.len);
    /* "May exist" also looks like this (rocks_options.c, set_opening): better ask the disk. */
    int r = cached && value.len == 0 ? -EAGAIN : 0;
    if (r == 0) {
        buf_put_str(ret, value);
        r = buf_error(ret);
    }
    rocksdb_pinnableslice_destroy(p);
    return r;
}

static int rocks_snapshot_new(struct kv *kv, struct kv_snapshot **ret)
{
    struct kv_snapshot *s = malloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->snapshot = rocksdb_create_snapshot(rocks_of(kv)->db);
    read_options_init(&s->read, s->snapshot);
    *ret = s;
    return 0;
}

static void rocks_snapshot_free(struct kv *kv, struct kv_snapshot *s)
{
    read_options_release(&s->read);
    rocksdb_release_snapshot(rocks_of(kv)->db, s->snapshot);
    free(s);
}

/* ---- walking -------------------------------------------------------------------------------- */

static void walk_moved(struct rocks_walk *w)
{
    w->valid = rocksdb_iter_valid(w->it);
    if (likely(w->valid))
        return;
    char *error = NULL;
    rocksdb_iter_get_error(w->it, &error);
    w->error = rocks_error(error);
}

static void rocks_walk_seek(struct kv_walk *walk, struct str key)
{
    struct rocks_walk *w = walk_of(walk);
    w->error = 0;
    rocksdb_iter_seek(w->it, key.ptr, key.len);
    walk_moved(w);
}

static void rocks_walk_seek_for_prev(struct kv_walk *walk, struct str key)
{
    struct rocks_walk *w = walk_of(walk);
    w->error = 0;
    rocksdb_iter_seek_for_prev(w->it, key.ptr, key.len);
    walk_moved(w);
}

static void rocks_walk_next(struct kv_walk *walk)
{
    struct rocks_walk *w = walk_of(walk);
    CHECK(w->valid);
    rocksdb_iter_next(w->it);
    walk_moved(w);
}

static void rocks_walk_prev(struct kv_walk *walk)
{
    struct rocks_walk *w = walk_of(walk);
    CHECK(w->valid);
    rocksdb_iter_prev(w->it);
    walk_moved(w);
}

static bool rocks_walk_valid(const struct kv_walk *walk)
{
    return walk_of(walk)->valid;
}

static struct str rocks_walk_key(const struct kv_walk *walk)
{
    struct str key;
    key.ptr = rocksdb_iter_key(walk_of(walk)->it, &key.len);
    return key;
}

static struct str rocks_walk_value(const struct kv_walk *walk)
{
    struct str value;
    value.ptr = rocksdb_iter_value(walk_of(walk)->it, &value.len);
    return value;
}

static int rocks_walk_error(const struct kv_walk *walk)
{
    return walk_of(walk)->error;
}

static void rocks_walk_free(struct kv_walk *walk)
{
    struct rocks_walk *w = walk_of(walk);
    rocksdb_iter_destroy(w->it);
    rocksdb_readoptions_destroy(w->options);
    free(w);
}

static const struct kv_walk_ops rocks_walk_ops = {
    .free = rocks_walk_free,
    .seek = rocks_walk_seek,
    .seek_for_prev = rocks_walk_seek_for_prev,
    .next = rocks_walk_next,
    .prev = rocks_walk_prev,
    .valid = rocks_walk_valid,
    .key = rocks_walk_key,
    .value = rocks_walk_value,
    .error = rocks_walk_error,
};

static int rocks_walk_new(struct kv *kv, const struct kv_snapshot *snap,
                          const struct kv_range *range, unsigned flags, struct kv_walk **ret)
{
    struct rocks_walk *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->walk.ops = &rocks_walk_ops;
    w->options = read_options_new(snap ? snap->snapshot : NULL, flags & KV_CACHED);
    if (range->prefix.len > 0)
        rocksdb_readoptions_set_iterate_lower_bound(w->options, range->prefix.ptr,
                                                    range->prefix.len);
    if (range->end.len > 0)
        rocksdb_readoptions_set_iterate_upper_bound(w->options, range->end.ptr, range->end.len);
    w->it = rocksdb_create_iterator(rocks_of(kv)->db, w->options);
    *ret = &w->walk;
    return 0;
}

/* ---- writing -------------------------------------------------------------------------------- */

static rocksdb_writebatch_t *last_changes(const struct vmap *changes)
{
    rocksdb_writebatch_t *w = rocksdb_writebatch_create();
    for (const struct vmap_node *n = changes->head[0]; n; n = vmap_next(n)) {
        struct str key = vmap_key(n), value = vmap_value(n->newest);
        if (n->newest->deleted)
            rocksdb_writebatch_delete(w, key.ptr, key.len);
        else
            rocksdb_writebatch_put(w, key.ptr, key.len, value.ptr, value.len);
    }
    return w;
}

/*
 * RocksDB's log must never meet the end of the disk: once a write to it has failed, the next one is
 * an assertion in Debian's library. So the space is looked at before each write. Should the log
 * fail all the same (somebody took the space in between), nothing is written to it any more before
 * the store is opened anew.
 */
static int rocks_write(struct kv *kv, struct kv_batch *b, bool sync)
{
    struct rocks_kv *h = rocks_of(kv);
    if (__atomic_load_n(&h->log_failed, __ATOMIC_RELAXED))
        return -ENOSPC;
    int r = rocks_reserve_floor(&h->reserve, kv_batch_bytes(b));
    if (r < 0)
        return r;
    rocksdb_writebatch_t *w = last_changes(&b->changes);
    char *error = NULL;
    rocksdb_write(h->db, sync && h->with_log ? h->synced : h->plain, w, &error);
    rocksdb_writebatch_destroy(w);
    r = rocks_error(error);
    if (r < 0 && h->with_log)
        __atomic_store_n(&h->log_failed, true, __ATOMIC_RELAXED);
    return r;
}

/* Empties the write buffers into tables. */
static int flush_tables(struct rocks_kv *h, bool wait)
{
    if (__atomic_load_n(&h->log_failed, __ATOMIC_RELAXED))
        return -EIO;
    char *error = NULL;
    rocksdb_flushoptions_t *o = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(o, wait);
    rocksdb_flush(h->db, o, &error);
    rocksdb_flushoptions_destroy(o);
    return rocks_error(error);
}

static int rocks_flush(struct kv *kv)
{
    struct rocks_kv *h = rocks_of(kv);
    if (!h->with_log)
        return flush_tables(h, true);
    char *error = NULL;
    rocksdb_flush_wal(h->db, 1, &error);
    return rocks_error(error);
}

/*
 * Deleting gives space back only once the deletions have met what they delete, in the last level:
 * starts them on their way there, from time to time while the disk is nearly full.
 */
static void squeeze(struct rocks_kv *h)
{
    uint64_t now = rt_now(), last = __atomic_load_n(&h->squeezed_ns, __ATOMIC_RELAXED);
    if (now - last < SQUEEZE_EVERY_NS ||
        !__atomic_compare_exchange_n(&h->squeezed_ns, &last, now, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED))
        return;
    char *error = NULL;
    (void)flush_tables(h, false);
    rocksdb_suggest_compact_range(h->db, NULL, 0, NULL, 0, &error);
    (void)rocks_error(error);
}

static int rocks_room(struct kv *kv)
{
    struct rocks_kv *h = rocks_of(kv);
    int r = rocks_reserve_check(&h->reserve);
    if (r < 0)
        squeeze(h);
    return r;
}

static uint64_t property(struct rocks_kv *h, const char *name)
{
    uint64_t v = 0;
    return rocksdb_property_int(h->db, name, &v) == 0 ? v : 0;
}

static int rocks_stats(struct kv *kv, struct kv_stats *ret)
{
    struct rocks_kv *h = rocks_of(kv);
    *ret = (struct kv_stats){
        .keys_estimate = property(h, "rocksdb.estimate-num-keys"),
        .disk_bytes = property(h, "rocksdb.total-sst-files-size"),
        .memory_bytes = property(h, "rocksdb.size-all-mem-tables") +
                        property(h, "rocksdb.estimate-table-readers-mem"),
    };
    return 0;
}

/* ---- opening and closing -------------------------------------------------------------------- */

static void rocks_free(struct rocks_kv *h)
{
    if (h->db)
        rocksdb_close(h->db);
    rocksdb_options_destroy(h->options);
    rocksdb_writeoptions_destroy(h->plain);
    rocksdb_writeoptions_destroy(h->synced);
    read_options_release(&h->latest);
    rocks_reserve_release(&h->reserve);
    free(h);
}

/* The flush is for the next start, which then has no log to replay; failing, it will replay. */
static void rocks_close(struct kv *kv)
{
    struct rocks_kv *h = rocks_of(kv);
    (void)flush_tables(h, true);
    rocksdb_cancel_all_background_work(h->db, 1);
    rocks_free(h);
}

static const struct kv_ops rocks_ops = {
    .close = rocks_close,
    .get = rocks_get,
    .snapshot_new = rocks_snapshot_new,
    .snapshot_free = rocks_snapshot_free,
    .write = rocks_write,
    .flush = rocks_flush,
    .room = rocks_room,
    .walk_new = rocks_walk_new,
    .stats = rocks_stats,
};

static struct rocks_kv *rocks_new(const struct kv_rocks_shared *shared, bool with_log)
{
    struct rocks_kv *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->kv.ops = &rocks_ops;
    h->with_log = with_log;
    h->options = rocks_options_new(shared, with_log);
    h->plain = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(h->plain, !with_log);
    h->synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(h->synced, 1);
    read_options_init(&h->latest, NULL);
    return h;
}

/*
 * Opening over a full disk may need space itself (a new log and manifest, the old log's records as
 * a table), so the reserve is looked at first. A store that can be rebuilt keeps none.
 */
static int rocks_open(struct rocks_kv *h, const char *path)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    int r = h->with_log ? rocks_reserve_init(&h->reserve, path) : 0;
    if (r < 0)
        return r;
    (void)rocks_reserve_check(&h->reserve);
    bool torn = false;
    r = h->with_log ? rocks_log_check(path, &torn) : 0;
    if (r < 0)
        return r;
    if (torn)
        rocksdb_options_set_wal_recovery_mode(h->options, rocksdb_point_in_time_recovery);
    char *error = NULL;
    h->db = rocksdb_open(h->options, path, &error);
    return rocks_error(error);
}

int kv_rocks_open(struct kv **ret, struct kv_rocks_shared *shared, const char *path, bool with_log)
{
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

int kv_rocks_destroy(const char *path)
{
    rocksdb_options_t *o = rocksdb_options_create();
    char *error = NULL;
    rocksdb_destroy_db(o, path, &error);
    rocksdb_options_destroy(o);
    int r = rocks_error(error);
    return r < 0 ? r : rocks_reserve_remove(path);
}
