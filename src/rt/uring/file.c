/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * Files. Small reads that the page cache can answer are answered at once; everything that may touch
 * the disk goes through the ring, so that the loop never waits for it.
 */

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "rt/uring/uring.h"

#define INLINE_READ_MAX (64 * KIB)
#define WINDOW          64          /* vectors handed to the kernel at once */
#define DIRECT_MIN      (128 * KIB) /* below, the page cache costs less than the wait */
#define NAME_EVERY_NS   (500 * RT_MS)
#define STUCK_NS        (500 * RT_MS) /* a write that is not begun by then is taken back */
#define TAKEN_BACK_MAX  32            /* of those under way */

struct uring_file {
    struct rt_file base;
    int fd;
    int direct_fd;     /* the same file opened with O_DIRECT, or -1 */
    bool no_direct;    /* atomic: the file system refused such a write */
    bool named;        /* it had a name when it was opened, as far as its file system counts them */
    uint64_t named_ns; /* atomic: when it was looked whether it still has */
};

static struct uring_file *uring_file_of(const struct rt_file *f)
{
    return container_of((struct rt_file *)(uintptr_t)f, struct uring_file, base);
}

static int file_fd(const struct rt_file *f)
{
    return uring_file_of(f)->fd;
}

/* ---- open and close -------------------------------------------------------------------------- */

struct open_call {
    const char *path;
    int flags;
    bool direct;
    int direct_fd;
    bool named;
};

static int open_offloaded(void *arg)
{
    struct open_call *c = arg;
    struct stat st;
    int fd = open(c->path, c->flags, 0600);
    if (fd < 0)
        return -errno;
    c->named = fstat(fd, &st) == 0 && st.st_nlink > 0;
    c->direct_fd = c->direct ? open(c->path, O_WRONLY | O_CLOEXEC | O_DIRECT) : -1;
    return fd;
}

int FIBER uring_file_open(struct rt_file **ret, const char *path, unsigned flags)
{
    struct open_call c = {path, O_CLOEXEC, flags & RT_OPEN_DIRECT, -1, false};
    c.flags |= flags & RT_OPEN_WRITE ? O_RDWR : O_RDONLY;
    c.flags |= flags & RT_OPEN_CREATE ? O_CREAT : 0;
    c.flags |= flags & RT_OPEN_EXCL ? O_EXCL : 0;
    c.flags |= flags & RT_OPEN_TRUNCATE ? O_TRUNC : 0;
    struct uring_file *f = malloc(sizeof(*f));
    if (!f)
        return -ENOMEM;
    int r = uring_offload(open_offloaded, &c);
    if (r < 0) {
        free(f);
        return r;
    }
    *f = (struct uring_file){
        .base.magic = RT_FILE_MAGIC, .fd = r, .direct_fd = c.direct_fd, .named = c.named};
    *ret = &f->base;
    return 0;
}

static int close_offloaded(void *arg)
{
    const struct uring_file *f = arg;
    if (f->direct_fd >= 0)
        close(f->direct_fd);
    close(f->fd);
    return 0;
}

void FIBER uring_file_close(struct rt_file *file)
{
    struct uring_file *f = uring_file_of(file);
    f->base.magic = 0;
    uring_offload(close_offloaded, f); /* the last close of an unlinked file frees its blocks */
    free(f);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* What an operation of the ring does, for a thread of ours. */
struct file_call {
    int (*fn)(const struct file_call *c); /* BLOCKING */
    int fd;
    const struct iovec *iov;
    unsigned count;
    uint64_t off, len;
};

static int call_offloaded(void *arg)
{
    const struct file_call *c = arg;
    return c->fn(c);
}

/*
 * Nobody cancels these: -ECANCELED is what the kernel says when it could start no thread for an
 * operation (a limit on threads, no memory). Then it has done nothing of it.
 */
static int FIBER finish_file_call(struct uring_op *op, struct file_call *c)
{
    int r = uring_finish(op);
    return likely(r != -ECANCELED) ? r : uring_offload(call_offloaded, c);
}

static int hang_offloaded(void *arg)
{
    uring_thread_waits(true); /* the pool has another in its place */
    int r = call_offloaded(arg);
    uring_thread_waits(false);
    return r;
}

/*
 * The kernel does the writes of a ring one after another when their files fall into the same of 64
 * buckets: one that hangs holds up others, to other disks. So what has not come back for long is
 * taken back, which succeeds if the kernel has not begun with it, and done by a thread of ours, of
 * which some may hang. -EAGAIN: too many do, the ring has to be asked again.
 */
static int FIBER finish_write_call(struct uring_op *op, struct file_call *c)
{
    static unsigned taken_back; /* atomic */
    int r = rt_cancelled() ? uring_finish(op) : uring_await(op, rt_now() + STUCK_NS);
    if (likely(r != -ECANCELED && r != -ETIMEDOUT))
        return r;
    bool few = __atomic_add_fetch(&taken_back, 1, __ATOMIC_RELAXED) <= TAKEN_BACK_MAX;
    r = few ? uring_offload(hang_offloaded, c) : -EAGAIN;
    __atomic_fetch_sub(&taken_back, 1, __ATOMIC_RELAXED);
    return r;
}

/* What the page cache has, without waiting: bytes, or 0 when that cannot be told or is none. */
static size_t read_cached(int fd, void *buf, size_t len, uint64_t off)
{
    struct iovec iov = {buf, len};
    ssize_t n = preadv2(fd, &iov, 1, (off_t)off, RWF_NOWAIT);
    return n > 0 ? (size_t)n : 0;
}

static int read_blocking(const struct file_call *c)
{
    ssize_t n = preadv(c->fd, c->iov, (int)c->count, (off_t)c->off);
    return n < 0 ? -errno : (int)n;
}

static int FIBER read_through_ring(int fd, void *buf, size_t len, uint64_t off)
{
    struct iovec iov = {buf, MIN(len, (size_t)GIB)};
    struct file_call c = {read_blocking, fd, &iov, 1, off, 0};
    struct uring_op op = uring_op_here();
    struct io_uring_sqe *sqe = uring_sqe();
    io_uring_prep_read(sqe, fd, buf, (unsigned)iov.iov_len, off);
    uring_attach(sqe, &op);
    int r = finish_file_call(&op, &c);
    if (r > 0)
        rt_mark_defined(buf, (size_t)r);
    return r;
}

int FIBER uring_file_read(struct rt_file *f, void *buf, size_t len, uint64_t off, size_t *ret_len)
{
    int fd = file_fd(f);
    size_t done = 0;
    if (len > 0 && len <= INLINE_READ_MAX) {
        done = read_cached(fd, buf, len, off);
        if (done == len)
            uring_be_fair();
    }
    while (done < len) {
        int r = read_through_ring(fd, (char *)buf + done, len - done, off + done);
        if (r == -EINTR || r == -EAGAIN)
            continue;
        if (r < 0)
            return r;
        if (r == 0)
            break;
        done += (size_t)r;
    }
    *ret_len = done;
    return 0;
}

size_t uring_file_read_now(struct rt_file *f, void *buf, size_t len, uint64_t off)
{
    return len > 0 ? read_cached(file_fd(f), buf, len, off) : 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Where in a list of vectors a write has come to. */
struct progress {
    const struct iovec *iov;
    unsigned count;
    size_t skip; /* of iov[0] */
};

static void progress_by(struct progress *p, size_t n)
{
    p->skip += n;
    while (p->count > 0 && p->skip >= p->iov->iov_len) {
        p->skip -= p->iov->iov_len;
        p->iov++;
        p->count--;
    }
}

static unsigned progress_window(const struct progress *p, struct iovec *window)
{
    unsigned n = MIN(p->count, (unsigned)WINDOW);
    memcpy(window, p->iov, n * sizeof(*window));
    window[0].iov_base = (char *)window[0].iov_base + p->skip;
    window[0].iov_len -= p->skip;
    return n;
}

static int write_blocking(const struct file_call *c)
{
    ssize_t n = pwritev(c->fd, c->iov, (int)c->count, (off_t)c->off);
    return n < 0 ? -errno : (int)n;
}

static int FIBER write_through_ring(int fd, const struct iovec *iov, unsigned count, uint64_t off)
{
    struct file_call c = {write_blocking, fd, iov, count, off, 0};
    struct uring_op op = uring_op_here();
    struct io_uring_sqe *sqe = uring_sqe();
    io_uring_prep_writev(sqe, fd, iov, count, off);
    uring_attach(sqe, &op);
    return finish_write_call(&op, &c);
}

static bool aligned(uint64_t n)
{
    return n % RT_DIRECT_ALIGN == 0;
}

/*
 * How many of the first vectors can be written directly: those that begin on a block, up to one
 * that does not end on one, whose odd bytes are left off. 0: too little to be worth it.
 */
static unsigned direct_run(const struct uring_file *f, struct iovec *window, unsigned count,
                           uint64_t off)
{
    bool open = f->direct_fd >= 0 && !__atomic_load_n(&f->no_direct, __ATOMIC_RELAXED);
    size_t total = 0, odd = 0;
    unsigned n = 0;
    for (; open && aligned(off) && odd == 0 && n < count; n++) {
        if (!aligned((uintptr_t)window[n].iov_base) || window[n].iov_len < RT_DIRECT_ALIGN)
            break;
        odd = window[n].iov_len % RT_DIRECT_ALIGN;
        total += window[n].iov_len - odd;
    }
    if (total < DIRECT_MIN)
        return 0;
    window[n - 1].iov_len -= odd;
    return n;
}

/* Writes some of the window: -errno or how much. */
static int FIBER write_some(struct uring_file *f, struct iovec *window, unsigned n, uint64_t off)
{
    unsigned direct = direct_run(f, window, n, off);
    if (direct == 0)
        return write_through_ring(f->fd, window, n, off);
    int r = write_through_ring(f->direct_fd, window, direct, off);
    if (r != -EINVAL && r != -EOPNOTSUPP)
        return r;
    __atomic_store_n(&f->no_direct, true, __ATOMIC_RELAXED);
    return -EAGAIN;
}

int FIBER uring_file_write(struct rt_file *f, const struct iovec *iov, unsigned count, uint64_t off)
{
    struct progress p = {iov, count, 0};
    progress_by(&p, 0);
    while (p.count > 0) {
        struct iovec window[WINDOW];
        unsigned n = progress_window(&p, window);
        int r = write_some(uring_file_of(f), window, n, off);
        if (r == -EINTR || r == -EAGAIN)
            continue;
        if (r <= 0)
            return r < 0 ? r : -EIO;
        off += (uint64_t)r;
        progress_by(&p, (size_t)r);
    }
    return 0;
}

/* True once in a while for a file that had a name. */
static bool name_is_due(struct uring_file *f)
{
    uint64_t now = rt_now(), last = __atomic_load_n(&f->named_ns, __ATOMIC_RELAXED);
    return f->named && now - last >= NAME_EVERY_NS &&
           __atomic_compare_exchange_n(&f->named_ns, &last, now, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

static bool FIBER has_name(const struct rt_file *f)
{
    struct statx stx = {.stx_nlink = 1};
    struct uring_op op = uring_op_here();
    struct io_uring_sqe *sqe = uring_sqe();
    io_uring_prep_statx(sqe, file_fd(f), "", AT_EMPTY_PATH, STATX_NLINK, &stx);
    uring_attach(sqe, &op);
    return uring_finish(&op) < 0 || !(stx.stx_mask & STATX_NLINK) || stx.stx_nlink > 0;
}

static int sync_blocking(const struct file_call *c)
{
    return fdatasync(c->fd) < 0 ? -errno : 0;
}

/* Somebody may have deleted the file: then what is written to it can be read until it is closed,
 * and no start will find it. */
int FIBER uring_file_sync(struct rt_file *f)
{
    struct file_call c = {.fn = sync_blocking, .fd = file_fd(f)};
    struct uring_op op = uring_op_here();
    struct io_uring_sqe *sqe = uring_sqe();
    io_uring_prep_fsync(sqe, file_fd(f), IORING_FSYNC_DATASYNC);
    uring_attach(sqe, &op);
    int r = finish_file_call(&op, &c);
    return r == 0 && name_is_due(uring_file_of(f)) && !has_name(f) ? -ESTALE : r;
}

static int reserve_blocking(const struct file_call *c)
{
    return fallocate(c->fd, FALLOC_FL_KEEP_SIZE, (off_t)c->off, (off_t)c->len) < 0 ? -errno : 0;
}

int FIBER uring_file_reserve(struct rt_file *f, uint64_t off, uint64_t len)
{
    struct file_call c = {.fn = reserve_blocking, .fd = file_fd(f), .off = off, .len = len};
    int r;
    do {
        struct uring_op op = uring_op_here();
        struct io_uring_sqe *sqe = uring_sqe();
        io_uring_prep_fallocate(sqe, c.fd, FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len);
        uring_attach(sqe, &op);
        r = finish_write_call(&op, &c);
    } while (r == -EAGAIN);
    return r;
}

/* ---- the rest -------------------------------------------------------------------------------- */

struct truncate_call {
    int fd;
    uint64_t len;
};

static int truncate_offloaded(void *arg)
{
    const struct truncate_call *c = arg;
    return ftruncate(c->fd, (off_t)c->len) < 0 ? -errno : 0;
}

int FIBER uring_file_truncate(struct rt_file *f, uint64_t len)
{
    struct truncate_call c = {file_fd(f), len};
    return uring_offload(truncate_offloaded, &c);
}

int FIBER uring_file_size(struct rt_file *f, uint64_t *ret)
{
    struct stat st;
    if (fstat(file_fd(f), &st) < 0)
        return -errno;
    *ret = (uint64_t)st.st_size;
    return 0;
}

int uring_file_lock(struct rt_file *f)
{
    if (flock(file_fd(f), LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK ? -ERR_BUSY : -errno;
}
