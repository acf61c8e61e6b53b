/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A margin of free space that ordinary writes leave alone: RocksDB merges in it, and deletions need
 * it. And two files, for when something else fills the disk to the last block: their blocks are
 * ours until we unlink them.
 *
 * Plain system calls: RocksDB's own files beside it are outside `rt` as well.
 */

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "kv/rocks_internal.h"

#define RESERVE_MAX_BYTES (64 * MIB)
#define RESERVE_SHARE     8 /* of a small disk, at most one part in so many */
#define FLOOR_SHARE       4 /* of its size, so much is left free by whatever is written */
#define RESERVE_LAST      2 /* given up when less than its half is free: not to ordinary writes */
#define START_MAX_BYTES   (128 * MIB) /* for several starts */
#define START_SHARE       16
#define MARGIN_MAX_BYTES  (1 * GIB)
#define MARGIN_SHARE      100

#define RESERVE_END ".reserve"
#define START_END   ".start"

static int disk_space(const char *path, uint64_t *ret_total, uint64_t *ret_free)
{
    struct statvfs s;
    if (statvfs(path, &s) < 0)
        return -errno;
    *ret_total = (uint64_t)s.f_blocks * s.f_frsize;
    *ret_free = (uint64_t)s.f_bavail * s.f_frsize;
    return 0;
}

/*
 * ext4 keeps blocks for root, by default a twentieth of all. Others that run as root fill them as
 * well, and then what is given up seems to be no room at all, though it is to a server of root's.
 */
#define EXT4_OWN_SHARE     50 /* of these, so much is the file system's own */
#define EXT4_OWN_MAX_BYTES (16 * MIB)

/* Where it matters that anything can be written at all: what is kept for root is ours if we are. */
static int last_space(const char *path, uint64_t *ret_left)
{
    struct statfs s;
    if (statfs(path, &s) < 0)
        return -errno;
    uint64_t block = (uint64_t)s.f_frsize, left = s.f_bavail * block, free = s.f_bfree * block;
    uint64_t own = MIN(s.f_blocks * block / EXT4_OWN_SHARE, EXT4_OWN_MAX_BYTES);
    bool ours = s.f_type == EXT4_SUPER_MAGIC && geteuid() == 0;
    *ret_left = ours && free > own ? MAX(left, free - own) : left;
    return 0;
}

static char *path_with(const char *store, const char *end)
{
    char *path;
    return asprintf(&path, "%s%s", store, end) < 0 ? NULL : path;
}

static uint64_t length_of(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 ? (uint64_t)s.st_size : 0;
}

int rocks_reserve_init(struct rocks_reserve *r, const char *store)
{
    uint64_t total = 0, left = 0;
    *r = (struct rocks_reserve){0};
    int e = disk_space(store, &total, &left);
    if (e < 0)
        return e;
    r->store = strdup(store);
    r->path = path_with(store, RESERVE_END);
    r->start_path = path_with(store, START_END);
    if (!r->store || !r->path || !r->start_path) {
        rocks_reserve_release(r);
        return -ENOMEM;
    }
    r->reserve_bytes = MIN(total / RESERVE_SHARE, RESERVE_MAX_BYTES);
    r->margin_bytes = MAX(MIN(total / MARGIN_SHARE, MARGIN_MAX_BYTES), r->reserve_bytes);
    r->start_bytes = MIN(total / START_SHARE, START_MAX_BYTES);
    r->held = access(r->path, F_OK) == 0;
    r->ready = length_of(r->start_path) >= r->start_bytes;
    return 0;
}

void rocks_reserve_release(struct rocks_reserve *r)
{
    free(r->store);
    free(r->path);
    free(r->start_path);
    *r = (struct rocks_reserve){0};
}

static bool take(const char *path, uint64_t bytes)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool taken = posix_fallocate(fd, 0, (off_t)bytes) == 0;
    close(fd);
    if (!taken)
        unlink(path);
    return taken;
}

void rocks_reserve_start(struct rocks_reserve *r, uint64_t bytes)
{
    uint64_t left = 0, held = length_of(r->start_path);
    (void)rocks_reserve_check(r);
    bytes += r->reserve_bytes / FLOOR_SHARE;
    if (held == 0 || last_space(r->store, &left) < 0 || left >= bytes)
        return;
    __atomic_store_n(&r->ready, false, __ATOMIC_RELAXED);
    if (held <= bytes - left || truncate(r->start_path, (off_t)(held - (bytes - left))) < 0)
        unlink(r->start_path);
}

/*
 * Concurrent callers may both unlink or both allocate; either leaves what one would have left. The
 * way back takes more space than the way in, so that the answer does not flutter.
 */
int rocks_reserve_check(struct rocks_reserve *r)
{
    uint64_t total = 0, left = 0;
    if (r->reserve_bytes == 0 || disk_space(r->store, &total, &left) < 0)
        return 0;
    bool held = __atomic_load_n(&r->held, __ATOMIC_RELAXED);
    bool low = __atomic_load_n(&r->low, __ATOMIC_RELAXED);
    uint64_t enough = r->margin_bytes + r->margin_bytes / 4;
    if (held && left < r->reserve_bytes / RESERVE_LAST) {
        unlink(r->path);
        held = false;
    } else if (!held && left > enough + r->reserve_bytes) {
        held = take(r->path, r->reserve_bytes);
    } else if (held && !__atomic_load_n(&r->ready, __ATOMIC_RELAXED) &&
               left > enough + r->start_bytes) {
        __atomic_store_n(&r->ready, take(r->start_path, r->start_bytes), __ATOMIC_RELAXED);
    }
    low = !held || left < (low ? enough : r->margin_bytes);
    __atomic_store_n(&r->held, held, __ATOMIC_RELAXED);
    __atomic_store_n(&r->low, low, __ATOMIC_RELAXED);
    return low ? -ENOSPC : 0;
}

uint64_t rocks_reserve_room(const struct rocks_reserve *r)
{
    uint64_t total = 0, left = 0;
    if (disk_space(r->store, &total, &left) < 0)
        return 0;
    return left - MIN(left, r->reserve_bytes / FLOOR_SHARE);
}

int rocks_reserve_floor(const struct rocks_reserve *r, uint64_t bytes)
{
    uint64_t left = 0;
    if (r->reserve_bytes == 0 || last_space(r->store, &left) < 0)
        return 0;
    return left < r->reserve_bytes / FLOOR_SHARE + bytes ? -ENOSPC : 0;
}

static int remove_with(const char *store, const char *end)
{
    _cleanup_free_ char *path = path_with(store, end);
    if (!path)
        return -ENOMEM;
    return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

int rocks_reserve_remove(const char *store)
{
    int r = remove_with(store, RESERVE_END), s = remove_with(store, START_END);
    return r < 0 ? r : s;
}
