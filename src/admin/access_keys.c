/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Access keys and service accounts of any user. A secret is told when its key is made, once. */

#include "admin/internal.h"
#include "iam/keys.h"

static json_t *key_json(const struct iam_access_key *k, struct str user)
{
    json_t *o = json_object();
    json_object_set_new(o, "access_key", admin_json_str(k->id));
    json_object_set_new(o, "user", admin_json_str(user));
    json_object_set_new(o, "service", json_boolean(k->service));
    json_object_set_new(o, "active", json_boolean(!k->inactive));
    json_object_set_new(o, "name", admin_json_str(k->name));
    json_object_set_new(o, "description", admin_json_str(k->description));
    json_object_set_new(o, "created_ms", json_integer((json_int_t)k->created_ms));
    json_object_set_new(o, "expires_ms", json_integer((json_int_t)k->expires_ms));
    if (k->policy.len)
        json_object_set_new(o, "policy", admin_json_str(k->policy));
    return o;
}

void FIBER admin_access_key_list(struct admin *a, struct http_exchange *x, struct str body)
{
    struct str user = admin_path_name(x);
    struct iam_access_key *keys;
    size_t count;
    int r = iam_access_key_list(a->config.iam, http_arena(x), user, &keys, &count);
    if (r) {
        admin_respond_error(x, r, r == -ERR_NOT_FOUND ? "no such user" : NULL);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, key_json(&keys[i], user));
    admin_respond_json(x, 200, json_pack("{s:o}", "keys", list));
}

static struct str text_or_empty(const json_t *o, const char *name)
{
    struct str s = admin_text_member(o, name);
    return s.ptr ? s : STR("");
}

static void FIBER respond_added(struct http_exchange *x, int r, const struct policy_fault *fault,
                                json_t *made)
{
    if (!r) {
        admin_respond_json(x, 201, made);
        return;
    }
    const char *why = r == -ERR_NOT_FOUND          ? "no such user"
                      : r == -ERR_EXISTS           ? "this access key exists already"
                      : r == -ERR_MALFORMED_POLICY ? fault->text
                      : r == -ERR_LIMIT            ? "the user has as many keys as it may have"
                      : r == -EINVAL ? "an access_key has 3 to 128 bytes and a secret_key 8 to 128"
                                     : NULL;
    admin_respond_error(x, r == -ERR_LIMIT ? -ERR_CONFLICT : r, why);
}

void FIBER admin_access_key_add(struct admin *a, struct http_exchange *x, struct str body)
{
    json_t *o = admin_read_object(x, body), *made = NULL;
    struct iam_access_key key;
    struct policy_fault fault;
    struct str secret;
    if (!o)
        return;
    struct str user = text_or_empty(o, "user");
    json_int_t expires = json_integer_value(json_object_get(o, "expires_ms"));
    struct iam_access_key_spec spec = {
        .id = text_or_empty(o, "access_key"),
        .secret = text_or_empty(o, "secret_key"),
        .policy = text_or_empty(o, "policy"),
        .name = text_or_empty(o, "name"),
        .description = text_or_empty(o, "description"),
        .expires_ms = expires > 0 ? (uint64_t)expires : 0,
        .service = json_is_true(json_object_get(o, "service")),
    };
    int r = !spec.id.len == !spec.secret.len ? 0 : -EINVAL;
    if (!r)
        r = iam_access_key_add(a->config.iam, http_arena(x), user, &spec, &key, &secret, &fault);
    if (!r) {
        made = key_json(&key, user);
        json_object_set_new(made, "secret_key", admin_json_str(secret));
    }
    json_decref(o);
    respond_added(x, r, &fault, made);
}

void FIBER admin_access_key_change(struct admin *a, struct http_exchange *x, struct str body)
{
    struct iam_access_key key;
    struct str user;
    json_t *o = admin_read_object(x, body);
    if (!o)
        return;
    const json_t *active = json_object_get(o, "active");
    int r = json_is_boolean(active) ? 0 : -EINVAL;
    if (!r)
        r = iam_access_key_find(a->config.iam, http_arena(x), admin_path_name(x), &user, &key);
    if (!r)
        r = iam_access_key_set_active(a->config.iam, user, key.id, json_is_true(active));
    json_decref(o);
    admin_respond_done(x, r, "no such access key", NULL);
}

void FIBER admin_access_key_remove(struct admin *a, struct http_exchange *x, struct str body)
{
    struct iam_access_key key;
    struct str user;
    int r = iam_access_key_find(a->config.iam, http_arena(x), admin_path_name(x), &user, &key);
    if (!r)
        r = iam_access_key_remove(a->config.iam, user, key.id);
    admin_respond_done(x, r, "no such access key", NULL);
}
