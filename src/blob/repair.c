/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Making a chunk whole: what it lacks is computed from what it has, piece by piece, written to
 * disks that hold none of its shards, and read back. The encode id stays, because the bytes are the
 * same: a rebuilt shard whose digest is known must have that digest.
 */

#include "blob/internal.h"

struct repair {
    struct blob *b;
    const struct blob_chunk *c;
    uint64_t epoch;              /* of the ring, or an older one */
    int errors[BLOB_SHARDS_MAX]; /* of each shard as it is */
    ec_set bad;                  /* to be rebuilt */
    ec_set placed;               /* of those, the ones that have a disk to go to */
    struct lane lanes[BLOB_SHARDS_MAX];
    uint8_t *slots[BLOB_SHARDS_MAX];
};

/* ---- what is wrong -------------------------------------------------------------------------- */

static bool is_bad(const struct repair *r, unsigned shard)
{
    uint32_t disk = r->c->shards[shard].disk;
    const struct node *n = nodes_get(r->b->nodes, disk);
    if (!n || node_role(n) != NODE_ACTIVE)
        return true;
    return r->errors[shard] != -ERR_DISK_GONE && r->errors[shard] != 0;
}

/* A shard that is missing or wrong on a good disk goes there again. */
static bool own_disk_takes(const struct repair *r, unsigned shard)
{
    uint32_t disk = r->c->shards[shard].disk;
    const struct node *n = nodes_get(r->b->nodes, disk);
    int err = r->errors[shard];
    return n && node_role(n) == NODE_ACTIVE && node_writable(n) &&
           (err == -ERR_NOT_FOUND || err == -ERR_CORRUPT || err == -EIO);
}

static void place_one(struct repair *r, unsigned shard, uint32_t disk)
{
    lane_init(&r->lanes[shard], r->b, r->epoch, r->c, (uint16_t)shard, disk);
    r->placed |= EC_SHARD(shard);
}

/* A disk each for the bad shards, as far as there are disks without a shard of this chunk. */
static void place(struct repair *r)
{
    struct blob_around around = {0};
    struct blob_code code = {r->c->code_k, r->c->code_m};
    uint32_t disks[BLOB_SHARDS_MAX];
    for (unsigned i = 0; i < r->c->shard_count; i++) {
        uint32_t disk = r->c->shards[i].disk;
        if (r->bad & EC_SHARD(i) && own_disk_takes(r, i))
            place_one(r, i, disk);
        if (disk == BLOB_DISK_NONE)
            continue;
        disk_set_add(&around.avoid, disk);
        if (!(r->bad & ~r->placed & EC_SHARD(i)))
            disk_set_add(&around.shards, disk);
    }
    unsigned count = blob_place(r->b, r->c->id, &around, code, disks), at = 0;
    for (unsigned i = 0; i < r->c->shard_count && at < count; i++)
        if (r->bad & ~r->placed & EC_SHARD(i))
            place_one(r, i, disks[at++]);
}

/* ---- rebuilding ----------------------------------------------------------------------------- */

static int slots_new(struct repair *r)
{
    size_t piece = chunk_striped(r->c) ? STRIPE_CELL : BLOB_PIECE_BYTES;
    for (unsigned i = 0; i < r->c->shard_count; i++) {
        if (!(r->placed & EC_SHARD(i)))
            continue;
        r->slots[i] =
            aligned_alloc(RT_DIRECT_ALIGN, align_up(NEEDLE_HEADROOM + piece, RT_DIRECT_ALIGN));
        if (!r->slots[i])
            return -ENOMEM;
    }
    return 0;
}

static int FIBER rebuild_piece(struct repair *r, struct chunk_reader *reader, uint32_t number)
{
    const uint8_t *cells[BLOB_SHARDS_MAX];
    struct stripe s = chunk_piece(r->c, number);
    bool last = number + 1 == chunk_piece_count(r->c);
    int err = chunk_reader_cells(reader, number, 0, s.cell_len, r->placed, cells);
    if (err)
        return err;
    for (unsigned i = 0; i < r->c->shard_count; i++) {
        if (!(r->placed & EC_SHARD(i)))
            continue;
        if (number > 0)
            lane_carry(&r->lanes[i], r->slots[i]);
        memcpy(r->slots[i] + NEEDLE_HEADROOM, cells[i], s.cell_len);
        lane_write(&r->lanes[i], NULL, r->slots[i], s.cell_len, last);
    }
    lanes_wait(r->lanes, r->c->shard_count, LANE_WRITE, 0);
    return 0;
}

static void FIBER commit_lanes(struct repair *r)
{
    for (unsigned i = 0; i < r->c->shard_count; i++)
        if (r->placed & EC_SHARD(i))
            lane_sync(&r->lanes[i], true);
    lanes_wait(r->lanes, r->c->shard_count, LANE_SYNC, 0);
}

static int FIBER rebuild(struct repair *r)
{
    struct chunk_reader *reader;
    int err = slots_new(r);
    if (err == 0)
        err = chunk_reader_new(r->b, r->c, NULL, &reader);
    if (err)
        return err;
    chunk_reader_exclude(reader, r->bad);
    for (uint32_t n = 0; err == 0 && n < chunk_piece_count(r->c); n++)
        err = rebuild_piece(r, reader, n);
    chunk_reader_free(reader);
    if (err == 0)
        commit_lanes(r);
    return err;
}

static bool same_digest(struct hash128 a, struct hash128 b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

/* What was rebuilt, read back, takes its place in the chunk. */
static int FIBER adopt(struct repair *r, struct arena *a, struct blob_repaired *ret)
{
    struct blob_chunk *c = &ret->chunk;
    *c = *r->c;
    c->shards = arena_array(a, struct blob_shard, c->shard_count);
    if (!c->shards)
        return -ENOMEM;
    memcpy(c->shards, r->c->shards, c->shard_count * sizeof(*c->shards));
    for (unsigned i = 0; i < c->shard_count; i++) {
        const struct lane *l = &r->lanes[i];
        bool known = r->c->shards[i].disk != BLOB_DISK_NONE;
        if (!l->durable || (known && !same_digest(l->shard.digest, r->c->shards[i].digest)))
            continue;
        c->shards[i] = l->shard;
        if (blob_verify_shard(r->b, c, (uint16_t)i, true) != 0) {
            c->shards[i] = r->c->shards[i];
            continue;
        }
        ret->changed = true;
        ret->written_bytes += chunk_shard_len(c);
        r->bad &= ~EC_SHARD(i);
    }
    ret->left = (unsigned)__builtin_popcount(r->bad);
    return 0;
}

static void FIBER repair_release(struct repair *r)
{
    for (unsigned i = 0; i < r->c->shard_count; i++) {
        lane_abort(&r->lanes[i]);
        free(r->slots[i]);
    }
    free(r);
}

/* Without looking at a needle: shards on disks that are there count as good. */
static void judge_by_state(struct repair *r)
{
    for (unsigned i = 0; i < r->c->shard_count; i++) {
        uint32_t disk = r->c->shards[i].disk;
        const struct node *n = nodes_get(r->b->nodes, disk);
        if (n && node_state(n) == NODE_GONE)
            r->errors[i] = -ERR_DISK_GONE;
    }
}

/* What a disk that is away has and no other can take waits for it, or for one more disk. */
static void forgive_away(struct repair *r)
{
    for (unsigned i = 0; i < r->c->shard_count; i++) {
        const struct node *n = nodes_get(r->b->nodes, r->c->shards[i].disk);
        if (n && node_role(n) == NODE_AWAY && !(r->placed & EC_SHARD(i)))
            r->bad &= ~EC_SHARD(i);
    }
}

static int FIBER repair_shards(struct repair *r, struct arena *a, struct blob_repaired *ret)
{
    for (unsigned i = 0; i < r->c->shard_count; i++)
        if (is_bad(r, i))
            r->bad |= EC_SHARD(i);
    place(r);
    forgive_away(r);
    int err = r->placed ? rebuild(r) : 0;
    return err ? err : adopt(r, a, ret);
}

/* ---- a wider code --------------------------------------------------------------------------- */

static int FIBER write_sink(const void *data, size_t len, void *arg)
{
    return blob_write(arg, data, len);
}

static unsigned shards_of(const struct blob_chunk *c)
{
    return c->code_k + c->code_m;
}

/* The disks that can take shards now allow more than the chunk has. */
static bool can_widen(const struct blob *b, const struct blob_chunk *c)
{
    unsigned active, usable;
    blob_disks(b, &active, &usable);
    struct blob_code code = blob_code_for(c->class, usable, c->len_bytes);
    return code.k + code.m > c->code_k + c->code_m;
}

int FIBER blob_recode(struct blob *b, const struct blob_chunk *c, struct arena *a,
                      struct blob_repaired *ret)
{
    struct blob_layout old = {(struct blob_chunk *)c, 1, c->len_bytes}, new;
    struct blob_writer *w;
    int err = blob_begin(b, c->class, c->len_bytes, &w);
    if (err)
        return err;
    err = blob_read(b, &old, 0, c->len_bytes, write_sink, w, NULL);
    if (err) {
        blob_abort(w);
        return err;
    }
    err = blob_finish(w, a, &new);
    if (err)
        return err;
    ret->chunk = new.chunks[0];
    ret->changed = true;
    ret->written_bytes = chunk_shard_len(&ret->chunk) * ret->chunk.shard_count;
    for (uint16_t i = 0; err == 0 && i < ret->chunk.shard_count; i++) {
        if (ret->chunk.shards[i].disk == BLOB_DISK_NONE)
            ret->left++;
        else
            err = blob_verify_shard(b, &ret->chunk, i, true);
    }
    if (err)
        blob_delete_layout(b, &new);
    return err;
}

/* What was encoded anew is no better: the disks that could take it are full. */
static void FIBER give_up_recoded(struct blob *b, const struct blob_chunk *c,
                                  struct blob_repaired *ret)
{
    struct blob_layout none = {&ret->chunk, 1, c->len_bytes};
    blob_delete_layout(b, &none);
    *ret = (struct blob_repaired){.chunk = *c, .left = 1};
}

static int FIBER widen(struct blob *b, const struct blob_chunk *c, struct arena *a,
                       struct blob_repaired *ret)
{
    int err = blob_recode(b, c, a, ret);
    if (err == 0 && shards_of(&ret->chunk) <= shards_of(c))
        give_up_recoded(b, c, ret);
    return err;
}

/* ---- a narrower code ------------------------------------------------------------------------ */

static bool is_lost_for_good(const struct blob *b, uint32_t disk)
{
    const struct node *n = disk == BLOB_DISK_NONE ? NULL : nodes_get(b->nodes, disk);
    return !n || node_role(n) == NODE_RETIRED;
}

static bool lost_any(const struct blob *b, const struct blob_chunk *c)
{
    for (unsigned i = 0; i < c->shard_count; i++)
        if (is_lost_for_good(b, c->shards[i].disk))
            return true;
    return false;
}

/* Under a code with so much parity it survives no less than with the shards that are there. */
static bool survives_as_much(const struct blob *b, const struct blob_chunk *c, unsigned m)
{
    return c->code_k + m >= blob_shards_there(b, c);
}

/* Shards are lost, and there are fewer disks than the code has: none will ever take them. */
static bool is_too_wide(const struct blob *b, const struct blob_chunk *c)
{
    unsigned active, usable;
    blob_disks(b, &active, &usable);
    return usable == active && active < shards_of(c) && lost_any(b, c) &&
           survives_as_much(b, c, blob_code_for(c->class, usable, c->len_bytes).m);
}

static int FIBER narrow(struct blob *b, const struct blob_chunk *c, struct arena *a,
                        struct blob_repaired *ret)
{
    int err = blob_recode(b, c, a, ret);
    if (err == 0 && (ret->left || !survives_as_much(b, c, ret->chunk.code_m)))
        give_up_recoded(b, c, ret);
    return err;
}

int FIBER blob_repair(struct blob *b, const struct blob_chunk *chunk, bool deep, struct arena *a,
                      struct blob_repaired *ret)
{
    *ret = (struct blob_repaired){.chunk = *chunk};
    if (!chunk_is_sane(chunk))
        return -ERR_CORRUPT;
    if (can_widen(b, chunk))
        return widen(b, chunk, a, ret);
    if (is_too_wide(b, chunk))
        return narrow(b, chunk, a, ret);
    struct repair *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->b = b;
    r->c = chunk;
    r->epoch = blob_epoch(b);
    if (deep)
        blob_verify(b, chunk, true, r->errors);
    else
        judge_by_state(r);
    int err = repair_shards(r, a, ret);
    repair_release(r);
    return err;
}
