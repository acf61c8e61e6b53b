/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Versions, object lock and lifecycle against a simple model, over virtual weeks and crashes: one
 * client writes, removes, locks and reads, while the lifecycle job removes what its rules say is
 * due. Buckets never versioned, versioned and suspended in turns, and with object lock.
 *
 * The model holds of each key the list of its versions. After each operation the key is listed, and
 * every difference from the model must have a reason: the operation at hand (which after a crash
 * may have happened or not), or a rule that was due. What is locked has no reason to go. At the end
 * some weeks pass, and then what the rules say goes is gone, all else reads back, and the disk
 * holds a needle for each long version and no other.
 */

#include <stdio.h>
#include "base/error.h"
#include "jobs/jobs.h"
#include "sim/cases.h"
#include "sim/store_model.h"

#define DISK_BYTES   (64 * MIB)
#define OPS          70u
#define KEYS         6u /* the first half under the rules */
#define VERSIONS_MAX (OPS + 32)
#define DAY_MS       (600 * 1000ULL)
#define LONG_DAYS    20u /* after which all is done */

enum kind { NEVER, IN_TURNS, LOCKED, KINDS };

struct version {
    uint64_t seq, tag, mtime_ms, len_bytes;
    bool marker, null;
    struct store_lock lock;
};

struct versions {
    struct version list[VERSIONS_MAX]; /* newest first */
    unsigned count;
};

/* What is under way; after a crash it may have happened or not. */
struct attempt {
    enum what { NOTHING, PUT, DELETE, DELETE_VERSION, LOCK } what;
    unsigned key;
    uint64_t from_ms;
    struct version version; /* PUT: what it makes; of the others: which one */
    struct store_lock lock; /* LOCK: from now on */
    bool bypass;
};

struct rm {
    struct sm sm;
    struct history *h;
    enum kind kind;
    bool enabled; /* IN_TURNS: versioning is on */
    uint64_t days, noncurrent_days, newer;
    struct bucket_id bucket;
    struct jobs *jobs;
    struct versions keys[KEYS];
    struct attempt attempt;
    uint32_t next_op;
};

static struct str key_of(unsigned k, char text[16])
{
    snprintf(text, 16, "%c/%u", k < KEYS / 2 ? 'a' : 'b', k);
    return str_from(text);
}

static bool has_rules(unsigned k)
{
    return k < KEYS / 2;
}

/* ---- what the model says -------------------------------------------------------------------- */

static bool locked(const struct store_lock *l, bool bypass, uint64_t at_ms)
{
    bool retained = l->retention != STORE_RETENTION_NONE && l->until_ms > at_ms &&
                    !(bypass && l->retention == STORE_RETENTION_GOVERNANCE);
    return retained || l->hold == STORE_HOLD_ON;
}

/* So many days have passed since, and a midnight. */
static bool past(uint64_t since_ms, uint64_t days, uint64_t at_ms)
{
    uint64_t end = since_ms + days * DAY_MS;
    return (end + DAY_MS - 1) / DAY_MS * DAY_MS <= at_ms;
}

static int find(const struct versions *v, uint64_t seq)
{
    for (unsigned i = 0; i < v->count; i++)
        if (v->list[i].seq == seq)
            return (int)i;
    return -1;
}

/* Both lists in one, newest first. */
static void merge(const struct versions *a, const struct versions *b, struct versions *ret)
{
    ret->count = 0;
    for (unsigned i = 0, j = 0; i < a->count || j < b->count;) {
        uint64_t x = i < a->count ? a->list[i].seq : 0, y = j < b->count ? b->list[j].seq : 0;
        CHECK(ret->count < VERSIONS_MAX);
        ret->list[ret->count++] = x >= y ? a->list[i] : b->list[j];
        i += x >= y;
        j += y >= x;
    }
}

struct look {
    struct rm *m;
    unsigned key;
    uint64_t now_ms;
    const struct versions *before;
    struct versions after, all;
};

static bool is_attempt(const struct look *l, enum what what)
{
    return l->m->attempt.what == what && l->m->attempt.key == l->key;
}

/* A null version of its own makes room for another. */
static bool null_replaced(const struct look *l)
{
    for (unsigned i = 0; i < l->after.count; i++)
        if (l->after.list[i].null && find(l->before, l->after.list[i].seq) < 0)
            return true;
    return is_attempt(l, DELETE) && l->m->kind == NEVER;
}

static bool removed_by_rule(const struct look *l, unsigned at)
{
    const struct version *v = &l->all.list[at];
    const struct rm *m = l->m;
    if (!has_rules(l->key))
        return false;
    if (m->kind == NEVER)
        return past(v->mtime_ms, m->days, l->now_ms);
    if (at > 0 && at - 1 >= m->newer &&
        past(l->all.list[at - 1].mtime_ms, m->noncurrent_days, l->now_ms))
        return true;
    /* It expired, and the marker that took its place or hid it has gone since. */
    uint64_t days = m->days + (v->null ? 0 : m->noncurrent_days);
    if (at == 0 && !v->marker && (v->null || m->newer == 0) && past(v->mtime_ms, days, l->now_ms))
        return true;
    bool alone = at == 0;
    for (unsigned i = at + 1; i < l->all.count; i++)
        alone = alone && find(&l->after, l->all.list[i].seq) < 0;
    return alone && v->marker;
}

static void explain_missing(const struct look *l, unsigned at)
{
    const struct version *v = &l->all.list[at];
    const struct attempt *a = &l->m->attempt;
    bool ours = (is_attempt(l, DELETE_VERSION) && a->version.seq == v->seq) ||
                (v->null && null_replaced(l));
    bool freed =
        is_attempt(l, LOCK) && a->version.seq == v->seq && !locked(&a->lock, false, l->now_ms);
    bool held = locked(&v->lock, ours && a->bypass, l->now_ms) && !freed;
    EXPECT(l->m->h, !held, "key %u: version %llu is locked and gone", l->key,
           (unsigned long long)v->seq);
    EXPECT(l->m->h, ours || removed_by_rule(l, at), "key %u: version %llu is gone without a reason",
           l->key, (unsigned long long)v->seq);
}

static void explain_new(const struct look *l, unsigned at)
{
    const struct version *v = &l->all.list[at];
    const struct attempt *a = &l->m->attempt;
    const struct version *older = at + 1 < l->all.count ? v + 1 : NULL;
    bool ours = (is_attempt(l, PUT) && !v->marker && v->tag == a->version.tag) ||
                (is_attempt(l, DELETE) && v->marker && v->mtime_ms >= a->from_ms);
    bool expired = v->marker && has_rules(l->key) && l->m->kind != NEVER && older &&
                   !older->marker && past(older->mtime_ms, l->m->days, v->mtime_ms);
    EXPECT(l->m->h, ours || expired, "key %u: version %llu came without a reason", l->key,
           (unsigned long long)v->seq);
}

/* ---- looking -------------------------------------------------------------------------------- */

static struct store_version_ref ref_of(const struct version *v)
{
    if (v->null)
        return (struct store_version_ref){.kind = STORE_VERSION_NULL};
    return (struct store_version_ref){.kind = STORE_VERSION_SEQ, .seq = v->seq};
}

struct got {
    struct rm *m;
    const struct version *v;
    uint64_t at;
};

static int sink(const void *data, size_t len, void *arg)
{
    struct got *g = arg;
    EXPECT(g->m->h, history_fill_differs_at(data, len, g->v->tag, g->at) < 0, "wrong bytes");
    g->at += len;
    return 0;
}

/* Its tag and lock; with `bytes` all of it is read. False: the lifecycle was quicker. */
static bool FIBER read_version(struct rm *m, unsigned k, struct version *v, bool bytes)
{
    char text[16];
    struct store_reader *r;
    int err = store_get(m->sm.store, m->bucket, key_of(k, text), ref_of(v), NULL, &r);
    if (err == -ERR_NO_SUCH_VERSION)
        return false;
    EXPECT_OK(m->h, err, "get a version");
    const struct store_object *o = store_reader_object(r);
    if (o->seq == v->seq) {
        EXPECT_OK(m->h, str_to_u64(o->attrs.content_type, &v->tag), "tag");
        v->lock = o->attrs.lock;
        struct got g = {m, v, 0};
        if (bytes)
            EXPECT_OK(m->h, store_read(r, 0, o->len_bytes, sink, &g), "read");
        EXPECT(m->h, !bytes || g.at == v->len_bytes, "too few bytes");
    }
    bool same = o->seq == v->seq;
    store_reader_close(r);
    return same;
}

/* What is there now. Fails when it changed meanwhile: -EAGAIN. */
static int FIBER list_key(struct rm *m, unsigned k, struct versions *ret)
{
    _cleanup_(arena_release) struct arena a;
    char text[16];
    arena_init(&a, 0);
    struct store_versions_query q = {.prefix = key_of(k, text), .max = STORE_LIST_MAX};
    struct store_versions_page page;
    EXPECT_OK(m->h, store_list_versions(m->sm.store, &a, m->bucket, &q, &page), "list versions");
    EXPECT(m->h, page.count <= VERSIONS_MAX && !page.truncated, "more versions than operations");
    ret->count = 0;
    for (size_t i = 0; i < page.count; i++) {
        const struct store_object *o = &page.entries[i].object;
        struct version *v = &ret->list[ret->count++];
        EXPECT(m->h, page.entries[i].is_latest == (i == 0), "another one is the newest");
        *v = (struct version){.seq = o->seq,
                              .mtime_ms = o->mtime_ms,
                              .len_bytes = o->len_bytes,
                              .marker = o->delete_marker,
                              .null = o->null_version};
        EXPECT(m->h, i == 0 || v[-1].seq > v->seq, "versions out of order");
        if (!v->marker && !read_version(m, k, v, false))
            return -EAGAIN;
    }
    return 0;
}

static bool same_lock(const struct store_lock *a, const struct store_lock *b)
{
    return a->retention == b->retention && a->until_ms == b->until_ms && a->hold == b->hold;
}

/* A lock is what it was, or what the attempt makes of it. */
static void check_lock(const struct look *l, const struct version *was, const struct version *is)
{
    const struct attempt *a = &l->m->attempt;
    bool may_differ = is_attempt(l, LOCK) && a->version.seq == is->seq;
    bool same = same_lock(&was->lock, &is->lock);
    bool other = may_differ && same_lock(&a->lock, &is->lock);
    EXPECT(l->m->h, was->tag == is->tag && was->len_bytes == is->len_bytes, "another object");
    EXPECT(l->m->h, same || other, "key %u: the lock of %llu is another", l->key,
           (unsigned long long)is->seq);
}

static void say_look(const struct look *l)
{
    static const char *const words[] = {"nothing", "put", "delete", "delete a version", "lock"};
    const struct attempt *a = &l->m->attempt;
    history_say(l->m->h, "  %llu: key %u; at work: %s, key %u",
                (unsigned long long)(l->now_ms / 1000), l->key, words[a->what], a->key);
    for (unsigned i = 0; i < l->all.count; i++) {
        const struct version *v = &l->all.list[i];
        history_say(l->m->h, "    %s%s %llu%s%s of %llu", find(l->before, v->seq) < 0 ? "+" : "",
                    find(&l->after, v->seq) < 0 ? "-" : "", (unsigned long long)v->seq,
                    v->marker ? " marker" : "", v->null ? " null" : "",
                    (unsigned long long)(v->mtime_ms / 1000));
    }
}

/* Holds the key against the model, which is then what is there. The attempt is settled. */
static void FIBER look(struct rm *m, unsigned k)
{
    struct look l = {.m = m, .key = k, .before = &m->keys[k]};
    while (list_key(m, k, &l.after) == -EAGAIN)
        ;
    l.now_ms = rt_wall_ms();
    merge(&l.after, l.before, &l.all);
    say_look(&l);
    for (unsigned i = 0; i < l.all.count; i++) {
        int was = find(l.before, l.all.list[i].seq), is = find(&l.after, l.all.list[i].seq);
        if (is < 0)
            explain_missing(&l, i);
        else if (was < 0)
            explain_new(&l, i);
        else
            check_lock(&l, &l.before->list[was], &l.after.list[is]);
    }
    m->keys[k] = l.after;
    if (m->attempt.key == k)
        m->attempt.what = NOTHING;
}

/* ---- what the client does ------------------------------------------------------------------- */

static struct store_lock some_lock(struct rm *m, struct sim_random *r)
{
    struct store_lock l = {0};
    if (m->kind != LOCKED || sim_random_one_in(r, 2))
        return l;
    l.retention = 1 + sim_random_below(r, 2);
    l.until_ms = rt_wall_ms() + 1 + sim_random_below(r, 5 * DAY_MS);
    if (sim_random_one_in(r, 4))
        l.hold = STORE_HOLD_ON;
    return l;
}

static void FIBER put(struct rm *m, unsigned k, struct sim_random *r, uint32_t op)
{
    static const uint64_t tops[] = {SM_INLINE_MAX, SM_BESIDE_MAX, 150 * KIB};
    char text[16], tag[24];
    struct store_writer *w;
    struct store_etag etag = {.parts = 0};
    struct store_written written;
    struct version v = {.tag = m->h->seed * 1000 + op + 1, .lock = some_lock(m, r)};
    v.len_bytes = sim_random_below(r, tops[sim_random_below(r, ARRAY_LEN(tops))]);
    snprintf(tag, sizeof(tag), "%llu", (unsigned long long)v.tag);
    struct store_attrs attrs = {
        .content_type = str_from(tag), .owner = STR("owner"), .lock = v.lock};
    uint8_t *data = malloc(v.len_bytes + 1);
    history_fill(data, v.len_bytes, v.tag);
    EXPECT_OK(m->h, store_put_begin(m->sm.store, m->bucket, key_of(k, text), v.len_bytes, &w),
              "put");
    EXPECT_OK(m->h, store_write(w, data, v.len_bytes), "write");
    free(data);
    m->attempt.version = v;
    m->attempt.what = PUT;
    EXPECT_OK(m->h, store_put_commit(w, &attrs, &etag, NULL, NULL, &written), "commit");
    look(m, k);
    int at = find(&m->keys[k], written.seq);
    EXPECT(m->h, at >= 0 && m->keys[k].list[at].tag == v.tag, "what was put is not there");
    check_lock(&(struct look){.m = m, .key = k}, &v, &m->keys[k].list[at]);
}

static void FIBER delete_current(struct rm *m, unsigned k)
{
    char text[16];
    struct store_deletion d = {.key = key_of(k, text), .owner = STR("owner")};
    m->attempt.what = DELETE;
    EXPECT_OK(m->h, store_delete_many(m->sm.store, m->bucket, &d, 1, NULL), "delete");
    EXPECT_OK(m->h, d.result, "delete");
    look(m, k);
    const struct versions *v = &m->keys[k];
    EXPECT(m->h, v->count == 0 || v->list[0].marker, "what was deleted is there");
}

static void FIBER delete_version(struct rm *m, unsigned k, struct sim_random *r)
{
    char text[16];
    const struct versions *list = &m->keys[k];
    if (list->count == 0)
        return;
    struct version v = list->list[sim_random_below(r, list->count)];
    struct store_deletion d = {
        .key = key_of(k, text), .version = ref_of(&v), .bypass = sim_random_one_in(r, 2)};
    bool was = locked(&v.lock, d.bypass, rt_wall_ms());
    m->attempt.version = v;
    m->attempt.bypass = d.bypass;
    m->attempt.what = DELETE_VERSION;
    EXPECT_OK(m->h, store_delete_many(m->sm.store, m->bucket, &d, 1, NULL), "delete a version");
    bool is = locked(&v.lock, d.bypass, rt_wall_ms());
    if (d.result == -ERR_OBJECT_LOCKED)
        EXPECT(m->h, was, "a version is locked that was not");
    else
        EXPECT(m->h, d.result == 0 && !is, "a locked version went: %d", d.result);
    look(m, k);
    EXPECT(m->h, (find(&m->keys[k], v.seq) >= 0) <= (d.result != 0), "the version is still there");
}

static int take_lock(const struct store_object *o, struct store_attrs *attrs, void *arg)
{
    struct rm *m = arg;
    if (o->seq != m->attempt.version.seq)
        return -ERR_PRECONDITION_FAILED;
    attrs->lock = m->attempt.lock;
    return 0;
}

/* A hold comes or goes, a retention begins or is made longer. */
static void FIBER change_lock(struct rm *m, unsigned k, struct sim_random *r)
{
    char text[16];
    const struct versions *list = &m->keys[k];
    if (m->kind != LOCKED || list->count == 0)
        return;
    struct version v = list->list[sim_random_below(r, list->count)];
    struct store_written written;
    struct store_lock lock = v.lock;
    if (v.marker)
        return;
    if (sim_random_one_in(r, 2))
        lock.hold = lock.hold == STORE_HOLD_ON ? STORE_HOLD_OFF : STORE_HOLD_ON;
    else {
        if (lock.retention == STORE_RETENTION_NONE)
            lock.retention = STORE_RETENTION_GOVERNANCE;
        lock.until_ms = MAX(lock.until_ms, rt_wall_ms()) + sim_random_below(r, DAY_MS);
    }
    m->attempt.version = v;
    m->attempt.lock = lock;
    m->attempt.what = LOCK;
    int err = store_change_attrs(m->sm.store, m->bucket, key_of(k, text), ref_of(&v), NULL, false,
                                 take_lock, m, &written);
    EXPECT(m->h, err == 0 || err == -ERR_NO_SUCH_VERSION, "lock: %d", err);
    struct look l = {.m = m, .key = k};
    look(m, k);
    int at = find(&m->keys[k], v.seq);
    v.lock = lock;
    if (err == 0 && at >= 0)
        check_lock(&l, &v, &m->keys[k].list[at]);
}

static void FIBER set_versioning(struct rm *m)
{
    EXPECT_OK(m->h,
              store_bucket_set_versioning(m->sm.store, m->bucket,
                                          m->enabled ? STORE_VERSIONING_ENABLED
                                                     : STORE_VERSIONING_SUSPENDED),
              "versioning");
}

static void FIBER turn(struct rm *m)
{
    m->enabled = !m->enabled;
    if (m->kind == IN_TURNS)
        set_versioning(m);
}

static void FIBER read_some(struct rm *m, unsigned k, struct sim_random *r)
{
    struct versions *list = &m->keys[k];
    if (list->count == 0)
        return;
    struct version *v = &list->list[sim_random_below(r, list->count)];
    if (!v->marker)
        read_version(m, k, v, true);
}

static void FIBER one_op(struct rm *m, uint32_t op)
{
    struct sim_random r = history_op_random(m->h, op);
    unsigned k = (unsigned)sim_random_below(&r, KEYS);
    uint64_t what = sim_random_below(&r, 20);
    if (m->attempt.what != NOTHING)
        look(m, m->attempt.key);
    look(m, k);
    m->attempt = (struct attempt){.key = k, .from_ms = rt_wall_ms()};
    if (what < 9)
        put(m, k, &r, op);
    else if (what < 12)
        delete_current(m, k);
    else if (what < 15)
        delete_version(m, k, &r);
    else if (what < 17)
        change_lock(m, k, &r);
    else if (what < 18)
        turn(m);
    else
        read_some(m, k, &r);
    rt_sleep_until(rt_now() + sim_random_below(&r, DAY_MS) * RT_MS);
}

/* ---- lives ---------------------------------------------------------------------------------- */

static void FIBER put_rules(struct rm *m)
{
    char newer[80] = "", text[1024];
    if (m->newer)
        snprintf(newer, sizeof(newer), "<NewerNoncurrentVersions>%u</NewerNoncurrentVersions>",
                 (unsigned)m->newer);
    snprintf(text, sizeof(text),
             "<LifecycleConfiguration><Rule><ID>1</ID><Filter><Prefix>a/</Prefix></Filter>"
             "<Status>Enabled</Status><Expiration><Days>%u</Days></Expiration>"
             "<NoncurrentVersionExpiration><NoncurrentDays>%u</NoncurrentDays>%s"
             "</NoncurrentVersionExpiration></Rule><Rule><ID>2</ID><Filter><Prefix>a/</Prefix>"
             "</Filter><Status>Enabled</Status><Expiration><ExpiredObjectDeleteMarker>true"
             "</ExpiredObjectDeleteMarker></Expiration></Rule></LifecycleConfiguration>",
             (unsigned)m->days, (unsigned)m->noncurrent_days, newer);
    EXPECT_OK(m->h,
              store_setting_put(m->sm.store, m->bucket, STORE_SETTING_LIFECYCLE, str_from(text)),
              "rules");
}

static void FIBER open_bucket(struct rm *m)
{
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    struct store_bucket b;
    struct store_bucket_spec spec = {
        .name = STR("rules"), .owner = STR("owner"), .object_lock = m->kind == LOCKED};
    int err = store_bucket_make(m->sm.store, &a, &spec, &b);
    EXPECT(m->h, err == 0 || err == -ERR_BUCKET_OWNED, "bucket: %d", err);
    m->bucket = b.id;
    if (m->kind == IN_TURNS)
        set_versioning(m);
    put_rules(m);
}

static void FIBER rm_open(struct rm *m, unsigned sweep_delay_ms)
{
    EXPECT_OK(m->h, sm_open(&m->sm), "open");
    open_bucket(m);
    struct jobs_config config = {.store = m->sm.store,
                                 .nodes = &m->sm.nodes,
                                 .meta = m->sm.meta,
                                 .session = m->sm.session,
                                 .blob = m->sm.blob,
                                 .compact_interval_ms = 60000,
                                 .sweep_delay_ms = sweep_delay_ms,
                                 .lifecycle_day_ms = DAY_MS};
    EXPECT_OK(m->h, jobs_start(&m->jobs, &config), "jobs");
    jobs_set_audit(m->jobs, NULL);
}

static void FIBER rm_close(struct rm *m)
{
    jobs_stop(m->jobs);
    sm_close(&m->sm);
}

static int FIBER life_work(void *arg)
{
    struct rm *m = arg;
    rm_open(m, 3600 * 1000);
    for (; m->next_op < OPS; m->next_op++)
        if (!history_skips(m->h, m->next_op))
            one_op(m, m->next_op);
    rm_close(m);
    return 0;
}

/* After all the days that rules and retentions give. */
static void check_done(struct rm *m, unsigned k)
{
    const struct versions *v = &m->keys[k];
    if (!has_rules(k))
        return;
    EXPECT(m->h, v->count == 0 || (m->kind != NEVER && v->list[0].marker), "key %u has not expired",
           k);
    EXPECT(m->h, v->count != 1, "a marker with nothing behind it stays");
    for (unsigned i = 1 + (unsigned)m->newer; i < v->count; i++)
        EXPECT(m->h, v->list[i].lock.hold == STORE_HOLD_ON, "key %u: version %llu stays", k,
               (unsigned long long)v->list[i].seq);
}

static int no_fault(const struct store_check_event *e, void *arg)
{
    struct rm *m = arg;
    EXPECT(m->h, e->err == 0, "check: %s (%.*s)", e->text, STR_FMT(e->key));
    return 0;
}

static int count_needles(unsigned disk, const struct needle_entry *e, void *arg)
{
    (void)disk;
    (void)e;
    ++*(uint64_t *)arg;
    return 0;
}

static int FIBER life_final(void *arg)
{
    struct rm *m = arg;
    uint64_t needles = 0, expected = 0;
    rm_open(m, 1);
    rt_sleep_until(rt_now() + LONG_DAYS * DAY_MS * RT_MS);
    for (unsigned k = 0; k < KEYS; k++) {
        look(m, k);
        check_done(m, k);
        for (unsigned i = 0; i < m->keys[k].count; i++) {
            struct version *v = &m->keys[k].list[i];
            EXPECT(m->h, v->marker || read_version(m, k, v, true), "a version went");
            expected += v->len_bytes > SM_BESIDE_MAX;
        }
    }
    EXPECT_OK(m->h, store_check(m->sm.store, true, no_fault, m), "check");
    EXPECT_OK(m->h, blob_each(m->sm.blob, count_needles, &needles), "needles");
    EXPECT(m->h, needles == expected, "%llu needles are left, the versions have %llu",
           (unsigned long long)needles, (unsigned long long)expected);
    rm_close(m);
    return 0;
}

static void rm_run(struct rm *m, int (*life)(void *), uint64_t crash_at)
{
    sim_crash_at(m->sm.sim, crash_at);
    int err = sim_rt_run(m->sm.sim, life, m);
    sim_crash_at(m->sm.sim, 0);
    EXPECT(m->h, err == 0 || (crash_at && err == SIM_CRASHED), "a life ended with %d", err);
}

void case_model_rules(struct history *h)
{
    static struct rm m;
    m = (struct rm){.h = h, .kind = h->seed % KINDS, .enabled = true};
    sm_init(&m.sm, h, SIM_KEEP_SEED, DISK_BYTES, OPS);
    struct sim_random r = history_op_random(h, OPS + 1);
    m.days = 1 + sim_random_below(&r, 3);
    m.noncurrent_days = 1 + sim_random_below(&r, 3);
    m.newer = sim_random_below(&r, 3);
    for (unsigned i = 0; i < 3; i++)
        rm_run(&m, life_work, sim_events(m.sm.sim) + 1 + sim_random_below(&r, 1500));
    rm_run(&m, life_work, 0);
    rm_run(&m, life_final, 0);
    sm_release(&m.sm);
}
