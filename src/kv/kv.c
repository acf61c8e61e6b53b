/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "kv/internal.h"

void kv_close(struct kv *kv)
{
    if (kv)
        kv->ops->close(kv);
}

int kv_get(struct kv *kv, const struct kv_snapshot *snap, struct str key, unsigned flags,
           struct buf *ret)
{
    return kv->ops->get(kv, snap, key, flags, ret);
}

int kv_snapshot_new(struct kv *kv, struct kv_snapshot **ret)
{
    return kv->ops->snapshot_new(kv, ret);
}

void kv_snapshot_free(struct kv *kv, struct kv_snapshot *s)
{
    if (s)
        kv->ops->snapshot_free(kv, s);
}

int kv_write(struct kv *kv, struct kv_batch *b, bool sync)
{
    CHECK(b->depth == 0);
    return kv->ops->write(kv, b, sync);
}

int kv_flush(struct kv *kv)
{
    return kv->ops->flush(kv);
}

int kv_room(struct kv *kv)
{
    return kv->ops->room(kv);
}

int kv_broken(struct kv *kv)
{
    return kv->ops->broken(kv);
}

int kv_recoverable(struct kv *kv)
{
    return kv->ops->recoverable(kv);
}

int kv_recover(struct kv *kv)
{
    return kv->ops->recover(kv);
}

int kv_compact(struct kv *kv, uint64_t *ret_freed_bytes)
{
    *ret_freed_bytes = 0;
    return kv->ops->compact ? kv->ops->compact(kv, ret_freed_bytes) : 0;
}

int kv_erase(struct kv *kv)
{
    return kv->ops->erase ? kv->ops->erase(kv) : 0;
}

int kv_stats(struct kv *kv, struct kv_stats *ret)
{
    return kv->ops->stats(kv, ret);
}
