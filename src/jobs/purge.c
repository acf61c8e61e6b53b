/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The job of purge.h. Its place is durable after each page; whoever asks hands the request over
 * under the lock and waits until the job has made it durable.
 *
 * Lock: `lock` guards `shown` and the request; `state` is the job's own.
 */

#include "audit/audit.h"
#include "base/log.h"
#include "events/notice.h"
#include "jobs/internal.h"
#include <stdio.h>

#define INTERVAL_MS 1000
#define ITEMS_PER_S 20000
#define BYTES_PER_S (64 * MIB)    /* erased */
#define LOOK_NS     (200 * RT_MS) /* between looks whether the collector is done */
#define ROUNDS_MAX  3             /* of removing: somebody may write all the time */
#define ASK_WAIT_NS (20 * RT_S)
#define ASK_LOOK_NS (5 * RT_MS)
#define DETAIL_MAX  512
#define REQUESTER   STR("purge")

enum ask { ASK_NOTHING, ASK_START, ASK_STOP };

struct purge_job {
    struct jobs *jobs;
    struct job *job;
    bool loaded;
    struct purge_state state;
    uint64_t refused_before; /* by the collector, when `state.refused` was counted */
    struct arena arena;      /* of a page: its notice */
    /* Of the erasing: begun in this process, up to which volume of each disk, which disk is next.
     */
    bool erasing;
    uint32_t upto[NODES_MAX], disk;
    struct rt_lock lock;
    struct purge_state shown;
    bool waits; /* somebody for an answer, until it was read */
    enum ask ask;
    int answer; /* to the request; 1: none yet */
    struct purge_state asked;
};

/* ---- the place ------------------------------------------------------------------------------ */

static void publish(struct purge_job *p)
{
    rt_lock(&p->lock);
    p->shown = p->state;
    rt_unlock(&p->lock);
}

static uint64_t refused_now(struct purge_job *p)
{
    struct store_stats stats;
    store_stats(p->jobs->config.store, &stats);
    return stats.gc_refused;
}

static int FIBER keep(struct purge_job *p)
{
    struct str packed;
    uint64_t refused = refused_now(p), more = refused - p->refused_before;
    p->state.refused += more;
    int r = purge_pack(&p->state, &packed);
    if (r == 0) {
        r = job_keep(p->job, packed);
        free((void *)(uintptr_t)packed.ptr);
    }
    if (r < 0) {
        p->state.refused -= more;
        return r;
    }
    p->refused_before = refused;
    publish(p);
    return 0;
}

static int load(struct purge_job *p)
{
    int r = purge_unpack(job_cursor(p->job), &p->state);
    if (r < 0)
        return r;
    p->loaded = true;
    publish(p);
    return 0;
}

/* ---- telling -------------------------------------------------------------------------------- */

static struct audit_record record_of(const struct purge_job *p, const char *operation)
{
    const struct purge_state *s = &p->state;
    return (struct audit_record){
        .operation = str_from(operation),
        .outcome = AUDIT_DONE,
        .user = job_text_str(&s->user),
        .access_key = job_text_str(&s->access_key),
        .source = job_text_str(&s->source),
        .request_id = job_text_str(&s->request_id),
    };
}

static void audit_item(struct purge_job *p, const struct store_purge_item *item,
                       enum audit_outcome outcome)
{
    static const char *const operations[] = {"purge:DeleteVersion", "purge:DeleteMarker",
                                             "purge:AbortUpload"};
    struct audit_record record = record_of(p, operations[item->kind]);
    char version[20];
    int len = snprintf(version, sizeof(version), "%016llx", (unsigned long long)item->seq);
    record.outcome = outcome;
    record.bucket = item->bucket;
    record.key = item->key;
    record.version = item->upload.ptr     ? item->upload
                     : item->null_version ? STR("null")
                                          : str_make(version, (size_t)len);
    audit_put(p->jobs->audit, &record);
}

static void audit_end(struct purge_job *p)
{
    const struct purge_counts *c = &p->state.counts;
    struct audit_record record = record_of(p, "purge:End");
    char text[DETAIL_MAX];
    int len = snprintf(
        text, sizeof(text),
        "{\"phase\":\"%s\",\"versions\":%llu,\"markers\":%llu,\"uploads\":%llu,\"bytes\":%llu,"
        "\"held\":%llu,\"retained\":%llu,\"hides\":%llu,\"left\":%llu,\"proved\":%s}",
        purge_phase_text(p->state.phase), (unsigned long long)c->gone[STORE_PURGE_VERSION],
        (unsigned long long)c->gone[STORE_PURGE_MARKER],
        (unsigned long long)c->gone[STORE_PURGE_UPLOAD], (unsigned long long)c->bytes,
        (unsigned long long)c->held, (unsigned long long)c->retained, (unsigned long long)c->hides,
        (unsigned long long)c->left, purge_is_proved(&p->state) ? "true" : "false");
    record.bucket = job_text_str(&p->state.bucket);
    record.key = job_text_str(&p->state.prefix);
    record.outcome = p->state.phase == PURGE_DONE ? AUDIT_DONE : AUDIT_FAILED;
    record.after = str_make(text, (size_t)MIN(len, (int)sizeof(text) - 1));
    audit_put(p->jobs->audit, &record);
}

/* ---- a page --------------------------------------------------------------------------------- */

static int begin_bucket(void *arg, const struct store_bucket *b, struct store_notice **ret)
{
    struct purge_job *p = arg;
    struct event_origin origin = {.arena = &p->arena, .bucket = b, .requester = REQUESTER};
    *ret = NULL;
    if (p->state.phase != PURGE_REMOVING)
        return 0;
    return event_notice_make(p->jobs->config.events, &origin, EVENT_NAMES(EVENT_CREATED_PUT), ret);
}

static void count_gone(struct purge_job *p, const struct store_purge_item *item)
{
    struct purge_counts *c = &p->state.counts;
    c->gone[item->kind]++;
    c->parts += item->parts;
    c->bytes += item->bytes;
    audit_item(p, item, AUDIT_DONE);
}

static void count_kept(struct purge_job *p, const struct store_purge_item *item)
{
    struct purge_counts *c = &p->state.counts;
    c->held += item->fate == STORE_PURGE_HELD;
    c->retained += item->fate == STORE_PURGE_RETAINED;
    c->hides += item->fate == STORE_PURGE_HIDES;
    c->left += item->fate == STORE_PURGE_GOES || item->fate == STORE_PURGE_CHANGED;
}

/* What a crash may hide from whoever comes after is written down before. */
static int FIBER intend_item(void *arg, const struct store_purge_item *item, bool last)
{
    struct purge_job *p = arg;
    audit_item(p, item, AUDIT_BEGUN);
    return last && p->jobs->audit ? audit_flush(p->jobs->audit) : 0;
}

/* What stays is counted by the look that comes after: it may be another by then. */
static int note_item(void *arg, const struct store_purge_item *item)
{
    struct purge_job *p = arg;
    if (p->state.phase == PURGE_PROVING)
        count_kept(p, item);
    else if (item->fate == STORE_PURGE_GOES)
        count_gone(p, item);
    return 0;
}

static int FIBER walk_page(struct purge_job *p)
{
    const struct store_purge_hooks hooks = {begin_bucket, intend_item, note_item, p};
    struct store_purge_what what = purge_what(&p->state);
    struct store_purge_place place = p->state.place;
    struct purge_counts before = p->state.counts;
    uint64_t rows = 0;
    arena_reset(&p->arena);
    int r = store_purge_page(p->jobs->config.store, &what, p->state.phase == PURGE_REMOVING, &place,
                             &hooks, &rows);
    if (r < 0) {
        /* What is only looked at is met again when the page is done anew. */
        if (p->state.phase == PURGE_PROVING)
            p->state.counts = before;
        return r;
    }
    p->state.place = place;
    r = keep(p);
    return r < 0 ? r : job_spend(p->job, 0, rows);
}

/* ---- phases --------------------------------------------------------------------------------- */

static int FIBER enter(struct purge_job *p, enum purge_phase phase)
{
    struct purge_state *s = &p->state;
    struct purge_counts *c = &s->counts;
    s->phase = phase;
    s->place = (struct store_purge_place){0};
    s->rounds += phase == PURGE_REMOVING;
    if (phase == PURGE_PROVING) {
        s->removed_ms = rt_wall_ms();
        s->due_ms = store_purge_due_ms(p->jobs->config.store);
        c->held = c->retained = c->hides = c->left = 0;
    }
    if (phase == PURGE_DONE || phase == PURGE_STOPPED) {
        s->ended_ms = rt_wall_ms();
        audit_end(p);
    }
    return keep(p);
}

static int FIBER walk(struct purge_job *p)
{
    int r = walk_page(p);
    if (r < 0 || !p->state.place.end)
        return r;
    if (p->state.phase == PURGE_REMOVING)
        return enter(p, PURGE_PROVING);
    bool again = p->state.counts.left > 0 && p->state.rounds < ROUNDS_MAX;
    return enter(p, again ? PURGE_REMOVING : PURGE_COLLECTING);
}

/* The next bucket of all, behind the place; empty: there is none. */
static int FIBER next_bucket(struct purge_job *p, struct str *ret)
{
    struct store_purge_place *at = &p->state.place;
    struct store_bucket_page page;
    *ret = job_text_str(&p->state.bucket);
    if (ret->len && at->bucket_len)
        *ret = STR("");
    if (p->state.bucket.len)
        return 0;
    int r = store_bucket_list(p->jobs->config.store, &p->arena, STR_NULL, STR_NULL,
                              str_make(at->bucket, at->bucket_len), 1, &page);
    *ret = r == 0 && page.count ? page.buckets[0].name : STR("");
    return r;
}

/* One bucket after the other: none has garbage from before. */
static int FIBER collect(struct purge_job *p)
{
    struct store_purge_place *at = &p->state.place;
    struct str bucket;
    bool pending = false;
    arena_reset(&p->arena);
    int r = next_bucket(p, &bucket);
    if (r < 0)
        return r;
    if (bucket.len == 0)
        return enter(p, p->state.erase ? PURGE_ERASING : PURGE_DONE);
    r = store_purge_pending(p->jobs->config.store, bucket, p->state.due_ms, &pending);
    if (r < 0 && r != -ERR_NO_SUCH_BUCKET)
        return r;
    if (pending)
        return job_rest(p->job, rt_now() + LOOK_NS);
    memcpy(at->bucket, bucket.ptr, bucket.len);
    at->bucket_len = bucket.len;
    return 0;
}

/* ---- erasing -------------------------------------------------------------------------------- */

static void FIBER begin_erasing(struct purge_job *p)
{
    struct nodes *nodes = p->jobs->config.nodes;
    for (uint32_t i = 0; i < nodes_count(nodes); i++) {
        struct node *n = nodes_get(nodes, i);
        p->upto[i] = n ? node_newest(n) : 0;
    }
    p->state.stuck = 0;
    p->disk = 0;
    p->erasing = true;
}

/* One volume of a disk. What lies on a disk that is gone cannot be reached. */
static int FIBER erase_volume(struct purge_job *p, struct node *n)
{
    struct disk_erased erased;
    if (!n || node_role(n) == NODE_RETIRED || node_state(n) == NODE_GONE) {
        p->state.stuck += n && node_role(n) != NODE_RETIRED;
        p->disk++;
        return 0;
    }
    if (p->upto[p->disk] == 0) /* it was not there when the erasing began */
        p->upto[p->disk] = node_newest(n);
    int r = node_erase(n, p->upto[p->disk], &erased);
    if (r < 0)
        return r == -ERR_DISK_GONE ? 0 : r;
    if (erased.more)
        return erased.freed_bytes ? job_spend(p->job, erased.freed_bytes, 1)
                                  : job_rest(p->job, rt_now() + LOOK_NS);
    p->state.stuck += erased.stuck;
    p->disk++;
    return 0;
}

static int FIBER erase(struct purge_job *p)
{
    struct nodes *nodes = p->jobs->config.nodes;
    if (!p->erasing)
        begin_erasing(p);
    if (p->disk < nodes_count(nodes))
        return erase_volume(p, nodes_get(nodes, p->disk));
    int r = store_erase(p->jobs->config.store);
    if (r == -ERR_BUSY)
        return job_rest(p->job, rt_now() + LOOK_NS);
    if (r < 0)
        return r;
    struct meta_stats meta;
    meta_stats(p->jobs->config.meta, &meta);
    p->state.stuck += meta.mirrors_lost + meta.mirrors_rebuilding;
    p->erasing = false;
    return enter(p, PURGE_DONE);
}

static int FIBER step(struct purge_job *p)
{
    switch (p->state.phase) {
    case PURGE_COLLECTING:
        return collect(p);
    case PURGE_ERASING:
        return erase(p);
    default:
        return walk(p);
    }
}

/* ---- requests ------------------------------------------------------------------------------- */

static int FIBER begin(struct purge_job *p, const struct purge_state *asked)
{
    if (purge_is_under_way(p->state.phase))
        return -ERR_BUSY;
    uint64_t last = p->state.id;
    p->state = *asked;
    p->state.id = MAX(rt_wall_ms(), last + 1);
    p->erasing = false;
    p->refused_before = refused_now(p);
    return enter(p, PURGE_REMOVING);
}

static int FIBER take_request(struct purge_job *p)
{
    rt_lock(&p->lock);
    enum ask ask = p->ask;
    p->ask = ASK_NOTHING;
    rt_unlock(&p->lock);
    if (ask == ASK_NOTHING)
        return 0;
    int r = 0;
    if (ask == ASK_START) /* whoever asks touches `asked` no more until it is answered */
        r = begin(p, &p->asked);
    else if (purge_is_under_way(p->state.phase))
        r = enter(p, PURGE_STOPPED);
    /* Whoever asks is told that it failed: what is kept counts, not what was begun in memory. */
    p->loaded = p->loaded && (r == 0 || r == -ERR_BUSY);
    rt_lock(&p->lock);
    p->answer = r;
    rt_unlock(&p->lock);
    return r == -ERR_BUSY ? 0 : r;
}

static int FIBER purge_round(struct job *job, void *arg)
{
    struct purge_job *p = arg;
    int r = p->loaded ? 0 : load(p);
    if (r == 0)
        r = take_request(p);
    if (r < 0)
        return r;
    if (!purge_is_under_way(p->state.phase) || !p->jobs->audit_known)
        return JOB_IDLE;
    r = step(p);
    return r < 0 ? r : JOB_AGAIN;
}

/* ---- from outside --------------------------------------------------------------------------- */

static int answer_of(struct purge_job *p, int *ret)
{
    rt_lock(&p->lock);
    bool there = p->answer <= 0;
    *ret = p->answer;
    p->waits = !there;
    rt_unlock(&p->lock);
    return there;
}

/* Nobody took it: the job is paused. False: it was taken after all. */
static bool take_back(struct purge_job *p)
{
    rt_lock(&p->lock);
    bool mine = p->ask != ASK_NOTHING;
    if (mine) {
        p->ask = ASK_NOTHING;
        p->waits = false;
    }
    rt_unlock(&p->lock);
    return mine;
}

static int FIBER await_answer(struct purge_job *p)
{
    uint64_t end = rt_now() + ASK_WAIT_NS;
    int r = 0;
    job_wake(p->job);
    while (!answer_of(p, &r)) {
        if (rt_now() >= end && take_back(p))
            return -ERR_UNAVAILABLE;
        if (rt_sleep_until(rt_now() + ASK_LOOK_NS) < 0 && take_back(p))
            return -ECANCELED;
    }
    return r;
}

/* False: another request waits for its answer. */
static bool hand_over(struct purge_job *p, enum ask ask, const struct purge_state *asked)
{
    rt_lock(&p->lock);
    bool is_free = !p->waits;
    if (is_free) {
        p->waits = true;
        p->ask = ask;
        p->answer = 1;
        if (asked)
            p->asked = *asked;
    }
    rt_unlock(&p->lock);
    return is_free;
}

static int fill_request(struct purge_state *s, const struct purge_request *q)
{
    const struct store_purge_what *w = &q->what;
    s->tagged = w->tagged;
    s->erase = q->erase;
    int r = job_text_set(&s->bucket, w->bucket, sizeof(s->place.bucket));
    if (r == 0)
        r = job_text_set(&s->prefix, w->prefix, STORE_KEY_MAX);
    if (r == 0)
        r = job_text_set(&s->tag_name, w->tag.name, STORE_KEY_MAX);
    if (r == 0)
        r = job_text_set(&s->tag_value, w->tag.value, STORE_KEY_MAX);
    /* Who asks is for people: a long one is cut short. */
    (void)job_text_set(&s->user, str_prefix(q->user, PURGE_NAME_MAX), PURGE_NAME_MAX);
    (void)job_text_set(&s->access_key, str_prefix(q->access_key, PURGE_NAME_MAX), PURGE_NAME_MAX);
    (void)job_text_set(&s->source, str_prefix(q->source, PURGE_NAME_MAX), PURGE_NAME_MAX);
    (void)job_text_set(&s->request_id, str_prefix(q->request_id, PURGE_NAME_MAX), PURGE_NAME_MAX);
    return r;
}

int FIBER jobs_purge_start(struct jobs *j, const struct purge_request *request)
{
    if (!j->purge)
        return -ERR_UNAVAILABLE;
    _cleanup_free_ struct purge_state *asked = calloc(1, sizeof(*asked));
    int r = asked ? fill_request(asked, request) : -ENOMEM;
    if (r < 0)
        return r;
    return hand_over(j->purge, ASK_START, asked) ? await_answer(j->purge) : -ERR_BUSY;
}

int FIBER jobs_purge_stop(struct jobs *j)
{
    if (!j->purge)
        return -ERR_UNAVAILABLE;
    return hand_over(j->purge, ASK_STOP, NULL) ? await_answer(j->purge) : -ERR_BUSY;
}

void jobs_purge_status(struct jobs *j, struct purge_state *ret)
{
    *ret = (struct purge_state){0};
    if (!j->purge)
        return;
    rt_lock(&j->purge->lock);
    *ret = j->purge->shown;
    rt_unlock(&j->purge->lock);
}

int purge_add(struct jobs *j)
{
    if (!j->config.meta)
        return 0; /* without a place it could not go on after a restart */
    struct purge_job *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    j->purge = p;
    p->jobs = j;
    rt_lock_init(&p->lock);
    arena_init(&p->arena, 16 * MIB);
    struct job_def def = {
        .name = "purge",
        .round = purge_round,
        .arg = p,
        .bytes_per_s = BYTES_PER_S,
        .items_per_s = ITEMS_PER_S,
        .interval_ms = INTERVAL_MS,
        .gives_way = true,
    };
    return schedule_add(j->schedule, &def, &p->job);
}

void purge_free(struct purge_job *p)
{
    if (!p)
        return;
    arena_release(&p->arena);
    free(p);
}
