/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Metadata on three mirrors, crashed at each write. Clients count up, each its own counter and the
 * rows that go with it; meanwhile mirrors fail, are left out, come in and are rebuilt. After a
 * crash every counter is what was acknowledged, or one more where an answer was pending; its rows
 * are those of the counter; and once all mirrors take part again they hold the same.
 */

#include <stdio.h>
#include "base/encode.h"
#include "kv/mem.h"
#include "meta/meta.h"
#include "sim/cases.h"

#define DISKS   3u
#define CLIENTS 3u
#define ROWS    3u /* of a counter: so many of its last numbers have one */
#define ALL     7u
#define STRIDE  37u /* a seed looks at one place in so many, its neighbours at others */

struct mc {
    struct history *h;
    struct sim *sim;
    struct kv_mem *mem[DISKS];
    struct sim_random random;
    /* of the present life */
    struct meta *m;
    bool stop, refused;
    unsigned clients_left;
    /* the model */
    uint64_t acked[CLIENTS];
    bool open[CLIENTS]; /* one more may be there */
};

/* ---- the machine ---------------------------------------------------------------------------- */

static void mirrors_crash(struct sim *s, void *arg)
{
    struct mc *c = arg;
    for (unsigned i = 0; i < DISKS; i++) {
        kv_mem_crash(c->mem[i], sim_choose(s, kv_mem_unsynced(c->mem[i]) + 1));
        kv_mem_fail_reads(c->mem[i], 0);
    }
}

static void mc_init(struct mc *c, struct history *h)
{
    struct sim_config config = {.seed = h->seed};
    *c = (struct mc){.h = h};
    sim_random_init(&c->random, h->seed, 40);
    EXPECT_OK(h, sim_new(&c->sim, &config), "machine");
    for (unsigned i = 0; i < DISKS; i++)
        EXPECT_OK(h, kv_mem_new(&c->mem[i], true), "mirror");
    sim_on_crash(c->sim, mirrors_crash, c);
}

static struct meta_mirror mirror(struct mc *c, unsigned disk)
{
    struct meta_mirror m = {.id = {(uint8_t)(disk + 1)}};
    EXPECT_OK(c->h, kv_mem_open(&m.kv, c->mem[disk]), "mirror");
    return m;
}

static struct meta_mirror_stats state_of(struct mc *c, unsigned disk)
{
    struct meta_mirror_stats all[META_MIRRORS_MAX];
    unsigned n = meta_mirror_stats(c->m, all);
    for (unsigned i = 0; i < n; i++)
        if (all[i].id[0] == disk + 1)
            return all[i];
    return (struct meta_mirror_stats){.state = META_MIRROR_LOST};
}

static int FIBER open_meta(struct mc *c, unsigned which)
{
    struct meta_mirror mirrors[DISKS];
    char why[META_WHY_BYTES];
    struct meta_mirrors_config config = {
        .mirrors = mirrors, .commit_batch_max = 4, .rebuild_bytes_per_s = 64 * KIB};
    for (unsigned i = 0; i < DISKS; i++)
        if (which & 1u << i)
            mirrors[config.count++] = mirror(c, i);
    int r = meta_mirrors_open(&c->m, &config, why);
    history_say(c->h, "  open %x: %s", which, r < 0 ? why : "");
    for (unsigned i = 0; i < DISKS && r == 0; i++)
        history_say(c->h, "    %u: state %d, generation %llu, batch %llu", i, state_of(c, i).state,
                    (unsigned long long)state_of(c, i).generation,
                    (unsigned long long)state_of(c, i).batch);
    return r;
}

static void FIBER wait_state(struct mc *c, unsigned disk, enum meta_mirror_state state)
{
    for (unsigned tries = 0; state_of(c, disk).state != state; tries++) {
        EXPECT(c->h, tries < 10000, "mirror %u never comes to state %d from %d, %d", disk, state,
               state_of(c, disk).state, state_of(c, disk).err);
        rt_sleep_until(rt_now() + 10 * RT_MS);
    }
}

/* ---- clients -------------------------------------------------------------------------------- */

struct count {
    unsigned client;
    uint64_t n; /* of the counter */
};

static struct str row_key(const struct count *c, uint64_t n, char ret[32])
{
    snprintf(ret, 32, "row%u/%06llu", c->client, (unsigned long long)n);
    return str_from(ret);
}

static struct str counter_key(const struct count *c, char ret[32])
{
    snprintf(ret, 32, "counter%u", c->client);
    return str_from(ret);
}

static int read_counter(struct meta_tx *tx, void *arg)
{
    struct count *c = arg;
    struct str value;
    char key[32];
    int r = meta_get(tx, counter_key(c, key), &value);
    if (r == 0)
        c->n = get_be64(value.ptr);
    else
        c->n = 0;
    return r == -ERR_NOT_FOUND ? 0 : r;
}

static int count_up(struct meta_tx *tx, void *arg)
{
    struct count *c = arg;
    char key[32], value[8];
    int r = read_counter(tx, c);
    if (r < 0)
        return r;
    put_be64(value, ++c->n);
    r = meta_put(tx, counter_key(c, key), str_make(value, sizeof(value)));
    if (r == 0)
        r = meta_put(tx, row_key(c, c->n, key), str_make(value, sizeof(value)));
    if (r == 0 && c->n > ROWS)
        r = meta_del(tx, row_key(c, c->n - ROWS, key));
    return r;
}

struct looked {
    struct count count;
    uint64_t rows, first, last;
};

static int look(struct meta_tx *tx, void *arg)
{
    struct looked *l = arg;
    struct meta_cursor *cursor;
    char prefix[16];
    int r = read_counter(tx, &l->count);
    snprintf(prefix, sizeof(prefix), "row%u/", l->count.client);
    l->rows = 0;
    if (r == 0)
        r = meta_cursor_open(tx, str_from(prefix), &cursor);
    if (r == 0)
        r = meta_cursor_seek(cursor, STR_NULL);
    while (r == 0 && meta_cursor_valid(cursor)) {
        l->last = get_be64(meta_cursor_value(cursor).ptr);
        if (l->rows++ == 0)
            l->first = l->last;
        r = meta_cursor_next(cursor);
    }
    return r;
}

/* Every counter against the model; settles what was open. */
static void FIBER check_counters(struct mc *c)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct looked l = {.count = {.client = i}};
        EXPECT_OK(c->h, meta_read(c->m, BUCKET_SYSTEM, look, &l), "look");
        uint64_t n = l.count.n;
        EXPECT(c->h, n == c->acked[i] || (c->open[i] && n == c->acked[i] + 1),
               "counter %u is %llu, %llu was acknowledged%s", i, (unsigned long long)n,
               (unsigned long long)c->acked[i], c->open[i] ? " and one is open" : "");
        EXPECT(c->h,
               l.rows == MIN(n, ROWS) && (n == 0 || (l.last == n && l.first + l.rows == n + 1)),
               "counter %u is %llu and has %llu rows", i, (unsigned long long)n,
               (unsigned long long)l.rows);
        c->acked[i] = n;
        c->open[i] = false;
    }
}

static bool refused(int err)
{
    return err == -ENOSPC || err == -ERR_READ_ONLY;
}

static int FIBER client(void *arg)
{
    struct mc *c = arg;
    unsigned i = --c->clients_left;
    while (!c->stop) {
        struct count count = {.client = i};
        c->open[i] = true;
        int r = meta_write(c->m, BUCKET_SYSTEM, count_up, &count);
        EXPECT(c->h, r == 0 || refused(r), "count: %d (%s)", r, err_text(r));
        EXPECT(c->h, r != 0 || count.n == c->acked[i] + 1, "counter %u goes from %llu to %llu", i,
               (unsigned long long)c->acked[i], (unsigned long long)count.n);
        c->acked[i] += r == 0;
        c->open[i] = false;
        rt_sleep_until(rt_now() + 3 * RT_MS);
    }
    return 0;
}

static void FIBER clients_start(struct mc *c, struct rt_fiber **fibers)
{
    c->stop = false;
    c->clients_left = CLIENTS;
    for (unsigned i = 0; i < CLIENTS; i++)
        EXPECT_OK(c->h, rt_spawn(&fibers[i], "client", client, c), "client");
}

static void FIBER clients_stop(struct mc *c, struct rt_fiber **fibers)
{
    c->stop = true;
    for (unsigned i = 0; i < CLIENTS; i++)
        EXPECT_OK(c->h, rt_join(fibers[i]), "client");
}

/* ---- lives ---------------------------------------------------------------------------------- */

static void FIBER add(struct mc *c, unsigned disk)
{
    struct meta_mirror m = mirror(c, disk);
    EXPECT_OK(c->h, meta_mirror_add(c->m, &m), "add");
    wait_state(c, disk, META_MIRROR_IN);
}

/* One that failed for good is there anew, as after a repair of the disk; it may still be closing.
 */
static void FIBER bring_back(struct mc *c, unsigned disk)
{
    int r = -ERR_EXISTS;
    kv_mem_fail_syncs(c->mem[disk], 0, 0);
    kv_mem_fail_reads(c->mem[disk], 0);
    for (unsigned tries = 0; r == -ERR_EXISTS && tries < 1000; tries++) {
        struct meta_mirror m = mirror(c, disk);
        r = meta_mirror_add(c->m, &m);
        rt_sleep_until(rt_now() + RT_MS);
    }
    EXPECT_OK(c->h, r, "bring back");
    wait_state(c, disk, META_MIRROR_IN);
}

/* Reads fail where they go, that is in one of the mirrors. */
static void FIBER fail_and_bring_back(struct mc *c, unsigned disk)
{
    if (sim_random_one_in(&c->random, 2)) {
        kv_mem_fail_syncs(c->mem[disk], UINT64_MAX, -EIO);
    } else {
        while (!state_of(c, disk).reading)
            disk = (disk + 1) % DISKS;
        kv_mem_fail_reads(c->mem[disk], -ERR_CORRUPT);
    }
    wait_state(c, disk, META_MIRROR_LOST);
    bring_back(c, disk);
}

static void FIBER fall_short(struct mc *c, unsigned disk)
{
    kv_mem_break_log(c->mem[disk], -ENOSPC, 1 + (unsigned)sim_random_below(&c->random, 3));
    wait_state(c, disk, META_MIRROR_LOST);
    wait_state(c, disk, META_MIRROR_IN);
}

static void FIBER leave_and_come_back(struct mc *c, unsigned disk)
{
    uint8_t id[META_MIRROR_ID_BYTES] = {(uint8_t)(disk + 1)};
    EXPECT_OK(c->h, meta_mirror_remove(c->m, id), "remove");
    bring_back(c, disk);
}

/* Everything that can happen to mirrors, once. */
static int FIBER life_of_changes(void *arg)
{
    struct mc *c = arg;
    struct rt_fiber *fibers[CLIENTS];
    EXPECT_OK(c->h, open_meta(c, 1), "open the first");
    clients_start(c, fibers);
    rt_sleep_until(rt_now() + 30 * RT_MS);
    add(c, 1);
    add(c, 2);
    fail_and_bring_back(c, c->h->seed % DISKS);
    fall_short(c, (c->h->seed + 1) % DISKS);
    leave_and_come_back(c, (c->h->seed + 2) % DISKS);
    clients_stop(c, fibers);
    check_counters(c);
    meta_close(c->m);
    return 0;
}

static void expect_same(struct mc *c, unsigned a, unsigned b)
{
    struct kv *kv[2] = {mirror(c, a).kv, mirror(c, b).kv};
    struct kv_iter *it[2];
    for (unsigned i = 0; i < 2; i++) {
        EXPECT_OK(c->h, kv_iter_new(kv[i], NULL, NULL, 0, &it[i]), "walk");
        kv_iter_seek(it[i], STR_NULL);
    }
    for (bool more = true; more;) {
        for (unsigned i = 0; i < 2; i++)
            while (kv_iter_valid(it[i]) && kv_iter_key(it[i]).len < 8)
                kv_iter_next(it[i]);
        more = kv_iter_valid(it[0]);
        EXPECT(c->h, more == kv_iter_valid(it[1]), "mirrors %u and %u: one has more", a, b);
        if (!more)
            break;
        EXPECT(c->h,
               str_eq(kv_iter_key(it[0]), kv_iter_key(it[1])) &&
                   str_eq(kv_iter_value(it[0]), kv_iter_value(it[1])),
               "mirrors %u and %u differ", a, b);
        kv_iter_next(it[0]);
        kv_iter_next(it[1]);
    }
    for (unsigned i = 0; i < 2; i++) {
        kv_iter_free(it[i]);
        kv_close(kv[i]);
    }
}

/* With all disks: what was acknowledged is there, under clients all mirrors become whole. */
static int FIBER life_of_recovery(void *arg)
{
    struct mc *c = arg;
    struct rt_fiber *fibers[CLIENTS];
    EXPECT_OK(c->h, open_meta(c, ALL), "open all");
    check_counters(c);
    clients_start(c, fibers);
    for (unsigned i = 0; i < DISKS; i++)
        wait_state(c, i, META_MIRROR_IN);
    rt_sleep_until(rt_now() + 10 * RT_MS);
    clients_stop(c, fibers);
    check_counters(c);
    meta_close(c->m);
    for (unsigned i = 1; i < DISKS; i++)
        expect_same(c, 0, i);
    return 0;
}

static uint64_t count_events(struct history *h, int (*life)(void *arg))
{
    struct mc c;
    mc_init(&c, h);
    EXPECT_OK(h, sim_rt_run(c.sim, life, &c), "life");
    uint64_t events = sim_events(c.sim);
    EXPECT_OK(h, sim_rt_run(c.sim, life_of_recovery, &c), "recovery");
    history_sim_end(h, c.sim);
    return events;
}

/* Power loss at each write of coming in, failing, being rebuilt; and again while it recovers. */
void case_mirrors_crash_every_write(struct history *h)
{
    struct mc c;
    if (h->variant == 0) {
        h->variants = count_events(h, life_of_changes) / STRIDE;
        return;
    }
    mc_init(&c, h);
    sim_crash_at(c.sim, (h->variant - 1) * STRIDE + 1 + h->seed % STRIDE);
    int r = sim_rt_run(c.sim, life_of_changes, &c);
    EXPECT(h, r == SIM_CRASHED, "no crash: %d", r);
    for (unsigned i = 0; i < 2; i++) {
        sim_crash_at(c.sim, sim_events(c.sim) + 1 + sim_random_below(&c.random, 60));
        r = sim_rt_run(c.sim, life_of_recovery, &c);
        EXPECT(h, r == 0 || r == SIM_CRASHED, "recovery ends with %d", r);
    }
    sim_crash_at(c.sim, 0);
    EXPECT_OK(h, sim_rt_run(c.sim, life_of_recovery, &c), "recovery");
    history_sim_end(h, c.sim);
}

/* ---- disks that are not there --------------------------------------------------------------- */

static void FIBER some_fault(struct mc *c)
{
    unsigned disk = (unsigned)sim_random_below(&c->random, DISKS), in = 0;
    for (unsigned i = 0; i < DISKS; i++)
        in += state_of(c, i).state == META_MIRROR_IN;
    if (in < 2 || state_of(c, disk).state != META_MIRROR_IN)
        return;
    history_say(c->h, "  a fault of %u", disk);
    if (sim_random_one_in(&c->random, 2)) {
        kv_mem_fail_syncs(c->mem[disk], UINT64_MAX, -EIO);
        wait_state(c, disk, META_MIRROR_LOST);
        kv_mem_fail_syncs(c->mem[disk], 0, 0);
    } else {
        kv_mem_break_log(c->mem[disk], -ENOSPC, 1);
        wait_state(c, disk, META_MIRROR_LOST);
    }
}

/* Some disks are missing. A start that is refused is right if it is not the only way. */
static int FIBER life_without_some(void *arg)
{
    struct mc *c = arg;
    struct rt_fiber *fibers[CLIENTS];
    int r = open_meta(c, 1 + (unsigned)sim_random_below(&c->random, ALL));
    c->refused = r == -ERR_CONFLICT;
    if (c->refused)
        EXPECT_OK(c->h, open_meta(c, ALL), "open all");
    else
        EXPECT_OK(c->h, r, "open some");
    check_counters(c);
    clients_start(c, fibers);
    for (unsigned i = 0; i < 3; i++) {
        rt_sleep_until(rt_now() + sim_random_below(&c->random, 40) * RT_MS);
        some_fault(c);
    }
    clients_stop(c, fibers);
    check_counters(c);
    meta_close(c->m);
    return 0;
}

/* No start with fewer disks than are known takes an old state for the newest. */
void case_mirrors_missing_at_the_start(struct history *h)
{
    struct mc c;
    mc_init(&c, h);
    EXPECT_OK(h, sim_rt_run(c.sim, life_of_recovery, &c), "first life");
    for (unsigned life = 0; life < 12; life++) {
        bool crash = sim_random_one_in(&c.random, 2);
        sim_crash_at(c.sim, crash ? sim_events(c.sim) + 1 + sim_random_below(&c.random, 300) : 0);
        int r = sim_rt_run(c.sim, life_without_some, &c);
        EXPECT(h, r == 0 || r == SIM_CRASHED, "life %u ends with %d", life, r);
    }
    sim_crash_at(c.sim, 0);
    EXPECT_OK(h, sim_rt_run(c.sim, life_of_recovery, &c), "recovery");
    history_sim_end(h, c.sim);
}
