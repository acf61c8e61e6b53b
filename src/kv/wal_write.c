/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Writing a log, and what becomes of its file. Past the page cache where the file system can:
 * nobody reads a log before the next start.
 *
 * Invariants of a writer
 *  1. The file's blocks are written up to `capacity`, which is its length; frames end at `end`.
 *  2. `stage` has room for a header, `staged` bytes and zeros to the end of their block.
 *  3. Once `failed` nothing is written.
 *
 * Spares are files `spare.N` beside the logs. One is made a log by a new head, synced, and then the
 * name; so is a new file, called `spare.new` until then.
 *
 * Each directory has a lock of its own (wal_dir.h): one on a disk that hangs holds up no other.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/error.h"
#include "kv/wal_dir.h"

#define AHEAD_BYTES     (1 * MIB)   /* so much is written ahead at least */
#define ZEROS_BYTES     (128 * KIB) /* a step of that */
#define STAGE_FIRST     (256 * KIB)
#define STAGE_KEPT      (2 * MIB)
#define STAGED_MAX      (32 * MIB) /* what more comes together is written without being asked */
#define SPARES          4
#define NEW_NAME        "spare.new"
#define SPARE_MIN_BYTES (1 * MIB) /* shorter logs are not worth keeping, longer ones too dear */
#define SPARE_MAX_BYTES (64 * MIB)
#define SPARE_SHARE     64 /* of the free space, a spare takes at most one part in so many */

struct wal_writer {
    struct list link; /* under the directory's lock */
    struct wal_dir *dir;
    char *path;
    int fd;

    pthread_mutex_t lock;
    struct wal_id id;
    uint64_t log, frames, end, capacity, appended;
    char *stage;
    size_t stage_bytes, staged;
    bool named; /* the file system counts the names of a file */
    int failed;
    bool lost; /* see wal_sync() */
};

/* ---- bytes to the disk ----------------------------------------------------------------------- */

/* True when the file was written past the page cache so far, and is no longer. */
static bool turn_to_the_cache(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_DIRECT) && fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0;
}

/* EINVAL: a disk of larger blocks, or a limit that leaves less than one. */
static int write_at(int fd, const void *data, size_t len, uint64_t at)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(fd, (const char *)data + done, len - done, (off_t)(at + done));
        if (n > 0)
            done += (size_t)n;
        else if (n == 0)
            return -ENOSPC;
        else if (errno != EINTR && !(errno == EINVAL && turn_to_the_cache(fd)))
            return -errno;
    }
    return 0;
}

static int write_zeros(int fd, uint64_t from, uint64_t to)
{
    static char zeros[ZEROS_BYTES] __attribute__((aligned(WAL_BLOCK))); /* takes no memory */
    int r = 0;
    while (r == 0 && from < to) {
        size_t n = MIN(to - from, (uint64_t)sizeof(zeros));
        r = write_at(fd, zeros, n, from);
        from += n;
    }
    return r;
}

static int failed(struct wal_writer *w, int r, bool at_sync)
{
    w->failed = r;
    w->lost = at_sync;
    return r;
}

/* Written ahead by more than is needed where there is room for that. */
static int extend(struct wal_writer *w, uint64_t need)
{
    uint64_t to = MAX(need, w->capacity + AHEAD_BYTES);
    int r = write_zeros(w->fd, w->capacity, to);
    if (r < 0 && need < to) {
        to = need;
        r = ftruncate(w->fd, (off_t)w->capacity) < 0 ? -errno : write_zeros(w->fd, w->capacity, to);
    }
    if (r < 0)
        return failed(w, r, false);
    if (fdatasync(w->fd) < 0)
        return failed(w, -errno, true);
    w->capacity = to;
    r = wal_dir_note_log(w->dir, w->log, to);
    return r < 0 ? failed(w, r, r == -EIO) : 0;
}

/* ---- frames ---------------------------------------------------------------------------------- */

static int stage_grow(struct wal_writer *w, size_t len)
{
    size_t need = wal_frame_bytes(w->staged + len), bytes = MAX(w->stage_bytes, STAGE_FIRST);
    if (need <= w->stage_bytes)
        return 0;
    while (bytes < need)
        bytes *= 2;
    char *stage = aligned_alloc(WAL_BLOCK, bytes);
    if (!stage)
        return -ENOMEM;
    if (w->staged)
        memcpy(stage + sizeof(struct wal_frame), w->stage + sizeof(struct wal_frame), w->staged);
    free(w->stage);
    w->stage = stage;
    w->stage_bytes = bytes;
    return 0;
}

static void stage_clear(struct wal_writer *w)
{
    w->staged = 0;
    if (w->stage_bytes <= STAGE_KEPT)
        return;
    free(TAKE_PTR(w->stage));
    w->stage_bytes = 0;
}

static void seal_stage(struct wal_writer *w, size_t bytes)
{
    char *data = w->stage + sizeof(struct wal_frame);
    struct wal_frame f = {.len_bytes = (uint32_t)w->staged, .id = w->id, .number = w->frames};
    wal_frame_seal(&f, data);
    memcpy(w->stage, &f, sizeof(f));
    memset(data + w->staged, 0, bytes - sizeof(f) - w->staged);
}

/* Somebody deleted the file: no start will find what is written to it. */
static bool is_deleted(const struct wal_writer *w)
{
    struct stat s;
    return w->named && fstat(w->fd, &s) == 0 && s.st_nlink == 0;
}

/* What is staged becomes a frame, synced. */
static int put_frame(struct wal_writer *w)
{
    if (w->failed || w->staged == 0)
        return w->failed;
    size_t bytes = wal_frame_bytes(w->staged);
    int r = w->end + bytes > w->capacity ? extend(w, w->end + bytes) : 0;
    if (r < 0)
        return r;
    seal_stage(w, bytes);
    r = write_at(w->fd, w->stage, bytes, w->end);
    if (r < 0)
        return failed(w, r, false);
    if (fdatasync(w->fd) < 0 || is_deleted(w))
        return failed(w, -EIO, true);
    w->end += bytes;
    w->frames++;
    wal_dir_note_frames(w->dir, w->log, w->frames);
    stage_clear(w);
    return 0;
}

static int append(struct wal_writer *w, const void *data, size_t len)
{
    int r = w->staged + len > STAGED_MAX ? put_frame(w) : w->failed;
    if (r == 0)
        r = stage_grow(w, len);
    if (r < 0)
        return failed(w, r, w->lost);
    memcpy(w->stage + sizeof(struct wal_frame) + w->staged, data, len);
    w->staged += len;
    w->appended += len;
    return 0;
}

int wal_append(struct wal_writer *w, const void *data, size_t len, bool *ret_lost)
{
    pthread_mutex_lock(&w->lock);
    int r = 0;
    for (size_t done = 0; done < len && r == 0;) {
        size_t n = MIN(len - done, (size_t)STAGED_MAX);
        r = append(w, (const char *)data + done, n);
        done += n;
    }
    if (r < 0)
        *ret_lost = w->lost;
    pthread_mutex_unlock(&w->lock);
    return r;
}

int wal_sync(struct wal_writer *w, bool *ret_lost)
{
    pthread_mutex_lock(&w->lock);
    int r = put_frame(w);
    if (r < 0)
        *ret_lost = w->lost;
    pthread_mutex_unlock(&w->lock);
    return r;
}

uint64_t wal_len(struct wal_writer *w)
{
    pthread_mutex_lock(&w->lock);
    uint64_t len = w->appended;
    pthread_mutex_unlock(&w->lock);
    return len;
}

/* ---- files ----------------------------------------------------------------------------------- */

static int path_in(const struct wal_dir *d, const char *name, char ret[PATH_MAX])
{
    int n = snprintf(ret, PATH_MAX, "%.*s%s", (int)d->len, d->path, name);
    return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int open_past_the_cache(const char *path, int flags)
{
    int fd = open(path, flags | O_RDWR | O_CLOEXEC | O_DIRECT, 0600);
    if (fd < 0 && errno == EINVAL)
        fd = open(path, flags | O_RDWR | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

static int new_id(struct wal_id *ret)
{
    struct wal_id id;
    if (getrandom(&id, sizeof(id), 0) != sizeof(id))
        return -EIO;
    *ret = id;
    return 0;
}

/* The newest writer, or NULL. The directory's lock is held. */
static struct wal_writer *newest(struct wal_dir *d)
{
    return list_empty(&d->writers) ? NULL : container_of(d->writers.prev, struct wal_writer, link);
}

/*
 * What the newest log of the directory has so far: of one that an earlier process left as much as
 * is known of it. The directory's lock is held.
 */
static void look_before(struct wal_dir *d, struct wal_head *h)
{
    struct wal_writer *o = newest(d);
    if (!o) {
        wal_dir_newest(d, &h->before, &h->before_frames);
        if (h->before >= h->log)
            h->before = h->before_frames = 0;
        return;
    }
    pthread_mutex_lock(&o->lock);
    h->before = o->log;
    h->before_frames = o->frames;
    pthread_mutex_unlock(&o->lock);
}

static int write_head(int fd, const struct wal_head *h)
{
    static _Thread_local char block[WAL_BLOCK] __attribute__((aligned(WAL_BLOCK)));
    memcpy(block, h, sizeof(*h));
    int r = write_at(fd, block, sizeof(block), 0);
    return r == 0 && fdatasync(fd) < 0 ? -errno : r;
}

/* Makes a file with that name the log: its head, and then its new name. */
static int begin_from(struct wal_writer *w, const char *name, int flags)
{
    char from[PATH_MAX];
    struct stat s;
    struct wal_head h = {.id = w->id, .log = w->log};
    int r = path_in(w->dir, name, from);
    int fd = r < 0 ? r : open_past_the_cache(from, flags);
    if (fd < 0)
        return fd;
    look_before(w->dir, &h);
    wal_head_seal(&h);
    r = write_head(fd, &h);
    if (r == 0 && (fstat(fd, &s) < 0 || rename(from, w->path) < 0))
        r = -errno;
    if (r < 0) {
        close(fd);
        unlink(from);
        return r;
    }
    w->fd = fd;
    w->named = s.st_nlink > 0;
    w->end = WAL_BLOCK;
    w->capacity = (uint64_t)s.st_size / WAL_BLOCK * WAL_BLOCK;
    return 0;
}

static void spare_name(unsigned n, char ret[16])
{
    snprintf(ret, 16, "spare.%u", n);
}

/* Its name comes first: what is known must be there. */
static int note_new(struct wal_writer *w)
{
    int r = wal_sync_dir(w->dir->path);
    return r == 0 ? wal_dir_note_log(w->dir, w->log, w->capacity) : r;
}

/* The directory's lock is held. */
static int begin(struct wal_writer *w)
{
    char name[16];
    int r = -ENOENT;
    for (unsigned n = 0; n < SPARES && r < 0; n++) {
        spare_name(n, name);
        r = begin_from(w, name, 0);
    }
    if (r < 0)
        r = begin_from(w, NEW_NAME, O_CREAT | O_TRUNC);
    if (r == 0)
        r = note_new(w);
    if (r == 0)
        list_push_back(&w->dir->writers, &w->link);
    return r;
}

static void writer_free(struct wal_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    if (w->dir)
        wal_dir_unref(w->dir);
    pthread_mutex_destroy(&w->lock);
    free(w->stage);
    free(w->path);
    free(w);
}

int wal_create(struct wal_writer **ret, const char *path)
{
    struct wal_writer *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->fd = -1;
    w->log = wal_number(path);
    w->dir = wal_dir_of(path);
    w->path = strdup(path);
    pthread_mutex_init(&w->lock, NULL);
    list_init(&w->link);
    int r = w->dir && w->path ? new_id(&w->id) : -ENOMEM;
    if (r == 0) {
        pthread_mutex_lock(&w->dir->lock);
        r = begin(w);
        pthread_mutex_unlock(&w->dir->lock);
    }
    if (r < 0)
        writer_free(w);
    else
        *ret = w;
    return r;
}

int wal_close(struct wal_writer *w, bool *ret_lost)
{
    if (!w)
        return 0;
    int r = wal_sync(w, ret_lost);
    pthread_mutex_lock(&w->dir->lock);
    if (r == 0 && newest(w->dir) == w && wal_dir_note_log(w->dir, w->log, w->end) == 0)
        (void)!ftruncate(w->fd, (off_t)w->end);
    list_remove(&w->link);
    pthread_mutex_unlock(&w->dir->lock);
    writer_free(w);
    return r;
}

/* ---- spares ---------------------------------------------------------------------------------- */

/* Whether the file is one to keep: of our form, and small beside what is free. */
static bool worth_keeping(const char *path)
{
    struct statvfs v;
    struct stat s;
    struct wal_head h;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool framed = pread(fd, &h, sizeof(h), 0) == sizeof(h) && wal_head_valid(&h);
    bool known = fstat(fd, &s) == 0 && fstatvfs(fd, &v) == 0;
    close(fd);
    if (!framed || !known || s.st_nlink != 1)
        return false;
    uint64_t bytes = (uint64_t)s.st_size;
    return bytes >= SPARE_MIN_BYTES && bytes <= SPARE_MAX_BYTES &&
           bytes <= (uint64_t)v.f_bavail * v.f_frsize / SPARE_SHARE;
}

/* Gives it a free name for a spare. The directory's lock is held. */
static bool make_spare(const struct wal_dir *d, const char *path)
{
    char to[PATH_MAX], name[16];
    for (unsigned n = 0; n < SPARES; n++) {
        spare_name(n, name);
        if (path_in(d, name, to) == 0 && access(to, F_OK) < 0 && errno == ENOENT)
            return rename(path, to) == 0;
    }
    return false;
}

static bool keep(const char *path)
{
    struct wal_dir *d = worth_keeping(path) ? wal_dir_of(path) : NULL;
    if (!d)
        return false;
    pthread_mutex_lock(&d->lock);
    bool kept = make_spare(d, path);
    pthread_mutex_unlock(&d->lock);
    wal_dir_unref(d);
    return kept;
}

static int note_retired(const char *path)
{
    struct wal_dir *d = wal_dir_of(path);
    int r = d ? wal_dir_note_retired(d, wal_number(path)) : -ENOMEM;
    if (d)
        wal_dir_unref(d);
    return r;
}

int wal_retire(const char *path)
{
    int r = note_retired(path);
    if (r < 0)
        return r;
    return keep(path) || unlink(path) == 0 ? 0 : -errno;
}

void wal_drop_spares(const char *dir)
{
    char path[PATH_MAX], name[16];
    if (snprintf(path, sizeof(path), "%s/", dir) >= (int)sizeof(path))
        return;
    struct wal_dir *d = wal_dir_of(path);
    if (!d)
        return;
    pthread_mutex_lock(&d->lock);
    for (unsigned n = 0; n <= SPARES; n++) {
        spare_name(n, name);
        if (path_in(d, n < SPARES ? name : NEW_NAME, path) == 0)
            unlink(path);
    }
    pthread_mutex_unlock(&d->lock);
    wal_dir_unref(d);
}
