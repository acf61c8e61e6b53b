/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "s3/checksum.h"

#include "base/encode.h"
#include "base/error.h"

#include <stdio.h>

static const struct kind {
    const char *name, *header, *element;
    unsigned len;
} kinds[STORE_CHECKSUM_KINDS] = {
    [STORE_CRC32] = {"CRC32", "x-amz-checksum-crc32", "ChecksumCRC32", 4},
    [STORE_CRC32C] = {"CRC32C", "x-amz-checksum-crc32c", "ChecksumCRC32C", 4},
    [STORE_CRC64NVME] = {"CRC64NVME", "x-amz-checksum-crc64nvme", "ChecksumCRC64NVME", 8},
    [STORE_SHA1] = {"SHA1", "x-amz-checksum-sha1", "ChecksumSHA1", HASH_SHA1_LEN},
    [STORE_SHA256] = {"SHA256", "x-amz-checksum-sha256", "ChecksumSHA256", HASH_SHA256_LEN},
    [STORE_SHA512] = {"SHA512", "x-amz-checksum-sha512", "ChecksumSHA512", HASH_SHA512_LEN},
    [STORE_MD5] = {"MD5", "x-amz-checksum-md5", "ChecksumMD5", HASH_MD5_LEN},
    [STORE_XXHASH64] = {"XXHASH64", "x-amz-checksum-xxhash64", "ChecksumXXHASH64", 8},
    [STORE_XXHASH3] = {"XXHASH3", "x-amz-checksum-xxhash3", "ChecksumXXHASH3", 8},
    [STORE_XXHASH128] = {"XXHASH128", "x-amz-checksum-xxhash128", "ChecksumXXHASH128", 16},
};

const char *s3_checksum_name(enum store_checksum_kind kind)
{
    CHECK(kind < STORE_CHECKSUM_KINDS);
    return kinds[kind].name;
}

const char *s3_checksum_header(enum store_checksum_kind kind)
{
    CHECK(kind < STORE_CHECKSUM_KINDS);
    return kinds[kind].header;
}

const char *s3_checksum_element(enum store_checksum_kind kind)
{
    CHECK(kind < STORE_CHECKSUM_KINDS);
    return kinds[kind].element;
}

unsigned s3_checksum_len(enum store_checksum_kind kind)
{
    CHECK(kind < STORE_CHECKSUM_KINDS);
    return kinds[kind].len;
}

bool s3_checksum_kind_parse(struct str name, enum store_checksum_kind *ret)
{
    for (unsigned i = 0; i < STORE_CHECKSUM_KINDS; i++)
        if (str_eq_nocase(name, str_from(kinds[i].name))) {
            *ret = i;
            return true;
        }
    return false;
}

/* ---- text ----------------------------------------------------------------------------------- */

int s3_checksum_parse(enum store_checksum_kind kind, struct str text, struct store_checksum *ret,
                      uint32_t *ret_parts)
{
    struct store_checksum c = {.present = true, .kind = kind, .len = s3_checksum_len(kind)};
    uint64_t parts = 0;
    size_t len;
    ptrdiff_t dash = str_find_char(text, '-', 0);
    if (dash >= 0) {
        if (str_to_u64(str_from_offset(text, (size_t)dash + 1), &parts) || parts == 0 ||
            parts > STORE_PARTS_MAX)
            return -EINVAL;
        text = str_prefix(text, (size_t)dash);
        c.composite = true;
    }
    if (base64_decode(text, c.bytes, sizeof(c.bytes), &len) || len != c.len)
        return -EINVAL;
    *ret = c;
    *ret_parts = (uint32_t)parts;
    return 0;
}

struct str s3_checksum_format(const struct store_checksum *c, uint32_t parts,
                              char ret[CHECKSUM_TEXT_MAX])
{
    CHECK(c->present && c->len == s3_checksum_len(c->kind));
    size_t len = base64_encode(c->bytes, c->len, ret);
    if (c->composite)
        len += (size_t)snprintf(ret + len, CHECKSUM_TEXT_MAX - len, "-%u", parts);
    return str_make(ret, len);
}

bool s3_checksum_eq(const struct store_checksum *a, const struct store_checksum *b)
{
    return a->present && b->present && a->kind == b->kind && a->composite == b->composite &&
           memcmp(a->bytes, b->bytes, s3_checksum_len(a->kind)) == 0;
}

/* ---- computing ------------------------------------------------------------------------------ */

int s3_checksum_init(struct s3_checksum *c, enum store_checksum_kind kind)
{
    *c = (struct s3_checksum){.used = true, .kind = kind};
    return store_checksum_is_crc(kind) ? 0 : hash_stream_new(&c->digest, store_checksum_hash(kind));
}

void s3_checksum_update(struct s3_checksum *c, const void *data, size_t len)
{
    CHECK(c->used);
    switch (c->kind) {
    case STORE_CRC32:
        c->crc = hash_crc32((uint32_t)c->crc, data, len);
        break;
    case STORE_CRC32C:
        c->crc = hash_crc32c((uint32_t)c->crc, data, len);
        break;
    case STORE_CRC64NVME:
        c->crc = hash_crc64nvme(c->crc, data, len);
        break;
    default:
        hash_stream_update(c->digest, data, len);
    }
}

struct store_checksum s3_checksum_finish(struct s3_checksum *c)
{
    struct store_checksum out = {.present = true, .kind = c->kind, .len = s3_checksum_len(c->kind)};
    CHECK(c->used);
    if (c->kind == STORE_CRC64NVME)
        put_be64(out.bytes, c->crc);
    else if (c->kind == STORE_CRC32 || c->kind == STORE_CRC32C)
        put_be32(out.bytes, (uint32_t)c->crc);
    else
        hash_stream_finish(TAKE_PTR(c->digest), out.bytes);
    s3_checksum_release(c);
    return out;
}

void s3_checksum_release(struct s3_checksum *c)
{
    hash_stream_free(c->digest);
    *c = (struct s3_checksum){0};
}
