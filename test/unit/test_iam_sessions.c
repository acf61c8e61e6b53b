/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Keys, roles and sessions over a real metadata in memory; above all that nothing which was made
 * from a credential outgrows it. Everything runs on a fiber, where a failed assertion cannot jump
 * out: expectations are CHECKs.
 */

#include <stdio.h>
#include "unit.h"

#include "base/error.h"
#include "iam/internal.h"
#include "iam/user.pb-c.h"
#include "kv/mem.h"

struct env {
    struct kv_mem *mem;
    struct meta *meta;
    struct iam *iam;
    struct arena arena;
    int (*test)(struct env *e);
};

static void FIBER open_iam(struct env *e)
{
    struct kv *kv;
    CHECK(kv_mem_open(&kv, e->mem) == 0);
    CHECK(meta_local_open(&e->meta, kv, 0) == 0);
    struct iam_config config = {
        .meta = e->meta, .root_access_key = STR("rootkey"), .root_secret_key = STR("root-secret")};
    CHECK(iam_open(&e->iam, &config) == 0);
}

static void FIBER reopen(struct env *e)
{
    iam_close(e->iam);
    meta_close(e->meta);
    open_iam(e);
}

static int FIBER in_world(void *arg)
{
    struct env *e = arg;
    arena_init(&e->arena, 256 * MIB);
    CHECK(kv_mem_new(&e->mem, true) == 0);
    open_iam(e);
    int r = e->test(e);
    iam_close(e->iam);
    meta_close(e->meta);
    kv_mem_free(e->mem);
    arena_release(&e->arena);
    return r;
}

static void run(int (*test)(struct env *e))
{
    struct env e = {.test = test};
    struct rt_config config = {.threads = 1};
    assert_int_equal(rt_run(&config, in_world, &e), 0);
}

/* Account "acct", and its member "acct/mem" with the key MEMKEY. */
static void FIBER add_people(struct env *e)
{
    struct iam_user user;
    struct iam_user_spec acct = {.name = STR("acct"),
                                 .access_key = STR("ACCTKEY"),
                                 .secret_key = STR("acct-secret"),
                                 .user_id = STR("acct")};
    struct iam_user_spec mem = {.name = STR("acct/mem"),
                                .access_key = STR("MEMKEY"),
                                .secret_key = STR("mem-secret"),
                                .user_id = STR("AIDAMEM"),
                                .account = STR("acct")};
    CHECK(iam_user_add(e->iam, &e->arena, &acct, &user) == 0);
    CHECK(iam_user_add(e->iam, &e->arena, &mem, &user) == 0);
}

static struct iam_identity who_has(struct env *e, const char *key)
{
    struct iam_identity who;
    struct str secret;
    CHECK(iam_lookup(e->iam, &e->arena, str_from(key), &who, &secret) == 0);
    return who;
}

static int open_session(struct env *e, const struct iam_session *s, struct iam_identity *ret)
{
    struct str secret;
    int r =
        iam_session_lookup(e->iam, &e->arena, s->access_key, s->token, rt_wall_ms(), ret, &secret);
    CHECK(r || str_eq(secret, s->secret));
    return r;
}

static int make_session(struct env *e, const char *key, const char *policy, struct iam_session *ret)
{
    struct policy_fault why;
    struct iam_identity who = who_has(e, key);
    struct iam_session_spec spec = {.parent = &who, .policy = str_from(policy), .duration_s = 3600};
    int r = iam_session_make(e->iam, &e->arena, &spec, ret, &why);
    iam_identity_release(&who);
    return r;
}

static struct policy *bucket_policy; /* of the bucket that is asked for; NULL: it has none */

static bool may(struct env *e, const struct iam_identity *who, const char *action, const char *key)
{
    struct iam_access a = {
        .who = who,
        .bucket_policy = bucket_policy,
        .action = str_from(action),
        .bucket = STR("bucket"),
        .key = str_from(key),
        .bucket_owner = STR("acct"),
    };
    int r = iam_authorise(e->iam, &a, NULL);
    CHECK(r == 0 || r == -ERR_ACCESS_DENIED);
    return r == 0;
}

#define ALLOW(actions)                                                           \
    "{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":" actions ",\"Resource\":" \
    "\"arn:aws:s3:::*\"}]}"
#define TRUST_ALL                                                                           \
    "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"*\"},\"Action\":\"sts:" \
    "AssumeRole\"}]}"

/* ---- tokens --------------------------------------------------------------------------------- */

static int FIBER tokens(struct env *e)
{
    struct iam_session s, other, bad;
    struct iam_identity who;
    add_people(e);
    CHECK(make_session(e, "ACCTKEY", "", &s) == 0);
    CHECK(open_session(e, &s, &who) == 0);
    CHECK(str_eq(who.user_id, STR("acct")) && who.credential == IAM_USER_SESSION);
    CHECK(may(e, &who, "s3:DeleteObject", "k"));
    iam_identity_release(&who);
    /* Bound to its access key, whole, and of this store. */
    CHECK(make_session(e, "ACCTKEY", "", &other) == 0);
    bad = s;
    bad.access_key = other.access_key;
    CHECK(open_session(e, &bad, &who) == -ERR_INVALID_TOKEN);
    for (size_t i = 0; i < s.token.len; i += 7) {
        char *text = arena_cstr(&e->arena, s.token);
        text[i] = text[i] == 'A' ? 'B' : 'A';
        bad = s;
        bad.token = str_from(text);
        CHECK(open_session(e, &bad, &who) == -ERR_INVALID_TOKEN);
        bad.token = str_prefix(s.token, i);
        CHECK(open_session(e, &bad, &who) == -ERR_INVALID_TOKEN);
    }
    /* The seal lasts longer than the process. */
    reopen(e);
    CHECK(open_session(e, &s, &who) == 0);
    iam_identity_release(&who);
    /* And a session no longer than its time. */
    struct str secret;
    CHECK(iam_session_lookup(e->iam, &e->arena, s.access_key, s.token, s.expires_ms, &who,
                             &secret) == -ERR_EXPIRED_TOKEN);
    return 0;
}

static void a_token_opens_with_its_key_whole_and_in_time(void **state)
{
    run(tokens);
}

/* A session is over when the key it was asked for with is. */
static void FIBER expired_parent(struct env *e)
{
    struct iam_access_key_spec spec = {.id = STR("OLDKEY"),
                                       .secret = STR("old/secret"),
                                       .policy = STR(""),
                                       .name = STR(""),
                                       .description = STR(""),
                                       .expires_ms = 1};
    struct iam_session_spec session = {.duration_s = 900};
    struct iam_identity parent = who_has(e, "MEMKEY"), who;
    struct iam_access_key key;
    struct iam_session s;
    struct policy_fault why;
    struct str secret;
    CHECK(iam_access_key_add(e->iam, &e->arena, STR("acct/mem"), &spec, &key, &secret, &why) == 0);
    parent.access_key = key.id;
    session.parent = &parent;
    CHECK(iam_session_make(e->iam, &e->arena, &session, &s, &why) == 0);
    CHECK(open_session(e, &s, &who) == -ERR_INVALID_ACCESS_KEY);
    iam_identity_release(&parent);
}

/* Who changes one thing of a role leaves alone what another changed since it was read. */
static void FIBER changed_by_two(struct env *e, const struct iam_role *read)
{
    struct iam_role mine = *read, theirs = *read, now;
    struct policy_fault why;
    mine.boundary = STR("readonly");
    theirs.description = STR("theirs");
    CHECK(iam_role_update(e->iam, &mine, IAM_ROLE_BOUNDARY, &why) == 0);
    CHECK(iam_role_update(e->iam, &theirs, IAM_ROLE_DESCRIPTION, &why) == 0);
    CHECK(iam_role_find(e->iam, &e->arena, STR("acct"), STR("r"), &now) == 0);
    CHECK(str_eq(now.boundary, mine.boundary) && str_eq(now.description, theirs.description));
    mine.boundary = STR("none");
    CHECK(iam_role_update(e->iam, &mine, IAM_ROLE_BOUNDARY, &why) == -ERR_NOT_FOUND);
    mine.boundary = STR("");
    CHECK(iam_role_update(e->iam, &mine, IAM_ROLE_BOUNDARY, &why) == 0);
}

static int FIBER endings(struct env *e)
{
    struct iam_session s, of_role;
    struct iam_identity who;
    struct iam_role role;
    struct policy_fault why;
    add_people(e);
    CHECK(make_session(e, "MEMKEY", "", &s) == 0 && open_session(e, &s, &who) == 0);
    iam_identity_release(&who);
    CHECK(iam_access_key_set_active(e->iam, STR("acct/mem"), STR("MEMKEY"), false) == 0);
    CHECK(open_session(e, &s, &who) == -ERR_INVALID_ACCESS_KEY);
    CHECK(iam_access_key_set_active(e->iam, STR("acct/mem"), STR("MEMKEY"), true) == 0);
    CHECK(open_session(e, &s, &who) == 0);
    iam_identity_release(&who);
    expired_parent(e);
    CHECK(iam_user_remove(e->iam, STR("acct/mem")) == 0);
    CHECK(open_session(e, &s, &who) == -ERR_INVALID_ACCESS_KEY);

    struct iam_role spec = {.name = STR("r"),
                            .account = STR("acct"),
                            .trust = STR(TRUST_ALL),
                            .description = STR(""),
                            .boundary = STR("")};
    struct iam_session_spec session = {.role = STR("acct/r"), .name = STR("me"), .duration_s = 900};
    CHECK(iam_role_add(e->iam, &e->arena, &spec, &role, &why) == 0);
    changed_by_two(e, &role);
    CHECK(iam_session_make(e->iam, &e->arena, &session, &of_role, &why) == 0);
    CHECK(open_session(e, &of_role, &who) == 0);
    CHECK(who.credential == IAM_ROLE_SESSION && !may(e, &who, "s3:GetObject", "k"));
    iam_identity_release(&who);
    CHECK(iam_user_remove(e->iam, STR("acct")) == -ERR_CONFLICT); /* it has a role */
    CHECK(iam_role_remove(e->iam, STR("acct/r")) == 0);
    CHECK(open_session(e, &of_role, &who) == -ERR_INVALID_ACCESS_KEY);
    CHECK(iam_role_add(e->iam, &e->arena, &spec, &role, &why) == 0);
    CHECK(open_session(e, &of_role, &who) == -ERR_INVALID_ACCESS_KEY);
    return 0;
}

static void sessions_end_with_key_user_and_role(void **state)
{
    run(endings);
}

static int FIBER no_session_of_a_session(struct env *e)
{
    struct iam_session s, again;
    struct iam_identity who;
    struct policy_fault why;
    struct iam_access_key key;
    struct str secret;
    add_people(e);
    CHECK(make_session(e, "MEMKEY", ALLOW("\"s3:GetObject\""), &s) == 0);
    CHECK(open_session(e, &s, &who) == 0);
    struct iam_session_spec spec = {.parent = &who, .duration_s = 900};
    CHECK(iam_session_make(e->iam, &e->arena, &spec, &again, &why) == -ERR_ACCESS_DENIED);
    iam_identity_release(&who);
    struct iam_access_key_spec service = {.id = STR("SVCKEY"),
                                          .secret = STR("svc-secret"),
                                          .policy = STR(ALLOW("\"s3:GetObject\"")),
                                          .name = STR(""),
                                          .description = STR(""),
                                          .service = true};
    CHECK(iam_access_key_add(e->iam, &e->arena, STR("acct/mem"), &service, &key, &secret, &why) ==
          0);
    CHECK(make_session(e, "SVCKEY", "", &again) == -ERR_ACCESS_DENIED);
    return 0;
}

static void a_session_or_service_account_gets_no_session_of_its_user(void **state)
{
    run(no_session_of_a_session);
}

/* ---- a child never exceeds its parent ------------------------------------------------------- */

static uint64_t seed = 0x9e3779b97f4a7c15;

static unsigned draw(unsigned below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 33) % below;
}
#define PICK(words) (words)[draw(ARRAY_LEN(words))]

static const char *const actions[] = {"s3:*", "s3:Get*", "s3:PutObject", "s3:DeleteObject", "*"};
static const char *const resources[] = {"arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/a*",
                                        "arn:aws:s3:::*", "arn:aws:s3:::bucket/${aws:username}*"};

static struct str draw_policy(struct env *e)
{
    char text[1024] = "{\"Version\":\"2012-10-17\",\"Statement\":[";
    unsigned count = 1 + draw(3);
    for (unsigned i = 0; i < count; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof(text) - len,
                 "%s{\"Effect\":\"%s\",\"%sAction\":\"%s\",\"Resource\":\"%s\"}", i ? "," : "",
                 draw(3) ? "Allow" : "Deny", draw(6) ? "" : "Not", PICK(actions), PICK(resources));
    }
    return arena_printf(&e->arena, "%s]}", text);
}

/* The bucket's, which names the parent, its role, its account, or everybody: never a session by its
 * own name, which then would have what it grants whatever made it. */
static void draw_bucket_policy(struct env *e)
{
    static const char *const principals[] = {
        "\"*\"", "{\"AWS\":\"acct\"}", "{\"AWS\":\"arn:aws:iam::acct:user/mem\"}",
        "{\"AWS\":\"arn:aws:iam::acct:role/r\"}", "{\"AWS\":\"*\"}"};
    static const char *const in_bucket[] = {"arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket/a*",
                                            "arn:aws:s3:::bucket/${aws:username}*"};
    static const char *const of_bucket[] = {"s3:GetObject", "s3:Get*", "s3:*", "s3:PutObject"};
    char text[1024] = "{\"Version\":\"2012-10-17\",\"Statement\":[";
    struct policy_fault why;
    unsigned count = draw(3);
    policy_unref(bucket_policy);
    bucket_policy = NULL;
    for (unsigned i = 0; i < count; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof(text) - len,
                 "%s{\"Effect\":\"%s\",\"Principal\":%s,\"Action\":\"%s\",\"Resource\":\"%s\"}",
                 i ? "," : "", draw(3) ? "Allow" : "Deny", PICK(principals), PICK(of_bucket),
                 PICK(in_bucket));
    }
    struct str whole = arena_printf(&e->arena, "%s]}", text);
    if (count)
        CHECK(policy_compile(POLICY_BUCKET, STR("bucket"), whole, &bucket_policy, &why) == 0);
}

/* Whether the policy alone would let a user of that name. */
static bool allows(struct str document, const struct iam_identity *who, const char *action,
                   const char *key)
{
    struct policy_fault why;
    struct iam_decision d;
    struct iam_named_policy item = {0};
    struct policy *policy;
    CHECK(policy_compile(POLICY_IDENTITY, STR(""), document, &policy, &why) == 0);
    item.policy = policy;
    struct iam_principal p = {.kind = who->role_arn.len ? IAM_SESSION : IAM_USER,
                              .account = STR("acct"),
                              .arn = who->arn,
                              .name = who->name,
                              .user_id = who->user_id};
    struct iam_request r = {.who = &p,
                            .action = (enum iam_action)iam_action_find(str_from(action)),
                            .bucket = STR("bucket"),
                            .key = str_from(key),
                            .resource_account = STR("acct")};
    CHECK(iam_decide(&r, &(struct iam_policies){.identity = {&item, 1}}, &d) == 0);
    policy_unref(policy);
    return d.outcome == IAM_ALLOW;
}

/* What the child may, the parent may, and the child's own policy alone would let it. */
static unsigned compare(struct env *e, const struct iam_identity *parent,
                        const struct iam_identity *child, struct str own, const char *what)
{
    static const char *const asked[] = {"s3:GetObject", "s3:PutObject", "s3:DeleteObject",
                                        "s3:GetObjectAcl"};
    static const char *const keys[] = {"a", "b", "mem/x"};
    unsigned allowed = 0;
    for (unsigned i = 0; i < ARRAY_LEN(asked) * ARRAY_LEN(keys); i++) {
        const char *action = asked[i % ARRAY_LEN(asked)], *key = keys[i / ARRAY_LEN(asked)];
        bool child_may = may(e, child, action, key);
        allowed += child_may;
        bool both = may(e, parent, action, key) && (!own.len || allows(own, child, action, key));
        CHECK(child_may || !both);
        if (child_may && !both) {
            fprintf(stderr, "%s exceeds its parent or its own policy: %s on %s\n", what, action,
                    key);
            CHECK(!"a child exceeds its parent");
        }
    }
    return allowed;
}

static unsigned FIBER service_round(struct env *e, const struct iam_identity *parent)
{
    struct iam_access_key key;
    struct str secret;
    struct policy_fault why;
    struct iam_access_key_spec spec = {.id = STR("SVCKEY"),
                                       .secret = STR("svc-secret"),
                                       .policy = draw(4) ? draw_policy(e) : STR(""),
                                       .name = STR(""),
                                       .description = STR(""),
                                       .service = true};
    CHECK(iam_access_key_add(e->iam, &e->arena, STR("acct/mem"), &spec, &key, &secret, &why) == 0);
    struct iam_identity child = who_has(e, "SVCKEY");
    unsigned allowed = compare(e, parent, &child, spec.policy, "a service account");
    iam_identity_release(&child);
    CHECK(iam_access_key_remove(e->iam, STR("acct/mem"), STR("SVCKEY")) == 0);
    return allowed;
}

static unsigned FIBER session_round(struct env *e, const struct iam_identity *parent)
{
    struct iam_session s;
    struct iam_identity child;
    struct str own = draw(4) ? draw_policy(e) : STR("");
    CHECK(make_session(e, "MEMKEY", own.ptr, &s) == 0);
    CHECK(open_session(e, &s, &child) == 0);
    unsigned allowed = compare(e, parent, &child, own, "a session");
    iam_identity_release(&child);
    return allowed;
}

/* With and without a policy, of the same role. */
static unsigned FIBER role_round(struct env *e)
{
    struct iam_session whole, inside;
    struct iam_identity parent, child;
    struct policy_fault why;
    struct iam_session_spec spec = {.role = STR("acct/r"), .name = STR("mem"), .duration_s = 900};
    CHECK(iam_inline_put(e->iam, IAM_HOLDER_ROLE, STR("acct/r"), STR("p"), draw_policy(e), &why) ==
          0);
    CHECK(iam_session_make(e->iam, &e->arena, &spec, &whole, &why) == 0);
    spec.policy = draw_policy(e);
    CHECK(iam_session_make(e->iam, &e->arena, &spec, &inside, &why) == 0);
    CHECK(open_session(e, &whole, &parent) == 0 && open_session(e, &inside, &child) == 0);
    unsigned allowed = compare(e, &parent, &child, spec.policy, "a role's session");
    iam_identity_release(&parent);
    iam_identity_release(&child);
    return allowed;
}

static int FIBER children(struct env *e)
{
    struct policy_fault why;
    struct iam_role role, spec = {.name = STR("r"),
                                  .account = STR("acct"),
                                  .trust = STR(TRUST_ALL),
                                  .description = STR(""),
                                  .boundary = STR("")};
    unsigned allowed[3] = {0};
    add_people(e);
    CHECK(iam_role_add(e->iam, &e->arena, &spec, &role, &why) == 0);
    for (unsigned round = 0; round < 1500; round++) {
        CHECK(iam_inline_put(e->iam, IAM_HOLDER_USER, STR("acct/mem"), STR("p"), draw_policy(e),
                             &why) == 0);
        draw_bucket_policy(e);
        CHECK(iam_policy_put(e->iam, STR("bound"), draw_policy(e), &why) == 0);
        CHECK(iam_user_set_boundary(e->iam, STR("acct/mem"), draw(3) ? STR("") : STR("bound")) ==
              0);
        struct iam_identity parent = who_has(e, "MEMKEY");
        allowed[0] += service_round(e, &parent);
        allowed[1] += session_round(e, &parent);
        allowed[2] += role_round(e);
        iam_identity_release(&parent);
    }
    policy_unref(bucket_policy);
    bucket_policy = NULL;
    for (unsigned i = 0; i < ARRAY_LEN(allowed); i++)
        CHECK(allowed[i] > 500); /* else nothing was tried */
    return 0;
}

static void a_child_never_exceeds_its_parent(void **state)
{
    run(children);
}

/* ---- rows and names ------------------------------------------------------------------------- */

static int FIBER old_row(struct env *e)
{
    struct buf value;
    struct iam_identity who;
    Iam__User record = IAM__USER__INIT;
    record.name = "old";
    record.user_id = "old-id";
    record.access_key = (ProtobufCBinaryData){6, (uint8_t *)"OLDKEY"};
    record.secret_key = (ProtobufCBinaryData){10, (uint8_t *)"old-secret"};
    buf_init(&value, 0);
    value.len += iam__user__pack(
        &record, (uint8_t *)buf_reserve(&value, iam__user__get_packed_size(&record)));
    CHECK(iam_row_write(e->iam, "U", STR("old"), buf_str(&value)) == 0);
    buf_release(&value);
    reopen(e);
    who = who_has(e, "OLDKEY");
    CHECK(str_eq(who.user_id, STR("old-id")));
    iam_identity_release(&who);
    /* Its next change writes it anew. */
    CHECK(iam_attach_to_user(e->iam, STR("old"), STR("readonly"), true) == 0);
    reopen(e);
    who = who_has(e, "OLDKEY");
    iam_identity_release(&who);
    return 0;
}

static void rows_from_before_there_were_several_keys_are_read(void **state)
{
    run(old_row);
}

static int FIBER names(struct env *e)
{
    struct iam_user user;
    struct iam_user_spec same = {.name = STR("mem"), .account = STR("acct")};
    add_people(e);
    CHECK(iam_user_find(e->iam, &e->arena, STR("acct"), STR("MEM"), &user) == 0);
    CHECK(str_eq(user.arn, STR("arn:aws:iam::acct:user/mem")));
    CHECK(iam_user_find(e->iam, &e->arena, STR("other"), STR("mem"), &user) == -ERR_NOT_FOUND);
    CHECK(iam_user_find(e->iam, &e->arena, STR("acct"), STR("root"), &user) == -ERR_NOT_FOUND);
    /* Two ways to write one ARN would be two users of one right. */
    CHECK(iam_user_add(e->iam, &e->arena, &same, &user) == -ERR_EXISTS);
    CHECK(iam_user_rename(e->iam, &e->arena, STR("acct/mem"), STR("new"), STR("/p/")) == 0);
    CHECK(iam_user_find(e->iam, &e->arena, STR("acct"), STR("new"), &user) == 0);
    CHECK(str_eq(user.arn, STR("arn:aws:iam::acct:user/p/new")));
    reopen(e);
    CHECK(iam_user_find(e->iam, &e->arena, STR("acct"), STR("mem"), &user) == -ERR_NOT_FOUND);
    CHECK(iam_user_find(e->iam, &e->arena, STR("acct"), STR("new"), &user) == 0);
    return 0;
}

static void names_are_known_inside_their_account(void **state)
{
    run(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_opens_with_its_key_whole_and_in_time),
        cmocka_unit_test(sessions_end_with_key_user_and_role),
        cmocka_unit_test(a_session_or_service_account_gets_no_session_of_its_user),
        cmocka_unit_test(a_child_never_exceeds_its_parent),
        cmocka_unit_test(rows_from_before_there_were_several_keys_are_read),
        cmocka_unit_test(names_are_known_inside_their_account),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
