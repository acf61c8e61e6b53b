/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "wire/form.h"
#include "base/error.h"
#include "wire/chars.h"
#include "wire/uri.h"

/* ---- parameters of a header ----------------------------------------------------------------- */

static void skip_blanks(struct str *s)
{
    while (s->len && (s->ptr[0] == ' ' || s->ptr[0] == '\t'))
        *s = str_from_offset(*s, 1);
}

static bool take_char(struct str *s, char c)
{
    skip_blanks(s);
    if (s->len == 0 || s->ptr[0] != c)
        return false;
    *s = str_from_offset(*s, 1);
    return true;
}

static bool take_token(struct str *s, struct str *ret)
{
    skip_blanks(s);
    size_t len = (size_t)(scan_class(s->ptr, s->ptr + s->len, CHAR_TOKEN) - s->ptr);
    *ret = str_prefix(*s, len);
    *s = str_from_offset(*s, len);
    return len > 0;
}

/* Up to the closing quote; a backslash stays, but hides a quote behind it (browsers send %22, older
 * ones \", and full Windows paths). */
static bool take_quoted(struct str *s, struct str *ret)
{
    size_t len = 0;
    if (!take_char(s, '"'))
        return false;
    while (len < s->len && s->ptr[len] != '"')
        len += s->ptr[len] == '\\' && len + 1 < s->len && s->ptr[len + 1] == '"' ? 2 : 1;
    if (len >= s->len)
        return false;
    *ret = str_prefix(*s, len);
    *s = str_from_offset(*s, len + 1);
    return true;
}

static bool take_value(struct str *s, struct str *ret)
{
    skip_blanks(s);
    bool quoted = s->len && s->ptr[0] == '"';
    return quoted ? take_quoted(s, ret) : take_token(s, ret);
}

/* `; name=value`, `; name="value"`. False at the end, or with *bad set. */
static bool take_param(struct str *s, struct str *ret_name, struct str *ret_value, bool *bad)
{
    skip_blanks(s);
    if (s->len == 0)
        return false;
    *bad = !take_char(s, ';') || !take_token(s, ret_name) || !take_char(s, '=') ||
           !take_value(s, ret_value);
    return !*bad;
}

/* bchars of RFC 2046 5.1.1; no blank at the end. */
static bool is_boundary(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!char_is(s.ptr[i], CHAR_TOKEN) && !(s.ptr[i] && strchr("(),/:=? ", s.ptr[i])))
            return false;
    return s.len >= 1 && s.len <= FORM_BOUNDARY_MAX && s.ptr[s.len - 1] != ' ';
}

int form_boundary(struct str content_type, struct str *ret)
{
    struct str rest = content_type, name, value, found = STR_NULL;
    bool bad = false;
    if (!str_starts_nocase(rest, STR("multipart/form-data")))
        return -ERR_PARSE;
    rest = str_from_offset(rest, strlen("multipart/form-data"));
    while (take_param(&rest, &name, &value, &bad)) {
        if (!str_eq_nocase(name, STR("boundary")))
            continue;
        if (found.ptr)
            return -ERR_PARSE;
        found = value;
    }
    if (bad || !found.ptr || !is_boundary(found))
        return -ERR_PARSE;
    *ret = found;
    return 0;
}

/* ---- a part's head -------------------------------------------------------------------------- */

struct part {
    bool has_disposition;
    struct str name, filename;
};

/* filename*=UTF-8''percent-encoded (RFC 5987). */
static int decode_filename(struct arena *a, struct str value, struct str *ret)
{
    if (!str_starts_nocase(value, STR("utf-8'")))
        return -ERR_PARSE;
    ptrdiff_t quote = str_find_char(value, '\'', strlen("utf-8'"));
    if (quote < 0)
        return -ERR_PARSE;
    int r = uri_decode(a, str_from_offset(value, (size_t)quote + 1), ret);
    return r == -ERR_INVALID_URI ? -ERR_PARSE : r;
}

static int read_disposition(struct arena *a, struct str value, struct part *p)
{
    struct str kind, name, text;
    bool bad = false;
    int r = 0;
    if (p->has_disposition || !take_token(&value, &kind) || !str_eq_nocase(kind, STR("form-data")))
        return -ERR_PARSE;
    p->has_disposition = true;
    while (!r && take_param(&value, &name, &text, &bad)) {
        if (str_eq_nocase(name, STR("filename*")))
            r = decode_filename(a, text, &p->filename);
        else if (str_eq_nocase(name, STR("filename")) && !p->filename.ptr)
            p->filename = text;
        else if (str_eq_nocase(name, STR("name")) && !p->name.ptr)
            p->name = text;
        else if (str_eq_nocase(name, STR("name")))
            r = -ERR_PARSE;
    }
    return r || !bad ? r : -ERR_PARSE;
}

static bool is_identity(struct str encoding)
{
    return str_eq_nocase(encoding, STR("7bit")) || str_eq_nocase(encoding, STR("8bit")) ||
           str_eq_nocase(encoding, STR("binary"));
}

static int read_line(struct arena *a, struct str line, struct part *p)
{
    struct str name;
    if (line.len == 0 || !take_token(&line, &name) || !take_char(&line, ':'))
        return -ERR_PARSE;
    if (str_eq_nocase(name, STR("content-disposition")))
        return read_disposition(a, line, p);
    if (str_eq_nocase(name, STR("content-transfer-encoding")) && !is_identity(str_trim(line)))
        return -ERR_PARSE;
    return 0;
}

/* Lines up to the empty one. *off is behind it afterwards. */
static int read_part_head(struct arena *a, struct str in, size_t *off, struct part *p)
{
    for (;;) {
        ptrdiff_t end = str_find(in, STR("\r\n"), *off);
        if (end < 0)
            return -EAGAIN;
        struct str line = str_make(in.ptr + *off, (size_t)end - *off);
        *off = (size_t)end + 2;
        if (line.len == 0)
            return p->has_disposition && p->name.len ? 0 : -ERR_PARSE;
        int r = read_line(a, line, p);
        if (r)
            return r;
    }
}

/* ---- the fields ----------------------------------------------------------------------------- */

/* Behind a boundary: blanks and a line end lead to a part, "--" ends the form. */
static int read_boundary_end(struct str in, size_t *off)
{
    struct str rest = str_from_offset(in, *off);
    size_t blanks = 0;
    if (str_starts(rest, STR("--")))
        return -ERR_NOT_FOUND;
    while (blanks < rest.len && (rest.ptr[blanks] == ' ' || rest.ptr[blanks] == '\t'))
        blanks++;
    rest = str_from_offset(rest, blanks);
    if (rest.len < 2 && (rest.len == 0 || rest.ptr[0] == '\r' || rest.ptr[0] == '-'))
        return -EAGAIN;
    if (!str_starts(rest, STR("\r\n")))
        return -ERR_PARSE;
    *off += blanks + 2;
    return 0;
}

static int add_field(struct arena *a, struct form_head *h, struct str name, struct str value)
{
    if (!h->fields)
        h->fields = arena_array(a, struct form_field, FORM_FIELDS_MAX);
    if (!h->fields)
        return -ENOMEM;
    if (h->count == FORM_FIELDS_MAX)
        return -ERR_TOO_LARGE;
    h->fields[h->count++] = (struct form_field){name, value};
    return 0;
}

/* One part, from behind its boundary. 1: it is the file. */
static int read_part(struct arena *a, struct str in, struct str delimiter, size_t *off,
                     struct form_head *h)
{
    struct part p = {0};
    int r = read_boundary_end(in, off);
    if (!r)
        r = read_part_head(a, in, off, &p);
    if (r)
        return r;
    if (str_eq_nocase(p.name, STR("file"))) {
        h->filename = p.filename.ptr ? p.filename : STR("");
        h->data_off = *off;
        return 1;
    }
    ptrdiff_t end = str_find(in, delimiter, *off);
    if (end < 0)
        return -EAGAIN;
    r = add_field(a, h, p.name, str_make(in.ptr + *off, (size_t)end - *off));
    *off = (size_t)end + delimiter.len;
    return r;
}

int form_head_parse(struct arena *a, struct str boundary, struct str in, struct form_head *ret)
{
    struct form_data d;
    struct form_head h = {0};
    form_data_init(&d, boundary);
    struct str delimiter = str_make(d.delimiter, d.delimiter_len);
    struct str first = str_from_offset(delimiter, 2); /* no line end before the first one */
    size_t off = str_starts(in, STR("\r\n")) ? 2 : 0;
    if (in.len - off < first.len)
        return -EAGAIN;
    if (!str_starts(str_from_offset(in, off), first))
        return -ERR_PARSE;
    off += first.len;
    int r;
    while ((r = read_part(a, in, delimiter, &off, &h)) == 0)
        ;
    if (r < 0)
        return r;
    *ret = h;
    return 0;
}

/* ---- the file ------------------------------------------------------------------------------- */

void form_data_init(struct form_data *d, struct str boundary)
{
    CHECK(boundary.len >= 1 && boundary.len <= FORM_BOUNDARY_MAX);
    *d = (struct form_data){.delimiter = "\r\n--", .delimiter_len = 4 + boundary.len};
    memcpy(d->delimiter + 4, boundary.ptr, boundary.len);
}

/* Bytes that cannot begin the delimiter; a carriage return stands in it only at its start. */
static size_t plain_run(struct str s)
{
    const char *cr = s.len ? memchr(s.ptr, '\r', s.len) : NULL;
    return cr ? (size_t)(cr - s.ptr) : s.len;
}

int form_data_feed(struct form_data *d, struct str in,
                   int (*sink)(const void *data, size_t len, void *arg), void *arg)
{
    while (in.len && !d->ended) {
        int r = 0;
        if (d->matched && in.ptr[0] != d->delimiter[d->matched]) {
            r = sink(d->delimiter, d->matched, arg); /* it was the file's after all */
            d->matched = 0;
        } else if (in.ptr[0] == d->delimiter[d->matched]) {
            d->ended = ++d->matched == d->delimiter_len;
            in = str_from_offset(in, 1);
        } else {
            size_t run = plain_run(in);
            r = sink(in.ptr, run, arg);
            in = str_from_offset(in, run);
        }
        if (r < 0)
            return r;
    }
    return 0;
}
