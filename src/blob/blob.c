/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The blob as a whole: its disks, its garbage, its upkeep.
 */

#include "blob/internal.h"

#define DELETE_AT_ONCE 64

int blob_open(struct blob **ret, const struct blob_config *config)
{
    CHECK(nodes_count(config->nodes) > 0);
    struct blob *b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    b->nodes = config->nodes;
    b->session = config->session;
    *ret = b;
    return 0;
}

void blob_close(struct blob *b)
{
    free(b);
}

/* ---- garbage -------------------------------------------------------------------------------- */

int FIBER blob_delete(struct blob *b, const struct chunk_id *ids, size_t count)
{
    struct needle_key keys[DELETE_AT_ONCE];
    for (size_t n; count > 0; ids += n, count -= n) {
        n = MIN(count, ARRAY_LEN(keys));
        for (size_t i = 0; i < n; i++)
            keys[i] = blob_key(ids[i], 0);
        for (unsigned disk = 0; disk < nodes_count(b->nodes); disk++) {
            int err = node_delete(nodes_get(b->nodes, disk), keys, n);
            if (err)
                return err;
        }
    }
    return 0;
}

/* ---- upkeep --------------------------------------------------------------------------------- */

static int FIBER verify_bytes(struct node_reader *r)
{
    _cleanup_free_ uint8_t *buf = malloc(BLOB_PIECE_BYTES);
    if (!buf)
        return -ENOMEM;
    uint64_t len = node_reader_info(r)->len_bytes;
    int err = 0;
    for (uint64_t off = 0, n; err == 0 && off < len; off += n) {
        n = MIN(BLOB_PIECE_BYTES, len - off);
        err = node_reader_read(r, off, buf, n);
    }
    return err;
}

/* Without the hint: the index has to lead there by itself. */
static int FIBER verify_shard(struct blob *b, const struct blob_chunk *chunk, uint16_t shard,
                              bool deep)
{
    const struct blob_shard *s = &chunk->shards[shard];
    if (s->disk >= nodes_count(b->nodes))
        return -ERR_NOT_FOUND;
    struct node_reader *r;
    int err = node_reader_open(nodes_get(b->nodes, s->disk), blob_key(chunk->id, shard), NULL, &r);
    if (err)
        return err;
    if (!blob_shard_is(chunk, s, node_reader_info(r), node_reader_digest(r)))
        err = -ERR_CORRUPT;
    if (err == 0 && deep)
        err = verify_bytes(r);
    node_reader_close(r);
    return err;
}

int FIBER blob_verify(struct blob *b, const struct blob_chunk *chunk, bool deep)
{
    int err = 0;
    for (uint16_t i = 0; err == 0 && i < chunk->shard_count; i++)
        err = verify_shard(b, chunk, i, deep);
    return err;
}

struct each {
    unsigned disk;
    int (*fn)(unsigned disk, const struct needle_entry *e, void *arg);
    void *arg;
};

static int FIBER each_needle(const struct needle_entry *e, void *arg)
{
    struct each *each = arg;
    return each->fn(each->disk, e, each->arg);
}

int FIBER blob_each(struct blob *b,
                    int (*fn)(unsigned disk, const struct needle_entry *e, void *arg), void *arg)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < nodes_count(b->nodes); i++) {
        struct each each = {.disk = i, .fn = fn, .arg = arg};
        err = node_each(nodes_get(b->nodes, i), each_needle, &each);
    }
    return err;
}
