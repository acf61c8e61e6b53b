/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Multipart uploads: parts in any order and replaced, completion, abortion, listings, checksums. */

#include "store_help.h"
#include "base/encode.h"

#define PART (5 * MIB)

static struct str begin_with(struct store_home *h, struct str key, int kind, bool composite)
{
    struct store_pair meta[] = {{STR("m"), STR("v")}};
    struct store_attrs attrs = {
        .content_type = STR("t/t"), .meta = meta, .meta_count = 1, .owner = STR("owner")};
    struct str upload;
    assert_int_equal(store_upload_create(h->store, &h->arena, h->bucket, key, &attrs,
                                         kind < 0 ? 0 : (enum store_checksum_kind)kind, kind >= 0,
                                         composite, &upload),
                     0);
    assert_int_equal(upload.len, UPLOAD_ID_LEN);
    return upload;
}

static struct str begin(struct store_home *h, struct str key)
{
    return begin_with(h, key, -1, false);
}

static struct store_checksum crc32_of(struct str data)
{
    struct store_checksum c = {.present = true, .kind = STORE_CRC32, .len = 4};
    put_be32(c.bytes, hash_crc32(0, data.ptr, data.len));
    return c;
}

static int part_try(struct store_home *h, struct str key, struct str upload, uint32_t number,
                    struct str data)
{
    struct store_writer *w;
    struct store_etag etag = etag_of(data);
    struct store_checksum sum = crc32_of(data);
    uint64_t mtime;
    int r = store_part_begin(h->store, h->bucket, key, upload, number, data.len, &w);
    if (r < 0)
        return r;
    assert_int_equal(store_write(w, data.ptr, data.len), 0);
    return store_part_commit(w, etag.md5, &sum, NULL, &mtime);
}

static void part(struct store_home *h, struct str key, struct str upload, uint32_t number,
                 struct str data)
{
    assert_int_equal(part_try(h, key, upload, number, data), 0);
}

static struct store_complete_part listed(uint32_t number, struct str data)
{
    struct store_complete_part p = {.number = number, .has_md5 = true};
    struct store_etag etag = etag_of(data);
    memcpy(p.md5, etag.md5, 16);
    return p;
}

static int complete(struct store_home *h, struct str key, struct str upload,
                    const struct store_complete_part *parts, size_t count, struct store_object *ret)
{
    return store_upload_complete(h->store, &h->arena, h->bucket, key, upload, parts, count, NULL,
                                 UINT64_MAX, NULL, NULL, ret);
}

CASE(parts_in_any_order_become_one_object)
{
    struct str a = bytes_of(h, PART, 1), b = bytes_of(h, PART + 3, 2), c = bytes_of(h, 10, 3);
    struct str upload = begin(h, STR("k"));
    part(h, STR("k"), upload, 7, c);
    part(h, STR("k"), upload, 2, a);
    part(h, STR("k"), upload, 5, b);
    struct store_complete_part parts[] = {listed(2, a), listed(5, b), listed(7, c)};
    struct store_object o;
    expect_absent(h, STR("k"));
    assert_int_equal(usage(h).uploads, 1);
    assert_int_equal(complete(h, STR("k"), upload, parts, 3, &o), 0);
    assert_int_equal(o.etag.parts, 3);
    assert_int_equal(o.len_bytes, 2 * PART + 13);
    char all[48];
    uint8_t md5[16];
    for (unsigned i = 0; i < 3; i++)
        memcpy(all + 16 * i, parts[i].md5, 16);
    md5_of(str_make(all, 48), md5);
    assert_memory_equal(o.etag.md5, md5, 16);
    _cleanup_buf_ struct buf whole;
    buf_init(&whole, 0);
    buf_put_str(&whole, a);
    buf_put_str(&whole, b);
    buf_put_str(&whole, c);
    expect(h, STR("k"), buf_str(&whole));
    struct store_reader *r;
    assert_int_equal(store_get(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL, &r), 0);
    const struct store_object *got = store_reader_object(r);
    assert_int_equal(got->part_count, 3);
    assert_int_equal(got->parts[1].number, 5);
    assert_int_equal(got->parts[1].len_bytes, PART + 3);
    assert_true(str_eq(got->attrs.content_type, STR("t/t")));
    assert_true(str_eq(got->attrs.meta[0].value, STR("v")));
    assert_true(str_eq(got->attrs.owner, STR("owner")));
    assert_false(got->checksum.present);
    store_reader_close(r);
    assert_int_equal(usage(h).uploads, 0);
    assert_int_equal(usage(h).objects, 1);
    assert_int_equal(usage(h).bytes, 2 * PART + 13);
    assert_int_equal(collect_all(h), 0);
    bool existed;
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), NULL, &existed), 0);
    collect_all(h);
    assert_int_equal(home_chunks(h), 0);
}

CASE(the_last_of_replaced_parts_counts_and_the_rest_is_garbage)
{
    struct str a = bytes_of(h, 100, 1), b = bytes_of(h, 200, 2), c = bytes_of(h, 300, 3);
    struct str upload = begin(h, STR("k"));
    part(h, STR("k"), upload, 1, a);
    part(h, STR("k"), upload, 1, b);
    part(h, STR("k"), upload, 2, c); /* never listed */
    struct store_complete_part stale = listed(1, a), fresh = listed(1, b);
    struct store_object o;
    assert_int_equal(complete(h, STR("k"), upload, &stale, 1, &o), -ERR_INVALID_PART);
    assert_int_equal(complete(h, STR("k"), upload, &fresh, 1, &o), 0);
    expect(h, STR("k"), b);
    assert_int_equal(collect_all(h), 2);
    assert_int_equal(home_chunks(h), 1);
    expect(h, STR("k"), b);
}

static int64_t part_bytes(struct store_home *h)
{
    struct store_usage u;
    assert_int_equal(store_usage(h->store, h->bucket, &u), 0);
    return u.part_bytes;
}

CASE(bytes_of_parts_are_counted_until_the_upload_ends)
{
    struct str key = STR("k"), upload = begin(h, key), other = begin(h, key);
    struct str data = bytes_of(h, 5 * MIB, 1), last = bytes_of(h, 1000, 2);
    struct store_object made;
    part(h, key, upload, 1, data);
    part(h, key, upload, 2, last);
    part(h, key, upload, 3, last);
    part(h, key, other, 1, last);
    assert_int_equal(part_bytes(h), 5 * MIB + 3000);
    part(h, key, upload, 1, last); /* in place of the one before */
    assert_int_equal(part_bytes(h), 4000);
    part(h, key, upload, 1, data);
    struct store_complete_part parts[] = {listed(1, data), listed(2, last)};
    assert_int_equal(store_upload_complete(h->store, &h->arena, h->bucket, key, upload, parts, 2,
                                           NULL, UINT64_MAX, NULL, NULL, &made),
                     0);
    assert_int_equal(part_bytes(h), 1000);
    assert_int_equal(store_upload_abort(h->store, h->bucket, key, other), 0);
    assert_int_equal(part_bytes(h), 0);
}

CASE(completion_is_refused_as_s3_refuses_it)
{
    struct str small = bytes_of(h, 100, 1), big = bytes_of(h, PART, 2);
    struct str upload = begin(h, STR("k"));
    part(h, STR("k"), upload, 1, small);
    part(h, STR("k"), upload, 2, big);
    struct store_complete_part one = listed(1, small), two = listed(2, big), bad = listed(1, big);
    struct store_complete_part unordered[] = {two, one}, twice[] = {one, one},
                               short_one[] = {one, two}, missing[] = {listed(3, big)},
                               good[] = {two};
    struct store_object o;
    assert_int_equal(complete(h, STR("k"), upload, unordered, 2, &o), -ERR_INVALID_PART_ORDER);
    assert_int_equal(complete(h, STR("k"), upload, twice, 2, &o), -ERR_INVALID_PART_ORDER);
    assert_int_equal(complete(h, STR("k"), upload, short_one, 2, &o), -ERR_ENTITY_TOO_SMALL);
    assert_int_equal(complete(h, STR("k"), upload, missing, 1, &o), -ERR_INVALID_PART);
    assert_int_equal(complete(h, STR("k"), upload, &bad, 1, &o), -ERR_INVALID_PART);
    assert_int_equal(complete(h, STR("k"), upload, good, 0, &o), -ERR_MALFORMED_XML);
    assert_int_equal(complete(h, STR("other"), upload, good, 1, &o), -ERR_NO_SUCH_UPLOAD);
    assert_int_equal(complete(h, STR("k"), STR("short"), good, 1, &o), -ERR_NO_SUCH_UPLOAD);
    assert_int_equal(store_upload_complete(h->store, &h->arena, h->bucket, STR("k"), upload, good,
                                           1, NULL, PART + 1, NULL, NULL, &o),
                     -ERR_INVALID_REQUEST);
    struct store_conditions match = {.if_match = STR("*")}, none = {.if_none_match = STR("*")};
    assert_int_equal(store_upload_complete(h->store, &h->arena, h->bucket, STR("k"), upload, good,
                                           1, NULL, PART, &match, NULL, &o),
                     -ERR_NO_SUCH_KEY);
    put(h, STR("k"), small);
    assert_int_equal(store_upload_complete(h->store, &h->arena, h->bucket, STR("k"), upload, good,
                                           1, NULL, PART, &none, NULL, &o),
                     -ERR_PRECONDITION_FAILED);
    expect(h, STR("k"), small);
    assert_int_equal(store_upload_complete(h->store, &h->arena, h->bucket, STR("k"), upload, good,
                                           1, NULL, PART, &match, NULL, &o),
                     0);
    expect(h, STR("k"), big);
}

CASE(completing_again_answers_the_same_while_the_object_stands)
{
    struct str a = bytes_of(h, 100, 1);
    struct str upload = begin(h, STR("k"));
    part(h, STR("k"), upload, 1, a);
    struct store_complete_part parts[] = {listed(1, a)};
    struct store_complete_part others[] = {listed(1, bytes_of(h, 100, 2))};
    struct store_object first, again;
    assert_int_equal(complete(h, STR("k"), upload, parts, 1, &first), 0);
    assert_int_equal(complete(h, STR("k"), upload, parts, 1, &again), 0);
    assert_int_equal(first.seq, again.seq);
    assert_memory_equal(&first.etag, &again.etag, sizeof(first.etag));
    assert_int_equal(complete(h, STR("k"), upload, others, 1, &again), -ERR_NO_SUCH_UPLOAD);
    assert_int_equal(usage(h).uploads, 0);
    put(h, STR("k"), a);
    assert_int_equal(complete(h, STR("k"), upload, parts, 1, &again), -ERR_NO_SUCH_UPLOAD);
}

CASE(an_aborted_upload_leaves_only_garbage)
{
    struct str upload = begin(h, STR("k"));
    for (uint32_t i = 1; i <= 5; i++)
        part(h, STR("k"), upload, i, bytes_of(h, 1000, i));
    assert_int_equal(store_upload_abort(h->store, h->bucket, STR("x"), upload),
                     -ERR_NO_SUCH_UPLOAD);
    assert_int_equal(store_upload_abort(h->store, h->bucket, STR("k"), upload), 0);
    assert_int_equal(store_upload_abort(h->store, h->bucket, STR("k"), upload),
                     -ERR_NO_SUCH_UPLOAD);
    assert_int_equal(part_try(h, STR("k"), upload, 1, STR("x")), -ERR_NO_SUCH_UPLOAD);
    assert_int_equal(collect_all(h), 5);
    assert_int_equal(home_chunks(h), 0);
    assert_int_equal(usage(h).uploads, 0);
}

CASE(a_part_committed_after_the_abortion_stores_nothing)
{
    struct str upload = begin(h, STR("k"));
    struct store_writer *w;
    uint8_t md5[16] = {0};
    uint64_t mtime;
    assert_int_equal(store_part_begin(h->store, h->bucket, STR("k"), upload, 1, 10, &w), 0);
    assert_int_equal(store_write(w, "0123456789", 10), 0);
    assert_int_equal(store_upload_abort(h->store, h->bucket, STR("k"), upload), 0);
    assert_int_equal(store_part_commit(w, md5, NULL, NULL, &mtime), -ERR_NO_SUCH_UPLOAD);
    assert_int_equal(home_chunks(h), 0);
    assert_int_equal(store_part_begin(h->store, h->bucket, STR("k"), upload, 0, 1, &w),
                     -ERR_INVALID_ARGUMENT);
    assert_int_equal(store_part_begin(h->store, h->bucket, STR("k"), upload, 10001, 1, &w),
                     -ERR_INVALID_ARGUMENT);
}

CASE(parts_are_listed_in_pages)
{
    struct str upload = begin(h, STR("k"));
    for (uint32_t i = 10; i >= 1; i--)
        part(h, STR("k"), upload, i * 3, bytes_of(h, i, i));
    struct store_part_page page;
    uint32_t after = 0, seen = 0;
    do {
        assert_int_equal(
            store_part_list(h->store, &h->arena, h->bucket, STR("k"), upload, after, 4, &page), 0);
        for (size_t i = 0; i < page.count; i++) {
            seen++;
            assert_int_equal(page.parts[i].number, seen * 3);
            assert_int_equal(page.parts[i].len_bytes, seen);
            assert_true(page.parts[i].checksum.present);
        }
        after = page.next;
    } while (page.truncated);
    assert_int_equal(seen, 10);
    assert_int_equal(
        store_part_list(h->store, &h->arena, h->bucket, STR("k"), upload, UINT32_MAX, 4, &page), 0);
    assert_int_equal(page.count, 0);
    assert_int_equal(store_part_list(h->store, &h->arena, h->bucket, STR("x"), upload, 0, 4, &page),
                     -ERR_NO_SUCH_UPLOAD);
}

CASE(an_upload_is_found_by_its_key_and_id)
{
    struct str upload = begin_with(h, STR("k"), STORE_SHA256, true);
    struct store_upload u;
    assert_int_equal(store_upload_get(h->store, &h->arena, h->bucket, STR("k"), upload, &u), 0);
    assert_true(str_eq(u.key, STR("k")) && str_eq(u.upload, upload));
    assert_true(u.has_checksum && u.composite && u.kind == STORE_SHA256);
    assert_true(str_eq(u.attrs.content_type, STR("t/t")));
    assert_true(str_eq(u.attrs.owner, STR("owner")));
    assert_int_equal(store_upload_get(h->store, &h->arena, h->bucket, STR("l"), upload, &u),
                     -ERR_NO_SUCH_UPLOAD);
}

/* ---- listing uploads ------------------------------------------------------------------------ */

static void list(struct store_home *h, const char *prefix, const char *delimiter, size_t max,
                 const char *want)
{
    struct store_upload_query q = {str_from(prefix), str_from(delimiter), STR_NULL, STR_NULL, max};
    struct store_upload_page page;
    _cleanup_buf_ struct buf got;
    buf_init(&got, 0);
    buf_put_cstr(&got, "");
    do {
        assert_int_equal(store_upload_list(h->store, &h->arena, h->bucket, &q, &page), 0);
        assert_true(page.count <= max);
        for (size_t i = 0; i < page.count; i++) {
            if (page.entries[i].is_prefix)
                buf_put_char(&got, '>');
            buf_put_str(&got, page.entries[i].upload.key);
            buf_put_char(&got, ' ');
        }
        q.key_after = page.next_key;
        q.upload_after = page.next_upload;
    } while (page.truncated);
    assert_string_equal(got.data, want);
}

CASE(uploads_are_listed_by_key_then_by_their_start)
{
    const char *keys[] = {"b/2", "a", "b/1", "a", "c", "longer-than-eight", "a"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        begin(h, str_from(keys[i]));
    for (size_t max = 1; max <= 8; max++) {
        list(h, "", "", max, "a a a b/1 b/2 c longer-than-eight ");
        list(h, "", "/", max, "a a a >b/ c longer-than-eight ");
        list(h, "b", "", max, "b/1 b/2 ");
        list(h, "b/", "/", max, "b/1 b/2 ");
        list(h, "longer-th", "", max, "longer-than-eight ");
        list(h, "zz", "", max, "");
    }
    struct store_upload_query q = {.max = 10};
    struct store_upload_page page;
    assert_int_equal(store_upload_list(h->store, &h->arena, h->bucket, &q, &page), 0);
    assert_true(page.entries[0].upload.created_ms <= page.entries[1].upload.created_ms);
    assert_true(str_eq(page.entries[1].upload.attrs.owner, STR("owner")));
    assert_true(str_cmp(page.entries[0].upload.upload, page.entries[1].upload.upload) < 0);
    /* A key marker alone skips all uploads of the key. */
    q.key_after = STR("a");
    assert_int_equal(store_upload_list(h->store, &h->arena, h->bucket, &q, &page), 0);
    assert_true(str_eq(page.entries[0].upload.key, STR("b/1")));
}

CASE(keys_with_any_byte_keep_their_order_in_the_upload_list)
{
    struct str keys[] = {STR("\0"),         STR("\0\0"),      STR("\0\xff"), STR("a"),
                         STR("a\0"),        STR("a\0\0"),     STR("a\0b"),   STR("aaaaaaaa"),
                         STR("aaaaaaaa\0"), STR("aaaaaaaab"), STR("ab"),     STR("\xff"),
                         STR("\xff\xff")};
    for (size_t i = ARRAY_LEN(keys); i-- > 0;)
        begin(h, keys[i]);
    struct store_upload_query q = {.max = 1};
    struct store_upload_page page;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        assert_int_equal(store_upload_list(h->store, &h->arena, h->bucket, &q, &page), 0);
        assert_true(str_eq(page.entries[0].upload.key, keys[i]));
        assert_int_equal(page.truncated, i + 1 < ARRAY_LEN(keys));
        q.key_after = page.next_key;
        q.upload_after = page.next_upload;
    }
}

/* ---- checksums ------------------------------------------------------------------------------ */

static int complete_checked(struct store_home *h, struct str upload,
                            const struct store_checksum *whole, struct store_object *ret)
{
    struct str a = bytes_of(h, PART, 1), b = bytes_of(h, 77, 2);
    part(h, STR("k"), upload, 1, a);
    part(h, STR("k"), upload, 2, b);
    struct store_complete_part parts[] = {listed(1, a), listed(2, b)};
    parts[0].checksum = crc32_of(a);
    parts[1].checksum = crc32_of(b);
    return store_upload_complete(h->store, &h->arena, h->bucket, STR("k"), upload, parts, 2, whole,
                                 PART + 77, NULL, NULL, ret);
}

CASE(a_full_object_crc_is_that_of_the_bytes)
{
    _cleanup_buf_ struct buf all;
    buf_init(&all, 0);
    buf_put_str(&all, bytes_of(h, PART, 1));
    buf_put_str(&all, bytes_of(h, 77, 2));
    struct store_checksum want = crc32_of(buf_str(&all)), wrong = want;
    wrong.bytes[0] ^= 1;
    struct str upload = begin_with(h, STR("k"), STORE_CRC32, false);
    struct store_object o;
    assert_int_equal(complete_checked(h, upload, &wrong, &o), -ERR_BAD_DIGEST);
    assert_int_equal(complete_checked(h, upload, &want, &o), 0);
    assert_false(o.checksum.composite);
    assert_memory_equal(o.checksum.bytes, want.bytes, 4);
    struct store_reader *r;
    assert_int_equal(store_get(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL, &r), 0);
    struct store_checksum first = crc32_of(bytes_of(h, PART, 1));
    assert_memory_equal(store_reader_object(r)->parts[0].checksum.bytes, first.bytes, 4);
    store_reader_close(r);
}

CASE(a_composite_checksum_is_that_of_the_parts_values)
{
    uint8_t values[8];
    memcpy(values, crc32_of(bytes_of(h, PART, 1)).bytes, 4);
    memcpy(values + 4, crc32_of(bytes_of(h, 77, 2)).bytes, 4);
    struct store_checksum want = crc32_of(str_make(values, 8));
    struct str upload = begin_with(h, STR("k"), STORE_CRC32, true);
    struct store_object o;
    assert_int_equal(complete_checked(h, upload, NULL, &o), 0);
    assert_true(o.checksum.present && o.checksum.composite);
    assert_memory_equal(o.checksum.bytes, want.bytes, 4);
}

CASE(a_listed_checksum_must_be_the_parts)
{
    struct str a = bytes_of(h, 100, 1);
    struct str upload = begin(h, STR("k"));
    struct store_object o;
    part(h, STR("k"), upload, 1, a);
    struct store_complete_part p = listed(1, a);
    p.checksum = crc32_of(STR("other"));
    assert_int_equal(complete(h, STR("k"), upload, &p, 1, &o), -ERR_INVALID_PART);
    p.checksum = (struct store_checksum){.present = true, .kind = STORE_CRC32C, .len = 4};
    assert_int_equal(complete(h, STR("k"), upload, &p, 1, &o), -ERR_INVALID_PART);
    p.checksum = crc32_of(a);
    assert_int_equal(complete(h, STR("k"), upload, &p, 1, &o), 0);
}

CASE(parts_without_the_promised_checksum_are_refused)
{
    struct store_object o;
    struct str upload = begin_with(h, STR("k"), STORE_SHA256, true);
    assert_int_equal(complete_checked(h, upload, NULL, &o), -ERR_INVALID_REQUEST);
}

/* ---- the largest ---------------------------------------------------------------------------- */

#define CHUNKS_A_PART 8
#define WIDE_K        12
#define WIDE_M        4

/* The rows of 10,000 parts of 512 MiB, as if they had been sent. */
struct sent {
    struct str upload;
    uint8_t k, m;
};

static int put_parts_tx(struct meta_tx *tx, void *arg)
{
    const struct sent *s = arg;
    unsigned count = s->k + s->m;
    struct blob_shard shards[WIDE_K + WIDE_M];
    struct blob_chunk chunks[CHUNKS_A_PART];
    struct key_buf k;
    for (unsigned i = 0; i < count; i++)
        shards[i] =
            (struct blob_shard){.disk = 100 + i, .where = {3, 1ull << 40}, .digest = {1 + i, 2}};
    for (uint32_t i = 0; i < STORE_PARTS_MAX; i++) {
        for (unsigned j = 0; j < CHUNKS_A_PART; j++)
            chunks[j] = (struct blob_chunk){.id = {1, 1000 + i * CHUNKS_A_PART + j},
                                            .len_bytes = BLOB_CHUNK_MAX,
                                            .encode_id = 0x123456789abcdef0u * (i + 1),
                                            .code_k = s->k,
                                            .code_m = s->m,
                                            .shard_count = (uint16_t)count,
                                            .shards = shards};
        struct part_row row = {.len_bytes = CHUNKS_A_PART * BLOB_CHUNK_MAX,
                               .checksum = {.present = true, .kind = STORE_SHA256, .len = 32},
                               .layout = {chunks, CHUNKS_A_PART, CHUNKS_A_PART * BLOB_CHUNK_MAX}};
        int r = part_row_put(tx, key_part(&k, s->upload, i + 1, 1), &row);
        if (r < 0)
            return r;
    }
    return 0;
}

static uint64_t ms_since(uint64_t then_ns)
{
    return (rt_now() - then_ns) / RT_MS;
}

static void largest_fits(struct store_home *h, uint8_t k, uint8_t m)
{
    struct sent s = {begin_with(h, STR("k"), STORE_SHA256, true), k, m};
    static struct store_complete_part parts[STORE_PARTS_MAX];
    for (uint32_t i = 0; i < STORE_PARTS_MAX; i++)
        parts[i] = (struct store_complete_part){.number = i + 1};
    assert_int_equal(meta_write(h->meta, h->bucket, put_parts_tx, &s), 0);
    struct store_object o;
    uint64_t begun = rt_now();
    assert_int_equal(complete(h, STR("k"), s.upload, parts, STORE_PARTS_MAX, &o), 0);
    assert_int_equal(o.len_bytes, STORE_PARTS_MAX * 512 * MIB);
    uint64_t complete_ms = ms_since(begun);
    begun = rt_now();
    for (unsigned again = 0; again < 2; again++) {
        struct store_reader *r;
        assert_int_equal(store_get(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL, &r), 0);
        assert_int_equal(store_reader_object(r)->part_count, STORE_PARTS_MAX);
        assert_int_equal(store_reader_object(r)->parts[9999].len_bytes, 512 * MIB);
        store_reader_close(r);
    }
    print_message("5 TiB less a little in %u + %u: completed in %llu ms, opened in %llu ms\n", k, m,
                  (unsigned long long)complete_ms, (unsigned long long)ms_since(begun) / 2);
    bool existed;
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), NULL, &existed), 0);
    assert_int_equal(collect_all(h), STORE_PARTS_MAX * CHUNKS_A_PART);
}

CASE(ten_thousand_parts_of_half_a_gigabyte_fit)
{
    largest_fits(h, 1, 0);
}

CASE(they_fit_with_the_widest_code)
{
    largest_fits(h, 4, 2);
    largest_fits(h, WIDE_K, WIDE_M);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_in_any_order_become_one_object),
        cmocka_unit_test(the_last_of_replaced_parts_counts_and_the_rest_is_garbage),
        cmocka_unit_test(bytes_of_parts_are_counted_until_the_upload_ends),
        cmocka_unit_test(completion_is_refused_as_s3_refuses_it),
        cmocka_unit_test(completing_again_answers_the_same_while_the_object_stands),
        cmocka_unit_test(an_aborted_upload_leaves_only_garbage),
        cmocka_unit_test(a_part_committed_after_the_abortion_stores_nothing),
        cmocka_unit_test(parts_are_listed_in_pages),
        cmocka_unit_test(an_upload_is_found_by_its_key_and_id),
        cmocka_unit_test(uploads_are_listed_by_key_then_by_their_start),
        cmocka_unit_test(keys_with_any_byte_keep_their_order_in_the_upload_list),
        cmocka_unit_test(a_full_object_crc_is_that_of_the_bytes),
        cmocka_unit_test(a_composite_checksum_is_that_of_the_parts_values),
        cmocka_unit_test(a_listed_checksum_must_be_the_parts),
        cmocka_unit_test(parts_without_the_promised_checksum_are_refused),
        cmocka_unit_test(ten_thousand_parts_of_half_a_gigabyte_fit),
        cmocka_unit_test(they_fit_with_the_widest_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
