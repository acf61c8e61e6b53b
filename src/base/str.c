/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "base/str.h"

int str_cmp(struct str a, struct str b)
{
    size_t shared = MIN(a.len, b.len);
    int order = shared ? memcmp(a.ptr, b.ptr, shared) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static unsigned char lower(unsigned char c)
{
    bool upper = (unsigned)c - 'A' < 26;
    return (unsigned char)(c | upper << 5);
}

#define EACH(byte) (0x0101010101010101ULL * (byte))

/*
 * Eight bytes at once: a difference may only be the case bit, and only where a letter stands.
 * Adding to seven bits sets the eighth from `a` on, and again after `z`.
 */
static bool same_word_nocase(const char *a, const char *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    uint64_t folded = x | EACH(0x20), low = folded & EACH(0x7f);
    uint64_t letters = (low + EACH(0x80 - 'a')) & ~(low + EACH(0x7f - 'z')) & ~x & EACH(0x80);
    return ((x ^ y) & ~(letters >> 2)) == 0;
}

static bool same_nocase(const char *a, const char *b, size_t len)
{
    const size_t word = sizeof(uint64_t);
    size_t i = 0;
    for (; len - i > word; i += word)
        if (!same_word_nocase(a + i, b + i))
            return false;
    if (len >= word) /* the last word may overlap the one before */
        return same_word_nocase(a + len - word, b + len - word);
    for (; i < len; i++)
        if (lower((unsigned char)a[i]) != lower((unsigned char)b[i]))
            return false;
    return true;
}

bool str_eq_nocase(struct str a, struct str b)
{
    return a.len == b.len && same_nocase(a.ptr, b.ptr, a.len);
}

bool str_starts_nocase(struct str s, struct str prefix)
{
    return s.len >= prefix.len && same_nocase(s.ptr, prefix.ptr, prefix.len);
}

bool str_eq_secret(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    unsigned char difference = 0;
    for (size_t i = 0; i < a.len; i++)
        difference |= (unsigned char)(a.ptr[i] ^ b.ptr[i]);
    return difference == 0;
}

ptrdiff_t str_find_char(struct str s, char c, size_t from)
{
    if (from >= s.len)
        return -1;
    const char *at = memchr(s.ptr + from, c, s.len - from);
    return at ? at - s.ptr : -1;
}

ptrdiff_t str_find(struct str s, struct str needle, size_t from)
{
    if (from > s.len)
        return -1;
    if (needle.len == 0)
        return (ptrdiff_t)from;
    if (s.len - from < needle.len)
        return -1;
    const char *at = memmem(s.ptr + from, s.len - from, needle.ptr, needle.len);
    return at ? at - s.ptr : -1;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool str_cut(struct str *rest, char sep, struct str *ret_head)
{
    if (!rest->ptr)
        return false;
    ptrdiff_t at = str_find_char(*rest, sep, 0);
    if (at < 0) {
        *ret_head = *rest;
        *rest = STR_NULL;
        return true;
    }
    *ret_head = str_prefix(*rest, (size_t)at);
    *rest = str_from_offset(*rest, (size_t)at + 1);
    return true;
}

int str_to_u64(struct str s, uint64_t *ret)
{
    if (s.len == 0)
        return -EINVAL;
    uint64_t v = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned char)s.ptr[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
            return -EINVAL;
    }
    *ret = v;
    return 0;
}

/* Length of the sequence at p (of n bytes), or 0 when it is not one that RFC 3629 allows. */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t len = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xF0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xED && p[1] >= 0xA0;
    bool beyond = p[0] == 0xF4 && p[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : len;
}

bool str_is_utf8(struct str s)
{
    for (size_t i = 0; i < s.len;) {
        uint64_t eight;
        if (s.len - i >= sizeof(eight)) { /* of ASCII, mostly */
            memcpy(&eight, s.ptr + i, sizeof(eight));
            if (!(eight & 0x8080808080808080)) {
                i += sizeof(eight);
                continue;
            }
        }
        size_t len = utf8_sequence((const unsigned char *)s.ptr + i, s.len - i);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

bool str_is_graphic(struct str s, const char *forbidden)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || strchr(forbidden, s.ptr[i]))
            return false;
    return true;
}
