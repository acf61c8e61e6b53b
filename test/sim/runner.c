/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */

/*
 * cairn_sim [CASE...] [--seed N] [--seeds FROM..TO] [--variant N] [--seconds N] [--verbose]
 *           [--at-least N] [--no-fork] [--list]
 *
 * Runs the simulated cases: without names all of them, without seeds the short sweep of each. A
 * failure prints the line that replays it, shrinks its operations and ends the case. --seconds
 * sweeps on through new seeds until the time is over; the last line says how many histories that
 * were, and how many simulated events a second; with --at-least fewer histories are a failure.
 * --no-fork is for a debugger.
 */

#include <getopt.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/log.h"
#include "sim/harness.h"

#define HANG_S 60 /* of the processor: a history that takes longer hangs */

struct sweep {
    const struct sim_case *c;
    uint64_t first, last; /* seeds */
    bool one_variant, no_fork, verbose;
    uint64_t variant;
    double until_s; /* monotonic; 0: no limit */
    /* so far */
    uint64_t histories, steps;
    struct history *h; /* shared with the children */
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- one history ---------------------------------------------------------------------------- */

static void run_in_child(struct sweep *w, bool quiet)
{
    if (quiet && !freopen("/dev/null", "w", stderr))
        _exit(2);
    struct itimerval limit = {.it_value.tv_sec = HANG_S};
    setitimer(ITIMER_PROF, &limit, NULL);
    w->c->run(w->h);
    fflush(stdout);
    _exit(0); /* without exit handlers: a leak checker would count the abandoned lives */
}

static void note_death(struct history *h, int status)
{
    if (h->failed || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
        return;
    h->failed = true;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF)
        snprintf(h->message, sizeof h->message, "hangs: no end after %d s of the processor",
                 HANG_S);
    else if (WIFSIGNALED(status))
        snprintf(h->message, sizeof h->message, "died of signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(h->message, sizeof h->message, "exited with %d", WEXITSTATUS(status));
}

/* True when it passes. Leaves `skip` as it is. */
static bool run_history(struct sweep *w, uint64_t seed, uint64_t variant, bool quiet)
{
    struct history *h = w->h;
    h->seed = seed;
    h->variant = variant;
    h->variants = h->steps = h->op_count = 0;
    h->failed = h->refuted = false;
    h->verbose = w->verbose && !quiet;
    h->message[0] = 0;
    fflush(stdout);
    if (w->no_fork) {
        w->c->run(h);
    } else {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            run_in_child(w, quiet);
        int status;
        CHECK(waitpid(pid, &status, 0) == pid);
        note_death(h, status);
    }
    w->histories++;
    w->steps += h->steps;
    return !h->failed;
}

/* ---- a failure ------------------------------------------------------------------------------ */

static void skip_range(struct history *h, uint32_t from, uint32_t to)
{
    for (uint32_t op = from; op < to; op++)
        h->skip[op / 8] |= (uint8_t)(1u << (op % 8));
}

static uint32_t ops_left(const struct history *h, uint32_t count)
{
    uint32_t left = 0;
    for (uint32_t op = 0; op < count; op++)
        left += !history_skips(h, op);
    return left;
}

/* Leaves out halves, quarters, … single operations as long as it still fails. */
static void shrink(struct sweep *w, uint64_t seed, uint64_t variant)
{
    struct history *h = w->h;
    uint32_t count = MIN(h->op_count, (uint32_t)HISTORY_OPS_MAX);
    for (uint32_t piece = count / 2; piece > 0; piece /= 2) {
        for (uint32_t from = 0; from < count; from += piece) {
            uint8_t before[sizeof h->skip];
            memcpy(before, h->skip, sizeof before);
            skip_range(h, from, MIN(from + piece, count));
            if (memcmp(before, h->skip, sizeof before) == 0)
                continue;
            if (run_history(w, seed, variant, true))
                memcpy(h->skip, before, sizeof before);
        }
    }
    printf("  shrunk from %u operations to %u:\n", count, ops_left(h, count));
}

static void report(struct sweep *w, uint64_t seed, uint64_t variant)
{
    struct history *h = w->h;
    printf("FAIL %s: %s\n  replay: cairn_sim %s --seed %llu --variant %llu --verbose\n", w->c->name,
           h->message, w->c->name, (unsigned long long)seed, (unsigned long long)variant);
    if (!h->op_count || w->no_fork)
        return;
    shrink(w, seed, variant);
    w->verbose = true;
    run_history(w, seed, variant, false);
    printf("  %s\n", h->message);
}

/* ---- sweeps --------------------------------------------------------------------------------- */

static bool in_time(const struct sweep *w)
{
    return w->until_s == 0 || now_s() < w->until_s;
}

/* True when every variant of the seed passes. */
static bool run_seed(struct sweep *w, uint64_t seed, uint64_t *ret_variant)
{
    uint64_t from = w->one_variant ? w->variant : 0, to = from;
    for (uint64_t v = from; v <= to; v++) {
        *ret_variant = v;
        if (!run_history(w, seed, v, w->c->planted))
            return false;
        if (v == 0 && !w->one_variant)
            to = w->h->variants;
        if (!in_time(w))
            break;
    }
    return true;
}

/* Of all cases. */
struct total {
    unsigned cases, failed;
    uint64_t histories, steps;
    double start_s;
};

static void total_add(struct total *t, const struct sweep *w, bool good)
{
    t->cases++;
    t->failed += !good;
    t->histories += w->histories;
    t->steps += w->steps;
}

static void total_print(const struct total *t)
{
    double took = now_s() - t->start_s;
    printf("%u cases, %u failed: %llu histories, %llu events in %.0f s, %.0f events/s\n", t->cases,
           t->failed, (unsigned long long)t->histories, (unsigned long long)t->steps, took,
           (double)t->steps / took);
}

static bool sweep(struct sweep *w)
{
    double start = now_s();
    uint64_t seed = w->first, variant = 0;
    bool pass = true;
    for (; pass && seed <= w->last && in_time(w); seed++)
        pass = run_seed(w, seed, &variant);
    bool good = w->c->planted ? w->h->refuted : pass;
    if (!good && !pass)
        report(w, seed - 1, variant);
    double took = now_s() - start;
    printf("%s %s: seeds %llu..%llu, %llu histories, %.2f s, %.0f events/s%s\n",
           good ? "ok  " : "FAIL", w->c->name, (unsigned long long)w->first,
           (unsigned long long)(seed - 1), (unsigned long long)w->histories, took,
           (double)w->steps / took,
           !w->c->planted ? ""
           : good         ? ": planted bug found:"
                          : ": the planted bug was NOT found");
    if (w->c->planted && good)
        printf("     %s\n", w->h->message);
    return good;
}

/* ---- main ----------------------------------------------------------------------------------- */

static bool named(const char *name, char **names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return count == 0;
}

static void list_cases(void)
{
    for (const struct sim_case *c = sim_cases; c->name; c++)
        printf("%-36s %s\n", c->name, c->about);
}

static int check_names(char **names, int count)
{
    for (int i = 0; i < count; i++) {
        const struct sim_case *c = sim_cases;
        while (c->name && strcmp(c->name, names[i]) != 0)
            c++;
        if (!c->name) {
            fprintf(stderr, "cairn_sim: no case %s; --list names them\n", names[i]);
            return -EINVAL;
        }
    }
    return 0;
}

struct options {
    struct sweep sweep;
    double seconds;
    uint64_t at_least;
};

static int parse_options(struct options *o, int argc, char **argv)
{
    static const struct option longs[] = {{"seed", required_argument, NULL, 's'},
                                          {"seeds", required_argument, NULL, 'r'},
                                          {"variant", required_argument, NULL, 'v'},
                                          {"seconds", required_argument, NULL, 't'},
                                          {"verbose", no_argument, NULL, 'V'},
                                          {"no-fork", no_argument, NULL, 'n'},
                                          {"list", no_argument, NULL, 'l'},
                                          {"at-least", required_argument, NULL, 'a'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        char *end = NULL;
        switch (c) {
        case 's':
            o->sweep.first = o->sweep.last = strtoull(optarg, &end, 10);
            break;
        case 'r':
            o->sweep.first = strtoull(optarg, &end, 10);
            o->sweep.last = strncmp(end, "..", 2) == 0 ? strtoull(end + 2, &end, 10) : 0;
            break;
        case 'v':
            o->sweep.one_variant = true;
            o->sweep.variant = strtoull(optarg, &end, 10);
            break;
        case 't':
            o->seconds = strtod(optarg, &end);
            break;
        case 'a':
            o->at_least = strtoull(optarg, &end, 10);
            break;
        case 'V':
            o->sweep.verbose = true;
            break;
        case 'n':
            o->sweep.no_fork = true;
            break;
        case 'l':
            list_cases();
            exit(0);
        default:
            return -EINVAL;
        }
        if (end && *end)
            return -EINVAL;
    }
    return check_names(argv + optind, argc - optind);
}

int main(int argc, char **argv)
{
    struct options o = {0};
    if (parse_options(&o, argc, argv) < 0)
        return 2;
    struct history *h =
        mmap(NULL, sizeof *h, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(h != MAP_FAILED);
    log_setup(LOG_ERROR, LOG_TEXT); /* product jobs tell of their work at each life */
    struct total total = {.start_s = now_s()};
    for (const struct sim_case *c = sim_cases; c->name; c++) {
        if (!named(c->name, argv + optind, argc - optind))
            continue;
        struct sweep w = o.sweep;
        memset(h, 0, sizeof *h);
        fflush(stdout);
        w.c = c;
        w.h = h;
        if (!w.last && !w.first)
            w.first = 1;
        if (!w.last)
            w.last = o.seconds > 0 && !c->planted ? UINT64_MAX - 1 : c->seeds;
        if (c->planted) /* a short sweep is what it is promised to take */
            w.last = MAX(w.last, w.first + c->seeds);
        if (o.seconds > 0)
            w.until_s = now_s() + o.seconds;
        total_add(&total, &w, sweep(&w));
    }
    total_print(&total);
    return total.failed || total.histories < o.at_least ? 1 : 0;
}
