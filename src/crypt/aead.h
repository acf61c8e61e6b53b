/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * AES-256-GCM (NIST SP 800-38D): one key, many messages, each with a nonce of its own. On x86-64 it
 * is intel-ipsec-mb's (aead_ipsec_mb.c), elsewhere OpenSSL's (aead_openssl.c).
 * Whoever uses a key gives a nonce once: this room derives a fresh key wherever it could not count.
 */

#include "base/str.h"

#define CRYPT_KEY_LEN   32
#define CRYPT_TAG_LEN   16
#define CRYPT_NONCE_LEN 12

/* A key's schedule. Zeroed is none. */
struct aead {
    void *state;
    bool seals;
};

/* To seal or to open with. -ENOMEM. */
int aead_init(struct aead *a, const uint8_t key[CRYPT_KEY_LEN], bool seals);
/* Accepts a zeroed one; the key is wiped. */
void aead_release(struct aead *a);

/* A message in pieces: begin, add (out may be in), then one of the two ends. */
void aead_begin(struct aead *a, const uint8_t nonce[CRYPT_NONCE_LEN], struct str aad);
void aead_add(struct aead *a, const void *in, size_t len, void *out);
void aead_seal_end(struct aead *a, uint8_t ret_tag[CRYPT_TAG_LEN]);
/* Whether it is what was sealed, compared in constant time; what was given out is not to be used
 * before. */
bool aead_open_end(struct aead *a, const uint8_t tag[CRYPT_TAG_LEN]);
