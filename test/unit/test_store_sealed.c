/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Objects whose bytes are sealed: what is stored, what is read, what is refused. */

#include "store_help.h"

static const uint8_t data_key[CRYPT_KEY_LEN] = {42, 1}, other_key[CRYPT_KEY_LEN] = {42, 2};

static const size_t sizes[] = {0,     1,     512,       513,       8192,       8193,
                               65535, 65536, 2 * 65536, 100 * KIB, 1 * MIB + 1};

/* What a door puts there: the store does not look into it. */
static const struct store_attrs sealed_attrs = {
    .content_type = STR("t/t"), .owner = STR("owner"), .seal = STR("a seal")};

static void put_sealed(struct store_home *h, struct str key, struct str data, uint64_t least,
                       uint64_t most)
{
    struct store_writer *w;
    struct store_etag etag = etag_of(data);
    struct store_written written;
    assert_int_equal(store_put_begin_sealed(h->store, h->bucket, key, least, most, data_key, &w),
                     0);
    for (size_t at = 0; at < data.len; at += 10000)
        assert_int_equal(store_write(w, data.ptr + at, MIN((size_t)10000, data.len - at)), 0);
    assert_int_equal(store_put_commit(w, &sealed_attrs, &etag, NULL, NULL, &written), 0);
}

static void expect_sealed_range(struct store_home *h, struct str key, struct str data, size_t off,
                                size_t len)
{
    _cleanup_buf_ struct buf got;
    struct store_reader *r;
    buf_init(&got, 0);
    assert_int_equal(store_get(h->store, h->bucket, key, STORE_CURRENT, NULL, &r), 0);
    assert_int_equal(store_reader_object(r)->len_bytes, data.len);
    assert_true(str_eq(store_reader_object(r)->attrs.seal, sealed_attrs.seal));
    assert_int_equal(store_reader_unseal(r, data_key), 0);
    assert_int_equal(store_read(r, off, len, append_sink, &got), 0);
    assert_int_equal(got.len, len);
    assert_true(len == 0 || memcmp(got.data, data.ptr + off, len) == 0);
    struct str held = store_reader_inline(r);
    assert_true(!held.ptr || str_eq(held, data));
    store_reader_close(r);
}

static void expect_sealed(struct store_home *h, struct str key, struct str data)
{
    expect_sealed_range(h, key, data, 0, data.len);
    for (size_t off = 0; off < data.len; off = off * 3 + 1)
        expect_sealed_range(h, key, data, off, MIN(data.len - off, (size_t)70000));
}

static int any_fault(const struct store_check_event *e, void *arg)
{
    if (e->err < 0)
        print_message("%s: %.*s\n", e->text, STR_FMT(e->key));
    *(int *)arg += e->err < 0;
    return 0;
}

static void expect_sound(struct store_home *h)
{
    int faults = 0;
    assert_int_equal(store_check(h->store, true, any_fault, &faults), 0);
    assert_int_equal(faults, 0);
}

CASE(sealed_objects_of_every_size_read_back)
{
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct str data = bytes_of(h, sizes[i], 3);
        put_sealed(h, STR("k"), data, data.len, data.len);
        expect_sealed(h, STR("k"), data);
        assert_int_equal(usage(h).bytes, data.len); /* lengths are those of the plaintext */
    }
    expect_sound(h);
}

CASE(sealed_objects_of_an_open_end_read_back)
{
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (size_t early = 0; early <= STORE_OPEN_MAX; early += STORE_OPEN_MAX / 2) {
            struct str data = bytes_of(h, sizes[i], 4);
            uint64_t least = data.len > early ? data.len - early : 0;
            put_sealed(h, STR("k"), data, least, least + STORE_OPEN_MAX);
            expect_sealed(h, STR("k"), data);
        }
    expect_sound(h);
}

CASE(an_open_end_that_ends_too_early_stores_nothing)
{
    struct store_writer *w;
    struct store_written written;
    struct str data = bytes_of(h, 99999, 4);
    struct store_etag etag = etag_of(data);
    assert_int_equal(
        store_put_begin_sealed(h->store, h->bucket, STR("k"), 100000, 150000, data_key, &w), 0);
    assert_int_equal(store_write(w, data.ptr, data.len), 0);
    assert_int_equal(store_put_commit(w, &sealed_attrs, &etag, NULL, NULL, &written),
                     -ERR_INCOMPLETE_BODY);
    expect_absent(h, STR("k"));
}

CASE(without_its_key_nothing_is_read)
{
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        _cleanup_buf_ struct buf got;
        struct str data = bytes_of(h, sizes[i], 5);
        struct store_reader *r;
        buf_init(&got, 0);
        put_sealed(h, STR("k"), data, data.len, data.len);
        assert_int_equal(store_get(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL, &r), 0);
        assert_null(store_reader_inline(r).ptr);
        if (data.len)
            assert_int_equal(store_read(r, 0, data.len, append_sink, &got), -ERR_WRONG_KEY);
        int err = store_reader_unseal(r, other_key);
        if (err == 0) /* in chunks: told by the first block */
            err = store_read(r, 0, data.len, append_sink, &got);
        assert_int_equal(err, -ERR_CORRUPT);
        assert_int_equal(got.len, 0);
        store_reader_close(r);
    }
}

CASE(a_seal_and_a_key_go_together)
{
    struct store_writer *w;
    struct store_written written;
    struct store_etag etag = etag_of(STR("x"));
    struct store_attrs plain = {.owner = STR("owner")};
    assert_int_equal(store_put_begin_sealed(h->store, h->bucket, STR("k"), 1, 1, data_key, &w), 0);
    assert_int_equal(store_write(w, "x", 1), 0);
    assert_int_equal(store_put_commit(w, &plain, &etag, NULL, NULL, &written), -EINVAL);
    assert_int_equal(store_put_begin(h->store, h->bucket, STR("k"), 1, &w), 0);
    assert_int_equal(store_write(w, "x", 1), 0);
    assert_int_equal(store_put_commit(w, &sealed_attrs, &etag, NULL, NULL, &written), -EINVAL);
    expect_absent(h, STR("k"));
}

static int retag(const struct store_object *o, struct store_attrs *attrs, void *arg)
{
    attrs->content_type = STR("other/type");
    return 0;
}

static int unseal(const struct store_object *o, struct store_attrs *attrs, void *arg)
{
    attrs->seal = STR_NULL;
    return 0;
}

CASE(new_attributes_leave_the_bytes_sealed)
{
    struct store_written written;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct str data = bytes_of(h, sizes[i], 6);
        put_sealed(h, STR("k"), data, data.len, data.len);
        assert_int_equal(store_change_attrs(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL,
                                            true, retag, NULL, &written),
                         0);
        expect_sealed(h, STR("k"), data);
        assert_int_equal(store_change_attrs(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL,
                                            false, unseal, NULL, &written),
                         -EINVAL);
    }
    expect_sound(h);
}

CASE(sealed_parts_become_a_sealed_object)
{
    struct str upload, all = bytes_of(h, 11 * MIB + 3, 7);
    struct store_complete_part list[3];
    struct store_object o;
    static const size_t lens[] = {5 * MIB, 6 * MIB + 3, 0};
    size_t at = 0;
    uint64_t mtime;
    assert_int_equal(store_upload_create(h->store, &h->arena, h->bucket, STR("k"), &sealed_attrs,
                                         STORE_CRC32, false, false, &upload),
                     0);
    for (unsigned i = 0; i < 3; i++) {
        struct str data = str_make(all.ptr + at, lens[i]);
        struct store_etag etag = etag_of(data);
        struct store_writer *w;
        at += lens[i];
        assert_int_equal(store_part_begin_sealed(h->store, h->bucket, STR("k"), upload, i + 2,
                                                 data.len, data_key, &w),
                         0);
        assert_int_equal(store_write(w, data.ptr, data.len), 0);
        assert_int_equal(store_part_commit(w, etag.md5, NULL, NULL, &mtime), 0);
        list[i] = (struct store_complete_part){.number = i + 2, .has_md5 = true};
        memcpy(list[i].md5, etag.md5, 16);
    }
    expect_sound(h);
    assert_int_equal(store_upload_complete(h->store, &h->arena, h->bucket, STR("k"), upload, list,
                                           3, NULL, UINT64_MAX, NULL, NULL, &o),
                     0);
    expect_sealed(h, STR("k"), all);
    expect_sealed_range(h, STR("k"), all, 5 * MIB - 100, 200);
    expect_sound(h);
}

CASE(a_part_in_the_clear_has_no_place_in_a_sealed_upload)
{
    struct str upload, data = bytes_of(h, 1000, 8);
    struct store_etag etag = etag_of(data);
    struct store_writer *w;
    uint64_t mtime;
    assert_int_equal(store_upload_create(h->store, &h->arena, h->bucket, STR("k"), &sealed_attrs,
                                         STORE_CRC32, false, false, &upload),
                     0);
    assert_int_equal(store_part_begin(h->store, h->bucket, STR("k"), upload, 1, data.len, &w), 0);
    assert_int_equal(store_write(w, data.ptr, data.len), 0);
    assert_int_equal(store_part_commit(w, etag.md5, NULL, NULL, &mtime), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealed_objects_of_every_size_read_back),
        cmocka_unit_test(sealed_objects_of_an_open_end_read_back),
        cmocka_unit_test(an_open_end_that_ends_too_early_stores_nothing),
        cmocka_unit_test(without_its_key_nothing_is_read),
        cmocka_unit_test(a_seal_and_a_key_go_together),
        cmocka_unit_test(new_attributes_leave_the_bytes_sealed),
        cmocka_unit_test(sealed_parts_become_a_sealed_object),
        cmocka_unit_test(a_part_in_the_clear_has_no_place_in_a_sealed_upload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
