/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * One simulated disk with its volumes, and what it must hold.
 *
 * The model knows of every needle whether it must be there, must not, or (its operation was under
 * way at a crash, or failed) may be either. vm_check() asks the product for each needle and settles
 * what was open: the next check holds the disk to the answer.
 */

#include "kv/mem.h"
#include "sim/harness.h"
#include "volume/volume.h"

#define VM_NEEDLES_MAX 128u

enum vm_state { VM_NEVER, VM_MAYBE_LIVE, VM_LIVE, VM_MAYBE_GONE, VM_GONE };

struct vm_needle {
    enum vm_state state;
    uint64_t len_bytes;
    struct needle_hint hint;
    struct hash128 digest;
};

struct vm {
    struct history *h;
    struct sim *sim;
    struct sim_disk *sim_disk;
    struct kv_mem *index;
    struct disk *disk;                        /* while open */
    struct vm_needle needles[VM_NEEDLES_MAX]; /* by the number of the operation that put them */
    uint32_t ops, next_op;
    uint32_t round;       /* lives so far: chunk ids of a life carry it */
    bool faults;          /* operations may fail with what a disk's fault gives */
    unsigned damaged_max; /* needles that may be lost or refused, never wrong */
    bool skip_verify;     /* damage is expected: disk_verify's events are not failures */
};

/* A machine with one empty disk "/d0" of `capacity_bytes` and an index beside it. */
void vm_init(struct vm *vm, struct history *h, enum sim_keep keep, uint64_t capacity_bytes,
             uint32_t ops);
void vm_release(struct vm *vm);

/* Lives, for sim_rt_run; arg is the vm. */
/* Opens, checks, goes on with the operations from next_op to the last, closes. */
int FIBER vm_life_work(void *vm);
/* Opens, checks, closes. */
int FIBER vm_life_check(void *vm);

/* Runs a life that must end well, without a crash. */
void vm_run(struct vm *vm, int (*life)(void *vm), const char *what);
/* Runs the working life, which may crash. */
void vm_run_to_crash(struct vm *vm, uint64_t at_event);
/* Forgets the index, as if its files had been deleted. */
void vm_lose_index(struct vm *vm);
