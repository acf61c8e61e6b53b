/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * All buckets, in memory: names are looked up at every request. The metadata is the authority; the
 * table is loaded at the start and changed by commit hooks only, so it is exact.
 *
 * It also knows which buckets may have garbage, so that collection does not walk them all: every
 * one at the start, then those whose commits say so. A bucket that was deleted stays here, without
 * its name, until its last row is gone.
 */

#include "base/list.h"
#include "base/table.h"
#include "rt/rt.h"
#include "store/store.h"

/* Of the whole store: the table's limit. */
#define BUCKETS_LIMIT 1000000

struct bucket_entry {
    struct table_node by_name, by_id;
    uint8_t id_key[8];
    struct bucket_id id;
    struct str name, owner, region; /* behind the entry, in its block */
    uint64_t created_ms;
    bool dropped;                    /* no name any more: to be emptied */
    bool settled;                    /* `settings` is what the bucket has */
    uint64_t settings_turn;          /* counts their changes */
    struct store_settings *settings; /* a reference, or NULL */
    struct list cached;              /* in buckets.cached while there are some */
    struct list dirty;               /* in buckets.dirty, or on its own */
    uint64_t dirt_turn;              /* counts the commits that left garbage */
};

struct buckets {
    struct rt_lock lock;
    struct table by_name, by_id, owners;
    struct list cached; /* entries with settings in memory, the longest there first */
    size_t cached_bytes;
    struct list dirty;      /* entries that may have garbage, the next to look at first */
    uint64_t not_before_ns; /* nothing can be collected earlier, although some is dirty */
    struct rt_waitq dirty_wait;
    bool admin_busy; /* a bucket is being made or deleted */
    struct rt_waitq admin_wait;
};

void buckets_init(struct buckets *b);
void buckets_release(struct buckets *b);

/* A new entry, not yet in the table; strings are copied. NULL: out of memory. */
struct bucket_entry *bucket_entry_new(const struct store_bucket *from);
void bucket_entry_free(struct bucket_entry *e);
/* Takes the entry over, dirty; a dropped one gets no name. -ERR_TOO_MANY_BUCKETS, -ENOMEM. */
int buckets_add(struct buckets *b, struct bucket_entry *e);
/* Takes the name away. For commit hooks. */
void buckets_unname(struct buckets *b, struct bucket_id id);
/* Forgets a dropped bucket that is empty. */
void buckets_forget(struct buckets *b, struct bucket_id id);

/* -ERR_NO_SUCH_BUCKET. Strings are copied to `a`. */
int buckets_find(struct buckets *b, struct arena *a, struct str name, struct store_bucket *ret);
/*
 * The same with the bucket's settings, as far as they are in memory: else `known` is false, and
 * whoever reads them then offers them to buckets_settle(), which keeps them unless they changed
 * since. buckets_unsettle() is for commit hooks.
 */
#define SETTINGS_CACHE_MAX (64 * MIB)
struct settings_place {
    bool known;
    uint64_t turn;
};
int buckets_find_settled(struct buckets *b, struct arena *a, struct str name,
                         struct store_bucket *ret, struct settings_place *ret_place);
void buckets_settle(struct buckets *b, struct bucket_id id, const struct settings_place *place,
                    struct store_settings *set);
void buckets_unsettle(struct buckets *b, struct bucket_id id);
size_t buckets_of_owner(struct buckets *b, struct str owner);
/* The name a bucket has, or had when it was dropped; empty: unknown. */
struct str buckets_name(struct buckets *b, struct arena *a, struct bucket_id id);
/* Every bucket, dropped ones included, in no order; the caller frees *ret. -ENOMEM. */
struct bucket_ref {
    struct bucket_id id;
    bool dropped;
};
int buckets_all(struct buckets *b, struct bucket_ref **ret, size_t *ret_count);

/* For commit hooks: the bucket has garbage. */
void buckets_soil(struct buckets *b, struct bucket_id id);
/* The next dirty bucket; it goes to the end of the line. False: none. */
bool buckets_next_dirty(struct buckets *b, struct bucket_ref *ret, uint64_t *ret_turn);
/* Clean, unless a commit has soiled it since `turn`. */
void buckets_clean(struct buckets *b, struct bucket_id id, uint64_t turn);
/* Waits until something may be collected. */
int FIBER buckets_wait_dirty(struct buckets *b, uint64_t deadline_ns);
void buckets_set_not_before(struct buckets *b, uint64_t at_ns);

/* One maker or deleter of buckets at a time. */
int FIBER buckets_admin_enter(struct buckets *b);
void buckets_admin_leave(struct buckets *b);

/* Tests a name against S3's rules (bucket_name.c): -ERR_INVALID_BUCKET_NAME. */
int bucket_name_test(struct str name);

/* buckets_meta.c: loads the table and finishes what a crash interrupted. */
struct store;
int FIBER buckets_load(struct store *s);
/* One step of emptying a dropped bucket that has no due garbage (drain.c); *ret_done once its last
 * row is gone. */
int FIBER bucket_drain(struct store *s, struct bucket_id id, bool *ret_done);
