/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The store and what its files share.
 *
 * Locks, each for a few hundred instructions and none taken inside another: the buckets' lock, a
 * cache shard's, a pin shard's. Commit hooks take them; nothing suspends under them.
 * Making and deleting buckets is serial (buckets.admin), so that the count of an owner's buckets
 * and the two transactions of each stay together.
 */

#include "store/buckets.h"
#include "store/cache.h"
#include "store/outbox.h"
#include "store/pins.h"
#include "store/rows/rows.h"

/* What garbage collection is in the midst of; touched only by the one caller of store_gc. */
struct gc_batch {
    struct arena arena;
    struct bucket_id bucket;
    struct gc_item *items; /* NULL: no batch */
    size_t count;
    unsigned phase; /* must drain before anything is deleted */
    bool claimed;   /* its moved shards are being deleted; under the moves' lock */
};

#define STORE_MOVES_MAX 64 /* chunks whose shards move at once */

struct id_set;

struct store {
    struct meta *meta;
    struct blob *blob;
    const struct store_class *classes;
    unsigned class_count;
    size_t inline_max_bytes, beside_max_bytes;
    unsigned gc_delay_ms;
    uint64_t last_seq; /* the hybrid clock: atomic */
    struct cache cache;
    struct pins pins;
    struct buckets buckets;
    struct gc_batch batch;
    uint32_t gc_busy;                         /* atomic */
    uint64_t gc_chunks, gc_bytes, gc_refused; /* atomic */
    struct rt_lock moves_lock;                /* guards: */
    struct chunk_id moves[STORE_MOVES_MAX];
    uint32_t moving, sweeping; /* atomic: shards on the move keep the sweep out */
    uint64_t repairs_queued;   /* atomic: rows put since the start */
    uint32_t restores_begun;   /* atomic: whose row may be there before the record says so */
    struct rt_lock noted_lock; /* guards: */
    struct id_set *noted;      /* what sweep_note() was told; NULL: no sweep runs */
    int noted_error;           /* it could not be kept */
};

/*
 * The next version sequence after `previous` (0: none): wall-clock milliseconds in the upper 44
 * bits, so that versions sort by time, but always more than any given before in this process.
 */
uint64_t store_next_seq(struct store *s, uint64_t previous);
/* When chunks let go now may be deleted. */
uint64_t store_gc_due_ms(const struct store *s);

/* 0, -ERR_KEY_TOO_LONG, or -EINVAL for an empty one. */
int store_key_test(struct str key);

/* conditions.c: tests `c` (may be NULL) against the object (NULL: there is none). */
int conditions_test_read(const struct store_conditions *c, const struct store_object *o);
int conditions_test_write(const struct store_conditions *c, const struct store_object *o);
/* "<hex>" or "<hex>-N", without quotes; `ret` holds ETAG_TEXT_MAX bytes. */
#define ETAG_TEXT_MAX 48
struct str etag_text(const struct store_etag *etag, char *ret);

/*
 * versions.c: the row of one version, the current object's or another. -ERR_NO_SUCH_KEY when none
 * is named and the key has nothing at all, -ERR_NO_SUCH_VERSION otherwise. A delete marker is
 * found, too: for STORE_CURRENT when it is the newest. The value lives as long as the transaction.
 */
struct version_row {
    struct key_buf key;
    struct str value;
    struct head head;
    bool current; /* it is the O row */
};
int version_find(struct meta_tx *tx, struct str key, struct store_version_ref version,
                 struct version_row *ret);
/* Whether the object is the version that is named. */
bool version_is(const struct store_object *o, struct store_version_ref version);
/* May it go? -ERR_OBJECT_LOCKED; `bypass`: of governance. */
int lock_test(const struct store_lock *lock, bool bypass);

/*
 * swap.c: what a write does to a key's rows, inside a transaction. swap_begin tests that the bucket
 * lives, reads the current object's row and tests the conditions; then one of the others makes the
 * change, lets go what goes, and counts. Whoever uses it has swap_committed run at the commit (or
 * does for many keys what it does for one).
 */
struct swap {
    struct store *store;
    struct bucket_id bucket;
    struct str key;
    const struct store_conditions *conditions; /* may be NULL */
    bool of_version; /* the change is about one version: conditions are not about the current one */
    bool bypass;     /* governance holds nothing */
    bool moves;      /* what the current object holds is another key's now: nothing is let go */
    bool of_many;    /* one of several keys of its transaction, for which the notice was begun */
    /* set by swap_begin */
    enum store_versioning versioning;
    bool existed;
    struct head old;      /* when it existed */
    struct str old_value; /* lives as long as the transaction */
    uint64_t newest_seq;  /* of the current object or the marker in its place; 0: none */
    bool soils;           /* chunks were let go */
    /* internal */
    struct tops_row tops, tops_before;
    int64_t deltas[COUNTERS];
};
int swap_begin(struct meta_tx *tx, struct swap *w);
/* Whether what is written now is a null version. */
static inline bool swap_is_null(const struct swap *w)
{
    return w->versioning != STORE_VERSIONING_ENABLED;
}
/* `row` is the new current object's, of `o`. */
int swap_put(struct meta_tx *tx, struct swap *w, struct str row, const struct store_object *o);
/* A deletion (store.h) of no version in particular, or of one. */
int swap_delete(struct meta_tx *tx, struct swap *w, struct store_deletion *d);
/* A garbage row, due after the usual delay; `key` and `seq` name the row that held the chunks. */
int swap_let_go(struct meta_tx *tx, struct swap *w, struct str key, uint64_t seq,
                const struct blob_layout *layout);
/* Into the outbox, if the conditions bring a notice; `o` is what is there now, NULL: nothing. */
int swap_tell(struct meta_tx *tx, const struct swap *w, enum store_happening what,
              const struct store_object *o);
/* Commit hook; `arg` is the swap. */
void swap_committed(void *arg);

/*
 * put.c: many deletions, or changes of attributes, in one transaction, with what else is to be done
 * in it. Both hooks run inside it, perhaps more than once.
 */
struct tx_hooks {
    int (*before)(struct meta_tx *tx, void *arg); /* 1: there is nothing to be done */
    int (*after)(struct meta_tx *tx, void *arg);
    void *arg;
};
int FIBER delete_many_with(struct store *s, struct bucket_id b, struct store_deletion *list,
                           size_t count, struct store_notice *notice, const struct tx_hooks *hooks);
/* One of many changes: a failure that concerns it alone is its `result`. */
struct change_item {
    struct str key;
    struct store_version_ref version;
    int result;
    uint64_t seq;
    bool null_version;
};
int FIBER change_many_with(struct store *s, struct bucket_id b, struct change_item *list,
                           size_t count, store_attrs_fn *fn, void *arg, struct store_notice *notice,
                           const struct tx_hooks *hooks);

/*
 * writer.c: bytes on their way, of an object or of a part. What is short and no part goes into
 * memory, to be kept in the record or in a row beside it; the rest goes to the blob as it comes.
 */
struct store_writer {
    struct store *store;
    struct bucket_id bucket;
    struct str key, upload; /* upload: of a part, else empty */
    uint32_t number;
    uint64_t len_bytes, written;
    /* Of an open end: beyond `len_bytes`, which are sure, up to this many wait in `data`. */
    uint64_t open_bytes;
    char *data; /* inline or open: in this block */
    /* Of a sealed object or part (sealed.c): */
    uint64_t least_bytes; /* with an open end: must come, though `len_bytes` is less */
    struct frame_sealer sealer;
    struct frame_id run;
    struct str sealed;        /* those of `data`, once they are sealed; memory of its own */
    struct blob_writer *blob; /* else; NULL once finished */
    struct blob_class class;
    bool chunked, beside;
    int error; /* of a failed write: the commit answers with it */
    struct arena arena;
    struct blob_layout layout; /* in the arena, after store_writer_finish */
    /* A transaction that names the chunks has run to its end, and was not refused. Where it is not
     * known what became of it until the next start (a failed sync), they are not ours to delete. */
    bool named;
};
int FIBER store_writer_begin(struct store_writer **ret, const struct store_writer *like,
                             const uint8_t *data_key);
/* All bytes must have come: makes them durable. */
int FIBER store_writer_finish(struct store_writer *w);
/* Frees it; chunks that no row names are deleted. */
void FIBER store_writer_end(struct store_writer *w);

/* sealed.c: bytes on their way through the cipher. */
int writer_seal_begin(struct store_writer *w, const uint8_t data_key[CRYPT_KEY_LEN]);
/* `in` into the blob; empty: of a run without bytes, its end. */
int FIBER writer_seal_write(struct store_writer *w, struct str in);
/* The first `len` bytes of `data`, which end the run, into `sealed`. */
int writer_seal_data(struct store_writer *w, uint64_t len);
void writer_seal_end(struct store_writer *w);
static inline bool writer_is_sealed(const struct store_writer *w)
{
    return w->sealer.block != NULL;
}
/* What lies in or beside the record. */
static inline struct str writer_data(const struct store_writer *w)
{
    return writer_is_sealed(w) ? w->sealed : str_make(w->data, w->len_bytes);
}
static inline struct str writer_salt(const struct store_writer *w)
{
    return writer_is_sealed(w) ? str_make(w->run.salt, sizeof(w->run.salt)) : STR_NULL;
}
/*
 * sweep.c: a version became current again, the one way in which references move backwards (walk.h):
 * a sweep under way is told of its chunks, which its walk may miss. Inside the transaction.
 */
void sweep_note(struct store *s, const struct blob_layout *layout);

/* list.c: the common prefix that the delimiter cuts `key` down to; ptr NULL: none. */
struct str list_common_prefix(struct str key, struct str prefix, struct str delimiter);
/* list.c: a listed object's seal and list of grants, out of its record. */
int list_add_seal(struct arena *a, struct bucket_id b, struct str value, struct store_object *o);

/* parts.c: every part of an upload, in order of number, decoded into `a`. */
struct part_entry {
    uint32_t number;
    uint64_t attempt;
    bool listed; /* for whoever completes the upload */
    struct part_row row;
};
struct parts {
    struct part_entry *list;
    size_t count;
};
int parts_read(struct meta_tx *tx, struct str upload, struct arena *a, struct parts *ret);
/* What they hold, all together. */
int64_t parts_bytes(const struct parts *parts);
int parts_delete_rows(struct meta_tx *tx, struct str upload, const struct parts *parts);
/* One layout of the chunks of all parts whose `listed` is as given, in order. */
int parts_layout(const struct parts *parts, bool listed, struct arena *a, struct blob_layout *ret);
/* The upload's row, or -ERR_NO_SUCH_UPLOAD. */
int upload_row_read(struct meta_tx *tx, struct str key, struct str upload, struct arena *a,
                    struct upload_row *ret);
/* Deletes the upload's row and counts it. */
int upload_row_delete(struct meta_tx *tx, struct str key, struct str upload);

/* repair.c: a row for each chunk of the layout that wants repair, inside the transaction that
 * records it. */
int repairs_put(struct meta_tx *tx, struct store *s, const struct repair_row *place,
                const struct blob_layout *layout);

/* repair.c: the object's chunks are another key's now, `to`: so are the rows of those that want
 * repair. */
int repairs_rename(struct meta_tx *tx, struct store *s, const struct repair_row *to,
                   const struct blob_layout *layout);

/* repair.c: the chunk as its record has it, in the transaction's arena. -ERR_NOT_FOUND: nothing has
 * it. */
int place_chunk(struct meta_tx *tx, const struct store_place *p, struct chunk_id id,
                struct blob_chunk *ret);

/*
 * repair.c: the chunk's shards are about to be written elsewhere. -ERR_BUSY while a sweep runs, to
 * which one on its way would look like an orphan; -ERR_CONFLICT while somebody else moves them: two
 * would write the same needle, and the one that comes too late would delete it.
 */
int store_moving_begin(struct store *s, struct chunk_id id);
/* Under the moves' lock: somebody moves it; gc.c: its old shards are being deleted. */
bool store_moves(struct store *s, struct chunk_id id);
bool gc_has_moved(const struct gc_batch *b, struct chunk_id id);
void store_moving_end(struct store *s, struct chunk_id id);

/* checksum.c: an object's checksum from its parts'. */
int checksum_assemble(enum store_checksum_kind kind, bool composite, const struct parts *parts,
                      struct store_checksum *ret);

/* outbox.c: a row, copied into `a`. -ERR_CORRUPT. */
int outbox_row_decode(struct str key, struct str value, struct arena *a, struct outbox_row *ret);

/* quota.c: -ERR_QUOTA_EXCEEDED when these changes of the counters pass the quota (may be NULL).
 * Parts count as what they may become. */
int quota_test(struct meta_tx *tx, const struct store_quota *q, const int64_t deltas[COUNTERS]);

/* settings.c: references to a set in memory; all take NULL. */
struct store_settings *settings_ref(struct store_settings *set);
void settings_unref(struct store_settings *set);
size_t settings_size(const struct store_settings *set);
/* Those of a bucket in the making, in the transaction that puts its row. */
int settings_begin(struct meta_tx *tx, const struct store_bucket_setting *settings, size_t count,
                   uint64_t now_ms);

/* uploads.c: removes an upload with all its parts, letting their chunks go. */
#define UPLOAD_ARENA_MAX (512 * MIB) /* all parts of one upload, decoded */
int upload_remove(struct meta_tx *tx, struct swap *w, struct str upload, struct arena *a);
