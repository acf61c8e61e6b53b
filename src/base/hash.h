/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Digests and checksums: what S3 stores and returns, and what our own formats carry.
 *
 * The CRCs take and return the finished value (initial value 0), so they can be continued:
 * crc(crc(0, a), b) == crc(0, ab).
 */

#include "base/str.h"

/* CRC-32 (IEEE 802.3), S3's CRC32. */
uint32_t hash_crc32(uint32_t crc, const void *data, size_t len);
/* CRC-32C (Castagnoli), S3's CRC32C and the needle's check. */
uint32_t hash_crc32c(uint32_t crc, const void *data, size_t len);
/* CRC-64/NVME, S3's CRC64NVME. */
uint64_t hash_crc64nvme(uint64_t crc, const void *data, size_t len);
/* The CRC of a joined pair from those of its halves, `len_b` the second's length in bytes. */
uint32_t hash_crc32_combine(uint32_t a, uint32_t b, uint64_t len_b);
uint32_t hash_crc32c_combine(uint32_t a, uint32_t b, uint64_t len_b);
uint64_t hash_crc64nvme_combine(uint64_t a, uint64_t b, uint64_t len_b);
/* xxHash3 64 bit, for tables in memory and shards of locks; never for a secret or on disk. */
uint64_t hash_xxh3(const void *data, size_t len);
/* xxHash3 128 bit: the needle's whole digest. */
struct hash128 {
    uint64_t lo, hi;
};
struct hash128 hash_xxh128(const void *data, size_t len);

#define HASH_SHA1_LEN   20
#define HASH_SHA256_LEN 32
#define HASH_SHA512_LEN 64
#define HASH_MD5_LEN    16
#define HASH_LEN_MAX    HASH_SHA512_LEN

/* Digests as streams (OpenSSL; libxxhash, big-endian as its canonical form is). */
enum hash_kind {
    HASH_SHA1,
    HASH_SHA256,
    HASH_SHA512,
    HASH_MD5,
    HASH_XXH64,
    HASH_XXH3,
    HASH_XXH128,
};
struct hash_stream; /* opaque */
int hash_stream_new(struct hash_stream **ret, enum hash_kind kind);
void hash_stream_update(struct hash_stream *h, const void *data, size_t len);
/* The same for two streams of SHA-256, side by side where the processor can. */
void hash_stream_update_two(struct hash_stream *a, struct str data_a, struct hash_stream *b,
                            struct str data_b);
/* Writes the digest, HASH_LEN_MAX bytes at most, and frees the stream. */
void hash_stream_finish(struct hash_stream *h, uint8_t *ret);
/* Accepts NULL. */
void hash_stream_free(struct hash_stream *h);

void hash_sha256(struct str data, uint8_t ret[HASH_SHA256_LEN]);

/* HMAC-SHA256 with the key's two inner states kept, so that signing many texts costs two blocks. */
struct hmac_key {
    uint32_t inner[8], outer[8];
};
void hmac_key_init(struct hmac_key *k, struct str secret);
void hmac_sha256(const struct hmac_key *k, struct str data, uint8_t ret[HASH_SHA256_LEN]);
/* HMAC-SHA1, for the signatures of old. */
void hmac_sha1(struct str secret, struct str data, uint8_t ret[HASH_SHA1_LEN]);
