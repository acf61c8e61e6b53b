/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * Fibers and the loop they run on. A switch always goes from the loop to a fiber or back, never
 * from fiber to fiber, so the loop sees the world between any two of them.
 *
 *            spawn            run              suspend, block
 *     (new) ------> READY ----------> RUNNING ---------------> WAITING
 *                     ^                  |                        |
 *                     |                  | fn returns             |
 *                     +------------------|------------------------+  rt_ready
 *                                        v
 *                                      DONE ---- join ----> (freed)
 *
 * The stack goes back to the pool at DONE, from the loop's side of the switch; the struct stays
 * until it is joined.
 */

#include "base/reserve.h"
#include "rt/internal.h"
#include "rt/sanitize.h"

__thread struct rt_loop *rt_this_loop;
__thread unsigned rt_locks_held;
struct rt_loop *rt_loops[RT_THREADS_MAX];
unsigned rt_loop_count;

static uint32_t alive; /* fibers and parked sockets of the world */

#define DEFAULT_STACK_BYTES (128 * KIB)
#define DEFAULT_MAX_FIBERS  16384

/* ---- switching ------------------------------------------------------------------------------- */

static void switch_to_fiber(struct rt_loop *l, struct rt_fiber *f)
{
    f->state = RT_FIBER_RUNNING;
    f->inline_calls = 0;
    l->current = f;
    char *bottom = f->stack->bottom;
    rt_asan_leave(&l->asan_fake_stack, bottom, (size_t)((char *)f->stack - bottom));
    rt_tsan_switch(f->tsan_fiber);
    rt_switch(&l->sp, f->sp);
    rt_asan_arrive(l->asan_fake_stack, NULL, NULL);
    l->current = NULL;
    if (l->dying) {
        rt_stack_give(&l->stacks, l->dying);
        rt_tsan_free(l->dying_tsan_fiber);
        l->dying = NULL;
    }
}

static void switch_to_loop(struct rt_fiber *f)
{
    struct rt_loop *l = f->loop;
    bool last = f->state == RT_FIBER_DONE;
    rt_asan_leave(last ? NULL : &f->asan_fake_stack, l->asan_bottom, l->asan_size);
    rt_tsan_switch(l->tsan_fiber);
    rt_switch(&f->sp, l->sp);
    rt_asan_arrive(f->asan_fake_stack, &l->asan_bottom, &l->asan_size);
}

static void fiber_free(struct rt_fiber *f)
{
    f->magic = 0;
    free(f);
}

/* Marks the fiber ended, from its own stack, and leaves it for good. */
_Noreturn static void fiber_end(struct rt_fiber *f)
{
    struct rt_loop *l = f->loop;
    CHECK(rt_locks_held == 0);
    f->state = RT_FIBER_DONE;
    list_remove(&f->all);
    __atomic_fetch_sub(&l->fiber_count, 1, __ATOMIC_RELAXED);
    l->dying = TAKE_PTR(f->stack);
    l->dying_tsan_fiber = f->tsan_fiber;
    if (f->joiner)
        rt_ready(f->joiner);
    rt_alive_drop();
    struct rt_fiber gone = *f;
    if (gone.detached)
        fiber_free(f);
    switch_to_loop(&gone);
    abort();
}

/* The bottom frame of every fiber. */
_Noreturn static void fiber_main(void)
{
    struct rt_loop *l = rt_this_loop;
    struct rt_fiber *f = l->current;
    rt_asan_arrive(NULL, &l->asan_bottom, &l->asan_size);
    if (f->detached)
        f->fn.detached(f->arg);
    else
        f->result = f->fn.joined(f->arg);
    fiber_end(f);
}

/* The frame that rt_switch() restores: its first jump goes to fiber_main, whose caller is 0. */
static void *first_frame(struct rt_stack *s)
{
    uintptr_t top = (uintptr_t)s & ~(uintptr_t)15;
#if defined(__x86_64__)
    /* six registers, where to go, and the return address 0 that ends backtraces */
    uintptr_t *sp = (uintptr_t *)top - 8;
    memset(sp, 0, 8 * sizeof(*sp));
    sp[6] = (uintptr_t)fiber_main;
#elif defined(__aarch64__)
    uintptr_t *sp = (uintptr_t *)top - 20;
    memset(sp, 0, 20 * sizeof(*sp));
    sp[11] = (uintptr_t)fiber_main; /* x30 */
#else
#    error "rt_switch() is written for x86-64 and aarch64"
#endif
    return sp;
}

/* ---- spawning -------------------------------------------------------------------------------- */

static void count_peak(struct rt_loop *l, uint32_t count)
{
    if (count > __atomic_load_n(&l->fiber_peak, __ATOMIC_RELAXED))
        __atomic_store_n(&l->fiber_peak, count, __ATOMIC_RELAXED);
}

/* Any thread; `stack` is what rt_stack_take or rt_stack_map gave, and is taken over. */
static int fiber_new(struct rt_fiber **ret, struct rt_loop *l, struct rt_stack *stack)
{
    struct rt_fiber *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    f->magic = RT_FIBER_MAGIC;
    f->loop = l;
    f->stack = stack;
    f->sp = first_frame(stack);
    f->tsan_fiber = rt_tsan_new();
    f->state = RT_FIBER_READY;
    list_init(&f->ready);
    list_init(&f->all);
    rt_alive_hold();
    *ret = f;
    return 0;
}

/* Counts one more fiber, unless that is over the limit. Any thread. */
static int fiber_admit(struct rt_loop *l)
{
    uint32_t count = __atomic_add_fetch(&l->fiber_count, 1, __ATOMIC_RELAXED);
    if (count > l->max_fibers) {
        __atomic_fetch_sub(&l->fiber_count, 1, __ATOMIC_RELAXED);
        return -ERR_LIMIT;
    }
    count_peak(l, count);
    return 0;
}

static int fiber_make(struct rt_fiber **ret, struct rt_loop *l)
{
    int r = fiber_admit(l);
    if (r < 0)
        return r;
    bool own = l == rt_this_loop;
    struct rt_stack *stack = own ? rt_stack_take(&l->stacks) : rt_stack_map(&l->stacks);
    r = stack ? fiber_new(ret, l, stack) : -ENOMEM;
    if (r < 0) {
        __atomic_fetch_sub(&l->fiber_count, 1, __ATOMIC_RELAXED);
        if (stack)
            rt_stack_unmap(&l->stacks, stack);
    }
    return r;
}

#define MEASURE_NS     (5 * RT_S)
#define MEASURE_FIBERS 256 /* the oldest: those are who stays */

void rt_loop_measure(struct rt_loop *l, uint64_t now_ns)
{
    struct rt_fiber *f;
    unsigned n = 0;
    if (likely(now_ns < l->measure_ns))
        return;
    l->measure_ns = now_ns + MEASURE_NS;
    LIST_FOR (f, &l->fibers, all) {
        if (n++ == MEASURE_FIBERS)
            return;
        if (f->stack)
            rt_stack_measure(&l->stacks, f->stack);
    }
}

static void fiber_enlist(struct rt_loop *l, struct rt_fiber *f)
{
    list_push_back(&l->fibers, &f->all);
    list_push_back(&l->ready, &f->ready);
    l->ready_count++;
}

static void enlist_from_inbox(struct rt_msg *m)
{
    struct rt_fiber *f = container_of(m, struct rt_fiber, msg);
    fiber_enlist(f->loop, f);
}

int rt_loop_spawn(struct rt_loop *l, struct rt_fiber **ret, const char *name, int (*fn)(void *),
                  void *arg)
{
    struct rt_fiber *f;
    int r = fiber_make(&f, l);
    if (r < 0)
        return r;
    f->name = name;
    f->fn.joined = fn;
    f->arg = arg;
    fiber_enlist(l, f);
    *ret = f;
    return 0;
}

int rt_loop_spawn_detached(struct rt_loop *l, const char *name, void (*fn)(void *), void *arg)
{
    struct rt_fiber *f;
    int r = fiber_make(&f, l);
    if (r < 0)
        return r;
    f->name = name;
    f->fn.detached = fn;
    f->detached = true;
    f->arg = arg;
    if (l == rt_this_loop) {
        fiber_enlist(l, f);
    } else {
        f->msg.fn = enlist_from_inbox;
        rt_loop_post(l, &f->msg);
    }
    return 0;
}

int rt_spawn(struct rt_fiber **ret, const char *name, int (*fn)(void *arg), void *arg)
{
    CHECK(rt_this_loop);
    return rt_loop_spawn(rt_this_loop, ret, name, fn, arg);
}

int rt_spawn_detached(const char *name, void (*fn)(void *arg), void *arg)
{
    CHECK(rt_this_loop);
    return rt_loop_spawn_detached(rt_this_loop, name, fn, arg);
}

int rt_spawn_on(unsigned thread, const char *name, void (*fn)(void *arg), void *arg)
{
    CHECK(thread < rt_loop_count);
    return rt_loop_spawn_detached(rt_loops[thread], name, fn, arg);
}

/* ---- waiting and waking ---------------------------------------------------------------------- */

struct rt_fiber *rt_self(void)
{
    CHECK(rt_this_loop && rt_this_loop->current);
    return rt_this_loop->current;
}

bool rt_cancelled(void)
{
    return rt_self()->cancelled;
}

void FIBER rt_suspend(void)
{
    struct rt_fiber *f = rt_self();
    CHECK(rt_locks_held == 0);
    f->state = RT_FIBER_WAITING;
    switch_to_loop(f);
}

void rt_ready(struct rt_fiber *f)
{
    CHECK(f->magic == RT_FIBER_MAGIC && f->loop == rt_this_loop);
    CHECK(f->state == RT_FIBER_WAITING);
    f->state = RT_FIBER_READY;
    f->interrupt = NULL; /* its deadline may yet pass before it runs: that changes nothing */
    rt_timer_disarm(f->loop, &f->timer);
    list_push_back(&f->loop->ready, &f->ready);
    f->loop->ready_count++;
}

static void ready_from_inbox(struct rt_msg *m)
{
    rt_ready(container_of(m, struct rt_fiber, msg));
}

void rt_ready_from_anywhere(struct rt_fiber *f)
{
    if (f->loop == rt_this_loop) {
        rt_ready(f);
        return;
    }
    f->msg.fn = ready_from_inbox;
    rt_loop_post(f->loop, &f->msg);
}

static void interrupt_fiber(struct rt_fiber *f, int why)
{
    rt_interrupt *interrupt = TAKE_PTR(f->interrupt);
    f->why = why;
    rt_timer_disarm(f->loop, &f->timer);
    interrupt(f->interrupt_arg, why);
}

static void interrupt_by_timer(struct rt_timer *t)
{
    interrupt_fiber(container_of(t, struct rt_fiber, timer), -ETIMEDOUT);
}

static void interrupt_plain(void *arg, int why)
{
    (void)why;
    rt_ready(arg);
}

static int block(uint64_t deadline_ns, rt_interrupt *interrupt, void *arg, bool shielded)
{
    struct rt_fiber *f = rt_self();
    CHECK(rt_locks_held == 0);
    f->state = RT_FIBER_WAITING;
    f->why = 0;
    f->interrupt = interrupt ? interrupt : interrupt_plain;
    f->interrupt_arg = interrupt ? arg : f;
    f->shielded = shielded;
    if (f->cancelled && !shielded) {
        interrupt_fiber(f, -ECANCELED);
    } else if (deadline_ns != RT_NEVER) {
        int r = rt_timer_arm(f->loop, &f->timer, deadline_ns, interrupt_by_timer);
        if (r < 0)
            interrupt_fiber(f, r);
    }
    switch_to_loop(f);
    return f->why;
}

int FIBER rt_block(uint64_t deadline_ns, rt_interrupt *interrupt, void *arg)
{
    return block(deadline_ns, interrupt, arg, false);
}

int FIBER rt_block_uncancelled(uint64_t deadline_ns, rt_interrupt *interrupt, void *arg)
{
    return block(deadline_ns, interrupt, arg, true);
}

void rt_cancel(struct rt_fiber *f)
{
    CHECK(f->magic == RT_FIBER_MAGIC && f->loop == rt_this_loop);
    f->cancelled = true;
    if (f->state == RT_FIBER_WAITING && f->interrupt && !f->shielded)
        interrupt_fiber(f, -ECANCELED);
}

int FIBER rt_join(struct rt_fiber *f)
{
    CHECK(f->magic == RT_FIBER_MAGIC && f->loop == rt_this_loop);
    CHECK(!f->detached && !f->joiner && f != rt_self());
    if (f->state != RT_FIBER_DONE) {
        f->joiner = rt_self();
        rt_suspend();
    }
    return rt_loop_reap(f);
}

int rt_loop_reap(struct rt_fiber *f)
{
    CHECK(f->state == RT_FIBER_DONE);
    int result = f->result;
    fiber_free(f);
    return result;
}

void FIBER rt_yield(void)
{
    struct rt_fiber *f = rt_self();
    CHECK(rt_locks_held == 0);
    f->state = RT_FIBER_WAITING;
    rt_ready(f);
    switch_to_loop(f);
}

int FIBER rt_sleep_until(uint64_t deadline_ns)
{
    int r = rt_block(deadline_ns, NULL, NULL);
    return r == -ETIMEDOUT ? 0 : r;
}

/* ---- the loop -------------------------------------------------------------------------------- */

int rt_loop_init(struct rt_loop *l, unsigned index, const struct rt_config *c)
{
    CHECK(index < RT_THREADS_MAX);
    size_t stack_bytes = c->stack_bytes ? c->stack_bytes : DEFAULT_STACK_BYTES;
    *l = (struct rt_loop){
        .index = index,
        .max_fibers = c->max_fibers ? c->max_fibers : DEFAULT_MAX_FIBERS,
        .stacks.stack_bytes = stack_bytes << RT_ASAN,
    };
    list_init(&l->ready);
    list_init(&l->fibers);
    return 0;
}

void rt_loop_release(struct rt_loop *l)
{
    CHECK(list_empty(&l->fibers) && l->ready_count == 0 && !l->inbox);
    rt_stack_trim(&l->stacks, 0);
    rt_timers_release(l);
}

void rt_loop_enter(struct rt_loop *l)
{
    CHECK(!rt_this_loop);
    rt_this_loop = l;
    reserve_thread_copes();
    l->tsan_fiber = rt_tsan_self();
}

void rt_loop_leave(struct rt_loop *l)
{
    CHECK(rt_this_loop == l && !l->current);
    rt_this_loop = NULL;
}

bool rt_loop_run_one(struct rt_loop *l)
{
    if (l->ready_count == 0)
        return false;
    struct rt_fiber *f =
        rt_world->pick ? rt_world->pick(l) : container_of(l->ready.next, struct rt_fiber, ready);
    CHECK(f->magic == RT_FIBER_MAGIC && f->state == RT_FIBER_READY);
    list_remove(&f->ready);
    l->ready_count--;
    switch_to_fiber(l, f);
    return true;
}

void rt_loop_run_ready(struct rt_loop *l)
{
    for (unsigned n = l->ready_count; n > 0; n--)
        CHECK(rt_loop_run_one(l));
}

void rt_loop_post(struct rt_loop *l, struct rt_msg *m)
{
    struct rt_msg *head = __atomic_load_n(&l->inbox, __ATOMIC_RELAXED);
    do {
        m->next = head;
    } while (!__atomic_compare_exchange_n(&l->inbox, &head, m, true, __ATOMIC_SEQ_CST,
                                          __ATOMIC_RELAXED));
    if (__atomic_load_n(&l->asleep, __ATOMIC_SEQ_CST) &&
        __atomic_exchange_n(&l->asleep, 0, __ATOMIC_SEQ_CST))
        rt_world->notify(l);
}

void rt_loop_take_inbox(struct rt_loop *l)
{
    if (!__atomic_load_n(&l->inbox, __ATOMIC_RELAXED))
        return;
    struct rt_msg *newest = __atomic_exchange_n(&l->inbox, NULL, __ATOMIC_ACQUIRE);
    struct rt_msg *oldest = NULL;
    while (newest) {
        struct rt_msg *m = newest;
        newest = m->next;
        m->next = oldest;
        oldest = m;
    }
    while (oldest) {
        struct rt_msg *m = oldest;
        oldest = m->next;
        m->fn(m);
    }
}

void rt_alive_hold(void)
{
    __atomic_fetch_add(&alive, 1, __ATOMIC_RELAXED);
}

void rt_alive_drop(void)
{
    if (__atomic_sub_fetch(&alive, 1, __ATOMIC_SEQ_CST) > 0)
        return;
    for (unsigned i = 0; i < rt_loop_count; i++) {
        if (__atomic_exchange_n(&rt_loops[i]->asleep, 0, __ATOMIC_SEQ_CST))
            rt_world->notify(rt_loops[i]);
    }
}

bool rt_alive(void)
{
    return __atomic_load_n(&alive, __ATOMIC_SEQ_CST) > 0;
}
