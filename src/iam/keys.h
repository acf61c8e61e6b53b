/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Access keys. A user has several, each active or not; a service account is a key whose rights are
 * those of its user inside a policy of its own, which must allow, too. Keys go with their user.
 *
 * A secret is told once, by what makes the key.
 */

#include "iam/iam.h"

#define IAM_KEY_POLICY_MAX POLICY_DOCUMENT_MAX

struct iam_access_key {
    struct str id;
    struct str policy;               /* a service account's document; empty: all its user may do */
    struct str name, description;    /* may be empty */
    uint64_t created_ms, expires_ms; /* 0: never */
    bool inactive, service;
};
struct iam_access_key_spec {
    struct str id, secret; /* both empty: made up */
    struct str policy, name, description;
    uint64_t expires_ms;
    bool service, inactive;
};

/* `user` is the store's name for it, "root" too for service accounts. -ERR_NOT_FOUND, -ERR_EXISTS,
 * -EINVAL, -ERR_LIMIT; -ERR_MALFORMED_POLICY with *ret_fault. Strings in `a`. */
int FIBER iam_access_key_add(struct iam *iam, struct arena *a, struct str user,
                             const struct iam_access_key_spec *spec, struct iam_access_key *ret,
                             struct str *ret_secret, struct policy_fault *ret_fault);
enum iam_put { IAM_PUT_SAME, IAM_PUT_ADDED, IAM_PUT_CHANGED };
/*
 * A key with an id and a secret, made, or made as the spec says where the user has it already.
 * `dry`: only told what would be done. As iam_access_key_add; -ERR_EXISTS: another user has it.
 */
int FIBER iam_access_key_put(struct iam *iam, struct str user,
                             const struct iam_access_key_spec *spec, bool dry, enum iam_put *ret,
                             struct policy_fault *ret_fault);
/* -ERR_NOT_FOUND: that user has no such key. */
int FIBER iam_access_key_set_active(struct iam *iam, struct str user, struct str id, bool active);
int FIBER iam_access_key_remove(struct iam *iam, struct str user, struct str id);
/* In the order they were made. -ERR_NOT_FOUND. */
int iam_access_key_list(struct iam *iam, struct arena *a, struct str user,
                        struct iam_access_key **ret, size_t *ret_count);
/* Whose it is: the store's name of the user, and the key. -ERR_NOT_FOUND. */
int iam_access_key_find(struct iam *iam, struct arena *a, struct str id, struct str *ret_user,
                        struct iam_access_key *ret);
