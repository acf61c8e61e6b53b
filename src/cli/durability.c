/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/durability.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>

#define SHARDS_MAX 256
#define DISKS_MAX  100000
#define NINES_MAX  99

/* ---- binomials ------------------------------------------------------------------------------ */

static double choose(unsigned n, unsigned j)
{
    double product = 1;
    for (unsigned i = 1; i <= j; i++)
        product *= (double)(n - j + i) / i;
    return product;
}

/* The sum over j from `least` of P[j of n] * weigh(j). The terms fall off fast above the mean, so
 * what is too small to count ends it. */
static double binomial_sum(unsigned n, unsigned least, double p,
                           double (*weigh)(unsigned j, const void *arg), const void *arg)
{
    double sum = 0, term = choose(n, least) * pow(p, least) * exp((n - least) * log1p(-p));
    for (unsigned j = least; j <= n; j++) {
        sum += weigh ? term * weigh(j, arg) : term;
        if (term < 1e-18 * sum && j > n * p)
            break;
        term *= (double)(n - j) / (j + 1) * (p / (1 - p));
    }
    return sum;
}

/* ---- the store ------------------------------------------------------------------------------ */

/* Of all ways to choose the k + m disks of a partition, those with `lost` given ones among them. */
static double partition_has(const struct durability_input *in, unsigned lost)
{
    double part = 1;
    for (unsigned i = 0; i < lost; i++)
        part *= (double)(in->k + in->m - i) / (in->disks - i);
    return part;
}

/* That at least one of all partitions has them. */
static double some_partition_has(const struct durability_input *in, unsigned lost)
{
    double has = partition_has(in, lost);
    return has >= 1 ? 1 : -expm1(DURABILITY_PARTITIONS * log1p(-has));
}

struct meeting {
    unsigned others; /* that must be out along with the one that fails now */
    double hit;      /* probability that given ones share a partition */
};

/* With j others out there are that many ways to find `others` of them, each a chance to be hit. */
static double weigh_meeting(unsigned j, const void *arg)
{
    const struct meeting *m = arg;
    return m->hit >= 1 ? 1 : -expm1(choose(j, m->others) * log1p(-m->hit));
}

/* A year's rate of failures that take a partition's `lost`-th disk while the others are out. */
static double rate_of(const struct durability_input *in, const struct durability *d, unsigned lost)
{
    struct meeting m = {.others = lost - 1, .hit = some_partition_has(in, lost)};
    return in->disks * in->afr *
           binomial_sum(in->disks - 1, m.others, d->period_p, weigh_meeting, &m);
}

/*
 * With m disks out of a partition, k shards of it are read and none is spare. What such partitions
 * hold: a disk's bytes lie in as many partitions as it is in; on average DURABILITY_PARTITIONS *
 * partition_has(m) have lost m.
 */
static double sector_rate(const struct durability_input *in, const struct durability *d)
{
    if (in->m == 0)
        return 0; /* there is no rebuild: a sector lost is lost, whatever the disks do */
    double hit = some_partition_has(in, in->m);
    double shard_bytes = in->disk_bytes * in->fill * in->disks / (in->k + in->m);
    double read_bytes = in->k * shard_bytes * partition_has(in, in->m) / hit;
    return rate_of(in, d, in->m) * -expm1(-8 * in->ure_bit * read_bytes);
}

/* Of one object: its own k + m disks count, wherever the others are. */
static double object_rate(const struct durability_input *in, const struct durability *d)
{
    unsigned shards = in->k + in->m;
    double failures = shards * in->afr;
    double by_disks = failures * binomial_sum(shards - 1, in->m, d->period_p, NULL, NULL);
    if (in->m == 0)
        return by_disks;
    return by_disks + failures * binomial_sum(shards - 1, in->m - 1, d->period_p, NULL, NULL) *
                          -expm1(-8 * in->ure_bit * in->object_bytes);
}

static bool is_valid(const struct durability_input *in)
{
    return in->k >= 1 && in->k + in->m <= SHARDS_MAX && in->disks >= in->k + in->m &&
           in->disks <= DISKS_MAX && in->afr > 0 && in->afr <= 10 && in->disk_bytes > 0 &&
           in->fill > 0 && in->fill <= 1 && in->rebuild_bytes_s > 0 && in->wait_s >= 0 &&
           in->ure_bit >= 0 && in->ure_bit <= 1e-6 && in->object_bytes > 0;
}

int durability_calculate(const struct durability_input *in, struct durability *ret)
{
    struct durability d = {0};
    if (!is_valid(in))
        return -EINVAL;
    d.window_s = in->wait_s + in->disk_bytes * in->fill / in->rebuild_bytes_s;
    if (d.window_s > DURABILITY_YEAR_S)
        return -EINVAL; /* neither model means anything then */
    d.period_p = -expm1(-in->afr * d.window_s / DURABILITY_YEAR_S);
    double lost = binomial_sum(in->k + in->m, in->m + 1, d.period_p, NULL, NULL);
    d.group_loss = -expm1(DURABILITY_YEAR_S / d.window_s * log1p(-lost));
    d.disk_loss = rate_of(in, &d, in->m + 1);
    d.sector_loss = sector_rate(in, &d);
    d.loss = -expm1(-(d.disk_loss + d.sector_loss));
    d.object_loss = -expm1(-object_rate(in, &d));
    *ret = d;
    return 0;
}

double durability_nines(double loss)
{
    return loss > 0 ? MIN(-log10(loss), (double)NINES_MAX) : NINES_MAX;
}

/* ---- words ---------------------------------------------------------------------------------- */

/* strtod takes more than is meant here: signs, spaces, hexadecimals, infinity. */
static int parse_decimal(const char *text, double *ret, const char **ret_rest)
{
    char *rest;
    if (*text < '0' || *text > '9' || text[1] == 'x' || text[1] == 'X')
        return -EINVAL;
    errno = 0;
    double v = strtod(text, &rest);
    if (errno || !isfinite(v))
        return -EINVAL;
    *ret = v;
    *ret_rest = rest;
    return 0;
}

int durability_parse_number(const char *text, double *ret)
{
    const char *rest;
    double v;
    if (parse_decimal(text, &v, &rest) < 0 || *rest)
        return -EINVAL;
    *ret = v;
    return 0;
}

int durability_parse_size(const char *text, double *ret)
{
    static const char units[] = "KMGTPE";
    const char *rest;
    double v;
    if (parse_decimal(text, &v, &rest) < 0)
        return -EINVAL;
    if (*rest) {
        const char *unit = strchr(units, *rest);
        bool binary = unit && rest[1] == 'i';
        rest += binary ? 2 : 1;
        rest += unit && *rest == 'B';
        if (!unit || *rest)
            return -EINVAL;
        v *= pow(binary ? 1024 : 1000, (double)(unit - units + 1));
    }
    *ret = v;
    return 0;
}

int durability_parse_code(const char *text, unsigned *ret_k, unsigned *ret_m)
{
    unsigned k, m;
    char beyond;
    if (*text < '0' || *text > '9' || strlen(text) > 7)
        return -EINVAL;
    const char *plus = strchr(text, '+');
    if (!plus || plus[1] < '0' || plus[1] > '9')
        return -EINVAL;
    if (sscanf(text, "%u+%u%c", &k, &m, &beyond) != 2 || k == 0)
        return -EINVAL;
    *ret_k = k;
    *ret_m = m;
    return 0;
}
