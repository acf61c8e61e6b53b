/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "wire/uri.h"
#include "base/error.h"
#include "wire/chars.h"
#include "wire/internal.h"

static bool needs_decoding(struct str s, bool form)
{
    return str_find_char(s, '%', 0) >= 0 || (form && str_find_char(s, '+', 0) >= 0);
}

int uri_next_byte(const char **p, const char *end)
{
    const char *at = *p;
    if (*at != '%') {
        *p = at + 1;
        return (uint8_t)*at;
    }
    if (end - at < 3)
        return -ERR_INVALID_URI;
    int high = char_hex(at[1]), low = char_hex(at[2]);
    if (high < 0 || low < 0)
        return -ERR_INVALID_URI;
    *p = at + 3;
    return high << 4 | low;
}

static int decode(struct arena *a, struct str s, bool form, struct str *ret)
{
    if (!needs_decoding(s, form)) {
        *ret = s.ptr ? s : STR("");
        return 0;
    }
    char *out = arena_alloc(a, s.len), *to = out;
    if (!out)
        return -ENOMEM;
    const char *p = s.ptr, *end = s.ptr + s.len;
    while (p < end) {
        bool plus = form && *p == '+';
        int byte = uri_next_byte(&p, end);
        if (byte < 0)
            return byte;
        *to++ = plus ? ' ' : (char)byte;
    }
    *ret = str_make(out, to - out);
    return 0;
}

int uri_decode(struct arena *a, struct str s, struct str *ret)
{
    return decode(a, s, false, ret);
}

int uri_decode_form(struct arena *a, struct str s, struct str *ret)
{
    return decode(a, s, true, ret);
}

char *uri_put_byte(char *to, uint8_t byte, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    if (char_is((char)byte, CHAR_PLAIN) || (byte == '/' && keep_slash)) {
        *to = (char)byte;
        return to + 1;
    }
    to[0] = '%';
    to[1] = digits[byte >> 4];
    to[2] = digits[byte & 15];
    return to + 3;
}

void uri_encode(struct buf *out, struct str s, bool keep_slash)
{
    if (s.len > SIZE_MAX / 3) {
        out->failed = true;
        return;
    }
    char *to = buf_reserve(out, 3 * s.len);
    if (!to)
        return;
    for (size_t i = 0; i < s.len; i++)
        to = uri_put_byte(to, (uint8_t)s.ptr[i], keep_slash);
    *to = '\0';
    out->len = (size_t)(to - out->data);
}

/* ---- queries -------------------------------------------------------------------------------- */

static size_t count_pieces(struct str raw)
{
    size_t count = 1;
    for (ptrdiff_t at = 0; (at = str_find_char(raw, '&', (size_t)at)) >= 0; at++)
        count++;
    return count;
}

static int parse_param(struct arena *a, struct str piece, struct uri_param *ret)
{
    ptrdiff_t eq = str_find_char(piece, '=', 0);
    struct str name = str_prefix(piece, eq < 0 ? piece.len : (size_t)eq);
    struct str value = eq < 0 ? STR("") : str_from_offset(piece, (size_t)eq + 1);
    ret->has_value = eq >= 0;
    int r = uri_decode_form(a, name, &ret->name);
    return r < 0 ? r : uri_decode_form(a, value, &ret->value);
}

int uri_parse_query(struct arena *a, struct str raw, struct uri_query *ret)
{
    if (raw.len == 0) {
        *ret = (struct uri_query){0};
        return 0;
    }
    size_t pieces = MIN(count_pieces(raw), (size_t)URI_PARAMS_MAX), count = 0;
    struct uri_param *params = arena_array(a, struct uri_param, pieces);
    if (!params)
        return -ENOMEM;
    struct str piece;
    while (str_cut(&raw, '&', &piece)) {
        if (piece.len == 0)
            continue;
        if (count == pieces)
            return -ERR_TOO_LARGE;
        int r = parse_param(a, piece, &params[count++]);
        if (r < 0)
            return r;
    }
    *ret = (struct uri_query){params, count};
    return 0;
}

static const struct uri_param *find_param(const struct uri_query *q, struct str name)
{
    for (size_t i = 0; i < q->count; i++)
        if (str_eq(q->params[i].name, name))
            return &q->params[i];
    return NULL;
}

struct str uri_query_get(const struct uri_query *q, struct str name)
{
    const struct uri_param *p = find_param(q, name);
    return p ? p->value : STR_NULL;
}

bool uri_query_has(const struct uri_query *q, struct str name)
{
    return find_param(q, name) != NULL;
}

void uri_split(struct str target, struct str *ret_path, struct str *ret_query)
{
    ptrdiff_t mark = str_find_char(target, '?', 0);
    *ret_path = str_prefix(target, mark < 0 ? target.len : (size_t)mark);
    *ret_query = mark < 0 ? STR_NULL : str_from_offset(target, (size_t)mark + 1);
}
