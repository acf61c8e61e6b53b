/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Attached policies, groups and accounts over a real metadata in memory. On a fiber a failed
 * assertion cannot jump out: expectations are CHECKs.
 */

#include "unit.h"

#include <stdio.h>
#include "base/error.h"
#include "iam/grants.h"
#include "kv/mem.h"
#include "rt/rt.h"

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
        .meta = e->meta,
        .root_access_key = STR("rootkey"),
        .root_secret_key = STR("root-secret"),
    };
    CHECK(iam_open(&e->iam, &config) == 0);
}

static void FIBER close_iam(struct env *e)
{
    iam_close(e->iam);
    meta_close(e->meta);
}

static int FIBER in_world(void *arg)
{
    struct env *e = arg;
    arena_init(&e->arena, 0);
    CHECK(kv_mem_new(&e->mem, true) == 0);
    open_iam(e);
    int r = e->test(e);
    close_iam(e);
    kv_mem_free(e->mem);
    arena_release(&e->arena);
    return r;
}

#define CASE(name)                                          \
    static int FIBER name##_(struct env *e);                \
    static void name(void **state)                          \
    {                                                       \
        struct env e = {.test = name##_};                   \
        struct rt_config config = {.threads = 1};           \
        assert_int_equal(rt_run(&config, in_world, &e), 0); \
    }                                                       \
    static int FIBER name##_(struct env *e)

static int FIBER add(struct env *e, const char *name, const char *account)
{
    struct iam_user user;
    struct iam_user_spec spec = {
        .name = str_from(name),
        .access_key = str_from(name),
        .secret_key = STR("some-secret"),
        .user_id = arena_printf(&e->arena, "id-%s", name),
        .account = str_from(account),
    };
    return iam_user_add(e->iam, &e->arena, &spec, &user);
}

static int put(struct env *e, const char *name, const char *action, const char *effect)
{
    struct policy_fault why;
    struct str text = arena_printf(&e->arena,
                                   "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"%s\","
                                   "\"Action\":\"%s\",\"Resource\":\"*\"}]}",
                                   effect, action);
    return iam_policy_put(e->iam, str_from(name), text, &why);
}

/* May the user of that key do that to a bucket of `owner`? */
static int may(struct env *e, const char *key, const char *action, const char *owner)
{
    struct iam_identity who;
    struct str secret;
    int r = iam_lookup(e->iam, &e->arena, str_from(key), &who, &secret);
    if (r)
        return r;
    struct iam_access a = {
        .who = &who,
        .action = str_from(action),
        .bucket = STR("bucket"),
        .bucket_owner = str_from(owner),
    };
    r = iam_authorise(e->iam, &a, NULL);
    iam_identity_release(&who);
    return r;
}

#define DENIED (-ERR_ACCESS_DENIED)

/* ---- accounts ------------------------------------------------------------------------------- */

CASE(a_member_has_what_its_policies_give_and_no_more)
{
    CHECK(add(e, "mem", "root") == 0);
    CHECK(may(e, "mem", "s3:GetObject", "root") == DENIED);
    CHECK(may(e, "mem", "s3:CreateBucket", "") == DENIED);
    CHECK(may(e, "mem", "s3:ListAllMyBuckets", "") == DENIED);
    CHECK(iam_attach_to_user(e->iam, STR("mem"), STR("readonly"), true) == 0);
    CHECK(may(e, "mem", "s3:GetObject", "root") == 0);
    CHECK(may(e, "mem", "s3:PutObject", "root") == DENIED);
    /* Another account's bucket needs that account's word too. */
    CHECK(may(e, "mem", "s3:GetObject", "id-bob") == DENIED);
    CHECK(iam_attach_to_user(e->iam, STR("mem"), STR("readonly"), false) == 0);
    CHECK(may(e, "mem", "s3:GetObject", "root") == DENIED);
    return 0;
}

CASE(accounts_are_users_and_stay_while_they_have_members)
{
    CHECK(add(e, "ann", "") == 0);
    CHECK(add(e, "lost", "id-nobody") == -ERR_NOT_FOUND);
    CHECK(add(e, "mem", "id-ann") == 0);
    CHECK(add(e, "deep", "id-mem") == -ERR_NOT_FOUND); /* a member is no account */
    CHECK(iam_user_remove(e->iam, STR("ann")) == -ERR_CONFLICT);
    CHECK(iam_attach_to_user(e->iam, STR("mem"), STR("readwrite"), true) == 0);
    CHECK(may(e, "mem", "s3:PutObject", "id-ann") == 0);
    CHECK(may(e, "ann", "s3:PutObject", "id-ann") == 0);
    CHECK(may(e, "mem", "s3:PutObject", "root") == DENIED);
    CHECK(iam_user_remove(e->iam, STR("mem")) == 0);
    CHECK(iam_user_remove(e->iam, STR("ann")) == 0);
    return 0;
}

CASE(a_policy_narrows_even_the_root_of_an_account)
{
    CHECK(add(e, "ann", "") == 0);
    CHECK(put(e, "no-delete", "s3:Delete*", "Deny") == 0);
    CHECK(may(e, "ann", "s3:DeleteObject", "id-ann") == 0);
    CHECK(iam_attach_to_user(e->iam, STR("ann"), STR("no-delete"), true) == 0);
    CHECK(may(e, "ann", "s3:DeleteObject", "id-ann") == DENIED);
    CHECK(may(e, "ann", "s3:PutObject", "id-ann") == 0);
    return 0;
}

/* ---- policies ------------------------------------------------------------------------------- */

CASE(a_changed_policy_holds_at_once)
{
    CHECK(add(e, "mem", "root") == 0);
    CHECK(put(e, "work", "s3:GetObject", "Allow") == 0);
    CHECK(iam_attach_to_user(e->iam, STR("mem"), STR("work"), true) == 0);
    CHECK(iam_attach_to_user(e->iam, STR("mem"), STR("work"), true) == 0); /* is so already */
    CHECK(may(e, "mem", "s3:GetObject", "root") == 0);
    CHECK(put(e, "work", "s3:PutObject", "Allow") == 0);
    CHECK(may(e, "mem", "s3:GetObject", "root") == DENIED);
    CHECK(may(e, "mem", "s3:PutObject", "root") == 0);
    return 0;
}

CASE(what_is_attached_or_built_in_is_not_removed)
{
    struct policy_fault why;
    CHECK(add(e, "mem", "root") == 0);
    CHECK(put(e, "work", "s3:*", "Allow") == 0);
    CHECK(iam_attach_to_user(e->iam, STR("mem"), STR("work"), true) == 0);
    CHECK(iam_policy_remove(e->iam, STR("work")) == -ERR_CONFLICT);
    CHECK(iam_attach_to_user(e->iam, STR("mem"), STR("work"), false) == 0);
    CHECK(iam_policy_remove(e->iam, STR("work")) == 0);
    CHECK(iam_policy_remove(e->iam, STR("work")) == -ERR_NOT_FOUND);
    CHECK(iam_policy_remove(e->iam, STR("readonly")) == -ERR_CONFLICT);
    CHECK(put(e, "readonly", "s3:*", "Allow") == -ERR_CONFLICT);
    CHECK(put(e, "", "s3:*", "Allow") == -EINVAL);
    CHECK(iam_policy_put(e->iam, STR("bad"), STR("{}"), &why) == -ERR_MALFORMED_POLICY);
    CHECK(strstr(why.text, "Statement"));
    CHECK(iam_attach_to_user(e->iam, STR("mem"), STR("work"), true) == -ERR_NOT_FOUND);
    CHECK(iam_attach_to_user(e->iam, STR("nobody"), STR("readonly"), true) == -ERR_NOT_FOUND);
    CHECK(iam_attach_to_user(e->iam, STR("root"), STR("readonly"), true) == -ERR_NOT_FOUND);
    return 0;
}

CASE(lists_have_a_limit)
{
    char name[16];
    CHECK(add(e, "mem", "root") == 0);
    for (unsigned i = 0; i <= IAM_USER_POLICIES_MAX; i++) {
        snprintf(name, sizeof(name), "p%u", i);
        CHECK(put(e, name, "s3:GetObject", "Allow") == 0);
        CHECK(iam_attach_to_user(e->iam, STR("mem"), str_from(name), true) ==
              (i < IAM_USER_POLICIES_MAX ? 0 : -ERR_LIMIT));
    }
    for (unsigned i = 0; i <= IAM_USER_GROUPS_MAX; i++) {
        snprintf(name, sizeof(name), "g%u", i);
        CHECK(iam_group_add(e->iam, str_from(name)) == 0);
        CHECK(iam_group_member(e->iam, str_from(name), STR("mem"), true) ==
              (i < IAM_USER_GROUPS_MAX ? 0 : -ERR_LIMIT));
    }
    return 0;
}

/* ---- groups --------------------------------------------------------------------------------- */

CASE(a_group_gives_its_policies_to_its_members)
{
    struct iam_group_info *groups;
    size_t count;
    CHECK(add(e, "mem", "root") == 0 && add(e, "other", "root") == 0);
    CHECK(iam_group_add(e->iam, STR("dev")) == 0);
    CHECK(iam_group_add(e->iam, STR("dev")) == -ERR_EXISTS);
    CHECK(iam_group_member(e->iam, STR("dev"), STR("mem"), true) == 0);
    CHECK(may(e, "mem", "s3:PutObject", "root") == DENIED);
    CHECK(iam_attach_to_group(e->iam, STR("dev"), STR("readwrite"), true) == 0);
    CHECK(may(e, "mem", "s3:PutObject", "root") == 0);
    CHECK(may(e, "other", "s3:PutObject", "root") == DENIED);
    CHECK(iam_group_list(e->iam, &e->arena, false, &groups, &count) == 0);
    CHECK(count == 1 && groups[0].policy_count == 1 && groups[0].member_count == 0);
    CHECK(iam_group_list(e->iam, &e->arena, true, &groups, &count) == 0);
    CHECK(count == 1 && groups[0].policy_count == 1 && groups[0].member_count == 1);
    CHECK(str_eq(groups[0].members[0], STR("mem")));
    CHECK(iam_group_remove(e->iam, STR("dev")) == -ERR_CONFLICT);
    CHECK(iam_group_member(e->iam, STR("dev"), STR("mem"), false) == 0);
    CHECK(may(e, "mem", "s3:PutObject", "root") == DENIED);
    CHECK(iam_group_remove(e->iam, STR("dev")) == 0);
    CHECK(iam_group_remove(e->iam, STR("dev")) == -ERR_NOT_FOUND);
    return 0;
}

/* ---- rows ----------------------------------------------------------------------------------- */

CASE(all_of_it_survives_a_restart)
{
    struct iam_policy_info info;
    struct iam_policy_info *all;
    struct iam_user user;
    size_t count;
    struct policy_fault why;
    struct str text = STR("{ \"Statement\" : {\"Effect\":\"Allow\",\"Action\":\"s3:Put*\","
                          "\"Resource\":\"*\"} }");
    CHECK(add(e, "ann", "") == 0 && add(e, "mem", "id-ann") == 0);
    CHECK(iam_policy_put(e->iam, STR("work"), text, &why) == 0);
    CHECK(iam_group_add(e->iam, STR("dev")) == 0);
    CHECK(iam_attach_to_group(e->iam, STR("dev"), STR("readonly"), true) == 0);
    CHECK(iam_group_member(e->iam, STR("dev"), STR("mem"), true) == 0);
    CHECK(iam_attach_to_user(e->iam, STR("mem"), STR("work"), true) == 0);
    close_iam(e);
    open_iam(e);
    CHECK(may(e, "mem", "s3:PutObject", "id-ann") == 0);
    CHECK(may(e, "mem", "s3:GetObject", "id-ann") == 0);
    CHECK(may(e, "mem", "s3:DeleteObject", "id-ann") == DENIED);
    CHECK(iam_policy_get(e->iam, &e->arena, STR("work"), &info) == 0);
    CHECK(str_eq(info.document, text) && !info.builtin);
    CHECK(iam_policy_list(e->iam, &e->arena, &all, &count) == 0);
    CHECK(count == 11 && str_eq(all[0].name, STR("AdministratorAccess")) && all[0].builtin);
    CHECK(iam_user_get(e->iam, &e->arena, STR("mem"), &user) == 0);
    CHECK(str_eq(user.account, STR("id-ann")) && user.policy_count == 1 && user.group_count == 1);
    return 0;
}

static int break_document(struct meta_tx *tx, void *arg)
{
    /* name "work", document "?" */
    return meta_put(tx, STR("Ipolicy work"), STR("\x0a\x04work\x12\x01?"));
}

CASE(a_document_that_cannot_be_read_denies)
{
    CHECK(add(e, "ann", "") == 0);
    CHECK(put(e, "work", "s3:*", "Allow") == 0);
    CHECK(iam_attach_to_user(e->iam, STR("ann"), STR("work"), true) == 0);
    CHECK(meta_write(e->meta, BUCKET_SYSTEM, break_document, NULL) == 0);
    close_iam(e);
    open_iam(e);
    CHECK(may(e, "ann", "s3:GetObject", "id-ann") == DENIED);
    CHECK(put(e, "work", "s3:*", "Allow") == 0);
    CHECK(may(e, "ann", "s3:GetObject", "id-ann") == 0);
    return 0;
}

/* A request that is under way keeps what it came with. */
CASE(grants_outlive_a_change)
{
    struct iam_identity who;
    struct str secret;
    CHECK(add(e, "mem", "root") == 0);
    CHECK(put(e, "work", "s3:GetObject", "Allow") == 0);
    CHECK(iam_attach_to_user(e->iam, STR("mem"), STR("work"), true) == 0);
    CHECK(iam_lookup(e->iam, &e->arena, STR("mem"), &who, &secret) == 0);
    CHECK(iam_attach_to_user(e->iam, STR("mem"), STR("work"), false) == 0);
    CHECK(iam_policy_remove(e->iam, STR("work")) == 0);
    struct iam_access a = {.who = &who,
                           .action = STR("s3:GetObject"),
                           .bucket = STR("bucket"),
                           .bucket_owner = STR("root")};
    struct iam_decision d;
    CHECK(iam_authorise(e->iam, &a, &d) == 0);
    CHECK(d.source == IAM_BY_IDENTITY && str_eq(d.policy, STR("work")));
    iam_identity_release(&who);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_has_what_its_policies_give_and_no_more),
        cmocka_unit_test(accounts_are_users_and_stay_while_they_have_members),
        cmocka_unit_test(a_policy_narrows_even_the_root_of_an_account),
        cmocka_unit_test(a_changed_policy_holds_at_once),
        cmocka_unit_test(what_is_attached_or_built_in_is_not_removed),
        cmocka_unit_test(lists_have_a_limit),
        cmocka_unit_test(a_group_gives_its_policies_to_its_members),
        cmocka_unit_test(all_of_it_survives_a_restart),
        cmocka_unit_test(a_document_that_cannot_be_read_denies),
        cmocka_unit_test(grants_outlive_a_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
