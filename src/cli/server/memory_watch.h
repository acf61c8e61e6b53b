/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Says in the log when memory is out, and when it is there again (docs/adr/023). A fiber's
 * function; it ends when it is cancelled.
 */

#include "rt/rt.h"

/* Address space that is kept for what cannot do without memory. */
#define MEMORY_RESERVE_BYTES (32 * MIB)

int FIBER memory_watch(void *unused);
