/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * Bytes to chunks and back. A blob is a run of bytes stored as chunks of up to 64 MiB, each one a
 * needle a shard; its layout says where. The layout is the caller's to keep (in the object's
 * record); this room keeps nothing of it.
 *
 * Promises: blob_finish() returns 0 only when every shard that the layout names is durable; a read
 * gives only bytes that match their digests. Memory per writer or reader is bounded by
 * BLOB_BUFFER_BYTES whatever the blob's size.
 */

#include "base/arena.h"
#include "node/node.h"

#define BLOB_CHUNK_MAX    (64 * MIB)
#define BLOB_BUFFER_BYTES (1 * MIB)

struct blob;

struct blob_shard {
    uint32_t disk; /* index of the disk in this store */
    struct needle_hint where;
    struct hash128 digest;
};

struct blob_chunk {
    struct chunk_id id;
    uint64_t len_bytes;
    uint64_t encode_id;
    uint8_t code_k, code_m;
    uint16_t shard_count;
    struct blob_shard *shards;
};

struct blob_layout {
    struct blob_chunk *chunks;
    size_t count;
    uint64_t len_bytes; /* the chunks' sum */
};

struct blob_config {
    struct nodes *nodes; /* borrowed; outlive the blob */
    uint64_t session;    /* of this start, never used before: chunk ids carry it */
};
int blob_open(struct blob **ret, const struct blob_config *config);
void blob_close(struct blob *b);

/* ---- writing -------------------------------------------------------------------------------- */

struct blob_writer;
/* `len_bytes` is the whole length, known beforehand. -ENOSPC early when it cannot fit. */
int FIBER blob_begin(struct blob *b, uint64_t len_bytes, struct blob_writer **ret);
/* The bytes are taken before it returns. */
int FIBER blob_write(struct blob_writer *w, const void *data, size_t len);
/* The layout lives in `a`. Frees the writer, also on failure (what was written is then garbage). */
int FIBER blob_finish(struct blob_writer *w, struct arena *a, struct blob_layout *ret);
/* Accepts NULL. */
void FIBER blob_abort(struct blob_writer *w);

/* ---- reading -------------------------------------------------------------------------------- */

/*
 * Hands `len` verified bytes from `off` to `sink`, in order, in pieces of at most
 * BLOB_BUFFER_BYTES; a piece is borrowed until `sink` returns. Stops at the sink's first error.
 */
int FIBER blob_read(struct blob *b, const struct blob_layout *layout, uint64_t off, uint64_t len,
                    int (*sink)(const void *data, size_t len, void *arg), void *arg);

/* ---- garbage -------------------------------------------------------------------------------- */

/* Durably forgets the chunks' shards on every disk. Absent ones are no error. */
int FIBER blob_delete(struct blob *b, const struct chunk_id *ids, size_t count);

/* ---- upkeep --------------------------------------------------------------------------------- */

/* Holds each shard of the chunk against the needle index and the needle's own header; `deep` reads
 * every byte as well. -ERR_NOT_FOUND: a shard is missing; -ERR_CORRUPT: it is not the one named. */
int FIBER blob_verify(struct blob *b, const struct blob_chunk *chunk, bool deep);
/* Every live needle of every disk, disk after disk; stops at the first non-zero. `fn` may suspend.
 */
int FIBER blob_each(struct blob *b,
                    int (*fn)(unsigned disk, const struct needle_entry *e, void *arg), void *arg);
