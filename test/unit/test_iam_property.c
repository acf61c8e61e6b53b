/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * What holds whatever the policies: a Deny wins, taking an Allow away widens nothing, neither does
 * adding a Deny, a boundary, a session policy or a public access block. Policies, principals and
 * requests are drawn at random from a vocabulary small enough that they often meet.
 */

#include "policy_help.h"

#define ROUNDS 20000

static uint64_t seed = 0x9e3779b97f4a7c15;

static unsigned draw(unsigned below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 33) % below;
}
#define PICK(words) (words)[draw(ARRAY_LEN(words))]

static const char *const actions[] = {"s3:*",         "s3:Get*",  "s3:GetObject",
                                      "s3:PutObject", "s3:List*", "s3:DeleteObject*"};
static const char *const resources[] = {
    "arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket*", "arn:aws:s3:::bucket/a*",
    "arn:aws:s3:::bucket/${aws:username}/*", "arn:aws:s3:::bucket/${aws:Referer}*"};
static const char *const principals[] = {
    "'*'",
    "{'AWS':'" ALICE_ARN "'}",
    "{'AWS':'111122223333'}",
    "{'AWS':['arn:aws:iam::444455556666:user/bob','arn:aws:iam::111122223333:role/r']}",
    "{'AWS':'444455556666'}",
    "{'CanonicalUser':'444455556666'}",
};
static const char *const conditions[] = {
    "",
    "",
    ",'Condition':{'StringLike':{'aws:Referer':'a*'}}",
    ",'Condition':{'StringNotEquals':{'aws:Referer':'${aws:username}'}}",
    ",'Condition':{'IpAddress':{'aws:SourceIp':'10.0.0.0/8'}}",
    ",'Condition':{'NotIpAddress':{'aws:SourceIp':'10.0.0.0/8'}}",
    ",'Condition':{'ForAllValues:StringEquals':{'aws:TagKeys':['a','b']}}",
    ",'Condition':{'ForAnyValue:StringNotEquals':{'aws:TagKeys':['a']}}",
    ",'Condition':{'Null':{'aws:Referer':'true'}}",
    ",'Condition':{'BoolIfExists':{'aws:SecureTransport':'true'}}",
};

#define STATEMENTS_MAX 4
struct draft {
    enum policy_kind kind;
    char statements[STATEMENTS_MAX][512];
    bool deny[STATEMENTS_MAX];
    unsigned count;
};

static void draw_statement(struct draft *d, unsigned i, bool deny)
{
    char who[256] = "";
    if (d->kind == POLICY_BUCKET)
        snprintf(who, sizeof(who), "'%sPrincipal':%s,", deny && draw(6) == 0 ? "Not" : "",
                 PICK(principals));
    d->deny[i] = deny;
    snprintf(d->statements[i], sizeof(d->statements[i]),
             "{'Effect':'%s',%s'%sAction':'%s','%sResource':['%s','arn:aws:s3:::bucket*']%s}",
             deny ? "Deny" : "Allow", who, draw(5) ? "" : "Not", PICK(actions),
             draw(6) ? "" : "Not", PICK(resources), PICK(conditions));
}

static void draw_draft(struct draft *d, enum policy_kind kind)
{
    *d = (struct draft){.kind = kind, .count = 1 + draw(STATEMENTS_MAX)};
    for (unsigned i = 0; i < d->count; i++)
        draw_statement(d, i, draw(4) == 0);
}

/* The policy without statement `without` (-1: whole); NULL: none is left. */
static struct policy *build(const struct draft *d, int without, const char *more)
{
    char text[4096] = "{'Version':'2012-10-17','Statement':[";
    size_t len = strlen(text), start = len;
    for (unsigned i = 0; i < d->count; i++)
        if ((int)i != without)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len > start ? "," : "",
                                    d->statements[i]);
    if (more)
        len +=
            (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len > start ? "," : "", more);
    if (len == start)
        return NULL;
    snprintf(text + len, sizeof(text) - len, "]}");
    return compile(d->kind, text);
}

static struct iam_principal draw_principal(void)
{
    struct iam_principal p = alice();
    switch (draw(6)) {
    case 0:
        return p;
    case 1:
        return user_of("444455556666", "arn:aws:iam::444455556666:user/bob", "bob");
    case 2:
        p.kind = IAM_ACCOUNT;
        p.arn = STR("arn:aws:iam::111122223333:root");
        return p;
    case 3:
        p.kind = IAM_ACCOUNT;
        p.account = STR("444455556666");
        p.arn = STR("arn:aws:iam::444455556666:root");
        p.canonical_id = p.account;
        return p;
    case 4:
        p.kind = IAM_SESSION;
        p.role_arn = STR("arn:aws:iam::111122223333:role/r");
        p.arn = STR("arn:aws:sts::111122223333:assumed-role/r/s");
        return p;
    default:
        return (struct iam_principal){.kind = IAM_ANONYMOUS};
    }
}

struct world {
    struct iam_principal who;
    struct context context;
    struct draft drafts[4]; /* identity, bucket, boundary, session */
    struct policy *policies[4];
    struct iam_named_policy named[4];
    struct iam_policies set;
    struct iam_request request;
};
enum { IDENTITY, BUCKET, BOUNDARY, SESSION };

static void put(struct world *w, unsigned slot, struct policy *p)
{
    policy_unref(w->policies[slot]);
    w->policies[slot] = p;
    w->named[slot].policy = p;
    w->set.identity = (struct iam_policy_set){&w->named[IDENTITY], w->policies[IDENTITY] != NULL};
    w->set.bucket = w->policies[BUCKET];
    w->set.boundary = w->policies[BOUNDARY];
    w->set.sessions[0] = (struct iam_policy_set){&w->named[SESSION], 1};
    w->set.session_count = w->policies[SESSION] != NULL;
}

static void draw_world(struct world *w)
{
    static const char *const contexts[] = {
        "", "aws:Referer=alice", "aws:Referer=b;aws:SourceIp=10.0.0.1",
        "aws:SourceIp=192.0.2.1;aws:TagKeys=a,b;aws:SecureTransport=true",
        "aws:TagKeys=c;aws:Referer=a;aws:SecureTransport=false"};
    static const enum iam_action asked[] = {IAM_s3_GetObject, IAM_s3_PutObject, IAM_s3_DeleteObject,
                                            IAM_s3_ListBucket, IAM_s3_GetObjectAcl};
    *w = (struct world){.who = draw_principal()};
    context_init(&w->context, PICK(contexts));
    for (unsigned i = 0; i < 4; i++) {
        draw_draft(&w->drafts[i], i == BUCKET ? POLICY_BUCKET : POLICY_IDENTITY);
        if (i < BOUNDARY ? draw(4) : draw(3) == 0)
            put(w, i, build(&w->drafts[i], -1, NULL));
    }
    w->set.acl = draw(4) ? IAM_ACL_NONE : 1 + draw(2);
    w->set.block = draw(3) ? 0 : draw(4);
    w->request = (struct iam_request){
        .who = &w->who,
        .action = PICK(asked),
        .bucket = STR("bucket"),
        .resource_account = STR("111122223333"),
        .context = context_get,
        .context_arg = &w->context,
    };
    if (iam_action_kind(w->request.action) == IAM_ON_OBJECT)
        w->request.key = draw(2) ? STR("alice/k") : STR("b");
}

static void release_world(struct world *w)
{
    for (unsigned i = 0; i < 4; i++)
        policy_unref(w->policies[i]);
}

static enum iam_outcome decide(struct world *w)
{
    struct iam_decision d;
    assert_int_equal(iam_decide(&w->request, &w->set, &d), 0);
    return d.outcome;
}

static void never_widens(struct world *w, enum iam_outcome before, const char *what)
{
    if (before != IAM_ALLOW && decide(w) == IAM_ALLOW)
        fail_msg("%s widened (round's seed %llx)", what, (unsigned long long)seed);
}

static const char *deny_everything(unsigned slot)
{
    return slot == BUCKET
               ? "{'Effect':'Deny','Principal':'*','Action':'s3:*','Resource':'arn:aws:s3:::*'}"
               : "{'Effect':'Deny','Action':'*','Resource':'*'}";
}

/* A Deny added to a policy that applies, anywhere. */
static void deny_wins(struct world *w)
{
    unsigned slot = draw(4);
    if (!w->policies[slot])
        return;
    put(w, slot, build(&w->drafts[slot], -1, deny_everything(slot)));
    if (decide(w) != IAM_EXPLICIT_DENY)
        fail_msg("a Deny in slot %u lost", slot);
}

static void change_one_thing(struct world *w, enum iam_outcome before)
{
    unsigned slot = draw(4), i = draw(w->drafts[slot].count);
    struct draft *d = &w->drafts[slot];
    switch (draw(4)) {
    case 0:
        if (w->policies[slot] && !d->deny[i]) {
            struct policy *less = build(d, (int)i, NULL);
            /* A boundary or session that is gone is no narrower one: it keeps a Deny instead. */
            if (!less && slot >= BOUNDARY)
                less = build(d, (int)i, deny_everything(slot));
            put(w, slot, less);
            never_widens(w, before, "an Allow taken away");
        }
        break;
    case 1:
        if (w->policies[slot] && d->count < STATEMENTS_MAX) {
            draw_statement(d, d->count++, true);
            put(w, slot, build(d, -1, NULL));
            never_widens(w, before, "a Deny added");
        }
        break;
    case 2:
        slot = draw(2) ? BOUNDARY : SESSION;
        if (!w->policies[slot]) {
            put(w, slot, build(&w->drafts[slot], -1, NULL));
            never_widens(w, before, "a boundary or session policy");
        }
        break;
    default:
        w->set.block |= 1u << draw(2);
        never_widens(w, before, "a public access block");
    }
}

static void nothing_but_an_allow_widens(void **state)
{
    unsigned outcomes[3] = {0};
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct world w;
        draw_world(&w);
        enum iam_outcome before = decide(&w);
        outcomes[before]++;
        change_one_thing(&w, before);
        deny_wins(&w);
        release_world(&w);
    }
    /* The vocabulary is worth its name only if every outcome is common. */
    for (unsigned i = 0; i < 3; i++)
        assert_true(outcomes[i] > ROUNDS / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_but_an_allow_widens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
