/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Policies of users, groups and roles: inline and attached, the same for all three. */

#include "s3/query/query.h"

#include <stdlib.h>

/* Of an inline policy: beyond, a role or user would hold what a bucket's policy may. */
#define INLINE_MAX (10 * KIB)

struct holder {
    enum iam_holder kind;
    struct str name, local;
    const char *element;
};

static struct holder holder_of(const struct query *y)
{
    switch (y->action->on) {
    case QUERY_ON_GROUP:
        return (struct holder){IAM_HOLDER_GROUP, y->group.name,
                               iam_local_name(y->account, y->group.name), "GroupName"};
    case QUERY_ON_ROLE:
        return (struct holder){IAM_HOLDER_ROLE, y->role.name,
                               iam_local_name(y->account, y->role.name), "RoleName"};
    default:
        return (struct holder){IAM_HOLDER_USER, y->user.name,
                               iam_local_name(y->user.account, y->user.name), "UserName"};
    }
}

/* ---- inline --------------------------------------------------------------------------------- */

static int no_such_policy(struct query *y, struct str name, int r)
{
    if (r != -ERR_NOT_FOUND)
        return r;
    return s3_error(y->q, -ERR_NO_SUCH_ENTITY, "The policy with name %.*s cannot be found.",
                    STR_FMT(name));
}

int FIBER query_put_inline(struct query *y)
{
    struct holder h = holder_of(y);
    struct str name, document;
    int r = query_need(y, "PolicyName", &name);
    if (!r)
        r = query_need(y, "PolicyDocument", &document);
    if (r)
        return r;
    if (name.len > 128)
        return s3_error(y->q, -ERR_VALIDATION, "policyName has at most 128 characters");
    if (document.len > INLINE_MAX)
        return s3_error(y->q, -ERR_LIMIT_EXCEEDED, "Maximum policy size of %llu bytes exceeded",
                        INLINE_MAX);
    return iam_inline_put(y->iam, h.kind, h.name, name, document, &y->fault);
}

int query_get_inline(struct query *y)
{
    struct holder h = holder_of(y);
    struct str name, document;
    int r = query_need(y, "PolicyName", &name);
    if (!r)
        r = no_such_policy(y, name,
                           iam_inline_get(y->iam, y->arena, h.kind, h.name, name, &document));
    if (r)
        return r;
    xml_element(&y->out, h.element, h.local);
    xml_element(&y->out, "PolicyName", name);
    query_put_document(y, "PolicyDocument", document);
    return 0;
}

int FIBER query_delete_inline(struct query *y)
{
    struct holder h = holder_of(y);
    struct str name;
    int r = query_need(y, "PolicyName", &name);
    return r ? r : no_such_policy(y, name, iam_inline_remove(y->iam, h.kind, h.name, name));
}

static struct str text_at(const void *items, size_t i)
{
    return ((const struct str *)items)[i];
}

/* The part that the form asks for of the holder's policies, inline or attached, by their names. */
static int page_of(struct query *y, bool inlined, struct str **ret, struct query_page *ret_page)
{
    struct holder h = holder_of(y);
    size_t count;
    int r = iam_holder_policies(y->iam, y->arena, h.kind, h.name, inlined, ret, &count);
    if (r)
        return r;
    qsort(*ret, count, sizeof(**ret), query_cmp_texts);
    return query_page(y, text_at, *ret, count, ret_page);
}

int query_list_inline(struct query *y)
{
    struct query_page page;
    struct str *names;
    int r = page_of(y, true, &names, &page);
    if (r)
        return r;
    xml_open(&y->out, "PolicyNames");
    for (size_t i = page.from; i < page.to; i++)
        xml_element(&y->out, "member", names[i]);
    xml_close(&y->out, "PolicyNames");
    query_put_page(y, &page, page.to ? names[page.to - 1] : STR(""));
    return 0;
}

/* ---- attached ------------------------------------------------------------------------------- */

static int FIBER change(struct query *y, bool attach)
{
    struct holder h = holder_of(y);
    struct str arn, name;
    int r = query_need(y, "PolicyArn", &arn);
    if (!r)
        r = query_policy_of_arn(y, arn, &name);
    if (!r)
        r = iam_attach(y->iam, h.kind, h.name, name, attach);
    if (r == 1 && !attach)
        return s3_error(y->q, -ERR_NO_SUCH_ENTITY, "Policy %.*s was not found.", STR_FMT(arn));
    return r > 0 ? 0 : r;
}

int FIBER query_attach(struct query *y)
{
    return change(y, true);
}

int FIBER query_detach(struct query *y)
{
    return change(y, false);
}

static void put_attached(struct query *y, struct str name)
{
    struct iam_policy_info info;
    struct str local;
    if (iam_policy_get(y->iam, y->arena, name, &info))
        return;
    struct str arn = query_arn_of_policy(y, &info, &local);
    xml_open(&y->out, "member");
    xml_element(&y->out, "PolicyName", local);
    xml_element(&y->out, "PolicyArn", arn);
    xml_close(&y->out, "member");
}

int query_list_attached(struct query *y)
{
    struct query_page page;
    struct str *names;
    int r = page_of(y, false, &names, &page);
    if (r)
        return r;
    xml_open(&y->out, "AttachedPolicies");
    for (size_t i = page.from; i < page.to; i++)
        put_attached(y, names[i]);
    xml_close(&y->out, "AttachedPolicies");
    query_put_page(y, &page, page.to ? names[page.to - 1] : STR(""));
    return 0;
}
