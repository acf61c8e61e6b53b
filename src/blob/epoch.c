/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The newest epoch of the ring, as far as writers need it: the disks of each partition. It is
 * replaced whole. Whoever looks something up is counted while he does, for less than it takes to
 * suspend, so that the one before is freed when none of them can have it in hands any more.
 */

#include "blob/internal.h"
#include "ring/ring.h"

#define LOOK_NS (1 * RT_MS)

struct epoch {
    uint64_t number;
    unsigned slots;
    uint32_t disks[]; /* [partition * slots + slot] */
};

static int epoch_new(const struct ring *ring, struct epoch **ret)
{
    unsigned slots = ring_config(ring)->slots;
    struct epoch *e = malloc(sizeof(*e) + (size_t)RING_PARTITIONS * slots * sizeof(*e->disks));
    if (!e)
        return -ENOMEM;
    e->number = ring_epoch(ring);
    e->slots = slots;
    for (unsigned p = 0; p < RING_PARTITIONS; p++)
        ring_place(ring, p, e->disks + (size_t)p * slots);
    *ret = e;
    return 0;
}

/* Those who looked before the exchange have left once nobody is looking. */
static void FIBER epoch_exchange(struct blob *b, struct epoch *e)
{
    struct epoch *old = __atomic_exchange_n(&b->epoch, e, __ATOMIC_SEQ_CST);
    while (old && __atomic_load_n(&b->looking, __ATOMIC_SEQ_CST) > 0)
        rt_sleep_until(rt_now() + LOOK_NS);
    free(old);
}

int FIBER blob_set_ring(struct blob *b, const struct ring *ring)
{
    struct epoch *e;
    if (ring_epoch(ring) < blob_epoch(b))
        return -ERR_STALE_EPOCH;
    int err = epoch_new(ring, &e);
    if (err)
        return err;
    epoch_exchange(b, e);
    for (uint32_t i = 0; i < nodes_count(b->nodes); i++)
        if (nodes_get(b->nodes, i))
            node_set_epoch(nodes_get(b->nodes, i), ring_epoch(ring));
    return 0;
}

void epoch_free(struct blob *b)
{
    free(TAKE_PTR(b->epoch));
}

static const struct epoch *look(struct blob *b)
{
    __atomic_fetch_add(&b->looking, 1, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&b->epoch, __ATOMIC_SEQ_CST);
}

static void look_away(struct blob *b)
{
    __atomic_fetch_sub(&b->looking, 1, __ATOMIC_SEQ_CST);
}

uint64_t blob_epoch(const struct blob *b)
{
    struct blob *mine = (struct blob *)(uintptr_t)b; /* counted, not changed */
    const struct epoch *e = look(mine);
    uint64_t number = e ? e->number : 0;
    look_away(mine);
    return number;
}

unsigned epoch_row(const struct blob *b, unsigned partition, uint32_t *ret_disks)
{
    struct blob *mine = (struct blob *)(uintptr_t)b;
    const struct epoch *e = look(mine);
    unsigned slots = e ? e->slots : 0;
    if (e)
        memcpy(ret_disks, e->disks + (size_t)partition * slots, slots * sizeof(*ret_disks));
    look_away(mine);
    return slots;
}
