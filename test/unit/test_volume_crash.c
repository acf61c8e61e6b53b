/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * Power loss at every effect on the disk while needles are appended, streamed, deleted and
 * compacted; and the faults a disk may answer with. Each history runs in a child of its own.
 */

#include <stdlib.h>
#include <sys/wait.h>
#include "volume_help.h"
#include "rt/sim/sim.h"

#define KEYS    48
#define WRITERS 4

/* What is known of a key from outside. */
enum fate {
    FATE_ABSENT,    /* never acknowledged, or nothing was tried */
    FATE_TRYING,    /* an append or a delete is under way */
    FATE_PRESENT,   /* its append was acknowledged */
    FATE_DELETING,  /* present; a delete is under way */
    FATE_DELETED,   /* its delete was acknowledged */
    FATE_UNDECIDED, /* a call failed: either way is right */
};

struct history {
    struct sim *s;
    struct sim_disk *disk;
    struct kv_mem *index;
    struct disk *d;
    enum fate fate[KEYS];
    bool faulty; /* calls may fail */
    unsigned failures;
    bool quiet; /* nobody writes any more */
};

#define EXPECT(cond)                                                            \
    do {                                                                        \
        if (!(cond)) {                                                          \
            fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #cond); \
            _exit(1);                                                           \
        }                                                                       \
    } while (0)

static size_t len_of(uint64_t n)
{
    return n % 8 == 7 ? 300000 : 200 + n * 700;
}

static int open_disk(struct history *h)
{
    struct disk_config c = {.path = "/d0/disk", .volume_bytes_max = 640 * KIB, .reserve_bytes = 1};
    int err = kv_mem_open(&c.index, h->index);
    return err ? err : disk_open(&h->d, &c);
}

/* ---- the first life ------------------------------------------------------------------------- */

static int append_one(struct disk *d, uint64_t n)
{
    size_t len = len_of(n);
    uint8_t *data = malloc(len);
    fill(data, len, n);
    struct needle_info info = {.len_bytes = len, .encode_id = n + 1, .code_k = 1};
    struct iovec iov[2] = {{data, len / 2}, {data + len / 2, len - len / 2}};
    struct put p;
    struct needle_writer *w;
    int err = 0;
    if (n % 4 != 3) {
        err = disk_append(d, key_of(n), &info, iov, 2, &p.hint, &p.digest);
    } else if ((err = needle_begin(d, key_of(n), &info, &w)) == 0) {
        err = needle_write(w, &iov[0], 1);
        if (err == 0)
            err = needle_write(w, &iov[1], 1);
        if (err == 0)
            err = needle_commit(w, &p.hint, &p.digest);
        else
            needle_abort(w);
    }
    free(data);
    return err;
}

static void done(struct history *h, uint64_t n, int err, enum fate good)
{
    EXPECT(err == 0 || h->faulty);
    h->failures += err != 0;
    h->fate[n] = err ? FATE_UNDECIDED : good;
}

static void delete_one(struct history *h, uint64_t n)
{
    struct needle_key k = key_of(n);
    h->fate[n] = FATE_DELETING;
    done(h, n, disk_delete(h->d, &k, 1), FATE_DELETED);
}

struct writer {
    struct history *h;
    uint64_t first;
};

static int writer(void *arg)
{
    struct writer *w = arg;
    struct history *h = w->h;
    for (uint64_t n = w->first; n < KEYS; n += WRITERS) {
        if (h->fate[n] == FATE_ABSENT) {
            h->fate[n] = FATE_TRYING;
            done(h, n, append_one(h->d, n), FATE_PRESENT);
        }
        uint64_t gone = n - 2 * WRITERS;
        if (n >= 2 * WRITERS && n % 3 && h->fate[gone] == FATE_PRESENT) {
            delete_one(h, gone);
        }
    }
    return 0;
}

/* Deletes while the last compactions copy. */
static int deleter(void *arg)
{
    struct history *h = arg;
    for (uint64_t n = 0; n < KEYS; n++)
        if (h->fate[n] == FATE_PRESENT && n % 5 < 3) {
            delete_one(h, n);
            rt_sleep_until(rt_now() + RT_MS / 5);
        }
    return 0;
}

/* The index is carried and made to survive again and again, whatever is under way. */
static int checkpointer(void *arg)
{
    struct history *h = arg;
    while (!h->quiet) {
        int err = disk_checkpoint(h->d);
        EXPECT(err == 0 || h->faulty);
        rt_sleep_until(rt_now() + RT_MS / 2);
    }
    return 0;
}

static void compact_beside(struct history *h, int (*other)(void *), void *arg)
{
    struct rt_fiber *f;
    EXPECT(rt_spawn(&f, "other", other, arg) == 0);
    int err = 0;
    for (uint64_t freed = 1; freed > 0 && err == 0;)
        err = disk_compact(h->d, &freed);
    EXPECT(err == 0 || h->faulty);
    rt_join(f);
}

static int live(void *arg)
{
    struct history *h = arg;
    int err = open_disk(h);
    EXPECT(err == 0 || h->faulty);
    if (err)
        return 0;
    struct writer w[WRITERS];
    struct rt_fiber *f[WRITERS], *saver;
    h->quiet = false;
    EXPECT(rt_spawn(&saver, "checkpointer", checkpointer, h) == 0);
    for (unsigned i = 0; i < WRITERS; i++) {
        w[i] = (struct writer){h, i};
        EXPECT(rt_spawn(&f[i], "writer", writer, &w[i]) == 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        uint64_t freed;
        rt_sleep_until(rt_now() + 3 * RT_MS);
        err = disk_compact(h->d, &freed);
        EXPECT(err == 0 || h->faulty);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        rt_join(f[i]);
    compact_beside(h, deleter, h);
    h->quiet = true;
    rt_join(saver);
    disk_close(TAKE_PTR(h->d));
    return 0;
}

/* ---- the lives after the crash -------------------------------------------------------------- */

static void check_all(struct history *h)
{
    for (uint64_t n = 0; n < KEYS; n++) {
        int err = check_try(h->d, n, len_of(n), NULL);
        EXPECT(err == 0 || err == -ERR_NOT_FOUND);
        if (h->fate[n] == FATE_PRESENT)
            EXPECT(err == 0);
        if (h->fate[n] == FATE_DELETED)
            EXPECT(err == -ERR_NOT_FOUND);
    }
}

static int complain(const struct disk_verify_event *e, void *arg)
{
    if (e->err && e->err != -ERR_READ_ONLY) {
        fprintf(stderr, "verify: %s (%s)\n", e->text, err_text(e->err));
        _exit(1);
    }
    return 0;
}

static int look(void *arg)
{
    struct history *h = arg;
    EXPECT(open_disk(h) == 0);
    check_all(h);
    EXPECT(disk_verify(h->d, complain, NULL) == 0);
    for (uint64_t freed = 1; freed > 0;)
        EXPECT(disk_compact(h->d, &freed) == 0);
    check_all(h);
    put(h->d, 1000, 5000);
    EXPECT(disk_verify(h->d, complain, NULL) == 0);
    disk_close(TAKE_PTR(h->d));
    return 0;
}

static void lose_index_at_crash(struct sim *s, void *arg)
{
    struct history *h = arg;
    kv_mem_crash(h->index, sim_choose(s, kv_mem_unsynced(h->index) + 1));
}

static struct history machine(uint64_t seed, enum sim_keep keep)
{
    struct history h = {};
    struct sim_config c = {.seed = seed, .keep = keep};
    EXPECT(sim_new(&h.s, &c) == 0);
    EXPECT(sim_disk_new(&h.disk, h.s, "/d0", 64 * MIB) == 0);
    EXPECT(kv_mem_new(&h.index, false) == 0);
    return h;
}

static void lives_after(struct history *h)
{
    sim_crash_at(h->s, 0);
    sim_disk_heal(h->disk);
    EXPECT(sim_rt_run(h->s, look, h) == 0);
    EXPECT(kv_mem_new(&h->index, false) == 0); /* and with the index gone */
    EXPECT(sim_rt_run(h->s, look, h) == 0);
}

/* ---- histories ------------------------------------------------------------------------------ */

/* What was under way at a crash may be there or not. */
static void undecide(struct history *h)
{
    for (uint64_t n = 0; n < KEYS; n++)
        if (h->fate[n] == FATE_TRYING || h->fate[n] == FATE_DELETING)
            h->fate[n] = FATE_UNDECIDED;
}

static void live_until(struct history *h, uint64_t event)
{
    sim_crash_at(h->s, event);
    int r = sim_rt_run(h->s, live, h);
    EXPECT(r == 0 || r == SIM_CRASHED);
    undecide(h);
}

/* `again`: events of a second life, which ends in a crash too; 0: none. */
static void crash_history(uint64_t seed, uint64_t event, uint64_t again)
{
    struct history h = machine(seed, SIM_KEEP_SEED);
    sim_on_crash(h.s, lose_index_at_crash, &h);
    live_until(&h, event);
    if (again)
        live_until(&h, sim_events(h.s) + again);
    lives_after(&h);
}

static void fault_history(enum sim_fault_kind kind, uint64_t nth, uint64_t count, bool crash)
{
    struct history h = machine(nth, SIM_KEEP_SEED);
    struct sim_fault fault = {.kind = kind, .path_part = ".vol", .nth = nth, .count = count};
    h.faulty = true;
    sim_on_crash(h.s, lose_index_at_crash, &h);
    sim_disk_fault(h.disk, &fault);
    EXPECT(sim_rt_run(h.s, live, &h) == 0);
    if (crash)
        sim_power_off(h.s);
    lives_after(&h);
}

/* The number of events that a life without a crash has. */
static uint64_t events_of_a_life(uint64_t seed)
{
    struct history h = machine(seed, SIM_KEEP_ALL);
    EXPECT(sim_rt_run(h.s, live, &h) == 0);
    uint64_t events = sim_events(h.s);
    kv_mem_free(h.index);
    sim_free(h.s);
    return events;
}

static void in_child(void (*fn)(const uint64_t args[4]), const uint64_t args[4])
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        fn(args);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("history %llu %llu %llu %llu failed", (unsigned long long)args[0],
                 (unsigned long long)args[1], (unsigned long long)args[2],
                 (unsigned long long)args[3]);
}

static void crash_child(const uint64_t args[4])
{
    crash_history(args[0], args[1], args[2]);
}

static void fault_child(const uint64_t args[4])
{
    fault_history((enum sim_fault_kind)args[0], args[1], args[2], args[3] != 0);
}

/* A stride that keeps the test short; CAIRN_EVERY=1 takes every event. */
static uint64_t stride(uint64_t usual)
{
    const char *every = getenv("CAIRN_EVERY");
    return every ? strtoull(every, NULL, 10) : usual;
}

static void crash_at_any_event_loses_nothing(void **state)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        uint64_t events = events_of_a_life(seed), step = stride(23);
        assert_true(events > 200);
        for (uint64_t e = 1 + seed % step; e <= events; e += step)
            in_child(crash_child, (uint64_t[4]){seed, e});
    }
}

static void crash_soon_after_a_crash_loses_nothing(void **state)
{
    for (uint64_t seed = 11; seed <= 13; seed++) {
        uint64_t events = events_of_a_life(seed), step = stride(31);
        for (uint64_t e = 1 + seed % step; e <= events; e += step)
            in_child(crash_child, (uint64_t[4]){seed, e, 1 + (e * 7 + seed) % 60});
    }
}

static void fault_sweep(enum sim_fault_kind kind, uint64_t count)
{
    for (uint64_t nth = 1; nth <= 120; nth += stride(11))
        for (uint64_t crash = 0; crash < 2; crash++)
            in_child(fault_child, (uint64_t[4]){kind, nth, count, crash});
}

static void sync_error_loses_nothing_acknowledged(void **state)
{
    fault_sweep(SIM_SYNC_EIO, 1);
    fault_sweep(SIM_SYNC_EIO, 5);
    fault_sweep(SIM_SYNC_EIO, UINT64_MAX);
}

static void full_disk_loses_nothing_acknowledged(void **state)
{
    fault_sweep(SIM_WRITE_ENOSPC, 1);
    fault_sweep(SIM_WRITE_ENOSPC, UINT64_MAX);
}

static void write_error_loses_nothing_acknowledged(void **state)
{
    fault_sweep(SIM_WRITE_EIO, 1);
    fault_sweep(SIM_WRITE_EIO, UINT64_MAX);
}

static void read_error_loses_nothing_acknowledged(void **state)
{
    fault_sweep(SIM_READ_EIO, 1);
    fault_sweep(SIM_READ_EIO, UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crash_at_any_event_loses_nothing),
        cmocka_unit_test(crash_soon_after_a_crash_loses_nothing),
        cmocka_unit_test(sync_error_loses_nothing_acknowledged),
        cmocka_unit_test(full_disk_loses_nothing_acknowledged),
        cmocka_unit_test(write_error_loses_nothing_acknowledged),
        cmocka_unit_test(read_error_loses_nothing_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
