/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Moving shards to where the newest placement wants them: each is copied as it is, byte for byte,
 * from its disk to one that should have a shard and has none, and read back before it counts. A
 * chunk that has more shards than there are disks for is encoded anew, under a new id.
 *
 * Only what can be read where it lies is moved; what cannot is for blob_repair.
 */

#include "blob/internal.h"

/* Where a shard should go instead; disks[i] BLOB_DISK_NONE: it stays. */
struct plan {
    uint64_t epoch; /* of the ring, or an older one */
    uint32_t disks[BLOB_SHARDS_MAX];
    unsigned moves;
    unsigned waiting; /* shards on a draining disk for which there is no other at present */
    bool too_wide;    /* nor will there be: there are more shards than disks */
};

static bool is_draining(const struct blob *b, uint32_t disk)
{
    const struct node *n = nodes_get(b->nodes, disk);
    return n && node_role(n) == NODE_DRAINING;
}

/* Of a disk that is gone there is nothing to copy. */
static bool can_read(const struct blob *b, uint32_t disk)
{
    const struct node *n = nodes_get(b->nodes, disk);
    return n && node_state(n) != NODE_GONE && node_role(n) != NODE_RETIRED;
}

static void plan_moves(const struct blob *b, const struct blob_chunk *c, struct plan *p)
{
    struct disk_set wanted = {0}, used = {0};
    uint32_t best[BLOB_SHARDS_MAX];
    *p = (struct plan){.epoch = blob_epoch(b)};
    unsigned count = blob_place(b, c->id, NULL, (struct blob_code){c->code_k, c->code_m}, best);
    unsigned at = 0, active, usable;
    for (unsigned i = 0; i < count; i++)
        disk_set_add(&wanted, best[i]);
    for (unsigned i = 0; i < c->shard_count; i++)
        if (c->shards[i].disk != BLOB_DISK_NONE)
            disk_set_add(&used, c->shards[i].disk);
    for (unsigned i = 0; i < c->shard_count; i++) {
        uint32_t disk = c->shards[i].disk;
        p->disks[i] = BLOB_DISK_NONE;
        if (!can_read(b, disk) || disk_set_has(&wanted, disk))
            continue;
        while (at < count && disk_set_has(&used, best[at]))
            at++;
        if (at < count) {
            p->disks[i] = best[at++];
            p->moves++;
        } else {
            p->waiting += is_draining(b, disk);
        }
    }
    blob_disks(b, &active, &usable);
    p->too_wide = p->waiting && active < c->shard_count;
}

bool blob_misplaced(const struct blob *b, const struct blob_chunk *chunk)
{
    struct plan p;
    if (!chunk_is_sane(chunk))
        return false;
    plan_moves(b, chunk, &p);
    return p.moves || p.waiting;
}

bool blob_uses_disk(const struct blob_chunk *chunk, uint32_t disk)
{
    for (unsigned i = 0; i < chunk->shard_count; i++)
        if (chunk->shards[i].disk == disk)
            return true;
    return false;
}

/* ---- one shard ------------------------------------------------------------------------------ */

static int FIBER copy_pieces(struct node_reader *from, struct node_writer *to, uint64_t len)
{
    _cleanup_free_ uint8_t *piece = malloc(BLOB_PIECE_BYTES);
    int err = piece ? 0 : -ENOMEM;
    for (uint64_t off = 0, n; err == 0 && off < len; off += n) {
        n = MIN(BLOB_PIECE_BYTES, len - off);
        err = node_reader_read(from, off, piece, n);
        struct iovec iov = {piece, n};
        if (err == 0)
            err = node_write(to, &iov, 1);
    }
    return err;
}

static int FIBER copy_needle(struct blob *b, uint64_t epoch, const struct blob_chunk *c,
                             uint16_t shard, struct node_reader *from, struct blob_shard *ret)
{
    struct needle_info info = chunk_needle_info(c);
    struct node_writer *to;
    int err = node_begin(nodes_get(b->nodes, ret->disk), epoch, blob_key(c->id, shard), &info, &to);
    if (err)
        return err;
    err = copy_pieces(from, to, info.len_bytes);
    if (err) {
        node_abort(to);
        return err;
    }
    return node_commit(to, &ret->where, &ret->digest);
}

/* The digest that it must have is the record's. */
static int FIBER move_shard(struct blob *b, const struct plan *p, const struct blob_chunk *c,
                            uint16_t shard, struct blob_shard *ret)
{
    const struct blob_shard *old = &c->shards[shard];
    struct blob_shard moved = {.disk = p->disks[shard]};
    struct node_reader *from;
    int err = node_reader_open(nodes_get(b->nodes, old->disk), blob_key(c->id, shard), &old->where,
                               &from);
    if (err)
        return err;
    if (!blob_shard_is(c, old, node_reader_info(from), node_reader_digest(from)))
        err = -ERR_CORRUPT;
    if (err == 0)
        err = copy_needle(b, p->epoch, c, shard, from, &moved);
    node_reader_close(from);
    if (err == 0 && (moved.digest.lo != old->digest.lo || moved.digest.hi != old->digest.hi))
        err = -ERR_CORRUPT;
    if (err == 0)
        *ret = moved;
    return err;
}

/* Read back from where it is now; else it is as if it had not been written. */
static int FIBER adopt_shard(struct blob *b, struct blob_chunk *c, uint16_t shard,
                             const struct blob_shard *moved)
{
    struct blob_shard old = c->shards[shard];
    c->shards[shard] = *moved;
    int err = blob_verify_shard(b, c, shard, true);
    if (err)
        c->shards[shard] = old;
    return err;
}

static void FIBER forget_shard(struct blob *b, struct chunk_id id, uint16_t shard, uint32_t disk)
{
    struct blob_needle n = {blob_key(id, shard), disk};
    blob_delete(b, &n, 1);
}

/* ---- a chunk -------------------------------------------------------------------------------- */

static int copy_shards(const struct blob_chunk *from, struct arena *a, struct blob_chunk *ret)
{
    *ret = *from;
    ret->shards = arena_array(a, struct blob_shard, from->shard_count);
    if (!ret->shards)
        return -ENOMEM;
    memcpy(ret->shards, from->shards, from->shard_count * sizeof(*ret->shards));
    return 0;
}

static int FIBER move_planned(struct blob *b, const struct plan *p, struct blob_repaired *ret)
{
    struct blob_chunk *c = &ret->chunk;
    for (uint16_t i = 0; i < c->shard_count; i++) {
        struct blob_shard moved;
        if (p->disks[i] == BLOB_DISK_NONE)
            continue;
        int err = move_shard(b, p, c, i, &moved);
        if (err == 0 && PLANTED(SOURCE_FIRST))
            forget_shard(b, c->id, i, c->shards[i].disk);
        if (err == 0)
            err = adopt_shard(b, c, i, &moved);
        if (err == -ENOMEM)
            return err;
        if (err) {
            forget_shard(b, c->id, i, p->disks[i]);
            ret->left++;
            continue;
        }
        ret->changed = true;
        ret->written_bytes += chunk_shard_len(c);
    }
    return 0;
}

int FIBER blob_move(struct blob *b, const struct blob_chunk *chunk, struct arena *a,
                    struct blob_repaired *ret)
{
    struct plan p;
    *ret = (struct blob_repaired){.chunk = *chunk};
    if (!chunk_is_sane(chunk))
        return -ERR_CORRUPT;
    plan_moves(b, chunk, &p);
    if (p.too_wide)
        return blob_recode(b, chunk, a, ret);
    ret->left = p.waiting;
    int err = copy_shards(chunk, a, &ret->chunk);
    return err ? err : move_planned(b, &p, ret);
}
