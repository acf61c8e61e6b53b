/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Lifecycle: once a day, at midnight UTC, all rows of the buckets that have rules are walked, and
 * what is due is removed. A pass that was cut short goes on where it was; the first one begins at
 * the start. Rules that were put meanwhile count from the page on.
 *
 * A page is judged in its snapshot; then what is due goes in one transaction, which tests of each
 * that it is what was judged: the same object, and a superseded version still superseded. What has
 * changed is left for the next pass, and so is what is locked: the store removes nothing that is.
 *
 * Invariant: nothing is removed for whose key, at the time of the page, no enabled rule was due.
 */

#include "base/log.h"
#include "events/notice.h"
#include "jobs/internal.h"
#include "jobs/job.pb-c.h"
#include "lifecycle/lifecycle.h"

#define FIRST_MS      2000
#define INTERVAL_MS   10000 /* between looks whether a day has begun */
#define LOOKS_A_DAY   20    /* at least: days of tests are short */
#define KEEP_EVERY_NS (10 * RT_S)
#define ROWS_PER_S    500000
#define REMOVED_COSTS 50  /* as much as so many rows that stay */
#define REMOVALS_MAX  256 /* of one page */
#define ARENA_MAX     (16 * MIB)
#define REQUESTER     STR("lifecycle")

enum removal_kind { EXPIRED, MARKED, NONCURRENT, MARKER, ABORTED, REMOVAL_KINDS };

struct removal {
    enum removal_kind kind;
    struct store_deletion deletion;
    struct store_conditions conditions;
    struct str upload; /* ABORTED */
};

struct pass {
    uint64_t begun_ms; /* of this, or the last */
    bool walking;
    uint64_t total_rows, removed, kept;
};

struct lifecycle_job {
    struct jobs *jobs;
    struct job *job;
    bool loaded;
    uint64_t day_ms, kept_ns;
    struct pass pass;
    struct store_life_walk walk;
    /* of the page at hand */
    const struct store_bucket *bucket;
    const struct lifecycle *rules;
    uint64_t now_ms;
    struct arena arena, scratch; /* what goes; what a row needs to be judged */
    struct removal removals[REMOVALS_MAX];
    struct store_deletion list[REMOVALS_MAX];
    size_t count;
    uint64_t rows, went;
    /* atomic */
    uint64_t removed[REMOVAL_KINDS], kept, passes, last_end_ms, unreadable;
};

static const char *const kind_texts[] = {"expired", "marked", "noncurrent", "marker", "aborted"};
static_assert(ARRAY_LEN(kind_texts) == REMOVAL_KINDS, "a text a kind");

/* ---- the place ------------------------------------------------------------------------------ */

static int FIBER keep(struct lifecycle_job *l)
{
    const struct store_walk_place *place = &l->walk.place;
    Jobs__Lifecycle pb = JOBS__LIFECYCLE__INIT;
    pb.begun_ms = l->pass.begun_ms;
    pb.walking = l->pass.walking;
    pb.bucket = place->bucket;
    pb.kind = place->kind;
    pb.row = (ProtobufCBinaryData){place->row.len, (uint8_t *)(uintptr_t)place->row.ptr};
    pb.rows = place->rows;
    pb.total_rows = l->pass.total_rows;
    pb.removed = l->pass.removed;
    pb.kept = l->pass.kept;
    uint8_t *packed = malloc(jobs__lifecycle__get_packed_size(&pb) + 1);
    if (!packed)
        return -ENOMEM;
    int r = job_keep(l->job, str_make(packed, jobs__lifecycle__pack(&pb, packed)));
    free(packed);
    if (r == 0)
        l->kept_ns = rt_now();
    return r;
}

static int load(struct lifecycle_job *l)
{
    struct str cursor = job_cursor(l->job);
    struct store_walk_place *place = &l->walk.place;
    Jobs__Lifecycle *pb = jobs__lifecycle__unpack(NULL, cursor.len, (const uint8_t *)cursor.ptr);
    if (!pb || pb->row.len > sizeof(place->buffer)) {
        if (pb)
            jobs__lifecycle__free_unpacked(pb, NULL);
        return -ERR_CORRUPT;
    }
    l->pass = (struct pass){pb->begun_ms, pb->walking, pb->total_rows, pb->removed, pb->kept};
    place->bucket = pb->bucket;
    place->kind = pb->kind;
    place->rows = pb->rows;
    if (pb->row.len)
        memcpy(place->buffer, pb->row.data, pb->row.len);
    place->row = str_make(place->buffer, pb->row.len);
    jobs__lifecycle__free_unpacked(pb, NULL);
    l->loaded = true;
    return 0;
}

/* ---- judging -------------------------------------------------------------------------------- */

static int parse(struct arena *a, struct str text, void *made)
{
    struct str why;
    return lifecycle_parse(a, text, made, &why);
}

static void tell_unreadable(struct lifecycle_job *l, const struct store_bucket *b, int err)
{
    struct log_line line;
    jobs_count(&l->unreadable, 1);
    log_begin(&line, LOG_ERROR, "a bucket's lifecycle rules cannot be read: nothing expires there");
    log_str(&line, "bucket", b->name);
    log_err(&line, err);
    log_end(&line);
}

/* Which rows its rules are about. */
static int judge_bucket(void *arg, const struct store_bucket *b)
{
    struct lifecycle_job *l = arg;
    const void *made;
    int r =
        store_setting_made(b->settings, STORE_SETTING_LIFECYCLE, sizeof(*l->rules), parse, &made);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        tell_unreadable(l, b, r);
    if (r < 0 || !made)
        return 0;
    l->bucket = b;
    l->rules = made;
    l->now_ms = rt_wall_ms();
    l->count = 0;
    arena_reset(&l->arena);
    return (l->rules->expires << STORE_LIFE_OBJECT) |
           (l->rules->expires_noncurrent << STORE_LIFE_VERSION) |
           (l->rules->aborts << STORE_LIFE_UPLOAD);
}

/* Which version: one that is named by its place in time, or the null version. */
static struct store_version_ref version_of(const struct store_object *o)
{
    if (o->null_version)
        return (struct store_version_ref){.kind = STORE_VERSION_NULL};
    return (struct store_version_ref){.kind = STORE_VERSION_SEQ, .seq = o->seq};
}

static int note_removal(struct lifecycle_job *l, enum removal_kind kind,
                        const struct store_life_row *row)
{
    struct removal *x = &l->removals[l->count];
    const struct store_object *o = row->object;
    *x = (struct removal){.kind = kind, .conditions = {.has_seq = true, .seq = o->seq}};
    x->conditions.superseded = kind == NONCURRENT;
    x->deletion = (struct store_deletion){
        .key = arena_dup(&l->arena, o->key),
        .version = kind == EXPIRED ? STORE_CURRENT : version_of(o),
        .conditions = &x->conditions,
        .owner = l->bucket->owner,
    };
    x->upload = arena_dup(&l->arena, row->upload);
    if (!x->deletion.key.ptr || !x->upload.ptr)
        return -ENOMEM;
    return ++l->count == REMOVALS_MAX;
}

/* A row's tags, once a rule asks for them. */
struct tagged {
    struct lifecycle_job *job;
    const struct store_life_row *row;
};

/* A record whose tags cannot be read has none that a rule could name: it stays. */
static int load_tags(struct lifecycle_subject *s)
{
    struct tagged *t = s->arg;
    arena_reset(&t->job->scratch);
    int r = store_life_tags(t->row, &t->job->scratch, &s->tags, &s->tag_count);
    return r == -ERR_CORRUPT ? 0 : r;
}

static int judge_object(struct lifecycle_job *l, const struct store_life_row *row,
                        struct lifecycle_due *ret)
{
    const struct store_object *o = row->object;
    struct tagged t = {l, row};
    struct lifecycle_subject s = {.key = o->key,
                                  .sized = !o->delete_marker,
                                  .len_bytes = o->len_bytes,
                                  .load = load_tags,
                                  .arg = &t};
    if (row->kind == STORE_LIFE_OBJECT)
        return lifecycle_expiry(l->rules, &s, o->mtime_ms, l->day_ms, ret);
    return lifecycle_noncurrent(l->rules, &s, row->since_ms, row->newer, l->day_ms, ret);
}

static int judge_row(void *arg, const struct store_life_row *row)
{
    struct lifecycle_job *l = arg;
    const struct store_object *o = row->object;
    struct lifecycle_due due = {.due_ms = LIFECYCLE_NEVER};
    enum removal_kind kind = row->kind == STORE_LIFE_OBJECT ? EXPIRED : NONCURRENT;
    int r = 0;
    if (row->kind == STORE_LIFE_UPLOAD) {
        kind = ABORTED;
        r = lifecycle_abort(l->rules, o->key, o->mtime_ms, l->day_ms, &due);
    } else if (row->kind == STORE_LIFE_VERSION && row->since_ms == 0) {
        kind = MARKER;
        if (row->alone)
            r = lifecycle_marker(l->rules, o->key, o->mtime_ms, l->day_ms, &due);
    } else
        r = judge_object(l, row, &due);
    if (r < 0 || !due.rule || due.due_ms > l->now_ms)
        return r;
    return note_removal(l, kind, row);
}

/* ---- removing ------------------------------------------------------------------------------- */

static void count_removal(struct lifecycle_job *l, const struct removal *x, int result)
{
    enum removal_kind kind = x->kind == EXPIRED && x->deletion.marker ? MARKED : x->kind;
    if (result == 0) {
        jobs_count(&l->removed[kind], 1);
        l->pass.removed++;
    } else {
        jobs_count(&l->kept, 1);
        l->pass.kept++;
    }
}

static int FIBER remove_objects(struct lifecycle_job *l)
{
    struct event_origin origin = {.arena = &l->arena, .bucket = l->bucket, .requester = REQUESTER};
    struct event_names names = {.created = EVENT_CREATED_PUT,
                                .removed = EVENT_EXPIRATION_DELETE,
                                .marked = EVENT_EXPIRATION_MARKER,
                                .changed = EVENT_TAGGING_PUT};
    struct store_notice *notice;
    struct store_deletion *list = l->list;
    int r = event_notice_make(l->jobs->config.events, &origin, names, &notice);
    for (size_t i = 0; i < l->count; i++)
        list[i] = l->removals[i].deletion;
    if (r == 0)
        r = store_delete_many(l->jobs->config.store, l->bucket->id, list, l->count, notice);
    for (size_t i = 0; r == 0 && i < l->count; i++) {
        l->removals[i].deletion = list[i];
        count_removal(l, &l->removals[i], list[i].result);
    }
    return r;
}

static int FIBER abort_uploads(struct lifecycle_job *l)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < l->count; i++) {
        const struct removal *x = &l->removals[i];
        r = store_upload_abort(l->jobs->config.store, l->bucket->id, x->deletion.key, x->upload);
        if (r == 0 || r == -ERR_NO_SUCH_UPLOAD)
            count_removal(l, x, r);
        r = r == -ERR_NO_SUCH_UPLOAD ? 0 : r;
    }
    return r;
}

static int FIBER remove_noted(void *arg, uint64_t rows)
{
    struct lifecycle_job *l = arg;
    l->rows = rows;
    l->went = l->count;
    if (l->count == 0)
        return 0;
    return l->removals[0].kind == ABORTED ? abort_uploads(l) : remove_objects(l);
}

static int FIBER walk_page(struct lifecycle_job *l)
{
    const struct store_life_hooks hooks = {judge_bucket, judge_row, remove_noted, l};
    l->rows = l->went = 0;
    int r = store_life_page(l->jobs->config.store, &l->walk, &hooks);
    l->bucket = NULL;
    l->rules = NULL;
    return r < 0 ? r : job_spend(l->job, 0, l->rows + REMOVED_COSTS * l->went);
}

/* ---- passes --------------------------------------------------------------------------------- */

static bool is_due(const struct lifecycle_job *l, uint64_t now_ms)
{
    return l->pass.begun_ms / l->day_ms != now_ms / l->day_ms;
}

static int FIBER begin_pass(struct lifecycle_job *l)
{
    uint64_t rows = 0;
    int r = store_count_rows(l->jobs->config.store, &rows);
    if (r < 0)
        return r;
    l->pass = (struct pass){.begun_ms = rt_wall_ms(), .walking = true, .total_rows = rows};
    memset(&l->walk, 0, sizeof(l->walk));
    l->walk.place.row.ptr = l->walk.place.buffer;
    return keep(l);
}

static int FIBER end_pass(struct lifecycle_job *l)
{
    struct log_line line;
    l->pass.walking = false;
    jobs_count(&l->passes, 1);
    __atomic_store_n(&l->last_end_ms, rt_wall_ms(), __ATOMIC_RELAXED);
    if (l->pass.removed || l->pass.kept) {
        log_begin(&line, LOG_INFO, "a lifecycle pass removed what was due");
        log_u64(&line, "removed", l->pass.removed);
        log_u64(&line, "kept", l->pass.kept);
        log_u64(&line, "rows", l->walk.place.rows);
        log_end(&line);
    }
    return keep(l);
}

static int FIBER step(struct lifecycle_job *l)
{
    if (!l->pass.walking)
        return is_due(l, rt_wall_ms()) ? begin_pass(l) : JOB_IDLE;
    int r = walk_page(l);
    if (r == 0 && l->walk.place.end)
        return end_pass(l);
    if (r == 0 && rt_now() - l->kept_ns >= KEEP_EVERY_NS)
        r = keep(l);
    return r;
}

static int FIBER lifecycle_round(struct job *job, void *arg)
{
    struct lifecycle_job *l = arg;
    int r = l->loaded ? 0 : load(l);
    if (r == 0)
        r = step(l);
    uint64_t done = l->pass.walking ? l->walk.place.rows : 0;
    job_set_progress(job, done, l->pass.walking ? MAX(l->pass.total_rows, done) : 0);
    return r;
}

int lifecycle_add(struct jobs *j)
{
    if (!j->config.meta)
        return 0; /* without a place there is no telling which day was done */
    struct lifecycle_job *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    j->lifecycle = l;
    l->jobs = j;
    l->day_ms = j->config.lifecycle_day_ms ? j->config.lifecycle_day_ms : LIFECYCLE_DAY_MS;
    l->walk.place.row.ptr = l->walk.place.buffer;
    arena_init(&l->arena, ARENA_MAX);
    arena_init(&l->scratch, ARENA_MAX);
    struct job_def def = {
        .name = "lifecycle",
        .round = lifecycle_round,
        .arg = l,
        .items_per_s = ROWS_PER_S,
        .first_ms = (unsigned)MIN((uint64_t)FIRST_MS, l->day_ms / LOOKS_A_DAY),
        .interval_ms = (unsigned)MIN((uint64_t)INTERVAL_MS, l->day_ms / LOOKS_A_DAY),
        .gives_way = true,
    };
    return schedule_add(j->schedule, &def, &l->job);
}

void lifecycle_free(struct lifecycle_job *l)
{
    if (!l)
        return;
    arena_release(&l->arena);
    arena_release(&l->scratch);
    free(l);
}

void jobs_lifecycle_metrics(struct buf *out, struct jobs *j)
{
    struct lifecycle_job *l = j->lifecycle;
    if (!l)
        return;
#define LOAD(field) __atomic_load_n(&l->field, __ATOMIC_RELAXED)
    metrics_family(out, "cairn_lifecycle_removed_total", "counter",
                   "What lifecycle rules removed, by what it was.");
    for (unsigned i = 0; i < REMOVAL_KINDS; i++) {
        struct metrics_label labels[] = {{"kind", str_from(kind_texts[i])}, {NULL, STR_NULL}};
        metrics_sample_u64(out, "cairn_lifecycle_removed_total", labels, LOAD(removed[i]));
    }
    metrics_single(out, "cairn_lifecycle_kept_total", "counter",
                   "What was due and stayed: locked, or changed meanwhile.", LOAD(kept));
    metrics_single(out, "cairn_lifecycle_passes_total", "counter", "Whole passes since the start.",
                   LOAD(passes));
    metrics_single(out, "cairn_lifecycle_unreadable_total", "counter",
                   "Looks at a bucket's rules that could not be read.", LOAD(unreadable));
    metrics_single(out, "cairn_lifecycle_last_end_timestamp_seconds", "gauge",
                   "When the last whole pass ended; 0: not since the start.",
                   LOAD(last_end_ms) / 1000);
#undef LOAD
}
