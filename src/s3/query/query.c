/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The way of a query: the form is read (its digest is what was signed), the signature is verified,
 * the action is found, then what it is done to; the right is tested; the handler writes its result.
 */

#include "s3/audit.h"
#include "s3/query/query.h"

#include <stdio.h>

#define IAM_XMLNS   "https://iam.amazonaws.com/doc/2010-05-08/"
#define STS_XMLNS   "https://sts.amazonaws.com/doc/2011-06-15/"
#define IAM_VERSION STR("2010-05-08")
#define STS_VERSION STR("2011-06-15")
#define ITEMS_MAX   1000
#define ITEMS       100

/* clang-format off */
static const struct query_action actions[] = {
    {"sts", "AssumeRole", QUERY_ON_ALL, QUERY_INSIDE, query_assume_role},
    {"sts", "AssumeRoleWithLDAPIdentity", QUERY_ON_ALL, QUERY_ANYONE | QUERY_INSIDE, query_assume_role_with_ldap_identity},
    {"sts", "AssumeRoleWithWebIdentity", QUERY_ON_ALL, QUERY_ANYONE | QUERY_INSIDE, query_assume_role_with_web_identity},
    {"sts", "GetCallerIdentity", QUERY_ON_ALL, QUERY_OPEN, query_get_caller_identity},
    {"sts", "GetSessionToken", QUERY_ON_ALL, QUERY_OPEN, query_get_session_token},

    {"iam", "CreateUser", QUERY_ON_USER, QUERY_NEW, query_create_user},
    {"iam", "GetUser", QUERY_ON_USER, QUERY_SELF, query_get_user},
    {"iam", "ListUsers", QUERY_ON_ALL, 0, query_list_users},
    {"iam", "UpdateUser", QUERY_ON_USER, 0, query_update_user},
    {"iam", "DeleteUser", QUERY_ON_USER, QUERY_SELF, query_delete_user},
    {"iam", "CreateAccessKey", QUERY_ON_USER, QUERY_SELF, query_create_access_key},
    {"iam", "ListAccessKeys", QUERY_ON_USER, QUERY_SELF, query_list_access_keys},
    {"iam", "UpdateAccessKey", QUERY_ON_USER, QUERY_SELF, query_update_access_key},
    {"iam", "DeleteAccessKey", QUERY_ON_USER, QUERY_SELF, query_delete_access_key},
    {"iam", "GetAccessKeyLastUsed", QUERY_ON_ALL, 0, query_get_access_key_last_used},
    {"iam", "PutUserPermissionsBoundary", QUERY_ON_USER, 0, query_put_user_boundary},
    {"iam", "DeleteUserPermissionsBoundary", QUERY_ON_USER, 0, query_delete_user_boundary},
    {"iam", "TagUser", QUERY_ON_USER, 0, query_tag},
    {"iam", "UntagUser", QUERY_ON_USER, 0, query_untag},
    {"iam", "ListUserTags", QUERY_ON_USER, 0, query_list_tags},
    {"iam", "GetAccountSummary", QUERY_ON_ALL, 0, query_get_account_summary},

    {"iam", "CreateGroup", QUERY_ON_GROUP, QUERY_NEW, query_create_group},
    {"iam", "GetGroup", QUERY_ON_GROUP, 0, query_get_group},
    {"iam", "ListGroups", QUERY_ON_ALL, 0, query_list_groups},
    {"iam", "UpdateGroup", QUERY_ON_GROUP, 0, query_update_group},
    {"iam", "DeleteGroup", QUERY_ON_GROUP, 0, query_delete_group},
    {"iam", "AddUserToGroup", QUERY_ON_GROUP, 0, query_add_user_to_group},
    {"iam", "RemoveUserFromGroup", QUERY_ON_GROUP, 0, query_remove_user_from_group},
    {"iam", "ListGroupsForUser", QUERY_ON_USER, 0, query_list_groups_for_user},

    {"iam", "CreatePolicy", QUERY_ON_POLICY, QUERY_NEW, query_create_policy},
    {"iam", "GetPolicy", QUERY_ON_POLICY, 0, query_get_policy},
    {"iam", "ListPolicies", QUERY_ON_ALL, 0, query_list_policies},
    {"iam", "DeletePolicy", QUERY_ON_POLICY, 0, query_delete_policy},
    {"iam", "CreatePolicyVersion", QUERY_ON_POLICY, 0, query_create_policy_version},
    {"iam", "GetPolicyVersion", QUERY_ON_POLICY, 0, query_get_policy_version},
    {"iam", "ListPolicyVersions", QUERY_ON_POLICY, 0, query_list_policy_versions},
    {"iam", "DeletePolicyVersion", QUERY_ON_POLICY, 0, query_delete_policy_version},
    {"iam", "SetDefaultPolicyVersion", QUERY_ON_POLICY, 0, query_set_default_policy_version},
    {"iam", "ListEntitiesForPolicy", QUERY_ON_POLICY, 0, query_list_entities_for_policy},

    {"iam", "PutUserPolicy", QUERY_ON_USER, 0, query_put_inline},
    {"iam", "GetUserPolicy", QUERY_ON_USER, 0, query_get_inline},
    {"iam", "DeleteUserPolicy", QUERY_ON_USER, 0, query_delete_inline},
    {"iam", "ListUserPolicies", QUERY_ON_USER, 0, query_list_inline},
    {"iam", "AttachUserPolicy", QUERY_ON_USER, 0, query_attach},
    {"iam", "DetachUserPolicy", QUERY_ON_USER, 0, query_detach},
    {"iam", "ListAttachedUserPolicies", QUERY_ON_USER, 0, query_list_attached},
    {"iam", "PutGroupPolicy", QUERY_ON_GROUP, 0, query_put_inline},
    {"iam", "GetGroupPolicy", QUERY_ON_GROUP, 0, query_get_inline},
    {"iam", "DeleteGroupPolicy", QUERY_ON_GROUP, 0, query_delete_inline},
    {"iam", "ListGroupPolicies", QUERY_ON_GROUP, 0, query_list_inline},
    {"iam", "AttachGroupPolicy", QUERY_ON_GROUP, 0, query_attach},
    {"iam", "DetachGroupPolicy", QUERY_ON_GROUP, 0, query_detach},
    {"iam", "ListAttachedGroupPolicies", QUERY_ON_GROUP, 0, query_list_attached},
    {"iam", "PutRolePolicy", QUERY_ON_ROLE, 0, query_put_inline},
    {"iam", "GetRolePolicy", QUERY_ON_ROLE, 0, query_get_inline},
    {"iam", "DeleteRolePolicy", QUERY_ON_ROLE, 0, query_delete_inline},
    {"iam", "ListRolePolicies", QUERY_ON_ROLE, 0, query_list_inline},
    {"iam", "AttachRolePolicy", QUERY_ON_ROLE, 0, query_attach},
    {"iam", "DetachRolePolicy", QUERY_ON_ROLE, 0, query_detach},
    {"iam", "ListAttachedRolePolicies", QUERY_ON_ROLE, 0, query_list_attached},

    {"iam", "CreateRole", QUERY_ON_ROLE, QUERY_NEW, query_create_role},
    {"iam", "GetRole", QUERY_ON_ROLE, 0, query_get_role},
    {"iam", "ListRoles", QUERY_ON_ALL, 0, query_list_roles},
    {"iam", "UpdateRole", QUERY_ON_ROLE, 0, query_update_role},
    {"iam", "UpdateRoleDescription", QUERY_ON_ROLE, 0, query_update_role},
    {"iam", "UpdateAssumeRolePolicy", QUERY_ON_ROLE, 0, query_update_trust},
    {"iam", "PutRolePermissionsBoundary", QUERY_ON_ROLE, 0, query_put_role_boundary},
    {"iam", "DeleteRolePermissionsBoundary", QUERY_ON_ROLE, 0, query_delete_role_boundary},
    {"iam", "DeleteRole", QUERY_ON_ROLE, 0, query_delete_role},
    {"iam", "TagRole", QUERY_ON_ROLE, 0, query_tag},
    {"iam", "UntagRole", QUERY_ON_ROLE, 0, query_untag},
    {"iam", "ListRoleTags", QUERY_ON_ROLE, 0, query_list_tags},
    {"iam", "ListInstanceProfilesForRole", QUERY_ON_ROLE, 0, query_list_instance_profiles},

    {"iam", "CreateOpenIDConnectProvider", QUERY_ON_PROVIDER, QUERY_NEW, query_create_provider},
    {"iam", "GetOpenIDConnectProvider", QUERY_ON_PROVIDER, 0, query_get_provider},
    {"iam", "ListOpenIDConnectProviders", QUERY_ON_ALL, 0, query_list_providers},
    {"iam", "DeleteOpenIDConnectProvider", QUERY_ON_PROVIDER, 0, query_delete_provider},
    {"iam", "AddClientIDToOpenIDConnectProvider", QUERY_ON_PROVIDER, 0, query_add_client},
    {"iam", "RemoveClientIDFromOpenIDConnectProvider", QUERY_ON_PROVIDER, 0, query_remove_client},
    {"iam", "UpdateOpenIDConnectProviderThumbprint", QUERY_ON_PROVIDER, 0, query_update_thumbprints},
};
/* clang-format on */

/* ---- parameters ----------------------------------------------------------------------------- */

struct str query_param(const struct query *y, const char *name)
{
    return uri_query_get(&y->params, str_from(name));
}

int query_need(struct query *y, const char *name, struct str *ret)
{
    *ret = query_param(y, name);
    if (ret->len)
        return 0;
    return s3_error(y->q, -ERR_VALIDATION,
                    "1 validation error detected: Value at '%s' failed to satisfy constraint: "
                    "Member must not be null",
                    name);
}

int query_number(struct query *y, const char *name, uint64_t least, uint64_t most,
                 uint64_t otherwise, uint64_t *ret)
{
    struct str text = query_param(y, name);
    *ret = otherwise;
    if (!text.len)
        return 0;
    if (str_to_u64(text, ret) == 0 && *ret >= least && *ret <= most)
        return 0;
    return s3_error(y->q, -ERR_VALIDATION,
                    "1 validation error detected: Value at '%s' failed to satisfy constraint: "
                    "Member must be between %llu and %llu",
                    name, (unsigned long long)least, (unsigned long long)most);
}

int query_list(struct query *y, const char *name, size_t max, struct str **ret, size_t *ret_count)
{
    struct str *list = arena_array(y->arena, struct str, max + 1);
    size_t count = 0;
    for (; list && count <= max; count++) {
        struct str key = arena_printf(y->arena, "%s.member.%zu", name, count + 1);
        if (!key.ptr)
            return -ENOMEM;
        list[count] = uri_query_get(&y->params, key);
        if (!list[count].ptr)
            break;
    }
    if (!list)
        return -ENOMEM;
    if (count > max)
        return s3_error(y->q, -ERR_VALIDATION, "%s has more than %zu members", name, max);
    *ret = list;
    *ret_count = count;
    return 0;
}

/* A NUL would end what is kept as text, but not what was judged. */
static bool is_text(struct str s)
{
    return str_is_utf8(s) && str_find_char(s, 0, 0) < 0;
}

/* Once in all: a second value would leave open which of them counts. */
static int check_params(struct query *y)
{
    for (size_t i = 0; i < y->params.count; i++) {
        struct str name = y->params.params[i].name;
        if (!is_text(name) || !is_text(y->params.params[i].value))
            return s3_error(y->q, -ERR_VALIDATION, "A parameter is no UTF-8, or holds a NUL");
        for (size_t k = 0; k < i; k++)
            if (str_eq(y->params.params[k].name, name))
                return s3_error(y->q, -ERR_VALIDATION, "The parameter %.*s is given twice",
                                STR_FMT(name));
    }
    return 0;
}

/* Those of the form; without a form, those of the target. */
static int read_params(struct query *y, struct str body)
{
    struct str path, raw;
    uri_split(y->q->head->target, &path, &raw);
    int r = uri_parse_query(y->arena, body.len ? body : raw, &y->params);
    if (r == -ERR_TOO_LARGE || r == -ERR_INVALID_URI)
        return s3_error(y->q, -ERR_VALIDATION, "The form cannot be read");
    return r ? r : check_params(y);
}

/* ---- answers -------------------------------------------------------------------------------- */

static const char *xmlns(const struct query *y)
{
    return y->action && strcmp(y->action->service, "iam") == 0 ? IAM_XMLNS : STS_XMLNS;
}

void query_put_document(struct query *y, const char *element, struct str document)
{
    xml_open(&y->out, element);
    uri_encode(&y->out, document, false);
    xml_close(&y->out, element);
}

/* Without milliseconds: what was made is listed with the time it was told with. */
void query_put_time(struct query *y, const char *element, uint64_t ms)
{
    s3_xml_time(&y->out, element, ms / 1000 * 1000);
}

static void put_metadata(struct query *y, struct buf *b)
{
    xml_open(b, "ResponseMetadata");
    xml_element(b, "RequestId", str_from(http_request_id(y->q->x)));
    xml_close(b, "ResponseMetadata");
}

static int FIBER respond(struct query *y, int status, const struct buf *b)
{
    if (buf_error(b))
        return buf_error(b);
    (void)http_set_header(y->q->x, "Content-Type", STR("text/xml"));
    (void)http_set_header(y->q->x, "Cache-Control", STR("no-store"));
    return http_respond(y->q->x, status, buf_str(b));
}

static int FIBER respond_result(struct query *y)
{
    _cleanup_buf_ struct buf b;
    char response[80], result[80];
    buf_init(&b, 0);
    (void)snprintf(response, sizeof(response), "%sResponse", y->action->name);
    (void)snprintf(result, sizeof(result), "%sResult", y->action->name);
    if (buf_error(&y->out))
        return buf_error(&y->out);
    xml_begin(&b);
    xml_open_ns(&b, response, xmlns(y));
    xml_open(&b, result);
    buf_put_str(&b, buf_str(&y->out));
    xml_close(&b, result);
    put_metadata(y, &b);
    xml_close(&b, response);
    return respond(y, 200, &b);
}

/* What iam says, in the words of these APIs. */
static int translate(struct query *y, int err)
{
    switch (-err) {
    case ERR_NOT_FOUND:
        return -ERR_NO_SUCH_ENTITY;
    case ERR_EXISTS:
        return -ERR_ENTITY_EXISTS;
    case ERR_CONFLICT:
        return -ERR_DELETE_CONFLICT;
    case ERR_LIMIT:
        return -ERR_LIMIT_EXCEEDED;
    case ERR_TOO_LARGE:
        return -ERR_PACKED_POLICY;
    case EINVAL:
        return -ERR_VALIDATION;
    case ERR_INVALID_ACCESS_KEY:
    case ERR_INVALID_TOKEN:
        return -ERR_INVALID_CLIENT_TOKEN;
    case ERR_MALFORMED_POLICY:
        return s3_error(y->q, -ERR_MALFORMED_POLICY_DOCUMENT, "%s", y->fault.text);
    default:
        return err;
    }
}

static int FIBER respond_error(struct query *y, int err)
{
    _cleanup_buf_ struct buf b;
    const struct err_info *info = err_info(err);
    bool internal = info->http_status >= 500;
    buf_init(&b, 0);
    y->q->err = err;
    xml_begin(&b);
    xml_open_ns(&b, "ErrorResponse", xmlns(y));
    xml_open(&b, "Error");
    xml_element(&b, "Type", internal ? STR("Receiver") : STR("Sender"));
    xml_element(&b, "Code", str_from(info->s3_code));
    bool told = y->q->message.ptr && info->http_status != 500; /* what is not served is said */
    xml_element(&b, "Message", told ? y->q->message : str_from(info->text));
    xml_close(&b, "Error");
    xml_element(&b, "RequestId", str_from(http_request_id(y->q->x)));
    xml_close(&b, "ErrorResponse");
    return respond(y, info->http_status, &b);
}

/* ---- pages ---------------------------------------------------------------------------------- */

static unsigned char lower(char c)
{
    return (unsigned char)char_lower(c);
}

int query_cmp(struct str a, struct str b)
{
    for (size_t i = 0; i < a.len && i < b.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return lower(a.ptr[i]) < lower(b.ptr[i]) ? -1 : 1;
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return str_cmp(a, b);
}

int query_cmp_texts(const void *a, const void *b)
{
    return query_cmp(*(const struct str *)a, *(const struct str *)b);
}

int query_page(struct query *y, struct str (*name_of)(const void *items, size_t i),
               const void *items, size_t count, struct query_page *ret)
{
    struct str marker = query_param(y, "Marker");
    uint64_t most;
    int r = query_number(y, "MaxItems", 1, ITEMS_MAX, ITEMS, &most);
    if (r)
        return r;
    size_t from = 0;
    while (marker.len && from < count && query_cmp(name_of(items, from), marker) <= 0)
        from++;
    ret->from = from;
    ret->to = MIN(count, from + (size_t)most);
    ret->truncated = ret->to < count;
    return 0;
}

void query_put_page(struct query *y, const struct query_page *p, struct str last)
{
    xml_element_bool(&y->out, "IsTruncated", p->truncated);
    if (p->truncated)
        xml_element(&y->out, "Marker", last);
}

/* ---- what it is done to --------------------------------------------------------------------- */

bool query_is_inside(const struct query *y, struct str name)
{
    return str_eq(y->account, STR("root")) ? str_find_char(name, '/', 0) < 0
                                           : iam_local_name(y->account, name).len != name.len;
}

/* The account in ARNs: that of the store itself is not named. */
static struct str arn_account(struct str account)
{
    return str_eq(account, STR("root")) ? STR("") : account;
}

static struct str make_arn(struct query *y, struct str account, const char *kind, struct str path,
                           struct str name)
{
    return arena_printf(y->arena, "arn:aws:iam::%.*s:%s%.*s%.*s", STR_FMT(arn_account(account)),
                        kind, STR_FMT(path), STR_FMT(name));
}

struct str query_arn_of_group(struct query *y, const struct iam_group_info *g)
{
    return make_arn(y, y->account, "group", g->path, iam_local_name(y->account, g->name));
}

struct str query_arn_of_policy(struct query *y, const struct iam_policy_info *p,
                               struct str *ret_local)
{
    *ret_local = iam_local_name(y->account, p->name);
    if (p->builtin)
        return arena_printf(y->arena, "arn:aws:iam::aws:policy/%.*s", STR_FMT(p->name));
    bool local = ret_local->len != p->name.len;
    return make_arn(y, local ? y->account : STR("root"), "policy", p->path, *ret_local);
}

void query_put_boundary(struct query *y, struct str boundary)
{
    struct iam_policy_info info;
    struct str local;
    if (!boundary.len || iam_policy_get(y->iam, y->arena, boundary, &info))
        return;
    xml_open(&y->out, "PermissionsBoundary");
    xml_element(&y->out, "PermissionsBoundaryType", STR("Policy"));
    xml_element(&y->out, "PermissionsBoundaryArn", query_arn_of_policy(y, &info, &local));
    xml_close(&y->out, "PermissionsBoundary");
}

/* The account, "/path/NAME", and the name behind its last slash, of
 * "arn:aws:iam::ACCOUNT:policy/path/NAME". */
static bool split_policy_arn(struct str arn, struct str *ret_account, struct str *ret_path,
                             struct str *ret_name)
{
    struct str head = STR("arn:aws:iam::"), mid = STR(":policy/");
    if (!str_starts(arn, head))
        return false;
    arn = str_from_offset(arn, head.len);
    ptrdiff_t at = str_find(arn, mid, 0);
    if (at < 0)
        return false;
    *ret_account = str_prefix(arn, (size_t)at);
    *ret_path = str_from_offset(arn, (size_t)at + mid.len - 1);
    struct str rest = str_from_offset(*ret_path, 1), part;
    while (str_cut(&rest, '/', &part))
        *ret_name = part;
    return ret_name->len > 0;
}

/* The ARN is the policy's own only with the policy's path: rights are judged by it. */
static bool is_at(const struct iam_policy_info *info, struct str name, struct str path)
{
    return path.len == info->path.len + name.len && str_starts(path, info->path) &&
           str_ends(path, name);
}

/* The store's name of the policy with that ARN, and the ARN in the form that rights are about. */
static int find_policy_by_arn(struct query *y, struct str arn, struct str *ret_name,
                              struct str *ret_arn)
{
    struct str account, path, name = STR_NULL;
    struct iam_policy_info info;
    if (!split_policy_arn(arn, &account, &path, &name))
        return s3_error(y->q, -ERR_VALIDATION, "Invalid ARN:  Could not be parsed!");
    bool aws = str_eq(account, STR("aws"));
    if (!account.len)
        account = STR("root");
    if (aws)
        *ret_name = name;
    else if (str_eq(account, y->account) || str_eq(y->account, STR("root")))
        *ret_name = iam_qualify(y->arena, account, name);
    else
        return -ERR_NO_SUCH_ENTITY;
    int r = ret_name->ptr ? iam_policy_get(y->iam, y->arena, *ret_name, &info) : -ENOMEM;
    if (r == -ERR_NOT_FOUND || (!r && ((aws && !info.builtin) || !is_at(&info, name, path))))
        return s3_error(y->q, -ERR_NO_SUCH_ENTITY,
                        "Policy %.*s does not exist or is not attachable.", STR_FMT(arn));
    if (!r)
        *ret_arn = make_arn(y, account, "policy", info.path, name);
    return r || ret_arn->ptr ? r : -ENOMEM;
}

int query_policy_of_arn(struct query *y, struct str arn, struct str *ret_name)
{
    struct str own;
    return find_policy_by_arn(y, arn, ret_name, &own);
}

static struct str path_param(struct query *y)
{
    struct str path = query_param(y, "Path");
    return path.len ? path : STR("/");
}

static int no_such(struct query *y, const char *what, struct str name)
{
    return s3_error(y->q, -ERR_NO_SUCH_ENTITY, "The %s with name %.*s cannot be found.", what,
                    STR_FMT(name));
}

/* The server's root is in no table of users. */
static struct iam_user user_of_root(const struct iam_identity *who)
{
    return (struct iam_user){.name = who->name,
                             .user_id = who->user_id,
                             .account = who->account,
                             .path = STR("/"),
                             .arn = who->arn,
                             .boundary = STR("")};
}

/* An account's root is no user of it that others may name: who may make keys for users would have
 * made one of root's. Administrators of the store may. */
static bool is_foreign_root(const struct query *y, const struct iam_user *u)
{
    return str_eq(u->user_id, u->account) && !str_eq(y->q->who.user_id, u->user_id) &&
           !str_eq(y->account, STR("root"));
}

int query_find_user(struct query *y, struct str name, struct iam_user *ret)
{
    int r = iam_user_find(y->iam, y->arena, y->account, name, ret);
    return !r && is_foreign_root(y, ret) ? -ERR_NOT_FOUND : r;
}

static int find_user(struct query *y)
{
    struct str name = query_param(y, "UserName");
    const struct iam_identity *who = &y->q->who;
    if (!name.len && (y->action->flags & QUERY_SELF) && who->credential != IAM_ROLE_SESSION) {
        if (!who->root)
            return iam_user_find(y->iam, y->arena, who->account, who->name, &y->user);
        y->user = user_of_root(who);
        return 0;
    }
    if (!name.len && (y->action->flags & QUERY_SELF))
        return s3_error(y->q, -ERR_VALIDATION,
                        "Must specify userName when calling with non-User credentials");
    int r = query_need(y, "UserName", &name);
    if (!r)
        r = query_find_user(y, name, &y->user);
    if (r != -ERR_NOT_FOUND)
        return r;
    y->arn = make_arn(y, y->account, "user", path_param(y), name);
    if (str_eq(y->account, STR("root"))) /* as users of the store are named otherwise */
        y->alias_arn = arena_printf(y->arena, "arn:aws:iam::root:user%.*s%.*s",
                                    STR_FMT(path_param(y)), STR_FMT(name));
    return no_such(y, "user", name);
}

static void name_user(struct query *y)
{
    struct str local = iam_local_name(y->user.account, y->user.name);
    y->arn = y->user.arn;
    if (local.len == y->user.name.len)
        y->alias_arn = arena_printf(y->arena, "arn:aws:iam:::user%.*s%.*s", STR_FMT(y->user.path),
                                    STR_FMT(local));
}

static int find_group(struct query *y)
{
    struct str name;
    int r = query_need(y, "GroupName", &name);
    if (!r)
        r = iam_group_find(y->iam, y->arena, y->account, name, &y->group);
    if (r != -ERR_NOT_FOUND) {
        y->arn = r ? STR_NULL : query_arn_of_group(y, &y->group);
        return r;
    }
    y->arn = make_arn(y, y->account, "group", path_param(y), name);
    return no_such(y, "group", name);
}

static int find_role(struct query *y)
{
    struct str name;
    int r = query_need(y, "RoleName", &name);
    if (!r)
        r = iam_role_find(y->iam, y->arena, y->account, name, &y->role);
    if (r != -ERR_NOT_FOUND) {
        y->arn = r ? STR_NULL : y->role.arn;
        return r;
    }
    y->arn = make_arn(y, y->account, "role", path_param(y), name);
    return no_such(y, "role", name);
}

static int find_policy(struct query *y)
{
    struct str name;
    if (y->action->flags & QUERY_NEW) {
        int r = query_need(y, "PolicyName", &name);
        y->arn = make_arn(y, y->account, "policy", path_param(y), name);
        return r ? r : -ERR_NO_SUCH_ENTITY;
    }
    int r = query_need(y, "PolicyArn", &y->arn);
    if (!r)
        r = find_policy_by_arn(y, y->arn, &name, &y->arn);
    if (r == -ERR_NO_SUCH_ENTITY)
        return s3_error(y->q, r, "Policy %.*s was not found.", STR_FMT(y->arn));
    return r ? r : iam_policy_get(y->iam, y->arena, name, &y->policy);
}

static int find_provider(struct query *y)
{
    struct str url;
    if (y->action->flags & QUERY_NEW) {
        int r = query_need(y, "Url", &url);
        y->arn = iam_provider_arn(y->arena, y->account, url);
        return r ? r : -ERR_NO_SUCH_ENTITY;
    }
    int r = query_need(y, "OpenIDConnectProviderArn", &y->arn);
    if (!r)
        r = iam_provider_get(y->iam, y->arena, y->arn, &y->provider);
    if (r != -ERR_NOT_FOUND && (r || str_eq(y->provider.account, y->account)))
        return r;
    return s3_error(y->q, -ERR_NO_SUCH_ENTITY, "OpenIDConnect Provider not found for arn %.*s",
                    STR_FMT(y->arn));
}

static int find_entity(struct query *y)
{
    int r = 0;
    switch (y->action->on) {
    case QUERY_ON_ALL:
        y->arn = STR("*");
        return 0;
    case QUERY_ON_PROVIDER:
        return find_provider(y);
    case QUERY_ON_USER:
        r = find_user(y);
        if (!r)
            name_user(y);
        return r;
    case QUERY_ON_GROUP:
        return find_group(y);
    case QUERY_ON_ROLE:
        return find_role(y);
    case QUERY_ON_POLICY:
        return find_policy(y);
    }
    return r;
}

/* ---- the right ------------------------------------------------------------------------------ */

static int FIBER context_value(void *arg, enum iam_key key, struct str name, struct iam_values *ret)
{
    struct query *y = arg;
    struct s3_context context = {.q = y->q};
    if (key == IAM_KEY_REQUEST_TAG || key == IAM_KEY_TAG_KEYS || key == IAM_KEY_RESOURCE_TAG)
        return query_tag_values(y, key, name, ret);
    return s3_context_value(&context, key, name, ret);
}

int FIBER query_authorise(struct query *y, const char *action, struct str arn, struct str alias)
{
    struct iam_access a = {
        .who = &y->q->who,
        .action = str_from(action),
        .arn = arn,
        .alias_arn = alias,
        .bucket_owner = y->account,
        .context = context_value,
        .context_arg = y,
    };
    int r = iam_authorise(y->iam, &a, NULL);
    if (r != -ERR_ACCESS_DENIED)
        return r;
    return s3_error(y->q, r, "User: %.*s is not authorized to perform: %s on resource: %.*s",
                    STR_FMT(y->q->who.arn), action, STR_FMT(arn));
}

/*
 * A session of a user does nothing here, as on AWS without MFA. A service account does nothing
 * either: what it made (a key of its user, a policy) would outgrow what narrows it (CVE-2021-41137,
 * CVE-2022-24842, CVE-2024-55949, CVE-2025-62506).
 */
static int check_credential(struct query *y)
{
    enum iam_credential c = y->q->who.credential;
    if (strcmp(y->action->service, "iam") != 0 || c == IAM_OWN_KEY || c == IAM_ROLE_SESSION)
        return 0;
    return s3_error(y->q, -ERR_INVALID_CLIENT_TOKEN, "These credentials cannot be used for IAM");
}

/* What is not there is told to who may ask for it. */
static int FIBER enter(struct query *y)
{
    char action[80];
    int found = check_credential(y);
    if (found || (y->action->flags & (QUERY_OPEN | QUERY_INSIDE)))
        return found;
    (void)snprintf(action, sizeof(action), "iam:%s",
                   strcmp(y->action->name, "UpdateRoleDescription") == 0 ? "UpdateRole"
                                                                         : y->action->name);
    found = find_entity(y);
    if (found && found != -ERR_NO_SUCH_ENTITY)
        return found;
    struct str told = y->q->message;
    int r = query_authorise(y, action, y->arn, y->alias_arn);
    if (r || !found)
        return r;
    y->q->message = told;
    return y->action->flags & QUERY_NEW ? 0 : found;
}

/* ---- a query -------------------------------------------------------------------------------- */

static int find_action(struct query *y)
{
    struct str name = query_param(y, "Action"), version = query_param(y, "Version");
    if (!name.len)
        return -ERR_MISSING_ACTION;
    for (size_t i = 0; i < ARRAY_LEN(actions); i++)
        if (str_eq(name, str_from(actions[i].name)))
            y->action = &actions[i];
    bool iam = y->action && strcmp(y->action->service, "iam") == 0;
    if (y->action && (!version.len || str_eq(version, iam ? IAM_VERSION : STS_VERSION)))
        return 0;
    return s3_error(y->q, -ERR_INVALID_ACTION, "Could not find operation %.*s for version %.*s",
                    STR_FMT(name), STR_FMT(version.len ? version : STR("NO_VERSION_SPECIFIED")));
}

/* The signature covers the form, one way or the other. */
static int check_cover(struct query *y, struct str body)
{
    const struct sigv4_auth *auth = &y->q->auth;
    uint8_t digest[HASH_SHA256_LEN];
    if (auth->v2)
        return -ERR_SIGNATURE_VERSION;
    if (auth->payload == SIGV4_PAYLOAD_HASH) {
        hash_sha256(body, digest);
        return memcmp(digest, auth->payload_hash, sizeof(digest)) == 0 ? 0 : -ERR_SHA256_MISMATCH;
    }
    return auth->form == SIGV4_QUERY && !body.len ? 0 : -ERR_ACCESS_DENIED;
}

static int authenticate(struct query *y, struct str body)
{
    struct s3_request *q = y->q;
    q->form_body = body.ptr ? body : STR("");
    int r = s3_authenticate(q);
    if (r)
        return r;
    if (!q->signed_in)
        return y->action->flags & QUERY_ANYONE ? 0 : -ERR_MISSING_AUTHENTICATION;
    y->account = q->who.account;
    if (!str_eq(q->auth.service, str_from(y->action->service)))
        return s3_error(q, -ERR_SIGNATURE_MISMATCH,
                        "Credential should be scoped to correct service: '%s'.",
                        y->action->service);
    return check_cover(y, body);
}

static int FIBER serve(struct query *y)
{
    struct str body;
    int r = http_body_all(y->q->x, QUERY_BODY_MAX, &body);
    if (!r)
        r = read_params(y, body);
    if (!r)
        r = find_action(y);
    if (!r) {
        s3_audit_action(y->q, y->action->service, y->action->name, &y->params);
        r = authenticate(y, body);
    }
    if (!r)
        r = s3_check_rate(y->q);
    if (!r)
        r = enter(y);
    if (!r)
        r = s3_audit_begin(y->q);
    if (!r)
        r = y->action->handler(y);
    return r;
}

int FIBER s3_query(struct s3_request *q)
{
    struct query *y = arena_new(q->arena, struct query);
    if (!y)
        return -ENOMEM;
    q->op = s3_op_named("QueryApi");
    y->q = q;
    y->iam = q->s3->iam;
    y->arena = q->arena;
    buf_init(&y->out, 0);
    int r = serve(y);
    r = r ? respond_error(y, translate(y, r)) : respond_result(y);
    buf_release(&y->out);
    return r;
}

bool s3_query_wants(const struct s3_request *q)
{
    struct str type = http_header(q->x, STR("content-type")), path, query;
    uri_split(q->head->target, &path, &query);
    if (!str_eq(q->head->method, STR("POST")) || !str_eq(path, STR("/")) || s3_bucket_path(q).len)
        return false;
    return str_starts_nocase(type, STR("application/x-www-form-urlencoded")) ||
           str_starts(query, STR("Action="));
}
