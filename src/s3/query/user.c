/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Users and their access keys. */

#include "s3/query/query.h"

#include <stdlib.h>

static struct str local_name(const struct iam_user *u)
{
    return iam_local_name(u->account, u->name);
}

#define WITH_TAGS true

static void put_user(struct query *y, const char *element, const struct iam_user *u, bool with_tags)
{
    xml_open(&y->out, element);
    xml_element(&y->out, "Path", u->path);
    xml_element(&y->out, "UserName", local_name(u));
    xml_element(&y->out, "UserId", u->user_id);
    xml_element(&y->out, "Arn", u->arn);
    query_put_time(y, "CreateDate", u->created_ms);
    query_put_boundary(y, u->boundary);
    if (with_tags)
        query_put_tags(y, &u->tags);
    xml_close(&y->out, element);
}

/* ---- users ---------------------------------------------------------------------------------- */

/* A name as AWS takes it: up to `max` of [A-Za-z0-9_+=,.@-]. */
static int check_name(struct query *y, const char *param, struct str name)
{
    bool good = name.len > 0 && name.len <= 128;
    for (size_t i = 0; good && i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c | 32) >= 'a' && (c | 32) <= 'z', digit = c >= '0' && c <= '9';
        good = letter || digit || (c && strchr("_+=,.@-", c));
    }
    if (good)
        return 0;
    return s3_error(y->q, -ERR_VALIDATION,
                    "The specified value for %s is invalid. It must contain only alphanumeric "
                    "characters and/or the following: +=,.@_-",
                    param);
}

int FIBER query_create_user(struct query *y)
{
    struct str name = query_param(y, "UserName");
    struct iam_user_spec spec = {
        .name = iam_qualify(y->arena, y->account, name),
        .user_id = iam_make_id(y->arena, "AIDA"),
        .display_name = name,
        .account = y->account,
        .path = query_param(y, "Path"),
    };
    struct str boundary = query_param(y, "PermissionsBoundary");
    if (!spec.name.ptr || !spec.user_id.ptr)
        return -ENOMEM;
    int r = check_name(y, "userName", name);
    if (!r && boundary.len)
        r = query_policy_of_arn(y, boundary, &spec.boundary);
    if (!r)
        r = query_new_tags(y, "iam:TagUser", &spec.tags);
    if (!r)
        r = iam_user_add(y->iam, y->arena, &spec, &y->user);
    if (r == -ERR_EXISTS)
        return s3_error(y->q, -ERR_ENTITY_EXISTS, "User with name %.*s already exists.",
                        STR_FMT(name));
    if (!r)
        put_user(y, "User", &y->user, WITH_TAGS);
    return r;
}

int query_get_user(struct query *y)
{
    put_user(y, "User", &y->user, WITH_TAGS);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return query_cmp(local_name(a), local_name(b));
}

static struct str name_at(const void *items, size_t i)
{
    return local_name(&((const struct iam_user *)items)[i]);
}

/* The members: the root of the account is no user of it. */
int query_list_users(struct query *y)
{
    struct str prefix = query_param(y, "PathPrefix");
    struct iam_user *users;
    struct query_page page;
    size_t all, count = 0;
    int r = iam_user_list(y->iam, y->arena, &users, &all);
    for (size_t i = 0; !r && i < all; i++)
        if (str_eq(users[i].account, y->account) && !str_eq(users[i].user_id, y->account) &&
            str_starts(users[i].path, prefix))
            users[count++] = users[i];
    if (r)
        return r;
    qsort(users, count, sizeof(*users), by_name);
    r = query_page(y, name_at, users, count, &page);
    if (r)
        return r;
    xml_open(&y->out, "Users");
    for (size_t i = page.from; i < page.to; i++)
        put_user(y, "member", &users[i], !WITH_TAGS); /* as AWS */
    xml_close(&y->out, "Users");
    query_put_page(y, &page, page.to ? local_name(&users[page.to - 1]) : STR(""));
    return 0;
}

/* The right to it as what it will be, too (IAM API Reference, UpdateUser): bucket policies and
 * rights name users by their ARN. */
static int FIBER authorise_renamed(struct query *y, struct str name, struct str path)
{
    const struct iam_user *u = &y->user;
    struct str alias = STR("");
    name = name.len ? name : local_name(u);
    path = path.len ? path : u->path;
    struct str arn = arena_printf(y->arena, "arn:aws:iam::%.*s:user%.*s%.*s", STR_FMT(u->account),
                                  STR_FMT(path), STR_FMT(name));
    if (y->alias_arn.len)
        alias = arena_printf(y->arena, "arn:aws:iam:::user%.*s%.*s", STR_FMT(path), STR_FMT(name));
    return arn.ptr && alias.ptr ? query_authorise(y, "iam:UpdateUser", arn, alias) : -ENOMEM;
}

int FIBER query_update_user(struct query *y)
{
    struct str name = query_param(y, "NewUserName"), path = query_param(y, "NewPath");
    int r = name.ptr ? check_name(y, "newUserName", name) : 0;
    if (!r)
        r = authorise_renamed(y, name, path);
    if (!r)
        r = iam_user_rename(y->iam, y->arena, y->user.name, name, path);
    if (r == -ERR_CONFLICT)
        return s3_error(y->q, -ERR_UNMODIFIABLE_ENTITY,
                        "The root of an account cannot be renamed.");
    return r;
}

int FIBER query_delete_user(struct query *y)
{
    const struct iam_user *u = &y->user;
    if (str_eq(u->account, u->user_id))
        return s3_error(y->q, -ERR_DELETE_CONFLICT, "The root of an account cannot be deleted.");
    if (u->access_key.len)
        return s3_error(y->q, -ERR_DELETE_CONFLICT,
                        "Cannot delete entity, must delete access keys first.");
    if (u->policy_count)
        return s3_error(y->q, -ERR_DELETE_CONFLICT,
                        "Cannot delete entity, must delete and detach all policies first.");
    if (u->group_count)
        return s3_error(y->q, -ERR_DELETE_CONFLICT,
                        "Cannot delete entity, must remove user from group first.");
    return iam_user_remove(y->iam, u->name);
}

int FIBER query_put_user_boundary(struct query *y)
{
    struct str arn, policy;
    int r = query_need(y, "PermissionsBoundary", &arn);
    if (!r)
        r = query_policy_of_arn(y, arn, &policy);
    return r ? r : iam_user_set_boundary(y->iam, y->user.name, policy);
}

int FIBER query_delete_user_boundary(struct query *y)
{
    return iam_user_set_boundary(y->iam, y->user.name, STR(""));
}

static void put_entry(struct query *y, const char *key, uint64_t value)
{
    xml_open(&y->out, "entry");
    xml_element(&y->out, "key", str_from(key));
    xml_element_u64(&y->out, "value", value);
    xml_close(&y->out, "entry");
}

static void put_quotas(struct query *y)
{
    put_entry(y, "UsersQuota", iam_share_of(y->account, IAM_SHARE_USERS));
    put_entry(y, "GroupsQuota", iam_share_of(y->account, IAM_SHARE_GROUPS));
    put_entry(y, "RolesQuota", iam_share_of(y->account, IAM_SHARE_ROLES));
    put_entry(y, "PoliciesQuota", iam_share_of(y->account, IAM_SHARE_POLICIES));
    put_entry(y, "AccessKeysPerUserQuota", IAM_OWN_KEYS_MAX);
    put_entry(y, "GroupsPerUserQuota", IAM_USER_GROUPS_MAX);
    put_entry(y, "AttachedPoliciesPerUserQuota", IAM_USER_POLICIES_MAX);
    put_entry(y, "VersionsPerPolicyQuota", IAM_POLICY_VERSIONS_MAX);
    put_entry(y, "PolicySizeQuota", POLICY_DOCUMENT_MAX);
}

int query_get_account_summary(struct query *y)
{
    struct iam_user *users;
    struct iam_group_info *groups;
    struct iam_role *roles;
    size_t all, group_count, role_count, members = 0, inside = 0;
    int r = iam_user_list(y->iam, y->arena, &users, &all);
    if (!r)
        r = iam_group_list(y->iam, y->arena, false, &groups, &group_count);
    if (!r)
        r = iam_role_list(y->iam, y->arena, y->account, &roles, &role_count);
    if (r)
        return r;
    for (size_t i = 0; i < all; i++)
        members += str_eq(users[i].account, y->account) && !str_eq(users[i].user_id, y->account);
    for (size_t i = 0; i < group_count; i++)
        inside += query_is_inside(y, groups[i].name);
    xml_open(&y->out, "SummaryMap");
    put_entry(y, "Users", members);
    put_entry(y, "Groups", inside);
    put_entry(y, "Roles", role_count);
    put_quotas(y);
    xml_close(&y->out, "SummaryMap");
    return 0;
}

/* ---- access keys ---------------------------------------------------------------------------- */

static struct str status_text(const struct iam_access_key *k)
{
    return k->inactive ? STR("Inactive") : STR("Active");
}

static void put_key(struct query *y, const char *element, const struct iam_access_key *k,
                    struct str secret)
{
    xml_open(&y->out, element);
    xml_element(&y->out, "UserName", local_name(&y->user));
    xml_element(&y->out, "AccessKeyId", k->id);
    xml_element(&y->out, "Status", status_text(k));
    if (secret.ptr)
        xml_element(&y->out, "SecretAccessKey", secret);
    query_put_time(y, "CreateDate", k->created_ms);
    xml_close(&y->out, element);
}

int FIBER query_create_access_key(struct query *y)
{
    struct iam_access_key_spec spec = {.policy = STR(""), .name = STR(""), .description = STR("")};
    struct iam_access_key key;
    struct str secret;
    int r = iam_access_key_add(y->iam, y->arena, y->user.name, &spec, &key, &secret, &y->fault);
    if (r == -ERR_LIMIT)
        return s3_error(y->q, -ERR_LIMIT_EXCEEDED, "Cannot exceed quota for AccessKeysPerUser: %d",
                        IAM_OWN_KEYS_MAX);
    if (!r)
        put_key(y, "AccessKey", &key, secret);
    return r;
}

static int by_id(const void *a, const void *b)
{
    return query_cmp(((const struct iam_access_key *)a)->id,
                     ((const struct iam_access_key *)b)->id);
}

static struct str id_at(const void *items, size_t i)
{
    return ((const struct iam_access_key *)items)[i].id;
}

/* Service accounts are no access keys here. */
int query_list_access_keys(struct query *y)
{
    struct iam_access_key *keys;
    struct query_page page;
    size_t all, count = 0;
    int r = iam_access_key_list(y->iam, y->arena, y->user.name, &keys, &all);
    for (size_t i = 0; !r && i < all; i++)
        if (!keys[i].service)
            keys[count++] = keys[i];
    if (r)
        return r;
    qsort(keys, count, sizeof(*keys), by_id);
    r = query_page(y, id_at, keys, count, &page);
    if (r)
        return r;
    xml_element(&y->out, "UserName", local_name(&y->user));
    xml_open(&y->out, "AccessKeyMetadata");
    for (size_t i = page.from; i < page.to; i++)
        put_key(y, "member", &keys[i], STR_NULL);
    xml_close(&y->out, "AccessKeyMetadata");
    query_put_page(y, &page, page.to ? keys[page.to - 1].id : STR(""));
    return 0;
}

static int no_such_key(struct query *y, struct str id, int r)
{
    if (r != -ERR_NOT_FOUND)
        return r;
    return s3_error(y->q, -ERR_NO_SUCH_ENTITY, "The Access Key with id %.*s cannot be found.",
                    STR_FMT(id));
}

int FIBER query_update_access_key(struct query *y)
{
    struct str id, status;
    int r = query_need(y, "AccessKeyId", &id);
    if (!r)
        r = query_need(y, "Status", &status);
    if (r)
        return r;
    bool active = str_eq(status, STR("Active"));
    if (!active && !str_eq(status, STR("Inactive")))
        return s3_error(y->q, -ERR_VALIDATION, "Status must be Active or Inactive");
    return no_such_key(y, id, iam_access_key_set_active(y->iam, y->user.name, id, active));
}

int FIBER query_delete_access_key(struct query *y)
{
    struct str id;
    int r = query_need(y, "AccessKeyId", &id);
    return r ? r : no_such_key(y, id, iam_access_key_remove(y->iam, y->user.name, id));
}

/* When a key was used is not kept: the answer is AWS's for one that never was. */
int query_get_access_key_last_used(struct query *y)
{
    struct iam_access_key key;
    struct str id, owner;
    int r = query_need(y, "AccessKeyId", &id);
    if (!r)
        r = no_such_key(y, id, iam_access_key_find(y->iam, y->arena, id, &owner, &key));
    if (!r)
        r = iam_user_get(y->iam, y->arena, owner, &y->user);
    if (!r && !str_eq(y->user.account, y->account))
        return no_such_key(y, id, -ERR_NOT_FOUND);
    if (r)
        return r;
    xml_element(&y->out, "UserName", local_name(&y->user));
    xml_open(&y->out, "AccessKeyLastUsed");
    xml_element(&y->out, "ServiceName", STR("N/A"));
    xml_element(&y->out, "Region", STR("N/A"));
    xml_close(&y->out, "AccessKeyLastUsed");
    return 0;
}
