/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/* What blob's files share. */

#include <assert.h>
#include "blob/blob.h"

#define BLOB_SMALL_MAX (256 * KIB) /* one append, one read */
#define BLOB_PIECE_BYTES \
    (BLOB_BUFFER_BYTES / 2)        /* two of them in turn: one fills, one is on its way */
#define BLOB_FLUSH_BYTES (8 * MIB) /* of a chunk: written between two early syncs */

struct blob {
    struct nodes *nodes;
    uint64_t session;
    uint64_t counter; /* of the last chunk; atomic */
};

/* Single copies for now: the disk a new chunk goes to, and its only shard. */
static inline uint32_t blob_place(const struct blob *b, struct chunk_id id)
{
    return (uint32_t)(id.counter % nodes_count(b->nodes));
}
static inline struct needle_key blob_key(struct chunk_id id, uint16_t shard)
{
    return (struct needle_key){.chunk = id, .shard = shard};
}
/* True when the needle is the shard that the layout names. */
static inline bool blob_shard_is(const struct blob_chunk *c, const struct blob_shard *s,
                                 const struct needle_info *info, struct hash128 digest)
{
    return info->len_bytes == c->len_bytes && info->encode_id == c->encode_id &&
           digest.lo == s->digest.lo && digest.hi == s->digest.hi;
}
