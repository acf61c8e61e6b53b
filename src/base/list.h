/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * An intrusive doubly linked list: a head is a node that points at itself when empty.
 */

#include "base/defs.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
static inline void list_insert_before_(struct list *at, struct list *n)
{
    n->next = at;
    n->prev = at->prev;
    at->prev->next = n;
    at->prev = n;
}
static inline void list_push_back(struct list *head, struct list *n)
{
    list_insert_before_(head, n);
}
static inline void list_push_front(struct list *head, struct list *n)
{
    list_insert_before_(head->next, n);
}
/* Leaves the node pointing at itself, so that removing twice is harmless. */
static inline void list_remove(struct list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}
/* The first node taken off, or NULL. */
static inline struct list *list_pop_front(struct list *head)
{
    struct list *n = head->next;
    if (n == head)
        return NULL;
    list_remove(n);
    return n;
}

#define LIST_FOR(var, head, member)                                                          \
    for (var = container_of((head)->next, __typeof__(*var), member); &var->member != (head); \
         var = container_of(var->member.next, __typeof__(*var), member))
/* `var` may be removed or freed in the body. */
#define LIST_FOR_SAFE(var, tmp, head, member)                           \
    for (var = container_of((head)->next, __typeof__(*var), member),    \
        tmp = container_of(var->member.next, __typeof__(*var), member); \
         &var->member != (head);                                        \
         var = tmp, tmp = container_of(tmp->member.next, __typeof__(*var), member))
