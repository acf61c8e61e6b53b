/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Writing the log. Lines are sealed into a queue under the lock, so their order is that of the
 * chain; the writer, a fiber, takes the queue as a whole, writes it behind what is there, syncs,
 * and wakes who waits. A write that fails is tried again with the same bytes at the same place.
 *
 * Invariants
 *  1. The queue holds the lines behind those in the files, without a gap.
 *  2. `durable_seq` and all before it are synced.
 */

#include "audit/audit.h"
#include <stdio.h>
#include <stdlib.h>
#include "audit/files.h"
#include "audit/line.h"
#include "audit/refused.h"
#include "base/log.h"

#define FILE_DEFAULT  (64 * MIB)
#define KEEP_DEFAULT  (1 * GIB)
#define DAYS_DEFAULT  90
#define RETRY_NS      (1 * RT_S)
#define BEGIN_WAIT_NS (10 * RT_S)
#define DAY_MS        (86400ULL * 1000)

struct kept_file {
    uint32_t number;
    uint64_t bytes, last_ms; /* of its last record, as far as it is known */
};

struct audit {
    char dir[PATH_MAX - 32];
    bool required;
    uint64_t file_bytes, keep_bytes;
    unsigned keep_days;

    struct rt_lock lock; /* guards: */
    struct buf queue;
    uint64_t seq, durable_seq; /* of the last line sealed; written */
    char hash[AUDIT_HASH_LEN];
    uint64_t lost; /* since the last line */
    int err;       /* of the last write */
    bool hurry;    /* somebody waits */
    bool stop;
    struct rt_waitq work, written;
    uint64_t records, lost_total, errors, bytes_written;
    struct refusals refused;

    /* The writer's own. */
    struct rt_fiber *fiber;
    struct rt_file *file;
    uint32_t number;
    uint64_t off;
    struct kept_file *kept; /* files before this one, oldest first */
    size_t kept_count;
};

/* ---- lines ---------------------------------------------------------------------------------- */

/* Under the lock. */
static bool seal(struct audit *a, struct str body)
{
    size_t start = a->queue.len;
    char hash[AUDIT_HASH_LEN];
    memcpy(hash, a->hash, sizeof(hash));
    buf_put_str(&a->queue, body);
    audit_line_seal(&a->queue, start, a->seq + 1, hash);
    if (buf_error(&a->queue) < 0) { /* no memory: as if it had not been tried */
        a->queue.len = start;
        a->queue.failed = false;
        return false;
    }
    memcpy(a->hash, hash, sizeof(hash));
    a->seq++;
    a->records++;
    return true;
}

static void note_lost(struct audit *a)
{
    char text[64];
    struct buf b;
    snprintf(text, sizeof(text), "%llu records were lost", (unsigned long long)a->lost);
    struct audit_record r = {
        .operation = STR("audit:lost"), .outcome = AUDIT_FAILED, .after = str_from(text)};
    buf_init(&b, AUDIT_LINE_MAX);
    audit_line_body(&b, &r, rt_wall_ms());
    if (buf_error(&b) == 0 && seal(a, buf_str(&b)))
        a->lost = 0;
    buf_release(&b);
}

/* The sequence it got, or 0: it was lost. */
static uint64_t append(struct audit *a, const struct audit_record *r, bool hurry)
{
    struct buf body;
    uint64_t seq = 0;
    buf_init(&body, AUDIT_LINE_MAX - KIB);
    (void)buf_reserve(&body, 1 * KIB); /* most are shorter */
    audit_line_body(&body, r, rt_wall_ms());
    bool ok = buf_error(&body) == 0;
    rt_lock(&a->lock);
    ok = ok && a->queue.len + 2 * AUDIT_LINE_MAX < AUDIT_QUEUE_MAX;
    if (ok && a->lost)
        note_lost(a);
    if (ok && seal(a, buf_str(&body))) {
        seq = a->seq;
    } else {
        a->lost++;
        a->lost_total++;
    }
    a->hurry = a->hurry || hurry;
    if (hurry || a->queue.len > AUDIT_QUEUE_MAX / 8)
        rt_wake_all(&a->work);
    rt_unlock(&a->lock);
    buf_release(&body);
    return seq;
}

void audit_put(struct audit *a, const struct audit_record *r)
{
    if (a)
        append(a, r, false);
}

/* What an interval of refusals counted. */
static void tell_refused(struct audit *a, bool at_once)
{
    struct refusals ended;
    char text[96];
    rt_lock(&a->lock);
    bool any = refused_end(&a->refused, rt_now(), at_once, &ended);
    rt_unlock(&a->lock);
    for (unsigned i = 0; any && i < ended.row_count; i++) {
        struct audit_record r = refused_record(&ended, &ended.rows[i], text);
        append(a, &r, false);
    }
    if (any && ended.others) {
        struct audit_record r = refused_record(&ended, NULL, text);
        append(a, &r, false);
    }
}

void audit_put_refused(struct audit *a, const struct audit_record *r)
{
    if (!a)
        return;
    tell_refused(a, false);
    rt_lock(&a->lock);
    bool whole = refused_take(&a->refused, r, rt_now(), rt_wall_ms());
    rt_unlock(&a->lock);
    if (whole)
        append(a, r, false);
}

/* Until the line is on disk. */
static int FIBER wait_written(struct audit *a, uint64_t seq)
{
    uint64_t deadline = rt_now() + BEGIN_WAIT_NS;
    int r = 0;
    rt_lock(&a->lock);
    while (r == 0 && a->durable_seq < seq && a->err == 0)
        r = rt_wait(&a->written, &a->lock, deadline);
    if (a->durable_seq >= seq)
        r = 0;
    else if (r == 0 || r == -ETIMEDOUT)
        r = -ERR_UNAVAILABLE;
    rt_unlock(&a->lock);
    return r;
}

int FIBER audit_begin(struct audit *a, const struct audit_record *r)
{
    if (!a || !a->required)
        return 0;
    uint64_t seq = append(a, r, true);
    return seq ? wait_written(a, seq) : -ERR_UNAVAILABLE;
}

bool audit_is_required(const struct audit *a)
{
    return a && a->required;
}

const char *audit_dir(const struct audit *a)
{
    return a->dir;
}

int FIBER audit_flush(struct audit *a)
{
    rt_lock(&a->lock);
    uint64_t seq = a->seq;
    a->hurry = true;
    rt_wake_all(&a->work);
    rt_unlock(&a->lock);
    return wait_written(a, seq);
}

/* ---- files ---------------------------------------------------------------------------------- */

static int FIBER open_file(struct audit *a, uint32_t number, uint64_t off)
{
    char path[PATH_MAX];
    audit_file_path(a->dir, number, path);
    int r = rt_file_open(&a->file, path, RT_OPEN_WRITE | RT_OPEN_CREATE);
    if (r == 0)
        r = rt_dir_sync(a->dir);
    if (r < 0)
        return r;
    a->number = number;
    a->off = off;
    return 0;
}

static int keep_file(struct audit *a, uint32_t number, uint64_t bytes, uint64_t last_ms)
{
    struct kept_file *more = reallocarray(a->kept, a->kept_count + 1, sizeof(*more));
    if (!more)
        return -ENOMEM;
    a->kept = more;
    a->kept[a->kept_count++] = (struct kept_file){number, bytes, last_ms};
    return 0;
}

/* Kept once, however often the next file cannot be made. */
static int FIBER next_file(struct audit *a)
{
    if (a->off < a->file_bytes)
        return 0;
    int r = keep_file(a, a->number, a->off, rt_wall_ms());
    if (r < 0)
        return r;
    rt_file_close(TAKE_PTR(a->file));
    r = open_file(a, a->number + 1, 0);
    if (r < 0)
        a->kept_count--;
    return r;
}

static void tell_removed(struct audit *a, const struct kept_file *f)
{
    char text[96];
    snprintf(text, sizeof(text), "%08u.log, %llu bytes", f->number, (unsigned long long)f->bytes);
    audit_put(a, &(struct audit_record){.operation = STR("audit:remove-file"),
                                        .outcome = AUDIT_DONE,
                                        .before = str_from(text)});
}

/* False: it is still there. Whoever took it away himself has done what there was to do. */
static bool FIBER remove_file(struct audit *a, const struct kept_file *f)
{
    char path[PATH_MAX];
    audit_file_path(a->dir, f->number, path);
    int r = rt_unlink(path);
    if (r == 0)
        tell_removed(a, f);
    return r == 0 || r == -ENOENT;
}

/* The oldest file goes when it is too old, or all are too many. */
static void FIBER remove_old(struct audit *a)
{
    uint64_t sum = a->off, now_ms = rt_wall_ms();
    for (size_t i = 0; i < a->kept_count; i++)
        sum += a->kept[i].bytes;
    while (a->kept_count) {
        struct kept_file f = a->kept[0];
        bool old = f.last_ms + a->keep_days * DAY_MS < now_ms;
        if ((!old && sum <= a->keep_bytes) || !remove_file(a, &f))
            return;
        sum -= f.bytes;
        memmove(a->kept, a->kept + 1, --a->kept_count * sizeof(f));
    }
}

/* ---- the writer ----------------------------------------------------------------------------- */

static int FIBER write_lines(struct audit *a, struct str lines)
{
    struct iovec iov = {(void *)(uintptr_t)lines.ptr, lines.len};
    int r = next_file(a);
    if (r == 0 && !a->file)
        r = open_file(a, a->number, a->off);
    if (r == 0)
        r = rt_file_write(a->file, &iov, 1, a->off);
    if (r == 0)
        r = rt_file_sync(a->file);
    /* After a failed sync nothing is known of the page cache: the next try is by a new handle. */
    if (r < 0 && a->file)
        rt_file_close(TAKE_PTR(a->file));
    return r;
}

static void note_result(struct audit *a, int r, uint64_t seq, size_t len)
{
    rt_lock(&a->lock);
    bool first = r < 0 && a->err == 0;
    a->err = r;
    a->errors += r < 0;
    if (r == 0) {
        a->durable_seq = seq;
        a->bytes_written += len;
    }
    rt_wake_all(&a->written);
    rt_unlock(&a->lock);
    if (first)
        log_event(LOG_ERROR, "the audit log cannot be written, will be tried again", "%s: %s",
                  a->dir, err_text(r));
}

/* Takes the queue when there is one and it is time; false: nothing is left and it ends. */
static bool FIBER take_queue(struct audit *a, struct buf *ret, uint64_t *ret_seq)
{
    uint64_t deadline = rt_now() + AUDIT_FLUSH_NS;
    rt_lock(&a->lock);
    while (!a->stop && !a->hurry && a->queue.len < AUDIT_QUEUE_MAX / 8)
        if (rt_wait_uncancelled(&a->work, &a->lock, deadline) == -ETIMEDOUT)
            break;
    a->hurry = false;
    *ret = a->queue;
    *ret_seq = a->seq;
    buf_init(&a->queue, AUDIT_QUEUE_MAX);
    bool more = ret->len > 0 || !a->stop;
    rt_unlock(&a->lock);
    return more;
}

static bool stopped(struct audit *a)
{
    rt_lock(&a->lock);
    bool stop = a->stop;
    rt_unlock(&a->lock);
    return stop;
}

/* Until it is written, or the end comes and it cannot be. */
static void FIBER write_whole(struct audit *a, const struct buf *lines, uint64_t seq)
{
    for (;;) {
        int r = write_lines(a, buf_str(lines));
        if (r == 0)
            a->off += lines->len;
        note_result(a, r, seq, lines->len);
        if (r == 0 || stopped(a))
            return;
        rt_lock(&a->lock);
        uint64_t until = rt_now() + RETRY_NS;
        while (!a->stop && rt_now() < until)
            rt_wait_uncancelled(&a->work, &a->lock, until);
        rt_unlock(&a->lock);
    }
}

static int FIBER writer_main(void *arg)
{
    struct audit *a = arg;
    struct buf lines;
    uint64_t seq;
    while (take_queue(a, &lines, &seq)) {
        if (lines.len)
            write_whole(a, &lines, seq);
        buf_release(&lines);
        remove_old(a);
        tell_refused(a, false);
    }
    buf_release(&lines);
    return 0;
}

/* ---- the start ------------------------------------------------------------------------------ */

struct last_line {
    struct audit_link link;
    bool any, sound;
};

static int note_last(struct str line, void *arg)
{
    struct last_line *l = arg;
    l->sound = audit_line_link(line, &l->link) && l->link.intact;
    l->any = true;
    return 0;
}

static void begin_record(struct audit *a, const char *operation, const char *text)
{
    audit_put(a, &(struct audit_record){.operation = str_from(operation),
                                        .outcome = AUDIT_DONE,
                                        .after = str_from(text)});
}

/* Cuts what a crash left of a line. */
static int FIBER cut_torn(struct audit *a, uint64_t whole, uint64_t *ret_torn)
{
    uint64_t size;
    int r = rt_file_size(a->file, &size);
    if (r < 0 || size == whole)
        return r;
    *ret_torn = size - whole;
    r = rt_file_truncate(a->file, whole);
    return r < 0 ? r : rt_file_sync(a->file);
}

/* The last record before a file in which there is none yet: a crash, or a full disk, came between
 * its making and its first. */
static int FIBER look_back(struct audit *a, const struct audit_files *files, struct last_line *last)
{
    char path[PATH_MAX];
    uint64_t whole;
    int r = 0;
    for (size_t i = files->count - 1; r == 0 && !last->any && i > 0; i--) {
        audit_file_path(a->dir, files->numbers[i - 1], path);
        r = audit_file_lines(path, note_last, last, &whole);
    }
    return r;
}

/* Goes on in the last file, behind its last whole line. */
static int FIBER go_on(struct audit *a, const struct audit_files *files)
{
    struct last_line last = {.any = false};
    char path[PATH_MAX], text[96];
    uint64_t whole = 0, torn = 0;
    uint32_t number = files->numbers[files->count - 1];
    audit_file_path(a->dir, number, path);
    int r = audit_file_lines(path, note_last, &last, &whole);
    if (r == 0)
        r = look_back(a, files, &last);
    if (r == 0)
        r = open_file(a, number, whole);
    if (r == 0)
        r = cut_torn(a, whole, &torn);
    if (r < 0)
        return r;
    if (last.any && last.sound) {
        a->seq = a->durable_seq = last.link.seq;
        memcpy(a->hash, last.link.hash, AUDIT_HASH_LEN);
    }
    snprintf(text, sizeof(text), "%llu bytes of an unfinished record were cut off",
             (unsigned long long)torn);
    if (torn)
        begin_record(a, "audit:cut", text);
    if (last.any && !last.sound)
        begin_record(a, "audit:broken", "the last record before this one is damaged");
    return 0;
}

/* A file whose last record nobody wrote is continued by the writer alone; the others are kept. */
static int FIBER find_files(struct audit *a)
{
    struct audit_files files;
    int r = audit_files_list(a->dir, &files);
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i + 1 < files.count; i++) {
        char path[PATH_MAX];
        struct rt_file *f;
        uint64_t bytes = 0;
        audit_file_path(a->dir, files.numbers[i], path);
        r = rt_file_open(&f, path, RT_OPEN_READ);
        if (r == 0) {
            r = rt_file_size(f, &bytes);
            rt_file_close(f);
        }
        /* Its age counts from now: it may stay longer than it must, not shorter. */
        if (r == 0)
            r = keep_file(a, files.numbers[i], bytes, rt_wall_ms());
    }
    memset(a->hash, '0', sizeof(a->hash));
    if (r == 0)
        r = files.count ? go_on(a, &files) : open_file(a, 1, 0);
    free(files.numbers);
    return r;
}

int FIBER audit_open(struct audit **ret, const struct audit_config *config)
{
    struct audit *a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    snprintf(a->dir, sizeof(a->dir), "%s", config->dir);
    a->required = config->required;
    a->file_bytes = config->file_bytes ? config->file_bytes : FILE_DEFAULT;
    a->keep_bytes = config->keep_bytes ? config->keep_bytes : KEEP_DEFAULT;
    a->keep_days = config->keep_days ? config->keep_days : DAYS_DEFAULT;
    rt_lock_init(&a->lock);
    rt_waitq_init(&a->work);
    rt_waitq_init(&a->written);
    buf_init(&a->queue, AUDIT_QUEUE_MAX);
    int r = rt_mkdir(a->dir);
    if (r == 0)
        r = find_files(a);
    begin_record(a, "audit:start", a->required ? "required" : "on");
    if (r == 0)
        r = rt_spawn(&a->fiber, "audit", writer_main, a);
    if (r == 0 && a->required)
        r = audit_flush(a);
    if (r < 0)
        audit_close(a);
    else
        *ret = a;
    return r;
}

void FIBER audit_close(struct audit *a)
{
    if (!a)
        return;
    if (a->fiber) {
        tell_refused(a, true);
        begin_record(a, "audit:stop", "");
        rt_lock(&a->lock);
        a->stop = true;
        rt_wake_all(&a->work);
        rt_unlock(&a->lock);
        rt_join(a->fiber);
    }
    rt_file_close(a->file);
    buf_release(&a->queue);
    free(a->kept);
    free(a);
}

void audit_metrics(struct buf *out, void *arg)
{
    struct audit *a = arg;
    rt_lock(&a->lock);
    uint64_t records = a->records, lost = a->lost_total, errors = a->errors;
    uint64_t bytes = a->bytes_written, waiting = a->queue.len, refused = a->refused.total;
    rt_unlock(&a->lock);
    metrics_single(out, "cairn_audit_records_total", "counter", "Records of the audit log.",
                   records);
    metrics_single(out, "cairn_audit_lost_total", "counter",
                   "Records that the audit log could not take.", lost);
    metrics_single(out, "cairn_audit_refused_total", "counter",
                   "Requests without a good signature that were refused.", refused);
    metrics_single(out, "cairn_audit_errors_total", "counter",
                   "Writes of the audit log that failed.", errors);
    metrics_single(out, "cairn_audit_bytes_total", "counter", "Bytes written to the audit log.",
                   bytes);
    metrics_single(out, "cairn_audit_waiting_bytes", "gauge",
                   "Bytes that wait to be written there.", waiting);
}
