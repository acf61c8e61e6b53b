/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Between headers and what the store keeps of an object: attributes and conditions, both ways.
 */

#include "s3/internal.h"

#define S3_CONTENT_TYPE_DEFAULT STR("binary/octet-stream")

/*
 * Content-Type, the system headers, x-amz-meta-*, the storage class, owner and ACL (for which the
 * right is asked).
 * `aws-chunked` is taken out of Content-Encoding. -ERR_METADATA_TOO_LARGE,
 * -ERR_INVALID_STORAGE_CLASS. Strings live as long as the request.
 */
int FIBER s3_attrs_read(struct s3_request *q, struct store_attrs *ret);
/* The storage class alone, the bucket's where the request names none: 0 with "" for STANDARD. */
int s3_storage_class_read(struct s3_request *q, struct str *ret);
/* Has the writer's chunks made with the code of the class; when that fails the writer is gone. */
int FIBER s3_writer_class(struct s3_request *q, struct store_writer **w, struct str name);
/* x-amz-website-redirect-location; ptr NULL: none. */
struct str s3_redirect_of(const struct store_attrs *a);
/* Another one, or none, in a list of headers of its own; -ENOMEM. */
int s3_redirect_replace(struct arena *arena, struct store_attrs *a, struct str to);
/* For XML: "STANDARD" when empty. */
struct str s3_storage_class_name(struct str storage_class);

/* Sets the response headers of an object: attributes with response-* overrides, ETag,
 * Last-Modified. The overrides were checked by s3_overrides_check. */
void s3_object_headers(struct s3_request *q, const struct store_object *o);
void s3_set_modified(struct s3_request *q, const struct store_object *o);
/* ETag, Last-Modified and cache headers only, for 304. */
void s3_not_modified_headers(struct s3_request *q, const struct store_object *o);
/* -ERR_INVALID_ARGUMENT for a value that cannot be a header. */
int s3_overrides_check(struct s3_request *q);

/* If-Match and the like; `prefix` is "" or "x-amz-copy-source-". A date that is none is as absent
 * (RFC 9110 13.1). */
void s3_conditions_read(struct s3_request *q, bool copy_source, struct store_conditions *ret);
/* Of a rename: those of the source, and those of the name that it is to have. */
void s3_conditions_rename(struct s3_request *q, struct store_conditions *ret_source,
                          struct store_conditions *ret);
/* For a write: If-Match and If-None-Match only, and the quotas of bucket and
 * account. */
int FIBER s3_conditions_write(struct s3_request *q, struct store_conditions *ret);
/* What others wrote since then counts: of a write that has taken a while, before it is committed.
 */
int FIBER s3_quota_renew(struct s3_request *q, struct store_conditions *c);
/* For a deletion: If-Match, and what directory buckets know. -ERR_INVALID_ARGUMENT. */
int s3_conditions_delete(struct s3_request *q, struct store_conditions *ret);
/* An HTTP date, or as some clients send it in ISO 8601. -EINVAL. */
int s3_date_read(struct str text, uint64_t *ret_ms);
/* Names the condition in a PreconditionFailed's body, as S3 does; returns `err`. */
int s3_explain_condition(struct s3_request *q, int err, const struct store_conditions *c);
/* The same of a copy's or rename's source, whose conditions' names begin with `prefix`; there is
 * nothing to be "not modified", S3 says 412 for all four. */
int s3_explain_source_condition(struct s3_request *q, int err, const struct store_conditions *c,
                                const char *prefix);
