/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

#include "admin/admin.h"
#include "cli/engine/engine.h"

/* An admin_disk_fn; `engine` is the argument. */
int FIBER disk_change(void *engine, const struct admin_disk_change *what, uint32_t *ret_number,
                      char why[ADMIN_WHY_MAX]);
