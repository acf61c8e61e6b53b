/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Batch jobs (jobs/batch/batch.h): begun, told of, cancelled.
 */

#include "admin/internal.h"
#include "jobs/batch/batch.h"
#include "wire/uri.h"

/* ---- what is asked -------------------------------------------------------------------------- */

/* What is misspelt must not be as if it were not there: another thing would be done than meant. */
static bool is_understood(json_t *in)
{
    static const struct {
        const char *name;
        json_type type;
    } members[] = {
        {"action", JSON_STRING},        {"manifest_bucket", JSON_STRING},
        {"manifest_key", JSON_STRING},  {"report_bucket", JSON_STRING},
        {"report_prefix", JSON_STRING}, {"user", JSON_STRING},
        {"tags", JSON_OBJECT},          {"bypass_governance", JSON_TRUE},
        {"rate", JSON_INTEGER},
    };
    const char *name;
    json_t *value;
    json_object_foreach(in, name, value)
    {
        size_t i = 0;
        while (i < ARRAY_LEN(members) && strcmp(members[i].name, name) != 0)
            i++;
        if (i == ARRAY_LEN(members))
            return false;
        json_type type = json_is_boolean(value) ? JSON_TRUE : json_typeof(value);
        if (type != members[i].type)
            return false;
    }
    return true;
}

/* "k=v&k2=v2" of an object of texts. */
static int read_tags(const json_t *in, struct buf *ret)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)in, name, value)
    {
        if (!json_is_string(value))
            return -ERR_INVALID_ARGUMENT;
        if (ret->len)
            buf_put_char(ret, '&');
        uri_encode(ret, str_from(name), false);
        buf_put_char(ret, '=');
        uri_encode(ret, str_make(json_string_value(value), json_string_length(value)), false);
    }
    return buf_error(ret);
}

/* What lacks or is wrong is told by `ret_why`, as far as it is known. */
static int read_request(json_t *in, struct batch_request *ret, struct buf *tags,
                        char ret_why[BATCH_WHY_MAX])
{
    struct str user = admin_text_member(in, "user");
    json_int_t rate = json_integer_value(json_object_get(in, "rate"));
    snprintf(ret_why, BATCH_WHY_MAX,
             "say action, manifest_bucket and manifest_key, and what goes along");
    if (!is_understood(in) || rate < 0)
        return -ERR_INVALID_ARGUMENT;
    if (batch_action_parse(admin_text_member(in, "action"), &ret->action) < 0) {
        snprintf(ret_why, BATCH_WHY_MAX, "the action is delete, tag or untag");
        return -ERR_INVALID_ARGUMENT;
    }
    ret->manifest_bucket = admin_text_member(in, "manifest_bucket");
    ret->manifest_key = admin_text_member(in, "manifest_key");
    ret->report_bucket = admin_text_member(in, "report_bucket");
    ret->report_prefix = admin_text_member(in, "report_prefix");
    ret->user = user.len ? user : STR("root");
    ret->bypass = json_is_true(json_object_get(in, "bypass_governance"));
    ret->rate = (uint64_t)rate;
    int r = read_tags(json_object_get(in, "tags"), tags);
    ret->tags = buf_str(tags);
    return r;
}

/* ---- what is told --------------------------------------------------------------------------- */

static void tell_pace(struct admin *a, const struct batch_state *s, json_t *o)
{
    struct job *job = schedule_find(jobs_schedule(a->config.jobs), STR("batch"));
    struct job_status status;
    if (!job || s->phase == BATCH_WAITING || batch_is_over(s->phase))
        return;
    job_status(job, &status);
    json_object_set_new(o, "job", admin_job_json(&status));
    json_object_set_new(o, "lines_per_s", json_integer((json_int_t)status.items_per_s));
}

static void tell_report(const struct batch_state *s, json_t *o)
{
    _cleanup_buf_ struct buf key;
    buf_init(&key, 2 * STORE_KEY_MAX);
    if (!s->report_bucket.len || batch_report_key(s, 0, &key) < 0)
        return;
    json_object_set_new(o, "report_bucket", admin_json_str(job_text_str(&s->report_bucket)));
    json_object_set_new(o, "report_key", admin_json_str(buf_str(&key)));
}

static json_t *state_json(struct admin *a, const struct batch_state *s)
{
    bool counted = s->phase != BATCH_WAITING && s->phase != BATCH_CHECKING;
    json_t *o = json_pack(
        "{s:I, s:s, s:s, s:o, s:o, s:o, s:o, s:b, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "id",
        (json_int_t)s->id, "action", batch_action_text(s->action), "phase",
        batch_phase_text(s->phase), "manifest_bucket",
        admin_json_str(job_text_str(&s->manifest_bucket)), "manifest_key",
        admin_json_str(job_text_str(&s->manifest_key)), "manifest_etag",
        admin_json_str(job_text_str(&s->manifest_etag)), "user",
        admin_json_str(job_text_str(&s->user)), "bypass_governance", s->bypass, "done",
        (json_int_t)s->done, "failed", (json_int_t)s->failed, "checked", (json_int_t)s->total,
        "rate", (json_int_t)s->rate, "created", admin_json_time(s->id), "begun",
        admin_json_time(s->begun_ms), "ended", admin_json_time(s->ended_ms));
    if (counted)
        json_object_set_new(o, "total", json_integer((json_int_t)s->total));
    if (s->tags_len)
        json_object_set_new(o, "tags", admin_json_str(str_make(s->tags, s->tags_len)));
    if (s->why_len)
        json_object_set_new(o, "error", admin_json_str(str_make(s->why, s->why_len)));
    tell_report(s, o);
    tell_pace(a, s, o);
    return o;
}

/* NULL: there is none of that number, or no memory. */
static json_t *job_json(struct admin *a, uint64_t id)
{
    _cleanup_free_ struct batch_state *s = malloc(sizeof(*s));
    if (!s || jobs_batch_get(a->config.jobs, id, s) < 0)
        return NULL;
    return state_json(a, s);
}

static void FIBER respond_job(struct admin *a, struct http_exchange *x, uint64_t id)
{
    json_t *o = job_json(a, id);
    if (o)
        admin_respond_json(x, 200, o);
    else
        admin_respond_error(x, -ERR_NOT_FOUND, "there is no such batch job");
}

/* ---- the handlers --------------------------------------------------------------------------- */

void FIBER admin_batch_list(struct admin *a, struct http_exchange *x, struct str body)
{
    uint64_t ids[BATCH_LISTED_MAX];
    size_t count = jobs_batch_list(a->config.jobs, ids);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *o = job_json(a, ids[i]);
        if (o) /* else it was forgotten meanwhile */
            json_array_append_new(list, o);
    }
    admin_respond_json(x, 200, json_pack("{s:o}", "jobs", list));
}

void FIBER admin_batch_start(struct admin *a, struct http_exchange *x, struct str body)
{
    _cleanup_buf_ struct buf tags;
    struct batch_request q = {.access_key = admin_caller_key(x),
                              .source = http_client_ip(x),
                              .request_id = str_from(http_request_id(x))};
    char why[BATCH_WHY_MAX];
    json_t *in = admin_read_object(x, body);
    uint64_t id = 0;
    if (!in)
        return;
    buf_init(&tags, BATCH_TAGS_MAX + KIB);
    int r = read_request(in, &q, &tags, why);
    if (r == 0)
        r = jobs_batch_start(a->config.jobs, &q, &id, why);
    json_decref(in);
    if (r < 0)
        admin_respond_error(x, r, why);
    else
        respond_job(a, x, id);
}

void FIBER admin_batch_status(struct admin *a, struct http_exchange *x, struct str body)
{
    uint64_t id = 0;
    (void)str_to_u64(admin_path_name(x), &id);
    respond_job(a, x, id);
}

void FIBER admin_batch_cancel(struct admin *a, struct http_exchange *x, struct str body)
{
    uint64_t id = 0;
    (void)str_to_u64(admin_path_name(x), &id);
    int r = jobs_batch_cancel(a->config.jobs, id);
    if (r < 0)
        admin_respond_error(x, r,
                            r == -ERR_NOT_FOUND     ? "there is no such batch job"
                            : r == -ERR_CONFLICT    ? "the batch job was over already"
                            : r == -ERR_UNAVAILABLE ? "the job is paused, or does not answer"
                                                    : NULL);
    else
        respond_job(a, x, id);
}
