/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The blob as a whole: its codes, its garbage, its upkeep.
 */

#include "blob/internal.h"

#define DELETE_AT_ONCE 64
#define LINGER_LOOK_NS (1 * RT_MS)

int blob_open(struct blob **ret, const struct blob_config *config)
{
    CHECK(nodes_count(config->nodes) > 0);
    struct blob *b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    b->nodes = config->nodes;
    b->session = config->session;
    pool_init(&b->pool);
    *ret = b;
    return 0;
}

void FIBER blob_close(struct blob *b)
{
    if (!b)
        return;
    while (__atomic_load_n(&b->fetching, __ATOMIC_ACQUIRE) > 0)
        rt_sleep_until(rt_now() + LINGER_LOOK_NS);
    for (unsigned k = 0; k <= EC_K_MAX; k++)
        for (unsigned m = 0; m <= EC_M_MAX; m++)
            ec_free(b->codes[k][m]);
    epoch_free(b);
    pool_release(&b->pool);
    free(b);
}

/* Two that make the same at once: one of them is thrown away. */
struct ec *blob_ec(struct blob *b, unsigned k, unsigned m)
{
    struct ec **place = &b->codes[k][m], *ec = __atomic_load_n(place, __ATOMIC_ACQUIRE),
              *none = NULL;
    if (ec || ec_new(&ec, k, m) != 0)
        return ec;
    if (__atomic_compare_exchange_n(place, &none, ec, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return ec;
    ec_free(ec);
    return none;
}

void blob_stats(const struct blob *b, struct blob_stats *ret)
{
    const struct blob_stats *s = &b->stats;
#define COPY(field) ret->field = __atomic_load_n(&s->field, __ATOMIC_RELAXED)
    COPY(degraded_reads);
    COPY(hedged_reads);
    COPY(damaged_shards);
    COPY(lost_writes);
    COPY(reencoded);
    COPY(lingering);
#undef COPY
    ret->pooled_bytes = pool_kept_bytes(&b->pool);
    ret->slab_bytes = pool_slab_bytes(&b->pool);
}

/* ---- garbage -------------------------------------------------------------------------------- */

/* What one disk is to forget. */
struct forget {
    struct node *node;
    const struct blob_needle *needles;
    size_t count;
    struct rt_fiber *fiber;
    int err;
};

static int FIBER forget_on_disk(void *arg)
{
    struct forget *f = arg;
    struct needle_key keys[DELETE_AT_ONCE];
    uint32_t disk = node_number(f->node);
    size_t n = 0;
    for (size_t i = 0; f->err == 0 && i < f->count; i++) {
        if (f->needles[i].disk == disk || f->needles[i].disk == BLOB_DISK_ALL)
            keys[n++] = f->needles[i].key;
        if (n == DELETE_AT_ONCE) {
            f->err = node_delete(f->node, keys, n);
            n = 0;
        }
    }
    if (f->err == 0 && n > 0)
        f->err = node_delete(f->node, keys, n);
    return 0;
}

static bool concerns(const struct blob_needle *needles, size_t count, uint32_t disk)
{
    for (size_t i = 0; i < count; i++)
        if (needles[i].disk == disk || needles[i].disk == BLOB_DISK_ALL)
            return true;
    return false;
}

int FIBER blob_delete(struct blob *b, const struct blob_needle *needles, size_t count)
{
    uint32_t disks = nodes_count(b->nodes);
    _cleanup_free_ struct forget *all = calloc(disks, sizeof(*all));
    if (!all)
        return -ENOMEM;
    unsigned started = 0;
    for (uint32_t i = 0; i < disks; i++) {
        struct node *n = nodes_get(b->nodes, i);
        if (!n || node_state(n) == NODE_GONE || !concerns(needles, count, i))
            continue;
        if (disks > 1 && !node_writable(n))
            continue; /* as good as gone: one disk must not keep all others' garbage */
        struct forget *f = &all[started++];
        *f = (struct forget){.node = n, .needles = needles, .count = count};
        if (disks == 1 || rt_spawn(&f->fiber, "blob-delete", forget_on_disk, f) != 0)
            forget_on_disk(f);
    }
    int err = 0;
    for (unsigned i = 0; i < started; i++) {
        if (all[i].fiber)
            rt_join(all[i].fiber);
        if (all[i].err != -ERR_DISK_GONE)
            err = err ? err : all[i].err;
    }
    return err;
}

int FIBER blob_delete_layout(struct blob *b, const struct blob_layout *layout)
{
    int err = 0;
    for (size_t i = 0; i < layout->count; i++) {
        const struct blob_chunk *c = &layout->chunks[i];
        struct blob_needle needles[BLOB_SHARDS_MAX];
        uint16_t count = MIN(c->shard_count, (uint16_t)BLOB_SHARDS_MAX);
        for (uint16_t j = 0; j < count; j++)
            needles[j] = (struct blob_needle){blob_key(c->id, j), c->shards[j].disk};
        int r = blob_delete(b, needles, count);
        err = err ? err : r;
    }
    return err;
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
int FIBER blob_verify_shard(struct blob *b, const struct blob_chunk *chunk, uint16_t shard,
                            bool deep)
{
    const struct blob_shard *s = &chunk->shards[shard];
    struct node *n = nodes_get(b->nodes, s->disk);
    if (!n)
        return -ERR_NOT_FOUND;
    struct node_reader *r;
    int err = node_reader_open(n, blob_key(chunk->id, shard), NULL, &r);
    if (err)
        return err;
    if (!blob_shard_is(chunk, s, node_reader_info(r), node_reader_digest(r)))
        err = -ERR_CORRUPT;
    if (err == 0 && deep)
        err = verify_bytes(r);
    node_reader_close(r);
    return err;
}

int FIBER blob_verify(struct blob *b, const struct blob_chunk *chunk, bool deep,
                      int ret_errors[BLOB_SHARDS_MAX])
{
    int first = 0;
    if (!chunk_is_sane(chunk))
        return -ERR_CORRUPT;
    for (uint16_t i = 0; i < chunk->shard_count; i++) {
        int err = blob_verify_shard(b, chunk, i, deep);
        first = first ? first : err;
        if (ret_errors)
            ret_errors[i] = err;
    }
    return first;
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
    for (uint32_t i = 0; err == 0 && i < nodes_count(b->nodes); i++) {
        struct node *n = nodes_get(b->nodes, i);
        struct each each = {.disk = i, .fn = fn, .arg = arg};
        err = n ? node_each(n, each_needle, &each) : 0;
        if (err == -ERR_DISK_GONE)
            err = 0;
    }
    return err;
}
