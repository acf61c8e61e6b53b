/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The master keys of this server, by name and version, and the sealed file they are kept in.
 *
 * A key is rotated by adding a version: what is wrapped from then on is wrapped by the newest, what
 * was wrapped before says by which. Nothing is ever taken out of a ring: a version that is gone
 * takes with it whatever it wrapped.
 *
 * Invariants: the versions of a name are 1 to its newest, without a gap; a ring's generation grows
 * with every change, so of two copies of its file the newer is known.
 *
 * Not thread-safe. Keys lie in memory until the ring is freed, and are wiped then.
 */

#include "base/buf.h"
#include "crypt/wrap.h"

#define KEYRING_NAME_MAX   128 /* bytes of a key's name: printable, without spaces */
#define KEYRING_KEYS_MAX   4096
#define KEYRING_ID_LEN     16
#define KEYRING_FILE_MAX   (1 * MIB)
#define KEYRING_WRAPPED    (4 + WRAP_LEN) /* a key wrapped by one of the ring: version, then it */
#define KEYRING_PHRASE_MIN 8
#define KEYRING_PHRASE_MAX 1024

struct keyring_key {
    char name[KEYRING_NAME_MAX + 1];
    uint32_t version;
    uint64_t created_ms;
    uint8_t bytes[CRYPT_KEY_LEN];
};

struct keyring {
    uint8_t id[KEYRING_ID_LEN]; /* of this ring for ever: what it sealed belongs to it */
    uint64_t generation;
    struct keyring_key *keys; /* in the order they were added */
    size_t count, cap;
};

/* Empty. -ENOMEM. */
int keyring_new(struct keyring **ret, const uint8_t id[KEYRING_ID_LEN]);
/* Accepts NULL. */
void keyring_free(struct keyring *k);
#define _cleanup_keyring_ _cleanup_(keyring_cleanup_)
static inline void keyring_cleanup_(struct keyring **k)
{
    keyring_free(*k);
}

bool keyring_name_is_valid(struct str name);
/* The next version of a name, or its first; `key` is random. -EINVAL (name), -ERR_LIMIT, -ENOMEM.
 */
int keyring_add(struct keyring *k, struct str name, uint64_t now_ms,
                const uint8_t key[CRYPT_KEY_LEN]);
/* Version 0: the newest. NULL when there is none; valid until the next keyring_add. */
const struct keyring_key *keyring_find(const struct keyring *k, struct str name, uint32_t version);

/* ---- wrapping ------------------------------------------------------------------------------- */

/* By one of the ring. -ENOMEM. */
int keyring_wrap(const struct keyring_key *by, struct str aad, const uint8_t salt[WRAP_SALT_LEN],
                 const uint8_t key[CRYPT_KEY_LEN], uint8_t ret[KEYRING_WRAPPED]);
/* `by` is the version that wrapped it. -ERR_WRONG_KEY, -ERR_CORRUPT, -ENOMEM. */
int keyring_unwrap(const struct keyring_key *by, struct str aad, struct str wrapped,
                   uint8_t ret[CRYPT_KEY_LEN]);
/* The version that wrapped it; 0: this is no such thing. */
uint32_t keyring_wrapped_version(struct str wrapped);

/* ---- the file ------------------------------------------------------------------------------- */

/*
 * Appends the file's content. With a passphrase it is sealed under what scrypt (RFC 7914) makes of
 * it, which takes 64 MiB and a tenth of a second; without one the file's mode is all that guards
 * it, and the seal only tells damage. `salt` is random and new.
 */
int BLOCKING keyring_pack(const struct keyring *k, struct str phrase,
                          const uint8_t salt[WRAP_SALT_LEN], struct buf *b);
/* -ERR_CORRUPT: damaged, or no key file. -ERR_WRONG_KEY: the passphrase is wrong, missing, or not
 * wanted (then *ret_wants_phrase is false). */
int BLOCKING keyring_unpack(struct str file, struct str phrase, struct keyring **ret,
                            bool *ret_wants_phrase);
