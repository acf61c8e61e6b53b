/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The elements that say who, what and on what.
 */

#include "iam/policy_parse.h"

#include "base/error.h"

/* ---- principals ----------------------------------------------------------------------------- */

#define PRINCIPAL_TEXT_MAX 512

/* The part of an ARN before its `n`th colon is behind us: what follows; ptr NULL: there is none. */
static struct str after_colons(struct str arn, unsigned n)
{
    for (size_t at = 0; n > 0; n--) {
        ptrdiff_t colon = str_find_char(arn, ':', at);
        if (colon < 0)
            return STR_NULL;
        at = (size_t)colon + 1;
        if (n == 1)
            return str_from_offset(arn, at);
    }
    return STR_NULL;
}

static bool is_account_id(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((!s.ptr[i] || !strchr("-_.@+=$", s.ptr[i])) &&
            !((s.ptr[i] | 32) >= 'a' && (s.ptr[i] | 32) <= 'z') &&
            !(s.ptr[i] >= '0' && s.ptr[i] <= '9'))
            return false;
    return s.len > 0;
}

/* arn:aws:iam::ACCOUNT:root is the account; users, roles and sessions are matched whole. */
static bool read_principal_arn(struct str text, struct principal_match *ret)
{
    struct str service = after_colons(text, 2), account = after_colons(text, 4),
               what = after_colons(text, 5);
    if (!str_starts(text, STR("arn:")) || !what.len)
        return false;
    if (!str_starts(service, STR("iam::")) && !str_starts(service, STR("sts::")))
        return false;
    if (str_find_char(text, '*', 0) >= 0 || str_find_char(text, '?', 0) >= 0)
        return false; /* only "*" alone, for everybody */
    account.len = (size_t)(what.ptr - account.ptr) - 1;
    if (str_eq(what, STR("root"))) {
        *ret = (struct principal_match){PRINCIPAL_ACCOUNT_ID, account};
        return is_account_id(account);
    }
    *ret = (struct principal_match){PRINCIPAL_ARN, text};
    return str_find_char(what, '/', 0) > 0;
}

static bool read_principal(struct str type, struct str text, struct principal_match *ret)
{
    bool star = str_find_char(text, '*', 0) >= 0;
    if (text.len == 0 || text.len > PRINCIPAL_TEXT_MAX)
        return false;
    if (str_eq(type, STR("AWS")) && str_eq(text, STR("*"))) {
        *ret = (struct principal_match){.kind = PRINCIPAL_ANYBODY};
        return true;
    }
    if (str_eq(type, STR("AWS")) && is_account_id(text)) {
        *ret = (struct principal_match){PRINCIPAL_ACCOUNT_ID, text};
        return true;
    }
    if (str_eq(type, STR("AWS")))
        return read_principal_arn(text, ret);
    ret->text = text;
    if (str_eq(type, STR("CanonicalUser")))
        ret->kind = PRINCIPAL_CANONICAL;
    else if (str_eq(type, STR("Federated")))
        ret->kind = PRINCIPAL_FEDERATED;
    else if (str_eq(type, STR("Service")))
        ret->kind = PRINCIPAL_SERVICE;
    else
        return false;
    return !star;
}

static int add_principals(struct parse *p, const char *element, const char *type,
                          const json_t *value, struct principal_match *items, unsigned *count)
{
    int n = parse_count(p, element, value);
    for (int i = 0; i < n; i++) {
        struct str text = parse_item(value, (size_t)i);
        struct principal_match m;
        if (!read_principal(str_from(type), text, &m))
            return parse_fault(p, "Invalid principal in policy: \"%s\": \"%.*s\" in %s", type,
                               STR_FMT(parse_clip(text)), element);
        if (m.text.ptr && !(m.text = arena_dup(p->arena, m.text)).ptr)
            return -ENOMEM;
        items[(*count)++] = m;
    }
    return n < 0 ? n : 0;
}

/* How many there are in all the lists; a value that is no list is told later. */
static size_t principal_room(const json_t *map)
{
    size_t n = 0;
    const char *type;
    json_t *value;
    json_object_foreach((json_t *)map, type, value) n +=
        json_is_array(value) ? json_array_size(value) : 1;
    return n;
}

int parse_principals(struct parse *p, const char *element, const json_t *value,
                     struct principals *ret)
{
    const char *type;
    json_t *list;
    int r = 0;
    bool everybody = json_is_string(value) && strcmp(json_string_value(value), "*") == 0;
    if (!everybody && (!json_is_object(value) || json_object_size(value) == 0))
        return parse_fault(p, "Invalid principal in policy: %s must be \"*\" or an object",
                           element);
    struct principal_match *items =
        arena_array(p->arena, struct principal_match, everybody ? 1 : principal_room(value) + 1);
    if (!items)
        return -ENOMEM;
    *ret = (struct principals){.items = items, .present = true};
    ret->negated = str_starts(str_from(element), STR("Not"));
    if (everybody) {
        items[ret->count++].kind = PRINCIPAL_ANYBODY;
        return 0;
    }
    json_object_foreach((json_t *)value, type, list)
    {
        r = add_principals(p, element, type, list, items, &ret->count);
        if (r)
            return r;
    }
    return 0;
}

/* ---- actions -------------------------------------------------------------------------------- */

#define ACTION_TEXT_MAX 128

/* "service:Name" or "*", of letters, digits, wildcards and a few marks. */
static bool is_action(struct str s)
{
    ptrdiff_t colon = str_find_char(s, ':', 0);
    if (str_eq(s, STR("*")))
        return true;
    if (colon < 1 || (size_t)colon + 1 == s.len || s.len > ACTION_TEXT_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter = (c | 32) >= 'a' && (c | 32) <= 'z', digit = c >= '0' && c <= '9';
        if (!letter && !digit && i != (size_t)colon && (!c || !strchr("*?-_", c)))
            return false;
    }
    return true;
}

/* The actions a pattern names, without regard to case: how many. */
static unsigned expand(struct parse *p, struct str text, struct action_set *set, int *ret_err)
{
    struct pattern pattern;
    struct str bad;
    unsigned found = 0;
    *ret_err = pattern_compile(p->arena, text, PATTERN_WILD, &pattern, &bad);
    for (unsigned i = 0; *ret_err == 0 && i < IAM_ACTION_COUNT; i++) {
        if (!pattern_matches(&pattern, iam_action_name(i), true))
            continue;
        set->words[i / 64] |= 1ULL << (i % 64);
        found++;
    }
    return found;
}

/* What a bucket's policy, or a role's trust, can speak of. */
static bool action_belongs(enum policy_kind kind, struct str text)
{
    if (kind == POLICY_IDENTITY || str_eq(text, STR("*")))
        return true;
    return str_starts_nocase(text, kind == POLICY_BUCKET ? STR("s3:") : STR("sts:"));
}

static int parse_action(struct parse *p, const char *element, struct str text)
{
    enum policy_kind kind = p->policy->kind;
    int r = 0;
    if (!is_action(text) || !action_belongs(kind, text))
        return parse_fault(p, "Policy has invalid action: \"%.*s\" in %s",
                           STR_FMT(parse_clip(text)), element);
    unsigned found = expand(p, text, p->actions, &r);
    if (r == -ERR_MALFORMED_POLICY || (!r && found == 0 && kind != POLICY_IDENTITY))
        return parse_fault(p, "Policy has invalid action: \"%.*s\" in %s",
                           STR_FMT(parse_clip(text)), element);
    return r;
}

int parse_actions(struct parse *p, const char *element, const json_t *value)
{
    int n = parse_count(p, element, value), r = n < 0 ? n : 0;
    for (int i = 0; !r && i < n; i++)
        r = parse_action(p, element, parse_item(value, (size_t)i));
    if (r || !str_starts(str_from(element), STR("Not")))
        return r;
    for (unsigned i = 0; i < IAM_ACTION_COUNT; i++)
        p->actions->words[i / 64] ^= 1ULL << (i % 64);
    return 0;
}

bool parse_needs_resource(const struct parse *p, const json_t *actions)
{
    static const char *const without[] = {"admin:", "kms:", "sts:"};
    size_t n = json_is_array(actions) ? json_array_size(actions) : 1;
    if (!actions || p->policy->kind != POLICY_IDENTITY)
        return p->policy->kind != POLICY_TRUST;
    for (size_t i = 0; i < n; i++) {
        struct str text = parse_item(actions, i);
        bool fits = false;
        for (unsigned k = 0; !fits && k < ARRAY_LEN(without); k++)
            fits = str_starts_nocase(text, str_from(without[k]));
        if (!fits)
            return true;
    }
    return false;
}

/* ---- resources ------------------------------------------------------------------------------ */

#define RESOURCE_PATTERN_MAX 2048

/* The S3 part ("bucket/key") of an ARN that S3 knows: no region, and an account that is any. */
static bool s3_part(struct str text, struct str *ret)
{
    static const char *const partitions[] = {
        "arn:aws:s3::", "arn:aws-cn:s3::", "arn:aws-us-gov:s3::", "arn:*:s3::"};
    for (unsigned i = 0; i < ARRAY_LEN(partitions); i++) {
        struct str prefix = str_from(partitions[i]);
        if (!str_starts(text, prefix))
            continue;
        struct str rest = str_from_offset(text, prefix.len);
        size_t skip = str_starts(rest, STR("*:")) ? 2 : str_starts(rest, STR(":")) ? 1 : 0;
        *ret = str_from_offset(rest, skip);
        return skip > 0 && ret->len > 0;
    }
    return false;
}

/* How a pattern starts, and whether that is all that has to be compared. */
static void note_head(struct resource_match *m)
{
    const struct segment *s = m->pattern.segments;
    unsigned n = m->pattern.count;
    m->head = n && s[0].kind == SEGMENT_TEXT ? s[0].text : STR("");
    unsigned left = n - (m->head.len > 0);
    m->exact = left == 0;
    m->head_only = left == 1 && s[n - 1].kind == SEGMENT_STAR;
}

/* Whether the bucket's part of the pattern fits the bucket; a variable there fits any. */
static bool lies_in_bucket(struct parse *p, struct str part, int *ret_err)
{
    ptrdiff_t slash = str_find_char(part, '/', 0);
    struct str bucket = slash < 0 ? part : str_prefix(part, (size_t)slash), bad;
    struct pattern pattern;
    if (p->variables && str_find(bucket, STR("${"), 0) >= 0)
        return true;
    *ret_err = pattern_compile(p->arena, bucket, PATTERN_WILD, &pattern, &bad);
    return *ret_err == 0 && pattern_matches(&pattern, p->bucket, false);
}

static int bad_resource(struct parse *p, const char *element, struct str text)
{
    return parse_fault(p, "Policy has invalid resource: \"%.*s\" in %s", STR_FMT(parse_clip(text)),
                       element);
}

/* The ARN of something that is not S3's: six parts and no more is asked. */
static bool is_other_arn(struct parse *p, struct str text)
{
    struct str rest = after_colons(text, 5);
    return p->policy->kind == POLICY_IDENTITY && str_starts(text, STR("arn:")) && rest.len > 0;
}

static int parse_resource(struct parse *p, const char *element, struct str text,
                          struct resource_match *ret)
{
    bool identity = p->policy->kind == POLICY_IDENTITY;
    struct str part = text, bad;
    int r = 0;
    if (text.len == 0 || text.len > RESOURCE_PATTERN_MAX)
        return bad_resource(p, element, text);
    ret->kind = RESOURCE_S3;
    if (identity && str_eq(text, STR("*"))) {
        ret->kind = RESOURCE_ANYTHING;
        return 0;
    }
    if (!s3_part(text, &part)) {
        if (!is_other_arn(p, text))
            return bad_resource(p, element, text);
        ret->kind = RESOURCE_ARN;
        part = text;
    } else if (!identity && !lies_in_bucket(p, part, &r)) {
        return r == -ENOMEM ? r : bad_resource(p, element, text);
    }
    unsigned flags = PATTERN_WILD | (p->variables ? PATTERN_VARIABLES : 0);
    r = pattern_compile(p->arena, part, flags, &ret->pattern, &bad);
    if (r == -ERR_MALFORMED_POLICY)
        return bad_resource(p, element, text);
    if (!r)
        note_head(ret);
    return r;
}

int parse_resources(struct parse *p, const char *element, const json_t *value, struct statement *s)
{
    int n = parse_count(p, element, value), r = n < 0 ? n : 0;
    if (r)
        return r;
    struct resource_match *items = arena_array(p->arena, struct resource_match, (size_t)n);
    if (!items)
        return -ENOMEM;
    s->resources = items;
    s->resource_count = (unsigned)n;
    s->resources_negated = str_starts(str_from(element), STR("Not"));
    for (int i = 0; !r && i < n; i++)
        r = parse_resource(p, element, parse_item(value, (size_t)i), &items[i]);
    return r;
}

/* ---- actions with resources ----------------------------------------------------------------- */

#define MAY_BE_BUCKET 1u
#define MAY_BE_OBJECT 2u

static bool has_slash(const struct segment *s)
{
    return s->kind == SEGMENT_TEXT && str_find_char(s->text, '/', 0) >= 0;
}

/* What a resource of S3 can be: a bucket, an object, or both by a wildcard. */
static unsigned may_be(const struct resource_match *m)
{
    bool wild = false;
    for (unsigned i = 0; i < m->pattern.count; i++) {
        if (has_slash(&m->pattern.segments[i]))
            return MAY_BE_OBJECT;
        wild |= m->pattern.segments[i].kind == SEGMENT_STAR ||
                m->pattern.segments[i].kind == SEGMENT_VARIABLE;
    }
    return wild ? MAY_BE_BUCKET | MAY_BE_OBJECT : MAY_BE_BUCKET;
}

static bool any_applies(const struct action_set *set, unsigned kinds)
{
    for (unsigned i = 0; i < IAM_ACTION_COUNT; i++) {
        enum iam_resource_kind kind = iam_action_kind(i);
        if (action_set_has(set, i) && ((kind == IAM_ON_BUCKET && (kinds & MAY_BE_BUCKET)) ||
                                       (kind == IAM_ON_OBJECT && (kinds & MAY_BE_OBJECT))))
            return true;
    }
    return false;
}

int parse_check_pairs(struct parse *p, const json_t *actions, bool negated,
                      const struct statement *s)
{
    size_t n = json_is_array(actions) ? json_array_size(actions) : 1;
    unsigned kinds = 0;
    int r = 0;
    if (p->policy->kind != POLICY_BUCKET || negated || s->resources_negated)
        return 0;
    for (unsigned i = 0; i < s->resource_count; i++)
        kinds |= may_be(&s->resources[i]);
    for (size_t i = 0; i < n; i++) {
        struct action_set set = {{0}};
        expand(p, parse_item(actions, i), &set, &r);
        if (r)
            return r;
        if (!any_applies(&set, kinds))
            return parse_fault(p, "Action does not apply to any resource(s) in statement: \"%.*s\"",
                               STR_FMT(parse_clip(parse_item(actions, i))));
    }
    return 0;
}
