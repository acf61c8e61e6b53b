/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The bytes of a volume: superblock, needle header, needle footer. docs/FORMATS.md draws them.
 * Everything here is pure: bytes in, verdict out; what is read from a disk is never believed
 * before it has passed one of the `valid` functions, and is never asserted on.
 *
 * All numbers are little-endian; the structs below are the disk's bytes, so the host is too.
 */

#include <assert.h>
#include "base/hash.h"
#include "base/ids.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the structs are the bytes on disk");

#define FORMAT_VERSION   1
#define SECTOR_BYTES     512        /* what a disk writes whole; extents begin and end on one */
#define NEEDLE_ALIGN     64         /* where a needle may begin */
#define CELL_BYTES       (64 * KIB) /* of new volumes; one CRC each, the least that a read checks */
#define CELL_BYTES_MIN   (4 * KIB)
#define CELL_BYTES_MAX   (1 * MIB)
#define SUPERBLOCK_COUNT 2
#define SUPERBLOCK_STEP                                                       \
    (4 * KIB) /* the copies lie at 0 and here: never one sector, nor one page \
               */
#define VOLUME_DATA (SUPERBLOCK_COUNT * SUPERBLOCK_STEP) /* where needles begin */

/* The random name of one life of one volume file: every needle in it carries it. */
struct incarnation {
    uint64_t lo, hi;
};

/* ---- superblock ----------------------------------------------------------------------------- */

#define SUPERBLOCK_MAGIC 0x4c4f564e52494143ULL /* "CAIRNVOL" */

struct superblock {
    uint64_t magic;
    uint32_t version;
    uint32_t volume; /* the number in the file's name */
    uint32_t cell_bytes;
    uint32_t zero;
    struct incarnation incarnation;
    uint8_t disk[16]; /* the uuid of the disk it was made on */
    uint8_t reserved[SECTOR_BYTES - 60];
    uint32_t crc; /* CRC-32C of all before it */
};
static_assert(sizeof(struct superblock) == SECTOR_BYTES, "one sector");
static_assert(offsetof(struct superblock, incarnation) == 24, "as in FORMATS.md");
static_assert(offsetof(struct superblock, disk) == 40, "as in FORMATS.md");
static_assert(offsetof(struct superblock, crc) == 508, "as in FORMATS.md");

/* Fills all of it, CRC included. */
void superblock_make(struct superblock *s, uint32_t volume, struct incarnation incarnation,
                     const uint8_t disk[16]);
bool superblock_valid(const struct superblock *s, uint32_t volume);

/* ---- needle --------------------------------------------------------------------------------- */

#define NEEDLE_MAGIC        0x4c44454e52494143ULL /* "CAIRNEDL" */
#define NEEDLE_FOOTER_MAGIC 0x544f4f46U           /* "FOOT" */
#define NEEDLE_TOMBSTONE    0x1                   /* flag: deletes, and has no payload */
#define NEEDLE_PAYLOAD_MAX  (64 * MIB)

struct needle_header {
    uint64_t magic;
    uint16_t version;
    uint16_t flags;
    uint16_t shard;
    uint8_t code_k, code_m;
    struct chunk_id chunk;
    uint64_t encode_id;
    uint64_t len_bytes; /* of the payload */
    uint64_t lsn;       /* order of writing on this disk; a copy made by compaction keeps it */
    uint64_t offset;    /* its own place in the volume: a misdirected write shows */
    struct incarnation incarnation;
    uint64_t zero;
    uint32_t zero2;
    uint32_t crc; /* CRC-32C of all before it */
};
static_assert(sizeof(struct needle_header) == 96, "as in FORMATS.md");
static_assert(offsetof(struct needle_header, chunk) == 16, "as in FORMATS.md");
static_assert(offsetof(struct needle_header, len_bytes) == 40, "as in FORMATS.md");
static_assert(offsetof(struct needle_header, incarnation) == 64, "as in FORMATS.md");
static_assert(offsetof(struct needle_header, crc) == 92, "as in FORMATS.md");

/* Followed by `cell_count` CRC-32C values, one a cell of the payload. */
struct needle_footer {
    uint32_t magic;
    uint32_t cell_count;
    struct hash128 digest; /* XXH3-128 of the payload */
    uint32_t header_crc;   /* of this needle's header: ties the two together */
    uint32_t crc;          /* CRC-32C of all before it, continued over the cells' values */
};
static_assert(sizeof(struct needle_footer) == 32, "as in FORMATS.md");
static_assert(offsetof(struct needle_footer, digest) == 8, "as in FORMATS.md");
static_assert(offsetof(struct needle_footer, crc) == 28, "as in FORMATS.md");

static inline uint32_t needle_cells(uint64_t len_bytes, uint32_t cell_bytes)
{
    return (uint32_t)((len_bytes + cell_bytes - 1) / cell_bytes);
}
static inline uint32_t needle_footer_len(uint64_t len_bytes, uint32_t cell_bytes)
{
    return (uint32_t)sizeof(struct needle_footer) + 4 * needle_cells(len_bytes, cell_bytes);
}
/* Header, payload and footer, without the padding to the next needle. */
static inline uint64_t needle_len(uint64_t len_bytes, uint32_t cell_bytes)
{
    return sizeof(struct needle_header) + len_bytes + needle_footer_len(len_bytes, cell_bytes);
}
/* What a needle takes of its volume. */
static inline uint64_t needle_span(uint64_t len_bytes, uint32_t cell_bytes)
{
    return align_up(needle_len(len_bytes, cell_bytes), NEEDLE_ALIGN);
}

/* Sets magic, version and CRC; the caller has filled the rest. */
void needle_header_seal(struct needle_header *h);
/* A header that was written to this place of this volume, and is plausible. */
bool needle_header_valid(const struct needle_header *h, struct incarnation incarnation,
                         uint64_t offset);

/* ---- the sums of a payload ------------------------------------------------------------------ */

struct needle_sum; /* gathers cells and digest as the payload passes */
#define NEEDLE_SUM_BYTES 768
#define NEEDLE_SUM_ALIGN 64
struct needle_sum_room { /* where one lives */
    _Alignas(NEEDLE_SUM_ALIGN) uint8_t bytes[NEEDLE_SUM_BYTES];
};

/* `footer` has room for needle_footer_len() bytes and outlives the sum. */
struct needle_sum *needle_sum_init(struct needle_sum_room *room, struct needle_footer *footer,
                                   uint32_t cell_bytes);
void needle_sum_add(struct needle_sum *s, const void *data, size_t len);
uint64_t needle_sum_len(const struct needle_sum *s);
/* Writes the digest and the count; the footer still wants needle_footer_seal(). */
struct hash128 needle_sum_finish(struct needle_sum *s);

/* Ties a summed footer to its sealed header. */
void needle_footer_seal(struct needle_footer *f, const struct needle_header *h);
/* `len` bytes at `f`; `h` has passed needle_header_valid. */
bool needle_footer_valid(const struct needle_footer *f, size_t len, const struct needle_header *h,
                         uint32_t cell_bytes);
static inline const uint32_t *needle_footer_cells(const struct needle_footer *f)
{
    return (const uint32_t *)(f + 1);
}
/* `data` is `len` bytes of the payload from cell `first` on; whole cells but for the last one. */
bool needle_cells_valid(const struct needle_footer *f, uint32_t cell_bytes, uint32_t first,
                        const void *data, size_t len);

/* ---- a whole needle in memory --------------------------------------------------------------- */

#define NEEDLE_WHOLE_MAX (1 * MIB) /* of the payload */

/*
 * Header, payload and footer as they were read from a place of a volume, at any address, with
 * perhaps more behind: 0 when every check holds, -ERR_CORRUPT, or -ERR_TOO_LARGE when the payload
 * is over NEEDLE_WHOLE_MAX or the needle longer than the `cap` bytes that were asked for.
 */
int needle_whole_check(const void *bytes, size_t len, size_t cap, struct incarnation incarnation,
                       uint64_t offset, uint32_t cell_bytes, struct needle_header *ret_header,
                       struct hash128 *ret_digest);
