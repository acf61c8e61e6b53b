/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Restores. The row in the system space and the object's record are in two transactions, so the row
 * comes first and goes last: a crash in between leaves a row that finds nothing to do, never an
 * object that waits for ever.
 *
 *   archived  --store_restore: row, then record-->  ongoing
 *   ongoing   --store_restore_done: row of the expiry, record, row-->  restored until
 *   restored  --store_restore_end: record, row-->  archived
 *   restored  --store_restore: row of the expiry, then record-->  restored until later
 */

#include "store/upkeep/tiers.h"
#include "store/internal.h"

bool store_is_readable(const struct store *s, const struct store_object *o)
{
    return !store_class_is_archive(s, o->attrs.storage_class) ||
           o->attrs.restore.until_ms > rt_wall_ms();
}

/* ---- rows ----------------------------------------------------------------------------------- */

static struct str row_key(struct key_buf *k, const struct store_restore_row *row)
{
    return key_restore(k, (uint8_t)row->rank, row->due_ms, row->number);
}

static int put_row_tx(struct meta_tx *tx, void *arg)
{
    const struct store_restore_row *row = arg;
    struct key_buf k;
    Cairn__Restore pb = CAIRN__RESTORE__INIT;
    pb.bucket = row->bucket.n;
    pb.key = pb_bytes(row->key);
    pb.seq = row->seq;
    pb.null_version = row->version.kind == STORE_VERSION_NULL;
    pb.days = row->days;
    size_t len = cairn__restore__get_packed_size(&pb);
    uint8_t *packed = arena_alloc(meta_arena(tx), len + 1);
    if (!packed)
        return -ENOMEM;
    cairn__restore__pack(&pb, packed);
    return meta_put(tx, row_key(&k, row), str_make(packed, len));
}

static int FIBER put_row(struct store *s, struct store_restore_row *row)
{
    row->number = store_next_seq(s, 0);
    return meta_write(s->meta, BUCKET_SYSTEM, put_row_tx, row);
}

static int drop_row_tx(struct meta_tx *tx, void *arg)
{
    struct key_buf k;
    meta_use_reserve(tx);
    return meta_del(tx, row_key(&k, arg));
}

int FIBER store_restore_drop(struct store *s, const struct store_restore_row *row)
{
    struct store_restore_row copy = *row;
    return meta_write(s->meta, BUCKET_SYSTEM, drop_row_tx, &copy);
}

int FIBER store_restore_later(struct store *s, const struct store_restore_row *row, uint64_t due_ms)
{
    struct store_restore_row later = *row;
    later.due_ms = due_ms;
    int r = put_row(s, &later);
    return r < 0 ? r : store_restore_drop(s, row);
}

struct due {
    struct arena *arena;
    uint64_t now_ms;
    size_t max, count;
    struct store_restore_row *rows;
};

static int decode_row(struct due *d, struct str key, struct str value,
                      struct store_restore_row *ret)
{
    uint8_t rank;
    struct store_restore_row row;
    int r = key_parse_restore(key, &rank, &row.due_ms, &row.number);
    if (r < 0)
        return r;
    const Cairn__Restore *pb = pb_unpack(&cairn__restore__descriptor, d->arena, value, &r);
    if (!pb)
        return r;
    if (rank >= STORE_RANKS || pb->bucket == 0 || pb->seq == 0 ||
        store_key_test(pb_str(pb->key)) < 0)
        return -ERR_CORRUPT;
    row.rank = rank;
    row.bucket.n = pb->bucket;
    row.key = pb_str(pb->key);
    row.version = pb->null_version
                      ? (struct store_version_ref){.kind = STORE_VERSION_NULL}
                      : (struct store_version_ref){.kind = STORE_VERSION_SEQ, .seq = pb->seq};
    row.seq = pb->seq;
    row.days = pb->days;
    *ret = row;
    return 0;
}

/* Rows of one rank, which are in the order of when they are due. One that cannot be read stays
 * where it is. */
static int due_of_rank(struct meta_tx *tx, struct due *d, uint8_t rank)
{
    struct key_buf k, end;
    struct meta_cursor *c;
    struct str after = key_restore(&end, rank, d->now_ms, UINT64_MAX);
    int r = meta_cursor_open(tx, KEY_RESTORES, &c);
    if (r < 0)
        return r;
    r = meta_cursor_seek(c, key_restore(&k, rank, 0, 0));
    while (r == 0 && meta_cursor_valid(c) && d->count < d->max &&
           str_cmp(meta_cursor_key(c), after) <= 0) {
        r = decode_row(d, meta_cursor_key(c), meta_cursor_value(c), &d->rows[d->count]);
        d->count += r == 0;
        if (r == 0 || r == -ERR_CORRUPT)
            r = meta_cursor_next(c);
    }
    meta_cursor_close(c);
    return r;
}

static int due_tx(struct meta_tx *tx, void *arg)
{
    struct due *d = arg;
    int r = 0;
    arena_reset(d->arena);
    d->count = 0;
    d->rows = arena_array(d->arena, struct store_restore_row, d->max);
    if (!d->rows)
        return -ENOMEM;
    for (uint8_t rank = 0; r == 0 && rank < STORE_RANKS; rank++)
        r = due_of_rank(tx, d, rank);
    return r;
}

int FIBER store_restores_due(struct store *s, struct arena *a, uint64_t now_ms, size_t max,
                             struct store_restore_row **ret, size_t *ret_count)
{
    struct due d = {.arena = a, .now_ms = now_ms, .max = max};
    int r = meta_read(s->meta, BUCKET_SYSTEM, due_tx, &d);
    if (r == 0) {
        *ret = d.rows;
        *ret_count = d.count;
    }
    return r;
}

struct str store_restore_bucket(struct store *s, struct arena *a,
                                const struct store_restore_row *row)
{
    return buckets_name(&s->buckets, a, row->bucket);
}

/* ---- the record ----------------------------------------------------------------------------- */

struct change {
    struct store_restore old, new; /* it must be the one, and becomes the other */
};

static int set_restore(const struct store_object *o, struct store_attrs *attrs, void *arg)
{
    const struct change *c = arg;
    if (o->attrs.restore.ongoing != c->old.ongoing || o->attrs.restore.until_ms != c->old.until_ms)
        return -ERR_CONFLICT;
    attrs->restore = c->new;
    return 0;
}

static int FIBER change(struct store *s, const struct store_restore_row *row, struct change *c,
                        struct store_notice *notice)
{
    struct store_written written;
    struct store_conditions conditions = {.has_seq = true, .seq = row->seq, .notice = notice};
    return store_change_attrs(s, row->bucket, row->key, row->version, &conditions, false,
                              set_restore, c, &written);
}

/* A row was seen whose record may be about to change: looked at now, it might say too little. */
static bool is_early(const struct store *s)
{
    return __atomic_load_n(&s->restores_begun, __ATOMIC_SEQ_CST) > 0;
}

/* What the version says now, and its class. -ERR_NOT_FOUND: it is gone, or another. */
static int FIBER look(struct store *s, const struct store_restore_row *row,
                      struct store_restore *ret, bool *ret_archived)
{
    struct store_reader *reader = NULL;
    int r = store_get(s, row->bucket, row->key, row->version, NULL, &reader);
    if (r == 0 && store_reader_object(reader)->seq != row->seq)
        r = -ERR_NOT_FOUND;
    if (r == 0) {
        *ret = store_reader_object(reader)->attrs.restore;
        *ret_archived = store_class_is_archive(s, store_reader_object(reader)->attrs.storage_class);
    }
    store_reader_close(reader);
    return r;
}

/* The version is not there any more. */
static bool is_gone(int err)
{
    return err == -ERR_NOT_FOUND || err == -ERR_NO_SUCH_KEY || err == -ERR_NO_SUCH_VERSION ||
           err == -ERR_NO_SUCH_BUCKET || err == -ERR_METHOD_NOT_ALLOWED ||
           err == -ERR_PRECONDITION_FAILED;
}

/* ---- asking --------------------------------------------------------------------------------- */

static int judge(struct store *s, const struct store_object *o)
{
    if (!store_class_is_archive(s, o->attrs.storage_class))
        return -ERR_NOT_ARCHIVED;
    return o->attrs.restore.ongoing ? -ERR_RESTORING : 0;
}

static struct store_version_ref named(const struct store_object *o)
{
    return o->null_version ? (struct store_version_ref){.kind = STORE_VERSION_NULL}
                           : (struct store_version_ref){.kind = STORE_VERSION_SEQ, .seq = o->seq};
}

int FIBER store_restore(struct store *s, struct bucket_id b, const struct store_restoring *what,
                        bool *ret_there)
{
    struct store_reader *reader = NULL;
    uint64_t now_ms = rt_wall_ms();
    int r = store_get(s, b, what->key, what->version, NULL, &reader);
    if (r == 0)
        r = judge(s, store_reader_object(reader));
    if (r < 0) {
        store_reader_close(reader);
        return r;
    }
    const struct store_object *o = store_reader_object(reader);
    bool there = o->attrs.restore.until_ms > now_ms;
    struct change c = {.old = o->attrs.restore, .new = {.ongoing = true}};
    if (there)
        c.new = (struct store_restore){.until_ms = what->until_ms};
    struct store_restore_row row = {.rank = there ? STORE_EXPIRIES : what->rank,
                                    .due_ms = there ? what->until_ms : now_ms,
                                    .bucket = b,
                                    .key = what->key,
                                    .version = named(o),
                                    .seq = o->seq,
                                    .days = what->days};
    store_reader_close(reader);
    __atomic_fetch_add(&s->restores_begun, 1, __ATOMIC_SEQ_CST);
    r = put_row(s, &row);
    if (r == 0)
        r = change(s, &row, &c, there ? NULL : what->notice);
    __atomic_fetch_sub(&s->restores_begun, 1, __ATOMIC_SEQ_CST);
    if (r == 0)
        *ret_there = there;
    return r == -ERR_PRECONDITION_FAILED ? -ERR_CONFLICT : r;
}

/* ---- carrying out --------------------------------------------------------------------------- */

struct whole {
    int (*pace)(uint64_t bytes, void *arg);
    void *arg;
};

static int FIBER read_piece(const void *data, size_t len, void *arg)
{
    const struct whole *w = arg;
    return w->pace ? w->pace(len, w->arg) : 0;
}

/* As the bytes lie: those of a sealed object stay sealed. */
static int FIBER read_whole(struct store *s, const struct store_restore_row *row, struct whole *w)
{
    struct store_reader *reader = NULL;
    int r = store_get(s, row->bucket, row->key, row->version, NULL, &reader);
    if (r == 0)
        r = store_read_raw(reader, read_piece, w);
    store_reader_close(reader);
    return r;
}

int FIBER store_restore_read(struct store *s, const struct store_restore_row *row,
                             int (*pace)(uint64_t bytes, void *arg), void *arg)
{
    struct store_restore now;
    struct whole w = {pace, arg};
    bool archived;
    if (is_early(s))
        return -ERR_BUSY;
    int r = look(s, row, &now, &archived);
    if (r == 0 && !now.ongoing)
        r = -ERR_NOT_FOUND;
    if (r == 0)
        r = read_whole(s, row, &w);
    return is_gone(r) ? -ERR_NOT_FOUND : r;
}

int FIBER store_restore_done(struct store *s, const struct store_restore_row *row,
                             uint64_t until_ms, struct store_notice *notice)
{
    struct change c = {.old = {.ongoing = true}, .new = {.until_ms = until_ms}};
    struct store_restore_row expiry = *row;
    expiry.rank = STORE_EXPIRIES;
    expiry.due_ms = until_ms;
    int r = put_row(s, &expiry);
    if (r == 0)
        r = change(s, row, &c, notice);
    if (r < 0 && !is_gone(r) && r != -ERR_CONFLICT)
        return r;
    return store_restore_drop(s, row);
}

int FIBER store_restore_end(struct store *s, const struct store_restore_row *row, uint64_t now_ms,
                            struct store_notice *notice, bool *ret_ended)
{
    struct change c = {.new = {.until_ms = 0}};
    bool archived = false;
    *ret_ended = false;
    if (is_early(s))
        return -ERR_BUSY;
    int r = look(s, row, &c.old, &archived);
    if (r == 0 && (c.old.ongoing || c.old.until_ms == 0 || c.old.until_ms > now_ms))
        r = -ERR_NOT_FOUND; /* another row is about it */
    if (r == 0)
        r = change(s, row, &c, notice);
    *ret_ended = r == 0;
    if (r < 0 && !is_gone(r) && r != -ERR_CONFLICT)
        return r;
    return store_restore_drop(s, row);
}
