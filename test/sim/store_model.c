/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include <stdio.h>
#include "jobs/jobs.h"
#include "sim/store_model.h"

#define VOLUME_BYTES     (1 * MIB) /* small, so that volumes are sealed and compacted */
#define VOLUME_BYTES_BIG (4 * MIB)
#define GC_DELAY_MS      20u

/* ---- the machine ---------------------------------------------------------------------------- */

static void stores_crash(struct sim *s, void *arg)
{
    struct sm *m = arg;
    kv_mem_crash(m->index_mem, sim_choose(s, kv_mem_unsynced(m->index_mem) + 1));
    for (unsigned i = 1; i < m->disk_count; i++)
        kv_mem_crash(m->at[i].index, sim_choose(s, kv_mem_unsynced(m->at[i].index) + 1));
    kv_mem_crash(m->meta_mem, sim_choose(s, kv_mem_unsynced(m->meta_mem) + 1));
}

void sm_init(struct sm *m, struct history *h, enum sim_keep keep, uint64_t capacity_bytes,
             uint32_t ops)
{
    struct sim_config config = {.seed = h->seed, .keep = keep};
    *m = (struct sm){.h = h, .ops = ops, .life_ops_end = ops, .big = h->seed % 4 == 1};
    for (unsigned c = 0; c < SM_CLIENTS; c++)
        m->next_op[c] = c;
    h->op_count = ops;
    EXPECT_OK(h, sim_new(&m->sim, &config), "machine");
    EXPECT_OK(h, sim_disk_new(&m->sim_disk, m->sim, "/d0", capacity_bytes), "disk");
    EXPECT_OK(h, kv_mem_new(&m->index_mem, false), "index");
    EXPECT_OK(h, kv_mem_new(&m->meta_mem, true), "metadata");
    sim_on_crash(m->sim, stores_crash, m);
}

void sm_release(struct sm *m)
{
    history_sim_end(m->h, m->sim); /* handles of lives that crashed keep the stores */
}

static int FIBER open_disk(struct sm *m)
{
    struct kv *index;
    int err = kv_mem_open(&index, m->index_mem);
    if (err)
        return err;
    struct disk_config config = {.path = "/d0", .index = index};
    if (!m->own_limits) {
        config.volume_bytes_max = m->big ? VOLUME_BYTES_BIG : VOLUME_BYTES;
        config.reserve_bytes = 256 * KIB;
    }
    return disk_open(&m->disk, &config);
}

static int FIBER open_meta(struct sm *m)
{
    struct kv *kv;
    int err = kv_mem_open(&kv, m->meta_mem);
    return err ? err : meta_local_open(&m->meta, kv, 8);
}

static int FIBER open_store(struct sm *m)
{
    int err = store_new_session(m->meta, &m->session);
    if (err)
        return err;
    err = m->disk_count ? sm_open_disks(m) : nodes_wrap(&m->nodes, 0, "/d0", m->disk);
    if (err)
        return err;
    struct blob_config blob = {.nodes = &m->nodes, .session = m->session};
    err = blob_open(&m->blob, &blob);
    if (err)
        return err;
    struct store_config store = {.meta = m->meta,
                                 .blob = m->blob,
                                 .inline_max_bytes = SM_INLINE_MAX,
                                 .beside_max_bytes = SM_BESIDE_MAX,
                                 .gc_delay_ms = GC_DELAY_MS};
    return store_open(&m->store, &store);
}

/* The bucket of the model, made in the first life that gets so far. */
static int FIBER open_bucket(struct sm *m)
{
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    struct store_bucket b;
    int err = store_bucket_create(m->store, &a, STR("bucket"), STR("owner"), STR_NULL, &b);
    if (err && err != -ERR_BUCKET_OWNED)
        return err;
    m->bucket = b.id;
    return m->versioned ? store_bucket_set_versioning(m->store, m->bucket, STORE_VERSIONING_ENABLED)
                        : 0;
}

void FIBER sm_close(struct sm *m)
{
    if (m->store)
        store_close(TAKE_PTR(m->store));
    if (m->blob)
        blob_close(TAKE_PTR(m->blob));
    nodes_release(&m->nodes);
    meta_close(TAKE_PTR(m->meta));
    disk_close(TAKE_PTR(m->disk));
}

int FIBER sm_open(struct sm *m)
{
    m->disk = NULL;
    m->nodes = (struct nodes){0}; /* a life that crashed left its own behind */
    m->meta = NULL;
    m->blob = NULL;
    m->store = NULL;
    /* half of the seeds never find a row in memory and take the way over an offload thread */
    kv_mem_set_cold(m->index_mem, m->h->seed / 2 % 2);
    kv_mem_set_cold(m->meta_mem, m->h->seed % 2);
    int err = m->disk_count ? 0 : open_disk(m);
    if (!err)
        err = open_meta(m);
    if (!err)
        err = open_store(m);
    if (!err)
        err = open_bucket(m);
    if (err)
        sm_close(m);
    return err;
}

/* ---- lives ---------------------------------------------------------------------------------- */

struct client {
    struct sm *m;
    unsigned number;
    struct rt_fiber *fiber;
};

static int FIBER client_main(void *arg)
{
    struct client *c = arg;
    struct sm *m = c->m;
    uint32_t *next = &m->next_op[c->number];
    while (*next < m->life_ops_end) {
        uint32_t op = *next;
        *next += SM_CLIENTS;
        if (!history_skips(m->h, op))
            sm_client_op(m, c->number, op);
    }
    m->clients_left--;
    return 0;
}

/* A dead disk fails upkeep until it is known to be one. */
static void upkeep_excused(struct sm *m, int err, const char *what)
{
    bool dead = err == -EIO || err == -ERR_READ_ONLY || err == -ERR_DISK_GONE;
    if (m->deaths && dead)
        history_say(m->h, "  %s: %s", what, err_text(err));
    else
        sm_excused(m, err, what, 0);
    m->leftovers |= err != 0;
}

static void FIBER compact_all(struct sm *m)
{
    uint64_t done;
    for (uint32_t i = 0; i < nodes_count(&m->nodes); i++)
        if (node_state(nodes_get(&m->nodes, i)) != NODE_GONE)
            upkeep_excused(m, node_compact(nodes_get(&m->nodes, i), &done), "compact");
}

static void FIBER checkpoint_all(struct sm *m)
{
    for (uint32_t i = 0; i < nodes_count(&m->nodes); i++)
        if (node_state(nodes_get(&m->nodes, i)) != NODE_GONE)
            upkeep_excused(m, node_checkpoint(nodes_get(&m->nodes, i)), "checkpoint");
}

/* Garbage collection, compaction, checkpoints and one sweep beside the clients. */
static int FIBER upkeep_main(void *arg)
{
    struct sm *m = arg;
    struct sim_random r = history_op_random(m->h, m->ops + m->life_ops_end);
    if (sim_random_one_in(&r, 2)) {
        struct store_sweep_result swept;
        upkeep_excused(m, store_sweep(m->store, m->session, NULL, NULL, &swept), "sweep");
    }
    while (m->clients_left > 0) {
        uint64_t done;
        rt_sleep_until(rt_now() + sim_random_below(&r, 20) * RT_MS);
        upkeep_excused(m, store_gc(m->store, 64, &done), "gc");
        if (sim_random_one_in(&r, 2))
            compact_all(m);
        if (sim_random_one_in(&r, 4))
            checkpoint_all(m);
        if (m->disk_count && !m->quiet_disks && sim_random_one_in(&r, 3))
            sm_disk_event(m, &r);
    }
    return 0;
}

static void FIBER run_clients(struct sm *m)
{
    struct client clients[SM_CLIENTS];
    m->clients_left = SM_CLIENTS;
    for (unsigned i = 0; i < SM_CLIENTS; i++) {
        clients[i] = (struct client){.m = m, .number = i};
        EXPECT_OK(m->h, rt_spawn(&clients[i].fiber, "client", client_main, &clients[i]), "spawn");
    }
    for (unsigned i = 0; i < SM_CLIENTS; i++)
        rt_join(clients[i].fiber);
}

/* The product's own background jobs, at a pace that fits a short life. */
static void FIBER run_with_jobs(struct sm *m)
{
    struct jobs_config config = {.store = m->store,
                                 .nodes = &m->nodes,
                                 .session = m->session,
                                 .gc_batch_chunks = 4,
                                 .compact_interval_ms = 5,
                                 .sweep_delay_ms = 1 + m->h->seed % 20};
    struct jobs *jobs;
    EXPECT_OK(m->h, jobs_start(&jobs, &config), "jobs");
    run_clients(m);
    jobs_stop(jobs);
}

/* Or the same work in another rhythm, with checkpoints, and errors that are looked at. */
static void FIBER run_with_upkeep(struct sm *m)
{
    struct rt_fiber *upkeep;
    m->clients_left = SM_CLIENTS;
    EXPECT_OK(m->h, rt_spawn(&upkeep, "upkeep", upkeep_main, m), "spawn");
    run_clients(m);
    rt_join(upkeep);
}

int FIBER sm_life_work(void *arg)
{
    struct sm *m = arg;
    int err = sm_open(m);
    if (err)
        return err;
    sm_check(m);
    if (m->h->seed % 3 == 0 && !m->faults && !m->disk_count)
        run_with_jobs(m);
    else
        run_with_upkeep(m);
    sm_close(m);
    return 0;
}

int FIBER sm_life_final(void *arg)
{
    struct sm *m = arg;
    int err = sm_open(m);
    if (err)
        return err;
    sm_mend_disks(m);
    sm_check(m);
    sm_check_no_garbage(m);
    sm_close(m);
    return 0;
}

void sm_run(struct sm *m, int (*life)(void *sm), const char *what)
{
    history_say(m->h, "%s", what);
    sim_crash_at(m->sim, 0);
    EXPECT_OK(m->h, sim_rt_run(m->sim, life, m), what);
}

void sm_run_to_crash(struct sm *m, uint64_t at_event)
{
    history_say(m->h, "work; power goes at event %llu", (unsigned long long)at_event);
    sim_crash_at(m->sim, at_event);
    int err = sim_rt_run(m->sim, sm_life_work, m);
    m->leftovers |= err == SIM_CRASHED;
    if (err != SIM_CRASHED)
        sm_excused(m, err, "life", 0);
}

/* ---- the model ------------------------------------------------------------------------------ */

bool sm_excused(struct sm *m, int err, const char *what, uint32_t op)
{
    bool fault = err == -EIO || err == -ENOSPC || err == -ERR_FULL || err == -ERR_READ_ONLY ||
                 (m->damage && (err == -ERR_CORRUPT || err == -ERR_NOT_FOUND));
    EXPECT(m->h, err == 0 || (m->faults && fault), "%s (operation %u): %d (%s)", what, op, err,
           err_text(err));
    m->leftovers |= err != 0;
    if (err)
        history_say(m->h, "  %u: %s: %s", op, what, err_text(err));
    return err != 0;
}

void sm_key(char ret[32], unsigned client, unsigned key)
{
    snprintf(ret, 32, "client-%u/%s/key-%u", client, key % 2 ? "odd" : "even", key);
}

struct sm_value sm_value_new(const struct sm *m, uint32_t op, uint64_t len_bytes)
{
    return (struct sm_value){.tag = m->h->seed * 100000 + op + 1, .len_bytes = len_bytes};
}

void sm_object_begin(struct sm_object *o, struct sm_value to)
{
    CHECK(!o->open);
    o->other = to;
    o->open = true;
}

void sm_object_done(struct sm_object *o)
{
    o->now = o->other;
    o->open = false;
}

/* ---- reading -------------------------------------------------------------------------------- */

struct sink {
    struct sm *m;
    const struct sm_value *value;
    uint64_t at;
    const char *key;
};

static int sink_check(const void *data, size_t len, void *arg)
{
    struct sink *s = arg;
    ptrdiff_t differs = history_fill_differs_at(data, len, s->value->tag, s->at);
    EXPECT(s->m->h, differs < 0, "%s gives a wrong byte at %llu", s->key,
           (unsigned long long)s->at + (uint64_t)differs);
    s->at += len;
    return 0;
}

/* Which of the object's values this record is; fails the history when it is neither. */
static const struct sm_value *value_of_record(struct sm *m, struct sm_object *o,
                                              const struct store_object *record, const char *key)
{
    uint64_t tag = 0;
    EXPECT(m->h, str_to_u64(record->attrs.content_type, &tag) == 0, "%s has lost its attributes",
           key);
    if (o->open && tag == o->other.tag)
        o->now = o->other;
    if (tag == o->now.tag)
        o->open = false;
    EXPECT(m->h, o->now.tag == tag, "%s holds %llu, not %llu", key, (unsigned long long)tag,
           (unsigned long long)o->now.tag);
    EXPECT(m->h, record->len_bytes == o->now.len_bytes, "%s has length %llu, not %llu", key,
           (unsigned long long)record->len_bytes, (unsigned long long)o->now.len_bytes);
    return &o->now;
}

static void settle_absent(struct sm *m, struct sm_object *o, const char *key)
{
    if (o->open && o->other.tag == 0)
        o->now = o->other;
    EXPECT(m->h, o->now.tag == 0, "%s is lost", key);
    o->open = false;
}

int FIBER sm_read_object(struct sm *m, unsigned client, unsigned key, uint64_t off, uint64_t len)
{
    struct sm_object *o = &m->objects[client][key];
    char name[32];
    struct store_reader *r;
    sm_key(name, client, key);
    int err = store_get(m->store, m->bucket, str_from(name), STORE_CURRENT, NULL, &r);
    if (err == -ERR_NO_SUCH_KEY) {
        settle_absent(m, o, name);
        return 0;
    }
    if (err)
        return err;
    struct sink sink = {.m = m, .key = name};
    sink.value = value_of_record(m, o, store_reader_object(r), name);
    struct sm_value value = *sink.value; /* the object may change while it is read */
    sink.value = &value;
    sink.at = MIN(off, value.len_bytes);
    uint64_t end = sink.at + MIN(len, value.len_bytes - sink.at);
    err = store_read(r, sink.at, end - sink.at, sink_check, &sink);
    EXPECT(m->h, err || sink.at == end, "%s gave %llu bytes too few", name,
           (unsigned long long)(end - sink.at));
    store_reader_close(r);
    return err;
}

/* ---- listing -------------------------------------------------------------------------------- */

/* One object of a page against the model; counts it as seen. */
static void check_entry(struct sm *m, unsigned client, const struct store_object *listed,
                        bool seen[SM_KEYS])
{
    for (unsigned key = 0; key < SM_KEYS; key++) {
        char name[32];
        sm_key(name, client, key);
        if (!str_eq(listed->key, str_from(name)))
            continue;
        struct sm_object *o = &m->objects[client][key];
        EXPECT(m->h, !seen[key], "%s is listed twice", name);
        EXPECT(m->h, o->open || o->now.tag, "%s is listed and should be gone", name);
        EXPECT(m->h, o->open || listed->len_bytes == o->now.len_bytes,
               "%s is listed with length %llu", name, (unsigned long long)listed->len_bytes);
        seen[key] = true;
        return;
    }
    history_fail(m->h, "a key nobody wrote is listed: %.*s", STR_FMT(listed->key));
}

static int FIBER list_pages(struct sm *m, unsigned client, size_t max, bool seen[SM_KEYS])
{
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    char prefix[16];
    snprintf(prefix, sizeof prefix, "client-%u/", client);
    struct store_list_query q = {.prefix = str_from(prefix), .max = max};
    struct store_list_page page;
    do {
        int err = store_list(m->store, &a, m->bucket, &q, &page);
        if (err)
            return err;
        EXPECT(m->h, page.count <= max && (page.count || !page.truncated), "an odd page");
        for (size_t i = 0; i < page.count; i++)
            check_entry(m, client, &page.entries[i].object, seen);
        q.after = page.next;
    } while (page.truncated);
    return 0;
}

int FIBER sm_list_client(struct sm *m, unsigned client, size_t max)
{
    bool seen[SM_KEYS] = {false};
    int err = list_pages(m, client, max, seen);
    if (err)
        return err;
    for (unsigned key = 0; key < SM_KEYS; key++) {
        const struct sm_object *o = &m->objects[client][key];
        EXPECT(m->h, o->open || seen[key] == (o->now.tag != 0), "client-%u key %u is %slisted",
               client, key, seen[key] ? "" : "not ");
    }
    return 0;
}
