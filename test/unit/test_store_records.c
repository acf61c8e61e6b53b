/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Keys and records by themselves: order, round trips, refusal of damage, the cache's exactness. */

#include <stdio.h>
#include "unit.h"
#include "store/cache.h"
#include "store/rows/rows.h"

/* ---- keys ----------------------------------------------------------------------------------- */

static struct str random_key(unsigned *seed, char *room)
{
    static const char letters[] = {'\0', '\0', '\1', 'a', '\xff'};
    size_t len = (size_t)rand_r(seed) % 20;
    for (size_t i = 0; i < len; i++)
        room[i] = letters[(size_t)rand_r(seed) % sizeof(letters)];
    return str_make(room, len);
}

static int sign(int n)
{
    return n > 0 ? 1 : n < 0 ? -1 : 0;
}

static void framed_keys_sort_as_keys_and_read_back(void **state)
{
    unsigned seed = 7;
    char a_room[32], b_room[32], back[STORE_KEY_MAX];
    struct key_buf ka, kb;
    size_t len;
    uint64_t seq;
    for (unsigned i = 0; i < 20000; i++) {
        struct str a = random_key(&seed, a_room), b = random_key(&seed, b_room);
        struct str row_a = key_version(&ka, a, i), row_b = key_version(&kb, b, 20000 - i);
        if (!str_eq(a, b))
            assert_int_equal(sign(str_cmp(row_a, row_b)), sign(str_cmp(a, b)));
        assert_int_equal(key_parse_version(row_a, back, &len, &seq), 0);
        assert_true(str_eq(str_make(back, len), a));
        assert_int_equal(seq, i);
    }
}

static void newer_versions_sort_first(void **state)
{
    struct key_buf a, b;
    assert_true(str_cmp(key_version(&a, STR("k"), 2), key_version(&b, STR("k"), 1)) < 0);
}

static void the_longest_key_fits_every_row(void **state)
{
    char longest[STORE_KEY_MAX], back[STORE_KEY_MAX], id[UPLOAD_ID_LEN];
    struct key_buf k;
    struct str upload;
    size_t len;
    memset(longest, 0, sizeof(longest));
    memset(id, 'i', sizeof(id));
    struct str row = key_upload(&k, str_make(longest, sizeof(longest)), str_make(id, sizeof(id)));
    assert_int_equal(key_parse_upload(row, back, &len, &upload), 0);
    assert_int_equal(len, STORE_KEY_MAX);
    assert_true(str_eq(upload, str_make(id, sizeof(id))));
    /* A key one byte longer than the limit is damage. */
    char longer[STORE_KEY_MAX + 1] = {0};
    row = key_upload(&k, str_make(longer, sizeof(longer)), str_make(id, sizeof(id)));
    assert_int_equal(key_parse_upload(row, back, &len, &upload), -ERR_CORRUPT);
}

static void cut_rows_are_refused(void **state)
{
    char back[STORE_KEY_MAX];
    struct key_buf k;
    size_t len;
    uint64_t seq;
    struct str row = key_version(&k, STR("a key of some length"), 5);
    for (size_t cut = 0; cut < row.len; cut++)
        assert_int_equal(key_parse_version(str_prefix(row, cut), back, &len, &seq), -ERR_CORRUPT);
}

static void past_a_prefix_comes_the_next_key(void **state)
{
    char room[8];
    assert_true(str_eq(key_past_prefix(STR("ab"), room), STR("ac")));
    assert_true(str_eq(key_past_prefix(STR("a\xff\xff"), room), STR("b")));
    assert_null(key_past_prefix(STR("\xff\xff"), room).ptr);
    assert_null(key_past_prefix(STR(""), room).ptr);
}

/* ---- records -------------------------------------------------------------------------------- */

struct sample {
    struct store_object object;
    struct store_pair pairs[3];
    struct store_part_info parts[2];
    struct blob_shard shards[4];
    struct blob_chunk chunks[3];
    struct blob_layout layout;
    struct str data;
    bool chunked;
};

static void sample_init(struct sample *s, bool chunked)
{
    *s = (struct sample){.chunked = chunked, .data = chunked ? STR_NULL : STR("some\0bytes")};
    s->pairs[0] = (struct store_pair){STR("cache-control"), STR("no-cache")};
    s->pairs[1] = (struct store_pair){STR("m1"), STR("v1")};
    s->pairs[2] = (struct store_pair){STR("m2"), STR("")};
    s->object = (struct store_object){
        .seq = 1ull << 60,
        .null_version = true,
        .mtime_ms = 1234567890123,
        .len_bytes = chunked ? 2 * BLOB_CHUNK_MAX + 5 : s->data.len,
        .etag = {.md5 = {1, 2, 3}},
        .checksum = {.present = true, .kind = STORE_SHA256, .len = 32, .bytes = {9, 8}},
        .attrs = {.content_type = STR("text/plain"),
                  .acl = STR("grants"),
                  .headers = s->pairs,
                  .header_count = 1,
                  .meta = s->pairs + 1,
                  .meta_count = 2,
                  .storage_class = STR("STANDARD"),
                  .owner = STR("owner")},
    };
    for (unsigned i = 0; i < 4; i++)
        s->shards[i] = (struct blob_shard){i, {i + 1, 4096ull * i << 20}, {i * 3, ~0ull - i}};
    s->chunks[0] = (struct blob_chunk){{5, 100}, BLOB_CHUNK_MAX, ~0ull, 1, 0, 1, s->shards};
    s->chunks[1] = (struct blob_chunk){{6, 3}, BLOB_CHUNK_MAX, 1, 1, 1, 2, s->shards + 1};
    s->chunks[2] = (struct blob_chunk){{6, 2}, 5, 7, 1, 0, 1, s->shards + 3};
    s->chunks[1].class = blob_class_own(1, 1);
    s->layout = (struct blob_layout){s->chunks, 3, s->object.len_bytes};
}

static void sample_parts(struct sample *s)
{
    s->object.etag.parts = 2;
    s->parts[0] = (struct store_part_info){1, 2 * BLOB_CHUNK_MAX, s->object.checksum};
    s->parts[1] = (struct store_part_info){9, 5, s->object.checksum};
    s->object.parts = s->parts;
    s->object.part_count = 2;
}

static struct str sample_row(struct sample *s, struct draft *d)
{
    struct draft_parts from = {
        .attrs = &s->object.attrs,
        .data = s->data,
        .layout = s->chunked ? &s->layout : NULL,
        .parts = s->object.parts,
        .part_count = s->object.part_count,
    };
    assert_int_equal(draft_init(d, &from), 0);
    return draft_seal(d, &s->object, s->chunked);
}

static void expect_same(const struct sample *s, const struct record *r)
{
    const struct store_object *a = &s->object, *b = &r->object;
    assert_true(a->seq == b->seq && a->mtime_ms == b->mtime_ms && a->len_bytes == b->len_bytes);
    assert_true(a->null_version == b->null_version && a->delete_marker == b->delete_marker);
    assert_memory_equal(&a->etag, &b->etag, sizeof(a->etag));
    assert_memory_equal(&a->checksum, &b->checksum, sizeof(a->checksum));
    assert_true(str_eq(a->attrs.content_type, b->attrs.content_type));
    assert_true(str_eq(a->attrs.owner, b->attrs.owner));
    assert_true(str_eq(a->attrs.storage_class, b->attrs.storage_class));
    assert_int_equal(b->attrs.header_count, 1);
    assert_true(str_eq(b->attrs.acl, STR("grants")));
    assert_true(str_eq(b->attrs.headers[0].value, STR("no-cache")));
    assert_int_equal(b->attrs.meta_count, 2);
    assert_true(str_eq(b->attrs.meta[0].name, STR("m1")));
    assert_int_equal(b->part_count, a->part_count);
    for (size_t i = 0; i < a->part_count; i++)
        assert_memory_equal(&a->parts[i].len_bytes, &b->parts[i].len_bytes, 8);
    assert_int_equal(r->chunked, s->chunked);
    assert_true(str_eq(r->data, s->data));
    assert_int_equal(r->layout.count, s->chunked ? 3 : 0);
    for (size_t i = 0; i < r->layout.count; i++) {
        const struct blob_chunk *x = &s->chunks[i], *y = &r->layout.chunks[i];
        assert_true(chunk_id_eq(x->id, y->id) && x->len_bytes == y->len_bytes);
        assert_true(x->encode_id == y->encode_id && x->code_k == y->code_k);
        assert_int_equal(x->class.n, y->class.n);
        assert_true(x->code_m == y->code_m && x->shard_count == y->shard_count);
        assert_memory_equal(x->shards, y->shards, x->shard_count * sizeof(*x->shards));
    }
}

static void records_read_back_as_written(void **state)
{
    for (unsigned variant = 0; variant < 3; variant++) {
        struct sample s;
        struct draft d;
        struct record *r;
        struct head head;
        sample_init(&s, variant > 0);
        if (variant == 2)
            sample_parts(&s);
        struct str row = sample_row(&s, &d);
        assert_int_equal(record_decode((struct bucket_id){1}, STR("key"), row, &r), 0);
        expect_same(&s, r);
        assert_true(str_eq(r->object.key, STR("key")));
        assert_int_equal(head_decode(row, &head), 0);
        assert_int_equal(head.object.seq, s.object.seq);
        assert_true(str_eq(head.object.attrs.owner, STR("owner")));
        assert_int_equal(head.chunked, s.chunked);
        record_unref(r);
        draft_release(&d);
    }
}

static void a_draft_can_be_sealed_again(void **state)
{
    struct sample s;
    struct draft d;
    struct record *r;
    sample_init(&s, false);
    sample_row(&s, &d);
    s.object.seq = 1; /* a shorter head than before */
    struct str row = draft_seal(&d, &s.object, false);
    assert_int_equal(record_decode((struct bucket_id){1}, STR("key"), row, &r), 0);
    expect_same(&s, r);
    record_unref(r);
    draft_release(&d);
}

static void cut_and_changed_records_never_pass_for_others(void **state)
{
    struct sample s;
    struct draft d;
    sample_init(&s, true);
    sample_parts(&s);
    struct str row = sample_row(&s, &d);
    char *copy = malloc(row.len);
    for (size_t cut = 0; cut < row.len; cut++) {
        struct record *r = NULL;
        memcpy(copy, row.ptr, cut);
        int err = record_decode((struct bucket_id){1}, STR("key"), str_make(copy, cut), &r);
        /* A cut between fields may still be a record, but then of as many bytes as it says. */
        if (err == 0)
            assert_int_equal(r->layout.len_bytes, s.object.len_bytes);
        else
            assert_int_equal(err, -ERR_CORRUPT);
        record_unref(r);
    }
    for (size_t at = 0; at < row.len; at++) {
        struct record *r = NULL;
        memcpy(copy, row.ptr, row.len);
        copy[at] ^= 0x55;
        (void)record_decode((struct bucket_id){1}, STR("key"), str_make(copy, row.len), &r);
        record_unref(r);
    }
    free(copy);
    draft_release(&d);
}

static void attributes_beyond_the_limits_are_refused(void **state)
{
    static char big[RECORD_ATTRS_MAX + 1];
    struct draft d = {0};
    struct store_attrs attrs = {.content_type = str_make(big, sizeof(big))};
    struct draft_parts from = {.attrs = &attrs};
    assert_int_equal(draft_init(&d, &from), -ERR_METADATA_TOO_LARGE);
    attrs = (struct store_attrs){.owner = str_make(big, RECORD_OWNER_MAX + 1)};
    assert_int_equal(draft_init(&d, &from), -EINVAL);
    attrs = (struct store_attrs){.storage_class = str_make(big, RECORD_CLASS_MAX + 1)};
    assert_int_equal(draft_init(&d, &from), -EINVAL);
    attrs = (struct store_attrs){.owner = str_make(big, RECORD_OWNER_MAX),
                                 .storage_class = str_make(big, RECORD_CLASS_MAX)};
    assert_int_equal(draft_init(&d, &from), 0);
    struct store_object o = {.seq = UINT64_MAX,
                             .mtime_ms = UINT64_MAX,
                             .etag = {.parts = STORE_PARTS_MAX},
                             .checksum = {.present = true, .kind = STORE_SHA256, .len = 32},
                             .attrs = attrs,
                             .null_version = true};
    struct head head;
    assert_int_equal(head_decode(draft_seal(&d, &o, false), &head), 0); /* the largest head */
    assert_int_equal(head.object.mtime_ms, UINT64_MAX);
    draft_release(&d);
}

static void a_chunk_costs_about_forty_bytes(void **state)
{
    enum { CHUNKS = 80000 };
    struct blob_chunk *chunks = calloc(CHUNKS, sizeof(*chunks));
    struct blob_shard *shards = calloc(CHUNKS, sizeof(*shards));
    for (size_t i = 0; i < CHUNKS; i++) {
        shards[i] = (struct blob_shard){1, {200, (8ull << 30) - i}, {i * 77, ~i}};
        chunks[i] =
            (struct blob_chunk){{3, 100 + i}, BLOB_CHUNK_MAX, ~i << 30, 1, 0, 1, &shards[i]};
    }
    struct blob_layout layout = {chunks, CHUNKS, CHUNKS * BLOB_CHUNK_MAX};
    struct store_attrs attrs = {0};
    struct draft d;
    struct draft_parts from = {.attrs = &attrs, .layout = &layout};
    assert_int_equal(draft_init(&d, &from), 0);
    assert_true(d.rest_len < 42 * CHUNKS);
    draft_release(&d);
    free(chunks);
    free(shards);
}

/* ---- the cache ------------------------------------------------------------------------------ */

static struct record *record_of(const char *key, size_t data_len, unsigned seq)
{
    struct record *r;
    struct draft d;
    struct store_attrs attrs = {0};
    char *data = calloc(1, data_len + 1);
    struct draft_parts from = {.attrs = &attrs, .data = str_make(data, data_len)};
    struct store_object o = {.seq = seq, .len_bytes = data_len};
    assert_int_equal(draft_init(&d, &from), 0);
    assert_int_equal(
        record_decode((struct bucket_id){1}, str_from(key), draft_seal(&d, &o, false), &r), 0);
    draft_release(&d);
    free(data);
    return r;
}

static struct cache *cache_of(size_t limit)
{
    struct cache *c = aligned_alloc(64, sizeof(*c));
    assert_int_equal(cache_init(c, limit), 0);
    return c;
}

static void cache_free(struct cache *c)
{
    cache_release(c);
    assert_int_equal(c->bytes, 0);
    free(c);
}

static void the_cache_returns_what_it_was_given(void **state)
{
    struct cache *c = cache_of(1 * MIB);
    struct bucket_id b = {1}, other = {2};
    struct cache_place place;
    assert_null(cache_get(c, b, STR("k"), &place));
    struct record *r = record_of("k", 10, 1);
    cache_fill(c, r, &place);
    struct record *got = cache_get(c, b, STR("k"), &place);
    assert_ptr_equal(got, r);
    record_unref(got);
    assert_null(cache_get(c, other, STR("k"), &place));
    cache_drop(c, b, STR("k"));
    assert_null(cache_get(c, b, STR("k"), &place));
    assert_int_equal(r->refs, 1);
    record_unref(r);
    cache_free(c);
}

static void what_was_read_before_a_commit_is_not_kept(void **state)
{
    struct cache *c = cache_of(1 * MIB);
    struct bucket_id b = {1};
    struct cache_place place;
    assert_null(cache_get(c, b, STR("k"), &place));
    cache_drop(c, b, STR("k")); /* a commit while the reader reads the old row */
    struct record *old = record_of("k", 10, 1);
    cache_fill(c, old, &place);
    assert_null(cache_get(c, b, STR("k"), &place));
    record_unref(old);
    cache_free(c);
}

static void the_cache_keeps_its_limit_and_what_is_read(void **state)
{
    struct cache *c = cache_of(256 * KIB);
    struct bucket_id b = {1};
    struct cache_place place;
    char key[16];
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(key, sizeof(key), "k-%u", i);
        assert_null(cache_get(c, b, str_from(key), &place));
        struct record *r = record_of(key, 500, 1);
        cache_fill(c, r, &place);
        record_unref(r);
        assert_true(c->bytes <= 256 * KIB);
        struct record *hot = cache_get(c, b, STR("k-0"), &place);
        assert_non_null(hot); /* read all the time */
        record_unref(hot);
    }
    assert_true(c->bytes > 128 * KIB);
    struct record *huge = record_of("huge", 200 * KIB, 1);
    assert_null(cache_get(c, b, STR("huge"), &place));
    cache_fill(c, huge, &place);
    assert_null(cache_get(c, b, STR("huge"), &place));
    record_unref(huge);
    cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(framed_keys_sort_as_keys_and_read_back),
        cmocka_unit_test(newer_versions_sort_first),
        cmocka_unit_test(the_longest_key_fits_every_row),
        cmocka_unit_test(cut_rows_are_refused),
        cmocka_unit_test(past_a_prefix_comes_the_next_key),
        cmocka_unit_test(records_read_back_as_written),
        cmocka_unit_test(a_draft_can_be_sealed_again),
        cmocka_unit_test(cut_and_changed_records_never_pass_for_others),
        cmocka_unit_test(attributes_beyond_the_limits_are_refused),
        cmocka_unit_test(a_chunk_costs_about_forty_bytes),
        cmocka_unit_test(the_cache_returns_what_it_was_given),
        cmocka_unit_test(what_was_read_before_a_commit_is_not_kept),
        cmocka_unit_test(the_cache_keeps_its_limit_and_what_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
