/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* The lifecycle's pass and the restores over virtual days, stopped and gone on with at any moment.
 */

#include "farm_help.h"
#include "store/upkeep/tiers.h"

#define DAY     (86400 * RT_S)
#define EXPIRED 1500 /* more than a page of rows */
#define KEPT    700
#define MOVED   150
#define OLDER   1300 /* versions of one key */
#define NEWER   5

static const char *const rules =
    "<LifecycleConfiguration>"
    "<Rule><ID>e</ID><Filter><Prefix>e/</Prefix></Filter><Status>Enabled</Status>"
    "<Expiration><Days>1</Days></Expiration></Rule>"
    "<Rule><ID>m</ID><Filter><Prefix>m/</Prefix></Filter><Status>Enabled</Status>"
    "<Transition><Days>1</Days><StorageClass>COLD</StorageClass></Transition></Rule>"
    "</LifecycleConfiguration>";
static const char *const version_rules =
    "<LifecycleConfiguration><Rule><ID>n</ID><Filter/><Status>Enabled</Status>"
    "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>"
    "<NewerNoncurrentVersions>5</NewerNoncurrentVersions></NoncurrentVersionExpiration></Rule>"
    "</LifecycleConfiguration>";

static void put_many(struct farm *f, const char *prefix, unsigned count, uint64_t len)
{
    char key[32];
    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "%s/%06u", prefix, i);
        farm_put(f, key, len, i);
    }
}

static struct bucket_id make_bucket(struct farm *f, const char *name, const char *text)
{
    struct store_bucket b;
    assert_int_equal(
        store_bucket_create(f->store, &f->d.arena, str_from(name), STR("owner"), STR_NULL, &b), 0);
    assert_int_equal(store_setting_put(f->store, b.id, STORE_SETTING_LIFECYCLE, str_from(text)), 0);
    return b.id;
}

static uint64_t metric(struct farm *f, const char *name)
{
    _cleanup_buf_ struct buf b;
    char line[80];
    buf_init(&b, 0);
    jobs_lifecycle_metrics(&b, f->jobs);
    jobs_restore_metrics(&b, f->jobs);
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(b.data, line);
    assert_non_null(at);
    return strtoull(at + strlen(line), NULL, 10);
}

/* A page takes seconds, so that the place is kept after each. */
static void slow_down(struct farm *f)
{
    job_set_pace(schedule_find(jobs_schedule(f->jobs), STR("lifecycle")), 0, 1000);
}

/* Lives of any length, until one has seen the end of the pass. */
static unsigned live_on(struct farm *f)
{
    uint64_t x = 11;
    for (unsigned lives = 1; lives < 2000; lives++) {
        x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        farm_start_jobs(f);
        slow_down(f);
        pass_time((x >> 40) % (20 * 1000) * RT_MS);
        bool ended = metric(f, "cairn_lifecycle_passes_total") == 1;
        if (x & 1ULL << 33)
            farm_restart(f);
        jobs_stop(TAKE_PTR(f->jobs));
        if (ended)
            return lives;
    }
    fail_msg("the pass has no end");
    return 0;
}

static size_t listed(struct farm *f, const char *prefix, const char *class)
{
    struct store_list_query q = {.prefix = str_from(prefix), .max = STORE_LIST_MAX};
    struct store_list_page page = {.truncated = true};
    size_t sum = 0;
    while (page.truncated) {
        assert_int_equal(store_list(f->store, &f->d.arena, f->bucket, &q, &page), 0);
        for (size_t i = 0; i < page.count; i++)
            sum += str_eq(page.entries[i].object.attrs.storage_class, str_from(class));
        q.after = page.next;
    }
    return sum;
}

FARM_CASE(a_pass_goes_on_from_any_moment, 3)
{
    static const struct store_class class = {.name = "COLD", .code = {1}};
    struct store_usage u;
    f->class = &class;
    farm_restart(f);
    assert_int_equal(
        store_setting_put(f->store, f->bucket, STORE_SETTING_LIFECYCLE, str_from(rules)), 0);
    put_many(f, "e", EXPIRED, 10);
    put_many(f, "k", KEPT, 10);
    put_many(f, "m", MOVED, 5000);
    struct bucket_id first = f->bucket, second = make_bucket(f, "versions", version_rules);
    assert_int_equal(store_bucket_set_versioning(f->store, second, STORE_VERSIONING_ENABLED), 0);
    f->bucket = second;
    for (unsigned i = 0; i < OLDER; i++)
        farm_put(f, "v", 3, i);
    f->bucket = first;
    pass_time(3 * DAY);
    assert_true(live_on(f) > 3);
    assert_int_equal(listed(f, "e/", ""), 0);
    assert_int_equal(listed(f, "k/", ""), KEPT);
    assert_int_equal(listed(f, "m/", "COLD"), MOVED);
    for (unsigned i = 0; i < MOVED; i++) {
        char key[32];
        snprintf(key, sizeof(key), "m/%06u", i);
        assert_int_equal(farm_get(f, key, i), 0);
        assert_int_equal(farm_layout(f, key).chunks[0].class.n, 1);
    }
    assert_int_equal(store_usage(f->store, second, &u), 0);
    assert_int_equal(u.objects, 1);
    assert_int_equal(u.versions, NEWER);
}

FARM_CASE(a_restore_is_done_and_ends_with_its_days, 3)
{
    static const struct store_class class = {.name = "GLACIER", .code = {1}, .archive = true};
    struct store_object o = {.attrs.storage_class = STR("GLACIER")};
    bool there;
    f->class = &class;
    farm_restart(f);
    farm_put(f, "k", 5000, 1);
    struct store_transition t = {
        .key = STR("k"), .version = STORE_CURRENT, .class = STR("GLACIER")};
    struct store_reader *r;
    assert_int_equal(store_get(f->store, f->bucket, t.key, STORE_CURRENT, NULL, &r), 0);
    t.seq = store_reader_object(r)->seq;
    store_reader_close(r);
    assert_int_equal(store_transition(f->store, f->bucket, &t, NULL, NULL), 0);
    struct store_restoring what = {.key = t.key, .version = STORE_CURRENT, .days = 2};
    assert_int_equal(store_restore(f->store, f->bucket, &what, &there), 0);
    farm_start_jobs(f);
    WAIT_UNTIL(metric(f, "cairn_restores_done_total") == 1, 60 * RT_S);
    assert_int_equal(store_get(f->store, f->bucket, t.key, STORE_CURRENT, NULL, &r), 0);
    o.attrs.restore = store_reader_object(r)->attrs.restore;
    store_reader_close(r);
    assert_true(store_is_readable(f->store, &o));
    assert_int_equal(o.attrs.restore.until_ms % (86400 * 1000), 0);
    farm_restart(f);
    pass_time(DAY);
    assert_true(store_is_readable(f->store, &o));
    for (unsigned hour = 0; hour < 60 && !metric(f, "cairn_restores_ended_total"); hour++)
        pass_time(3600 * RT_S);
    assert_int_equal(metric(f, "cairn_restores_ended_total"), 1);
    assert_false(store_is_readable(f->store, &o));
    assert_int_equal(store_get(f->store, f->bucket, t.key, STORE_CURRENT, NULL, &r), 0);
    assert_int_equal(store_reader_object(r)->attrs.restore.until_ms, 0);
    store_reader_close(r);
}

/* An object of the class that is asked for, first of all. */
static void put_asked_for(struct farm *f, const char *key, uint64_t len)
{
    struct store_transition t = {
        .key = str_from(key), .version = STORE_CURRENT, .class = STR("GLACIER")};
    struct store_restoring what = {.key = t.key, .version = STORE_CURRENT, .days = 2};
    struct store_reader *r;
    bool there;
    farm_put(f, key, len, 1);
    assert_int_equal(store_get(f->store, f->bucket, t.key, STORE_CURRENT, NULL, &r), 0);
    t.seq = store_reader_object(r)->seq;
    store_reader_close(r);
    assert_int_equal(store_transition(f->store, f->bucket, &t, NULL, NULL), 0);
    assert_int_equal(store_restore(f->store, f->bucket, &what, &there), 0);
}

FARM_CASE(what_cannot_be_read_holds_up_no_other_restore, 3)
{
    static const struct store_class class = {.name = "GLACIER", .code = {1}, .archive = true};
    f->class = &class;
    farm_restart(f);
    put_asked_for(f, "away", 200000);
    put_asked_for(f, "there", 10); /* in its record */
    for (unsigned i = 0; i < f->d.count; i++)
        sim_disk_fault(f->d.at[i].sim_disk,
                       &(struct sim_fault){SIM_READ_EIO, ".vol", 1, UINT64_MAX});
    farm_start_jobs(f);
    WAIT_UNTIL(metric(f, "cairn_restores_done_total") == 1, 60 * RT_S);
    assert_int_equal(metric(f, "cairn_restores_failed_total"), 1);
    for (unsigned i = 0; i < f->d.count; i++)
        sim_disk_heal(f->d.at[i].sim_disk);
    farm_restart(f);
    WAIT_UNTIL(metric(f, "cairn_restores_done_total") == 1, 1200 * RT_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pass_goes_on_from_any_moment),
        cmocka_unit_test(a_restore_is_done_and_ends_with_its_days),
        cmocka_unit_test(what_cannot_be_read_holds_up_no_other_restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
