/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What one account may have of the store's tables, so that none fills them for all. The server's
 * own account is the operator's and has the whole. The numbers are those of IAM ("IAM and AWS STS
 * quotas" in the IAM User Guide), but for keys and inline policies, of which there are no such.
 */

#include "base/str.h"

/* X(NAME, most) */
#define IAM_SHARES(X) \
    X(USERS, 5000)    \
    X(GROUPS, 500)    \
    X(ROLES, 5000)    \
    X(POLICIES, 5000) \
    X(INLINE, 10000)  \
    X(KEYS, 20000)    \
    X(PROVIDERS, 100)
#define IAM_SHARE_ID_(name, most) IAM_SHARE_##name,
enum iam_share { IAM_SHARES(IAM_SHARE_ID_) IAM_SHARE_COUNT };

/* The most of it that an account may have; of the server's own: the store's limit. */
size_t iam_share_of(struct str account, enum iam_share what);
