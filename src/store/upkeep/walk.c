/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "store/upkeep/walk.h"

#define PAGE_ROWS  256
#define PAGE_BYTES (2 * MIB) /* a page ends once it holds as much */

struct page {
    struct str kind;
    struct key_buf after; /* the last row of the page before; empty: none */
    struct arena arena;
    struct row {
        struct str key, value;
    } rows[PAGE_ROWS];
    size_t count;
    bool last;
};

static int copy_row(struct page *p, struct meta_cursor *c, size_t *bytes)
{
    struct row *row = &p->rows[p->count];
    row->key = arena_dup(&p->arena, meta_cursor_key(c));
    row->value = arena_dup(&p->arena, meta_cursor_value(c));
    if (!row->key.ptr || !row->value.ptr)
        return -ENOMEM;
    *bytes += row->key.len + row->value.len;
    p->count++;
    return 0;
}

static int page_seek(struct page *p, struct meta_cursor *c)
{
    struct str after = str_make(p->after.bytes, p->after.len);
    int r = meta_cursor_seek(c, after.len ? after : p->kind);
    if (r == 0 && after.len && meta_cursor_valid(c) && str_eq(meta_cursor_key(c), after))
        r = meta_cursor_next(c);
    return r;
}

static int page_tx(struct meta_tx *tx, void *arg)
{
    struct page *p = arg;
    struct meta_cursor *c;
    size_t bytes = 0;
    p->count = 0;
    arena_reset(&p->arena);
    int r = meta_cursor_open(tx, p->kind, &c);
    if (r < 0)
        return r;
    r = page_seek(p, c);
    while (r == 0 && meta_cursor_valid(c) && p->count < PAGE_ROWS && bytes < PAGE_BYTES) {
        r = copy_row(p, c, &bytes);
        if (r == 0)
            r = meta_cursor_next(c);
    }
    p->last = r == 0 && !meta_cursor_valid(c);
    meta_cursor_close(c);
    return r;
}

static int FIBER walk_page(struct store *s, struct bucket_id b, struct page *p, walk_fn *fn,
                           void *arg)
{
    int r = meta_read(s->meta, b, page_tx, p);
    for (size_t i = 0; r == 0 && i < p->count; i++)
        r = fn(p->rows[i].key, p->rows[i].value, arg);
    if (r == 0 && p->count)
        key_raw(&p->after, STR(""), p->rows[p->count - 1].key);
    return r;
}

int FIBER walk_rows(struct store *s, struct bucket_id b, struct str kind, walk_fn *fn, void *arg)
{
    struct page *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->kind = kind;
    arena_init(&p->arena, 0);
    int r;
    do {
        r = walk_page(s, b, p, fn, arg);
    } while (r == 0 && !p->last);
    arena_release(&p->arena);
    free(p);
    return r;
}

int FIBER walk_some(struct store *s, struct bucket_id b, struct str kind, struct walk_place *place,
                    walk_fn *fn, void *arg)
{
    struct page *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->kind = kind;
    p->after = place->after;
    arena_init(&p->arena, 0);
    int r = walk_page(s, b, p, fn, arg);
    if (r == 0) {
        place->after = p->after;
        place->end = p->last;
        place->rows = p->count;
    }
    arena_release(&p->arena);
    free(p);
    return r;
}

/* The bucket at the place, or the next one that lives; UINT64_MAX: there is none. */
static int next_bucket(struct store *s, uint64_t from, uint64_t *ret)
{
    struct bucket_ref *all;
    size_t count;
    int r = buckets_all(&s->buckets, &all, &count);
    if (r < 0)
        return r;
    *ret = UINT64_MAX;
    for (size_t i = 0; i < count; i++)
        if (!all[i].dropped && all[i].id.n >= from)
            *ret = MIN(*ret, all[i].id.n);
    free(all);
    return 0;
}

int walk_resume(struct store *s, struct store_walk_place *place, uint32_t kinds,
                struct walk_place *ret)
{
    uint64_t next;
    int r = next_bucket(s, place->bucket, &next);
    if (r < 0)
        return r;
    place->end = next == UINT64_MAX;
    /* A place may be kept by a program that walks in another order: the bucket again, then. */
    if (!place->end && (next != place->bucket || place->kind >= kinds)) {
        place->bucket = next;
        place->kind = 0;
        place->row = STR_NULL;
    }
    *ret = (struct walk_place){.end = false};
    key_raw(&ret->after, STR(""), place->row);
    return 0;
}

void walk_keep(struct store_walk_place *place, const struct walk_place *at, uint32_t kinds)
{
    memcpy(place->buffer, at->after.bytes, at->after.len);
    place->row = str_make(place->buffer, at->after.len);
    place->rows += at->rows;
    if (!at->end)
        return;
    place->row = STR_NULL;
    if (++place->kind == kinds) {
        place->kind = 0;
        place->bucket++;
    }
}

/* ---- sets of ids ---------------------------------------------------------------------------- */

int id_set_init(struct id_set *t, size_t limit)
{
    *t = (struct id_set){.slot_count = 1024, .limit = limit};
    t->slots = calloc(t->slot_count, sizeof(*t->slots));
    return t->slots ? 0 : -ENOMEM;
}

void id_set_release(struct id_set *t)
{
    free(t->slots);
    *t = (struct id_set){0};
}

uint64_t id_hash(struct chunk_id id)
{
    return hash_xxh3(&id, sizeof(id));
}

struct chunk_id needle_digest(struct needle_key key, uint32_t disk)
{
    uint64_t in[4] = {key.chunk.session, key.chunk.counter, key.shard, disk};
    struct hash128 h = hash_xxh128(in, sizeof(in));
    return (struct chunk_id){h.lo | 1, h.hi};
}

/* The slot that holds the id, or the free one where it belongs. */
static struct chunk_id *id_slot(struct chunk_id *slots, size_t slot_count, struct chunk_id id)
{
    size_t i = id_hash(id) & (slot_count - 1);
    while (slots[i].session != 0 && !chunk_id_eq(slots[i], id))
        i = (i + 1) & (slot_count - 1);
    return &slots[i];
}

static int id_set_grow(struct id_set *t)
{
    size_t slot_count = t->slot_count * 2;
    struct chunk_id *slots = calloc(slot_count, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < t->slot_count; i++)
        if (t->slots[i].session != 0)
            *id_slot(slots, slot_count, t->slots[i]) = t->slots[i];
    free(t->slots);
    t->slots = slots;
    t->slot_count = slot_count;
    return 0;
}

int id_set_add(struct id_set *t, struct chunk_id id)
{
    if (id.session == 0)
        return -ERR_CORRUPT;
    struct chunk_id *slot = id_slot(t->slots, t->slot_count, id);
    if (slot->session != 0)
        return -EEXIST;
    if (t->count == t->limit)
        return -ERR_LIMIT;
    if (t->count * 2 >= t->slot_count) {
        int r = id_set_grow(t);
        if (r < 0)
            return r;
        slot = id_slot(t->slots, t->slot_count, id);
    }
    *slot = id;
    t->count++;
    return 0;
}

bool id_set_has(const struct id_set *t, struct chunk_id id)
{
    return id_slot(t->slots, t->slot_count, id)->session != 0;
}
