/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* The policy language by table: what is read, what is refused and why, and what each word means. */

#include "policy_help.h"

/* ---- the tables ----------------------------------------------------------------------------- */

static void actions_are_in_order_and_found(void **state)
{
    for (unsigned i = 0; i < IAM_ACTION_COUNT; i++) {
        struct str name = iam_action_name(i);
        assert_int_equal(iam_action_find(name), i);
        if (i > 0 && str_cmp(iam_action_name(i - 1), name) >= 0)
            fail_msg("%.*s is out of order", STR_FMT(name));
    }
    assert_int_equal(iam_action_find(STR("s3:getobject")), -1);
    assert_int_equal(iam_action_find(STR("s3:GetObjects")), -1);
    assert_int_equal(iam_action_find(STR("")), -1);
}

static void keys_are_found_whatever_their_case(void **state)
{
    struct str name;
    assert_int_equal(iam_key_find(STR("AWS:sourceip"), &name), IAM_KEY_SOURCE_IP);
    assert_int_equal(iam_key_find(STR("aws:principaltag/Team"), &name), IAM_KEY_PRINCIPAL_TAG);
    assert_true(str_eq(name, STR("Team")));
    assert_int_equal(iam_key_find(STR("jwt:sub"), &name), IAM_KEY_JWT);
    assert_true(str_eq(name, STR("sub")));
    assert_int_equal(iam_key_find(STR("aws:PrincipalTag"), &name), -1);
    assert_int_equal(iam_key_find(STR("aws:PrincipalTag/"), &name), -1);
    assert_int_equal(iam_key_find(STR("s3:prefix/x"), &name), -1);
    assert_int_equal(iam_key_find(STR("jwt:"), &name), -1);
}

/* ---- documents that are taken --------------------------------------------------------------- */

#define V    "'Version':'2012-10-17',"
#define ANY  "'Principal':'*',"
#define OBJS "'Resource':'arn:aws:s3:::bucket/*'"

static const struct {
    const char *name;
    enum policy_kind kind;
    const char *text;
} taken[] = {
    {"minio readonly", POLICY_IDENTITY,
     "{" V "'Statement':[{'Effect':'Allow','Action':['s3:GetBucketLocation','s3:GetObject'],"
     "'Resource':['arn:aws:s3:::*']}]}"},
    {"minio writeonly", POLICY_IDENTITY,
     "{" V "'Statement':[{'Effect':'Allow','Action':['s3:PutObject'],"
     "'Resource':['arn:aws:s3:::*']}]}"},
    {"minio readwrite", POLICY_IDENTITY,
     "{" V "'Statement':[{'Effect':'Allow','Action':['s3:*'],'Resource':['arn:aws:s3:::*']}]}"},
    {"minio diagnostics", POLICY_IDENTITY,
     "{" V "'Statement':[{'Effect':'Allow','Action':['admin:Prometheus','admin:Profiling',"
     "'admin:ServerTrace','admin:ConsoleLog','admin:ServerInfo','admin:TopLocksInfo',"
     "'admin:OBDInfo','admin:BandwidthMonitor'],'Resource':['arn:aws:s3:::*']}]}"},
    {"minio consoleAdmin", POLICY_IDENTITY,
     "{" V "'Statement':[{'Effect':'Allow','Action':['admin:*']},"
     "{'Effect':'Allow','Action':['kms:*']},"
     "{'Effect':'Allow','Action':['s3:*'],'Resource':['arn:aws:s3:::*']}]}"},
    {"minio with its ID and ldap, jwt variables", POLICY_IDENTITY,
     "{'ID':''," V "'Statement':[{'Effect':'Allow','Action':['s3:ListBucket'],'Resource':"
     "['arn:aws:s3:::${jwt:preferred_username}'],'Condition':{'StringLike':{'s3:prefix':"
     "['','${ldap:user}/*']},'ForAnyValue:StringEquals':{'jwt:groups':['a','b']}}}]}"},
    {"one statement, not in a list", POLICY_IDENTITY,
     "{'Statement':{'Effect':'Allow','Action':'*','Resource':'*'}}"},
    {"actions of other services", POLICY_IDENTITY,
     "{" V "'Statement':[{'Effect':'Allow','Action':['sqs:*','ec2:Describe*'],"
     "'Resource':'arn:aws:sqs:*:*:${aws:username}-queue'}]}"},
    {"user policy of the IAM guide", POLICY_IDENTITY,
     "{" V "'Statement':[{'Action':['s3:ListBucket'],'Effect':'Allow',"
     "'Resource':['arn:aws:s3:::mybucket'],'Condition':{'StringLike':{'s3:prefix':"
     "['${aws:username}/*']}}},{'Action':['s3:GetObject','s3:PutObject'],'Effect':'Allow',"
     "'Resource':['arn:aws:s3:::mybucket/${aws:username}/*']}]}"},
    {"numbers and booleans unquoted", POLICY_IDENTITY,
     "{" V "'Statement':[{'Effect':'Allow','Action':'s3:ListBucket','Resource':'*','Condition':"
     "{'NumericLessThanEquals':{'s3:max-keys':10},'Bool':{'aws:SecureTransport':true}}}]}"},
    {"bucket policy, everybody", POLICY_BUCKET,
     "{" V "'Id':'a policy','Statement':[{'Sid':'Public Read','Effect':'Allow'," ANY
     "'Action':['s3:GetObject'],'Resource':['arn:aws:s3:::bucket/*']}]}"},
    {"bucket policy, every kind of principal", POLICY_BUCKET,
     "{" V "'Statement':[{'Effect':'Allow','Principal':{'AWS':['111122223333',"
     "'arn:aws:iam::111122223333:root','arn:aws:iam::111122223333:user/path/bob',"
     "'arn:aws:sts::111122223333:assumed-role/r/s'],'CanonicalUser':'79a59df900b949e5',"
     "'Federated':'cognito-identity.amazonaws.com','Service':'cloudtrail.amazonaws.com'},"
     "'Action':'s3:*','Resource':['arn:aws:s3:::bucket','arn:aws:s3:::bucket/*']}]}"},
    {"bucket policy, wildcard and account in the resource", POLICY_BUCKET,
     "{" V "'Statement':[{'Effect':'Allow'," ANY "'Action':'s3:*','Resource':"
     "['arn:aws:s3:::*','arn:aws:s3:::*/*','arn:aws:s3::*:bucket']}]}"},
    {"bucket policy, one Sid for two statements", POLICY_BUCKET,
     "{" V "'Statement':[{'Sid':'a','Effect':'Deny'," ANY "'Action':'s3:*'," OBJS "},"
     "{'Sid':'a','Effect':'Deny'," ANY "'Action':'s3:*'," OBJS "}]}"},
    {"not, not and not", POLICY_BUCKET,
     "{" V "'Statement':[{'Effect':'Deny','NotPrincipal':{'AWS':'111122223333'},"
     "'NotAction':'s3:GetObject','NotResource':'arn:aws:s3:::bucket/public/*'}]}"},
    {"tags of the S3 guide", POLICY_BUCKET,
     "{" V "'Statement':[{'Effect':'Allow'," ANY "'Action':'s3:GetObject'," OBJS
     ",'Condition':{'StringEquals':{'s3:ExistingObjectTag/environment':'production'}}}]}"},
    {"trust of a role", POLICY_TRUST,
     "{" V "'Statement':[{'Effect':'Allow','Principal':{'Federated':'accounts.google.com'},"
     "'Action':'sts:AssumeRoleWithWebIdentity'}]}"},
};

static void documents_of_others_are_taken(void **state)
{
    for (unsigned i = 0; i < ARRAY_LEN(taken); i++) {
        struct policy *p;
        struct policy_fault why;
        if (try_compile(taken[i].kind, taken[i].text, &p, &why))
            fail_msg("%s: %s", taken[i].name, why.text);
        policy_unref(p);
    }
}

static void the_document_is_kept_byte_for_byte(void **state)
{
    struct str text = STR("{ \"Statement\" :\n[{\"Effect\":\"Deny\",\"Action\":\"*\",\t"
                          "\"Resource\":\"*\"}]  }\n");
    struct policy *p;
    struct policy_fault why;
    assert_int_equal(policy_compile(POLICY_IDENTITY, STR(""), text, &p, &why), 0);
    assert_true(str_eq(policy_document(p), text));
    struct policy *again = policy_ref(p);
    policy_unref(p);
    assert_int_equal(policy_statement_count(again), 1);
    policy_unref(again);
}

/* ---- documents that are refused ------------------------------------------------------------- */

#define ALLOW "'Effect':'Allow',"
#define S(x)  "{" V "'Statement':[{" x "}]}"

static const struct {
    enum policy_kind kind;
    const char *text, *why;
} refused[] = {
    {POLICY_BUCKET, "", "first byte must be '{'"},
    {POLICY_BUCKET, " {}", "first byte must be '{'"},
    {POLICY_BUCKET, "[]", "first byte must be '{'"},
    {POLICY_BUCKET, "{", "invalid Json"},
    {POLICY_BUCKET, "{} x", "invalid Json"},
    {POLICY_BUCKET, "{'Statement':[],'Statement':[]}", "duplicate object key"},
    {POLICY_BUCKET, "{'a':[[[[[[[[1]]]]]]]]}", "nested at most"},
    {POLICY_BUCKET, "{}", "Missing required field Statement"},
    {POLICY_BUCKET, "{'Statement':[]}", "Missing required field Statement"},
    {POLICY_BUCKET, "{'Statement':'x'}", "Statement must be"},
    {POLICY_BUCKET, "{'Statement':[1]}", "a statement must be an object (statement 1)"},
    {POLICY_BUCKET, "{'Version':'2012-10-18','Statement':[]}", "valid version string"},
    {POLICY_BUCKET, "{'Version':2012,'Statement':[]}", "valid version string"},
    {POLICY_BUCKET, "{'version':'2012-10-17'}", "Unknown field version"},
    {POLICY_BUCKET, "{'Id':1,'Statement':[]}", "Id must be a text"},
    {POLICY_BUCKET, S("'Effect':'allow'," ANY "'Action':'s3:*'," OBJS), "Invalid effect: allow"},
    {POLICY_BUCKET, S(ANY "'Action':'s3:*'," OBJS), "Missing required field Effect"},
    {POLICY_BUCKET, S(ALLOW "'Action':'s3:*'," OBJS), "Missing required field Principal"},
    {POLICY_BUCKET, S(ALLOW ANY OBJS), "Missing required field Action"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:*'"), "Missing required field Resource"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:*','Note':1," OBJS), "Unknown field Note"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:*','NotAction':'s3:*'," OBJS), "not both"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':[]," OBJS), "Action must be a text or a list"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':['s3:*',1]," OBJS), "Action must be a text or a list"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:Foo'," OBJS),
     "Policy has invalid action: \"s3:Foo\""},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'GetObject'," OBJS), "invalid action"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'sqs:*'," OBJS), "invalid action"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:Get Object'," OBJS), "invalid action"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:*','Resource':'arn:aws:s3:::other/*'"),
     "Policy has invalid resource: \"arn:aws:s3:::other/*\""},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:*','Resource':'*'"), "invalid resource"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:*','Resource':'bucket/*'"), "invalid resource"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:*','Resource':'arn:aws:s3:::'"), "invalid resource"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:*','Resource':'arn:aws:s3:us-east-1::bucket'"),
     "invalid resource"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:*','Resource':'arn:aws:s3:::bucket/${aws:nothing}'"),
     "invalid resource"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:*','Resource':'arn:aws:s3:::bucket/${aws:userid'"),
     "invalid resource"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:GetObject','Resource':'arn:aws:s3:::bucket'"),
     "Action does not apply to any resource(s) in statement: \"s3:GetObject\""},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':['s3:*','s3:ListBucket']," OBJS),
     "Action does not apply to any resource(s) in statement: \"s3:ListBucket\""},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:ListAllMyBuckets','Resource':'arn:aws:s3:::bucket'"),
     "Action does not apply"},
    {POLICY_BUCKET, S(ALLOW "'NotPrincipal':{'AWS':'111122223333'},'Action':'s3:*'," OBJS),
     "Allow with NotPrincipal is not allowed"},
    {POLICY_BUCKET, S(ALLOW "'Principal':'bob','Action':'s3:*'," OBJS), "Invalid principal"},
    {POLICY_BUCKET, S(ALLOW "'Principal':{},'Action':'s3:*'," OBJS), "Invalid principal"},
    {POLICY_BUCKET, S(ALLOW "'Principal':{'Aws':'*'},'Action':'s3:*'," OBJS), "Invalid principal"},
    {POLICY_BUCKET, S(ALLOW "'Principal':{'AWS':[]},'Action':'s3:*'," OBJS), "Principal must be"},
    {POLICY_BUCKET,
     S(ALLOW "'Principal':{'AWS':'arn:aws:iam::111122223333:user/*'},'Action':'s3:*'," OBJS),
     "Invalid principal in policy: \"AWS\": \"arn:aws:iam::111122223333:user/*\""},
    {POLICY_BUCKET, S(ALLOW "'Principal':{'AWS':'arn:aws:s3:::b'},'Action':'s3:*'," OBJS),
     "Invalid principal"},
    {POLICY_BUCKET, S(ALLOW "'Principal':{'Service':'*'},'Action':'s3:*'," OBJS),
     "Invalid principal"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:*'," OBJS ",'Condition':[]"), "Condition must be"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:*'," OBJS ",'Condition':{'StringEqual':{}}"),
     "Invalid Condition type : StringEqual"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:*'," OBJS ",'Condition':{'NullIfExists':{}}"),
     "Invalid Condition type"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:*'," OBJS ",'Condition':{'Bool':{}}"),
     "must be an object of keys"},
    {POLICY_BUCKET, S(ALLOW ANY "'Action':'s3:*'," OBJS ",'Condition':{'Bool':{'s3:Foo':'true'}}"),
     "Policy has an invalid condition key: s3:Foo"},
    {POLICY_BUCKET,
     S(ALLOW ANY "'Action':'s3:*'," OBJS ",'Condition':{'Bool':{'aws:SecureTransport':'yes'}}"),
     "invalid condition value: \"yes\" of aws:SecureTransport; Bool takes true or false"},
    {POLICY_BUCKET,
     S(ALLOW ANY "'Action':'s3:*'," OBJS ",'Condition':{'Bool':{'aws:SecureTransport':null}}"),
     "is no text"},
    {POLICY_BUCKET,
     S(ALLOW ANY "'Action':'s3:*'," OBJS ",'Condition':{'Bool':{'aws:SecureTransport':[]}}"),
     "takes 1 to"},
    {POLICY_BUCKET,
     S(ALLOW ANY "'Action':'s3:*'," OBJS
                 ",'Condition':{'IpAddress':{'aws:SourceIp':'1.2.3.4/33'}}"),
     "an IP address or a CIDR block"},
    {POLICY_BUCKET,
     S(ALLOW ANY "'Action':'s3:*'," OBJS ",'Condition':{'IpAddress':{'aws:SourceIp':'1.2.3'}}"),
     "an IP address"},
    {POLICY_BUCKET,
     S(ALLOW ANY "'Action':'s3:*'," OBJS ",'Condition':{'NumericEquals':{'s3:max-keys':'0x10'}}"),
     "a decimal number"},
    {POLICY_BUCKET,
     S(ALLOW ANY "'Action':'s3:*'," OBJS
                 ",'Condition':{'DateEquals':{'aws:CurrentTime':'yesterday'}}"),
     "a date"},
    {POLICY_BUCKET,
     S(ALLOW ANY "'Action':'s3:*'," OBJS ",'Condition':{'BinaryEquals':{'aws:UserAgent':'!'}}"),
     "Base64"},
    {POLICY_BUCKET,
     S(ALLOW ANY "'Action':'s3:*'," OBJS ",'Condition':{'ArnLike':{'aws:SourceArn':'arn:x'}}"),
     "an ARN"},
    {POLICY_BUCKET,
     S(ALLOW ANY "'Action':'s3:GetObject'," OBJS ",'Condition':{'StringLike':{'s3:prefix':'x'}}"),
     "Conditions do not apply to combination of actions and resources in statement: s3:prefix"},
    {POLICY_BUCKET,
     S(ALLOW ANY "'Action':'s3:*'," OBJS ",'Condition':{'StringLike':{'aws:Referer':'x',"
                 "'AWS:referer':'y'}}"),
     "twice"},
    {POLICY_IDENTITY,
     "{" V "'Statement':[{'Sid':'a','Effect':'Deny','Action':'s3:*'," OBJS "},"
     "{'Sid':'a','Effect':'Deny','Action':'s3:*'," OBJS "}]}",
     "must be unique (statement 2, Sid \"a\")"},
    {POLICY_IDENTITY, S(ALLOW ANY "'Action':'s3:*','Resource':'*'"),
     "should not specify a principal"},
    {POLICY_IDENTITY, S(ALLOW "'Action':'s3:*'"), "Missing required field Resource"},
    {POLICY_IDENTITY, S(ALLOW "'Action':['admin:*','s3:*']"), "Missing required field Resource"},
    {POLICY_IDENTITY, S(ALLOW "'Action':'s3:*','Resource':'bucket'"), "invalid resource"},
    {POLICY_IDENTITY, S(ALLOW "'Action':'s3','Resource':'*'"), "invalid action"},
    {POLICY_TRUST, S(ALLOW ANY "'Action':'s3:*'"), "invalid action"},
    {POLICY_TRUST, S(ALLOW ANY "'Action':'sts:AssumeRole','Resource':'*'"), "prohibited"},
};

static void what_is_wrong_is_said_and_where(void **state)
{
    for (unsigned i = 0; i < ARRAY_LEN(refused); i++) {
        struct policy *p = NULL;
        struct policy_fault why;
        int r = try_compile(refused[i].kind, refused[i].text, &p, &why);
        if (r != -ERR_MALFORMED_POLICY)
            fail_msg("%u is taken, or fails with %d: %s", i, r, refused[i].text);
        if (!strstr(why.text, refused[i].why))
            fail_msg("%u: \"%s\" instead of \"%s\"", i, why.text, refused[i].why);
    }
}

static void limits_hold(void **state)
{
    struct policy *p;
    struct policy_fault why;
    char *text = calloc(1, POLICY_DOCUMENT_MAX + 2);
    size_t len = (size_t)sprintf(text, "{\"Statement\":{\"Effect\":\"Deny\",\"Action\":\"*\","
                                       "\"Resource\":\"*\"}}");
    memset(text + len, ' ', POLICY_DOCUMENT_MAX - len);
    assert_int_equal(
        policy_compile(POLICY_IDENTITY, STR(""), str_make(text, POLICY_DOCUMENT_MAX), &p, &why), 0);
    policy_unref(p);
    text[POLICY_DOCUMENT_MAX] = ' ';
    assert_int_equal(
        policy_compile(POLICY_IDENTITY, STR(""), str_make(text, POLICY_DOCUMENT_MAX + 1), &p, &why),
        -ERR_MALFORMED_POLICY);
    assert_non_null(strstr(why.text, "maximum allowed document size"));
    /* More wildcards than a pattern may have. */
    len = (size_t)sprintf(text, "{\"Statement\":{\"Effect\":\"Deny\",\"Action\":\"s3:*\","
                                "\"Resource\":\"arn:aws:s3:::b/");
    for (unsigned i = 0; i < 64; i++)
        len += (size_t)sprintf(text + len, "a?");
    len += (size_t)sprintf(text + len, "\"}}");
    assert_int_equal(policy_compile(POLICY_IDENTITY, STR(""), str_make(text, len), &p, &why),
                     -ERR_MALFORMED_POLICY);
    /* A list of values too long to be meant. */
    len = (size_t)sprintf(text, "{\"Statement\":{\"Effect\":\"Deny\",\"Action\":[\"*\"");
    for (unsigned i = 0; i < POLICY_VALUES_MAX; i++)
        len += (size_t)sprintf(text + len, ",\"*\"");
    len += (size_t)sprintf(text + len, "],\"Resource\":\"*\"}}");
    assert_int_equal(policy_compile(POLICY_IDENTITY, STR(""), str_make(text, len), &p, &why),
                     -ERR_MALFORMED_POLICY);
    assert_non_null(strstr(why.text, "more than 1024 values"));
    free(text);
}

/* ---- resources ------------------------------------------------------------------------------ */

static bool allowed(const struct policy *p, const char *action, const char *bucket, const char *key,
                    const char *context)
{
    struct iam_principal who = alice();
    struct iam_named_policy named = {STR("p"), p};
    struct iam_policies set = {.identity = {&named, 1}};
    struct context c;
    context_init(&c, context);
    struct iam_request r = {
        .who = &who,
        .action = (enum iam_action)iam_action_find(str_from(action)),
        .bucket = str_from(bucket),
        .key = str_from(key),
        .now_ms = 1767323045000, /* 2026-01-02T03:04:05Z */
        .context = context_get,
        .context_arg = &c,
    };
    struct iam_decision d;
    assert_int_equal(iam_decide(&r, &set, &d), 0);
    return d.outcome == IAM_ALLOW;
}

static const struct {
    const char *resource, *bucket, *key;
    bool fits;
} resources[] = {
    {"*", "b", "k", true},
    {"arn:aws:s3:::*", "b", "k", true},
    {"arn:aws:s3:::*", "b", "", true},
    {"arn:aws:s3:::b", "b", "", true},
    {"arn:aws:s3:::b", "b", "k", false},
    {"arn:aws:s3:::b", "bb", "", false},
    {"arn:aws:s3:::b/*", "b", "", false},
    {"arn:aws:s3:::b/*", "b", "k", true},
    {"arn:aws:s3:::b/*", "b", "k/l/m", true},
    {"arn:aws:s3:::b*", "b", "k", true},
    {"arn:aws:s3:::b*", "bucket", "", true},
    {"arn:aws:s3:::b/k", "b", "k", true},
    {"arn:aws:s3:::b/k", "b", "kk", false},
    {"arn:aws:s3:::b/K", "b", "k", false},
    {"arn:aws:s3:::b/a*c", "b", "abc", true},
    {"arn:aws:s3:::b/a*c", "b", "ac", true},
    {"arn:aws:s3:::b/a*c", "b", "acd", false},
    {"arn:aws:s3:::b/a*c", "b", "acc", true},
    {"arn:aws:s3:::b/a*b*c", "b", "abbbc", true},
    {"arn:aws:s3:::b/a*b*c", "b", "acb", false},
    {"arn:aws:s3:::b/*/x/*", "b", "a/x/b", true},
    {"arn:aws:s3:::b/*/x/*", "b", "x/b", false},
    {"arn:aws:s3:::b/a?c", "b", "abc", true},
    {"arn:aws:s3:::b/a?c", "b", "ac", false},
    {"arn:aws:s3:::b/a?c", "b",
     "a\xc3\xa9"
     "c",
     true},
    {"arn:aws:s3:::b/??", "b", "\xc3\xa9\xc3\xa9", true},
    {"arn:aws:s3:::b/??", "b", "\xc3\xa9", false},
    {"arn:aws:s3:::b/*??", "b", "\xc3\xa9", false},
    {"arn:aws:s3:::b/*?", "b", "\xc3\xa9", true},
    {"arn:aws:s3:::b/*a?", "b", "aaab", true},
    {"arn:aws:s3:::b/**", "b", "k", true},
    {"arn:aws:s3:::?", "b", "", true},
    {"arn:aws:s3:::b/${aws:username}/*", "b", "alice/x", true},
    {"arn:aws:s3:::b/${aws:username}/*", "b", "bob/x", false},
    {"arn:aws:s3:::b/${AWS:UserName}", "b", "alice", true},
    {"arn:aws:s3:::b/${aws:PrincipalTag/t, ^none^}/*", "b", "none/x", true},
    {"arn:aws:s3:::b/${aws:PrincipalTag/t,^^}x", "b", "x", true},
    {"arn:aws:s3:::b/${aws:PrincipalTag/t}/*", "b", "/x", false},
    {"arn:aws:s3:::b/${aws:PrincipalTag/t}*", "b", "x", false},
    {"arn:aws:s3:::b/${*}", "b", "*", true},
    {"arn:aws:s3:::b/${*}", "b", "x", false},
    {"arn:aws:s3:::b/${?}${$}", "b", "?$", true},
    {"arn:aws:s3:::b/${aws:UserAgent}", "b", "a", false}, /* its star is text */
    {"arn:aws:s3:::b/${aws:UserAgent}", "b", "*", true},
    {"arn:aws-cn:s3:::b/*", "b", "k", true},
    {"arn:aws:s3:eu-1:111122223333:accesspoint/b", "b", "k", false},
    {"arn:aws:sqs:*:*:*", "b", "k", false},
};

static void resources_fit_as_documented(void **state)
{
    for (unsigned i = 0; i < ARRAY_LEN(resources); i++) {
        char text[512];
        snprintf(text, sizeof(text), S(ALLOW "'Action':'s3:*','Resource':'%s'"),
                 resources[i].resource);
        struct policy *p = compile(POLICY_IDENTITY, text);
        const char *action = resources[i].key[0] ? "s3:GetObject" : "s3:ListBucket";
        if (allowed(p, action, resources[i].bucket, resources[i].key, "aws:UserAgent=*") !=
            resources[i].fits)
            fail_msg("%s on %s/%s", resources[i].resource, resources[i].bucket, resources[i].key);
        policy_unref(p);
    }
}

static void variables_are_text_before_2012(void **state)
{
    struct policy *p =
        compile(POLICY_IDENTITY, "{'Version':'2008-10-17','Statement':{'Effect':'Allow','Action':"
                                 "'s3:*','Resource':'arn:aws:s3:::b/${aws:username}'}}");
    assert_false(allowed(p, "s3:GetObject", "b", "alice", ""));
    assert_true(allowed(p, "s3:GetObject", "b", "${aws:username}", ""));
    policy_unref(p);
}

static void actions_match_without_regard_to_case(void **state)
{
    struct policy *p = compile(POLICY_IDENTITY, S(ALLOW "'Action':['S3:getobject','s3:Put*'],"
                                                        "'Resource':'*'"));
    assert_true(allowed(p, "s3:GetObject", "b", "k", ""));
    assert_true(allowed(p, "s3:PutObjectAcl", "b", "k", ""));
    assert_false(allowed(p, "s3:GetObjectAcl", "b", "k", ""));
    policy_unref(p);
    p = compile(POLICY_IDENTITY, S(ALLOW "'NotAction':'s3:Delete*','Resource':'*'"));
    assert_true(allowed(p, "s3:GetObject", "b", "k", ""));
    assert_false(allowed(p, "s3:DeleteObjectVersion", "b", "k", ""));
    policy_unref(p);
    p = compile(POLICY_IDENTITY, S(ALLOW "'Action':'s3:?etObject','Resource':'*'"));
    assert_true(allowed(p, "s3:GetObject", "b", "k", ""));
    policy_unref(p);
}

static void consoleAdmin_may_administer(void **state)
{
    struct policy *p = compile(POLICY_IDENTITY, taken[4].text);
    assert_true(allowed(p, "admin:CreateUser", "", "", ""));
    assert_true(allowed(p, "s3:ListAllMyBuckets", "", "", ""));
    assert_true(allowed(p, "s3:DeleteBucket", "b", "", ""));
    assert_false(allowed(p, "iam:CreateUser", "", "", ""));
    policy_unref(p);
    p = compile(POLICY_IDENTITY, taken[3].text);
    assert_true(allowed(p, "admin:Prometheus", "", "", ""));
    assert_false(allowed(p, "admin:CreateUser", "", "", ""));
    policy_unref(p);
}

/* ---- conditions ----------------------------------------------------------------------------- */

static const struct {
    const char *condition, *context;
    bool holds;
} conditions[] = {
    /* strings */
    {"'StringEquals':{'s3:prefix':'a'}", "s3:prefix=a", true},
    {"'StringEquals':{'s3:prefix':'a'}", "s3:prefix=A", false},
    {"'StringEquals':{'s3:prefix':'a'}", "", false},
    {"'StringEquals':{'s3:prefix':''}", "s3:prefix=", true},
    {"'StringEquals':{'s3:prefix':['a','b']}", "s3:prefix=b", true},
    {"'StringEquals':{'s3:prefix':'a*'}", "s3:prefix=ab", false},
    {"'StringEquals':{'s3:prefix':'a*'}", "s3:prefix=a*", true},
    {"'StringEquals':{'S3:Prefix':'a'}", "s3:prefix=a", true},
    {"'StringNotEquals':{'s3:prefix':'a'}", "s3:prefix=a", false},
    {"'StringNotEquals':{'s3:prefix':'a'}", "s3:prefix=b", true},
    {"'StringNotEquals':{'s3:prefix':['a','b']}", "s3:prefix=b", false},
    {"'StringNotEquals':{'s3:prefix':'a'}", "", true},
    {"'StringEqualsIgnoreCase':{'s3:prefix':'aB'}", "s3:prefix=Ab", true},
    {"'StringNotEqualsIgnoreCase':{'s3:prefix':'aB'}", "s3:prefix=Ab", false},
    {"'StringLike':{'s3:prefix':'a*'}", "s3:prefix=abc", true},
    {"'StringLike':{'s3:prefix':'a?'}", "s3:prefix=abc", false},
    {"'StringLike':{'s3:prefix':'A*'}", "s3:prefix=abc", false},
    {"'StringLike':{'s3:prefix':['','home/','home/${aws:username}/*']}", "s3:prefix=home/alice/x",
     true},
    {"'StringLike':{'s3:prefix':['','home/','home/${aws:username}/*']}", "s3:prefix=home/bob/x",
     false},
    {"'StringLike':{'s3:prefix':['','home/']}", "s3:prefix=", true},
    {"'StringNotLike':{'s3:prefix':'a*'}", "s3:prefix=abc", false},
    {"'StringNotLike':{'s3:prefix':'a*'}", "", true},
    {"'StringEquals':{'aws:username':'alice'}", "", true},
    {"'StringEquals':{'aws:PrincipalArn':'" ALICE_ARN "'}", "", true},
    {"'StringEquals':{'aws:PrincipalType':'User'}", "", true},
    {"'StringEquals':{'aws:userid':'AIDAUSER'}", "", true},
    {"'StringEquals':{'s3:prefix':'${aws:Referer}'}", "s3:prefix=x;aws:Referer=x", true},
    {"'StringEquals':{'s3:prefix':'${aws:Referer}'}", "s3:prefix=", false},
    {"'StringNotEquals':{'s3:prefix':'${aws:Referer}'}", "s3:prefix=x", false}, /* unresolved */
    /* IfExists */
    {"'StringEqualsIfExists':{'s3:prefix':'a'}", "", true},
    {"'StringEqualsIfExists':{'s3:prefix':'a'}", "s3:prefix=b", false},
    {"'StringNotEqualsIfExists':{'s3:prefix':'a'}", "", true},
    {"'StringNotEqualsIfExists':{'s3:prefix':'a'}", "s3:prefix=a", false},
    {"'ForAnyValue:StringEqualsIfExists':{'aws:TagKeys':'a'}", "", true},
    /* numbers */
    {"'NumericEquals':{'s3:max-keys':'10'}", "s3:max-keys=10.0", true},
    {"'NumericNotEquals':{'s3:max-keys':'10'}", "s3:max-keys=10", false},
    {"'NumericLessThan':{'s3:max-keys':'10'}", "s3:max-keys=9", true},
    {"'NumericLessThan':{'s3:max-keys':'10'}", "s3:max-keys=10", false},
    {"'NumericLessThanEquals':{'s3:max-keys':10}", "s3:max-keys=10", true},
    {"'NumericGreaterThan':{'s3:max-keys':'-1.5e1'}", "s3:max-keys=-14", true},
    {"'NumericGreaterThanEquals':{'s3:max-keys':'10'}", "s3:max-keys=9", false},
    {"'NumericLessThan':{'s3:max-keys':'10'}", "s3:max-keys=many", false},
    {"'NumericNotEquals':{'s3:max-keys':'10'}", "s3:max-keys=many", true},
    {"'NumericLessThan':{'s3:max-keys':'10'}", "", false},
    {"'NumericLessThan':{'s3:max-keys':['1','10']}", "s3:max-keys=9", true},
    /* dates: now is 2026-01-02T03:04:05Z */
    {"'DateGreaterThan':{'aws:CurrentTime':'2026-01-01T00:00:00Z'}", "", true},
    {"'DateLessThan':{'aws:CurrentTime':'2026-01-02'}", "", false},
    {"'DateLessThan':{'aws:CurrentTime':'2026-01-02T03:04:06+00:00'}", "", true},
    {"'DateEquals':{'aws:CurrentTime':'2026-01-02T03:04:05Z'}", "", true},
    {"'DateNotEquals':{'aws:CurrentTime':'2026-01-02T03:04:05Z'}", "", false},
    {"'DateLessThanEquals':{'aws:EpochTime':'1767323045'}", "", true},
    {"'DateGreaterThanEquals':{'aws:EpochTime':'1767323046'}", "", false},
    {"'NumericLessThan':{'aws:EpochTime':'1767323046'}", "", true},
    {"'DateLessThan':{'aws:TokenIssueTime':'2026-01-02T00:00:00Z'}", "", false},
    {"'DateLessThan':{'aws:TokenIssueTime':'2026-01-02T00:00:00Z'}",
     "aws:TokenIssueTime=2026-01-01T23:00:00Z", true},
    /* booleans */
    {"'Bool':{'aws:SecureTransport':'true'}", "aws:SecureTransport=true", true},
    {"'Bool':{'aws:SecureTransport':'TRUE'}", "aws:SecureTransport=true", true},
    {"'Bool':{'aws:SecureTransport':false}", "aws:SecureTransport=true", false},
    {"'Bool':{'aws:SecureTransport':'false'}", "", false},
    {"'BoolIfExists':{'aws:MultiFactorAuthPresent':'false'}", "", true},
    /* binary */
    {"'BinaryEquals':{'aws:UserAgent':'QmluYXJ5'}", "aws:UserAgent=Binary", true},
    {"'BinaryEquals':{'aws:UserAgent':'QmluYXJ5'}", "aws:UserAgent=binary", false},
    /* addresses */
    {"'IpAddress':{'aws:SourceIp':'203.0.113.0/24'}", "aws:SourceIp=203.0.113.77", true},
    {"'IpAddress':{'aws:SourceIp':'203.0.113.0/24'}", "aws:SourceIp=203.0.114.1", false},
    {"'IpAddress':{'aws:SourceIp':'203.0.113.0/25'}", "aws:SourceIp=203.0.113.128", false},
    {"'IpAddress':{'aws:SourceIp':'203.0.113.5'}", "aws:SourceIp=203.0.113.5", true},
    {"'IpAddress':{'aws:SourceIp':'203.0.113.5'}", "aws:SourceIp=203.0.113.6", false},
    {"'IpAddress':{'aws:SourceIp':'0.0.0.0/0'}", "aws:SourceIp=8.8.8.8", true},
    {"'IpAddress':{'aws:SourceIp':'0.0.0.0/0'}", "aws:SourceIp=2001:db8::1", false},
    {"'IpAddress':{'aws:SourceIp':'::/0'}", "aws:SourceIp=8.8.8.8", false},
    {"'IpAddress':{'aws:SourceIp':'2001:DB8:1234:5678::/64'}",
     "aws:SourceIp=2001:db8:1234:5678:1::2", true},
    {"'IpAddress':{'aws:SourceIp':'2001:DB8:1234:5678::/64'}", "aws:SourceIp=2001:db8:1234:5679::2",
     false},
    {"'IpAddress':{'aws:SourceIp':'203.0.113.0/24'}", "aws:SourceIp=::ffff:203.0.113.9", true},
    {"'IpAddress':{'aws:SourceIp':'::ffff:203.0.113.0/120'}", "aws:SourceIp=203.0.113.9", true},
    {"'IpAddress':{'aws:SourceIp':'203.0.113.0/24'}", "", false},
    {"'IpAddress':{'aws:SourceIp':'203.0.113.0/24'}", "aws:SourceIp=nonsense", false},
    {"'NotIpAddress':{'aws:SourceIp':'203.0.113.0/24'}", "aws:SourceIp=203.0.113.9", false},
    {"'NotIpAddress':{'aws:SourceIp':['203.0.113.0/24','10.0.0.0/8']}", "aws:SourceIp=10.1.1.1",
     false},
    {"'NotIpAddress':{'aws:SourceIp':'203.0.113.0/24'}", "aws:SourceIp=198.51.100.1", true},
    /* ARNs */
    {"'ArnLike':{'aws:SourceArn':'arn:aws:sns:*:111122223333:my*'}",
     "aws:SourceArn=arn:aws:sns:eu-1:111122223333:mytopic", true},
    {"'ArnEquals':{'aws:SourceArn':'arn:aws:s3:::b/*'}", "aws:SourceArn=arn:aws:s3:::b/k:l", true},
    {"'ArnLike':{'aws:SourceArn':'arn:aws:*:*:*:y'}", "aws:SourceArn=arn:aws:sns:eu-1:1:x", false},
    {"'ArnLike':{'aws:SourceArn':'*'}", "aws:SourceArn=arn:aws:sns:eu-1:1:x", true},
    {"'ArnLike':{'aws:SourceArn':'arn:aws:sns:*:*:*'}", "aws:SourceArn=sns", false},
    {"'ArnNotEquals':{'aws:SourceArn':'arn:aws:sns:*:*:*'}", "aws:SourceArn=arn:aws:sns:e:1:x",
     false},
    {"'ArnNotLike':{'aws:SourceArn':'arn:aws:sns:*:*:*'}", "", true},
    {"'ArnLike':{'aws:PrincipalArn':'arn:aws:iam::111122223333:user/${aws:username}'}", "", true},
    /* Null */
    {"'Null':{'s3:prefix':'true'}", "", true},
    {"'Null':{'s3:prefix':'true'}", "s3:prefix=a", false},
    {"'Null':{'s3:prefix':'false'}", "s3:prefix=a", true},
    {"'Null':{'aws:TokenIssueTime':true}", "", true},
    /* sets */
    {"'ForAllValues:StringEquals':{'aws:TagKeys':['a','b']}", "aws:TagKeys=a,b", true},
    {"'ForAllValues:StringEquals':{'aws:TagKeys':['a','b']}", "aws:TagKeys=a,c", false},
    {"'ForAllValues:StringEquals':{'aws:TagKeys':['a','b']}", "", true},
    {"'ForAnyValue:StringEquals':{'aws:TagKeys':['a','b']}", "aws:TagKeys=c,b", true},
    {"'ForAnyValue:StringEquals':{'aws:TagKeys':['a','b']}", "aws:TagKeys=c,d", false},
    {"'ForAnyValue:StringEquals':{'aws:TagKeys':['a','b']}", "", false},
    {"'ForAllValues:StringNotEquals':{'aws:TagKeys':['a']}", "aws:TagKeys=b,c", true},
    {"'ForAllValues:StringNotEquals':{'aws:TagKeys':['a']}", "aws:TagKeys=b,a", false},
    {"'ForAnyValue:StringNotEquals':{'aws:TagKeys':['a']}", "aws:TagKeys=b,a", true},
    {"'ForAnyValue:StringNotEquals':{'aws:TagKeys':['a']}", "aws:TagKeys=a", false},
    {"'ForAnyValue:StringNotEquals':{'aws:TagKeys':['a']}", "", false},
    {"'ForAnyValue:StringLike':{'jwt:groups':['dev-*']}", "jwt:groups=ops,dev-1", true},
    {"'StringEquals':{'aws:TagKeys':'a'}", "aws:TagKeys=b,a", true},
    {"'StringNotEquals':{'aws:TagKeys':'a'}", "aws:TagKeys=b,a", false},
    /* names of keys */
    {"'StringEquals':{'s3:ExistingObjectTag/Team':'x'}", "s3:ExistingObjectTag/Team=x", true},
    {"'StringEquals':{'s3:ExistingObjectTag/Team':'x'}", "s3:ExistingObjectTag/Other=x", false},
    {"'StringEquals':{'ldap:user':'${aws:username}'}", "ldap:user=alice", true},
    /* all of them must hold */
    {"'StringEquals':{'s3:prefix':'a','s3:delimiter':'/'}", "s3:prefix=a;s3:delimiter=/", true},
    {"'StringEquals':{'s3:prefix':'a','s3:delimiter':'/'}", "s3:prefix=a", false},
    {"'StringEquals':{'s3:prefix':'a'},'NumericLessThan':{'s3:max-keys':'5'}",
     "s3:prefix=a;s3:max-keys=6", false},
};

static void operators_hold_as_documented(void **state)
{
    for (unsigned i = 0; i < ARRAY_LEN(conditions); i++) {
        char text[1024];
        snprintf(text, sizeof(text), S(ALLOW "'Action':'s3:*','Resource':'*','Condition':{%s}"),
                 conditions[i].condition);
        struct policy *p = compile(POLICY_IDENTITY, text);
        if (allowed(p, "s3:ListBucket", "b", "", conditions[i].context) != conditions[i].holds)
            fail_msg("%s with %s", conditions[i].condition, conditions[i].context);
        policy_unref(p);
    }
}

/* An unresolved variable must not open anything, nor let anything slip past a Deny. */
static void unresolved_variables_fail_to_the_safe_side(void **state)
{
    static const char *const denials[] = {
        "'NotResource':'arn:aws:s3:::b/${aws:Referer}/*'",
        "'Resource':'*','Condition':{'StringNotEquals':{'s3:prefix':'${aws:Referer}'}}",
        "'Resource':'*','Condition':{'StringEquals':{'s3:prefix':'${aws:Referer}'}}",
    };
    for (unsigned i = 0; i < ARRAY_LEN(denials); i++) {
        char text[512];
        snprintf(text, sizeof(text),
                 "{" V "'Statement':[{'Effect':'Allow','Action':'s3:*','Resource':'*'},"
                 "{'Effect':'Deny','Action':'s3:*',%s}]}",
                 denials[i]);
        struct policy *p = compile(POLICY_IDENTITY, text);
        assert_false(allowed(p, "s3:GetObject", "b", "x/y", "s3:prefix=x"));
        policy_unref(p);
        snprintf(text, sizeof(text), S(ALLOW "'Action':'s3:*',%s"), denials[i]);
        p = compile(POLICY_IDENTITY, text);
        assert_false(allowed(p, "s3:GetObject", "b", "x/y", "s3:prefix=x"));
        policy_unref(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(actions_are_in_order_and_found),
        cmocka_unit_test(keys_are_found_whatever_their_case),
        cmocka_unit_test(documents_of_others_are_taken),
        cmocka_unit_test(the_document_is_kept_byte_for_byte),
        cmocka_unit_test(what_is_wrong_is_said_and_where),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(resources_fit_as_documented),
        cmocka_unit_test(variables_are_text_before_2012),
        cmocka_unit_test(actions_match_without_regard_to_case),
        cmocka_unit_test(consoleAdmin_may_administer),
        cmocka_unit_test(operators_hold_as_documented),
        cmocka_unit_test(unresolved_variables_fail_to_the_safe_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
