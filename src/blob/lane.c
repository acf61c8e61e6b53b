/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * One shard on its way to its disk: a needle written piece by piece, each piece on a fiber, and
 * synced beside the stream on another. A lane that failed takes no more and drops what it is given;
 * whoever has several decides whether the others are enough.
 */

#include "blob/internal.h"

void lane_init(struct lane *l, struct blob *b, uint64_t epoch, const struct blob_chunk *c,
               uint16_t shard, uint32_t disk)
{
    *l = (struct lane){
        .b = b,
        .epoch = epoch,
        .shard = {.disk = disk},
        .node = nodes_get(b->nodes, disk),
        .key = blob_key(c->id, shard),
        .info = chunk_needle_info(c),
    };
}

static void note(struct lane *l, int err)
{
    l->err = l->err ? l->err : err;
}

/*
 * The ring has changed since the shard was placed. A disk that takes new shards still gets it all
 * the same: the next walk of the rebalance finds it, if it belongs elsewhere. Else the shard is
 * lost.
 */
static bool renew(struct lane *l, int err)
{
    if (err != -ERR_STALE_EPOCH || node_role(l->node) != NODE_ACTIVE)
        return false;
    l->epoch = blob_epoch(l->b);
    return true;
}

static int FIBER begin_needle(struct lane *l)
{
    int err = node_begin(l->node, l->epoch, l->key, &l->info, &l->writer);
    return renew(l, err) ? node_begin(l->node, l->epoch, l->key, &l->info, &l->writer) : err;
}

static int FIBER append_needle(struct lane *l)
{
    struct iovec iov = {l->base, l->info.len_bytes};
    struct needle_hint *where = &l->shard.where;
    struct hash128 *digest = &l->shard.digest;
    int err = node_append(l->node, l->epoch, l->key, &l->info, &iov, 1, where, digest);
    return renew(l, err) ? node_append(l->node, l->epoch, l->key, &l->info, &iov, 1, where, digest)
                         : err;
}

/* ---- pieces --------------------------------------------------------------------------------- */

static int FIBER write_piece(struct lane *l)
{
    size_t kept = l->last ? 0 : NEEDLE_HEADROOM; /* goes with the next piece */
    if (l->first)
        return node_write_first(l->writer, l->base + NEEDLE_HEADROOM, l->len - kept);
    struct iovec iov = {l->base, NEEDLE_HEADROOM + l->len - kept};
    return node_write(l->writer, &iov, 1);
}

static int FIBER write_fiber(void *arg)
{
    struct lane *l = arg;
    if (l->first)
        note(l, begin_needle(l));
    if (l->err == 0)
        note(l, write_piece(l));
    return 0;
}

void FIBER lane_write(struct lane *l, uint8_t *base, size_t len, bool last)
{
    CHECK(!l->write && (last || len % RT_DIRECT_ALIGN == 0));
    l->first = !l->base;
    l->base = base;
    l->len = len;
    l->last = last;
    if (l->err == 0 && rt_spawn(&l->write, "blob-write", write_fiber, l) != 0)
        write_fiber(l); /* no fiber to be had: then in line */
}

static void FIBER join(struct rt_fiber **f)
{
    if (*f)
        rt_join(TAKE_PTR(*f));
}

void FIBER lane_join(struct lane *l)
{
    join(&l->write);
}

void lane_carry(const struct lane *l, uint8_t *next_base)
{
    memcpy(next_base, l->base + l->len, NEEDLE_HEADROOM);
}

/* ---- syncs ---------------------------------------------------------------------------------- */

static int FIBER sync_fiber(void *arg)
{
    struct lane *l = arg;
    if (l->committing) {
        note(l, node_commit(TAKE_PTR(l->writer), &l->shard.where, &l->shard.digest));
        l->durable = l->err == 0;
    } else {
        note(l, node_flush(l->writer));
    }
    l->synced = true;
    return 0;
}

void FIBER lane_sync(struct lane *l, bool commit)
{
    lane_join_sync(l);
    if (l->err || !l->writer)
        return;
    l->committing = commit;
    l->synced = false;
    if (rt_spawn(&l->sync, "blob-sync", sync_fiber, l) != 0)
        sync_fiber(l);
}

void FIBER lane_join_sync(struct lane *l)
{
    join(&l->sync);
}

/* ---- whole shards --------------------------------------------------------------------------- */

static int FIBER append_fiber(void *arg)
{
    struct lane *l = arg;
    note(l, append_needle(l));
    l->durable = l->err == 0;
    return 0;
}

void FIBER lane_append(struct lane *l, const void *data, bool at_once)
{
    l->base = (uint8_t *)data;
    if (at_once || rt_spawn(&l->write, "blob-append", append_fiber, l) != 0)
        append_fiber(l);
}

void FIBER lane_abort(struct lane *l)
{
    CHECK(!l->write && !l->sync);
    node_abort(TAKE_PTR(l->writer));
}

/* ---- several -------------------------------------------------------------------------------- */

static bool is_full(int err)
{
    return err == -ENOSPC || err == -EDQUOT || err == -ERR_FULL;
}

/* That the disks are full says more than that one of them failed. */
int lanes_error(const struct lane *lanes, unsigned count)
{
    int first = 0;
    for (unsigned i = 0; i < count; i++) {
        if (is_full(lanes[i].err))
            return lanes[i].err;
        first = first ? first : lanes[i].err;
    }
    return first;
}

unsigned lanes_alive(const struct lane *lanes, unsigned count)
{
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++)
        n += lanes[i].err == 0;
    return n;
}

unsigned lanes_durable(const struct lane *lanes, unsigned count)
{
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++)
        n += lanes[i].durable;
    return n;
}
