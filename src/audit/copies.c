/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Writing to the copies, and who of them is in. bring_up.c has how the others follow.
 */

#include <stdio.h>
#include <stdlib.h>
#include "audit/internal.h"

#define LATE_NS (5 * RT_S) /* after the first has done it */

/* ---- bytes ---------------------------------------------------------------------------------- */

struct audit_lines *audit_lines_new(struct buf *b)
{
    struct audit_lines *l = malloc(sizeof(*l));
    if (!l)
        return NULL;
    *l = (struct audit_lines){1, *b};
    buf_init(b, 0);
    return l;
}

void audit_lines_unref(struct audit_lines *l)
{
    if (!l || --l->refs > 0)
        return;
    buf_release(&l->buf);
    free(l);
}

/* ---- in and out ----------------------------------------------------------------------------- */

struct audit_copy *copies_lead(const struct audit_copies *c)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->at[i]->in)
            return c->at[i];
    return NULL;
}

static unsigned count_in(const struct audit_copies *c)
{
    unsigned n = 0;
    for (unsigned i = 0; i < c->count; i++)
        n += c->at[i]->in;
    return n;
}

void copy_close_file(struct audit_copy *k)
{
    rt_file_close(TAKE_PTR(k->file));
}

static void FIBER leave(struct audit_copy *k, int why)
{
    bool was = k->in;
    k->in = k->examined = false;
    k->err = why;
    k->copied = 0;
    k->retry_ns = rt_now() + COPY_RETRY_NS;
    if (!k->fiber)
        copy_close_file(k);
    if (was)
        k->of->tell(k->of->tell_arg, AUDIT_COPY_OUT, k);
}

int FIBER copies_make_dir(const char *dir)
{
    char parent[AUDIT_DIR_MAX + 1];
    snprintf(parent, sizeof(parent), "%s", dir);
    for (size_t len = strlen(parent); len > 1 && parent[len - 1] == '/'; len--)
        parent[len - 1] = 0;
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[1] = 0;
    int r = rt_mkdir(dir);
    if (r < 0)
        return r;
    r = rt_dir_sync(slash ? parent : ".");
    /* A parent that may be entered and not read is nothing that we could sync. */
    return r == -EACCES || r == -EINVAL ? 0 : r;
}

/* ---- writing -------------------------------------------------------------------------------- */

int FIBER copy_open_file(struct audit_copy *k, uint32_t number)
{
    char path[PATH_MAX];
    if (k->file && k->file_number == number)
        return 0;
    copy_close_file(k);
    audit_file_path(k->dir, number, path);
    k->file_number = number;
    int r = rt_file_open(&k->file, path, RT_OPEN_WRITE | RT_OPEN_CREATE);
    return r < 0 ? r : rt_dir_sync(k->dir);
}

static int FIBER write_one(struct audit_copy *k)
{
    struct iovec iov = {k->lines->buf.data, k->lines->buf.len};
    int r = copy_open_file(k, k->to_number);
    if (r == 0)
        r = rt_file_write(k->file, &iov, 1, k->to_off);
    if (r == 0)
        r = rt_file_sync(k->file);
    /* After a failed sync nothing is known of the page cache: the next try is by a new handle. */
    if (r < 0)
        copy_close_file(k);
    return r;
}

void copy_note_done(struct audit_copy *k, int result)
{
    rt_lock(&k->of->lock);
    k->result = result;
    k->done = true;
    rt_wake_all(&k->of->wait);
    rt_unlock(&k->of->lock);
}

static int FIBER write_fiber(void *arg)
{
    struct audit_copy *k = arg;
    copy_note_done(k, write_one(k));
    return 0;
}

void FIBER copy_begin(struct audit_copy *k, int (*fn)(void *copy), bool alone)
{
    k->done = false;
    k->busy = true;
    if (alone || rt_spawn(&k->fiber, "audit-copy", fn, k) < 0) {
        k->fiber = NULL;
        (void)fn(k);
    }
}

static void FIBER begin_write(struct audit_copy *k, struct audit_lines *lines, uint32_t number,
                              uint64_t off, bool alone)
{
    lines->refs++;
    k->lines = lines;
    k->to_number = number;
    k->to_off = off;
    copy_begin(k, write_fiber, alone);
}

bool FIBER copy_collect(struct audit_copy *k)
{
    rt_lock(&k->of->lock);
    bool done = !k->busy || k->done;
    rt_unlock(&k->of->lock);
    if (!done)
        return false;
    if (k->fiber)
        rt_join(TAKE_PTR(k->fiber));
    audit_lines_unref(TAKE_PTR(k->lines));
    k->busy = false;
    return true;
}

static void count_done(const struct audit_copies *c, unsigned *ret_waiting, unsigned *ret_good)
{
    *ret_waiting = *ret_good = 0;
    for (unsigned i = 0; i < c->count; i++) {
        *ret_waiting += c->at[i]->in && !c->at[i]->done;
        *ret_good += c->at[i]->in && c->at[i]->done && c->at[i]->result == 0;
    }
}

/* For all of them; once one has it, the others get a little more time. */
static void FIBER wait_written(struct audit_copies *c)
{
    uint64_t deadline = RT_NEVER;
    unsigned waiting, good;
    rt_lock(&c->lock);
    for (count_done(c, &waiting, &good); waiting; count_done(c, &waiting, &good)) {
        if (good && deadline == RT_NEVER)
            deadline = rt_now() + LATE_NS;
        if (rt_wait_uncancelled(&c->wait, &c->lock, deadline) == -ETIMEDOUT)
            break;
    }
    rt_unlock(&c->lock);
}

/* How many have it; the others are out, unless it is all of them. */
static unsigned FIBER settle(struct audit_copies *c, int *ret_err)
{
    unsigned waiting, good;
    rt_lock(&c->lock);
    count_done(c, &waiting, &good);
    rt_unlock(&c->lock);
    for (unsigned i = 0; i < c->count; i++) {
        struct audit_copy *k = c->at[i];
        if (!k->in)
            continue;
        int r = copy_collect(k) ? k->result : -ETIMEDOUT;
        if (r < 0)
            *ret_err = r;
        if (r < 0 && good)
            leave(k, r);
    }
    return good;
}

static int reserve_kept(struct audit_copies *c)
{
    struct audit_kept *more = reallocarray(c->kept, c->kept_count + 1, sizeof(*more));
    if (!more)
        return -ENOMEM;
    c->kept = more;
    return 0;
}

int FIBER copies_write(struct audit_copies *c, struct audit_lines *lines, uint64_t file_bytes)
{
    bool next = c->off >= file_bytes, alone = count_in(c) == 1;
    uint32_t number = next ? c->number + 1 : c->number;
    uint64_t off = next ? 0 : c->off;
    int err = next ? reserve_kept(c) : 0;
    if (err < 0)
        return err;
    for (unsigned i = 0; i < c->count; i++)
        if (c->at[i]->in)
            begin_write(c->at[i], lines, number, off, alone);
    wait_written(c);
    if (settle(c, &err) == 0)
        return err;
    if (next)
        c->kept[c->kept_count++] = (struct audit_kept){c->number, c->off, rt_wall_ms()};
    c->number = number;
    c->off = off + lines->buf.len;
    return 0;
}

/* ---- removing ------------------------------------------------------------------------------- */

/* Durably, or after a power cut the copies would differ. Whoever else took it away has done what
 * there was to do. */
static int FIBER remove_one(struct audit_copy *k)
{
    char path[PATH_MAX];
    audit_file_path(k->dir, k->to_number, path);
    int r = rt_unlink(path);
    k->removed = r == 0;
    return r == 0 || r == -ENOENT ? rt_dir_sync(k->dir) : r;
}

static int FIBER remove_fiber(void *arg)
{
    struct audit_copy *k = arg;
    copy_note_done(k, remove_one(k));
    return 0;
}

int FIBER copies_remove_oldest(struct audit_copies *c)
{
    bool alone = count_in(c) == 1;
    int err = 0;
    for (unsigned i = 0; i < c->count; i++) {
        if (!c->at[i]->in)
            continue;
        c->at[i]->to_number = c->kept[0].number;
        copy_begin(c->at[i], remove_fiber, alone);
    }
    wait_written(c);
    if (settle(c, &err) == 0)
        return err;
    memmove(c->kept, c->kept + 1, --c->kept_count * sizeof(*c->kept));
    return copies_lead(c)->removed;
}

/* ---- directories ---------------------------------------------------------------------------- */

static int add_copy(struct audit_copies *c, const struct audit_place *p)
{
    struct audit_copy *k = calloc(1, sizeof(*k));
    if (!k)
        return -ENOMEM;
    k->of = c;
    k->there = p->there;
    snprintf(k->dir, sizeof(k->dir), "%s", p->dir);
    c->at[c->count++] = k;
    return 0;
}

static const struct audit_place *find_place(const char *dir, const struct audit_place *places,
                                            unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(places[i].dir, dir) == 0)
            return &places[i];
    return NULL;
}

static bool has_copy(const struct audit_copies *c, const char *dir)
{
    for (unsigned i = 0; i < c->count; i++)
        if (strcmp(c->at[i]->dir, dir) == 0)
            return true;
    return false;
}

/* The disk is as the place says; NULL: it is no place of the log any more. True: the copy goes. */
static bool FIBER follow_place(struct audit_copy *k, const struct audit_place *p)
{
    bool last = k->in && count_in(k->of) == 1, there = p && p->there;
    if (there && !k->there)
        k->retry_ns = 0;
    k->there = there;
    if (there || last || !copy_collect(k))
        return false;
    if (k->in)
        leave(k, -ERR_DISK_GONE);
    return !p;
}

void FIBER copies_set_places(struct audit_copies *c, const struct audit_place *places,
                             unsigned count)
{
    unsigned kept = 0;
    bool goes[AUDIT_COPIES_MAX] = {false};
    for (unsigned i = 0; i < c->count; i++)
        goes[i] = follow_place(c->at[i], find_place(c->at[i]->dir, places, count));
    for (unsigned i = 0; i < c->count; i++) {
        if (!goes[i]) {
            c->at[kept++] = c->at[i];
            continue;
        }
        copy_close_file(c->at[i]);
        free(c->at[i]);
    }
    c->count = kept;
    for (unsigned i = 0; i < count && c->count < AUDIT_COPIES_MAX; i++)
        if (places[i].there && !has_copy(c, places[i].dir) && add_copy(c, &places[i]) < 0)
            return;
}

/* ---- the start ------------------------------------------------------------------------------ */

struct candidate {
    const struct audit_place *place;
    struct audit_end end;
    int err;
};

/* Those that can be used; of these who goes furthest; of these one that is whole. */
static int by_lead(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if ((x->err == 0) != (y->err == 0))
        return x->err == 0 ? -1 : 1;
    if (x->end.seq != y->end.seq)
        return x->end.seq > y->end.seq ? -1 : 1;
    if (x->end.any != y->end.any)
        return x->end.any ? -1 : 1;
    if (x->end.whole != y->end.whole)
        return x->end.whole ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static int FIBER take_kept(struct audit_copies *c, const char *dir, const struct audit_files *files)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i + 1 < files->count; i++) {
        char path[PATH_MAX];
        struct rt_file *f;
        uint64_t bytes = 0;
        audit_file_path(dir, files->numbers[i], path);
        r = rt_file_open(&f, path, RT_OPEN_READ);
        if (r == 0) {
            r = rt_file_size(f, &bytes);
            rt_file_close(f);
        }
        if (r == 0)
            r = reserve_kept(c);
        /* Its age counts from now: it may stay longer than it must, not shorter. */
        if (r == 0)
            c->kept[c->kept_count++] = (struct audit_kept){files->numbers[i], bytes, rt_wall_ms()};
    }
    return r;
}

/* The log goes on where this one ends. */
static int FIBER take_lead(struct audit_copies *c, struct audit_copy *k, const struct audit_end *e,
                           struct audit_found *ret)
{
    c->number = e->files.count ? e->files.numbers[e->files.count - 1] : 1;
    c->off = e->bytes;
    c->sound = e->whole;
    c->kept_count = 0;
    *ret = (struct audit_found){
        .any = e->any, .sound = e->sound, .seq = e->seq, .torn_bytes = e->torn};
    memcpy(ret->hash, e->last.hash, sizeof(ret->hash));
    int r = take_kept(c, k->dir, &e->files);
    if (r == 0)
        r = copy_open_file(k, c->number);
    if (r == 0 && e->torn)
        r = rt_file_truncate(k->file, c->off);
    if (r == 0 && e->torn)
        r = rt_file_sync(k->file);
    if (r < 0)
        leave(k, r);
    k->in = r == 0;
    return r;
}

/* The first of them that can be written. */
static int FIBER find_lead(struct audit_copies *c, const struct candidate *list,
                           struct audit_found *ret)
{
    int r = -ENOENT;
    for (unsigned i = 0; r < 0 && i < c->count && list[i].err == 0; i++)
        r = take_lead(c, c->at[i], &list[i].end, ret);
    return r;
}

static int FIBER look(struct candidate *list, const struct audit_place *places, unsigned count)
{
    int fault = -ENOENT;
    for (unsigned i = 0; i < count; i++) {
        struct candidate *c = &list[i];
        c->place = &places[i];
        c->err = places[i].there ? copies_make_dir(places[i].dir) : -ERR_DISK_GONE;
        if (c->err == 0)
            c->err = audit_examine(places[i].dir, &c->end);
        if (c->err < 0)
            fault = c->err;
    }
    qsort(list, count, sizeof(*list), by_lead);
    return list[0].err < 0 ? fault : 0;
}

int FIBER copies_open(struct audit_copies *c, const struct audit_place *places, unsigned count,
                      struct audit_found *ret)
{
    rt_lock_init(&c->lock);
    rt_waitq_init(&c->wait);
    struct candidate *list = calloc(MAX(count, 1u), sizeof(*list));
    int r = list ? look(list, places, count) : -ENOMEM;
    for (unsigned i = 0; r == 0 && i < count && i < AUDIT_COPIES_MAX; i++)
        r = add_copy(c, list[i].place);
    if (r == 0)
        r = find_lead(c, list, ret);
    for (unsigned i = 0; list && i < count; i++)
        free(list[i].end.files.numbers);
    free(list);
    return r;
}

void FIBER copies_close(struct audit_copies *c)
{
    for (unsigned i = 0; i < c->count; i++) /* all, for a step looks at the others */
        if (c->at[i]->fiber)
            rt_join(TAKE_PTR(c->at[i]->fiber));
    for (unsigned i = 0; i < c->count; i++) {
        struct audit_copy *k = c->at[i];
        audit_lines_unref(TAKE_PTR(k->lines));
        copy_close_file(k);
        free(k);
    }
    c->count = 0;
    free(TAKE_PTR(c->kept));
}
