/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "wire/json.h"

static void put_special(struct buf *b, unsigned char c)
{
    if (c == 0 || c >= 0x80) /* PostgreSQL's jsonb has no NUL */
        buf_put_cstr(b, "\xEF\xBF\xBD");
    else if (c == '"' || c == '\\')
        buf_put(b, (const char[]){'\\', (char)c}, 2);
    else
        buf_printf(b, "\\u%04x", c);
}

/* ASCII that stands for itself, as most texts are. */
static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < ' ' || c >= 0x7f || c == '"' || c == '\\')
            return false;
    }
    return true;
}

static void put_plain(struct buf *b, struct str s)
{
    char *to = buf_reserve(b, s.len + 2);
    if (!to)
        return;
    to[0] = to[s.len + 1] = '"';
    if (s.len)
        memcpy(to + 1, s.ptr, s.len);
    to[s.len + 2] = 0;
    b->len += s.len + 2;
}

void json_put_string(struct buf *b, struct str s)
{
    size_t clean = 0; /* from here on nothing special yet */
    if (is_plain(s)) {
        put_plain(b, s);
        return;
    }
    bool utf8 = str_is_utf8(s);
    buf_put_char(b, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool special = c < ' ' || c == '"' || c == '\\' || c == 0x7f || (c >= 0x80 && !utf8);
        if (!special)
            continue;
        buf_put(b, s.ptr + clean, i - clean);
        put_special(b, c);
        clean = i + 1;
    }
    if (s.len > clean)
        buf_put(b, s.ptr + clean, s.len - clean);
    buf_put_char(b, '"');
}

void json_put_member(struct buf *b, const char *name, struct str value)
{
    size_t len = strlen(name);
    char *to = buf_reserve(b, len + 3);
    if (!to)
        return;
    to[0] = '"';
    memcpy(to + 1, name, len);
    memcpy(to + 1 + len, "\":", 3); /* with its NUL */
    b->len += len + 3;
    json_put_string(b, value);
}

bool json_is_shallow(struct str text, unsigned most)
{
    unsigned depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '[') && ++depth > most)
            return false;
        else if (!quoted && (c == '}' || c == ']') && depth > 0)
            depth--;
    }
    return true;
}

json_t *json_read(struct str text)
{
    if (text.len == 0 || !json_is_shallow(text, JSON_DEPTH_MAX))
        return NULL;
    return json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
}
