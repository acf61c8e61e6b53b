/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "audit/files.h"
#include <stdio.h>
#include <stdlib.h>
#include "audit/audit.h"

#define READ_BYTES (256 * KIB)

void audit_file_path(const char *dir, uint32_t number, char ret[PATH_MAX])
{
    snprintf(ret, PATH_MAX, "%s/%08u.log", dir, number);
}

static int add_name(const char *name, void *arg)
{
    struct audit_files *files = arg;
    struct str text = str_from(name);
    uint64_t number;
    if (text.len != 12 || !str_ends(text, STR(".log")) ||
        str_to_u64(str_prefix(text, 8), &number) < 0 || number == 0)
        return 0;
    if (files->count == AUDIT_FILES_MAX)
        return -ERR_LIMIT;
    uint32_t *more = reallocarray(files->numbers, files->count + 1, sizeof(*more));
    if (!more)
        return -ENOMEM;
    files->numbers = more;
    files->numbers[files->count++] = (uint32_t)number;
    return 0;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

int FIBER audit_files_list(const char *dir, struct audit_files *ret)
{
    struct audit_files files = {0};
    int r = rt_dir_list(dir, add_name, &files);
    if (r == -ENOENT)
        r = 0;
    if (r != 0) {
        free(files.numbers);
        return r;
    }
    if (files.count)
        qsort(files.numbers, files.count, sizeof(*files.numbers), compare);
    *ret = files;
    return 0;
}

struct reading {
    struct rt_file *file;
    char *data;
    size_t len;     /* in `data`, of lines not given yet */
    uint64_t off;   /* of what is read next */
    uint64_t whole; /* bytes of whole lines */
};

static int FIBER give_lines(struct reading *d, int (*fn)(struct str line, void *arg), void *arg)
{
    size_t at = 0;
    int r = 0;
    while (r == 0) {
        const char *end = memchr(d->data + at, '\n', d->len - at);
        if (!end)
            break;
        size_t len = (size_t)(end - d->data) - at;
        r = fn(str_make(d->data + at, len), arg);
        at += len + 1;
        d->whole += len + 1;
    }
    if (r == 0 && at == 0 && d->len == READ_BYTES) { /* no line is as long */
        r = fn(str_make(d->data, d->len), arg);
        at = d->len;
        d->whole += d->len;
    }
    memmove(d->data, d->data + at, d->len - at);
    d->len -= at;
    return r;
}

int FIBER audit_file_lines(const char *path, int (*fn)(struct str line, void *arg), void *arg,
                           uint64_t *ret_whole_bytes)
{
    struct reading d = {.data = malloc(READ_BYTES)};
    size_t got = 1;
    int r = d.data ? rt_file_open(&d.file, path, RT_OPEN_READ) : -ENOMEM;
    while (r == 0 && got) {
        r = rt_file_read(d.file, d.data + d.len, READ_BYTES - d.len, d.off, &got);
        if (r < 0)
            break;
        d.off += got;
        d.len += got;
        r = give_lines(&d, fn, arg);
        rt_yield(); /* other fibers' turn */
    }
    rt_file_close(d.file);
    free(d.data);
    if (r >= 0)
        *ret_whole_bytes = d.whole;
    return r;
}
