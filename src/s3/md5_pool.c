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
    struct hash_stream *sha256[LANES_MAX]; /* of the same bytes, or NULL */
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

static struct str job_data(const struct md5_pool *p, unsigned i)
{
    return str_make(p->jobs[i].data, p->jobs[i].len);
}

static void run_sha256(struct md5_pool *p)
{
    int waits = -1; /* for a second one */
    for (unsigned i = 0; i < p->count; i++) {
        if (!p->sha256[i])
            continue;
        if (waits < 0) {
            waits = (int)i;
            continue;
        }
        hash_stream_update_two(p->sha256[waits], job_data(p, (unsigned)waits), p->sha256[i],
                               job_data(p, i));
        waits = -1;
    }
    if (waits >= 0)
        hash_stream_update(p->sha256[waits], p->jobs[waits].data, p->jobs[waits].len);
}

static void run(struct md5_pool *p)
{
    md5_update_many(p->jobs, p->count);
    run_sha256(p);
    for (unsigned i = 0; i < p->count; i++)
        *p->done[i] = true;
    p->count = 0;
}

void FIBER md5_pool_update(struct md5_pool *p, struct md5 *md5, struct hash_stream *sha256,
                           struct str data)
{
    bool done = false;
    if (data.len < LEAST) {
        md5_update(md5, data.ptr, data.len);
        if (sha256)
            hash_stream_update(sha256, data.ptr, data.len);
        return;
    }
    CHECK(p->count < p->lanes);
    p->jobs[p->count] = (struct md5_job){md5, data.ptr, data.len};
    p->sha256[p->count] = sha256;
    p->done[p->count++] = &done;
    if (p->count == p->lanes) {
        run(p);
        return;
    }
    for (unsigned turns = data.len < LONG ? 1 : TURNS; !done && turns > 0; turns--)
        rt_yield();
    if (!done)
        run(p);
}
