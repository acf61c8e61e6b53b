/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Inventory configurations and what reports look like. */

#include "unit.h"

#include <stdio.h>
#include <zlib.h>
#include "base/error.h"
#include "inventory/file.h"
#include "inventory/report.h"

static struct arena arena;

static int setup(void **state)
{
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    arena_release(&arena);
    return 0;
}

/* ---- the document --------------------------------------------------------------------------- */

#define DOCUMENT(members) "<InventoryConfiguration>" members "</InventoryConfiguration>"
#define TO(members) \
    "<Destination><S3BucketDestination>" members "</S3BucketDestination></Destination>"
#define BUCKET    "<Bucket>arn:aws:s3:::dest</Bucket>"
#define CSV       "<Format>CSV</Format>"
#define ID        "<Id>one</Id>"
#define CURRENT   "<IncludedObjectVersions>Current</IncludedObjectVersions>"
#define ON        "<IsEnabled>true</IsEnabled>"
#define DAILY     "<Schedule><Frequency>Daily</Frequency></Schedule>"
#define REST      ID CURRENT ON DAILY
#define KMS(id)   "<Encryption><SSE-KMS><KeyId>" id "</KeyId></SSE-KMS></Encryption>"
#define FIELDS(f) "<OptionalFields>" f "</OptionalFields>"

static void documents_are_judged(void **state)
{
    static const struct {
        const char *text;
        int err;
    } cases[] = {
        {DOCUMENT(TO(BUCKET CSV) REST), 0},
        {DOCUMENT(TO(CSV BUCKET "<Prefix/>") DAILY ON CURRENT ID), 0},
        {DOCUMENT(TO(BUCKET CSV KMS("k")) REST), 0},
        {DOCUMENT(TO(BUCKET CSV "<Encryption><SSE-S3/></Encryption>") REST), 0},
        {DOCUMENT(TO(BUCKET CSV "<AccountId>me</AccountId>") REST), 0},
        {DOCUMENT(TO(BUCKET CSV) REST FIELDS("<Field>Size</Field><Field>ETag</Field>")), 0},
        {DOCUMENT(TO(BUCKET CSV) REST "<Filter><Prefix>a/</Prefix></Filter>"), 0},
        /* what is missing */
        {DOCUMENT(REST), -ERR_MALFORMED_XML},
        {DOCUMENT(TO(CSV) REST), -ERR_MALFORMED_XML},
        {DOCUMENT(TO(BUCKET) REST), -ERR_MALFORMED_XML},
        {DOCUMENT(TO(BUCKET CSV) CURRENT ON DAILY), -ERR_MALFORMED_XML},
        {DOCUMENT(TO(BUCKET CSV) ID ON DAILY), -ERR_MALFORMED_XML},
        {DOCUMENT(TO(BUCKET CSV) ID CURRENT DAILY), -ERR_MALFORMED_XML},
        {DOCUMENT(TO(BUCKET CSV) ID CURRENT ON), -ERR_MALFORMED_XML},
        {DOCUMENT(TO(BUCKET CSV) ID CURRENT ON "<Schedule/>"), -ERR_MALFORMED_XML},
        {DOCUMENT(TO(BUCKET CSV) REST "<Filter/>"), -ERR_MALFORMED_XML},
        {DOCUMENT(TO(BUCKET CSV "<Encryption><SSE-KMS/></Encryption>") REST), -ERR_MALFORMED_XML},
        {DOCUMENT("<Destination/>" REST), -ERR_MALFORMED_XML},
        /* what is twice, or unknown */
        {DOCUMENT(TO(BUCKET CSV) REST ON), -ERR_MALFORMED_XML},
        {DOCUMENT(TO(BUCKET BUCKET CSV) REST), -ERR_MALFORMED_XML},
        {DOCUMENT(TO(BUCKET CSV) REST "<Other/>"), -ERR_MALFORMED_XML},
        {DOCUMENT(TO(BUCKET CSV) REST FIELDS("<Field>Size</Field><Field>Size</Field>")),
         -ERR_MALFORMED_XML},
        {DOCUMENT(TO(BUCKET CSV) REST FIELDS("<Field>Colour</Field>")), -ERR_MALFORMED_XML},
        {DOCUMENT(TO(BUCKET CSV "<Encryption><SSE-S3/><SSE-KMS><KeyId>k</KeyId></SSE-KMS>"
                                "</Encryption>") REST),
         -ERR_MALFORMED_XML},
        {DOCUMENT(TO(BUCKET CSV) ID CURRENT "<IsEnabled>yes</IsEnabled>" DAILY),
         -ERR_MALFORMED_XML},
        {DOCUMENT(TO(BUCKET CSV) ID ON DAILY
                  "<IncludedObjectVersions>all</IncludedObjectVersions>"),
         -ERR_MALFORMED_XML},
        {DOCUMENT(TO(BUCKET CSV) ID ON CURRENT
                  "<Schedule><Frequency>Hourly</Frequency></Schedule>"),
         -ERR_MALFORMED_XML},
        {DOCUMENT(TO(BUCKET "<Format>XLS</Format>") REST), -ERR_MALFORMED_XML},
        {"<Inventory/>", -ERR_MALFORMED_XML},
        {"", -ERR_MALFORMED_XML},
        /* what is understood, and refused */
        {DOCUMENT(TO(BUCKET "<Format>ORC</Format>") REST), -ERR_NOT_IMPLEMENTED},
        {DOCUMENT(TO(BUCKET "<Format>Parquet</Format>") REST), -ERR_NOT_IMPLEMENTED},
        {DOCUMENT(TO(BUCKET CSV) REST FIELDS("<Field>LifecycleExpirationDate</Field>")),
         -ERR_NOT_IMPLEMENTED},
        {DOCUMENT(TO("<Bucket>dest</Bucket>" CSV) REST), -ERR_INVALID_DESTINATION},
        {DOCUMENT(TO("<Bucket>arn:aws:s3::1:dest</Bucket>" CSV) REST), -ERR_INVALID_DESTINATION},
        {DOCUMENT(TO("<Bucket>arn:aws:s3:::a/b</Bucket>" CSV) REST), -ERR_INVALID_DESTINATION},
        {DOCUMENT(TO(BUCKET CSV) CURRENT ON DAILY "<Id/>"), -ERR_INVALID_ARGUMENT},
        {DOCUMENT(TO(BUCKET CSV) CURRENT ON DAILY "<Id>a/b</Id>"), -ERR_INVALID_ARGUMENT},
        {DOCUMENT(TO(BUCKET CSV KMS("")) REST), -ERR_INVALID_ARGUMENT},
    };
    for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
        struct inventory i;
        struct str why;
        int r = inventory_parse(&arena, str_from(cases[n].text), &i, &why);
        if (r != cases[n].err)
            fail_msg("%d, not %d: %s", r, cases[n].err, cases[n].text);
    }
}

static const char *const whole =
    DOCUMENT(TO("<AccountId>me</AccountId>" BUCKET KMS("k") CSV "<Prefix>p &amp; q/</Prefix>") ON
             "<Filter><Prefix>a b/</Prefix></Filter>" ID
             "<IncludedObjectVersions>All</IncludedObjectVersions>" FIELDS(
                 "<Field>Size</Field><Field>ObjectOwner</Field>") "<Schedule><Frequency>Weekly</"
                                                                  "Frequency></Schedule>");

static struct inventory parsed(const char *text)
{
    struct inventory i;
    struct str why;
    assert_int_equal(inventory_parse(&arena, str_from(text), &i, &why), 0);
    return i;
}

static void what_is_written_is_what_was_read(void **state)
{
    struct inventory i = parsed(whole);
    struct buf b;
    buf_init(&b, 0);
    assert_true(i.enabled && i.all_versions && i.weekly && i.seal == SEAL_KMS);
    assert_true(str_eq(i.bucket, STR("dest")) && str_eq(i.bucket_prefix, STR("p & q/")));
    inventory_xml(&b, &i, false);
    assert_true(str_eq(buf_str(&b), str_from(whole)));
    buf_release(&b);
}

/* ---- as they are kept ----------------------------------------------------------------------- */

static struct inventory_set kept(const struct inventory_set *set)
{
    struct inventory_set again;
    struct buf b;
    buf_init(&b, 0);
    inventory_set_pack(&b, set);
    assert_int_equal(inventory_set_parse(&arena, arena_dup(&arena, buf_str(&b)), &again), 0);
    buf_release(&b);
    return again;
}

static void a_set_is_kept_in_the_order_of_ids(void **state)
{
    struct inventory_set set = {.count = 0};
    static const char *const ids[] = {"m", "b", "z", "b"};
    for (unsigned n = 0; n < ARRAY_LEN(ids); n++) {
        struct inventory i = parsed(whole);
        i.id = str_from(ids[n]);
        i.put_ms = n;
        assert_int_equal(inventory_set_with(&arena, &set, &i, &set), 0);
    }
    set = kept(&set);
    assert_int_equal(set.count, 3);
    assert_int_equal(inventory_set_find(&set, STR("b"))->put_ms, 3);
    assert_null(inventory_set_find(&set, STR("c")));
    assert_true(str_eq(set.list[0].bucket_prefix, STR("p & q/")));
    assert_true(str_eq(set.list[0].master_key, STR("k")) && set.list[0].seal == SEAL_KMS);
    assert_int_equal(inventory_set_without(&arena, &set, 1, &set), 0);
    set = kept(&set);
    assert_int_equal(set.count, 2);
    assert_true(str_eq(set.list[1].id, STR("z")));
}

static void a_bucket_has_a_thousand_at_most_and_they_fit_a_setting(void **state)
{
    struct inventory_set set = {.list = calloc(INVENTORY_CONFIGS_MAX, sizeof(struct inventory))};
    struct inventory i = parsed(whole);
    struct buf b;
    char ids[INVENTORY_CONFIGS_MAX][8];
    for (; set.count < INVENTORY_CONFIGS_MAX; set.count++) {
        snprintf(ids[set.count], sizeof(ids[0]), "i%04zu", set.count);
        set.list[set.count] = i;
        set.list[set.count].fields = (1u << INVENTORY_FIELD_COUNT) - 1;
        set.list[set.count].id = str_from(ids[set.count]);
    }
    buf_init(&b, STORE_SETTING_MAX);
    inventory_set_pack(&b, &set);
    assert_int_equal(buf_error(&b), 0);
    buf_release(&b);
    struct inventory_set more;
    assert_int_equal(inventory_set_with(&arena, &set, &i, &more), -ERR_TOO_MANY_CONFIGURATIONS);
    i.id = STR("i0500");
    assert_int_equal(inventory_set_with(&arena, &set, &i, &more), 0);
    assert_int_equal(more.count, INVENTORY_CONFIGS_MAX);
    free(set.list);
}

static void what_cannot_be_a_set_is_corrupt(void **state)
{
#define LINE(id) "id=" id "&on=1&all=0&weekly=0&fields=1&put=5&bucket=b\n"
    static const char *const texts[] = {
        "",
        "id=a\n",
        LINE("b") LINE("a"),
        LINE("a") LINE("a"),
        LINE("a/b"),
        "id=a&on=2&all=0&weekly=0&fields=1&put=5&bucket=b\n",
        "id=a&on=1&all=0&weekly=0&fields=99999999&put=5&bucket=b\n",
        "id=a&on=1&all=0&weekly=0&fields=1&put=5\n",
        "id=a&on=1&all=0&weekly=0&fields=1&put=5&bucket=b&seal=none\n",
        "id=a&on=1&all=0&weekly=0&fields=1&put=5&bucket=b&seal=kms\n",
        "id=a&on=1&all=0&weekly=0&fields=1&put=5&bucket=b",
        "id=a&on=1&all=0&weekly=0&fields=1&put=5&bucket=%zz\n",
    };
    struct inventory_set set;
    assert_int_equal(inventory_set_parse(&arena, STR(LINE("a") LINE("b")), &set), 0);
    for (unsigned n = 0; n < ARRAY_LEN(texts); n++)
        if (inventory_set_parse(&arena, str_from(texts[n]), &set) != -ERR_CORRUPT)
            fail_msg("taken: %s", texts[n]);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static void assert_row(const struct inventory *i, const struct store_object *o,
                       const char *expected)
{
    struct buf b;
    buf_init(&b, 0);
    inventory_row(&b, i, STR("src"), o, true, STR("{\"grants\":[]}"));
    if (!str_eq(buf_str(&b), str_from(expected)))
        fail_msg("%.*s", STR_FMT(buf_str(&b)));
    buf_release(&b);
}

static void rows_have_their_fields_in_order(void **state)
{
    struct inventory i = {.fields = (1u << INVENTORY_FIELD_COUNT) - 1};
    struct store_object o = {
        .key = STR("a b/\"\xc3\xa9,+\n"),
        .seq = 255,
        .mtime_ms = 1549411238123,
        .len_bytes = 12345,
        .etag = {.md5 = {0xab}, .parts = 3},
        .checksum = {.present = true, .kind = STORE_CRC32C},
        .attrs = {.owner = STR("me"),
                  .lock = {STORE_RETENTION_GOVERNANCE, 1549411239000, STORE_HOLD_ON}},
    };
    assert_row(&i, &o,
               "\"src\",\"a%20b/%22%C3%A9%2C%2B%0A\",\"12345\",\"2019-02-06T00:00:38.123Z\","
               "\"ab000000000000000000000000000000-3\",\"STANDARD\",\"true\",\"\",\"NOT-SSE\","
               "\"2019-02-06T00:00:39.000Z\",\"GOVERNANCE\",\"On\",\"\",\"\",\"CRC32C\","
               "\"eyJncmFudHMiOltdfQ==\",\"me\"\n");
    i = (struct inventory){.all_versions = true, .fields = 1u << INVENTORY_Size};
    assert_row(&i, &o,
               "\"src\",\"a%20b/%22%C3%A9%2C%2B%0A\",\"00000000000000ff\",\"true\",\"false\","
               "\"12345\"\n");
    o = (struct store_object){.key = STR("k"), .null_version = true, .delete_marker = true};
    assert_row(&i, &o, "\"src\",\"k\",\"\",\"true\",\"true\",\"\"\n");
}

static void rows_tell_every_checksum(void **state)
{
    static const char *const names[] = {"CRC32",  "CRC32C", "CRC64NVME", "SHA1",    "SHA256",
                                        "SHA512", "MD5",    "XXHASH64",  "XXHASH3", "XXHASH128"};
    const struct inventory i = {.fields = 1u << INVENTORY_ChecksumAlgorithm};
    struct store_object o = {.key = STR("k"), .checksum.present = true};
    assert_int_equal(ARRAY_LEN(names), STORE_CHECKSUM_KINDS);
    for (unsigned n = 0; n < ARRAY_LEN(names); n++) {
        char row[64];
        snprintf(row, sizeof(row), "\"src\",\"k\",\"%s\"\n", names[n]);
        o.checksum.kind = n;
        assert_row(&i, &o, row);
    }
}

static void rows_tell_how_objects_are_encrypted(void **state)
{
    static const struct {
        struct seal seal;
        const char *row;
    } cases[] = {
        {{.kind = SEAL_S3, .name = {"s3", 2}, .middle = {"m", 1}},
         "\"src\",\"k\",\"SSE-S3\",\"\"\n"},
        {{.kind = SEAL_C}, "\"src\",\"k\",\"SSE-C\",\"\"\n"},
        {{.kind = SEAL_KMS, .name = {"k", 1}, .middle = {"m", 1}},
         "\"src\",\"k\",\"SSE-KMS\",\"DISABLED\"\n"},
        {{.kind = SEAL_KMS, .name = {"k", 1}, .middle = {"m", 1}, .bucket_key = true},
         "\"src\",\"k\",\"SSE-KMS\",\"ENABLED\"\n"},
    };
    struct inventory i = {.fields =
                              1u << INVENTORY_EncryptionStatus | 1u << INVENTORY_BucketKeyStatus};
    assert_true(inventory_wants_records(&i));
    for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
        struct buf b;
        buf_init(&b, 0);
        seal_pack(&cases[n].seal, &b);
        struct store_object o = {.key = STR("k"), .attrs.seal = buf_str(&b)};
        assert_row(&i, &o, cases[n].row);
        buf_release(&b);
    }
}

/* ---- names and manifests -------------------------------------------------------------------- */

static void names_and_manifests_are_as_in_aws(void **state)
{
    struct inventory i = {.id = STR("one"),
                          .all_versions = true,
                          .fields = 1u << INVENTORY_Size | 1u << INVENTORY_StorageClass,
                          .bucket = STR("dest"),
                          .bucket_prefix = STR("p")};
    struct inventory_report r = {&i, STR("src"), {7}, 1478467920000};
    struct inventory_file_note note = {.len_bytes = 99, .md5 = {0xcd}};
    struct buf b;
    buf_init(&b, 0);
    inventory_key(&b, &r, INVENTORY_MANIFEST, 0);
    assert_true(str_eq(buf_str(&b), STR("p/src/one/2016-11-06T21-32Z/manifest.json")));
    buf_reset(&b);
    inventory_key(&b, &r, INVENTORY_CHECKSUM, 0);
    assert_true(str_eq(buf_str(&b), STR("p/src/one/2016-11-06T21-32Z/manifest.checksum")));
    buf_reset(&b);
    inventory_key(&b, &r, INVENTORY_SYMLINKS, 0);
    assert_true(str_eq(buf_str(&b), STR("p/src/one/hive/dt=2016-11-06-21-32/symlink.txt")));
    buf_reset(&b);
    inventory_key(&b, &r, INVENTORY_DATA, 3);
    assert_int_equal(b.len, strlen("p/src/one/data/.csv.gz") + 36);
    struct str first = arena_dup(&arena, buf_str(&b));
    buf_reset(&b);
    inventory_key(&b, &r, INVENTORY_DATA, 4);
    assert_false(str_eq(buf_str(&b), first));
    buf_reset(&b);
    inventory_manifest(&b, &r, &note, 1);
    const char *start =
        "{\"sourceBucket\":\"src\",\"destinationBucket\":\"arn:aws:s3:::dest\","
        "\"version\":\"2016-11-30\",\"creationTimestamp\":\"1478467920000\",\"fileFormat\":\"CSV\","
        "\"fileSchema\":\"Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, StorageClass\","
        "\"files\":[{\"key\":\"p/src/one/data/";
    assert_true(str_starts(buf_str(&b), str_from(start)));
    assert_true(
        str_ends(buf_str(&b), STR(".csv.gz\",\"size\":99,"
                                  "\"MD5checksum\":\"cd000000000000000000000000000000\"}]}")));
    buf_release(&b);
}

/* ---- files ---------------------------------------------------------------------------------- */

static void inflate_all(const struct buf *gzip, struct buf *ret)
{
    z_stream z = {.next_in = (Bytef *)gzip->data, .avail_in = (uInt)gzip->len};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    int r = Z_OK;
    while (r == Z_OK) {
        z.next_out = (Bytef *)buf_reserve(ret, 4096);
        z.avail_out = 4096;
        r = inflate(&z, Z_NO_FLUSH);
        ret->len += 4096 - z.avail_out;
    }
    assert_int_equal(r, Z_STREAM_END);
    assert_int_equal(z.avail_in, 0);
    inflateEnd(&z);
}

static void a_file_is_its_rows_squeezed_in_pieces(void **state)
{
    struct inventory_file f;
    struct buf all, got;
    uint8_t md5[HASH_MD5_LEN], own[HASH_MD5_LEN];
    buf_init(&all, 0);
    buf_init(&got, 0);
    inventory_file_init(&f, 1 * MIB);
    for (unsigned round = 0; round < 2; round++) {
        buf_reset(&all);
        buf_reset(&got);
        inventory_file_reset(&f);
        for (unsigned n = 0; n < 20000; n++) {
            buf_printf(&f.rows, "\"b\",\"key%u\",\"%u\"\n", n, n * 2654435761u + round);
            buf_printf(&all, "\"b\",\"key%u\",\"%u\"\n", n, n * 2654435761u + round);
            if (n % 1000 == 999)
                assert_int_equal(inventory_file_squeeze(&f, n == 19999), 0);
        }
        inflate_all(&f.gzip, &got);
        assert_true(str_eq(buf_str(&got), buf_str(&all)));
        md5_of(buf_str(&f.gzip), own);
        md5_finish(&f.md5, md5);
        assert_memory_equal(md5, own, sizeof(md5));
    }
    inventory_file_reset(&f);
    buf_reset(&got);
    assert_int_equal(inventory_file_squeeze(&f, true), 0);
    inflate_all(&f.gzip, &got);
    assert_int_equal(got.len, 0);
    inventory_file_release(&f);
    buf_release(&all);
    buf_release(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_judged),
        cmocka_unit_test(what_is_written_is_what_was_read),
        cmocka_unit_test(a_set_is_kept_in_the_order_of_ids),
        cmocka_unit_test(a_bucket_has_a_thousand_at_most_and_they_fit_a_setting),
        cmocka_unit_test(what_cannot_be_a_set_is_corrupt),
        cmocka_unit_test(rows_have_their_fields_in_order),
        cmocka_unit_test(rows_tell_every_checksum),
        cmocka_unit_test(rows_tell_how_objects_are_encrypted),
        cmocka_unit_test(names_and_manifests_are_as_in_aws),
        cmocka_unit_test(a_file_is_its_rows_squeezed_in_pieces),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
