/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The names and the space of one simulated disk.
 *
 * A name (a full path) stands for one inode now and for one in the durable state; `pending` holds,
 * oldest first, what makes the one of the other. A directory sync applies the operations of that
 * directory; a crash applies a choice of all of them, never one whose predecessor on the same name
 * was dropped. Names whose directory is not durable go with it.
 */

#include <stdio.h>
#include "rt/sim/internal.h"

struct sim_name {
    struct list link;
    char path[SIM_PATH_MAX];
    struct sim_inode *now, *durable; /* NULL: not there */
};

/* `set` takes the place of what `to` named; `from`, unless empty, names nothing any more. */
struct sim_name_op {
    struct list link;
    uint64_t seq;
    struct sim_name *to, *from; /* from: of a rename, else NULL */
    struct sim_inode *set;      /* NULL: an unlink */
};

/* ---- names ---------------------------------------------------------------------------------- */

static struct sim_name *name_find(const struct sim_disk *d, const char *path)
{
    struct sim_name *n;
    LIST_FOR (n, &d->names, link)
        if (strcmp(n->path, path) == 0)
            return n;
    return NULL;
}

static struct sim_name *name_get(struct sim_disk *d, const char *path)
{
    struct sim_name *n = name_find(d, path);
    if (n)
        return n;
    n = calloc(1, sizeof *n);
    CHECK(n);
    snprintf(n->path, sizeof n->path, "%s", path);
    list_push_back(&d->names, &n->link);
    return n;
}

static void name_set_now(struct sim_name *n, struct sim_inode *inode)
{
    if (inode)
        sim_inode_ref(inode)->links++;
    if (n->now)
        n->now->links--;
    sim_inode_unref(n->now);
    n->now = inode;
}

static void name_set_durable(struct sim_name *n, struct sim_inode *inode)
{
    if (inode)
        sim_inode_ref(inode);
    sim_inode_unref(n->durable);
    n->durable = inode;
}

/* Whether `path` lies directly in `dir`. */
static bool path_in_dir(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && path[len] == '/' && !strchr(path + len + 1, '/');
}

static void path_dir(char *ret, const char *path)
{
    const char *slash = strrchr(path, '/');
    snprintf(ret, SIM_PATH_MAX, "%.*s", (int)(slash ? slash - path : 0), path);
}

static bool dir_exists(const struct sim_disk *d, const char *path, bool durable)
{
    const struct sim_name *n = name_find(d, path);
    const struct sim_inode *inode = n ? (durable ? n->durable : n->now) : NULL;
    return inode && inode->is_dir;
}

static bool parent_exists(const struct sim_disk *d, const char *path, bool durable)
{
    char dir[SIM_PATH_MAX];
    if (strcmp(path, d->root) == 0)
        return true;
    path_dir(dir, path);
    return dir_exists(d, dir, durable);
}

/* ---- life ----------------------------------------------------------------------------------- */

int sim_disk_new(struct sim_disk **ret, struct sim *s, const char *path, uint64_t capacity_bytes)
{
    struct sim_disk *d = calloc(1, sizeof *d);
    if (!d)
        return -ENOMEM;
    CHECK(path[0] == '/' && !strchr(path + 1, '/') && strlen(path) < SIM_PATH_MAX / 2);
    snprintf(d->root, sizeof d->root, "%s", path);
    d->sim = s;
    list_init(&d->names);
    list_init(&d->pending);
    list_init(&d->inodes);
    sim_disk_set_capacity(d, capacity_bytes);
    sim_add_disk(s, d);
    struct sim_inode *root;
    CHECK(sim_disk_create(d, d->root, true, &root) == 0);
    CHECK(sim_disk_sync_dir(d, "") == 0);
    *ret = d;
    return 0;
}

void sim_disk_set_capacity(struct sim_disk *d, uint64_t capacity_bytes)
{
    d->capacity_pages = capacity_bytes / SIM_PAGE;
}

static void name_op_free(struct sim_name_op *op)
{
    sim_inode_unref(op->set);
    list_remove(&op->link);
    free(op);
}

void sim_disk_free(struct sim_disk *d)
{
    struct sim_name_op *op, *op_next;
    LIST_FOR_SAFE (op, op_next, &d->pending, link)
        name_op_free(op);
    struct sim_name *n, *next;
    LIST_FOR_SAFE (n, next, &d->names, link) {
        name_set_now(n, NULL);
        name_set_durable(n, NULL);
        free(n);
    }
    list_remove(&d->link);
    free(d);
}

int sim_disk_clone(struct sim_disk **ret, const struct sim_disk *from, struct sim *s,
                   const char *path)
{
    int err = sim_disk_new(ret, s, path, from->capacity_pages * SIM_PAGE);
    if (err)
        return err;
    struct sim_name *n;
    LIST_FOR (n, &from->names, link) {
        if (!n->durable || strcmp(n->path, from->root) == 0)
            continue;
        char to[2 * SIM_PATH_MAX];
        snprintf(to, sizeof to, "%s%s", path, n->path + strlen(from->root));
        CHECK(strlen(to) < SIM_PATH_MAX);
        struct sim_name *copy = name_get(*ret, to);
        struct sim_inode *inode = sim_inode_clone(n->durable);
        list_push_back(&(*ret)->inodes, &inode->link);
        name_set_now(copy, inode);
        name_set_durable(copy, inode);
        sim_inode_unref(inode);
    }
    return 0;
}

/* ---- operations ----------------------------------------------------------------------------- */

struct sim_inode *sim_disk_lookup(const struct sim_disk *d, const char *path)
{
    const struct sim_name *n = name_find(d, path);
    return n ? n->now : NULL;
}

/* Remembers the operation until it is durable, and does it to the present names. */
static void name_op(struct sim_disk *d, struct sim_name *to, struct sim_name *from,
                    struct sim_inode *set)
{
    struct sim_name_op *op = calloc(1, sizeof *op);
    CHECK(op);
    *op = (struct sim_name_op){.seq = sim_next_seq(d->sim), .to = to, .from = from, .set = set};
    if (set)
        sim_inode_ref(set);
    list_push_back(&d->pending, &op->link);
    name_set_now(to, set);
    if (from)
        name_set_now(from, NULL);
}

int sim_disk_create(struct sim_disk *d, const char *path, bool is_dir, struct sim_inode **ret)
{
    if (strlen(path) >= SIM_PATH_MAX)
        return -ENAMETOOLONG;
    if (!parent_exists(d, path, false))
        return -ENOENT;
    struct sim_name *name = name_get(d, path);
    if (name->now)
        return -EEXIST;
    struct sim_inode *inode = sim_inode_new(is_dir);
    list_push_back(&d->inodes, &inode->link);
    name_op(d, name, NULL, inode);
    sim_inode_unref(inode);
    *ret = inode;
    return 0;
}

int sim_disk_rename(struct sim_disk *d, const char *from, const char *to)
{
    if (strlen(to) >= SIM_PATH_MAX)
        return -ENAMETOOLONG;
    struct sim_name *source = name_find(d, from);
    if (!source || !source->now || !parent_exists(d, to, false))
        return -ENOENT;
    if (source->now->is_dir)
        return -ENOSYS; /* nothing in Cairn renames directories */
    if (strcmp(from, to) != 0)
        name_op(d, name_get(d, to), source, source->now);
    return 0;
}

int sim_disk_unlink(struct sim_disk *d, const char *path)
{
    struct sim_name *n = name_find(d, path);
    if (!n || !n->now)
        return -ENOENT;
    if (n->now->is_dir)
        return -EISDIR;
    name_op(d, n, NULL, NULL);
    return 0;
}

int sim_disk_list(struct sim_disk *d, const char *path, int (*fn)(const char *name, void *arg),
                  void *arg)
{
    if (!dir_exists(d, path, false))
        return -ENOENT;
    struct sim_name *n, *next;
    LIST_FOR_SAFE (n, next, &d->names, link) {
        if (!n->now || !path_in_dir(n->path, path))
            continue;
        int r = fn(n->path + strlen(path) + 1, arg);
        if (r)
            return r;
    }
    return 0;
}

/* ---- durability ----------------------------------------------------------------------------- */

static void name_op_apply(struct sim_name_op *op)
{
    name_set_durable(op->to, op->set);
    if (op->from)
        name_set_durable(op->from, NULL);
    name_op_free(op);
}

int sim_disk_sync_dir(struct sim_disk *d, const char *path)
{
    if (path[0] && !dir_exists(d, path, false))
        return -ENOENT;
    struct sim_name_op *op, *next;
    LIST_FOR_SAFE (op, next, &d->pending, link)
        if (path_in_dir(op->to->path, path) || (op->from && path_in_dir(op->from->path, path)))
            name_op_apply(op);
    return 0;
}

/* Whether an earlier operation that was dropped has a name in common with `op`. */
static bool name_op_orphaned(const struct list *dropped, const struct sim_name_op *op)
{
    const struct sim_name_op *o;
    LIST_FOR (o, dropped, link) {
        if (o->to == op->to || o->to == op->from)
            return true;
        if (o->from && (o->from == op->to || o->from == op->from))
            return true;
    }
    return false;
}

static bool name_op_kept(const struct sim_disk *d, const struct sim_name_op *op, enum sim_keep keep,
                         uint64_t prefix_seq)
{
    switch (keep) {
    case SIM_KEEP_NONE:
        return false;
    case SIM_KEEP_PREFIX:
        return op->seq <= prefix_seq;
    default:
        return sim_choose(d->sim, 2) == 1;
    }
}

static void crash_names(struct sim_disk *d, enum sim_keep keep, uint64_t prefix_seq)
{
    struct list dropped;
    list_init(&dropped);
    struct sim_name_op *op, *op_next;
    LIST_FOR_SAFE (op, op_next, &d->pending, link) {
        if (!name_op_orphaned(&dropped, op) && name_op_kept(d, op, keep, prefix_seq)) {
            name_op_apply(op);
        } else {
            list_remove(&op->link);
            list_push_back(&dropped, &op->link);
        }
    }
    LIST_FOR_SAFE (op, op_next, &dropped, link)
        name_op_free(op);
    struct sim_name *n, *next;
    LIST_FOR_SAFE (n, next, &d->names, link) {
        if (n->durable && !parent_exists(d, n->path, true))
            name_set_durable(n, NULL);
        name_set_now(n, n->durable);
        if (n->now)
            continue;
        list_remove(&n->link);
        free(n);
    }
}

/* Files opened by the life that ended are held by nobody now. */
static void crash_opens(struct sim_disk *d)
{
    struct sim_inode *n, *next;
    LIST_FOR_SAFE (n, next, &d->inodes, link) {
        n->locked = false;
        list_init(&n->writing);
        unsigned opens = n->opens;
        n->opens = 0;
        for (unsigned i = 0; i < opens; i++)
            sim_inode_unref(n);
    }
}

void sim_disk_crash(struct sim_disk *d, enum sim_keep keep)
{
    crash_opens(d);
    if (keep == SIM_KEEP_ALL)
        return;
    uint64_t prefix_seq = keep == SIM_KEEP_PREFIX ? sim_crash_prefix(d->sim) : 0;
    struct sim_inode *n;
    LIST_FOR (n, &d->inodes, link)
        sim_inode_crash(n, d->sim, keep, prefix_seq);
    crash_names(d, keep, prefix_seq);
}

struct sim_disk *sim_disk_of(struct sim *s, const char *path)
{
    struct sim_disk *d;
    LIST_FOR (d, &s->disks, link) {
        size_t len = strlen(d->root);
        if (strncmp(path, d->root, len) == 0 && (path[len] == '/' || !path[len]))
            return d;
    }
    return NULL;
}

/* ---- space ---------------------------------------------------------------------------------- */

uint64_t sim_disk_free_pages(const struct sim_disk *d)
{
    uint64_t used = 0;
    const struct sim_inode *n;
    LIST_FOR (n, &d->inodes, link)
        used += n->links || n->opens ? n->pages_held : 0;
    return used < d->capacity_pages ? d->capacity_pages - used : 0;
}

/* ---- faults --------------------------------------------------------------------------------- */

void sim_disk_fault(struct sim_disk *d, const struct sim_fault *fault)
{
    CHECK(d->fault_count < SIM_FAULTS_MAX && fault->nth > 0);
    d->faults[d->fault_count++] = *fault;
}

void sim_disk_heal(struct sim_disk *d)
{
    d->fault_count = 0;
}

static bool fault_is_of(const struct sim_fault *f, enum sim_fault_kind kind, const char *path)
{
    return f->kind == kind && (!f->path_part || strstr(path, f->path_part));
}

bool sim_disk_will_hit(const struct sim_disk *d, enum sim_fault_kind kind, const char *path)
{
    bool will = false;
    for (unsigned i = 0; i < d->fault_count; i++)
        will = will || (d->faults[i].count > 0 && fault_is_of(&d->faults[i], kind, path));
    return will;
}

bool sim_disk_hit(struct sim_disk *d, enum sim_fault_kind kind, const char *path)
{
    bool hit = false;
    for (unsigned i = 0; i < d->fault_count; i++) {
        struct sim_fault *f = &d->faults[i];
        if (!fault_is_of(f, kind, path))
            continue;
        if (f->nth > 1) {
            f->nth--;
        } else if (f->count > 0) {
            f->count -= f->count != UINT64_MAX;
            hit = true;
        }
    }
    d->counts.faults += hit;
    return hit;
}

void sim_disk_counts(const struct sim_disk *d, struct sim_disk_counts *ret)
{
    *ret = d->counts;
}

/* ---- the surface ---------------------------------------------------------------------------- */

int sim_disk_peek(struct sim_disk *d, const char *path, uint64_t off, void *buf, size_t len)
{
    struct sim_inode *n = sim_disk_lookup(d, path);
    if (!n)
        return -ENOENT;
    return sim_inode_read(n, buf, len, off) == len ? 0 : -EINVAL;
}

int sim_disk_poke(struct sim_disk *d, const char *path, uint64_t off, const void *buf, size_t len)
{
    struct sim_inode *n = sim_disk_lookup(d, path);
    return n ? sim_inode_poke(n, buf, len, off) : -ENOENT;
}

int sim_disk_flip(struct sim_disk *d, const char *path, uint64_t off, unsigned bit)
{
    uint8_t byte;
    int err = sim_disk_peek(d, path, off, &byte, 1);
    if (err)
        return err;
    byte ^= (uint8_t)(1u << (bit % 8));
    return sim_disk_poke(d, path, off, &byte, 1);
}

int sim_disk_each(struct sim_disk *d, int (*fn)(const char *path, uint64_t len_bytes, void *arg),
                  void *arg)
{
    struct sim_name *n, *next;
    LIST_FOR_SAFE (n, next, &d->names, link) {
        if (!n->now || n->now->is_dir)
            continue;
        int r = fn(n->path, n->now->size, arg);
        if (r)
            return r;
    }
    return 0;
}
