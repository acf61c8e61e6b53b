/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Roles. */

#include "s3/query/query.h"

#include <stdlib.h>

/* A list leaves out what the role alone has. */
enum told { LISTED, CHANGED, ASKED_FOR };

static void put_role(struct query *y, const char *element, const struct iam_role *r, enum told told)
{
    xml_open(&y->out, element);
    xml_element(&y->out, "Path", r->path);
    xml_element(&y->out, "RoleName", iam_local_name(r->account, r->name));
    xml_element(&y->out, "RoleId", r->id);
    xml_element(&y->out, "Arn", r->arn);
    query_put_time(y, "CreateDate", r->created_ms);
    query_put_document(y, "AssumeRolePolicyDocument", r->trust);
    if (r->description.len)
        xml_element(&y->out, "Description", r->description);
    xml_element_u64(&y->out, "MaxSessionDuration", r->max_session_s);
    query_put_boundary(y, r->boundary);
    if (told != LISTED)
        query_put_tags(y, &r->tags);
    if (told == ASKED_FOR)
        xml_element(&y->out, "RoleLastUsed", STR(""));
    xml_close(&y->out, element);
}

static int read_max_session(struct query *y, uint32_t otherwise, uint32_t *ret)
{
    uint64_t max;
    int r = query_number(y, "MaxSessionDuration", IAM_ROLE_SESSION_S, IAM_ROLE_SESSION_MAX_S,
                         otherwise, &max);
    if (!r)
        *ret = (uint32_t)max;
    return r;
}

/* A name as AWS takes it; a slash would be part of the path. */
static bool is_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c | 32) >= 'a' && (c | 32) <= 'z', digit = c >= '0' && c <= '9';
        if (!letter && !digit && (!c || !strchr("_+=,.@-", c)))
            return false;
    }
    return name.len > 0 && name.len <= 64;
}

int FIBER query_create_role(struct query *y)
{
    struct str arn = query_param(y, "PermissionsBoundary");
    struct iam_role spec = {
        .name = query_param(y, "RoleName"),
        .account = y->account,
        .path = query_param(y, "Path"),
        .description = query_param(y, "Description"),
        .boundary = STR(""),
    };
    int r = query_need(y, "AssumeRolePolicyDocument", &spec.trust);
    if (!r)
        r = read_max_session(y, IAM_ROLE_SESSION_S, &spec.max_session_s);
    if (!r && arn.len)
        r = query_policy_of_arn(y, arn, &spec.boundary);
    if (!r)
        r = query_new_tags(y, "iam:TagRole", &spec.tags);
    if (!r && !is_name(spec.name))
        r = s3_error(y->q, -ERR_VALIDATION, "The specified value for roleName is invalid.");
    if (!r)
        r = iam_role_add(y->iam, y->arena, &spec, &y->role, &y->fault);
    if (r == -ERR_EXISTS)
        return s3_error(y->q, -ERR_ENTITY_EXISTS, "Role with name %.*s already exists.",
                        STR_FMT(spec.name));
    if (!r)
        put_role(y, "Role", &y->role, CHANGED);
    return r;
}

/* When a role was last used is not kept: RoleLastUsed is that of one that never was. */
int query_get_role(struct query *y)
{
    put_role(y, "Role", &y->role, ASKED_FOR);
    return 0;
}

/* There are none: whoever removes a role asks first whether one holds it. */
int query_list_instance_profiles(struct query *y)
{
    xml_open(&y->out, "InstanceProfiles");
    xml_close(&y->out, "InstanceProfiles");
    xml_element_bool(&y->out, "IsTruncated", false);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return query_cmp(((const struct iam_role *)a)->name, ((const struct iam_role *)b)->name);
}

static struct str name_at(const void *items, size_t i)
{
    return ((const struct iam_role *)items)[i].name;
}

int query_list_roles(struct query *y)
{
    struct str prefix = query_param(y, "PathPrefix");
    struct iam_role *roles;
    struct query_page page;
    size_t all, count = 0;
    int r = iam_role_list(y->iam, y->arena, y->account, &roles, &all);
    for (size_t i = 0; !r && i < all; i++)
        if (str_starts(roles[i].path, prefix))
            roles[count++] = roles[i];
    if (r)
        return r;
    qsort(roles, count, sizeof(*roles), by_name);
    r = query_page(y, name_at, roles, count, &page);
    if (r)
        return r;
    xml_open(&y->out, "Roles");
    for (size_t i = page.from; i < page.to; i++)
        put_role(y, "member", &roles[i], LISTED);
    xml_close(&y->out, "Roles");
    query_put_page(y, &page, page.to ? roles[page.to - 1].name : STR(""));
    return 0;
}

/* UpdateRole, and UpdateRoleDescription, which answers with the role. */
int FIBER query_update_role(struct query *y)
{
    struct str description = query_param(y, "Description");
    unsigned what = query_param(y, "MaxSessionDuration").len ? IAM_ROLE_MAX_SESSION : 0;
    int r = read_max_session(y, y->role.max_session_s, &y->role.max_session_s);
    if (description.ptr) {
        y->role.description = description;
        what |= IAM_ROLE_DESCRIPTION;
    }
    if (!r)
        r = iam_role_update(y->iam, &y->role, what, &y->fault);
    if (!r && strcmp(y->action->name, "UpdateRoleDescription") == 0)
        put_role(y, "Role", &y->role, CHANGED);
    return r;
}

int FIBER query_update_trust(struct query *y)
{
    int r = query_need(y, "PolicyDocument", &y->role.trust);
    return r ? r : iam_role_update(y->iam, &y->role, IAM_ROLE_TRUST, &y->fault);
}

int FIBER query_put_role_boundary(struct query *y)
{
    struct str arn;
    int r = query_need(y, "PermissionsBoundary", &arn);
    if (!r)
        r = query_policy_of_arn(y, arn, &y->role.boundary);
    return r ? r : iam_role_update(y->iam, &y->role, IAM_ROLE_BOUNDARY, &y->fault);
}

int FIBER query_delete_role_boundary(struct query *y)
{
    y->role.boundary = STR("");
    return iam_role_update(y->iam, &y->role, IAM_ROLE_BOUNDARY, &y->fault);
}

int FIBER query_delete_role(struct query *y)
{
    if (y->role.policy_count)
        return s3_error(y->q, -ERR_DELETE_CONFLICT,
                        "Cannot delete entity, must delete and detach all policies first.");
    return iam_role_remove(y->iam, y->role.name);
}
