/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * How much of their pace the jobs take: pure, so that it can be tested by numbers.
 *
 * The rule, once a second, from what the clients' requests of that second took on average:
 *   - none came: the pace doubles, up to all of it
 *   - they took more than twice what is usual when it is calm (and a millisecond): it halves, down
 *     to a sixteenth, so that a job always gets on
 *   - else: it grows by a sixteenth of the whole
 * Calm is the least average of late: a lower one is taken at once, a higher one is believed little
 * by little (a 256th of the difference a second), so that other requests than before count as usual
 * after some minutes. It starts at a sixteenth, so that calm is seen before the jobs disturb it.
 */

#include "base/defs.h"

#define EASE_ALL   1024 /* the whole pace */
#define EASE_LEAST (EASE_ALL / 16)

struct ease {
    uint32_t share; /* of EASE_ALL */
    uint64_t calm_ns;
};

#define EASE_INIT ((struct ease){.share = EASE_LEAST})

/* `requests` ended in the second that passed and took `took_ns` together. */
void ease_step(struct ease *e, uint64_t requests, uint64_t took_ns);
