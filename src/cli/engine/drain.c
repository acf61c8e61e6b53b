/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Disks that leave: told to be drained, emptied by the rebalance job, and then gone. And disks that
 * are to have another share.
 */

#include "base/log.h"
#include "cli/engine/internal.h"
#include <stdio.h>

struct store_disk *engine_row(struct engine *e, uint32_t number)
{
    for (uint32_t i = 0; i < e->table.count; i++)
        if (e->table.list[i].number == number && e->table.list[i].state != STORE_DISK_GONE)
            return &e->table.list[i];
    return NULL;
}

static int FIBER set_state(struct engine *e, struct store_disk *row, enum store_disk_state state)
{
    enum store_disk_state before = row->state;
    row->state = state;
    int r = engine_save_table(e);
    if (r < 0) {
        row->state = before;
        return r;
    }
    node_set_role(nodes_get(&e->nodes, row->number), engine_role_of(row));
    return engine_publish_ring(e);
}

/* What the others have free, and what this one holds. */
static void FIBER sum_space(struct engine *e, const struct store_disk *row, uint64_t *ret_free,
                            uint64_t *ret_held, unsigned *ret_others)
{
    *ret_free = *ret_held = 0;
    *ret_others = 0;
    for (uint32_t i = 0; i < nodes_count(&e->nodes); i++) {
        struct node *n = nodes_get(&e->nodes, i);
        struct node_stats stats;
        if (!n)
            continue;
        node_stats(n, &stats);
        if (i == row->number) {
            *ret_held = stats.disk.live_bytes;
        } else if (node_role(n) == NODE_ACTIVE && node_state(n) != NODE_GONE) {
            *ret_free += stats.disk.free_bytes;
            *ret_others += 1;
        }
    }
}

static int FIBER test_drain(struct engine *e, const struct store_disk *row,
                            char why[ENGINE_WHY_MAX])
{
    uint64_t free_bytes, held;
    unsigned others;
    sum_space(e, row, &free_bytes, &held, &others);
    if (others == 0)
        return engine_refuse(why, -ERR_CONFLICT,
                             "disk %u is the last: there is none to take its data", row->number);
    if (held > free_bytes)
        return engine_refuse(why, -ENOSPC, "disk %u holds more than the others have free",
                             row->number);
    return 0;
}

int FIBER engine_disk_drain(struct engine *e, uint32_t number, bool cancel,
                            char why[ENGINE_WHY_MAX])
{
    struct store_disk *row = engine_row(e, number);
    enum store_disk_state wanted = cancel ? STORE_DISK_ACTIVE : STORE_DISK_DRAINING;
    if (!row)
        return engine_refuse(why, -ERR_NOT_FOUND, "there is no disk %u", number);
    if (e->changing)
        return engine_refuse(why, -ERR_BUSY, "another change of the disks is under way");
    if (row->state == wanted)
        return 0;
    e->changing = true;
    int r = cancel ? 0 : test_drain(e, row, why);
    if (r == 0) {
        r = set_state(e, row, wanted);
        if (r < 0)
            engine_refuse(why, r, "cannot write the table of disks: %s", err_text(r));
    }
    if (r == 0)
        engine_fill_mirrors(e);
    e->changing = false;
    if (r == 0 && e->jobs)
        jobs_disks_changed(e->jobs);
    return r;
}

static int FIBER set_share(struct engine *e, struct store_disk *row, uint64_t weight, int64_t zone)
{
    struct store_disk before = *row;
    row->weight = weight ? weight : row->weight;
    row->zone = zone >= 0 ? (uint32_t)zone : row->zone;
    int r = engine_save_table(e);
    if (r < 0) {
        *row = before;
        return r;
    }
    node_set_weight(nodes_get(&e->nodes, row->number), row->weight);
    node_set_zone(nodes_get(&e->nodes, row->number), row->zone);
    return engine_publish_ring(e);
}

int FIBER engine_disk_set(struct engine *e, uint32_t number, uint64_t weight, int64_t zone,
                          char why[ENGINE_WHY_MAX])
{
    struct store_disk *row = engine_row(e, number);
    if (!row)
        return engine_refuse(why, -ERR_NOT_FOUND, "there is no disk %u", number);
    if (e->changing)
        return engine_refuse(why, -ERR_BUSY, "another change of the disks is under way");
    e->changing = true;
    int r = set_share(e, row, weight, zone);
    e->changing = false;
    return r < 0 ? engine_refuse(why, r, "cannot write the table of disks: %s", err_text(r)) : 0;
}

int FIBER engine_disk_retire(void *engine, uint32_t number)
{
    struct engine *e = engine;
    struct store_disk *row = engine_row(e, number);
    if (!row || row->state != STORE_DISK_DRAINING || e->changing)
        return 0;
    e->changing = true;
    engine_fill_mirrors(e);
    bool metadata = engine_has_mirror(e, row->uuid); /* while it is the last that takes part */
    int r = metadata ? 0 : set_state(e, row, STORE_DISK_GONE);
    e->changing = false;
    if (r == 0 && !metadata)
        log_event(LOG_INFO, "a drained disk is empty and has left the store", "%s", row->path);
    return r;
}
