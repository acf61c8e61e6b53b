/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Why the runtime could not begin: nearly always because the kernel, or who set it up, refuses
 * io_uring to this process. The answer says what to change.
 */

#include "base/defs.h"

struct world_facts {
    int disabled;  /* kernel.io_uring_disabled: 0, 1 or 2 */
    bool filtered; /* a seccomp filter judges the system calls of this process */
};

/* As the kernel tells it now; where it does not, nothing is disabled or filtered. */
void world_look(struct world_facts *ret);

/* What to do about a failure of rt_run(); NULL when nothing is known. A literal. */
const char *world_advice(int err, const struct world_facts *facts);

/* Tells the failure and what to do on standard error; returns 1, the status of a failed command. */
int world_fail(int err);
