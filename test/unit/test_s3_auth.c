/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Every operation times every form of authentication, generated from the operation table, so that
 * an operation added later is covered the day it is.
 */

#include "s3_help.h"

static void FIBER set_up(struct door *d)
{
    CHECK(ASK(d, "PUT", "/bucket").status == 200);
    CHECK(ASK(d, "PUT", "/bucket/k", STR("kept")).status == 200);
}

static void FIBER check_untouched(struct door *d)
{
    struct answer a = ASK(d, "GET", "/bucket/k");
    CHECK(a.status == 200 && str_eq(a.body, STR("kept")));
    a = ASK(d, "GET", "/bucket?list-type=2");
    CHECK(str_eq(element_of(&a, "KeyCount"), STR("1")));
    a = ASK(d, "GET", "/bucket?uploads");
    CHECK(a.status == 200 && str_find(a.body, STR("<Upload>"), 0) < 0);
}

struct refusal {
    enum form form;
    const char *access_key, *secret;
    int status;
    const char *code;
};

static void FIBER refuse_all(struct door *d, const struct refusal *f)
{
    for (unsigned i = 0; i < s3_op_count; i++) {
        if (s3_ops[i].flags & S3_OP_ANYONE)
            continue;
        char target[256];
        struct ask a = ask_of(&s3_ops[i], true, target, sizeof(target));
        a.form = f->form;
        a.access_key = f->access_key;
        a.secret = f->secret;
        struct answer got = ask(d, &a);
        bool head = s3_ops[i].method == S3_HEAD;
        if (got.status != f->status || (!head && !str_eq(got.code, str_from(f->code)))) {
            fprintf(stderr, "%s: %d %.*s\n", s3_ops[i].name, got.status, STR_FMT(got.code));
            CHECK(!"refused as it should be");
        }
        CHECK(!head || got.body.len == 0);
    }
    check_untouched(d);
}

DOOR_CASE(every_operation_refuses_every_bad_signature)
{
    static const struct refusal refusals[] = {
        {FORM_NONE, NULL, NULL, 403, "AccessDenied"},
        {FORM_SIGNED, NULL, "wrong-secret", 403, "SignatureDoesNotMatch"},
        {FORM_SIGNED, "NOBODY", NULL, 403, "InvalidAccessKeyId"},
        {FORM_UNSIGNED_HEADER, NULL, NULL, 403, "AccessDenied"},
        {FORM_V2, NULL, NULL, 400, "InvalidRequest"},
        {FORM_STALE, NULL, NULL, 403, "RequestTimeTooSkewed"},
    };
    set_up(d);
    for (unsigned i = 0; i < ARRAY_LEN(refusals); i++)
        refuse_all(d, &refusals[i]);
    return 0;
}

static bool is_of_bucket(const struct s3_op *op)
{
    return op->level != S3_SERVICE && !(op->flags & (S3_OP_NO_BUCKET | S3_OP_ANYONE));
}

DOOR_CASE(another_user_is_denied_every_operation)
{
    set_up(d);
    for (unsigned i = 0; i < s3_op_count; i++) {
        char target[256];
        struct ask a = ask_of(&s3_ops[i], true, target, sizeof(target));
        a.access_key = OTHER_KEY;
        if (is_of_bucket(&s3_ops[i]))
            CHECK(ask(d, &a).status == 403);
    }
    struct answer a = ASK(d, "PUT", "/bucket", .access_key = OTHER_KEY);
    CHECK(a.status == 409 && str_eq(a.code, STR("BucketAlreadyExists")));
    a = ASK(d, "GET", "/", .access_key = OTHER_KEY);
    CHECK(a.status == 200 && str_find(a.body, STR("<Bucket>"), 0) < 0);
    check_untouched(d);
    return 0;
}

/* Conditions, keys and uploads must not tell a stranger what is there. */
DOOR_CASE(forbidden_looks_alike_whatever_is_there)
{
    static const char *const conditions[][2] = {
        {"if-none-match", "*"},
        {"if-match", "\"d41d8cd98f00b204e9800998ecf8427e\""},
        {"range", "bytes=100-"},
        {"if-modified-since", "Wed, 01 Jan 2020 00:00:00 GMT"},
    };
    set_up(d);
    for (unsigned i = 0; i < s3_op_count; i++) {
        bool tells = s3_ops[i].level != S3_OBJECT || (s3_ops[i].flags & S3_OP_ANYONE);
        for (unsigned c = 0; !tells && c < ARRAY_LEN(conditions); c++) {
            for (unsigned present = 0; present < 2; present++) {
                char target[256];
                struct ask a = ask_of(&s3_ops[i], present, target, sizeof(target));
                unsigned at = a.headers[0][0] ? 1 : 0;
                a.access_key = OTHER_KEY;
                a.headers[at][0] = conditions[c][0];
                a.headers[at][1] = conditions[c][1];
                struct answer got = ask(d, &a);
                CHECK(got.status == 403);
                CHECK(s3_ops[i].method == S3_HEAD || str_eq(got.code, STR("AccessDenied")));
                CHECK(!answer_header(&got, "etag").ptr &&
                      !answer_header(&got, "last-modified").ptr);
            }
        }
    }
    check_untouched(d);
    return 0;
}

DOOR_CASE(what_anyone_may_ask_tells_nothing_of_what_is_there)
{
    static const char *const targets[] = {"/bucket", "/bucket/k", "/bucket/absent"};
    set_up(d);
    for (unsigned i = 0; i < ARRAY_LEN(targets); i++) {
        struct answer a = ASK(d, "OPTIONS", targets[i], .form = FORM_NONE);
        CHECK(a.status == 400 && str_eq(a.code, STR("BadRequest")));
        a = ASK(d, "OPTIONS", targets[i], .form = FORM_NONE,
                .headers = {{"origin", "http://x"}, {"access-control-request-method", "GET"}});
        CHECK(a.status == 403 && str_eq(a.code, STR("AccessForbidden")));
        CHECK(str_find(a.body, STR("CORS is not enabled for this bucket."), 0) > 0);
    }
    struct answer a = ASK(d, "OPTIONS", "/", .form = FORM_NONE);
    CHECK(a.status == 403 && str_eq(a.code, STR("AccessDenied")));
    return 0;
}

DOOR_CASE(what_is_not_served_answers_not_implemented)
{
    set_up(d);
    for (unsigned i = 0; i < s3_op_count; i++) {
        char target[256];
        struct ask a = ask_of(&s3_ops[i], true, target, sizeof(target));
        a.access_key = ROOT_KEY;
        if (s3_ops[i].handler)
            continue;
        struct answer got = ask(d, &a);
        CHECK(got.status == 501);
        CHECK(s3_ops[i].method == S3_HEAD || str_eq(got.code, STR("NotImplemented")));
    }
    check_untouched(d);
    return 0;
}

/* As in AWS: names of buckets are no secret, what is in them is. */
DOOR_CASE(bucket_that_is_not_there_is_told_to_everybody)
{
    static const char *const methods[] = {"GET", "PUT", "DELETE"};
    static const enum form forms[] = {FORM_SIGNED, FORM_NONE};
    for (unsigned i = 0; i < ARRAY_LEN(methods) * ARRAY_LEN(forms); i++) {
        struct answer a = ASK(d, methods[i % ARRAY_LEN(methods)], "/nobucket/k",
                              .form = forms[i / ARRAY_LEN(methods)]);
        CHECK(a.status == 404 && str_eq(a.code, STR("NoSuchBucket")));
        CHECK(str_eq(element_of(&a, "BucketName"), STR("nobucket")));
    }
    struct answer a =
        ASK(d, "OPTIONS", "/nobucket/k", .form = FORM_NONE,
            .headers = {{"origin", "http://x"}, {"access-control-request-method", "GET"}});
    CHECK(a.status == 403 && str_eq(a.code, STR("AccessForbidden")));
    return 0;
}

DOOR_CASE(source_of_a_copy_is_authorised)
{
    set_up(d);
    CHECK(ASK(d, "PUT", "/theirs", .access_key = OTHER_KEY).status == 200);
    for (unsigned present = 0; present < 2; present++) {
        const char *source = present ? "bucket/k" : "bucket/absent";
        struct answer a = ASK(d, "PUT", "/theirs/stolen", .access_key = OTHER_KEY,
                              .headers = {{"x-amz-copy-source", source}});
        CHECK(a.status == 403 && str_eq(a.code, STR("AccessDenied")));
    }
    CHECK(ASK(d, "GET", "/theirs/stolen", .access_key = OTHER_KEY).status == 404);
    return 0;
}

DOOR_CASE(headers_that_would_change_the_meaning_are_refused)
{
    static const char *const headers[][2] = {
        {"x-amz-server-side-encryption", "aws:kms:dsse"},
        {"x-amz-write-offset-bytes", "4"},
        {"x-cairn-internal", "1"},
        {"x-minio-source-mtime", "1"},
    };
    set_up(d);
    for (unsigned i = 0; i < ARRAY_LEN(headers); i++) {
        struct answer a =
            ASK(d, "PUT", "/bucket/k", STR("other"), .headers = {{headers[i][0], headers[i][1]}});
        CHECK(a.status == 501 && str_eq(a.code, STR("NotImplemented")));
    }
    struct answer a =
        ASK(d, "PUT", "/bucket/k", STR("other"), .headers = {{"x-amz-acl", "no-such"}});
    CHECK(a.status == 400 && str_eq(a.code, STR("InvalidArgument")));
    check_untouched(d);
    CHECK(ASK(d, "PUT", "/bucket/k", STR("kept"), .headers = {{"x-amz-acl", "private"}}).status ==
          200);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_refuses_every_bad_signature),
        cmocka_unit_test(another_user_is_denied_every_operation),
        cmocka_unit_test(forbidden_looks_alike_whatever_is_there),
        cmocka_unit_test(what_is_not_served_answers_not_implemented),
        cmocka_unit_test(what_anyone_may_ask_tells_nothing_of_what_is_there),
        cmocka_unit_test(bucket_that_is_not_there_is_told_to_everybody),
        cmocka_unit_test(source_of_a_copy_is_authorised),
        cmocka_unit_test(headers_that_would_change_the_meaning_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
