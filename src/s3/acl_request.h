/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Access control lists in requests, and whose what is.
 */

#include "s3/acl.h"
#include "s3/context.h"

enum s3_ownership {
    S3_OBJECT_WRITER, /* also of a bucket without controls, as in AWS */
    S3_OWNER_PREFERRED,
    S3_OWNER_ENFORCED, /* there are no lists */
};
enum s3_ownership s3_ownership_of(const struct store_bucket *bucket);
/* The account that owns the object, and the one that would own what the request writes. */
struct str s3_owner_of(const struct store_bucket *bucket, const struct store_object *o);
struct str s3_writer_of(const struct s3_request *q);
/* The account that began an upload. */
struct str s3_initiator_of(const struct store_upload *u);

/* Fills in what lists and owners say of the access: `acl` and `object_owner`. Looks the object up
 * where the action is about one. */
int FIBER s3_acl_judge(struct s3_context *c, struct iam_access *a);
/*
 * For whoever has opened the object that `action` was judged for last: when it is no longer the one
 * that was judged, it is judged now. `version_id` as in struct s3_context. 0 or -ERR_ACCESS_DENIED.
 */
int FIBER s3_still_allowed(struct s3_request *q, const char *action,
                           const struct store_bucket *bucket, struct str key, struct str version_id,
                           const struct store_object *o);

/* What x-amz-acl and x-amz-grant-* ask for, resolved; the owner's own when they are not there. As
 * s3_acl_canned() for the owners. -ERR_INVALID_ARGUMENT, -ERR_INVALID_REQUEST (both kinds),
 * -ERR_UNRESOLVABLE_EMAIL, -ERR_AMBIGUOUS_EMAIL, explained. */
int s3_acl_read(struct s3_request *q, struct str owner, struct str bucket_owner, struct s3_acl *ret,
                bool *ret_given);
/* Ids must be accounts', addresses become ids. */
int s3_acl_resolve(struct s3_request *q, struct s3_acl *acl);
/* Puts the fault into the error body; gives `err` back. */
int s3_acl_explain(struct s3_request *q, int err, const struct s3_acl_fault *fault);
/* Owner and list of an object to be written, with the right to set one. */
int FIBER s3_acl_of_write(struct s3_request *q, struct store_attrs *attrs);
