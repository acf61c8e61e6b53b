/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The operation table: every operation of the S3 API, served or not.
 *
 * A request is told by method, resource level, one query sub-resource and, for copies, one header.
 * Routing takes the first row that fits, so rows with a sub-resource or header stand above the row
 * without. A sub-resource that the table knows but that no row of this method has is an error
 * (MethodNotAllowed) and never falls through to the plain operation: DELETE /b?versioning must not
 * delete the bucket.
 *
 * Invariant (tested): the request built from a row is routed to that row.
 */

#include "base/error.h"
#include "base/str.h"
#include "wire/http1.h"
#include "wire/uri.h"

enum s3_method { S3_GET, S3_HEAD, S3_PUT, S3_POST, S3_DELETE, S3_OPTIONS, S3_METHOD_OTHER };
enum s3_level { S3_SERVICE, S3_BUCKET, S3_OBJECT };

struct s3_request;
typedef int s3_op_handler(struct s3_request *q);

/* The bucket named need not exist (it is not looked up before the handler). */
#define S3_OP_NO_BUCKET 1u
/* Credentials may stand in a form body: an unsigned request is not refused from its headers. */
#define S3_OP_FORM 2u
/* The right hangs on what the body says: the handler judges. */
#define S3_OP_JUDGED_INSIDE 16u
/* The body is an object's bytes, streamed by the handler. */
#define S3_OP_STREAM 4u

/* Answered before anybody is asked who they are. */
#define S3_OP_ANYONE 8u
/* Neither data nor rights change, though it is no GET. */
#define S3_OP_READS 64u
/* x-amz-acl and x-amz-grant-* say who may do what with that which it makes. */
#define S3_OP_ACL 32u

struct s3_op {
    const char *name; /* as the API reference calls it */
    enum s3_method method;
    enum s3_level level;
    const char *query; /* sub-resource that must be there, or NULL; "list-type=2": with its value */
    const char *header; /* header that must be there, lower case, or NULL */
    const char *action; /* for iam_authorise */
    size_t body_max;    /* bytes of a body read whole; 0: none is read */
    unsigned flags;
    s3_op_handler *handler; /* NULL: NotImplemented */
};

extern const struct s3_op s3_ops[];
extern const unsigned s3_op_count;

/* The row of that name, which must be there. */
const struct s3_op *s3_op_named(const char *name);

enum s3_method s3_method_parse(struct str name);
const char *s3_method_name(enum s3_method m);

/* What routing looks at. */
struct s3_route {
    enum s3_method method;
    enum s3_level level;
    const struct uri_query *query;
    const struct http1_request *head;
};
/*
 * 0 with the operation; -ERR_METHOD_NOT_ALLOWED; -ERR_INVALID_ARGUMENT (two sub-resources);
 * -ERR_INVALID_REQUEST (a sub-resource of another level); -ERR_NOT_IMPLEMENTED (a bare word that is
 * none, where something is to be changed). On failure *ret_culprit names the
 * sub-resource, or is empty.
 */
int s3_route(const struct s3_route *r, const struct s3_op **ret, struct str *ret_culprit);
