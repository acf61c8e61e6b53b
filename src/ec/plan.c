/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A plan makes some shards of a code ("targets") from k others ("sources").
 *
 * Let S be the sources' rows of the code and T the targets': the sources hold S * data, the targets
 * are to hold T * data, so what to multiply by is M with M * S = T. ISA-L inverts S and multiplies;
 * that M * S = T is then proved in our own arithmetic against the formula of the code.
 *
 * The check needs one equation that holds between sources and targets: for any r, r * M * sources
 * + r * targets = 0 (plus is minus here). r is 1, x, x^2, ... with the first x for which no weight
 * is zero, so that no shard escapes. One exists: no number in M is zero (k shards would depend on
 * one another), a source's weight is a polynomial in x of degree below m with its column of M for
 * coefficients, so each of the k columns rules out at most m - 1 of the 254 candidates.
 */

#include <isa-l/erasure_code.h>
#include <isa-l/mem_routines.h>
#include "base/error.h"
#include "ec/internal.h"

#define BLOCK \
    (2 * KIB) /* of each cell, made and then checked: of usual codes all fit in the L1 cache */
#define CACHE_LINE 64

static const uint8_t zeros[BLOCK] __attribute__((aligned(64)));

/* ---- making --------------------------------------------------------------------------------- */

struct matrix {
    uint8_t of[EC_K_MAX * EC_K_MAX]; /* row by row, k to a row */
};

/* The code itself: what shard `shard` has of the data's cell `j`. */
static uint8_t code_at(unsigned k, unsigned shard, unsigned j)
{
    return shard < k ? shard == j : field_inv((uint8_t)(shard ^ j));
}

/* The rows of the shards in `set`, from ISA-L's matrix. */
static void take_rows(struct matrix *ret, const uint8_t *code, unsigned k, ec_set set)
{
    unsigned row = 0;
    for (; set; set &= set - 1, row++)
        memcpy(&ret->of[row * k], &code[(unsigned)__builtin_ctz(set) * k], k);
}

static uint8_t dot(const uint8_t *row, const struct matrix *m, unsigned k, unsigned column)
{
    uint8_t sum = 0;
    for (unsigned i = 0; i < k; i++)
        sum ^= field_mul(row[i], m->of[i * k + column]);
    return sum;
}

static void multiply(struct matrix *ret, const struct matrix *a, const struct matrix *b,
                     unsigned rows, unsigned k)
{
    for (unsigned i = 0; i < rows; i++)
        for (unsigned j = 0; j < k; j++)
            ret->of[i * k + j] = dot(&a->of[i * k], b, k, j);
}

/* M * S = T, with S and T from the formula. */
static bool is_right(const struct matrix *m, unsigned k, ec_set from, ec_set to)
{
    struct matrix s;
    unsigned row = 0;
    for (; from; from &= from - 1, row++)
        for (unsigned j = 0; j < k; j++)
            s.of[row * k + j] = code_at(k, (unsigned)__builtin_ctz(from), j);
    for (row = 0; to; to &= to - 1, row++)
        for (unsigned j = 0; j < k; j++)
            if (dot(&m->of[row * k], &s, k, j) != code_at(k, (unsigned)__builtin_ctz(to), j))
                return false;
    return true;
}

static int find_matrix(struct matrix *ret, unsigned k, unsigned m, ec_set from, ec_set to)
{
    uint8_t code[EC_SHARDS_MAX * EC_K_MAX];
    struct matrix s, inverse, t;
    gf_gen_cauchy1_matrix(code, (int)(k + m), (int)k);
    take_rows(&s, code, k, from);
    take_rows(&t, code, k, to);
    if (gf_invert_matrix(s.of, inverse.of, (int)k) != 0)
        return -ERR_CORRUPT;
    multiply(ret, &t, &inverse, (unsigned)__builtin_popcount(to), k);
    return is_right(ret, k, from, to) ? 0 : -ERR_CORRUPT;
}

/* The weights for one x: false when one is zero. */
static bool weigh(const struct plan *p, const struct matrix *m, uint8_t x, uint8_t *ret)
{
    uint8_t r = 1;
    memset(ret, 0, p->from_count);
    for (unsigned i = 0; i < p->to_count; i++, r = field_mul(r, x)) {
        ret[p->from_count + i] = r;
        for (unsigned j = 0; j < p->from_count; j++)
            ret[j] ^= field_mul(r, m->of[i * p->from_count + j]);
    }
    return !memchr(ret, 0, p->from_count);
}

static int find_weights(const struct plan *p, const struct matrix *m, uint8_t *ret)
{
    for (unsigned x = 2; x < 256; x++)
        if (weigh(p, m, (uint8_t)x, ret))
            return 0;
    return -ERR_CORRUPT;
}

int plan_new(struct plan **ret, unsigned k, unsigned m, ec_set from, ec_set to)
{
    struct matrix matrix;
    uint8_t weights[EC_SHARDS_MAX];
    unsigned rows = (unsigned)__builtin_popcount(to);
    CHECK((unsigned)__builtin_popcount(from) == k && rows > 0 && rows <= m && !(from & to));
    int r = find_matrix(&matrix, k, m, from, to);
    if (r < 0)
        return r;
    _cleanup_free_ struct plan *p = calloc(1, sizeof(*p) + 32UL * k * rows);
    if (!p)
        return -ENOMEM;
    *p = (struct plan){.users = 1, .from = from, .to = to, .from_count = k, .to_count = rows};
    list_init(&p->recent);
    if ((r = find_weights(p, &matrix, weights)) < 0)
        return r;
    ec_init_tables((int)k, (int)rows, matrix.of, p->tables);
    ec_init_tables((int)(k + rows), 1, weights, p->check_tables);
    *ret = TAKE_PTR(p);
    return 0;
}

/* ---- running -------------------------------------------------------------------------------- */

/* The cells from `off` on; a NULL stands for zeros, which are BLOCK long. */
static void point_at(const struct plan *p, uint8_t *const *cells, size_t off, uint8_t **ret)
{
    for (unsigned i = 0; i < p->from_count + p->to_count; i++)
        ret[i] = cells[i] ? cells[i] + off : (uint8_t *)(uintptr_t)zeros;
}

static bool block_is_right(const struct plan *p, uint8_t **at, int len)
{
    uint8_t sum[BLOCK] __attribute__((aligned(64)));
    uint8_t *out = sum;
    ec_encode_data(len, (int)(p->from_count + p->to_count), 1,
                   (uint8_t *)(uintptr_t)p->check_tables, at, &out);
    return isal_zero_detect(sum, (size_t)len) == 0;
}

int plan_check(const struct plan *p, uint8_t *const *cells, size_t len)
{
    uint8_t *at[EC_SHARDS_MAX];
    for (size_t off = 0; off < len; off += BLOCK) {
        point_at(p, cells, off, at);
        if (!block_is_right(p, at, (int)MIN(len - off, BLOCK)))
            return -ERR_CORRUPT;
    }
    return 0;
}

/*
 * Asks for the sources' next block while this one is worked on. What was received a while ago has
 * left the caches, and the processor does not look ahead far by itself in so many short rows.
 */
static void fetch_next(const struct plan *p, uint8_t *const *at)
{
    for (unsigned i = 0; i < p->from_count; i++)
        for (size_t line = 0; line < BLOCK; line += CACHE_LINE)
            __builtin_prefetch(at[i] + BLOCK + line);
}

int plan_run(const struct plan *p, uint8_t *const *cells, size_t len)
{
    uint8_t *at[EC_SHARDS_MAX];
    for (size_t off = 0; off < len; off += BLOCK) {
        int block = (int)MIN(len - off, BLOCK);
        point_at(p, cells, off, at);
        if (len - off >= 2 * BLOCK)
            fetch_next(p, at);
        ec_encode_data(block, (int)p->from_count, (int)p->to_count, (uint8_t *)(uintptr_t)p->tables,
                       at, at + p->from_count);
        if (!block_is_right(p, at, block))
            return -ERR_CORRUPT;
    }
    return 0;
}
