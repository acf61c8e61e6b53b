/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Policies, groups, what is attached to whom, and why a request is allowed or denied.
 */

#include "admin/internal.h"
#include "iam/bucket_policy.h"
#include "iam/grants.h"
#include "wire/json.h"

/* ---- bodies --------------------------------------------------------------------------------- */

json_t *FIBER admin_read_object(struct http_exchange *x, struct str body)
{
    json_t *o = json_read(body);
    if (json_is_object(o))
        return o;
    json_decref(o);
    admin_respond_error(x, -EINVAL, "the body must be a JSON object");
    return NULL;
}

struct str admin_text_member(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    return json_is_string(v) ? str_make(json_string_value(v), json_string_length(v)) : STR_NULL;
}

void FIBER admin_respond_done(struct http_exchange *x, int r, const char *not_found,
                              const char *conflict)
{
    if (r == -ERR_NOT_FOUND)
        admin_respond_error(x, r, not_found);
    else if (r == -ERR_CONFLICT)
        admin_respond_error(x, r, conflict);
    else if (r < 0)
        admin_respond_error(x, r, NULL);
    else
        http_respond(x, 204, STR_NULL);
}

/* ---- policies ------------------------------------------------------------------------------- */

static json_t *policy_json(const struct iam_policy_info *p, bool with_document)
{
    json_t *o = json_object();
    json_object_set_new(o, "name", admin_json_str(p->name));
    json_object_set_new(o, "builtin", json_boolean(p->builtin));
    json_object_set_new(o, "changed_ms", json_integer((json_int_t)p->changed_ms));
    if (with_document)
        json_object_set_new(o, "document", admin_json_str(p->document));
    return o;
}

void FIBER admin_policy_list(struct admin *a, struct http_exchange *x, struct str body)
{
    struct iam_policy_info *policies;
    size_t count;
    int r = iam_policy_list(a->config.iam, http_arena(x), &policies, &count);
    if (r < 0) {
        admin_respond_error(x, r, NULL);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, policy_json(&policies[i], false));
    admin_respond_json(x, 200, json_pack("{s:o}", "policies", list));
}

void FIBER admin_policy_get(struct admin *a, struct http_exchange *x, struct str body)
{
    struct iam_policy_info policy;
    int r = iam_policy_get(a->config.iam, http_arena(x), admin_path_name(x), &policy);
    if (r < 0)
        admin_respond_error(x, r, r == -ERR_NOT_FOUND ? "no such policy" : NULL);
    else
        admin_respond_json(x, 200, policy_json(&policy, true));
}

/* {"name", "document": the document as text, kept as it is} */
void FIBER admin_policy_add(struct admin *a, struct http_exchange *x, struct str body)
{
    struct policy_fault why;
    json_t *o = admin_read_object(x, body);
    if (!o)
        return;
    struct str name = admin_text_member(o, "name"), document = admin_text_member(o, "document");
    int r =
        name.ptr && document.ptr ? iam_policy_put(a->config.iam, name, document, &why) : -EINVAL;
    json_decref(o);
    if (r == -ERR_MALFORMED_POLICY)
        admin_respond_error(x, r, why.text);
    else if (r == -EINVAL)
        admin_respond_error(x, r, "a policy needs a name of at most 128 bytes and a document");
    else
        admin_respond_done(x, r, NULL, "a built-in policy cannot be changed");
}

void FIBER admin_policy_remove(struct admin *a, struct http_exchange *x, struct str body)
{
    admin_respond_done(x, iam_policy_remove(a->config.iam, admin_path_name(x)), "no such policy",
                       "the policy is built in, or attached to a user or group");
}

/* {"policy", "user", "group" or "role", "attach": true or false} */
void FIBER admin_policy_attach(struct admin *a, struct http_exchange *x, struct str body)
{
    json_t *o = admin_read_object(x, body);
    if (!o)
        return;
    struct str policy = admin_text_member(o, "policy"), user = admin_text_member(o, "user"),
               group = admin_text_member(o, "group"), role = admin_text_member(o, "role");
    bool attach = json_is_true(json_object_get(o, "attach"));
    int r = -EINVAL;
    if (policy.ptr && !user.ptr + !group.ptr + !role.ptr == 2)
        r = iam_attach(a->config.iam,
                       user.ptr    ? IAM_HOLDER_USER
                       : group.ptr ? IAM_HOLDER_GROUP
                                   : IAM_HOLDER_ROLE,
                       user.ptr    ? user
                       : group.ptr ? group
                                   : role,
                       policy, attach);
    json_decref(o);
    if (r == -ERR_LIMIT)
        admin_respond_error(x, -ERR_CONFLICT, "at most 40 policies can be attached to one");
    else if (r == -EINVAL)
        admin_respond_error(x, r, "name a policy, and a user, a group or a role");
    else
        admin_respond_done(x, MIN(r, 0), "no such policy, user, group or role", NULL);
}

/* ---- groups --------------------------------------------------------------------------------- */

void FIBER admin_group_list(struct admin *a, struct http_exchange *x, struct str body)
{
    struct iam_group_info *groups;
    size_t count;
    int r = iam_group_list(a->config.iam, http_arena(x), true, &groups, &count);
    if (r < 0) {
        admin_respond_error(x, r, NULL);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            list, json_pack("{s:o, s:I, s:o, s:o}", "name", admin_json_str(groups[i].name),
                            "created_ms", (json_int_t)groups[i].created_ms, "policies",
                            admin_json_names(groups[i].policies, groups[i].policy_count), "members",
                            admin_json_names(groups[i].members, groups[i].member_count)));
    admin_respond_json(x, 200, json_pack("{s:o}", "groups", list));
}

void FIBER admin_group_add(struct admin *a, struct http_exchange *x, struct str body)
{
    json_t *o = admin_read_object(x, body);
    if (!o)
        return;
    struct str name = admin_text_member(o, "name");
    int r = name.ptr ? iam_group_add(a->config.iam, name) : -EINVAL;
    json_decref(o);
    if (r == -ERR_EXISTS)
        admin_respond_error(x, r, "a group with this name exists already");
    else if (r == -EINVAL)
        admin_respond_error(x, r, "a group needs a name of at most 128 bytes");
    else
        admin_respond_done(x, r, NULL, NULL);
}

void FIBER admin_group_remove(struct admin *a, struct http_exchange *x, struct str body)
{
    admin_respond_done(x, iam_group_remove(a->config.iam, admin_path_name(x)), "no such group",
                       "the group has members: let them leave first");
}

/* {"group", "user", "in": true or false} */
void FIBER admin_group_member(struct admin *a, struct http_exchange *x, struct str body)
{
    json_t *o = admin_read_object(x, body);
    if (!o)
        return;
    struct str group = admin_text_member(o, "group"), user = admin_text_member(o, "user");
    int r = group.ptr && user.ptr ? iam_group_member(a->config.iam, group, user,
                                                     json_is_true(json_object_get(o, "in")))
                                  : -EINVAL;
    json_decref(o);
    if (r == -ERR_LIMIT)
        admin_respond_error(x, -ERR_CONFLICT, "a user can be in at most 16 groups");
    else if (r == -EINVAL)
        admin_respond_error(x, r, "name a group and a user");
    else
        admin_respond_done(x, r, "no such group or user", NULL);
}

/* ---- explaining ----------------------------------------------------------------------------- */

struct explain {
    struct admin *admin;
    struct arena *arena;
    const json_t *values; /* {"aws:SourceIp": ["192.0.2.1"]}; NULL: none */
    struct iam_identity who;
    bool anonymous;
    struct str action, key;
    struct store_bucket bucket;
    struct str bucket_name;
    struct iam_decision decision;
};

static int take_values(struct explain *e, const json_t *list, struct iam_values *ret)
{
    size_t count = json_array_size(list);
    struct str *items = arena_array(e->arena, struct str, count + 1);
    if (!items)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        items[i] = str_from(json_string_value(json_array_get(list, i)));
    *ret = (struct iam_values){items, count};
    return 0;
}

static int explain_value(void *arg, enum iam_key key, struct str name, struct iam_values *ret)
{
    struct explain *e = arg;
    const char *text;
    json_t *list;
    json_object_foreach((json_t *)e->values, text, list)
    {
        struct str given;
        if (iam_key_find(str_from(text), &given) == (int)key && str_eq(given, name))
            return take_values(e, list, ret);
    }
    return 0;
}

static const char *check_values(const json_t *values)
{
    const char *text;
    json_t *list, *v;
    size_t i;
    struct str name;
    json_object_foreach((json_t *)values, text, list)
    {
        if (iam_key_find(str_from(text), &name) < 0)
            return "no such condition key";
        json_array_foreach(
            list, i,
            v) if (!json_is_string(v)) return "the values of a condition key must be texts";
    }
    return NULL;
}

/* "arn:aws:s3:::bucket/key", "bucket/key", "bucket", or "" for what has none. */
static void split_resource(struct explain *e, struct str resource)
{
    struct str prefix = STR("arn:aws:s3:::");
    if (str_starts(resource, prefix))
        resource = str_from_offset(resource, prefix.len);
    ptrdiff_t slash = str_find_char(resource, '/', 0);
    e->bucket_name = slash < 0 ? resource : str_prefix(resource, (size_t)slash);
    e->key = slash < 0 ? STR_NULL : str_from_offset(resource, (size_t)slash + 1);
}

static int FIBER find_parties(struct explain *e, struct str user, const char **ret_why)
{
    int r = 0;
    e->anonymous = str_eq(user, STR("*"));
    *ret_why = "no such user; \"*\" stands for the anonymous";
    if (!e->anonymous)
        r = iam_user_identity(e->admin->config.iam, e->arena, user, &e->who);
    if (r < 0 || !e->bucket_name.len)
        return r;
    *ret_why = NULL; /* the error's own words will do */
    r = store_bucket_get(e->admin->config.store, e->arena, e->bucket_name, &e->bucket);
    /* A bucket that is to be made need not be there. */
    return r == -ERR_NO_SUCH_BUCKET && str_eq(e->action, STR("s3:CreateBucket")) ? 0 : r;
}

static int FIBER explain(struct explain *e)
{
    struct iam_access access = {
        .who = e->anonymous ? NULL : &e->who,
        .action = e->action,
        .bucket = e->bucket_name,
        .key = e->key,
        .bucket_owner = e->bucket.owner,
        .block = e->bucket.name.ptr ? iam_bucket_block(&e->bucket) : 0,
        .context = explain_value,
        .context_arg = e,
    };
    e->decision = (struct iam_decision){.outcome = IAM_IMPLICIT_DENY, .statement = -1};
    int r = e->bucket.name.ptr ? iam_bucket_policy(&e->bucket, &access.bucket_policy) : 0;
    if (!r)
        r = iam_authorise(e->admin->config.iam, &access, &e->decision);
    return r == -ERR_ACCESS_DENIED ? 0 : r;
}

static json_t *decision_json(const struct iam_decision *d)
{
    static const char *const outcomes[] = {[IAM_ALLOW] = "allow",
                                           [IAM_EXPLICIT_DENY] = "explicit deny",
                                           [IAM_IMPLICIT_DENY] = "implicit deny"};
    json_t *o =
        json_pack("{s:s, s:s}", "outcome", outcomes[d->outcome], "by", iam_source_text(d->source));
    if (d->statement >= 0) {
        json_object_set_new(o, "policy", admin_json_str(d->policy));
        json_object_set_new(o, "sid", admin_json_str(d->sid));
        json_object_set_new(o, "statement", json_integer(d->statement + 1));
    }
    return o;
}

/* {"user", "action", "resource", "values": {key: [texts]}} */
void FIBER admin_policy_explain(struct admin *a, struct http_exchange *x, struct str body)
{
    const char *why = "name a user, an action and a resource";
    json_t *o = admin_read_object(x, body);
    if (!o)
        return;
    struct explain e = {.admin = a,
                        .arena = http_arena(x),
                        .values = json_object_get(o, "values"),
                        .action = admin_text_member(o, "action")};
    struct str user = admin_text_member(o, "user"), resource = admin_text_member(o, "resource");
    const char *bad_value = check_values(e.values);
    int r = user.ptr && resource.ptr ? 0 : -EINVAL;
    if (!r && iam_action_find(e.action) < 0)
        bad_value = "there is no such action: they are written like s3:GetObject";
    if (!r && bad_value) {
        why = bad_value;
        r = -EINVAL;
    }
    if (!r) {
        split_resource(&e, resource);
        r = find_parties(&e, user, &why);
    }
    if (!r)
        r = explain(&e);
    if (r < 0)
        admin_respond_error(x, r, why);
    else
        admin_respond_json(x, 200, decision_json(&e.decision));
    store_bucket_release(&e.bucket);
    iam_identity_release(&e.who);
    json_decref(o);
}
