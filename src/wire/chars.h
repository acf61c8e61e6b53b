/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Private to the room: which bytes may stand where, and scans for the first one that may not.
 * The scans never read at or beyond `end`.
 */

#include "base/defs.h"
#if defined(__SSE2__)
#    include <emmintrin.h>
#endif

enum {
    CHAR_TOKEN = 1,  /* tchar, RFC 9110 5.6.2 */
    CHAR_TARGET = 2, /* visible ASCII but `#`, and bytes from 0x80: raw UTF-8 is sent in the wild */
    CHAR_FIELD = 4,  /* field values: visible ASCII, space, tab, bytes from 0x80 */
    CHAR_HOST = 8,   /* reg-name, RFC 3986 3.2.2 */
    CHAR_PLAIN = 16, /* unreserved, RFC 3986 2.3: what is never percent-encoded */
    CHAR_HEX = 32,
};

extern const uint8_t wire_chars[256];

static inline bool char_is(char c, unsigned classes)
{
    return wire_chars[(uint8_t)c] & classes;
}

/* The value of a hex digit, or -1. */
static inline int char_hex(char c)
{
    if (!char_is(c, CHAR_HEX))
        return -1;
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* The first byte outside `classes`. */
static inline const char *scan_class(const char *p, const char *end, unsigned classes)
{
    while (p < end && char_is(*p, classes))
        p++;
    return p;
}

#if defined(__SSE2__)
/* A bit for each of 16 bytes that is at most `top` or is DEL or `other`. */
static inline unsigned scan_mask(const char *p, char top, char other)
{
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(top)), v);
    __m128i del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));
    __m128i oth = _mm_cmpeq_epi8(v, _mm_set1_epi8(other));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(low, del), oth));
}
#endif

/* The first byte that cannot stand in a request target. */
static inline const char *scan_target(const char *p, const char *end)
{
#if defined(__SSE2__)
    for (; end - p >= 16; p += 16) {
        unsigned mask = scan_mask(p, 0x20, '#');
        if (mask)
            return p + __builtin_ctz(mask);
    }
#endif
    return scan_class(p, end, CHAR_TARGET);
}

/* The first byte that cannot stand in a field value. */
static inline const char *scan_field(const char *p, const char *end)
{
#if defined(__SSE2__)
    while (end - p >= 16) {
        unsigned mask = scan_mask(p, 0x1f, 0x7f);
        if (!mask) {
            p += 16;
            continue;
        }
        p += __builtin_ctz(mask);
        if (*p != '\t')
            return p;
        p++;
    }
#endif
    return scan_class(p, end, CHAR_FIELD);
}

/* The first space or tab of a field value that was parsed. */
static inline const char *scan_blank(const char *p, const char *end)
{
#if defined(__SSE2__)
    for (; end - p >= 16; p += 16) {
        unsigned mask = scan_mask(p, 0x20, 0x7f);
        if (mask)
            return p + __builtin_ctz(mask);
    }
#endif
    while (p < end && (uint8_t)*p > 0x20)
        p++;
    return p;
}
