/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Users, keys, groups and policies that another server had, put one by one: each is made, or made
 * as it is told, so that a second import changes nothing, and nothing is ever taken away. All of it
 * is of the server's own account, whose buckets identity policies alone decide over, as they did
 * there.
 *
 * With "dry_run" nothing is written; what an import would have made by then is "waits" for.
 */

#include "admin/internal.h"
#include "iam/grants.h"
#include "iam/keys.h"
#include "iam/ldap.h"
#include "wire/json.h"

#define ACCOUNT STR("root")

struct import {
    struct iam *iam;
    struct arena *arena;
    const json_t *in;
    bool dry;
    enum iam_put result;
    json_t *waits;   /* a dry run's: [[kind, name]] of what is not there yet */
    const char *why; /* of a failure; NULL: the error's own words */
    struct policy_fault fault;
};

static struct str text_of(const struct import *m, const char *name)
{
    struct str s = admin_text_member(m->in, name);
    return s.ptr ? s : STR("");
}

/* What an earlier step of the import makes: of a dry run it is no fault that it is not there. */
static int absent(struct import *m, const char *kind, struct str name, const char *why)
{
    m->why = why;
    m->result = IAM_PUT_ADDED;
    if (!m->dry)
        return -ERR_NOT_FOUND;
    json_array_append_new(m->waits, json_pack("[s, o]", kind, admin_json_str(name)));
    return 0;
}

/* ---- policies ------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A list of texts in order, or NULL when it is none. */
static json_t *in_order(const json_t *list)
{
    size_t n = json_array_size(list);
    _cleanup_free_ const char **texts = calloc(n + 1, sizeof(*texts));
    for (size_t i = 0; texts && i < n; i++)
        if (!(texts[i] = json_string_value(json_array_get(list, i))))
            return NULL;
    if (!texts || !json_is_array(list))
        return NULL;
    qsort(texts, n, sizeof(*texts), by_text);
    json_t *sorted = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(sorted, json_string(texts[i]));
    return sorted;
}

/* Do statement `a` and statement `b` say the same, whatever the order of their lists? */
static bool same_statement(const json_t *a, const json_t *b)
{
    const char *name;
    json_t *value;
    bool same = json_object_size(a) == json_object_size(b);
    json_object_foreach((json_t *)a, name, value)
    {
        const json_t *other = json_object_get(b, name);
        json_t *x = in_order(value), *y = in_order(other);
        same = same && (x && y ? json_equal(x, y) : other && json_equal(value, other));
        json_decref(x);
        json_decref(y);
    }
    return same;
}

static bool same_meaning(struct str a, struct str b)
{
    json_t *x = json_read(a), *y = json_read(b);
    const json_t *left = json_object_get(x, "Statement"), *right = json_object_get(y, "Statement");
    size_t n = json_array_size(left);
    bool same = n > 0 && n == json_array_size(right);
    for (size_t i = 0; same && i < n; i++)
        same = same_statement(json_array_get(left, i), json_array_get(right, i));
    json_decref(x);
    json_decref(y);
    return same;
}

/* "ACCOUNT/NAME" is how another account's policy is called: none of the server's own. */
static bool is_anothers(struct import *m, struct str policy)
{
    if (str_find_char(policy, '/', 0) < 0)
        return false;
    m->why = "a policy's name with a slash is another account's here: give it another name";
    return true;
}

static int FIBER put_policy(struct import *m, struct str name, struct str document)
{
    struct policy *tested;
    if (!m->dry)
        return iam_policy_put(m->iam, name, document, &m->fault);
    int r = policy_compile(POLICY_IDENTITY, STR(""), document, &tested, &m->fault);
    if (!r)
        policy_unref(tested);
    return r;
}

static int FIBER import_policy(struct import *m)
{
    struct iam_policy_info old;
    struct str name = text_of(m, "name"), document = text_of(m, "document");
    if (is_anothers(m, name))
        return -EINVAL;
    m->why = "a policy needs a name of 1 to 256 bytes";
    int r = iam_policy_get(m->iam, m->arena, name, &old);
    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    m->result = r < 0 ? IAM_PUT_ADDED : IAM_PUT_CHANGED;
    if (r == 0 &&
        (str_eq(old.document, document) || (old.builtin && same_meaning(old.document, document)))) {
        m->result = IAM_PUT_SAME;
        return 0;
    }
    if (r == 0 && old.builtin) {
        m->why = "a policy of this name is built in and says something else";
        return -ERR_CONFLICT;
    }
    return put_policy(m, name, document);
}

/* ---- users and keys ------------------------------------------------------------------------- */

static int FIBER put_key(struct import *m, struct str user, struct str id, bool service)
{
    json_int_t expires = json_integer_value(json_object_get(m->in, "expires_ms"));
    struct iam_access_key_spec spec = {
        .id = id,
        .secret = text_of(m, "secret_key"),
        .policy = text_of(m, "policy"),
        .name = text_of(m, "label"),
        .description = text_of(m, "description"),
        .expires_ms = expires > 0 ? (uint64_t)expires : 0,
        .service = service,
        .inactive = json_is_false(json_object_get(m->in, "active")),
    };
    int r = iam_access_key_put(m->iam, user, &spec, m->dry, &m->result, &m->fault);
    m->why = r == -ERR_EXISTS  ? "another user has this access key"
             : r == -ERR_LIMIT ? "the user has as many keys as it may have"
             : r == -EINVAL    ? "an access key has 3 to 128 bytes and a secret 8 to 128, of "
                                 "graphic ASCII; names are text"
                               : NULL;
    return r;
}

/* What is told of a user is told of one of this account, never of somebody who only has its name.
 */
static int find_user(struct import *m, struct str name, struct iam_user *ret)
{
    int r = iam_user_get(m->iam, m->arena, name, ret);
    if (r < 0 || str_eq(ret->account, ACCOUNT))
        return r;
    m->why = "a user of this name is in another account";
    return -ERR_EXISTS;
}

/* The user comes first and without its key, which may be one that is off. */
static int FIBER import_user(struct import *m)
{
    struct str name = text_of(m, "name");
    struct iam_user user;
    int r = find_user(m, name, &user);
    if (r == -ERR_EXISTS)
        return r;
    bool new = r == -ERR_NOT_FOUND;
    if (new && m->dry) {
        r = put_key(m, name, name, false);
        return r == -ERR_NOT_FOUND ? m->result = IAM_PUT_ADDED, 0 : r;
    }
    if (new)
        r = iam_user_add(m->iam, m->arena,
                         &(struct iam_user_spec){.name = name, .account = ACCOUNT}, &user);
    bool added = new &&r == 0;
    m->why = "this cannot be the name of a user";
    if (r == 0)
        r = put_key(m, name, name, false);
    if (r < 0 && added) /* not one that somebody else made meanwhile */
        (void)iam_user_remove(m->iam, name);
    return r;
}

static int FIBER import_service(struct import *m)
{
    struct iam_user user;
    struct str parent = text_of(m, "parent");
    int r = find_user(m, parent, &user);
    if (r == 0)
        r = put_key(m, parent, text_of(m, "name"), true);
    return r == -ERR_NOT_FOUND ? absent(m, "user", parent, "its user is not here") : r;
}

/* ---- groups --------------------------------------------------------------------------------- */

static bool has_name(const struct str *names, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(names[i], name))
            return true;
    return false;
}

/* Of exactly that name. */
static int find_group(struct import *m, struct str name, struct iam_group_info *ret)
{
    int r = iam_group_find(m->iam, m->arena, ACCOUNT, name, ret);
    return r == 0 && !str_eq(ret->name, name) ? -ERR_NOT_FOUND : r;
}

static int FIBER import_group(struct import *m)
{
    struct iam_group_info group;
    struct str name = text_of(m, "name");
    int r = find_group(m, name, &group);
    m->why = "this cannot be the name of a group";
    m->result = r == 0 ? IAM_PUT_SAME : IAM_PUT_ADDED;
    if (r != -ERR_NOT_FOUND || m->dry)
        return r == -ERR_NOT_FOUND ? 0 : r;
    return iam_group_add(m->iam, name);
}

static int FIBER import_member(struct import *m)
{
    struct iam_user user;
    struct iam_group_info group;
    struct str name = text_of(m, "user"), of = text_of(m, "name");
    int r = find_user(m, name, &user);
    if (r == -ERR_NOT_FOUND)
        return absent(m, "user", name, "no such user");
    if (r == 0)
        r = find_group(m, of, &group);
    if (r == -ERR_NOT_FOUND)
        return absent(m, "group", of, "no such group");
    if (r < 0)
        return r;
    m->result = has_name(user.groups, user.group_count, of) ? IAM_PUT_SAME : IAM_PUT_ADDED;
    m->why = "a user can be in at most 16 groups";
    return m->dry || m->result == IAM_PUT_SAME ? 0 : iam_group_member(m->iam, of, name, true);
}

/* ---- what is attached to whom --------------------------------------------------------------- */

static int find_holder(struct import *m, enum iam_holder kind, struct str name,
                       const struct str **ret, size_t *ret_count)
{
    struct iam_group_info group;
    struct iam_user user;
    int r = kind == IAM_HOLDER_USER ? find_user(m, name, &user) : find_group(m, name, &group);
    if (r == -ERR_NOT_FOUND)
        return kind == IAM_HOLDER_USER ? absent(m, "user", name, "no such user")
                                       : absent(m, "group", name, "no such group");
    if (r < 0)
        return r;
    *ret = kind == IAM_HOLDER_USER ? user.policies : group.policies;
    *ret_count = kind == IAM_HOLDER_USER ? user.policy_count : group.policy_count;
    return 0;
}

static int FIBER import_attachment(struct import *m, enum iam_holder kind)
{
    struct iam_policy_info info;
    const struct str *names = NULL;
    size_t count = 0;
    struct str holder = text_of(m, "name"), policy = text_of(m, "policy");
    int r = find_holder(m, kind, holder, &names, &count);
    if (r == 0 && is_anothers(m, policy))
        r = -EINVAL;
    if (r < 0)
        return r;
    r = iam_policy_get(m->iam, m->arena, policy, &info);
    if (r == -ERR_NOT_FOUND)
        return absent(m, "policy", policy, "no such policy");
    if (r < 0 || json_array_size(m->waits))
        return r;
    m->result = has_name(names, count, policy) ? IAM_PUT_SAME : IAM_PUT_ADDED;
    m->why = "it has as many policies as it may have";
    if (m->dry || m->result == IAM_PUT_SAME)
        return 0;
    r = iam_attach(m->iam, kind, holder, policy, true);
    return r > 0 ? 0 : r;
}

static int FIBER import_user_policy(struct import *m)
{
    return import_attachment(m, IAM_HOLDER_USER);
}

static int FIBER import_group_policy(struct import *m)
{
    return import_attachment(m, IAM_HOLDER_GROUP);
}

/* Of users and groups of the directory, whether or not it is there yet. */
static int FIBER import_ldap_policy(struct import *m)
{
    struct iam_policy_info info;
    struct iam_ldap_mapping mapping = {0};
    struct str dn = text_of(m, "name"), policy = text_of(m, "policy");
    m->why = "this is no name of a directory (uid=dan,dc=example,dc=org)";
    int r = iam_ldap_get(m->iam, m->arena, dn, &mapping);
    if (r < 0 && r != -ERR_NOT_FOUND)
        return r;
    if (is_anothers(m, policy))
        return -EINVAL;
    r = iam_policy_get(m->iam, m->arena, policy, &info);
    if (r == -ERR_NOT_FOUND)
        return absent(m, "policy", policy, "no such policy");
    m->result =
        has_name(mapping.policies, mapping.policy_count, policy) ? IAM_PUT_SAME : IAM_PUT_ADDED;
    m->why = "it has as many policies as it may have";
    if (r < 0 || m->dry || m->result == IAM_PUT_SAME)
        return r;
    r = iam_ldap_attach(m->iam, m->arena, dn, policy, true);
    return r > 0 ? 0 : r;
}

/* ---- the door ------------------------------------------------------------------------------- */

static const struct {
    const char *kind;
    int (*import)(struct import *m);
} kinds[] = {
    {"policy", import_policy},
    {"user", import_user},
    {"service account", import_service},
    {"group", import_group},
    {"member", import_member},
    {"user policy", import_user_policy},
    {"group policy", import_group_policy},
    {"ldap policy", import_ldap_policy},
};

static int FIBER import_one(struct import *m)
{
    struct str kind = text_of(m, "kind");
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_eq(kind, str_from(kinds[i].kind)))
            return text_of(m, "name").len ? kinds[i].import(m) : -EINVAL;
    m->why = "no such kind";
    return -EINVAL;
}

/* {"kind", "name", "dry_run", and what the kind has}: {"result": "same", "added" or "changed"} */
void FIBER admin_import(struct admin *a, struct http_exchange *x, struct str body)
{
    static const char *const results[] = {
        [IAM_PUT_SAME] = "same", [IAM_PUT_ADDED] = "added", [IAM_PUT_CHANGED] = "changed"};
    json_t *o = admin_read_object(x, body);
    if (!o)
        return;
    struct import m = {.iam = a->config.iam,
                       .arena = http_arena(x),
                       .in = o,
                       .waits = json_array(),
                       .dry = json_is_true(json_object_get(o, "dry_run"))};
    int r = import_one(&m);
    if (r < 0)
        admin_respond_error(x, r == -ERR_LIMIT ? -ERR_CONFLICT : r,
                            r == -ERR_MALFORMED_POLICY ? m.fault.text : m.why);
    else
        admin_respond_json(x, 200,
                           json_pack("{s:s, s:O}", "result", results[m.result], "waits", m.waits));
    json_decref(m.waits);
    json_decref(o);
}
