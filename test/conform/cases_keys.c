/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* What one function sees: keys, cursors, its own changes, counters. */

#include <stdio.h>
#include "test/conform/conform.h"

static void put_all(struct conform *c, const char *keys)
{
    for (struct str rest = str_from(keys), key; str_cut(&rest, ' ', &key);)
        CHECK(conform_put(c, BUCKET, key, STR("v")) == 0);
}

int FIBER case_keys_are_ordered_bytewise(struct conform *c)
{
    CHECK(conform_put(c, BUCKET, STR("a\xff"), STR("4")) == 0);
    CHECK(conform_put(c, BUCKET, STR("b"), STR("5")) == 0);
    CHECK(conform_put(c, BUCKET, STR("a"), STR("1")) == 0);
    CHECK(conform_put(c, BUCKET, STR("A"), STR("0")) == 0);
    CHECK(conform_put(c, BUCKET, STR("a/b"), STR("2")) == 0);
    CHECK(conform_put(c, BUCKET, STR("aa"), STR("3")) == 0);
    CHECK(conform_put(c, BUCKET, STR("\xff"), STR("6")) == 0);
    EXPECT_STR(conform_list(c, BUCKET, STR_NULL), "A=0 a=1 a/b=2 aa=3 a\xff=4 b=5 \xff=6 ");
    return 0;
}

static int walk_prefix(struct meta_tx *tx, void *arg)
{
    struct buf *b = arg;
    buf_reset(b);
    int r = conform_list_in(tx, STR("p"), false, b);
    buf_put_cstr(b, "| ");
    if (r == 0)
        r = conform_list_in(tx, STR("p"), true, b);
    buf_put_char(b, 0);
    return r;
}

int FIBER case_prefix_is_walked_both_ways(struct conform *c)
{
    struct buf b;
    buf_init(&b, 0);
    put_all(c, "o o1 p p/1 p/2 p\xff q q1");
    const char *both = "p=v p/1=v p/2=v p\xff=v | p\xff=v p/2=v p/1=v p=v ";
    CHECK(meta_read(c->meta, BUCKET, walk_prefix, &b) == 0);
    EXPECT_STR(b.data, both);
    CHECK(meta_write(c->meta, BUCKET, walk_prefix, &b) == 0);
    EXPECT_STR(b.data, both);
    buf_release(&b);
    return 0;
}

static int walk_bulk(struct meta_tx *tx, void *arg)
{
    struct buf *b = arg;
    buf_reset(b);
    int r = conform_list_in(tx, STR("I"), false, b);
    buf_put_cstr(b, "| ");
    if (r == 0)
        r = conform_list_in(tx, STR("I2"), true, b);
    buf_put_char(b, 0);
    return r;
}

int FIBER case_bulky_rows_are_apart(struct conform *c)
{
    const struct bucket_id next = {BUCKET.n + 1};
    struct buf b;
    buf_init(&b, 0);
    put_all(c, "H I I1 I2 I2a J");
    CHECK(conform_put(c, next, STR("I0"), STR("n")) == 0);
    CHECK(conform_del(c, BUCKET, STR("I1")) == 0);
    EXPECT_STR(conform_list(c, BUCKET, STR_NULL), "H=v J=v ");
    EXPECT_STR(conform_list(c, next, STR_NULL), "");
    EXPECT_STR(conform_list(c, next, STR("I")), "I0=n ");
    EXPECT_STR(conform_get(c, BUCKET, STR("I2a")), "v");
    EXPECT_STR(conform_get(c, next, STR("I2a")), "(none)");
    const char *both = "I=v I2=v I2a=v | I2a=v I2=v ";
    CHECK(meta_read(c->meta, BUCKET, walk_bulk, &b) == 0);
    EXPECT_STR(b.data, both);
    CHECK(meta_write(c->meta, BUCKET, walk_bulk, &b) == 0);
    EXPECT_STR(b.data, both);
    buf_release(&b);
    return 0;
}

/* The key a seek finds, or "-". */
static const char *sought(struct meta_cursor *cur, bool before, struct str key)
{
    static __thread char found[16];
    int r = before ? meta_cursor_seek_before(cur, key) : meta_cursor_seek(cur, key);
    CHECK(r == 0);
    if (!meta_cursor_valid(cur))
        return "-";
    snprintf(found, sizeof(found), "%.*s", STR_FMT(meta_cursor_key(cur)));
    return found;
}

static int seek_around(struct meta_tx *tx, void *arg)
{
    struct meta_cursor *cur;
    int r = meta_cursor_open(tx, STR("p"), &cur);
    if (r < 0)
        return r;
    CHECK(!meta_cursor_valid(cur));
    r = meta_cursor_seek(cur, STR_NULL);
    if (r < 0)
        return r;
    EXPECT_STR(sought(cur, false, STR("p")), "p1");
    EXPECT_STR(sought(cur, false, STR("p1")), "p1");
    EXPECT_STR(sought(cur, false, STR("p1\1")), "p3");
    EXPECT_STR(sought(cur, false, STR("p5\1")), "-");
    EXPECT_STR(sought(cur, false, STR("a")), "p1");
    EXPECT_STR(sought(cur, false, STR("z")), "-");
    EXPECT_STR(sought(cur, true, STR("p1")), "-");
    EXPECT_STR(sought(cur, true, STR("p1\1")), "p1");
    EXPECT_STR(sought(cur, true, STR("p3")), "p1");
    EXPECT_STR(sought(cur, true, STR("q")), "p5");
    EXPECT_STR(sought(cur, true, STR("z")), "p5");
    EXPECT_STR(sought(cur, true, STR("a")), "-");
    meta_cursor_close(cur);
    return 0;
}

int FIBER case_seeks_meet_the_edges(struct conform *c)
{
    put_all(c, "o p1 p3 p5 q");
    CHECK(meta_read(c->meta, BUCKET, seek_around, NULL) == 0);
    CHECK(meta_write(c->meta, BUCKET, seek_around, NULL) == 0);
    return 0;
}

static int seek_overlong(struct meta_tx *tx, void *arg)
{
    static const char high[META_KEY_MAX + 10] = {[0 ... META_KEY_MAX + 9] = 'm'};
    struct str longest = str_make(high, META_KEY_MAX), longer = str_make(high, sizeof(high));
    struct meta_cursor *cur;
    struct str value;
    CHECK(meta_get(tx, longer, &value) == -ERR_NOT_FOUND);
    int r = meta_cursor_open(tx, STR_NULL, &cur);
    if (r == 0)
        r = meta_cursor_seek(cur, longer);
    if (r < 0)
        return r;
    CHECK(str_eq(meta_cursor_key(cur), STR("n")));
    r = meta_cursor_seek_before(cur, longer);
    if (r < 0)
        return r;
    CHECK(str_eq(meta_cursor_key(cur), longest));
    return 0;
}

int FIBER case_overlong_keys_are_refused_and_sought(struct conform *c)
{
    char key[META_KEY_MAX + 1];
    memset(key, 'm', sizeof(key));
    put_all(c, "n");
    CHECK(conform_put(c, BUCKET, str_make(key, META_KEY_MAX), STR("v")) == 0);
    CHECK(conform_put(c, BUCKET, str_make(key, sizeof(key)), STR("v")) == -ERR_TOO_LARGE);
    CHECK(conform_del(c, BUCKET, str_make(key, sizeof(key))) == 0);
    CHECK(meta_read(c->meta, BUCKET, seek_overlong, NULL) == 0);
    EXPECT_STR(conform_get(c, BUCKET, str_make(key, META_KEY_MAX)), "v");
    return 0;
}

int FIBER case_buckets_are_apart(struct conform *c)
{
    const uint64_t ids[] = {0, 1, 255, 256, META_BUCKET_MAX};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        struct bucket_id b = {ids[i]};
        char value[2] = {(char)('0' + i), 0};
        CHECK(conform_put(c, b, STR("k"), str_from(value)) == 0);
        CHECK(conform_put(c, b, STR(""), STR("e")) == 0);
    }
    CHECK(conform_del(c, (struct bucket_id){1}, STR("k")) == 0);
    EXPECT_STR(conform_list(c, (struct bucket_id){0}, STR_NULL), "=e k=0 ");
    EXPECT_STR(conform_list(c, (struct bucket_id){1}, STR_NULL), "=e ");
    EXPECT_STR(conform_list(c, (struct bucket_id){255}, STR_NULL), "=e k=2 ");
    EXPECT_STR(conform_list(c, (struct bucket_id){256}, STR("k")), "k=3 ");
    EXPECT_STR(conform_list(c, (struct bucket_id){META_BUCKET_MAX}, STR_NULL), "=e k=4 ");
    EXPECT_STR(conform_list(c, (struct bucket_id){2}, STR_NULL), "");
    return 0;
}

static int compare_large(struct meta_tx *tx, void *arg)
{
    struct str value, *want = arg;
    int r = meta_get(tx, STR("large"), &value);
    CHECK(r < 0 || str_eq(value, *want));
    return r;
}

int FIBER case_values_up_to_the_limit_come_back(struct conform *c)
{
    char *bytes = malloc(META_VALUE_MAX + 1);
    for (size_t i = 0; i <= META_VALUE_MAX; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    for (size_t len = 0; len <= META_VALUE_MAX; len = 3 * len + 1) {
        struct str value = str_make(bytes, len);
        CHECK(conform_put(c, BUCKET, STR("large"), value) == 0);
        CHECK(meta_read(c->meta, BUCKET, compare_large, &value) == 0);
    }
    struct str most = str_make(bytes, META_VALUE_MAX);
    CHECK(conform_put(c, BUCKET, STR("large"), most) == 0);
    CHECK(conform_put(c, BUCKET, STR("large"), str_make(bytes, META_VALUE_MAX + 1)) ==
          -ERR_TOO_LARGE);
    CHECK(meta_read(c->meta, BUCKET, compare_large, &most) == 0);
    free(bytes);
    return 0;
}

static int write_and_read(struct meta_tx *tx, void *arg)
{
    struct str before, after, gone;
    CHECK(meta_is_write(tx));
    CHECK(meta_get(tx, STR("a"), &before) == 0);
    CHECK(meta_put(tx, STR("a"), STR("2")) == 0);
    CHECK(meta_put(tx, STR("a"), STR("3")) == 0);
    CHECK(meta_get(tx, STR("a"), &after) == 0);
    CHECK(meta_del(tx, STR("b")) == 0);
    CHECK(meta_get(tx, STR("b"), &gone) == -ERR_NOT_FOUND);
    CHECK(meta_put(tx, STR("c"), STR("4")) == 0);
    CHECK(str_eq(before, STR("1")) && str_eq(after, STR("3"))); /* both still there */
    struct buf *b = arg;
    buf_reset(b);
    int r = conform_list_in(tx, STR_NULL, false, b);
    buf_put_char(b, 0);
    return r;
}

int FIBER case_own_writes_are_read(struct conform *c)
{
    struct buf b;
    buf_init(&b, 0);
    CHECK(conform_put(c, BUCKET, STR("a"), STR("1")) == 0);
    CHECK(conform_put(c, BUCKET, STR("b"), STR("1")) == 0);
    CHECK(meta_write(c->meta, BUCKET, write_and_read, &b) == 0);
    EXPECT_STR(b.data, "a=3 c=4 ");
    EXPECT_STR(conform_list(c, BUCKET, STR_NULL), "a=3 c=4 ");
    buf_release(&b);
    return 0;
}

/* Deletes every second key while walking, and puts one ahead and one behind. */
static int thin_out(struct meta_tx *tx, void *arg)
{
    struct meta_cursor *cur;
    int r = meta_cursor_open(tx, STR_NULL, &cur);
    if (r == 0)
        r = meta_cursor_seek(cur, STR_NULL);
    for (unsigned i = 0; r == 0 && meta_cursor_valid(cur); i++) {
        CHECK(i < 100);
        if (i % 2 == 0)
            CHECK(meta_del(tx, meta_cursor_key(cur)) == 0);
        if (i == 1) {
            CHECK(meta_put(tx, STR("a0"), STR("behind")) == 0);
            CHECK(meta_put(tx, STR("d0"), STR("ahead")) == 0);
        }
        r = meta_cursor_next(cur);
    }
    return r;
}

int FIBER case_cursors_see_changes_made_under_them(struct conform *c)
{
    put_all(c, "a b c d e f");
    CHECK(meta_write(c->meta, BUCKET, thin_out, NULL) == 0);
    EXPECT_STR(conform_list(c, BUCKET, STR_NULL), "a0=behind b=v d=v e=v ");
    return 0;
}

static void must_not_run(void *arg)
{
    CHECK(false);
}

static int change_and_fail(struct meta_tx *tx, void *arg)
{
    int64_t one = 1;
    CHECK(meta_put(tx, STR("a"), STR("2")) == 0);
    CHECK(meta_put(tx, STR("new"), STR("2")) == 0);
    CHECK(meta_del(tx, STR("b")) == 0);
    CHECK(meta_add(tx, STR("count"), &one, 1) == 0);
    CHECK(meta_on_commit(tx, must_not_run, NULL) == 0);
    return -ERR_PRECONDITION_FAILED;
}

int FIBER case_failing_function_leaves_nothing(struct conform *c)
{
    put_all(c, "a b");
    CHECK(meta_write(c->meta, BUCKET, change_and_fail, NULL) == -ERR_PRECONDITION_FAILED);
    EXPECT_STR(conform_list(c, BUCKET, STR_NULL), "a=v b=v ");
    put_all(c, "c");
    EXPECT_STR(conform_list(c, BUCKET, STR_NULL), "a=v b=v c=v ");
    return 0;
}

static int ignore_corrupt_counters(struct meta_tx *tx, void *arg)
{
    int64_t counters[META_COUNTERS_MAX];
    CHECK(meta_get_counters(tx, STR("a"), counters) == -ERR_CORRUPT);
    if (meta_is_write(tx))
        CHECK(meta_put(tx, STR("b"), STR("v")) == 0);
    return 0;
}

int FIBER case_ignored_error_still_fails(struct conform *c)
{
    put_all(c, "a");
    CHECK(meta_write(c->meta, BUCKET, ignore_corrupt_counters, NULL) == -ERR_CORRUPT);
    CHECK(meta_read(c->meta, BUCKET, ignore_corrupt_counters, NULL) == -ERR_CORRUPT);
    EXPECT_STR(conform_list(c, BUCKET, STR_NULL), "a=v ");
    return 0;
}

/* ---- counters ------------------------------------------------------------------------------- */

static int add(struct meta_tx *tx, void *arg)
{
    int64_t *by = arg, now[META_COUNTERS_MAX], later[META_COUNTERS_MAX];
    CHECK(meta_get_counters(tx, STR("count"), now) == 0);
    CHECK(meta_add(tx, STR("count"), by, 2) == 0);
    CHECK(meta_add(tx, STR("count"), by, 1) == 0);
    CHECK(meta_get_counters(tx, STR("count"), later) == 0);
    CHECK(memcmp(now, later, sizeof(now)) == 0); /* not visible inside this one */
    return 0;
}

static int read_counters(struct meta_tx *tx, void *arg)
{
    return meta_get_counters(tx, STR("count"), arg);
}

int FIBER case_counters_add_up(struct conform *c)
{
    int64_t by[META_COUNTERS_MAX] = {5, -3}, got[META_COUNTERS_MAX];
    CHECK(meta_read(c->meta, BUCKET, read_counters, got) == 0);
    CHECK(got[0] == 0 && got[META_COUNTERS_MAX - 1] == 0);
    for (int i = 0; i < 10; i++)
        CHECK(meta_write(c->meta, BUCKET, add, by) == 0);
    CHECK(meta_read(c->meta, BUCKET, read_counters, got) == 0);
    CHECK(got[0] == 100 && got[1] == -30 && got[2] == 0);
    conform_reopen(c);
    CHECK(meta_read(c->meta, BUCKET, read_counters, got) == 0);
    CHECK(got[0] == 100 && got[1] == -30 && got[2] == 0);
    CHECK(conform_del(c, BUCKET, STR("count")) == 0);
    CHECK(meta_read(c->meta, BUCKET, read_counters, got) == 0);
    CHECK(got[0] == 0);
    return 0;
}

/* ---- a model -------------------------------------------------------------------------------- */

#define MODEL_KEYS 32

struct model {
    uint32_t seed; /* of this transaction */
    unsigned value[MODEL_KEYS], next[MODEL_KEYS];
};

static uint32_t draw(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static struct str model_key(unsigned i, char buf[4])
{
    return str_make(buf, (size_t)snprintf(buf, 4, "%c%u", 'a' + (int)(i / 8), i % 8));
}

static int model_find(const struct model *m, int at, int by)
{
    for (at += by; at >= 0 && at < MODEL_KEYS && m->next[at] == 0;)
        at += by;
    return at;
}

static void model_expect_at(const struct model *m, struct meta_cursor *cur, int at)
{
    char key[4], value[12];
    CHECK(meta_cursor_valid(cur) == (at >= 0 && at < MODEL_KEYS));
    if (!meta_cursor_valid(cur))
        return;
    snprintf(value, sizeof(value), "%u", m->next[at]);
    CHECK(str_eq(meta_cursor_key(cur), model_key((unsigned)at, key)));
    CHECK(str_eq(meta_cursor_value(cur), str_from(value)));
}

/* One move of the cursor; returns where the model says it stands. */
static int model_move(const struct model *m, struct meta_cursor *cur, int at, uint32_t *seed)
{
    char key[4];
    unsigned to = draw(seed) % MODEL_KEYS;
    switch (meta_cursor_valid(cur) ? draw(seed) % 6 : draw(seed) % 2) {
    case 0:
        CHECK(meta_cursor_seek(cur, model_key(to, key)) == 0);
        return model_find(m, (int)to - 1, 1);
    case 1:
        CHECK(meta_cursor_seek_before(cur, model_key(to, key)) == 0);
        return model_find(m, (int)to, -1);
    case 2:
    case 3:
        CHECK(meta_cursor_next(cur) == 0);
        return model_find(m, at, 1);
    default:
        CHECK(meta_cursor_prev(cur) == 0);
        return model_find(m, at, -1);
    }
}

static void model_change(struct model *m, struct meta_tx *tx, uint32_t *seed)
{
    char key[4], value[12];
    unsigned i = draw(seed) % MODEL_KEYS;
    m->next[i] = draw(seed) % 3 ? 1 + draw(seed) % 1000 : 0;
    snprintf(value, sizeof(value), "%u", m->next[i]);
    CHECK((m->next[i] ? meta_put(tx, model_key(i, key), str_from(value))
                      : meta_del(tx, model_key(i, key))) == 0);
}

/* Starts afresh each time it is run. */
static int model_run(struct meta_tx *tx, void *arg)
{
    struct model *m = arg;
    struct meta_cursor *cur;
    uint32_t seed = m->seed;
    memcpy(m->next, m->value, sizeof(m->next));
    int r = meta_cursor_open(tx, STR_NULL, &cur);
    if (r == 0)
        r = meta_cursor_seek(cur, STR_NULL);
    if (r < 0)
        return r;
    int at = model_find(m, -1, 1);
    for (int i = 0; i < 40; i++) {
        model_expect_at(m, cur, at);
        if (meta_is_write(tx) && draw(&seed) % 3 == 0)
            model_change(m, tx, &seed);
        at = model_move(m, cur, at, &seed);
    }
    return draw(&seed) % 4 ? 0 : -ERR_CONFLICT;
}

int FIBER case_random_transactions_agree_with_a_model(struct conform *c)
{
    struct model m = {0};
    for (uint32_t round = 1; round <= 400; round++) {
        m.seed = round;
        int r = meta_write(c->meta, BUCKET, model_run, &m);
        CHECK(r == 0 || r == -ERR_CONFLICT);
        if (r == 0)
            memcpy(m.value, m.next, sizeof(m.value));
        r = meta_read(c->meta, BUCKET, model_run, &m);
        CHECK(r == 0 || r == -ERR_CONFLICT);
        if (round % 100 == 0)
            conform_reopen(c);
    }
    return 0;
}
