/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Several disks under the model. As many as the code survives may be dead at a time: their files
 * answer nothing but errors, until they come back as they were, or are replaced by empty ones.
 * Another may die only once every chunk is whole again, for else nobody promises anything.
 */

#include <stdio.h>
#include "sim/store_model.h"

static int FIBER open_one(void *arg, struct disk **ret)
{
    struct sm_disk *d = arg;
    struct disk_config c = {
        .path = d->path, .volume_bytes_max = 4 * MIB, .reserve_bytes = 256 * KIB};
    int err = kv_mem_open(&c.index, d->index);
    return err ? err : disk_open(ret, &c);
}

static struct sm_disk *new_disk(struct sm *m)
{
    EXPECT(m->h, m->disk_count < SM_DISKS_MAX, "too many disks for the model");
    struct sm_disk *d = &m->at[m->disk_count];
    d->m = m;
    snprintf(d->path, sizeof d->path, "/d%u", m->disk_count++);
    if (m->disk_count == 1) {
        d->sim = m->sim_disk;
        d->index = m->index_mem;
    } else {
        EXPECT_OK(m->h, sim_disk_new(&d->sim, m->sim, d->path, m->capacity_bytes), "disk");
        EXPECT_OK(m->h, kv_mem_new(&d->index, false), "index");
    }
    return d;
}

void sm_init_disks(struct sm *m, struct history *h, enum sim_keep keep, uint64_t capacity_bytes,
                   uint32_t ops, unsigned disks)
{
    sm_init(m, h, keep, capacity_bytes, ops);
    m->capacity_bytes = capacity_bytes;
    m->width = disks;
    while (m->disk_count < disks)
        new_disk(m);
}

static int FIBER open_node(struct sm *m, unsigned number)
{
    struct sm_disk *d = &m->at[number];
    struct node *n;
    struct node_config c = {.number = number,
                            .path = d->path,
                            .role = d->state == SM_DISK_REPLACED ? NODE_RETIRED : NODE_ACTIVE,
                            .open = open_one,
                            .arg = d};
    kv_mem_set_cold(d->index, (m->h->seed + number) % 2);
    int err = node_open(&n, &c);
    if (err == 0)
        nodes_add(&m->nodes, n);
    return err;
}

int FIBER sm_open_disks(struct sm *m)
{
    int err = 0;
    for (unsigned i = 0; err == 0 && i < m->disk_count; i++)
        err = open_node(m, i);
    return err;
}

/* ---- events --------------------------------------------------------------------------------- */

static unsigned pick(struct sm *m, struct sim_random *r, int state)
{
    unsigned i;
    do {
        i = (unsigned)sim_random_below(r, m->disk_count);
    } while ((int)m->at[i].state != state);
    return i;
}

unsigned sm_dead_disks(const struct sm *m)
{
    unsigned n = 0;
    for (unsigned i = 0; i < m->disk_count; i++)
        n += m->at[i].state == SM_DISK_DEAD;
    return n;
}

static void dies(struct sm *m, struct sim_random *r)
{
    unsigned i = pick(m, r, SM_DISK_THERE);
    static const enum sim_fault_kind kinds[] = {SIM_READ_EIO, SIM_WRITE_EIO, SIM_SYNC_EIO};
    history_say(m->h, "  disk %u dies", i);
    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++)
        sim_disk_fault(m->at[i].sim, &(struct sim_fault){kinds[k], NULL, 1, UINT64_MAX});
    m->at[i].state = SM_DISK_DEAD;
    m->deaths++;
    if (sim_random_one_in(r, 3)) /* at once known to be gone, or found out */
        node_set_gone(nodes_get(&m->nodes, i), -ENODEV);
}

void FIBER sm_disk_comes_back(struct sm *m, unsigned i)
{
    history_say(m->h, "  disk %u comes back", i);
    sim_disk_heal(m->at[i].sim);
    m->at[i].state = SM_DISK_THERE;
    node_set_gone(nodes_get(&m->nodes, i), -ENODEV); /* so that it is opened anew */
    for (unsigned tries = 0; tries < 1000; tries++) {
        nodes_look(&m->nodes);
        if (node_state(nodes_get(&m->nodes, i)) != NODE_GONE)
            return;
        rt_sleep_until(rt_now() + RT_MS); /* somebody is inside still */
    }
    history_fail(m->h, "disk %u does not open again: %s", i,
                 err_text(node_fault(nodes_get(&m->nodes, i))));
}

static void FIBER is_replaced(struct sm *m, unsigned i)
{
    history_say(m->h, "  disk %u is replaced by %u", i, m->disk_count);
    m->at[i].state = SM_DISK_REPLACED;
    node_set_gone(nodes_get(&m->nodes, i), -ENODEV);
    node_set_role(nodes_get(&m->nodes, i), NODE_RETIRED);
    new_disk(m);
    EXPECT_OK(m->h, open_node(m, m->disk_count - 1), "open a new disk");
}

/* True when every chunk is whole. */
static bool FIBER repair(struct sm *m)
{
    struct store_repair_result found;
    uint64_t chunks;
    int err = store_repair_scan(m->store, NULL, NULL, &chunks);
    if (err == 0)
        err = store_repair(m->store, NULL, NULL, &found);
    if (err) {
        EXPECT(m->h, err == -ERR_BUSY || m->faults, "repair: %d (%s)", err, err_text(err));
        return false;
    }
    EXPECT(m->h, found.lost == 0, "repair finds %llu chunks that cannot be read",
           (unsigned long long)found.lost);
    return chunks == 0 && found.rows == 0 && sm_dead_disks(m) == 0;
}

void FIBER sm_disk_event(struct sm *m, struct sim_random *r)
{
    unsigned survives = blob_code_for(BLOB_STANDARD, m->width, 64 * MIB).m, dead = sm_dead_disks(m);
    bool room = m->disk_count < SM_DISKS_MAX - 4;
    switch (sim_random_below(r, 4)) {
    case 0:
    case 1:
        if (m->deaths < survives)
            dies(m, r);
        break;
    case 2:
        if (dead > 0 && sim_random_one_in(r, 2) && room)
            is_replaced(m, pick(m, r, SM_DISK_DEAD));
        else if (dead > 0)
            sm_disk_comes_back(m, pick(m, r, SM_DISK_DEAD));
        break;
    default:
        if (repair(m))
            m->deaths = 0;
    }
    m->leftovers = true;
}

void FIBER sm_mend_disks(struct sm *m)
{
    bool whole = m->disk_count == 0;
    for (unsigned i = 0; i < m->disk_count; i++)
        if (m->at[i].state == SM_DISK_DEAD)
            sm_disk_comes_back(m, i);
    for (unsigned tries = 0; !whole && tries < 10; tries++)
        whole = repair(m);
    EXPECT(m->h, whole, "not every chunk can be made whole");
    m->deaths = 0;
}
