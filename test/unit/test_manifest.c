/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/* Manifests of batch jobs: what a line says, and that whatever is none is refused. */

#include "unit.h"
#include "base/error.h"
#include "jobs/batch/manifest.h"

struct reading {
    struct arena arena;
    struct manifest_columns columns;
    struct manifest_line line;
    size_t used;
    const char *why;
};

static int setup(void **state)
{
    struct reading *r = calloc(1, sizeof(*r));
    arena_init(&r->arena, 0);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct reading *r = *state;
    arena_release(&r->arena);
    free(r);
    return 0;
}

static int next(struct reading *r, struct str in, bool last)
{
    return manifest_next(&r->columns, &r->arena, in, last, &r->line, &r->used, &r->why);
}

static void expect_line(struct reading *r, struct str in, const char *bucket, const char *key,
                        const char *version)
{
    assert_int_equal(next(r, in, true), 0);
    assert_true(str_eq(r->line.bucket, str_from(bucket)));
    assert_true(str_eq(r->line.key, str_from(key)));
    assert_true(str_eq(r->line.version, str_from(version)));
}

static void expect_refused(struct reading *r, struct str in, const char *why)
{
    r->why = NULL;
    assert_true(next(r, in, true) < 0);
    assert_non_null(r->why);
    assert_non_null(strstr(r->why, why));
}

static void lines_of_two_and_of_three_fields(void **state)
{
    struct reading *r = *state;
    expect_line(r, STR("bucket,a/b\nbucket,c\n"), "bucket", "a/b", "");
    assert_int_equal(r->used, 11);
    expect_refused(r, STR("bucket,a,null\n"), "another number");
    r->columns.count = 0;
    expect_line(r, STR("bucket,a,0123\n"), "bucket", "a", "0123");
    expect_line(r, STR("bucket,a,\n"), "bucket", "a", "");
    expect_refused(r, STR("bucket,a\n"), "another number");
    r->columns.count = 0;
    expect_refused(r, STR("bucket\n"), "Bucket,Key");
    expect_refused(r, STR("bucket,a,b,c\n"), "Bucket,Key");
}

static void keys_are_decoded_and_quotes_taken_off(void **state)
{
    struct reading *r = *state;
    expect_line(r, STR("bucket,a%2Cb+c%2Bd%20%C3%A9\n"), "bucket", "a,b c+d \xc3\xa9", "");
    expect_line(r, STR("\"bucket\",\"a,b\"\r\n"), "bucket", "a,b", "");
    expect_line(r, STR("\"bucket\",\"say \"\"x\"\"\"\n"), "bucket", "say \"x\"", "");
    expect_line(r, STR("bucket,last"), "bucket", "last", "");
}

static void an_empty_line_names_nothing(void **state)
{
    struct reading *r = *state;
    expect_line(r, STR("\r\nbucket,a\n"), "", "", "");
    assert_int_equal(r->used, 2);
    assert_int_equal(r->columns.count, 0);
}

static void what_is_no_line_is_refused(void **state)
{
    struct reading *r = *state;
    expect_refused(r, STR("Bucket,Key\n"), "bucket's name");
    expect_refused(r,
                   STR("\xef\xbb\xbf"
                       "bucket,k\n"),
                   "bucket's name");
    expect_refused(r, STR("bucket,a%2\n"), "URL-encoded");
    expect_refused(r, STR("bucket,a%zz\n"), "URL-encoded");
    expect_refused(r, STR("bucket,%ff\n"), "UTF-8");
    expect_refused(r, STR("bucket,\n"), "1 to 1024");
    expect_refused(r, STR("\"bucket,k\n"), "not closed");
    expect_refused(r, STR("\"bucket\"x,k\n"), "behind a quote");
    expect_refused(r, STR("bu\"cket,k\n"), "within a field");
    r->columns.count = 0;
    expect_refused(r, STR("bucket,k,a b\n"), "version id");
}

static void a_line_that_is_not_whole_waits_but_not_for_ever(void **state)
{
    struct reading *r = *state;
    char *text = malloc(MANIFEST_LINE_MAX + 2);
    assert_int_equal(next(r, STR("bucket,ke"), false), -EAGAIN);
    memset(text, 'a', MANIFEST_LINE_MAX + 2);
    assert_int_equal(next(r, str_make(text, MANIFEST_LINE_MAX), false), -EAGAIN);
    assert_int_equal(next(r, str_make(text, MANIFEST_LINE_MAX + 1), false), -ERR_TOO_LARGE);
    memcpy(text, "bucket,", 7);
    text[1032] = '\n';
    assert_int_equal(next(r, str_make(text, 1033), false), -ERR_PARSE);
    text[1031] = '\n';
    assert_int_equal(next(r, str_make(text, 1032), false), 0);
    assert_int_equal(r->line.key.len, 1024);
    free(text);
}

#define FILES                                                   \
    "[{\"key\":\"p/data/1.csv.gz\",\"size\":7,\"MD5checksum\":" \
    "\"f11166069f1990abeb9c97ace9cdfabc\"}]"
#define INVENTORY(bucket, format, schema, files)                                               \
    STR("{\"sourceBucket\":\"src\",\"destinationBucket\":\"" bucket                            \
        "\",\"version\":\"2016-11-30\",\"fileFormat\":\"" format "\",\"fileSchema\":\"" schema \
        "\",\"files\":" files "}")

static void an_inventory_names_its_files_and_columns(void **state)
{
    struct reading *r = *state;
    struct manifest_inventory m;
    struct str text =
        INVENTORY("arn:aws:s3:::dest", "CSV", "Bucket, Key, VersionId, IsLatest, Size", FILES);
    assert_int_equal(manifest_inventory_parse(&r->arena, text, &m, &r->why), 0);
    assert_true(str_eq(m.bucket, STR("dest")));
    assert_int_equal(m.count, 1);
    assert_true(str_eq(m.files[0].key, STR("p/data/1.csv.gz")));
    assert_int_equal(m.files[0].size, 7);
    assert_int_equal(m.files[0].md5[0], 0xf1);
    assert_true(m.columns.has_version && m.columns.count == 5);
    r->columns = m.columns;
    expect_line(r, STR("\"src\",\"a%20b\",\"0123\",\"true\",\"5\"\n"), "src", "a b", "0123");
    expect_line(r, STR("\"src\",\"old\",\"\",\"false\",\"5\"\n"), "src", "old", "null");
    expect_refused(r, STR("\"src\",\"a%20b\"\n"), "another number");
}

static void what_is_no_inventory_is_refused(void **state)
{
    static const struct {
        struct str text;
        const char *why;
    } cases[] = {
        {STR_NULL, "no JSON"},
        {INVENTORY("dest", "ORC", "Bucket, Key", FILES), "not CSV"},
        {INVENTORY("DEST", "CSV", "Bucket, Key", FILES), "destinationBucket"},
        {INVENTORY("dest", "CSV", "Key", FILES), "fileSchema"},
        {INVENTORY("dest", "CSV", "Bucket, Key", "7"), "no files"},
        {INVENTORY("dest", "CSV", "Bucket, Key", "[{\"key\":\"k\"}]"), "one of its files"},
        {STR("{}"), "not CSV"},
    };
    struct reading *r = *state;
    struct manifest_inventory m;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        r->why = "";
        assert_int_equal(manifest_inventory_parse(&r->arena, cases[i].text, &m, &r->why),
                         -ERR_PARSE);
        assert_non_null(strstr(r->why, cases[i].why));
    }
    assert_true(manifest_is_inventory(STR("a/manifest.json")));
    assert_true(manifest_is_inventory(STR("manifest.json")));
    assert_false(manifest_is_inventory(STR("a-manifest.json")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_of_two_and_of_three_fields),
        TEST(keys_are_decoded_and_quotes_taken_off),
        TEST(an_empty_line_names_nothing),
        TEST(what_is_no_line_is_refused),
        TEST(a_line_that_is_not_whole_waits_but_not_for_ever),
        TEST(an_inventory_names_its_files_and_columns),
        TEST(what_is_no_inventory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
