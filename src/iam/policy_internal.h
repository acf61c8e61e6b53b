/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The compiled form of a policy, shared by the files policy*.c: what the parser makes, what the
 * decision reads. All of it lies in the policy's arena and never changes.
 */

#include <jansson.h>
#include "iam/policy_decide.h"

#define ACTION_WORDS ((IAM_ACTION_COUNT + 63) / 64)

/* ---- patterns (policy_pattern.c) ------------------------------------------------------------ */

/*
 * Text with wildcards and variables, cut into segments. Limit: PATTERN_SEGMENTS_MAX, so that one
 * with variables can be resolved on the stack.
 */
#define PATTERN_SEGMENTS_MAX 64

enum segment_kind { SEGMENT_TEXT, SEGMENT_STAR, SEGMENT_ONE, SEGMENT_VARIABLE };
struct segment {
    uint8_t kind;
    bool has_default;
    uint16_t key;           /* SEGMENT_VARIABLE: enum iam_key */
    struct str text;        /* SEGMENT_TEXT; SEGMENT_VARIABLE: the key's name */
    struct str when_absent; /* SEGMENT_VARIABLE */
};
struct pattern {
    const struct segment *segments;
    unsigned count;
    bool variables;
};

#define PATTERN_WILD      1u /* * and ? are wildcards; else they stand for themselves */
#define PATTERN_VARIABLES 2u /* ${key}, ${key, 'default'}, ${*}, ${?}, ${$} */

/*
 * -ERR_MALFORMED_POLICY: a variable that is none or names no key, or too many segments; *ret_bad is
 * then the part that is wrong. -ENOMEM.
 */
int pattern_compile(struct arena *a, struct str text, unsigned flags, struct pattern *ret,
                    struct str *ret_bad);
/* A pattern without variables against the whole of `text`. */
bool pattern_matches(const struct pattern *p, struct str text, bool nocase);

/* Three answers: a variable without a value is neither yes nor no. */
enum match { MATCH_NO, MATCH_YES, MATCH_UNKNOWN };
struct eval;
enum match pattern_match(struct eval *e, const struct pattern *p, struct str text, bool nocase);

/* ---- conditions (policy_condition.c) -------------------------------------------------------- */

enum value_type {
    VALUE_TEXT,
    VALUE_NUMBER,
    VALUE_DATE,
    VALUE_BOOL,
    VALUE_BINARY,
    VALUE_IP,
    VALUE_ARN,
    VALUE_NONE, /* of Null */
};
enum compare {
    COMPARE_EQ,
    COMPARE_EQ_NOCASE,
    COMPARE_LIKE,
    COMPARE_LT,
    COMPARE_LE,
    COMPARE_GT,
    COMPARE_GE,
};
enum operator_id {
#define X(name, type, compare, negated) OPERATOR_##name,
    IAM_OPERATORS(X)
#undef X
        OPERATOR_COUNT,
};
enum value_set { SET_NONE, SET_ALL, SET_ANY };

/* An address, or the first `bits` of one; IPv4 in its 4 bytes. */
struct network {
    bool v4;
    uint8_t bits;
    uint8_t bytes[16];
};
#define ARN_PARTS 6
struct arn_pattern {
    struct pattern parts[ARN_PARTS];
};
union condition_value {
    struct pattern text;
    const struct arn_pattern *arn; /* NULL: "*", any */
    double number;
    int64_t date_ms;
    bool flag;
    struct str bytes;
    struct network network;
};

struct condition_op {
    uint8_t id;  /* enum operator_id */
    uint8_t set; /* enum value_set */
    bool if_exists;
};
struct condition {
    struct condition_op op;
    uint16_t key; /* enum iam_key */
    struct str name;
    const union condition_value *values;
    unsigned count;
};

const char *operator_name(enum operator_id id);
enum value_type operator_type(enum operator_id id);
bool operator_negated(enum operator_id id);
/* "ForAnyValue:StringLikeIfExists" and the like; 0 or -EINVAL. */
int operator_parse(struct str text, struct condition_op *ret);
/*
 * One value of the document, as text. -ERR_MALFORMED_POLICY, with *ret_why saying in words what it
 * should be; -ENOMEM.
 */
int condition_value_compile(struct arena *a, const struct condition_op *op, struct str text,
                            bool variables, union condition_value *ret, const char **ret_why);
/* Whether the condition holds; what cannot be resolved holds for a Deny and not for an Allow. */
bool condition_holds(struct eval *e, const struct condition *c, bool deny);

/* ---- statements ----------------------------------------------------------------------------- */

enum principal_match_kind {
    PRINCIPAL_ANYBODY,
    PRINCIPAL_ACCOUNT_ID,
    PRINCIPAL_ARN,
    PRINCIPAL_CANONICAL,
    PRINCIPAL_FEDERATED,
    PRINCIPAL_SERVICE,
};
struct principal_match {
    enum principal_match_kind kind;
    struct str text;
};
struct principals {
    const struct principal_match *items;
    unsigned count;
    bool present, negated;
};

enum resource_match_kind { RESOURCE_ANYTHING, RESOURCE_S3, RESOURCE_ARN };
struct resource_match {
    enum resource_match_kind kind;
    struct str head;        /* the text all matches start with, compared first */
    bool exact, head_only;  /* no wildcard at all; head and then anything */
    struct pattern pattern; /* of "bucket/key", or of the whole ARN */
};

struct statement {
    struct str sid;
    unsigned index; /* in the document */
    bool deny;
    bool resources_negated, no_resource;
    struct principals principals;
    const struct resource_match *resources;
    unsigned resource_count;
    const struct condition *conditions;
    unsigned condition_count;
};

struct action_set {
    uint64_t words[ACTION_WORDS];
};

struct policy {
    unsigned refs; /* atomic */
    enum policy_kind kind;
    bool is_public;
    struct arena arena;
    struct str document;
    /* Denials first: actions[i] belongs to statements[i], apart so that a scan stays in cache. */
    struct action_set *actions;
    struct statement *statements;
    unsigned count, deny_count;
};

static inline bool action_set_has(const struct action_set *s, enum iam_action a)
{
    return s->words[a / 64] >> (a % 64) & 1;
}

/* Fills policy->is_public from its statements (policy_public.c). */
bool policy_find_public(const struct policy *p);

/* ---- one decision under way (policy_decide.c) ----------------------------------------------- */

#define RESOURCE_TEXT_MAX 1344 /* a bucket, a slash, a key */
#define KEY_WORDS         ((IAM_KEY_COUNT + 63) / 64)

/* Comparisons of a decision. One of every wildcard in the longest documents with a key of ordinary
 * text takes a tenth; what is made to take all of it takes milliseconds. */
#define EVAL_WORK_MAX 1000000

struct eval {
    const struct iam_request *r;
    const struct iam_policies *p;
    unsigned work;       /* left */
    struct str resource; /* "bucket/key" */
    int err;             /* what the context answered, the first time it failed */
    uint64_t asked[KEY_WORDS];
    struct address_read {
        struct str text; /* the address read last: fifty statements may ask for the same */
        bool readable;
        struct network address;
    } last_address;
    struct {
        struct iam_values values;
        struct str own; /* of keys that iam knows */
    } memo[IAM_KEY_COUNT];
    char resource_text[RESOURCE_TEXT_MAX];
    char time_text[24], epoch_text[24];
};

/* The values of a key, asked once. After a failure every key is absent and e->err is set. */
struct iam_values eval_values(struct eval *e, enum iam_key key, struct str name);
