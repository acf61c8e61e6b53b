/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Tags of objects and buckets: their two encodings and their rules. Pure. Tags are kept, and told,
 * in bytewise order of their keys.
 * Source: S3 User Guide, "Categorizing your objects using tags".
 */

#include "store/store.h"

#define S3_TAGS_MAX        10 /* an object */
#define S3_BUCKET_TAGS_MAX 50
#define S3_TAG_KEY_MAX     128 /* characters */
#define S3_TAG_VALUE_MAX   256

struct s3_tags {
    struct store_pair *pairs;
    size_t count;
};

/* What is wrong with tags beyond an error's usual text; ptr NULL: nothing to add. */
struct s3_tags_fault {
    struct str text;
    struct str key, value; /* of the tag at fault, where they are to be told */
};

/*
 * <Tagging><TagSet><Tag><Key/><Value/></Tag>…: -ERR_MALFORMED_XML, -ERR_INVALID_TAG (too many, too
 * long, a character that is none of a tag's, a key twice, one that starts with "aws:"). Strings
 * live in `a`.
 */
int s3_tags_parse_xml(struct arena *a, struct str body, size_t max, struct s3_tags *ret,
                      struct s3_tags_fault *fault);
/* The Tag elements below `set`, under whatever name a document has them: the same. */
struct xml_node;
int s3_tags_parse_set(struct arena *a, const struct xml_node *set, size_t max, struct s3_tags *ret,
                      struct s3_tags_fault *fault);
/* x-amz-tagging: "k=v&k2=v2", form-encoded. -ERR_INVALID_ARGUMENT when that is not what it is or a
 * key comes twice; else as above. */
int s3_tags_parse_header(struct arena *a, struct str text, struct s3_tags *ret,
                         struct s3_tags_fault *fault);
/* The whole document. */
void s3_tags_xml(struct buf *b, const struct store_pair *tags, size_t count);
