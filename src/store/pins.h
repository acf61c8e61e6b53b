/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Which readers might still hold what a commit let go. A reader pins before it looks at any record
 * and unpins when it has closed. Garbage collection gathers rows that are committed, turns the
 * phase, and may delete once every pin of the old phase is gone: whoever pins later looks later,
 * and finds those records no more.
 *
 * Invariant: pins_turn is called only when the phase before the present one has drained, so two
 * counters a shard are enough. The shards keep cores off one another's cache lines.
 */

#include "rt/rt.h"

#define PIN_SHARDS 32

struct pin_shard {
    struct rt_lock lock;
    uint64_t open[2]; /* by phase */
} __attribute__((aligned(64)));

struct pins {
    uint32_t phase; /* 0 or 1; atomic */
    struct pin_shard shards[PIN_SHARDS];
};

struct pin {
    uint8_t shard, phase;
    bool held;
};

void pins_init(struct pins *p);
struct pin pins_enter(struct pins *p);
/* Does nothing with a pin that is not held. */
void pins_leave(struct pins *p, struct pin *pin);
/* Turns to the other phase and returns the old one. */
unsigned pins_turn(struct pins *p);
/* How many pins of the phase are held. */
uint64_t pins_open(struct pins *p, unsigned phase);
