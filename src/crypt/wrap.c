/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "crypt/wrap.h"
#include "base/error.h"
#include "base/hash.h"

#define CONTEXT_MAX 128

static const uint8_t no_nonce[CRYPT_NONCE_LEN]; /* the key is used once */

void derive_key(const uint8_t from[CRYPT_KEY_LEN], const char *purpose, struct str context,
                uint8_t ret[CRYPT_KEY_LEN])
{
    struct hmac_key k;
    char text[CONTEXT_MAX];
    size_t len = strlen(purpose) + 1;
    CHECK(len + context.len <= sizeof(text));
    memcpy(text, purpose, len);
    if (context.len)
        memcpy(text + len, context.ptr, context.len);
    hmac_key_init(&k, str_make(from, CRYPT_KEY_LEN));
    hmac_sha256(&k, str_make(text, len + context.len), ret);
    explicit_bzero(&k, sizeof(k));
}

/* The key that the salt and the wrapping key make together. */
static int init_wrapper(struct aead *a, const uint8_t by[CRYPT_KEY_LEN],
                        const uint8_t salt[WRAP_SALT_LEN], bool seals)
{
    uint8_t key[CRYPT_KEY_LEN];
    derive_key(by, "cairn wrap 1", str_make(salt, WRAP_SALT_LEN), key);
    int r = aead_init(a, key, seals);
    explicit_bzero(key, sizeof(key));
    return r;
}

int wrap_key(const uint8_t by[CRYPT_KEY_LEN], struct str aad, const uint8_t salt[WRAP_SALT_LEN],
             const uint8_t key[CRYPT_KEY_LEN], uint8_t ret[WRAP_LEN])
{
    struct aead a;
    int r = init_wrapper(&a, by, salt, true);
    if (r < 0)
        return r;
    memcpy(ret, salt, WRAP_SALT_LEN);
    aead_begin(&a, no_nonce, aad);
    aead_add(&a, key, CRYPT_KEY_LEN, ret + WRAP_SALT_LEN);
    aead_seal_end(&a, ret + WRAP_SALT_LEN + CRYPT_KEY_LEN);
    aead_release(&a);
    return 0;
}

int unwrap_key(const uint8_t by[CRYPT_KEY_LEN], struct str aad, const uint8_t wrapped[WRAP_LEN],
               uint8_t ret[CRYPT_KEY_LEN])
{
    struct aead a;
    uint8_t key[CRYPT_KEY_LEN];
    int r = init_wrapper(&a, by, wrapped, false);
    if (r < 0)
        return r;
    aead_begin(&a, no_nonce, aad);
    aead_add(&a, wrapped + WRAP_SALT_LEN, CRYPT_KEY_LEN, key);
    r = aead_open_end(&a, wrapped + WRAP_SALT_LEN + CRYPT_KEY_LEN) ? 0 : -ERR_WRONG_KEY;
    aead_release(&a);
    if (r == 0)
        memcpy(ret, key, sizeof(key));
    explicit_bzero(key, sizeof(key));
    return r;
}
