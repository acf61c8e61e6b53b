/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Checksums of assembled objects (Amazon S3 User Guide, "Checking object integrity", full object
 * and composite): a CRC of the whole is combined from the parts' CRCs; a composite one is the
 * digest of the parts' digests, end to end.
 */

#include "store/internal.h"
#include "base/encode.h"

static uint64_t crc_value(const struct store_checksum *c)
{
    return c->len == 8 ? get_be64(c->bytes) : get_be32(c->bytes);
}

static void crc_set(struct store_checksum *c, uint64_t v)
{
    if (c->len == 8)
        put_be64(c->bytes, v);
    else
        put_be32(c->bytes, (uint32_t)v);
}

static uint64_t crc_combine(enum store_checksum_kind kind, uint64_t a, uint64_t b, uint64_t len_b)
{
    switch (kind) {
    case STORE_CRC32:
        return hash_crc32_combine((uint32_t)a, (uint32_t)b, len_b);
    case STORE_CRC32C:
        return hash_crc32c_combine((uint32_t)a, (uint32_t)b, len_b);
    default:
        return hash_crc64nvme_combine(a, b, len_b);
    }
}

static uint64_t crc_update(enum store_checksum_kind kind, uint64_t crc, const void *data,
                           size_t len)
{
    switch (kind) {
    case STORE_CRC32:
        return hash_crc32((uint32_t)crc, data, len);
    case STORE_CRC32C:
        return hash_crc32c((uint32_t)crc, data, len);
    default:
        return hash_crc64nvme(crc, data, len);
    }
}

enum hash_kind store_checksum_hash(enum store_checksum_kind kind)
{
    static const enum hash_kind hashes[STORE_CHECKSUM_KINDS] = {
        [STORE_SHA1] = HASH_SHA1,        [STORE_SHA256] = HASH_SHA256,
        [STORE_SHA512] = HASH_SHA512,    [STORE_MD5] = HASH_MD5,
        [STORE_XXHASH64] = HASH_XXH64,   [STORE_XXHASH3] = HASH_XXH3,
        [STORE_XXHASH128] = HASH_XXH128,
    };
    CHECK(kind < STORE_CHECKSUM_KINDS && !store_checksum_is_crc(kind));
    return hashes[kind];
}

static int assemble_whole(const struct parts *parts, struct store_checksum *ret)
{
    if (!store_checksum_is_crc(ret->kind))
        return -ERR_INVALID_REQUEST;
    uint64_t crc = 0;
    for (size_t i = 0; i < parts->count; i++) {
        const struct part_entry *p = &parts->list[i];
        if (p->listed)
            crc = crc_combine(ret->kind, crc, crc_value(&p->row.checksum), p->row.len_bytes);
    }
    crc_set(ret, crc);
    return 0;
}

static void composite_crc(const struct parts *parts, struct store_checksum *ret)
{
    uint64_t crc = 0;
    for (size_t i = 0; i < parts->count; i++)
        if (parts->list[i].listed)
            crc = crc_update(ret->kind, crc, parts->list[i].row.checksum.bytes, ret->len);
    crc_set(ret, crc);
}

static int composite_digest(const struct parts *parts, struct store_checksum *ret)
{
    struct hash_stream *h;
    int r = hash_stream_new(&h, store_checksum_hash(ret->kind));
    if (r < 0)
        return r;
    for (size_t i = 0; i < parts->count; i++)
        if (parts->list[i].listed)
            hash_stream_update(h, parts->list[i].row.checksum.bytes, ret->len);
    hash_stream_finish(h, ret->bytes);
    return 0;
}

int checksum_assemble(enum store_checksum_kind kind, bool composite, const struct parts *parts,
                      struct store_checksum *ret)
{
    struct store_checksum c = {
        .present = true, .composite = composite, .kind = kind, .len = store_checksum_len(kind)};
    for (size_t i = 0; i < parts->count; i++) {
        const struct part_entry *p = &parts->list[i];
        if (p->listed && (!p->row.checksum.present || p->row.checksum.kind != kind))
            return -ERR_INVALID_REQUEST;
    }
    int r = 0;
    if (!composite)
        r = assemble_whole(parts, &c);
    else if (store_checksum_is_crc(kind))
        composite_crc(parts, &c);
    else
        r = composite_digest(parts, &c);
    if (r == 0)
        *ret = c;
    return r;
}
