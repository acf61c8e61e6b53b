/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The scrub. A pass
 *
 *   NEEDLES  reads every living needle of every disk, all disks at once, each in the order of its
 *            keys; what is damaged is listed by its chunk at once (damage.h)
 *   RECORDS  walks every record: is it sound, is every shard it names there; so damage gets the
 *            name of its object, and its state from the shards that are left
 *   IDLE     what this pass did not see again is dropped from the list
 *
 * and after each piece keeps its place, at the latest every ten seconds, so that a crash costs that
 * much. A piece done twice does no harm. A disk that is gone, or fails as a whole, is skipped and
 * counted, and its damages stay listed.
 *
 * While idle, listed damages are looked at again now and then: what was deleted, replaced or
 * repaired goes.
 */

#include "base/log.h"
#include "jobs/internal.h"

#define PIECE_BYTES     (8 * MIB) /* of a disk, a round */
#define KEEP_EVERY_NS   (10 * RT_S)
#define FIRST_MS        10000
#define IDLE_MS         60000
#define BYTES_MAX       (256 * MIB) /* a second, all disks together */
#define EIO_ROW         16          /* unreadable needles in a row: the disk itself fails */
#define REVIEW_EVERY_NS (50 * RT_S)

/* What is suspect, sorted, while the records are walked. */
struct suspects {
    struct needle_key *list;
    size_t count, cap;
};

struct scrub {
    struct jobs *jobs;
    struct job *job;
    struct damages damages;
    struct suspects suspects;
    bool loaded, suspects_loaded;
    uint64_t kept_ns, reviewed_ns;
    struct rt_lock lock;      /* guards `state` against those who look */
    struct scrub_state state; /* changed by the job alone */
    bool wanted;              /* atomic: a pass is to begin now, or to hurry */
};

static uint64_t bytes_max(const struct scrub *s)
{
    uint64_t given = s->jobs->config.scrub_bytes_per_s;
    return given ? given : BYTES_MAX;
}

/* ---- the place ------------------------------------------------------------------------------ */

static int FIBER keep(struct scrub *s)
{
    struct str packed;
    s->state.unlisted = __atomic_load_n(&s->damages.unlisted, __ATOMIC_RELAXED);
    int r = scrub_pack(&s->state, &packed);
    if (r < 0)
        return r;
    r = job_keep(s->job, packed);
    free((char *)(uintptr_t)packed.ptr);
    if (r == 0)
        s->kept_ns = rt_now();
    return r;
}

static int FIBER load(struct scrub *s)
{
    int r = damages_load(&s->damages);
    struct scrub_state *state = malloc(sizeof(*state));
    if (!state)
        return -ENOMEM;
    if (r == 0)
        r = scrub_unpack(job_cursor(s->job), state);
    if (r == 0) {
        rt_lock(&s->lock);
        s->state = *state;
        s->state.records.row.ptr = s->state.records.buffer;
        rt_unlock(&s->lock);
        s->damages.unlisted = state->unlisted;
        s->loaded = true;
    }
    free(state);
    if (r == 0 && s->state.last_started_ms == 0) {
        s->state.last_started_ms = rt_wall_ms();
        r = keep(s);
    }
    return r;
}

static void set_pace(struct scrub *s)
{
    struct scrub_state *t = &s->state;
    struct scrub_pace p = scrub_pace(t, s->jobs->config.scrub_days, bytes_max(s), rt_wall_ms());
    job_set_pace(s->job, p.bytes_per_s, p.items_per_s);
    job_set_gives_way(s->job, p.gives_way);
    if (t->phase == SCRUB_NEEDLES)
        job_set_progress(s->job, scrub_done_bytes(t), MAX(t->total_bytes, scrub_done_bytes(t)));
    else if (t->phase == SCRUB_RECORDS)
        job_set_progress(s->job, t->done_rows, MAX(t->total_rows, t->done_rows));
    else
        job_set_progress(s->job, 0, 0);
}

/* ---- needles -------------------------------------------------------------------------------- */

struct disk_piece {
    struct scrub *scrub;
    struct node *node;
    struct disk_scrub_place place;
    uint64_t told_bytes;
    unsigned unreadable; /* needles in a row */
    uint64_t unreadable_at;
    int err;
};

static bool fails_as_a_whole(struct disk_piece *p, int err)
{
    if (err != -EIO || p->place.bytes != p->unreadable_at)
        p->unreadable = 0;
    p->unreadable_at = p->place.bytes;
    p->unreadable += err == -EIO;
    return p->unreadable >= EIO_ROW;
}

static bool is_gone(const void *node)
{
    return node_state(node) == NODE_GONE;
}

/* A disk that is gone is not waited in: while somebody is inside it is not taken in again. */
static int FIBER wait_inside(struct disk_piece *p, uint64_t bytes)
{
    int r = job_pace_unless(p->scrub->job, bytes, is_gone, p->node);
    return r == 0 && is_gone(p->node) ? -ERR_DISK_GONE : r;
}

static int FIBER on_needle(const struct disk_verify_event *e, void *arg)
{
    struct disk_piece *p = arg;
    struct scrub *s = p->scrub;
    if (e->err == 0) {
        uint64_t bytes = e->done_bytes - p->told_bytes;
        p->told_bytes = e->done_bytes;
        return wait_inside(p, bytes);
    }
    if (fails_as_a_whole(p, e->err))
        return -EIO;
    return damages_put(&s->damages, &(struct damage){.needle = e->key,
                                                     .state = DAMAGE_FOUND,
                                                     .pass = s->state.pass,
                                                     .found_ms = rt_wall_ms(),
                                                     .disk = node_number(p->node),
                                                     .text = str_from(e->text)});
}

static int FIBER piece_main(void *arg)
{
    struct disk_piece *p = arg;
    uint64_t before = p->place.bytes;
    p->err = node_scrub(p->node, &p->place, PIECE_BYTES, on_needle, p);
    uint64_t rest = p->place.bytes - before;
    if (p->err == 0 && rest > p->told_bytes)
        p->err = job_pace(p->scrub->job, rest - p->told_bytes, 0);
    return 0;
}

static bool is_left(const struct scrub_disk *d, struct node *n)
{
    return n && !d->place.end && !d->skipped && node_role(n) != NODE_RETIRED;
}

static void tell_skipped(const struct node *n, int err)
{
    struct log_line line;
    log_begin(&line, LOG_ERROR, "the scrub leaves a disk out of this pass");
    log_str(&line, "disk", str_from(node_path(n)));
    log_err(&line, err);
    log_end(&line);
}

/* What one disk's piece came to. -ECANCELED, -ENOMEM and failures of the list end the round. */
static int settle_piece(struct scrub *s, struct disk_piece *p)
{
    struct scrub_disk *d = &s->state.disks[node_number(p->node)];
    rt_lock(&s->lock);
    d->place = p->place;
    d->skipped = p->err == -EIO;
    rt_unlock(&s->lock);
    if (p->err == -EIO)
        tell_skipped(p->node, p->err);
    return p->err == -EIO || p->err == -ERR_DISK_GONE ? 0 : p->err;
}

/* A piece of each disk that is left and there. *ret_count: how many were. */
static int FIBER read_pieces(struct scrub *s, unsigned *ret_count)
{
    struct nodes *nodes = s->jobs->config.nodes;
    struct disk_piece *pieces = calloc(nodes_count(nodes), sizeof(*pieces));
    struct rt_fiber **fibers = calloc(nodes_count(nodes), sizeof(struct rt_fiber *));
    unsigned n = 0;
    int r = pieces && fibers ? 0 : -ENOMEM;
    for (uint32_t i = 0; r == 0 && i < nodes_count(nodes); i++) {
        struct node *node = nodes_get(nodes, i);
        if (!is_left(&s->state.disks[i], node) || node_state(node) == NODE_GONE)
            continue;
        pieces[n] = (struct disk_piece){.scrub = s, .node = node, .place = s->state.disks[i].place};
        r = rt_spawn(&fibers[n], "scrub-disk", piece_main, &pieces[n]);
        n += r == 0;
    }
    for (unsigned i = 0; i < n; i++) {
        rt_join(fibers[i]);
        int err = settle_piece(s, &pieces[i]);
        r = r ? r : err;
    }
    free(pieces);
    free(fibers);
    *ret_count = n;
    return r;
}

/* Those that are left and gone. */
static void skip_gone(struct scrub *s)
{
    struct nodes *nodes = s->jobs->config.nodes;
    for (uint32_t i = 0; i < nodes_count(nodes); i++) {
        struct node *n = nodes_get(nodes, i);
        if (!is_left(&s->state.disks[i], n))
            continue;
        s->state.disks[i].skipped = true;
        tell_skipped(n, -ERR_DISK_GONE);
    }
}

/* ---- records -------------------------------------------------------------------------------- */

static int compare(const void *x, const void *y)
{
    const struct needle_key *a = x, *b = y;
    if (a->chunk.session != b->chunk.session)
        return a->chunk.session < b->chunk.session ? -1 : 1;
    if (a->chunk.counter != b->chunk.counter)
        return a->chunk.counter < b->chunk.counter ? -1 : 1;
    return a->shard < b->shard ? -1 : a->shard > b->shard;
}

/* The rows come in this very order. */
static int add_suspect(const struct damage *d, void *arg)
{
    struct suspects *t = arg;
    if (t->count == t->cap) {
        size_t cap = MAX(2 * t->cap, (size_t)64);
        struct needle_key *list = realloc(t->list, cap * sizeof(*list));
        if (!list)
            return -ENOMEM;
        t->list = list;
        t->cap = cap;
    }
    t->list[t->count++] = d->needle;
    return 0;
}

static int FIBER load_suspects(struct scrub *s)
{
    s->suspects.count = 0;
    int r = damages_each(&s->damages, add_suspect, &s->suspects);
    s->suspects_loaded = r == 0;
    return r;
}

static bool is_suspect(void *arg, struct chunk_id chunk, unsigned shard)
{
    struct scrub *s = arg;
    struct needle_key key = {chunk, (uint16_t)shard};
    return s->suspects.count &&
           bsearch(&key, s->suspects.list, s->suspects.count, sizeof(key), compare);
}

/* By the shards that are left. */
static enum damage_state judge(const struct store_scrub_fault *f)
{
    unsigned good = 0, gone = 0, k = MAX(f->chunk->code_k, (uint8_t)1);
    for (unsigned i = 0; i < f->chunk->shard_count; i++) {
        good += f->errors[i] == 0;
        gone += f->errors[i] == -ERR_DISK_GONE;
    }
    if (good >= k)
        return DAMAGE_REPAIRABLE;
    return good + gone >= k ? DAMAGE_WAITING : DAMAGE_LOST;
}

static struct damage damage_of(const struct scrub *s, const struct store_scrub_fault *f)
{
    return (struct damage){
        .pass = s->state.pass,
        .found_ms = rt_wall_ms(),
        .disk = DAMAGE_DISK_NONE,
        .text = str_from(f->text),
        .bucket = f->bucket,
        .bucket_name = f->bucket_name,
        .key = f->key,
        .upload = f->upload,
        .seq = f->seq,
    };
}

/* A record without a sound row, or with bytes that are not its own: nothing can repair it. */
static int FIBER list_record(struct scrub *s, const struct store_scrub_fault *f)
{
    struct damage d = damage_of(s, f);
    uint64_t name[] = {f->bucket.n, f->seq, hash_xxh3(f->key.ptr, f->key.len),
                       hash_xxh3(f->upload.ptr, f->upload.len)};
    d.needle.chunk.counter = hash_xxh3(name, sizeof(name));
    d.state = DAMAGE_LOST;
    return damages_put(&s->damages, &d);
}

static int FIBER queue_repair(struct scrub *s, const struct store_scrub_fault *f)
{
    struct store_place place = {.bucket = f->bucket,
                                .key = f->upload.len ? STR("") : f->key,
                                .upload = f->upload,
                                .part = f->part,
                                .seq = f->seq};
    return store_repair_queue(s->jobs->config.store, &place, f->chunk->id, true);
}

static int FIBER on_fault(const struct store_scrub_fault *f, void *arg)
{
    struct scrub *s = arg;
    if (!f->chunk) {
        s->state.faults++;
        return list_record(s, f);
    }
    struct damage d = damage_of(s, f);
    d.state = judge(f);
    int r = d.state == DAMAGE_REPAIRABLE ? queue_repair(s, f) : 0;
    for (unsigned i = 0; r == 0 && i < f->chunk->shard_count; i++) {
        if (f->errors[i] == 0 || f->errors[i] == -ERR_DISK_GONE)
            continue;
        d.needle = (struct needle_key){f->chunk->id, (uint16_t)i};
        d.disk = f->chunk->shards[i].disk;
        s->state.faults++;
        r = damages_put(&s->damages, &d);
    }
    return r;
}

static int FIBER on_row(void *arg, uint64_t chunks)
{
    struct scrub *s = arg;
    s->state.done_rows++;
    return job_pace(s->job, 0, MAX(chunks, (uint64_t)1));
}

static int FIBER read_records(struct scrub *s)
{
    struct store_scrub_hooks hooks = {is_suspect, on_fault, on_row, s};
    struct store_walk_place *place = malloc(sizeof(*place));
    if (!place)
        return -ENOMEM;
    *place = s->state.records;
    place->row.ptr = place->buffer;
    int r = s->suspects_loaded ? 0 : load_suspects(s);
    if (r == 0)
        r = store_scrub(s->jobs->config.store, place, &hooks);
    if (r == 0) {
        s->state.records = *place;
        s->state.records.row.ptr = s->state.records.buffer;
    }
    free(place);
    return r;
}

/* ---- passes --------------------------------------------------------------------------------- */

static uint64_t live_bytes(struct scrub *s)
{
    struct nodes *nodes = s->jobs->config.nodes;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < nodes_count(nodes); i++) {
        struct node_stats stats;
        if (!nodes_get(nodes, i))
            continue;
        node_stats(nodes_get(nodes, i), &stats);
        sum += stats.disk.live_bytes;
    }
    return sum;
}

static int FIBER begin_pass(struct scrub *s, bool manual)
{
    struct scrub_state *t = &s->state;
    uint64_t total = live_bytes(s);
    rt_lock(&s->lock);
    __atomic_store_n(&s->wanted, false, __ATOMIC_RELAXED); /* at once with the phase: see status */
    t->pass++;
    t->phase = SCRUB_NEEDLES;
    t->manual = manual;
    t->started_ms = rt_wall_ms();
    t->total_bytes = total;
    t->faults = t->done_rows = t->total_rows = 0;
    memset(t->disks, 0, sizeof(t->disks));
    t->records = (struct store_walk_place){.row = {t->records.buffer, 0}};
    rt_unlock(&s->lock);
    return keep(s);
}

static int FIBER begin_records(struct scrub *s)
{
    uint64_t rows = 0;
    int r = store_count_rows(s->jobs->config.store, &rows);
    if (r < 0)
        return r;
    skip_gone(s);
    s->suspects_loaded = false;
    rt_lock(&s->lock);
    s->state.total_rows = rows;
    s->state.phase = SCRUB_RECORDS;
    rt_unlock(&s->lock);
    return keep(s);
}

/* Seen in this pass and named; or on a disk that was not looked at. */
static int FIBER drop_old(const struct damage *d, void *arg)
{
    struct scrub *s = arg;
    bool seen = d->pass == s->state.pass && d->state != DAMAGE_FOUND;
    bool unseen =
        d->disk < NODES_MAX && s->state.disks[d->disk].skipped && d->state != DAMAGE_FOUND;
    return seen || unseen ? 0 : damages_remove(&s->damages, d->needle);
}

static void tell_pass(const struct scrub *s)
{
    uint64_t lost = damages_count(&s->damages, DAMAGE_LOST);
    struct log_line line;
    log_begin(&line,
              lost              ? LOG_ERROR
              : s->state.faults ? LOG_WARN
                                : LOG_INFO,
              lost ? "the scrub found what cannot be repaired: see cairn admin scrub status"
              : s->state.faults ? "the scrub found damage that other shards make good"
                                : "the scrub has read everything");
    log_u64(&line, "bytes", scrub_done_bytes(&s->state));
    log_u64(&line, "records", s->state.done_rows);
    log_u64(&line, "damaged", s->state.faults);
    log_u64(&line, "lost", lost);
    log_u64(&line, "disks_skipped", scrub_skipped(&s->state));
    log_end(&line);
}

static int FIBER end_pass(struct scrub *s)
{
    struct scrub_state *t = &s->state;
    int r = damages_each(&s->damages, drop_old, s);
    if (r < 0)
        return r;
    if (damages_count(&s->damages, DAMAGE_LOST) < DAMAGES_MAX)
        __atomic_store_n(&s->damages.unlisted, 0, __ATOMIC_RELAXED);
    tell_pass(s);
    rt_lock(&s->lock);
    t->phase = SCRUB_IDLE;
    t->manual = false;
    t->last_started_ms = t->started_ms;
    t->last_ended_ms = rt_wall_ms();
    t->last_bytes = scrub_done_bytes(t);
    t->last_faults = t->faults;
    t->last_skipped = scrub_skipped(t);
    rt_unlock(&s->lock);
    return keep(s);
}

/* ---- while idle ----------------------------------------------------------------------------- */

struct second_look {
    struct scrub *scrub;
    struct needle_key needle;
    bool sound;
};

static int FIBER look_again(const struct store_place *p, const struct blob_chunk *c, void *arg)
{
    struct second_look *l = arg;
    int errors[BLOB_SHARDS_MAX];
    if (!chunk_id_eq(c->id, l->needle.chunk) || l->needle.shard >= c->shard_count)
        return 0;
    blob_verify(l->scrub->jobs->config.blob, c, true, errors);
    l->sound = errors[l->needle.shard] == 0 && c->shards[l->needle.shard].disk != BLOB_DISK_NONE;
    return job_pace(l->scrub->job, c->len_bytes, 1);
}

/* Whether the shard that was to be repaired is sound now. */
static int FIBER is_repaired(struct scrub *s, const struct damage *d, bool *ret)
{
    struct second_look l = {.scrub = s, .needle = d->needle};
    *ret = false;
    if (!s->jobs->config.blob || d->upload.len ||
        (d->state != DAMAGE_REPAIRABLE && d->state != DAMAGE_WAITING))
        return 0;
    int r = store_object_chunks(s->jobs->config.store, d->bucket, d->key, look_again, &l);
    *ret = l.sound;
    return r == -ERR_NO_SUCH_KEY ? 0 : r;
}

/* Drops it when no row names it any more, or it has been repaired. */
static int FIBER review_one(const struct damage *d, void *arg)
{
    struct scrub *s = arg;
    bool repaired = false;
    int named = store_names_chunk(s->jobs->config.store, d->bucket, d->key, d->seq, d->upload,
                                  d->needle.chunk);
    int r = named > 0 ? is_repaired(s, d, &repaired) : MIN(named, 0);
    return r == 0 && (named == 0 || repaired) ? damages_remove(&s->damages, d->needle) : r;
}

static int FIBER review(struct scrub *s)
{
    if (s->reviewed_ns && rt_now() - s->reviewed_ns < REVIEW_EVERY_NS)
        return 0;
    s->reviewed_ns = rt_now();
    return damages_each(&s->damages, review_one, s);
}

/* ---- the job -------------------------------------------------------------------------------- */

static int FIBER step_idle(struct scrub *s)
{
    bool wanted = __atomic_load_n(&s->wanted, __ATOMIC_RELAXED);
    if (wanted || scrub_due(&s->state, s->jobs->config.scrub_days, rt_wall_ms()))
        return begin_pass(s, wanted);
    int r = review(s);
    return r < 0 ? r : JOB_IDLE;
}

static int FIBER step_needles(struct scrub *s)
{
    unsigned count;
    int r = read_pieces(s, &count);
    if (r == 0 && count == 0)
        return begin_records(s);
    return r;
}

static int FIBER step_records(struct scrub *s)
{
    int r = read_records(s);
    return r == 0 && s->state.records.end ? end_pass(s) : r;
}

static int FIBER scrub_round(struct job *job, void *arg)
{
    struct scrub *s = arg;
    int r = s->loaded ? 0 : load(s);
    if (r < 0)
        return r;
    if (s->state.phase != SCRUB_IDLE && __atomic_exchange_n(&s->wanted, false, __ATOMIC_RELAXED))
        s->state.manual = true;
    set_pace(s);
    if (s->state.phase == SCRUB_IDLE)
        r = step_idle(s);
    else if (s->state.phase == SCRUB_NEEDLES)
        r = step_needles(s);
    else
        r = step_records(s);
    set_pace(s);
    if (r == JOB_AGAIN && rt_now() - s->kept_ns >= KEEP_EVERY_NS)
        r = keep(s);
    return r == JOB_AGAIN ? job_spend(job, 0, 0) : r;
}

int scrub_add(struct jobs *j)
{
    if (!j->config.meta)
        return 0; /* without a place there is no pass */
    struct scrub *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->jobs = j;
    s->damages.meta = j->config.meta;
    rt_lock_init(&s->lock);
    j->scrub = s;
    struct job_def def = {
        .name = "scrub",
        .round = scrub_round,
        .arg = s,
        .first_ms = j->config.scrub_first_ms ? j->config.scrub_first_ms : FIRST_MS,
        .interval_ms = IDLE_MS,
        .gives_way = true,
    };
    return schedule_add(j->schedule, &def, &s->job);
}

void scrub_free(struct scrub *s)
{
    if (!s)
        return;
    free(s->suspects.list);
    free(s);
}

/* ---- from outside --------------------------------------------------------------------------- */

int FIBER jobs_scrub_start(struct jobs *j)
{
    struct scrub *s = j->scrub;
    __atomic_store_n(&s->wanted, true, __ATOMIC_RELAXED);
    return job_pause(s->job, false);
}

int FIBER jobs_scrub_stop(struct jobs *j)
{
    __atomic_store_n(&j->scrub->wanted, false, __ATOMIC_RELAXED);
    return job_pause(j->scrub->job, true);
}

void jobs_scrub_status(struct jobs *j, struct scrub_status *ret)
{
    static const char *const phases[] = {"idle", "needles", "records"};
    struct scrub *s = j->scrub;
    *ret = (struct scrub_status){.days = j->config.scrub_days};
    job_status(s->job, &ret->job);
    rt_lock(&s->lock);
    const struct scrub_state *t = &s->state;
    /* Not idle: who asks for a pass waits for its end, also where this life knows of none yet. */
    bool asked = t->phase == SCRUB_IDLE && __atomic_load_n(&s->wanted, __ATOMIC_RELAXED);
    ret->phase = asked ? "asked" : phases[t->phase];
    ret->pass = t->pass;
    ret->started_ms = t->phase == SCRUB_IDLE ? 0 : t->started_ms;
    ret->faults = t->faults;
    ret->skipped = scrub_skipped(t);
    ret->last_started_ms = t->last_ended_ms ? t->last_started_ms : 0;
    ret->last_ended_ms = t->last_ended_ms;
    ret->last_bytes = t->last_bytes;
    ret->last_faults = t->last_faults;
    ret->last_skipped = t->last_skipped;
    ret->overdue = scrub_overdue(t, ret->days, rt_wall_ms());
    rt_unlock(&s->lock);
    for (unsigned i = 0; i < DAMAGE_STATES; i++)
        ret->damages[i] = damages_count(&s->damages, i);
    ret->unlisted = __atomic_load_n(&s->damages.unlisted, __ATOMIC_RELAXED);
}

int FIBER jobs_damages_each(struct jobs *j, int (*fn)(const struct damage *d, void *arg), void *arg)
{
    return damages_each(&j->scrub->damages, fn, arg);
}

void jobs_scrub_metrics(struct buf *out, struct jobs *j)
{
    struct scrub_status s;
    jobs_scrub_status(j, &s);
    metrics_single(out, "cairn_scrub_overdue", "gauge",
                   "1 when a byte may have gone unread for longer than the days of --scrub-days.",
                   s.overdue);
    metrics_single(out, "cairn_scrub_last_end_timestamp_seconds", "gauge",
                   "When the last whole pass ended; 0: never.", s.last_ended_ms / 1000);
    metrics_single(out, "cairn_scrub_disks_skipped", "gauge",
                   "Disks that the last whole pass left out.", s.last_skipped);
    metrics_family(out, "cairn_damages", "gauge", "Damaged shards and records that are listed.");
    for (unsigned i = 0; i < DAMAGE_STATES; i++) {
        struct metrics_label labels[] = {{"state", str_from(damage_state_text(i))},
                                         {NULL, STR_NULL}};
        metrics_sample_u64(out, "cairn_damages", labels, s.damages[i]);
    }
    metrics_single(out, "cairn_damages_unlisted", "gauge", "Damages beyond what the list can hold.",
                   s.unlisted);
}
