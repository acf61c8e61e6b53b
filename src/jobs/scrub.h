/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * The place of the scrub: what its cursor holds, and the pace that follows from it. No I/O but the
 * packing; scrub.c walks.
 */

#include "jobs/damage.h"
#include "node/node.h"
#include "store/store.h"

enum scrub_phase { SCRUB_IDLE, SCRUB_NEEDLES, SCRUB_RECORDS, SCRUB_PHASES };

struct scrub_disk {
    struct disk_scrub_place place;
    bool skipped;
};

struct scrub_state {
    uint64_t pass;
    enum scrub_phase phase;
    bool manual;
    uint64_t started_ms, total_bytes, faults;
    struct scrub_disk disks[NODES_MAX];
    struct store_walk_place records;
    uint64_t done_rows, total_rows;
    /* of the last whole pass; last_started_ms: of the first start before there is one */
    uint64_t last_started_ms, last_ended_ms, last_bytes, last_faults, last_skipped;
    uint64_t unlisted;
};

/* *ret (malloc) holds the packed state. */
int scrub_pack(const struct scrub_state *s, struct str *ret);
/* -ERR_CORRUPT, -ENOMEM; an empty cursor is a state of zeros. */
int scrub_unpack(struct str cursor, struct scrub_state *ret);

uint64_t scrub_done_bytes(const struct scrub_state *s);
uint64_t scrub_skipped(const struct scrub_state *s);

/*
 * The schedule: a pass begins when half of the days have gone since the last one began, and takes
 * nine tenths of the other half, so that between two readings of a byte there are never more than
 * the days. 0 days: only when asked.
 */
bool scrub_due(const struct scrub_state *s, unsigned days, uint64_t now_ms);
bool scrub_overdue(const struct scrub_state *s, unsigned days, uint64_t now_ms);
struct scrub_pace {
    uint64_t bytes_per_s, items_per_s;
    bool gives_way;
};
/* `bytes_max`: the fastest that is allowed. */
struct scrub_pace scrub_pace(const struct scrub_state *s, unsigned days, uint64_t bytes_max,
                             uint64_t now_ms);
