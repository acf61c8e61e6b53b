/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* What a batch job keeps over a restart, and what can be told of it without looking anywhere. */

#include <stdio.h>
#include "jobs/batch/batch.h"
#include "jobs/job.pb-c.h"

const char *batch_phase_text(enum batch_phase phase)
{
    static const char *const texts[] = {"waiting", "checking", "running",  "reporting",
                                        "done",    "failed",   "cancelled"};
    static_assert(ARRAY_LEN(texts) == BATCH_PHASES, "a text a phase");
    CHECK(phase < BATCH_PHASES);
    return texts[phase];
}

const char *batch_action_text(enum batch_action action)
{
    static const char *const texts[] = {"delete", "tag", "untag"};
    static_assert(ARRAY_LEN(texts) == BATCH_ACTIONS, "a text an action");
    CHECK(action < BATCH_ACTIONS);
    return texts[action];
}

int batch_action_parse(struct str text, enum batch_action *ret)
{
    for (unsigned i = 0; i < BATCH_ACTIONS; i++)
        if (str_eq(text, str_from(batch_action_text(i)))) {
            *ret = i;
            return 0;
        }
    return -EINVAL;
}

void batch_set_why(struct batch_state *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(s->why, sizeof(s->why), fmt, ap);
    va_end(ap);
    s->why_len = len < 0 ? 0 : MIN((size_t)len, sizeof(s->why) - 1);
}

int batch_report_key(const struct batch_state *s, uint64_t number, struct buf *ret)
{
    struct str prefix = job_text_str(&s->report_prefix);
    buf_put_str(ret, prefix);
    if (prefix.len && !str_ends(prefix, STR("/")))
        buf_put_char(ret, '/');
    buf_printf(ret, "job-%llu/", (unsigned long long)s->id);
    if (number)
        buf_printf(ret, "results/%05llu.csv", (unsigned long long)number);
    else
        buf_put_cstr(ret, "manifest.json");
    int r = buf_error(ret);
    return r == 0 && ret->len > STORE_KEY_MAX ? -ERR_KEY_TOO_LONG : r;
}

/* ---- the row -------------------------------------------------------------------------------- */

/* Every text with its field, for both ways. */
#define TEXTS(X)       \
    X(manifest_bucket) \
    X(manifest_key)    \
    X(manifest_etag)   \
    X(report_bucket) X(report_prefix) X(user) X(access_key) X(source) X(request_id) X(marked)
/* Every number. */
#define NUMBERS(X)    \
    X(id)             \
    X(bypass)         \
    X(inventory)      \
    X(manifest_seq)   \
    X(manifest_bytes) \
    X(rate)           \
    X(fields)         \
    X(total)          \
    X(done) X(failed) X(begun_ms) X(ended_ms) X(log_first) X(log_next) X(log_bytes) X(files)

static int take_texts(const Jobs__Batch *pb, struct batch_state *s)
{
    int r = job_bytes_take(pb->tags, s->tags, sizeof(s->tags), &s->tags_len);
    if (r == 0)
        r = job_bytes_take(pb->why, s->why, sizeof(s->why), &s->why_len);
#define X(name) r = r < 0 ? r : job_text_take(pb->name, &s->name);
    TEXTS(X)
#undef X
    return r;
}

int batch_unpack(struct str row, struct batch_state *ret)
{
    Jobs__Batch *pb = jobs__batch__unpack(NULL, row.len, (const uint8_t *)row.ptr);
    if (!pb)
        return -ERR_CORRUPT;
    bool known = pb->phase < BATCH_PHASES && pb->outcome < BATCH_PHASES &&
                 pb->action < BATCH_ACTIONS && pb->id > 0 && pb->log_first <= pb->log_next;
    memset(ret, 0, sizeof(*ret));
    int r = known ? take_texts(pb, ret) : -ERR_CORRUPT;
    if (r == 0) {
        ret->phase = pb->phase;
        ret->outcome = pb->outcome;
        ret->action = pb->action;
        ret->place = (struct batch_place){pb->at_file, pb->at_off, pb->at_line};
#define X(name) ret->name = pb->name;
        NUMBERS(X)
#undef X
    }
    jobs__batch__free_unpacked(pb, NULL);
    return r;
}

int batch_pack(const struct batch_state *s, struct str *ret)
{
    Jobs__Batch pb = JOBS__BATCH__INIT;
    pb.phase = s->phase;
    pb.outcome = s->outcome;
    pb.action = s->action;
    pb.at_file = s->place.file;
    pb.at_off = s->place.off;
    pb.at_line = s->place.line;
    pb.tags = job_bytes_give(s->tags, s->tags_len);
    pb.why = job_bytes_give(s->why, s->why_len);
#define X(name) pb.name = job_text_give(&s->name);
    TEXTS(X)
#undef X
#define X(name) pb.name = s->name;
    NUMBERS(X)
#undef X
    uint8_t *packed = malloc(jobs__batch__get_packed_size(&pb) + 1);
    if (!packed)
        return -ENOMEM;
    *ret = str_make(packed, jobs__batch__pack(&pb, packed));
    return 0;
}
