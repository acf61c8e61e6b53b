/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A bucket's policy, compiled once for all requests that see the same settings of the bucket, and
 * its public access block (S3 User Guide, "Blocking public access to your Amazon S3 storage").
 */

#include "iam/policy.h"
#include "store/store.h"

/*
 * *ret lives as long as the bucket's settings are held; NULL: it has none. A document that does not
 * compile (any more) stands for one that denies everything: its owner can still replace it.
 * -ENOMEM.
 */
int iam_bucket_policy(const struct store_bucket *bucket, const struct policy **ret);

/* Whether the bucket's public access block has this switch on: "BlockPublicAcls". */
bool iam_bucket_blocks(const struct store_bucket *bucket, const char *name);
/* What of it a decision goes by: IAM_IGNORE_PUBLIC_ACLS, IAM_RESTRICT_PUBLIC_BUCKETS. */
unsigned iam_bucket_block(const struct store_bucket *bucket);
