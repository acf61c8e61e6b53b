/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Listings, held against a naive model over random keys, prefixes, delimiters and pages. */

#include "store_help.h"

/* ---- the model: every key in order, cut down and filtered one by one ------------------------ */

struct model {
    struct str keys[400];
    size_t count;
};

static int by_bytes(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

struct expected {
    struct str keys[400];
    bool is_prefix[400];
    size_t count;
};

static void model_list(const struct model *m, struct str prefix, struct str delimiter,
                       struct expected *ret)
{
    ret->count = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (!str_starts(m->keys[i], prefix))
            continue;
        struct str common = list_common_prefix(m->keys[i], prefix, delimiter);
        if (common.ptr && ret->count && ret->is_prefix[ret->count - 1] &&
            str_eq(ret->keys[ret->count - 1], common))
            continue;
        ret->is_prefix[ret->count] = common.ptr != NULL;
        ret->keys[ret->count++] = common.ptr ? common : m->keys[i];
    }
}

/* Pages of `max`, each resumed from the last one's `next`, are together what the model says. */
static void expect_pages(struct store_home *h, const struct model *m, struct str prefix,
                         struct str delimiter, size_t max)
{
    static struct expected want;
    model_list(m, prefix, delimiter, &want);
    struct store_list_query q = {.prefix = prefix, .delimiter = delimiter, .max = max};
    struct store_list_page page;
    size_t at = 0;
    do {
        _cleanup_(arena_release) struct arena a;
        char after[STORE_KEY_MAX];
        arena_init(&a, 0);
        assert_int_equal(store_list(h->store, &a, h->bucket, &q, &page), 0);
        assert_true(page.count <= max);
        assert_true(!page.truncated || page.count == max);
        for (size_t i = 0; i < page.count; i++, at++) {
            assert_true(at < want.count);
            assert_true(str_eq(page.entries[i].object.key, want.keys[at]));
            assert_int_equal(page.entries[i].is_prefix, want.is_prefix[at]);
        }
        assert_int_equal(page.truncated, at < want.count);
        if (page.truncated)
            memcpy(after, page.next.ptr, page.next.len);
        q.after = str_make(memcpy(arena_alloc(&h->arena, STORE_KEY_MAX), after, page.next.len),
                           page.next.len);
    } while (page.truncated);
    assert_int_equal(at, want.count);
}

/* Short keys over few letters collide and nest as real ones do. */
static struct str random_text(struct store_home *h, unsigned *seed, size_t max)
{
    static const char letters[] = {'a', 'b', '/', '/', '\0', '\xff'};
    size_t len = (size_t)rand_r(seed) % (max + 1);
    char *p = arena_alloc(&h->arena, max + 1);
    for (size_t i = 0; i < len; i++)
        p[i] = letters[(size_t)rand_r(seed) % sizeof(letters)];
    return str_make(p, len);
}

static void fill_model(struct store_home *h, struct model *m, unsigned *seed)
{
    m->count = 0;
    for (unsigned i = 0; i < 300; i++) {
        struct str key = random_text(h, seed, 8);
        bool known = key.len == 0;
        for (size_t j = 0; j < m->count && !known; j++)
            known = str_eq(m->keys[j], key);
        if (known)
            continue;
        m->keys[m->count++] = key;
        put(h, key, bytes_of(h, i % 7, i));
    }
    qsort(m->keys, m->count, sizeof(m->keys[0]), by_bytes);
}

CASE(pages_agree_with_a_naive_listing)
{
    static struct model m;
    static const size_t pages[] = {1, 2, 3, 7, 1000};
    unsigned seed = 1;
    fill_model(h, &m, &seed);
    for (unsigned i = 0; i < 300; i++) {
        struct str prefix = random_text(h, &seed, 3);
        struct str delimiter = i % 3 == 0 ? STR_NULL : random_text(h, &seed, 2);
        expect_pages(h, &m, prefix, delimiter, pages[i % ARRAY_LEN(pages)]);
    }
    expect_pages(h, &m, STR(""), STR("/"), 1);
    expect_pages(h, &m, STR(""), STR(""), 1);
    expect_pages(h, &m, STR("\xff"), STR("\xff"), 1);
}

/* ---- single rules --------------------------------------------------------------------------- */

static void list(struct store_home *h, const char *prefix, const char *delimiter, const char *after,
                 const char *want)
{
    struct store_list_query q = {str_from(prefix), str_from(delimiter), str_from(after), 1000};
    struct store_list_page page;
    _cleanup_buf_ struct buf got;
    buf_init(&got, 0);
    assert_int_equal(store_list(h->store, &h->arena, h->bucket, &q, &page), 0);
    for (size_t i = 0; i < page.count; i++) {
        if (page.entries[i].is_prefix)
            buf_put_char(&got, '>');
        buf_put_str(&got, page.entries[i].object.key);
        buf_put_char(&got, ' ');
    }
    buf_put_cstr(&got, "");
    assert_string_equal(got.data ? got.data : "", want);
}

CASE(markers_skip_what_was_told)
{
    const char *keys[] = {"a", "a/", "a/b", "a/c", "a0", "b/x", "c"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        put(h, str_from(keys[i]), STR("x"));
    list(h, "", "", "", "a a/ a/b a/c a0 b/x c ");
    list(h, "", "/", "", "a >a/ a0 >b/ c ");
    list(h, "", "/", "a", ">a/ a0 >b/ c ");
    list(h, "", "/", "a/", "a0 >b/ c ");      /* a common prefix told before */
    list(h, "", "/", "a/b", ">a/ a0 >b/ c "); /* a key within one: the rest of it is left */
    list(h, "", "/", "a/c", "a0 >b/ c ");
    list(h, "", "", "a/", "a/b a/c a0 b/x c ");
    list(h, "a/", "/", "", "a/ a/b a/c ");
    list(h, "a/", "/", "a/b", "a/c ");
    list(h, "a/", "/", "0", "a/ a/b a/c "); /* before the prefix */
    list(h, "a/", "/", "b", "");            /* behind it */
    list(h, "zz", "/", "", "");
    list(h, "", "", "zzz", "");
}

CASE(entries_tell_what_a_listing_shows)
{
    struct store_list_query q = {.max = 10};
    struct store_list_page page;
    struct str big = bytes_of(h, 5000, 1);
    put(h, STR("big"), big);
    put(h, STR("small"), STR("s"));
    assert_int_equal(store_list(h->store, &h->arena, h->bucket, &q, &page), 0);
    assert_int_equal(page.count, 2);
    struct store_etag etag = etag_of(big);
    assert_int_equal(page.entries[0].object.len_bytes, 5000);
    assert_memory_equal(page.entries[0].object.etag.md5, etag.md5, 16);
    assert_true(str_eq(page.entries[0].object.attrs.owner, STR("owner")));
    assert_true(page.entries[0].object.mtime_ms > 0);
    assert_int_equal(page.entries[1].object.len_bytes, 1);
}

CASE(empty_and_oversized_questions_get_empty_or_right_answers)
{
    char huge[3000];
    memset(huge, 'a', sizeof(huge));
    struct store_list_query q = {.max = 0};
    struct store_list_page page;
    put(h, STR("b"), STR("x"));
    assert_int_equal(store_list(h->store, &h->arena, h->bucket, &q, &page), 0);
    assert_int_equal(page.count, 0);
    assert_false(page.truncated);
    q = (struct store_list_query){.after = str_make(huge, sizeof(huge)), .max = 5};
    assert_int_equal(store_list(h->store, &h->arena, h->bucket, &q, &page), 0);
    assert_int_equal(page.count, 1);
    q = (struct store_list_query){.prefix = str_make(huge, sizeof(huge)), .max = 5};
    assert_int_equal(store_list(h->store, &h->arena, h->bucket, &q, &page), 0);
    assert_int_equal(page.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_agree_with_a_naive_listing),
        cmocka_unit_test(markers_skip_what_was_told),
        cmocka_unit_test(entries_tell_what_a_listing_shows),
        cmocka_unit_test(empty_and_oversized_questions_get_empty_or_right_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
