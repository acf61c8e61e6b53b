/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Disks that stay gone. After a while the others take over what such a disk held, without anyone
 * being asked: it is away then, which is for the owner of the table of disks to write down and for
 * repair and rebalance to follow. Should it come back, it is a disk like the others again: what a
 * record still says to be there is read from there, what others have taken over is swept.
 *
 * What counts is how long the server has run without the disk, over all of its starts: the job's
 * row keeps it, as of some seconds ago at most. It is no point in time, for neither a clock that
 * jumps nor a shelf that is switched on after its server says anything of a disk.
 *
 * Invariant: of each disk that is gone and not away, `before_ms` is what earlier starts have seen,
 * and `gone_ns` since when this one has.
 */

#include "jobs/internal.h"
#include "jobs/job.pb-c.h"

#define FIRST_MS    1000
#define INTERVAL_MS 1000
#define LOOK_ROUNDS 5
#define KEEP_NS     (10 * RT_S) /* what a crash takes of the clock, at most */

struct spare_clock {
    bool gone;
    uint64_t gone_ns, before_ms;
};

struct spares {
    struct jobs *jobs;
    bool loaded, dirty; /* dirty: the row is not of the disks that are gone now */
    uint64_t rounds, kept_ns;
    struct spare_clock clocks[NODES_MAX];
};

/* ---- the clocks ----------------------------------------------------------------------------- */

static int load(struct spares *s, struct job *job)
{
    struct str cursor = job_cursor(job);
    Jobs__Spares *pb = jobs__spares__unpack(NULL, cursor.len, (const uint8_t *)cursor.ptr);
    int r = pb ? 0 : -ERR_CORRUPT;
    for (size_t i = 0; r == 0 && i < pb->n_disks; i++) {
        if (pb->disks[i]->number < NODES_MAX)
            s->clocks[pb->disks[i]->number].before_ms = pb->disks[i]->gone_ms;
        else
            r = -ERR_CORRUPT;
    }
    if (pb)
        jobs__spares__free_unpacked(pb, NULL);
    s->loaded = r == 0;
    return r;
}

static uint64_t gone_for_ms(const struct spare_clock *c)
{
    return c->before_ms + (rt_now() - c->gone_ns) / RT_MS;
}

static int FIBER keep(struct spares *s, struct job *job)
{
    Jobs__SpareDisk disks[NODES_MAX], *list[NODES_MAX];
    uint8_t packed[NODES_MAX * 24];
    Jobs__Spares pb = JOBS__SPARES__INIT;
    pb.disks = list;
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        if (!s->clocks[i].gone)
            continue;
        list[pb.n_disks] = &disks[pb.n_disks];
        jobs__spare_disk__init(&disks[pb.n_disks]);
        disks[pb.n_disks].number = i;
        disks[pb.n_disks].gone_ms = gone_for_ms(&s->clocks[i]);
        pb.n_disks++;
    }
    CHECK(jobs__spares__get_packed_size(&pb) <= sizeof(packed));
    int r = job_keep(job, str_make(packed, jobs__spares__pack(&pb, packed)));
    if (r == 0) {
        s->kept_ns = rt_now();
        s->dirty = false;
    }
    return r;
}

/* True: it started or stopped. */
static bool clock_note(struct spare_clock *c, const struct node *n)
{
    bool counts = n && (node_role(n) == NODE_ACTIVE || node_role(n) == NODE_DRAINING);
    bool gone = counts && node_state(n) == NODE_GONE, was = c->gone || c->before_ms > 0;
    if (!gone) {
        *c = (struct spare_clock){0};
        return was;
    }
    if (c->gone && c->gone_ns == node_gone_ns(n))
        return false;
    if (c->gone) /* it was back in between */
        c->before_ms = 0;
    c->gone = true;
    c->gone_ns = node_gone_ns(n);
    return true;
}

/* Whether any runs. */
static bool clocks_note(struct spares *s)
{
    bool any = false;
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        s->dirty |= clock_note(&s->clocks[i], nodes_get(s->jobs->config.nodes, i));
        any |= s->clocks[i].gone;
    }
    return any;
}

/* ---- the round ------------------------------------------------------------------------------ */

/* 1: away, 0: back, -1: as it is. */
static int wanted(const struct spares *s, const struct node *n)
{
    const struct spare_clock *c = &s->clocks[node_number(n)];
    uint64_t after_ms = s->jobs->config.spare_after_ms;
    if (node_role(n) == NODE_AWAY)
        return node_state(n) == NODE_GONE ? -1 : 0;
    return c->gone && after_ms && gone_for_ms(c) >= after_ms ? 1 : -1;
}

static int FIBER decide(struct spares *s)
{
    struct jobs *j = s->jobs;
    int r = 0;
    for (uint32_t i = 0; r >= 0 && i < nodes_count(j->config.nodes); i++) {
        const struct node *n = nodes_get(j->config.nodes, i);
        int away = n ? wanted(s, n) : -1;
        if (away < 0)
            continue;
        r = j->config.disk_away(j->config.disks_arg, i, away == 1);
        if (r > 0 && away == 0)
            sweep_again(j);
    }
    return r;
}

static int FIBER spares_round(struct job *job, void *arg)
{
    struct spares *s = arg;
    const struct jobs_config *config = &s->jobs->config;
    int r = s->loaded ? 0 : load(s, job);
    if (r < 0)
        return r;
    if (s->rounds++ % LOOK_ROUNDS == 0 && config->disks_look)
        config->disks_look(config->disks_arg);
    bool any = clocks_note(s);
    if (s->dirty || (any && rt_now() - s->kept_ns >= KEEP_NS))
        r = keep(s, job);
    int decided = decide(s);
    r = r < 0 ? r : decided;
    return r < 0 ? r : JOB_IDLE;
}

int spares_add(struct jobs *j)
{
    if (!j->config.disk_away)
        return 0;
    struct spares *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->jobs = j;
    j->spares = s;
    struct job_def def = {
        .name = "spares",
        .round = spares_round,
        .arg = s,
        .first_ms = FIRST_MS,
        .interval_ms = INTERVAL_MS,
    };
    struct job *job;
    return schedule_add(j->schedule, &def, &job);
}

void spares_free(struct spares *s)
{
    free(s);
}
