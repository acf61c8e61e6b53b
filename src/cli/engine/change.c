/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Disks that are added to a store that serves, or take the place of one that is gone. */

#include "cli/engine/internal.h"
#include <stdarg.h>
#include <stdio.h>

int PRINTF_LIKE(3, 4) engine_refuse(char why[ENGINE_WHY_MAX], int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, ENGINE_WHY_MAX, fmt, ap);
    va_end(ap);
    return err;
}

/* It was being taken in when the server was killed, before the table had it: nothing is in it. */
bool engine_was_begun(const struct engine *e, const struct disk_identity *id, bool has_data)
{
    bool ours = id->stored && memcmp(id->store, e->table.store, sizeof(id->store)) == 0;
    for (uint32_t i = 0; ours && i < e->table.count; i++)
        ours = memcmp(e->table.list[i].uuid, id->disk, sizeof(id->disk)) != 0;
    return ours && !has_data;
}

/* Beside what mkfs makes and an attempt that failed leaves. */
static int foreign_entry(const char *name, void *arg)
{
    return strcmp(name, "lost+found") != 0 && strcmp(name, "lock") != 0;
}

/* An empty directory gets an identity of this store. */
static int FIBER take_directory(struct engine *e, const char *dir, struct store_disk *row,
                                struct rt_file **ret_lock, char why[ENGINE_WHY_MAX])
{
    struct disk_identity id = {.stored = true, .number = row->number};
    int r = rt_mkdir(dir);
    if (r < 0)
        return engine_refuse(why, r, "cannot make the directory %s: %s", dir, err_text(r));
    struct disk_identity there;
    bool has_data = found_dir_has(dir, "meta") || found_dir_has(dir, "volumes");
    bool begun = disk_identity_read(dir, &there) == 0 && engine_was_begun(e, &there, has_data);
    if (rt_dir_list(dir, foreign_entry, NULL) == 1 && !begun)
        return engine_refuse(why, -ERR_CONFLICT,
                             "%s is not empty: only an empty directory is taken in", dir);
    r = found_lock(dir, ret_lock);
    if (r < 0)
        return engine_refuse(why, r, "cannot lock the directory %s: %s", dir, err_text(r));
    rt_random(id.disk, 16);
    memcpy(id.store, e->table.store, 16);
    memcpy(row->uuid, id.disk, 16);
    row->weight = found_weight(dir);
    r = disk_identity_write(dir, &id);
    return r < 0 ? engine_refuse(why, r, "cannot write %s/disk.id: %s", dir, err_text(r)) : 0;
}

/* `old` (may be NULL) is gone from now on; `dir` is a disk in its place, or one more. */
static int FIBER change(struct engine *e, struct store_disk *old, const char *dir,
                        uint32_t *ret_number, char why[ENGINE_WHY_MAX])
{
    struct rt_file *lock = NULL;
    if (strlen(dir) >= STORE_DISK_PATH_MAX || dir[0] != '/')
        return engine_refuse(why, -EINVAL, "the directory is given by its whole path");
    struct store_disk *row = store_disks_add(&e->table);
    if (!row)
        return engine_refuse(why, -ERR_LIMIT, "the table of disks is full");
    snprintf(row->path, sizeof(row->path), "%s", dir);
    int r = take_directory(e, dir, row, &lock, why);
    if (r == 0) {
        enum store_disk_state before = old ? old->state : STORE_DISK_GONE;
        if (old)
            old->state = STORE_DISK_GONE;
        r = engine_save_table(e);
        if (r < 0 && old)
            old->state = before;
        if (r < 0)
            engine_refuse(why, r, "cannot write the table of disks: %s", err_text(r));
    }
    if (r < 0) {
        e->table.count--;
        rt_file_close(lock);
        return r;
    }
    if (old) {
        node_set_role(nodes_get(&e->nodes, old->number), NODE_RETIRED);
        nodes_look(&e->nodes); /* lets the old one's files go: the new one may have their names */
    }
    *ret_number = row->number;
    r = engine_add_node(e, row, lock);
    if (r < 0)
        return engine_refuse(why, r, "the disk is in the table and opens at the next start: %s",
                             err_text(r));
    r = engine_publish_ring(e);
    if (r < 0)
        return engine_refuse(
            why, r, "the disk is taken in and gets no data before the next start: %s", err_text(r));
    engine_fill_mirrors(e);
    return 0;
}

static int FIBER change_alone(struct engine *e, struct store_disk *old, const char *dir,
                              uint32_t *ret_number, char why[ENGINE_WHY_MAX])
{
    if (e->changing)
        return engine_refuse(why, -ERR_BUSY, "another change of the disks is under way");
    e->changing = true;
    int r = change(e, old, dir, ret_number, why);
    e->changing = false;
    return r;
}

int FIBER engine_disk_replace(struct engine *e, uint32_t number, const char *dir,
                              uint32_t *ret_number, char why[ENGINE_WHY_MAX])
{
    struct store_disk *old = engine_row(e, number);
    if (!old)
        return engine_refuse(why, -ERR_NOT_FOUND, "there is no disk %u", number);
    if (node_state(nodes_get(&e->nodes, number)) != NODE_GONE)
        return engine_refuse(why, -ERR_CONFLICT,
                             "disk %u is there: only a disk that is gone is replaced", number);
    return change_alone(e, old, dir, ret_number, why);
}

int FIBER engine_disk_add(struct engine *e, const char *dir, uint32_t *ret_number,
                          char why[ENGINE_WHY_MAX])
{
    return change_alone(e, NULL, dir, ret_number, why);
}
