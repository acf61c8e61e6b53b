/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The worker of a mirror (mirrors.h): the fiber that alone writes to its store, revives it, makes
 * it like the others and in the end closes it. What it may do in which state stands in mirrors.c.
 */

#include "meta/mirrors.h"

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
    struct kv *kv;
    struct kv_batch *batch;
};

static int BLOCKING write_store(void *arg)
{
    struct write_job *j = arg;
    return kv_write(j->kv, j->batch, true);
}

static void FIBER do_write(struct mirror *m, struct shared_batch *batch)
{
    struct write_job j = {m->kv, batch->batch};
    int r = rt_offload(write_store, &j);
    shared_batch_unref(batch);
    rt_lock(&m->set->lock);
    m->writing = false;
    m->result = r;
    rt_wake_all(&m->set->done);
    rt_unlock(&m->set->lock);
}

int BLOCKING mirror_recover_store(void *arg)
{
    return kv_recover(arg);
}

/* One that was short of something, or hung: when it works again it is rebuilt. */
static void FIBER revive(struct mirror *m)
{
    mirror_wait_quiet(m);
    int r = rt_offload(mirror_recover_store, m->kv);
    rt_lock(&m->set->lock);
    if (r == 0)
        mirror_set_rebuilding(m);
    else if (out_of_means(r))
        m->not_before_ns = rt_now() + MIRROR_REVIVE_PAUSE_NS;
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
        m->not_before_ns = rt_now() + MIRROR_REVIVE_PAUSE_NS;
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
