/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Roles of any account. */

#include "admin/internal.h"
#include "iam/roles.h"

static json_t *role_json(const struct iam_role *r)
{
    json_t *o = json_object();
    json_object_set_new(o, "name", admin_json_str(r->name));
    json_object_set_new(o, "arn", admin_json_str(r->arn));
    json_object_set_new(o, "account", admin_json_str(r->account));
    json_object_set_new(o, "description", admin_json_str(r->description));
    json_object_set_new(o, "trust", admin_json_str(r->trust));
    json_object_set_new(o, "max_session_s", json_integer(r->max_session_s));
    json_object_set_new(o, "created_ms", json_integer((json_int_t)r->created_ms));
    return o;
}

void FIBER admin_role_list(struct admin *a, struct http_exchange *x, struct str body)
{
    struct iam_role *roles;
    size_t count;
    int r = iam_role_list(a->config.iam, http_arena(x), STR_NULL, &roles, &count);
    if (r) {
        admin_respond_error(x, r, NULL);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, role_json(&roles[i]));
    admin_respond_json(x, 200, json_pack("{s:o}", "roles", list));
}

static struct str text_or(const json_t *o, const char *name, struct str otherwise)
{
    struct str s = admin_text_member(o, name);
    return s.len ? s : otherwise;
}

void FIBER admin_role_add(struct admin *a, struct http_exchange *x, struct str body)
{
    json_t *o = admin_read_object(x, body);
    struct iam_role role;
    struct policy_fault fault = {""};
    if (!o)
        return;
    json_int_t max = json_integer_value(json_object_get(o, "max_session_s"));
    struct iam_role spec = {
        .name = text_or(o, "name", STR("")),
        .account = text_or(o, "account", STR("root")),
        .description = text_or(o, "description", STR("")),
        .trust = text_or(o, "trust", STR("")),
        .boundary = STR(""),
        .max_session_s = max > 0 && max <= IAM_ROLE_SESSION_MAX_S ? (uint32_t)max : 0,
    };
    int r = max < 0 || max > IAM_ROLE_SESSION_MAX_S ? -EINVAL
            : !iam_account_exists(a->config.iam, spec.account)
                ? -ERR_NOT_FOUND
                : iam_role_add(a->config.iam, http_arena(x), &spec, &role, &fault);
    json_decref(o);
    if (!r)
        admin_respond_json(x, 201, role_json(&role));
    else
        admin_respond_error(x, r,
                            r == -ERR_NOT_FOUND          ? "no such account"
                            : r == -ERR_EXISTS           ? "a role of this name exists already"
                            : r == -ERR_MALFORMED_POLICY ? fault.text
                            : r == -EINVAL ? "a role needs a name, and sessions of 3600 to 43200 s"
                                           : NULL);
}

void FIBER admin_role_remove(struct admin *a, struct http_exchange *x, struct str body)
{
    admin_respond_done(x, iam_role_remove(a->config.iam, admin_path_name(x)), "no such role", NULL);
}
