/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Emptying a bucket that was deleted (or never quite made). It held no object then and takes no
 * write since, so what can be left is uploads, garbage, events and its counters. Each step removes
 * some uploads; garbage is collected between the steps as everywhere, events are still told. The
 * drop row goes last.
 */

#include "store/internal.h"

/* A step ends after as many uploads, or once their parts took as much memory: it runs on the one
 * thread that commits for everybody. */
#define STEP_ROWS    1000 /* of repairs, or of events given up */
#define STEP_UPLOADS 64
#define STEP_BYTES   (1 * MIB)

struct drain {
    struct swap swap; /* store and bucket; for what an upload lets go */
    struct arena arena;
    bool empty; /* nothing but counters was left, and they are gone */
};

static int drain_upload(struct meta_tx *tx, struct drain *d, struct str row)
{
    char key[STORE_KEY_MAX];
    size_t len;
    struct str upload;
    int r = key_parse_upload(row, key, &len, &upload);
    if (r < 0)
        return r;
    d->swap.key = str_make(key, len);
    return upload_remove(tx, &d->swap, upload, &d->arena);
}

/* Some rows of a kind that goes with the bucket; *ret_any: there may be more. */
static int drain_kind(struct meta_tx *tx, struct str kind, bool *ret_any)
{
    struct key_buf row;
    int r = 0;
    *ret_any = true;
    for (unsigned i = 0; r == 0 && *ret_any && i < STEP_ROWS; i++) {
        r = rows_first(tx, kind, &row, ret_any);
        if (r == 0 && *ret_any)
            r = meta_del(tx, str_make(row.bytes, row.len));
    }
    return r;
}

/* The last rows, once nothing else is left. */
static int drain_rest(struct meta_tx *tx, struct drain *d)
{
    const struct str kinds[] = {KEY_OBJECTS, KEY_BESIDE,  KEY_VERSIONS, KEY_TOPS,
                                KEY_PARTS,   KEY_GARBAGE, KEY_OUTBOX};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        bool any;
        int r = rows_any(tx, kinds[i], &any);
        if (r < 0 || any)
            return r;
    }
    bool any = true;
    int r = drain_kind(tx, KEY_REPAIRS, &any);
    if (r == 0 && !any)
        r = drain_kind(tx, KEY_DEAD, &any);
    if (r == 0 && !any)
        r = drain_kind(tx, KEY_STEPS, &any);
    if (r < 0 || any)
        return r;
    d->empty = true;
    r = config_rows_delete(tx);
    return r < 0 ? r : meta_del(tx, KEY_COUNTERS);
}

static int drain_tx(struct meta_tx *tx, void *arg)
{
    struct drain *d = arg;
    struct key_buf row;
    bool found = true;
    unsigned uploads = 0;
    int r = 0;
    d->empty = d->swap.soils = false;
    arena_reset(&d->arena);
    meta_use_reserve(tx);
    while (r == 0 && found && uploads < STEP_UPLOADS && d->arena.held_bytes < STEP_BYTES) {
        r = rows_first(tx, KEY_UPLOADS, &row, &found);
        if (r == 0 && found)
            r = drain_upload(tx, d, str_make(row.bytes, row.len));
        uploads += found;
    }
    return r == 0 && uploads == 0 ? drain_rest(tx, d) : r;
}

static int forget_tx(struct meta_tx *tx, void *arg)
{
    const struct bucket_id *id = arg;
    return drop_row_del(tx, id->n);
}

int FIBER bucket_drain(struct store *s, struct bucket_id id, bool *ret_done)
{
    struct drain d = {.swap = {.store = s, .bucket = id}};
    arena_init(&d.arena, UPLOAD_ARENA_MAX);
    int r = meta_write(s->meta, id, drain_tx, &d);
    arena_release(&d.arena);
    if (r == 0 && d.empty)
        r = meta_write(s->meta, BUCKET_SYSTEM, forget_tx, &id);
    if (r == 0)
        *ret_done = d.empty;
    return r;
}
