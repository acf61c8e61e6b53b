/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* One object, now: where each shard lies and its state, and what is wrong made whole. */

#include "jobs/internal.h"

struct heal {
    struct jobs *jobs;
    bool repair;
    int (*fn)(const struct heal_chunk *c, void *arg);
    void *arg;
};

static int FIBER heal_chunk(const struct store_place *p, const struct blob_chunk *c, void *arg)
{
    struct heal *h = arg;
    struct heal_chunk told = {.chunk = c, .sound = true};
    blob_verify(h->jobs->config.blob, c, true, told.errors);
    for (unsigned i = 0; i < c->shard_count; i++)
        told.sound = told.sound && told.errors[i] == 0 && c->shards[i].disk != BLOB_DISK_NONE;
    int r = h->fn(&told, h->arg);
    if (r || told.sound || !h->repair)
        return r;
    struct store_repair_result result;
    return store_repair_one(h->jobs->config.store, p, c->id, &result);
}

int FIBER jobs_heal(struct jobs *j, struct bucket_id b, struct str key, bool repair,
                    int (*fn)(const struct heal_chunk *c, void *arg), void *arg)
{
    struct heal h = {j, repair, fn, arg};
    return store_object_chunks(j->config.store, b, key, heal_chunk, &h);
}
