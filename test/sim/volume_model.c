/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

#include "sim/volume_model.h"

/* Small, so that a short history seals and compacts several; every fourth seed has needles that are
 * copied as streams. */
#define VOLUME_BYTES     (256 * KIB)
#define NEEDLE_LEN       (70 * KIB)
#define VOLUME_BYTES_BIG (1 * MIB)
#define NEEDLE_LEN_BIG   (330 * KIB)
#define NEEDLE_LEN_TOP   NEEDLE_LEN_BIG
#define BATCH_MAX        4u /* operations at a time */

/* ---- life cycle ----------------------------------------------------------------------------- */

static void index_crash(struct sim *s, void *arg)
{
    struct vm *vm = arg;
    kv_mem_crash(vm->index, sim_choose(s, kv_mem_unsynced(vm->index) + 1));
}

void vm_init(struct vm *vm, struct history *h, enum sim_keep keep, uint64_t capacity_bytes,
             uint32_t ops)
{
    CHECK(ops <= VM_NEEDLES_MAX);
    struct sim_config config = {.seed = h->seed, .keep = keep};
    *vm = (struct vm){.h = h, .ops = ops};
    h->op_count = ops;
    EXPECT_OK(h, sim_new(&vm->sim, &config), "machine");
    EXPECT_OK(h, sim_disk_new(&vm->sim_disk, vm->sim, "/d0", capacity_bytes), "disk");
    EXPECT_OK(h, kv_mem_new(&vm->index, false), "index");
    sim_on_crash(vm->sim, index_crash, vm);
}

void vm_release(struct vm *vm)
{
    history_sim_end(vm->h, vm->sim); /* the index has handles of lives that crashed: it stays */
}

void vm_lose_index(struct vm *vm)
{
    EXPECT_OK(vm->h, kv_mem_new(&vm->index, false), "index");
}

static bool is_big(const struct vm *vm)
{
    return vm->h->seed % 4 == 0;
}

static int FIBER vm_open(struct vm *vm)
{
    struct kv *index;
    int err = kv_mem_open(&index, vm->index);
    if (err)
        return err;
    kv_mem_set_cold(vm->index, vm->h->seed % 2);
    struct disk_config config = {.path = "/d0",
                                 .index = index,
                                 .volume_bytes_max = is_big(vm) ? VOLUME_BYTES_BIG : VOLUME_BYTES,
                                 .reserve_bytes = 32 * KIB};
    return disk_open(&vm->disk, &config);
}

static void FIBER vm_close(struct vm *vm)
{
    disk_close(TAKE_PTR(vm->disk));
}

/* What an operation may answer when the disk has faults. */
static bool fault_error(int err)
{
    return err == -EIO || err == -ENOSPC || err == -ERR_FULL || err == -ERR_READ_ONLY ||
           err == -ERR_CORRUPT;
}

static void expect_op(struct vm *vm, int err, const char *what, uint32_t op)
{
    EXPECT(vm->h, err == 0 || (vm->faults && fault_error(err)), "%s %u: %d (%s)", what, op, err,
           err_text(err));
    history_say(vm->h, "  %s %u: %s", what, op, err ? err_text(err) : "ok");
}

/* ---- needles -------------------------------------------------------------------------------- */

static struct needle_key key_of(uint32_t op)
{
    return (struct needle_key){.chunk = {.session = 7, .counter = op + 1},
                               .shard = (uint16_t)(op % 3)};
}

static uint64_t tag_of(const struct vm *vm, uint32_t op)
{
    return vm->h->seed * 1000 + op;
}

/* Lengths around the sizes at which something changes, and any. */
static uint64_t some_len(const struct vm *vm, struct sim_random *r)
{
    static const uint32_t edges[] = {1,    2,    100,  511,   512,   513,
                                     3900, 4096, 4097, 65535, 65536, 65537};
    if (sim_random_one_in(r, 3))
        return edges[sim_random_below(r, ARRAY_LEN(edges))];
    return 1 + sim_random_below(r, is_big(vm) ? NEEDLE_LEN_BIG : NEEDLE_LEN);
}

/* Where header and footer go around it. */
static int FIBER put_placed(struct vm *vm, uint32_t op, const struct needle_info *info,
                            const uint8_t *data)
{
    struct vm_needle *n = &vm->needles[op];
    _cleanup_free_ uint8_t *base =
        aligned_alloc(RT_DIRECT_ALIGN, DISK_PLACED_ROOM(info->len_bytes));
    CHECK(base);
    memcpy(base + NEEDLE_HEADROOM, data, info->len_bytes);
    return disk_append_placed(vm->disk, key_of(op), info, base, &n->hint, &n->digest);
}

static int FIBER put_whole(struct vm *vm, uint32_t op, const struct needle_info *info,
                           uint8_t *data)
{
    struct vm_needle *n = &vm->needles[op];
    if (op % 2)
        return put_placed(vm, op, info, data);
    uint64_t first = info->len_bytes / 3;
    struct iovec iov[2] = {{data, first}, {data + first, info->len_bytes - first}};
    return disk_append(vm->disk, key_of(op), info, iov, 2, &n->hint, &n->digest);
}

/* Begin, pieces, commit; or abort in the middle. */
static int FIBER put_pieces(struct vm *vm, uint32_t op, const struct needle_info *info,
                            uint8_t *data, struct sim_random *r, bool *ret_aborted)
{
    struct vm_needle *n = &vm->needles[op];
    struct needle_writer *w;
    int err = needle_begin(vm->disk, key_of(op), info, &w);
    if (err)
        return err;
    *ret_aborted = sim_random_one_in(r, 5);
    uint64_t end = *ret_aborted ? info->len_bytes / 2 : info->len_bytes;
    for (uint64_t done = 0; done < end && !err;) {
        struct iovec iov = {data + done,
                            MIN(end - done, 1 + sim_random_below(r, info->len_bytes / 8 + 100))};
        err = needle_write(w, &iov, 1);
        done += iov.iov_len;
    }
    if (err || *ret_aborted) {
        needle_abort(w);
        return err;
    }
    return needle_commit(w, &n->hint, &n->digest);
}

static int FIBER op_put(struct vm *vm, uint32_t op, struct sim_random *r, bool whole)
{
    struct vm_needle *n = &vm->needles[op];
    struct needle_info info = {.len_bytes = some_len(vm, r), .encode_id = op + 1, .code_k = 1};
    _cleanup_free_ uint8_t *data = malloc(info.len_bytes);
    CHECK(data);
    history_fill(data, info.len_bytes, tag_of(vm, op));
    n->len_bytes = info.len_bytes;
    n->state = VM_MAYBE_LIVE;
    bool aborted = false;
    int err = whole ? put_whole(vm, op, &info, data) : put_pieces(vm, op, &info, data, r, &aborted);
    if (!err)
        n->state = aborted ? VM_GONE : VM_LIVE;
    return err;
}

static int FIBER op_delete(struct vm *vm, struct sim_random *r)
{
    struct needle_key keys[5];
    uint32_t ops[5];
    size_t count = 0, want = 1 + sim_random_below(r, ARRAY_LEN(keys));
    for (uint32_t tries = 0; tries < 20 && count < want; tries++) {
        uint32_t op = (uint32_t)sim_random_below(r, vm->ops);
        if (vm->needles[op].state != VM_LIVE)
            continue;
        vm->needles[op].state = VM_MAYBE_GONE;
        ops[count] = op;
        keys[count++] = key_of(op);
    }
    int err = disk_delete(vm->disk, keys, count);
    for (size_t i = 0; i < count && !err; i++)
        vm->needles[ops[i]].state = VM_GONE;
    return err;
}

/* ---- checks --------------------------------------------------------------------------------- */

/* Borrowed from `room` when all goes well. */
static int FIBER read_whole(struct vm *vm, uint32_t op, const struct needle_hint *hint,
                            uint8_t *room, const void **ret, struct needle_info *ret_info)
{
    struct hash128 digest;
    return disk_read(vm->disk, key_of(op), hint, room, DISK_READ_ROOM(NEEDLE_LEN_TOP), ret,
                     ret_info, &digest);
}

static int FIBER read_through_reader(struct vm *vm, uint32_t op, const struct needle_hint *hint,
                                     uint8_t *room, const void **ret, struct needle_info *ret_info)
{
    struct needle_reader *r;
    int err = needle_open(vm->disk, key_of(op), hint, &r);
    if (err)
        return err;
    *ret_info = *needle_reader_info(r);
    *ret = room;
    if (ret_info->len_bytes <= NEEDLE_LEN_TOP)
        err = needle_read(r, 0, room, ret_info->len_bytes);
    needle_reader_close(r);
    return err;
}

/* Reads the needle one way or the other, and holds it against what was written. */
static int FIBER read_needle(struct vm *vm, uint32_t op, bool hinted, bool whole)
{
    const struct vm_needle *n = &vm->needles[op];
    const struct needle_hint *hint = hinted && n->hint.volume ? &n->hint : NULL;
    _cleanup_free_ uint8_t *room = malloc(DISK_READ_ROOM(NEEDLE_LEN_TOP));
    const void *data;
    struct needle_info info;
    CHECK(room);
    int err = whole ? read_whole(vm, op, hint, room, &data, &info)
                    : read_through_reader(vm, op, hint, room, &data, &info);
    if (err)
        return err;
    EXPECT(vm->h, info.len_bytes == n->len_bytes && info.encode_id == op + 1,
           "needle %u: length %llu, encode %llu", op, (unsigned long long)info.len_bytes,
           (unsigned long long)info.encode_id);
    ptrdiff_t at = history_fill_differs(data, n->len_bytes, tag_of(vm, op));
    EXPECT(vm->h, at < 0, "needle %u gives a wrong byte at %td", op, at);
    return 0;
}

static void FIBER op_read(struct vm *vm, uint32_t op, struct sim_random *r)
{
    uint32_t victim = (uint32_t)sim_random_below(r, vm->ops);
    bool hinted = sim_random_one_in(r, 2), whole = sim_random_one_in(r, 2);
    if (vm->needles[victim].state != VM_LIVE)
        return;
    int err = read_needle(vm, victim, hinted, whole);
    bool still = vm->needles[victim].state == VM_LIVE;
    if (err != -ERR_NOT_FOUND || still)
        expect_op(vm, err, "read", op);
}

/* One needle after an open, by the index and by its hint. A hint may lead to a needle that is gone:
 * it says where, the index says whether. True when it is damaged. */
static bool FIBER check_needle(struct vm *vm, uint32_t op)
{
    struct vm_needle *n = &vm->needles[op];
    int plain = read_needle(vm, op, false, true);
    int hinted = read_needle(vm, op, true, false);
    if (vm->damaged_max && (plain || hinted) && n->state == VM_LIVE)
        return true;
    EXPECT(vm->h, plain == 0 || plain == -ERR_NOT_FOUND || vm->damaged_max, "needle %u: %d (%s)",
           op, plain, err_text(plain));
    EXPECT(vm->h, plain != 0 || hinted == 0 || vm->damaged_max, "needle %u by its hint: %d (%s)",
           op, hinted, err_text(hinted));
    EXPECT(vm->h, n->state != VM_LIVE || plain == 0, "acknowledged needle %u is lost", op);
    EXPECT(vm->h, n->state != VM_GONE || plain != 0 || vm->damaged_max, "needle %u is there again",
           op);
    n->state = plain == 0 ? VM_LIVE : VM_GONE;
    return false;
}

static int count_entry(const struct needle_entry *e, void *arg)
{
    struct vm *vm = arg;
    uint32_t op = (uint32_t)(e->key.chunk.counter - 1);
    EXPECT(vm->h, op < vm->ops && e->key.chunk.session == 7, "the index has a needle nobody wrote");
    EXPECT(vm->h, vm->needles[op].state == VM_LIVE, "the index has needle %u, which is gone", op);
    EXPECT(vm->h, e->len_bytes == vm->needles[op].len_bytes, "the index has a wrong length");
    return 0;
}

/* A volume that failed once is told of; its needles have been read and hold. */
static int verify_event(const struct disk_verify_event *e, void *arg)
{
    struct vm *vm = arg;
    EXPECT(vm->h, e->err == 0 || e->err == -ERR_READ_ONLY, "verify: %s: needle %llu", e->text,
           (unsigned long long)e->key.chunk.counter - 1);
    return 0;
}

static void FIBER vm_check(struct vm *vm)
{
    unsigned damaged = 0, live = 0;
    for (uint32_t op = 0; op < vm->ops; op++) {
        if (vm->needles[op].state != VM_NEVER)
            damaged += check_needle(vm, op);
        live += vm->needles[op].state == VM_LIVE;
    }
    EXPECT(vm->h, damaged <= vm->damaged_max, "%u needles are damaged", damaged);
    history_say(vm->h, "  check: %u live, %u damaged", live, damaged);
    if (vm->damaged_max)
        return;
    EXPECT_OK(vm->h, disk_each(vm->disk, count_entry, vm), "each");
    EXPECT_OK(vm->h, disk_verify(vm->disk, verify_event, vm), "verify");
    struct disk_stats stats;
    disk_stats(vm->disk, &stats);
    history_say(vm->h, "  %llu volumes, %llu of them read-only", (unsigned long long)stats.volumes,
                (unsigned long long)stats.volumes_read_only);
    EXPECT(vm->h, stats.needles == live, "%llu needles counted, %u are live",
           (unsigned long long)stats.needles, live);
}

/* ---- work ----------------------------------------------------------------------------------- */

static void FIBER op_compact(struct vm *vm, uint32_t op)
{
    uint64_t freed = 0;
    int err = disk_compact(vm->disk, &freed);
    expect_op(vm, err, freed ? "compact (bytes came back)" : "compact", op);
}

struct op_run {
    struct vm *vm;
    uint32_t op;
    struct rt_fiber *fiber;
};

static int FIBER op_run(void *arg)
{
    struct op_run *o = arg;
    struct vm *vm = o->vm;
    struct sim_random r = history_op_random(vm->h, o->op);
    uint64_t kind = sim_random_below(&r, 20);
    if (kind < 9)
        expect_op(vm, op_put(vm, o->op, &r, true), "append", o->op);
    else if (kind < 12)
        expect_op(vm, op_put(vm, o->op, &r, false), "write", o->op);
    else if (kind < 16)
        expect_op(vm, op_delete(vm, &r), "delete", o->op);
    else if (kind < 17)
        op_read(vm, o->op, &r);
    else if (kind < 18)
        expect_op(vm, disk_checkpoint(vm->disk), "checkpoint", o->op);
    else
        op_compact(vm, o->op);
    return 0;
}

/* The next few operations at once. */
static void FIBER run_batch(struct vm *vm)
{
    struct op_run runs[BATCH_MAX];
    unsigned count = 0;
    while (count < BATCH_MAX && vm->next_op < vm->ops) {
        uint32_t op = vm->next_op++;
        if (history_skips(vm->h, op))
            continue;
        struct op_run *o = &runs[count++];
        *o = (struct op_run){.vm = vm, .op = op};
        EXPECT_OK(vm->h, rt_spawn(&o->fiber, "op", op_run, o), "spawn");
    }
    for (unsigned i = 0; i < count; i++)
        rt_join(runs[i].fiber);
}

int FIBER vm_life_work(void *arg)
{
    struct vm *vm = arg;
    int err = vm_open(vm);
    if (err)
        return err;
    vm_check(vm);
    while (vm->next_op < vm->ops)
        run_batch(vm);
    vm_close(vm);
    return 0;
}

int FIBER vm_life_check(void *arg)
{
    struct vm *vm = arg;
    int err = vm_open(vm);
    if (err)
        return err;
    vm_check(vm);
    vm_close(vm);
    return 0;
}

void vm_run(struct vm *vm, int (*life)(void *vm), const char *what)
{
    sim_crash_at(vm->sim, 0);
    history_say(vm->h, "%s", what);
    int err = sim_rt_run(vm->sim, life, vm);
    if (vm->damaged_max && err == -ERR_CORRUPT)
        return; /* a damaged disk may refuse to open */
    EXPECT_OK(vm->h, err, what);
}

void vm_run_to_crash(struct vm *vm, uint64_t at_event)
{
    history_say(vm->h, "work, power goes at event %llu", (unsigned long long)at_event);
    sim_crash_at(vm->sim, at_event);
    int err = sim_rt_run(vm->sim, vm_life_work, vm);
    EXPECT(vm->h, err == 0 || err == SIM_CRASHED || (vm->faults && fault_error(err)),
           "the life ends with %d (%s)", err, err_text(err));
    vm->disk = NULL;
}
