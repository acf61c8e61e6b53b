/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* Objects that jobs read and write through the door. */

#include "s3_help.h"

#include "jobs/objects.h"

static const struct jobs_actor service = {STR("inventory"), STR("s3.amazonaws.com"), STR("src"),
                                          STR("owner")};
static const struct jobs_actor administrator = {.name = STR("batch")};

static struct jobs_writing report(void)
{
    return (struct jobs_writing){
        .bucket = STR("dest"), .key = STR("p/report"), .content_type = STR("text/csv")};
}

static int FIBER place(struct door *d, const struct jobs_actor *who,
                       const struct jobs_writing *what, struct str data)
{
    struct jobs_objects o;
    s3_lend_objects(d->s3, &o);
    int r = o.may_put(o.arg, who, what);
    return r ? r : o.put(o.arg, who, what, data);
}

static int take(const void *data, size_t len, void *arg)
{
    buf_put(arg, data, len);
    return 0;
}

static int FIBER read_report(struct door *d, struct jobs_reading what, struct buf *ret,
                             struct jobs_object *facts)
{
    struct jobs_objects o;
    s3_lend_objects(d->s3, &o);
    what.bucket = STR("dest");
    what.key = STR("p/report");
    buf_reset(ret);
    return o.read(o.arg, &what, take, ret, facts);
}

#define POLICY(source)                                                                       \
    "{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"s3.amazonaws.com\"}," \
    "\"Action\":\"s3:PutObject\",\"Resource\":\"arn:aws:s3:::dest/p/*\",\"Condition\":{"     \
    "\"ArnLike\":{\"aws:SourceArn\":\"arn:aws:s3:::" source "\"},\"StringEquals\":{"         \
    "\"aws:SourceAccount\":\"owner\",\"s3:x-amz-acl\":\"bucket-owner-full-control\"}}}}"

DOOR_CASE(a_service_puts_what_the_buckets_policy_lets_it)
{
    struct jobs_writing what = report();
    CHECK(place(d, &service, &what, STR("x")) == -ERR_NO_SUCH_BUCKET);
    CHECK(ASK(d, "PUT", "/dest").status == 200);
    CHECK(place(d, &service, &what, STR("x")) == -ERR_ACCESS_DENIED);
    CHECK(ASK(d, "PUT", "/dest?policy", STR(POLICY("other"))).status == 204);
    CHECK(place(d, &service, &what, STR("x")) == -ERR_ACCESS_DENIED);
    CHECK(ASK(d, "PUT", "/dest?policy", STR(POLICY("src"))).status == 204);
    CHECK(place(d, &service, &what, STR("a,b\n")) == 0);
    what.owner = STR("other");
    CHECK(place(d, &service, &what, STR("x")) == -ERR_ACCESS_DENIED);
    what.owner = STR("owner");
    CHECK(place(d, &service, &what, STR("a,b\n")) == 0);
    what.key = STR("elsewhere");
    CHECK(place(d, &service, &what, STR("x")) == -ERR_ACCESS_DENIED);
    struct answer a = ASK(d, "GET", "/dest/p/report");
    CHECK(a.status == 200 && str_eq(a.body, STR("a,b\n")));
    CHECK(str_eq(answer_header(&a, "content-type"), STR("text/csv")));
    return 0;
}

DOOR_CASE(the_administrators_jobs_ask_no_policy_but_quotas_and_locks_count)
{
    struct jobs_writing what = report();
    struct store_bucket b;
    CHECK(
        ASK(d, "PUT", "/dest", .headers = {{"x-amz-bucket-object-lock-enabled", "true"}}).status ==
        200);
    CHECK(place(d, &administrator, &what, STR("hello")) == 0);
    struct answer a = ASK(d, "GET", "/dest/p/report");
    CHECK(a.status == 200 && str_eq(a.body, STR("hello")));
    CHECK(!answer_header(&a, "x-amz-object-lock-mode").ptr);
    CHECK(store_bucket_get(d->home.store, &d->arena, STR("dest"), &b) == 0);
    CHECK(store_setting_put(d->home.store, b.id, STORE_SETTING_OBJECT_LOCK,
                            STR("<ObjectLockConfiguration><ObjectLockEnabled>Enabled"
                                "</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE"
                                "</Mode><Days>1</Days></DefaultRetention></Rule>"
                                "</ObjectLockConfiguration>")) == 0);
    CHECK(place(d, &administrator, &what, STR("locked")) == 0);
    a = ASK(d, "GET", "/dest/p/report");
    CHECK(str_eq(answer_header(&a, "x-amz-object-lock-mode"), STR("GOVERNANCE")));
    CHECK(store_quota_put(d->home.store, b.id, &(struct store_quota){.objects = 2}) == 0);
    CHECK(place(d, &administrator, &what, STR("more")) == -ERR_QUOTA_EXCEEDED);
    store_bucket_release(&b);
    return 0;
}

DOOR_CASE(what_is_longer_than_a_piece_is_read_back_and_from_anywhere)
{
    enum { LEN = 700 * 1024 + 3 };
    struct jobs_writing what = report();
    struct jobs_object facts = {0};
    struct jobs_reading all = {.len = UINT64_MAX};
    _cleanup_buf_ struct buf data, got;
    buf_init(&data, 0);
    buf_init(&got, 0);
    for (unsigned i = 0; i < LEN; i++)
        buf_put_char(&data, (char)(i * 7 + i / 256));
    CHECK(ASK(d, "PUT", "/dest").status == 200);
    CHECK(place(d, &administrator, &what, buf_str(&data)) == 0);
    CHECK(read_report(d, all, &got, &facts) == 0);
    CHECK(facts.len_bytes == LEN && str_eq(buf_str(&got), buf_str(&data)));
    struct jobs_reading tail = {.off = LEN - 5, .len = 100, .seq = facts.seq};
    CHECK(read_report(d, tail, &got, NULL) == 0);
    CHECK(str_eq(buf_str(&got), str_from_offset(buf_str(&data), LEN - 5)));
    tail.off = LEN + 1;
    CHECK(read_report(d, tail, &got, NULL) == 0 && got.len == 0);
    CHECK(place(d, &administrator, &what, STR("another")) == 0);
    CHECK(read_report(d, tail, &got, NULL) == -ERR_CONFLICT);
    CHECK(ASK(d, "DELETE", "/dest/p/report").status == 204);
    CHECK(read_report(d, all, &got, NULL) == -ERR_NO_SUCH_KEY);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_puts_what_the_buckets_policy_lets_it),
        cmocka_unit_test(the_administrators_jobs_ask_no_policy_but_quotas_and_locks_count),
        cmocka_unit_test(what_is_longer_than_a_piece_is_read_back_and_from_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
