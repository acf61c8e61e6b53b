/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Background jobs over several disks, beside a client, killed anywhere and gone on with: a disk is
 * drained, one is replaced, one stays gone, bits flip at rest. Placement is by the ring, whose
 * epochs are stored as a server does it. In the end every object is what the client was told, the
 * store is sound by its own check, and what was to be done is done. Virtual hours of it.
 */

#include <stdio.h>
#include "base/md5.h"
#include "jobs/jobs.h"
#include "kv/mem.h"
#include "sim/cases.h"
#include "store/disks.h"

#define DISKS      5u /* and one more where one is replaced */
#define DISKS_ALL  (DISKS + 1)
#define DISK_BYTES (64 * MIB)
#define KEYS       10u
#define OPS        40u
#define LEN_TOP    (500 * KIB)
#define STRIDE     23u /* a seed looks at every so many-th event, its neighbours at the others */

enum what { DRAIN, REPLACE, GIVE_UP, FLIPS };

struct value {
    uint64_t tag, len_bytes; /* tag 0: nothing */
};

struct one {
    char path[8];
    struct sim_disk *sim_disk;
    struct kv_mem *index;
};

struct jm {
    struct history *h;
    enum what what;
    struct sim *sim;
    struct one disks[DISKS_ALL];
    struct kv_mem *meta_mem;
    enum node_role roles[DISKS_ALL]; /* as the table of disks would keep them */
    unsigned count;
    struct bucket_id bucket;
    struct value now[KEYS], other[KEYS]; /* other: may be there instead, while `open` */
    bool open[KEYS];
    uint32_t next_op;
    bool final;
    /* of the present life */
    struct nodes nodes;
    struct meta *meta;
    struct blob *blob;
    struct store *store;
    struct jobs *jobs;
    struct store_disks table;
};

/* ---- the machine ---------------------------------------------------------------------------- */

static void stores_crash(struct sim *s, void *arg)
{
    struct jm *m = arg;
    for (unsigned i = 0; i < DISKS_ALL; i++)
        kv_mem_crash(m->disks[i].index, sim_choose(s, kv_mem_unsynced(m->disks[i].index) + 1));
    kv_mem_crash(m->meta_mem, sim_choose(s, kv_mem_unsynced(m->meta_mem) + 1));
}

static void jm_init(struct jm *m, struct history *h, enum what what)
{
    struct sim_config config = {.seed = h->seed, .keep = SIM_KEEP_SEED};
    *m = (struct jm){.h = h, .what = what, .count = DISKS};
    h->op_count = OPS;
    EXPECT_OK(h, sim_new(&m->sim, &config), "machine");
    EXPECT_OK(h, kv_mem_new(&m->meta_mem, true), "metadata");
    for (unsigned i = 0; i < DISKS_ALL; i++) {
        struct one *d = &m->disks[i];
        snprintf(d->path, sizeof(d->path), "/d%u", i);
        EXPECT_OK(h, sim_disk_new(&d->sim_disk, m->sim, d->path, DISK_BYTES), "disk");
        EXPECT_OK(h, kv_mem_new(&d->index, false), "index");
    }
    sim_on_crash(m->sim, stores_crash, m);
}

static int FIBER open_disk(void *arg, struct disk **ret)
{
    struct one *d = arg;
    struct disk_config c = {
        .path = d->path, .volume_bytes_max = 4 * MIB, .reserve_bytes = 256 * KIB};
    int err = kv_mem_open(&c.index, d->index);
    return err ? err : disk_open(ret, &c);
}

static void FIBER open_nodes(struct jm *m)
{
    m->nodes = (struct nodes){0};
    for (unsigned i = 0; i < m->count; i++) {
        struct node *n;
        struct node_config c = {.number = i,
                                .path = m->disks[i].path,
                                .role = m->roles[i],
                                .open = open_disk,
                                .arg = &m->disks[i]};
        EXPECT_OK(m->h, node_open(&n, &c), "node");
        nodes_add(&m->nodes, n);
        if (m->roles[i] == NODE_RETIRED)
            node_set_gone(n, -ENODEV);
    }
}

/* The next epoch for the disks as they are, if it is another, stored and gone by. */
static int FIBER follow_ring(void *arg)
{
    struct jm *m = arg;
    static const enum store_disk_state states[] = {STORE_DISK_ACTIVE, STORE_DISK_DRAINING,
                                                   STORE_DISK_GONE, STORE_DISK_ACTIVE};
    struct ring *next;
    while (m->table.count < m->count)
        store_disks_add(&m->table)->weight = DISK_BYTES;
    for (unsigned i = 0; i < m->count; i++) {
        m->table.list[i].state = states[m->roles[i]];
        m->table.list[i].away = m->roles[i] == NODE_AWAY;
    }
    EXPECT_OK(m->h, store_disks_next_ring(&m->table, 0, &next, NULL), "next epoch");
    if (next) {
        ring_free(m->table.ring);
        m->table.ring = next;
        EXPECT_OK(m->h, store_disks_save(m->meta, &m->table), "store the epoch");
    }
    EXPECT_OK(m->h, blob_set_ring(m->blob, m->table.ring), "take the epoch");
    return 0;
}

static void FIBER load_table(struct jm *m)
{
    EXPECT_OK(m->h, store_disks_init(&m->table), "table");
    int err = store_disks_load(m->meta, &m->table);
    EXPECT(m->h, err == 0 || err == -ERR_NOT_FOUND, "load the table: %d", err);
}

static void FIBER set_role(struct jm *m, uint32_t number, enum node_role role)
{
    m->roles[number] = role;
    node_set_role(nodes_get(&m->nodes, number), role);
    follow_ring(m);
}

static int FIBER emptied(void *arg, uint32_t number)
{
    set_role(arg, number, NODE_RETIRED);
    return 0;
}

static void FIBER jm_open(struct jm *m)
{
    struct kv *kv;
    uint64_t session;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    struct store_bucket b;
    open_nodes(m);
    EXPECT_OK(m->h, kv_mem_open(&kv, m->meta_mem), "metadata");
    EXPECT_OK(m->h, meta_local_open(&m->meta, kv, 8), "metadata");
    EXPECT_OK(m->h, store_new_session(m->meta, &session), "session");
    struct blob_config blob = {.nodes = &m->nodes, .session = session};
    EXPECT_OK(m->h, blob_open(&m->blob, &blob), "blob");
    load_table(m);
    follow_ring(m);
    struct store_config store = {.meta = m->meta, .blob = m->blob, .beside_max_bytes = 2 * KIB};
    EXPECT_OK(m->h, store_open(&m->store, &store), "store");
    int err = store_bucket_create(m->store, &a, STR("bucket"), STR("owner"), STR_NULL, &b);
    EXPECT(m->h, err == 0 || err == -ERR_BUCKET_OWNED, "bucket: %d", err);
    m->bucket = b.id;
    struct jobs_config jobs = {.store = m->store,
                               .nodes = &m->nodes,
                               .meta = m->meta,
                               .blob = m->blob,
                               .session = session,
                               .sweep_delay_ms = m->final ? 1 : 3600 * 1000,
                               .scrub_first_ms = 1,
                               .move_bytes_per_s = 2 * MIB,
                               .disk_emptied = emptied,
                               .ring_step = follow_ring,
                               .disks_arg = m};
    EXPECT_OK(m->h, jobs_start(&m->jobs, &jobs), "jobs");
}

static void FIBER jm_close(struct jm *m)
{
    jobs_stop(m->jobs);
    store_close(m->store);
    blob_close(m->blob);
    nodes_release(&m->nodes);
    meta_close(m->meta);
    store_disks_release(&m->table);
}

/* ---- the client ----------------------------------------------------------------------------- */

static struct str key_of(unsigned k, char text[16])
{
    snprintf(text, 16, "key-%u", k);
    return str_from(text);
}

static void FIBER put(struct jm *m, unsigned k, struct value v)
{
    char text[16];
    struct store_writer *w;
    struct store_etag etag = {.parts = 0};
    struct store_attrs attrs = {.owner = STR("owner")};
    struct store_written written;
    uint8_t *data = malloc(v.len_bytes + 1);
    history_fill(data, v.len_bytes, v.tag);
    md5_of(str_make(data, v.len_bytes), etag.md5);
    m->other[k] = v;
    m->open[k] = true;
    EXPECT_OK(m->h, store_put_begin(m->store, m->bucket, key_of(k, text), v.len_bytes, &w), "put");
    EXPECT_OK(m->h, store_write(w, data, v.len_bytes), "write");
    free(data);
    EXPECT_OK(m->h, store_put_commit(w, &attrs, &etag, NULL, NULL, &written), "commit");
    m->now[k] = v;
    m->open[k] = false;
}

static void FIBER delete (struct jm *m, unsigned k)
{
    char text[16];
    bool existed;
    m->other[k] = (struct value){0};
    m->open[k] = true;
    EXPECT_OK(m->h, store_delete(m->store, m->bucket, key_of(k, text), NULL, &existed), "delete");
    m->now[k] = m->other[k];
    m->open[k] = false;
}

struct got {
    struct jm *m;
    uint64_t tag, at;
};

static int sink(const void *data, size_t len, void *arg)
{
    struct got *g = arg;
    EXPECT(g->m->h, history_fill_differs_at(data, len, g->tag, g->at) < 0, "wrong bytes");
    g->at += len;
    return 0;
}

/* Settles what a crash left open. */
static void FIBER read(struct jm *m, unsigned k)
{
    char text[16];
    struct store_reader *r;
    int err = store_get(m->store, m->bucket, key_of(k, text), STORE_CURRENT, NULL, &r);
    EXPECT(m->h, err == 0 || err == -ERR_NO_SUCH_KEY, "get key %u: %d", k, err);
    uint64_t len = err ? 0 : store_reader_object(r)->len_bytes;
    struct value *v = &m->now[k];
    if (m->open[k] && len == m->other[k].len_bytes)
        v = &m->other[k];
    EXPECT(m->h, v->len_bytes == len && !v->tag == (err != 0), "key %u is another object", k);
    if (err == 0) {
        struct got g = {m, v->tag, 0};
        EXPECT_OK(m->h, store_read(r, 0, len, sink, &g), "read");
        store_reader_close(r);
    }
    m->now[k] = *v;
    m->open[k] = false;
}

static void FIBER one_op(struct jm *m, uint32_t op)
{
    struct sim_random r = history_op_random(m->h, op);
    unsigned k = (unsigned)sim_random_below(&r, KEYS);
    uint64_t kind = sim_random_below(&r, 10);
    /* Lengths differ by operation, so that they tell which one it was. */
    uint64_t top = sim_random_one_in(&r, 3) ? LEN_TOP : 30 * KIB;
    struct value v = {op + 1, sim_random_below(&r, top) / OPS * OPS + op + 1};
    if (m->open[k])
        read(m, k);
    if (kind < 6)
        put(m, k, v);
    else if (kind < 8 && m->now[k].tag)
        delete (m, k);
    else
        read(m, k);
    rt_sleep_until(rt_now() + sim_random_below(&r, 1500) * RT_MS);
}

/* ---- lives ---------------------------------------------------------------------------------- */

static void FIBER begin_change(struct jm *m)
{
    if (m->what == DRAIN && m->roles[1] == NODE_ACTIVE) {
        set_role(m, 1, NODE_DRAINING);
    } else if (m->what == GIVE_UP) {
        node_set_gone(nodes_get(&m->nodes, 1), -ENODEV);
        set_role(m, 1, NODE_AWAY);
    } else if (m->what == REPLACE && m->count == DISKS) {
        m->roles[1] = NODE_RETIRED; /* both at once, wherever the power goes */
        m->count = DISKS_ALL;
        node_set_gone(nodes_get(&m->nodes, 1), -ENODEV);
        struct node *n;
        struct node_config c = {.number = DISKS,
                                .path = m->disks[DISKS].path,
                                .open = open_disk,
                                .arg = &m->disks[DISKS]};
        EXPECT_OK(m->h, node_open(&n, &c), "node");
        nodes_add(&m->nodes, n);
        set_role(m, 1, NODE_RETIRED);
    }
    jobs_disks_changed(m->jobs);
}

static int FIBER life_work(void *arg)
{
    struct jm *m = arg;
    jm_open(m);
    for (; m->next_op < OPS; m->next_op++) {
        if (m->next_op == OPS / 3)
            begin_change(m);
        if (!history_skips(m->h, m->next_op))
            one_op(m, m->next_op);
    }
    jm_close(m);
    return 0;
}

static int no_fault(const struct store_check_event *e, void *arg)
{
    struct jm *m = arg;
    EXPECT(m->h, e->err == 0, "check: %s (%.*s)", e->text, STR_FMT(e->key));
    return 0;
}

static int whole(const struct store_place *p, const struct blob_chunk *c, void *arg)
{
    struct jm *m = arg;
    EXPECT(m->h, !blob_wants_repair(m->blob, c), "a chunk of %.*s wants repair", STR_FMT(p->key));
    EXPECT(m->h, !blob_uses_disk(c, 1) || m->what == FLIPS, "%.*s is on the disk that left",
           STR_FMT(p->key));
    return 0;
}

static struct scrub_status FIBER scrub(struct jm *m)
{
    struct scrub_status s;
    jobs_scrub_status(m->jobs, &s);
    uint64_t pass = s.pass;
    EXPECT_OK(m->h, jobs_scrub_start(m->jobs), "scrub");
    for (unsigned i = 0; i < 600 && (s.pass == pass || strcmp(s.phase, "idle") != 0); i++) {
        rt_sleep_until(rt_now() + RT_S);
        jobs_scrub_status(m->jobs, &s);
    }
    EXPECT(m->h, strcmp(s.phase, "idle") == 0, "the scrub does not end");
    return s;
}

/* All that was to be done is done after a while, and nothing is lost by it. */
static int FIBER life_final(void *arg)
{
    struct jm *m = arg;
    m->final = true;
    jm_open(m);
    begin_change(m);
    if (m->what == FLIPS)
        scrub(m);
    rt_sleep_until(rt_now() + 900 * RT_S);
    for (unsigned k = 0; k < KEYS; k++)
        read(m, k);
    EXPECT_OK(m->h, store_check(m->store, true, no_fault, m), "check");
    struct store_walk_place place = {.bucket = 0};
    while (!place.end)
        EXPECT_OK(m->h, store_chunks(m->store, &place, whole, m), "walk");
    struct scrub_status s = scrub(m);
    EXPECT(m->h, s.last_faults == 0 && s.damages[DAMAGE_LOST] == 0, "damage is left");
    EXPECT(m->h, m->what != DRAIN || m->roles[1] == NODE_RETIRED, "the drained disk is not empty");
    jm_close(m);
    return 0;
}

static int in_place(const struct store_place *p, const struct blob_chunk *c, void *arg)
{
    struct jm *m = arg;
    EXPECT(m->h, !blob_wants_repair(m->blob, c) && !blob_misplaced(m->blob, c),
           "a chunk of %.*s is not where it belongs", STR_FMT(p->key));
    return 0;
}

/* The disk that was given up is back: with old shards, and shards that are still named. */
static int FIBER life_back(void *arg)
{
    struct jm *m = arg;
    m->roles[1] = NODE_ACTIVE;
    jm_open(m);
    rt_sleep_until(rt_now() + 900 * RT_S);
    for (unsigned k = 0; k < KEYS; k++)
        read(m, k);
    EXPECT_OK(m->h, store_check(m->store, true, no_fault, m), "check");
    struct store_walk_place place = {.bucket = 0};
    while (!place.end)
        EXPECT_OK(m->h, store_chunks(m->store, &place, in_place, m), "walk");
    jm_close(m);
    return 0;
}

/* ---- bits ----------------------------------------------------------------------------------- */

struct flipping {
    struct jm *m;
    struct sim_disk *disk;
    struct sim_random random;
    unsigned left;
};

static int flip_in(const char *path, uint64_t len, void *arg)
{
    struct flipping *f = arg;
    while (strstr(path, ".vol") && f->left > 0 && len > 8192) {
        uint64_t off = 8192 + sim_random_below(&f->random, len - 8192);
        sim_disk_flip(f->disk, path, off, (unsigned)sim_random_below(&f->random, 8));
        f->left--;
    }
    return 0;
}

/* On one disk: two of a chunk's shards may go with the codes of five disks, never three. */
static void flip_some(struct jm *m)
{
    struct flipping f = {.m = m, .random = history_op_random(m->h, OPS + 7), .left = 20};
    f.disk = m->disks[sim_random_below(&f.random, DISKS)].sim_disk;
    sim_disk_each(f.disk, flip_in, &f);
}

/* ---- histories ------------------------------------------------------------------------------ */

static void jm_run(struct jm *m, int (*life)(void *), uint64_t crash_at)
{
    sim_crash_at(m->sim, crash_at);
    int err = sim_rt_run(m->sim, life, m);
    sim_crash_at(m->sim, 0);
    EXPECT(m->h, err == 0 || (crash_at && err == SIM_CRASHED), "a life ended with %d", err);
}

static void jobs_history(struct history *h, enum what what)
{
    struct jm m;
    jm_init(&m, h, what);
    struct sim_random r = history_op_random(h, OPS + 1);
    for (unsigned i = 0; i < 3; i++)
        jm_run(&m, life_work, sim_events(m.sim) + 1 + sim_random_below(&r, 2500));
    jm_run(&m, life_work, 0);
    if (what == FLIPS)
        flip_some(&m);
    jm_run(&m, life_final, 0);
    if (what == GIVE_UP)
        jm_run(&m, life_back, 0);
    history_sim_end(h, m.sim);
}

void case_drain_under_load(struct history *h)
{
    jobs_history(h, DRAIN);
}

void case_repair_under_load(struct history *h)
{
    jobs_history(h, REPLACE);
}

void case_spares_under_load(struct history *h)
{
    jobs_history(h, GIVE_UP);
}

void case_scrub_flipped_bits(struct history *h)
{
    jobs_history(h, FLIPS);
}

void case_jobs_crash_every_write(struct history *h)
{
    struct jm m;
    jm_init(&m, h, h->seed % 2 ? DRAIN : REPLACE);
    if (h->variant == 0) {
        jm_run(&m, life_work, 0);
        h->variants = sim_events(m.sim) / STRIDE;
        history_sim_end(h, m.sim);
        return;
    }
    jm_run(&m, life_work, (h->variant - 1) * STRIDE + 1 + h->seed % STRIDE);
    jm_run(&m, life_work, 0);
    jm_run(&m, life_final, 0);
    history_sim_end(h, m.sim);
}
