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
    struct iam_entry *root; /* in the tables, in no row */
    struct iam_key_cache *key_caches;
};

/* `count` caches; the array is freed whole. */
struct iam_key_cache *iam_key_caches_new(unsigned count);
void iam_key_caches_free(struct iam_key_cache *caches, unsigned count);

/* One user, allocated whole; its strings live behind it. */
struct iam_entry {
    struct table_node by_key, by_name, by_id;
    struct iam_user user;
    struct str secret;
    char bytes[];
};

/* A copy of the strings in one allocation; NULL when out of memory. Freed with free(). */
struct iam_entry *iam_entry_new(const struct iam_user *user, struct str secret);

/* The stored form, appended to `out`. */
int iam_record_encode(const struct iam_entry *e, struct buf *out);
/* -ERR_CORRUPT when the bytes are no record or break a limit; -ENOMEM. */
int iam_record_decode(struct str bytes, struct iam_entry **ret);

/* The limits of a user's fields: 0 or -EINVAL. */
int iam_user_validate(const struct iam_user *user, struct str secret);
