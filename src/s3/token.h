/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Continuation tokens: where a listing goes on, opaque to the client. A token holds the name it
 * resumes after and a check over that and the bucket, so a mangled one, or another bucket's, is
 * refused rather than resumed somewhere else. It is no secret: who may list may start anywhere.
 */

#include "base/arena.h"
#include "base/ids.h"

/* Text of [A-Za-z0-9_-]; ptr NULL when out of memory. */
struct str s3_token_make(struct arena *a, struct bucket_id bucket, struct str after);
/* 0, -EINVAL or -ENOMEM. */
int s3_token_parse(struct arena *a, struct bucket_id bucket, struct str token, struct str *ret);
