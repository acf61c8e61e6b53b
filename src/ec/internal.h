/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

#include <pthread.h>
#include "base/list.h"
#include "ec/ec.h"

/* ---- the field ------------------------------------------------------------------------------ */

/*
 * GF(2^8) with the polynomial 0x11d, as ISA-L has it, in arithmetic that shares nothing with the
 * library: no table, no vector unit. For proofs, not for bytes.
 */
uint8_t field_mul(uint8_t a, uint8_t b);
/* a != 0. */
uint8_t field_inv(uint8_t a);

/* ---- plans ---------------------------------------------------------------------------------- */

/* One way to make some shards of a code from k others; encoding is the one from the data. */
struct plan {
    struct list recent; /* among the code's, the latest use first */
    unsigned users;     /* and one more while it is in the list; under the code's lock */
    ec_set from, to;
    unsigned from_count, to_count;
    uint8_t check_tables[32 * EC_SHARDS_MAX]; /* of the weights: sources, then targets */
    uint8_t tables[];                         /* of the rows that make `to`: 32 bytes a number */
};

struct ec {
    unsigned k, m;
    struct plan *encode;
    pthread_mutex_t lock; /* of what follows and of plans' `users` */
    struct list recent;   /* plans to decode */
    unsigned plan_count;
};

/* Makes and proves the plan. `from` has k shards, `to` 1 to m. -ENOMEM or -ERR_CORRUPT. */
int plan_new(struct plan **ret, unsigned k, unsigned m, ec_set from, ec_set to);

/*
 * Runs it: `cells` are the sources in the order of their numbers, a NULL being zeros, then the
 * targets likewise. Checks the result: 0 or -ERR_CORRUPT.
 */
int plan_run(const struct plan *p, uint8_t *const *cells, size_t len);
/* The check alone. */
int plan_check(const struct plan *p, uint8_t *const *cells, size_t len);
