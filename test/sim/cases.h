/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Every simulated case, once: X(name, seeds of the short sweep, a bug is planted, what it shows).
 * FAULTS.md of the project names those over the product.
 */

#include "sim/harness.h"

#define SIM_CASES(X)                                                                               \
    /* the simulator itself */                                                                     \
    X(seed_replays_exactly, 5, false, "one seed gives one history")                                \
    X(deadlock_is_told, 1, false, "a life in which every fiber waits for ever ends")               \
    X(crash_keeps_every_subset, 1, false, "a script enumerates what a crash may keep")             \
    X(names_need_a_directory_sync, 3, false, "an unsynced name is gone after a crash")             \
    X(faults_do_what_they_say, 3, false, "every injected fault has its effect and no other")       \
    X(log_right, 150, false, "a log with the right sync order holds")                              \
    X(log_no_sync, 50, true, "the same without a sync")                                            \
    X(log_ack_before_sync, 100, true, "the same acknowledging before the sync")                    \
    X(log_no_dir_sync, 100, true, "the same without syncing the directory")                        \
    X(log_no_crc, 100, true, "the same trusting what it reads")                                    \
    X(log_retry_after_sync_error, 100, true, "the same believing the sync after a failed one")     \
    /* volumes */                                                                                  \
    X(crash_every_write, 1, false,                                                                 \
      "power loss at each event of appends, deletes, checkpoints and compactions")                 \
    X(kill_then_power_loss, 1, false, "a process killed at each event, then a power loss")         \
    X(enospc_at_each_write, 2, false, "one write, reserve or creation finds the disk full")        \
    X(enospc_from_each_write, 2, false, "the disk is full from one write on")                      \
    X(eio_at_each_write, 2, false, "one write fails")                                              \
    X(eio_at_each_read, 4, false, "one read fails")                                                \
    X(flip_at_each_read, 4, false, "one read hands out a flipped bit")                             \
    X(fsync_error_once, 4, false, "one sync fails, its pages are lost or not")                     \
    X(fsync_error_sticky, 4, false, "every sync from one on fails")                                \
    X(lost_write, 2, false, "one write is answered and never done")                                \
    X(misdirected_write, 2, false, "one write goes elsewhere")                                     \
    X(bitflip_each_field, 1, false, "a bit flips at rest, in each field of needle and superblock") \
    X(planted_volume_sync_lost, 100, true, "volumes on a disk that does not sync")                 \
    X(reader_during_compaction, 100, false, "readers keep their needles while volumes go")         \
    /* the whole node */                                                                           \
    X(model_put_get_delete_list, 40, false,                                                        \
      "random operations, crashes, restarts, GC, compaction")                                      \
    X(model_multipart, 20, false, "the same, mostly multipart uploads")                            \
    X(model_versions, 20, false, "the same in a bucket that keeps versions")                       \
    X(model_rules, 30, false, "versions, locks and lifecycle rules, over weeks and crashes")       \
    X(reader_during_gc, 300, false, "the same, mostly readers of objects deleted meanwhile")       \
    X(disks_die_and_are_replaced, 40, false, "the same over 2 to 6 disks that die and come back")  \
    X(two_disks_of_six_die, 20, false, "long objects over six disks")                              \
    X(list_after_write, 20, false, "a listing sees what was acknowledged before it")               \
    X(linearizable_checker, 1, false, "the search finds an order, and none where there is none")   \
    X(linearizable_per_key, 60, false, "clients on shared keys, with conditions, over crashes")    \
    X(store_crash_every_write, 10, false, "power loss at each event of small and large puts")      \
    X(store_enospc_at_each_write, 10, false, "one write finds the disk full")                      \
    X(store_eio_at_each_read, 10, false, "one read fails")                                         \
    X(store_fsync_error_once, 10, false, "one sync of a volume fails")                             \
    X(store_fsync_error_sticky, 10, false, "every sync of volumes from one on fails")              \
    X(store_lost_write, 10, false, "one write is answered and never done")                         \
    X(store_misdirected_write, 10, false, "one write goes elsewhere")                              \
    X(full_disk_recovers, 5, false, "a full disk refuses writes, serves the rest, and recovers")   \
    X(full_disk_with_own_limits, 1, false, "the same with the product's sizes and reserve")        \
    X(meta_sync_error, 30, false, "a sync of the metadata's log fails")                            \
    X(meta_log_recovers, 30, false, "the metadata's log lacks something for a while")              \
    X(mirrors_crash_every_write, 3, false,                                                         \
      "power loss at each write of metadata mirrors that come, fail and are rebuilt")              \
    X(mirrors_missing_at_the_start, 60, false, "no start believes an old metadata mirror")         \
    X(meta_full, 30, false, "the metadata's disk is nearly full: deletions go on")                 \
    X(index_flush_error, 30, false, "flushes of the needle index fail for a while")                \
    X(planted_store_sync_lost, 100, true, "objects acknowledged over volumes that do not sync")    \
    /* several disks and their jobs */                                                             \
    X(drain_under_load, 12, false, "a disk is drained beside a client, over crashes")              \
    X(repair_under_load, 12, false, "a disk is replaced beside a client, over crashes")            \
    X(spares_under_load, 12, false, "a disk stays gone, is done without, and comes back")          \
    X(scrub_flipped_bits, 12, false, "flipped bits are found and repaired")                        \
    X(jobs_crash_every_write, 2, false, "power loss at each event of drain and repair")            \
    X(encodings_are_not_mixed, 12, false, "a shard of another encoding is none, and is replaced")  \
    X(disks_fail_within_a_write, 20, false, "what was acknowledged survives one disk more")        \
    X(moves_to_and_fro, 60, false, "shards come back to a disk whose old ones are garbage")        \
    X(sweep_beside_moves, 60, false, "the same while the orphan sweep runs again and again")       \
    X(classes_to_and_fro, 40, false, "the same while objects go from one storage class to another")

#define X(name, ...) void case_##name(struct history *h);
SIM_CASES(X)
#undef X
