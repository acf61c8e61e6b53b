/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The one decision: may this principal do this action on this resource, under these policies?
 *
 * The order is AWS's (IAM User Guide, "Policy evaluation logic"):
 *  1. An explicit Deny in any policy ends it. One exception, S3's own: nothing in a bucket's policy
 *     keeps the root of the owning account from reading, replacing and removing that policy.
 *  2. Inside an account the identity's policies and the bucket's are united; what the identity's
 *     allow is cut by its boundary, and everything by its session policies. The root of an account
 *     needs no policy for what is the account's.
 *  3. Across accounts both sides must allow: the identity's (cut as above), and the bucket's policy
 *     or an ACL.
 *  4. Anybody else, the anonymous above all, has what the bucket's policy or an ACL grants.
 *  5. Of a role, whose policy is its trust, nobody comes in whom that does not name.
 *  6. A bucket policy that names an account delegates to it: inside the account that alone allows
 *     nobody but its root.
 * RestrictPublicBuckets takes a public bucket policy's grants away from other accounts and the
 * anonymous; IgnorePublicAcls does so with public grants of ACLs.
 *
 * An object belongs to an account of its own, which may be another than the bucket's: what is done
 * to it is judged by whose the object is, and the bucket's policy can then deny but not allow (S3
 * User Guide, "How Amazon S3 authorizes a request for an object operation").
 *
 * Conditions ask for request values lazily: a request pays for what its policies mention.
 */

#include "iam/policy.h"
#include "iam/policy_tables.h"

/* The values a condition key has in the request; none: the key is absent. */
struct iam_values {
    const struct str *items;
    size_t count;
};

/*
 * The values of a key that iam does not know itself (it knows the principal's, the time's and the
 * resource's). `name` is what follows in keys that take a name. 0 with *ret filled (count 0: it is
 * absent), or a negative code, with which the decision fails. The values must stay until
 * iam_decide() has returned. Asked at most once for a key without a name.
 */
typedef int iam_context_fn(void *arg, enum iam_key key, struct str name, struct iam_values *ret);

enum iam_principal_kind {
    IAM_ANONYMOUS,
    IAM_ACCOUNT, /* the root of an account */
    IAM_USER,
    IAM_SESSION, /* of a role */
    IAM_FEDERATED,
    IAM_SERVICE,
};

/* A tag of the principal, a claim of its token, an attribute of its directory entry. */
struct iam_attribute {
    enum iam_key key;
    struct str name;
    struct iam_values values;
};

struct iam_principal {
    enum iam_principal_kind kind;
    bool everywhere;         /* the server's root: root of every account */
    struct str account;      /* its id; empty: anonymous, or a service */
    struct str arn;          /* arn:aws:iam::ACCOUNT:user/NAME; a session's own */
    struct str alias_arn;    /* another way to name it in a Principal; may be empty */
    struct str role_arn;     /* IAM_SESSION: of its role */
    struct str canonical_id; /* CanonicalUser */
    struct str name;         /* aws:username; the service's or the provider's name */
    struct str user_id;      /* aws:userid */
    const struct iam_attribute *attributes;
    size_t attribute_count;
};

struct iam_request {
    const struct iam_principal *who;
    enum iam_action action;
    struct str bucket, key;      /* S3 actions; empty where the action has none */
    struct str arn;              /* of the resource of other actions; may be empty */
    struct str alias_arn;        /* its other name; may be empty */
    struct str resource_account; /* whose the resource is; empty: the principal's own */
    uint64_t now_ms;
    iam_context_fn *context; /* NULL: every key that iam does not know is absent */
    void *context_arg;
};

struct iam_named_policy {
    struct str name;
    const struct policy *policy;
};
struct iam_policy_set {
    const struct iam_named_policy *items;
    size_t count;
};

#define IAM_SESSION_LEVELS_MAX 4

enum iam_acl_grant { IAM_ACL_NONE, IAM_ACL_GRANTED, IAM_ACL_PUBLIC };

/* Public access block. BlockPublicAcls and BlockPublicPolicy act when those are put. */
#define IAM_IGNORE_PUBLIC_ACLS      1u
#define IAM_RESTRICT_PUBLIC_BUCKETS 2u

struct iam_policies {
    struct iam_policy_set identity; /* of the user and its groups, or of the role */
    const struct policy *bucket;    /* of the resource, be it a bucket or a role; NULL: none */
    bool bucket_denies_only;        /* the object is another account's than the bucket */
    bool bucket_must;               /* it must name who asks: nobody assumes a role otherwise */
    const struct policy *boundary;  /* NULL: none */
    /* Each level is a set that must allow: a session of a session is inside both. */
    struct iam_policy_set sessions[IAM_SESSION_LEVELS_MAX];
    unsigned session_count;
    enum iam_acl_grant acl; /* what the ACL of bucket or object grants for this action */
    unsigned block;         /* IAM_IGNORE_... */
};

enum iam_outcome { IAM_ALLOW, IAM_EXPLICIT_DENY, IAM_IMPLICIT_DENY };

/* What decided. X(id, words) */
#define IAM_SOURCES(X)                         \
    X(NOTHING, "no policy allows it")          \
    X(OWNER, "the root of the account")        \
    X(IDENTITY, "a policy of the user")        \
    X(BUCKET, "the bucket policy")             \
    X(ACL, "an access control list")           \
    X(BOUNDARY, "the permissions boundary")    \
    X(SESSION, "a session policy")             \
    X(PUBLIC_BLOCK, "the public access block") \
    X(TRUST, "the trust policy of the role")
enum iam_source {
#define X(id, words) IAM_BY_##id,
    IAM_SOURCES(X)
#undef X
};
const char *iam_source_text(enum iam_source s);

struct iam_decision {
    enum iam_outcome outcome;
    enum iam_source source; /* of a denial that is implicit: the gate that did not open */
    struct str policy;      /* its name; empty: it has none, or no statement decided */
    struct str sid;         /* may be empty */
    int statement;          /* counted from 0 in the document; -1: none */
};

/*
 * 0 with *ret, whose strings live as long as the policies; or what the context answered. Suspends
 * only where the context does. Thread-safe.
 */
int iam_decide(const struct iam_request *r, const struct iam_policies *p, struct iam_decision *ret);
