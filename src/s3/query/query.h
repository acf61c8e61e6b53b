/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The query APIs of IAM and STS: forms sent to "/" of the S3 port, answered in XML. One table names
 * every action; who asks, what the action is done to and the right to it are settled from that
 * table before its handler runs.
 *
 * An action that works on a user, group, role or policy finds it here, by the name the form gives,
 * inside the account of who asks. Whether it is there is told after the right to ask was tested.
 *
 * Sources: IAM API Reference; AWS STS API Reference; "Making query requests" in the IAM User Guide.
 */

#include "iam/grants.h"
#include "iam/keys.h"
#include "iam/ldap.h"
#include "iam/oidc.h"
#include "iam/roles.h"
#include "iam/sessions.h"
#include "iam/share.h"
#include "s3/context.h"
#include "s3/internal.h"

#define QUERY_BODY_MAX (256 * KIB)

/* What an action is done to. */
enum query_on {
    QUERY_ON_ALL,
    QUERY_ON_USER,
    QUERY_ON_GROUP,
    QUERY_ON_ROLE,
    QUERY_ON_POLICY,
    QUERY_ON_PROVIDER
};

#define QUERY_SELF   1u  /* without a UserName: who asks */
#define QUERY_NEW    2u  /* it need not be there */
#define QUERY_ANYONE 4u  /* without a signature */
#define QUERY_OPEN   8u  /* needs no right */
#define QUERY_INSIDE 16u /* the handler judges */

struct query;
typedef int query_handler(struct query *y);

struct query_action {
    const char *service, *name;
    enum query_on on;
    unsigned flags;
    query_handler *handler;
};

struct query {
    struct s3_request *q;
    struct iam *iam;
    struct arena *arena;
    struct uri_query params;
    const struct query_action *action;
    struct str account; /* of who asks */
    struct buf out;     /* what stands inside the result */
    /* What it is done to, as far as it is there. */
    struct str arn, alias_arn;
    struct iam_user user;
    struct iam_group_info group;
    struct iam_role role;
    struct iam_policy_info policy;
    struct iam_provider provider;
    struct policy_fault fault;
};

/* ---- query.c -------------------------------------------------------------------------------- */

/* A form to the query API? Then it is answered here, whatever comes of it. */
bool s3_query_wants(const struct s3_request *q);
int FIBER s3_query(struct s3_request *q);

/* A parameter; ptr NULL when it is not there. */
struct str query_param(const struct query *y, const char *name);
/* One that must be there: -ERR_VALIDATION with a message. */
int query_need(struct query *y, const char *name, struct str *ret);
/* A number between the two; `otherwise` when it is not there. */
int query_number(struct query *y, const char *name, uint64_t least, uint64_t most,
                 uint64_t otherwise, uint64_t *ret);
/* NAME.member.1 and so on, up to `max`: -ERR_VALIDATION beyond. */
int query_list(struct query *y, const char *name, size_t max, struct str **ret, size_t *ret_count);
/* May who asks do that to it? */
int FIBER query_authorise(struct query *y, const char *action, struct str arn, struct str alias);

/* The part of a sorted list that the form asks for. `name_of` gives the name by which item `i` is
 * in order, without regard to case. */
struct query_page {
    size_t from, to;
    bool truncated;
};
int query_page(struct query *y, struct str (*name_of)(const void *items, size_t i),
               const void *items, size_t count, struct query_page *ret);
/* IsTruncated, and the Marker of the next page. */
void query_put_page(struct query *y, const struct query_page *p, struct str last);
/* That order: names that differ in case alone are side by side. */
int query_cmp(struct str a, struct str b);
int query_cmp_texts(const void *a, const void *b); /* of struct str, for qsort */
/* A document as AWS gives it: percent-encoded. */
void query_put_document(struct query *y, const char *element, struct str document);
void query_put_time(struct query *y, const char *element, uint64_t ms);

/* Whether the store's name of a group is one of who asks' account. */
bool query_is_inside(const struct query *y, struct str name);
/* A user of who asks' account that they may name: -ERR_NOT_FOUND. */
int query_find_user(struct query *y, struct str name, struct iam_user *ret);
/* The store's name of the policy with that ARN: -ERR_NO_SUCH_ENTITY. */
int query_policy_of_arn(struct query *y, struct str arn, struct str *ret_name);
/* The ARN of a policy by the store's name; its own name in *ret_local. */
struct str query_arn_of_policy(struct query *y, const struct iam_policy_info *p,
                               struct str *ret_local);
/* The element of a user's or role's boundary, a policy by the store's name; empty: none. */
void query_put_boundary(struct query *y, struct str boundary);
struct str query_arn_of_group(struct query *y, const struct iam_group_info *g);
/* The tags of what is to be made, with the right to give it any: `action`. */
int FIBER query_new_tags(struct query *y, const char *action, struct iam_tags *ret);
/* aws:RequestTag/NAME, aws:TagKeys and aws:ResourceTag/NAME of the action. */
int query_tag_values(struct query *y, enum iam_key key, struct str name, struct iam_values *ret);
/* Of what has none here: -ERR_NOT_IMPLEMENTED. */
int query_no_tags(struct query *y);
/* The element; none when there are none. */
void query_put_tags(struct query *y, const struct iam_tags *tags);

query_handler query_assume_role_with_ldap_identity, query_assume_role_with_web_identity,
    query_create_provider, query_get_provider, query_list_providers, query_delete_provider,
    query_add_client, query_remove_client, query_update_thumbprints;
query_handler query_get_caller_identity, query_get_session_token, query_assume_role;
query_handler query_create_user, query_get_user, query_list_users, query_update_user,
    query_delete_user, query_create_access_key, query_list_access_keys, query_update_access_key,
    query_delete_access_key, query_get_access_key_last_used, query_put_user_boundary,
    query_delete_user_boundary, query_get_account_summary, query_list_groups_for_user;
query_handler query_create_group, query_get_group, query_list_groups, query_update_group,
    query_delete_group, query_add_user_to_group, query_remove_user_from_group;
query_handler query_create_policy, query_get_policy, query_list_policies, query_delete_policy,
    query_create_policy_version, query_get_policy_version, query_list_policy_versions,
    query_delete_policy_version, query_set_default_policy_version, query_list_entities_for_policy;
query_handler query_put_inline, query_get_inline, query_delete_inline, query_list_inline,
    query_attach, query_detach, query_list_attached;
query_handler query_create_role, query_get_role, query_list_roles, query_update_role,
    query_delete_role, query_update_trust, query_put_role_boundary, query_delete_role_boundary,
    query_list_instance_profiles, query_tag, query_untag, query_list_tags;
