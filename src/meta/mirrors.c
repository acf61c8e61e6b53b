/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The set of mirrors (mirrors.h).
 *
 * States of a mirror, and who changes them
 *   IN -> LOST          the commit fiber: it failed, or is to leave
 *   LOST -> REBUILDING  its worker: it was short of something or hung, and works again
 *   LOST, retired       its worker closes it and ends
 *   REBUILDING -> IN    the commit fiber, between two batches, when its worker says `ready`
 *   REBUILDING -> LOST  either
 *
 * Invariants
 *  1. Those IN hold the same, but for the batch under way.
 *  2. Before an answer is given to anybody, the newest generation on disk names those who are IN
 *     and nobody else, and all of them know it.
 *  3. `reading` is IN, or NULL for as long as the only one is being opened anew.
 *  4. A store is closed or opened anew only when it is not `reading` and nobody is in it: no slot's
 *     `in` and no `cold`.
 *
 * Lock order: `lock` alone; never held while a store is called or a fiber waits elsewhere.
 */

#include "meta/mirrors.h"

#define READABLE_WAIT_NS    (5 * RT_S) /* a read waits so long for a store that is being opened */
#define DEADLINE_NS         (10 * RT_S)
#define REBUILD_BYTES_PER_S (64 * MIB)
#define PAUSE_NS            (1 * RT_S)

/* ---- batches -------------------------------------------------------------------------------- */

int shared_batch_new(struct kv *kv, struct shared_batch **ret)
{
    struct shared_batch *s = calloc(1, sizeof(*s));
    if (!s || kv_batch_new(kv, &s->batch) < 0) {
        free(s);
        return -ENOMEM;
    }
    s->refs = 1;
    *ret = s;
    return 0;
}

struct shared_batch *shared_batch_ref(struct shared_batch *s)
{
    __atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
    return s;
}

void shared_batch_unref(struct shared_batch *s)
{
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    kv_batch_free(s->batch);
    free(s);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

int mirrors_new(struct mirrors **ret, const struct meta_mirrors_config *config)
{
    struct mirrors *set = calloc(1, sizeof(*set));
    if (!set)
        return -ENOMEM;
    set->slot_count = rt_thread_count();
    set->slots =
        aligned_alloc(_Alignof(struct reading_slot), set->slot_count * sizeof(*set->slots));
    if (!set->slots) {
        free(set);
        return -ENOMEM;
    }
    memset(set->slots, 0, set->slot_count * sizeof(*set->slots));
    rt_lock_init(&set->lock);
    rt_waitq_init(&set->done);
    rt_waitq_init(&set->readable);
    rt_waitq_init(&set->quiet);
    rt_waitq_init(&set->left);
    buf_init(&set->row, 0);
    set->refs = 1;
    set->deadline_ns = config->deadline_ms ? config->deadline_ms * RT_MS : DEADLINE_NS;
    set->pause_ns = config->pause_ms ? config->pause_ms * RT_MS : PAUSE_NS;
    set->rebuild_bytes_per_s =
        config->rebuild_bytes_per_s ? config->rebuild_bytes_per_s : REBUILD_BYTES_PER_S;
    set->changed = config->changed;
    set->changed_arg = config->arg;
    *ret = set;
    return 0;
}

void mirror_free(struct mirror *m)
{
    rebuild_release(m);
    free(m);
}

static void mirrors_free(struct mirrors *set)
{
    for (unsigned i = 0; i < set->count; i++)
        mirror_free(set->all[i]);
    buf_release(&set->row);
    free(set->slots);
    free(set);
}

void mirrors_unlock_and_unref(struct mirrors *set)
{
    bool last = --set->refs == 0;
    rt_unlock(&set->lock);
    if (last)
        mirrors_free(set);
}

int mirrors_put(struct mirrors *set, const uint8_t *id, struct kv *kv)
{
    struct mirror *m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    m->set = set;
    m->kv = kv;
    memcpy(m->id, id, sizeof(m->id));
    m->state = META_MIRROR_LOST;
    rt_waitq_init(&m->wake);
    list_init(&m->backlog);
    buf_init(&m->rebuild.cursor, 0);
    rt_lock(&set->lock);
    bool room = set->count < META_MIRRORS_MAX;
    if (room)
        set->all[set->count++] = m;
    rt_unlock(&set->lock);
    if (!room)
        mirror_free(m);
    return room ? 0 : -ERR_LIMIT;
}

void mirrors_take_out(struct mirrors *set, const struct mirror *m)
{
    unsigned i = 0;
    while (set->all[i] != m)
        i++;
    memmove(&set->all[i], &set->all[i + 1], (--set->count - i) * sizeof(set->all[0]));
}

int BLOCKING mirror_close_store(void *arg)
{
    kv_close(arg);
    return 0;
}

/* A worker that hangs in its disk is not waited for; it has what it uses. The lock is held. */
static void FIBER wait_for_workers(struct mirrors *set)
{
    uint64_t deadline = rt_now() + set->deadline_ns;
    for (unsigned i = 0; i < set->count; i++) {
        struct mirror *m = set->all[i];
        int r = 0;
        while (m->has_worker && !(m->writing && m->state == META_MIRROR_LOST) && r == 0)
            r = rt_wait_uncancelled(&set->done, &set->lock,
                                    m->state == META_MIRROR_IN ? RT_NEVER : deadline);
    }
}

void FIBER mirrors_close(struct mirrors *set)
{
    rt_lock(&set->lock);
    set->closed = true;
    for (unsigned i = 0; i < set->count; i++)
        rt_wake_all(&set->all[i]->wake);
    wait_for_workers(set);
    for (unsigned i = 0; i < set->count; i++) {
        struct mirror *m = set->all[i];
        if (m->has_worker || !m->kv || m->cold > 0)
            continue;
        rt_unlock(&set->lock);
        rt_offload(mirror_close_store, TAKE_PTR(m->kv));
        rt_lock(&set->lock);
    }
    mirrors_unlock_and_unref(set);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Whoever changes `reading` looks at `in` afterwards, and here it is the other way round, so that
 * one of the two sees the other. */
struct mirror *mirrors_enter(struct mirrors *set, unsigned thread)
{
    struct mirror *from;
    do {
        from = __atomic_load_n(&set->reading, __ATOMIC_SEQ_CST);
        __atomic_store_n(&set->slots[thread].in, from, __ATOMIC_SEQ_CST);
    } while (from != __atomic_load_n(&set->reading, __ATOMIC_SEQ_CST));
    return from;
}

void mirrors_leave(struct mirrors *set, unsigned thread)
{
    __atomic_store_n(&set->slots[thread].in, NULL, __ATOMIC_RELEASE);
}

int FIBER mirrors_enter_cold(struct mirrors *set, struct mirror **ret)
{
    uint64_t deadline = rt_now() + READABLE_WAIT_NS;
    int r = 0;
    rt_lock(&set->lock);
    while (r == 0 && !set->reading)
        r = rt_wait(&set->readable, &set->lock, deadline);
    if (r == 0) {
        *ret = set->reading;
        set->reading->cold++;
    }
    rt_unlock(&set->lock);
    return r == -ETIMEDOUT ? -ERR_UNAVAILABLE : r;
}

struct mirror *mirrors_try_cold(struct mirrors *set)
{
    rt_lock(&set->lock);
    struct mirror *from = set->reading;
    if (from)
        from->cold++;
    rt_unlock(&set->lock);
    return from;
}

struct mirror *mirrors_enter_nth(struct mirrors *set, unsigned i)
{
    rt_lock(&set->lock);
    struct mirror *m = i < set->count ? set->all[i] : NULL;
    if (m && m->state != META_MIRROR_IN)
        m = NULL;
    if (m)
        m->cold++;
    rt_unlock(&set->lock);
    return m;
}

void mirrors_leave_cold(struct mirrors *set, struct mirror *from)
{
    rt_lock(&set->lock);
    if (--from->cold == 0)
        rt_wake_all(&set->quiet);
    rt_unlock(&set->lock);
}

void FIBER mirror_wait_quiet(struct mirror *m)
{
    struct mirrors *set = m->set;
    rt_lock(&set->lock);
    while (m->cold > 0)
        rt_wait_uncancelled(&set->quiet, &set->lock, RT_NEVER);
    rt_unlock(&set->lock);
    for (unsigned i = 0; i < set->slot_count; i++)
        while (__atomic_load_n(&set->slots[i].in, __ATOMIC_SEQ_CST) == m)
            rt_yield();
}

/* The lock is held. */
static void set_reading(struct mirrors *set, struct mirror *m)
{
    __atomic_store_n(&set->reading, m, __ATOMIC_SEQ_CST);
    if (m)
        rt_wake_all(&set->readable);
}

/* Another one that takes part, one that has not failed a read if there is, or NULL. The lock is
 * held. */
static struct mirror *another(const struct mirrors *set, const struct mirror *than)
{
    struct mirror *best = NULL;
    for (unsigned i = 0; i < set->count; i++) {
        struct mirror *m = set->all[i];
        if (m != than && m->state == META_MIRROR_IN && (!best || best->suspect))
            best = m;
    }
    return best;
}

/* One that is just writing a batch may lack what was seen of it in another: that one is read
 * until the commit fiber leaves it out. */
bool mirrors_suspect(struct mirrors *set, struct mirror *from, int err)
{
    rt_lock(&set->lock);
    struct mirror *other = another(set, from);
    bool again = set->reading != from || (other && !other->suspect);
    if (from->state == META_MIRROR_IN && other && !other->suspect && !from->suspect)
        from->suspect = err;
    if (set->reading == from && again && !other->writing)
        set_reading(set, other);
    rt_unlock(&set->lock);
    return again;
}

void FIBER mirrors_wait_other(struct mirrors *set, const struct mirror *than)
{
    uint64_t deadline = rt_now() + READABLE_WAIT_NS;
    int r = 0;
    rt_lock(&set->lock);
    while (set->reading == than && r == 0)
        r = rt_wait(&set->readable, &set->lock, deadline);
    rt_unlock(&set->lock);
}

/* ---- who takes part ------------------------------------------------------------------------- */

void mirror_set_state(struct mirror *m, enum meta_mirror_state state, int err)
{
    m->state = state;
    m->err = err;
    if (state == META_MIRROR_IN)
        m->in_since_ns = rt_now();
    m->suspect = 0;
    m->ready = false;
    if (m->set->changed)
        m->set->changed(m->set->changed_arg, m->id, state, err);
}

void mirror_set_rebuilding(struct mirror *m)
{
    mirror_set_state(m, META_MIRROR_REBUILDING, m->err);
    rebuild_release(m);
    m->rebuild = (struct rebuild){.started_ns = rt_now()};
    buf_init(&m->rebuild.cursor, 0);
    m->not_before_ns = 0;
    rt_wake_all(&m->wake);
}

/* Leaves it out; who takes part is to be recorded. */
static void lose(struct mirror *m, int err)
{
    struct mirrors *set = m->set;
    rt_lock(&set->lock);
    mirror_pause(m, m->state == META_MIRROR_IN);
    mirror_set_state(m, META_MIRROR_LOST, err);
    m->retired = !mirror_may_come_back(err) || m->leaving;
    if (set->reading == m)
        set_reading(set, another(set, m));
    rt_wake_all(&m->wake);
    rt_unlock(&set->lock);
}

static unsigned members(struct mirrors *set, struct mirror **ret)
{
    unsigned n = 0;
    rt_lock(&set->lock);
    for (unsigned i = 0; i < set->count; i++)
        if (set->all[i]->state == META_MIRROR_IN)
            ret[n++] = set->all[i];
    rt_unlock(&set->lock);
    return n;
}

static unsigned count_in_state(struct mirrors *set, enum meta_mirror_state state)
{
    unsigned n = 0;
    rt_lock(&set->lock);
    for (unsigned i = 0; i < set->count; i++)
        n += set->all[i]->state == state;
    rt_unlock(&set->lock);
    return n;
}

bool mirrors_rebuilding(struct mirrors *set)
{
    return count_in_state(set, META_MIRROR_REBUILDING) > 0;
}

bool mirrors_single(struct mirrors *set)
{
    return count_in_state(set, META_MIRROR_IN) == 1 && !mirrors_rebuilding(set);
}

/* One whose disk is nearly full is left out, as long as another has room: it would hold up the
 * writes of all, and is rebuilt when there is room again. */
int BLOCKING mirrors_room(struct mirrors *set)
{
    struct mirror *in[META_MIRRORS_MAX];
    int rooms[META_MIRRORS_MAX], r = 0;
    unsigned n = members(set, in), good = 0;
    for (unsigned i = 0; i < n; i++) {
        rooms[i] = kv_room(in[i]->kv);
        good += rooms[i] == 0;
        r = rooms[i] < 0 && r != -ENOMEM ? rooms[i] : r;
    }
    if (r == 0 || r == -ENOMEM || good == 0)
        return r;
    rt_lock(&set->lock);
    for (unsigned i = 0; i < n; i++)
        if (rooms[i] < 0 && in[i]->state == META_MIRROR_IN && !in[i]->suspect)
            in[i]->suspect = rooms[i];
    rt_unlock(&set->lock);
    return 0;
}

/* ---- writing -------------------------------------------------------------------------------- */

int FIBER mirror_post(struct mirror *m, struct shared_batch *batch)
{
    int r = mirror_start_worker(m);
    rt_lock(&m->set->lock);
    CHECK(!m->writing && !m->to);
    m->result = r;
    if (r == 0) {
        m->writing = true;
        m->to = shared_batch_ref(batch);
        rt_wake_all(&m->wake);
    }
    rt_unlock(&m->set->lock);
    return r;
}

/* The lock is held. */
static void count_results(struct outcome *o)
{
    o->good = o->refused = 0;
    for (unsigned i = 0; i < o->count; i++) {
        o->results[i] = o->to[i]->writing ? -ETIMEDOUT : o->to[i]->result;
        o->good += o->results[i] == 0;
        o->refused += out_of_means(o->results[i]);
        if (out_of_means(o->results[i]))
            o->refusal = o->results[i];
    }
}

static bool any_writing(const struct outcome *o)
{
    bool any = false;
    for (unsigned i = 0; i < o->count; i++)
        any |= o->to[i]->writing;
    return any;
}

/*
 * Waits for those that were asked to write. Nobody is given up before one has done it: a machine
 * that is slow altogether loses no mirror.
 */
static void FIBER wait_for(struct mirrors *set, struct outcome *o, uint64_t deadline)
{
    int r = 0;
    rt_lock(&set->lock);
    count_results(o);
    while (any_writing(o) && r != -ETIMEDOUT) {
        if (o->good > 0 && deadline == RT_NEVER)
            deadline = rt_now() + set->deadline_ns;
        r = rt_wait_uncancelled(&set->done, &set->lock, deadline);
        count_results(o);
    }
    rt_unlock(&set->lock);
}

static void lose_failed(const struct outcome *o, bool also_refused)
{
    for (unsigned i = 0; i < o->count; i++)
        if (o->results[i] < 0 && (also_refused || !out_of_means(o->results[i])))
            lose(o->to[i], o->results[i]);
}

static int first_failure(const struct outcome *o)
{
    return o->refused > 0 ? o->refusal : o->results[0];
}

/* ---- generations ---------------------------------------------------------------------------- */

/* A batch with what the mirror keeps of the set. */
static int FIBER post_row(struct mirror *m, const struct mirror_row *row, bool joins)
{
    struct shared_batch *b;
    int r = shared_batch_new(m->kv, &b);
    if (r < 0)
        return r;
    r = mirror_put_row(m, *row, b->batch);
    if (r == 0 && joins)
        r = mirrors_put_last_number(m->set, b->batch);
    if (r == 0)
        r = mirror_post(m, b);
    shared_batch_unref(b);
    return r;
}

static void FIBER post_rows(struct outcome *o, const struct mirror_row *row, bool joins)
{
    for (unsigned i = 0; i < o->count; i++) {
        int r = post_row(o->to[i], row, joins);
        if (r < 0)
            o->to[i]->result = r;
    }
}

/* On those who take part; `joiner` is named, and gets it when all of them have it. */
static void FIBER note_generation(struct mirrors *set, struct outcome *o,
                                  const struct mirror_row *row)
{
    set->generation = row->generation;
    o->count = members(set, o->to);
    post_rows(o, row, false);
    wait_for(set, o, RT_NEVER);
    if (o->good < o->count)
        return;
    rt_lock(&set->lock);
    set->noted = *row;
    rt_unlock(&set->lock);
}

static int FIBER let_in(struct mirror *joiner, const struct mirror_row *row)
{
    struct mirrors *set = joiner->set;
    struct outcome o = {.to = {joiner}, .count = 1};
    post_rows(&o, row, true);
    wait_for(set, &o, rt_now() + set->deadline_ns);
    if (!o.good)
        return o.results[0];
    rt_lock(&set->lock);
    mirror_set_state(joiner, META_MIRROR_IN, 0);
    rebuild_release(joiner);
    rt_unlock(&set->lock);
    return 0;
}

int FIBER mirrors_record(struct mirrors *set, struct mirror *joiner)
{
    struct outcome o = {0};
    for (;;) {
        struct mirror_row row = mirrors_next_row(set, joiner);
        note_generation(set, &o, &row);
        set->must_record = o.good == 0;
        if (o.good == 0)
            return first_failure(&o);
        if (o.good < o.count) {
            lose_failed(&o, true);
            continue;
        }
        int r = joiner ? let_in(joiner, &row) : 0;
        if (r == 0)
            return 0;
        lose(joiner, r);
        joiner = NULL;
    }
}

static int refusing_after(int err)
{
    return out_of_means(err) ? err : -ERR_READ_ONLY;
}

/* Some have the batch, and go on without those that may not. */
static int FIBER go_on(struct mirrors *set, const struct outcome *o, int *ret_refusing)
{
    if (o->good == o->count)
        return 0;
    lose_failed(o, true);
    int r = mirrors_record(set, NULL);
    if (r < 0)
        *ret_refusing = refusing_after(r);
    return r < 0 ? -EIO : 0;
}

/*
 * Nobody has it for sure. Where all refused it is certain that nobody has, and otherwise those that
 * may have it must go: after a crash before that is noted the batch might be seen.
 */
static int give_up(struct mirrors *set, const struct outcome *o, int *ret_refusing)
{
    bool broken = false;
    for (unsigned i = 0; i < o->count; i++)
        broken |= kv_broken(o->to[i]->kv) != 0;
    if (o->refused == o->count) {
        *ret_refusing = broken ? o->refusal : 0;
        return o->refusal;
    }
    *ret_refusing = o->refused > 0 ? o->refusal : -ERR_READ_ONLY;
    if (o->refused > 0) {
        lose_failed(o, false);
        set->must_record = true;
    }
    return -EIO;
}

bool mirrors_have_workers(struct mirrors *set)
{
    bool all = true;
    rt_lock(&set->lock);
    for (unsigned i = 0; i < set->count; i++)
        all &= set->all[i]->has_worker || set->all[i]->state != META_MIRROR_IN;
    rt_unlock(&set->lock);
    return all;
}

int mirrors_begin(struct mirrors *set, struct shared_batch *batch)
{
    struct outcome *o = &set->under_way;
    *o = (struct outcome){0};
    o->count = members(set, o->to);
    int r = o->count > 1 ? mirrors_put_number(set, batch->batch) : 0;
    for (unsigned i = 0; i < o->count && r == 0; i++)
        (void)mirror_post(o->to[i], batch);
    return r;
}

bool BLOCKING mirrors_await(struct mirrors *set, uint64_t deadline_ns)
{
    struct outcome *o = &set->under_way;
    int r = 0;
    rt_lock(&set->lock);
    while (any_writing(o) && r == 0)
        r = rt_wait_blocking(&set->done, &set->lock, deadline_ns);
    count_results(o);
    rt_unlock(&set->lock);
    bool all = o->good == o->count;
    set->number += all && o->count > 1;
    return all;
}

int FIBER mirrors_end(struct mirrors *set, int begun, bool *ret_seen, int *ret_refusing)
{
    struct outcome *o = &set->under_way;
    *ret_seen = false;
    *ret_refusing = 0;
    if (begun < 0)
        return begun;
    wait_for(set, o, RT_NEVER);
    if (o->good == 0)
        return give_up(set, o, ret_refusing);
    set->number += o->count > 1;
    *ret_seen = true;
    return go_on(set, o, ret_refusing);
}

/* ---- recovering ----------------------------------------------------------------------------- */

static int BLOCKING look_at_store(void *arg)
{
    return kv_recoverable(arg);
}

/* Reads go elsewhere meanwhile, or wait. */
static int FIBER recover_one(struct mirror *m)
{
    struct mirrors *set = m->set;
    int r = rt_offload(look_at_store, m->kv);
    if (r < 0)
        return r;
    rt_lock(&set->lock);
    if (set->reading == m)
        set_reading(set, another(set, m));
    rt_unlock(&set->lock);
    mirror_wait_quiet(m);
    r = rt_offload(mirror_recover_store, m->kv);
    rt_lock(&set->lock);
    if (!set->reading)
        set_reading(set, m);
    rt_unlock(&set->lock);
    return r;
}

int FIBER mirrors_recover(struct mirrors *set)
{
    struct outcome o = {0};
    o.count = members(set, o.to);
    for (unsigned i = 0; i < o.count; i++) {
        int r = kv_broken(o.to[i]->kv) ? recover_one(o.to[i]) : 0;
        o.to[i]->result = r;
    }
    count_results(&o);
    if (o.good == 0)
        return first_failure(&o);
    lose_failed(&o, true);
    return set->must_record || o.good < o.count ? mirrors_record(set, NULL) : 0;
}

/* ---- tasks ---------------------------------------------------------------------------------- */

/* The lock is held. */
static bool is_to_go(const struct mirror *m)
{
    return m->state == META_MIRROR_IN ? (m->suspect || m->leaving) : m->leaving && !m->retired;
}

/* But for its backlog, which grows again with every batch. */
static bool is_copied(const struct mirror *m)
{
    return m->state == META_MIRROR_REBUILDING && m->rebuild.copied && !m->leaving;
}

bool mirrors_have_tasks(struct mirrors *set)
{
    bool any = false;
    rt_lock(&set->lock);
    for (unsigned i = 0; i < set->count; i++)
        any |= is_to_go(set->all[i]) || is_copied(set->all[i]);
    rt_unlock(&set->lock);
    return any;
}

static struct mirror *find(struct mirrors *set, bool (*is)(const struct mirror *m))
{
    struct mirror *found = NULL;
    rt_lock(&set->lock);
    for (unsigned i = 0; i < set->count && !found; i++)
        if (is(set->all[i]))
            found = set->all[i];
    rt_unlock(&set->lock);
    return found;
}

/* The last one stays whatever it is suspected of. */
static void stay(struct mirror *m)
{
    rt_lock(&m->set->lock);
    m->suspect = 0;
    m->leaving = false;
    rt_wake_all(&m->set->left);
    rt_unlock(&m->set->lock);
}

/* Lets those go that are to. True: somebody went that took part. */
static bool let_go(struct mirrors *set)
{
    struct mirror *in[META_MIRRORS_MAX], *m;
    bool any = false;
    while ((m = find(set, is_to_go))) {
        bool is_in = m->state == META_MIRROR_IN;
        if (is_in && members(set, in) == 1) {
            stay(m);
            continue;
        }
        lose(m, m->suspect ? m->suspect : -ECANCELED);
        any |= is_in;
    }
    return any;
}

/* Whoever waits for a mirror to leave may go on. */
static void tell_left(struct mirrors *set)
{
    rt_lock(&set->lock);
    for (unsigned i = 0; i < set->count; i++)
        set->all[i]->gone |= set->all[i]->leaving;
    rt_wake_all(&set->left);
    rt_unlock(&set->lock);
}

/* There are no batches meanwhile, so its backlog ends; or the mirror is lost. */
static bool FIBER wait_until_ready(struct mirror *m)
{
    struct mirrors *set = m->set;
    uint64_t seen = 0;
    int r = 0;
    rt_lock(&set->lock);
    while (m->state == META_MIRROR_REBUILDING && !m->ready && r == 0)
        r = rebuild_wait(m, &seen);
    bool ready = m->state == META_MIRROR_REBUILDING && m->ready;
    rt_unlock(&set->lock);
    if (r < 0 && !ready)
        lose(m, -ETIMEDOUT);
    return ready;
}

int FIBER mirrors_do_tasks(struct mirrors *set)
{
    struct mirror *joiner;
    int r = let_go(set) ? mirrors_record(set, NULL) : 0;
    tell_left(set);
    if (r == 0 && (joiner = find(set, is_copied)) && wait_until_ready(joiner))
        r = mirrors_record(set, joiner);
    return r < 0 ? refusing_after(r) : 0;
}

/* ---- coming and going ----------------------------------------------------------------------- */

/* The lock is held. */
static struct mirror *by_id(struct mirrors *set, const uint8_t *id)
{
    for (unsigned i = 0; i < set->count; i++)
        if (memcmp(set->all[i]->id, id, META_MIRROR_ID_BYTES) == 0)
            return set->all[i];
    return NULL;
}

/* Lost, and nothing of it is left but its name. */
static bool is_over(const struct mirror *m)
{
    return m->state == META_MIRROR_LOST && !m->has_worker && !m->kv;
}

static void forget(struct mirrors *set, struct mirror *m)
{
    mirrors_take_out(set, m);
    mirror_free(m);
}

int mirrors_make_room(struct mirrors *set, const uint8_t *id)
{
    int r = 0;
    rt_lock(&set->lock);
    struct mirror *m = by_id(set, id);
    if (m && !is_over(m))
        r = -ERR_EXISTS;
    else if (m)
        forget(set, m);
    for (unsigned i = 0; r == 0 && set->count == META_MIRRORS_MAX && i < META_MIRRORS_MAX; i++)
        if (is_over(set->all[i]))
            forget(set, set->all[i]);
    if (r == 0 && set->count == META_MIRRORS_MAX)
        r = -ERR_LIMIT;
    rt_unlock(&set->lock);
    return r;
}

int FIBER mirrors_begin_rebuild(struct mirrors *set, const uint8_t *id)
{
    rt_lock(&set->lock);
    struct mirror *m = by_id(set, id);
    mirror_set_rebuilding(m);
    rt_unlock(&set->lock);
    return mirror_start_worker(m);
}

static bool is_last(const struct mirrors *set, const struct mirror *m)
{
    for (unsigned i = 0; i < set->count; i++)
        if (set->all[i] != m && set->all[i]->state == META_MIRROR_IN)
            return false;
    return m->state == META_MIRROR_IN;
}

int mirrors_ask_to_leave(struct mirrors *set, const uint8_t *id)
{
    int r = 1;
    rt_lock(&set->lock);
    struct mirror *m = by_id(set, id);
    if (!m) {
        r = -ERR_NOT_FOUND;
    } else if (is_last(set, m)) {
        r = -ERR_BUSY;
    } else if (is_over(m)) {
        forget(set, m);
        r = 0;
    } else {
        m->leaving = true;
    }
    rt_unlock(&set->lock);
    return r;
}

void mirrors_nobody_leaves(struct mirrors *set)
{
    rt_lock(&set->lock);
    for (unsigned i = 0; i < set->count; i++)
        set->all[i]->leaving &= set->all[i]->gone;
    rt_wake_all(&set->left);
    rt_unlock(&set->lock);
}

int FIBER mirrors_wait_left(struct mirrors *set, const uint8_t *id)
{
    struct mirror *m;
    rt_lock(&set->lock);
    while ((m = by_id(set, id)) && m->leaving && !m->gone)
        rt_wait_uncancelled(&set->left, &set->lock, RT_NEVER);
    int r = m && !m->gone ? -ERR_BUSY : 0;
    rt_unlock(&set->lock);
    return r;
}

/* ---- watching ------------------------------------------------------------------------------- */

void mirrors_count(struct mirrors *set, struct meta_stats *ret)
{
    rt_lock(&set->lock);
    for (unsigned i = 0; i < set->count; i++) {
        enum meta_mirror_state state = set->all[i]->state;
        ret->mirrors_in += state == META_MIRROR_IN;
        ret->mirrors_rebuilding += state == META_MIRROR_REBUILDING;
        ret->mirrors_lost += state == META_MIRROR_LOST;
    }
    rt_unlock(&set->lock);
}

unsigned mirrors_stats(struct mirrors *set, struct meta_mirror_stats ret[META_MIRRORS_MAX])
{
    rt_lock(&set->lock);
    for (unsigned i = 0; i < set->count; i++) {
        const struct mirror *m = set->all[i];
        const struct rebuild *b = &m->rebuild;
        bool rebuilding = m->state == META_MIRROR_REBUILDING;
        ret[i] = (struct meta_mirror_stats){
            .state = m->state,
            .err = m->err,
            .reading = m == set->reading,
            .batch = set->number,
            .generation = set->generation,
            .rebuilt_keys = b->keys,
            .rebuilt_bytes = b->bytes,
            .rebuild_keys = b->keys_estimate,
            .rebuild_ms = rebuilding ? (rt_now() - b->started_ns) / RT_MS : 0,
            .backlog_bytes = m->backlog_bytes,
        };
        memcpy(ret[i].id, m->id, sizeof(m->id));
    }
    unsigned count = set->count;
    rt_unlock(&set->lock);
    return count;
}
