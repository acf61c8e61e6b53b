/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * Timers of a loop: a four-way heap of (time, timer). The times lie in the heap itself, so that
 * sifting touches a timer only when it moves.
 *
 * Invariant: heap[i].at_ns >= heap[(i - 1) / 4].at_ns, and heap[i].timer->slot == i + 1.
 */

#include "base/reserve.h"
#include "rt/internal.h"

struct rt_timer_slot {
    uint64_t at_ns;
    struct rt_timer *timer;
};

static void heap_set(struct rt_timers *h, uint32_t i, struct rt_timer_slot s)
{
    h->heap[i] = s;
    s.timer->slot = i + 1;
}

static void sift_up(struct rt_timers *h, uint32_t i, struct rt_timer_slot s)
{
    while (i > 0 && h->heap[(i - 1) / 4].at_ns > s.at_ns) {
        heap_set(h, i, h->heap[(i - 1) / 4]);
        i = (i - 1) / 4;
    }
    heap_set(h, i, s);
}

static void sift_down(struct rt_timers *h, uint32_t i, struct rt_timer_slot s)
{
    for (;;) {
        uint32_t first = 4 * i + 1, least = first;
        if (first >= h->count)
            break;
        for (uint32_t c = first + 1; c < h->count && c < first + 4; c++) {
            if (h->heap[c].at_ns < h->heap[least].at_ns)
                least = c;
        }
        if (h->heap[least].at_ns >= s.at_ns)
            break;
        heap_set(h, i, h->heap[least]);
        i = least;
    }
    heap_set(h, i, s);
}

/* Those that wait their turn for ever would end for want of a timer. */
static int heap_grow(struct rt_timers *h)
{
    RESERVE_SCOPE;
    uint32_t cap = h->cap ? 2 * h->cap : 64;
    struct rt_timer_slot *heap = realloc(h->heap, cap * sizeof(*heap));
    if (!heap)
        return -ENOMEM;
    h->heap = heap;
    h->cap = cap;
    return 0;
}

int rt_timer_arm(struct rt_loop *l, struct rt_timer *t, uint64_t at_ns,
                 void (*fn)(struct rt_timer *))
{
    struct rt_timers *h = &l->timers;
    rt_timer_disarm(l, t);
    if (h->count == h->cap) {
        int r = heap_grow(h);
        if (r < 0)
            return r;
    }
    t->at_ns = at_ns;
    t->fn = fn;
    sift_up(h, h->count++, (struct rt_timer_slot){at_ns, t});
    return 0;
}

void rt_timer_disarm(struct rt_loop *l, struct rt_timer *t)
{
    struct rt_timers *h = &l->timers;
    if (t->slot == 0)
        return;
    uint32_t i = t->slot - 1;
    CHECK(i < h->count && h->heap[i].timer == t);
    t->slot = 0;
    struct rt_timer_slot last = h->heap[--h->count];
    if (last.timer == t)
        return;
    if (i > 0 && h->heap[(i - 1) / 4].at_ns > last.at_ns)
        sift_up(h, i, last);
    else
        sift_down(h, i, last);
}

uint64_t rt_timers_next(const struct rt_loop *l)
{
    return l->timers.count ? l->timers.heap[0].at_ns : RT_NEVER;
}

void rt_timers_fire(struct rt_loop *l, uint64_t now_ns)
{
    while (l->timers.count && l->timers.heap[0].at_ns <= now_ns) {
        struct rt_timer *t = l->timers.heap[0].timer;
        rt_timer_disarm(l, t);
        t->fn(t);
    }
}

void rt_timers_release(struct rt_loop *l)
{
    CHECK(l->timers.count == 0);
    free(l->timers.heap);
    l->timers = (struct rt_timers){0};
}
