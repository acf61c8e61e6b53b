/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Tags of an object that is there, put in the place of those it has.
 */

#include "s3/internal.h"
#include "s3/tags.h"

struct s3_new_tags {
    struct s3_request *q; /* whose bucket it is in */
    const struct s3_tags *tags;
};
/* A store_attrs_fn over a struct s3_new_tags. Another class of data may lock the version for
 * longer, from when it was written: -ERR_CORRUPT when the bucket's rules cannot be read. */
int s3_tags_replace(const struct store_object *o, struct store_attrs *attrs, void *arg);
