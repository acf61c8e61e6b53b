/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * A node's life, its state, and the table of them.
 */

#include "node/internal.h"

#define FORGIVE_NS (10 * RT_S) /* without a fault: a suspect is tried like the others again */

const char *node_state_text(enum node_state state)
{
    static const char *const texts[] = {"online", "suspect", "gone"};
    return texts[state];
}

/* ---- state ---------------------------------------------------------------------------------- */

bool node_is_fault(int err)
{
    switch (err) {
    case -EIO:
    case -ENOENT:
    case -ENODEV:
    case -ENXIO:
    case -ENOTDIR:
    case -EROFS:
    case -EACCES:
    case -EPERM:
    case -ESTALE:
    case -ETIMEDOUT:
    case -ERR_READ_ONLY:
        return true;
    default:
        return false;
    }
}

void node_set_gone(struct node *n, int why)
{
    __atomic_store_n(&n->fault, why, __ATOMIC_RELAXED);
    if (node_state(n) != NODE_GONE)
        __atomic_store_n(&n->gone_ns, rt_now(), __ATOMIC_RELAXED);
    __atomic_store_n(&n->state, NODE_GONE, __ATOMIC_SEQ_CST);
}

uint64_t node_gone_ns(const struct node *n)
{
    return __atomic_load_n(&n->gone_ns, __ATOMIC_RELAXED);
}

/* Never brings a gone one back: only the watch does. */
static void state_move(struct node *n, enum node_state from, enum node_state to)
{
    uint32_t is = from;
    __atomic_compare_exchange_n(&n->state, &is, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void note_fault(struct node *n, enum op_kind kind, int err)
{
    __atomic_fetch_add(&n->faults, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&n->fault, err, __ATOMIC_RELAXED);
    state_move(n, NODE_ONLINE, NODE_SUSPECT);
    __atomic_store_n(&n->fault_ns, rt_now(), __ATOMIC_RELAXED);
    uint32_t *row = kind == OP_READ ? &n->read_faults : &n->write_faults;
    uint32_t count = __atomic_add_fetch(row, 1, __ATOMIC_RELAXED);
    if (kind == OP_READ && count >= NODE_FAULT_ROW && !n->config.alone)
        node_set_gone(n, err);
}

void node_note_slow(struct node *n)
{
    note_fault(n, OP_WRITE, -ETIMEDOUT);
}

static void note_success(struct node *n, enum op_kind kind)
{
    if (likely(__atomic_load_n(&n->state, __ATOMIC_RELAXED) == NODE_ONLINE) || kind == OP_OTHER)
        return;
    __atomic_store_n(kind == OP_READ ? &n->read_faults : &n->write_faults, 0, __ATOMIC_RELAXED);
    if (__atomic_load_n(&n->write_faults, __ATOMIC_RELAXED) == 0 &&
        __atomic_load_n(&n->read_faults, __ATOMIC_RELAXED) == 0)
        state_move(n, NODE_SUSPECT, NODE_ONLINE);
}

void node_forgive(struct node *n)
{
    if (node_state(n) != NODE_SUSPECT ||
        rt_now() - __atomic_load_n(&n->fault_ns, __ATOMIC_RELAXED) < FORGIVE_NS)
        return;
    __atomic_store_n(&n->read_faults, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&n->write_faults, 0, __ATOMIC_RELAXED);
    state_move(n, NODE_SUSPECT, NODE_ONLINE);
}

enum node_state node_state(const struct node *n)
{
    return __atomic_load_n(&n->state, __ATOMIC_SEQ_CST);
}

bool node_writable(const struct node *n)
{
    return node_state(n) != NODE_GONE &&
           __atomic_load_n(&n->write_faults, __ATOMIC_RELAXED) < NODE_FAULT_ROW;
}

int node_fault(const struct node *n)
{
    return __atomic_load_n(&n->fault, __ATOMIC_RELAXED);
}

/* ---- latency -------------------------------------------------------------------------------- */

static unsigned bucket_of(uint64_t ns)
{
    uint64_t us = MAX(ns / RT_US, (uint64_t)1);
    unsigned top = 63u - (unsigned)__builtin_clzll(us);
    unsigned quarter = top < 2 ? 0 : (unsigned)(us >> (top - 2)) & 3;
    return MIN(4 * top + quarter, (unsigned)LATENCY_BUCKETS - 1);
}

/* The upper end of the bucket. */
static uint64_t bucket_ns(unsigned bucket)
{
    return ((uint64_t)(bucket % 4 + 5) << (bucket / 4)) * RT_US / 4;
}

/* Exact counting is not the point: races between threads lose a few. */
static void latency_sum_up(struct node *n, uint32_t total)
{
    uint32_t above = 0;
    unsigned b = LATENCY_BUCKETS;
    while (b > 0 && above + n->latency[b - 1] <= total / 20)
        above += __atomic_load_n(&n->latency[--b], __ATOMIC_RELAXED);
    __atomic_store_n(&n->read_p95_ns, bucket_ns(b > 0 ? b - 1 : 0), __ATOMIC_RELAXED);
    if (total < LATENCY_DECAY)
        return;
    uint32_t left = 0;
    for (b = 0; b < LATENCY_BUCKETS; b++) {
        uint32_t half = __atomic_load_n(&n->latency[b], __ATOMIC_RELAXED) / 2;
        __atomic_store_n(&n->latency[b], half, __ATOMIC_RELAXED);
        left += half;
    }
    __atomic_store_n(&n->latencies, left, __ATOMIC_RELAXED);
}

static void note_latency(struct node *n, uint64_t ns)
{
    __atomic_fetch_add(&n->latency[bucket_of(ns)], 1, __ATOMIC_RELAXED);
    uint32_t total = __atomic_add_fetch(&n->latencies, 1, __ATOMIC_RELAXED);
    if (total % 64 == 0)
        latency_sum_up(n, total);
}

uint64_t node_read_p95_ns(const struct node *n)
{
    return __atomic_load_n(&n->read_p95_ns, __ATOMIC_RELAXED);
}

/* ---- who is inside -------------------------------------------------------------------------- */

int op_begin(struct op *o, struct node *n)
{
    uint64_t now = rt_now();
    *o = (struct op){.node = n, .slot = (unsigned)(now / OP_SLOT_NS % OP_SLOTS), .start_ns = now};
    __atomic_fetch_add(&n->ops[o->slot], 1, __ATOMIC_SEQ_CST);
    if (likely(node_state(n) != NODE_GONE))
        return 0;
    __atomic_fetch_sub(&n->ops[o->slot], 1, __ATOMIC_SEQ_CST);
    return -ERR_DISK_GONE;
}

int op_end(struct op *o, enum op_kind kind, int err)
{
    struct node *n = o->node;
    if (unlikely(node_is_fault(err)))
        note_fault(n, kind, err);
    else if (err == 0)
        note_success(n, kind);
    if (kind == OP_READ && err == 0)
        note_latency(n, rt_now() - o->start_ns);
    bool gone = err && node_state(n) == NODE_GONE && node_is_fault(err);
    __atomic_fetch_sub(&n->ops[o->slot], 1, __ATOMIC_SEQ_CST);
    return gone ? -ERR_DISK_GONE : err;
}

int node_hold(struct node *n)
{
    __atomic_fetch_add(&n->held, 1, __ATOMIC_SEQ_CST);
    if (likely(node_state(n) != NODE_GONE))
        return 0;
    node_unhold(n);
    return -ERR_DISK_GONE;
}

void node_unhold(struct node *n)
{
    CHECK(__atomic_fetch_sub(&n->held, 1, __ATOMIC_SEQ_CST) > 0);
}

bool node_idle(const struct node *n)
{
    uint32_t inside = __atomic_load_n(&n->held, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < OP_SLOTS; i++)
        inside |= __atomic_load_n(&n->ops[i], __ATOMIC_SEQ_CST);
    return inside == 0;
}

bool node_hangs(const struct node *n)
{
    uint64_t slot = rt_now() / OP_SLOT_NS;
    for (uint64_t age = NODE_HANG_NS / OP_SLOT_NS + 1; age < OP_SLOTS; age++)
        if (slot >= age && __atomic_load_n(&n->ops[(slot - age) % OP_SLOTS], __ATOMIC_RELAXED))
            return true;
    return false;
}

/* ---- life ----------------------------------------------------------------------------------- */

int FIBER node_open(struct node **ret, const struct node_config *config)
{
    CHECK(config->number < NODES_MAX && (config->open || config->disk));
    struct node *n = calloc(1, sizeof(*n));
    char *path = strdup(config->path);
    if (!n || !path) {
        free(n);
        free(path);
        return -ENOMEM;
    }
    n->config = *config;
    n->path = path;
    n->role = config->role;
    n->disk = config->disk;
    int err = config->open ? config->open(config->arg, &n->disk) : 0;
    if (err)
        node_set_gone(n, err);
    *ret = n;
    return 0;
}

void FIBER node_close(struct node *n)
{
    if (!n)
        return;
    CHECK(node_idle(n));
    if (n->config.open)
        disk_close(n->disk);
    free(n->path);
    free(n);
}

uint32_t node_number(const struct node *n)
{
    return n->config.number;
}

const char *node_path(const struct node *n)
{
    return n->path;
}

uint64_t node_weight(const struct node *n)
{
    return MAX(__atomic_load_n(&n->config.weight, __ATOMIC_RELAXED), (uint64_t)1);
}

void node_set_weight(struct node *n, uint64_t weight)
{
    __atomic_store_n(&n->config.weight, weight, __ATOMIC_RELAXED);
}

uint32_t node_zone(const struct node *n)
{
    return __atomic_load_n(&n->config.zone, __ATOMIC_RELAXED);
}

void node_set_zone(struct node *n, uint32_t zone)
{
    __atomic_store_n(&n->config.zone, zone, __ATOMIC_RELAXED);
}

uint64_t node_epoch(const struct node *n)
{
    return __atomic_load_n(&n->epoch, __ATOMIC_ACQUIRE);
}

void node_set_epoch(struct node *n, uint64_t epoch)
{
    uint64_t is = node_epoch(n);
    while (is < epoch && !__atomic_compare_exchange_n(&n->epoch, &is, epoch, false,
                                                      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
}

enum node_role node_role(const struct node *n)
{
    return __atomic_load_n(&n->role, __ATOMIC_RELAXED);
}

void node_set_role(struct node *n, enum node_role role)
{
    __atomic_store_n(&n->role, role, __ATOMIC_RELAXED);
}

/* ---- the table ------------------------------------------------------------------------------ */

void nodes_add(struct nodes *t, struct node *n)
{
    uint32_t number = node_number(n);
    CHECK(!nodes_get(t, number));
    __atomic_store_n(&t->at[number], n, __ATOMIC_RELEASE);
    if (number >= t->count)
        __atomic_store_n(&t->count, number + 1, __ATOMIC_RELEASE);
}

int FIBER nodes_wrap(struct nodes *t, uint32_t number, const char *path, struct disk *disk)
{
    struct node *n;
    struct node_config c = {.number = number, .path = path, .disk = disk, .alone = true};
    int err = node_open(&n, &c);
    if (err == 0)
        nodes_add(t, n);
    return err;
}

struct node *nodes_get(const struct nodes *t, uint32_t number)
{
    return number < NODES_MAX ? __atomic_load_n(&t->at[number], __ATOMIC_ACQUIRE) : NULL;
}

uint32_t nodes_count(const struct nodes *t)
{
    return __atomic_load_n(&t->count, __ATOMIC_ACQUIRE);
}
