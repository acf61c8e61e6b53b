/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "admin/internal.h"
#include "wire/json.h"

static json_t *user_json(const struct iam_user *u)
{
    json_t *o = json_object();
    json_object_set_new(o, "name", admin_json_str(u->name));
    json_object_set_new(o, "id", admin_json_str(u->user_id));
    json_object_set_new(o, "access_key", admin_json_str(u->access_key));
    json_object_set_new(o, "email", admin_json_str(u->email));
    json_object_set_new(o, "display_name", admin_json_str(u->display_name));
    json_object_set_new(o, "account", admin_json_str(u->account));
    json_object_set_new(o, "policies", admin_json_names(u->policies, u->policy_count));
    json_object_set_new(o, "groups", admin_json_names(u->groups, u->group_count));
    json_object_set_new(o, "created_ms", json_integer((json_int_t)u->created_ms));
    json_object_set_new(o, "requests_per_second", json_integer((json_int_t)u->limits.request_rate));
    json_object_set_new(o, "bytes", json_integer((json_int_t)u->limits.bytes));
    json_object_set_new(o, "objects", json_integer((json_int_t)u->limits.objects));
    return o;
}

void FIBER admin_user_list(struct admin *a, struct http_exchange *x, struct str body)
{
    struct iam_user *users;
    size_t count;
    int r = iam_user_list(a->config.iam, http_arena(x), &users, &count);
    if (r < 0) {
        admin_respond_error(x, r, NULL);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, user_json(&users[i]));
    admin_respond_json(x, 200, json_pack("{s:o}", "users", list));
}

/* The text of a member, or "" when absent; ptr NULL when it is no text. */
static struct str member(const json_t *o, const char *name)
{
    const json_t *value = json_object_get(o, name);
    if (!value)
        return STR("");
    return json_is_string(value) ? str_make(json_string_value(value), json_string_length(value))
                                 : STR_NULL;
}

static int parse_spec(const json_t *o, struct iam_user_spec *ret)
{
    if (!json_is_object(o))
        return -EINVAL;
    struct iam_user_spec s = {
        .name = member(o, "name"),
        .access_key = member(o, "access_key"),
        .secret_key = member(o, "secret_key"),
        .user_id = member(o, "id"),
        .email = member(o, "email"),
        .display_name = member(o, "display_name"),
        .account = member(o, "account"),
    };
    if (!s.name.ptr || !s.access_key.ptr || !s.secret_key.ptr || !s.user_id.ptr || !s.email.ptr ||
        !s.display_name.ptr || !s.account.ptr)
        return -EINVAL;
    *ret = s;
    return 0;
}

void FIBER admin_user_add(struct admin *a, struct http_exchange *x, struct str body)
{
    struct iam_user_spec spec;
    struct iam_user user;
    json_t *o = json_read(body);
    int r = parse_spec(o, &spec);
    if (r == 0)
        r = iam_user_add(a->config.iam, http_arena(x), &spec, &user);
    json_decref(o);
    if (r == -ERR_EXISTS)
        admin_respond_error(x, r, "a user with this name, id or access key exists already");
    else if (r == -ERR_NOT_FOUND)
        admin_respond_error(x, r, "the account is not the id of a user that is one");
    else if (r == -EINVAL)
        admin_respond_error(x, r,
                            "a user needs a name, an access_key of 3 to 128 bytes and a secret_key "
                            "of 8 to 128 bytes, all of them text");
    else if (r < 0)
        admin_respond_error(x, r, NULL);
    else
        admin_respond_json(x, 201, user_json(&user));
}

static int FIBER owns_buckets(struct admin *a, struct http_exchange *x, struct str name)
{
    struct iam_user *users;
    struct store_bucket_page page;
    size_t count;
    int r = iam_user_list(a->config.iam, http_arena(x), &users, &count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (!str_eq(users[i].name, name))
            continue;
        r = store_bucket_list(a->config.store, http_arena(x), users[i].user_id, STR(""), STR(""), 1,
                              &page);
        return r < 0 ? r : page.count > 0;
    }
    return r;
}

/* A member that is there must be a whole number up to `most`. */
static int read_limit(const json_t *in, const char *name, unsigned bit, uint64_t most,
                      uint64_t *ret, unsigned *what)
{
    const json_t *v = json_object_get(in, name);
    json_int_t n = json_integer_value(v);
    if (!v)
        return 0;
    if (!json_is_integer(v) || n < 0 || (uint64_t)n > most)
        return -ERR_INVALID_ARGUMENT;
    *ret = (uint64_t)n;
    *what |= bit;
    return 0;
}

static int read_limits(struct str body, struct iam_limits *ret, unsigned *what)
{
    json_t *in = json_read(body);
    uint64_t rate = 0;
    int r = json_is_object(in) ? 0 : -ERR_INVALID_ARGUMENT;
    if (r == 0)
        r = read_limit(in, "requests_per_second", IAM_LIMIT_RATE, IAM_RATE_MAX, &rate, what);
    if (r == 0)
        r = read_limit(in, "bytes", IAM_LIMIT_BYTES, INT64_MAX, &ret->bytes, what);
    if (r == 0)
        r = read_limit(in, "objects", IAM_LIMIT_OBJECTS, INT64_MAX, &ret->objects, what);
    ret->request_rate = (uint32_t)rate;
    json_decref(in);
    return r == 0 && !*what ? -ERR_INVALID_ARGUMENT : r;
}

/* {"requests_per_second", "bytes", "objects"}: those that are there are set; 0: no limit */
void FIBER admin_user_change(struct admin *a, struct http_exchange *x, struct str body)
{
    struct iam_limits limits = {0};
    struct iam_user user;
    unsigned what = 0;
    int r = read_limits(body, &limits, &what);
    if (r < 0) {
        admin_respond_error(x, r,
                            "requests_per_second, bytes and objects are whole numbers, the first "
                            "of them up to a million");
        return;
    }
    r = iam_user_set_limits(a->config.iam, admin_path_name(x), &limits, what);
    if (r == 0)
        r = iam_user_get(a->config.iam, http_arena(x), admin_path_name(x), &user);
    if (r == -ERR_CONFLICT)
        admin_respond_error(x, r,
                            "the user is a member of an account: bytes and objects are limited of "
                            "the account that owns them");
    else if (r < 0)
        admin_respond_error(x, r, r == -ERR_NOT_FOUND ? "there is no such user" : NULL);
    else
        admin_respond_json(x, 200, user_json(&user));
}

void FIBER admin_user_remove(struct admin *a, struct http_exchange *x, struct str body)
{
    struct str name = admin_path_name(x);
    int r = owns_buckets(a, x, name);
    if (r > 0) {
        admin_respond_error(x, -ERR_CONFLICT, "the user owns buckets: remove them first");
        return;
    }
    if (r == 0)
        r = iam_user_remove(a->config.iam, name);
    if (r == -ERR_NOT_FOUND)
        admin_respond_error(x, r, "no such user");
    else if (r == -ERR_CONFLICT)
        admin_respond_error(x, r, "the user's account has members: remove them first");
    else if (r < 0)
        admin_respond_error(x, r, NULL);
    else
        http_respond(x, 204, STR_NULL);
}
