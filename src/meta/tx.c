/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "base/encode.h"
#include "meta/internal.h"

/* ---- a run ---------------------------------------------------------------------------------- */

void meta_tx_init(struct meta_tx *tx, struct kv *kv)
{
    *tx = (struct meta_tx){.kv = kv};
    arena_init(&tx->arena, META_TX_MEMORY_MAX);
    buf_init(&tx->value, 2 * META_VALUE_MAX);
    list_init(&tx->cursors);
}

void meta_tx_release(struct meta_tx *tx)
{
    arena_release(&tx->arena);
    buf_release(&tx->value);
}

void meta_tx_begin(struct meta_tx *tx, struct bucket_id b)
{
    CHECK(b.n <= META_BUCKET_MAX);
    put_be64(tx->bucket, b.n);
    tx->error = 0;
    tx->use_reserve = false;
    tx->adds = NULL;
    tx->has_read = false;
    tx->raced = false;
    tx->store_failed = 0;
}

struct meta_cursor {
    struct list link; /* in the transaction's cursors */
    struct meta_tx *tx;
    struct kv_iter *it;
    bool bulk; /* over bulky rows */
};

void meta_tx_end(struct meta_tx *tx)
{
    while (!list_empty(&tx->cursors))
        meta_cursor_close(container_of(tx->cursors.next, struct meta_cursor, link));
    if (tx->snapshot)
        kv_snapshot_free(tx->kv, TAKE_PTR(tx->snapshot));
    arena_reset(&tx->arena);
}

/* Remembers the first failure. */
static int fail(struct meta_tx *tx, int r)
{
    if (tx->error == 0)
        tx->error = r;
    return r;
}

/* Hands a result of the store on; all but "not found" fails the transaction. */
static int checked(struct meta_tx *tx, int r)
{
    if (r == -EIO || r == -ERR_CORRUPT)
        tx->store_failed = r;
    return r < 0 && r != -ERR_NOT_FOUND ? fail(tx, r) : r;
}

/* The same for what is not the store's doing. */
static int fail_if(struct meta_tx *tx, int r)
{
    return r < 0 ? fail(tx, r) : r;
}

bool meta_is_write(const struct meta_tx *tx)
{
    return tx->batch != NULL;
}

struct arena *meta_arena(struct meta_tx *tx)
{
    return &tx->arena;
}

void meta_use_reserve(struct meta_tx *tx)
{
    tx->use_reserve = true;
}

/* ---- keys ----------------------------------------------------------------------------------- */

/* Room for the longest key and two bytes more (KV_BULK, and seek_key). */
struct full_key {
    char bytes[1 + BUCKET_BYTES + META_KEY_MAX + 1];
};

static bool is_bulk(struct str key)
{
    return key.len > 0 && key.ptr[0] == META_BULK;
}

/* What stands before the key. */
static size_t put_bucket(const struct meta_tx *tx, bool bulk, char *ret)
{
    if (bulk)
        *ret++ = (char)KV_BULK;
    memcpy(ret, tx->bucket, BUCKET_BYTES);
    return bulk + BUCKET_BYTES;
}

static struct str full_key_in(const struct meta_tx *tx, bool bulk, struct str key,
                              struct full_key *ret)
{
    CHECK(key.len <= META_KEY_MAX + 1);
    size_t len = put_bucket(tx, bulk, ret->bytes);
    if (key.len)
        memcpy(ret->bytes + len, key.ptr, key.len);
    return str_make(ret->bytes, len + key.len);
}

static struct str full_key(const struct meta_tx *tx, struct str key, struct full_key *ret)
{
    return full_key_in(tx, is_bulk(key), key, ret);
}

/*
 * Where to seek for a key that may be longer than any stored one: behind its first META_KEY_MAX
 * bytes comes a 0, which no stored key of that beginning has room for, so nothing lies between.
 */
static struct str seek_key(const struct meta_cursor *c, struct str key, struct full_key *ret)
{
    struct str full = full_key_in(c->tx, c->bulk, str_prefix(key, META_KEY_MAX), ret);
    if (key.len > META_KEY_MAX)
        ret->bytes[full.len++] = 0;
    return full;
}

static struct str without_bucket(struct str full)
{
    return str_from_offset(full, kv_is_bulk(full) + BUCKET_BYTES);
}

/* ---- reading -------------------------------------------------------------------------------- */

int meta_tx_take_snapshot(struct meta_tx *tx)
{
    tx->has_read = true;
    return checked(tx, kv_snapshot_new(tx->kv, &tx->snapshot));
}

/* Called before each look at the store in meta_read: see the comment on `commits`. */
static int settle_view(struct meta_tx *tx)
{
    if (meta_is_write(tx) || tx->snapshot)
        return 0;
    if (!tx->has_read) {
        tx->began = __atomic_load_n(tx->commits, __ATOMIC_SEQ_CST);
        tx->has_read = true;
        return tx->began & 1 ? meta_tx_take_snapshot(tx) : 0;
    }
    int r = meta_tx_take_snapshot(tx);
    if (r < 0)
        return r;
    tx->raced = __atomic_load_n(tx->commits, __ATOMIC_SEQ_CST) != tx->began;
    return tx->raced ? fail(tx, -EAGAIN) : 0;
}

/* Leaves the value in tx->value. */
static int look_up(struct meta_tx *tx, struct str key)
{
    struct full_key k;
    if (key.len > META_KEY_MAX)
        return -ERR_NOT_FOUND;
    if (tx->error < 0)
        return tx->error;
    int r = settle_view(tx);
    if (r < 0)
        return r;
    buf_reset(&tx->value);
    if (meta_is_write(tx))
        r = kv_batch_get(tx->batch, full_key(tx, key, &k), &tx->value);
    else
        r = kv_get(tx->kv, tx->snapshot, full_key(tx, key, &k), tx->flags, &tx->value);
    return checked(tx, r);
}

int meta_get(struct meta_tx *tx, struct str key, struct str *ret_value)
{
    int r = look_up(tx, key);
    if (r < 0)
        return r;
    struct str value = arena_dup(&tx->arena, buf_str(&tx->value));
    if (!value.ptr)
        return fail(tx, -ENOMEM);
    *ret_value = value;
    return 0;
}

/* ---- writing -------------------------------------------------------------------------------- */

int meta_put(struct meta_tx *tx, struct str key, struct str value)
{
    struct full_key k;
    CHECK(meta_is_write(tx));
    if (key.len > META_KEY_MAX || value.len > META_VALUE_MAX)
        return -ERR_TOO_LARGE;
    return checked(tx, kv_batch_put(tx->batch, full_key(tx, key, &k), value));
}

int meta_del(struct meta_tx *tx, struct str key)
{
    struct full_key k;
    CHECK(meta_is_write(tx));
    if (key.len > META_KEY_MAX)
        return 0;
    return checked(tx, kv_batch_del(tx->batch, full_key(tx, key, &k)));
}

int meta_on_commit(struct meta_tx *tx, void (*fn)(void *arg), void *arg)
{
    CHECK(meta_is_write(tx));
    struct meta_hooks *h = tx->hooks;
    if (h->count == h->cap) {
        size_t cap = h->cap ? 2 * h->cap : 64;
        struct meta_hook *items = realloc(h->items, cap * sizeof(*items));
        if (!items)
            return fail(tx, -ENOMEM);
        h->items = items;
        h->cap = cap;
    }
    h->items[h->count++] = (struct meta_hook){fn, arg};
    return 0;
}

/* ---- counters ------------------------------------------------------------------------------- */

/*
 * A row of counters is META_COUNTERS_MAX big-endian numbers. Additions are applied when the
 * function has returned; the row that many transactions of a batch add to is read from the disk
 * once and logged once, for the batch holds it in between.
 */
#define ROW_BYTES (8 * META_COUNTERS_MAX)

static int decode_row(struct str row, int64_t ret[META_COUNTERS_MAX])
{
    if (row.len != ROW_BYTES)
        return -ERR_CORRUPT;
    for (unsigned i = 0; i < META_COUNTERS_MAX; i++)
        ret[i] = (int64_t)get_be64(row.ptr + 8 * i);
    return 0;
}

int meta_get_counters(struct meta_tx *tx, struct str key, int64_t ret[META_COUNTERS_MAX])
{
    int r = look_up(tx, key);
    if (r == 0)
        return fail_if(tx, decode_row(buf_str(&tx->value), ret));
    if (r != -ERR_NOT_FOUND)
        return r;
    memset(ret, 0, ROW_BYTES);
    return 0;
}

int meta_add(struct meta_tx *tx, struct str key, const int64_t *deltas, unsigned count)
{
    struct full_key k;
    CHECK(meta_is_write(tx) && count <= META_COUNTERS_MAX);
    if (key.len > META_KEY_MAX)
        return -ERR_TOO_LARGE;
    struct meta_add *a = arena_new(&tx->arena, struct meta_add);
    if (!a)
        return fail(tx, -ENOMEM);
    a->key = arena_dup(&tx->arena, full_key(tx, key, &k));
    if (!a->key.ptr)
        return fail(tx, -ENOMEM);
    memcpy(a->deltas, deltas, count * sizeof(*deltas));
    a->next = tx->adds;
    tx->adds = a;
    return 0;
}

static int apply_add(struct meta_tx *tx, const struct meta_add *a)
{
    int64_t counters[META_COUNTERS_MAX];
    char row[ROW_BYTES];
    int r = meta_get_counters(tx, without_bucket(a->key), counters);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < META_COUNTERS_MAX; i++)
        put_be64(row + 8 * i, (uint64_t)counters[i] + (uint64_t)a->deltas[i]);
    return checked(tx, kv_batch_put(tx->batch, a->key, str_make(row, sizeof(row))));
}

int meta_tx_apply_adds(struct meta_tx *tx)
{
    int r = 0;
    for (const struct meta_add *a = tx->adds; a && r == 0; a = a->next)
        r = apply_add(tx, a);
    return r;
}

/* ---- cursors -------------------------------------------------------------------------------- */

int meta_cursor_open(struct meta_tx *tx, struct str prefix, struct meta_cursor **ret)
{
    struct full_key k;
    if (prefix.len > META_KEY_MAX)
        return -ERR_TOO_LARGE;
    if (tx->error < 0)
        return tx->error;
    int r = settle_view(tx);
    if (r < 0)
        return r;
    struct meta_cursor *c = arena_new(&tx->arena, struct meta_cursor);
    if (!c)
        return fail(tx, -ENOMEM);
    r = kv_iter_new_prefix(tx->kv, tx->snapshot, tx->batch, full_key(tx, prefix, &k), tx->flags,
                           &c->it);
    if (r < 0)
        return checked(tx, r);
    c->tx = tx;
    c->bulk = is_bulk(prefix);
    list_push_back(&tx->cursors, &c->link);
    *ret = c;
    return 0;
}

void meta_cursor_close(struct meta_cursor *c)
{
    if (!c)
        return;
    list_remove(&c->link);
    kv_iter_free(c->it);
}

static int moved(struct meta_cursor *c)
{
    return kv_iter_valid(c->it) ? 0 : checked(c->tx, kv_iter_error(c->it));
}

int meta_cursor_seek(struct meta_cursor *c, struct str key)
{
    struct full_key k;
    kv_iter_seek(c->it, seek_key(c, key, &k));
    return moved(c);
}

int meta_cursor_seek_before(struct meta_cursor *c, struct str key)
{
    struct full_key k;
    struct str full = seek_key(c, key, &k);
    kv_iter_seek_for_prev(c->it, full);
    if (kv_iter_valid(c->it) && str_eq(kv_iter_key(c->it), full))
        kv_iter_prev(c->it);
    return moved(c);
}

int meta_cursor_next(struct meta_cursor *c)
{
    kv_iter_next(c->it);
    return moved(c);
}

int meta_cursor_prev(struct meta_cursor *c)
{
    kv_iter_prev(c->it);
    return moved(c);
}

bool meta_cursor_valid(const struct meta_cursor *c)
{
    return kv_iter_valid(c->it);
}

struct str meta_cursor_key(const struct meta_cursor *c)
{
    return without_bucket(kv_iter_key(c->it));
}

struct str meta_cursor_value(const struct meta_cursor *c)
{
    return kv_iter_value(c->it);
}
