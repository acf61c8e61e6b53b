/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Walks the needles of a part of a volume. Where a header is believed, its needle's extent is
 * stepped over whole, whatever is in it: a header is written nowhere but at the head of its own
 * extent, so no needle lies inside another, and a payload that looks like needles does not mislead.
 * Where none is, the walk goes on at the next place where one may begin. A stream that a crash cut
 * short may claim bytes beyond the end of the file: replay() sees to it that nothing is written
 * there, for a later walk will step over them. Reads go through one buffer, forwards.
 */

#include "volume/internal.h"

static_assert(SCAN_BUFFER_BYTES >= CELL_BYTES_MAX, "a cell fits");

int scan_init(struct scan *s, struct volume *v, uint64_t from, uint64_t to)
{
    *s = (struct scan){.volume = v, .pos = align_up(from, NEEDLE_ALIGN), .end = to};
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

/* `len` bytes at `off` of the volume, fewer at the end of the file; valid until the next call. */
static int FIBER scan_bytes(struct scan *s, uint64_t off, size_t len, const uint8_t **ret,
                            size_t *ret_len)
{
    CHECK(len <= SCAN_BUFFER_BYTES);
    if (off < s->buf_off || off + len > s->buf_off + s->buf_len) {
        size_t got;
        s->buf_len = 0;
        int err = rt_file_read(s->volume->file, s->buf, SCAN_BUFFER_BYTES, off, &got);
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
static int FIBER scan_copy(struct scan *s, uint64_t off, void *to, size_t len, bool *ret_whole)
{
    const uint8_t *p;
    size_t got;
    int err = scan_bytes(s, off, len, &p, &got);
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

int FIBER scan_next(struct scan *s)
{
    while (s->pos + sizeof(s->header) <= s->end) {
        bool whole;
        int err = scan_copy(s, s->pos, &s->header, sizeof(s->header), &whole);
        if (err)
            return err;
        if (!whole)
            return 0; /* the end of the file */
        if (needle_header_valid(&s->header, s->volume->incarnation, s->pos)) {
            s->pos += needle_span(s->header.len_bytes, s->volume->cell_bytes);
            return 1;
        }
        s->odd |= block_odd(&s->header);
        s->pos += NEEDLE_ALIGN;
    }
    return 0;
}

int FIBER scan_footer(struct scan *s)
{
    const struct needle_header *h = &s->header;
    uint32_t cell = s->volume->cell_bytes, len = needle_footer_len(h->len_bytes, cell);
    bool whole;
    int err = scan_copy(s, h->offset + sizeof(*h) + h->len_bytes, s->footer, len, &whole);
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
    int err = scan_bytes(s, h->offset + sizeof(*h) + start, len, ret, ret_len);
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
