/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * rt/sim: the deterministic world behind rt.h.
 *
 * One thread runs every fiber. The clock is virtual: when nothing is runnable it jumps to the next
 * timer. Which of the runnable fibers goes next, how long an operation of a disk takes, what a
 * crash leaves behind and what rt_random() gives all come from one seed, so that a failing seed
 * replays exactly. rt_offload() runs its function at once between two suspensions. There are no
 * sockets, signals or names yet: those calls answer -ENOSYS.
 *
 * A `struct sim` is the machine: its seed, its clock and its disks. sim_rt_run() boots it, which is
 * one life; the life ends when the first fiber and all others have returned, or by a crash:
 * sim_crash(), or the point set by sim_crash_at(). A crash abandons all fibers where they stand,
 * frees their stacks without running them, and takes power from the disks. The next sim_rt_run()
 * finds what was durable.
 *
 * Disks
 *  - Data: a file keeps, page by page (4 KiB), its durable content and every later version until
 *    rt_file_sync() makes the newest durable. A crash leaves each page in any of those states, and
 *    under SIM_KEEP_TORN each 512-byte sector of it in one of two.
 *  - Length: any of the lengths since the last sync; bytes that did not arrive read as zeros.
 *  - Names: a creation, rename or unlink becomes durable by rt_dir_sync() of its directory and by
 *    nothing else; at a crash any of them may be missing, in order for any one name. A synced file
 *    whose name is not durable is gone.
 *  - Space: whole pages are counted, reserved ones too; rt_file_write() beyond the capacity gives
 *    -ENOSPC with a part written.
 *  - After an injected sync error the unsynced pages count as clean, as on Linux: each is on the
 *    disk or not, and a later good sync does not write it again.
 *
 * Memory: what the product allocated and its abandoned fibers would have freed stays allocated.
 * Nothing tracks it: a harness runs each history (all lives of one machine) in a forked child,
 * whose exit frees everything at once, the way a crashed process does, and whose death by a CHECK,
 * a signal or a sanitizer is that history's result (test/sim/harness.h). Globals of the product
 * survive from one life to the next within a child; rooms that keep fibers in them must not.
 *
 * Not thread-safe; one running life in a process.
 */

#include "rt/rt.h"

struct sim;
struct sim_disk;

/* What a crash leaves of unsynced changes. */
enum sim_keep {
    SIM_KEEP_SEED,   /* one of the others, by the seed, anew at each crash */
    SIM_KEEP_NONE,   /* a cache lost whole */
    SIM_KEEP_ALL,    /* a killed process: the system's cache survives, and is still not durable */
    SIM_KEEP_PREFIX, /* everything up to some moment, over all files of a disk */
    SIM_KEEP_SUBSET, /* each page and each name on its own */
    SIM_KEEP_TORN,   /* the same, and pages torn at sectors */
};

struct sim_config {
    uint64_t seed;
    enum sim_keep keep;
    uint64_t latency_max_ns; /* of a disk operation; 0: 200 us */
    uint64_t events_max;     /* of one life; 0: 20 million. More is taken for a livelock */
    bool quiet;              /* no word about fibers that wait for ever */
    bool steady_clock;       /* no time passes while a fiber runs: for what measures the time */
};

/* -ENOMEM. */
int sim_new(struct sim **ret, const struct sim_config *config);
/* Frees the disks as well. Accepts NULL. */
void sim_free(struct sim *s);

#define SIM_CRASHED 1

/*
 * Boots the machine with `fn` as its first fiber. Returns its value when all fibers have ended,
 * SIM_CRASHED, -EDEADLK when every fiber waits for ever (their names are printed), or -ELOOP beyond
 * events_max. After the last two the machine has crashed too.
 */
int sim_rt_run(struct sim *s, int (*fn)(void *arg), void *arg);

/* Power loss now. On a fiber only. */
_Noreturn void sim_crash(void);
/* Power loss between two lives. */
void sim_power_off(struct sim *s);
/* What later crashes leave. */
void sim_set_keep(struct sim *s, enum sim_keep keep);
/*
 * An event is an effect on a disk or an offloaded call; one more is counted before each effect is
 * told to its fiber. The next lives crash at event `event`, counted over the machine's life from
 * 1; 0: no crash.
 */
void sim_crash_at(struct sim *s, uint64_t event);
uint64_t sim_events(const struct sim *s);
/* Switches to a fiber plus events: what a simulator's speed is given in. */
uint64_t sim_steps(const struct sim *s);
/* Virtual nanoseconds since the machine was made. */
uint64_t sim_now(const struct sim *s);

/*
 * Called at each crash, when all fibers are gone, so that other stores that outlive a crash
 * (kv/mem) lose their unsynced part as well. Up to 16.
 */
void sim_on_crash(struct sim *s, void (*fn)(struct sim *s, void *arg), void *arg);

/*
 * One of 0 to bound - 1, for anything a crash decides: from the seed, or from the script.
 *
 * A script makes a crash exhaustive. Its choices are an odometer: start from a zeroed script, run
 * the same history again and again, and call sim_script_next() in between until it says false.
 */
uint64_t sim_choose(struct sim *s, uint64_t bound);
#define SIM_SCRIPT_MAX 64
struct sim_script {
    uint32_t count;                 /* choices made by the last history */
    uint32_t value[SIM_SCRIPT_MAX]; /* replayed; beyond the end 0 is chosen */
    uint32_t bound[SIM_SCRIPT_MAX];
};
/* NULL: from the seed again. Borrowed. */
void sim_set_script(struct sim *s, struct sim_script *script);
bool sim_script_next(struct sim_script *script);

/* ---- disks ---------------------------------------------------------------------------------- */

/* A disk of `capacity_bytes`, empty but for its root `path`, one component ("/d0"). Freed by
 * sim_free. */
int sim_disk_new(struct sim_disk **ret, struct sim *s, const char *path, uint64_t capacity_bytes);
void sim_disk_set_capacity(struct sim_disk *d, uint64_t capacity_bytes);
/* The same disk as it is now, to go back to later (a disk that comes back old). -ENOMEM. */
int sim_disk_clone(struct sim_disk **ret, const struct sim_disk *from, struct sim *s,
                   const char *path);

struct sim_disk_counts {
    uint64_t reads, writes, syncs; /* of files */
    uint64_t names;                /* creations, renames, unlinks, directory syncs */
    uint64_t faults;               /* injected so far */
};
void sim_disk_counts(const struct sim_disk *d, struct sim_disk_counts *ret);

#define SIM_HANG_NS (20 * RT_S)
enum sim_fault_kind {
    SIM_READ_EIO,
    SIM_READ_FLIP, /* one bit of what is handed out; the disk keeps the right one */
    SIM_WRITE_EIO,
    SIM_WRITE_ENOSPC,    /* a write, reserve or creation; a part may have been written */
    SIM_WRITE_LOST,      /* answered, never done */
    SIM_WRITE_MISPLACED, /* done elsewhere: at another sector of the same file */
    SIM_SYNC_EIO,
    SIM_WRITE_HANGS, /* done, and answered, SIM_HANG_NS later */
    SIM_SYNC_HANGS,
    SIM_SYNC_LOST, /* answered, nothing made durable: a disk that lies, or a planted bug */
};
struct sim_fault {
    enum sim_fault_kind kind;
    const char *path_part; /* in paths that contain it; NULL: all. A literal */
    uint64_t nth;          /* the first operation hit from now on, from 1 */
    uint64_t count;        /* how many in a row; UINT64_MAX: sticky */
};
/* Up to 16 at a time. */
void sim_disk_fault(struct sim_disk *d, const struct sim_fault *fault);
/* Takes all faults back. */
void sim_disk_heal(struct sim_disk *d);

/* The surface, past all caches: for damage at rest. Only between lives. -ENOENT, -EINVAL. */
int sim_disk_flip(struct sim_disk *d, const char *path, uint64_t off, unsigned bit);
int sim_disk_peek(struct sim_disk *d, const char *path, uint64_t off, void *buf, size_t len);
int sim_disk_poke(struct sim_disk *d, const char *path, uint64_t off, const void *buf, size_t len);
/* Every file by its path, in the order of creation. Stops at the first non-zero. */
int sim_disk_each(struct sim_disk *d, int (*fn)(const char *path, uint64_t len_bytes, void *arg),
                  void *arg);
