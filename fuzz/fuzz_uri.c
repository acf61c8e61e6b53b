/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Decoding what was encoded gives the bytes back; a query read, written and read again is itself.
 */

#include "fuzz.h"
#include "wire/uri.h"

static void check_round_trip(struct arena *a, struct str in, bool keep_slash)
{
    _cleanup_buf_ struct buf encoded;
    struct str back;
    buf_init(&encoded, 0);
    uri_encode(&encoded, in, keep_slash);
    CHECK(buf_error(&encoded) == 0);
    CHECK(uri_decode(a, buf_str(&encoded), &back) == 0 && str_eq(back, in));
    CHECK(uri_decode_form(a, buf_str(&encoded), &back) == 0 && str_eq(back, in));
}

static void write_query(struct buf *out, const struct uri_query *q)
{
    for (size_t i = 0; i < q->count; i++) {
        buf_put_char(out, '&');
        uri_encode(out, q->params[i].name, false);
        if (q->params[i].has_value)
            buf_put_char(out, '=');
        uri_encode(out, q->params[i].value, false);
    }
}

static void check_query(struct arena *a, struct str raw)
{
    struct uri_query q, again;
    if (uri_parse_query(a, raw, &q) != 0)
        return;
    CHECK(q.count <= URI_PARAMS_MAX);
    _cleanup_buf_ struct buf written;
    buf_init(&written, 0);
    write_query(&written, &q);
    CHECK(uri_parse_query(a, buf_str(&written), &again) == 0);
    for (size_t i = 0; i < q.count; i++) {
        const struct uri_param *p = &q.params[i];
        CHECK(p->name.ptr && p->value.ptr && (p->has_value || p->value.len == 0));
        CHECK(uri_query_has(&q, p->name));
        CHECK(p->name.len > 0 || p->has_value);
        CHECK(i < again.count && str_eq(again.params[i].name, p->name));
        CHECK(str_eq(again.params[i].value, p->value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct str in = str_make(data, len), path, query, out;
    struct arena a;
    arena_init(&a, 0);
    check_round_trip(&a, in, false);
    check_round_trip(&a, in, true);
    uri_split(in, &path, &query);
    CHECK(path.len + query.len + (query.ptr != NULL) == in.len);
    check_query(&a, in);
    if (uri_decode(&a, in, &out) == 0)
        CHECK(out.len <= in.len);
    arena_release(&a);
    return 0;
}
