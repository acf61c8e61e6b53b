/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Users over a real metadata in memory. Everything runs on a fiber, where a failed assertion cannot
 * jump out: expectations are CHECKs.
 */

#include "unit.h"

#include <stdio.h>
#include "base/error.h"
#include "iam/authenticate.h"
#include "iam/internal.h"
#include "kv/mem.h"
#include "rt/rt.h"

struct env {
    struct kv_mem *mem;
    struct meta *meta;
    struct iam *iam;
    struct arena arena;
    int (*test)(struct env *e);
};

static void FIBER open_iam(struct env *e, const char *root_key)
{
    struct kv *kv;
    CHECK(kv_mem_open(&kv, e->mem) == 0);
    CHECK(meta_local_open(&e->meta, kv, 0) == 0);
    struct iam_config config = {
        .meta = e->meta,
        .root_access_key = str_from(root_key),
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
    open_iam(e, "rootkey");
    int r = e->test(e);
    close_iam(e);
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

static int FIBER add(struct env *e, const char *name, const char *key, const char *id)
{
    struct iam_user user;
    struct iam_user_spec spec = {
        .name = str_from(name),
        .access_key = str_from(key),
        .secret_key = STR("some-secret"),
        .user_id = str_from(id),
    };
    return iam_user_add(e->iam, &e->arena, &spec, &user);
}

static int lookup(struct env *e, const char *key, struct iam_identity *ret)
{
    struct str secret;
    return iam_lookup(e->iam, &e->arena, str_from(key), ret, &secret);
}

/* ---- users ---------------------------------------------------------------------------------- */

static int FIBER survives(struct env *e)
{
    struct iam_identity who;
    CHECK(add(e, "ann", "ANNKEY", "id-ann") == 0);
    CHECK(add(e, "bob", "BOBKEY", "id-bob") == 0);
    CHECK(iam_user_remove(e->iam, STR("bob")) == 0);
    close_iam(e);
    open_iam(e, "rootkey");
    CHECK(lookup(e, "ANNKEY", &who) == 0);
    CHECK(str_eq(who.user_id, STR("id-ann")) && !who.root);
    CHECK(lookup(e, "BOBKEY", &who) == -ERR_INVALID_ACCESS_KEY);
    return 0;
}

static void users_survive_a_restart(void **state)
{
    run(survives);
}

static int FIBER clash(struct env *e)
{
    CHECK(add(e, "ann", "ANNKEY", "id-ann") == 0);
    CHECK(add(e, "ann", "OTHER", "id-x") == -ERR_EXISTS);
    CHECK(add(e, "eve", "ANNKEY", "id-x") == -ERR_EXISTS);
    CHECK(add(e, "eve", "OTHER", "id-ann") == -ERR_EXISTS);
    CHECK(add(e, "root", "OTHER", "id-x") == -ERR_EXISTS);
    CHECK(add(e, "eve", "rootkey", "id-x") == -ERR_EXISTS);
    CHECK(add(e, "eve", "OTHER", "root") == -ERR_EXISTS);
    CHECK(add(e, "eve", "OTHER", "id-x") == 0);
    return 0;
}

static void name_key_and_id_are_unique_also_against_root(void **state)
{
    run(clash);
}

static int FIBER limits(struct env *e)
{
    CHECK(add(e, "", "KEY", "id") == -EINVAL);
    CHECK(add(e, "a", "ab", "id") == -EINVAL);
    CHECK(add(e, "a", "with/slash", "id") == -EINVAL);
    CHECK(add(e, "a", "with space", "id") == -EINVAL);
    CHECK(add(e, "a\nb", "KEY", "id") == -EINVAL);
    CHECK(add(e, "a\xff", "KEY", "id") == -EINVAL);
    struct iam_user user;
    struct iam_user_spec spec = {STR("a"), STR("KEY"), STR("short")};
    CHECK(iam_user_add(e->iam, &e->arena, &spec, &user) == -EINVAL);
    return 0;
}

static void malformed_users_are_refused(void **state)
{
    run(limits);
}

static int FIBER listing(struct env *e)
{
    struct iam_user *users;
    size_t count;
    CHECK(add(e, "zoe", "ZOEKEY", "") == 0);
    CHECK(add(e, "ann", "ANNKEY", "") == 0);
    CHECK(iam_user_list(e->iam, &e->arena, &users, &count) == 0);
    CHECK(count == 2);
    CHECK(str_eq(users[0].name, STR("ann")) && str_eq(users[1].name, STR("zoe")));
    CHECK(users[0].user_id.len == 64 && !str_eq(users[0].user_id, users[1].user_id));
    CHECK(iam_user_remove(e->iam, STR("root")) == -ERR_NOT_FOUND);
    return 0;
}

static void list_is_in_name_order_without_root(void **state)
{
    run(listing);
}

static int FIBER root_takes_key(struct env *e)
{
    struct iam_identity who;
    CHECK(add(e, "ann", "ANNKEY", "id-ann") == 0);
    close_iam(e);
    open_iam(e, "ANNKEY");
    CHECK(lookup(e, "ANNKEY", &who) == 0);
    CHECK(who.root);
    close_iam(e);
    open_iam(e, "rootkey");
    CHECK(lookup(e, "ANNKEY", &who) == 0);
    CHECK(!who.root);
    return 0;
}

static void root_wins_a_key_and_its_user_comes_back(void **state)
{
    run(root_takes_key);
}

static int FIBER unsynced(struct env *e)
{
    struct iam_identity who;
    kv_mem_fail_syncs(e->mem, 1, -EIO);
    CHECK(add(e, "ann", "ANNKEY", "id-ann") < 0);
    CHECK(lookup(e, "ANNKEY", &who) == -ERR_INVALID_ACCESS_KEY);
    return 0;
}

static void user_whose_row_failed_cannot_sign(void **state)
{
    run(unsynced);
}

/* ---- rights --------------------------------------------------------------------------------- */

static int may(struct env *e, const char *key, const char *action, const char *owner)
{
    struct iam_identity who;
    if (key)
        CHECK(lookup(e, key, &who) == 0);
    struct iam_access r = {
        .who = key ? &who : NULL,
        .action = str_from(action),
        .bucket = STR("bucket"),
        .bucket_owner = str_from(owner),
    };
    int got = iam_authorise(e->iam, &r, NULL);
    if (key)
        iam_identity_release(&who);
    return got;
}

static int FIBER rights(struct env *e)
{
    CHECK(add(e, "ann", "ANNKEY", "id-ann") == 0);
    CHECK(may(e, "rootkey", "s3:GetObject", "id-ann") == 0);
    CHECK(may(e, "ANNKEY", "s3:GetObject", "id-ann") == 0);
    CHECK(may(e, "ANNKEY", "s3:GetObject", "id-bob") == -ERR_ACCESS_DENIED);
    CHECK(may(e, "ANNKEY", "s3:GetObject", "") == -ERR_ACCESS_DENIED);
    CHECK(may(e, "ANNKEY", "s3:CreateBucket", "") == 0);
    CHECK(may(e, "ANNKEY", "s3:ListAllMyBuckets", "") == 0);
    CHECK(may(e, NULL, "s3:GetObject", "id-ann") == -ERR_ACCESS_DENIED);
    CHECK(may(e, NULL, "s3:ListAllMyBuckets", "") == -ERR_ACCESS_DENIED);
    return 0;
}

static void rights_are_the_owners_and_roots(void **state)
{
    run(rights);
}

/* ---- signatures ----------------------------------------------------------------------------- */

#define NOW_MS 1767225600000ULL /* 2026-01-01T00:00:00Z */

static void sign(struct env *e, struct http1_request *r, const char *access_key, const char *secret)
{
    struct sigv4_key key;
    struct str auth;
    *r = (struct http1_request){
        .method = STR("GET"), .target = STR("/bucket/key"), .host = STR("h"), .minor = 1};
    r->headers[0] = (struct http1_header){STR("host"), STR("h")};
    r->headers[1] = (struct http1_header){STR("x-amz-content-sha256"), STR("UNSIGNED-PAYLOAD")};
    r->headers[2] = (struct http1_header){STR("x-amz-date"), STR("20260101T000000Z")};
    r->header_count = 3;
    sigv4_key_init(&key, str_from(secret), STR("20260101"), STR("us-east-1"), STR("s3"));
    CHECK(sigv4_sign(&e->arena, r, str_from(access_key), &key, STR("20260101"), STR("us-east-1"),
                     STR("s3"), &auth) == 0);
    r->headers[r->header_count++] = (struct http1_header){STR("authorization"), auth};
}

static int authenticate(struct env *e, const struct http1_request *r)
{
    struct sigv4_auth auth;
    const struct sigv4_key *key;
    struct iam_identity who;
    return iam_authenticate(e->iam, &e->arena, r, STR_NULL, NOW_MS, &auth, &key, &who);
}

static int FIBER signatures(struct env *e)
{
    struct http1_request r;
    CHECK(add(e, "ann", "ANNKEY", "id-ann") == 0);
    for (unsigned round = 0; round < 3; round++) { /* cold and cached */
        sign(e, &r, "ANNKEY", "some-secret");
        CHECK(authenticate(e, &r) == 0);
        sign(e, &r, "ANNKEY", "wrong-secret");
        CHECK(authenticate(e, &r) == -ERR_SIGNATURE_MISMATCH);
        sign(e, &r, "NOBODY", "some-secret");
        CHECK(authenticate(e, &r) == -ERR_INVALID_ACCESS_KEY);
    }
    r.header_count--;
    CHECK(authenticate(e, &r) == 0); /* unsigned: no error, no identity */
    return 0;
}

static void signatures_are_verified_cold_and_cached(void **state)
{
    run(signatures);
}

static int FIBER changed_secret(struct env *e)
{
    struct http1_request r;
    struct iam_user user;
    CHECK(add(e, "ann", "ANNKEY", "id-ann") == 0);
    sign(e, &r, "ANNKEY", "some-secret");
    CHECK(authenticate(e, &r) == 0);
    CHECK(iam_user_remove(e->iam, STR("ann")) == 0);
    CHECK(authenticate(e, &r) == -ERR_INVALID_ACCESS_KEY);
    struct iam_user_spec spec = {STR("ann"), STR("ANNKEY"), STR("another-secret")};
    CHECK(iam_user_add(e->iam, &e->arena, &spec, &user) == 0);
    CHECK(authenticate(e, &r) == -ERR_SIGNATURE_MISMATCH);
    return 0;
}

static void cached_key_ends_with_its_secret(void **state)
{
    run(changed_secret);
}

/* ---- rates ---------------------------------------------------------------------------------- */

static int FIBER put(struct env *e, const char *user, const char *secret, bool off, bool dry)
{
    struct policy_fault why;
    enum iam_put done;
    struct iam_access_key_spec spec = {
        .id = STR("PUTKEY"), .secret = str_from(secret), .inactive = off};
    int r = iam_access_key_put(e->iam, str_from(user), &spec, dry, &done, &why);
    return r < 0 ? r : (int)done;
}

static int FIBER put_keys(struct env *e)
{
    struct iam_identity who;
    struct str secret;
    CHECK(add(e, "ann", "ANNKEY", "id-ann") == 0 && add(e, "bob", "BOBKEY", "id-bob") == 0);
    CHECK(put(e, "ann", "secret-one", false, true) == IAM_PUT_ADDED);
    CHECK(lookup(e, "PUTKEY", &who) == -ERR_INVALID_ACCESS_KEY);
    CHECK(put(e, "ann", "secret-one", false, false) == IAM_PUT_ADDED);
    CHECK(put(e, "ann", "secret-one", false, false) == IAM_PUT_SAME);
    CHECK(put(e, "ann", "secret-two", false, true) == IAM_PUT_CHANGED);
    CHECK(iam_lookup(e->iam, &e->arena, STR("PUTKEY"), &who, &secret) == 0);
    CHECK(str_eq(secret, STR("secret-one")));
    iam_identity_release(&who);
    CHECK(put(e, "ann", "secret-two", true, false) == IAM_PUT_CHANGED);
    CHECK(lookup(e, "PUTKEY", &who) == -ERR_INVALID_ACCESS_KEY);
    for (int dry = 0; dry <= 1; dry++) {
        CHECK(put(e, "bob", "secret-one", false, dry) == -ERR_EXISTS);
        CHECK(put(e, "eve", "secret-one", false, dry) == -ERR_EXISTS);
        CHECK(put(e, "ann", "short", false, dry) == -EINVAL);
        CHECK(put(e, "ann", "", false, dry) == -EINVAL);
    }
    CHECK(iam_access_key_remove(e->iam, STR("ann"), STR("PUTKEY")) == 0);
    CHECK(put(e, "eve", "secret-one", false, true) == -ERR_NOT_FOUND);
    CHECK(put(e, "root", "secret-one", false, false) == -ERR_NOT_FOUND);
    return 0;
}

static void a_key_that_is_put_is_made_changed_or_the_same(void **state)
{
    run(put_keys);
}

static int FIBER add_in(struct env *e, const char *account, const char *name)
{
    struct iam_user user;
    struct iam_user_spec spec = {
        .name = iam_qualify(&e->arena, str_from(account), str_from(name)),
        .account = str_from(account),
    };
    return iam_user_add(e->iam, &e->arena, &spec, &user);
}

static int FIBER fill_group(struct env *e, const char *account, const char *name)
{
    struct iam_group_info group;
    return iam_group_create(e->iam, &e->arena, str_from(account), str_from(name), STR("/"), &group);
}

static int FIBER shares(struct env *e)
{
    char name[32];
    CHECK(add(e, "ann", "ANNKEY", "id-ann") == 0 && add(e, "bob", "BOBKEY", "id-bob") == 0);
    CHECK(add_in(e, "id-ann", "member") == 0);
    for (unsigned i = 0; i < iam_share_of(STR("id-ann"), IAM_SHARE_GROUPS); i++) {
        snprintf(name, sizeof(name), "g%u", i);
        CHECK(fill_group(e, "id-ann", name) == 0);
        arena_reset(&e->arena);
    }
    CHECK(fill_group(e, "id-ann", "more") == -ERR_LIMIT);
    CHECK(fill_group(e, "id-ann", "g7") == -ERR_EXISTS);
    CHECK(fill_group(e, "id-bob", "more") == 0);
    CHECK(fill_group(e, "root", "more") == 0);
    CHECK(add_in(e, "id-ann", "second") == 0);
    CHECK(iam_group_remove(e->iam, STR("id-ann/g7")) == 0);
    CHECK(fill_group(e, "id-ann", "more") == 0);
    CHECK(fill_group(e, "id-ann", "again") == -ERR_LIMIT);
    return 0;
}

static void an_account_fills_its_share_and_no_others(void **state)
{
    run(shares);
}

static void a_rate_lets_a_seconds_requests_through_and_then_one_by_one(void **state)
{
    const uint64_t second = 1000000000, start = 77 * second;
    uint64_t next = 0;
    for (unsigned i = 0; i < 10; i++)
        assert_true(iam_turn(&next, 10, start));
    assert_false(iam_turn(&next, 10, start));
    assert_false(iam_turn(&next, 10, start + second / 10 - 1));
    assert_true(iam_turn(&next, 10, start + second / 10));
    assert_false(iam_turn(&next, 10, start + second / 10));
    unsigned passed = 0;
    for (unsigned i = 0; i < 10000; i++) /* asked a thousand times a second, for ten */
        passed += iam_turn(&next, 10, start + second / 5 + i * (second / 1000));
    assert_in_range(passed, 99, 101);
    for (unsigned i = 0; i < 10; i++) /* after a silence */
        assert_true(iam_turn(&next, 10, start + 100 * second));
    assert_false(iam_turn(&next, 10, start + 100 * second));
    next = 0;
    assert_true(iam_turn(&next, 1, start));
    assert_false(iam_turn(&next, 1, start + second - 1));
    assert_true(iam_turn(&next, 1, start + second));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_survive_a_restart),
        cmocka_unit_test(name_key_and_id_are_unique_also_against_root),
        cmocka_unit_test(malformed_users_are_refused),
        cmocka_unit_test(list_is_in_name_order_without_root),
        cmocka_unit_test(root_wins_a_key_and_its_user_comes_back),
        cmocka_unit_test(user_whose_row_failed_cannot_sign),
        cmocka_unit_test(rights_are_the_owners_and_roots),
        cmocka_unit_test(signatures_are_verified_cold_and_cached),
        cmocka_unit_test(cached_key_ends_with_its_secret),
        cmocka_unit_test(a_key_that_is_put_is_made_changed_or_the_same),
        cmocka_unit_test(an_account_fills_its_share_and_no_others),
        cmocka_unit_test(a_rate_lets_a_seconds_requests_through_and_then_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
