/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Policies that can be attached to users and groups, and groups. All of them are in memory, as the
 * rows "Ipolicy name" and "Igroup name" of the system space say; who is in a group, and what is
 * attached to a user, stands in the user's row.
 *
 * Five policies are built in, with the names and meanings MinIO gave them: readonly, writeonly,
 * readwrite, diagnostics, consoleAdmin. They cannot be changed or removed.
 *
 * A change holds for every request that begins after it returned.
 */

#include "iam/iam.h"

#define IAM_POLICIES_MAX 10000
#define IAM_GROUPS_MAX   10000

struct iam_policy_info {
    struct str name, document;
    uint64_t changed_ms; /* 0: built in */
    bool builtin;
};
/* Adds or replaces. -ERR_MALFORMED_POLICY with *ret_fault; -EINVAL (name); -ERR_CONFLICT (built
 * in); -ERR_LIMIT. */
int FIBER iam_policy_put(struct iam *iam, struct str name, struct str document,
                         struct policy_fault *ret_fault);
/* -ERR_NOT_FOUND; -ERR_CONFLICT: built in, or attached to somebody. */
int FIBER iam_policy_remove(struct iam *iam, struct str name);
/* -ERR_NOT_FOUND. Strings in `a`. */
int iam_policy_get(struct iam *iam, struct arena *a, struct str name, struct iam_policy_info *ret);
/* In name order. */
int iam_policy_list(struct iam *iam, struct arena *a, struct iam_policy_info **ret,
                    size_t *ret_count);

struct iam_group_info {
    struct str name;
    uint64_t created_ms;
    const struct str *policies, *members; /* names */
    size_t policy_count, member_count;
};
/* -EINVAL (name), -ERR_EXISTS, -ERR_LIMIT. */
int FIBER iam_group_add(struct iam *iam, struct str name);
/* -ERR_NOT_FOUND; -ERR_CONFLICT while somebody is in it. */
int FIBER iam_group_remove(struct iam *iam, struct str name);
int iam_group_list(struct iam *iam, struct arena *a, struct iam_group_info **ret,
                   size_t *ret_count);
/* Puts a user in, or takes it out; what is so already is no error. -ERR_NOT_FOUND (either),
 * -ERR_LIMIT. */
int FIBER iam_group_member(struct iam *iam, struct str group, struct str user, bool in);

/* To or from a user or a group; what is so already is no error. -ERR_NOT_FOUND (either),
 * -ERR_LIMIT. */
int FIBER iam_attach_to_user(struct iam *iam, struct str user, struct str policy, bool attach);
int FIBER iam_attach_to_group(struct iam *iam, struct str group, struct str policy, bool attach);
