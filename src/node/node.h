/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A handle to one disk, near or far: what `blob` and `jobs` use, so that they know neither where a
 * disk is nor how it fares. For now every node is a disk of this process; a far one will carry the
 * same requests and replies as the messages of wire/node.proto.
 *
 * A node has a state
 *
 *   online    its operations succeed
 *   suspect   some failed lately: read last, and written only when no other will do
 *   gone      its directory is not there, its reads keep failing, or an operation hangs. Every
 *             operation answers -ERR_DISK_GONE at once; nothing waits for it.
 *
 *      online --a fault--> suspect --faults in a row, of reads--> gone
 *      any --its identity cannot be read, or an operation passed the deadline--> gone
 *      suspect --success--> online        gone --opened anew--> online
 *
 * A disk that only refuses writes stays readable, so it is never more than suspect. One that is
 * gone is closed as soon as nobody is inside any more and opened anew when its directory is back,
 * by nodes_watch's fibers; what it missed meanwhile the layouts' digests and encode ids tell.
 *
 * Invariants
 *  1. `disk` changes only while the state is gone and no operation, reader or writer is inside.
 *  2. A table's slot is filled once and never emptied: a number is a disk for the store's life.
 *
 * Errors are those of volume.h and -ERR_DISK_GONE.
 */

#include "volume/volume.h"

#define NODES_MAX      256         /* numbers given in a store's life, gone disks included */
#define NODE_HANG_NS   (30 * RT_S) /* an operation that takes longer hangs */
#define NODE_FAULT_ROW 3           /* faults in a row that a suspect node is given */

struct node;

enum node_state { NODE_ONLINE, NODE_SUSPECT, NODE_GONE };
/* "online", "suspect", "gone" */
const char *node_state_text(enum node_state state);

/*
 * What the table of disks says of it: whether it is to be given new shards, and keep its old. One
 * that is away has been gone for so long that its shards are rebuilt on others; it is watched still
 * and may come back.
 */
enum node_role { NODE_ACTIVE, NODE_DRAINING, NODE_RETIRED, NODE_AWAY };

struct node_config {
    uint32_t number;
    const char *path; /* for people; copied */
    uint64_t weight;  /* its share of the chunks; 0: 1 */
    uint32_t zone;    /* disks of one are lost together */
    enum node_role role;
    bool
        alone; /* the only disk of its store: failing reads never make it gone, there is no other */
    /*
     * Opens the disk, at the start and whenever it comes back, after telling that it is the right
     * one. NULL: `disk` is open already, belongs to the caller, and is never opened anew.
     */
    int (*open)(void *arg, struct disk **ret);
    /* Whether its directory is there and still this disk's: 0 or an error. May be NULL. */
    int (*probe)(void *arg);
    void *arg; /* borrowed */
    struct disk *disk;
};

/* Also when the disk cannot be opened: then the node is gone, and node_fault says why. -ENOMEM. */
int FIBER node_open(struct node **ret, const struct node_config *config);
/* Accepts NULL. No reader or writer may be open. */
void FIBER node_close(struct node *n);

uint32_t node_number(const struct node *n);
const char *node_path(const struct node *n);
uint64_t node_weight(const struct node *n);
void node_set_weight(struct node *n, uint64_t weight);
uint32_t node_zone(const struct node *n);
void node_set_zone(struct node *n, uint32_t zone);
enum node_role node_role(const struct node *n);
void node_set_role(struct node *n, enum node_role role);
enum node_state node_state(const struct node *n);
/* Nobody is inside: no operation, nor a needle that is being written or read. */
bool node_idle(const struct node *n);
/* Whether a new shard may be put there: not gone, and its writes do not keep failing. */
bool node_writable(const struct node *n);
/* rt_now() when it was last seen to be gone. */
uint64_t node_gone_ns(const struct node *n);
/* The last fault, 0: none yet. */
int node_fault(const struct node *n);
/* What 95 of a hundred of its reads take; 0: not known yet. */
uint64_t node_read_p95_ns(const struct node *n);
/*
 * The newest ring epoch it was told of. It never goes back: an older one is not taken, and a shard
 * that was placed by an older one is refused with -ERR_STALE_EPOCH when it begins.
 */
uint64_t node_epoch(const struct node *n);
void node_set_epoch(struct node *n, uint64_t epoch);
/* A write to it was given up for slow: a fault. */
void node_note_slow(struct node *n);
/* Gone from now on, as after a fault: for the administrator and for tests. */
void node_set_gone(struct node *n, int why);

/* ---- the table ------------------------------------------------------------------------------ */

/* Nodes by number; read by every thread without a lock. */
struct nodes {
    struct node *at[NODES_MAX]; /* atomic */
    uint32_t count;             /* atomic: all numbers in use lie below it */
    struct nodes_watch *watch;
    /* Told by the watch, on its fiber, of a state that is not what it told last (online at first);
     * must not suspend. May be NULL. */
    void (*changed)(void *arg, const struct node *n, enum node_state state);
    void *changed_arg;
};
/* A node over a disk that is open already, which stays the caller's. -ENOMEM. */
int FIBER nodes_wrap(struct nodes *t, uint32_t number, const char *path, struct disk *disk);
/* The node's number must be free. */
void nodes_add(struct nodes *t, struct node *n);
/* NULL: no such disk. */
struct node *nodes_get(const struct nodes *t, uint32_t number);
uint32_t nodes_count(const struct nodes *t);
/* Closes all of them; stops the watch first. */
void FIBER nodes_release(struct nodes *t);
/*
 * Looks at every node each `interval_ms` (0: 1 s): asks for its identity, looks for operations that
 * hang, opens what has come back. On the thread that opened the nodes.
 */
int FIBER nodes_watch(struct nodes *t, unsigned interval_ms);
/* One look, for tests and the simulator. */
void FIBER nodes_look(struct nodes *t);

/* ---- operations: as those of volume.h ---------------------------------------------------------
 */

/* `epoch` is that of the ring by which the shard was placed here. */
int FIBER node_append(struct node *n, uint64_t epoch, struct needle_key key,
                      const struct needle_info *info, const struct iovec *iov, unsigned count,
                      struct needle_hint *ret_hint, struct hash128 *ret_digest);

int FIBER node_append_placed(struct node *n, uint64_t epoch, struct needle_key key,
                             const struct needle_info *info, void *base,
                             struct needle_hint *ret_hint, struct hash128 *ret_digest);

struct node_writer;
int FIBER node_begin(struct node *n, uint64_t epoch, struct needle_key key,
                     const struct needle_info *info, struct node_writer **ret);
int FIBER node_write(struct node_writer *w, const struct iovec *iov, unsigned count);
int FIBER node_write_first(struct node_writer *w, void *data, size_t len);
int FIBER node_flush(struct node_writer *w);
int FIBER node_commit(struct node_writer *w, struct needle_hint *ret_hint,
                      struct hash128 *ret_digest);
void FIBER node_abort(struct node_writer *w);

int FIBER node_room(struct node *n, uint64_t len);
int FIBER node_delete(struct node *n, const struct needle_key *keys, size_t count);

struct node_reader;
int FIBER node_reader_open(struct node *n, struct needle_key key, const struct needle_hint *hint,
                           struct node_reader **ret);
const struct needle_info *node_reader_info(const struct node_reader *r);
struct hash128 node_reader_digest(const struct node_reader *r);
int FIBER node_reader_read(struct node_reader *r, uint64_t off, void *buf, size_t len);
void FIBER node_reader_close(struct node_reader *r);
int FIBER node_read(struct node *n, struct needle_key key, const struct needle_hint *hint,
                    void *buf, size_t cap, const void **ret_payload, struct needle_info *ret_info,
                    struct hash128 *ret_digest);

/* Of what is in memory; see needle_open_now. Nothing is judged by them. */
int FIBER node_reader_open_now(struct node *n, struct needle_key key,
                               const struct needle_hint *hint, struct node_reader **ret);
int node_reader_read_now(struct node_reader *r, uint64_t off, void *buf, size_t len);
int FIBER node_read_now(struct node *n, struct needle_key key, const struct needle_hint *hint,
                        void *buf, size_t cap, const void **ret_payload,
                        struct needle_info *ret_info, struct hash128 *ret_digest);

int FIBER node_compact(struct node *n, uint64_t *ret_freed_bytes);
uint32_t FIBER node_newest(struct node *n); /* 0 while it is gone */
int FIBER node_erase(struct node *n, uint32_t upto, struct disk_erased *ret);
int FIBER node_checkpoint(struct node *n);
int FIBER node_each(struct node *n, int (*fn)(const struct needle_entry *e, void *arg), void *arg);
int FIBER node_verify(struct node *n, int (*fn)(const struct disk_verify_event *e, void *arg),
                      void *arg);
int FIBER node_scrub(struct node *n, struct disk_scrub_place *place, uint64_t bytes,
                     int (*fn)(const struct disk_verify_event *e, void *arg), void *arg);

struct node_stats {
    struct disk_stats disk; /* zeros while it is gone */
    uint64_t state;         /* enum node_state */
    uint64_t faults, faults_in_a_row;
    uint64_t returns; /* times it was opened anew */
    uint64_t read_p95_ns;
};
void FIBER node_stats(struct node *n, struct node_stats *ret);
