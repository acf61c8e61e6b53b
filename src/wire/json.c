/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "wire/json.h"

void json_put_string(struct buf *b, struct str s)
{
    bool utf8 = str_is_utf8(s);
    buf_put_char(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\')
            buf_put_char(b, '\\');
        if (c == 0 || (c >= 0x80 && !utf8)) /* PostgreSQL's jsonb has no NUL */
            buf_put_cstr(b, "\xEF\xBF\xBD");
        else if (c < ' ' || c == 0x7f)
            buf_printf(b, "\\u%04x", c);
        else
            buf_put_char(b, (char)c);
    }
    buf_put_char(b, '"');
}

void json_put_member(struct buf *b, const char *name, struct str value)
{
    buf_put_char(b, '"');
    buf_put_cstr(b, name);
    buf_put_cstr(b, "\":");
    json_put_string(b, value);
}
