/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "iam/ldap.h"

#include "base/buf.h"

static const char digits[] = "0123456789abcdef";

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

/* RFC 4515, 3: a backslash and two hexadecimal digits stand for any byte. */
struct str ldap_escape(struct arena *a, struct str value)
{
    char *out = arena_alloc(a, 3 * value.len + 1);
    size_t at = 0;
    for (size_t i = 0; out && i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if (is_alnum((char)c)) {
            out[at++] = (char)c;
            continue;
        }
        out[at++] = '\\';
        out[at++] = digits[c >> 4];
        out[at++] = digits[c & 15];
    }
    return out ? str_make(out, at) : STR_NULL;
}

struct str ldap_filter(struct arena *a, const char *form, struct str name, struct str dn)
{
    _cleanup_buf_ struct buf b;
    struct str n = ldap_escape(a, name), d = ldap_escape(a, dn);
    buf_init(&b, 64 * KIB);
    if (!n.ptr || !d.ptr)
        return STR_NULL;
    for (const char *p = form; *p; p++) {
        bool mark = p[0] == '%' && (p[1] == 's' || p[1] == 'd');
        if (!mark) {
            buf_put_char(&b, *p);
            continue;
        }
        buf_put_str(&b, *++p == 's' ? n : d);
    }
    return buf_error(&b) ? STR_NULL : arena_dup(a, buf_str(&b));
}

/* ---- distinguished names -------------------------------------------------------------------- */

static bool is_separator(char c)
{
    return c == ',' || c == '+' || c == '=';
}

static int hex_of(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* One byte as it is written or escaped; how many bytes of the DN it took, 0: it is none. */
static size_t take_byte(struct str dn, size_t at, unsigned char *ret, bool *ret_escaped)
{
    *ret = (unsigned char)dn.ptr[at];
    *ret_escaped = dn.ptr[at] == '\\';
    if (!*ret_escaped)
        return 1;
    if (at + 2 < dn.len && hex_of(dn.ptr[at + 1]) >= 0 && hex_of(dn.ptr[at + 2]) >= 0) {
        *ret = (unsigned char)(hex_of(dn.ptr[at + 1]) << 4 | hex_of(dn.ptr[at + 2]));
        return 3;
    }
    if (at + 1 >= dn.len || is_alnum(dn.ptr[at + 1]))
        return 0;
    *ret = (unsigned char)dn.ptr[at + 1];
    return 2;
}

/* What an escape stood for is written in one way: as hexadecimal, unless it needs none. */
static void put_byte(struct buf *b, unsigned char c, bool escaped)
{
    bool plain = is_alnum((char)c) || c >= 0x80 || strchr("-._@/:'()*&!$^~?[]{}|%`", c);
    if (c && (plain || (!escaped && (is_separator((char)c) || c == ' ')))) {
        buf_put_char(b, char_lower((char)c));
        return;
    }
    buf_put_char(b, '\\');
    buf_put_char(b, digits[c >> 4]);
    buf_put_char(b, digits[c & 15]);
}

/* Blanks that stand about a separator, or at an end, say nothing; before an equals sign inside a
 * value they are part of it. */
static bool is_idle_blank(struct str dn, size_t at, bool behind_separator, bool in_value)
{
    size_t next = at;
    if (dn.ptr[at] != ' ')
        return false;
    while (next < dn.len && dn.ptr[next] == ' ')
        next++;
    return behind_separator || next == dn.len ||
           (is_separator(dn.ptr[next]) && !(in_value && dn.ptr[next] == '='));
}

/* A blank that is escaped, or inside a value, is part of it and is written as \20. */
struct str ldap_dn_normal(struct arena *a, struct str dn)
{
    _cleanup_buf_ struct buf b;
    bool behind = true, escaped, assigned = false;
    unsigned char c;
    buf_init(&b, 4 * IAM_LDAP_DN_MAX);
    if (dn.len == 0 || dn.len > IAM_LDAP_DN_MAX || !str_is_utf8(dn) ||
        str_find_char(dn, '"', 0) >= 0 || str_find_char(dn, ';', 0) >= 0 ||
        str_find_char(dn, 0, 0) >= 0)
        return STR_NULL;
    for (size_t at = 0, took; at < dn.len; at += took) {
        took = 1;
        if (is_idle_blank(dn, at, behind, assigned))
            continue;
        took = take_byte(dn, at, &c, &escaped);
        if (!took)
            return STR_NULL;
        /* The value's encoding in hexadecimal (RFC 4514, 2.4), which says the same as a text may:
         * two names of one entry would be told apart. */
        if (behind && !escaped && c == '#')
            return STR_NULL;
        /* An equals sign inside a value is part of it. */
        bool sign = !escaped && is_separator((char)c) && !(c == '=' && assigned);
        if (sign && behind)
            return STR_NULL;
        assigned = sign ? c == '=' : assigned;
        if (!sign && (escaped || c == ' ' || c == '='))
            put_byte(&b, c, true);
        else
            put_byte(&b, c, false);
        behind = sign;
    }
    if (buf_error(&b) || behind || !assigned || !str_is_utf8(buf_str(&b)))
        return STR_NULL; /* escaped bytes may have been none of UTF-8 */
    return arena_dup(a, buf_str(&b));
}
