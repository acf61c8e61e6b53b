/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Inventories: once a day, at midnight UTC, the reports that the buckets' configurations ask for,
 * one after another; weekly ones on Sundays, and the day after they were put. A configuration that
 * is put meanwhile is reported on in the next pass, if this one is past it.
 *
 *             day begun                       a configuration is due
 *   (idle) ---------------> (between reports) ----------------------> (open) --- page, page ...
 *     ^  \-- retry is due -->  |        ^  \                            |         file is put: kept
 *     |                        |        |   `-- its destination is shut |
 *     `-- no more buckets -----'        `-- manifests are put, or it fails
 *
 * A report is what its listing's pages tell, each a snapshot of its own. Its rows gather in one
 * compressed file at a time; when that has its size it is put, and the place behind its last row is
 * kept, so a restart goes on from there and memory is bounded whatever the bucket's size. Its names
 * come from when it was begun: what is put twice replaces itself. The manifests come last; nobody
 * is told of a report before it is whole.
 *
 * Failures that may pass are waited out a few times by going back to the kept place. Others, and
 * those that do not pass, end the report: it is told, counted, and begun again by a pass over what
 * failed, after a minute and then twice as long, up to an hour, until the next day comes.
 *
 * The service s3.amazonaws.com puts the files, as a policy of the destination allows it
 * (docs/adr/026).
 */

#include "base/encode.h"
#include "base/log.h"
#include "inventory/file.h"
#include "jobs/internal.h"
#include "jobs/inventory.h"
#include "lifecycle/lifecycle.h"

#define FIRST_MS     2000
#define INTERVAL_MS  10000 /* between looks whether a day has begun */
#define LOOKS_A_DAY  20    /* at least: days of tests are short */
#define ROWS_PER_S   50000
#define PAGE         250 /* rows of a listing: some have all their record read */
#define ROWS_BYTES   (256 * KIB)
#define FILE_BYTES   (8 * MIB) /* of a file, about */
#define ARENA_MAX    (64 * MIB)
#define TRIES        5
#define RETRY_MS     60000
#define RETRY_MS_MAX 3600000
#define NAME         STR("inventory")
#define SERVICE      STR("s3.amazonaws.com")

struct inventory_job {
    struct jobs *jobs;
    struct job *job;
    uint64_t day_ms, file_bytes;
    bool loaded;
    struct inventory_state *state;
    struct inventory_file file;
    unsigned tries; /* in a row that failed */
    struct arena arena;
    struct buf grants;
    /* of the round: */
    struct store_bucket bucket;
    const struct inventory *config;
    /* atomic */
    uint64_t reports, rows, files, bytes, failures, passes, last_end_ms;
};

/* ---- the place ------------------------------------------------------------------------------ */

static int FIBER keep(struct inventory_job *j)
{
    struct str packed;
    int r = inventory_state_pack(j->state, &packed);
    if (r < 0)
        return r;
    r = job_keep(j->job, packed);
    free((void *)(uintptr_t)packed.ptr);
    return r;
}

/* As it was kept; what is in no file is forgotten. */
static int load(struct inventory_job *j)
{
    int r = inventory_state_unpack(job_cursor(j->job), j->state);
    inventory_file_reset(&j->file);
    j->loaded = r == 0;
    return r;
}

static struct str bucket_of(const struct inventory_job *j)
{
    return str_make(j->state->bucket, j->state->bucket_len);
}

static struct str id_of(const struct inventory_job *j)
{
    return str_make(j->state->id, j->state->id_len);
}

static void set_id(struct inventory_job *j, struct str id)
{
    CHECK(id.len <= sizeof(j->state->id));
    if (id.len)
        memcpy(j->state->id, id.ptr, id.len);
    j->state->id_len = id.len;
}

/* ---- the configurations --------------------------------------------------------------------- */

static void tell(struct inventory_job *j, const char *what, int err)
{
    struct log_line line;
    log_begin(&line, LOG_WARN, what);
    log_str(&line, "bucket", bucket_of(j));
    log_str(&line, "inventory", id_of(j));
    log_err(&line, err);
    log_end(&line);
}

/* The bucket of the place, and what it has; *ret NULL: it went, or has none. The bucket is released
 * at the end of the round. */
static int FIBER open_bucket(struct inventory_job *j, const struct inventory_set **ret)
{
    const void *made = NULL;
    *ret = NULL;
    int r = store_bucket_get(j->jobs->config.store, &j->arena, bucket_of(j), &j->bucket);
    if (r < 0)
        return r == -ERR_NO_SUCH_BUCKET ? 0 : r;
    r = store_setting_made(j->bucket.settings, STORE_SETTING_INVENTORY,
                           sizeof(struct inventory_set), inventory_set_parse, &made);
    if (r == -ERR_CORRUPT) {
        jobs_count(&j->failures, 1);
        tell(j, "a bucket's inventory configurations cannot be read", r);
        return 0;
    }
    *ret = made;
    return r;
}

/* ---- what failed ---------------------------------------------------------------------------- */

static uint64_t hash_of(const struct inventory_job *j, struct str id)
{
    char text[sizeof(j->state->bucket) + 1 + INVENTORY_ID_MAX];
    size_t len = j->state->bucket_len;
    memcpy(text, j->state->bucket, len);
    text[len++] = '/';
    memcpy(text + len, id.ptr, id.len);
    return hash_xxh3(text, len + id.len);
}

static bool is_retried(const struct inventory_job *j, struct str id)
{
    uint64_t h = hash_of(j, id);
    for (size_t n = 0; n < j->state->retried_count; n++)
        if (j->state->retried[n] == h)
            return true;
    return false;
}

/* The report is over; what is beyond the room waits for the next day. */
static int FIBER fail_report(struct inventory_job *j, int err)
{
    struct inventory_state *s = j->state;
    jobs_count(&j->failures, 1);
    tell(j, "an inventory was not delivered: it is tried again", err);
    if (s->failed_count < INVENTORY_FAILED_MAX)
        s->failed[s->failed_count++] = hash_of(j, id_of(j));
    s->open = s->placed = false;
    s->file_count = 0;
    j->tries = 0;
    inventory_file_reset(&j->file);
    return keep(j);
}

/* ---- putting -------------------------------------------------------------------------------- */

static struct inventory_report report_of(const struct inventory_job *j)
{
    return (struct inventory_report){j->config, bucket_of(j), j->state->source,
                                     j->state->report_ms};
}

/* What putting a part takes; the key's buffer is the caller's. */
struct part {
    struct buf key;
    struct jobs_actor who;
    struct jobs_writing what;
};

static int part_init(struct inventory_job *j, enum inventory_part part, uint32_t number,
                     struct part *p)
{
    static const struct str types[] = {
        [INVENTORY_MANIFEST] = {"application/json", 16},
        [INVENTORY_CHECKSUM] = {"text/plain", 10},
        [INVENTORY_SYMLINKS] = {"text/plain", 10},
        [INVENTORY_DATA] = {"application/gzip", 16},
    };
    const struct inventory_report report = report_of(j);
    buf_init(&p->key, STORE_KEY_MAX);
    inventory_key(&p->key, &report, part, number);
    p->who = (struct jobs_actor){NAME, SERVICE, j->bucket.name, j->bucket.owner};
    p->what = (struct jobs_writing){.bucket = j->config->bucket,
                                    .key = buf_str(&p->key),
                                    .content_type = types[part],
                                    .owner = j->config->account,
                                    .seal = j->config->seal,
                                    .master_key = j->config->master_key};
    return buf_error(&p->key) ? -ERR_KEY_TOO_LONG : 0;
}

static int FIBER put_part(struct inventory_job *j, enum inventory_part part, uint32_t number,
                          struct str data)
{
    struct part p;
    int r = part_init(j, part, number, &p);
    if (r == 0)
        r = jobs_object_put(j->jobs, &p.who, &p.what, data);
    if (r == 0)
        jobs_count(&j->bytes, data.len);
    buf_release(&p.key);
    return r;
}

static int FIBER may_put(struct inventory_job *j)
{
    struct part p;
    int r = part_init(j, INVENTORY_MANIFEST, 0, &p);
    if (r == 0)
        r = jobs_object_may_put(j->jobs, &p.who, &p.what);
    buf_release(&p.key);
    return r;
}

/* ---- a data file ---------------------------------------------------------------------------- */

struct squeeze {
    struct inventory_file *file;
    bool end;
};

static int squeeze_aside(void *arg)
{
    const struct squeeze *s = arg;
    return inventory_file_squeeze(s->file, s->end);
}

static int FIBER squeeze(struct inventory_job *j, bool end)
{
    struct squeeze s = {&j->file, end};
    return rt_offload(squeeze_aside, &s);
}

/* All rows so far are in files then, and the place says so. */
static int FIBER put_file(struct inventory_job *j)
{
    struct inventory_state *s = j->state;
    if (s->file_count == INVENTORY_FILES_MAX)
        return -ERR_ENTITY_TOO_LARGE;
    int r = squeeze(j, true);
    if (r == 0)
        r = put_part(j, INVENTORY_DATA, s->file_count, buf_str(&j->file.gzip));
    if (r < 0)
        return r;
    struct inventory_file_note *note = &s->files[s->file_count++];
    note->len_bytes = j->file.gzip.len;
    md5_finish(&j->file.md5, note->md5);
    inventory_file_reset(&j->file);
    j->tries = 0;
    jobs_count(&j->files, 1);
    return keep(j);
}

static int FIBER put_rows(struct inventory_job *j, bool last)
{
    bool any = j->file.rows.len || j->file.begun;
    if (last)
        return any ? put_file(j) : 0;
    if (j->file.rows.len < MIN(ROWS_BYTES, j->file_bytes))
        return 0;
    int r = squeeze(j, false);
    return r == 0 && j->file.gzip.len >= j->file_bytes ? put_file(j) : r;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static void set_place(struct inventory_state *s, const struct store_object *o)
{
    CHECK(o->key.len <= sizeof(s->key));
    memcpy(s->key, o->key.ptr, o->key.len);
    s->key_len = o->key.len;
    s->version = (struct store_version_ref){
        .kind = o->null_version ? STORE_VERSION_NULL : STORE_VERSION_SEQ, .seq = o->seq};
    s->placed = true;
    s->rows++;
}

static int FIBER add_row(struct inventory_job *j, const struct store_object *o, bool is_latest)
{
    int r = 0;
    buf_reset(&j->grants);
    if (inventory_has(j->config, INVENTORY_ObjectAccessControlList) && !o->delete_marker)
        r = jobs_object_grants(j->jobs, o, &j->grants);
    if (r == 0)
        r = buf_error(&j->grants);
    if (r < 0)
        return r;
    inventory_row(&j->file.rows, j->config, j->bucket.name, o, is_latest, buf_str(&j->grants));
    set_place(j->state, o);
    r = buf_error(&j->file.rows);
    return r < 0 ? r : put_rows(j, false);
}

/* ---- pages ---------------------------------------------------------------------------------- */

struct page {
    size_t count;
    bool more;
};

static int FIBER current_page(struct inventory_job *j, struct page *ret)
{
    const struct inventory_state *s = j->state;
    struct store_list_query q = {
        .prefix = j->config->prefix, .max = PAGE, .sealed = inventory_wants_records(j->config)};
    struct store_list_page page;
    char after[STORE_KEY_MAX]; /* the place moves on with every row */
    memcpy(after, s->key, s->key_len);
    q.after = str_make(after, s->placed ? s->key_len : 0);
    int r = store_list(j->jobs->config.store, &j->arena, j->bucket.id, &q, &page);
    for (size_t n = 0; r == 0 && n < page.count; n++)
        r = add_row(j, &page.entries[n].object, true);
    if (r == 0)
        *ret = (struct page){page.count, page.truncated};
    return r;
}

static int FIBER versions_page(struct inventory_job *j, struct page *ret)
{
    const struct inventory_state *s = j->state;
    struct store_versions_query q = {.prefix = j->config->prefix,
                                     .has_version = s->placed,
                                     .version = s->version,
                                     .max = PAGE,
                                     .sealed = inventory_wants_records(j->config)};
    struct store_versions_page page;
    char after[STORE_KEY_MAX];
    memcpy(after, s->key, s->key_len);
    q.after = str_make(after, s->placed ? s->key_len : 0);
    int r = store_list_versions(j->jobs->config.store, &j->arena, j->bucket.id, &q, &page);
    for (size_t n = 0; r == 0 && n < page.count; n++)
        r = add_row(j, &page.entries[n].object, page.entries[n].is_latest);
    if (r == 0)
        *ret = (struct page){page.count, page.truncated};
    return r;
}

/* ---- the end of a report -------------------------------------------------------------------- */

static int FIBER put_manifest(struct inventory_job *j, const struct inventory_report *report)
{
    _cleanup_buf_ struct buf b;
    uint8_t md5[HASH_MD5_LEN];
    char sum[2 * HASH_MD5_LEN];
    buf_init(&b, JOBS_OBJECT_MAX);
    inventory_manifest(&b, report, j->state->files, j->state->file_count);
    if (buf_error(&b))
        return -ERR_ENTITY_TOO_LARGE;
    md5_of(buf_str(&b), md5);
    hex_encode(md5, sizeof(md5), sum);
    int r = put_part(j, INVENTORY_MANIFEST, 0, buf_str(&b));
    return r < 0 ? r : put_part(j, INVENTORY_CHECKSUM, 0, str_make(sum, sizeof(sum)));
}

static int FIBER put_symlinks(struct inventory_job *j, const struct inventory_report *report)
{
    _cleanup_buf_ struct buf b;
    buf_init(&b, JOBS_OBJECT_MAX);
    inventory_symlinks(&b, report, j->state->file_count);
    return buf_error(&b) ? -ERR_ENTITY_TOO_LARGE : put_part(j, INVENTORY_SYMLINKS, 0, buf_str(&b));
}

static int FIBER end_report(struct inventory_job *j)
{
    struct inventory_state *s = j->state;
    const struct inventory_report report = report_of(j);
    int r = put_rows(j, true);
    if (r == 0)
        r = put_symlinks(j, &report);
    if (r == 0)
        r = put_manifest(j, &report);
    if (r < 0)
        return r;
    jobs_count(&j->reports, 1);
    jobs_count(&j->rows, s->rows);
    s->open = s->placed = false;
    s->file_count = 0;
    j->tries = 0;
    return keep(j);
}

/* ---- a report ------------------------------------------------------------------------------- */

/* The configuration is another, or none, by now, or the bucket is. */
static int FIBER drop_report(struct inventory_job *j)
{
    j->state->open = j->state->placed = false;
    j->state->file_count = 0;
    inventory_file_reset(&j->file);
    return keep(j);
}

static int FIBER report_step(struct inventory_job *j)
{
    const struct inventory_set *set;
    struct page page = {0};
    int r = open_bucket(j, &set);
    if (r < 0)
        return r;
    j->config = set ? inventory_set_find(set, id_of(j)) : NULL;
    if (!j->config || !j->config->enabled || j->config->put_ms != j->state->put_ms ||
        j->bucket.id.n != j->state->source.n)
        return drop_report(j);
    r = j->config->all_versions ? versions_page(j, &page) : current_page(j, &page);
    if (r == 0)
        r = job_spend(j->job, 0, page.count);
    return r == 0 && !page.more ? end_report(j) : r;
}

static bool is_sunday(uint64_t day)
{
    return day % 7 == 3; /* 1970 began on a Thursday */
}

static bool is_due(const struct inventory_job *j, const struct inventory *i)
{
    uint64_t day = j->state->begun_ms / j->day_ms;
    if (!i->enabled)
        return false;
    if (j->state->again)
        return is_retried(j, i->id);
    return !i->weekly || is_sunday(day) || i->put_ms / j->day_ms + 1 == day;
}

static int FIBER begin_report(struct inventory_job *j, const struct inventory *config)
{
    struct inventory_state *s = j->state;
    j->config = config;
    set_id(j, config->id);
    s->source = j->bucket.id;
    s->put_ms = config->put_ms;
    s->report_ms = rt_wall_ms();
    s->placed = false;
    s->rows = 0;
    s->file_count = 0;
    int r = may_put(j);
    if (r < 0)
        return r == -ERR_UNAVAILABLE || r == -ENOMEM || r == -ECANCELED ? r : fail_report(j, r);
    s->open = true;
    return keep(j);
}

/* ---- passes --------------------------------------------------------------------------------- */

static int FIBER end_pass(struct inventory_job *j)
{
    struct inventory_state *s = j->state;
    uint64_t wait = MIN((uint64_t)RETRY_MS << MIN(s->retries, 6u), (uint64_t)RETRY_MS_MAX);
    s->walking = s->again = false;
    s->retried_count = 0;
    s->retry_ms = rt_wall_ms() + MIN(wait, j->day_ms / LOOKS_A_DAY);
    jobs_count(&j->passes, 1);
    __atomic_store_n(&j->last_end_ms, rt_wall_ms(), __ATOMIC_RELAXED);
    return keep(j);
}

static int FIBER next_bucket(struct inventory_job *j)
{
    struct inventory_state *s = j->state;
    struct store_bucket_page page;
    int r = store_bucket_list(j->jobs->config.store, &j->arena, STR_NULL, STR_NULL, bucket_of(j), 1,
                              &page);
    if (r < 0)
        return r;
    if (page.count == 0)
        return end_pass(j);
    struct str name = page.buckets[0].name;
    CHECK(name.len <= sizeof(s->bucket));
    memcpy(s->bucket, name.ptr, name.len);
    s->bucket_len = name.len;
    s->id_len = 0;
    return job_spend(j->job, 0, 1);
}

/* The next of the bucket that is due, or on to the next bucket. */
static int FIBER next_report(struct inventory_job *j)
{
    const struct inventory_set *set;
    struct str id = id_of(j);
    int r = j->state->bucket_len ? open_bucket(j, &set) : 0;
    if (r < 0)
        return r;
    if (!j->state->bucket_len || !set)
        return next_bucket(j);
    size_t n = inventory_set_from(set, id);
    while (n < set->count && (str_eq(set->list[n].id, id) || !is_due(j, &set->list[n])))
        n++;
    return n < set->count ? begin_report(j, &set->list[n]) : next_bucket(j);
}

static int FIBER begin_pass(struct inventory_job *j, bool again)
{
    struct inventory_state *s = j->state;
    s->begun_ms = again ? s->begun_ms : rt_wall_ms();
    s->retries = again ? s->retries + 1 : 0;
    s->retried_count = again ? s->failed_count : 0;
    memcpy(s->retried, s->failed, s->retried_count * sizeof(*s->failed));
    s->failed_count = 0;
    s->again = again;
    s->walking = true;
    s->bucket_len = s->id_len = 0;
    return keep(j);
}

static int FIBER step(struct inventory_job *j)
{
    const struct inventory_state *s = j->state;
    uint64_t now = rt_wall_ms();
    if (s->open)
        return report_step(j);
    if (s->walking)
        return next_report(j);
    if (s->begun_ms / j->day_ms != now / j->day_ms)
        return begin_pass(j, false);
    if (s->failed_count && now >= s->retry_ms)
        return begin_pass(j, true);
    return JOB_IDLE;
}

/* A round that failed: gone back to the kept place, or the end of the report. */
static int FIBER settle(struct inventory_job *j, int err)
{
    bool passes = err == -ECANCELED || err == -ENOMEM || !j->state->open;
    if (!passes)
        passes = err_info(err)->retryable && ++j->tries < TRIES;
    if (!passes)
        return fail_report(j, err);
    j->loaded = false;
    return err;
}

static int FIBER inventory_round(struct job *job, void *arg)
{
    struct inventory_job *j = arg;
    if (!j->jobs->audit_known || !jobs_objects_are_lent(j->jobs))
        return JOB_IDLE;
    arena_reset(&j->arena);
    int r = j->loaded ? 0 : load(j);
    if (r == 0) {
        r = step(j);
        r = r < 0 ? settle(j, r) : r;
    }
    store_bucket_release(&j->bucket);
    j->config = NULL;
    job_set_progress(job, j->state->open ? j->state->rows : 0, 0);
    return r;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

int inventory_add(struct jobs *jobs)
{
    if (!jobs->config.meta)
        return 0; /* without a place there is no telling which day was done */
    struct inventory_job *j = calloc(1, sizeof(*j));
    if (!j)
        return -ENOMEM;
    jobs->inventory = j;
    j->jobs = jobs;
    j->day_ms = jobs->config.lifecycle_day_ms ? jobs->config.lifecycle_day_ms : LIFECYCLE_DAY_MS;
    j->file_bytes =
        jobs->config.inventory_file_bytes ? jobs->config.inventory_file_bytes : FILE_BYTES;
    arena_init(&j->arena, ARENA_MAX);
    buf_init(&j->grants, 0);
    inventory_file_init(&j->file, JOBS_OBJECT_MAX);
    j->state = inventory_state_new();
    if (!j->state)
        return -ENOMEM;
    struct job_def def = {
        .name = "inventory",
        .round = inventory_round,
        .arg = j,
        .items_per_s = ROWS_PER_S,
        .first_ms = (unsigned)MIN((uint64_t)FIRST_MS, j->day_ms / LOOKS_A_DAY),
        .interval_ms = (unsigned)MIN((uint64_t)INTERVAL_MS, j->day_ms / LOOKS_A_DAY),
        .gives_way = true,
    };
    return schedule_add(jobs->schedule, &def, &j->job);
}

void inventory_free(struct inventory_job *j)
{
    if (!j)
        return;
    inventory_file_release(&j->file);
    inventory_state_free(j->state);
    buf_release(&j->grants);
    arena_release(&j->arena);
    free(j);
}

void jobs_inventory_metrics(struct buf *out, struct jobs *jobs)
{
    struct inventory_job *j = jobs->inventory;
    if (!j)
        return;
#define LOAD(field) __atomic_load_n(&j->field, __ATOMIC_RELAXED)
    metrics_single(out, "cairn_inventory_reports_total", "counter",
                   "Inventories that were delivered.", LOAD(reports));
    metrics_single(out, "cairn_inventory_rows_total", "counter",
                   "Objects, versions and markers in them.", LOAD(rows));
    metrics_single(out, "cairn_inventory_files_total", "counter", "Their data files.", LOAD(files));
    metrics_single(out, "cairn_inventory_bytes_total", "counter",
                   "Bytes of what was put, compressed.", LOAD(bytes));
    metrics_single(out, "cairn_inventory_failures_total", "counter",
                   "Inventories that could not be delivered: each is tried again.", LOAD(failures));
    metrics_single(out, "cairn_inventory_passes_total", "counter",
                   "Passes over all configurations, or those that failed, since the start.",
                   LOAD(passes));
    metrics_single(out, "cairn_inventory_last_end_timestamp_seconds", "gauge",
                   "When the last pass ended; 0: not since the start.", LOAD(last_end_ms) / 1000);
#undef LOAD
}
