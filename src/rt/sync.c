/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * Locks and wait queues for fibers and threads alike.
 *
 * A lock is a futex word: 0 free, 1 held, 2 held with sleepers (Drepper, "Futexes are tricky",
 * mutex 2), with a short spin first, for sections last a few hundred instructions.
 *
 * A waiter lies on the stack of who waits. Its list links belong to the lock; its state decides,
 * by one compare-and-swap, whether a waker or an interruption (deadline, cancel) readies it, so an
 * interruption needs no lock and may come at any time on the waiter's own loop. Who was
 * interrupted takes itself out of the queue once it holds the lock again; until then wakers that
 * meet it pass on to the next.
 */

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "rt/internal.h"

/* ---- locks ----------------------------------------------------------------------------------- */

#define SPINS 100

enum { FREE, HELD, CONTENDED };

/* `deadline_ns` on CLOCK_MONOTONIC. */
static int futex_wait(uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
    struct timespec at = {(time_t)(deadline_ns / RT_S), (long)(deadline_ns % RT_S)};
    long r = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                     deadline_ns == RT_NEVER ? NULL : &at, NULL, FUTEX_BITSET_MATCH_ANY);
    return r < 0 ? -errno : 0;
}

static void futex_wake(uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool lock_try(struct rt_lock *l)
{
    uint32_t free_word = FREE;
    return __atomic_compare_exchange_n(&l->word, &free_word, HELD, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static void lock_slowly(struct rt_lock *l)
{
    for (unsigned i = 0; i < SPINS; i++) {
        if (__atomic_load_n(&l->word, __ATOMIC_RELAXED) == FREE && lock_try(l))
            return;
        cpu_relax();
    }
    while (__atomic_exchange_n(&l->word, CONTENDED, __ATOMIC_ACQUIRE) != FREE)
        futex_wait(&l->word, CONTENDED, RT_NEVER);
}

void rt_lock_init(struct rt_lock *l)
{
    *l = (struct rt_lock){0};
}

void rt_lock(struct rt_lock *l)
{
    if (!lock_try(l))
        lock_slowly(l);
    rt_locks_held++;
}

void rt_unlock(struct rt_lock *l)
{
    CHECK(rt_locks_held > 0);
    rt_locks_held--;
    uint32_t was = __atomic_exchange_n(&l->word, FREE, __ATOMIC_RELEASE);
    CHECK(was != FREE);
    if (was == CONTENDED)
        futex_wake(&l->word);
}

/* ---- wait queues ----------------------------------------------------------------------------- */

enum waiter_state { WAITING, WOKEN, INTERRUPTED };

struct rt_waiter {
    struct rt_waiter *next, *prev; /* under the queue's lock */
    bool queued;                   /* likewise */
    uint32_t state;                /* enum waiter_state; a futex when `fiber` is NULL */
    struct rt_fiber *fiber;        /* NULL: a thread */
};

static void waitq_push(struct rt_waitq *q, struct rt_waiter *w)
{
    w->queued = true;
    w->next = NULL;
    w->prev = q->tail;
    if (q->tail)
        q->tail->next = w;
    else
        q->head = w;
    q->tail = w;
}

static void waitq_remove(struct rt_waitq *q, struct rt_waiter *w)
{
    if (!w->queued)
        return;
    w->queued = false;
    if (w->prev)
        w->prev->next = w->next;
    else
        q->head = w->next;
    if (w->next)
        w->next->prev = w->prev;
    else
        q->tail = w->prev;
}

/* True for the one that decides how the wait ends. */
static bool waiter_settle(struct rt_waiter *w, enum waiter_state to)
{
    uint32_t waiting = WAITING;
    return __atomic_compare_exchange_n(&w->state, &waiting, to, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

static void interrupt_waiter(void *arg, int why)
{
    struct rt_waiter *w = arg;
    (void)why;
    if (waiter_settle(w, INTERRUPTED))
        rt_ready(w->fiber);
}

static int thread_sleep(struct rt_waiter *w, uint64_t deadline_ns)
{
    while (__atomic_load_n(&w->state, __ATOMIC_ACQUIRE) == WAITING) {
        int r = futex_wait(&w->state, WAITING, deadline_ns);
        if (r == -ETIMEDOUT && waiter_settle(w, INTERRUPTED))
            return r;
    }
    return 0;
}

static int thread_wait(struct rt_waiter *w, uint64_t deadline_ns)
{
    rt_world->thread_waits(true);
    int r = thread_sleep(w, deadline_ns);
    rt_world->thread_waits(false);
    return r;
}

/* On an offload thread of a world that runs those on the loop: nothing can happen meanwhile. */
static int no_wait(uint64_t deadline_ns)
{
    CHECK(deadline_ns != RT_NEVER);
    return -ETIMEDOUT;
}

static int wait_on(struct rt_waitq *q, struct rt_lock *l, uint64_t deadline_ns, bool cancellable)
{
    struct rt_fiber *self = rt_this_loop ? rt_self() : NULL;
    struct rt_waiter w = {.fiber = self};
    CHECK(rt_locks_held == 1);
    if (self && rt_this_loop->offloading)
        return no_wait(deadline_ns);
    waitq_push(q, &w);
    rt_unlock(l);

    int r;
    if (!self)
        r = thread_wait(&w, deadline_ns);
    else if (cancellable)
        r = rt_block(deadline_ns, interrupt_waiter, &w);
    else
        r = rt_block_uncancelled(deadline_ns, interrupt_waiter, &w);

    rt_lock(l);
    waitq_remove(q, &w);
    return w.state == WOKEN ? 0 : r;
}

void rt_waitq_init(struct rt_waitq *q)
{
    *q = (struct rt_waitq){0};
}

int FIBER rt_wait(struct rt_waitq *q, struct rt_lock *l, uint64_t deadline_ns)
{
    return wait_on(q, l, deadline_ns, true);
}

int FIBER rt_wait_uncancelled(struct rt_waitq *q, struct rt_lock *l, uint64_t deadline_ns)
{
    return wait_on(q, l, deadline_ns, false);
}

int BLOCKING rt_wait_blocking(struct rt_waitq *q, struct rt_lock *l, uint64_t deadline_ns)
{
    return wait_on(q, l, deadline_ns, false);
}

/* Wakes the first that still waits; false when there is none. */
static bool wake_first(struct rt_waitq *q)
{
    struct rt_waiter *w;
    while ((w = q->head)) {
        struct rt_fiber *f = w->fiber;
        waitq_remove(q, w);
        if (!waiter_settle(w, WOKEN))
            continue;
        if (f)
            rt_ready_from_anywhere(f);
        else
            futex_wake(&w->state);
        return true;
    }
    return false;
}

void rt_wake_one(struct rt_waitq *q)
{
    wake_first(q);
}

void rt_wake_all(struct rt_waitq *q)
{
    while (wake_first(q))
        ;
}
