/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A borrowed run of bytes. It owns nothing, need not end in NUL and may hold any byte; keys,
 * headers and bodies all travel as `struct str`. Whoever hands one out says how long it lives.
 */

#include "base/defs.h"
#include <errno.h>

struct str {
    const char *ptr; /* may be NULL when len is 0 */
    size_t len;
};

#define STR(lit) ((struct str){"" lit, sizeof(lit) - 1})
#define STR_NULL ((struct str){NULL, 0})
/* For printf("%.*s", STR_FMT(s)). */
#define STR_FMT(s) (int)(s).len, (s).ptr

static inline struct str str_from(const char *nul_terminated)
{
    return (struct str){nul_terminated, nul_terminated ? strlen(nul_terminated) : 0};
}
static inline struct str str_make(const void *ptr, size_t len)
{
    return (struct str){ptr, len};
}
static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}
static inline bool str_ends(struct str s, struct str suffix)
{
    return s.len >= suffix.len &&
           (suffix.len == 0 || memcmp(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len) == 0);
}
/* The tail from `off`, which is clamped to the length. */
static inline struct str str_from_offset(struct str s, size_t off)
{
    off = off < s.len ? off : s.len;
    return (struct str){s.len ? s.ptr + off : s.ptr, s.len - off};
}
static inline struct str str_prefix(struct str s, size_t len)
{
    return (struct str){s.ptr, len < s.len ? len : s.len};
}

/* Of ASCII; any other byte is itself. */
static inline char char_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Bytewise order, shorter first on a tie: the order of S3 listings and of every key space. */
int str_cmp(struct str a, struct str b);
/* ASCII letters compare without case; for header names, never for keys. */
bool str_eq_nocase(struct str a, struct str b);
bool str_starts_nocase(struct str s, struct str prefix);
/* Equal, in time that depends on the lengths only. For every secret. */
bool str_eq_secret(struct str a, struct str b);
/* Index of the first `c` at or after `from`, or -1. */
ptrdiff_t str_find_char(struct str s, char c, size_t from);
/* Index of the first `needle` at or after `from`, or -1. An empty needle is found at `from`. */
ptrdiff_t str_find(struct str s, struct str needle, size_t from);
/* Without leading and trailing spaces and tabs. */
struct str str_trim(struct str s);
/*
 * Cuts the text before the first `sep` off `*rest` into `*ret_head`. Returns false, touching
 * nothing, once `*rest` has been used up (rest->ptr == NULL then).
 */
bool str_cut(struct str *rest, char sep, struct str *ret_head);
/* Decimal digits only, no sign, no space, no overflow: 0 or -EINVAL. */
int str_to_u64(struct str s, uint64_t *ret);
/* A valid UTF-8 sequence (RFC 3629: no surrogates, no overlong form). */
bool str_is_utf8(struct str s);
/* Graphic ASCII but for those: what may stand in an Authorization header, a log line and a file. */
bool str_is_graphic(struct str s, const char *forbidden);
