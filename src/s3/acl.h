/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Access control lists: who else may do what with a bucket or an object, in their four forms: the
 * XML body, the x-amz-grant-* headers, the canned names, and the bytes that are kept. Pure.
 *
 * A list grants and never denies, so one that cannot be read grants nothing. Owners need no grant:
 * what is theirs they may always do, whatever the list says (iam/policy_decide.h), so the list that
 * gives the owner everything and others nothing is kept as no bytes at all.
 *
 * Grants are kept in the order in which they came, but those to groups first. A grantee is an
 * account by its id, or a group; an e-mail address is one until it has been resolved.
 *
 * Source: S3 User Guide, "Access control list (ACL) overview".
 */

#include "base/arena.h"
#include "base/buf.h"
#include "iam/policy_decide.h"

#define S3_ACL_GRANTS_MAX 100
#define S3_ACL_ID_MAX     256 /* bytes; also of an address */

#define S3_PERMISSION_READ      1u
#define S3_PERMISSION_WRITE     2u
#define S3_PERMISSION_READ_ACP  4u
#define S3_PERMISSION_WRITE_ACP 8u
#define S3_PERMISSION_FULL      15u

enum s3_grantee {
    S3_GRANTEE_ACCOUNT,
    S3_GRANTEE_ALL,
    S3_GRANTEE_AUTHENTICATED,
    S3_GRANTEE_LOGS,
    S3_GRANTEE_EMAIL, /* never kept */
};

struct s3_grant {
    enum s3_grantee kind;
    unsigned permission; /* one of S3_PERMISSION_... */
    struct str id;       /* of the account, or the address */
};
struct s3_acl {
    struct s3_grant grants[S3_ACL_GRANTS_MAX];
    size_t count;
};

/* ---- the bytes ------------------------------------------------------------------------------ */

/* What is kept, in `a`; empty when nobody but the owner has a grant, and that is all. Groups come
 * first from here on. -ENOMEM. No address may be left. */
int s3_acl_encode(struct arena *a, struct s3_acl *acl, struct str owner, struct str *ret);
/* -ERR_CORRUPT. Ids point into `bytes` or are `owner`. */
int s3_acl_decode(struct str bytes, struct str owner, struct s3_acl *ret);

/* ---- as clients write it -------------------------------------------------------------------- */

/* What is wrong with a grant, for an InvalidArgument. */
struct s3_acl_fault {
    const char *argument, *text;
    struct str value;
};

/* An AccessControlPolicy. Ids are not looked up. *ret_owner is the id in Owner. -ERR_MALFORMED_ACL,
 * -ERR_INVALID_ARGUMENT (with the fault), -ENOMEM. Strings live in `a`. */
int s3_acl_parse_xml(struct arena *a, struct str body, struct s3_acl *ret, struct str *ret_owner,
                     struct s3_acl_fault *fault);
/* The grants alone, of a list that another document has under another name; added to `acl`. */
struct xml_node;
int s3_acl_parse_grants(const struct xml_node *list, struct s3_acl *acl,
                        struct s3_acl_fault *fault);
/* Adds what one header grants: id="…", emailAddress="…", uri="…", by commas; quotes may be left
 * out. -ERR_INVALID_ARGUMENT with the fault. Strings point into `text`. */
int s3_acl_parse_header(struct str text, unsigned permission, struct s3_acl *acl,
                        struct s3_acl_fault *fault);
/* The headers by permission, in the order in which their grants are kept. */
struct s3_grant_header {
    const char *name;
    unsigned permission;
};
#define S3_GRANT_HEADERS 5
extern const struct s3_grant_header s3_grant_headers[S3_GRANT_HEADERS];

/* What a canned name stands for; false: it is none. `bucket_owner` empty: of a bucket, where the
 * names that speak of the bucket's owner mean private. */
bool s3_acl_canned(struct str name, struct str owner, struct str bucket_owner, struct s3_acl *ret);
bool s3_acl_is_canned(struct str name);

/* The AccessControlPolicy; `name` gives the display name of an id. */
void s3_acl_xml(struct buf *b, const struct s3_acl *acl, struct str owner,
                struct str (*name)(void *arg, struct str id), void *arg);

/* The grants alone; `name` NULL: without display names. */
void s3_acl_xml_grants(struct buf *b, const struct s3_acl *acl,
                       struct str (*name)(void *arg, struct str id), void *arg);
/* As an inventory has it: {"version", "status", "grants": [...]}. */
void s3_acl_json(struct buf *b, const struct s3_acl *acl);

/* ---- what it comes to ----------------------------------------------------------------------- */

/* Grants something to everybody, or to everybody who signs. */
bool s3_acl_is_public(const struct s3_acl *acl);
/* Grants the owner everything, and nobody else anything. */
bool s3_acl_is_owners(const struct s3_acl *acl, struct str owner);

/* Which list speaks of an action, and which permission it takes there. */
enum s3_acl_scope {
    S3_ACL_NO_LIST,
    S3_ACL_OF_BUCKET,
    S3_ACL_OF_OBJECT,
    S3_ACL_OF_INITIATOR, /* none, but whoever began the upload may (S3 User Guide, "Multipart upload
                            API and permissions") */
};
/* *ret_permission 0: no list grants it, but whose the object is counts. */
enum s3_acl_scope s3_acl_scope_of(int action, unsigned *ret_permission);
/* What it gives to a member of `account` (empty: to the unsigned), who is not the owner's. */
enum iam_acl_grant s3_acl_grants(const struct s3_acl *acl, struct str account, struct str owner,
                                 unsigned permission);
