/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "sim/cases.h"

const struct sim_case sim_cases[] = {
#define X(name, seeds, planted, about) {#name, case_##name, seeds, planted, about},
    SIM_CASES(X)
#undef X
        {0},
};
