/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Walks the needles of a part of a volume. Where a header is believed, its needle's extent is
 * stepped over whole, whatever is in it: a header is written nowhere but at the head of its own
 * extent, so no needle lies inside another, and a payload that looks like needles does not mislead.
 * Where none is, the walk goes on at the next place where one may begin. A stream that a crash cut
 * short may claim bytes beyond the end of the file: replay() sees to it that nothing is written
 * there, for a later walk will step over them. Reads go through one buffer, forwards; behind a long
 * needle only a little is read, and twice as much at each further step, for most walks want the
 * headers of many and the bytes of few.
 */

#include "volume/internal.h"

#define LONG_SPAN  (128 * KIB) /* reading past it is dearer than reading twice */
#define PEEK_BYTES (8 * KIB)   /* to the next block, and a header there */

static_assert(SCAN_BUFFER_BYTES >= CELL_BYTES_MAX, "a cell fits");
static_assert(PEEK_BYTES >= RT_DIRECT_ALIGN + sizeof(struct needle_header), "where it may begin");

int scan_init(struct scan *s, struct volume *v, uint64_t from, uint64_t to)
{
    *s = (struct scan){
        .volume = v, .pos = align_up(from, NEEDLE_ALIGN), .end = to, .ahead = PEEK_BYTES};
    s->buf = malloc(SCAN_BUFFER_BYTES);
    s->footer = malloc(needle_footer_len(NEEDLE_PAYLOAD_MAX, v->cell_bytes));
    if (s->buf && s->footer)
        return 0;
    scan_release(s);
    return -ENOMEM;
}

void scan_release(struct scan *s)
{
    free(s->buf);
    free(s->footer);
    *s = (struct scan){};
}

/* `len` bytes at `off` of the volume, fewer at the end of the file; valid until the next call.
 * Where they are not at hand yet, `ahead` are read, if that is more. */
static int FIBER scan_bytes(struct scan *s, uint64_t off, size_t len, size_t ahead,
                            const uint8_t **ret, size_t *ret_len)
{
    CHECK(len <= SCAN_BUFFER_BYTES && ahead <= SCAN_BUFFER_BYTES);
    if (off < s->buf_off || off + len > s->buf_off + s->buf_len) {
        size_t got;
        s->buf_len = 0;
        int err = rt_file_read(s->volume->file, s->buf, MAX(len, ahead), off, &got);
        if (err)
            return err;
        s->buf_off = off;
        s->buf_len = got;
    }
    *ret = s->buf + (off - s->buf_off);
    *ret_len = MIN(len, s->buf_len - (off - s->buf_off));
    return 0;
}

/* A copy: what lies in the buffer has no alignment. */
static int FIBER scan_copy(struct scan *s, uint64_t off, void *to, size_t len, size_t ahead,
                           bool *ret_whole)
{
    const uint8_t *p;
    size_t got;
    int err = scan_bytes(s, off, len, ahead, &p, &got);
    if (err)
        return err;
    *ret_whole = got == len;
    memcpy(to, p, got);
    return 0;
}

/* Padding and holes are zeros: anything else where a needle may begin may have been one. */
static bool block_odd(const struct needle_header *h)
{
    static const uint8_t zeros[NEEDLE_ALIGN];
    return memcmp(h, zeros, sizeof(zeros)) != 0;
}

static uint64_t scan_span(const struct scan *s)
{
    return needle_span(s->header.len_bytes, s->volume->cell_bytes);
}

bool scan_leaves(const struct scan *s)
{
    return s->pos < s->buf_off || s->pos + sizeof(s->header) > s->buf_off + s->buf_len;
}

bool scan_holds(const struct scan *s)
{
    return s->header.offset >= s->buf_off && s->pos <= s->buf_off + s->buf_len;
}

/* The bytes where a header may be. */
static int FIBER scan_header(struct scan *s, bool *ret_whole)
{
    size_t ahead = s->ahead;
    if (scan_leaves(s))
        s->ahead = MIN(2 * ahead, SCAN_BUFFER_BYTES);
    return scan_copy(s, s->pos, &s->header, sizeof(s->header), ahead, ret_whole);
}

int FIBER scan_next(struct scan *s)
{
    while (s->pos + sizeof(s->header) <= s->end) {
        bool whole;
        int err = scan_header(s, &whole);
        if (err)
            return err;
        if (!whole)
            return 0; /* the end of the file */
        if (needle_header_valid(&s->header, s->volume->incarnation, s->pos)) {
            s->pos += scan_span(s);
            if (scan_span(s) >= LONG_SPAN)
                s->ahead = PEEK_BYTES;
            return 1;
        }
        s->odd |= block_odd(&s->header);
        s->pos += NEEDLE_ALIGN;
    }
    return 0;
}

/* What is to be read of the needle at once, from `off` on: its rest, or with a short one more. */
static size_t scan_ahead(const struct scan *s, uint64_t off)
{
    uint64_t rest = s->header.offset + scan_span(s) - off;
    return scan_span(s) < LONG_SPAN ? SCAN_BUFFER_BYTES : MIN(rest, (uint64_t)SCAN_BUFFER_BYTES);
}

/* The whole needle into the buffer, if it fits: its footer is wanted first and its cells then. */
static int FIBER scan_load(struct scan *s)
{
    const uint8_t *p;
    uint64_t off = s->header.offset;
    size_t got;
    if (scan_span(s) > SCAN_BUFFER_BYTES)
        return 0;
    return scan_bytes(s, off, scan_span(s), scan_ahead(s, off), &p, &got);
}

int FIBER scan_footer(struct scan *s)
{
    const struct needle_header *h = &s->header;
    uint32_t cell = s->volume->cell_bytes, len = needle_footer_len(h->len_bytes, cell);
    bool whole;
    int err = scan_load(s);
    if (err == 0)
        err = scan_copy(s, h->offset + sizeof(*h) + h->len_bytes, s->footer, len, len, &whole);
    if (err)
        return err;
    return whole && needle_footer_valid(s->footer, len, h, cell);
}

int FIBER scan_cell(struct scan *s, uint32_t cell, const uint8_t **ret, size_t *ret_len)
{
    const struct needle_header *h = &s->header;
    uint32_t size = s->volume->cell_bytes;
    uint64_t start = (uint64_t)cell * size;
    size_t len = MIN((uint64_t)size, h->len_bytes - start);
    uint64_t off = h->offset + sizeof(*h) + start;
    int err = scan_bytes(s, off, len, scan_ahead(s, off), ret, ret_len);
    if (err)
        return err;
    return *ret_len == len && needle_cells_valid(s->footer, size, cell, *ret, len);
}

int FIBER scan_check(struct scan *s)
{
    int ok = scan_footer(s);
    for (uint32_t i = 0; ok == 1 && i < s->footer->cell_count; i++) {
        const uint8_t *p;
        size_t len;
        ok = scan_cell(s, i, &p, &len);
    }
    return ok;
}
