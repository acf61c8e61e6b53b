/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * The threads that may block. One is there from the start, so that a job never has to run on a
 * loop for want of memory; others start when there is work and none of them is idle, up to the
 * limit, and stay. Those that wait for others (rt_wait) do not count: work of which they may have
 * to wait the end goes on. A job lies on the stack of the fiber that waits for it, so the queue is
 * no longer than there are fibers.
 */

#include "base/reserve.h"
#include "rt/uring/uring.h"

struct job {
    struct job *next;
    int (*fn)(void *arg);
    void *arg;
    int result;
    struct rt_fiber *fiber;
};

#define OFFLOAD_THREADS_MAX 64U

static struct {
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t work;
    struct job *head, *tail;
    uint64_t queued;
    unsigned idle, waiting, threads, limit;
    bool stopping;
    pthread_t ids[OFFLOAD_THREADS_MAX];
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER};

static __thread bool is_of_pool;

/* The next job, or NULL when the pool stops. */
static struct job *pool_take(void)
{
    struct job *j;
    pthread_mutex_lock(&pool.mutex);
    pool.idle++;
    while (!pool.head && !pool.stopping)
        pthread_cond_wait(&pool.work, &pool.mutex);
    pool.idle--;
    j = pool.head;
    if (j) {
        pool.head = j->next;
        __atomic_store_n(&pool.queued, pool.queued - 1, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&pool.mutex);
    return j;
}

static void *offload_main(void *arg)
{
    struct job *j;
    is_of_pool = true;
    reserve_thread_copes();
    while ((j = pool_take())) {
        j->result = j->fn(j->arg);
        rt_ready_from_anywhere(j->fiber);
    }
    return arg;
}

/* Under the mutex: one more thread, if one can be had. */
static void pool_add(void)
{
    if (pthread_create(&pool.ids[pool.threads], NULL, offload_main, NULL) == 0) {
        pthread_setname_np(pool.ids[pool.threads], "offload");
        pool.threads++;
    }
}

/* Under the mutex: one more if all are busy and the limit allows. */
static void pool_grow(void)
{
    unsigned limit = MIN(pool.limit + pool.waiting, OFFLOAD_THREADS_MAX);
    if (pool.idle < pool.queued && pool.threads < limit)
        pool_add();
}

void uring_thread_waits(bool begins)
{
    if (!is_of_pool)
        return;
    pthread_mutex_lock(&pool.mutex);
    pool.waiting += begins ? 1 : -1;
    if (begins)
        pool_grow();
    pthread_mutex_unlock(&pool.mutex);
}

/* False when there is no thread to run it. */
static bool pool_put(struct job *j)
{
    pthread_mutex_lock(&pool.mutex);
    j->next = NULL;
    if (pool.head)
        pool.tail->next = j;
    else
        pool.head = j;
    pool.tail = j;
    __atomic_store_n(&pool.queued, pool.queued + 1, __ATOMIC_RELAXED);
    pool_grow();
    bool served = pool.threads > 0;
    if (!served) {
        pool.head = NULL;
        pool.queued = 0;
    }
    pthread_mutex_unlock(&pool.mutex);
    pthread_cond_signal(&pool.work);
    return served;
}

int FIBER uring_offload(int (*fn)(void *arg), void *arg)
{
    struct job j = {.fn = fn, .arg = arg, .fiber = rt_self()};
    if (!pool_put(&j))
        return fn(arg); /* no thread at all can be had: late is better than never */
    rt_suspend();
    return j.result;
}

uint64_t uring_offload_queued(void)
{
    return __atomic_load_n(&pool.queued, __ATOMIC_RELAXED);
}

void offload_start(unsigned threads)
{
    pool.limit = threads ? MIN(threads, OFFLOAD_THREADS_MAX) : 4;
    pool.stopping = false;
    pthread_mutex_lock(&pool.mutex);
    pool_add();
    pthread_mutex_unlock(&pool.mutex);
}

void offload_stop(void)
{
    pthread_mutex_lock(&pool.mutex);
    CHECK(!pool.head);
    pool.stopping = true;
    pthread_mutex_unlock(&pool.mutex);
    pthread_cond_broadcast(&pool.work);
    for (unsigned i = 0; i < pool.threads; i++)
        pthread_join(pool.ids[i], NULL);
    pool.threads = 0;
}
