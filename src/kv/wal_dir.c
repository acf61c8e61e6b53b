/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>
#include "base/error.h"
#include "kv/wal_dir.h"

/* ---- the file -------------------------------------------------------------------------------- */

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

/* Without the first part's CRC, behind which it would say nothing of that part. */
static uint32_t more_crc(const struct wal_known *k)
{
    const size_t from = offsetof(struct wal_known, frames);
    return hash_crc32c(known_crc(k), (const char *)k + from,
                       offsetof(struct wal_known, more_crc) - from);
}

/* What is not sound is not known. A version of before writes the first part alone. */
static void judge(struct wal_known *k, ssize_t got)
{
    const ssize_t first = offsetof(struct wal_known, frames);
    bool sound = got >= first && k->magic == WAL_KNOWN_MAGIC && k->version == WAL_VERSION &&
                 k->crc == known_crc(k);
    bool whole = sound && got == sizeof(*k) && k->more_crc == more_crc(k);
    if (!sound)
        *k = (struct wal_known){.magic = 0};
    if (!whole) {
        memset((char *)k + first, 0, sizeof(*k) - (size_t)first);
        k->retired = WAL_RETIRED_UNKNOWN;
    }
}

int wal_known_read(const char *dir, struct wal_known *ret)
{
    char path[PATH_MAX];
    struct wal_known k = {0};
    int r = known_path(dir, path);
    int fd = r < 0 ? r : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && (r < 0 || errno != ENOENT))
        return r < 0 ? r : -errno;
    ssize_t got = fd < 0 ? 0 : pread(fd, &k, sizeof(k), 0);
    r = got < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    judge(&k, got);
    *ret = k;
    return r;
}

static int put_known(int fd, struct wal_known *k)
{
    k->magic = WAL_KNOWN_MAGIC;
    k->version = WAL_VERSION;
    k->crc = known_crc(k);
    k->more_crc = more_crc(k);
    ssize_t put = pwrite(fd, k, sizeof(*k), 0);
    return put == sizeof(*k) ? 0 : put < 0 ? -errno : -ENOSPC;
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

static int open_known(const char *dir)
{
    char path[PATH_MAX];
    int r = known_path(dir, path);
    int fd = r < 0 ? r : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return fd < 0 && r == 0 ? -errno : fd;
}

int wal_known_write(const char *dir, const struct wal_known *known)
{
    struct wal_known k = *known;
    int fd = open_known(dir);
    if (fd < 0)
        return fd;
    int r = put_known(fd, &k);
    if (r == 0 && fdatasync(fd) < 0)
        r = -errno;
    close(fd);
    return r;
}

int wal_forget(const char *dir)
{
    char path[PATH_MAX];
    int r = known_path(dir, path);
    return r == 0 && unlink(path) < 0 && errno != ENOENT ? -errno : r;
}

/* ---- directories ----------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    struct list all;
} dirs = {PTHREAD_MUTEX_INITIALIZER, {&dirs.all, &dirs.all}};

static size_t dir_len(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* The lock is held. */
static struct wal_dir *dir_find(const char *path, size_t len)
{
    struct wal_dir *d;
    LIST_FOR (d, &dirs.all, link)
        if (d->len == len && memcmp(d->path, path, len) == 0)
            return d;
    return NULL;
}

/* The lock is held. */
static struct wal_dir *dir_new(const char *path, size_t len)
{
    struct wal_dir *d = calloc(1, sizeof(*d) + len + 1);
    if (!d)
        return NULL;
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_init(&d->known_lock, NULL);
    list_init(&d->writers);
    d->known_fd = -1;
    d->len = len;
    memcpy(d->path, path, len);
    list_push_back(&dirs.all, &d->link);
    return d;
}

struct wal_dir *wal_dir_of(const char *path)
{
    size_t len = dir_len(path);
    pthread_mutex_lock(&dirs.lock);
    struct wal_dir *d = dir_find(path, len);
    if (!d)
        d = dir_new(path, len);
    if (d)
        d->refs++;
    pthread_mutex_unlock(&dirs.lock);
    return d;
}

void wal_dir_unref(struct wal_dir *d)
{
    pthread_mutex_lock(&dirs.lock);
    bool last = --d->refs == 0;
    if (last)
        list_remove(&d->link);
    pthread_mutex_unlock(&dirs.lock);
    if (!last)
        return;
    if (d->known_fd >= 0)
        close(d->known_fd);
    pthread_mutex_destroy(&d->lock);
    pthread_mutex_destroy(&d->known_lock);
    free(d);
}

/* ---- notes ----------------------------------------------------------------------------------- */

/* `known_lock` is held. */
static int read_known(struct wal_dir *d)
{
    int r = d->read ? 0 : wal_known_read(d->path, &d->known);
    d->read |= r == 0;
    return r;
}

/* Into the page cache. `known_lock` is held. */
static int put_note(struct wal_dir *d)
{
    if (d->known_fd < 0) {
        int fd = open_known(d->path);
        if (fd < 0)
            return fd;
        d->named = lseek(fd, 0, SEEK_END) > 0;
        d->known_fd = fd;
    }
    return put_known(d->known_fd, &d->known);
}

/* The file stays open as long as there is the directory, and another's newer note does no harm. */
static int sync_note(struct wal_dir *d)
{
    if (fdatasync(d->known_fd) < 0)
        return -errno;
    bool named = __atomic_load_n(&d->named, __ATOMIC_RELAXED);
    int r = named ? 0 : wal_sync_dir(d->path);
    if (r == 0)
        __atomic_store_n(&d->named, true, __ATOMIC_RELAXED);
    return r;
}

/* Of those before it nothing is asked where nothing was known of them. */
static void begin_log(struct wal_known *k, uint64_t log)
{
    k->log = log;
    k->frames = 0;
    if (k->retired >= log)
        k->retired = log - 1;
}

int wal_dir_note_log(struct wal_dir *d, uint64_t log, uint64_t len)
{
    pthread_mutex_lock(&d->known_lock);
    bool older = log < d->newest;
    int r = older ? 0 : read_known(d);
    if (r == 0 && !older) {
        if (log != d->newest)
            begin_log(&d->known, log);
        d->newest = log;
        d->known.len_bytes = len;
        r = put_note(d);
    }
    pthread_mutex_unlock(&d->known_lock);
    return r < 0 || older ? r : sync_note(d);
}

void wal_dir_note_frames(struct wal_dir *d, uint64_t log, uint64_t frames)
{
    pthread_mutex_lock(&d->known_lock);
    if (log == d->newest) {
        d->known.frames = frames;
        (void)put_note(d); /* what it said before holds still */
    }
    pthread_mutex_unlock(&d->known_lock);
}

int wal_dir_note_retired(struct wal_dir *d, uint64_t log)
{
    pthread_mutex_lock(&d->known_lock);
    int r = read_known(d);
    bool news = r == 0 && d->known.log > 0 && log > d->known.retired;
    if (news) {
        d->known.retired = log;
        r = put_note(d);
    }
    pthread_mutex_unlock(&d->known_lock);
    return news && r == 0 ? sync_note(d) : r;
}

int wal_dir_shorten(struct wal_dir *d, uint64_t log, uint64_t len, uint64_t frames)
{
    pthread_mutex_lock(&d->known_lock);
    int r = read_known(d);
    struct wal_known *k = &d->known;
    bool shorter = r == 0 && k->log == log && (k->len_bytes > len || k->frames > frames);
    if (shorter) {
        k->len_bytes = MIN(k->len_bytes, len);
        k->frames = MIN(k->frames, frames);
        r = put_note(d);
    }
    pthread_mutex_unlock(&d->known_lock);
    return shorter && r == 0 ? sync_note(d) : r;
}

void wal_dir_newest(struct wal_dir *d, uint64_t *ret_log, uint64_t *ret_frames)
{
    pthread_mutex_lock(&d->known_lock);
    bool known = read_known(d) == 0;
    *ret_log = known ? d->known.log : 0;
    *ret_frames = known ? d->known.frames : 0;
    pthread_mutex_unlock(&d->known_lock);
}

void wal_note_manifest(const char *path, uint64_t number, uint64_t len, uint32_t crc)
{
    struct wal_dir *d = wal_dir_of(path);
    if (!d)
        return;
    pthread_mutex_lock(&d->known_lock);
    if (read_known(d) == 0) {
        d->known.manifest = number;
        d->known.manifest_bytes = len;
        d->known.manifest_crc = crc;
        (void)put_note(d);
    }
    pthread_mutex_unlock(&d->known_lock);
    wal_dir_unref(d);
}
