/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Walks all rows of one kind of a bucket, however many: page by page, each page one snapshot, its
 * rows copied so that the caller may suspend over them. Meanwhile rows may change, and chunks that
 * a copied row names may go.
 *
 * References to chunks move in the order P, O, V, G (a part is assembled, an object replaced or
 * removed); whoever must not miss one walks the kinds in that order, and asks for what moves from V
 * to O, as when the newest version is removed (sweep_note).
 */

#include "store/internal.h"

/* The row's key and value, borrowed for the call; non-zero ends the walk and is handed back. */
typedef int walk_fn(struct str key, struct str value, void *arg);
int FIBER walk_rows(struct store *s, struct bucket_id b, struct str kind, walk_fn *fn, void *arg);
/* One page of it, of rows behind `after` (empty: from the first on); moves `after` on. */
struct walk_place {
    struct key_buf after;
    bool end;
    uint64_t rows; /* met */
};
int FIBER walk_some(struct store *s, struct bucket_id b, struct str kind, struct walk_place *place,
                    walk_fn *fn, void *arg);

/*
 * For walks over several kinds of rows of all buckets, in the order of the buckets' ids, that go on
 * after a restart. walk_resume turns to the next bucket that lives if the place's is not there any
 * more, or sets its `end`; walk_keep takes over how far a page got, of `kinds` kinds.
 */
int walk_resume(struct store *s, struct store_walk_place *place, uint32_t kinds,
                struct walk_place *ret);
void walk_keep(struct store_walk_place *place, const struct walk_place *at, uint32_t kinds);

/* A set of ids with a limit. */
struct id_set {
    struct chunk_id *slots; /* session 0: free */
    size_t slot_count, count, limit;
};
int id_set_init(struct id_set *t, size_t limit);
void id_set_release(struct id_set *t);
/* 0, -EEXIST, -ERR_LIMIT, -ENOMEM. Sessions start at 1. */
int id_set_add(struct id_set *t, struct chunk_id id);
bool id_set_has(const struct id_set *t, struct chunk_id id);
uint64_t id_hash(struct chunk_id id);
/* What a set of needles holds of one: a digest of its key and disk. */
struct chunk_id needle_digest(struct needle_key key, uint32_t disk);
