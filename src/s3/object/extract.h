/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * PutObject of an archive that is to be unpacked.
 */

#include "s3/internal.h"

/* Whether the request asks for it. */
bool s3_is_extract(struct s3_request *q);
/* Instead of putting the object: what it holds becomes objects. */
int FIBER s3_put_extract(struct s3_request *q);
