/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Judges the logs a store was left with, and takes back what a failed write left in one.
 *
 * Logs lie in frames (wal.h), which tell by themselves what was torn by a power cut and what was
 * damaged. Only logs of before there were frames are judged by RocksDB's own records, below.
 *
 * A batch is begun in the log only after the one before it was synced (kv.h: one batch at a time,
 * each synced), so a power cut can harm the last batch and no other; its pieces may be missing in
 * any order. Damage behind which no batch begins is thus the torn end of a log, and the store may
 * be opened without it; damage behind which one does begin is in what had been acknowledged.
 *
 * None of RocksDB's recovery modes knows the difference. Point-in-time recovery silently drops what
 * lies behind a flipped bit; the stricter mode refuses a torn batch whose end reached the disk
 * before its middle; and both pass over a block's rest of zeros.
 *
 * The format is LevelDB's (its doc/log_format.md): blocks of 32 KiB; in them records of a masked
 * CRC32C over type and data, a length of 16 bits, a type, the data. A batch is one record "full",
 * or "first", any "middle" and "last", a record never crossing a block's end.
 */

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>
#include "base/hash.h"
#include "kv/rocks_internal.h"
#include "kv/wal.h"

#define LOG_BLOCK  (32 * KIB)
#define LOG_HEADER 7

/* A batch begins with the number of its first change, of 8 bytes, and their count, of 4. */
#define BATCH_HEAD 12

enum record_type { RECORD_NONE, RECORD_FULL, RECORD_FIRST, RECORD_MIDDLE, RECORD_LAST };

/* What has been seen of a log so far. */
struct log_scan {
    bool damaged;
    bool begun_after; /* a batch begins behind the damage */
    bool gap;         /* zeros where a record might have been */
    bool in_batch;    /* between a "first" and its "last" */
    uint8_t head[BATCH_HEAD];
    size_t head_len; /* so much of the present batch's head has been seen */

    uint64_t upto;       /* batches with changes of greater numbers are not wanted */
    uint64_t last;       /* the number of the last change of the last wanted batch */
    off_t wanted_end;    /* where that batch ends */
    bool wanted_damaged; /* something is wrong before that */
};

static uint64_t get_le(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* The whole length of the sound record at `p`, or 0. */
static size_t record_len(const uint8_t *p, size_t room)
{
    if (room < LOG_HEADER || p[6] < RECORD_FULL || p[6] > RECORD_LAST)
        return 0;
    size_t len = get_le(p + 4, 2);
    if (LOG_HEADER + len > room)
        return 0;
    uint32_t crc = hash_crc32c(0, p + 6, 1 + len);
    uint32_t masked = ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
    return masked == get_le(p, 4) ? LOG_HEADER + len : 0;
}

/* A whole batch ends at `end`. */
static void scan_batch(struct log_scan *s, off_t end)
{
    if (s->head_len < BATCH_HEAD) {
        s->damaged = true;
        return;
    }
    uint64_t last = get_le(s->head, 8) + get_le(s->head + 8, 4) - 1;
    if (last > s->upto)
        return;
    s->last = last;
    s->wanted_end = end;
    s->wanted_damaged |= s->damaged;
}

/* Takes a sound record into account, which ends at `end` of the log. */
static void scan_record(struct log_scan *s, const uint8_t *record, size_t len, off_t end)
{
    enum record_type type = record[6];
    bool begins = type == RECORD_FULL || type == RECORD_FIRST;
    if (s->gap || begins == s->in_batch)
        s->damaged = true; /* something is missing before this one */
    if (s->damaged)
        s->begun_after |= begins;
    s->in_batch = type == RECORD_FIRST || type == RECORD_MIDDLE;
    if (begins)
        s->head_len = 0;
    size_t n = MIN(len - LOG_HEADER, BATCH_HEAD - s->head_len);
    memcpy(s->head + s->head_len, record + LOG_HEADER, n);
    s->head_len += n;
    if (!s->in_batch)
        scan_batch(s, end);
}

/* The end of a block too short for a header is filled with zeros, and so is what was never written.
 */
static bool only_zeros(const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i])
            return false;
    return true;
}

/* A block that lies at `off`. In a damaged one the next record may begin anywhere. */
static void scan_block(struct log_scan *s, const uint8_t *block, size_t len, off_t off)
{
    size_t at = 0;
    while (at < len) {
        size_t n = record_len(block + at, len - at);
        if (n > 0) {
            scan_record(s, block + at, n, off + (off_t)(at + n));
            at += n;
        } else if (only_zeros(block + at, len - at)) {
            s->gap |= len - at >= LOG_HEADER;
            return;
        } else {
            s->damaged = true;
            at++;
        }
    }
}

static int scan_log(struct wal_reader *log, struct log_scan *s)
{
    uint8_t block[LOG_BLOCK];
    ssize_t got = 0;
    for (off_t off = 0; (got = wal_read(log, block, sizeof(block))) > 0; off += LOG_BLOCK)
        scan_block(s, block, (size_t)got, off);
    return (int)got;
}

static int is_log(const struct dirent *e)
{
    return str_ends(str_from(e->d_name), STR(".log"));
}

/* By name a log of seven digits would come before one of six. */
static int by_number(const struct dirent **a, const struct dirent **b)
{
    uint64_t x = wal_number((*a)->d_name), y = wal_number((*b)->d_name);
    return (x > y) - (x < y);
}

static void names_free(struct dirent **names, int count)
{
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

static bool is_framed(const char *store, const struct dirent *e)
{
    char path[PATH_MAX];
    struct wal_reader *log;
    snprintf(path, sizeof(path), "%s/%s", store, e->d_name);
    if (wal_open(&log, path, wal_number(path)) < 0)
        return false;
    bool framed = wal_is_framed(log);
    wal_reader_free(log);
    return framed;
}

/* `newest`: of its run; who wrote a framed log behind it was started later. */
static int check_unframed(struct wal_reader *log, bool newest, bool *ret_torn)
{
    struct log_scan s = {.upto = UINT64_MAX};
    int r = scan_log(log, &s);
    if (r == 0 && s.damaged && (!newest || s.begun_after))
        r = -ERR_CORRUPT;
    *ret_torn = newest && (s.damaged || s.in_batch);
    return r;
}

/*
 * `frames` counts those of the log of number `log`; the one behind it may know of more. Nobody
 * counts those of a log that was no longer needed.
 */
struct log_before {
    uint64_t log, frames;
};

static int check_framed(struct wal_reader *log, uint64_t number, struct log_before *before)
{
    uint64_t known, frames;
    bool torn;
    if (wal_before(log, &known) == before->log && before->log > 0 && before->frames < known)
        return -ERR_CORRUPT;
    int r = wal_check(log, &frames, &torn);
    if (r == 0)
        *before = (struct log_before){wal_is_foreign(log) ? 0 : number, frames};
    return r;
}

static int check_log(const char *path, bool newest, struct log_before *before, bool *ret_torn)
{
    struct wal_reader *log;
    bool torn = false;
    int r = wal_open(&log, path, wal_number(path));
    if (r < 0)
        return r;
    if (wal_is_framed(log))
        r = check_framed(log, wal_number(path), before);
    else
        r = check_unframed(log, newest, &torn);
    wal_reader_free(log);
    *ret_torn |= torn;
    return r;
}

/* The file of that number has the length that it had. */
static bool is_whole(const char *path, const struct wal_known *known)
{
    struct wal_reader *log;
    if (wal_open(&log, path, wal_number(path)) < 0)
        return false;
    bool whole = wal_is_framed(log) && !wal_is_foreign(log) &&
                 (wal_number(path) > known->log || wal_file_len(log) >= known->len_bytes);
    wal_reader_free(log);
    return whole;
}

/*
 * The newest log that was ever written to is here, and as long as it was: else acknowledged batches
 * are gone, and nothing behind them would tell. A version of before may have gone on to newer ones.
 */
static int check_known(const char *store, struct dirent **logs, int count)
{
    char path[PATH_MAX];
    struct wal_known known;
    snprintf(path, sizeof(path), "%s/", store);
    int r = wal_known_read(path, &known);
    bool any = r < 0 || known.len_bytes <= WAL_BLOCK; /* there is nothing known, or nothing in it */
    for (int i = 0; i < count && !any; i++) {
        snprintf(path, sizeof(path), "%s/%s", store, logs[i]->d_name);
        any = wal_number(path) >= known.log && is_whole(path, &known);
    }
    return any ? r : -ERR_CORRUPT;
}

int rocks_log_check(const char *store, bool *ret_torn)
{
    struct dirent **logs;
    int count = scandir(store, &logs, is_log, by_number), r = 0;
    if (count < 0)
        return -errno;
    struct log_before before = {0};
    *ret_torn = false;
    for (int i = 0; i < count && r == 0; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%s/%s", store, logs[i]->d_name);
        bool newest = i == count - 1 || is_framed(store, logs[i + 1]);
        r = check_log(path, newest, &before, ret_torn);
    }
    if (r == 0)
        r = check_known(store, logs, count);
    names_free(logs, count);
    return r;
}

/*
 * A log without a wanted batch is one that was begun after the last one. Otherwise the last batch
 * in it must be the last of all.
 */
static int find_cut(struct wal_reader *log, uint64_t sequence, uint64_t *ret_len)
{
    struct log_scan s = {.upto = sequence};
    int r = scan_log(log, &s);
    if (r < 0)
        return r;
    if (s.wanted_damaged || (s.wanted_end > 0 && s.last != sequence))
        return -ERR_CORRUPT;
    *ret_len = (uint64_t)s.wanted_end;
    return 0;
}

/* Nothing is cut that was acknowledged and is damaged. */
static int cut_log(const char *path, uint64_t sequence)
{
    struct log_before before = {0};
    struct wal_reader *log;
    uint64_t number = wal_number(path), len = 0;
    int r = wal_open(&log, path, number);
    if (r == 0 && wal_is_framed(log)) {
        r = check_framed(log, number, &before);
        wal_reader_free(log);
        if (r == 0)
            r = wal_open(&log, path, number);
    }
    if (r < 0)
        return r;
    r = find_cut(log, sequence, &len);
    wal_reader_free(log);
    return r < 0 ? r : wal_cut(path, number, len);
}

int rocks_log_cut(const char *store, uint64_t sequence)
{
    struct dirent **logs;
    char path[PATH_MAX];
    int count = scandir(store, &logs, is_log, by_number);
    if (count <= 0)
        return count < 0 ? -errno : 0;
    snprintf(path, sizeof(path), "%s/%s", store, logs[count - 1]->d_name);
    names_free(logs, count);
    return cut_log(path, sequence);
}
