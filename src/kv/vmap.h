/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * An ordered map of bytes that remembers: every change carries a number, and what was visible at
 * an earlier number can still be read. kv/mem is one such map (the numbers are batches, a crash is
 * going back to one), and the index of a kv_batch is another (the numbers are savepoints). Private
 * to the room.
 *
 * A skip list of keys, each with its versions, newest first (Pugh, "Skip Lists", 1990). All
 * versions also stand in one list in the order they were written: going back takes them off its
 * tail, forgetting takes them off its head, and neither looks at anything else.
 *
 * Invariants
 *  1. Numbers never decrease: vmap_set is given one at least as high as any before it.
 *  2. A node is in the map exactly while it has a version.
 *  3. What vmap_find or vmap_at returned stays put until vmap_rollback goes below its number or
 *     vmap_forget passes a later version of the same key.
 *
 * Not thread-safe.
 */

#include "base/list.h"
#include "base/str.h"

#define VMAP_HEIGHT_MAX 12
#define VMAP_NEWEST     UINT64_MAX

struct vmap_version {
    struct list written; /* in the map's list, until forgotten */
    struct vmap_node *node;
    struct vmap_version *older;
    uint64_t number;
    bool deleted;
    uint32_t value_len;
    char value[];
};

struct vmap_node {
    struct vmap_version *newest;
    uint32_t key_len;
    uint32_t height;
    struct vmap_node *next[]; /* `height` links, then the key's bytes */
};

struct vmap {
    struct vmap_node *head[VMAP_HEIGHT_MAX];
    struct list written;
    uint64_t nodes;    /* keys that have a version */
    uint64_t bytes;    /* of keys and values held */
    uint64_t dice;     /* heights are drawn from it: the same changes give the same map */
    uint32_t height;   /* of the highest node */
    uint64_t versions; /* grows with every change: a position remembered may be out of date */
};

void vmap_init(struct vmap *m);
/* Frees all; the map may be initialised again. */
void vmap_release(struct vmap *m);

/* A new version of `key`. 0 or -ENOMEM. */
int vmap_put(struct vmap *m, struct str key, struct str value, uint64_t number);
int vmap_del(struct vmap *m, struct str key, uint64_t number);
/* Undoes every change with a higher number. */
void vmap_rollback(struct vmap *m, uint64_t number);
/* Frees what nobody can see who reads at `number` or later and never goes back below it. */
void vmap_forget(struct vmap *m, uint64_t number);

/* The version of the key visible at `number`: NULL when there is none. May be a deletion. */
struct vmap_version *vmap_find(const struct vmap *m, struct str key, uint64_t number);
/* The same for a node. */
struct vmap_version *vmap_at(const struct vmap_node *n, uint64_t number);

/* Neighbours of a key; NULL at the ends. */
struct vmap_node *vmap_first_at_or_after(const struct vmap *m, struct str key);
struct vmap_node *vmap_first_after(const struct vmap *m, struct str key);
struct vmap_node *vmap_last_at_or_before(const struct vmap *m, struct str key);
struct vmap_node *vmap_last_before(const struct vmap *m, struct str key);

static inline struct vmap_node *vmap_next(const struct vmap_node *n)
{
    return n->next[0];
}
static inline struct str vmap_key(const struct vmap_node *n)
{
    return str_make(&n->next[n->height], n->key_len);
}
static inline struct str vmap_value(const struct vmap_version *v)
{
    return str_make(v->value, v->value_len);
}
