/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * New seals for bytes that stay as they are: after a master key was rotated, the keys that it
 * wrapped are wrapped anew, row by row, over all objects, versions and uploads.
 *
 * A row is put back only if it is still the one that was looked at; one that changed meanwhile is
 * looked at again.
 */

#include "store/upkeep/walk.h"

static const struct str kinds[] = {KEY_UPLOADS, KEY_OBJECTS, KEY_VERSIONS};

#define ATTEMPTS 3

struct reseal {
    struct store *store;
    struct bucket_id bucket;
    struct str kind;
    store_reseal_fn *fn;
    void *arg;
    struct store_reseal_result *result;
};

/* One row, in a transaction of its own. */
struct one {
    struct reseal *r;
    struct arena arena;
    struct str row, value; /* as looked at; value ptr NULL: it is gone */
    struct str key;        /* of the object, in `bytes` or in the row */
    struct str seal, next;
    char bytes[STORE_KEY_MAX];
};

static int parse_row(struct one *o)
{
    uint64_t seq;
    struct str upload;
    size_t len;
    int r = 0;
    if (str_eq(o->r->kind, KEY_OBJECTS)) {
        o->key = str_from_offset(o->row, KEY_OBJECTS.len);
        return 0;
    }
    r = str_eq(o->r->kind, KEY_VERSIONS) ? key_parse_version(o->row, o->bytes, &len, &seq)
                                         : key_parse_upload(o->row, o->bytes, &len, &upload);
    if (r == 0)
        o->key = str_make(o->bytes, len);
    return r;
}

/* The attributes in a row of either kind; ret->seal lives in the one's arena. */
static int seal_of(struct one *o)
{
    if (str_eq(o->r->kind, KEY_UPLOADS)) {
        struct upload_row upload;
        int r = upload_row_decode(o->value, &o->arena, &upload);
        o->seal = upload.attrs.seal;
        return r;
    }
    _cleanup_record_ struct record *record = NULL;
    int r = record_decode(o->r->bucket, o->key, o->value, &record);
    if (r < 0)
        return r;
    o->seal = arena_dup(&o->arena, record->object.attrs.seal);
    return o->seal.ptr ? 0 : -ENOMEM;
}

static int put_upload(struct meta_tx *tx, const struct one *o)
{
    struct upload_row row;
    struct str upload;
    size_t len;
    char bytes[STORE_KEY_MAX];
    int r = key_parse_upload(o->row, bytes, &len, &upload);
    if (r == 0)
        r = upload_row_decode(o->value, meta_arena(tx), &row);
    if (r < 0)
        return r;
    row.attrs.seal = o->next;
    return upload_row_put(tx, o->key, upload, &row);
}

static int put_record(struct meta_tx *tx, const struct one *o)
{
    _cleanup_record_ struct record *old = NULL;
    struct draft draft = {0};
    int r = record_decode(o->r->bucket, o->key, o->value, &old);
    if (r < 0)
        return r;
    struct store_attrs attrs = old->object.attrs;
    struct draft_parts from = draft_parts_of(old);
    attrs.seal = o->next;
    from.attrs = &attrs;
    r = draft_init(&draft, &from);
    draft.beside = old->beside;
    if (r == 0)
        r = meta_put(tx, o->row, draft_seal(&draft, &old->object, old->chunked));
    draft_release(&draft);
    return r;
}

static void drop_cached(void *arg)
{
    const struct one *o = arg;
    cache_drop(&o->r->store->cache, o->r->bucket, o->key);
}

static int put_tx(struct meta_tx *tx, void *arg)
{
    struct one *o = arg;
    struct str now;
    int r = meta_get(tx, o->row, &now);
    if (r < 0)
        return r == -ERR_NOT_FOUND ? 0 : r; /* gone: nothing to do */
    if (!str_eq(now, o->value))
        return -ERR_CONFLICT;
    r = str_eq(o->r->kind, KEY_UPLOADS) ? put_upload(tx, o) : put_record(tx, o);
    return r < 0 ? r : meta_on_commit(tx, drop_cached, o);
}

static int read_tx(struct meta_tx *tx, void *arg)
{
    struct one *o = arg;
    struct str now;
    int r = meta_get(tx, o->row, &now);
    o->value = STR_NULL;
    if (r < 0)
        return r == -ERR_NOT_FOUND ? 0 : r;
    o->value = arena_dup(&o->arena, now);
    return o->value.ptr ? 0 : -ENOMEM;
}

static int FIBER reseal_one(struct one *o)
{
    struct reseal *run = o->r;
    int r = seal_of(o);
    if (r < 0 || o->seal.len == 0)
        return r;
    r = run->fn(run->bucket, o->key, o->seal, &o->arena, &o->next, run->arg);
    if (r < 0 || str_eq(o->next, o->seal))
        return r;
    r = meta_write(run->store->meta, run->bucket, put_tx, o);
    run->result->changed += r == 0;
    return r;
}

static int FIBER on_row(struct str row, struct str value, void *arg)
{
    struct reseal *run = arg;
    struct one *o = calloc(1, sizeof(*o));
    if (!o)
        return -ENOMEM;
    o->r = run;
    o->row = row;
    o->value = value;
    arena_init(&o->arena, 0);
    run->result->seen++;
    int r = parse_row(o);
    for (unsigned i = 0; r == 0 && i < ATTEMPTS; i++) {
        r = o->value.ptr ? reseal_one(o) : 0;
        if (r != -ERR_CONFLICT)
            break;
        r = meta_read(run->store->meta, run->bucket, read_tx, o);
    }
    run->result->failed += r < 0 && r != -ECANCELED;
    arena_release(&o->arena);
    free(o);
    return r == -ECANCELED ? r : 0;
}

int FIBER store_reseal(struct store *s, store_reseal_fn *fn, int (*pace)(void *arg), void *arg,
                       struct store_reseal_result *ret)
{
    struct store_walk_place place = {0};
    struct reseal run = {.store = s, .fn = fn, .arg = arg, .result = ret};
    int r = 0;
    *ret = (struct store_reseal_result){0};
    while (r == 0) {
        struct walk_place at = {.end = false};
        r = walk_resume(s, &place, ARRAY_LEN(kinds), &at);
        if (r < 0 || place.end)
            return r;
        CHECK(place.kind < ARRAY_LEN(kinds));
        run.bucket.n = place.bucket;
        run.kind = kinds[place.kind];
        r = walk_some(s, run.bucket, run.kind, &at, on_row, &run);
        if (r == 0)
            walk_keep(&place, &at, ARRAY_LEN(kinds));
        if (r == 0)
            r = pace(arg);
    }
    return r;
}
