/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The simulator tested by itself: a log of records in slots, once right and once with each classic
 * mistake planted. The right one must hold under every seed; each mistake must be found.
 *
 * Two fibers write a slot each in turn: record (tag, crc) at slot * SLOT_BYTES, sync, acknowledge.
 * After a crash an acknowledged slot holds its record; any other holds its record or is refused by
 * its CRC. Slots straddle pages and sectors.
 */

#include "base/hash.h"
#include "sim/cases.h"

#define SLOTS      12u
#define SLOT_BYTES 3000u

enum mistake {
    RIGHT,
    NO_SYNC,
    ACK_BEFORE_SYNC,
    NO_DIR_SYNC,
    NO_CRC,
    RETRY_AFTER_SYNC_ERROR,
};

struct log_case {
    struct history *h;
    enum mistake mistake;
    struct rt_file *file;
    unsigned next;
    bool acked[SLOTS];
};

struct record {
    uint32_t crc;
    uint32_t slot;
    uint8_t bytes[SLOT_BYTES - 8];
};

static void record_make(struct record *r, unsigned slot)
{
    r->slot = slot;
    history_fill(r->bytes, sizeof r->bytes, slot + 1);
    r->crc = hash_crc32c(0, &r->slot, sizeof *r - sizeof r->crc);
}

static bool record_valid(const struct log_case *c, const struct record *r, unsigned slot)
{
    if (c->mistake == NO_CRC)
        return r->crc != 0;
    return r->slot == slot && r->crc == hash_crc32c(0, &r->slot, sizeof *r - sizeof r->crc);
}

static int FIBER log_check(struct log_case *c)
{
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        struct record r = {0};
        size_t len;
        int err = rt_file_read(c->file, &r, sizeof r, slot * SLOT_BYTES, &len);
        if (err)
            return err;
        bool valid = len == sizeof r && record_valid(c, &r, slot);
        EXPECT(c->h, valid || !c->acked[slot], "acknowledged slot %u is lost", slot);
        EXPECT(c->h, !valid || history_fill_differs(r.bytes, sizeof r.bytes, slot + 1) < 0,
               "slot %u gives wrong bytes", slot);
    }
    return 0;
}

static int FIBER log_append(struct log_case *c, unsigned slot)
{
    struct record r;
    record_make(&r, slot);
    struct iovec iov = {&r, sizeof r};
    int err = rt_file_write(c->file, &iov, 1, slot * SLOT_BYTES);
    if (err)
        return err;
    if (c->mistake == ACK_BEFORE_SYNC)
        c->acked[slot] = true;
    if (c->mistake != NO_SYNC)
        err = rt_file_sync(c->file);
    if (err && c->mistake == RETRY_AFTER_SYNC_ERROR)
        err = rt_file_sync(c->file);
    if (!err)
        c->acked[slot] = true;
    return err;
}

static int FIBER log_writer(void *arg)
{
    struct log_case *c = arg;
    while (c->next < SLOTS) {
        int err = log_append(c, c->next++);
        if (err)
            return err;
    }
    return 0;
}

static int FIBER log_life(void *arg)
{
    struct log_case *c = arg;
    int err = rt_file_open(&c->file, "/d0/log", RT_OPEN_WRITE | RT_OPEN_CREATE);
    if (!err && c->mistake != NO_DIR_SYNC)
        err = rt_dir_sync("/d0");
    if (!err)
        err = log_check(c);
    struct rt_fiber *other;
    if (!err)
        err = rt_spawn(&other, "log-writer", log_writer, c);
    if (err)
        return err;
    err = log_writer(c);
    int other_err = rt_join(other);
    rt_file_close(c->file);
    return err ? err : other_err;
}

static int FIBER log_check_life(void *arg)
{
    struct log_case *c = arg;
    int err = rt_file_open(&c->file, "/d0/log", RT_OPEN_READ);
    if (err == -ENOENT) {
        for (unsigned slot = 0; slot < SLOTS; slot++)
            EXPECT(c->h, !c->acked[slot], "the file of slot %u is lost", slot);
        return 0;
    }
    err = log_check(c);
    rt_file_close(c->file);
    return err;
}

static struct sim *log_machine(struct history *h, struct sim_disk **ret)
{
    struct sim *s;
    struct sim_config config = {.seed = h->seed};
    EXPECT_OK(h, sim_new(&s, &config), "machine");
    EXPECT_OK(h, sim_disk_new(ret, s, "/d0", MIB), "disk");
    return s;
}

static void log_history(struct history *h, enum mistake mistake)
{
    struct log_case c = {.h = h, .mistake = mistake};
    struct sim_disk *d;
    struct sim *s = log_machine(h, &d);
    struct sim_random r = history_op_random(h, 0);
    if (mistake == RETRY_AFTER_SYNC_ERROR) {
        struct sim_fault f = {SIM_SYNC_EIO, "log", 1 + sim_random_below(&r, SLOTS), 1};
        sim_disk_fault(d, &f);
    }
    for (unsigned life = 0; life < 3; life++) {
        sim_crash_at(s, sim_events(s) + 1 + sim_random_below(&r, 60));
        int err = sim_rt_run(s, log_life, &c);
        EXPECT(h, err == 0 || err == SIM_CRASHED || err == -EIO, "life ends with %d", err);
    }
    sim_crash_at(s, 0);
    EXPECT_OK(h, sim_rt_run(s, log_check_life, &c), "check");
    history_sim_end(h, s);
}

void case_log_right(struct history *h)
{
    log_history(h, RIGHT);
}

void case_log_no_sync(struct history *h)
{
    log_history(h, NO_SYNC);
}

void case_log_ack_before_sync(struct history *h)
{
    log_history(h, ACK_BEFORE_SYNC);
}

void case_log_no_dir_sync(struct history *h)
{
    log_history(h, NO_DIR_SYNC);
}

void case_log_no_crc(struct history *h)
{
    log_history(h, NO_CRC);
}

void case_log_retry_after_sync_error(struct history *h)
{
    log_history(h, RETRY_AFTER_SYNC_ERROR);
}

static int FIBER drift(void *arg)
{
    uint64_t *digest = arg;
    for (int i = 0; i < 50; i++) {
        uint64_t v;
        rt_random(&v, sizeof v);
        rt_sleep_until(rt_now() + v % RT_MS);
        *digest = *digest * 31 + v + rt_now();
    }
    return 0;
}

/* The log and some sleepers, twice under one seed: the same steps, the same clock, the same end. */
void case_seed_replays_exactly(struct history *h)
{
    uint64_t digest[2] = {0}, steps[2], now[2];
    for (int i = 0; i < 2; i++) {
        struct log_case c = {.h = h};
        struct sim_disk *d;
        struct sim *s = log_machine(h, &d);
        sim_crash_at(s, 30);
        EXPECT(h, sim_rt_run(s, log_life, &c) == SIM_CRASHED, "no crash");
        EXPECT_OK(h, sim_rt_run(s, log_life, &c), "second life");
        EXPECT_OK(h, sim_rt_run(s, drift, &digest[i]), "drift");
        steps[i] = sim_steps(s);
        now[i] = sim_now(s);
        history_sim_end(h, s);
    }
    EXPECT(h, digest[0] == digest[1] && steps[0] == steps[1] && now[0] == now[1],
           "two runs of one seed differ");
}
