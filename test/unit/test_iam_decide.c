/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/* The order of the decision, by table: each row names who asks, what there is, and what comes out.
 * The cases follow the IAM User Guide's "Policy evaluation logic". */

#include "policy_help.h"

#define V     "{'Version':'2012-10-17','Statement':["
#define END   "]}"
#define OWNER "111122223333"
#define OTHER "444455556666"

/* identity policies */
#define ID_ALLOW V "{'Sid':'AllowAll','Effect':'Allow','Action':'s3:*','Resource':'*'}" END
#define ID_READ  V "{'Effect':'Allow','Action':'s3:Get*','Resource':'*'}" END
#define ID_DENY  V "{'Sid':'NoDelete','Effect':'Deny','Action':'s3:Delete*','Resource':'*'}" END
/* bucket policies */
#define B(effect, principal, action)                                                  \
    V "{'Sid':'B1','Effect':'" effect "','Principal':" principal ",'Action':'" action \
      "','Resource':['arn:aws:s3:::bucket','arn:aws:s3:::bucket/*']}" END
#define B_ANY      B("Allow", "'*'", "s3:GetObject")
#define B_ALICE    B("Allow", "{'AWS':'" ALICE_ARN "'}", "s3:GetObject")
#define B_ACCOUNT  B("Allow", "{'AWS':'" OWNER "'}", "s3:GetObject")
#define B_BOB      B("Allow", "{'AWS':'arn:aws:iam::" OTHER ":user/bob'}", "s3:GetObject")
#define B_OTHER    B("Allow", "{'AWS':'" OTHER "'}", "s3:GetObject")
#define B_ROLE     B("Allow", "{'AWS':'arn:aws:iam::" OWNER ":role/r'}", "s3:GetObject")
#define B_SESSION  B("Allow", "{'AWS':'arn:aws:sts::" OWNER ":assumed-role/r/s'}", "s3:GetObject")
#define B_DENY_ANY B("Deny", "'*'", "s3:*")

enum who { ALICE, BOB, OWNER_ROOT, OTHER_ROOT, SERVER_ROOT, ANONYMOUS, SESSION, LOGS };

static struct iam_principal principal_of(enum who who)
{
    struct iam_principal p = {.kind = IAM_ANONYMOUS};
    switch (who) {
    case ALICE:
        return alice();
    case BOB:
        return user_of(OTHER, "arn:aws:iam::" OTHER ":user/bob", "bob");
    case OWNER_ROOT:
        p = user_of(OWNER, "arn:aws:iam::" OWNER ":root", "");
        p.kind = IAM_ACCOUNT;
        return p;
    case OTHER_ROOT:
        p = user_of(OTHER, "arn:aws:iam::" OTHER ":root", "");
        p.kind = IAM_ACCOUNT;
        return p;
    case SERVER_ROOT:
        p = user_of("root", "arn:aws:iam::root:root", "root");
        p.kind = IAM_ACCOUNT;
        p.everywhere = true;
        return p;
    case SESSION:
        p = user_of(OWNER, "arn:aws:sts::" OWNER ":assumed-role/r/s", "");
        p.kind = IAM_SESSION;
        p.role_arn = STR("arn:aws:iam::" OWNER ":role/r");
        return p;
    case LOGS:
        return (struct iam_principal){.kind = IAM_SERVICE, .name = STR("logging.s3.amazonaws.com")};
    case ANONYMOUS:
        break;
    }
    return p;
}

static const struct row {
    const char *name;
    enum who who;
    const char *action;
    const char *identity, *bucket, *boundary, *session;
    enum iam_acl_grant acl;
    unsigned block;
    bool foreign; /* the object is another account's than the bucket */
    enum iam_outcome outcome;
    enum iam_source source;
} rows[] = {
    /* one account */
    {"nothing allows", ALICE, "s3:GetObject", .outcome = IAM_IMPLICIT_DENY,
     .source = IAM_BY_NOTHING},
    {"identity allows", ALICE, "s3:GetObject", ID_ALLOW, .source = IAM_BY_IDENTITY},
    {"identity allows another action", ALICE, "s3:PutObject", ID_READ, .outcome = IAM_IMPLICIT_DENY,
     .source = IAM_BY_NOTHING},
    {"bucket policy alone allows the user", ALICE, "s3:GetObject", NULL, B_ALICE,
     .source = IAM_BY_BUCKET},
    {"bucket policy alone allows anybody", ALICE, "s3:GetObject", NULL, B_ANY,
     .source = IAM_BY_BUCKET},
    {"the account in a bucket policy only delegates", ALICE, "s3:GetObject", NULL, B_ACCOUNT,
     .outcome = IAM_IMPLICIT_DENY, .source = IAM_BY_NOTHING},
    {"delegated and allowed", ALICE, "s3:GetObject", ID_READ, B_ACCOUNT, .source = IAM_BY_IDENTITY},
    {"identity denies what the bucket allows", ALICE, "s3:DeleteObject", ID_DENY,
     B("Allow", "'*'", "s3:*"), .outcome = IAM_EXPLICIT_DENY, .source = IAM_BY_IDENTITY},
    {"bucket denies what the identity allows", ALICE, "s3:GetObject", ID_ALLOW, B_DENY_ANY,
     .outcome = IAM_EXPLICIT_DENY, .source = IAM_BY_BUCKET},
    {"the root of the account needs no policy", OWNER_ROOT, "s3:DeleteBucket",
     .source = IAM_BY_OWNER},
    {"the root of the account is denied too", OWNER_ROOT, "s3:GetObject", NULL, B_DENY_ANY,
     .outcome = IAM_EXPLICIT_DENY, .source = IAM_BY_BUCKET},
    {"but may take the policy away", OWNER_ROOT, "s3:DeleteBucketPolicy", NULL, B_DENY_ANY,
     .source = IAM_BY_OWNER},
    {"a user of the account may not", ALICE, "s3:DeleteBucketPolicy", ID_ALLOW, B_DENY_ANY,
     .outcome = IAM_EXPLICIT_DENY, .source = IAM_BY_BUCKET},
    {"the root of another account may not", OTHER_ROOT, "s3:DeleteBucketPolicy", NULL, B_DENY_ANY,
     .outcome = IAM_EXPLICIT_DENY, .source = IAM_BY_BUCKET},
    {"the server's root", SERVER_ROOT, "s3:GetObject", .source = IAM_BY_OWNER},
    {"the server's root is denied too", SERVER_ROOT, "s3:GetObject", NULL, B_DENY_ANY,
     .outcome = IAM_EXPLICIT_DENY, .source = IAM_BY_BUCKET},
    {"the server's root may take the policy away", SERVER_ROOT, "s3:PutBucketPolicy", NULL,
     B_DENY_ANY, .source = IAM_BY_OWNER},
    /* boundaries */
    {"boundary and identity meet", ALICE, "s3:GetObject", ID_ALLOW, NULL, ID_READ,
     .source = IAM_BY_IDENTITY},
    {"the boundary cuts the identity", ALICE, "s3:PutObject", ID_ALLOW, NULL, ID_READ,
     .outcome = IAM_IMPLICIT_DENY, .source = IAM_BY_BOUNDARY},
    {"a boundary allows nothing by itself", ALICE, "s3:GetObject", NULL, NULL, ID_ALLOW,
     .outcome = IAM_IMPLICIT_DENY, .source = IAM_BY_NOTHING},
    {"a bucket's grant to the user is outside the boundary", ALICE, "s3:GetObject", NULL, B_ALICE,
     V "{'Effect':'Allow','Action':'s3:Put*','Resource':'*'}" END, .source = IAM_BY_BUCKET},
    {"a boundary denies explicitly", ALICE, "s3:DeleteObject", ID_ALLOW, NULL, ID_DENY,
     .outcome = IAM_EXPLICIT_DENY, .source = IAM_BY_BOUNDARY},
    /* sessions */
    {"a session policy cuts the identity", ALICE, "s3:PutObject", ID_ALLOW, NULL, NULL, ID_READ,
     .outcome = IAM_IMPLICIT_DENY, .source = IAM_BY_SESSION},
    {"a session policy cuts a bucket's grant", ALICE, "s3:GetObject", NULL, B_ALICE, NULL,
     V "{'Effect':'Allow','Action':'s3:Put*','Resource':'*'}" END, .outcome = IAM_IMPLICIT_DENY,
     .source = IAM_BY_NOTHING},
    {"a session policy cuts the root of an account", OWNER_ROOT, "s3:PutObject", NULL, NULL, NULL,
     ID_READ, .outcome = IAM_IMPLICIT_DENY, .source = IAM_BY_SESSION},
    {"a session policy cuts the server's root", SERVER_ROOT, "s3:PutObject", NULL, NULL, NULL,
     ID_READ, .outcome = IAM_IMPLICIT_DENY, .source = IAM_BY_SESSION},
    {"a grant to the role is cut by the session policy", SESSION, "s3:GetObject", NULL, B_ROLE,
     NULL, V "{'Effect':'Allow','Action':'s3:Put*','Resource':'*'}" END,
     .outcome = IAM_IMPLICIT_DENY, .source = IAM_BY_NOTHING},
    {"a grant to the role", SESSION, "s3:GetObject", NULL, B_ROLE, .source = IAM_BY_BUCKET},
    {"a grant to the role is cut by the boundary", SESSION, "s3:GetObject", NULL, B_ROLE, ID_DENY,
     .outcome = IAM_IMPLICIT_DENY, .source = IAM_BY_NOTHING},
    {"a grant to the session itself is not cut", SESSION, "s3:GetObject", NULL, B_SESSION, NULL,
     V "{'Effect':'Allow','Action':'s3:Put*','Resource':'*'}" END, .source = IAM_BY_BUCKET},
    {"a grant to anybody is cut for a session", SESSION, "s3:GetObject", NULL, B_ANY, NULL,
     V "{'Effect':'Allow','Action':'s3:Put*','Resource':'*'}" END, .outcome = IAM_IMPLICIT_DENY,
     .source = IAM_BY_NOTHING},
    /* across accounts */
    {"only the identity allows", BOB, "s3:GetObject", ID_ALLOW, .outcome = IAM_IMPLICIT_DENY,
     .source = IAM_BY_NOTHING},
    {"only the bucket allows", BOB, "s3:GetObject", NULL, B_BOB, .outcome = IAM_IMPLICIT_DENY,
     .source = IAM_BY_NOTHING},
    {"both allow", BOB, "s3:GetObject", ID_ALLOW, B_BOB, .source = IAM_BY_BUCKET},
    {"the account and the identity allow", BOB, "s3:GetObject", ID_READ, B_OTHER,
     .source = IAM_BY_BUCKET},
    {"anybody and the identity allow", BOB, "s3:GetObject", ID_READ, B_ANY,
     .source = IAM_BY_BUCKET},
    {"both allow but the boundary", BOB, "s3:GetObject", ID_ALLOW, B_BOB, ID_DENY,
     .outcome = IAM_IMPLICIT_DENY, .source = IAM_BY_BOUNDARY},
    {"another account's root needs the bucket's side", OTHER_ROOT, "s3:GetObject",
     .outcome = IAM_IMPLICIT_DENY, .source = IAM_BY_NOTHING},
    {"and has it", OTHER_ROOT, "s3:GetObject", NULL, B_OTHER, .source = IAM_BY_BUCKET},
    /* the anonymous, services */
    {"the anonymous have nothing", ANONYMOUS, "s3:GetObject", .outcome = IAM_IMPLICIT_DENY,
     .source = IAM_BY_NOTHING},
    {"but what anybody has", ANONYMOUS, "s3:GetObject", NULL, B_ANY, .source = IAM_BY_BUCKET},
    {"and no more", ANONYMOUS, "s3:PutObject", NULL, B_ANY, .outcome = IAM_IMPLICIT_DENY,
     .source = IAM_BY_NOTHING},
    {"nor an account's", ANONYMOUS, "s3:GetObject", NULL, B_ACCOUNT, .outcome = IAM_IMPLICIT_DENY,
     .source = IAM_BY_NOTHING},
    {"a service", LOGS, "s3:PutObject", NULL,
     B("Allow", "{'Service':'logging.s3.amazonaws.com'}", "s3:PutObject"), .source = IAM_BY_BUCKET},
    {"another service", LOGS, "s3:PutObject", NULL,
     B("Allow", "{'Service':'cloudtrail.amazonaws.com'}", "s3:PutObject"),
     .outcome = IAM_IMPLICIT_DENY, .source = IAM_BY_NOTHING},
    {"a canonical user", OTHER_ROOT, "s3:GetObject", NULL,
     B("Allow", "{'CanonicalUser':'" OTHER "'}", "s3:GetObject"), .source = IAM_BY_BUCKET},
    {"a canonical user that is an account: its users are denied", BOB, "s3:GetObject", ID_ALLOW,
     V "{'Effect':'Allow','Principal':'*','Action':'s3:*','Resource':'arn:aws:s3:::bucket/*'},"
       "{'Effect':'Deny','Principal':{'CanonicalUser':'" OTHER "'},'Action':'s3:*',"
       "'Resource':'arn:aws:s3:::bucket/*'}" END,
     .outcome = IAM_EXPLICIT_DENY, .source = IAM_BY_BUCKET},
    {"and allowed as their own policies say", BOB, "s3:GetObject", NULL,
     B("Allow", "{'CanonicalUser':'" OTHER "'}", "s3:GetObject"), .outcome = IAM_IMPLICIT_DENY,
     .source = IAM_BY_NOTHING},
    /* NotPrincipal */
    {"all but bob are denied: bob", BOB, "s3:GetObject", ID_ALLOW,
     V "{'Effect':'Allow','Principal':'*','Action':'s3:*','Resource':'arn:aws:s3:::bucket/*'},"
       "{'Effect':'Deny','NotPrincipal':{'AWS':'arn:aws:iam::" OTHER ":user/bob'},'Action':'s3:*',"
       "'Resource':'arn:aws:s3:::bucket/*'}" END,
     .source = IAM_BY_BUCKET},
    {"all but bob are denied: alice", ALICE, "s3:GetObject", ID_ALLOW,
     V "{'Effect':'Deny','NotPrincipal':{'AWS':'arn:aws:iam::" OTHER ":user/bob'},'Action':'s3:*',"
       "'Resource':'arn:aws:s3:::bucket/*'}" END,
     .outcome = IAM_EXPLICIT_DENY, .source = IAM_BY_BUCKET},
    {"an account spared spares its root alone", BOB, "s3:GetObject", ID_ALLOW,
     V "{'Effect':'Deny','NotPrincipal':{'AWS':'" OTHER "'},'Action':'s3:*',"
       "'Resource':'arn:aws:s3:::bucket/*'}" END,
     .outcome = IAM_EXPLICIT_DENY, .source = IAM_BY_BUCKET},
    /* ACLs */
    {"a public ACL opens to the anonymous", ANONYMOUS, "s3:GetObject", .acl = IAM_ACL_PUBLIC,
     .source = IAM_BY_ACL},
    {"unless it is ignored", ANONYMOUS, "s3:GetObject", .acl = IAM_ACL_PUBLIC,
     .block = IAM_IGNORE_PUBLIC_ACLS, .outcome = IAM_IMPLICIT_DENY, .source = IAM_BY_PUBLIC_BLOCK},
    {"or denied", ANONYMOUS, "s3:GetObject", NULL, B_DENY_ANY, .acl = IAM_ACL_PUBLIC,
     .outcome = IAM_EXPLICIT_DENY, .source = IAM_BY_BUCKET},
    {"an ACL grants another account", OTHER_ROOT, "s3:GetObject", .acl = IAM_ACL_GRANTED,
     .source = IAM_BY_ACL},
    {"whose users need a policy as well", BOB, "s3:GetObject", .acl = IAM_ACL_GRANTED,
     .outcome = IAM_IMPLICIT_DENY, .source = IAM_BY_NOTHING},
    /* an object in somebody else's bucket */
    {"the bucket's policy does not open another account's object", ANONYMOUS, "s3:GetObject", NULL,
     B_ANY, .foreign = true, .outcome = IAM_IMPLICIT_DENY, .source = IAM_BY_NOTHING},
    {"nor to the bucket's owner", OTHER_ROOT, "s3:GetObject", NULL, B_OTHER, .foreign = true,
     .outcome = IAM_IMPLICIT_DENY, .source = IAM_BY_NOTHING},
    {"but it closes it, also to the object's owner", OWNER_ROOT, "s3:GetObject", NULL, B_DENY_ANY,
     .foreign = true, .outcome = IAM_EXPLICIT_DENY, .source = IAM_BY_BUCKET},
    {"the object's ACL opens it", OTHER_ROOT, "s3:GetObject", .acl = IAM_ACL_GRANTED,
     .foreign = true, .source = IAM_BY_ACL},
    {"a grant to the owner's account delegates", ALICE, "s3:GetObject", .acl = IAM_ACL_GRANTED,
     .outcome = IAM_IMPLICIT_DENY, .source = IAM_BY_NOTHING},
    /* the public access block */
    {"a public policy is shut to the anonymous", ANONYMOUS, "s3:GetObject", NULL, B_ANY,
     .block = IAM_RESTRICT_PUBLIC_BUCKETS, .outcome = IAM_IMPLICIT_DENY,
     .source = IAM_BY_PUBLIC_BLOCK},
    {"and to other accounts", OTHER_ROOT, "s3:GetObject", NULL, B_ANY,
     .block = IAM_RESTRICT_PUBLIC_BUCKETS, .outcome = IAM_IMPLICIT_DENY,
     .source = IAM_BY_PUBLIC_BLOCK},
    {"not to the owner's", ALICE, "s3:GetObject", NULL, B_ANY, .block = IAM_RESTRICT_PUBLIC_BUCKETS,
     .source = IAM_BY_BUCKET},
    {"a policy that is not public stays", OTHER_ROOT, "s3:GetObject", NULL, B_OTHER,
     .block = IAM_RESTRICT_PUBLIC_BUCKETS, .source = IAM_BY_BUCKET},
};

static struct policy *of(enum policy_kind kind, const char *text)
{
    return text ? compile(kind, text) : NULL;
}

static void the_order_is_the_documented_one(void **state)
{
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        struct iam_principal who = principal_of(row->who);
        struct iam_named_policy identity = {STR("mine"), of(POLICY_IDENTITY, row->identity)},
                                session = {STR("inline"), of(POLICY_IDENTITY, row->session)};
        struct policy *bucket = of(POLICY_BUCKET, row->bucket),
                      *boundary = of(POLICY_IDENTITY, row->boundary);
        struct iam_policies set = {
            .identity = {&identity, identity.policy != NULL},
            .bucket = bucket,
            .boundary = boundary,
            .sessions = {{&session, 1}},
            .session_count = session.policy != NULL,
            .acl = row->acl,
            .bucket_denies_only = row->foreign,
            .block = row->block,
        };
        struct iam_request r = {
            .who = &who,
            .action = (enum iam_action)iam_action_find(str_from(row->action)),
            .bucket = STR("bucket"),
            .resource_account = STR(OWNER),
        };
        if (iam_action_kind(r.action) == IAM_ON_OBJECT)
            r.key = STR("key");
        struct iam_decision d;
        assert_int_equal(iam_decide(&r, &set, &d), 0);
        if (d.outcome != row->outcome || d.source != row->source)
            fail_msg("%s: outcome %d by %s", row->name, d.outcome, iam_source_text(d.source));
        policy_unref(identity.policy);
        policy_unref(session.policy);
        policy_unref(bucket);
        policy_unref(boundary);
    }
}

/* ---- which statement ------------------------------------------------------------------------ */

static void the_statement_that_decided_is_named(void **state)
{
    struct iam_principal who = alice();
    struct policy *p = compile(POLICY_IDENTITY,
                               V "{'Effect':'Allow','Action':'s3:PutObject','Resource':'*'},"
                                 "{'Sid':'Read','Effect':'Allow','Action':'s3:Get*',"
                                 "'Resource':'*'},"
                                 "{'Effect':'Deny','Action':'s3:GetObjectAcl','Resource':'*'}" END);
    struct iam_named_policy named = {STR("work"), p};
    struct iam_policies set = {.identity = {&named, 1}};
    struct iam_request r = {
        .who = &who, .action = IAM_s3_GetObject, .bucket = STR("b"), .key = STR("k")};
    struct iam_decision d;
    assert_int_equal(iam_decide(&r, &set, &d), 0);
    assert_true(d.outcome == IAM_ALLOW && str_eq(d.policy, STR("work")));
    assert_true(str_eq(d.sid, STR("Read")) && d.statement == 1);
    r.action = IAM_s3_GetObjectAcl;
    assert_int_equal(iam_decide(&r, &set, &d), 0);
    assert_true(d.outcome == IAM_EXPLICIT_DENY && d.statement == 2 && d.sid.len == 0);
    r.action = IAM_s3_DeleteObject;
    assert_int_equal(iam_decide(&r, &set, &d), 0);
    assert_true(d.outcome == IAM_IMPLICIT_DENY && d.statement == -1);
    policy_unref(p);
}

/* ---- the context ---------------------------------------------------------------------------- */

#define IF_REFERER(effect)                                      \
    "{'Effect':'" effect "','Action':'s3:GetObject','Resource'" \
    ":'*','Condition':{'StringLike':{'aws:Referer':'http*'}}}"

static void the_context_is_asked_once_and_only_if_needed(void **state)
{
    struct iam_principal who = alice();
    struct policy *p = compile(POLICY_IDENTITY, V IF_REFERER("Deny") "," IF_REFERER("Allow") END);
    struct iam_named_policy named = {STR("p"), p};
    struct iam_policies set = {.identity = {&named, 1}};
    struct context c;
    context_init(&c, "aws:Referer=x");
    struct iam_request r = {.who = &who,
                            .action = IAM_s3_PutObject,
                            .bucket = STR("b"),
                            .key = STR("k"),
                            .context = context_get,
                            .context_arg = &c};
    struct iam_decision d;
    assert_int_equal(iam_decide(&r, &set, &d), 0);
    assert_int_equal(c.asked, 0);
    r.action = IAM_s3_GetObject;
    assert_int_equal(iam_decide(&r, &set, &d), 0);
    assert_int_equal(c.asked, 1);
    assert_int_equal(d.outcome, IAM_IMPLICIT_DENY);
    policy_unref(p);
}

static void a_context_that_fails_fails_the_decision(void **state)
{
    struct iam_principal who = alice();
    struct policy *p =
        compile(POLICY_IDENTITY,
                V "{'Effect':'Allow','Action':'s3:*','Resource':'*'}," IF_REFERER("Deny") END);
    struct iam_named_policy named = {STR("p"), p};
    struct iam_policies set = {.identity = {&named, 1}};
    struct context c;
    context_init(&c, "");
    c.fails_with = -ERR_CORRUPT;
    struct iam_request r = {.who = &who,
                            .action = IAM_s3_GetObject,
                            .bucket = STR("b"),
                            .key = STR("k"),
                            .context = context_get,
                            .context_arg = &c};
    struct iam_decision d;
    assert_int_equal(iam_decide(&r, &set, &d), -ERR_CORRUPT);
    policy_unref(p);
}

/* A document made of worst cases: each of its patterns nearly fits at every place of the key. */
static struct policy *slow_policy(void)
{
    static char text[20 * 1024];
    char *at = text, *end = text + sizeof(text);
    at += snprintf(at, (size_t)(end - at),
                   V "{'Effect':'Allow','Action':'s3:*','Resource':'*'},"
                     "{'Effect':'Deny','Action':'s3:*','Resource':['arn:aws:s3:::b/none'");
    for (unsigned i = 0; i < 270; i++) {
        at += snprintf(at, (size_t)(end - at), ",'arn:aws:s3:::b/*");
        for (unsigned k = 0; k < 20; k++)
            at += snprintf(at, (size_t)(end - at), "a?");
        at += snprintf(at, (size_t)(end - at), "b%u'", i);
    }
    snprintf(at, (size_t)(end - at), "]}" END);
    return compile(POLICY_IDENTITY, text);
}

static void a_document_of_worst_cases_denies_before_it_costs_much(void **state)
{
    struct iam_principal who = alice();
    struct iam_named_policy named = {STR("p"), slow_policy()};
    struct iam_policies set = {.identity = {&named, 1}};
    char key[1000];
    struct iam_request r = {.who = &who, .action = IAM_s3_GetObject, .bucket = STR("b")};
    struct iam_decision d;
    memset(key, 'a', sizeof(key));
    r.key = str_make(key, sizeof(key));
    assert_int_equal(iam_decide(&r, &set, &d), -ERR_ACCESS_DENIED);
    /* What is judged by it otherwise goes on: other keys, and the policy itself. */
    r.key = STR("photos/2026/a-long-name-of-a-picture-as-cameras-give-them-0001.jpg");
    assert_int_equal(iam_decide(&r, &set, &d), 0);
    assert_int_equal(d.outcome, IAM_ALLOW);
    r.key = STR("");
    r.action = IAM_s3_PutBucketPolicy;
    assert_int_equal(iam_decide(&r, &set, &d), 0);
    assert_int_equal(d.outcome, IAM_ALLOW);
    policy_unref(named.policy);
}

static void attributes_of_the_principal_are_values(void **state)
{
    struct str groups[] = {STR("ops"), STR("dev")}, team[] = {STR("blue")};
    struct iam_attribute attributes[] = {
        {IAM_KEY_JWT, STR("groups"), {groups, 2}},
        {IAM_KEY_PRINCIPAL_TAG, STR("Team"), {team, 1}},
    };
    struct iam_principal who = alice();
    who.attributes = attributes;
    who.attribute_count = 2;
    struct policy *p =
        compile(POLICY_IDENTITY, V "{'Effect':'Allow','Action':'s3:*','Resource':"
                                   "'arn:aws:s3:::b/${aws:PrincipalTag/team}/*','Condition':"
                                   "{'ForAnyValue:StringEquals':{'jwt:groups':'dev'}}}" END);
    struct iam_named_policy named = {STR("p"), p};
    struct iam_policies set = {.identity = {&named, 1}};
    struct iam_request r = {
        .who = &who, .action = IAM_s3_GetObject, .bucket = STR("b"), .key = STR("blue/k")};
    struct iam_decision d;
    assert_int_equal(iam_decide(&r, &set, &d), 0);
    assert_int_equal(d.outcome, IAM_ALLOW);
    r.key = STR("red/k");
    assert_int_equal(iam_decide(&r, &set, &d), 0);
    assert_int_equal(d.outcome, IAM_IMPLICIT_DENY);
    policy_unref(p);
}

static void a_session_of_a_session_is_inside_both(void **state)
{
    struct iam_principal who = alice();
    struct policy *all = compile(POLICY_IDENTITY, ID_ALLOW),
                  *get = compile(POLICY_IDENTITY, ID_READ);
    struct iam_named_policy a = {STR("all"), all}, g = {STR("get"), get};
    struct iam_policies set = {
        .identity = {&a, 1}, .sessions = {{&g, 1}, {&a, 1}}, .session_count = 2};
    struct iam_request r = {
        .who = &who, .action = IAM_s3_GetObject, .bucket = STR("b"), .key = STR("k")};
    struct iam_decision d;
    assert_int_equal(iam_decide(&r, &set, &d), 0);
    assert_int_equal(d.outcome, IAM_ALLOW);
    r.action = IAM_s3_PutObject;
    assert_int_equal(iam_decide(&r, &set, &d), 0);
    assert_true(d.outcome == IAM_IMPLICIT_DENY && d.source == IAM_BY_SESSION);
    policy_unref(all);
    policy_unref(get);
}

/* ---- public --------------------------------------------------------------------------------- */

#define PUBLIC_IF(condition)                                                  \
    V "{'Effect':'Allow','Principal':'*','Action':'s3:GetObject','Resource':" \
      "'arn:aws:s3:::bucket/*','Condition':{" condition "}}" END

static const struct {
    const char *text;
    bool is_public;
} publics[] = {
    {B_ANY, true},
    {B("Allow", "{'AWS':'*'}", "s3:GetObject"), true},
    {B("Allow", "{'AWS':['*','" OWNER "']}", "s3:GetObject"), true},
    {B_OTHER, false},
    {B_ALICE, false},
    {B_DENY_ANY, false},
    {B("Allow", "{'Service':'logging.s3.amazonaws.com'}", "s3:PutObject"), false},
    {V "{'Effect':'Deny','NotPrincipal':{'AWS':'" OWNER "'},'Action':'s3:*','Resource':"
       "'arn:aws:s3:::bucket/*'}" END,
     false},
    {PUBLIC_IF("'IpAddress':{'aws:SourceIp':'10.0.0.0/32'}"), false},
    {PUBLIC_IF("'IpAddress':{'aws:SourceIp':['10.0.0.0/8','0.0.0.0/1']}"), true},
    {PUBLIC_IF("'IpAddress':{'aws:SourceIp':'2001:db8::/32'}"), false},
    {PUBLIC_IF("'IpAddress':{'aws:SourceIp':'2000::/3'}"), true},
    {PUBLIC_IF("'NotIpAddress':{'aws:SourceIp':'10.0.0.0/32'}"), true},
    {PUBLIC_IF("'IpAddressIfExists':{'aws:SourceIp':'10.0.0.0/32'}"), true},
    {PUBLIC_IF("'StringEquals':{'aws:SourceVpc':'vpc-91237329'}"), false},
    {PUBLIC_IF("'StringLike':{'aws:SourceVpc':'vpc-*'}"), true},
    {PUBLIC_IF("'StringLike':{'aws:SourceVpc':'vpc-91237329'}"), false},
    {PUBLIC_IF("'ForAllValues:StringEquals':{'aws:SourceVpc':'vpc-91237329'}"), true},
    {PUBLIC_IF("'StringEquals':{'aws:userid':'${aws:userid}'}"), true},
    {PUBLIC_IF("'StringEquals':{'aws:Referer':'http://a'}"), true},
    {PUBLIC_IF("'ArnEquals':{'aws:SourceArn':'arn:aws:s3:::x'}"), false},
    {PUBLIC_IF("'ArnLike':{'aws:SourceArn':'arn:aws:s3:::*'}"), true},
    {PUBLIC_IF("'StringEquals':{'aws:PrincipalOrgID':'o-1'}"), false},
    {PUBLIC_IF("'Bool':{'aws:SecureTransport':'true'}"), true},
};

static void public_is_what_S3_calls_public(void **state)
{
    for (unsigned i = 0; i < ARRAY_LEN(publics); i++) {
        struct policy *p = compile(POLICY_BUCKET, publics[i].text);
        if (policy_is_public(p) != publics[i].is_public)
            fail_msg("%s", publics[i].text);
        policy_unref(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_is_the_documented_one),
        cmocka_unit_test(the_statement_that_decided_is_named),
        cmocka_unit_test(the_context_is_asked_once_and_only_if_needed),
        cmocka_unit_test(a_context_that_fails_fails_the_decision),
        cmocka_unit_test(a_document_of_worst_cases_denies_before_it_costs_much),
        cmocka_unit_test(attributes_of_the_principal_are_values),
        cmocka_unit_test(a_session_of_a_session_is_inside_both),
        cmocka_unit_test(public_is_what_S3_calls_public),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
