/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/world.h"
#include "base/error.h"
#include "cli/cli.h"
#include <stdio.h>

/* The number after `label`, which a line of the file begins with; 0 without one. */
static int number_in(const char *path, const char *label)
{
    char line[256];
    int number = 0;
    size_t len = strlen(label);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, label, len) == 0 && sscanf(line + len, "%d", &number) == 1)
            break;
    fclose(f);
    return number;
}

void world_look(struct world_facts *ret)
{
    *ret = (struct world_facts){
        .disabled = number_in("/proc/sys/kernel/io_uring_disabled", ""),
        .filtered = number_in("/proc/self/status", "Seccomp:") == 2,
    };
}

const char *world_advice(int err, const struct world_facts *facts)
{
    bool refused = err == -EPERM || err == -EACCES;
    if (refused && facts->disabled == 1)
        return "kernel.io_uring_disabled is 1: set it to 0 (sysctl -w kernel.io_uring_disabled=0), "
               "or run cairn in the group that kernel.io_uring_group names";
    if (refused && facts->disabled)
        return "kernel.io_uring_disabled forbids it: sysctl -w kernel.io_uring_disabled=0";
    if ((refused || err == -ENOSYS) && facts->filtered)
        return "a seccomp filter forbids it, as those of containers do: allow io_uring_setup, "
               "io_uring_enter and io_uring_register (docker run --security-opt seccomp=PROFILE, "
               "SystemCallFilter=@aio of systemd)";
    if (refused)
        return "a security module forbids it: ask its log";
    if (err == -ENOSYS)
        return "this kernel has none, or an old one: Linux 5.11 or newer is needed";
    if (err == -ENOMEM)
        return "memory for it is limited: raise ulimit -l (LimitMEMLOCK=) or the memory of this "
               "control group";
    return NULL;
}

int world_fail(int err)
{
    struct world_facts facts;
    world_look(&facts);
    const char *advice = world_advice(err, &facts);
    if (!advice)
        return cli_fail("cannot start: %s", err_text(err));
    return cli_fail("cannot start, the kernel refuses io_uring (%s): %s", err_text(err), advice);
}
