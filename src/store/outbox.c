/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "store/outbox.h"
#include "base/hash.h"
#include "store/internal.h"

/* ---- putting -------------------------------------------------------------------------------- */

unsigned outbox_shard(struct str key)
{
    return (unsigned)(hash_xxh3(key.ptr, key.len) % OUTBOX_SHARDS);
}

static struct str limited(struct str s)
{
    return str_prefix(s, OUTBOX_CONTEXT_MAX);
}

static int put_packed(struct meta_tx *tx, struct str key, const Cairn__Outbox *pb)
{
    size_t len = cairn__outbox__get_packed_size(pb);
    uint8_t *bytes = arena_alloc(meta_arena(tx), len);
    if (!bytes)
        return -ENOMEM;
    cairn__outbox__pack(pb, bytes);
    return meta_put(tx, key, str_make(bytes, len));
}

static void pack_event(Cairn__Outbox *pb, const struct store_event *e)
{
    pb->what = e->what;
    pb->name = pb_bytes(e->name);
    pb->key = pb_bytes(e->key);
    pb->config = pb_bytes(e->config);
    pb->version = e->version;
    pb->time_ms = e->time_ms;
    pb->len_bytes = e->len_bytes;
    if (e->what == STORE_CREATED || e->what == STORE_CHANGED) {
        pb->md5 = pb_bytes(str_make(e->etag.md5, sizeof(e->etag.md5)));
        pb->etag_parts = e->etag.parts;
    }
}

static int put_row(struct meta_tx *tx, const struct store_notice *n, const struct store_event *e)
{
    struct key_buf k;
    Cairn__Outbox pb = CAIRN__OUTBOX__INIT;
    CHECK(e->target.len <= OUTBOX_TARGET_MAX);
    pack_event(&pb, e);
    pb.bucket_name = pb_bytes(n->bucket_name);
    pb.owner = pb_bytes(limited(n->owner));
    pb.requester = pb_bytes(limited(n->requester));
    pb.source = pb_bytes(limited(n->source));
    pb.request_id = pb_bytes(limited(n->request_id));
    return put_packed(tx, key_outbox(&k, false, e->target, outbox_shard(e->key), e->seq), &pb);
}

static void notice_committed(void *arg)
{
    struct store_notice *n = arg;
    if (n->count && n->committed)
        n->committed(n->bucket, n->events, n->count, n->arg);
}

int outbox_begin(struct meta_tx *tx, struct store *s, struct bucket_id b, struct store_notice *n)
{
    if (!n)
        return 0;
    n->store = s;
    n->bucket = b;
    n->count = 0;
    if (n->cap == 0) {
        n->events = &n->one;
        n->cap = 1;
    }
    return meta_on_commit(tx, notice_committed, n);
}

static int make_room(struct store_notice *n)
{
    if (n->count < n->cap)
        return 0;
    struct store_event *more = arena_array(n->arena, struct store_event, 4 * n->cap);
    if (!more)
        return -ENOMEM;
    memcpy(more, n->events, n->count * sizeof(*more));
    n->events = more;
    n->cap *= 4;
    return 0;
}

int outbox_tell(struct meta_tx *tx, struct store_notice *n, const struct store_event *e)
{
    struct store_event told = *e;
    if (!n)
        return 0;
    told.time_ms = rt_wall_ms();
    told.name = told.target = told.config = STR_NULL;
    int r = n->wants(&told, n->arg);
    if (r <= 0)
        return r;
    told.seq = store_next_seq(n->store, 0);
    r = make_room(n);
    if (r == 0 && told.target.len)
        r = put_row(tx, n, &told);
    if (r == 0)
        n->events[n->count++] = told;
    return r;
}

struct single {
    struct store *store;
    struct bucket_id bucket;
    struct store_notice *notice;
    const struct store_event *event;
};

static int single_tx(struct meta_tx *tx, void *arg)
{
    struct single *s = arg;
    int r = config_row_test(tx);
    if (r == 0)
        r = outbox_begin(tx, s->store, s->bucket, s->notice);
    return r < 0 ? r : outbox_tell(tx, s->notice, s->event);
}

int FIBER store_outbox_put(struct store *s, struct bucket_id b, struct store_notice *n,
                           const struct store_event *e)
{
    struct single one = {s, b, n, e};
    return meta_write(s->meta, b, single_tx, &one);
}

/* ---- reading -------------------------------------------------------------------------------- */

int outbox_row_decode(struct str key, struct str value, struct arena *a, struct outbox_row *ret)
{
    unsigned shard;
    int r = 0;
    struct str copy = arena_dup(a, value), name = arena_dup(a, key);
    *ret = (struct outbox_row){0};
    if (!copy.ptr || !name.ptr)
        return -ENOMEM;
    r = key_parse_outbox(name, &ret->event.target, &shard, &ret->event.seq);
    if (r < 0)
        return r;
    const Cairn__Outbox *pb = pb_unpack(&cairn__outbox__descriptor, a, copy, &r);
    if (!pb)
        return r;
    struct store_event *e = &ret->event;
    if (pb->what > STORE_CHANGED || (pb->md5.len && pb->md5.len != sizeof(e->etag.md5)))
        return -ERR_CORRUPT;
    e->what = pb->what;
    e->name = pb_str(pb->name);
    e->key = pb_str(pb->key);
    e->config = pb_str(pb->config);
    e->version = pb->version;
    e->time_ms = pb->time_ms;
    e->len_bytes = pb->len_bytes;
    e->etag.parts = pb->etag_parts;
    if (pb->md5.len)
        memcpy(e->etag.md5, pb->md5.data, sizeof(e->etag.md5));
    ret->bucket_name = pb_str(pb->bucket_name);
    ret->owner = pb_str(pb->owner);
    ret->requester = pb_str(pb->requester);
    ret->source = pb_str(pb->source);
    ret->request_id = pb_str(pb->request_id);
    ret->died_ms = pb->died_ms;
    ret->attempts = pb->attempts;
    ret->why = pb_str(pb->why);
    ret->resent_ms = pb->resent_ms;
    return 0;
}

struct reading {
    const struct outbox_place *place;
    struct arena *arena;
    uint64_t seq;
    size_t max, count;
    struct outbox_row *rows;
};

static int read_tx(struct meta_tx *tx, void *arg)
{
    struct reading *d = arg;
    struct key_buf prefix, from;
    struct meta_cursor *c;
    const struct outbox_place *p = d->place;
    d->count = 0;
    int r = meta_cursor_open(tx, key_outbox_shard(&prefix, p->dead, p->target, p->shard), &c);
    if (r < 0)
        return r;
    r = meta_cursor_seek(c, key_outbox(&from, p->dead, p->target, p->shard, d->seq));
    while (r == 0 && meta_cursor_valid(c) && d->count < d->max) {
        r = outbox_row_decode(meta_cursor_key(c), meta_cursor_value(c), d->arena,
                              &d->rows[d->count]);
        d->count += r == 0;
        if (r == 0)
            r = meta_cursor_next(c);
    }
    meta_cursor_close(c);
    return r;
}

int FIBER store_outbox_read(struct store *s, struct arena *a, const struct outbox_place *place,
                            uint64_t seq, size_t max, struct outbox_row **ret, size_t *ret_count)
{
    struct reading d = {.place = place, .arena = a, .seq = seq, .max = max};
    d.rows = arena_array(a, struct outbox_row, MAX(max, (size_t)1));
    if (!d.rows)
        return -ENOMEM;
    int r = meta_read(s->meta, place->bucket, read_tx, &d);
    if (r < 0)
        return r;
    *ret = d.rows;
    *ret_count = d.count;
    return 0;
}

/* ---- settling ------------------------------------------------------------------------------- */

struct settling {
    const struct outbox_place *place;
    const struct outbox_row *rows;
    size_t count;
};

static int settle_tx(struct meta_tx *tx, void *arg)
{
    const struct settling *t = arg;
    const struct outbox_place *p = t->place;
    struct key_buf k;
    int r = 0;
    meta_use_reserve(tx);
    for (size_t i = 0; r == 0 && i < t->count; i++)
        r = meta_del(tx, key_outbox(&k, p->dead, p->target, p->shard, t->rows[i].event.seq));
    return r;
}

int FIBER store_outbox_settle(struct store *s, const struct outbox_place *place,
                              const struct outbox_row *rows, size_t count)
{
    struct settling t = {place, rows, count};
    return meta_write(s->meta, place->bucket, settle_tx, &t);
}

/* The row as it is but for what is said of its end. */
static int move_tx(struct meta_tx *tx, void *arg)
{
    const struct settling *t = arg;
    const struct outbox_place *p = t->place;
    const struct outbox_row *row = t->rows;
    struct key_buf from, to;
    struct str value;
    int r = 0;
    meta_use_reserve(tx);
    r = meta_get(tx, key_outbox(&from, p->dead, p->target, p->shard, row->event.seq), &value);
    if (r < 0)
        return r;
    Cairn__Outbox *pb = pb_unpack(&cairn__outbox__descriptor, meta_arena(tx), value, &r);
    if (!pb)
        return r;
    pb->died_ms = p->dead ? 0 : row->died_ms;
    pb->attempts = p->dead ? 0 : row->attempts;
    pb->resent_ms = p->dead ? row->resent_ms : 0;
    pb->why = pb_bytes(p->dead ? STR_NULL : str_prefix(row->why, OUTBOX_WHY_MAX));
    r = put_packed(tx, key_outbox(&to, !p->dead, p->target, p->shard, row->event.seq), pb);
    return r < 0 ? r : meta_del(tx, str_make(from.bytes, from.len));
}

int FIBER store_outbox_move(struct store *s, const struct outbox_place *place,
                            const struct outbox_row *row)
{
    struct settling t = {place, row, 1};
    return meta_write(s->meta, place->bucket, move_tx, &t);
}

/* ---- the start ------------------------------------------------------------------------------ */

#define LOAD_ROWS 4096 /* a transaction */

/* Counts rows of one target and shard, from one row on. */
struct loading {
    struct store *store;
    struct str kind;
    struct key_buf at;
    bool end;
    char target[OUTBOX_TARGET_MAX];
    struct outbox_place place;
    uint64_t count, seq_max;
};

static int load_row(struct loading *l, struct str row, bool *ret_same)
{
    struct str target;
    unsigned shard;
    uint64_t seq;
    int r = key_parse_outbox(row, &target, &shard, &seq);
    if (r == 0 && target.len > OUTBOX_TARGET_MAX)
        r = -ERR_CORRUPT;
    if (r < 0)
        return r;
    if (l->count == 0) {
        memcpy(l->target, target.ptr, target.len);
        l->place.target = str_make(l->target, target.len);
        l->place.shard = shard;
    }
    *ret_same = str_eq(target, l->place.target) && shard == l->place.shard && l->count < LOAD_ROWS;
    if (!*ret_same)
        return 0;
    l->count++;
    l->seq_max = MAX(l->seq_max, seq);
    return 0;
}

static int load_tx(struct meta_tx *tx, void *arg)
{
    struct loading *l = arg;
    struct meta_cursor *c;
    bool same = true;
    l->count = 0;
    l->end = false;
    int r = meta_cursor_open(tx, l->kind, &c);
    if (r < 0)
        return r;
    r = meta_cursor_seek(c, str_make(l->at.bytes, l->at.len));
    while (r == 0 && same && meta_cursor_valid(c)) {
        r = load_row(l, meta_cursor_key(c), &same);
        if (r == 0 && same)
            r = meta_cursor_next(c);
    }
    l->end = r == 0 && !meta_cursor_valid(c);
    meta_cursor_close(c);
    return r;
}

/* Behind the last row that was counted. */
static void load_go_on(struct loading *l)
{
    key_outbox(&l->at, l->place.dead, l->place.target, l->place.shard, l->seq_max);
    l->at.bytes[l->at.len++] = 0;
}

static int FIBER load_kind(struct store *s, struct bucket_id b, bool dead,
                           int (*fn)(const struct outbox_place *place, uint64_t count, void *arg),
                           void *arg)
{
    struct loading l = {.store = s, .kind = dead ? KEY_DEAD : KEY_OUTBOX};
    int r = 0;
    l.place = (struct outbox_place){.bucket = b, .dead = dead};
    key_raw(&l.at, l.kind, STR_NULL);
    while (r == 0 && !l.end) {
        l.seq_max = 0;
        r = meta_read(s->meta, b, load_tx, &l);
        if (r < 0 || l.count == 0)
            break;
        store_next_seq(s, l.seq_max);
        r = fn(&l.place, l.count, arg);
        load_go_on(&l);
    }
    return r;
}

int FIBER store_outbox_load(struct store *s,
                            int (*fn)(const struct outbox_place *place, uint64_t count, void *arg),
                            void *arg)
{
    _cleanup_free_ struct bucket_ref *all = NULL;
    size_t count = 0;
    int r = buckets_all(&s->buckets, &all, &count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = load_kind(s, all[i].id, false, fn, arg);
        if (r == 0)
            r = load_kind(s, all[i].id, true, fn, arg);
    }
    return r;
}
