/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Objects over several disks: repair rows, repair, replaced disks, what is let go. */

#include "store_help.h"
#include <fcntl.h>

/* Five more disks. */
static void more_disks(struct store_home *h)
{
    home_close(h);
    while (h->more_count < 5)
        home_more_disk(h);
    home_open(h);
}

static void disk_goes(struct store_home *h, uint32_t disk)
{
    node_set_gone(nodes_get(&h->nodes, disk), -ENODEV);
}

/* A copy of what the record says. */
static struct blob_layout layout_of(struct store_home *h, struct str key)
{
    struct cache_place place;
    struct store_reader *r;
    assert_int_equal(store_get(h->store, h->bucket, key, STORE_CURRENT, NULL, &r), 0);
    store_reader_close(r);
    struct record *record = cache_get(&h->store->cache, h->bucket, key, &place);
    struct blob_layout l = record->layout;
    l.chunks = arena_array(&h->arena, struct blob_chunk, l.count + 1);
    for (size_t i = 0; i < l.count; i++) {
        l.chunks[i] = record->layout.chunks[i];
        size_t size = l.chunks[i].shard_count * sizeof(struct blob_shard);
        l.chunks[i].shards = arena_alloc(&h->arena, size);
        memcpy(l.chunks[i].shards, record->layout.chunks[i].shards, size);
    }
    record_unref(record);
    return l;
}

static int count_fault(const struct store_check_event *e, void *arg)
{
    *(unsigned *)arg += e->err != 0;
    return 0;
}

static unsigned faults(struct store_home *h)
{
    unsigned n = 0;
    assert_int_equal(store_check(h->store, true, count_fault, &n), 0);
    return n;
}

static struct store_repair_result repair(struct store_home *h)
{
    struct store_repair_result r;
    assert_int_equal(store_repair(h->store, NULL, NULL, &r), 0);
    return r;
}

/* As many needles as the objects have shards, and each where it is said to be. */
static void expect_whole(struct store_home *h, size_t needles)
{
    collect_all(h);
    assert_int_equal(faults(h), 0);
    assert_int_equal(home_chunks(h), needles);
    struct store_repair_result r = repair(h);
    assert_int_equal(r.rows, 0);
}

CASE(whole_objects_have_no_repair_rows)
{
    more_disks(h);
    put(h, STR("small"), bytes_of(h, 100000, 1));
    put(h, STR("long"), bytes_of(h, 3000000, 2));
    assert_int_equal(repair(h).rows, 0);
    assert_int_equal(layout_of(h, STR("long")).chunks[0].code_k, 4);
    expect_whole(h, 3 + 6);
}

CASE(object_written_without_a_disk_is_widened_when_it_is_back)
{
    more_disks(h);
    disk_goes(h, 2);
    disk_goes(h, 4);
    struct str small = bytes_of(h, 100000, 1), large = bytes_of(h, 3000000, 2);
    put(h, STR("small"), small);
    put(h, STR("long"), large);
    assert_int_equal(layout_of(h, STR("long")).chunks[0].code_k, 2);
    struct store_repair_result r = repair(h);
    assert_int_equal(r.rows, 1); /* three copies are all that a short one gets */
    assert_int_equal(r.repaired, 0);
    assert_int_equal(r.left, 1);
    home_close(h);
    home_open(h);
    r = repair(h);
    assert_int_equal(r.repaired, 1);
    assert_int_equal(layout_of(h, STR("long")).chunks[0].code_k, 4);
    expect(h, STR("small"), small);
    expect(h, STR("long"), large);
    expect_whole(h, 3 + 6);
}

CASE(replaced_disk_is_filled_again)
{
    more_disks(h);
    struct str data[8];
    char key[16];
    for (unsigned i = 0; i < 8; i++) {
        snprintf(key, sizeof(key), "k-%u", i);
        data[i] = bytes_of(h, i % 2 ? 50000 : 700000, i);
        put(h, str_from(key), data[i]);
    }
    disk_goes(h, 3);
    node_set_role(nodes_get(&h->nodes, 3), NODE_RETIRED);
    home_more_disk(h);
    home_open_more(h, 5);
    uint64_t chunks = 0;
    assert_int_equal(store_repair_scan(h->store, NULL, NULL, &chunks), 0);
    assert_true(chunks >= 4); /* all the striped ones, and some copies */
    struct store_repair_result r = repair(h);
    assert_int_equal(r.repaired, chunks);
    assert_int_equal(r.left, 0);
    for (unsigned i = 0; i < 8; i++) {
        snprintf(key, sizeof(key), "k-%u", i);
        expect(h, str_from(key), data[i]);
        struct blob_layout l = layout_of(h, str_from(key));
        for (unsigned s = 0; s < l.chunks[0].shard_count; s++)
            assert_true(l.chunks[0].shards[s].disk != 3);
    }
    expect_whole(h, 4 * 3 + 4 * 6);
    /* the old disk comes back with its old shards: nothing names them, and the sweep removes them
     */
    node_set_role(nodes_get(&h->nodes, 3), NODE_ACTIVE);
    home_close(h);
    home_open(h);
    struct store_sweep_result swept;
    assert_int_equal(store_sweep(h->store, h->session, NULL, NULL, &swept), 0);
    assert_int_equal(swept.orphans_deleted, chunks);
    expect_whole(h, 4 * 3 + 4 * 6);
}

/* Flips a byte of a shard's payload where it lies. */
static void damage(struct store_home *h, const struct blob_shard *s)
{
    char path[160];
    const char *dir = s->disk ? h->more[s->disk - 1].path : h->path;
    snprintf(path, sizeof(path), "%s/volumes/%08u.vol", dir, s->where.volume);
    int fd = open(path, O_RDWR);
    uint8_t byte;
    off_t at = (off_t)s->where.offset + 96 + 1000;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

CASE(shard_found_damaged_by_a_read_is_repaired)
{
    more_disks(h);
    struct str data[2] = {bytes_of(h, 100000, 1), bytes_of(h, 3000000, 2)};
    const struct str keys[2] = {STR("small"), STR("long")};
    for (unsigned i = 0; i < 2; i++) {
        put(h, keys[i], data[i]);
        damage(h, &layout_of(h, keys[i]).chunks[0].shards[0]);
        expect(h, keys[i], data[i]);
    }
    assert_int_equal(faults(h), 2);
    struct store_repair_result r = repair(h);
    assert_int_equal(r.rows, 2);
    assert_int_equal(r.repaired, 2);
    for (unsigned i = 0; i < 2; i++)
        expect(h, keys[i], data[i]);
    expect_whole(h, 3 + 6);
}

CASE(repair_row_of_an_object_that_went_is_dropped)
{
    more_disks(h);
    disk_goes(h, 1);
    put(h, STR("a"), bytes_of(h, 700000, 1));
    put(h, STR("b"), bytes_of(h, 700000, 2));
    put(h, STR("b"), bytes_of(h, 10, 3));
    bool existed;
    assert_int_equal(store_delete(h->store, h->bucket, STR("a"), NULL, &existed), 0);
    struct store_repair_result r = repair(h);
    assert_int_equal(r.rows, 2);
    assert_int_equal(r.repaired, 0);
    expect_whole(h, 0);
}

CASE(record_that_changed_keeps_its_shards)
{
    more_disks(h);
    put(h, STR("k"), bytes_of(h, 700000, 1));
    struct blob_chunk old = layout_of(h, STR("k")).chunks[0];
    struct store_place place = {.bucket = h->bucket, .key = STR("k")};
    struct str data = bytes_of(h, 700000, 2);
    put(h, STR("k"), data);
    struct blob_chunk new = old;
    assert_int_equal(store_relayout(h->store, &place, &old, &new), -ERR_CONFLICT);
    struct blob_chunk now = layout_of(h, STR("k")).chunks[0];
    new = now;
    struct blob_shard shards[BLOB_SHARDS_MAX];
    memcpy(shards, now.shards, now.shard_count * sizeof(*shards));
    new.shards = shards;
    now.shards[0].where.offset++; /* moved meanwhile */
    assert_int_equal(store_relayout(h->store, &place, &now, &new), -ERR_CONFLICT);
    expect(h, STR("k"), data);
    expect_whole(h, 6);
}

CASE(part_is_repaired_before_and_after_it_is_assembled)
{
    more_disks(h);
    struct store_attrs attrs = {.owner = STR("owner")};
    struct str upload, data = bytes_of(h, 5 * MIB, 1);
    assert_int_equal(store_upload_create(h->store, &h->arena, h->bucket, STR("k"), &attrs, 0, false,
                                         false, &upload),
                     0);
    disk_goes(h, 0);
    disk_goes(h, 1);
    uint8_t md5[16];
    md5_of(data, md5);
    struct store_complete_part parts[2];
    for (unsigned i = 0; i < 2; i++) {
        struct store_writer *w;
        uint64_t mtime;
        assert_int_equal(
            store_part_begin(h->store, h->bucket, STR("k"), upload, i + 1, data.len, &w), 0);
        assert_int_equal(store_write(w, data.ptr, data.len), 0);
        assert_int_equal(store_part_commit(w, md5, NULL, NULL, &mtime), 0);
        parts[i] = (struct store_complete_part){.number = i + 1};
    }
    assert_int_equal(repair(h).rows, 2);
    home_close(h);
    home_open(h);
    struct store_repair_result r = repair(h);
    assert_int_equal(r.repaired, 2);
    collect_all(h);
    assert_int_equal(home_chunks(h), 12);
    disk_goes(h, 2);
    struct store_writer *w;
    uint64_t mtime;
    assert_int_equal(store_part_begin(h->store, h->bucket, STR("k"), upload, 1, data.len, &w), 0);
    assert_int_equal(store_write(w, data.ptr, data.len), 0);
    assert_int_equal(store_part_commit(w, md5, NULL, NULL, &mtime), 0);
    struct store_object o;
    assert_int_equal(store_upload_complete(h->store, &h->arena, h->bucket, STR("k"), upload, parts,
                                           2, NULL, UINT64_MAX, NULL, NULL, &o),
                     0);
    home_close(h);
    home_open(h);
    r = repair(h);
    assert_int_equal(r.repaired, 1); /* found in the object */
    assert_int_equal(layout_of(h, STR("k")).chunks[0].code_k, 4);
    expect_whole(h, 12);
}

CASE(sweep_and_repair_keep_out_of_each_other)
{
    more_disks(h);
    disk_goes(h, 1);
    put(h, STR("a"), bytes_of(h, 700000, 1));
    struct store_repair_result r;
    h->store->sweeping = 1;
    assert_int_equal(store_repair(h->store, NULL, NULL, &r), -ERR_BUSY);
    h->store->sweeping = 0;
    assert_int_equal(store_repair(h->store, NULL, NULL, &r), 0);
    assert_int_equal(r.left, 1);
}

CASE(check_tells_of_degraded_chunks)
{
    more_disks(h);
    put(h, STR("a"), bytes_of(h, 700000, 1));
    assert_int_equal(faults(h), 0);
    disk_goes(h, 1);
    assert_int_equal(faults(h), 1);
}

/* Version `seq` of the key k. */
static void expect_version(struct store_home *h, uint64_t seq, struct str data)
{
    struct store_version_ref v = {.kind = STORE_VERSION_SEQ, .seq = seq};
    struct store_reader *r;
    _cleanup_buf_ struct buf got;
    buf_init(&got, 0);
    assert_int_equal(store_get(h->store, h->bucket, STR("k"), v, NULL, &r), 0);
    assert_int_equal(store_read(r, 0, data.len, append_sink, &got), 0);
    assert_memory_equal(got.data, data.ptr, data.len);
    store_reader_close(r);
}

static uint64_t put_version(struct store_home *h, struct str data)
{
    struct store_reader *r;
    put(h, STR("k"), data);
    assert_int_equal(store_get(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL, &r), 0);
    uint64_t seq = store_reader_object(r)->seq;
    store_reader_close(r);
    return seq;
}

CASE(versions_are_repaired_where_they_lie)
{
    struct str data[3];
    uint64_t seqs[3];
    bool existed;
    more_disks(h);
    assert_int_equal(store_bucket_set_versioning(h->store, h->bucket, STORE_VERSIONING_ENABLED), 0);
    disk_goes(h, 2);
    disk_goes(h, 4);
    for (unsigned i = 0; i < 3; i++) {
        data[i] = bytes_of(h, 3000000, i);
        seqs[i] = put_version(h, data[i]);
    }
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), NULL, &existed), 0);
    home_close(h);
    home_open(h);
    assert_int_equal(repair(h).repaired, 3); /* none of them is a current object */
    for (unsigned i = 0; i < 3; i++)
        expect_version(h, seqs[i], data[i]);
    expect_whole(h, 3 * 6);
    disk_goes(h, 3);
    node_set_role(nodes_get(&h->nodes, 3), NODE_RETIRED);
    home_more_disk(h);
    home_open_more(h, 5);
    uint64_t chunks = 0;
    assert_int_equal(store_repair_scan(h->store, NULL, NULL, &chunks), 0);
    assert_int_equal(chunks, 3);
    assert_int_equal(repair(h).repaired, 3);
    for (unsigned i = 0; i < 3; i++)
        expect_version(h, seqs[i], data[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_objects_have_no_repair_rows),
        cmocka_unit_test(object_written_without_a_disk_is_widened_when_it_is_back),
        cmocka_unit_test(replaced_disk_is_filled_again),
        cmocka_unit_test(versions_are_repaired_where_they_lie),
        cmocka_unit_test(shard_found_damaged_by_a_read_is_repaired),
        cmocka_unit_test(repair_row_of_an_object_that_went_is_dropped),
        cmocka_unit_test(record_that_changed_keeps_its_shards),
        cmocka_unit_test(part_is_repaired_before_and_after_it_is_assembled),
        cmocka_unit_test(sweep_and_repair_keep_out_of_each_other),
        cmocka_unit_test(check_tells_of_degraded_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
