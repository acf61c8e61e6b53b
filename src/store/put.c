/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Writes to a key: put, delete, new attributes. Each is one transaction.
 */

#include "store/internal.h"

int FIBER store_put_begin(struct store *s, struct bucket_id b, struct str key, uint64_t len_bytes,
                          struct store_writer **ret)
{
    return store_put_begin_sealed(s, b, key, len_bytes, len_bytes, NULL, ret);
}

int FIBER store_put_begin_sealed(struct store *s, struct bucket_id b, struct str key,
                                 uint64_t least, uint64_t most, const uint8_t *data_key,
                                 struct store_writer **ret)
{
    if (most < least || most - least > STORE_OPEN_MAX)
        return -EINVAL;
    struct store_writer like = {
        .store = s, .bucket = b, .key = key, .len_bytes = least, .open_bytes = most - least};
    like.beside = most > s->inline_max_bytes && most <= s->beside_max_bytes;
    like.chunked = most > least || (most > s->inline_max_bytes && !like.beside);
    return store_writer_begin(ret, &like, data_key); /* an open end is judged again there */
}

int FIBER store_put_begin_open(struct store *s, struct bucket_id b, struct str key, uint64_t least,
                               uint64_t most, struct store_writer **ret)
{
    return store_put_begin_sealed(s, b, key, least, most, NULL, ret);
}

struct put {
    struct swap swap;
    struct store_writer *writer; /* of a put; else NULL */
    struct draft draft;
    struct store_object object; /* the new one: what its head says */
    bool chunked;
    struct str beside; /* bytes for a row of their own; ptr NULL: none */
};

/* The bytes' row, named by the sequence of the object that brought them. */
static int put_beside(struct meta_tx *tx, struct put *p)
{
    struct key_buf k;
    if (!p->beside.ptr)
        return 0;
    p->draft.beside = p->object.seq;
    return meta_put(tx, key_beside(&k, p->swap.key, p->object.seq), p->beside);
}

static int put_row(struct meta_tx *tx, struct put *p)
{
    int r = swap_begin(tx, &p->swap);
    if (r < 0)
        return r;
    p->object.seq = store_next_seq(p->swap.store, p->swap.newest_seq);
    p->object.null_version = swap_is_null(&p->swap);
    r = put_beside(tx, p);
    if (r < 0)
        return r;
    struct str row = draft_seal(&p->draft, &p->object, p->chunked);
    r = swap_put(tx, &p->swap, row, &p->object);
    struct repair_row place = {.key = p->swap.key, .seq = p->object.seq};
    if (r == 0 && p->chunked)
        r = repairs_put(tx, p->swap.store, &place, &p->writer->layout);
    if (r == 0)
        r = swap_tell(tx, &p->swap, STORE_CREATED, &p->object);
    return r < 0 ? r : meta_on_commit(tx, swap_committed, &p->swap);
}

static int put_tx(struct meta_tx *tx, void *arg)
{
    struct put *p = arg;
    int r = put_row(tx, p);
    p->writer->named = r == 0;
    return r;
}

static int FIBER put_run(struct put *p, struct store_written *ret)
{
    int r = meta_write(p->swap.store->meta, p->swap.bucket, put_tx, p);
    if (meta_is_refusal(r))
        p->writer->named = false;
    if (r == 0)
        *ret = (struct store_written){p->object.seq, p->object.mtime_ms, p->swap.existed,
                                      p->object.null_version};
    return r;
}

/* All that is known before the transaction. */
static int put_draft(struct put *p, const struct store_writer *w, const struct store_attrs *attrs)
{
    struct draft_parts from = {.attrs = attrs};
    struct str data = writer_data(w);
    struct hash128 digest;
    if (writer_is_sealed(w) != (attrs->seal.len > 0))
        return -EINVAL;
    from.salts = writer_salt(w);
    if (w->chunked)
        from.layout = &w->layout;
    else if (w->beside)
        p->beside = data;
    else
        from.data = data;
    if (w->beside || (writer_is_sealed(w) && !w->chunked)) {
        digest = hash_xxh128(data.ptr, data.len);
        from.digest = &digest;
    }
    return draft_init(&p->draft, &from);
}

int FIBER store_put_commit(struct store_writer *w, const struct store_attrs *attrs,
                           const struct store_etag *etag, const struct store_checksum *checksum,
                           const struct store_conditions *conditions, struct store_written *ret)
{
    CHECK(w->upload.len == 0);
    struct put p = {
        .swap = {.store = w->store, .bucket = w->bucket, .key = w->key, .conditions = conditions},
        .writer = w,
        .object = {.mtime_ms = rt_wall_ms(),
                   .len_bytes = w->len_bytes,
                   .etag = *etag,
                   .attrs = *attrs},
        .chunked = w->chunked,
    };
    if (checksum)
        p.object.checksum = *checksum;
    int r = store_writer_finish(w);
    p.object.len_bytes = w->len_bytes;
    p.chunked = w->chunked;
    if (r == 0)
        r = put_draft(&p, w, attrs);
    if (r == 0)
        r = put_run(&p, ret);
    draft_release(&p.draft);
    store_writer_end(w);
    return r;
}

/* ---- new attributes ------------------------------------------------------------------------- */

struct change {
    struct put put;
    struct store_version_ref version;
    bool renew;
    store_attrs_fn *fn;
    void *arg;
    struct store_attrs attrs; /* the new ones, of the last run */
};

/* The same object with other attributes: bytes, lengths, parts and digests stay. */
static int change_draft(struct change *c, const struct record *old)
{
    struct draft_parts from = draft_parts_of(old);
    from.attrs = &c->attrs;
    draft_release(&c->put.draft);
    if ((c->attrs.seal.len > 0) != (old->object.attrs.seal.len > 0))
        return -EINVAL; /* the bytes are what they were */
    int r = draft_init(&c->put.draft, &from);
    if (r < 0)
        return r;
    c->put.draft.beside = old->beside;
    uint64_t now_ms = c->put.object.mtime_ms;
    c->put.object = old->object;
    c->put.object.attrs = c->attrs;
    c->put.chunked = old->chunked;
    if (c->renew) {
        c->put.object.mtime_ms = now_ms;
        c->put.object.seq = store_next_seq(c->put.swap.store, old->object.seq);
    }
    return 0;
}

/* Whether all bytes are of the code that the class asks for: some are not while a transition is
 * under way, or after one that was given up. */
static bool has_code(const struct store *s, const struct blob_layout *l, struct str class)
{
    struct blob_class code;
    bool has = l->count == 0 || store_class_find(s, class, &code) == 0;
    for (size_t i = 0; has && i < l->count; i++)
        has = l->chunks[i].class.n == code.n;
    return has;
}

static int change_row(struct meta_tx *tx, struct change *c, const struct version_row *at,
                      const struct record *old)
{
    struct swap *w = &c->put.swap;
    c->attrs = old->object.attrs;
    int r = c->fn(&old->object, &c->attrs, c->arg);
    if (r == 0 && c->renew && !has_code(w->store, &old->layout, c->attrs.storage_class))
        r = -ERR_BUCKET_STATE;
    if (r == 0)
        r = change_draft(c, old);
    if (r < 0)
        return r;
    /* Not swap_put: the chunks stay, and nothing is counted anew. */
    struct str row = draft_seal(&c->put.draft, &c->put.object, c->put.chunked);
    r = meta_put(tx, str_make(at->key.bytes, at->key.len), row);
    if (r == 0)
        r = swap_tell(tx, w, c->renew ? STORE_CREATED : STORE_CHANGED, &c->put.object);
    return r < 0 ? r : meta_on_commit(tx, swap_committed, w);
}

/* The version to be changed, which a condition is about. */
static int change_find(struct meta_tx *tx, struct change *c, struct version_row *ret)
{
    struct swap *w = &c->put.swap;
    int r = version_find(tx, w->key, c->version, ret);
    if (r == 0 && ret->head.object.delete_marker)
        return w->of_version ? -ERR_METHOD_NOT_ALLOWED : -ERR_NO_SUCH_KEY;
    if (r == 0 && ret->current && w->conditions && w->conditions->superseded)
        return -ERR_PRECONDITION_FAILED;
    return r == 0 && w->of_version ? conditions_test_write(w->conditions, &ret->head.object) : r;
}

static int change_tx(struct meta_tx *tx, void *arg)
{
    struct change *c = arg;
    struct swap *w = &c->put.swap;
    struct version_row at;
    uint64_t now_ms = rt_wall_ms();
    int r = swap_begin(tx, w);
    if (r == 0)
        r = change_find(tx, c, &at);
    if (r < 0)
        return r;
    if (c->renew && w->versioning != STORE_VERSIONING_NEVER)
        return -ERR_BUCKET_STATE;
    _cleanup_record_ struct record *old = NULL;
    r = record_decode(w->bucket, w->key, at.value, &old);
    if (r < 0)
        return r;
    c->put.object.mtime_ms = now_ms;
    return change_row(tx, c, &at, old);
}

int FIBER store_change_attrs(struct store *s, struct bucket_id b, struct str key,
                             struct store_version_ref version,
                             const struct store_conditions *conditions, bool renew,
                             store_attrs_fn *fn, void *arg, struct store_written *ret)
{
    int r = store_key_test(key);
    if (r < 0)
        return r;
    bool of_version = version.kind != STORE_VERSION_CURRENT;
    CHECK(!renew || !of_version);
    struct change c = {
        .put = {.swap = {.store = s,
                         .bucket = b,
                         .key = key,
                         .conditions = conditions,
                         .of_version = of_version}},
        .version = version,
        .renew = renew,
        .fn = fn,
        .arg = arg,
    };
    r = meta_write(s->meta, b, change_tx, &c);
    if (r == 0)
        *ret = (struct store_written){c.put.object.seq, c.put.object.mtime_ms, true,
                                      c.put.object.null_version};
    draft_release(&c.put.draft);
    return r;
}

/* ---- new attributes of many ----------------------------------------------------------------- */

struct change_many {
    struct store *store;
    struct bucket_id bucket;
    struct change_item *list;
    size_t count;
    struct change *changes; /* one an item */
    struct store_notice *notice;
    const struct tx_hooks *hooks;
};

/* What stops one change only; nothing was changed for it yet. */
static bool is_of_one_change(int err)
{
    return err == -ERR_CORRUPT || err == -ERR_NO_SUCH_KEY || err == -ERR_NO_SUCH_VERSION ||
           err == -ERR_METHOD_NOT_ALLOWED || err == -ERR_KEY_TOO_LONG || err == -EINVAL;
}

static int change_one(struct meta_tx *tx, struct change *c, struct change_item *item)
{
    int r = store_key_test(item->key);
    if (r == 0)
        r = change_tx(tx, c);
    item->result = is_of_one_change(r) ? r : 0;
    item->seq = r == 0 ? c->put.object.seq : 0;
    item->null_version = r == 0 && c->put.object.null_version;
    return item->result ? 0 : r;
}

static int change_many_tx(struct meta_tx *tx, void *arg)
{
    struct change_many *m = arg;
    int r = m->hooks->before(tx, m->hooks->arg);
    if (r)
        return MIN(r, 0);
    r = outbox_begin(tx, m->store, m->bucket, m->notice);
    for (size_t i = 0; r == 0 && i < m->count; i++)
        r = change_one(tx, &m->changes[i], &m->list[i]);
    return r < 0 ? r : m->hooks->after(tx, m->hooks->arg);
}

int FIBER change_many_with(struct store *s, struct bucket_id b, struct change_item *list,
                           size_t count, store_attrs_fn *fn, void *arg, struct store_notice *notice,
                           const struct tx_hooks *hooks)
{
    const struct store_conditions conditions = {.notice = notice};
    struct change_many m = {s, b, list, count, NULL, notice, hooks};
    m.changes = calloc(count + 1, sizeof(*m.changes));
    if (!m.changes)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        m.changes[i] = (struct change){
            .put = {.swap = {.store = s,
                             .bucket = b,
                             .key = list[i].key,
                             .conditions = &conditions,
                             .of_version = list[i].version.kind != STORE_VERSION_CURRENT,
                             .of_many = true}},
            .version = list[i].version,
            .fn = fn,
            .arg = arg,
        };
    int r = meta_write(s->meta, b, change_many_tx, &m);
    for (size_t i = 0; i < count; i++)
        draft_release(&m.changes[i].put.draft);
    free(m.changes);
    return r;
}

/* ---- deleting ------------------------------------------------------------------------------- */

struct delete_many {
    struct store *store;
    struct bucket_id bucket;
    struct store_deletion *list;
    size_t count;
    struct store_notice *notice;
    const struct tx_hooks *hooks; /* NULL: none */
    struct swap swap;             /* of the key at hand */
    bool soils;
};

static void deleted_many(void *arg)
{
    struct delete_many *m = arg;
    for (size_t i = 0; i < m->count; i++)
        cache_drop(&m->store->cache, m->bucket, m->list[i].key);
    if (m->soils)
        buckets_soil(&m->store->buckets, m->bucket);
}

/* What stops one deletion only; nothing was changed for it yet. */
static bool is_of_one(int err)
{
    return err == -ERR_CORRUPT || err == -ERR_OBJECT_LOCKED || err == -ERR_PRECONDITION_FAILED ||
           err == -ERR_NO_SUCH_KEY;
}

/* Nothing is told of what was not there. */
static int delete_tell(struct meta_tx *tx, struct store_notice *notice,
                       const struct store_deletion *d)
{
    struct store_event e = {.what = STORE_REMOVED, .key = d->key};
    if (d->marker && d->version.kind == STORE_VERSION_CURRENT)
        e.what = STORE_MARKED;
    else if (!d->existed)
        return 0;
    e.version = d->null_version ? 0 : d->seq;
    return outbox_tell(tx, notice, &e);
}

static int delete_one(struct meta_tx *tx, struct delete_many *m, struct store_deletion *d)
{
    struct swap *w = &m->swap;
    w->key = d->key;
    w->conditions = d->conditions;
    w->of_version = d->version.kind != STORE_VERSION_CURRENT;
    w->bypass = d->bypass;
    d->result = store_key_test(d->key);
    if (d->result < 0)
        return 0;
    int r = swap_begin(tx, w);
    if (r == 0)
        r = swap_delete(tx, w, d);
    if (r == 0)
        r = delete_tell(tx, m->notice, d);
    m->soils = m->soils || w->soils;
    d->result = is_of_one(r) ? r : 0;
    return is_of_one(r) ? 0 : r;
}

static int delete_many_tx(struct meta_tx *tx, void *arg)
{
    struct delete_many *m = arg;
    m->soils = false;
    meta_use_reserve(tx);
    int r = m->hooks ? m->hooks->before(tx, m->hooks->arg) : 0;
    if (r)
        return MIN(r, 0);
    r = outbox_begin(tx, m->store, m->bucket, m->notice);
    for (size_t i = 0; r == 0 && i < m->count; i++)
        r = delete_one(tx, m, &m->list[i]);
    if (r == 0 && m->hooks)
        r = m->hooks->after(tx, m->hooks->arg);
    return r < 0 ? r : meta_on_commit(tx, deleted_many, m);
}

int FIBER delete_many_with(struct store *s, struct bucket_id b, struct store_deletion *list,
                           size_t count, struct store_notice *notice, const struct tx_hooks *hooks)
{
    struct delete_many m = {.store = s,
                            .bucket = b,
                            .list = list,
                            .count = count,
                            .notice = notice,
                            .hooks = hooks,
                            .swap = {.store = s, .bucket = b}};
    return meta_write(s->meta, b, delete_many_tx, &m);
}

int FIBER store_delete_many(struct store *s, struct bucket_id b, struct store_deletion *list,
                            size_t count, struct store_notice *notice)
{
    return delete_many_with(s, b, list, count, notice, NULL);
}

int FIBER store_delete(struct store *s, struct bucket_id b, struct str key,
                       const struct store_conditions *conditions, bool *ret_existed)
{
    struct store_deletion d = {.key = key, .version = STORE_CURRENT, .conditions = conditions};
    int r = store_delete_many(s, b, &d, 1, conditions ? conditions->notice : NULL);
    if (r == 0)
        r = d.result;
    if (r == 0)
        *ret_existed = d.existed;
    return r;
}
