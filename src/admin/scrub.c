/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include <stdio.h>
#include "admin/internal.h"
#include "wire/json.h"

#define LISTED_MAX 1000 /* damages in one answer; the counts are of all */

static json_t *times_json(const struct scrub_status *s)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "started_ms", (json_int_t)s->last_started_ms,
                     "ended_ms", (json_int_t)s->last_ended_ms, "bytes", (json_int_t)s->last_bytes,
                     "damaged", (json_int_t)s->last_faults, "disks_skipped",
                     (json_int_t)s->last_skipped);
}

static json_t *counts_json(const struct scrub_status *s)
{
    json_t *o = json_object();
    for (unsigned i = 0; i < DAMAGE_STATES; i++)
        json_object_set_new(o, damage_state_text(i), json_integer((json_int_t)s->damages[i]));
    json_object_set_new(o, "unlisted", json_integer((json_int_t)s->unlisted));
    return o;
}

json_t *admin_scrub_json(struct admin *a)
{
    struct scrub_status s;
    jobs_scrub_status(a->config.jobs, &s);
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:o, s:o}", "phase", s.phase, "pass",
                     (json_int_t)s.pass, "started_ms", (json_int_t)s.started_ms, "damaged",
                     (json_int_t)s.faults, "disks_skipped", (json_int_t)s.skipped, "days",
                     (json_int_t)s.days, "overdue", s.overdue, "last", times_json(&s), "damages",
                     counts_json(&s), "job", admin_job_json(&s.job));
}

static json_t *damage_json(const struct damage *d)
{
    char chunk[64];
    snprintf(chunk, sizeof(chunk), "%016llx-%016llx.%u",
             (unsigned long long)d->needle.chunk.session,
             (unsigned long long)d->needle.chunk.counter, d->needle.shard);
    json_t *o = json_pack("{s:s, s:o, s:o, s:o, s:I}", "state", damage_state_text(d->state),
                          "bucket", admin_json_str(d->bucket_name), "key",
                          d->upload.len ? json_string("") : admin_json_str(d->key), "text",
                          admin_json_str(d->text), "found_ms", (json_int_t)d->found_ms);
    if (d->upload.len)
        json_object_set_new(o, "upload", admin_json_str(d->upload));
    if (d->seq)
        json_object_set_new(o, "seq", json_integer((json_int_t)d->seq));
    if (d->needle.chunk.session)
        json_object_set_new(o, "chunk", json_string(chunk));
    if (d->disk != DAMAGE_DISK_NONE)
        json_object_set_new(o, "disk", json_integer(d->disk));
    return o;
}

struct listing {
    json_t *list;
    bool lost_only;
};

static int add_damage(const struct damage *d, void *arg)
{
    struct listing *l = arg;
    if ((d->state == DAMAGE_LOST) != l->lost_only)
        return 0;
    if (json_array_size(l->list) >= LISTED_MAX)
        return 1;
    return json_array_append_new(l->list, damage_json(d)) < 0 ? -ENOMEM : 0;
}

/* What is lost comes first: it must not be crowded out. */
void FIBER admin_scrub_status(struct admin *a, struct http_exchange *x, struct str body)
{
    struct listing l = {.list = json_array(), .lost_only = true};
    int r = jobs_damages_each(a->config.jobs, add_damage, &l);
    l.lost_only = false;
    if (r == 0)
        r = jobs_damages_each(a->config.jobs, add_damage, &l);
    if (r < 0) {
        json_decref(l.list);
        admin_respond_error(x, r, NULL);
        return;
    }
    json_t *o = admin_scrub_json(a);
    json_object_set_new(o, "list", l.list);
    admin_respond_json(x, 200, o);
}

void FIBER admin_scrub_change(struct admin *a, struct http_exchange *x, struct str body)
{
    json_t *in = json_read(body);
    struct str action = str_from(json_string_value(json_object_get(in, "action")));
    bool start = str_eq(action, STR("start")), stop = str_eq(action, STR("stop"));
    json_decref(in);
    if (!start && !stop) {
        admin_respond_error(x, -ERR_INVALID_ARGUMENT, "the action is start or stop");
        return;
    }
    int r = start ? jobs_scrub_start(a->config.jobs) : jobs_scrub_stop(a->config.jobs);
    if (r < 0)
        admin_respond_error(x, r, NULL);
    else
        admin_respond_json(x, 200, admin_scrub_json(a));
}
