/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Rewrites volumes that are mostly dead, while that frees space, and has the needle index written
 * out, so that the next start replays little. Looking for work costs next to nothing, so that is
 * done often: what dies between two looks is space that is taken for nothing.
 */

#include "jobs/internal.h"

#define INTERVAL_MS   1000
#define CHECKPOINT_MS 10000
#define BYTES_PER_S   (64 * MIB) /* freed, of a disk */
#define HURRY         4 /* times that, for each time that a third as much is dead as lives */
#define HURRY_MOST    64
#define HURRY_MIN     (64 * MIB)

/* One disk's share of a round. */
struct task {
    struct jobs *jobs;
    struct node *node;
    bool checkpoint;
    struct rt_fiber *fiber;
    int err;
};

/* The more is dead beyond what a disk would let lie, the more haste: else the rate at which clients
 * overwrite would decide how much of it comes together. */
static uint64_t haste(struct node *n)
{
    struct node_stats s;
    node_stats(n, &s);
    uint64_t times = s.disk.dead_bytes / MAX(HURRY_MIN, s.disk.live_bytes / 3);
    return times ? MIN(HURRY * times, (uint64_t)HURRY_MOST) : 1;
}

/* Each disk its share, as things are now. */
static void set_pace(struct jobs *j)
{
    uint64_t one = j->config.compact_bytes_per_s ? j->config.compact_bytes_per_s : BYTES_PER_S;
    uint64_t all = 0;
    for (uint32_t i = 0; i < nodes_count(j->config.nodes); i++) {
        struct node *n = nodes_get(j->config.nodes, i);
        if (n && node_state(n) != NODE_GONE)
            all += haste(n) * one;
    }
    job_set_pace(j->compact, MAX(all, one), 0);
}

/* Volumes of one disk, as long as that frees space. */
static int FIBER compact_disk(struct jobs *j, struct node *n)
{
    uint64_t freed;
    int r;
    do {
        freed = 0;
        r = node_compact(n, &freed);
        if (r == 0 && freed) {
            jobs_count(&j->compact_runs, 1);
            set_pace(j);
            r = job_pace(j->compact, freed, 1);
        }
    } while (r == 0 && freed);
    return r;
}

static unsigned interval_ms(const struct jobs *j, unsigned usual_ms)
{
    return j->config.compact_interval_ms ? j->config.compact_interval_ms : usual_ms;
}

/* Bounds what the next start has to replay. */
static int FIBER checkpoint_disk(struct jobs *j, struct node *n)
{
    struct node_stats stats;
    uint64_t *done = &j->checkpointed[node_number(n)];
    node_stats(n, &stats);
    if (stats.disk.appends == *done)
        return 0;
    int r = node_checkpoint(n);
    if (r == 0)
        *done = stats.disk.appends;
    return r;
}

static int FIBER task_main(void *arg)
{
    struct task *t = arg;
    t->err = compact_disk(t->jobs, t->node);
    if (t->err == 0 && t->checkpoint)
        t->err = checkpoint_disk(t->jobs, t->node);
    return 0;
}

/* All disks at once: one that is slow or fails does not hold up the others. */
static int FIBER run_tasks(struct task *tasks, size_t count)
{
    int first = 0;
    for (size_t i = 0; i < count; i++)
        if (rt_spawn(&tasks[i].fiber, "compact", task_main, &tasks[i]) != 0)
            task_main(&tasks[i]); /* out of fibers */
    for (size_t i = 0; i < count; i++) {
        if (tasks[i].fiber)
            rt_join(tasks[i].fiber);
        first = first ? first : tasks[i].err;
    }
    return first;
}

static bool checkpoint_due(struct jobs *j)
{
    if (rt_now() < j->checkpoint_ns)
        return false;
    j->checkpoint_ns = rt_now() + interval_ms(j, CHECKPOINT_MS) * RT_MS;
    return true;
}

static int FIBER compact_round(struct job *job, void *arg)
{
    struct jobs *j = arg;
    size_t count = 0;
    struct task *tasks = calloc(nodes_count(j->config.nodes) + 1, sizeof(*tasks));
    if (!tasks)
        return -ENOMEM;
    bool checkpoint = checkpoint_due(j);
    for (uint32_t i = 0; i < nodes_count(j->config.nodes); i++) {
        struct node *n = nodes_get(j->config.nodes, i);
        if (n && node_state(n) != NODE_GONE)
            tasks[count++] = (struct task){.jobs = j, .node = n, .checkpoint = checkpoint};
    }
    set_pace(j);
    int r = run_tasks(tasks, count);
    free(tasks);
    return r < 0 ? r : JOB_IDLE;
}

int compact_add(struct jobs *j)
{
    const struct jobs_config *c = &j->config;
    struct job_def def = {
        .name = "compact",
        .round = compact_round,
        .arg = j,
        .bytes_per_s = c->compact_bytes_per_s ? c->compact_bytes_per_s : BYTES_PER_S,
        .first_ms = interval_ms(j, INTERVAL_MS),
        .interval_ms = interval_ms(j, INTERVAL_MS),
    };
    return schedule_add(j->schedule, &def, &j->compact);
}
