/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/* A file system of its own that hangs: every write to it waits until it thaws. Only root has one.
 */

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <signal.h>
#include "base/defs.h"

#define FROZEN_MAX_S 60

struct frozen {
    char dir[128]; /* the file system is mounted at dir/disk */
    int fd;
    pid_t guard;
};

static inline bool frozen_sh(const struct frozen *f, const char *words)
{
    char line[512];
    snprintf(line, sizeof(line), "cd '%s' && { %s; } >/dev/null 2>&1", f->dir, words);
    return system(line) == 0;
}

/* False, and nothing is left, where no file system can be mounted. */
static inline bool frozen_make(struct frozen *f, const char *dir)
{
    snprintf(f->dir, sizeof(f->dir), "%s", dir);
    if (!frozen_sh(f, "truncate -s 32M image && mkfs.ext4 -q -F image && mkdir disk && "
                      "mount -o loop image disk")) {
        frozen_sh(f, "rm -rf disk image");
        return false;
    }
    char path[160];
    snprintf(path, sizeof(path), "%s/disk", dir);
    f->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return true;
}

/* Whatever becomes of the test, another process thaws it. */
static inline bool frozen_freeze(struct frozen *f)
{
    f->guard = fork();
    if (f->guard == 0) {
        sleep(FROZEN_MAX_S);
        _exit(ioctl(f->fd, FITHAW, 0) == 0);
    }
    return ioctl(f->fd, FIFREEZE, 0) == 0;
}

/* False when it was too late: the guard has. */
static inline bool frozen_thaw(struct frozen *f)
{
    bool thawed = ioctl(f->fd, FITHAW, 0) == 0;
    kill(f->guard, SIGKILL);
    waitpid(f->guard, NULL, 0);
    return thawed;
}

static inline bool frozen_drop(struct frozen *f)
{
    close(f->fd);
    return frozen_sh(f, "umount -l disk && rmdir disk && rm image");
}
