/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Purges: begun and stopped, told of, and the look that removes nothing: an answer of one JSON
 * object a line, which ends with {"end": true}. Where that does not come, the look did not reach
 * its end.
 */

#include <stdio.h>
#include "admin/internal.h"
#include "jobs/purge.h"

/* ---- what is meant -------------------------------------------------------------------------- */

/* What is misspelt or no text must not be as if it were not there: more would go than was meant. */
static bool is_understood(json_t *in)
{
    static const char *const texts[] = {"action", "bucket", "prefix", "tag_key", "tag_value", NULL};
    const char *name;
    json_t *value;
    json_object_foreach(in, name, value)
    {
        unsigned i = 0;
        while (texts[i] && strcmp(texts[i], name) != 0)
            i++;
        if (texts[i] ? !json_is_string(value)
                     : strcmp(name, "erase") != 0 || !json_is_boolean(value))
            return false;
    }
    return !json_object_get(in, "tag_value") || json_object_get(in, "tag_key");
}

/* A tag has both halves; without a tag a bucket must be named. */
static int read_what(json_t *in, struct store_purge_what *ret)
{
    const json_t *tag = json_object_get(in, "tag_key");
    if (!is_understood(in))
        return -ERR_INVALID_ARGUMENT;
    *ret = (struct store_purge_what){
        .bucket = admin_text_member(in, "bucket"),
        .prefix = admin_text_member(in, "prefix"),
        .tagged = tag != NULL,
        .tag = {admin_text_member(in, "tag_key"), admin_text_member(in, "tag_value")},
    };
    if (ret->tagged && (!ret->tag.name.len || !ret->tag.value.ptr))
        return -ERR_INVALID_ARGUMENT;
    if (ret->prefix.len && !ret->bucket.len)
        return -ERR_INVALID_ARGUMENT;
    return ret->bucket.len || ret->tagged ? 0 : -ERR_INVALID_ARGUMENT;
}

static int FIBER check_bucket(struct admin *a, struct http_exchange *x, struct str name)
{
    struct store_bucket b = {0};
    int r = name.len ? store_bucket_get(a->config.store, http_arena(x), name, &b) : 0;
    store_bucket_release(&b);
    return r;
}

static void FIBER refuse(struct http_exchange *x, int r)
{
    admin_respond_error(x, r,
                        r == -ERR_INVALID_ARGUMENT
                            ? "say bucket and perhaps prefix, or tag_key and tag_value, or all"
                        : r == -ERR_BUSY ? "a purge is under way: wait for its end, or stop it"
                        : r == -ERR_UNAVAILABLE ? "the job is paused, or does not answer"
                                                : NULL);
}

/* ---- the report ----------------------------------------------------------------------------- */

static json_t *removed_json(const struct purge_counts *c)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "versions",
                     (json_int_t)c->gone[STORE_PURGE_VERSION], "markers",
                     (json_int_t)c->gone[STORE_PURGE_MARKER], "uploads",
                     (json_int_t)c->gone[STORE_PURGE_UPLOAD], "parts", (json_int_t)c->parts,
                     "bytes", (json_int_t)c->bytes);
}

static json_t *report_json(struct admin *a)
{
    struct purge_state *s = malloc(sizeof(*s));
    if (!s)
        return NULL;
    jobs_purge_status(a->config.jobs, s);
    const struct purge_counts *c = &s->counts;
    struct store_purge_what what = purge_what(s);
    json_t *o = json_pack("{s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:b}",
                          "id", (json_int_t)s->id, "phase", purge_phase_text(s->phase), "bucket",
                          admin_json_str(what.bucket), "prefix", admin_json_str(what.prefix),
                          "started", admin_json_time(s->id), "ended", admin_json_time(s->ended_ms),
                          "removed", removed_json(c), "held", (json_int_t)c->held, "retained",
                          (json_int_t)c->retained, "hides", (json_int_t)c->hides, "left",
                          (json_int_t)c->left, "refused", (json_int_t)s->refused, "rounds",
                          (json_int_t)s->rounds, "proved", purge_is_proved(s));
    json_object_set_new(o, "erase", json_boolean(s->erase));
    json_object_set_new(o, "erased", json_boolean(purge_is_erased(s)));
    json_object_set_new(o, "stuck", json_integer((json_int_t)s->stuck));
    if (s->tagged) {
        json_object_set_new(o, "tag_key", admin_json_str(what.tag.name));
        json_object_set_new(o, "tag_value", admin_json_str(what.tag.value));
    }
    free(s);
    struct job *job = schedule_find(jobs_schedule(a->config.jobs), STR("purge"));
    struct job_status status;
    if (job) {
        job_status(job, &status);
        json_object_set_new(o, "job", admin_job_json(&status));
    }
    return o;
}

void FIBER admin_purge_status(struct admin *a, struct http_exchange *x, struct str body)
{
    admin_respond_json(x, 200, report_json(a));
}

static int FIBER start(struct admin *a, struct http_exchange *x, json_t *in)
{
    struct purge_request q = {.erase = json_is_true(json_object_get(in, "erase")),
                              .user = STR("root"),
                              .access_key = admin_caller_key(x),
                              .source = http_client_ip(x),
                              .request_id = str_from(http_request_id(x))};
    int r = read_what(in, &q.what);
    if (r == 0)
        r = check_bucket(a, x, q.what.bucket);
    return r < 0 ? r : jobs_purge_start(a->config.jobs, &q);
}

void FIBER admin_purge_change(struct admin *a, struct http_exchange *x, struct str body)
{
    json_t *in = admin_read_object(x, body);
    if (!in)
        return;
    struct str action = admin_text_member(in, "action");
    int r = -ERR_INVALID_ARGUMENT;
    if (str_eq(action, STR("start")))
        r = start(a, x, in);
    else if (str_eq(action, STR("stop")))
        r = jobs_purge_stop(a->config.jobs);
    json_decref(in);
    if (r < 0)
        refuse(x, r);
    else
        admin_respond_json(x, 200, report_json(a));
}

/* ---- the look ------------------------------------------------------------------------------- */

static json_t *version_json(const struct store_purge_item *item)
{
    char text[20];
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)item->seq);
    return json_string(item->null_version ? "null" : text);
}

static json_t *item_json(const struct store_purge_item *item)
{
    json_t *o =
        json_pack("{s:s, s:s, s:o, s:o, s:I}", "fate", store_purge_fate_text(item->fate), "kind",
                  store_purge_kind_text(item->kind), "bucket", admin_json_str(item->bucket), "key",
                  admin_json_str(item->key), "bytes", (json_int_t)item->bytes);
    if (item->kind == STORE_PURGE_UPLOAD) {
        json_object_set_new(o, "upload", admin_json_str(item->upload));
        json_object_set_new(o, "parts", json_integer((json_int_t)item->parts));
    } else
        json_object_set_new(o, "version", version_json(item));
    if (item->fate == STORE_PURGE_RETAINED || item->fate == STORE_PURGE_HELD)
        json_object_set_new(o, "legal_hold", json_boolean(item->lock.hold == STORE_HOLD_ON));
    if (item->lock.retention != STORE_RETENTION_NONE) {
        bool compliance = item->lock.retention == STORE_RETENTION_COMPLIANCE;
        json_object_set_new(o, "mode", json_string(compliance ? "COMPLIANCE" : "GOVERNANCE"));
        json_object_set_new(o, "until", admin_json_time(item->lock.until_ms));
    }
    return o;
}

static int no_notice(void *arg, const struct store_bucket *b, struct store_notice **ret)
{
    *ret = NULL;
    return 0;
}

static int FIBER show_item(void *arg, const struct store_purge_item *item)
{
    return admin_send_line(arg, item_json(item));
}

/* A line a page: who waits hears that the walk goes on. */
static int FIBER look(struct admin *a, struct http_exchange *x, const struct store_purge_what *what)
{
    const struct store_purge_hooks hooks = {no_notice, NULL, show_item, x};
    struct store_purge_place *place = calloc(1, sizeof(*place));
    uint64_t sum = 0, rows;
    int r = place ? 0 : -ENOMEM;
    while (r == 0 && !place->end) {
        r = store_purge_page(a->config.store, what, false, place, &hooks, &rows);
        sum += r == 0 ? rows : 0;
        if (r == 0 && !place->end)
            r = admin_send_line(x, json_pack("{s:I}", "rows", (json_int_t)sum));
    }
    free(place);
    return r;
}

void FIBER admin_purge_look(struct admin *a, struct http_exchange *x, struct str body)
{
    struct store_purge_what what;
    json_t *in = admin_read_object(x, body);
    if (!in)
        return;
    int r = read_what(in, &what);
    if (r == 0)
        r = check_bucket(a, x, what.bucket);
    if (r < 0) {
        json_decref(in);
        refuse(x, r);
        return;
    }
    http_set_header(x, "Content-Type", STR("application/x-ndjson"));
    r = http_begin(x, 200, UINT64_MAX);
    if (r == 0)
        r = look(a, x, &what);
    json_decref(in);
    json_t *last = json_pack("{s:b}", "end", r == 0);
    if (r < 0)
        json_object_set_new(last, "error", json_string(err_text(r)));
    if (admin_send_line(x, last) == 0)
        http_end(x);
}
