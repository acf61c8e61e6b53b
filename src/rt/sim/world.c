/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * The simulated machine: scheduler, clock, crash.
 *
 * A life: boot -> running -> ended | crashed. In `running` the loop picks one runnable fiber at a
 * time; without one it moves the clock to the next timer. A crash only sets `crashed` and switches
 * away; the loop, on the thread's own stack, then takes the fibers down and the power off.
 */

#include <stdio.h>
#include "rt/internal.h"
#include "rt/sim/internal.h"

#define SIM_LATENCY_DEFAULT  (200 * RT_US)
#define SIM_EVENTS_DEFAULT   20000000ULL
#define SIM_STEP_NS          50 /* what running a fiber takes */
#define SIM_LOOK_NS          20 /* what a look at the clock takes */
#define SIM_PREEMPTED_ONE_IN 64 /* looks, and then up to that much longer: */
#define SIM_PREEMPTED_NS     (100 * RT_US)
#define SIM_BOOT_NS          RT_S             /* between two lives, at least */
#define SIM_WALL_EPOCH_MS    1700000000000ULL /* November 2023: any fixed day serves */

static struct sim *running;

struct sim *sim_running(void)
{
    CHECK(running);
    return running;
}

/* ---- life ----------------------------------------------------------------------------------- */

int sim_new(struct sim **ret, const struct sim_config *config)
{
    struct sim *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->config = *config;
    if (!s->config.latency_max_ns)
        s->config.latency_max_ns = SIM_LATENCY_DEFAULT;
    if (!s->config.events_max)
        s->config.events_max = SIM_EVENTS_DEFAULT;
    struct sim_random *streams[] = {&s->schedule, &s->latency, &s->crash,
                                    &s->fault,    &s->product, &s->clock};
    for (unsigned i = 0; i < ARRAY_LEN(streams); i++)
        sim_random_init(streams[i], config->seed, i);
    list_init(&s->disks);
    *ret = s;
    return 0;
}

void sim_free(struct sim *s)
{
    if (!s)
        return;
    CHECK(s != running);
    struct sim_disk *d, *next;
    LIST_FOR_SAFE (d, next, &s->disks, link)
        sim_disk_free(d);
    free(s);
}

void sim_add_disk(struct sim *s, struct sim_disk *d)
{
    list_push_back(&s->disks, &d->link);
}

uint64_t sim_next_seq(struct sim *s)
{
    return ++s->seq;
}

void sim_crash_at(struct sim *s, uint64_t event)
{
    s->crash_at = event;
}

void sim_set_keep(struct sim *s, enum sim_keep keep)
{
    s->config.keep = keep;
}

uint64_t sim_events(const struct sim *s)
{
    return s->events;
}

uint64_t sim_steps(const struct sim *s)
{
    return s->steps + s->events;
}

uint64_t sim_now(const struct sim *s)
{
    return s->now_ns;
}

void sim_on_crash(struct sim *s, void (*fn)(struct sim *s, void *arg), void *arg)
{
    CHECK(s->hook_count < SIM_HOOKS_MAX);
    s->hooks[s->hook_count++] = (struct sim_hook){fn, arg};
}

/* ---- choices -------------------------------------------------------------------------------- */

void sim_set_script(struct sim *s, struct sim_script *script)
{
    s->script = script;
    if (script)
        script->count = 0;
}

uint64_t sim_choose(struct sim *s, uint64_t bound)
{
    struct sim_script *c = s->script;
    if (!c || bound <= 1 || c->count == SIM_SCRIPT_MAX)
        return sim_random_below(&s->crash, bound);
    uint32_t i = c->count++;
    c->bound[i] = (uint32_t)bound;
    return c->value[i];
}

bool sim_script_next(struct sim_script *script)
{
    while (script->count > 0) {
        uint32_t i = --script->count;
        if (++script->value[i] < script->bound[i])
            return true;
        script->value[i] = 0;
    }
    return false;
}

uint64_t sim_crash_prefix(struct sim *s)
{
    /* the end of the life is where unsynced changes lie; now and then look further back */
    uint64_t reach = sim_choose(s, 4) == 3 ? 512 : 16;
    return s->seq - sim_choose(s, MIN(reach, s->seq - s->power_seq) + 1);
}

/* ---- events and time ------------------------------------------------------------------------ */

_Noreturn void sim_crash(void)
{
    sim_running()->crashed = true;
    rt_suspend();
    CHECK(!"a fiber ran after the crash");
    abort();
}

void sim_event(struct sim *s)
{
    s->events++;
    s->livelock = s->events - s->life_events > s->config.events_max;
    if (s->events == s->crash_at || s->livelock)
        sim_crash();
}

void FIBER sim_latency(struct sim *s)
{
    if (sim_random_one_in(&s->latency, 2))
        return;
    uint64_t ns = sim_random_below(&s->latency, s->config.latency_max_ns);
    /* most operations are quick and a few are slow, which reorders more than an even spread */
    ns = sim_random_one_in(&s->latency, 8) ? ns : ns / 16;
    rt_block_uncancelled(s->now_ns + ns, NULL, NULL);
}

static int FIBER world_offload(int (*fn)(void *arg), void *arg)
{
    struct sim *s = sim_running();
    sim_latency(s);
    sim_event(s);
    rt_this_loop->offloading = true;
    int r = fn(arg);
    rt_this_loop->offloading = false;
    sim_latency(s);
    sim_event(s);
    return r;
}

static uint64_t world_offload_queued(void)
{
    return 0;
}

static void world_thread_waits(bool begins)
{
    CHECK(!"there are no other threads");
}

/* Time passes between two looks at the clock, now and then the time another program takes: what
 * decides by one look and waits by the next must not be lost. */
static uint64_t world_now(void)
{
    struct sim *s = sim_running();
    if (s->config.steady_clock)
        return s->now_ns;
    bool preempted = sim_random_one_in(&s->clock, SIM_PREEMPTED_ONE_IN);
    s->now_ns += preempted ? sim_random_below(&s->clock, SIM_PREEMPTED_NS) : SIM_LOOK_NS;
    return s->now_ns;
}

static uint64_t world_wall_ms(void)
{
    return SIM_WALL_EPOCH_MS + sim_running()->now_ns / RT_MS;
}

static void world_random(void *ret, size_t len)
{
    for (size_t done = 0; done < len; done += sizeof(uint64_t)) {
        uint64_t v = sim_random_u64(&sim_running()->product);
        memcpy((uint8_t *)ret + done, &v, MIN(len - done, sizeof v));
    }
}

static struct rt_fiber *world_pick(struct rt_loop *l)
{
    struct sim *s = sim_running();
    struct list *n = l->ready.next;
    for (uint64_t i = sim_random_below(&s->schedule, l->ready_count); i > 0; i--)
        n = n->next;
    CHECK(n != &l->ready);
    CHECK(!l->offloading); /* an offloaded function must not wait */
    return container_of(n, struct rt_fiber, ready);
}

static void world_notify(struct rt_loop *l)
{
    /* one thread: the loop looks at its inbox before each fiber */
}

/* ---- not simulated -------------------------------------------------------------------------- */

static int no_resolve(struct rt_address *ret, const char *host, uint16_t port)
{
    return -ENOSYS;
}

static int no_listen(struct rt_socket **ret, const struct rt_address *a, bool first)
{
    return -ENOSYS;
}

static int no_connect(struct rt_socket **ret, const struct rt_address *a, uint64_t deadline_ns)
{
    return -ENOSYS;
}

static int no_signal(int *ret_signal)
{
    return -ENOSYS;
}

/* Sockets come only from listen, connect and accept: with those refused the others are never
 * reached. */
static const struct rt_world_ops sim_ops = {
    .simulated = true,
    .pick = world_pick,
    .notify = world_notify,
    .offload = world_offload,
    .offload_queued = world_offload_queued,
    .thread_waits = world_thread_waits,
    .now = world_now,
    .wall_ms = world_wall_ms,
    .random = world_random,
    .file_open = sim_file_open,
    .file_close = sim_file_close,
    .file_read = sim_file_read,
    .file_read_now = sim_file_read_now,
    .file_write = sim_file_write,
    .file_sync = sim_file_sync,
    .file_reserve = sim_file_reserve,
    .file_truncate = sim_file_truncate,
    .file_size = sim_file_size,
    .file_lock = sim_file_lock,
    .mkdir = sim_mkdir,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .dir_sync = sim_dir_sync,
    .dir_list = sim_dir_list,
    .space = sim_space,
    .resolve = no_resolve,
    .listen = no_listen,
    .connect = no_connect,
    .wait_signal = no_signal,
};

/* ---- the loop ------------------------------------------------------------------------------- */

static void print_stuck(const struct rt_loop *l)
{
    fprintf(stderr, "rt/sim: every fiber waits for ever:");
    const struct rt_fiber *f;
    LIST_FOR (f, &l->fibers, all)
        fprintf(stderr, " %s%s", f->name, f->state == RT_FIBER_DONE ? " (ended)" : "");
    fprintf(stderr, "\n");
}

/* 0 when all fibers have ended. */
static int world_drive(struct sim *s, struct rt_loop *l)
{
    while (rt_alive() && !s->crashed) {
        rt_loop_take_inbox(l);
        rt_timers_fire(l, s->now_ns);
        if (rt_loop_run_one(l)) {
            s->steps++;
            s->now_ns += SIM_STEP_NS;
            continue;
        }
        uint64_t next = rt_timers_next(l);
        if (next == RT_NEVER) {
            if (!s->config.quiet)
                print_stuck(l);
            return -EDEADLK;
        }
        s->now_ns = MAX(s->now_ns, next);
    }
    return s->livelock ? -ELOOP : s->crashed ? SIM_CRASHED : 0;
}

/* What is left of the fibers after a crash: their stacks go, nothing of them runs. */
static void abandon_fibers(struct rt_loop *l)
{
    struct rt_fiber *f, *next;
    LIST_FOR_SAFE (f, next, &l->fibers, all) {
        list_remove(&f->all);
        if (f->state == RT_FIBER_READY)
            list_remove(&f->ready);
        if (f->state != RT_FIBER_DONE) {
            rt_stack_unmap(&l->stacks, f->stack);
            rt_alive_drop();
        }
        free(f);
    }
    l->ready_count = 0;
    l->timers.count = 0;
    l->fiber_count = 0;
    l->inbox = NULL;
}

void sim_power_off(struct sim *s)
{
    CHECK(s != running);
    bool power_lost = false;
    struct sim_disk *d;
    LIST_FOR (d, &s->disks, link) {
        enum sim_keep keep = s->config.keep;
        if (keep == SIM_KEEP_SEED)
            keep = (enum sim_keep)(SIM_KEEP_NONE + sim_choose(s, SIM_KEEP_TORN));
        sim_disk_crash(d, keep);
        power_lost |= keep != SIM_KEEP_ALL;
    }
    if (power_lost)
        s->power_seq = s->seq;
    for (unsigned i = 0; i < s->hook_count; i++)
        s->hooks[i].fn(s, s->hooks[i].arg);
}

static void boot(struct sim *s, struct rt_loop *l)
{
    static const struct rt_config config = {.threads = 1};
    CHECK(!running);
    CHECK(rt_loop_init(l, 0, &config) == 0);
    rt_loops[0] = l;
    rt_loop_count = 1;
    rt_world = &sim_ops;
    running = s;
    s->crashed = s->livelock = false;
    s->now_ns += SIM_BOOT_NS + sim_random_below(&s->latency, SIM_BOOT_NS);
    s->life_events = s->events;
    rt_loop_enter(l);
}

static void shut_down(struct rt_loop *l)
{
    rt_loop_leave(l);
    rt_loop_release(l);
    running = NULL;
    rt_loop_count = 0;
    rt_loops[0] = NULL;
    rt_world = &rt_uring_ops;
}

int sim_rt_run(struct sim *s, int (*fn)(void *arg), void *arg)
{
    struct rt_loop loop;
    struct rt_fiber *first;
    boot(s, &loop);
    int err = rt_loop_spawn(&loop, &first, "main", fn, arg);
    CHECK(err == 0);
    int r = world_drive(s, &loop);
    if (r == 0)
        r = rt_loop_reap(first);
    else
        abandon_fibers(&loop);
    shut_down(&loop);
    if (r != 0 && s->crashed)
        sim_power_off(s);
    return r;
}
