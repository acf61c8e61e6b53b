/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "base/table.h"
#include "base/error.h"
#include "base/hash.h"

#define SLOTS_MIN 16

void table_init(struct table *t, size_t limit)
{
    *t = (struct table){.limit = limit};
}

void table_release(struct table *t)
{
    free(t->slots);
    *t = (struct table){.limit = t->limit};
}

/* Where the pointer to the node stands, or where it would be put. */
static struct table_node **find(const struct table *t, struct str key, uint64_t hash)
{
    struct table_node **at = &t->slots[hash & (t->slot_count - 1)];
    while (*at && !((*at)->hash == hash && str_eq((*at)->key, key)))
        at = &(*at)->next;
    return at;
}

struct table_node *table_get(const struct table *t, struct str key)
{
    return t->slots ? *find(t, key, hash_xxh3(key.ptr, key.len)) : NULL;
}

static int grow(struct table *t)
{
    size_t count = t->slot_count ? 2 * t->slot_count : SLOTS_MIN;
    struct table_node **slots = calloc(count, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < t->slot_count; i++) {
        for (struct table_node *n = t->slots[i], *next; n; n = next) {
            next = n->next;
            struct table_node **at = &slots[n->hash & (count - 1)];
            n->next = *at;
            *at = n;
        }
    }
    free(t->slots);
    t->slots = slots;
    t->slot_count = count;
    return 0;
}

int table_put(struct table *t, struct table_node *n, struct str key)
{
    uint64_t hash = hash_xxh3(key.ptr, key.len);
    if (t->slots && *find(t, key, hash))
        return -EEXIST;
    if (t->count >= t->limit)
        return -ERR_LIMIT;
    if (t->count >= t->slot_count) {
        int r = grow(t);
        if (r < 0)
            return r;
    }
    struct table_node **at = find(t, key, hash);
    *n = (struct table_node){.hash = hash, .key = key};
    *at = n;
    t->count++;
    return 0;
}

struct table_node *table_del(struct table *t, struct str key)
{
    if (!t->slots)
        return NULL;
    struct table_node **at = find(t, key, hash_xxh3(key.ptr, key.len));
    struct table_node *n = *at;
    if (n) {
        *at = n->next;
        t->count--;
    }
    return n;
}

int table_each(struct table *t, int (*fn)(struct table_node *n, void *arg), void *arg)
{
    for (size_t i = 0; i < t->slot_count; i++) {
        for (struct table_node *n = t->slots[i], *next; n; n = next) {
            next = n->next;
            int r = fn(n, arg);
            if (r != 0)
                return r;
        }
    }
    return 0;
}
