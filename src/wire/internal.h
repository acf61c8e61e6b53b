/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Private to the room: the byte-wise halves of percent-encoding, which the canonical request uses
 * without going through decoded text.
 */

#include "base/defs.h"

/* The byte at *p, decoded, and past it; *p < end. -ERR_INVALID_URI on a bad escape. */
int uri_next_byte(const char **p, const char *end);
/* Writes at most three bytes; returns past them. */
char *uri_put_byte(char *to, uint8_t byte, bool keep_slash);
