/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A copy that is out follows the others: what it has must be how the chain begins, byte for byte in
 * its last file and by length in those before, or is put aside; then the rest is copied from one
 * that is in, file after file. Files before the last never change, and of the last only what is
 * durable is copied, so the writing goes on meanwhile: also beside a step that takes long, because
 * the disk hangs.
 */

#include <stdio.h>
#include <stdlib.h>
#include "audit/internal.h"

#define PIECE_BYTES (256 * KIB)

/* How much a file of the log has; UINT64_MAX: there is none of that number, for it was removed, or
 * is lost. */
static uint64_t size_of(const struct audit_copies *c, uint32_t number)
{
    if (number == c->number)
        return c->off;
    for (size_t i = 0; i < c->kept_count; i++)
        if (c->kept[i].number == number)
            return c->kept[i].bytes;
    return UINT64_MAX;
}

static uint32_t first_of(const struct audit_copies *c)
{
    return c->kept_count ? c->kept[0].number : c->number;
}

/* The first of the log's files from that number on. */
static uint32_t file_from(const struct audit_copies *c, uint32_t number)
{
    for (size_t i = 0; i < c->kept_count; i++)
        if (c->kept[i].number >= number)
            return c->kept[i].number;
    return c->number;
}

/* ---- what it has ---------------------------------------------------------------------------- */

/* 1: as long as that; UINT64_MAX: not there. */
static int FIBER file_is(const char *dir, uint32_t number, uint64_t bytes)
{
    char path[PATH_MAX];
    struct rt_file *f = NULL;
    uint64_t size = 0;
    audit_file_path(dir, number, path);
    int r = rt_file_open(&f, path, RT_OPEN_READ);
    if (r == 0)
        r = rt_file_size(f, &size);
    rt_file_close(f);
    if (r == -ENOENT)
        return bytes == UINT64_MAX;
    return r < 0 ? r : size == bytes;
}

/* 1: what it has is how the log begins. */
static int FIBER is_beginning(const struct audit_copy *k, const struct audit_end *e)
{
    const struct audit_copies *c = k->of;
    char mine[PATH_MAX], theirs[PATH_MAX];
    uint32_t last = e->files.numbers[e->files.count - 1];
    if ((!e->whole && c->sound) || last < first_of(c) || last > c->number ||
        e->bytes > size_of(c, last))
        return 0;
    int r = 1;
    for (uint32_t n = first_of(c); r == 1 && n < last; n++)
        r = file_is(k->dir, n, size_of(c, n));
    audit_file_path(k->dir, last, mine);
    audit_file_path(copies_lead(c)->dir, last, theirs);
    return r == 1 ? audit_same_bytes(mine, theirs, e->bytes) : r;
}

static int FIBER put_aside(struct audit_copy *k)
{
    char to[PATH_MAX];
    snprintf(to, sizeof(to), "%s.aside.%llu", k->dir, (unsigned long long)rt_wall_ms());
    copy_close_file(k);
    int r = rt_rename(k->dir, to);
    if (r == 0)
        r = copies_make_dir(k->dir);
    if (r == 0)
        k->of->tell(k->of->tell_arg, AUDIT_COPY_ASIDE, k);
    return r;
}

/* Those that the others have removed for their age. */
static int FIBER remove_older(const struct audit_copy *k, const struct audit_files *files)
{
    char path[PATH_MAX];
    int r = 0;
    for (size_t i = 0; r == 0 && i < files->count && files->numbers[i] < first_of(k->of); i++) {
        audit_file_path(k->dir, files->numbers[i], path);
        r = rt_unlink(path);
    }
    return r;
}

static int FIBER examine(struct audit_copy *k)
{
    struct audit_end e;
    int r = copies_make_dir(k->dir);
    if (r == 0)
        r = audit_examine(k->dir, &e);
    if (r < 0)
        return r;
    bool any = e.files.count > 0;
    int fits = any ? is_beginning(k, &e) : 0;
    k->number = fits > 0 ? e.files.numbers[e.files.count - 1] : first_of(k->of);
    k->off = fits > 0 ? e.bytes : 0;
    if (fits < 0)
        r = fits;
    else if (fits)
        r = remove_older(k, &e.files);
    else if (any)
        r = put_aside(k);
    free(e.files.numbers);
    k->examined = r == 0;
    return r;
}

/* ---- the rest ------------------------------------------------------------------------------- */

/* The file that the copy stands in, without what a crash left behind that. */
static int FIBER open_at(struct audit_copy *k)
{
    uint64_t size = 0;
    if (k->file && k->file_number == k->number)
        return 0;
    int r = copy_open_file(k, k->number);
    if (r == 0)
        r = rt_file_size(k->file, &size);
    return r == 0 && size > k->off ? rt_file_truncate(k->file, k->off) : r;
}

static int FIBER copy_piece(struct audit_copy *k, uint64_t upto, char *bytes)
{
    char path[PATH_MAX];
    struct rt_file *from = NULL;
    size_t got = 0;
    audit_file_path(copies_lead(k->of)->dir, k->number, path);
    int r = rt_file_open(&from, path, RT_OPEN_READ);
    if (r == 0)
        r = rt_file_read(from, bytes, (size_t)MIN(upto - k->off, (uint64_t)PIECE_BYTES), k->off,
                         &got);
    rt_file_close(from);
    struct iovec iov = {bytes, got};
    if (r == 0 && got == 0)
        r = -ERR_CORRUPT; /* it ends before what is durable */
    if (r == 0)
        r = rt_file_write(k->file, &iov, 1, k->off);
    if (r == 0) {
        k->off += got;
        k->copied += got;
    }
    return r;
}

/* What it stands in is whole: synced, and on to the next. */
static int FIBER next_file(struct audit_copy *k)
{
    int r = rt_file_sync(k->file);
    copy_close_file(k);
    k->number = file_from(k->of, k->number + 1);
    k->off = 0;
    return r;
}

static int FIBER finish(struct audit_copy *k)
{
    int r = rt_file_sync(k->file);
    if (r == 0)
        r = rt_dir_sync(k->dir);
    if (r < 0)
        return r;
    if (k->late) /* more may have been written: the next step sees */
        return 1;
    bool was_out = k->err || k->copied;
    k->in = true;
    k->err = 0;
    if (was_out)
        k->of->tell(k->of->tell_arg, AUDIT_COPY_IN, k);
    return 0;
}

/* 1: there is more to do. */
static int FIBER step_by(struct audit_copy *k, char *bytes)
{
    const struct audit_copies *c = k->of;
    int r = k->examined ? 0 : examine(k);
    for (uint64_t end = k->copied + AUDIT_STEP_MAX; r == 0 && k->copied < end;) {
        uint64_t size = size_of(c, k->number);
        if (size == UINT64_MAX) {
            copy_close_file(k);
            k->number = file_from(c, k->number);
            k->off = 0;
            continue;
        }
        r = open_at(k);
        if (r == 0 && k->off < size)
            r = copy_piece(k, size, bytes);
        else if (r == 0 && k->number < c->number)
            r = next_file(k);
        else if (r == 0)
            return finish(k);
    }
    return r < 0 ? r : 1;
}

static int FIBER step(void *arg)
{
    struct audit_copy *k = arg;
    char *bytes = malloc(PIECE_BYTES);
    copy_note_done(k, bytes ? step_by(k, bytes) : -ENOMEM);
    free(bytes);
    return 0;
}

/* False: it goes on, and the writer too. */
static bool FIBER wait_step(struct audit_copy *k)
{
    struct audit_copies *c = k->of;
    uint64_t deadline = rt_now() + COPY_STEP_NS;
    int r = 0;
    rt_lock(&c->lock);
    while (!k->done && r != -ETIMEDOUT)
        r = rt_wait_uncancelled(&c->wait, &c->lock, deadline);
    k->late = !k->done;
    rt_unlock(&c->lock);
    return !k->late;
}

/* What a step came to. True: there is more to do. */
static bool FIBER end_step(struct audit_copy *k)
{
    k->late = false;
    if (k->result >= 0)
        return k->result > 0;
    copy_close_file(k);
    k->examined = false;
    k->err = k->result;
    k->retry_ns = rt_now() + COPY_RETRY_NS;
    return false;
}

bool FIBER copies_bring_up(struct audit_copies *c)
{
    bool more = false;
    for (unsigned i = 0; i < c->count; i++) {
        struct audit_copy *k = c->at[i];
        if (k->in || !k->there || rt_now() < k->retry_ns || !copy_collect(k))
            continue;
        if (k->late) {
            more |= end_step(k);
            continue;
        }
        copy_begin(k, step, false);
        if (wait_step(k) && copy_collect(k))
            more |= end_step(k);
    }
    return more;
}
