/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A region of memory that is freed whole. A request owns one; what is made while it is served is
 * taken from it and nothing is freed singly.
 *
 * Invariants: what arena_alloc returned stays put until arena_release or arena_reset; the bytes
 * held never exceed `limit_bytes` (an allocation that would is refused with NULL).
 *
 * Not thread-safe; one owner.
 */

#include <stdarg.h>
#include "base/str.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    char *cur, *end;            /* free space in the newest block */
    size_t held_bytes;          /* of all blocks */
    size_t limit_bytes;
};

/* Allocates nothing yet. `limit_bytes` 0 means ARENA_LIMIT_DEFAULT. */
#define ARENA_LIMIT_DEFAULT (16 * MIB)
void arena_init(struct arena *a, size_t limit_bytes);
/* Frees everything; the arena may be initialised again. Accepts a zeroed arena. */
void arena_release(struct arena *a);
/* Forgets everything but keeps one block for the next user. */
void arena_reset(struct arena *a);

/* Aligned for any type; uninitialised. NULL when out of memory or over the limit. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_zalloc(struct arena *a, size_t size);
/* A copy with a NUL after it (not counted in len). ptr NULL on failure. */
struct str arena_dup(struct arena *a, struct str s);
/* The same, its letters in lower case (char_lower). */
struct str arena_lower(struct arena *a, struct str s);
char *arena_cstr(struct arena *a, struct str s);
/* ptr NULL on failure. */
struct str arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct str arena_vprintf(struct arena *a, const char *fmt, va_list ap);

#define arena_new(a, type)          ((type *)arena_zalloc((a), sizeof(type)))
#define arena_array(a, type, count) ((type *)arena_calloc_((a), sizeof(type), (count)))
void *arena_calloc_(struct arena *a, size_t size, size_t count);
