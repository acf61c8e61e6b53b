/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Blocks of memory that are kept for the next reads and writes. */

#include "blob/pool.h"
#include "unit.h"

static void a_block_is_taken_again(void **state)
{
    struct pool p;
    pool_init(&p);
    uint8_t *a = pool_take(&p, 256 * KIB), *b = pool_take(&p, 256 * KIB);
    assert_true((uintptr_t)a % RT_DIRECT_ALIGN == 0 && (uintptr_t)b % RT_DIRECT_ALIGN == 0);
    memset(a, 1, 256 * KIB);
    pool_put(&p, a, 256 * KIB);
    pool_put(&p, b, 256 * KIB);
    assert_int_equal(pool_kept_bytes(&p), 512 * KIB);
    uint8_t *other = pool_take(&p, 320 * KIB);
    assert_true(other != a && other != b);
    assert_ptr_equal(pool_take(&p, 256 * KIB - 5), b); /* the last one first */
    memset(b, 2, 256 * KIB);
    assert_int_equal(pool_kept_bytes(&p), 256 * KIB);
    pool_put(&p, other, 320 * KIB);
    pool_put(&p, b, 256 * KIB - 5);
    pool_release(&p);
    assert_int_equal(pool_kept_bytes(&p), 0);
}

static void short_and_giant_blocks_are_not_kept(void **state)
{
    struct pool p;
    pool_init(&p);
    pool_put(&p, pool_take(&p, 1), 1);
    pool_put(&p, pool_take(&p, POOL_LEAST - 1), POOL_LEAST - 1);
    pool_put(&p, pool_take(&p, POOL_BYTES + 1), POOL_BYTES + 1);
    pool_put(&p, NULL, POOL_LEAST);
    assert_int_equal(pool_kept_bytes(&p), 0);
    pool_release(&p);
}

/* The oldest go, by bytes and by number. */
static void no_more_is_kept_than_the_limits(void **state)
{
    static void *taken[POOL_BLOCKS + 10];
    const size_t sizes[] = {POOL_LEAST, 1 * MIB};
    struct pool p;
    pool_init(&p);
    for (unsigned s = 0; s < ARRAY_LEN(sizes); s++) {
        for (unsigned i = 0; i < ARRAY_LEN(taken); i++)
            taken[i] = pool_take(&p, sizes[s]);
        for (unsigned i = 0; i < ARRAY_LEN(taken); i++) {
            pool_put(&p, taken[i], sizes[s]);
            assert_true(p.count <= POOL_BLOCKS && pool_kept_bytes(&p) <= POOL_BYTES);
        }
        assert_ptr_equal(p.blocks[p.count - 1].bytes, taken[ARRAY_LEN(taken) - 1]);
    }
    assert_int_equal(pool_kept_bytes(&p), POOL_BYTES);
    assert_in_range(pool_slab_bytes(&p), POOL_BYTES, POOL_BYTES + PAGES_SLAB);
    assert_int_equal(p.blocks[0].size, 1 * MIB);
    pool_release(&p);
}

/* Given back in any order, blocks that are kept do not keep a slab each. */
static void what_lies_beside_kept_blocks_is_limited(void **state)
{
    static void *taken[512];
    const unsigned count = ARRAY_LEN(taken);
    struct pool p;
    pool_init(&p);
    for (unsigned i = 0; i < count; i++)
        taken[i] = pool_take(&p, 1 * MIB);
    for (unsigned i = 0; i < count; i++)
        pool_put(&p, taken[i * 37 % count], 1 * MIB);
    assert_in_range(pool_slab_bytes(&p), 0, 2 * POOL_BYTES + PAGES_SLAB);
    assert_in_range(pool_kept_bytes(&p), 1, POOL_BYTES);
    pool_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_is_taken_again),
        cmocka_unit_test(short_and_giant_blocks_are_not_kept),
        cmocka_unit_test(no_more_is_kept_than_the_limits),
        cmocka_unit_test(what_lies_beside_kept_blocks_is_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
