/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * The public functions: what holds in every world is checked here, the rest is the world's.
 */

#include <stdio.h>
#include "rt/internal.h"

const struct rt_world_ops *rt_world = &rt_uring_ops;

/* At the door of every FIBER call: on a fiber, with no lock. */
static void on_fiber(void)
{
    CHECK(rt_this_loop && rt_this_loop->current);
    CHECK(rt_locks_held == 0);
}

static void file_door(const struct rt_file *f)
{
    on_fiber();
    CHECK(f->magic == RT_FILE_MAGIC);
}

static void socket_door(const struct rt_socket *s)
{
    on_fiber();
    CHECK(s->magic == RT_SOCKET_MAGIC);
}

/* ---- the world ------------------------------------------------------------------------------- */

unsigned rt_thread_count(void)
{
    return rt_loop_count;
}

unsigned rt_thread_index(void)
{
    CHECK(rt_this_loop);
    return rt_this_loop->index;
}

bool rt_on_loop(void)
{
    return rt_this_loop && !rt_this_loop->offloading;
}

bool rt_simulated(void)
{
    return rt_world->simulated;
}

void rt_stats(struct rt_stats *ret)
{
    struct rt_stats s = {.offload_queued = rt_world->offload_queued()};
    for (unsigned i = 0; i < rt_loop_count; i++) {
        const struct rt_loop *l = rt_loops[i];
        s.fibers += __atomic_load_n(&l->fiber_count, __ATOMIC_RELAXED);
        s.fibers_peak += __atomic_load_n(&l->fiber_peak, __ATOMIC_RELAXED);
        s.parked += __atomic_load_n(&l->parked, __ATOMIC_RELAXED);
        s.stacks += __atomic_load_n(&l->stacks.count, __ATOMIC_RELAXED);
        uint64_t used = __atomic_load_n(&l->stacks.used_max_bytes, __ATOMIC_RELAXED);
        s.stack_used_max_bytes = MAX(s.stack_used_max_bytes, used);
    }
    *ret = s;
}

int FIBER rt_offload(int (*fn)(void *arg), void *arg)
{
    on_fiber();
    return rt_world->offload(fn, arg);
}

uint64_t rt_now(void)
{
    return rt_world->now();
}

uint64_t rt_wall_ms(void)
{
    return rt_world->wall_ms();
}

void rt_random(void *ret, size_t len)
{
    rt_world->random(ret, len);
}

int FIBER rt_wait_signal(int *ret_signal)
{
    on_fiber();
    CHECK(rt_thread_index() == 0);
    return rt_cancelled() ? -ECANCELED : rt_world->wait_signal(ret_signal);
}

/* ---- files ----------------------------------------------------------------------------------- */

int FIBER rt_file_open(struct rt_file **ret, const char *path, unsigned flags)
{
    on_fiber();
    return rt_world->file_open(ret, path, flags);
}

void FIBER rt_file_close(struct rt_file *f)
{
    if (!f)
        return;
    file_door(f);
    rt_world->file_close(f);
}

int FIBER rt_file_read(struct rt_file *f, void *buf, size_t len, uint64_t off, size_t *ret_len)
{
    file_door(f);
    return rt_world->file_read(f, buf, len, off, ret_len);
}

size_t rt_file_read_now(struct rt_file *f, void *buf, size_t len, uint64_t off)
{
    file_door(f);
    return rt_world->file_read_now(f, buf, len, off);
}

int FIBER rt_file_write(struct rt_file *f, const struct iovec *iov, unsigned count, uint64_t off)
{
    file_door(f);
    return rt_world->file_write(f, iov, count, off);
}

int FIBER rt_file_sync(struct rt_file *f)
{
    file_door(f);
    return rt_world->file_sync(f);
}

int FIBER rt_file_reserve(struct rt_file *f, uint64_t off, uint64_t len)
{
    file_door(f);
    return rt_world->file_reserve(f, off, len);
}

int FIBER rt_file_truncate(struct rt_file *f, uint64_t len)
{
    file_door(f);
    return rt_world->file_truncate(f, len);
}

int FIBER rt_file_size(struct rt_file *f, uint64_t *ret)
{
    file_door(f);
    return rt_world->file_size(f, ret);
}

int rt_file_lock(struct rt_file *f)
{
    CHECK(f->magic == RT_FILE_MAGIC);
    return rt_world->file_lock(f);
}

int FIBER rt_mkdir(const char *path)
{
    on_fiber();
    return rt_world->mkdir(path);
}

int FIBER rt_rename(const char *from, const char *to)
{
    on_fiber();
    return rt_world->rename(from, to);
}

int FIBER rt_unlink(const char *path)
{
    on_fiber();
    return rt_world->unlink(path);
}

int FIBER rt_dir_sync(const char *path)
{
    on_fiber();
    return rt_world->dir_sync(path);
}

int FIBER rt_dir_list(const char *path, int (*fn)(const char *name, void *arg), void *arg)
{
    on_fiber();
    return rt_world->dir_list(path, fn, arg);
}

int FIBER rt_space(const char *path, struct rt_space *ret)
{
    on_fiber();
    return rt_world->space(path, ret);
}

int FIBER rt_read_file(const char *path, char *buf, size_t cap, size_t *ret_len)
{
    struct rt_file *f;
    uint64_t size;
    int r = rt_file_open(&f, path, RT_OPEN_READ);
    if (r < 0)
        return r;
    r = rt_file_size(f, &size);
    if (r == 0)
        r = size > cap ? -ERR_TOO_LARGE : rt_file_read(f, buf, cap, 0, ret_len);
    rt_file_close(f);
    return r;
}

static int write_and_sync(const char *path, struct str content)
{
    struct rt_file *f;
    int r = rt_file_open(&f, path, RT_OPEN_WRITE | RT_OPEN_CREATE | RT_OPEN_TRUNCATE);
    if (r < 0)
        return r;
    struct iovec iov = {(void *)content.ptr, content.len};
    if (content.len > 0)
        r = rt_file_write(f, &iov, 1, 0);
    if (r == 0)
        r = rt_file_sync(f);
    rt_file_close(f);
    return r;
}

int FIBER rt_write_file(const char *path, struct str content)
{
    char temporary[4096], directory[4096];
    int n = snprintf(temporary, sizeof(temporary), "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof(temporary))
        return -ENAMETOOLONG;
    const char *slash = strrchr(path, '/');
    int dir_len = slash ? (int)(slash - path) + 1 : 1;
    snprintf(directory, sizeof(directory), "%.*s", dir_len, slash ? path : ".");

    int r = write_and_sync(temporary, content);
    if (r == 0)
        r = rt_rename(temporary, path);
    if (r < 0) {
        rt_unlink(temporary);
        return r;
    }
    return rt_dir_sync(directory);
}

/* ---- sockets --------------------------------------------------------------------------------- */

int rt_listen(struct rt_socket **ret, const struct rt_address *a, bool first)
{
    CHECK(rt_this_loop);
    return rt_world->listen(ret, a, first);
}

int rt_socket_local(struct rt_socket *s, struct rt_address *ret)
{
    CHECK(s->magic == RT_SOCKET_MAGIC);
    return rt_world->socket_local(s, ret);
}

int FIBER rt_accept(struct rt_socket *listener, uint64_t deadline_ns, struct rt_socket **ret,
                    struct rt_address *ret_peer)
{
    socket_door(listener);
    return rt_cancelled() ? -ECANCELED : rt_world->accept(listener, deadline_ns, ret, ret_peer);
}

int FIBER rt_connect(struct rt_socket **ret, const struct rt_address *a, uint64_t deadline_ns)
{
    on_fiber();
    return rt_cancelled() ? -ECANCELED : rt_world->connect(ret, a, deadline_ns);
}

int FIBER rt_recv(struct rt_socket *s, void *buf, size_t len, uint64_t deadline_ns, size_t *ret_len)
{
    socket_door(s);
    return rt_cancelled() ? -ECANCELED : rt_world->recv(s, buf, len, deadline_ns, ret_len);
}

int FIBER rt_send(struct rt_socket *s, struct iovec *iov, unsigned count, uint64_t deadline_ns)
{
    socket_door(s);
    return rt_cancelled() ? -ECANCELED : rt_world->send(s, iov, count, deadline_ns);
}

void rt_socket_shutdown(struct rt_socket *s)
{
    CHECK(s->magic == RT_SOCKET_MAGIC);
    rt_world->socket_shutdown(s);
}

void FIBER rt_socket_close(struct rt_socket *s)
{
    if (!s)
        return;
    socket_door(s);
    rt_world->socket_close(s);
}

int rt_park(struct rt_socket *s, uint64_t deadline_ns, void (*fn)(void *arg, int status), void *arg)
{
    CHECK(rt_this_loop && s->magic == RT_SOCKET_MAGIC);
    return rt_world->park(s, deadline_ns, fn, arg);
}

void rt_unpark(struct rt_socket *s)
{
    CHECK(rt_this_loop && s->magic == RT_SOCKET_MAGIC);
    rt_world->unpark(s);
}
