/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Server access logging: the configuration, what a line says, and that it arrives. */

#include "s3_help.h"

#include "base/md5.h"
#include "s3/log_delivery.h"
#include "s3/log_record.h"

#define STATUS(inside) "<BucketLoggingStatus>" inside "</BucketLoggingStatus>"
#define ENABLED(more)                                          \
    STATUS("<LoggingEnabled><TargetBucket>logs</TargetBucket>" \
           "<TargetPrefix>p/</TargetPrefix>" more "</LoggingEnabled>")
#define FORMAT(inside) ENABLED("<TargetObjectKeyFormat>" inside "</TargetObjectKeyFormat>")
#define PARTITIONED(source)                                                           \
    FORMAT("<PartitionedPrefix><PartitionDateSource>" source "</PartitionDateSource>" \
           "</PartitionedPrefix>")

#define GRANT(grantee, permission)                                                               \
    "<TargetGrants><Grant><Grantee>" grantee "</Grantee><Permission>" permission "</Permission>" \
    "</Grant></TargetGrants>"

/* ---- the configuration ---------------------------------------------------------------------- */

static void configurations_are_read(void **state)
{
    static const struct {
        const char *body;
        int result;
        bool on, partitioned, by_event;
    } cases[] = {
        {STATUS(""), 0, false, false, false},
        {ENABLED(""), 0, true, false, false},
        {ENABLED("<TargetGrants/>"), 0, true, false, false},
        {FORMAT("<SimplePrefix/>"), 0, true, false, false},
        {FORMAT("<PartitionedPrefix/>"), 0, true, true, false},
        {PARTITIONED("EventTime"), 0, true, true, true},
        {PARTITIONED("DeliveryTime"), 0, true, true, false},
        {PARTITIONED("kaboom"), -ERR_MALFORMED_XML, false, false, false},
        {FORMAT(""), -ERR_MALFORMED_XML, false, false, false},
        {FORMAT("<SimplePrefix/><SimplePrefix/>"), -ERR_MALFORMED_XML, false, false, false},
        {ENABLED("<TargetGrants><Grant/></TargetGrants>"), -ERR_MALFORMED_XML, false, false, false},
        {ENABLED(GRANT("<ID>a</ID>", "READ_ACP")), -ERR_MALFORMED_XML, false, false, false},
        {ENABLED(GRANT("<URI>none</URI>", "READ")), -ERR_INVALID_ARGUMENT, false, false, false},
        {ENABLED(GRANT("<ID>a</ID><URI>b</URI>", "READ")), -ERR_MALFORMED_XML, false, false, false},
        {ENABLED(GRANT("<ID>a</ID>", "READ")), 0, true, false, false},
        {STATUS("<LoggingEnabled/>"), -ERR_MALFORMED_XML, false, false, false},
        {STATUS("<Other/>"), -ERR_MALFORMED_XML, false, false, false},
        {"<LoggingStatus/>", -ERR_MALFORMED_XML, false, false, false},
        {"", -ERR_MALFORMED_XML, false, false, false},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_(arena_release) struct arena a;
        struct s3_logging l;
        bool on;
        arena_init(&a, 0);
        int r = s3_logging_parse(&a, str_from(cases[i].body), &l, &on);
        if (r != cases[i].result)
            fail_msg("%s: %d", cases[i].body, r);
        if (r)
            continue;
        assert_int_equal(on, cases[i].on);
        assert_int_equal(l.partitioned, cases[i].partitioned);
        assert_int_equal(l.by_event, cases[i].by_event);
        if (!on)
            continue;
        struct buf b;
        struct s3_logging again;
        buf_init(&b, 0);
        s3_logging_xml(&b, &l);
        assert_int_equal(s3_logging_parse(&a, buf_str(&b), &again, &on), 0);
        assert_true(str_eq(again.bucket, STR("logs")) && str_eq(again.prefix, STR("p/")));
        assert_int_equal(again.by_event, l.by_event);
        assert_int_equal(!again.grants, !l.grants);
        assert_true(!l.grants ||
                    (again.grants->count == 1 && str_eq(again.grants->grants[0].id, STR("a")) &&
                     again.grants->grants[0].permission == S3_PERMISSION_READ));
        buf_release(&b);
    }
}

/* ---- the line ------------------------------------------------------------------------------- */

static void operations_have_aws_names(void **state)
{
    static const char *const names[][2] = {
        {"GetObject", "REST.GET.OBJECT"},
        {"HeadBucket", "REST.HEAD.BUCKET"},
        {"ListBuckets", "REST.GET.SERVICE"},
        {"ListObjectsV2", "REST.GET.BUCKET"},
        {"CopyObject", "REST.COPY.OBJECT"},
        {"UploadPart", "REST.PUT.PART"},
        {"CreateMultipartUpload", "REST.POST.UPLOADS"},
        {"GetBucketVersioning", "REST.GET.VERSIONING"},
        {"PutObjectAcl", "REST.PUT.ACL"},
        {"GetPublicAccessBlock", "REST.GET.PUBLIC_ACCESS_BLOCK"},
        {"PutObjectLegalHold", "REST.PUT.LEGAL_HOLD"},
        {"GetBucketLogging", "REST.GET.LOGGING_STATUS"},
    };
    char room[S3_LOG_OPERATION_MAX];
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        struct str got = s3_log_operation(s3_op_named(names[i][0]), room);
        if (!str_eq(got, str_from(names[i][1])))
            fail_msg("%s: %.*s", names[i][0], STR_FMT(got));
    }
    for (unsigned i = 0; i < s3_op_count; i++)
        assert_true(str_starts(s3_log_operation(&s3_ops[i], room), STR("REST.")));
}

static struct s3_log_entry entry(void)
{
    return (struct s3_log_entry){
        .owner = STR("owner"),
        .bucket = STR("b"),
        .time_ms = 1549411238000,
        .remote = STR("192.0.2.3"),
        .requester = STR("arn:aws:iam::me:root"),
        .request_id = STR("3E57427F33A59F07"),
        .operation = STR("REST.GET.OBJECT"),
        .key = STR("k"),
        .method = STR("GET"),
        .target = STR("/b/k?versionId=null"),
        .status = 200,
        .bytes_sent = 113,
        .object_size = S3_LOG_NONE,
        .total_ms = 7,
        .turn_ms = S3_LOG_NONE,
        .agent = STR("curl/7.15.1"),
        .signature = STR("SigV4"),
        .auth = STR("AuthHeader"),
        .host = STR("s3.example.com"),
    };
}

static void assert_line(const struct s3_log_entry *e, const char *expected)
{
    struct buf b;
    buf_init(&b, 0);
    s3_log_line(&b, e);
    if (!str_eq(buf_str(&b), str_from(expected)))
        fail_msg("%.*s", STR_FMT(buf_str(&b)));
    buf_release(&b);
}

static void a_line_is_as_aws_writes_it(void **state)
{
    struct s3_log_entry e = entry();
    assert_line(&e, "owner b [06/Feb/2019:00:00:38 +0000] 192.0.2.3 arn:aws:iam::me:root "
                    "3E57427F33A59F07 REST.GET.OBJECT k \"GET /b/k?versionId=null HTTP/1.1\" 200 - "
                    "113 - 7 - \"-\" \"curl/7.15.1\" - cairn SigV4 - AuthHeader s3.example.com "
                    "- - -\n");
}

static void nothing_from_a_client_breaks_a_line_or_gets_into_it(void **state)
{
    struct s3_log_entry e = entry();
    struct buf b;
    e.key = STR("a b\"\n\x7f\xc3\xa9");
    e.agent = STR("x\" 200 - - \\\r\nforged");
    e.target = STR("/b/k?X-Amz-Signature=5ec2e7&a=1&x-amz-security-token=t0k&"
                   "X-Amz-Credential=AKIA&x-amz-server-side-encryption-customer-key=c2s&"
                   "x-amz-copy-source-server-side-encryption-customer-key=c2s&flag");
    buf_init(&b, 0);
    s3_log_line(&b, &e);
    struct str line = buf_str(&b);
    assert_int_equal(str_find_char(line, '\n', 0), line.len - 1);
    unsigned quotes = 0;
    for (size_t i = 0; i < line.len; i++)
        quotes += line.ptr[i] == '"';
    assert_int_equal(quotes, 6);
    assert_true(str_find(line, STR(" a%20b%22%0A%7F%C3%A9 "), 0) > 0);
    assert_true(
        str_find(line,
                 STR("/b/k?X-Amz-Signature=&a=1&x-amz-security-token=&"
                     "X-Amz-Credential=&x-amz-server-side-encryption-customer-key=&"
                     "x-amz-copy-source-server-side-encryption-customer-key=&flag HTTP/1.1"),
                 0) > 0);
    buf_release(&b);
}

/* A page that was had by a presigned URL tells it to whatever it refers to. */
static void no_line_has_a_signature_however_it_is_written(void **state)
{
    static const char *const targets[] = {
        "/b/k?X%2DAmz-Signature=5ec2e7", "/b/k?%58-Amz-Credential=5ec2e7&a=1",
        "/b/k?x-amz-signatur%65=5ec2e7", "/b/k?a=1&X-AMZ-SIGNATURE=5ec2e7"};
    for (unsigned i = 0; i < ARRAY_LEN(targets); i++) {
        struct s3_log_entry e = entry();
        struct buf b;
        buf_init(&b, 0);
        e.target = str_from(targets[i]);
        s3_log_line(&b, &e);
        e.target = STR("/b/k");
        e.referer = str_from(targets[i]);
        s3_log_line(&b, &e);
        assert_true(str_find(buf_str(&b), STR("5ec2e7"), 0) < 0);
        buf_release(&b);
    }
}

static void keys_tell_time_and_when_asked_source_and_day(void **state)
{
    struct s3_logging l = {.bucket = STR("logs"), .prefix = STR("p/")};
    struct buf b;
    buf_init(&b, 0);
    s3_log_key(&b, &l, STR("me"), STR("eu"), STR("src"), 1549411238000, 1549497600000, 255);
    assert_true(str_eq(buf_str(&b), STR("p/2019-02-07-00-00-00-00000000000000FF")));
    buf_reset(&b);
    l.partitioned = l.by_event = true;
    s3_log_key(&b, &l, STR("me"), STR("eu"), STR("src"), 1549411238000, 1549497600000, 255);
    assert_true(
        str_eq(buf_str(&b), STR("p/me/eu/src/2019/02/06/2019-02-07-00-00-00-00000000000000FF")));
    buf_release(&b);
}

/* ---- at the door ---------------------------------------------------------------------------- */

static struct answer FIBER put_document(struct door *d, const char *target, const char *text)
{
    uint8_t md5[16];
    char sum[32] = {0};
    md5_of(str_from(text), md5);
    base64_encode(md5, sizeof(md5), sum);
    return ASK(d, "PUT", target, str_from(text), .headers = {{"content-md5", sum}});
}

#define LET_LOGS_IN(source)                                                    \
    "{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":{\"Service\":"         \
    "\"logging.s3.amazonaws.com\"},\"Action\":\"s3:PutObject\",\"Resource\":"  \
    "\"arn:aws:s3:::logs/p/*\",\"Condition\":{\"ArnLike\":{\"aws:SourceArn\":" \
    "\"arn:aws:s3:::" source "\"},\"StringEquals\":{\"aws:SourceAccount\":\"owner\"}}}}"

static void FIBER set_up(struct door *d)
{
    CHECK(ASK(d, "PUT", "/src").status == 200);
    CHECK(ASK(d, "PUT", "/logs").status == 200);
}

/* All log objects, one behind the other. */
static struct str FIBER logs_of(struct door *d)
{
    char target[256];
    s3_logs_deliver(d->s3, true);
    struct answer a = ASK(d, "GET", "/logs?list-type=2&prefix=p/");
    struct str key = element_of(&a, "Key");
    if (!key.len)
        return STR("");
    snprintf(target, sizeof(target), "/logs/%.*s", STR_FMT(key));
    a = ASK(d, "GET", target);
    CHECK(a.status == 200);
    return a.body;
}

DOOR_CASE(a_target_must_be_there_ones_own_and_open_to_the_service)
{
    set_up(d);
    struct answer a = ASK(d, "GET", "/src?logging");
    CHECK(a.status == 200 && str_find(a.body, STR("LoggingEnabled"), 0) < 0);
    a = put_document(d, "/src?logging", ENABLED(""));
    CHECK(a.status == 400 && str_eq(a.code, STR("InvalidTargetBucketForLogging")));
    CHECK(put_document(d, "/logs?policy", LET_LOGS_IN("another")).status == 204);
    CHECK(put_document(d, "/src?logging", ENABLED("")).status == 400);
    CHECK(put_document(d, "/logs?policy", LET_LOGS_IN("src")).status == 204);
    CHECK(put_document(d, "/src?logging", ENABLED("")).status == 200);
    a = ASK(d, "GET", "/src?logging");
    CHECK(str_eq(element_of(&a, "TargetBucket"), STR("logs")));
    CHECK(ASK(d, "DELETE", "/logs?policy").status == 204);
    CHECK(ASK(d, "PUT", "/logs?acl", .headers = {{"x-amz-acl", "log-delivery-write"}}).status ==
          200);
    CHECK(put_document(d, "/src?logging", ENABLED("")).status == 200);
    CHECK(ASK(d, "PUT", "/theirs", .access_key = OTHER_KEY,
              .headers = {{"x-amz-acl", "log-delivery-write"}})
              .status == 200);
    CHECK(put_document(d, "/src?logging",
                       STATUS("<LoggingEnabled><TargetBucket>theirs</TargetBucket>"
                              "<TargetPrefix/></LoggingEnabled>"))
              .status == 400);
    CHECK(put_document(d, "/src?logging",
                       STATUS("<LoggingEnabled><TargetBucket>nowhere</TargetBucket>"
                              "<TargetPrefix/></LoggingEnabled>"))
              .status == 400);
    CHECK(put_document(d, "/src?logging", STATUS("")).status == 200);
    a = ASK(d, "GET", "/src?logging");
    CHECK(str_find(a.body, STR("LoggingEnabled"), 0) < 0);
    return 0;
}

DOOR_CASE(requests_become_lines_in_the_target)
{
    set_up(d);
    CHECK(ASK(d, "PUT", "/src/before", STR("x")).status == 200);
    CHECK(put_document(d, "/logs?policy", LET_LOGS_IN("src")).status == 204);
    CHECK(put_document(d, "/src?logging", ENABLED("")).status == 200);
    CHECK(ASK(d, "PUT", "/src/a", STR("hello")).status == 200);
    CHECK(ASK(d, "GET", "/src/a", .access_key = OTHER_KEY).status == 403);
    CHECK(ASK(d, "GET", "/src/a", .form = FORM_NONE).status == 403);
    struct str lines = logs_of(d);
    CHECK(str_find(lines, STR(" REST.PUT.OBJECT a \"PUT /src/a HTTP/1.1\" 200 - - 5 "), 0) > 0);
    CHECK(str_find(lines, STR(" arn:aws:iam::other:root "), 0) > 0);
    CHECK(str_find(lines, STR(" REST.GET.OBJECT a \"GET /src/a HTTP/1.1\" 403 AccessDenied "), 0) >
          0);
    CHECK(str_find(lines, STR("before"), 0) < 0);
    CHECK(str_starts(lines, STR("owner src [")));
    return 0;
}

DOOR_CASE(what_cannot_be_delivered_is_dropped_and_counted)
{
    struct s3_logs_counts c;
    set_up(d);
    CHECK(put_document(d, "/logs?policy", LET_LOGS_IN("src")).status == 204);
    CHECK(put_document(d, "/src?logging", ENABLED("")).status == 200);
    CHECK(ASK(d, "PUT", "/src/a", STR("hello")).status == 200);
    CHECK(ASK(d, "DELETE", "/logs?policy").status == 204);
    CHECK(logs_of(d).len == 0);
    s3_logs_count(d->s3->logs, &c);
    CHECK(c.lines > 0 && c.dropped == c.lines && c.objects == 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configurations_are_read),
        cmocka_unit_test(operations_have_aws_names),
        cmocka_unit_test(a_line_is_as_aws_writes_it),
        cmocka_unit_test(nothing_from_a_client_breaks_a_line_or_gets_into_it),
        cmocka_unit_test(no_line_has_a_signature_however_it_is_written),
        cmocka_unit_test(keys_tell_time_and_when_asked_source_and_day),
        cmocka_unit_test(a_target_must_be_there_ones_own_and_open_to_the_service),
        cmocka_unit_test(requests_become_lines_in_the_target),
        cmocka_unit_test(what_cannot_be_delivered_is_dropped_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
