/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * Each thread has a shard with two buffers: lines are put into one while the other is written. A
 * fiber does that while there are lines, and ends when a whole delay has brought none; the next
 * line starts another.
 */
#include "http/access_log.h"
#include "base/log.h"

#define WRITE_SOON_BYTES (256 * KIB) /* the writer does not sleep on when so much is waiting */

struct shard {
    struct access_log *log;
    struct buf lines; /* waiting */
    struct buf spare; /* being written, or empty */
    uint64_t dropped;
    struct rt_lock lock; /* for `running` and the waitq */
    struct rt_waitq wake;
    bool running, writing;
} __attribute__((aligned(64)));

struct access_log {
    bool closing;
    unsigned shard_count;
    struct shard shards[];
};

int access_log_open(struct access_log **ret)
{
    unsigned count = rt_thread_count();
    size_t bytes = align_up(sizeof(struct access_log) + count * sizeof(struct shard), 64);
    struct access_log *l = aligned_alloc(64, bytes);
    if (!l)
        return -ENOMEM;
    memset(l, 0, bytes);
    l->shard_count = count;
    for (unsigned i = 0; i < count; i++) {
        struct shard *s = &l->shards[i];
        s->log = l;
        buf_init(&s->lines, ACCESS_LOG_PENDING_BYTES);
        buf_init(&s->spare, ACCESS_LOG_PENDING_BYTES);
        rt_lock_init(&s->lock);
        rt_waitq_init(&s->wake);
    }
    *ret = l;
    return 0;
}

static int write_spare(void *arg)
{
    struct shard *s = arg;
    log_write(buf_str(&s->spare), &s->log->closing);
    return 0;
}

static void note_dropped(struct shard *s)
{
    struct log_line line;
    if (!s->dropped)
        return;
    log_begin_in(&line, &s->lines, LOG_WARN, "access log lines dropped");
    log_u64(&line, "count", s->dropped);
    log_end_in(&line, &s->lines);
    s->dropped = 0;
}

static void FIBER write_lines(struct shard *s)
{
    struct buf swap = s->lines;
    s->lines = s->spare;
    s->spare = swap;
    s->writing = true;
    rt_offload(write_spare, s);
    s->writing = false;
    buf_reset(&s->spare);
    note_dropped(s);
}

/* Waits for lines to gather; false: none came, or the log closes. */
static bool FIBER gather(struct shard *s)
{
    rt_lock(&s->lock);
    if (s->lines.len < WRITE_SOON_BYTES && !s->log->closing)
        rt_wait_uncancelled(&s->wake, &s->lock, rt_now() + ACCESS_LOG_DELAY_NS);
    rt_unlock(&s->lock);
    return s->lines.len > 0;
}

static void FIBER writer_main(void *arg)
{
    struct shard *s = arg;
    while (gather(s))
        write_lines(s);
    buf_release(&s->lines);
    buf_release(&s->spare);
    rt_lock(&s->lock);
    s->running = false;
    rt_wake_all(&s->wake);
    rt_unlock(&s->lock);
}

/* Sees to it that the lines will be written. */
static void care_for(struct shard *s)
{
    if (!s->running) {
        s->running = true;
        if (rt_spawn_detached("access-log", writer_main, s) < 0)
            s->running = false; /* the next line tries again */
    } else if (s->lines.len >= WRITE_SOON_BYTES && !s->writing) {
        rt_lock(&s->lock);
        rt_wake_one(&s->wake);
        rt_unlock(&s->lock);
    }
}

static void put_str(struct log_line *line, const char *name, struct str value)
{
    if (value.len)
        log_str(line, name, value);
}

static void put_fields(struct log_line *line, const struct http_exchange *x,
                       const struct access_entry *e)
{
    uint64_t started = http_started_ns(x), first = http_first_byte_ns(x);
    log_str(line, "id", str_make(http_request_id(x), 16));
    log_str(line, "peer", str_from(http_peer(x)));
    if (e) {
        put_str(line, "user", e->user);
        put_str(line, "op", e->operation);
        put_str(line, "bucket", e->bucket);
        put_str(line, "key", e->key);
    }
    put_str(line, "method", http_request(x)->method);
    log_u64(line, "status", (uint64_t)http_status(x));
    if (e)
        put_str(line, "error", e->error);
    log_u64(line, "in", http_bytes_in(x));
    log_u64(line, "out", http_bytes_out(x));
    if (first)
        log_u64(line, "ttfb_us", (first - started) / RT_US);
    log_u64(line, "total_us", (rt_now() - started) / RT_US);
    put_str(line, "agent", http_header(x, STR("user-agent")));
}

void access_log_put(struct access_log *l, const struct http_exchange *x,
                    const struct access_entry *e)
{
    struct shard *s = &l->shards[rt_thread_index()];
    struct log_line line;
    if (!log_enabled(LOG_INFO))
        return;
    size_t before = s->lines.len;
    log_begin_in(&line, &s->lines, LOG_INFO, "request");
    put_fields(&line, x, e);
    log_end_in(&line, &s->lines);
    if (s->lines.len == before)
        s->dropped++;
    care_for(s);
}

void access_log_close(struct access_log *l)
{
    if (!l)
        return;
    __atomic_store_n(&l->closing, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < l->shard_count; i++) {
        struct shard *s = &l->shards[i];
        rt_lock(&s->lock);
        rt_wake_all(&s->wake);
        while (s->running) /* RT_NEVER: the writer ends by itself, whatever the log's reader does */
            rt_wait_uncancelled(&s->wake, &s->lock, RT_NEVER);
        rt_unlock(&s->lock);
        log_write(buf_str(&s->lines), NULL); /* only if no writer could be started */
        buf_release(&s->lines);
        buf_release(&s->spare);
    }
    free(l);
}
