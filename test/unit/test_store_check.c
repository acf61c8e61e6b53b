/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* What the check finds, and that it finds nothing in a store that is sound or busy. */

#include <dirent.h>
#include <fcntl.h>
#include "store_help.h"

struct found {
    struct store_home *h;
    char faults[2000]; /* texts, each with its bucket and key, in order */
    char remark[200];
    unsigned count, progress;
    uint64_t done, total;
};

static int on_event(const struct store_check_event *e, void *arg)
{
    struct found *f = arg;
    f->done = e->done;
    f->total = e->total;
    f->progress += e->err == 0;
    assert_true(e->done <= e->total);
    if (e->err == 0 && e->text)
        snprintf(f->remark, sizeof(f->remark), "%s", e->text);
    if (e->err == 0)
        return 0;
    size_t len = strlen(f->faults);
    snprintf(f->faults + len, sizeof(f->faults) - len, "%s: %.*s/%.*s\n", e->text,
             STR_FMT(e->bucket), STR_FMT(e->key));
    f->count++;
    return 0;
}

static void check(struct store_home *h, bool deep, const char *want)
{
    struct found f = {.h = h};
    assert_int_equal(store_check(h->store, deep, on_event, &f), 0);
    assert_string_equal(f.faults, want);
    assert_true(f.progress > 0);
    assert_int_equal(f.done, f.total);
}

/* Some of everything. */
static struct str furnish(struct store_home *h)
{
    struct store_attrs attrs = {0};
    struct str upload;
    struct store_writer *w;
    uint64_t mtime;
    uint8_t md5[16] = {0};
    for (unsigned i = 0; i < 300; i++) {
        char key[16];
        snprintf(key, sizeof(key), "small-%u", i);
        put(h, str_from(key), bytes_of(h, i, i));
    }
    put(h, STR("big"), bytes_of(h, 3 * MIB, 1));
    put(h, STR("replaced"), bytes_of(h, 50000, 1));
    put(h, STR("replaced"), bytes_of(h, 60000, 2));
    put(h, STR("beside"), bytes_of(h, 4000, 1));
    put(h, STR("beside"), bytes_of(h, 5000, 1));
    assert_int_equal(store_upload_create(h->store, &h->arena, h->bucket, STR("u"), &attrs, 0, false,
                                         false, &upload),
                     0);
    assert_int_equal(store_part_begin(h->store, h->bucket, STR("u"), upload, 1, 5000, &w), 0);
    assert_int_equal(store_write(w, bytes_of(h, 5000, 3).ptr, 5000), 0);
    assert_int_equal(store_part_commit(w, md5, NULL, NULL, &mtime), 0);
    return upload;
}

CASE(a_sound_store_has_no_faults)
{
    check(h, false, "");
    furnish(h);
    check(h, false, "");
    check(h, true, "");
    collect_all(h);
    home_close(h);
    home_open(h);
    check(h, true, "");
}

static int add_part_bytes(struct meta_tx *tx, void *arg)
{
    const int64_t deltas[COUNTERS] = {[COUNT_PART_BYTES] = *(int64_t *)arg};
    return meta_add(tx, KEY_COUNTERS, deltas, COUNTERS);
}

/* Less: they are of an upload that is older than the counter. */
CASE(bytes_of_parts_that_are_counted_and_not_there_are_a_fault)
{
    int64_t less = -1, more = 2;
    furnish(h);
    assert_int_equal(meta_write(h->meta, h->bucket, add_part_bytes, &less), 0);
    check(h, false, "");
    assert_int_equal(meta_write(h->meta, h->bucket, add_part_bytes, &more), 0);
    check(h, false, "the usage counters differ from what is stored: bucket/\n");
}

/* ---- damage, done beneath the store --------------------------------------------------------- */

struct edit {
    struct str key, value; /* value.ptr NULL: delete */
};

static int edit_tx(struct meta_tx *tx, void *arg)
{
    const struct edit *e = arg;
    return e->value.ptr ? meta_put(tx, e->key, e->value) : meta_del(tx, e->key);
}

static void edit(struct store_home *h, struct str key, struct str value)
{
    struct edit e = {key, value};
    assert_int_equal(meta_write(h->meta, h->bucket, edit_tx, &e), 0);
}

static struct chunk_id chunk_of(struct store_home *h, struct str key)
{
    struct cache_place place;
    struct store_reader *r;
    assert_int_equal(store_get(h->store, h->bucket, key, STORE_CURRENT, NULL, &r), 0);
    store_reader_close(r);
    struct record *record = cache_get(&h->store->cache, h->bucket, key, &place);
    struct chunk_id id = record->layout.chunks[0].id;
    record_unref(record);
    return id;
}

CASE(a_damaged_record_is_found)
{
    furnish(h);
    struct key_buf k;
    edit(h, key_raw(&k, KEY_OBJECTS, STR("broken")), STR("not a record"));
    check(h, false, "an object's record cannot be read: bucket/broken\n");
}

CASE(a_lost_record_is_found_by_the_counters)
{
    furnish(h);
    struct key_buf k;
    edit(h, key_raw(&k, KEY_OBJECTS, STR("small-7")), STR_NULL);
    check(h, false, "the usage counters differ from what is stored: bucket/\n");
}

CASE(a_missing_chunk_is_found)
{
    furnish(h);
    struct chunk_id id = chunk_of(h, STR("big"));
    assert_int_equal(blob_delete(h->blob, &(struct blob_needle){{id, 0}, BLOB_DISK_ALL}, 1), 0);
    check(h, false, "a chunk is missing from its disk: bucket/big\n");
}

/* The row of the bytes of the object "beside". */
static struct str beside_row(struct store_home *h, struct key_buf *k)
{
    struct store_reader *r;
    assert_int_equal(store_get(h->store, h->bucket, STR("beside"), STORE_CURRENT, NULL, &r), 0);
    uint64_t seq = store_reader_object(r)->seq;
    store_reader_close(r);
    return key_beside(k, STR("beside"), seq);
}

CASE(missing_bytes_beside_a_record_are_found)
{
    furnish(h);
    struct key_buf k;
    edit(h, beside_row(h, &k), STR_NULL);
    check(h, false, "an object's bytes are missing from the metadata: bucket/beside\n");
}

CASE(changed_bytes_beside_a_record_are_found)
{
    furnish(h);
    struct key_buf k;
    edit(h, beside_row(h, &k), bytes_of(h, 5000, 3));
    check(h, false, "an object's bytes are not as its record says: bucket/beside\n");
}

CASE(bytes_of_no_record_are_found)
{
    furnish(h);
    struct key_buf k;
    edit(h, key_beside(&k, STR("beside"), 7), STR("left over"));
    check(h, false, "a row of an object's bytes belongs to no record: bucket/beside\n");
}

static void delete_k(struct store_home *h)
{
    bool existed;
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), NULL, &existed), 0);
}

CASE(what_is_told_of_versions_is_held_against_them)
{
    struct key_buf k;
    put(h, STR("k"), bytes_of(h, 3, 1));
    assert_int_equal(store_bucket_set_versioning(h->store, h->bucket, STORE_VERSIONING_ENABLED), 0);
    put(h, STR("k"), bytes_of(h, 3, 2));
    check(h, false, "");
    edit(h, key_raw(&k, KEY_TOPS, STR("k")), STR_NULL);
    check(h, false, "a null version is not the one that is told of: bucket/k\n");
    edit(h, key_raw(&k, KEY_TOPS, STR("none")), STR("\x08\x05"));
    check(h, false,
          "a null version is not the one that is told of: bucket/k\n"
          "a version that is told of is not there: bucket/none\n");
}

CASE(a_marker_that_is_not_told_of_is_found)
{
    struct key_buf k;
    assert_int_equal(store_bucket_set_versioning(h->store, h->bucket, STORE_VERSIONING_ENABLED), 0);
    put(h, STR("k"), bytes_of(h, 3, 1));
    delete_k(h);
    check(h, false, "");
    edit(h, key_raw(&k, KEY_TOPS, STR("k")), STR_NULL);
    check(h, false, "a newest delete marker is not told of: bucket/k\n");
}

struct garbage {
    struct str key;
    struct chunk_id id;
};

static int garbage_tx(struct meta_tx *tx, void *arg)
{
    const struct garbage *g = arg;
    struct blob_chunk chunk = {.id = g->id, .len_bytes = 1};
    struct blob_layout layout = {&chunk, 1, 1};
    return garbage_row_put(tx, UINT64_MAX, g->key, 1, &layout);
}

CASE(garbage_that_is_in_use_is_found)
{
    furnish(h);
    struct garbage g = {STR("big"), chunk_of(h, STR("big"))};
    assert_int_equal(meta_write(h->meta, h->bucket, garbage_tx, &g), 0);
    check(h, false, "a chunk is both garbage and named by a record: bucket/big\n");
}

CASE(a_chunk_named_twice_is_found)
{
    furnish(h);
    struct key_buf from, to;
    struct str value = STR_NULL;
    /* A copy of the row under another key; the counters do not know of it. */
    key_raw(&from, KEY_OBJECTS, STR("big"));
    _cleanup_buf_ struct buf row;
    buf_init(&row, 0);
    struct kv *kv;
    home_close(h);
    assert_int_equal(kv_mem_open(&kv, h->content), 0);
    char full[8 + 16] = {0};
    full[7] = (char)h->bucket.n;
    memcpy(full + 8, from.bytes, from.len);
    assert_int_equal(kv_get(kv, NULL, str_make(full, 8 + from.len), 0, &row), 0);
    kv_close(kv);
    home_open(h);
    value = buf_str(&row);
    edit(h, key_raw(&to, KEY_OBJECTS, STR("copy")), value);
    check(h, false,
          "a chunk is named by two records: bucket/copy\n"
          "the usage counters differ from what is stored: bucket/\n");
}

CASE(a_part_without_its_upload_is_found)
{
    struct str upload = furnish(h);
    struct key_buf k;
    edit(h, key_upload(&k, STR("u"), upload), STR_NULL);
    struct found f = {.h = h};
    assert_int_equal(store_check(h->store, false, on_event, &f), 0);
    assert_non_null(strstr(f.faults, "a part belongs to no upload"));
    assert_int_equal(f.count, 2); /* the counters tell as well */
}

CASE(an_orphan_is_a_remark_not_a_fault)
{
    furnish(h);
    struct blob_writer *w;
    struct blob_layout layout;
    assert_int_equal(blob_begin(h->blob, BLOB_STANDARD, 3, &w), 0);
    assert_int_equal(blob_write(w, "abc", 3), 0);
    assert_int_equal(blob_finish(w, &h->arena, &layout), 0);
    struct found f = {.h = h};
    assert_int_equal(store_check(h->store, false, on_event, &f), 0);
    assert_int_equal(f.count, 0);
    assert_non_null(strstr(f.remark, "1 needles are named by nothing"));
}

/* Flips a bit in the middle of the volume's largest run of data. */
static void flip_in_volume(struct store_home *h, const struct needle_hint *where)
{
    char path[128];
    uint8_t byte;
    snprintf(path, sizeof(path), "%s/volumes/%08u.vol", h->path, where->volume);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    off_t at = (off_t)where->offset + 1 * MIB;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

CASE(a_flipped_bit_is_found_by_the_deep_check)
{
    furnish(h);
    struct cache_place place;
    struct store_reader *r;
    assert_int_equal(store_get(h->store, h->bucket, STR("big"), STORE_CURRENT, NULL, &r), 0);
    store_reader_close(r);
    struct record *record = cache_get(&h->store->cache, h->bucket, STR("big"), &place);
    struct needle_hint where = record->layout.chunks[0].shards[0].where;
    record_unref(record);
    home_close(h);
    flip_in_volume(h, &where);
    home_open(h);
    check(h, false, "");
    check(h, true, "a chunk on the disk is not as its record says: bucket/big\n");
    _cleanup_buf_ struct buf got;
    buf_init(&got, 0);
    assert_int_equal(get(h, STR("big"), &got), -ERR_CORRUPT);
}

/* ---- while it serves ------------------------------------------------------------------------ */

struct busy {
    struct store_home *h;
    bool stop, stopped;
};

static void keep_busy(void *arg)
{
    struct busy *b = arg;
    char key[16];
    for (unsigned i = 0; !b->stop; i++) {
        bool existed;
        uint64_t chunks;
        snprintf(key, sizeof(key), "busy-%u", i * 7 % 50);
        if (i % 3 == 2)
            assert_int_equal(store_delete(b->h->store, b->h->bucket, str_from(key), NULL, &existed),
                             0);
        else
            put(b->h, str_from(key), bytes_of(b->h, i % 2 ? 100 : 4000, i));
        if (i % 10 == 0)
            assert_int_equal(store_gc(b->h->store, 100, &chunks), 0);
    }
    b->stopped = true;
}

CASE(what_changes_meanwhile_is_no_fault)
{
    furnish(h);
    struct busy b = {.h = h};
    assert_int_equal(rt_spawn_detached("busy", keep_busy, &b), 0);
    for (unsigned i = 0; i < 20; i++) {
        struct found f = {.h = h};
        assert_int_equal(store_check(h->store, i % 2, on_event, &f), 0);
        assert_string_equal(f.faults, "");
    }
    b.stop = true;
    while (!b.stopped)
        rt_sleep_until(rt_now() + RT_MS);
    check(h, true, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_store_has_no_faults),
        cmocka_unit_test(bytes_of_parts_that_are_counted_and_not_there_are_a_fault),
        cmocka_unit_test(a_damaged_record_is_found),
        cmocka_unit_test(a_lost_record_is_found_by_the_counters),
        cmocka_unit_test(a_missing_chunk_is_found),
        cmocka_unit_test(missing_bytes_beside_a_record_are_found),
        cmocka_unit_test(changed_bytes_beside_a_record_are_found),
        cmocka_unit_test(bytes_of_no_record_are_found),
        cmocka_unit_test(what_is_told_of_versions_is_held_against_them),
        cmocka_unit_test(a_marker_that_is_not_told_of_is_found),
        cmocka_unit_test(garbage_that_is_in_use_is_found),
        cmocka_unit_test(a_chunk_named_twice_is_found),
        cmocka_unit_test(a_part_without_its_upload_is_found),
        cmocka_unit_test(an_orphan_is_a_remark_not_a_fault),
        cmocka_unit_test(a_flipped_bit_is_found_by_the_deep_check),
        cmocka_unit_test(what_changes_meanwhile_is_no_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
