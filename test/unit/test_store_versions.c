/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Versions, held against a simple model: a list a key, newest first. */

#include "store_help.h"

#define KEYS     5
#define VERSIONS 400

static const char *const key_names[KEYS] = {"a", "a/b", "a/c", "b", "x/0123456789abcdef"};

struct version {
    uint64_t seq;
    bool null, marker;
    size_t len;
    unsigned seed;
};

struct model {
    struct store_home *h;
    enum store_versioning versioning;
    struct keyed {
        struct version list[VERSIONS]; /* newest first */
        size_t count;
    } keys[KEYS];
    uint64_t random;
    unsigned puts;
};

static uint64_t below(struct model *m, uint64_t n)
{
    m->random = m->random * 6364136223846793005u + 1442695040888963407u;
    return (m->random >> 33) % n;
}

static struct str key_of(size_t i)
{
    return str_from(key_names[i]);
}

static void remove_at(struct keyed *k, size_t at)
{
    k->count--;
    memmove(&k->list[at], &k->list[at + 1], (k->count - at) * sizeof(k->list[0]));
}

static void remove_null(struct keyed *k)
{
    for (size_t i = 0; i < k->count; i++)
        if (k->list[i].null) {
            remove_at(k, i);
            return;
        }
}

/* What S3 says of a write: with versioning on everything stays, else the null version goes. */
static void push(struct model *m, struct keyed *k, struct version v)
{
    v.null = m->versioning != STORE_VERSIONING_ENABLED;
    if (v.null)
        remove_null(k);
    assert_true(k->count < VERSIONS);
    assert_true(k->count == 0 || v.seq > k->list[0].seq);
    memmove(&k->list[1], &k->list[0], k->count * sizeof(k->list[0]));
    k->list[0] = v;
    k->count++;
}

static struct store_version_ref ref_of(const struct version *v)
{
    if (v->null)
        return (struct store_version_ref){.kind = STORE_VERSION_NULL};
    return (struct store_version_ref){.kind = STORE_VERSION_SEQ, .seq = v->seq};
}

/* ---- the operations ------------------------------------------------------------------------- */

static void fill_bytes(char *p, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (char)(i * 7 + seed * 131 + (i >> 8));
}

static void do_put(struct model *m, size_t i)
{
    static const size_t lengths[] = {0, 10, 512, 600, 4096, 8192, 9000, 70000};
    static char data[70000];
    struct version v = {.len = lengths[below(m, ARRAY_LEN(lengths))], .seed = m->puts++};
    struct store_writer *w;
    struct store_attrs attrs = {.owner = STR("owner")};
    struct store_written written;
    bool live = m->keys[i].count && !m->keys[i].list[0].marker;
    fill_bytes(data, v.len, v.seed);
    struct store_etag etag = etag_of(str_make(data, v.len));
    assert_int_equal(store_put_begin(m->h->store, m->h->bucket, key_of(i), v.len, &w), 0);
    assert_int_equal(store_write(w, data, v.len), 0);
    assert_int_equal(store_put_commit(w, &attrs, &etag, NULL, NULL, &written), 0);
    assert_int_equal(written.replaced, live);
    assert_int_equal(written.null_version, m->versioning != STORE_VERSIONING_ENABLED);
    v.seq = written.seq;
    push(m, &m->keys[i], v);
}

static void do_delete(struct model *m, size_t i)
{
    struct keyed *k = &m->keys[i];
    bool live = k->count && !k->list[0].marker;
    struct store_deletion d = {.key = key_of(i), .owner = STR("owner")};
    assert_int_equal(store_delete_many(m->h->store, m->h->bucket, &d, 1, NULL), 0);
    assert_int_equal(d.result, 0);
    assert_int_equal(d.existed, live);
    assert_int_equal(d.marker, m->versioning != STORE_VERSIONING_NEVER);
    if (m->versioning == STORE_VERSIONING_NEVER)
        remove_null(k);
    else
        push(m, k, (struct version){.seq = d.seq, .marker = true});
}

static void do_delete_version(struct model *m, size_t i)
{
    struct keyed *k = &m->keys[i];
    size_t at = k->count ? below(m, k->count) : 0;
    struct store_deletion d = {.key = key_of(i)};
    if (k->count == 0 || below(m, 10) == 0) { /* one that is not there */
        d.version = (struct store_version_ref){.kind = STORE_VERSION_SEQ, .seq = 12345};
        assert_int_equal(store_delete_many(m->h->store, m->h->bucket, &d, 1, NULL), 0);
        assert_int_equal(d.result, 0);
        assert_false(d.existed);
        return;
    }
    d.version = ref_of(&k->list[at]);
    assert_int_equal(store_delete_many(m->h->store, m->h->bucket, &d, 1, NULL), 0);
    assert_int_equal(d.result, 0);
    assert_true(d.existed);
    assert_int_equal(d.marker, k->list[at].marker);
    assert_int_equal(d.seq, k->list[at].seq);
    remove_at(k, at);
}

static int tag_it(const struct store_object *o, struct store_attrs *attrs, void *arg)
{
    attrs->tags = arg;
    attrs->tag_count = 1;
    return 0;
}

static void do_tag(struct model *m, size_t i)
{
    struct keyed *k = &m->keys[i];
    if (k->count == 0)
        return;
    const struct version *v = &k->list[below(m, k->count)];
    struct store_pair tag = {STR("k"), STR("v")};
    struct store_written written;
    int r = store_change_attrs(m->h->store, m->h->bucket, key_of(i), ref_of(v), NULL, false, tag_it,
                               &tag, &written);
    assert_int_equal(r, v->marker ? -ERR_METHOD_NOT_ALLOWED : 0);
    if (r == 0)
        assert_int_equal(written.seq, v->seq);
}

static void do_switch(struct model *m)
{
    m->versioning = below(m, 2) ? STORE_VERSIONING_ENABLED : STORE_VERSIONING_SUSPENDED;
    assert_int_equal(store_bucket_set_versioning(m->h->store, m->h->bucket, m->versioning), 0);
}

/* ---- the comparison ------------------------------------------------------------------------- */

static void expect_version(struct model *m, size_t i, struct store_version_ref ref,
                           const struct version *v)
{
    struct store_reader *r;
    _cleanup_buf_ struct buf got;
    static char want[70000];
    buf_init(&got, 0);
    int err = store_get(m->h->store, m->h->bucket, key_of(i), ref, NULL, &r);
    if (v->marker) {
        assert_int_equal(err, ref.kind == STORE_VERSION_CURRENT ? -ERR_NO_SUCH_KEY
                                                                : -ERR_METHOD_NOT_ALLOWED);
        assert_true(store_reader_object(r)->delete_marker);
    } else {
        assert_int_equal(err, 0);
        assert_int_equal(store_read(r, 0, v->len, append_sink, &got), 0);
        fill_bytes(want, v->len, v->seed);
        assert_int_equal(got.len, v->len);
        assert_memory_equal(got.data ? got.data : "", want, v->len);
    }
    assert_int_equal(store_reader_object(r)->seq, v->seq);
    assert_int_equal(store_reader_object(r)->null_version, v->null);
    store_reader_close(r);
}

static void expect_reads(struct model *m, size_t i)
{
    struct keyed *k = &m->keys[i];
    struct store_reader *r;
    bool any_null = false;
    for (size_t n = 0; n < k->count; n++) {
        expect_version(m, i, ref_of(&k->list[n]), &k->list[n]);
        any_null = any_null || k->list[n].null;
    }
    if (k->count)
        expect_version(m, i, STORE_CURRENT, &k->list[0]);
    else
        expect_absent(m->h, key_of(i));
    if (!any_null) {
        struct store_version_ref null = {.kind = STORE_VERSION_NULL};
        assert_int_equal(store_get(m->h->store, m->h->bucket, key_of(i), null, NULL, &r),
                         -ERR_NO_SUCH_VERSION);
    }
}

/* The listing of everything, or with the delimiter, a page of `max` after another. */
static void expect_listing(struct model *m, struct str prefix, struct str delimiter, size_t max)
{
    struct store_versions_query q = {.prefix = prefix, .delimiter = delimiter, .max = max};
    struct store_versions_page page = {0};
    size_t at = 0, in_page = 0;
    struct str told = STR_NULL;
    _cleanup_(arena_release) struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < KEYS; i++) {
        struct str common = list_common_prefix(key_of(i), prefix, delimiter);
        if (!str_starts(key_of(i), prefix) || (common.ptr && told.ptr && str_eq(common, told)))
            continue;
        size_t entries = common.ptr ? m->keys[i].count > 0 : m->keys[i].count;
        told = common.ptr && entries ? common : told;
        for (size_t n = 0; n < entries; n++, at++, in_page++) {
            if (in_page == page.count) {
                assert_true(at == 0 || page.truncated);
                assert_int_equal(store_list_versions(m->h->store, &a, m->h->bucket, &q, &page), 0);
                assert_true(page.count > 0 && page.count <= max);
                assert_true(!page.truncated || page.count == max);
                const struct store_version_entry *last = &page.entries[page.count - 1];
                q.after = last->object.key;
                q.has_version = !last->is_prefix;
                q.version =
                    (struct store_version_ref){.kind = STORE_VERSION_SEQ, .seq = last->object.seq};
                if (last->object.null_version)
                    q.version.kind = STORE_VERSION_NULL;
                in_page = 0;
            }
            const struct store_version_entry *e = &page.entries[in_page];
            const struct version *v = &m->keys[i].list[n];
            assert_int_equal(e->is_prefix, common.ptr != NULL);
            assert_true(str_eq(e->object.key, common.ptr ? common : key_of(i)));
            if (common.ptr)
                continue;
            assert_int_equal(e->object.seq, v->seq);
            assert_int_equal(e->object.null_version, v->null);
            assert_int_equal(e->object.delete_marker, v->marker);
            assert_int_equal(e->is_latest, n == 0);
        }
    }
    assert_int_equal(in_page, page.count);
    assert_false(page.truncated);
}

static int no_fault(const struct store_check_event *e, void *arg)
{
    if (e->err)
        fail_msg("%s: %.*s", e->text, STR_FMT(e->key));
    return 0;
}

static void expect_all(struct model *m)
{
    struct store_usage u = usage(m->h), want = {0};
    for (size_t i = 0; i < KEYS; i++) {
        expect_reads(m, i);
        for (size_t n = 0; n < m->keys[i].count; n++) {
            bool current = n == 0 && !m->keys[i].list[n].marker;
            want.objects += current;
            want.versions += !current;
            want.bytes += (int64_t)m->keys[i].list[n].len;
        }
    }
    assert_memory_equal(&u, &want, sizeof(u));
    expect_listing(m, STR(""), STR(""), 1000);
    expect_listing(m, STR(""), STR(""), 1 + below(m, 7));
    expect_listing(m, STR(""), STR("/"), 1 + below(m, 3));
    expect_listing(m, STR("a/"), STR("/"), 1 + below(m, 3));
    assert_int_equal(store_check(m->h->store, false, no_fault, NULL), 0);
}

static size_t live_chunks(const struct model *m)
{
    size_t n = 0;
    for (size_t i = 0; i < KEYS; i++)
        for (size_t v = 0; v < m->keys[i].count; v++)
            n += m->keys[i].list[v].len > 8192;
    return n;
}

static void empty_bucket(struct model *m)
{
    for (size_t i = 0; i < KEYS; i++)
        while (m->keys[i].count)
            do_delete_version(m, i);
    expect_all(m);
    collect_all(m->h);
    assert_int_equal(home_chunks(m->h), 0);
    assert_int_equal(store_bucket_delete(m->h->store, STR("bucket")), 0);
    home_bucket(m->h, "bucket");
}

static void run_model(struct store_home *h, uint64_t seed, unsigned steps)
{
    struct model *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    m->h = h;
    m->random = seed;
    for (unsigned step = 0; step < steps; step++) {
        size_t i = below(m, KEYS), what = below(m, 100);
        if (what < 45)
            do_put(m, i);
        else if (what < 60)
            do_delete(m, i);
        else if (what < 85)
            do_delete_version(m, i);
        else if (what < 95)
            do_tag(m, i);
        else if (step > 20)
            do_switch(m);
        if (step % 10 == 0)
            expect_all(m);
    }
    expect_all(m);
    home_close(h);
    home_open(h);
    expect_all(m);
    collect_all(h);
    assert_int_equal(home_chunks(h), live_chunks(m));
    empty_bucket(m);
    free(m);
}

CASE(random_changes_agree_with_a_simple_model)
{
    for (uint64_t seed = 1; seed <= 12; seed++)
        run_model(h, seed, 150);
}

/* ---- single rules --------------------------------------------------------------------------- */

static void enable(struct store_home *h)
{
    assert_int_equal(store_bucket_set_versioning(h->store, h->bucket, STORE_VERSIONING_ENABLED), 0);
}

CASE(a_bucket_with_a_marker_alone_is_not_empty)
{
    bool existed;
    enable(h);
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), NULL, &existed), 0);
    assert_false(existed);
    assert_int_equal(usage(h).versions, 1);
    assert_int_equal(store_bucket_delete(h->store, STR("bucket")), -ERR_BUCKET_NOT_EMPTY);
}

CASE(the_state_of_versioning_is_kept_and_told)
{
    struct store_bucket b;
    assert_int_equal(store_bucket_get(h->store, &h->arena, STR("bucket"), &b), 0);
    assert_int_equal(b.versioning, STORE_VERSIONING_NEVER);
    store_bucket_release(&b);
    enable(h);
    home_close(h);
    home_open(h);
    assert_int_equal(store_bucket_get(h->store, &h->arena, STR("bucket"), &b), 0);
    assert_int_equal(b.versioning, STORE_VERSIONING_ENABLED);
    assert_false(b.object_lock);
    store_bucket_release(&b);
}

CASE(conditions_are_about_the_current_object)
{
    struct store_conditions none = {.if_none_match = STR("*")}, any = {.if_match = STR("*")};
    bool existed;
    enable(h);
    put(h, STR("k"), STR("one"));
    assert_int_equal(put_if(h, STR("k"), STR("two"), &none), -ERR_PRECONDITION_FAILED);
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), NULL, &existed), 0);
    assert_int_equal(put_if(h, STR("k"), STR("two"), &any), -ERR_NO_SUCH_KEY);
    assert_int_equal(put_if(h, STR("k"), STR("two"), &none), 0);
    assert_int_equal(usage(h).versions, 2);
}

CASE(new_attributes_of_a_kept_version_are_no_write_of_their_own)
{
    struct store_pair tag = {STR("k"), STR("v")};
    struct store_written written;
    put(h, STR("k"), STR("one"));
    enable(h);
    assert_int_equal(store_change_attrs(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL, true,
                                        tag_it, &tag, &written),
                     -ERR_BUCKET_STATE);
    expect(h, STR("k"), STR("one"));
}

/* ---- locks ---------------------------------------------------------------------------------- */

static int lock_it(const struct store_object *o, struct store_attrs *attrs, void *arg)
{
    attrs->lock = *(const struct store_lock *)arg;
    return 0;
}

static void lock_version(struct store_home *h, struct store_version_ref v, struct store_lock lock)
{
    struct store_written written;
    assert_int_equal(
        store_change_attrs(h->store, h->bucket, STR("k"), v, NULL, false, lock_it, &lock, &written),
        0);
}

static int delete_k(struct store_home *h, struct store_version_ref v, bool bypass)
{
    struct store_deletion d = {.key = STR("k"), .version = v, .bypass = bypass};
    assert_int_equal(store_delete_many(h->store, h->bucket, &d, 1, NULL), 0);
    return d.result;
}

static struct store_version_ref newest_of_k(struct store_home *h)
{
    struct store_reader *r;
    assert_int_equal(store_get(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL, &r), 0);
    struct store_version_ref v = {.kind = STORE_VERSION_SEQ, .seq = store_reader_object(r)->seq};
    if (store_reader_object(r)->null_version)
        v.kind = STORE_VERSION_NULL;
    store_reader_close(r);
    return v;
}

CASE(a_locked_version_goes_by_no_way)
{
    uint64_t later = rt_wall_ms() + 3600 * 1000;
    const struct store_lock governance = {STORE_RETENTION_GOVERNANCE, later, STORE_HOLD_NEVER};
    const struct store_lock compliance = {STORE_RETENTION_COMPLIANCE, later, STORE_HOLD_NEVER};
    const struct store_lock held = {STORE_RETENTION_NONE, 0, STORE_HOLD_ON};
    const struct store_lock over = {STORE_RETENTION_COMPLIANCE, 1000, STORE_HOLD_OFF};
    enable(h);
    put(h, STR("k"), bytes_of(h, 4000, 1));
    struct store_version_ref v = newest_of_k(h);
    lock_version(h, v, governance);
    assert_int_equal(delete_k(h, v, false), -ERR_OBJECT_LOCKED);
    lock_version(h, v, compliance);
    assert_int_equal(delete_k(h, v, true), -ERR_OBJECT_LOCKED);
    lock_version(h, v, held);
    assert_int_equal(delete_k(h, v, true), -ERR_OBJECT_LOCKED);
    assert_int_equal(delete_k(h, STORE_CURRENT, false), 0); /* a marker: the version stays */
    assert_int_equal(delete_k(h, v, true), -ERR_OBJECT_LOCKED);
    lock_version(h, v, over);
    assert_int_equal(delete_k(h, v, false), 0);
    assert_int_equal(usage(h).versions, 1);
}

CASE(a_locked_null_version_is_not_written_over)
{
    const struct store_lock held = {STORE_RETENTION_NONE, 0, STORE_HOLD_ON};
    put(h, STR("k"), STR("one"));
    lock_version(h, newest_of_k(h), held);
    assert_int_equal(put_if(h, STR("k"), STR("two"), NULL), -ERR_OBJECT_LOCKED);
    assert_int_equal(delete_k(h, STORE_CURRENT, true), -ERR_OBJECT_LOCKED);
    enable(h);
    put(h, STR("k"), STR("two"));
    assert_int_equal(store_bucket_set_versioning(h->store, h->bucket, STORE_VERSIONING_SUSPENDED),
                     0);
    assert_int_equal(put_if(h, STR("k"), STR("three"), NULL), -ERR_OBJECT_LOCKED);
    assert_int_equal(delete_k(h, STORE_CURRENT, true), -ERR_OBJECT_LOCKED);
    expect(h, STR("k"), STR("two"));
    assert_int_equal(store_check(h->store, true, no_fault, NULL), 0);
}

/* It may be whatever a client sends, and end where a common prefix would. */
CASE(a_marker_may_be_longer_than_keys)
{
    char marker[3 * STORE_KEY_MAX];
    enable(h);
    put(h, STR("k"), STR("one"));
    put(h, STR("m"), STR("two"));
    for (size_t len = STORE_KEY_MAX - 1; len <= sizeof(marker);
         len += len > STORE_KEY_MAX + 1 ? STORE_KEY_MAX / 2 : 1) {
        memset(marker, 'l', len);
        marker[len - 1] = '/';
        struct store_versions_query q = {
            .delimiter = STR("/"), .after = str_make(marker, len), .max = 2};
        struct store_versions_page page;
        assert_int_equal(store_list_versions(h->store, &h->arena, h->bucket, &q, &page), 0);
        assert_true(page.count == 1 && str_eq(page.entries[0].object.key, STR("m")));
    }
}

CASE(removing_page_by_page_meets_every_version)
{
    struct store_versions_query q = {.max = 2};
    struct store_versions_page page = {.truncated = true};
    size_t removed = 0;
    enable(h);
    put(h, STR("k"), STR("one"));
    put(h, STR("k"), STR("two"));
    assert_int_equal(store_bucket_set_versioning(h->store, h->bucket, STORE_VERSIONING_SUSPENDED),
                     0);
    put(h, STR("k"), STR("three"));
    enable(h);
    put(h, STR("k"), STR("four"));
    while (page.truncated) {
        assert_int_equal(store_list_versions(h->store, &h->arena, h->bucket, &q, &page), 0);
        for (size_t i = 0; i < page.count; i++, removed++) {
            const struct store_object *o = &page.entries[i].object;
            q.version = (struct store_version_ref){.kind = STORE_VERSION_SEQ, .seq = o->seq};
            if (o->null_version)
                q.version.kind = STORE_VERSION_NULL;
            assert_int_equal(delete_k(h, q.version, false), 0);
        }
        q.after = STR("k");
        q.has_version = true;
    }
    assert_int_equal(removed, 4);
    assert_int_equal(store_bucket_delete(h->store, STR("bucket")), 0);
}

/* What was removed with the current object made an older version current: behind the marker. */
CASE(a_version_that_became_current_is_met_on_the_next_page)
{
    struct store_versions_query q = {.max = 2};
    struct store_versions_page page;
    enable(h);
    for (unsigned i = 0; i < 4; i++)
        put(h, STR("k"), STR("v"));
    put(h, STR("l"), STR("v"));
    assert_int_equal(store_list_versions(h->store, &h->arena, h->bucket, &q, &page), 0);
    for (size_t i = 0; i < 2; i++) {
        q.version = (struct store_version_ref){STORE_VERSION_SEQ, page.entries[i].object.seq};
        assert_int_equal(delete_k(h, q.version, false), 0);
    }
    q.after = STR("k");
    q.has_version = true;
    q.max = 9;
    assert_int_equal(store_list_versions(h->store, &h->arena, h->bucket, &q, &page), 0);
    assert_int_equal(page.count, 3);
    assert_true(page.entries[0].is_latest && !page.entries[1].is_latest);
    assert_true(page.entries[0].object.seq > page.entries[1].object.seq);
    assert_true(str_eq(page.entries[2].object.key, STR("l")));
    put(h, STR("k"), STR("later"));
    assert_int_equal(store_list_versions(h->store, &h->arena, h->bucket, &q, &page), 0);
    assert_int_equal(page.count, 3);
    assert_false(page.entries[0].is_latest);
}

/* A record whose lock says what no release wrote. */
static int spoil_tx(struct meta_tx *tx, void *arg)
{
    struct key_buf k;
    struct version_row row;
    struct store_attrs attrs = {.owner = STR("owner")};
    struct draft draft = {0};
    struct draft_parts from = {.attrs = &attrs, .data = STR("one")};
    int r = version_find(tx, STR("k"), STORE_CURRENT, &row);
    if (r == 0)
        r = draft_init(&draft, &from);
    row.head.object.attrs.lock.retention = STORE_RETENTIONS + 5;
    if (r == 0)
        r = meta_put(tx, key_raw(&k, KEY_OBJECTS, STR("k")),
                     draft_seal(&draft, &row.head.object, false));
    draft_release(&draft);
    return r;
}

CASE(a_lock_that_cannot_be_read_holds)
{
    enable(h);
    put(h, STR("k"), STR("one"));
    struct store_version_ref v = newest_of_k(h);
    assert_int_equal(meta_write(h->meta, h->bucket, spoil_tx, NULL), 0);
    assert_int_equal(delete_k(h, v, true), -ERR_CORRUPT);
    assert_int_equal(delete_k(h, STORE_CURRENT, true), -ERR_CORRUPT);
    assert_int_equal(usage(h).objects, 1);
}

CASE(object_lock_keeps_versioning_on)
{
    struct store_bucket b;
    assert_int_equal(store_bucket_set_object_lock(h->store, h->bucket), -ERR_BUCKET_STATE);
    enable(h);
    assert_int_equal(store_bucket_set_object_lock(h->store, h->bucket), 0);
    assert_int_equal(store_bucket_set_versioning(h->store, h->bucket, STORE_VERSIONING_SUSPENDED),
                     -ERR_BUCKET_STATE);
    struct store_bucket_spec spec = {
        .name = STR("locked"), .owner = STR("owner"), .object_lock = true};
    assert_int_equal(store_bucket_make(h->store, &h->arena, &spec, &b), 0);
    assert_int_equal(store_bucket_get(h->store, &h->arena, STR("locked"), &b), 0);
    assert_true(b.object_lock);
    assert_int_equal(b.versioning, STORE_VERSIONING_ENABLED);
    store_bucket_release(&b);
}

/* ---- the sweep ------------------------------------------------------------------------------ */

struct moving {
    struct store_home *h;
    struct store_version_ref newest;
    bool done;
};

/* In the midst of the walk over the objects, behind this key's: its older version becomes current.
 */
static int move_back(void *arg)
{
    struct moving *m = arg;
    if (m->done)
        return 0;
    m->done = true;
    struct store_deletion d = {.key = STR("0"), .version = m->newest};
    assert_int_equal(store_delete_many(m->h->store, m->h->bucket, &d, 1, NULL), 0);
    assert_true(d.existed);
    return 0;
}

CASE(the_sweep_spares_a_version_that_becomes_current_behind_it)
{
    struct moving m = {.h = h};
    struct store_sweep_result result;
    struct store_reader *r;
    char key[16];
    enable(h);
    put(h, STR("0"), bytes_of(h, 50000, 1));
    put(h, STR("0"), bytes_of(h, 3, 2));
    assert_int_equal(store_get(h->store, h->bucket, STR("0"), STORE_CURRENT, NULL, &r), 0);
    m.newest =
        (struct store_version_ref){.kind = STORE_VERSION_SEQ, .seq = store_reader_object(r)->seq};
    store_reader_close(r);
    for (unsigned i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "k-%u", i);
        put(h, str_from(key), STR("x"));
    }
    home_close(h); /* the chunk is of a session before */
    home_open(h);
    assert_int_equal(store_sweep(h->store, h->session, move_back, &m, &result), 0);
    assert_true(m.done);
    assert_int_equal(result.orphans_deleted, 0);
    expect(h, STR("0"), bytes_of(h, 50000, 1));
}

/* What the lifecycle judged may be another by the time it is removed. */
CASE(a_judged_version_goes_only_while_it_is_what_was_judged)
{
    enable(h);
    put(h, STR("k"), STR("one"));
    struct store_version_ref one = newest_of_k(h);
    struct store_conditions judged = {.has_seq = true, .seq = one.seq};
    struct store_deletion d = {.key = STR("k"), .version = STORE_CURRENT, .conditions = &judged};
    put(h, STR("k"), STR("two"));
    assert_int_equal(store_delete_many(h->store, h->bucket, &d, 1, NULL), 0);
    assert_int_equal(d.result, -ERR_PRECONDITION_FAILED);
    expect(h, STR("k"), STR("two"));
    assert_int_equal(delete_k(h, newest_of_k(h), false), 0); /* the first is the newest again */
    judged.superseded = true;
    d.version = one;
    assert_int_equal(store_delete_many(h->store, h->bucket, &d, 1, NULL), 0);
    assert_int_equal(d.result, -ERR_PRECONDITION_FAILED);
    expect(h, STR("k"), STR("one"));
    put(h, STR("k"), STR("three"));
    assert_int_equal(store_delete_many(h->store, h->bucket, &d, 1, NULL), 0);
    assert_int_equal(d.result, 0);
    assert_true(d.existed);
    expect(h, STR("k"), STR("three"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_agree_with_a_simple_model),
        cmocka_unit_test(a_bucket_with_a_marker_alone_is_not_empty),
        cmocka_unit_test(the_state_of_versioning_is_kept_and_told),
        cmocka_unit_test(conditions_are_about_the_current_object),
        cmocka_unit_test(new_attributes_of_a_kept_version_are_no_write_of_their_own),
        cmocka_unit_test(a_locked_version_goes_by_no_way),
        cmocka_unit_test(a_locked_null_version_is_not_written_over),
        cmocka_unit_test(a_marker_may_be_longer_than_keys),
        cmocka_unit_test(removing_page_by_page_meets_every_version),
        cmocka_unit_test(a_version_that_became_current_is_met_on_the_next_page),
        cmocka_unit_test(a_lock_that_cannot_be_read_holds),
        cmocka_unit_test(object_lock_keeps_versioning_on),
        cmocka_unit_test(a_judged_version_goes_only_while_it_is_what_was_judged),
        cmocka_unit_test(the_sweep_spares_a_version_that_becomes_current_behind_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
