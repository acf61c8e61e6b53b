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

#define IAM_POLICIES_MAX        100000 /* inline ones, too */
#define IAM_GROUPS_MAX          10000
#define IAM_POLICY_VERSIONS_MAX 5

struct iam_policy_version {
    uint32_t number;
    struct str document;
    uint64_t created_ms;
};
struct iam_policy_info {
    struct str name, document; /* of the version in force */
    struct str path, id, description;
    uint64_t created_ms, changed_ms; /* 0: built in */
    bool builtin;
    uint32_t version, next;                    /* in force; of the next that is added */
    const struct iam_policy_version *versions; /* the others */
    size_t version_count;
};
/* A new one: name, document, path and description count. -ERR_EXISTS; else as iam_policy_put. */
int FIBER iam_policy_create(struct iam *iam, struct arena *a, const struct iam_policy_info *spec,
                            struct iam_policy_info *ret, struct policy_fault *ret_fault);
/* Another version, in force at once if asked. -ERR_NOT_FOUND, -ERR_CONFLICT (built in), -ERR_LIMIT;
 * as iam_policy_put. */
int FIBER iam_policy_add_version(struct iam *iam, struct str name, struct str document,
                                 bool in_force, uint32_t *ret_number,
                                 struct policy_fault *ret_fault);
/* -ERR_NOT_FOUND (either), -ERR_CONFLICT (built in; to be removed and in force). */
int FIBER iam_policy_use_version(struct iam *iam, struct str name, uint32_t number);
int FIBER iam_policy_drop_version(struct iam *iam, struct str name, uint32_t number);
/* To how many users, groups and roles it is attached, and how many it bounds. */
size_t iam_policy_uses(struct iam *iam, struct str name, size_t *ret_bounded);
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
    struct str name, id, path;
    uint64_t created_ms;
    const struct str *policies, *members; /* names */
    size_t policy_count, member_count;
};
/* Of that account, whatever the letters' case. -ERR_NOT_FOUND. Strings in `a`. */
int iam_group_find(struct iam *iam, struct arena *a, struct str account, struct str name,
                   struct iam_group_info *ret);
/* With a path; as iam_group_add. */
int FIBER iam_group_create(struct iam *iam, struct arena *a, struct str account, struct str name,
                           struct str path, struct iam_group_info *ret);
/* Another name inside its account, another path; empty: as it is. -ERR_NOT_FOUND, -ERR_EXISTS,
 * -EINVAL; -ERR_LIMIT: more members than can be changed at once. */
int FIBER iam_group_rename(struct iam *iam, struct arena *a, struct str account, struct str name,
                           struct str new_name, struct str new_path);
/* -EINVAL (name), -ERR_EXISTS, -ERR_LIMIT. */
int FIBER iam_group_add(struct iam *iam, struct str name);
/* -ERR_NOT_FOUND; -ERR_CONFLICT while somebody is in it. */
int FIBER iam_group_remove(struct iam *iam, struct str name);
/* In name order. With their members it walks all users for each group: not for everybody. */
int iam_group_list(struct iam *iam, struct arena *a, bool members, struct iam_group_info **ret,
                   size_t *ret_count);
/* Puts a user in, or takes it out; what is so already is no error. -ERR_NOT_FOUND (either),
 * -ERR_LIMIT. */
int FIBER iam_group_member(struct iam *iam, struct str group, struct str user, bool in);

enum iam_holder { IAM_HOLDER_USER, IAM_HOLDER_GROUP, IAM_HOLDER_ROLE };
/* To or from a user, group or role, by the store's names: 0, or 1 when it was so already.
 * -ERR_NOT_FOUND (either), -ERR_LIMIT. */
int FIBER iam_attach(struct iam *iam, enum iam_holder kind, struct str holder, struct str policy,
                     bool attach);

/*
 * Inline policies belong to one holder. Put adds or replaces: -ERR_NOT_FOUND (the holder; of get
 * and remove also the policy), -EINVAL (a name that is none), -ERR_MALFORMED_POLICY with
 * *ret_fault, -ERR_LIMIT.
 */
int FIBER iam_inline_put(struct iam *iam, enum iam_holder kind, struct str holder, struct str name,
                         struct str document, struct policy_fault *ret_fault);
int iam_inline_get(struct iam *iam, struct arena *a, enum iam_holder kind, struct str holder,
                   struct str name, struct str *ret_document);
int FIBER iam_inline_remove(struct iam *iam, enum iam_holder kind, struct str holder,
                            struct str name);
/* The names of a holder's policies, in order: the inline ones as it knows them, or the others.
 * -ERR_NOT_FOUND. */
int iam_holder_policies(struct iam *iam, struct arena *a, enum iam_holder kind, struct str holder,
                        bool inlined, struct str **ret, size_t *ret_count);

static inline int FIBER iam_attach_to_user(struct iam *iam, struct str user, struct str policy,
                                           bool attach)
{
    int r = iam_attach(iam, IAM_HOLDER_USER, user, policy, attach);
    return r > 0 ? 0 : r;
}
static inline int FIBER iam_attach_to_group(struct iam *iam, struct str group, struct str policy,
                                            bool attach)
{
    int r = iam_attach(iam, IAM_HOLDER_GROUP, group, policy, attach);
    return r > 0 ? 0 : r;
}
