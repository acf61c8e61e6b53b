/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * One line of the audit log. Pure.
 *
 *   {"time":"...","operation":"...", ... ,"seq":N,"prev":"HEX","hash":"HEX"}
 *
 * `hash` is the SHA-256 of all bytes of the line before `,"hash"`; `prev` is the hash of the line
 * before, zeros in the first of all. So the chain can be checked with nothing but this sentence.
 */

#include "audit/audit.h"

#define AUDIT_HASH_LEN 64 /* hexadecimal digits */

/* What does not hang on the place in the chain: all up to `"seq"`. */
void audit_line_body(struct buf *b, const struct audit_record *r, uint64_t time_ms);
/* The rest of a line that begins at `start`, and its end; `hash` is that of the line before, and
 * becomes this one's. */
void audit_line_seal(struct buf *b, size_t start, uint64_t seq, char hash[AUDIT_HASH_LEN]);

struct audit_link {
    uint64_t seq;
    char prev[AUDIT_HASH_LEN], hash[AUDIT_HASH_LEN];
    bool intact; /* the hash is that of the line */
};
/* The line without its end; false: it is none. */
bool audit_line_link(struct str line, struct audit_link *ret);
