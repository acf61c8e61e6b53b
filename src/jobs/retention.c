/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Retention by class of data: once a day everything in the buckets that say so is looked through
 * for objects of a class that have been there for longer than they may, and those go, versions and
 * not markers over them, as a purge of that class and age (purge.h of store): what is locked stays.
 *
 * The place is a bucket: one that a restart cut short is begun again, which finds less to do. A
 * bucket without a rule costs its settings.
 */

#include <stdio.h>
#include "audit/audit.h"
#include "base/log.h"
#include "events/notice.h"
#include "jobs/internal.h"
#include "jobs/job.pb-c.h"
#include "lifecycle/retention.h"
#include "store/upkeep/purge.h"

#define FIRST_MS    3000
#define INTERVAL_MS 10000 /* between looks whether a day has begun */
#define LOOKS_A_DAY 20    /* at least: days of tests are short */
#define ITEMS_PER_S 100000
#define REQUESTER   STR("retention")

struct retention_job {
    struct jobs *jobs;
    struct job *job;
    bool loaded;
    uint64_t day_ms;
    uint64_t begun_ms; /* of the pass under way, or the last; 0: there was none */
    bool walking;
    size_t bucket_len; /* the bucket that is walked; all before it are done */
    char bucket[64];
    /* of that bucket: */
    bool rules_due; /* they are to be read */
    struct retention rules;
    unsigned class; /* DATA_CLASSES: it is done */
    struct store_purge_place place;
    struct arena arena;
    /* atomic */
    uint64_t removed, kept, passes;
};

/* ---- the place ------------------------------------------------------------------------------ */

static int FIBER keep(struct retention_job *j)
{
    uint8_t packed[128];
    Jobs__Retention pb = JOBS__RETENTION__INIT;
    pb.begun_ms = j->begun_ms;
    pb.walking = j->walking;
    pb.bucket = (ProtobufCBinaryData){j->bucket_len, (uint8_t *)j->bucket};
    CHECK(jobs__retention__get_packed_size(&pb) <= sizeof(packed));
    return job_keep(j->job, str_make(packed, jobs__retention__pack(&pb, packed)));
}

static int load(struct retention_job *j)
{
    struct str cursor = job_cursor(j->job);
    Jobs__Retention *pb = jobs__retention__unpack(NULL, cursor.len, (const uint8_t *)cursor.ptr);
    int r = pb && pb->bucket.len <= sizeof(j->bucket) ? 0 : -ERR_CORRUPT;
    if (r == 0) {
        j->begun_ms = pb->begun_ms;
        j->walking = pb->walking;
        j->bucket_len = pb->bucket.len;
        if (pb->bucket.len)
            memcpy(j->bucket, pb->bucket.data, pb->bucket.len);
        /* After a restart the bucket of the place is the one to begin with. */
        j->rules_due = pb->walking && pb->bucket.len;
        j->class = DATA_CLASSES;
        j->loaded = true;
    }
    if (pb)
        jobs__retention__free_unpacked(pb, NULL);
    return r;
}

/* ---- removing ------------------------------------------------------------------------------- */

static void put_record(struct retention_job *j, const struct store_purge_item *item,
                       enum audit_outcome outcome)
{
    static const char *const operations[] = {"retention:DeleteVersion", "retention:DeleteMarker",
                                             "retention:AbortUpload"};
    char version[20];
    int len = snprintf(version, sizeof(version), "%016llx", (unsigned long long)item->seq);
    struct audit_record record = {
        .operation = str_from(operations[item->kind]),
        .outcome = outcome,
        .user = REQUESTER,
        .bucket = item->bucket,
        .key = item->key,
        .version = item->null_version ? STR("null") : str_make(version, (size_t)len),
    };
    if (item->upload.ptr)
        record.version = item->upload;
    audit_put(j->jobs->audit, &record);
}

static int begin_bucket(void *arg, const struct store_bucket *b, struct store_notice **ret)
{
    struct retention_job *j = arg;
    struct event_origin origin = {.arena = &j->arena, .bucket = b, .requester = REQUESTER};
    struct event_names names = EVENT_NAMES(EVENT_CREATED_PUT);
    names.removed = EVENT_EXPIRATION_DELETE;
    names.marked = EVENT_EXPIRATION_MARKER;
    return event_notice_make(j->jobs->config.events, &origin, names, ret);
}

static int FIBER intend_item(void *arg, const struct store_purge_item *item, bool last)
{
    struct retention_job *j = arg;
    put_record(j, item, AUDIT_BEGUN);
    return last && j->jobs->audit ? audit_flush(j->jobs->audit) : 0;
}

static int note_item(void *arg, const struct store_purge_item *item)
{
    struct retention_job *j = arg;
    if (item->fate != STORE_PURGE_GOES) {
        jobs_count(&j->kept, 1);
        return 0;
    }
    jobs_count(&j->removed, 1);
    put_record(j, item, AUDIT_DONE);
    return 0;
}

/* ---- a bucket ------------------------------------------------------------------------------- */

static void tell_unreadable(const struct store_bucket *b, int err)
{
    struct log_line line;
    log_begin(&line, LOG_ERROR, "a bucket's rules for classes of data cannot be read");
    log_str(&line, "bucket", b->name);
    log_err(&line, err);
    log_end(&line);
}

/* A bucket that went has none; rules that cannot be read remove nothing. */
static int FIBER read_rules(struct retention_job *j)
{
    struct store_bucket b = {0};
    const void *made = NULL;
    j->rules = (struct retention){0};
    int r =
        store_bucket_get(j->jobs->config.store, &j->arena, str_make(j->bucket, j->bucket_len), &b);
    if (r < 0)
        return r == -ERR_NO_SUCH_BUCKET ? 0 : r;
    r = store_setting_made(b.settings, STORE_SETTING_DATA_CLASSES, sizeof(struct retention),
                           retention_parse, &made);
    if (r == 0 && made)
        j->rules = *(const struct retention *)made;
    if (r == -ERR_CORRUPT)
        tell_unreadable(&b, r);
    store_bucket_release(&b);
    return r == -ERR_CORRUPT ? 0 : r;
}

static int FIBER begin_rules(struct retention_job *j)
{
    int r = read_rules(j);
    bool any = !retention_is_empty(&j->rules);
    j->rules_due = r != 0;
    j->class = any ? 0 : DATA_CLASSES;
    j->place = (struct store_purge_place){0};
    return r == 0 && any ? keep(j) : r;
}

static int FIBER class_page(struct retention_job *j, uint64_t before_ms)
{
    const struct store_purge_hooks hooks = {begin_bucket, intend_item, note_item, j};
    const struct store_purge_what what = {
        .bucket = str_make(j->bucket, j->bucket_len),
        .tagged = true,
        .tag = {RETENTION_TAG, str_from(data_class_text(j->class))},
        .before_ms = before_ms,
    };
    uint64_t rows = 0;
    int r = store_purge_page(j->jobs->config.store, &what, true, &j->place, &hooks, &rows);
    return r < 0 ? r : job_spend(j->job, 0, rows);
}

/* A page of a class, or on to the next one that has a limit. The rule is asked for each page: what
 * is taken away removes nothing more, however large the bucket is. */
static int FIBER bucket_step(struct retention_job *j)
{
    int r = read_rules(j);
    if (r < 0)
        return r;
    const struct retention_rule *rule = &j->rules.rules[j->class];
    uint64_t before = retention_cutoff_ms(rule, j->begun_ms, j->day_ms);
    if (before && !j->place.end)
        r = class_page(j, before);
    if (r == 0 && (!before || j->place.end)) {
        j->class ++;
        j->place = (struct store_purge_place){0};
    }
    return r;
}

/* ---- passes --------------------------------------------------------------------------------- */

static int FIBER next_bucket(struct retention_job *j)
{
    struct store_bucket_page page;
    int r = store_bucket_list(j->jobs->config.store, &j->arena, STR_NULL, STR_NULL,
                              str_make(j->bucket, j->bucket_len), 1, &page);
    if (r < 0)
        return r;
    j->walking = page.count > 0;
    if (!j->walking) {
        jobs_count(&j->passes, 1);
        return keep(j);
    }
    CHECK(page.buckets[0].name.len <= sizeof(j->bucket));
    j->bucket_len = page.buckets[0].name.len;
    memcpy(j->bucket, page.buckets[0].name.ptr, j->bucket_len);
    j->rules_due = true;
    return 0;
}

static int FIBER begin_pass(struct retention_job *j)
{
    j->begun_ms = rt_wall_ms();
    j->walking = true;
    j->bucket_len = 0;
    j->rules_due = false;
    j->class = DATA_CLASSES;
    return keep(j);
}

static int FIBER step(struct retention_job *j)
{
    if (!j->walking && j->begun_ms / j->day_ms == rt_wall_ms() / j->day_ms)
        return JOB_IDLE;
    if (!j->walking)
        return begin_pass(j);
    if (j->rules_due)
        return begin_rules(j);
    return j->class < DATA_CLASSES ? bucket_step(j) : next_bucket(j);
}

static int FIBER retention_round(struct job *job, void *arg)
{
    struct retention_job *j = arg;
    if (!j->jobs->audit_known)
        return JOB_IDLE;
    arena_reset(&j->arena);
    int r = j->loaded ? 0 : load(j);
    return r < 0 ? r : step(j);
}

int retention_add(struct jobs *jobs)
{
    if (!jobs->config.meta)
        return 0; /* without a place there is no telling which day was done */
    struct retention_job *j = calloc(1, sizeof(*j));
    if (!j)
        return -ENOMEM;
    jobs->retention = j;
    j->jobs = jobs;
    j->day_ms = jobs->config.lifecycle_day_ms ? jobs->config.lifecycle_day_ms : RETENTION_DAY_MS;
    arena_init(&j->arena, 16 * MIB);
    struct job_def def = {
        .name = "retention",
        .round = retention_round,
        .arg = j,
        .items_per_s = ITEMS_PER_S,
        .first_ms = (unsigned)MIN((uint64_t)FIRST_MS, j->day_ms / LOOKS_A_DAY),
        .interval_ms = (unsigned)MIN((uint64_t)INTERVAL_MS, j->day_ms / LOOKS_A_DAY),
        .gives_way = true,
    };
    return schedule_add(jobs->schedule, &def, &j->job);
}

void retention_free(struct retention_job *j)
{
    if (!j)
        return;
    arena_release(&j->arena);
    free(j);
}

void jobs_retention_metrics(struct buf *out, struct jobs *jobs)
{
    struct retention_job *j = jobs->retention;
    if (!j)
        return;
#define LOAD(field) __atomic_load_n(&j->field, __ATOMIC_RELAXED)
    metrics_single(out, "cairn_retention_removed_total", "counter",
                   "What went because its class of data may be kept no longer.", LOAD(removed));
    metrics_single(out, "cairn_retention_kept_total", "counter",
                   "What should have gone and stayed: locked, or changed meanwhile.", LOAD(kept));
    metrics_single(out, "cairn_retention_passes_total", "counter", "Whole passes since the start.",
                   LOAD(passes));
#undef LOAD
}
