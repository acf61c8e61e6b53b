/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "base/error.h"
#include "volume/format.h"

#define XXH_STATIC_LINKING_ONLY /* for the state's size: it is part of a struct here */
#include <xxhash.h>
#ifdef HAVE_XXH3_DISPATCH
#    include <xxh_x86dispatch.h> /* the same names, by what the processor can */
#endif

/* ---- superblock ----------------------------------------------------------------------------- */

static uint32_t superblock_crc(const struct superblock *s)
{
    return hash_crc32c(0, s, offsetof(struct superblock, crc));
}

void superblock_make(struct superblock *s, uint32_t volume, struct incarnation incarnation,
                     const uint8_t disk[16])
{
    *s = (struct superblock){
        .magic = SUPERBLOCK_MAGIC,
        .version = FORMAT_VERSION,
        .volume = volume,
        .cell_bytes = CELL_BYTES,
        .incarnation = incarnation,
    };
    memcpy(s->disk, disk, sizeof(s->disk));
    s->crc = superblock_crc(s);
}

bool superblock_valid(const struct superblock *s, uint32_t volume)
{
    bool cell_ok = s->cell_bytes >= CELL_BYTES_MIN && s->cell_bytes <= CELL_BYTES_MAX &&
                   (s->cell_bytes & (s->cell_bytes - 1)) == 0;
    return s->magic == SUPERBLOCK_MAGIC && s->version == FORMAT_VERSION && s->volume == volume &&
           cell_ok && s->crc == superblock_crc(s);
}

/* ---- needle header -------------------------------------------------------------------------- */

static uint32_t header_crc(const struct needle_header *h)
{
    return hash_crc32c(0, h, offsetof(struct needle_header, crc));
}

void needle_header_seal(struct needle_header *h)
{
    h->magic = NEEDLE_MAGIC;
    h->version = FORMAT_VERSION;
    h->zero = 0;
    h->zero2 = 0;
    h->crc = header_crc(h);
}

/* What our own writer would never have put there, whatever the CRC says. */
static bool header_plausible(const struct needle_header *h)
{
    if (h->flags & ~NEEDLE_TOMBSTONE)
        return false;
    if ((h->flags & NEEDLE_TOMBSTONE) && h->len_bytes != 0)
        return false;
    return h->len_bytes <= NEEDLE_PAYLOAD_MAX;
}

bool needle_header_valid(const struct needle_header *h, struct incarnation incarnation,
                         uint64_t offset)
{
    return h->magic == NEEDLE_MAGIC && h->version == FORMAT_VERSION && h->offset == offset &&
           h->incarnation.lo == incarnation.lo && h->incarnation.hi == incarnation.hi &&
           header_plausible(h) && h->crc == header_crc(h);
}

/* ---- sums ----------------------------------------------------------------------------------- */

struct needle_sum {
    XXH3_state_t digest;
    struct needle_footer *footer;
    uint64_t len_bytes;
    uint32_t cell_bytes;
};
static_assert(sizeof(struct needle_sum) <= NEEDLE_SUM_BYTES, "room for the sum");
static_assert(_Alignof(struct needle_sum) <= NEEDLE_SUM_ALIGN, "and its alignment");

static uint32_t *footer_cells(struct needle_footer *f)
{
    return (uint32_t *)(f + 1);
}

struct needle_sum *needle_sum_init(struct needle_sum_room *room, struct needle_footer *footer,
                                   uint32_t cell_bytes)
{
    struct needle_sum *s = (struct needle_sum *)room->bytes;
    XXH3_128bits_reset(&s->digest);
    s->footer = footer;
    s->len_bytes = 0;
    s->cell_bytes = cell_bytes;
    return s;
}

void needle_sum_add(struct needle_sum *s, const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len > 0) {
        uint32_t in_cell = (uint32_t)(s->len_bytes & (s->cell_bytes - 1));
        size_t n = MIN(len, (size_t)(s->cell_bytes - in_cell));
        XXH3_128bits_update(&s->digest, p, n); /* cell by cell: both sums find it near */
        uint32_t *cell = &footer_cells(s->footer)[s->len_bytes / s->cell_bytes];
        *cell = hash_crc32c(in_cell ? *cell : 0, p, n);
        s->len_bytes += n;
        p += n;
        len -= n;
    }
}

uint64_t needle_sum_len(const struct needle_sum *s)
{
    return s->len_bytes;
}

struct hash128 needle_sum_finish(struct needle_sum *s)
{
    XXH128_hash_t d = XXH3_128bits_digest(&s->digest);
    s->footer->digest = (struct hash128){.lo = d.low64, .hi = d.high64};
    s->footer->cell_count = needle_cells(s->len_bytes, s->cell_bytes);
    return s->footer->digest;
}

/* ---- needle footer -------------------------------------------------------------------------- */

static uint32_t footer_crc(const struct needle_footer *f)
{
    uint32_t crc = hash_crc32c(0, f, offsetof(struct needle_footer, crc));
    return hash_crc32c(crc, needle_footer_cells(f), 4 * (size_t)f->cell_count);
}

void needle_footer_seal(struct needle_footer *f, const struct needle_header *h)
{
    f->magic = NEEDLE_FOOTER_MAGIC;
    f->header_crc = h->crc;
    f->crc = footer_crc(f);
}

bool needle_footer_valid(const struct needle_footer *f, size_t len, const struct needle_header *h,
                         uint32_t cell_bytes)
{
    return len >= needle_footer_len(h->len_bytes, cell_bytes) && f->magic == NEEDLE_FOOTER_MAGIC &&
           f->cell_count == needle_cells(h->len_bytes, cell_bytes) && f->header_crc == h->crc &&
           f->crc == footer_crc(f);
}

bool needle_cells_valid(const struct needle_footer *f, uint32_t cell_bytes, uint32_t first,
                        const void *data, size_t len)
{
    const uint8_t *p = data;
    for (uint32_t cell = first; len > 0; cell++) {
        size_t n = MIN(len, (size_t)cell_bytes);
        if (cell >= f->cell_count || hash_crc32c(0, p, n) != needle_footer_cells(f)[cell])
            return false;
        p += n;
        len -= n;
    }
    return true;
}

/* ---- a whole needle in memory --------------------------------------------------------------- */

int needle_whole_check(const void *bytes, size_t len, size_t cap, struct incarnation incarnation,
                       uint64_t offset, uint32_t cell_bytes, struct needle_header *ret_header,
                       struct hash128 *ret_digest)
{
    struct {
        struct needle_footer fixed;
        uint32_t cells[NEEDLE_WHOLE_MAX / CELL_BYTES_MIN];
    } footer; /* a copy: it may lie at any address */
    struct needle_header h;
    if (len < sizeof(h))
        return -ERR_CORRUPT;
    memcpy(&h, bytes, sizeof(h));
    if (!needle_header_valid(&h, incarnation, offset))
        return -ERR_CORRUPT;
    if (h.len_bytes > NEEDLE_WHOLE_MAX || needle_len(h.len_bytes, cell_bytes) > cap)
        return -ERR_TOO_LARGE;
    if (needle_len(h.len_bytes, cell_bytes) > len)
        return -ERR_CORRUPT;
    const uint8_t *payload = (const uint8_t *)bytes + sizeof(h);
    uint32_t footer_len = needle_footer_len(h.len_bytes, cell_bytes);
    memcpy(&footer, payload + h.len_bytes, footer_len);
    if (!needle_footer_valid(&footer.fixed, footer_len, &h, cell_bytes) ||
        !needle_cells_valid(&footer.fixed, cell_bytes, 0, payload, h.len_bytes))
        return -ERR_CORRUPT;
    *ret_header = h;
    *ret_digest = footer.fixed.digest;
    return 0;
}
