/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * SHA-256 of two streams side by side. The processor's instructions for it wait for one another
 * within a stream; a second stream fills the gaps, and two cost little more than one.
 */

#include "base/defs.h"

#define SHA256_BLOCK 64

/* Where the processor has the instructions. */
bool sha256_two_available(void);
/* `blocks` blocks of each into its state. Only where available. */
void sha256_two(uint32_t a[8], const void *from_a, uint32_t b[8], const void *from_b,
                size_t blocks);
