/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Lookups in the tables of policy_tables.h. */

#include "iam/policy_internal.h"

/* Spelled out: designated initialisers of struct str with STR() are no constants. */
#define WORD(lit)               \
    {                           \
        "" lit, sizeof(lit) - 1 \
    }

/* ---- actions -------------------------------------------------------------------------------- */

static const struct action_row {
    struct str name;
    enum iam_resource_kind kind;
} actions[] = {
#define X(service, name, kind) {WORD(#service ":" #name), IAM_ON_##kind},
    IAM_ACTIONS(X)
#undef X
};

int iam_action_find(struct str name)
{
    size_t from = 0, to = ARRAY_LEN(actions);
    while (from < to) {
        size_t mid = (from + to) / 2;
        int order = str_cmp(name, actions[mid].name);
        if (order == 0)
            return (int)mid;
        if (order < 0)
            to = mid;
        else
            from = mid + 1;
    }
    return -1;
}

struct str iam_action_name(enum iam_action a)
{
    CHECK(a < IAM_ACTION_COUNT);
    return actions[a].name;
}

enum iam_resource_kind iam_action_kind(enum iam_action a)
{
    CHECK(a < IAM_ACTION_COUNT);
    return actions[a].kind;
}

/* ---- condition keys ------------------------------------------------------------------------- */

static const struct key_row {
    struct str text;
    bool named;
    enum iam_key_on on;
} keys[] = {
#define X(id, name, named, on) {WORD(name), named, IAM_KEY_ON_##on},
    IAM_KEYS(X)
#undef X
};

/* "jwt:" ends in its own separator; the others have a slash before the name. */
static bool named_key_fits(const struct key_row *row, struct str text, struct str *ret_name)
{
    if (!str_starts_nocase(text, row->text))
        return false;
    struct str rest = str_from_offset(text, row->text.len);
    if (row->text.ptr[row->text.len - 1] != ':') {
        if (!str_starts(rest, STR("/")))
            return false;
        rest = str_from_offset(rest, 1);
    }
    *ret_name = rest;
    return rest.len > 0;
}

/*
 * A claim of a provider of web identities: "accounts.example.com:aud", "localhost:8080/realm:sub".
 * What stands before the last colon is an address, and no service is called like one.
 */
static bool is_claim(struct str text)
{
    size_t colon = text.len;
    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    if (colon < 2 || colon == text.len)
        return false;
    struct str host = str_prefix(text, colon - 1);
    return str_find_char(host, '.', 0) >= 0 || str_find_char(host, '/', 0) > 0;
}

int iam_key_find(struct str text, struct str *ret_name)
{
    for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
        struct str name = STR_NULL;
        if (keys[i].named ? !named_key_fits(&keys[i], text, &name)
                          : !str_eq_nocase(text, keys[i].text))
            continue;
        *ret_name = name;
        return (int)i;
    }
    if (!is_claim(text))
        return -1;
    *ret_name = text;
    return IAM_KEY_OIDC;
}

enum iam_key_on iam_key_on(enum iam_key k)
{
    CHECK(k < IAM_KEY_COUNT);
    return keys[k].on;
}

/* ---- operators ------------------------------------------------------------------------------ */

static const struct operator_row {
    struct str name;
    enum value_type type;
    bool negated;
} operators[] = {
#define X(name, type, compare, negated) {WORD(#name), VALUE_##type, negated},
    IAM_OPERATORS(X)
#undef X
};

const char *operator_name(enum operator_id id)
{
    CHECK(id < OPERATOR_COUNT);
    return operators[id].name.ptr;
}

enum value_type operator_type(enum operator_id id)
{
    CHECK(id < OPERATOR_COUNT);
    return operators[id].type;
}

bool operator_negated(enum operator_id id)
{
    CHECK(id < OPERATOR_COUNT);
    return operators[id].negated;
}

static enum value_set parse_set(struct str *text)
{
    static const struct str all = WORD("ForAllValues:"), any = WORD("ForAnyValue:");
    struct str prefix = str_starts(*text, all) ? all : str_starts(*text, any) ? any : STR_NULL;
    if (!prefix.len)
        return SET_NONE;
    *text = str_from_offset(*text, prefix.len);
    return prefix.ptr == all.ptr ? SET_ALL : SET_ANY;
}

int operator_parse(struct str text, struct condition_op *ret)
{
    struct condition_op op = {.set = parse_set(&text)};
    if (str_ends(text, STR("IfExists"))) {
        op.if_exists = true;
        text.len -= strlen("IfExists");
    }
    for (unsigned i = 0; i < ARRAY_LEN(operators); i++) {
        if (!str_eq(text, operators[i].name))
            continue;
        if (i == OPERATOR_Null && (op.if_exists || op.set != SET_NONE))
            return -EINVAL; /* absence is what it asks about */
        op.id = (uint8_t)i;
        *ret = op;
        return 0;
    }
    return -EINVAL;
}
