/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Lifecycle: once a day, at midnight UTC, all rows of the buckets that have rules are walked, and
 * what is due is removed, or moved to another storage class. A pass that was cut short goes on
 * where it was; the first one begins at the start. Rules that were put meanwhile count from the
 * page on.
 *
 * A page is judged in its snapshot; then what is due goes in one transaction, which tests of each
 * that it is what was judged: the same object, and a superseded version still superseded. What has
 * changed is left for the next pass, and so is what is locked: the store removes nothing that is.
 *
 * What is due for removal is not moved first. Moves are made one after another (tiers.h); one
 * that fails is counted and left for the next pass. A class that is not configured, or warmer than
 * the one an object is in, is no place to move to.
 *
 * Invariant: nothing is removed for whose key, at the time of the page, no enabled rule was due.
 */

#include "base/log.h"
#include "events/notice.h"
#include "jobs/internal.h"
#include "jobs/job.pb-c.h"
#include "lifecycle/lifecycle.h"
#include "store/upkeep/tiers.h"

#define FIRST_MS      2000
#define INTERVAL_MS   10000 /* between looks whether a day has begun */
#define LOOKS_A_DAY   20    /* at least: days of tests are short */
#define KEEP_EVERY_NS (10 * RT_S)
#define ROWS_PER_S    500000
#define BYTES_PER_S   (128 * MIB) /* of chunks that are written anew */
#define REMOVED_COSTS 50          /* as much as so many rows that stay */
#define REMOVALS_MAX  256         /* of one page */
#define ARENA_MAX     (16 * MIB)
#define REQUESTER     STR("lifecycle")

enum removal_kind { EXPIRED, MARKED, NONCURRENT, MARKER, ABORTED, REMOVAL_KINDS };
#define MOVED REMOVAL_KINDS /* no removal */

struct removal {
    unsigned kind; /* enum removal_kind, or MOVED */
    struct store_deletion deletion;
    struct store_conditions conditions;
    struct str upload; /* ABORTED */
    struct str class;  /* MOVED: to this one */
};

struct pass {
    uint64_t begun_ms; /* of this, or the last */
    bool walking;
    uint64_t total_rows, removed, kept;
    uint64_t moved, failed; /* since the start, or the pass began */
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
    uint64_t moved, moved_bytes, failed, no_class;
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
    l->pass = (struct pass){pb->begun_ms, pb->walking, pb->total_rows, pb->removed, pb->kept, 0, 0};
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
    return ((l->rules->expires || l->rules->moves) << STORE_LIFE_OBJECT) |
           ((l->rules->expires_noncurrent || l->rules->moves_noncurrent) << STORE_LIFE_VERSION) |
           (l->rules->aborts << STORE_LIFE_UPLOAD);
}

/* Which version: one that is named by its place in time, or the null version. */
static struct store_version_ref version_of(const struct store_object *o)
{
    if (o->null_version)
        return (struct store_version_ref){.kind = STORE_VERSION_NULL};
    return (struct store_version_ref){.kind = STORE_VERSION_SEQ, .seq = o->seq};
}

static int note_removal(struct lifecycle_job *l, unsigned kind, const struct store_life_row *row,
                        uint64_t newer, struct str class)
{
    struct removal *x = &l->removals[l->count];
    const struct store_object *o = row->object;
    *x = (struct removal){.kind = kind, .conditions = {.has_seq = true, .seq = o->seq}};
    x->conditions.superseded = row->kind == STORE_LIFE_VERSION && row->since_ms;
    x->conditions.newer = newer;
    x->deletion = (struct store_deletion){
        .key = arena_dup(&l->arena, o->key),
        .version = row->kind == STORE_LIFE_OBJECT ? STORE_CURRENT : version_of(o),
        .conditions = &x->conditions,
        .owner = l->bucket->owner,
    };
    x->upload = arena_dup(&l->arena, row->upload);
    x->class = class; /* the rules', which live as long as the page */
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

static struct lifecycle_subject subject_of(struct tagged *t)
{
    const struct store_object *o = t->row->object;
    return (struct lifecycle_subject){.key = o->key,
                                      .sized = !o->delete_marker,
                                      .len_bytes = o->len_bytes,
                                      .load = load_tags,
                                      .arg = t};
}

static int judge_object(struct lifecycle_job *l, const struct store_life_row *row,
                        struct lifecycle_due *ret)
{
    const struct store_object *o = row->object;
    struct tagged t = {l, row};
    struct lifecycle_subject s = subject_of(&t);
    if (row->kind == STORE_LIFE_OBJECT)
        return lifecycle_expiry(l->rules, &s, o->mtime_ms, l->day_ms, ret);
    return lifecycle_noncurrent(l->rules, &s, row->since_ms, row->newer, l->day_ms, ret);
}

/* What is archived is moved to another archive only. */
static bool may_move(struct lifecycle_job *l, struct str from, struct str to)
{
    const struct store *store = l->jobs->config.store;
    struct blob_class code;
    int was = lifecycle_warmth(from), will = lifecycle_warmth(to);
    if (str_eq(from, to) || (was >= 0 && will >= 0 && was > will))
        return false;
    if (store_class_find(store, to, &code) < 0) {
        jobs_count(&l->no_class, 1);
        return false;
    }
    return !store_class_is_archive(store, from) || store_class_is_archive(store, to);
}

/* To which class an object or superseded version is to go, if it stays. */
static int judge_class(struct lifecycle_job *l, const struct store_life_row *row)
{
    const struct store_object *o = row->object;
    struct tagged t = {l, row};
    struct lifecycle_subject s = subject_of(&t);
    struct str class = STR_NULL;
    int r = 0;
    if (row->kind == STORE_LIFE_OBJECT && l->rules->moves)
        r = lifecycle_class(l->rules, &s, o->mtime_ms, l->now_ms, l->day_ms, &class);
    else if (row->kind == STORE_LIFE_VERSION && l->rules->moves_noncurrent && row->since_ms &&
             !o->delete_marker)
        r = lifecycle_noncurrent_class(l->rules, &s, row->since_ms, row->newer, l->now_ms,
                                       l->day_ms, &class);
    if (r < 0 || !class.ptr || !may_move(l, o->attrs.storage_class, class))
        return r;
    return note_removal(l, MOVED, row, 0, class);
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
    if (r < 0)
        return r;
    if (!due.rule || due.due_ms > l->now_ms)
        return judge_class(l, row);
    return note_removal(l, kind, row, kind == NONCURRENT ? due.rule->newer : 0, STR_NULL);
}

/* ---- removing ------------------------------------------------------------------------------- */

static const char *const operations[] = {"S3.EXPIRE.OBJECT", "S3.CREATE.DELETEMARKER",
                                         "S3.EXPIRE.VERSION", "S3.EXPIRE.DELETEMARKER",
                                         "S3.DELETE.UPLOAD"};
static_assert(ARRAY_LEN(operations) == REMOVAL_KINDS, "an operation a kind");

static void count_removal(struct lifecycle_job *l, const struct removal *x, int result)
{
    enum removal_kind kind = x->kind == EXPIRED && x->deletion.marker ? MARKED : x->kind;
    if (result == 0) {
        jobs_count(&l->removed[kind], 1);
        l->pass.removed++;
        jobs_trace(l->jobs, operations[kind], l->bucket->name, x->deletion.key,
                   &x->deletion.version, x->upload.len ? x->upload : STR_NULL);
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
    size_t count = 0;
    for (size_t i = 0; i < l->count; i++)
        if (l->removals[i].kind != MOVED)
            list[count++] = l->removals[i].deletion;
    if (r == 0 && count)
        r = store_delete_many(l->jobs->config.store, l->bucket->id, list, count, notice);
    count = 0;
    for (size_t i = 0; r == 0 && i < l->count; i++) {
        struct removal *x = &l->removals[i];
        if (x->kind == MOVED)
            continue;
        x->deletion = list[count++];
        count_removal(l, x, x->deletion.result);
    }
    return r;
}

/* ---- moving --------------------------------------------------------------------------------- */

static int FIBER spend_bytes(uint64_t bytes, void *arg)
{
    struct lifecycle_job *l = arg;
    jobs_count(&l->moved_bytes, bytes);
    return job_spend(l->job, bytes, 0);
}

static void tell_failed(struct lifecycle_job *l, const struct removal *x, int err)
{
    struct log_line line;
    jobs_count(&l->failed, 1);
    if (l->pass.failed++)
        return;
    log_begin(&line, LOG_ERROR, "an object cannot be moved to another storage class");
    log_str(&line, "bucket", l->bucket->name);
    log_str(&line, "key", x->deletion.key);
    log_str(&line, "class", x->class);
    log_err(&line, err);
    log_end(&line);
}

static void count_move(struct lifecycle_job *l, const struct removal *x, int err)
{
    if (err == 0) {
        jobs_count(&l->moved, 1);
        l->pass.moved++;
        jobs_trace(l->jobs, "S3.TRANSITION.OBJECT", l->bucket->name, x->deletion.key,
                   &x->deletion.version, x->class);
    } else if (err == -ERR_PRECONDITION_FAILED || err == -ERR_NO_SUCH_KEY ||
               err == -ERR_NO_SUCH_VERSION || err == -ERR_NO_SUCH_BUCKET) {
        jobs_count(&l->kept, 1);
        l->pass.kept++;
    } else {
        tell_failed(l, x, err);
    }
}

static int FIBER move_objects(struct lifecycle_job *l)
{
    struct event_origin origin = {.arena = &l->arena, .bucket = l->bucket, .requester = REQUESTER};
    struct event_names names = EVENT_NAMES(EVENT_CREATED_PUT);
    names.changed = EVENT_TRANSITION;
    for (size_t i = 0; i < l->count; i++) {
        const struct removal *x = &l->removals[i];
        struct store_transition t = {.key = x->deletion.key,
                                     .version = x->deletion.version,
                                     .seq = x->conditions.seq,
                                     .superseded = x->conditions.superseded,
                                     .class = x->class};
        if (x->kind != MOVED)
            continue;
        int r = event_notice_make(l->jobs->config.events, &origin, names, &t.notice);
        if (r == 0)
            r = store_transition(l->jobs->config.store, l->bucket->id, &t, spend_bytes, l);
        if (r == -ECANCELED || r == -ENOMEM)
            return r;
        count_move(l, x, r);
    }
    return 0;
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
    if (l->removals[0].kind == ABORTED)
        return abort_uploads(l);
    int r = remove_objects(l);
    return r < 0 ? r : move_objects(l);
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
    if (l->pass.removed || l->pass.kept || l->pass.moved || l->pass.failed) {
        log_begin(&line, LOG_INFO, "a lifecycle pass did what was due");
        log_u64(&line, "removed", l->pass.removed);
        log_u64(&line, "moved", l->pass.moved);
        log_u64(&line, "kept", l->pass.kept);
        log_u64(&line, "failed", l->pass.failed);
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
    if (!l->jobs->audit_known)
        return JOB_IDLE;
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
        .bytes_per_s = BYTES_PER_S,
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
    metrics_single(out, "cairn_lifecycle_moved_total", "counter",
                   "Objects and versions that were moved to another storage class.", LOAD(moved));
    metrics_single(out, "cairn_lifecycle_moved_bytes_total", "counter",
                   "Bytes of them that were written anew.", LOAD(moved_bytes));
    metrics_single(out, "cairn_lifecycle_move_errors_total", "counter",
                   "Moves that failed: each is tried again by the next pass.", LOAD(failed));
    metrics_single(out, "cairn_lifecycle_no_class_total", "counter",
                   "Times that a rule named a storage class that is not configured.",
                   LOAD(no_class));
    metrics_single(out, "cairn_lifecycle_last_end_timestamp_seconds", "gauge",
                   "When the last whole pass ended; 0: not since the start.",
                   LOAD(last_end_ms) / 1000);
#undef LOAD
}
