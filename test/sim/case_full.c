/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A full disk: writes are refused with -ENOSPC, reads and deletes go on, and what garbage
 * collection and compaction free can be written again.
 */

#include <stdio.h>
#include "sim/cases.h"
#include "sim/store_model.h"

#define FULL_DISK     (8 * MIB)
#define FULL_DISK_OWN (192 * MIB)
#define FULL_KEYS     5000u
#define FULL_ROUNDS   3u

struct full {
    struct sm m;
    struct sim_random r;
    uint64_t len[FULL_KEYS]; /* 0: not there */
    unsigned round;
};

static uint64_t tag_of(const struct full *f, unsigned i)
{
    return f->len[i] * FULL_KEYS + i;
}

static int FIBER put_key(struct full *f, unsigned i, uint64_t len)
{
    char name[16];
    struct store_writer *w;
    struct store_attrs attrs = {.owner = STR("owner")};
    struct store_etag etag = {0};
    struct store_checksum none = {0};
    struct store_written written;
    snprintf(name, sizeof name, "key-%u", i);
    _cleanup_free_ uint8_t *data = malloc(len);
    CHECK(data);
    history_fill(data, len, len * FULL_KEYS + i);
    int err = store_put_begin(f->m.store, f->m.bucket, str_from(name), len, &w);
    if (err)
        return err;
    err = store_write(w, data, len);
    if (err) {
        store_write_abort(w);
        return err;
    }
    err = store_put_commit(w, &attrs, &etag, &none, NULL, &written);
    if (!err)
        f->len[i] = len;
    return err;
}

struct full_sink {
    struct full *f;
    unsigned i;
    uint64_t at;
};

static int full_sink(const void *data, size_t len, void *arg)
{
    struct full_sink *s = arg;
    EXPECT(s->f->m.h, history_fill_differs_at(data, len, tag_of(s->f, s->i), s->at) < 0,
           "key %u gives wrong bytes on a full disk", s->i);
    s->at += len;
    return 0;
}

static void FIBER check_key(struct full *f, unsigned i)
{
    char name[16];
    struct store_reader *r;
    struct full_sink sink = {.f = f, .i = i};
    snprintf(name, sizeof name, "key-%u", i);
    int err = store_get(f->m.store, f->m.bucket, str_from(name), STORE_CURRENT, NULL, &r);
    EXPECT(f->m.h, err == (f->len[i] ? 0 : -ERR_NO_SUCH_KEY), "key %u on a full disk: %d (%s)", i,
           err, err_text(err));
    if (err)
        return;
    EXPECT_OK(f->m.h, store_read(r, 0, f->len[i], full_sink, &sink), "read");
    store_reader_close(r);
}

/* Puts until the disk is full; says how many bytes there was room for. */
static uint64_t FIBER fill_up(struct full *f)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < FULL_KEYS; i++) {
        if (f->len[i])
            continue;
        uint64_t len = 20 * KIB + sim_random_below(&f->r, 200 * KIB);
        int err = put_key(f, i, len);
        if (err == -ENOSPC || err == -ERR_FULL)
            return bytes;
        EXPECT_OK(f->m.h, err, "put");
        bytes += len;
    }
    history_fail(f->m.h, "the disk never fills");
}

static void FIBER delete_some(struct full *f)
{
    for (unsigned i = 0; i < FULL_KEYS; i++) {
        char name[16];
        bool existed;
        if (!f->len[i] || sim_random_one_in(&f->r, 4))
            continue;
        snprintf(name, sizeof name, "key-%u", i);
        EXPECT_OK(f->m.h, store_delete(f->m.store, f->m.bucket, str_from(name), NULL, &existed),
                  "delete on a full disk");
        f->len[i] = 0;
    }
}

/* Collects and compacts until nothing more comes of it. */
static void FIBER reclaim(struct full *f)
{
    uint64_t chunks, freed;
    unsigned idle = 0;
    for (unsigned turn = 0; turn < 200 && idle < 3; turn++) {
        rt_sleep_until(rt_now() + RT_S);
        EXPECT_OK(f->m.h, store_gc(f->m.store, 100, &chunks), "gc on a full disk");
        EXPECT_OK(f->m.h, disk_compact(f->m.disk, &freed), "compaction on a full disk");
        history_say(f->m.h, "  %llu chunks collected, %llu bytes freed", (unsigned long long)chunks,
                    (unsigned long long)freed);
        idle = chunks || freed ? 0 : idle + 1;
    }
    EXPECT(f->m.h, idle == 3, "garbage without an end");
}

static int FIBER full_life(void *arg)
{
    struct full *f = arg;
    EXPECT_OK(f->m.h, sm_open(&f->m), "open");
    uint64_t first = 0;
    for (unsigned round = 0; round < FULL_ROUNDS; round++) {
        uint64_t room = fill_up(f);
        history_say(f->m.h, "  round %u: room for %llu bytes", round, (unsigned long long)room);
        first = round == 0 ? room : first;
        EXPECT(f->m.h, room > first / 3, "only %llu bytes of %llu came back",
               (unsigned long long)room, (unsigned long long)first);
        for (unsigned i = 0; i < FULL_KEYS; i++)
            check_key(f, i);
        delete_some(f);
        reclaim(f);
    }
    for (unsigned i = 0; i < FULL_KEYS; i++)
        check_key(f, i);
    sm_close(&f->m);
    return 0;
}

static void full_history(struct history *h, bool own_limits)
{
    static struct full f;
    memset(&f, 0, sizeof f);
    sm_init(&f.m, h, SIM_KEEP_SEED, own_limits ? FULL_DISK_OWN : FULL_DISK, 0);
    f.m.own_limits = own_limits;
    f.m.big = false; /* compaction needs room for what lives in one volume */
    f.r = history_op_random(h, 1);
    EXPECT_OK(h, sim_rt_run(f.m.sim, full_life, &f), "life");
    sm_release(&f.m);
}

void case_full_disk_recovers(struct history *h)
{
    full_history(h, false);
}

void case_full_disk_with_own_limits(struct history *h)
{
    full_history(h, true);
}
