/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Whose disk a directory is: the file `disk.id`. The first form names the disk alone; the second
 * one also the store it belongs to and the number it has there (docs/FORMATS.md). The file is
 * replaced whole: new file, sync, rename, sync of the directory.
 */

#include "rt/rt.h"

#define DISK_IDENTITY_MAX 256

struct disk_identity {
    uint8_t disk[16];
    bool stored; /* the second form: */
    uint8_t store[16];
    uint32_t number;
};

/* -ERR_CORRUPT unless it is wholly of one form; -ENOTSUP: it is whole, and of a later version. */
int disk_identity_parse(struct str text, struct disk_identity *ret);
/* In `ret`. */
struct str disk_identity_format(const struct disk_identity *id, char ret[DISK_IDENTITY_MAX]);

/* -ENOENT: no directory, or nothing in it that says whose it is. */
int FIBER disk_identity_read(const char *dir, struct disk_identity *ret);
int FIBER disk_identity_write(const char *dir, const struct disk_identity *id);
/*
 * Where that file is gone or damaged: the disk that all superblocks of the directory's volumes
 * name, in the first form. -ENOENT: there is none that is sound. -ERR_CORRUPT: they name several.
 */
int FIBER disk_identity_recall(const char *dir, struct disk_identity *ret);
