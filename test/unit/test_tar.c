/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Archives: headers by hand, what is read of them, and what is refused. */

#include <stdio.h>
#include "unit.h"
#include "base/buf.h"
#include "base/error.h"
#include "wire/tar.h"

struct home {
    struct tar tar;
    struct buf archive, told;
};

static void put_block(struct buf *b, const char *data, size_t len)
{
    static const char zeros[TAR_BLOCK];
    buf_put(b, data, len);
    buf_put(b, zeros, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK);
}

static void put_header(struct buf *b, const char *name, const char *prefix, char type,
                       const char *size)
{
    char h[TAR_BLOCK] = {0};
    unsigned sum = 0;
    memcpy(h, name, MIN(strlen(name), (size_t)100));
    memcpy(h + 124, size, MIN(strlen(size), (size_t)12));
    h[156] = type;
    memcpy(h + 257,
           "ustar\0"
           "00",
           8);
    memcpy(h + 345, prefix, MIN(strlen(prefix), (size_t)155));
    memset(h + 148, ' ', 8);
    for (unsigned i = 0; i < TAR_BLOCK; i++)
        sum += (uint8_t)h[i];
    snprintf(h + 148, 8, "%06o", sum);
    buf_put(b, h, sizeof(h));
}

static int feed(struct home *h, struct str in)
{
    enum tar_step step = TAR_ENTRY;
    while (in.len || step != TAR_MORE) {
        struct str data;
        size_t used;
        int r = tar_next(&h->tar, in, &used, &step, &data);
        if (r)
            return r;
        in = str_from_offset(in, used);
        if (step == TAR_ENTRY) {
            buf_put_str(&h->told, h->tar.entry.name);
            buf_put_char(&h->told, "-/?"[h->tar.entry.type]);
        }
        if (step == TAR_DATA)
            buf_put_str(&h->told, data);
        if (step == TAR_LAST)
            buf_put_char(&h->told, ';');
    }
    return 0;
}

/* Whole, and a byte at a time. */
static void expect(struct buf *archive, int err, const char *told)
{
    for (size_t piece = 1; piece <= archive->len; piece += MAX(archive->len - 1, (size_t)1)) {
        struct home *h = calloc(1, sizeof(*h));
        int r = 0;
        buf_init(&h->told, 0);
        for (size_t i = 0; r == 0 && i < archive->len; i += piece)
            r = feed(h, str_make(archive->data + i, MIN(piece, archive->len - i)));
        if (r == 0)
            r = tar_eof(&h->tar);
        assert_int_equal(r, err);
        if (err == 0)
            assert_true(str_eq(buf_str(&h->told), str_from(told)));
        buf_release(&h->told);
        free(h);
    }
    buf_reset(archive);
}

static void entries_of_every_kind_are_read(void **state)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    put_header(&b, "a", "", '0', "5");
    put_block(&b, "hello", 5);
    put_header(&b, "../x", "/abs", 0, "0");
    put_header(&b, "dir/", "", '5', "77");
    put_header(&b, "link", "", '2', "77");
    put_header(&b, "long", "", 'L', "3");
    put_block(&b, "LLL", 3);
    put_header(&b, "a", "", '0', "0");
    put_header(&b, "pax", "", 'x', "25");
    put_block(&b, "12 path=PAX\n9 size=1\n", 21);
    put_header(&b, "a", "", '0', "0");
    put_block(&b, "1", 1);
    put_block(&b, "\0", 1);
    put_block(&b, "whatever", 8);
    expect(&b, 0, "a-hello;/abs/../x-;dir//;link?;LLL-;PAX-1;");
}

static void what_ends_too_early_is_damaged(void **state)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    put_header(&b, "a", "", '0', "5");
    expect(&b, -ERR_PARSE, "");
    put_header(&b, "a", "", 'L', "3");
    put_block(&b, "LLL", 3);
    expect(&b, -ERR_PARSE, "");
    put_header(&b, "a", "", '0', "0");
    buf_put_char(&b, 'x');
    expect(&b, -ERR_PARSE, "");
    put_header(&b, "a", "", '0', "0"); /* no block of zeros: as some programs end */
    expect(&b, 0, "a-;");
}

static void what_is_no_archive_is_refused(void **state)
{
    static const struct {
        const char *name, *size;
        char type;
    } cases[] = {
        {"", "0", '0'},
        {"a", "8", '0'},
        {"a", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", '0'},
        {"a", "5", '1'},
        {"a", "0", 'S'},
        {"a", "777777", 'L'},
        {"a", "7777777", 'x'},
    };
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        put_header(&b, cases[i].name, "", cases[i].type, cases[i].size);
        put_block(&b, "\0", 1);
        expect(&b, -ERR_PARSE, "");
    }
    put_header(&b, "a", "", '0', "0");
    b.data[0] ^= 1; /* the sum no longer fits */
    expect(&b, -ERR_PARSE, "");
}

static void wrong_pax_records_are_refused(void **state)
{
    static const char *const cases[] = {
        "5 a=\n", "12 path=PAX", "13 path=PAX\n", "x path=P\n",
        "3 =\n",  "9 size=x\n",  "8 path=\n",     "20 GNU.sparse.map=1\n"};
    char size[16];
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(size, sizeof(size), "%o", (unsigned)strlen(cases[i]));
        put_header(&b, "p", "", 'x', size);
        put_block(&b, cases[i], strlen(cases[i]));
        put_header(&b, "a", "", '0', "0");
        expect(&b, i == 0 ? 0 : -ERR_PARSE, "a-;");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_of_every_kind_are_read),
        cmocka_unit_test(what_ends_too_early_is_damaged),
        cmocka_unit_test(what_is_no_archive_is_refused),
        cmocka_unit_test(wrong_pax_records_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
