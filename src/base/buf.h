/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A growing buffer of bytes with a limit. A failed append (out of memory, over the limit) marks
 * the buffer failed and later appends do nothing, so a writer checks once, at the end.
 *
 * Invariant: data[len] is NUL whenever data is not NULL.
 */

#include <stdarg.h>
#include "base/str.h"

struct buf {
    char *data;
    size_t len, cap;
    size_t limit_bytes; /* len never exceeds it */
    bool failed;
};

#define BUF_LIMIT_DEFAULT (64 * MIB)

/* Allocates nothing yet. `limit_bytes` 0 means BUF_LIMIT_DEFAULT. */
void buf_init(struct buf *b, size_t limit_bytes);
void buf_release(struct buf *b);
/* Empty again and not failed; keeps the memory. */
void buf_reset(struct buf *b);

void buf_put(struct buf *b, const void *bytes, size_t len);
void buf_put_str(struct buf *b, struct str s);
void buf_put_cstr(struct buf *b, const char *nul_terminated);
void buf_put_char(struct buf *b, char c);
void buf_put_u64(struct buf *b, uint64_t v); /* decimal */
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap);
/* Room for `len` more bytes, to be filled and then added to b->len. NULL on failure. */
char *buf_reserve(struct buf *b, size_t len);
/* Drops the first `len` bytes. */
void buf_consume(struct buf *b, size_t len);

/* 0, or -ENOMEM when any append failed. */
int buf_error(const struct buf *b);
/* Borrowed until the next change. */
static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->data, b->len};
}
#define _cleanup_buf_ _cleanup_(buf_release)
