/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Archived objects at the door.
 */

#include "s3/internal.h"

/* Before its bytes are read: -ERR_ARCHIVED unless they may be. */
int s3_check_readable(struct s3_request *q, const struct store_object *o);
/* x-amz-restore, of an object that is, or is being, restored. */
void s3_restore_header(struct s3_request *q, const struct store_object *o);
/* x-amz-optional-object-attributes of a listing: whether it asks for RestoreStatus, the only one
 * there is. -ERR_INVALID_ARGUMENT: it names something else. */
int s3_restore_wanted(struct s3_request *q, bool *ret);
/* <RestoreStatus>, of the same objects. */
void s3_restore_xml(struct s3_request *q, struct buf *b, const struct store_object *o);
