/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Gives memory back that only starting needed: the heap's free pages, and the pages of program text
 * and constants that starting has touched (more than half of what an idle server holds). What is
 * used again comes back from the page cache. For rt_offload; always 0.
 */

#include "base/defs.h"

int BLOCKING trim_memory(void *unused);
