/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Users and access keys, and the right of a request.
 *
 * Every user belongs to an account. An account is what owns buckets; its id is the user id of the
 * user that is its root, who may do everything there. A user is an account of its own unless it was
 * made a member of another: a member has the rights its policies and groups give it, and no others.
 * The server's root is root of every account; its own account is "root".
 *
 * Keys are served from memory (all of them: a user is small), the metadata is the authority.
 * Secrets never leave through a list or a log.
 */

#include "base/arena.h"
#include "iam/policy_decide.h"
#include "meta/meta.h"

#define IAM_USERS_MAX         100000
#define IAM_USER_POLICIES_MAX 40 /* of one user, group or role: attached and inline together */
#define IAM_USER_GROUPS_MAX   16
#define IAM_USER_KEYS_MAX     128 /* service accounts and own keys together */
#define IAM_OWN_KEYS_MAX      8   /* access keys without service accounts */
#define IAM_TAGS_MAX          50  /* of a user or role */
#define IAM_TAG_KEY_MAX       128 /* characters */
#define IAM_TAG_VALUE_MAX     256

struct iam;

/* The policies of a user and of its groups, as they are at one moment. */
struct iam_grants;

/* What kind of credential a request was signed with. */
enum iam_credential {
    IAM_OWN_KEY,
    IAM_SERVICE_KEY,  /* a service account: its parent's rights, inside its own policy */
    IAM_USER_SESSION, /* temporary, with a user's rights */
    IAM_ROLE_SESSION, /* temporary, with a role's */
    IAM_LDAP_SESSION, /* temporary, with what is attached to a user of the directory */
    IAM_WEB_IDENTITY, /* none yet: a token of a provider, whose ARN is the identity's name */
};

struct iam_identity {
    struct str user_id; /* canonical id; of a role session ROLE_ID:SESSION */
    struct str display_name;
    struct str access_key;
    struct str name;                 /* as its account knows it */
    struct str account;              /* what owns the buckets it makes */
    struct str arn, alias_arn;       /* arn:aws:iam::ACCOUNT:user/NAME, arn:aws:iam:::user/NAME */
    bool root;                       /* the server's */
    uint32_t request_rate;           /* of a user, with all its keys; 0: no limit */
    const struct iam_grants *grants; /* NULL: none; iam_identity_release() */
    enum iam_credential credential;
    struct str role_arn; /* IAM_ROLE_SESSION */
    bool narrowed;       /* the session's or service account's own policies must allow, too */
    struct iam_policy_set session;
    const struct iam_attribute *attributes; /* of the session: claims, times */
    size_t attribute_count;
    uint64_t expires_ms; /* 0: never */
};
/* Gives back what iam_lookup() took. Accepts a zeroed one. */
void iam_identity_release(struct iam_identity *who);

/* How tokens of web identities are verified (oidc.h). */
struct iam_oidc {
    unsigned algorithms; /* bits of jwt.h; 0: JWT_DEFAULT */
    bool allow_local;    /* providers may be on this machine and its link, and without TLS */
    const char *ca_path; /* borrowed; NULL: the system's */
};
struct iam_ldap_config;
struct iam_config {
    struct meta *meta;                           /* borrowed */
    struct str root_access_key, root_secret_key; /* copied */
    struct iam_oidc oidc;
    const struct iam_ldap_config *ldap; /* borrowed; NULL: there is no directory */
};
int FIBER iam_open(struct iam **ret, const struct iam_config *config);
void FIBER iam_close(struct iam *iam);

/*
 * The identity and secret of an access key; strings in `a`. Thread-safe, never suspends.
 * -ERR_INVALID_ACCESS_KEY. Release the identity.
 */
int iam_lookup(struct iam *iam, struct arena *a, struct str access_key,
               struct iam_identity *ret_identity, struct str *ret_secret);
/* The display name of a user id, or the id itself. */
struct str iam_display_name(struct iam *iam, struct arena *a, struct str user_id);

/* Whether there is an account of that id: what ACLs grant to. */
bool iam_account_exists(struct iam *iam, struct str account);
/* The account whose root has that e-mail address, whatever its case, in `a`: -ERR_NOT_FOUND;
 * -ERR_EXISTS: several have it. Walks all users. */
int iam_account_of_email(struct iam *iam, struct arena *a, struct str email, struct str *ret);

/* An action on a bucket, an object or nothing: "s3:GetObject" and the like. */
struct iam_access {
    const struct iam_identity *who; /* NULL: anonymous, or: */
    struct str service;             /* of ours, by its name (logging.s3.amazonaws.com) */
    struct str action;
    struct str bucket, key;    /* empty where the action has none */
    struct str bucket_owner;   /* an account; empty: no such bucket, or none involved */
    struct str object_owner;   /* an account, when another than the bucket's owns the key */
    struct str arn, alias_arn; /* what actions on neither are done to */
    const struct policy *bucket_policy; /* NULL: none */
    bool resource_must; /* that policy must name who asks: it is the trust of a role */
    enum iam_acl_grant acl;
    unsigned block;          /* IAM_IGNORE_... */
    iam_context_fn *context; /* NULL: no values but iam's own */
    void *context_arg;
};
/*
 * 0 or -ERR_ACCESS_DENIED, or what the context failed with. The only place where a right is
 * decided. *ret_why (may be NULL) is filled whenever there was a decision; its strings live as long
 * as identity and bucket policy.
 */
int iam_authorise(struct iam *iam, const struct iam_access *r, struct iam_decision *ret_why);

/* 0: no limit. */
struct iam_limits {
    uint32_t request_rate;   /* a second, of a user with all its keys */
    uint64_t bytes, objects; /* of an account, in all its buckets */
};

/* Told by aws:PrincipalTag/KEY. Texts lie in pairs: a key, its value, the next key; no two keys
 * differ in case alone. */
struct iam_tags {
    const struct str *texts;
    size_t count; /* of texts: twice that of the tags */
};

struct iam_user {
    struct str name, user_id, access_key, email, display_name;
    struct str account; /* its own user id, or whose member it is */
    struct str path;    /* "/" */
    struct str arn;
    struct str boundary; /* a policy's name; empty: none */
    uint64_t created_ms;
    struct iam_limits limits;
    const struct str *policies, *groups; /* names */
    size_t policy_count, group_count;
    struct iam_tags tags;
};
struct iam_user_spec {
    struct str name, access_key, secret_key;
    struct str user_id, email, display_name; /* empty: made up (id), or the name */
    struct str account;                      /* empty: its own */
    struct str path;                         /* empty: "/" */
    struct str boundary;                     /* a policy's name; empty: none */
    struct iam_tags tags;
};
/*
 * -ERR_EXISTS (name, id or key taken), -EINVAL (limits: key 3 to 128, secret 8 to 128 bytes, or
 * neither: a user without a key), -ERR_NOT_FOUND (the account is nobody's, or no such boundary).
 */
int FIBER iam_user_add(struct iam *iam, struct arena *a, const struct iam_user_spec *spec,
                       struct iam_user *ret);
/* In name order. */
int iam_user_list(struct iam *iam, struct arena *a, struct iam_user **ret, size_t *ret_count);
/* The user of that name, strings in `a`: -ERR_NOT_FOUND. */
int iam_user_get(struct iam *iam, struct arena *a, struct str name, struct iam_user *ret);
/*
 * Users that the administrators of an account made are known inside it: the name is theirs, the
 * store's name for it "ACCOUNT/NAME". So are groups, roles and policies. Names of the account
 * "root" are the store's own.
 */
struct str iam_qualify(struct arena *a, struct str account, struct str name);
/* The name inside the account. */
struct str iam_local_name(struct str account, struct str name);
/*
 * The user whom an account calls so, whatever its letters' case; root's account may name any user
 * of the store. -ERR_NOT_FOUND.
 */
int iam_user_find(struct iam *iam, struct arena *a, struct str account, struct str name,
                  struct iam_user *ret);
/* Gives it another name inside its account, and another path. -ERR_NOT_FOUND, -ERR_EXISTS, -EINVAL,
 * -ERR_CONFLICT (a root of an account). */
int FIBER iam_user_rename(struct iam *iam, struct arena *a, struct str name, struct str new_local,
                          struct str new_path);
/* Bounds what it may do by a policy; empty: no more. -ERR_NOT_FOUND (either). */
int FIBER iam_user_set_boundary(struct iam *iam, struct str name, struct str policy);
/* Within the limits, and no key twice. */
bool iam_tags_are_valid(const struct iam_tags *tags);
/* Those whose keys are in neither stay as they are. */
struct iam_tag_change {
    struct iam_tags put;
    const struct str *drop; /* keys */
    size_t drop_count;
};
/* -ERR_NOT_FOUND, -EINVAL, -ERR_LIMIT. */
int FIBER iam_user_tag(struct iam *iam, struct arena *a, struct str name,
                       const struct iam_tag_change *c);
#define IAM_RATE_MAX 1000000
/*
 * Takes over which of the limits `what` names. -ERR_NOT_FOUND, -EINVAL (a rate beyond
 * IAM_RATE_MAX), -ERR_CONFLICT: bytes or objects of a user that is no account of its own.
 */
#define IAM_LIMIT_RATE    1u
#define IAM_LIMIT_BYTES   2u
#define IAM_LIMIT_OBJECTS 4u
int FIBER iam_user_set_limits(struct iam *iam, struct str name, const struct iam_limits *limits,
                              unsigned what);
/* False: the account may hold as much as there is room for. Never suspends. */
bool iam_account_limits(struct iam *iam, struct str account, struct iam_limits *ret);
/*
 * Counts a request against the rate of who makes it. False: it comes too soon. After a second of
 * silence a second's requests may come at once. Thread-safe, never suspends.
 */
bool iam_take_turn(struct iam *iam, const struct iam_identity *who);
/* A path: "/", or "/", graphic ASCII and "/". */
bool iam_path_is_valid(struct str path);
/* Ids as AWS makes them: a prefix and 17 of A-Z, 2-7. */
struct str iam_make_id(struct arena *a, const char *prefix);

/* Who a user's requests come from: release it. -ERR_NOT_FOUND. */
int iam_user_identity(struct iam *iam, struct arena *a, struct str name, struct iam_identity *ret);
/* -ERR_NOT_FOUND; -ERR_CONFLICT while its account has members or roles. -ERR_BUCKET_NOT_EMPTY while
 * the user owns a bucket is the caller's to test. */
int FIBER iam_user_remove(struct iam *iam, struct str name);
