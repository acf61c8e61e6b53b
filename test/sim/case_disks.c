/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What several disks have of their own: shards that look like those wanted and are of another
 * encoding; disks that fail within a write; shards that are moved to and fro, and objects from
 * class to class, beside the garbage collection and the orphan sweep, until the power goes.
 */

#include "ec/stripe.h"
#include "sim/cases.h"
#include "sim/store_model.h"
#include "store/upkeep/tiers.h"

#define DISK_BYTES (64 * MIB)
#define BLOBS      4u
#define LEN_SHORT  (200 * KIB) /* copied */
#define LEN_LONG   (1500 * KIB)

static void one_life(struct sm *m, int (*life)(void *sm))
{
    sm_run(m, life, "life");
    sm_release(m);
}

/* ---- blobs ---------------------------------------------------------------------------------- */

/* A blob of a length and bytes that its tag decides. */
struct some_blob {
    struct sm *m;
    uint64_t tag, len_bytes, at;
    struct arena arena;
    struct blob_layout layout;
};

static void blob_init(struct some_blob *b, struct sm *m, struct sim_random *r, uint64_t tag)
{
    *b = (struct some_blob){.m = m, .tag = tag};
    b->len_bytes = 1 + sim_random_below(r, sim_random_one_in(r, 2) ? LEN_SHORT : LEN_LONG);
    arena_init(&b->arena, 0);
}

static void FIBER blob_write_one(struct some_blob *b)
{
    struct blob_writer *w;
    uint8_t *data = malloc(b->len_bytes);
    history_fill(data, b->len_bytes, b->tag);
    EXPECT_OK(b->m->h, blob_begin(b->m->blob, BLOB_STANDARD, b->len_bytes, &w), "begin");
    EXPECT_OK(b->m->h, blob_write(w, data, b->len_bytes), "write");
    EXPECT_OK(b->m->h, blob_finish(w, &b->arena, &b->layout), "finish");
    free(data);
}

static int blob_sink(const void *data, size_t len, void *arg)
{
    struct some_blob *b = arg;
    EXPECT(b->m->h, history_fill_differs_at(data, len, b->tag, b->at) < 0,
           "blob %llu gives wrong bytes", (unsigned long long)b->tag);
    b->at += len;
    return 0;
}

static void FIBER blob_read_one(struct some_blob *b)
{
    b->at = 0;
    EXPECT_OK(b->m->h, blob_read(b->m->blob, &b->layout, 0, b->len_bytes, blob_sink, b, NULL),
              "read");
}

/* ---- two encodings -------------------------------------------------------------------------- */

/* In the place of a shard lies one of the same name and length: what an encoding before or after
 * this one would have left there. */
static void FIBER put_another(struct sm *m, const struct blob_chunk *c, uint16_t shard)
{
    struct blob_shard *at = &c->shards[shard];
    struct node *n = nodes_get(&m->nodes, at->disk);
    struct needle_key key = {.chunk = c->id, .shard = shard};
    struct needle_info info = {
        .len_bytes = c->code_k > 1 ? stripe_shard_len(c->code_k, c->len_bytes) : c->len_bytes,
        .encode_id = c->encode_id + 1,
        .code_k = c->code_k,
        .code_m = c->code_m};
    uint8_t *data = malloc(info.len_bytes);
    struct iovec iov = {data, info.len_bytes};
    struct hash128 digest;
    history_fill(data, info.len_bytes, c->encode_id);
    EXPECT_OK(m->h, node_delete(n, &key, 1), "delete");
    EXPECT_OK(m->h, node_append(n, 0, key, &info, &iov, 1, &at->where, &digest), "append");
    free(data);
}

/* At random, as many as the code survives. */
static ec_set FIBER put_others(struct sm *m, const struct blob_chunk *c, struct sim_random *r)
{
    ec_set others = 0;
    unsigned count = 1 + (unsigned)sim_random_below(r, c->code_m);
    while ((unsigned)__builtin_popcount(others) < count) {
        uint16_t shard = (uint16_t)sim_random_below(r, c->shard_count);
        if (!(others & EC_SHARD(shard)))
            put_another(m, c, shard);
        others |= EC_SHARD(shard);
    }
    return others;
}

/* The check names them, and no other; the repair puts the right ones there. */
static void FIBER repair_others(struct some_blob *b, ec_set others)
{
    struct sm *m = b->m;
    int errors[BLOB_SHARDS_MAX];
    struct blob_repaired repaired;
    struct blob_chunk *c = b->layout.chunks;
    blob_verify(m->blob, c, true, errors);
    for (unsigned i = 0; i < c->shard_count; i++)
        EXPECT(m->h, errors[i] == (others & EC_SHARD(i) ? -ERR_CORRUPT : 0),
               "shard %u is checked as %d", i, errors[i]);
    EXPECT_OK(m->h, blob_repair(m->blob, c, true, &b->arena, &repaired), "repair");
    EXPECT(m->h, repaired.left == 0 && repaired.changed, "not all was repaired");
    *c = repaired.chunk;
    EXPECT_OK(m->h, blob_verify(m->blob, c, true, NULL), "verify");
}

static int FIBER encodings_life(void *arg)
{
    struct sm *m = arg;
    struct sim_random r = history_op_random(m->h, 1);
    EXPECT_OK(m->h, sm_open(m), "open");
    for (unsigned i = 1; i <= BLOBS; i++) {
        struct some_blob b;
        blob_init(&b, m, &r, i);
        blob_write_one(&b);
        ec_set others = put_others(m, b.layout.chunks, &r);
        blob_read_one(&b);
        repair_others(&b, others);
        blob_read_one(&b);
        arena_release(&b.arena);
    }
    sm_close(m);
    return 0;
}

void case_encodings_are_not_mixed(struct history *h)
{
    static const unsigned counts[] = {2, 3, 4, 6};
    struct sm m;
    sm_init_disks(&m, h, SIM_KEEP_SEED, DISK_BYTES, 0, counts[h->seed % ARRAY_LEN(counts)]);
    one_life(&m, encodings_life);
}

/* ---- disks that fail within a write --------------------------------------------------------- */

/* Two at most, and never so many that fewer than two are left. */
static void fail_some(struct sm *m, struct sim_random *r)
{
    unsigned count = m->disk_count > 3 ? 2 : 1;
    for (unsigned i = 0; i < count; i++) {
        unsigned disk = (unsigned)sim_random_below(r, m->disk_count);
        enum sim_fault_kind kind = sim_random_one_in(r, 2) ? SIM_WRITE_EIO : SIM_SYNC_EIO;
        struct sim_fault fault = {kind, ".vol", 1 + sim_random_below(r, 4), UINT64_MAX};
        sim_disk_fault(m->at[disk].sim, &fault);
        history_say(m->h, "  disk %u fails", disk);
    }
}

/* What was acknowledged survives the loss of any one disk more. */
static void FIBER lose_each(struct some_blob *b)
{
    struct sm *m = b->m;
    for (unsigned i = 0; i < m->disk_count; i++) {
        node_set_gone(nodes_get(&m->nodes, i), -ENODEV);
        blob_read_one(b);
        sm_disk_comes_back(m, i);
    }
}

static int FIBER quorum_life(void *arg)
{
    struct sm *m = arg;
    struct sim_random r = history_op_random(m->h, 1);
    EXPECT_OK(m->h, sm_open(m), "open");
    for (unsigned i = 1; i <= BLOBS; i++) {
        struct some_blob b;
        blob_init(&b, m, &r, i);
        fail_some(m, &r);
        blob_write_one(&b);
        for (unsigned disk = 0; disk < m->disk_count; disk++)
            sm_disk_comes_back(m, disk);
        lose_each(&b);
        arena_release(&b.arena);
    }
    sm_close(m);
    return 0;
}

void case_disks_fail_within_a_write(struct history *h)
{
    static const unsigned counts[] = {3, 4, 5, 6};
    struct sm m;
    sm_init_disks(&m, h, SIM_KEEP_SEED, DISK_BYTES, 0, counts[h->seed % ARRAY_LEN(counts)]);
    one_life(&m, quorum_life);
}

/* ---- to and fro ----------------------------------------------------------------------------- */

#define MOVE_DISKS  5u
#define MOVE_OPS    60u
#define MOVE_ROUNDS 16u

struct moves {
    struct sm *m;
    bool sweeps; /* the orphan sweep runs again and again */
    bool tiers;  /* objects and versions go from class to class */
    bool over;
};

static int FIBER move_one(const struct store_place *p, const struct blob_chunk *c, void *arg)
{
    struct moves *v = arg;
    struct store_moved moved;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    int err = store_move(v->m->store, p, c, &a, &moved);
    EXPECT(v->m->h, err == 0 || err == -ERR_BUSY, "move: %d (%s)", err, err_text(err));
    return 0;
}

/* One disk after another is drained, and taken back before it is empty or after. */
static int FIBER mover(void *arg)
{
    struct moves *v = arg;
    struct sm *m = v->m;
    struct sim_random r = history_op_random(m->h, MOVE_OPS + 2);
    uint32_t disk = 0;
    for (unsigned i = 0; i < MOVE_ROUNDS; i++) {
        struct store_walk_place place = {.bucket = 0};
        node_set_role(nodes_get(&m->nodes, disk), NODE_ACTIVE);
        if (sim_random_one_in(&r, 2)) {
            disk = (uint32_t)sim_random_below(&r, MOVE_DISKS);
            node_set_role(nodes_get(&m->nodes, disk), NODE_DRAINING);
        }
        while (!place.end)
            EXPECT_OK(m->h, store_chunks(m->store, &place, move_one, v), "walk");
        rt_sleep_until(rt_now() + sim_random_below(&r, 20) * RT_MS);
    }
    node_set_role(nodes_get(&m->nodes, disk), NODE_ACTIVE);
    v->over = true;
    return 0;
}

static int FIBER collector(void *arg)
{
    struct moves *v = arg;
    struct sim_random r = history_op_random(v->m->h, MOVE_OPS + 3);
    while (!v->over) {
        uint64_t done;
        EXPECT_OK(v->m->h, store_gc(v->m->store, 8, &done), "gc");
        rt_sleep_until(rt_now() + sim_random_below(&r, 3) * RT_MS);
    }
    return 0;
}

static int FIBER sweeper(void *arg)
{
    struct moves *v = arg;
    struct sim_random r = history_op_random(v->m->h, MOVE_OPS + 4);
    while (!v->over && v->sweeps) {
        struct store_sweep_result swept;
        EXPECT_OK(v->m->h, store_sweep(v->m->store, v->m->session, NULL, NULL, &swept), "sweep");
        rt_sleep_until(rt_now() + sim_random_below(&r, 10) * RT_MS);
    }
    return 0;
}

static void FIBER move_class(struct moves *v, const struct store_object *o, bool latest,
                             struct str class)
{
    struct store_transition t = {
        .key = o->key, .version = STORE_CURRENT, .seq = o->seq, .class = class};
    if (o->delete_marker)
        return;
    if (!latest)
        t.version = o->null_version
                        ? (struct store_version_ref){.kind = STORE_VERSION_NULL}
                        : (struct store_version_ref){.kind = STORE_VERSION_SEQ, .seq = o->seq};
    t.superseded = !latest;
    int err = store_transition(v->m->store, v->m->bucket, &t, NULL, NULL);
    EXPECT(v->m->h,
           err == 0 || err == -ERR_PRECONDITION_FAILED || err == -ERR_NO_SUCH_KEY ||
               err == -ERR_NO_SUCH_VERSION,
           "transition: %d (%s)", err, err_text(err));
}

static int FIBER tierer(void *arg)
{
    struct moves *v = arg;
    struct sm *m = v->m;
    struct sim_random r = history_op_random(m->h, MOVE_OPS + 6);
    struct store_versions_query all = {.max = STORE_LIST_MAX};
    while (!v->over && v->tiers) {
        struct store_versions_page page;
        _cleanup_(arena_release) struct arena a;
        arena_init(&a, 0);
        struct str class =
            sim_random_one_in(&r, 2) ? STR("REDUCED_REDUNDANCY") : STR("STANDARD_IA");
        EXPECT_OK(m->h, store_list_versions(m->store, &a, m->bucket, &all, &page), "list");
        for (size_t i = 0; i < page.count && !v->over; i++)
            if (sim_random_one_in(&r, 2))
                move_class(v, &page.entries[i].object, page.entries[i].is_latest, class);
        rt_sleep_until(rt_now() + sim_random_below(&r, 10) * RT_MS);
    }
    return 0;
}

static int FIBER moves_life(void *arg)
{
    struct moves *v = arg;
    struct sm *m = v->m;
    struct rt_fiber *fibers[4];
    EXPECT_OK(m->h, sm_open(m), "open");
    EXPECT_OK(m->h, rt_spawn(&fibers[0], "mover", mover, v), "spawn");
    EXPECT_OK(m->h, rt_spawn(&fibers[1], "collector", collector, v), "spawn");
    EXPECT_OK(m->h, rt_spawn(&fibers[2], "sweeper", sweeper, v), "spawn");
    EXPECT_OK(m->h, rt_spawn(&fibers[3], "tierer", tierer, v), "spawn");
    for (uint32_t op = MOVE_OPS / 2; op < MOVE_OPS; op++)
        if (!history_skips(m->h, op))
            sm_client_op(m, op % SM_CLIENTS, op);
    for (unsigned i = 0; i < ARRAY_LEN(fibers); i++)
        rt_join(fibers[i]);
    sm_close(m);
    return 0;
}

static void moves_history(struct history *h, bool sweeps, bool tiers)
{
    struct sm m;
    struct moves v = {.m = &m, .sweeps = sweeps, .tiers = tiers};
    sm_init_disks(&m, h, SIM_KEEP_SEED, DISK_BYTES, MOVE_OPS, MOVE_DISKS);
    m.tiers = tiers;
    m.versioned = tiers && h->seed % 4 < 2;
    m.big = h->seed % 2;
    m.life_ops_end = MOVE_OPS / 2;
    m.quiet_disks = true;
    sm_run(&m, sm_life_work, "objects");
    m.leftovers = true;
    struct sim_random r = history_op_random(h, MOVE_OPS + 5);
    sim_crash_at(m.sim, h->seed % 3 ? sim_events(m.sim) + 1 + sim_random_below(&r, 500) : 0);
    int err = sim_rt_run(m.sim, moves_life, &v);
    EXPECT(h, err == 0 || err == SIM_CRASHED, "moves: %d", err);
    sm_run(&m, sm_life_final, "final");
    sm_release(&m);
}

void case_moves_to_and_fro(struct history *h)
{
    moves_history(h, false, false);
}

void case_sweep_beside_moves(struct history *h)
{
    moves_history(h, true, false);
}

void case_classes_to_and_fro(struct history *h)
{
    moves_history(h, h->seed % 3 == 0, true);
}
