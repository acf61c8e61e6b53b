/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The files of the log, DIR/NNNNNNNN.log, eight digits from 00000001 on, and their lines.
 */

#include <limits.h>
#include "rt/rt.h"

#define AUDIT_FILES_MAX 100000

struct audit_files {
    uint32_t *numbers; /* in order; the caller frees them */
    size_t count;
};
/* None when there is no such directory. */
int FIBER audit_files_list(const char *dir, struct audit_files *ret);
void audit_file_path(const char *dir, uint32_t number, char ret[PATH_MAX]);

/*
 * Each whole line without its end, and how far the whole lines go. `fn` may suspend; non-zero ends
 * it and is handed back. A line longer than AUDIT_LINE_MAX is given in pieces, which are no lines.
 */
int FIBER audit_file_lines(const char *path, int (*fn)(struct str line, void *arg), void *arg,
                           uint64_t *ret_whole_bytes);
