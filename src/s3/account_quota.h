/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * How much an account may hold in all its buckets. A write is one transaction on one bucket, so the
 * sum cannot be tested in it: what the account's other buckets hold is looked up at most once a
 * second, and what is left of the limit becomes the quota of the bucket that is written to, which
 * is held in the transaction. So one bucket never passes the limit; several that are filled at once
 * pass it at most by what they were given in that second.
 */

#include "iam/iam.h"
#include "store/store.h"

#define ACCOUNT_QUOTA_AGE_NS (1 * RT_S)
#define ACCOUNT_QUOTAS_MAX   10000 /* accounts whose sum is kept; then all are forgotten */

struct account_quotas;

struct account_quotas *account_quotas_new(void); /* NULL: out of memory */
void account_quotas_free(struct account_quotas *q);
/*
 * Narrows `quota`, the bucket's own, to what its account's limits leave. For accounts without
 * limits nothing is read.
 */
int FIBER account_quota_apply(struct account_quotas *q, struct store *store, struct iam *iam,
                              const struct store_bucket *b, struct store_quota *quota);
