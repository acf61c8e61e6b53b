/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * CSV or JSON, as the first bytes say how. What is read does not hang on how it was cut, and what
 * another reader takes for one JSON value is one record.
 */

#include "base/error.h"
#include "fuzz.h"
#include "select/json.h"
#include "select/select.h"
#include "wire/json.h"

static int keep(struct str rows, void *arg)
{
    buf_put_str(arg, rows);
    return 0;
}

/* Bits of the first byte; the second says what the delimiters and quotes are. */
enum {
    AS_JSON = 1,
    QUOTED_RECORDS = 2,
    TWO_BYTES = 4,
    ESCAPES = 8,
    HEADER = 16,
    DROP = 32,
    OUT = 64,
    PATH = 128,
};

static struct select_config config_of(uint8_t flags, uint8_t chars)
{
    struct select_config c = {
        .expression = (flags & AS_JSON) && (flags & PATH) ? STR("SELECT * FROM S3Object[*].a[*]")
                                                          : STR("SELECT * FROM S3Object"),
        .json = flags & AS_JSON,
        .csv = {.field = chars & 64  ? STR("╦")
                         : chars & 1 ? STR(",")
                                     : STR("a"),
                .record = {chars & 2 ? '\n' : 'b', chars & 4 ? '\n' : 'c'},
                .record_len = flags & TWO_BYTES ? 2 : 1,
                .crlf = chars & 8,
                .has_quote = chars & 16,
                .quote = '"',
                .escape = flags & ESCAPES ? '\\' : '"',
                .has_comment = chars & 32,
                .comment = '#',
                .quoted_records = flags & QUOTED_RECORDS},
        .header = flags & HEADER ? SELECT_HEADER_USE : SELECT_HEADER_NONE,
        .output = {.json = flags & OUT,
                   .field = STR(","),
                   .record = STR("\n"),
                   .quote = '"',
                   .escape = '"'},
        .drop_first = flags & DROP,
        .most = UINT64_MAX,
        .emit = keep,
    };
    if (c.json)
        c.header = SELECT_HEADER_NONE;
    return c;
}

static int run(struct select_config c, struct str in, size_t at, struct buf *out)
{
    struct select_fault fault;
    struct select *s;
    buf_init(out, 0);
    c.arg = out;
    CHECK(select_new(&s, &c, &fault) == 0);
    struct str head = fuzz_exact_prefix(in, at), tail = str_from_offset(in, at);
    int r = 0;
    if (select_wants_header(s))
        r = select_header(s, head);
    r = r < 0 ? r : select_feed(s, head);
    free((char *)head.ptr);
    tail = fuzz_exact_prefix(tail, tail.len);
    if (r == 0)
        r = select_feed(s, tail);
    free((char *)tail.ptr);
    if (r >= 0)
        r = select_end(s);
    select_free(s);
    return r;
}

/* Numbers that jansson cannot keep, and NUL in strings, it refuses; so not the other way round. A
 * NUL after the value it takes for the end. */
static void beside_jansson(const struct select_config *c, struct str in, int r)
{
    if (!c->json || c->drop_first || in.len == 0 || memchr(in.ptr, 0, in.len) ||
        !json_is_shallow(in, SELECT_JSON_DEPTH_MAX - 1))
        return;
    json_t *value = json_loadb(in.ptr, in.len, JSON_DECODE_ANY, NULL);
    CHECK(!value || r == 0);
    json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf whole, cut;
    if (len < 2)
        return 0;
    struct select_config c = config_of(data[0], data[1]);
    struct str in = str_make(data + 2, len - 2);
    int r = run(c, in, in.len, &whole);
    bool split_header = c.drop_first && c.header == SELECT_HEADER_USE; /* fed whole or not at all */
    int again = run(c, in, split_header ? in.len : fuzz_split(in), &cut);
    CHECK(r == again);
    CHECK(str_eq(buf_str(&whole), buf_str(&cut)));
    beside_jansson(&c, in, r);
    buf_release(&whole);
    buf_release(&cut);
    return 0;
}
