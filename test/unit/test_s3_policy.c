/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Bucket policies through the door: who gets in by them, who is kept out, and what an answer tells.
 */

#include "s3_help.h"

#define POLICY(statements) "{\"Version\":\"2012-10-17\",\"Statement\":[" statements "]}"
#define STATEMENT(effect, who, action, resource)                                        \
    "{\"Sid\":\"S\",\"Effect\":\"" effect "\",\"Principal\":" who ",\"Action\":" action \
    ",\"Resource\":" resource "}"
#define ANYBODY "\"*\""
#define OTHER   "{\"AWS\":\"arn:aws:iam::other:root\"}"
#define OBJECTS "\"arn:aws:s3:::bucket/*\""
#define BUCKET  "\"arn:aws:s3:::bucket\""
#define BOTH    "[" BUCKET "," OBJECTS "]"

static void FIBER set_up(struct door *d)
{
    CHECK(ASK(d, "PUT", "/bucket").status == 200);
    CHECK(ASK(d, "PUT", "/bucket/k", STR("kept")).status == 200);
}

static int FIBER put_policy(struct door *d, const char *text)
{
    return ASK(d, "PUT", "/bucket?policy", str_from(text)).status;
}

static int FIBER status_of(struct door *d, const char *method, const char *target, const char *key)
{
    return ASK(d, method, target, STR("x"), .form = key ? FORM_SIGNED : FORM_NONE,
               .access_key = key)
        .status;
}

/* ---- the document --------------------------------------------------------------------------- */

DOOR_CASE(policy_is_given_back_as_it_came)
{
    const char *text =
        "{ \"Statement\" : [\n" STATEMENT("Allow", ANYBODY, "\"s3:GetObject\"", OBJECTS) " ] }";
    set_up(d);
    struct answer a = ASK(d, "GET", "/bucket?policy");
    CHECK(a.status == 404 && str_eq(a.code, STR("NoSuchBucketPolicy")));
    CHECK(put_policy(d, text) == 204);
    a = ASK(d, "GET", "/bucket?policy");
    CHECK(a.status == 200 && str_eq(a.body, str_from(text)));
    CHECK(str_eq(answer_header(&a, "content-type"), STR("application/json")));
    CHECK(ASK(d, "DELETE", "/bucket?policy").status == 204);
    CHECK(ASK(d, "DELETE", "/bucket?policy").status == 204);
    CHECK(ASK(d, "GET", "/bucket?policy").status == 404);
    return 0;
}

/* Ceph's way to name a bucket of another tenant, whose users' ids are "TENANT$USER". */
DOOR_CASE(bucket_is_named_by_its_tenant)
{
    static const char *const reads[] = {"/acme:theirs/k", "/acme%3Atheirs/k", "/theirs/k"};
    static const char *const wrong[] = {"/:theirs/k",      "/acm:theirs/k",
                                        "/acme$:theirs/k", "/acme$user:theirs/k",
                                        "/acme:bucket/k",  "/x:acme:theirs/k"};
    add_user(d, "acme$user", "ACMEKEY");
    set_up(d);
    CHECK(ASK(d, "PUT", "/theirs", .access_key = "ACMEKEY").status == 200);
    CHECK(ASK(d, "PUT", "/acme:theirs/k", STR("k"), .access_key = "ACMEKEY").status == 200);
    for (unsigned i = 0; i < ARRAY_LEN(reads); i++) {
        CHECK(status_of(d, "GET", reads[i], "ACMEKEY") == 200);
        CHECK(status_of(d, "GET", reads[i], OWNER_KEY) == 403); /* a name is no right */
        CHECK(status_of(d, "GET", reads[i], NULL) == 403);
    }
    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
        CHECK(status_of(d, "GET", wrong[i], "ACMEKEY") == 404);
        CHECK(status_of(d, "DELETE", wrong[i], "ACMEKEY") == 404);
    }
    CHECK(status_of(d, "GET", "/:bucket/k", OWNER_KEY) == 200);
    CHECK(status_of(d, "GET", "/acme:theirs/k", "ACMEKEY") == 200);
    struct answer a = ASK(d, "PUT", "/acme:new", .access_key = "ACMEKEY");
    CHECK(a.status == 400 && str_eq(a.code, STR("InvalidBucketName")));
    CHECK(status_of(d, "GET", "/acme:", "ACMEKEY") == 400);
    return 0;
}

DOOR_CASE(malformed_policy_is_explained_and_changes_nothing)
{
    set_up(d);
    CHECK(put_policy(d, POLICY(STATEMENT("Allow", ANYBODY, "\"s3:GetObject\"", OBJECTS))) == 204);
    struct answer a = ASK(d, "PUT", "/bucket?policy",
                          STR(POLICY(STATEMENT("Allow", ANYBODY, "\"s3:Nothing\"", OBJECTS))));
    CHECK(a.status == 400 && str_eq(a.code, STR("MalformedPolicy")));
    CHECK(str_find(element_of(&a, "Message"), STR("s3:Nothing"), 0) >= 0);
    CHECK(str_find(element_of(&a, "Message"), STR("statement 1"), 0) >= 0);
    CHECK(ASK(d, "PUT", "/bucket?policy").status == 400);
    CHECK(status_of(d, "GET", "/bucket/k", NULL) == 200);
    return 0;
}

DOOR_CASE(status_tells_whether_it_is_public)
{
    set_up(d);
    struct answer a = ASK(d, "GET", "/bucket?policyStatus");
    CHECK(a.status == 404 && str_eq(a.code, STR("NoSuchBucketPolicy")));
    CHECK(put_policy(d, POLICY(STATEMENT("Allow", OTHER, "\"s3:GetObject\"", OBJECTS))) == 204);
    a = ASK(d, "GET", "/bucket?policyStatus");
    CHECK(str_eq(element_of(&a, "IsPublic"), STR("false")));
    CHECK(put_policy(d, POLICY(STATEMENT("Allow", ANYBODY, "\"s3:GetObject\"", OBJECTS))) == 204);
    a = ASK(d, "GET", "/bucket?policyStatus");
    CHECK(str_eq(element_of(&a, "IsPublic"), STR("true")));
    return 0;
}

/* ---- who gets in ---------------------------------------------------------------------------- */

DOOR_CASE(anybody_reads_what_is_public_and_no_more)
{
    set_up(d);
    CHECK(status_of(d, "GET", "/bucket/k", NULL) == 403);
    CHECK(put_policy(d, POLICY(STATEMENT("Allow", ANYBODY, "\"s3:GetObject\"", OBJECTS))) == 204);
    struct answer a = ASK(d, "GET", "/bucket/k", .form = FORM_NONE);
    CHECK(a.status == 200 && str_eq(a.body, STR("kept")));
    CHECK(status_of(d, "HEAD", "/bucket/k", NULL) == 200);
    CHECK(status_of(d, "GET", "/bucket/k", OTHER_KEY) == 200);
    CHECK(status_of(d, "PUT", "/bucket/k", NULL) == 403);
    CHECK(status_of(d, "DELETE", "/bucket/k", NULL) == 403);
    CHECK(status_of(d, "GET", "/bucket", NULL) == 403);
    CHECK(status_of(d, "GET", "/bucket?policy", NULL) == 403);
    CHECK(status_of(d, "GET", "/bucket/k?versionId=null", NULL) == 403);
    CHECK(ASK(d, "DELETE", "/bucket?policy").status == 204);
    CHECK(status_of(d, "GET", "/bucket/k", NULL) == 403);
    return 0;
}

DOOR_CASE(anybody_writes_where_it_is_granted)
{
    set_up(d);
    CHECK(put_policy(d, POLICY(STATEMENT("Allow", ANYBODY, "\"s3:PutObject\"",
                                         "\"arn:aws:s3:::bucket/in/*\""))) == 204);
    CHECK(status_of(d, "PUT", "/bucket/in/a", NULL) == 200);
    CHECK(status_of(d, "PUT", "/bucket/out", NULL) == 403);
    CHECK(ASK(d, "PUT", "/bucket/in/b", STR("x"), .form = FORM_NONE,
              .headers = {{"x-amz-content-sha256",
                           "0000000000000000000000000000000000000000000000000000000000000000"}})
              .status == 400);
    CHECK(ASK(d, "PUT", "/bucket/in/b", STR("x"), .form = FORM_NONE,
              .headers = {{"x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}})
              .status == 403);
    CHECK(status_of(d, "GET", "/bucket/in/b", OWNER_KEY) == 404);
    struct answer a = ASK(d, "GET", "/bucket?prefix=in");
    CHECK(str_eq(element_of(&a, "ID"), STR("owner"))); /* the bucket's owner owns it */
    return 0;
}

DOOR_CASE(another_user_does_what_the_policy_says)
{
    set_up(d);
    CHECK(put_policy(d, POLICY(STATEMENT("Allow", OTHER, "[\"s3:ListBucket\",\"s3:GetObject\"]",
                                         BOTH))) == 204);
    CHECK(status_of(d, "GET", "/bucket/k", OTHER_KEY) == 200);
    CHECK(status_of(d, "GET", "/bucket?list-type=2", OTHER_KEY) == 200);
    CHECK(status_of(d, "PUT", "/bucket/k", OTHER_KEY) == 403);
    CHECK(status_of(d, "GET", "/bucket/k", NULL) == 403);
    CHECK(put_policy(d, POLICY(STATEMENT("Allow", "{\"AWS\":\"arn:aws:iam:::user/other\"}",
                                         "\"s3:PutObject\"", OBJECTS))) == 204);
    CHECK(status_of(d, "GET", "/bucket/k", OTHER_KEY) == 403);
    CHECK(status_of(d, "PUT", "/bucket/k", OTHER_KEY) == 200);
    CHECK(status_of(d, "GET", "/bucket/k", OTHER_KEY) == 200); /* its writer's now */
    CHECK(status_of(d, "GET", "/bucket/k", OWNER_KEY) == 403);
    return 0;
}

/* ---- who is kept out ------------------------------------------------------------------------ */

DOOR_CASE(deny_wins_over_the_owner_and_root)
{
    set_up(d);
    CHECK(put_policy(
              d, POLICY(STATEMENT("Allow", ANYBODY, "\"s3:*\"",
                                  BOTH) "," /* */
                                        "{\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"*\","
                                        "\"Resource\":" BOTH "}")) == 204);
    const char *const keys[] = {OWNER_KEY, OTHER_KEY, ROOT_KEY, NULL};
    for (unsigned k = 0; k < ARRAY_LEN(keys); k++) {
        CHECK(status_of(d, "GET", "/bucket/k", keys[k]) == 403);
        CHECK(status_of(d, "PUT", "/bucket/k", keys[k]) == 403);
        CHECK(status_of(d, "DELETE", "/bucket", keys[k]) == 403);
        CHECK(status_of(d, "GET", "/bucket?list-type=2", keys[k]) == 403);
        CHECK(status_of(d, "GET", "/bucket?location", keys[k]) == 403);
    }
    /* S3's way out: the owner's root can always replace and remove the policy. */
    CHECK(status_of(d, "GET", "/bucket?policy", OTHER_KEY) == 403);
    CHECK(status_of(d, "GET", "/bucket?policy", OWNER_KEY) == 200);
    CHECK(status_of(d, "DELETE", "/bucket?policy", ROOT_KEY) == 204);
    CHECK(status_of(d, "GET", "/bucket/k", OWNER_KEY) == 200);
    return 0;
}

/* Every operation of the table, by everybody, under a policy that denies it all. */
DOOR_CASE(deny_wins_for_every_operation)
{
    const char *const keys[] = {OWNER_KEY, OTHER_KEY, ROOT_KEY};
    set_up(d);
    CHECK(put_policy(d, POLICY(STATEMENT("Deny", ANYBODY, "\"s3:*\"", BOTH))) == 204);
    for (unsigned i = 0; i < s3_op_count; i++) {
        const struct s3_op *op = &s3_ops[i];
        char target[128];
        if (op->level == S3_SERVICE ||
            (op->flags & (S3_OP_NO_BUCKET | S3_OP_JUDGED_INSIDE | S3_OP_ANYONE)) ||
            strstr(op->name, "BucketPolicy"))
            continue;
        snprintf(target, sizeof(target), "/bucket%s%s%s", op->level == S3_OBJECT ? "/k" : "",
                 op->query ? "?" : "", op->query ? op->query : "");
        for (unsigned k = 0; k < ARRAY_LEN(keys); k++) {
            struct ask a = {
                .method = s3_method_name(op->method), .target = target, .access_key = keys[k]};
            if (op->header) {
                a.headers[0][0] = op->header;
                a.headers[0][1] = "/bucket/k";
            }
            struct answer got = ask(d, &a);
            if (got.status != 403) {
                fprintf(stderr, "%s: %d\n", op->name, got.status);
                CHECK(!"denied");
            }
        }
    }
    CHECK(ASK(d, "DELETE", "/bucket?policy").status == 204);
    CHECK(status_of(d, "GET", "/bucket/k", OWNER_KEY) == 200);
    return 0;
}

DOOR_CASE(every_action_of_the_operations_is_known)
{
    for (unsigned i = 0; i < s3_op_count; i++) {
        CHECK(iam_action_find(str_from(s3_ops[i].action)) >= 0);
        CHECK(iam_action_find(str_from(s3_action(s3_ops[i].action, true))) >= 0);
    }
    return 0;
}

#define BLOCK(policy, restrict)                                                         \
    "<PublicAccessBlockConfiguration><BlockPublicPolicy>" policy                        \
    "</BlockPublicPolicy><RestrictPublicBuckets>" restrict "</RestrictPublicBuckets></" \
                                                           "PublicAccessBlockConfiguration>"

static int FIBER put_document(struct door *d, const char *target, const char *text)
{
    char sum[BASE64_LEN(16) + 1];
    uint8_t md5[16];
    struct md5 hash;
    md5_init(&hash);
    md5_update(&hash, text, strlen(text));
    md5_finish(&hash, md5);
    sum[base64_encode(md5, sizeof(md5), sum)] = 0;
    return ASK(d, "PUT", target, str_from(text), .headers = {{"content-md5", sum}}).status;
}

DOOR_CASE(public_access_block_keeps_the_public_out)
{
    const char *open = POLICY(STATEMENT("Allow", ANYBODY, "\"s3:GetObject\"", OBJECTS));
    const char *shared = POLICY(STATEMENT("Allow", OTHER, "\"s3:GetObject\"", OBJECTS));
    set_up(d);
    struct answer a = ASK(d, "GET", "/bucket?publicAccessBlock");
    CHECK(a.status == 404 && str_eq(a.code, STR("NoSuchPublicAccessBlockConfiguration")));
    CHECK(put_policy(d, open) == 204);
    CHECK(status_of(d, "GET", "/bucket/k", NULL) == 200);
    CHECK(put_document(d, "/bucket?publicAccessBlock", BLOCK("false", "TRUE")) == 200);
    a = ASK(d, "GET", "/bucket?publicAccessBlock");
    CHECK(str_eq(element_of(&a, "RestrictPublicBuckets"), STR("true")));
    CHECK(str_eq(element_of(&a, "BlockPublicAcls"), STR("false")));
    CHECK(status_of(d, "GET", "/bucket/k", NULL) == 403);
    CHECK(status_of(d, "GET", "/bucket/k", OTHER_KEY) == 403);
    CHECK(status_of(d, "GET", "/bucket/k", OWNER_KEY) == 200);
    CHECK(put_document(d, "/bucket?publicAccessBlock", BLOCK("true", "false")) == 200);
    CHECK(status_of(d, "GET", "/bucket/k", NULL) == 200); /* what there is stays */
    CHECK(put_policy(d, open) == 403);
    CHECK(put_policy(d, shared) == 204);
    CHECK(status_of(d, "GET", "/bucket/k", OTHER_KEY) == 200);
    CHECK(put_document(d, "/bucket?publicAccessBlock", BLOCK("perhaps", "false")) == 400);
    CHECK(put_document(d, "/bucket?publicAccessBlock", "<PublicAccess/>") == 400);
    CHECK(ASK(d, "DELETE", "/bucket?publicAccessBlock").status == 204);
    CHECK(put_policy(d, open) == 204);
    return 0;
}

/* ---- what an answer tells ------------------------------------------------------------------- */

DOOR_CASE(absence_is_told_to_who_may_list)
{
    set_up(d);
    CHECK(put_policy(d, POLICY(STATEMENT("Allow", ANYBODY, "\"s3:GetObject\"", OBJECTS))) == 204);
    struct answer a = ASK(d, "GET", "/bucket/absent", .access_key = OTHER_KEY);
    CHECK(a.status == 403 && str_eq(a.code, STR("AccessDenied")) && !element_of(&a, "Key").ptr);
    CHECK(status_of(d, "HEAD", "/bucket/absent", NULL) == 403);
    CHECK(ASK(d, "PUT", "/other").status == 200);
    CHECK(
        ASK(d, "PUT", "/other/copy", .headers = {{"x-amz-copy-source", "bucket/absent"}}).status ==
        404);
    CHECK(put_policy(d, POLICY(STATEMENT(
                            "Allow", ANYBODY, "\"s3:GetObject\"",
                            OBJECTS) "," /* */
                                     "{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":"
                                     "\"s3:ListBucket\",\"Resource\":" BUCKET ",\"Condition\":"
                                     "{\"StringLike\":{\"s3:prefix\":\"pub/*\"}}}")) == 204);
    CHECK(status_of(d, "GET", "/bucket/pub/absent", OTHER_KEY) == 404);
    CHECK(status_of(d, "GET", "/bucket/absent", OTHER_KEY) == 403);
    CHECK(status_of(d, "GET", "/bucket/absent", OWNER_KEY) == 404);
    return 0;
}

DOOR_CASE(conditional_write_needs_the_right_to_read)
{
    set_up(d);
    CHECK(put_policy(d, POLICY(STATEMENT("Allow", OTHER, "[\"s3:PutObject\",\"s3:DeleteObject\"]",
                                         OBJECTS))) == 204);
    for (unsigned present = 0; present < 2; present++) {
        const char *target = present ? "/bucket/k" : "/bucket/absent";
        CHECK(ASK(d, "PUT", target, STR("x"), .access_key = OTHER_KEY,
                  .headers = {{"if-match", "\"781e5e245d69b566979b86e28d23f2c7\""}})
                  .status == 403);
        CHECK(ASK(d, "DELETE", target, .access_key = OTHER_KEY, .headers = {{"if-match", "*"}})
                  .status == 403);
    }
    CHECK(status_of(d, "PUT", "/bucket/k", OTHER_KEY) == 200);
    return 0;
}

/* ---- single operations ---------------------------------------------------------------------- */

#define DELETION                                                                      \
    "<Delete><Object><Key>mine/a</Key></Object><Object><Key>k</Key></Object><Object>" \
    "<Key>mine/b</Key><VersionId>null</VersionId></Object></Delete>"

DOOR_CASE(delete_of_many_judges_each_key)
{
    set_up(d);
    CHECK(ASK(d, "PUT", "/bucket/mine/a", STR("x")).status == 200);
    CHECK(ASK(d, "PUT", "/bucket/mine/b", STR("x")).status == 200);
    CHECK(ASK(d, "POST", "/bucket?delete", STR(DELETION), .access_key = OTHER_KEY,
              .headers = {{"x-amz-checksum-crc32", "AAAAAA=="}})
              .status == 403);
    CHECK(put_policy(d, POLICY(STATEMENT("Allow", OTHER, "\"s3:DeleteObject\"",
                                         "\"arn:aws:s3:::bucket/mine/*\""))) == 204);
    uint8_t md5[16];
    struct md5 hash;
    char text[BASE64_LEN(16) + 1];
    md5_init(&hash);
    md5_update(&hash, DELETION, strlen(DELETION));
    md5_finish(&hash, md5);
    text[base64_encode(md5, sizeof(md5), text)] = 0;
    struct answer a = ASK(d, "POST", "/bucket?delete", STR(DELETION), .access_key = OTHER_KEY,
                          .headers = {{"content-md5", text}});
    CHECK(a.status == 200);
    CHECK(str_find(a.body, STR("<Deleted><Key>mine/a</Key>"), 0) >= 0);
    CHECK(str_find(a.body, STR("<Error><Key>k</Key>"), 0) >= 0);
    CHECK(str_find(a.body, STR("<Error><Key>mine/b</Key>"), 0) >= 0); /* a version is its own */
    CHECK(status_of(d, "GET", "/bucket/k", OWNER_KEY) == 200);
    CHECK(status_of(d, "GET", "/bucket/mine/a", OWNER_KEY) == 404);
    CHECK(status_of(d, "GET", "/bucket/mine/b", OWNER_KEY) == 200);
    return 0;
}

DOOR_CASE(a_version_is_an_action_of_its_own)
{
    set_up(d);
    CHECK(put_policy(d, POLICY(STATEMENT("Allow", OTHER, "[\"s3:DeleteObject\",\"s3:GetObject\"]",
                                         OBJECTS))) == 204);
    CHECK(status_of(d, "GET", "/bucket/k?versionId=null", OTHER_KEY) == 403);
    CHECK(status_of(d, "DELETE", "/bucket/k?versionId=null", OTHER_KEY) == 403);
    CHECK(ASK(d, "PUT", "/theirs", .access_key = OTHER_KEY).status == 200);
    CHECK(ASK(d, "PUT", "/theirs/c", .access_key = OTHER_KEY,
              .headers = {{"x-amz-copy-source", "bucket/k?versionId=null"}})
              .status == 403);
    CHECK(ASK(d, "PUT", "/theirs/c", .access_key = OTHER_KEY,
              .headers = {{"x-amz-copy-source", "bucket/k"}})
              .status == 200);
    CHECK(put_policy(d, POLICY(STATEMENT("Allow", OTHER, "\"s3:DeleteObjectVersion\"", OBJECTS))) ==
          204);
    CHECK(status_of(d, "DELETE", "/bucket/k", OTHER_KEY) == 403);
    CHECK(status_of(d, "DELETE", "/bucket/k?versionId=null", OTHER_KEY) == 204);
    return 0;
}

#define IF(condition)                                                                         \
    POLICY("{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"s3:*\",\"Resource\":" BOTH \
           ",\"Condition\":{" condition "}}")

static const struct {
    const char *policy, *target;
    const char *header[2];
    int status;
} conditions[] = {
    {IF("\"IpAddress\":{\"aws:SourceIp\":\"127.0.0.0/8\"}"), "/bucket/k", {0}, 200},
    {IF("\"IpAddress\":{\"aws:SourceIp\":\"10.0.0.0/8\"}"), "/bucket/k", {0}, 403},
    {IF("\"Bool\":{\"aws:SecureTransport\":\"true\"}"), "/bucket/k", {0}, 403},
    {IF("\"Bool\":{\"aws:SecureTransport\":\"false\"}"), "/bucket/k", {0}, 200},
    {IF("\"StringLike\":{\"aws:Referer\":\"http://a/*\"}"), "/bucket/k", {0}, 403},
    {IF("\"StringLike\":{\"aws:Referer\":\"http://a/*\"}"),
     "/bucket/k",
     {"referer", "http://a/b"},
     200},
    {IF("\"StringEquals\":{\"s3:prefix\":\"k\"}"), "/bucket?prefix=k", {0}, 200},
    {IF("\"StringEquals\":{\"s3:prefix\":\"k\"}"), "/bucket", {0}, 403},
    {IF("\"NumericLessThanEquals\":{\"s3:max-keys\":\"10\"}"), "/bucket?max-keys=10", {0}, 200},
    {IF("\"NumericLessThanEquals\":{\"s3:max-keys\":\"10\"}"), "/bucket?max-keys=11", {0}, 403},
    {IF("\"StringEquals\":{\"s3:authType\":\"REST-HEADER\"}"), "/bucket/k", {0}, 200},
    {IF("\"StringEquals\":{\"s3:signatureversion\":\"AWS4-HMAC-SHA256\"}"), "/bucket/k", {0}, 200},
    {IF("\"NumericLessThan\":{\"s3:signatureAge\":\"600000\"}"), "/bucket/k", {0}, 200},
    {IF("\"StringEquals\":{\"s3:ExistingObjectTag/team\":\"blue\"}"), "/bucket/k", {0}, 200},
    {IF("\"StringEquals\":{\"s3:ExistingObjectTag/team\":\"red\"}"), "/bucket/k", {0}, 403},
    {IF("\"StringEquals\":{\"s3:ExistingObjectTag/Team\":\"blue\"}"), "/bucket/k", {0}, 403},
    {IF("\"StringEquals\":{\"aws:username\":\"other\"}"), "/bucket/k", {0}, 200},
    {IF("\"StringEquals\":{\"aws:PrincipalArn\":\"arn:aws:iam::other:root\"}"),
     "/bucket/k",
     {0},
     200},
    {IF("\"DateGreaterThan\":{\"aws:CurrentTime\":\"2020-01-01T00:00:00Z\"}"),
     "/bucket/k",
     {0},
     200},
};

DOOR_CASE(conditions_see_the_request)
{
    set_up(d);
    CHECK(ASK(d, "PUT", "/bucket/k", STR("kept"), .headers = {{"x-amz-tagging", "team=blue"}})
              .status == 200);
    for (unsigned i = 0; i < ARRAY_LEN(conditions); i++) {
        CHECK(put_policy(d, conditions[i].policy) == 204);
        struct answer a = ASK(d, "GET", conditions[i].target, .access_key = OTHER_KEY,
                              .headers = {{conditions[i].header[0], conditions[i].header[1]}});
        if (a.status != conditions[i].status) {
            fprintf(stderr, "%s: %d\n", conditions[i].policy, a.status);
            CHECK(!"as the condition says");
        }
    }
    return 0;
}

#define TAGGING "<Tagging><TagSet><Tag><Key>team</Key><Value>%s</Value></Tag></TagSet></Tagging>"

DOOR_CASE(tags_in_a_body_are_judged)
{
    static const char *const teams[] = {"blue", "red"};
    set_up(d);
    CHECK(put_policy(d, IF("\"StringEquals\":{\"s3:RequestObjectTag/team\":\"blue\"}")) == 204);
    for (unsigned i = 0; i < 2; i++) {
        char body[256], text[BASE64_LEN(16) + 1];
        uint8_t md5[16];
        struct md5 hash;
        int len = snprintf(body, sizeof(body), TAGGING, teams[i]);
        md5_init(&hash);
        md5_update(&hash, body, (size_t)len);
        md5_finish(&hash, md5);
        text[base64_encode(md5, sizeof(md5), text)] = 0;
        CHECK(ASK(d, "PUT", "/bucket/k?tagging", str_from(body), .access_key = OTHER_KEY,
                  .headers = {{"content-md5", text}})
                  .status == (i == 0 ? 200 : 403));
    }
    CHECK(ASK(d, "PUT", "/bucket/new", STR("x"), .access_key = OTHER_KEY,
              .headers = {{"x-amz-tagging", "team=red"}})
              .status == 403);
    CHECK(ASK(d, "PUT", "/bucket/new", STR("x"), .access_key = OTHER_KEY,
              .headers = {{"x-amz-tagging", "team=blue"}})
              .status == 200);
    return 0;
}

/* ---- records -------------------------------------------------------------------------------- */

DOOR_CASE(a_policy_that_cannot_be_read_denies)
{
    struct store_bucket b;
    set_up(d);
    CHECK(store_bucket_get(d->home.store, &d->arena, STR("bucket"), &b) == 0);
    struct bucket_id id = b.id;
    store_bucket_release(&b);
    CHECK(store_setting_put(d->home.store, id, STORE_SETTING_POLICY, STR("not a policy")) == 0);
    CHECK(status_of(d, "GET", "/bucket/k", OWNER_KEY) == 403);
    CHECK(status_of(d, "GET", "/bucket/k", ROOT_KEY) == 403);
    CHECK(status_of(d, "GET", "/bucket/k", NULL) == 403);
    CHECK(put_policy(d, POLICY(STATEMENT("Allow", OTHER, "\"s3:GetObject\"", OBJECTS))) == 204);
    CHECK(status_of(d, "GET", "/bucket/k", OWNER_KEY) == 200);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policy_is_given_back_as_it_came),
        cmocka_unit_test(bucket_is_named_by_its_tenant),
        cmocka_unit_test(malformed_policy_is_explained_and_changes_nothing),
        cmocka_unit_test(status_tells_whether_it_is_public),
        cmocka_unit_test(anybody_reads_what_is_public_and_no_more),
        cmocka_unit_test(anybody_writes_where_it_is_granted),
        cmocka_unit_test(another_user_does_what_the_policy_says),
        cmocka_unit_test(deny_wins_over_the_owner_and_root),
        cmocka_unit_test(deny_wins_for_every_operation),
        cmocka_unit_test(every_action_of_the_operations_is_known),
        cmocka_unit_test(public_access_block_keeps_the_public_out),
        cmocka_unit_test(absence_is_told_to_who_may_list),
        cmocka_unit_test(conditional_write_needs_the_right_to_read),
        cmocka_unit_test(delete_of_many_judges_each_key),
        cmocka_unit_test(a_version_is_an_action_of_its_own),
        cmocka_unit_test(conditions_see_the_request),
        cmocka_unit_test(tags_in_a_body_are_judged),
        cmocka_unit_test(a_policy_that_cannot_be_read_denies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
