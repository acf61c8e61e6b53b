/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Temporary credentials. A session is an access key, a secret and a token, which holds all there is
 * to know of the session, sealed (AES-256-GCM, bound to the access key) under a key that lies in
 * the metadata; nothing is stored. A session ends with its time, with the role, with the user, and
 * with the access key it was asked for with.
 *
 * What a session may do is what its user or role may do at the time of each request, inside the
 * session's own policies.
 */

#include "iam/iam.h"

#define IAM_SESSION_POLICY_MAX   2048 /* bytes of a session policy */
#define IAM_SESSION_POLICIES_MAX 10   /* attached to a session by name */
#define IAM_SESSION_TOKEN_MAX    (16 * KIB)
#define IAM_SESSION_CLAIMS_MAX   32

struct iam_session_spec {
    const struct iam_identity *parent; /* a user's session: who asks for it; else NULL */
    struct str role;                   /* or the store's name of the role */
    const struct ldap_user *ldap;      /* or a user of the directory */
    struct str name;   /* of a role's session: 2 to 64 of [A-Za-z0-9_+=,.@-]; or the login's */
    struct str policy; /* a document; empty: none */
    const struct str *policies; /* names of attached ones */
    size_t policy_count;
    struct str provider;                    /* of a web identity */
    const struct iam_attribute *attributes; /* its claims */
    size_t attribute_count;
    uint64_t duration_s;
};
struct iam_session {
    struct str access_key, secret, token;
    uint64_t expires_ms;
};
/*
 * -ERR_NOT_FOUND (the role, a policy), -EINVAL (a name that is none), -ERR_TOO_LARGE (the policies
 * together), -ERR_MALFORMED_POLICY with *ret_fault; -ERR_ACCESS_DENIED: a session or a service
 * account asks for one of its user. Whether who asks may have it is the caller's to judge.
 */
int iam_session_make(struct iam *iam, struct arena *a, const struct iam_session_spec *spec,
                     struct iam_session *ret, struct policy_fault *ret_fault);
bool iam_session_name_is_valid(struct str name);
