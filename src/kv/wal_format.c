/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>
#include "base/error.h"
#include "kv/wal.h"

static uint32_t head_crc(const struct wal_head *h)
{
    return hash_crc32c(0, h, offsetof(struct wal_head, crc));
}

void wal_head_seal(struct wal_head *h)
{
    h->magic = WAL_HEAD_MAGIC;
    h->version = WAL_VERSION;
    h->zero = h->zero2 = 0;
    h->crc = head_crc(h);
}

bool wal_head_valid(const struct wal_head *h)
{
    return h->magic == WAL_HEAD_MAGIC && h->version == WAL_VERSION && h->crc == head_crc(h);
}

static uint32_t frame_crc(const struct wal_frame *f)
{
    return hash_crc32c(0, f, offsetof(struct wal_frame, crc));
}

void wal_frame_seal(struct wal_frame *f, const void *data)
{
    f->magic = WAL_FRAME_MAGIC;
    f->data_crc = hash_crc32c(0, data, f->len_bytes);
    f->crc = frame_crc(f);
}

bool wal_frame_valid(const struct wal_frame *f, const struct wal_id *id)
{
    return f->magic == WAL_FRAME_MAGIC && f->len_bytes > 0 && f->id.lo == id->lo &&
           f->id.hi == id->hi && f->crc == frame_crc(f);
}

uint64_t wal_number(const char *path)
{
    struct str name = str_from(path);
    if (!str_ends(name, STR(".log")))
        return 0;
    size_t end = name.len - 4, begin = end;
    while (begin > 0 && name.ptr[begin - 1] != '/')
        begin--;
    uint64_t v = 0;
    return str_to_u64(str_make(name.ptr + begin, end - begin), &v) < 0 ? 0 : v;
}

/* ---- what is known of the newest log --------------------------------------------------------- */

static int known_path(const char *dir, char ret[PATH_MAX])
{
    const char *slash = strrchr(dir, '/');
    int n = snprintf(ret, PATH_MAX, "%.*s" WAL_KNOWN_NAME, slash ? (int)(slash - dir) + 1 : 0, dir);
    return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static uint32_t known_crc(const struct wal_known *k)
{
    return hash_crc32c(0, k, offsetof(struct wal_known, crc));
}

int wal_known_read(const char *dir, struct wal_known *ret)
{
    char path[PATH_MAX];
    struct wal_known k = {0};
    *ret = k;
    int r = known_path(dir, path);
    int fd = r < 0 ? r : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return r < 0 ? r : errno == ENOENT ? 0 : -errno;
    ssize_t got = pread(fd, &k, sizeof(k), 0);
    r = got < 0 ? -errno : 0;
    close(fd);
    if (got == sizeof(k) && k.magic == WAL_KNOWN_MAGIC && k.version == WAL_VERSION &&
        k.crc == known_crc(&k))
        *ret = k;
    return r;
}

int wal_sync_dir(const char *dir)
{
    int fd = open(*dir ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return r;
}

int wal_known_write(const char *dir, uint64_t log, uint64_t len)
{
    char path[PATH_MAX];
    struct wal_known k = {
        .magic = WAL_KNOWN_MAGIC, .version = WAL_VERSION, .log = log, .len_bytes = len};
    k.crc = known_crc(&k);
    int r = known_path(dir, path);
    int fd = r < 0 ? r : open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return r < 0 ? r : -errno;
    bool is_new = lseek(fd, 0, SEEK_END) == 0;
    ssize_t put = pwrite(fd, &k, sizeof(k), 0);
    if (put < 0 || fdatasync(fd) < 0)
        r = -errno;
    else if (put != sizeof(k))
        r = -ENOSPC;
    close(fd);
    if (r < 0 || !is_new)
        return r;
    path[strlen(path) - strlen(WAL_KNOWN_NAME)] = 0;
    return wal_sync_dir(path);
}

int wal_forget(const char *dir)
{
    char path[PATH_MAX];
    int r = known_path(dir, path);
    return r == 0 && unlink(path) < 0 && errno != ENOENT ? -errno : r;
}
