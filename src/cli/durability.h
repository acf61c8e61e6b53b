/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * How likely data is lost to disks that fail: arithmetic only. docs/DURABILITY.md says what the
 * models leave out, which is what loses data in practice.
 *
 * Two models of the same store.
 *
 * "Group", the one that is published (Backblaze, erasure-coding-durability): k + m disks, a year
 * cut into periods as long as a rebuild, each disk lost in a period with probability p = 1 -
 * exp(-afr * period / 365 days), independently; the data is lost when more than m are. The year's
 * loss is 1 - (1 - P[X > m])^periods, X binomial. Failures on both sides of a period's end are not
 * counted as one.
 *
 * "Store", ours: `disks` of which every partition has k + m, chosen at random. Disks fail at a
 * constant rate, each is out for `window`. Whenever one fails while m others are out (a window that
 * slides, so m + 1 times what the periods see), what is lost are the partitions that have all of
 * them. When m are out of a partition, every byte left of it must be read, and each sector that
 * cannot be read loses what lay in its stripe.
 */

#include "base/defs.h"

#define DURABILITY_PARTITIONS 4096 /* as the ring has */
#define DURABILITY_YEAR_S     (365.0 * 86400)

struct durability_input {
    unsigned disks;          /* at least k + m */
    unsigned k, m;           /* copies are k = 1; k + m is at most 256 */
    double afr;              /* failures of a disk in a year, 0.015 for 1.5 %: above 0 */
    double disk_bytes, fill; /* fill: the part that is used, above 0 to 1 */
    double rebuild_bytes_s;  /* of one lost disk, all helpers together: above 0 */
    double wait_s;           /* from a failure until its rebuild begins */
    double ure_bit;          /* unreadable sectors for each bit read, 0 to 1e-6 */
    double object_bytes;     /* of the object that is asked about, above 0 */
};

struct durability {
    double window_s;    /* that a disk is out: wait and rebuild */
    double period_p;    /* of one disk being lost in such a time */
    double group_loss;  /* group model: probability in a year */
    double disk_loss;   /* store: a year's rate of losing partitions to disks alone */
    double sector_loss; /* store: a year's rate of losing chunks to a sector with m disks out */
    double loss;        /* store: probability of losing anything in a year */
    double object_loss; /* probability of losing one given object in a year */
};

/* -EINVAL when a number is out of its range. */
int durability_calculate(const struct durability_input *in, struct durability *ret);

/* The nines of a probability of loss: 4 for 0.0001, 0 for 1, up to 99. */
double durability_nines(double loss);

/* "16T", "100M", "512Ki", "4GiB", "1.5": powers of 1000, or of 1024 with an i. 0 or -EINVAL. */
int durability_parse_size(const char *text, double *ret);
/* "4+2". 0 or -EINVAL. */
int durability_parse_code(const char *text, unsigned *ret_k, unsigned *ret_m);
/* A plain positive number, or 0. 0 or -EINVAL. */
int durability_parse_number(const char *text, double *ret);
