/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The only door to the outside: fibers, files, sockets, clock, randomness, timers, threads.
 *
 * Product code is straight-line code on fibers. A fiber is a stack that is switched, never
 * pre-empted, and never changes its thread; between two calls marked FIBER nothing else runs on
 * that thread. Two worlds stand behind these functions: `rt/uring` (Linux, one io_uring a thread)
 * and `rt/sim` (one thread, a virtual clock, a seeded scheduler, simulated disks). The same product
 * code runs in both.
 *
 * Rules
 *  1. Every wait on a socket, a fiber or an event has a deadline: an absolute value of rt_now(),
 *     or RT_NEVER where the caller can say why.
 *  2. Cancelling makes the fiber's present and later waits return -ECANCELED; an operation in the
 *     kernel is cancelled and waited for before its frame goes, so buffers stay valid.
 *     File operations are not cut short: they complete, and the next wait reports it.
 *  3. A fiber that spawns others joins them (or gives them to a server that does) before it ends.
 *  4. Blocking work goes through rt_offload().
 *  5. Every pool here has a limit (struct rt_config) and a count (struct rt_stats).
 */

#include <sys/uio.h>
#include "base/error.h"
#include "base/str.h"

#define RT_NEVER UINT64_MAX
#define RT_US    1000ULL
#define RT_MS    (1000ULL * RT_US)
#define RT_S     (1000ULL * RT_MS)

/* ---- the world ------------------------------------------------------------------------------ */

struct rt_config {
    unsigned threads;         /* loop threads; 0: one a core this process may use */
    unsigned offload_threads; /* 0: 4 */
    size_t stack_bytes;       /* 0: 128 KiB; doubled under ASan */
    unsigned max_fibers;      /* a thread; 0: 16,384. rt_spawn gives -ERR_LIMIT beyond */
};

/*
 * Runs `fn` as the first fiber of thread 0 in the Linux world and returns its value once it and
 * every fiber of every thread has ended. BLOCKING; once per process at a time.
 */
int rt_run(const struct rt_config *config, int (*fn)(void *arg), void *arg);

unsigned rt_thread_count(void);
/* 0 to rt_thread_count() - 1; CHECKs that it is called on a loop thread. */
unsigned rt_thread_index(void);
/* True on a loop thread, false on an offload thread or outside a world. */
bool rt_on_loop(void);
/* True in the simulator. For asserts and messages only: product code never behaves differently. */
bool rt_simulated(void);

struct rt_stats {
    uint64_t fibers, fibers_peak;  /* alive now, over all threads */
    uint64_t stacks;               /* allocated, in use or pooled */
    uint64_t stack_used_max_bytes; /* deepest use seen */
    uint64_t parked;               /* sockets waiting without a stack */
    uint64_t offload_queued;
};
void rt_stats(struct rt_stats *ret);

/* ---- fibers --------------------------------------------------------------------------------- */

struct rt_fiber;

/*
 * A new fiber on this thread, runnable after the caller next suspends. `name` must outlive it
 * (a literal). The handle must be joined once. -ERR_LIMIT or -ENOMEM.
 */
int rt_spawn(struct rt_fiber **ret, const char *name, int (*fn)(void *arg), void *arg);
/* As rt_spawn, without a handle: the fiber frees itself when `fn` returns. */
int rt_spawn_detached(const char *name, void (*fn)(void *arg), void *arg);
/* The same on thread `thread`; may be called from any thread of the process. */
int rt_spawn_on(unsigned thread, const char *name, void (*fn)(void *arg), void *arg);
/* Waits for the end and frees the handle; returns what `fn` returned. Not cut short by cancelling
 * the caller (rule 3). Same thread as the spawner. */
int FIBER rt_join(struct rt_fiber *f);
/* See rule 2. Idempotent; same thread. */
void rt_cancel(struct rt_fiber *f);
/* The calling fiber, for rt_cancel by a sibling. */
struct rt_fiber *rt_self(void);
bool rt_cancelled(void);

void FIBER rt_yield(void);
/* 0 at the deadline, or -ECANCELED. */
int FIBER rt_sleep_until(uint64_t deadline_ns);

/*
 * Runs `fn` on a thread of the offload pool, where it may block but not suspend, and returns its
 * value. Never cut short. In the simulator `fn` runs at once between two suspensions.
 */
int FIBER rt_offload(int (*fn)(void *arg), void *arg);

/* ---- synchronisation ------------------------------------------------------------------------ */

/*
 * A lock for short sections that never suspend, taken from any thread. Blocking a loop thread for
 * the length of a few hundred instructions is cheaper than suspending a fiber.
 * While it is held, a FIBER call CHECK-fails.
 */
struct rt_lock {
    uint32_t word;
    uint32_t pad_;
};
void rt_lock_init(struct rt_lock *l);
void rt_lock(struct rt_lock *l);
void rt_unlock(struct rt_lock *l);

/*
 * Where fibers of any thread wait. The waiter holds `l`, which is released while it sleeps and
 * held again on return; wakers hold `l` as well. Wakes are in order of arrival.
 */
struct rt_waitq {
    struct rt_waiter *head, *tail;
};
void rt_waitq_init(struct rt_waitq *q);
/* 0 when woken, -ETIMEDOUT, or -ECANCELED. */
int FIBER rt_wait(struct rt_waitq *q, struct rt_lock *l, uint64_t deadline_ns);
/* As rt_wait, but cancelling the fiber does not end it: for waits whose frame is shared. */
int FIBER rt_wait_uncancelled(struct rt_waitq *q, struct rt_lock *l, uint64_t deadline_ns);
/*
 * The same for an offload thread, which blocks and leaves its place in the pool to another. With a
 * deadline, for in the simulator, where nothing else runs meanwhile, it has passed at once.
 */
int BLOCKING rt_wait_blocking(struct rt_waitq *q, struct rt_lock *l, uint64_t deadline_ns);
void rt_wake_one(struct rt_waitq *q);
void rt_wake_all(struct rt_waitq *q);

/* ---- clock and randomness ------------------------------------------------------------------- */

/* Monotonic nanoseconds. */
uint64_t rt_now(void);
/* Milliseconds since 1970 (UTC); may jump. For expiry, signatures and what people read. */
uint64_t rt_wall_ms(void);
/* From the kernel's generator; from the seed in the simulator. */
void rt_random(void *ret, size_t len);

/* ---- files ---------------------------------------------------------------------------------- */

struct rt_file; /* may be used by every thread at once */

#define RT_OPEN_READ     0x0
#define RT_OPEN_WRITE    0x1 /* read and write */
#define RT_OPEN_CREATE   0x2
#define RT_OPEN_EXCL     0x4
#define RT_OPEN_TRUNCATE 0x8
/*
 * Long writes that are aligned to RT_DIRECT_ALIGN, in the file and in memory, may go past the page
 * cache: for data that is not read back soon. A hint; no write may share such a block with another
 * one that is under way.
 */
#define RT_OPEN_DIRECT  0x10
#define RT_DIRECT_ALIGN 4096

/* Mode 0600. All file calls return -errno as the system gave it. */
int FIBER rt_file_open(struct rt_file **ret, const char *path, unsigned flags);
/* Accepts NULL. No operation may be under way. */
void FIBER rt_file_close(struct rt_file *f);
/* Reads until `len` bytes or the end of the file; *ret_len says how many. */
int FIBER rt_file_read(struct rt_file *f, void *buf, size_t len, uint64_t off, size_t *ret_len);
/* What of it is in memory, without waiting: so many bytes from `off` on; 0 also when that cannot be
 * told. Never suspends. */
size_t rt_file_read_now(struct rt_file *f, void *buf, size_t len, uint64_t off);
/* Writes all of the vectors at `off`; on failure any part may have been written. */
int FIBER rt_file_write(struct rt_file *f, const struct iovec *iov, unsigned count, uint64_t off);
/* fdatasync. After an error nothing may be assumed of any write since the last good sync. -ESTALE:
 * the file was deleted (looked at now and then). */
int FIBER rt_file_sync(struct rt_file *f);
/* Reserves space without changing the length seen by readers (fallocate, keep size). */
int FIBER rt_file_reserve(struct rt_file *f, uint64_t off, uint64_t len);
int FIBER rt_file_truncate(struct rt_file *f, uint64_t len);
int FIBER rt_file_size(struct rt_file *f, uint64_t *ret);
/* An exclusive lock for the life of the open file: 0 or -ERR_BUSY when another process holds it. */
int rt_file_lock(struct rt_file *f);

int FIBER rt_mkdir(const char *path); /* 0 also when it is there; mode 0700 */
int FIBER rt_rename(const char *from, const char *to);
int FIBER rt_unlink(const char *path);
/* Makes creations, renames and unlinks in the directory durable. */
int FIBER rt_dir_sync(const char *path);
/* Calls `fn` for each entry but . and .., in no order; stops at the first non-zero. */
int FIBER rt_dir_list(const char *path, int (*fn)(const char *name, void *arg), void *arg);
struct rt_space {
    uint64_t total_bytes, free_bytes;
};
int FIBER rt_space(const char *path, struct rt_space *ret);

/* Whole small files. The write goes to a new name, is synced, renamed and the directory synced. */
int FIBER rt_read_file(const char *path, char *buf, size_t cap, size_t *ret_len);
int FIBER rt_write_file(const char *path, struct str content);

/* ---- sockets -------------------------------------------------------------------------------- */

/* Used by the thread that made it, or one it was given to before anything was done with it; one
 * reader and one writer fiber at a time. */
struct rt_socket;

struct rt_address {
    uint8_t bytes[128]; /* a sockaddr_storage */
    uint32_t len;
};
/* "127.0.0.1:9000", "[::1]:9000", ":9000", "host:9000" (resolved; BLOCKING by rt_offload). */
int FIBER rt_address_parse(struct rt_address *ret, const char *text);
/* "192.0.2.1:4711"; `ret` holds at least 64 bytes. */
void rt_address_format(const struct rt_address *a, char *ret);

/*
 * Listens with SO_REUSEPORT; each thread opens its own. `first`: this is the process's first
 * listener there, and another process that listens on the address is -EADDRINUSE, which
 * SO_REUSEPORT by itself would let pass.
 */
int rt_listen(struct rt_socket **ret, const struct rt_address *a, bool first);
/* The address bound, for port 0. */
int rt_socket_local(struct rt_socket *s, struct rt_address *ret);
/* -EMFILE and -ENFILE come back at once, also with nobody waiting: sleep before the next try. */
int FIBER rt_accept(struct rt_socket *listener, uint64_t deadline_ns, struct rt_socket **ret,
                    struct rt_address *ret_peer);
int FIBER rt_connect(struct rt_socket **ret, const struct rt_address *a, uint64_t deadline_ns);
/* At least one byte, or *ret_len 0 at the end of the stream. */
int FIBER rt_recv(struct rt_socket *s, void *buf, size_t len, uint64_t deadline_ns,
                  size_t *ret_len);
/* All of the vectors (which it may change), or an error with any part sent. */
int FIBER rt_send(struct rt_socket *s, struct iovec *iov, unsigned count, uint64_t deadline_ns);
/* No more bytes to the peer (FIN). */
void rt_socket_shutdown(struct rt_socket *s);
/* Accepts NULL. No operation may be under way. */
void FIBER rt_socket_close(struct rt_socket *s);

/*
 * Gives the socket up until it is readable: the calling fiber is expected to end, and `fn` runs on
 * a new fiber of this thread with status 0 (readable, or closed by the peer), -ETIMEDOUT, or
 * -ECANCELED after rt_unpark(). A parked socket costs no stack.
 */
int rt_park(struct rt_socket *s, uint64_t deadline_ns, void (*fn)(void *arg, int status),
            void *arg);
/* Ends a parking with -ECANCELED; no effect on a socket that is not parked. Same thread. */
void rt_unpark(struct rt_socket *s);

/* ---- process -------------------------------------------------------------------------------- */

/* Waits for SIGINT or SIGTERM (blocked by rt_run in every thread). Thread 0 only. */
int FIBER rt_wait_signal(int *ret_signal);
