/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A batch is a map of changes with an undo log (vmap.h). Each savepoint opens a new number, so
 * rolling back costs what is undone, not what the batch holds; that matters to group commit, where
 * one transaction in a batch of hundreds may fail its precondition.
 */

#include "kv/internal.h"

int kv_batch_new(struct kv *kv, struct kv_batch **ret)
{
    struct kv_batch *b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    b->kv = kv;
    vmap_init(&b->changes);
    *ret = b;
    return 0;
}

void kv_batch_free(struct kv_batch *b)
{
    if (!b)
        return;
    vmap_release(&b->changes);
    free(b);
}

void kv_batch_clear(struct kv_batch *b)
{
    vmap_release(&b->changes);
    b->number = 0;
    b->depth = 0;
}

int kv_batch_put(struct kv_batch *b, struct str key, struct str value)
{
    return vmap_put(&b->changes, key, value, b->number);
}

int kv_batch_del(struct kv_batch *b, struct str key)
{
    return vmap_del(&b->changes, key, b->number);
}

int kv_batch_get(struct kv_batch *b, struct str key, struct buf *ret)
{
    const struct vmap_version *v = vmap_find(&b->changes, key, VMAP_NEWEST);
    if (!v)
        return kv_get(b->kv, NULL, key, 0, ret);
    if (v->deleted)
        return -ERR_NOT_FOUND;
    buf_put_str(ret, vmap_value(v));
    return buf_error(ret);
}

size_t kv_batch_count(const struct kv_batch *b)
{
    return b->changes.nodes;
}

size_t kv_batch_bytes(const struct kv_batch *b)
{
    return b->changes.bytes;
}

int kv_batch_each(const struct kv_batch *b, int (*fn)(void *arg, struct str key, struct str value),
                  void *arg)
{
    int r = 0;
    for (const struct vmap_node *n = b->changes.head[0]; n && r >= 0; n = vmap_next(n))
        r = fn(arg, vmap_key(n), n->newest->deleted ? STR_NULL : vmap_value(n->newest));
    return r < 0 ? r : 0;
}

void kv_batch_rebase(struct kv_batch *b, struct kv *kv)
{
    b->kv = kv;
}

uint64_t kv_batch_version(const struct kv_batch *b)
{
    return b->changes.versions;
}

void kv_batch_savepoint(struct kv_batch *b)
{
    CHECK(b->depth < KV_SAVEPOINTS_MAX);
    b->savepoints[b->depth++] = b->number++;
}

int kv_batch_rollback(struct kv_batch *b)
{
    CHECK(b->depth > 0);
    vmap_rollback(&b->changes, b->savepoints[--b->depth]);
    return 0;
}

void kv_batch_keep(struct kv_batch *b)
{
    CHECK(b->depth > 0);
    b->depth--;
}
