/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A batch is a map of changes with an undo log (vmap.h). Each savepoint opens a new number, so
 * rolling back costs what is undone, not what the batch holds; that matters to group commit, where
 * one transaction in a batch of hundreds may fail its precondition.
 */

#include "base/hash.h"
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

static void forget(struct kv_batch *b)
{
    for (size_t i = 0; i < KV_MEMO_SLOTS; i++)
        b->memos[i].key_len = 0;
}

void kv_batch_clear(struct kv_batch *b)
{
    vmap_release(&b->changes);
    b->number = 0;
    b->depth = 0;
    forget(b);
}

static bool may_be_remembered(struct str key)
{
    return key.len > 0 && key.len <= KV_MEMO_KEY_MAX;
}

static struct kv_memo *memo_of(struct kv_batch *b, struct str key)
{
    return &b->memos[hash_xxh3(key.ptr, key.len) % KV_MEMO_SLOTS];
}

/* So that what is remembered is what the batch shows. */
static void forget_changed(struct kv_batch *b, struct str key)
{
    if (may_be_remembered(key))
        memo_of(b, key)->key_len = 0;
}

int kv_batch_put(struct kv_batch *b, struct str key, struct str value)
{
    forget_changed(b, key);
    return vmap_put(&b->changes, key, value, b->number);
}

int kv_batch_del(struct kv_batch *b, struct str key)
{
    forget_changed(b, key);
    return vmap_del(&b->changes, key, b->number);
}

static void remember(struct kv_memo *m, struct str key, struct str value)
{
    if (value.len > KV_MEMO_VALUE_MAX)
        return;
    m->key_len = (uint8_t)key.len;
    memcpy(m->key, key.ptr, key.len);
    m->value_len = (uint8_t)value.len;
    if (value.len)
        memcpy(m->value, value.ptr, value.len);
}

static bool recall(struct kv_batch *b, struct str key, struct buf *ret)
{
    if (!may_be_remembered(key))
        return false;
    const struct kv_memo *m = memo_of(b, key);
    if (!str_eq(key, str_make(m->key, m->key_len)))
        return false;
    buf_put_str(ret, str_make(m->value, m->value_len));
    return true;
}

/* What the batch did not change. */
static int get_below(struct kv_batch *b, struct str key, struct buf *ret)
{
    size_t before = ret->len;
    int r = kv_get(b->kv, NULL, key, 0, ret);
    if (r == 0 && may_be_remembered(key))
        remember(memo_of(b, key), key, str_from_offset(buf_str(ret), before));
    return r;
}

int kv_batch_get(struct kv_batch *b, struct str key, struct buf *ret)
{
    if (recall(b, key, ret))
        return buf_error(ret);
    const struct vmap_version *v = vmap_find(&b->changes, key, VMAP_NEWEST);
    if (!v)
        return get_below(b, key, ret);
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
    forget(b);
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
