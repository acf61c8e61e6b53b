/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include <malloc.h>
#include <stdio.h>
#include <sys/mman.h>
#include "cli/server/trim.h"

struct mapping {
    unsigned long start, end;
    bool of_file; /* and not writable */
};

/* "55d0c4400000-55d0c4600000 r-xp 00000000 fe:00 1234  /usr/bin/cairn" */
static bool mapping_parse(const char *line, struct mapping *ret)
{
    struct mapping m;
    char rights[5], path[8];
    int fields = sscanf(line, "%lx-%lx %4s %*s %*s %*s %7s", &m.start, &m.end, rights, path);
    if (fields < 3)
        return false;
    m.of_file = fields == 4 && path[0] == '/' && rights[1] == '-' && rights[3] == 'p';
    *ret = m;
    return true;
}

/*
 * Only a mapping without pages of its own is dropped: relocated tables and a debugger's breakpoints
 * are in memory alone and would be lost.
 */
int BLOCKING trim_memory(void *unused)
{
    char line[512];
    struct mapping m = {0};
    unsigned long own_kib;
    FILE *f = fopen("/proc/self/smaps", "re");
    malloc_trim(0);
    while (f && fgets(line, sizeof(line), f)) {
        if (mapping_parse(line, &m))
            continue;
        if (sscanf(line, "Anonymous: %lu", &own_kib) == 1 && own_kib == 0 && m.of_file)
            madvise((void *)m.start, m.end - m.start, MADV_DONTNEED);
    }
    if (f)
        fclose(f);
    return 0;
}
