/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Reading a log: its frames one after another, each held against its CRCs before a byte of it is
 * given. The first that is not sound ends the stream. wal_check() looks behind it as well and tells
 * a frame that was torn from one that was damaged.
 *
 * What is read comes from the disk where it can: pages that a failed sync left behind in memory
 * look written and are not.
 */

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/error.h"
#include "kv/wal_dir.h"

#define LOOK_BYTES (256 * KIB) /* read at once where only headers are looked for */

struct wal_reader {
    int fd;
    uint64_t len; /* of the file */
    bool framed, foreign;
    struct wal_head head;
    uint64_t at;     /* of the next frame; in a log without frames of the next byte */
    uint64_t frames; /* sound ones before that */
    char *data;      /* of the present frame */
    size_t data_bytes, data_len, data_at;
};

static ssize_t read_at(int fd, void *ret, size_t len, uint64_t at)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, (char *)ret + done, len - done, (off_t)(at + done));
        if (n > 0)
            done += (size_t)n;
        else if (n == 0)
            break;
        else if (errno != EINTR)
            return -errno;
    }
    return (ssize_t)done;
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool only_zeros(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i])
            return false;
    return true;
}

/*
 * A log of before there were frames begins with a record of RocksDB's: a CRC, a length, and a type
 * from 1 to 4; or it is empty, or was lost to zeros. A head with a damaged magic is none.
 */
static bool looks_unframed(const char *p, size_t len)
{
    struct wal_head h = {0};
    memcpy(&h, p, MIN(len, sizeof(h)));
    if (h.magic == WAL_HEAD_MAGIC)
        return false;
    h.magic = WAL_HEAD_MAGIC;
    return !wal_head_valid(&h) && (len < 7 || only_zeros(p, len) || (p[6] >= 1 && p[6] <= 4));
}

static int judge_head(struct wal_reader *r, uint64_t log)
{
    char block[sizeof(struct wal_head)] = {0};
    ssize_t got = read_at(r->fd, block, sizeof(block), 0);
    if (got < 0)
        return (int)got;
    memcpy(&r->head, block, sizeof(r->head));
    r->framed = (size_t)got == sizeof(block) && wal_head_valid(&r->head);
    if (!r->framed)
        return looks_unframed(block, (size_t)got) ? 0 : -ERR_CORRUPT;
    /* A power cut can take a name back. Then it is no longer that log, and not yet the other. */
    r->foreign = r->head.log != log;
    r->at = WAL_BLOCK;
    return 0;
}

static int open_file(struct wal_reader *r, const char *path, uint64_t log)
{
    struct stat s;
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0 || fstat(r->fd, &s) < 0)
        return -errno;
    r->len = (uint64_t)s.st_size;
    (void)posix_fadvise(r->fd, 0, 0, POSIX_FADV_DONTNEED);
    return judge_head(r, log);
}

int wal_open(struct wal_reader **ret, const char *path, uint64_t log)
{
    struct wal_reader *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    int e = open_file(r, path, log);
    if (e < 0)
        wal_reader_free(r);
    else
        *ret = r;
    return e;
}

void wal_reader_free(struct wal_reader *r)
{
    if (!r)
        return;
    if (r->fd >= 0) {
        (void)posix_fadvise(r->fd, 0, 0, POSIX_FADV_DONTNEED);
        close(r->fd);
    }
    free(r->data);
    free(r);
}

bool wal_is_framed(const struct wal_reader *r)
{
    return r->framed;
}

bool wal_is_foreign(const struct wal_reader *r)
{
    return r->foreign;
}

uint64_t wal_file_len(const struct wal_reader *r)
{
    return r->len;
}

uint64_t wal_before(const struct wal_reader *r, uint64_t *ret_frames)
{
    *ret_frames = r->head.before_frames;
    return r->framed && !r->foreign ? r->head.before : 0;
}

/* ---- frames ---------------------------------------------------------------------------------- */

static int data_grow(struct wal_reader *r, size_t len)
{
    if (len <= r->data_bytes)
        return 0;
    char *data = realloc(r->data, len);
    if (!data)
        return -ENOMEM;
    r->data = data;
    r->data_bytes = len;
    return 0;
}

/* The header of the frame that may begin at r->at. 1: it is the one that belongs there. */
static int next_header(struct wal_reader *r, struct wal_frame *ret)
{
    if (r->foreign || r->at + sizeof(*ret) > r->len)
        return 0;
    ssize_t got = read_at(r->fd, ret, sizeof(*ret), r->at);
    if (got < 0)
        return (int)got;
    return (size_t)got == sizeof(*ret) && wal_frame_valid(ret, &r->head.id) &&
           ret->number == r->frames;
}

/* Takes the next frame. 1: it is sound, 0: there is none. */
static int next_frame(struct wal_reader *r)
{
    struct wal_frame f;
    int e = next_header(r, &f);
    if (e <= 0 || r->at + sizeof(f) + f.len_bytes > r->len)
        return MIN(e, 0);
    e = data_grow(r, f.len_bytes);
    if (e < 0)
        return e;
    ssize_t got = read_at(r->fd, r->data, f.len_bytes, r->at + sizeof(f));
    if (got < 0)
        return (int)got;
    if ((size_t)got != f.len_bytes || hash_crc32c(0, r->data, f.len_bytes) != f.data_crc)
        return 0;
    r->data_len = f.len_bytes;
    r->data_at = 0;
    r->at += wal_frame_bytes(f.len_bytes);
    r->frames++;
    return 1;
}

static ssize_t read_framed(struct wal_reader *r, char *ret, size_t len)
{
    size_t done = 0;
    while (done < len) {
        if (r->data_at == r->data_len) {
            int e = next_frame(r);
            if (e < 0)
                return e;
            if (e == 0)
                break;
        }
        size_t n = MIN(len - done, r->data_len - r->data_at);
        memcpy(ret + done, r->data + r->data_at, n);
        r->data_at += n;
        done += n;
    }
    return (ssize_t)done;
}

ssize_t wal_read(struct wal_reader *r, void *ret, size_t len)
{
    if (r->framed)
        return read_framed(r, ret, len);
    ssize_t got = read_at(r->fd, ret, len, r->at);
    if (got > 0)
        r->at += (uint64_t)got;
    return got;
}

/* ---- judging --------------------------------------------------------------------------------- */

/* Whether a frame of this log, of a number above `number`, begins anywhere in the bytes. */
static bool has_later(const char *data, size_t len, const struct wal_id *id, uint64_t number)
{
    for (size_t at = 0; at + sizeof(struct wal_frame) <= len; at += WAL_BLOCK) {
        struct wal_frame f;
        memcpy(&f, data + at, sizeof(f));
        if (wal_frame_valid(&f, id) && f.number > number)
            return true;
    }
    return false;
}

/* Looks from `at`, where a sound frame should have been, to the end of the file. */
static int look_behind(struct wal_reader *r)
{
    int e = data_grow(r, LOOK_BYTES);
    for (uint64_t at = r->at; e == 0 && at < r->len; at += LOOK_BYTES) {
        ssize_t got = read_at(r->fd, r->data, LOOK_BYTES, at);
        if (got < 0)
            return (int)got;
        if (has_later(r->data, (size_t)got, &r->head.id, r->frames))
            e = -ERR_CORRUPT;
    }
    return e;
}

int wal_check(struct wal_reader *r, uint64_t *ret_frames, bool *ret_torn)
{
    struct wal_frame f;
    int e;
    while ((e = next_frame(r)) > 0)
        ;
    if (e == 0)
        e = next_header(r, &f);
    bool torn = e > 0;
    if (e >= 0)
        e = r->foreign ? 0 : look_behind(r);
    if (e < 0)
        return e;
    *ret_frames = r->frames;
    *ret_torn = torn;
    return 0;
}

/* ---- cutting --------------------------------------------------------------------------------- */

/* Where in the file the stream's first `len` bytes end. */
static int find_end(struct wal_reader *r, uint64_t len, uint64_t *ret)
{
    uint64_t seen = 0;
    if (!r->framed) {
        *ret = len;
        return 0;
    }
    while (seen < len) {
        int e = next_frame(r);
        if (e <= 0)
            return e < 0 ? e : -ERR_CORRUPT;
        seen += r->data_len;
    }
    if (seen > len)
        return -ERR_CORRUPT;
    *ret = r->at;
    return 0;
}

static int truncate_file(const char *path, uint64_t len)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int e = ftruncate(fd, (off_t)len) < 0 || fdatasync(fd) < 0 ? -errno : 0;
    close(fd);
    return e;
}

/* No more is asked for at the next start. */
static int shorten_known(const char *path, uint64_t log, uint64_t len, uint64_t frames)
{
    struct wal_dir *d = wal_dir_of(path);
    if (!d)
        return -ENOMEM;
    int e = wal_dir_shorten(d, log, len, frames);
    wal_dir_unref(d);
    return e;
}

int wal_cut(const char *path, uint64_t log, uint64_t len)
{
    struct wal_reader *r;
    uint64_t end = 0;
    int e = wal_open(&r, path, log);
    if (e < 0)
        return e;
    bool framed = r->framed;
    e = find_end(r, len, &end);
    uint64_t frames = r->frames;
    wal_reader_free(r);
    if (e == 0 && framed)
        e = shorten_known(path, log, end, frames);
    return e < 0 ? e : truncate_file(path, end);
}
