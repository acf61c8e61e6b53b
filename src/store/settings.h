/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A bucket's settings: the configurations that doors put to it (CORS rules, tags, a policy). The
 * store keeps each as the document a door has validated and knows nothing of what it says.
 *
 * Each is one row in the bucket's key space, "B" and its name. What a bucket has is kept in memory
 * as one immutable set, read at the first store_bucket_get() after the start or after a change and
 * handed out by reference, so that a request sees one state to its end. A bucket without settings
 * costs a request nothing.
 *
 * Invariant: a set in memory holds exactly what the newest committed transaction left; commit hooks
 * drop it, and a set that was read before such a commit is not kept. A setting that cannot be read
 * fails store_bucket_get(): it might be one that forbids.
 */

#include "base/ids.h"
#include "base/str.h"
#include "rt/rt.h"

/* X(NAME, name of its row). The names are on disk: they never change. */
#define STORE_SETTINGS(X)                   \
    X(ACCELERATE, "accelerate")             \
    X(ACL, "acl")                           \
    X(CORS, "cors")                         \
    X(ENCRYPTION, "encryption")             \
    X(OWNERSHIP_CONTROLS, "ownership")      \
    X(POLICY, "policy")                     \
    X(PUBLIC_ACCESS_BLOCK, "public-access") \
    X(QUOTA, "quota")                       \
    X(REQUEST_PAYMENT, "request-payment")   \
    X(STORAGE_CLASS, "storage-class")       \
    X(TAGGING, "tagging")                   \
    X(WEBSITE, "website")                   \
    X(NOTIFICATION, "notification")         \
    X(OBJECT_LOCK, "object-lock")           \
    X(LOGGING, "logging")                   \
    X(LIFECYCLE, "lifecycle")               \
    X(DATA_CLASSES, "data-classes")         \
    X(INVENTORY, "inventory")

enum store_setting_kind {
#define X(name, row) STORE_SETTING_##name,
    STORE_SETTINGS(X)
#undef X
        STORE_SETTING_KINDS
};

#define STORE_SETTING_MAX (512 * KIB) /* bytes of one */

struct store;
struct store_bucket;
struct store_settings;

struct store_setting {
    struct str text; /* as it was put; lives as long as the set */
    uint64_t changed_ms;
};

/* NULL when there is none of that kind; `set` may be NULL. */
const struct store_setting *store_setting_of(const struct store_settings *set,
                                             enum store_setting_kind kind);

/*
 * What a door made of a setting's text lives beside it, so that it is made once: `parsed` is NULL
 * until store_setting_keep(), which takes `made` over (`release` frees it with the set) and gives
 * back what is kept: `made`, or what another request was faster with, `made` being freed then. One
 * kind has one type. Any thread.
 */
void *store_setting_parsed(const struct store_settings *set, enum store_setting_kind kind);
void *store_setting_keep(struct store_settings *set, enum store_setting_kind kind, void *made,
                         void (*release)(void *made));
/*
 * The same for what a parser makes: the setting as `parse` fills `made` (`size` bytes, zeroed; what
 * it points to in `a`), until the set is given back; *ret NULL: there is none of that kind. What
 * was valid when it was put is valid now, so what does not parse is -ERR_CORRUPT. -ENOMEM.
 */
typedef int store_setting_parser(struct arena *a, struct str text, void *made);
int store_setting_made(struct store_settings *set, enum store_setting_kind kind, size_t size,
                       store_setting_parser *parse, const void **ret);

/* Gives back what store_bucket_get() took, if anything; `b` zeroed is fine. */
void store_bucket_release(struct store_bucket *b);

/* Replaces or removes one, durably. -ERR_NO_SUCH_BUCKET, -ERR_TOO_LARGE. Removing what is not there
 * is no error. */
int FIBER store_setting_put(struct store *s, struct bucket_id b, enum store_setting_kind kind,
                            struct str text);
/*
 * Makes one of what it is, in one transaction: `fn` is given the text (ptr NULL: there is none) and
 * gives another, or ptr NULL, which removes it; both live in `a`, and it may run more than once and
 * must not suspend. What it fails with, -ERR_NO_SUCH_BUCKET, -ERR_TOO_LARGE.
 */
typedef int store_setting_fn(struct arena *a, struct str old, struct str *ret, void *arg);
int FIBER store_setting_change(struct store *s, struct bucket_id b, enum store_setting_kind kind,
                               store_setting_fn *fn, void *arg);
int FIBER store_setting_delete(struct store *s, struct bucket_id b, enum store_setting_kind kind);
