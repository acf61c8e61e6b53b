/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Heads are parsed in one pass from left to right, so that an error depends only on the bytes up
 * to it. Steps return DONE, MORE or a negative code.
 */

#include "wire/http1.h"
#include "base/error.h"
#include "wire/chars.h"

enum { MORE = 0, DONE = 1 };

struct cursor {
    const char *p, *end;
};

/* What the fields say of the connection and the body, noted as they pass. */
struct facts {
    struct str host, length_text, coding;
    uint64_t length;
    bool close, keep_alive, expect_continue;
};

static int take_line_end(struct cursor *c)
{
    if (c->p == c->end)
        return MORE;
    if (*c->p != '\r')
        return -ERR_PARSE;
    if (c->end - c->p == 1)
        return MORE;
    if (c->p[1] != '\n')
        return -ERR_PARSE;
    c->p += 2;
    return DONE;
}

/* RFC 9112 2.2: empty lines before the request line are a leftover of the message before. */
static int skip_empty_lines(struct cursor *c)
{
    while (c->p < c->end && *c->p == '\r') {
        int r = take_line_end(c);
        if (r != DONE)
            return r;
    }
    return c->p < c->end ? DONE : MORE;
}

/* Takes `text` as far as the bytes go. */
static int take_text(struct cursor *c, struct str text)
{
    size_t have = MIN((size_t)(c->end - c->p), text.len);
    if (memcmp(c->p, text.ptr, have) != 0)
        return -ERR_PARSE;
    c->p += have;
    return have == text.len ? DONE : MORE;
}

static int take_version(struct cursor *c, unsigned *ret_minor)
{
    int r = take_text(c, STR("HTTP/1."));
    if (r != DONE)
        return r;
    if (c->p == c->end)
        return MORE;
    char digit = *c->p++;
    if (digit < '0' || digit > '9')
        return -ERR_PARSE;
    *ret_minor = digit > '0';
    return DONE;
}

/* ---- fields ---------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static int take_field(struct cursor *c, struct http1_header *h)
{
    const char *name = c->p;
    const char *p = scan_class(name, c->end, CHAR_TOKEN);
    if (p == c->end)
        return MORE;
    if (*p != ':' || p == name)
        return -ERR_PARSE;
    h->name = str_make(name, p - name);
    do
        p++;
    while (p < c->end && is_blank(*p));
    const char *value = p;
    c->p = p = scan_field(p, c->end);
    while (p > value && is_blank(p[-1]))
        p--;
    h->value = str_make(value, p - value);
    return take_line_end(c);
}

/* host [":" port], RFC 3986 3.2.2; an IPv6 address in brackets. May be empty. */
static bool host_is_valid(struct str s)
{
    const char *p = s.ptr, *end = s.ptr + s.len;
    if (p < end && *p == '[') {
        const char *inside = p + 1;
        for (p = inside; p < end && (char_is(*p, CHAR_HEX) || *p == ':' || *p == '.');)
            p++;
        if (p == inside || p == end || *p++ != ']')
            return false;
    } else {
        p = scan_class(p, end, CHAR_HOST);
    }
    if (p == end)
        return true;
    if (*p++ != ':' || end - p > 5)
        return false;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p == end;
}

static int note_host(struct facts *f, struct str value)
{
    if (f->host.ptr || !host_is_valid(value))
        return -ERR_PARSE;
    f->host = value;
    return 0;
}

/* Digits alone; leading zeros are refused because some parsers take them for octal. */
static int note_length(struct facts *f, struct str value)
{
    if (f->length_text.ptr || (value.len > 1 && value.ptr[0] == '0'))
        return -ERR_PARSE;
    if (str_to_u64(value, &f->length) != 0 || f->length > INT64_MAX)
        return -ERR_PARSE;
    f->length_text = value;
    return 0;
}

/* The one coding served is chunked, once and last. */
static int note_coding(struct facts *f, struct str value)
{
    if (f->coding.ptr)
        return -ERR_PARSE;
    f->coding = value;
    if (str_eq_nocase(value, STR("chunked")))
        return 0;
    struct str rest = value, one, last = STR("");
    unsigned chunked = 0;
    while (str_cut(&rest, ',', &one)) {
        last = str_trim(one);
        if (last.len == 0)
            return -ERR_PARSE;
        chunked += str_eq_nocase(last, STR("chunked"));
    }
    if (chunked != 1 || !str_eq_nocase(last, STR("chunked")))
        return -ERR_PARSE;
    return -ERR_NOT_IMPLEMENTED;
}

static int note_connection(struct facts *f, struct str value)
{
    struct str rest = value, one;
    while (str_cut(&rest, ',', &one)) {
        one = str_trim(one);
        f->close |= str_eq_nocase(one, STR("close"));
        f->keep_alive |= str_eq_nocase(one, STR("keep-alive"));
    }
    return 0;
}

static int note_expect(struct facts *f, struct str value)
{
    f->expect_continue |= str_eq_nocase(value, STR("100-continue"));
    return 0;
}

/* The lengths of the five names differ, so one comparison at most is made. */
static int note_field(struct facts *f, const struct http1_header *h)
{
    static const struct {
        struct str name;
        int (*note)(struct facts *f, struct str value);
    } known[] = {
        [4] = {STR("host"), note_host},
        [6] = {STR("expect"), note_expect},
        [10] = {STR("connection"), note_connection},
        [14] = {STR("content-length"), note_length},
        [17] = {STR("transfer-encoding"), note_coding},
    };
    if (h->name.len >= ARRAY_LEN(known) || !known[h->name.len].note)
        return 0;
    if (!str_eq_nocase(h->name, known[h->name.len].name))
        return 0;
    return known[h->name.len].note(f, h->value);
}

static int take_fields(struct cursor *c, unsigned max, struct http1_header *headers,
                       unsigned *ret_count, struct facts *f)
{
    for (unsigned count = 0;; count++) {
        if (c->p == c->end)
            return MORE;
        if (*c->p == '\r') {
            *ret_count = count;
            return take_line_end(c);
        }
        if (count == max)
            return -ERR_HEADERS_TOO_LARGE;
        int r = take_field(c, &headers[count]);
        if (r != DONE)
            return r;
        r = note_field(f, &headers[count]);
        if (r < 0)
            return r;
    }
}

/* Both lengths at once is the classic smuggling form; HTTP/1.0 knows no transfer codings. */
static int judge_framing(const struct facts *f, unsigned minor)
{
    if (f->coding.ptr && (f->length_text.ptr || minor == 0))
        return -ERR_PARSE;
    return DONE;
}

static enum http1_body body_of(const struct facts *f, enum http1_body otherwise)
{
    if (f->coding.ptr)
        return HTTP1_BODY_CHUNKED;
    return f->length_text.ptr ? HTTP1_BODY_LENGTH : otherwise;
}

static bool keeps_alive(const struct facts *f, unsigned minor)
{
    return !f->close && (minor > 0 || f->keep_alive);
}

/* ---- requests -------------------------------------------------------------------------------- */

static int take_method(struct cursor *c, struct str *ret)
{
    const char *start = c->p;
    const char *limit = MIN(c->end, start + HTTP1_METHOD_MAX + 1);
    const char *p = scan_class(start, limit, CHAR_TOKEN);
    if (p - start > HTTP1_METHOD_MAX)
        return -ERR_PARSE;
    if (p == c->end)
        return MORE;
    if (*p != ' ' || p == start)
        return -ERR_PARSE;
    *ret = str_make(start, p - start);
    c->p = p + 1;
    return DONE;
}

/* Absolute-form: keeps the authority for the comparison with Host, and the path. */
static int reduce_absolute(struct http1_request *r, size_t scheme_len)
{
    struct str rest = str_from_offset(r->target, scheme_len);
    ptrdiff_t slash = str_find_char(rest, '/', 0);
    struct str authority = str_prefix(rest, slash < 0 ? rest.len : (size_t)slash);
    if (authority.len == 0 || !host_is_valid(authority))
        return -ERR_PARSE;
    r->host = authority;
    r->target = slash < 0 ? STR("/") : str_from_offset(rest, slash);
    return DONE;
}

static int judge_target(struct http1_request *r)
{
    if (str_eq(r->method, STR("CONNECT")))
        return -ERR_PARSE;
    if (r->target.ptr[0] == '/')
        return DONE;
    if (str_eq(r->target, STR("*")))
        return str_eq(r->method, STR("OPTIONS")) ? DONE : -ERR_PARSE;
    if (str_starts_nocase(r->target, STR("http://")))
        return reduce_absolute(r, strlen("http://"));
    if (str_starts_nocase(r->target, STR("https://")))
        return reduce_absolute(r, strlen("https://"));
    return -ERR_PARSE;
}

static int take_target(struct cursor *c, struct http1_request *r)
{
    const char *start = c->p;
    const char *p = scan_target(start, c->end);
    if (p == c->end)
        return MORE;
    if (*p != ' ' || p == start)
        return -ERR_PARSE;
    r->target = str_make(start, p - start);
    r->host = STR_NULL;
    c->p = p + 1;
    return judge_target(r);
}

static int take_request_line(struct cursor *c, struct http1_request *r)
{
    int rc = skip_empty_lines(c);
    if (rc == DONE)
        rc = take_method(c, &r->method);
    if (rc == DONE)
        rc = take_target(c, r);
    if (rc == DONE)
        rc = take_version(c, &r->minor);
    return rc == DONE ? take_line_end(c) : rc;
}

/* RFC 9112 3.2: exactly one Host from HTTP/1.1 on; it must not contradict the target. */
static int judge_host(struct http1_request *r, const struct facts *f)
{
    if (!f->host.ptr && r->minor > 0)
        return -ERR_PARSE;
    if (f->host.ptr && r->host.ptr && !str_eq_nocase(f->host, r->host))
        return -ERR_PARSE;
    if (f->host.ptr)
        r->host = f->host;
    else if (!r->host.ptr)
        r->host = STR("");
    return DONE;
}

ptrdiff_t http1_parse_request(struct str in, unsigned max_headers, struct http1_request *ret)
{
    struct cursor c = {in.ptr, in.ptr + in.len};
    struct facts f = {0};
    int rc = take_request_line(&c, ret);
    if (rc == DONE)
        rc = take_fields(&c, MIN(max_headers, (unsigned)HTTP1_HEADERS_MAX), ret->headers,
                         &ret->header_count, &f);
    if (rc == DONE)
        rc = judge_host(ret, &f);
    if (rc == DONE)
        rc = judge_framing(&f, ret->minor);
    if (rc != DONE)
        return rc;
    ret->body = body_of(&f, HTTP1_BODY_NONE);
    ret->content_length = f.length;
    ret->keep_alive = keeps_alive(&f, ret->minor);
    ret->expect_continue = f.expect_continue && ret->minor > 0;
    return c.p - in.ptr;
}

/* ---- responses ------------------------------------------------------------------------------- */

static int take_status(struct cursor *c, int *ret)
{
    int status = 0;
    for (int i = 0; i < 3; i++) {
        if (c->p == c->end)
            return MORE;
        char digit = *c->p++;
        if (digit < '0' || digit > '9')
            return -ERR_PARSE;
        status = status * 10 + (digit - '0');
        if (status == 0 || status > 599)
            return -ERR_PARSE;
    }
    *ret = status;
    return DONE;
}

/* The phrase means nothing and is sometimes left out, its space with it. */
static int take_reason(struct cursor *c)
{
    if (c->p < c->end && *c->p == ' ')
        c->p = scan_field(c->p, c->end);
    return take_line_end(c);
}

static int take_status_line(struct cursor *c, struct http1_response *r)
{
    int rc = skip_empty_lines(c);
    if (rc == DONE)
        rc = take_version(c, &r->minor);
    if (rc == DONE)
        rc = take_text(c, STR(" "));
    if (rc == DONE)
        rc = take_status(c, &r->status);
    return rc == DONE ? take_reason(c) : rc;
}

ptrdiff_t http1_parse_response(struct str in, bool head_request, struct http1_response *ret)
{
    struct cursor c = {in.ptr, in.ptr + in.len};
    struct facts f = {0};
    int rc = take_status_line(&c, ret);
    if (rc == DONE)
        rc = take_fields(&c, HTTP1_HEADERS_MAX, ret->headers, &ret->header_count, &f);
    if (rc == DONE)
        rc = judge_framing(&f, ret->minor);
    if (rc != DONE)
        return rc;
    /* RFC 9112 6.3: these never have a body, whatever their fields announce. */
    bool none = head_request || ret->status < 200 || ret->status == 204 || ret->status == 304;
    ret->body = none ? HTTP1_BODY_NONE : body_of(&f, HTTP1_BODY_TO_END);
    ret->content_length = f.length;
    ret->keep_alive = keeps_alive(&f, ret->minor) && ret->body != HTTP1_BODY_TO_END;
    return c.p - in.ptr;
}

struct str http1_find(const struct http1_header *headers, unsigned count, struct str lower_name)
{
    for (unsigned i = 0; i < count; i++) {
        const struct http1_header *h = &headers[i];
        if (h->name.len == lower_name.len && (h->name.ptr[0] | 0x20) == lower_name.ptr[0] &&
            str_eq_nocase(h->name, lower_name))
            return h->value;
    }
    return STR_NULL;
}
