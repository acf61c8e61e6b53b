/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A policy document: refused with a sentence, or kept byte for byte; what compiles can be decided
 * over, twice alike, and a Deny of everything beside it always wins.
 */

#include "fuzz.h"

#include "base/error.h"
#include "iam/policy_decide.h"

static int answer(void *arg, enum iam_key key, struct str name, struct iam_values *ret)
{
    static const struct str values[] = {{"10.0.0.1", 8}, {"a*b", 3}, {"true", 4}, {"", 0}};
    *ret = (struct iam_values){&values[key % 4], key % 3};
    if (key % 4 == 3)
        ret->count = 0;
    return 0;
}

static const struct policy *deny_all(void)
{
    static struct policy *p;
    struct policy_fault why;
    struct str text =
        STR("{\"Statement\":{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"*\"}}");
    if (!p)
        CHECK(policy_compile(POLICY_IDENTITY, STR(""), text, &p, &why) == 0);
    return p;
}

static void decide(const struct policy *p, enum policy_kind kind)
{
    struct iam_principal who = {.kind = IAM_USER,
                                .account = STR("111122223333"),
                                .arn = STR("arn:aws:iam::111122223333:user/a"),
                                .name = STR("a")};
    struct iam_named_policy sets[] = {{STR("p"), p}, {STR("deny"), deny_all()}};
    struct iam_policies with = {.identity = {sets, kind == POLICY_IDENTITY}};
    if (kind != POLICY_IDENTITY)
        with.bucket = p;
    for (unsigned a = 0; a < IAM_ACTION_COUNT; a += 7) {
        struct iam_request r = {.who = &who,
                                .action = a,
                                .bucket = STR("bucket"),
                                .key = a % 2 ? STR("a/b*c") : STR(""),
                                .context = answer};
        struct iam_decision one, two;
        CHECK(iam_decide(&r, &with, &one) == 0 && iam_decide(&r, &with, &two) == 0);
        CHECK(one.outcome == two.outcome && one.statement == two.statement);
        struct iam_policies denied = with;
        denied.identity = kind == POLICY_IDENTITY ? (struct iam_policy_set){sets, 2}
                                                  : (struct iam_policy_set){sets + 1, 1};
        CHECK(iam_decide(&r, &denied, &two) == 0 && two.outcome == IAM_EXPLICIT_DENY);
    }
}

static void try_as(enum policy_kind kind, struct str text)
{
    struct policy *p;
    struct policy_fault why;
    int r = policy_compile(kind, STR("bucket"), text, &p, &why);
    if (r) {
        CHECK(r == -ERR_MALFORMED_POLICY || r == -ENOMEM);
        CHECK(r == -ENOMEM || why.text[0]);
        return;
    }
    CHECK(str_eq(policy_document(p), text));
    CHECK(policy_statement_count(p) > 0);
    (void)policy_is_public(p);
    decide(p, kind);
    policy_unref(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct str text = fuzz_exact_prefix(str_make(data, len), len);
    try_as(POLICY_IDENTITY, text);
    try_as(POLICY_BUCKET, text);
    try_as(POLICY_TRUST, text);
    free((char *)text.ptr);
    return 0;
}
