/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A needle as it may be read from a damaged disk. The first byte says which checksums are put
 * right, for else no mutation gets past them: then everything behind the checks must hold its own.
 * What is believed is what a writer would have written of that payload.
 */

#include "fuzz.h"
#include "base/error.h"
#include "volume/format.h"

#define HEADER_RIGHT 1
#define FOOTER_RIGHT 2
#define CELLS_RIGHT  4
#define SMALL_CELLS  8

static const struct incarnation life = {.lo = 0x1122334455667788, .hi = 0x99aabbccddeeff00};

static void put_right_header(uint8_t *bytes)
{
    struct needle_header h;
    memcpy(&h, bytes, sizeof(h));
    h.incarnation = life;
    h.offset = 8192;
    needle_header_seal(&h);
    memcpy(bytes, &h, sizeof(h));
}

/* In an aligned copy, for needle_footer_seal wants one. */
static void put_right_footer(uint8_t *bytes, size_t len, uint32_t cell_bytes, bool cells_too)
{
    struct needle_header h;
    memcpy(&h, bytes, sizeof(h));
    if (h.len_bytes > len || needle_len(h.len_bytes, cell_bytes) > len)
        return;
    size_t footer_len = needle_footer_len(h.len_bytes, cell_bytes);
    struct needle_footer *f = malloc(footer_len);
    CHECK(f);
    memcpy(f, bytes + sizeof(h) + h.len_bytes, footer_len);
    if (f->cell_count == needle_cells(h.len_bytes, cell_bytes)) {
        struct needle_sum_room room;
        if (cells_too) {
            struct needle_sum *sum = needle_sum_init(&room, f, cell_bytes);
            needle_sum_add(sum, bytes + sizeof(h), h.len_bytes);
            needle_sum_finish(sum);
        }
        needle_footer_seal(f, &h);
        memcpy(bytes + sizeof(h) + h.len_bytes, f, footer_len);
    }
    free(f);
}

static void check_needle(const uint8_t *bytes, size_t len, uint32_t cell_bytes)
{
    struct needle_header h;
    struct hash128 digest;
    int err = needle_whole_check(bytes, len, len, life, 8192, cell_bytes, &h, &digest);
    CHECK(err == 0 || err == -ERR_CORRUPT || err == -ERR_TOO_LARGE);
    if (err)
        return;
    CHECK(needle_len(h.len_bytes, cell_bytes) <= len);
    CHECK(!(h.flags & NEEDLE_TOMBSTONE) || h.len_bytes == 0);
    size_t footer_len = needle_footer_len(h.len_bytes, cell_bytes);
    struct needle_footer *f = malloc(footer_len);
    struct needle_sum_room room;
    struct needle_sum *sum = needle_sum_init(&room, f, cell_bytes);
    CHECK(f);
    needle_sum_add(sum, bytes + sizeof(h), h.len_bytes / 3);
    needle_sum_add(sum, bytes + sizeof(h) + h.len_bytes / 3, h.len_bytes - h.len_bytes / 3);
    needle_sum_finish(sum);
    f->digest = digest; /* held against the object's record, not against the payload */
    needle_footer_seal(f, &h);
    CHECK(memcmp(f, bytes + sizeof(h) + h.len_bytes, footer_len) == 0);
    free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 1 + sizeof(struct needle_header))
        return 0;
    uint8_t what = data[0];
    struct str copy = fuzz_exact_prefix(str_make(data + 1, len - 1), len - 1);
    uint8_t *bytes = (uint8_t *)copy.ptr;
    uint32_t cell_bytes = what & SMALL_CELLS ? (uint32_t)CELL_BYTES_MIN : (uint32_t)CELL_BYTES;
    if (what & HEADER_RIGHT)
        put_right_header(bytes);
    if (what & FOOTER_RIGHT)
        put_right_footer(bytes, copy.len, cell_bytes, what & CELLS_RIGHT);
    check_needle(bytes, copy.len, cell_bytes);
    free(bytes);
    return 0;
}
