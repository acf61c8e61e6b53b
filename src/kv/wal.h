/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The file of a write-ahead log. RocksDB sees a stream of bytes that grows at its end; on the disk
 * it lies in frames, one a sync, in a file whose blocks were written before: syncing them costs
 * half of what it costs where the file grows, for nothing but the bytes has to reach the disk. So a
 * log that is no longer needed becomes a spare (wal_retire) and then another log, and where there
 * is no spare the file is written ahead with zeros. What the file held before lies behind the end
 * and is never taken for part of the log.
 *
 * docs/FORMATS.md draws the bytes: a head, then frames, each at a multiple of WAL_BLOCK.
 *
 * Invariants
 *  1. A file has a log's name only once its head is on the disk: a bad head is damage.
 *  2. A frame is begun only once the one before it is on the disk. So a frame behind a bad one says
 *     that the bad one was acknowledged and is damaged; otherwise it was torn, and never was.
 *  3. A frame bears the random id of its file's present life and its number in it: nothing from an
 *     earlier life, and no object's bytes, can be taken for it.
 *  4. A head says how many frames the log before it has at least: that log's end is known exactly
 *     enough to tell a frame that was lost from one that never was.
 *  5. A log goes only once it is written down that it may: one that is missing otherwise was lost.
 *
 * BLOCKING throughout. A writer is thread-safe; a reader belongs to one thread.
 */

#include <assert.h>
#include <sys/types.h>
#include "base/hash.h"
#include "base/str.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the structs are the bytes on disk");

#define WAL_BLOCK       (4 * KIB)
#define WAL_VERSION     1
#define WAL_HEAD_MAGIC  0x4c41574e52494143ULL /* "CAIRNWAL" */
#define WAL_FRAME_MAGIC 0x4d415246U           /* "FRAM" */

struct wal_id {
    uint64_t lo, hi;
};

/* The first block; the rest of it is zero. */
struct wal_head {
    uint64_t magic;
    uint32_t version;
    uint32_t zero;
    struct wal_id id;
    uint64_t log;           /* the number in the file's name */
    uint64_t before;        /* the number of the log before it in the same run, or 0 */
    uint64_t before_frames; /* so many frames that one has at least */
    uint32_t zero2;
    uint32_t crc; /* CRC-32C of all before it */
};
static_assert(sizeof(struct wal_head) == 64, "as in FORMATS.md");
static_assert(offsetof(struct wal_head, id) == 16, "as in FORMATS.md");
static_assert(offsetof(struct wal_head, crc) == 60, "as in FORMATS.md");

/* Followed by its bytes; then zeros to the next block. */
struct wal_frame {
    uint32_t magic;
    uint32_t len_bytes; /* without the header, never 0 */
    struct wal_id id;   /* of the head */
    uint64_t number;    /* from 0 */
    uint32_t data_crc;  /* CRC-32C */
    uint32_t crc;       /* CRC-32C of all before it */
};
static_assert(sizeof(struct wal_frame) == 40, "as in FORMATS.md");
static_assert(offsetof(struct wal_frame, number) == 24, "as in FORMATS.md");
static_assert(offsetof(struct wal_frame, crc) == 36, "as in FORMATS.md");

/* Fill in the magic, the version and the CRC, and judge what was read. */
void wal_head_seal(struct wal_head *h);
bool wal_head_valid(const struct wal_head *h);
void wal_frame_seal(struct wal_frame *f, const void *data);
bool wal_frame_valid(const struct wal_frame *f, const struct wal_id *id);

/* So much of the file a frame takes. */
static inline uint64_t wal_frame_bytes(uint64_t len)
{
    return align_up(sizeof(struct wal_frame) + len, WAL_BLOCK);
}

/* The number in the name of a log, `*.log`; 0: it is not one. */
uint64_t wal_number(const char *path);

/*
 * What a directory knows of its files, in one of its own beside them: else the next start could not
 * tell what somebody deleted, or cut short, from what never was. Written over in place: it is one
 * sector. What is not sound knows nothing, and what is says "at least". The first part is what
 * versions of before know.
 */
#define WAL_KNOWN_NAME      "log.known"
#define WAL_KNOWN_MAGIC     0x574f4e4b4c415757ULL /* "WWALKNOW" */
#define WAL_RETIRED_UNKNOWN UINT64_MAX

struct wal_known {
    uint64_t magic;
    uint32_t version;
    uint32_t zero;
    uint64_t log;       /* there is one of that number, or a newer one */
    uint64_t len_bytes; /* the file has so many at least */
    uint32_t zero2;
    uint32_t crc;      /* CRC-32C of all before it */
    uint64_t frames;   /* that log has so many at least */
    uint64_t retired;  /* logs up to this number may be gone, and no others */
    uint64_t manifest; /* number of RocksDB's list of tables; 0: not known */
    uint64_t manifest_bytes;
    uint32_t manifest_crc; /* CRC-32C of so many bytes of it */
    uint32_t more_crc;     /* CRC-32C of all before it but `crc` */
};
static_assert(sizeof(struct wal_known) == 80, "as in FORMATS.md");
static_assert(offsetof(struct wal_known, crc) == 36, "as in FORMATS.md");
static_assert(offsetof(struct wal_known, manifest_crc) == 72, "as in FORMATS.md");

/*
 * `dir` may have something behind its last slash. 0 also for none; what is not known is 0, or
 * WAL_RETIRED_UNKNOWN. To write is for tests.
 */
int BLOCKING wal_known_read(const char *dir, struct wal_known *ret);
int BLOCKING wal_known_write(const char *dir, const struct wal_known *known);
/* So many bytes of that list, which `path` lies beside or is, are on the disk. */
void BLOCKING wal_note_manifest(const char *path, uint64_t number, uint64_t len, uint32_t crc);

/* ---- writing --------------------------------------------------------------------------------- */

struct wal_writer;

/* Makes a log of that name, from a spare where there is one. The directory is not synced. */
int BLOCKING wal_create(struct wal_writer **ret, const char *path);
/*
 * Keeps the bytes for the next sync. Only where very many have come together they are written, as
 * by one.
 */
int BLOCKING wal_append(struct wal_writer *w, const void *data, size_t len, bool *ret_lost);
/*
 * All that was appended is on the disk. *ret_lost, set on failure: a sync failed, so what the disk
 * holds of the last frame is not known; otherwise the file could not take it (-ENOSPC, -EDQUOT for
 * the length of files too), and wal_cut takes back what it did take. After a failure nothing more
 * is written.
 */
int BLOCKING wal_sync(struct wal_writer *w, bool *ret_lost);
uint64_t wal_len(struct wal_writer *w); /* bytes that were appended */
/*
 * Writes what is left, as wal_sync; the writer is gone in any case. Accepts NULL. The newest log of
 * a directory, whose store is being closed then, gives up what was written ahead.
 */
int BLOCKING wal_close(struct wal_writer *w, bool *ret_lost);

/* The log is no longer needed: it becomes a spare, or goes. */
int BLOCKING wal_retire(const char *path);
/* The spares of a directory, whose logs may be in use. */
void BLOCKING wal_drop_spares(const char *dir);
/* Makes the names in a directory durable; "" is the working directory. */
int BLOCKING wal_sync_dir(const char *dir);
/* Before all logs of a directory are deleted. Its path ends with a slash. */
int BLOCKING wal_forget(const char *dir);

/* ---- reading --------------------------------------------------------------------------------- */

struct wal_reader;

/*
 * `log` is the number the file is known by. A log of before there were frames is read as it is.
 * -ERR_CORRUPT: the head is damaged.
 */
int BLOCKING wal_open(struct wal_reader **ret, const char *path, uint64_t log);
void wal_reader_free(struct wal_reader *r);
bool wal_is_framed(const struct wal_reader *r);
/* The file was to become another log already: nothing is left of this one, which nobody needed. */
bool wal_is_foreign(const struct wal_reader *r);
uint64_t wal_file_len(const struct wal_reader *r);
/* What the head says of the log before this one; 0: nothing. */
uint64_t wal_before(const struct wal_reader *r, uint64_t *ret_frames);
/* The next bytes of the stream, as many as there are room for; 0 at its end. */
ssize_t BLOCKING wal_read(struct wal_reader *r, void *ret, size_t len);
/*
 * Reads a framed log whole. *ret_frames are sound; behind them is nothing of this log or,
 * *ret_torn, a part of a frame that was never acknowledged. -ERR_CORRUPT: a frame that was is
 * damaged.
 */
int BLOCKING wal_check(struct wal_reader *r, uint64_t *ret_frames, bool *ret_torn);
/*
 * Cuts the file off behind the first `len` bytes of the stream, where a frame must end (else
 * -ERR_CORRUPT; in a log without frames it may be anywhere), and syncs it.
 */
int BLOCKING wal_cut(const char *path, uint64_t log, uint64_t len);
