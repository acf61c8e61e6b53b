/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "jobs/internal.h"

/* The door, held until leave(); NULL: there is none. */
static const struct jobs_objects *enter(struct jobs *j)
{
    rt_lock(&j->door.lock);
    bool there = j->door.open;
    j->door.users += there;
    rt_unlock(&j->door.lock);
    return there ? &j->door.objects : NULL;
}

static void leave(struct jobs *j)
{
    rt_lock(&j->door.lock);
    if (--j->door.users == 0)
        rt_wake_all(&j->door.left);
    rt_unlock(&j->door.lock);
}

void jobs_door_init(struct jobs_door *d)
{
    rt_lock_init(&d->lock);
    rt_waitq_init(&d->left);
}

/* A change waits for those inside, so that what they hold stays what it is. */
void FIBER jobs_set_objects(struct jobs *j, const struct jobs_objects *objects)
{
    struct jobs_objects next = objects ? *objects : (struct jobs_objects){0};
    rt_lock(&j->door.lock);
    j->door.open = false;
    while (j->door.users > 0) /* RT_NEVER: each ends with what it does to the disks */
        (void)rt_wait_uncancelled(&j->door.left, &j->door.lock, RT_NEVER);
    j->door.objects = next;
    j->door.open = objects != NULL;
    rt_unlock(&j->door.lock);
}

int FIBER jobs_object_read(struct jobs *j, const struct jobs_reading *what, jobs_object_sink *sink,
                           void *arg, struct jobs_object *ret)
{
    const struct jobs_objects *o = enter(j);
    if (!o)
        return -ERR_UNAVAILABLE;
    int r = o->read(o->arg, what, sink, arg, ret);
    leave(j);
    return r;
}

int FIBER jobs_object_put(struct jobs *j, const struct jobs_actor *who,
                          const struct jobs_writing *what, struct str data)
{
    CHECK(data.len <= JOBS_OBJECT_MAX);
    const struct jobs_objects *o = enter(j);
    if (!o)
        return -ERR_UNAVAILABLE;
    int r = o->put(o->arg, who, what, data);
    leave(j);
    return r;
}

int FIBER jobs_object_may_put(struct jobs *j, const struct jobs_actor *who,
                              const struct jobs_writing *what)
{
    const struct jobs_objects *o = enter(j);
    if (!o)
        return -ERR_UNAVAILABLE;
    int r = o->may_put(o->arg, who, what);
    leave(j);
    return r;
}

int FIBER jobs_object_judge(struct jobs *j, struct str user, const char *action, struct str bucket,
                            struct str key)
{
    const struct jobs_objects *o = enter(j);
    if (!o)
        return -ERR_UNAVAILABLE;
    int r = o->judge(o->arg, user, action, bucket, key);
    leave(j);
    return r;
}

int FIBER jobs_object_batch_tags(struct jobs *j, struct str tags)
{
    const struct jobs_objects *o = enter(j);
    if (!o)
        return -ERR_UNAVAILABLE;
    int r = o->batch_tags(o->arg, tags);
    leave(j);
    return r;
}

int FIBER jobs_object_batch(struct jobs *j, const struct batch_state *s, struct batch_step *step)
{
    const struct jobs_objects *o = enter(j);
    if (!o)
        return -ERR_UNAVAILABLE;
    int r = o->batch(o->arg, s, step);
    leave(j);
    return r;
}

bool jobs_objects_are_lent(struct jobs *j)
{
    bool lent = enter(j) != NULL;
    if (lent)
        leave(j);
    return lent;
}

int jobs_object_grants(struct jobs *j, const struct store_object *o, struct buf *ret)
{
    const struct jobs_objects *door = enter(j);
    if (!door)
        return -ERR_UNAVAILABLE;
    int r = door->grants(door->arg, o, ret);
    leave(j);
    return r;
}
