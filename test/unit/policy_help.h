/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Policies and requests in a line each. Documents are written with ' for ", and ^ for '.
 * A context is "aws:SourceIp=10.0.0.1;s3:prefix=a/;aws:TagKeys=a,b": a key without "=" is absent.
 */

#include "unit.h"

#include <stdio.h>
#include "base/error.h"
#include "iam/policy_decide.h"

#define CONTEXT_MAX 16

struct context_entry {
    int key;
    struct str name;
    struct str values[8];
    size_t count;
};
struct context {
    char text[1024];
    struct context_entry entries[CONTEXT_MAX];
    unsigned count, asked;
    int fails_with; /* what every question is answered with, if not 0 */
};

static inline void context_init(struct context *c, const char *text)
{
    struct str rest, entry, value;
    *c = (struct context){.count = 0};
    snprintf(c->text, sizeof(c->text), "%s", text ? text : "");
    rest = str_from(c->text);
    while (rest.len && str_cut(&rest, ';', &entry)) {
        struct context_entry *e = &c->entries[c->count++];
        struct str key;
        CHECK(c->count <= CONTEXT_MAX && str_cut(&entry, '=', &key));
        e->key = iam_key_find(key, &e->name);
        CHECK(e->key >= 0);
        while (entry.ptr && str_cut(&entry, ',', &value))
            e->values[e->count++] = value;
    }
}

static inline int context_get(void *arg, enum iam_key key, struct str name, struct iam_values *ret)
{
    struct context *c = arg;
    c->asked++;
    if (c->fails_with)
        return c->fails_with;
    for (unsigned i = 0; i < c->count; i++)
        if (c->entries[i].key == (int)key && str_eq(c->entries[i].name, name))
            *ret = (struct iam_values){c->entries[i].values, c->entries[i].count};
    return 0;
}

/* The document with its quotes as JSON wants them. */
static inline struct str json_of(const char *text, char *room, size_t size)
{
    size_t len = strlen(text);
    CHECK(len < size);
    for (size_t i = 0; i <= len; i++)
        room[i] = text[i] == '\'' ? '"' : text[i] == '^' ? '\'' : text[i];
    return str_make(room, len);
}

static inline int try_compile(enum policy_kind kind, const char *text, struct policy **ret,
                              struct policy_fault *why)
{
    static char room[64 * 1024];
    return policy_compile(kind, STR("bucket"), json_of(text, room, sizeof(room)), ret, why);
}

static inline struct policy *compile(enum policy_kind kind, const char *text)
{
    struct policy *p;
    struct policy_fault why;
    int r = try_compile(kind, text, &p, &why);
    if (r)
        fail_msg("%s\n%s", why.text, text);
    return p;
}

static inline struct iam_principal user_of(const char *account, const char *arn, const char *name)
{
    return (struct iam_principal){
        .kind = IAM_USER,
        .account = str_from(account),
        .arn = str_from(arn),
        .canonical_id = str_from(account),
        .name = str_from(name),
        .user_id = STR("AIDAUSER"),
    };
}

#define ALICE_ARN "arn:aws:iam::111122223333:user/alice"
static inline struct iam_principal alice(void)
{
    return user_of("111122223333", ALICE_ARN, "alice");
}
