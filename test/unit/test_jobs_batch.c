/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Batch jobs in virtual time, over a door that fails and forgets: each line is done once. */

#include "farm_help.h"
#include <zlib.h>
#include "base/encode.h"
#include "base/md5.h"
#include "jobs/batch/batch.h"
#include "jobs/objects.h"
#include "store/steps.h"

#define LINES 1201 /* of the long manifest: steps, and one more */
#define HOUR  (3600 * RT_S)

/* The door: a manifest in memory, steps without rights, reports that are kept. */
struct door {
    struct farm *farm;
    struct buf manifest, files[2]; /* files: of an inventory, "0.csv" and "1.csv" */
    uint64_t seq;                  /* of the manifest */
    uint64_t chance;               /* of failures; 0: none */
    int put_error;                 /* of the report */
    uint64_t steps;                /* that were asked for */
    uint64_t again;                /* of them, done before */
    bool user_gone;
    unsigned lose;     /* 1: the outcome of the next step; 2: it was */
    bool shy, away;    /* shy: after the first step 1.csv is away for one try, and `lose` is 1 */
    struct buf report; /* all results, end to end */
    unsigned results, manifests;
};

/* One in four; the outcome of what was done is lost as well as what was not begun. */
static bool fails(struct door *d)
{
    if (!d->chance)
        return false;
    d->chance = d->chance * 6364136223846793005ULL + 1442695040888963407ULL;
    return (d->chance >> 40) % 4 == 0;
}

static const struct buf *object_of(const struct door *d, struct str key)
{
    return str_eq(key, STR("0.csv"))   ? &d->files[0]
           : str_eq(key, STR("1.csv")) ? &d->files[1]
                                       : &d->manifest;
}

static int door_read(void *arg, const struct jobs_reading *what, jobs_object_sink *sink,
                     void *sink_arg, struct jobs_object *ret)
{
    struct door *d = arg;
    if (what->seq && what->seq != d->seq)
        return -ERR_CONFLICT;
    if (d->away && str_eq(what->key, STR("1.csv"))) {
        d->away = false;
        return -EIO;
    }
    if (fails(d))
        return -EIO;
    const struct buf *o = object_of(d, what->key);
    *ret = (struct jobs_object){.seq = d->seq, .len_bytes = o->len};
    struct str rest = str_from_offset(buf_str(o), MIN(what->off, o->len));
    struct str piece = str_prefix(rest, MIN(what->len, rest.len));
    return piece.len ? sink(piece.ptr, piece.len, sink_arg) : 0;
}

static int door_put(void *arg, const struct jobs_actor *who, const struct jobs_writing *what,
                    struct str data)
{
    struct door *d = arg;
    bool result = str_ends(what->key, STR(".csv"));
    if (d->put_error)
        return d->put_error;
    assert_true(str_eq(what->bucket, STR("reports")));
    if (result)
        buf_put_str(&d->report, data);
    d->results += result;
    d->manifests += !result;
    return 0;
}

static int door_judge(void *arg, struct str user, const char *action, struct str bucket,
                      struct str key)
{
    const struct door *d = arg;
    return d->user_gone && str_eq(key, STR("0.csv")) ? -ERR_NOT_FOUND : 0;
}

static int door_tags(void *arg, struct str tags)
{
    return 0;
}

static int door_batch(void *arg, const struct batch_state *s, struct batch_step *step)
{
    static struct store_step_item items[BATCH_STEP];
    struct door *d = arg;
    struct store_step one = {
        .work = s->id, .number = step->number, .items = items, .count = step->count};
    d->steps++;
    if (d->user_gone)
        return -ERR_NOT_FOUND;
    if (!str_eq(step->bucket, STR("bucket")))
        return -ERR_NO_SUCH_BUCKET;
    if (fails(d))
        return -EIO;
    for (size_t i = 0; i < step->count; i++)
        items[i] = (struct store_step_item){.key = step->items[i].key};
    int r = store_step_run(d->farm->store, d->farm->bucket, &one);
    d->again += r == 0 && one.again;
    for (size_t i = 0; r == 0 && i < step->count; i++)
        step->items[i].err = items[i].result;
    if (d->lose == 1) {
        d->lose = 2;
        return -EIO;
    }
    if (d->shy && d->steps == 1) {
        d->away = true;
        d->lose = 1;
    }
    return r == 0 && fails(d) ? -EIO : r;
}

/* ---- help ----------------------------------------------------------------------------------- */

static void open_door(struct farm *f, struct door *d)
{
    const struct jobs_objects objects = {.read = door_read,
                                         .put = door_put,
                                         .judge = door_judge,
                                         .batch_tags = door_tags,
                                         .batch = door_batch,
                                         .arg = d};
    farm_start_jobs(f);
    jobs_set_objects(f->jobs, &objects);
}

static void close_door(struct farm *f)
{
    jobs_set_objects(f->jobs, NULL);
    jobs_stop(TAKE_PTR(f->jobs));
}

static void begin(struct farm *f, struct door *d)
{
    *d = (struct door){.farm = f, .seq = 7};
    buf_init(&d->manifest, 0);
    buf_init(&d->report, 0);
    buf_init(&d->files[0], 0);
    buf_init(&d->files[1], 0);
    open_door(f, d);
}

static void end(struct farm *f, struct door *d)
{
    if (f->jobs)
        close_door(f);
    buf_release(&d->manifest);
    buf_release(&d->report);
    buf_release(&d->files[0]);
    buf_release(&d->files[1]);
}

static void put_keys(struct buf *b, const char *bucket, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        buf_printf(b, "%s,k%05u\n", bucket, i);
}

static void name_keys(struct door *d, const char *bucket, unsigned from, unsigned to)
{
    put_keys(&d->manifest, bucket, from, to);
}

/* In its place the same, compressed. */
static void compress_file(struct buf *b)
{
    z_stream z = {.next_in = (unsigned char *)b->data, .avail_in = (unsigned)b->len};
    struct buf out;
    buf_init(&out, 0);
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.avail_out = (unsigned)deflateBound(&z, b->len);
    z.next_out = (unsigned char *)buf_reserve(&out, z.avail_out);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out.len = z.total_out;
    (void)deflateEnd(&z);
    buf_release(b);
    *b = out;
}

static void name_files(struct door *d)
{
    buf_put_cstr(&d->manifest, "{\"destinationBucket\":\"lists\",\"fileFormat\":\"CSV\","
                               "\"fileSchema\":\"Bucket, Key\",\"files\":[");
    for (unsigned i = 0; i < 2; i++) {
        uint8_t md5[16];
        char hex[33] = {0};
        md5_of(buf_str(&d->files[i]), md5);
        hex_encode(md5, sizeof(md5), hex);
        buf_printf(&d->manifest, "%s{\"key\":\"%u.csv\",\"size\":%zu,\"MD5checksum\":\"%s\"}",
                   i ? "," : "", i, d->files[i].len, hex);
    }
    buf_put_cstr(&d->manifest, "]}");
}

static int start_of(struct farm *f, struct str key, struct str report, uint64_t *ret_id)
{
    char why[BATCH_WHY_MAX];
    const struct batch_request q = {.action = BATCH_DELETE,
                                    .manifest_bucket = STR("lists"),
                                    .manifest_key = key,
                                    .report_bucket = report,
                                    .rate = 400,
                                    .user = STR("root")};
    return jobs_batch_start(f->jobs, &q, ret_id, why);
}

static int start(struct farm *f, struct str report, uint64_t *ret_id)
{
    return start_of(f, STR("list.csv"), report, ret_id);
}

static uint64_t started(struct farm *f)
{
    uint64_t id = 0;
    assert_int_equal(start(f, STR("reports"), &id), 0);
    return id;
}

static struct batch_state state_of(struct farm *f, uint64_t id)
{
    static struct batch_state s;
    assert_int_equal(jobs_batch_get(f->jobs, id, &s), 0);
    return s;
}

static struct batch_state ended(struct farm *f, uint64_t id)
{
    WAIT_UNTIL(batch_is_over(state_of(f, id).phase), HOUR);
    return state_of(f, id);
}

/* Of all keys together. */
static size_t count_markers(struct farm *f)
{
    struct store_versions_query q = {.max = 1000};
    struct store_versions_page page = {.truncated = true};
    size_t markers = 0;
    while (page.truncated) {
        assert_int_equal(store_list_versions(f->store, &f->d.arena, f->bucket, &q, &page), 0);
        for (size_t i = 0; i < page.count; i++)
            markers += page.entries[i].object.delete_marker;
        if (page.count)
            q.after = page.entries[page.count - 1].object.key;
    }
    return markers;
}

static size_t count_lines(const struct buf *b)
{
    size_t lines = 0;
    for (size_t i = 0; i < b->len; i++)
        lines += b->data[i] == '\n';
    return lines;
}

static int step_rows_tx(struct meta_tx *tx, void *arg)
{
    return rows_any(tx, KEY_STEPS, arg);
}

static bool has_step_rows(struct farm *f)
{
    bool any = false;
    assert_int_equal(meta_read(f->meta, f->bucket, step_rows_tx, &any), 0);
    return any;
}

static void versioned(struct farm *f)
{
    assert_int_equal(store_bucket_set_versioning(f->store, f->bucket, STORE_VERSIONING_ENABLED), 0);
}

static bool says(const struct batch_state *s, const char *words)
{
    return str_find(str_make(s->why, s->why_len), str_from(words), 0) >= 0;
}

/* ---- cases ---------------------------------------------------------------------------------- */

FARM_CASE(every_line_is_done_and_reported, 1)
{
    struct door d;
    begin(f, &d);
    versioned(f);
    farm_put(f, "k00000", 100, 1);
    name_keys(&d, "bucket", 0, 250);
    name_keys(&d, "elsewhere", 0, 3);
    name_keys(&d, "bucket", 250, 300);
    struct batch_state s = ended(f, started(f));
    assert_int_equal(s.phase, BATCH_DONE);
    assert_int_equal(s.total, 303);
    assert_int_equal(s.done, 300);
    assert_int_equal(s.failed, 3);
    assert_int_equal(count_markers(f), 300);
    assert_int_equal(count_lines(&d.report), 303);
    assert_int_equal(d.results, 1);
    assert_int_equal(d.manifests, 1);
    assert_false(has_step_rows(f));
    assert_non_null(strstr(d.report.data, "bucket,k00299,,succeeded,,204,Successful\n"));
    assert_non_null(strstr(d.report.data, "elsewhere,k00002,,failed,NoSuchBucket,404,"));
    end(f, &d);
}

/* Lives of any length, until the job is over; then each line was done once. */
static void live_on(struct farm *f, struct door *d, uint64_t id)
{
    uint64_t x = 5;
    unsigned lives = 0;
    d->chance = 3;
    while (!batch_is_over(state_of(f, id).phase)) {
        x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        assert_true(++lives < 5000);
        pass_time((x >> 40) % 1500 * RT_MS);
        close_door(f);
        if (x & 1ULL << 33)
            farm_restart(f);
        open_door(f, d);
    }
    struct batch_state s = state_of(f, id);
    assert_int_equal(s.phase, BATCH_DONE);
    assert_int_equal(s.done, LINES);
    assert_int_equal(count_markers(f), LINES);
    assert_int_equal(count_lines(&d->report), LINES);
    assert_true(d->again > 3 && lives > 3);
    assert_false(has_step_rows(f));
}

FARM_CASE(lives_of_any_length_do_each_line_once, 1)
{
    struct door d;
    begin(f, &d);
    versioned(f);
    name_keys(&d, "bucket", 0, LINES);
    live_on(f, &d, started(f));
    end(f, &d);
}

FARM_CASE(an_inventorys_files_are_gone_on_with_compressed_or_not, 1)
{
    struct door d;
    uint64_t id = 0;
    begin(f, &d);
    versioned(f);
    put_keys(&d.files[0], "bucket", 0, LINES / 2);
    put_keys(&d.files[1], "bucket", LINES / 2, LINES);
    compress_file(&d.files[0]);
    name_files(&d);
    assert_int_equal(start_of(f, STR("inv/manifest.json"), STR("reports"), &id), 0);
    live_on(f, &d, id);
    end(f, &d);
}

FARM_CASE(a_step_is_of_all_its_lines_though_a_file_is_away_for_a_while, 1)
{
    struct door d;
    uint64_t id = 0;
    begin(f, &d);
    versioned(f);
    put_keys(&d.files[0], "bucket", 0, 30); /* the second step has lines of both */
    put_keys(&d.files[1], "bucket", 30, 60);
    name_files(&d);
    d.shy = true;
    assert_int_equal(start_of(f, STR("inv/manifest.json"), STR("reports"), &id), 0);
    struct batch_state s = ended(f, id);
    assert_false(d.away);
    assert_int_equal(d.lose, 2);
    assert_int_equal(s.phase, BATCH_DONE);
    assert_int_equal(s.done, 60);
    assert_int_equal(count_markers(f), 60);
    assert_int_equal(count_lines(&d.report), 60);
    end(f, &d);
}

FARM_CASE(a_file_that_is_not_what_the_inventory_says_ends_it, 1)
{
    struct door d;
    uint64_t id = 0;
    begin(f, &d);
    put_keys(&d.files[0], "bucket", 0, 10);
    put_keys(&d.files[1], "bucket", 10, 20);
    name_files(&d);
    d.files[1].data[9] ^= 1;
    assert_int_equal(start_of(f, STR("inv/manifest.json"), STR("reports"), &id), 0);
    struct batch_state s = ended(f, id);
    assert_int_equal(s.phase, BATCH_FAILED);
    assert_true(says(&s, "1.csv"));
    assert_int_equal(d.steps, 0);
    end(f, &d);
}

FARM_CASE(a_bad_line_fails_before_anything_is_done, 1)
{
    struct door d;
    begin(f, &d);
    versioned(f);
    name_keys(&d, "bucket", 0, 3000);
    buf_put_cstr(&d.manifest, "bucket\n");
    struct batch_state s = ended(f, started(f));
    assert_int_equal(s.phase, BATCH_FAILED);
    assert_true(says(&s, "line 3001"));
    assert_int_equal(d.steps, 0);
    assert_int_equal(count_markers(f), 0);
    assert_int_equal(d.manifests, 0);
    end(f, &d);
}

FARM_CASE(a_manifest_that_changes_ends_it_and_what_was_done_is_reported, 1)
{
    struct door d;
    begin(f, &d);
    versioned(f);
    name_keys(&d, "bucket", 0, 30000); /* more than a piece */
    uint64_t id = started(f);
    WAIT_UNTIL(state_of(f, id).done > 0, HOUR);
    d.seq = 8;
    struct batch_state s = ended(f, id);
    assert_int_equal(s.phase, BATCH_FAILED);
    assert_true(says(&s, "not the object that it was"));
    assert_true(s.done < 30000 && count_markers(f) == s.done);
    assert_int_equal(count_lines(&d.report), s.done);
    assert_int_equal(d.manifests, 1);
    end(f, &d);
}

FARM_CASE(who_is_gone_does_nothing_more, 1)
{
    struct door d;
    begin(f, &d);
    name_keys(&d, "bucket", 0, 10);
    d.user_gone = true;
    struct batch_state s = ended(f, started(f));
    assert_int_equal(s.phase, BATCH_FAILED);
    assert_true(says(&s, "no user root"));
    end(f, &d);
}

FARM_CASE(who_is_gone_reads_no_file_of_an_inventory, 1)
{
    struct door d;
    uint64_t id = 0;
    begin(f, &d);
    put_keys(&d.files[0], "bucket", 0, 10);
    put_keys(&d.files[1], "bucket", 10, 20);
    name_files(&d);
    d.user_gone = true;
    assert_int_equal(start_of(f, STR("inv/manifest.json"), STR("reports"), &id), 0);
    struct batch_state s = ended(f, id);
    assert_int_equal(s.phase, BATCH_FAILED);
    assert_true(says(&s, "no user root"));
    assert_int_equal(d.steps, 0);
    end(f, &d);
}

FARM_CASE(a_report_that_cannot_be_written_is_told_of, 1)
{
    struct door d;
    begin(f, &d);
    name_keys(&d, "bucket", 0, 10);
    d.put_error = -ERR_ACCESS_DENIED;
    struct batch_state s = ended(f, started(f));
    assert_int_equal(s.phase, BATCH_FAILED);
    assert_int_equal(s.done, 10);
    assert_true(says(&s, "the report cannot be written"));
    assert_false(has_step_rows(f));
    end(f, &d);
}

FARM_CASE(they_wait_for_one_another_and_can_be_cancelled, 1)
{
    struct door d;
    begin(f, &d);
    versioned(f);
    name_keys(&d, "bucket", 0, 9000);
    uint64_t first = started(f), second = started(f), ids[BATCH_LISTED_MAX];
    assert_true(second > first);
    WAIT_UNTIL(state_of(f, first).done > 0, HOUR);
    assert_int_equal(state_of(f, second).phase, BATCH_WAITING);
    assert_int_equal(jobs_batch_cancel(f->jobs, second), 0);
    assert_int_equal(state_of(f, second).phase, BATCH_CANCELLED);
    /* After a restart the step that was done without anybody knowing is told of first. */
    d.lose = 1;
    WAIT_UNTIL(d.lose == 2, HOUR);
    close_door(f);
    farm_restart(f);
    open_door(f, &d);
    assert_int_equal(jobs_batch_cancel(f->jobs, first), 0);
    struct batch_state s = state_of(f, first);
    assert_int_equal(s.phase, BATCH_CANCELLED);
    assert_true(s.done > 0 && s.done < 9000 && count_markers(f) == s.done);
    assert_int_equal(count_lines(&d.report), s.done);
    assert_false(has_step_rows(f));
    assert_int_equal(jobs_batch_cancel(f->jobs, first), -ERR_CONFLICT);
    assert_int_equal(jobs_batch_cancel(f->jobs, 17), -ERR_NOT_FOUND);
    assert_int_equal(jobs_batch_list(f->jobs, ids), 2);
    assert_int_equal(ids[0], first);
    end(f, &d);
}

FARM_CASE(the_queue_and_what_is_remembered_have_an_end, 1)
{
    struct door d;
    uint64_t ids[BATCH_LISTED_MAX], id = 0;
    begin(f, &d);
    name_keys(&d, "bucket", 0, 1);
    struct job *job = schedule_find(jobs_schedule(f->jobs), STR("batch"));
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(job_pause(job, true), 0);
        for (unsigned i = 0; i < BATCH_QUEUE_MAX; i++)
            (void)started(f);
        assert_int_equal(start(f, STR(""), &id), -ERR_LIMIT);
        assert_int_equal(job_pause(job, false), 0);
        size_t count = jobs_batch_list(f->jobs, ids);
        (void)ended(f, ids[count - 1]);
    }
    assert_int_equal(jobs_batch_list(f->jobs, ids), BATCH_KEPT_MAX);
    assert_int_equal(jobs_batch_get(f->jobs, ids[0] - 1000000, &(struct batch_state){0}),
                     -ERR_NOT_FOUND);
    end(f, &d);
}

static int spoil_tx(struct meta_tx *tx, void *arg)
{
    char key[15] = "Jbatch ";
    put_be64(key + 7, 5);
    return meta_put(tx, str_make(key, sizeof(key)), STR("\xff\xff"));
}

FARM_CASE(a_state_that_cannot_be_read_is_passed_over, 1)
{
    struct door d;
    uint64_t ids[BATCH_LISTED_MAX];
    begin(f, &d);
    name_keys(&d, "bucket", 0, 10);
    uint64_t id = started(f);
    (void)ended(f, id);
    assert_int_equal(meta_write(f->meta, BUCKET_SYSTEM, spoil_tx, NULL), 0);
    close_door(f);
    farm_restart(f);
    open_door(f, &d);
    assert_int_equal(jobs_batch_list(f->jobs, ids), 1);
    assert_int_equal(ids[0], id);
    end(f, &d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_line_is_done_and_reported),
        cmocka_unit_test(lives_of_any_length_do_each_line_once),
        cmocka_unit_test(an_inventorys_files_are_gone_on_with_compressed_or_not),
        cmocka_unit_test(a_file_that_is_not_what_the_inventory_says_ends_it),
        cmocka_unit_test(a_step_is_of_all_its_lines_though_a_file_is_away_for_a_while),
        cmocka_unit_test(a_bad_line_fails_before_anything_is_done),
        cmocka_unit_test(a_manifest_that_changes_ends_it_and_what_was_done_is_reported),
        cmocka_unit_test(who_is_gone_does_nothing_more),
        cmocka_unit_test(who_is_gone_reads_no_file_of_an_inventory),
        cmocka_unit_test(a_report_that_cannot_be_written_is_told_of),
        cmocka_unit_test(they_wait_for_one_another_and_can_be_cancelled),
        cmocka_unit_test(the_queue_and_what_is_remembered_have_an_end),
        cmocka_unit_test(a_state_that_cannot_be_read_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
