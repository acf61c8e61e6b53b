/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * From the JSON document to the compiled policy.
 *
 * The words of the faults are S3's where S3's are known; what follows them says which value and
 * which statement (counted from 1).
 */

#include "iam/policy_parse.h"

#include <stdio.h>
#include "base/error.h"
#include "wire/json.h"

#define ID_TEXT_MAX    1024
#define SID_TEXT_MAX   256
#define VALUE_TEXT_MAX 4096
#define ARENA_MAX      (2 * MIB) /* what a document of 20 KiB can ask for is far below */

/* ---- faults --------------------------------------------------------------------------------- */

struct str parse_clip(struct str s)
{
    if (s.len <= CLIP_MAX)
        return s;
    size_t len = CLIP_MAX;
    while (len > 0 && ((unsigned char)s.ptr[len] & 0xc0) == 0x80)
        len--;
    return str_prefix(s, len);
}

int parse_fault(struct parse *p, const char *fmt, ...)
{
    char *text = p->fault->text;
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(text, POLICY_WHY_MAX, fmt, ap);
    va_end(ap);
    size_t used = MIN((size_t)MAX(len, 0), (size_t)POLICY_WHY_MAX - 1);
    struct str sid = parse_clip(p->sid);
    if (p->statement >= 0 && sid.len)
        (void)snprintf(text + used, POLICY_WHY_MAX - used, " (statement %d, Sid \"%.*s\")",
                       p->statement + 1, STR_FMT(sid));
    else if (p->statement >= 0)
        (void)snprintf(text + used, POLICY_WHY_MAX - used, " (statement %d)", p->statement + 1);
    return -ERR_MALFORMED_POLICY;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static int load_json(struct parse *p, struct str document, json_t **ret)
{
    json_error_t why;
    if (document.len > POLICY_DOCUMENT_MAX)
        return parse_fault(p, "The policy exceeds the maximum allowed document size of %llu bytes",
                           POLICY_DOCUMENT_MAX);
    if (document.len == 0 || document.ptr[0] != '{')
        return parse_fault(p, p->policy->kind == POLICY_TRUST
                                  ? "This policy contains invalid Json"
                                  : "Policies must be valid JSON and the first byte must be '{'");
    if (!json_is_shallow(document, POLICY_DEPTH_MAX))
        return parse_fault(p, "Policies must be valid JSON nested at most %d deep",
                           POLICY_DEPTH_MAX);
    *ret = json_loadb(document.ptr, document.len, JSON_REJECT_DUPLICATES, &why);
    if (*ret)
        return 0;
    if (json_error_code(&why) == json_error_out_of_memory)
        return -ENOMEM;
    return parse_fault(p, "This policy contains invalid Json: %s (line %d, column %d)", why.text,
                       why.line, why.column);
}

struct str parse_item(const json_t *value, size_t i)
{
    const json_t *v = json_is_array(value) ? json_array_get(value, i) : value;
    return str_make(json_string_value(v), json_string_length(v));
}

int parse_count(struct parse *p, const char *element, const json_t *value)
{
    if (json_is_string(value))
        return 1;
    size_t n = json_array_size(value);
    if (!json_is_array(value) || n == 0)
        return parse_fault(p, "Invalid policy syntax: %s must be a text or a list of texts",
                           element);
    if (n > POLICY_VALUES_MAX)
        return parse_fault(p, "%s has more than %d values", element, POLICY_VALUES_MAX);
    for (size_t i = 0; i < n; i++)
        if (!json_is_string(json_array_get(value, i)))
            return parse_fault(p, "Invalid policy syntax: %s must be a text or a list of texts",
                               element);
    return (int)n;
}

static bool is_one_of(const char *name, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, words[i]) == 0)
            return true;
    return false;
}

static int check_fields(struct parse *p, const json_t *object, const char *const *known,
                        size_t count)
{
    const char *name;
    json_t *value;
    json_object_foreach(
        (json_t *)object, name,
        value) if (!is_one_of(name, known,
                              count)) return parse_fault(p, "Unknown field %.*s",
                                                         STR_FMT(parse_clip(str_from(name))));
    return 0;
}

/* A text of at most `max` bytes, kept; "" when absent. */
static int read_text(struct parse *p, const json_t *object, const char *name, size_t max,
                     struct str *ret)
{
    const json_t *v = json_object_get(object, name);
    *ret = STR("");
    if (!v)
        return 0;
    if (!json_is_string(v) || json_string_length(v) > max)
        return parse_fault(p, "Invalid policy syntax: %s must be a text of at most %zu bytes", name,
                           max);
    *ret = arena_dup(p->arena, parse_item(v, 0));
    return ret->ptr ? 0 : -ENOMEM;
}

/* ---- conditions ----------------------------------------------------------------------------- */

/* A value may also be a number or a boolean: its text. */
static struct str scalar_text(struct arena *a, const json_t *v)
{
    if (json_is_string(v))
        return arena_dup(a, parse_item(v, 0));
    if (json_is_boolean(v))
        return json_is_true(v) ? STR("true") : STR("false");
    if (json_is_integer(v))
        return arena_printf(a, "%lld", (long long)json_integer_value(v));
    return arena_printf(a, "%.17g", json_real_value(v));
}

static int parse_value(struct parse *p, struct condition *c, const char *key, const json_t *v,
                       union condition_value *ret)
{
    const char *why = "";
    if (json_is_object(v) || json_is_array(v) || json_is_null(v))
        return parse_fault(p, "Invalid policy syntax: a value of condition key %s is no text", key);
    struct str text = scalar_text(p->arena, v);
    if (!text.ptr)
        return -ENOMEM;
    int r = text.len > VALUE_TEXT_MAX
                ? -ERR_MALFORMED_POLICY
                : condition_value_compile(p->arena, &c->op, text, p->variables, ret, &why);
    if (r == -ERR_MALFORMED_POLICY)
        return parse_fault(p, "Policy has an invalid condition value: \"%.*s\" of %s; %s takes %s",
                           STR_FMT(parse_clip(text)), key, operator_name(c->op.id), why);
    return r;
}

/* Does any of the statement's actions have a value for the key? */
static bool key_applies(const struct parse *p, enum iam_key key)
{
    enum iam_key_on on = iam_key_on(key);
    if (on == IAM_KEY_ON_ANY)
        return true;
    if (on == IAM_KEY_ON_LIST)
        return action_set_has(p->actions, IAM_s3_ListBucket) ||
               action_set_has(p->actions, IAM_s3_ListBucketVersions) ||
               action_set_has(p->actions, IAM_s3_ListBucketMultipartUploads);
    for (unsigned i = 0; i < IAM_ACTION_COUNT; i++)
        if (iam_action_kind(i) == IAM_ON_OBJECT && action_set_has(p->actions, i))
            return true;
    return false;
}

static int parse_key(struct parse *p, const char *text, struct condition *c)
{
    struct str name;
    int key = iam_key_find(str_from(text), &name);
    if (key < 0)
        return parse_fault(p, "Policy has an invalid condition key: %.*s",
                           STR_FMT(parse_clip(str_from(text))));
    if (p->policy->kind == POLICY_BUCKET && !key_applies(p, (enum iam_key)key))
        return parse_fault(p,
                           "Conditions do not apply to combination of actions and resources in "
                           "statement: %s",
                           text);
    c->key = (uint16_t)key;
    c->name = arena_dup(p->arena, name);
    return c->name.ptr ? 0 : -ENOMEM;
}

static int parse_condition(struct parse *p, const char *key, const json_t *value,
                           struct condition *c)
{
    size_t n = json_is_array(value) ? json_array_size(value) : 1;
    int r = parse_key(p, key, c);
    if (r)
        return r;
    if (n == 0 || n > POLICY_VALUES_MAX)
        return parse_fault(p, "Invalid policy syntax: condition key %s takes 1 to %d values", key,
                           POLICY_VALUES_MAX);
    union condition_value *values = arena_array(p->arena, union condition_value, n);
    if (!values)
        return -ENOMEM;
    for (size_t i = 0; !r && i < n; i++)
        r = parse_value(p, c, key, json_is_array(value) ? json_array_get(value, i) : value,
                        &values[i]);
    c->values = values;
    c->count = (unsigned)n;
    return r;
}

/* The same key under the same operator, spelled in two ways. */
static bool is_repeated(const struct condition *c, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (memcmp(&c[i].op, &c[count].op, sizeof(c->op)) == 0 && c[i].key == c[count].key &&
            str_eq(c[i].name, c[count].name))
            return true;
    return false;
}

static int parse_operator(struct parse *p, const char *name, const json_t *keys,
                          struct condition *items, unsigned *count)
{
    struct condition_op op;
    const char *key;
    json_t *value;
    if (operator_parse(str_from(name), &op))
        return parse_fault(p, "Invalid Condition type : %.*s", STR_FMT(parse_clip(str_from(name))));
    if (!json_is_object(keys) || json_object_size(keys) == 0)
        return parse_fault(p, "Invalid policy syntax: Condition %s must be an object of keys",
                           name);
    json_object_foreach((json_t *)keys, key, value)
    {
        if (*count == POLICY_CONDITIONS_MAX)
            return parse_fault(p, "A statement has more than %d conditions", POLICY_CONDITIONS_MAX);
        items[*count] = (struct condition){.op = op};
        int r = parse_condition(p, key, value, &items[*count]);
        if (r)
            return r;
        if (is_repeated(items, *count))
            return parse_fault(p, "Condition %s has the key %s twice", name, key);
        ++*count;
    }
    return 0;
}

static int parse_conditions(struct parse *p, const json_t *value, struct statement *s)
{
    struct condition items[POLICY_CONDITIONS_MAX];
    const char *name;
    json_t *keys;
    unsigned count = 0;
    if (!json_is_object(value))
        return parse_fault(p, "Invalid policy syntax: Condition must be an object of operators");
    json_object_foreach((json_t *)value, name, keys)
    {
        int r = parse_operator(p, name, keys, items, &count);
        if (r)
            return r;
    }
    struct condition *kept = arena_array(p->arena, struct condition, count + 1);
    if (!kept)
        return -ENOMEM;
    memcpy(kept, items, count * sizeof(*kept));
    s->conditions = kept;
    s->condition_count = count;
    return 0;
}

/* ---- statements ----------------------------------------------------------------------------- */

static int parse_effect(struct parse *p, const json_t *object, struct statement *s)
{
    const json_t *v = json_object_get(object, "Effect");
    const char *text = json_string_value(v);
    if (!v)
        return parse_fault(p, "Missing required field Effect");
    s->deny = text && strcmp(text, "Deny") == 0;
    if (s->deny || (text && strcmp(text, "Allow") == 0))
        return 0;
    return parse_fault(p, "Invalid effect: %.*s", STR_FMT(parse_clip(str_from(text ? text : ""))));
}

/* The one of `name` and `not_name` that is there; *ret_value NULL: neither. */
static int pick(struct parse *p, const json_t *object, const char *name, const char *not_name,
                const char **ret_name, const json_t **ret_value)
{
    const json_t *plain = json_object_get(object, name),
                 *negated = json_object_get(object, not_name);
    if (plain && negated)
        return parse_fault(p, "A statement has %s or %s, not both", name, not_name);
    *ret_name = plain ? name : not_name;
    *ret_value = plain ? plain : negated;
    return 0;
}

static int parse_who(struct parse *p, const json_t *object, struct statement *s)
{
    const char *name;
    const json_t *value;
    int r = pick(p, object, "Principal", "NotPrincipal", &name, &value);
    if (r)
        return r;
    if (p->policy->kind == POLICY_IDENTITY)
        return value ? parse_fault(p, "Policy document should not specify a principal") : 0;
    if (!value)
        return parse_fault(p, "Missing required field Principal");
    if (!s->deny && strcmp(name, "NotPrincipal") == 0)
        return parse_fault(p, "Allow with NotPrincipal is not allowed");
    return parse_principals(p, name, value, &s->principals);
}

static int parse_what(struct parse *p, const json_t *object, struct statement *s)
{
    const char *action_name, *resource_name;
    const json_t *actions, *resources;
    int r = pick(p, object, "Action", "NotAction", &action_name, &actions);
    if (!r)
        r = pick(p, object, "Resource", "NotResource", &resource_name, &resources);
    if (r)
        return r;
    bool negated = strcmp(action_name, "NotAction") == 0;
    if (!actions)
        return parse_fault(p, "Missing required field Action");
    r = parse_actions(p, action_name, actions);
    if (r)
        return r;
    if (resources && p->policy->kind == POLICY_TRUST)
        return parse_fault(p, "Has prohibited field Resource");
    s->no_resource = !resources;
    if (!resources)
        return negated || parse_needs_resource(p, actions)
                   ? p->policy->kind == POLICY_TRUST
                         ? 0
                         : parse_fault(p, "Missing required field Resource")
                   : 0;
    r = parse_resources(p, resource_name, resources, s);
    return r ? r : parse_check_pairs(p, actions, negated, s);
}

/* S3 takes a statement's id twice, as the policies of several loggers into one bucket have it. */
static bool sid_taken(const struct policy *policy, struct str sid)
{
    if (policy->kind == POLICY_BUCKET)
        return false;
    for (unsigned i = 0; sid.len && i < policy->count; i++)
        if (str_eq(policy->statements[i].sid, sid))
            return true;
    return false;
}

/* Behind the statements there are; they are put in order at the end. */
static int parse_statement(struct parse *p, const json_t *object)
{
    static const char *const known[] = {"Sid",          "Effect",    "Principal",
                                        "NotPrincipal", "Action",    "Resource",
                                        "NotResource",  "NotAction", "Condition"};
    struct statement s = {.index = (unsigned)p->statement};
    if (!json_is_object(object))
        return parse_fault(p, "Invalid policy syntax: a statement must be an object");
    int r = read_text(p, object, "Sid", SID_TEXT_MAX, &s.sid);
    p->sid = r ? STR_NULL : s.sid;
    if (!r)
        r = check_fields(p, object, known, ARRAY_LEN(known));
    if (!r && sid_taken(p->policy, s.sid))
        r = parse_fault(p, "Statement IDs (SID) in a single policy must be unique");
    p->actions = &p->policy->actions[p->policy->count];
    if (!r)
        r = parse_effect(p, object, &s);
    if (!r)
        r = parse_who(p, object, &s);
    if (!r)
        r = parse_what(p, object, &s);
    const json_t *conditions = json_object_get(object, "Condition");
    if (!r && conditions)
        r = parse_conditions(p, conditions, &s);
    if (!r)
        p->policy->statements[p->policy->count++] = s;
    return r;
}

/* Denials first, each kind in the document's order. */
static int put_denials_first(struct parse *p)
{
    struct policy *policy = p->policy;
    struct statement *s = arena_array(p->arena, struct statement, policy->count);
    struct action_set *a = arena_array(p->arena, struct action_set, policy->count);
    unsigned at = 0;
    if (!s || !a)
        return -ENOMEM;
    for (int deny = 1; deny >= 0; deny--) {
        for (unsigned i = 0; i < policy->count; i++) {
            if (policy->statements[i].deny != deny)
                continue;
            s[at] = policy->statements[i];
            a[at++] = policy->actions[i];
        }
        if (deny)
            policy->deny_count = at;
    }
    policy->statements = s;
    policy->actions = a;
    return 0;
}

static int parse_statements(struct parse *p, const json_t *value)
{
    size_t n = json_is_array(value) ? json_array_size(value) : 1;
    if (!value || n == 0)
        return parse_fault(p, "Missing required field Statement");
    if (!json_is_array(value) && !json_is_object(value))
        return parse_fault(p, "Invalid policy syntax: Statement must be an object or a list");
    if (n > POLICY_STATEMENTS_MAX)
        return parse_fault(p, "The policy has more than %d statements", POLICY_STATEMENTS_MAX);
    p->policy->statements = arena_array(p->arena, struct statement, n);
    p->policy->actions = arena_array(p->arena, struct action_set, n);
    if (!p->policy->statements || !p->policy->actions)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        p->statement = (int)i;
        int r = parse_statement(p, json_is_array(value) ? json_array_get(value, i) : value);
        if (r)
            return r;
    }
    p->statement = -1;
    return put_denials_first(p);
}

/* ---- the document --------------------------------------------------------------------------- */

static int parse_version(struct parse *p, const json_t *root)
{
    const json_t *v = json_object_get(root, "Version");
    const char *text = json_string_value(v);
    p->variables = text && strcmp(text, "2012-10-17") == 0;
    if (!v || p->variables || (text && strcmp(text, "2008-10-17") == 0))
        return 0;
    return parse_fault(p, "The policy must contain a valid version string: 2012-10-17 or "
                          "2008-10-17");
}

static int parse_root(struct parse *p, const json_t *root)
{
    static const char *const known[] = {"Version", "Id", "ID", "Statement"};
    struct str id;
    int r = check_fields(p, root, known, ARRAY_LEN(known));
    if (!r)
        r = parse_version(p, root);
    if (!r)
        r = read_text(p, root, "Id", ID_TEXT_MAX, &id);
    return r ? r : parse_statements(p, json_object_get(root, "Statement"));
}

static int compile(struct parse *p, struct str document)
{
    json_t *root = NULL;
    int r = load_json(p, document, &root);
    if (!r)
        r = parse_root(p, root);
    json_decref(root);
    if (r)
        return r;
    p->policy->document = arena_dup(p->arena, document);
    p->policy->is_public = policy_find_public(p->policy);
    return p->policy->document.ptr ? 0 : -ENOMEM;
}

int policy_compile(enum policy_kind kind, struct str bucket, struct str document,
                   struct policy **ret, struct policy_fault *ret_fault)
{
    struct policy *policy = calloc(1, sizeof(*policy));
    if (!policy)
        return -ENOMEM;
    policy->refs = 1;
    policy->kind = kind;
    arena_init(&policy->arena, ARENA_MAX);
    ret_fault->text[0] = 0;
    struct parse p = {
        .policy = policy,
        .arena = &policy->arena,
        .bucket = bucket,
        .fault = ret_fault,
        .statement = -1,
    };
    int r = compile(&p, document);
    if (r) {
        policy_unref(policy);
        return r;
    }
    *ret = policy;
    return 0;
}

struct policy *policy_ref(const struct policy *p)
{
    struct policy *policy = (struct policy *)p;
    __atomic_add_fetch(&policy->refs, 1, __ATOMIC_RELAXED);
    return policy;
}

void policy_unref(const struct policy *p)
{
    struct policy *policy = (struct policy *)p;
    if (!policy || __atomic_sub_fetch(&policy->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    arena_release(&policy->arena);
    free(policy);
}

struct str policy_document(const struct policy *p)
{
    return p->document;
}

size_t policy_statement_count(const struct policy *p)
{
    return p->count;
}

bool policy_is_public(const struct policy *p)
{
    return p->is_public;
}
