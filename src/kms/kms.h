/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The key service: it makes the keys that objects' data keys are wrapped by (the middle keys,
 * crypt/seal.h), wraps them by a named master key, and opens them again. The master keys are in the
 * key ring of this server, or in HashiCorp Vault's transit engine, where they never leave.
 *
 * The ring (crypt/keyring.h) is a file, `master.keys`, in every directory of the store, or the one
 * file that was named; it is made at the first use. A change counts once at least two directories
 * have it, and half of those that are there; the others get it as soon as they can. The metadata
 * remember which ring it was, so a file that is missing, or another store's, is told as that, and
 * never replaced by a new one: until the right one is back, what it sealed is not readable, and
 * nothing new is sealed.
 *
 * Vault is asked over HTTP for each middle key that is not in memory: keys are kept for some
 * minutes, as S3's bucket keys are, so that reading many objects does not mean as many questions.
 * Whoever withdraws a key in Vault waits that long.
 *
 * Promises: no key and no token is ever logged or printed; a key given out is the caller's to wipe.
 */

#include "base/arena.h"
#include "base/ids.h"
#include "base/metrics.h"
#include "crypt/keyring.h"
#include "crypt/seal.h"
#include "meta/meta.h"

/* The server's own key, of SSE-S3; and what SSE-KMS takes when no key is named. */
#define KMS_KEY_S3      STR("cairn-s3")
#define KMS_KEY_DEFAULT STR("cairn-kms")
#define KMS_FILE        "master.keys"
#define KMS_WHY_MAX     512

struct kms;

struct kms_vault_config {
    const char *url;         /* https://HOST:PORT or http://...; NULL: no Vault */
    const char *mount;       /* of the transit engine; NULL: "transit" */
    const char *ca;          /* PEM; NULL: the system's */
    struct str token;        /* copied, as are these; else empty, and the AppRole's */
    const char *token_file;  /* where the token was read, and is again; NULL: from no file */
    struct str role, secret; /* an AppRole's */
};

struct kms_config {
    const char *const *dirs; /* each gets a copy of the ring; copied */
    unsigned dir_count;
    const char *file;  /* in place of them; NULL: none */
    struct str phrase; /* that the file is sealed with; copied; empty: none */
    struct meta *meta; /* borrowed */
    struct kms_vault_config vault;
};

/* A ring that is missing is no failure here (see above). `why` gets a sentence for people. */
int FIBER kms_open(struct kms **ret, const struct kms_config *config, char why[KMS_WHY_MAX]);
/* Accepts NULL. Keys are wiped. */
void FIBER kms_close(struct kms *k);

/* A directory that came to the store gets its copy of the ring, now and at every change: the others
 * may leave. Nothing is done where the ring is elsewhere. */
int FIBER kms_take_dir(struct kms *k, const char *dir);
/* These are the store's directories: what others have is left alone from now on. -ERR_BUSY: the
 * ring is being written, perhaps to a disk that hangs; try again. */
int FIBER kms_keep_dirs(struct kms *k, const char *const *dirs, unsigned count);
/* Of the ring its copies; of Vault how often it was asked, how long it took, how often in vain. */
void kms_metrics(struct buf *out, void *kms);

/* What a middle key is for; it opens for nothing else. */
struct kms_use {
    struct str name;    /* of the master key: its name, or an ARN that ends in it */
    struct str context; /* the encryption context, or empty */
    struct bucket_id bucket;
    bool shared; /* one middle key may serve more objects of the bucket */
};

/* The name alone, of an ARN or alias. */
struct str kms_plain_name(struct str name);

/*
 * A middle key, and what to keep to get it back (in `a`). -ERR_KMS_NOT_FOUND, -ERR_KMS_UNAVAILABLE,
 * -ERR_KEY_LOST, -ENOSPC and the like when the ring cannot be made.
 */
int FIBER kms_new_key(struct kms *k, const struct kms_use *use, struct arena *a,
                      uint8_t ret_key[CRYPT_KEY_LEN], struct str *ret_wrapped);
/* -ERR_KEY_LOST, -ERR_WRONG_KEY, -ERR_KMS_UNAVAILABLE. */
int FIBER kms_open_key(struct kms *k, const struct kms_use *use, struct str wrapped,
                       uint8_t ret_key[CRYPT_KEY_LEN]);
/* The same key wrapped by the newest version; *ret_wrapped is `wrapped` when it is already. */
int FIBER kms_rewrap_key(struct kms *k, const struct kms_use *use, struct arena *a,
                         struct str wrapped, struct str *ret_wrapped);

/* ---- for the administrator ------------------------------------------------------------------ */

struct kms_key {
    struct str name;
    uint32_t newest;                 /* version */
    uint64_t created_ms, rotated_ms; /* 0: not known (Vault) */
};
int FIBER kms_list(struct kms *k, struct arena *a, struct kms_key **ret, size_t *ret_count);
/* -ERR_EXISTS, -EINVAL (no name for a key). */
int FIBER kms_create(struct kms *k, struct str name);
/* -ERR_KMS_NOT_FOUND. What was wrapped before stays readable. */
int FIBER kms_rotate(struct kms *k, struct str name);
/* Where the master keys are, for people: "the key ring" or Vault's address. */
const char *kms_source(const struct kms *k);
