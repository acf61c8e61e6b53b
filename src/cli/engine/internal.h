/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/* What the files of the engine share of directories, disks and the metadata's mirrors. */

#include "cli/engine/engine.h"
#include "volume/identity.h"

/* ---- found.c --------------------------------------------------------------------------------- */

/* What was found at a path. */
struct found {
    const char *path;
    bool there;    /* a directory that could be locked, and that can be told from others */
    bool has_id;   /* `id` is what its disk.id says */
    bool recalled; /* its disk.id is gone or damaged, and `id` is what else names the disk */
    bool nameless; /* it has metadata, and nothing at all names the disk: `id` is a new one */
    bool has_data; /* volumes, their index, or metadata */
    bool has_meta;
    bool taken; /* it is a disk of the table */
    int err;
    struct disk_identity id;
    struct rt_file *lock;
};

struct finds {
    struct found at[ENGINE_DIRS_MAX];
    unsigned count;
};

/* Tells a fault on standard error, and hands its code on. */
int PRINTF_LIKE(2, 3) engine_fail(int err, const char *fmt, ...);

/* Looks at each directory and locks it. -ERR_BUSY, -ENOTSUP, -ERR_CONFLICT; what else is wrong with
 * one is in its `err`. */
int FIBER found_look(struct finds *all, const struct engine_config *config);
/* It is left out: it cannot be told whose it is. */
void found_leave_alone(struct found *f, int err);
/* -ERR_CONFLICT: directory `n` and one before it are copies of one disk. */
int found_test_copy(const struct finds *all, unsigned n);
/* The directory of a disk, wherever it is now; NULL: none. */
struct found *found_of(struct finds *all, const uint8_t uuid[16]);

/* Of the first start: a number and an identity for each, written down before there is metadata.
 * `store` is the store's id, made here where none of them names it. */
int FIBER found_number(struct finds *all, uint8_t store[16]);
int FIBER found_write_identity(struct found *f);

/* `dir`/`name` is a folder that has something in it. */
bool FIBER found_dir_has(const char *dir, const char *name);
int FIBER found_lock(const char *dir, struct rt_file **ret);
/* Of a disk there, by its size. */
uint64_t FIBER found_weight(const char *path);

/* ---- mirrors.c ------------------------------------------------------------------------------- */

/* Opens the metadata from the mirrors that are there, or makes them: then with identities first. */
int FIBER engine_open_metadata(struct engine *e, struct finds *all,
                               const struct engine_config *config);
int FIBER engine_open_mirrors(struct engine *e, struct finds *all, bool first,
                              const struct engine_config *config);

/* ---- disks.c, change.c, drain.c -------------------------------------------------------------- */

/* Opens the disk of the row; takes `lock` (may be NULL) in any case. */
int FIBER engine_add_node(struct engine *e, const struct store_disk *row, struct rt_file *lock);
unsigned engine_active_count(const struct store_disks *t);
/* That is no longer the store's: NULL. */
struct store_disk *engine_row(struct engine *e, uint32_t number);
/* It was being taken in when the server was killed, before the table had it: nothing is in it. */
bool engine_was_begun(const struct engine *e, const struct disk_identity *id, bool has_data);
/* Of a change: the sentence into `why`, and `err` back. */
int PRINTF_LIKE(3, 4) engine_refuse(char why[ENGINE_WHY_MAX], int err, const char *fmt, ...);
