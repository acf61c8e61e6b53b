/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A document under way, shared by policy_parse.c (JSON, document, statements, conditions) and
 * policy_element.c (principals, actions, resources).
 */

#include "iam/policy_internal.h"

struct parse {
    struct policy *policy;
    struct arena *arena;
    struct str bucket;
    bool variables; /* Version 2012-10-17 */
    struct policy_fault *fault;
    int statement; /* -1: outside of one */
    struct str sid;
    struct action_set *actions; /* of the statement */
};

/* Notes what is wrong, and in which statement: always -ERR_MALFORMED_POLICY. */
int parse_fault(struct parse *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A text for a message: not too long, cut between characters. */
#define CLIP_MAX 80
struct str parse_clip(struct str s);

/* One text or a list of them: their number, or a negative code. */
int parse_count(struct parse *p, const char *element, const json_t *value);
/* Element `i` of such a list; it is a string. */
struct str parse_item(const json_t *value, size_t i);

int parse_principals(struct parse *p, const char *element, const json_t *value,
                     struct principals *ret);
/* Into *p->actions. */
int parse_actions(struct parse *p, const char *element, const json_t *value);
int parse_resources(struct parse *p, const char *element, const json_t *value, struct statement *s);
/* After both: whether each of the actions has a resource it can be done to. */
int parse_check_pairs(struct parse *p, const json_t *actions, bool negated,
                      const struct statement *s);
/* No action of the statement has a resource (admin:* and the like). */
bool parse_needs_resource(const struct parse *p, const json_t *actions);
