/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Epochs of the ring: each change of the table of disks makes the next one, stored in the same row;
 * what a change asks for beyond one move of a partition is made in further steps, each when the
 * rebalance has done what the last one asked for. And the disks that have been gone for so long
 * that the others take over what they held.
 */

#include "base/log.h"
#include "cli/engine/engine.h"

enum node_role engine_role_of(const struct store_disk *d)
{
    static const enum node_role roles[] = {NODE_ACTIVE, NODE_DRAINING, NODE_RETIRED};
    return d->away && d->state != STORE_DISK_GONE ? NODE_AWAY : roles[d->state];
}

/* ---- epochs --------------------------------------------------------------------------------- */

struct making {
    const struct store_disks *table;
    unsigned widest;
    struct ring *ring;
    struct ring_report report;
};

static int BLOCKING make_ring(void *arg)
{
    struct making *m = arg;
    return store_disks_next_ring(m->table, m->widest, &m->ring, &m->report);
}

int FIBER engine_publish_ring(struct engine *e)
{
    return e->blob && e->table.ring ? blob_set_ring(e->blob, e->table.ring) : 0;
}

static void tell_epoch(const struct engine *e, const struct ring_report *report)
{
    struct log_line line;
    log_begin(&line, LOG_INFO, "a new epoch of the ring");
    log_u64(&line, "epoch", ring_epoch(e->table.ring));
    log_u64(&line, "moved", report->moved + report->filled);
    log_u64(&line, "waiting", report->waiting);
    log_end(&line);
}

/* The table with this ring instead of its own (NULL: its own). */
static int FIBER save_with(struct engine *e, struct ring *next)
{
    struct ring *old = e->table.ring;
    if (next)
        e->table.ring = next;
    int r = store_disks_save(e->meta, &e->table);
    if (r < 0)
        e->table.ring = old;
    if (next)
        ring_free(r < 0 ? next : old);
    return r;
}

int FIBER engine_save_table(struct engine *e)
{
    struct making m = {.table = &e->table, .widest = e->widest};
    int r = rt_offload(make_ring, &m);
    if (r == 0)
        r = save_with(e, m.ring);
    if (r == 0 && m.ring)
        tell_epoch(e, &m.report);
    return r;
}

/* At the start: the ring may be missing, or have been made for other classes. */
int FIBER engine_refresh_ring(struct engine *e)
{
    struct making m = {.table = &e->table, .widest = e->widest};
    int r = e->only_look && e->table.ring ? 0 : rt_offload(make_ring, &m);
    if (r < 0 || !m.ring)
        return r;
    r = save_with(e, m.ring);
    if (r == 0)
        tell_epoch(e, &m.report);
    return r;
}

int FIBER engine_ring_step(void *engine)
{
    struct engine *e = engine;
    if (e->changing)
        return 0;
    e->changing = true;
    int r = engine_refresh_ring(e);
    if (r == 0)
        r = engine_publish_ring(e);
    e->changing = false;
    return r;
}

/* ---- disks that stay gone ------------------------------------------------------------------- */

/* What the disk is likely to have held, as the others of its weight do; and what they have free. */
static void FIBER estimate(struct engine *e, uint32_t number, double *ret_held, double *ret_free)
{
    double live = 0, weight = 0;
    *ret_free = 0;
    for (uint32_t i = 0; i < nodes_count(&e->nodes); i++) {
        struct node *n = nodes_get(&e->nodes, i);
        struct node_stats s;
        if (!n || i == number || node_role(n) != NODE_ACTIVE || node_state(n) == NODE_GONE)
            continue;
        node_stats(n, &s);
        live += (double)s.disk.live_bytes;
        weight += (double)node_weight(n);
        *ret_free += (double)s.disk.free_bytes;
    }
    const struct node *gone = nodes_get(&e->nodes, number);
    *ret_held = weight > 0 ? live / weight * (double)node_weight(gone) : 0;
}

static unsigned away_count(const struct store_disks *t)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < t->count; i++)
        n += t->list[i].away && t->list[i].state != STORE_DISK_GONE;
    return n;
}

/* As many as the code survives: more is no disk that died but a cable, or a shelf, that comes back,
 * and what is left could not rebuild it. */
static bool FIBER may_go(struct engine *e, uint32_t number)
{
    unsigned away = away_count(&e->table);
    struct blob_code code =
        blob_code_for(BLOB_STANDARD, store_disks_active(&e->table) + away, BLOB_CHUNK_MAX);
    double held, available;
    estimate(e, number, &held, &available);
    return away < code.m && available > held;
}

static int FIBER set_away(struct engine *e, struct store_disk *row, bool away)
{
    row->away = away;
    int r = engine_save_table(e);
    if (r < 0) {
        row->away = !away;
        return r;
    }
    node_set_role(nodes_get(&e->nodes, row->number), engine_role_of(row));
    r = engine_publish_ring(e);
    engine_fill_mirrors(e);
    return r;
}

int FIBER engine_disk_away(void *engine, uint32_t number, bool away)
{
    struct engine *e = engine;
    struct store_disk *row = store_disks_number(&e->table, number);
    if (!row || row->state == STORE_DISK_GONE || row->away == away || e->changing)
        return 0;
    e->changing = true;
    int r = 0;
    bool can = !away || may_go(e, number);
    if (can)
        r = set_away(e, row, away);
    e->changing = false;
    if (r < 0 || !can)
        return r;
    log_event(away ? LOG_ERROR : LOG_INFO,
              away ? "a disk has been gone for long: the others take over what it held"
                   : "a disk that was given up is back",
              "disk %u, %s", number, row->path);
    if (e->jobs)
        jobs_disks_changed(e->jobs);
    return 1;
}

void FIBER engine_disks_look(void *engine)
{
    struct engine *e = engine;
    if (e->changing)
        return;
    e->changing = true;
    engine_fill_mirrors(e);
    e->changing = false;
    if (e->looked)
        e->looked(e->looked_arg);
}
