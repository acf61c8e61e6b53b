/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Listing versions: two cursors, over the current objects (O) and over all other versions and the
 * markers (V), merged by key. O keys are raw and V keys framed (keys.h), which sort alike. Of one
 * key O comes first, then V as it lies: newest first.
 */

#include "store/internal.h"

struct listing {
    const struct store_versions_query *q;
    struct bucket_id bucket;
    struct arena *a;
    size_t max;
    struct store_versions_page page;
    struct str owner, class; /* the last ones copied: rows of a bucket mostly share them */
    struct meta_cursor *objects, *versions;
    /* Where the cursors are; ptr NULL: at the end. */
    struct str object_key, version_key;
    char version_bytes[STORE_KEY_MAX]; /* version_key's */
    struct str last;         /* the key of the last version met: a later one is not the latest */
    uint64_t resumed_newest; /* unless it is this one, of the key that the page begins in */
};

/* ---- the cursors ---------------------------------------------------------------------------- */

static void read_object_key(struct listing *l)
{
    l->object_key = meta_cursor_valid(l->objects)
                        ? str_from_offset(meta_cursor_key(l->objects), KEY_OBJECTS.len)
                        : STR_NULL;
    if (!str_starts(l->object_key, l->q->prefix))
        l->object_key = STR_NULL;
}

static int read_version_key(struct listing *l)
{
    size_t len;
    uint64_t seq;
    l->version_key = STR_NULL;
    if (!meta_cursor_valid(l->versions))
        return 0;
    int r = key_parse_version(meta_cursor_key(l->versions), l->version_bytes, &len, &seq);
    if (r == 0 && str_starts(str_make(l->version_bytes, len), l->q->prefix))
        l->version_key = str_make(l->version_bytes, len);
    return r;
}

static int next_object(struct listing *l)
{
    int r = meta_cursor_next(l->objects);
    read_object_key(l);
    return r;
}

static int next_version(struct listing *l)
{
    int r = meta_cursor_next(l->versions);
    return r < 0 ? r : read_version_key(l);
}

/* Both to the first row of `key`, or behind; ptr NULL: to the end. */
static int seek_both(struct listing *l, struct str key)
{
    struct key_buf k;
    if (!key.ptr) {
        l->object_key = l->version_key = STR_NULL;
        return 0;
    }
    int r = meta_cursor_seek(l->objects, key_raw(&k, KEY_OBJECTS, key));
    read_object_key(l);
    if (r == 0)
        r = meta_cursor_seek(l->versions, key_versions(&k, key));
    return r < 0 ? r : read_version_key(l);
}

/* The least key behind `key`, in `ret`. */
static struct str after_key(struct str key, char ret[STORE_KEY_MAX + 1])
{
    if (key.len)
        memcpy(ret, key.ptr, key.len);
    ret[key.len] = '\0';
    return str_make(ret, key.len + 1);
}

static int step_past_key(struct listing *l, struct str key)
{
    char after[STORE_KEY_MAX + 1];
    return seek_both(l, after_key(key, after));
}

static int step_past_prefix(struct listing *l, struct str prefix)
{
    char past[STORE_KEY_MAX];
    return seek_both(l, key_past_prefix(prefix, past));
}

/* ---- where the page begins ------------------------------------------------------------------ */

/* The current object came to be that since, by the removal of all that was before it: it lies
 * behind the version that the page begins at, and is still to be told. */
static int seek_promoted(struct listing *l, struct str key)
{
    struct key_buf k;
    int r = meta_cursor_seek(l->objects, key_raw(&k, KEY_OBJECTS, key));
    read_object_key(l);
    return r;
}

/* Behind one version of a key. Where the null version was is not known once it is gone: then the
 * key is listed again, for whoever removes what a page told must meet the rest. */
static int seek_behind_version(struct meta_tx *tx, struct listing *l)
{
    struct str key = l->q->after;
    struct version_row row;
    struct key_buf k;
    uint64_t seq = l->q->version.seq;
    int r = step_past_key(l, key);
    if (r == 0 && l->q->version.kind == STORE_VERSION_NULL) {
        r = version_find(tx, key, l->q->version, &row);
        if (r == -ERR_NO_SUCH_VERSION)
            return seek_both(l, key);
        seq = r == 0 ? row.head.object.seq : 0;
    }
    if (r < 0)
        return r;
    struct str at = key_version(&k, key, seq);
    r = meta_cursor_seek(l->versions, at);
    if (r == 0 && meta_cursor_valid(l->versions) && str_eq(meta_cursor_key(l->versions), at))
        r = meta_cursor_next(l->versions);
    if (r == 0)
        r = read_version_key(l);
    if (r == 0)
        r = version_find(tx, key, STORE_CURRENT, &row);
    l->resumed_newest = r == 0 ? row.head.object.seq : 0;
    l->last = key;
    if (r == 0 && !row.head.object.delete_marker && l->resumed_newest < seq)
        r = seek_promoted(l, key);
    return r == -ERR_NO_SUCH_KEY ? 0 : r;
}

static int seek_start(struct meta_tx *tx, struct listing *l)
{
    const struct store_versions_query *q = l->q;
    if (q->after.len == 0 || str_cmp(q->after, q->prefix) < 0)
        return seek_both(l, q->prefix.ptr ? q->prefix : STR(""));
    struct str common = list_common_prefix(q->after, q->prefix, q->delimiter);
    /* A marker is the client's: no key begins with one that is longer than keys are. */
    bool whole = common.len && common.len == q->after.len && common.len <= STORE_KEY_MAX;
    if (whole && str_starts(q->after, q->prefix))
        return step_past_prefix(l, q->after);
    if (q->has_version && q->after.len <= STORE_KEY_MAX)
        return seek_behind_version(tx, l);
    return step_past_key(l, str_prefix(q->after, STORE_KEY_MAX));
}

/* ---- the entries ---------------------------------------------------------------------------- */

/* A copy of `s`, or the copy made before when it is the same text. */
static struct str share(struct arena *a, struct str s, struct str *last)
{
    if (!last->ptr || !str_eq(s, *last))
        *last = arena_dup(a, s);
    return *last;
}

static int add_version(struct listing *l, struct str key, struct str value)
{
    struct head head;
    int r = head_decode(value, &head);
    if (r < 0)
        return r;
    struct store_version_entry *e = &l->page.entries[l->page.count];
    bool first = !l->last.ptr || !str_eq(l->last, key);
    *e = (struct store_version_entry){.object = head.object,
                                      .is_latest = first || head.object.seq == l->resumed_newest};
    e->object.key = first ? arena_dup(l->a, key) : l->last;
    e->object.attrs.owner = share(l->a, head.object.attrs.owner, &l->owner);
    e->object.attrs.storage_class = share(l->a, head.object.attrs.storage_class, &l->class);
    if (!e->object.key.ptr || !l->owner.ptr || !l->class.ptr)
        return -ENOMEM;
    if (l->q->sealed)
        r = list_add_seal(l->a, l->bucket, value, &e->object);
    if (r < 0)
        return r;
    l->last = e->object.key;
    l->page.count++;
    return 0;
}

static int add_prefix(struct listing *l, struct str prefix)
{
    struct store_version_entry *e = &l->page.entries[l->page.count];
    *e = (struct store_version_entry){.is_prefix = true, .object.key = arena_dup(l->a, prefix)};
    if (!e->object.key.ptr)
        return -ENOMEM;
    l->page.count++;
    return step_past_prefix(l, e->object.key);
}

/* The entry at which the cursors are: the object's when both are at the same key. */
static int add_next(struct listing *l)
{
    bool of_object =
        l->object_key.ptr && (!l->version_key.ptr || str_cmp(l->object_key, l->version_key) <= 0);
    struct str key = of_object ? l->object_key : l->version_key;
    struct str common = list_common_prefix(key, l->q->prefix, l->q->delimiter);
    if (common.ptr)
        return add_prefix(l, common);
    int r = add_version(l, key, meta_cursor_value(of_object ? l->objects : l->versions));
    if (r < 0)
        return r;
    return of_object ? next_object(l) : next_version(l);
}

static int fill(struct meta_tx *tx, struct listing *l)
{
    int r = seek_start(tx, l);
    while (r == 0 && (l->object_key.ptr || l->version_key.ptr) && l->page.count < l->max)
        r = add_next(l);
    return r;
}

static int list_tx(struct meta_tx *tx, void *arg)
{
    struct listing *l = arg;
    l->page.count = 0;
    l->last = STR_NULL;
    l->resumed_newest = 0;
    int r = meta_cursor_open(tx, KEY_OBJECTS, &l->objects);
    if (r < 0)
        return r;
    r = meta_cursor_open(tx, KEY_VERSIONS, &l->versions);
    if (r == 0) {
        r = fill(tx, l);
        l->page.truncated = l->object_key.ptr || l->version_key.ptr;
        meta_cursor_close(l->versions);
    }
    meta_cursor_close(l->objects);
    return r;
}

int FIBER store_list_versions(struct store *s, struct arena *a, struct bucket_id b,
                              const struct store_versions_query *q, struct store_versions_page *ret)
{
    struct listing l = {.q = q, .bucket = b, .a = a, .max = MIN(q->max, (size_t)STORE_LIST_MAX)};
    if (q->prefix.len > STORE_KEY_MAX || l.max == 0) {
        *ret = (struct store_versions_page){0};
        return 0;
    }
    l.page.entries = arena_array(a, struct store_version_entry, l.max);
    if (!l.page.entries)
        return -ENOMEM;
    int r = meta_read(s->meta, b, list_tx, &l);
    if (r == 0)
        *ret = l.page;
    return r;
}
