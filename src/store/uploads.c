/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Uploads from their start to their abortion, and their listing. Uploads of one key are listed in
 * the order of their start, so an id begins with the time, in an alphabet whose order is bytewise;
 * 128 random bits follow, for an id must not be guessed.
 */

#include "store/internal.h"
#include <assert.h>

#define ID_TIME_LEN   11 /* of 6 bits each: 64 bits */
#define ID_CHANCE_LEN 22 /* 128 bits */
static_assert(ID_TIME_LEN + ID_CHANCE_LEN == UPLOAD_ID_LEN, "an id is time and chance");

static const char id_alphabet[] =
    "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/* `len` characters of the lowest bits, the highest first. */
static void id_digits(unsigned __int128 v, char *ret, size_t len)
{
    for (size_t i = len; i-- > 0; v >>= 6)
        ret[i] = id_alphabet[v & 63];
}

static void make_id(struct store *s, char ret[UPLOAD_ID_LEN])
{
    unsigned __int128 chance;
    rt_random(&chance, sizeof(chance));
    id_digits(store_next_seq(s, 0), ret, ID_TIME_LEN);
    id_digits(chance, ret + ID_TIME_LEN, ID_CHANCE_LEN);
}

struct upload_op {
    struct swap swap; /* store, bucket, key; for what an abortion lets go */
    struct str upload;
    struct upload_row row;
    struct arena *a;
};

static int create_tx(struct meta_tx *tx, void *arg)
{
    struct upload_op *u = arg;
    static const int64_t deltas[COUNTERS] = {[COUNT_UPLOADS] = 1};
    int r = config_row_test(tx);
    if (r == 0)
        r = upload_row_put(tx, u->swap.key, u->upload, &u->row);
    return r < 0 ? r : meta_add(tx, KEY_COUNTERS, deltas, COUNTERS);
}

int FIBER store_upload_create(struct store *s, struct arena *a, struct bucket_id b, struct str key,
                              const struct store_attrs *attrs, enum store_checksum_kind kind,
                              bool has_checksum, bool composite, struct str *ret_upload)
{
    int r = store_key_test(key);
    if (r < 0)
        return r;
    char id[UPLOAD_ID_LEN];
    make_id(s, id);
    struct upload_op u = {
        .swap = {.store = s, .bucket = b, .key = key},
        .upload = arena_dup(a, str_make(id, sizeof(id))),
        .row = {.attrs = *attrs,
                .created_ms = rt_wall_ms(),
                .has_checksum = has_checksum,
                .composite = composite,
                .kind = has_checksum ? kind : 0},
    };
    if (!u.upload.ptr)
        return -ENOMEM;
    r = meta_write(s->meta, b, create_tx, &u);
    if (r == 0)
        *ret_upload = u.upload;
    return r;
}

static struct store_upload upload_of(struct str key, struct str upload,
                                     const struct upload_row *row)
{
    return (struct store_upload){
        .key = key,
        .upload = upload,
        .attrs = row->attrs,
        .created_ms = row->created_ms,
        .has_checksum = row->has_checksum,
        .composite = row->composite,
        .kind = row->kind,
    };
}

static int get_tx(struct meta_tx *tx, void *arg)
{
    struct upload_op *u = arg;
    return upload_row_read(tx, u->swap.key, u->upload, u->a, &u->row);
}

int FIBER store_upload_get(struct store *s, struct arena *a, struct bucket_id b, struct str key,
                           struct str upload, struct store_upload *ret)
{
    struct upload_op u = {.swap.key = key, .upload = upload, .a = a};
    int r = meta_read(s->meta, b, get_tx, &u);
    if (r < 0)
        return r;
    *ret = upload_of(arena_dup(a, key), arena_dup(a, upload), &u.row);
    return ret->key.ptr && ret->upload.ptr ? 0 : -ENOMEM;
}

/* ---- abortion ------------------------------------------------------------------------------- */

static void abort_committed(void *arg)
{
    struct upload_op *u = arg;
    if (u->swap.soils)
        buckets_soil(&u->swap.store->buckets, u->swap.bucket);
}

static int abort_tx(struct meta_tx *tx, void *arg)
{
    struct upload_op *u = arg;
    u->swap.soils = false;
    meta_use_reserve(tx);
    arena_reset(u->a);
    int r = upload_row_read(tx, u->swap.key, u->upload, u->a, &u->row);
    if (r == 0)
        r = upload_remove(tx, &u->swap, u->upload, u->a);
    return r < 0 ? r : meta_on_commit(tx, abort_committed, u);
}

int upload_remove(struct meta_tx *tx, struct swap *w, struct str upload, struct arena *a)
{
    struct parts parts;
    struct blob_layout all;
    int r = parts_read(tx, upload, a, &parts);
    if (r == 0)
        r = parts_layout(&parts, false, a, &all);
    if (r == 0)
        r = swap_let_go(tx, w, w->key, 0, &all);
    if (r == 0)
        r = parts_delete_rows(tx, upload, &parts);
    if (r < 0)
        return r;
    int64_t deltas[COUNTERS] = {[COUNT_PART_BYTES] = -parts_bytes(&parts)};
    r = meta_add(tx, KEY_COUNTERS, deltas, COUNTERS);
    return r < 0 ? r : upload_row_delete(tx, w->key, upload);
}

int FIBER store_upload_abort(struct store *s, struct bucket_id b, struct str key, struct str upload)
{
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, UPLOAD_ARENA_MAX);
    struct upload_op u = {.swap = {.store = s, .bucket = b, .key = key}, .upload = upload, .a = &a};
    return meta_write(s->meta, b, abort_tx, &u);
}

/* ---- listing -------------------------------------------------------------------------------- */

struct list_uploads {
    const struct store_upload_query *q;
    struct arena *a;
    struct arena scratch; /* of one row */
    size_t max;
    struct store_upload_page page;
};

static int add_upload_prefix(struct list_uploads *l, struct str prefix)
{
    struct store_upload_entry *e = &l->page.entries[l->page.count++];
    *e = (struct store_upload_entry){.is_prefix = true, .upload.key = arena_dup(l->a, prefix)};
    return e->upload.key.ptr ? 0 : -ENOMEM;
}

/* Of the attributes a listing keeps three: a page of whole ones could be large. */
static int add_upload(struct list_uploads *l, struct str key, struct str upload, struct str value)
{
    struct upload_row row;
    arena_reset(&l->scratch);
    int r = upload_row_decode(value, &l->scratch, &row);
    if (r < 0)
        return r;
    row.attrs = (struct store_attrs){.owner = arena_dup(l->a, row.attrs.owner),
                                     .initiator = arena_dup(l->a, row.attrs.initiator),
                                     .storage_class = arena_dup(l->a, row.attrs.storage_class)};
    struct store_upload_entry *e = &l->page.entries[l->page.count++];
    *e = (struct store_upload_entry){
        .upload = upload_of(arena_dup(l->a, key), arena_dup(l->a, upload), &row)};
    return e->upload.key.ptr && e->upload.upload.ptr && row.attrs.owner.ptr &&
                   row.attrs.initiator.ptr && row.attrs.storage_class.ptr
               ? 0
               : -ENOMEM;
}

/* Where the uploads of `key`, and those before it, are behind. */
static struct str past_key(struct key_buf *k, struct str key)
{
    char next[STORE_KEY_MAX + 1];
    memcpy(next, key.ptr, key.len);
    next[key.len] = '\0';
    return key_upload(k, str_make(next, key.len + 1), STR_NULL);
}

static int seek_uploads(struct meta_cursor *c, const struct store_upload_query *q)
{
    struct key_buf k;
    char past[STORE_KEY_MAX];
    struct str after = q->key_after;
    if (after.len == 0 || str_cmp(after, q->prefix) < 0)
        return meta_cursor_seek(c, key_upload(&k, q->prefix, STR_NULL));
    struct str common = list_common_prefix(after, q->prefix, q->delimiter);
    if (common.len && common.len == after.len) {
        struct str next = key_past_prefix(after, past);
        return meta_cursor_seek(c, next.ptr ? key_upload(&k, next, STR_NULL) : STR("N"));
    }
    if (q->upload_after.len == 0)
        return meta_cursor_seek(c, past_key(&k, after));
    struct str at = key_upload(&k, after, str_prefix(q->upload_after, UPLOAD_ID_LEN + 1));
    int r = meta_cursor_seek(c, at);
    if (r == 0 && meta_cursor_valid(c) && str_eq(meta_cursor_key(c), at))
        r = meta_cursor_next(c);
    return r;
}

/* One row; *ret_end once the rows are past the prefix. */
static int list_upload(struct list_uploads *l, struct meta_cursor *c, bool *ret_end)
{
    char bytes[STORE_KEY_MAX], past[STORE_KEY_MAX];
    size_t len;
    struct str upload;
    int r = key_parse_upload(meta_cursor_key(c), bytes, &len, &upload);
    if (r < 0)
        return r;
    struct str key = str_make(bytes, len);
    *ret_end = !str_starts(key, l->q->prefix);
    if (*ret_end || l->page.count == l->max) {
        l->page.truncated = !*ret_end;
        *ret_end = true;
        return 0;
    }
    struct str common = list_common_prefix(key, l->q->prefix, l->q->delimiter);
    if (!common.ptr) {
        r = add_upload(l, key, upload, meta_cursor_value(c));
        return r < 0 ? r : meta_cursor_next(c);
    }
    r = add_upload_prefix(l, common);
    if (r < 0)
        return r;
    struct key_buf k;
    struct str next = key_past_prefix(common, past);
    return meta_cursor_seek(c, next.ptr ? key_upload(&k, next, STR_NULL) : STR("N"));
}

static int list_uploads_tx(struct meta_tx *tx, void *arg)
{
    struct list_uploads *l = arg;
    struct meta_cursor *c;
    bool end = false;
    l->page.count = 0;
    l->page.truncated = false;
    int r = meta_cursor_open(tx, KEY_UPLOADS, &c);
    if (r < 0)
        return r;
    r = seek_uploads(c, l->q);
    while (r == 0 && !end && meta_cursor_valid(c))
        r = list_upload(l, c, &end);
    meta_cursor_close(c);
    return r;
}

int FIBER store_upload_list(struct store *s, struct arena *a, struct bucket_id b,
                            const struct store_upload_query *q, struct store_upload_page *ret)
{
    struct store_upload_query query = *q;
    struct list_uploads l = {.q = &query, .a = a, .max = MIN(q->max, (size_t)STORE_LIST_MAX)};
    if (q->prefix.len > STORE_KEY_MAX || l.max == 0) {
        *ret = (struct store_upload_page){0};
        return 0;
    }
    /* Longer than any key: what follows the limit decides nothing but whether it is passed. */
    if (query.key_after.len > STORE_KEY_MAX) {
        query.key_after.len = STORE_KEY_MAX;
        query.upload_after = STR_NULL;
    }
    l.page.entries = arena_array(a, struct store_upload_entry, l.max);
    if (!l.page.entries)
        return -ENOMEM;
    arena_init(&l.scratch, 0);
    int r = meta_read(s->meta, b, list_uploads_tx, &l);
    arena_release(&l.scratch);
    if (r < 0)
        return r;
    if (l.page.truncated) {
        const struct store_upload *last = &l.page.entries[l.page.count - 1].upload;
        l.page.next_key = last->key;
        l.page.next_upload = last->upload;
    }
    *ret = l.page;
    return 0;
}
