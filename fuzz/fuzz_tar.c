/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * An archive. What the reader says must not depend on how the bytes were cut; each entry has the
 * data that it says, and one ends before the next begins.
 */

#include "base/buf.h"
#include "base/error.h"
#include "fuzz.h"
#include "wire/tar.h"

struct told {
    struct buf text;
    bool open;
    uint64_t left;
};

static void tell(struct told *w, const struct tar *t, enum tar_step step, struct str data)
{
    if (step == TAR_ENTRY) {
        CHECK(!w->open && t->entry.name.len > 0 && t->entry.name.len <= TAR_NAME_MAX);
        w->open = true;
        w->left = t->entry.len_bytes;
        buf_put_char(&w->text, (char)('0' + t->entry.type));
        buf_put_str(&w->text, t->entry.name);
    } else if (step == TAR_DATA) {
        CHECK(w->open && data.len > 0 && data.len <= w->left);
        w->left -= data.len;
        buf_put_str(&w->text, data);
    } else if (step == TAR_LAST) {
        CHECK(w->open && w->left == 0);
        w->open = false;
        buf_put_char(&w->text, '.');
    }
}

static int read_piece(struct tar *t, struct str in, struct told *w)
{
    enum tar_step step = TAR_ENTRY;
    while (in.len || step != TAR_MORE) {
        size_t used = 0;
        struct str data;
        int r = tar_next(t, in, &used, &step, &data);
        if (r)
            return r;
        CHECK(used <= in.len && (step != TAR_MORE || used == in.len));
        tell(w, t, step, data);
        in = str_from_offset(in, used);
    }
    return 0;
}

static int read_cut(struct str in, size_t at, size_t piece, struct told *ret)
{
    struct tar *t = calloc(1, sizeof(*t));
    CHECK(t);
    *ret = (struct told){.open = false};
    buf_init(&ret->text, 0);
    int r = read_piece(t, str_prefix(in, at), ret);
    for (size_t i = at; r == 0 && i < in.len; i += piece)
        r = read_piece(t, str_prefix(str_from_offset(in, i), MIN(piece, in.len - i)), ret);
    if (r == 0)
        r = tar_eof(t);
    free(t);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_make(data, size);
    struct told whole, cut;
    int r = read_cut(in, in.len, 1, &whole);
    CHECK(r == 0 || r == -ERR_PARSE);
    CHECK(read_cut(in, fuzz_split(in), 1 + in.len / 7, &cut) == r);
    CHECK(str_eq(buf_str(&whole.text), buf_str(&cut.text)));
    CHECK(r != 0 || !whole.open);
    buf_release(&whole.text);
    buf_release(&cut.text);
    return 0;
}
