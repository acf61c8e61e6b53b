/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Roles: rights that nobody has by themselves. A role's trust policy says who may take them on for
 * a while (sessions.h), its policies say what they are. All are in memory, as the rows "Irole name"
 * of the system space say.
 */

#include "iam/iam.h"

#define IAM_ROLES_MAX             10000
#define IAM_SESSION_MIN_S         900
#define IAM_ROLE_SESSION_S        3600 /* unless the role says otherwise */
#define IAM_ROLE_SESSION_MAX_S    43200
#define IAM_CHAINED_SESSION_MAX_S 3600 /* of a session that was asked for by another */

struct iam_role {
    struct str name; /* the store's */
    struct str id, path, account, description, trust, boundary, arn;
    const struct str *policies;
    size_t policy_count;
    uint64_t created_ms;
    uint32_t max_session_s;
    struct iam_tags tags;
};

/* `role`: name inside the account, account, path, description, trust, boundary, max_session_s and
 * tags count. -EINVAL, -ERR_EXISTS, -ERR_LIMIT, -ERR_NOT_FOUND (the boundary);
 * -ERR_MALFORMED_POLICY with *ret_fault. */
int FIBER iam_role_add(struct iam *iam, struct arena *a, const struct iam_role *role,
                       struct iam_role *ret, struct policy_fault *ret_fault);
/* Of that account, whatever the letters' case. Strings in `a`. -ERR_NOT_FOUND. */
int iam_role_find(struct iam *iam, struct arena *a, struct str account, struct str name,
                  struct iam_role *ret);
/* By "arn:aws:iam::ACCOUNT:role/…". */
int iam_role_by_arn(struct iam *iam, struct arena *a, struct str arn, struct iam_role *ret);
/* Those of an account (ptr NULL: all), by name. */
int iam_role_list(struct iam *iam, struct arena *a, struct str account, struct iam_role **ret,
                  size_t *ret_count);
#define IAM_ROLE_DESCRIPTION 1u
#define IAM_ROLE_TRUST       2u
#define IAM_ROLE_BOUNDARY    4u
#define IAM_ROLE_MAX_SESSION 8u
/* Takes over `what` (IAM_ROLE_...) of `role`. -ERR_NOT_FOUND (also: the boundary),
 * -ERR_MALFORMED_POLICY. */
int FIBER iam_role_update(struct iam *iam, const struct iam_role *role, unsigned what,
                          struct policy_fault *ret_fault);
/* As iam_user_tag(). */
int FIBER iam_role_tag(struct iam *iam, struct arena *a, struct str name,
                       const struct iam_tag_change *c);
/* -ERR_NOT_FOUND. Its inline policies go with it, its sessions end. */
int FIBER iam_role_remove(struct iam *iam, struct str name);
