/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * HTTP/1.1 messages, sans I/O: bytes in, a parsed head or "need more" out. Strict: what RFC 9112
 * calls an error is one here, and so is every form two parsers could read differently (request
 * smuggling): a bare CR or LF, space before the colon, obs-fold, Content-Length with
 * Transfer-Encoding, either of them twice, a list of lengths, signs and leading zeros in lengths,
 * chunked not last, NUL, no Host or two, a Host that differs from an absolute target's.
 *
 * Promises: nothing is allocated; a head that parses does so with the same result whatever follows
 * it, and every shorter prefix of it gives "need more"; an error found in a prefix is the error of
 * the whole.
 */

#include "base/str.h"

#define HTTP1_HEADERS_MAX 128
#define HTTP1_METHOD_MAX  32

struct http1_header {
    struct str name;  /* as received; compare without case */
    struct str value; /* trimmed */
};

enum http1_body { HTTP1_BODY_NONE, HTTP1_BODY_LENGTH, HTTP1_BODY_CHUNKED, HTTP1_BODY_TO_END };

/* All strings point into the bytes parsed. */
struct http1_request {
    struct str method;
    struct str target; /* as received: origin-form (absolute-form is reduced to it), "*" */
    struct str host;   /* of the Host header, or of an absolute target; "" when HTTP/1.0 without */
    unsigned minor;    /* HTTP/1.minor: 0 or 1 (later minors are served as 1) */
    struct http1_header headers[HTTP1_HEADERS_MAX];
    unsigned header_count;
    enum http1_body body;    /* LENGTH whenever a Content-Length was sent, also of 0 */
    uint64_t content_length; /* when HTTP1_BODY_LENGTH, else 0 */
    bool keep_alive;
    bool expect_continue;
};

struct http1_response {
    int status; /* 100 to 599 */
    unsigned minor;
    struct http1_header headers[HTTP1_HEADERS_MAX];
    unsigned header_count;
    enum http1_body body;
    uint64_t content_length;
    bool keep_alive;
};

/*
 * Parses a head at the start of `in`. Returns its length in bytes (> 0), 0 when more bytes are
 * needed, -ERR_PARSE (400), -ERR_HEADERS_TOO_LARGE (more than `max_headers`), -ERR_NOT_IMPLEMENTED
 * (an unknown transfer coding: 501). Leading empty lines are skipped. The caller limits the bytes
 * it collects. What `ret` holds is undefined unless the result is positive.
 */
ptrdiff_t http1_parse_request(struct str in, unsigned max_headers, struct http1_request *ret);
/* `head_request`: the reply to a HEAD has no body. */
ptrdiff_t http1_parse_response(struct str in, bool head_request, struct http1_response *ret);

/* First value of the header, or ptr NULL. `lower_name` in lower case. */
struct str http1_find(const struct http1_header *headers, unsigned count, struct str lower_name);

/*
 * Decodes `Transfer-Encoding: chunked` (RFC 9112 section 7.1). Trailer fields are parsed for form
 * and dropped, so are chunk extensions. Bounded: a size line of 256 bytes, extensions of 16 KiB
 * and trailers of 8 KiB in the whole body, chunks below 2^60 bytes.
 */
struct http1_chunked {
    int state;
    uint64_t left; /* bytes of the chunk still to come */
    unsigned line_bytes, extension_bytes, trailer_bytes;
};
void http1_chunked_init(struct http1_chunked *c);
/*
 * Takes bytes from `in`: *ret_used says how many were consumed, *ret_data is a run of body bytes
 * inside them (maybe empty). 0: go on (after all of `in`, or after a run of data); 1: the body has
 * ended; -ERR_PARSE, for good.
 */
int http1_chunked_next(struct http1_chunked *c, struct str in, size_t *ret_used,
                       struct str *ret_data);
