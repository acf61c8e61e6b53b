/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * policy_decide [DECISIONS]: what authorisation adds to a request. A user of ten identity policies
 * (ten statements each) and a bucket policy of fifty statements; one line a case:
 *
 * owner       no policy at all: what every decision costs
 * early       the action is allowed by the first identity policy; all else has to be scanned for a
 *             Deny
 * last        only the last statement of the last identity policy allows it
 * bucket      only the last statement of the bucket policy allows it
 * worst       all fifty statements of the bucket policy speak of the action and the user, with
 *             conditions on address and prefix; the last allows
 * anonymous   nothing but the bucket policy; the last statement allows
 *
 * For exact figures: valgrind --tool=callgrind --toggle-collect=iam_decide.
 */

#include <stdio.h>
#include <time.h>
#include "base/buf.h"
#include "iam/policy_decide.h"

#define USER_POLICIES     10
#define USER_STATEMENTS   10
#define BUCKET_STATEMENTS 50

static const char *const other_actions[] = {
    "s3:PutObject",    "s3:DeleteObject",      "s3:ListBucket",       "s3:GetObjectTagging",
    "s3:PutObjectAcl", "s3:GetBucketLocation", "s3:GetObjectVersion", "s3:AbortMultipartUpload"};

static struct policy *compile(enum policy_kind kind, struct buf *b)
{
    struct policy *p;
    struct policy_fault why;
    CHECK(buf_error(b) == 0);
    if (policy_compile(kind, STR("data"), buf_str(b), &p, &why)) {
        (void)fprintf(stderr, "%s\n%s\n", why.text, b->data);
        exit(1);
    }
    buf_release(b);
    return p;
}

/* Statement `hit` allows GetObject in data/home/; the others speak of other things. */
static struct policy *user_policy(int hit)
{
    struct buf b;
    buf_init(&b, 0);
    buf_put_cstr(&b, "{\"Version\":\"2012-10-17\",\"Statement\":[");
    for (int i = 0; i < USER_STATEMENTS; i++) {
        const char *action =
            i == hit ? "s3:GetObject" : other_actions[(unsigned)i % ARRAY_LEN(other_actions)];
        buf_printf(&b,
                   "%s{\"Sid\":\"S%d\",\"Effect\":\"%s\",\"Action\":[\"%s\"],\"Resource\":"
                   "[\"arn:aws:s3:::data\",\"arn:aws:s3:::data/%s*\"]}",
                   i ? "," : "", i, i % 3 == 2 && i != hit ? "Deny" : "Allow", action,
                   i == hit ? "home/" : "private/");
    }
    buf_put_cstr(&b, "]}");
    return compile(POLICY_IDENTITY, &b);
}

static struct policy *bucket_policy(bool worst, int hit)
{
    struct buf b;
    buf_init(&b, 0);
    buf_put_cstr(&b, "{\"Version\":\"2012-10-17\",\"Statement\":[");
    for (int i = 0; i < BUCKET_STATEMENTS; i++) {
        bool here = i == hit;
        buf_printf(&b, "%s{\"Effect\":\"%s\",\"Principal\":", i ? "," : "",
                   i % 5 == 4 && !here ? "Deny" : "Allow");
        if (worst || here)
            buf_put_cstr(&b, "\"*\"");
        else
            buf_printf(&b, "{\"AWS\":\"arn:aws:iam::%012d:user/u\"}", i);
        buf_printf(&b, ",\"Action\":\"%s\",\"Resource\":\"arn:aws:s3:::data/%s*\"",
                   worst || here || i % 2 ? "s3:GetObject" : "s3:PutObject",
                   worst || here ? "home/" : "team/");
        if (worst && !here)
            buf_printf(&b, ",\"Condition\":{\"IpAddress\":{\"aws:SourceIp\":\"10.%d.0.0/16\"}}", i);
        buf_put_cstr(&b, "}");
    }
    buf_put_cstr(&b, "]}");
    return compile(POLICY_BUCKET, &b);
}

static int context(void *arg, enum iam_key key, struct str name, struct iam_values *ret)
{
    static const struct str address = {"192.0.2.17", 10};
    if (key == IAM_KEY_SOURCE_IP)
        *ret = (struct iam_values){&address, 1};
    return 0;
}

static const struct bench_case {
    const char *name;
    int user_hit;   /* the policy that allows; -1: none; -2: no policies */
    int bucket_hit; /* -1: none; -2: no policy */
    bool worst, anonymous, owner;
} cases[] = {
    {"owner", -2, -2, .owner = true},
    {"early", 0, -1},
    {"last", USER_POLICIES - 1, -1},
    {"bucket", -1, BUCKET_STATEMENTS - 1},
    {"worst", -1, BUCKET_STATEMENTS - 1, .worst = true},
    {"anonymous", -2, BUCKET_STATEMENTS - 1, .anonymous = true},
};

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static void run(const struct bench_case *c, unsigned rounds)
{
    struct iam_named_policy mine[USER_POLICIES];
    struct policy *bucket = c->bucket_hit == -2 ? NULL : bucket_policy(c->worst, c->bucket_hit);
    struct iam_principal user = {.kind = c->owner ? IAM_ACCOUNT : IAM_USER,
                                 .account = STR("111122223333"),
                                 .arn = STR("arn:aws:iam::111122223333:user/alice"),
                                 .name = STR("alice")},
                         nobody = {.kind = IAM_ANONYMOUS};
    struct iam_policies set = {.bucket = bucket};
    for (int i = 0; i < USER_POLICIES; i++)
        mine[i] = (struct iam_named_policy){STR("p"), user_policy(i == c->user_hit ? 9 : -1)};
    if (c->user_hit != -2)
        set.identity = (struct iam_policy_set){mine, USER_POLICIES};
    struct iam_request r = {
        .who = c->anonymous ? &nobody : &user,
        .action = IAM_s3_GetObject,
        .bucket = STR("data"),
        .key = STR("home/alice/2026/report-0001.txt"),
        .resource_account = STR("111122223333"),
        .now_ms = 1767323045000,
        .context = context,
    };
    struct iam_decision d;
    uint64_t start = cpu_ns();
    for (unsigned i = 0; i < rounds; i++) {
        CHECK(iam_decide(&r, &set, &d) == 0);
        CHECK(d.outcome == IAM_ALLOW);
    }
    printf("%-10s %8.1f ns a decision\n", c->name, (double)(cpu_ns() - start) / rounds);
    for (int i = 0; i < USER_POLICIES; i++)
        policy_unref(mine[i].policy);
    policy_unref(bucket);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000000;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
        run(&cases[i], rounds ? rounds : 1);
    return 0;
}
