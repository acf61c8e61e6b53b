/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Rebalance: after the disks have changed (one added, one to be drained), all records are walked,
 * and shards that lie elsewhere than the newest placement wants are moved, a page of records at a
 * time by several fibers. The place is kept at the latest every ten seconds. What cannot be moved
 * (a disk is gone, or full) is counted, and the walk repeated after a while until nothing is left.
 *
 * The epoch of the ring and the disks' roles make a goal; the one that was reached is kept, so that
 * a restart knows whether there is anything to do. When it is reached the ring may make its next
 * step, which is another goal.
 *
 * A draining disk is gone once its needles are, and nobody is inside: not when the walk ends,
 * because garbage, and writes that began before it was to be drained, may still lie there; such a
 * write is no needle before it is committed.
 */

#include "base/log.h"
#include "jobs/internal.h"
#include "jobs/job.pb-c.h"

#define FIRST_MS      5000
#define IDLE_MS       10000
#define SETTLE_NS     (60 * RT_S) /* between a move and one for another goal */
#define AGAIN_NS      (60 * RT_S) /* after a walk that left something */
#define KEEP_EVERY_NS (10 * RT_S)
#define BYTES_PER_S   (128 * MIB)
#define CHUNKS_PER_S  2000
#define ROWS_FREE     256 /* rows without anything to move that cost as much as a chunk */
#define MOVERS        8
#define TASKS_MAX     4096 /* chunks of one page */
#define ARENA_MAX     (64 * MIB)

/* A chunk that wants to be moved. */
struct task {
    struct store_place place;
    struct blob_chunk chunk;
};

struct mover {
    struct jobs *jobs;
    struct job *job;
    struct move_state state; /* changed by the job alone; numbers are read atomically */
    bool loaded;
    uint64_t kept_ns, again_ns, moved_ns;
    uint64_t stepped; /* the goal after which the ring was asked for its next step */
    /* of the page at hand */
    struct arena arena;
    struct task *tasks;
    size_t count, next;
    uint64_t rows;
    int err;
};

/* ---- the place ------------------------------------------------------------------------------ */

static int FIBER keep(struct mover *m)
{
    const struct move_state *t = &m->state;
    Jobs__Move pb = JOBS__MOVE__INIT;
    pb.goal = t->goal;
    pb.reached = t->reached;
    pb.walking = t->walking;
    pb.bucket = t->place.bucket;
    pb.kind = t->place.kind;
    pb.row = (ProtobufCBinaryData){t->place.row.len, (uint8_t *)(uintptr_t)t->place.row.ptr};
    pb.rows = t->place.rows;
    pb.total_rows = t->total_rows;
    pb.left = t->left;
    pb.chunks = t->chunks;
    pb.bytes = t->bytes;
    uint8_t *packed = malloc(jobs__move__get_packed_size(&pb) + 1);
    if (!packed)
        return -ENOMEM;
    int r = job_keep(m->job, str_make(packed, jobs__move__pack(&pb, packed)));
    free(packed);
    if (r == 0)
        m->kept_ns = rt_now();
    return r;
}

int move_unpack(struct str cursor, struct move_state *t)
{
    Jobs__Move *pb = jobs__move__unpack(NULL, cursor.len, (const uint8_t *)cursor.ptr);
    if (!pb || pb->row.len > sizeof(t->place.buffer)) {
        if (pb)
            jobs__move__free_unpacked(pb, NULL);
        return -ERR_CORRUPT;
    }
    t->goal = pb->goal;
    t->reached = pb->reached;
    t->walking = pb->walking;
    t->place.bucket = pb->bucket;
    t->place.kind = pb->kind;
    t->place.rows = pb->rows;
    if (pb->row.len)
        memcpy(t->place.buffer, pb->row.data, pb->row.len);
    t->place.row = str_make(t->place.buffer, pb->row.len);
    t->total_rows = pb->total_rows;
    t->left = pb->left;
    t->chunks = pb->chunks;
    t->bytes = pb->bytes;
    jobs__move__free_unpacked(pb, NULL);
    return 0;
}

static int load(struct mover *m)
{
    int r = move_unpack(job_cursor(m->job), &m->state);
    m->loaded = r == 0;
    return r;
}

/* ---- the goal ------------------------------------------------------------------------------- */

/* 0 is no goal. */
static uint64_t goal_of(const struct mover *m)
{
    const struct nodes *nodes = m->jobs->config.nodes;
    uint64_t list[3 * NODES_MAX + 1];
    size_t n = 0;
    list[n++] = blob_epoch(m->jobs->config.blob);
    for (uint32_t i = 0; i < nodes_count(nodes); i++) {
        const struct node *node = nodes_get(nodes, i);
        if (!node || node_role(node) == NODE_RETIRED)
            continue;
        list[n++] = node_number(node);
        list[n++] = node_role(node);
        list[n++] = node_weight(node);
    }
    return hash_xxh3(list, n * sizeof(*list)) | 1;
}

static bool any_draining(const struct nodes *nodes)
{
    for (uint32_t i = 0; i < nodes_count(nodes); i++)
        if (nodes_get(nodes, i) && node_role(nodes_get(nodes, i)) == NODE_DRAINING)
            return true;
    return false;
}

/* ---- a page --------------------------------------------------------------------------------- */

static int copy_task(struct mover *m, const struct store_place *p, const struct blob_chunk *c)
{
    struct task *t = &m->tasks[m->count];
    t->place = *p;
    t->place.key = arena_dup(&m->arena, p->key);
    t->place.upload = arena_dup(&m->arena, p->upload);
    t->chunk = *c;
    t->chunk.shards = arena_array(&m->arena, struct blob_shard, c->shard_count);
    if (!t->chunk.shards || !t->place.key.ptr || (p->upload.len && !t->place.upload.ptr))
        return -ENOMEM;
    memcpy(t->chunk.shards, c->shards, c->shard_count * sizeof(*c->shards));
    m->count++;
    return 0;
}

static bool is_draining(const struct mover *m, const struct blob_chunk *c)
{
    for (unsigned i = 0; i < c->shard_count; i++) {
        const struct node *n = c->shards[i].disk == BLOB_DISK_NONE
                                   ? NULL
                                   : nodes_get(m->jobs->config.nodes, c->shards[i].disk);
        if (n && node_role(n) == NODE_DRAINING)
            return true;
    }
    return false;
}

/* Of a page with more than fits the rest is left for the next walk. */
static int note_chunk(const struct store_place *p, const struct blob_chunk *c, void *arg)
{
    struct mover *m = arg;
    if (!blob_misplaced(m->jobs->config.blob, c) || (p->upload.len && !is_draining(m, c)))
        return 0; /* parts soon become an object, or garbage */
    if (m->count == TASKS_MAX) {
        m->state.left++;
        return 0;
    }
    return copy_task(m, p, c);
}

static int FIBER move_one(struct mover *m, const struct task *t)
{
    struct store_moved moved;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, ARENA_MAX);
    int r = store_move(m->jobs->config.store, &t->place, &t->chunk, &a, &moved);
    if (r == -ECANCELED || r == -ENOMEM || r == -ERR_BUSY)
        return r;
    m->state.left += r < 0 ? 1 : moved.left; /* unreadable, full: another time */
    if (r == 0 && moved.moved) {
        m->state.chunks++;
        m->state.bytes += moved.bytes;
        m->moved_ns = rt_now();
    }
    return job_pace(m->job, r == 0 ? moved.bytes : 0, 1);
}

static int FIBER mover_main(void *arg)
{
    struct mover *m = arg;
    while (m->err == 0 && m->next < m->count) {
        int r = move_one(m, &m->tasks[m->next++]);
        if (r < 0)
            m->err = r;
    }
    return 0;
}

static int FIBER move_noted(struct mover *m)
{
    struct rt_fiber *fibers[MOVERS];
    unsigned n = 0;
    m->next = 0;
    m->err = 0;
    while (n < MOVERS && n < m->count && rt_spawn(&fibers[n], "mover", mover_main, m) == 0)
        n++;
    if (n == 0)
        mover_main(m);
    for (unsigned i = 0; i < n; i++)
        rt_join(fibers[i]);
    return m->err;
}

static int FIBER walk_page(struct mover *m)
{
    struct store_walk_place *place = malloc(sizeof(*place));
    if (!place)
        return -ENOMEM;
    *place = m->state.place;
    place->row.ptr = place->buffer;
    m->count = 0;
    arena_reset(&m->arena);
    int r = store_chunks(m->jobs->config.store, place, note_chunk, m);
    if (r == 0)
        r = move_noted(m);
    if (r == 0) {
        uint64_t rows = place->rows - m->state.place.rows;
        m->state.place = *place;
        m->state.place.row.ptr = m->state.place.buffer;
        r = job_spend(m->job, 0, rows / ROWS_FREE);
    }
    free(place);
    return r;
}

/* ---- walks ---------------------------------------------------------------------------------- */

static void tell(const struct mover *m, const char *what)
{
    struct log_line line;
    log_begin(&line, LOG_INFO, what);
    log_u64(&line, "chunks", m->state.chunks);
    log_u64(&line, "bytes", m->state.bytes);
    log_u64(&line, "left", m->state.left);
    log_end(&line);
}

/*
 * For another goal shards may go back to where they came from, and must not come there while the
 * collector is about to delete what they left behind.
 */
static int FIBER let_garbage_go(struct mover *m, uint64_t goal)
{
    uint64_t until = m->moved_ns + SETTLE_NS;
    if (goal == m->state.goal || m->moved_ns == 0)
        return 0;
    int r = 0;
    while (r == 0 && rt_now() < until)
        r = job_rest(m->job, until);
    return r;
}

static int FIBER begin_walk(struct mover *m, uint64_t goal)
{
    struct move_state *t = &m->state;
    uint64_t rows = 0;
    int r = let_garbage_go(m, goal);
    if (r == 0)
        r = store_count_rows(m->jobs->config.store, &rows);
    if (r < 0)
        return r;
    if (t->goal != goal)
        t->chunks = t->bytes = 0;
    t->goal = goal;
    t->walking = true;
    t->left = 0;
    t->total_rows = rows;
    t->place = (struct store_walk_place){.row = {t->place.buffer, 0}};
    return keep(m);
}

static int FIBER end_walk(struct mover *m)
{
    struct move_state *t = &m->state;
    t->walking = false;
    if (t->left == 0)
        t->reached = t->goal;
    m->again_ns = rt_now() + AGAIN_NS;
    if (t->chunks || t->left)
        tell(m, t->left ? "not all shards could be moved yet" : "all shards are in their places");
    return keep(m);
}

/* A disk from which everything has gone leaves the store. */
static int FIBER retire_empty(struct mover *m)
{
    struct nodes *nodes = m->jobs->config.nodes;
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < nodes_count(nodes); i++) {
        struct node *n = nodes_get(nodes, i);
        struct node_stats stats;
        if (!n || node_role(n) != NODE_DRAINING || node_state(n) == NODE_GONE || !node_idle(n))
            continue;
        r = node_checkpoint(n); /* what was deleted counts */
        node_stats(n, &stats);
        if (r == 0 && stats.disk.needles == 0 && m->jobs->config.disk_emptied)
            r = m->jobs->config.disk_emptied(m->jobs->config.disks_arg, i);
    }
    return r == -ERR_DISK_GONE ? 0 : r;
}

static int FIBER step_idle(struct mover *m)
{
    uint64_t goal = goal_of(m);
    bool draining = any_draining(m->jobs->config.nodes);
    if (goal != m->state.goal)
        return begin_walk(m, goal);
    if (m->state.reached == goal && m->stepped != goal && m->jobs->config.ring_step) {
        int r = m->jobs->config.ring_step(m->jobs->config.disks_arg);
        if (r < 0)
            return r;
        m->stepped = goal;
        return JOB_AGAIN;
    }
    if (draining && m->state.reached == goal) {
        int r = retire_empty(m);
        if (r < 0)
            return r;
    }
    if ((draining || m->state.reached != goal) && rt_now() >= m->again_ns)
        return begin_walk(m, goal);
    return JOB_IDLE;
}

static int FIBER step_walk(struct mover *m)
{
    if (goal_of(m) != m->state.goal)
        return begin_walk(m, goal_of(m));
    int r = walk_page(m);
    if (r == -ERR_BUSY) /* the sweep runs */
        return job_rest(m->job, rt_now() + RT_S);
    return r == 0 && m->state.place.end ? end_walk(m) : r;
}

static int FIBER move_round(struct job *job, void *arg)
{
    struct mover *m = arg;
    int r = m->loaded ? 0 : load(m);
    if (r == 0)
        r = m->state.walking ? step_walk(m) : step_idle(m);
    const struct move_state *t = &m->state;
    job_set_progress(job, t->walking ? t->place.rows : 0,
                     t->walking ? MAX(t->total_rows, t->place.rows) : 0);
    if (r == JOB_AGAIN && rt_now() - m->kept_ns >= KEEP_EVERY_NS)
        r = keep(m);
    return r == JOB_AGAIN ? job_spend(job, 0, 0) : r;
}

int move_add(struct jobs *j)
{
    if (!j->config.meta || !j->config.blob)
        return 0; /* without a place, or without the disks, nothing is moved */
    struct mover *m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    m->jobs = j;
    arena_init(&m->arena, ARENA_MAX);
    j->mover = m;
    m->tasks = calloc(TASKS_MAX, sizeof(*m->tasks));
    if (!m->tasks)
        return -ENOMEM;
    struct job_def def = {
        .name = "rebalance",
        .round = move_round,
        .arg = m,
        .bytes_per_s = j->config.move_bytes_per_s ? j->config.move_bytes_per_s : BYTES_PER_S,
        .items_per_s = CHUNKS_PER_S,
        .first_ms = FIRST_MS,
        .interval_ms = IDLE_MS,
        .gives_way = true,
    };
    return schedule_add(j->schedule, &def, &m->job);
}

void move_wake(struct mover *m)
{
    if (m)
        job_wake(m->job);
}

void move_free(struct mover *m)
{
    if (!m)
        return;
    arena_release(&m->arena);
    free(m->tasks);
    free(m);
}
