/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Histories: what a simulated case runs, again and again, under different seeds.
 *
 * A history is one run of a case: a machine made from a seed, its lives, its crashes, and what is
 * expected of it. It is a function of (case, seed, variant, skipped operations) and of nothing
 * else. Each runs in a forked child: an abandoned life's memory goes with the child, and a failed
 * expectation, a CHECK, a signal, a sanitizer's report or a hang is the history's failure, not the
 * runner's.
 *
 * Variants: a case that enumerates (every crash point, every place for a fault) does nothing but
 * count at variant 0 and says in `variants` how many there are; the runner then runs 1 to that.
 *
 * Shrinking: a case whose operations are numbered asks history_skips() before each and sets
 * `op_count`; after a failure the runner looks for a smaller set of operations that still fails.
 * An operation's own choices must come from history_op_random(), so that they stay when others go.
 */

#include "rt/sim/random.h"
#include "rt/sim/sim.h"

#define HISTORY_OPS_MAX 4096

struct history {
    /* what the runner asks */
    uint64_t seed, variant;
    bool verbose; /* say each step on stdout */
    uint8_t skip[HISTORY_OPS_MAX / 8];
    /* what the history tells */
    uint64_t variants;
    uint32_t op_count;
    uint64_t steps; /* simulator steps, for steps per second */
    bool failed;
    bool refuted; /* failed by an expectation, not by dying */
    char message[1024];
};

struct sim_case {
    const char *name;
    void (*run)(struct history *h);
    uint64_t seeds; /* of the short sweep */
    bool planted;   /* a bug is planted: the sweep must find it */
    const char *about;
};

/* All cases, ended by one without a name. */
extern const struct sim_case sim_cases[];

/* The history fails here: ends the child. */
_Noreturn void history_fail(struct history *h, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define EXPECT(h, cond, ...)                \
    do {                                    \
        if (!(cond))                        \
            history_fail((h), __VA_ARGS__); \
    } while (0)
#define EXPECT_OK(h, err, what)                                                                   \
    do {                                                                                          \
        int expect_err_ = (err);                                                                  \
        if (expect_err_)                                                                          \
            history_fail((h), "%s: %d (%s) at %s:%d", (what), expect_err_, err_text(expect_err_), \
                         __FILE__, __LINE__);                                                     \
    } while (0)
/* With --verbose only. */
void history_say(const struct history *h, const char *fmt, ...) PRINTF_LIKE(2, 3);

bool history_skips(const struct history *h, uint32_t op);
/* The operation's own choices. */
struct sim_random history_op_random(const struct history *h, uint32_t op);
/* Adds the machine's steps to the history's and frees it. */
void history_sim_end(struct history *h, struct sim *s);

/* Bytes that tell by `tag` whose they are, and their place. */
void history_fill(void *buf, size_t len, uint64_t tag);
/* The offset of the first byte that is not history_fill's, or -1. */
ptrdiff_t history_fill_differs(const void *buf, size_t len, uint64_t tag);
/* The same for bytes from `at` on. */
ptrdiff_t history_fill_differs_at(const void *buf, size_t len, uint64_t tag, uint64_t at);
