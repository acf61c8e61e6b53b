/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#include "cli/admin/client.h"
#include "base/buf.h"
#include "wire/uri.h"
#include <stdio.h>

static const struct cli_option options[] = {
    ADMIN_OPTIONS,
    {NULL, CLI_FLAG, NULL, NULL, NULL},
};

const char *admin_format_duration(uint64_t s, char ret[32])
{
    if (s < 120)
        snprintf(ret, 32, "%llu s", (unsigned long long)s);
    else if (s < 7200)
        snprintf(ret, 32, "%llu min", (unsigned long long)s / 60);
    else if (s < 172800)
        snprintf(ret, 32, "%llu h", (unsigned long long)s / 3600);
    else
        snprintf(ret, 32, "%llu days", (unsigned long long)s / 86400);
    return ret;
}

void admin_print_job(const json_t *job)
{
    char rate[32], left[32];
    uint64_t done = admin_number_of(job, "done"), total = admin_number_of(job, "total");
    printf("  %-10s %-8s", admin_text_of(job, "name"), admin_text_of(job, "state"));
    if (total)
        printf(" %5.1f %%", 100.0 * (double)done / (double)total);
    if (admin_number_of(job, "bytes_per_s"))
        printf("  %s/s", admin_format_bytes(admin_number_of(job, "bytes_per_s"), rate));
    if (json_object_get(job, "left_s"))
        printf("  %s left", admin_format_duration(admin_number_of(job, "left_s"), left));
    if (json_object_get(job, "error"))
        printf("  ATTENTION: %s", admin_text_of(job, "error"));
    putchar('\n');
}

static int list(char **operands, unsigned count)
{
    return admin_print_list("/-/admin/v1/jobs", "jobs", admin_print_job);
}

int admin_pause_job(const char *name, bool paused, json_t **ret_job)
{
    struct buf path;
    buf_init(&path, 8192);
    buf_put_cstr(&path, "/-/admin/v1/jobs/");
    uri_encode(&path, str_from(name), false);
    if (buf_error(&path) < 0) {
        buf_release(&path);
        return cli_fail("the name is too long");
    }
    json_t *body = json_pack("{s:b}", "paused", paused);
    struct admin_call call = {.method = "POST", .path = path.data, .body = body};
    int r = admin_call(&call, ret_job);
    json_decref(body);
    buf_release(&path);
    return r;
}

static int change(const char *name, bool paused)
{
    json_t *job = NULL;
    int r = admin_pause_job(name, paused, &job);
    if (r != 0)
        return r;
    if (admin_options.json)
        return admin_print_json(job);
    admin_print_job(job);
    json_decref(job);
    return 0;
}

static int pause_job(char **operands, unsigned count)
{
    return change(operands[0], true);
}

static int resume_job(char **operands, unsigned count)
{
    return change(operands[0], false);
}

const struct cli_command cli_admin_job_list = {
    .name = "admin job list",
    .operands = "",
    .summary = "list the background jobs and how far they are",
    .description = "Lists the background jobs: state, progress, rate and the time left.",
    .options = options,
    .run = list,
};

const struct cli_command cli_admin_job_pause = {
    .name = "admin job pause",
    .operands = "NAME",
    .summary = "pause a background job",
    .description = "Pauses a job until it is resumed, also over restarts. It stops at its next "
                   "step and loses\nnothing of what it did.",
    .options = options,
    .operands_min = 1,
    .operands_max = 1,
    .run = pause_job,
};

const struct cli_command cli_admin_job_resume = {
    .name = "admin job resume",
    .operands = "NAME",
    .summary = "let a paused background job go on",
    .description = "Lets a paused job go on where it stood.",
    .options = options,
    .operands_min = 1,
    .operands_max = 1,
    .run = resume_job,
};
