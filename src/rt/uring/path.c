/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * Directories and names. All of it may wait for the disk and none of it is frequent: it goes to the
 * offload threads.
 */

#include <dirent.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/buf.h"
#include "rt/uring/uring.h"

struct path_call {
    const char *path, *to;
    struct buf *names;
    struct rt_space *space;
};

static int mkdir_offloaded(void *arg)
{
    const struct path_call *c = arg;
    struct stat st;
    if (mkdir(c->path, 0700) == 0)
        return 0;
    int r = -errno;
    return r == -EEXIST && stat(c->path, &st) == 0 && S_ISDIR(st.st_mode) ? 0 : r;
}

int FIBER uring_mkdir(const char *path)
{
    struct path_call c = {.path = path};
    return uring_offload(mkdir_offloaded, &c);
}

static int rename_offloaded(void *arg)
{
    const struct path_call *c = arg;
    return rename(c->path, c->to) < 0 ? -errno : 0;
}

int FIBER uring_rename(const char *from, const char *to)
{
    struct path_call c = {.path = from, .to = to};
    return uring_offload(rename_offloaded, &c);
}

static int unlink_offloaded(void *arg)
{
    const struct path_call *c = arg;
    return unlink(c->path) < 0 ? -errno : 0;
}

int FIBER uring_unlink(const char *path)
{
    struct path_call c = {.path = path};
    return uring_offload(unlink_offloaded, &c);
}

static int dir_sync_offloaded(void *arg)
{
    const struct path_call *c = arg;
    int fd = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return r;
}

int FIBER uring_dir_sync(const char *path)
{
    struct path_call c = {.path = path};
    return uring_offload(dir_sync_offloaded, &c);
}

/* The names, each with its NUL. */
static int dir_list_offloaded(void *arg)
{
    const struct path_call *c = arg;
    DIR *d = opendir(c->path);
    if (!d)
        return -errno;
    const struct dirent *e;
    errno = 0;
    while ((e = readdir(d))) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            buf_put(c->names, e->d_name, strlen(e->d_name) + 1);
        errno = 0;
    }
    int r = -errno;
    closedir(d);
    return r < 0 ? r : buf_error(c->names);
}

int FIBER uring_dir_list(const char *path, int (*fn)(const char *name, void *arg), void *arg)
{
    _cleanup_buf_ struct buf names;
    buf_init(&names, 0);
    struct path_call c = {.path = path, .names = &names};
    int r = uring_offload(dir_list_offloaded, &c);
    for (size_t at = 0; r == 0 && at < names.len; at += strlen(names.data + at) + 1)
        r = fn(names.data + at, arg);
    return r;
}

static int space_offloaded(void *arg)
{
    const struct path_call *c = arg;
    struct statvfs v;
    if (statvfs(c->path, &v) < 0)
        return -errno;
    c->space->total_bytes = (uint64_t)v.f_blocks * v.f_frsize;
    c->space->free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    return 0;
}

int FIBER uring_space(const char *path, struct rt_space *ret)
{
    struct path_call c = {.path = path, .space = ret};
    return uring_offload(space_offloaded, &c);
}

struct resolve_call {
    const char *host;
    uint16_t port;
    struct rt_address *ret;
};

static int resolve_offloaded(void *arg)
{
    const struct resolve_call *c = arg;
    char service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found;
    snprintf(service, sizeof(service), "%u", c->port);
    int r = getaddrinfo(c->host, service, &hints, &found);
    if (r != 0)
        return r == EAI_MEMORY ? -ENOMEM : r == EAI_SYSTEM ? -errno : -ERR_NOT_FOUND;
    *c->ret = (struct rt_address){.len = found->ai_addrlen};
    memcpy(c->ret->bytes, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return 0;
}

int FIBER uring_resolve(struct rt_address *ret, const char *host, uint16_t port)
{
    struct resolve_call c = {host, port, ret};
    return uring_offload(resolve_offloaded, &c);
}
