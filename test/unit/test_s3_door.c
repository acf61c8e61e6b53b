/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* What the door answers: error bodies, headers, and the rules that only it knows. */

#include "s3_help.h"

static void FIBER set_up(struct door *d)
{
    CHECK(ASK(d, "PUT", "/bucket").status == 200);
    CHECK(ASK(d, "PUT", "/bucket/k", STR("0123456789"),
              .headers = {{"content-type", "text/x-own"},
                          {"cache-control", "max-age=5"},
                          {"x-amz-meta-Colour", "blue"}})
              .status == 200);
}

static bool header_is(const struct answer *a, const char *name, const char *value)
{
    return str_eq(answer_header(a, name), str_from(value));
}

#define ETAG_OF_K "\"781e5e245d69b566979b86e28d23f2c7\"" /* MD5 of 0123456789 */

/* ---- errors --------------------------------------------------------------------------------- */

DOOR_CASE(error_body_names_what_clients_look_for)
{
    set_up(d);
    struct answer a = ASK(d, "GET", "/bucket/no%20such");
    CHECK(a.status == 404 && header_is(&a, "content-type", "application/xml"));
    CHECK(str_eq(a.code, STR("NoSuchKey")));
    CHECK(str_eq(element_of(&a, "Key"), STR("no such")));
    CHECK(str_eq(element_of(&a, "Resource"), STR("/bucket/no%20such")));
    CHECK(str_eq(element_of(&a, "RequestId"), answer_header(&a, "x-amz-request-id")));
    CHECK(element_of(&a, "HostId").ptr);
    a = ASK(d, "HEAD", "/bucket/no");
    CHECK(a.status == 404 && a.body.len == 0);
    return 0;
}

DOOR_CASE(wrong_signature_shows_what_was_signed)
{
    struct answer a = ASK(d, "GET", "/bucket/k", .secret = "wrong-secret");
    CHECK(str_eq(element_of(&a, "AWSAccessKeyId"), STR(OWNER_KEY)));
    CHECK(str_starts(element_of(&a, "StringToSign"), STR("AWS4-HMAC-SHA256\n")));
    CHECK(str_starts(element_of(&a, "CanonicalRequest"), STR("GET\n/bucket/k\n")));
    CHECK(str_find(a.body, STR(SECRET), 0) < 0);
    return 0;
}

DOOR_CASE(connection_goes_on_after_an_error)
{
    set_up(d);
    for (unsigned i = 0; i < 20; i++) {
        CHECK(ASK(d, "PUT", "/bucket/k", STR("body that nobody reads"), .secret = "wrong-secret")
                  .status == 403);
        CHECK(ASK(d, "GET", "/bucket/k").status == 200);
    }
    return 0;
}

/* ---- reading -------------------------------------------------------------------------------- */

DOOR_CASE(object_comes_back_with_its_headers)
{
    set_up(d);
    struct answer a = ASK(d, "GET", "/bucket/k");
    CHECK(a.status == 200 && str_eq(a.body, STR("0123456789")));
    CHECK(header_is(&a, "etag", ETAG_OF_K) && header_is(&a, "content-type", "text/x-own"));
    CHECK(header_is(&a, "cache-control", "max-age=5") &&
          header_is(&a, "x-amz-meta-colour", "blue"));
    CHECK(header_is(&a, "accept-ranges", "bytes") && answer_header(&a, "last-modified").len == 29);
    a = ASK(d, "HEAD", "/bucket/k");
    CHECK(a.status == 200 && a.body.len == 0 && header_is(&a, "content-length", "10"));
    return 0;
}

DOOR_CASE(ranges_and_what_is_beyond)
{
    set_up(d);
    struct answer a = ASK(d, "GET", "/bucket/k", .headers = {{"range", "bytes=2-4"}});
    CHECK(a.status == 206 && str_eq(a.body, STR("234")));
    CHECK(header_is(&a, "content-range", "bytes 2-4/10"));
    a = ASK(d, "GET", "/bucket/k", .headers = {{"range", "bytes=10-"}});
    CHECK(a.status == 416 && str_eq(a.code, STR("InvalidRange")));
    CHECK(header_is(&a, "content-range", "bytes */10"));
    CHECK(str_eq(element_of(&a, "ActualObjectSize"), STR("10")));
    a = ASK(d, "GET", "/bucket/k", .headers = {{"range", "bytes=0-1,3-4"}});
    CHECK(a.status == 200 && a.body.len == 10);
    a = ASK(d, "GET", "/bucket/k", .headers = {{"range", "bytes=0-1"}, {"if-range", "\"other\""}});
    CHECK(a.status == 200 && a.body.len == 10);
    a = ASK(d, "GET", "/bucket/k?partNumber=1", .headers = {{"range", "bytes=0-1"}});
    CHECK(a.status == 400 && str_eq(a.code, STR("InvalidRequest")));
    return 0;
}

DOOR_CASE(whole_checksum_never_goes_with_a_range)
{
    set_up(d);
    struct answer a = ASK(d, "GET", "/bucket/k", .headers = {{"x-amz-checksum-mode", "ENABLED"}});
    CHECK(answer_header(&a, "x-amz-checksum-crc64nvme").ptr);
    CHECK(header_is(&a, "x-amz-checksum-type", "FULL_OBJECT"));
    a = ASK(d, "GET", "/bucket/k",
            .headers = {{"x-amz-checksum-mode", "ENABLED"}, {"range", "bytes=0-3"}});
    CHECK(a.status == 206 && !answer_header(&a, "x-amz-checksum-crc64nvme").ptr);
    return 0;
}

DOOR_CASE(conditions_are_tested)
{
    set_up(d);
    struct answer a = ASK(d, "GET", "/bucket/k", .headers = {{"if-none-match", ETAG_OF_K}});
    CHECK(a.status == 304 && a.body.len == 0 && header_is(&a, "etag", ETAG_OF_K));
    a = ASK(d, "GET", "/bucket/k", .headers = {{"if-match", "\"other\""}});
    CHECK(a.status == 412 && str_eq(element_of(&a, "Condition"), STR("If-Match")));
    a = ASK(d, "PUT", "/bucket/k", STR("x"), .headers = {{"if-none-match", "*"}});
    CHECK(a.status == 412 && str_eq(a.code, STR("PreconditionFailed")));
    a = ASK(d, "PUT", "/bucket/new", STR("x"), .headers = {{"if-match", ETAG_OF_K}});
    CHECK(a.status == 404 && str_eq(a.code, STR("NoSuchKey")));
    a = ASK(d, "DELETE", "/bucket/gone", .headers = {{"if-match", "*"}});
    CHECK(a.status == 404 && str_eq(a.code, STR("NoSuchKey")));
    return 0;
}

DOOR_CASE(overrides_cannot_split_a_header)
{
    set_up(d);
    struct answer a = ASK(d, "GET", "/bucket/k?response-content-type=a%0D%0Ax-evil%3A1");
    CHECK(a.status == 400 && str_eq(a.code, STR("InvalidArgument")));
    CHECK(!answer_header(&a, "x-evil").ptr);
    a = ASK(d, "GET", "/bucket/k?response-content-type=text%2Fother");
    CHECK(a.status == 200 && header_is(&a, "content-type", "text/other"));
    return 0;
}

/* ---- writing -------------------------------------------------------------------------------- */

DOOR_CASE(wrong_digests_store_nothing)
{
    static const char *const headers[][3] = {
        {"content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==", "BadDigest"},
        {"content-md5", "short", "InvalidDigest"},
        {"x-amz-checksum-crc32", "AAAAAA==", "BadDigest"},
        {"x-amz-checksum-sha256", "AAAA", "BadDigest"},
        {"x-amz-trailer", "x-amz-checksum-crc32", "InvalidRequest"},
        {"x-amz-sdk-checksum-algorithm", "CRC32", "InvalidRequest"},
    };
    set_up(d);
    for (unsigned i = 0; i < ARRAY_LEN(headers); i++) {
        struct answer a =
            ASK(d, "PUT", "/bucket/new", STR("data"), .headers = {{headers[i][0], headers[i][1]}});
        CHECK(a.status == 400 && str_eq(a.code, str_from(headers[i][2])));
    }
    CHECK(ASK(d, "HEAD", "/bucket/new").status == 404);
    return 0;
}

DOOR_CASE(part_number_without_upload_does_not_overwrite)
{
    set_up(d);
    struct answer a = ASK(d, "PUT", "/bucket/k?partNumber=1", STR("part"));
    CHECK(a.status == 400 && str_eq(a.code, STR("InvalidArgument")));
    CHECK(ASK(d, "PUT", "/bucket/k?uploadId=none", STR("part")).status == 400);
    a = ASK(d, "GET", "/bucket/k");
    CHECK(str_eq(a.body, STR("0123456789")));
    return 0;
}

DOOR_CASE(storage_classes_and_metadata_have_limits)
{
    static char large[STORE_META_MAX + 1];
    set_up(d);
    memset(large, 'x', STORE_META_MAX);
    struct answer a = ASK(d, "PUT", "/bucket/new", STR("x"), .headers = {{"x-amz-meta-m", large}});
    CHECK(a.status == 400 && str_eq(a.code, STR("MetadataTooLarge")));
    a = ASK(d, "PUT", "/bucket/new", STR("x"), .headers = {{"x-amz-storage-class", "GLACIER"}});
    CHECK(a.status == 400 && str_eq(a.code, STR("InvalidStorageClass")));
    CHECK(
        ASK(d, "PUT", "/bucket/new", STR("x"), .headers = {{"x-amz-storage-class", "STANDARD_IA"}})
            .status == 200);
    a = ASK(d, "HEAD", "/bucket/new");
    CHECK(header_is(&a, "x-amz-storage-class", "STANDARD_IA"));
    return 0;
}

DOOR_CASE(framing_is_no_content_encoding)
{
    static const char *const codings[][2] = {{"aws-chunked", NULL},
                                             {"gzip,aws-chunked", "gzip"},
                                             {"aws-chunked, gzip", "gzip"},
                                             {"deflate, AWS-Chunked, gzip", "deflate, gzip"}};
    set_up(d);
    for (unsigned i = 0; i < ARRAY_LEN(codings); i++) {
        CHECK(ASK(d, "PUT", "/bucket/e", STR("x"), .headers = {{"content-encoding", codings[i][0]}})
                  .status == 200);
        struct answer a = ASK(d, "HEAD", "/bucket/e");
        struct str got = answer_header(&a, "content-encoding");
        CHECK(codings[i][1] ? str_eq(got, str_from(codings[i][1])) : !got.ptr);
    }
    return 0;
}

DOOR_CASE(copies_keep_or_replace_attributes)
{
    set_up(d);
    struct answer a =
        ASK(d, "PUT", "/bucket/c%2B1", .headers = {{"x-amz-copy-source", "/bucket/%6B"}});
    CHECK(a.status == 200 && str_find(a.body, STR("781e5e245d69b566979b86e28d23f2c7"), 0) > 0);
    a = ASK(d, "HEAD", "/bucket/c%2B1");
    CHECK(header_is(&a, "x-amz-meta-colour", "blue") &&
          header_is(&a, "content-type", "text/x-own"));
    a = ASK(d, "PUT", "/bucket/k", .headers = {{"x-amz-copy-source", "bucket/k"}});
    CHECK(a.status == 400 && str_eq(a.code, STR("InvalidRequest")));
    CHECK(ASK(d, "PUT", "/bucket/k",
              .headers = {{"x-amz-copy-source", "bucket/k"},
                          {"x-amz-metadata-directive", "REPLACE"},
                          {"x-amz-meta-shape", "round"}})
              .status == 200);
    a = ASK(d, "GET", "/bucket/k");
    CHECK(str_eq(a.body, STR("0123456789")) && header_is(&a, "x-amz-meta-shape", "round"));
    CHECK(!answer_header(&a, "x-amz-meta-colour").ptr);
    a = ASK(d, "PUT", "/bucket/c2",
            .headers = {{"x-amz-copy-source", "bucket/k"},
                        {"x-amz-copy-source-if-none-match", ETAG_OF_K}});
    CHECK(a.status == 412);
    a = ASK(d, "PUT", "/bucket/c2", .headers = {{"x-amz-copy-source", "bucket/k?versionId=x"}});
    CHECK(a.status == 400);
    return 0;
}

/* ---- bodies of XML -------------------------------------------------------------------------- */

#define DELETE_K STR("<Delete><Object><Key>k</Key></Object></Delete>")

DOOR_CASE(delete_objects_needs_a_digest)
{
    set_up(d);
    struct answer a = ASK(d, "POST", "/bucket?delete=", DELETE_K);
    CHECK(a.status == 400 && str_eq(a.code, STR("InvalidRequest")));
    CHECK(ASK(d, "HEAD", "/bucket/k").status == 200);
    uint8_t md5[HASH_MD5_LEN];
    char text[BASE64_LEN(HASH_MD5_LEN) + 1] = "";
    md5_of(DELETE_K, md5);
    base64_encode(md5, sizeof(md5), text);
    a = ASK(d, "POST", "/bucket?delete=", DELETE_K, .headers = {{"content-md5", text}});
    CHECK(a.status == 200 && str_find(a.body, STR("<Deleted><Key>k</Key></Deleted>"), 0) > 0);
    CHECK(ASK(d, "HEAD", "/bucket/k").status == 404);
    return 0;
}

#define TAGGED(tags) \
    STR("<CreateBucketConfiguration><Tags>" tags "</Tags></CreateBucketConfiguration>")
#define TAG(key, value) "<Tag><Key>" key "</Key><Value>" value "</Value></Tag>"

DOOR_CASE(bucket_is_made_with_its_tags)
{
    static const struct {
        struct str body;
        const char *code;
    } bad[] = {
        {TAGGED("<Tag><Key>a</Key></Tag>"), "MalformedXML"},
        {TAGGED("<Other/>"), "MalformedXML"},
        {TAGGED(TAG("aws:a", "1")), "InvalidTag"},
        {TAGGED(TAG("a", "1") TAG("a", "2")), "InvalidTag"},
        {TAGGED(TAG("a", "1,2")), "InvalidTag"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct answer a = ASK(d, "PUT", "/tagged", bad[i].body);
        CHECK(a.status == 400 && str_eq(a.code, str_from(bad[i].code)));
    }
    CHECK(ASK(d, "HEAD", "/tagged").status == 404);
    CHECK(ASK(d, "PUT", "/tagged", TAGGED(TAG("b", "2") TAG("a", "1"))).status == 200);
    struct answer a = ASK(d, "PUT", "/tagged", TAGGED(TAG("b", "2") TAG("a", "1")));
    CHECK(a.status == 409 && str_eq(a.code, STR("BucketAlreadyOwnedByYou")));
    CHECK(ASK(d, "PUT", "/tagged").status == 200);
    a = ASK(d, "GET", "/tagged?tagging");
    CHECK(str_find(a.body, STR("<TagSet>" TAG("a", "1") TAG("b", "2") "</TagSet>"), 0) > 0);
    CHECK(ASK(d, "PUT", "/plain", TAGGED("")).status == 200);
    CHECK(ASK(d, "GET", "/plain?tagging").status == 404);
    return 0;
}

DOOR_CASE(location_must_be_the_region)
{
    struct answer a = ASK(d, "PUT", "/placed",
                          STR("<CreateBucketConfiguration><LocationConstraint>mars"
                              "</LocationConstraint></CreateBucketConfiguration>"));
    CHECK(a.status == 400 && str_eq(a.code, STR("InvalidLocationConstraint")));
    CHECK(ASK(d, "PUT", "/placed", STR("<CreateBucketConfiguration")).status == 400);
    CHECK(ASK(d, "PUT", "/placed").status == 200);
    CHECK(ASK(d, "PUT", "/placed").status == 200); /* again, by its owner, in us-east-1 */
    a = ASK(d, "GET", "/placed?location");
    CHECK(a.status == 200 && str_find(a.body, STR("<LocationConstraint"), 0) > 0);
    return 0;
}

/* ---- names ---------------------------------------------------------------------------------- */

DOOR_CASE(virtual_hosts_name_the_bucket)
{
    set_up(d);
    snprintf(d->host, sizeof(d->host), "bucket.s3.test:9000");
    struct answer a = ASK(d, "GET", "/k");
    CHECK(a.status == 200 && str_eq(a.body, STR("0123456789")));
    snprintf(d->host, sizeof(d->host), "S3.test");
    CHECK(ASK(d, "GET", "/bucket/k").status == 200);
    return 0;
}

DOOR_CASE(list_pages_by_tokens_of_its_own)
{
    char target[512];
    set_up(d);
    CHECK(ASK(d, "PUT", "/bucket/l", STR("x")).status == 200);
    struct answer a = ASK(d, "GET", "/bucket?list-type=2&max-keys=1");
    struct str token = element_of(&a, "NextContinuationToken");
    CHECK(token.len && str_eq(element_of(&a, "IsTruncated"), STR("true")));
    snprintf(target, sizeof(target), "/bucket?continuation-token=%.*s&list-type=2&max-keys=1",
             STR_FMT(token));
    a = ASK(d, "GET", target);
    CHECK(a.status == 200 && str_eq(element_of(&a, "Key"), STR("l")));
    CHECK(ASK(d, "PUT", "/bucket2").status == 200);
    memmove(target + 8, target + 7, strlen(target) - 6); /* the same token, another bucket */
    target[7] = '2';
    a = ASK(d, "GET", target);
    CHECK(a.status == 400 && str_eq(a.code, STR("InvalidArgument")));
    return 0;
}

/* ---- a query that finds nothing for long ----------------------------------------------------- */

#define SELECT(out, progress)                                                            \
    "<SelectObjectContentRequest><Expression>SELECT COUNT(*) FROM S3Object</Expression>" \
    "<ExpressionType>SQL</ExpressionType>" progress                                      \
    "<InputSerialization><CSV/></InputSerialization><OutputSerialization>" out           \
    "</OutputSerialization></SelectObjectContentRequest>"

static bool says(const struct answer *a, const char *text)
{
    return str_find(a->body, str_from(text), 0) >= 0;
}

DOOR_CASE(a_silent_query_gives_signs_of_life)
{
    static const char target[] = "/bucket/rows?select&select-type=2";
    static char rows[256 * KIB];
    memset(rows, '\n', sizeof(rows));
    for (size_t i = 0; i < sizeof(rows); i += 2)
        rows[i] = 'x';
    set_up(d);
    CHECK(ASK(d, "PUT", "/bucket/rows", str_make(rows, sizeof(rows))).status == 200);
    struct str plain = STR(SELECT("<CSV/>", ""));
    struct str told =
        STR(SELECT("<CSV/>", "<RequestProgress><Enabled>true</Enabled></RequestProgress>"));
    d->s3->select_silence_ns = RT_NEVER / 2;
    struct answer a = ASK(d, "POST", target, plain);
    CHECK(a.status == 200 && says(&a, "Records") && says(&a, "131072\n") && !says(&a, "Cont"));
    size_t len = a.body.len;
    d->s3->select_silence_ns = 0;
    a = ASK(d, "POST", target, plain);
    CHECK(a.status == 200 && says(&a, "131072\n") && says(&a, "Cont") && a.body.len > len);
    CHECK(!says(&a, "Progress"));
    a = ASK(d, "POST", target, told);
    CHECK(a.status == 200 && says(&a, "131072\n") && says(&a, "Progress"));
    CHECK(d->s3->selects == 0);
    return 0;
}

DOOR_CASE(too_many_queries_at_once_are_refused_and_counted)
{
    static const char target[] = "/bucket/k?select&select-type=2";
    set_up(d);
    atomic_fetch_add(&d->s3->selects, 32);
    for (unsigned i = 0; i < 3; i++) {
        struct answer a = ASK(d, "POST", target, STR(SELECT("<CSV/>", "")));
        CHECK(a.status == 503 && str_eq(a.code, STR("Busy")) && d->s3->selects == 32);
    }
    atomic_fetch_sub(&d->s3->selects, 1);
    CHECK(ASK(d, "POST", target, STR(SELECT("<CSV/>", ""))).status == 200);
    CHECK(ASK(d, "POST", target, STR(SELECT("<Other/>", ""))).status == 400);
    CHECK(d->s3->selects == 31);
    atomic_fetch_sub(&d->s3->selects, 31);
    return 0;
}

#define CASES(X)                                     \
    X(error_body_names_what_clients_look_for)        \
    X(wrong_signature_shows_what_was_signed)         \
    X(connection_goes_on_after_an_error)             \
    X(object_comes_back_with_its_headers)            \
    X(ranges_and_what_is_beyond)                     \
    X(whole_checksum_never_goes_with_a_range)        \
    X(conditions_are_tested)                         \
    X(overrides_cannot_split_a_header)               \
    X(wrong_digests_store_nothing)                   \
    X(part_number_without_upload_does_not_overwrite) \
    X(storage_classes_and_metadata_have_limits)      \
    X(framing_is_no_content_encoding)                \
    X(copies_keep_or_replace_attributes)             \
    X(delete_objects_needs_a_digest)                 \
    X(bucket_is_made_with_its_tags)                  \
    X(location_must_be_the_region)                   \
    X(virtual_hosts_name_the_bucket)                 \
    X(list_pages_by_tokens_of_its_own)               \
    X(a_silent_query_gives_signs_of_life)            \
    X(too_many_queries_at_once_are_refused_and_counted)

int main(void)
{
    const struct CMUnitTest tests[] = {
#define X(name) cmocka_unit_test(name),
        CASES(X)
#undef X
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
