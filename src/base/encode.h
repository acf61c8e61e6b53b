/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Text forms of bytes and ordered forms of numbers.
 */

#include "base/buf.h"

/* Lower-case hex; `ret` holds 2 * len bytes and gets no NUL. */
void hex_encode(const void *data, size_t len, char *ret);
/* Either case; 0 or -EINVAL unless text.len == 2 * len. */
int hex_decode(struct str text, void *ret, size_t len);

/* RFC 4648 with padding. `ret` holds BASE64_LEN(len) bytes and gets no NUL. */
#define BASE64_LEN(n) (((n) + 2) / 3 * 4)
size_t base64_encode(const void *data, size_t len, char *ret);
/* Strict: padding required, no space, canonical last bits. 0 or -EINVAL; *ret_len <= cap. */
int base64_decode(struct str text, void *ret, size_t cap, size_t *ret_len);

/* Fixed-width big-endian numbers: the byte order is the numeric order. */
static inline void put_be64(void *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, 8);
}
static inline uint64_t get_be64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}
static inline void put_be32(void *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, 4);
}
static inline uint32_t get_be32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return __builtin_bswap32(v);
}
static inline void put_be16(void *p, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(p, &v, 2);
}
static inline uint16_t get_be16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return __builtin_bswap16(v);
}
