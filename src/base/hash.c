/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * SHA, MD5 in one stream, HMAC and xxHash. OpenSSL's one-structure digests are deprecated in favour
 * of EVP, but they run the same code without its fetch, lock and allocation, which cost more than a
 * block of SHA-256 does.
 */

#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/hash.h"
#include "base/error.h"
#include "base/sha256.h"
#include <openssl/md5.h>
#include <openssl/sha.h>
#include <xxhash.h>

struct hash_stream {
    enum hash_kind kind;
    union {
        SHA_CTX sha1;
        SHA256_CTX sha256;
        SHA512_CTX sha512;
        MD5_CTX md5;
        XXH64_state_t *xxh64;
        XXH3_state_t *xxh3;
    };
};

/* -ENOMEM, of xxHash alone. */
static int stream_init(struct hash_stream *h)
{
    switch (h->kind) {
    case HASH_SHA1:
        SHA1_Init(&h->sha1);
        return 0;
    case HASH_SHA256:
        SHA256_Init(&h->sha256);
        return 0;
    case HASH_SHA512:
        SHA512_Init(&h->sha512);
        return 0;
    case HASH_MD5:
        MD5_Init(&h->md5);
        return 0;
    case HASH_XXH64:
        h->xxh64 = XXH64_createState();
        return h->xxh64 && XXH64_reset(h->xxh64, 0) == XXH_OK ? 0 : -ENOMEM;
    case HASH_XXH3:
        h->xxh3 = XXH3_createState();
        return h->xxh3 && XXH3_64bits_reset(h->xxh3) == XXH_OK ? 0 : -ENOMEM;
    case HASH_XXH128:
        h->xxh3 = XXH3_createState();
        return h->xxh3 && XXH3_128bits_reset(h->xxh3) == XXH_OK ? 0 : -ENOMEM;
    }
    CHECK(!"a kind of digest");
}

int hash_stream_new(struct hash_stream **ret, enum hash_kind kind)
{
    struct hash_stream *h = malloc(sizeof(*h));
    if (!h)
        return -ENOMEM;
    h->kind = kind;
    int r = stream_init(h);
    if (r < 0)
        free(h);
    else
        *ret = h;
    return r;
}

void hash_stream_update(struct hash_stream *h, const void *data, size_t len)
{
    switch (h->kind) {
    case HASH_SHA1:
        SHA1_Update(&h->sha1, data, len);
        break;
    case HASH_SHA256:
        SHA256_Update(&h->sha256, data, len);
        break;
    case HASH_SHA512:
        SHA512_Update(&h->sha512, data, len);
        break;
    case HASH_MD5:
        MD5_Update(&h->md5, data, len);
        break;
    case HASH_XXH64:
        XXH64_update(h->xxh64, data, len);
        break;
    case HASH_XXH3:
        XXH3_64bits_update(h->xxh3, data, len);
        break;
    case HASH_XXH128:
        XXH3_128bits_update(h->xxh3, data, len);
        break;
    }
}

static void count_blocks(SHA256_CTX *c, size_t blocks)
{
    uint64_t bits = ((uint64_t)c->Nh << 32 | c->Nl) + (uint64_t)blocks * SHA256_BLOCK * 8;
    c->Nl = (SHA_LONG)bits;
    c->Nh = (SHA_LONG)(bits >> 32);
}

/* What lies on the border of a block is left to OpenSSL, as is the longer one's rest. */
void hash_stream_update_two(struct hash_stream *a, struct str data_a, struct hash_stream *b,
                            struct str data_b)
{
    CHECK(a->kind == HASH_SHA256 && b->kind == HASH_SHA256 && a != b);
    SHA256_CTX *ca = &a->sha256, *cb = &b->sha256;
    size_t blocks = MIN(data_a.len, data_b.len) / SHA256_BLOCK;
    if (blocks && ca->num == 0 && cb->num == 0 && sha256_two_available()) {
        sha256_two(ca->h, data_a.ptr, cb->h, data_b.ptr, blocks);
        count_blocks(ca, blocks);
        count_blocks(cb, blocks);
        data_a = str_from_offset(data_a, blocks * SHA256_BLOCK);
        data_b = str_from_offset(data_b, blocks * SHA256_BLOCK);
    }
    SHA256_Update(ca, data_a.ptr, data_a.len);
    SHA256_Update(cb, data_b.ptr, data_b.len);
}

void hash_stream_finish(struct hash_stream *h, uint8_t *ret)
{
    switch (h->kind) {
    case HASH_SHA1:
        SHA1_Final(ret, &h->sha1);
        break;
    case HASH_SHA256:
        SHA256_Final(ret, &h->sha256);
        break;
    case HASH_SHA512:
        SHA512_Final(ret, &h->sha512);
        break;
    case HASH_MD5:
        MD5_Final(ret, &h->md5);
        break;
    case HASH_XXH64:
        XXH64_canonicalFromHash((XXH64_canonical_t *)ret, XXH64_digest(h->xxh64));
        break;
    case HASH_XXH3:
        XXH64_canonicalFromHash((XXH64_canonical_t *)ret, XXH3_64bits_digest(h->xxh3));
        break;
    case HASH_XXH128:
        XXH128_canonicalFromHash((XXH128_canonical_t *)ret, XXH3_128bits_digest(h->xxh3));
        break;
    }
    hash_stream_free(h);
}

void hash_stream_free(struct hash_stream *h)
{
    if (h && h->kind == HASH_XXH64)
        XXH64_freeState(h->xxh64);
    else if (h && (h->kind == HASH_XXH3 || h->kind == HASH_XXH128))
        XXH3_freeState(h->xxh3);
    free(h);
}

void hash_sha256(struct str data, uint8_t ret[HASH_SHA256_LEN])
{
    SHA256_CTX c;
    SHA256_Init(&c);
    SHA256_Update(&c, data.ptr, data.len);
    SHA256_Final(ret, &c);
}

/* ---- HMAC (RFC 2104) ------------------------------------------------------------------------ */

#define BLOCK 64

/* The state after the one block `key xor pad`. */
static void padded_state(const uint8_t key[BLOCK], uint8_t pad, uint32_t ret[8])
{
    uint8_t block[BLOCK];
    SHA256_CTX c;
    for (size_t i = 0; i < BLOCK; i++)
        block[i] = key[i] ^ pad;
    SHA256_Init(&c);
    SHA256_Update(&c, block, BLOCK);
    memcpy(ret, c.h, sizeof(c.h));
}

void hmac_key_init(struct hmac_key *k, struct str secret)
{
    uint8_t key[BLOCK] = {0};
    if (secret.len > BLOCK)
        hash_sha256(secret, key);
    else if (secret.len)
        memcpy(key, secret.ptr, secret.len);
    padded_state(key, 0x36, k->inner);
    padded_state(key, 0x5C, k->outer);
    explicit_bzero(key, sizeof(key));
}

static void finish_from(const uint32_t state[8], struct str data, uint8_t ret[HASH_SHA256_LEN])
{
    SHA256_CTX c;
    SHA256_Init(&c);
    memcpy(c.h, state, sizeof(c.h));
    c.Nl = BLOCK * 8;
    SHA256_Update(&c, data.ptr, data.len);
    SHA256_Final(ret, &c);
}

void hmac_sha256(const struct hmac_key *k, struct str data, uint8_t ret[HASH_SHA256_LEN])
{
    uint8_t inner[HASH_SHA256_LEN];
    finish_from(k->inner, data, inner);
    finish_from(k->outer, str_make(inner, sizeof(inner)), ret);
}

/* ---- xxHash --------------------------------------------------------------------------------- */

uint64_t hash_xxh3(const void *data, size_t len)
{
    return XXH3_64bits(data, len);
}

struct hash128 hash_xxh128(const void *data, size_t len)
{
    XXH128_hash_t h = XXH3_128bits(data, len);
    return (struct hash128){h.low64, h.high64};
}

static void sha1_of(const uint8_t pad[BLOCK], struct str data, uint8_t ret[HASH_SHA1_LEN])
{
    SHA_CTX c;
    SHA1_Init(&c);
    SHA1_Update(&c, pad, BLOCK);
    SHA1_Update(&c, data.ptr, data.len);
    SHA1_Final(ret, &c);
}

void hmac_sha1(struct str secret, struct str data, uint8_t ret[HASH_SHA1_LEN])
{
    uint8_t key[BLOCK] = {0}, inner[BLOCK], outer[BLOCK], digest[HASH_SHA1_LEN];
    if (secret.len > BLOCK)
        SHA1((const uint8_t *)secret.ptr, secret.len, key);
    else if (secret.len)
        memcpy(key, secret.ptr, secret.len);
    for (size_t i = 0; i < BLOCK; i++) {
        inner[i] = key[i] ^ 0x36;
        outer[i] = key[i] ^ 0x5c;
    }
    sha1_of(inner, data, digest);
    sha1_of(outer, str_make(digest, sizeof(digest)), ret);
    explicit_bzero(key, sizeof(key));
    explicit_bzero(inner, sizeof(inner));
    explicit_bzero(outer, sizeof(outer));
}
