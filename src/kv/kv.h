/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * An ordered store of byte keys and values in this process: RocksDB (kv_rocks_open) or memory
 * (kv_mem_open, the simulator's, whose crash keeps exactly what was synced).
 *
 * Calls may block on the disk: they are BLOCKING unless said otherwise, and meant for an offload
 * thread. With KV_CACHED a read never touches the disk: it answers -EAGAIN where it would have to.
 * Thread-safe, but one batch, iterator or snapshot belongs to one thread at a time.
 *
 * Durability: kv_write(sync) returns after the log holds the batch on disk. One such write is under
 * way at a time (its caller sees to that): after a power cut the log can then be torn in one batch
 * only, and damage anywhere else is told from it and refused with -ERR_CORRUPT. A store opened
 * without a log (needle index) keeps, after a crash, a prefix of its batches that reaches at least
 * to the last kv_flush().
 */

#include "base/buf.h"
#include "base/error.h"

struct kv;
struct kv_batch;
struct kv_snapshot;
struct kv_iter;

struct kv_stats {
    uint64_t keys_estimate;
    uint64_t disk_bytes;
    uint64_t memory_bytes; /* write buffers and table readers, without the shared block cache */
};

/* What a kv promises beyond kv_open: shared by all RocksDB stores of the process. */
struct kv_rocks_shared;
struct kv_rocks_config {
    size_t block_cache_bytes;  /* 0: 64 MiB */
    size_t write_buffer_bytes; /* all stores together; 0: 64 MiB */
    bool several_disks;        /* one that hangs holds up no store on another */
};
int kv_rocks_shared_new(struct kv_rocks_shared **ret, const struct kv_rocks_config *config);
void kv_rocks_shared_free(struct kv_rocks_shared *s);

/* `with_log` false: for stores that can be rebuilt (see above). -EIO, -ERR_CORRUPT, -ENOSPC… */
int BLOCKING kv_rocks_open(struct kv **ret, struct kv_rocks_shared *shared, const char *path,
                           bool with_log);
/*
 * After that answered -ERR_CORRUPT: half a sentence about what of its files is gone or damaged, as
 * far as more is known of it ("" else). The same code, or 0.
 */
#define KV_ROCKS_WHY 256
int BLOCKING kv_rocks_why(const char *path, char ret[KV_ROCKS_WHY]);
/* Removes a closed store's files. */
int BLOCKING kv_rocks_destroy(const char *path);

/* Closes whichever kind it is; accepts NULL. Nothing of it may be in use. */
void BLOCKING kv_close(struct kv *kv);

/*
 * Keys that begin with this byte are for bulky values, such as objects' bytes: a store may keep
 * those apart, so that walking and rewriting the others does not touch them. In all else they are
 * keys like any other; none sorts behind them.
 */
#define KV_BULK 0xff
static inline bool kv_is_bulk(struct str key)
{
    return key.len > 0 && (unsigned char)key.ptr[0] == KV_BULK;
}

#define KV_CACHED 1u /* -EAGAIN rather than a disk read */

/* Appends the value to `ret`. -ERR_NOT_FOUND. `snap` may be NULL (latest). */
int BLOCKING kv_get(struct kv *kv, const struct kv_snapshot *snap, struct str key, unsigned flags,
                    struct buf *ret);

int kv_snapshot_new(struct kv *kv, struct kv_snapshot **ret);
void kv_snapshot_free(struct kv *kv, struct kv_snapshot *s);

/*
 * A batch is applied whole or not at all. It is indexed: kv_batch_get and an iterator over it see
 * its own changes above the store's.
 */
int kv_batch_new(struct kv *kv, struct kv_batch **ret);
void kv_batch_free(struct kv_batch *b);
void kv_batch_clear(struct kv_batch *b);
int kv_batch_put(struct kv_batch *b, struct str key, struct str value);
int kv_batch_del(struct kv_batch *b, struct str key);
/* Of the store it may show what it showed before, since the batch was made or cleared: who fills a
 * batch is alone in writing. */
int BLOCKING kv_batch_get(struct kv_batch *b, struct str key, struct buf *ret);
size_t kv_batch_count(const struct kv_batch *b);
size_t kv_batch_bytes(const struct kv_batch *b);
/* Calls `fn` for each changed key in order, with its new value or ptr NULL for a deletion; stops
 * at a negative return and hands it back. */
int kv_batch_each(const struct kv_batch *b, int (*fn)(void *arg, struct str key, struct str value),
                  void *arg);
/* From now on the batch is seen above another store. No iterator over it may be open. */
void kv_batch_rebase(struct kv_batch *b, struct kv *kv);
/* A number that is another one after any change to the batch. */
uint64_t kv_batch_version(const struct kv_batch *b);
/* Marks a point to go back to; savepoints nest, KV_SAVEPOINTS_MAX deep. */
#define KV_SAVEPOINTS_MAX 4
void kv_batch_savepoint(struct kv_batch *b);
/* Undoes all since the last savepoint (which goes), or keeps all and drops the savepoint. */
int kv_batch_rollback(struct kv_batch *b);
void kv_batch_keep(struct kv_batch *b);
/*
 * The batch stays filled; clear it to use it again. It may have been made for another store, and be
 * written to several at once.
 * -ENOSPC, -EDQUOT, -EMFILE, -ENFILE: refused, nothing of it will ever be seen. After any other
 * error of a store with a log the batch is not seen before the store is opened anew, and is then
 * there wholly or not at all.
 */
int BLOCKING kv_write(struct kv *kv, struct kv_batch *b, bool sync);
/*
 * 0 while the disk has room for ordinary writes; -ENOSPC once it has less than the store's reserve
 * left. kv_write does not ask: what is written then (deletions that lead to space) uses the
 * reserve. -ENOMEM while memory is out: then nothing is to be written.
 */
int BLOCKING kv_room(struct kv *kv);
/* Puts all that was written so far on disk (and, for a store without a log, makes it survive). */
int BLOCKING kv_flush(struct kv *kv);

/*
 * A store with a log in which a write failed takes no more; reads go on. kv_broken gives what each
 * write is answered since then, 0 while all is well. -EIO: a sync failed, or it is not known what
 * the log holds; that lasts until the process restarts. Any other: means were lacking, and
 * kv_recover makes the store work again once they are there. Thread-safe.
 */
int kv_broken(struct kv *kv);
/* 0 when kv_recover is worth trying, or what is lacking still (-ENOSPC, -EMFILE…), or -EIO. */
int BLOCKING kv_recoverable(struct kv *kv);
/*
 * Opens the store behind the handle anew, with all that was acknowledged and nothing of what was
 * refused. Meanwhile nothing else may use it: no call, no iterator, no snapshot (batches are no
 * use). 0: it takes writes again. On failure, as kv_recoverable, it still takes none; it goes on
 * reading if it can, else reads answer -ERR_UNAVAILABLE.
 */
int BLOCKING kv_recover(struct kv *kv);

/*
 * Gives back space that deleted bulky values still take, once enough of it has come together: a
 * piece of the work, which reads and writes as much as the piece is large. *ret_freed_bytes is what
 * that gave; 0: there is nothing worth doing now. One caller at a time. A store that frees space as
 * it deletes does nothing.
 */
int BLOCKING kv_compact(struct kv *kv, uint64_t *ret_freed_bytes);

/*
 * Rewrites the whole store without what was deleted or overwritten before, and drops the logs that
 * are no longer needed: reads and writes as much as there is. What a snapshot or an iterator of
 * another still sees stays. -ENOSPC: what lives has no room beside itself. A store that frees
 * space as it deletes does nothing.
 */
int BLOCKING kv_erase(struct kv *kv);

/*
 * An iterator sees one moment of the store (the snapshot, or the time it was made), and with a
 * batch the batch's changes above it, those made since included. Unpositioned at first; the seeks
 * position it; kv_iter_valid says whether it stands on a key. Keys and values are borrowed until it
 * moves.
 */
int kv_iter_new(struct kv *kv, const struct kv_snapshot *snap, struct kv_batch *batch_or_null,
                unsigned flags, struct kv_iter **ret);
/* The same over the keys that start with `prefix` and no other: it never looks past them, so that
 * what was deleted beside them costs nothing. The prefix is copied. */
int kv_iter_new_prefix(struct kv *kv, const struct kv_snapshot *snap,
                       struct kv_batch *batch_or_null, struct str prefix, unsigned flags,
                       struct kv_iter **ret);
void kv_iter_free(struct kv_iter *it);
void BLOCKING kv_iter_seek(struct kv_iter *it, struct str key);          /* first >= key */
void BLOCKING kv_iter_seek_for_prev(struct kv_iter *it, struct str key); /* last <= key */
void BLOCKING kv_iter_next(struct kv_iter *it);
void BLOCKING kv_iter_prev(struct kv_iter *it);
bool kv_iter_valid(const struct kv_iter *it);
struct str kv_iter_key(const struct kv_iter *it);
struct str kv_iter_value(const struct kv_iter *it);
/* 0, -EAGAIN with KV_CACHED, or the error that ended the walk. Ask when valid turns false. */
int kv_iter_error(const struct kv_iter *it);

int kv_stats(struct kv *kv, struct kv_stats *ret);
