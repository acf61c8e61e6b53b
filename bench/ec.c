/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What erasure codes cost on one core, in GB of a chunk's bytes a second (k cells; the parity is
 * not counted): encoding with its check, the library's bare encoding beside it, the check alone,
 * and making the worst loss good (all m lost cells, data first).
 *
 * ec [milliseconds [cell KiB]]: the median of nine turns of that length each, by processor time, so
 * that a busy machine does not count; over a few stripes in turn, more than the L2 cache holds.
 * Prints one JSON object: a code's name to its figures.
 */

#include <isa-l/erasure_code.h>
#include <stdio.h>
#include <time.h>
#include "base/defs.h"
#include "ec/ec.h"

#define STRIPES 4
#define ROUNDS  9

static const struct {
    unsigned k, m;
} codes[] = {{2, 1}, {2, 2}, {4, 2}, {6, 3}, {8, 4}, {10, 4}};

struct bench {
    struct ec *ec;
    unsigned k, m;
    size_t len;
    uint8_t *cells[STRIPES][EC_SHARDS_MAX];
    uint8_t bare_tables[32 * EC_K_MAX * EC_M_MAX];
};

static uint64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- what is measured ----------------------------------------------------------------------- */

static void encode(struct bench *b, uint8_t **cells)
{
    CHECK(ec_encode(b->ec, (const void *const *)cells, (void *const *)&cells[b->k], b->len) == 0);
}

static void bare(struct bench *b, uint8_t **cells)
{
    ec_encode_data((int)b->len, (int)b->k, (int)b->m, b->bare_tables, cells, &cells[b->k]);
}

static void verify(struct bench *b, uint8_t **cells)
{
    CHECK(ec_verify(b->ec, (const void *const *)cells, b->len) == 0);
}

static void decode(struct bench *b, uint8_t **cells)
{
    ec_set lost = EC_SHARD(b->m) - 1, all = EC_SHARD(b->k + b->m) - 1;
    CHECK(ec_decode(b->ec, (void *const *)cells, all & ~lost, lost, b->len) == 0);
}

/* ---- measuring ------------------------------------------------------------------------------ */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double turn(struct bench *b, void (*fn)(struct bench *, uint8_t **), uint64_t ns)
{
    uint64_t bytes = 0, began = cpu_ns(), used;
    do {
        for (unsigned i = 0; i < STRIPES; i++)
            fn(b, b->cells[i]);
        bytes += STRIPES * b->k * b->len;
    } while ((used = cpu_ns() - began) < ns);
    return (double)bytes / (double)used;
}

static double rate(struct bench *b, void (*fn)(struct bench *, uint8_t **), uint64_t ns)
{
    double rates[ROUNDS];
    for (unsigned i = 0; i < ROUNDS; i++)
        rates[i] = turn(b, fn, ns);
    qsort(rates, ROUNDS, sizeof(*rates), by_size);
    return rates[ROUNDS / 2];
}

static void set_up(struct bench *b, unsigned k, unsigned m, size_t len)
{
    uint8_t rows[EC_SHARDS_MAX * EC_K_MAX];
    *b = (struct bench){.k = k, .m = m, .len = len};
    CHECK(ec_new(&b->ec, k, m) == 0);
    gf_gen_cauchy1_matrix(rows, (int)(k + m), (int)k);
    ec_init_tables((int)k, (int)m, &rows[k * k], b->bare_tables);
    for (unsigned i = 0; i < STRIPES; i++) {
        for (unsigned j = 0; j < k + m; j++) {
            CHECK((b->cells[i][j] = aligned_alloc(64, len)));
            for (size_t at = 0; at < len; at++)
                b->cells[i][j][at] = (uint8_t)(at * (j + 3) >> 3);
        }
        encode(b, b->cells[i]);
    }
}

static void tear_down(struct bench *b)
{
    for (unsigned i = 0; i < STRIPES; i++)
        for (unsigned j = 0; j < b->k + b->m; j++)
            free(b->cells[i][j]);
    ec_free(b->ec);
}

int main(int argc, char **argv)
{
    uint64_t ns = (argc > 1 ? strtoull(argv[1], NULL, 10) : 30) * 1000000;
    size_t len = (argc > 2 ? strtoull(argv[2], NULL, 10) : 256) * KIB;
    for (unsigned i = 0; i < ARRAY_LEN(codes); i++) {
        struct bench b;
        set_up(&b, codes[i].k, codes[i].m, len);
        printf(
            "%s\"%u+%u\": {\"encode\": %.2f, \"bare\": %.2f, \"verify\": %.2f, \"decode\": %.2f}",
            i ? ",\n " : "{", b.k, b.m, rate(&b, encode, ns), rate(&b, bare, ns),
            rate(&b, verify, ns), rate(&b, decode, ns));
        tear_down(&b);
    }
    puts("}");
    return 0;
}
