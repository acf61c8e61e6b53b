/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Writing the log. Lines are sealed into a queue under the lock, so their order is that of the
 * chain; the writer, a fiber, takes the queue as a whole, has it written behind what is there in
 * every copy, and wakes who waits. A write that fails in all of them is tried again with the same
 * bytes at the same place. Between writes it brings up copies that are behind.
 *
 * Invariants
 *  1. The queue holds the lines behind those in the files, without a gap.
 *  2. `durable_seq` and all before it are synced in every copy that is in.
 */

#include "audit/audit.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include "audit/copies.h"
#include "audit/refused.h"
#include "base/log.h"

#define FILE_DEFAULT  (64 * MIB)
#define KEEP_DEFAULT  (1 * GIB)
#define DAYS_DEFAULT  90
#define RETRY_NS      (1 * RT_S)
#define BEGIN_WAIT_NS (10 * RT_S)
#define DAY_MS        (86400ULL * 1000)
#define OPENING_STEPS 16 /* for copies that are not far behind */

struct audit {
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
    struct audit_place *places; /* to be gone by; NULL: as before */
    unsigned place_count;
    struct audit_copy_status status[AUDIT_COPIES_MAX];
    unsigned status_count;

    /* The writer's own. */
    struct rt_fiber *fiber;
    struct audit_copies copies;
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

int FIBER audit_flush(struct audit *a)
{
    rt_lock(&a->lock);
    uint64_t seq = a->seq;
    a->hurry = true;
    rt_wake_all(&a->work);
    rt_unlock(&a->lock);
    return wait_written(a, seq);
}

/* ---- copies --------------------------------------------------------------------------------- */

static_assert(sizeof(((struct audit_copy_status *)0)->dir) >= AUDIT_DIR_MAX, "the path fits");

static void begin_record(struct audit *a, const char *operation, const char *text);

/* Told in the log itself as well: who has only one copy sees when it was not the only one. */
static void tell_copy(void *arg, enum audit_copy_change what, const struct audit_copy *k)
{
    static const struct {
        enum log_level level;
        const char *operation, *text;
    } tells[] = {
        [AUDIT_COPY_IN] = {LOG_INFO, "audit:copy-in", "a copy of the audit log is whole"},
        [AUDIT_COPY_OUT] = {LOG_ERROR, "audit:copy-out", "a copy of the audit log is behind"},
        [AUDIT_COPY_ASIDE] = {LOG_ERROR, "audit:copy-aside",
                              "what was in a copy of the audit log was not the log's, or damaged: "
                              "it is put aside"},
    };
    char text[AUDIT_DIR_MAX + 128];
    snprintf(text, sizeof(text), "%s%s%s", k->dir, k->err ? ": " : "",
             k->err ? err_text(k->err) : "");
    begin_record(arg, tells[what].operation, text);
    log_event(tells[what].level, tells[what].text, "%s", text);
}

/* What others may see of the copies. */
static void show_copies(struct audit *a)
{
    rt_lock(&a->lock);
    a->status_count = a->copies.count;
    for (unsigned i = 0; i < a->copies.count; i++) {
        const struct audit_copy *k = a->copies.at[i];
        struct audit_copy_status *s = &a->status[i];
        snprintf(s->dir, sizeof(s->dir), "%s", k->dir);
        s->in = k->in;
        s->err = k->err;
    }
    rt_unlock(&a->lock);
}

unsigned audit_copies(struct audit *a, struct audit_copy_status ret[AUDIT_COPIES_MAX])
{
    rt_lock(&a->lock);
    unsigned count = a->status_count;
    memcpy(ret, a->status, count * sizeof(*ret));
    rt_unlock(&a->lock);
    return count;
}

void audit_dir(struct audit *a, char ret[AUDIT_PATH_MAX])
{
    rt_lock(&a->lock);
    const struct audit_copy_status *s = &a->status[0];
    for (unsigned i = 0; !s->in && i + 1 < a->status_count; i++)
        s++;
    memcpy(ret, s->dir, sizeof(s->dir));
    rt_unlock(&a->lock);
}

static void places_free(struct audit_place *places, unsigned count)
{
    for (unsigned i = 0; places && i < count; i++)
        free((void *)(uintptr_t)places[i].dir);
    free(places);
}

/* Without memory it is as before: whoever tells of the disks tells again. */
void audit_set_places(struct audit *a, const struct audit_place *places, unsigned count)
{
    struct audit_place *copy = calloc(MAX(count, 1u), sizeof(*copy));
    for (unsigned i = 0; copy && i < count; i++) {
        copy[i] = (struct audit_place){strdup(places[i].dir), places[i].there};
        if (!copy[i].dir) {
            places_free(copy, count);
            copy = NULL;
        }
    }
    if (!copy)
        return;
    rt_lock(&a->lock);
    struct audit_place *old = a->places;
    unsigned old_count = a->place_count;
    a->places = copy;
    a->place_count = count;
    rt_unlock(&a->lock);
    places_free(old, old_count);
}

static void FIBER follow_places(struct audit *a)
{
    rt_lock(&a->lock);
    struct audit_place *places = TAKE_PTR(a->places);
    unsigned count = a->place_count;
    rt_unlock(&a->lock);
    if (places)
        copies_set_places(&a->copies, places, count);
    places_free(places, count);
}

/* ---- removing ------------------------------------------------------------------------------- */

static void tell_removed(struct audit *a, const struct audit_kept *f)
{
    char text[96];
    snprintf(text, sizeof(text), "%08u.log, %llu bytes", f->number, (unsigned long long)f->bytes);
    audit_put(a, &(struct audit_record){.operation = STR("audit:remove-file"),
                                        .outcome = AUDIT_DONE,
                                        .before = str_from(text)});
}

/* The oldest file goes when it is too old, or all are too many. */
static void FIBER remove_old(struct audit *a)
{
    struct audit_copies *c = &a->copies;
    uint64_t sum = c->off, now_ms = rt_wall_ms();
    for (size_t i = 0; i < c->kept_count; i++)
        sum += c->kept[i].bytes;
    while (c->kept_count) {
        struct audit_kept f = c->kept[0];
        bool old = f.last_ms + a->keep_days * DAY_MS < now_ms;
        int r = old || sum > a->keep_bytes ? copies_remove_oldest(c) : -ENOENT;
        if (r < 0)
            return;
        if (r > 0)
            tell_removed(a, &f);
        sum -= f.bytes;
    }
}

/* ---- the writer ----------------------------------------------------------------------------- */

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
        log_event(LOG_ERROR, "the audit log cannot be written, will be tried again", "%s",
                  err_text(r));
}

/* Takes the queue when there is one and it is time; false: nothing is left and it ends. */
static bool FIBER take_queue(struct audit *a, bool at_once, struct buf *ret, uint64_t *ret_seq)
{
    uint64_t deadline = rt_now() + (at_once ? 0 : AUDIT_FLUSH_NS);
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
static void FIBER write_whole(struct audit *a, struct audit_lines *lines, uint64_t seq)
{
    for (;;) {
        int r = copies_write(&a->copies, lines, a->file_bytes);
        show_copies(a);
        note_result(a, r, seq, lines->buf.len);
        if (r == 0 || stopped(a))
            return;
        rt_lock(&a->lock);
        uint64_t until = rt_now() + RETRY_NS;
        while (!a->stop && rt_now() < until)
            rt_wait_uncancelled(&a->work, &a->lock, until);
        rt_unlock(&a->lock);
    }
}

/* Without memory for a handle nothing can go on: what was sealed must be written. */
static struct audit_lines *FIBER lines_of(struct buf *b)
{
    struct audit_lines *l = NULL;
    while (!(l = audit_lines_new(b)))
        rt_sleep_until(rt_now() + RETRY_NS);
    return l;
}

static int FIBER writer_main(void *arg)
{
    struct audit *a = arg;
    struct buf queue;
    uint64_t seq;
    bool more = false;
    while (take_queue(a, more, &queue, &seq)) {
        if (queue.len) {
            struct audit_lines *lines = lines_of(&queue);
            write_whole(a, lines, seq);
            audit_lines_unref(lines);
        }
        buf_release(&queue);
        remove_old(a);
        tell_refused(a, false);
        follow_places(a);
        more = copies_bring_up(&a->copies);
        show_copies(a);
    }
    buf_release(&queue);
    return 0;
}

/* ---- the start ------------------------------------------------------------------------------ */

static void begin_record(struct audit *a, const char *operation, const char *text)
{
    audit_put(a, &(struct audit_record){.operation = str_from(operation),
                                        .outcome = AUDIT_DONE,
                                        .after = str_from(text)});
}

/* Goes on behind the last whole line. */
static void go_on(struct audit *a, const struct audit_found *found)
{
    char text[96];
    memset(a->hash, '0', sizeof(a->hash));
    a->seq = a->durable_seq = found->seq;
    if (found->any && found->sound)
        memcpy(a->hash, found->hash, AUDIT_HASH_LEN);
    snprintf(text, sizeof(text), "%llu bytes of an unfinished record were cut off",
             (unsigned long long)found->torn_bytes);
    if (found->torn_bytes)
        begin_record(a, "audit:cut", text);
    if (found->any && !found->sound)
        begin_record(a, "audit:broken", "the last record before this one is damaged");
}

int FIBER audit_open(struct audit **ret, const struct audit_config *config)
{
    struct audit *a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->required = config->required;
    a->file_bytes = config->file_bytes ? config->file_bytes : FILE_DEFAULT;
    a->keep_bytes = config->keep_bytes ? config->keep_bytes : KEEP_DEFAULT;
    a->keep_days = config->keep_days ? config->keep_days : DAYS_DEFAULT;
    rt_lock_init(&a->lock);
    rt_waitq_init(&a->work);
    rt_waitq_init(&a->written);
    buf_init(&a->queue, AUDIT_QUEUE_MAX);
    a->copies.tell = tell_copy;
    a->copies.tell_arg = a;
    struct audit_found found = {.any = false};
    int r = copies_open(&a->copies, config->places, config->place_count, &found);
    go_on(a, &found);
    for (unsigned i = 0; r == 0 && i < OPENING_STEPS && copies_bring_up(&a->copies); i++)
        ;
    show_copies(a);
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
    copies_close(&a->copies);
    buf_release(&a->queue);
    places_free(a->places, a->place_count);
    free(a);
}

void audit_metrics(struct buf *out, void *arg)
{
    struct audit *a = arg;
    rt_lock(&a->lock);
    uint64_t records = a->records, lost = a->lost_total, errors = a->errors;
    uint64_t bytes = a->bytes_written, waiting = a->queue.len, refused = a->refused.total;
    unsigned copies = a->status_count, behind = 0;
    for (unsigned i = 0; i < copies; i++)
        behind += !a->status[i].in;
    rt_unlock(&a->lock);
    metrics_single(out, "cairn_audit_copies", "gauge",
                   "Directories that hold the audit log, those that are behind among them.",
                   copies);
    metrics_single(out, "cairn_audit_copies_behind", "gauge",
                   "Directories of the audit log that lack records.", behind);
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
