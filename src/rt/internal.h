/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What the core of the runtime and its two worlds share; private to `rt/`.
 *
 * The core (fiber.c, stack.c, timer.c, sync.c, rt.c) knows fibers, ready queues, timers and locks
 * and makes no system call but mmap and futex. A world (`rt/uring`, `rt/sim`) brings the table
 * `struct rt_world_ops`, sets `rt_world` to it while it runs, owns one `struct rt_loop` a thread
 * and drives each:
 *
 *     rt_loop_init(&l, index, &config);
 *     rt_loop_enter(&l);
 *     spawn the first fiber with rt_loop_spawn();
 *     while (rt_alive()) {
 *         rt_loop_take_inbox(&l);
 *         rt_timers_fire(&l, now);
 *         rt_loop_run_ready(&l);
 *         let operations complete, each ending in rt_ready(); with nothing ready, sleep (or move
 *         the virtual clock) until a completion, a message or rt_timers_next();
 *     }
 *     rt_loop_leave(&l);
 *     rt_loop_release(&l);
 *
 * An operation of a world, on the fiber's own stack:
 *
 *     start it, remembering rt_self();
 *     r = rt_block(deadline, stop_it, &op);      (or rt_suspend(): never cut short)
 *     the op is over: its completion called rt_ready(). r says whether it was asked to stop.
 *
 * Invariants
 *  1. A fiber is in at most one of: running, the ready list, one wait. `state` says which.
 *  2. rt_ready() is called exactly once for each suspension, on the fiber's own thread.
 *  3. A loop's fields are touched by its thread only, but `inbox`, `asleep` and the counters.
 *  4. rt.c answers -ECANCELED before it calls a cancellable operation of the world, and CHECKs that
 *     a FIBER call is made on a fiber without a lock; worlds need do neither.
 */

#include "base/list.h"
#include "rt/rt.h"

/* ---- timers: a heap a loop ------------------------------------------------------------------- */

/* Fires once, on its loop's thread, outside any fiber; then it is disarmed. Zeroed: disarmed. */
struct rt_timer {
    uint64_t at_ns;
    uint32_t slot; /* 1 + index in the heap; 0: disarmed */
    void (*fn)(struct rt_timer *t);
};

struct rt_timers {
    struct rt_timer_slot *heap;
    uint32_t count, cap;
};

/* ---- messages between threads ---------------------------------------------------------------- */

/* `fn` runs on the receiving loop's thread, outside any fiber, and owns the message. */
struct rt_msg {
    struct rt_msg *next;
    void (*fn)(struct rt_msg *m);
};

/* ---- stacks ---------------------------------------------------------------------------------- */

/* Lies at the top of the mapping it describes: guard page, free space, this. */
struct rt_stack {
    struct rt_stack *next; /* in a pool */
    char *map;             /* where the mapping starts: the guard page */
    char *bottom;          /* the lowest usable byte */
    size_t map_bytes;
    unsigned uses;
    unsigned valgrind_id;
};

struct rt_stack_pool {
    struct rt_stack *free;
    unsigned free_count;
    size_t stack_bytes;
    uint64_t used_max_bytes; /* read by other threads */
    uint64_t count;          /* allocated here less freed here; read by other threads */
};

struct rt_stack *rt_stack_map(struct rt_stack_pool *p);
void rt_stack_unmap(struct rt_stack_pool *p, struct rt_stack *s);
/* From the pool or new; NULL when out of memory. */
struct rt_stack *rt_stack_take(struct rt_stack_pool *p);
void rt_stack_give(struct rt_stack_pool *p, struct rt_stack *s);
/* Notes how deep it has been used; its fiber does not run. */
void rt_stack_measure(struct rt_stack_pool *p, const struct rt_stack *s);
/* Unmaps what the pool keeps but `keep`. */
void rt_stack_trim(struct rt_stack_pool *p, unsigned keep);

/* ---- fibers ---------------------------------------------------------------------------------- */

enum rt_fiber_state { RT_FIBER_READY, RT_FIBER_RUNNING, RT_FIBER_WAITING, RT_FIBER_DONE };

/* Asks the operation a fiber waits for to end early: called at most once a wait, with -ETIMEDOUT or
 * -ECANCELED, outside the fiber. It must see to it that rt_ready() is called, now or later. */
typedef void rt_interrupt(void *arg, int why);

#define RT_FIBER_MAGIC 0x66696265U

struct rt_fiber {
    uint32_t magic;
    uint8_t state; /* enum rt_fiber_state */
    bool detached, cancelled;
    bool shielded; /* the present wait is not cut short by cancelling */
    void *sp;
    struct rt_loop *loop;
    struct rt_stack *stack;
    struct list ready; /* in loop->ready while READY */
    struct list all;   /* in loop->fibers until joined */
    struct rt_msg msg; /* wakes it from another thread */
    const char *name;
    union {
        int (*joined)(void *arg);
        void (*detached)(void *arg);
    } fn;
    void *arg;
    int result;
    struct rt_fiber *joiner;
    /* the present wait, if it can be cut short */
    struct rt_timer timer;
    rt_interrupt *interrupt;
    void *interrupt_arg;
    int why;               /* 0, or how the wait was cut short */
    unsigned inline_calls; /* operations that did not suspend since it last ran; for fairness */
    void *asan_fake_stack;
    void *tsan_fiber;
};

/* ---- loops ----------------------------------------------------------------------------------- */

struct rt_loop {
    unsigned index;
    unsigned max_fibers;
    struct rt_fiber *current; /* NULL: the loop itself runs */
    void *sp;                 /* of the loop, while a fiber runs */
    struct list ready;
    unsigned ready_count;
    struct list fibers;
    struct rt_timers timers;
    struct rt_stack_pool stacks;
    bool offloading;        /* a world that runs offloaded work on the loop sets it meanwhile */
    uint64_t measure_ns;    /* when the stacks are looked at next */
    struct rt_stack *dying; /* of a fiber that ended; given back after the switch away from it */
    /* shared with other threads, atomically */
    struct rt_msg *inbox; /* newest first */
    uint32_t asleep;
    uint32_t fiber_count, fiber_peak, parked;
    /* what the sanitizers know about the thread's own stack */
    void *tsan_fiber, *dying_tsan_fiber;
    void *asan_fake_stack;
    const void *asan_bottom;
    size_t asan_size;
};

/* The loop of this thread; NULL elsewhere. */
extern __thread struct rt_loop *rt_this_loop;

#define RT_THREADS_MAX 256
/* All loops of the running world, for counters, messages and the debugger. */
extern struct rt_loop *rt_loops[RT_THREADS_MAX];
extern unsigned rt_loop_count;

/* 0 or -ENOMEM. Zeroes of `c` mean the defaults that rt.h names. */
int rt_loop_init(struct rt_loop *l, unsigned index, const struct rt_config *c);
void rt_loop_release(struct rt_loop *l);
/* Makes it this thread's loop. */
void rt_loop_enter(struct rt_loop *l);
void rt_loop_leave(struct rt_loop *l);
/* As rt_spawn, from outside a fiber. */
int rt_loop_spawn(struct rt_loop *l, struct rt_fiber **ret, const char *name, int (*fn)(void *),
                  void *arg);
/* A fiber for `fn` that frees itself. */
int rt_loop_spawn_detached(struct rt_loop *l, const char *name, void (*fn)(void *), void *arg);
/* Notes now and then how deep the stacks of fibers that stay have been used. */
void rt_loop_measure(struct rt_loop *l, uint64_t now_ns);
/* Runs each fiber that was ready at the call, once; those that become ready wait for the next. */
void rt_loop_run_ready(struct rt_loop *l);
/* Runs one ready fiber (the world's pick); false when none was ready. */
bool rt_loop_run_one(struct rt_loop *l);
/* Runs the messages other threads sent. */
void rt_loop_take_inbox(struct rt_loop *l);
/* Sends a message; wakes the loop if it sleeps. Any thread. */
void rt_loop_post(struct rt_loop *l, struct rt_msg *m);
/* The result of a fiber that has ended, which is freed: for a world's first fiber. */
int rt_loop_reap(struct rt_fiber *f);

/* What keeps the world running: every fiber, every parked socket. Any thread. */
void rt_alive_hold(void);
void rt_alive_drop(void);
bool rt_alive(void);

/* Arms, or moves, a timer of this thread's loop. -ENOMEM */
int rt_timer_arm(struct rt_loop *l, struct rt_timer *t, uint64_t at_ns,
                 void (*fn)(struct rt_timer *));
void rt_timer_disarm(struct rt_loop *l, struct rt_timer *t);
/* When the first is due, or RT_NEVER. */
uint64_t rt_timers_next(const struct rt_loop *l);
void rt_timers_fire(struct rt_loop *l, uint64_t now_ns);
void rt_timers_release(struct rt_loop *l);

/* ---- suspending ------------------------------------------------------------------------------ */

/* The calling fiber sleeps until rt_ready(), whatever happens. */
void FIBER rt_suspend(void);
/*
 * The same, but at the deadline or when the fiber is cancelled (also when it is already)
 * `interrupt(arg, why)` is called; NULL stands for one that makes the fiber ready. Returns 0 or
 * `why`: what the operation achieved all the same is for the caller to look at.
 */
int FIBER rt_block(uint64_t deadline_ns, rt_interrupt *interrupt, void *arg);
/* The same, but only the deadline cuts it short. */
int FIBER rt_block_uncancelled(uint64_t deadline_ns, rt_interrupt *interrupt, void *arg);
/* On the fiber's own thread. */
void rt_ready(struct rt_fiber *f);
/* On any thread. */
void rt_ready_from_anywhere(struct rt_fiber *f);
/* Switches stacks: saves the stack pointer in *save, continues at `load`. switch_*.S */
void rt_switch(void **save, void *load);
/* Locks (rt_lock) that this thread holds. */
extern __thread unsigned rt_locks_held;

/* ---- the world ------------------------------------------------------------------------------- */

/* What product code holds; a world embeds it first in its own. */
#define RT_FILE_MAGIC   0x66696c65U
#define RT_SOCKET_MAGIC 0x736f636bU
struct rt_file {
    uint32_t magic;
};
struct rt_socket {
    uint32_t magic;
};

/*
 * What a world implements. Each member has the meaning of the function of rt.h with its name; what
 * rt.h calls FIBER may suspend here. rt.c has dealt with invariant 4.
 */
struct rt_world_ops {
    bool simulated;

    /* The next of l->ready to run (it stays in the list); NULL in place of the function: the
     * oldest. */
    struct rt_fiber *(*pick)(struct rt_loop *l);
    /* Makes a sleeping loop look at its inbox and at rt_alive(). Any thread. */
    void (*notify)(struct rt_loop *l);
    int (*offload)(int (*fn)(void *arg), void *arg);
    uint64_t (*offload_queued)(void);
    /* A thread that is no loop's begins or ends a wait. */
    void (*thread_waits)(bool begins);

    uint64_t (*now)(void);
    uint64_t (*wall_ms)(void);
    void (*random)(void *ret, size_t len);

    int (*file_open)(struct rt_file **ret, const char *path, unsigned flags);
    void (*file_close)(struct rt_file *f);
    int (*file_read)(struct rt_file *f, void *buf, size_t len, uint64_t off, size_t *ret_len);
    size_t (*file_read_now)(struct rt_file *f, void *buf, size_t len, uint64_t off);
    int (*file_write)(struct rt_file *f, const struct iovec *iov, unsigned count, uint64_t off);
    int (*file_sync)(struct rt_file *f);
    int (*file_reserve)(struct rt_file *f, uint64_t off, uint64_t len);
    int (*file_truncate)(struct rt_file *f, uint64_t len);
    int (*file_size)(struct rt_file *f, uint64_t *ret);
    int (*file_lock)(struct rt_file *f);
    int (*mkdir)(const char *path);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*dir_sync)(const char *path);
    int (*dir_list)(const char *path, int (*fn)(const char *name, void *arg), void *arg);
    int (*space)(const char *path, struct rt_space *ret);

    /* A host name and a port; numeric addresses do not come here. */
    int (*resolve)(struct rt_address *ret, const char *host, uint16_t port);
    int (*listen)(struct rt_socket **ret, const struct rt_address *a, bool first);
    int (*socket_local)(struct rt_socket *s, struct rt_address *ret);
    int (*accept)(struct rt_socket *listener, uint64_t deadline_ns, struct rt_socket **ret,
                  struct rt_address *ret_peer);
    int (*connect)(struct rt_socket **ret, const struct rt_address *a, uint64_t deadline_ns);
    int (*recv)(struct rt_socket *s, void *buf, size_t len, uint64_t deadline_ns, size_t *ret_len);
    int (*send)(struct rt_socket *s, struct iovec *iov, unsigned count, uint64_t deadline_ns);
    void (*socket_shutdown)(struct rt_socket *s);
    void (*socket_close)(struct rt_socket *s);
    int (*park)(struct rt_socket *s, uint64_t deadline_ns, void (*fn)(void *arg, int status),
                void *arg);
    void (*unpark)(struct rt_socket *s);

    int (*wait_signal)(int *ret_signal);
};

/* The world that runs; the Linux one before any does, so that the clock works everywhere. */
extern const struct rt_world_ops *rt_world;
extern const struct rt_world_ops rt_uring_ops;
