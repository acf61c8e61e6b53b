/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * CORS rules of a bucket: the document, and which rule a request meets. Pure.
 * Sources: S3 API Reference, "PutBucketCors"; Fetch Standard 3.2 (what the headers mean).
 */

#include "base/arena.h"
#include "base/buf.h"

#define S3_CORS_RULES_MAX   100
#define S3_CORS_ENTRIES_MAX 100 /* of one kind in a rule */
#define S3_CORS_ID_MAX      255

struct s3_cors_list {
    struct str *items;
    size_t count;
};

/* A pattern among `origins` and `headers` holds at most one `*`, which stands for any text. */
struct s3_cors_rule {
    struct str id; /* ptr NULL: none */
    struct s3_cors_list origins, methods, headers, exposed;
    struct str max_age; /* seconds, perhaps negative; ptr NULL: none */
};
struct s3_cors {
    struct s3_cors_rule *rules;
    size_t count; /* 1 to S3_CORS_RULES_MAX */
};

/*
 * -ERR_MALFORMED_XML, -ERR_INVALID_REQUEST with a text in *ret_why (lives in `a`; ptr NULL: none),
 * -ENOMEM. Strings live in `a`.
 */
int s3_cors_parse(struct arena *a, struct str body, struct s3_cors *ret, struct str *ret_why);
/* GET, PUT, POST, DELETE, HEAD: what rules can allow. */
bool s3_cors_is_method(struct str s);
/* A header's name. */
bool s3_cors_is_header(struct str s);
/* The whole document, in one form. */
void s3_cors_xml(struct buf *b, const struct s3_cors *cors);

/*
 * The first rule that allows `method` from `origin` and every name of `headers` (a list with
 * commas; empty: none); NULL when none does. Origins and methods compare exactly, header names
 * without case. *ret_any: the origin was allowed by `*` alone.
 */
const struct s3_cors_rule *s3_cors_match(const struct s3_cors *cors, struct str origin,
                                         struct str method, struct str headers, bool *ret_any);
