/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "wire/xml.h"

void xml_begin(struct buf *b)
{
    buf_put_str(b, STR("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"));
}

void xml_open(struct buf *b, const char *name)
{
    buf_put_char(b, '<');
    buf_put_cstr(b, name);
    buf_put_char(b, '>');
}

void xml_open_ns(struct buf *b, const char *name, const char *xmlns)
{
    buf_put_char(b, '<');
    buf_put_cstr(b, name);
    buf_put_str(b, STR(" xmlns=\""));
    xml_text(b, str_from(xmlns));
    buf_put_str(b, STR("\">"));
}

void xml_close(struct buf *b, const char *name)
{
    buf_put_str(b, STR("</"));
    buf_put_cstr(b, name);
    buf_put_char(b, '>');
}

#define REPLACEMENT "\xef\xbf\xbd"

/* What stands in the text for an ASCII byte; ptr NULL for the byte itself. */
static struct str escape_of(unsigned char c)
{
    switch (c) {
    case '&':
        return STR("&amp;");
    case '<':
        return STR("&lt;");
    case '>':
        return STR("&gt;");
    case '"':
        return STR("&quot;");
    case '\r': /* a parser would read it as a line feed */
        return STR("&#13;");
    case '\t':
    case '\n':
        return STR_NULL;
    default:
        return c < 0x20 ? STR(REPLACEMENT) : STR_NULL;
    }
}

/* Bytes of the sequence at the start of s that XML can carry (2 to 4), or 0. */
static size_t sequence_len(struct str s)
{
    unsigned char first = (unsigned char)s.ptr[0];
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (s.len < len || !str_is_utf8(str_prefix(s, len)))
        return 0;
    bool noncharacter = len == 3 && first == 0xef && (unsigned char)s.ptr[1] == 0xbf &&
                        (unsigned char)s.ptr[2] >= 0xbe;
    return noncharacter ? 0 : len;
}

/* Bytes from `at` that stand for themselves. */
static size_t plain_run(struct str s, size_t at, bool quotes)
{
    size_t i = at;
    while (i < s.len) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool plain = (quotes && c == '"') || !escape_of(c).ptr;
        size_t step = c < 0x80 ? plain : sequence_len(str_from_offset(s, i));
        if (step == 0)
            break;
        i += step;
    }
    return i - at;
}

/* `quotes` are left as they are. */
static void put_text(struct buf *b, struct str s, bool quotes)
{
    for (size_t at = 0; at < s.len;) {
        size_t run = plain_run(s, at, quotes);
        buf_put(b, s.ptr + at, run);
        at += run;
        if (at == s.len)
            break;
        unsigned char c = (unsigned char)s.ptr[at++];
        buf_put_str(b, c < 0x80 ? escape_of(c) : STR(REPLACEMENT));
    }
}

void xml_text(struct buf *b, struct str s)
{
    put_text(b, s, false);
}

void xml_prose(struct buf *b, struct str s)
{
    put_text(b, s, true);
}

void xml_element(struct buf *b, const char *name, struct str text)
{
    xml_open(b, name);
    xml_text(b, text);
    xml_close(b, name);
}

void xml_element_u64(struct buf *b, const char *name, uint64_t v)
{
    xml_open(b, name);
    buf_put_u64(b, v);
    xml_close(b, name);
}

void xml_element_bool(struct buf *b, const char *name, bool v)
{
    xml_element(b, name, v ? STR("true") : STR("false"));
}
