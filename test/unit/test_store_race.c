/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Several threads write, read, list and collect the same few keys: what is read is always whole. */

#include "store_help.h"

#define THREADS 3
#define KEYS    12
#define BESIDE  (8 * KIB) /* longer objects have chunks: some of each kind are in the storm */

struct storm {
    struct store_home *h;
    uint32_t running; /* atomic */
    uint64_t until;
    uint64_t gets, puts, deletes, misses, lists, chunks; /* atomic */
};

struct wind {
    struct storm *s;
    unsigned seed;
};

/* Every byte of an object is told by its first four: length and seed. */
static void make_body(char *p, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (char)(seed * 31 + i * 7 + len);
    memcpy(p, &seed, sizeof(seed));
}

struct body {
    char bytes[20000];
    size_t len;
};

static int take(const void *data, size_t len, void *arg)
{
    struct body *b = arg;
    assert_true(b->len + len <= sizeof(b->bytes));
    memcpy(b->bytes + b->len, data, len);
    b->len += len;
    return 0;
}

static struct str pick_key(struct wind *w, char room[16])
{
    return str_make(room, (size_t)snprintf(room, 16, "k-%u", (unsigned)rand_r(&w->seed) % KEYS));
}

static void FIBER do_put(struct wind *w)
{
    struct store_home *h = w->s->h;
    char room[16], *bytes = malloc(20000);
    unsigned seed = (unsigned)rand_r(&w->seed);
    size_t len = seed % 3 ? 4 + seed % 100 : 4096 + seed % 15000;
    struct store_writer *writer;
    struct store_attrs attrs = {.owner = STR("me")};
    struct store_etag etag = {.md5 = {(uint8_t)seed}};
    struct store_written written;
    make_body(bytes, len, seed);
    assert_int_equal(store_put_begin(h->store, h->bucket, pick_key(w, room), len, &writer), 0);
    assert_int_equal(store_write(writer, bytes, len), 0);
    assert_int_equal(store_put_commit(writer, &attrs, &etag, NULL, NULL, &written), 0);
    free(bytes);
    __atomic_fetch_add(&w->s->puts, 1, __ATOMIC_RELAXED);
}

static void FIBER do_get(struct wind *w)
{
    struct store_home *h = w->s->h;
    char room[16], *want;
    struct store_reader *r;
    int err = store_get(h->store, h->bucket, pick_key(w, room), STORE_CURRENT, NULL, &r);
    if (err == -ERR_NO_SUCH_KEY) {
        __atomic_fetch_add(&w->s->misses, 1, __ATOMIC_RELAXED);
        return;
    }
    assert_int_equal(err, 0);
    if (rand_r(&w->seed) % 4 == 0) /* long enough for it to be deleted and collected */
        rt_sleep_until(rt_now() + 3 * RT_MS);
    struct body *b = malloc(sizeof(*b));
    b->len = 0;
    assert_int_equal(store_read(r, 0, store_reader_object(r)->len_bytes, take, b), 0);
    unsigned seed;
    memcpy(&seed, b->bytes, sizeof(seed));
    want = malloc(sizeof(b->bytes));
    make_body(want, b->len, seed);
    assert_memory_equal(b->bytes, want, b->len);
    assert_int_equal(store_reader_object(r)->etag.md5[0], (uint8_t)seed);
    store_reader_close(r);
    free(b);
    free(want);
    __atomic_fetch_add(&w->s->gets, 1, __ATOMIC_RELAXED);
}

static void FIBER do_delete(struct wind *w)
{
    char room[16];
    bool existed;
    assert_int_equal(
        store_delete(w->s->h->store, w->s->h->bucket, pick_key(w, room), NULL, &existed), 0);
    __atomic_fetch_add(&w->s->deletes, existed, __ATOMIC_RELAXED);
}

static void FIBER do_list(struct wind *w)
{
    struct arena a;
    struct store_list_query q = {.max = 1000};
    struct store_list_page page;
    arena_init(&a, 0);
    assert_int_equal(store_list(w->s->h->store, &a, w->s->h->bucket, &q, &page), 0);
    assert_true(page.count <= KEYS);
    for (size_t i = 1; i < page.count; i++)
        assert_true(str_cmp(page.entries[i - 1].object.key, page.entries[i].object.key) < 0);
    arena_release(&a);
    __atomic_fetch_add(&w->s->lists, 1, __ATOMIC_RELAXED);
}

static void blow(void *arg)
{
    struct wind *w = arg;
    while (rt_now() < w->s->until) {
        unsigned what = (unsigned)rand_r(&w->seed) % 16;
        if (what < 5)
            do_put(w);
        else if (what < 13)
            do_get(w);
        else if (what < 15)
            do_delete(w);
        else
            do_list(w);
    }
    __atomic_fetch_sub(&w->s->running, 1, __ATOMIC_RELEASE);
}

CASE_ON(THREADS, a_storm_over_few_keys_shows_no_torn_object)
{
    enum { WINDS = 24 };
    home_close(h);
    h->config.beside_max_bytes = BESIDE;
    home_open(h);
    struct storm s = {.h = h, .running = WINDS, .until = rt_now() + 2 * RT_S};
    struct wind winds[WINDS];
    for (unsigned i = 0; i < WINDS; i++) {
        winds[i] = (struct wind){&s, i + 1};
        assert_int_equal(rt_spawn_on(i % THREADS, "wind", blow, &winds[i]), 0);
    }
    while (__atomic_load_n(&s.running, __ATOMIC_ACQUIRE)) {
        uint64_t chunks;
        assert_int_equal(store_gc(h->store, 50, &chunks), 0);
        s.chunks += chunks;
        rt_sleep_until(rt_now() + RT_MS);
    }
    assert_true(s.puts > 100 && s.gets > 100 && s.deletes > 10 && s.lists > 10);
    assert_true(s.chunks > 10); /* collected while it blew */
    collect_all(h);

    /* What is left is what the counters and the listing say, and nothing is on the disk besides. */
    struct store_list_query q = {.max = 1000};
    struct store_list_page page;
    size_t chunked = 0;
    int64_t bytes = 0;
    assert_int_equal(store_list(h->store, &h->arena, h->bucket, &q, &page), 0);
    for (size_t i = 0; i < page.count; i++) {
        bytes += (int64_t)page.entries[i].object.len_bytes;
        chunked += page.entries[i].object.len_bytes > BESIDE;
    }
    assert_int_equal(usage(h).objects, page.count);
    assert_int_equal(usage(h).bytes, bytes);
    assert_int_equal(home_chunks(h), chunked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_storm_over_few_keys_shows_no_torn_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
