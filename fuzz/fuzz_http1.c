/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The input as a request, as a response and as a chunked body. However the bytes are cut, the
 * answer is the same; what is parsed lies inside the input and holds no byte that could split it.
 */

#include "fuzz.h"
#include "base/buf.h"
#include "wire/http1.h"

static struct http1_request req;
static struct http1_response res;

static ptrdiff_t parse_request(struct str in)
{
    return http1_parse_request(in, HTTP1_HEADERS_MAX, &req);
}

static ptrdiff_t parse_response(struct str in)
{
    return http1_parse_response(in, false, &res);
}

static void check_inside(struct str in, struct str part)
{
    CHECK(part.ptr >= in.ptr && part.ptr + part.len <= in.ptr + in.len);
    for (size_t i = 0; i < part.len; i++)
        CHECK(part.ptr[i] != '\r' && part.ptr[i] != '\n' && part.ptr[i] != '\0');
}

static void check_headers(struct str in, const struct http1_header *headers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        check_inside(in, headers[i].name);
        check_inside(in, headers[i].value);
        CHECK(headers[i].name.len > 0 && !memchr(headers[i].name.ptr, ':', headers[i].name.len));
    }
}

static void check_request(struct str in)
{
    if (parse_request(in) <= 0)
        return;
    check_inside(in, req.method);
    check_headers(in, req.headers, req.header_count);
    CHECK(req.target.len > 0 && (req.target.ptr[0] == '/' || str_eq(req.target, STR("*"))));
    CHECK(!memchr(req.target.ptr, ' ', req.target.len));
    CHECK(req.host.ptr && req.minor <= 1);
    CHECK(req.body != HTTP1_BODY_TO_END);
    CHECK(req.body == HTTP1_BODY_LENGTH || req.content_length == 0);
}

static void check_response(struct str in)
{
    if (parse_response(in) <= 0)
        return;
    check_headers(in, res.headers, res.header_count);
    CHECK(res.status >= 100 && res.status <= 599);
    CHECK(!res.keep_alive || res.body != HTTP1_BODY_TO_END);
}

/* A prefix of a head needs more; a prefix of an error needs more or is that error. */
static void check_prefix(ptrdiff_t (*parse)(struct str in), struct str in, size_t len)
{
    struct str prefix = fuzz_exact_prefix(in, len);
    ptrdiff_t whole = parse(in), part = parse(prefix);
    if (whole > 0)
        CHECK(part == ((size_t)whole <= len ? whole : 0));
    else
        CHECK(part == 0 || part == whole);
    free((char *)prefix.ptr);
}

/* Feeds [0, cut) and then the rest; returns the last result. */
static int decode(struct str in, size_t cut, struct buf *out, size_t *ret_used)
{
    struct http1_chunked c;
    size_t at = 0;
    int rc = 0;
    http1_chunked_init(&c);
    while (rc == 0 && at < in.len) {
        size_t used = 0, end = at < cut ? cut : in.len;
        struct str data;
        rc = http1_chunked_next(&c, str_make(in.ptr + at, end - at), &used, &data);
        if (rc < 0)
            break;
        CHECK(used > 0 && used <= end - at);
        buf_put_str(out, data);
        at += used;
    }
    *ret_used = at;
    return rc;
}

static void check_chunked(struct str in, size_t cut)
{
    _cleanup_buf_ struct buf whole, parts;
    size_t whole_used, parts_used;
    buf_init(&whole, 0);
    buf_init(&parts, 0);
    int rc = decode(in, 0, &whole, &whole_used);
    CHECK(decode(in, cut, &parts, &parts_used) == rc);
    if (rc < 0)
        return;
    CHECK(whole_used == parts_used && str_eq(buf_str(&whole), buf_str(&parts)));
    CHECK(rc == 1 || whole_used == in.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct str in = str_make(data, len);
    size_t cut = fuzz_split(in);
    check_request(in);
    check_response(in);
    check_prefix(parse_request, in, cut);
    check_prefix(parse_response, in, cut);
    check_chunked(in, cut);
    return 0;
}
