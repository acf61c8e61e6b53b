/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The worker of a mirror (mirrors.h): the fiber that alone writes to its store, revives it, makes
 * it like the others and in the end closes it. What it may do in which state stands in mirrors.c.
 */

#include "meta/mirrors.h"

#define LINGER_NS       (5 * RT_MS) /* a thread waits so long for the next batch */
#define PAUSE_DOUBLINGS 9U /* one that took part for as long as the longest pause begins anew */

enum work { WORK_NONE, WORK_WRITE, WORK_REVIVE, WORK_REBUILD, WORK_END };

/* The lock is held. */
static enum work find_work(const struct mirror *m, bool pausing)
{
    if (m->to)
        return WORK_WRITE;
    if (m->retired || m->set->closed)
        return WORK_END;
    if (m->state == META_MIRROR_LOST && !pausing)
        return WORK_REVIVE;
    if (m->state == META_MIRROR_REBUILDING && (!list_empty(&m->backlog) || (!m->ready && !pausing)))
        return WORK_REBUILD;
    return WORK_NONE;
}

/*
 * The clock is read once, for what there is to do and for how long to wait: a pause that ended
 * between two looks at it would be waited for without end.
 */
static enum work FIBER next_work(struct mirror *m, struct shared_batch **ret)
{
    struct mirrors *set = m->set;
    enum work w;
    rt_lock(&set->lock);
    while (true) {
        bool pausing = rt_now() < m->not_before_ns;
        w = find_work(m, pausing);
        if (w != WORK_NONE)
            break;
        bool ends = pausing && m->state != META_MIRROR_IN;
        rt_wait_uncancelled(&m->wake, &set->lock, ends ? m->not_before_ns : RT_NEVER);
    }
    *ret = TAKE_PTR(m->to);
    rt_unlock(&set->lock);
    return w;
}

struct write_job {
    struct mirror *m;
    struct shared_batch *batch;
};

/* The next batch, if it comes soon and nothing else is to be done. The lock is held. */
static struct shared_batch *BLOCKING await_batch(struct mirror *m)
{
    uint64_t deadline = rt_now() + LINGER_NS;
    while (m->state == META_MIRROR_IN && find_work(m, true) == WORK_NONE &&
           rt_wait_blocking(&m->wake, &m->set->lock, deadline) == 0)
        ;
    return TAKE_PTR(m->to);
}

/* While one batch follows another this stays on its thread: the way over a busy loop and back took
 * longer than writing did. */
static int BLOCKING write_batches(void *arg)
{
    struct write_job *j = arg;
    struct mirror *m = j->m;
    struct shared_batch *batch = j->batch;
    while (batch) {
        int r = kv_write(m->kv, batch->batch, true);
        shared_batch_unref(batch);
        rt_lock(&m->set->lock);
        m->writing = false;
        m->result = r;
        rt_wake_all(&m->set->done);
        batch = await_batch(m);
        rt_unlock(&m->set->lock);
    }
    return 0;
}

static void FIBER do_write(struct mirror *m, struct shared_batch *batch)
{
    struct write_job j = {m, batch};
    (void)rt_offload(write_batches, &j);
}

int BLOCKING mirror_recover_store(void *arg)
{
    return kv_recover(arg);
}

void mirror_pause(struct mirror *m, bool took_part)
{
    uint64_t now = rt_now(), steady = m->set->pause_ns << PAUSE_DOUBLINGS;
    if (took_part && now - m->in_since_ns >= steady)
        m->falls = 0;
    m->not_before_ns = now + (m->set->pause_ns << m->falls);
    m->falls = MIN(m->falls + 1, PAUSE_DOUBLINGS);
}

/* Whether it works, and would not be left out again at once. */
static int BLOCKING try_store(void *arg)
{
    int r = kv_recover(arg), room = r < 0 ? 0 : kv_room(arg);
    return room == -ENOSPC ? room : r;
}

/* One that was short of something, or hung: when it works again it is rebuilt. */
static void FIBER revive(struct mirror *m)
{
    mirror_wait_quiet(m);
    int r = rt_offload(try_store, m->kv);
    rt_lock(&m->set->lock);
    if (r == 0)
        mirror_set_rebuilding(m);
    else if (out_of_means(r))
        m->not_before_ns = rt_now() + m->set->pause_ns;
    else
        m->retired = true;
    rt_unlock(&m->set->lock);
}

bool mirror_may_come_back(int err)
{
    return out_of_means(err) || err == -ETIMEDOUT || err == -ENOMEM || err == -ERR_LIMIT;
}

static void FIBER rebuild(struct mirror *m)
{
    struct mirrors *set = m->set;
    int r = rebuild_step(m);
    rt_lock(&set->lock);
    if (r < 0 && m->state == META_MIRROR_REBUILDING) {
        mirror_set_state(m, META_MIRROR_LOST, r);
        m->retired = !mirror_may_come_back(r);
        mirror_pause(m, false);
    }
    bool kick = m->state == META_MIRROR_REBUILDING && m->rebuild.copied;
    rt_unlock(&set->lock);
    if (kick)
        set->kick(set->kick_arg);
}

static void FIBER end_work(struct mirror *m)
{
    struct mirrors *set = m->set;
    if (!set->closed)
        mirror_wait_quiet(m);
    rt_offload(mirror_close_store, TAKE_PTR(m->kv));
    rt_lock(&set->lock);
    m->has_worker = false;
    rebuild_release(m);
    if (m->leaving && !set->closed) {
        mirrors_take_out(set, m);
        mirror_free(m);
        rt_wake_all(&set->left);
    }
    rt_wake_all(&set->done);
    mirrors_unlock_and_unref(set);
}

static void FIBER work(void *arg)
{
    struct mirror *m = arg;
    struct shared_batch *batch;
    enum work w;
    while ((w = next_work(m, &batch)) != WORK_END) {
        if (w == WORK_WRITE)
            do_write(m, batch);
        else if (w == WORK_REVIVE)
            revive(m);
        else
            rebuild(m);
    }
    end_work(m);
}

int FIBER mirror_start_worker(struct mirror *m)
{
    struct mirrors *set = m->set;
    rt_lock(&set->lock);
    bool has = m->has_worker;
    if (!has) {
        m->has_worker = true;
        set->refs++;
    }
    rt_unlock(&set->lock);
    int r = has ? 0 : rt_spawn_detached("meta mirror", work, m);
    if (r < 0) {
        rt_lock(&set->lock);
        m->has_worker = false;
        mirrors_unlock_and_unref(set);
    }
    return r;
}
