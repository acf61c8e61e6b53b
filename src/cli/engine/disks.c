/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * From directories to disks.
 *
 * At the start each directory is looked at and locked: whose is it, has it a mirror of the
 * metadata. The metadata's table of disks then says which of them belong to the store. Its first
 * form is made here: after the identities were written, so that a start that is cut short between
 * the two finds the numbers that they were given, and makes the same table.
 */

#include "cli/engine/engine.h"
#include "base/encode.h"
#include "base/log.h"
#include "cli/cli.h"
#include "kv/kv.h"
#include "volume/identity.h"
#include <stdarg.h>
#include <stdio.h>

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

/* Tells a fault and hands its code on. */
static int PRINTF_LIKE(2, 3) fail(int err, const char *fmt, ...)
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

static bool FIBER dir_has(const char *dir, const char *name)
{
    char path[PATH_MAX + 16];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return rt_dir_list(path, any_entry, NULL) == 1;
}

static int FIBER lock_directory(const char *dir, struct rt_file **ret)
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

static void leave_alone(struct found *f, int err)
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
    f->err = lock_directory(f->path, &f->lock);
    if (f->err == -ERR_BUSY)
        return fail(f->err, "another process uses %s: stop it first", f->path);
    if (f->err)
        return 0;
    f->has_meta = dir_has(f->path, "meta");
    f->has_data = f->has_meta || dir_has(f->path, "volumes") || dir_has(f->path, "index");
    f->there = true;
    int r = identify(f);
    if (r == -ENOTSUP)
        return fail(r,
                    "%s was written by a later version of cairn, which says so in its disk.id: "
                    "start that version",
                    f->path);
    if (r < 0)
        leave_alone(f, r);
    return 0;
}

/* Which of two is the disk, and which one a copy that was left behind, nobody can tell. */
static int test_copy(const struct finds *all, unsigned n)
{
    const struct found *f = &all->at[n];
    for (unsigned i = 0; i < n; i++)
        if (f->has_id && all->at[i].has_id && memcmp(f->id.disk, all->at[i].id.disk, 16) == 0)
            return fail(-ERR_CONFLICT, "%s and %s are copies of one disk: give only one of them",
                        all->at[i].path, f->path);
    return 0;
}

static int FIBER look_at_all(struct finds *all, const struct engine_config *config)
{
    all->count = config->dir_count;
    for (unsigned i = 0; i < all->count; i++)
        all->at[i].path = config->dirs[i];
    int r = 0;
    for (unsigned i = 0; r == 0 && i < all->count; i++)
        r = look(&all->at[i]);
    for (unsigned i = 0; r == 0 && i < all->count; i++)
        r = test_copy(all, i);
    return r;
}

static bool FIBER is_known(const char *dir)
{
    struct disk_identity id;
    int r = disk_identity_read(dir, &id);
    return r == 0 || r == -ERR_CORRUPT || r == -ENOTSUP || dir_has(dir, "meta") ||
           dir_has(dir, "volumes");
}

int FIBER engine_prepare(const char *const *dirs, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (is_known(dirs[i]))
            return 0; /* a directory that is missing is a disk that is missing */
    for (unsigned i = 0; i < count; i++) {
        int r = rt_mkdir(dirs[i]);
        if (r == -EEXIST)
            return fail(-ENOTDIR, "%s is no directory", dirs[i]);
        if (r < 0)
            return fail(r, "cannot make the directory %s: %s", dirs[i], err_text(r));
    }
    return 0;
}

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
            return fail(-ERR_CORRUPT, "%s belongs to another store than the others", f->path);
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

static int FIBER write_identity(struct found *f)
{
    int r = disk_identity_write(f->path, &f->id);
    f->has_id = r == 0;
    f->recalled = f->recalled && r < 0;
    if (r < 0)
        cli_fail("cannot write %s/disk.id: %s", f->path, err_text(r));
    return r;
}

static uint64_t FIBER weight_of(const char *path)
{
    struct rt_space space = {0};
    rt_space(path, &space);
    return MAX(space.total_bytes, UINT64_C(1));
}

/* Before the metadata is made: a start that is cut short finds the numbers again. */
static int FIBER first_identities(struct engine *e, struct finds *all)
{
    for (unsigned i = 0; i < all->count; i++)
        if (!all->at[i].there)
            return fail(all->at[i].err,
                        "cannot use the directory %s: %s (all are needed at the first start)",
                        all->at[i].path, err_text(all->at[i].err));
    int r = number_directories(all, e->table.store);
    for (unsigned i = 0; r == 0 && i < all->count; i++)
        r = write_identity(&all->at[i]);
    return r;
}

static int FIBER first_table(struct engine *e, struct finds *all)
{
    for (unsigned i = 0; i < all->count; i++) {
        const struct found *f = &all->at[i];
        struct store_disk *d = table_put(e, f->id.number);
        if (!d)
            return -ERR_LIMIT;
        memcpy(d->uuid, f->id.disk, 16);
        d->weight = weight_of(f->path);
        snprintf(d->path, sizeof(d->path), "%s", f->path);
    }
    int r = engine_save_table(e);
    if (r < 0)
        cli_fail("cannot write the table of disks: %s", err_text(r));
    return r;
}

/* ---- the metadata --------------------------------------------------------------------------- */

static void tell_mirror(void *arg, const uint8_t *id, enum meta_mirror_state state, int err)
{
    static const char *const texts[] = {"a mirror of the metadata takes part",
                                        "a mirror of the metadata is being rebuilt",
                                        "a mirror of the metadata is lost"};
    char hex[33] = "";
    struct log_line line;
    hex_encode(id, META_MIRROR_ID_BYTES, hex);
    log_begin(&line, state == META_MIRROR_LOST ? LOG_ERROR : LOG_INFO, texts[state]);
    log_str(&line, "disk_uuid", str_from(hex));
    if (err)
        log_err(&line, err);
    log_end(&line);
}

/* A mirror that could be opened; one that took part more lately goes before others. */
struct candidate {
    struct meta_mirror mirror;
    const char *path;
    uint64_t generation;
};

struct whose {
    struct kv *kv;
    uint8_t *ret;
};

static int BLOCKING ask_whose(void *arg)
{
    struct whose *w = arg;
    return meta_mirror_whose(w->kv, w->ret);
}

/*
 * A mirror knows its disk, unless it was always alone, as it is now: then whatever name will do for
 * the time being. Beside others such a one is nobody's, and must not take part.
 */
static int FIBER name_by_mirror(struct found *f, struct kv *kv, bool alone)
{
    struct whose w = {kv, f->id.disk};
    int r = rt_offload(ask_whose, &w);
    f->nameless = r == -ERR_NOT_FOUND && alone;
    if (f->nameless)
        rt_random(f->id.disk, sizeof(f->id.disk));
    f->has_id = f->recalled = r == 0 || f->nameless;
    return f->nameless ? 0 : r;
}

static int BLOCKING close_kv(void *kv)
{
    kv_close(kv);
    return 0;
}

/* To open a folder that has none would make one. */
static bool FIBER has_database(const char *dir)
{
    char path[PATH_MAX + 16];
    struct rt_file *f = NULL;
    snprintf(path, sizeof(path), "%s/meta/CURRENT", dir);
    int r = rt_file_open(&f, path, RT_OPEN_READ);
    rt_file_close(f);
    return r == 0;
}

/* One that cannot be opened is left out, and told of. */
static void FIBER open_mirror(struct engine *e, struct found *f, bool alone, struct candidate *list,
                              unsigned *count)
{
    struct candidate *c = &list[*count];
    int r = f->has_id || has_database(f->path) ? 0 : -ERR_CORRUPT;
    if (r == 0)
        r = engine_open_rocks(e, f->path, "meta", true, &c->mirror.kv);
    if (r == 0 && !f->has_id) {
        r = name_by_mirror(f, c->mirror.kv, alone);
        if (r < 0)
            rt_offload(close_kv, TAKE_PTR(c->mirror.kv));
    }
    if (r < 0) {
        log_event(LOG_ERROR, "a mirror of the metadata cannot be opened", "%s/meta: %s", f->path,
                  err_text(r));
        if (!f->has_id)
            leave_alone(f, r);
        return;
    }
    memcpy(c->mirror.id, f->id.disk, sizeof(c->mirror.id));
    c->path = f->path;
    c->generation = 0;
    ++*count;
}

static int BLOCKING peek(void *arg)
{
    struct candidate *c = arg;
    return meta_mirror_peek(c->mirror.kv, &c->generation);
}

static int by_generation(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    return (x->generation < y->generation) - (x->generation > y->generation);
}

/* A disk that was away brings a mirror that others have replaced: the newest ones are kept. */
static unsigned FIBER keep_newest(struct candidate *list, unsigned count)
{
    if (count <= META_MIRRORS_MAX)
        return count;
    for (unsigned i = 0; i < count; i++)
        if (rt_offload(peek, &list[i]) < 0)
            list[i].generation = 0;
    qsort(list, count, sizeof(*list), by_generation);
    while (count > META_MIRRORS_MAX) {
        log_event(LOG_WARN, "an old mirror of the metadata is left alone", "%s/meta",
                  list[count - 1].path);
        rt_offload(close_kv, list[--count].mirror.kv);
    }
    return count;
}

/* Some may have been named by their mirrors alone, after the others were compared. */
static int FIBER test_candidates(const struct finds *all, struct candidate *list, unsigned count)
{
    int r = 0;
    for (unsigned i = 0; r == 0 && i < all->count; i++)
        r = test_copy(all, i);
    while (r < 0 && count > 0)
        rt_offload(close_kv, list[--count].mirror.kv);
    return r;
}

/* How many there are, or -ERR_CONFLICT. */
static int FIBER open_candidates(struct engine *e, struct finds *all, bool first,
                                 struct meta_mirror mirrors[META_MIRRORS_MAX])
{
    struct candidate list[ENGINE_DIRS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < all->count; i++)
        if (first ? count < META_MIRRORS_MAX : all->at[i].has_meta)
            open_mirror(e, &all->at[i], all->count == 1, list, &count);
    int r = test_candidates(all, list, count);
    if (r < 0)
        return r;
    count = keep_newest(list, count);
    for (unsigned i = 0; i < count; i++)
        mirrors[i] = list[i].mirror;
    if (count > 0)
        snprintf(e->meta_dir, sizeof(e->meta_dir), "%s", list[0].path);
    return (int)count;
}

static int FIBER open_mirrors(struct engine *e, struct finds *all, bool first,
                              const struct engine_config *config)
{
    struct meta_mirror mirrors[META_MIRRORS_MAX];
    char why[META_WHY_BYTES] = "";
    int count = open_candidates(e, all, first, mirrors);
    if (count < 0)
        return count;
    if (count == 0)
        return fail(-ERR_NOT_FOUND, "none of the directories has metadata that can be opened");
    struct meta_mirrors_config mirrored = {.mirrors = mirrors,
                                           .count = (unsigned)count,
                                           .force = config->force_metadata,
                                           .changed = tell_mirror};
    int r = meta_mirrors_open(&e->meta, &mirrored, why);
    if (r < 0)
        return fail(r, "cannot open the metadata in %s: %s", e->meta_dir,
                    why[0] ? why : err_text(r));
    r = store_new_session(e->meta, &e->session);
    return r < 0 ? fail(r, "cannot open the metadata in %s: %s", e->meta_dir, err_text(r)) : 0;
}

static int FIBER open_metadata(struct engine *e, struct finds *all,
                               const struct engine_config *config)
{
    bool any_meta = false, any_data = false, any_there = false;
    for (unsigned i = 0; i < all->count; i++) {
        any_meta = any_meta || all->at[i].has_meta;
        any_data = any_data || all->at[i].has_data;
        any_there = any_there || all->at[i].there;
    }
    if (!any_there)
        return fail(all->at[0].err, "cannot use the directory %s: %s", all->at[0].path,
                    err_text(all->at[0].err));
    if (!any_meta && any_data)
        return fail(-ERR_NOT_FOUND, "none of the directories has the metadata: the disks that "
                                    "have it are missing");
    int r = any_meta ? 0 : first_identities(e, all);
    return r < 0 ? r : open_mirrors(e, all, !any_meta, config);
}

bool engine_has_mirror(struct engine *e, const uint8_t uuid[16])
{
    struct meta_mirror_stats stats[META_MIRRORS_MAX];
    unsigned count = meta_mirror_stats(e->meta, stats);
    for (unsigned i = 0; i < count; i++)
        if (memcmp(stats[i].id, uuid, sizeof(stats[i].id)) == 0)
            return true;
    return false;
}

static int BLOCKING destroy_rocks(void *path)
{
    return kv_rocks_destroy(path);
}

/*
 * A damaged one is made anew from those that take part, which have all that it had. Once in a life
 * of the server: a disk that damages it again is to be replaced. Not where the start was forced
 * without those that may know more.
 */
static int FIBER clear_mirror(struct engine *e, const struct store_disk *d)
{
    char path[PATH_MAX + 16];
    struct engine_disk *disk = e->disks[d->number];
    if (e->only_look || e->forced || disk->mirror_cleared)
        return -ERR_CORRUPT;
    disk->mirror_cleared = true;
    snprintf(path, sizeof(path), "%s/meta", d->path);
    log_event(LOG_WARN, "a damaged mirror of the metadata is made anew from the others", "%s",
              path);
    return rt_offload(destroy_rocks, path);
}

static void FIBER add_mirror(struct engine *e, const struct store_disk *d)
{
    struct meta_mirror m;
    int r = engine_open_rocks(e, d->path, "meta", true, &m.kv);
    if (r == -ERR_CORRUPT) {
        r = clear_mirror(e, d);
        if (r == 0)
            r = engine_open_rocks(e, d->path, "meta", true, &m.kv);
    }
    if (r == 0) {
        memcpy(m.id, d->uuid, sizeof(m.id));
        r = meta_mirror_add(e->meta, &m);
    }
    if (r < 0)
        log_event(LOG_ERROR, "a mirror of the metadata cannot be made", "%s/meta: %s", d->path,
                  err_text(r));
}

/* It is open no more, for what was read from it was damaged. */
static bool is_damaged(struct engine *e, const uint8_t uuid[16])
{
    struct meta_mirror_stats stats[META_MIRRORS_MAX];
    unsigned count = meta_mirror_stats(e->meta, stats);
    for (unsigned i = 0; i < count; i++)
        if (memcmp(stats[i].id, uuid, sizeof(stats[i].id)) == 0)
            return stats[i].state == META_MIRROR_LOST && stats[i].err == -ERR_CORRUPT;
    return false;
}

static void FIBER renew_mirror(struct engine *e, const struct store_disk *d)
{
    int r = e->disks[d->number]->mirror_cleared ? -ERR_CORRUPT : 0;
    if (r == 0)
        r = meta_mirror_remove(e->meta, d->uuid);
    if (r == 0)
        r = clear_mirror(e, d);
    if (r == 0)
        add_mirror(e, d);
}

static void FIBER remove_mirrors(struct engine *e, enum node_role role)
{
    for (uint32_t i = 0; i < e->table.count; i++)
        if (engine_role_of(&e->table.list[i]) == role &&
            engine_has_mirror(e, e->table.list[i].uuid))
            meta_mirror_remove(e->meta, e->table.list[i].uuid); /* never the last that takes part */
}

static void FIBER add_mirrors(struct engine *e)
{
    struct meta_mirror_stats stats[META_MIRRORS_MAX];
    for (uint32_t i = 0; i < e->table.count; i++) {
        const struct store_disk *d = &e->table.list[i];
        const struct node *n = nodes_get(&e->nodes, d->number);
        if (!n || engine_role_of(d) != NODE_ACTIVE || node_state(n) != NODE_ONLINE)
            continue;
        if (is_damaged(e, d->uuid))
            renew_mirror(e, d);
        else if (meta_mirror_stats(e->meta, stats) < META_MIRRORS_MAX &&
                 !engine_has_mirror(e, d->uuid))
            add_mirror(e, d);
    }
}

/* The mirrors of disks that have left go first, those of disks that leave last: after others have
 * been added, if there is room for them. */
void FIBER engine_fill_mirrors(struct engine *e)
{
    remove_mirrors(e, NODE_RETIRED);
    remove_mirrors(e, NODE_AWAY);
    add_mirrors(e);
    remove_mirrors(e, NODE_DRAINING);
    add_mirrors(e);
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
        r = lock_directory(d->path, &d->lock);
    if (r == 0)
        r = engine_open_rocks(d->engine, d->path, "index", false, &disk.index);
    return r ? r : disk_open(ret, &disk);
}

static unsigned active_count(const struct store_disks *t)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < t->count; i++)
        n += t->list[i].state != STORE_DISK_GONE;
    return n;
}

static int FIBER add_node(struct engine *e, const struct store_disk *row, struct rt_file *lock)
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
                                 .alone = active_count(&e->table) == 1,
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

/* The directory of a disk, wherever it is now. */
static struct found *find_disk(struct finds *all, const uint8_t uuid[16])
{
    for (unsigned i = 0; i < all->count; i++)
        if (all->at[i].has_id && memcmp(all->at[i].id.disk, uuid, 16) == 0)
            return &all->at[i];
    return NULL;
}

/* What was recalled is one of the disks of the table: it may be written down again. */
static void FIBER restore_identity(const struct engine *e, const struct store_disk *row,
                                   struct found *f)
{
    f->id.stored = true;
    f->id.number = row->number;
    memcpy(f->id.store, e->table.store, sizeof(f->id.store));
    if (write_identity(f) == 0)
        log_event(LOG_WARN, "the identity of a disk was gone or damaged: it is written anew",
                  "%s/disk.id", f->path);
}

/* ---- disks that are not named ---------------------------------------------------------------- */

/*
 * A disk that is not on the command line is looked for where the table says that it was: one that
 * was added comes back. But where others are not where the table says, the store was moved, or it
 * is a copy of one that is still there, whose disks are not ours to touch. Then nothing is looked
 * for: the place is forgotten until somebody names the disk.
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
        const struct found *f = find_disk(all, row->uuid);
        if (f && row->state != STORE_DISK_GONE && *row->path &&
            !is_same_place(row->path, f->path)) {
            *ret_to = f->path;
            return row;
        }
    }
    return NULL;
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
    bool all_named = all->count >= active_count(&e->table);
    for (uint32_t i = 0; moved && i < e->table.count; i++) {
        struct store_disk *row = &e->table.list[i];
        if (row->state == STORE_DISK_GONE || !*row->path || find_disk(all, row->uuid))
            continue;
        if (!all_named && is_there(row))
            return fail(-ERR_CONFLICT,
                        "the store is not where it was (%s was %s), and disk %u, which is still at "
                        "%s, is not named. If it is this store's, name it as well; if this is a "
                        "copy, name the copy of it, or an empty directory to go on without it",
                        to, moved->path, row->number, row->path);
        *row->path = 0;
        *ret_any = true;
    }
    return 0;
}

static int FIBER open_nodes(struct engine *e, struct finds *all)
{
    bool moved = false;
    int err = forget_places(e, all, &moved);
    if (err < 0)
        return err;
    for (uint32_t i = 0; i < e->table.count; i++) {
        struct store_disk *row = &e->table.list[i];
        struct found *f = find_disk(all, row->uuid);
        bool gone = row->state == STORE_DISK_GONE;
        if (f)
            f->taken = true;
        if (f && f->recalled && !gone)
            restore_identity(e, row, f);
        if (f && !gone && strcmp(row->path, f->path) != 0) {
            snprintf(row->path, sizeof(row->path), "%s", f->path);
            moved = true;
        }
        int r = add_node(e, row, f && !gone ? TAKE_PTR(f->lock) : NULL);
        if (r < 0)
            return r;
        if (!gone && node_state(nodes_get(&e->nodes, row->number)) == NODE_GONE)
            tell_missing(e, row);
        if (f && gone)
            log_event(LOG_WARN, "a disk that was replaced is left alone", "%s", f->path);
    }
    return moved ? engine_save_table(e) : engine_refresh_ring(e);
}

/* It was being taken in when the server was killed, before the table had it: nothing is in it. */
static bool was_begun(const struct engine *e, const struct disk_identity *id, bool has_data)
{
    bool ours = id->stored && memcmp(id->store, e->table.store, sizeof(id->store)) == 0;
    for (uint32_t i = 0; ours && i < e->table.count; i++)
        ours = memcmp(e->table.list[i].uuid, id->disk, sizeof(id->disk)) != 0;
    return ours && !has_data;
}

/* What was given and is no disk of this store. */
static int tell_strangers(const struct engine *e, const struct finds *all)
{
    for (unsigned i = 0; i < all->count; i++) {
        const struct found *f = &all->at[i];
        if (f->taken || !f->there)
            continue;
        if ((f->has_id || f->has_data) && !was_begun(e, &f->id, f->has_data))
            return fail(-ERR_CONFLICT, "%s is a disk of another store: it is not touched", f->path);
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
    return fail(err, "cannot open the volumes in %s: %s", path, err_text(err));
}

/*
 * Of a store of one disk that had nothing but small objects: only the table, which lies in it, has
 * its name. The metadata are opened again by that one, which is what their mirrors will note.
 */
static int FIBER name_only_disk(struct engine *e, struct finds *all,
                                const struct engine_config *config)
{
    struct found *f = &all->at[0];
    if (all->count != 1 || !f->nameless || active_count(&e->table) != 1)
        return 0;
    for (uint32_t i = 0; i < e->table.count; i++)
        if (e->table.list[i].state != STORE_DISK_GONE)
            memcpy(f->id.disk, e->table.list[i].uuid, 16);
    meta_close(TAKE_PTR(e->meta));
    return open_mirrors(e, all, false, config);
}

static int FIBER load_table(struct engine *e, struct finds *all, const struct engine_config *config)
{
    int r = store_disks_load(e->meta, &e->table);
    if (r == -ERR_NOT_FOUND) {
        r = first_identities(e, all); /* of a store of one disk, and of those beside it now */
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
    int r = look_at_all(all, config);
    if (r == 0)
        r = open_metadata(e, all, config);
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

/* ---- changes -------------------------------------------------------------------------------- */

static int PRINTF_LIKE(3, 4) refuse(char why[ENGINE_WHY_MAX], int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, ENGINE_WHY_MAX, fmt, ap);
    va_end(ap);
    return err;
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
        return refuse(why, r, "cannot make the directory %s: %s", dir, err_text(r));
    struct disk_identity there;
    bool has_data = dir_has(dir, "meta") || dir_has(dir, "volumes");
    bool begun = disk_identity_read(dir, &there) == 0 && was_begun(e, &there, has_data);
    if (rt_dir_list(dir, foreign_entry, NULL) == 1 && !begun)
        return refuse(why, -ERR_CONFLICT, "%s is not empty: only an empty directory is taken in",
                      dir);
    r = lock_directory(dir, ret_lock);
    if (r < 0)
        return refuse(why, r, "cannot lock the directory %s: %s", dir, err_text(r));
    rt_random(id.disk, 16);
    memcpy(id.store, e->table.store, 16);
    memcpy(row->uuid, id.disk, 16);
    row->weight = weight_of(dir);
    r = disk_identity_write(dir, &id);
    return r < 0 ? refuse(why, r, "cannot write %s/disk.id: %s", dir, err_text(r)) : 0;
}

/* `old` (may be NULL) is gone from now on; `dir` is a disk in its place, or one more. */
static int FIBER change(struct engine *e, struct store_disk *old, const char *dir,
                        uint32_t *ret_number, char why[ENGINE_WHY_MAX])
{
    struct rt_file *lock = NULL;
    if (strlen(dir) >= STORE_DISK_PATH_MAX || dir[0] != '/')
        return refuse(why, -EINVAL, "the directory is given by its whole path");
    struct store_disk *row = store_disks_add(&e->table);
    if (!row)
        return refuse(why, -ERR_LIMIT, "the table of disks is full");
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
            refuse(why, r, "cannot write the table of disks: %s", err_text(r));
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
    r = add_node(e, row, lock);
    if (r < 0)
        return refuse(why, r, "the disk is in the table and opens at the next start: %s",
                      err_text(r));
    r = engine_publish_ring(e);
    if (r < 0)
        return refuse(why, r, "the disk is taken in and gets no data before the next start: %s",
                      err_text(r));
    engine_fill_mirrors(e);
    return 0;
}

static int FIBER change_alone(struct engine *e, struct store_disk *old, const char *dir,
                              uint32_t *ret_number, char why[ENGINE_WHY_MAX])
{
    if (e->changing)
        return refuse(why, -ERR_BUSY, "another change of the disks is under way");
    e->changing = true;
    int r = change(e, old, dir, ret_number, why);
    e->changing = false;
    return r;
}

int FIBER engine_disk_replace(struct engine *e, uint32_t number, const char *dir,
                              uint32_t *ret_number, char why[ENGINE_WHY_MAX])
{
    struct store_disk *old = NULL;
    for (uint32_t i = 0; i < e->table.count; i++)
        if (e->table.list[i].number == number && e->table.list[i].state != STORE_DISK_GONE)
            old = &e->table.list[i];
    if (!old)
        return refuse(why, -ERR_NOT_FOUND, "there is no disk %u", number);
    if (node_state(nodes_get(&e->nodes, number)) != NODE_GONE)
        return refuse(why, -ERR_CONFLICT, "disk %u is there: only a disk that is gone is replaced",
                      number);
    return change_alone(e, old, dir, ret_number, why);
}

int FIBER engine_disk_add(struct engine *e, const char *dir, uint32_t *ret_number,
                          char why[ENGINE_WHY_MAX])
{
    return change_alone(e, NULL, dir, ret_number, why);
}
