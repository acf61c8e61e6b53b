/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A session token. What nobody sealed opens nothing; and a record that was sealed, whatever stands
 * in it, is refused or stands for the user or the role that is there. The first byte says which.
 */

#include "fuzz.h"

#include "base/error.h"
#include "iam/internal.h"

#define KEY STR("ASIAFUZZ")

static void set_up(struct iam *iam, struct arena *a)
{
    struct iam_user user = {.name = STR("ann"), .user_id = STR("u")};
    struct iam_key_data key = {.info = {.id = STR("AKIA")}, .secret = STR("some-secret")};
    struct policy_fault why;
    struct policy *deny;
    *iam = (struct iam){0};
    rt_lock_init(&iam->lock);
    table_init(&iam->by_key, 8);
    table_init(&iam->by_name, 8);
    table_init(&iam->by_id, 8);
    table_init(&iam->policies, 8);
    table_init(&iam->groups, 8);
    table_init(&iam->roles, 8);
    struct iam_entry *e = iam_entry_new(&user, &key, 1);
    CHECK(e && table_put(&iam->by_id, &e->by_id, e->user.user_id) == 0);
    CHECK(table_put(&iam->by_name, &e->by_name, e->user.name) == 0);
    CHECK(table_put(&iam->by_key, &e->keys[0].node, STR("AKIA")) == 0);
    struct iam_role_entry *role = arena_new(a, struct iam_role_entry);
    role->info = (struct iam_role){.name = STR("r"),
                                   .id = STR("AROA"),
                                   .account = STR("u"),
                                   .arn = STR("arn:aws:iam::u:role/r")};
    CHECK(table_put(&iam->roles, &role->node, role->info.name) == 0);
    CHECK(policy_compile(POLICY_IDENTITY, STR(""),
                         STR("{\"Statement\":[{\"Effect\":\"Deny\",\"Action\":\"*\","
                             "\"Resource\":\"*\"}]}"),
                         &deny, &why) == 0);
    iam->deny_all = deny;
    CHECK(iam_sessions_new(iam) == 0);
}

static void tear_down(struct iam *iam)
{
    struct iam_entry *e = iam_find_by_name(iam, STR("ann"));
    iam_sessions_release(iam);
    policy_unref(iam->deny_all);
    table_release(&iam->by_key);
    table_release(&iam->by_id);
    table_release(&iam->by_name);
    table_release(&iam->roles);
    table_release(&iam->policies);
    table_release(&iam->groups);
    iam_entry_free(e);
}

/* Twice: what was opened is kept. */
static void open_token(struct iam *iam, struct arena *a, struct str token, bool sealed)
{
    struct iam_identity who;
    struct str secret;
    for (unsigned i = 0; i < 2; i++) {
        int r = iam_session_lookup(iam, a, KEY, token, 1, &who, &secret);
        CHECK(sealed || r == -ERR_INVALID_TOKEN);
        CHECK(iam_session_lookup(iam, a, STR("ASIAOTHER"), token, 1, &who, &secret) ==
              -ERR_INVALID_TOKEN);
        if (r)
            continue;
        CHECK(!who.root && str_eq(who.account, STR("u")));
        CHECK(who.credential == IAM_USER_SESSION || who.credential == IAM_ROLE_SESSION);
        iam_identity_release(&who);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct arena a;
    struct iam iam;
    struct str token;
    if (len == 0)
        return 0;
    arena_init(&a, 0);
    set_up(&iam, &a);
    struct str bytes = str_make(data + 1, len - 1);
    if (data[0] & 1)
        open_token(&iam, &a, bytes, false);
    else if (iam_token_seal(&iam, &a, KEY, bytes, &token) == 0)
        open_token(&iam, &a, token, true);
    tear_down(&iam);
    arena_release(&a);
    return 0;
}
