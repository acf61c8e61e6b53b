/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Managed policies and their versions. */

#include "s3/query/query.h"

#include <stdio.h>
#include <stdlib.h>

#define MANAGED_MAX (10 * KIB)

/* "v3" */
static struct str version_text(struct query *y, uint32_t number)
{
    return arena_printf(y->arena, "v%u", number);
}

static int read_version(struct query *y, uint32_t *ret)
{
    struct str text;
    uint64_t number;
    int r = query_need(y, "VersionId", &text);
    if (r)
        return r;
    if (!str_starts(text, STR("v")) || str_to_u64(str_from_offset(text, 1), &number) ||
        number > UINT32_MAX)
        return s3_error(y->q, -ERR_VALIDATION, "VersionId %.*s is none", STR_FMT(text));
    *ret = (uint32_t)number;
    return 0;
}

static void put_policy(struct query *y, const char *element, const struct iam_policy_info *p)
{
    size_t bounded, attached = iam_policy_uses(y->iam, p->name, &bounded);
    struct str local, arn = query_arn_of_policy(y, p, &local);
    xml_open(&y->out, element);
    xml_element(&y->out, "PolicyName", local);
    xml_element(&y->out, "PolicyId", p->id);
    xml_element(&y->out, "Arn", arn);
    xml_element(&y->out, "Path", p->path);
    xml_element(&y->out, "DefaultVersionId", version_text(y, p->version));
    xml_element_u64(&y->out, "AttachmentCount", attached);
    xml_element_u64(&y->out, "PermissionsBoundaryUsageCount", bounded);
    xml_element_bool(&y->out, "IsAttachable", true);
    if (p->description.len)
        xml_element(&y->out, "Description", p->description);
    query_put_time(y, "CreateDate", p->created_ms);
    query_put_time(y, "UpdateDate", p->changed_ms);
    xml_close(&y->out, element);
}

static int read_document(struct query *y, struct str *ret)
{
    int r = query_need(y, "PolicyDocument", ret);
    if (!r && ret->len > MANAGED_MAX)
        return s3_error(y->q, -ERR_LIMIT_EXCEEDED, "Cannot exceed quota for PolicySize: %llu",
                        MANAGED_MAX);
    return r;
}

int FIBER query_create_policy(struct query *y)
{
    struct str local = query_param(y, "PolicyName");
    struct iam_policy_info spec = {
        .name = iam_qualify(y->arena, y->account, local),
        .path = query_param(y, "Path"),
        .description = query_param(y, "Description"),
    };
    int r = spec.name.ptr ? read_document(y, &spec.document) : -ENOMEM;
    if (!r)
        r = query_no_tags(y);
    if (!r && (local.len > 128 || str_find_char(local, '/', 0) >= 0))
        r = s3_error(y->q, -ERR_VALIDATION, "The specified value for policyName is invalid.");
    if (!r)
        r = iam_policy_create(y->iam, y->arena, &spec, &y->policy, &y->fault);
    if (r == -ERR_EXISTS)
        return s3_error(y->q, -ERR_ENTITY_EXISTS, "A policy called %.*s already exists.",
                        STR_FMT(local));
    if (!r)
        put_policy(y, "Policy", &y->policy);
    return r;
}

int query_get_policy(struct query *y)
{
    put_policy(y, "Policy", &y->policy);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return query_cmp(((const struct iam_policy_info *)a)->name,
                     ((const struct iam_policy_info *)b)->name);
}

static struct str name_at(const void *items, size_t i)
{
    return ((const struct iam_policy_info *)items)[i].name;
}

/* Built-in ones are AWS's part of the list; the rest is the account's. */
static bool is_listed(struct query *y, const struct iam_policy_info *p, struct str scope)
{
    bool inside = str_eq(y->account, STR("root"))
                      ? !p->builtin
                      : iam_local_name(y->account, p->name).len != p->name.len;
    size_t bounded;
    bool wanted = str_eq(scope, STR("Local")) ? inside
                  : str_eq(scope, STR("AWS")) ? p->builtin
                                              : inside || p->builtin;
    if (!wanted || !str_starts(p->path, query_param(y, "PathPrefix")))
        return false;
    return !str_eq(query_param(y, "OnlyAttached"), STR("true")) ||
           iam_policy_uses(y->iam, p->name, &bounded) > 0;
}

int query_list_policies(struct query *y)
{
    struct str scope = query_param(y, "Scope");
    struct iam_policy_info *all;
    struct query_page page;
    size_t n, count = 0;
    int r = iam_policy_list(y->iam, y->arena, &all, &n);
    for (size_t i = 0; !r && i < n; i++)
        if (is_listed(y, &all[i], scope))
            all[count++] = all[i];
    if (r)
        return r;
    qsort(all, count, sizeof(*all), by_name);
    r = query_page(y, name_at, all, count, &page);
    if (r)
        return r;
    xml_open(&y->out, "Policies");
    for (size_t i = page.from; i < page.to; i++)
        put_policy(y, "member", &all[i]);
    xml_close(&y->out, "Policies");
    query_put_page(y, &page, page.to ? all[page.to - 1].name : STR(""));
    return 0;
}

int FIBER query_delete_policy(struct query *y)
{
    if (y->policy.version_count)
        return s3_error(y->q, -ERR_DELETE_CONFLICT,
                        "This policy has more than one version. Before you delete a policy, you "
                        "must delete the policy's versions.");
    return iam_policy_remove(y->iam, y->policy.name);
}

/* ---- versions ------------------------------------------------------------------------------- */

static void put_version(struct query *y, const char *element, const struct iam_policy_version *v,
                        bool in_force, bool with_document)
{
    xml_open(&y->out, element);
    if (with_document)
        query_put_document(y, "Document", v->document);
    xml_element(&y->out, "VersionId", version_text(y, v->number));
    xml_element_bool(&y->out, "IsDefaultVersion", in_force);
    query_put_time(y, "CreateDate", v->created_ms);
    xml_close(&y->out, element);
}

static struct iam_policy_version in_force(const struct iam_policy_info *p)
{
    return (struct iam_policy_version){p->version, p->document, p->changed_ms};
}

int FIBER query_create_policy_version(struct query *y)
{
    bool use = str_eq_nocase(query_param(y, "SetAsDefault"), STR("true"));
    struct iam_policy_version v = {.created_ms = rt_wall_ms()};
    int r = read_document(y, &v.document);
    if (!r)
        r = iam_policy_add_version(y->iam, y->policy.name, v.document, use, &v.number, &y->fault);
    if (r == -ERR_LIMIT)
        return s3_error(y->q, -ERR_LIMIT_EXCEEDED,
                        "A managed policy can have up to %d versions. Before you create a new "
                        "version, you must delete an existing version.",
                        IAM_POLICY_VERSIONS_MAX);
    if (!r)
        put_version(y, "PolicyVersion", &v, use, false);
    return r;
}

int query_get_policy_version(struct query *y)
{
    struct iam_policy_version v = in_force(&y->policy);
    uint32_t number;
    int r = read_version(y, &number);
    if (r)
        return r;
    bool found = number == v.number;
    for (size_t i = 0; !found && i < y->policy.version_count; i++) {
        found = y->policy.versions[i].number == number;
        if (found)
            v = y->policy.versions[i];
    }
    if (!found)
        return s3_error(y->q, -ERR_NO_SUCH_ENTITY, "Policy version v%u does not exist.", number);
    put_version(y, "PolicyVersion", &v, number == y->policy.version, true);
    return 0;
}

int query_list_policy_versions(struct query *y)
{
    struct iam_policy_version v = in_force(&y->policy);
    struct query_page whole = {0};
    xml_open(&y->out, "Versions");
    put_version(y, "member", &v, true, false);
    for (size_t i = y->policy.version_count; i > 0; i--)
        put_version(y, "member", &y->policy.versions[i - 1], false, false);
    xml_close(&y->out, "Versions");
    query_put_page(y, &whole, STR(""));
    return 0;
}

int FIBER query_delete_policy_version(struct query *y)
{
    uint32_t number;
    int r = read_version(y, &number);
    if (!r)
        r = iam_policy_drop_version(y->iam, y->policy.name, number);
    return r == -ERR_CONFLICT ? s3_error(y->q, -ERR_DELETE_CONFLICT,
                                         "Cannot delete the default version of a policy.")
                              : r;
}

int FIBER query_set_default_policy_version(struct query *y)
{
    uint32_t number;
    int r = read_version(y, &number);
    return r ? r : iam_policy_use_version(y->iam, y->policy.name, number);
}

/* ---- who has it ----------------------------------------------------------------------------- */

static bool has(const struct str *names, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(names[i], name))
            return true;
    return false;
}

static void put_entity(struct query *y, const char *element, struct str name, struct str id_element,
                       struct str id)
{
    xml_open(&y->out, "member");
    xml_element(&y->out, element, name);
    xml_element(&y->out, id_element.ptr, id);
    xml_close(&y->out, "member");
}

int query_list_entities_for_policy(struct query *y)
{
    struct iam_user *users;
    struct iam_group_info *groups;
    struct iam_role *roles;
    size_t user_count, group_count, role_count;
    struct query_page whole = {0};
    struct str name = y->policy.name;
    int r = iam_user_list(y->iam, y->arena, &users, &user_count);
    if (!r)
        r = iam_group_list(y->iam, y->arena, false, &groups, &group_count);
    if (!r)
        r = iam_role_list(y->iam, y->arena, y->account, &roles, &role_count);
    if (r)
        return r;
    xml_open(&y->out, "PolicyUsers");
    for (size_t i = 0; i < user_count; i++)
        if (str_eq(users[i].account, y->account) &&
            has(users[i].policies, users[i].policy_count, name))
            put_entity(y, "UserName", iam_local_name(y->account, users[i].name), STR("UserId"),
                       users[i].user_id);
    xml_close(&y->out, "PolicyUsers");
    xml_open(&y->out, "PolicyGroups");
    for (size_t i = 0; i < group_count; i++)
        if (query_is_inside(y, groups[i].name) &&
            has(groups[i].policies, groups[i].policy_count, name))
            put_entity(y, "GroupName", iam_local_name(y->account, groups[i].name), STR("GroupId"),
                       groups[i].id);
    xml_close(&y->out, "PolicyGroups");
    xml_open(&y->out, "PolicyRoles");
    for (size_t i = 0; i < role_count; i++)
        if (has(roles[i].policies, roles[i].policy_count, name))
            put_entity(y, "RoleName", iam_local_name(y->account, roles[i].name), STR("RoleId"),
                       roles[i].id);
    xml_close(&y->out, "PolicyRoles");
    query_put_page(y, &whole, STR(""));
    return 0;
}
