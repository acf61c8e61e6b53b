/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * From directories to disks.
 *
 * At the start each directory is looked at and locked (found.c). The metadata's table of disks,
 * once they are open (mirrors.c), then says which of them belong to the store. Its first form is
 * made here: after the identities were written, so that a start that is cut short between the two
 * finds the numbers that they were given, and makes the same table.
 */

#include "base/log.h"
#include "cli/cli.h"
#include "cli/engine/internal.h"
#include <stdio.h>

/* ---- the first start ------------------------------------------------------------------------ */

static struct store_disk *table_put(struct engine *e, uint32_t number)
{
    while (e->table.count <= number) {
        struct store_disk *d = store_disks_add(&e->table);
        if (!d)
            return NULL;
        d->state = STORE_DISK_GONE; /* unless a directory has the number */
    }
    e->table.list[number].state = STORE_DISK_ACTIVE;
    return &e->table.list[number];
}

static int FIBER first_table(struct engine *e, struct finds *all)
{
    for (unsigned i = 0; i < all->count; i++) {
        const struct found *f = &all->at[i];
        struct store_disk *d = table_put(e, f->id.number);
        if (!d)
            return -ERR_LIMIT;
        memcpy(d->uuid, f->id.disk, 16);
        d->weight = found_weight(f->path);
        snprintf(d->path, sizeof(d->path), "%s", f->path);
    }
    int r = engine_save_table(e);
    if (r < 0)
        cli_fail("cannot write the table of disks: %s", err_text(r));
    return r;
}

/* ---- disks ---------------------------------------------------------------------------------- */

static int FIBER probe_disk(void *arg)
{
    const struct engine_disk *d = arg;
    struct disk_identity id;
    int r = *d->path ? disk_identity_read(d->path, &id) : -ENOENT;
    return r == 0 && memcmp(id.disk, d->uuid, 16) != 0 ? -ENODEV : r;
}

static int FIBER open_disk(void *arg, struct disk **ret)
{
    struct engine_disk *d = arg;
    struct disk_config disk = {.path = d->path, .volume_bytes_max = d->engine->volume_bytes_max};
    int r = probe_disk(d);
    if (r == 0 && !d->lock)
        r = found_lock(d->path, &d->lock);
    if (r == 0)
        r = engine_open_rocks(d->engine, d->path, "index", false, &disk.index);
    return r ? r : disk_open(ret, &disk);
}

unsigned engine_active_count(const struct store_disks *t)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < t->count; i++)
        n += t->list[i].state != STORE_DISK_GONE;
    return n;
}

int FIBER engine_add_node(struct engine *e, const struct store_disk *row, struct rt_file *lock)
{
    struct engine_disk *d = calloc(1, sizeof(*d));
    if (!d) {
        rt_file_close(lock);
        return -ENOMEM;
    }
    *d = (struct engine_disk){.engine = e, .number = row->number, .lock = lock};
    memcpy(d->uuid, row->uuid, 16);
    snprintf(d->path, sizeof(d->path), "%s", row->path);
    e->disks[row->number] = d;
    struct node_config config = {.number = row->number,
                                 .path = d->path,
                                 .weight = row->weight,
                                 .zone = row->zone,
                                 .role = engine_role_of(row),
                                 .alone = engine_active_count(&e->table) == 1,
                                 .open = open_disk,
                                 .probe = probe_disk,
                                 .arg = d};
    struct node *n;
    int r = node_open(&n, &config);
    if (r == 0)
        nodes_add(&e->nodes, n);
    return r;
}

static void tell_missing(const struct engine *e, const struct store_disk *row)
{
    const struct node *n = nodes_get(&e->nodes, row->number);
    struct log_line line;
    log_begin(&line, LOG_ERROR, "a disk is missing: the store serves without it");
    log_u64(&line, "disk", row->number);
    log_str(&line, "path", str_from(row->path));
    log_err(&line, node_fault(n));
    log_end(&line);
}

/* What was recalled is one of the disks of the table: it may be written down again. */
static void FIBER restore_identity(const struct engine *e, const struct store_disk *row,
                                   struct found *f)
{
    f->id.stored = true;
    f->id.number = row->number;
    memcpy(f->id.store, e->table.store, sizeof(f->id.store));
    if (found_write_identity(f) == 0)
        log_event(LOG_WARN, "the identity of a disk was gone or damaged: it is written anew",
                  "%s/disk.id", f->path);
}

/* ---- disks that are not named ---------------------------------------------------------------- */

/*
 * A disk that is not on the command line is looked for where the table says that it was: one that
 * was added comes back. But where others are not where the table says, the store was moved, or it
 * is a copy of one that is still there, whose disks are not ours to touch. Then nothing is looked
 * for where nobody says: the place is forgotten until somebody names it.
 */

struct two_paths {
    const char *a, *b;
    bool same;
};

static int BLOCKING compare_paths(void *arg)
{
    struct two_paths *p = arg;
    char a[PATH_MAX], b[PATH_MAX];
    p->same = realpath(p->a, a) && realpath(p->b, b) && strcmp(a, b) == 0;
    return 0;
}

static bool FIBER is_same_place(const char *a, const char *b)
{
    struct two_paths p = {.a = a, .b = b, .same = strcmp(a, b) == 0};
    if (!p.same)
        rt_offload(compare_paths, &p);
    return p.same;
}

/* One that is somewhere else than the table says, or NULL. */
static const struct store_disk *FIBER find_moved(const struct engine *e, struct finds *all,
                                                 const char **ret_to)
{
    for (uint32_t i = 0; i < e->table.count; i++) {
        const struct store_disk *row = &e->table.list[i];
        const struct found *f = found_of(all, row->uuid);
        if (f && row->state != STORE_DISK_GONE && *row->path &&
            !is_same_place(row->path, f->path)) {
            *ret_to = f->path;
            return row;
        }
    }
    return NULL;
}

/* Somebody names the place where a disk was, and no other disk is there: it may come back to it. */
static bool FIBER is_expected(const struct finds *all, const struct store_disk *row)
{
    for (unsigned i = 0; i < all->count; i++)
        if (!all->at[i].has_id && is_same_place(row->path, all->at[i].path))
            return true;
    return false;
}

/* At the place that the table says. */
static bool FIBER is_there(const struct store_disk *row)
{
    struct disk_identity id;
    return disk_identity_read(row->path, &id) == 0 && memcmp(id.disk, row->uuid, 16) == 0;
}

static int FIBER forget_places(struct engine *e, struct finds *all, bool *ret_any)
{
    const char *to;
    const struct store_disk *moved = find_moved(e, all, &to);
    bool all_named = all->count >= engine_active_count(&e->table);
    for (uint32_t i = 0; moved && i < e->table.count; i++) {
        struct store_disk *row = &e->table.list[i];
        if (row->state == STORE_DISK_GONE || !*row->path || found_of(all, row->uuid) ||
            is_expected(all, row))
            continue;
        if (!all_named && is_there(row))
            return engine_fail(
                -ERR_CONFLICT,
                "the store is not where it was (%s was %s), and disk %u, which is still at "
                "%s, is not named. If it is this store's, name it as well; if this is a "
                "copy, name the copy of it, or an empty directory to go on without it",
                to, moved->path, row->number, row->path);
        *row->path = 0;
        *ret_any = true;
    }
    return 0;
}

/* Over a full disk the next start finds as well where the disks are. */
static int FIBER keep_table(struct engine *e, bool moved)
{
    int r = moved ? engine_save_table(e) : engine_refresh_ring(e);
    if (r == -ENOSPC && e->table.ring) {
        log_event(LOG_WARN, "the table of disks is not written: the disk is full", "%s",
                  e->meta_dir);
        return 0;
    }
    return r < 0 ? engine_fail(r, "cannot write the table of disks: %s", err_text(r)) : 0;
}

static int FIBER open_nodes(struct engine *e, struct finds *all)
{
    bool moved = false;
    int err = forget_places(e, all, &moved);
    if (err < 0)
        return err;
    for (uint32_t i = 0; i < e->table.count; i++) {
        struct store_disk *row = &e->table.list[i];
        struct found *f = found_of(all, row->uuid);
        bool gone = row->state == STORE_DISK_GONE;
        if (f)
            f->taken = true;
        if (f && f->recalled && !gone)
            restore_identity(e, row, f);
        if (f && !gone && strcmp(row->path, f->path) != 0) {
            snprintf(row->path, sizeof(row->path), "%s", f->path);
            moved = true;
        }
        int r = engine_add_node(e, row, f && !gone ? TAKE_PTR(f->lock) : NULL);
        if (r < 0)
            return r;
        if (!gone && node_state(nodes_get(&e->nodes, row->number)) == NODE_GONE)
            tell_missing(e, row);
        if (f && gone)
            log_event(LOG_WARN, "a disk that was replaced is left alone", "%s", f->path);
    }
    return keep_table(e, moved);
}

/* What was given and is no disk of this store. */
static int tell_strangers(const struct engine *e, const struct finds *all)
{
    for (unsigned i = 0; i < all->count; i++) {
        const struct found *f = &all->at[i];
        if (f->taken || !f->there)
            continue;
        if ((f->has_id || f->has_data) && !engine_was_begun(e, &f->id, f->has_data))
            return engine_fail(-ERR_CONFLICT, "%s is a disk of another store: it is not touched",
                               f->path);
        log_event(LOG_WARN, "an empty directory is no disk yet",
                  "%s: 'cairn admin disk replace' or 'disk add' takes it in", f->path);
    }
    return 0;
}

/* One disk that cannot be opened is a store that cannot be. */
static int test_usable(const struct engine *e)
{
    int err = -ERR_DISK_GONE;
    const char *path = e->meta_dir;
    for (uint32_t i = 0; i < nodes_count(&e->nodes); i++) {
        const struct node *n = nodes_get(&e->nodes, i);
        if (!n || node_role(n) == NODE_RETIRED)
            continue;
        if (node_state(n) != NODE_GONE)
            return 0;
        err = node_fault(n);
        path = node_path(n);
    }
    return engine_fail(err, "cannot open the volumes in %s: %s", path, err_text(err));
}

/*
 * Of a store of one disk that had nothing but small objects: only the table, which lies in it, has
 * its name. The metadata are opened again by that one, which is what their mirrors will note.
 */
static int FIBER name_only_disk(struct engine *e, struct finds *all,
                                const struct engine_config *config)
{
    struct found *f = &all->at[0];
    if (all->count != 1 || !f->nameless || engine_active_count(&e->table) != 1)
        return 0;
    for (uint32_t i = 0; i < e->table.count; i++)
        if (e->table.list[i].state != STORE_DISK_GONE)
            memcpy(f->id.disk, e->table.list[i].uuid, 16);
    meta_close(TAKE_PTR(e->meta));
    return engine_open_mirrors(e, all, false, config);
}

static int FIBER load_table(struct engine *e, struct finds *all, const struct engine_config *config)
{
    int r = store_disks_load(e->meta, &e->table);
    if (r == -ERR_NOT_FOUND) {
        r = found_number(all,
                         e->table.store); /* of a store of one disk, and of those beside it now */
        return r < 0 ? r : first_table(e, all);
    }
    if (r < 0) {
        cli_fail("cannot read the table of disks: %s", err_text(r));
        return r;
    }
    return name_only_disk(e, all, config);
}

static int FIBER open_all(struct engine *e, struct finds *all, const struct engine_config *config)
{
    int r = found_look(all, config);
    if (r == 0)
        r = engine_open_metadata(e, all, config);
    if (r < 0)
        return r;
    r = load_table(e, all, config);
    if (r == 0)
        r = open_nodes(e, all);
    if (r == 0)
        r = tell_strangers(e, all);
    if (r == 0)
        r = test_usable(e);
    if (r == 0)
        engine_fill_mirrors(e);
    return r;
}

int FIBER engine_open_disks(struct engine *e, const struct engine_config *config)
{
    CHECK(config->dir_count > 0 && config->dir_count <= ENGINE_DIRS_MAX);
    struct finds *all = calloc(1, sizeof(*all));
    if (!all)
        return -ENOMEM;
    int r = open_all(e, all, config);
    for (unsigned i = 0; i < all->count; i++)
        rt_file_close(all->at[i].lock);
    free(all);
    return r;
}
