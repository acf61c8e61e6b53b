/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "test/unit/unit.h"
#include "base/error.h"
#include "ec/internal.h"
#include "ec/stripe.h"
#include <pthread.h>

#define CELL_MAX (STRIPE_CELL + 64)

static const struct {
    unsigned k, m;
} codes[] = {{2, 1}, {2, 2}, {4, 2}, {6, 3}, {8, 4}, {10, 4}, {16, 8}};

/* ---- an oracle: the formula of the header by a table of logarithms -----------------------------
 */

static uint8_t powers[255 * 2], logs[256];

static void make_tables(void)
{
    unsigned v = 1;
    for (unsigned i = 0; i < 255; i++, v = v & 0x80 ? v << 1 ^ 0x11d : v << 1) {
        powers[i] = powers[i + 255] = (uint8_t)v;
        logs[v] = (uint8_t)i;
    }
}

static uint8_t times(uint8_t a, uint8_t b)
{
    return a && b ? powers[logs[a] + logs[b]] : 0;
}

static uint8_t inverse(uint8_t a)
{
    return powers[255 - logs[a]];
}

static uint8_t parity_byte(unsigned k, unsigned i, uint8_t *const *data, size_t at)
{
    uint8_t sum = 0;
    for (unsigned j = 0; j < k; j++)
        sum ^= times(inverse((uint8_t)((k + i) ^ j)), data[j][at]);
    return sum;
}

/* ---- cells --------------------------------------------------------------------------------------
 */

struct cells {
    unsigned k, m;
    size_t len;
    uint8_t *of[EC_SHARDS_MAX], *copy[EC_SHARDS_MAX];
};

static void fill(uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)rand();
}

/* Each cell in memory of exactly its length, so that a sanitizer sees what is beyond. */
static void make_cells(struct cells *c, unsigned k, unsigned m, size_t len)
{
    *c = (struct cells){.k = k, .m = m, .len = len};
    for (unsigned i = 0; i < k + m; i++) {
        c->of[i] = malloc(len);
        c->copy[i] = malloc(len);
        fill(c->of[i], len);
    }
}

static void encode_cells(struct cells *c, const struct ec *ec)
{
    assert_int_equal(ec_encode(ec, (const void *const *)c->of, (void *const *)&c->of[c->k], c->len),
                     0);
    for (unsigned i = 0; i < c->k + c->m; i++)
        memcpy(c->copy[i], c->of[i], c->len);
}

static void free_cells(struct cells *c)
{
    for (unsigned i = 0; i < c->k + c->m; i++) {
        free(c->of[i]);
        free(c->copy[i]);
    }
}

/* Loses `lost`, asks for it back from `have`, and wants every cell as it was. */
static void lose_and_decode(struct cells *c, struct ec *ec, ec_set have, ec_set lost)
{
    for (unsigned i = 0; i < c->k + c->m; i++)
        if (lost & EC_SHARD(i))
            fill(c->of[i], c->len);
    assert_int_equal(ec_decode(ec, (void *const *)c->of, have, lost, c->len), 0);
    for (unsigned i = 0; i < c->k + c->m; i++)
        assert_memory_equal(c->of[i], c->copy[i], c->len);
}

static ec_set all_of(const struct cells *c)
{
    return (ec_set)((1ULL << (c->k + c->m)) - 1);
}

/* ---- encoding
 * ------------------------------------------------------------------------------------ */

static void parity_is_that_of_the_formula(void **state)
{
    for (unsigned n = 0; n < ARRAY_LEN(codes); n++) {
        _cleanup_ec_ struct ec *ec = NULL;
        struct cells c;
        assert_int_equal(ec_new(&ec, codes[n].k, codes[n].m), 0);
        assert_int_equal(ec_k(ec), codes[n].k);
        assert_int_equal(ec_m(ec), codes[n].m);
        make_cells(&c, codes[n].k, codes[n].m, 5000);
        encode_cells(&c, ec);
        for (unsigned i = 0; i < c.m; i++)
            for (size_t at = 0; at < c.len; at++)
                assert_int_equal(c.of[c.k + i][at], parity_byte(c.k, i, c.of, at));
        free_cells(&c);
    }
}

/* The bytes are a format: these must stay for ever. */
static void parity_of_known_data_is_known(void **state)
{
    static const uint8_t data[4][2] = {{1, 0}, {2, 0xff}, {3, 0x80}, {4, 0x1d}};
    static const uint8_t known[2][2] = {{0x48, 0x46}, {0x0f, 0x22}};
    const void *in[4] = {data[0], data[1], data[2], data[3]};
    uint8_t parity[2][2];
    void *out[2] = {parity[0], parity[1]};
    _cleanup_ec_ struct ec *ec = NULL;
    assert_int_equal(ec_new(&ec, 4, 2), 0);
    assert_int_equal(ec_encode(ec, in, out, 2), 0);
    assert_memory_equal(parity, known, sizeof(known));
}

static void absent_data_counts_as_zeros(void **state)
{
    for (size_t len = 1; len < 20000; len = len * 3 + 1) {
        _cleanup_ec_ struct ec *ec = NULL;
        struct cells c;
        void *parity[4];
        assert_int_equal(ec_new(&ec, 8, 4), 0);
        make_cells(&c, 8, 4, len);
        memset(c.of[2], 0, len);
        memset(c.of[7], 0, len);
        encode_cells(&c, ec);
        for (unsigned i = 0; i < 4; i++)
            parity[i] = c.of[8 + i];
        const void *data[8] = {c.of[0], c.of[1], NULL, c.of[3], c.of[4], c.of[5], c.of[6], NULL};
        assert_int_equal(ec_encode(ec, data, parity, len), 0);
        for (unsigned i = 0; i < 4; i++)
            assert_memory_equal(c.of[8 + i], c.copy[8 + i], len);
        free_cells(&c);
    }
}

/* ---- decoding
 * ------------------------------------------------------------------------------------ */

static unsigned decode_every_pattern(unsigned k, unsigned m, unsigned *ret_full)
{
    _cleanup_ec_ struct ec *ec = NULL;
    struct cells c;
    unsigned patterns = 0;
    *ret_full = 0;
    assert_int_equal(ec_new(&ec, k, m), 0);
    make_cells(&c, k, m, 200);
    encode_cells(&c, ec);
    for (ec_set lost = 1; lost <= all_of(&c); lost++) {
        if ((unsigned)__builtin_popcount(lost) > m)
            continue;
        lose_and_decode(&c, ec, all_of(&c) & ~lost, lost);
        patterns++;
        *ret_full += (unsigned)__builtin_popcount(lost) == m;
    }
    free_cells(&c);
    return patterns;
}

static void every_pattern_of_each_code_decodes(void **state)
{
    /* The number of ways to lose m of k + m, for the codes above. */
    static const unsigned full[] = {3, 6, 15, 84, 495, 1001};
    for (unsigned n = 0; n < ARRAY_LEN(full); n++) {
        unsigned lost_m, all = decode_every_pattern(codes[n].k, codes[n].m, &lost_m);
        print_message("RS(%u,%u): %u patterns, %u of them with %u lost\n", codes[n].k, codes[n].m,
                      all, lost_m, codes[n].m);
        assert_int_equal(lost_m, full[n]);
    }
}

/* Any k of those at hand are sources, and any of the rest may be asked for. */
static void any_sources_and_targets_decode(void **state)
{
    for (unsigned k = 2; k <= EC_K_MAX; k++) {
        for (unsigned m = 1; m <= EC_M_MAX; m++) {
            _cleanup_ec_ struct ec *ec = NULL;
            struct cells c;
            assert_int_equal(ec_new(&ec, k, m), 0);
            make_cells(&c, k, m, 100);
            encode_cells(&c, ec);
            for (int round = 0; round < 40; round++) {
                ec_set have = all_of(&c);
                while ((unsigned)__builtin_popcount(have) > k)
                    have &= ~EC_SHARD((unsigned)rand() % (k + m));
                ec_set want = (ec_set)rand() & all_of(&c) & ~have;
                lose_and_decode(&c, ec, have, want);
            }
            free_cells(&c);
        }
    }
}

static void every_class_of_length_encodes_and_decodes(void **state)
{
    static const size_t lens[] = {1,    2,     3,     15,    16,          17,      31,   32,
                                  33,   63,    64,    65,    127,         128,     129,  255,
                                  256,  257,   511,   4095,  4096,        4097,    4160, 8191,
                                  8193, 65535, 65536, 65537, STRIPE_CELL, CELL_MAX};
    for (unsigned i = 0; i < ARRAY_LEN(lens); i++) {
        for (unsigned n = 0; n < ARRAY_LEN(codes); n++) {
            _cleanup_ec_ struct ec *ec = NULL;
            struct cells c;
            assert_int_equal(ec_new(&ec, codes[n].k, codes[n].m), 0);
            make_cells(&c, codes[n].k, codes[n].m, lens[i]);
            encode_cells(&c, ec);
            ec_set lost = c.m > 1 ? EC_SHARD(0) | EC_SHARD(c.k + c.m - 1) : EC_SHARD(0);
            lose_and_decode(&c, ec, all_of(&c) & ~lost, lost);
            free_cells(&c);
        }
    }
}

static void cells_need_no_alignment(void **state)
{
    _cleanup_ec_ struct ec *ec = NULL;
    static uint8_t room[12][4000];
    void *shards[12];
    assert_int_equal(ec_new(&ec, 8, 4), 0);
    for (unsigned i = 0; i < 12; i++) {
        fill(room[i], sizeof(room[i]));
        shards[i] = &room[i][1 + i * 7 % 13];
    }
    assert_int_equal(ec_encode(ec, (const void *const *)shards, &shards[8], 3001), 0);
    for (size_t at = 0; at < 3001; at++)
        assert_int_equal(((uint8_t *)shards[9])[at],
                         parity_byte(8, 1, (uint8_t *const *)shards, at));
}

static void sources_are_the_first_k(void **state)
{
    _cleanup_ec_ struct ec *ec = NULL;
    assert_int_equal(ec_new(&ec, 4, 2), 0);
    assert_int_equal(ec_sources(ec, 0x3f), 0x0f);
    assert_int_equal(ec_sources(ec, 0x3a), 0x3a);
    assert_int_equal(ec_sources(ec, 0x3e), 0x1e);
    assert_int_equal(ec_sources(ec, 0x38), 0);
    assert_int_equal(ec_sources(ec, 0xffffffc7), 0); /* beyond k + m is nothing */
}

static void sources_not_needed_are_not_touched(void **state)
{
    _cleanup_ec_ struct ec *ec = NULL;
    struct cells c;
    assert_int_equal(ec_new(&ec, 4, 2), 0);
    make_cells(&c, 4, 2, 300);
    encode_cells(&c, ec);
    void *shards[6] = {c.of[0], c.of[1], c.of[2], NULL, c.of[4], NULL};
    fill(c.of[0], c.len);
    fill(c.of[1], c.len);
    shards[5] = c.of[5];
    shards[3] = c.of[3];
    shards[0] = NULL; /* neither had nor wanted */
    assert_int_equal(ec_decode(ec, shards, 0x3c, 0x02, c.len), 0);
    assert_memory_equal(c.of[1], c.copy[1], c.len);
    free_cells(&c);
}

/* ---- the check ----------------------------------------------------------------------------------
 */

static int verify_cells(const struct cells *c, const struct ec *ec)
{
    return ec_verify(ec, (const void *const *)c->of, c->len);
}

static void every_wrong_byte_is_seen(void **state)
{
    for (unsigned n = 0; n < ARRAY_LEN(codes); n++) {
        _cleanup_ec_ struct ec *ec = NULL;
        struct cells c;
        assert_int_equal(ec_new(&ec, codes[n].k, codes[n].m), 0);
        make_cells(&c, codes[n].k, codes[n].m, 4200);
        encode_cells(&c, ec);
        assert_int_equal(verify_cells(&c, ec), 0);
        for (unsigned i = 0; i < c.k + c.m; i++) {
            for (unsigned error = 1; error < 256; error += 1 + (unsigned)rand() % 7) {
                size_t at = (size_t)rand() % c.len;
                c.of[i][at] ^= (uint8_t)error;
                assert_int_equal(verify_cells(&c, ec), -ERR_CORRUPT);
                c.of[i][at] ^= (uint8_t)error;
            }
        }
        assert_int_equal(verify_cells(&c, ec), 0);
        free_cells(&c);
    }
}

/* Two parities in each other's place, or a cell of another encoding: the usual mistakes. */
static void mixed_up_cells_are_seen(void **state)
{
    _cleanup_ec_ struct ec *ec = NULL;
    struct cells c;
    assert_int_equal(ec_new(&ec, 8, 4), 0);
    make_cells(&c, 8, 4, 1000);
    encode_cells(&c, ec);
    for (unsigned i = 0; i < 12; i++) {
        for (unsigned j = 0; j < i; j++) {
            uint8_t *first = c.of[i];
            c.of[i] = c.of[j];
            c.of[j] = first;
            assert_int_equal(verify_cells(&c, ec), -ERR_CORRUPT);
            c.of[j] = c.of[i];
            c.of[i] = first;
        }
    }
    free_cells(&c);
}

/* Each number of a table spoilt in turn, in a few of its 32 bytes. */
static void spoil_table(struct plan *p, uint8_t *table, size_t len, struct cells *c)
{
    for (size_t at = 0; at < len; at++) {
        if (at % 32 > 2)
            continue;
        table[at] ^= 0x40;
        int r = plan_run(p, c->of, c->len);
        table[at] ^= 0x40;
        assert_true(r == -ERR_CORRUPT || memcmp(c->of[c->k], c->copy[c->k], c->len) == 0);
    }
}

static void a_bad_table_never_passes(void **state)
{
    _cleanup_ec_ struct ec *ec = NULL;
    struct cells c;
    assert_int_equal(ec_new(&ec, 8, 4), 0);
    make_cells(&c, 8, 4, 4096);
    encode_cells(&c, ec);
    unsigned seen = 0;
    for (size_t at = 0; at < 32UL * 8 * 4; at++) {
        ec->encode->tables[at] ^= 0x40;
        int r = plan_run(ec->encode, c.of, c.len);
        ec->encode->tables[at] ^= 0x40;
        bool right = true;
        for (unsigned i = 8; i < 12; i++)
            right = right && memcmp(c.of[i], c.copy[i], c.len) == 0;
        assert_true(r == -ERR_CORRUPT || right);
        seen += r == -ERR_CORRUPT;
    }
    assert_true(seen >= 8 * 4); /* what the processor reads of a table depends on its kernels */
    encode_cells(&c, ec);
    spoil_table(ec->encode, ec->encode->check_tables, 32UL * 12, &c);
    free_cells(&c);
}

/* ---- limits -------------------------------------------------------------------------------------
 */

static void misuse_is_refused(void **state)
{
    struct ec *none = NULL;
    static const unsigned bad[][2] = {{0, 1}, {1, 1}, {1, 2}, {2, 0}, {17, 1}, {2, 9}, {300, 300}};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(ec_new(&none, bad[i][0], bad[i][1]), -EINVAL);
    assert_null(none);
    assert_null(ec_free(NULL));

    _cleanup_ec_ struct ec *ec = NULL;
    struct cells c;
    assert_int_equal(ec_new(&ec, 4, 2), 0);
    make_cells(&c, 4, 2, 64);
    encode_cells(&c, ec);
    void *const *shards = (void *const *)c.of;
    assert_int_equal(ec_encode(ec, (const void *const *)shards, shards + 4, 0), -EINVAL);
    assert_int_equal(ec_encode(ec, (const void *const *)shards, shards + 4, EC_LEN_MAX + 1),
                     -EINVAL);
    assert_int_equal(ec_verify(ec, (const void *const *)shards, 0), -EINVAL);
    assert_int_equal(ec_decode(ec, shards, 0x3c, 0x03, 0), -EINVAL);
    assert_int_equal(ec_decode(ec, shards, 0x38, 0x01, 64), -EINVAL); /* three of four */
    assert_int_equal(ec_decode(ec, shards, 0x3e, 0x02, 64), -EINVAL); /* had and wanted */
    assert_int_equal(ec_decode(ec, shards, 0x3e, 0x40, 64), -EINVAL); /* no such shard */
    assert_int_equal(ec_decode(ec, shards, 0x7e, 0x01, 64), -EINVAL);
    assert_int_equal(ec_decode(ec, shards, 0x3e, 0, 64), 0);
    for (unsigned i = 0; i < 6; i++)
        assert_memory_equal(c.of[i], c.copy[i], 64);
    free_cells(&c);
}

static void plans_kept_are_bounded(void **state)
{
    unsigned lost_m;
    _cleanup_ec_ struct ec *ec = NULL;
    struct cells c;
    decode_every_pattern(8, 4, &lost_m);
    assert_int_equal(ec_new(&ec, 8, 4), 0);
    make_cells(&c, 8, 4, 64);
    encode_cells(&c, ec);
    for (ec_set lost = 1; lost < 1 << 12; lost++)
        if (__builtin_popcount(lost) == 4) {
            lose_and_decode(&c, ec, all_of(&c) & ~lost, lost);
            assert_true(ec->plan_count <= EC_PLANS_MAX);
        }
    assert_int_equal(ec->plan_count, EC_PLANS_MAX);
    const struct plan *latest = container_of(ec->recent.next, struct plan, recent);
    assert_int_equal(latest->to, 0xf00);
    free_cells(&c);
}

static void *decode_many(void *arg)
{
    struct ec *ec = arg;
    struct cells c;
    make_cells(&c, 6, 3, 500);
    encode_cells(&c, ec);
    for (ec_set lost = 1; lost < 1 << 9; lost++)
        if (__builtin_popcount(lost) <= 3)
            lose_and_decode(&c, ec, all_of(&c) & ~lost, lost);
    free_cells(&c);
    return NULL;
}

static void threads_share_a_code(void **state)
{
    _cleanup_ec_ struct ec *ec = NULL;
    pthread_t threads[4];
    assert_int_equal(ec_new(&ec, 6, 3), 0);
    for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, decode_many, ec), 0);
    for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(ec->plan_count, EC_PLANS_MAX);
}

/* ---- stripes ------------------------------------------------------------------------------------
 */

/* Every byte of a chunk has one place, in order, and a shard's places follow one another. */
static void walk_chunk(unsigned k, uint64_t len)
{
    uint64_t ends[EC_K_MAX] = {0}, padding = 0;
    for (uint64_t off = 0; off < len;) {
        struct stripe_place p = stripe_place(k, len, off);
        assert_true(p.shard < k && p.len > 0);
        assert_int_equal(p.shard_off, ends[p.shard]);
        ends[p.shard] = p.shard_off + p.len;
        off += p.len;
        assert_true(off <= len);
    }
    for (unsigned j = 0; j < k; j++) {
        assert_true(ends[j] <= stripe_shard_len(k, len));
        padding += stripe_shard_len(k, len) - ends[j];
    }
    assert_true(padding < k * STRIPE_ALIGN);
}

static void every_byte_has_one_place(void **state)
{
    static const uint64_t lens[] = {1,
                                    63,
                                    64,
                                    65,
                                    128,
                                    4096,
                                    STRIPE_CELL - 1,
                                    STRIPE_CELL,
                                    STRIPE_CELL + 1,
                                    MIB - 1,
                                    MIB,
                                    MIB + 1,
                                    2 * MIB + 77,
                                    5 * MIB,
                                    64 * MIB - 1,
                                    64 * MIB};
    for (unsigned k = 2; k <= EC_K_MAX; k++) {
        for (unsigned i = 0; i < ARRAY_LEN(lens); i++)
            walk_chunk(k, lens[i]);
        for (int i = 0; i < 200; i++)
            walk_chunk(k, 1 + (uint64_t)rand() % (9 * MIB));
    }
    assert_int_equal(stripe_count(4, 0), 0);
    assert_int_equal(stripe_shard_len(4, 0), 0);
}

static void stripes_follow_one_another(void **state)
{
    for (int i = 0; i < 1000; i++) {
        unsigned k = 2 + (unsigned)rand() % 15;
        uint64_t len = 1 + (uint64_t)rand() % (20 * MIB), off = 0, cell_off = 0;
        for (uint32_t n = 0; n < stripe_count(k, len); n++) {
            struct stripe s = stripe_at(k, len, n), same = stripe_of(k, len, off);
            uint64_t data = 0;
            assert_memory_equal(&s, &same, sizeof(s));
            assert_int_equal(s.off, off);
            assert_int_equal(s.cell_off, cell_off);
            assert_int_equal(s.cell_len % STRIPE_ALIGN, 0);
            for (unsigned j = 0; j < k; j++)
                data += stripe_cell_data(&s, j);
            assert_int_equal(data, s.data_len);
            off += s.data_len;
            cell_off += s.cell_len;
        }
        assert_int_equal(off, len);
        assert_int_equal(cell_off, stripe_shard_len(k, len));
    }
}

static void a_small_chunk_costs_what_the_code_costs(void **state)
{
    assert_int_equal(stripe_shard_len(8, 256 * KIB), 32 * KIB);
    assert_int_equal(stripe_shard_len(8, 2 * MIB), 256 * KIB);
    assert_int_equal(stripe_shard_len(4, MIB + 1), 256 * KIB + STRIPE_ALIGN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parity_is_that_of_the_formula),
        cmocka_unit_test(parity_of_known_data_is_known),
        cmocka_unit_test(absent_data_counts_as_zeros),
        cmocka_unit_test(every_pattern_of_each_code_decodes),
        cmocka_unit_test(any_sources_and_targets_decode),
        cmocka_unit_test(every_class_of_length_encodes_and_decodes),
        cmocka_unit_test(cells_need_no_alignment),
        cmocka_unit_test(sources_are_the_first_k),
        cmocka_unit_test(sources_not_needed_are_not_touched),
        cmocka_unit_test(every_wrong_byte_is_seen),
        cmocka_unit_test(mixed_up_cells_are_seen),
        cmocka_unit_test(a_bad_table_never_passes),
        cmocka_unit_test(misuse_is_refused),
        cmocka_unit_test(plans_kept_are_bounded),
        cmocka_unit_test(threads_share_a_code),
        cmocka_unit_test(every_byte_has_one_place),
        cmocka_unit_test(stripes_follow_one_another),
        cmocka_unit_test(a_small_chunk_costs_what_the_code_costs),
    };
    make_tables();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
