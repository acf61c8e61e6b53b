/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * JSON text written into a buffer, for lines that are made often; what is read, and what has a
 * shape of its own, goes through jansson. That parser recurses, and a fiber's stack is small: text
 * from outside comes in by json_read() alone.
 */

#include <jansson.h>
#include "base/buf.h"

#define JSON_DEPTH_MAX 16

/* No bracket is inside more than `most` others, itself counted. Of text that is no JSON, anything.
 */
bool json_is_shallow(struct str text, unsigned most);
/* The caller's reference. NULL: no JSON, a member named twice, nested deeper than JSON_DEPTH_MAX,
 * or no memory. */
json_t *json_read(struct str text);

/* "text", escaped (RFC 8259 7); bytes that are no UTF-8, and NUL, become U+FFFD. */
void json_put_string(struct buf *b, struct str s);
/* "name":"value" */
void json_put_member(struct buf *b, const char *name, struct str value);
