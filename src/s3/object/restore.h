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
