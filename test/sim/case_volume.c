/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * Volumes under crashes and faults: every place where one can happen, in turn.
 */

#include <stdio.h>
#include "sim/cases.h"
#include "sim/volume_model.h"

#define OPS        40u
#define DISK_BYTES (8 * MIB)
#define KEEPS      5u /* ways a crash keeps unsynced changes */

/* The work without crash or fault, to count what there is to break. */
static uint64_t count_events(struct history *h)
{
    struct vm vm;
    vm_init(&vm, h, SIM_KEEP_SEED, DISK_BYTES, OPS);
    vm_run(&vm, vm_life_work, "work");
    vm_run(&vm, vm_life_check, "check");
    uint64_t events = sim_events(vm.sim);
    vm_release(&vm);
    return events;
}

/* A crash at the variant's event and, for half of them, another soon after; then the work goes on,
 * the power goes, and so does the index: rebuilt, it must say the same. */
static void crash_history(struct history *h, enum sim_keep keep)
{
    struct vm vm;
    vm_init(&vm, h, keep, DISK_BYTES, OPS);
    vm_run_to_crash(&vm, h->variant);
    if (h->variant % 2)
        vm_run_to_crash(&vm, sim_events(vm.sim) + 1 + h->variant % 13);
    vm_run(&vm, vm_life_work, "recover and go on");
    sim_set_keep(vm.sim, h->variant % 4 < 2 ? SIM_KEEP_NONE : SIM_KEEP_SUBSET);
    sim_power_off(vm.sim);
    vm_lose_index(&vm);
    vm_run(&vm, vm_life_check, "check with the index rebuilt");
    vm_release(&vm);
}

/*
 * At every event of appends, deletes, checkpoints and compactions; the ways of keeping what was
 * not synced take turns, so that five seeds next to one another try all at each.
 */
void case_crash_every_write(struct history *h)
{
    if (h->variant == 0)
        h->variants = count_events(h);
    else
        crash_history(h, (enum sim_keep)(SIM_KEEP_NONE + (h->variant + h->seed) % KEEPS));
}

/* The process is killed, and what it left in memory serves the next life until the power goes. */
void case_kill_then_power_loss(struct history *h)
{
    if (h->variant == 0)
        h->variants = count_events(h);
    else
        crash_history(h, SIM_KEEP_ALL);
}

/* ---- faults --------------------------------------------------------------------------------- */

struct fault_case {
    enum sim_fault_kind kind;
    uint64_t count; /* in a row */
    unsigned damaged_max;
};

/* Operations of a disk that a fault of this kind may hit. */
static uint64_t count_targets(struct history *h, enum sim_fault_kind kind)
{
    struct vm vm;
    struct sim_disk_counts c;
    vm_init(&vm, h, SIM_KEEP_SEED, DISK_BYTES, OPS);
    vm_run(&vm, vm_life_work, "work");
    sim_disk_counts(vm.sim_disk, &c);
    vm_release(&vm);
    switch (kind) {
    case SIM_READ_EIO:
    case SIM_READ_FLIP:
        return c.reads;
    case SIM_SYNC_EIO:
    case SIM_SYNC_LOST:
        return c.syncs;
    case SIM_WRITE_ENOSPC:
        return c.writes + c.names;
    default:
        return c.writes;
    }
}

/*
 * The work with a fault at the place the variant says; operations may fail meanwhile, but what was
 * acknowledged is there after the fault has gone and the power with it.
 */
static void fault_history(struct history *h, const struct fault_case *f)
{
    if (h->variant == 0) {
        h->variants = count_targets(h, f->kind);
        return;
    }
    struct vm vm;
    struct sim_fault fault = {f->kind, NULL, h->variant, f->count};
    vm_init(&vm, h, SIM_KEEP_SEED, DISK_BYTES, OPS);
    sim_disk_fault(vm.sim_disk, &fault);
    vm.faults = true;
    vm.damaged_max = f->damaged_max;
    vm_run_to_crash(&vm, 0);
    sim_disk_heal(vm.sim_disk);
    sim_power_off(vm.sim);
    vm.faults = f->damaged_max > 0;
    vm_run(&vm, vm_life_work, "healed");
    vm_run(&vm, vm_life_check, "check");
    vm_release(&vm);
}

void case_enospc_at_each_write(struct history *h)
{
    fault_history(h, &(struct fault_case){SIM_WRITE_ENOSPC, 1, 0});
}

void case_enospc_from_each_write(struct history *h)
{
    fault_history(h, &(struct fault_case){SIM_WRITE_ENOSPC, UINT64_MAX, 0});
}

void case_eio_at_each_write(struct history *h)
{
    fault_history(h, &(struct fault_case){SIM_WRITE_EIO, 1, 0});
}

void case_eio_at_each_read(struct history *h)
{
    fault_history(h, &(struct fault_case){SIM_READ_EIO, 1, 0});
}

void case_flip_at_each_read(struct history *h)
{
    fault_history(h, &(struct fault_case){SIM_READ_FLIP, 1, 0});
}

void case_fsync_error_once(struct history *h)
{
    fault_history(h, &(struct fault_case){SIM_SYNC_EIO, 1, 0});
}

void case_fsync_error_sticky(struct history *h)
{
    fault_history(h, &(struct fault_case){SIM_SYNC_EIO, UINT64_MAX, 0});
}

void case_lost_write(struct history *h)
{
    fault_history(h, &(struct fault_case){SIM_WRITE_LOST, 1, 8});
}

void case_misdirected_write(struct history *h)
{
    fault_history(h, &(struct fault_case){SIM_WRITE_MISPLACED, 1, 12});
}

/* A disk that answers syncs without doing them: the checks above must notice. */
void case_planted_volume_sync_lost(struct history *h)
{
    struct vm vm;
    struct sim_random r = history_op_random(h, OPS);
    struct sim_fault fault = {SIM_SYNC_LOST, NULL, 1, UINT64_MAX};
    vm_init(&vm, h, SIM_KEEP_SEED, DISK_BYTES, OPS);
    sim_disk_fault(vm.sim_disk, &fault);
    vm_run_to_crash(&vm, 1 + sim_random_below(&r, 200));
    vm_run(&vm, vm_life_check, "check");
    vm_release(&vm);
}

/* ---- damage at rest ------------------------------------------------------------------------- */

/* Where a variant's flip falls: each byte of a needle's header and footer, some of its payload, of
 * both superblocks, and of whatever else lies on the disk. */
#define FLIP_HEADER     96u
#define FLIP_FOOTER     (FLIP_HEADER + 36u)
#define FLIP_PAYLOAD    (FLIP_FOOTER + 20u)
#define FLIP_SUPERBLOCK (FLIP_PAYLOAD + 64u)
#define FLIP_ANYWHERE   (FLIP_SUPERBLOCK + 40u)

struct flip {
    struct vm *vm;
    uint64_t at; /* counted over all files; UINT64_MAX: only count */
    uint64_t total;
    unsigned bit;
};

static void flip_at(struct flip *f, const char *path, uint64_t off)
{
    history_say(f->vm->h, "flip bit %u of byte %llu in %s", f->bit, (unsigned long long)off, path);
    EXPECT_OK(f->vm->h, sim_disk_flip(f->vm->sim_disk, path, off, f->bit), "flip");
}

static int flip_in_file(const char *path, uint64_t len_bytes, void *arg)
{
    struct flip *f = arg;
    uint64_t before = f->total;
    f->total += len_bytes;
    if (f->at >= f->total)
        return 0;
    flip_at(f, path, f->at - before);
    return 1;
}

static void flip_anywhere(struct flip *f, struct sim_random *r)
{
    f->at = UINT64_MAX;
    f->total = 0;
    sim_disk_each(f->vm->sim_disk, flip_in_file, f);
    f->at = sim_random_below(r, f->total);
    f->total = 0;
    sim_disk_each(f->vm->sim_disk, flip_in_file, f);
}

/* A needle that is where its writer was told: its volume's path and its offset there. */
static const struct vm_needle *flip_victim(struct vm *vm, struct sim_random *r, char path[64])
{
    for (unsigned tries = 0; tries < 200; tries++) {
        const struct vm_needle *n = &vm->needles[sim_random_below(r, vm->ops)];
        uint64_t magic = 0;
        if (n->state != VM_LIVE)
            continue;
        snprintf(path, 64, "/d0/volumes/%08u.vol", n->hint.volume);
        if (sim_disk_peek(vm->sim_disk, path, n->hint.offset, &magic, sizeof magic) == 0 &&
            magic == 0x4c44454e52494143ULL) /* "CAIRNEDL" */
            return n;
    }
    return NULL;
}

static void flip_variant(struct flip *f, uint64_t v, struct sim_random *r)
{
    char path[64];
    const struct vm_needle *n = flip_victim(f->vm, r, path);
    if (!n || v >= FLIP_SUPERBLOCK)
        flip_anywhere(f, r);
    else if (v < FLIP_HEADER)
        flip_at(f, path, n->hint.offset + v);
    else if (v < FLIP_FOOTER)
        flip_at(f, path, n->hint.offset + FLIP_HEADER + n->len_bytes + v - FLIP_HEADER);
    else if (v < FLIP_PAYLOAD)
        flip_at(f, path, n->hint.offset + FLIP_HEADER + sim_random_below(r, n->len_bytes));
    else
        flip_at(f, path, v % 2 * 4096 + (v - FLIP_PAYLOAD) / 2 * 16 + sim_random_below(r, 16));
}

/*
 * One bit flips while the machine is off: at most one needle may be refused, none may read wrong,
 * and the others read as before; with the index, and with the index lost.
 */
void case_bitflip_each_field(struct history *h)
{
    if (h->variant == 0) {
        h->variants = 2 * FLIP_ANYWHERE;
        return;
    }
    struct vm vm;
    struct sim_random r = history_op_random(h, OPS);
    struct flip f = {.vm = &vm, .bit = (unsigned)sim_random_below(&r, 8)};
    vm_init(&vm, h, SIM_KEEP_SEED, DISK_BYTES, OPS);
    vm_run(&vm, vm_life_work, "work");
    flip_variant(&f, (h->variant - 1) / 2, &r);
    vm.faults = true;
    vm.damaged_max = 1;
    if (h->variant % 2)
        vm_lose_index(&vm);
    vm_run(&vm, vm_life_work, "after the flip");
    vm_run(&vm, vm_life_check, "check");
    vm_release(&vm);
}
