/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "base/encode.h"
#include "base/error.h"
#if defined(__SSE2__)
#    include <emmintrin.h>
#endif

void hex_encode(const void *data, size_t len, char *ret)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++) {
        ret[2 * i] = digits[p[i] >> 4];
        ret[2 * i + 1] = digits[p[i] & 15];
    }
}

/*
 * The digit's value and one, 0 for what is no digit: a look-up, because a branch on random digits
 * is guessed wrong half the time.
 */
static const uint8_t hex_values[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

static unsigned hex_digit(char c)
{
    return hex_values[(uint8_t)c] - 1U;
}

#if defined(__SSE2__)
#    define HEX_BLOCK 16

/* The values of sixteen digits; *ret_bad gets a bit for each that is none. */
static __m128i hex_block(const char *text, unsigned *ret_bad)
{
    __m128i v = _mm_loadu_si128((const __m128i *)text);
    __m128i digit = _mm_sub_epi8(v, _mm_set1_epi8('0'));
    __m128i letter = _mm_sub_epi8(_mm_or_si128(v, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
    __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit);
    __m128i is_letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(5)), letter);
    *ret_bad = 0xffff & ~(unsigned)_mm_movemask_epi8(_mm_or_si128(is_digit, is_letter));
    letter = _mm_add_epi8(letter, _mm_set1_epi8(10));
    return _mm_or_si128(_mm_and_si128(digit, is_digit), _mm_and_si128(letter, is_letter));
}

/* Joins pairs of values, the first of each the high half, into eight bytes. */
static void hex_join(__m128i values, uint8_t ret[HEX_BLOCK / 2])
{
    __m128i high = _mm_and_si128(_mm_slli_epi16(values, 4), _mm_set1_epi16(0xf0));
    __m128i bytes = _mm_or_si128(high, _mm_srli_epi16(values, 8));
    _mm_storel_epi64((__m128i *)ret, _mm_packus_epi16(bytes, bytes));
}
#endif

static bool is_hex(struct str text)
{
    unsigned bad = 0, seen = 0;
    size_t i = 0;
#if defined(__SSE2__)
    for (; !bad && text.len - i >= HEX_BLOCK; i += HEX_BLOCK)
        hex_block(text.ptr + i, &bad);
#endif
    for (; i < text.len; i++)
        seen |= hex_digit(text.ptr[i]);
    return !bad && seen <= 15;
}

int hex_decode(struct str text, void *ret, size_t len)
{
    if (text.len != 2 * len || !is_hex(text))
        return -EINVAL;
    uint8_t *out = ret;
    size_t i = 0;
#if defined(__SSE2__)
    unsigned bad;
    for (; text.len - i >= HEX_BLOCK; i += HEX_BLOCK)
        hex_join(hex_block(text.ptr + i, &bad), out + i / 2);
#endif
    for (; i < text.len; i += 2)
        out[i / 2] = (uint8_t)(hex_digit(text.ptr[i]) << 4 | hex_digit(text.ptr[i + 1]));
    return 0;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(const void *data, size_t len, char *ret)
{
    const uint8_t *p = data;
    char *out = ret;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? p[i + 2] : 0);
        *out++ = base64_digits[v >> 18];
        *out++ = base64_digits[v >> 12 & 63];
        *out++ = left > 1 ? base64_digits[v >> 6 & 63] : '=';
        *out++ = left > 2 ? base64_digits[v & 63] : '=';
    }
    return (size_t)(out - ret);
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four digits, the last `pad` of them '=', to 24 bits; -1 when malformed or not canonical. */
static int32_t base64_group(const char *p, unsigned pad)
{
    int32_t v = 0;
    for (unsigned i = 0; i < 4; i++) {
        int d = i < 4 - pad ? base64_digit(p[i]) : p[i] == '=' ? 0 : -1;
        if (d < 0)
            return -1;
        v = v << 6 | d;
    }
    int32_t unused = pad == 2 ? 0xFFFF : pad == 1 ? 0xFF : 0;
    return v & unused ? -1 : v;
}

int base64_decode(struct str text, void *ret, size_t cap, size_t *ret_len)
{
    if (text.len % 4 != 0)
        return -EINVAL;
    unsigned pad = 0;
    if (text.len > 0)
        pad = text.ptr[text.len - 1] != '=' ? 0 : text.ptr[text.len - 2] == '=' ? 2 : 1;
    size_t len = text.len / 4 * 3 - pad;
    if (len > cap)
        return -EINVAL;
    uint8_t *out = ret;
    for (size_t i = 0, o = 0; i < text.len; i += 4) {
        int32_t v = base64_group(text.ptr + i, i + 4 == text.len ? pad : 0);
        if (v < 0)
            return -EINVAL;
        for (int shift = 16; shift >= 0 && o < len; shift -= 8)
            out[o++] = (uint8_t)(v >> shift);
    }
    *ret_len = len;
    return 0;
}
