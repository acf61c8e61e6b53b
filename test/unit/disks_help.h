/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/* Several simulated disks as nodes, with kv/mem indexes, and a blob over them. */

#include <stdio.h>
#include "unit.h"
#include "blob/internal.h"
#include "kv/mem.h"
#include "rt/sim/sim.h"

#define DISKS_MAX 14

struct disks {
    struct sim *sim;
    unsigned count;
    struct one_disk {
        char path[16];
        struct sim_disk *sim_disk;
        struct kv_mem *index;
    } at[DISKS_MAX];
    struct nodes nodes;
    struct blob *blob;
    struct arena arena;
    uint64_t session;
};

static int FIBER disks_open_one(void *arg, struct disk **ret)
{
    struct one_disk *o = arg;
    struct disk_config c = {.path = o->path, .reserve_bytes = 256 * KIB};
    int err = kv_mem_open(&c.index, o->index);
    return err ? err : disk_open(ret, &c);
}

/* One more disk, empty. */
static inline void disks_add(struct disks *d)
{
    struct one_disk *o = &d->at[d->count];
    snprintf(o->path, sizeof(o->path), "/d%u", d->count++);
    assert_int_equal(sim_disk_new(&o->sim_disk, d->sim, o->path, 512 * MIB), 0);
    assert_int_equal(kv_mem_new(&o->index, false), 0);
}

static inline struct node *disks_open_node(struct disks *d, unsigned i)
{
    struct node *n;
    struct node_config c = {
        .number = i, .path = d->at[i].path, .open = disks_open_one, .arg = &d->at[i]};
    assert_int_equal(node_open(&n, &c), 0);
    assert_int_equal(node_state(n), NODE_ONLINE);
    nodes_add(&d->nodes, n);
    return n;
}

static inline void disks_open(struct disks *d)
{
    for (unsigned i = 0; i < d->count; i++)
        disks_open_node(d, i);
    struct blob_config c = {.nodes = &d->nodes, .session = ++d->session};
    assert_int_equal(blob_open(&d->blob, &c), 0);
}

static inline void disks_close(struct disks *d)
{
    blob_close(d->blob);
    nodes_release(&d->nodes);
}

/* Runs `fn` in a simulated machine with so many disks. */
static inline void with_disks_of(unsigned count, const struct sim_config *config, int (*fn)(void *))
{
    struct disks *d = calloc(1, sizeof(*d));
    assert_int_equal(sim_new(&d->sim, config), 0);
    arena_init(&d->arena, 0);
    while (d->count < count)
        disks_add(d);
    assert_int_equal(sim_rt_run(d->sim, fn, d), 0);
    arena_release(&d->arena);
    for (unsigned i = 0; i < d->count; i++)
        kv_mem_free(d->at[i].index);
    sim_free(d->sim);
    free(d);
}

static inline void with_disks(unsigned count, int (*fn)(void *))
{
    with_disks_of(count, &(struct sim_config){.seed = count}, fn);
}

static inline void disk_fails(struct disks *d, unsigned i, enum sim_fault_kind kind)
{
    sim_disk_fault(d->at[i].sim_disk, &(struct sim_fault){kind, ".vol", 1, UINT64_MAX});
}

/* Everything but names fails, now and later. */
static inline void disk_dies(struct disks *d, unsigned i)
{
    disk_fails(d, i, SIM_READ_EIO);
    disk_fails(d, i, SIM_WRITE_EIO);
    disk_fails(d, i, SIM_SYNC_EIO);
}

static inline void disk_goes(struct disks *d, unsigned i)
{
    node_set_gone(nodes_get(&d->nodes, i), -ENODEV);
}

static inline uint8_t byte_at(uint64_t seed, uint64_t i)
{
    return (uint8_t)((i * 2654435761u) >> 13 ^ seed ^ i);
}

static inline int blob_write_class(struct disks *d, struct blob_class class, uint64_t seed,
                                   uint64_t len, struct blob_layout *ret)
{
    struct blob_writer *w;
    int err = blob_begin(d->blob, class, len, &w);
    if (err)
        return err;
    size_t step = 100003;
    uint8_t *piece = malloc(step);
    for (uint64_t off = 0, n; err == 0 && off < len; off += n) {
        n = MIN(step, len - off);
        for (size_t i = 0; i < n; i++)
            piece[i] = byte_at(seed, off + i);
        err = blob_write(w, piece, n);
    }
    free(piece);
    if (err) {
        blob_abort(w);
        return err;
    }
    return blob_finish(w, &d->arena, ret);
}

static inline int blob_write_bytes(struct disks *d, uint64_t seed, uint64_t len,
                                   struct blob_layout *ret)
{
    return blob_write_class(d, BLOB_STANDARD, seed, len, ret);
}

struct got {
    uint64_t seed, off, count;
};

static inline int got_sink(const void *data, size_t len, void *arg)
{
    struct got *g = arg;
    const uint8_t *p = data;
    assert_true(len <= BLOB_BUFFER_BYTES);
    for (size_t i = 0; i < len; i++)
        if (p[i] != byte_at(g->seed, g->off + i))
            return -ERR_INTERNAL;
    g->off += len;
    g->count += len;
    return 0;
}

static inline int blob_read_bytes(struct disks *d, uint64_t seed, const struct blob_layout *l,
                                  uint64_t off, uint64_t len, const struct blob_damage *damage)
{
    struct got g = {.seed = seed, .off = off};
    int err = blob_read(d->blob, l, off, len, got_sink, &g, damage);
    if (err == 0)
        assert_int_equal(g.count, len);
    return err;
}

static inline void blob_reads_all(struct disks *d, uint64_t seed, const struct blob_layout *l)
{
    assert_int_equal(blob_read_bytes(d, seed, l, 0, l->len_bytes, NULL), 0);
}
