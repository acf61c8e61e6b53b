/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include <errno.h>
#include "kv/vmap.h"

/* The links that point past a key, one a level: where a node is put in or taken out. */
struct path {
    struct vmap_node **link[VMAP_HEIGHT_MAX];
};

void vmap_init(struct vmap *m)
{
    *m = (struct vmap){.dice = 0x9e3779b97f4a7c15};
    list_init(&m->written);
}

static void free_versions(struct vmap *m, struct vmap_version *v)
{
    while (v) {
        struct vmap_version *older = v->older;
        list_remove(&v->written);
        m->bytes -= v->value_len;
        free(v);
        v = older;
    }
}

void vmap_release(struct vmap *m)
{
    struct vmap_node *n = m->head[0];
    while (n) {
        struct vmap_node *next = vmap_next(n);
        free_versions(m, n->newest);
        free(n);
        n = next;
    }
    vmap_init(m);
}

/* A quarter of the nodes of one level reach the next. */
static uint32_t draw_height(struct vmap *m)
{
    m->dice ^= m->dice << 13;
    m->dice ^= m->dice >> 7;
    m->dice ^= m->dice << 17;
    uint32_t height = 1;
    for (uint64_t d = m->dice; height < VMAP_HEIGHT_MAX && (d & 3) == 0; d >>= 2)
        height++;
    return height;
}

/*
 * Walks to the last node before `key` (with `or_equal`: at or before it), NULL when there is none,
 * and notes the links passed.
 */
static struct vmap_node *walk(const struct vmap *m, struct str key, bool or_equal,
                              struct path *path)
{
    struct vmap_node *last = NULL;
    struct vmap_node *const *links = m->head;
    for (int level = (int)m->height - 1; level >= 0; level--) {
        struct vmap_node *n;
        while ((n = links[level]) && str_cmp(vmap_key(n), key) < (or_equal ? 1 : 0)) {
            last = n;
            links = n->next;
        }
        if (path)
            path->link[level] = (struct vmap_node **)&links[level];
    }
    return last;
}

struct vmap_node *vmap_last_before(const struct vmap *m, struct str key)
{
    return walk(m, key, false, NULL);
}

struct vmap_node *vmap_last_at_or_before(const struct vmap *m, struct str key)
{
    return walk(m, key, true, NULL);
}

struct vmap_node *vmap_first_at_or_after(const struct vmap *m, struct str key)
{
    struct vmap_node *n = vmap_last_before(m, key);
    return n ? vmap_next(n) : m->head[0];
}

struct vmap_node *vmap_first_after(const struct vmap *m, struct str key)
{
    struct vmap_node *n = vmap_last_at_or_before(m, key);
    return n ? vmap_next(n) : m->head[0];
}

struct vmap_version *vmap_at(const struct vmap_node *n, uint64_t number)
{
    struct vmap_version *v = n->newest;
    while (v && v->number > number)
        v = v->older;
    return v;
}

struct vmap_version *vmap_find(const struct vmap *m, struct str key, uint64_t number)
{
    struct vmap_node *n = vmap_first_at_or_after(m, key);
    return n && str_eq(vmap_key(n), key) ? vmap_at(n, number) : NULL;
}

/* Adds a node without a version: the caller gives it one at once. */
static struct vmap_node *add_node(struct vmap *m, struct str key, struct path *path)
{
    uint32_t height = draw_height(m);
    struct vmap_node *n = malloc(sizeof(*n) + height * sizeof(n->next[0]) + key.len);
    if (!n)
        return NULL;
    while (m->height < height) {
        path->link[m->height] = &m->head[m->height];
        m->height++;
    }
    *n = (struct vmap_node){.key_len = (uint32_t)key.len, .height = height};
    if (key.len)
        memcpy(&n->next[height], key.ptr, key.len);
    for (uint32_t i = 0; i < height; i++) {
        n->next[i] = *path->link[i];
        *path->link[i] = n;
    }
    m->nodes++;
    m->bytes += key.len;
    return n;
}

static void remove_node(struct vmap *m, struct vmap_node *n)
{
    struct path path;
    walk(m, vmap_key(n), false, &path);
    for (uint32_t i = 0; i < n->height; i++) {
        CHECK(*path.link[i] == n);
        *path.link[i] = n->next[i];
    }
    m->nodes--;
    m->bytes -= n->key_len;
    free(n);
}

static int set(struct vmap *m, struct str key, struct str value, bool deleted, uint64_t number)
{
    CHECK(key.len <= UINT32_MAX && value.len <= UINT32_MAX);
    struct vmap_version *v = malloc(sizeof(*v) + value.len);
    if (!v)
        return -ENOMEM;
    struct path path;
    struct vmap_node *last = walk(m, key, false, &path);
    struct vmap_node *n = last ? vmap_next(last) : m->head[0];
    if (!n || !str_eq(vmap_key(n), key))
        n = add_node(m, key, &path);
    if (!n) {
        free(v);
        return -ENOMEM;
    }
    CHECK(!n->newest || n->newest->number <= number);
    *v = (struct vmap_version){.node = n,
                               .older = n->newest,
                               .number = number,
                               .deleted = deleted,
                               .value_len = (uint32_t)value.len};
    if (value.len)
        memcpy(v->value, value.ptr, value.len);
    n->newest = v;
    list_push_back(&m->written, &v->written);
    m->bytes += value.len;
    m->versions++;
    return 0;
}

int vmap_put(struct vmap *m, struct str key, struct str value, uint64_t number)
{
    return set(m, key, value, false, number);
}

int vmap_del(struct vmap *m, struct str key, uint64_t number)
{
    return set(m, key, STR_NULL, true, number);
}

void vmap_rollback(struct vmap *m, uint64_t number)
{
    while (!list_empty(&m->written)) {
        struct vmap_version *v = container_of(m->written.prev, struct vmap_version, written);
        if (v->number <= number)
            return;
        struct vmap_node *n = v->node;
        CHECK(n->newest == v);
        n->newest = v->older;
        v->older = NULL;
        free_versions(m, v);
        if (!n->newest)
            remove_node(m, n);
        m->versions++;
    }
}

void vmap_forget(struct vmap *m, uint64_t number)
{
    while (!list_empty(&m->written)) {
        struct vmap_version *v = container_of(m->written.next, struct vmap_version, written);
        if (v->number > number)
            return;
        struct vmap_node *n = v->node;
        list_remove(&v->written);
        free_versions(m, v->older);
        v->older = NULL;
        if (v->deleted && n->newest == v) {
            free_versions(m, v);
            remove_node(m, n);
        }
        m->versions++;
    }
}
