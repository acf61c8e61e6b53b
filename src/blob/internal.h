/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/* What blob's files share. */

#include <assert.h>
#include "base/plant.h"
#include "blob/blob.h"
#include "blob/pool.h"
#include "ec/stripe.h"

#define BLOB_SMALL_MAX (256 * KIB) /* one append, one read */
#define BLOB_PIECE_BYTES \
    (BLOB_BUFFER_BYTES / 2) /* of a chunk that is not striped: what is read or written at once */
#define WHOLE_MAX        (2 * STRIPE_CELL) /* longer shards are written piece by piece */
#define BLOB_FLUSH_BYTES (8 * MIB)         /* of a chunk: written between two early syncs */

static_assert(BLOB_SMALL_MAX <= DISK_READ_MAX, "one read takes it");
static_assert(BLOB_CHUNK_MAX <= NEEDLE_LEN_MAX, "a chunk is a needle");
static_assert(WHOLE_MAX <= DISK_PLACED_MAX, "one append takes it");
static_assert(NODES_MAX % 64 == 0, "a set of disks is whole words");
static_assert(NODES_MAX <= BLOB_DISK_ALL, "nodes_get(BLOB_DISK_NONE) is NULL");

struct blob {
    struct nodes *nodes;
    uint64_t session;
    uint64_t counter;                             /* of the last chunk; atomic */
    struct ec *codes[EC_K_MAX + 1][EC_M_MAX + 1]; /* made at first use; atomic */
    struct blob_stats stats;                      /* atomic */
    struct pool pool;                             /* what reads and writes pass through */
    uint64_t fetching;                            /* fibers that read; atomic */
    struct epoch *epoch;                          /* of the ring; NULL: none. Atomic */
    uint64_t looking;                             /* at it; atomic */
};

static inline void blob_count(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* NULL: -ENOMEM or a code that is none. */
struct ec *blob_ec(struct blob *b, unsigned k, unsigned m);

static inline struct needle_key blob_key(struct chunk_id id, uint16_t shard)
{
    return (struct needle_key){.chunk = id, .shard = shard};
}

/* epoch.c: the disks of a partition by the ring, up to RING_SLOTS_MAX; 0: there is no ring. */
unsigned epoch_row(const struct blob *b, unsigned partition, uint32_t *ret_disks);
void epoch_free(struct blob *b);

/* ---- placement (place.c) -------------------------------------------------------------------- */

/* A set of disk numbers. */
struct disk_set {
    uint64_t bits[NODES_MAX / 64];
};
static inline void disk_set_add(struct disk_set *s, uint32_t disk)
{
    s->bits[disk / 64] |= UINT64_C(1) << disk % 64;
}
static inline bool disk_set_has(const struct disk_set *s, uint32_t disk)
{
    return s->bits[disk / 64] >> disk % 64 & 1;
}

/* What a placement has to heed. */
struct blob_around {
    struct disk_set avoid;  /* not to be chosen */
    struct disk_set shards; /* of those: with a shard of the chunk that stays there */
};

/*
 * The disks a chunk's shards go to: up to k + m of those that take writes and are not to be
 * avoided (`around` may be NULL), best first: where the ring wants them, and for what takes nothing
 * there at present others, in zones that so have m of them at most, where there are such. The one
 * place that knows how; returns how many.
 */
unsigned blob_place(const struct blob *b, struct chunk_id id, const struct blob_around *around,
                    struct blob_code code, uint32_t *ret_disks);
/* How many blob_place can choose from. */
unsigned blob_place_count(const struct blob *b, const struct disk_set *avoid);

/* ---- geometry ------------------------------------------------------------------------------- */

static inline bool chunk_striped(const struct blob_chunk *c)
{
    return c->code_k > 1;
}
static inline uint64_t chunk_shard_len(const struct blob_chunk *c)
{
    return chunk_striped(c) ? stripe_shard_len(c->code_k, c->len_bytes) : c->len_bytes;
}
/* The n-th piece that is read or written at once: a stripe, or BLOB_PIECE_BYTES of each copy. */
struct stripe chunk_piece(const struct blob_chunk *c, uint32_t n);
uint32_t chunk_piece_count(const struct blob_chunk *c);
uint32_t chunk_piece_of(const struct blob_chunk *c, uint64_t off);

/* Reads all of it: 0, or why not. */
int FIBER blob_verify_shard(struct blob *b, const struct blob_chunk *chunk, uint16_t shard,
                            bool deep);

/* True when the needle is the shard that the layout names. */
static inline bool blob_shard_is(const struct blob_chunk *c, const struct blob_shard *s,
                                 const struct needle_info *info, struct hash128 digest)
{
    return info->len_bytes == chunk_shard_len(c) &&
           (PLANTED(ENCODE_IDS) || (info->encode_id == c->encode_id && digest.lo == s->digest.lo &&
                                    digest.hi == s->digest.hi));
}
static inline struct needle_info chunk_needle_info(const struct blob_chunk *c)
{
    return (struct needle_info){
        .len_bytes = chunk_shard_len(c),
        .encode_id = c->encode_id,
        .code_k = c->code_k,
        .code_m = c->code_m,
    };
}
/* A layout comes from a record on disk: what it claims is checked before it is used. */
bool chunk_is_sane(const struct blob_chunk *c);

/* repair.c: writes the chunk anew in the code that the disks allow now, under a new id, and reads
 * it back. */
int FIBER blob_recode(struct blob *b, const struct blob_chunk *c, struct arena *a,
                      struct blob_repaired *ret);

/* ---- shards in parallel --------------------------------------------------------------------- */

/* read.c: cells of a chunk's shards, piece by piece; what blob_read and repair are made of. */
struct chunk_reader;
int FIBER chunk_reader_new(struct blob *b, const struct blob_chunk *c,
                           const struct blob_damage *damage, struct chunk_reader **ret);
/* Of no use to this reader: the shards to be rebuilt. */
void chunk_reader_exclude(struct chunk_reader *r, ec_set shards);
void FIBER chunk_reader_free(struct chunk_reader *r);
/* Bytes lo to hi of each cell of the piece in `want`, borrowed until the next call. */
int FIBER chunk_reader_cells(struct chunk_reader *r, uint32_t piece, uint32_t lo, uint32_t hi,
                             ec_set want, const uint8_t *ret_cells[BLOB_SHARDS_MAX]);

/* lane.c: memory that writes under way may outlive whoever filled it; one thread's. */
struct area {
    unsigned refs;
    struct pool *pool;
    size_t size;
    uint8_t *bytes; /* aligned as the pool does it */
};
/* NULL: no memory. */
struct area *area_new(struct pool *p, size_t size);
/* Accepts NULL. */
void area_unref(struct area *a);

/* lane.c: one shard on its way to its disk. */
struct errand;
struct lane {
    struct blob *b;
    uint64_t epoch;          /* of the ring when it was placed, or of an older one */
    struct blob_shard shard; /* where it goes, and once it is durable where it is */
    struct node *node;
    struct needle_key key;
    struct needle_info info;
    struct stream *stream; /* once begun */
    int err;               /* the first: it takes no more */
    bool durable;
    struct errand *write, *sync; /* under way, or done and not waited for yet */
    uint8_t *base;               /* NEEDLE_HEADROOM bytes, then what is new */
    size_t len;                  /* of what is new */
    bool first, last;
};
void lane_init(struct lane *l, struct blob *b, uint64_t epoch, const struct blob_chunk *c,
               uint16_t shard, uint32_t disk);
/*
 * Begins to write the next piece: `len` bytes behind the headroom at `base`, which is aligned to
 * RT_DIRECT_ALIGN and lies in `area` (NULL: it is the caller's, who waits to the end). All pieces
 * but the last are of one length, a multiple of RT_DIRECT_ALIGN. Before the next piece comes,
 * lane_carry puts the last NEEDLE_HEADROOM bytes, which were not written yet, before it: so every
 * write is of whole blocks, in memory and in the volume.
 */
void FIBER lane_write(struct lane *l, struct area *area, uint8_t *base, size_t len, bool last);
void lane_carry(const struct lane *l, uint8_t *next_base);
/* An early sync, or the commit after the last piece. Waits for the sync before. */
void FIBER lane_sync(struct lane *l, bool commit);
bool lane_syncing(const struct lane *l);
/* A whole short shard, which begins the area, on a fiber of its own or at once. */
void FIBER lane_append(struct lane *l, struct area *area, bool at_once);
/* A whole shard of up to WHOLE_MAX behind the headroom at `base`, which lies in the area and has
 * DISK_PLACED_ROOM. */
void FIBER lane_append_placed(struct lane *l, struct area *area, uint8_t *base);
/*
 * Waits for the writes, or the syncs, of all the lanes. Once `enough` (0: all) of them have done
 * it, the others get a few seconds more; who is not done then has failed, and its disk is told.
 */
enum lane_errand { LANE_WRITE, LANE_SYNC };
void FIBER lanes_wait(struct lane *lanes, unsigned count, enum lane_errand kind, unsigned enough);
/* After the waits. Accepts one that was never begun. */
void FIBER lane_abort(struct lane *l);
/* What the caller is told of lanes that failed. */
int lanes_error(const struct lane *lanes, unsigned count);
unsigned lanes_alive(const struct lane *lanes, unsigned count);
unsigned lanes_durable(const struct lane *lanes, unsigned count);
