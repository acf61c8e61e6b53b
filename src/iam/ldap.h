/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A directory (LDAP) whose users may have sessions here: who they are and what groups they are in
 * is asked of it, what they may do is attached here to the names (DNs) of users and groups.
 *
 * A login is a lookup of the user by an account of ours, a bind as the user with the password that
 * was given, and a lookup of groups; docs/adr/022 says why in this order. The library blocks, so
 * this has threads of its own; every step has a deadline, and so has the queue.
 *
 * Sources: RFC 4511 (5.1.2: a bind without a password is no proof of anything), RFC 4514 (names),
 * RFC 4515 (filters); MinIO's AssumeRoleWithLDAPIdentity.
 */

#include "base/arena.h"
#include "iam/iam.h"

#define IAM_LDAP_NAME_MAX     256 /* bytes of a login name */
#define IAM_LDAP_PASSWORD_MAX 1024
#define IAM_LDAP_DN_MAX       1024
#define IAM_LDAP_GROUPS_MAX   16   /* of a session: those that something is attached to */
#define IAM_LDAP_FOUND_MAX    1000 /* groups that a lookup may find */
#define IAM_LDAP_MAPPINGS_MAX 10000

struct iam_ldap_config {
    const char *url; /* ldaps://HOST[:PORT] or ldap://HOST[:PORT]; NULL: there is no directory */
    bool start_tls;
    bool insecure;                         /* ldap:// without TLS is taken */
    const char *ca_path;                   /* NULL: the system's */
    const char *bind_dn, *password;        /* whose eyes the lookups have */
    const char *user_base, *user_filter;   /* "(uid=%s)": %s is the login name */
    const char *group_base, *group_filter; /* "(member=%d)": %d is the user's DN; base NULL: none */
};
/* NULL when it may be used; else what is wrong with it. */
const char *iam_ldap_config_fault(const struct iam_ldap_config *c);

struct ldap;
/* Starts nothing yet; the config's strings stay the caller's and outlive it. */
struct ldap *ldap_new(const struct iam_ldap_config *config);
void FIBER ldap_free(struct ldap *l); /* accepts NULL */

struct ldap_user {
    struct str dn;            /* in normal form */
    const struct str *groups; /* likewise */
    size_t group_count;
};
/*
 * -ERR_ACCESS_DENIED: no such user, several, or not the password; -ERR_IDP_COMMUNICATION: the
 * directory does not answer, or not as it should; -ERR_BUSY: too many wait; -EINVAL: a name or a
 * password that is none, an empty one above all. Strings in `a`.
 */
int FIBER ldap_login(struct ldap *l, struct arena *a, struct str name, struct str password,
                     struct ldap_user *ret);

/* ---- names, pure (ldap_names.c) ------------------------------------------------------------- */

/* A value in a filter: whatever is no letter or digit is escaped. */
struct str ldap_escape(struct arena *a, struct str value);
/* The filter with %s and %d replaced by the two, escaped. */
struct str ldap_filter(struct arena *a, const char *form, struct str name, struct str dn);
/* A DN in a form in which equal ones are equal bytes: small letters, no blanks about separators.
 * Different ones never become equal. ptr NULL: it is none, or has a value in hexadecimal (#04...),
 * or no memory. */
struct str ldap_dn_normal(struct arena *a, struct str dn);

/* ---- what is attached to whom (ldap_map.c) -------------------------------------------------- */

bool iam_has_ldap(const struct iam *iam);
struct iam_ldap_mapping {
    struct str dn;
    const struct str *policies;
    size_t policy_count;
};
/* 0, or 1 when it was so already. -EINVAL (no DN), -ERR_NOT_FOUND (the policy; to detach: the
 * mapping), -ERR_LIMIT. */
int FIBER iam_ldap_attach(struct iam *iam, struct arena *a, struct str dn, struct str policy,
                          bool attach);
/* In the order of their DNs. */
int iam_ldap_list(struct iam *iam, struct arena *a, struct iam_ldap_mapping **ret,
                  size_t *ret_count);
/* Of that DN, which need not be in normal form. -ERR_NOT_FOUND, -EINVAL. */
int iam_ldap_get(struct iam *iam, struct arena *a, struct str dn, struct iam_ldap_mapping *ret);

/* Logs in from an address; groups to which nothing is attached are left out. As ldap_login;
 * -ERR_NOT_FOUND: there is no directory, or nothing is attached to the user nor its groups;
 * -ERR_SLOW_DOWN: too many were refused (tries.h). */
int FIBER iam_ldap_login(struct iam *iam, struct arena *a, struct str name, struct str password,
                         struct str address, struct ldap_user *ret);
