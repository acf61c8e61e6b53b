/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * kv/mem: the simulator's store. Its content lives in a `struct kv_mem`, which the harness keeps
 * over a crash; kv_mem_open gives a handle like any other store's. Faults are set on the content,
 * by the harness.
 */

#include "kv/kv.h"

struct kv_mem;
int kv_mem_new(struct kv_mem **ret, bool with_log);
/* Every handle must have been closed. Accepts NULL. */
void kv_mem_free(struct kv_mem *m);
int kv_mem_open(struct kv **ret, struct kv_mem *m);
/*
 * Power loss: drops every handle's right to the content (they must be closed afterwards without
 * effect) and goes back to the synced state plus the first `keep_unsynced` batches after it.
 */
void kv_mem_crash(struct kv_mem *m, uint64_t keep_unsynced);
/* Batches written since the last sync (with a log) or flush (without). */
uint64_t kv_mem_unsynced(const struct kv_mem *m);
/* The next `count` syncing writes fail with `err` and keep nothing. */
void kv_mem_fail_syncs(struct kv_mem *m, uint64_t count, int err);
/* The next `count` writes, syncing or not, are refused with `err`. */
void kv_mem_refuse_writes(struct kv_mem *m, uint64_t count, int err);
/*
 * The next syncing write is refused with `err`, and so is every one after it until kv_recover has
 * been called so often; of that each but the last answers `err`.
 */
void kv_mem_break_log(struct kv_mem *m, int err, unsigned recoveries);
/* Every look-up and walk fails with `err`; 0: they work again. */
void kv_mem_fail_reads(struct kv_mem *m, int err);
/* Every write stops where it is, until this is called with false. Not in the simulator. */
void kv_mem_hang(struct kv_mem *m, bool hang);
/* Every read with KV_CACHED answers -EAGAIN, as if nothing were in memory. */
void kv_mem_set_cold(struct kv_mem *m, bool cold);
/* kv_room answers -ENOSPC. */
void kv_mem_set_full(struct kv_mem *m, bool full);
