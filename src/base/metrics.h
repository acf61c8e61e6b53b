/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Metrics in the Prometheus text format (version 0.0.4): a writer, and a histogram of times.
 *
 * There is no registry: who has numbers offers a function that writes them (metrics_source), and
 * the admin door calls all of them. Counters are plain atomics of their owners.
 *
 * Names follow Prometheus: cairn_ROOM_WHAT_UNIT, counters end in _total, times are seconds.
 */

#include <stdatomic.h>
#include "base/buf.h"

typedef void metrics_source(struct buf *out, void *arg);

/* The HELP and TYPE lines; every family once, before its samples. type: "counter", "gauge",
 * "histogram". */
void metrics_family(struct buf *out, const char *name, const char *type, const char *help);

/* One label; name NULL ends a list. Values are escaped. */
struct metrics_label {
    const char *name;
    struct str value;
};
/* A sample. `labels` is NULL or ends with a NULL name. */
void metrics_sample(struct buf *out, const char *name, const struct metrics_label *labels,
                    double value);
void metrics_sample_u64(struct buf *out, const char *name, const struct metrics_label *labels,
                        uint64_t value);
/* A family of one sample without labels. */
void metrics_single(struct buf *out, const char *name, const char *type, const char *help,
                    uint64_t value);

/* Buckets from 100 us to 50 s, three a decade; one more for what is longer. */
#define METRICS_BUCKETS 18
extern const uint64_t metrics_bucket_ns[METRICS_BUCKETS];

struct metrics_histogram {
    _Atomic uint64_t buckets[METRICS_BUCKETS + 1]; /* not cumulative */
    _Atomic uint64_t sum_ns;
};
/* Thread-safe, relaxed. */
void metrics_observe(struct metrics_histogram *h, uint64_t ns);
uint64_t metrics_count(const struct metrics_histogram *h);
/* The samples NAME_bucket, _sum and _count of one label set (at most 7 labels). */
void metrics_histogram_samples(struct buf *out, const char *name,
                               const struct metrics_label *labels,
                               const struct metrics_histogram *h);
