/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The parts of uploads. At any time a part has one row: whoever commits a part replaces the row
 * that is there and lets its chunks go, so the last commit wins.
 */

#include "store/internal.h"

int upload_row_read(struct meta_tx *tx, struct str key, struct str upload, struct arena *a,
                    struct upload_row *ret)
{
    struct key_buf k;
    struct str value;
    if (upload.len != UPLOAD_ID_LEN || key.len > STORE_KEY_MAX)
        return -ERR_NO_SUCH_UPLOAD;
    int r = meta_get(tx, key_upload(&k, key, upload), &value);
    if (r < 0)
        return r == -ERR_NOT_FOUND ? -ERR_NO_SUCH_UPLOAD : r;
    return upload_row_decode(value, a, ret);
}

int64_t parts_bytes(const struct parts *parts)
{
    int64_t sum = 0;
    for (size_t i = 0; i < parts->count; i++)
        sum += (int64_t)parts->list[i].row.len_bytes;
    return sum;
}

int upload_row_delete(struct meta_tx *tx, struct str key, struct str upload)
{
    struct key_buf k;
    static const int64_t deltas[COUNTERS] = {[COUNT_UPLOADS] = -1};
    int r = meta_del(tx, key_upload(&k, key, upload));
    return r < 0 ? r : meta_add(tx, KEY_COUNTERS, deltas, COUNTERS);
}

/* ---- all parts of an upload ----------------------------------------------------------------- */

static int append_part(struct parts *parts, size_t *cap, struct arena *a, struct str key,
                       struct str value)
{
    if (parts->count == *cap) {
        size_t more = MAX(*cap * 2, (size_t)16);
        struct part_entry *list = arena_array(a, struct part_entry, more);
        if (!list)
            return -ENOMEM;
        if (parts->count)
            memcpy(list, parts->list, parts->count * sizeof(*list));
        parts->list = list;
        *cap = more;
    }
    struct str upload;
    struct part_entry *e = &parts->list[parts->count];
    int r = key_parse_part(key, &upload, &e->number, &e->attempt);
    if (r == 0)
        r = part_row_decode(value, a, &e->row);
    if (r < 0)
        return r;
    if (parts->count && e->number <= e[-1].number)
        return -ERR_CORRUPT;
    parts->count++;
    return 0;
}

int parts_read(struct meta_tx *tx, struct str upload, struct arena *a, struct parts *ret)
{
    struct key_buf k;
    struct meta_cursor *c;
    struct parts parts = {0};
    size_t cap = 0;
    struct str prefix = key_parts(&k, upload);
    int r = meta_cursor_open(tx, prefix, &c);
    if (r < 0)
        return r;
    r = meta_cursor_seek(c, prefix);
    while (r == 0 && meta_cursor_valid(c)) {
        r = append_part(&parts, &cap, a, meta_cursor_key(c), meta_cursor_value(c));
        if (r == 0)
            r = meta_cursor_next(c);
    }
    meta_cursor_close(c);
    if (r == 0)
        *ret = parts;
    return r;
}

int parts_delete_rows(struct meta_tx *tx, struct str upload, const struct parts *parts)
{
    struct key_buf k;
    int r = 0;
    for (size_t i = 0; r == 0 && i < parts->count; i++)
        r = meta_del(tx, key_part(&k, upload, parts->list[i].number, parts->list[i].attempt));
    return r;
}

int parts_layout(const struct parts *parts, bool listed, struct arena *a, struct blob_layout *ret)
{
    struct blob_layout all = {0};
    for (size_t i = 0; i < parts->count; i++)
        if (parts->list[i].listed == listed)
            all.count += parts->list[i].row.layout.count;
    all.chunks = arena_array(a, struct blob_chunk, MAX(all.count, (size_t)1));
    if (!all.chunks)
        return -ENOMEM;
    size_t at = 0;
    for (size_t i = 0; i < parts->count; i++) {
        const struct blob_layout *one = &parts->list[i].row.layout;
        if (parts->list[i].listed != listed || one->count == 0)
            continue;
        memcpy(all.chunks + at, one->chunks, one->count * sizeof(*one->chunks));
        at += one->count;
        all.len_bytes += one->len_bytes;
    }
    *ret = all;
    return 0;
}

/* ---- writing a part ------------------------------------------------------------------------- */

struct upload_probe {
    struct str key, upload;
};

static int probe_tx(struct meta_tx *tx, void *arg)
{
    const struct upload_probe *p = arg;
    struct upload_row row;
    return upload_row_read(tx, p->key, p->upload, meta_arena(tx), &row);
}

int FIBER store_part_begin(struct store *s, struct bucket_id b, struct str key, struct str upload,
                           uint32_t number, uint64_t len_bytes, struct store_writer **ret)
{
    return store_part_begin_sealed(s, b, key, upload, number, len_bytes, NULL, ret);
}

int FIBER store_part_begin_sealed(struct store *s, struct bucket_id b, struct str key,
                                  struct str upload, uint32_t number, uint64_t len_bytes,
                                  const uint8_t *data_key, struct store_writer **ret)
{
    if (number < 1 || number > STORE_PARTS_MAX)
        return -ERR_INVALID_ARGUMENT;
    struct upload_probe probe = {key, upload};
    int r = meta_read(s->meta, b, probe_tx, &probe);
    if (r < 0)
        return r;
    struct store_writer like = {
        .store = s,
        .bucket = b,
        .key = key,
        .upload = upload,
        .number = number,
        .len_bytes = len_bytes,
        .chunked = true,
    };
    return store_writer_begin(ret, &like, data_key);
}

struct part_commit {
    struct swap swap; /* for what it lets go: no object's row is touched */
    struct store_writer *writer;
    const struct store_quota *quota; /* may be NULL */
    struct part_row row;
};

/* The row there is for this part, if any: its chunks go, and so does the row. */
static int replace_part(struct meta_tx *tx, struct part_commit *p)
{
    const struct store_writer *w = p->writer;
    struct key_buf k, old;
    struct meta_cursor *c;
    struct part_row row;
    struct str prefix = key_part_prefix(&k, w->upload, w->number);
    int r = meta_cursor_open(tx, prefix, &c);
    if (r < 0)
        return r;
    r = meta_cursor_seek(c, prefix);
    bool found = r == 0 && meta_cursor_valid(c);
    if (found) {
        key_raw(&old, STR(""), meta_cursor_key(c));
        r = part_row_decode(meta_cursor_value(c), meta_arena(tx), &row);
    }
    meta_cursor_close(c);
    if (r < 0 || !found)
        return r;
    r = meta_del(tx, str_make(old.bytes, old.len));
    p->swap.deltas[COUNT_PART_BYTES] -= (int64_t)row.len_bytes;
    return r < 0 ? r : swap_let_go(tx, &p->swap, w->key, 0, &row.layout);
}

static void soil_committed(void *arg)
{
    struct swap *w = arg;
    if (w->soils)
        buckets_soil(&w->store->buckets, w->bucket);
}

static int count_part(struct meta_tx *tx, struct part_commit *p)
{
    p->swap.deltas[COUNT_PART_BYTES] += (int64_t)p->row.len_bytes;
    int r = quota_test(tx, p->quota, p->swap.deltas);
    return r < 0 ? r : meta_add(tx, KEY_COUNTERS, p->swap.deltas, COUNTERS);
}

static int put_part(struct meta_tx *tx, struct part_commit *p)
{
    const struct store_writer *w = p->writer;
    struct upload_row upload;
    struct key_buf k;
    p->swap.soils = false;
    memset(p->swap.deltas, 0, sizeof(p->swap.deltas));
    int r = config_row_test(tx);
    if (r == 0)
        r = upload_row_read(tx, w->key, w->upload, meta_arena(tx), &upload);
    if (r == 0)
        r = (upload.attrs.seal.len > 0) == p->row.sealed ? replace_part(tx, p) : -EINVAL;
    if (r == 0)
        r = count_part(tx, p);
    if (r < 0)
        return r;
    uint64_t attempt = store_next_seq(w->store, 0);
    r = part_row_put(tx, key_part(&k, w->upload, w->number, attempt), &p->row);
    struct repair_row place = {.key = w->key, .upload = w->upload, .part = w->number};
    if (r == 0)
        r = repairs_put(tx, w->store, &place, &p->row.layout);
    return r < 0 ? r : meta_on_commit(tx, soil_committed, &p->swap);
}

static int part_commit_tx(struct meta_tx *tx, void *arg)
{
    struct part_commit *p = arg;
    int r = put_part(tx, p);
    p->writer->named = r == 0;
    return r;
}

int FIBER store_part_commit(struct store_writer *w, const uint8_t md5[16],
                            const struct store_checksum *checksum, const struct store_quota *quota,
                            uint64_t *ret_mtime_ms)
{
    CHECK(w->upload.len != 0);
    struct part_commit p = {
        .swap = {.store = w->store, .bucket = w->bucket},
        .writer = w,
        .quota = quota,
        .row = {.len_bytes = w->len_bytes, .mtime_ms = rt_wall_ms()},
    };
    memcpy(p.row.md5, md5, sizeof(p.row.md5));
    if (checksum)
        p.row.checksum = *checksum;
    p.row.sealed = writer_is_sealed(w);
    memcpy(p.row.salt, w->run.salt, sizeof(p.row.salt));
    int r = store_writer_finish(w);
    p.row.layout = w->layout;
    if (r == 0)
        r = meta_write(w->store->meta, w->bucket, part_commit_tx, &p);
    if (meta_is_refusal(r))
        w->named = false;
    if (r == 0)
        *ret_mtime_ms = p.row.mtime_ms;
    store_writer_end(w);
    return r;
}

/* ---- listing -------------------------------------------------------------------------------- */

struct list_parts {
    struct arena *a;
    struct arena scratch;
    struct str key, upload;
    uint32_t after;
    size_t max;
    struct store_part_page page;
};

static int list_part(struct list_parts *l, struct str key, struct str value)
{
    struct str upload;
    uint64_t attempt;
    struct part_row row;
    struct store_part *p = &l->page.parts[l->page.count];
    arena_reset(&l->scratch);
    int r = key_parse_part(key, &upload, &p->number, &attempt);
    if (r == 0)
        r = part_row_decode(value, &l->scratch, &row);
    if (r < 0)
        return r;
    p->len_bytes = row.len_bytes;
    p->mtime_ms = row.mtime_ms;
    p->checksum = row.checksum;
    memcpy(p->md5, row.md5, sizeof(p->md5));
    l->page.count++;
    return 0;
}

static int list_parts_tx(struct meta_tx *tx, void *arg)
{
    struct list_parts *l = arg;
    struct key_buf k;
    struct upload_row upload;
    struct meta_cursor *c;
    l->page.count = 0;
    int r = upload_row_read(tx, l->key, l->upload, meta_arena(tx), &upload);
    if (r == 0)
        r = meta_cursor_open(tx, key_parts(&k, l->upload), &c);
    if (r < 0)
        return r;
    r = meta_cursor_seek(c, key_part_prefix(&k, l->upload, l->after + 1));
    while (r == 0 && meta_cursor_valid(c) && l->page.count < l->max) {
        r = list_part(l, meta_cursor_key(c), meta_cursor_value(c));
        if (r == 0)
            r = meta_cursor_next(c);
    }
    l->page.truncated = r == 0 && l->max > 0 && meta_cursor_valid(c);
    meta_cursor_close(c);
    return r;
}

int FIBER store_part_list(struct store *s, struct arena *a, struct bucket_id b, struct str key,
                          struct str upload, uint32_t after, size_t max,
                          struct store_part_page *ret)
{
    struct list_parts l = {.a = a, .key = key, .upload = upload};
    l.after = MIN(after, (uint32_t)STORE_PARTS_MAX);
    l.max = MIN(max, (size_t)STORE_LIST_MAX);
    l.page.parts = arena_array(a, struct store_part, MAX(l.max, (size_t)1));
    if (!l.page.parts)
        return -ENOMEM;
    arena_init(&l.scratch, 0);
    int r = meta_read(s->meta, b, list_parts_tx, &l);
    arena_release(&l.scratch);
    if (r < 0)
        return r;
    l.page.next = l.page.count ? l.page.parts[l.page.count - 1].number : after;
    *ret = l.page;
    return 0;
}
