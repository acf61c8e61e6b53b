/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Listing: one scan over the objects' rows a page, reading only their heads, that seeks past each
 * common prefix once it has been told. On a loop thread a page whose blocks are cached is scanned
 * in place: about a millisecond for a thousand rows; otherwise it is run again on an offload
 * thread.
 */

#include "store/internal.h"

struct listing {
    const struct store_list_query *q;
    struct bucket_id bucket;
    struct arena *a;
    size_t max;
    struct store_list_page page;
    struct str owner, class; /* the last ones copied: rows of a bucket mostly share them */
};

struct str list_common_prefix(struct str key, struct str prefix, struct str delimiter)
{
    if (delimiter.len == 0)
        return STR_NULL;
    ptrdiff_t at = str_find(key, delimiter, prefix.len);
    return at < 0 ? STR_NULL : str_prefix(key, (size_t)at + delimiter.len);
}

/* A copy of `s`, or the copy made before when it is the same text. */
static struct str share(struct arena *a, struct str s, struct str *last)
{
    if (!last->ptr || !str_eq(s, *last))
        *last = arena_dup(a, s);
    return *last;
}

int list_add_seal(struct arena *a, struct bucket_id b, struct str value, struct store_object *o)
{
    _cleanup_record_ struct record *record = NULL;
    if (o->delete_marker)
        return 0;
    int r = record_decode(b, o->key, value, &record);
    if (r < 0)
        return r;
    o->attrs.seal = arena_dup(a, record->object.attrs.seal);
    o->attrs.acl = arena_dup(a, record->object.attrs.acl);
    return o->attrs.seal.ptr && o->attrs.acl.ptr ? 0 : -ENOMEM;
}

static int add_object(struct listing *l, struct str key, struct str value)
{
    struct head head;
    int r = head_decode(value, &head);
    if (r < 0)
        return r;
    struct store_list_entry *e = &l->page.entries[l->page.count];
    *e = (struct store_list_entry){.object = head.object};
    e->object.key = arena_dup(l->a, key);
    e->object.attrs.owner = share(l->a, head.object.attrs.owner, &l->owner);
    e->object.attrs.storage_class = share(l->a, head.object.attrs.storage_class, &l->class);
    if (!e->object.key.ptr || !l->owner.ptr || !l->class.ptr)
        return -ENOMEM;
    if (l->q->sealed)
        r = list_add_seal(l->a, l->bucket, value, &e->object);
    if (r < 0)
        return r;
    l->page.count++;
    return 0;
}

static int add_prefix(struct listing *l, struct str prefix)
{
    struct store_list_entry *e = &l->page.entries[l->page.count];
    *e = (struct store_list_entry){.is_prefix = true, .object.key = arena_dup(l->a, prefix)};
    if (!e->object.key.ptr)
        return -ENOMEM;
    l->page.count++;
    return 0;
}

/* Goes on behind every key that starts with `prefix`. Often the next row is there already, and a
 * step costs a fraction of a seek. */
static int step_past(struct meta_cursor *c, struct str prefix)
{
    struct key_buf k;
    char past[STORE_KEY_MAX];
    int r = meta_cursor_next(c);
    if (r < 0 || !meta_cursor_valid(c) ||
        !str_starts(str_from_offset(meta_cursor_key(c), KEY_OBJECTS.len), prefix))
        return r;
    struct str next = key_past_prefix(prefix, past);
    /* Nothing sorts behind a prefix of 0xff bytes: a seek to the end of the rows. */
    return meta_cursor_seek(c, next.ptr ? key_raw(&k, KEY_OBJECTS, next) : STR("P"));
}

/* The first row that may belong to the page. */
static int seek_start(struct meta_cursor *c, const struct store_list_query *q)
{
    struct key_buf k;
    if (str_cmp(q->after, q->prefix) < 0 || q->after.len == 0)
        return meta_cursor_seek(c, key_raw(&k, KEY_OBJECTS, q->prefix));
    int r = meta_cursor_seek(c, key_raw(&k, KEY_OBJECTS, q->after));
    if (r < 0 || !meta_cursor_valid(c))
        return r;
    struct str common = list_common_prefix(q->after, q->prefix, q->delimiter);
    struct str key = str_from_offset(meta_cursor_key(c), KEY_OBJECTS.len);
    if (common.len && common.len == q->after.len && str_starts(key, common))
        return step_past(c, q->after);
    return str_eq(key, q->after) ? meta_cursor_next(c) : 0;
}

/* Fills the page; the cursor is left on the first row that does not belong to it, if any. */
static int fill(struct listing *l, struct meta_cursor *c)
{
    int r = seek_start(c, l->q);
    while (r == 0 && meta_cursor_valid(c) && l->page.count < l->max) {
        struct str key = str_from_offset(meta_cursor_key(c), KEY_OBJECTS.len);
        struct str common = list_common_prefix(key, l->q->prefix, l->q->delimiter);
        if (common.ptr) {
            r = add_prefix(l, common);
            if (r == 0)
                r = step_past(c, l->page.entries[l->page.count - 1].object.key);
        } else {
            r = add_object(l, key, meta_cursor_value(c));
            if (r == 0)
                r = meta_cursor_next(c);
        }
    }
    return r;
}

static int list_tx(struct meta_tx *tx, void *arg)
{
    struct listing *l = arg;
    struct key_buf k;
    struct meta_cursor *c;
    l->page.count = 0;
    int r = meta_cursor_open(tx, key_raw(&k, KEY_OBJECTS, l->q->prefix), &c);
    if (r < 0)
        return r;
    r = fill(l, c);
    l->page.truncated = r == 0 && meta_cursor_valid(c);
    meta_cursor_close(c);
    return r;
}

int FIBER store_list(struct store *s, struct arena *a, struct bucket_id b,
                     const struct store_list_query *q, struct store_list_page *ret)
{
    struct store_list_query query = *q;
    /* No key is longer than the limit, so the bytes behind it decide nothing. */
    query.after = str_prefix(query.after, STORE_KEY_MAX + 1);
    struct listing l = {
        .q = &query, .bucket = b, .a = a, .max = MIN(q->max, (size_t)STORE_LIST_MAX)};
    if (q->prefix.len > STORE_KEY_MAX || l.max == 0) {
        *ret = (struct store_list_page){0};
        return 0;
    }
    l.page.entries = arena_array(a, struct store_list_entry, l.max);
    if (!l.page.entries)
        return -ENOMEM;
    int r = meta_read(s->meta, b, list_tx, &l);
    if (r < 0)
        return r;
    if (l.page.truncated)
        l.page.next = l.page.entries[l.page.count - 1].object.key;
    *ret = l.page;
    return 0;
}
