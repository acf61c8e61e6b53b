/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * A ring: submitting in batches, waiting, completing.
 *
 * The kernel's deferred work runs only inside our own system calls (DEFER_TASKRUN), so completions
 * come in batches too. A full submission queue is submitted at once; completions that do not fit
 * the completion queue are kept by the kernel (FEAT_NODROP) until the next call.
 */

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "rt/uring/uring.h"

#define SUBMISSION_ENTRIES 256
#define COMPLETION_ENTRIES 1024
#define FILE_WORKERS_MAX   64 /* threads of the kernel's, a ring */

static struct uring_thread *this_thread(void)
{
    return container_of(rt_this_loop, struct uring_thread, loop);
}

/* ---- entries and completions ----------------------------------------------------------------- */

/* Takes the oldest completion off the queue; safe where a completion leads to another reap(). */
static bool take_completion(struct io_uring *ring, struct io_uring_cqe *ret)
{
    struct io_uring_cqe *cqe;
    unsigned head;
    io_uring_for_each_cqe(ring, head, cqe)
    {
        *ret = *cqe;
        io_uring_cq_advance(ring, 1);
        return true;
    }
    return false;
}

static void reap(struct uring_thread *t)
{
    struct io_uring_cqe cqe;
    while (take_completion(&t->ring, &cqe)) {
        struct uring_op *op = io_uring_cqe_get_data(&cqe);
        if (!op)
            continue;
        op->res = cqe.res;
        op->flags = cqe.flags;
        op->complete(op);
    }
}

struct io_uring_sqe *uring_sqe(void)
{
    struct uring_thread *t = this_thread();
    struct io_uring_sqe *sqe;
    while (!(sqe = io_uring_get_sqe(&t->ring))) {
        int r = io_uring_submit(&t->ring);
        CHECK(r >= 0 || r == -EBUSY || r == -EAGAIN || r == -EINTR || r == -ENOMEM);
        if (r < 0)
            reap(t);
    }
    return sqe;
}

/* It came with Linux 5.19, as did the flags that queue_init() asks for. Before, a receive that
 * bears it is refused with EINVAL. */
unsigned uring_poll_first(void)
{
    const unsigned as_new = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN;
    return this_thread()->ring.flags & as_new ? IORING_RECVSEND_POLL_FIRST : 0;
}

void uring_cancel(struct uring_op *op)
{
    struct io_uring_sqe *sqe = uring_sqe();
    io_uring_prep_cancel(sqe, op, 0);
    uring_attach(sqe, NULL);
}

static void complete_fiber(struct uring_op *op)
{
    rt_ready(op->fiber);
}

struct uring_op uring_op_here(void)
{
    return (struct uring_op){.complete = complete_fiber, .fiber = rt_self()};
}

int FIBER uring_finish(struct uring_op *op)
{
    rt_suspend();
    return op->res;
}

static void interrupt_op(void *arg, int why)
{
    (void)why;
    uring_cancel(arg);
}

int FIBER uring_await(struct uring_op *op, uint64_t deadline_ns)
{
    int why = rt_block(deadline_ns, interrupt_op, op);
    bool cut_short = op->res == -ECANCELED || op->res == -EINTR;
    return why < 0 && cut_short ? why : op->res;
}

void FIBER uring_be_fair(void)
{
    if (++rt_self()->inline_calls >= 32)
        rt_yield();
}

/* ---- a turn ---------------------------------------------------------------------------------- */

static bool kernel_has_work(const struct io_uring *ring)
{
    unsigned flags = __atomic_load_n(ring->sq.kflags, __ATOMIC_RELAXED);
    return flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

/* Valgrind runs one thread at a time and does not know that io_uring_enter() may block. */
static void wait_under_valgrind(struct io_uring *ring, const struct timespec *limit)
{
    struct pollfd p = {.fd = ring->ring_fd, .events = POLLIN};
    io_uring_submit_and_get_events(ring);
    if (io_uring_cq_ready(ring) == 0)
        ppoll(&p, 1, limit, NULL);
    io_uring_get_events(ring);
}

static void wait_for_completion(struct uring_thread *t, uint64_t until_ns)
{
    struct io_uring_cqe *cqe;
    uint64_t now = rt_now();
    uint64_t wait_ns = until_ns > now ? until_ns - now : 0;
    struct timespec ts = {(time_t)(wait_ns / RT_S), (long)(wait_ns % RT_S)};
    struct __kernel_timespec kts = {ts.tv_sec, ts.tv_nsec};
    bool forever = until_ns == RT_NEVER;
    if (RT_ON_VALGRIND)
        wait_under_valgrind(&t->ring, forever ? NULL : &ts);
    else
        io_uring_submit_and_wait_timeout(&t->ring, &cqe, 1, forever ? NULL : &kts, NULL);
}

void uring_turn(struct uring_thread *t, uint64_t wait_until_ns)
{
    /* Errors here (a signal, a full queue, no memory) leave the entries in place for next time. */
    if (wait_until_ns > 0)
        wait_for_completion(t, wait_until_ns);
    else if (io_uring_sq_ready(&t->ring) > 0 || kernel_has_work(&t->ring))
        io_uring_submit_and_get_events(&t->ring);
    reap(t);
}

/* ---- life cycle ------------------------------------------------------------------------------ */

static void arm_event(struct uring_thread *t)
{
    struct io_uring_sqe *sqe = uring_sqe();
    io_uring_prep_read(sqe, t->event_fd, &t->event_value, sizeof(t->event_value), 0);
    uring_attach(sqe, &t->event);
}

static void complete_event(struct uring_op *op)
{
    struct uring_thread *t = container_of(op, struct uring_thread, event);
    if (t->closing)
        op->complete = NULL;
    else
        arm_event(t);
}

/* Kernels before 6.1 lack the newer flags; each step does without one more. Deferred work does not
 * wake the ppoll() that stands in for waiting under valgrind. */
static int queue_init(struct io_uring *ring)
{
    static const unsigned flag_sets[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        0,
    };
    int r = -EINVAL;
    for (size_t i = RT_ON_VALGRIND ? 2 : 0; i < ARRAY_LEN(flag_sets) && r == -EINVAL; i++) {
        struct io_uring_params p = {
            .flags = flag_sets[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
            .cq_entries = COMPLETION_ENTRIES,
        };
        r = io_uring_queue_init_params(SUBMISSION_ENTRIES, ring, &p);
        if (r == 0 && !(p.features & IORING_FEAT_NODROP && p.features & IORING_FEAT_EXT_ARG)) {
            io_uring_queue_exit(ring);
            return -ENOSYS;
        }
    }
    return r;
}

int uring_open(struct uring_thread *t)
{
    int r = queue_init(&t->ring);
    if (r < 0)
        return r;
    io_uring_register_ring_fd(&t->ring); /* saves a lookup a call; not every kernel has it */
    /* Four a core by default: as many operations that hang would hold up all other files. */
    unsigned workers[2] = {FILE_WORKERS_MAX, 0};
    io_uring_register_iowq_max_workers(&t->ring, workers);
    t->event.complete = complete_event;
    arm_event(t);
    return 0;
}

void uring_close(struct uring_thread *t)
{
    t->closing = true; /* whichever way the read ends now, it is the last */
    uring_cancel(&t->event);
    while (t->event.complete)
        uring_turn(t, RT_NEVER);
    io_uring_queue_exit(&t->ring);
}
