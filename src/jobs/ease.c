/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "jobs/ease.h"

#define NOISE_NS    1000000 /* a millisecond more or less is no sign of anything */
#define CALM_FORGET 256

static void learn_calm(struct ease *e, uint64_t each_ns)
{
    if (e->calm_ns == 0 || each_ns < e->calm_ns)
        e->calm_ns = MAX(each_ns, (uint64_t)1);
    else
        e->calm_ns += (each_ns - e->calm_ns) / CALM_FORGET;
}

void ease_step(struct ease *e, uint64_t requests, uint64_t took_ns)
{
    if (requests == 0) {
        e->share = MIN(2 * e->share, (uint32_t)EASE_ALL);
        return;
    }
    uint64_t each_ns = took_ns / requests;
    learn_calm(e, each_ns);
    if (each_ns > 2 * e->calm_ns + NOISE_NS)
        e->share = MAX(e->share / 2, (uint32_t)EASE_LEAST);
    else
        e->share = MIN(e->share + EASE_ALL / 16, (uint32_t)EASE_ALL);
}
