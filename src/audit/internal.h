/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/* What copies.c and bring_up.c share. */

#include "audit/copies.h"

#define COPY_RETRY_NS (5 * RT_S) /* after a failure */
#define COPY_STEP_NS  (2 * RT_S) /* that the writer waits for a copy that is brought up */

/* One that is in; NULL while the log is being opened. */
struct audit_copy *copies_lead(const struct audit_copies *c);
/* Durably, where it is not there; what happened to its name before is durable then too. */
int FIBER copies_make_dir(const char *dir);
int FIBER copy_open_file(struct audit_copy *k, uint32_t number);
void copy_close_file(struct audit_copy *k);
/* Has it done beside the writer, which copy_note_done() tells of; by the writer itself where there
 * is to be no fiber, or cannot be. */
void FIBER copy_begin(struct audit_copy *k, int (*fn)(void *copy), bool alone);
void copy_note_done(struct audit_copy *k, int result);
/* True: nothing is under way there any more. */
bool FIBER copy_collect(struct audit_copy *k);
