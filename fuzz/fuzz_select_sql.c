/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* An SQL expression, over CSV and over JSON. What it gives is the same however the input was cut.
 */

#include "base/error.h"
#include "fuzz.h"
#include "select/json.h"
#include "select/select.h"

#define CSV      "a,b,c\n1,2.5,abc\n-3,,2017-03-04T05:06:07Z\n\"q\"\"\",x,y,z\n"
#define JSON     "{\"a\":1,\"b\":[1,{\"c\":\"x\"}],\"d\":null}\n{\"a\":\"2017T\",\"b\":{}} 5 [true]"
#define ROWS_MAX (1 * MIB)

static int keep(struct str rows, void *arg)
{
    struct buf *b = arg;
    CHECK(rows.len <= SELECT_EMIT + SELECT_RECORD_MAX);
    if (b->len < ROWS_MAX)
        buf_put_str(b, rows);
    return 0;
}

static int run(struct str sql, bool json, struct str in, size_t at, struct buf *out)
{
    struct select_fault fault;
    struct select *s;
    struct select_config c = {
        .expression = sql,
        .json = json,
        .csv = {.field = STR(","),
                .record = "\n",
                .record_len = 1,
                .has_quote = true,
                .quote = '"',
                .escape = '"'},
        .header = SELECT_HEADER_USE,
        .output =
            {.json = !json, .field = STR(","), .record = STR("\n"), .quote = '"', .escape = '"'},
        .most = UINT64_MAX,
        .emit = keep,
        .arg = out,
    };
    buf_init(out, 0);
    int r = select_new(&s, &c, &fault);
    CHECK(memchr(fault.message, 0, sizeof(fault.message)));
    if (r)
        return r;
    r = select_feed(s, str_prefix(in, at));
    if (r == 0)
        r = select_feed(s, str_from_offset(in, at));
    if (r >= 0)
        r = select_end(s);
    CHECK(memchr(select_why(s), 0, SELECT_MESSAGE_MAX));
    select_free(s);
    return r;
}

static void run_twice(struct str sql, bool json, struct str in)
{
    struct buf one, two;
    int r = run(sql, json, in, in.len, &one);
    int again = run(sql, json, in, sql.len % in.len, &two);
    CHECK(r == again);
    CHECK(str_eq(buf_str(&one), buf_str(&two)));
    buf_release(&one);
    buf_release(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct str sql = str_make(data, len);
    run_twice(sql, false, STR(CSV));
    run_twice(sql, true, STR(JSON));
    return 0;
}
