/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Searching the log, and checking its chain. */

#include <jansson.h>
#include <stdio.h>
#include "audit/files.h"
#include "audit/line.h"
#include "wire/date.h"
#include "wire/json.h"

/* ---- searching ------------------------------------------------------------------------------ */

static struct str member(const json_t *o, const char *name)
{
    const json_t *text = json_object_get(o, name);
    return str_make(json_string_value(text), json_string_length(text));
}

static bool is_asked(struct str wanted, struct str value)
{
    return !wanted.ptr || str_eq(wanted, value);
}

static bool record_fits(const struct audit_filter *f, const json_t *o)
{
    uint64_t time_ms;
    if (date_parse_iso(member(o, "time"), &time_ms) < 0 || time_ms < f->from_ms ||
        (f->to_ms && time_ms > f->to_ms))
        return false;
    bool user = !f->user.ptr || str_eq(f->user, member(o, "user")) ||
                str_eq(f->user, member(o, "user_id")) || str_eq(f->user, member(o, "access_key"));
    return user && is_asked(f->bucket, member(o, "bucket")) &&
           is_asked(f->operation, member(o, "operation")) &&
           is_asked(f->outcome, member(o, "outcome")) &&
           (!f->prefix.ptr || str_starts(member(o, "key"), f->prefix));
}

struct query {
    const struct audit_filter *filter;
    int (*fn)(struct str line, void *arg);
    void *arg;
    uint64_t given;
};

#define QUERY_FULL 1

static int FIBER query_line(struct str line, void *arg)
{
    struct query *q = arg;
    json_t *o = json_read(line);
    bool fits = o && record_fits(q->filter, o);
    json_decref(o);
    if (!fits)
        return 0;
    if (q->given == q->filter->max)
        return QUERY_FULL;
    q->given++;
    return q->fn(line, q->arg);
}

/* The time of a file's first record; 0: it has none. */
static int FIBER first_time(struct str line, void *arg)
{
    json_t *o = json_read(line);
    if (o)
        (void)date_parse_iso(member(o, "time"), arg);
    json_decref(o);
    return QUERY_FULL;
}

/* Whether all of the file is before the time: the next one begins no later. */
static bool FIBER is_past(const char *dir, const struct audit_files *files, size_t i,
                          uint64_t from_ms)
{
    char path[PATH_MAX];
    uint64_t time_ms = 0, whole;
    if (from_ms == 0 || i + 1 == files->count)
        return false;
    audit_file_path(dir, files->numbers[i + 1], path);
    return audit_file_lines(path, first_time, &time_ms, &whole) >= 0 && time_ms > 0 &&
           time_ms < from_ms;
}

int FIBER audit_query(const char *dir, const struct audit_filter *filter,
                      int (*fn)(struct str line, void *arg), void *arg)
{
    struct query q = {filter, fn, arg, 0};
    struct audit_files files;
    char path[PATH_MAX];
    uint64_t whole;
    int r = audit_files_list(dir, &files);
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < files.count; i++) {
        if (is_past(dir, &files, i, filter->from_ms))
            continue;
        audit_file_path(dir, files.numbers[i], path);
        r = audit_file_lines(path, query_line, &q, &whole);
        if (r == -ENOENT) /* it was the oldest, and has gone */
            r = 0;
    }
    free(files.numbers);
    return r == QUERY_FULL ? 0 : r;
}

/* ---- checking ------------------------------------------------------------------------------- */

struct check {
    struct audit_verdict *verdict;
    uint32_t file;
    uint64_t line;
    struct audit_link last;
    bool any;
};

static int broken(struct check *c, const char *what)
{
    c->verdict->sound = false;
    snprintf(c->verdict->fault, sizeof(c->verdict->fault), "%08u.log, line %llu: %s", c->file,
             (unsigned long long)c->line, what);
    return QUERY_FULL;
}

static int FIBER check_line(struct str line, void *arg)
{
    struct check *c = arg;
    struct audit_link link;
    c->line++;
    if (!audit_line_link(line, &link))
        return broken(c, "this is no record");
    if (!link.intact)
        return broken(c, "the record was altered: its hash is another");
    if (c->any && memcmp(link.prev, c->last.hash, AUDIT_HASH_LEN) != 0)
        return broken(c, "a record before this one is missing, or was put in");
    if (c->any && link.seq != c->last.seq + 1)
        return broken(c, "the numbers do not follow one another");
    if (!c->any)
        c->verdict->first_seq = link.seq;
    c->any = true;
    c->last = link;
    c->verdict->records++;
    c->verdict->last_seq = link.seq;
    memcpy(c->verdict->last_hash, link.hash, AUDIT_HASH_LEN);
    return 0;
}

int FIBER audit_verify(const char *dir, struct audit_verdict *ret)
{
    struct audit_files files;
    struct check c = {.verdict = ret};
    char path[PATH_MAX];
    uint64_t whole;
    *ret = (struct audit_verdict){.sound = true};
    int r = audit_files_list(dir, &files);
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < files.count; i++) {
        c.file = files.numbers[i];
        c.line = 0;
        if (i > 0 && files.numbers[i] != files.numbers[i - 1] + 1) {
            r = broken(&c, "a file before this one is missing");
            break;
        }
        audit_file_path(dir, c.file, path);
        r = audit_file_lines(path, check_line, &c, &whole);
        ret->files++;
    }
    free(files.numbers);
    return r == QUERY_FULL ? 0 : r;
}
