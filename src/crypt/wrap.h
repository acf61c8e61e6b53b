/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Keys sealed by keys, and keys made of keys.
 *
 * A wrapped key is a salt, then the key sealed under a key made of the wrapping one and that salt:
 * so a wrapping key, be it a customer's, seals any number of keys without a nonce ever being used
 * twice. The additional data says whose key it is; elsewhere it does not open. The tag is the only
 * check of the wrapping key there is: nothing of it is kept.
 */

#include "crypt/aead.h"

#define WRAP_SALT_LEN 32
#define WRAP_LEN      (WRAP_SALT_LEN + CRYPT_KEY_LEN + CRYPT_TAG_LEN)

/* `salt` is random, and new. -ENOMEM. */
int wrap_key(const uint8_t by[CRYPT_KEY_LEN], struct str aad, const uint8_t salt[WRAP_SALT_LEN],
             const uint8_t key[CRYPT_KEY_LEN], uint8_t ret[WRAP_LEN]);
/* -ERR_WRONG_KEY: another key, other additional data, or not what was wrapped. */
int unwrap_key(const uint8_t by[CRYPT_KEY_LEN], struct str aad, const uint8_t wrapped[WRAP_LEN],
               uint8_t ret[CRYPT_KEY_LEN]);

/* A key for one purpose: HMAC-SHA256 of the purpose's name and `context` under `from`. */
void derive_key(const uint8_t from[CRYPT_KEY_LEN], const char *purpose, struct str context,
                uint8_t ret[CRYPT_KEY_LEN]);
