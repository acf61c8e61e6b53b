/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The simulator's numbers: small, fast, seeded, the same on every machine. Not for secrets.
 *
 * Each use has a stream of its own (scheduling, latency, crash, product), so that a change in how
 * many numbers one of them draws does not move the others and a failing seed stays recognisable.
 */

#include "base/defs.h"

struct sim_random {
    uint64_t state;
};

/* Streams with different `stream` under one seed are unrelated. */
static inline void sim_random_init(struct sim_random *r, uint64_t seed, uint64_t stream)
{
    r->state = seed * 0x9e3779b97f4a7c15ULL + stream * 0xd1342543de82ef95ULL + 1;
}

/* SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static inline uint64_t sim_random_u64(struct sim_random *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* 0 to bound - 1; 0 for bound 0. The bias is below bound / 2^64. */
static inline uint64_t sim_random_below(struct sim_random *r, uint64_t bound)
{
    return bound ? sim_random_u64(r) % bound : 0;
}

/* True once in `n` on average. */
static inline bool sim_random_one_in(struct sim_random *r, uint64_t n)
{
    return sim_random_below(r, n) == 0;
}
