/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "s3/post_policy.h"
#include "base/buf.h"
#include "base/error.h"
#include "wire/date.h"
#include "wire/json.h"

#include <jansson.h>

struct parse {
    struct arena *arena;
    struct str *why;
    struct s3_post_policy *policy;
};

static int bad(struct parse *p, const char *why)
{
    *p->why = arena_printf(p->arena, "Invalid Policy: %s", why);
    return -ERR_INVALID_POLICY_DOCUMENT;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void json_release(json_t **j)
{
    json_decref(*j);
}
#define _cleanup_json_ _cleanup_(json_release)

#define DEPTH_MAX 8

/* S3 lets a policy write \$ and \v, which JSON does not know ("Character escaping"). */
static struct str plain_json(struct arena *a, struct str text)
{
    char *out = arena_alloc(a, text.len * 3 + 1);
    size_t len = 0;
    for (size_t i = 0; out && i < text.len; i++) {
        char next = text.ptr[i] == '\\' && i + 1 < text.len ? text.ptr[i + 1] : 0;
        if (next == '$') {
            i++;
            out[len++] = '$';
        } else if (next == 'v') {
            i++;
            memcpy(out + len, "\\u000b", 6);
            len += 6;
        } else {
            out[len++] = text.ptr[i];
            if (next) {
                i++;
                out[len++] = next;
            }
        }
    }
    return str_make(out, len);
}

static int copy_text(struct parse *p, const json_t *value, struct str *ret)
{
    *ret = arena_dup(p->arena, str_make(json_string_value(value), json_string_length(value)));
    return ret->ptr ? 0 : -ENOMEM;
}

/* ---- conditions ----------------------------------------------------------------------------- */

static int add(struct parse *p, enum s3_post_match match, struct str field, const json_t *value)
{
    struct s3_post_policy *policy = p->policy;
    if (!json_is_string(value))
        return bad(p, "Invalid condition: a value is not a string.");
    if (policy->count == S3_POST_CONDITIONS_MAX)
        return bad(p, "Too many conditions.");
    struct s3_post_condition *c = &policy->conditions[policy->count++];
    *c = (struct s3_post_condition){.match = match, .field = arena_dup(p->arena, field)};
    return c->field.ptr ? copy_text(p, value, &c->value) : -ENOMEM;
}

/* {"field": "value", …} */
static int read_object(struct parse *p, json_t *object)
{
    const char *field;
    json_t *value;
    int r = json_object_size(object) ? 0 : bad(p, "Invalid condition: it is empty.");
    json_object_foreach(object, field, value)
    {
        if (!r)
            r = add(p, S3_POST_EQ, str_from(field), value);
    }
    return r;
}

/* A whole number, or a string that holds one. */
static bool read_bytes(const json_t *value, uint64_t *ret)
{
    if (json_is_string(value))
        return str_to_u64(str_make(json_string_value(value), json_string_length(value)), ret) == 0;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *ret = (uint64_t)json_integer_value(value);
    return true;
}

/* Of several ranges all must hold. */
static int read_range(struct parse *p, const json_t *list)
{
    uint64_t least, most;
    if (!read_bytes(json_array_get(list, 1), &least) || !read_bytes(json_array_get(list, 2), &most))
        return bad(p, "Invalid content-length-range.");
    p->policy->min_bytes = MAX(p->policy->min_bytes, least);
    p->policy->max_bytes = MIN(p->policy->max_bytes, most);
    return 0;
}

/* ["eq", "$field", "value"] and the others. */
static int read_list(struct parse *p, const json_t *list)
{
    const json_t *op = json_array_get(list, 0), *name = json_array_get(list, 1);
    if (json_array_size(list) != 3 || !json_is_string(op))
        return bad(p, "Invalid condition: it needs three elements.");
    struct str verb = str_make(json_string_value(op), json_string_length(op));
    if (str_eq_nocase(verb, STR("content-length-range")))
        return read_range(p, list);
    bool starts = str_eq_nocase(verb, STR("starts-with"));
    if (!starts && !str_eq_nocase(verb, STR("eq")))
        return bad(p, "Invalid condition: unknown operator.");
    struct str field = str_make(json_string_value(name), json_string_length(name));
    if (!json_is_string(name) || field.len < 2 || field.ptr[0] != '$')
        return bad(p, "Invalid condition: a field's name begins with a dollar sign.");
    return add(p, starts ? S3_POST_STARTS_WITH : S3_POST_EQ, str_from_offset(field, 1),
               json_array_get(list, 2));
}

static int read_conditions(struct parse *p, const json_t *list)
{
    int r = 0;
    if (!json_is_array(list))
        return bad(p, "Policy missing conditions.");
    if (json_array_size(list) == 0)
        return bad(p, "Policy conditions are empty.");
    p->policy->conditions = arena_array(p->arena, struct s3_post_condition, S3_POST_CONDITIONS_MAX);
    if (!p->policy->conditions)
        return -ENOMEM;
    for (size_t i = 0; !r && i < json_array_size(list); i++) {
        json_t *one = json_array_get(list, i);
        r = json_is_object(one)  ? read_object(p, one)
            : json_is_array(one) ? read_list(p, one)
                                 : bad(p, "Invalid condition: neither object nor list.");
    }
    return r;
}

static int read_expiration(struct parse *p, const json_t *value)
{
    if (!json_is_string(value))
        return bad(p, "Policy missing expiration.");
    struct str text = str_make(json_string_value(value), json_string_length(value));
    return date_parse_iso(text, &p->policy->expires_ms) ? bad(p, "Invalid 'expiration' value.") : 0;
}

int s3_post_policy_parse(struct arena *a, struct str text, struct s3_post_policy *ret,
                         struct str *ret_why)
{
    struct s3_post_policy policy = {.max_bytes = UINT64_MAX};
    struct parse p = {a, ret_why, &policy};
    json_error_t error;
    const char *name;
    json_t *value;
    *ret_why = STR_NULL;
    if (text.len > S3_POST_POLICY_MAX)
        return bad(&p, "The document is too large.");
    struct str plain = plain_json(a, text);
    if (!plain.ptr)
        return -ENOMEM;
    if (!json_is_shallow(plain, DEPTH_MAX))
        return bad(&p, "Invalid JSON.");
    _cleanup_json_ json_t *root = json_loadb(plain.ptr, plain.len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(root))
        return bad(&p, "Invalid JSON.");
    json_object_foreach(root, name, value)
    {
        if (strcmp(name, "expiration") != 0 && strcmp(name, "conditions") != 0)
            return bad(&p, "Unexpected element.");
    }
    int r = read_expiration(&p, json_object_get(root, "expiration"));
    if (!r)
        r = read_conditions(&p, json_object_get(root, "conditions"));
    if (!r)
        *ret = policy;
    return r;
}

/* ---- the test ------------------------------------------------------------------------------- */

static int deny(struct arena *a, struct str *why, const char *format, struct str what)
{
    *why = arena_printf(a, format, STR_FMT(what));
    return -ERR_ACCESS_DENIED;
}

/* As it may stand in a policy: "eq", "$key", "name". Empty when out of memory. */
static struct str condition_text(struct arena *a, const struct s3_post_condition *c)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, 0);
    buf_put_cstr(&b, c->match == S3_POST_EQ ? "\"eq\", " : "\"starts-with\", ");
    json_put_string(&b, arena_printf(a, "$%.*s", STR_FMT(c->field)));
    buf_put_cstr(&b, ", ");
    json_put_string(&b, c->value);
    return buf_error(&b) ? STR("") : arena_dup(a, buf_str(&b));
}

static struct str value_of(struct str name, const struct form_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq_nocase(fields[i].name, name))
            return fields[i].value;
    return STR("");
}

/* Where a type is a list, each of its members must begin so. */
static bool types_start(struct str types, struct str prefix)
{
    struct str rest = types, one;
    if (types.len == 0)
        return prefix.len == 0;
    while (str_cut(&rest, ',', &one))
        if (!str_starts(str_trim(one), prefix))
            return false;
    return true;
}

static bool holds(const struct s3_post_condition *c, struct str value)
{
    if (c->match == S3_POST_EQ)
        return str_eq(value, c->value);
    return str_eq_nocase(c->field, STR("Content-Type")) ? types_start(value, c->value)
                                                        : str_starts(value, c->value);
}

/* What carries the policy and its proof cannot be named by it. */
static bool needs_condition(struct str name)
{
    static const char *const exempt[] = {"policy", "x-amz-signature", "signature", "awsaccesskeyid",
                                         "file"};
    for (unsigned i = 0; i < ARRAY_LEN(exempt); i++)
        if (str_eq_nocase(name, str_from(exempt[i])))
            return false;
    /* A checksum only binds the file closer. */
    return !str_starts_nocase(name, STR("x-ignore-")) &&
           !str_starts_nocase(name, STR("x-amz-checksum-"));
}

static bool has_condition(const struct s3_post_policy *policy, struct str name)
{
    for (size_t i = 0; i < policy->count; i++)
        if (str_eq_nocase(policy->conditions[i].field, name))
            return true;
    return false;
}

int s3_post_policy_test(struct arena *a, const struct s3_post_policy *policy,
                        const struct form_field *fields, size_t count, uint64_t now_ms,
                        struct str *ret_why)
{
    if (now_ms >= policy->expires_ms)
        return deny(a, ret_why, "Invalid according to Policy: Policy expired.%.*s", STR(""));
    for (size_t i = 0; i < policy->count; i++) {
        const struct s3_post_condition *c = &policy->conditions[i];
        if (!holds(c, value_of(c->field, fields, count)))
            return deny(a, ret_why, "Invalid according to Policy: Policy Condition failed: [%.*s]",
                        condition_text(a, c));
    }
    for (size_t i = 0; i < count; i++)
        if (needs_condition(fields[i].name) && !has_condition(policy, fields[i].name))
            return deny(a, ret_why, "Invalid according to Policy: Extra input fields: %.*s",
                        fields[i].name);
    return 0;
}
