/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The walk of a purge (purge.h). Keys are judged whole: a page of versions is cut behind its last
 * whole key, and a key that is longer than a page is walked twice, once to count what of it stays.
 */

#include "store/upkeep/purge.h"
#include "store/internal.h"

#define PAGE         256 /* versions; also of one transaction */
#define BATCH        (PAGE + 2)
#define PAGE_UPLOADS 64
#define ARENA_MAX    (64 * MIB)

const char *store_purge_kind_text(enum store_purge_kind kind)
{
    static const char *const texts[] = {"version", "marker", "upload"};
    CHECK(kind < ARRAY_LEN(texts));
    return texts[kind];
}

const char *store_purge_fate_text(enum store_purge_fate fate)
{
    static const char *const texts[] = {"goes", "held", "retained", "hides", "changed"};
    CHECK(fate < ARRAY_LEN(texts));
    return texts[fate];
}

/* A version that goes; or the deletion of no version in particular, which leaves a marker: over
 * it, or in its place. */
struct removal {
    struct store_purge_item item;
    struct store_version_ref version;
    bool hides;
};

/* What of a key's live versions stays, and goes. */
struct tally {
    uint64_t stays, kept, goes; /* kept: of those that stay, meant and locked */
    bool null_stays;
};

struct page {
    struct store *store;
    const struct store_purge_what *what;
    bool remove;
    const struct store_purge_hooks *hooks;
    struct store_bucket bucket;
    struct store_notice *notice;
    struct arena arena, scratch; /* scratch: a page of a long key */
    uint64_t rows;
    struct store_versions_page listed;
    bool meant[PAGE]; /* of `listed`: versions that carry the tag, if there is one */
    struct removal removals[BATCH];
    struct store_deletion list[BATCH];
    struct store_conditions conditions[BATCH];
    size_t count;
};

static int tell(struct page *p, struct store_purge_item *item, enum store_purge_fate fate)
{
    item->fate = fate;
    return p->hooks->item(p->hooks->arg, item);
}

/* ---- removing ------------------------------------------------------------------------------- */

static void fill_deletion(struct page *p, size_t i)
{
    const struct removal *x = &p->removals[i];
    p->conditions[i] = (struct store_conditions){.has_seq = true, .seq = x->item.seq};
    p->list[i] = (struct store_deletion){
        .key = x->item.key,
        .version = x->hides ? STORE_CURRENT : x->version,
        .conditions = &p->conditions[i],
        .owner = p->bucket.owner,
    };
}

/* A null marker took the place of what went; any other left it where it was. */
static bool is_gone(const struct removal *x, const struct store_deletion *d)
{
    bool replaced = x->version.kind != STORE_VERSION_CURRENT || d->null_version;
    return d->result == 0 && d->existed && replaced;
}

/* What became of it: locked or replaced since the page was read, it is met again. */
static int tell_removal(struct page *p, size_t i)
{
    struct removal *x = &p->removals[i];
    if (x->hides)
        return 0;
    bool went = !p->remove || is_gone(x, &p->list[i]);
    return tell(p, &x->item, went ? STORE_PURGE_GOES : STORE_PURGE_CHANGED);
}

static int FIBER intend(struct page *p, size_t count)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        if (!p->removals[i].hides)
            r = p->hooks->intend(p->hooks->arg, &p->removals[i].item, i + 1 == count);
    return r;
}

static int FIBER remove_some(struct page *p, size_t count)
{
    int r = intend(p, count);
    for (size_t i = 0; i < count; i++)
        fill_deletion(p, i);
    return r < 0 ? r : store_delete_many(p->store, p->bucket.id, p->list, count, p->notice);
}

static int FIBER flush_some(struct page *p, size_t count)
{
    int r = p->remove && count ? remove_some(p, count) : 0;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = tell_removal(p, i);
    return r;
}

static int FIBER flush(struct page *p)
{
    int r = flush_some(p, p->count);
    if (r == 0)
        p->count = 0;
    return r;
}

/* All but one version: as long as that is there, another walk knows that the key is meant. */
static int FIBER flush_but_one(struct page *p)
{
    size_t last = p->count;
    while (last > 0 && p->removals[last - 1].item.kind != STORE_PURGE_VERSION)
        last--;
    if (last == 0)
        return flush(p);
    struct removal one = p->removals[last - 1];
    p->removals[last - 1] = p->removals[p->count - 1];
    int r = flush_some(p, p->count - 1);
    p->removals[0] = one;
    p->count = 1;
    return r;
}

/* ---- judging -------------------------------------------------------------------------------- */

static bool is_locked(const struct store_object *o)
{
    return lock_test(&o->attrs.lock, false) != 0;
}

static void tally_add(struct tally *t, const struct store_version_entry *e, bool meant)
{
    if (e->object.delete_marker)
        return;
    bool locked = is_locked(&e->object);
    t->goes += meant && !locked;
    t->stays += !meant || locked;
    t->kept += meant && locked;
    t->null_stays |= (!meant || locked) && e->object.null_version;
}

static struct store_purge_item item_of(const struct page *p, const struct store_object *o)
{
    return (struct store_purge_item){
        .kind = o->delete_marker ? STORE_PURGE_MARKER : STORE_PURGE_VERSION,
        .bucket = p->bucket.name,
        .key = o->key,
        .seq = o->seq,
        .null_version = o->null_version,
        .bytes = o->len_bytes,
        .lock = o->attrs.lock,
    };
}

/* There is room: whoever judges a key sees to it. */
static void queue(struct page *p, const struct store_object *o, bool hides)
{
    CHECK(p->count < BATCH);
    p->removals[p->count++] = (struct removal){
        .item = item_of(p, o),
        .version = {.kind = o->null_version ? STORE_VERSION_NULL : STORE_VERSION_SEQ,
                    .seq = o->seq},
        .hides = hides,
    };
}

/* Where a newest version goes. By age what is older and stays is of another class of data. A lock
 * is only where versioning is on; where it is suspended a marker replaces the null version, so none
 * is made where that stays. */
static bool leaves_marker(const struct page *p, const struct tally *t)
{
    uint64_t under = p->what->before_ms ? t->stays : t->kept;
    if (p->bucket.versioning == STORE_VERSIONING_SUSPENDED)
        return under && !t->null_stays;
    return under && p->bucket.versioning == STORE_VERSIONING_ENABLED;
}

/* The newest, under a marker. */
static void queue_marked(struct page *p, const struct store_object *o)
{
    bool replaced = o->null_version && p->bucket.versioning == STORE_VERSIONING_SUSPENDED;
    if (!replaced)
        queue(p, o, true);
    queue(p, o, false);
    if (replaced)
        p->removals[p->count - 1].version = STORE_CURRENT;
}

/* A marker: 1 when it goes. */
static int judge_marker(struct page *p, const struct store_version_entry *e, const struct tally *t,
                        bool newest)
{
    bool goes = p->what->tagged ? t->stays == 0 && t->goes > 0 : !newest || t->stays == 0;
    if (goes || !newest || t->kept == 0)
        return goes;
    struct store_purge_item item = item_of(p, &e->object);
    return tell(p, &item, STORE_PURGE_HIDES);
}

static int judge(struct page *p, const struct store_version_entry *e, bool meant,
                 const struct tally *t, bool newest)
{
    const struct store_object *o = &e->object;
    struct store_purge_item item = item_of(p, o);
    int r = 0;
    if (o->delete_marker) {
        r = judge_marker(p, e, t, newest);
        if (r == 1)
            queue(p, o, false);
        return MIN(r, 0);
    }
    if (!meant)
        return 0;
    if (is_locked(o))
        return tell(p, &item,
                    o->attrs.lock.hold == STORE_HOLD_ON ? STORE_PURGE_HELD : STORE_PURGE_RETAINED);
    if (newest && leaves_marker(p, t))
        queue_marked(p, o);
    else
        queue(p, o, false);
    return 0;
}

/* ---- what is meant
 * ----------------------------------------------------------------------------------- */

static bool is_old(const struct page *p, uint64_t written_ms)
{
    return p->what->before_ms == 0 || written_ms < p->what->before_ms;
}

static bool has_tag(const struct store_attrs *attrs, const struct store_pair *tag)
{
    for (size_t i = 0; i < attrs->tag_count; i++)
        if (str_eq(attrs->tags[i].name, tag->name))
            return str_eq(attrs->tags[i].value, tag->value);
    return false;
}

/* Gone by now: not meant. */
static int read_tag(struct meta_tx *tx, struct page *p, size_t i)
{
    const struct store_object *o = &p->listed.entries[i].object;
    struct store_version_ref ref = {.kind = STORE_VERSION_SEQ, .seq = o->seq};
    struct version_row row;
    if (o->null_version)
        ref.kind = STORE_VERSION_NULL;
    int r = version_find(tx, o->key, ref, &row);
    if (r == -ERR_NO_SUCH_VERSION || r == -ERR_NO_SUCH_KEY)
        return 0;
    _cleanup_record_ struct record *record = NULL;
    if (r == 0)
        r = record_decode(p->bucket.id, o->key, row.value, &record);
    if (r == 0)
        p->meant[i] = has_tag(&record->object.attrs, &p->what->tag);
    return r;
}

static int tags_tx(struct meta_tx *tx, void *arg)
{
    struct page *p = arg;
    int r = 0;
    for (size_t i = 0; r == 0 && i < p->listed.count; i++) {
        const struct store_object *o = &p->listed.entries[i].object;
        p->meant[i] = false;
        if (!o->delete_marker && is_old(p, o->mtime_ms))
            r = read_tag(tx, p, i);
    }
    return r;
}

/* ---- versions ------------------------------------------------------------------------------- */

static int FIBER list(struct page *p, struct arena *a, const struct store_versions_query *q)
{
    int r = store_list_versions(p->store, a, p->bucket.id, q, &p->listed);
    if (r < 0)
        return r;
    p->rows += p->listed.count;
    for (size_t i = 0; i < p->listed.count; i++)
        p->meant[i] = !p->what->tagged && is_old(p, p->listed.entries[i].object.mtime_ms);
    return p->what->tagged ? meta_read(p->store->meta, p->bucket.id, tags_tx, p) : 0;
}

static bool same_key(const struct page *p, size_t i, size_t j)
{
    return str_eq(p->listed.entries[i].object.key, p->listed.entries[j].object.key);
}

/* Entries [from, to) are all of a key. The newest goes last: a marker in its place must not replace
 * a null version that is itself about to go. */
static int FIBER whole_key(struct page *p, size_t from, size_t to)
{
    struct tally t = {0};
    int r = p->count + (to - from) + 1 > BATCH ? flush(p) : 0;
    for (size_t i = from; i < to; i++)
        tally_add(&t, &p->listed.entries[i], p->meant[i]);
    for (size_t i = to; r == 0 && i > from; i--)
        r = judge(p, &p->listed.entries[i - 1], p->meant[i - 1], &t, i - 1 == from);
    return r;
}

/* A key whose versions are more than a page: one pass to count, one to act, the newest last. */
struct long_key {
    struct str key;
    struct tally tally;
    struct store_version_entry newest;
    bool newest_meant, acting;
};

static int FIBER long_page(struct page *p, struct long_key *k)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < p->listed.count; i++) {
        const struct store_version_entry *e = &p->listed.entries[i];
        /* What came since is for another walk: a marker of somebody's is the newest now. */
        if (!str_eq(e->object.key, k->key) || e->object.seq > k->newest.object.seq)
            continue;
        bool newest = e->object.seq == k->newest.object.seq;
        if (!k->acting)
            tally_add(&k->tally, e, p->meant[i]);
        if (!k->acting || newest)
            continue;
        if (p->count == PAGE)
            r = flush_but_one(p);
        struct store_version_entry lasting = *e;
        lasting.object.key = k->key; /* the page's own goes before what is queued */
        if (r == 0)
            r = judge(p, &lasting, p->meant[i], &k->tally, false);
    }
    return r;
}

static int FIBER long_pass(struct page *p, struct long_key *k)
{
    struct store_versions_query q = {.prefix = k->key, .max = PAGE};
    bool more = true;
    int r = 0;
    while (r == 0 && more) {
        arena_reset(&p->scratch);
        r = list(p, &p->scratch, &q);
        size_t n = r ? 0 : p->listed.count;
        if (n)
            r = long_page(p, k);
        more = n && p->listed.truncated && str_eq(p->listed.entries[n - 1].object.key, k->key);
        if (!more)
            break;
        const struct store_object *last = &p->listed.entries[n - 1].object;
        q.after = k->key;
        q.has_version = true;
        /* By its place in time, a null version too: that may be gone by now. */
        q.version = (struct store_version_ref){.kind = STORE_VERSION_SEQ, .seq = last->seq};
    }
    return r;
}

static int FIBER long_key(struct page *p)
{
    struct long_key k = {.newest = p->listed.entries[0], .newest_meant = p->meant[0]};
    k.key = k.newest.object.key;
    int r = flush(p);
    if (r == 0)
        r = long_pass(p, &k);
    k.acting = true;
    if (r == 0)
        r = long_pass(p, &k);
    if (r == 0)
        r = judge(p, &k.newest, k.newest_meant, &k.tally, true);
    return r;
}

/* How many of the entries are of whole keys. */
static size_t whole_entries(const struct page *p)
{
    size_t n = p->listed.count;
    if (!p->listed.truncated)
        return n;
    size_t last = n - 1;
    while (n > 0 && same_key(p, n - 1, last))
        n--;
    return n;
}

static void place_at(struct store_purge_place *place, struct str key)
{
    memcpy(place->key, key.ptr, key.len);
    place->key_len = key.len;
}

static int FIBER versions_page(struct page *p, struct store_purge_place *place)
{
    struct store_versions_query q = {
        .prefix = p->what->prefix, .after = str_make(place->key, place->key_len), .max = PAGE};
    int r = list(p, &p->arena, &q);
    if (r < 0)
        return r;
    bool more = p->listed.truncated;
    size_t n = p->listed.count ? whole_entries(p) : 0;
    struct str last = p->listed.count ? p->listed.entries[n ? n - 1 : 0].object.key : STR_NULL;
    for (size_t i = 0, j; r == 0 && i < n; i = j) {
        for (j = i + 1; j < n && same_key(p, i, j);)
            j++;
        r = whole_key(p, i, j);
    }
    if (r == 0 && n == 0 && last.ptr)
        r = long_key(p);
    if (r == 0)
        r = flush(p);
    if (r < 0)
        return r;
    place->uploads = !more;
    place_at(place, more ? last : STR(""));
    return 0;
}

/* ---- uploads -------------------------------------------------------------------------------- */

static int FIBER count_parts(struct page *p, struct store_purge_item *item)
{
    struct store_part_page parts = {.truncated = true};
    int r = 0;
    while (r == 0 && parts.truncated) {
        r = store_part_list(p->store, &p->arena, p->bucket.id, item->key, item->upload, parts.next,
                            STORE_LIST_MAX, &parts);
        for (size_t i = 0; r == 0 && i < parts.count; i++)
            item->bytes += parts.parts[i].len_bytes;
        item->parts += r == 0 ? parts.count : 0;
    }
    return r;
}

static int FIBER is_upload_meant(struct page *p, const struct store_upload *u, bool *ret)
{
    struct store_upload whole;
    *ret = is_old(p, u->created_ms);
    if (!p->what->tagged || !*ret)
        return 0;
    int r = store_upload_get(p->store, &p->arena, p->bucket.id, u->key, u->upload, &whole);
    if (r == 0)
        *ret = has_tag(&whole.attrs, &p->what->tag);
    return r;
}

static int FIBER one_upload(struct page *p, const struct store_upload *u)
{
    struct store_purge_item item = {
        .kind = STORE_PURGE_UPLOAD, .bucket = p->bucket.name, .key = u->key, .upload = u->upload};
    bool meant = false;
    int r = is_upload_meant(p, u, &meant);
    if (r == 0 && meant)
        r = count_parts(p, &item);
    if (r == 0 && meant && p->remove)
        r = p->hooks->intend(p->hooks->arg, &item, true);
    if (r == 0 && meant && p->remove)
        r = store_upload_abort(p->store, p->bucket.id, u->key, u->upload);
    if (r == -ERR_NO_SUCH_UPLOAD)
        return 0; /* completed or aborted just now: an object is met by the next walk */
    return r < 0 || !meant ? r : tell(p, &item, STORE_PURGE_GOES);
}

static int FIBER uploads_page(struct page *p, struct store_purge_place *place)
{
    struct store_upload_query q = {.prefix = p->what->prefix,
                                   .key_after = str_make(place->key, place->key_len),
                                   .upload_after = str_make(place->upload, place->upload_len),
                                   .max = PAGE_UPLOADS};
    struct store_upload_page page;
    int r = store_upload_list(p->store, &p->arena, p->bucket.id, &q, &page);
    for (size_t i = 0; r == 0 && i < page.count; i++)
        r = one_upload(p, &page.entries[i].upload);
    if (r < 0)
        return r;
    p->rows += page.count;
    place->uploads = page.truncated;
    place->upload_len = page.truncated ? page.next_upload.len : 0;
    CHECK(place->upload_len <= sizeof(place->upload));
    if (page.truncated)
        memcpy(place->upload, page.next_upload.ptr, page.next_upload.len);
    place_at(place, page.truncated ? page.next_key : STR(""));
    return 0;
}

/* ---- buckets -------------------------------------------------------------------------------- */

static void place_in(struct store_purge_place *place, struct str bucket)
{
    CHECK(bucket.len <= sizeof(place->bucket));
    *place = (struct store_purge_place){.bucket_len = bucket.len};
    if (bucket.len)
        memcpy(place->bucket, bucket.ptr, bucket.len);
}

/* The one that is meant, or the next of all. */
static int FIBER next_bucket(struct page *p, struct store_purge_place *place)
{
    struct store_bucket_page page;
    if (p->what->bucket.len && place->bucket_len) {
        place->end = true;
        return 0;
    }
    if (p->what->bucket.len) {
        place_in(place, p->what->bucket);
        return 0;
    }
    int r = store_bucket_list(p->store, &p->arena, STR_NULL, STR_NULL,
                              str_make(place->bucket, place->bucket_len), 1, &page);
    if (r < 0)
        return r;
    place->end = page.count == 0;
    if (page.count)
        place_in(place, page.buckets[0].name);
    return 0;
}

static int FIBER bucket_page(struct page *p, struct store_purge_place *place)
{
    bool versions = !place->uploads;
    int r = p->hooks->bucket(p->hooks->arg, &p->bucket, &p->notice);
    if (r == 0)
        r = versions ? versions_page(p, place) : uploads_page(p, place);
    if (r == 0 && !versions && !place->uploads)
        r = next_bucket(p, place);
    return r;
}

static int FIBER run_page(struct page *p, struct store_purge_place *place)
{
    int r = place->bucket_len == 0 ? next_bucket(p, place) : 0;
    if (r < 0 || place->end)
        return r;
    r = store_bucket_get(p->store, &p->arena, str_make(place->bucket, place->bucket_len),
                         &p->bucket);
    if (r == -ERR_NO_SUCH_BUCKET)
        return next_bucket(p, place);
    if (r == 0)
        r = bucket_page(p, place);
    store_bucket_release(&p->bucket);
    return r;
}

int FIBER store_purge_page(struct store *s, const struct store_purge_what *what, bool remove,
                           struct store_purge_place *place, const struct store_purge_hooks *hooks,
                           uint64_t *ret_rows)
{
    struct page *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    *p = (struct page){.store = s, .what = what, .remove = remove, .hooks = hooks};
    arena_init(&p->arena, ARENA_MAX);
    arena_init(&p->scratch, ARENA_MAX);
    int r = run_page(p, place);
    *ret_rows = p->rows;
    arena_release(&p->arena);
    arena_release(&p->scratch);
    free(p);
    return r;
}

/* ---- what was let go ------------------------------------------------------------------------ */

struct pending {
    uint64_t due_ms;
    bool any;
};

/* Rows lie in the order in which they are due. */
static int pending_tx(struct meta_tx *tx, void *arg)
{
    struct pending *p = arg;
    struct key_buf row;
    struct chunk_id first;
    uint64_t due_ms;
    int r = rows_first(tx, KEY_GARBAGE, &row, &p->any);
    if (r == 0 && p->any)
        r = key_parse_garbage(str_make(row.bytes, row.len), &due_ms, &first);
    if (r == 0 && p->any)
        p->any = due_ms <= p->due_ms;
    return r;
}

uint64_t store_purge_due_ms(const struct store *s)
{
    return store_gc_due_ms(s);
}

int FIBER store_purge_pending(struct store *s, struct str bucket, uint64_t due_ms, bool *ret)
{
    _cleanup_(arena_release) struct arena a;
    struct store_bucket b = {0};
    struct pending p = {.due_ms = due_ms};
    arena_init(&a, ARENA_MAX);
    int r = store_bucket_get(s, &a, bucket, &b);
    if (r == 0)
        r = meta_read(s->meta, b.id, pending_tx, &p);
    store_bucket_release(&b);
    if (r == 0)
        *ret = p.any;
    return r;
}
