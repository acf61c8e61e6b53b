/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The file calls of rt.h over the simulated disks. Every call that has an effect is
 *
 *     latency, event, effect (or fault), latency, event
 *
 * so that other fibers run before the effect and between it and its report, and a crash can fall on
 * either side of it.
 */

#include "rt/internal.h"
#include "rt/sim/internal.h"

struct sim_file {
    struct rt_file file;
    struct sim_disk *disk;
    struct sim_inode *inode;
    bool writable, locked, direct;
    char path[SIM_PATH_MAX]; /* for faults by path, as it was opened */
};

static struct sim_file *sim_file(struct rt_file *f)
{
    CHECK(f->magic == RT_FILE_MAGIC);
    return container_of(f, struct sim_file, file);
}

/* A path without doubled and trailing slashes. */
struct clean_path {
    char text[SIM_PATH_MAX];
};

static int path_clean(struct clean_path *ret, const char *path)
{
    size_t len = 0;
    for (const char *c = path; *c; c++) {
        if (*c == '/' && (c[1] == '/' || (!c[1] && len > 0)))
            continue;
        if (len == sizeof ret->text - 1)
            return -ENAMETOOLONG;
        ret->text[len++] = *c;
    }
    ret->text[len] = 0;
    return 0;
}

static void FIBER before_effect(void)
{
    sim_latency(sim_running());
    sim_event(sim_running());
}

static void FIBER hang(struct sim_file *f, enum sim_fault_kind kind)
{
    if (sim_disk_hit(f->disk, kind, f->path))
        rt_block_uncancelled(sim_running()->now_ns + SIM_HANG_NS, NULL, NULL);
}

static void FIBER after_effect(void)
{
    sim_latency(sim_running());
    sim_event(sim_running());
}

/* ---- open and close ------------------------------------------------------------------------- */

static int open_inode(struct sim_disk *d, const char *path, unsigned flags, struct sim_inode **ret)
{
    struct sim_inode *n = sim_disk_lookup(d, path);
    if (!n && (flags & RT_OPEN_CREATE)) {
        d->counts.names++;
        return sim_disk_hit(d, SIM_WRITE_ENOSPC, path) ? -ENOSPC
                                                       : sim_disk_create(d, path, false, ret);
    }
    if (!n)
        return -ENOENT;
    if (n->is_dir)
        return -EISDIR;
    if ((flags & RT_OPEN_CREATE) && (flags & RT_OPEN_EXCL))
        return -EEXIST;
    if (flags & RT_OPEN_TRUNCATE) {
        int err = sim_inode_truncate(n, 0, sim_next_seq(d->sim));
        if (err)
            return err;
    }
    *ret = n;
    return 0;
}

int FIBER sim_file_open(struct rt_file **ret, const char *path, unsigned flags)
{
    struct clean_path clean;
    int err = path_clean(&clean, path);
    if (err)
        return err;
    struct sim_disk *d = sim_disk_of(sim_running(), clean.text);
    if (!d)
        return -ENOENT;
    struct sim_file *f = calloc(1, sizeof *f);
    if (!f)
        return -ENOMEM;
    before_effect();
    err = open_inode(d, clean.text, flags, &f->inode);
    if (err) {
        free(f);
        return err;
    }
    f->file.magic = RT_FILE_MAGIC;
    f->disk = d;
    f->writable = flags & RT_OPEN_WRITE;
    f->direct = flags & RT_OPEN_DIRECT;
    sim_inode_ref(f->inode)->opens++;
    memcpy(f->path, clean.text, sizeof f->path);
    after_effect();
    *ret = &f->file;
    return 0;
}

void FIBER sim_file_close(struct rt_file *file)
{
    struct sim_file *f = sim_file(file);
    f->inode->opens--;
    if (f->locked)
        f->inode->locked = false;
    sim_inode_unref(f->inode);
    free(f);
}

int sim_file_lock(struct rt_file *file)
{
    struct sim_file *f = sim_file(file);
    if (f->inode->locked)
        return -ERR_BUSY;
    f->inode->locked = f->locked = true;
    return 0;
}

/* ---- content -------------------------------------------------------------------------------- */

int FIBER sim_file_read(struct rt_file *file, void *buf, size_t len, uint64_t off, size_t *ret_len)
{
    struct sim_file *f = sim_file(file);
    before_effect();
    f->disk->counts.reads++;
    bool fails = sim_disk_hit(f->disk, SIM_READ_EIO, f->path);
    size_t n = fails ? 0 : sim_inode_read(f->inode, buf, len, off);
    if (n && sim_disk_hit(f->disk, SIM_READ_FLIP, f->path))
        ((uint8_t *)buf)[sim_random_below(&sim_running()->fault, n)] ^=
            (uint8_t)(1u << sim_random_below(&sim_running()->fault, 8));
    after_effect();
    if (fails)
        return -EIO;
    *ret_len = n;
    return 0;
}

#define CACHE_BYTES (256 * KIB) /* every fourth run of them is not in memory */

/* Where a read is to fail, it is the disk that is read. */
size_t sim_file_read_now(struct rt_file *file, void *buf, size_t len, uint64_t off)
{
    struct sim_file *f = sim_file(file);
    uint64_t run = off / CACHE_BYTES, end = (run / 4 * 4 + 3) * CACHE_BYTES;
    if (run % 4 == 3 || sim_disk_will_hit(f->disk, SIM_READ_EIO, f->path) ||
        sim_disk_will_hit(f->disk, SIM_READ_FLIP, f->path))
        return 0;
    return sim_inode_read(f->inode, buf, MIN(len, end - off), off);
}

/* How much of a write goes through before the disk is full: whole pages. */
static size_t write_room(const struct sim_file *f, size_t len, uint64_t off)
{
    uint64_t free_pages = sim_disk_free_pages(f->disk);
    while (len && sim_inode_pages_wanted(f->inode, off, len) > free_pages)
        len -= MIN(len, (off + len - 1) % SIM_PAGE + 1);
    return len;
}

static int write_effect(struct sim_file *f, const void *buf, size_t len, uint64_t off)
{
    struct sim *s = sim_running();
    struct sim_disk *d = f->disk;
    d->counts.writes++;
    if (sim_disk_hit(d, SIM_WRITE_LOST, f->path))
        return 0;
    if (sim_disk_hit(d, SIM_WRITE_MISPLACED, f->path)) {
        uint64_t sectors = f->inode->size / SIM_SECTOR + 1;
        off = sim_random_below(&s->fault, sectors) * SIM_SECTOR;
    }
    size_t room = write_room(f, len, off);
    int err = room < len ? -ENOSPC : 0;
    if (sim_disk_hit(d, SIM_WRITE_ENOSPC, f->path))
        err = -ENOSPC;
    if (sim_disk_hit(d, SIM_WRITE_EIO, f->path))
        err = -EIO;
    if (err)
        room = MIN(room, sim_random_below(&s->fault, len + 1));
    int write_err = sim_inode_write(f->inode, buf, room, off, sim_next_seq(s));
    return err ? err : write_err;
}

static size_t iov_total(const struct iovec *iov, unsigned count)
{
    size_t len = 0;
    for (unsigned i = 0; i < count; i++)
        len += iov[i].iov_len;
    return len;
}

/* One write under way, on its fiber's stack; in blocks of RT_DIRECT_ALIGN. */
struct write_range {
    struct list link;
    uint64_t first, end;
    uint64_t direct_end; /* up to here a world may take it past the page cache */
};

#define DIRECT_MIN (128 * KIB) /* what rt/uring takes for long */

static bool direct_aligned(uint64_t n)
{
    return n % RT_DIRECT_ALIGN == 0;
}

/* Blocks of the first vectors that rt/uring may write directly. */
static uint64_t direct_blocks(const struct iovec *iov, unsigned count)
{
    uint64_t blocks = 0;
    for (unsigned i = 0; i < count && direct_aligned((uintptr_t)iov[i].iov_base); i++) {
        blocks += iov[i].iov_len / RT_DIRECT_ALIGN;
        if (!direct_aligned(iov[i].iov_len))
            break;
    }
    return blocks * RT_DIRECT_ALIGN >= DIRECT_MIN ? blocks : 0;
}

static struct write_range write_range_of(const struct sim_file *f, const struct iovec *iov,
                                         unsigned count, size_t len, uint64_t off)
{
    struct write_range w = {.first = off / RT_DIRECT_ALIGN,
                            .end = align_up(off + len, RT_DIRECT_ALIGN) / RT_DIRECT_ALIGN};
    bool direct = f->direct && direct_aligned(off);
    w.direct_end = direct ? w.first + direct_blocks(iov, count) : w.first;
    return w;
}

static bool direct_meets(const struct write_range *w, const struct write_range *other)
{
    return w->direct_end > w->first && w->first < other->end && other->first < w->direct_end;
}

/* The rule of RT_OPEN_DIRECT, which on a real disk breaks without a word. */
static void write_enter(struct sim_file *f, struct write_range *w)
{
    const struct write_range *o;
    LIST_FOR (o, &f->inode->writing, link)
        CHECK(!direct_meets(w, o) && !direct_meets(o, w));
    list_push_back(&f->inode->writing, &w->link);
}

int FIBER sim_file_write(struct rt_file *file, const struct iovec *iov, unsigned count,
                         uint64_t off)
{
    struct sim_file *f = sim_file(file);
    if (!f->writable)
        return -EBADF;
    size_t len = iov_total(iov, count), at = 0;
    struct write_range range = write_range_of(f, iov, count, len, off);
    write_enter(f, &range);
    hang(f, SIM_WRITE_HANGS);
    before_effect();
    uint8_t *flat = malloc(len + 1);
    CHECK(flat);
    for (unsigned i = 0; i < count; i++) {
        if (iov[i].iov_len)
            memcpy(flat + at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    int err = write_effect(f, flat, len, off);
    free(flat);
    after_effect();
    list_remove(&range.link);
    return err;
}

int FIBER sim_file_sync(struct rt_file *file)
{
    struct sim_file *f = sim_file(file);
    struct sim *s = sim_running();
    uint64_t asked_seq = s->seq;
    hang(f, SIM_SYNC_HANGS);
    before_effect();
    /* what was written since it was asked for may be caught by it, or not */
    uint64_t upto = sim_random_one_in(&s->fault, 2) ? asked_seq : s->seq;
    f->disk->counts.syncs++;
    int err = sim_disk_hit(f->disk, SIM_SYNC_EIO, f->path) ? -EIO : 0;
    bool lost = sim_disk_hit(f->disk, SIM_SYNC_LOST, f->path);
    if (err)
        sim_inode_sync_failed(f->inode, &s->fault);
    else if (!lost)
        sim_inode_sync(f->inode, upto);
    after_effect();
    return err;
}

int FIBER sim_file_reserve(struct rt_file *file, uint64_t off, uint64_t len)
{
    struct sim_file *f = sim_file(file);
    before_effect();
    int err = 0;
    if (sim_disk_hit(f->disk, SIM_WRITE_ENOSPC, f->path) ||
        sim_inode_pages_wanted(f->inode, off, len) > sim_disk_free_pages(f->disk))
        err = -ENOSPC;
    else
        err = sim_inode_reserve(f->inode, off, len);
    after_effect();
    return err;
}

int FIBER sim_file_truncate(struct rt_file *file, uint64_t len)
{
    struct sim_file *f = sim_file(file);
    if (!f->writable)
        return -EINVAL;
    before_effect();
    int err = sim_inode_truncate(f->inode, len, sim_next_seq(sim_running()));
    after_effect();
    return err;
}

int FIBER sim_file_size(struct rt_file *file, uint64_t *ret)
{
    *ret = sim_file(file)->inode->size;
    return 0;
}

/* ---- names ---------------------------------------------------------------------------------- */

/* Cleans the path, finds its disk and counts one operation on its names. */
static int FIBER name_begin(const char *path, struct clean_path *ret_path, struct sim_disk **ret)
{
    int err = path_clean(ret_path, path);
    if (err)
        return err;
    struct sim_disk *d = sim_disk_of(sim_running(), ret_path->text);
    if (!d)
        return -ENOENT;
    before_effect();
    d->counts.names++;
    *ret = d;
    return 0;
}

static int FIBER name_end(int err)
{
    after_effect();
    return err;
}

int FIBER sim_mkdir(const char *path)
{
    struct clean_path clean;
    struct sim_disk *d;
    int err = name_begin(path, &clean, &d);
    if (err)
        return err;
    struct sim_inode *n = sim_disk_lookup(d, clean.text);
    if (n)
        return name_end(n->is_dir ? 0 : -EEXIST);
    if (sim_disk_hit(d, SIM_WRITE_ENOSPC, clean.text))
        return name_end(-ENOSPC);
    return name_end(sim_disk_create(d, clean.text, true, &n));
}

int FIBER sim_rename(const char *from, const char *to)
{
    struct clean_path clean_from, clean_to;
    struct sim_disk *d;
    int err = name_begin(from, &clean_from, &d);
    if (!err)
        err = path_clean(&clean_to, to);
    if (err)
        return err;
    if (sim_disk_of(d->sim, clean_to.text) != d)
        return -EXDEV;
    return name_end(sim_disk_rename(d, clean_from.text, clean_to.text));
}

int FIBER sim_unlink(const char *path)
{
    struct clean_path clean;
    struct sim_disk *d;
    int err = name_begin(path, &clean, &d);
    return err ? err : name_end(sim_disk_unlink(d, clean.text));
}

int FIBER sim_dir_sync(const char *path)
{
    struct clean_path clean;
    struct sim_disk *d;
    if (strcmp(path, "/") == 0)
        return 0; /* where the disks' roots are: those are always there */
    int err = name_begin(path, &clean, &d);
    if (err)
        return err;
    if (sim_disk_hit(d, SIM_SYNC_EIO, clean.text))
        return name_end(-EIO);
    if (sim_disk_hit(d, SIM_SYNC_LOST, clean.text))
        return name_end(0);
    return name_end(sim_disk_sync_dir(d, clean.text));
}

int FIBER sim_dir_list(const char *path, int (*fn)(const char *name, void *arg), void *arg)
{
    struct clean_path clean;
    struct sim_disk *d;
    int err = name_begin(path, &clean, &d);
    return err ? err : sim_disk_list(d, clean.text, fn, arg);
}

int FIBER sim_space(const char *path, struct rt_space *ret)
{
    struct sim_disk *d = sim_disk_of(sim_running(), path);
    if (!d)
        return -ENOENT;
    *ret = (struct rt_space){.total_bytes = d->capacity_pages * SIM_PAGE,
                             .free_bytes = sim_disk_free_pages(d) * SIM_PAGE};
    return 0;
}
