/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "admin/internal.h"
#include "wire/uri.h"

/*
 * The online check: a chunked answer of one JSON object a line. The first fault does not end it;
 * the last line says {"done": true, "faults": N}.
 */

struct check_run {
    struct http_exchange *x;
    uint64_t faults;
    uint64_t told_ns; /* when progress was last sent */
};

#define PROGRESS_EVERY (200 * RT_MS)

static int FIBER on_event(const struct store_check_event *e, void *arg)
{
    struct check_run *run = arg;
    uint64_t now = rt_now();
    if (e->err == 0 && now - run->told_ns < PROGRESS_EVERY)
        return 0;
    run->told_ns = now;
    if (e->err == 0)
        return admin_send_line(run->x, json_pack("{s:I, s:I}", "done_count", (json_int_t)e->done,
                                                 "total", (json_int_t)e->total));
    run->faults++;
    return admin_send_line(run->x,
                           json_pack("{s:s, s:s, s:o, s:o}", "fault", e->text ? e->text : "fault",
                                     "code", err_info(e->err)->name, "bucket",
                                     admin_json_str(e->bucket), "key", admin_json_str(e->key)));
}

/* No faults of the store, and nothing is lost by them alone. */
static void FIBER send_notes(struct admin *a, struct http_exchange *x)
{
    struct audit_copy_status copies[AUDIT_COPIES_MAX];
    unsigned count = a->config.audit ? audit_copies(a->config.audit, copies) : 0;
    for (unsigned i = 0; i < count; i++)
        if (!copies[i].in)
            (void)admin_send_line(
                x,
                json_pack("{s:s+}", "note", "a copy of the audit log is behind: ", copies[i].dir));
}

static bool wants_deep(struct http_exchange *x)
{
    struct str path, raw;
    struct uri_query query;
    uri_split(http_request(x)->target, &path, &raw);
    return uri_parse_query(http_arena(x), raw, &query) == 0 &&
           str_eq(uri_query_get(&query, STR("deep")), STR("true"));
}

void FIBER admin_check(struct admin *a, struct http_exchange *x, struct str body)
{
    bool idle = false;
    if (!atomic_compare_exchange_strong(&a->checking, &idle, true)) {
        admin_respond_error(x, -ERR_BUSY, "another check is running: wait for it to end");
        return;
    }
    struct check_run run = {.x = x};
    http_set_header(x, "Content-Type", STR("application/x-ndjson"));
    int r = http_begin(x, 200, UINT64_MAX);
    if (r == 0)
        r = store_check(a->config.store, wants_deep(x), on_event, &run);
    send_notes(a, x);
    json_t *last = json_pack("{s:b, s:I}", "done", r == 0, "faults", (json_int_t)run.faults);
    if (r < 0)
        json_object_set_new(last, "error", json_string(err_text(r)));
    if (admin_send_line(x, last) == 0)
        http_end(x);
    atomic_store(&a->checking, false);
}
