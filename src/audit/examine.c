/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What a directory of the log holds: how far it goes, and whether it is whole as far as that can be
 * told from the ends of each file and all of the last. The whole chain is audit_verify()'s to
 * recompute.
 */

#include <stdlib.h>
#include "audit/copies.h"

#define EDGE_BYTES    (2 * AUDIT_LINE_MAX)
#define COMPARE_BYTES (256 * KIB)

/* One line joins what was seen so far. */
static int note_line(struct str line, void *arg)
{
    struct audit_end *e = arg;
    struct audit_link link;
    bool record = audit_line_link(line, &link);
    e->sound = record && link.intact;
    e->whole = e->whole && e->sound &&
               (!e->any || (memcmp(link.prev, e->last.hash, AUDIT_HASH_LEN) == 0 &&
                            link.seq == e->last.seq + 1));
    if (record)
        e->last = link;
    if (e->sound)
        e->seq = link.seq;
    e->any = true;
    return 0;
}

/* The line that begins the bytes, and the one that ends them. */
static struct str first_of(struct str bytes)
{
    const char *end = bytes.len ? memchr(bytes.ptr, '\n', bytes.len) : NULL;
    return end ? str_prefix(bytes, (size_t)(end - bytes.ptr)) : bytes;
}
static struct str last_of(struct str bytes)
{
    if (bytes.len)
        bytes.len--;
    const char *before = bytes.len ? memrchr(bytes.ptr, '\n', bytes.len) : NULL;
    return before ? str_from_offset(bytes, (size_t)(before - bytes.ptr) + 1) : bytes;
}

/* What lies between the first line of the file and its last is taken for a chain. */
static int FIBER note_edges(const char *path, char *bytes, struct audit_end *e)
{
    struct rt_file *f = NULL;
    uint64_t size;
    size_t got;
    int r = rt_file_open(&f, path, RT_OPEN_READ);
    if (r == 0)
        r = rt_file_size(f, &size);
    if (r == 0)
        r = rt_file_read(f, bytes, EDGE_BYTES, 0, &got);
    if (r == 0 && got) {
        note_line(first_of(str_make(bytes, got)), e);
        uint64_t from = size > EDGE_BYTES ? size - EDGE_BYTES : 0;
        r = rt_file_read(f, bytes, EDGE_BYTES, from, &got);
    }
    if (r == 0 && got) {
        bool ended = bytes[got - 1] == '\n';
        e->any = false; /* nothing is known of the line before */
        note_line(last_of(str_make(bytes, got)), e);
        e->whole = e->whole && ended;
    }
    rt_file_close(f);
    return r;
}

static int FIBER note_last_file(const char *path, struct audit_end *e)
{
    struct rt_file *f = NULL;
    uint64_t size = 0;
    int r = audit_file_lines(path, note_line, e, &e->bytes);
    if (r == 0)
        r = rt_file_open(&f, path, RT_OPEN_READ);
    if (r == 0)
        r = rt_file_size(f, &size);
    rt_file_close(f);
    e->torn = size > e->bytes ? size - e->bytes : 0;
    return r;
}

static int FIBER note_files(const char *dir, char *bytes, struct audit_end *e)
{
    char path[PATH_MAX];
    int r = 0;
    for (size_t i = 0; r == 0 && i < e->files.count; i++) {
        audit_file_path(dir, e->files.numbers[i], path);
        if (i > 0 && e->files.numbers[i] != e->files.numbers[i - 1] + 1)
            e->whole = false;
        r = i + 1 < e->files.count ? note_edges(path, bytes, e) : note_last_file(path, e);
    }
    return r;
}

int FIBER audit_examine(const char *dir, struct audit_end *ret)
{
    *ret = (struct audit_end){.whole = true};
    char *bytes = malloc(EDGE_BYTES);
    int r = bytes ? audit_files_list(dir, &ret->files) : -ENOMEM;
    if (r == 0)
        r = note_files(dir, bytes, ret);
    free(bytes);
    if (r < 0)
        free(TAKE_PTR(ret->files.numbers));
    return r;
}

static int FIBER compare_files(struct rt_file *a, struct rt_file *b, char *bytes, uint64_t len)
{
    size_t got_a = 1, got_b = 1;
    int r = 0;
    for (uint64_t off = 0; r == 0 && off < len; off += got_a) {
        size_t want = (size_t)MIN(len - off, (uint64_t)COMPARE_BYTES);
        r = rt_file_read(a, bytes, want, off, &got_a);
        if (r == 0)
            r = rt_file_read(b, bytes + COMPARE_BYTES, want, off, &got_b);
        bool same =
            got_a == want && got_b == want && memcmp(bytes, bytes + COMPARE_BYTES, want) == 0;
        if (r < 0 || !same)
            return r;
        rt_yield(); /* other fibers' turn */
    }
    return r < 0 ? r : 1;
}

int FIBER audit_same_bytes(const char *a, const char *b, uint64_t len)
{
    struct rt_file *fa = NULL, *fb = NULL;
    char *bytes = malloc(2 * COMPARE_BYTES);
    int r = bytes ? rt_file_open(&fa, a, RT_OPEN_READ) : -ENOMEM;
    if (r == 0)
        r = rt_file_open(&fb, b, RT_OPEN_READ);
    if (r == 0)
        r = compare_files(fa, fb, bytes, len);
    rt_file_close(fa);
    rt_file_close(fb);
    free(bytes);
    return r;
}
