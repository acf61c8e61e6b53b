/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Most records have no quote and lie in one piece: two searches by memchr() find and clear them.
 * The others go through a machine of one state a byte, which goes on where a piece ended.
 */

#include "select/csv.h"

#include "base/error.h"
#include "select/json.h"

enum state {
    AT_FIELD, /* at the start of one */
    IN_PLAIN,
    IN_QUOTES,
    IN_ESCAPE,
    BEHIND_QUOTE, /* the end of the field, or the first of two */
};

struct select_csv {
    struct select_csv_options options;
    select_csv_sink *sink;
    void *arg;
    bool drop;
    enum state state;
    bool half;        /* the first byte of a record delimiter of two came */
    size_t matched;   /* so many bytes of a field delimiter came */
    struct buf carry; /* of the record at hand, from pieces before */
    uint64_t offset;  /* of the piece */
    uint64_t begun;   /* of the record at hand */
};

int select_csv_new(struct select_csv **ret, const struct select_csv_options *options,
                   bool drop_first, select_csv_sink *sink, void *arg)
{
    struct select_csv *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->options = *options;
    c->drop = drop_first;
    c->sink = sink;
    c->arg = arg;
    buf_init(&c->carry, SELECT_RECORD_MAX);
    *ret = c;
    return 0;
}

void select_csv_free(struct select_csv *c)
{
    if (!c)
        return;
    buf_release(&c->carry);
    free(c);
}

/* ---- where records end ---------------------------------------------------------------------- */

/* In quotes or behind one: 0 when the byte was taken so, 1 when it is like any other. */
static int take_quoted(struct select_csv *c, char b)
{
    const struct select_csv_options *o = &c->options;
    switch (c->state) {
    case IN_QUOTES:
        if (b == o->escape && o->escape != o->quote)
            c->state = IN_ESCAPE;
        else if (b == o->quote)
            c->state = BEHIND_QUOTE;
        return 0;
    case IN_ESCAPE:
        c->state = IN_QUOTES;
        return 0;
    case BEHIND_QUOTE:
        c->state = b == o->quote ? IN_QUOTES : IN_PLAIN;
        return b == o->quote ? 0 : 1;
    default:
        return 1;
    }
}

/* Whether a field ends with this byte: no character of UTF-8 has its first byte again. */
static bool take_field(struct select_csv *c, char b)
{
    struct str field = c->options.field;
    c->matched = b == field.ptr[c->matched] ? c->matched + 1 : b == field.ptr[0];
    if (c->matched < field.len)
        return false;
    c->matched = 0;
    return true;
}

/* Whether the record ends with this byte. */
static bool take_byte(struct select_csv *c, char b)
{
    const struct select_csv_options *o = &c->options;
    if (o->quoted_records && c->state >= IN_QUOTES && take_quoted(c, b) == 0) {
        c->half = false;
        c->matched = 0;
        return false;
    }
    if ((o->record_len == 1 && b == o->record[0]) || (c->half && b == o->record[1]))
        return true;
    c->half = o->record_len == 2 && b == o->record[0];
    if (take_field(c, b))
        c->state = AT_FIELD;
    else if (c->state == AT_FIELD && o->quoted_records && o->has_quote && b == o->quote)
        c->state = IN_QUOTES;
    else if (c->state == AT_FIELD)
        c->state = IN_PLAIN;
    return false;
}

/* Behind the delimiter, where the record that is at its start ends in [at, end) and has no quote.
 */
static const char *find_fast(const struct select_csv *c, const char *at, const char *end)
{
    const struct select_csv_options *o = &c->options;
    const char *found = at - 1;
    do {
        found = memchr(found + 1, o->record[0], (size_t)(end - found - 1));
        if (!found || (size_t)(end - found) < o->record_len)
            return NULL;
    } while (o->record_len == 2 && found[1] != o->record[1]);
    if (o->quoted_records && o->has_quote && memchr(at, o->quote, (size_t)(found - at)))
        return NULL;
    return found + o->record_len;
}

static const char *find_end(struct select_csv *c, const char *at, const char *end)
{
    const struct select_csv_options *o = &c->options;
    bool fresh = c->state == AT_FIELD && c->carry.len == 0;
    bool simple = !o->quoted_records && o->record_len == 1;
    const char *found = fresh || simple ? find_fast(c, at, end) : NULL;
    if (found || simple)
        return found;
    while (at < end)
        if (take_byte(c, *at++))
            return at;
    return NULL;
}

/* ---- records -------------------------------------------------------------------------------- */

static int FIBER tell(struct select_csv *c, struct str record)
{
    const struct select_csv_options *o = &c->options;
    if (o->crlf && str_ends(record, STR("\r")))
        record.len--;
    if (record.len == 0 || (o->has_comment && record.ptr[0] == o->comment))
        return 0;
    return c->sink(record, c->arg);
}

static int keep(struct select_csv *c, const char *at, const char *end)
{
    size_t len = (size_t)(end - at);
    if (c->drop)
        return 0;
    if (len > SELECT_RECORD_MAX - c->carry.len)
        return -ERR_SELECT_RECORD_SIZE;
    buf_put(&c->carry, at, len);
    return buf_error(&c->carry);
}

/* The record at hand ends before `end`, its delimiter included. */
static int FIBER end_record(struct select_csv *c, const char *at, const char *end)
{
    struct str record = str_make(at, (size_t)(end - at));
    int r = 0;
    c->state = AT_FIELD;
    c->half = false;
    c->matched = 0;
    if (c->drop) {
        c->drop = false;
        return 0;
    }
    if (record.len > SELECT_RECORD_MAX)
        return -ERR_SELECT_RECORD_SIZE;
    if (c->carry.len) {
        r = keep(c, at, end);
        record = buf_str(&c->carry);
    }
    record.len -= r ? 0 : c->options.record_len;
    if (!r)
        r = tell(c, record);
    buf_reset(&c->carry);
    return r;
}

int FIBER select_csv_feed(struct select_csv *c, struct str in, uint64_t most)
{
    const char *at = in.ptr, *end = in.ptr + in.len;
    int r = 0;
    while (!r && at < end) {
        if (c->begun >= most && !c->drop)
            return 1;
        const char *next = find_end(c, at, end);
        if (!next) {
            r = keep(c, at, end);
            break;
        }
        r = end_record(c, at, next);
        at = next;
        c->begun = c->offset + (uint64_t)(at - in.ptr);
    }
    c->offset += in.len;
    return r;
}

int FIBER select_csv_end(struct select_csv *c)
{
    int r = c->drop ? 0 : tell(c, buf_str(&c->carry));
    buf_reset(&c->carry);
    return r;
}

/* ---- fields --------------------------------------------------------------------------------- */

/* What stands for the character behind it in quotes, and how long both are; 0: nothing at `at`
 * does. An escape of its own takes its meaning from any, as where records end. */
static size_t escaped_at(const struct select_csv_options *o, const char *at, const char *end)
{
    if (end - at < 2)
        return 0;
    if (*at == o->quote)
        return at[1] == o->quote ? 2 : 0;
    return *at == o->escape ? 2 : 0;
}

static struct str unescape(const struct select_csv_options *o, struct arena *a, struct str s)
{
    const char *at = s.ptr, *end = s.ptr + s.len;
    char *from = arena_alloc(a, s.len + 1), *to = from;
    if (!from)
        return STR_NULL;
    while (at < end) {
        at += escaped_at(o, at, end) ? 1 : 0;
        *to++ = *at++;
    }
    return str_make(from, (size_t)(to - from));
}

/* The field whose opening quote is at `*at`; behind it *at is its delimiter or the end. */
static int split_quoted(const struct select_csv_options *o, struct arena *a, const char **at,
                        const char *end, struct str *ret)
{
    const char *from = ++*at;
    bool escapes = false;
    for (; *at < end; (*at)++) {
        if (escaped_at(o, *at, end) > 0) {
            escapes = true;
            (*at)++;
        } else if (**at == o->quote)
            break;
    }
    if (*at >= end)
        return -ERR_SELECT_CSV;
    struct str s = str_make(from, (size_t)(*at - from));
    (*at)++;
    if (*at < end && !str_starts(str_make(*at, (size_t)(end - *at)), o->field))
        return -ERR_SELECT_CSV;
    *ret = escapes ? unescape(o, a, s) : s;
    return ret->ptr ? 0 : -ENOMEM;
}

static int split_field(const struct select_csv_options *o, struct arena *a, const char **at,
                       const char *end, struct str *ret)
{
    if (o->has_quote && *at < end && **at == o->quote)
        return split_quoted(o, a, at, end, ret);
    const char *to = memmem(*at, (size_t)(end - *at), o->field.ptr, o->field.len);
    to = to ? to : end;
    *ret = str_make(*at, (size_t)(to - *at));
    *at = to;
    return 0;
}

int select_csv_split(const struct select_csv_options *o, struct arena *a, struct str record,
                     struct str *fields, unsigned most, unsigned *ret_count)
{
    const char *at = record.ptr, *end = record.ptr + record.len;
    unsigned n = 0;
    while (n < most) {
        int r = split_field(o, a, &at, end, &fields[n]);
        if (r)
            return r;
        n++;
        if (at == end)
            break;
        at += o->field.len; /* the delimiter; behind it is another field, though it be empty */
    }
    *ret_count = n;
    return 0;
}
