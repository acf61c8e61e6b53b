/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* The scrub: what it finds, what it calls it, and that it keeps its place and its time. */

#include "farm_help.h"

#define DAY_NS (86400 * RT_S)

static struct scrub_status status_of(struct farm *f)
{
    struct scrub_status s;
    jobs_scrub_status(f->jobs, &s);
    return s;
}

/* One pass from beginning to end. */
static struct scrub_status scrub(struct farm *f)
{
    if (!f->jobs)
        farm_start_jobs(f);
    uint64_t before = status_of(f).pass;
    assert_int_equal(jobs_scrub_start(f->jobs), 0);
    assert_true(status_of(f).pass > before || strcmp(status_of(f).phase, "idle") != 0);
    WAIT_UNTIL(status_of(f).pass > before && str_eq(str_from(status_of(f).phase), STR("idle")),
               600 * RT_S);
    return status_of(f);
}

struct listed {
    unsigned count;
    struct damage last;
    char key[64], text[128];
};

static int note(const struct damage *d, void *arg)
{
    struct listed *l = arg;
    l->count++;
    l->last = *d;
    snprintf(l->key, sizeof(l->key), "%.*s/%.*s", STR_FMT(d->bucket_name), STR_FMT(d->key));
    snprintf(l->text, sizeof(l->text), "%.*s", STR_FMT(d->text));
    return 0;
}

static struct listed list(struct farm *f)
{
    struct listed l = {.count = 0};
    assert_int_equal(jobs_damages_each(f->jobs, note, &l), 0);
    return l;
}

static void put_some(struct farm *f)
{
    farm_put(f, "tiny", 200, 6);
    farm_put(f, "inline", 900, 1);
    farm_put(f, "small", 9000, 2);
    farm_put(f, "long", 2 * MIB + 77, 3);
    farm_put(f, "other", 300000, 4);
}

static void expect_all(struct farm *f)
{
    assert_int_equal(farm_get(f, "tiny", 6), 0);
    assert_int_equal(farm_get(f, "inline", 1), 0);
    assert_int_equal(farm_get(f, "small", 2), 0);
    assert_int_equal(farm_get(f, "long", 3), 0);
    assert_int_equal(farm_get(f, "other", 4), 0);
}

FARM_CASE(a_sound_store_is_read_whole, 1)
{
    put_some(f);
    struct scrub_status s = scrub(f);
    assert_int_equal(s.last_bytes, 9000 + 2 * MIB + 77 + 300000);
    assert_int_equal(s.last_faults, 0);
    assert_int_equal(s.job.items, 5);
    assert_int_equal(list(f).count, 0);
}

FARM_CASE(an_empty_store_too, 3)
{
    struct scrub_status s = scrub(f);
    assert_int_equal(s.last_bytes, 0);
    assert_int_equal(s.pass, 1);
}

FARM_CASE(a_flipped_bit_names_its_object, 1)
{
    put_some(f);
    struct blob_layout l = farm_layout(f, "long");
    farm_flip(f, &l.chunks[0].shards[0], 1000000);
    struct scrub_status s = scrub(f);
    assert_int_equal(s.damages[DAMAGE_LOST], 1);
    assert_int_equal(s.last_faults, 1);
    struct listed d = list(f);
    assert_int_equal(d.count, 1);
    assert_string_equal(d.key, "bucket/long");
    assert_string_equal(d.text, "a shard is not as its record says");
    assert_int_equal(d.last.disk, 0);
    uint64_t found_ms = d.last.found_ms;
    /* It stays listed over restarts and passes, from when it was found first. */
    farm_restart(f);
    WAIT_UNTIL(status_of(f).damages[DAMAGE_LOST] == 1, 60 * RT_S);
    scrub(f);
    d = list(f);
    assert_int_equal(d.count, 1);
    assert_int_equal(d.last.found_ms, found_ms);
    assert_int_equal(d.last.pass, 2);
    assert_int_equal(farm_get(f, "long", 3), -ERR_CORRUPT);
    /* A new object in its place ends it, without waiting for the next pass. */
    farm_put(f, "long", 5000, 5);
    WAIT_UNTIL(list(f).count == 0, 1300 * RT_S);
    assert_int_equal(status_of(f).damages[DAMAGE_LOST], 0);
}

FARM_CASE(each_part_of_a_needle_is_held_to_its_sum, 1)
{
    static const uint64_t offsets[] = {3, 95, 96, 96 + 8999, 96 + 9000, 96 + 9000 + 35};
    put_some(f);
    struct blob_layout l = farm_layout(f, "small");
    for (unsigned i = 0; i < ARRAY_LEN(offsets); i++) {
        farm_flip(f, &l.chunks[0].shards[0], offsets[i]);
        assert_int_equal(scrub(f).damages[DAMAGE_LOST], 1);
        assert_string_equal(list(f).key, "bucket/small");
        farm_flip(f, &l.chunks[0].shards[0], offsets[i]);
        assert_int_equal(scrub(f).damages[DAMAGE_LOST], 0);
    }
    expect_all(f);
}

FARM_CASE(a_lost_needle_is_missed, 1)
{
    put_some(f);
    struct blob_layout l = farm_layout(f, "other");
    struct needle_key key = {l.chunks[0].id, 0};
    assert_int_equal(node_delete(nodes_get(&f->d.nodes, 0), &key, 1), 0);
    assert_int_equal(scrub(f).damages[DAMAGE_LOST], 1);
    assert_string_equal(list(f).key, "bucket/other");
    assert_string_equal(list(f).text, "a shard is missing from its disk");
}

FARM_CASE(an_unreadable_sector_is_one_damage, 1)
{
    put_some(f);
    sim_disk_fault(f->d.at[0].sim_disk, &(struct sim_fault){SIM_READ_EIO, ".vol", 1, 4});
    struct scrub_status s = scrub(f);
    /* It is read again before anybody is told: four failures are no lasting one. */
    assert_int_equal(s.damages[DAMAGE_LOST], 0);
    assert_int_equal(s.last_skipped, 0);
}

/* A bit of the last byte of the first row with this prefix turns over: one of the object's. */
static int spoil_tx(struct meta_tx *tx, void *arg)
{
    struct meta_cursor *c;
    struct key_buf k;
    struct str prefix = str_from(arg);
    int r = meta_cursor_open(tx, prefix, &c);
    if (r == 0)
        r = meta_cursor_seek(c, prefix);
    assert_true(r == 0 && meta_cursor_valid(c));
    struct str row = key_raw(&k, STR(""), meta_cursor_key(c));
    struct str value = arena_dup(meta_arena(tx), meta_cursor_value(c));
    ((char *)(uintptr_t)value.ptr)[value.len - 1] ^= 0x40;
    return meta_put(tx, row, value);
}

FARM_CASE(bytes_in_the_metadata_are_read_as_well, 2)
{
    put_some(f);
    assert_int_equal(meta_write(f->meta, f->bucket, spoil_tx, "I"), 0);
    assert_int_equal(meta_write(f->meta, f->bucket, spoil_tx, "Otiny"), 0);
    struct scrub_status s = scrub(f);
    assert_int_equal(s.damages[DAMAGE_LOST], 2);
    assert_string_equal(list(f).text, "bytes in the metadata do not match their digest");
    pass_time(1300 * RT_S);
    assert_int_equal(list(f).count, 2); /* still so */
    farm_put(f, "inline", 700, 1);
    WAIT_UNTIL(list(f).count == 1, 1300 * RT_S);
    assert_string_equal(list(f).key, "bucket/tiny");
    farm_delete(f, "tiny");
    WAIT_UNTIL(list(f).count == 0, 1300 * RT_S);
}

FARM_CASE(where_other_shards_are_left_it_is_repairable, 6)
{
    put_some(f);
    struct blob_layout l = farm_layout(f, "long");
    farm_flip(f, &l.chunks[0].shards[4], 500);
    struct scrub_status s = scrub(f);
    assert_int_equal(s.damages[DAMAGE_REPAIRABLE], 1);
    assert_int_equal(s.damages[DAMAGE_LOST], 0);
    assert_string_equal(list(f).key, "bucket/long");
    assert_int_equal(list(f).last.disk, l.chunks[0].shards[4].disk);
    expect_all(f);
    farm_flip(f, &l.chunks[0].shards[0], 500);
    farm_flip(f, &l.chunks[0].shards[1], 500);
    s = scrub(f);
    assert_int_equal(s.damages[DAMAGE_LOST], 3);
    assert_int_equal(s.damages[DAMAGE_REPAIRABLE], 0);
}

FARM_CASE(a_gone_disk_is_no_loss_yet, 3)
{
    put_some(f);
    struct blob_layout l = farm_layout(f, "long");
    assert_int_equal(l.chunks[0].code_k, 2);
    disk_goes(&f->d, l.chunks[0].shards[0].disk);
    farm_flip(f, &l.chunks[0].shards[1], 5000);
    struct scrub_status s = scrub(f);
    assert_int_equal(s.last_skipped, 1);
    assert_int_equal(s.damages[DAMAGE_WAITING], 1);
    assert_int_equal(s.damages[DAMAGE_LOST], 0);
}

/* A disk that comes back is opened anew only when nobody is inside. */
FARM_CASE(a_disk_that_goes_is_left_at_once, 2)
{
    farm_put(f, "long", 16 * MIB, 3);
    f->config.scrub_bytes_per_s = 64 * KIB;
    farm_start_jobs(f);
    assert_int_equal(jobs_scrub_start(f->jobs), 0);
    pass_time(30 * RT_S);
    assert_true(status_of(f).job.bytes > 0);
    assert_false(node_idle(nodes_get(&f->d.nodes, 1)));
    disk_goes(&f->d, 1);
    pass_time(RT_S);
    assert_true(node_idle(nodes_get(&f->d.nodes, 1)));
    assert_false(node_idle(nodes_get(&f->d.nodes, 0)));
}

FARM_CASE(a_skipped_disk_keeps_its_damages, 2)
{
    farm_put(f, "small", 9000, 2);
    struct blob_layout l = farm_layout(f, "small");
    farm_flip(f, &l.chunks[0].shards[1], 500);
    assert_int_equal(scrub(f).damages[DAMAGE_REPAIRABLE], 1);
    disk_goes(&f->d, l.chunks[0].shards[1].disk);
    assert_int_equal(scrub(f).damages[DAMAGE_REPAIRABLE], 1);
}

FARM_CASE(what_changes_meanwhile_is_no_damage, 2)
{
    char key[16];
    f->config.scrub_bytes_per_s = 20 * MIB;
    farm_start_jobs(f);
    for (unsigned i = 0; i < 30; i++) {
        snprintf(key, sizeof(key), "k-%u", i % 10);
        assert_int_equal(jobs_scrub_start(f->jobs), 0);
        farm_put(f, key, 3000 + i * 40000, i);
        pass_time(7 * RT_MS);
        if (i % 3 == 0)
            farm_delete(f, key);
    }
    pass_time(100 * RT_S);
    assert_true(status_of(f).pass > 2);
    assert_int_equal(status_of(f).last_faults, 0);
    assert_int_equal(list(f).count, 0);
}

FARM_CASE(the_place_survives_restarts, 2)
{
    char key[16];
    for (unsigned i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "k-%u", i);
        farm_put(f, key, 4 * MIB, i);
    }
    uint64_t total = 20 * 4 * MIB * 2, read = 0;
    f->config.scrub_bytes_per_s = 1 * MIB; /* some three minutes */
    farm_start_jobs(f);
    assert_int_equal(jobs_scrub_start(f->jobs), 0);
    for (unsigned i = 0; i < 5; i++) {
        pass_time(30 * RT_S);
        struct scrub_status s = status_of(f);
        assert_int_equal(s.pass, 1);
        assert_in_range(s.job.done, read, total);
        read = s.job.done;
        farm_restart(f);
    }
    assert_true(read > total / 3);
    WAIT_UNTIL(status_of(f).last_ended_ms != 0, 400 * RT_S);
    assert_int_equal(status_of(f).pass, 1);
    assert_int_equal(status_of(f).last_bytes, total);
}

FARM_CASE(it_stops_and_goes_on_when_told, 1)
{
    char key[16];
    for (unsigned i = 0; i < 10; i++) {
        snprintf(key, sizeof(key), "k-%u", i);
        farm_put(f, key, 4 * MIB, i);
    }
    f->config.scrub_bytes_per_s = 1 * MIB;
    farm_start_jobs(f);
    assert_int_equal(jobs_scrub_start(f->jobs), 0);
    pass_time(15 * RT_S);
    assert_int_equal(jobs_scrub_stop(f->jobs), 0);
    pass_time(20 * RT_S);
    uint64_t done = status_of(f).job.bytes;
    assert_in_range(done, 8 * MIB, 20 * MIB);
    assert_int_equal(status_of(f).job.state, JOB_PAUSED);
    farm_restart(f);
    pass_time(600 * RT_S);
    assert_int_equal(status_of(f).job.bytes, 0);
    assert_int_equal(jobs_scrub_start(f->jobs), 0);
    WAIT_UNTIL(status_of(f).last_ended_ms != 0, 60 * RT_S);
    assert_int_equal(status_of(f).last_bytes, 40 * MIB);
    assert_in_range(status_of(f).job.bytes, 16 * MIB, 40 * MIB);
}

FARM_CASE(every_byte_within_the_days, 1)
{
    put_some(f);
    f->config.scrub_days = 14;
    farm_start_jobs(f);
    WAIT_UNTIL(status_of(f).last_ended_ms != 0, 3600 * RT_S);
    uint64_t first_ms = status_of(f).last_ended_ms;
    pass_time(6 * DAY_NS);
    assert_int_equal(status_of(f).pass, 1);
    pass_time(25 * DAY_NS / 20);
    assert_int_equal(status_of(f).pass, 2);
    pass_time(21 * DAY_NS);
    assert_int_equal(status_of(f).pass, 5);
    assert_false(status_of(f).overdue);
    /* Stopped for too long: that is told. */
    assert_int_equal(jobs_scrub_stop(f->jobs), 0);
    pass_time(15 * DAY_NS);
    assert_true(status_of(f).overdue);
    assert_true(status_of(f).last_ended_ms > first_ms);
    assert_int_equal(jobs_scrub_start(f->jobs), 0);
    WAIT_UNTIL(!status_of(f).overdue, 3600 * RT_S);
}

/* ---- repair --------------------------------------------------------------------------------- */

FARM_CASE(what_the_scrub_finds_is_repaired_by_itself, 6)
{
    put_some(f);
    struct blob_layout l = farm_layout(f, "long");
    farm_flip(f, &l.chunks[0].shards[4], 500);
    farm_flip(f, &l.chunks[0].shards[1], 70000);
    scrub(f);
    WAIT_UNTIL(list(f).count == 0, 300 * RT_S);
    assert_int_equal(scrub(f).last_faults, 0);
    expect_all(f);
}

static int stop_after_one(uint64_t bytes, void *arg)
{
    return bytes > 0;
}

/* The chunk's shards that are not as they should be. */
static unsigned bad_shards(struct farm *f, const char *key)
{
    struct blob_layout l = farm_layout(f, key);
    int errors[BLOB_SHARDS_MAX];
    unsigned n = 0;
    blob_verify(f->d.blob, &l.chunks[0], true, errors);
    for (unsigned i = 0; i < l.chunks[0].shard_count; i++)
        n += errors[i] != 0;
    return n;
}

static void queue(struct farm *f, const char *key)
{
    struct blob_layout l = farm_layout(f, key);
    struct store_place p = {.bucket = f->bucket, .key = str_from(key)};
    assert_int_equal(store_repair_queue(f->store, &p, l.chunks[0].id, false), 0);
}

FARM_CASE(the_most_endangered_is_repaired_first, 8)
{
    struct store_repair_result found;
    char key[8];
    unsigned lost = 0, first = 0;
    for (unsigned i = 0; i < 30; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        farm_put(f, key, 400000, i);
    }
    disk_goes(&f->d, 0);
    disk_goes(&f->d, 1);
    for (unsigned i = 0; i < 30; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        struct blob_layout l = farm_layout(f, key);
        if (bad_shards(f, key) == 0)
            farm_flip(f, &l.chunks[0].shards[2], 999); /* damaged, but in no danger */
        queue(f, key);
    }
    node_set_role(nodes_get(&f->d.nodes, 0), NODE_RETIRED);
    node_set_role(nodes_get(&f->d.nodes, 1), NODE_RETIRED);
    for (unsigned i = 0; i < 30; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        lost += bad_shards(f, key) == 2;
    }
    assert_true(lost > 1);
    assert_int_equal(store_repair(f->store, stop_after_one, NULL, &found), 1);
    assert_int_equal(found.repaired, 1);
    for (unsigned i = 0; i < 30; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        first += bad_shards(f, key) == 2;
    }
    assert_int_equal(first, lost - 1); /* one of those that had nothing to spare */
}

static int note_sound(const struct heal_chunk *c, void *arg)
{
    *(bool *)arg = c->sound;
    return 0;
}

FARM_CASE(one_object_is_healed_when_asked, 4)
{
    bool sound = true;
    put_some(f);
    farm_start_jobs(f);
    struct blob_layout l = farm_layout(f, "long");
    farm_flip(f, &l.chunks[0].shards[0], 500);
    assert_int_equal(jobs_heal(f->jobs, f->bucket, STR("long"), false, note_sound, &sound), 0);
    assert_false(sound);
    assert_int_equal(jobs_heal(f->jobs, f->bucket, STR("long"), true, note_sound, &sound), 0);
    assert_false(sound); /* as it was */
    assert_int_equal(jobs_heal(f->jobs, f->bucket, STR("long"), false, note_sound, &sound), 0);
    assert_true(sound);
    assert_int_equal(jobs_heal(f->jobs, f->bucket, STR("none"), true, note_sound, &sound),
                     -ERR_NO_SUCH_KEY);
    expect_all(f);
}

/* ---- the pace by numbers -------------------------------------------------------------------- */

#define TIB   (1024 * GIB)
#define DAY_S 86400ULL

static void the_pace_follows_from_what_is_left(void **state)
{
    struct scrub_state *s = calloc(1, sizeof(*s));
    s->phase = SCRUB_NEEDLES;
    s->pass = 1;
    s->started_ms = 1000;
    s->total_bytes = 100 * TIB;
    struct scrub_pace p = scrub_pace(s, 14, 4 * GIB, 1000);
    assert_in_range(p.bytes_per_s, 100 * TIB / (57 * DAY_S / 10), 100 * TIB / (55 * DAY_S / 10));
    assert_true(p.gives_way);
    s->disks[3].place.bytes = 50 * TIB; /* half of it in a third of the time */
    p = scrub_pace(s, 14, 4 * GIB, 1000 + DAY_S * 1000 * 56 / 30);
    assert_in_range(p.bytes_per_s, 50 * TIB / (DAY_S * 38 / 10), 50 * TIB / (DAY_S * 37 / 10));
    p = scrub_pace(s, 14, 4 * GIB, 1000 + DAY_S * 1000 * 6); /* late: all there is */
    assert_int_equal(p.bytes_per_s, 4 * GIB);
    assert_false(p.gives_way);
    s->manual = true;
    p = scrub_pace(s, 14, 4 * GIB, 1000);
    assert_int_equal(p.bytes_per_s, 4 * GIB);
    assert_true(p.gives_way);
    s->manual = false;
    s->total_bytes = 51 * TIB / 1000; /* little is left: not slower than the least */
    assert_int_equal(scrub_pace(s, 14, 4 * GIB, 1000).bytes_per_s, 8 * MIB);
    free(s);
}

static void a_pass_dated_ahead_of_the_clock_makes_the_next_one_due(void **state)
{
    uint64_t now_ms = 20000 * DAY_S * 1000;
    struct scrub_state *s = calloc(1, sizeof(*s));
    s->pass = 1;
    s->last_started_ms = now_ms + 3600 * 1000; /* a clock that was put right */
    assert_false(scrub_due(s, 14, now_ms));
    s->last_started_ms = now_ms + 365 * DAY_S * 1000; /* one that was a year ahead */
    assert_true(scrub_due(s, 14, now_ms));
    assert_false(scrub_due(s, 0, now_ms));
    free(s);
}

static void a_state_survives_packing(void **state)
{
    struct scrub_state *s = calloc(2, sizeof(*s));
    struct str packed;
    s->pass = 7;
    s->phase = SCRUB_RECORDS;
    s->manual = true;
    s->disks[200].place =
        (struct disk_scrub_place){.begun = true, .last = {{1, 2}, 3}, .bytes = 99};
    s->disks[201].skipped = true;
    memcpy(s->records.buffer, "row", 3);
    s->records.row = str_make(s->records.buffer, 3);
    s->records.bucket = 12;
    s->records.kind = 2;
    s->last_faults = 5;
    s->unlisted = 6;
    assert_int_equal(scrub_pack(s, &packed), 0);
    assert_int_equal(scrub_unpack(packed, &s[1]), 0);
    s[1].records.row.ptr = s->records.buffer;
    s[1].records.row = s->records.row;
    assert_memory_equal(&s[0], &s[1], sizeof(*s));
    assert_int_equal(scrub_unpack(STR("\xff\xff"), &s[1]), -ERR_CORRUPT);
    assert_int_equal(scrub_unpack(STR(""), &s[1]), 0);
    assert_int_equal(s[1].pass, 0);
    free((char *)(uintptr_t)packed.ptr);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_store_is_read_whole),
        cmocka_unit_test(an_empty_store_too),
        cmocka_unit_test(a_flipped_bit_names_its_object),
        cmocka_unit_test(each_part_of_a_needle_is_held_to_its_sum),
        cmocka_unit_test(a_lost_needle_is_missed),
        cmocka_unit_test(an_unreadable_sector_is_one_damage),
        cmocka_unit_test(bytes_in_the_metadata_are_read_as_well),
        cmocka_unit_test(where_other_shards_are_left_it_is_repairable),
        cmocka_unit_test(a_gone_disk_is_no_loss_yet),
        cmocka_unit_test(a_disk_that_goes_is_left_at_once),
        cmocka_unit_test(a_skipped_disk_keeps_its_damages),
        cmocka_unit_test(what_changes_meanwhile_is_no_damage),
        cmocka_unit_test(the_place_survives_restarts),
        cmocka_unit_test(it_stops_and_goes_on_when_told),
        cmocka_unit_test(every_byte_within_the_days),
        cmocka_unit_test(what_the_scrub_finds_is_repaired_by_itself),
        cmocka_unit_test(the_most_endangered_is_repaired_first),
        cmocka_unit_test(one_object_is_healed_when_asked),
        cmocka_unit_test(the_pace_follows_from_what_is_left),
        cmocka_unit_test(a_pass_dated_ahead_of_the_clock_makes_the_next_one_due),
        cmocka_unit_test(a_state_survives_packing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
