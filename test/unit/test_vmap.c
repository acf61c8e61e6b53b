/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "test/unit/unit.h"
#include "kv/vmap.h"

#define KEYS    40
#define NUMBERS 200

static struct str key_of(unsigned i, char *buf)
{
    buf[0] = (char)('a' + i / 26);
    buf[1] = (char)('a' + i % 26);
    return str_make(buf, 2);
}

/* What each number saw: 0 absent or deleted, else the value plus one. */
struct model {
    unsigned seen[NUMBERS + 1][KEYS];
};

static unsigned look(const struct vmap *m, unsigned key, uint64_t number)
{
    char buf[2];
    const struct vmap_version *v = vmap_find(m, key_of(key, buf), number);
    if (!v || v->deleted)
        return 0;
    assert_int_equal(v->value_len, 1);
    return 1u + (unsigned char)v->value[0];
}

static void expect_numbers(const struct vmap *m, const struct model *model, uint64_t from,
                           uint64_t to)
{
    for (uint64_t number = from; number <= to; number++)
        for (unsigned key = 0; key < KEYS; key++)
            assert_int_equal(look(m, key, number), model->seen[number][key]);
}

/* Numbers `from + 1` to `to`, each with a few random changes. */
static void write_numbers(struct vmap *m, struct model *model, uint64_t from, uint64_t to)
{
    for (uint64_t number = from + 1; number <= to; number++) {
        memcpy(model->seen[number], model->seen[number - 1], sizeof(model->seen[0]));
        for (int i = rand() % 6; i > 0; i--) {
            unsigned key = (unsigned)rand() % KEYS;
            char buf[2], value = (char)(rand() % 200);
            bool del = rand() % 3 == 0;
            struct str k = key_of(key, buf);
            assert_int_equal(
                del ? vmap_del(m, k, number) : vmap_put(m, k, str_make(&value, 1), number), 0);
            model->seen[number][key] = del ? 0 : 1u + (unsigned char)value;
        }
    }
}

static void every_number_sees_what_it_saw(void **state)
{
    struct model *model = calloc(1, sizeof(*model));
    struct vmap m;
    vmap_init(&m);
    srand(1);
    write_numbers(&m, model, 0, NUMBERS);
    expect_numbers(&m, model, 0, NUMBERS);
    vmap_release(&m);
    free(model);
}

static void rolling_back_restores_and_goes_on(void **state)
{
    struct model *model = calloc(1, sizeof(*model));
    struct vmap m;
    vmap_init(&m);
    srand(2);
    for (int round = 0; round < 20; round++) {
        write_numbers(&m, model, 50, NUMBERS);
        uint64_t to = 50 + (uint64_t)rand() % (NUMBERS - 50);
        vmap_rollback(&m, to);
        memcpy(model->seen[NUMBERS], model->seen[to], sizeof(model->seen[0]));
        expect_numbers(&m, model, 0, to);
        expect_numbers(&m, model, NUMBERS, NUMBERS);
        vmap_rollback(&m, 50);
    }
    vmap_rollback(&m, 0);
    assert_int_equal(m.nodes, 0);
    assert_int_equal(m.bytes, 0);
    vmap_release(&m);
    free(model);
}

static void forgetting_keeps_later_numbers_and_frees_the_rest(void **state)
{
    struct model *model = calloc(1, sizeof(*model));
    struct vmap m;
    vmap_init(&m);
    srand(3);
    write_numbers(&m, model, 0, NUMBERS);
    for (uint64_t floor = 10; floor <= NUMBERS; floor += 10) {
        vmap_forget(&m, floor);
        expect_numbers(&m, model, floor, NUMBERS);
    }
    unsigned live = 0;
    for (unsigned key = 0; key < KEYS; key++)
        live += model->seen[NUMBERS][key] != 0;
    assert_int_equal(m.nodes, live);
    assert_int_equal(m.bytes, 3 * live);
    vmap_release(&m);
    free(model);
}

static void neighbours_are_found_from_keys_and_gaps(void **state)
{
    struct vmap m;
    vmap_init(&m);
    for (const char *k = "bdfh"; *k; k++)
        assert_int_equal(vmap_put(&m, str_make(k, 1), STR("v"), 0), 0);
    struct vmap_node *d = vmap_first_at_or_after(&m, STR("d"));
    assert_true(str_eq(vmap_key(d), STR("d")));
    assert_ptr_equal(vmap_first_at_or_after(&m, STR("c")), d);
    assert_ptr_equal(vmap_first_after(&m, STR("b")), d);
    assert_ptr_equal(vmap_last_at_or_before(&m, STR("d")), d);
    assert_ptr_equal(vmap_last_at_or_before(&m, STR("e")), d);
    assert_ptr_equal(vmap_last_before(&m, STR("f")), d);
    assert_null(vmap_last_before(&m, STR("b")));
    assert_null(vmap_first_after(&m, STR("h")));
    assert_null(vmap_last_at_or_before(&m, STR_NULL));
    vmap_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_sees_what_it_saw),
        cmocka_unit_test(rolling_back_restores_and_goes_on),
        cmocka_unit_test(forgetting_keeps_later_numbers_and_frees_the_rest),
        cmocka_unit_test(neighbours_are_found_from_keys_and_gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
