/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * The Linux world: its threads, its clock, its table of operations.
 *
 * rt_run() makes the calling thread loop 0 and starts the others one by one, each of which reports
 * whether its ring opened. The world is alive (rt_alive()) from before the first thread starts
 * until the last fiber has ended and the last socket is no longer parked; then every loop returns.
 */

#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "rt/uring/uring.h"

/* A loop that has had nothing to do for so long keeps so many stacks for the next burst. */
#define IDLE_NS     RT_S
#define IDLE_STACKS 4

/* ---- clock and randomness -------------------------------------------------------------------- */

static uint64_t uring_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * RT_S + (uint64_t)ts.tv_nsec;
}

static uint64_t uring_wall_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void from_kernel(char *at, size_t len)
{
    while (len > 0) {
        ssize_t n = getrandom(at, MIN(len, (size_t)256), 0);
        CHECK(n > 0 || errno == EINTR);
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
}

/* Each thread fetches a block and hands it out: ids are asked for more often than a system call is
 * cheap. What was handed out is wiped. */
static void uring_random(void *ret, size_t len)
{
    static __thread char block[256];
    static __thread size_t left;
    if (len > sizeof(block) / 4) {
        from_kernel(ret, len);
        return;
    }
    if (left < len) {
        from_kernel(block, sizeof(block));
        left = sizeof(block);
    }
    left -= len;
    memcpy(ret, block + left, len);
    wipe(block + left, len);
}

/* ---- a loop ---------------------------------------------------------------------------------- */

static void uring_notify(struct rt_loop *l)
{
    uint64_t one = 1;
    ssize_t n = write(container_of(l, struct uring_thread, loop)->event_fd, &one, sizeof(one));
    CHECK(n == (ssize_t)sizeof(one));
}

/* Says that it sleeps, then looks once more: what is posted after that look rings the bell. */
static void sleep_until(struct uring_thread *t, uint64_t until_ns)
{
    struct rt_loop *l = &t->loop;
    __atomic_store_n(&l->asleep, 1, __ATOMIC_SEQ_CST);
    bool work = __atomic_load_n(&l->inbox, __ATOMIC_SEQ_CST) || !rt_alive();
    uring_turn(t, work ? 0 : until_ns);
    __atomic_store_n(&l->asleep, 0, __ATOMIC_RELAXED);
}

/* Stacks that a burst left in the pool are given up by a loop that has slept for a while. */
static void sleep_until_work(struct uring_thread *t)
{
    struct rt_loop *l = &t->loop;
    uint64_t until_ns = rt_timers_next(l);
    bool spare = l->stacks.free_count > IDLE_STACKS;
    if (spare)
        until_ns = MIN(until_ns, rt_now() + IDLE_NS);
    sleep_until(t, until_ns);
    if (spare && l->ready_count == 0 && rt_now() >= until_ns)
        rt_stack_trim(&l->stacks, IDLE_STACKS);
}

static void loop_run(struct uring_thread *t)
{
    struct rt_loop *l = &t->loop;
    while (rt_alive()) {
        rt_loop_take_inbox(l);
        if (rt_timers_next(l) != RT_NEVER) {
            uint64_t now = rt_now();
            rt_timers_fire(l, now);
            rt_loop_measure(l, now);
        }
        rt_loop_run_ready(l);
        if (l->ready_count > 0)
            uring_turn(t, 0);
        else
            sleep_until_work(t);
    }
}

/* ---- the threads ----------------------------------------------------------------------------- */

static sem_t started;

static void *thread_main(void *arg)
{
    struct uring_thread *t = arg;
    char name[16];
    snprintf(name, sizeof(name), "loop-%u", t->loop.index);
    pthread_setname_np(pthread_self(), name);
    rt_loop_enter(&t->loop);
    t->start_result = uring_open(t);
    sem_post(&started);
    if (t->start_result == 0) {
        loop_run(t);
        uring_close(t);
    }
    rt_loop_leave(&t->loop);
    return NULL;
}

static int thread_start(struct uring_thread *t)
{
    int r = pthread_create(&t->thread, NULL, thread_main, t);
    if (r != 0)
        return -r;
    while (sem_wait(&started) < 0)
        ;
    if (t->start_result < 0)
        pthread_join(t->thread, NULL);
    return t->start_result;
}

static unsigned cores_allowed(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return 1;
    return MAX(1U, (unsigned)CPU_COUNT(&set));
}

static void raise_open_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void block_signals(sigset_t *ret_old)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, ret_old);
}

/* ---- the world ------------------------------------------------------------------------------- */

struct uring_world {
    struct uring_thread *threads;
    unsigned count;
};

static void world_close(struct uring_world *w)
{
    for (unsigned i = 0; i < w->count; i++) {
        if (w->threads[i].event_fd >= 0)
            close(w->threads[i].event_fd);
        rt_loop_release(&w->threads[i].loop);
        rt_loops[i] = NULL;
    }
    rt_loop_count = 0;
    free(w->threads);
    signals_close();
}

static int world_open(struct uring_world *w, const struct rt_config *c)
{
    w->count = MIN(c->threads ? c->threads : cores_allowed(), (unsigned)RT_THREADS_MAX);
    w->threads = calloc(w->count, sizeof(*w->threads));
    if (!w->threads)
        return -ENOMEM;
    int r = signals_open();
    for (unsigned i = 0; i < w->count; i++) {
        struct uring_thread *t = &w->threads[i];
        rt_loop_init(&t->loop, i, c);
        rt_loops[i] = &t->loop;
        t->event_fd = r == 0 ? eventfd(0, EFD_CLOEXEC) : -1;
        if (r == 0 && t->event_fd < 0)
            r = -errno;
    }
    rt_loop_count = w->count;
    if (r < 0)
        world_close(w);
    return r;
}

/* Loop 0 on this thread, the others on theirs, until nothing is alive. */
static int world_run(struct uring_world *w, int (*fn)(void *arg), void *arg)
{
    struct uring_thread *first = &w->threads[0];
    struct rt_fiber *main_fiber;
    unsigned running = 1;
    rt_loop_enter(&first->loop);
    int r = uring_open(first);
    if (r < 0) {
        rt_loop_leave(&first->loop);
        return r;
    }
    rt_alive_hold();
    while (r == 0 && running < w->count) {
        r = thread_start(&w->threads[running]);
        running += r == 0;
    }
    if (r == 0)
        r = rt_loop_spawn(&first->loop, &main_fiber, "main", fn, arg);
    rt_alive_drop();
    if (r == 0) {
        loop_run(first);
        r = rt_loop_reap(main_fiber);
    }
    for (unsigned i = 1; i < running; i++)
        pthread_join(w->threads[i].thread, NULL);
    uring_close(first);
    rt_loop_leave(&first->loop);
    return r;
}

int rt_run(const struct rt_config *config, int (*fn)(void *arg), void *arg)
{
    struct uring_world w;
    sigset_t old;
    CHECK(rt_loop_count == 0);
    raise_open_file_limit();
    block_signals(&old);
    rt_world = &rt_uring_ops;
    int r = world_open(&w, config);
    if (r == 0) {
        sem_init(&started, 0, 0);
        offload_start(config->offload_threads);
        r = world_run(&w, fn, arg);
        offload_stop();
        sem_destroy(&started);
        world_close(&w);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return r;
}

const struct rt_world_ops rt_uring_ops = {
    .notify = uring_notify,
    .offload = uring_offload,
    .offload_queued = uring_offload_queued,
    .thread_waits = uring_thread_waits,
    .now = uring_now,
    .wall_ms = uring_wall_ms,
    .random = uring_random,
    .file_open = uring_file_open,
    .file_close = uring_file_close,
    .file_read = uring_file_read,
    .file_read_now = uring_file_read_now,
    .file_write = uring_file_write,
    .file_sync = uring_file_sync,
    .file_reserve = uring_file_reserve,
    .file_truncate = uring_file_truncate,
    .file_size = uring_file_size,
    .file_lock = uring_file_lock,
    .mkdir = uring_mkdir,
    .rename = uring_rename,
    .unlink = uring_unlink,
    .dir_sync = uring_dir_sync,
    .dir_list = uring_dir_list,
    .space = uring_space,
    .resolve = uring_resolve,
    .listen = uring_listen,
    .socket_local = uring_socket_local,
    .accept = uring_accept,
    .connect = uring_connect,
    .recv = uring_recv,
    .send = uring_send,
    .socket_shutdown = uring_socket_shutdown,
    .socket_close = uring_socket_close,
    .park = uring_park,
    .unpark = uring_unpark,
    .wait_signal = uring_wait_signal,
};
