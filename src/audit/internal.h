/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/* What copies.c and bring_up.c share. */

#include "audit/copies.h"

#define COPY_RETRY_NS (5 * RT_S) /* after a failure */

/* One that is in; NULL while the log is being opened. */
struct audit_copy *copies_lead(const struct audit_copies *c);
int FIBER copy_open_file(struct audit_copy *k, uint32_t number);
void copy_close_file(struct audit_copy *k);
/* True: no write is under way there any more. */
bool FIBER copy_collect(struct audit_copy *k);
