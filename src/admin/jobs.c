/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "admin/internal.h"
#include "wire/json.h"

json_t *admin_job_json(const struct job_status *s)
{
    json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name", s->name, "state",
                          job_state_text(s->state), "done", (json_int_t)s->done, "total",
                          (json_int_t)s->total, "bytes", (json_int_t)s->bytes, "bytes_per_s",
                          (json_int_t)s->bytes_per_s, "items", (json_int_t)s->items, "errors",
                          (json_int_t)s->errors, "share_percent", (json_int_t)s->share_percent);
    if (s->left_s != UINT64_MAX)
        json_object_set_new(o, "left_s", json_integer((json_int_t)s->left_s));
    if (s->error)
        json_object_set_new(o, "error", json_string(err_text(s->error)));
    return o;
}

static json_t *job_json(const struct job *j)
{
    struct job_status s;
    job_status(j, &s);
    return admin_job_json(&s);
}

json_t *admin_jobs_json(struct admin *a)
{
    struct schedule *s = jobs_schedule(a->config.jobs);
    json_t *list = json_array();
    for (unsigned i = 0; i < schedule_count(s); i++)
        json_array_append_new(list, job_json(schedule_get(s, i)));
    return list;
}

void FIBER admin_job_list(struct admin *a, struct http_exchange *x, struct str body)
{
    admin_respond_json(x, 200, json_pack("{s:o}", "jobs", admin_jobs_json(a)));
}

void FIBER admin_job_change(struct admin *a, struct http_exchange *x, struct str body)
{
    struct job *j = schedule_find(jobs_schedule(a->config.jobs), admin_path_name(x));
    if (!j) {
        admin_respond_error(x, -ERR_NOT_FOUND, "there is no such job");
        return;
    }
    json_t *in = json_read(body);
    json_t *paused = json_object_get(in, "paused");
    int r = json_is_boolean(paused) ? job_pause(j, json_is_true(paused)) : -ERR_INVALID_ARGUMENT;
    json_decref(in);
    if (r < 0)
        admin_respond_error(
            x, r, r == -ERR_INVALID_ARGUMENT ? "the body must say paused: true or false" : NULL);
    else
        admin_respond_json(x, 200, job_json(j));
}
