/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Steps of batch jobs (jobs/batch/batch.h): each line is judged, done, told of and recorded as the
 * request that it stands for, DeleteObject, PutObjectTagging or DeleteObjectTagging, made by the
 * user whom the job is for; conditions of policies find no address and no headers.
 *
 * The records that something begins are durable before it does, so that a crash hides nothing; a
 * step that is asked for again has its records written again.
 */

#include <stdio.h>
#include "audit/audit.h"
#include "jobs/batch/batch.h"
#include "s3/context.h"
#include "s3/notice.h"
#include "s3/object/tagging.h"
#include "s3/service_objects.h"
#include "s3/tags.h"
#include "s3/version.h"
#include "store/steps.h"

#define AGENT_MAX 48

/* ---- as a user ------------------------------------------------------------------------------ */

/* `q` is no request: it stands for what the user does to a bucket. */
static int FIBER act_as(struct s3_request *q, struct str user, struct str bucket)
{
    int r = iam_user_identity(q->s3->iam, q->arena, user, &q->who);
    if (r)
        return r;
    q->signed_in = true;
    q->bucket_name = bucket;
    return store_bucket_get(q->s3->store, q->arena, bucket, &q->bucket);
}

static void stop_acting(struct s3_request *q)
{
    store_bucket_release(&q->bucket);
    if (q->signed_in)
        iam_identity_release(&q->who);
}

int FIBER s3_batch_judge(void *arg, struct str user, const char *action, struct str bucket,
                         struct str key)
{
    _cleanup_(arena_release) struct arena a;
    struct s3_request q = {.s3 = arg, .arena = &a, .key = key};
    arena_init(&a, 0);
    int r = act_as(&q, user, bucket);
    if (!r)
        r = s3_authorise(&q, action, &q.bucket, key);
    stop_acting(&q);
    return r;
}

static int read_tags(struct arena *a, struct str text, struct s3_tags *ret)
{
    struct s3_tags_fault fault;
    return s3_tags_parse_header(a, text, ret, &fault);
}

int s3_batch_tags(void *arg, struct str tags)
{
    _cleanup_(arena_release) struct arena a;
    struct s3_tags parsed;
    arena_init(&a, 0);
    return read_tags(&a, tags, &parsed);
}

/* ---- a step --------------------------------------------------------------------------------- */

struct work {
    struct s3_request *q;
    const struct batch_state *state;
    struct batch_step *step;
    struct s3_tags tags;
    struct store_step_item *items; /* one a line */
    char agent[AGENT_MAX];
};

static const char *const actions[BATCH_ACTIONS] = {"s3:DeleteObject", "s3:PutObjectTagging",
                                                   "s3:DeleteObjectTagging"};
static const char *const operations[BATCH_ACTIONS] = {"DeleteObject", "PutObjectTagging",
                                                      "DeleteObjectTagging"};

static int FIBER judge_item(struct work *w, const struct batch_item *line,
                            struct store_step_item *item)
{
    struct s3_context c = {.q = w->q,
                           .bucket = &w->q->bucket,
                           .key = line->key,
                           .version = item->version,
                           .version_id = line->version,
                           .tags = &w->tags};
    int r = s3_authorise_in(&c, s3_action(actions[w->state->action], line->version.len > 0));
    item->bypass =
        !r && w->state->bypass && s3_authorise_in(&c, "s3:BypassGovernanceRetention") == 0;
    return r;
}

/* What may be another time another is no refusal: then the step is tried again. */
static int FIBER judge_one(struct work *w, const struct batch_item *line,
                           struct store_step_item *item)
{
    *item = (struct store_step_item){.key = line->key};
    if (line->version.len && s3_version_id_parse(line->version, &item->version))
        item->refused = -ERR_NO_SUCH_VERSION;
    else
        item->refused = judge_item(w, line, item);
    return item->refused && err_info(item->refused)->retryable ? item->refused : 0;
}

static int FIBER judge_all(struct work *w)
{
    size_t count = w->step->count;
    w->items = arena_array(w->q->arena, struct store_step_item, count);
    int r = w->items ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = judge_one(w, &w->step->items[i], &w->items[i]);
    return r;
}

/* ---- telling -------------------------------------------------------------------------------- */

static void put_record(const struct work *w, const struct batch_item *line, int err,
                       enum audit_outcome outcome)
{
    const struct batch_state *s = w->state;
    struct audit_record r = {
        .operation = str_from(operations[s->action]),
        .outcome = outcome,
        .error = err ? str_from(err_info(err)->s3_code) : STR(""),
        .user = w->q->who.name,
        .user_id = w->q->who.user_id,
        .access_key = job_text_str(&s->access_key),
        .source = job_text_str(&s->source),
        .agent = str_from(w->agent),
        .request_id = job_text_str(&s->request_id),
        .bucket = w->q->bucket_name,
        .key = line->key,
        .version = line->version,
    };
    audit_put(w->q->s3->audit, &r);
}

static int FIBER note_begun(const struct work *w)
{
    struct audit *audit = w->q->s3->audit;
    for (size_t i = 0; audit && i < w->step->count; i++)
        if (!w->items[i].refused)
            put_record(w, &w->step->items[i], 0, AUDIT_BEGUN);
    return audit ? audit_flush(audit) : 0;
}

/* Gone already is deleted. */
static void take_results(const struct work *w)
{
    for (size_t i = 0; i < w->step->count; i++) {
        struct batch_item *line = &w->step->items[i];
        int err = w->items[i].result;
        line->err = err == -ERR_NO_SUCH_KEY && w->state->action == BATCH_DELETE ? 0 : err;
        put_record(w, line, line->err, line->err ? AUDIT_FAILED : AUDIT_DONE);
    }
}

static int make_notice(const struct work *w, struct store_notice **ret)
{
    struct event_names names = EVENT_NAMES(EVENT_CREATED_PUT);
    struct event_origin origin = {.arena = w->q->arena,
                                  .bucket = &w->q->bucket,
                                  .requester = w->q->who.user_id,
                                  .source = job_text_str(&w->state->source),
                                  .request_id = job_text_str(&w->state->request_id)};
    *ret = NULL;
    if (w->state->action == BATCH_UNTAG)
        names.changed = EVENT_TAGGING_DELETE;
    return w->q->s3->events ? event_notice_make(w->q->s3->events, &origin, names, ret) : 0;
}

/* ---- doing ---------------------------------------------------------------------------------- */

static int FIBER do_step(struct work *w)
{
    struct s3_new_tags tags = {w->q, &w->tags};
    struct store_step step = {
        .work = w->state->id,
        .number = w->step->number,
        .items = w->items,
        .count = w->step->count,
        .change = w->state->action == BATCH_DELETE ? NULL : s3_tags_replace,
        .arg = &tags,
        .owner = w->q->bucket.owner,
    };
    int r = make_notice(w, &step.notice);
    if (!r)
        r = note_begun(w);
    if (!r)
        r = store_step_run(w->q->s3->store, w->q->bucket.id, &step);
    if (!r)
        take_results(w);
    return r;
}

int FIBER s3_batch_step(void *arg, const struct batch_state *s, struct batch_step *step)
{
    _cleanup_(arena_release) struct arena a;
    struct s3_request q = {.s3 = arg, .arena = &a};
    struct work w = {.q = &q, .state = s, .step = step};
    arena_init(&a, 0);
    snprintf(w.agent, sizeof(w.agent), "cairn batch %llu", (unsigned long long)s->id);
    int r = act_as(&q, job_text_str(&s->user), step->bucket);
    if (!r && s->action == BATCH_TAG)
        r = read_tags(&a, str_make(s->tags, s->tags_len), &w.tags);
    if (!r)
        r = judge_all(&w);
    if (!r)
        r = do_step(&w);
    stop_acting(&q);
    return r;
}
