/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Percent-encoding, request targets and query strings (RFC 3986). A `+` in a path is a plus; in a
 * query it is a space, in that of a target as in a form body: so does AWS, and some clients that
 * sign `%20` send `+` (what builds queries for browsers writes it).
 *
 * What comes out lives as long as the arena and the bytes that went in: text without an escape is
 * handed back as it is, not copied.
 */

#include "base/arena.h"
#include "base/buf.h"

/* Decodes %XX; -ERR_INVALID_URI on a bad escape, -ENOMEM. Any byte may come out, NUL too. */
int uri_decode(struct arena *a, struct str s, struct str *ret);
/* As uri_decode, with `+` for space (application/x-www-form-urlencoded). */
int uri_decode_form(struct arena *a, struct str s, struct str *ret);
/* AWS's UriEncode: all but A-Z a-z 0-9 - . _ ~ become %XX (upper case); `/` kept if asked. */
void uri_encode(struct buf *out, struct str s, bool keep_slash);

struct uri_param {
    struct str name, value; /* decoded */
    bool has_value;         /* an `=` was there */
};
struct uri_query {
    struct uri_param *params; /* in the order received */
    size_t count;
};
#define URI_PARAMS_MAX 128
/*
 * Of a target, `raw` being without the `?`, or of a form body; empty pieces between `&` are
 * skipped.
 * -ERR_INVALID_URI; -ERR_TOO_LARGE beyond URI_PARAMS_MAX; -ENOMEM.
 */
int uri_parse_query(struct arena *a, struct str raw, struct uri_query *ret);
/* The value of the first such parameter; ptr NULL when absent; "" with ptr set when empty. */
struct str uri_query_get(const struct uri_query *q, struct str name);
bool uri_query_has(const struct uri_query *q, struct str name);

/* Splits a target at the first `?`; the query's ptr is NULL when there is none. */
void uri_split(struct str target, struct str *ret_path, struct str *ret_query);
