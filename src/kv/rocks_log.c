/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Tells a log that was torn by a power cut from one that was damaged.
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

#define LOG_BLOCK  (32 * KIB)
#define LOG_HEADER 7

enum record_type { RECORD_NONE, RECORD_FULL, RECORD_FIRST, RECORD_MIDDLE, RECORD_LAST };

/* What has been seen of a log so far. */
struct log_scan {
    bool damaged;
    bool begun_after; /* a batch begins behind the damage */
    bool gap;         /* zeros where a record might have been */
    bool in_batch;    /* between a "first" and its "last" */
};

static uint32_t get_le(const uint8_t *p, unsigned bytes)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < bytes; i++)
        v |= (uint32_t)p[i] << (8 * i);
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

/* Takes the record's type into account. */
static void scan_record(struct log_scan *s, enum record_type type)
{
    bool begins = type == RECORD_FULL || type == RECORD_FIRST;
    if (s->gap || begins == s->in_batch)
        s->damaged = true; /* something is missing before this one */
    if (s->damaged)
        s->begun_after |= begins;
    s->in_batch = type == RECORD_FIRST || type == RECORD_MIDDLE;
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

/* In a damaged block the next record may begin anywhere. */
static void scan_block(struct log_scan *s, const uint8_t *block, size_t len)
{
    size_t at = 0;
    while (at < len) {
        size_t n = record_len(block + at, len - at);
        if (n > 0) {
            scan_record(s, block[at + 6]);
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

static int scan_log(const char *path, struct log_scan *ret)
{
    uint8_t block[LOG_BLOCK];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret = (struct log_scan){0};
    ssize_t got = 0;
    for (off_t off = 0; (got = pread(fd, block, sizeof(block), off)) > 0; off += LOG_BLOCK)
        scan_block(ret, block, (size_t)got);
    int r = got < 0 ? -errno : 0;
    close(fd);
    return r;
}

static int is_log(const struct dirent *e)
{
    return str_ends(str_from(e->d_name), STR(".log"));
}

/* The logs are named by rising numbers of equal length: the last by name is the newest. */
int rocks_log_check(const char *store, bool *ret_torn)
{
    struct dirent **logs;
    int count = scandir(store, &logs, is_log, alphasort), r = 0;
    if (count < 0)
        return -errno;
    *ret_torn = false;
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX];
        struct log_scan s = {0};
        bool newest = i == count - 1;
        snprintf(path, sizeof(path), "%s/%s", store, logs[i]->d_name);
        if (r == 0)
            r = scan_log(path, &s);
        if (r == 0 && s.damaged && (!newest || s.begun_after))
            r = -ERR_CORRUPT;
        *ret_torn |= newest && (s.damaged || s.in_batch);
        free(logs[i]);
    }
    free(logs);
    return r;
}
