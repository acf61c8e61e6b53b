/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Compressed bytes. What comes out must not depend on how they were cut, nor on the room for it. */

#include "base/buf.h"
#include "base/error.h"
#include "fuzz.h"
#include "wire/unzip.h"

#define MADE_MAX (1024 * 1024)

static int take(struct unzip *z, struct str in, size_t room, struct buf *ret)
{
    char out[4096];
    size_t used = 0, made = room;
    CHECK(room <= sizeof(out));
    while ((in.len || made == room) && ret->len < MADE_MAX) {
        int r = unzip_next(z, in, &used, out, room, &made);
        if (r)
            return r;
        CHECK(used <= in.len && made <= room && (used || made || in.len == 0));
        buf_put(ret, out, made);
        in = str_from_offset(in, used);
    }
    return 0;
}

static int read_cut(enum unzip_form form, struct str in, size_t at, size_t room, struct buf *ret)
{
    struct unzip *z;
    buf_init(ret, 0);
    CHECK(unzip_new(&z, form) == 0);
    int r = take(z, str_prefix(in, at), room, ret);
    if (r == 0 && at < in.len)
        r = take(z, str_from_offset(in, at), room, ret);
    if (r == 0)
        r = unzip_eof(z);
    unzip_free(z);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_make(data, size);
    enum unzip_form form = str_starts(in, STR("BZh")) ? UNZIP_BZIP2 : unzip_form_of(in);
    struct buf whole, cut;
    if (form == UNZIP_NONE)
        return 0;
    int r = read_cut(form, in, in.len, 4096, &whole);
    int again = read_cut(form, in, fuzz_split(in), 4095, &cut);
    if (whole.len < MADE_MAX && cut.len < MADE_MAX) {
        CHECK(r == again);
        CHECK(r != 0 || str_eq(buf_str(&whole), buf_str(&cut)));
    }
    buf_release(&whole);
    buf_release(&cut);
    return 0;
}
