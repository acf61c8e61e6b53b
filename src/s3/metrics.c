/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What each operation was asked, answered and took: counters for /metrics, a line for the log.
 */

#include "s3/internal.h"

#include "base/metrics.h"
#include "http/access_log.h"
#include "s3/log_delivery.h"

struct op_counters {
    _Atomic uint64_t requests, errors_4xx, errors_5xx, bytes_in, bytes_out;
    struct metrics_histogram time;
};

/* One for each operation, and a last one for what no operation claims. */
struct s3_counters {
    unsigned count;
    struct op_counters ops[];
};

struct s3_counters *s3_counters_new(void)
{
    unsigned count = s3_op_count + 1;
    struct s3_counters *c = calloc(1, sizeof(*c) + count * sizeof(c->ops[0]));
    if (c)
        c->count = count;
    return c;
}

void s3_counters_free(struct s3_counters *c)
{
    free(c);
}

static const char *op_name(unsigned slot)
{
    return slot < s3_op_count ? s3_ops[slot].name : "Unknown";
}

static void add(_Atomic uint64_t *counter, uint64_t v)
{
    atomic_fetch_add_explicit(counter, v, memory_order_relaxed);
}

static void count(const struct s3_request *q, uint64_t took_ns)
{
    unsigned slot = q->op ? (unsigned)(q->op - s3_ops) : s3_op_count;
    struct op_counters *c = &q->s3->counters->ops[slot];
    int status = http_status(q->x);
    add(&c->requests, 1);
    add(&c->bytes_in, http_bytes_in(q->x));
    add(&c->bytes_out, http_bytes_out(q->x));
    if (status >= 500)
        add(&c->errors_5xx, 1);
    else if (status >= 400)
        add(&c->errors_4xx, 1);
    metrics_observe(&c->time, took_ns);
}

static void log_request(const struct s3_request *q)
{
    struct access_entry e = {
        .user = q->signed_in ? q->who.user_id : STR_NULL,
        .operation = q->op ? str_from(q->op->name) : STR_NULL,
        .bucket = q->bucket_name,
        .key = q->key,
        .error = q->err ? str_from(err_info(q->err)->s3_code) : STR_NULL,
    };
    access_log_put(q->s3->log, q->x, &e);
}

void s3_done(struct http_exchange *x, void *arg)
{
    struct s3 *s3 = arg;
    const struct s3_request *q = http_note(x);
    if (q && q->magic != S3_REQUEST_MAGIC)
        q = NULL;
    if (q)
        count(q, rt_now() - http_started_ns(x));
    if (q && q->logging.len)
        s3_logs_add(s3->logs, q);
    if (!s3->log)
        return;
    if (q)
        log_request(q);
    else
        access_log_put(s3->log, x, NULL);
}

/* ---- /metrics ------------------------------------------------------------------------------- */

static const struct family {
    const char *name, *help;
    size_t offset;
} families[] = {
    {"cairn_s3_requests_total", "Requests answered", offsetof(struct op_counters, requests)},
    {"cairn_s3_errors_client_total", "Requests answered with a status of 4xx",
     offsetof(struct op_counters, errors_4xx)},
    {"cairn_s3_errors_server_total", "Requests answered with a status of 5xx",
     offsetof(struct op_counters, errors_5xx)},
    {"cairn_s3_received_bytes_total", "Bytes of request bodies",
     offsetof(struct op_counters, bytes_in)},
    {"cairn_s3_sent_bytes_total", "Bytes of response bodies",
     offsetof(struct op_counters, bytes_out)},
};

static uint64_t load(const void *counter)
{
    return atomic_load_explicit((const _Atomic uint64_t *)counter, memory_order_relaxed);
}

void s3_load(const struct s3 *s3, uint64_t *ret_requests, uint64_t *ret_took_ns)
{
    *ret_requests = *ret_took_ns = 0;
    for (unsigned slot = 0; slot < s3->counters->count; slot++) {
        *ret_requests += load(&s3->counters->ops[slot].requests);
        *ret_took_ns += load(&s3->counters->ops[slot].time.sum_ns);
    }
}

static void put_counter(struct buf *out, const char *name, const char *help, uint64_t v)
{
    metrics_family(out, name, "counter", help);
    metrics_sample_u64(out, name, NULL, v);
}

static void put_logs(struct buf *out, struct s3_logs *logs)
{
    struct s3_logs_counts c;
    s3_logs_count(logs, &c);
    put_counter(out, "cairn_s3_log_lines_total", "Lines of buckets' access logs", c.lines);
    put_counter(out, "cairn_s3_log_lines_dropped_total", "Of these, such as were not delivered",
                c.dropped);
    put_counter(out, "cairn_s3_log_objects_total", "Objects that hold access logs", c.objects);
}

static void put_selects(struct buf *out, struct s3 *s3)
{
    metrics_family(out, "cairn_s3_selects", "gauge", "SelectObjectContent requests under way");
    metrics_sample_u64(out, "cairn_s3_selects", NULL, atomic_load(&s3->selects));
}

void s3_metrics(struct buf *out, void *arg)
{
    struct s3 *s3 = arg;
    put_selects(out, s3);
    put_logs(out, s3->logs);
    for (unsigned f = 0; f <= ARRAY_LEN(families); f++) {
        bool times = f == ARRAY_LEN(families);
        if (times)
            metrics_family(out, "cairn_s3_request_seconds", "histogram",
                           "Time from the request's first byte to the end of its answer");
        else
            metrics_family(out, families[f].name, "counter", families[f].help);
        for (unsigned slot = 0; slot < s3->counters->count; slot++) {
            const struct op_counters *c = &s3->counters->ops[slot];
            struct metrics_label labels[] = {{"operation", str_from(op_name(slot))}, {NULL}};
            if (load(&c->requests) == 0)
                continue;
            if (times)
                metrics_histogram_samples(out, "cairn_s3_request_seconds", labels, &c->time);
            else
                metrics_sample_u64(out, families[f].name, labels,
                                   load((const char *)c + families[f].offset));
        }
    }
}
