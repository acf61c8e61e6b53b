/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Needle volumes: the bytes of one disk. A disk is a directory of append-only volume files of
 * up to 8 GiB; a needle in a volume holds one shard of one chunk. docs/FORMATS.md gives every byte.
 *
 * Promises
 *  - needle_commit() and disk_append() return 0 only when the needle is on stable storage; one
 * fdatasync serves every needle that waits for it.
 *  - A read returns only bytes whose CRC32C was checked, or -ERR_CORRUPT.
 *  - After a crash every committed needle is found again; an uncommitted one is not.
 *  - The needle index is a function of the volumes: it can be deleted and rebuilt.
 *  - After a sync error the volume takes no more writes (-ERR_READ_ONLY for its waiters); the disk
 *    goes on with a new volume.
 *  - A sector that has been synced is never written again.
 *  - Deleting appends a tombstone; space comes back when a volume is compacted and its last reader
 *    has closed.
 */

#include "base/hash.h"
#include "base/ids.h"
#include "kv/kv.h"
#include "rt/rt.h"

struct disk; /* the volumes and the index of one disk */

#define NEEDLE_HEADROOM 96 /* before the payload of one that is written in place */
#define NEEDLE_TAILROOM 96 /* behind it, if it has DISK_PLACED_MAX bytes or less */

/* Which shard of which chunk. */
struct needle_key {
    struct chunk_id chunk;
    uint16_t shard;
};

/* Where a needle was when it was written: a hint, checked against the needle's own header. */
struct needle_hint {
    uint32_t volume; /* 0: no hint */
    uint64_t offset;
};

/* What the writer says of a needle and the header keeps. */
struct needle_info {
    uint64_t len_bytes;     /* of the payload, up to NEEDLE_LEN_MAX */
    uint64_t encode_id;     /* shards of one encoding share it; never mixed in a decode */
    uint8_t code_k, code_m; /* 1, 0: a single copy */
};
#define NEEDLE_LEN_MAX (64 * MIB)

struct disk_config {
    const char *path;          /* the disk's directory; made if missing */
    struct kv *index;          /* taken over: closed by disk_close, also on failure */
    uint64_t volume_bytes_max; /* 0: 8 GiB, or a 64th of a small disk */
    uint64_t reserve_bytes;    /* free space kept for tombstones and compaction; 0: a volume's, at
                                  most an eighth of the disk */
    unsigned compact_percent;  /* a sealed volume with less live than this is compacted, or one with
                                  more when space is short; 0: 60 */
};

/* Recovers: checks superblocks, replays the tails into the index. Progress is in disk_stats. */
int FIBER disk_open(struct disk **ret, const struct disk_config *config);
/* Accepts NULL. No writer or reader may be open. Leaves the index flushed. */
void FIBER disk_close(struct disk *d);

/* ---- writing -------------------------------------------------------------------------------- */

/* A whole needle at once: the small chunk's way, one write and one shared sync. */
int FIBER disk_append(struct disk *d, struct needle_key key, const struct needle_info *info,
                      const struct iovec *iov, unsigned count, struct needle_hint *ret_hint,
                      struct hash128 *ret_digest);

/*
 * The same for one that is written without a copy by the kernel if it is long: `base` is aligned to
 * RT_DIRECT_ALIGN, the payload lies NEEDLE_HEADROOM behind it, and all DISK_PLACED_ROOM bytes there
 * are the call's. Up to DISK_PLACED_MAX.
 */
#define DISK_PLACED_MAX (1 * MIB)
#define DISK_PLACED_ROOM(len) \
    align_up(NEEDLE_HEADROOM + NEEDLE_TAILROOM + (uint64_t)(len), RT_DIRECT_ALIGN)
int FIBER disk_append_placed(struct disk *d, struct needle_key key, const struct needle_info *info,
                             void *base, struct needle_hint *ret_hint, struct hash128 *ret_digest);

/* A needle written piece by piece. Space is reserved at the start; -ENOSPC. */
struct needle_writer;
int FIBER needle_begin(struct disk *d, struct needle_key key, const struct needle_info *info,
                       struct needle_writer **ret);
/* Appends to the payload; never more than info->len_bytes in all. */
int FIBER needle_write(struct needle_writer *w, const struct iovec *iov, unsigned count);
/*
 * The same for the first piece of a long needle: the NEEDLE_HEADROOM bytes before `data` belong to
 * it and take the header. Then pieces that end where a multiple of RT_DIRECT_ALIGN does, counted
 * with the headroom, and lie so in memory, need not be copied by the kernel.
 */
int FIBER needle_write_first(struct needle_writer *w, void *data, size_t len);
/* Makes what was written so far stable, so that committing has less left to wait for. */
int FIBER needle_flush(struct needle_writer *w);
/* All bytes must be there. Frees the writer, also on failure. */
int FIBER needle_commit(struct needle_writer *w, struct needle_hint *ret_hint,
                        struct hash128 *ret_digest);
/* Gives up: the space is counted dead. Accepts NULL. */
void FIBER needle_abort(struct needle_writer *w);

/* Whether `len` more bytes would fit without touching the reserve: 0 or -ENOSPC. */
int FIBER disk_room(struct disk *d, uint64_t len);

/* Durable tombstones for all of the keys, absent ones included: one sync. */
int FIBER disk_delete(struct disk *d, const struct needle_key *keys, size_t count);

/* ---- reading -------------------------------------------------------------------------------- */

struct needle_reader;
/* -ERR_NOT_FOUND; -ERR_CORRUPT when the header or footer is damaged. Keeps its volume from going.
 */
int FIBER needle_open(struct disk *d, struct needle_key key, const struct needle_hint *hint,
                      struct needle_reader **ret);
const struct needle_info *needle_reader_info(const struct needle_reader *r);
/* The digest in the footer, to be held against the record's. */
struct hash128 needle_reader_digest(const struct needle_reader *r);
/* Exactly `len` verified bytes from `off` (within the payload). */
int FIBER needle_read(struct needle_reader *r, uint64_t off, void *buf, size_t len);
void FIBER needle_reader_close(struct needle_reader *r);
/*
 * A whole small needle (up to DISK_READ_MAX) in one read and without a copy: `buf` (aligned to 8)
 * has room for DISK_READ_ROOM(payload) bytes or more, else -ERR_TOO_LARGE; *ret_payload points
 * into it.
 */
#define DISK_READ_MAX       (1 * MIB)
#define DISK_READ_ROOM(len) ((size_t)(len) + 128 + 4 * (((size_t)(len) + 4095) / 4096))
int FIBER disk_read(struct disk *d, struct needle_key key, const struct needle_hint *hint,
                    void *buf, size_t cap, const void **ret_payload, struct needle_info *ret_info,
                    struct hash128 *ret_digest);

/*
 * The same three of what is in memory and where the hint says; they do not wait for the disk.
 * -EAGAIN: not so, or not right, and the others will tell.
 */
int FIBER needle_open_now(struct disk *d, struct needle_key key, const struct needle_hint *hint,
                          struct needle_reader **ret);
/* Whole cells only, but at the end. */
int needle_read_now(struct needle_reader *r, uint64_t off, void *buf, size_t len);
int FIBER disk_read_now(struct disk *d, struct needle_key key, const struct needle_hint *hint,
                        void *buf, size_t cap, const void **ret_payload,
                        struct needle_info *ret_info, struct hash128 *ret_digest);

/* ---- upkeep --------------------------------------------------------------------------------- */

/* Compacts the volume with the most dead bytes, if any passes the threshold. *ret_freed 0: none. */
int FIBER disk_compact(struct disk *d, uint64_t *ret_freed_bytes);
/*
 * Erasing: compaction of whatever has a dead byte, for who wants what was deleted so far to be gone
 * from the disk. disk_newest() is asked first; then disk_erase() as long as *ret_more says so, each
 * call rewriting at most one volume up to that number, which costs what lives in it. *ret_stuck:
 * volumes that cannot be rewritten because they are damaged; what is dead there stays. *ret_more
 * without any byte freed: one is in use, call again later. -ENOSPC: what lives has no room.
 */
uint32_t disk_newest(struct disk *d);
struct disk_erased {
    uint64_t freed_bytes;
    unsigned stuck;
    bool more;
};
int FIBER disk_erase(struct disk *d, uint32_t upto, struct disk_erased *ret);
/* Makes the index survive a crash as it is now, so that less is replayed at the next start. */
int FIBER disk_checkpoint(struct disk *d);

/* Every live needle by the index, in the order of keys; stops at the first non-zero. `fn` may
 * suspend. */
struct needle_entry {
    struct needle_key key;
    struct needle_hint where;
    uint64_t len_bytes;
};
int FIBER disk_each(struct disk *d, int (*fn)(const struct needle_entry *e, void *arg), void *arg);

/*
 * Reads every byte of every live needle and holds index against volumes. `fn` is told of each fault
 * (err negative, text for people) and now and then of progress (err 0, text NULL).
 */
struct disk_verify_event {
    int err;
    const char *text;
    struct needle_key key; /* of the fault */
    uint64_t done_bytes, total_bytes;
};
int FIBER disk_verify(struct disk *d, int (*fn)(const struct disk_verify_event *e, void *arg),
                      void *arg);

/*
 * A piece of that for a scrub, which goes on where it stopped: reads the living needles whose keys
 * come after `place`, in the order of keys, until `bytes` have been read, and moves the place on.
 * `end` is set behind the last one. Events as above, of progress each MiB. A call that fails leaves
 * the place behind what it finished.
 */
struct disk_scrub_place {
    bool begun; /* `last` counts */
    bool end;
    struct needle_key last; /* this needle and all before it are done */
    uint64_t bytes;         /* read by all calls so far */
};
int FIBER disk_scrub(struct disk *d, struct disk_scrub_place *place, uint64_t bytes,
                     int (*fn)(const struct disk_verify_event *e, void *arg), void *arg);

struct disk_stats {
    uint64_t volumes, volumes_read_only;
    uint64_t volumes_unreadable;      /* no superblock, nor known to the index: left alone */
    uint64_t needles;                 /* live */
    uint64_t live_bytes, dead_bytes;  /* of needles, headers and footers included */
    uint64_t total_bytes, free_bytes; /* of the file system */
    uint64_t appends, syncs, sync_errors, reads, corrupt_reads, index_lookups;
    uint64_t compactions, compacted_bytes;
    uint64_t replayed_bytes; /* at the last open */
};
void FIBER disk_stats(struct disk *d, struct disk_stats *ret);
