/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "crypt/aead.h"
#include "base/error.h"
#include <openssl/evp.h>
#include <pthread.h>

/* Fetched once: a look-up by name costs more than a short message. */
static EVP_CIPHER *gcm;

static void fetch(void)
{
    gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
}

int aead_init(struct aead *a, const uint8_t key[CRYPT_KEY_LEN], bool seals)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fetch);
    *a = (struct aead){.state = EVP_CIPHER_CTX_new(), .seals = seals};
    if (gcm && a->state && EVP_CipherInit_ex2(a->state, gcm, key, NULL, seals, NULL) == 1)
        return 0;
    aead_release(a);
    return -ENOMEM;
}

void aead_release(struct aead *a)
{
    EVP_CIPHER_CTX_free(a->state);
    *a = (struct aead){0};
}

void aead_begin(struct aead *a, const uint8_t nonce[CRYPT_NONCE_LEN], struct str aad)
{
    int n;
    CHECK(EVP_CipherInit_ex2(a->state, NULL, NULL, nonce, a->seals, NULL) == 1);
    if (aad.len)
        CHECK(EVP_CipherUpdate(a->state, NULL, &n, (const uint8_t *)aad.ptr, (int)aad.len) == 1);
}

void aead_add(struct aead *a, const void *in, size_t len, void *out)
{
    int n;
    CHECK(len <= INT32_MAX);
    if (len)
        CHECK(EVP_CipherUpdate(a->state, out, &n, in, (int)len) == 1 && (size_t)n == len);
}

void aead_seal_end(struct aead *a, uint8_t ret_tag[CRYPT_TAG_LEN])
{
    uint8_t none[CRYPT_TAG_LEN];
    int n;
    CHECK(EVP_CipherFinal_ex(a->state, none, &n) == 1 && n == 0);
    CHECK(EVP_CIPHER_CTX_ctrl(a->state, EVP_CTRL_AEAD_GET_TAG, CRYPT_TAG_LEN, ret_tag) == 1);
}

bool aead_open_end(struct aead *a, const uint8_t tag[CRYPT_TAG_LEN])
{
    uint8_t none[CRYPT_TAG_LEN];
    int n;
    CHECK(EVP_CIPHER_CTX_ctrl(a->state, EVP_CTRL_AEAD_SET_TAG, CRYPT_TAG_LEN, (void *)tag) == 1);
    return EVP_CipherFinal_ex(a->state, none, &n) == 1;
}
