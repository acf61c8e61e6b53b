/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The needle index in front of its store: what was committed lately lies in a window in memory,
 * and one fiber, the flusher, carries windows into the store on an offload thread. So a commit
 * costs no thread hop, and memory is two windows whatever the disk holds.
 *
 * Invariants
 *  - A committed needle is in `filling`, in `flushing` or in the store (at times in two of them).
 *  - Whoever commits has been promised its rows beforehand: filling + promised <= WINDOW_ROWS.
 *  - A volume's low-water mark in the store never passes an extent that is not settled, nor a row
 *    that is not in the same batch or an earlier one: a replay from it misses nothing.
 *  - A round that fails is tried again; meanwhile `index_err` makes new writes fail rather than
 *    wait.
 */

#include "volume/internal.h"

/* ---- turns ---------------------------------------------------------------------------------- */

static void FIBER turn_take(struct disk *d)
{
    rt_lock(&d->lock);
    while (d->index_turn)
        rt_wait_uncancelled(&d->index_turns, &d->lock, RT_NEVER); /* turns end by themselves */
    d->index_turn = true;
    rt_unlock(&d->lock);
}

static void turn_give(struct disk *d)
{
    rt_lock(&d->lock);
    d->index_turn = false;
    rt_wake_one(&d->index_turns);
    rt_unlock(&d->lock);
}

/* ---- a round -------------------------------------------------------------------------------- */

/* The volumes' next rows. Under the lock. */
static void drafts_fill(struct disk *d, struct volume_draft *drafts)
{
    for (size_t i = 0; i < d->volume_count; i++) {
        const struct volume *v = d->volumes[i];
        drafts[i] = (struct volume_draft){.number = v->number, .row = v->row};
        drafts[i].row.incarnation = v->incarnation;
        drafts[i].row.low = v->low_swapped;
        drafts[i].row.state = v->failed ? VOLUME_FAILED : VOLUME_GOOD;
        drafts[i].changed =
            !v->indexed || v->low_swapped != v->row.low || drafts[i].row.state != v->row.state;
    }
}

/* Under the lock, once they are in the store. */
static void drafts_keep(struct disk *d, const struct volume_draft *drafts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct volume *v = volume_find(d, drafts[i].number);
        if (!v)
            continue;
        v->row = drafts[i].row;
        v->indexed = true;
    }
}

static int BLOCKING round_job(void *arg)
{
    return index_round_apply(arg);
}

/*
 * Swaps the windows unless the last round's rows are still there. The low-water marks of this
 * moment are those that go with the rows. Under the lock.
 */
static void windows_swap(struct disk *d)
{
    if (window_count(d->flushing) > 0)
        return;
    for (size_t i = 0; i < d->volume_count; i++)
        d->volumes[i]->low_swapped = volume_low(d->volumes[i]);
    struct window *w = d->flushing;
    d->flushing = d->filling;
    d->filling = w;
    rt_wake_all(&d->window_room);
}

static int round_prepare(struct disk *d, struct index_round *r)
{
    rt_lock(&d->lock);
    windows_swap(d);
    r->count = window_count(d->flushing);
    r->draft_count = d->volume_count;
    r->drafts = malloc(MAX(r->draft_count, (size_t)1) * sizeof(*r->drafts));
    r->rows = malloc(MAX(r->count, (size_t)1) * sizeof(struct index_row *));
    if (r->drafts)
        drafts_fill(d, r->drafts);
    rt_unlock(&d->lock);
    if (!r->drafts || !r->rows)
        return -ENOMEM;
    for (size_t i = 0; i < r->count; i++)
        r->rows[i] = &window_rows(d->flushing)[i];
    return 0;
}

/* The rows are in the store: they must not be counted a second time, also if the flush failed. */
static void round_done(struct disk *d, struct index_round *r, uint64_t saved)
{
    rt_lock(&d->lock);
    drafts_keep(d, r->drafts, r->draft_count);
    window_clear(d->flushing);
    if (r->flushed)
        d->unsaved_bytes -= saved;
    rt_unlock(&d->lock);
}

/* Carries one window into the store. */
static int FIBER round_run(struct disk *d, bool survive, uint64_t saved)
{
    struct index_round r = {.kv = d->kv, .survive = survive};
    turn_take(d);
    int err = round_prepare(d, &r);
    if (err == 0)
        err = rt_offload(round_job, &r);
    if (r.applied)
        round_done(d, &r, saved);
    turn_give(d);
    free(r.drafts);
    free(r.rows);
    return err;
}

/* ---- the flusher ---------------------------------------------------------------------------- */

/* When the flusher has to look again, by its own clock. Under the lock. */
static uint64_t flusher_deadline(const struct disk *d)
{
    if (d->index_err)
        return rt_now() + INDEX_RETRY_NS;
    return window_count(d->filling) > 0 ? d->filling_since + WINDOW_AGE_NS : RT_NEVER;
}

/* Under the lock. */
static bool flusher_due(const struct disk *d)
{
    if (d->closing || d->flush_asked > d->flush_served)
        return true;
    bool failing = d->index_err != 0; /* then the clock alone says when to try again */
    return !failing &&
           (window_count(d->filling) >= WINDOW_FLUSH_ROWS || d->unsaved_bytes >= CHECKPOINT_BYTES);
}

/* One round, and the answer to all who had asked before it. Called and left with the lock. */
static void FIBER flusher_round(struct disk *d)
{
    uint64_t tickets = d->flush_asked, saved = d->unsaved_bytes;
    bool survive = d->flush_survive || d->closing || saved >= CHECKPOINT_BYTES;
    /* What the failed round left behind goes first; only then is `filling` carried. */
    unsigned rounds = window_count(d->flushing) > 0 ? 2 : 1;
    d->flush_survive = false;
    rt_unlock(&d->lock);
    int err = 0;
    for (unsigned i = 1; err == 0 && i <= rounds; i++)
        err = round_run(d, survive && i == rounds, saved);
    volumes_trim(d, false);
    rt_lock(&d->lock);
    d->index_err = err;
    d->flush_served = tickets;
    rt_wake_all(&d->flush_done);
    if (err)
        rt_wake_all(&d->window_room);
}

static int FIBER flusher(void *arg)
{
    struct disk *d = arg;
    rt_lock(&d->lock);
    for (bool last = false; !last;) {
        int woken = 0;
        while (woken != -ETIMEDOUT && !flusher_due(d))
            woken = rt_wait_uncancelled(&d->flush_wanted, &d->lock, flusher_deadline(d));
        last = d->closing;
        flusher_round(d);
    }
    int err = d->index_err;
    rt_unlock(&d->lock);
    return err;
}

int FIBER index_start(struct disk *d)
{
    return rt_spawn(&d->flusher, "volume-index", flusher, d);
}

int FIBER index_stop(struct disk *d)
{
    if (!d->flusher)
        return 0;
    rt_lock(&d->lock);
    d->closing = true;
    rt_wake_all(&d->flush_wanted);
    rt_unlock(&d->lock);
    return rt_join(TAKE_PTR(d->flusher));
}

int FIBER index_flush(struct disk *d, bool survive)
{
    rt_lock(&d->lock);
    uint64_t ticket = ++d->flush_asked;
    d->flush_survive |= survive;
    rt_wake_all(&d->flush_wanted);
    while (d->flush_served < ticket)
        rt_wait_uncancelled(&d->flush_done, &d->lock, RT_NEVER); /* each round serves or fails */
    int err = d->index_err;
    rt_unlock(&d->lock);
    return err;
}

/* A disk on which there is room again: its index takes some seconds more to notice. */
#define SETTLE_TRIES    600
#define SETTLE_PAUSE_NS (100 * RT_MS)

int FIBER index_settle(struct disk *d)
{
    int err = index_flush(d, false);
    for (unsigned i = 0; err == -ENOSPC && i < SETTLE_TRIES && disk_room(d, 0) == 0; i++) {
        int woken = rt_sleep_until(rt_now() + SETTLE_PAUSE_NS);
        err = woken < 0 ? woken : index_flush(d, false);
    }
    return err;
}

void index_hurry(struct disk *d)
{
    d->flush_asked++;
    d->flush_survive = true;
    rt_wake_all(&d->flush_wanted);
}

/* ---- adding --------------------------------------------------------------------------------- */

int FIBER index_promise(struct disk *d, uint32_t n)
{
    CHECK(n <= WINDOW_ROWS);
    int err = 0;
    rt_lock(&d->lock);
    while (window_count(d->filling) + d->window_promised + n > WINDOW_ROWS) {
        err = d->index_err;
        if (err)
            break;
        rt_wake_all(&d->flush_wanted);
        rt_wait_uncancelled(&d->window_room, &d->lock, RT_NEVER); /* each round wakes it */
    }
    if (err == 0)
        d->window_promised += n;
    rt_unlock(&d->lock);
    return err;
}

void index_add(struct disk *d, const struct index_row *rows, uint32_t n, uint32_t unused)
{
    CHECK(d->window_promised >= n + unused);
    d->window_promised -= n + unused;
    if (unused > 0)
        rt_wake_all(&d->window_room);
    if (n == 0)
        return;
    if (window_count(d->filling) == 0) {
        d->filling_since = rt_now();
        rt_wake_all(&d->flush_wanted);
    }
    for (uint32_t i = 0; i < n; i++) {
        window_add(d->filling, &rows[i]);
        roll_note(d, &rows[i]);
        d->unsaved_bytes += row_span(&rows[i]);
    }
    if (flusher_due(d))
        rt_wake_all(&d->flush_wanted);
}

/* ---- looking up ----------------------------------------------------------------------------- */

struct find_job {
    struct kv *kv;
    struct needle_key key;
    struct index_row row;
};

static int BLOCKING find_job(void *arg)
{
    struct find_job *j = arg;
    return index_store_first(j->kv, j->key, &j->row);
}

/* From memory if it is there, else by an offload thread. */
static int FIBER store_find(struct disk *d, struct needle_key key, struct index_row *ret)
{
    int err = index_store_cached(d->kv, key, ret);
    if (err != -EAGAIN)
        return err;
    struct find_job j = {.kv = d->kv, .key = key};
    err = rt_offload(find_job, &j);
    if (err == 0)
        *ret = j.row;
    return err;
}

static bool windows_find(struct disk *d, struct needle_key key, struct index_row *ret)
{
    struct index_row row;
    rt_lock(&d->lock);
    d->stats.index_lookups++;
    bool found = window_find(d->filling, key, ret);
    if (window_find(d->flushing, key, &row) && (!found || row_newer(&row, ret))) {
        *ret = row;
        found = true;
    }
    rt_unlock(&d->lock);
    return found;
}

/*
 * The windows are asked before the store: rows move that way, so none is missed between the two.
 * Both are asked in any case, for a copy made by compaction is younger in time but not in lsn.
 */
int FIBER index_find(struct disk *d, struct needle_key key, struct index_row *ret)
{
    struct index_row best, row;
    bool found = windows_find(d, key, &best);
    int err = store_find(d, key, &row);
    if (err && err != -ERR_NOT_FOUND)
        return err;
    if (err == 0 && (!found || row_newer(&row, &best))) {
        best = row;
        found = true;
    }
    if (!found)
        return -ERR_NOT_FOUND;
    *ret = best;
    return 0;
}

struct ask_job {
    struct kv *kv;
    struct index_ask *asks;
    size_t count;
    struct volume_draft *drafts;
    size_t draft_count;
};

static int BLOCKING ask_job(void *arg)
{
    struct ask_job *j = arg;
    return index_store_ask(j->kv, j->asks, j->count, j->drafts, j->draft_count);
}

int FIBER index_ask(struct disk *d, struct index_ask *asks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        asks[i].known = windows_find(d, asks[i].key, &asks[i].newest);
        asks[i].buries = false;
    }
    rt_lock(&d->lock);
    struct ask_job j = {.kv = d->kv, .asks = asks, .count = count, .draft_count = d->volume_count};
    j.drafts = malloc((j.draft_count + 1) * sizeof(*j.drafts));
    if (j.drafts)
        drafts_fill(d, j.drafts);
    rt_unlock(&d->lock);
    int err = j.drafts ? rt_offload(ask_job, &j) : -ENOMEM;
    free(j.drafts);
    return err;
}

struct page_job {
    struct kv *kv;
    const struct index_row *after;
    struct index_row *rows;
    size_t cap, count;
};

static int BLOCKING page_job(void *arg)
{
    struct page_job *j = arg;
    return index_store_page(j->kv, j->after, j->rows, j->cap, &j->count);
}

int FIBER index_page(struct disk *d, const struct index_row *after, struct index_row *rows,
                     size_t cap, size_t *ret_count)
{
    struct page_job j = {.kv = d->kv, .after = after, .rows = rows, .cap = cap};
    int err = rt_offload(page_job, &j);
    if (err == 0)
        *ret_count = j.count;
    return err;
}

/* ---- opening and forgetting ----------------------------------------------------------------- */

struct claim_job {
    struct disk *d;
    int (*fn)(uint32_t, const struct volume_row *, void *);
    void *arg;
};

static int BLOCKING claim_job(void *arg)
{
    struct claim_job *j = arg;
    int err = index_store_claim(j->d->kv, j->d->uuid);
    return err ? err : index_store_volumes(j->d->kv, j->fn, j->arg);
}

int FIBER index_open(struct disk *d, int (*fn)(uint32_t, const struct volume_row *, void *),
                     void *arg)
{
    struct claim_job j = {.d = d, .fn = fn, .arg = arg};
    return rt_offload(claim_job, &j);
}

struct recount_job {
    struct kv *kv;
    struct volume_draft *drafts;
    size_t count;
};

static int BLOCKING recount_job(void *arg)
{
    struct recount_job *j = arg;
    return index_store_recount(j->kv, j->drafts, j->count);
}

int FIBER index_recount(struct disk *d)
{
    turn_take(d);
    rt_lock(&d->lock);
    struct recount_job j = {.kv = d->kv, .count = d->volume_count};
    j.drafts = malloc((j.count + 1) * sizeof(*j.drafts));
    if (j.drafts)
        drafts_fill(d, j.drafts);
    rt_unlock(&d->lock);
    int err = j.drafts ? rt_offload(recount_job, &j) : -ENOMEM;
    if (err == 0) {
        rt_lock(&d->lock);
        drafts_keep(d, j.drafts, j.count);
        rt_unlock(&d->lock);
    }
    turn_give(d);
    free(j.drafts);
    return err;
}

struct forget_job {
    struct kv *kv;
    uint32_t number;
    const struct volume_row *row; /* NULL: none any more */
    const struct index_row *rows;
    size_t count;
};

static int BLOCKING volume_row_job(void *arg)
{
    struct forget_job *j = arg;
    return index_store_volume(j->kv, j->number, j->row);
}

static int BLOCKING forget_rows_job(void *arg)
{
    struct forget_job *j = arg;
    return index_store_del(j->kv, j->rows, j->count);
}

int FIBER index_retire_volume(struct disk *d, const struct volume *v)
{
    struct volume_row row = {
        .incarnation = v->incarnation,
        .low = VOLUME_DATA,
        .state = VOLUME_RETIRING,
    };
    struct forget_job j = {.kv = d->kv, .number = v->number, .row = &row};
    turn_take(d); /* a round under way may still know the volume */
    int err = rt_offload(volume_row_job, &j);
    turn_give(d);
    return err;
}

int FIBER index_forget_volume(struct disk *d, const struct volume *v)
{
    struct forget_job j = {.kv = d->kv, .number = v->number};
    return rt_offload(volume_row_job, &j);
}

int FIBER index_forget_rows(struct disk *d, const struct index_row *rows, size_t count)
{
    struct forget_job j = {.kv = d->kv, .rows = rows, .count = count};
    return rt_offload(forget_rows_job, &j);
}
