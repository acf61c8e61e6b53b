/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * JSON text written into a buffer, for lines that are made often; what is read, and what has a
 * shape of its own, goes through jansson.
 */

#include "base/buf.h"

/* "text", escaped (RFC 8259 7); bytes that are no UTF-8, and NUL, become U+FFFD. */
void json_put_string(struct buf *b, struct str s);
/* "name":"value" */
void json_put_member(struct buf *b, const char *name, struct str value);
