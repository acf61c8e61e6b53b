/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "base/log.h"
#include "base/reserve.h"
#include "cli/server/memory_watch.h"

#define LOOK_NS  RT_S
#define AGAIN_NS (30 * RT_S) /* said at most so often; and so long without a failure it is over */

struct watch {
    struct reserve_stats told; /* when it was last said that memory is out */
    uint64_t told_ns;          /* 0: it is not */
};

static bool has_failed(const struct reserve_stats *before, const struct reserve_stats *now)
{
    return now->refused > before->refused || now->served > before->served || now->waiting > 0;
}

static void tell(struct watch *w, const struct reserve_stats *now)
{
    log_event(LOG_WARN, "memory is out",
              "%llu allocations were refused, their requests got 503; %llu came from the reserve, "
              "of which %llu of %llu KiB are in use; %llu waited for it",
              (unsigned long long)(now->refused - w->told.refused),
              (unsigned long long)(now->served - w->told.served),
              (unsigned long long)(now->used_bytes / KIB),
              (unsigned long long)(now->size_bytes / KIB),
              (unsigned long long)(now->waits - w->told.waits));
    w->told = *now;
    w->told_ns = rt_now();
}

static void look(struct watch *w)
{
    struct reserve_stats now;
    reserve_stats(&now);
    if (w->told_ns && rt_now() - w->told_ns < AGAIN_NS)
        return;
    if (has_failed(&w->told, &now)) {
        tell(w, &now);
    } else if (w->told_ns) {
        log_event(LOG_INFO, "memory is there again", "none was refused for %llu s",
                  (unsigned long long)(AGAIN_NS / RT_S));
        w->told_ns = 0;
    }
}

int FIBER memory_watch(void *unused)
{
    struct watch w = {0};
    reserve_stats(&w.told);
    while (rt_sleep_until(rt_now() + LOOK_NS) == 0)
        look(&w);
    return 0;
}
