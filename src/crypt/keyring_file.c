/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The key file: a head in the clear (magic, format, how the sealing key is made, salt), then the
 * ring, sealed, then the tag. docs/FORMATS.md has the table.
 */

#include "base/encode.h"
#include "base/error.h"
#include "crypt/keyring.h"
#include <openssl/evp.h>

#define MAGIC     "CAIRNKEY"
#define MAGIC_LEN 8
#define FORMAT    1
#define HEAD_LEN  (MAGIC_LEN + 8 + WRAP_SALT_LEN)
#define RING_LEN  (KEYRING_ID_LEN + 12) /* id, generation, count */

enum kdf { KDF_NONE, KDF_SCRYPT };

/* 64 MiB of memory: what an attack with many guesses needs for each. */
#define SCRYPT_LOG_N 16
#define SCRYPT_R     8
#define SCRYPT_P     1
#define SCRYPT_MEM   (128 * MIB)

static const uint8_t no_nonce[CRYPT_NONCE_LEN]; /* each file has a salt of its own */

static void put_head(uint8_t head[HEAD_LEN], bool with_phrase, const uint8_t salt[WRAP_SALT_LEN])
{
    memset(head, 0, HEAD_LEN);
    memcpy(head, MAGIC, MAGIC_LEN);
    head[8] = FORMAT;
    if (with_phrase) {
        head[9] = KDF_SCRYPT;
        head[10] = SCRYPT_LOG_N;
        head[11] = SCRYPT_R;
        head[12] = SCRYPT_P;
    }
    memcpy(head + MAGIC_LEN + 8, salt, WRAP_SALT_LEN);
}

/* What a head may say: the same limits bound what reading a file that is none costs. */
static bool head_is_sound(const uint8_t head[HEAD_LEN])
{
    static const uint8_t none[3], rest[3];
    if (memcmp(head, MAGIC, MAGIC_LEN) != 0 || head[8] != FORMAT || memcmp(head + 13, rest, 3) != 0)
        return false;
    if (head[9] == KDF_NONE)
        return memcmp(head + 10, none, 3) == 0;
    return head[9] == KDF_SCRYPT && head[10] >= 10 && head[10] <= SCRYPT_LOG_N &&
           head[11] == SCRYPT_R && head[12] == SCRYPT_P;
}

static int BLOCKING file_key(const uint8_t head[HEAD_LEN], struct str phrase,
                             uint8_t ret[CRYPT_KEY_LEN])
{
    static const uint8_t nobody[CRYPT_KEY_LEN];
    const uint8_t *salt = head + MAGIC_LEN + 8;
    if (head[9] == KDF_NONE) {
        derive_key(nobody, "cairn key file 1", str_make(salt, WRAP_SALT_LEN), ret);
        return 0;
    }
    return EVP_PBE_scrypt(phrase.ptr, phrase.len, salt, WRAP_SALT_LEN, 1ULL << head[10], head[11],
                          head[12], SCRYPT_MEM, ret, CRYPT_KEY_LEN) == 1
               ? 0
               : -ENOMEM;
}

static int BLOCKING init_file(struct aead *a, const uint8_t head[HEAD_LEN], struct str phrase,
                              bool seals)
{
    uint8_t key[CRYPT_KEY_LEN];
    int r = file_key(head, phrase, key);
    if (r == 0)
        r = aead_init(a, key, seals);
    explicit_bzero(key, sizeof(key));
    if (r == 0)
        aead_begin(a, no_nonce, str_make(head, HEAD_LEN));
    return r;
}

/* ---- the ring as bytes ---------------------------------------------------------------------- */

static size_t packed_len(const struct keyring *k)
{
    size_t len = RING_LEN;
    for (size_t i = 0; i < k->count; i++)
        len += 1 + strlen(k->keys[i].name) + 12 + CRYPT_KEY_LEN;
    return len;
}

static uint8_t *put_key(uint8_t *at, const struct keyring_key *key)
{
    size_t name_len = strlen(key->name);
    *at++ = (uint8_t)name_len;
    memcpy(at, key->name, name_len);
    at += name_len;
    put_be32(at, key->version);
    put_be64(at + 4, key->created_ms);
    memcpy(at + 12, key->bytes, CRYPT_KEY_LEN);
    return at + 12 + CRYPT_KEY_LEN;
}

static void put_ring(uint8_t *at, const struct keyring *k)
{
    memcpy(at, k->id, KEYRING_ID_LEN);
    put_be64(at + KEYRING_ID_LEN, k->generation);
    put_be32(at + KEYRING_ID_LEN + 8, (uint32_t)k->count);
    at += RING_LEN;
    for (size_t i = 0; i < k->count; i++)
        at = put_key(at, &k->keys[i]);
}

/* Each key as keyring_add gives it: the versions come out as they say, or the file is wrong. */
static int take_key(struct keyring *k, struct str *rest)
{
    if (rest->len < 1)
        return -ERR_CORRUPT;
    size_t name_len = (uint8_t)rest->ptr[0];
    if (rest->len < 1 + name_len + 12 + CRYPT_KEY_LEN)
        return -ERR_CORRUPT;
    const char *at = rest->ptr + 1 + name_len;
    int r = keyring_add(k, str_make(rest->ptr + 1, name_len), get_be64(at + 4),
                        (const uint8_t *)at + 12);
    if (r < 0)
        return r == -ENOMEM ? r : -ERR_CORRUPT;
    *rest = str_from_offset(*rest, 1 + name_len + 12 + CRYPT_KEY_LEN);
    return k->keys[k->count - 1].version == get_be32(at) ? 0 : -ERR_CORRUPT;
}

static int take_ring(struct str plain, struct keyring **ret)
{
    _cleanup_keyring_ struct keyring *k = NULL;
    if (plain.len < RING_LEN)
        return -ERR_CORRUPT;
    uint64_t generation = get_be64(plain.ptr + KEYRING_ID_LEN);
    uint32_t count = get_be32(plain.ptr + KEYRING_ID_LEN + 8);
    struct str rest = str_from_offset(plain, RING_LEN);
    int r = keyring_new(&k, (const uint8_t *)plain.ptr);
    for (uint32_t i = 0; r == 0 && i < count; i++)
        r = take_key(k, &rest);
    if (r < 0)
        return r;
    if (rest.len)
        return -ERR_CORRUPT;
    k->generation = generation;
    *ret = TAKE_PTR(k);
    return 0;
}

/* ---- the file ------------------------------------------------------------------------------- */

int BLOCKING keyring_pack(const struct keyring *k, struct str phrase,
                          const uint8_t salt[WRAP_SALT_LEN], struct buf *b)
{
    uint8_t head[HEAD_LEN];
    struct aead a;
    size_t len = packed_len(k);
    put_head(head, phrase.len > 0, salt);
    buf_put(b, head, sizeof(head));
    uint8_t *at = (uint8_t *)buf_reserve(b, len + CRYPT_TAG_LEN);
    if (!at)
        return -ENOMEM;
    int r = init_file(&a, head, phrase, true);
    if (r < 0)
        return r;
    put_ring(at, k);
    aead_add(&a, at, len, at); /* in place: the keys are not in the buffer before or after */
    aead_seal_end(&a, at + len);
    aead_release(&a);
    b->len += len + CRYPT_TAG_LEN;
    return 0;
}

static int BLOCKING open_file(struct str file, struct str phrase, uint8_t *plain, size_t len)
{
    const uint8_t *bytes = (const uint8_t *)file.ptr;
    struct aead a;
    int r = init_file(&a, bytes, phrase, false);
    if (r < 0)
        return r;
    aead_add(&a, bytes + HEAD_LEN, len, plain);
    bool ok = aead_open_end(&a, bytes + HEAD_LEN + len);
    aead_release(&a);
    if (ok)
        return 0;
    return bytes[9] == KDF_NONE ? -ERR_CORRUPT : -ERR_WRONG_KEY;
}

int BLOCKING keyring_unpack(struct str file, struct str phrase, struct keyring **ret,
                            bool *ret_wants_phrase)
{
    if (file.len < HEAD_LEN + CRYPT_TAG_LEN || file.len > KEYRING_FILE_MAX ||
        !head_is_sound((const uint8_t *)file.ptr))
        return -ERR_CORRUPT;
    *ret_wants_phrase = file.ptr[9] == KDF_SCRYPT;
    if (*ret_wants_phrase != (phrase.len > 0))
        return -ERR_WRONG_KEY;
    size_t len = file.len - HEAD_LEN - CRYPT_TAG_LEN;
    uint8_t *plain = malloc(len + 1);
    if (!plain)
        return -ENOMEM;
    int r = open_file(file, phrase, plain, len);
    if (r == 0)
        r = take_ring(str_make(plain, len), ret);
    wipe(plain, len);
    free(plain);
    return r;
}
