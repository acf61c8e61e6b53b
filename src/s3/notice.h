/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Whom a request's write is told to: what a handler puts into store_conditions.notice.
 */

#include "events/notice.h"
#include "s3/internal.h"

/* *ret NULL: nobody; it lives as long as the request. What the store does is called as `names`
 * say. */
int s3_notice(struct s3_request *q, struct event_names names, struct store_notice **ret);
