/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What the simulator's files share. inode.c and disk.c are plain state with no fibers; files.c puts
 * events, latency and faults in front of them; world.c schedules.
 */

#include "base/list.h"
#include "rt/sim/random.h"
#include "rt/sim/sim.h"

/* ---- inode.c: the content of one file ------------------------------------------------------- */

#define SIM_PAGE   4096u
#define SIM_SECTOR 512u

struct sim_inode_content;

struct sim_inode {
    struct list link; /* in sim_disk.inodes */
    unsigned refs;
    unsigned links, opens; /* present names, open files: it takes space while there is either */
    bool is_dir;
    bool locked;         /* by rt_file_lock, until the file that did is closed */
    struct list writing; /* writes under way, for the rule of RT_OPEN_DIRECT */
    uint64_t size;
    uint64_t pages_held; /* reserved ones included */
    struct sim_inode_content *content;
};

/* Memory for the simulated disks is not a case of the tests: running out of it CHECK-fails. */
struct sim_inode *sim_inode_new(bool is_dir);
struct sim_inode *sim_inode_ref(struct sim_inode *n);
/* Accepts NULL. */
void sim_inode_unref(struct sim_inode *n);
/* Pages a write of `len` at `off` would add. */
uint64_t sim_inode_pages_wanted(const struct sim_inode *n, uint64_t off, uint64_t len);

size_t sim_inode_read(const struct sim_inode *n, void *buf, size_t len, uint64_t off);
/* `seq` grows with every change of the machine. -EFBIG, -ENOMEM. */
int sim_inode_write(struct sim_inode *n, const void *buf, size_t len, uint64_t off, uint64_t seq);
int sim_inode_truncate(struct sim_inode *n, uint64_t len, uint64_t seq);
int sim_inode_reserve(struct sim_inode *n, uint64_t off, uint64_t len);
/* Changes up to `seq` become durable. */
void sim_inode_sync(struct sim_inode *n, uint64_t seq);
/* As Linux after a failed writeback: the changes count as clean, each on the disk or not. */
void sim_inode_sync_failed(struct sim_inode *n, struct sim_random *r);
bool sim_inode_dirty(const struct sim_inode *n);
/* Durable becomes current. `prefix_seq` is for SIM_KEEP_PREFIX. */
void sim_inode_crash(struct sim_inode *n, struct sim *s, enum sim_keep keep, uint64_t prefix_seq);
/* Writes through to the surface. Past the end: -EINVAL. */
int sim_inode_poke(struct sim_inode *n, const void *buf, size_t len, uint64_t off);
/* A copy of the present content, all durable. NULL when out of memory. */
struct sim_inode *sim_inode_clone(const struct sim_inode *n);

/* ---- disk.c: names and space ---------------------------------------------------------------- */

#define SIM_PATH_MAX   256u
#define SIM_FAULTS_MAX 16u

struct sim_disk {
    struct list link; /* in sim.disks */
    struct sim *sim;
    char root[SIM_PATH_MAX];
    uint64_t capacity_pages;
    struct list names;   /* struct sim_name, in the order of creation */
    struct list pending; /* struct sim_name_op, oldest first */
    struct list inodes;
    struct sim_fault faults[SIM_FAULTS_MAX];
    unsigned fault_count;
    struct sim_disk_counts counts;
};

void sim_disk_free(struct sim_disk *d);
/* The disk whose root holds `path`, or NULL. */
struct sim_disk *sim_disk_of(struct sim *s, const char *path);
struct sim_inode *sim_disk_lookup(const struct sim_disk *d, const char *path);
/* -ENOENT (no such directory), -EEXIST, -ENAMETOOLONG, -ENOMEM. The inode is borrowed. */
int sim_disk_create(struct sim_disk *d, const char *path, bool is_dir, struct sim_inode **ret);
int sim_disk_rename(struct sim_disk *d, const char *from, const char *to);
int sim_disk_unlink(struct sim_disk *d, const char *path);
int sim_disk_sync_dir(struct sim_disk *d, const char *path);
int sim_disk_list(struct sim_disk *d, const char *path, int (*fn)(const char *name, void *arg),
                  void *arg);
uint64_t sim_disk_free_pages(const struct sim_disk *d);
void sim_disk_crash(struct sim_disk *d, enum sim_keep keep);
/* Counts one operation of `kind` on `path` against the faults: true when it is to fail. */
bool sim_disk_hit(struct sim_disk *d, enum sim_fault_kind kind, const char *path);
/* Whether it would, now or later. */
bool sim_disk_will_hit(const struct sim_disk *d, enum sim_fault_kind kind, const char *path);

/* ---- world.c -------------------------------------------------------------------------------- */

struct sim_hook {
    void (*fn)(struct sim *s, void *arg);
    void *arg;
};
#define SIM_HOOKS_MAX 16u

struct sim {
    struct sim_config config;
    uint64_t now_ns;
    uint64_t seq; /* of the last change of any disk */
    uint64_t events, steps, crash_at;
    uint64_t life_events; /* where this life began */
    uint64_t power_seq;   /* when the power last went */
    struct sim_random schedule, latency, crash, fault, product, clock;
    struct sim_script *script;
    struct list disks;
    struct sim_hook hooks[SIM_HOOKS_MAX];
    unsigned hook_count;
    bool crashed, livelock;
};

/* The running machine, or NULL. */
struct sim *sim_running(void);
void sim_add_disk(struct sim *s, struct sim_disk *d);
/* Numbers a change of a disk. */
uint64_t sim_next_seq(struct sim *s);
/* A moment of this life's recent past, by its seq. */
uint64_t sim_crash_prefix(struct sim *s);
/* One event; does not return at the crash point. */
void sim_event(struct sim *s);
/* Suspends the running fiber for a time of the seed's, or not at all. */
void FIBER sim_latency(struct sim *s);

/* ---- files.c -------------------------------------------------------------------------------- */

int FIBER sim_file_open(struct rt_file **ret, const char *path, unsigned flags);
void FIBER sim_file_close(struct rt_file *f);
int FIBER sim_file_read(struct rt_file *f, void *buf, size_t len, uint64_t off, size_t *ret_len);
size_t sim_file_read_now(struct rt_file *f, void *buf, size_t len, uint64_t off);
int FIBER sim_file_write(struct rt_file *f, const struct iovec *iov, unsigned count, uint64_t off);
int FIBER sim_file_sync(struct rt_file *f);
int FIBER sim_file_reserve(struct rt_file *f, uint64_t off, uint64_t len);
int FIBER sim_file_truncate(struct rt_file *f, uint64_t len);
int FIBER sim_file_size(struct rt_file *f, uint64_t *ret);
int sim_file_lock(struct rt_file *f);
int FIBER sim_mkdir(const char *path);
int FIBER sim_rename(const char *from, const char *to);
int FIBER sim_unlink(const char *path);
int FIBER sim_dir_sync(const char *path);
int FIBER sim_dir_list(const char *path, int (*fn)(const char *name, void *arg), void *arg);
int FIBER sim_space(const char *path, struct rt_space *ret);
