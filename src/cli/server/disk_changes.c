/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Changes of the disks as the admin door asks for them: on any thread, while the engine's disks
 * belong to thread 0. Each is a fiber there, for whose end the asking one waits.
 */

#include "cli/server/disk_changes.h"
#include <assert.h>
#include <stdio.h>

struct change {
    struct engine *engine;
    const struct admin_disk_change *what;
    uint32_t number;
    char *why;
    int err;
    struct rt_lock lock;
    struct rt_waitq done_wait;
    bool done;
};

static int FIBER apply(struct change *c)
{
    const struct admin_disk_change *w = c->what;
    switch (w->action) {
    case ADMIN_DISK_ADD:
        return engine_disk_add(c->engine, w->path, &c->number, c->why);
    case ADMIN_DISK_REPLACE:
        return engine_disk_replace(c->engine, w->number, w->path, &c->number, c->why);
    case ADMIN_DISK_DRAIN:
    case ADMIN_DISK_UNDRAIN:
        c->number = w->number;
        return engine_disk_drain(c->engine, w->number, w->action == ADMIN_DISK_UNDRAIN, c->why);
    case ADMIN_DISK_SET:
        c->number = w->number;
        return engine_disk_set(c->engine, w->number, w->weight, w->zone, c->why);
    }
    return -EINVAL;
}

static void FIBER change_fiber(void *arg)
{
    struct change *c = arg;
    c->err = apply(c);
    if (c->err == 0 && c->engine->jobs)
        jobs_disks_changed(c->engine->jobs);
    rt_lock(&c->lock);
    c->done = true;
    rt_wake_all(&c->done_wait);
    rt_unlock(&c->lock);
}

int FIBER disk_change(void *engine, const struct admin_disk_change *what, uint32_t *ret_number,
                      char why[ADMIN_WHY_MAX])
{
    static_assert(ADMIN_WHY_MAX >= ENGINE_WHY_MAX, "the sentence fits");
    struct change c = {.engine = engine, .what = what, .why = why};
    rt_lock_init(&c.lock);
    rt_waitq_init(&c.done_wait);
    int r = rt_spawn_on(0, "disk-change", change_fiber, &c);
    if (r < 0)
        return r;
    rt_lock(&c.lock);
    while (!c.done)
        rt_wait_uncancelled(&c.done_wait, &c.lock, RT_NEVER); /* its frame is ours */
    rt_unlock(&c.lock);
    *ret_number = c.number;
    return c.err;
}
