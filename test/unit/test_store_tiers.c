/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Classes over an object's life: transitions that are cut short, beaten by a write, or meet damage;
 * restores, and rows of theirs that a crash left behind. */

#include "store_help.h"
#include "store/upkeep/tiers.h"

static const struct store_class classes[] = {
    {.name = "COLD", .code = {2 << 8 | 1}},
    {.name = "GLACIER", .code = {2 << 8 | 1}, .archive = true},
};

static struct store_object look(struct store_home *h, const char *key)
{
    struct store_reader *r;
    assert_int_equal(store_get(h->store, h->bucket, str_from(key), STORE_CURRENT, NULL, &r), 0);
    struct store_object o = *store_reader_object(r);
    o.attrs.storage_class = arena_dup(&h->arena, o.attrs.storage_class);
    store_reader_close(r);
    return o;
}

/* Two chunks: the second is the end that was not known. */
static void put_two(struct store_home *h, const char *key, unsigned seed)
{
    struct store_writer *w;
    struct str data = bytes_of(h, 150000, seed);
    struct store_attrs attrs = {.owner = STR("owner")};
    struct store_etag etag = etag_of(data);
    struct store_written written;
    assert_int_equal(store_put_begin_open(h->store, h->bucket, str_from(key), 100000, 160000, &w),
                     0);
    assert_int_equal(store_write(w, data.ptr, data.len), 0);
    assert_int_equal(store_put_commit(w, &attrs, &etag, NULL, NULL, &written), 0);
}

/* The classes of its chunks, as a text of '0' and '1': moved. */
struct chunks {
    struct store_home *home;
    char text[16];
    size_t count;
    uint16_t class;
};
static int count_chunk(const struct store_place *p, const struct blob_chunk *c, void *arg)
{
    struct chunks *n = arg;
    n->text[n->count++] = c->class.n == n->class ? '1' : '0';
    return 0;
}
static const char *moved(struct store_home *h, const char *key)
{
    struct chunks *n = arena_new(&h->arena, struct chunks);
    *n = (struct chunks){.home = h, .class = classes[0].code.n};
    assert_int_equal(store_object_chunks(h->store, h->bucket, str_from(key), count_chunk, n), 0);
    return n->text;
}

static struct store_transition to(struct store_home *h, const char *key, const char *class)
{
    return (struct store_transition){.key = str_from(key),
                                     .version = STORE_CURRENT,
                                     .seq = look(h, key).seq,
                                     .class = str_from(class)};
}

static int move(struct store_home *h, const struct store_transition *t)
{
    return store_transition(h->store, h->bucket, t, NULL, NULL);
}

static void three_disks(struct store_home *h)
{
    home_more_disk(h);
    home_more_disk(h);
    h->config.classes = classes;
    h->config.class_count = ARRAY_LEN(classes);
    home_close(h);
    home_open(h);
}

CASE(an_object_moves_and_stays_what_it_was)
{
    static const size_t lens[] = {0, 100, 3000, 50000, 600000};
    three_disks(h);
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        struct str data = bytes_of(h, lens[i], (unsigned)i);
        put(h, STR("k"), data);
        struct store_object before = look(h, "k");
        struct store_transition t = to(h, "k", "COLD");
        assert_int_equal(move(h, &t), 0);
        struct store_object after = look(h, "k");
        assert_true(str_eq(after.attrs.storage_class, STR("COLD")));
        assert_true(after.seq == before.seq && after.mtime_ms == before.mtime_ms &&
                    after.null_version &&
                    memcmp(&after.etag, &before.etag, sizeof(after.etag)) == 0);
        assert_int_equal(strspn(moved(h, "k"), "1"), strlen(moved(h, "k")));
        expect(h, STR("k"), data);
        assert_int_equal(move(h, &t), 0); /* again: nothing to do */
    }
    while (collect_all(h))
        ;
    assert_int_equal(home_chunks(h), 3); /* one chunk of 2+1, and nothing else */
    expect(h, STR("k"), bytes_of(h, 600000, 4));
}

static int stop(uint64_t bytes, void *arg)
{
    return -ECANCELED;
}

CASE(a_move_goes_on_where_it_ended)
{
    three_disks(h);
    put_two(h, "k", 7);
    struct store_transition t = to(h, "k", "COLD");
    assert_string_equal(moved(h, "k"), "00");
    assert_int_equal(store_transition(h->store, h->bucket, &t, stop, NULL), -ECANCELED);
    assert_string_equal(moved(h, "k"), "10");
    assert_int_equal(look(h, "k").attrs.storage_class.len, 0);
    expect(h, STR("k"), bytes_of(h, 150000, 7));
    home_close(h);
    home_open(h);
    assert_int_equal(move(h, &t), 0);
    assert_string_equal(moved(h, "k"), "11");
    expect(h, STR("k"), bytes_of(h, 150000, 7));
}

static int say_class(const struct store_object *o, struct store_attrs *attrs, void *arg)
{
    attrs->storage_class = str_from(arg);
    return 0;
}
static int onto_itself(struct store_home *h, const char *class)
{
    struct store_written w;
    return store_change_attrs(h->store, h->bucket, STR("k"), STORE_CURRENT, NULL, true, say_class,
                              (void *)(uintptr_t) class, &w);
}

CASE(a_write_of_attributes_names_no_class_that_the_bytes_are_not_of)
{
    three_disks(h);
    put_two(h, "k", 7);
    struct store_transition t = to(h, "k", "COLD");
    assert_int_equal(store_transition(h->store, h->bucket, &t, stop, NULL), -ECANCELED);
    assert_int_equal(onto_itself(h, ""), -ERR_BUCKET_STATE);
    assert_int_equal(onto_itself(h, "COLD"), -ERR_BUCKET_STATE);
    assert_int_equal(move(h, &t), 0);
    assert_int_equal(onto_itself(h, ""), -ERR_BUCKET_STATE);
    assert_int_equal(onto_itself(h, "COLD"), 0);
    expect(h, STR("k"), bytes_of(h, 150000, 7));
}

struct beaten {
    struct store_home *home;
    bool remove;
};
static int FIBER write_between(uint64_t bytes, void *arg)
{
    struct beaten *b = arg;
    bool existed;
    if (b->remove)
        return store_delete(b->home->store, b->home->bucket, STR("k"), NULL, &existed);
    put(b->home, STR("k"), bytes_of(b->home, 60000, 9));
    return 0;
}

CASE(a_write_meanwhile_wins)
{
    three_disks(h);
    for (int remove = 0; remove < 2; remove++) {
        struct beaten b = {h, remove};
        put_two(h, "k", 7);
        struct store_transition t = to(h, "k", "COLD");
        assert_int_equal(store_transition(h->store, h->bucket, &t, write_between, &b),
                         remove ? -ERR_NO_SUCH_KEY : -ERR_PRECONDITION_FAILED);
        if (!remove) {
            assert_int_equal(look(h, "k").attrs.storage_class.len, 0);
            expect(h, STR("k"), bytes_of(h, 60000, 9));
        }
    }
    while (collect_all(h))
        ;
    assert_int_equal(home_chunks(h), 0);
}

/* A bit turns over in each shard, where it lies. */
static int flip_shards(const struct store_place *p, const struct blob_chunk *c, void *arg)
{
    struct store_home *h = arg;
    for (unsigned i = 0; i < c->shard_count; i++) {
        const struct blob_shard *s = &c->shards[i];
        char path[160];
        snprintf(path, sizeof(path), "%s/volumes/%08u.vol",
                 s->disk ? h->more[s->disk - 1].path : h->path, s->where.volume);
        FILE *f = fopen(path, "r+");
        assert_non_null(f);
        assert_int_equal(fseek(f, (long)s->where.offset + 5000, SEEK_SET), 0);
        int byte = fgetc(f);
        assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
        assert_int_equal(fputc(byte ^ 16, f), byte ^ 16);
        assert_int_equal(fclose(f), 0);
    }
    return 0;
}

CASE(what_cannot_be_read_stays_and_is_queued)
{
    struct store_stats before, after;
    three_disks(h);
    put(h, STR("k"), bytes_of(h, 50000, 1));
    struct store_transition t = to(h, "k", "COLD");
    assert_int_equal(store_object_chunks(h->store, h->bucket, STR("k"), flip_shards, h), 0);
    store_stats(h->store, &before);
    assert_int_equal(move(h, &t), -ERR_CORRUPT);
    store_stats(h->store, &after);
    assert_true(after.repairs_queued > before.repairs_queued);
    assert_int_equal(look(h, "k").attrs.storage_class.len, 0);
    t.class = STR("NOSUCH");
    assert_int_equal(move(h, &t), -ERR_INVALID_STORAGE_CLASS);
}

/* After the next start the record may name them. */
CASE(a_move_whose_outcome_is_not_known_keeps_what_it_wrote)
{
    three_disks(h);
    put(h, STR("k"), bytes_of(h, 50000, 1));
    struct store_transition t = to(h, "k", "COLD");
    size_t before = home_chunks(h);
    kv_mem_set_full(h->content, true);
    kv_mem_refuse_writes(h->content, 1, -ENOSPC);
    assert_int_equal(move(h, &t), -ENOSPC);
    assert_int_equal(home_chunks(h), before);
    kv_mem_set_full(h->content, false);
    kv_mem_fail_syncs(h->content, 1, -EIO);
    assert_int_equal(move(h, &t), -EIO);
    assert_int_equal(home_chunks(h), before + 2);
}

/* ---- versions ------------------------------------------------------------------------------- */

CASE(a_version_moves_while_it_is_superseded)
{
    three_disks(h);
    assert_int_equal(store_bucket_set_versioning(h->store, h->bucket, STORE_VERSIONING_ENABLED), 0);
    put(h, STR("k"), bytes_of(h, 50000, 1));
    struct store_transition t = to(h, "k", "COLD");
    t.version = (struct store_version_ref){.kind = STORE_VERSION_SEQ, .seq = t.seq};
    t.superseded = true;
    assert_int_equal(move(h, &t), -ERR_PRECONDITION_FAILED);
    put(h, STR("k"), bytes_of(h, 50000, 2));
    assert_int_equal(move(h, &t), 0);
    assert_int_equal(look(h, "k").attrs.storage_class.len, 0);
    struct store_deletion d = {.key = STR("k"),
                               .version = {.kind = STORE_VERSION_SEQ, .seq = look(h, "k").seq}};
    assert_int_equal(store_delete_many(h->store, h->bucket, &d, 1, NULL), 0);
    assert_true(str_eq(look(h, "k").attrs.storage_class, STR("COLD")));
    expect(h, STR("k"), bytes_of(h, 50000, 1));
}

/* So many newer ones are to be kept, and some of them went after the page was judged. */
CASE(a_version_goes_only_with_enough_before_it)
{
    struct store_version_ref ids[5];
    assert_int_equal(store_bucket_set_versioning(h->store, h->bucket, STORE_VERSIONING_ENABLED), 0);
    for (unsigned i = 0; i < ARRAY_LEN(ids); i++) {
        put(h, STR("k"), STR("x"));
        ids[i] = (struct store_version_ref){.kind = STORE_VERSION_SEQ, .seq = look(h, "k").seq};
    }
    struct store_conditions judged = {
        .has_seq = true, .seq = ids[0].seq, .superseded = true, .newer = 3};
    struct store_deletion other = {.key = STR("k"), .version = ids[2]};
    struct store_deletion d = {.key = STR("k"), .version = ids[0], .conditions = &judged};
    assert_int_equal(store_delete_many(h->store, h->bucket, &other, 1, NULL), 0);
    assert_int_equal(store_delete_many(h->store, h->bucket, &d, 1, NULL), 0);
    assert_int_equal(d.result, -ERR_PRECONDITION_FAILED);
    struct store_deletion marker = {.key = STR("k"), .version = STORE_CURRENT}; /* the newest now */
    assert_int_equal(store_delete_many(h->store, h->bucket, &marker, 1, NULL), 0);
    assert_int_equal(store_delete_many(h->store, h->bucket, &d, 1, NULL), 0);
    assert_int_equal(d.result, 0);
    assert_true(d.existed);
}

/* ---- restores ------------------------------------------------------------------------------- */

static struct store_restore_row *due(struct store_home *h, uint64_t now_ms, size_t expected)
{
    struct store_restore_row *rows;
    size_t count;
    assert_int_equal(store_restores_due(h->store, &h->arena, now_ms, 10, &rows, &count), 0);
    assert_int_equal(count, expected);
    return rows;
}

static int ask(struct store_home *h, uint64_t until_ms, enum store_rank rank, bool *ret_there)
{
    struct store_restoring what = {
        .key = STR("k"), .version = STORE_CURRENT, .days = 3, .rank = rank, .until_ms = until_ms};
    return store_restore(h->store, h->bucket, &what, ret_there);
}

CASE(a_restore_has_its_time)
{
    bool there, ended;
    uint64_t now = rt_wall_ms(), later = now + 1000000;
    three_disks(h);
    put(h, STR("k"), bytes_of(h, 50000, 1));
    struct store_transition t = to(h, "k", "GLACIER");
    assert_int_equal(ask(h, later, STORE_BULK, &there), -ERR_NOT_ARCHIVED);
    assert_int_equal(move(h, &t), 0);
    struct store_object o = look(h, "k");
    assert_false(store_is_readable(h->store, &o));
    assert_int_equal(ask(h, later, STORE_BULK, &there), 0);
    assert_false(there);
    assert_int_equal(ask(h, later, STORE_BULK, &there), -ERR_RESTORING);
    home_close(h);
    home_open(h); /* it is not forgotten */
    struct store_restore_row row = *due(h, later, 1);
    assert_true(row.days == 3 && row.rank == STORE_BULK && str_eq(row.key, STR("k")));
    assert_int_equal(store_restore_read(h->store, &row, NULL, NULL), 0);
    assert_int_equal(store_restore_done(h->store, &row, later, NULL), 0);
    o = look(h, "k");
    assert_true(store_is_readable(h->store, &o) && o.attrs.restore.until_ms == later);
    due(h, later - 1, 0);
    assert_int_equal(ask(h, later + 5, STORE_BULK, &there), 0); /* for longer */
    assert_true(there);
    row = *due(h, later, 1);
    assert_int_equal(store_restore_end(h->store, &row, later, NULL, &ended), 0);
    assert_false(ended);
    row = *due(h, later + 5, 1);
    assert_int_equal(store_restore_end(h->store, &row, later + 5, NULL, &ended), 0);
    assert_true(ended);
    due(h, UINT64_MAX - 1, 0);
    o = look(h, "k");
    assert_false(store_is_readable(h->store, &o));
}

CASE(a_row_without_its_object_goes)
{
    bool there, existed;
    three_disks(h);
    put(h, STR("k"), bytes_of(h, 50000, 1));
    struct store_transition t = to(h, "k", "GLACIER");
    assert_int_equal(move(h, &t), 0);
    assert_int_equal(ask(h, 0, STORE_EXPEDITED, &there), 0);
    assert_int_equal(store_delete(h->store, h->bucket, STR("k"), NULL, &existed), 0);
    struct store_restore_row row = *due(h, rt_wall_ms() + 1, 1);
    assert_int_equal(store_restore_read(h->store, &row, NULL, NULL), -ERR_NOT_FOUND);
    assert_int_equal(store_restore_drop(h->store, &row), 0);
    due(h, UINT64_MAX - 1, 0);
}

CASE(classes_are_named_with_what_they_are)
{
    struct store_class c;
    assert_int_equal(store_class_parse(STR("GLACIER=4+2,archive"), &c), 0);
    assert_true(c.archive && c.code.n == (4 << 8 | 2));
    assert_int_equal(store_class_parse(STR("COLD=4+2"), &c), 0);
    assert_false(c.archive);
    assert_int_equal(store_class_parse(STR("COLD=4+2,"), &c), -EINVAL);
    assert_int_equal(store_class_parse(STR("COLD=4+2,archived"), &c), -EINVAL);
    assert_int_equal(store_class_parse(STR("COLD=4+2,archive,x"), &c), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_moves_and_stays_what_it_was),
        cmocka_unit_test(a_move_goes_on_where_it_ended),
        cmocka_unit_test(a_write_of_attributes_names_no_class_that_the_bytes_are_not_of),
        cmocka_unit_test(a_write_meanwhile_wins),
        cmocka_unit_test(what_cannot_be_read_stays_and_is_queued),
        cmocka_unit_test(a_move_whose_outcome_is_not_known_keeps_what_it_wrote),
        cmocka_unit_test(a_version_moves_while_it_is_superseded),
        cmocka_unit_test(a_version_goes_only_with_enough_before_it),
        cmocka_unit_test(a_restore_has_its_time),
        cmocka_unit_test(a_row_without_its_object_goes),
        cmocka_unit_test(classes_are_named_with_what_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
