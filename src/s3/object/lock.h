/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Object lock (S3 User Guide, "Using S3 Object Lock"): what writes bring of it, and what is told.
 */

#include "s3/context.h"

/*
 * The lock of a version to be written: the x-amz-object-lock-* headers, each with its own right, or
 * the bucket's default retention. -ERR_INVALID_REQUEST where the bucket has no object lock.
 */
int s3_lock_read(struct s3_request *q, struct store_lock *ret);
/* The default alone, for an object that no request writes. -ERR_CORRUPT: it cannot be read. */
int s3_lock_default(struct s3_request *q, struct store_lock *ret);
/*
 * Strengthens the lock of a version written at `from_ms` (0: now) as the bucket's rule for the
 * class of data that its tags name asks for (lifecycle/retention.h). -ERR_CORRUPT: the rules cannot
 * be read.
 */
int s3_lock_by_class(struct s3_request *q, struct store_attrs *attrs, uint64_t from_ms);
/* x-amz-bucket-object-lock-enabled of CreateBucket, with the right to it. */
int s3_lock_of_new_bucket(struct s3_request *q, bool *ret);
/* Asked for by x-amz-bypass-governance-retention, and given to whoever has the right; others'
 * request goes on without. */
bool FIBER s3_may_bypass(struct s3_context *c);
/* x-amz-object-lock-*, as far as the caller may know. */
void FIBER s3_lock_headers(struct s3_request *q, const struct store_object *o);
