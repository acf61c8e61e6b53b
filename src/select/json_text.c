/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Looking into the text of a record. It is valid, so a step needs no more than where strings and
 * brackets end; every scan stops at the end of the text all the same.
 */

#include "base/error.h"
#include "select/json.h"

/* ---- scans: each takes where something begins and tells where it ends ------------------------ */

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r'))
        at++;
    return at;
}

static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at < end ? at + 1 : end;
}

static const char *skip_brackets(const char *at, const char *end)
{
    unsigned depth = 0;
    while (at < end) {
        if (*at == '"') {
            at = skip_string(at, end);
            continue;
        }
        if (*at == '{' || *at == '[')
            depth++;
        else if ((*at == '}' || *at == ']') && --depth == 0)
            return at + 1;
        at++;
    }
    return end;
}

static const char *skip_value(const char *at, const char *end)
{
    if (at == end)
        return end;
    if (*at == '"')
        return skip_string(at, end);
    if (*at == '{' || *at == '[')
        return skip_brackets(at, end);
    while (at < end && !strchr(",]} \n\t\r", *at))
        at++;
    return at;
}

/* ---- steps ---------------------------------------------------------------------------------- */

/* Past the opening bracket, or the value before, to where the next thing begins; NULL: none does.
 */
static const char *next_thing(struct str rest, char open)
{
    const char *end = rest.ptr + rest.len, *at = skip_blanks(rest.ptr, end);
    if (at < end && (*at == open || *at == ','))
        at = skip_blanks(at + 1, end);
    return at < end && *at != '}' && *at != ']' ? at : NULL;
}

bool select_json_member(struct str *rest, struct str *ret_key, struct str *ret_value)
{
    const char *end = rest->ptr + rest->len, *at = next_thing(*rest, '{');
    if (!at || *at != '"')
        return false;
    const char *key_end = skip_string(at, end);
    *ret_key = str_make(at, (size_t)(key_end - at));
    at = skip_blanks(key_end, end);
    at = at < end ? skip_blanks(at + 1, end) : end; /* the colon */
    const char *value_end = skip_value(at, end);
    *ret_value = str_make(at, (size_t)(value_end - at));
    *rest = str_make(value_end, (size_t)(end - value_end));
    return true;
}

static bool key_is(struct str key, const struct select_step *s, bool exactly)
{
    struct str plain = str_make(key.ptr + 1, key.len - 2);
    struct arena a = {0};
    if (memchr(key.ptr, '\\', key.len)) {
        arena_init(&a, 0);
        plain = select_json_string(&a, key);
    }
    bool is = exactly ? str_eq(plain, s->name) : str_eq_nocase(plain, s->name);
    arena_release(&a);
    return is;
}

/* One that is written just so goes before one that is not. */
static struct str find_member(struct str text, const struct select_step *s)
{
    struct str rest = text, key, value, found = STR_NULL;
    while (select_json_member(&rest, &key, &value)) {
        if (key_is(key, s, true))
            return value;
        if (!found.ptr && !s->quoted && key_is(key, s, false))
            found = value;
    }
    return found;
}

static struct str find_element(struct str text, uint32_t index)
{
    const char *end = text.ptr + text.len, *at = next_thing(text, '[');
    for (; at; index--) {
        const char *value_end = skip_value(at, end);
        if (index == 0)
            return str_make(at, (size_t)(value_end - at));
        at = next_thing(str_make(value_end, (size_t)(end - value_end)), ',');
    }
    return STR_NULL;
}

struct str select_json_find(struct str text, const struct select_path *path)
{
    for (unsigned i = 0; i < path->count && text.ptr; i++) {
        const struct select_step *s = &path->steps[i];
        char first = text.len ? text.ptr[0] : 0;
        if (s->kind == STEP_NAME && first == '{')
            text = find_member(text, s);
        else if (s->kind == STEP_INDEX && first == '[')
            text = find_element(text, s->index);
        else
            return STR_NULL;
    }
    return text;
}

/* ---- strings -------------------------------------------------------------------------------- */

static unsigned hex4(const char *at)
{
    unsigned v = 0;
    for (unsigned i = 0; i < 4; i++) {
        unsigned c = (uint8_t)at[i];
        v = v << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return v;
}

static char *put_utf8(char *to, unsigned c)
{
    if (c < 0x80)
        *to++ = (char)c;
    else if (c < 0x800)
        *to++ = (char)(0xC0 | c >> 6);
    else if (c < 0x10000) {
        *to++ = (char)(0xE0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
    } else {
        *to++ = (char)(0xF0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3F));
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
    }
    if (c >= 0x80)
        *to++ = (char)(0x80 | (c & 0x3F));
    return to;
}

/* Behind \u: four digits, and another six characters of a pair. Half a pair is U+FFFD. */
static const char *unescape_unit(const char *at, const char *end, char **to)
{
    if (end - at < 4)
        return end;
    unsigned c = hex4(at);
    at += 4;
    if (c >= 0xD800 && c < 0xDC00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        unsigned low = hex4(at + 2);
        if (low >= 0xDC00 && low < 0xE000) {
            c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
            at += 6;
        }
    }
    *to = put_utf8(*to, c >= 0xD800 && c < 0xE000 ? 0xFFFD : c);
    return at;
}

static char unescape_char(char c)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *at = c ? strchr(from, c) : NULL;
    return at ? to[at - from] : c;
}

struct str select_json_string(struct arena *a, struct str text)
{
    if (!text.ptr || text.len < 2)
        return STR_NULL;
    const char *at = text.ptr + 1, *end = text.ptr + text.len - 1;
    char *from = arena_alloc(a, text.len), *to = from;
    if (!from)
        return STR_NULL;
    while (at < end) {
        if (*at != '\\') {
            *to++ = *at++;
            continue;
        }
        char c = ++at < end ? *at++ : 0;
        if (c == 'u')
            at = unescape_unit(at, end, &to);
        else
            *to++ = unescape_char(c);
    }
    return str_make(from, (size_t)(to - from));
}

/* ---- whole values --------------------------------------------------------------------------- */

static int string_value(struct arena *a, struct str text, struct select_value *ret)
{
    struct str s = str_make(text.ptr + 1, text.len - 2);
    if (s.len && memchr(s.ptr, '\\', s.len))
        s = select_json_string(a, text);
    *ret = select_of_text(s);
    return s.ptr ? 0 : -ENOMEM;
}

int select_json_value(struct arena *a, struct str text, struct select_value *ret)
{
    switch (text.len ? text.ptr[0] : 0) {
    case '"':
        return string_value(a, text, ret);
    case '{':
    case '[':
        *ret = (struct select_value){.type = SELECT_JSON, .text = text};
        return 0;
    case 't':
    case 'f':
        *ret = select_of_bool(text.ptr[0] == 't');
        return 0;
    case 'n':
        *ret = (struct select_value){.type = SELECT_NULL};
        return 0;
    default:
        return select_number_parse(text, ret) ? -ERR_SELECT_JSON : 0;
    }
}

void select_json_put(struct buf *b, struct str text)
{
    const char *at = text.ptr, *end = text.ptr + text.len, *from = at;
    while (at < end) {
        if (*at == '"') {
            at = skip_string(at, end);
            continue;
        }
        const char *next = skip_blanks(at, end);
        if (next != at) {
            buf_put(b, from, (size_t)(at - from));
            from = next;
        }
        at = next == at ? at + 1 : next;
    }
    buf_put(b, from, (size_t)(end - from));
}
