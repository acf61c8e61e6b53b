/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "base/metrics.h"
#include <stdio.h>

#define LABELS_MAX 8

const uint64_t metrics_bucket_ns[METRICS_BUCKETS] = {
    100000,     200000,     500000,     1000000,     2000000,     5000000,
    10000000,   20000000,   50000000,   100000000,   200000000,   500000000,
    1000000000, 2000000000, 5000000000, 10000000000, 20000000000, 50000000000,
};

void metrics_family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_value_escaped(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '\\' || c == '"')
            buf_put_char(out, '\\');
        if (c == '\n')
            buf_put_cstr(out, "\\n");
        else
            buf_put_char(out, c);
    }
}

static void put_head(struct buf *out, const char *name, const struct metrics_label *labels)
{
    buf_put_cstr(out, name);
    if (labels && labels->name) {
        char before = '{';
        for (; labels->name; labels++) {
            buf_printf(out, "%c%s=\"", before, labels->name);
            put_value_escaped(out, labels->value);
            buf_put_char(out, '"');
            before = ',';
        }
        buf_put_char(out, '}');
    }
    buf_put_char(out, ' ');
}

void metrics_sample(struct buf *out, const char *name, const struct metrics_label *labels,
                    double value)
{
    put_head(out, name, labels);
    buf_printf(out, "%.17g\n", value);
}

void metrics_sample_u64(struct buf *out, const char *name, const struct metrics_label *labels,
                        uint64_t value)
{
    put_head(out, name, labels);
    buf_put_u64(out, value);
    buf_put_char(out, '\n');
}

void metrics_single(struct buf *out, const char *name, const char *type, const char *help,
                    uint64_t value)
{
    metrics_family(out, name, type, help);
    metrics_sample_u64(out, name, NULL, value);
}

void metrics_observe(struct metrics_histogram *h, uint64_t ns)
{
    size_t i = 0;
    while (i < METRICS_BUCKETS && ns > metrics_bucket_ns[i])
        i++;
    atomic_fetch_add_explicit(&h->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_ns, ns, memory_order_relaxed);
}

uint64_t metrics_count(const struct metrics_histogram *h)
{
    uint64_t count = 0;
    for (size_t i = 0; i <= METRICS_BUCKETS; i++)
        count += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
    return count;
}

void metrics_histogram_samples(struct buf *out, const char *name,
                               const struct metrics_label *labels,
                               const struct metrics_histogram *h)
{
    struct metrics_label all[LABELS_MAX + 1] = {{NULL, STR_NULL}};
    char series[128], bound[32];
    size_t n = 0;
    for (; labels && labels[n].name; n++) {
        CHECK(n < LABELS_MAX - 1);
        all[n] = labels[n];
    }
    uint64_t cumulative = 0;
    snprintf(series, sizeof(series), "%s_bucket", name);
    for (size_t i = 0; i <= METRICS_BUCKETS; i++) {
        cumulative += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        snprintf(bound, sizeof(bound), "%g",
                 (double)metrics_bucket_ns[MIN(i, (size_t)METRICS_BUCKETS - 1)] / 1e9);
        all[n] = (struct metrics_label){"le", i < METRICS_BUCKETS ? str_from(bound) : STR("+Inf")};
        metrics_sample_u64(out, series, all, cumulative);
    }
    all[n] = (struct metrics_label){NULL, STR_NULL};
    snprintf(series, sizeof(series), "%s_sum", name);
    metrics_sample(out, series, all,
                   (double)atomic_load_explicit(&h->sum_ns, memory_order_relaxed) / 1e9);
    snprintf(series, sizeof(series), "%s_count", name);
    metrics_sample_u64(out, series, all, cumulative);
}
