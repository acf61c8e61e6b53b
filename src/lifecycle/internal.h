/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What the reading of a document shares between its files.
 */

#include "base/error.h"
#include "lifecycle/lifecycle.h"
#include "wire/xml.h"

struct lifecycle_parse {
    struct arena *arena;
    struct str why;
};
/* Hands `err` back, with a text for the client. */
int lifecycle_refuse(struct lifecycle_parse *p, int err, const char *why);

bool lifecycle_is_named(const struct xml_node *n, const char *name);
/* An element without others in it; each at most once. */
int lifecycle_read_text(const struct xml_node *n, bool *seen, struct str *ret);
/* A whole number up to `most`; one below 0 is -ERR_INVALID_ARGUMENT. */
int lifecycle_read_number(const struct xml_node *n, bool *seen, uint64_t most, uint64_t *ret);
/* A midnight; a time of day is -ERR_INVALID_ARGUMENT. */
int lifecycle_read_date(struct lifecycle_parse *p, const struct xml_node *n, bool *seen,
                        uint64_t *ret_ms);
int lifecycle_read_newer(struct lifecycle_parse *p, const struct xml_node *n, bool *seen,
                         uint64_t *ret);

/* moves.c: one Transition, or NoncurrentVersionTransition, into the rule. */
int lifecycle_read_move(struct lifecycle_parse *p, const struct xml_node *n, bool noncurrent,
                        struct lifecycle_rule *rule);
/* What the transitions of a rule allow each other, and its expirations. */
int lifecycle_test_moves(struct lifecycle_parse *p, const struct lifecycle_rule *rule);
void lifecycle_put_moves(struct buf *b, const struct lifecycle_rule *rule);

/* match.c: whether the rule, whose prefix fits already, fits: 1, 0 or what `load` returned. */
int lifecycle_fits(const struct lifecycle_rule *r, struct lifecycle_subject *s);
/* match.c: the first rule of the key's chain, and the one behind it; NULL: the end. */
const struct lifecycle_rule *lifecycle_first(const struct lifecycle *l, struct str key,
                                             uint16_t *ret_at);
const struct lifecycle_rule *lifecycle_next(const struct lifecycle *l, uint16_t *at);
