/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Groups and who is in them. */

#include "s3/query/query.h"

#include <stdlib.h>

static void put_group(struct query *y, const char *element, const struct iam_group_info *g)
{
    xml_open(&y->out, element);
    xml_element(&y->out, "Path", g->path);
    xml_element(&y->out, "GroupName", iam_local_name(y->account, g->name));
    xml_element(&y->out, "GroupId", g->id);
    xml_element(&y->out, "Arn", query_arn_of_group(y, g));
    query_put_time(y, "CreateDate", g->created_ms);
    xml_close(&y->out, element);
}

int FIBER query_create_group(struct query *y)
{
    struct str name = query_param(y, "GroupName");
    int r = iam_group_create(y->iam, y->arena, y->account, name, query_param(y, "Path"), &y->group);
    if (r == -ERR_EXISTS)
        return s3_error(y->q, -ERR_ENTITY_EXISTS, "Group with name %.*s already exists.",
                        STR_FMT(name));
    if (!r)
        put_group(y, "Group", &y->group);
    return r;
}

static struct str member_at(const void *items, size_t i)
{
    return ((const struct str *)items)[i];
}

static void put_member(struct query *y, struct str name)
{
    struct iam_user u;
    if (iam_user_get(y->iam, y->arena, name, &u))
        return; /* gone meanwhile */
    xml_open(&y->out, "member");
    xml_element(&y->out, "Path", u.path);
    xml_element(&y->out, "UserName", iam_local_name(u.account, u.name));
    xml_element(&y->out, "UserId", u.user_id);
    xml_element(&y->out, "Arn", u.arn);
    query_put_time(y, "CreateDate", u.created_ms);
    xml_close(&y->out, "member");
}

int query_get_group(struct query *y)
{
    struct str *members = (struct str *)y->group.members;
    size_t count = y->group.member_count;
    struct query_page page;
    qsort(members, count, sizeof(*members), query_cmp_texts);
    int r = query_page(y, member_at, members, count, &page);
    if (r)
        return r;
    put_group(y, "Group", &y->group);
    xml_open(&y->out, "Users");
    for (size_t i = page.from; i < page.to; i++)
        put_member(y, members[i]);
    xml_close(&y->out, "Users");
    query_put_page(y, &page, page.to ? members[page.to - 1] : STR(""));
    return 0;
}

/* ---- lists ---------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return query_cmp(((const struct iam_group_info *)a)->name,
                     ((const struct iam_group_info *)b)->name);
}

static struct str name_at(const void *items, size_t i)
{
    return ((const struct iam_group_info *)items)[i].name;
}

/* Those for which `fits` holds, of a page. */
static int put_groups(struct query *y,
                      bool (*fits)(const struct query *y, const struct iam_group_info *g))
{
    struct iam_group_info *groups;
    struct query_page page;
    size_t all, count = 0;
    int r = iam_group_list(y->iam, y->arena, false, &groups, &all);
    for (size_t i = 0; !r && i < all; i++)
        if (fits(y, &groups[i]))
            groups[count++] = groups[i];
    if (r)
        return r;
    qsort(groups, count, sizeof(*groups), by_name);
    r = query_page(y, name_at, groups, count, &page);
    if (r)
        return r;
    xml_open(&y->out, "Groups");
    for (size_t i = page.from; i < page.to; i++)
        put_group(y, "member", &groups[i]);
    xml_close(&y->out, "Groups");
    query_put_page(y, &page, page.to ? groups[page.to - 1].name : STR(""));
    return 0;
}

static bool is_listed(const struct query *y, const struct iam_group_info *g)
{
    return query_is_inside(y, g->name) && str_starts(g->path, query_param(y, "PathPrefix"));
}

int query_list_groups(struct query *y)
{
    return put_groups(y, is_listed);
}

static bool has_user(const struct query *y, const struct iam_group_info *g)
{
    for (size_t i = 0; i < y->user.group_count; i++)
        if (str_eq(y->user.groups[i], g->name))
            return true;
    return false;
}

int query_list_groups_for_user(struct query *y)
{
    return put_groups(y, has_user);
}

/* ---- changes -------------------------------------------------------------------------------- */

/* The right to it as what it will be is needed, too (IAM API Reference, UpdateGroup). */
int FIBER query_update_group(struct query *y)
{
    struct str name = query_param(y, "NewGroupName"), path = query_param(y, "NewPath");
    struct iam_group_info to = y->group;
    if (name.len)
        to.name = name;
    if (path.len)
        to.path = path;
    struct str arn = query_arn_of_group(y, &to);
    int r = arn.ptr ? query_authorise(y, "iam:UpdateGroup", arn, STR_NULL) : -ENOMEM;
    return r ? r
             : iam_group_rename(y->iam, y->arena, y->account, query_param(y, "GroupName"), name,
                                path);
}

int FIBER query_delete_group(struct query *y)
{
    if (y->group.policy_count)
        return s3_error(y->q, -ERR_DELETE_CONFLICT,
                        "Cannot delete entity, must delete and detach all policies first.");
    return iam_group_remove(y->iam, y->group.name);
}

static int FIBER change_member(struct query *y, bool in)
{
    struct str name;
    struct iam_user user;
    int r = query_need(y, "UserName", &name);
    if (!r)
        r = query_find_user(y, name, &user);
    if (r == -ERR_NOT_FOUND)
        return s3_error(y->q, -ERR_NO_SUCH_ENTITY, "The user with name %.*s cannot be found.",
                        STR_FMT(name));
    return r ? r : iam_group_member(y->iam, y->group.name, user.name, in);
}

int FIBER query_add_user_to_group(struct query *y)
{
    return change_member(y, true);
}

int FIBER query_remove_user_from_group(struct query *y)
{
    return change_member(y, false);
}
