/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A bucket's website: the document, and what it makes of a key or an error. Pure.
 * Sources: S3 API Reference, "PutBucketWebsite"; S3 User Guide, "Hosting a static website".
 */

#include "base/arena.h"
#include "base/buf.h"

#define S3_WEBSITE_RULES_MAX 50

/* Where a request is sent; ptr NULL: as it was. At most one of the replacements is given. */
struct s3_website_redirect {
    struct str host, protocol;
    struct str replace_prefix, replace_key;
    unsigned code; /* 0: 301 */
};

struct s3_website_rule {
    struct str prefix; /* ptr NULL: any key */
    unsigned error;    /* 0: before anything is looked up */
    struct s3_website_redirect to;
};

struct s3_website {
    bool redirects_all;
    struct s3_website_redirect all; /* host and protocol */
    struct str index;               /* the suffix, unless all is redirected */
    struct str error_key;           /* ptr NULL: none */
    struct s3_website_rule *rules;
    size_t rule_count;
};

/*
 * -ERR_MALFORMED_XML, -ERR_INVALID_REQUEST or -ERR_INVALID_ARGUMENT with a text in *ret_why (lives
 * in `a`; ptr NULL: none), -ENOMEM. Strings live in `a`.
 */
int s3_website_parse(struct arena *a, struct str body, struct s3_website *ret, struct str *ret_why);
/* Of a new document, whether its codes are those that S3 takes; those that are kept from before may
 * have any of their class. -ERR_INVALID_REQUEST. */
int s3_website_check(struct arena *a, const struct s3_website *site, struct str *ret_why);
/* The whole document, in one form. */
void s3_website_xml(struct buf *b, const struct s3_website *site);

/* The first rule for the key: with `error` 0 one that asks for no error, else one that asks for
 * this status. NULL: none. */
const struct s3_website_rule *s3_website_match(const struct s3_website *site, struct str key,
                                               unsigned error);
/* The address a rule leads to: its prefix (may be empty) is what is replaced of the key. `protocol`
 * and `host` are the request's own. */
void s3_website_location(struct buf *b, const struct s3_website_redirect *to, struct str prefix,
                         struct str key, struct str protocol, struct str host);
