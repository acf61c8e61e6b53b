/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * cairn_sim_planted: the same cases over code with a bug put in (base/plant.h). Each must be found
 * by the case that is there for it, within that many seeds.
 */

#include "base/plant.h"
#include "sim/cases.h"

#define PLANTED_CASES(X)                                               \
    X(sync_order, SYNC_ORDER, store_crash_every_write, 10)             \
    X(index_replay, INDEX_REPLAY, model_put_get_delete_list, 100)      \
    X(gc_recheck, GC_RECHECK, moves_to_and_fro, 300)                   \
    X(gc_readers, GC_READERS, reader_during_gc, 1000)                  \
    X(encode_ids, ENCODE_IDS, encodings_are_not_mixed, 300)            \
    X(source_first, SOURCE_FIRST, moves_to_and_fro, 300)               \
    X(sweep_beside_moves, SWEEP_BESIDE_MOVES, sweep_beside_moves, 300) \
    X(quorum, QUORUM, disks_fail_within_a_write, 300)

enum plant plant_now;

#define X(name, plant, by, seeds)                 \
    static void planted_##name(struct history *h) \
    {                                             \
        plant_now = PLANT_##plant;                \
        case_##by(h);                             \
    }
PLANTED_CASES(X)
#undef X

const struct sim_case sim_cases[] = {
#define X(name, plant, by, seeds) {#name, planted_##name, seeds, true, "found by " #by},
    PLANTED_CASES(X)
#undef X
        {0},
};
