/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Compaction, verification and listing. */

#include <fcntl.h>
#include <sys/stat.h>
#include "volume_help.h"

#define LEN 50000 /* about twenty to a volume of 1 MiB */

static void run_case(int (*fn)(void *))
{
    struct disk_home h;
    home_init(&h);
    h.config.volume_bytes_max = 1 * MIB;
    on_fiber(1, fn, &h);
    home_release(&h);
}
#define CASE(name)                 \
    static int name##_(void *arg); \
    static void name(void **state) \
    {                              \
        run_case(name##_);         \
    }                              \
    static int name##_(void *arg)

static void put_all(struct disk_home *h, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to; n++)
        put(h->disk, n, LEN);
}

static void del(struct disk_home *h, uint64_t n)
{
    struct needle_key k = key_of(n);
    assert_int_equal(disk_delete(h->disk, &k, 1), 0);
}

static uint64_t compact_all(struct disk_home *h)
{
    uint64_t total = 0, freed;
    do {
        assert_int_equal(disk_compact(h->disk, &freed), 0);
        total += freed;
    } while (freed > 0);
    return total;
}

static bool volume_file_exists(const struct disk_home *h, unsigned number)
{
    char path[128];
    struct stat st;
    home_volume_path(h, number, path);
    return stat(path, &st) == 0;
}

struct faults {
    unsigned count, ends;
    int last_err;
    char text[200];
};

static int note_fault(const struct disk_verify_event *e, void *arg)
{
    struct faults *f = arg;
    if (e->err == 0)
        return 0;
    f->count++;
    f->last_err = e->err;
    snprintf(f->text, sizeof(f->text), "%s", e->text);
    return 0;
}

static struct faults verify(struct disk_home *h)
{
    struct faults f = {};
    assert_int_equal(disk_verify(h->disk, note_fault, &f), 0);
    return f;
}

static void assert_clean(struct disk_home *h)
{
    struct faults f = verify(h);
    assert_string_equal(f.text, "");
    assert_int_equal(f.count, 0);
}

/* The rows, without the disk's own, are those of an index rebuilt from nothing. */
static void assert_rebuilds_the_same(struct disk_home *h)
{
    struct buf before, after;
    buf_init(&before, 0);
    buf_init(&after, 0);
    home_close(h);
    home_open(h);
    index_dump(h->disk, &before);
    home_close(h);
    home_lose_index(h);
    home_open(h);
    assert_int_equal(disk_checkpoint(h->disk), 0);
    index_dump(h->disk, &after);
    assert_string_equal(before.data, after.data);
    buf_release(&before);
    buf_release(&after);
}

/* ---- compaction ----------------------------------------------------------------------------- */

CASE(compaction_keeps_the_living_and_frees_the_dead)
{
    struct disk_home *h = arg;
    home_open(h);
    put_all(h, 0, 80);
    for (uint64_t n = 0; n < 80; n++)
        if (n % 4)
            del(h, n);
    struct disk_stats before, after;
    assert_int_equal(disk_checkpoint(h->disk), 0);
    disk_stats(h->disk, &before);
    assert_true(compact_all(h) > 40 * LEN);
    disk_stats(h->disk, &after);
    assert_int_equal(after.needles, 20);
    assert_int_equal(after.live_bytes, before.live_bytes);
    assert_true(after.dead_bytes < before.dead_bytes / 2);
    assert_true(after.volumes < before.volumes);
    assert_false(volume_file_exists(h, 1));
    for (uint64_t n = 0; n < 80; n++)
        assert_int_equal(check_try(h->disk, n, LEN, NULL), n % 4 ? -ERR_NOT_FOUND : 0);
    assert_clean(h);
    assert_rebuilds_the_same(h);
    for (uint64_t n = 0; n < 80; n++)
        assert_int_equal(check_try(h->disk, n, LEN, NULL), n % 4 ? -ERR_NOT_FOUND : 0);
    home_close(h);
    return 0;
}

CASE(long_needles_are_moved_as_well)
{
    struct disk_home *h = arg;
    h->config.volume_bytes_max = 3 * MIB;
    home_open(h);
    for (uint64_t n = 0; n < 6; n++)
        put(h->disk, n, 1200 * KIB);
    for (uint64_t n = 0; n < 6; n += 2)
        del(h, n);
    assert_true(compact_all(h) > 2 * MIB);
    for (uint64_t n = 1; n < 6; n += 2)
        check(h->disk, n, 1200 * KIB);
    assert_clean(h);
    assert_rebuilds_the_same(h);
    home_close(h);
    return 0;
}

/* What is stepped over, read whole, or read in parts, and copied in place, shared or as a stream.
 */
static size_t mixed_len(uint64_t n)
{
    static const size_t lengths[] = {131071,  700,    262144,      4000,  524288,
                                     1 * MIB, 131072, 1 * MIB + 5, 65536, 262145};
    return lengths[n % ARRAY_LEN(lengths)];
}

CASE(needles_of_any_length_are_moved_among_each_other)
{
    struct disk_home *h = arg;
    h->config.volume_bytes_max = 4 * MIB;
    home_open(h);
    for (uint64_t n = 0; n < 40; n++)
        put(h->disk, n, mixed_len(n));
    for (uint64_t n = 0; n < 40; n++)
        if (n % 3)
            del(h, n);
    assert_true(compact_all(h) > 4 * MIB);
    for (uint64_t n = 0; n < 40; n++)
        assert_int_equal(check_try(h->disk, n, mixed_len(n), NULL), n % 3 ? -ERR_NOT_FOUND : 0);
    assert_clean(h);
    assert_rebuilds_the_same(h);
    home_close(h);
    return 0;
}

CASE(well_filled_volumes_are_left_alone)
{
    struct disk_home *h = arg;
    home_open(h);
    put_all(h, 0, 60);
    del(h, 5);
    assert_int_equal(compact_all(h), 0);
    assert_true(volume_file_exists(h, 1));
    home_close(h);
    return 0;
}

CASE(reader_keeps_its_volume)
{
    struct disk_home *h = arg;
    home_open(h);
    put_all(h, 0, 30);
    struct needle_reader *r;
    assert_int_equal(needle_open(h->disk, key_of(0), NULL, &r), 0);
    for (uint64_t n = 0; n < 18; n++)
        del(h, n);
    assert_true(compact_all(h) > 0);
    assert_true(volume_file_exists(h, 1));
    uint8_t want[LEN], got[LEN];
    fill(want, LEN, 0);
    assert_int_equal(needle_read(r, 0, got, LEN), 0);
    assert_memory_equal(want, got, LEN);
    needle_reader_close(r);
    assert_false(volume_file_exists(h, 1));
    home_close(h);
    return 0;
}

CASE(old_hint_leads_to_the_moved_needle)
{
    struct disk_home *h = arg;
    home_open(h);
    struct put p = put(h->disk, 1000, LEN);
    put_all(h, 0, 30);
    for (uint64_t n = 0; n < 30; n++)
        del(h, n);
    assert_true(compact_all(h) > 0);
    assert_false(volume_file_exists(h, p.hint.volume));
    assert_int_equal(check_try(h->disk, 1000, LEN, &p.hint), 0);
    home_close(h);
    return 0;
}

static unsigned rows_of(struct disk_home *h, uint64_t n)
{
    struct row_bytes prefix = row_prefix(key_of(n));
    struct kv_iter *it;
    unsigned count = 0;
    assert_int_equal(disk_checkpoint(h->disk), 0);
    assert_int_equal(kv_iter_new(h->disk->kv, NULL, NULL, 0, &it), 0);
    for (kv_iter_seek(it, row_key(&prefix));
         kv_iter_valid(it) && str_starts(kv_iter_key(it), row_key(&prefix)); kv_iter_next(it))
        count++;
    kv_iter_free(it);
    return count;
}

static bool has_roll(struct disk_home *h, uint32_t number)
{
    rt_lock(&h->disk->lock);
    struct volume *v = volume_find(h->disk, number);
    bool has = v && !v->roll.partial && v->roll.count > 0;
    rt_unlock(&h->disk->lock);
    return has;
}

CASE(what_was_there_at_the_start_is_walked_and_what_came_later_is_not)
{
    struct disk_home *h = arg;
    home_open(h);
    put_all(h, 0, 50); /* volumes 1 to 3 */
    assert_true(has_roll(h, 1));
    home_close(h);
    home_open(h);
    assert_false(has_roll(h, 1));
    put_all(h, 100, 150);
    assert_true(has_roll(h, 5));
    for (uint64_t n = 0; n < 50; n++)
        if (n % 4)
            del(h, n);
    for (uint64_t n = 100; n < 150; n++)
        if (n % 4)
            del(h, n);
    assert_true(compact_all(h) > 60 * LEN);
    for (unsigned number = 1; number <= 2; number++)
        assert_false(volume_file_exists(h, number));
    assert_false(volume_file_exists(h, 5));
    for (uint64_t n = 0; n < 150; n = n == 49 ? 100 : n + 1)
        assert_int_equal(check_try(h->disk, n, LEN, NULL), n % 4 ? -ERR_NOT_FOUND : 0);
    assert_clean(h);
    assert_rebuilds_the_same(h);
    home_close(h);
    return 0;
}

/* A needle that the roll names and that cannot be read keeps its volume, as one of a walk does. */
CASE(what_a_roll_names_has_to_be_there)
{
    struct disk_home *h = arg;
    home_open(h);
    put_all(h, 0, 30);
    for (uint64_t n = 1; n < 20; n++)
        del(h, n);
    struct put first = put(h->disk, 100, LEN);
    assert_true(first.hint.volume > 1 && has_roll(h, 1));
    struct index_row row;
    assert_int_equal(index_find(h->disk, key_of(0), &row), 0);
    assert_int_equal(row.volume, 1);
    char path[128];
    home_volume_path(h, 1, path);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "gone", 4, (off_t)row.offset), 4);
    close(fd);
    uint64_t freed;
    assert_int_equal(disk_compact(h->disk, &freed), -ERR_CORRUPT);
    assert_true(volume_file_exists(h, 1));
    home_close(h);
    return 0;
}

CASE(dead_volumes_go_together)
{
    struct disk_home *h = arg;
    home_open(h);
    put_all(h, 0, 90); /* volumes 1 to 4, and some in 5 */
    for (uint64_t n = 0; n < 90; n++)
        del(h, n);
    uint64_t freed;
    assert_int_equal(disk_compact(h->disk, &freed), 0);
    assert_true(freed > 3 * MIB);
    for (unsigned number = 1; number <= 4; number++)
        assert_false(volume_file_exists(h, number));
    compact_all(h);
    assert_clean(h);
    assert_rebuilds_the_same(h);
    home_close(h);
    return 0;
}

CASE(tombstone_outlives_what_it_buries)
{
    struct disk_home *h = arg;
    home_open(h);
    put_all(h, 0, 30); /* volumes 1 and 2 */
    del(h, 3);         /* buried in volume 1, which stays well filled; the tombstone is in 2 */
    put_all(h, 100, 130);
    for (uint64_t n = 20; n < 30; n++)
        del(h, n);
    for (uint64_t n = 100; n < 112; n++)
        del(h, n);
    assert_true(compact_all(h) > 0);
    assert_true(volume_file_exists(h, 1));
    assert_false(volume_file_exists(h, 2));
    assert_int_equal(rows_of(h, 3), 2);
    assert_rebuilds_the_same(h);
    assert_int_equal(check_try(h->disk, 3, LEN, NULL), -ERR_NOT_FOUND);
    /* With the dead needle gone the tombstone goes too, once its own volume is compacted. */
    for (uint64_t n = 0; n < 20; n++)
        del(h, n);
    for (uint64_t n = 112; n < 130; n++)
        del(h, n);
    for (uint64_t round = 0; round < 3; round++) {
        put_all(h, 200, 260);
        for (uint64_t n = 200; n < 260; n++)
            del(h, n);
        compact_all(h);
    }
    assert_false(volume_file_exists(h, 1));
    assert_int_equal(rows_of(h, 3), 0);
    assert_clean(h);
    home_close(h);
    return 0;
}

struct rival {
    struct disk_home *h;
    bool stop;
};

static int delete_all_the_while(void *arg)
{
    struct rival *r = arg;
    for (uint64_t n = 0; n < 60 && !r->stop; n += 3)
        del(r->h, n);
    return 0;
}

static int append_all_the_while(void *arg)
{
    struct rival *r = arg;
    for (uint64_t n = 500; n < 540 && !r->stop; n++)
        put(r->h->disk, n, LEN);
    return 0;
}

/* A fifth of a volume is dead: not worth moving the rest until the disk is nearly full. */
CASE(short_of_space_compaction_takes_what_little_is_dead)
{
    struct disk_home *h = arg;
    struct rt_space space;
    home_open(h);
    put_all(h, 0, 30);
    for (uint64_t n = 0; n < 20; n += 5)
        del(h, n);
    assert_int_equal(compact_all(h), 0);
    assert_int_equal(rt_space(h->path, &space), 0);
    h->disk->reserve_bytes = UINT64_MAX / 4; /* nothing would fit */
    assert_int_equal(compact_all(h), 0);
    h->disk->reserve_bytes = space.free_bytes / 4 * 3;
    assert_true(compact_all(h) > 3 * LEN);
    for (uint64_t n = 0; n < 30; n++)
        assert_int_equal(check_try(h->disk, n, LEN, NULL),
                         n < 20 && n % 5 == 0 ? -ERR_NOT_FOUND : 0);
    assert_clean(h);
    home_close(h);
    return 0;
}

CASE(compaction_beside_writers_and_deleters)
{
    struct disk_home *h = arg;
    home_open(h);
    put_all(h, 0, 60);
    for (uint64_t n = 1; n < 60; n += 3)
        del(h, n);
    struct rival r = {.h = h};
    struct rt_fiber *a, *b;
    assert_int_equal(rt_spawn(&a, "deleter", delete_all_the_while, &r), 0);
    assert_int_equal(rt_spawn(&b, "writer", append_all_the_while, &r), 0);
    for (unsigned i = 0; i < 10; i++) {
        uint64_t freed;
        assert_int_equal(disk_compact(h->disk, &freed), 0);
    }
    rt_join(a);
    rt_join(b);
    compact_all(h);
    for (unsigned again = 0; again < 2; again++) {
        for (uint64_t n = 0; n < 60; n++)
            assert_int_equal(check_try(h->disk, n, LEN, NULL), n % 3 == 2 ? 0 : -ERR_NOT_FOUND);
        for (uint64_t n = 500; n < 540; n++)
            check(h->disk, n, LEN);
        assert_clean(h);
        assert_rebuilds_the_same(h);
    }
    home_close(h);
    return 0;
}

/* Also where compaction would leave it alone, in the active volume as well. */
CASE(erasing_rewrites_whatever_holds_a_dead_byte)
{
    struct disk_home *h = arg;
    struct disk_erased e = {.more = true};
    home_open(h);
    put_all(h, 0, 40);
    del(h, 2);
    del(h, 39);
    assert_int_equal(compact_all(h), 0);
    uint32_t upto = disk_newest(h->disk);
    assert_true(volume_file_exists(h, upto));
    while (e.more)
        assert_int_equal(disk_erase(h->disk, upto, &e), 0);
    assert_int_equal(e.stuck, 0);
    assert_false(volume_file_exists(h, upto));
    assert_true(disk_newest(h->disk) > upto);
    for (uint64_t n = 0; n < 40; n++)
        assert_int_equal(check_try(h->disk, n, LEN, NULL), n == 2 || n == 39 ? -ERR_NOT_FOUND : 0);
    assert_clean(h);
    home_close(h);
    return 0;
}

CASE(half_dead_active_volume_is_sealed_early)
{
    struct disk_home *h = arg;
    h->config.volume_bytes_max = 0;
    home_open(h);
    put(h->disk, 1, LEN);
    for (uint64_t n = 10; n < 14; n++)
        put(h->disk, n, 5 * MIB);
    for (uint64_t n = 10; n < 14; n++)
        del(h, n);
    assert_true(compact_all(h) >= 20 * MIB);
    assert_false(volume_file_exists(h, 1));
    check(h->disk, 1, LEN);
    home_close(h);
    return 0;
}

static void flip(const struct disk_home *h, struct needle_hint at, uint64_t off)
{
    char path[128];
    home_volume_path(h, at.volume, path);
    int fd = open(path, O_RDWR);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, (off_t)(at.offset + off)), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)(at.offset + off)), 1);
    close(fd);
}

CASE(volume_with_a_damaged_living_needle_stays)
{
    struct disk_home *h = arg;
    uint64_t offsets[] = {30, 5000, sizeof(struct needle_header) + LEN + 3};
    for (unsigned i = 0; i < ARRAY_LEN(offsets); i++) {
        home_open(h);
        put_all(h, 0, 1);
        struct put p = put(h->disk, 1000, LEN);
        put_all(h, 1, 40);
        for (uint64_t n = 0; n < 40; n++)
            del(h, n);
        flip(h, p.hint, offsets[i]);
        uint64_t freed;
        int err = 0;
        for (unsigned k = 0; k < 6; k++) {
            int e = disk_compact(h->disk, &freed);
            err = e ? e : err;
        }
        assert_int_equal(err, -ERR_CORRUPT);
        assert_true(volume_file_exists(h, p.hint.volume));
        flip(h, p.hint, offsets[i]);
        check(h->disk, 1000, LEN);
        del(h, 1000);
        home_close(h);
    }
    return 0;
}

CASE(interrupted_retirement_is_made_good_by_a_restart)
{
    struct disk_home *h = arg;
    home_open(h);
    put_all(h, 0, 40);
    assert_int_equal(disk_checkpoint(h->disk), 0);
    /* as if power had gone while the rows of volume 1 were being removed */
    struct index_row row;
    struct volume *v = volume_get(h->disk, 1);
    assert_int_equal(index_retire_volume(h->disk, v), 0);
    volume_put(h->disk, v);
    assert_int_equal(index_find(h->disk, key_of(2), &row), 0);
    assert_int_equal(index_forget_rows(h->disk, &row, 1), 0);
    assert_int_equal(check_try(h->disk, 2, LEN, NULL), -ERR_NOT_FOUND);
    home_close(h);
    home_open(h);
    for (uint64_t n = 0; n < 40; n++)
        check(h->disk, n, LEN);
    assert_clean(h);
    home_close(h);
    return 0;
}

CASE(lost_volume_file_is_counted_out)
{
    struct disk_home *h = arg;
    home_open(h);
    put_all(h, 0, 40);
    home_close(h);
    char path[128];
    home_volume_path(h, 1, path);
    assert_int_equal(unlink(path), 0);
    home_open(h);
    assert_int_equal(check_try(h->disk, 0, LEN, NULL), -ERR_NOT_FOUND);
    check(h->disk, 39, LEN);
    assert_clean(h);
    assert_rebuilds_the_same(h);
    home_close(h);
    return 0;
}

/* ---- verification --------------------------------------------------------------------------- */

CASE(verify_finds_each_kind_of_damage)
{
    struct disk_home *h = arg;
    home_open(h);
    struct put p[4];
    for (uint64_t n = 0; n < 4; n++)
        p[n] = put(h->disk, n, LEN);
    assert_clean(h);
    uint64_t offsets[] = {3, 95, 96, 96 + LEN - 1, 96 + LEN, 96 + LEN + 35};
    for (unsigned i = 0; i < ARRAY_LEN(offsets); i++) {
        flip(h, p[2].hint, offsets[i]);
        struct faults f = verify(h);
        assert_int_equal(f.count, 1);
        assert_int_equal(f.last_err, -ERR_CORRUPT);
        flip(h, p[2].hint, offsets[i]);
    }
    struct needle_hint super = {1, SUPERBLOCK_STEP};
    flip(h, super, 100);
    assert_int_equal(verify(h).count, 1);
    flip(h, super, 100);
    assert_clean(h);
    home_close(h);
    return 0;
}

CASE(verify_finds_what_the_index_lacks_and_what_it_invents)
{
    struct disk_home *h = arg;
    home_open(h);
    put_all(h, 0, 3);
    assert_int_equal(disk_checkpoint(h->disk), 0);
    struct index_row row;
    assert_int_equal(index_find(h->disk, key_of(1), &row), 0);
    assert_int_equal(index_forget_rows(h->disk, &row, 1), 0);
    struct faults f = verify(h);
    assert_int_equal(f.count, 2); /* the needle, and the count of its volume */
    struct index_row invented = row;
    invented.offset += 64;
    struct kv_batch *b;
    struct row_bytes bytes[] = {row_of_needle(&row), row_of_needle(&invented)};
    assert_int_equal(kv_batch_new(h->disk->kv, &b), 0);
    assert_int_equal(kv_batch_put(b, row_key(&bytes[0]), row_value(&bytes[0])), 0);
    assert_int_equal(kv_write(h->disk->kv, b, false), 0);
    assert_clean(h);
    assert_int_equal(kv_batch_put(b, row_key(&bytes[1]), row_value(&bytes[1])), 0);
    assert_int_equal(kv_write(h->disk->kv, b, false), 0);
    assert_int_equal(verify(h).count, 1);
    kv_batch_free(b);
    home_close(h);
    return 0;
}

static int stop_at_once(const struct disk_verify_event *e, void *arg)
{
    return 17;
}

CASE(verify_stops_when_told)
{
    struct disk_home *h = arg;
    home_open(h);
    struct put p = put(h->disk, 0, LEN);
    flip(h, p.hint, 200);
    assert_int_equal(disk_verify(h->disk, stop_at_once, NULL), 17);
    home_close(h);
    return 0;
}

/* ---- the scrub's pieces --------------------------------------------------------------------- */

struct scrubbed {
    unsigned faults, calls;
    uint64_t bytes;
};

static struct scrubbed scrub_from(struct disk_home *h, struct disk_scrub_place *place,
                                  uint64_t bytes)
{
    struct scrubbed s = {};
    struct faults f = {};
    uint64_t before = place->bytes;
    while (!place->end) {
        assert_int_equal(disk_scrub(h->disk, place, bytes, note_fault, &f), 0);
        s.calls++;
    }
    s.faults = f.count;
    s.bytes = place->bytes - before;
    return s;
}

CASE(scrub_reads_each_needle_once_in_pieces)
{
    struct disk_home *h = arg;
    home_open(h);
    put_all(h, 0, 300);
    struct disk_scrub_place place = {};
    struct scrubbed s = scrub_from(h, &place, 10 * LEN);
    assert_int_equal(s.bytes, 300 * LEN);
    assert_int_equal(s.faults, 0);
    assert_in_range(s.calls, 29, 32);
    /* A place holds over restarts, and over needles that go or come behind it. */
    struct faults f = {};
    place = (struct disk_scrub_place){};
    assert_int_equal(disk_scrub(h->disk, &place, 100 * LEN, note_fault, &f), 0);
    assert_int_equal(place.bytes, 100 * LEN);
    for (uint64_t n = 0; n < 120; n++)
        del(h, n);
    home_close(h);
    home_open(h);
    s = scrub_from(h, &place, 50 * LEN);
    assert_int_equal(s.bytes, 180 * LEN);
    assert_int_equal(s.faults, 0);
    home_close(h);
    return 0;
}

CASE(scrub_tells_of_damage_and_goes_on)
{
    struct disk_home *h = arg;
    home_open(h);
    struct put p = {};
    for (uint64_t n = 0; n < 20; n++)
        p = n == 7 ? put(h->disk, n, LEN) : (put(h->disk, n, LEN), p);
    flip(h, p.hint, 96 + 10);
    struct disk_scrub_place place = {};
    struct scrubbed s = scrub_from(h, &place, LEN);
    assert_int_equal(s.faults, 1);
    assert_int_equal(s.bytes, 19 * LEN);
    /* Told to stop there it stays before the needle, and meets it again. */
    place = (struct disk_scrub_place){};
    assert_int_equal(disk_scrub(h->disk, &place, 100 * LEN, stop_at_once, NULL), 17);
    s = scrub_from(h, &place, 100 * LEN);
    assert_int_equal(s.faults, 1);
    home_close(h);
    return 0;
}

/* ---- listing -------------------------------------------------------------------------------- */

struct listing {
    unsigned count;
    struct needle_key last;
    int stop_at;
};

static int list_one(const struct needle_entry *e, void *arg)
{
    struct listing *l = arg;
    assert_true(l->count == 0 || e->key.chunk.counter > l->last.chunk.counter);
    assert_int_equal(e->len_bytes, 10 + e->key.chunk.counter % 7);
    l->last = e->key;
    l->count++;
    return (int)l->count == l->stop_at ? 5 : 0;
}

CASE(each_lists_the_living_in_order)
{
    struct disk_home *h = arg;
    home_open(h);
    struct listing l = {};
    assert_int_equal(disk_each(h->disk, list_one, &l), 0);
    assert_int_equal(l.count, 0);
    for (uint64_t n = 0; n < 300; n++)
        put(h->disk, (n * 7) % 300, 10 + (n * 7) % 300 % 7);
    for (uint64_t n = 0; n < 300; n += 10)
        del(h, n);
    put(h->disk, 11, 10 + 11 % 7); /* twice the same key: listed once */
    assert_int_equal(disk_each(h->disk, list_one, &l), 0);
    assert_int_equal(l.count, 270);
    l = (struct listing){.stop_at = 140};
    assert_int_equal(disk_each(h->disk, list_one, &l), 5);
    assert_int_equal(l.count, 140);
    home_close(h);
    return 0;
}

CASE(who_looks_at_all_waits_for_an_index_that_is_behind_the_disk)
{
    struct disk_home *h = arg;
    home_open(h);
    struct listing l = {};
    put(h->disk, 1, 11);
    kv_mem_refuse_writes(h->index, 4, -ENOSPC);
    assert_int_equal(disk_each(h->disk, list_one, &l), 0);
    assert_int_equal(l.count, 1);
    put(h->disk, 2, 12);
    kv_mem_refuse_writes(h->index, 4, -ENOSPC);
    assert_clean(h);
    kv_mem_refuse_writes(h->index, UINT64_MAX, -EIO); /* other faults are told at once */
    put(h->disk, 3, 13);
    assert_int_equal(disk_each(h->disk, list_one, &l), -EIO);
    kv_mem_refuse_writes(h->index, 0, 0);
    home_close(h);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compaction_keeps_the_living_and_frees_the_dead),
        cmocka_unit_test(what_was_there_at_the_start_is_walked_and_what_came_later_is_not),
        cmocka_unit_test(what_a_roll_names_has_to_be_there),
        cmocka_unit_test(dead_volumes_go_together),
        cmocka_unit_test(long_needles_are_moved_as_well),
        cmocka_unit_test(needles_of_any_length_are_moved_among_each_other),
        cmocka_unit_test(well_filled_volumes_are_left_alone),
        cmocka_unit_test(reader_keeps_its_volume),
        cmocka_unit_test(old_hint_leads_to_the_moved_needle),
        cmocka_unit_test(tombstone_outlives_what_it_buries),
        cmocka_unit_test(short_of_space_compaction_takes_what_little_is_dead),
        cmocka_unit_test(compaction_beside_writers_and_deleters),
        cmocka_unit_test(erasing_rewrites_whatever_holds_a_dead_byte),
        cmocka_unit_test(half_dead_active_volume_is_sealed_early),
        cmocka_unit_test(volume_with_a_damaged_living_needle_stays),
        cmocka_unit_test(interrupted_retirement_is_made_good_by_a_restart),
        cmocka_unit_test(lost_volume_file_is_counted_out),
        cmocka_unit_test(verify_finds_each_kind_of_damage),
        cmocka_unit_test(verify_finds_what_the_index_lacks_and_what_it_invents),
        cmocka_unit_test(verify_stops_when_told),
        cmocka_unit_test(scrub_reads_each_needle_once_in_pieces),
        cmocka_unit_test(scrub_tells_of_damage_and_goes_on),
        cmocka_unit_test(each_lists_the_living_in_order),
        cmocka_unit_test(who_looks_at_all_waits_for_an_index_that_is_behind_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
