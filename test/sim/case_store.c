/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The whole node, from volume to store, against its model.
 */

#include <stdio.h>
#include "sim/cases.h"
#include "sim/store_model.h"

#define DISK_BYTES (64 * MIB)
#define LIVES      4u

/* Lives with a crash in two of three, then a last one that looks for garbage. */
static void lives(struct sm *m, uint32_t ops, unsigned bias)
{
    struct history *h = m->h;
    m->bias = bias;
    struct sim_random r = history_op_random(h, ops + 1);
    for (uint32_t life = 1; life <= LIVES; life++) {
        m->life_ops_end = ops * life / LIVES;
        uint64_t at = sim_events(m->sim) + 1 + sim_random_below(&r, 350);
        sm_run_to_crash(m, sim_random_one_in(&r, 3) ? 0 : at);
    }
    sm_run(m, sm_life_work, "the rest");
    sim_power_off(m->sim);
    sm_run(m, sm_life_final, "final");
    sm_release(m);
}

static void model_history(struct history *h, uint32_t ops, unsigned bias)
{
    struct sm m;
    sm_init(&m, h, SIM_KEEP_SEED, DISK_BYTES, ops);
    lives(&m, ops, bias);
}

/* Disks die, as many as may, come back or are replaced; no client sees an error or a wrong byte. */
static void disks_history(struct history *h, uint32_t ops, unsigned disks, bool big)
{
    struct sm m;
    sm_init_disks(&m, h, SIM_KEEP_SEED, DISK_BYTES, ops, disks);
    m.big = big;
    lives(&m, ops, 0);
}

void case_disks_die_and_are_replaced(struct history *h)
{
    static const unsigned counts[] = {2, 3, 4, 5, 6};
    disks_history(h, 100, counts[h->seed % ARRAY_LEN(counts)], false);
}

void case_two_disks_of_six_die(struct history *h)
{
    disks_history(h, 60, 6, true);
}

/* Nothing is lost but what is removed by its version: at the end that is everything but the current
 * objects. Over one disk, or over three that die. */
void case_model_versions(struct history *h)
{
    struct sm m;
    if (h->seed % 2)
        sm_init(&m, h, SIM_KEEP_SEED, DISK_BYTES, 100);
    else
        sm_init_disks(&m, h, SIM_KEEP_SEED, DISK_BYTES, 60, 3);
    m.versioned = true;
    lives(&m, h->seed % 2 ? 100 : 60, 0);
}

void case_model_put_get_delete_list(struct history *h)
{
    model_history(h, 150, 0);
}

void case_model_multipart(struct history *h)
{
    model_history(h, 60, SM_MULTIPART);
}

void case_reader_during_gc(struct history *h)
{
    model_history(h, 60, SM_READ_DELETED);
}

/* ---- at every place ------------------------------------------------------------------------- */

#define SHORT_OPS 18u
#define STRIDE    5u /* a seed looks at every fifth place, its neighbours at the others */

static void count_short(struct history *h, uint64_t *ret_events, struct sim_disk_counts *ret_counts)
{
    struct sm m;
    sm_init(&m, h, SIM_KEEP_SEED, DISK_BYTES, SHORT_OPS);
    m.bias = SM_PUT;
    sm_run(&m, sm_life_work, "work");
    *ret_events = sim_events(m.sim);
    sim_disk_counts(m.sim_disk, ret_counts);
    sm_release(&m);
}

static uint64_t nth_of_variant(const struct history *h)
{
    return (h->variant - 1) * STRIDE + 1 + h->seed % STRIDE;
}

void case_store_crash_every_write(struct history *h)
{
    if (h->variant == 0) {
        uint64_t events;
        struct sim_disk_counts counts;
        count_short(h, &events, &counts);
        h->variants = events / STRIDE;
        return;
    }
    struct sm m;
    sm_init(&m, h, SIM_KEEP_SEED, DISK_BYTES, SHORT_OPS);
    m.bias = SM_PUT;
    sm_run_to_crash(&m, nth_of_variant(h));
    sm_run(&m, sm_life_work, "go on");
    sim_power_off(m.sim);
    sm_run(&m, sm_life_final, "final");
    sm_release(&m);
}

static void store_fault_history(struct history *h, enum sim_fault_kind kind, uint64_t count)
{
    if (h->variant == 0) {
        uint64_t events;
        struct sim_disk_counts c;
        count_short(h, &events, &c);
        uint64_t places = kind == SIM_READ_EIO   ? c.reads
                          : kind == SIM_SYNC_EIO ? c.syncs
                                                 : c.writes;
        h->variants = (places + STRIDE - 1) / STRIDE;
        return;
    }
    struct sm m;
    struct sim_fault fault = {kind, NULL, nth_of_variant(h), count};
    sm_init(&m, h, SIM_KEEP_SEED, DISK_BYTES, SHORT_OPS);
    m.bias = SM_PUT;
    m.faults = true;
    sim_disk_fault(m.sim_disk, &fault);
    sm_run_to_crash(&m, 0);
    sim_disk_heal(m.sim_disk);
    sim_power_off(m.sim);
    m.faults = false;
    sm_run(&m, sm_life_work, "healed");
    sim_power_off(m.sim);
    sm_run(&m, sm_life_final, "final");
    sm_release(&m);
}

void case_store_enospc_at_each_write(struct history *h)
{
    store_fault_history(h, SIM_WRITE_ENOSPC, 1);
}

void case_store_fsync_error_once(struct history *h)
{
    store_fault_history(h, SIM_SYNC_EIO, 1);
}

void case_store_fsync_error_sticky(struct history *h)
{
    store_fault_history(h, SIM_SYNC_EIO, UINT64_MAX);
}

void case_store_eio_at_each_read(struct history *h)
{
    store_fault_history(h, SIM_READ_EIO, 1);
}

/* ---- a disk that lies ----------------------------------------------------------------------- */

/* One write is lost or goes elsewhere: objects may be refused then, and no byte is wrong. */
static void store_damage_history(struct history *h, enum sim_fault_kind kind)
{
    if (h->variant == 0) {
        uint64_t events;
        struct sim_disk_counts c;
        count_short(h, &events, &c);
        h->variants = (c.writes + STRIDE - 1) / STRIDE;
        return;
    }
    struct sm m;
    struct sim_fault fault = {kind, NULL, nth_of_variant(h), 1};
    sm_init(&m, h, SIM_KEEP_SEED, DISK_BYTES, SHORT_OPS);
    m.bias = SM_PUT;
    m.faults = m.damage = true;
    sim_disk_fault(m.sim_disk, &fault);
    sm_run_to_crash(&m, 0);
    sim_power_off(m.sim);
    sm_run_to_crash(&m, 0);
    sm_release(&m);
}

void case_store_lost_write(struct history *h)
{
    store_damage_history(h, SIM_WRITE_LOST);
}

void case_store_misdirected_write(struct history *h)
{
    store_damage_history(h, SIM_WRITE_MISPLACED);
}

/* ---- the metadata's store ------------------------------------------------------------------- */

/* The work, with something done to the stores after a while, and undone a while later. */
struct store_fault {
    struct sm *m;
    void (*begin)(struct sm *m);
    void (*end)(struct sm *m);
    uint64_t after_ns, for_ns;
};

static int FIBER store_fault_life(void *arg)
{
    struct store_fault *f = arg;
    struct rt_fiber *work;
    EXPECT_OK(f->m->h, rt_spawn(&work, "work", sm_life_work, f->m), "spawn");
    rt_sleep_until(rt_now() + f->after_ns);
    f->begin(f->m);
    rt_sleep_until(rt_now() + f->for_ns);
    f->end(f->m);
    return rt_join(work);
}

static void stores_fault_history(struct history *h, struct store_fault *f, bool deletes_go_on)
{
    struct sm m;
    struct sim_random r = history_op_random(h, 1000);
    sm_init(&m, h, SIM_KEEP_SEED, DISK_BYTES, 40);
    m.faults = true;
    m.deletes_go_on = deletes_go_on;
    f->m = &m;
    f->after_ns = sim_random_below(&r, 60) * RT_MS;
    f->for_ns = sim_random_below(&r, 60) * RT_MS;
    int err = sim_rt_run(m.sim, store_fault_life, f);
    sm_excused(&m, err, "life", 0);
    f->end(&m);
    m.leftovers = true;
    sim_power_off(m.sim);
    m.faults = m.deletes_go_on = false;
    sm_run(&m, sm_life_work, "after the restart");
    sim_power_off(m.sim);
    sm_run(&m, sm_life_final, "final");
    sm_release(&m);
}

static void meta_sync_fails(struct sm *m)
{
    kv_mem_fail_syncs(m->meta_mem, 1, -EIO);
}

static void meta_sync_works(struct sm *m)
{
    kv_mem_fail_syncs(m->meta_mem, 0, 0);
}

/* The metadata's log fails to sync, once, somewhere: nothing of that batch is seen, nothing is
 * acknowledged after it until the restart. */
void case_meta_sync_error(struct history *h)
{
    struct store_fault f = {.begin = meta_sync_fails, .end = meta_sync_works};
    stores_fault_history(h, &f, false);
}

static void meta_log_breaks(struct sm *m)
{
    kv_mem_break_log(m->meta_mem, -ENOSPC, 1 + m->h->seed % 5);
}

static void meta_log_is_whole(struct sm *m)
{
    (void)m;
}

/* The metadata's log refuses a write and all that follow, until it was opened anew some times. */
void case_meta_log_recovers(struct history *h)
{
    struct store_fault f = {.begin = meta_log_breaks, .end = meta_log_is_whole};
    stores_fault_history(h, &f, false);
}

static void meta_is_full(struct sm *m)
{
    kv_mem_set_full(m->meta_mem, true);
}

static void meta_has_room(struct sm *m)
{
    kv_mem_set_full(m->meta_mem, false);
}

/* The metadata's disk is nearly full for a while: writes are refused, deletions are not. */
void case_meta_full(struct history *h)
{
    struct store_fault f = {.begin = meta_is_full, .end = meta_has_room};
    stores_fault_history(h, &f, true);
}

static void index_sync_fails(struct sm *m)
{
    kv_mem_fail_syncs(m->index_mem, 1 + m->h->seed % 3, -EIO);
}

static void index_sync_works(struct sm *m)
{
    kv_mem_fail_syncs(m->index_mem, 0, 0);
}

/* Flushes of the needle index fail: it is behind then, and a restart replays the volumes. */
void case_index_flush_error(struct history *h)
{
    struct store_fault f = {.begin = index_sync_fails, .end = index_sync_works};
    stores_fault_history(h, &f, false);
}

/* Volumes whose syncs are lost while the metadata's are not: acknowledged objects go, and the model
 * must say so. */
void case_planted_store_sync_lost(struct history *h)
{
    struct sm m;
    struct sim_random r = history_op_random(h, 1000);
    struct sim_fault fault = {SIM_SYNC_LOST, NULL, 1, UINT64_MAX};
    sm_init(&m, h, SIM_KEEP_SEED, DISK_BYTES, 60);
    m.bias = SM_PUT;
    sim_disk_fault(m.sim_disk, &fault);
    sm_run_to_crash(&m, 60 + sim_random_below(&r, 300));
    sm_run(&m, sm_life_work, "go on");
    sm_release(&m);
}
