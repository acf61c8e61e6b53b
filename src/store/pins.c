/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "store/pins.h"

void pins_init(struct pins *p)
{
    *p = (struct pins){0};
    for (unsigned i = 0; i < PIN_SHARDS; i++)
        rt_lock_init(&p->shards[i].lock);
}

struct pin pins_enter(struct pins *p)
{
    struct pin pin = {.shard = rt_thread_index() % PIN_SHARDS, .held = true};
    struct pin_shard *s = &p->shards[pin.shard];
    /* The phase is read under the lock: after pins_turn, whoever counts this shard either sees
     * this pin or lets a later one see the new phase. */
    rt_lock(&s->lock);
    pin.phase = (uint8_t)__atomic_load_n(&p->phase, __ATOMIC_SEQ_CST);
    s->open[pin.phase]++;
    rt_unlock(&s->lock);
    return pin;
}

void pins_leave(struct pins *p, struct pin *pin)
{
    if (!pin->held)
        return;
    struct pin_shard *s = &p->shards[pin->shard];
    rt_lock(&s->lock);
    CHECK(s->open[pin->phase] > 0);
    s->open[pin->phase]--;
    rt_unlock(&s->lock);
    pin->held = false;
}

unsigned pins_turn(struct pins *p)
{
    unsigned old = __atomic_load_n(&p->phase, __ATOMIC_SEQ_CST);
    CHECK(pins_open(p, !old) == 0);
    __atomic_store_n(&p->phase, !old, __ATOMIC_SEQ_CST);
    return old;
}

uint64_t pins_open(struct pins *p, unsigned phase)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < PIN_SHARDS; i++) {
        rt_lock(&p->shards[i].lock);
        sum += p->shards[i].open[phase];
        rt_unlock(&p->shards[i].lock);
    }
    return sum;
}
