/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What a record keeps of how its bytes are sealed (docs/FORMATS.md, "Sealed objects"): which kind
 * of encryption, and the data key, wrapped.
 *
 * The data key is wrapped by a key of the object's or its bucket's (the middle key), and that one
 * by the key service; of SSE-C by the customer's key alone. The additional data of the first is the
 * bucket's id, the kind and the object's key: a record moved to another name or bucket does not
 * open. The version is not in it: a version's sequence is given in the transaction, and renewed by
 * changes that have no key at hand (docs/adr/012).
 *
 * The store keeps these bytes and does not look into them.
 */

#include "base/buf.h"
#include "base/ids.h"
#include "crypt/wrap.h"

enum seal_kind {
    SEAL_NONE,
    SEAL_S3,  /* SSE-S3: the server's own key */
    SEAL_KMS, /* SSE-KMS: a key that is named */
    SEAL_C,   /* SSE-C: the customer's */
};

#define SEAL_NAME_MAX    256  /* bytes of a key's name */
#define SEAL_CONTEXT_MAX 4096 /* of an encryption context */
#define SEAL_SERVICE_MAX 2048 /* of what the key service made of a key */
#define SEAL_MAX         (SEAL_NAME_MAX + SEAL_CONTEXT_MAX + SEAL_SERVICE_MAX + WRAP_LEN + 16)

struct seal {
    enum seal_kind kind;
    bool bucket_key;           /* the middle key serves more objects of the bucket */
    struct str name;           /* of the service's key, as it was given; SSE-C: empty */
    struct str context;        /* JSON, or empty */
    struct str middle;         /* the middle key as the service wrapped it; SSE-C: empty */
    uint8_t wrapped[WRAP_LEN]; /* the data key */
};

/* Appends it to `b`. */
void seal_pack(const struct seal *s, struct buf *b);
/* Strings are borrowed. -ERR_CORRUPT. */
int seal_parse(struct str packed, struct seal *ret);

/* The data key into s->wrapped, and out of it. `salt` is random and new. -ENOMEM, -ERR_WRONG_KEY.
 */
int seal_wrap(struct seal *s, struct bucket_id bucket, struct str key,
              const uint8_t by[CRYPT_KEY_LEN], const uint8_t salt[WRAP_SALT_LEN],
              const uint8_t data_key[CRYPT_KEY_LEN]);
int seal_unwrap(const struct seal *s, struct bucket_id bucket, struct str key,
                const uint8_t by[CRYPT_KEY_LEN], uint8_t ret_data_key[CRYPT_KEY_LEN]);
