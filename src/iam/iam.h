/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Users and access keys, and the right of a request.
 *
 * Every user belongs to an account. An account is what owns buckets; its id is the user id of the
 * user that is its root, who may do everything there. A user is an account of its own unless it was
 * made a member of another: a member has the rights its policies and groups give it, and no others.
 * The server's root is root of every account; its own account is "root".
 *
 * Keys are served from memory (all of them: a user is small), the metadata is the authority.
 * Secrets never leave through a list or a log.
 */

#include "base/arena.h"
#include "iam/policy_decide.h"
#include "meta/meta.h"

#define IAM_USERS_MAX         100000
#define IAM_USER_POLICIES_MAX 20 /* attached to one user, or to one group */
#define IAM_USER_GROUPS_MAX   16

struct iam;

/* The policies of a user and of its groups, as they are at one moment. */
struct iam_grants;

struct iam_identity {
    struct str user_id; /* canonical id */
    struct str display_name;
    struct str access_key;
    struct str name;
    struct str account;              /* what owns the buckets it makes */
    struct str arn, alias_arn;       /* arn:aws:iam::ACCOUNT:user/NAME, arn:aws:iam:::user/NAME */
    bool root;                       /* the server's */
    const struct iam_grants *grants; /* NULL: none; iam_identity_release() */
};
/* Gives back what iam_lookup() took. Accepts a zeroed one. */
void iam_identity_release(struct iam_identity *who);

struct iam_config {
    struct meta *meta;                           /* borrowed */
    struct str root_access_key, root_secret_key; /* copied */
};
int FIBER iam_open(struct iam **ret, const struct iam_config *config);
void FIBER iam_close(struct iam *iam);

/*
 * The identity and secret of an access key; strings in `a`. Thread-safe, never suspends.
 * -ERR_INVALID_ACCESS_KEY. Release the identity.
 */
int iam_lookup(struct iam *iam, struct arena *a, struct str access_key,
               struct iam_identity *ret_identity, struct str *ret_secret);
/* The display name of a user id, or the id itself. */
struct str iam_display_name(struct iam *iam, struct arena *a, struct str user_id);

/* Whether there is an account of that id: what ACLs grant to. */
bool iam_account_exists(struct iam *iam, struct str account);
/* The account whose root has that e-mail address, whatever its case, in `a`: -ERR_NOT_FOUND;
 * -ERR_EXISTS: several have it. Walks all users. */
int iam_account_of_email(struct iam *iam, struct arena *a, struct str email, struct str *ret);

/* An action on a bucket, an object or nothing: "s3:GetObject" and the like. */
struct iam_access {
    const struct iam_identity *who; /* NULL: anonymous */
    struct str action;
    struct str bucket, key;  /* empty where the action has none */
    struct str bucket_owner; /* an account; empty: no such bucket, or none involved */
    struct str object_owner; /* an account, when another than the bucket's owns the key */
    const struct policy *bucket_policy; /* NULL: none */
    enum iam_acl_grant acl;
    unsigned block;          /* IAM_IGNORE_... */
    iam_context_fn *context; /* NULL: no values but iam's own */
    void *context_arg;
};
/*
 * 0 or -ERR_ACCESS_DENIED, or what the context failed with. The only place where a right is
 * decided. *ret_why (may be NULL) is filled whenever there was a decision; its strings live as long
 * as identity and bucket policy.
 */
int iam_authorise(struct iam *iam, const struct iam_access *r, struct iam_decision *ret_why);

struct iam_user {
    struct str name, user_id, access_key, email, display_name;
    struct str account; /* its own user id, or whose member it is */
    uint64_t created_ms;
    const struct str *policies, *groups; /* names */
    size_t policy_count, group_count;
};
struct iam_user_spec {
    struct str name, access_key, secret_key;
    struct str user_id, email, display_name; /* empty: made up (id), or the name */
    struct str account;                      /* empty: its own */
};
/* -ERR_EXISTS (name, id or key taken), -EINVAL (limits: key 3 to 128, secret 8 to 128 bytes),
 * -ERR_NOT_FOUND (the account is nobody's). */
int FIBER iam_user_add(struct iam *iam, struct arena *a, const struct iam_user_spec *spec,
                       struct iam_user *ret);
/* In name order. */
int iam_user_list(struct iam *iam, struct arena *a, struct iam_user **ret, size_t *ret_count);
/* The user of that name, strings in `a`: -ERR_NOT_FOUND. */
int iam_user_get(struct iam *iam, struct arena *a, struct str name, struct iam_user *ret);
/* Who a user's requests come from: release it. -ERR_NOT_FOUND. */
int iam_user_identity(struct iam *iam, struct arena *a, struct str name, struct iam_identity *ret);
/* -ERR_NOT_FOUND; -ERR_CONFLICT while its account has members. -ERR_BUCKET_NOT_EMPTY while the user
 * owns a bucket is the caller's to test. */
int FIBER iam_user_remove(struct iam *iam, struct str name);
