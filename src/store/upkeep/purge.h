/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Purging: a walk over everything that is stored of somebody (under a prefix, or with a tag) that
 * says of each version, delete marker and upload whether it may go, and, when it is told to,
 * removes what may. The same walk without removing is the proof afterwards, and the look before.
 *
 * What goes and what stays
 *  - A locked version stays, governance too: nothing here bypasses a lock.
 *  - With a tag, versions that carry it are meant, and uploads that would make one. Delete markers
 *    carry none: a key's go with the last of its versions, if that carried the tag.
 *  - By age, versions and uploads from before are meant, and a newest version that goes leaves a
 *    marker wherever anything of its key stays, but where versioning is suspended and its null
 *    version stays, which the marker would replace.
 *  - Nothing that was hidden comes to light: where a version is kept, a delete marker above it
 * stays, and a newest version that goes leaves one.
 *
 * A page's versions of one key go in one transaction, so a crash leaves no key half done; of a key
 * with more versions than a page the newest goes last, and with it one that carries the tag.
 *
 * Invariant: nothing is removed that was not, at the time of its page, what the caller described.
 */

#include "store/store.h"

struct store_purge_what {
    struct str bucket; /* empty: all of them */
    struct str prefix; /* of keys; empty: all */
    bool tagged;
    struct store_pair tag; /* when `tagged`: exactly this one */
    uint64_t before_ms;    /* only what was written before; 0: whenever */
};

enum store_purge_kind {
    STORE_PURGE_VERSION,
    STORE_PURGE_MARKER,
    STORE_PURGE_UPLOAD,
    STORE_PURGE_KINDS
};

enum store_purge_fate {
    STORE_PURGE_GOES,     /* went, or would */
    STORE_PURGE_HELD,     /* kept by a legal hold */
    STORE_PURGE_RETAINED, /* kept by a retention */
    STORE_PURGE_HIDES,    /* a delete marker over what is kept */
    STORE_PURGE_CHANGED,  /* it changed meanwhile: another walk finds what it is now */
    STORE_PURGE_FATES
};
const char *store_purge_kind_text(enum store_purge_kind kind);
/* "goes", "held", "retained", "hides", "changed" */
const char *store_purge_fate_text(enum store_purge_fate fate);

struct store_purge_item {
    enum store_purge_kind kind;
    enum store_purge_fate fate;
    struct str bucket, key;
    uint64_t seq; /* of a version or marker */
    bool null_version;
    struct str upload;
    uint64_t bytes, parts; /* of an upload: of its parts */
    struct store_lock lock;
};

/* Where a walk is: kept over a restart as it is. */
struct store_purge_place {
    size_t bucket_len, key_len, upload_len;
    bool uploads; /* the bucket's versions are done */
    bool end;
    char bucket[64], key[STORE_KEY_MAX], upload[64];
};

struct store_purge_hooks {
    /* A bucket's page begins; what is to be told of its removals, perhaps NULL. May suspend. */
    int (*bucket)(void *arg, const struct store_bucket *b, struct store_notice **ret);
    /* Before a transaction that removes: of each that it is to remove, and whether it is the last
     * of them. May suspend; a failure leaves all where it is. */
    int (*intend)(void *arg, const struct store_purge_item *item, bool last);
    /* Of each that is meant, after it went if it did; the strings live for the call. May suspend.
     */
    int (*item)(void *arg, const struct store_purge_item *item);
    void *arg;
};

/*
 * One page from the place on, which it moves; `end` is set behind the last bucket. Without `remove`
 * nothing is changed. *ret_rows is how many versions and uploads were met. A hook's failure ends
 * the page and is handed back; so does a row that cannot be read (-ERR_CORRUPT): it might be one
 * that should go. A page may be done twice.
 */
int FIBER store_purge_page(struct store *s, const struct store_purge_what *what, bool remove,
                           struct store_purge_place *place, const struct store_purge_hooks *hooks,
                           uint64_t *ret_rows);

/* Whether the collector has yet to delete what was let go before now: what an answer of
 * store_purge_due_ms() says of that moment. -ERR_NO_SUCH_BUCKET: nothing of it is left. */
uint64_t store_purge_due_ms(const struct store *s);
int FIBER store_purge_pending(struct store *s, struct str bucket, uint64_t due_ms, bool *ret);
