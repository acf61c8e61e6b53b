/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * A hash table of intrusive nodes keyed by bytes. The caller embeds `struct table_node`, keeps the
 * key's bytes alive while the node is in the table, and owns the nodes. Not thread-safe.
 *
 * Invariant: count <= limit; a put over the limit is refused with -ERR_LIMIT.
 */

#include "base/str.h"

struct table_node {
    struct table_node *next;
    uint64_t hash;
    struct str key;
};

struct table {
    struct table_node **slots;
    size_t slot_count; /* power of two */
    size_t count, limit;
};

void table_init(struct table *t, size_t limit);
/* Frees the slots, not the nodes. */
void table_release(struct table *t);
/* NULL when absent. */
struct table_node *table_get(const struct table *t, struct str key);
/* 0, -EEXIST, -ERR_LIMIT or -ENOMEM. */
int table_put(struct table *t, struct table_node *n, struct str key);
/* The node taken out, or NULL. */
struct table_node *table_del(struct table *t, struct str key);
/* Walks all nodes; `fn` may delete the node it is given. Stops at the first non-zero and returns
 * it. */
int table_each(struct table *t, int (*fn)(struct table_node *n, void *arg), void *arg);
