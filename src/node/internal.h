/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What node's files share.
 *
 * Whoever is inside is counted: an operation in the slot of the moment it began, so that one that
 * hangs shows by its slot's age, and whatever holds the disk longer (readers, writers, upkeep) in
 * `held`. A comer counts himself first and looks at the state then; whoever takes the disk away
 * sets the state first and looks at the counts then. So one of the two sees the other.
 */

#include "node/node.h"

#define OP_SLOT_NS (4 * RT_S)
#define OP_SLOTS   16 /* 64 s: twice what hangs */

#define LATENCY_BUCKETS 64 /* four an octave, from 1 us on */
#define LATENCY_DECAY   4096

struct node {
    struct node_config config;
    char *path;
    struct disk *disk;
    /* all atomic */
    uint32_t state, role;
    uint32_t read_faults, write_faults; /* in a row */
    uint64_t fault_ns;                  /* rt_now() of the last */
    uint64_t faults, returns, epoch, gone_ns;
    int fault;
    uint32_t ops[OP_SLOTS], held;
    uint32_t latency[LATENCY_BUCKETS], latencies;
    uint64_t read_p95_ns;
    /* of the watch */
    bool looking;
    enum node_state told;
};

/* An operation inside. */
struct op {
    struct node *node;
    unsigned slot;
    uint64_t start_ns;
};
enum op_kind { OP_READ, OP_WRITE, OP_OTHER };

/* -ERR_DISK_GONE, and then nothing was begun. */
int op_begin(struct op *o, struct node *n);
/* Judges how it went and returns what the caller is to be told. */
int op_end(struct op *o, enum op_kind kind, int err);

int node_hold(struct node *n);
void node_unhold(struct node *n);
/* A suspect that has not failed for a while is online again. */
void node_forgive(struct node *n);
/* Some operation has been inside for longer than NODE_HANG_NS. */
bool node_hangs(const struct node *n);
/* Whether that counts at a look which was due then; *trusts_ns is the watch's own, 0 at first. */
bool watch_trusts(uint64_t *trusts_ns, uint64_t due_ns, uint64_t now_ns);
/* The disk itself failed, rather than the caller or a needle. */
bool node_is_fault(int err);
