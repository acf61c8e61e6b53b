/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The needle index in its kv. All but the cached look-up block and run on an offload thread; none
 * touches a `struct disk`, so none takes its lock.
 *
 * What a key's newest row says is what the index says of it: a place, or a tombstone. A volume's
 * live bytes are those of the rows that are the newest of their key and no tombstones. A round
 * therefore looks, for each key it adds rows to, at the newest row before and after.
 */

#include "volume/internal.h"

#define BATCH_ROWS 4096 /* of deletions, where no atomicity is needed */

static void iter_free_(struct kv_iter **it)
{
    if (*it)
        kv_iter_free(*it);
}
#define _cleanup_iter_ _cleanup_(iter_free_)

static void batch_free_(struct kv_batch **b)
{
    if (*b)
        kv_batch_free(*b);
}
#define _cleanup_batch_ _cleanup_(batch_free_)

static int put_row(struct kv_batch *b, struct row_bytes row)
{
    return kv_batch_put(b, row_key(&row), row_value(&row));
}

static int del_row(struct kv_batch *b, struct row_bytes row)
{
    return kv_batch_del(b, row_key(&row));
}

/* ---- reading -------------------------------------------------------------------------------- */

/* The row that the iterator was led to, if it is one of this key. */
static int row_at(struct kv_iter *it, struct needle_key key, struct index_row *ret)
{
    if (!kv_iter_valid(it)) {
        int err = kv_iter_error(it);
        return err ? err : -ERR_NOT_FOUND;
    }
    struct row_bytes prefix = row_prefix(key);
    if (!str_starts(kv_iter_key(it), row_key(&prefix)))
        return -ERR_NOT_FOUND;
    return row_is_needle(kv_iter_key(it), kv_iter_value(it), ret) ? 0 : -ERR_CORRUPT;
}

static int first_row(struct kv *kv, struct needle_key key, unsigned flags, struct index_row *ret)
{
    struct row_bytes prefix = row_prefix(key);
    _cleanup_iter_ struct kv_iter *it = NULL;
    int err = kv_iter_new_prefix(kv, NULL, NULL, row_key(&prefix), flags, &it);
    if (err)
        return err;
    kv_iter_seek(it, row_key(&prefix));
    return row_at(it, key, ret);
}

int BLOCKING index_store_first(struct kv *kv, struct needle_key key, struct index_row *ret)
{
    return first_row(kv, key, 0, ret);
}

int index_store_cached(struct kv *kv, struct needle_key key, struct index_row *ret)
{
    return first_row(kv, key, KV_CACHED, ret);
}

int BLOCKING index_store_page(struct kv *kv, const struct index_row *after, struct index_row *rows,
                              size_t cap, size_t *ret_count)
{
    _cleanup_iter_ struct kv_iter *it = NULL;
    int err = kv_iter_new_prefix(kv, NULL, NULL, ROWS_NEEDLES, 0, &it);
    if (err)
        return err;
    struct row_bytes at = after ? row_of_needle(after) : (struct row_bytes){};
    kv_iter_seek(it, after ? row_key(&at) : ROWS_NEEDLES);
    if (after && kv_iter_valid(it) && str_eq(kv_iter_key(it), row_key(&at)))
        kv_iter_next(it);
    size_t n = 0;
    for (; n < cap && kv_iter_valid(it); kv_iter_next(it), n++)
        if (!row_is_needle(kv_iter_key(it), kv_iter_value(it), &rows[n]))
            return -ERR_CORRUPT;
    err = kv_iter_valid(it) ? 0 : kv_iter_error(it);
    if (err == 0)
        *ret_count = n;
    return err;
}

/* Whether a needle of the tombstone's key lies in another volume, by the rows from the iterator on.
 */
static int find_buried(struct kv_iter *it, const struct index_row *tombstone,
                       struct volume_draft *drafts, size_t draft_count, bool *ret)
{
    struct index_row row;
    int err;
    *ret = false;
    for (; !*ret && (err = row_at(it, tombstone->key, &row)) == 0; kv_iter_next(it))
        *ret = !row.tombstone && row.volume != tombstone->volume &&
               draft_find(drafts, draft_count, row.volume);
    return *ret || err == -ERR_NOT_FOUND ? 0 : err;
}

int BLOCKING index_store_ask(struct kv *kv, struct index_ask *asks, size_t count,
                             struct volume_draft *drafts, size_t draft_count)
{
    _cleanup_iter_ struct kv_iter *it = NULL;
    int err = kv_iter_new_prefix(kv, NULL, NULL, ROWS_NEEDLES, 0, &it);
    for (size_t i = 0; err == 0 && i < count; i++) {
        struct row_bytes prefix = row_prefix(asks[i].key);
        struct index_row row;
        kv_iter_seek(it, row_key(&prefix));
        err = row_at(it, asks[i].key, &row);
        if (err == 0 && (!asks[i].known || row_newer(&row, &asks[i].newest))) {
            asks[i].newest = row;
            asks[i].known = true;
        }
        err = err == -ERR_NOT_FOUND ? 0 : err;
        if (err == 0 && asks[i].known && asks[i].newest.tombstone)
            err = find_buried(it, &asks[i].newest, drafts, draft_count, &asks[i].buries);
    }
    return err;
}

int BLOCKING index_store_volumes(struct kv *kv,
                                 int (*fn)(uint32_t, const struct volume_row *, void *), void *arg)
{
    _cleanup_iter_ struct kv_iter *it = NULL;
    int err = kv_iter_new_prefix(kv, NULL, NULL, ROWS_VOLUMES, 0, &it);
    if (err)
        return err;
    for (kv_iter_seek(it, ROWS_VOLUMES); kv_iter_valid(it); kv_iter_next(it)) {
        uint32_t number;
        struct volume_row row;
        if (!row_is_volume(kv_iter_key(it), kv_iter_value(it), &number, &row))
            return -ERR_CORRUPT;
        err = fn(number, &row, arg);
        if (err)
            return err;
    }
    return kv_iter_valid(it) ? 0 : kv_iter_error(it);
}

/* ---- a round -------------------------------------------------------------------------------- */

struct volume_draft *draft_find(struct volume_draft *drafts, size_t count, uint32_t number)
{
    size_t lo = 0, hi = count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (drafts[mid].number == number)
            return &drafts[mid];
        if (drafts[mid].number < number)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

/* The row begins (sign 1) or ceases (-1) to be what its key's lookup gives. */
static void draft_count_live(struct volume_draft *drafts, size_t count, const struct index_row *row,
                             int sign)
{
    struct volume_draft *v = draft_find(drafts, count, row->volume);
    if (!v || row->tombstone)
        return;
    v->row.live_bytes += (uint64_t)sign * row_span(row);
    v->row.live_needles += (uint64_t)sign;
    v->changed = true;
}

/* Adds the rows of one key, which come newest first. */
static int round_key(struct index_round *r, struct kv_batch *b, struct kv_iter *it,
                     const struct index_row **rows, size_t count)
{
    struct row_bytes prefix = row_prefix(rows[0]->key);
    struct index_row old;
    kv_iter_seek(it, row_key(&prefix));
    int err = row_at(it, rows[0]->key, &old);
    if (err && err != -ERR_NOT_FOUND)
        return err;
    bool had = err == 0;
    for (size_t i = 0; i < count; i++) {
        err = put_row(b, row_of_needle(rows[i]));
        if (err)
            return err;
        struct volume_draft *v = draft_find(r->drafts, r->draft_count, rows[i]->volume);
        if (v && v->row.lsn_max < rows[i]->lsn) {
            v->row.lsn_max = rows[i]->lsn;
            v->changed = true;
        }
    }
    if (had && !row_newer(rows[0], &old))
        return 0;
    if (had)
        draft_count_live(r->drafts, r->draft_count, &old, -1);
    draft_count_live(r->drafts, r->draft_count, rows[0], 1);
    return 0;
}

static int row_pointer_order(const void *a, const void *b)
{
    return row_order(*(const struct index_row *const *)a, *(const struct index_row *const *)b);
}

static int round_rows(struct index_round *r, struct kv_batch *b)
{
    if (r->count == 0)
        return 0;
    _cleanup_iter_ struct kv_iter *it = NULL;
    int err = kv_iter_new(r->kv, NULL, NULL, 0, &it);
    qsort(r->rows, r->count, sizeof(r->rows[0]), row_pointer_order);
    for (size_t i = 0, n; err == 0 && i < r->count; i += n) {
        for (n = 1; i + n < r->count && needle_key_eq(r->rows[i + n]->key, r->rows[i]->key);)
            n++;
        err = round_key(r, b, it, r->rows + i, n);
    }
    return err;
}

static int round_volumes(struct index_round *r, struct kv_batch *b)
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < r->draft_count; i++)
        if (r->drafts[i].changed)
            err = put_row(b, row_of_volume(r->drafts[i].number, &r->drafts[i].row));
    return err;
}

int BLOCKING index_round_apply(struct index_round *r)
{
    _cleanup_batch_ struct kv_batch *b = NULL;
    int err = kv_batch_new(r->kv, &b);
    if (err == 0)
        err = round_rows(r, b);
    if (err == 0)
        err = round_volumes(r, b);
    if (err == 0 && kv_batch_count(b) > 0)
        err = kv_write(r->kv, b, false);
    r->applied = err == 0;
    if (err == 0 && r->survive)
        err = kv_flush(r->kv);
    r->flushed = err == 0 && r->survive;
    return err;
}

/* ---- removing ------------------------------------------------------------------------------- */

int BLOCKING index_store_volume(struct kv *kv, uint32_t number, const struct volume_row *row)
{
    _cleanup_batch_ struct kv_batch *b = NULL;
    int err = kv_batch_new(kv, &b);
    if (err == 0)
        err = row ? put_row(b, row_of_volume(number, row))
                  : del_row(b, row_of_volume(number, &(struct volume_row){}));
    return err ? err : kv_write(kv, b, false);
}

int BLOCKING index_store_del(struct kv *kv, const struct index_row *rows, size_t count)
{
    _cleanup_batch_ struct kv_batch *b = NULL;
    int err = kv_batch_new(kv, &b);
    for (size_t i = 0; err == 0 && i < count; i++)
        err = del_row(b, row_of_needle(&rows[i]));
    return err ? err : kv_write(kv, b, false);
}

/* Deletes every row from `from` on; *ret_some tells whether there may be more. */
static int del_some(struct kv *kv, bool *ret_some)
{
    _cleanup_batch_ struct kv_batch *b = NULL;
    _cleanup_iter_ struct kv_iter *it = NULL;
    int err = kv_batch_new(kv, &b);
    if (err == 0)
        err = kv_iter_new(kv, NULL, NULL, 0, &it);
    if (err)
        return err;
    for (kv_iter_seek(it, STR("")); kv_iter_valid(it) && kv_batch_count(b) < BATCH_ROWS;
         kv_iter_next(it)) {
        err = kv_batch_del(b, kv_iter_key(it));
        if (err)
            return err;
    }
    *ret_some = kv_iter_valid(it);
    err = *ret_some ? 0 : kv_iter_error(it);
    return err || kv_batch_count(b) == 0 ? err : kv_write(kv, b, false);
}

/* The name is written last: a crash on the way leaves a store that is emptied again. */
int BLOCKING index_store_claim(struct kv *kv, const uint8_t uuid[16])
{
    struct row_bytes name = row_of_disk(uuid);
    _cleanup_buf_ struct buf is;
    buf_init(&is, 0);
    int err = kv_get(kv, NULL, row_key(&name), 0, &is);
    if (err == 0 && str_eq(buf_str(&is), row_value(&name)))
        return 0;
    if (err && err != -ERR_NOT_FOUND)
        return err;
    err = 0;
    for (bool some = true; err == 0 && some;)
        err = del_some(kv, &some);
    _cleanup_batch_ struct kv_batch *b = NULL;
    if (err == 0)
        err = kv_batch_new(kv, &b);
    if (err == 0)
        err = put_row(b, name);
    return err ? err : kv_write(kv, b, false);
}

/* ---- counting anew -------------------------------------------------------------------------- */

struct recount {
    struct volume_draft *drafts;
    size_t draft_count;
    struct kv_batch *batch;  /* deletions */
    struct index_row winner; /* of the key at hand */
    bool any;
};

static int recount_row(struct recount *c, const struct index_row *row)
{
    if (!draft_find(c->drafts, c->draft_count, row->volume))
        return del_row(c->batch, row_of_needle(row));
    if (!c->any || !needle_key_eq(c->winner.key, row->key))
        draft_count_live(c->drafts, c->draft_count, row, 1);
    c->winner = *row;
    c->any = true;
    return 0;
}

static int recount_rows(struct kv *kv, struct recount *c)
{
    struct index_row rows[64], last;
    size_t n = 0;
    bool more = false;
    do {
        int err = index_store_page(kv, more ? &last : NULL, rows, ARRAY_LEN(rows), &n);
        for (size_t i = 0; err == 0 && i < n; i++)
            err = recount_row(c, &rows[i]);
        if (err == 0 && kv_batch_count(c->batch) >= BATCH_ROWS) {
            err = kv_write(kv, c->batch, false);
            kv_batch_clear(c->batch);
        }
        if (err)
            return err;
        if (n > 0)
            last = rows[n - 1];
        more = true;
    } while (n == ARRAY_LEN(rows));
    return kv_batch_count(c->batch) > 0 ? kv_write(kv, c->batch, false) : 0;
}

struct missing_volumes {
    struct recount *count;
    struct kv_batch *batch;
};

static int drop_missing_volume(uint32_t number, const struct volume_row *row, void *arg)
{
    struct missing_volumes *m = arg;
    if (draft_find(m->count->drafts, m->count->draft_count, number))
        return 0;
    return del_row(m->batch, row_of_volume(number, row));
}

/* The volumes' rows go last: a crash before that leaves the rows that ask for a recount. */
int BLOCKING index_store_recount(struct kv *kv, struct volume_draft *drafts, size_t draft_count)
{
    _cleanup_batch_ struct kv_batch *deletions = NULL, *volumes = NULL;
    int err = kv_batch_new(kv, &deletions);
    if (err == 0)
        err = kv_batch_new(kv, &volumes);
    if (err)
        return err;
    for (size_t i = 0; i < draft_count; i++)
        drafts[i].row.live_bytes = drafts[i].row.live_needles = 0;
    struct recount c = {.drafts = drafts, .draft_count = draft_count, .batch = deletions};
    err = recount_rows(kv, &c);
    if (err)
        return err;
    struct missing_volumes m = {.count = &c, .batch = volumes};
    err = index_store_volumes(kv, drop_missing_volume, &m);
    struct index_round counts = {.kv = kv, .drafts = drafts, .draft_count = draft_count};
    for (size_t i = 0; i < draft_count; i++)
        drafts[i].changed = true;
    if (err == 0)
        err = round_volumes(&counts, volumes);
    return err ? err : kv_write(kv, volumes, false);
}
