/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A rename: the current object of one key becomes that of another, in one transaction that goes
 * through swap.c for both. What the object holds goes along:
 *
 *   chunks          named by the new row; nothing is let go with the old one
 *   a row I         put anew under the new key and sequence
 *   rows R          name the new key from now on (repairs_rename)
 *   rows G          of the object replaced: as of any write. Of shards of this one that were moved:
 *                   they name the old key, and the bucket says that it renames, so that the
 *                   re-check does not take the missing record for the end of the chunk
 *   a sweep's walk  may have passed the new key and not yet met the old one: it is told
 * (sweep_note)
 *
 * Work on a chunk under way (repair, move) finds no record at the old key and undoes itself.
 */

#include "store/internal.h"

struct rename {
    struct store *store;
    struct bucket_id bucket;
    const struct store_renaming *what;
    struct store_conditions conditions; /* of the new name, without a quota */
    struct swap from, to;
    struct record *record; /* the object, as it was */
    struct draft draft;
    struct store_object object; /* as it will be */
};

static void rename_release(struct rename *n)
{
    draft_release(&n->draft);
    record_unref(TAKE_PTR(n->record));
}

/* The object that the caller looked at, and no other. */
static int open_from(struct meta_tx *tx, struct rename *n)
{
    struct swap *w = &n->from;
    int r = swap_begin(tx, w);
    if (r < 0)
        return r;
    if (w->versioning != STORE_VERSIONING_NEVER)
        return -ERR_BUCKET_STATE;
    if (!w->existed)
        return -ERR_CONFLICT;
    r = record_decode(n->bucket, w->key, w->old_value, &n->record);
    if (r < 0)
        return r;
    const struct store_object *o = &n->record->object;
    bool same = o->seq == n->what->seq && str_eq(o->attrs.seal, n->what->old_seal);
    return same ? 0 : -ERR_CONFLICT;
}

/* swap_begin tested the other conditions. */
static int open_to(struct meta_tx *tx, struct rename *n)
{
    struct swap *w = &n->to;
    int r = swap_begin(tx, w);
    if (r == 0 && w->existed && n->conditions.has_modified_since)
        r = conditions_test_read(&n->conditions, &w->old.object);
    return r == -ERR_NOT_MODIFIED ? -ERR_PRECONDITION_FAILED : r;
}

static int make_draft(struct rename *n)
{
    const struct record *old = n->record;
    struct draft_parts from = draft_parts_of(old);
    uint64_t newest = MAX(n->to.newest_seq, old->object.seq);
    n->object = old->object;
    n->object.attrs.seal = n->what->seal;
    n->object.attrs.restore = (struct store_restore){.until_ms = 0}; /* it was of the old key */
    n->object.seq = store_next_seq(n->store, newest);
    from.attrs = &n->object.attrs;
    from.upload = STR_NULL; /* an upload was of the old key */
    return draft_init(&n->draft, &from);
}

static int move_beside(struct meta_tx *tx, struct rename *n)
{
    struct key_buf k;
    struct str bytes;
    if (!n->record->beside)
        return 0;
    int r = meta_get(tx, key_beside(&k, n->what->from, n->record->beside), &bytes);
    if (r < 0)
        return r == -ERR_NOT_FOUND ? -ERR_CORRUPT : r;
    n->draft.beside = n->object.seq;
    return meta_put(tx, key_beside(&k, n->what->to, n->object.seq), bytes);
}

/* Once for each bucket. */
static int tell_config(struct meta_tx *tx)
{
    struct config_row row;
    int r = config_row_get(tx, &row);
    if (r < 0 || row.renamed)
        return r;
    row.renamed = true;
    return config_row_put(tx, &row);
}

static int move_chunks(struct meta_tx *tx, struct rename *n)
{
    struct repair_row to = {.key = n->what->to, .seq = n->object.seq};
    if (!n->record->chunked)
        return 0;
    int r = tell_config(tx);
    if (r == 0)
        r = repairs_rename(tx, n->store, &to, &n->record->layout);
    if (r == 0)
        sweep_note(n->store, &n->record->layout);
    return r;
}

static int tell(struct meta_tx *tx, struct rename *n)
{
    struct store_notice *notice = n->conditions.notice;
    struct store_event gone = {.what = STORE_REMOVED, .key = n->what->from};
    int r = swap_tell(tx, &n->to, STORE_CREATED, &n->object);
    return r < 0 ? r : outbox_tell(tx, notice, &gone);
}

static int change_rows(struct meta_tx *tx, struct rename *n)
{
    struct store_deletion d = {.key = n->what->from, .version = STORE_CURRENT};
    struct str row = draft_seal(&n->draft, &n->object, n->record->chunked);
    int r = swap_put(tx, &n->to, row, &n->object);
    if (r == 0)
        r = swap_delete(tx, &n->from, &d);
    return r < 0 ? r : tell(tx, n);
}

static int rename_tx(struct meta_tx *tx, void *arg)
{
    struct rename *n = arg;
    rename_release(n);
    int r = open_from(tx, n);
    if (r == 0)
        r = open_to(tx, n);
    if (r == 0)
        r = make_draft(n);
    if (r == 0)
        r = move_beside(tx, n);
    if (r == 0)
        r = move_chunks(tx, n);
    if (r == 0)
        r = change_rows(tx, n);
    if (r == 0)
        r = meta_on_commit(tx, swap_committed, &n->from);
    return r < 0 ? r : meta_on_commit(tx, swap_committed, &n->to);
}

int FIBER store_rename(struct store *s, struct bucket_id b, const struct store_renaming *what,
                       struct store_written *ret)
{
    int r = store_key_test(what->from);
    if (r == 0)
        r = store_key_test(what->to);
    if (r < 0 || str_eq(what->from, what->to))
        return r < 0 ? r : -EINVAL;
    if ((what->seal.len > 0) != (what->old_seal.len > 0))
        return -EINVAL; /* the bytes are what they were */
    struct rename n = {.store = s, .bucket = b, .what = what};
    if (what->conditions)
        n.conditions = *what->conditions;
    n.conditions.quota = (struct store_quota){0};
    n.from = (struct swap){.store = s, .bucket = b, .key = what->from, .moves = true};
    n.to = (struct swap){.store = s, .bucket = b, .key = what->to, .conditions = &n.conditions};
    r = meta_write(s->meta, b, rename_tx, &n);
    if (r == 0)
        *ret = (struct store_written){n.object.seq, n.object.mtime_ms, n.to.existed,
                                      n.object.null_version};
    rename_release(&n);
    return r;
}
