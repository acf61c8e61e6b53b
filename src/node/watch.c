/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The watch: one fiber that never waits for a disk itself. It looks for operations that hang, and
 * has a fiber of its own look at each disk: an online one is asked for its identity, a gone one is
 * opened anew. Should that look hang, the disk is left alone until it ends.
 */

#include "node/internal.h"

#define INTERVAL_MS 1000

struct nodes_watch {
    struct nodes *nodes;
    struct rt_fiber *fiber;
    uint64_t interval_ns;
    uint64_t trusts_ns; /* from then on an operation's age tells something */
};

struct look {
    struct node *node;
    struct rt_fiber *fiber;
};

static int FIBER probe(struct node *n)
{
    if (!n->config.probe)
        return 0;
    struct op o;
    int err = op_begin(&o, n);
    if (err)
        return err;
    err = n->config.probe(n->config.arg);
    op_end(&o, OP_OTHER, 0);
    return err;
}

/* While it is gone and nobody is inside, the disk is ours. */
static void FIBER reopen(struct node *n)
{
    if (!n->config.open || !node_idle(n))
        return;
    if (node_role(n) == NODE_RETIRED) { /* its place is another's now */
        disk_close(TAKE_PTR(n->disk));
        return;
    }
    if (n->config.probe && n->config.probe(n->config.arg) != 0)
        return;
    disk_close(TAKE_PTR(n->disk));
    int err = n->config.open(n->config.arg, &n->disk);
    if (err) {
        __atomic_store_n(&n->fault, err, __ATOMIC_RELAXED);
        return;
    }
    __atomic_store_n(&n->read_faults, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&n->write_faults, 0, __ATOMIC_RELAXED);
    __atomic_fetch_add(&n->returns, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&n->state, NODE_ONLINE, __ATOMIC_SEQ_CST);
}

static int FIBER look_at(void *arg)
{
    struct node *n = arg;
    if (node_state(n) == NODE_GONE) {
        reopen(n);
    } else {
        int err = probe(n);
        if (err && err != -ENOMEM && err != -EMFILE && err != -ENFILE)
            node_set_gone(n, err);
        node_forgive(n);
    }
    __atomic_store_n(&n->looking, false, __ATOMIC_RELEASE);
    return 0;
}

/* Starts a look at each node that is not being looked at; *ret holds what is to be joined. */
static unsigned start_looks(struct nodes *t, struct look *looks)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < nodes_count(t); i++) {
        struct node *n = nodes_get(t, i);
        if (!n || __atomic_load_n(&n->looking, __ATOMIC_ACQUIRE))
            continue;
        n->looking = true;
        looks[count].node = n;
        if (rt_spawn(&looks[count].fiber, "disk-look", look_at, n) == 0)
            count++;
        else
            n->looking = false;
    }
    return count;
}

static void find_hanging(struct nodes *t)
{
    for (uint32_t i = 0; i < nodes_count(t); i++) {
        struct node *n = nodes_get(t, i);
        if (n && node_state(n) != NODE_GONE && node_hangs(n))
            node_set_gone(n, -ETIMEDOUT);
    }
}

static void tell_changes(struct nodes *t)
{
    for (uint32_t i = 0; t->changed && i < nodes_count(t); i++) {
        struct node *n = nodes_get(t, i);
        if (!n || n->told == node_state(n))
            continue;
        n->told = node_state(n);
        t->changed(t->changed_arg, n, n->told);
    }
}

void FIBER nodes_look(struct nodes *t)
{
    struct look looks[NODES_MAX];
    find_hanging(t);
    unsigned count = start_looks(t, looks);
    for (unsigned i = 0; i < count; i++)
        rt_join(looks[i].fiber);
    tell_changes(t);
}

/* Joins the looks that have ended; the others stay in the list. */
static unsigned join_ended(struct look *looks, unsigned count)
{
    unsigned left = 0;
    for (unsigned i = 0; i < count; i++) {
        if (__atomic_load_n(&looks[i].node->looking, __ATOMIC_ACQUIRE))
            looks[left++] = looks[i];
        else
            rt_join(looks[i].fiber);
    }
    return left;
}

/*
 * A process that was stopped (SIGSTOP, a paused machine) finds all its operations old: they have as
 * long again as one may take. The watch tells it by its own being late.
 */
bool watch_trusts(uint64_t *trusts_ns, uint64_t due_ns, uint64_t now_ns)
{
    if (now_ns > due_ns + NODE_HANG_NS / 2)
        *trusts_ns = now_ns + NODE_HANG_NS;
    return now_ns >= *trusts_ns;
}

static int FIBER watch_fiber(void *arg)
{
    struct nodes_watch *w = arg;
    struct look looks[NODES_MAX];
    unsigned count = 0;
    uint64_t due_ns = rt_now() + w->interval_ns;
    for (; rt_sleep_until(due_ns) == 0; due_ns = rt_now() + w->interval_ns) {
        if (watch_trusts(&w->trusts_ns, due_ns, rt_now()))
            find_hanging(w->nodes);
        count = join_ended(looks, count);
        tell_changes(w->nodes);
        count += start_looks(w->nodes, looks + count);
    }
    for (unsigned i = 0; i < count; i++)
        rt_join(looks[i].fiber);
    return 0;
}

int FIBER nodes_watch(struct nodes *t, unsigned interval_ms)
{
    CHECK(!t->watch);
    struct nodes_watch *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->nodes = t;
    w->interval_ns = (interval_ms ? interval_ms : INTERVAL_MS) * RT_MS;
    int err = rt_spawn(&w->fiber, "disk-watch", watch_fiber, w);
    if (err)
        free(w);
    else
        t->watch = w;
    return err;
}

void FIBER nodes_release(struct nodes *t)
{
    if (t->watch) {
        rt_cancel(t->watch->fiber);
        rt_join(t->watch->fiber);
        free(TAKE_PTR(t->watch));
    }
    for (uint32_t i = 0; i < t->count; i++)
        node_close(TAKE_PTR(t->at[i]));
    t->count = 0;
}
