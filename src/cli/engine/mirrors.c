/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The metadata's mirrors: which of the directories have one, which of those take part at the start,
 * and that there are mirrors on up to three disks that are there and stay.
 */

#include "base/encode.h"
#include "base/log.h"
#include "cli/engine/internal.h"
#include "kv/kv.h"
#include <stdio.h>

/* ---- at the start ---------------------------------------------------------------------------- */

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
            found_leave_alone(f, r);
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
        r = found_test_copy(all, i);
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

int FIBER engine_open_mirrors(struct engine *e, struct finds *all, bool first,
                              const struct engine_config *config)
{
    struct meta_mirror mirrors[META_MIRRORS_MAX];
    char why[META_WHY_BYTES] = "";
    int count = open_candidates(e, all, first, mirrors);
    if (count < 0)
        return count;
    if (count == 0)
        return engine_fail(-ERR_NOT_FOUND,
                           "none of the directories has metadata that can be opened");
    struct meta_mirrors_config mirrored = {.mirrors = mirrors,
                                           .count = (unsigned)count,
                                           .force = config->force_metadata,
                                           .changed = tell_mirror};
    int r = meta_mirrors_open(&e->meta, &mirrored, why);
    if (r < 0)
        return engine_fail(r, "cannot open the metadata in %s: %s", e->meta_dir,
                           why[0] ? why : err_text(r));
    r = store_new_session(e->meta, &e->session);
    return r < 0 ? engine_fail(r, "cannot open the metadata in %s: %s", e->meta_dir, err_text(r))
                 : 0;
}

int FIBER engine_open_metadata(struct engine *e, struct finds *all,
                               const struct engine_config *config)
{
    bool any_meta = false, any_data = false, any_there = false;
    for (unsigned i = 0; i < all->count; i++) {
        any_meta = any_meta || all->at[i].has_meta;
        any_data = any_data || all->at[i].has_data;
        any_there = any_there || all->at[i].there;
    }
    if (!any_there)
        return engine_fail(all->at[0].err, "cannot use the directory %s: %s", all->at[0].path,
                           err_text(all->at[0].err));
    if (!any_meta && any_data)
        return engine_fail(-ERR_NOT_FOUND,
                           "none of the directories has the metadata: the disks that "
                           "have it are missing");
    int r = any_meta ? 0 : found_number(all, e->table.store);
    return r < 0 ? r : engine_open_mirrors(e, all, !any_meta, config);
}

/* ---- while it serves ------------------------------------------------------------------------- */

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
