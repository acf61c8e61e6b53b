/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Invariants: between two suspensions `count` < the number of lanes; jobs[i] belongs to a fiber
 * that is inside md5_pool_update, and done[i] points into its frame, until the job has run.
 */

#include "s3/md5_pool.h"

#include "rt/rt.h"

#define LANES_MAX 16
#define LEAST     512        /* bytes; below, gathering costs more than it gains */
#define LONG      (32 * KIB) /* worth more than one turn of the loop */
#define TURNS     8          /* then: the next pieces of the others are on their way */

struct md5_pool {
    unsigned lanes, count;
    struct md5_job jobs[LANES_MAX];
    bool *done[LANES_MAX];
};

struct md5_pool *md5_pools_new(unsigned count)
{
    struct md5_pool *pools = calloc(count, sizeof(*pools));
    for (unsigned i = 0; pools && i < count; i++)
        pools[i].lanes = MIN(md5_lanes(), (unsigned)LANES_MAX);
    return pools;
}

void md5_pools_free(struct md5_pool *pools)
{
    free(pools);
}

struct md5_pool *md5_pool_at(struct md5_pool *pools, unsigned thread)
{
    return &pools[thread];
}

static void run(struct md5_pool *p)
{
    md5_update_many(p->jobs, p->count);
    for (unsigned i = 0; i < p->count; i++)
        *p->done[i] = true;
    p->count = 0;
}

void FIBER md5_pool_update(struct md5_pool *p, struct md5 *md5, const void *data, size_t len)
{
    bool done = false;
    if (len < LEAST) {
        md5_update(md5, data, len);
        return;
    }
    CHECK(p->count < p->lanes);
    p->jobs[p->count] = (struct md5_job){md5, data, len};
    p->done[p->count++] = &done;
    if (p->count == p->lanes) {
        run(p);
        return;
    }
    for (unsigned turns = len < LONG ? 1 : TURNS; !done && turns > 0; turns--)
        rt_yield();
    if (!done)
        run(p);
}
