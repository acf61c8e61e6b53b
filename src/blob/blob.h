/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Bytes to chunks and back. A blob is a run of bytes stored as chunks of up to 64 MiB, each one as
 * shards on disks of their own: a short chunk as copies, a longer one striped with a Reed-Solomon
 * code (ec/stripe.h). Its layout says where. The layout is the caller's to keep (in the object's
 * record); this room keeps nothing of it.
 *
 * Promises
 *  - blob_finish() returns 0 only when a quorum of each chunk's shards is durable: all but one and
 *    never fewer than k + 1 (without parity: all). A shard that is not is BLOB_DISK_NONE in the
 *    layout, for the caller to have repaired.
 *  - A read gives only bytes that match their digests, of one encoding, decoded from any k shards
 *    where the nearest are missing, slow or damaged.
 *  - No two shards of a chunk share a disk.
 *  - Memory of a writer or reader is bounded whatever the blob's size: BLOB_BUFFER_BYTES with one
 *    disk, else at most two stripes, that is 2 * (k + m) * 260 KiB for a writer and 2 * (k + m) *
 * 256 KiB for a reader, plus 512 KiB for each read and one stripe for each write that was given up
 * for slow and has not come back. Of what they let go up to 64 MiB are kept for the next ones
 *    (pool.h). Blocks from 512 KiB on share slabs of 8 MiB, which go when none of theirs is left.
 *  - A disk that hangs does not hold up a write that the others have done: it is given a few
 * seconds and its shard is lost then.
 */

#include "base/arena.h"
#include "ec/ec.h"
#include "node/node.h"

#define BLOB_CHUNK_MAX    (64 * MIB)
#define BLOB_BUFFER_BYTES (1 * MIB)
#define BLOB_SHARDS_MAX   EC_SHARDS_MAX
#define BLOB_COPIES       3                /* of a short chunk, or as many as there are disks */
#define BLOB_DISK_NONE    UINT32_MAX       /* in a layout: this shard is nowhere */
#define BLOB_DISK_ALL     (UINT32_MAX - 1) /* for blob_delete only */

struct blob;

/*
 * What code a chunk is to have, now and whenever it is repaired or encoded anew: STANDARD goes by
 * the number of disks, REDUCED has one parity less than that (but one where there are two disks),
 * or k + m of its own, k << 8 | m, which falls back to STANDARD's where there are fewer disks. A
 * format: stored with each chunk.
 */
struct blob_class {
    uint16_t n;
};
#define BLOB_STANDARD  ((struct blob_class){0})
#define BLOB_REDUCED   ((struct blob_class){1})
#define BLOB_CLASS_OWN 256
static inline struct blob_class blob_class_own(uint8_t k, uint8_t m)
{
    return (struct blob_class){(uint16_t)(k << 8 | m)};
}
/* k, m and their sum within their limits; m may be 0 for one copy only. */
bool blob_class_is_valid(struct blob_class class);

struct blob_shard {
    uint32_t disk; /* its number, or BLOB_DISK_NONE */
    struct needle_hint where;
    struct hash128 digest;
};

struct blob_chunk {
    struct chunk_id id;
    uint64_t len_bytes;
    uint64_t encode_id;
    uint8_t code_k, code_m; /* 1, m: copies */
    uint16_t shard_count;   /* k + m */
    struct blob_shard *shards;
    struct blob_class class;
};

struct blob_layout {
    struct blob_chunk *chunks;
    size_t count;
    uint64_t len_bytes; /* the chunks' sum */
};

struct blob_config {
    struct nodes *nodes; /* borrowed; outlive the blob */
    uint64_t session;    /* of this start, never used before: chunk ids carry it */
};
int blob_open(struct blob **ret, const struct blob_config *config);
/* Waits for the reads that were given up for slow. Accepts NULL. */
void FIBER blob_close(struct blob *b);

/* ---- codes ---------------------------------------------------------------------------------- */

struct blob_code {
    uint8_t k, m;
};
/* What a chunk of `len` bytes is given where there are so many disks. */
struct blob_code blob_code_for(struct blob_class class, unsigned disks, uint64_t len);
/* Shards that must be durable before a write is acknowledged. */
unsigned blob_quorum(struct blob_code code);
/* Disks that take new shards: all that are to, and those of them that can at present. */
void blob_disks(const struct blob *b, unsigned *ret_active, unsigned *ret_usable);

/*
 * From now on new chunks go where this ring says, and moves bring old ones there; nodes refuse what
 * was placed by an older epoch. The ring is copied. -ERR_STALE_EPOCH: it is older than the one
 * before, -ENOMEM. Without a ring disks are drawn by weight.
 */
struct ring;
int FIBER blob_set_ring(struct blob *b, const struct ring *ring);
/* Its number; 0: none was set. */
uint64_t blob_epoch(const struct blob *b);

/* ---- writing -------------------------------------------------------------------------------- */

struct blob_writer;
/* `len_bytes` is the whole length, known beforehand. -ENOSPC early when it cannot fit;
 * -ERR_DISK_GONE when no disk takes writes. */
int FIBER blob_begin(struct blob *b, struct blob_class class, uint64_t len_bytes,
                     struct blob_writer **ret);
/* The bytes are taken before it returns. */
int FIBER blob_write(struct blob_writer *w, const void *data, size_t len);
/* The layout lives in `a`. Frees the writer, also on failure (what was written is then garbage). */
int FIBER blob_finish(struct blob_writer *w, struct arena *a, struct blob_layout *ret);
/* Accepts NULL. */
void FIBER blob_abort(struct blob_writer *w);

/* ---- reading -------------------------------------------------------------------------------- */

/* Told of each shard that was found missing (-ERR_NOT_FOUND), wrong (-ERR_CORRUPT) or unreadable
 * (-EIO) on a disk that is there. On the reader's fiber; must not suspend. */
struct blob_damage {
    void (*fn)(void *arg, const struct blob_chunk *chunk, unsigned shard, int why);
    void *arg;
};
/*
 * Hands `len` verified bytes from `off` to `sink`, in order, in pieces of at most
 * BLOB_BUFFER_BYTES; a piece is borrowed until `sink` returns. Stops at the sink's first error.
 * `damage` may be NULL.
 */
int FIBER blob_read(struct blob *b, const struct blob_layout *layout, uint64_t off, uint64_t len,
                    int (*sink)(const void *data, size_t len, void *arg), void *arg,
                    const struct blob_damage *damage);

/* ---- garbage -------------------------------------------------------------------------------- */

struct blob_needle {
    struct needle_key key;
    uint32_t disk; /* or BLOB_DISK_ALL */
};
/* Durably forgets the needles. Absent ones are no error, nor are those on disks that are gone: a
 * disk that comes back is swept. */
int FIBER blob_delete(struct blob *b, const struct blob_needle *needles, size_t count);
/* All shards of all chunks. */
int FIBER blob_delete_layout(struct blob *b, const struct blob_layout *layout);

/* ---- upkeep --------------------------------------------------------------------------------- */

/*
 * Holds each shard of the chunk against the needle index and the needle's own header; `deep` reads
 * every byte as well. The first error of any shard: -ERR_NOT_FOUND: it is missing; -ERR_CORRUPT: it
 * is not the one named; -ERR_DISK_GONE. `ret_errors` (may be NULL) gets that of each.
 */
int FIBER blob_verify(struct blob *b, const struct blob_chunk *chunk, bool deep,
                      int ret_errors[BLOB_SHARDS_MAX]);
/* Every live needle of every disk that is there, disk after disk; stops at the first non-zero. `fn`
 * may suspend. */
int FIBER blob_each(struct blob *b,
                    int (*fn)(unsigned disk, const struct needle_entry *e, void *arg), void *arg);

/*
 * Makes the chunk whole: shards that are nowhere, missing, wrong (with `deep` every byte is read to
 * find out), or on a disk that is draining, retired or away are rebuilt from the others onto disks
 * that have none of its shards, or on their own; each is read back before it counts. A
 * chunk whose code is narrower than what the disks now allow is encoded anew, under a new id, and
 * so is one that lost shards for good and has more than there are disks. Nothing is deleted: that
 * is for whoever changes the record, also of what was written when the record is not changed after
 * all. The error is of a chunk that cannot be read.
 */
struct blob_repaired {
    struct blob_chunk chunk; /* as it is to be recorded; its shards live in the arena */
    bool changed;            /* else it is as it was */
    unsigned left;           /* shards that still want repair: no disk could take them */
    uint64_t written_bytes;
};
int FIBER blob_repair(struct blob *b, const struct blob_chunk *chunk, bool deep, struct arena *a,
                      struct blob_repaired *ret);
/* Whether the layout itself asks for repair: a shard that is nowhere, on a retired disk, or on one
 * that is away where another could take it, or a code narrower than what all active disks allow. */
bool blob_wants_repair(const struct blob *b, const struct blob_chunk *chunk);
/* Shards that are somewhere beyond those needed to read: 0, the next loss is one of data. */
unsigned blob_spare_shards(const struct blob_chunk *chunk);
/* Shards on disks that are there and stay in the store. */
unsigned blob_shards_there(const struct blob *b, const struct blob_chunk *chunk);

/*
 * Moves shards to where the newest placement wants them: copied, and read back from the new place.
 * `left` counts shards that should move and could not: they cannot be read, or their new disk takes
 * none. A chunk that has more shards than there are disks, one of them on a draining disk, is
 * encoded anew. As blob_repair, nothing of the old is deleted.
 */
int FIBER blob_move(struct blob *b, const struct blob_chunk *chunk, struct arena *a,
                    struct blob_repaired *ret);
/* Whether blob_move would find something to move. */
bool blob_misplaced(const struct blob *b, const struct blob_chunk *chunk);
bool blob_uses_disk(const struct blob_chunk *chunk, uint32_t disk);

struct blob_stats {
    uint64_t degraded_reads; /* stripes or copies that needed another way than the first */
    uint64_t hedged_reads;   /* reads begun because another was slow */
    uint64_t damaged_shards; /* seen by reads */
    uint64_t lost_writes;    /* shards that could not be written */
    uint64_t reencoded;      /* chunks that lost too many while they were written */
    uint64_t lingering;      /* slow reads and writes nobody waits for, at present */
    uint64_t pooled_bytes;   /* kept for the next reads and writes, at present */
    uint64_t slab_bytes;     /* on huge pages, at present: in use, kept, or between the two */
};
void blob_stats(const struct blob *b, struct blob_stats *ret);
