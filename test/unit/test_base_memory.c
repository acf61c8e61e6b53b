/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "test/unit/unit.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/pages.h"
#include "base/table.h"
#include "base/error.h"
#include "base/metrics.h"
#include <stdio.h>

static void arena_refuses_beyond_its_limit_and_serves_on(void **state)
{
    struct arena a;
    arena_init(&a, 64 * KIB);
    assert_null(arena_alloc(&a, 65 * KIB));
    assert_null(arena_alloc(&a, SIZE_MAX));
    size_t got = 0;
    while (arena_alloc(&a, 1000))
        got += 1000;
    assert_in_range(got, 40 * KIB, 64 * KIB);
    arena_release(&a);
    assert_non_null(arena_alloc(&a, 1000));
    arena_release(&a);
}

static void arena_memory_is_aligned_and_apart(void **state)
{
    struct arena a;
    arena_init(&a, 0);
    char *before = NULL;
    for (size_t size = 1; size < 100; size++) {
        char *p = arena_alloc(&a, size);
        assert_int_equal((uintptr_t)p % 16, 0);
        memset(p, (int)size, size);
        if (before)
            assert_int_equal(before[size - 2], size - 1);
        before = p;
    }
    arena_reset(&a);
    struct str s = arena_printf(&a, "%s-%d", "x", 5);
    assert_true(str_eq(s, STR("x-5")));
    assert_int_equal(s.ptr[3], 0);
    arena_release(&a);
}

static void buf_fails_at_its_limit_and_stays_failed(void **state)
{
    struct buf b;
    buf_init(&b, 10);
    buf_put_cstr(&b, "12345");
    buf_put_u64(&b, 67890);
    assert_int_equal(buf_error(&b), 0);
    assert_string_equal(b.data, "1234567890");
    buf_put_char(&b, 'x');
    assert_int_equal(buf_error(&b), -ENOMEM);
    assert_int_equal(b.len, 10);
    buf_reset(&b);
    buf_printf(&b, "%03d", 7);
    assert_string_equal(b.data, "007");
    buf_consume(&b, 2);
    assert_string_equal(b.data, "7");
    buf_release(&b);
}

struct item {
    struct table_node node;
    char name[16];
};

static int count_node(struct table_node *n, void *arg)
{
    ++*(int *)arg;
    return 0;
}

static void table_keeps_every_node_and_its_limit(void **state)
{
    enum { COUNT = 500 };
    static struct item items[COUNT + 1];
    struct table t;
    table_init(&t, COUNT);
    for (int i = 0; i <= COUNT; i++) {
        snprintf(items[i].name, sizeof(items[i].name), "key%d", i);
        int r = table_put(&t, &items[i].node, str_from(items[i].name));
        assert_int_equal(r, i < COUNT ? 0 : -ERR_LIMIT);
    }
    struct item twin;
    assert_int_equal(table_put(&t, &twin.node, STR("key3")), -EEXIST);
    for (int i = 0; i < COUNT; i++)
        assert_ptr_equal(table_get(&t, str_from(items[i].name)), &items[i].node);
    assert_ptr_equal(table_del(&t, STR("key7")), &items[7].node);
    assert_null(table_get(&t, STR("key7")));
    assert_null(table_del(&t, STR("key7")));
    int seen = 0;
    table_each(&t, count_node, &seen);
    assert_int_equal(seen, COUNT - 1);
    table_release(&t);
}

static void list_keeps_order_and_removes_twice(void **state)
{
    struct list head, a, b;
    list_init(&head);
    list_init(&b);
    list_push_back(&head, &a);
    list_push_back(&head, &b);
    list_remove(&a);
    list_remove(&a);
    assert_ptr_equal(list_pop_front(&head), &b);
    assert_null(list_pop_front(&head));
}

static void metrics_are_escaped_and_cumulative(void **state)
{
    struct buf out;
    buf_init(&out, 0);
    struct metrics_label labels[] = {{"op", STR("a\"b\\c\n")}, {NULL, STR_NULL}};
    metrics_sample_u64(&out, "x_total", labels, 3);
    assert_string_equal(out.data, "x_total{op=\"a\\\"b\\\\c\\n\"} 3\n");
    buf_reset(&out);
    static struct metrics_histogram h;
    metrics_observe(&h, 1);
    metrics_observe(&h, 300000);
    metrics_observe(&h, UINT64_MAX / 2);
    metrics_histogram_samples(&out, "t_seconds", NULL, &h);
    assert_non_null(strstr(out.data, "t_seconds_bucket{le=\"0.0001\"} 1\n"));
    assert_non_null(strstr(out.data, "t_seconds_bucket{le=\"0.0005\"} 2\n"));
    assert_non_null(strstr(out.data, "t_seconds_bucket{le=\"50\"} 2\n"));
    assert_non_null(strstr(out.data, "t_seconds_bucket{le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(out.data, "t_seconds_count 3\n"));
    buf_release(&out);
}

static void pages_are_apart_and_taken_again(void **state)
{
    struct pages p;
    uint8_t *blocks[20];
    const size_t size = 17 * PAGES_UNIT - 5; /* seven to a slab */
    pages_init(&p);
    for (unsigned i = 0; i < ARRAY_LEN(blocks); i++) {
        blocks[i] = pages_take(&p, size);
        assert_true(blocks[i] && (uintptr_t)blocks[i] % PAGES_UNIT == 0);
        memset(blocks[i], (int)i, size);
    }
    assert_int_equal(p.mapped_bytes, 3 * PAGES_SLAB);
    for (unsigned i = 0; i < ARRAY_LEN(blocks); i++)
        assert_true(blocks[i][0] == i && !memcmp(blocks[i], blocks[i] + 1, size - 1));
    assert_true(pages_give(&p, blocks[3], size));
    for (unsigned i = 14; i < ARRAY_LEN(blocks); i++)
        assert_true(pages_give(&p, blocks[i], size));
    assert_int_equal(p.mapped_bytes, 2 * PAGES_SLAB);
    assert_ptr_equal(pages_take(&p, size), blocks[3]);
    for (unsigned i = 0; i < 14; i++)
        assert_true(pages_give(&p, blocks[i], size));
    pages_release(&p);
}

static void pages_go_with_the_last_block_of_their_slab(void **state)
{
    struct pages p;
    pages_init(&p);
    void *a = pages_take(&p, 5 * MIB), *b = pages_take(&p, 3 * MIB), *c = pages_take(&p, 1);
    assert_int_equal(p.mapped_bytes, 2 * PAGES_SLAB);
    assert_true(pages_give(&p, a, 5 * MIB));
    assert_int_equal(p.mapped_bytes, 2 * PAGES_SLAB);
    assert_true(pages_give(&p, b, 3 * MIB));
    assert_int_equal(p.mapped_bytes, PAGES_SLAB);
    assert_true(pages_give(&p, c, 1));
    assert_int_equal(p.mapped_bytes, 0);
    pages_release(&p);
}

static void pages_are_no_longer_than_a_slab(void **state)
{
    struct pages p;
    uint64_t other;
    pages_init(&p);
    assert_null(pages_take(&p, 0));
    assert_null(pages_take(&p, PAGES_SLAB + 1));
    void *all = pages_take(&p, PAGES_SLAB);
    assert_non_null(all);
    memset(all, 1, PAGES_SLAB);
    assert_false(pages_give(&p, &other, 8)); /* it is not from there */
    assert_true(pages_give(&p, all, PAGES_SLAB));
    pages_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_refuses_beyond_its_limit_and_serves_on),
        cmocka_unit_test(arena_memory_is_aligned_and_apart),
        cmocka_unit_test(buf_fails_at_its_limit_and_stays_failed),
        cmocka_unit_test(table_keeps_every_node_and_its_limit),
        cmocka_unit_test(metrics_are_escaped_and_cumulative),
        cmocka_unit_test(list_keeps_order_and_removes_twice),
        cmocka_unit_test(pages_are_apart_and_taken_again),
        cmocka_unit_test(pages_go_with_the_last_block_of_their_slab),
        cmocka_unit_test(pages_are_no_longer_than_a_slab),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
