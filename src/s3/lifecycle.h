/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What answers tell of the lifecycle rules of the request's bucket; nothing where none fits.
 */

#include "s3/internal.h"

/* x-amz-expiration of the request's key: its current object, of which time, length and tags count.
 */
void s3_set_expiration(struct s3_request *q, const struct store_object *o);
/* x-amz-abort-date and x-amz-abort-rule-id of an upload of the request's key. */
void s3_set_abort(struct s3_request *q, uint64_t created_ms);
