/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What the files of iam/ share: the room's state, a user in memory and its stored form.
 */

#include "base/buf.h"
#include "base/table.h"
#include "iam/iam.h"
#include "rt/rt.h"

struct iam_key_cache; /* of one loop thread: see authenticate.c */

struct iam {
    struct meta *meta;
    struct rt_lock lock;
    struct rt_waitq writers;
    bool writing;
    struct table by_key, by_name, by_id;
    struct iam_entry *root;        /* in the tables, in no row */
    struct table policies, groups; /* struct iam_policy_entry, struct iam_group_entry */
    const struct policy *deny_all; /* what stands for a policy that cannot be read */
    uint64_t policy_turn;          /* counts the changes of policies and groups */
    struct iam_key_cache *key_caches;
};

/* `count` caches; the array is freed whole. */
struct iam_key_cache *iam_key_caches_new(unsigned count);
void iam_key_caches_free(struct iam_key_cache *caches, unsigned count);

/* One user, allocated whole; its strings live behind it. Immutable but for the grants. */
struct iam_entry {
    struct table_node by_key, by_name, by_id;
    struct iam_user user;
    struct str secret, arn, alias_arn;
    struct iam_grants *grants; /* made when first asked for after a change; under the lock */
    uint64_t grants_turn;      /* policy_turn + 1 they were made at; 0: never */
    max_align_t bytes[];
};

/* Frees it and lets its grants go. Accepts NULL. */
void iam_entry_free(struct iam_entry *e);

/* A copy of the strings in one allocation; NULL when out of memory. */
struct iam_entry *iam_entry_new(const struct iam_user *user, struct str secret);

/* The stored form, appended to `out`. */
int iam_record_encode(const struct iam_entry *e, struct buf *out);
/* -ERR_CORRUPT when the bytes are no record or break a limit; -ENOMEM. */
int iam_record_decode(struct str bytes, struct iam_entry **ret);

/* The limits of a user's fields: 0 or -EINVAL. */
int iam_user_validate(const struct iam_user *user, struct str secret);
/* A name of a user, group or policy. */
bool iam_name_is_valid(struct str name);

/* ---- rows (iam.c) --------------------------------------------------------------------------- */

/* One writer of rows and tables at a time: -ERR_BUSY after a while, -ECANCELED. */
int FIBER iam_writer_enter(struct iam *iam);
void iam_writer_leave(struct iam *iam);
/* Row `kind` + name; `value` ptr NULL: removed. */
int FIBER iam_row_write(struct iam *iam, const char *kind, struct str name, struct str value);
/* Calls `fn` with the value of each row of that kind, after the rows were read whole. */
int FIBER iam_rows_load(struct iam *iam, const char *kind,
                        int (*fn)(struct iam *iam, struct str v));
/* By the only writer: the user as `changed` says, durable and in the tables. */
int FIBER iam_entry_change(struct iam *iam, struct iam_entry *old, const struct iam_user *changed);
/* Under the lock, or by the only writer. NULL: none. */
struct iam_entry *iam_find_by_name(struct iam *iam, struct str name);
struct iam_entry *iam_find_by_id(struct iam *iam, struct str user_id);

/* ---- policies and groups (grants.c) --------------------------------------------------------- */

struct iam_policy_entry {
    struct table_node node;
    struct str name, document;
    const struct policy *policy;
    uint64_t changed_ms;
    bool builtin;
    char bytes[];
};
struct iam_group_entry {
    struct table_node node;
    struct str name;
    uint64_t created_ms;
    size_t policy_count;
    struct str policies[IAM_USER_POLICIES_MAX];
    char bytes[];
};

/* The built-in policies, then the rows. */
int FIBER iam_grants_load(struct iam *iam);
void iam_grants_release(struct iam *iam);
/* Under the lock: the entry's grants as of now, with a reference; *ret NULL: it has none. */
int iam_grants_of(struct iam *iam, struct iam_entry *e, const struct iam_grants **ret);
void iam_grants_unref(const struct iam_grants *g);
struct iam_policy_set iam_grants_set(const struct iam_grants *g);
