/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A bucket's policy, compiled once for all requests that see the same settings of the bucket.
 */

#include "iam/policy.h"
#include "store/store.h"

/*
 * *ret lives as long as the bucket's settings are held; NULL: it has none. A document that does not
 * compile (any more) stands for one that denies everything: its owner can still replace it.
 * -ENOMEM.
 */
int iam_bucket_policy(const struct store_bucket *bucket, const struct policy **ret);
