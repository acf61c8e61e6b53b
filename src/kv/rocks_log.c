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
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
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

static void log_name(uint64_t number, char ret[32])
{
    snprintf(ret, 32, "%06" PRIu64 ".log", number);
}

static int is_log(const struct dirent *e)
{
    char name[32];
    uint64_t number = wal_number(e->d_name);
    log_name(number, name);
    return number > 0 && strcmp(name, e->d_name) == 0;
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

/* `newest`: of its run; who wrote a framed log behind it was started later. */
static int check_unframed(struct wal_reader *log, bool newest, bool *ret_torn)
{
    struct log_scan s = {.upto = UINT64_MAX};
    int r = scan_log(log, &s);
    if (r == 0 && s.damaged && (!newest || s.begun_after))
        r = -ERR_CORRUPT;
    *ret_torn |= newest && (s.damaged || s.in_batch);
    return r;
}

/* A log that was found, and what its head says of the one before it. */
struct found_log {
    uint64_t number;
    bool framed;
    bool foreign; /* it was no longer needed: nothing is asked of it */
    uint64_t bytes, frames;
    uint64_t before, before_frames;
};

/* All logs of a store, by number. */
struct found_logs {
    const char *store;
    unsigned count;
    struct found_log *at;
    char *why; /* of ROCKS_WHY bytes, or NULL */
};

static int PRINTF_LIKE(2, 3) missed(const struct found_logs *all, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (all->why)
        vsnprintf(all->why, ROCKS_WHY, fmt, ap);
    va_end(ap);
    return -ERR_CORRUPT;
}

static int open_found(const struct found_logs *all, const struct found_log *f,
                      struct wal_reader **ret)
{
    char path[PATH_MAX], name[32];
    log_name(f->number, name);
    snprintf(path, sizeof(path), "%s/%s", all->store, name);
    return wal_open(ret, path, f->number);
}

/* Its head. */
static int look_at_log(const struct found_logs *all, struct found_log *f)
{
    struct wal_reader *log;
    int r = open_found(all, f, &log);
    if (r == -ERR_CORRUPT)
        missed(all, "the head of the log %06" PRIu64 ".log is damaged", f->number);
    if (r < 0)
        return r;
    f->framed = wal_is_framed(log);
    f->foreign = wal_is_foreign(log);
    f->bytes = wal_file_len(log);
    f->before = wal_before(log, &f->before_frames);
    wal_reader_free(log);
    return 0;
}

/* The rest of it. */
static int read_log(const struct found_logs *all, struct found_log *f, bool newest, bool *ret_torn)
{
    struct wal_reader *log;
    bool torn;
    int r = open_found(all, f, &log);
    if (r < 0)
        return r;
    r = f->framed ? wal_check(log, &f->frames, &torn) : check_unframed(log, newest, ret_torn);
    wal_reader_free(log);
    return r == -ERR_CORRUPT ? missed(all, "the log %06" PRIu64 ".log is damaged", f->number) : r;
}

static int read_logs(struct found_logs *all, bool *ret_torn)
{
    int r = 0;
    for (unsigned i = 0; i < all->count && r == 0; i++)
        r = look_at_log(all, &all->at[i]);
    for (unsigned i = 0; i < all->count && r == 0; i++) {
        bool newest = i == all->count - 1 || all->at[i + 1].framed;
        r = read_log(all, &all->at[i], newest, ret_torn);
    }
    return r;
}

/* Where nothing but the note says so. */
#define GO_ON ". Bring it back; to go on without what was in it, remove " WAL_KNOWN_NAME

static const struct found_log *find_log(const struct found_logs *all, uint64_t number)
{
    for (unsigned i = 0; i < all->count; i++)
        if (all->at[i].number == number && all->at[i].framed && !all->at[i].foreign)
            return &all->at[i];
    return NULL;
}

static int check_frames(const struct found_logs *all, const struct found_log *f, uint64_t frames,
                        const char *remedy)
{
    if (f->frames >= frames)
        return 0;
    return missed(all,
                  "the log %06" PRIu64 ".log holds %" PRIu64 " batches and had %" PRIu64
                  " at least: its end is gone%s",
                  f->number, f->frames, frames, remedy);
}

/* The log before it, if it may still be needed, and what that had when this one was begun. */
static int check_before(const struct found_logs *all, const struct found_log *f, uint64_t retired)
{
    const struct found_log *before = f->before > 0 ? find_log(all, f->before) : NULL;
    if (before)
        return check_frames(all, before, f->before_frames, ". Bring it back");
    if (f->before <= retired)
        return 0;
    return missed(all, "the log %06" PRIu64 ".log is gone" GO_ON, f->before);
}

/*
 * The newest log that was ever written to is here, and as long as it was: else acknowledged batches
 * are gone, and nothing behind them would tell. A version of before may have gone on to newer ones.
 */
static int check_newest(const struct found_logs *all, const struct wal_known *known)
{
    const struct found_log *f = find_log(all, known->log), *last = NULL;
    if (known->len_bytes <= WAL_BLOCK)
        return 0; /* nothing but its head */
    for (unsigned i = 0; i < all->count; i++)
        if (all->at[i].number > known->log && all->at[i].framed && !all->at[i].foreign)
            last = &all->at[i];
    if (!f && last)
        return 0;
    if (!f)
        return missed(all, "the log %06" PRIu64 ".log is gone" GO_ON, known->log);
    if (f->bytes < known->len_bytes)
        return missed(all,
                      "the log %06" PRIu64 ".log has %" PRIu64 " bytes and had %" PRIu64
                      " at least: its end is gone" GO_ON,
                      f->number, f->bytes, known->len_bytes);
    return check_frames(all, f, known->frames, GO_ON);
}

static int check_known(const struct found_logs *all)
{
    char path[PATH_MAX];
    struct wal_known known;
    snprintf(path, sizeof(path), "%s/", all->store);
    int r = wal_known_read(path, &known);
    if (r == 0)
        r = check_newest(all, &known);
    for (unsigned i = 0; i < all->count && r == 0; i++)
        if (all->at[i].framed && !all->at[i].foreign)
            r = check_before(all, &all->at[i], known.retired);
    return r;
}

static int find_logs(const char *store, struct found_logs *ret)
{
    struct dirent **names;
    int count = scandir(store, &names, is_log, by_number);
    if (count < 0)
        return -errno;
    ret->at = calloc((size_t)count + 1, sizeof(*ret->at));
    for (int i = 0; ret->at && i < count; i++)
        ret->at[i].number = wal_number(names[i]->d_name);
    ret->count = ret->at ? (unsigned)count : 0;
    names_free(names, count);
    return ret->at ? 0 : -ENOMEM;
}

int rocks_log_check(const char *store, bool *ret_torn, char *ret_why)
{
    struct found_logs all = {.store = store, .why = ret_why};
    *ret_torn = false;
    int r = find_logs(store, &all);
    if (r == 0)
        r = read_logs(&all, ret_torn);
    if (r == 0)
        r = check_known(&all);
    free(all.at);
    return r;
}

uint64_t rocks_log_bytes(const char *store)
{
    struct found_logs all = {.store = store};
    uint64_t bytes = 0;
    if (find_logs(store, &all) < 0)
        return 0;
    for (unsigned i = 0; i < all.count; i++)
        if (look_at_log(&all, &all.at[i]) == 0)
            bytes += all.at[i].bytes;
    free(all.at);
    return bytes;
}

/* ---- the list of tables ---------------------------------------------------------------------- */

/* The number of the one that is used; 0: there is none. */
static uint64_t current_manifest(const char *store)
{
    char path[PATH_MAX], name[32] = "";
    uint64_t number = 0;
    snprintf(path, sizeof(path), "%s/CURRENT", store);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    size_t len = fread(name, 1, sizeof(name) - 1, f);
    fclose(f);
    struct str text = str_make(name, len);
    if (!str_starts(text, STR("MANIFEST-")) || !str_ends(text, STR("\n")))
        return 0;
    text = str_from_offset(str_prefix(text, len - 1), strlen("MANIFEST-"));
    return str_to_u64(text, &number) < 0 ? 0 : number;
}

/* Of the first `len` bytes; -ERR_CORRUPT: there are not so many. */
static int crc_of(const char *path, uint64_t len, uint32_t *ret)
{
    uint8_t block[LOG_BLOCK];
    uint32_t crc = 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return -errno;
    while (len > 0) {
        size_t got = fread(block, 1, MIN(len, (uint64_t)sizeof(block)), f);
        if (got == 0)
            break;
        crc = hash_crc32c(crc, block, got);
        len -= got;
    }
    int r = ferror(f) ? -EIO : len > 0 ? -ERR_CORRUPT : 0;
    fclose(f);
    *ret = crc;
    return r;
}

int rocks_manifest_check(const char *store, char *ret_why)
{
    char path[PATH_MAX];
    struct wal_known known;
    uint32_t crc = 0;
    snprintf(path, sizeof(path), "%s/", store);
    int r = wal_known_read(path, &known);
    if (r < 0 || known.manifest == 0 || current_manifest(store) != known.manifest)
        return r; /* RocksDB has gone on to another, or had not come to this one */
    snprintf(path, sizeof(path), "%s/MANIFEST-%06" PRIu64, store, known.manifest);
    r = crc_of(path, known.manifest_bytes, &crc);
    if (r == -ENOENT)
        return 0; /* which RocksDB tells */
    if (r == 0 && crc != known.manifest_crc)
        r = -ERR_CORRUPT;
    if (r == -ERR_CORRUPT && ret_why)
        snprintf(ret_why, ROCKS_WHY, "the end of MANIFEST-%06" PRIu64 " is gone or damaged" GO_ON,
                 known.manifest);
    return r;
}

/* ---- cutting --------------------------------------------------------------------------------- */

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
    struct wal_reader *log;
    uint64_t number = wal_number(path), len = 0, frames;
    bool torn;
    int r = wal_open(&log, path, number);
    if (r == 0 && wal_is_framed(log)) {
        r = wal_check(log, &frames, &torn);
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
