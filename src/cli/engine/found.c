/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What the directories are that a start was given: whose each is, by its disk.id or by what else
 * names it, and whether it has a mirror of the metadata. Each is locked while the store is open.
 */

#include "base/log.h"
#include "cli/cli.h"
#include "cli/engine/internal.h"
#include <stdarg.h>
#include <stdio.h>

/* Tells a fault and hands its code on. */
int PRINTF_LIKE(2, 3) engine_fail(int err, const char *fmt, ...)
{
    char text[2 * PATH_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    cli_fail("%s", text);
    return err;
}

/* ---- looking -------------------------------------------------------------------------------- */

static int any_entry(const char *name, void *arg)
{
    return 1;
}

bool FIBER found_dir_has(const char *dir, const char *name)
{
    char path[PATH_MAX + 16];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return rt_dir_list(path, any_entry, NULL) == 1;
}

int FIBER found_lock(const char *dir, struct rt_file **ret)
{
    char path[PATH_MAX + 16];
    struct rt_file *f = NULL;
    snprintf(path, sizeof(path), "%s/lock", dir);
    int r = rt_file_open(&f, path, RT_OPEN_WRITE | RT_OPEN_CREATE);
    if (r == 0)
        r = rt_file_lock(f);
    if (r == 0)
        *ret = f;
    else
        rt_file_close(f);
    return r;
}

/* Without its disk.id: the volumes name the disk, or else its mirror of the metadata. */
static int FIBER recall(struct found *f, int err)
{
    int r = disk_identity_recall(f->path, &f->id);
    f->has_id = f->recalled = r == 0;
    if (r == -ENOENT)
        r = f->has_meta ? 0 : err;
    return r;
}

static int FIBER identify(struct found *f)
{
    int r = disk_identity_read(f->path, &f->id);
    f->has_id = r == 0;
    if (r == -ENOENT && !f->has_data)
        return 0; /* an empty directory */
    if (r == -ENOENT || r == -ERR_CORRUPT)
        r = recall(f, -ERR_CORRUPT);
    return r;
}

void found_leave_alone(struct found *f, int err)
{
    f->err = err;
    f->there = f->has_meta = f->has_data = false;
    log_event(LOG_ERROR, "it cannot be told whose disk a directory is: it is left alone",
              "%s/disk.id: %s", f->path, err_text(err));
}

/* Only another process in it, or a later version's, is a fault; what cannot be read, or told from
 * others, is a disk that is gone. */
static int FIBER look(struct found *f)
{
    f->err = found_lock(f->path, &f->lock);
    if (f->err == -ERR_BUSY)
        return engine_fail(f->err, "another process uses %s: stop it first", f->path);
    if (f->err)
        return 0;
    f->has_meta = found_dir_has(f->path, "meta");
    f->has_data =
        f->has_meta || found_dir_has(f->path, "volumes") || found_dir_has(f->path, "index");
    f->there = true;
    int r = identify(f);
    if (r == -ENOTSUP)
        return engine_fail(
            r,
            "%s was written by a later version of cairn, which says so in its disk.id: "
            "start that version",
            f->path);
    if (r < 0)
        found_leave_alone(f, r);
    return 0;
}

/* Which of two is the disk, and which one a copy that was left behind, nobody can tell. */
int found_test_copy(const struct finds *all, unsigned n)
{
    const struct found *f = &all->at[n];
    for (unsigned i = 0; i < n; i++)
        if (f->has_id && all->at[i].has_id && memcmp(f->id.disk, all->at[i].id.disk, 16) == 0)
            return engine_fail(-ERR_CONFLICT,
                               "%s and %s are copies of one disk: give only one of them",
                               all->at[i].path, f->path);
    return 0;
}

int FIBER found_look(struct finds *all, const struct engine_config *config)
{
    all->count = config->dir_count;
    for (unsigned i = 0; i < all->count; i++)
        all->at[i].path = config->dirs[i];
    int r = 0;
    for (unsigned i = 0; r == 0 && i < all->count; i++)
        r = look(&all->at[i]);
    for (unsigned i = 0; r == 0 && i < all->count; i++)
        r = found_test_copy(all, i);
    return r;
}

static bool FIBER is_known(const char *dir)
{
    struct disk_identity id;
    int r = disk_identity_read(dir, &id);
    return r == 0 || r == -ERR_CORRUPT || r == -ENOTSUP || found_dir_has(dir, "meta") ||
           found_dir_has(dir, "volumes");
}

int FIBER engine_prepare(const char *const *dirs, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (is_known(dirs[i]))
            return 0; /* a directory that is missing is a disk that is missing */
    for (unsigned i = 0; i < count; i++) {
        int r = rt_mkdir(dirs[i]);
        if (r == -EEXIST)
            return engine_fail(-ENOTDIR, "%s is no directory", dirs[i]);
        if (r < 0)
            return engine_fail(r, "cannot make the directory %s: %s", dirs[i], err_text(r));
    }
    return 0;
}

/* The directory of a disk, wherever it is now. */
struct found *found_of(struct finds *all, const uint8_t uuid[16])
{
    for (unsigned i = 0; i < all->count; i++)
        if (all->at[i].has_id && memcmp(all->at[i].id.disk, uuid, 16) == 0)
            return &all->at[i];
    return NULL;
}

uint64_t FIBER found_weight(const char *path)
{
    struct rt_space space = {0};
    rt_space(path, &space);
    return MAX(space.total_bytes, UINT64_C(1));
}

/* ---- identities ------------------------------------------------------------------------------ */

/* Those that have an identity without a number, or those that have none. */
static void number_new(struct finds *all, bool has_id, const uint8_t store[16], uint32_t *next)
{
    for (unsigned i = 0; i < all->count; i++) {
        struct found *f = &all->at[i];
        if (f->id.stored || f->has_id != has_id)
            continue;
        if (!has_id)
            rt_random(f->id.disk, 16);
        f->id.stored = true;
        f->id.number = (*next)++;
        memcpy(f->id.store, store, 16);
    }
}

/* A number for each directory: what its identity says, 0 for the disk of a store of one, else the
 * next. */
static int number_directories(struct finds *all, uint8_t store[16])
{
    uint32_t next = 0;
    bool known = false;
    for (unsigned i = 0; i < all->count; i++) {
        struct found *f = &all->at[i];
        if (!f->has_id || !f->id.stored)
            continue;
        if (known && memcmp(store, f->id.store, 16) != 0)
            return engine_fail(-ERR_CORRUPT, "%s belongs to another store than the others",
                               f->path);
        memcpy(store, f->id.store, 16);
        known = true;
        next = MAX(next, f->id.number + 1);
    }
    if (!known)
        rt_random(store, 16);
    number_new(all, true, store, &next);
    number_new(all, false, store, &next);
    return next <= STORE_DISKS_MAX ? 0 : -ERR_LIMIT;
}

int FIBER found_write_identity(struct found *f)
{
    int r = disk_identity_write(f->path, &f->id);
    f->has_id = r == 0;
    f->recalled = f->recalled && r < 0;
    if (r < 0)
        cli_fail("cannot write %s/disk.id: %s", f->path, err_text(r));
    return r;
}

/* Before the metadata is made: a start that is cut short finds the numbers again. */
int FIBER found_number(struct finds *all, uint8_t store[16])
{
    for (unsigned i = 0; i < all->count; i++)
        if (!all->at[i].there)
            return engine_fail(
                all->at[i].err,
                "cannot use the directory %s: %s (all are needed at the first start)",
                all->at[i].path, err_text(all->at[i].err));
    int r = number_directories(all, store);
    for (unsigned i = 0; r == 0 && i < all->count; i++)
        r = found_write_identity(&all->at[i]);
    return r;
}
