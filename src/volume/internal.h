/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What the files of this room share.
 *
 * Who does what: format.c bytes; file.c volume files, extents and their space; commit.c the shared
 * write and sync; writer.c needles written piece by piece; reader.c reads; scan.c walks the needles
 * of a volume; row.c, window.c, index.c the needle index;
 * roll.c what lies in a volume; recover.c opening and closing; compact.c,
 * verify.c upkeep; disk.c the rest of volume.h.
 *
 * Locks: `disk.lock` guards all that is marked so below. It is held for a few hundred instructions
 * and never while a fiber suspends. `disk.index_turn` is taken by whoever writes to the index for
 * longer; it is taken before `lock`.
 */

#include "base/list.h"
#include "volume/format.h"
#include "volume/volume.h"

#define VOLUME_BYTES_DEFAULT (8 * GIB)
#define VOLUME_BYTES_MIN     (256 * KIB)
#define VOLUMES_MAX          65536
#define ALLOCATE_STEP        (64 * MIB) /* space taken ahead of the tail at a time, at most */
#define ALLOCATE_STEP_MIN    (8 * MIB)
#define ALLOCATE_SHARE       128           /* of what the disk holds: more is not taken ahead */
#define ROOM_AGE_NS          (250 * RT_MS) /* how long free space is taken for what it was */
#define ROOM_PLENTY          4             /* times what is asked for */
#define BATCH_BYTES_MAX      (8 * MIB)     /* of one shared write */
#define BATCH_IOV_MAX        1000
#define APPEND_PAYLOAD_MAX   (1 * MIB) /* longer needles are written as streams */
#define WINDOW_ROWS          16384 /* committed needles not yet in the index, twice this at most */
#define WINDOW_FLUSH_ROWS    4096
#define WINDOW_AGE_NS        (200 * RT_MS)
#define INDEX_RETRY_NS       (1 * RT_S)
#define CHECKPOINT_BYTES     (512 * MIB) /* replayed at most, about, after a crash */
#define SCAN_BUFFER_BYTES    (1 * MIB)
#define DIRECT_EXTENT_MIN    (128 * KIB) /* longer extents begin on a block */
#define PLACED_MIN           (128 * KIB) /* shorter payloads are not worth whole blocks */
#define APPEND_CELLS_MAX     (APPEND_PAYLOAD_MAX / CELL_BYTES)
#define ROLL_MAX             4096       /* rows of a volume; one of more is walked */
#define ROLLED_MAX           32768      /* of all a disk's */
#define VOLUME_SUFFICES_MIN  (32 * MIB) /* smaller ones are not sealed for what the disk holds */
#define VOLUME_SHARE         16         /* of what it holds: more than that is one volume enough */
#define COMPACT_ACTIVE_MIN   (16 * MIB) /* dead bytes that seal a volume before it is full */

/* ---- the index's rows (row.c) --------------------------------------------------------------- */

/*
 * One needle or tombstone on disk. Its place orders it among those of its key: the greatest lsn
 * wins; of two copies the one in the later volume.
 */
struct index_row {
    struct needle_key key;
    uint64_t lsn;
    uint64_t offset;
    uint32_t volume;
    uint32_t len_bytes;
    uint32_t cell_bytes; /* of its volume: with the length it gives the span */
    bool tombstone;
};

enum volume_state {
    VOLUME_GOOD = 0,
    /* After a sync error: all it ever acknowledged is in the index, and what lies above `low` may
     * be in memory only, so it is not replayed. */
    VOLUME_FAILED = 1,
    /* Its needles' rows are being removed: if the file is there, all of it is replayed. */
    VOLUME_RETIRING = 2,
};

/* What the index knows of a volume. */
struct volume_row {
    struct incarnation incarnation;
    uint64_t low;        /* below it nothing needs to be replayed */
    uint64_t live_bytes; /* spans of the needles that win */
    uint64_t live_needles;
    uint64_t lsn_max; /* of what lies below `low`, at least */
    uint64_t state;   /* enum volume_state */
};

#define ROW_KEY_MAX    39
#define ROW_PREFIX_LEN 19 /* of a needle row: all places of one key share it */
#define ROW_VALUE_MAX  56

struct row_bytes {
    uint8_t key[ROW_KEY_MAX], value[ROW_VALUE_MAX];
    uint8_t key_len, value_len;
};

struct row_bytes row_of_disk(const uint8_t uuid[16]);
struct row_bytes row_of_volume(uint32_t number, const struct volume_row *row);
struct row_bytes row_of_needle(const struct index_row *row);
/* Where the rows of a key begin; the newest comes first. */
struct row_bytes row_prefix(struct needle_key key);
static inline struct str row_key(const struct row_bytes *b)
{
    return str_make(b->key, b->key_len);
}
static inline struct str row_value(const struct row_bytes *b)
{
    return str_make(b->value, b->value_len);
}
/* False when the bytes are no such row. */
bool row_is_needle(struct str key, struct str value, struct index_row *ret);
bool row_is_volume(struct str key, struct str value, uint32_t *ret_number, struct volume_row *ret);
#define ROWS_ALL     STR("D")
#define ROWS_VOLUMES STR("V")
#define ROWS_NEEDLES STR("N")

static inline bool needle_key_eq(struct needle_key a, struct needle_key b)
{
    return chunk_id_eq(a.chunk, b.chunk) && a.shard == b.shard;
}
/* Of the same key: `a` is to be believed rather than `b`. */
bool row_newer(const struct index_row *a, const struct index_row *b);
/* By key, then the newest first: the order of the rows in the index. */
int row_order(const struct index_row *a, const struct index_row *b);
/* What the needle takes of its volume. */
static inline uint64_t row_span(const struct index_row *row)
{
    return needle_span(row->len_bytes, row->cell_bytes);
}

/* ---- what was committed lately (window.c) --------------------------------------------------- */

/* A bounded table of rows, found by needle key. Not locked. */
struct window;
int window_new(struct window **ret);
void window_free(struct window *w);
uint32_t window_count(const struct window *w);
/* Needles among them, and what they take of their volumes. */
uint64_t window_needles(const struct window *w);
uint64_t window_bytes(const struct window *w);
/* CHECKs that there is room. */
void window_add(struct window *w, const struct index_row *row);
/* The newest row of the key; false when there is none. */
bool window_find(const struct window *w, struct needle_key key, struct index_row *ret);
const struct index_row *window_rows(const struct window *w);
void window_clear(struct window *w);

/* ---- what lies in a volume (roll.c) --------------------------------------------------------- */

struct roll {
    struct index_row *rows;
    size_t count, room;
    bool partial; /* it does not have them all, and so none */
};

/* One more; if that makes more than `most`, it becomes partial. */
void roll_add(struct roll *r, const struct index_row *row, size_t most);
void roll_release(struct roll *r);

struct volume;
/* The following two under the lock. A row that goes into the index: */
void roll_note(struct disk *d, const struct index_row *row);
/* The volume's, which is the caller's now. */
struct roll roll_take(struct disk *d, struct volume *v);

/* ---- volumes and extents (file.c) ----------------------------------------------------------- */

struct volume {
    uint32_t number;
    uint32_t cell_bytes;
    struct incarnation incarnation;
    struct rt_file *file;

    /* under disk.lock */
    uint64_t tail;        /* where the next extent begins */
    uint64_t allocated;   /* the file system has promised space up to here */
    uint64_t stuck;       /* the index's low-water mark never passes this; UINT64_MAX: free */
    uint64_t low_swapped; /* the mark when the windows were last swapped */
    struct list inflight; /* extents not yet settled, in the order of their offsets */
    unsigned refs;        /* the disk's own and one for each user */
    bool failed;          /* after a sync error: takes no more writes */
    bool damaged;         /* a live needle cannot be read: never compacted away */
    bool trimmed;         /* given back what was allocated beyond the tail */
    bool gone;            /* no longer in disk.volumes; unlinked with the last reference */
    bool indexed;         /* the index has a row for it: */
    struct volume_row row;
    struct roll roll;
};

/* A run of a volume that one writer fills: begins and ends on a sector. */
struct extent {
    struct list link;
    struct volume *volume; /* referenced */
    uint64_t offset, len_bytes;
};

/* How a leader waits for those who are about to come back (commit.c). */
struct gather {
    unsigned queued;   /* members in the queue */
    unsigned expected; /* as many were under way at the end of the last batch */
    unsigned skip;     /* batches before waiting is tried again */
    uint64_t sync_ns;  /* what a sync takes, smoothed */
    bool waiting;
    struct rt_waitq enough;
};

struct disk {
    char *path;
    struct kv *kv;
    struct rt_file *id_file; /* open and locked: one process a disk */
    uint8_t uuid[16];
    uint64_t volume_bytes_max, reserve_bytes;
    unsigned compact_percent;

    struct rt_lock lock;     /* guards the rest */
    struct volume **volumes; /* by number, ascending; room for VOLUMES_MAX */
    size_t volume_count;
    struct volume *active; /* takes new extents; NULL: make one first */
    uint32_t next_volume;
    uint64_t next_lsn;
    size_t rolled;                /* rows in the volumes' rolls */
    uint64_t room_bytes, room_ns; /* free when it was looked at last, and when that was */
    bool growing;                 /* someone makes a volume or allocates */
    struct rt_waitq grown;

    struct list queue; /* struct append: who waits for a write or a sync */
    bool leading;      /* a fiber is writing for all */
    struct gather gather;

    struct window *filling, *flushing;
    uint32_t window_promised; /* rows of writes under way */
    uint64_t filling_since;   /* rt_now() of the first row */
    struct rt_waitq window_room, flush_wanted, flush_done;
    uint64_t flush_asked, flush_served; /* tickets */
    bool flush_survive;                 /* a ticket asks for kv_flush */
    uint64_t unsaved_bytes;             /* committed since the last kv_flush */
    int index_err;                      /* of the last round */
    bool closing;
    struct rt_fiber *flusher;
    bool index_turn;
    struct rt_waitq index_turns;
    bool compacting;

    struct disk_stats stats; /* the counters that are not atomic */

    uint64_t reads, corrupt_reads; /* atomic: a read takes the lock as little as it can */
};

#define VOLUME_PATH_MAX 4096
void volume_path(const struct disk *d, uint32_t number, char ret[VOLUME_PATH_MAX]);
/* Makes new and removed names of volumes durable. */
int FIBER disk_sync_names(struct disk *d);

/* In memory only: an empty volume with one reference. */
int volume_new(struct volume **ret, uint32_t number);
void FIBER volume_free(struct volume *v);
/* The volume with a reference, or NULL. */
struct volume *volume_get(struct disk *d, uint32_t number);
/* The last reference of a volume that is `gone` unlinks it. */
void FIBER volume_put(struct disk *d, struct volume *v);
/* After a sync error: no more writes to it. */
void volume_fail(struct disk *d, struct volume *v);
bool volume_failed(struct disk *d, const struct volume *v);
/* Gives back what sealed volumes (and the active one) hold beyond their tails. */
void FIBER volumes_trim(struct disk *d, bool active_too);

/* The following five under the lock. */
struct volume *volume_find(struct disk *d, uint32_t number);
void volume_insert(struct disk *d, struct volume *v); /* there is room in the array */
void volume_remove(struct disk *d, struct volume *v); /* the table's reference is the caller's */
/* Below it nothing would have to be replayed if the windows were in the index. */
uint64_t volume_low(const struct volume *v);
/* Cuts no more extents from it. */
void volume_seal(struct disk *d, struct volume *v);

/* Why space is asked for: tombstones and compaction may use the reserve. */
enum space_use { SPACE_DATA, SPACE_UPKEEP };
/* Space for `len` bytes in the active volume. -ENOSPC, -ERR_TOO_LARGE. */
int FIBER extent_open(struct disk *d, uint64_t len, enum space_use use, struct extent *ret);
/* Under the lock: settled; the reference stays with the caller. */
void extent_settle(struct extent *e);
/* Under the lock: its fate is unknown until the next start replays it. */
void extent_strand(struct extent *e);
/* ---- the shared write and sync (commit.c) --------------------------------------------------- */

struct commit_group;

/* One needle (or one wish for a sync) of a commit. */
struct append {
    enum append_kind {
        APPEND_NEEDLE, /* to be written by the leader, with others in one write */
        APPEND_STREAM, /* written already into its own extent */
        APPEND_SYNC,   /* no needle: what lies in the extent's volume is to be stable */
    } kind;
    enum space_use use;
    struct needle_header header; /* of a needle: place and CRC are the leader's */
    uint64_t lsn;                /* kept by copies; 0: the next */
    const struct iovec *iov;     /* the payload, borrowed */
    unsigned iov_count;
    uint8_t *placed;              /* instead: DISK_PLACED_ROOM bytes to be written as they are */
    struct needle_footer *footer; /* summed */
    struct extent *extent;        /* of a stream */
    struct volume *at;            /* whose sync is wanted; the leader's business for a needle */
    uint32_t volume;              /* where the needle is, when all went well */
    int err;                      /* how it went */
    struct list link;
    struct commit_group *group;
};

/*
 * Writes what is to be written, makes all of it stable and puts the needles' rows, which
 * index_promise() has promised, into the window; whatever happens the promises are used up. Each
 * one's `err` says how it went; the first error is returned. Streams' extents are settled or
 * stranded; the references to volumes stay with their owners.
 */
int FIBER commit(struct disk *d, struct append *appends, size_t count);

/* A header that lacks its place, its lsn and its CRC. */
struct needle_header header_of(struct needle_key key, const struct needle_info *info,
                               uint16_t flags);
/* The row of a sealed header. */
struct index_row row_of_header(const struct needle_header *h, const struct volume *v);

/* A footer for needles of up to APPEND_PAYLOAD_MAX. */
struct append_footer {
    struct needle_footer fixed;
    uint32_t cells[APPEND_CELLS_MAX];
};
/* Sums the payload and makes an APPEND_NEEDLE of it. `iov` and `footer` are borrowed. */
void append_init(struct append *a, struct needle_key key, const struct needle_info *info,
                 const struct iovec *iov, unsigned iov_count, struct append_footer *footer);
void tombstone_init(struct append *a, struct needle_key key, struct append_footer *footer);

/*
 * After a write that failed for want of space: finds by reading what did get to the disk, so that
 * the extent can be settled. *used of `promised` rows are in the window then.
 */
int FIBER extent_reread(struct disk *d, const struct extent *e, uint32_t promised, uint32_t *used);
static inline bool no_space(int err)
{
    return err == -ENOSPC || err == -EDQUOT || err == -ENOMEM;
}

/* ---- streams (writer.c) --------------------------------------------------------------------- */

/* needle_begin() for compaction too: `lsn` 0 takes the next one. */
int FIBER writer_begin(struct disk *d, struct needle_key key, const struct needle_info *info,
                       enum space_use use, uint64_t lsn, struct needle_writer **ret);
/* Of what was written so far. */
struct hash128 writer_digest(struct needle_writer *w);

/* ---- the store of the index (index_store.c): BLOCKING, for offload threads ------------------- */

/* A volume's row while a round of the index builds its next state. */
struct volume_draft {
    uint32_t number;
    bool changed;
    struct volume_row row;
};

/* Among drafts in the order of their numbers; NULL when there is none. */
struct volume_draft *draft_find(struct volume_draft *drafts, size_t count, uint32_t number);

/* Rows to be added, and what becomes of the volumes' rows by that, as one batch. */
struct index_round {
    struct kv *kv;
    const struct index_row **rows; /* sorted by the round */
    size_t count;
    struct volume_draft *drafts; /* every volume, by number */
    size_t draft_count;
    bool survive;          /* kv_flush afterwards */
    bool applied, flushed; /* how far it went */
};
int BLOCKING index_round_apply(struct index_round *r);

/* The newest row of a key. -ERR_NOT_FOUND. */
int BLOCKING index_store_first(struct kv *kv, struct needle_key key, struct index_row *ret);
/* The same from memory, on any thread: -EAGAIN when it would take the disk. */
int index_store_cached(struct kv *kv, struct needle_key key, struct index_row *ret);
/* Rows after `after` (NULL: from the first on). */
int BLOCKING index_store_page(struct kv *kv, const struct index_row *after, struct index_row *rows,
                              size_t cap, size_t *ret_count);
/* What compaction wants to know of a key. */
struct index_ask {
    struct needle_key key;
    struct index_row newest; /* of its rows */
    bool known;              /* it has one */
    bool buries;             /* that is a tombstone, and a needle lies in another volume */
};
/* Rows of the store that are newer than what is given, and what tombstones bury in the volumes of
 * the drafts. */
int BLOCKING index_store_ask(struct kv *kv, struct index_ask *asks, size_t count,
                             struct volume_draft *drafts, size_t draft_count);
/* Empties a store that is not this disk's, and names it. */
int BLOCKING index_store_claim(struct kv *kv, const uint8_t uuid[16]);
int BLOCKING index_store_volumes(struct kv *kv,
                                 int (*fn)(uint32_t, const struct volume_row *, void *), void *arg);
/* `row` NULL: deletes it. */
int BLOCKING index_store_volume(struct kv *kv, uint32_t number, const struct volume_row *row);
int BLOCKING index_store_del(struct kv *kv, const struct index_row *rows, size_t count);
/* One pass over all rows: those whose volume has no draft go, and the drafts' live counts are made
 * anew. */
int BLOCKING index_store_recount(struct kv *kv, struct volume_draft *drafts, size_t draft_count);

/* ---- the index (index.c) -------------------------------------------------------------------- */

/* Empties the store if it is not this disk's, then calls `fn` for each volume it knows (on an
 * offload thread). */
int FIBER index_open(struct disk *d, int (*fn)(uint32_t, const struct volume_row *, void *),
                     void *arg);
int FIBER index_start(struct disk *d);
int FIBER index_stop(struct disk *d);
/* Waits for room for `n` rows and promises it. Called without the lock. */
int FIBER index_promise(struct disk *d, uint32_t n);
/* Under the lock: takes up a promise for each row; n 0 with `unused` gives promises back. */
void index_add(struct disk *d, const struct index_row *rows, uint32_t n, uint32_t unused);
/* The newest row of the key, tombstone or not. -ERR_NOT_FOUND. */
int FIBER index_find(struct disk *d, struct needle_key key, struct index_row *ret);
/* The same of many keys at once, and what their tombstones bury. */
int FIBER index_ask(struct disk *d, struct index_ask *asks, size_t count);
/* All that was committed is in the index; `survive`: and stays there. */
int FIBER index_flush(struct disk *d, bool survive);
/* For who looks at all of it and can wait: refused for want of space only while there is none. */
int FIBER index_settle(struct disk *d);
/* The same, surviving, without waiting for it. Under the lock. */
void index_hurry(struct disk *d);
/* Up to `cap` rows after `after` (NULL: from the start), in their order; the windows' are not seen.
 */
int FIBER index_page(struct disk *d, const struct index_row *after, struct index_row *rows,
                     size_t cap, size_t *ret_count);
/* For a volume that has left disk.volumes: no round touches its row any more. */
int FIBER index_retire_volume(struct disk *d, const struct volume *v);
int FIBER index_forget_volume(struct disk *d, const struct volume *v);
int FIBER index_forget_rows(struct disk *d, const struct index_row *rows, size_t count);
/* Drops the rows of volumes that are not there and counts the live bytes of the others anew. */
int FIBER index_recount(struct disk *d);

/* ---- walking a volume (scan.c) -------------------------------------------------------------- */

/* Meets every believable header from `pos` to `end`. */
struct scan {
    struct volume *volume; /* borrowed; the caller holds a reference */
    uint64_t pos, end;     /* where to look next; where to stop */
    bool odd;              /* met bytes that are no needle, nor zeros */
    size_t ahead;          /* to be read when the buffer is left */
    uint8_t *buf;
    uint64_t buf_off;
    size_t buf_len;
    struct needle_header header;  /* of the needle met last */
    struct needle_footer *footer; /* room for the longest */
};
int scan_init(struct scan *s, struct volume *v, uint64_t from, uint64_t to);
void scan_release(struct scan *s);
/* 1 and a header, 0 at the end, or an error of reading. */
int FIBER scan_next(struct scan *s);
/* Whether the next call reads, and whether the buffer holds the needle met last whole until then.
 */
bool scan_leaves(const struct scan *s);
bool scan_holds(const struct scan *s);
/* Of the needle met last: 1 when its footer holds and is in `footer`, 0 when not, or an error. */
int FIBER scan_footer(struct scan *s);
/* One cell, after scan_footer: 1 when it holds, 0 when not, or an error. Borrowed until the next.
 */
int FIBER scan_cell(struct scan *s, uint32_t cell, const uint8_t **ret, size_t *ret_len);
/* Footer and every cell. */
int FIBER scan_check(struct scan *s);

/* ---- opening (recover.c) -------------------------------------------------------------------- */

/*
 * Indexes the needles between the two that are whole. `promised` NULL: asks for the rows' promises
 * itself; else counts down what is there, and stops with -ERR_LIMIT when it is used up.
 */
int FIBER replay(struct disk *d, struct volume *v, uint64_t from, uint64_t to, uint32_t *promised);
