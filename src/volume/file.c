/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Volume files and the space in them.
 *
 * A volume is made whole (both superblocks, synced, its name synced) before anything is put in it.
 * One volume is active: new extents are cut from its tail. It is sealed when the next extent does
 * not fit, when it is large enough for what the disk holds, when a sync fails, or early by
 * compaction; a sealed volume never becomes active again in this process.
 *
 * An extent begins and ends on a sector and has one writer, so no sector is ever written by two,
 * and none that was synced is written again. A long one begins on a block, so that most of it can
 * be written past the page cache. Its life: open (in `inflight`), then settled
 * (committed and in the window, or known to hold nothing) or stranded (nobody can say before the
 * next start).
 *
 * Space is taken from the file system ahead of the tail without changing the file's length: so
 * a full disk shows before anything is written, and the length bounds what a replay reads.
 */

#include <stdio.h>
#include "volume/internal.h"

/* ---- the table of volumes ------------------------------------------------------------------- */

void volume_path(const struct disk *d, uint32_t number, char ret[VOLUME_PATH_MAX])
{
    int n = snprintf(ret, VOLUME_PATH_MAX, "%s/volumes/%08u.vol", d->path, number);
    CHECK(n > 0 && n < VOLUME_PATH_MAX);
}

/* The first position whose volume is not before `number`. */
static size_t volume_position(const struct disk *d, uint32_t number)
{
    size_t lo = 0, hi = d->volume_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (d->volumes[mid]->number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct volume *volume_find(struct disk *d, uint32_t number)
{
    size_t i = volume_position(d, number);
    return i < d->volume_count && d->volumes[i]->number == number ? d->volumes[i] : NULL;
}

struct volume *volume_get(struct disk *d, uint32_t number)
{
    rt_lock(&d->lock);
    struct volume *v = volume_find(d, number);
    if (v)
        v->refs++;
    rt_unlock(&d->lock);
    return v;
}

void volume_insert(struct disk *d, struct volume *v)
{
    CHECK(d->volume_count < VOLUMES_MAX);
    size_t i = volume_position(d, v->number);
    memmove(d->volumes + i + 1, d->volumes + i, (d->volume_count - i) * sizeof(d->volumes[0]));
    d->volumes[i] = v;
    d->volume_count++;
    v->gone = false;
}

void volume_remove(struct disk *d, struct volume *v)
{
    size_t i = volume_position(d, v->number);
    CHECK(i < d->volume_count && d->volumes[i] == v && d->active != v);
    d->volume_count--;
    memmove(d->volumes + i, d->volumes + i + 1, (d->volume_count - i) * sizeof(d->volumes[0]));
    v->gone = true;
}

uint64_t volume_low(const struct volume *v)
{
    uint64_t low = MIN(v->tail, v->stuck);
    if (list_empty(&v->inflight))
        return low;
    return MIN(low, container_of(v->inflight.next, struct extent, link)->offset);
}

/* ---- one volume ----------------------------------------------------------------------------- */

int volume_new(struct volume **ret, uint32_t number)
{
    struct volume *v = calloc(1, sizeof(*v));
    if (!v)
        return -ENOMEM;
    v->number = number;
    v->cell_bytes = CELL_BYTES;
    v->tail = v->allocated = v->low_swapped = VOLUME_DATA;
    v->stuck = UINT64_MAX;
    v->refs = 1;
    v->roll.partial = true;
    list_init(&v->inflight);
    *ret = v;
    return 0;
}

void FIBER volume_free(struct volume *v)
{
    if (!v)
        return;
    CHECK(list_empty(&v->inflight));
    rt_file_close(v->file);
    roll_release(&v->roll);
    free(v);
}

/* A failure leaves an unlinked or an orphaned file: the next start removes what holds nothing. */
static void FIBER volume_unlink(struct disk *d, uint32_t number)
{
    char path[VOLUME_PATH_MAX];
    volume_path(d, number, path);
    if (rt_unlink(path) == 0)
        disk_sync_names(d);
}

void FIBER volume_put(struct disk *d, struct volume *v)
{
    rt_lock(&d->lock);
    CHECK(v->refs > 0);
    bool last = --v->refs == 0;
    rt_unlock(&d->lock);
    if (!last)
        return;
    uint32_t number = v->number;
    bool gone = v->gone;
    volume_free(v);
    if (gone)
        volume_unlink(d, number);
}

int FIBER disk_sync_names(struct disk *d)
{
    char path[VOLUME_PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/volumes", d->path);
    CHECK(n > 0 && n < VOLUME_PATH_MAX);
    return rt_dir_sync(path);
}

static int FIBER superblocks_write(struct disk *d, struct volume *v)
{
    struct superblock s;
    superblock_make(&s, v->number, v->incarnation, d->uuid);
    for (unsigned i = 0; i < SUPERBLOCK_COUNT; i++) {
        struct iovec iov = {&s, sizeof(s)};
        int err = rt_file_write(v->file, &iov, 1, i * SUPERBLOCK_STEP);
        if (err)
            return err;
    }
    int err = rt_file_sync(v->file);
    return err ? err : disk_sync_names(d);
}

/* A new volume, durable, not yet in the table. */
static int FIBER volume_create(struct disk *d, uint32_t number, struct volume **ret)
{
    struct volume *v;
    int err = volume_new(&v, number);
    if (err)
        return err;
    v->roll.partial = false;
    char path[VOLUME_PATH_MAX];
    volume_path(d, number, path);
    rt_random(&v->incarnation, sizeof(v->incarnation));
    err = rt_file_open(&v->file, path,
                       RT_OPEN_WRITE | RT_OPEN_CREATE | RT_OPEN_EXCL | RT_OPEN_DIRECT);
    if (err == 0) {
        err = superblocks_write(d, v);
        if (err)
            volume_unlink(d, number);
    }
    if (err) {
        volume_free(v);
        return err;
    }
    *ret = v;
    return 0;
}

void volume_seal(struct disk *d, struct volume *v)
{
    if (d->active == v)
        d->active = NULL;
}

void volume_fail(struct disk *d, struct volume *v)
{
    rt_lock(&d->lock);
    if (!v->failed)
        index_hurry(d);
    v->failed = true;
    volume_seal(d, v);
    rt_unlock(&d->lock);
}

bool volume_failed(struct disk *d, const struct volume *v)
{
    rt_lock(&d->lock);
    bool failed = v->failed;
    rt_unlock(&d->lock);
    return failed;
}

/* ---- trimming ------------------------------------------------------------------------------- */

/* The next volume that holds space it will not use, with a reference. */
static struct volume *volume_to_trim(struct disk *d, bool active_too)
{
    struct volume *found = NULL;
    rt_lock(&d->lock);
    for (size_t i = 0; !found && i < d->volume_count; i++) {
        struct volume *v = d->volumes[i];
        bool open = v == d->active && !active_too;
        if (!open && !v->trimmed && !v->failed && list_empty(&v->inflight))
            found = v;
    }
    if (found) {
        found->trimmed = true; /* an error is no reason to try again: only space is at stake */
        found->refs++;
    }
    rt_unlock(&d->lock);
    return found;
}

void FIBER volumes_trim(struct disk *d, bool active_too)
{
    for (struct volume *v; (v = volume_to_trim(d, active_too));) {
        rt_file_truncate(v->file, v->tail);
        volume_put(d, v);
    }
}

/* ---- space ---------------------------------------------------------------------------------- */

static uint64_t live_bytes(const struct disk *d)
{
    uint64_t live = 0;
    for (size_t i = 0; i < d->volume_count; i++)
        live += d->volumes[i]->row.live_bytes;
    return live;
}

/* Space taken ahead is space that nothing lies in: little, where little lies on the disk. */
static uint64_t usual_step(struct disk *d)
{
    rt_lock(&d->lock);
    uint64_t share = live_bytes(d) / ALLOCATE_SHARE;
    rt_unlock(&d->lock);
    return MIN(MAX(share, ALLOCATE_STEP_MIN), ALLOCATE_STEP);
}

/* How much to take for at least `need` bytes, no more than `most`. -ENOSPC. */
static int FIBER space_step(struct disk *d, uint64_t need, uint64_t most, enum space_use use,
                            uint64_t *ret)
{
    struct rt_space space;
    int err = rt_space(d->path, &space);
    if (err)
        return err;
    uint64_t kept = use == SPACE_UPKEEP ? 0 : d->reserve_bytes;
    if (space.free_bytes < kept + need)
        return -ENOSPC;
    /* A small disk is not given away to one volume's tail. */
    uint64_t step = MIN(usual_step(d), (space.free_bytes - kept) / 16);
    *ret = MIN(MAX(need, step), most);
    return 0;
}

/* What was free a moment ago is as good, where that is far more than is asked for: many begin at
 * once, and asking the file system costs each of them more than all else. */
static bool room_remembered(struct disk *d, uint64_t need)
{
    rt_lock(&d->lock);
    bool is =
        d->room_ns && rt_now() - d->room_ns < ROOM_AGE_NS && d->room_bytes / ROOM_PLENTY > need;
    rt_unlock(&d->lock);
    return is;
}

int FIBER disk_room(struct disk *d, uint64_t len)
{
    struct rt_space space;
    if (room_remembered(d, d->reserve_bytes + len))
        return 0;
    int err = rt_space(d->path, &space);
    if (err)
        return err;
    rt_lock(&d->lock);
    d->room_bytes = space.free_bytes;
    d->room_ns = rt_now();
    struct volume *v = d->active;
    uint64_t ahead = v && v->allocated > v->tail ? v->allocated - v->tail : 0;
    rt_unlock(&d->lock);
    return space.free_bytes + ahead < d->reserve_bytes + len ? -ENOSPC : 0;
}

static bool not_supported(int err)
{
    return err == -EOPNOTSUPP || err == -ENOSYS;
}

/* Takes space so that `len` more bytes fit behind the tail. The caller has `growing`. */
static int FIBER volume_allocate(struct disk *d, struct volume *v, uint64_t tail, uint64_t len,
                                 enum space_use use)
{
    uint64_t from = MAX(v->allocated, tail), step;
    int err =
        space_step(d, tail + len - from, MAX(d->volume_bytes_max, tail + len) - from, use, &step);
    if (err)
        return err;
    step = align_up(step, SECTOR_BYTES);
    err = rt_file_reserve(v->file, from, step);
    if (err && !not_supported(err))
        return err;
    rt_lock(&d->lock);
    v->allocated = from + step;
    v->trimmed = false;
    rt_unlock(&d->lock);
    return 0;
}

/* Makes the next volume the active one. The caller has `growing`. */
static int FIBER volume_roll(struct disk *d, enum space_use use)
{
    uint64_t step;
    int err = space_step(d, VOLUME_DATA + SECTOR_BYTES, ALLOCATE_STEP, use, &step);
    if (err)
        return err;
    rt_lock(&d->lock);
    uint32_t number = d->next_volume++;
    bool full = d->volume_count >= VOLUMES_MAX;
    rt_unlock(&d->lock);
    if (full)
        return -ERR_LIMIT;
    struct volume *v;
    err = volume_create(d, number, &v);
    if (err)
        return err;
    rt_lock(&d->lock);
    volume_insert(d, v);
    d->active = v;
    rt_unlock(&d->lock);
    return 0;
}

static uint64_t extent_align(uint64_t len)
{
    return len > DIRECT_EXTENT_MIN ? RT_DIRECT_ALIGN : SECTOR_BYTES;
}

/* Under the lock. */
static bool extent_cut(struct disk *d, uint64_t len, struct extent *ret)
{
    struct volume *v = d->active;
    uint64_t offset = v ? align_up(v->tail, extent_align(len)) : 0;
    if (!v || offset + len > v->allocated || offset + len > d->volume_bytes_max)
        return false;
    *ret = (struct extent){.volume = v, .offset = offset, .len_bytes = len};
    list_push_back(&v->inflight, &ret->link);
    v->tail = offset + len;
    v->refs++;
    return true;
}

/*
 * A volume is what compaction takes at a time, and there are two of it until its copies are
 * durable: so none is to be a large part of what the disk holds. Under the lock.
 */
static bool volume_suffices(const struct disk *d, const struct volume *v)
{
    return v->tail > MAX(VOLUME_SUFFICES_MIN, live_bytes(d) / VOLUME_SHARE);
}

/* One step towards room for `len`. Called and left with the lock; it has `growing` meanwhile. */
static int FIBER grow(struct disk *d, uint64_t len, enum space_use use)
{
    struct volume *v = d->active;
    uint64_t tail = v ? align_up(v->tail, extent_align(len)) : 0;
    bool fits = v && tail + len <= d->volume_bytes_max && !volume_suffices(d, v);
    if (v && !fits)
        volume_seal(d, v);
    if (fits)
        v->refs++;
    d->growing = true;
    rt_unlock(&d->lock);
    int err = fits ? volume_allocate(d, v, tail, len, use) : volume_roll(d, use);
    if (fits)
        volume_put(d, v);
    rt_lock(&d->lock);
    d->growing = false;
    rt_wake_all(&d->grown);
    return err;
}

int FIBER extent_open(struct disk *d, uint64_t len, enum space_use use, struct extent *ret)
{
    len = align_up(len, SECTOR_BYTES);
    if (len > d->volume_bytes_max - VOLUME_DATA)
        return -ERR_TOO_LARGE;
    int err = 0;
    rt_lock(&d->lock);
    while (err == 0 && !extent_cut(d, len, ret)) {
        if (d->growing)
            rt_wait_uncancelled(&d->grown, &d->lock, RT_NEVER); /* whoever grows always ends */
        else
            err = grow(d, len, use);
    }
    rt_unlock(&d->lock);
    return err;
}

void extent_settle(struct extent *e)
{
    list_remove(&e->link);
}

void extent_strand(struct extent *e)
{
    e->volume->stuck = MIN(e->volume->stuck, e->offset);
    list_remove(&e->link);
}
