/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/admin/client.h"
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static bool wait_for_end;

static const struct cli_option options[] = {
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const struct cli_option start_options[] = {
    {"wait", CLI_FLAG, &wait_for_end, NULL,
     "show progress until the pass ends; exit with 1 when something is lost"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

static const char *format_time(uint64_t ms, char ret[32])
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&s, &tm);
    strftime(ret, 32, "%Y-%m-%d %H:%M UTC", &tm);
    return ret;
}

static bool is_in(const json_t *scrub, const char *phase)
{
    return strcmp(admin_text_of(scrub, "phase"), phase) == 0;
}

static void print_pass(const json_t *scrub)
{
    char when[32];
    const json_t *last = json_object_get(scrub, "last");
    if (is_in(scrub, "asked"))
        puts("a pass was asked for and is about to begin");
    else if (is_in(scrub, "idle"))
        printf("no pass is under way%s\n",
               admin_number_of(scrub, "days") ? "" : "; none is scheduled (--scrub-days 0)");
    else
        printf("pass %llu reads the %s, since %s\n",
               (unsigned long long)admin_number_of(scrub, "pass"), admin_text_of(scrub, "phase"),
               format_time(admin_number_of(scrub, "started_ms"), when));
    admin_print_job(json_object_get(scrub, "job"));
    char bytes[32];
    if (admin_number_of(last, "ended_ms"))
        printf("last whole pass ended %s: %s read, %llu damaged, %llu disks left out\n",
               format_time(admin_number_of(last, "ended_ms"), when),
               admin_format_bytes(admin_number_of(last, "bytes"), bytes),
               (unsigned long long)admin_number_of(last, "damaged"),
               (unsigned long long)admin_number_of(last, "disks_skipped"));
    if (json_is_true(json_object_get(scrub, "overdue")))
        printf("ATTENTION: some bytes have not been read for more than %llu days\n",
               (unsigned long long)admin_number_of(scrub, "days"));
}

void admin_print_damages(const json_t *scrub)
{
    const json_t *counts = json_object_get(scrub, "damages");
    uint64_t lost = admin_number_of(counts, "lost"), waiting = admin_number_of(counts, "waiting");
    uint64_t repairable = admin_number_of(counts, "repairable"),
             found = admin_number_of(counts, "found");
    if (lost)
        printf("ATTENTION: %llu shards or records are lost: cairn admin scrub status names them\n",
               (unsigned long long)lost);
    if (waiting)
        printf("ATTENTION: %llu shards wait for a disk that is gone\n",
               (unsigned long long)waiting);
    if (repairable || found)
        printf("%llu damaged shards to be repaired, %llu not yet looked into\n",
               (unsigned long long)repairable, (unsigned long long)found);
    if (admin_number_of(counts, "unlisted"))
        printf("ATTENTION: %llu more did not fit into the list\n",
               (unsigned long long)admin_number_of(counts, "unlisted"));
}

static void print_damage(const json_t *d)
{
    char when[32];
    printf("%-10s ", admin_text_of(d, "state"));
    if (*admin_text_of(d, "bucket"))
        printf("%s/", admin_text_of(d, "bucket"));
    if (json_object_get(d, "upload"))
        printf("(a part of upload %s)", admin_text_of(d, "upload"));
    else
        fputs(admin_text_of(d, "key"), stdout);
    printf(": %s", admin_text_of(d, "text"));
    if (json_object_get(d, "disk"))
        printf(" (disk %llu)", (unsigned long long)admin_number_of(d, "disk"));
    printf(", since %s\n", format_time(admin_number_of(d, "found_ms"), when));
}

static void print_status(const json_t *scrub)
{
    json_t *d;
    size_t i;
    print_pass(scrub);
    admin_print_damages(scrub);
    json_array_foreach(json_object_get(scrub, "list"), i, d) print_damage(d);
}

static bool anything_lost(const json_t *scrub)
{
    const json_t *counts = json_object_get(scrub, "damages");
    return admin_number_of(counts, "lost") || admin_number_of(counts, "unlisted");
}

/* Prints it and takes it over. */
static int show(json_t *scrub, bool judge)
{
    int lost = judge && anything_lost(scrub);
    if (admin_options.json) {
        admin_print_json(scrub);
    } else {
        print_status(scrub);
        json_decref(scrub);
    }
    return lost;
}

static int get_status(json_t **ret)
{
    return admin_call(&(struct admin_call){.method = "GET", .path = "/-/admin/v1/scrub"}, ret);
}

static int status(char **operands, unsigned count)
{
    json_t *scrub = NULL;
    int r = get_status(&scrub);
    return r != 0 ? r : show(scrub, true);
}

static int act(const char *action, json_t **ret)
{
    json_t *body = json_pack("{s:s}", "action", action);
    struct admin_call call = {.method = "POST", .path = "/-/admin/v1/scrub", .body = body};
    int r = admin_call(&call, ret);
    json_decref(body);
    return r;
}

static void show_progress(const json_t *scrub)
{
    const json_t *job = json_object_get(scrub, "job");
    uint64_t done = admin_number_of(job, "done"), total = admin_number_of(job, "total");
    char left[32] = "";
    if (!isatty(STDERR_FILENO) || is_in(scrub, "idle"))
        return;
    if (json_object_get(job, "left_s"))
        admin_format_duration(admin_number_of(job, "left_s"), left);
    fprintf(stderr, "\r\033[K%s: %.1f %%%s%s", admin_text_of(scrub, "phase"),
            total ? 100.0 * (double)done / (double)total : 100.0, *left ? ", left: " : "", left);
    fflush(stderr);
}

/* Until a pass has ended that was not over when it was asked for. */
static int wait_for_pass(uint64_t ended_before_ms, json_t **ret)
{
    for (;;) {
        json_t *scrub = NULL;
        int r = get_status(&scrub);
        if (r != 0)
            return r;
        const json_t *last = json_object_get(scrub, "last");
        show_progress(scrub);
        if (is_in(scrub, "idle") && admin_number_of(last, "ended_ms") != ended_before_ms) {
            if (isatty(STDERR_FILENO))
                fputs("\r\033[K", stderr);
            *ret = scrub;
            return 0;
        }
        json_decref(scrub);
        usleep(200 * 1000);
    }
}

static int start(char **operands, unsigned count)
{
    json_t *before = NULL, *scrub = NULL;
    int r = wait_for_end ? get_status(&before) : 0;
    if (r == 0)
        r = act("start", &scrub);
    if (r == 0 && wait_for_end) {
        uint64_t ended_ms = admin_number_of(json_object_get(before, "last"), "ended_ms");
        json_decref(TAKE_PTR(scrub));
        r = wait_for_pass(ended_ms, &scrub);
    }
    json_decref(before);
    return r != 0 ? r : show(scrub, wait_for_end);
}

static int stop(char **operands, unsigned count)
{
    json_t *scrub = NULL;
    int r = act("stop", &scrub);
    return r != 0 ? r : show(scrub, false);
}

const struct cli_command cli_admin_scrub_start = {
    .name = "admin scrub start",
    .operands = "",
    .summary = "read and verify everything that is stored, now",
    .description =
        "Begins a pass over every byte of every disk and every record, or has the one under way "
        "go\n"
        "on, as fast as clients leave room for. A scrub that was stopped goes on where it stood.",
    .options = start_options,
    .run = start,
};

const struct cli_command cli_admin_scrub_status = {
    .name = "admin scrub status",
    .operands = "",
    .summary = "tell how far the scrub is and what is damaged",
    .description = "Shows the pass under way, the last whole one, and every damage by the name of "
                   "its object.\n"
                   "The exit status is 1 when something is lost.",
    .options = options,
    .run = status,
};

const struct cli_command cli_admin_scrub_stop = {
    .name = "admin scrub stop",
    .operands = "",
    .summary = "stop the scrub until it is started again",
    .description = "Stops the pass under way where it stands, and scheduled ones with it, until "
                   "'scrub start'.",
    .options = options,
    .run = stop,
};
