/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Users and access keys, and the one authorisation decision. In this measure: a root user,
 * named users with one key each, every bucket open to its owner and to root alone.
 *
 * Keys are served from memory (all of them: a user is small), the metadata is the authority.
 * Secrets never leave through a list or a log.
 */

#include "base/arena.h"
#include "meta/meta.h"

#define IAM_USERS_MAX 100000

struct iam;

struct iam_identity {
    struct str user_id; /* canonical id: what owns buckets */
    struct str display_name;
    struct str access_key;
    bool root;
};

struct iam_config {
    struct meta *meta;                           /* borrowed */
    struct str root_access_key, root_secret_key; /* copied */
};
int FIBER iam_open(struct iam **ret, const struct iam_config *config);
void FIBER iam_close(struct iam *iam);

/*
 * The identity and secret of an access key; strings in `a`. Thread-safe, never suspends.
 * -ERR_INVALID_ACCESS_KEY.
 */
int iam_lookup(struct iam *iam, struct arena *a, struct str access_key,
               struct iam_identity *ret_identity, struct str *ret_secret);
/* The display name of a user id, or the id itself. */
struct str iam_display_name(struct iam *iam, struct arena *a, struct str user_id);

/* An S3 action on a bucket: "s3:GetObject" and the like, as the operation table names them. */
struct iam_access {
    const struct iam_identity *who; /* NULL: anonymous */
    struct str action;
    struct str bucket, key;  /* empty where the action has none */
    struct str bucket_owner; /* empty: no such bucket, or none involved */
};
/* 0 or -ERR_ACCESS_DENIED. The only place where a right is decided. */
int iam_authorise(struct iam *iam, const struct iam_access *r);

struct iam_user {
    struct str name, user_id, access_key, email, display_name;
    uint64_t created_ms;
};
struct iam_user_spec {
    struct str name, access_key, secret_key;
    struct str user_id, email, display_name; /* empty: made up (id), or the name */
};
/* -ERR_EXISTS (name, id or key taken), -EINVAL (limits: key 3 to 128, secret 8 to 128 bytes). */
int FIBER iam_user_add(struct iam *iam, struct arena *a, const struct iam_user_spec *spec,
                       struct iam_user *ret);
/* In name order. */
int iam_user_list(struct iam *iam, struct arena *a, struct iam_user **ret, size_t *ret_count);
/* -ERR_NOT_FOUND; -ERR_BUCKET_NOT_EMPTY while the user owns a bucket is the caller's to test. */
int FIBER iam_user_remove(struct iam *iam, struct str name);
