/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Readers keep their needles while volumes are compacted and unlinked under them.
 */

#include "kv/mem.h"
#include "sim/cases.h"
#include "volume/volume.h"

#define NEEDLES       24u
#define NEEDLE_LEN(i) (3000u + 700u * (i))

struct compaction {
    struct history *h;
    struct kv_mem *index;
    struct disk *disk;
    struct needle_hint hints[NEEDLES];
    bool deleting[NEEDLES], deleted[NEEDLES];
    unsigned readers_begun, readers_left;
};

static struct needle_key needle_of(unsigned i)
{
    return (struct needle_key){.chunk = {.session = 1, .counter = i}};
}

static int FIBER append(struct compaction *c, unsigned i)
{
    uint8_t data[NEEDLE_LEN(NEEDLES)];
    struct needle_info info = {.len_bytes = NEEDLE_LEN(i), .encode_id = 1, .code_k = 1};
    struct iovec iov = {data, info.len_bytes};
    struct hash128 digest;
    history_fill(data, info.len_bytes, i);
    return disk_append(c->disk, needle_of(i), &info, &iov, 1, &c->hints[i], &digest);
}

/* Opens a needle, and reads it piece by piece while time passes. */
static void FIBER read_slowly(struct compaction *c, unsigned i, struct sim_random *r)
{
    struct needle_reader *reader;
    uint8_t piece[1000];
    bool was_deleted = c->deleted[i], hinted = sim_random_one_in(r, 2);
    int err = needle_open(c->disk, needle_of(i), hinted ? &c->hints[i] : NULL, &reader);
    EXPECT(c->h, err == 0 || (err == -ERR_NOT_FOUND && c->deleting[i]), "needle %u: %d", i, err);
    if (err)
        return;
    EXPECT(c->h, !was_deleted || hinted, "needle %u is there after its deletion", i);
    for (uint64_t at = 0; at < NEEDLE_LEN(i); at += sizeof piece) {
        size_t len = MIN(sizeof piece, NEEDLE_LEN(i) - at);
        EXPECT_OK(c->h, needle_read(reader, at, piece, len), "read");
        EXPECT(c->h, history_fill_differs_at(piece, len, i, at) < 0, "needle %u: wrong bytes", i);
        rt_sleep_until(rt_now() + sim_random_below(r, RT_MS));
    }
    needle_reader_close(reader);
}

static int FIBER reader_main(void *arg)
{
    struct compaction *c = arg;
    struct sim_random r = history_op_random(c->h, c->readers_begun++);
    for (unsigned i = 0; i < 12; i++)
        read_slowly(c, (unsigned)sim_random_below(&r, NEEDLES), &r);
    c->readers_left--;
    return 0;
}

/* Deletes three of four and compacts as long as somebody reads. */
static void FIBER delete_and_compact(struct compaction *c)
{
    struct sim_random r = history_op_random(c->h, 100);
    uint64_t freed, total = 0;
    while (c->readers_left > 0) {
        unsigned i = (unsigned)sim_random_below(&r, NEEDLES);
        struct needle_key key = needle_of(i);
        if (i % 4) {
            c->deleting[i] = true;
            EXPECT_OK(c->h, disk_delete(c->disk, &key, 1), "delete");
            c->deleted[i] = true;
        }
        EXPECT_OK(c->h, disk_compact(c->disk, &freed), "compact");
        total += freed;
        rt_sleep_until(rt_now() + sim_random_below(&r, RT_MS));
    }
    history_say(c->h, "  %llu bytes freed", (unsigned long long)total);
}

static int FIBER compaction_life(void *arg)
{
    struct compaction *c = arg;
    struct kv *index;
    EXPECT_OK(c->h, kv_mem_open(&index, c->index), "index");
    struct disk_config config = {
        .path = "/d0", .index = index, .volume_bytes_max = 256 * KIB, .reserve_bytes = 32 * KIB};
    EXPECT_OK(c->h, disk_open(&c->disk, &config), "open");
    for (unsigned i = 0; i < NEEDLES; i++)
        EXPECT_OK(c->h, append(c, i), "append");
    struct rt_fiber *readers[4];
    c->readers_left = ARRAY_LEN(readers);
    for (unsigned i = 0; i < ARRAY_LEN(readers); i++)
        EXPECT_OK(c->h, rt_spawn(&readers[i], "reader", reader_main, c), "spawn");
    delete_and_compact(c);
    for (unsigned i = 0; i < ARRAY_LEN(readers); i++)
        rt_join(readers[i]);
    disk_close(c->disk);
    return 0;
}

void case_reader_during_compaction(struct history *h)
{
    struct compaction c = {.h = h};
    struct sim *s;
    struct sim_disk *d;
    struct sim_config config = {.seed = h->seed};
    EXPECT_OK(h, sim_new(&s, &config), "machine");
    EXPECT_OK(h, sim_disk_new(&d, s, "/d0", 4 * MIB), "disk");
    EXPECT_OK(h, kv_mem_new(&c.index, false), "index");
    EXPECT_OK(h, sim_rt_run(s, compaction_life, &c), "life");
    history_sim_end(h, s);
}
