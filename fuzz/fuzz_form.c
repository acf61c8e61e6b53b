/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The first line is a Content-Type, the rest a body. What the parser says must not depend on how
 * the bytes were cut, and fields must lie before the file.
 */

#include "base/error.h"
#include "base/buf.h"
#include "wire/form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int append(const void *data, size_t len, void *arg)
{
    CHECK(len > 0);
    buf_put(arg, data, len);
    return 0;
}

static void read_data(struct str boundary, struct str in, size_t step, struct buf *ret, bool *ended)
{
    struct form_data d;
    form_data_init(&d, boundary);
    while (in.len) {
        CHECK(form_data_feed(&d, str_prefix(in, step), append, ret) == 0);
        in = str_from_offset(in, MIN(step, in.len));
    }
    *ended = d.ended;
}

static void check_data(struct str boundary, struct str in)
{
    struct buf whole, bytewise;
    bool ended[2];
    buf_init(&whole, 0);
    buf_init(&bytewise, 0);
    read_data(boundary, in, in.len + 1, &whole, &ended[0]);
    read_data(boundary, in, 1, &bytewise, &ended[1]);
    CHECK(ended[0] == ended[1] && str_eq(buf_str(&whole), buf_str(&bytewise)));
    CHECK(str_starts(in, buf_str(&whole)));
    buf_release(&whole);
    buf_release(&bytewise);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str body = str_make(data, size), type, boundary;
    struct form_head h, cut;
    struct arena a;
    if (size == 0 || !str_cut(&body, '\n', &type) || form_boundary(type, &boundary))
        return 0;
    arena_init(&a, 0);
    if (form_head_parse(&a, boundary, body, &h) == 0) {
        CHECK(h.count <= FORM_FIELDS_MAX && h.data_off <= body.len);
        CHECK(form_head_parse(&a, boundary, str_prefix(body, h.data_off), &cut) == 0);
        CHECK(cut.count == h.count && cut.data_off == h.data_off);
        for (size_t n = 0; n < h.data_off; n += 1 + h.data_off / 64)
            CHECK(form_head_parse(&a, boundary, str_prefix(body, n), &cut) == -EAGAIN);
        check_data(boundary, str_from_offset(body, h.data_off));
    }
    arena_release(&a);
    return 0;
}
