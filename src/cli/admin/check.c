/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/admin/client.h"
#include "cli/engine/engine.h"
#include "cli/world.h"
#include "rt/rt.h"
#include <stdio.h>
#include <unistd.h>

static struct {
    struct cli_texts dirs;
    bool deep;
} options;

static const struct cli_option option_table[] = {
    {"dir", CLI_TEXTS, &options.dirs, "DIR",
     "check offline, while no server uses it; once for each directory of the store"},
    {"deep", CLI_FLAG, &options.deep, NULL, "also read every byte and verify its digest"},
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

/* What the run has shown so far; both ways of checking feed it. */
struct check_report {
    uint64_t faults;
    bool done;       /* the last line came, and the walk reached its end */
    bool told;       /* a progress line stands on the terminal */
    char error[256]; /* why it did not reach the end */
};

static void clear_progress(struct check_report *r)
{
    if (r->told)
        fputs("\r\033[K", stderr);
    r->told = false;
}

static void show_progress(struct check_report *r, uint64_t done, uint64_t total)
{
    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r\033[Kchecked %llu of %llu (%.0f %%)", (unsigned long long)done,
            (unsigned long long)total, total ? 100.0 * (double)done / (double)total : 100.0);
    fflush(stderr);
    r->told = true;
}

/* The report is a line an event. */
static void print_line(json_t *line)
{
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(line);
}

static void show_fault(struct check_report *r, const char *text, const char *bucket,
                       const char *key)
{
    r->faults++;
    clear_progress(r);
    json_t *line = json_pack("{s:s, s:s, s:s}", "fault", text, "bucket", bucket, "key", key);
    if (admin_options.json) {
        print_line(line);
        return;
    }
    printf("fault: %s%s%s%s%s\n", text, *bucket ? ": " : "", admin_text_of(line, "bucket"),
           *key ? "/" : "", admin_text_of(line, "key")); /* a key may hold what terminals obey */
    json_decref(line);
}

/* Worth knowing, and no fault. */
static void show_note(struct check_report *r, const char *text)
{
    clear_progress(r);
    if (admin_options.json)
        print_line(json_pack("{s:s}", "note", text));
    else
        printf("note: %s\n", text);
}

static int finish(struct check_report *r)
{
    clear_progress(r);
    if (admin_options.json) {
        print_line(json_pack("{s:b, s:I}", "done", r->done, "faults", (json_int_t)r->faults));
    } else if (r->done) {
        printf("check: %llu faults\n", (unsigned long long)r->faults);
    }
    if (!r->done)
        return cli_fail("the check did not reach its end: %s", r->error);
    return r->faults ? 1 : 0;
}

/* ---- online --------------------------------------------------------------------------------- */

static void on_line(json_t *line, void *arg)
{
    struct check_report *r = arg;
    if (json_object_get(line, "done")) {
        r->done = json_is_true(json_object_get(line, "done"));
        snprintf(r->error, sizeof(r->error), "%s", admin_text_of(line, "error"));
    } else if (json_object_get(line, "fault")) {
        show_fault(r, admin_text_of(line, "fault"), admin_text_of(line, "bucket"),
                   admin_text_of(line, "key"));
    } else if (json_object_get(line, "note")) {
        show_note(r, admin_text_of(line, "note"));
    } else {
        show_progress(r, (uint64_t)json_integer_value(json_object_get(line, "done_count")),
                      (uint64_t)json_integer_value(json_object_get(line, "total")));
    }
}

static int check_online(void)
{
    struct check_report report = {.error = "the server ended the answer early"};
    struct admin_call call = {.method = "POST",
                              .path = options.deep ? "/-/admin/v1/check?deep=true"
                                                   : "/-/admin/v1/check",
                              .on_line = on_line,
                              .arg = &report};
    int r = admin_call(&call, NULL);
    return r != 0 ? r : finish(&report);
}

/* ---- offline -------------------------------------------------------------------------------- */

static int on_event(const struct store_check_event *e, void *arg)
{
    struct check_report *r = arg;
    if (e->err == 0) {
        show_progress(r, e->done, e->total);
        return 0;
    }
    char bucket[64], key[1100];
    snprintf(bucket, sizeof(bucket), "%.*s", STR_FMT(e->bucket));
    snprintf(key, sizeof(key), "%.*s", STR_FMT(e->key));
    show_fault(r, e->text ? e->text : err_text(e->err), bucket, key);
    return 0;
}

static int on_disk_event(const struct disk_verify_event *e, void *arg)
{
    struct check_report *r = arg;
    if (e->err == 0)
        show_progress(r, e->done_bytes, e->total_bytes);
    else
        show_fault(r, e->text ? e->text : err_text(e->err), "", "");
    return 0;
}

/* The records first; a deep check holds the disk's volumes and their index against one another too,
 * dead needles and forgotten ones included. */
static int FIBER check_engine(struct engine *e, struct check_report *report)
{
    int r = store_check(e->store, options.deep, on_event, report);
    for (uint32_t i = 0; r == 0 && options.deep && i < nodes_count(&e->nodes); i++)
        if (nodes_get(&e->nodes, i) && node_state(nodes_get(&e->nodes, i)) != NODE_GONE)
            r = node_verify(nodes_get(&e->nodes, i), on_disk_event, report);
    return r;
}

static int FIBER offline_fiber(void *arg)
{
    struct check_report *report = arg;
    struct engine engine;
    struct engine_config config = {.dirs = options.dirs.at,
                                   .dir_count = options.dirs.count,
                                   .root_access_key = STR("offline"),
                                   .root_secret_key = STR("offline-check"),
                                   .no_jobs = true};
    if (engine_open(&engine, &config) < 0)
        return 1;
    int r = check_engine(&engine, report);
    report->done = r == 0;
    snprintf(report->error, sizeof(report->error), "%s", err_text(r));
    engine_close(&engine);
    return 0;
}

static int check_offline(void)
{
    struct check_report report = {0};
    if (options.dirs.count == 1 && access(options.dirs.at[0], F_OK) < 0)
        return cli_fail("no such directory: %s", options.dirs.at[0]);
    int r = rt_run(&(struct rt_config){.threads = 1}, offline_fiber, &report);
    if (r < 0)
        return world_fail(r);
    return r != 0 ? r : finish(&report);
}

static int run(char **operands, unsigned count)
{
    /* `--dir d{1..6}` of a shell: the first belongs to the option, the others are operands. */
    for (unsigned i = 0; i < count; i++) {
        if (options.dirs.count == 0 || options.dirs.count == CLI_TEXTS_MAX)
            return cli_fail("%s: directories are given by --dir, %d at most", operands[i],
                            CLI_TEXTS_MAX);
        options.dirs.at[options.dirs.count++] = operands[i];
    }
    return options.dirs.count ? check_offline() : check_online();
}

const struct cli_command cli_admin_check = {
    .name = "admin check",
    .operands = "",
    .operands_max = CLI_TEXTS_MAX,
    .summary = "verify a data directory, serving or not",
    .description =
        "Walks the whole store: every record's invariants, every chunk it names, the usage "
        "counters.\n"
        "With --deep every stored byte is read and its digest verified. Online the server does it\n"
        "while it serves; with --dir the directories are opened by this command, which needs that "
        "no\n"
        "server uses it. Each fault is a line; the exit status is 0 only when there was none.",
    .options = option_table,
    .run = run,
};
