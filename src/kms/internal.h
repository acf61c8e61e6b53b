/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What the files of kms/ share.
 *
 * `lock` guards the ring's pointer and the keys in memory, for a few hundred instructions; it is
 * never held over a wait. `changing` makes changes of the ring one at a time: whoever holds it may
 * wait.
 */

#include "base/hash.h"
#include "kms/kms.h"
#include "rt/rt.h"

struct vault;

#define KEPT_MAX 512             /* middle keys in memory, with Vault */
#define KEPT_FOR (5 * 60 * RT_S) /* as long as S3 keeps a bucket key at most */

struct kept_key {
    uint64_t until_ns;            /* 0: free */
    uint8_t use[HASH_SHA256_LEN]; /* digest of what it is for: clients choose a part of that */
    bool shared;                  /* may be taken for new objects */
    size_t wrapped_len;
    char wrapped[SEAL_SERVICE_MAX];
    uint8_t key[CRYPT_KEY_LEN];
};

/* Where a copy of the ring is, or is to be. */
struct kms_place {
    char *path;
    /* Of the copy that was read or written there last; 0: none. */
    uint64_t generation;
    uint8_t id[KEYRING_ID_LEN];
};

struct kms {
    struct meta *meta;
    struct kms_place *places;
    unsigned place_count;
    bool elsewhere; /* the ring is not in the store's directories */
    struct str phrase;
    struct vault *vault; /* NULL: the ring */
    struct rt_lock lock;
    uint8_t first_id[KEYRING_ID_LEN]; /* of the ring, where it is yet to be made */
    struct keyring *ring;             /* NULL: not made yet, or lost */
    bool lost;                        /* the metadata know a ring that is not there */
    uint64_t tried;                   /* the highest generation that was written anywhere */
    uint64_t copies, behind;          /* of `places`, for who counts; atomic */
    bool changing;
    struct rt_waitq changed;
    struct rt_fiber *mender; /* NULL: the ring is Vault's affair */
    struct kept_key *kept;   /* KEPT_MAX of them, with Vault */
    unsigned kept_next;
};

/* The additional data of a middle key, in `b`. */
void kms_additional(const struct kms_use *use, struct buf *b);

/* One more place for the ring: a file, or the `name` in `dir`. */
int kms_add_place(struct kms *k, const char *dir, const char *name);

/* ring.c: the key ring. */
int FIBER ring_load(struct kms *k, char why[KMS_WHY_MAX]);
/* A fiber, until it is cancelled: writes the copies that are missing, as their places come back. */
int FIBER ring_mend(void *kms);
int FIBER ring_wrap(struct kms *k, struct str name, struct str aad, const uint8_t *key,
                    uint8_t ret[KEYRING_WRAPPED]);
int ring_unwrap(struct kms *k, struct str name, struct str aad, struct str wrapped, uint8_t *ret);
/* The newest version of a key; 0: there is none. */
uint32_t ring_newest(struct kms *k, struct str name);
int FIBER ring_take_dir(struct kms *k, const char *dir);
int FIBER ring_keep_dirs(struct kms *k, const char *const *dirs, unsigned count);
int FIBER ring_add(struct kms *k, struct str name, bool exists);
int ring_list(struct kms *k, struct arena *a, struct kms_key **ret, size_t *ret_count);

/* vault.c: Vault's transit engine. */
int FIBER vault_new(struct vault **ret, const struct kms_vault_config *config,
                    char why[KMS_WHY_MAX]);
void FIBER vault_free(struct vault *v);
const char *vault_url(const struct vault *v);
void vault_metrics(struct buf *out, const struct vault *v);
int FIBER vault_wrap(struct vault *v, struct str name, struct str aad, const uint8_t *key,
                     struct arena *a, struct str *ret);
int FIBER vault_unwrap(struct vault *v, struct str name, struct str aad, struct str wrapped,
                       uint8_t *ret);
int FIBER vault_list(struct vault *v, struct arena *a, struct kms_key **ret, size_t *ret_count);
int FIBER vault_create(struct vault *v, struct str name);
int FIBER vault_rotate(struct vault *v, struct str name);
