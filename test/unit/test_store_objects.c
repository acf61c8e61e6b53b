/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Objects: written, read, replaced, removed; conditions; what garbage collection may take. */

#include "store_help.h"

/* In the record, in a row beside it, in a chunk. */
static const size_t lengths[] = {0, 1, 512, 513, 4096, 8192, 8193, 3 * MIB + 17};

CASE(objects_of_every_length_read_back)
{
    char key[32];
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        snprintf(key, sizeof(key), "key-%zu", i);
        put(h, str_from(key), bytes_of(h, lengths[i], i));
    }
    for (unsigned again = 0; again < 2; again++) /* from the metadata, then from the cache */
        for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
            snprintf(key, sizeof(key), "key-%zu", i);
            expect(h, str_from(key), bytes_of(h, lengths[i], i));
        }
    struct store_usage u = usage(h);
    assert_int_equal(u.objects, ARRAY_LEN(lengths));
    assert_int_equal(u.bytes, 1 + 512 + 513 + 4096 + 8192 + 8193 + 3 * MIB + 17);
}

CASE(ranges_read_what_they_name)
{
    struct str data = bytes_of(h, 100000, 3);
    _cleanup_buf_ struct buf got;
    buf_init(&got, 0);
    put(h, STR("k"), data);
    struct store_reader *r;
    assert_int_equal(store_get(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL, &r), 0);
    assert_int_equal(store_read(r, 99990, 10, append_sink, &got), 0);
    assert_memory_equal(got.data, data.ptr + 99990, 10);
    assert_int_equal(store_read(r, 100000, 0, append_sink, &got), 0);
    assert_int_equal(store_read(r, 99991, 10, append_sink, &got), -EINVAL);
    assert_int_equal(store_read(r, 1, UINT64_MAX, append_sink, &got), -EINVAL);
    assert_int_equal(got.len, 10);
    store_reader_close(r);
}

static int lost_tx(struct meta_tx *tx, void *arg)
{
    return meta_put(tx, STR("Ok"), *(const struct str *)arg);
}

CASE(a_lost_chunk_is_damage_not_absence)
{
    _cleanup_buf_ struct buf got;
    buf_init(&got, 0);
    struct blob_shard shard = {.where = {0, 0}};
    struct blob_chunk chunk = {{h->session, 999}, 9000, 1, 1, 0, 1, &shard};
    struct blob_layout layout = {&chunk, 1, 9000};
    struct store_attrs attrs = {0};
    struct draft_parts from = {.attrs = &attrs, .layout = &layout};
    struct store_object o = {.seq = 1, .len_bytes = 9000};
    struct draft d;
    assert_int_equal(draft_init(&d, &from), 0);
    struct str row = draft_seal(&d, &o, true);
    assert_int_equal(meta_write(h->meta, h->bucket, lost_tx, &row), 0);
    draft_release(&d);
    assert_int_equal(get(h, STR("k"), &got), -ERR_CORRUPT);
}

struct beside {
    struct str row, value; /* value.ptr NULL: delete */
};

static int beside_tx(struct meta_tx *tx, void *arg)
{
    const struct beside *b = arg;
    return b->value.ptr ? meta_put(tx, b->row, b->value) : meta_del(tx, b->row);
}

/* The cache would know better than the disk: the store is opened anew. */
CASE(damaged_or_lost_bytes_beside_the_record_are_damage)
{
    struct key_buf k;
    struct str key = STR("k"), data = bytes_of(h, 4000, 1);
    struct beside cases[] = {{.value = bytes_of(h, 4000, 2)}, {.value = STR("short")}, {{0}}};
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_buf_ struct buf got;
        buf_init(&got, 0);
        struct store_reader *r;
        put(h, key, data);
        assert_int_equal(store_get(h->store, h->bucket, key, STORE_CURRENT, NULL, &r), 0);
        cases[i].row = key_beside(&k, key, store_reader_object(r)->seq);
        store_reader_close(r);
        assert_int_equal(meta_write(h->meta, h->bucket, beside_tx, &cases[i]), 0);
        home_close(h);
        home_open(h);
        assert_int_equal(get(h, key, &got), -ERR_CORRUPT);
        assert_int_equal(got.len, 0);
    }
    put(h, key, data);
    expect(h, key, data);
}

CASE(attributes_come_back_as_they_were)
{
    struct store_pair headers[] = {{STR("cache-control"), STR("no-cache")},
                                   {STR("content-encoding"), STR("gzip")}};
    struct store_pair meta[] = {{STR("a"), STR("1")}, {STR("b"), STR("x\0y")}, {STR("c"), STR("")}};
    struct store_attrs attrs = {STR("image/png"),   headers,       2, meta, 3,
                                STR("STANDARD_IA"), STR("someone")};
    struct store_checksum sum = {.present = true, .kind = STORE_CRC32, .len = 4, .bytes = {1, 2}};
    struct store_etag etag = etag_of(STR("hello"));
    struct store_written written;
    struct store_writer *w;
    assert_int_equal(store_put_begin(h->store, h->bucket, STR("k"), 5, &w), 0);
    assert_int_equal(store_write(w, "hello", 5), 0);
    assert_int_equal(store_put_commit(w, &attrs, &etag, &sum, NULL, &written), 0);
    assert_false(written.replaced);
    struct store_reader *r;
    assert_int_equal(store_get(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL, &r), 0);
    const struct store_object *o = store_reader_object(r);
    assert_true(str_eq(o->key, STR("k")));
    assert_int_equal(o->seq, written.seq);
    assert_int_equal(o->mtime_ms, written.mtime_ms);
    assert_true(str_eq(o->attrs.content_type, STR("image/png")));
    assert_true(str_eq(o->attrs.storage_class, STR("STANDARD_IA")));
    assert_true(str_eq(o->attrs.owner, STR("someone")));
    assert_int_equal(o->attrs.header_count, 2);
    assert_true(str_eq(o->attrs.headers[1].value, STR("gzip")));
    assert_int_equal(o->attrs.meta_count, 3);
    assert_true(str_eq(o->attrs.meta[1].value, STR("x\0y")));
    assert_true(o->checksum.present);
    assert_memory_equal(o->checksum.bytes, sum.bytes, 4);
    assert_memory_equal(o->etag.md5, etag.md5, 16);
    assert_true(str_eq(store_reader_inline(r), STR("hello")));
    store_reader_close(r);
}

CASE(replacing_and_deleting_are_seen_at_once_and_counted)
{
    put(h, STR("k"), bytes_of(h, 10, 1));
    expect(h, STR("k"), bytes_of(h, 10, 1));
    put(h, STR("k"), bytes_of(h, 50000, 2));
    expect(h, STR("k"), bytes_of(h, 50000, 2));
    put(h, STR("k"), bytes_of(h, 20, 3));
    expect(h, STR("k"), bytes_of(h, 20, 3));
    assert_int_equal(usage(h).objects, 1);
    assert_int_equal(usage(h).bytes, 20);
    bool existed;
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), NULL, &existed), 0);
    assert_true(existed);
    expect_absent(h, STR("k"));
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), NULL, &existed), 0);
    assert_false(existed);
    assert_int_equal(usage(h).objects, 0);
    assert_int_equal(usage(h).bytes, 0);
}

CASE(sequences_strictly_increase)
{
    uint64_t last = 0;
    struct store_attrs attrs = {0};
    struct store_etag etag = {0};
    for (unsigned i = 0; i < 50; i++) {
        struct store_writer *w;
        struct store_written written;
        assert_int_equal(store_put_begin(h->store, h->bucket, STR("k"), 0, &w), 0);
        assert_int_equal(store_put_commit(w, &attrs, &etag, NULL, NULL, &written), 0);
        assert_true(written.seq > last);
        assert_int_equal(written.replaced, i > 0);
        last = written.seq;
    }
}

CASE(a_short_or_long_body_stores_nothing)
{
    struct store_attrs attrs = {0};
    struct store_etag etag = {0};
    struct store_written written;
    for (unsigned i = 0; i < 2; i++) {
        size_t len = i ? 50000 : 50;
        struct store_writer *w;
        assert_int_equal(store_put_begin(h->store, h->bucket, STR("k"), len, &w), 0);
        assert_int_equal(store_write(w, bytes_of(h, len, 0).ptr, len - 1), 0);
        assert_int_equal(store_put_commit(w, &attrs, &etag, NULL, NULL, &written),
                         -ERR_INCOMPLETE_BODY);
        assert_int_equal(store_put_begin(h->store, h->bucket, STR("k"), len, &w), 0);
        assert_int_equal(store_write(w, bytes_of(h, len + 1, 0).ptr, len + 1), -EINVAL);
        assert_int_equal(store_put_commit(w, &attrs, &etag, NULL, NULL, &written), -EINVAL);
        assert_int_equal(store_put_begin(h->store, h->bucket, STR("k"), len, &w), 0);
        store_write_abort(w);
    }
    expect_absent(h, STR("k"));
    assert_int_equal(home_chunks(h), 0);
}

CASE(odd_keys_live_side_by_side)
{
    char longest[STORE_KEY_MAX + 1];
    memset(longest, 'k', sizeof(longest));
    struct str keys[] = {STR("a"),
                         STR("a/"),
                         STR("a/b"),
                         STR("../x"),
                         STR("//"),
                         STR("%2F"),
                         STR(" "),
                         STR("+"),
                         STR("\xf0\x9f\x98\x80"),
                         STR("\0"),
                         STR("a\0b"),
                         STR("\xff\xff"),
                         str_make(longest, STORE_KEY_MAX)};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        put(h, keys[i], bytes_of(h, 10 + i, i));
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        expect(h, keys[i], bytes_of(h, 10 + i, i));
    struct store_writer *w;
    assert_int_equal(
        store_put_begin(h->store, h->bucket, str_make(longest, sizeof(longest)), 0, &w),
        -ERR_KEY_TOO_LONG);
    assert_int_equal(store_put_begin(h->store, h->bucket, STR(""), 0, &w), -EINVAL);
    assert_int_equal(store_put_begin(h->store, h->bucket, STR("x"), STORE_OBJECT_MAX + 1, &w),
                     -ERR_ENTITY_TOO_LARGE);
}

/* ---- conditions ----------------------------------------------------------------------------- */

/* Puts `len` of between `least` and `most` bytes, in pieces of `step`. */
static int put_open(struct store_home *h, struct str data, uint64_t least, uint64_t most,
                    size_t step)
{
    struct store_attrs attrs = {.owner = STR("owner")};
    struct store_etag etag = etag_of(data);
    struct store_written written;
    struct store_writer *w;
    int r = store_put_begin_open(h->store, h->bucket, STR("k"), least, most, &w);
    if (r < 0)
        return r;
    for (struct str rest = data; rest.len; rest = str_from_offset(rest, MIN(step, rest.len)))
        (void)store_write(w, rest.ptr, MIN(step, rest.len));
    return store_put_commit(w, &attrs, &etag, NULL, NULL, &written);
}

CASE(an_open_end_takes_what_comes)
{
    static const struct {
        size_t len;
        uint64_t least, most;
        int want;
    } cases[] = {
        {0, 0, 100, 0},
        {7, 0, 100, 0},
        {100, 100, 100, 0},
        {2048, 0, 20000, 0},
        {2049, 0, 20000, 0},
        {20000, 0, 20000, 0},
        {20480, 45, 20525, 0},
        {46, 45, 20525, 0},
        {300000, 300000, 320000, 0},
        {300001, 300000, 320000, 0},
        {320000, 300000, 320000, 0},
        {299999, 300000, 320000, -ERR_INCOMPLETE_BODY},
        {320001, 300000, 320000, -EINVAL},
        {9, 10, 9, -EINVAL},
        {9, 0, STORE_OPEN_MAX + 1, -EINVAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str data = bytes_of(h, cases[i].len, (unsigned)i);
        for (size_t step = 1 + (cases[i].len > 3000) * 777; step < 400000; step *= 17)
            assert_int_equal(put_open(h, data, cases[i].least, cases[i].most, step), cases[i].want);
        if (cases[i].want == 0)
            expect(h, STR("k"), data);
    }
    home_close(h);
    home_open(h);
    expect(h, STR("k"), bytes_of(h, 320000, 10));
    collect_all(h);
    assert_int_equal(home_chunks(h), 2);
    assert_int_equal(usage(h).bytes, 320000);
}

static struct str quoted(struct store_home *h, struct str data)
{
    char text[ETAG_TEXT_MAX];
    struct store_etag etag = etag_of(data);
    return arena_printf(&h->arena, "\"%.*s\"", STR_FMT(etag_text(&etag, text)));
}

CASE(conditional_writes_hold_in_the_commit)
{
    struct str a = bytes_of(h, 3, 1), b = bytes_of(h, 50000, 2);
    struct store_conditions absent = {.if_none_match = STR("*")};
    struct store_conditions is_a = {.if_match = quoted(h, a)};
    struct store_conditions any = {.if_match = STR("*")};
    assert_int_equal(put_if(h, STR("k"), a, &is_a), -ERR_NO_SUCH_KEY);
    assert_int_equal(put_if(h, STR("k"), a, &any), -ERR_NO_SUCH_KEY);
    assert_int_equal(put_if(h, STR("k"), a, &absent), 0);
    assert_int_equal(put_if(h, STR("k"), b, &absent), -ERR_PRECONDITION_FAILED);
    expect(h, STR("k"), a);
    assert_int_equal(put_if(h, STR("k"), b, &is_a), 0);
    assert_int_equal(put_if(h, STR("k"), b, &is_a), -ERR_PRECONDITION_FAILED);
    assert_int_equal(put_if(h, STR("k"), b, &any), 0);
    expect(h, STR("k"), b);
    bool existed;
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), &is_a, &existed),
                     -ERR_PRECONDITION_FAILED);
    struct store_conditions is_b = {.if_match = quoted(h, b)};
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), &is_b, &existed), 0);
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), &is_b, &existed),
                     -ERR_NO_SUCH_KEY);
    collect_all(h);
    assert_int_equal(home_chunks(h), 0);
}

CASE(a_deletion_may_ask_for_time_and_size)
{
    struct str data = bytes_of(h, 7, 1);
    struct store_reader *r;
    bool existed;
    put(h, STR("k"), data);
    assert_int_equal(store_get(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL, &r), 0);
    uint64_t mtime_ms = store_reader_object(r)->mtime_ms;
    store_reader_close(r);
    struct store_conditions wrong[] = {
        {.has_len = true, .len_bytes = 8},
        {.has_mtime = true, .mtime_ms = mtime_ms - 1000},
        {.has_mtime = true, .mtime_ms = mtime_ms, .has_len = true, .len_bytes = 0},
        {.has_len = true, .len_bytes = 7, .if_match = STR("\"x\"")},
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_int_equal(store_delete(h->store, h->bucket, STR("k"), &wrong[i], &existed),
                         -ERR_PRECONDITION_FAILED);
    struct store_conditions right = {.has_len = true,
                                     .len_bytes = 7,
                                     .has_mtime = true,
                                     .mtime_ms = mtime_ms / 1000 * 1000,
                                     .if_match = quoted(h, data)};
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), &right, &existed), 0);
    right.if_match = STR_NULL;
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), &right, &existed),
                     -ERR_NO_SUCH_KEY);
}

static void expect_read(struct store_home *h, struct store_conditions c, int want)
{
    struct store_reader *r;
    assert_int_equal(store_get(h->store, h->bucket, STR("k"), STORE_CURRENT, &c, &r), want);
    assert_non_null(r); /* also when it does not hold: the answer tells the ETag */
    assert_int_equal(store_reader_object(r)->len_bytes, 3);
    store_reader_close(r);
}

CASE(conditional_reads_follow_rfc_9110)
{
    struct str a = bytes_of(h, 3, 1);
    struct str tag = quoted(h, a);
    struct str weak = arena_printf(&h->arena, "W/%.*s", STR_FMT(tag));
    struct str list = arena_printf(&h->arena, "\"x\" , %.*s", STR_FMT(tag));
    struct str bare = str_make(tag.ptr + 1, tag.len - 2);
    put(h, STR("k"), a);
    uint64_t now = rt_wall_ms();
    expect_read(h, (struct store_conditions){0}, 0);
    expect_read(h, (struct store_conditions){.if_match = tag}, 0);
    expect_read(h, (struct store_conditions){.if_match = bare}, 0);
    expect_read(h, (struct store_conditions){.if_match = list}, 0);
    expect_read(h, (struct store_conditions){.if_match = STR("*")}, 0);
    expect_read(h, (struct store_conditions){.if_match = weak}, -ERR_PRECONDITION_FAILED);
    expect_read(h, (struct store_conditions){.if_match = STR("\"x\"")}, -ERR_PRECONDITION_FAILED);
    expect_read(h, (struct store_conditions){.if_none_match = list}, -ERR_NOT_MODIFIED);
    expect_read(h, (struct store_conditions){.if_none_match = weak}, -ERR_NOT_MODIFIED);
    expect_read(h, (struct store_conditions){.if_none_match = STR("*")}, -ERR_NOT_MODIFIED);
    expect_read(h, (struct store_conditions){.if_none_match = STR("\"x\"")}, 0);
    struct store_conditions since = {.has_modified_since = true, .modified_since_ms = now};
    expect_read(h, since, -ERR_NOT_MODIFIED);
    since.modified_since_ms = now - 10000;
    expect_read(h, since, 0);
    since.modified_since_ms = now; /* If-None-Match decides alone */
    since.if_none_match = STR("\"x\"");
    expect_read(h, since, 0);
    struct store_conditions not_since = {.has_unmodified_since = true,
                                         .unmodified_since_ms = now - 10000};
    expect_read(h, not_since, -ERR_PRECONDITION_FAILED);
    not_since.if_match = tag; /* If-Match decides alone */
    expect_read(h, not_since, 0);
}

/* ---- new attributes, many deletions --------------------------------------------------------- */

static int change_both(const struct store_object *o, struct store_attrs *attrs, void *arg)
{
    static struct store_pair tags[] = {{{"a", 1}, {"1", 1}}, {{"b", 1}, {"", 0}}};
    CHECK(str_eq(attrs->owner, o->attrs.owner));
    attrs->content_type = STR("b/b");
    attrs->owner = STR("other");
    attrs->tags = tags;
    attrs->tag_count = 2;
    return *(int *)arg;
}

CASE(changed_attributes_leave_the_bytes)
{
    struct store_conditions never = {.if_match = STR("\"x\"")};
    struct store_written written;
    int refused = -ERR_LIMIT, none = 0;
    static const size_t of[] = {9, 4000, 90000};
    for (unsigned i = 0; i < ARRAY_LEN(of); i++) {
        struct str data = bytes_of(h, of[i], i);
        put(h, STR("k"), data);
        struct store_reader *r;
        assert_int_equal(store_get(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL, &r), 0);
        uint64_t seq = store_reader_object(r)->seq, mtime_ms = store_reader_object(r)->mtime_ms;
        store_reader_close(r);
        assert_int_equal(store_change_attrs(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL,
                                            false, change_both, &refused, &written),
                         -ERR_LIMIT);
        assert_int_equal(store_change_attrs(h->store, h->bucket, STR("k"), STORE_CURRENT, &never,
                                            false, change_both, &none, &written),
                         -ERR_PRECONDITION_FAILED);
        assert_int_equal(store_change_attrs(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL,
                                            i >= 1, change_both, &none, &written),
                         0);
        assert_true(i >= 1 ? written.seq > seq : written.seq == seq);
        assert_true(i >= 1 || written.mtime_ms == mtime_ms);
        expect(h, STR("k"), data);
        assert_int_equal(store_get(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL, &r), 0);
        assert_true(str_eq(store_reader_object(r)->attrs.content_type, STR("b/b")));
        assert_true(str_eq(store_reader_object(r)->attrs.owner, STR("other")));
        assert_int_equal(store_reader_object(r)->attrs.tag_count, 2);
        assert_true(str_eq(store_reader_object(r)->attrs.tags[0].value, STR("1")));
        assert_true(str_eq(store_reader_object(r)->attrs.tags[1].name, STR("b")));
        store_reader_close(r);
    }
    assert_int_equal(store_change_attrs(h->store, h->bucket, STR("absent"), STORE_CURRENT, NULL,
                                        true, change_both, &none, &written),
                     -ERR_NO_SUCH_KEY);
    collect_all(h);
    assert_int_equal(home_chunks(h), 1);
    assert_int_equal(usage(h).objects, 1);
}

CASE(many_keys_go_in_one_transaction)
{
    struct store_deletion list[] = {{.key = STR("a")},
                                    {.key = STR("b")},
                                    {.key = STR("missing")},
                                    {.key = STR("a")},
                                    {.key = STR("")}};
    put(h, STR("a"), bytes_of(h, 10, 1));
    put(h, STR("b"), bytes_of(h, 100000, 1));
    put(h, STR("c"), bytes_of(h, 10, 1));
    expect(h, STR("a"), bytes_of(h, 10, 1));
    assert_int_equal(store_delete_many(h->store, h->bucket, list, 5, NULL), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(list[i].result, 0);
    assert_int_equal(list[4].result, -EINVAL);
    expect_absent(h, STR("a"));
    expect_absent(h, STR("b"));
    assert_int_equal(usage(h).objects, 1);
    assert_int_equal(collect_all(h), 1);
    assert_int_equal(home_chunks(h), 0);
}

/* ---- garbage -------------------------------------------------------------------------------- */

CASE(replaced_chunks_go_but_not_under_a_reader)
{
    struct str old = bytes_of(h, 50000, 1), new = bytes_of(h, 60000, 2);
    _cleanup_buf_ struct buf got;
    buf_init(&got, 0);
    put(h, STR("k"), old);
    struct store_reader *r;
    assert_int_equal(store_get(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL, &r), 0);
    put(h, STR("k"), new);
    assert_int_equal(home_chunks(h), 2);
    assert_int_equal(collect_all(h), 0);
    expect(h, STR("k"), new); /* opened and closed while the old one is open */
    assert_int_equal(collect_all(h), 0);
    assert_int_equal(store_read(r, 0, old.len, append_sink, &got), 0);
    assert_memory_equal(got.data, old.ptr, old.len);
    store_reader_close(r);
    assert_int_equal(collect_all(h), 1);
    assert_int_equal(home_chunks(h), 1);
    expect(h, STR("k"), new);
    struct store_stats stats;
    store_stats(h->store, &stats);
    assert_int_equal(stats.gc_chunks, 1);
    assert_int_equal(stats.gc_bytes, 50000);
    assert_int_equal(stats.gc_refused, 0);
    assert_int_equal(stats.readers_open, 0);
}

CASE(a_reader_opened_after_the_deletion_delays_nothing)
{
    put(h, STR("gone"), bytes_of(h, 50000, 1));
    put(h, STR("k"), bytes_of(h, 50000, 2));
    bool existed;
    assert_int_equal(store_delete(h->store, h->bucket, STR("gone"), NULL, &existed), 0);
    uint64_t chunks;
    assert_int_equal(store_gc(h->store, 100, &chunks), 0);
    assert_int_equal(chunks, 1);
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), NULL, &existed), 0);
    assert_int_equal(collect_all(h), 1);
}

CASE(a_garbage_row_that_names_a_live_chunk_deletes_nothing)
{
    struct str data = bytes_of(h, 50000, 1);
    put(h, STR("k"), data);
    struct store_reader *r;
    assert_int_equal(store_get(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL, &r), 0);
    struct key_buf k;
    struct kv *kv;
    struct kv_batch *batch;
    /* Such a row cannot be made through the store: it is written beneath it. */
    Cairn__Garbage pb = CAIRN__GARBAGE__INIT;
    uint64_t session = h->session;
    int64_t counter = 1;
    pb.key = pb_bytes(STR("k"));
    pb.n_session = pb.n_counter = 1;
    pb.session = &session;
    pb.counter = &counter;
    uint8_t packed[128], row[8 + sizeof(k.bytes)];
    size_t len = cairn__garbage__pack(&pb, packed);
    struct str key = key_garbage(&k, 1, (struct chunk_id){session, 1});
    for (unsigned i = 0; i < 8; i++)
        row[i] = (uint8_t)(h->bucket.n >> (56 - 8 * i));
    memcpy(row + 8, key.ptr, key.len);
    store_reader_close(r);
    home_close(h);
    assert_int_equal(kv_mem_open(&kv, h->content), 0);
    assert_int_equal(kv_batch_new(kv, &batch), 0);
    assert_int_equal(kv_batch_put(batch, str_make(row, 8 + key.len), str_make(packed, len)), 0);
    assert_int_equal(kv_write(kv, batch, true), 0);
    kv_batch_free(batch);
    kv_close(kv);
    home_open(h);
    assert_int_equal(collect_all(h), 0);
    expect(h, STR("k"), data);
    struct store_stats stats;
    store_stats(h->store, &stats);
    assert_int_equal(stats.gc_refused, 1);
}

CASE(garbage_waits_for_its_delay)
{
    home_close(h);
    h->config.gc_delay_ms = 300;
    home_open(h);
    put(h, STR("k"), bytes_of(h, 50000, 1));
    uint64_t start = rt_now();
    put(h, STR("k"), bytes_of(h, 5, 1));
    uint64_t collected = 0;
    for (unsigned rounds = 0; collected == 0; rounds++) {
        assert_true(rounds < 10); /* it waits until there is a chance, and does not spin */
        assert_int_equal(store_gc_wait(h->store, rt_now() + 60 * RT_S), 0);
        collected = collect_all(h);
    }
    assert_int_equal(collected, 1);
    assert_true(rt_now() - start > 290 * RT_MS); /* it is counted in whole milliseconds */
    assert_int_equal(store_gc_wait(h->store, rt_now() + 1), -ETIMEDOUT);
}

CASE(everything_is_there_after_a_restart)
{
    put(h, STR("a"), bytes_of(h, 5, 1));
    put(h, STR("b"), bytes_of(h, 50000, 1));
    put(h, STR("b"), bytes_of(h, 60000, 2));
    uint64_t session = h->session;
    home_close(h);
    home_open(h);
    assert_int_equal(h->session, session + 1);
    expect(h, STR("a"), bytes_of(h, 5, 1));
    expect(h, STR("b"), bytes_of(h, 60000, 2));
    assert_int_equal(collect_all(h), 1); /* the garbage of before is found */
    assert_int_equal(usage(h).bytes, 60005);
}

CASE(sweep_takes_older_orphans_only)
{
    struct blob_writer *w;
    struct blob_layout layout;
    struct store_sweep_result result;
    put(h, STR("kept"), bytes_of(h, 50000, 1));
    put(h, STR("replaced"), bytes_of(h, 50000, 2));
    put(h, STR("replaced"), bytes_of(h, 50001, 3));
    assert_int_equal(blob_begin(h->blob, BLOB_STANDARD, 10, &w), 0);
    assert_int_equal(blob_write(w, "0123456789", 10), 0);
    assert_int_equal(blob_finish(w, &h->arena, &layout), 0);
    assert_int_equal(store_sweep(h->store, h->session, NULL, NULL, &result), 0);
    assert_int_equal(result.orphans_deleted, 0); /* it may be on its way into a record */
    home_close(h);
    home_open(h);
    assert_int_equal(blob_begin(h->blob, BLOB_STANDARD, 10, &w), 0);
    assert_int_equal(blob_write(w, "0123456789", 10), 0);
    assert_int_equal(blob_finish(w, &h->arena, &layout), 0);
    assert_int_equal(store_sweep(h->store, h->session, NULL, NULL, &result), 0);
    assert_int_equal(result.orphans_deleted, 1);
    assert_int_equal(result.bytes_freed, 10);
    assert_int_equal(home_chunks(h), 4);
    expect(h, STR("kept"), bytes_of(h, 50000, 1));
    expect(h, STR("replaced"), bytes_of(h, 50001, 3));
}

CASE(sweep_spares_what_only_parts_name)
{
    struct store_attrs attrs = {0};
    struct str upload, body = bytes_of(h, 50000, 1);
    struct store_writer *w;
    struct store_sweep_result result;
    struct store_complete_part wanted = {.number = 1};
    struct store_object o;
    uint64_t mtime;
    uint8_t md5[16] = {0};
    assert_int_equal(store_upload_create(h->store, &h->arena, h->bucket, STR("k"), &attrs, 0, false,
                                         false, &upload),
                     0);
    assert_int_equal(store_part_begin(h->store, h->bucket, STR("k"), upload, 1, body.len, &w), 0);
    assert_int_equal(store_write(w, body.ptr, body.len), 0);
    assert_int_equal(store_part_commit(w, md5, NULL, NULL, &mtime), 0);
    home_close(h);
    home_open(h);
    assert_int_equal(store_sweep(h->store, h->session, NULL, NULL, &result), 0);
    assert_int_equal(result.orphans_deleted, 0);
    assert_int_equal(store_upload_complete(h->store, &h->arena, h->bucket, STR("k"), upload,
                                           &wanted, 1, NULL, UINT64_MAX, NULL, NULL, &o),
                     0);
    expect(h, STR("k"), body);
}

static int damage_tx(struct meta_tx *tx, void *arg)
{
    return meta_put(tx, STR("Odamaged"), STR("no record"));
}

static int stop_sweep(void *arg)
{
    return 1;
}

CASE(sweep_deletes_nothing_unless_it_saw_everything)
{
    struct blob_writer *w;
    struct blob_layout layout;
    struct store_sweep_result result;
    assert_int_equal(blob_begin(h->blob, BLOB_STANDARD, 10, &w), 0);
    assert_int_equal(blob_write(w, "0123456789", 10), 0);
    assert_int_equal(blob_finish(w, &h->arena, &layout), 0);
    for (unsigned i = 0; i < 300; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k-%u", i);
        put(h, str_from(key), STR("x"));
    }
    home_close(h);
    home_open(h);
    assert_int_equal(store_sweep(h->store, h->session, stop_sweep, NULL, &result), 1);
    assert_int_equal(home_chunks(h), 1);
    assert_int_equal(meta_write(h->meta, h->bucket, damage_tx, NULL), 0);
    assert_int_equal(store_sweep(h->store, h->session, NULL, NULL, &result), -ERR_CORRUPT);
    assert_int_equal(home_chunks(h), 1);
}

CASE(a_clock_that_went_back_does_not_reorder_versions)
{
    uint64_t future = (rt_wall_ms() + 1000000) << 20;
    assert_int_equal(store_next_seq(h->store, future), future + 1);
    assert_int_equal(store_next_seq(h->store, 0), future + 2); /* nor of other keys */
}

/* ---- concurrency ---------------------------------------------------------------------------- */

struct racer {
    struct store_home *h;
    struct store_conditions *conditions;
    unsigned id, wins, done;
};

static void race(void *arg)
{
    struct racer *r = arg;
    for (unsigned i = 0; i < 20; i++) {
        struct str data = bytes_of(r->h, 30000 + r->id, r->id);
        int err = put_if(r->h, STR("k"), data, r->conditions);
        assert_true(err == 0 || err == -ERR_PRECONDITION_FAILED);
        r->wins += err == 0;
    }
    r->done = 1;
}

static unsigned run_race(struct store_home *h, struct store_conditions *conditions)
{
    struct racer racers[8];
    unsigned wins = 0;
    for (unsigned i = 0; i < ARRAY_LEN(racers); i++) {
        racers[i] = (struct racer){.h = h, .conditions = conditions, .id = i};
        assert_int_equal(rt_spawn_detached("racer", race, &racers[i]), 0);
    }
    for (unsigned i = 0; i < ARRAY_LEN(racers); i++) {
        while (!racers[i].done)
            rt_sleep_until(rt_now() + RT_MS);
        wins += racers[i].wins;
    }
    return wins;
}

CASE(of_many_writers_if_none_match_lets_one_win)
{
    struct store_conditions absent = {.if_none_match = STR("*")};
    assert_int_equal(run_race(h, &absent), 1);
    collect_all(h);
    assert_int_equal(home_chunks(h), 1);
    assert_int_equal(run_race(h, NULL), 160);
    collect_all(h);
    assert_int_equal(home_chunks(h), 1);
    assert_int_equal(usage(h).objects, 1);
}

/* A client that tries again and again must not fill with them the disks that have room still. */
CASE(a_write_that_is_refused_leaves_no_chunk)
{
    struct str data = bytes_of(h, 100000, 3);
    kv_mem_set_full(h->content, true);
    assert_int_equal(put_if(h, STR("k"), data, NULL), -ENOSPC);
    assert_int_equal(home_chunks(h), 0);
    kv_mem_set_full(h->content, false);
    kv_mem_fail_syncs(h->content, 1, -EIO); /* and of this one nobody knows */
    assert_int_equal(put_if(h, STR("k"), data, NULL), -EIO);
    assert_int_equal(home_chunks(h), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_of_every_length_read_back),
        cmocka_unit_test(ranges_read_what_they_name),
        cmocka_unit_test(a_lost_chunk_is_damage_not_absence),
        cmocka_unit_test(damaged_or_lost_bytes_beside_the_record_are_damage),
        cmocka_unit_test(attributes_come_back_as_they_were),
        cmocka_unit_test(replacing_and_deleting_are_seen_at_once_and_counted),
        cmocka_unit_test(sequences_strictly_increase),
        cmocka_unit_test(a_short_or_long_body_stores_nothing),
        cmocka_unit_test(odd_keys_live_side_by_side),
        cmocka_unit_test(an_open_end_takes_what_comes),
        cmocka_unit_test(conditional_writes_hold_in_the_commit),
        cmocka_unit_test(a_deletion_may_ask_for_time_and_size),
        cmocka_unit_test(conditional_reads_follow_rfc_9110),
        cmocka_unit_test(changed_attributes_leave_the_bytes),
        cmocka_unit_test(many_keys_go_in_one_transaction),
        cmocka_unit_test(replaced_chunks_go_but_not_under_a_reader),
        cmocka_unit_test(a_reader_opened_after_the_deletion_delays_nothing),
        cmocka_unit_test(a_garbage_row_that_names_a_live_chunk_deletes_nothing),
        cmocka_unit_test(garbage_waits_for_its_delay),
        cmocka_unit_test(everything_is_there_after_a_restart),
        cmocka_unit_test(sweep_takes_older_orphans_only),
        cmocka_unit_test(sweep_spares_what_only_parts_name),
        cmocka_unit_test(sweep_deletes_nothing_unless_it_saw_everything),
        cmocka_unit_test(a_clock_that_went_back_does_not_reorder_versions),
        cmocka_unit_test(of_many_writers_if_none_match_lets_one_win),
        cmocka_unit_test(a_write_that_is_refused_leaves_no_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
