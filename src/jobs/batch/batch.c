/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The job of batch.h: a round is a piece of the check, a step, or an object of the report.
 *
 * Why a line is done once: a step's number is that of its first line. It is run, and what became of
 * it is in its bucket; then the place behind it, and its lines of the report, become durable
 * together. Whatever fails or dies in between has the job begin again from the durable place, where
 * the same lines make the same step, which the store has done already. So that a step is always
 * asked for again, a job that is cancelled after a restart does one step first.
 */

#include <stdio.h>
#include "audit/audit.h"
#include "base/log.h"
#include "jobs/batch/internal.h"
#include "store/steps.h"

#define INTERVAL_MS 1000
#define BYTES_PER_S (64 * MIB) /* of manifests */
#define CHECK_LINES 2000       /* a round */
#define FLUSH_BYTES (4 * MIB)  /* of the report: then they are an object */
#define DETAIL_MAX  (512 + BATCH_WHY_MAX)

static_assert(BATCH_STEP <= STORE_STEP_MAX, "a step is one of the store's");

/* ---- the table ------------------------------------------------------------------------------ */

static void show(struct batch_job *b, const struct batch_state *s)
{
    rt_lock(&b->lock);
    for (size_t i = 0; i < b->count; i++)
        if (b->table[i]->state.id == s->id)
            b->table[i]->state = *s;
    rt_unlock(&b->lock);
}

int FIBER batch_keep(struct batch_job *b, const struct batch_keep *k)
{
    int r = batch_rows_keep(b->jobs->config.meta, b->at, k);
    if (r == 0)
        show(b, b->at);
    return r;
}

/* Nothing is at hand: the next round begins at what is durable. */
static void let_go(struct batch_job *b)
{
    batch_source_free(b->source);
    free(b->at);
    b->source = NULL;
    b->at = NULL;
    b->stepped = false;
    b->held = (struct manifest_line){.bucket = STR("")};
}

/* The first that is not over; *ret_cancel: it is to be. False: there is none. */
static bool find_next(struct batch_job *b, struct batch_state *ret, bool *ret_cancel)
{
    bool found = false;
    rt_lock(&b->lock);
    for (size_t i = 0; i < b->count && !found; i++) {
        found = !batch_is_over(b->table[i]->state.phase);
        if (found && (!b->at || b->at->id != b->table[i]->state.id))
            *ret = b->table[i]->state;
        if (found)
            *ret_cancel = b->table[i]->cancel;
    }
    rt_unlock(&b->lock);
    return found;
}

/* One that waits behind others and is to be cancelled. */
static bool find_cancelled(struct batch_job *b, struct batch_state *ret)
{
    bool found = false;
    rt_lock(&b->lock);
    for (size_t i = 0; i < b->count && !found; i++) {
        const struct batch_entry *e = b->table[i];
        found = e->cancel && e->state.phase == BATCH_WAITING;
        if (found)
            *ret = e->state;
    }
    rt_unlock(&b->lock);
    return found;
}

/* The oldest that is over, when there are too many. */
static uint64_t find_old(struct batch_job *b)
{
    size_t over = 0;
    uint64_t first = 0;
    rt_lock(&b->lock);
    for (size_t i = 0; i < b->count; i++) {
        if (!batch_is_over(b->table[i]->state.phase))
            continue;
        if (over++ == 0)
            first = b->table[i]->state.id;
    }
    rt_unlock(&b->lock);
    return over > BATCH_KEPT_MAX ? first : 0;
}

static void take_out(struct batch_job *b, uint64_t id)
{
    size_t kept = 0;
    rt_lock(&b->lock);
    for (size_t i = 0; i < b->count; i++) {
        if (b->table[i]->state.id == id)
            free(b->table[i]);
        else
            b->table[kept++] = b->table[i];
    }
    b->count = kept;
    rt_unlock(&b->lock);
}

static int FIBER forget_old(struct batch_job *b)
{
    int r = 0;
    for (uint64_t id = find_old(b); r == 0 && id; id = find_old(b)) {
        r = batch_rows_delete(b->jobs->config.meta, id);
        if (r == 0)
            take_out(b, id);
    }
    return r;
}

/* ---- telling -------------------------------------------------------------------------------- */

static void audit_end(struct batch_job *b, const struct batch_state *s)
{
    char text[DETAIL_MAX];
    int len = snprintf(text, sizeof(text),
                       "{\"phase\":\"%s\",\"action\":\"%s\",\"total\":%llu,\"done\":%llu,"
                       "\"failed\":%llu}",
                       batch_phase_text(s->phase), batch_action_text(s->action),
                       (unsigned long long)s->total, (unsigned long long)s->done,
                       (unsigned long long)s->failed);
    struct audit_record record = {
        .operation = STR("batch:End"),
        .outcome = s->phase == BATCH_DONE ? AUDIT_DONE : AUDIT_FAILED,
        .user = job_text_str(&s->user),
        .access_key = job_text_str(&s->access_key),
        .source = job_text_str(&s->source),
        .request_id = job_text_str(&s->request_id),
        .bucket = job_text_str(&s->manifest_bucket),
        .key = job_text_str(&s->manifest_key),
        .after = str_make(text, (size_t)MIN(len, (int)sizeof(text) - 1)),
    };
    audit_put(b->jobs->audit, &record);
}

static void tell_end(const struct batch_state *s)
{
    struct log_line line;
    log_begin(&line, s->phase == BATCH_FAILED ? LOG_WARN : LOG_INFO, "a batch job is over");
    log_u64(&line, "id", s->id);
    log_str(&line, "phase", str_from(batch_phase_text(s->phase)));
    log_u64(&line, "done", s->done);
    log_u64(&line, "failed", s->failed);
    if (s->why_len)
        log_str(&line, "why", str_make(s->why, s->why_len));
    log_end(&line);
}

/* ---- phases --------------------------------------------------------------------------------- */

/* The last step is told of in the durable state: its row has done its work. */
static int FIBER forget_step(struct batch_job *b, struct str bucket)
{
    struct store *store = b->jobs->config.store;
    struct store_bucket found = {0};
    int r = store_bucket_get(store, b->arena, bucket, &found);
    if (r == -ERR_NO_SUCH_BUCKET)
        return 0;
    if (r == 0)
        r = store_step_forget(store, found.id, b->at->id);
    store_bucket_release(&found);
    return r;
}

static int FIBER unmark(struct batch_job *b)
{
    struct str bucket = job_text_str(&b->at->marked);
    int r = bucket.len ? forget_step(b, bucket) : 0;
    if (r == 0)
        b->at->marked.len = 0;
    return r;
}

static int FIBER finish(struct batch_job *b)
{
    struct batch_state *s = b->at;
    const struct batch_keep keep = {.drop_log = true, .log_from = s->log_first, .drop_files = true};
    s->phase = s->outcome;
    s->log_first = s->log_next;
    s->log_bytes = 0;
    s->ended_ms = rt_wall_ms();
    int r = batch_keep(b, &keep);
    if (r < 0)
        return r;
    audit_end(b, s);
    tell_end(s);
    jobs_count(&b->ended, 1);
    let_go(b);
    return forget_old(b);
}

/* What was done is reported, however it ends. */
static int FIBER end(struct batch_job *b, enum batch_phase outcome)
{
    struct batch_state *s = b->at;
    bool report = s->phase == BATCH_RUNNING && s->report_bucket.len;
    s->outcome = outcome;
    int r = unmark(b);
    if (r < 0)
        return r;
    if (!report)
        return finish(b);
    s->phase = BATCH_REPORTING;
    return batch_keep(b, NULL);
}

static int FIBER begin(struct batch_job *b)
{
    b->at->phase = BATCH_CHECKING;
    b->at->begun_ms = rt_wall_ms();
    return batch_keep(b, NULL);
}

/* A failure of the manifest that stays ends the job; others are tried again. */
static int FIBER give_up(struct batch_job *b, int err)
{
    const char *why = b->source ? batch_source_why(b->source) : "";
    if (!*why)
        return err;
    batch_set_why(b->at, "%s", why);
    return end(b, BATCH_FAILED);
}

static int open_source(struct batch_job *b)
{
    return b->source ? 0 : batch_source_new(&b->source, b->jobs, b->job, b->at);
}

static int FIBER spend_read(struct batch_job *b)
{
    return job_spend(b->job, b->source ? batch_source_spent(b->source) : 0, 0);
}

/* ---- checking ------------------------------------------------------------------------------- */

/* From the beginning once more, to do what the lines say. */
static int FIBER begin_running(struct batch_job *b)
{
    struct batch_state *s = b->at;
    s->fields = s->inventory ? 0 : batch_source_fields(b->source);
    s->place = (struct batch_place){0};
    s->phase = BATCH_RUNNING;
    batch_source_free(b->source);
    b->source = NULL;
    return batch_keep(b, NULL);
}

static int FIBER check(struct batch_job *b)
{
    struct batch_state *s = b->at;
    struct manifest_line line;
    int r = open_source(b);
    for (unsigned i = 0; r >= 0 && i < CHECK_LINES; i++) {
        struct batch_place place;
        arena_reset(b->arena);
        r = batch_source_next(b->source, b->arena, &line, &place);
        if (r < 0)
            return give_up(b, r);
        if (r == 0)
            return begin_running(b);
        s->place = place;
        s->total++;
    }
    if (r >= 0)
        s->fields = s->inventory ? 0 : batch_source_fields(b->source);
    if (r >= 0)
        r = batch_keep(b, NULL);
    return r < 0 ? r : spend_read(b);
}

/* ---- running -------------------------------------------------------------------------------- */

/* The next line: the one that was held back, or a new one. As batch_source_next(). */
static int FIBER next_line(struct batch_job *b, struct manifest_line *ret,
                           struct batch_place *place)
{
    if (!b->held.bucket.len)
        return batch_source_next(b->source, b->arena, ret, place);
    *ret = b->held;
    *place = b->held_place;
    b->held.bucket.len = 0;
    return 1;
}

/* A twentieth of a second's, so that a pause or a cancellation is not long in coming. It depends on
 * the durable state alone: a step that is asked for again is the same. */
static size_t step_lines(const struct batch_state *s)
{
    return (size_t)MIN(MAX(s->rate / 20, (uint64_t)1), (uint64_t)BATCH_STEP);
}

/* Lines of one bucket; *place: behind them. Those before a line that is none are done first. A
 * failure that passes makes no shorter step: it would have the number of the whole one. */
static int FIBER gather(struct batch_job *b, struct batch_step *step, struct batch_place *place)
{
    struct manifest_line line;
    struct batch_place behind;
    size_t most = step_lines(b->at);
    int r = 1;
    while (r > 0 && step->count < most) {
        r = next_line(b, &line, &behind);
        if (r <= 0)
            break;
        if (step->count && !str_eq(line.bucket, step->bucket)) {
            b->held = line;
            b->held_place = behind;
            break;
        }
        step->bucket = line.bucket;
        step->items[step->count++] = (struct batch_item){.key = line.key, .version = line.version};
        *place = behind;
    }
    bool passes = r < 0 && !*batch_source_why(b->source);
    return step->count && !passes ? 0 : r;
}

/* That a step may have left its row there is durable before it does. */
static int FIBER mark(struct batch_job *b, struct str bucket)
{
    struct batch_state *s = b->at;
    if (str_eq(job_text_str(&s->marked), bucket))
        return 0;
    int r = unmark(b);
    if (r == 0)
        r = job_text_set(&s->marked, bucket, sizeof(s->marked.bytes));
    return r < 0 ? r : batch_keep(b, NULL);
}

static int FIBER run_step(struct batch_job *b, struct batch_step *step)
{
    int r = mark(b, step->bucket);
    if (r == 0)
        r = jobs_object_batch(b->jobs, b->at, step);
    if (r == -ERR_NO_SUCH_BUCKET) {
        for (size_t i = 0; i < step->count; i++)
            step->items[i].err = r;
        return 0;
    }
    return r;
}

/* Its lines are counted, told of in the report, and behind us. */
static int FIBER keep_step(struct batch_job *b, const struct batch_step *step,
                           const struct batch_place *place)
{
    struct batch_state *s = b->at;
    _cleanup_buf_ struct buf text;
    uint64_t failed = 0;
    buf_init(&text, JOBS_OBJECT_MAX);
    for (size_t i = 0; i < step->count; i++) {
        failed += step->items[i].err != 0;
        if (s->report_bucket.len)
            batch_report_line(&text, s, step->bucket, &step->items[i]);
    }
    int r = buf_error(&text);
    if (r < 0)
        return r;
    s->failed += failed;
    s->done += step->count - failed;
    s->place = *place;
    s->log_next += text.len > 0;
    s->log_bytes += text.len;
    const struct batch_keep keep = {.text = text.len ? buf_str(&text) : STR_NULL};
    r = batch_keep(b, &keep);
    if (r < 0)
        return r;
    b->stepped = true;
    jobs_count(&b->lines_done, step->count - failed);
    jobs_count(&b->lines_failed, failed);
    return job_spend(b->job, batch_source_spent(b->source), step->count);
}

/* Who the job is for may be gone. */
static int FIBER refuse_step(struct batch_job *b, int err)
{
    if (err == -ERR_NOT_FOUND)
        batch_set_why(b->at, "there is no user %.*s any more", STR_FMT(job_text_str(&b->at->user)));
    else if (err == -ERR_CORRUPT)
        batch_set_why(b->at, "a step cannot be done: %s", err_text(err));
    else
        return err;
    return end(b, BATCH_FAILED);
}

static int FIBER report_some(struct batch_job *b)
{
    int r = batch_report_flush(b);
    if (!batch_report_is_lost(r))
        return r;
    batch_set_why(b->at, "the report cannot be written: %s", err_text(r));
    b->at->outcome = BATCH_FAILED;
    r = unmark(b);
    return r < 0 ? r : finish(b);
}

static int FIBER run(struct batch_job *b)
{
    struct batch_step step = {.items = b->items};
    struct batch_place place = b->at->place;
    if (b->at->log_bytes >= FLUSH_BYTES)
        return report_some(b);
    b->arena = b->arena == &b->arenas[0] ? &b->arenas[1] : &b->arenas[0];
    arena_reset(b->arena);
    int r = open_source(b);
    if (r == 0)
        r = gather(b, &step, &place);
    if (r < 0)
        return give_up(b, r);
    if (step.count == 0)
        return end(b, BATCH_DONE);
    step.number = b->at->done + b->at->failed + 1;
    r = run_step(b, &step);
    return r < 0 ? refuse_step(b, r) : keep_step(b, &step, &place);
}

/* ---- reporting ------------------------------------------------------------------------------ */

static int FIBER report(struct batch_job *b)
{
    if (b->at->log_bytes)
        return report_some(b);
    int r = batch_report_end(b);
    if (batch_report_is_lost(r)) {
        batch_set_why(b->at, "the report cannot be written: %s", err_text(r));
        b->at->outcome = BATCH_FAILED;
        r = 0;
    }
    return r < 0 ? r : finish(b);
}

/* ---- rounds --------------------------------------------------------------------------------- */

static int FIBER step_on(struct batch_job *b)
{
    switch (b->at->phase) {
    case BATCH_WAITING:
        return begin(b);
    case BATCH_CHECKING:
        return check(b);
    case BATCH_RUNNING:
        return run(b);
    default:
        return report(b);
    }
}

static int FIBER cancel_waiting(struct batch_job *b)
{
    _cleanup_free_ struct batch_state *s = malloc(sizeof(*s));
    int r = s ? 0 : -ENOMEM;
    while (r == 0 && find_cancelled(b, s)) {
        s->phase = s->outcome = BATCH_CANCELLED;
        s->ended_ms = rt_wall_ms();
        r = batch_rows_keep(b->jobs->config.meta, s, NULL);
        if (r < 0)
            break;
        show(b, s);
        audit_end(b, s);
        tell_end(s);
    }
    return r < 0 ? r : forget_old(b);
}

/* The job at hand becomes the first that is not over. 1: there is one. */
static int take_next(struct batch_job *b, bool *ret_cancel)
{
    struct batch_state *s = malloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->id = 0;
    bool found = find_next(b, s, ret_cancel);
    if (!found || s->id) { /* another one */
        let_go(b);
        b->at = found ? s : NULL;
    }
    if (b->at != s)
        free(s);
    if (found && s == b->at)
        job_set_pace(b->job, BYTES_PER_S, b->at->rate);
    return found;
}

static bool may_cancel(const struct batch_job *b)
{
    return b->at->phase < BATCH_REPORTING && (b->at->phase != BATCH_RUNNING || b->stepped);
}

static int load_one(const struct batch_state *s, void *arg)
{
    struct batch_job *b = arg;
    struct batch_entry *e = calloc(1, sizeof(*e));
    if (!e || b->count == ARRAY_LEN(b->table)) {
        free(e);
        return -ENOMEM;
    }
    e->state = *s;
    b->table[b->count++] = e;
    b->last_id = s->id;
    return 0;
}

static void clear(struct batch_job *b)
{
    for (size_t i = 0; i < b->count; i++)
        free(b->table[i]);
    b->count = 0;
}

static int FIBER batch_round(struct job *job, void *arg)
{
    struct batch_job *b = arg;
    bool cancel = false;
    if (!b->jobs->audit_known || !jobs_objects_are_lent(b->jobs))
        return JOB_IDLE;
    int r = cancel_waiting(b);
    if (r == 0)
        r = take_next(b, &cancel);
    if (r <= 0)
        return r < 0 ? r : JOB_IDLE;
    r = cancel && may_cancel(b) ? end(b, BATCH_CANCELLED) : step_on(b);
    if (r < 0)
        let_go(b); /* it goes on from what is durable */
    if (r == -ERR_UNAVAILABLE && !jobs_objects_are_lent(b->jobs))
        return JOB_IDLE; /* the server stops */
    if (b->at)
        job_set_progress(job, b->at->done + b->at->failed, b->at->total);
    return r < 0 ? r : JOB_AGAIN;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

int FIBER batch_add(struct jobs *j)
{
    if (!j->config.meta)
        return 0; /* without a place it could not go on after a restart */
    struct batch_job *b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    j->batch = b;
    b->jobs = j;
    rt_lock_init(&b->lock);
    arena_init(&b->arenas[0], 0);
    arena_init(&b->arenas[1], 0);
    b->arena = b->arenas;
    let_go(b);
    struct job_def def = {
        .name = "batch",
        .round = batch_round,
        .arg = b,
        .bytes_per_s = BYTES_PER_S,
        .items_per_s = BATCH_RATE,
        .interval_ms = INTERVAL_MS,
        .gives_way = true,
    };
    int r = batch_rows_load(j->config.meta, load_one, b);
    return r < 0 ? r : schedule_add(j->schedule, &def, &b->job);
}

void batch_free(struct batch_job *b)
{
    if (!b)
        return;
    let_go(b);
    clear(b);
    arena_release(&b->arenas[0]);
    arena_release(&b->arenas[1]);
    free(b);
}
