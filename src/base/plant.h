/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Bugs on purpose. The simulator is a test, so it is tested: a program of its own (test/sim,
 * cairn_sim_planted) is built from the same code with CAIRN_PLANTS, puts in one of these at a time
 * and must find it within its short sweep. Anywhere else PLANTED() is `false`, and nothing of it is
 * compiled.
 *
 * Each is what others lost data by. X(name, the mistake).
 */

#define PLANTS(X)                                                                                \
    X(SYNC_ORDER, "a needle is acknowledged before its volume is synced")                        \
    X(INDEX_REPLAY, "what the index had not been told at the crash is not read from the volume") \
    X(GC_RECHECK, "garbage goes without a second look at the record")                            \
    X(GC_READERS, "garbage goes without waiting for those who read it")                          \
    X(ENCODE_IDS, "a shard is taken by its name, whatever encoding it is of")                    \
    X(SOURCE_FIRST, "a shard leaves its old disk before the copy on the new one was verified")   \
    X(SWEEP_BESIDE_MOVES, "the orphan sweep does not wait for shards on the move")               \
    X(QUORUM, "a write is acknowledged with as many shards as it takes to read it")

#ifdef CAIRN_PLANTS
enum plant {
    PLANT_NONE,
#    define X(name, text) PLANT_##name,
    PLANTS(X)
#    undef X
};
extern enum plant plant_now; /* the test's */
#    define PLANTED(name) (plant_now == PLANT_##name)
#else
#    define PLANTED(name) false
#endif
