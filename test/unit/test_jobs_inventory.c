/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Inventories over virtual days, with a door that keeps what is put: reports that are cut short at
 * any moment are whole in the end, what fails is tried again, weeks have Sundays. */

#include "farm_help.h"
#include "inventory/inventory.h"
#include "jobs/inventory.h"
#include "base/encode.h"
#include <jansson.h>
#include <zlib.h>

#define DAY      (120 * RT_S) /* where days pass */
#define OBJECTS  2500
#define PUTS_MAX 64

/* ---- a door --------------------------------------------------------------------------------- */

struct put {
    char key[256];
    char *data;
    size_t len;
};
struct shelf {
    struct put puts[PUTS_MAX];
    unsigned count, calls;
    int refuse;            /* what putting fails with; 0: nothing */
    int refuse_data;       /* the same, though it may be put */
    unsigned refuse_every; /* with -EIO, every so many calls; 0: never */
};
static struct shelf shelf;

static int shelf_put(void *arg, const struct jobs_actor *who, const struct jobs_writing *what,
                     struct str data)
{
    unsigned n = 0;
    assert_true(str_eq(who->service, STR("s3.amazonaws.com")));
    assert_true(str_eq(what->bucket, STR("dest")));
    if (shelf.refuse || shelf.refuse_data)
        return shelf.refuse ? shelf.refuse : shelf.refuse_data;
    if (shelf.refuse_every && ++shelf.calls % shelf.refuse_every == 0)
        return -EIO;
    while (n < shelf.count && !str_eq(str_from(shelf.puts[n].key), what->key))
        n++;
    assert_true(what->key.len < sizeof(shelf.puts[0].key));
    if (n == PUTS_MAX) /* of a case that counts only */
        return 0;
    struct put *p = &shelf.puts[n];
    shelf.count = MAX(shelf.count, n + 1);
    free(p->data);
    memcpy(p->key, what->key.ptr, what->key.len);
    p->key[what->key.len] = 0;
    p->data = memcpy(malloc(data.len + 1), data.len ? data.ptr : "", data.len);
    p->len = data.len;
    return 0;
}

static int shelf_may_put(void *arg, const struct jobs_actor *who, const struct jobs_writing *what)
{
    return shelf.refuse;
}

static int shelf_read(void *arg, const struct jobs_reading *what, jobs_object_sink *sink,
                      void *sink_arg, struct jobs_object *ret)
{
    return -ERR_NO_SUCH_KEY;
}

static int shelf_grants(void *arg, const struct store_object *o, struct buf *ret)
{
    buf_put_cstr(ret, "{}");
    return 0;
}

static void empty_shelf(void)
{
    for (unsigned n = 0; n < shelf.count; n++)
        free(shelf.puts[n].data);
    shelf = (struct shelf){0};
}

static void start(struct farm *f)
{
    static const struct jobs_objects door = {
        .read = shelf_read, .put = shelf_put, .may_put = shelf_may_put, .grants = shelf_grants};
    farm_start_jobs(f);
    jobs_set_objects(f->jobs, &door);
}

/* ---- reading back --------------------------------------------------------------------------- */

static const struct put *put_ending(const char *end)
{
    const struct put *found = NULL;
    for (unsigned n = 0; n < shelf.count; n++)
        if (str_ends(str_from(shelf.puts[n].key), str_from(end)))
            found = &shelf.puts[n];
    return found;
}

static const struct put *put_named(struct str key)
{
    for (unsigned n = 0; n < shelf.count; n++)
        if (str_eq(str_from(shelf.puts[n].key), key))
            return &shelf.puts[n];
    return NULL;
}

/* The rows of the files that the manifest names, in its order. */
static struct str rows_of(struct buf *b)
{
    const struct put *m = put_ending("/manifest.json"), *sum = put_ending("/manifest.checksum");
    uint8_t md5[HASH_MD5_LEN];
    char hex[2 * HASH_MD5_LEN];
    assert_non_null(m);
    md5_of(str_make(m->data, m->len), md5);
    hex_encode(md5, sizeof(md5), hex);
    assert_true(str_eq(str_make(hex, sizeof(hex)), str_make(sum->data, sum->len)));
    json_t *o = json_loadb(m->data, m->len, 0, NULL), *file;
    size_t i;
    json_array_foreach(json_object_get(o, "files"), i, file)
    {
        const struct put *p = put_named(str_from(json_string_value(json_object_get(file, "key"))));
        assert_non_null(p);
        assert_int_equal(json_integer_value(json_object_get(file, "size")), p->len);
        md5_of(str_make(p->data, p->len), md5);
        hex_encode(md5, sizeof(md5), hex);
        assert_true(str_eq(str_from(json_string_value(json_object_get(file, "MD5checksum"))),
                           str_make(hex, sizeof(hex))));
        z_stream z = {.next_in = (Bytef *)p->data, .avail_in = (uInt)p->len};
        assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
        int r = Z_OK;
        while (r == Z_OK) {
            z.next_out = (Bytef *)buf_reserve(b, 4096);
            z.avail_out = 4096;
            r = inflate(&z, Z_NO_FLUSH);
            b->len += 4096 - z.avail_out;
        }
        assert_int_equal(r, Z_STREAM_END);
        inflateEnd(&z);
    }
    json_decref(o);
    return buf_str(b);
}

static size_t files_of_manifest(void)
{
    const struct put *m = put_ending("/manifest.json");
    json_t *o = json_loadb(m->data, m->len, 0, NULL);
    size_t count = json_array_size(json_object_get(o, "files"));
    json_decref(o);
    return count;
}

static unsigned count_lines(struct str text)
{
    unsigned count = 0;
    for (size_t n = 0; n < text.len; n++)
        count += text.ptr[n] == '\n';
    return count;
}

/* ---- the configurations --------------------------------------------------------------------- */

static void configure(struct farm *f, bool all, bool weekly, bool enabled)
{
    struct inventory i = {
        .id = STR("one"),
        .enabled = enabled,
        .all_versions = all,
        .weekly = weekly,
        .fields = 1u << INVENTORY_Size | 1u << INVENTORY_EncryptionStatus,
        .bucket = STR("dest"),
        .bucket_prefix = STR("p"),
        .put_ms = rt_wall_ms(),
    };
    struct inventory_set set = {&i, 1};
    struct buf b;
    buf_init(&b, 0);
    inventory_set_pack(&b, &set);
    assert_int_equal(store_setting_put(f->store, f->bucket, STORE_SETTING_INVENTORY, buf_str(&b)),
                     0);
    buf_release(&b);
}

/* Keys that hardly compress, so that a few make a file. */
static void key_of(unsigned i, char ret[201])
{
    uint64_t x = i * 2654435761ULL + 1;
    snprintf(ret, 201, "k%06u-", i);
    for (unsigned n = 8; n < 200; n++) {
        x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        ret[n] = (char)('a' + (x >> 59) % 26);
    }
    ret[200] = 0;
}

static void put_objects(struct farm *f, unsigned count)
{
    char key[201];
    for (unsigned i = 0; i < count; i++) {
        key_of(i, key);
        farm_put(f, key, 1, i);
    }
}

static uint64_t metric(struct farm *f, const char *name)
{
    _cleanup_buf_ struct buf b;
    char line[80];
    buf_init(&b, 0);
    jobs_inventory_metrics(&b, f->jobs);
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(b.data, line);
    assert_non_null(at);
    return strtoull(at + strlen(line), NULL, 10);
}
#define REPORTS  "cairn_inventory_reports_total"
#define FAILURES "cairn_inventory_failures_total"

/* ---- the cases ------------------------------------------------------------------------------ */

static unsigned live_on(struct farm *f)
{
    uint64_t x = 5;
    for (unsigned lives = 1; lives < 3000; lives++) {
        x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        start(f);
        job_set_pace(schedule_find(jobs_schedule(f->jobs), STR("inventory")), 0, 100);
        pass_time((x >> 40) % (20 * 1000) * RT_MS);
        bool ended = metric(f, REPORTS) == 1;
        if (x & 1ULL << 33)
            farm_restart(f);
        jobs_stop(TAKE_PTR(f->jobs));
        if (ended)
            return lives;
    }
    fail_msg("the report has no end");
    return 0;
}

static void assert_whole(unsigned count)
{
    struct buf b;
    struct str line, text;
    char key[201], start_of[256];
    buf_init(&b, 0);
    text = rows_of(&b);
    assert_int_equal(count_lines(text), count);
    for (unsigned i = 0; i < count; i++) {
        assert_true(str_cut(&text, '\n', &line));
        key_of(i, key);
        snprintf(start_of, sizeof(start_of), "\"bucket\",\"%s\",", key);
        assert_true(str_starts(line, str_from(start_of)));
    }
    buf_release(&b);
}

FARM_CASE(a_report_cut_short_at_any_moment_is_whole_in_the_end, 1)
{
    f->config.inventory_file_bytes = 48 * KIB;
    put_objects(f, OBJECTS);
    configure(f, false, false, true);
    assert_true(live_on(f) > 3);
    assert_true(files_of_manifest() > 3);
    assert_whole(OBJECTS);
    empty_shelf();
}

FARM_CASE(disks_that_fail_now_and_then_cost_no_row, 1)
{
    f->config.inventory_file_bytes = 48 * KIB;
    put_objects(f, OBJECTS);
    configure(f, false, false, true);
    shelf.refuse_every = 5;
    start(f);
    WAIT_UNTIL(metric(f, REPORTS) == 1, 3600 * RT_S);
    assert_whole(OBJECTS);
    empty_shelf();
}

FARM_CASE(versions_and_markers_are_listed_as_they_lie, 1)
{
    struct buf b;
    buf_init(&b, 0);
    farm_put(f, "old", 3, 1);
    assert_int_equal(store_bucket_set_versioning(f->store, f->bucket, STORE_VERSIONING_ENABLED), 0);
    farm_put(f, "a b", 10, 1);
    farm_put(f, "a b", 11, 2);
    farm_delete(f, "a b");
    configure(f, true, false, true);
    start(f);
    WAIT_UNTIL(metric(f, REPORTS) == 1, 60 * RT_S);
    struct str text = rows_of(&b), line;
    const char *const ends[] = {"\",\"true\",\"true\",\"\",\"\"",
                                "\",\"false\",\"false\",\"11\",\"NOT-SSE\"",
                                "\",\"false\",\"false\",\"10\",\"NOT-SSE\""};
    for (unsigned n = 0; n < ARRAY_LEN(ends); n++) {
        assert_true(str_cut(&text, '\n', &line));
        assert_true(str_starts(line, STR("\"bucket\",\"a%20b\",\"")));
        assert_true(str_ends(line, str_from(ends[n])));
    }
    assert_true(str_cut(&text, '\n', &line));
    assert_true(str_eq(line, STR("\"bucket\",\"old\",\"\",\"true\",\"false\",\"3\",\"NOT-SSE\"")));
    assert_non_null(put_ending("/symlink.txt"));
    buf_release(&b);
    empty_shelf();
}

FARM_CASE(a_destination_that_is_shut_is_tried_again_until_it_opens, 1)
{
    f->config.lifecycle_day_ms = DAY / RT_MS;
    farm_put(f, "k", 3, 1);
    configure(f, false, false, true);
    shelf.refuse = -ERR_ACCESS_DENIED;
    start(f);
    WAIT_UNTIL(metric(f, FAILURES) == 3, DAY);
    assert_int_equal(metric(f, REPORTS), 0);
    farm_restart(f);
    jobs_stop(TAKE_PTR(f->jobs));
    shelf.refuse = 0;
    start(f);
    WAIT_UNTIL(metric(f, REPORTS) == 1, DAY);
    assert_true(metric(f, FAILURES) == 0);
    empty_shelf();
}

FARM_CASE(one_that_failed_in_its_midst_is_tried_again_after_a_restart, 1)
{
    f->config.lifecycle_day_ms = DAY / RT_MS;
    farm_put(f, "k", 3, 1);
    configure(f, false, false, true);
    shelf.refuse_data = -ERR_QUOTA_EXCEEDED;
    start(f);
    WAIT_UNTIL(metric(f, FAILURES) == 1, DAY);
    farm_restart(f);
    jobs_stop(TAKE_PTR(f->jobs));
    shelf.refuse_data = 0;
    start(f);
    WAIT_UNTIL(metric(f, REPORTS) == 1, DAY);
    empty_shelf();
}

FARM_CASE(daily_ones_come_daily_weekly_ones_at_first_and_on_sundays, 1)
{
    f->config.lifecycle_day_ms = DAY / RT_MS;
    farm_put(f, "k", 3, 1);
    configure(f, false, false, false);
    start(f);
    pass_time(3 * DAY);
    assert_int_equal(metric(f, REPORTS), 0);
    configure(f, false, false, true);
    pass_time(7 * DAY);
    assert_int_equal(metric(f, REPORTS), 7);
    configure(f, false, true, true);
    pass_time(7 * 10 * DAY);
    uint64_t weekly = metric(f, REPORTS) - 7;
    assert_true(weekly >= 10 && weekly <= 11);
    empty_shelf();
}

FARM_CASE(a_bucket_without_objects_has_a_report_without_files, 1)
{
    struct buf b;
    buf_init(&b, 0);
    configure(f, false, false, true);
    start(f);
    WAIT_UNTIL(metric(f, REPORTS) == 1, 60 * RT_S);
    assert_int_equal(rows_of(&b).len, 0);
    assert_int_equal(files_of_manifest(), 0);
    buf_release(&b);
    empty_shelf();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_cut_short_at_any_moment_is_whole_in_the_end),
        cmocka_unit_test(disks_that_fail_now_and_then_cost_no_row),
        cmocka_unit_test(versions_and_markers_are_listed_as_they_lie),
        cmocka_unit_test(a_destination_that_is_shut_is_tried_again_until_it_opens),
        cmocka_unit_test(one_that_failed_in_its_midst_is_tried_again_after_a_restart),
        cmocka_unit_test(daily_ones_come_daily_weekly_ones_at_first_and_on_sundays),
        cmocka_unit_test(a_bucket_without_objects_has_a_report_without_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
