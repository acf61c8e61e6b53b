/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* What the administrator asks of batch jobs, from any thread. */

#include <stdio.h>
#include "base/encode.h"
#include "jobs/batch/internal.h"

#define ASK_WAIT_NS (20 * RT_S)
#define ASK_LOOK_NS (5 * RT_MS)

/* ---- beginning ------------------------------------------------------------------------------ */

static int refuse(char why[BATCH_WHY_MAX], int err, const char *text)
{
    snprintf(why, BATCH_WHY_MAX, "%s", text);
    return err;
}

static int fill_texts(struct batch_state *s, const struct batch_request *q)
{
    const struct {
        struct job_text *to;
        struct str from;
        size_t max;
    } texts[] = {
        {&s->manifest_bucket, q->manifest_bucket, 63},
        {&s->manifest_key, q->manifest_key, STORE_KEY_MAX},
        {&s->report_bucket, q->report_bucket, 63},
        {&s->report_prefix, q->report_prefix, STORE_KEY_MAX - 64},
        {&s->user, q->user, BATCH_NAME_MAX},
        /* Who asks is for people: a long one is cut short. */
        {&s->access_key, str_prefix(q->access_key, BATCH_NAME_MAX), BATCH_NAME_MAX},
        {&s->source, str_prefix(q->source, BATCH_NAME_MAX), BATCH_NAME_MAX},
        {&s->request_id, str_prefix(q->request_id, BATCH_NAME_MAX), BATCH_NAME_MAX},
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(texts); i++)
        r = job_text_set(texts[i].to, texts[i].from, texts[i].max);
    return r;
}

static int fill(struct batch_state *s, const struct batch_request *q, char why[BATCH_WHY_MAX])
{
    if (!q->manifest_bucket.len || !q->manifest_key.len)
        return refuse(why, -ERR_INVALID_ARGUMENT, "name a manifest: its bucket and its key");
    if (q->tags.len > sizeof(s->tags) || (q->action == BATCH_TAG) != (q->tags.len > 0))
        return refuse(why, -ERR_INVALID_ARGUMENT, "tags are for tagging, and at most 4 KiB");
    if (q->bypass && q->action != BATCH_DELETE)
        return refuse(why, -ERR_INVALID_ARGUMENT, "only deletions bypass governance");
    if (q->rate > BATCH_RATE_MAX)
        return refuse(why, -ERR_INVALID_ARGUMENT, "the rate is at most 100000 lines a second");
    if (fill_texts(s, q) < 0)
        return refuse(why, -ERR_INVALID_ARGUMENT, "a name is too long");
    s->action = q->action;
    s->bypass = q->bypass;
    s->outcome = BATCH_DONE;
    s->rate = q->rate ? q->rate : BATCH_RATE;
    s->inventory = manifest_is_inventory(q->manifest_key);
    s->tags_len = q->tags.len;
    if (q->tags.len)
        memcpy(s->tags, q->tags.ptr, q->tags.len);
    return 0;
}

/* What is denied would be found out at the first line, and at the last. */
static int FIBER judge(struct jobs *j, const struct batch_state *s, char why[BATCH_WHY_MAX])
{
    _cleanup_buf_ struct buf key;
    struct str user = job_text_str(&s->user);
    buf_init(&key, 2 * STORE_KEY_MAX);
    int r = jobs_object_judge(j, user, "s3:GetObject", job_text_str(&s->manifest_bucket),
                              job_text_str(&s->manifest_key));
    if (r < 0)
        return refuse(why, r,
                      r == -ERR_NOT_FOUND       ? "there is no such user"
                      : r == -ERR_ACCESS_DENIED ? "the user may not read the manifest"
                                                : err_text(r));
    r = s->tags_len ? jobs_object_batch_tags(j, str_make(s->tags, s->tags_len)) : 0;
    if (r < 0)
        return refuse(why, r, "the tags are none: up to 10, each with another key");
    if (!s->report_bucket.len)
        return 0;
    r = batch_report_key(s, 0, &key);
    if (r == 0)
        r = jobs_object_judge(j, user, "s3:PutObject", job_text_str(&s->report_bucket),
                              buf_str(&key));
    if (r < 0)
        return refuse(why, r,
                      r == -ERR_ACCESS_DENIED ? "the user may not write the report" : err_text(r));
    return 0;
}

static int no_sink(const void *data, size_t len, void *arg)
{
    return 0;
}

static void note_etag(struct batch_state *s, const struct store_etag *e)
{
    char text[64];
    hex_encode(e->md5, sizeof(e->md5), text);
    int len = 2 * (int)sizeof(e->md5);
    if (e->parts)
        len += snprintf(text + len, sizeof(text) - (size_t)len, "-%u", (unsigned)e->parts);
    (void)job_text_set(&s->manifest_etag, str_make(text, (size_t)len), sizeof(text));
}

/* Which object it is, and from then on has to be. */
static int FIBER look_at(struct jobs *j, struct batch_state *s, char why[BATCH_WHY_MAX])
{
    struct jobs_object o;
    const struct jobs_reading what = {.bucket = job_text_str(&s->manifest_bucket),
                                      .key = job_text_str(&s->manifest_key),
                                      .len = 1};
    int r = jobs_object_read(j, &what, no_sink, NULL, &o);
    if (r < 0)
        return refuse(why, r, err_text(r));
    s->manifest_seq = o.seq;
    s->manifest_bytes = o.len_bytes;
    note_etag(s, &o.etag);
    return 0;
}

/* Under a number of its own; its place in the queue is kept free until enqueue(). */
static int reserve(struct batch_job *b, uint64_t *ret_id)
{
    size_t waiting;
    int r = 0;
    rt_lock(&b->lock);
    waiting = b->beginning;
    for (size_t i = 0; i < b->count; i++)
        waiting += !batch_is_over(b->table[i]->state.phase);
    if (waiting >= BATCH_QUEUE_MAX)
        r = -ERR_LIMIT;
    if (r == 0) {
        b->beginning++;
        b->last_id = *ret_id = MAX(rt_wall_ms(), b->last_id + 1);
    }
    rt_unlock(&b->lock);
    return r;
}

/* In the order of the ids. `e` NULL: it came to nothing. */
static void enqueue(struct batch_job *b, struct batch_entry *e)
{
    rt_lock(&b->lock);
    b->beginning--;
    if (e) {
        size_t i = b->count++;
        CHECK(i < ARRAY_LEN(b->table));
        for (; i > 0 && b->table[i - 1]->state.id > e->state.id; i--)
            b->table[i] = b->table[i - 1];
        b->table[i] = e;
    }
    rt_unlock(&b->lock);
}

static int FIBER prepare(struct jobs *j, struct batch_state *s, const struct batch_request *q,
                         char why[BATCH_WHY_MAX])
{
    int r = fill(s, q, why);
    if (r == 0)
        r = judge(j, s, why);
    return r < 0 ? r : look_at(j, s, why);
}

static int FIBER queue(struct jobs *j, struct batch_entry *e, uint64_t *ret_id,
                       char why[BATCH_WHY_MAX])
{
    struct batch_job *b = j->batch;
    int r = reserve(b, &e->state.id);
    if (r < 0)
        return refuse(why, r, r == -ERR_LIMIT ? "100 jobs wait already" : err_text(r));
    uint64_t id = e->state.id; /* once it is in the table it is not ours */
    r = batch_rows_keep(j->config.meta, &e->state, NULL);
    enqueue(b, r == 0 ? e : NULL);
    if (r < 0)
        return refuse(why, r, err_text(r));
    *ret_id = id;
    return 0;
}

int FIBER jobs_batch_start(struct jobs *j, const struct batch_request *q, uint64_t *ret_id,
                           char ret_why[BATCH_WHY_MAX])
{
    struct batch_entry *e = calloc(1, sizeof(*e));
    if (!e || !j->batch) {
        free(e);
        return refuse(ret_why, -ERR_UNAVAILABLE, err_text(-ERR_UNAVAILABLE));
    }
    int r = prepare(j, &e->state, q, ret_why);
    if (r == 0)
        r = queue(j, e, ret_id, ret_why);
    if (r < 0) {
        free(e);
        return r;
    }
    job_wake(j->batch->job);
    return 0;
}

/* ---- asking --------------------------------------------------------------------------------- */

/* Under the lock. */
static struct batch_entry *find(struct batch_job *b, uint64_t id)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->table[i]->state.id == id)
            return b->table[i];
    return NULL;
}

int jobs_batch_get(struct jobs *j, uint64_t id, struct batch_state *ret)
{
    struct batch_job *b = j->batch;
    if (!b)
        return -ERR_NOT_FOUND;
    rt_lock(&b->lock);
    const struct batch_entry *e = find(b, id);
    if (e)
        *ret = e->state;
    rt_unlock(&b->lock);
    return e ? 0 : -ERR_NOT_FOUND;
}

size_t jobs_batch_list(struct jobs *j, uint64_t ret[BATCH_LISTED_MAX])
{
    struct batch_job *b = j->batch;
    size_t count = 0;
    if (!b)
        return 0;
    rt_lock(&b->lock);
    for (size_t i = 0; i < b->count && count < BATCH_LISTED_MAX; i++)
        ret[count++] = b->table[i]->state.id;
    rt_unlock(&b->lock);
    return count;
}

/* ---- cancelling ----------------------------------------------------------------------------- */

/* Whether it is over by now; else whether it is to be. */
static int mark_cancelled(struct batch_job *b, uint64_t id, bool cancel, bool *ret_over)
{
    rt_lock(&b->lock);
    struct batch_entry *e = find(b, id);
    *ret_over = !e || batch_is_over(e->state.phase);
    if (e)
        e->cancel = cancel && !*ret_over;
    rt_unlock(&b->lock);
    return e ? 0 : -ERR_NOT_FOUND;
}

/* -ERR_UNAVAILABLE: the job is paused. Whoever gives up takes it back. */
static int FIBER await_end(struct batch_job *b, uint64_t id)
{
    uint64_t end = rt_now() + ASK_WAIT_NS;
    bool over = false;
    for (int r = 0; !over;) {
        job_wake(b->job);
        if (r == 0)
            r = rt_now() >= end ? -ERR_UNAVAILABLE : rt_sleep_until(rt_now() + ASK_LOOK_NS);
        (void)mark_cancelled(b, id, r == 0, &over);
        if (r < 0 && !over)
            return r;
    }
    return 0;
}

int FIBER jobs_batch_cancel(struct jobs *j, uint64_t id)
{
    bool over = false;
    if (!j->batch)
        return -ERR_NOT_FOUND;
    int r = mark_cancelled(j->batch, id, true, &over);
    if (r < 0 || over)
        return r < 0 ? r : -ERR_CONFLICT;
    return await_end(j->batch, id);
}

/* ---- watching ------------------------------------------------------------------------------- */

void jobs_batch_metrics(struct buf *out, struct jobs *j)
{
    struct batch_job *b = j->batch;
    uint64_t waiting = 0;
    if (!b)
        return;
    rt_lock(&b->lock);
    for (size_t i = 0; i < b->count; i++)
        waiting += !batch_is_over(b->table[i]->state.phase);
    rt_unlock(&b->lock);
#define LOAD(field) __atomic_load_n(&b->field, __ATOMIC_RELAXED)
    metrics_single(out, "cairn_batch_jobs", "gauge", "Batch jobs that wait or are under way.",
                   waiting);
    metrics_single(out, "cairn_batch_lines_done_total", "counter",
                   "Lines of manifests that were done.", LOAD(lines_done));
    metrics_single(out, "cairn_batch_lines_failed_total", "counter",
                   "Lines of manifests that could not be done.", LOAD(lines_failed));
    metrics_single(out, "cairn_batch_jobs_ended_total", "counter", "Batch jobs that are over.",
                   LOAD(ended));
#undef LOAD
}
