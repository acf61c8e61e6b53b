/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "test/unit/unit.h"
#include "cli/durability.h"
#include <errno.h>
#include <math.h>

static void expect_near(double got, double expected, double tolerance)
{
    if (fabs(got - expected) > tolerance * fabs(expected))
        fail_msg("%.6e is not within %g of %.6e", got, tolerance, expected);
}

/* 16 TB disks made good in so many days. */
static struct durability_input store_of(unsigned disks, unsigned k, unsigned m, double afr,
                                        double days)
{
    return (struct durability_input){.disks = disks,
                                     .k = k,
                                     .m = m,
                                     .afr = afr,
                                     .disk_bytes = 16e12,
                                     .fill = 1,
                                     .rebuild_bytes_s = 16e12 / (days * 86400),
                                     .object_bytes = 1e6};
}

static struct durability calculate(struct durability_input in)
{
    struct durability d;
    assert_int_equal(durability_calculate(&in, &d), 0);
    return d;
}

/* ---- published figures -------------------------------------------------------------------------
 */

/* To the four digits that are published. */
static void the_published_figures_come_out(void **state)
{
    expect_near(calculate(store_of(20, 17, 3, 0.00405, 6.5)).group_loss, 7.354e-12, 0.00007);
    expect_near(calculate(store_of(6, 4, 2, 0.10, 1)).group_loss, 1.500e-07, 0.0004);
    expect_near(calculate(store_of(6, 4, 2, 0.10, 1)).period_p, 1.641e-03 / 6, 0.002);
    expect_near(calculate(store_of(6, 3, 3, 0.10, 1)).group_loss, 3.082e-11, 0.0003);
    expect_near(calculate(store_of(6, 5, 1, 0.10, 1)).group_loss, 4.105e-04, 0.0003);
    expect_near(calculate(store_of(6, 6, 0, 0.10, 1)).group_loss, 4.512e-01, 0.0003);
}

/* ---- the store's model -------------------------------------------------------------------------
 */

/* Failures within any span as long as a window count, so about m + 1 times what periods see. */
static void a_sliding_window_sees_more_than_periods(void **state)
{
    struct durability d = calculate(store_of(20, 17, 3, 0.00405, 6.5));
    expect_near(d.disk_loss, 4 * 7.354e-12, 0.01);
    d = calculate(store_of(3, 2, 1, 0.01, 1));
    expect_near(d.disk_loss, 3 * 0.01 * 2 * (0.01 / 365), 0.001);
}

struct simulated {
    double out_until[32];
    unsigned losses;
};

static double random_unit(void)
{
    return ((double)rand() + 1) / ((double)RAND_MAX + 2);
}

/* One disk fails at `now`, in days: is it one too many? */
static void fail_one(struct simulated *s, unsigned disks, unsigned m, double now, double window)
{
    unsigned disk = (unsigned)rand() % disks, others = 0;
    for (unsigned i = 0; i < disks; i++)
        others += i != disk && s->out_until[i] > now;
    s->losses += others >= m;
    s->out_until[disk] = now + window;
}

/* Events drawn one by one, against the formula. */
static void the_formula_agrees_with_a_simulation(void **state)
{
    static const struct {
        unsigned k, m;
        double afr, days;
    } cases[] = {{4, 2, 2, 4}, {2, 1, 0.5, 5}, {8, 4, 6, 6}, {1, 2, 3, 5}};
    srand(7);
    for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
        struct simulated s = {0};
        unsigned disks = cases[n].k + cases[n].m;
        double years = 0, years_max = 60000;
        while (years < years_max) {
            years += -log(random_unit()) / (disks * cases[n].afr);
            fail_one(&s, disks, cases[n].m, years * 365, cases[n].days);
        }
        struct durability d =
            calculate(store_of(disks, cases[n].k, cases[n].m, cases[n].afr, cases[n].days));
        print_message("%u+%u: %u losses simulated, %.1f calculated\n", cases[n].k, cases[n].m,
                      s.losses, d.disk_loss * years_max);
        assert_true(s.losses > 500);
        expect_near(s.losses / years_max, d.disk_loss, 0.12);
    }
}

/* In a large store three given disks hardly ever share a partition; in a small one always. */
static void partitions_of_a_large_store_are_rarely_hit(void **state)
{
    struct durability small = calculate(store_of(10, 2, 2, 0.02, 1));
    struct durability large = calculate(store_of(200, 2, 2, 0.02, 1));
    double p = small.period_p;
    expect_near(small.disk_loss, 10 * 0.02 * 36 * p * p, 0.01);
    /* 4,096 partitions hold 4 triples each, of 1,313,400. */
    expect_near(large.disk_loss, 200 * 0.02 * (199.0 * 198 / 2) * p * p * (4096 * 4 / 1313400.0),
                0.03);
    /* What one object risks does not depend on the disks it is not on. */
    expect_near(small.object_loss, large.object_loss, 1e-9);
}

static void unreadable_sectors_count_when_nothing_is_spare(void **state)
{
    struct durability_input in = store_of(6, 4, 2, 0.015, 1.85);
    struct durability without = calculate(in);
    assert_true(without.sector_loss == 0);
    in.ure_bit = 1e-15;
    struct durability with = calculate(in);
    double p = with.period_p;
    /* Two of six out, four whole disks to read. */
    expect_near(with.sector_loss, 6 * 0.015 * 5 * p * (1 - exp(-8 * 1e-15 * 4 * 16e12)), 0.01);
    assert_true(with.disk_loss == without.disk_loss && with.loss > 100 * without.loss);
    assert_true(with.object_loss > without.object_loss);
    in.fill = 0.5; /* half to read, in half the time */
    assert_true(calculate(in).sector_loss < 0.3 * with.sector_loss);
}

static void more_parity_is_safer_and_more_time_is_not(void **state)
{
    double before = 1;
    for (unsigned m = 0; m <= 6; m++) {
        struct durability_input in = store_of(12, 6, m, 0.02, 2);
        in.ure_bit = 1e-15;
        struct durability d = calculate(in);
        assert_true(d.loss < before && d.object_loss <= d.loss);
        before = d.loss;
        in.wait_s = 86400;
        if (m > 0)
            assert_true(calculate(in).loss > d.loss);
    }
}

static void nonsense_is_refused(void **state)
{
    struct durability d;
    struct durability_input good = store_of(6, 4, 2, 0.015, 2),
                            bad[] = {good, good, good, good, good, good, good, good, good, good};
    bad[0].disks = 5;
    bad[1].k = 0;
    bad[2].afr = 0;
    bad[3].fill = 1.5;
    bad[4].disk_bytes = 0;
    bad[5].rebuild_bytes_s = 0;
    bad[6].wait_s = 1e9;
    bad[7].ure_bit = 0.5;
    bad[8].object_bytes = 0;
    bad[9].m = 300;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(durability_calculate(&bad[i], &d), -EINVAL);
    assert_int_equal(durability_calculate(&good, &d), 0);
}

/* ---- words -------------------------------------------------------------------------------------
 */

static void nines_are_counted(void **state)
{
    expect_near(durability_nines(1e-11), 11, 1e-9);
    assert_true(durability_nines(1) == 0);
    assert_true(durability_nines(0) == 99);
    expect_near(durability_nines(0.05), 1.301, 0.001);
}

static void sizes_codes_and_numbers_are_read(void **state)
{
    static const struct {
        const char *text;
        double value;
    } sizes[] = {{"16T", 16e12}, {"100M", 1e8}, {"512Ki", 524288},
                 {"1.5K", 1500}, {"7", 7},      {"2Ei", 0x1p61}};
    static const char *const no_sizes[] = {"",     "T",    "-1T", "1X",  "1Tb",  "1 T",
                                           "1Kii", "0x10", "inf", "nan", "1e999"};
    static const char *const no_codes[] = {"",    "4",   "4+",   "+2",   "4+2+1",
                                           "0+2", "4-2", "4+-2", "4+2x", "99999999+1"};
    double v;
    unsigned k, m;
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        assert_int_equal(durability_parse_size(sizes[i].text, &v), 0);
        assert_true(v == sizes[i].value);
    }
    for (unsigned i = 0; i < ARRAY_LEN(no_sizes); i++)
        assert_int_equal(durability_parse_size(no_sizes[i], &v), -EINVAL);
    for (unsigned i = 0; i < ARRAY_LEN(no_codes); i++)
        assert_int_equal(durability_parse_code(no_codes[i], &k, &m), -EINVAL);
    assert_int_equal(durability_parse_code("17+3", &k, &m), 0);
    assert_int_equal(k, 17);
    assert_int_equal(m, 3);
    assert_int_equal(durability_parse_number("1e-15", &v), 0);
    assert_true(v == 1e-15);
    assert_int_equal(durability_parse_number("1.5%", &v), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_figures_come_out),
        cmocka_unit_test(a_sliding_window_sees_more_than_periods),
        cmocka_unit_test(the_formula_agrees_with_a_simulation),
        cmocka_unit_test(partitions_of_a_large_store_are_rarely_hit),
        cmocka_unit_test(unreadable_sectors_count_when_nothing_is_spare),
        cmocka_unit_test(more_parity_is_safer_and_more_time_is_not),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(nines_are_counted),
        cmocka_unit_test(sizes_codes_and_numbers_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
