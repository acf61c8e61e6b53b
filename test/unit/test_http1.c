/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "test/unit/unit.h"
#include <stdio.h>
#include "base/buf.h"
#include "base/error.h"
#include "wire/http1.h"

static struct http1_request req;
static struct http1_response res;

static ptrdiff_t parse(const char *text)
{
    return http1_parse_request(str_from(text), HTTP1_HEADERS_MAX, &req);
}

static ptrdiff_t parse_fields(const char *fields)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    buf_printf(&b, "PUT /b/k HTTP/1.1\r\nHost: h\r\n%s\r\n", fields);
    return http1_parse_request(buf_str(&b), HTTP1_HEADERS_MAX, &req);
}

static void assert_str(struct str got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
}

/* ---- requests ------------------------------------------------------------------------------- */

#define TYPICAL                                       \
    "GET /bucket/key?x-id=GetObject HTTP/1.1\r\n"     \
    "Host: localhost:9000\r\n"                        \
    "User-Agent:  aws-cli/2.9.19 Python/3.11.2  \r\n" \
    "X-Amz-Date: 20260102T030405Z\r\n"                \
    "x-amz-meta-tab:\ta\tb \t\r\n"                    \
    "Range: bytes=0-9\r\n"                            \
    "Empty:\r\n"                                      \
    "\r\n"

static void request_is_taken_apart(void **state)
{
    assert_int_equal(parse(TYPICAL "next"), strlen(TYPICAL));
    assert_str(req.method, "GET");
    assert_str(req.target, "/bucket/key?x-id=GetObject");
    assert_str(req.host, "localhost:9000");
    assert_int_equal(req.minor, 1);
    assert_int_equal(req.header_count, 6);
    assert_str(req.headers[1].name, "User-Agent");
    assert_str(req.headers[1].value, "aws-cli/2.9.19 Python/3.11.2");
    assert_str(http1_find(req.headers, req.header_count, STR("x-amz-meta-tab")), "a\tb");
    assert_str(http1_find(req.headers, req.header_count, STR("range")), "bytes=0-9");
    assert_str(http1_find(req.headers, req.header_count, STR("empty")), "");
    assert_null(http1_find(req.headers, req.header_count, STR("absent")).ptr);
    assert_null(http1_find(req.headers, req.header_count, STR("renge")).ptr);
    assert_int_equal(req.body, HTTP1_BODY_NONE);
    assert_true(req.keep_alive);
    assert_false(req.expect_continue);
}

static void every_prefix_needs_more(void **state)
{
    struct str whole = STR(TYPICAL);
    for (size_t len = 0; len < whole.len; len++) {
        char *exact = malloc(len + 1); /* so that a sanitizer sees a read beyond it */
        memcpy(exact, whole.ptr, len);
        exact = realloc(exact, len ? len : 1);
        assert_int_equal(http1_parse_request(str_make(exact, len), 128, &req), 0);
        free(exact);
    }
}

static void leading_empty_lines_are_skipped_and_counted(void **state)
{
    assert_int_equal(parse("\r\n\r\nGET / HTTP/1.1\r\nHost:h\r\n\r\n"), 30);
    assert_int_equal(parse("\r\n"), 0);
    assert_int_equal(parse("\nGET / HTTP/1.1\r\nHost:h\r\n\r\n"), -ERR_PARSE);
}

static void malformed_request_lines_are_refused(void **state)
{
    const char *const bad[] = {
        " GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.10\r\nHost: h\r\n\r\n",
        "GET / http/1.1\r\nHost: h\r\n\r\n",
        "GET / \r\nHost: h\r\n\r\n",
        "GET /\r\n\r\n",
        "G\"T / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a\x7f HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a\x01 HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
        "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n",
        "CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\nHost: h\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (parse(bad[i]) != -ERR_PARSE)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(http1_parse_request(STR("GET /a\0b HTTP/1.1\r\nHost: h\r\n\r\n"), 9, &req),
                     -ERR_PARSE);
}

static void raw_utf8_and_odd_but_visible_targets_are_taken(void **state)
{
    assert_true(parse("GET /b/\xc3\xa9|\"{}<>^`[]\\ HTTP/1.1\r\nHost: h\r\n\r\n") > 0);
    assert_str(req.target, "/b/\xc3\xa9|\"{}<>^`[]\\");
    assert_true(parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n") > 0);
    assert_str(req.target, "*");
}

static void absolute_form_is_reduced(void **state)
{
    assert_true(parse("GET http://H:80/b/k?q HTTP/1.1\r\nHost: h:80\r\n\r\n") > 0);
    assert_str(req.target, "/b/k?q");
    assert_str(req.host, "h:80");
    assert_true(parse("GET HTTPS://h HTTP/1.1\r\nHost: h\r\n\r\n") > 0);
    assert_str(req.target, "/");
    assert_true(parse("GET http://h/ HTTP/1.0\r\n\r\n") > 0);
    assert_str(req.host, "h");
}

static void absolute_form_that_contradicts_host_is_refused(void **state)
{
    assert_int_equal(parse("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n"), -ERR_PARSE);
    assert_int_equal(parse("GET http://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n"), -ERR_PARSE);
    assert_int_equal(parse("GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n"), -ERR_PARSE);
    assert_int_equal(parse("GET http://u@a/ HTTP/1.1\r\nHost: u@a\r\n\r\n"), -ERR_PARSE);
    assert_int_equal(parse("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"), -ERR_PARSE);
    assert_int_equal(parse("GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n"), -ERR_PARSE);
}

static void host_is_required_once_and_well_formed(void **state)
{
    assert_int_equal(parse("GET / HTTP/1.1\r\n\r\n"), -ERR_PARSE);
    assert_int_equal(parse("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"), -ERR_PARSE);
    assert_true(parse("GET / HTTP/1.0\r\n\r\n") > 0);
    assert_str(req.host, "");
    const char *const good[] = {
        "", "a", "a:1", "a:", "1.2.3.4:65535", "[::1]", "[fe80::1.2.3.4]:9"};
    const char *const bad[] = {"a b", "a/b",  "a:b",    "a:123456", "a@b",
                               "[]",  "[::1", "[::1]x", "a,b/"};
    char text[128];
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", good[i]);
        assert_true(parse(text) > 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", bad[i]);
        assert_int_equal(parse(text), -ERR_PARSE);
    }
}

static void malformed_fields_are_refused(void **state)
{
    const char *const bad[] = {
        "A : b\r\n",
        "A\t: b\r\n",
        " A: b\r\n",
        "\tA: b\r\n",
        "A: b\r\n c\r\n",
        "A: b\r\n\tc\r\n",
        ": b\r\n",
        "A\r\n",
        "A b: c\r\n",
        "A: b\n",
        "A: b\rC: d\r\n",
        "A: b\r\r\n",
        "A: \x01\r\n",
        "A: \x7f\r\n",
        "A\xc3\xa9: b\r\n",
        "A(: b\r\n",
        "A: b\x0b\r\n",
        "A: b\n\r\n",
        "A: 0123456789abcdef0123\x08 \r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (parse_fields(bad[i]) != -ERR_PARSE)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(
        http1_parse_request(STR("GET / HTTP/1.1\r\nHost: h\r\nA: \0\r\n\r\n"), 9, &req),
        -ERR_PARSE);
}

static bool is_one_of(int byte, const char *more)
{
    bool alnum = (byte >= '0' && byte <= '9') || ((byte | 32) >= 'a' && (byte | 32) <= 'z');
    return (byte && strchr(more, byte)) || (byte < 128 && alnum);
}

static bool takes_byte(const char *before, int byte, const char *after)
{
    char text[256];
    int len = snprintf(text, sizeof(text), "%s%c%s", before, byte, after);
    return http1_parse_request(str_make(text, (size_t)len), 128, &req) == len;
}

/* The grammars of RFC 9110 5.6.2 and 5.5 and RFC 3986 3.2.2, and the room left in targets. */
static void every_byte_is_judged_where_it_stands(void **state)
{
    for (int byte = 0; byte < 256; byte++) {
        bool visible = byte > 0x20 && byte != 0x7f;
        assert_int_equal(takes_byte("GET / HTTP/1.1\r\nHost: h\r\nA", byte, "A: b\r\n\r\n"),
                         is_one_of(byte, "!#$%&'*+-.^_`|~:"));
        assert_int_equal(takes_byte("GET / HTTP/1.1\r\nHost: h\r\nA: b", byte, "b\r\n\r\n"),
                         visible || byte == ' ' || byte == '\t');
        assert_int_equal(takes_byte("GET /", byte, "b HTTP/1.1\r\nHost: h\r\n\r\n"),
                         visible && byte != '#');
        assert_int_equal(takes_byte("GET / HTTP/1.1\r\nHost: a", byte, "a\r\n\r\n"),
                         is_one_of(byte, "-._~!$&'()*+,;=%"));
        assert_int_equal(takes_byte("A", byte, "B / HTTP/1.1\r\nHost: h\r\n\r\n"),
                         is_one_of(byte, "!#$%&'*+-.^_`|~"));
    }
}

static void ambiguous_framing_is_refused(void **state)
{
    const char *const bad[] = {
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x10\r\n",
        "Content-Length: 1 0\r\n",
        "Content-Length: 010\r\n",
        "Content-Length: 1.0\r\n",
        "Content-Length:\r\n",
        "Content-Length: 9223372036854775808\r\n",
        "Content-Length: 18446744073709551617\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: gzip\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (parse_fields(bad[i]) >= 0)
            fail_msg("accepted: %s", bad[i]);
    assert_int_equal(parse("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), -ERR_PARSE);
    assert_int_equal(parse_fields("Transfer-Encoding: gzip, chunked\r\n"), -ERR_NOT_IMPLEMENTED);
}

static void body_framing_is_recognised(void **state)
{
    assert_true(parse_fields("Content-Length: 9223372036854775807\r\n") > 0);
    assert_int_equal(req.body, HTTP1_BODY_LENGTH);
    assert_true(req.content_length == INT64_MAX);
    assert_true(parse_fields("content-length:0\r\n") > 0);
    assert_int_equal(req.body, HTTP1_BODY_LENGTH);
    assert_true(parse_fields("Transfer-Encoding: \tChunked \r\n") > 0);
    assert_int_equal(req.body, HTTP1_BODY_CHUNKED);
    assert_int_equal(req.content_length, 0);
}

static void connection_and_expect_are_read(void **state)
{
    assert_true(parse_fields("Connection: TE, close\r\n") > 0);
    assert_false(req.keep_alive);
    assert_true(parse_fields("Connection: TE\r\nConnection: Close\r\n") > 0);
    assert_false(req.keep_alive);
    assert_true(parse("GET / HTTP/1.0\r\n\r\n") > 0);
    assert_false(req.keep_alive);
    assert_true(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") > 0);
    assert_true(req.keep_alive);
    assert_true(parse_fields("Expect: 100-Continue\r\n") > 0);
    assert_true(req.expect_continue);
    assert_true(parse("PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n") > 0);
    assert_false(req.expect_continue);
}

static void header_count_is_limited(void **state)
{
    struct str three = STR("GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\n\r\n");
    assert_true(http1_parse_request(three, 3, &req) > 0);
    assert_int_equal(http1_parse_request(three, 2, &req), -ERR_HEADERS_TOO_LARGE);
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    buf_put_cstr(&b, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < HTTP1_HEADERS_MAX; i++)
        buf_put_cstr(&b, "a: b\r\n");
    buf_put_cstr(&b, "\r\n");
    assert_int_equal(http1_parse_request(buf_str(&b), 1000, &req), -ERR_HEADERS_TOO_LARGE);
}

/* ---- responses ------------------------------------------------------------------------------ */

static ptrdiff_t parse_reply(const char *text, bool head_request)
{
    return http1_parse_response(str_from(text), head_request, &res);
}

static void response_is_taken_apart(void **state)
{
    struct str whole = STR("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello");
    assert_int_equal(http1_parse_response(whole, false, &res), whole.len - 5);
    assert_int_equal(res.status, 404);
    assert_int_equal(res.body, HTTP1_BODY_LENGTH);
    assert_int_equal(res.content_length, 5);
    assert_true(res.keep_alive);
    for (size_t len = 0; len < whole.len - 5; len++)
        assert_int_equal(http1_parse_response(str_prefix(whole, len), false, &res), 0);
}

static void response_body_follows_status_and_method(void **state)
{
    assert_true(parse_reply("HTTP/1.1 200\r\n\r\n", false) > 0);
    assert_int_equal(res.body, HTTP1_BODY_TO_END);
    assert_false(res.keep_alive);
    assert_true(parse_reply("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true) > 0);
    assert_int_equal(res.body, HTTP1_BODY_NONE);
    assert_true(parse_reply("HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n", false) > 0);
    assert_int_equal(res.body, HTTP1_BODY_NONE);
    assert_true(parse_reply("HTTP/1.1 100 Continue\r\n\r\n", false) > 0);
    assert_int_equal(res.body, HTTP1_BODY_NONE);
    assert_true(parse_reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false) > 0);
    assert_int_equal(res.body, HTTP1_BODY_CHUNKED);
}

static void malformed_responses_are_refused(void **state)
{
    const char *const bad[] = {
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 099 x\r\n\r\n",
        "HTTP/1.1 600 x\r\n\r\n",
        "HTTP/1.1 200OK\r\n\r\n",
        "HTTP/1.1 200 O\x01K\r\n",
        "HTTP/1.1 200 OK\n\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (parse_reply(bad[i], false) != -ERR_PARSE)
            fail_msg("accepted: %s", bad[i]);
}

/* ---- chunked -------------------------------------------------------------------------------- */

/* Feeds `in` in pieces of `step`; the payload goes to `out`. Returns the last result. */
static int decode(struct str in, size_t step, struct buf *out, size_t *ret_used)
{
    struct http1_chunked c;
    http1_chunked_init(&c);
    size_t at = 0;
    while (at < in.len) {
        size_t used;
        struct str data;
        int r = http1_chunked_next(&c, str_prefix(str_from_offset(in, at), step), &used, &data);
        if (r < 0)
            return r;
        buf_put_str(out, data);
        at += used;
        *ret_used = at;
        if (r == 1)
            return 1;
    }
    return 0;
}

static void chunked_body_is_decoded_in_pieces_of_any_size(void **state)
{
    struct str in = STR("5\r\nhello\r\n1A;ext=\"1;2\" ; b\r\nabcdefghijklmnopqrstuvwxyz\r\n"
                        "000\r\nTrailer: x\r\nEmpty:\r\n\r\nGET");
    for (size_t step = 1; step <= in.len; step++) {
        _cleanup_buf_ struct buf out;
        buf_init(&out, 0);
        size_t used;
        assert_int_equal(decode(in, step, &out, &used), 1);
        assert_int_equal(used, in.len - 3);
        assert_str(buf_str(&out), "helloabcdefghijklmnopqrstuvwxyz");
    }
}

static void malformed_chunks_are_refused(void **state)
{
    const char *const bad[] = {
        "\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "0x5\r\nhello\r\n",
        "+5\r\n",
        "-5\r\n",
        "5\nhello\r\n",
        "5\r\nhello\n",
        "5\r\nhellox\r\n",
        "g\r\n",
        "5;\nhello\r\n",
        "5\rhello",
        "0\r\nA b: c\r\n",
        "0\r\n: c\r\n",
        "0\r\n a: b\r\n",
        "0\r\n\n",
        "0\r\na: b\n\r\n",
        "5;a\x01\r\n",
        "1000000000000000\r\n",
        "fffffffffffffffff\r\n",
        "0\r\n\rx",
        ";a\r\n",
        "0\r\na: \x7f\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        for (size_t step = 1; step <= 64; step += 63) {
            _cleanup_buf_ struct buf out;
            buf_init(&out, 0);
            size_t used;
            if (decode(str_from(bad[i]), step, &out, &used) != -ERR_PARSE)
                fail_msg("accepted: %s", bad[i]);
        }
    }
}

static int decode_repeated(const char *start, const char *repeated, unsigned times)
{
    _cleanup_buf_ struct buf in, out;
    buf_init(&in, 0);
    buf_init(&out, 0);
    buf_put_cstr(&in, start);
    for (unsigned i = 0; i < times; i++)
        buf_put_cstr(&in, repeated);
    size_t used;
    return decode(buf_str(&in), SIZE_MAX, &out, &used);
}

static void chunk_overhead_is_limited(void **state)
{
    assert_int_equal(decode_repeated("1", "0", 14), 0);
    assert_int_equal(decode_repeated("1", "0", 15), -ERR_PARSE);
    assert_int_equal(decode_repeated("", "0", 256), 0);
    assert_int_equal(decode_repeated("", "0", 257), -ERR_PARSE);
    assert_int_equal(decode_repeated("1;", "a", 254), 0);
    assert_int_equal(decode_repeated("1;", "a", 255), -ERR_PARSE);
    assert_int_equal(decode_repeated("", "1;0123456\r\nx\r\n", 2048), 0);
    assert_int_equal(decode_repeated("", "1;0123456\r\nx\r\n", 2049), -ERR_PARSE);
    assert_int_equal(decode_repeated("0\r\n", "abc: defg\r\n", 700), 0);
    assert_int_equal(decode_repeated("0\r\n", "abc: defg\r\n", 900), -ERR_PARSE);
}

static void a_broken_body_stays_broken(void **state)
{
    struct http1_chunked c;
    http1_chunked_init(&c);
    size_t used;
    struct str data;
    assert_int_equal(http1_chunked_next(&c, STR("x"), &used, &data), -ERR_PARSE);
    assert_int_equal(http1_chunked_next(&c, STR("0\r\n\r\n"), &used, &data), -ERR_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_is_taken_apart),
        cmocka_unit_test(every_prefix_needs_more),
        cmocka_unit_test(leading_empty_lines_are_skipped_and_counted),
        cmocka_unit_test(malformed_request_lines_are_refused),
        cmocka_unit_test(raw_utf8_and_odd_but_visible_targets_are_taken),
        cmocka_unit_test(absolute_form_is_reduced),
        cmocka_unit_test(absolute_form_that_contradicts_host_is_refused),
        cmocka_unit_test(host_is_required_once_and_well_formed),
        cmocka_unit_test(malformed_fields_are_refused),
        cmocka_unit_test(every_byte_is_judged_where_it_stands),
        cmocka_unit_test(ambiguous_framing_is_refused),
        cmocka_unit_test(body_framing_is_recognised),
        cmocka_unit_test(connection_and_expect_are_read),
        cmocka_unit_test(header_count_is_limited),
        cmocka_unit_test(response_is_taken_apart),
        cmocka_unit_test(response_body_follows_status_and_method),
        cmocka_unit_test(malformed_responses_are_refused),
        cmocka_unit_test(chunked_body_is_decoded_in_pieces_of_any_size),
        cmocka_unit_test(malformed_chunks_are_refused),
        cmocka_unit_test(chunk_overhead_is_limited),
        cmocka_unit_test(a_broken_body_stays_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
